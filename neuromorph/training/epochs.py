"""The loop over the epochs of a run, with its callbacks, its history and its progress bar."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from ..errors import TrainingDivergedError
from ..history import History
from ..prediction import State
from ..runtime.network import Network
from .callbacks import Callback, Run
from .loop import Pass, Rates
from .metrics import Metric
from .progress import ProgressBar
from .sources import Source

BAR_FORMAT = "{desc}{percentage:3.0f}%|{bar:7}|{remaining} left {rate_fmt}{postfix}"  # fits into 80 columns
ENDLESS_FORMAT = "{desc}{n_fmt} steps, {rate_fmt}{postfix}"  # for batches, whose number is not known


class Measuring(Protocol):
    """What is measured after each epoch. carries: whether each epoch starts from the present state."""

    @property
    def carries(self) -> bool: ...

    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    @property
    def names(self) -> tuple[str, ...]:
        """The histories that the run records."""

    def measure(self, run: Run, before: State | None) -> dict[str, float]:
        """The numbers that are measured with the parameters at the end of an epoch, by name.

        before: the state that the epoch started from.
        """


def run_of(model: Network, given: Measuring, epochs: int, first: int, record: type[History] = History) -> Run:
    """The run of a call. Updates are counted on from the model's history, if that ends where this run begins.

    record: the class of its history.
    """
    before = model.history
    updates: int | None = 0
    if first:
        updates = before.updates if before is not None and before.next_epoch == first else None
    history = record(initial_epoch=first, updates=updates or 0)
    own = frozenset(metric.name for metric in given.metrics if metric.own is not None)
    return Run(model, history, epochs, given.names, epoch=first, initial_epoch=first, own=own, updates=updates)


def names_of(metrics: Iterable[Metric], *, trained: bool, held_out: bool) -> tuple[str, ...]:
    """The histories that a run records. trained: whether metrics are measured on the training data too."""
    named = [metric.name for metric in metrics]
    measured_too = ["loss", *named] if held_out else []
    return (
        "loss", *(named if trained else []), *(f"validation_{name}" for name in measured_too), "learning_rate",
        "seconds",
    )  # fmt: skip


def checked_callbacks(given: Any) -> tuple[Callback, ...]:
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


def run_epochs(
    run: Run, given: Measuring, source: Source, watchers: tuple[Callback, ...], *, progress: bool
) -> History:
    """Run the epochs of a checked run; its history. progress: whether a bar is shown."""
    with Bar(source.samples, run, shown=progress) as shown, _watched(run, watchers):
        run.model.history = run.history
        _epochs(run, given, source, shown, watchers)
    return run.history


def _epochs(run: Run, given: Measuring, source: Source, progress: Bar, watchers: tuple[Callback, ...]) -> None:
    """Run all epochs, or fewer if a callback stops the run.

    The loop is not inside the ``with`` block of its caller. In some versions of Python, an exception that a signal
    handler raises at the end of a pass of the loop skips the block's end (https://github.com/python/cpython/issues/130279).
    """
    for epoch in range(run.initial_epoch, run.initial_epoch + run.epochs):
        run.epoch = epoch
        _epoch(run, given, source, progress, watchers)
        if run.stopped:
            break


def _epoch(run: Run, given: Measuring, source: Source, bar: Bar, callbacks: tuple[Callback, ...]) -> None:
    """Train on all the data once, then measure."""
    for callback in callbacks:
        callback.before_epoch(run)
    bar.begin(run)
    started, rates = time.perf_counter(), Rates(run.updates or 0, run.rate_of)
    rates.set(run.model)
    rate, before = run.model.learning_rate, run.model.state if given.carries else None
    loss = source.learn(run.model, bar, rates, carries=given.carries)
    found = {"loss": loss, "learning_rate": rate, **given.measure(run, before)}
    found["seconds"] = time.perf_counter() - started
    run.history.add({name: found[name] for name in run.names})
    run.updates = run.history.updates = rates.updates
    bar.end(run)
    for callback in callbacks:
        callback.after_epoch(run)


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


# Progress -------------------------------------------------------------------------------------------------------------


class Bar:
    """A progress bar, shown after half a second: epoch, losses, samples a second and the time left. samples: of an
    epoch, or None."""

    def __init__(self, samples: int | None, run: Run, *, shown: bool) -> None:
        total = None if samples is None else samples * run.epochs
        chosen = ENDLESS_FORMAT if total is None else BAR_FORMAT
        self._bar = ProgressBar(total, unit="step", bar_format=chosen) if shown else None
        self._epoch, self._numbers = "", {"loss": "-"}

    def __enter__(self) -> Bar:
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
            sequence.model.tell(self._bar.write)
            self.add(stop - start, sequence.mean(start, stop))

    def add(self, samples: int, loss: float) -> None:
        """Advance the bar by some samples. loss: their mean loss."""
        if self._bar is not None:
            self._numbers["loss"] = f"{loss:.4g}"
            self._bar.advance(samples, self._epoch, self._numbers)

    def end(self, run: Run) -> None:
        """Show the numbers of an epoch, which the history has."""
        if self._bar is not None:
            names = [name for name in run.names if name not in ("learning_rate", "seconds")]
            run.model.tell(self._bar.write)
            self._numbers |= {name.replace("validation", "val"): f"{run.last(name):.4g}" for name in names}
            self._bar.show(self._numbers)
