"""Which is quicker, all threads of a kernel or one of them: what is tried how often, and what is believed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.division import change_costs
from neuromorph.abi.arguments import TrainCall
from neuromorph.abi.mailbox import GRADIENTS, LEARN, MAILBOX_SIZE, MEASURE, WAITING
from neuromorph.runtime import dispatch
from neuromorph.runtime.autotune import RARELY, SOON, TRIAL, Autotuner, Way, trial_of
from neuromorph.runtime.kernels import Kernels

WINDOW = 20e-6
DIGITS = "/he,zero/ (input, 64) (hidden, 128, <relu>) (output, 10, <softmax>, <cross_entropy>)"
TRIED = trial_of(WINDOW)


def run(match: Autotuner, windows: int, seconds: dict[Way, float], first: float = 1.0) -> dict[Way, int]:
    """A call where the ways take so long for a window, the first part ``first`` times as long; the windows that each
    did."""
    done = dict.fromkeys(Way, 0)
    for way, some in match.parts(windows):
        assert some > 0
        match.took(way, some, some * seconds[way] * first)
        done[way] += some
        first = 1.0
    assert sum(done.values()) == windows
    return done


def test_a_trial_is_two_milliseconds_of_work() -> None:
    assert trial_of(WINDOW) * WINDOW == pytest.approx(TRIAL)
    assert trial_of(1.0) == 1


@pytest.mark.parametrize("windows", [TRIED, TRIED + 1, 2 * TRIED, 3 * TRIED, 5000])
@pytest.mark.parametrize("quick", Way)
@pytest.mark.parametrize("first", [1.0, 30.0])
def test_the_quicker_way_has_nearly_all_windows_whatever_the_length_of_calls(
    quick: Way, windows: int, first: float
) -> None:
    """And whatever the first of all took, when nothing was in a cache."""
    match = Autotuner(TRIED)
    seconds = dict.fromkeys(Way, 2 * WINDOW) | {quick: WINDOW}
    settle = 30 + 1000 * TRIED // windows  # until trials are rare
    run(match, windows, seconds, first)
    for _ in range(settle):
        run(match, windows, seconds)
    rounds = max(100, 400 * TRIED // windows)
    done = [run(match, windows, seconds) for _ in range(rounds)]
    share = sum(each[quick] for each in done) / (rounds * windows)
    assert 1 - 1.5 / RARELY <= share <= 1


@pytest.mark.parametrize("slow", Way)
def test_what_was_never_tried_has_one_trial(slow: Way) -> None:
    done = run(Autotuner(TRIED), 50 * TRIED, dict.fromkeys(Way, WINDOW) | {slow: 3 * WINDOW})
    assert done[slow] == 2 * TRIED, "half of them not timed"


@pytest.mark.parametrize("quick", Way)
def test_a_change_is_seen(quick: Way) -> None:
    match = Autotuner(TRIED)
    slow = next(way for way in Way if way is not quick)
    for _ in range(100):
        run(match, 2500, {quick: 2 * WINDOW, slow: WINDOW})
    assert match.quicker is slow
    pieces = 0
    while match.quicker is slow:
        run(match, 2500, {quick: WINDOW, slow: 2 * WINDOW})
        pieces += 1
    assert pieces <= 2 + RARELY * TRIED / 2500


@pytest.mark.parametrize("quick", Way)
def test_the_other_way_may_become_quicker(quick: Way) -> None:
    match, slow = Autotuner(TRIED), next(way for way in Way if way is not quick)
    for _ in range(300):
        run(match, 2500, {quick: 1.5 * WINDOW, slow: WINDOW})
    pieces = 0
    while match.quicker is slow:
        run(match, 2500, {quick: 0.7 * WINDOW, slow: WINDOW})
        pieces += 1
    assert pieces <= 2 * (RARELY + 4 * SOON) * TRIED / 2500 + 2


@pytest.mark.parametrize("windows", [TRIED, TRIED + 50, 3 * TRIED, 2500])
@pytest.mark.parametrize("quick", Way)
def test_trials_are_few_however_much_times_differ(quick: Way, windows: int) -> None:
    slow, rng = next(way for way in Way if way is not quick), np.random.default_rng(1)
    ways, match, done = {quick: WINDOW, slow: 2 * WINDOW}, Autotuner(TRIED), dict.fromkeys(Way, 0)
    for call in range(1_000_000 // windows):
        pace = 1.4 if call % 3 == 0 else 1.0
        for way, some in match.parts(windows):
            match.took(way, some, some * ways[way] * pace * math.exp(rng.normal(0.0, 0.2)))
            done[way] += some
    assert done[slow] < 2.0 / SOON * sum(done.values())


def test_one_suspended_process_does_not_count_for_many() -> None:
    match = Autotuner(TRIED)
    for way, windows in match.parts(5 * TRIED):
        match.took(way, windows, windows * (10.0 if way is Way.ONE else WINDOW))
    for _ in range(60):
        run(match, 5 * TRIED, {Way.ALL: WINDOW, Way.ONE: 0.7 * WINDOW})
    assert match.quicker is Way.ONE


@pytest.mark.parametrize("quick", Way)
def test_the_quicker_way_is_found_though_speed_changes_all_the_time(quick: Way) -> None:
    """By a quarter up and down for both ways, from second to second, and a little from part to part; the other takes a
    seventh more. What is remembered of a way says little then; who followed whom says much."""
    slow, rng = next(way for way in Way if way is not quick), np.random.default_rng(0)
    ways, match, done = {quick: WINDOW, slow: 1.15 * WINDOW}, Autotuner(TRIED), dict.fromkeys(Way, 0)
    for second in range(400):
        pace = 1.0 + 0.25 * np.sin(second / 3)
        for way, windows in match.parts(2500):
            match.took(way, windows, windows * ways[way] * pace * rng.uniform(0.95, 1.05))
            done[way] += windows
    assert done[slow] < 0.05 * done[quick]


@pytest.mark.parametrize("quick", Way)
def test_what_comes_first_in_a_trial_is_not_timed(quick: Way) -> None:
    """Threads that have to be woken, and values that are in no cache yet."""
    match, begun = Autotuner(TRIED), set[Way]()
    for way, windows in match.parts(10 * TRIED):
        slow = 1 if way in begun or way is not quick else 50
        match.took(way, windows, windows * WINDOW * (0.8 if way is quick else 1.0) * slow)
        begun.add(way)
    assert match.quicker is quick


def test_a_way_that_takes_much_longer_than_before_is_left_soon() -> None:
    match = Autotuner(TRIED)
    for _ in range(200):
        run(match, 2500, {Way.ALL: 0.8 * WINDOW, Way.ONE: WINDOW})
    for _ in range(4):
        run(match, 2500, {Way.ALL: 20 * WINDOW, Way.ONE: WINDOW})
    assert match.quicker is Way.ONE


def test_threads_have_to_be_worth_it() -> None:
    match = Autotuner(TRIED)
    for _ in range(10):
        run(match, 2500, {Way.ALL: 0.99 * WINDOW, Way.ONE: WINDOW})
    assert match.quicker is Way.ONE


def test_one_odd_part_of_few_windows_changes_little() -> None:
    match = Autotuner(TRIED)
    for _ in range(10):
        run(match, 2500, {Way.ALL: WINDOW, Way.ONE: 2 * WINDOW})
    match.took(Way.ALL, 8, 8 * 5 * WINDOW)
    assert match.quicker is Way.ALL


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    change_costs(monkeypatch, processors=2)


@pytest.fixture
def every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also short calls are autotuned."""
    monkeypatch.setattr(Kernels, "autotuned_from", property(lambda self: {MEASURE: 1, LEARN: 1}))


