"""Kernels that several threads run together: the same bits at any time, beside other models, after forks, interrupts.

Models are tiny, so the rules that give threads to work that pays for them, and wake them for it, are set aside, and so
is the number of processors: there are more threads than most machines of a test have.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.division import divide_everything
from helpers.paths import TESTS
from helpers.threaded_models import KINDS, data, digest, made, trained
from helpers.threads import LIMIT, at_once, interrupted_after, load
from neuromorph.runtime import kernels, threadpool

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")


@pytest.fixture(autouse=True)
def _many_threads() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        divide_everything(patch, 4)
        patch.setattr(kernels, "worth_waking", lambda *_: (0, 0))
        yield


# The same bits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_repetitions_on_a_busy_machine_give_the_same_bits(kind: str) -> None:
    wanted = trained(made(kind), 40)
    with load():
        assert {trained(made(kind), 40) for _ in range(5)} == {wanted}


def test_bits_depend_on_the_data_and_the_seed() -> None:
    """What is compared in this file can differ."""
    assert len({trained(made("two", seed), 40, passes) for seed in (1, 2) for passes in (1, 2)}) == 4


# State ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["two", "three", "four"])
def test_state_of_lanes_that_threads_divide_is_that_of_one_thread(kind: str) -> None:
    """Read, set, carried on and put back to zeros, lane by lane; also where a thread has fewer lanes than others."""
    many, alone, inputs = made(kind), made("alone"), data(made("alone"))

    def check() -> None:
        assert many.state["recur"].shape == (8, 5)
        np.testing.assert_allclose(many.state["recur"], alone.state["recur"], rtol=1e-4, atol=1e-6)

    given = np.random.default_rng(2).normal(size=(8, 5)).astype(np.float32)
    for model in (many, alone):
        model.train(*inputs, 0)
    check()
    for model in (many, alone):
        model.state = {"recur": given}
    np.testing.assert_array_equal(many.state["recur"], given)
    assert many.evaluate(*inputs, carry_state=True) == pytest.approx(alone.evaluate(*inputs, carry_state=True), 1e-5)
    for model in (many, alone):
        model.train(*inputs, 0, carry_state=True)
    check()
    many.state["recur"][:] = 7.0  # a copy
    check()
    with pytest.raises(nm.DataError):
        many.state = {"recur": np.full((8, 5), np.nan)}
    check()
    many.reset_state()
    assert not many.state["recur"].any()


# Several models, several callers -------------------------------------------------------------------------------------

MANY = [("two", 1), ("two", 2), ("four", 3), ("three, in chunks", 4), ("two", 1)]


def test_models_trained_at_once_learn_what_each_learns_alone() -> None:
    """Of one text and of others, with as many threads and with more."""
    wanted = [trained(made(kind, seed)) for kind, seed in MANY]
    models = [made(kind, seed) for kind, seed in MANY]
    assert at_once([lambda model=model: trained(model) for model in models]) == wanted  # type: ignore[misc]


def test_callers_of_one_model_take_turns() -> None:
    model, other, inputs = made("two"), made("two"), data(made("two"))
    finite = []

    def read() -> None:
        finite.extend(np.isfinite(value).all() for _ in range(20) for value in model.get_parameters().values())

    def train() -> None:
        for _ in range(5):
            model.train(*inputs, 0)

    found = at_once([train, train, read, lambda: model.evaluate(*inputs), lambda: model.predict(inputs[0])])
    assert not any(isinstance(result, Exception) for result in found)
    assert all(finite)
    assert len(finite) == 80
    for _ in range(10):
        other.train(*inputs, 0)
    assert digest(model) == digest(other)


def test_a_model_that_diverges_leaves_others_alone() -> None:
    wanted = trained(made("four"))
    good, bad, still = made("four"), made("four", rate=1e30), made("two")
    inputs, expected = data(still)
    expected[77] = np.nan

    def spoilt() -> None:
        still.train(inputs, np.where(np.isnan(expected), 3e38, expected), 0)

    found = at_once([lambda: trained(good), lambda: trained(bad), spoilt])
    assert found[0] == wanted
    for error in found[1:]:
        assert isinstance(error, nm.TrainingDivergedError)
    assert all(np.isfinite(value).all() for model in (bad, still) for value in model.get_parameters().values())
    assert trained(made("four")) == wanted


# The pool ------------------------------------------------------------------------------------------------------------


def members() -> list[str]:
    """The pool's threads of this process."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("neuromorph-")]


def test_a_pool_is_used_again() -> None:
    model = made("four")
    model.train(*data(model), 0)
    before = members()
    assert len(before) >= 3
    for _ in range(20):
        model.train(*data(model, 20), 0)
    assert members() == before


def test_each_call_at_once_has_a_pool_of_its_own() -> None:
    """One call can't wait for another's threads: here each needs the other to come along."""
    meeting = threading.Barrier(6, timeout=LIMIT)
    calls = [lambda: threadpool.run_together(lambda number: meeting.wait() * 0 + number, [(7,), (8,), (9,)])] * 2
    assert at_once(calls) == [7, 7]


