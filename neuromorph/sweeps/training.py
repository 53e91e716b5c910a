"""Trains the model of a run, on a worker. A training that stops after some epochs goes on later bit for bit."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .. import storage
from ..errors import MDLWarning, StorageError
from ..graph.nodes import Node
from ..history import History
from ..host.exclusive import imported
from ..model import Model, compile_model
from ..training.callbacks import Callback
from ..training.callbacks import Run as Fit
from . import arguments
from .data import NAMES
from .failures import raised
from .run import Run
from .scores import Score

PATIENCE = 5.0  # seconds that the machine runs a model before kernels are compiled for it


@dataclass(frozen=True)
class Task:
    """A run, or a part of one.

    until: the number of epochs that are done at the end, those before ``checkpoint`` too. checkpoint: to go on from.
    keeps_model: whether the model comes back if the run is complete then. If it is not, a checkpoint comes back.
    """

    run: Run
    score: Score
    until: int
    checkpoint: bytes | None = None
    keeps_model: bool = False

    @property
    def is_last(self) -> bool:
        """Whether the run is complete when this task has ended, at the latest."""
        return self.until >= (self.run.budget or 0)


@dataclass(frozen=True)
class Trained:
    """What came of a task.

    score: None if it failed. history: its record. checkpoint: to go on from, None if the run is complete, because it
    has all epochs or because it has stopped early. error, traceback: "" if it did not fail.
    """

    score: float | None
    history: dict[str, Any] | None
    seconds: float
    model: bytes | None = None
    checkpoint: bytes | None = None
    error: str = ""
    traceback: str = ""


def train(data: Mapping[str, Any], task: Task) -> Trained:
    """Train the model of a task. Errors are part of the result."""
    started, training = time.perf_counter(), _Training(task)
    try:
        score = training.run(data)
        keeps = task.keeps_model and training.checkpoint is None
        model = storage.to_bytes(training.model) if keeps else None
    except Exception as error:
        found = raised(error)
        history = training.history
        seconds = time.perf_counter() - started
        record = None if history is None else history.record()
        return Trained(None, record, seconds, error=found.message, traceback=found.traceback)
    finally:
        training.release()
    assert training.history is not None
    seconds = time.perf_counter() - started
    return Trained(score, training.history.record(), seconds, model, training.checkpoint)


class _Training:
    """The training of one task."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.checkpoint: bytes | None = None
        self.model: Any = None
        self.before: History | None = None  # of the epochs before the checkpoint

    def run(self, data: Mapping[str, Any]) -> float:
        """Train, and give the score."""
        task = self.task
        given = task.run.arguments
        options = arguments.for_fit(given) | {name: data[name] for name in NAMES if name in data}
        callbacks, states = options.pop("callbacks", []), None
        asks = "tier" in given  # else the machine runs short trainings, and nothing is compiled for them
        if task.checkpoint is None:
            self.model = _built(task.run, given, data, asks=asks)
        else:
            self.model, states = restored(task.checkpoint, asks=asks)
            self.before = self.model.history
        metric, metrics = task.score.metric, list(options.pop("metrics", []))
        if metric is not None and metric not in metrics:
            metrics.append(metric)
        first = 0 if self.before is None else self.before.next_epoch
        self.model.fit(
            **options, epochs=task.until - first, initial_epoch=first, metrics=metrics, seed=task.run.seed,
            progress=False, callbacks=[_First(self, callbacks), *callbacks, _Last(callbacks, states)],
        )  # fmt: skip
        history = self.model.history = joined(self.before, self.model.history)
        return task.score.of(self.model, history, data)

    @property
    def history(self) -> History | None:
        """The record of all epochs so far, also those of a training that has failed."""
        last: History | None = None if self.model is None else self.model.history
        if last is None or last is self.before or last.initial_epoch == 0:
            return last
        return joined(self.before, last)

    def release(self) -> None:
        """Free the model's memory."""
        if self.model is not None:
            history = self.model.history
            self.model.release()
            self.model.history = history


