"""Learners: the bits of ``train`` and of streams, what windows begin from, and what may come between two steps."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import re
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import neuromorph as nm
from helpers.division import divide_everything
from helpers.random_models import bounded
from helpers.random_texts import texts
from neuromorph.streaming import Learner

RNN = "/xavier,spaced -0.2 0.3/ (i, 3) {m, h, concatenate} (h, 5, <tanh>) (out, 2, <linear>, <mse>)"
TEXTS = {
    "rnn": RNN,
    "delays": """/xavier,spaced -0.2 0.3/ (i, 3) {m, h, concatenate, 3} {n, g, concatenate, 1} (h, 6, <tanh>)
        (g, 3, <sigmoid>) (out, 2, <linear>, <huber>)""",
    "cells": "/xavier,zero/ (i, 2) (a, 4, <lstm>) (b, 3, <gru>) (out, 3, <softmax>, <cross_entropy>)",
    "dropout": "/xavier,zero/ (i, 3) {m, h, concatenate} (h, 5, <tanh>) (d, <dropout, 0.4>) (out, 2, <linear>, <mse>)",
    "in a loop": """/xavier,zero/ (i, 3) {m, d, concatenate, 1} (h, 5, <tanh>) (d, <dropout, 0.4>)
        (out, 2, <linear>, <mse>)""",
    "forward": "/he,zero/ (i, 3) (a, 9, <relu>) (out, 1, <sigmoid>, <binary_cross_entropy>)",
}
BITS = [
    # text, dtype, lanes, steps, optimizer, clip, tier
    ("rnn", "float32", 1, 4, "sgd", None, "compiled"),
    ("rnn", "float32", 3, 4, "adam", 0.3, "instant"),
    ("rnn", "float64", 2, 1, "adam", None, "instant"),
    ("delays", "float32", 2, 5, "rmsprop", 0.5, "instant"),
    ("delays", "float64", 1, 2, "sgd", None, "instant"),
    ("cells", "float32", 3, 7, "adamw", 0.1, "compiled"),
    ("cells", "float64", 2, 3, "sgd", 1.0, "instant"),
    ("in a loop", "float32", 2, 4, "adam", None, "instant"),
    ("forward", "float32", 4, 1, "sgd", None, "instant"),
]


def built(text: str = RNN, lanes: int = 1, steps: int = 4, rate: float = 0.05, **options: Any) -> nm.Model:
    options = {"tier": "instant", "threads": 1} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.MDLWarning)
        model = nm.compile(TEXTS.get(text, text), lanes, rate, bptt_steps=steps, **options)
    return nm.build(model, seed=4)


def data(model: nm.Model, steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (steps, model.batch_size)
    inputs, expected = rng.normal(size=(*shape, model.input_width)), rng.uniform(size=(*shape, model.output_width))
    return inputs.astype(model.dtype), expected.astype(model.dtype)


def numbers_of(model: nm.Model) -> dict[str, Any]:
    """All that training changes, but for the state."""
    found: dict[str, Any] = {**model.get_parameters(), **model.optimizer_state}
    return found if model.dropout_state is None else {**found, "dropout": np.array(model.dropout_state)}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def parts(model: nm.Model, steps: int, x: np.ndarray, t: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x[begin : begin + steps], t[begin : begin + steps]) for begin in range(0, len(x), steps)]


# As train -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "dtype", "lanes", "steps", "optimizer", "clip", "tier"), BITS)
def test_windows_that_follow_one_another_are_those_of_train(
    text: str, dtype: str, lanes: int, steps: int, optimizer: str, clip: float | None, tier: str
) -> None:
    """Losses, parameters and slots after each window, and the answers are those of a stream."""
    options = {"dtype": dtype, "optimizer": optimizer, "clip_norm": clip, "tier": tier}
    model, other = (built(text, lanes, steps, **options) for _ in range(2))
    learner, stream = model.learner(steps, steps), other.stream(lanes)
    number = 70 // steps * steps  # more steps than fit into the rings at once
    for count, (inputs, expected) in enumerate(parts(other, steps, *data(model, number)), 1):
        for x, target in zip(inputs, expected, strict=True):
            np.testing.assert_array_equal(learner(x, target), stream(x))
        assert learner.loss == other.train(inputs, expected, 0, carry_state=True)
        assert learner.updates == count
    assert_same(numbers_of(model), numbers_of(other))
    assert_same(learner.state, stream.state)
    if "dropout" not in TEXTS[text]:
        assert_same(learner.state, other.state)


@given(text=texts())
@bounded(12)
def test_random_models_learn_as_train_does(text: str) -> None:
    try:
        model, other = (built(text, 2, 3, 1e-3, optimizer="adam", clip_norm=1.0) for _ in range(2))
    except nm.MDLError:
        return
    learner = model.learner(3, 3)
    for inputs, expected in parts(other, 3, *data(model, 12)):
        try:
            loss = other.train(inputs, np.ones_like(expected), 0, carry_state=True)
        except nm.TrainingDivergedError:
            return
        for x, target in zip(inputs, np.ones_like(expected), strict=True):
            learner(x, target)
        assert learner.loss == loss
    assert_same(numbers_of(model), numbers_of(other))


class Slow:
    """What a learner does, by public calls only: a stream, the states before the steps, and ``train``."""

    def __init__(self, model: nm.Model, steps: int, every: int) -> None:
        self.model, self.steps, self.every = model, steps, every
        self.stream = model.stream(model.batch_size)
        self.since, self.loss = 0, math.nan
        self.states: list[Any] = []
        self.rows: list[Any] = []

    def __call__(self, x: np.ndarray, target: np.ndarray, weight: float = 1.0) -> np.ndarray:
        self.states.append(self.stream.state)
        y = self.stream(x)
        self.rows.append((x, target, np.full(len(x), weight)))
        self.since += 1
        if self.since == self.every:
            self.update(self.steps)
        return y

    def update(self, steps: int) -> None:
        steps, self.since = min(steps, len(self.rows)), 0
        x, target, weight = (np.array(part) for part in zip(*self.rows[-steps:], strict=True))
        if weight.any():
            self.model.state = self.states[-steps]
            weights = None if weight.all() else weight
            self.loss = self.model.train(x, target, 0, sample_weight=weights, carry_state=True)


@pytest.mark.parametrize(
    ("text", "dtype", "lanes", "steps", "every", "tier"),
    [
        ("rnn", "float32", 1, 20, 1, "compiled"), ("rnn", "float64", 2, 5, 2, "instant"),
        ("delays", "float32", 2, 4, 1, "instant"), ("delays", "float64", 1, 7, 3, "instant"),
        ("cells", "float32", 3, 2, 5, "instant"), ("cells", "float32", 1, 1, 3, "instant"),
        ("rnn", "float32", 2, 33, 32, "instant"), ("in a loop", "float32", 2, 6, 1, "instant"),
    ],
)  # fmt: skip
def test_a_window_begins_from_the_state_that_the_network_had_there(
    text: str, dtype: str, lanes: int, steps: int, every: int, tier: str
) -> None:
    """First windows are shorter. A third of the steps has no target, so some windows have none."""
    model, other = (built(text, lanes, steps, dtype=dtype, optimizer="adam", tier=tier) for _ in range(2))
    learner, slow = model.learner(steps, every), Slow(other, steps, every)
    missing = np.random.default_rng(1).random(150) < 1 / 3
    missing[40:60] = True
    for x, target, none in zip(*data(model, 150), missing, strict=True):
        np.testing.assert_array_equal(learner(x, None if none else target), slow(x, target, float(not none)))
        assert learner.loss == slow.loss or (math.isnan(slow.loss) and math.isnan(learner.loss))
    assert 0 < learner.updates <= 150 // every
    assert_same(numbers_of(model), numbers_of(other))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(("steps", "every"), [(2, 2), (3, 1)])
def test_a_learner_without_jit(steps: int, every: int) -> None:
    text = "/xavier,zero/ (i, 2) {m, h, concatenate} (h, 3, <tanh>) (out, 1, <linear>, <mse>)"
    model, other = (built(text, 2, steps, tier="compiled") for _ in range(2))
    learner, slow = model.learner(steps, every), Slow(other, steps, every)
    for x, target in zip(*data(model, 6), strict=True):
        np.testing.assert_array_equal(learner(x, target), slow(x, target))
    learner(np.zeros((2, 2)), [[1.0], [math.inf]], sample_weight=[1, 0])
    if every == 1:
        assert learner.loss != slow.loss
    with pytest.raises(nm.DataError, match="x"):
        learner([1.0], None)


@pytest.mark.parametrize("batch", [4, 5])
def test_models_of_several_threads(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Threads have workspaces of their own, with the state of their lanes."""
    divide_everything(monkeypatch, processors=2)
    model, other = (built(RNN, batch, 6, threads=2, tier="compiled", optimizer="adam") for _ in range(2))
    assert model.kernels.threads == 2
    for steps, every in [(6, 6), (6, 2)]:
        learner, slow = model.learner(steps, every), Slow(other, steps, every)
        for x, target in zip(*data(model, 24), strict=True):
            np.testing.assert_array_equal(learner(x, target), slow(x, target))
        assert learner.loss == slow.loss
    assert_same(numbers_of(model), numbers_of(other))


