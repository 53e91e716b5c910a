"""A training that goes through rungs gives the bits of one in one go, whatever its state consists of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph import storage
from neuromorph.runtime.background import Request
from neuromorph.sweeps import training
from neuromorph.sweeps.scores import checked_score
from neuromorph.sweeps.training import Task, Trained, train

RNG = np.random.default_rng(0)
SERIES = {"inputs": RNG.normal(size=(12, 6, 2)), "expected": RNG.normal(size=(12, 6, 1)), "layout": "NSW"}
LONG = {"inputs": RNG.normal(size=(40, 4, 2)), "expected": RNG.normal(size=(40, 4, 1)), "carry_state": True}
LOOP = "/xavier,zero/ (input, 2) {seen, h, concatenate, 1} (h, 4, <tanh>) (output, 1, <linear>, <mse>)"
DROPS = LOOP.replace("(output", "(d, <dropout, 0.3>) (output")
USUAL = {"batch_size": 4, "learning_rate": 0.05, "shuffle": True, "validation": 0.25}
BUDGET = 7


def trained(run: nm.Run, data: Any, *rungs: int, score: Any = "loss") -> Trained:
    """A run after its last rung; each rung goes on from the one before."""
    measure, checkpoint, found = checked_score(score, None), None, None
    for until in rungs:
        found = train(data, Task(run, measure, until, checkpoint, keeps_model=True))
        assert found.error == "", found.traceback
        checkpoint = found.checkpoint
        if checkpoint is None:
            break
    assert found is not None
    return found


def without_seconds(history: dict[str, Any] | None) -> dict[str, Any]:
    assert history is not None
    return {name: value for name, value in history.items() if name != "seconds"}


def contents(bytes_: bytes | None) -> dict[str, Any]:
    """All that a saved model has, in a form that can be compared."""
    assert bytes_ is not None
    kept = storage.from_bytes(bytes_, nm.Model, name="a model").__getstate__()
    kept["history"] = without_seconds(kept["history"].record())
    for group in ("parameters", "state", "optimizer_state"):
        kept[group] = {name: array.tobytes() for name, array in kept[group].items()}
    return kept


@pytest.mark.parametrize(
    ("text", "more", "data"),
    [
        (LOOP, {"optimizer": nm.Adam(betas=(0.8, 0.99)), "metrics": "mae"}, SERIES),
        (LOOP, {"optimizer": nm.SGD(momentum=0.9), "callbacks": nm.WarmupCosine(0.1, 3, 12)}, SERIES),
        (LOOP, {"optimizer": "rmsprop", "callbacks": [nm.StepDecay(0.1, 4)], "clip_norm": 0.1}, SERIES),
        (LOOP, {"callbacks": [nm.ReduceOnPlateau(1, factor=0.5, min_delta=0.1), nm.EarlyStopping(5)]}, SERIES),
        (LOOP, {"callbacks": [nm.LearningRateSchedule(nm.StepDecay(0.2, 2), per="epoch")], "frozen": "h"}, SERIES),
        (DROPS, {"optimizer": "adamw", "dtype": "float64"}, SERIES),
        (LOOP, {"shuffle": False, "bptt_steps": 3, "optimizer": "adam"}, LONG),
    ],
)
def test_rungs_give_the_bits_of_one_go(text: str, more: dict[str, Any], data: dict[str, Any]) -> None:
    run = nm.Run(text, {**USUAL, **more}, seed=3, budget=BUDGET)
    at_once, in_parts = trained(run, data, BUDGET), trained(run, data, 1, 2, 5, BUDGET)
    assert (at_once.checkpoint, in_parts.checkpoint) == (None, None)
    assert in_parts.score == at_once.score
    assert without_seconds(in_parts.history) == without_seconds(at_once.history)
    assert contents(in_parts.model) == contents(at_once.model)
    assert len(nm.History.from_record(at_once.history)) == BUDGET


@pytest.mark.parametrize("rungs", [(2, 20), (3, 4, 20), (1, 10, 20)])
def test_a_run_that_stops_early_is_complete_at_whatever_rung(rungs: tuple[int, ...]) -> None:
    """Its best parameters may be those of an epoch before the last rung that it has passed."""
    arguments = {**USUAL, "learning_rate": 0.5, "callbacks": nm.EarlyStopping(3, min_delta=0.05)}
    run = nm.Run(LOOP, arguments, seed=3, budget=20)
    at_once, in_parts = trained(run, SERIES, 20), trained(run, SERIES, *rungs)
    assert at_once.history is not None
    assert at_once.history["ended"] == "early stopping"
    assert len(at_once.history["loss"]) == 10
    assert without_seconds(in_parts.history) == without_seconds(at_once.history)
    assert contents(in_parts.model) == contents(at_once.model)
    assert in_parts.score == at_once.score


def test_only_a_complete_run_gives_a_model_and_only_another_one_a_checkpoint() -> None:
    run, measure = nm.Run(LOOP, USUAL, budget=2), checked_score("val_mae", None)
    part = train(SERIES, Task(run, measure, 1, keeps_model=True))
    whole = train(SERIES, Task(run, measure, 2, part.checkpoint, keeps_model=False))
    assert (part.model, whole.model, whole.checkpoint) == (None, None, None)
    assert part.checkpoint is not None
    assert whole.history is not None
    assert whole.score == whole.history["metrics"]["validation_mae"][-1]  # recorded though the run does not ask for it


def half_of_weights(model: nm.Model, data: Any) -> float:
    assert set(data) == {"inputs", "expected", "layout"}
    return float(sum(array.sum() for array in model.get_parameters().values()) / 2)


def test_a_function_scores_the_trained_model_and_the_data() -> None:
    found = trained(nm.Run(LOOP, USUAL, budget=1), SERIES, 1, score=half_of_weights)
    model = storage.from_bytes(found.model or b"", nm.Model, name="a model")
    assert found.score == half_of_weights(model, SERIES)


@pytest.mark.parametrize(
    ("run", "score", "error"),
    [
        (nm.Run(LOOP, {**USUAL, "learning_rate": 1e30}, budget=3), "loss", "TrainingDivergedError: "),
        (nm.Run(LOOP, {**USUAL, "layout": "NW"}, budget=3), "loss", "DataError: "),
        (nm.Run("/xavier,zero/ (input, 2", USUAL, budget=3), "loss", "neuromorph.errors.MDLSyntaxError: "),
        (nm.Run(LOOP, USUAL, budget=1), lambda model, data: "good", "TypeError: the score .* must return a number"),
        (nm.Run(LOOP, USUAL, budget=1), lambda model, data: np.nan, "ValueError: the score .* is nan"),
    ],
)
def test_what_fails_is_a_result_with_its_error(run: nm.Run, score: Any, error: str) -> None:
    data = {**SERIES, "layout": run.arguments.get("layout", "NSW")}
    found = train(data, Task(run, checked_score(score, None), run.budget or 0))
    assert found.score is None
    assert found.error
    assert re.search(error, found.error), found.error
    assert found.traceback.startswith("Traceback")


def test_a_failed_run_keeps_the_history_of_its_epochs() -> None:
    """Those before the last rung too."""
    run = nm.Run(LOOP, {**USUAL, "callbacks": nm.LearningRateSchedule(nm.StepDecay(0.0, 1))}, budget=4)
    measure = checked_score("loss", None)
    part = train(SERIES, Task(run, measure, 2))
    model, states = training.restored(part.checkpoint or b"", asks=False)
    model.set_parameters(dict.fromkeys(model.get_parameters(), 1e38))
    broken = training.checkpoint_of(model, [])
    found = train(SERIES, Task(run.replace(arguments={**USUAL}), measure, 4, broken))
    assert states == [{}]
    assert "TrainingDivergedError" in found.error
    assert found.history is not None
    assert found.history["loss"] == (part.history or {})["loss"]


def test_a_long_training_has_kernels_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it says which tier it wants; a short one has none compiled."""
    asked: list[Request] = []

    def request_for(text: str, own: Any) -> Request:
        asked.append(Request({}, text))
        asked[-1].looked = float("inf")
        return asked[-1]

    monkeypatch.setenv("NEUROMORPH_TIER", "auto")
    monkeypatch.setattr("neuromorph.runtime.running.request_for", request_for)
    text = LOOP.replace("4, <tanh>", "3, <tanh>")  # whose kernels are in no cache
    for patience, tier, wanted in [(60.0, {}, 0), (0.0, {"tier": "instant"}, 0), (0.0, {}, 1)]:
        monkeypatch.setattr(training, "PATIENCE", patience)
        trained(nm.Run(text, {**USUAL, **tier}, budget=1), SERIES, 1)
        assert len(asked) == wanted


def test_a_corrupt_checkpoint_is_an_error() -> None:
    found = train(SERIES, Task(nm.Run(LOOP, USUAL, budget=2), checked_score("loss", None), 2, b"nothing"))
    assert "StorageError: a checkpoint of a run is corrupt" in found.error
