"""How a kernel of several members is called: by threads found awake, by threads woken, or by one for all; same bits."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.division import change_costs, divide_everything
from helpers.threaded_models import KINDS, data, digest, made
from helpers.threads import LIMIT, at_once, interrupted_after, load, wait_until
from neuromorph.abi.mailbox import (
    CALLS,
    ENDED,
    LAST,
    LASTING,
    NOT_KNOWN,
    PATIENCE,
    STREAK,
    USER,
    WAITING,
    WHOLE,
    new_mailbox,
)
from neuromorph.jit import cache
from neuromorph.runtime import dispatch as calls
from neuromorph.runtime import kernels, threadpool
from neuromorph.runtime.kernels import Kernels
from neuromorph.schedule import DEFAULT_COSTS, ByBatch, ByColumns, ByRows, KernelOptions, worth_waking

COLUMNS = """/xavier,const_uneven 0.1 0.3/
(input, 3) (a, 96, <tanh>) (b, 96, <relu>) (output, 2, <linear>, <mse>)"""


@pytest.fixture(autouse=True)
def _many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    divide_everything(monkeypatch, 4)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each call was made from now on: members were "found" awake, or "woken", or one did all "alone"."""
    found: list[str] = []

    def lead(self: Kernels) -> Callable[..., int]:
        def call(mailbox: Any, numbers: Any, user: int, enough: int, *arguments: Any) -> int:
            before = int(mailbox[CALLS])
            reached = int(self._training.lead(mailbox, numbers, user, enough, *arguments))
            if reached >= 0:
                found.append("woken" if enough < 0 else "found" if mailbox[CALLS] != before else "alone")
            return reached

        return call

    monkeypatch.setattr(Kernels, "lead", property(lead))
    return found


def never_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are woken for long calls only, and not found awake but after them."""

    def mailbox_without_patience(members: int) -> tuple[Any, Any]:
        mailbox, numbers = new_mailbox(members)
        mailbox[PATIENCE] = 0
        return mailbox, numbers

    monkeypatch.setattr(threadpool, "_pools", {})
    monkeypatch.setattr(threadpool, "new_mailbox", mailbox_without_patience)


def always_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is found awake."""
    monkeypatch.setattr(calls, "_waiting", lambda *_: lambda member, calls, looks: calls)