# What goes in and out -------------------------------------------------------------------------------------------------


def test_one_lane_needs_no_axis_and_anything_that_numpy_takes_is_read() -> None:
    x, target = (each[0] for each in data(built(), 1))
    kinds: list[tuple[Any, Any]] = [
        (x, target), (x[0], target[0]), (x.astype(float), target.astype(float)), (x[0].tolist(), target[0].tolist()),
        (tuple(x[0]), target[0]), (memoryview(x[0]), memoryview(target[0])), (np.repeat(x, 2, -1)[:, ::2], target),
    ]  # fmt: skip
    results = []
    for given_x, given_target in kinds:
        model = built(steps=1)
        y = model.learner(1, 1)(given_x, given_target)
        assert y.shape == (*np.shape(given_x)[:-1], 2)
        results.append((y.ravel(), model.get_parameters()["h.weight"]))
    for y, weight in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(weight, results[0][1])


def test_results_go_where_they_are_wanted() -> None:
    model = built("/xavier,zero/ (i, 2) (out, 2, <tanh>, <mse>)", 3)
    x = data(model, 1)[0][0]
    learner, stream = model.learner(1, 1), model.stream(3)
    wanted, out, same = stream(x), np.zeros((3, 2), np.float32), x.copy()
    assert learner(x, None, out) is out
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(learner(same, None, out=same), wanted)
    assert learner(x.tolist(), out=out) is out
    read_only = np.zeros((3, 2), np.float32)
    read_only.flags.writeable = False
    for wrong in (
        read_only,
        np.zeros((3, 2)),
        np.zeros((2, 2), np.float32),
        np.zeros((3, 4), np.float32)[:, ::2],
        [0.0] * 6,
    ):
        with pytest.raises(nm.DataError, match="out"):
            learner(x, x, out=wrong)
    assert learner.updates == 0