def _built(run: Run, given: Mapping[str, Any], data: Mapping[str, Any], *, asks: bool) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDLWarning)  # the sweep has given them once
        model = compile_model(run.mdl, **arguments.for_compile(given))
    if not asks:
        model.begin_without_compiling()
    model.build(seed=run.seed)
    model.classes, model.table = data.get("classes"), data.get("table")
    if given.get("adapt") and any(node.live and _is_scaled(node) for node in model.graph.nodes):
        known = {name: data[name] for name in ("lengths", "sample_weight", "layout", "missing") if name in data}
        known |= {name: given[name] for name in ("layout", "missing") if name in given}
        model.adapt(data["inputs"], data["expected"], **known)
    return model


def _is_scaled(node: Node) -> bool:
    """Whether a node has a mean and a scale that ``adapt`` sets."""
    return node.elementwise is not None and node.elementwise.name in ("standardize", "restore")


def joined(before: History | None, after: History) -> History:
    """The history of two parts of one training."""
    if before is None:
        return after
    found = before.first(len(before))
    found.ended, found.best_epoch, found.updates = after.ended, after.best_epoch, after.updates
    for epoch in range(len(after)):
        found.add({name: getattr(after, name)[epoch] for name in after.names})
    return found


class _First(Callback):
    """The first callback: its ``end`` comes before others restore the best parameters, and keeps what is needed to go
    on. It has kernels compiled for a model that trains for long."""

    def __init__(self, training: _Training, others: Sequence[Callback]) -> None:
        self._training, self._others = training, others
        self._started = time.perf_counter()

    def after_epoch(self, run: Fit) -> None:
        if time.perf_counter() - self._started >= PATIENCE:
            run.model.compile_meanwhile()

    def end(self, run: Fit) -> None:
        training = self._training
        if not training.task.is_last and run.history.ended == "all epochs":
            run.model.history = joined(training.before, run.history)
            training.checkpoint = checkpoint_of(run.model, self._others)
            run.model.history = run.history


class _Last(Callback):
    """The last callback: it gives the others the states that they had at the checkpoint, after their ``begin``."""

    def __init__(self, others: Sequence[Callback], states: Sequence[Mapping[str, Any]] | None) -> None:
        self._others, self._states = others, states

    def begin(self, run: Fit) -> None:
        if self._states is not None:
            for callback, state in zip(self._others, self._states, strict=True):
                vars(callback).update(state)


# Checkpoints ----------------------------------------------------------------------------------------------------------


def checkpoint_of(model: Any, callbacks: Sequence[Callback]) -> bytes:
    """A model and the states of callbacks as bytes, in the form of safetensors."""
    arrays: dict[str, Any] = {"model": np.frombuffer(storage.to_bytes(model), np.uint8)}
    states = []
    for number, callback in enumerate(callbacks):
        state = {field.name: getattr(callback, field.name) for field in fields(callback) if not field.init}  # type: ignore[arg-type]
        kept = {name: value for name, value in state.items() if isinstance(value, dict)}
        for name, values in kept.items():
            arrays |= {f"{number}/{name}/{key}": np.ascontiguousarray(array) for key, array in values.items()}
        states.append({name: {} if name in kept else value for name, value in state.items()})
    return bytes(imported("safetensors.numpy").save(arrays, {"callbacks": json.dumps(states)}))


def restored(checkpoint: bytes, *, asks: bool) -> tuple[Model, list[dict[str, Any]]]:
    """The model and the states of callbacks that ``checkpoint_of`` wrote. Raises StorageError for anything else."""
    try:
        arrays = imported("safetensors.numpy").load(checkpoint)
        size = int.from_bytes(checkpoint[:8], "little")
        states = json.loads(json.loads(checkpoint[8 : 8 + size])["__metadata__"]["callbacks"])
        model = arrays.pop("model").tobytes()
    except Exception as error:
        raise StorageError(f"a checkpoint of a run is corrupt: {error}") from error
    for name, array in arrays.items():
        number, field, key = name.split("/", 2)
        states[int(number)][field][key] = array
    return storage.from_bytes(model, Model, name="the checkpoint of a run", asks=asks), states
