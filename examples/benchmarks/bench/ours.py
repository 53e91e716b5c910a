"""Texts of ours: trained by gradients; and echo state networks, whose output is fitted by linear regression."""

from __future__ import annotations

import math
import os
import warnings
from contextlib import suppress
from typing import Any

import numpy as np

import neuromorph as nm
from bench.entry import Entry, Run, falling, nearest_width, timed
from bench.reservoirs import SETTINGS, Setting, fitted, learnt_from, random_reservoir, reservoir_width
from bench.task import NO_ANSWER, Part, Task
from bench.texts import cell

CLIP_NORM = 1.0
TIER = os.environ.get("NEUROMORPH_TIER", "compiled")  # of a reservoir, which is read once: nothing is gained meanwhile
# What stands between a reservoir and the output that reads it: nothing, or the states of four and eight steps before.
READ = {"echo_state": "", "late_echo_state": "{late, h, concatenate, 4} {later, h, concatenate, 8}"}


def entries(task: Task) -> list[Entry]:
    """All texts of ours that a task tries."""
    by_gradient = [
        Entry(name, True, task.rates, lambda seed, rate, name=name: train(task, name, seed, rate))
        for name in task.texts
    ]  # fmt: skip
    by_regression = [
        Entry(name, True, SETTINGS, lambda seed, setting, name=name: echo_state(task, name, seed, setting))
        for name in READ
    ]  # fmt: skip
    return by_gradient + by_regression


def compiled(text: str, lanes: int = 1, rate: float = 0.1, **how: Any) -> Any:
    """The model of a text. A text may be unusual on purpose, so nobody needs to be warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.MDLWarning)
        return nm.compile(text, lanes, rate, **how)


def width_of(task: Task, name: str) -> int:
    """The width at which a text has nearest to the task's number of parameters."""
    return nearest_width(lambda width: compiled(task.text(name, width)).parameter_count, task.parameters)


def arguments(part: Part) -> tuple[Any, Any, Any]:
    """Inputs, expected and weights for ``fit``: a step without an answer has the weight 0, and any label."""
    if part.every_step and part.expected.dtype.kind in "iu":
        counts = part.expected != NO_ANSWER
        return part.inputs, np.where(counts, part.expected, 0), counts.astype(np.float32)
    return part.inputs, part.expected, None


def train(task: Task, name: str, seed: int, rate: float) -> Run:
    """Train a text with one seed, and go back to the epoch with the lowest loss of the data to choose by."""
    text = task.text(name, width_of(task, name))
    model = compiled(text, min(task.batch, len(task.train.inputs)), rate, optimizer="adam", clip_norm=CLIP_NORM)
    inputs, expected, weight = arguments(task.train)
    unknown = "skip" if expected.dtype.kind == "f" else "error"

    def learn() -> Any:
        model.build(seed=seed)
        watching = nm.EarlyStopping(patience=task.patience), nm.LearningRateSchedule(falling(rate, task.epochs))
        with suppress(nm.TrainingDivergedError):  # then the best epoch before counts
            model.fit(inputs, expected, sample_weight=weight, epochs=task.epochs, validation=arguments(task.choose),
                      layout="NSW", shuffle=True, seed=seed, callbacks=watching, missing=unknown,
                      progress=False)  # fmt: skip
        return model.history

    history, seconds = timed(learn)
    lowest = min(history.validation_loss, default=math.inf)
    scores = [task.score(part, model.predict(part.inputs, layout="NSW")) for part in (task.test, task.choose)]
    return Run(*scores, lowest, seconds, model.parameter_count)


def echo_state(task: Task, name: str, seed: int, setting: Setting) -> Run:
    """An echo state network: the gallery's cell, frozen, with a sparse random matrix; only the output is fitted."""
    copies = 1 + READ[name].count("concatenate")
    width = reservoir_width(task, copies)
    drawn_below = cell("echo_state").replace("/spectral radius 0.5,zero/", "/xavier,zero/")
    text = (f"{drawn_below} (input, {task.inputs}) (h, {width}, <echo_state, {setting.leak:g}, 1>) {READ[name]} "
            f"{task.text('output', width)}")  # fmt: skip
    lanes = min(task.batch, len(learnt_from(task).inputs))
    model = compiled(text, lanes, frozen="h.*", dtype="float64", threads=1, tier=TIER)
    read = "later" if copies > 1 else "h"

    def learn() -> None:
        model.build(seed=seed)
        rng = np.random.default_rng(seed)
        weight = random_reservoir(rng, width, setting.radius)
        seen = rng.choice([-1.0, 1.0], (task.inputs, width))
        model.set_parameters({"h.recalled.weight": weight, "h.fed.weight": seen, "h.fed.bias": np.zeros(width)})
        states = model.predict(learnt_from(task).inputs, layout="NSW", nodes=read)[read]
        matrix, bias = fitted(task, states, setting.ridge)
        if task.loss == "binary_cross_entropy":  # a sigmoid follows: the middle between no and yes is at 0, not at 0.5
            bias = bias - 0.5
        model.set_parameters({"output.weight": matrix, "output.bias": bias})

    _, seconds = timed(learn)
    scores = [task.score(part, model.predict(part.inputs, layout="NSW")) for part in (task.test, task.choose)]
    frozen = np.count_nonzero(model.get_parameters()["h.recalled.weight"]) + task.inputs * width
    worse = -scores[1] if task.more_is_better else scores[1]
    return Run(*scores, worse, seconds, int(frozen + (copies * width + 1) * task.outputs))
