"""Learns the schema of a table: which columns a model reads and answers, and how each becomes numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..data.schema import BOOLEAN, CATEGORY, CLASS, DATE, LEFT_OUT, NUMBER, Column, Label, Schema
from ..errors import DataError
from ..host.frozen import frozen
from .files import Table, shown
from .learning import Seen, as_date, boolean_pair, kind_of, look, named_words
from .records import counted
from .remarks import notes_of, said_widths, some, unlike

_BINARY = ("binary_cross_entropy", "hinge")


@frozen
class Wanted:
    """What a model takes: widths, the name of its loss, and whether it has links back in time."""

    width_in: int
    width_out: int
    loss: str
    recurrent: bool

    @property
    def has_classes(self) -> bool:
        """Whether one column of classes may be expected."""
        return self.loss == "cross_entropy" and self.width_out > 1


@frozen
class Roles:
    """What the user says of the columns, by their places. targets: None for the last ones.

    dates: whether dates become numbers. plain: whether only numbers and booleans are allowed. wide: whether a row is a
    whole sequence, one step after the other.
    """

    ignored: tuple[int, ...] = ()
    targets: tuple[int, ...] | None = None
    weights: int | None = None
    group: int | None = None
    time: int | None = None
    categories: tuple[int, ...] = ()
    window: int | None = None
    horizon: int | None = None
    missing: str = "error"
    dates: bool = False
    plain: bool = False
    wide: bool = False

    @property
    def others(self) -> tuple[int, ...]:
        """The columns that are neither inputs nor answers."""
        return tuple(place for place in (self.weights, self.group, self.time) if place is not None)


@dataclass(frozen=True, eq=False)
class Learnt:
    """A schema, the names of its classes, and what to say about it. unlike: the columns of very different size.

    seen, rows: what the columns have, and how many rows there are, if they were looked at.
    """

    schema: Schema
    classes: tuple[Label, ...] | None = None
    notes: tuple[str, ...] = ()
    unlike: str = ""
    seen: dict[int, Seen] = field(default_factory=dict)
    rows: int | None = None

    @property
    def small(self) -> type[np.signedinteger[Any]] | None:
        """A type of whole numbers that holds all inputs in less memory than the model's type; None if there is none."""
        if self.rows is None or self.schema.missing == "mean":
            return None
        most = 1.0
        for place in self.schema.inputs:
            if self.schema.columns[place].kind == NUMBER:
                one, whole = self.seen[place], not self.schema.columns[place].style
                most = max(most, abs(one.low), abs(one.high)) if whole and one.whole and one.numbers else np.inf
            elif self.schema.columns[place].kind == DATE:
                return None
        return np.int8 if most <= 127 else np.int16 if most <= 32_767 else None


def learn(table: Table, roles: Roles, wanted: Wanted | None, *, answers: bool = True) -> Learnt:
    """Learn a schema from the cells of a table. wanted: None for a table without a model. DataError if it does not fit.

    answers: whether the table has what is expected.
    """
    places = [place for place in range(len(table.names)) if place not in roles.ignored]
    if not answers:
        places = _without_answers(places, roles, wanted)
    _check_names(table, places)
    listed = {*(_last_class(table, places, roles, wanted) if answers else ()), *roles.categories}
    rows, seen = look(table, places, listed | set(() if wanted else roles.targets or ()))
    columns = _Columns(table, roles, seen)
    inputs, targets = _divided(columns, wanted, places, answers)
    targets = targets if answers else ()
    answered, classes = _targets(columns, wanted, targets)
    known = {place: columns.at(place) for place in (*inputs, *roles.others)}
    left = {place: columns.left_out(place) for place in places if place not in {*known, *targets}}
    whole = _whole(table, roles, {**known, **left, **answered}, inputs, targets)
    return Learnt(
        whole, classes, notes_of(table, whole, seen, roles.categories, rows), unlike(table, whole, seen), seen, rows
    )


