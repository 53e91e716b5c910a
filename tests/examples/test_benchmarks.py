"""The benchmarks against the literature: what they measure, choose and write; and tiny runs of each.

A benchmark is skipped where the package that carries its data is not installed, and a peer where its package is not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import EXAMPLES
from helpers.scripts import script

BENCHMARKS = EXAMPLES / "benchmarks"
PACKAGES = {
    "mnist_1d": "mnist1d", "japanese_vowels": "aeon", "basic_motions": "aeon", "arrow_head": "aeon",
    "sequential_digits": "sklearn", "laser": "reservoirpy", "mackey_glass": "reservoirpy", "sunspots": "statsmodels",
    "carbon_dioxide": "statsmodels", "cog_scale": "cogscale",
}  # fmt: skip


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folders that Python imports from for the benchmarks, and no compiling for these tiny runs."""
    monkeypatch.setenv("NEUROMORPH_TIER", "instant")
    before = sys.path[:]
    sys.path[:0] = [str(BENCHMARKS), str(EXAMPLES / "real")]  # the package adds the second when it is first imported
    yield
    sys.path[:] = before


def room(name: str) -> Any:
    """A module of the benchmarks."""
    return script(BENCHMARKS, name)


@pytest.fixture
def tiny() -> Any:
    """A task: a label at every step, which is the sign of the number two steps before; some steps count for nothing."""
    task = room("bench.task")
    inputs = np.random.default_rng(0).normal(size=(24, 9, 1)).astype(np.float32)
    labels = np.full((24, 9), task.NO_ANSWER)
    labels[:, 3:] = inputs[:, 1:-2, 0] > 0
    parts = {name: task.Part(inputs[n::3], labels[n::3]) for n, name in enumerate(("train", "choose", "test"))}

    def wrong(part: Any, answers: Any) -> float:
        return float((np.asarray(answers).argmax(axis=2) != part.expected)[:, 3:].mean())

    return task.Task(
        name="tiny", title="Tiny", source="made here", **parts, loss="cross_entropy", outputs=2, score=wrong,
        measure="share of wrong answers", parameters=150, texts=("gru",), epochs=2, batch=4, rates=(0.01, 0.03),
    )  # fmt: skip


# Runs -----------------------------------------------------------------------------------------------------------------


def test_every_benchmark_is_tested_and_run_by_the_program_for_all() -> None:
    assert {path.stem for path in BENCHMARKS.glob("*.py")} - {"run_all"} == set(PACKAGES)
    assert set(room("run_all").NAMES) == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_benchmark_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(PACKAGES[name], reason=f"the data come with {PACKAGES[name]}, which is not installed")
    room(name).main(["--quick", "--to", str(tmp_path), "--kinds", "ours"])
    reports = room("bench.running").loaded(tmp_path / f"{name}.json")
    assert len(reports) == (3 if name == "cog_scale" else 1)
    for report in reports:
        assert all(np.isfinite(outcome.median("score")) for outcome in report.outcomes)
    assert str(tmp_path / f"{name}.md") in capsys.readouterr().out
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_without_its_data_a_benchmark_stops_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = room("bench.running")
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="the data come with mnist1d, which is not installed: pip install mnist1d"):
        room("mnist_1d").main(["--quick", "--to", str(tmp_path)])
    room("run_all").main(["--only", "laser", "cog_scale", "--quick", "--to", str(tmp_path)])
    said = capsys.readouterr().err
    assert "laser: the data come with reservoirpy, which is not installed: pip install reservoirpy" in said
    assert "cog_scale: the data come with cogscale, which is not installed: pip install cogscale" in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("0", "'0' names no seed"), ("two", "'two' is neither a number"), ("3-1", "'3-1' names no seed"),
     ("-1", "'-1' is neither a number")],
)  # fmt: skip
def test_wrong_seeds_are_refused(wrong: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        room("laser").main([f"--seeds={wrong}"])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "published"),
    [([], True), (["--seeds", "5"], True), (["--seeds", "0-4", "--keep"], True), (["--seeds", "10-14"], False),
     (["--seeds", "1"], False), (["--quick"], False), (["--kinds", "ours"], False)],
)  # fmt: skip
def test_only_whole_runs_replace_the_published_results(arguments: list[str], published: bool) -> None:
    running, bench = room("bench.running"), room("bench")
    chosen = running.common_options().parse_args(arguments)
    assert running.destination(chosen) == (bench.RESULTS if published else bench.ROOT / "out")
    chosen = running.common_options().parse_args([*arguments, "--to", "here"])
    assert running.destination(chosen) == Path("here")


