"""The estimators for vectors: texts and widths, labels, weights, going on, random states, and what they keep."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

import neuromorph as nm
from neuromorph.sklearn import MDLClassifier, MDLRegressor

X, Y = load_iris(return_X_y=True)
X, Y = X[::3], Y[::3]
HIDDEN = "/xavier,zero/ (input, $inputs) (s, <standardize>) (h, 8, <tanh>)"
SMALL = f"{HIDDEN} (output, $outputs, <softmax>, <cross_entropy>)"
SIGMOID = f"{HIDDEN} (output, $outputs, <sigmoid>, <binary_cross_entropy>)"
HINGE = f"{HIDDEN} (output, $outputs, <linear>, <hinge>)"
NUMBERS = f"{HIDDEN} (output, $outputs, <restore>, <mse>)"
LINEAR = f"{HIDDEN} (output, $outputs, <linear>, <mse>)"


def classifier(mdl: Any = SMALL, **options: Any) -> MDLClassifier:
    return MDLClassifier(mdl, **{"tier": "instant", "random_state": 0, "epochs": 40, "batch_size": 16, **options})


def regressor(mdl: Any = NUMBERS, **options: Any) -> MDLRegressor:
    return MDLRegressor(mdl, **{"tier": "instant", "random_state": 0, "epochs": 40, "batch_size": 16, **options})


# Texts ----------------------------------------------------------------------------------------------------------------


def test_the_widths_of_a_text_come_from_the_data() -> None:
    model = classifier().fit(X, Y).model_
    assert (model.input_width, model.output_width, model.batch_size) == (4, 3, 16)
    assert isinstance(model, nm.Model)
    assert model.layout == "NW"


def test_a_text_may_be_a_file_and_have_names_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "net.mdl"
    path.write_text("# $inputs numbers\n" + SMALL.replace("8", "$wide"), encoding="utf-8")
    found = classifier(path, widths={"wide": 5}, epochs=1).fit(X, Y)
    assert "(h, 5, <tanh>)" in found.model_.text


def test_without_a_text_there_is_one() -> None:
    assert "(hidden, 100, <relu>)" in classifier(None, epochs=1).fit(X, Y).model_.text
    found = classifier(None, widths={"hidden": 7}).fit(X, Y)
    assert "(hidden, 7, <relu>)" in found.model_.text
    assert found.score(X, Y) > 0.9
    assert "<restore>, <mse>" in regressor(None, epochs=1).fit(X, Y).model_.text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mdl": SMALL.replace("8", "$hiden"), "widths": {"hidden": 3}}, ValueError, r"\$hiden.*did you mean \$hidden"),
        ({"widths": {"hidden": 3}}, ValueError, r"widths has 'hidden', and mdl has no \$hidden"),
        ({"widths": {"inputs": 3}}, ValueError, r"the data give \$inputs"),
        ({"widths": {"a b": 3}}, ValueError, "letters, digits"),
        ({"widths": [3]}, TypeError, "widths must be a dict"),
        ({"mdl": None, "widths": {"hidden": 2.5}}, TypeError, r"widths\['hidden'\] must be a whole number"),
        ({"mdl": SMALL.replace("tanh", "tahn")}, nm.MDLError, "did you mean 'tanh'"),
        ({"mdl": SMALL.replace("$inputs", "3")}, ValueError, r"input of width 3, and X has 4 features: write \$inputs"),
        ({"mdl": SMALL.replace("$outputs", "2")}, ValueError, "output for 2 classes, and y has 3"),
        ({"mdl": SIGMOID.replace("$outputs", "1")}, ValueError, "output for 2 classes, and y has 3"),
        ({"mdl": SMALL.replace("<tanh>", "<gru>")}, ValueError, "MDLSequenceClassifier"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"optimizer": "adm"}, ValueError, "did you mean 'adam'"),
        ({"alpha": -1.0}, ValueError, "alpha"),
        ({"class_weight": "balance"}, ValueError, "class_weight must be"),
        ({"class_weight": {7: 2.0}}, ValueError, "class_weight has the label 7"),
        ({"early_stopping": True, "validation_fraction": 1.5}, ValueError, "validation_fraction"),
        ({"callbacks": [3]}, TypeError, "callbacks"),
    ],
)
def test_a_wrong_parameter_is_an_error_that_changes_nothing(options: Any, error: Any, message: str) -> None:
    fitted = classifier(epochs=3).fit(X, Y)
    before = fitted.predict_proba(X)
    options = {**fitted.get_params(), **options}
    with pytest.raises(error, match=message):
        clone(fitted).set_params(**options).fit(X[:, ::-1], Y)
    with pytest.raises(error, match=message):
        fitted.set_params(**options).fit(X[:, ::-1], Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    assert fitted.n_features_in_ == 4


def test_what_is_not_fitted_predicts_nothing() -> None:
    with pytest.raises(NotFittedError):
        classifier().predict(X)
    with pytest.raises(NotFittedError):
        regressor().predict(X)


# Labels ---------------------------------------------------------------------------------------------------------------

LABELS = [
    ["setosa", "virginica", "versicolor"],
    [b"b", b"a", b"c"],
    [3, -1, 10],
    [0.0, 2.0, 1.0],
    [(1, "x"), (0, "y"), (1, "a")],
    ["a", 1, None],
    [frozenset({1}), frozenset({2}), frozenset({3})],
]


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_labels_may_be_any_hashable_values(labels: list[Any]) -> None:
    y = [labels[number] for number in Y]
    found = classifier().fit(X, y)
    assert set(found.classes_.tolist()) == set(labels)
    assert found.score(X, y) > 0.9
    predicted = found.predict(X).tolist()
    assert np.mean([one == other for one, other in zip(predicted, y, strict=True)]) == found.score(X, y)
    places = found.predict_proba(X).argmax(axis=1)
    assert [found.classes_[place] for place in places] == predicted
    with pytest.raises(ValueError, match="not among the classes"):
        found.partial_fit(X[:1], ["new label"] if isinstance(labels[0], str) else [77])


def test_numbers_in_a_column_of_objects_are_numbers() -> None:
    found = classifier(epochs=1).fit(X, Y.astype(object))
    assert found.classes_.dtype == Y.dtype
    assert found.predict(X).dtype == Y.dtype


def test_classes_have_one_order_whatever_the_order_of_the_data() -> None:
    labels = LABELS[5]
    one = classifier(epochs=1).fit(X, [labels[number] for number in Y]).classes_.tolist()
    assert one == classifier(epochs=1).fit(X[::-1], [labels[number] for number in Y[::-1]]).classes_.tolist()


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([[1]] * len(Y), ValueError, None),
        ([{}] * len(Y), TypeError, r"y\[0\] is \{\}, but a label must be hashable"),
        ([("a", float("nan")), *["b"] * (len(Y) - 1)], None, None),
        ([float("nan"), "a", *["b"] * (len(Y) - 2)], ValueError, "contains NaN"),
        (Y + 0.5, ValueError, "continuous"),
        (np.stack([Y, Y], axis=1), ValueError, "1d array"),
        (Y[:-1], ValueError, "inconsistent numbers of samples"),
    ],
)
def test_what_can_not_be_labels(y: Any, error: Any, message: str | None) -> None:
    if error is None:
        classifier(epochs=1).fit(X, y)
    elif message is None:
        with pytest.warns(Warning, match="column-vector"):
            classifier(epochs=1).fit(X, y)
    else:
        with pytest.raises(error, match=message):
            classifier(epochs=1).fit(X, y)


@pytest.mark.parametrize("mdl", [SMALL, SIGMOID, SIGMOID.replace("$outputs", "2"), LINEAR])
def test_two_classes_by_one_output_or_by_two(mdl: str) -> None:
    y = np.where(Y == 0, "no", "yes")
    found = classifier(mdl, epochs=60).fit(X, y)
    assert found.model_.output_width == (1 if mdl == SIGMOID else 2)
    assert found.score(X, y) > 0.95
    shares = found.predict_proba(X)
    assert shares.shape == (len(X), 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_array_equal(found.classes_[shares.argmax(axis=1)], found.predict(X))


def test_several_sigmoids_tell_several_classes_apart() -> None:
    found = classifier(SIGMOID, epochs=80).fit(X, Y)
    assert found.model_.output_width == 3
    assert found.score(X, Y) > 0.85
    np.testing.assert_allclose(found.predict_proba(X).sum(axis=1), 1.0)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_hinge_gives_distances_and_no_probabilities(classes: int) -> None:
    y = np.minimum(Y, classes - 1)
    found = classifier(HINGE, epochs=60)
    assert hasattr(found, "decision_function")
    assert not hasattr(found, "predict_proba")
    distances = found.fit(X, y).decision_function(X)
    assert distances.shape == ((len(X),) if classes == 2 else (len(X), 3))
    wanted = (distances > 0).astype(int) if classes == 2 else distances.argmax(axis=1)
    np.testing.assert_array_equal(found.predict(X), wanted)
    assert found.score(X, y) > 0.85
    assert not hasattr(classifier(), "decision_function")


def test_one_class_alone_is_always_the_answer() -> None:
    for mdl in (SMALL, SIGMOID):
        found = classifier(mdl, epochs=2).fit(X, ["only"] * len(X))
        assert set(found.predict(X)) == {"only"}
        np.testing.assert_array_equal(found.predict_proba(X), np.ones((len(X), 1)))


# Weights --------------------------------------------------------------------------------------------------------------


def test_samples_without_weight_are_as_if_they_were_not_there() -> None:
    weights = (np.arange(len(X)) % 3 > 0) * 2.0
    few = classifier().fit(X[weights > 0], Y[weights > 0], weights[weights > 0])
    all_of_them = classifier().fit(X, Y, weights)
    np.testing.assert_array_equal(all_of_them.predict_proba(X), few.predict_proba(X))


def test_classes_have_the_weights_that_were_asked_for() -> None:
    y = np.where(np.arange(len(X)) % 5 == 0, "rare", "usual")
    rare = [np.mean(classifier(class_weight=given).fit(X, y).predict(X) == "rare") for given in (None, {"rare": 50.0})]
    assert rare[0] < 0.5 < rare[1]
    balanced = classifier(class_weight="balanced").fit(X, y)
    factors = {"rare": 0.5 / np.mean(y == "rare"), "usual": 0.5 / np.mean(y == "usual")}
    same = classifier(class_weight=factors).fit(X, y)
    np.testing.assert_allclose(balanced.predict_proba(X), same.predict_proba(X), atol=1e-9)
    weighted = classifier().fit(X, y, np.vectorize(factors.get)(y))
    np.testing.assert_allclose(weighted.predict_proba(X), same.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("weights", [-np.ones(len(X)), np.full(len(X), np.nan), np.ones(3)])
def test_weights_that_do_not_fit_are_an_error(weights: Any) -> None:
    with pytest.raises(ValueError, match="sample_weight"):
        classifier().fit(X, Y, weights)


# Going on -------------------------------------------------------------------------------------------------------------


def test_a_warm_start_goes_on() -> None:
    found = classifier(warm_start=True, epochs=5).fit(X, Y)
    first, model = list(found.loss_curve_), found.model_
    found.set_params(learning_rate=0.001, epochs=3).fit(X, Y)
    assert found.model_ is model
    assert found.loss_curve_[:5] == first
    assert found.n_iter_ == len(found.loss_curve_) == 8
    assert model.learning_rate == 0.001
    assert found.history_.initial_epoch == 5
    cold = found.set_params(warm_start=False).fit(X, Y)
    assert cold.n_iter_ == 3


def test_a_warm_start_refuses_what_the_network_can_not_become() -> None:
    found = classifier(warm_start=True, epochs=2).fit(X, Y)
    before = found.predict_proba(X)
    for options in ({"mdl": SIGMOID}, {"batch_size": 8}, {"optimizer": "sgd"}, {"dtype": "float32"}):
        changed = copy.deepcopy(found).set_params(**options)
        with pytest.raises(ValueError, match=f"{next(iter(options))} has changed"):
            changed.fit(X, Y)
        np.testing.assert_array_equal(changed.predict_proba(X), before)
    with pytest.raises(ValueError, match="not among the classes"):
        found.fit(X, Y + 1)
    with pytest.raises(ValueError, match="features"):
        found.fit(X[:, :3], Y)


def test_data_can_come_in_parts() -> None:
    found = classifier(class_weight={0: 2.0})
    with pytest.raises(ValueError, match="classes must be passed"):
        found.partial_fit(X, Y)
    for _ in range(30):
        for part in range(3):
            found.partial_fit(X[part::3], Y[part::3], classes=[0, 1, 2])
    assert len(found.loss_curve_) == 90
    assert found.score(X, Y) > 0.85
    with pytest.raises(ValueError, match="not the same"):
        found.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="early_stopping"):
        classifier(early_stopping=True).partial_fit(X, Y, classes=[0, 1, 2])
    numbers = regressor().fit(X, X[:, 0])
    before = numbers.loss_curve_[-1]
    for _ in range(30):
        numbers.partial_fit(X, X[:, 0])
    assert numbers.loss_curve_[-1] < before


def test_a_part_is_held_out_for_early_stopping() -> None:
    found = classifier(early_stopping=True, epochs=200, n_iter_no_change=3, tol=0.01, validation_fraction=0.3)
    found.fit(X, Y)
    assert found.n_iter_ < 200
    assert found.history_.ended == "early stopping"
    best = found.history_.best_epoch
    assert found.validation_loss_curve_[best] == min(found.validation_loss_curve_[: best + 1])
    assert len(found.validation_loss_curve_) == len(found.loss_curve_) == found.n_iter_
    rare = np.array(["a"] * (len(X) - 1) + ["b"])  # a class of one can't be in both parts
    classifier(early_stopping=True, epochs=2).fit(X, rare)


# Random states --------------------------------------------------------------------------------------------------------


def test_a_number_gives_the_same_at_each_fit() -> None:
    one = classifier(random_state=3, early_stopping=True)
    first = one.fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(one.fit(X, Y).predict_proba(X), first)
    np.testing.assert_array_equal(clone(one).fit(X, Y).predict_proba(X), first)
    assert (clone(one).set_params(random_state=4).fit(X, Y).predict_proba(X) != first).any()


def test_a_random_state_goes_on_and_none_is_that_of_numpy() -> None:
    one = classifier(random_state=np.random.RandomState(3), epochs=2)
    first = one.fit(X, Y).predict_proba(X)
    assert (one.fit(X, Y).predict_proba(X) != first).any()
    again = classifier(random_state=np.random.RandomState(3), epochs=2)
    np.testing.assert_array_equal(again.fit(X, Y).predict_proba(X), first)
    found = []
    for _ in range(2):
        np.random.seed(5)
        found.append(classifier(random_state=None, epochs=2).fit(X, Y).predict_proba(X))
    np.testing.assert_array_equal(*found)


# What is kept ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [classifier, regressor])
def test_copies_and_pickles_predict_the_same_and_go_on(make: Any) -> None:
    found = make(epochs=3, warm_start=True, optimizer=nm.SGD(momentum=0.5), learning_rate=0.05).fit(X, Y)
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        np.testing.assert_array_equal(other.predict(X), found.predict(X))
        assert other.loss_curve_ == found.loss_curve_
        one, two = copy.deepcopy(found).fit(X, Y), other.fit(X, Y)
        assert one.loss_curve_ == two.loss_curve_


def test_the_model_is_one_like_others(tmp_path: Path) -> None:
    found = classifier().fit(X, Y)
    nm.save(found.model_, tmp_path / "iris.safetensors")
    loaded = nm.load(tmp_path / "iris.safetensors")
    np.testing.assert_array_equal(nm.predict(loaded, X, layout="NW"), found.predict_proba(X))
    assert found.history_.loss == found.loss_curve_


@pytest.mark.skipif(not hasattr(nm.Model, "classes"), reason="models do not keep names of classes")
def test_the_file_of_the_model_keeps_the_names_of_classes(tmp_path: Path) -> None:
    found = classifier(epochs=1).fit(X, np.array(["a", "b", "c"])[Y])
    nm.save(found.model_, tmp_path / "iris.safetensors")
    assert nm.load(tmp_path / "iris.safetensors").classes == ("a", "b", "c")
    assert classifier(epochs=1).fit(X, ["only"] * len(X)).model_.classes is None


def test_types_are_those_of_the_data_or_as_asked() -> None:
    for given, dtype, wanted in [
        (X, None, "float64"),
        (X.astype(np.float32), None, "float32"),
        (X, "float32", "float32"),
    ]:
        found = classifier(dtype=dtype, epochs=1).fit(given, Y)
        assert found.model_.options.dtype == found.predict_proba(given).dtype == wanted


def test_regularisation_depends_on_the_number_of_samples() -> None:
    assert classifier(alpha=10.0, epochs=1).fit(X, Y).model_.optimizer == nm.AdamW(weight_decay=10.0 / len(X))
    weighted = classifier(alpha=10.0, epochs=1).fit(X, Y, np.full(len(X), 2.0))
    assert weighted.model_.optimizer == nm.AdamW(weight_decay=5.0 / len(X))
    parts = classifier(alpha=10.0).partial_fit(X, Y, [0, 1, 2]).partial_fit(X[:10], Y[:10])
    assert parts.model_.optimizer == nm.AdamW(weight_decay=10.0 / (len(X) + 10))
    again = classifier(alpha=10.0, epochs=1, warm_start=True).fit(X, Y).set_params(alpha=20.0).fit(X, Y)
    assert again.model_.optimizer == nm.AdamW(weight_decay=20.0 / len(X))
    assert classifier(optimizer=nm.Adam(), epochs=1).fit(X, Y).model_.optimizer == nm.Adam()
    assert classifier(optimizer="sgd", epochs=1).fit(X, Y).model_.learning_rate == 0.1


def test_callbacks_are_copied() -> None:
    given = nm.EarlyStopping(1, monitor="loss", min_delta=100.0)
    found = classifier(callbacks=[given], epochs=30).fit(X, Y)
    assert found.n_iter_ == 2
    assert given.best is None
    assert clone(found).get_params()["callbacks"][0] == given


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(len(X),), (len(X), 1), (len(X), 2)])
def test_one_number_or_several_can_be_predicted(shape: tuple[int, ...]) -> None:
    y = (1000.0 * X[:, : 1 if len(shape) == 1 else shape[1]] + 5.0).reshape(shape)
    found = regressor(epochs=80).fit(X, y)
    assert found.model_.output_width == found.n_outputs_ == (1 if len(shape) == 1 else shape[1])
    assert found.predict(X).shape == shape
    assert found.score(X, y) > 0.8


def test_the_shape_of_numbers_stays() -> None:
    found = regressor(warm_start=True, epochs=1).fit(X, X[:, :2])
    with pytest.raises(ValueError, match="shape"):
        found.fit(X, X[:, 0])
    with pytest.raises(ValueError, match="output of width 3, and y has 2"):
        regressor(NUMBERS.replace("$outputs", "3")).fit(X, X[:, :2])


def test_other_losses_and_outputs_predict_numbers() -> None:
    y = np.exp(X[:, 0] / 4.0)
    found = regressor(NUMBERS.replace("<restore>, <mse>", "<exp>, <poisson>"), epochs=80).fit(X, y)
    assert found.score(X, y) > 0.8
    raw = regressor(NUMBERS, adapt=False, epochs=1).fit(X, y)
    assert raw.model_.get_parameters()["output.scale"] == 1.0
