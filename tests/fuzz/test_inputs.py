"""Changed texts, files, tables, arrays, stores and programs, as many as the time allows: an error in the user's words
or a result. Hypothesis chooses the changes, and shrinks those that fail.

A few seconds in each run of the tests; ``NEUROMORPH_NIGHTLY=30 python -m pytest tests/fuzz`` takes half an hour for
each and tries other inputs every time.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from contextlib import closing, suppress
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.fuzzing import SECONDS, SEED, fuzz
from helpers.guarded_programs import SUBJECTS, changed_program, subject_of
from helpers.mutations import FAULTS, VALID, changed_bytes, check_outcome, mutated_file, mutated_text
from helpers.paths import EXAMPLES, REPOSITORY
from helpers.texts import LSTM
from neuromorph.cli import main
from neuromorph.language import parse, to_text

TEXTS = [*VALID, *(path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.rglob("*.mdl")))]
SLOWEST = 1.0  # seconds of processor time that a text may take until it is refused or compiled
LARGEST = 2_000  # parameters of a text that is trained


def test_texts() -> None:
    """A changed text is refused with a place inside it, or it is a model, whose canonical text is that model too."""
    refused: list[str] = []

    def check(rng: random.Random) -> None:
        text = mutated_text(rng.choice(TEXTS), rng)
        if rng.random() < 0.3:
            text = mutated_text(text, rng)
        started = time.process_time()
        is_wrong = check_outcome(text) is not None
        made, error = outcome(text)
        assert time.process_time() - started < SLOWEST, text
        if made is None:
            assert error is not None
            assert 1 <= error.line <= text.count("\n") + text.count("\r") + 1, text
            refused.append(text)
            return
        assert not is_wrong, text
        tree = parse(text)
        assert parse(to_text(tree)) == tree, text
        if made.parameter_count <= LARGEST:
            train(made, text)

    fuzz(check)
    assert len(set(refused)) > 10


def outcome(text: str) -> tuple[nm.Model | None, nm.MDLError | None]:
    """The model of a text, or the error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return nm.compile(text, 2, 0.01, tier="instant"), None
    except nm.MDLError as error:
        return None, error


