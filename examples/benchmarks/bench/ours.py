"""Texts of ours: trained by gradients; and echo state networks, whose output is fitted by linear regression."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import neuromorph as nm
from bench.entry import Entry, Run, falling, nearest_width, timed
from bench.reservoirs import SETTINGS, Setting, fitted, random_reservoir, reservoir_width
from bench.task import NO_ANSWER, Part, Task
from bench.texts import cell

CLIP_NORM = 1.0


def entries(task: Task) -> list[Entry]:
    """All texts of ours that a task tries."""
    made = [
        Entry(name, True, task.rates, lambda seed, rate, name=name: train(task, name, seed, rate))
        for name in task.texts
    ]  # fmt: skip
    if task.reservoirs:
        made.append(Entry("echo_state", True, SETTINGS, lambda seed, setting: echo_state(task, seed, setting)))
    return made


def compiled(text: str, task: Task, rate: float = 0.1, **how: Any) -> Any:
    """The model of a text. A text may be unusual on purpose, so nobody needs to be warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.MDLWarning)
        return nm.compile(text, min(task.batch, len(task.train.inputs)), rate, **how)


def width_of(task: Task, name: str) -> int:
    """The width at which a text has nearest to the task's number of parameters."""
    return nearest_width(lambda width: compiled(task.text(name, width), task).parameter_count, task.parameters)


def arguments(part: Part) -> tuple[Any, Any, Any]:
    """Inputs, expected and weights for ``fit``: a step without an answer has the weight 0, and any label."""
    if part.every_step and part.expected.dtype.kind in "iu":
        counts = part.expected != NO_ANSWER
        return part.inputs, np.where(counts, part.expected, 0), counts.astype(np.float32)
    return part.inputs, part.expected, None


def train(task: Task, name: str, seed: int, rate: float) -> Run:
    """Train a text with one seed, and go back to the epoch with the lowest loss of the data to choose by."""
    text = task.text(name, width_of(task, name))
    model = compiled(text, task, rate, optimizer="adam", clip_norm=CLIP_NORM)
    inputs, expected, weight = arguments(task.train)
    unknown = "skip" if expected.dtype.kind == "f" else "error"

    def learn() -> Any:
        model.build(seed=seed)
        watching = nm.EarlyStopping(patience=task.patience), nm.LearningRateSchedule(falling(rate, task.epochs))
        return model.fit(inputs, expected, sample_weight=weight, epochs=task.epochs, validation=arguments(task.choose),
                         layout="NSW", shuffle=True, seed=seed, callbacks=watching, missing=unknown,
                         progress=False)  # fmt: skip

    history, seconds = timed(learn)
    scores = [task.score(part, model.predict(part.inputs, layout="NSW")) for part in (task.test, task.choose)]
    return Run(*scores, min(history.validation_loss), seconds, model.parameter_count)


def echo_state(task: Task, seed: int, setting: Setting) -> Run:
    """An echo state network: the cell of the gallery, frozen, with a sparse random matrix; only the output is fitted."""
    width = reservoir_width(task)
    text = cell("echo_state") + f" (input, {task.inputs}) (h, {width}, <echo_state, {setting.leak:g}, 1>)"
    model = compiled(f"{text} {task.text('output', width)}", task, frozen="h.*", dtype="float64")

    def learn() -> None:
        model.build(seed=seed)
        rng = np.random.default_rng(seed)
        weight = random_reservoir(rng, width, setting.radius)
        seen = rng.choice([-1.0, 1.0], (task.inputs, width))
        model.set_parameters({"h.recalled.weight": weight, "h.fed.weight": seen, "h.fed.bias": np.zeros(width)})
        matrix, bias = fitted(task, values(task.train), setting.ridge)
        model.set_parameters({"output.weight": matrix, "output.bias": bias})

    def values(part: Part) -> Any:
        return model.predict(part.inputs, layout="NSW", nodes="h")["h"]

    _, seconds = timed(learn)
    scores = [task.score(part, model.predict(part.inputs, layout="NSW")) for part in (task.test, task.choose)]
    frozen = np.count_nonzero(model.get_parameters()["h.recalled.weight"]) + task.inputs * width
    worse = -scores[1] if task.more_is_better else scores[1]
    return Run(*scores, worse, seconds, int(frozen + (width + 1) * task.outputs))
