"""Tables as people have them: each is read right, or refused with its file, line, column and what to do."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import neuromorph as nm
from helpers.commands import run
from neuromorph.cli.arrays import Arrays, Source
from neuromorph.cli.data import read

CROSS, MSE = "<softmax>, <cross_entropy>", "<linear>, <mse>"
BINARY, HINGE = "<sigmoid>, <binary_cross_entropy>", "<linear>, <hinge>"
AMBIGUOUS = "its first line {} may be names or values: give --header or --no-header"
GAP = "--missing drop leaves such rows out, --missing mean puts the mean of the column there"
MIXED = "as others in it are: correct it; {}"
CHOICE = "--categories takes all of them as categories, --ignore leaves the column out"
UNITS = "write numbers without units and without marks between thousands"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compiled(width: int, out: int = 2, loss: str = CROSS) -> nm.Model:
    return nm.compile(f"/xavier,zero/ (i, {width}) (o, {out}, {loss})", 4, 0.1)


def table(text: str | bytes, width: int, out: int = 2, loss: str = CROSS, name: str = "t.csv", **source: Any) -> Arrays:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(Source(data=name, **source), compiled(width, out, loss))


def refused(*arguments: Any, **source: Any) -> str:
    with pytest.raises(click.ClickException) as caught:
        table(*arguments, **source)
    return caught.value.message.removeprefix("t.csv: ")


TWO = [[1, 2], [3, 4]]
RIGHT: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "decimal comma": ("a;b;k\n1,5;2;x\n-3,25;4;y\n", [[1.5, 2], [-3.25, 4]], ("x", "y"), {}),
    "tabs": ("a\tb\tk\n1\t2\tx\n3\t4\ty\n", TWO, ("x", "y"), {}),
    "quotes": ('a,b,k\n"1","2","x, y"\n"3","4","say ""hi"""\n', TWO, ('say "hi"', "x, y"), {}),
    "quoted line ends": ('a,b,k\n1,2,"x\ny"\n3,4,z\n', TWO, ("x\ny", "z"), {}),
    "byte order mark": ("\ufeffa,b,k\n1,2,x\n3,4,y\n", TWO, ("x", "y"), {}),
    "empty last lines": ("a,b,k\r\n1,2,x\r\n3,4,y\r\n\r\n  \r\n", TWO, ("x", "y"), {}),
    "last separators": ("a,b,k,\n1,2,x,\n3,4,y,\n", TWO, ("x", "y"), {}),
    "rows of separators": ("a,b,k\n1,2,x\n3,4,y\n,,\n", TWO, ("x", "y"), {"missing": "drop"}),
    "spaces": (" a , b , k \n 1 , 2 , x \n3,4, y\n", TWO, ("x", "y"), {}),
    "names of the world": ("größe,年,k\n1,2,süß\n3,4,酸\n", TWO, ("süß", "酸"), {"targets": "k"}),
    "a constant": ("a,b,k\n1,7,x\n3,7,y\n", [[1, 7], [3, 7]], ("x", "y"), {}),
    "truths": ("m,a,k\nYes,2,TRUE\nno,4,FALSE\n", [[1, 2], [0, 4]], ("FALSE", "TRUE"), {}),
    "signs and exponents": ("a,b,k\n+1e0,.2E1,x\n3.,4,y\n", TWO, ("x", "y"), {}),
    "classes from 1": ("a,b,k\n1,2,1\n3,4,2\n", TWO, (1, 2), {}),
    "classes by tens": ("a,b,k\n1,2,20\n3,4,10.0\n", TWO, (10, 20), {}),
    "classes from 0": ("a,b,k\n1,2,0\n3,4,1.0\n", TWO, None, {}),
    "years as names": ("1990,1991,1992\n1,2,0\n3,4,1\n", TWO, None, {"header": True}),
    "days": ("d,b,k\n2024-01-31,2,x\n2024-02-01 12:00,4,y\n", [[0, 2], [1.5, 4]], ("x", "y"), {"dates": True}),
    "days of Germany": ("d;b;k\n31.01.2024;2;x\n01.02.2024;4;y\n", [[0, 2], [1, 4]], ("x", "y"), {"dates": True}),
    "days before months": ("d,b,k\n31/01/2024,2,x\n01/02/2024,4,y\n", [[0, 2], [1, 4]], ("x", "y"), {"dates": True}),
    "means": ("a,b,k\n1,2,x\nNA,4,y\n3,?,y\n", [[1, 2], [2, 4], [3, 3]], ("x", "y"), {"missing": "mean"}),
    "two columns of one name": ("a,a,b,k\n1,9,2,x\n3,9,4,y\n", TWO, ("x", "y"), {"ignore": "2"}),
    "categories": ("c,k\nred,x\nblue,y\n", [[0, 1], [1, 0]], ("x", "y"), {}),
    "codes": ("c,k\n007,x\n123,y\n", [[1, 0], [0, 1]], ("x", "y"), {"categories": "c"}),
    "an empty column": ("a,e,b,k\n1,,2,x\n3,,4,y\n", TWO, ("x", "y"), {}),
    "dates that are left out": ("a,d,b,k\n1,03/01/2024,2,x\n3,01/02/2024,4,y\n", TWO, ("x", "y"), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_tables_that_are_read_right(name: str) -> None:
    text, inputs, classes, source = RIGHT[name]
    found = table(text, 2, **source)
    np.testing.assert_array_equal(found.inputs, np.array(inputs, np.float32))
    assert found.classes == classes
    assert found.labels is not None
    assert len(found.labels) == len(inputs)


def test_labels_are_the_places_of_classes() -> None:
    assert table("a,b,k\n1,2,z\n3,4,a\n5,6,z\n", 2).labels.tolist() == [1, 0, 1]  # type: ignore[union-attr]
    many = "a,k\n" + "".join(f"{n * 0.5},class {n}\n" for n in range(2_000))
    found = table(many, 1, 2_000)
    assert found.classes is not None
    assert found.labels is not None
    assert [found.classes[int(label)] for label in found.labels[:3]] == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize(
    ("text", "loss", "expected", "classes"),
    [
        ("a,k\n1,spam\n2,ham\n", BINARY, [[1], [0]], ("ham", "spam")),
        ("a,k\n1,spam\n2,ham\n", HINGE, [[1], [-1]], ("ham", "spam")),
        ("a,k\n1,yes\n2,no\n", BINARY, [[1], [0]], ("no", "yes")),
        ("a,k\n1,1\n2,0\n", BINARY, [[1], [0]], None),
        ("a,k\n1,true\n2,false\n", MSE, [[1], [0]], None),
        ("a,k\n1,2.5\n2,-1e2\n", MSE, [[2.5], [-100]], None),
    ],
)
def test_answers_of_one_number(text: str, loss: str, expected: Any, classes: Any) -> None:
    found = table(text, 1, 1, loss)
    assert found.expected is not None
    np.testing.assert_array_equal(found.expected, expected)
    assert found.classes == classes


WRONG: dict[str, tuple[str | bytes, int, int, str, dict[str, Any], str]] = {
    "thousands": (
        "a;k\n1,500;x\n900;y\n", 1, 2, CROSS, {},
        "column 1 ('a') has numbers such as 1,500, and its comma may stand before decimals or thousands: write a "
        "decimal point, and nothing between thousands",
    ),
    "quoted thousands": (
        'a,k\n"1,500",x\n900,y\n', 1, 2, CROSS, {},
        "column 1 ('a') has numbers such as 1,500, and its comma may stand before decimals or thousands: write a "
        "decimal point, and nothing between thousands",
    ),
    "points and commas": (
        "a;k\n1,5;x\n1.5;y\n", 1, 2, CROSS, {},
        f"line 2, column 1 ('a') is '1,5', not a number, {MIXED.format(UNITS)}",
    ),
    "units": ("a,k\n12%,x\n13%,y\n", 1, 2, CROSS, {},
        "column 1 ('a') has numbers such as '12%': write them without units"),
    "a unit": ("a,k\n12,x\n13 €,y\n", 1, 2, CROSS, {},
        f"line 3, column 1 ('a') is '13 €', not a number, {MIXED.format(UNITS)}"),
    "a slip": ("a,k\n12,x\n1x,y\n", 1, 2, CROSS, {},
        f"line 3, column 1 ('a') is '1x', not a number, {MIXED.format(CHOICE)}"),
    "a gap": ("a,k\n12,x\n,y\n", 1, 2, CROSS, {}, f"line 3, column 1 ('a') is empty: {GAP}"),
    "a word for a gap": (
        "a,k\n12,x\nN/A,y\n", 1, 2, CROSS, {},
        f"line 3, column 1 ('a') is 'N/A', which stands for a missing value: {GAP}",
    ),
    "no class": (
        "a,k\n12,x\n3,\n4,y\n", 1, 2, CROSS, {},
        "line 3, column 2 ('k') is empty: --missing drop leaves such rows out, --missing skip leaves what is not known "
        "out of the loss",
    ),
    "latin": ("a,k\n1,é\n2,y\n".encode("latin1"), 1, 2, CROSS, {},
              "not a text in UTF-8: see line 2; iconv -f latin1 -t utf8 converts many of those that are not"),
    "utf-16": ("a,k\n1,x\n".encode("utf-16"), 1, 2, CROSS, {},
        "a text in UTF-16, and tables are read in UTF-8: save it as that"),
    "old line ends": (b"a,k\r1,x\r2,y\r", 1, 2, CROSS, {},
                      "its lines end in carriage returns alone: save it with the line ends of Unix or Windows"),
    "a stray quote": ('a,k\n1,5" pipe\n2,y\n', 1, 2, CROSS, {}, "line 2 has a quote that is not closed"),
    "one name twice": (
        "a,a,k\n1,2,x\n3,4,y\n", 2, 2, CROSS, {},
        "columns 1 and 2 are both called 'a': rename one, or leave one out by its number, --ignore 2",
    ),
    "counted names": ("0,1,2\n0.5,1.5,1\n", 2, 2, CROSS, {}, AMBIGUOUS.format("0,1,2")),
    "years": ("city,1990,1991\nOslo,1,2\n", 2, 1, MSE, {}, AMBIGUOUS.format("city,1990,1991")),
    "truths for names": ("True,False\n1,2\n", 1, 1, MSE, {}, AMBIGUOUS.format("True,False")),
    "codes": (
        "zip,k\n01234,x\n99999,y\n", 1, 2, CROSS, {},
        "column 1 ('zip') has numbers that begin with 0, as codes do: --categories takes them as categories, --ignore "
        "leaves them out",
    ),
    "dates of two forms": (
        "d,k\n2024-01-31,x\n01.02.2024,y\n", 1, 2, CROSS, {},
        "column 1 ('d') has dates in several forms, such as '01.02.2024' and '2024-01-31': write them all in one",
    ),
    "days or months": (
        "d,k\n03/01/2024,x\n01/02/2024,y\n", 1, 2, CROSS, {"dates": True},
        "column 1 ('d') has dates that are day/month/year or month/day/year: write them as year-month-day",
    ),
    "names of people": (
        "name,k\n" + "".join(f"n{n},{'xy'[n % 2]}\n" for n in range(1_001)), 1, 2, CROSS, {},
        "column 1 ('name') has 1,001 different texts, such as 'n0', 'n1', 'n10': --ignore leaves it out, --categories "
        "makes a number of each",
    ),
    "too many columns": (
        "a,c,k\n1,red,x\n2,blue,y\n", 1, 2, CROSS, {},
        "its columns but the last become 3 numbers, 1 of 'a', 2 of 'c', and the model takes 1; --targets names the "
        "columns of what is expected",
    ),
    "too many classes": (
        "a,k\n1,x\n2,y\n3,z\n", 1, 2, CROSS, {},
        "column 2 ('k') has 3 classes, 'x', 'y', 'z', and the model's output with 2 numbers 2",
    ),
    "words for numbers": (
        "a,k\n1,x\n2,y\n", 1, 1, MSE, {},
        "column 2 ('k') has texts, and numbers are expected; classes need the loss cross_entropy and an output with a "
        "number for each class",
    ),
    "infinite": ("a,k\n1,x\n-inf,y\n", 1, 2, CROSS, {}, "line 3, column 1 ('a') is -inf, and must be a finite number"),
    "weights": ("a,w,k\n1,2,x\n3,,y\n", 1, 2, CROSS, {"weights": "w"},
        "line 3, column 2 ('w') is empty: write a number there"),
    "weights in words": ("a,w,k\n1,much,x\n3,few,y\n", 1, 2, CROSS, {"weights": "w"},
                         "column 2 ('w') has no numbers, and is to be weights"),
    "no column": ("a,k\n1,x\n", 1, 2, CROSS, {"targets": "kind"}, "it has no column 'kind'; its columns are a, k"),
    "nothing at all": ("a,k\n", 1, 2, CROSS, {}, "it has no rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_tables_that_are_refused(name: str) -> None:
    text, width, out, loss, source, said = WRONG[name]
    assert refused(text, width, out, loss, **source) == said


def test_what_is_said_of_a_table() -> None:
    rows = "".join(f"{n},n{n},{n % 7 * 1e4},{n % 3},2024-01-{n + 1:02d},,x\n" for n in range(20))
    found = table("id,name,far,near,day,gap,k\n" + rows + "1,n1,1,1,2024-01-01,,y\n", 1 + 20 + 2)
    assert found.notes == (
        "'day' has dates and is left out: --dates takes them as days",
        "'gap' is empty and is left out",
    )
    found = table("id,name,far,near,day,gap,k\n" + rows.replace(",x\n", ",y\n", 1), 1 + 20 + 2)
    assert found.notes[2:] == (
        "column 1 ('id') counts the rows, and says nothing of what is expected: --ignore leaves it out",
        "column 2 ('name') has another text in each row, as names have: --ignore leaves it out",
    )
    assert found.unlike == "column 3 ('far') has numbers of about 3.4e+04, and column 2 ('name') of about 1"


def test_missing_answers_may_be_skipped() -> None:
    found = table("a,b,k\n1,2,x\n3,4,\n5,6,y\n", 2, missing="skip")
    np.testing.assert_array_equal(found.labels, [0, np.nan, 1])
    assert found.skips
    found = table("a,y\n1,2\n,4\n5,\n", 1, 1, MSE, missing="mean,skip")
    np.testing.assert_array_equal(found.expected, [[2], [4], [np.nan]])
    np.testing.assert_array_equal(found.inputs, [[1], [3], [5]])
    found = table("a,y\n1,2\n,4\n5,\n", 1, 1, MSE, missing="drop")
    assert (found.inputs.tolist(), found.notes) == ([[1]], ("2 of 3 rows have missing values and are left out",))
    for wrong in ("mean,drop", "fill", "skip,skip", ""):
        with pytest.raises(click.UsageError, match="takes error, drop or mean"):
            table("a,y\n1,2\n", 1, 1, MSE, missing=wrong)


@pytest.mark.usefixtures("interpreted")
def test_scales_are_those_of_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.mdl").write_text("/xavier,zero/ (in, 1) (units, <standardize>) (y, 2, <restore>, <mse>)")
    Path("t.csv").write_text("a,y,z\n1,10,7\n2,,9\n3,30,11\n4,,\n")
    command = ("train", "net.mdl", "--data", "t.csv", "--targets", "y,z", "--missing", "skip", "--epochs", "1")
    _, err = run(capsys, *command, "--save", "net.safetensors")
    assert "means and scales are set from the data: units, y\n" in err
    found = nm.load("net.safetensors").get_parameters()
    np.testing.assert_allclose(found["units.mean"], [2.5])
    np.testing.assert_allclose(found["y.mean"], [20.0, 9.0])
    np.testing.assert_allclose(found["y.scale"], [10.0, np.std([7, 9, 11])], rtol=1e-6)


def test_weights_and_names_with_commas() -> None:
    found = table('"a, b",w,y\n1,2,5\n3,0.5,6\n', 1, 1, MSE, weights="w", targets="y")
    assert found.sample_weight is not None
    assert (found.inputs.tolist(), found.sample_weight.tolist()) == ([[1], [3]], [2, 0.5])
    found = table('a,"b, c"\n1,2\n3,4\n', 1, 1, MSE, targets="b, c")
    assert (found.inputs.tolist(), found.expected.tolist()) == ([[1], [3]], [[2], [4]])  # type: ignore[union-attr]
    with pytest.raises(click.UsageError, match="--weights and --time name the same column"):
        table("a,w,y\n1,2,5\n", 1, 1, MSE, weights="w", time="2")


# Other files ----------------------------------------------------------------------------------------------------------


def test_other_files_are_read_as_csv_is() -> None:
    pl = pytest.importorskip("polars")
    text = "a,c,m,d,k\n1.5,red,true,2024-01-31,x\n,blue,false,2024-02-01,y\n3,red,true,2024-02-02,x\n"
    source = {"missing": "mean", "dates": True}
    wanted = table(text, 5, **source)
    frame = pl.read_csv(Path("t.csv"), try_parse_dates=True)
    assert frame.dtypes == [pl.Float64, pl.String, pl.Boolean, pl.Date, pl.String]
    frame.write_parquet("t.parquet")
    frame.with_columns(pl.col("c").cast(pl.Categorical), pl.col("d").cast(pl.Datetime)).write_ipc("t.arrow")
    frame.write_ndjson("t.ndjson")
    Path("t.csv.gz").write_bytes(gzip.compress(Path("t.csv").read_bytes()))
    for name in ("t.parquet", "t.arrow", "t.ndjson", "t.csv.gz"):
        found = read(Source(data=name, **source), compiled(5))  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.inputs, wanted.inputs)
        np.testing.assert_array_equal(found.labels, wanted.labels)
        assert found.classes == wanted.classes
    pl.DataFrame({"a": [[1], [2]], "k": ["x", "y"]}).write_parquet("lists.parquet")
    with pytest.raises(click.ClickException, match=r"lists.parquet: column 1 \('a'\) has the type List\(Int64\), and"):
        read(Source(data="lists.parquet"), compiled(1))
    Path("junk.parquet").write_bytes(b"junk")
    with pytest.raises(click.ClickException, match=r"junk.parquet: not a .parquet file: "):
        read(Source(data="junk.parquet"), compiled(1))
    Path("junk.csv.gz").write_bytes(b"\x1f\x8bjunk")
    with pytest.raises(click.ClickException, match=r"junk.csv.gz: not a sound gzip file: "):
        read(Source(data="junk.csv.gz"), compiled(1))


def test_without_polars_tables_of_numbers_are_read_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a,b,k\n" + "".join(f"{n / 7:.6g},-{n}e-3,{n % 2 + 1}\n" for n in range(50)) + "\n\n"
    wanted = table(text, 2)
    monkeypatch.setitem(sys.modules, "polars", None)
    found = table(text, 2)
    assert found.schema == wanted.schema
    assert found.classes == (1, 2)
    np.testing.assert_array_equal(found.inputs, wanted.inputs)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    needs = "tables with words, dates or gaps need Polars, which is not installed: pip install 'neuromorph[tables]'"
    assert refused("a,b,k\n1,2,0\n3,x,1\n", 2) == f"line 3, column 2 ('b') is 'x', not a number; {needs}"
    assert refused("a,b,k\n1,2,0\n3,,1\n", 2) == f"line 3, column 2 ('b') is empty, not a number; {needs}"
    with pytest.raises(
        click.ClickException, match=r"t.parquet: .parquet files need Polars, which is not installed: pip"
    ):
        table(b"", 2, name="t.parquet")


# The whole way --------------------------------------------------------------------------------------------------------

PEOPLE = "age,city,joined,member,pay\n" + "".join(
    f"{'' if n % 9 == 4 else 20 + n},{('Oslo', 'Rome', 'Bern')[n % 3]},2024-03-{n % 28 + 1:02d},"
    f"{'yes' if n % 4 else 'no'},{('low', 'high')[n % 3 == 1]}\n"
    for n in range(60)
)  # fmt: skip
MODEL = "/xavier,zero/ (in, 5) (units, <standardize>) (h, 6, <tanh>) (pay, 2, <softmax>, <cross_entropy>)"
TRAIN = ("train", "net.mdl", "--data", "people.csv", "--missing", "mean", "--save", "net.safetensors", "--seed", "3")


@pytest.mark.usefixtures("interpreted")
def test_from_a_table_to_a_model_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    Path("people.csv").write_text(PEOPLE)
    Path("net.mdl").write_text(MODEL)
    options = ("--epochs", "3", "--optimizer", "adam", "--rate", "0.1", "--validation", "0.2")
    _, err = run(capsys, *TRAIN, *options)
    for said in (
        "people.csv: 60 vectors, 5 numbers each\n", "'joined' has dates and is left out",
            "7 missing values got the mean",
        "means and scales are set from the data: units\n",
    ):  # fmt: skip
        assert said in err
    model = nm.load("net.safetensors")
    assert model.classes == ("high", "low")
    assert model.table is not None
    assert [column.kind for column in model.table.columns] == ["number", "category", "left out", "boolean", "class"]
    out, err = run(capsys, "evaluate", "net.safetensors", "--data", "people.csv")
    assert out.startswith("loss ")
    assert "7 missing values got the mean of their column" in err
    Path("new.csv").write_text("member,city,age\nyes,Rome,\nno,Bern,33\n")
    x = np.array([[model.table.columns[0].means[0], 0, 0, 1, 1], [33, 1, 0, 0, 0]], np.float32)
    wanted = [("high", "low")[row.argmax()] for row in model.predict(x, layout="NW")]
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "new.csv", "--labels")
    assert out.split() == wanted
    run(capsys, "predict", "net.safetensors", "--data", "new.csv", "-o", "y.npy")
    np.testing.assert_array_equal(np.load("y.npy"), model.predict(x, layout="NW"))
    out, _ = run(capsys, "train", "--resume", "net.safetensors", "--data", "people.csv", "--epochs", "1", "-q")
    assert out.startswith("net.safetensors: 1 epoch")
    assert nm.load("net.safetensors").table == model.table


@pytest.mark.usefixtures("interpreted")
def test_classes_have_weights_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    Path("people.csv").write_text(PEOPLE)
    Path("net.mdl").write_text(MODEL)
    found = []
    for weights in ("high=3,low=1.5", "0=3,1=1.5", "balanced", "high=1.5,low=0.75"):  # 20 are high, 40 low
        run(capsys, *TRAIN, "--epochs", "1", "-q", "--class-weight", weights)
        found.append(nm.load("net.safetensors").get_parameters())
    for one, other in (found[:2], found[2:]):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])
    _, err = run(capsys, *TRAIN, "--epochs", "1", "-q", "--class-weight", "middle=3", code=2)
    assert "--class-weight has the class middle, and the classes are high, low" in err
    _, err = run(capsys, *TRAIN, "--epochs", "1", "-q", "--class-weight", "balance", code=2)
    assert "--class-weight is balance, and needs a weight for each label, such as high=1,low=5, or 'balanced'" in err


