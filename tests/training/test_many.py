"""Many models at once: the bits of one after the other, each with its own data and callbacks."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.training import many

TEXTS = (
    "/xavier,zero/ (i, 2) {m, h, concatenate, 1} (h, 3, <tanh>) (out, 2, <linear>, <mse>)",
    "/he,zero/ (i, 2) (h, 5, <relu>) (d, <dropout, 0.2>) (out, 2, <linear>, <mse>)",
)
RNG = np.random.default_rng(1)
INPUTS, EXPECTED = RNG.normal(size=(24, 3, 2)), RNG.uniform(size=(24, 3, 2))
pytestmark = pytest.mark.usefixtures("interpreted")


def models(count: int = 4, **options: Any) -> list[nm.Model]:
    return [nm.build(nm.compile(TEXTS[n % 2], 3, 0.1, bptt_steps=4, **options), seed=n) for n in range(count)]


def assert_same(found: list[nm.Model], wanted: list[nm.Model]) -> None:
    for one, other in zip(found, wanted, strict=True):
        parameters = other.get_parameters()
        for name, value in one.get_parameters().items():
            np.testing.assert_array_equal(value, parameters[name], err_msg=name)
        np.testing.assert_array_equal(one.losses, other.losses)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_are_those_of_one_after_the_other(threads: int) -> None:
    found, wanted = models(threads=threads), models(threads=threads)
    losses = nm.train_many(found, INPUTS, EXPECTED)
    assert losses == [nm.train(model, INPUTS, EXPECTED, 0) for model in wanted]
    assert_same(found, wanted)


def test_each_model_may_have_its_own_data() -> None:
    found, wanted = models(2), models(2)
    inputs, expected = [INPUTS[:8], INPUTS[8:]], [EXPECTED[:8], EXPECTED[8:]]
    losses = nm.train_many(found, inputs, expected)
    assert losses == [nm.train(*one, 0) for one in zip(wanted, inputs, expected, strict=True)]
    assert_same(found, wanted)


def test_ragged_sequences_are_those_of_all_models() -> None:
    """Also where there are as many sequences as models."""
    series, targets = [INPUTS[:n, 0] for n in (5, 9)], [EXPECTED[:n, 0] for n in (5, 9)]
    found, wanted = models(2), models(2)
    losses = nm.train_many(found, series, targets, layout="NSW")
    assert losses == [nm.train(model, series, targets, 0, layout="NSW") for model in wanted]
    own = nm.train_many(models(2), [series, series], [targets, targets], layout="NSW")
    assert own == losses


def test_fits_have_validation_and_callbacks_of_their_own() -> None:
    found, wanted = models(), models()
    stopping = nm.EarlyStopping(patience=1)
    options: dict[str, Any] = {"epochs": 6, "validation": (INPUTS[:4], EXPECTED[:4]), "seed": 3}
    histories = nm.fit_many(found, INPUTS, EXPECTED, callbacks=stopping, **options)
    for history, model in zip(histories, wanted, strict=True):
        own = nm.fit(model, INPUTS, EXPECTED, callbacks=nm.EarlyStopping(patience=1), progress=False, **options)
        assert history.loss == own.loss
        assert history.validation_loss == own.validation_loss
    assert_same(found, wanted)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_error_comes_when_all_others_are_done() -> None:
    found, wanted = models(3), models(3)
    found[1].learning_rate = 1e30
    with pytest.raises(nm.TrainingDivergedError) as caught:
        nm.train_many(found, INPUTS * 1e3, EXPECTED)
    assert caught.value.__notes__ == ["It was models[1]."]
    losses = caught.value.results  # type: ignore[attr-defined]
    assert losses[1] is None
    for number in (0, 2):
        assert nm.train(wanted[number], INPUTS * 1e3, EXPECTED, 0) == losses[number]
    assert_same(found[::2], wanted[::2])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_all_models_that_fail_are_named() -> None:
    found, wanted = models(4), models(4)
    found[1].learning_rate = found[3].learning_rate = 1e30
    with pytest.raises(nm.TrainingDivergedError) as caught:
        nm.fit_many(found, INPUTS * 1e3, EXPECTED, epochs=2)
    first, second = caught.value.__notes__
    assert first == "It was models[1]."
    assert second.startswith("models[3] failed too: TrainingDivergedError: training diverged: ")
    histories = caught.value.results  # type: ignore[attr-defined]
    for number in (0, 2):
        own = nm.fit(wanted[number], INPUTS * 1e3, EXPECTED, epochs=2, progress=False)
        assert histories[number].loss == own.loss
    assert histories[1] is histories[3] is None
    assert_same(found[::2], wanted[::2])


def test_what_can_not_be_trained_together() -> None:
    one = models(1)[0]
    with pytest.raises(TypeError, match="models must be a list of models, not one model"):
        nm.train_many(one, INPUTS, EXPECTED)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a model is in models more than once"):
        nm.train_many([one, one], INPUTS, EXPECTED)
    with pytest.raises(TypeError, match=r"models\[1\] must be a model, not 7"):
        nm.train_many([one, 7], INPUTS, EXPECTED)  # type: ignore[list-item]
    with pytest.raises(nm.ModelStateError, match="not built") as caught:
        nm.train_many([one, nm.compile(TEXTS[0], 3, 0.1)], INPUTS, EXPECTED)
    assert caught.value.__notes__ == ["It was models[1]."]
    assert nm.train_many([], INPUTS, EXPECTED) == []


def test_ctrl_c_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait of the calling thread is interrupted while the first models are at work."""
    begun = threading.Event()

    def interrupted(futures: Any, timeout: Any = None) -> Any:
        begun.wait(10)
        raise KeyboardInterrupt

    found = models(4)
    with monkeypatch.context() as patched:
        patched.setattr(many, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            nm.fit_many(found, INPUTS, EXPECTED, epochs=100_000, callbacks=Begun(begun))
    assert caught.value.results == [None] * 4  # type: ignore[attr-defined]
    nm.train_many(found, INPUTS, EXPECTED)  # they can be trained on


def test_a_second_ctrl_c_ends_all_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while the threads are at their last windows. They end all the same, and the models can be trained on."""
    begun, shutdown = threading.Event(), many.ThreadPoolExecutor.shutdown
    pools: list[Any] = []

    def interrupted(*_: Any) -> None:
        begun.wait(10)
        raise KeyboardInterrupt

    def interrupted_too(pool: Any, wait: bool = True) -> None:
        pools.append(pool)
        raise KeyboardInterrupt

    found = models(4)
    with monkeypatch.context() as patched:
        patched.setattr(many, "wait", interrupted)
        patched.setattr(many.ThreadPoolExecutor, "shutdown", interrupted_too)
        with pytest.raises(KeyboardInterrupt):
            nm.fit_many(found, INPUTS, EXPECTED, epochs=100_000, callbacks=Begun(begun))
    shutdown(pools[0], wait=True)  # would take minutes if they did not end
    nm.train_many(found, INPUTS, EXPECTED)


class Begun(nm.Callback):
    """Tells that an epoch has ended. A copy tells the same event."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __deepcopy__(self, memo: Any) -> Begun:
        return self

    def after_epoch(self, run: Any) -> None:
        self.event.set()
