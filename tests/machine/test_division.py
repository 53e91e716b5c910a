"""Where threads take lanes or rows apart, the machine divides them alike: the same bits, by one thread or several."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.division import divide_everything
from helpers.threaded_models import FORWARD, RECURRENT
from neuromorph.runtime import instant, threadpool
from neuromorph.runtime.dispatch import in_one_thread
from neuromorph.runtime.instant import InstantKernels
from neuromorph.schedule import ByBatch, ByRows, InChunks

DROPS = RECURRENT.replace("[link", "(d, <dropout, 0.3>) [link")
NORMED = "/xavier,zero/ (input, 3) (a, 21, <tanh>) (n, <norm>) (g, <gain>) (output, 2, <sigmoid>, <mse>)"
WIDE = RECURRENT.replace("(a, 5,", "(b, 37, <tanh>) (a, 70,")
KINDS: dict[str, tuple[str, int, int, Any]] = {
    "uneven lanes of wide layers": (WIDE, 5, 2, ByBatch),
    "even lanes of wide layers": (WIDE, 6, 2, ByBatch),
    "even lanes": (RECURRENT, 8, 2, ByBatch),
    "uneven lanes": (RECURRENT, 7, 3, ByBatch),
    "masks": (DROPS, 7, 2, ByBatch),
    "chunks of one thread": (FORWARD, 300, 1, InChunks),
    "chunks of three threads": (FORWARD, 301, 3, InChunks),
    "rows": (NORMED, 40, 3, ByRows),
}


@pytest.fixture(autouse=True)
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    divide_everything(monkeypatch, 4)


def made(kind: str, tier: str, **options: Any) -> nm.Model:
    text, batch, threads, _ = KINDS[kind]
    given = {"bptt_steps": 4, "threads": threads, "optimizer": nm.Adam(), "clip_norm": 0.01, **options}
    return nm.build(nm.compile(text, batch, 0.05, tier=tier, **given), seed=1)


def trained(model: nm.Model) -> dict[str, Any]:
    """All numbers that a model has after some training, the last window of which is shorter."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(22, model.batch_size, 3)), rng.uniform(size=(22, model.batch_size, 2))
    weights = rng.uniform(size=(22, model.batch_size))
    losses = [model.train(x, y, 0), model.train(x, y, 0, sample_weight=weights, carry_state=True), *model.losses]
    gradients = {f"gradient of {name}": one for name, one in nm.gradients(model, x[:4], y[:4])[1].items()}
    return {**model.get_parameters(), **model.state, **model.optimizer_state, **gradients, "losses": np.array(losses)}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_as_the_models_own_kernels(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own, machine = made(kind, "compiled"), made(kind, "instant")
    assert isinstance(own.kernels.divided.division, KINDS[kind][3])
    with in_one_thread(threading.Event()):
        wanted = trained(own)
        assert_same(trained(machine), wanted)
    calls: list[int] = []
    together = instant.run_together

    def counted(run: Any, each: list[Any], alone: Any) -> Any:
        calls.append(len(each))
        return together(run, each, alone)

    monkeypatch.setattr(instant, "run_together", counted)
    monkeypatch.setattr(InstantKernels, "worth_waking", (1, 1))
    assert_same(trained(made(kind, "instant")), wanted)
    members = machine.kernels.plan.gradient_copies
    assert set(calls) == ({members} if members > 1 else set())


def test_a_loss_that_is_not_finite_ends_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InstantKernels, "worth_waking", (1, 1))
    found = []
    for tier in ("compiled", "instant"):
        model = made("uneven lanes", tier, optimizer="sgd", clip_norm=None)
        rng = np.random.default_rng(2)
        x, y = rng.normal(size=(22, 7, 3)), rng.uniform(size=(22, 7, 2))
        y[13, 5] = 3e38
        with pytest.raises(nm.TrainingDivergedError, match="sample 13"):
            model.train(x, y, 0)
        found.append({**model.get_parameters(), **model.state})
    assert_same(*found)


def test_one_thread_does_all_where_no_other_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InstantKernels, "worth_waking", (1, 1))
    wanted = trained(made("uneven lanes", "instant"))

    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threadpool, "_pools", {})
    monkeypatch.setattr(threading.Thread, "start", refused)
    assert_same(trained(made("uneven lanes", "instant")), wanted)
