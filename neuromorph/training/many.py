"""Trains many models at once, spread over the processors, each by one thread at a time."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from ..errors import brief
from ..history import History
from ..host.resources import processors
from ..runtime.dispatch import in_one_thread
from ..runtime.network import Network
from . import fit, loop
from .callbacks import Callback

Result = TypeVar("Result")
Given = TypeVar("Given")
_PATIENCE = 0.1  # seconds between two chances for Ctrl-C


def train_many(models: Iterable[Network], inputs: Any, expected: Any, **options: Any) -> list[float]:
    """Train each model; their mean losses. See ``neuromorph.train_many``."""
    chosen = _checked(models)
    data = list(zip(chosen, *_data_of_each(len(chosen), inputs, expected, options.get("layout")), strict=True))
    return _spread(data, lambda one: loop.train(*one, 0, **options))


def fit_many(
    models: Iterable[Network],
    inputs: Any,
    expected: Any,
    *,
    callbacks: Callback | Iterable[Callback] = (),
    **options: Any,
) -> list[History]:
    """Fit each model; their histories. See ``neuromorph.fit_many``."""
    chosen = _checked(models)
    given = (callbacks,) if isinstance(callbacks, Callback) else tuple(callbacks)
    data = list(zip(chosen, *_data_of_each(len(chosen), inputs, expected, options.get("layout")), strict=True))

    def one_fit(one: tuple[Network, Any, Any]) -> History:
        return fit.fit(*one, callbacks=copy.deepcopy(given), progress=False, **options)

    return _spread(data, one_fit)


def _checked(models: Iterable[Network]) -> list[Network]:
    """The models, each built and given once."""
    if isinstance(models, Network):
        raise TypeError("models must be a list of models, not one model")
    chosen = list(models)
    for number, model in enumerate(chosen):
        if not isinstance(model, Network):
            raise TypeError(f"models[{number}] must be a model, not {brief(model)}")
        model.memory()
    if len(set(map(id, chosen))) < len(chosen):
        raise ValueError("a model is in models more than once")
    return chosen


def _data_of_each(count: int, inputs: Any, expected: Any, layout: str | None) -> tuple[list[Any], list[Any]]:
    """The inputs and the expected values of each model: a list of ``count`` data, or the same data for all."""
    ragged = layout == "NSW" and isinstance(inputs, list | tuple) and not _is_data_of_each(inputs, count, 3)
    own = _is_data_of_each(inputs, count, 2 if layout == "NW" else 3)
    own_expected = not ragged and _is_data_of_each(expected, count, 1)
    return (list(inputs) if own else [inputs] * count), (list(expected) if own_expected else [expected] * count)


def _is_data_of_each(given: Any, count: int, axes: int) -> bool:
    """Whether a list has data for each model: arrays of at least so many axes, or lists of arrays."""
    if not isinstance(given, list | tuple) or len(given) != count:
        return False
    return all(item.ndim >= axes if isinstance(item, np.ndarray) else _is_list_of_arrays(item) for item in given)


def _is_list_of_arrays(item: Any) -> bool:
    return isinstance(item, list | tuple) and bool(item) and all(isinstance(one, np.ndarray) for one in item)


def _spread(
    data: Sequence[tuple[Network, Any, Any]], action: Callable[[tuple[Network, Any, Any]], Result]
) -> list[Result]:
    """The results of an action on each model. An error of one model is raised when all others are done."""
    outcomes: list[Result | Exception | None] = [None] * len(data)
    left, ending = deque(range(len(data))), threading.Event()

    def work() -> None:
        """Take one model after the other. A future for each would cost as much as a short training call."""
        with in_one_thread(ending), suppress(IndexError):
            while True:
                number = left.popleft()
                outcomes[number] = _outcome(action, data[number])

    workers = max(1, min(len(data), processors()))
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
    return [_result(number, outcome) for number, outcome in enumerate(outcomes)]


def _outcome(action: Callable[[Given], Result], item: Given) -> Result | Exception:
    """The result of an action, or the error that it raised."""
    try:
        return action(item)
    except Exception as error:
        return error


def _result(number: int, outcome: Any) -> Any:
    """The result of one model; its error is raised with a note that says which model it was."""
    if isinstance(outcome, Exception):
        outcome.add_note(f"It was models[{number}].")
        raise outcome
    return outcome
