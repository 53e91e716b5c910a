"""``missing="skip"``: expected values that are NaN have no loss and no gradient.

Kernels run as plain Python here, but for one test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.functions import LOSSES

HIDDEN = "/uniform -0.5 0.5,const_uneven 0.1 0.3/ (input, 2) {both, before, concatenate} (a, 3, <tanh>) [l, [before,]] "
OUTPUTS = {
    "mse": "<linear>, <mse>", "mae": "<tanh>, <mae>", "mape": "<linear>, <mape>", "huber": "<linear>, <huber, 0.3>",
    "huber_modified": "<linear>, <huber_modified>", "hinge": "<linear>, <hinge>",
    "quantile": "<linear>, <quantile, 0.2>",
    "poisson": "<softplus>, <poisson>", "log_cosh": "<linear>, <log_cosh>",
    "binary_cross_entropy": "<sigmoid>, <binary_cross_entropy>", "apart": "<linear>, <binary_cross_entropy>",
    "restored": "<restore>, <mse>",
}  # fmt: skip
WIDTH, LANES, STEPS = 5, 2, 4
CLASSES = HIDDEN + "(output, 3, <softmax>, <cross_entropy>)"

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # plain Python says so where compiled code is silent
    pytest.mark.filterwarnings("ignore::neuromorph.errors.MDLWarning"),
]


def made(text: str, **options: Any) -> nm.Model:
    return nm.build(nm.compile(text, LANES, 0.1, **{"dtype": "float64", "bptt_steps": STEPS, **options}), seed=3)


def model_of(name: str, **options: Any) -> nm.Model:
    model = made(f"{HIDDEN} (output, {WIDTH}, {OUTPUTS[name]})", **options)
    if name == "apart":
        model.set_parameters({"output.weight": 0.1, "output.bias": 0.4})
    if name == "restored":
        model.set_parameters({"output.mean": 0.2, "output.scale": np.arange(1.0, 1.0 + WIDTH)})
    return model


def data(*leading: int, samples: int = STEPS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, expected values that are allowed for every loss, a third of them NaN, and weights."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(*leading, samples, LANES, 2))
    expected = rng.choice([-1.0, 1.0], size=(*leading, samples, LANES, WIDTH))
    expected[rng.random(expected.shape) < 0.35] = np.nan
    expected[..., 0, 0, :] = np.nan  # a whole vector
    return inputs, expected, rng.uniform(0.5, 2.0, size=expected.shape[:-1])


def reference(model: nm.Model, inputs: np.ndarray, expected: np.ndarray, weights: np.ndarray) -> float:
    """The mean over all known numbers, one by one, each with the weight of its vector."""
    record, number = model.graph.loss, model.graph.loss_parameter
    results, total, whole = model.predict(inputs), 0.0, 0.0
    parameters = model.get_parameters()
    for place in np.argwhere(~np.isnan(expected)):
        *row, column = place
        r, e = results[tuple(place)], expected[tuple(place)]
        if "output.scale" in parameters:
            r, e = ((x - parameters["output.mean"][column]) / parameters["output.scale"][column] for x in (r, e))
        total += weights[tuple(row)] * float(record.value(np.array([r]), np.array([e]), number))
        whole += weights[tuple(row)]
    return total / whole


# Losses and gradients -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("tier", ["compiled", "instant"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_loss_and_gradient_are_those_of_what_is_known(name: str, tier: str) -> None:
    model = model_of(name, tier=tier)
    inputs, expected, weights = data()
    if name in ("binary_cross_entropy", "apart", "poisson"):
        expected = (expected + 1.0) / 2.0
    loss, gradients = model.gradients(inputs, expected, sample_weight=weights, missing="skip")
    assert loss == pytest.approx(reference(model, inputs, expected, weights), rel=1e-6)
    assert loss == pytest.approx(model.evaluate(inputs, expected, sample_weight=weights, missing="skip"), rel=1e-12)
    for array in ("output.bias", "a.bias"):
        whole = model.get_parameters()[array]
        for place in range(len(whole)):
            moved = []
            for step in (-1e-5, 1e-5):
                changed = whole.copy()
                changed[place] += step
                model.set_parameters({array: changed})
                moved.append(reference(model, inputs, expected, weights))
            model.set_parameters({array: whole})
            assert gradients[array][place] == pytest.approx((moved[1] - moved[0]) / 2e-5, rel=1e-4, abs=1e-8)


@pytest.mark.usefixtures("interpreted")
def test_every_loss_is_tested_or_needs_whole_vectors() -> None:
    assert {name for name, record in LOSSES.items() if record.mean} == OUTPUTS.keys() - {"apart", "restored"}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("tier", ["compiled", "instant"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("leading", [(), (3,)])
def test_vectors_without_any_known_number_are_as_of_weight_zero(
    tier: str, weighted: bool, leading: tuple[int, ...]
) -> None:
    inputs, expected, weights = data(*leading, samples=7)
    expected = np.nan_to_num(expected, nan=0.5)
    expected[..., 1:3, 1, :] = np.nan
    one, other = model_of("mse", tier=tier), model_of("mse", tier=tier)
    given = {"sample_weight": weights} if weighted else {}
    left = np.where(np.isnan(expected).any(axis=-1), 0.0, weights if weighted else 1.0)
    assert one.train(inputs, expected, 0, missing="skip", **given) == other.train(
        inputs, expected, 0, sample_weight=left
    )
    for name, value in other.get_parameters().items():
        np.testing.assert_array_equal(one.get_parameters()[name], value)


@pytest.mark.usefixtures("interpreted")
def test_where_all_is_known_nothing_changes() -> None:
    inputs, expected, _ = data(samples=7)
    expected = np.nan_to_num(expected, nan=0.5)
    one, other = model_of("mae"), model_of("mae")
    assert one.train(inputs, expected, 0, missing="skip") == other.train(inputs, expected, 0)
    assert "skipping" not in vars(one.kernels)


@pytest.mark.usefixtures("interpreted")
def test_labels_that_are_not_known() -> None:
    inputs = data(samples=7)[0]
    labels = np.array([[0, np.nan], [1, 2], [np.nan, np.nan], [2, 1], [0, 0], [np.nan, 1], [1, 1]])
    one, other = made(CLASSES), made(CLASSES)
    known = ~np.isnan(labels)
    loss = one.train(inputs, labels, 0, missing="skip")
    assert loss == other.train(inputs, np.nan_to_num(labels), 0, sample_weight=known)
    vectors = np.where(known[..., None], np.eye(3)[np.nan_to_num(labels).astype(int)], np.nan)
    again = made(CLASSES)
    assert again.train(inputs, vectors, 0, missing="skip") == loss
    assert one.accuracy(inputs, labels, missing="skip") == other.accuracy(
        inputs, np.nan_to_num(labels), sample_weight=known
    )


def test_a_compiled_model_skips() -> None:
    model = model_of("huber", dtype="float32", threads=1)
    inputs, expected, _ = data(samples=40)
    first = model.train(inputs, expected, 0, missing="skip")
    assert model.train(inputs, np.nan_to_num(expected), 0) > 0.0
    assert model.train(inputs, expected, 0, missing="skip") < first
    found = model.evaluate(inputs, expected, missing="skip")
    wanted = reference(model, inputs.astype(np.float32), expected, np.ones(expected.shape[:-1]))
    assert found == pytest.approx(wanted, rel=1e-5)
    assert model.memory().for_skipping.number != model.memory().number, "threads would take calls of the other kernel"


# fit ------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
def test_fit_skips_in_its_validation_data_too() -> None:
    model = model_of("mse")
    inputs, expected, weights = data(samples=12)
    history = model.fit(inputs, expected, epochs=2, validation=0.25, missing="skip", progress=False)
    wanted = model.evaluate(inputs[9:], expected[9:], missing="skip")
    assert history.validation_loss[-1] == pytest.approx(wanted)
    given = model.fit(
        inputs,
        expected,
        epochs=1,
        validation=(inputs, expected, weights),
        missing="skip",
        shuffle=False,
        progress=False,
    )
    assert given.validation_loss == [
        pytest.approx(model.evaluate(inputs, expected, sample_weight=weights, missing="skip"))
    ]


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("call", ["train", "evaluate", "fit", "gradients"])
def test_nan_is_an_error_unless_it_is_to_be_skipped(call: str) -> None:
    inputs, expected, _ = data()
    options = {"fit": {"epochs": 1}}.get(call, {})
    model = model_of("mse")
    with pytest.raises(nm.DataError, match=r"expected\[0, 0, 0\] is nan, but must be finite"):
        getattr(model, call)(inputs, expected, **options)
    with pytest.raises(ValueError, match="missing must be one of error, skip, not 'drop'"):
        getattr(model, call)(inputs, expected, missing="drop", **options)
    expected[1, 1, 1] = np.inf
    with pytest.raises(nm.DataError, match=r"expected\[1, 1, 1\] is inf, but must be finite"):
        getattr(model, call)(inputs, expected, missing="skip", **options)
    with pytest.raises(nm.DataError, match=r"expected has 3 on axis 0"):
        getattr(model, call)(inputs, expected[:3], missing="skip", **options)


@pytest.mark.usefixtures("interpreted")
def test_a_cross_entropy_needs_whole_vectors() -> None:
    model, inputs = made(CLASSES), data()[0]
    vectors = np.full((STEPS, LANES, 3), [0.0, 1.0, 0.0])
    vectors[2, 1, 0] = np.nan
    with pytest.raises(
        nm.DataError, match=r"expected\[2, 1\] is NaN in part: cross_entropy needs all components of a vector, or none"
    ):
        model.train(inputs, vectors, 0, missing="skip")


@pytest.mark.usefixtures("interpreted")
def test_what_a_loss_can_not_have_stays_an_error() -> None:
    inputs, expected, _ = data()
    expected[1, 0, 2] = 0.5
    with pytest.raises(nm.DataError, match=r"expected\[1, 0, 2\] is 0.5, and the loss hinge needs -1 or 1"):
        model_of("hinge").train(inputs, expected, 0, missing="skip")
