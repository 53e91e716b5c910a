"""Trains and evaluates window by window, in kernel calls short enough for progress bars and Ctrl-C."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..abi.arguments import TrainCall
from ..abi.mailbox import LEARN, MEASURE
from ..data.arrays import TrainingData
from ..data.mixing import groups, in_order, of_type, parts_of, taken, weights_of
from ..errors import TrainingDivergedError, brief
from ..runtime.dispatch import call_members, ends_soon
from ..runtime.kernels import Kernels
from ..runtime.memory import Memory
from ..runtime.network import Network
from ..runtime.pacing import PIECE, Pace
from .checks import check_carried, check_data
from .means import weighted_mean
from .places import Places, places_of
from .progress import ProgressBar
from .truncation import warn_of_hidden_steps


@dataclass(slots=True)
class Pass:
    """A pass of one sequence through the kernel.

    places: what messages call its samples. skips: whether NaN among the expected values is a component that is not
    known.
    """

    model: Network
    kernels: Kernels
    memory: Memory
    inputs: NDArray[Any]
    expected: NDArray[Any]
    weights: NDArray[Any]
    row_step: int
    losses: NDArray[np.float64]
    capacity: int
    mode: int
    places: Places
    skips: bool = False

    @property
    def samples(self) -> int:
        """The number of samples in the sequence."""
        return int(self.inputs.shape[0])

    def take_over(self) -> None:
        """Go on with the model's own kernels, if it waits for them and they are there by now."""
        self.model.take_over(skips=self.skips)
        self.kernels, self.memory = self.model.kernels, self.model.memory()

    def mean(self, start: int, stop: int) -> float:
        """The weighted mean loss of samples ``start`` to ``stop``."""
        weights = self.weights.reshape(self.samples, -1)[start:stop] if self.row_step else None
        return weighted_mean(self.losses[start:stop], weights)

    def lane_of_loss(self, begin: int, sample: int) -> int | None:
        """The first lane whose loss of a sample is not finite; None if it is not known.

        begin: the first sample of the last window. Several threads keep losses in another order.
        """
        lanes = self.model.batch_size
        losses = self.memory.row_losses[(sample - begin) * lanes :][:lanes]
        bad = np.flatnonzero(~np.isfinite(losses))
        return int(bad[0]) if len(bad) and self.kernels.threads == 1 else None

    def run(self, start: int, stop: int) -> int:
        """Run the windows from sample ``start`` to ``stop``; the number of the sample that was reached."""
        memory, model, kernels = self.memory, self.model, self.kernels
        if self.skips:
            memory, kernels = memory.for_skipping, kernels.skipping
        rate, clip = (model.learning_rate, model.clip_norm or 0.0) if self.mode == LEARN else (0.0, 0.0)
        call = (
            start, stop, len(self.inputs), self.capacity, self.mode, memory.space, memory.weights, memory.transposed,
            memory.gradients, memory.optimizer, memory.constants, self.inputs.reshape(-1), self.expected.reshape(-1),
            self.weights, self.row_step, memory.row_losses, self.losses, rate, clip,
        )  # fmt: skip
        if kernels.threads == 1:
            return int(kernels.train(*call))
        return call_members(kernels, memory, TrainCall(*call), kernels.worth_waking[self.mode != MEASURE])


def sequences(
    model: Network,
    memory: Memory,
    data: TrainingData,
    mode: int,
    capacity: int,
    losses: NDArray[np.float64] | None = None,
    places: Places | None = None,
) -> Iterable[Pass]:
    """A pass for each sequence of the data. Of small whole numbers, one part at a time becomes the model's type.

    losses: an array (S,) or (N, S) that takes the losses; None makes one. places: of one sequence, if it is known.
    """
    if losses is None:
        losses = _not_reached(data.inputs.shape[: 2 if data.sequences else 1])
    if data.inputs.dtype != model.dtype or data.expected.dtype != model.dtype:
        return _in_parts(model, memory, data, mode, capacity, losses, places)
    if not data.sequences:
        arrays = data.inputs, data.expected, data.weights, losses
        return [_pass(model, memory, *arrays, capacity, mode, places or places_of(data), data.unknown)]
    weights = [None] * len(data.inputs) if data.weights is None else data.weights
    return [
        _pass(model, memory, *arrays, capacity, mode, places or places_of(data, group), data.unknown)
        for group, arrays in enumerate(zip(data.inputs, data.expected, weights, losses, strict=True))
    ]


def _in_parts(
    model: Network,
    memory: Memory,
    data: TrainingData,
    mode: int,
    capacity: int,
    losses: NDArray[np.float64],
    places: Places | None,
) -> Iterator[Pass]:
    """The passes of data in which nothing is recurrent, part by part in the model's type."""
    for part in parts_of(data, capacity):
        known = places
        if known is None:
            known = places_of(data, part.start) if data.sequences else places_of(data, first=part.start)
        some = of_type(in_order(data, part), model.dtype)
        yield from sequences(model, memory, some, mode, capacity, losses[part], known)


