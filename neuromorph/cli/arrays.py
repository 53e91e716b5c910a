"""Where data come from, and the arrays that were read of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

import neuromorph as nm

from ..data.schema import Label, Schema
from ..host.frozen import frozen

Array = NDArray[Any]


@frozen
class Source:
    """Where data come from: one file, or one file for the inputs and one for the expected values.

    sequences: whether inputs of three axes are (sequences, steps, width); None means as in the model's training.
    format: of data on stdin, such as "csv". missing: what happens to missing values, with commas. The other fields are
    about tables. targets, ignore, weights, group, time, categories: columns, by names or numbers, with commas. header:
    whether the first line has names. dates: whether dates become numbers. window, horizon: of windows of a series.
    each: whether each step of a sequence has an answer, whatever it looks like. once: whether each sequence has one
    answer, as in the training data; None if that is not known. titles: what messages call files that
    have what came from stdin.
    """

    data: str | None = None
    inputs: str | None = None
    expected: str | None = None
    targets: str | None = None
    ignore: str | None = None
    sequences: bool | None = None
    format: str | None = None
    header: bool | None = None
    missing: str | None = None
    weights: str | None = None
    group: str | None = None
    time: str | None = None
    categories: str | None = None
    dates: bool = False
    window: int | None = None
    horizon: int | None = None
    each: bool = False
    once: bool | None = None
    titles: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, str | None]:
        """The paths by the options that give them."""
        return {"--data": self.data, "--inputs": self.inputs, "--expected": self.expected}

    def at(self, path: str) -> Source:
        """The source of the same kind of data in another file."""
        return replace(self, data=path, inputs=None, expected=None, format=None)

    def title(self, path: str) -> str:
        """What messages call a file."""
        return self.titles.get(path, path)

    @property
    def for_tables(self) -> list[str]:
        """The options that are given and say something about the columns of a table."""
        names = ("targets", "ignore", "header", "weights", "group", "time", "categories", "horizon")
        found = [f"--{name}" for name in names if getattr(self, name) is not None]
        return found + ["--dates"] * self.dates


class Origin:
    """Where an array comes from, for messages. file: the path."""

    def __init__(self, file: str) -> None:
        self.file = file

    def place(self, name: str, index: tuple[int, ...]) -> str:
        """What a message calls the number at ``index`` of the array ``name``."""
        return f"{name}{list(index)}"


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of a file as they are; None for an array that the file does not have.

    The others are for messages or come from tables. name: the file. origins: where each array comes from. rows: those
    of the file that all arrays have, or None if they have all. schema, classes: what was learnt of a table. notes: what
    to say about it. unlike: columns of very different size. sequences: whether inputs are (N, S, W); None if the file
    does not say. places: for each sequence and step the row of the table, -1 for padding. order: the rows of the table
    in the order of the inputs. groups: what the sequences are called. row_groups: the number of the
    group of each row of the table, and what the groups are called. skips: whether expected values may be missing.
    """

    name: str
    inputs: Array
    expected: Array | None = None
    labels: Array | None = None
    sample_weight: Array | None = None
    lengths: Array | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    rows: Array | None = None
    schema: Schema | None = None
    classes: tuple[Label, ...] | None = None
    notes: tuple[str, ...] = ()
    unlike: str = ""
    sequences: bool | None = None
    places: Array | None = None
    order: Array | None = None
    groups: Sequence[str] = ()
    row_groups: tuple[Array, Sequence[str]] | None = None
    skips: bool = False

    def origin(self, name: str) -> Origin:
        """Where the array ``name`` comes from."""
        return self.origins.get(name, Origin(self.name))

    def place(self, name: str, index: tuple[int, ...]) -> str:
        """What a message calls the number at ``index`` of the array ``name``."""
        row = index[0] if self.rows is None or not index else int(self.rows[index[0]])
        return self.origin(name).place(name, (row, *index[1:]))


def has_classes(model: nm.Model) -> bool:
    """Whether the expected values of a model may be class numbers."""
    return model.graph.loss.name == "cross_entropy" and model.output_width > 1
