"""Trains epoch by epoch (``fit``), with validation, shuffling, callbacks and a history; computes the accuracy."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import PredictionData, TrainingData, as_tensor
from ..data.holding_out import drawn, held_number
from ..data.mixing import as_vectors, classes_of, counting_units, mixed, taken
from ..errors import DataError, TrainingDivergedError, brief
from ..host.frozen import frozen
from ..options import flag, one_of, whole_number
from ..prediction import outputs
from ..runtime import seeding
from ..runtime.network import Network
from .callbacks import Callback, Run
from .history import History
from .loop import Pass, check_carried, check_data, in_order, learn, measure
from .means import weighted_mean
from .progress import ProgressBar
from .truncation import warn_of_hidden_steps

State = Mapping[str, NDArray[Any]] | None  # in the form of ``Model.state``; None means zero state
METRICS = ("accuracy",)
BAR_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {remaining} left, {rate_fmt}{postfix}"  # fits into 80 columns


def fit(
    model: Network,
    inputs: Any,
    expected: Any,
    *,
    epochs: int,
    validation: Any = None,
    shuffle: bool = False,
    callbacks: Callback | Iterable[Callback] = (),
    progress: bool = True,
    sample_weight: Any = None,
    lengths: Any = None,
    metrics: str | Iterable[str] = (),
    seed: int | None = None,
    carry_state: bool = False,
    layout: str | None = None,
) -> History:
    """Train epoch by epoch; see ``neuromorph.fit``."""
    model.memory()
    count = whole_number("epochs", epochs)
    watchers = _callbacks(callbacks)
    asked, carries = _metrics(metrics), flag("carry_state", carry_state)
    data = check_data(model, inputs, expected, sample_weight, lengths, layout)
    check_carried(data, carries)
    if asked:
        _check_accuracy(model)
    data, held_out = _divided(model, data, validation, layout)
    given = _Given(data, held_out, carries, carries and _is_a(validation, Real))
    run = Run(model, History(), count, _names(held_out is not None, bool(asked)))
    for callback in watchers:
        callback.check(run)
    rng = _generator(model, data, seed) if flag("shuffle", shuffle) else None
    if rng is not None and not model.graph.has_time_links:
        given = replace(given, data=as_vectors(data))
    warn_of_hidden_steps(model, data)
    with _Bar(data, count, shown=progress) as shown, _watched(run, watchers):
        model.history = run.history
        _epochs(run, given, rng, shown, watchers)
    return run.history


def _epochs(
    run: Run, given: _Given, rng: np.random.Generator | None, progress: _Bar, watchers: tuple[Callback, ...]
) -> None:
    """Run all epochs, or fewer if a callback stops the run.

    The loop is not inside the ``with`` block of its caller. In some versions of Python, an exception that a signal
    handler raises at the end of a pass of the loop skips the block's end (https://github.com/python/cpython/issues/130279).
    """
    for epoch in range(run.epochs):
        run.epoch = epoch
        _epoch(run, given, rng, progress, watchers)
        if run.stopped:
            break


@frozen
class _Given:
    """The data of a run: for training, and for validation.

    carries: whether each epoch starts from the present state and not from zeros. follows: whether the validation data
    continue the sequence of the training data, so that they are measured from the state at the end of the epoch.
    """

    data: TrainingData
    held_out: TrainingData | None
    carries: bool
    follows: bool


def _epoch(
    run: Run, given: _Given, rng: np.random.Generator | None, bar: _Bar, callbacks: tuple[Callback, ...]
) -> None:
    """Train on all the data once, then measure."""
    for callback in callbacks:
        callback.before_epoch(run)
    bar.begin(run)
    started, rate = time.perf_counter(), run.model.learning_rate
    order = None if rng is None else mixed(given.data, rng)
    before = run.model.state if given.carries else None
    loss = learn(run.model, given.data, bar, order=order, carry_state=given.carries)
    found = {"loss": loss, "learning_rate": rate, **_measured(run, given, before)}
    found["seconds"] = time.perf_counter() - started
    for name in run.names:
        getattr(run.history, name).append(found[name])
    bar.end(run)
    for callback in callbacks:
        callback.after_epoch(run)


def _measured(run: Run, given: _Given, before: State) -> dict[str, float]:
    """The numbers that are measured with the parameters at the end of an epoch, by name.

    before: the state that the epoch started from.
    """
    model, found = run.model, {}
    if given.held_out is not None:
        found["validation_loss"] = measure(model, given.held_out, carry_state=given.follows)
    if "accuracy" in run.names:
        found["accuracy"] = _accuracy(model, given.data, before)
    if "validation_accuracy" in run.names and given.held_out is not None:
        found["validation_accuracy"] = _accuracy(model, given.held_out, model.state if given.follows else None)
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


def _metrics(given: Any) -> tuple[str, ...]:
    """The names of the metrics as a tuple, checked to be known."""
    listed = given if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    return tuple(one_of("metrics", name, METRICS) for name in listed)


def _names(validates: bool, measures: bool) -> tuple[str, ...]:
    """The histories that a run records."""
    kinds = ["loss", *(["accuracy"] if measures else [])]
    return (*kinds, *(f"validation_{kind}" for kind in kinds if validates), "learning_rate", "seconds")


def _is_a(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether a value is an instance of a class; False if the test raises an error."""
    try:
        return isinstance(value, kinds)
    except Exception:  # the user's own class may raise anything
        return False


