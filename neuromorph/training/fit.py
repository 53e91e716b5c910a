"""Trains epoch by epoch (``fit``), with validation, shuffling, callbacks and a history."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np

from ..data.arrays import TrainingData, as_tensor
from ..data.holding_out import drawn, held_number
from ..data.mixing import classes_of, counting_units, taken
from ..errors import DataError, TrainingDivergedError
from ..history import History
from ..host.frozen import frozen
from ..options import flag, whole_number
from ..prediction import State
from ..runtime import seeding
from ..runtime.network import Network
from .callbacks import Callback, Run
from .checks import check_carried, check_data
from .loop import Pass, Rates, in_order, measure
from .metrics import ACCURACY, CLASSIFYING, Metric, check_accuracy, checked_metrics, measured
from .progress import ProgressBar
from .sources import Arrays, Reading, Source, batches_of
from .truncation import warn_of_hidden_steps

BAR_FORMAT = "{desc}{percentage:3.0f}%|{bar:7}|{remaining} left {rate_fmt}{postfix}"  # fits into 80 columns
ENDLESS_FORMAT = "{desc}{n_fmt} steps, {rate_fmt}{postfix}"  # for batches, whose number is not known


def fit(
    model: Network,
    inputs: Any,
    expected: Any = None,
    *,
    epochs: int,
    validation: Any = None,
    shuffle: bool = False,
    callbacks: Callback | Iterable[Callback] = (),
    progress: bool = True,
    sample_weight: Any = None,
    lengths: Any = None,
    metrics: Any = (),
    seed: int | None = None,
    carry_state: bool = False,
    layout: str | None = None,
    class_weight: Any = None,
    missing: str = "error",
    initial_epoch: int = 0,
) -> History:
    """Train epoch by epoch; see ``neuromorph.fit``."""
    model.memory()
    count, first = whole_number("epochs", epochs), whole_number("initial_epoch", initial_epoch, least=0)
    watchers, carries = _callbacks(callbacks), flag("carry_state", carry_state)
    asked, reading = checked_metrics(model, metrics), Reading.of(model, missing, class_weight, layout)
    mixes = flag("shuffle", shuffle)
    if expected is None:
        others = {"sample_weight": sample_weight, "lengths": lengths, "shuffle": mixes, "seed": seed}
        source: Source = batches_of(inputs, reading, others)
        data, held_out = _only_held_out(model, validation, reading, asked)
    else:
        data = reading.read(model, inputs, expected, sample_weight, lengths)
        check_carried(data, carries)
        data, held_out = _divided(model, data, validation, reading)
        source = Arrays(reading.weighted(model, data))
    given = _Given(data, held_out, carries, carries and _is_a(validation, Real), asked)
    run = _run_of(model, given, count, first)
    for callback in watchers:
        callback.check(run)
    if isinstance(source, Arrays):
        warn_of_hidden_steps(model, source.data)
        if mixes:
            source = source.mixed(_generator(model, source.data, seed), recurrent=model.graph.has_time_links)
            if seed is not None:
                source.skip(first)
    with _Bar(source.samples, run, shown=progress) as shown, _watched(run, watchers):
        model.history = run.history
        _epochs(run, given, source, shown, watchers)
    return run.history


def _run_of(model: Network, given: _Given, epochs: int, first: int) -> Run:
    """The run of a call. Updates are counted on from the model's history, if that ends where this run begins."""
    before = model.history
    updates: int | None = 0
    if first:
        updates = before.updates if before is not None and before.next_epoch == first else None
    history = History(initial_epoch=first, updates=updates or 0)
    own = frozenset(metric.name for metric in given.metrics if metric.own is not None)
    return Run(model, history, epochs, _names(given), epoch=first, initial_epoch=first, own=own, updates=updates)


def _epochs(run: Run, given: _Given, source: Source, progress: _Bar, watchers: tuple[Callback, ...]) -> None:
    """Run all epochs, or fewer if a callback stops the run.

    The loop is not inside the ``with`` block of its caller. In some versions of Python, an exception that a signal
    handler raises at the end of a pass of the loop skips the block's end (https://github.com/python/cpython/issues/130279).
    """
    for epoch in range(run.initial_epoch, run.initial_epoch + run.epochs):
        run.epoch = epoch
        _epoch(run, given, source, progress, watchers)
        if run.stopped:
            break


@frozen
class _Given:
    """The data of a run that are measured after each epoch, and how.

    data: those to learn from, None if they come in batches. held_out: for validation. carries: whether each epoch
    starts from the present state and not from zeros. follows: whether the validation data continue the sequence of the
    training data, so that they are measured from the state at the end of the epoch.
    """

    data: TrainingData | None
    held_out: TrainingData | None
    carries: bool
    follows: bool
    metrics: tuple[Metric, ...]