def test_a_task_runs_with_seeds_and_what_was_run_is_kept(tiny: Any, tmp_path: Path) -> None:
    running = room("bench.running")
    chosen = running.options("", ["--to", str(tmp_path), "--seeds", "3-4", "--kinds", "ours", "--keep"])
    (report,) = running.benchmark("tiny", [lambda: tiny], chosen)
    assert [(outcome.name, len(outcome.runs)) for outcome in report.outcomes] == [
        ("gru", 2),
        ("echo_state", 2),
        ("late_echo_state", 2),
    ]
    assert report.seeds == [3, 4]
    assert running.loaded(tmp_path / "tiny.json") == [report]
    assert running.benchmark("tiny", [lambda: tiny], chosen) == [report], "kept: another run has other seconds"
    other = replace(tiny, name="other", epochs=1)
    both = running.benchmark("tiny", [lambda: other], chosen)
    assert [one.name for one in both] == ["tiny", "other"]
    assert both[0] == report, "results of other tasks stay"
    longer = replace(tiny, epochs=3)
    again, kept = running.benchmark("tiny", [lambda: longer], chosen)
    assert (again.name, kept) == ("tiny", both[1])
    assert "at most 3 epochs" in again.setting, "another budget is another run"
    chosen.kinds = ["ours", "torch"]
    assert not running._is_made_so(again, replace(longer, texts=("gru", "lstm")), chosen)


def test_a_setting_is_chosen_by_its_loss_and_what_was_compiled_for_the_choice_is_not_measured() -> None:
    running, entry = room("bench.running"), room("bench.entry")
    trained = []

    def train(seed: int, rate: float) -> Any:
        trained.append((seed, rate))
        loss = {0.1: float("nan"), 0.2: 0.5, 0.3: 0.7}[rate]
        return entry.Run(0.0, 0.0, loss, float(len(trained)), 1)

    outcome = running.outcome_of(entry.Entry("e", True, (0.1, 0.2, 0.3), train), [4, 5])
    assert outcome.setting == "rate 0.2"
    assert trained == [(4, 0.1), (4, 0.2), (4, 0.3), (4, 0.2), (5, 0.2)]
    assert [run.seconds for run in outcome.runs] == [4.0, 5.0]


def test_the_commit_is_named() -> None:
    running = room("bench.running")
    assert running.machine().count("neuromorph ") == 1
    assert f"neuromorph {nm.__version__}{running.COMMIT}, numba" in running.machine()
    if running.COMMIT:
        assert re.fullmatch(r" \(commit [0-9a-f]{7,}( with changes)?\)", running.COMMIT)


def test_ours_counts_no_step_without_an_answer(tiny: Any) -> None:
    ours, task = room("bench.ours"), room("bench.task")
    others = np.where(tiny.train.expected == task.NO_ANSWER, 1, tiny.train.expected)
    _, labels, weight = ours.arguments(tiny.train)
    assert weight.sum() == (tiny.train.expected != task.NO_ANSWER).sum()
    assert (labels == others)[weight > 0].all()
    reached = ours.train(replace(tiny, epochs=12), "gru", 0, 0.03)
    assert reached.chosen_loss < 0.69, "the loss of a network that knows nothing is 0.693"


