"""Optuna chooses what to train next, and which runs stop early; the runs are trained by ``nm.sweep``.

Its sampler (TPE) suggests the width, the learning rate and the optimizer of a batch of runs. Each batch goes through
rungs of epochs, and Optuna's pruner says at each rung which of its runs go on. With --store, a search that was broken
off finds the runs that it suggests again.

    pip install -e . optuna
    python examples/search/optuna_search.py --batches 5 --size 8
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import optuna

import neuromorph as nm

TEXT = """
/xavier,zero/
(input, 2)
{{seen, h, concatenate}}
(h, {width}, <tanh>)
(output, 1, <linear>, <mse>)
"""
RUNGS = (2, 6, 18)  # epochs


def adding_problem(count: int = 256, steps: int = 12, seed: int = 0) -> dict[str, object]:
    """Sequences of numbers, two of which are marked, and the sums of these two (Hochreiter & Schmidhuber 1997)."""
    rng = np.random.default_rng(seed)
    numbers, marks = rng.random((count, steps)), np.zeros((count, steps))
    places = rng.random((count, steps)).argsort(axis=1)[:, :2]
    np.put_along_axis(marks, places, 1.0, axis=1)
    inputs = np.stack([numbers, marks], axis=-1)
    return {"inputs": inputs, "expected": (numbers * marks).sum(axis=1, keepdims=True), "layout": "NSW"}


def suggested(trial: optuna.Trial) -> nm.Run:
    """The run that a trial suggests."""
    arguments = {
        "batch_size": 16,
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 0.3, log=True),
        "optimizer": trial.suggest_categorical("optimizer", ["sgd", "rmsprop", "adam"]),
        "clip_norm": 1.0,
        "shuffle": True,
    }
    text = TEXT.format(width=trial.suggest_int("width", 2, 12))
    return nm.Run(text, arguments, seed=1, name=f"trial {trial.number}")


def not_pruned(trials: dict[str | None, optuna.Trial], results: list[nm.RunResult]) -> list[nm.RunResult]:
    """The runs that the pruner lets go on from a rung. trials: by the names of their runs."""
    for one in results:
        trials[one.run.name].report(one.score or 0.0, one.epochs)
    return [one for one in results if not trials[one.run.name].should_prune()]


def search(study: optuna.Study, data: dict[str, object], batches: int, size: int, **options: object) -> None:
    """Have the study suggest batches of runs, train each batch, and tell the study what came of it."""
    for _ in range(batches):
        trials = [study.ask() for _ in range(size)]
        runs = [suggested(trial) for trial in trials]
        going_on = partial(not_pruned, {run.name: trial for run, trial in zip(runs, trials, strict=True)})
        found = nm.sweep(runs, {**data, "validation": 0.25}, rungs=RUNGS, keep=going_on, **options)  # type: ignore[arg-type]
        for trial, one in zip(trials, found, strict=True):
            if one.state == "done":
                study.tell(trial, one.score)
            else:
                state = optuna.trial.TrialState.FAIL if one.state == "failed" else optuna.trial.TrialState.PRUNED
                study.tell(trial, state=state)


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Search with Optuna's sampler and pruner.")
    parser.add_argument("--batches", type=int, default=5, help="batches of runs (default 5)")
    parser.add_argument("--size", type=int, default=8, help="runs of a batch (default 8)")
    parser.add_argument("--workers", type=int, default=None, help="processes (default one for each processor)")
    parser.add_argument("--store", default=None, help="the file of the results (default none)")
    chosen = parser.parse_args(given)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0), pruner=optuna.pruners.MedianPruner(n_startup_trials=0)
    )
    search(
        study, adding_problem(), chosen.batches, chosen.size, workers=chosen.workers, store=chosen.store, verbosity=0
    )
    states = [trial.state.name for trial in study.trials]
    print(f"{len(states)} trials: {states.count('COMPLETE')} complete, {states.count('PRUNED')} pruned")
    print(f"the best validation loss is {study.best_value:.5f}, with {study.best_params}")


if __name__ == "__main__":
    main()
