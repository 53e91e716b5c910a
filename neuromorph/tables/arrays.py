"""Makes arrays of the rows of a table, as a schema says, in pieces that need little memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.schema import LEFT_OUT, Label, Schema
from ..errors import DataError
from ..host.cgroups import shortage
from .encoding import Encoder
from .files import Piece, Table, Titled, shown
from .headers import places_in
from .learning import number_text
from .records import counted

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table as arrays.

    inputs: (N, W). targets: (N, T), places of classes or numbers, with NaN where they are missing and may be; None
    without answers. weights, times: (N,) or None. groups: the number of each row's group (N,), or None; names: what the
    groups are called. numbers: which rows of the table these are; None for all of them. dropped, filled: how many rows
    were left out, and how many cells got means.
    """

    inputs: Array
    targets: Array | None
    weights: Array | None
    groups: NDArray[np.intp] | None
    names: Sequence[str]
    times: Array | None
    numbers: Array | None
    dropped: int = 0
    filled: int = 0

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Policy:
    """What happens to missing values. inputs: "error", "drop" or "mean". targets: "error", "drop" or "skip"."""

    inputs: str = "error"
    targets: str = "error"


def match(
    table: Titled,
    schema: Schema,
    *,
    answers: bool,
    ignored: Sequence[int] = (),
) -> dict[int, int]:
    """Where each column of a schema is in a table. DataError that lists the missing and the unknown columns.

    answers: whether the columns of what is expected are needed. ignored: columns of the table that are not looked at.
    """
    needed = [*schema.needed, *(schema.answers if answers else ())]
    if not schema.header or not table.header:
        return _match_by_place(table, schema, needed, ignored)
    known = {column.name: place for place, column in enumerate(schema.columns)}
    there: dict[str, int] = {}
    for place, name in enumerate(table.names):
        if place in ignored:
            continue
        if name in there and known.get(name, -1) in needed:
            raise table.wrong(f"columns {there[name] + 1} and {place + 1} are both called {shown(name)}")
        there.setdefault(name, place)
    missing = [schema.columns[place].name for place in needed if schema.columns[place].name not in there]
    unknown = [name for name in there if name not in known]
    if missing or unknown:
        raise _other_columns(table, missing, unknown)
    return {known[name]: place for name, place in there.items()}


def _match_by_place(table: Titled, schema: Schema, needed: list[int], ignored: Sequence[int]) -> dict[int, int]:
    """The same where one of both has no names."""
    there = [place for place in range(len(table.names)) if place not in ignored]
    places = places_in(schema, len(there), needed)
    if places is None:
        raise table.wrong(
            f"it has {counted(len(there), 'column')}, and the table that the model was trained on "
            f"{len(schema.columns):,}, of which it needs {len(needed):,}"
        )
    return dict(zip(places, there, strict=True))


def _other_columns(table: Titled, missing: list[str], unknown: list[str]) -> DataError:
    parts = []
    for names, what in ((missing, "missing"), (unknown, "unknown")):
        if names:
            more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
            parts.append(f"{what}: {', '.join(map(shown, names[:20]))}{more}")
    hint = "; --ignore leaves unknown ones out" if unknown and not missing else ""
    return table.wrong(f"its columns are not those that the model was trained on; {'; '.join(parts)}{hint}")


# Rows -----------------------------------------------------------------------------------------------------------------


