"""Reads data files: NPZ, NPY and CSV. Nothing in them is executed.

- An NPZ file has ``inputs`` and, to train or evaluate, ``expected`` or ``labels``. It may have ``sample_weight`` and
``lengths``.
- An NPY file is one array.
- A CSV file has one vector a line. The expected values are in the last columns, or in the columns that are named. The
first line may be names, if none of them is a number.

``layout.py`` says what each shape means.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

import click
import numpy as np
from numpy.typing import NDArray

import neuromorph as nm

from ..host.frozen import frozen
from .archive import Stored, array_in, arrays_in, check_memory

Array = NDArray[Any]
ENDINGS = (".npz", ".npy", ".csv")
_NAMES = ("inputs", "expected", "labels", "sample_weight", "lengths")
_DELIMITERS = (",", ";", "\t")
_LONGEST_LINE = 1 << 26  # characters
_LONGEST = 40  # the most characters of a cell in a message


@frozen
class Source:
    """Where data come from: one file, or one file for the inputs and one for the expected values.

    targets: the columns of a CSV file with the expected values. ignore: the columns that are left out. Both are names
    or numbers, separated by commas. sequences: whether inputs of three axes are (sequences, steps, width); None
    means as in the model's training.
    """

    data: str | None = None
    inputs: str | None = None
    expected: str | None = None
    targets: str | None = None
    ignore: str | None = None
    sequences: bool | None = None

    def files(self) -> dict[str, str | None]:
        """The paths by the options that give them."""
        return {"--data": self.data, "--inputs": self.inputs, "--expected": self.expected}

    def at(self, path: str) -> Source:
        """The source of the same kind of data in another file."""
        return Source(data=path, targets=self.targets, ignore=self.ignore, sequences=self.sequences)


@frozen
class Origin:
    """Where an array comes from, for messages.

    file: the path. For a CSV file, lines are the line numbers of the rows, and columns what messages call the columns.
    """

    file: str
    lines: Sequence[int] = ()
    columns: Sequence[str] = ()

    def place(self, name: str, index: tuple[int, ...]) -> str:
        """What a message calls the number at ``index`` of the array ``name``."""
        if not self.lines:
            return f"{name}{list(index)}"
        return f"line {self.lines[index[0]]}, {self.columns[index[1] if len(index) > 1 else 0]}"


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of a file as they are; None for an array that the file does not have.

    The other fields are for messages. ``name`` is the file, ``origins`` says where each array comes from, and ``rows``
    are the rows of the file that all arrays have, or None if they have all.
    """

    name: str
    inputs: Array
    expected: Array | None = None
    labels: Array | None = None
    sample_weight: Array | None = None
    lengths: Array | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    rows: Array | None = None

    def origin(self, name: str) -> Origin:
        """Where the array ``name`` comes from."""
        return self.origins.get(name, Origin(self.name))

    def place(self, name: str, index: tuple[int, ...]) -> str:
        """What a message calls the number at ``index`` of the array ``name``."""
        row = index[0] if self.rows is None or not index else int(self.rows[index[0]])
        return self.origin(name).place(name, (row, *index[1:]))


def read(
    source: Source, model: nm.Model, *, answers: bool = True, check: Callable[[Arrays], None] = lambda arrays: None
) -> Arrays:
    """The arrays of a source; without ``answers``, only the inputs and lengths.

    check: called with the arrays before NumPy's files are read; it looks at types and shapes only, and raises
    ClickException for arrays that it refuses. Raises UsageError for wrong options, and ClickException for a wrong file.
    """
    if (source.data is None) == (source.inputs is None):
        raise click.UsageError("data come from --data, or from --inputs" + (" and --expected" if answers else ""))
    arrays, stored = _pair(source, answers) if source.data is None else _one(source, source.data, model, answers)
    if answers and (arrays.expected is None) == (arrays.labels is None):
        trouble = "both expected and labels" if arrays.labels is not None else "neither expected nor labels"
        raise click.ClickException(f"{arrays.name}: it has {trouble}, and one of them is needed")
    check(arrays)
    check_memory(arrays.name, [one.outline for one in stored.values()])
    loaded: dict[str, Any] = {name: one.load() for name, one in stored.items()}
    return replace(arrays, **loaded)


Unread = tuple[Arrays, dict[str, Stored]]  # the arrays, and those that are outlines until they are read