@pytest.mark.parametrize("lanes", [1, 2])
def test_results_that_anybody_has_are_never_written_again(lanes: int) -> None:
    model = built(lanes=lanes)
    x, target = data(model, 60)
    wanted = built(lanes=lanes).learner(2, 1)
    outs = [wanted(x[step], target[step], out=np.empty((lanes, 2), np.float32)) for step in range(len(x))]
    learner = model.learner(2, 1)
    kept: list[Any] = []
    for step, out in enumerate(outs):
        y = learner(x[step], target[step])
        np.testing.assert_array_equal(y, out)
        if step % 3 == 0:
            kept.append((step, y))
        elif step % 3 == 1:
            kept.append((step, y[..., :1] if step % 2 else memoryview(y)))
        elif step % 4 == 0:
            y.flags.writeable = False  # nobody has it any more, but it is of no use for a later result
        elif step % 4 == 1:
            y.shape = (2 * lanes,)
        elif step % 4 == 2:
            y.dtype = np.int32
    for step, y in kept:
        np.testing.assert_array_equal(y, outs[step][..., : np.shape(y)[-1]])


def test_a_result_that_is_of_no_use_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = built().learner(2, 1)
    x = np.zeros((1, 3), np.float32)
    for change in ({"shape": (2,)}, {"dtype": np.dtype(np.int32)}):
        y = learner(x)
        for name, value in change.items():
            setattr(y, name, value)
    learner(x).flags.writeable = False
    del y
    for _ in range(4):
        learner(x)
    slow = []
    monkeypatch.setattr(Learner, "_otherwise", lambda *arguments: slow.append(arguments))
    for _ in range(4):
        assert learner(x).flags.writeable
    assert not slow


