"""What ``fit`` learns from in each epoch: arrays, or batches that the user hands over one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, Protocol

import numpy as np

from ..data.arrays import TrainingData
from ..data.class_weights import checked_class_weight, with_class_weight
from ..data.mixing import as_vectors, mixed
from ..errors import DataError, brief
from ..host.frozen import frozen
from ..runtime.network import Network
from .checks import check_carried, check_data
from .loop import Rates, Watcher, learn
from .means import total_weight, weighted_mean
from .truncation import warn_of_hidden_steps


@frozen
class Reading:
    """How the data of a call are read: what NaN means, the weights of classes or None, and the layout."""

    missing: str
    class_weight: Mapping[int, float] | str | None = None
    layout: str | None = None

    @classmethod
    def of(cls, model: Network, missing: Any, class_weight: Any, layout: Any, *, balances: bool = False) -> Reading:
        """The arguments of ``fit``, checked. balances: whether weights of classes may be "balanced"."""
        loss, width = model.graph.loss.name, model.output_width
        weights = None if class_weight is None else checked_class_weight(class_weight, loss, width, balances=balances)
        return cls(missing, weights, layout)

    def read(self, model: Network, inputs: Any, expected: Any, weights: Any, lengths: Any) -> TrainingData:
        """The checked data of a call, without weights of classes."""
        return check_data(
            model, inputs, expected, weights, lengths, layout=self.layout, missing=self.missing, small=True
        )

    def weighted(self, model: Network, data: TrainingData) -> TrainingData:
        """The data with the weights of classes."""
        if self.class_weight is None:
            return data
        return with_class_weight(data, self.class_weight, model.graph.loss.name)


class Following(Watcher, Protocol):
    """A watcher of an epoch, also of one that runs elsewhere."""

    def add(self, samples: int, loss: float) -> None:
        """Called when some samples are done. loss: their mean loss."""


class Source(Protocol):
    """Data to learn from, epoch after epoch. samples: of an epoch, or None if that is not known before."""

    @property
    def samples(self) -> int | None: ...

    def learn(self, model: Network, bar: Following, rates: Rates, *, carries: bool) -> float:
        """Learn from all data once; the mean loss. carries: whether the state goes on from what it is."""


@frozen
class Arrays:
    """Data that are there as a whole. rng: draws the order of an epoch, or None."""

    data: TrainingData
    rng: np.random.Generator | None = None

    @property
    def samples(self) -> int:
        """The samples of an epoch."""
        first, second = self.data.inputs.shape[:2]
        return int(first * second if self.data.sequences else first)

    def mixed(self, rng: np.random.Generator, *, recurrent: bool) -> Arrays:
        """The same data in a new order in each epoch: single sequences, or single vectors where nothing is
        recurrent."""
        return Arrays(self.data if recurrent else as_vectors(self.data), rng)

    def skip(self, epochs: int) -> None:
        """Draw the orders of so many epochs, so that those after them come next."""
        if self.rng is not None:
            for _ in range(epochs):
                mixed(self.data, self.rng)

    def learn(self, model: Network, bar: Watcher, rates: Rates, *, carries: bool) -> float:
        """Learn from all data once; the mean loss."""
        order = None if self.rng is None else mixed(self.data, self.rng)
        return learn(model, self.data, bar, order=order, carry_state=carries, rates=rates)


@frozen
class Batches:
    """Data that come batch by batch, in each epoch anew. At most one batch is in memory."""

    begin: Callable[[], Iterable[Any]]
    reading: Reading
    warned: list[bool] = field(default_factory=list)  # once a batch had steps that no gradient reaches

    @property
    def samples(self) -> None:
        """Not known."""

    def learn(self, model: Network, bar: Watcher, rates: Rates, *, carries: bool) -> float:
        """Learn from all batches once; the mean loss of all samples."""
        losses, weights = [], []
        for data in self._data(model, carries):
            if not self.warned and warn_of_hidden_steps(model, data):
                self.warned.append(True)
            losses.append(learn(model, data, bar, carry_state=carries, rates=rates))
            weights.append(total_weight(data.weights, data.inputs.size // data.inputs.shape[-1]))
        if not losses:
            raise DataError("the batches of an epoch are none: nothing is there to learn from")
        return weighted_mean(np.array(losses), np.array(weights))

    def _data(self, model: Network, carries: bool) -> Iterator[TrainingData]:
        """The checked data of each batch."""
        try:
            batches = _iterated(self.begin())
        except TypeError as error:
            raise DataError(f"batches can't be read: {error}") from error
        for number, batch in enumerate(batches):
            if not isinstance(batch, tuple | list) or len(batch) not in (2, 3, 4):
                raise DataError(
                    f"batch {number} must be (inputs, expected), (inputs, expected, sample_weight) or "
                    f"(inputs, expected, sample_weight, lengths), not {brief(batch)}"
                )
            try:
                data = self.reading.read(model, *batch, *[None] * (4 - len(batch)))
                check_carried(data, carries)
                yield self.reading.weighted(model, data)
            except DataError as error:
                raise DataError(f"batch {number}: {error}") from error


def _is_numbered(given: Any) -> bool:
    """Whether an object has a length, and gives its items by their numbers."""
    return hasattr(type(given), "__len__") and hasattr(type(given), "__getitem__")


def _iterated(given: Any) -> Iterator[Any]:
    """The items of an iterable, or of an object that numbers them, of which some never say that there are no more."""
    if _is_numbered(given) and not isinstance(given, Iterable):
        return (given[number] for number in range(len(given)))
    return iter(given)


def batches_of(given: Any, reading: Reading, others: Mapping[str, Any]) -> Batches:
    """The batches that a call of ``fit`` without ``expected`` gives. others: arguments that need arrays.

    Raises TypeError for what can't be iterated, DataError for what can be iterated only once, and for other arguments
    that are given.
    """
    for name, value in others.items():
        if value is not None and value is not False:
            raise DataError(f"{name} needs arrays: without expected, inputs is an iterable of batches{_HINTS[name]}")
    iterable = isinstance(given, Iterable) or _is_numbered(given)
    if callable(given) and not iterable:
        return Batches(given, reading)
    if not iterable:
        raise TypeError(f"without expected, inputs must be an iterable of batches, not {brief(given)}")
    if isinstance(given, Iterator):
        reason = "the batches can be read only once, and each epoch reads them anew"
        raise DataError(f"{reason}: give the function that makes them, or a list")
    return Batches(lambda: given, reading)


_HINTS = {
    "sample_weight": ", each (inputs, expected, sample_weight)",
    "lengths": ", each (inputs, expected, sample_weight, lengths)",
    "shuffle": ", which decides their order itself",
    "seed": ", which decides their order itself",
}