@pytest.mark.usefixtures("interpreted")
def test_tables_are_read_in_the_type_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    values = np.random.default_rng(1).normal(size=20) + 1e3
    Path("t.csv").write_text("a,b\n" + "".join(f"{value!r},{n}\n" for n, value in enumerate(values.tolist())))
    Path("net.mdl").write_text("/xavier,zero/ (in, 1) (units, <standardize>) (out, 1, <linear>, <mse>)")
    command = ("train", "net.mdl", "--data", "t.csv", "--save", "net.safetensors", "--epochs", "1", "-q")
    run(capsys, *command, "--dtype", "float64", "--rate", "0.001")
    mean = nm.load("net.safetensors").get_parameters()["units.mean"]
    np.testing.assert_allclose(mean, [values.mean()], rtol=1e-14)


@pytest.mark.usefixtures("interpreted")
def test_other_tables_for_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    Path("people.csv").write_text(PEOPLE)
    Path("net.mdl").write_text(MODEL)
    run(capsys, *TRAIN, "--epochs", "1", "-q")

    def said(text: str, *options: str, code: int = 1) -> str:
        Path("new.csv").write_text(text)
        _, err = run(capsys, "predict", "net.safetensors", "--data", "new.csv", *options, code=code)
        return err.removeprefix("error: ").removeprefix("new.csv: ").rstrip()

    assert said("age,town,member,zip\n1,Rome,yes,3\n") == (
        "its columns are not those that the model was trained on; missing: 'city'; unknown: 'town', 'zip'"
    )
    assert said("age,city,member,zip\n1,Rome,yes,3\n") == (
        "its columns are not those that the model was trained on; unknown: 'zip'; --ignore leaves unknown ones out"
    )
    assert "1 vector" in said("age,city,member,zip\n1,Rome,yes,3\n", "--ignore", "zip", code=0)
    assert said("age,city,member\n1,Paris,yes\n", "--missing", "error") == (
        "line 2, column 2 ('city') is 'Paris', which training did not see: it knows Bern, Oslo, Rome; --missing mean "
        "gives it the mean of all"
    )
    assert "1 vector" in said("age,city,member\n1,Paris,yes\n", code=0)
    assert said("age,city,member\n1,Rome,maybe\n") == (
        "line 2, column 3 ('member') is 'maybe', which training did not see: it knows no, yes"
    )
    assert said("age,city,member\nold,Rome,yes\n") == "line 2, column 1 ('age') is 'old', not a number"
    assert said("1,Rome,yes\n", "--no-header", code=0).startswith("1 vector, 5 numbers each")
    assert said("1,Rome\n", "--no-header") == (
        "it has 2 columns, and the table that the model was trained on 5, of which it needs 3"
    )
    assert "--missing drop would leave rows without an answer" in said(
        "age,city,member\n1,Rome,yes\n", "--missing", "drop", code=2
    )
    _, err = run(capsys, "evaluate", "net.safetensors", "--data", "people.csv", "--targets", "age", code=2)
    assert "--targets is age, and the model was trained with pay" in err