def test_a_debugger_that_keeps_variables_does_not_mix_results() -> None:
    model = built()
    x = data(model, 6)[0]

    def look(frame: Any, *_: Any) -> None:
        assert isinstance(frame.f_locals, Mapping)  # this has Python keep a dict of all variables

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        learner = model.learner(2, 1)
    finally:
        sys.setprofile(before)
    results = [learner(each) for each in x]
    assert len({y.ctypes.data for y in results}) == len(x)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
def test_an_interrupt_leaves_the_lock_free() -> None:
    model = built(tier="compiled")
    x, target = (each[0] for each in data(model, 1))
    learner = model.learner(2, 1)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for number in range(300):
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 2e-4 + 1e-6 * (number % 50))
                for _ in range(100_000):
                    learner(x, target)
            interrupted += not model.lock._is_owned()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted == 300


def test_a_result_that_nobody_has_is_used_again() -> None:
    model = built()
    x = data(model, 1)[0][0]
    learner = model.learner(2, 1)
    learner(x)
    addresses = {learner(x).ctypes.data for _ in range(20)}
    assert len(addresses) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [1, 2]}, "x has 2 on axis 0 (width), but needs 3"),
        ({"x": None}, "x is None"),
        ({"x": np.zeros((2, 3), np.float32)}, "x has 2 on axis 0 (lanes), but needs 1"),
        ({"x": np.array([1, 2, np.nan], np.float32)}, "x[2] is nan, but must be finite"),
        ({"target": [1]}, "target has 1 on axis 0 (width), but needs 2"),
        ({"target": 1.0}, "target is a single number, but needs shape (width = 2,)"),
        ({"target": [[1, 2]]}, "target has shape (1, 2), but needs shape (width = 2,)"),
        ({"target": np.array([1, np.inf], np.float32)}, "target[1] is inf, but must be finite"),
        ({"target": [1, np.nan]}, "target[1] is nan, but must be finite"),
        ({"target": ["a", 1]}, "target[0] is 'a' (str), but must be a real number"),
        ({"target": [1, 1e300]}, "target[1] is 1e+300, too large for float32"),
        ({"sample_weight": -1}, "sample_weight is -1, but a weight must be 0 or more"),
        ({"sample_weight": [1]}, "sample_weight has shape (1,), but must be a number, as x has one axis"),
        ({"sample_weight": 1, "target": None}, "sample_weight is given without a target"),
    ],
)
def test_wrong_arguments_change_nothing(arguments: dict[str, Any], message: str) -> None:
    model, other = built(), built()
    learner, untouched = model.learner(3, 2), other.learner(3, 2)
    inputs, expected = data(model, 8)
    for count, (x, target) in enumerate(zip(inputs[:, 0], expected[:, 0], strict=True)):
        if count == 5:
            with pytest.raises(nm.DataError, match=re.escape(message)):
                learner(**{"x": x, "target": target} | arguments)
        np.testing.assert_array_equal(learner(x, target), untouched(x, target))
    assert_same(numbers_of(model), numbers_of(other))


def test_wrong_arguments_of_several_lanes_are_named_by_lane() -> None:
    learner = built("cells", 2).learner(2, 1)
    x, target = np.zeros((2, 2)), np.eye(3)[:2]
    for arguments, message in [
        ({"target": target[:1]}, "target has 1 on axis 0 (lanes), but needs 2"),
        ({"target": target[0]}, "target has 3 on axis 0 (lanes), but needs 2"),
        ({"target": [[0, 1, 0], [0, np.nan, 1]]}, "target[1, 1] is nan, but must be finite"),
        ({"target": [0, 3]}, "target[1] is 3, but a label must be a whole number from 0 to 2"),
        ({"sample_weight": [1, np.nan]}, "sample_weight[1] is nan"),
        ({"sample_weight": [1, 1, 1]}, "sample_weight has 3 on axis 0 (lanes), but needs 2"),
        ({"x": [[0, 0], [0, math.inf]]}, "x[1, 1] is inf"),
    ]:
        with pytest.raises(nm.DataError, match=re.escape(message)):
            learner(**{"x": x, "target": target} | arguments)
    assert learner.updates == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be"), ({"steps": 2.5}, "steps must be"), ({"every": 0}, "every must be"),
        ({"every": True}, "every must be"), ({"missing": "drop"}, "missing must be one of error, skip"),
    ],
)  # fmt: skip
def test_wrong_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        nm.learner(built(), **arguments)