# Peers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maker", "package"), [("torch_peers", "torch"), ("jax_peers", "jax"), ("reservoirs", "reservoirpy")]
)
def test_a_peer_runs(maker: str, package: str, tiny: Any) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    for entry in room(f"bench.{maker}").entries(replace(tiny, epochs=30)):
        run = entry.train(0, entry.settings[-1])
        assert 0 <= run.score < 0.5, "more right than wrong answers"
        assert run.chosen_loss < 0.69, "the loss of a network that knows nothing is 0.693"
        assert 0.7 < run.parameters / tiny.parameters < 1.3


@pytest.mark.parametrize("size", [0.01, 30.0], ids=["plain", "clipped"])
def test_jax_and_torch_update_the_same(size: float) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("jax", reason="jax is not installed")
    import jax

    jax_peers = room("bench.jax_peers")
    p = jax_peers.drawn("LSTM", 2, 3, 2, seed=0)
    update, cost, _ = jax_peers.compiled("LSTM", "mse", True)
    inputs, lengths = np.random.default_rng(1).normal(size=(4, 6, 2)).astype(np.float32), np.full(4, 6, np.int32)
    wanted = size * np.random.default_rng(2).normal(size=(4, 6, 2)).astype(np.float32)
    weights = {name: torch.tensor(np.array(value), requires_grad=True) for name, value in p.items()}
    adam = torch.optim.Adam(weights.values(), lr=0.01)
    state = [jax.tree.map(jax.numpy.asarray, p), *(jax.tree.map(jax.numpy.zeros_like, p) for _ in range(2))]
    for count in (1, 2, 3):
        gradient = jax.grad(cost)(state[0], inputs, lengths, wanted)
        for name, weight in weights.items():
            weight.grad = torch.tensor(np.array(gradient[name]))
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), room("bench.ours").CLIP_NORM)
        assert (norm > 1) == (size > 1)
        adam.step()
        state = list(update(*state, float(count), 0.01, inputs, lengths, wanted))
        for name, weight in weights.items():
            np.testing.assert_allclose(state[0][name], weight.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_jax_and_torch_compute_the_same(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("jax", reason="jax is not installed")
    jax_peers = room("bench.jax_peers")
    torch_peers = room("bench.torch_peers")  # brings examples/real into the path
    import torch_peer

    p = jax_peers.drawn(kind, 3, 5, 2, seed=0)
    model = torch_peer.Recurrent(kind, 3, 5, 2)
    with torch.no_grad():
        for name, array in {
            "recurrent.weight_ih_l0": p["seen"].T, "recurrent.weight_hh_l0": p["old"].T,
            "recurrent.bias_ih_l0": p["seen_bias"], "recurrent.bias_hh_l0": p["old_bias"],
            "head.weight": p["head"].T, "head.bias": p["head_bias"],
        }.items():  # fmt: skip
            model.get_parameter(name).copy_(torch.as_tensor(array.copy()))
    assert model.parameter_count == torch_peers.parameters_of(kind, 5, 3, 2)
    inputs, lengths = np.random.default_rng(1).normal(size=(4, 6, 3)).astype(np.float32), np.array([6, 2, 5, 6])
    with torch.no_grad():
        wanted = model(torch.as_tensor(inputs), torch.as_tensor(lengths)).numpy()
    np.testing.assert_allclose(jax_peers.logits(kind, False, p, inputs, lengths), wanted, atol=1e-6)


# What scores are made of ----------------------------------------------------------------------------------------------


def test_the_nearest_width() -> None:
    nearest = room("bench.entry").nearest_width
    assert nearest(lambda width: width**2 + width, 1000) == 31  # 992; 32 has 1,056
    assert nearest(lambda width: 10 * width, 4) == 1


def test_every_text_compiles_at_about_the_wanted_size(tiny: Any) -> None:
    ours = room("bench.ours")
    for name in room("bench.texts").TEXTS:
        size = ours.compiled(tiny.text(name, ours.width_of(tiny, name))).parameter_count
        assert 0.6 < size / tiny.parameters < 1.4, name


def test_held_out_sequences_are_of_all_classes_and_set_no_scale() -> None:
    task = room("bench.task")
    labels = np.repeat(np.arange(3), 10)
    sequences = [np.full((4, 1), 100.0 if task.held_out(labels, 5)[n] else n) for n in range(30)]
    parts = task.classes((sequences, labels), (sequences, labels), share=5)
    assert np.bincount(parts["choose"].expected).tolist() == [2, 2, 2]
    assert len(parts["train"].inputs) == 24
    assert np.concatenate(parts["train"].inputs).mean() == pytest.approx(0, abs=1e-6)
    assert min(sequence.min() for sequence in parts["choose"].inputs) > 5


def test_parts_of_a_series_do_not_overlap_in_what_is_forecast() -> None:
    task = room("bench.task")
    series = np.arange(100.0)
    parts = task.forecasts(series, (60, 75, 100), ahead=3, window=10, step=5)
    known = {name: part.expected[~np.isnan(part.expected)] for name, part in parts.items()}
    back = {name: np.round(values * series[:60].std() + series[:60].mean()) for name, values in known.items()}
    assert back["train"].max() <= 59
    assert (back["choose"].min(), back["choose"].max()) == (60, 74)
    assert (back["test"].min(), back["test"].max()) == (75, 99)
    for part in parts.values():
        ahead = np.nanmax(part.expected - part.inputs) * series[:60].std()
        assert ahead == pytest.approx(3, abs=1e-4)


def test_the_normalised_error_of_the_mean_is_one() -> None:
    task = room("bench.task")
    expected = np.array([[[1.0], [np.nan], [5.0]]])
    assert task.normalised_error(task.Part(None, expected), np.full((1, 3, 1), 3.0)) == pytest.approx(1)


def test_a_reservoir_is_sparse_and_has_its_radius_and_its_output_is_a_regression(tiny: Any) -> None:
    reservoirs = room("bench.reservoirs")
    matrix = reservoirs.random_reservoir(np.random.default_rng(0), 60, 0.9)
    assert np.abs(np.linalg.eigvals(matrix)).max() == pytest.approx(0.9)
    assert 0.05 < (matrix != 0).mean() < 0.15
    states = np.random.default_rng(1).normal(size=(*tiny.train.expected.shape, 4))
    weight, bias = reservoirs.fitted(tiny, states, 1e-9)
    read, targets = reservoirs.answered(tiny, tiny.train, states)
    right = np.linalg.lstsq(np.column_stack([read, np.ones(len(read))]), targets, rcond=None)[0]
    np.testing.assert_allclose(np.vstack([weight, bias]), right, atol=1e-6)


def test_an_output_is_fitted_to_the_states_of_steps_that_have_an_answer(tiny: Any) -> None:
    task, reservoirs = room("bench.task"), room("bench.reservoirs")
    states = np.random.default_rng(1).normal(size=(3, 9, 4))
    read, targets = reservoirs.answered(tiny, tiny.train.head(3), states)
    np.testing.assert_array_equal(read, states[:, 3:].reshape(-1, 4))
    np.testing.assert_array_equal(targets.argmax(axis=1), tiny.train.expected[:3, 3:].reshape(-1))
    uneven, labels = [states[0], states[1, :5], states[2, :7]], task.Part(None, np.array([1, 0, 1]))
    read, targets = reservoirs.answered(tiny, labels, uneven)
    np.testing.assert_array_equal(read, [states[0, 8], states[1, 4], states[2, 6]])
    np.testing.assert_array_equal(targets, [[0, 1], [1, 0], [0, 1]])
    gaps = task.Part(None, np.array([[1.0, 2.0], [np.nan, 3.0], [4.0, 5.0]]))
    read, targets = reservoirs.answered(tiny, gaps, uneven)
    np.testing.assert_array_equal(read, [states[0, 8], states[2, 6]])
    np.testing.assert_array_equal(targets, [[1, 2], [4, 5]])


@pytest.fixture
def told_apart(tiny: Any) -> Any:
    """Sequences of different lengths with one label: the sign of their last number."""
    task = room("bench.task")
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(length, 1)).astype(np.float32) for length in rng.integers(3, 9, 60)]
    part = task.Part(inputs, np.array([int(sequence[-1, 0] > 0) for sequence in inputs]))
    return replace(tiny, train=part, choose=part, test=part, score=task.accuracy, more_is_better=True)


