"""What was learnt of a table: its columns, how each becomes numbers, and what the model reads of it.

A model keeps it, and files of models have it as plain JSON. ``Schema.from_record`` trusts nothing: every name, type and
size is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import StorageError
from ..host.frozen import frozen

NUMBER, BOOLEAN, CATEGORY, DATE, CLASS, LEFT_OUT = "number", "boolean", "category", "date", "class", "left out"
KINDS = (NUMBER, BOOLEAN, CATEGORY, DATE, CLASS, LEFT_OUT)
MISSING = ("error", "drop", "mean")  # what happens to a row with a missing input
MOST_COLUMNS = 100_000
MOST_VALUES = 1_000_000  # categories of all columns together, or classes
LONGEST_NAME = 10_000  # characters of a name, a category or a class
_MOST_STEPS = 1 << 31
_OPTIONS = {"values", "means", "style", "origin"}  # fields of a column that may be missing

Label = str | int | float | bool


@frozen
class Column:
    """A column of the table that a model was trained on.

    kind: one of KINDS. values: the words of a boolean, for no and yes, or the categories in the order of their places.
    means: what stands for a missing value: the mean of each number that the column becomes. style: of a number, "comma"
    for a decimal comma; of a date, the name of its form. origin: of a date, the first day, in days since 1970-01-01.
    """

    name: str
    kind: str
    values: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    style: str = ""
    origin: float = 0.0

    @property
    def width(self) -> int:
        """How many numbers a cell of this column becomes."""
        return len(self.values) if self.kind == CATEGORY else int(self.kind != LEFT_OUT)

    def record(self) -> dict[str, Any]:
        """The column, ready for JSON."""
        found: dict[str, Any] = {"name": self.name, "kind": self.kind}
        others = {"values": list(self.values), "means": list(self.means), "style": self.style, "origin": self.origin}
        return found | {name: value for name, value in others.items() if value}

    @classmethod
    def from_record(cls, given: Any) -> Column:
        """A column of a file, checked."""
        if not isinstance(given, dict) or not {"name", "kind"} <= given.keys() <= {"name", "kind"} | _OPTIONS:
            raise _wrong("a column of its table", given)
        values, means = _tuple(given.get("values", []), _is_name), _tuple(given.get("means", []), _is_finite)
        found = cls(given["name"], given["kind"], values, means, given.get("style", ""), given.get("origin", 0.0))
        counts = 2 if found.kind == BOOLEAN else len(values) if found.kind == CATEGORY else 0
        right = _is_name(found.name) and found.kind in KINDS and len(set(values)) == len(values) == counts
        right = right and len(means) in (0, found.width) and (found.kind != CATEGORY or bool(values))
        if not (right and isinstance(found.style, str) and len(found.style) < 100 and _is_finite(found.origin)):
            raise _wrong("a column of its table", given)
        return found


@frozen
class Schema:
    """The table that a model was trained on.

    columns: all columns in their order. header: whether the table has a line of names; else the names are "1", "2" and
    so on. inputs, targets: the places of columns that the model reads and answers. weights, group, time: the places of
    the columns of weights, of what tells sequences apart, and of the order in a sequence. window, horizon: the steps of
    the windows that a series is cut into, and how many steps behind each are the answer. missing: one of MISSING.
    """

    columns: tuple[Column, ...]
    header: bool
    inputs: tuple[int, ...]
    targets: tuple[int, ...] = ()
    weights: int | None = None
    group: int | None = None
    time: int | None = None
    window: int | None = None
    horizon: int | None = None
    missing: str = MISSING[0]

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return sum(self.columns[place].width for place in self.inputs)

    @property
    def has_classes(self) -> bool:
        """Whether what is expected are classes with names."""
        return any(self.columns[place].kind == CLASS for place in self.targets)

    @property
    def needed(self) -> tuple[int, ...]:
        """The places of the columns that inputs are made of: those of numbers, of groups and of time."""
        others = [place for place in (self.group, self.time) if place is not None]
        return tuple(dict.fromkeys((*self.inputs, *others)))

    @property
    def answers(self) -> tuple[int, ...]:
        """The places of the columns that only training and evaluation need."""
        others = [] if self.weights is None else [self.weights]
        return tuple(place for place in dict.fromkeys((*self.targets, *others)) if place not in self.needed)

    def record(self) -> dict[str, Any]:
        """The schema, ready for JSON."""
        others = {name: getattr(self, name) for name in _PLACES + _STEPS}
        return {
            "columns": [column.record() for column in self.columns],
            "header": self.header,
            "inputs": list(self.inputs),
            "targets": list(self.targets),
            "missing": self.missing,
            **{name: value for name, value in others.items() if value is not None},
        }

    @classmethod
    def from_record(cls, given: Any) -> Schema:
        """The schema of a file, checked. Raises StorageError."""
        fields = {"columns", "header", "inputs", "targets", "missing"}
        if not isinstance(given, dict) or not fields <= given.keys() <= fields | set(_PLACES + _STEPS):
            raise _wrong("its table", given)
        if not isinstance(given["columns"], list) or not 0 < len(given["columns"]) <= MOST_COLUMNS:
            raise _wrong("the columns of its table", given["columns"])
        columns = tuple(Column.from_record(column) for column in given["columns"])
        _check_names(columns)
        count = len(columns)
        others = {name: given[name] for name in (*_PLACES, *_STEPS) if name in given}
        found = cls(
            columns, given["header"], _places(given["inputs"], count), _places(given["targets"], count),
            missing=given["missing"], **others,
        )  # fmt: skip
        right = isinstance(found.header, bool) and found.missing in MISSING and bool(found.inputs)
        right = right and all(_is_place(others[name], count) for name in _PLACES if name in others)
        right = right and all(
            _is_place(others[name], _MOST_STEPS) and others[name] for name in _STEPS if name in others
        )
        if not right or any(columns[place].width == 0 for place in (*found.inputs, *found.targets)):
            raise _wrong("its table", {**given, "columns": len(columns)})
        return found

    def check(self, width: int) -> None:
        """Raise StorageError unless a model that takes vectors of this width can read the table."""
        wide = self.group is None and self.window is None and self.width % width == 0  # a sequence in each row
        if not wide and width not in (self.width, self.width * (self.window or 1)):
            raise StorageError(f"corrupt: a row of its table becomes {self.width} numbers, and its text takes {width}")


_PLACES = ("weights", "group", "time")
_STEPS = ("window", "horizon")


def checked_classes(value: Any, width: int) -> tuple[Label, ...] | None:
    """The names of the classes of a model with an output of this width, in the order of their numbers.

    Each is a text, a number or a boolean. An output of width 1 has two classes. Raises ValueError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError("classes must be the names of classes in the order of their numbers, or None")
    found = tuple(item.item() if hasattr(item, "item") else item for item in value)
    needed = 2 if width == 1 else width
    if len(found) != needed:
        raise ValueError(f"classes has {len(found):,} names, and an output of width {width:,} has {needed:,} classes")
    for number, item in enumerate(found):
        if not _is_label(item):
            raise ValueError(f"classes[{number}] must be a text, a finite number or a boolean")
    if len({(type(item) is bool, item) for item in found}) < len(found):
        raise ValueError("classes has a name twice")
    return found