@pytest.mark.usefixtures("interpreted")
def test_a_model_without_a_table_takes_numbers_alone(capsys: pytest.CaptureFixture[str]) -> None:
    compiled(2).build(seed=1).save("net.safetensors")
    Path("new.csv").write_text("a,b,k\n1,2,x\n3,4,y\n")
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "new.csv", "--labels")
    assert len(out.split()) == 2
    Path("new.csv").write_text("a,b\n1,red\n3,blue\n")
    _, err = run(capsys, "predict", "net.safetensors", "--data", "new.csv", code=1)
    assert (
        "line 2, column 2 ('b') is 'red', not a number; the model was not trained on a table, and knows no texts" in err
    )


def test_check_describes_a_table_and_warns_of_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("people.csv").write_text(PEOPLE.replace("age", "wage").replace("\n2", "\n2000"))
    out, err = run(capsys, "check", "--data", "people.csv", "--targets", "pay")
    assert out.splitlines()[0] == "people.csv: 60 rows, 5 columns, 5 numbers in"
    assert out.splitlines()[2] == "  city    input         3  3 categories: 'Bern', 'Oslo', 'Rome'"
    assert out.splitlines()[5] == "  pay     expected      0  2 classes: 'high', 'low'"
    assert "'joined' has dates and is left out" in err
    Path("net.mdl").write_text(MODEL.replace("(units, <standardize>)", ""))
    _, err = run(capsys, "check", "net.mdl", "--data", "people.csv")
    assert "column 1 ('wage') has numbers of about" in err
    assert "a layer with <standardize> after the input brings them to one size" in err
    learning = ("--save", "n.safetensors", "--epochs", "1", "--missing", "mean")
    _, err = run(capsys, "train", "net.mdl", "--data", "people.csv", *learning)
    assert "a layer with <standardize> after the input brings them to one size" in err
    Path("net.mdl").write_text(MODEL)
    _, err = run(capsys, "check", "net.mdl", "--data", "people.csv")
    assert "a layer with <standardize>" not in err


