"""What runs a model: kernels of its own at once, or the machine until they are there."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary, ref

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import REPOSITORY
from helpers.texts import LSTM
from neuromorph.errors import CompilerWarning
from neuromorph.jit import bundles, cache
from neuromorph.runtime import background, instant, tiers
from neuromorph.runtime.background import Request
from neuromorph.runtime.feeds import Feeds
from neuromorph.runtime.instant import Machine
from neuromorph.runtime.kernels import ModelTooLargeError
from neuromorph.runtime.learning import Track
from neuromorph.runtime.network import Network
from neuromorph.runtime.running import Running
from neuromorph.training import progress

TEXT = "/xavier,zero/ (i, 2) {m, h, concatenate, 1} (h, 3, <tanh>) (d, <dropout, 0.3>) (out, 2, <linear>, <mse>)"
ARE_THERE = tiers.Kernels.are_there
OWN = TEXT.replace("(out,", "(t, <times, 0.25>) (out,")  # of the one test that has its kernels compiled anew
RNG = np.random.default_rng(0)
INPUTS, EXPECTED = RNG.normal(size=(60, 2, 2)), RNG.uniform(size=(60, 2, 2))
UNKNOWN = EXPECTED.copy()
UNKNOWN[::3, 0, 1] = np.nan


@pytest.fixture(autouse=True)
def auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tiers.VARIABLE, "auto")


@pytest.fixture(scope="module", autouse=True)
def _all_kernels_are_in_the_cache() -> None:
    for tier in ("instant", "compiled"):
        model = nm.build(compiled_from(TEXT, tier=tier))
        nm.predict(model, INPUTS)
        nm.train(model, INPUTS, UNKNOWN, 0, missing="skip")


def absent(monkeypatch: pytest.MonkeyPatch, *entries: str) -> None:
    """Have the cache, and this process, lack some bundles."""
    found = bundles.is_there
    monkeypatch.setattr(bundles, "is_there", lambda own: own not in entries and found(own))
    monkeypatch.setattr(tiers.Kernels, "are_there", ARE_THERE)


def no_compiling(*_: Any) -> Any:
    raise AssertionError("kernels are compiled in this process, for which a call waits")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Request]]:
    """The requests, which no process answers. No model finds its kernels in the cache."""
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: False)
    made: list[Request] = []

    def request(message: dict[str, Any], entry: str) -> Request:
        made.append(Request(message, entry))
        made[-1].looked = float("inf")
        return made[-1]

    monkeypatch.setattr(background, "request", request)
    yield made
    made.clear()


def compiled_from(text: str, **options: Any) -> nm.Model:
    return nm.compile(text, 2, 0.1, bptt_steps=5, threads=1, optimizer="adam", **options)


def built(model: nm.Model) -> nm.Model:
    nm.seed(3)
    return nm.build(model)


def all_numbers(model: nm.Model) -> dict[str, Any]:
    found = {**model.get_parameters(), **model.state, **model.optimizer_state}
    return {**found, "losses": model.losses, "dropout": np.array(model.dropout_state)}


def assert_same_bits(model: nm.Model, other: nm.Model) -> None:
    wanted = all_numbers(other)
    for name, value in all_numbers(model).items():
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)


def test_a_new_text_trains_at_once_and_goes_on_with_its_own_kernels() -> None:
    """The numbers are those of a model that has its own kernels from the start, bit for bit; streams go on too."""
    model = compiled_from(OWN)
    for entry in model.kernels.own.entries:
        cache.discard(entry)
    built(model)
    assert model.tier == "instant"
    nm.train(model, INPUTS[:30], EXPECTED[:30], 0)
    stream = nm.stream(model, 2)
    first = stream(INPUTS[0].astype("f")).copy()
    assert model.wait_compiled(120)
    assert model.tier == "compiled"
    nm.train(model, INPUTS[30:], EXPECTED[30:], 0, carry_state=True)
    other = built(compiled_from(OWN))
    assert other.tier == "compiled"  # its kernels are in the cache now
    nm.train(other, INPUTS[:30], EXPECTED[:30], 0)
    same = nm.stream(other, 2)
    np.testing.assert_array_equal(same(INPUTS[0].astype("f")), first)
    nm.train(other, INPUTS[30:], EXPECTED[30:], 0, carry_state=True)
    assert_same_bits(model, other)
    np.testing.assert_array_equal(same(INPUTS[1].astype("f")), stream(INPUTS[1].astype("f")))
    np.testing.assert_array_equal(nm.predict(model, INPUTS), nm.predict(other, INPUTS))


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("after", [0, 5, 20])
def test_kernels_take_over_between_two_windows(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Inside one call of ``train``, in its second piece."""
    nm.build(compiled_from(TEXT, tier="compiled"))  # fills the cache
    model = built(compiled_from(TEXT))
    assert model.tier == "instant"
    monkeypatch.setattr(tiers.Kernels, "are_there", ARE_THERE)
    monkeypatch.setattr(
        "neuromorph.training.loop.Pace.pieces", lambda self, size, capacity: [(0, after), (after, size)]
    )

    def poll(request: Request) -> bool:
        calls.append(1)
        return len(calls) > 2

    calls: list[int] = []
    monkeypatch.setattr(Request, "poll", poll)
    nm.train(model, INPUTS, EXPECTED, 0)
    assert model.tier == "compiled"
    other = built(compiled_from(TEXT, tier="compiled"))
    nm.train(other, INPUTS, EXPECTED, 0)
    assert_same_bits(model, other)