def test_windows_that_do_not_fit_into_memory() -> None:
    with pytest.raises(MemoryError, match="by windows of 2,147,483,648 steps, which steps= makes shorter"):
        built().learner(2**31)


def test_labels_and_numbers_may_lack_the_last_axis() -> None:
    rows, labels = np.eye(3, dtype=np.float32), np.array([[0, 2], [1, 1], [2, 0]])
    model, other = built("cells", 2), built("cells", 2)
    x, _ = data(model, 3)
    learner, same = model.learner(2, 1), other.learner(2, 1)
    for row, label in zip(x, labels, strict=True):
        learner(row, label)
        same(row, rows[label])
    assert_same(numbers_of(model), numbers_of(other))
    one, two = built("forward"), built("forward")
    for first, second in [(1, [1]), (np.float32(0.5), [0.5])]:
        one.learner(1, 1)(np.ones(3), first)
        two.learner(1, 1)(np.ones(3), second)
    assert_same(numbers_of(one), numbers_of(two))
    three, four = built("cells"), built("cells")
    three.learner(1, 1)(x[0, 0], 2)
    four.learner(1, 1)(x[0, 0], rows[2])
    assert_same(numbers_of(three), numbers_of(four))


def test_weights_are_those_of_train() -> None:
    model, other = built(RNN, 2, 3), built(RNN, 2, 3)
    learner = model.learner(3, 3)
    x, target = data(model, 9)
    weights: list[Any] = [1, [0, 2], 0.5, [1, 1], [0, 0], [3, 0], 0, [0, 0], 0]
    target[1, 0] = target[7, 1] = np.nan  # of weight 0
    whole = np.array([np.broadcast_to(weight, 2) for weight in weights], float)
    for begin in range(0, 9, 3):
        for n in range(begin, begin + 3):
            learner(x[n], target[n], sample_weight=weights[n])
        window = slice(begin, begin + 3)
        loss = other.train(x[window], target[window], 0, sample_weight=whole[window], carry_state=True)
        assert learner.loss == loss or begin == 6
    assert learner.updates == 2  # no update is made where all weights are 0
    assert learner.loss > 0.0
    assert_same(numbers_of(model), numbers_of(other))


def test_components_that_are_not_known() -> None:
    model, other = built(RNN, 2, 3, optimizer="adam"), built(RNN, 2, 3, optimizer="adam")
    learner = model.learner(3, 3, missing="skip")
    x, target = data(model, 12)
    target[4, 1, 0] = target[5, 0] = target[8] = np.nan  # one component, a vector, a whole step
    for begin in range(0, 12, 3):
        window = slice(begin, begin + 3)
        for row, wanted in zip(x[window], target[window], strict=True):
            learner(row, wanted)
        assert learner.loss == other.train(x[window], target[window], 0, carry_state=True, missing="skip")
    assert_same(numbers_of(model), numbers_of(other))
    with pytest.raises(nm.DataError, match=r"target\[0\] is NaN in part: cross_entropy needs all"):
        built("cells", 2).learner(1, missing="skip")(np.zeros((2, 2)), [[np.nan, 1, 0], [0, 1, 0]])


def test_a_loss_that_does_not_take_all_numbers() -> None:
    text = "/xavier,zero/ (i, 2) (out, 2, <linear>, <hinge>)"
    model, other = built(text, steps=2), built(text, steps=2)
    learner, x = model.learner(2, 2), np.ones((2, 1, 2), np.float32)
    with pytest.raises(nm.DataError, match=r"target\[1\] is 0, and the loss hinge needs -1 or 1"):
        learner(x[0, 0], np.array([1, 0], np.float32))
    for _ in range(2):
        learner(x[0, 0], np.array([1, -1], np.float32))
    assert learner.loss == other.train(x, [[[1, -1]]] * 2, 0)


