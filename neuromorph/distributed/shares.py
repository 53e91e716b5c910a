"""What a worker holds of the data: the samples of its lanes, in memory or in mapped files.

The data of a run are groups of samples, one after the other. A group of sequences starts from zero state. Sequence n of
``layout="NSW"``, and vector n of ``layout="NW"``, lie in lane n % batch_size, as in ``fit``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import TrainingData
from ..data.mixing import as_vectors
from ..errors import DataError
from ..host.frozen import frozen
from ..runtime.network import Network
from ..training.sources import Reading

Array = NDArray[Any]
Order = NDArray[np.intp]
PIECE_NUMBERS = 1 << 21  # numbers of a piece of mapped vectors, of all lanes together


@frozen
class Spans:
    """The groups of the whole data: how many, the samples of each, and those of the last one.

    sequences: whether each group is one of several sequences, which start from zero state.
    """

    groups: int
    samples: int
    last: int
    sequences: bool = False

    def of(self, group: int) -> int:
        """The samples of a group."""
        return self.last if group == self.groups - 1 else self.samples

    @property
    def total(self) -> int:
        """The samples of all groups."""
        return (self.groups - 1) * self.samples + self.last

    def as_one(self) -> Spans:
        """All samples as one group of vectors."""
        return Spans(1, self.total, self.total)

    def windows(self, capacity: int) -> int:
        """The windows of a group of so many samples each."""
        return -(-self.samples // capacity)


@frozen
class Lanes:
    """Some of the lanes of the whole model, which has ``batch`` of them."""

    first: int
    stop: int
    batch: int

    @property
    def count(self) -> int:
        """Their number."""
        return self.stop - self.first

    def of_rows(self, rows: int) -> NDArray[np.intp]:
        """The numbers of the sequences, or single vectors, that lie in these lanes, of so many."""
        numbers = np.arange(rows)
        places = numbers % self.batch
        return numbers[(places >= self.first) & (places < self.stop)]


class Share(Protocol):
    """The data of some lanes, group by group."""

    spans: Spans

    def group(self, number: int, order: Order | None = None) -> TrainingData:
        """The data (S, lanes, …) of a group. Of single vectors, these lanes may have fewer samples than others.

        order: of the units of each lane; see ``order_of``.
        """

    def wholes(self) -> Iterator[TrainingData]:
        """All data, without weights of classes, in pieces that each start from zero state, unless there is only one."""

    def units(self) -> NDArray[np.intp]:
        """How many sequences, or vectors, each lane has: (lanes,)."""

    @property
    def length(self) -> int:
        """How many of them a lane has at most."""


class Held:
    """A share that is in memory: checked data whose lanes are these alone, packed as training takes them.

    spans: of the whole data, of which these may have fewer groups. measured: the same data without weights of classes.
    """

    def __init__(self, data: TrainingData, spans: Spans, measured: TrainingData) -> None:
        self.data, self.spans, self.measured = data, spans, measured

    def group(self, number: int, order: Order | None = None) -> TrainingData:
        data = self.data
        if data.sequences and number >= len(data.inputs):
            return _blank(data, self.spans.samples)
        if not data.sequences:
            return data if order is None else _each(data, lambda array: _taken_steps(array, order))
        if order is None:
            return _each(data, lambda array: array[number])
        return _each(data, lambda array: _taken_group(array, order[number]))

    def units(self) -> NDArray[np.intp]:
        data = self.data
        lanes = data.inputs.shape[-2]
        if data.weights is None:
            return np.full(lanes, len(data.inputs))
        counts: NDArray[np.bool_] = data.weights > 0.0
        if data.sequences:
            counts = np.logical_or.reduce(counts, axis=1)
        found: NDArray[np.intp] = np.where(counts.any(axis=0), len(counts) - counts[::-1].argmax(axis=0), 0)
        return found

    @property
    def length(self) -> int:
        return len(self.data.inputs)

    def as_vectors(self) -> Held:
        """Several sequences as one, for models in which nothing is recurrent."""
        return Held(as_vectors(self.data), self.spans.as_one(), self.measured) if self.data.sequences else self

    def wholes(self) -> Iterator[TrainingData]:
        yield self.measured


class Mapped:
    """A share that stays in NPY files, which are read group by group.

    reading: how. model: of these lanes alone; it says what the data must be. rows: of the files. own: the numbers of
    the rows in these lanes.
    """

    def __init__(self, files: Files, lanes: Lanes, reading: Reading, model: Network, spans: Spans) -> None:
        self._files, self._lanes, self._reading, self._model, self.spans = files, lanes, reading, model, spans
        self._parts = files.mapped()
        self._own = lanes.of_rows(files.rows)
        self._per = lanes.count * (1 if reading.layout == "NSW" else spans.samples)

    def group(self, number: int, order: Order | None = None) -> TrainingData:
        rows = self._own[number * self._per : (number + 1) * self._per]
        if order is not None:
            rows = self._in_order(number, order)
        if not len(rows):
            return replace(
                nothing(self._model, Spans(1, self.spans.of(number), self.spans.of(number))), sequences=False
            )
        data = self._reading.weighted(self._model, self._read(rows))
        return _each(data, lambda array: array[0]) if data.sequences else data

    def _read(self, rows: NDArray[np.intp]) -> TrainingData:
        parts = {name: rows_of(arrays, rows) for name, arrays in self._parts.items()}
        return read_share(self._model, self._reading, parts, f"{self._files.where(rows)}: ")

    def wholes(self) -> Iterator[TrainingData]:
        for first in range(0, len(self._own), self._per):
            yield self._read(self._own[first : first + self._per])

    def _in_order(self, number: int, order: Order) -> NDArray[np.intp]:
        """The rows of a group whose units are in another order."""
        size = 1 if self._reading.layout == "NSW" else self.spans.samples
        places = order[number * size : (number + 1) * size]  # (units, lanes)
        rows = (places * self._lanes.batch + self._lanes.first + np.arange(self._lanes.count)).ravel()
        found: NDArray[np.intp] = rows[rows < self._files.rows]
        return found

    def units(self) -> NDArray[np.intp]:
        lanes = self._own % self._lanes.batch - self._lanes.first
        found: NDArray[np.intp] = np.bincount(lanes, minlength=self._lanes.count)
        return found

    @property
    def length(self) -> int:
        return -(-self._files.rows // self._lanes.batch)


@frozen
class Files:
    """Files whose arrays follow one another along the first axis: paths by the name of an argument.

    Each is an NPY file, or an NPZ file that has the array under that name. rows: of all together. axes: those of the
    inputs.
    """

    paths: dict[str, tuple[str, ...]]
    rows: int = 0
    axes: int = 0

    def mapped(self) -> dict[str, list[Array]]:
        """The arrays of all files by argument, mapped where they are NPY files."""
        return {name: [open_array(path, name) for path in paths] for name, paths in self.paths.items()}

    @property
    def can_be_mapped(self) -> bool:
        """Whether all files can be read in part."""
        return all(path.endswith(".npy") for paths in self.paths.values() for path in paths)

    def where(self, rows: NDArray[np.intp]) -> str:
        """What messages call some rows."""
        return (
            f"rows {int(rows.min()):,} to {int(rows.max()):,} of {os.path.basename(self.paths['inputs'][0])} and others"
        )


def open_array(path: str, name: str) -> Array:
    """The array of a file, mapped where that is possible. DataError, naming the file, if there is none."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            array: Array = found[name]
            return array
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{name}: the worker can't read {path}: {error}") from error