def digits(count: int) -> tuple[nm.Model, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = np.eye(10, dtype=np.float32)[rng.integers(0, 10, (count, 32))]
    nm.seed(5)
    model = nm.build(nm.compile(DIGITS, 32, 0.05, bptt_steps=1))
    return model, rng.normal(size=(count, 32, 64)).astype(np.float32), labels


def only(*ways: Way) -> Any:
    """``Autotuner.parts`` that takes these ways in turn, a window or a few at a time."""

    def parts(self: Autotuner, windows: int) -> Iterator[tuple[Way, int]]:
        done = 0
        while done < windows:
            some = min(windows - done, 1 + done % 7)
            yield ways[done % len(ways)], some
            done += some

    return parts


@pytest.mark.usefixtures("two_processors", "every_call")
def test_whoever_does_what_the_bits_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for ways in ((Way.ONE,), (Way.ALL,), (Way.ALL, Way.ONE)):
        monkeypatch.setattr(Autotuner, "parts", only(*ways))
        model, inputs, labels = digits(60)
        assert model.kernels.autotuned
        loss = nm.train(model, inputs, labels, 0)
        found.append([loss, nm.evaluate(model, inputs, labels), *nm.get_parameters(model).values(), model.losses])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("two_processors")
def test_they_are_what_one_thread_alone_would_learn() -> None:
    model, inputs, labels = digits(200)
    nm.train(model, inputs, labels, 0)
    nm.seed(5)
    alone = nm.build(nm.compile(DIGITS, 32, 0.05, bptt_steps=1, threads=1))
    assert not alone.kernels.autotuned
    nm.train(alone, inputs, labels, 0)
    np.testing.assert_allclose(model.losses, alone.losses, rtol=2e-4)


RECURRENT = """/xavier,zero/ (input, 5) (h, 96, <gru>) {late, h, additive, 3} (small, 3, <tanh>)
{back, both, concatenate} (both, 64, <relu>) (output, 4, <linear>, <mse>)"""


def recurrent(threads: int) -> tuple[nm.Model, Any, Any]:
    """A wide recurrent model with one lane, and data."""
    rng = np.random.default_rng(1)
    model = nm.compile(RECURRENT, 1, 0.05, bptt_steps=7, threads=threads, tier="compiled", optimizer="adam")
    return model.build(seed=2), rng.normal(size=(60, 1, 5)), rng.uniform(size=(60, 1, 4))


@pytest.mark.usefixtures("two_processors", "every_call")
def test_threads_that_meet_in_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does what, the bits are the same; only sums of biases' gradients depend on the number of threads."""
    change_costs(monkeypatch, gain_of_steps=9.0, worth_a_thread=1e-9, short_meeting=0.0, moved_line=0.0)
    found = []
    for threads, ways in ((1, (Way.ONE,)), (2, (Way.ALL,)), (2, (Way.ALL, Way.ONE)), (2, (Way.ONE,))):
        monkeypatch.setattr(Autotuner, "parts", only(*ways))
        model, inputs, expected = recurrent(threads)
        assert model.kernels.meets_in_steps == model.kernels.autotuned == (threads == 2)
        loss, gradients = nm.gradients(model, inputs, expected)
        found.append([loss, *gradients.values(), nm.train(model, inputs[:33], expected[:33], 0), *model.state.values()])
        found[-1] += [nm.train(model, inputs[33:], expected[33:], 0, carry_state=True), *model.state.values()]
        found[-1] += [nm.evaluate(model, inputs, expected), *model.get_parameters().values(), model.losses]
    for others in found[2:]:
        for one, other in zip(found[1], others, strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(found[0], found[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("two_processors", "every_call")
def test_a_call_that_diverges_in_one_part_ends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Autotuner, "parts", only(Way.ALL, Way.ONE))
    model, inputs, labels = digits(60)
    labels[33] = 3e38
    with pytest.raises(nm.TrainingDivergedError, match="sample 33"):
        nm.train(model, inputs, labels, 0)
    assert np.isfinite(model.losses[:33]).all()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The modes of the calls that all threads were asked for."""
    found: list[int] = []

    def lead(self: Kernels) -> Callable[..., int]:
        self.train  # noqa: B018 - compiles, or is found in the cache

        def call(mailbox: Any, numbers: Any, user: int, enough: int, *arguments: Any) -> int:
            if enough >= 0:  # it is called once more where threads have to be woken
                found.append(TrainCall(*arguments).mode)
            return int(self._training.lead(mailbox, numbers, user, enough, *arguments))

        return call

    monkeypatch.setattr(Kernels, "lead", property(lead))
    return found


@pytest.mark.usefixtures("two_processors")
def test_both_ways_are_timed_and_short_calls_start_no_thread(made: list[int]) -> None:
    model, inputs, labels = digits(600)
    for at in range(5):
        nm.train(model, inputs[at : at + 3], labels[at : at + 3], 0)
    assert not made
    for _ in range(3):
        nm.train(model, inputs, labels, 0)
    assert set(made) == {LEARN}
    (match,) = model.memory().autotuners.values()
    assert set(match._seconds) == set(Way)


@pytest.mark.usefixtures("two_processors", "every_call")
def test_evaluations_remember_what_was_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs, labels = digits(600)
    nm.evaluate(model, inputs, labels)
    match = model.memory().autotuners[MEASURE]
    before = dict(match._seconds)
    assert before
    nm.evaluate(model, inputs, labels)
    assert model.memory().autotuners == {MEASURE: match}


@pytest.mark.usefixtures("two_processors", "every_call")
@pytest.mark.parametrize(("ways", "some"), [((Way.ALL,), True), ((Way.ONE,), False)])
def test_a_pool_is_waited_for_between_two_parts_of_its_own(
    ways: tuple[Way, ...], some: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be woken again, and that would be timed, while it is on its way to where it waits."""
    found: list[int] = []
    monkeypatch.setattr(Autotuner, "parts", only(*ways))
    monkeypatch.setattr(dispatch, "_meet_again", lambda pool, members: found.append(members))
    model, inputs, labels = digits(60)
    nm.train(model, inputs, labels, 0)
    assert set(found) == ({1} if some else set())


def test_a_pool_is_waited_for_until_it_is_there_and_not_for_long() -> None:
    pool: Any = SimpleNamespace(mailbox=np.zeros(MAILBOX_SIZE, np.int64))
    began = time.perf_counter()
    dispatch._meet_again(pool, 1)
    assert time.perf_counter() - began >= dispatch.SOON_THERE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "SOON_THERE", 60.0)
        threading.Timer(0.05, pool.mailbox.__setitem__, (WAITING, 1)).start()
        dispatch._meet_again(pool, 1)
        dispatch._meet_again(None, 1)
        assert pool.mailbox[WAITING] == 1
    assert time.perf_counter() - began < 30


@pytest.mark.usefixtures("two_processors")
def test_gradients_are_nobodys_window(made: list[int]) -> None:
    """Their samples are one window, however many they are."""
    model, inputs, labels = digits(600)
    nm.gradients(model, inputs, labels)
    assert made == [GRADIENTS]
    assert not model.memory().autotuners


def test_a_part_that_diverged_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    change_costs(monkeypatch, processors=2)
    model, inputs, labels = digits(600)
    labels[0] = 3e38
    for _ in range(2):
        with pytest.raises(nm.TrainingDivergedError):
            nm.train(model, inputs, labels, 0)
    assert not any(match._seconds for match in model.memory().autotuners.values())
