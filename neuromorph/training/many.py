"""Trains many models at once, spread over the processors, each by one thread at a time."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, TypeVar

from ..errors import NeuromorphError, brief, said
from ..history import History
from ..host.resources import processors
from ..options import flag
from ..runtime.dispatch import in_one_thread
from ..runtime.network import Network
from . import fit, loop
from .callbacks import Callback
from .own_data import batches_of_each, data_of_each, validation_of_each

Result = TypeVar("Result")
_PATIENCE = 0.1  # seconds between two chances for Ctrl-C


def train_many(
    models: Iterable[Network],
    inputs: Any,
    expected: Any,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    layout: str | None = None,
    **options: Any,
) -> list[float]:
    """Train each model; their mean losses. See ``neuromorph.train_many``."""
    chosen = _checked(models)
    data = data_of_each(len(chosen), layout, inputs, expected, sample_weight, lengths)

    def one_training(number: int) -> float:
        given, wanted, weights, steps = data[number]
        return loop.train(
            chosen[number], given, wanted, 0, sample_weight=weights, lengths=steps, layout=layout, **options
        )

    return _spread(len(chosen), one_training)


def fit_many(
    models: Iterable[Network],
    inputs: Any,
    expected: Any,
    *,
    callbacks: Callback | Iterable[Callback] = (),
    validation: Any = None,
    shuffle: bool = False,
    sample_weight: Any = None,
    lengths: Any = None,
    seed: int | None = None,
    layout: str | None = None,
    **options: Any,
) -> list[History]:
    """Fit each model; their histories. See ``neuromorph.fit_many``."""
    options.pop("progress", None)  # no bar is shown anyway
    chosen = _checked(models)
    count = len(chosen)
    watchers = (callbacks,) if isinstance(callbacks, Callback) else tuple(callbacks)
    data: list[tuple[Any, ...]]
    if expected is None:
        data = [(batches, None, sample_weight, lengths) for batches in batches_of_each(count, inputs)]
    else:
        data = data_of_each(count, layout, inputs, expected, sample_weight, lengths)
    held_out = validation_of_each(count, layout, validation)
    draws = flag("shuffle", shuffle) and seed is None and expected is not None
    drawn = [fit.drawn_seed() if draws else None for _ in chosen]  # in order, as one after the other would draw them

    def one_fit(number: int) -> History:
        given, wanted, weights, steps = data[number]
        return fit.fit(
            chosen[number], given, wanted, callbacks=copy.deepcopy(watchers), progress=False,
            validation=held_out[number], shuffle=shuffle, sample_weight=weights, lengths=steps, seed=seed,
            drawn=drawn[number], layout=layout, **options,
        )  # fmt: skip

    return _spread(count, one_fit)


def _checked(models: Iterable[Network]) -> list[Network]:
    """The models, each built and given once."""
    if isinstance(models, Network):
        raise TypeError("models must be a list of models, not one model")
    chosen = list(models)
    for number, model in enumerate(chosen):
        if not isinstance(model, Network):
            raise TypeError(f"models[{number}] must be a model, not {brief(model)}")
        try:
            model.memory()
        except NeuromorphError as error:
            error.add_note(_which(number))
            raise
    if len(set(map(id, chosen))) < len(chosen):
        raise ValueError("a model is in models more than once")
    return chosen


def _which(number: int) -> str:
    return f"It was models[{number}]."


def _spread(count: int, action: Callable[[int], Result]) -> list[Result]:
    """The results of an action on each of so many models.

    An error of one model is raised when all others are done; what these gave is in its ``results``, as it is in those
    of a KeyboardInterrupt.
    """
    results: list[Result | None] = [None] * count
    errors: dict[int, Exception] = {}
    left, ending = deque(range(count)), threading.Event()

    def work() -> None:
        """Take one model after the other. A future for each would cost as much as a short training call."""
        with in_one_thread(ending), suppress(IndexError):
            while True:
                _note(left.popleft(), action, results, errors)

    try:
        _run_in_threads(work, max(1, min(count, processors())), left, ending)
        _raise_first(errors)
    except BaseException as error:
        error.results = results  # type: ignore[attr-defined]
        raise
    return results  # type: ignore[return-value]  # without an error, none of them is None


def _run_in_threads(work: Callable[[], None], workers: int, left: deque[int], ending: threading.Event) -> None:
    """Run some workers until they are done. Ctrl-C ends them after the windows that are under way."""
    with ThreadPoolExecutor(workers, thread_name_prefix="neuromorph-many") as pool:
        futures = [pool.submit(work) for _ in range(workers)]
        try:
            while wait(futures, _PATIENCE).not_done:
                pass
        except BaseException:  # Ctrl-C
            left.clear()
            ending.set()
            raise
    for future in futures:
        future.result()


def _note(
    number: int, action: Callable[[int], Result], results: list[Result | None], errors: dict[int, Exception]
) -> None:
    """Note the result of an action on one model, or its error."""
    try:
        results[number] = action(number)
    except Exception as error:
        errors[number] = error


def _raise_first(errors: dict[int, Exception]) -> None:
    """Raise the error of the first model that has one, with notes that say which model it was and name the others."""
    if not errors:
        return
    first, *others = sorted(errors)
    errors[first].add_note(_which(first))
    for number in others:
        errors[first].add_note(f"models[{number}] failed too: {said(errors[number])}")
    raise errors[first]