def test_kernels_in_the_cache_are_used_at_once(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers.Kernels, "are_there", ARE_THERE)
    nm.build(compiled_from(TEXT, tier="compiled"))
    renamed = TEXT.replace("(h,", "(hidden,").replace("{m, h,", "{m, hidden,")
    assert built(compiled_from(renamed)).tier == "compiled"
    assert not asked


def test_without_the_machine_a_model_waits_for_its_kernels(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And the machine is asked for, once."""
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(bundles, "_linked", WeakValueDictionary())  # other tests may have loaded the machine
    monkeypatch.setattr(tiers.Kernels, "train", None)
    monkeypatch.setattr(Machine, "is_there", lambda self: False)  # other tests may have linked it in this process
    for _ in range(2):
        model = compiled_from(LSTM, dtype="float64")
        machine = tiers.imported("neuromorph.runtime.instant").machine(model.kernels.specialised_for)
        if not asked:
            monkeypatch.setattr(machine, "asked", None)
        assert built(model).tier == "compiled"
    (one,) = asked
    chosen = model.kernels.specialised_for
    assert one.message == {"machine": ["float64", chosen.lanes, chosen.registers]}


def test_a_compiler_that_fails_leaves_the_machine_in_charge(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_warned", set())
    model = built(compiled_from(TEXT))
    (one,) = asked
    absent(monkeypatch, *model.kernels.own.entries)
    one.end("the disk is full")
    with pytest.warns(CompilerWarning, match="the disk is full"):
        nm.train(model, INPUTS, EXPECTED, 0)
    assert model.tier == "instant"
    assert not model.wait_compiled(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = built(compiled_from(TEXT))
        asked[-1].end("the disk is full")
        nm.train(other, INPUTS, EXPECTED, 0)
    assert_same_bits(model, other)


def test_a_machine_that_the_cache_does_not_take_comes_with_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first text waits for its own kernels, later ones run at once, nothing more is asked for, and one warning."""
    machine = instant.machine(compiled_from(TEXT).kernels.specialised_for)
    files = {name: cache.read(machine.entry_in_cache, name) for name in ("functions.json", "kernel.bin")}
    encoded = {name: base64.b64encode(data or b"").decode() for name, data in files.items()}
    answer = {"failed": 0, "reason": "the disk is full", "unstored": True, "files": encoded}
    (tmp_path / "answer").write_text(json.dumps(answer))
    script = f"""import json, sys; m = json.loads(sys.stdin.readline()); answers = open(int(sys.argv[2]), "w")
print(json.dumps(json.load(open({str(tmp_path / "answer")!r})) | {{"failed": m["job"]}}), file=answers, flush=True)
sys.stdin.read()"""
    for place, name, value in (
        (background, "_START", script), (background, "_compiler", background.Compiler()), (background, "_refused", {}),
        (background, "_warned", set()), (cache, "_warned", {}), (bundles, "_linked", WeakValueDictionary()),
        (instant, "machine_for", lru_cache(instant.Machine)),
    ):  # fmt: skip
        monkeypatch.setattr(place, name, value)
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path / "cache"))
    with monkeypatch.context() as patched:
        patched.setattr(tiers.Kernels, "train", None)
        assert built(compiled_from(TEXT)).tier == "compiled"
    asked = instant.machine(compiled_from(TEXT).kernels.specialised_for).asked
    while not asked.poll():
        time.sleep(0.01)
    monkeypatch.setattr(background.Compiler, "add", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        models = [built(compiled_from(TEXT)) for _ in range(2)]
        for model in models:
            nm.train(model, INPUTS, EXPECTED, 0)
            assert model.tier == "instant"
            assert not model.waits
    assert [str(item.message) for item in caught] == [
        "kernels can't be compiled in the background: the disk is full. Models keep the tier 'instant'"
    ]
    background.stop()


def test_a_machine_that_no_other_process_can_compile_is_compiled_here(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the second text; the first one waits for its own kernels, which takes less."""
    nm.build(compiled_from(TEXT, tier="compiled"))
    monkeypatch.setattr(instant.Machine, "is_there", lambda self: False)
    monkeypatch.setattr(instant, "machine_for", lru_cache(instant.Machine))
    assert built(compiled_from(TEXT)).tier == "compiled"
    asked[0].end("no process can be started")
    model = built(compiled_from(TEXT))
    assert (model.tier, len(asked)) == ("instant", 2)
    nm.train(model, INPUTS, EXPECTED, 0)


def test_a_machine_whose_compiler_has_crashed_is_asked_for_again(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few times. Then one warning comes, and it is not compiled in this process, which might crash too."""
    monkeypatch.setattr(background, "_warned", set())
    monkeypatch.setattr(instant.Machine, "is_there", lambda self: False)
    monkeypatch.setattr(instant, "machine_for", lru_cache(instant.Machine))
    monkeypatch.setattr(tiers.Kernels, "train", None)
    for number in range(1 + background.MOST_DEATHS):
        assert built(compiled_from(TEXT)).tier == "compiled"
        assert len(asked) == 1 + number
        asked[-1].end("signal 11", lost=True)
    with pytest.warns(CompilerWarning, match="signal 11. Each model waits in build until its own are compiled"):
        assert built(compiled_from(TEXT)).tier == "compiled"
    assert len(asked) == 1 + background.MOST_DEATHS


def too_large(kernels: Any, steps: int | None = None, **options: Any) -> None:
    raise ModelTooLargeError("the machine does not fit")


def test_a_model_that_fits_without_the_machine_waits_for_its_kernels(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    nm.build(compiled_from(TEXT, tier="compiled"))
    monkeypatch.setattr(instant.InstantKernels, "check_size", too_large)
    assert built(compiled_from(TEXT)).tier == "compiled"
    assert not asked
    with pytest.raises(MemoryError, match="the machine does not fit"):
        nm.build(compiled_from(TEXT, tier="instant"))


def in_one_window(model: nm.Model) -> None:
    with model.lock, model.changing:
        model.set_window(30)


@pytest.mark.parametrize("call", [in_one_window, lambda model: nm.learner(model, 30)], ids=["window", "learner"])
def test_a_window_that_fits_without_the_machine_waits_for_the_kernels(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, call: Callable[[nm.Model], Any]
) -> None:
    nm.build(compiled_from(TEXT, tier="compiled"))
    model, other = built(compiled_from(TEXT)), built(compiled_from(TEXT, tier="instant"))
    for one in (model, other):
        nm.train(one, INPUTS, EXPECTED, 0)
    monkeypatch.setattr(instant.InstantKernels, "check_size", too_large)
    call(model)
    assert (model.tier, model.waits) == ("compiled", False)
    assert_same_bits(model, other)
    with pytest.raises(MemoryError, match="the machine does not fit"):
        call(other)


def test_a_model_goes_on_with_its_kernels_where_the_machine_does_not_fit(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While those that predict are not there: they are waited for, and no warning says what is not so."""
    nm.build(compiled_from(TEXT, tier="compiled"))
    monkeypatch.setattr(tiers.Kernels, "are_there", ARE_THERE)
    monkeypatch.setattr(tiers.Kernels, "can_predict", lambda self: False)
    monkeypatch.setattr(instant.InstantKernels, "check_size", too_large)
    model = built(compiled_from(TEXT))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.predict(model, INPUTS)
    assert model.tier == "compiled"
    assert not asked


def test_waiting_ends_in_time_while_another_thread_trains(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And at once where that thread's call takes over."""
    nm.build(compiled_from(TEXT, tier="compiled"))
    model = built(compiled_from(TEXT))
    begun, goes_on, ends = (threading.Event() for _ in range(3))

    def trains() -> None:
        with model.lock:
            begun.set()
            goes_on.wait(60)
            model.take_over()
            ends.wait(60)

    thread = threading.Thread(target=trains)
    thread.start()
    assert begun.wait(60)
    started = time.monotonic()
    assert not model.wait_compiled(0)
    assert not model.wait_compiled(0.05)
    assert time.monotonic() - started < 5.0
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: True)
    asked[-1].end()
    goes_on.set()
    assert model.wait_compiled(60)
    assert thread.is_alive()
    ends.set()
    thread.join()


def test_kernels_by_others_take_over_without_a_warning(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    """The request failed, but another process has compiled the kernels meanwhile: nobody needs to hear of it."""
    model = built(compiled_from(TEXT))
    assert model.tier == "instant"
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: True)
    asked[-1].end("the compiler was killed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.train(model, INPUTS, EXPECTED, 0)
    assert (model.tier, model.waits) == ("compiled", False)


def test_a_compiler_killed_before_prediction_leaves_training(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's own kernels train, the machine predicts, and nothing is compiled in this process."""
    monkeypatch.setattr(background, "_warned", set())
    monkeypatch.setattr(bundles, "_built", no_compiling)
    model, other = built(compiled_from(TEXT)), built(compiled_from(TEXT, tier="instant"))
    absent(monkeypatch, model.kernels.own.entries[1])
    asked[0].end("the compiler was ended by signal 9")
    found = []
    with pytest.warns(CompilerWarning, match="ended by signal 9"):
        nm.train(model, INPUTS, EXPECTED, 0)
    nm.train(other, INPUTS, EXPECTED, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            found.append(model.tier)
            np.testing.assert_array_equal(nm.predict(model, INPUTS), nm.predict(other, INPUTS))
            found.append(model.tier)
            for one in (model, other):
                nm.train(one, INPUTS, EXPECTED, 0)
    assert found == ["compiled", "instant", "compiled", "instant"]
    assert (model.tier, model.waits, len(asked)) == ("compiled", False, 1)
    assert_same_bits(model, other)


def test_a_cache_with_training_alone_is_enough_to_train(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where kernels that skip are compiled meanwhile, those that predict need not be there."""
    monkeypatch.setattr(bundles, "_built", no_compiling)
    absent(monkeypatch, compiled_from(TEXT).kernels.own.entries[1])
    model = built(compiled_from(TEXT))
    assert model.tier == "compiled"
    skipping = model.kernels.skipping.entries[0]
    with monkeypatch.context() as patched:
        absent(patched, skipping)
        nm.train(model, INPUTS, UNKNOWN, 0, missing="skip")
        assert (model.tier, [request.entry for request in asked]) == ("instant", [skipping])
    absent(monkeypatch, model.kernels.own.entries[1])
    asked[0].end()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.train(model, INPUTS, UNKNOWN, 0, missing="skip")
    assert (model.tier, model.waits) == ("compiled", False)


def test_kernels_that_have_failed_are_not_asked_for_again(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order of calls; there is one warning."""
    monkeypatch.setattr(background, "_warned", set())
    monkeypatch.setattr(bundles, "_built", no_compiling)
    model = built(compiled_from(TEXT))
    absent(monkeypatch, model.kernels.own.skipping.entries[0])
    asked[-1].end()
    found = []

    def train(expected: Any) -> None:
        nm.train(model, INPUTS, expected, 0, missing="skip")
        found.append(model.tier)

    train(EXPECTED)
    train(UNKNOWN)
    stands_in = model.kernels
    asked[1].end("it crashes")
    with pytest.warns(CompilerWarning, match="it crashes"):
        train(EXPECTED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(UNKNOWN)
        assert (model.waits, model.kernels) == (False, stands_in)
        train(EXPECTED)
    assert found == ["compiled", "instant", "compiled", "instant", "compiled"]
    assert len(asked) == 2


def test_an_interrupt_while_the_machine_begins_leaves_the_request(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C right after the memory was handed over, in either direction: later calls go on as they should."""

    def interrupted(self: Any, own: Any) -> None:
        hand_over(self, own)
        raise KeyboardInterrupt

    hand_over = Running._hand_over
    monkeypatch.setattr(bundles, "_built", no_compiling)
    monkeypatch.setattr(tiers.Kernels, "are_there", ARE_THERE)
    model = built(compiled_from(TEXT))
    assert model.tier == "compiled"
    with monkeypatch.context() as patched:
        absent(patched, model.kernels.skipping.entries[0])
        patched.setattr(Running, "_hand_over", interrupted)
        with pytest.raises(KeyboardInterrupt):
            nm.train(model, INPUTS, UNKNOWN, 0, missing="skip")
    assert (model.tier, model.waits) == ("instant", True)
    asked[0].end()
    with monkeypatch.context() as patched:
        patched.setattr(Running, "_hand_over", interrupted)
        with pytest.raises(KeyboardInterrupt):
            nm.train(model, INPUTS, UNKNOWN, 0, missing="skip")
    assert (model.tier, model.waits) == ("compiled", False)
    nm.train(model, INPUTS, UNKNOWN, 0, missing="skip")
    assert (model.tier, len(asked)) == ("compiled", 1)


def test_a_sweep_asks_once_for_kernels_that_fail(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_warned", {"warned"})
    model = compiled_from(TEXT)
    model.begin_without_compiling()
    built(model)
    absent(monkeypatch, *model.kernels.own.entries)
    for _ in range(3):
        model.compile_meanwhile()
        if not asked[0].ended:
            asked[0].end("it crashes")
        nm.train(model, INPUTS, EXPECTED, 0)
    assert (model.tier, model.waits, len(asked)) == ("instant", False, 1)


@pytest.mark.parametrize("unstored", [False, True])
def test_kernels_that_come_into_the_cache_later_are_found(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, unstored: bool
) -> None:
    """By another process, after the request of this model has failed. A cache that took nothing is asked again."""
    monkeypatch.setattr(background, "_warned", {"warned"})
    monkeypatch.setattr("neuromorph.runtime.running._BETWEEN", 0.0)
    model = built(compiled_from(TEXT))
    with monkeypatch.context() as patched:
        absent(patched, *model.kernels.own.entries)
        asked[0].end("the compiler was killed", unstored=unstored)
        for _ in range(2):
            nm.train(model, INPUTS, EXPECTED, 0)
        assert (model.tier, model.waits, len(asked)) == ("instant", unstored, 1 + unstored)
        assert not model.wait_compiled(0)
    monkeypatch.setattr(tiers.Kernels, "are_there", ARE_THERE)
    asked[-1].end("the compiler was killed")
    nm.train(model, INPUTS, EXPECTED, 0)
    assert (model.tier, model.waits) == ("compiled", False)


def test_an_interrupt_leaves_the_request(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while kernels are loaded: a later call takes over."""

    def interrupted(self: Any) -> bool:
        raise KeyboardInterrupt

    model = built(compiled_from(TEXT))
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: True)
    asked[0].end()
    with monkeypatch.context() as patched:
        patched.setattr(tiers.Kernels, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            nm.train(model, INPUTS, EXPECTED, 0)
    assert (model.tier, model.waits) == ("instant", True)
    nm.train(model, INPUTS, EXPECTED, 0)
    assert (model.tier, model.waits) == ("compiled", False)


def test_an_interrupt_while_a_window_waits_leaves_a_request(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while kernels are compiled here, for a window for which the machine is too large."""

    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    model = built(compiled_from(TEXT))
    monkeypatch.setattr(instant.InstantKernels, "check_size", too_large)
    monkeypatch.setattr(tiers.Kernels, "build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nm.learner(model, 60)
    assert (model.tier, model.waits) == ("instant", True)


def test_a_model_keeps_its_kernels_while_the_machine_stands_in(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it goes on with them, even if the cache has lost them meanwhile."""
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: not self.skips)
    model = built(compiled_from(TEXT))
    own = model.kernels
    nm.train(model, INPUTS, UNKNOWN, 0, missing="skip")
    assert model.tier == "instant"
    assert model.kernels.own is own


@pytest.mark.parametrize("way", ["step", "update", "copy"])
def test_a_learner_does_not_wait_for_kernels_that_skip(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Neither at the first target that is not known, nor where the model goes over to its own kernels meanwhile."""
    monkeypatch.setattr(background, "_warned", {"warned"})
    monkeypatch.setattr(bundles, "_built", no_compiling)
    monkeypatch.setattr(tiers.Kernels, "are_there", ARE_THERE)
    model, other = built(compiled_from(TEXT)), built(compiled_from(TEXT, tier="instant"))
    assert model.tier == "compiled"
    absent(monkeypatch, model.kernels.skipping.entries[0])
    pair = [nm.learner(model, 4, missing="skip"), nm.learner(other, 4, missing="skip")]
    for number in range(12):
        target = UNKNOWN[number] if number in (3, 9) else EXPECTED[number]
        one, same = (learner(INPUTS[number], target).copy() for learner in pair)
        np.testing.assert_array_equal(one, same)
        if number == 3:
            assert (model.tier, len(asked)) == ("instant", 1)
            asked[-1].end("it crashes")
        if number == 6:
            for each in (model, other):
                nm.train(each, INPUTS, EXPECTED, 0)
            assert model.tier == "compiled"
            if way == "update":
                assert pair[0].update() == pair[1].update()
            elif way == "copy":
                pair = [learner.copy() for learner in pair]
    assert (model.tier, len(asked)) == ("instant", 1)
    assert_same_bits(model, other)


def test_a_learner_interrupted_at_an_unknown_target_takes_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before the kernels that skip can be called: the next target that is not known does not call nothing."""

    def interrupted(self: Any, name: str, *more: Any) -> None:
        raise KeyboardInterrupt

    pair = [nm.learner(built(compiled_from(TEXT, tier="instant")), 4, missing="skip") for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(Track, "_write_train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pair[0](INPUTS[0], UNKNOWN[0])
    for number in range(6):
        one, same = (learner(INPUTS[number], UNKNOWN[number]).copy() for learner in pair)
        np.testing.assert_array_equal(one, same)
    assert_same_bits(pair[0].model, pair[1].model)


def test_waiting_ends_in_time(asked: list[Request]) -> None:
    model = built(compiled_from(TEXT))
    assert not model.wait_compiled(0.05)
    with pytest.raises(ValueError, match="timeout must be a finite number of at least 0, not -1"):
        model.wait_compiled(-1)
    with pytest.raises(nm.ModelStateError, match="not built"):
        compiled_from(TEXT).wait_compiled()
    assert len(asked) == 1


@pytest.mark.parametrize("tier", ["compiled", "instant"])
def test_nothing_is_asked_for_where_the_tier_is_fixed(asked: list[Request], tier: str) -> None:
    model = built(compiled_from(TEXT, tier=tier))
    assert model.tier == tier
    assert model.wait_compiled() == (tier == "compiled")
    assert not asked


def test_the_environment_says_what_auto_means(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tiers.VARIABLE, "instant")
    assert built(compiled_from(TEXT)).tier == "instant"
    monkeypatch.setenv(tiers.VARIABLE, "compiled")
    assert built(compiled_from(TEXT)).tier == "compiled"
    monkeypatch.setenv(tiers.VARIABLE, "fast")
    with pytest.raises(ValueError, match="NEUROMORPH_TIER must be one of auto, compiled, instant, not 'fast'"):
        built(compiled_from(TEXT))
    assert not asked


@pytest.mark.usefixtures("interpreted")
def test_with_jit_off_kernels_are_plain_python(asked: list[Request]) -> None:
    model = built(compiled_from(TEXT))
    nm.train(model, INPUTS[:5], EXPECTED[:5], 0)
    assert model.tier == "compiled"
    assert not asked


def test_a_copy_asks_for_its_own(asked: list[Request]) -> None:
    model = built(compiled_from(TEXT))
    nm.train(model, INPUTS, EXPECTED, 0)
    copied = pickle.loads(pickle.dumps(model))
    copied.losses = model.losses  # which are in no pickle
    assert copied.tier == "instant"
    assert len(asked) == 2
    assert asked[1].message == asked[0].message
    assert_same_bits(copied, model)


def test_a_released_model_needs_no_kernels(asked: list[Request]) -> None:
    model = built(compiled_from(TEXT))
    held_by_model = [one.number for one in asked]
    model.release()
    assert held_by_model
    assert model._request is None


def test_a_model_that_does_not_fit_asks_for_nothing(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuromorph.runtime.kernels.shortage", lambda needed, what: "too large")
    with pytest.raises(MemoryError, match="too large"):
        nm.build(compiled_from(TEXT))
    assert not asked


def test_measuring_and_predicting_take_over_too(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    nm.build(compiled_from(TEXT, tier="compiled"))
    for call in (
        lambda model: nm.predict(model, INPUTS),
        lambda model: nm.evaluate(model, INPUTS, EXPECTED),
        lambda model: nm.gradients(model, INPUTS, EXPECTED),
        nm.stream,
    ):
        model = compiled_from(TEXT)
        monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: False)
        assert built(model).tier == "instant"
        monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: True)
        asked[-1].end()
        call(model)
        assert model.tier == "compiled"


def test_memory_that_is_too_short_leaves_the_machine_in_charge(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers and state are those of before: the kernels and their workspaces change together or not at all."""
    monkeypatch.setattr(background, "_warned", set())
    nm.build(compiled_from(TEXT, tier="compiled"))
    model, other = built(compiled_from(TEXT)), built(compiled_from(TEXT, tier="instant"))
    for one in (model, other):
        nm.train(one, INPUTS[:20], EXPECTED[:20], 0)
    asked[-1].end()

    def no_room(count: int, dtype: str) -> Any:
        raise MemoryError("there is no room")

    with monkeypatch.context() as patched:
        patched.setattr(tiers.Kernels, "are_there", lambda self: True)
        patched.setattr("neuromorph.runtime.running.aligned_zeros", no_room)
        with pytest.warns(CompilerWarning, match="there is no room"):
            nm.train(model, INPUTS[20:], EXPECTED[20:], 0, carry_state=True)
    nm.train(other, INPUTS[20:], EXPECTED[20:], 0, carry_state=True)
    assert model.tier == "instant"
    assert_same_bits(model, other)


def test_nobody_waits_for_kernels_that_skip_what_is_not_known(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine runs a model until they are compiled too, also one that has its own kernels already."""
    nm.build(compiled_from(TEXT, tier="compiled"))
    unknown = EXPECTED.copy()
    unknown[::3, 0, 1] = np.nan
    model, other = built(compiled_from(TEXT)), built(compiled_from(TEXT, tier="instant"))
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: not self.skips)
    found = []
    for number, expected in enumerate([unknown, EXPECTED, unknown]):
        asked[-1].end()
        for one in (model, other):
            nm.train(one, INPUTS, expected, 0, carry_state=True, missing="skip")
        found.append((model.tier, [request.message["skips"] for request in asked]))
        assert_same_bits(model, other)
        if number == 0:
            assert asked[-1].entry == model.kernels.own.skipping.entries[0]
    assert found == [
        ("instant", [False, True]), ("compiled", [False, True]), ("instant", [False, True, True])
    ]  # fmt: skip
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: True)
    asked[-1].end()
    nm.train(model, INPUTS, EXPECTED, 0)
    for call in (nm.evaluate, nm.gradients):
        assert model.tier == "compiled"
        monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: not self.skips)
        model._skipping = None
        call(model, INPUTS, unknown, missing="skip")
        assert model.tier == "instant"
        asked[-1].end()
        monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: True)
        nm.train(model, INPUTS, EXPECTED, 0)


@pytest.mark.parametrize(
    "call", [lambda model: nm.predict(model, INPUTS), nm.stream, nm.learner], ids=["predict", "stream", "learner"]
)
def test_nobody_waits_for_kernels_that_predict(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, call: Callable[[nm.Model], Any]
) -> None:
    """As where another process has trained the model and not used it: the machine runs it until they are compiled."""
    nm.build(compiled_from(TEXT, tier="compiled"))
    monkeypatch.setattr(tiers.Kernels, "are_there", ARE_THERE)
    model, other = built(compiled_from(TEXT)), built(compiled_from(TEXT, tier="instant"))
    for one in (model, other):
        nm.train(one, INPUTS, EXPECTED, 0)
    assert model.tier == "compiled"
    monkeypatch.setattr(tiers.Kernels, "can_predict", lambda self: False)
    call(model)
    assert model.tier == "instant"
    (request,) = asked
    assert request.entry == model.kernels.own.entries[1]
    np.testing.assert_array_equal(nm.predict(model, INPUTS), nm.predict(other, INPUTS))
    monkeypatch.setattr(tiers.Kernels, "can_predict", lambda self: True)
    request.end()
    call(model)
    assert (model.tier, len(asked)) == ("compiled", 1)
    assert_same_bits(model, other)


def test_inner_nodes_are_predicted_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    nm.build(compiled_from(TEXT, tier="compiled"))
    model, other = built(compiled_from(TEXT)), built(compiled_from(TEXT, tier="instant"))
    assert model.tier == "compiled"
    monkeypatch.setattr(tiers.Kernels, "can_predict", lambda self: False)
    np.testing.assert_array_equal(*(nm.predict(one, INPUTS, nodes=("h",))["h"] for one in (model, other)))
    assert model.watched is not None
    assert model.watched[1].kernels.tier == "instant"


def test_the_tier_is_that_of_the_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner nodes are predicted by kernels of their own, here by the machine."""
    nm.build(compiled_from(TEXT, tier="compiled"))
    model = built(compiled_from(TEXT))
    nm.predict(model, INPUTS)
    monkeypatch.setattr(tiers.Kernels, "can_predict", lambda self: self.graph is model.graph)
    calls: list[Callable[[], Any]] = [
        lambda: nm.train(model, INPUTS, EXPECTED, 0),
        lambda: nm.fit(model, INPUTS, EXPECTED, epochs=1, progress=False),
        lambda: nm.predict(model, INPUTS),
        lambda: nm.evaluate(model, INPUTS, EXPECTED),
        lambda: nm.gradients(model, INPUTS, EXPECTED),
        lambda: nm.stream(model),
        lambda: nm.build(model),
        model.wait_compiled,
    ]
    for call in calls:
        assert model.tier == "compiled"
        nm.predict(model, INPUTS, nodes="h")
        assert model.tier == "instant"
        call()
    assert model.tier == "compiled"
    nm.predict(model, INPUTS, nodes="h")
    model.release()
    with pytest.raises(nm.ModelStateError, match="released"):
        model.tier  # noqa: B018


def test_a_released_model_has_nothing_compiled(monkeypatch: pytest.MonkeyPatch, asked: list[Request]) -> None:
    model = built(compiled_from(TEXT))
    request, left = ref(asked.pop()), []
    monkeypatch.setattr(background, "drop_unneeded", lambda: left.append(request()))
    model.release()
    assert left == [None]


def test_kernels_may_take_over_while_a_stream_is_opened(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the model trains in another thread."""
    nm.build(compiled_from(TEXT, tier="compiled"))
    model = built(compiled_from(TEXT))
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: True)
    original = Feeds.open

    def opened(feeds: Feeds) -> Any:
        feed = original(feeds)
        asked[-1].end()
        model.take_over()
        return feed

    with monkeypatch.context() as patched:
        patched.setattr(Feeds, "open", opened)
        patched.setattr(Network, "look_for_kernels", lambda self, **needs: None)
        stream = nm.stream(model, 2)
    assert model.tier == "compiled"
    np.testing.assert_array_equal(stream(INPUTS[0].astype("f")), nm.predict(model, INPUTS[:1])[0])


def test_streams_go_on_with_the_weights_that_the_other_kernels_read() -> None:
    """Sparse copies of frozen matrices may stand behind these."""
    feeds = Feeds()
    feed = feeds.open()
    feeds.publish(np.ones(4, np.float32))
    feeds.move(tiers.Kernels.__new__(tiers.Kernels), np.arange(8, dtype=np.float32))
    assert feed.weights is None
    assert feed.next is not None
    np.testing.assert_array_equal(feed.next[0].weights, np.arange(8))


def ended(message: dict[str, Any], entry: str) -> Request:
    made = Request(message, entry)
    made.end("the disk is full", unstored=True)
    return made


@pytest.mark.usefixtures("asked")
def test_a_talkative_build_says_what_runs_the_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_from(TEXT).build(verbosity=1)
    assert capsys.readouterr().err == ("the machine runs the model while its kernels are compiled in the background\n")
    compiled_from(TEXT, tier="instant").build(verbosity=1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(background, "request", ended)
    compiled_from(TEXT).build(verbosity=1)
    assert (
        capsys.readouterr().err
        == "the machine runs the model, and no kernels can be compiled for it in the background\n"
    )


TAKES_OVER = "the model's own kernels are compiled, and run it now\n"


@pytest.mark.parametrize(
    ("verbosity", "call", "says"),
    [
        (0, lambda model: nm.train(model, INPUTS, EXPECTED, 1), True),
        (0, lambda model: nm.fit(model, INPUTS, EXPECTED, epochs=2), True),
        (0, lambda model: nm.train(model, INPUTS, EXPECTED, 0), False),
        (0, lambda model: nm.fit(model, INPUTS, EXPECTED, epochs=1, progress=False), False),
        (0, nm.Model.wait_compiled, False),
        (1, lambda model: nm.train(model, INPUTS, EXPECTED, 0), False),
        (1, nm.Model.wait_compiled, True),
        (1, lambda model: nm.predict(model, INPUTS), True),
    ],
    ids=["train", "fit", "silent train", "silent fit", "wait", "talkative build", "then wait", "then predict"],
)
def test_a_talkative_call_says_when_kernels_take_over(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verbosity: int,
    call: Callable[[nm.Model], Any], says: bool,
) -> None:  # fmt: skip
    """Once, on stderr. What the call is silent about, the next talkative one says."""
    monkeypatch.setattr(progress, "BAR_DELAY", 1e9)
    nm.build(compiled_from(TEXT, tier="compiled"))
    model = compiled_from(TEXT).build(verbosity=verbosity)
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: True)
    asked[-1].end()
    capsys.readouterr()
    call(model)
    assert model.tier == "compiled"
    assert capsys.readouterr().err == TAKES_OVER * says
    for _ in range(2):
        nm.train(model, INPUTS, EXPECTED, 1)
    assert capsys.readouterr().err == TAKES_OVER * (not says)


def test_a_talkative_call_says_that_the_machine_runs_the_model_again(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nm.build(compiled_from(TEXT, tier="compiled"))
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: not self.skips)
    model = compiled_from(TEXT).build(verbosity=1)
    assert model.tier == "compiled"
    unknown = EXPECTED.copy()
    unknown[0, 0, 0] = np.nan
    nm.train(model, INPUTS, unknown, missing="skip")
    assert len(asked) == 1
    assert capsys.readouterr().err == (
        "the machine runs the model while kernels that it needs now are compiled in the background\n"
    )


# Real processes -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/proc"), reason="reads /proc")
def test_a_compiler_that_is_killed_leaves_the_machine_in_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it compiles kernels of two models. Nobody waits, and one warning says why."""
    compiler = background.Compiler()
    monkeypatch.setattr(background, "_compiler", compiler)
    monkeypatch.setattr(background, "_warned", set())
    monkeypatch.setattr(tiers.Kernels, "are_there", lambda self: False)
    texts = [TEXT.replace("(out,", f"(t, <times, {share}>) (out,") for share in (0.5, 0.75)]
    models = [built(compiled_from(text)) for text in texts]
    assert compiler.process is not None
    children = Path(f"/proc/{compiler.process.pid}/task/{compiler.process.pid}/children")
    end = time.monotonic() + 60
    while not children.read_text().strip() and time.monotonic() < end:
        time.sleep(0.01)
        nm.train(models[0], INPUTS[:5], EXPECTED[:5], 0)
    compiler.process.kill()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not any(model.wait_compiled(60) for model in models)
        for model in models:
            nm.train(model, INPUTS, EXPECTED, 0)
    assert [model.tier for model in models] == ["instant"] * 2
    (warning,) = caught
    assert "the process that compiles has ended with status -9. Models keep the tier 'instant'" in str(warning.message)


ONE_OF_TWO = """
import sys, numpy as np, neuromorph as nm
model = nm.build(nm.compile(sys.argv[1], 2, 0.1, bptt_steps=5, threads=1, optimizer="adam"), seed=3)
inputs = np.random.default_rng(0).normal(size=(60, 2, 2))
first = model.tier
nm.train(model, inputs, inputs, 0)
assert model.wait_compiled(60)
nm.train(model, inputs, inputs, 0, carry_state=True)
print(first, model.tier, model.losses.sum().hex())
"""


def test_two_processes_share_one_cache() -> None:
    """Both train at once, have the kernels compiled, and get the same bits, wherever these took over."""
    text = "/xavier,zero/ (i, 2) (t, <times, 0.125>) (out, 2, <linear>, <mse>)"
    for entry in compiled_from(text).kernels.own.entries:
        cache.discard(entry)
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NEUROMORPH_TIER": "auto"}
    command, pipe = [sys.executable, "-c", ONE_OF_TWO, text], subprocess.PIPE
    both = [subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environ, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [errors for _, errors in said] == ["", ""]
    one, other = (words.split() for words, _ in said)
    assert one[:2] == other[:2] == ["instant", "compiled"]
    assert one[2] == other[2]
