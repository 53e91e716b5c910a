"""``Run``: what it takes, that it can be written to a file, and when two runs are the same."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm

TEXT = "/xavier,zero/ (input, 2) (output, 1, <tanh>, <mse>)"
FULL = {
    "batch_size": 4, "learning_rate": 0.1, "optimizer": nm.AdamW(betas=(0.8, 0.9)), "bptt_steps": 3, "clip_norm": 1,
    "dtype": "float64", "threads": 2, "frozen": ("h.*",), "tier": "instant", "validation": 0.2, "shuffle": True,
    "callbacks": [
        nm.EarlyStopping(3, larger=False), nm.ReduceOnPlateau(2, factor=0.5), nm.WarmupCosine(0.1, 2, 9),
        nm.LearningRateSchedule(nm.StepDecay(0.1, 4), per="epoch"),
    ],
    "metrics": ["mae", "accuracy"], "carry_state": True, "layout": "NSW", "class_weight": {0: 1, 1: 2.5},
    "missing": "skip",
}  # fmt: skip


def test_a_run_is_the_same_after_json_and_pickle(tmp_path: Path) -> None:
    (tmp_path / "net.mdl").write_text(TEXT)
    run = nm.Run(tmp_path / "net.mdl", FULL, seed=3, budget=9, name="the first")
    again = nm.Run.from_record(json.loads(json.dumps(run.record())))
    assert again.record() == run.record() == pickle.loads(pickle.dumps(run)).record()
    assert again == run
    assert len({again, run}) == 1
    assert run.mdl == TEXT
    assert run.arguments["optimizer"] == {"name": "AdamW", "betas": [0.8, 0.9], "eps": 1e-08, "weight_decay": 0.01}
    assert repr(run) == "<neuromorph.Run: the first, seed 3, budget 9>"
    assert repr(nm.Run(TEXT)) == "<neuromorph.Run: /xavier,zero/ (input, 2) (output, 1, <ta…, seed 0>"


def test_a_run_cant_be_changed() -> None:
    run = nm.Run(TEXT, FULL)
    run.arguments["batch_size"] = 5
    assert run.arguments["batch_size"] == 4
    with pytest.raises(AttributeError, match=r"run\.replace\(seed=…\) makes another one"):
        run.seed = 2
    other = run.replace(seed=2, budget=3)
    assert (other.seed, other.budget, other.arguments) == (2, 3, run.arguments)
    with pytest.raises(TypeError, match="a run has no field 'epochs', but mdl, arguments, seed, budget, name"):
        run.replace(epochs=3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"optimizer": "sgd"}, {"optimizer": nm.SGD()}),
        ({"optimizer": "adam"}, {"optimizer": {"name": "Adam", "eps": 1e-8}}),
        ({}, {"optimizer": "sgd", "shuffle": False, "threads": 1, "metrics": (), "callbacks": [], "clip_norm": None}),
        ({"tier": "instant"}, {"tier": "compiled"}),
        ({"learning_rate": 1}, {"learning_rate": np.float64(1.0)}),
        ({"batch_size": np.int64(3)}, {"batch_size": 3}),
        ({"metrics": "mae"}, {"metrics": ["mae"]}),
        ({"callbacks": nm.StepDecay(0.1, 3)}, {"callbacks": [{"name": "StepDecay", "rate": 0.1, "every": 3}]}),
        ({"class_weight": {0: 1, 1: 2}}, {"class_weight": {"1": 2.0, "0": 1.0}}),
    ],
)
def test_equal_runs_have_one_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert nm.Run(TEXT, one, name="a").key == nm.Run(TEXT, other, name="b").key


def test_what_decides_the_result_decides_the_key() -> None:
    base = nm.Run(TEXT, {"batch_size": 4}, budget=3)
    others = [
        base.replace(seed=1), base.replace(budget=4), base.replace(mdl=TEXT + " "), nm.Run(TEXT, budget=3),
        base.replace(arguments={"batch_size": 4, "optimizer": nm.SGD(momentum=0.5)}),
        base.replace(arguments={"batch_size": 4, "threads": 2}),
        base.replace(arguments={"batch_size": 4, "threads": 2, "tier": "instant"}),
        base.replace(arguments={"batch_size": 4, "callbacks": nm.StepDecay(0.1, 3)}),
        base.replace(arguments={"batch_size": 4, "callbacks": nm.StepDecay(0.1, 4)}),
    ]  # fmt: skip
    assert len({run.key for run in [base, *others]}) == 1 + len(others)
    assert base.key == "1401f96a837a4321f3447758262aa5f9", "a key stays the same, or stores lose their results"


class Own(nm.Callback):
    """A callback of the user's."""


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            {"bach_size": 4},
            "arguments has 'bach_size', but may have batch_size, .*; did you mean 'batch_size'",
        ),
        ({"epochs": 4}, "arguments can't have 'epochs': the number of epochs is the run's budget"),
        ({"seed": 4}, "arguments can't have 'seed': the seed of parameters and orders is the run's own"),
        ({"inputs": 4}, "arguments can't have 'inputs': the data are those of the sweep"),
        ({"optimizer": "adm"}, "optimizer must be one of SGD, .*, not 'adm'; did you mean 'adam'"),
        (
            {"optimizer": {"name": "adam", "beta": 1}},
            "optimizer 'adam' has no number 'beta', but betas, eps",
        ),
        ({"optimizer": {"name": "adam", "eps": 0}}, "eps must be at least 1e-30"),
        ({"dtype": np.float32}, "dtype must be one of float32, float64, not <class 'numpy.float32'>"),
        ({"optimizer": 3}, "optimizer must be an object or a table"),
        ({"callbacks": Own()}, "callbacks of a run must be of EarlyStopping, .*, not .*; the sweep saves models"),
        ({"callbacks": nm.LearningRateSchedule(lambda epoch: 0.1)}, "needs a schedule that can be written to a file"),
        ({"callbacks": [{"name": "StepDecay"}]}, "callbacks 'StepDecay': .*missing"),
        ({"callbacks": "StepDecay"}, "callbacks must be a list, not 'StepDecay'"),
        ({"metrics": [abs]}, "metrics of a run must be names, not <built-in function abs>.*score of the sweep"),
        ({"validation": (1, 2)}, "validation of a run must be a fraction such as 0.2; arrays belong to the data"),
        ({"class_weight": 3}, "class_weight must be a dict"),
        ({"learning_rate": np.nan}, "learning_rate must be a finite number, not nan"),
        ({"learning_rate": [object()]}, "learning_rate must be a number or a text"),
        (3, "arguments must be a dict of arguments of compile and fit, not 3"),
    ],
)
def test_wrong_arguments_are_errors_that_name_them(arguments: Any, error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        nm.Run(TEXT, arguments)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"budget": 0}, "budget must be at least 1, not 0"),
        ({"budget": 2.5}, "budget must be a whole number, not 2.5"),
        ({"name": 3}, "name must be a text or None, not 3"),
    ],
)
def test_wrong_fields_are_errors(given: dict[str, Any], error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        nm.Run(TEXT, **given)
    with pytest.raises(TypeError, match="mdl must be a text"):
        nm.Run(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a run is a table of mdl, arguments, seed, budget, name, not {'seed': 1}"):
        nm.Run.from_record({"seed": 1})
