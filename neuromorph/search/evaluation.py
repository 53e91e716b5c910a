"""Evaluates individuals, on a worker: builds their models, trains them or calls the user's function."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import storage
from ..errors import DataWarning, MDLWarning, brief
from ..graph import Graph, build_graph
from ..history import History
from ..language import parse
from ..model import Model, compile_model
from ..sweeps import arguments as named
from ..sweeps.failures import raised
from ..sweeps.scores import Score, finite
from ..sweeps.training import joined
from .individuals import DONE, FAILED, STOPPED, Parameters
from .inheritance import inherited


@dataclass(frozen=True)
class Steps:
    """Gaussian steps of parameters, for searches whose ``fitness`` does not train.

    alone: the share of children that keep their parent's text, so that only parameters change. deviation: of a step,
    relative to 1. part: the share of the parameters that change.
    """

    alone: float = 0.8
    deviation: float = 0.3
    part: float = 0.5

    def __post_init__(self) -> None:
        for name, most in (("alone", 1.0), ("deviation", math.inf), ("part", 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= most:
                bound = "" if most == math.inf else f" and <= {most:g}"
                raise ValueError(f"Steps: {name} must be a number >= 0{bound}, not {brief(value)}")


@dataclass(frozen=True)
class Plan:
    """How all individuals of a search are evaluated.

    arguments: of ``compile`` and ``fit``, in the form of JSON. rungs: the epochs at whose ends the worse ones of a
    chunk stop; the last one is the whole budget. keep: the share that goes on after each rung. deviation, part: of
    steps of parameters, see `Steps`. saves: whether models come back as bytes. target: the score after which nobody
    wants the rest of a chunk, or None.
    """

    arguments: Mapping[str, Any]
    score: Score
    fitness: Any
    rungs: tuple[int, ...]
    keep: float
    saves: bool
    deviation: float = 0.0
    part: float = 0.0
    target: float | None = None


@dataclass(frozen=True)
class Task:
    """An individual that is to be evaluated. seed: of its parameters, orders and steps. parents: to inherit from."""

    number: int
    text: str
    seed: int
    parents: tuple[tuple[str, Parameters], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of an individual.

    parameters: those at the end. history: the record of its training, or None. model: the model as ``save`` writes it,
    without what only further training needs, or None.
    """

    number: int
    state: str
    score: float | None
    seconds: float
    epochs: int = 0
    parameters: Parameters | None = None
    history: dict[str, Any] | None = None
    error: str = ""
    traceback: str = ""
    model: bytes | None = None


def evaluate(data: Mapping[str, Any] | None, plan: Plan, tasks: Sequence[Task]) -> list[Outcome]:
    """Evaluate a chunk of individuals, without rungs up to the first one that reaches the target. Errors are part of
    the outcomes."""
    with _quiet():
        if len(plan.rungs) > 1:
            return _by_rungs(data, plan, tasks)
        found = list[Outcome]()
        for task in tasks:
            found.append(_at_rungs(data, plan, task)[-1])
            if plan.score.reaches(found[-1].score, plan.target):
                break
        return found


def evaluate_alone(data: Mapping[str, Any] | None, plan: Plan, task: Task) -> list[Outcome]:
    """Evaluate an individual without the others of its chunk: what comes of it up to each rung. An error is part of the
    last outcome."""
    with _quiet():
        return _at_rungs(data, plan, task)


def joined_at_rungs(plan: Plan, chunk: Sequence[Sequence[Outcome]]) -> list[Outcome]:
    """What ``evaluate`` would have returned for a chunk whose individuals were evaluated alone.

    chunk: the outcomes of each individual up to each rung; if it failed, up to that one.
    """
    ends = [outcomes[0] for outcomes in chunk]
    alive = list(range(len(chunk)))
    for number in range(len(plan.rungs)):
        for place in alive:
            ends[place] = chunk[place][min(number, len(chunk[place]) - 1)]
        there = sorted(
            (place for place in alive if ends[place].score is not None),
            key=lambda place: _order(plan, ends[place].score, ends[place].number),
        )
        alive = there[: _going_on(plan, number, len(chunk))]
        for place in there[len(alive) :]:
            ends[place] = replace(ends[place], state=STOPPED)
    return ends


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings about texts and data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDLWarning)
        warnings.simplefilter("ignore", DataWarning)
        yield


def _at_rungs(data: Mapping[str, Any] | None, plan: Plan, task: Task) -> list[Outcome]:
    """What comes of an individual up to each rung, or up to that at which it fails."""
    trial, found = _Trial(data, plan, task), list[Outcome]()
    for rung in plan.rungs:
        trial.go_on(rung)
        found.append(trial.outcome())
        if trial.score is None:
            break
    trial.release()
    return found