def window(model: nm.Model, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The data of one window."""
    inputs, expected = data(model, 40)
    begin = number * model.bptt_steps
    return inputs[begin : begin + model.bptt_steps], expected[begin : begin + model.bptt_steps]


def learn_on_line(model: nm.Model, windows: int = 10) -> str:
    """The digest after one call a window."""
    losses = [model.train(*window(model, number), 0, carry_state=True) for number in range(windows)]
    model.losses = np.array(losses)
    return digest(model)


# Which way ------------------------------------------------------------------------------------------------------------


def test_a_short_call_wakes_nobody(ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    never_soon(monkeypatch)
    model = made("two")
    for _ in range(5):
        model.train(*window(model), 0)
    assert ways == ["alone"] * 5


def test_a_long_call_wakes_threads(ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is known to be long: its first window is a call of its own."""
    never_soon(monkeypatch)
    model = made("two")
    model.train(*data(model, 200_000), 0)
    assert ways[0] == "alone"
    assert "woken" in ways


@pytest.mark.parametrize("forward_only", [False, True])
def test_how_long_a_call_has_to_be(forward_only: bool, ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    never_soon(monkeypatch)
    always_woken(monkeypatch)
    step = Kernels.costs.of_step(made("two").graph, made("two").options.batch_size, 4)
    step /= DEFAULT_COSTS.training_to_forward if forward_only else 1
    for times in (1.01, 0.99):
        model = made("two")
        change_costs(monkeypatch, saved_by_waking=model.bptt_steps * step / 2 * times)
        if forward_only:
            model.evaluate(*window(model))
        else:
            model.train(*window(model), 0)
    assert ways == ["alone", "woken"]


def test_from_where_on_threads_are_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they save so much of one thread's time, and more the more there are to wake."""
    graph = made("two").graph
    saved_by_two, more = DEFAULT_COSTS.saved_by_waking, DEFAULT_COSTS.saved_by_each_more
    for threads, saved in ((2, saved_by_two), (4, saved_by_two + 2 * more)):
        each = DEFAULT_COSTS.of_step(graph, 32, 4) * (1 - 1 / threads)
        assert worth_waking(graph, KernelOptions(32, "float32", 8, 16, division=ByBatch(threads))) == (
            pytest.approx(3 * saved / each, abs=1), pytest.approx(saved / each, abs=1),
        )  # fmt: skip


@pytest.fixture
def two_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls need not have followed one another for long: on a busy machine they never have.

    These are other kernels, so they need a key of their own in the cache.
    """
    generator = ("two are enough", *cache.generator())
    monkeypatch.setattr("neuromorph.codegen.waiting.LASTING", 0)
    monkeypatch.setattr(cache, "generator", lambda: generator)


@pytest.mark.usefixtures("two_are_enough")
def test_calls_that_follow_one_another_find_threads_awake(ways: list[str]) -> None:
    """On a busy machine too, if not every time."""
    model, ended = made("three"), time.monotonic() + LIMIT
    while ways.count("found") < 20 and time.monotonic() < ended:
        model.train(*window(model), 0)
    assert "woken" in ways
    assert ways.count("found") >= 20


@pytest.mark.usefixtures("two_are_enough")
def test_how_long_threads_wait_is_found_out_and_says_what_is_soon(ways: list[str]) -> None:
    model = made("two")
    wait_until(lambda: model.train(*window(model), 0) and "woken" in ways)
    mailbox = model.memory().pool.mailbox
    wait_until(lambda: not mailbox[WAITING] and mailbox[PATIENCE] < NOT_KNOWN)
    for pause in (0.2, 2.0, 20.0):  # many times what threads wait, on a busy machine too
        ways.clear()
        time.sleep(pause)
        model.train(*window(model), 0)
        if ways == ["alone"]:
            break
    assert ways == ["alone"]
    ended = time.monotonic() + LIMIT
    while "woken" not in ways and time.monotonic() < ended:  # once two calls are near enough to each other
        model.train(*window(model), 0)
    assert "woken" in ways


PATIENT = 1 << 40  # ticks: minutes


@pytest.mark.parametrize(
    ("rest", "streak", "samples", "way"),
    [
        (0.5, 0, 1, "alone"), (0.5, 16 * LASTING - 2, 1, "alone"), (0.5, 16 * LASTING - 1, 1, "woken"),
        (0.5, 16 * LASTING - 8, 8, "woken"), (0.5, 16 * LASTING - 9, 8, "alone"), (2.0, 32 * LASTING, 1, "alone"),
        (2.0, 0, 15, "alone"), (2.0, 0, 16, "woken"),
    ],
)  # fmt: skip
def test_samples_are_enough_in_one_call_or_in_many_that_follow_one_another(
    rest: float, streak: int, samples: int, way: str, ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``rest``: how long the last call is over, in what is soon; 16 samples are enough for one call; ``streak``: those
    of calls that followed one another. What they were woken for they are not woken for again."""
    always_woken(monkeypatch)
    monkeypatch.setattr(kernels, "worth_waking", lambda *_: (16, 16))
    nm.seed(1)
    text, batch, threads = KINDS["two"]
    model = nm.build(nm.compile(text, batch, 0.05, bptt_steps=16, threads=threads))
    inputs, expected = data(model, 16)
    model.train(inputs[:1], expected[:1], 0)
    mailbox = model.memory().pool.mailbox
    for last, found in ((int(mailbox[LAST]), way), (-1, "woken" if samples == 16 else "alone")):
        ways.clear()
        mailbox[LAST], mailbox[ENDED], mailbox[PATIENCE] = last, mailbox[ENDED] - int(rest * PATIENT), PATIENT
        mailbox[STREAK] = streak * WHOLE // 16
        model.train(inputs[:samples], expected[:samples], 0)
        assert ways == [found]
        if samples < 16:
            kept = 0 if last == -1 else streak if rest < 1.0 else streak / 2
            assert mailbox[STREAK] == (0 if found == "woken" else (samples + kept) * WHOLE / 16)


def test_where_no_thread_can_be_started_one_does_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    wanted = learn_on_line(made("three"))
    monkeypatch.setattr(threadpool, "_pools", {})
    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert learn_on_line(made("three")) == wanted


@pytest.mark.usefixtures("two_are_enough")
def test_models_that_take_turns_keep_to_one_thread(ways: list[str]) -> None:
    """Threads that wait for one of them would have to be called away by the other each time."""
    models = [made("two", seed) for seed in (1, 2)]
    for _ in range(20):
        for model in models:
            model.train(*window(model), 0)
    assert ways == ["alone"] * 40


# The same bits --------------------------------------------------------------------------------------------------------


def by_columns() -> nm.Model:
    nm.seed(1)
    model = nm.build(nm.compile(COLUMNS, 8, 0.05, optimizer="adam", clip_norm=0.5, threads=2))
    assert isinstance(model.kernels.kernel.options.division, ByColumns)
    return model


def by_rows() -> nm.Model:
    nm.seed(1)
    text = "/xavier,const_uneven 0.1 0.3/ (input, 3) (a, 37, <tanh>) (b, 20, <relu>) (output, 2, <softmax>, <mse>)"
    model = nm.build(nm.compile(text, 32, 0.05, optimizer="adam", clip_norm=0.5, threads=3))
    options = model.kernels.kernel.options
    assert options.division == ByRows(3)
    return model


MODELS: dict[str, Callable[[], nm.Model]] = {
    "two": lambda: made("two"),
    "three": lambda: made("three"),
    "chunks": lambda: made("three, in chunks"),
    "columns": by_columns,
    "rows": by_rows,
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_way_gives_the_same_bits(kind: str, ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread for all, threads woken each time, and threads found awake by most calls, on a busy machine."""
    with monkeypatch.context() as patch:
        never_soon(patch)
        patch.setattr(kernels, "worth_waking", lambda *_: (1 << 60, 1 << 60))
        wanted = learn_on_line(MODELS[kind]())
        assert set(ways) == {"alone"}
    monkeypatch.setattr(kernels, "worth_waking", lambda *_: (0, 0))
    with monkeypatch.context() as patch:
        always_woken(patch)
        ways.clear()
        assert learn_on_line(MODELS[kind]()) == wanted
        assert set(ways) == {"woken"}
    ways.clear()
    ended = time.monotonic() + LIMIT
    while ways.count("found") < 20 and time.monotonic() < ended:
        assert learn_on_line(MODELS[kind]()) == wanted
    assert ways.count("found") >= 20
    with load():
        assert {learn_on_line(MODELS[kind]()) for _ in range(5)} == {wanted}


@pytest.mark.usefixtures("two_are_enough")
def test_calls_at_once_of_several_models() -> None:
    """Each in its own thread of Python's, some alone and some with threads of their own."""
    wanted = [learn_on_line(make()) for make in MODELS.values()]
    models = [make() for make in MODELS.values() for _ in range(2)]
    found = at_once([lambda model=model: learn_on_line(model) for model in models])  # type: ignore[misc]
    assert found == [one for one in wanted for _ in range(2)]


@pytest.mark.usefixtures("two_are_enough")
@pytest.mark.parametrize("kind", ["two", "chunks"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_calls_that_differ_in_everything(kind: str, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Length, rate, clipping, weights and what is done: all that goes through the mailbox."""
    text, batch, threads = KINDS["three, in chunks" if kind == "chunks" else kind]

    def learn() -> str:
        nm.seed(3)
        model = nm.build(nm.compile(text, batch, 0.05, optimizer=optimizer, bptt_steps=4, threads=threads))
        random, found = np.random.default_rng(4), []
        for _ in range(60):
            samples = int(random.integers(1, 11))
            inputs, expected = random.random((samples, batch, 3)), random.random((samples, batch, 2))
            model.learning_rate = float(random.uniform(0.0, 0.1))
            model.clip_norm = float(random.uniform(0.01, 1.0)) if random.random() < 0.5 else None
            weight = random.integers(0, 3, (samples, batch)) if random.random() < 0.5 else None
            carry = bool(random.random() < 0.5)
            found.append(model.train(inputs, expected, 0, sample_weight=weight, carry_state=carry))
            found.append(model.evaluate(inputs, expected, sample_weight=weight) if random.random() < 0.2 else 0.0)
        model.losses = np.array(found)
        return digest(model) + str(sorted((name, v.sum()) for name, v in model.optimizer_state.items()))

    with monkeypatch.context() as patch:
        never_soon(patch)
        patch.setattr(kernels, "worth_waking", lambda *_: (1 << 60, 1 << 60))
        wanted = learn()
    assert [learn() for _ in range(3)] == [wanted] * 3
    monkeypatch.setattr(kernels, "worth_waking", lambda *_: (0, 0))
    assert [learn() for _ in range(3)] == [wanted] * 3


# What may go wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pays", [False, True], ids=["alone", "together"])
def test_a_window_that_diverges_ends_the_call_alone(pays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pays:
        never_soon(monkeypatch)
    monkeypatch.setattr(kernels, "worth_waking", lambda *_: (0, 0) if pays else (1 << 60, 1 << 60))
    model, other = made("two"), made("two")
    inputs, expected = window(model)
    for _ in range(5):
        with pytest.raises(nm.TrainingDivergedError):
            model.train(inputs, np.full_like(expected, 3e38), 0)
        model.train(inputs, expected, 0)
        other.train(inputs, expected, 0)
    assert digest(model) == digest(other)


def test_what_a_released_model_kept_goes_and_data_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where threads wait for its next call: these hold no data, and the model only until they go to sleep."""
    monkeypatch.setattr(kernels, "worth_waking", lambda *_: (0, 0))
    monkeypatch.setattr(threadpool, "LOOKS", 1 << 60)
    model, (inputs, expected) = made("two"), data(made("two"))
    model.train(inputs, expected, 0)
    pool = model.memory().pool
    wait_until(lambda: pool.mailbox[WAITING] == pool.size and pool.mailbox[USER] == model.memory().number)
    kept = [weakref.ref(array.base) for array in (model.memory().space, model.memory().weights)]
    given = [weakref.ref(array) for array in (inputs, expected, model.losses)]
    model.losses = np.zeros(0)
    del inputs, expected
    gc.collect()
    assert all(each() is None for each in given)
    model.release()
    gc.collect()
    assert all(each() is not None for each in kept), "the threads wait with it"
    pool.run(lambda: None, [()] * pool.size)
    wait_until(lambda: gc.collect() + 1 and all(each() is None for each in kept))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such signals")
@pytest.mark.usefixtures("two_are_enough")
def test_interrupts_between_and_within_short_calls() -> None:
    wanted, model = learn_on_line(made("three")), made("three")

    def for_ever() -> None:
        while True:
            model.train(*window(model), 0)

    for number in range(15):
        interrupted_after(0.01 + 0.0037 * number, for_ever)
        assert all(np.isfinite(value).all() for value in model.get_parameters().values())
    pool = model.memory().pool
    assert pool is not None
    assert pool.mailbox[CALLS] > 0
    assert learn_on_line(made("three")) == wanted
