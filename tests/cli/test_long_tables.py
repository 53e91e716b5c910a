"""Long tables of many sequences, series that are cut into windows, and what models forecast of them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.commands import run
from neuromorph.cli.arrays import Source
from neuromorph.cli.data import read

RNG = np.random.default_rng(4)
LENGTHS = (3, 5, 1, 4)
STEPS = [RNG.normal(size=(length, 2)).round(3).astype(np.float32) for length in LENGTHS]
KINDS = ("slow", "fast", "slow", "fast")
TEXT = "/xavier,zero/ (in, 2) (h, 4, <gru>) (kind, 2, <softmax>, <cross_entropy>)"
SERIES = (10 * np.sin(np.arange(40) / 3)).round(3)
FORECAST = "/xavier,zero/ (in, 1) (units, <standardize>) (h, 4, <gru>) (out, 1, <restore>, <mse>)"

pytestmark = pytest.mark.usefixtures("interpreted")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a long table whose rows are mixed, and a series with its months."""
    monkeypatch.chdir(tmp_path)
    rows = [f"g{n},{t},{x[0]},{x[1]},{KINDS[n]}" for n, steps in enumerate(STEPS) for t, x in enumerate(steps.tolist())]
    first = [rows[0], rows[3], rows[8], rows[9]]  # so that groups appear in their order
    rest = [row for row in rows if row not in first]
    order = RNG.permutation(len(rest))
    Path("long.csv").write_text("\n".join(["who,t,x,y,kind", *first, *(rest[n] for n in order)]))
    Path("long.mdl").write_text(TEXT)
    lines = [f"{2020 + n // 12}-{n % 12 + 1:02d},{value}" for n, value in enumerate(SERIES)]
    Path("series.csv").write_text("\n".join(["month,level", *lines]))
    Path("series.mdl").write_text(FORECAST)
    return tmp_path


LONG = ("train", "long.mdl", "--data", "long.csv", "--group", "who", "--time", "t", "--save", "net.safetensors")


def test_groups_are_sequences_sorted_by_time(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, *LONG, "--epochs", "2", "--seed", "1", "--batch", "2")
    assert "long.csv: 4 sequences of 1 to 5 steps, 2 numbers each\n" in err
    model = nm.load("net.safetensors")
    assert (model.classes, model.layout) == (("fast", "slow"), "NSW")
    other = nm.compile(TEXT, 2, 0.1)
    other.build(seed=1)
    nm.seed(1)
    again = nm.build(nm.compile(TEXT, 2, 0.1))
    again.fit(STEPS, [1, 0, 1, 0], layout="NSW", epochs=2, progress=False)
    for name, value in model.get_parameters().items():
        np.testing.assert_array_equal(again.get_parameters()[name], value)
    loss, right = (f(STEPS, [1, 0, 1, 0], layout="NSW") for f in (model.evaluate, model.accuracy))
    out, _ = run(capsys, "evaluate", "net.safetensors", "--data", "long.csv")
    assert out == f"loss {loss:.6g}, accuracy {right:.6g}\n"
    results = model.predict(STEPS, layout="NSW")
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "long.csv", "--labels")
    assert out.split() == [("fast", "slow")[found[-1].argmax()] for found in results]
    run(capsys, "predict", "net.safetensors", "--data", "long.csv", "--every-step", "-o", "y.npy")
    rows = [line.split(",") for line in Path("long.csv").read_text().splitlines()[1:]]
    wanted = [results[int(who[1:])][int(t)] for who, t, *_ in rows]
    np.testing.assert_array_equal(np.load("y.npy"), wanted)


def test_every_step_may_have_an_answer() -> None:
    model = nm.compile(TEXT, 2, 0.1)
    source = Source(data="long.csv", group="who", time="t", targets="kind")
    once, each = read(source, model), read(Source(**{**vars(source), "each": True}), model)
    assert once.labels is not None
    assert each.labels is not None
    assert once.labels.tolist() == [1, 0, 1, 0]
    assert each.labels.tolist() == [[1, 1, 1, 0, 0], [0] * 5, [1, 0, 0, 0, 0], [0] * 5]
    assert each.lengths is not None
    assert each.lengths.tolist() == list(LENGTHS)
    for found, steps in zip(once.inputs, STEPS, strict=True):
        np.testing.assert_array_equal(found[: len(steps)], steps)
        assert not found[len(steps) :].any()