def _is_label(item: Any) -> bool:
    return type(item) is bool or _is_name(item) or (type(item) is int and abs(item) < 1 << 63) or _is_finite(item)


# Checks of what a file says -------------------------------------------------------------------------------------------


def _wrong(what: str, given: Any) -> StorageError:
    text = ascii(given)
    return StorageError(f"corrupt: {what} is {text if len(text) <= 60 else text[:60] + '...'}")


def _tuple(given: Any, right: Callable[[Any], bool]) -> tuple[Any, ...]:
    if not isinstance(given, list) or len(given) > MOST_VALUES or not all(map(right, given)):
        raise _wrong("a column of its table", given)
    return tuple(given)


def _places(given: Any, count: int) -> tuple[int, ...]:
    if not isinstance(given, list) or len(set(map(repr, given))) < len(given):
        raise _wrong("its table", given)
    if not all(_is_place(place, count) for place in given):
        raise _wrong("its table", given)
    return tuple(given)


def _check_names(columns: tuple[Column, ...]) -> None:
    if len({column.name for column in columns}) < len(columns):
        raise StorageError("corrupt: two columns of its table have one name")
    if sum(len(column.values) for column in columns) > MOST_VALUES:
        raise StorageError("corrupt: its table has too many categories")


def _is_place(value: Any, count: int) -> bool:
    return type(value) is int and 0 <= value < count


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NAME


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e308 and math.isfinite(value)