# What may come between two steps --------------------------------------------------------------------------------------


def test_steps_without_targets_only_predict() -> None:
    model = built(RNN, 2)
    before, stream, learner = numbers_of(model), model.stream(2), model.learner(3, 1)
    for x in data(model, 100)[0]:
        np.testing.assert_array_equal(learner(x), stream(x))
    assert learner.updates == 0
    assert math.isnan(learner.loss)
    assert_same(numbers_of(model), before)


def test_the_rest_of_a_sequence_is_learnt_by_update() -> None:
    """As ``train`` does with the shorter window at the end of a sequence."""
    model, other = built(RNN, 2, 4), built(RNN, 2, 4)
    learner = model.learner(4, 4)
    x, target = data(model, 10)
    for _ in range(2):
        assert not learner.update()
        for row, wanted in zip(x, target, strict=True):
            learner(row, wanted)
        assert learner.update()
        assert not learner.update()
        learner.reset()
        other.train(x, target, 0)
        assert_same(numbers_of(model), numbers_of(other))
    assert learner.updates == 6
    model, other = built(RNN, 2, 5), built(RNN, 2, 5)
    learner, slow = model.learner(5, 3), Slow(other, 5, 3)
    for count, (row, wanted) in enumerate(zip(x, target, strict=True)):
        learner(row, wanted)
        slow(row, wanted)
        if count == 7:
            assert learner.update()
            slow.update(4)  # the two steps since the last update, and two before them
    assert learner.loss == slow.loss
    assert_same(numbers_of(model), numbers_of(other))


def test_the_model_may_be_changed_by_others() -> None:
    """Rate, clip norm, optimizer's numbers, parameters and training; by windows of another size too."""
    model, other = built(RNN, 1, 2, optimizer=nm.Adam()), built(RNN, 1, 2, optimizer=nm.Adam())
    learner, slow = model.learner(2, 1), Slow(other, 2, 1)
    x, target = data(model, 30)

    def change(one: nm.Model, count: int) -> None:
        if count == 5:
            one.learning_rate = 0.2
        elif count == 8:
            one.clip_norm = 0.01
        elif count == 11:
            one.set_parameters({"h.bias": 0.5})
        elif count == 14:
            one.train(x[None], target[None], 0)
        elif count == 17:
            one.optimizer = nm.Adam(betas=(0.5, 0.99))
        elif count == 20:
            one.train(x[:4], target[:4], 0)

    for count, (row, wanted) in enumerate(zip(x, target, strict=True)):
        change(model, count)
        change(other, count)
        np.testing.assert_array_equal(learner(row, wanted), slow(row, wanted))
    assert_same(numbers_of(model), numbers_of(other))


def test_what_a_learner_needs_is_kept_when_the_model_forgets_it() -> None:
    """The machine's programs, of which a model keeps a few."""
    model, other = built(RNN), built(RNN)
    learner, same = model.learner(3, 1), other.learner(3, 1)
    for count, (x, target) in enumerate(zip(*data(model, 8), strict=True)):
        if count == 4:
            for lanes in range(1, 14):
                model.predict(np.zeros((1, lanes, 3)))
            gc.collect()
        np.testing.assert_array_equal(learner(x, target), same(x, target))
    assert_same(numbers_of(model), numbers_of(other))


def test_the_state_of_the_model_and_its_records_are_not_touched() -> None:
    model = built(RNN, 1)
    x, target = data(model, 8)
    model.train(x, target, 0)
    state, losses = model.state, model.losses
    learner = model.learner(4, 1)
    for row, wanted in zip(x, target, strict=True):
        learner(row, wanted)
    assert_same(model.state, state)
    assert model.losses is losses