def test_a_model_remembers_whether_steps_or_sequences_have_answers(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *LONG, "--epochs", "1", "--every-step", "-q")
    model = nm.load("net.safetensors")
    labels = [np.full(length, kind == "slow") for length, kind in zip(LENGTHS, KINDS, strict=True)]
    loss, right = (f(STEPS, labels, layout="NSW") for f in (model.evaluate, model.accuracy))
    out, _ = run(capsys, "evaluate", "net.safetensors", "--data", "long.csv")
    assert out == f"loss {loss:.6g}, accuracy {right:.6g}\n"
    run(capsys, "train", "--resume", "net.safetensors", "--data", "long.csv", "--epochs", "1", "-q")
    model = nm.load("net.safetensors")
    assert model.reading is not None
    assert not model.reading.once
    text = Path("long.csv").read_text()
    Path("mixed.csv").write_text(text.replace("slow", "fast", 1))
    several = "error: mixed.csv: a sequence has several answers, and the model was trained with one for each sequence\n"
    for each, other in (("mixed.csv", "long.csv"), ("long.csv", "mixed.csv")):
        command = [each if word == "long.csv" else word for word in LONG]
        _, err = run(capsys, *command, "--epochs", "1", "--validation", other, "-q", code=int(other == "mixed.csv"))
        assert err == (several if other == "mixed.csv" else "")
        if not err:
            model = nm.load("net.safetensors")
            wanted = model.evaluate(STEPS, labels, layout="NSW")  # of every step, as in training
            assert model.history is not None
            assert model.history.validation_loss[-1] == pytest.approx(wanted, rel=1e-6)


def test_what_is_wrong_in_a_sequence_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("long.csv").read_text()
    Path("long.csv").write_text(text + f"\n{text.splitlines()[2]}")
    _, err = run(capsys, *LONG, "--epochs", "1", "-q", code=1)
    assert err == "error: long.csv: line 3 and line 15 of 'g1' have the same time\n"
    Path("long.csv").write_text(text + "\n,1,2,3,slow")
    _, err = run(capsys, *LONG, "--epochs", "1", "-q", code=1)
    assert err == "error: long.csv: line 15, column 1 ('who') is empty, and tells groups apart\n"
    Path("long.csv").write_text(text + "\ng9,,2,3,slow")
    _, err = run(capsys, *LONG, "--epochs", "1", "-q", code=1)
    assert err == "error: long.csv: line 15, column 2 ('t') is empty: write a number there\n"
    Path("long.mdl").write_text(TEXT.replace("cross_entropy", "binary_cross_entropy").replace("softmax", "sigmoid"))
    Path("long.csv").write_text(text.replace("kind", "a,b").replace("slow", "0,1").replace("fast", "0,2"))
    _, err = run(capsys, *LONG, "--epochs", "1", "-q", code=1)
    said = r"line \d+, column 6 \('b'\) is 2, and must be a number from 0 to 1 for binary_cross_entropy"
    assert re.fullmatch(f"error: long.csv: {said}\n", err)


def test_a_time_alone_sorts_the_rows() -> None:
    Path("t.csv").write_text("t,x,y\n3,30,3\n1,10,1\n2,20,2\n")
    model = nm.compile("/xavier,zero/ (x, 1) {both, y, concatenate} (y, 1, <linear>, <mse>)", 1, 0.1)
    found = read(Source(data="t.csv", time="t"), model)
    assert found.expected is not None
    assert (found.inputs.ravel().tolist(), found.expected.ravel().tolist()) == ([10, 20, 30], [1, 2, 3])


TRAIN = ("train", "series.mdl", "--data", "series.csv", "--time", "month", "--save", "net.safetensors", "--seed", "2")


