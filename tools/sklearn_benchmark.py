"""Compares the estimators of neuromorph.sklearn with scikit-learn's perceptrons of the same size: scores and times.

    python tools/sklearn_benchmark.py                     # five data sets, ten folds, about a minute
    python tools/sklearn_benchmark.py --data iris --folds 3

Both have one hidden layer of 100 units with relu, and the defaults of their classes otherwise. In each fold both learn
from the same data, one after the other, and which is first changes. Inputs are scaled for both, and so are the numbers
that a regressor learns. Both run in one thread. Kernels are compiled before; the time is that of ``fit`` alone.
Scores are the share of right answers, or R² for diabetes.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from neuromorph.sklearn import MDLClassifier, MDLRegressor

DATA = {
    "iris": datasets.load_iris,
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
}
NUMBERS = {"diabetes"}  # the data sets that a regressor learns
FOLDS = 10
Fold = tuple[Any, Any, Any, Any]  # what is learnt, and what is tested: inputs and answers of each


@dataclass
class Results:
    """The scores and the times in milliseconds of all folds."""

    scores: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def add(self, estimator: Any, fold: Fold) -> None:
        """Fit an estimator, and note its time and its score."""
        inputs, answers, test_inputs, test_answers = fold
        started = time.perf_counter()
        estimator.fit(inputs, answers)
        self.times.append(1e3 * (time.perf_counter() - started))
        self.scores.append(float(estimator.score(test_inputs, test_answers)))

    @property
    def score(self) -> float:
        """The median score."""
        return statistics.median(self.scores)

    @property
    def time(self) -> float:
        """The median time."""
        return statistics.median(self.times)


def folds(name: str, count: int) -> Iterator[Fold]:
    """The folds of a data set, scaled by what is learnt."""
    inputs, answers = DATA[name](return_X_y=True)
    kind = KFold if name in NUMBERS else StratifiedKFold
    for learnt, tested in kind(count, shuffle=True, random_state=0).split(inputs, answers):
        scaler = StandardScaler().fit(inputs[learnt])
        mean, scale = (answers[learnt].mean(), answers[learnt].std()) if name in NUMBERS else (0, 1)
        scaled = (answers - mean) / scale if name in NUMBERS else answers
        yield scaler.transform(inputs[learnt]), scaled[learnt], scaler.transform(inputs[tested]), scaled[tested]


def compared(name: str, count: int, dtype: str | None, tier: str, runs: int | None = None) -> tuple[Results, Results]:
    """The results of scikit-learn's perceptron and of ours. count: of folds; runs: of those that are used."""
    theirs, ours = Results(), Results()
    other, own = (MLPRegressor, MDLRegressor) if name in NUMBERS else (MLPClassifier, MDLClassifier)
    for number, fold in enumerate(islice(folds(name, count), runs)):
        if not number:
            warm = own(dtype=dtype, tier=tier, threads=1, epochs=1).fit(*fold[:2])
            if tier == "auto":
                warm.model_.wait_compiled()
        pairs = [
            (theirs, other(random_state=number)),
            (ours, own(random_state=number, dtype=dtype, tier=tier, threads=1)),
        ]
        for results, estimator in pairs if number % 2 else reversed(pairs):
            results.add(estimator, fold)
    return theirs, ours


def row(name: str, theirs: Results, ours: Results) -> str:
    """A row of the table."""
    return (
        f"| {name} | {theirs.score:.3f} | {ours.score:.3f} | {theirs.time:.1f} | {ours.time:.1f} | "
        f"{theirs.time / ours.time:.1f} |"
    )


HEAD = (
    "| data | score of scikit-learn | of neuromorph | ms of scikit-learn | of neuromorph | times faster |\n"
    "|---|---|---|---|---|---|"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), help="the data sets")
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--runs", type=int, help="of how many folds; by default all")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="by default that of the data, float64")
    parser.add_argument("--tier", choices=("auto", "compiled", "instant"), default="auto")
    given = parser.parse_args(arguments)
    print(HEAD)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name in given.data:
            print(row(name, *compared(name, given.folds, given.dtype, given.tier, given.runs)), flush=True)


if __name__ == "__main__":
    main()
