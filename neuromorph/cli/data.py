"""Data files: NPZ, NPY and CSV, as the arrays that they hold. Nothing in them is executed.

An NPZ file has ``inputs`` and, to train or evaluate, ``expected`` or ``labels``; perhaps ``sample_weight`` and
``lengths``. An NPY file is one array. A CSV file has one vector a line, what is expected of it behind it or in the
columns that are named, and perhaps a first line of names. ``layout.py`` says which shapes mean what.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import click
import numpy as np
from numpy.typing import NDArray

import neuromorph as nm

Array = NDArray[Any]
ENDINGS = (".npz", ".npy", ".csv")
_NAMES = ("inputs", "expected", "labels", "sample_weight", "lengths")
_DELIMITERS = (",", ";", "\t")
_LONGEST = 40  # characters of a cell that a message shows


@dataclass(frozen=True)
class Source:
    """Where data come from: one file, or one file each for inputs and expected; ``targets`` are columns of a CSV."""

    data: str | None = None
    inputs: str | None = None
    expected: str | None = None
    targets: str | None = None
    sequences: bool = False

    def at(self, path: str) -> Source:
        """The same kind of data in another file."""
        return Source(data=path, targets=self.targets, sequences=self.sequences)


@dataclass(frozen=True, eq=False)
class Arrays:
    """Arrays of a file as they are; None for what it has not. ``name`` is the file's, for messages."""

    name: str
    inputs: Array
    expected: Array | None = None
    labels: Array | None = None
    sample_weight: Array | None = None
    lengths: Array | None = None


@dataclass
class Table:
    """A CSV file: its names, empty where it has none, and its numbers (rows, columns)."""

    names: list[str] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)

    @property
    def numbers(self) -> Array:
        """All numbers."""
        return np.array(self.rows, np.float64)


def read(source: Source, model: nm.Model, *, answers: bool = True) -> Arrays:
    """The arrays of a source; without ``answers``, the inputs and lengths only, whatever else is there."""
    if (source.data is None) == (source.inputs is None):
        raise click.UsageError("data come from --data, or from --inputs" + (" and --expected" if answers else ""))
    if source.data is None:
        return _pair(source, answers)
    if source.targets is not None and _ending(source.data) != ".csv":
        raise click.UsageError("--targets names columns of a CSV file")
    arrays = _readers(source, model, answers)[_ending(source.data)](source.data)
    if answers and (arrays.expected is None) == (arrays.labels is None):
        trouble = "both expected and labels" if arrays.labels is not None else "neither expected nor labels"
        raise click.ClickException(f"{source.data}: it has {trouble}, and one of them is needed")
    return arrays


def _readers(source: Source, model: nm.Model, answers: bool) -> dict[str, Callable[[str], Arrays]]:
    """How a file is read, by the end of its name."""
    return {
        ".npz": lambda path: _archive(path, answers),
        ".npy": lambda path: Arrays(path, _array(path)),
        ".csv": lambda path: _divided(path, _table(path), source.targets, model, answers),
    }