def test_windows_of_a_series(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, *TRAIN, "--window", "6", "--horizon", "1", "--epochs", "2")
    assert "series.csv: 34 sequences of 6 steps, 1 number each\n" in err
    assert "means and scales are set from the data: units, out\n" in err
    model = nm.load("net.safetensors")
    inputs, expected = nm.windows(SERIES.astype(np.float32), 6)
    nm.seed(2)
    again = nm.build(nm.compile(FORECAST, 32, 0.1, bptt_steps=6))
    again.adapt(inputs, expected[:, 0], layout="NSW")
    again.fit(inputs, expected[:, 0], layout="NSW", epochs=2, progress=False)
    for name, value in model.get_parameters().items():
        np.testing.assert_array_equal(again.get_parameters()[name], value)
    out, _ = run(capsys, "evaluate", "net.safetensors", "--data", "series.csv")
    assert out == f"loss {model.evaluate(inputs, expected[:, 0], layout='NSW'):.6g}\n"
    out, err = run(capsys, "forecast", "net.safetensors", "--data", "series.csv", "--steps", "3")
    wanted = model.forecast(SERIES[-6:, None].astype(np.float32), 3)
    np.testing.assert_array_equal(np.array(out.split(), np.float32), wanted[:, 0])
    assert err.startswith("series.csv: the last 6 rows of 1 series, as in training\n")
    out, _ = run(capsys, "forecast", "net.safetensors", "--data", "series.csv", "--steps", "3", "--names")
    assert [line.split(",")[0] for line in out.splitlines()] == ["month", "2023-05", "2023-06", "2023-07"]
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "series.csv")
    wanted = model.predict(
        np.lib.stride_tricks.sliding_window_view(SERIES.astype(np.float32), 6)[..., None], layout="NSW"
    )
    np.testing.assert_array_equal(np.array(out.split(), np.float32), wanted[:, -1, 0])


def test_windows_for_a_perceptron_forecast_several_rows(capsys: pytest.CaptureFixture[str]) -> None:
    Path("series.mdl").write_text("/xavier,zero/ (in, 6) (h, 4, <tanh>) (out, 2, <linear>, <mse>)")
    run(capsys, *TRAIN, "--window", "6", "--horizon", "2", "--epochs", "1", "-q", "--rate", "0.001")
    model = nm.load("net.safetensors")
    out, _ = run(capsys, "forecast", "net.safetensors", "--data", "series.csv", "--steps", "3")
    first = model.predict(SERIES[None, -6:].astype(np.float32), layout="NW")[0]
    second = model.predict(np.concatenate([SERIES[-4:], first])[None].astype(np.float32), layout="NW")[0]
    np.testing.assert_array_equal(np.array(out.split(), np.float32), [*first, second[0]])


def test_windows_stay_within_their_series(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{who},{t},{t + 100 * (who == 'b')}" for t in range(6) for who in "ab"]
    Path("two.csv").write_text("\n".join(["who,t,v", *rows, "c,0,5"]))
    model = nm.compile(FORECAST, 2, 0.1)
    found = read(Source(data="two.csv", group="who", time="t", window=3, horizon=1), model)
    assert found.inputs[..., 0].tolist() == [[n + k, n + k + 1, n + k + 2] for k in (0, 100) for n in range(3)]
    assert found.expected is not None
    assert found.expected.ravel().tolist() == [3, 4, 5, 103, 104, 105]
    Path("series.mdl").write_text(FORECAST)
    options = ("--group", "who", "--time", "t", "--window", "3", "--horizon", "1", "--epochs", "1", "-q")
    run(capsys, "train", "series.mdl", "--data", "two.csv", *options, "--save", "net.safetensors")
    out, err = run(capsys, "forecast", "net.safetensors", "--data", "two.csv", "--steps", "2", "--names")
    assert err.startswith("two.csv: the last 3 rows of 2 series, as in training\n")
    assert [line.rpartition(",")[0] for line in out.splitlines()] == ["who,t", "a,6", "a,7", "b,6", "b,7"]
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "two.csv", "--names")
    assert [line.partition(",")[0] for line in out.splitlines()] == ["who", *"aaaabbbb"]
    assert out.startswith("who,v\n")


WIDE = ("train", "long.mdl", "--data", "wide.csv", "--sequences", "--save", "net.safetensors", "--epochs", "2", "-q")