def _divided(
    model: Network, data: TrainingData, validation: Any, layout: str | None
) -> tuple[TrainingData, TrainingData | None]:
    """The data for training, and the data for validation or None."""
    if validation is None:
        return data, None
    if _is_a(validation, Real) and not _is_a(validation, bool):
        return _split(model, data, validation)
    if not _is_a(validation, (tuple, list)) or len(validation) not in (2, 3, 4):
        raise DataError(
            "validation must be (inputs, expected), (inputs, expected, sample_weight), "
            "(inputs, expected, sample_weight, lengths) or a fraction such as 0.2"
        )
    inputs, expected, *more = validation
    weights, lengths = [*more, None, None][:2]
    try:
        return data, check_data(model, inputs, expected, weights, lengths, layout)
    except DataError as error:
        raise DataError(f"validation: {error}") from error


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
    has_classes = _has_accuracy(model) and (model.needs.takes_labels or model.output_width == 1)
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
    elif isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, not {brief(seed)}")
    return np.random.Generator(np.random.PCG64(int(seed)))


# Accuracy -------------------------------------------------------------------------------------------------------------


def accuracy(
    model: Network,
    inputs: Any,
    expected: Any,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    layout: str | None = None,
) -> float:
    """The share of right answers; see ``neuromorph.accuracy``."""
    _check_accuracy(model)
    return _accuracy(model, check_data(model, inputs, expected, sample_weight, lengths, layout))


def _has_accuracy(model: Network) -> bool:
    return model.graph.loss.name in ("cross_entropy", "binary_cross_entropy")


def _check_accuracy(model: Network) -> None:
    loss = model.graph.loss.name
    if not _has_accuracy(model):
        raise DataError(f"accuracy needs a model whose loss is cross_entropy or binary_cross_entropy, not {loss}")


def _accuracy(model: Network, data: TrainingData, state: State = None) -> float:
    """The weighted mean accuracy of all vectors, from ``state``; 0.0 if all weights are 0."""
    predicted = outputs(model, PredictionData(data.inputs, squeeze=False, sequences=data.sequences), state)
    return weighted_mean(_right(model, predicted, data.expected), data.weights)


def _right(model: Network, predicted: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """The accuracy of each vector: 1 or 0 for a class, or the share of components on the right side of 0.5."""
    if model.graph.loss.name == "cross_entropy":
        same: NDArray[Any] = predicted.argmax(axis=-1, keepdims=True) == expected.argmax(axis=-1, keepdims=True)
    else:
        same = (predicted > 0.5) == (expected > 0.5)
    right: NDArray[np.float64] = same.mean(axis=-1)
    return right


# Progress -------------------------------------------------------------------------------------------------------------


class _Bar:
    """A progress bar on stderr, shown after half a second: epoch, losses, samples a second and the time left."""

    def __init__(self, data: TrainingData, epochs: int, *, shown: bool) -> None:
        total = data.inputs.shape[0] * (data.inputs.shape[1] if data.sequences else 1) * epochs
        self._bar = ProgressBar(total, unit="", bar_format=BAR_FORMAT) if shown else None
        self._epoch, self._numbers = "", {"loss": "-"}

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, run: Run) -> None:
        """Begin the bar's text for an epoch."""
        self._epoch = f"epoch {run.epoch + 1}/{run.epochs}"

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