def _pass(
    model: Network,
    memory: Memory,
    inputs: NDArray[Any],
    expected: NDArray[Any],
    weights: NDArray[Any] | None,
    losses: NDArray[np.float64],
    capacity: int,
    mode: int,
    places: Places,
    skips: bool,
) -> Pass:
    """The pass of one sequence. Without weights, every window reads the same array of ones."""
    rows, step = (memory.ones, 0) if weights is None else (weights.reshape(-1), model.batch_size)
    return Pass(model, model.kernels, memory, inputs, expected, rows, step, losses, capacity, mode, places, skips)


def _not_reached(shape: int | tuple[int, ...]) -> NDArray[np.float64]:
    """An array for losses of samples that no window has reached yet. They are NaN: 0 would look like a perfect loss if
    training ended early."""
    losses = np.empty(shape)
    losses.fill(np.nan)
    return losses


def train(
    model: Network,
    inputs: Any,
    expected: Any,
    verbosity: int = 1,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    carry_state: bool = False,
    layout: str | None = None,
    missing: str = "error",
) -> float:
    """Learn from samples, with one update for each window; the mean loss."""
    model.memory()
    data = check_data(model, inputs, expected, sample_weight, lengths, layout=layout, missing=missing)
    check_carried(data, carry_state)
    warn_of_hidden_steps(model, data)
    with Progress(data.inputs.size // data.inputs.shape[-1] // model.batch_size, verbosity) as progress:
        return learn(model, data, progress, verbosity=verbosity, carry_state=carry_state)


def learn(
    model: Network,
    data: TrainingData,
    progress: Watcher,
    *,
    verbosity: int = 0,
    carry_state: bool = False,
    order: NDArray[np.intp] | None = None,
    rates: Rates | None = None,
) -> float:
    """Learn from checked data, with one update for each window; the mean loss.

    order: of single sequences or vectors, as ``mixed`` gives it. ``model.losses`` is then in the order of training.
    rates: counts the updates, and may set the learning rate of each.
    """
    with model.lock, model.changing:
        window = model.window_of(data.inputs.shape[1]) if data.sequences else model.bptt_steps
        model.set_window(window)
        memory = model.memory()
        model.losses = losses = _not_reached(data.inputs.shape[: 2 if data.sequences else 1])
        model.reading = data.reading
        if order is None:
            passes: Iterable[Pass] = sequences(model, memory, data, LEARN, window, losses)
        else:
            passes = _mixed(model, memory, data, order, window, losses)
        try:
            _follow_all(passes, verbosity, progress, carry_state, rates)
        finally:
            model.publish()
        return weighted_mean(losses, data.weights if order is None else weights_of(data, order))


def _mixed(
    model: Network,
    memory: Memory,
    data: TrainingData,
    order: NDArray[np.intp],
    window: int,
    losses: NDArray[np.float64],
) -> Iterator[Pass]:
    """The passes of data in another order. Only one group of lanes, or part of the vectors, at a time is copied."""
    if not data.sequences:
        lanes = data.inputs.shape[-2]
        for part in parts_of(data, window):
            units = order[part.start * lanes : part.stop * lanes]
            some = of_type(taken(data, units), model.dtype)
            yield from sequences(model, memory, some, LEARN, window, losses[part], places_of(data, 0, units))
        return
    for number, group in enumerate(groups(data, order)):
        places = places_of(data, number, order)
        yield from sequences(model, memory, group, LEARN, window, losses[number : number + 1], places)


def _follow_all(
    passes: Iterable[Pass],
    verbosity: int,
    progress: Watcher,
    carry_state: bool,
    rates: Rates | None,
) -> None:
    """Run one pass after the other, and of several hand the weights to streams after each.

    The loop is not inside a ``with`` block: see ``_epochs`` in ``fit.py``.
    """
    for sequence in passes:
        sequence.take_over()
        if not carry_state:
            sequence.model.clear_state(sequence.memory)
        follow(sequence, verbosity, progress, rates)
        if not isinstance(passes, list) or len(passes) > 1:
            sequence.model.feeds.publish(sequence.memory.weights, since=PIECE)


class Watcher(Protocol):
    """An object that is called after each piece of a pass."""

    def advance(self, sequence: Pass, start: int, stop: int) -> None:
        """Called when samples ``start`` to ``stop`` are done."""


class Rates:
    """Counts the updates of a run, from ``updates`` on, and sets the learning rate of each if ``rate_of`` gives it."""

    def __init__(self, updates: int, rate_of: Callable[[int], float] | None = None) -> None:
        self.updates, self.rate_of = updates, rate_of

    def set(self, model: Network) -> None:
        """Set the learning rate of the next update, if there is a schedule."""
        if self.rate_of is not None:
            model.learning_rate = self.rate_of(self.updates)

    def count(self, sequence: Pass, start: int, stop: int) -> None:
        """Count the updates of whole windows, those in which a vector counts."""
        windows = range(start, stop, sequence.capacity)
        if not sequence.row_step:
            self.updates += len(windows)
            return
        counts = (sequence.weights.reshape(sequence.samples, -1)[start:stop] > 0.0).any(axis=1)
        self.updates += int(np.logical_or.reduceat(counts, np.arange(0, stop - start, sequence.capacity)).sum())


def follow(sequence: Pass, verbosity: int, progress: Watcher, rates: Rates | None = None) -> None:
    """Run a pass in pieces of as many windows as take a twentieth of a second.

    A piece is one window at verbosity 2, and where each update has a learning rate of its own.
    """
    adapts = verbosity < 2 and (rates is None or rates.rate_of is None)
    for start, stop in Pace(adapts=adapts).pieces(sequence.samples, sequence.capacity):
        if rates is not None:
            rates.set(sequence.model)
        sequence.take_over()
        if ends_soon():
            raise KeyboardInterrupt
        try:
            reached = sequence.run(start, stop)
        finally:
            if stop < sequence.samples:
                sequence.model.feeds.publish(sequence.memory.weights, since=PIECE)
        if reached < stop:
            raise _diverged(sequence, reached)
        if rates is not None:
            rates.count(sequence, start, stop)
        progress.advance(sequence, start, stop)


def _diverged(sequence: Pass, begin: int) -> TrainingDivergedError:
    """The error for a window that is not finite. begin: the number of its first sample."""
    end = min(sequence.samples, begin + sequence.capacity)
    bad = np.flatnonzero(~np.isfinite(sequence.losses[begin:end]))
    if len(bad):
        sample = begin + int(bad[0])
        name = sequence.places.loss(sample, sequence.lane_of_loss(begin, sample))
        what = f"the loss of {name} is {sequence.losses[sample]}"
    else:
        span = sequence.places.span(begin, end)
        what = f"a gradient of the window of {span} is not a finite number, or its square is not"
    return TrainingDivergedError(
        f"training diverged: {what}; the parameters are those of the last finite window "
        f"(a smaller learning_rate, or clip_norm, may help)"
    )


def evaluate(
    model: Network,
    inputs: Any,
    expected: Any,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    carry_state: bool = False,
    layout: str | None = None,
    missing: str = "error",
) -> float:
    """The mean loss over samples, from zero state or the model's state. The model does not change."""
    data = check_data(model, inputs, expected, sample_weight, lengths, layout=layout, missing=missing, small=True)
    check_carried(data, carry_state)
    return measure(model, data, carry_state=carry_state)


def measure(model: Network, data: TrainingData, *, carry_state: bool = False) -> float:
    """The mean loss of checked data, from zero state or the model's state."""
    with model.lock:
        model.look_for_kernels(skips=data.unknown)
        memory = scratch(model, model.bptt_steps)
        losses, pace = _not_reached(data.inputs.shape[: 2 if data.sequences else 1]), Pace()
        for sequence in sequences(model, memory, data, MEASURE, model.bptt_steps, losses):
            memory.space[:] = 0.0
            if carry_state:
                model.copy_state(memory)
            _measure(sequence, pace)
    return weighted_mean(losses, data.weights)


def _measure(sequence: Pass, pace: Pace) -> None:
    """Compute the losses of a whole pass, in pieces. From the first window whose loss is not finite, they are NaN."""
    for start, stop in pace.pieces(sequence.samples, sequence.capacity):
        reached = sequence.run(start, stop)
        if reached < stop:
            sequence.losses[reached:] = np.nan
            return


def scratch(model: Network, capacity: int) -> Memory:
    """Memory with the model's parameters, but a separate workspace and separate gradients."""
    own = model.memory()
    memory = model.scratch(capacity, own.weights, own.optimizer, own.constants)
    memory.autotuners = own.autotuners
    return memory


class Progress:
    """Shows progress on stderr: a bar after half a second (verbosity 1), and a line for every update (2)."""

    def __init__(self, samples: int, verbosity: int) -> None:
        self._verbosity, self._updates = _level(verbosity), 0
        self._bar = ProgressBar(samples, unit="sample") if self._verbosity >= 1 else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, sequence: Pass, start: int, stop: int) -> None:
        """Advance the bar: samples ``start`` to ``stop`` are done."""
        if self._bar is None:
            return
        sequence.model.tell(self._bar.write)
        loss = sequence.mean(start, stop)
        if self._verbosity >= 2:
            self._updates += 1
            self._bar.write(
                f"update {self._updates}: samples {start} to {stop - 1}{sequence.places.where}, loss {loss:.6g}"
            )
        self._bar.advance(stop - start, "", {"loss": f"{loss:.4g}"})


def _level(verbosity: Any) -> int:
    """The verbosity as a whole number."""
    try:
        return operator.index(verbosity)
    except Exception:  # TypeError, or any error of the user's own class
        shape = _shape_of(verbosity)
        given = f"an array of shape {shape}" if shape else brief(verbosity)
        hint = "; did you mean sample_weight=…?" if shape or isinstance(verbosity, list | tuple) else ""
        raise TypeError(f"verbosity must be a whole number, not {given}{hint}") from None


def _shape_of(value: Any) -> tuple[Any, ...] | None:
    """The shape of an array-like value, or None."""
    try:
        return tuple(value.shape)
    except Exception:  # the user's own class may raise anything
        return None