def _one(source: Source, path: str, model: nm.Model, answers: bool) -> Unread:
    """All arrays of one file."""
    ending = _ending(path)
    for option, columns in (("--targets", source.targets), ("--ignore", source.ignore)):
        if columns is not None and ending != ".csv":
            raise click.UsageError(f"{option} names columns of a CSV file")
    if ending == ".csv":
        return _divided(path, source, model, answers), {}
    if ending == ".npz":
        stored = arrays_in(path, _NAMES if answers else ("inputs", "lengths"))
    elif answers:
        raise click.UsageError(f"{path} is one array: give it to --inputs, and what is expected to --expected")
    else:
        stored = {"inputs": array_in(path, "inputs")}
    outlines: dict[str, Any] = {name: one.outline for name, one in stored.items()}
    return Arrays(path, **outlines), stored


def _ending(path: str) -> str:
    """The ending of a data file's name, in lower case. ClickException for an unknown one."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise click.ClickException(f"{path}: data files end in {', '.join(ENDINGS)}")
    return ending


def _pair(source: Source, answers: bool) -> Unread:
    """The inputs from one file and the expected values from another."""
    if source.targets is not None or source.ignore is not None:
        raise click.UsageError("--targets and --ignore go with --data and a CSV file")
    if answers and source.expected is None:
        raise click.UsageError("--inputs needs --expected beside it")
    files = {"inputs": source.inputs, "expected": source.expected if answers else None}
    arrays: dict[str, Any] = {}
    stored: dict[str, Stored] = {}
    origins = {}
    for name, path in files.items():
        if path is not None:
            arrays[name], origins[name], unread = _single(path, name)
            stored |= unread
    return Arrays(origins["inputs"].file, **arrays, origins=origins), stored


def _single(path: str, name: str) -> tuple[Array, Origin, dict[str, Stored]]:
    """The one array of a file, its origin, and the stored array if it is an outline that has not been read yet."""
    ending = _ending(path)
    if ending == ".npz":
        raise click.ClickException(f"{path}: an NPZ file holds several arrays: give it to --data")
    if ending == ".npy":
        stored = array_in(path, name)
        return stored.outline, Origin(path), {name: stored}
    table = _table(path, lambda table: Columns(list(range(table.width)), []))
    return np.array(table.inputs, np.float64), table.origin(table.columns.inputs), {}


# CSV ------------------------------------------------------------------------------------------------------------------


@frozen
class Columns:
    """The columns of the inputs and of the expected values, as places from 0."""

    inputs: list[int]
    answers: list[int]


@dataclass
class Table:
    """A CSV file: its column names (none if it has none), its numbers, and the line number of each row."""

    path: str
    width: int
    names: list[str]
    columns: Columns = field(default_factory=lambda: Columns([], []))
    inputs: list[list[float]] = field(default_factory=list)
    answers: list[list[float]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, cells: list[str], line: int) -> None:
        """Add one line of numbers. ClickException for a wrong number of columns, or for a cell that is no number."""
        if len(cells) != self.width:
            raise self.wrong(f"line {line} has {len(cells)} columns, and the lines before it {self.width}")
        self.inputs.append([self._number(cells, column, line) for column in self.columns.inputs])
        self.answers.append([self._number(cells, column, line) for column in self.columns.answers])
        self.lines.append(line)

    def _number(self, cells: list[str], column: int, line: int) -> float:
        cell = cells[column]
        if not _is_number(cell):
            raise self.wrong(f"line {line}, {self.called(column)} is {_cell(cell)}, not a number")
        return float(cell)

    def called(self, column: int) -> str:
        """What a message calls a column."""
        return f"column {column + 1}" + (f" ({self.names[column]!r})" if self.names else "")

    def origin(self, columns: list[int]) -> Origin:
        """The origin of an array that consists of these columns."""
        return Origin(self.path, self.lines, [self.called(column) for column in columns])

    def wrong(self, trouble: str) -> click.ClickException:
        """An error about this file."""
        return click.ClickException(f"{self.path}: {trouble}")


def _table(path: str, choose: Callable[[Table], Columns]) -> Table:
    """A CSV file with the numbers of some columns.

    choose: chooses the columns, once the names and the width are known. ClickException if this is not a CSV file.
    """
    table: Table | None = None
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            for cells, line in _rows(file):
                if table is None:
                    named = not any(map(_is_number, cells))
                    table = Table(path, len(cells), [cell.strip() for cell in cells] if named else [])
                    table.columns = choose(table)
                    if named:
                        continue
                table.add(cells, line)
        except UnicodeDecodeError:
            raise click.ClickException(f"{path}: not a text in UTF-8") from None
        except csv.Error as error:
            raise click.ClickException(f"{path}: not a CSV file: {error}") from None
    if table is None or not table.lines:
        raise click.ClickException(f"{path}: it has no rows of numbers")
    return table


def _rows(file: IO[str]) -> Iterator[tuple[list[str], int]]:
    """The cells of every line that is not empty, with the line number."""
    first = file.readline(_LONGEST_LINE)
    file.seek(0)
    reader = csv.reader(_lines(file), delimiter=max(_DELIMITERS, key=first.count), skipinitialspace=True)
    for cells in reader:
        if cells:
            yield cells, reader.line_num


def _lines(file: IO[str]) -> Iterator[str]:
    """The lines of a file. csv.Error for a line of more than _LONGEST_LINE characters, which is not read to its end."""
    while line := file.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise csv.Error(f"a line has more than {_LONGEST_LINE:,} characters")
        yield line


def _is_number(cell: str) -> bool:
    """Whether a cell is a number as data files write it. Python also reads 1_000, which is refused here."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _cell(text: str) -> str:
    """A cell as a message shows it."""
    return "empty" if not text.strip() else repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _divided(path: str, source: Source, model: nm.Model, answers: bool) -> Arrays:
    """The inputs and expected values of a CSV file. One column for the expected classes becomes labels."""

    def choose(table: Table) -> Columns:
        chosen = _columns(table, source, model, answers)
        return chosen if answers else Columns(chosen.inputs, [])  # columns that are not read may hold text

    table = _table(path, choose)
    inputs, found = np.array(table.inputs, np.float64), np.array(table.answers, np.float64)
    origins = {"inputs": table.origin(table.columns.inputs)}
    if not answers:
        return Arrays(path, inputs, origins=origins)
    origins |= dict.fromkeys(("expected", "labels"), table.origin(table.columns.answers))
    if found.shape[1] == 1 and has_classes(model):
        return Arrays(path, inputs, labels=found[:, 0], origins=origins)
    return Arrays(path, inputs, found, origins=origins)


