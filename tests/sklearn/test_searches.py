"""The estimators inside scikit-learn: pipelines, searches, workers of joblib, tables with names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from scipy.sparse import csr_array
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import BaggingRegressor, VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neuromorph as nm
from neuromorph.sklearn import MDLClassifier, MDLRegressor, MDLSequenceClassifier

X, Y = load_iris(return_X_y=True)
OUTPUT = "(output, $outputs, <softmax>, <cross_entropy>)"
ONE = f"/xavier,zero/ (input, $inputs) (h, $hidden, <tanh>) {OUTPUT}"
TWO = f"/xavier,zero/ (input, $inputs) (h, $hidden, <tanh>) (h2, 8, <relu>) {OUTPUT}"


def classifier(**options: Any) -> MDLClassifier:
    given = {"mdl": ONE, "widths": {"hidden": 8}, "tier": "instant", "random_state": 0, "epochs": 15}
    return MDLClassifier(**{**given, **options})


def scaled(**options: Any) -> Any:
    return make_pipeline(StandardScaler(), classifier(**options))


def search() -> GridSearchCV:
    grid = {
        "mdlclassifier__mdl": [ONE, TWO],
        "mdlclassifier__widths": [{"hidden": 4}, {"hidden": 8}],
        "mdlclassifier__optimizer": ["adam", nm.RMSProp()],
    }
    return GridSearchCV(scaled(), grid, cv=3, error_score="raise")


@pytest.fixture(scope="module")
def alone() -> GridSearchCV:
    return search().fit(X, Y)


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_searches_give_the_same_in_workers_of_every_kind(backend: str, alone: GridSearchCV) -> None:
    with parallel_config(backend=backend, n_jobs=2):
        found = search().fit(X, Y)
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(found.predict_proba(X), alone.predict_proba(X))
    assert found.best_score_ > 0.9


def threads_of(_: int) -> int | None:
    return classifier(epochs=1).fit(X, Y).model_.options.threads


def test_a_worker_takes_one_thread() -> None:
    assert threads_of(0) is None
    assert Parallel(n_jobs=2, backend="threading")(delayed(threads_of)(number) for number in range(4)) == [1] * 4
    assert Parallel(n_jobs=1)(delayed(threads_of)(number) for number in range(2)) == [None] * 2


def test_pipelines_and_other_estimators_take_them() -> None:
    assert cross_val_score(scaled(epochs=40), X, Y).mean() > 0.9
    shares = cross_val_predict(scaled(), X, Y, method="predict_proba")
    assert shares.shape == (150, 3)
    calibrated = CalibratedClassifierCV(scaled(), cv=3).fit(X, Y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
    assert calibrated.score(X, Y) > 0.85
    voting = VotingClassifier([("one", scaled()), ("two", scaled(mdl=TWO))], voting="soft").fit(X, Y)
    assert voting.score(X, Y) > 0.85
    numbers, wanted = load_diabetes(return_X_y=True)
    bagging = BaggingRegressor(MDLRegressor(tier="instant", epochs=5), n_estimators=3, random_state=0)
    assert bagging.fit(numbers, wanted).score(numbers, wanted) > 0.3


@pytest.mark.parametrize("estimator", [classifier(), MDLSequenceClassifier(tier="instant")])
def test_sparse_inputs_are_refused(estimator: Any) -> None:
    with pytest.raises(TypeError, match="dense data is required"):
        estimator.fit(csr_array(X), Y)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_names_of_features_are_kept(library: str) -> None:
    tables = pytest.importorskip(library)
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    table = tables.DataFrame(dict(zip(names, X.T, strict=True)))
    labels = tables.Series(np.array(["a", "b", "c"])[Y])
    found = make_pipeline(StandardScaler().set_output(transform=library), classifier(epochs=30)).fit(table, labels)
    assert found[-1].feature_names_in_.tolist() == names
    assert found.score(table, labels) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        found[-1].predict(table[names[::-1]])
    assert MDLSequenceClassifier(tier="instant", epochs=1).fit(table, Y).feature_names_in_.tolist() == names