class _Maker:
    """Fills the arrays of ``Rows`` piece by piece."""

    def __init__(
        self,
        table: Table,
        schema: Schema,
        classes: Sequence[Label],
        at: Mapping[int, int],
        policy: Policy,
        answers: bool,
    ) -> None:
        self.table, self.schema, self.policy, self.answers = table, schema, policy, answers
        fills = policy.inputs == "mean"

        def encoder(place: int, *, fills: bool = False) -> Encoder:
            return Encoder(table, at[place], schema.columns[place], classes, fills=fills)

        self.inputs = [encoder(place, fills=fills) for place in schema.inputs]
        self.targets = [encoder(place) for place in schema.targets] if answers else []
        self.others = {
            name: encoder(place)
            for name, place in (("weights", schema.weights if answers else None), ("times", schema.time))
            if place is not None
        }
        self.group = None if schema.group is None else at[schema.group]
        self.known: dict[Any, int] = {}

    @property
    def columns(self) -> list[int]:
        """The columns of the table that are read."""
        encoders = [*self.inputs, *self.targets, *self.others.values()]
        return sorted({encoder.place for encoder in encoders} | ({self.group} if self.group is not None else set()))

    def block(self, piece: Piece, encoders: Sequence[Encoder]) -> Array:
        """The numbers of some columns, (n, their width), in float64."""
        found = np.empty((piece.count, sum(encoder.column.width for encoder in encoders)))
        at = 0
        for encoder in encoders:
            encoder.encode(piece, found[:, at : at + encoder.column.width])
            at += encoder.column.width
        return found

    def kept(self, piece: Piece, inputs: Array, targets: Array | None) -> NDArray[np.bool_]:
        """Which rows are kept. DataError for a missing value that must not be missing."""
        found = np.ones(piece.count, np.bool_)
        for block, encoders, policy in (
            (inputs, self.inputs, self.policy.inputs),
            (targets, self.targets, self.policy.targets),
        ):
            gaps = None if block is None else np.isnan(block)
            if gaps is None or policy == "skip" or not gaps.any():
                continue
            if policy != "drop":
                self.refuse(piece, gaps, encoders)
            found &= ~gaps.any(axis=1)
        return found

    def refuse(self, piece: Piece, gaps: NDArray[np.bool_], encoders: Sequence[Encoder]) -> None:
        """Raise the error for the first missing value."""
        row, number = map(int, np.argwhere(gaps)[0])
        encoder = _column_of(encoders, number)
        drop = "" if self.schema.window or not self.answers else "--missing drop leaves such rows out, "
        if encoders is self.targets:
            skip = "mean,skip" if self.policy.inputs == "mean" else "skip"
            hint = f"{drop}--missing {skip} leaves what is not known out of the loss"
        elif encoders is self.inputs:
            hint = f"{drop}--missing mean puts the mean of the column there"
        else:
            hint = "write a number there"
        cell = piece.cells(encoder.place)[row]
        text = "empty" if isinstance(cell, float) else shown(cell)
        text += "" if text == "empty" else ", which stands for a missing value"
        raise self.table.wrong(f"{piece.place(row)}, {self.table.called(encoder.place)} is {text}: {hint}")

    def check_range(self, piece: Piece, block: Array, encoders: Sequence[Encoder], dtype: Any) -> None:
        """Raise DataError for a number that is not finite or too large for the model's type."""
        most = float(np.finfo(dtype).max)
        wrong = np.abs(block) > most
        if not wrong.any():
            return
        row, number = map(int, np.argwhere(wrong)[0])
        value, needs = block[row, number], f"in the range of {np.dtype(dtype)}, {-most:.2g} to {most:.2g}"
        needs = needs if np.isfinite(value) else "a finite number"
        called = self.table.called(_column_of(encoders, number).place)
        raise self.table.wrong(f"{piece.place(row)}, {called} is {value:g}, and must be {needs}")

    def fill(self, rows: Rows, piece: Piece, start: int, dtype: Any) -> int:
        """Write the rows of a piece that are kept to the arrays, from row ``start`` on; their number."""
        block = self.block(piece, self.inputs)
        answer = None if rows.targets is None else self.block(piece, self.targets)
        kept = self.kept(piece, block, answer)
        count = int(np.count_nonzero(kept))
        part = slice(start, start + count)
        self.check_range(piece, block, self.inputs, dtype)
        rows.inputs[part] = block if count == piece.count else block[kept]
        if rows.numbers is not None:
            rows.numbers[part] = piece.first + np.flatnonzero(kept)
        if rows.targets is not None and answer is not None:
            self.check_range(piece, answer, self.targets, rows.targets.dtype)
            rows.targets[part] = answer[kept]
        for name, into in (("weights", rows.weights), ("times", rows.times)):
            if into is not None:
                encoder = self.others[name]
                more = self.block(piece, [encoder])
                if np.isnan(more[kept]).any():
                    self.refuse(piece, np.isnan(more) & kept[:, None], [encoder])
                into[part] = more[kept, 0]
        if rows.groups is not None:
            rows.groups[part] = self.groups_of(piece)[kept]
        return count

    def groups_of(self, piece: Piece) -> NDArray[np.intp]:
        """The number of each row's group, in the order in which groups appear."""
        assert self.group is not None
        cells = piece.cells(self.group)
        keys = (
            [None if cell != cell else number_text(cell) for cell in cells.tolist()]
            if isinstance(cells, np.ndarray)
            else cells.to_list()
        )
        for row, key in enumerate(keys):
            if not key:
                raise self.table.wrong(
                    f"{piece.place(row)}, {self.table.called(self.group)} is empty, and tells groups apart"
                )
        return np.array([self.known.setdefault(key, len(self.known)) for key in keys], np.intp)


def _column_of(encoders: Sequence[Encoder], number: int) -> Encoder:
    """The column that a number of a block belongs to."""
    ends = np.cumsum([encoder.column.width for encoder in encoders])
    return encoders[int(np.searchsorted(ends, number, "right"))]


def rows_of(
    table: Table,
    schema: Schema,
    classes: Sequence[Label],
    at: Mapping[int, int],
    dtype: Any,
    policy: Policy,
    *,
    answers: bool = True,
    count: int | None = None,
    small: Any = None,
) -> Rows:
    """The rows of a table. at: where each column of the schema is in the table. count: the rows, if it is known.

    dtype: the model's, which bounds all numbers. small: the type of the inputs, if another one holds them too.
    """
    maker = _Maker(table, schema, classes, at, policy, answers and bool(schema.targets))
    total = table.count() if count is None else count
    trouble = shortage(total * schema.width * np.dtype(dtype).itemsize, "its rows need {}")
    if trouble is not None:
        raise table.wrong(trouble)
    target_type = np.float64 if any(one.column.kind == LEFT_OUT for one in maker.targets) else dtype
    numbers: NDArray[Any] | None = None
    if "drop" in (policy.inputs, policy.targets):
        numbers = np.empty(total, np.int32 if total < 2**31 else np.int64)
    found = Rows(
        np.empty((total, schema.width), small or dtype),
        np.empty((total, len(maker.targets)), target_type) if maker.targets else None,
        np.empty(total) if "weights" in maker.others else None,
        None if maker.group is None else np.empty(total, np.intp),
        (), np.empty(total) if "times" in maker.others else None, numbers,
    )  # fmt: skip
    filled = 0
    for piece in table.pieces(maker.columns):
        filled += maker.fill(found, piece, filled, dtype)
    if not filled:
        raise table.wrong("a value is missing in every row" if total else "it has no rows")
    part = slice(filled)
    targets, weights, times = (_part(array, part) for array in (found.targets, found.weights, found.times))
    return Rows(
        found.inputs[part], targets, weights, _part(found.groups, part), list(maker.known), times,
        _part(numbers, part), total - filled, sum(encoder.filled for encoder in maker.inputs),
    )  # fmt: skip


def _part(array: Array | None, part: slice) -> Array | None:
    return None if array is None else array[part]