def test_echo_state_networks_learn_one_label_for_a_sequence(told_apart: Any) -> None:
    ours, reservoirs = room("bench.ours"), room("bench.reservoirs")
    setting = reservoirs.Setting(0.9, 1.0, 1e-6)
    for name in ours.READ:
        assert ours.echo_state(told_apart, name, 0, setting).score > 0.9
    pytest.importorskip("reservoirpy", reason="reservoirpy is not installed")
    assert reservoirs.train(told_apart, 0, setting).score > 0.9


def test_a_reservoir_says_yes_where_the_regression_is_above_one_half(tiny: Any) -> None:
    task, ours, reservoirs = room("bench.task"), room("bench.ours"), room("bench.reservoirs")
    inputs = np.random.default_rng(0).normal(size=(40, 6, 1)).astype(np.float32)
    part = task.Part(inputs, np.concatenate([inputs > 1.0, inputs > -1.0], axis=2).astype(np.float32))

    def wrong(part: Any, answers: Any) -> float:
        return float(((np.asarray(answers) > 0.5) != part.expected).mean())

    parts = {"train": part, "choose": part, "test": part}
    yes_or_no = replace(tiny, **parts, loss="binary_cross_entropy", score=wrong)
    run = ours.echo_state(yes_or_no, "echo_state", 0, reservoirs.Setting(0.9, 1.0, 1e-6))
    assert run.score < 0.1, "the rarer answer of each output is given in one of six cases"


