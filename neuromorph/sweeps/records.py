"""Checks what a store of runs holds. A store may come from anybody, and SQLite lets any column hold anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import StorageError, brief
from ..history import History
from .run import Run

_NULL = "null"  # of JSON


def checked_row(columns: Sequence[str], values: Sequence[Any], path: str) -> dict[str, Any]:
    """A row of a store, by column, with what its JSON says. columns: the names of the values.

    Raises StorageError that names the store, and the column whose value is of another kind than sweeps write.
    """
    return {name: _checked(name, value, path) for name, value in zip(columns, values, strict=True)}


def run_of(row: Mapping[str, Any]) -> Run:
    """The run of a row. Raises StorageError if its record is none."""
    try:
        return Run.from_record(row["run"])
    except (TypeError, ValueError, OverflowError) as error:
        raise StorageError(f"corrupt: a row of the store has no run: {error}") from error


def history_of(row: Mapping[str, Any]) -> History | None:
    """The history of a row, or None. Raises StorageError if its record is none."""
    return None if row["history"] is None else History.from_record(row["history"])


def _checked(name: str, value: Any, path: str) -> Any:
    read, may_be_empty = _KINDS[name]
    if may_be_empty and (value is None or (value == _NULL and read in (_table, _json))):
        return None
    try:
        return read(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StorageError(f"{path} is corrupt: the {name} of a run is {brief(value)}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _real(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def _json(value: Any) -> Any:
    return json.loads(_text(value))


def _table(value: Any) -> dict[str, Any]:
    found = _json(value)
    if not isinstance(found, dict):
        raise TypeError
    return found


def _scores(value: Any) -> dict[int, float | None]:
    return {int(epochs): None if score is None else _real(score) for epochs, score in _table(value).items()}


# How each column is read, and whether it may be empty.
_KINDS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "number": (_count, False), "key": (_text, False), "run": (_table, False), "data": (_text, False),
    "measure": (_text, False), "larger": (_count, False), "state": (_text, False), "failures": (_count, False),
    "epochs": (_count, False), "score": (_real, True), "scores": (_scores, False), "history": (_table, True),
    "error": (_text, True), "traceback": (_text, True), "seconds": (_real, False), "ended": (_real, True),
    "extra": (_json, True), "owner": (_text, True),
}  # fmt: skip