def test_a_row_may_be_a_sequence(capsys: pytest.CaptureFixture[str]) -> None:
    """As in the archives of time series: a row has all steps, one after the other, and a class."""
    inputs = RNG.normal(size=(9, 4, 2)).round(3).astype(np.float32)
    lines = [",".join(map(str, row.ravel().tolist())) + f",{KINDS[n % 2]}" for n, row in enumerate(inputs)]
    Path("wide.csv").write_text(
        "\n".join([",".join(f"{name}{t}" for t in range(4) for name in "xy") + ",kind", *lines])
    )
    _, err = run(capsys, *(word for word in WIDE if word != "--sequences"), code=1)
    assert "--sequences takes each row as a sequence, one step after the other" in err
    out, _ = run(capsys, "check", "long.mdl", "--data", "wide.csv", "--sequences")
    assert "wide.csv: 9 rows, 9 columns, 8 numbers in\n" in out
    run(capsys, *WIDE, "--seed", "1", "--batch", "2")
    model, other, labels = nm.load("net.safetensors"), nm.compile(TEXT, 2, 0.1), [1 - n % 2 for n in range(9)]
    nm.seed(1)
    nm.build(other).fit(inputs, labels, layout="NSW", epochs=2, progress=False)
    for name, value in model.get_parameters().items():
        np.testing.assert_array_equal(value, other.get_parameters()[name])
    out, err = run(capsys, "evaluate", "net.safetensors", "--data", "wide.csv")
    assert out.startswith(f"loss {model.evaluate(inputs, labels, layout='NSW'):.6g}, ")
    assert err == "wide.csv: 9 sequences of 4 steps, 2 numbers each\n"
    wanted = model.predict(inputs, layout="NSW")[:, -1]
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "wide.csv")
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(out), delimiter=",", dtype=np.float32), wanted)
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "wide.csv", "--labels", "--names")
    assert out.split() == ["kind", *(("fast", "slow")[row.argmax()] for row in wanted)]
    run(capsys, "train", "--resume", "net.safetensors", "--data", "wide.csv", "--epochs", "1", "-q")


def test_errors_of_sequences_in_rows_name_the_column(capsys: pytest.CaptureFixture[str]) -> None:
    Path("wide.csv").write_text("a,b,c,d,k\n1,2,3,4,x\n1,2,1e39,4,y\n")
    _, err = run(capsys, *WIDE, code=1)
    assert "line 3, column 3 ('c') is 1e+39, and must be in the range of float32" in err
    Path("wide.csv").write_text("a,b,c,k\n1,2,3,x\n1,2,3,y\n")
    _, err = run(capsys, *WIDE, code=1)
    assert "its columns but the last become 3 numbers" in err


def test_answers_have_the_names_of_their_groups(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *LONG, "--epochs", "1", "-q")
    command = ("predict", "net.safetensors", "--data", "long.csv")
    plain, _ = run(capsys, *command, "--labels")
    out, _ = run(capsys, *command, "--labels", "--names")
    assert out.splitlines() == ["who,kind", *(f"g{n},{kind}" for n, kind in enumerate(plain.split()))]
    plain, _ = run(capsys, *command)
    out, _ = run(capsys, *command, "--names")
    assert out.splitlines() == ["who,fast,slow", *(f"g{n},{row}" for n, row in enumerate(plain.split()))]
    run(capsys, *LONG, "--epochs", "1", "-q", "--every-step")
    groups = [line.partition(",")[0] for line in Path("long.csv").read_text().splitlines()]
    for labels in ((), ("--labels",)):
        plain, _ = run(capsys, *command, *labels)
        out, _ = run(capsys, *command, "--names", *labels)
        assert [line.partition(",")[0] for line in out.splitlines()] == groups
        assert [line.partition(",")[2] for line in out.splitlines()[1:]] == plain.split()