def test_check_takes_the_options_that_its_advice_names(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("day,code,level,w\n2024-01-01,01,3,1\n2024-01-02,02,4,2\n")
    _, err = run(capsys, "check", "--data", "t.csv", code=1)
    assert "column 2 ('code') has numbers that begin with 0, as codes do: --categories takes them" in err
    out, err = run(capsys, "check", "--data", "t.csv", "--categories", "code", "--dates", "--weights", "w")
    assert err == ""
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        ["day", "input", "1"], ["code", "input", "2"], ["level", "input", "1"], ["w", "weights", "0"],
    ]  # fmt: skip
    series = ("check", "--data", "t.csv", "--ignore", "code,w", "--time", "day", "--horizon", "1")
    _, err = run(capsys, *series, code=2)
    assert "--horizon needs --window" in err
    out, _ = run(capsys, *series, "--window", "1")
    assert "  level  input, expected      1  numbers from 3 to 4" in out


@pytest.mark.usefixtures("interpreted")
def test_the_first_row_of_a_table_without_names_is_not_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("t.csv").write_text("red,big,a\nblue,small,b\nred,small,a\nblue,big,b\n")
    Path("net.mdl").write_text("/xavier,zero/ (i, 4) (k, 2, <softmax>, <cross_entropy>)")
    run(capsys, "train", "net.mdl", "--data", "t.csv", "--no-header", "--epochs", "1", "--save", "net.safetensors")

    def answers(text: str, *options: str, code: int = 0) -> tuple[list[str], list[str]]:
        Path("new.csv").write_text(text)
        found = [run(capsys, "predict", "net.safetensors", "--data", "new.csv", *options, code=code)]
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        found.append(run(capsys, "predict", "net.safetensors", "--data", "-", *options, code=code))
        return [out for out, _ in found], [err for _, err in found]

    outs, _ = answers("red,big\nblue,small\n")
    assert [len(out.splitlines()) for out in outs] == [2, 2]
    assert outs[0] == outs[1]
    _, errs = answers("colour,size\nred,big\n", code=1)
    assert all("its first line colour,size may be names or values: give --header or --no-header" in err for err in errs)
    outs, _ = answers("colour,size\nred,big\n", "--header")
    assert [len(out.splitlines()) for out in outs] == [1, 1]
    _, errs = answers("green,big\nblue,small\n", code=1)
    assert all("line 1, column 1 is 'green', which training did not see: it knows blue, red" in err for err in errs)


@pytest.mark.usefixtures("interpreted")
def test_frames_are_arrays_in_python() -> None:
    pl = pytest.importorskip("polars")
    model = nm.compile("/xavier,zero/ (i, 2) (o, 1, <linear>, <mse>)", 2, 0.1).build(seed=1)
    frame = pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4, 5, 6], "y": [0.5, 0.25, 0.0]})
    x, y = frame.to_numpy()[:, :2], frame.to_numpy()[:, 2]
    loss = model.evaluate(x, y, layout="NW")
    assert model.evaluate(frame[["a", "b"]], frame["y"], layout="NW") == loss
    assert (
        model.evaluate(frame[["a", "b"]], frame[["y"]], layout="NW", sample_weight=pl.Series([1.0, 1.0, 1.0])) == loss
    )
    np.testing.assert_array_equal(model.predict(frame[["a", "b"]], layout="NW"), model.predict(x, layout="NW"))
    history = model.fit(frame[["a", "b"]], frame["y"], layout="NW", epochs=1, progress=False)
    assert len(history) == 1