def _epoch(run: Run, given: _Given, source: Source, bar: _Bar, callbacks: tuple[Callback, ...]) -> None:
    """Train on all the data once, then measure."""
    for callback in callbacks:
        callback.before_epoch(run)
    bar.begin(run)
    started, rates = time.perf_counter(), Rates(run.updates or 0, run.rate_of)
    rates.set(run.model)
    rate, before = run.model.learning_rate, run.model.state if given.carries else None
    loss = source.learn(run.model, bar, rates, carries=given.carries)
    found = {"loss": loss, "learning_rate": rate, **_measured(run, given, before)}
    found["seconds"] = time.perf_counter() - started
    run.history.add({name: found[name] for name in run.names})
    run.updates = run.history.updates = rates.updates
    bar.end(run)
    for callback in callbacks:
        callback.after_epoch(run)


def _measured(run: Run, given: _Given, before: State | None) -> dict[str, float]:
    """The numbers that are measured with the parameters at the end of an epoch, by name.

    before: the state that the epoch started from.
    """
    model, metrics = run.model, given.metrics
    found: dict[str, float] = {}
    if given.data is not None:
        found |= measured(model, metrics, given.data, before)
    if given.held_out is not None:
        found["validation_loss"] = measure(model, given.held_out, carry_state=given.follows)
        held_out = measured(model, metrics, given.held_out, model.state if given.follows else None)
        found |= {f"validation_{name}": value for name, value in held_out.items()}
    return found


@contextmanager
def _watched(run: Run, callbacks: tuple[Callback, ...]) -> Iterator[None]:
    """Call ``begin`` of each callback; after the block, call ``end`` of each that has begun, in the same order."""
    begun: list[Callback] = []
    try:
        with _ending(run):
            for callback in callbacks:
                callback.begin(run)
                begun.append(callback)
            yield
    finally:
        _end(begun, run)


def _end(callbacks: Sequence[Callback], run: Run) -> None:
    """Call ``end`` of each callback, also if one of them raises an error."""
    if callbacks:
        try:
            callbacks[0].end(run)
        finally:
            _end(callbacks[1:], run)


@contextmanager
def _ending(run: Run) -> Iterator[None]:
    """A block for a run; it records in the history how the run ended."""
    try:
        yield
        run.history.ended = run.stopped or "all epochs"
    except KeyboardInterrupt:
        run.history.ended = "interrupted"
        raise
    except TrainingDivergedError:
        run.history.ended = "diverged"
        raise
    except BaseException:
        run.history.ended = "error"
        raise


# Arguments ------------------------------------------------------------------------------------------------------------


def _callbacks(given: Any) -> tuple[Callback, ...]:
    """The callbacks as a tuple; TypeError if one of them is no ``Callback``."""
    if isinstance(given, Callback):
        return (given,)
    if not isinstance(given, Iterable):
        raise TypeError(f"callbacks must be neuromorph.Callback objects, not {given!r}")
    found = tuple(given)
    for number, callback in enumerate(found):
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks[{number}] must be a neuromorph.Callback object, not {callback!r}")
    return found


def _names(given: _Given) -> tuple[str, ...]:
    """The histories that a run records."""
    metrics = [metric.name for metric in given.metrics]
    measured_too = ["loss", *metrics] if given.held_out is not None else []
    return (
        "loss", *(metrics if given.data is not None else []), *(f"validation_{name}" for name in measured_too),
        "learning_rate", "seconds",
    )  # fmt: skip