def train(model: nm.Model, text: str) -> None:
    """Two windows of a model: its parameters stay finite, or the error says that it diverged."""
    with nm.build(model, seed=1):
        x = np.linspace(-1.0, 1.0, 6 * model.input_width).reshape(3, 2, -1)
        y = np.full((3, 2, model.output_width), 1.0 / model.output_width)
        with suppress(nm.TrainingDivergedError, nm.DataError):  # such as a loss that takes other targets only
            nm.train(model, x, y, 0)
        assert all(np.isfinite(array).all() for array in nm.get_parameters(model).values()), text


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a trained model."""
    path = tmp_path_factory.mktemp("saved") / "net.safetensors"
    with nm.build(nm.compile(LSTM, 2, 0.1, optimizer="adam"), seed=1) as model:
        nm.train(model, np.ones((4, 2, model.input_width)), np.zeros((4, 2, model.output_width)), 0)
        nm.save(model, path)
    return path.read_bytes()


def test_files(saved: bytes, tmp_path: Path) -> None:
    """A changed file loads with finite numbers, or the error says what is wrong with it, and names it."""
    path, loaded = tmp_path / "net.safetensors", 0

    def check(rng: random.Random) -> None:
        nonlocal loaded
        path.write_bytes(mutated_file(saved, rng))
        said = ""
        try:
            with nm.load(path, restore_random=False) as model:
                assert all(np.isfinite(array).all() for array in nm.get_parameters(model).values())
                loaded += 1
        except nm.StorageError as error:
            said = str(error)
        assert not said or said.startswith(tuple(f"{path}: {fault}" for fault in FAULTS))

    fuzz(check)
    assert loaded


ROWS = '''name,width,"a, b",when,seen,kind
x,1.5,2,2024-01-02,true,red
y,-3e2,,2024-02-03,false,blue
"z ""q""",0,7,2024-03-04,true,red
x,2,1,2025-01-01,false,green
'''
CELLS = [
    *'"\',;\t|\r\n\x00 .-', "", "nan", "inf", "1e999", "1,5", "True", "é", "\ufeff", "2024-13-01", "=1+1", "9" * 400,
    "#", '""', "\r\n", "none",
]  # fmt: skip


def changed_table(rng: random.Random) -> bytes:
    """A table with a few pieces put in, taken out or repeated; sometimes bytes that are no text."""
    text = ROWS
    for _ in range(rng.randint(1, 5)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([0, 0, 1, 2, 8]))
        text = text[:start] + rng.choice([rng.choice(CELLS), "", text[start:end] * 2]) + text[end:]
    raw = text.encode("utf-8")
    return raw if rng.random() < 0.9 else raw[: rng.randrange(len(raw))] + b"\xff\xfe" + raw[rng.randrange(len(raw)) :]


def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed table is read, or the command says in one line what it can't read; never a traceback."""
    path, model = tmp_path / "t.csv", tmp_path / "net.mdl"
    model.write_text("/xavier,zero/ (input, 4) (output, 1, <linear>, <mse>)", encoding="utf-8")
    codes = set()

    def check(rng: random.Random) -> None:
        path.write_bytes(changed_table(rng))
        options = rng.choice([(), ("--missing", "drop"), ("--missing", "mean"), ("--dates",), ("--header",)])
        codes.add(checked(["check", str(model), "--data", str(path), *options], path, capsys))

    fuzz(check, 20)
    assert 1 in codes


def checked(command: list[str], path: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """The exit code of a command, which ends well, or says of its file what is wrong with it; never a traceback."""
    capsys.readouterr()
    code = main(command)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert code in (0, 1, 2)
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 0 or any(f"{path}" in line or "--" in line for line in errors), said
    return code


TRAIN = "/xavier,zero/ (input, 4) (output, 1, <linear>, <mse>)"
ARRAYS = np.random.default_rng(0).random((12, 5)).round(3)


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed file of arrays is read, or the command says what is wrong with it."""
    path, model, expected = tmp_path / f"d.{kind}", tmp_path / "net.mdl", tmp_path / "expected.npy"
    model.write_text(TRAIN, encoding="utf-8")
    np.save(expected, ARRAYS[:, 4:])
    if kind == "npy":
        np.save(path, ARRAYS[:, :4])
    else:
        np.savez(path, inputs=ARRAYS[:, :4], expected=ARRAYS[:, 4:])
    raw, codes = path.read_bytes(), set()
    data = ["--inputs", str(path), "--expected", str(expected)] if kind == "npy" else ["--data", str(path)]
    command = ["train", str(model), *data, "--save", str(tmp_path / "net.safetensors"), "--epochs", "1"]

    def check(rng: random.Random) -> None:
        path.write_bytes(changed_bytes(raw, rng))
        codes.add(checked(command, path, capsys))

    assert checked(command, path, capsys) == 0
    fuzz(check, 20)
    assert 1 in codes


READING = r"""
import random, sys, time
from pathlib import Path
from helpers.mutations import changed_bytes
from neuromorph.errors import DataError
from neuromorph.tables.files import open_table

path, raw, end = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), time.monotonic() + float(sys.argv[3])
seed, number, refused = sys.argv[4], int(sys.argv[5]), 0
while number < 50 or time.monotonic() < end:
    path.write_bytes(changed_bytes(raw, random.Random(f"{seed} {number}")))
    print(number, refused, flush=True)
    number += 1
    try:
        table = open_table(str(path), title="the table")
        for piece in table.pieces(range(len(table.names))):
            for place in range(len(table.names)):
                piece.cells(place)
    except DataError as error:
        assert str(error).startswith("the table"), error
        refused += 1
print(number, refused, flush=True)
"""
MAY_KILL = {"parquet"}  # kinds of files of which Polars ends the process at some damaged ones


@pytest.mark.parametrize("kind", ["parquet", "arrow", "ndjson"])
def test_tables_of_polars(kind: str, tmp_path: Path) -> None:
    """A changed file that Polars reads gives columns or an error that names it. In a process of its own, which Polars
    may end: that is its fault, and SECURITY.md says so."""
    polars = pytest.importorskip("polars")
    path = tmp_path / f"d.{kind}"
    rows = {name: ARRAYS[:, place] for place, name in enumerate("abcde")}
    days = [date(2026, 1, 1 + number) for number in range(len(ARRAYS))]
    frame = polars.DataFrame({**rows, "word": [f"w{n}" for n in range(len(ARRAYS))], "day": days, "yes": [True] * 12})
    {"parquet": frame.write_parquet, "arrow": frame.write_ipc, "ndjson": frame.write_ndjson}[kind](path)
    good = path.with_name("good")
    good.write_bytes(path.read_bytes())
    end, number, refused, killed = time.monotonic() + SECONDS, 0, 0, 0
    while number < 50 or time.monotonic() < end:
        left = max(0.0, end - time.monotonic())
        done = subprocess.run(
            [sys.executable, "-c", READING, *map(str, (path, good, left, SEED, number))],
            capture_output=True, text=True, cwd=REPOSITORY / "tests", timeout=60 + 2 * left,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        said = f"NEUROMORPH_FUZZ_SEED={SEED}, {kind}, input {done.stdout[-40:]}\n{done.stderr[-3000:]}"
        reached, more = map(int, done.stdout.splitlines()[-1].split())
        refused += more
        if done.returncode == 0:
            break
        assert kind in MAY_KILL, said
        assert done.returncode in (-signal.SIGABRT, -signal.SIGSEGV), said
        number, killed = reached + 1, killed + 1
    assert refused > 10, "most of the first 50 inputs are damaged"
    assert killed <= 1 + reached // 200, f"{killed} of {reached} inputs ended the process"


COLUMNS = (
    "run", "measure", "larger", "state", "failures", "epochs", "score", "scores", "history", "error", "traceback",
    "seconds", "ended", "model", "extra",
)  # fmt: skip
VALUES = [
    None, -1, 2**63 - 1, 1e308, float("inf"), "", "x", "\x1b[2J", "null", "[]", "{}", "NaN", "[" * 100_000, b"",
    b"\x80\x04\x95", "1e999", '{"loss": "x"}', '{"loss": [1, "a"]}', '{"1": "a"}', '{"x": 1}', '{"mdl": []}',
    '{"mdl": "x", "seed": -1}', "failed", "1" * 5_000,
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store with two runs."""
    path = tmp_path_factory.mktemp("store") / "runs.sqlite"
    runs = [
        nm.Run(LSTM, {"batch_size": 2, "learning_rate": 0.1, "tier": "instant"}, seed=seed, budget=1) for seed in (1, 2)
    ]
    model = nm.compile(LSTM, 2, 0.1)
    data = (np.ones((4, 2, model.input_width)), np.zeros((4, 2, model.output_width)))
    nm.sweep(runs, data, score="loss", workers=0, store=path, save_models=True, verbosity=0)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    return path.read_bytes()


def changed_store(path: Path, rng: random.Random) -> None:
    """Other values in a few places, or a few other characters in a text."""
    with closing(sqlite3.connect(path)) as connection:
        for _ in range(rng.randint(1, 3)):
            column, row, value = rng.choice(COLUMNS), rng.randint(1, 2), rng.choice(VALUES)
            (old,) = connection.execute(f"SELECT {column} FROM runs WHERE number = ?", (row,)).fetchone()
            if isinstance(old, str) and rng.random() < 0.5:
                place = rng.randrange(len(old) + 1)
                value = (
                    old[:place] + rng.choice(["", "0", '"', "{", ",", "1e999"]) + old[place + rng.choice([0, 1, 3]) :]
                )
            with suppress(sqlite3.IntegrityError):  # where a column can't be empty
                connection.execute(f"UPDATE runs SET {column} = ? WHERE number = ?", (value, row))
        connection.commit()


def test_stores(store: bytes, tmp_path: Path) -> None:
    """A changed store of runs is shown, and its models load, or the error says what is wrong with it."""
    path, refused = tmp_path / "runs.sqlite", 0

    def check(rng: random.Random) -> None:
        nonlocal refused
        path.write_bytes(store)
        changed_store(path, rng)
        said = ""
        try:
            found = nm.stored_runs(path, score="loss")
            assert "\x1b" not in found.table() + repr(list(found))
            found.best.model().release()
        except (nm.StorageError, ValueError) as error:
            said = str(error)
            refused += 1
        assert not said or re.search(rf"{'|'.join(FAULTS)}|no score|no run |was saved", said), said

    fuzz(check, 30)
    assert refused


def test_programs() -> None:
    """A changed program of the machine is refused, or it stays inside the model's arrays."""
    subjects = [subject_of(name) for name in SUBJECTS]
    passed = 0

    def check(rng: random.Random) -> None:
        nonlocal passed
        subject = rng.choice(subjects)
        changed = changed_program(subject.program, np.random.default_rng(rng.getrandbits(64)))
        if not subject.refuses(changed):
            subject.run(changed)
            passed += 1

    fuzz(check, 60)
    assert passed