def _going_on(plan: Plan, number: int, count: int) -> int:
    """How many individuals of a chunk of ``count`` go on after a rung, at most. All do after the last one."""
    return count if number + 1 == len(plan.rungs) else max(1, int(count * plan.keep ** (number + 1) + 1e-9))


def _order(plan: Plan, score: float | None, number: int) -> tuple[float, int]:
    """What individuals with scores are sorted by, the best first."""
    assert score is not None
    return (-score if plan.score.larger else score), number


def _by_rungs(data: Mapping[str, Any] | None, plan: Plan, tasks: Sequence[Task]) -> list[Outcome]:
    """Train all individuals of a chunk up to the first rung, the better ones up to the next, and so on."""
    trials = [_Trial(data, plan, task) for task in tasks]
    alive = trials
    for number, rung in enumerate(plan.rungs):
        for trial in alive:
            trial.go_on(rung)
        there = sorted((trial for trial in alive if trial.score is not None), key=_Trial.place)
        alive = there[: _going_on(plan, number, len(tasks))]
        for trial in there[len(alive) :]:
            trial.state = STOPPED
    found = []
    for trial in trials:
        found.append(trial.outcome())
        trial.release()
    return found


class _Trial:
    """The evaluation of one individual."""

    def __init__(self, data: Mapping[str, Any] | None, plan: Plan, task: Task) -> None:
        self.task, self.state = task, DONE
        self.score: float | None = None
        self._data, self._plan = data, plan
        self._model: Model | None = None
        self._history: History | None = None
        self._failure: Any = None
        self._seconds = 0.0

    def place(self) -> tuple[float, int]:
        """What trials with scores are sorted by, the best first."""
        return _order(self._plan, self.score, self.task.number)

    def go_on(self, until: int) -> None:
        """Train up to so many epochs in all, or call the user's function."""
        started = time.perf_counter()
        try:
            if self._model is None:
                self._model = _born(self._plan, self.task)
            self.score = self._measured(self._model, until)
        except Exception as error:
            self.score, self.state, self._failure = None, FAILED, raised(error)
        self._seconds += time.perf_counter() - started

    def _measured(self, model: Model, until: int) -> float:
        plan = self._plan
        if plan.fitness is not None:
            return finite(plan.fitness(model, np.random.default_rng([self.task.seed, 1])), "fitness", verb="returned")
        assert self._data is not None
        first = 0 if self._history is None else self._history.next_epoch
        options = named.for_fit(plan.arguments) | dict(self._data)
        metrics, metric = list(options.pop("metrics", ())), plan.score.metric
        if metric is not None and metric not in metrics:
            metrics.append(metric)
        after = model.fit(
            **options, metrics=metrics, epochs=until - first,
            initial_epoch=first, seed=self.task.seed, progress=False,
        )  # fmt: skip
        self._history = joined(self._history, after)
        return plan.score.of(model, after, self._data)

    def outcome(self) -> Outcome:
        """What came of it so far."""
        parameters = model = None
        if self._model is not None and self.score is not None:
            parameters = self._model.get_parameters()
            model = storage.to_bytes(self._model, training=False) if self._plan.saves else None
        history, failure = self._history, self._failure
        epochs, record = (0, None) if history is None else (history.next_epoch, history.record())
        error, traceback = ("", "") if failure is None else (failure.message, failure.traceback)
        return Outcome(
            self.task.number, self.state, self.score, self._seconds, epochs, parameters, record, error, traceback, model
        )

    def release(self) -> None:
        """Free the model's memory."""
        if self._model is not None:
            self._model.release()


def _born(plan: Plan, task: Task) -> Model:
    """The built model of a task, with the parameters of its parents and steps away from them."""
    model = compile_model(task.text, **named.for_compile(plan.arguments)).build(seed=task.seed)
    if task.parents:
        model.set_parameters(_taken(task, model))
    if plan.deviation and task.parents:
        rng = np.random.default_rng([task.seed, 2])
        learns = {array.name for array in model.graph.arrays if array.learns}
        model.set_parameters(
            {
                name: numbers + rng.normal(0.0, plan.deviation, numbers.shape) * (rng.random(numbers.shape) < plan.part)
                for name, numbers in model.get_parameters().items()
                if name in learns
            }
        )
    return model


def _taken(task: Task, model: Model) -> Mapping[str, Any]:
    """The parameters that a model takes from its parents."""
    text, parameters = task.parents[0]
    if text == task.text:
        return parameters
    known: list[tuple[Graph, Parameters]] = [(build_graph(parse(text)), given) for text, given in task.parents]
    return inherited(known, model.graph, model.get_parameters())