def rows_of(arrays: Sequence[Array], rows: NDArray[np.intp]) -> Array:
    """Some rows of arrays that follow one another, copied."""
    ends = np.cumsum([len(array) for array in arrays])
    which = np.searchsorted(ends, rows, side="right")
    if len(which) and which[0] == which[-1] and (which == which[0]).all():
        array = arrays[which[0]]
        return np.asarray(array[rows - (ends[which[0]] - len(array))])
    found = np.empty((len(rows), *arrays[0].shape[1:]), arrays[0].dtype)
    for number in np.unique(which):
        mine = which == number
        found[mine] = arrays[number][rows[mine] - (ends[number] - len(arrays[number]))]
    return found


def nothing(model: Network, spans: Spans) -> TrainingData:
    """Data of weight 0 for lanes in which nothing lies: one sequence (1, S, lanes, …), or samples (S, lanes, …)."""
    leading = (1, spans.samples, model.batch_size) if spans.sequences else (spans.samples, model.batch_size)
    inputs, expected = (np.zeros((*leading, width), model.dtype) for width in (model.input_width, model.output_width))
    return TrainingData(inputs, expected, np.zeros(leading, model.dtype), spans.sequences)


def _blank(data: TrainingData, samples: int) -> TrainingData:
    """A group of weight 0 in the form of other groups."""
    inputs, expected = (np.zeros((samples, *each.shape[2:]), each.dtype) for each in (data.inputs, data.expected))
    weights = np.zeros((samples, data.inputs.shape[2]), inputs.dtype)
    return replace(data, inputs=inputs, expected=expected, weights=weights, sequences=False)


def read_share(model: Network, reading: Reading, parts: dict[str, Any], where: str) -> TrainingData:
    """Arrays of some lanes, checked to fit the model of these lanes, without weights of classes.

    where: the beginning of messages.
    """
    given = [parts.get(name) for name in ("inputs", "expected", "sample_weight", "lengths")]
    try:
        return reading.read(model, *given)
    except DataError as error:
        raise DataError(f"{where}{error}") from error


def order_of(seed: int, epoch: int, lanes: Lanes, units: NDArray[np.intp], length: int) -> Order:
    """The order of the units of each lane in an epoch: (length, lanes). It depends on the lane alone, and not on how
    lanes are spread over workers. Places behind the units of a lane, such as padding, stay where they are."""
    found = np.tile(np.arange(length)[:, np.newaxis], (1, lanes.count))
    for lane, count in enumerate(units):
        rng = np.random.default_rng([seed, epoch, lanes.first + lane])
        found[:count, lane] = rng.permutation(int(count))
    return found


def lanes_of(data: TrainingData, lanes: Lanes) -> TrainingData:
    """The data of some lanes, copied."""
    chosen = slice(lanes.first, lanes.stop)
    weights = None if data.weights is None else np.ascontiguousarray(data.weights[..., chosen])
    inputs, expected = (np.ascontiguousarray(each[..., chosen, :]) for each in (data.inputs, data.expected))
    return replace(data, inputs=inputs, expected=expected, weights=weights)


def _each(data: TrainingData, change: Any) -> TrainingData:
    """One sequence (S, lanes, …): each array of the data, changed."""
    weights = None if data.weights is None else np.ascontiguousarray(change(data.weights))
    inputs, expected = (np.ascontiguousarray(change(each)) for each in (data.inputs, data.expected))
    return replace(data, inputs=inputs, expected=expected, weights=weights, sequences=False)


def _taken_steps(array: Array, order: Order) -> Array:
    """The samples of an array (S, lanes, …), of each lane in an order of its own."""
    return array[order, np.arange(order.shape[1])]


def _taken_group(array: Array, chosen: Order) -> Array:
    """The sequences of a group of (N, S, lanes, …): of each lane, the one with this number."""
    found: Array = array.swapaxes(1, 2)[chosen, np.arange(len(chosen))]
    return found.swapaxes(0, 1)