class _Columns:
    """The columns of a table as inputs, each made when it is asked for."""

    def __init__(self, table: Table, roles: Roles, seen: dict[int, Seen]) -> None:
        self.table, self.roles, self.seen = table, roles, seen
        self._made: dict[int, Column] = {}

    def at(self, place: int) -> Column:
        """A column that is no answer. DataError if its kind is not clear."""
        if place not in self._made:
            self._made[place] = self._make(place)
        return self._made[place]

    def inputs(self, places: Sequence[int]) -> tuple[int, ...]:
        """Those of some places that become numbers."""
        return tuple(place for place in places if self.at(place).width)

    def width(self, places: Sequence[int]) -> int:
        """How many numbers the columns at some places become."""
        return sum(self.at(place).width for place in places)

    def left_out(self, place: int) -> Column:
        """The column at a place that is neither read nor answered."""
        made = self._made.get(place)
        return made if made is not None and made.kind == LEFT_OUT else Column(self.table.names[place], LEFT_OUT)

    def unnamed(self, place: int) -> bool:
        """Whether a column has neither a name nor a value, as those behind the last separator of each line."""
        return place in self.table.unnamed and self.at(place).style == "empty"

    def _make(self, place: int) -> Column:
        table, roles, seen = self.table, self.roles, self.seen[place]
        if place == roles.group:
            return Column(table.names[place], LEFT_OUT, style="group")
        if place == roles.time and seen.days and not seen.numbers:
            return as_date(table, seen)
        found = kind_of(table, seen, dates=roles.dates, categories=place in roles.categories)
        if place in roles.others and found.kind != NUMBER:
            what = "numbers, and is to be weights" if place == roles.weights else "numbers or dates, and is to be times"
            raise table.wrong(f"{table.called(place)} has no {what}")
        if roles.plain and found.kind not in (NUMBER, BOOLEAN) and seen.word is not None:
            raise table.wrong(
                f"{seen.word[0]}, {table.called(place)} is {shown(seen.word[1])}, not a number; the model was not "
                "trained on a table, and knows no texts"
            )
        return found

    def fit(self, inputs: Sequence[int], wanted: Wanted) -> bool:
        """Whether the numbers of a row are what a model takes: a vector or, in wide tables, a sequence of them."""
        width = self.width(inputs)
        return width == wanted.width_in or (self.roles.wide and width > 0 and width % wanted.width_in == 0)

    def unfit(self, inputs: Sequence[int], wanted: Wanted, which: str = "", hint: str = "") -> DataError:
        """The error for columns that become another number of numbers than the model takes."""
        left = [
            f"{column.name} ({column.style}{': --dates takes them' if column.style == 'dates' else ''})"
            for column in self._made.values()
            if column.kind == LEFT_OUT and column.style in ("dates", "empty")
        ]
        without = f"; left out: {some(left)}" if left else ""
        rows = "" if self.roles.horizon is None else f", or {wanted.width_in} in {self.roles.window} rows"
        parts = said_widths([self.at(place) for place in inputs], header=self.table.header)
        numbers = f"{counted(self.width(inputs), 'number')}, {parts}"
        if wanted.recurrent and not self.roles.wide and self.width(inputs) % wanted.width_in == 0 and not rows:
            hint += "; --sequences takes each row as a sequence, one step after the other"
        return self.table.wrong(
            f"its columns{which} become {numbers}, and the model takes {wanted.width_in}{rows}{without}{hint}"
        )


def _check_names(table: Table, places: Sequence[int]) -> None:
    names: dict[str, int] = {}
    for place in places:
        name = table.names[place]
        if name in names:
            raise table.wrong(
                f"columns {names[name] + 1} and {place + 1} are both called {shown(name)}: rename one, or leave one "
                f"out by its number, --ignore {place + 1}"
            )
        names[name] = place


def _last_class(table: Table, places: Sequence[int], roles: Roles, wanted: Wanted | None) -> tuple[int, ...]:
    """The column that may have classes, whose texts are all counted."""
    if wanted is None or roles.horizon is not None or not (wanted.has_classes or wanted.loss in _BINARY):
        return ()
    if roles.targets is not None:
        return roles.targets if len(roles.targets) == 1 else ()
    left = [place for place in places if place not in roles.others and place not in table.unnamed]
    return tuple(left[-1:])


def _without_answers(places: Sequence[int], roles: Roles, wanted: Wanted | None) -> list[int]:
    """The columns without those of what is expected, which may hold anything. wanted: what a model takes that knows no
    columns: then the first ones are its inputs."""
    if roles.targets is not None:
        return [place for place in places if place not in roles.targets]
    if not roles.plain or wanted is None:
        return list(places)
    left = [place for place in places if place not in roles.others]
    known = wanted.width_in, wanted.width_in + wanted.width_out, wanted.width_in + 1
    return [*left[: wanted.width_in], *roles.others] if len(left) in known else list(places)