@pytest.mark.parametrize("name", ["simple_copy", "cross_situation", "sinus_forecasting"])
def test_the_score_is_that_of_cogscale(name: str) -> None:
    cogscale = pytest.importorskip("cogscale", reason="cogscale is not installed")
    cog_scale = room("cog_scale")
    task, data = cog_scale.task(name, "small", 1000), cogscale.build_task(name, difficulty="small", seed=0)
    logits = np.random.default_rng(0).normal(size=data["Y_test"].shape)
    ours = 1 / (1 + np.exp(-logits)) if task.loss == "binary_cross_entropy" else logits
    wanted = cogscale.compute_score(data["Y_test"], logits, data["category"])
    assert task.score(task.test, ours) == pytest.approx(wanted, rel=1e-5)


# Tables ---------------------------------------------------------------------------------------------------------------


def report_of(*outcomes: tuple[str, bool, float, float, float], more_is_better: bool = True) -> Any:
    """A report of entries: name, ours, score on the test data, score on the data to choose by, seconds."""
    running, entry = room("bench.running"), room("bench.entry")
    made = running.Report(
        "t", "A task", "made here", "accuracy", more_is_better, 100, [], "a budget", [0, 1], "a machine"
    )
    for name, ours, score, chosen, seconds in outcomes:
        runs = [entry.Run(score + shift, chosen, 0.5, seconds, 100) for shift in (-0.01, 0.01)]
        made.outcomes.append(running.Outcome(name, ours, "rate 0.01", runs))
    return made


def test_held_out_data_choose_ours_and_the_test_data_choose_the_peer() -> None:
    report = report_of(
        ("a", True, 0.9, 0.7, 1.0), ("b", True, 0.6, 0.8, 1.0), ("P", False, 0.7, 0.9, 4.0), ("Q", False, 0.8, 0.1, 2.0)
    )
    assert (report.best_ours().name, report.best_peer().name) == ("b", "Q")
    assert not report.reached()
    assert report.winners(1 / 3) == []
    assert [one.name for one in report.winners(1 / 2)] == ["a"]
    said = room("bench.report").one_task(report)
    assert "**`b`, ours, chosen** | 0.600 (0.590 to 0.610) | 1 s | 100 |" in said
    assert "`b`, chosen on held-out data, is NOT as good as the best peer, Q: 0.600 and 0.800, in 0.50 of its" in said