def _is_a(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether a value is an instance of a class; False if the test raises an error."""
    try:
        return isinstance(value, kinds)
    except Exception:  # the user's own class may raise anything
        return False


def _divided(
    model: Network, data: TrainingData, validation: Any, reading: Reading
) -> tuple[TrainingData, TrainingData | None]:
    """The data for training, and the data for validation or None."""
    if validation is None:
        return data, None
    if _is_a(validation, Real) and not _is_a(validation, bool):
        return _split(model, data, validation)
    return data, _held_out(model, validation, reading)


def _held_out(model: Network, validation: Any, reading: Reading) -> TrainingData:
    """The data for validation that are given as arrays."""
    if not _is_a(validation, (tuple, list)) or len(validation) not in (2, 3, 4):
        raise DataError(
            "validation must be (inputs, expected), (inputs, expected, sample_weight), "
            "(inputs, expected, sample_weight, lengths) or a fraction such as 0.2"
        )
    try:
        return reading.read(model, *validation, *[None] * (4 - len(validation)))
    except DataError as error:
        raise DataError(f"validation: {error}") from error


def _only_held_out(
    model: Network, validation: Any, reading: Reading, metrics: tuple[Metric, ...]
) -> tuple[None, TrainingData | None]:
    """The data for validation where those for training come in batches."""
    if _is_a(validation, Real):
        raise DataError("validation is a fraction, which needs arrays: batches are read one by one")
    if metrics and validation is None:
        raise DataError("metrics of batches need validation=: only data that are there as a whole are measured again")
    return None, None if validation is None else _held_out(model, validation, reading)


def _split(model: Network, data: TrainingData, part: Any) -> tuple[TrainingData, TrainingData]:
    """The data for training and for validation.

    Of single sequences or vectors, the latter are drawn, with as large a share of each class as all have. Of one
    sequence, they are its last part.
    """
    fraction = float(as_tensor("validation", part, dtype=np.dtype(np.float64), shape=(), check_finite=False))
    if not 0.0 < fraction < 1.0:
        raise DataError(f"validation is {fraction!r}, but a fraction must be greater than 0 and less than 1")
    goes_on = model.graph.has_time_links and not data.sequences
    numbers = np.arange(len(data.inputs)) if goes_on else counting_units(data)[0]
    there, what = len(numbers), "samples" if goes_on else "sequences" if data.sequences else "vectors"
    held = held_number(there, fraction)
    if held >= there:
        raise DataError(f"validation={fraction!r} holds out {held} of {there} {what}, and leaves none to train on")
    if goes_on:
        return in_order(data, slice(0, there - held)), in_order(data, slice(there - held, None))
    has_classes = model.graph.loss.name in CLASSIFYING and (model.needs.takes_labels or model.output_width == 1)
    classes = classes_of(data, numbers) if has_classes else None
    kept, out = drawn(there, held, classes)
    return taken(data, numbers[kept]), taken(data, numbers[out])


def _generator(model: Network, data: TrainingData, seed: int | None) -> np.random.Generator:
    """The random generator for shuffling. Its seed is ``seed``, or drawn from the generator that ``build`` uses."""
    if model.graph.has_time_links and not data.sequences:
        raise DataError(
            "shuffle would tear a sequence apart: the model has links backward in time, and inputs of 3 axes are one "
            "sequence; give layout='NSW', or inputs of 4 axes (sequences, samples, batch, width)"
        )
    if seed is None:
        with seeding.lock:
            seed = int(seeding.generator().integers(2**63))
    return seeding.new_generator(seeding.checked_seed(seed))


# Accuracy -------------------------------------------------------------------------------------------------------------


def accuracy(
    model: Network,
    inputs: Any,
    expected: Any,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    layout: str | None = None,
    missing: str = "error",
) -> float:
    """The share of right answers; see ``neuromorph.accuracy``."""
    check_accuracy(model)
    data = check_data(model, inputs, expected, sample_weight, lengths, layout=layout, missing=missing)
    return measured(model, (Metric(ACCURACY),), data)[ACCURACY]


# Progress -------------------------------------------------------------------------------------------------------------


class _Bar:
    """A progress bar, shown after half a second: epoch, losses, samples a second and the time left. samples: of an
    epoch, or None."""

    def __init__(self, samples: int | None, run: Run, *, shown: bool) -> None:
        total = None if samples is None else samples * run.epochs
        chosen = ENDLESS_FORMAT if total is None else BAR_FORMAT
        self._bar = ProgressBar(total, unit="step", bar_format=chosen) if shown else None
        self._epoch, self._numbers = "", {"loss": "-"}

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close(done=kind is None)

    def begin(self, run: Run) -> None:
        """Begin the bar's text for an epoch."""
        self._epoch = f"epoch {run.epoch + 1}/{run.last_epoch + 1}"

    def advance(self, sequence: Pass, start: int, stop: int) -> None:
        """Advance the bar: samples ``start`` to ``stop`` of a pass are done."""
        if self._bar is not None:
            self._numbers["loss"] = f"{sequence.mean(start, stop):.4g}"
            self._bar.advance(stop - start, self._epoch, self._numbers)

    def end(self, run: Run) -> None:
        """Show the numbers of an epoch, which the history has."""
        if self._bar is not None:
            names = [name for name in run.names if name not in ("learning_rate", "seconds")]
            self._numbers |= {name.replace("validation", "val"): f"{run.last(name):.4g}" for name in names}
            self._bar.show(self._numbers)