def test_other_kernels_take_over_between_two_steps() -> None:
    """State, remembered steps and the state of training go on; all tiers give the same bits."""
    for text, steps, every in [("cells", 5, 2), ("in a loop", 4, 4)]:
        model, other = (built(text, 3, steps, optimizer="adam") for _ in range(2))
        learner, same = model.learner(steps, every), other.learner(steps, every)
        for count, (x, target) in enumerate(zip(*data(model, 40), strict=True)):
            if count == 13:
                own = model.kernels.own
                own.build()
                with model.lock:
                    model._hand_over(own)
                assert model.tier == "compiled"
            np.testing.assert_array_equal(learner(x, target), same(x, target))
            assert learner.loss == same.loss or math.isnan(same.loss)
        assert_same(numbers_of(model), numbers_of(other))


def test_a_learner_looks_for_kernels_that_are_being_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built()
    looks: list[int] = []

    class Asked:
        reason = None

        def poll(self) -> bool:
            looks.append(1)
            return False

    monkeypatch.setattr(model, "_request", Asked())
    learner = model.learner(2, 1)
    for _ in range(3):
        learner(np.zeros(3, np.float32), np.zeros(2, np.float32))
    assert len(looks) >= 3
    assert learner.updates == 3
    monkeypatch.setattr(model, "_request", None)
    looks.clear()
    for _ in range(3):
        learner(np.zeros(3, np.float32), np.zeros(2, np.float32))
    assert not looks


def test_a_model_that_is_built_anew_goes_on_with_new_parameters() -> None:
    model, other = built(), built()
    learner, slow = model.learner(3, 1), Slow(other, 3, 1)
    for count, (x, target) in enumerate(zip(*data(model, 9), strict=True)):
        if count == 5:
            nm.build(model, seed=8)
            nm.build(other, seed=8)
        np.testing.assert_array_equal(learner(x, target), slow(x, target))
    assert_same(numbers_of(model), numbers_of(other))


def test_models_that_are_not_there() -> None:
    with pytest.raises(nm.ModelStateError, match="not built yet"):
        nm.compile(RNN, 1, 0.1, tier="instant").learner()
    model = built()
    learner = model.learner(2, 1)
    x, target = np.zeros(3, np.float32), np.zeros(2, np.float32)
    learner(x, target)
    model.release()
    for call in (lambda: learner(x, target), lambda: learner([0, 0, 0]), learner.update, learner.copy):
        with pytest.raises(nm.ModelStateError, match="the model was released"):
            call()


def test_divergence_is_an_error_after_which_a_learner_goes_on() -> None:
    model, other = built(RNN, 2, 3), built(RNN, 2, 3)
    learner, slow = model.learner(3, 1), Slow(other, 3, 1)
    x, target = data(model, 12)
    for row, wanted in zip(x[:5], target[:5], strict=True):
        learner(row, wanted)
        slow(row, wanted)
    before, loss = numbers_of(model), learner.loss
    with pytest.raises(nm.TrainingDivergedError, match="the loss of the last step is inf; the parameters are those"):
        learner(x[5], np.full((2, 2), 3e38, np.float32))
    assert_same(numbers_of(model), before)
    assert (learner.loss, learner.updates) == (loss, 5)
    slow.stream(x[5])  # the step was taken, and what came before it is forgotten
    slow.rows.clear()
    for row, wanted in zip(x[6:], target[6:], strict=True):
        np.testing.assert_array_equal(learner(row, wanted), slow(row, wanted))
    assert_same(numbers_of(model), numbers_of(other))


def test_a_gradient_that_is_not_finite() -> None:
    learner = built("/xavier,zero/ (i, 1) (out, 1, <linear>, <mae>)", rate=1e30).learner(2, 2)
    learner([1e20], [0])
    with pytest.raises(nm.TrainingDivergedError, match=r"a gradient over the last 2 steps is not a finite number"):
        learner([1e20], [0])
    assert learner.updates == 0


def test_streams_get_the_weights_of_each_update() -> None:
    model = built()
    learner, stream = model.learner(2, 1), model.stream()
    for x, target in zip(*(each[:, 0] for each in data(model, 5)), strict=True):
        learner(x, target)
        fresh = model.stream()
        fresh.state = stream.state
        np.testing.assert_array_equal(stream(x), fresh(x))