def test_of_equally_good_texts_the_quickest_is_chosen() -> None:
    report = report_of(("slow", True, 0.9, 0.8, 2.0), ("quick", True, 0.6, 0.8, 1.0), ("worse", True, 0.9, 0.7, 0.1))
    report.outcomes[1].runs = [replace(run, chosen_loss=9.0) for run in report.outcomes[1].runs]
    assert report.best_ours().name == "quick", "losses of reservoirs and of other networks have different units"


def test_the_time_is_that_of_the_library_that_trains_the_same_network_quickest() -> None:
    report = report_of(
        ("a", True, 0.9, 0.7, 1.0), ("PyTorch GRU", False, 0.8, 0.9, 9.0), ("JAX GRU", False, 0.7, 0.9, 2.0),
        ("JAX LSTM", False, 0.1, 0.9, 0.1), ("PyTorch GRU of the paper", False, 0.2, 0.9, 0.2),
    )  # fmt: skip
    assert report.best_peer().name == "PyTorch GRU"
    assert report.peer_seconds() == 2.0
    assert report.share_of_time() == 0.5
    assert (report.winners(0.4), [one.name for one in report.winners(0.5)]) == ([], ["a"])


def test_of_an_error_less_is_better_and_the_counts_are_of_both_goals() -> None:
    good = report_of(("a", True, 0.2, 0.2, 1.0), ("P", False, 0.3, 0.1, 4.0), more_is_better=False)
    slow = report_of(("a", True, 0.2, 0.2, 3.0), ("P", False, 0.3, 0.1, 4.0), more_is_better=False)
    bad = report_of(("a", True, 0.4, 0.2, 1.0), ("P", False, 0.3, 0.1, 4.0), more_is_better=False)
    assert [one.reached() for one in (good, slow, bad)] == [True, True, False]
    said = room("bench.report").many_tasks([good, slow, bad])
    assert "at least as good as the best peer in 2 of 3, and in at most a third of its time in 1. Some text" in said
    assert said.count("| yes | yes | `a` |") == 1


def test_a_longer_time_is_said_in_words() -> None:
    said = room("bench.report").one_task(report_of(("a", True, 0.9, 0.7, 3.0), ("P", False, 0.7, 0.9, 0.4)))
    assert "0.900 and 0.700, in 7.5 times its time, more than a third." in said


def test_budgets_that_differ_are_named_where_no_other_table_names_them() -> None:
    report, one, other = room("bench.report"), report_of(), report_of()
    assert "Seeds 0 to 1; a budget. a machine" in report.many_tasks([one, other], tables_follow=True)
    other.setting = "another budget"
    assert "Seeds 0 to 1; a budget; or another budget. a machine" in report.many_tasks([one, other])
    assert "Seeds 0 to 1; the budget is below each table. a" in report.many_tasks([one, other], tables_follow=True)


def test_the_page_has_the_tables_of_the_results() -> None:
    run_all = room("run_all")
    page = run_all.PAGE.read_text(encoding="utf-8")
    assert run_all.renewed(page, run_all.RESULTS) == page, "python examples/benchmarks/run_all.py --page"
    for name in ("overview", *run_all.NAMES):
        assert f"<!-- results: {name} -->" in page


@pytest.mark.parametrize("name", PACKAGES)
def test_a_table_beside_numbers_is_made_of_them(name: str) -> None:
    numbers = BENCHMARKS / "results" / f"{name}.json"
    table = room("bench.report").markdown(room("bench.running").loaded(numbers))
    assert numbers.with_suffix(".md").read_text(encoding="utf-8") == table, "run_all.py --page renews it"


def test_the_pictures_of_the_page_are_those_of_the_results() -> None:
    run_all = room("run_all")
    ours, shown = ({path.name: path.read_bytes() for path in folder.glob("*.png")}
                   for folder in (run_all.RESULTS, run_all.PICTURES))  # fmt: skip
    assert ours == shown, "python examples/benchmarks/run_all.py --page"