def _ending(path: str) -> str:
    """What the name of a data file ends with."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise click.ClickException(f"{path}: data files end in {', '.join(ENDINGS)}")
    return ending


def _pair(source: Source, answers: bool) -> Arrays:
    """Inputs from one file, what is expected from another."""
    if source.targets is not None:
        raise click.UsageError("--targets goes with --data and a CSV file")
    if answers and source.expected is None:
        raise click.UsageError("--inputs needs --expected beside it")
    expected = _single(source.expected) if answers and source.expected else None
    return Arrays(source.inputs or "", _single(source.inputs or ""), expected)


def _single(path: str) -> Array:
    """The one array of a file."""
    ending = _ending(path)
    if ending == ".npz":
        raise click.ClickException(f"{path}: an NPZ file holds several arrays: give it to --data")
    return _array(path) if ending == ".npy" else _table(path).numbers


# NumPy's files --------------------------------------------------------------------------------------------------------


@contextmanager
def _reading(path: str, kind: str) -> Iterator[IO[bytes]]:
    """A file that NumPy reads; whatever it finds wrong becomes one line."""
    with open(path, "rb") as file:
        try:
            yield file
        except (MemoryError, click.ClickException):
            raise
        except Exception as error:  # of a damaged file: of zipfile, zlib, struct, ast and NumPy itself
            raise click.ClickException(f"{path}: not a sound {kind} file: {error}") from error


def _array(path: str) -> Array:
    """The array of an NPY file."""
    with _reading(path, "NPY") as file:
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise click.ClickException(f"{path}: an NPZ file under the name of an NPY file")
        return found


def _archive(path: str, answers: bool) -> Arrays:
    """The arrays of an NPZ file that are known by name."""
    with _reading(path, "NPZ") as file:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise click.ClickException(f"{path}: an NPY file under the name of an NPZ file")
        if "inputs" not in found.files:
            there = ", ".join(found.files) or "nothing"
            raise click.ClickException(f"{path}: it has no array named inputs, but {there}")
        wanted = _NAMES if answers else ("inputs", "lengths")
        return Arrays(path, **{name: found[name] for name in wanted if name in found.files})


# CSV ------------------------------------------------------------------------------------------------------------------


def _table(path: str) -> Table:
    """The numbers of a CSV file; a first line that has anything but numbers gives the names of the columns."""
    table = Table()
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(_DELIMITERS, key=first.count), skipinitialspace=True)
            for cells in reader:
                if cells:
                    _add(table, cells, f"{path}: line {reader.line_num}")
        except UnicodeDecodeError:
            raise click.ClickException(f"{path}: not a text in UTF-8") from None
        except csv.Error as error:
            raise click.ClickException(f"{path}: not a CSV file: {error}") from None
    if not table.rows:
        raise click.ClickException(f"{path}: it has no rows of numbers")
    return table


def _add(table: Table, cells: list[str], place: str) -> None:
    """One line more: names, or numbers."""
    if not table.names and not table.rows and not all(map(_is_number, cells)):
        table.names = [cell.strip() for cell in cells]
        return
    wanted = len(table.names or (table.rows[0] if table.rows else cells))
    if len(cells) != wanted:
        raise click.ClickException(f"{place} has {len(cells)} columns, and the lines before it {wanted}")
    try:
        table.rows.append(list(map(float, cells)))
    except ValueError:
        column = next(number for number, cell in enumerate(cells) if not _is_number(cell))
        raise click.ClickException(
            f"{place}, {_column(table, column)} is {_cell(cells[column])}, not a number"
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(table: Table, index: int) -> str:
    """What a column is called."""
    return f"column {index + 1}" + (f" ({table.names[index]!r})" if table.names else "")


def _cell(text: str) -> str:
    """A cell as a message shows it."""
    return "empty" if not text.strip() else repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _divided(path: str, table: Table, targets: str | None, model: nm.Model, answers: bool) -> Arrays:
    """Which columns are inputs, and which are what is expected of them."""
    numbers = table.numbers
    columns = numbers.shape[1]
    chosen = _last_columns(path, columns, model, answers) if targets is None else _named(path, table, targets)
    inputs = np.delete(numbers, chosen, axis=1)
    if inputs.shape[1] != model.input_width:
        raise click.ClickException(
            f"{path}: {inputs.shape[1]} columns beside the targets, and the model takes {model.input_width}"
        )
    return Arrays(path, inputs, numbers[:, chosen] if answers else None) if not _is_label(model, chosen) else Arrays(
        path, inputs, labels=numbers[:, chosen[0]] if answers else None
    )  # fmt: skip


def _is_label(model: nm.Model, chosen: list[int]) -> bool:
    """Whether one column stands for a whole vector: the number of a class."""
    return len(chosen) == 1 and has_classes(model)


def has_classes(model: nm.Model) -> bool:
    """Whether what is expected of a model may be the number of a class."""
    return model.graph.loss.name == "cross_entropy" and model.output_width > 1


def _last_columns(path: str, columns: int, model: nm.Model, answers: bool) -> list[int]:
    """The columns behind the inputs: as many as the output is wide, or one for the number of a class."""
    given, wide = model.input_width, model.output_width
    known = [given + wide, *([given + 1] if has_classes(model) else []), *([] if answers else [given])]
    if columns in known:
        return list(range(given, columns))
    needs = " or ".join(map(str, sorted(known)))
    raise click.ClickException(
        f"{path}: it has {columns} columns, and the model needs {needs}: {given} inputs"
        + (f" and {wide} expected" if answers else "")
        + (" or a class" if answers and has_classes(model) else "")
    )


def _named(path: str, table: Table, targets: str) -> list[int]:
    """The columns of a list of names, or of numbers from 1."""
    columns = len(table.rows[0])
    found = []
    for name in map(str.strip, targets.split(",")):
        if name in table.names:
            found.append(table.names.index(name))
        elif name.isdecimal() and 1 <= int(name) <= columns:
            found.append(int(name) - 1)
        else:
            there = f"its columns are {', '.join(table.names)}" if table.names else f"it has columns 1 to {columns}"
            raise click.ClickException(f"{path}: it has no column {name!r}; {there}")
    if len(set(found)) < len(found):
        raise click.UsageError(f"--targets names a column twice: {targets}")
    return found
