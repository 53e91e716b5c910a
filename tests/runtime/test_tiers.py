"""What runs a model: kernels of its own at once, or the machine until they are there."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary, ref

import numpy as np
import pytest

import neuromorph as nm
from helpers.texts import LSTM
from neuromorph.errors import CompilerWarning
from neuromorph.jit import bundles, cache
from neuromorph.runtime import background, tiers
from neuromorph.runtime.background import Request
from neuromorph.runtime.feeds import Feeds
from neuromorph.runtime.instant import Machine
from neuromorph.runtime.network import Network

TEXT = "/xavier,zero/ (i, 2) {m, h, concatenate, 1} (h, 3, <tanh>) (d, <dropout, 0.3>) (out, 2, <linear>, <mse>)"
ARE_THERE = tiers.Kernels.are_there
OWN = TEXT.replace("(out,", "(t, <times, 0.25>) (out,")  # of the one test that has its kernels compiled anew
RNG = np.random.default_rng(0)
INPUTS, EXPECTED = RNG.normal(size=(60, 2, 2)), RNG.uniform(size=(60, 2, 2))


@pytest.fixture(autouse=True)
def auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tiers.VARIABLE, "auto")


@pytest.fixture(scope="module", autouse=True)
def _the_machine_is_there() -> None:
    nm.build(compiled_from(TEXT, tier="instant"))


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
        patched.setattr("neuromorph.runtime.network.aligned_zeros", no_room)
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


@pytest.mark.usefixtures("asked")
def test_a_talkative_build_says_what_runs_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    compiled_from(TEXT).build(verbosity=1)
    assert capsys.readouterr().err == ("the machine runs the model while its kernels are compiled in the background\n")
    compiled_from(TEXT, tier="instant").build(verbosity=1)
    assert capsys.readouterr().err == ""
