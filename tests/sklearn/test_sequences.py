"""The estimators for sequences: arrays, tables and lists of any lengths; one answer a sequence or one a step."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_predict

import neuromorph as nm
from neuromorph.sklearn import MDLSequenceClassifier, MDLSequenceRegressor

RNG = np.random.default_rng(0)
BODY = "/xavier,zero/ (input, $inputs) {both, before, concatenate} (h, $hidden, <tanh>) [link, [before,]]"
CLASSES = f"{BODY} (output, $outputs, <softmax>, <cross_entropy>)"
NUMBERS = f"{BODY} (output, $outputs, <linear>, <mse>)"
LENGTHS = RNG.integers(3, 8, 48)
RAGGED = [RNG.normal(size=(steps, 2)) + 2.0 * (number % 3 - 1) for number, steps in enumerate(LENGTHS)]
LABELS = [["low", "middle", "high"][number % 3] for number in range(48)]
SUMS = np.array([one.mean() for one in RAGGED])
WHOLE = np.stack([np.resize(one, (5, 2)) for one in RAGGED])


def classifier(mdl: Any = CLASSES, **options: Any) -> MDLSequenceClassifier:
    given = {"tier": "instant", "random_state": 0, "epochs": 40, "batch_size": 16, "widths": {"hidden": 8}}
    return MDLSequenceClassifier(mdl, **{**given, **options})


def regressor(mdl: Any = NUMBERS, **options: Any) -> MDLSequenceRegressor:
    given = {"tier": "instant", "random_state": 0, "epochs": 40, "batch_size": 16, "widths": {"hidden": 8}}
    return MDLSequenceRegressor(mdl, **{**given, **options})


def objects(items: list[Any]) -> Any:
    found = np.empty(len(items), object)
    found[:] = items
    return found


# One answer a sequence ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [RAGGED, tuple(RAGGED), objects(RAGGED), [one.tolist() for one in RAGGED], WHOLE])
def test_each_sequence_has_an_answer(given: Any) -> None:
    found = classifier().fit(given, LABELS)
    assert found.n_features_in_ == found.model_.input_width == 2
    assert found.model_.layout == "NSW"
    assert found.predict(given).shape == (48,)
    assert found.score(given, LABELS) > 0.9
    shares = found.predict_proba(given)
    assert shares.shape == (48, 3)
    np.testing.assert_array_equal(found.classes_[shares.argmax(axis=1)], found.predict(given))


def test_the_answer_is_that_of_the_last_step() -> None:
    found = classifier(epochs=3).fit(RAGGED, LABELS)
    alone = [nm.predict(found.model_, one)[-1] for one in RAGGED]
    np.testing.assert_allclose(found.predict_proba(RAGGED), alone, rtol=1e-12)
    short = [one[:2] for one in RAGGED]  # other lengths than in training
    assert found.predict(short).shape == (48,)


def test_a_list_of_equal_lengths_is_what_an_array_is() -> None:
    one, two = classifier(epochs=3).fit(WHOLE, LABELS), classifier(epochs=3).fit(list(WHOLE), LABELS)
    np.testing.assert_array_equal(one.predict_proba(WHOLE), two.predict_proba(WHOLE))
    np.testing.assert_array_equal(one.predict_proba(list(WHOLE)), two.predict_proba(WHOLE))


def test_a_table_is_sequences_of_single_numbers() -> None:
    table = WHOLE[..., 0]
    one = classifier(epochs=3).fit(table, LABELS)
    assert one.n_features_in_ == 5
    assert one.model_.input_width == 1
    two = classifier(epochs=3).fit(table[..., np.newaxis], LABELS)
    assert two.n_features_in_ == 1
    for given in (table, table[..., np.newaxis], list(table), [row[:, np.newaxis] for row in table]):
        np.testing.assert_array_equal(one.predict_proba(given), two.predict_proba(table))
    with pytest.raises(ValueError, match="4 features, but MDLSequenceClassifier is expecting 5"):
        one.predict(table[:, :4])
    assert one.predict(table[:, :4, np.newaxis]).shape == two.predict(table[:, :4]).shape == (48,)
    ragged = [row[: 2 + number % 4] for number, row in enumerate(table)]
    assert classifier(epochs=1).fit(ragged, LABELS).model_.input_width == 1


def test_labels_may_be_tuples_and_other_values() -> None:
    labels = [(name, 1) for name in LABELS]
    found = classifier().fit(RAGGED, labels)
    assert found.score(RAGGED, labels) > 0.9
    assert found.predict(RAGGED)[0] in labels


@pytest.mark.parametrize("width", [0, 1, 2])
def test_numbers_of_sequences(width: int) -> None:
    y = SUMS if width == 0 else np.stack([SUMS] * width, axis=1)
    found = regressor().fit(RAGGED, y)
    assert found.predict(RAGGED).shape == y.shape
    assert found.score(RAGGED, y) > 0.8


def test_without_a_text_there_is_one() -> None:
    found = classifier(None, widths=None, epochs=1).fit(RAGGED, LABELS)
    assert "(hidden, 32, <gru>)" in found.model_.text
    restored = regressor(None, epochs=30).fit(RAGGED, 1000.0 * SUMS + 500.0)
    assert restored.score(RAGGED, 1000.0 * SUMS + 500.0) > 0.8


# An answer for every step ---------------------------------------------------------------------------------------------

STEPS = [np.where(one[:, 0] > 0.0, "up", "down") for one in RAGGED]


@pytest.mark.parametrize("labels", [STEPS, [row.tolist() for row in STEPS], objects(STEPS)])
def test_each_step_of_a_list_has_a_label(labels: Any) -> None:
    found = classifier().fit(RAGGED, labels)
    predicted = found.predict(RAGGED)
    assert [len(row) for row in predicted] == LENGTHS.tolist()
    right = np.concatenate(predicted) == np.concatenate(STEPS)
    assert right.mean() == found.score(RAGGED, labels) > 0.9
    assert [row.shape for row in found.predict_proba(RAGGED)] == [(steps, 2) for steps in LENGTHS]
    weights = [np.ones(steps) for steps in LENGTHS]
    assert found.score(RAGGED, labels, weights) == found.score(RAGGED, labels)


def test_each_step_of_an_array_has_a_label() -> None:
    labels = np.where(WHOLE[..., 0] > 0.0, "up", "down")
    found = classifier(early_stopping=True, class_weight="balanced").fit(WHOLE, labels, np.ones(len(WHOLE)))
    assert found.predict(WHOLE).shape == labels.shape
    assert found.predict_proba(WHOLE).shape == (*labels.shape, 2)
    assert found.score(WHOLE, labels) > 0.9
    with pytest.raises(ValueError, match="label for every step"):
        found.set_params(early_stopping=False).partial_fit(WHOLE, LABELS)


def test_each_step_has_numbers() -> None:
    y = [np.cumsum(one, axis=0) / 4.0 for one in RAGGED]
    found = regressor(epochs=80).fit(RAGGED, y)
    assert [row.shape for row in found.predict(RAGGED)] == [(steps, 2) for steps in LENGTHS]
    assert found.score(RAGGED, y) > 0.7
    whole = regressor(epochs=1).fit(WHOLE, WHOLE[..., :1])
    assert whole.predict(WHOLE).shape == (48, 5, 1)


def test_steps_without_weight_do_not_count() -> None:
    y = [np.cumsum(one, axis=0) for one in RAGGED]
    weights = [np.arange(steps) % 2.0 for steps in LENGTHS]
    other = [np.where(weight[:, np.newaxis] > 0.0, row, 99.0) for row, weight in zip(y, weights, strict=True)]
    one, two = (regressor(epochs=2).fit(RAGGED, given, weights).predict(RAGGED) for given in (y, other))
    np.testing.assert_array_equal(np.concatenate(one), np.concatenate(two))
    some = regressor(epochs=2).fit(RAGGED, y, np.arange(48) % 2.0).predict(RAGGED)
    few = regressor(epochs=2).fit(RAGGED[1::2], y[1::2]).predict(RAGGED)
    np.testing.assert_allclose(np.concatenate(some), np.concatenate(few), rtol=1e-12)


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "labels", "message"),
    [
        ([*RAGGED[:-1], RAGGED[-1][:, :1]], LABELS, r"X\[47\] has 1 features, and X\[0\] has 2"),
        ([*RAGGED[:-1], RAGGED[-1] * np.nan], LABELS, r"Input X\[47\] contains NaN"),
        ([*RAGGED[:-1], RAGGED[-1][:0]], LABELS, r"0 sample"),
        ([*RAGGED[:-1], np.zeros((2, 2, 2))], LABELS, r"X\[47\] has 3 axes"),
        (np.zeros((48, 0, 2)), LABELS, r"0 step\(s\)"),
        (np.zeros((48, 3, 0)), LABELS, r"0 feature\(s\)"),
        (np.zeros((2, 3, 4, 5)), LABELS, "dim 4|4 dim|dimension"),
        ([], [], "0 sample|Expected 2D"),
        (RAGGED, LABELS[:-1], "inconsistent numbers of samples"),
        (RAGGED, [*STEPS[:-1], STEPS[-1][:1]], r"y\[47\] has 1 labels, and X\[47\] has \d steps"),
        (RAGGED, None, "requires y"),
    ],
)
def test_sequences_that_do_not_fit_are_an_error(given: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(epochs=1).fit(given, labels)


def test_targets_and_weights_that_do_not_fit_are_an_error() -> None:
    y = [np.zeros((steps, 1)) for steps in LENGTHS]
    with pytest.raises(ValueError, match=r"y\[0\] has shape \(1, 1\), but needs"):
        regressor().fit(RAGGED, [np.zeros((1, 1)), *y[1:]])
    with pytest.raises(ValueError, match=r"sample_weight\[0\] has shape \(1,\), but needs"):
        regressor().fit(RAGGED, y, [[1.0], *[np.ones(steps) for steps in LENGTHS[1:]]])
    with pytest.raises(ValueError, match=r"width 1, and y has 5.*for every step, give it as \(n, S, 1\)"):
        regressor(NUMBERS.replace("$outputs", "1")).fit(WHOLE, WHOLE[..., 0])
    with pytest.raises(ValueError, match="sample_weight has 2 items, and X has 48 sequences"):
        regressor().fit(RAGGED, y, np.ones(2))
    with pytest.raises(ValueError, match="3 features, but MDLSequenceRegressor is expecting 2"):
        regressor(epochs=1).fit(RAGGED, y).predict(np.zeros((2, 4, 3)))


# In searches ----------------------------------------------------------------------------------------------------------


def test_lists_are_searched_over() -> None:
    grid = {"widths": [{"hidden": 1}, {"hidden": 8}], "optimizer": ["adam", nm.SGD(momentum=0.9)]}
    found = GridSearchCV(classifier(learning_rate=0.02, epochs=20), grid, cv=3).fit(RAGGED, LABELS)
    assert found.best_params_["widths"] == {"hidden": 8}
    assert found.best_score_ > 0.8
    assert found.predict(RAGGED).shape == (48,)
    predicted = cross_val_predict(classifier(), RAGGED, LABELS, cv=3, method="predict_proba")
    assert predicted.shape == (48, 3)
    copied = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(copied.predict(RAGGED), found.predict(RAGGED))


@pytest.mark.parametrize("given", [[one[:, 0] for one in RAGGED], objects([one[:, 0].tolist() for one in RAGGED])])
def test_numbers_of_steps_without_an_axis_are_refused_with_advice(given: Any) -> None:
    with pytest.raises(ValueError, match=r"y has rows of different lengths: .* give y\[i\] the shape \(S_i, 1\)"):
        regressor(epochs=1).fit(RAGGED, given)