# State ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "every"), [(4, 4), (4, 1), (2, 5)])
def test_a_copy_goes_on_alone(steps: int, every: int) -> None:
    """In the middle of a window. Both change their common model."""
    for text in ("delays", "in a loop"):
        model, other = built(text, 2, steps), built(text, 2, steps)
        learner, same = model.learner(steps, every), other.learner(steps, every)
        x, target = data(model, 90)
        for row, wanted in zip(x[:67], target[:67], strict=True):
            learner(row, wanted)
            same(row, wanted)
        for second in (learner.copy(), copy.copy(learner), copy.deepcopy(learner)):
            assert second.model is model
            assert (second.loss, second.updates, second.steps) == (learner.loss, learner.updates, steps)
            assert_same(second.state, learner.state)
        second.reset()
        second = learner.copy()
        learner.reset()
        learner(x[67])
        for row, wanted in zip(x[67:], target[67:], strict=True):
            np.testing.assert_array_equal(second(row, wanted), same(row, wanted))
        assert second.updates == same.updates > learner.updates - 1
        assert_same(numbers_of(model), numbers_of(other))


def test_a_reset_begins_anew() -> None:
    model, other = built(RNN, 2, 4), built(RNN, 2, 4)
    learner = model.learner(4, 3)
    x, target = data(model, 11)
    for row, wanted in zip(x, target, strict=True):
        learner(row, wanted)
    learner.reset()
    assert not any(array.any() for array in learner.state.values())
    other.set_parameters(model.get_parameters())
    fresh = other.learner(4, 3)
    for row, wanted in zip(x, target, strict=True):
        np.testing.assert_array_equal(learner(row, wanted), fresh(row, wanted))
    assert_same(numbers_of(model), numbers_of(other))


@pytest.mark.parametrize(("steps", "every"), [(3, 3), (3, 1)])
def test_a_window_never_goes_over_a_state_that_was_set(steps: int, every: int) -> None:
    model, other = built(RNN, 2, steps), built(RNN, 2, steps)
    learner = model.learner(steps, every)
    x, target = data(model, 20)
    for row, wanted in zip(x[:4], target[:4], strict=True):
        learner(row, wanted)
    learner.reset(1)  # one lane
    state = learner.state
    assert not state["h"][1].any()
    assert state["h"][0].any()
    other.set_parameters(model.get_parameters())
    fresh = other.learner(steps, every)
    fresh.state = state
    for row, wanted in zip(x[4:9], target[4:9], strict=True):
        np.testing.assert_array_equal(learner(row, wanted), fresh(row, wanted))
    for one in (learner, fresh):
        one.set_state({"h": 0.25}, lane=0)
        np.testing.assert_array_equal(one.get_state(0)["h"], np.full(5, 0.25, np.float32))
    for row, wanted in zip(x[9:], target[9:], strict=True):
        np.testing.assert_array_equal(learner(row, wanted), fresh(row, wanted))
    assert_same(numbers_of(model), numbers_of(other))
    with pytest.raises(nm.DataError, match="no state named 'k'"):
        learner.state = {"k": 1}
    with pytest.raises(nm.DataError, match="lane is 2"):
        learner.reset(2)


def test_what_a_learner_says_of_itself() -> None:
    model = built(RNN, 2, 7)
    learner = nm.learner(model, every=3)
    assert (learner.model, learner.steps, learner.every, learner.lanes, learner.updates) == (model, 7, 3, 2, 0)
    assert repr(learner) == "<neuromorph.Learner 3 -> 2, 2 lanes, float32, looks back 7 steps every 3>"
    assert isinstance(learner, nm.Learner)
    with pytest.raises(TypeError, match="a Learner can't be pickled"):
        pickle.dumps(learner)


def test_calls_take_turns_with_other_threads() -> None:
    """Two learners and training of one model at once: nothing is lost, and nothing waits for ever."""
    model = built(RNN, 1, 2, rate=1e-4)
    x, target = data(model, 400)
    learners = [model.learner(3, 1) for _ in range(2)]

    def learn(learner: nm.Learner) -> None:
        for row, wanted in zip(x[:, 0], target[:, 0], strict=True):
            learner(row, wanted)

    threads = [threading.Thread(target=learn, args=[learner]) for learner in learners]
    threads.append(threading.Thread(target=lambda: [model.train(x, target, 0) for _ in range(5)]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert [learner.updates for learner in learners] == [400, 400]
    assert all(np.isfinite(array).all() for array in model.get_parameters().values())