def has_classes(model: nm.Model) -> bool:
    """Whether the expected values of a model may be class numbers."""
    return model.graph.loss.name == "cross_entropy" and model.output_width > 1


def _columns(table: Table, source: Source, model: nm.Model, answers: bool) -> Columns:
    """The columns of the inputs and of the expected values."""
    ignored = [] if source.ignore is None else _named(table, "--ignore", source.ignore)
    kept = [column for column in range(table.width) if column not in ignored]
    if source.targets is None:
        _check_count(table, len(kept), model, answers)
        return Columns(kept[: model.input_width], kept[model.input_width :])
    chosen = _named(table, "--targets", source.targets)
    if set(chosen) & set(ignored):
        raise click.UsageError("--targets and --ignore name the same column")
    inputs = [column for column in kept if column not in chosen]
    if len(inputs) != model.input_width:
        raise table.wrong(f"{len(inputs)} columns beside the targets, and the model takes {model.input_width}")
    return Columns(inputs, chosen)


def _check_count(table: Table, columns: int, model: nm.Model, answers: bool) -> None:
    """Check the number of columns.

    After the inputs there must be as many columns as the output is wide, or one column with the number of a class.
    """
    given, wide = model.input_width, model.output_width
    known = [given + wide, *([given + 1] if has_classes(model) else []), *([] if answers else [given])]
    if columns in known:
        return
    needs = " or ".join(map(str, sorted(known)))
    raise table.wrong(
        f"it has {columns} columns{' that are not ignored' * (columns < table.width)}, and the model needs {needs}: "
        f"{given} inputs"
        + (f" and {wide} expected" if answers else "")
        + (" or a class" if answers and has_classes(model) else "")
    )


def _named(table: Table, option: str, listed: str) -> list[int]:
    """The columns that a list names, as places from 0. Each item of the list is a name, or a number from 1."""
    found = []
    for name in map(str.strip, listed.split(",")):
        if table.names.count(name) > 1:
            raise table.wrong(f"{table.names.count(name)} of its columns are called {name!r}; give a number from 1")
        if name in table.names:
            found.append(table.names.index(name))
        elif name.isdecimal() and 1 <= int(name) <= table.width:
            found.append(int(name) - 1)
        else:
            there = f"its columns are {', '.join(table.names)}" if table.names else f"it has columns 1 to {table.width}"
            raise table.wrong(f"it has no column {name!r}; {there}")
    if len(set(found)) < len(found):
        raise click.UsageError(f"{option} names a column twice: {listed}")
    return found
