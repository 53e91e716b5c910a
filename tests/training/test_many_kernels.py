"""Many models at once by compiled kernels, and while these take over from the machine: the bits of one by one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.division import divide_everything
from helpers.threaded_models import RECURRENT, data, digest, made
from helpers.threads import LIMIT
from neuromorph.runtime import background, kernels, tiers
from neuromorph.runtime.background import Request
from neuromorph.training import many

SEEDS = (1, 2, 3, 4)


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    """Two threads train, and each model's call waits for that of another one, so that both are at work."""
    both, train = threading.Barrier(2), many.loop.train

    def together(*given: Any, **options: Any) -> float:
        if threading.current_thread() is not threading.main_thread():
            both.wait(LIMIT)
        return train(*given, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(tiers.VARIABLE, "compiled")
        divide_everything(patch, 4)
        patch.setattr(kernels, "worth_waking", lambda *_: (0, 0))
        patch.setattr(many, "processors", lambda: 2)
        patch.setattr(many.loop, "train", together)
        yield


def own_data(models: list[nm.Model]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    pairs = [data(model, 40 + 4 * seed, seed) for seed, model in zip(SEEDS, models, strict=True)]
    return [inputs for inputs, _ in pairs], [expected for _, expected in pairs]


def one_by_one(models: list[nm.Model]) -> list[str]:
    for model, *given in zip(models, *own_data(models), strict=True):
        nm.train(model, *given, 0)
    return list(map(digest, models))


@pytest.mark.parametrize("kind", ["alone", "two"])
def test_compiled_kernels_give_the_bits_of_one_by_one(kind: str) -> None:
    """Also kernels for two threads, which one thread runs here."""
    found = [made(kind, seed) for seed in SEEDS]
    assert {model.tier for model in found} == {"compiled"}
    nm.train_many(found, *own_data(found))
    assert list(map(digest, found)) == one_by_one([made(kind, seed) for seed in SEEDS])


def test_compiled_fits_give_the_bits_of_one_by_one() -> None:
    options: dict[str, Any] = {"epochs": 2, "validation": 0.25, "callbacks": nm.EarlyStopping(patience=1)}
    found, wanted = ([made("two", seed) for seed in SEEDS] for _ in range(2))
    histories = nm.fit_many(found, *own_data(found), **options)
    for model, history, *given in zip(wanted, histories, *own_data(wanted), strict=True):
        assert nm.fit(model, *given, **options, progress=False).validation_loss == history.validation_loss
    assert list(map(digest, found)) == list(map(digest, wanted))


def test_kernels_take_over_while_many_models_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each model's before another piece of its training. The bits are those of its own kernels from the start."""
    wanted = one_by_one([made("alone", seed) for seed in SEEDS])
    nm.build(nm.compile(RECURRENT, 8, 0.05, tier="instant"))  # compiles the machine
    polls: Counter[int] = Counter()

    def poll(request: Request) -> bool:
        polls[request.number] += 1
        return polls[request.number] > 2 + request.number % 3

    monkeypatch.setenv(tiers.VARIABLE, "auto")
    monkeypatch.setattr(background, "request", Request)
    monkeypatch.setattr(Request, "poll", poll)
    monkeypatch.setattr(
        "neuromorph.training.loop.Pace.pieces",
        lambda self, size, capacity: [(0, 4), (4, 12), (12, 28), (28, size)],
    )
    with monkeypatch.context() as patch:
        patch.setattr(tiers.Kernels, "are_there", lambda self: False)
        found = [made("alone", seed) for seed in SEEDS]
    assert {model.tier for model in found} == {"instant"}
    nm.train_many(found, *own_data(found))
    assert {model.tier for model in found} == {"compiled"}
    assert sorted(set(polls.values())) == [3, 4, 5]
    assert list(map(digest, found)) == wanted
