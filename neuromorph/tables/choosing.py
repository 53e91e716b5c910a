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

_LISTED = 12  # names at most that a message lists
_UNLIKE = 100.0  # times that the sizes of two columns differ before a hint
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

    dates: whether dates become numbers. plain: whether only numbers and booleans are allowed.
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
                one = self.seen[place]
                most = max(most, abs(one.low), abs(one.high)) if one.whole and one.numbers else np.inf
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
    last = _last_class(places, roles, wanted) if answers else ()
    rows, seen = look(table, places, {*last, *roles.categories, *(() if wanted else roles.targets or ())})
    columns = {place: _column(table, seen[place], roles) for place in places if place not in (roles.targets or ())}
    inputs, targets = _divided(table, roles, wanted, places, columns, answers)
    if roles.plain:
        _check_plain(table, [seen[place] for place in inputs], columns)
    targets = targets if answers else ()
    answered, classes = _targets(table, roles, wanted, [seen[place] for place in targets], columns)
    whole = _whole(table, roles, {**columns, **answered}, inputs, targets)
    return Learnt(
        whole, classes, tuple(_notes(table, whole, seen, roles, rows)), _unlike(table, whole, seen), seen, rows
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


def _last_class(places: Sequence[int], roles: Roles, wanted: Wanted | None) -> tuple[int, ...]:
    """The column that may have classes, whose texts are all counted."""
    if wanted is None or roles.horizon is not None or not (wanted.has_classes or wanted.loss in _BINARY):
        return ()
    if roles.targets is not None:
        return roles.targets if len(roles.targets) == 1 else ()
    left = [place for place in places if place not in roles.others]
    return tuple(left[-1:])


def _column(table: Table, seen: Seen, roles: Roles) -> Column:
    """A column that is no answer."""
    place = seen.place
    if place == roles.time and seen.days and not seen.numbers:
        return as_date(table, seen)
    if place in roles.others and place != roles.group:
        found = kind_of(table, seen)
        if found.kind != NUMBER:
            what = "weights" if place == roles.weights else "times"
            raise table.wrong(
                f"{table.called(place)} has no numbers{' or dates' * (what == 'times')}, and is to be {what}"
            )
        return found
    if place == roles.group:
        return Column(table.names[place], LEFT_OUT, style="group")
    return kind_of(table, seen, dates=roles.dates, categories=place in roles.categories)


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


def _check_plain(table: Table, inputs: Sequence[Seen], columns: dict[int, Column]) -> None:
    """Raise DataError unless all inputs of a model that was not trained on a table are numbers."""
    for seen in inputs:
        if columns[seen.place].kind not in (NUMBER, BOOLEAN) and seen.word is not None:
            raise table.wrong(
                f"{seen.word[0]}, {table.called(seen.place)} is {shown(seen.word[1])}, not a number; the model was not "
                "trained on a table, and knows no texts"
            )


def _divided(
    table: Table,
    roles: Roles,
    wanted: Wanted | None,
    places: Sequence[int],
    columns: dict[int, Column],
    answers: bool,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The places of the inputs and of the answers."""
    left = [place for place in places if place not in roles.others]
    if roles.horizon is not None:
        inputs = tuple(place for place in left if place not in columns or columns[place].width)
        targets = inputs if roles.targets is None else roles.targets
        return inputs, targets
    if roles.targets is not None or wanted is None:
        targets = roles.targets or ()
        inputs = tuple(place for place in left if place not in targets and columns[place].width)
        if wanted is not None:
            _check_width(table, wanted, roles, [columns[place] for place in inputs], columns)
        return inputs, targets
    counts = [*([] if answers else [0]), *([1] if wanted.has_classes else []), wanted.width_out]
    for count in dict.fromkeys(counts):
        rest, targets = left[: len(left) - count], tuple(left[len(left) - count :])
        inputs = tuple(place for place in rest if columns[place].width)
        width = sum(columns[place].width for place in inputs)
        if len(left) > count and width == wanted.width_in:
            return inputs, targets
    count = counts[0]
    rest = left[: len(left) - count] if count else left
    raise _unfit(table, wanted, [columns[place] for place in rest if columns[place].width], columns, count)


def _check_width(
    table: Table, wanted: Wanted, roles: Roles, inputs: Sequence[Column], columns: dict[int, Column]
) -> None:
    width = sum(column.width for column in inputs)
    if width != wanted.width_in and (roles.window is None or width * roles.window != wanted.width_in):
        raise _unfit(table, wanted, inputs, columns, None)


def _unfit(
    table: Table, wanted: Wanted, inputs: Sequence[Column], columns: dict[int, Column], last: int | None
) -> DataError:
    """The error for a table whose columns become another number of numbers than the model takes."""
    width = sum(column.width for column in inputs)
    which = "" if last is None else f" but the last {last}" if last > 1 else " but the last" if last else ""
    left = [
        f"{column.name} ({column.style})"
        for column in columns.values()
        if column.kind == LEFT_OUT and column.style in ("dates", "empty")
    ]
    without = f"; left out: {_some(left)}" if left else ""
    hint = "" if last is None else "; --targets names the columns of what is expected"
    return table.wrong(
        f"its columns{which} become {width} numbers, {said_widths(inputs)}, and the model takes {wanted.width_in}"
        f"{without}{hint}"
    )


def said_widths(columns: Sequence[Column]) -> str:
    """How many numbers each column becomes, for a message: "age 1, city 3"."""
    return _some([f"{column.name} {column.width}" for column in columns]) or "none"


def _some(names: Sequence[str]) -> str:
    """Some names, as a list for a message."""
    more = [f"{len(names) - _LISTED:,} more"] if len(names) > _LISTED else []
    return ", ".join([*names[:_LISTED], *more])


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
    table: Table, roles: Roles, wanted: Wanted | None, seen: Sequence[Seen], columns: dict[int, Column]
) -> tuple[dict[int, Column], tuple[Label, ...] | None]:
    """The columns of what is expected, and the classes."""
    if roles.horizon is not None:
        return {one.place: _number(table, one, columns.get(one.place)) for one in seen}, None
    if len(seen) == 1 and wanted is not None and (wanted.has_classes or wanted.loss in _BINARY):
        found = _classes(table, wanted, seen[0])
        if found is not None:
            return {seen[0].place: Column(table.names[seen[0].place], CLASS)}, found
    if wanted is None:
        return {one.place: Column(table.names[one.place], CLASS) for one in seen}, None
    return {one.place: _number(table, one, None) for one in seen}, None


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
            f"{table.called(seen.place)} has {len(texts):,} classes, {_some(list(map(shown, texts)))}, and the model's "
            f"output {needed}"
        )
    pair = boolean_pair(texts)
    if pair is None:
        return tuple(texts)
    order = pair.index
    return tuple(sorted(texts, key=lambda text: order(text.lower())))


# What to say ----------------------------------------------------------------------------------------------------------


def _notes(table: Table, schema: Schema, seen: dict[int, Seen], roles: Roles, rows: int) -> list[str]:
    """What a user should know of how a table is read."""
    said = {"dates": "has dates and is left out: --dates takes them as days", "empty": "is empty and is left out"}
    left = [column for column in schema.columns if column.kind == LEFT_OUT and column.style in said]
    found = [f"{shown(column.name)} {said[column.style]}" for column in left]
    for place in schema.inputs:
        one = seen[place]
        if place not in roles.categories and one.numbers > 2 and one.counting and one.whole and roles.horizon is None:
            found.append(
                f"{table.called(place)} counts the rows, and says nothing of what is expected: --ignore leaves it out"
            )
        elif schema.columns[place].kind == CATEGORY and len(schema.columns[place].values) == rows > 2:
            found.append(f"{table.called(place)} has another text in each row, as names have: --ignore leaves it out")
    return found


def _unlike(table: Table, schema: Schema, seen: dict[int, Seen]) -> str:
    """The columns with the largest and the smallest numbers, if these differ much in size; else an empty text."""
    sizes = {}
    for place in schema.inputs:
        if schema.columns[place].kind == NUMBER and seen[place].numbers:
            sizes[place] = float(np.hypot(seen[place].deviation, seen[place].mean))
        elif schema.columns[place].kind in (CATEGORY, BOOLEAN):
            sizes.setdefault(place, 1.0)
    full = {place: size for place, size in sizes.items() if 0.0 < size < float("inf")}
    if not full:
        return ""
    low, high = min(full, key=full.__getitem__), max(full, key=full.__getitem__)
    if full[high] < _UNLIKE * min(1.0, full[low]):
        return ""
    return (
        f"{table.called(high)} has numbers of about {full[high]:.2g}, and {table.called(low)} of about {full[low]:.2g}"
    )