def test_an_error_of_a_member_reaches_the_caller_and_the_pool_goes_on() -> None:
    def divide(number: int) -> float:
        return 1 / number

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            threadpool.run_together(divide, [(1,), (2,), (0,), (4,), (5,)])
        assert threadpool.run_together(divide, [(4,), (2,), (1,), (4,), (5,)]) == 0.25


def test_an_interrupt_leaves_whole_windows_and_a_pool_that_works() -> None:
    wanted, model = trained(made("four")), made("four")
    inputs, expected = data(model, 200_000)

    def for_ever() -> None:
        while True:
            model.train(inputs, expected, 0)

    for number in range(10):
        interrupted_after(0.02 + 0.013 * number, for_ever)
    before = members()
    assert np.count_nonzero(model.losses) % model.bptt_steps == 0
    assert trained(made("four")) == wanted
    assert members() == before


def test_an_interrupt_waits_for_members_that_cannot_stop_alone() -> None:
    done = []

    def slow(number: int) -> None:
        time.sleep(0.3)
        done.append(number)

    interrupted_after(0.1, lambda: threadpool.run_together(slow, [(1,), (2,)]))
    assert sorted(done) == [1, 2]


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_while_a_pool_is_given_its_work(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that have begun can't finish alone: the caller does its part, and is interrupted then."""
    wanted, model, inputs = trained(made("two")), made("two"), data(made("two"))
    give, sent = threadpool.ThreadPool._post, []

    def interrupted(self: threadpool.ThreadPool, *work: Any) -> None:
        if not before:
            give(self, *work)
        signal.raise_signal(signal.SIGINT)
        sent.append(work)
        if before:
            give(self, *work)

    with monkeypatch.context() as patch:
        patch.setattr(threadpool.ThreadPool, "_post", interrupted)
        patch.setattr(threadpool, "_pools", {})  # new threads, which have to be woken
        with pytest.raises(KeyboardInterrupt):
            model.train(*inputs, 0)
    assert len(sent) == 1
    assert trained(made("two")) == wanted


# Other processes -----------------------------------------------------------------------------------------------------

PRELUDE = """
import os, signal, sys, threading, time, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
sys.path.insert(0, TESTS)
import neuromorph as nm
import neuromorph.runtime.kernels, neuromorph.codegen, pytest
from helpers.division import divide_everything
from helpers.threaded_models import data, made, trained, training_of
from helpers.threads import at_once
divide_everything(pytest.MonkeyPatch(), 4)
neuromorph.runtime.kernels.worth_waking = lambda *_: (0, 0)

def child(*works):
    "Exit status of a forked process that does all these works at once, one that hangs is killed."
    process = os.fork()
    if not process:
        signal.alarm(200)
        os._exit(0 if at_once(list(works)) == [wanted] * len(works) else 1)
    return os.waitpid(process, 0)[1]
"""


def outputs(code: str, folder: Path) -> list[str]:
    """The words that a new process prints; it has to end by itself, in time and without a word on stderr."""
    script = folder / "script.py"
    script.write_text(f"TESTS = {str(TESTS)!r}\n{PRELUDE}\n{code}", encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@can_fork
def test_forked_processes_train_with_threads_of_their_own(tmp_path: Path) -> None:
    """Forked before the first training, after it, and while another model trains."""
    code = """
model, other, long = made("four"), made("four"), made("two", rate=1e-6)
works = [lambda: trained(model), lambda: trained(other)]
wanted = None
early = os.fork()
if not early:
    signal.alarm(200)
    print(trained(model), flush=True)
    os._exit(0)
os.waitpid(early, 0)
wanted = trained(made("four"))
print(wanted)
print(child(*works), child(works[0]), flush=True)
with training_of(long):
    print(child(*works), child(*works), flush=True)
    print(*at_once(works))
"""
    found = outputs(code, tmp_path)
    assert found[0] == found[1]
    assert found[2:6] == ["0"] * 4
    assert found[6:] == [found[0]] * 2


@pytest.mark.parametrize("method", [pytest.param("fork", marks=can_fork), "spawn"])
def test_processes_of_multiprocessing_train_alike(method: str, tmp_path: Path) -> None:
    code = f"""
import multiprocessing

def work(kind):
    return trained(made(kind), 100)

if __name__ == "__main__":
    print(work("four"), work("two"))
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(*pool.map_async(work, ["four", "two"]).get(100))
    print(work("four"), work("two"))
"""
    four, two, *others = outputs(code, tmp_path)
    assert others == [four, two] * 2


def test_a_process_ends_while_one_pool_waits_and_another_works(tmp_path: Path) -> None:
    """A daemon thread's training is left where it is."""
    code = """
model, idle = made("four", rate=1e-6), made("two")
trained(idle)
training_of(model, daemon=True).__enter__()
print("end")
"""
    assert outputs(code, tmp_path) == ["end"]


def test_a_process_waits_for_a_thread_that_trains(tmp_path: Path) -> None:
    code = """
model = made("four")
threading.Thread(target=lambda: print(trained(model) == trained(made("four")))).start()
"""
    assert outputs(code, tmp_path) == ["True"]


def test_training_while_a_process_ends(tmp_path: Path) -> None:
    """A pool that is there already still works then."""
    code = """
import atexit
model = made("two")
wanted = trained(made("two"))
atexit.register(lambda: print(trained(model) == wanted))
"""
    assert outputs(code, tmp_path) == ["True"]