def test_answers_line_by_line_have_the_names_of_their_groups(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, *LONG, "--epochs", "1", "-q")
    text = Path("long.csv").read_bytes()
    outs = []
    for options in ((), ("--names",)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        outs.append(run(capsys, "predict", "net.safetensors", "--data", "-", *options)[0].splitlines())
    groups = [line.partition(",")[0] for line in text.decode().splitlines()[1:]]
    assert outs[1] == ["who,fast,slow", *map(",".join, zip(groups, outs[0], strict=True))]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--names", "-o", "y.npy"), "--names is for CSV"),
        (("--names",), "--names takes names from the table that a model was trained on, and this one has none"),
    ],
)
def test_names_that_can_not_be_written(options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    nm.save(nm.build(nm.compile(TEXT, 2, 0.1)), "plain.safetensors")
    np.save("x.npy", STEPS[0])
    _, err = run(capsys, "predict", "plain.safetensors", "--data", "x.npy", *options, code=2)
    assert said in err


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (None, "line 4, column 2 ('level') is empty: --missing mean puts the mean of the column there"),
        ("mean", "line 4, column 2 ('level') is empty: --missing mean,skip leaves what is not known out of the loss"),
        ("mean,skip", None),
    ],
)
def test_what_helps_with_gaps_in_a_series(
    missing: str | None, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of a series can't be left out."""
    lines = Path("series.csv").read_text().splitlines()
    Path("series.csv").write_text("\n".join([*lines[:3], lines[3].partition(",")[0] + ",", *lines[4:]]))
    given = () if missing is None else ("--missing", missing)
    options = ("--window", "6", "--horizon", "1", "--epochs", "1", "-q", "--rate", "0.001", *given)
    _, err = run(capsys, *TRAIN, *options, code=0 if said is None else 1)
    assert said is None or err == f"error: series.csv: {said}\n"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--horizon", "1"), 2, "--horizon needs --window"),
        (
            ("--horizon", "1", "--window", "40"),
            1,
            "a window of 40 rows and 1 after it need 41, and the longest series has 40",
        ),
        (
            ("--horizon", "2", "--window", "4"),
            1,
            "2 rows of 1 column, level, are to be forecast, and the model's output has 1 number;",
        ),
        (("--horizon", "1", "--window", "4", "--missing", "drop"), 2, "--missing drop would leave gaps in a series"),
        (("--horizon", "1", "--window", "4", "--weights", "level"), 2, "--weights has a weight for each row"),
    ],
)
def test_wrong_windows(options: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, *TRAIN, *options, "--epochs", "1", "-q", code=code)
    assert said in err


def test_forecasts_of_numpy_files(capsys: pytest.CaptureFixture[str]) -> None:
    model = nm.compile("/xavier,zero/ (in, 2) (h, 4, <gru>) (out, 2, <linear>, <mse>)", 1, 0.1).build(seed=1)
    model.save("net.safetensors")
    x = RNG.normal(size=(9, 2)).astype(np.float32)
    np.save("x.npy", x)
    run(capsys, "forecast", "net.safetensors", "--data", "x.npy", "--steps", "4", "-o", "y.npy")
    np.testing.assert_array_equal(np.load("y.npy"), model.forecast(x, 4))
    np.savez("x.npz", inputs=np.stack([x, x * 2]), lengths=[9, 5])
    out, _ = run(capsys, "forecast", "net.safetensors", "--data", "x.npz", "--sequences", "--steps", "4", "-o", "y.npz")
    wanted = model.forecast([x, x[:5] * 2], 4, layout="NSW")
    np.testing.assert_array_equal(np.load("y.npz")["predictions"], wanted)
    np.savetxt("x.csv", x, delimiter=",", fmt="%.9g")
    out, _ = run(capsys, "forecast", "net.safetensors", "--data", "x.csv", "--steps", "4")
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(out), delimiter=",", dtype=np.float32), model.forecast(x, 4))
    nm.compile(TEXT, 1, 0.1).build(seed=1).save("kind.safetensors")
    nm.compile("/xavier,zero/ (in, 2) (h, 4, <gru>) (out, 1, <linear>, <mse>)", 1, 0.1).build(seed=1).save(
        "one.safetensors"
    )
    _, err = run(capsys, "forecast", "one.safetensors", "--data", "x.npy", "--steps", "4", code=1)
    assert "forecast feeds the output back, so it must be as wide as the input: they are 1 and 2 wide" in err