def _divided(
    columns: _Columns, wanted: Wanted | None, places: Sequence[int], answers: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The places of the inputs and of the answers."""
    roles = columns.roles
    left = [place for place in places if place not in roles.others]
    if roles.horizon is not None:
        return _of_series(columns, wanted, left)
    if roles.targets is not None or wanted is None:
        targets = roles.targets or ()
        inputs = columns.inputs([place for place in left if place not in targets])
        if wanted is not None and not columns.fit(inputs, wanted):
            raise columns.unfit(inputs, wanted)
        return inputs, targets
    while left and columns.table.unnamed and columns.unnamed(left[-1]):
        left.pop()
    counts = dict.fromkeys([*([] if answers else [0]), *([1] if wanted.has_classes else []), wanted.width_out])
    trouble: DataError | None = None
    for count in counts:
        rest, targets = left[: len(left) - count], tuple(left[len(left) - count :])
        try:
            inputs = columns.inputs(rest)
            numbers = count < 2 or all(columns.at(place).kind in (NUMBER, BOOLEAN) for place in targets)
            if inputs and numbers and columns.fit(inputs, wanted):
                return inputs, targets
        except DataError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    count = next(iter(counts))
    which = f" but the last {count}" if count > 1 else " but the last" if count else ""
    hint = "; --targets names the columns of what is expected"
    raise columns.unfit(columns.inputs(left[: len(left) - count]), wanted, which, hint)


def _of_series(
    columns: _Columns, wanted: Wanted | None, left: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The places of the inputs of a series, and of what is forecast: all of them, or what the user says."""
    roles, inputs = columns.roles, columns.inputs(left)
    targets = inputs if roles.targets is None else roles.targets
    assert roles.horizon is not None
    if wanted is not None and not answered_width(wanted, roles.horizon, len(targets)):
        names = some([columns.table.names[place] for place in targets])
        raise columns.table.wrong(
            f"{counted(roles.horizon, 'row')} of {counted(len(targets), 'column')}, {names}, are to be forecast, and "
            f"the model's output has {counted(wanted.width_out, 'number')}; --targets names the columns"
        )
    width = columns.width(inputs)
    if wanted is not None and wanted.width_in not in ([width] if wanted.recurrent else [width * (roles.window or 1)]):
        raise columns.unfit(inputs, wanted)
    return inputs, targets


def answered_width(wanted: Wanted, horizon: int, targets: int) -> bool:
    """Whether a model's output has a number for each row and column that is forecast."""
    return wanted.width_out == horizon * targets


def _whole(
    table: Table, roles: Roles, columns: dict[int, Column], inputs: tuple[int, ...], targets: tuple[int, ...]
) -> Schema:
    """The schema of all columns."""
    every = [columns.get(place, Column(name, LEFT_OUT, style="ignored")) for place, name in enumerate(table.names)]
    names = [column.name for column in every]
    for place, name in enumerate(names):  # of columns that are ignored, names may be there twice
        if names.count(name) > 1 and every[place].style == "ignored":
            every[place] = replace(every[place], name=f"{name} ({place + 1})")
    return Schema(
        tuple(every), table.header, inputs, targets, roles.weights, roles.group, roles.time, roles.window,
        roles.horizon, roles.missing,
    )  # fmt: skip


# What is expected -----------------------------------------------------------------------------------------------------


def _targets(
    columns: _Columns, wanted: Wanted | None, targets: Sequence[int]
) -> tuple[dict[int, Column], tuple[Label, ...] | None]:
    """The columns of what is expected, and the classes."""
    table, seen = columns.table, columns.seen
    if columns.roles.horizon is not None:
        known = {place: columns.at(place) for place in targets}
        return {place: _number(table, seen[place], column) for place, column in known.items()}, None
    if len(targets) == 1 and wanted is not None and (wanted.has_classes or wanted.loss in _BINARY):
        found = _classes(table, wanted, seen[targets[0]])
        if found is not None:
            return {targets[0]: Column(table.names[targets[0]], CLASS)}, found
    if wanted is None:
        return {place: Column(table.names[place], CLASS) for place in targets}, None
    return {place: _number(table, seen[place], None) for place in targets}, None


def _number(table: Table, seen: Seen, known: Column | None) -> Column:
    """A column of expected numbers."""
    found = known or kind_of(table, seen)
    if found.style == "empty":
        raise table.wrong(f"{table.called(seen.place)} has nothing but missing values, and numbers are expected")
    if found.kind not in (NUMBER, BOOLEAN):
        what = {CATEGORY: "texts", DATE: "dates"}.get(found.kind, found.style or found.kind)
        raise table.wrong(
            f"{table.called(seen.place)} has {what}, and numbers are expected; classes need the loss cross_entropy and "
            "an output with a number for each class"
        )
    return found


def _classes(table: Table, wanted: Wanted, seen: Seen) -> tuple[Label, ...] | None:
    """The classes of a column in the order of their numbers; None if it has these numbers, or what a loss takes."""
    count = 2 if wanted.width_out == 1 else wanted.width_out
    if seen.texts is None:
        raise table.wrong(f"{table.called(seen.place)} has more different texts than the model has classes, {count:,}")
    texts = named_words(seen.texts)
    if seen.words is not None and not named_words(seen.words):
        values = sorted({float(text.replace(",", ".")) for text in texts})
        ready = all(value.is_integer() and 0 <= value < count for value in values)
        if ready or len(values) != count or wanted.loss in _BINARY:
            return None
        return tuple(int(value) if value.is_integer() else value for value in values)
    if len(texts) != count:
        needed = "with one number two" if wanted.width_out == 1 else f"with {count:,} numbers {count:,}"
        raise table.wrong(
            f"{table.called(seen.place)} has {len(texts):,} classes, {some(list(map(shown, texts)))}, and the model's "
            f"output {needed}"
        )
    pair = boolean_pair(texts)
    if pair is None:
        return tuple(texts)
    order = pair.index
    return tuple(sorted(texts, key=lambda text: order(text.lower())))
