"""Functions: expressions against their NumPy twins, twins against central differences and known values."""

import ast
import itertools
import math
import pickle
import re
from operator import attrgetter

import numpy as np
import pytest

from neuromorph.functions import (
    ACTIVATIONS,
    BIAS_INITIALIZERS,
    LOSSES,
    MERGES,
    VOCABULARY,
    WEIGHT_INITIALIZERS,
    Activation,
    Initializer,
    LogitForm,
    Loss,
    Merge,
    Parameter,
)

WORDS = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0),
    "sin": np.sin,
    "cos": np.cos,
    "normal_cdf": np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)), otypes=[float]),
    "sqrt": np.sqrt,
    "absolute": np.abs,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": np.where,
}
RNG = np.random.default_rng(7)
X = np.concatenate([RNG.normal(0.0, 2.0, (6, 8)), RNG.normal(0.0, 0.01, (2, 8)), np.zeros((1, 8))])
PLAIN = [a for a in ACTIVATIONS.values() if not a.couples]
SMOOTH = [a for a in ACTIVATIONS.values() if not a.surrogate and not a.blocks_gradient]
LOGITS = [(loss, form) for loss in LOSSES.values() for form in loss.logits]


def evaluate(text: str, **names: object) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(eval(text, {"__builtins__": {}}, {**WORDS, **names}))


def numbers(record: Activation | Loss) -> list[float | None]:
    if record.parameter is None:
        return [None]
    tried = [record.parameter.default, 0.0, 0.7, 2.5, -0.3]
    return [value for value in tried if value is not None and record.parameter.check(value) is None]


def cases(records: list) -> list:
    return [pytest.param(r, p, id=f"{r.name}-{p}") for r in records for p in numbers(r)]


def slope(function, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a function from (…, w) to (…,), component by component."""
    found = np.zeros_like(x)
    for component in range(x.shape[-1]):
        shift = np.zeros(x.shape[-1])
        shift[component] = step
        found[..., component] = (function(x + shift) - function(x - shift)) / (2.0 * step)
    return found


def expressions() -> list[tuple[str, set[str]]]:
    found: list[tuple[str, set[str]]] = []
    for a in PLAIN:
        found.append((a.forward, {"x", "p"}))
        for position, (_, text) in enumerate(a.let):
            found.append((text, {"x", "y", "p", *(name for name, _ in a.let[:position])}))
        found.append((a.derivative, {"x", "y", "p", *(name for name, _ in a.let)}))
    for loss, form in LOGITS:
        more = {"lse", "esum"} if form.couples else set()
        found += [(form.term, {"x", "y", "e"} | more), (form.derivative, {"x", "y", "e"} | more)]
        assert form.activation in ACTIVATIONS, loss.name
    found += [(text, {"r", "e", "p"}) for loss in LOSSES.values() for text in (loss.term, loss.derivative)]
    for m in MERGES.values():
        if not m.concatenates:
            found += [(m.forward, {"x", "o"}), (m.d_x, {"g", "x", "o"}), (m.d_o, {"g", "x", "o"})]
    return found


@pytest.mark.parametrize(("text", "variables"), expressions())
def test_expressions_keep_to_their_vocabulary(text: str, variables: set[str]) -> None:
    tree = ast.parse(text, mode="eval")
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert calls <= VOCABULARY
    assert names - calls <= variables
    assert all(isinstance(value, float) for value in constants)
    allowed = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.USub)
    operators = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
    assert all(isinstance(node, allowed + operators) for node in ast.walk(tree))


def test_names_of_the_contract() -> None:
    activations = "linear sigmoid tanh relu relu_leaky relu_parametric elu selu gelu swish softmax binary_step"
    assert activations.split() == [*ACTIVATIONS][:12]
    losses = "mse mae mape huber huber_modified hinge cross_entropy binary_cross_entropy"
    assert losses.split() == [*LOSSES][:8]
    assert [*MERGES][:5] == ["additive", "multiplicative", "average", "subtractive", "concatenate"]
    assert [*WEIGHT_INITIALIZERS][:6] == ["xavier", "he", "lecun", "orthogonal", "uniform", "normal"]
    assert [*BIAS_INITIALIZERS][:3] == ["zero", "const_flat", "const_uneven"]
    for table in (ACTIVATIONS, LOSSES, MERGES, WEIGHT_INITIALIZERS, BIAS_INITIALIZERS):
        assert pickle.loads(pickle.dumps(table)) == table
        assert all(re.fullmatch("[a-z_]+", name) for name in table)


@pytest.mark.parametrize(
    ("name", "default"),
    [("relu_leaky", 0.01), ("relu_parametric", 0.25), ("elu", 1.0), ("swish", 1.0), ("huber", 1.0)],
)
def test_defaults(name: str, default: float) -> None:
    record = ACTIVATIONS.get(name) or LOSSES[name]
    assert record.parameter is not None
    assert record.parameter.default == default


def test_ranges_are_told_in_words() -> None:
    assert Parameter("delta", 1.0, 0.0, True).check(0.0) == "delta must be greater than 0, not 0.0"
    assert Parameter("alpha", 1.0, 0.0).check(-0.5) == "alpha must be at least 0, not -0.5"
    assert Parameter("slope", 1.0).check(float("nan")) == "slope must be a finite number, not nan"
    assert Parameter("alpha", 1.0, 0.0).check(0.0) is None
    assert Parameter("slope", 1.0).check(-1e300) is None
    assert LOSSES["huber"].parameter.check(0.0)
    assert not LOSSES["huber_modified"].parameter.check(0.0)
    assert ACTIVATIONS["elu"].parameter.check(-1.0)
    assert Parameter("k", 1.0, 1.0, whole=True).check(1.5) == "k must be a whole number, not 1.5"
    assert Parameter("k", 1.0, 1.0, maximum=4096.0).check(5000.0) == "k must be at most 4096, not 5000.0"
    assert LOSSES["quantile"].parameter.check(1.0) == "q must be less than 1, not 1.0"
    assert ACTIVATIONS["clip"].parameter.check(0.0) == "bound must be greater than 0, not 0.0"


# Activations


@pytest.mark.parametrize(("record", "p"), cases(PLAIN))
def test_activation_texts_equal_their_twins(record: Activation, p: float | None) -> None:
    y = evaluate(record.forward, x=X, p=p)
    np.testing.assert_allclose(y, record.value(X, p), rtol=1e-12, atol=1e-15)
    names = {"x": X, "y": y, "p": p}
    for name, text in record.let:
        names[name] = evaluate(text, **names)
    g = RNG.normal(size=X.shape)
    derivative = g * evaluate(record.derivative, **names)
    np.testing.assert_allclose(derivative, record.gradient(X, y, g, p), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("record", "p"), cases(SMOOTH))
def test_activation_gradients_are_central_differences(record: Activation, p: float | None) -> None:
    x, g = X[:6], RNG.normal(size=(6, 8))
    x = np.abs(x) + 0.1 if record.name in ("log", "reciprocal") else x
    measured = slope(lambda v: (record.value(v, p) * g).sum(axis=-1), x)
    gradient = record.gradient(x, record.value(x, p), g, p)
    np.testing.assert_allclose(gradient, measured, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "p", "at_zero"),
    [
        ("relu", None, 0.0),
        ("relu_leaky", 0.01, 0.01),
        ("relu_parametric", -0.6, -0.6),
        ("elu", 0.7, 0.7),
        ("selu", None, 1.0507009873554805 * 1.6732632423543772),
        ("binary_step", None, 0.0),
        ("detach", None, 0.0),
        ("abs", None, 0.0),
        ("spike", 25.0, 1.0),
        ("square", None, 0.0),
    ],
)
def test_a_bend_belongs_to_the_lower_piece(name: str, p: float | None, at_zero: float) -> None:
    record, zero, one = ACTIVATIONS[name], np.zeros(3), np.ones(3)
    np.testing.assert_allclose(record.gradient(zero, record.value(zero, p), one, p), at_zero)
    names = {"x": zero, "y": evaluate(record.forward, x=zero, p=p), "p": p}
    for word, text in record.let:
        names[word] = evaluate(text, **names)
    np.testing.assert_allclose(evaluate(record.derivative, **names), at_zero)


@pytest.mark.parametrize(
    ("name", "p", "low", "high", "slope_at"),
    [
        ("hard_sigmoid", None, -3.0, 3.0, 1.0 / 6.0),
        ("hard_tanh", None, -1.0, 1.0, 1.0),
        ("clip", 0.5, -0.5, 0.5, 1.0),
        ("log", None, 1e-7, 1.0, 1.0),
    ],
)
def test_the_lower_bend_is_flat_and_the_upper_one_is_not(
    name: str, p: float | None, low: float, high: float, slope_at: float
) -> None:
    record, x = ACTIVATIONS[name], np.array([np.nextafter(low, -9.0), low, high])
    wanted = [0.0, 0.0, slope_at]
    np.testing.assert_allclose(record.gradient(x, record.value(x, p), np.ones(3), p), wanted)
    np.testing.assert_allclose(evaluate(record.derivative, x=x, p=p), wanted)


@pytest.mark.parametrize(
    ("name", "x", "slope_at"),
    [
        ("softplus", -30.0, math.exp(-30.0)),
        ("softsign", 1e6, 1.0 / (1.0 + 1e6) ** 2),
        ("gelu_exact", -10.0, -7.618400096464813e-22),
        ("mish", -40.0, -39.0 * math.exp(-40.0)),
        ("spike", 1e3, 1.0 / (1.0 + 25.0 * 1e3) ** 2),
    ],
)
def test_small_derivatives_keep_their_digits_in_single_precision(name: str, x: float, slope_at: float) -> None:
    record, single = ACTIVATIONS[name], np.array([x], np.float32)
    p = None if record.parameter is None else np.float32(record.parameter.default)
    names = {"x": single, "p": p, "y": np.asarray(evaluate(record.forward, x=single, p=p), np.float32)}
    for word, text in (*record.let, ("derivative", record.derivative)):
        names[word] = np.asarray(evaluate(text, **names), np.float32)
    np.testing.assert_allclose(names["derivative"], slope_at, rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "p", "x", "y"),
    [
        ("linear", None, -3.5, -3.5),
        ("sigmoid", None, 0.0, 0.5),
        ("sigmoid", None, -800.0, 0.0),
        ("tanh", None, 0.5, 0.46211715726000975),
        ("relu", None, -2.0, 0.0),
        ("relu_leaky", 0.01, -2.0, -0.02),
        ("relu_parametric", 0.6, -2.0, -1.2),
        ("elu", 2.0, -1.0, -1.2642411176571153),
        ("selu", None, -1.0, -1.1113307378125627),
        ("selu", None, 2.0, 2.101401974710961),
        ("gelu", None, 1.0, 0.841191990608276),
        ("swish", 2.0, 1.0, 0.8807970779778823),
        ("binary_step", None, 0.0, 1.0),
        ("binary_step", None, -1e-300, 0.0),
        ("detach", None, -2.5, -2.5),
        ("softplus", None, 0.0, math.log(2.0)),
        ("softplus", None, -40.0, math.exp(-40.0)),
        ("softplus", None, 900.0, 900.0),
        ("exp", None, 1.0, math.e),
        ("exp", None, 1e4, math.inf),
        ("abs", None, -2.5, 2.5),
        ("square", None, -1.5, 2.25),
        ("sin", None, 1.0, 0.8414709848078965),
        ("cos", None, 1.0, 0.5403023058681398),
        ("reciprocal", None, -4.0, -0.25),
        ("reciprocal", None, 0.0, math.inf),
        ("reciprocal", None, math.inf, 0.0),
        ("softsign", None, -3.0, -0.75),
        ("log", None, math.e, 1.0),
        ("log", None, -5.0, math.log(1e-7)),
        ("hard_sigmoid", None, 1.5, 0.75),
        ("hard_sigmoid", None, -math.inf, 0.0),
        ("hard_sigmoid", None, 3.0, 1.0),
        ("hard_tanh", None, 0.5, 0.5),
        ("hard_tanh", None, math.inf, 1.0),
        ("clip", 0.5, -2.0, -0.5),
        ("clip", 3.0, 2.5, 2.5),
        ("mish", None, 1.0, 0.8650983882673103),
        ("mish", None, -30.0, -30.0 * math.exp(-30.0)),
        ("mish", None, 1e300, 1e300),
        ("gelu_exact", None, 1.0, 0.8413447460685429),
        ("gelu_exact", None, -6.0, -6.0 * 0.5 * math.erfc(6.0 / math.sqrt(2.0))),
        ("times", -2.0, 1.5, -3.0),
        ("plus", 0.5, 1.5, 2.0),
        ("spike", 25.0, 0.0, 0.0),
        ("spike", 25.0, 1e-300, 1.0),
    ],
)
def test_activation_values(name: str, p: float | None, x: float, y: float) -> None:
    assert ACTIVATIONS[name].value(np.array([x]), p)[0] == pytest.approx(y, rel=1e-12, abs=1e-300)


def test_softmax_is_stable_and_sums_to_one() -> None:
    y = ACTIVATIONS["softmax"].value(np.array([[1000.0, 1000.0, -1000.0], [0.0, np.log(3.0), -np.inf]]), None)
    np.testing.assert_allclose(y, [[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]])
    assert [a.name for a in ACTIVATIONS.values() if a.couples] == ["softmax"]
    assert [a.name for a in ACTIVATIONS.values() if a.blocks_gradient] == ["binary_step", "detach"]
    assert [a.name for a in ACTIVATIONS.values() if a.surrogate] == ["detach", "spike"]


@pytest.mark.parametrize(("record", "p"), cases(list(ACTIVATIONS.values())))
def test_nan_passes_through_activations(record: Activation, p: float | None) -> None:
    nan = np.array([np.nan, 1.0])
    assert np.isnan(record.value(nan, p)[0])
    if not record.couples:
        assert np.isnan(evaluate(record.forward, x=nan, p=p)[0])


@pytest.mark.parametrize(("record", "p"), cases(PLAIN))
def test_large_arguments_stay_finite(record: Activation, p: float | None) -> None:
    x = np.array([-1e4, 300.0 if record.name == "exp" else 1e4])
    assert np.isfinite(record.value(x, p)).all()
    words = {**WORDS, "sigmoid": lambda v: ACTIVATIONS["sigmoid"].value(v, None)}
    names = {"x": x, "p": p}
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        names["y"] = eval(record.forward, words, names)
        for name, text in (*record.let, ("derivative", record.derivative)):
            names[name] = eval(text, words, names)
    assert np.isfinite(names["y"]).all()
    assert np.isfinite(names["derivative"]).all()


# Losses


def results_and_expected(record: Loss) -> tuple[np.ndarray, np.ndarray]:
    """Ordinary vectors away from bends and clips."""
    r, e = RNG.uniform(0.05, 0.95, (9, 5)), RNG.uniform(0.0, 1.0, (9, 5))
    if record.name in ("cross_entropy", "binary_cross_entropy"):
        return r, e
    signs = RNG.choice([-1.0, 1.0], (9, 5))
    return 3.0 * r * signs + 0.03, RNG.choice([-1.0, 1.0], (9, 5)) if "h" in record.name[0] else e - 0.5


@pytest.mark.parametrize(("record", "p"), cases(list(LOSSES.values())))
def test_loss_texts_equal_their_twins(record: Loss, p: float | None) -> None:
    r, e = results_and_expected(record)
    r = np.concatenate([r, np.where(e < 0.3, 0.0, np.where(e > 0.7, 1.0, e))])
    e = np.concatenate([e, e])
    reduce = np.mean if record.mean else np.sum
    terms = np.broadcast_to(evaluate(record.term, r=r, e=e, p=p), r.shape)
    np.testing.assert_allclose(reduce(terms, axis=-1), record.value(r, e, p), rtol=1e-12, atol=1e-15)
    derivative = evaluate(record.derivative, r=r, e=e, p=p) / (r.shape[-1] if record.mean else 1.0)
    np.testing.assert_allclose(derivative, record.gradient(r, e, p), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("record", "p"), cases(list(LOSSES.values())))
def test_loss_gradients_are_central_differences(record: Loss, p: float | None) -> None:
    r, e = results_and_expected(record)
    measured = slope(lambda v: record.value(v, e, p), r)
    np.testing.assert_allclose(record.gradient(r, e, p), measured, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "p", "r", "e", "loss", "slope_at"),
    [
        ("mse", None, 3.0, 1.0, 4.0, 4.0),
        ("mae", None, 3.0, 1.0, 2.0, 1.0),
        ("mae", None, 1.0, 1.0, 0.0, 0.0),
        ("mape", None, 3.0, -2.0, 2.5, 0.5),
        ("mape", None, 1e-7, 0.0, 1.0, 1e7),
        ("mape", None, -2.0, -2.0, 0.0, 0.0),
        ("huber", 1.0, 1.5, 1.0, 0.125, 0.5),
        ("huber", 2.0, 5.0, 1.0, 6.0, 2.0),
        ("huber", 2.0, -5.0, -1.0, 6.0, -2.0),
        ("huber_modified", 1.0, 2.0, 1.0, 0.0, 0.0),
        ("huber_modified", 1.0, 1.0, 1.0, 0.0, 0.0),
        ("huber_modified", 1.0, 0.5, 1.0, 0.25, -1.0),
        ("huber_modified", 1.0, -3.0, 1.0, 12.0, -4.0),
        ("huber_modified", 0.0, 3.0, -1.0, 7.0, 2.0),
        ("hinge", None, 1.0, 1.0, 0.0, -1.0),
        ("hinge", None, 2.0, 1.0, 0.0, 0.0),
        ("hinge", None, 0.5, -1.0, 1.5, 1.0),
        ("cross_entropy", None, 0.5, 1.0, np.log(2.0), -2.0),
        ("cross_entropy", None, 0.0, 1.0, -np.log(1e-7), 0.0),
        ("cross_entropy", None, 1e-7, 1.0, -np.log(1e-7), -1e7),
        ("binary_cross_entropy", None, 0.25, 1.0, np.log(4.0), -4.0),
        ("binary_cross_entropy", None, 0.0, 0.0, 1e-7, 0.0),
        ("binary_cross_entropy", None, 1.0, 0.0, -np.log(1e-7), 0.0),
        ("quantile", 0.9, 1.0, 3.0, 1.8, -0.9),
        ("quantile", 0.9, 3.0, 1.0, 0.2, 0.1),
        ("quantile", 0.9, 3.0, 3.0, 0.0, 0.0),
        ("poisson", None, 2.0, 3.0, 2.0 - 3.0 * np.log(2.0), -0.5),
        ("poisson", None, -1.0, 2.0, -1.0 - 2.0 * np.log(1e-7), 1.0),
        ("log_cosh", None, 1.0, 3.0, math.log(math.cosh(2.0)), -math.tanh(2.0)),
        ("log_cosh", None, 3.0001, 3.0, 0.5e-8, 1e-4),
        ("log_cosh", None, -1e300, 0.0, 1e300, -1.0),
    ],
)
def test_loss_values(name: str, p: float | None, r: float, e: float, loss: float, slope_at: float) -> None:
    record, vector, expected = LOSSES[name], np.array([r]), np.array([e])
    assert record.value(vector, expected, p) == pytest.approx(loss, rel=1e-7, abs=1e-15)
    assert record.gradient(vector, expected, p)[0] == pytest.approx(slope_at, rel=1e-7, abs=1e-15)
    assert evaluate(record.term, r=vector, e=expected, p=p)[0] == pytest.approx(loss, rel=1e-7, abs=1e-15)
    found = evaluate(record.derivative, r=vector, e=expected, p=p)[0]
    assert found == pytest.approx(slope_at, rel=1e-7, abs=1e-15)


@pytest.mark.parametrize(("record", "p"), cases(list(LOSSES.values())))
def test_nan_passes_through_losses(record: Loss, p: float | None) -> None:
    r, e = np.array([np.nan, 0.5]), np.array([1.0, 1.0])
    assert np.isnan(record.value(r, e, p))
    assert np.isnan(record.gradient(r, e, p)[0])
    assert np.isnan(evaluate(record.term, r=r, e=e, p=p)[0])
    assert np.isnan(evaluate(record.derivative, r=r, e=e, p=p)[0])


@pytest.mark.parametrize("record", LOSSES.values(), ids=attrgetter("name"))
def test_losses_never_divide_by_zero(record: Loss) -> None:
    r, e = (np.array(v) for v in zip(*itertools.product([0.0, 1.0, 0.5], [0.0, 1.0, -1.0]), strict=True))
    p = None if record.parameter is None else 1.0
    with np.errstate(all="raise"):
        for text in (record.term, record.derivative):
            value = eval(text, {"__builtins__": {}}, {**WORDS, "r": r, "e": e, "p": p})
            assert np.isfinite(value).all()


@pytest.mark.parametrize(("loss", "form"), LOGITS, ids=[form.activation for _, form in LOGITS])
def test_logit_forms(loss: Loss, form: LogitForm) -> None:
    activation = ACTIVATIONS[form.activation]
    x, e = RNG.normal(0.0, 2.0, (7, 5)), RNG.uniform(0.0, 1.0, (7, 5))
    y = activation.value(x, None)
    np.testing.assert_allclose(form.value(x, e, None), loss.value(y, e, None), rtol=1e-10)
    through = activation.gradient(x, y, loss.gradient(y, e, None), None)
    np.testing.assert_allclose(form.gradient(x, e, None), through, rtol=1e-9, atol=1e-12)
    lse = np.log(np.exp(x).sum(axis=-1, keepdims=True))
    names = {"x": x, "y": y, "e": e, "lse": lse, "esum": e.sum(axis=-1, keepdims=True)}
    reduce = np.mean if loss.mean else np.sum
    np.testing.assert_allclose(reduce(evaluate(form.term, **names), axis=-1), form.value(x, e, None), rtol=1e-12)
    derivative = evaluate(form.derivative, **names) / (x.shape[-1] if loss.mean else 1.0)
    np.testing.assert_allclose(derivative, form.gradient(x, e, None), rtol=1e-10, atol=1e-14)


def test_logit_forms_are_exact_where_a_clip_would_bite() -> None:
    softmax = LOSSES["cross_entropy"].logit_form("softmax")
    sigmoid = LOSSES["binary_cross_entropy"].logit_form("sigmoid")
    assert softmax.value(np.array([0.0, 500.0]), np.array([1.0, 0.0]), None) == pytest.approx(500.0)
    assert sigmoid.value(np.array([-500.0]), np.array([1.0]), None) == pytest.approx(500.0)
    assert evaluate(sigmoid.term, x=np.array([-500.0]), e=1.0)[0] == pytest.approx(500.0)
    np.testing.assert_allclose(sigmoid.gradient(np.array([-500.0]), np.array([1.0]), None), [-1.0])
    assert LOSSES["cross_entropy"].logit_form("sigmoid") is None
    assert LOSSES["mse"].logit_form("softmax") is None


# Merges


SINGLE = {"scale", "dot"}  # merges with a single number on one side


@pytest.mark.parametrize("record", [MERGES[name] for name in MERGES if name not in SINGLE], ids=attrgetter("name"))
def test_merges(record: Merge) -> None:
    x, o = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
    value = record.value(x, o)
    g = RNG.normal(size=value.shape)
    g_x, g_o = record.gradient(x, o, g)
    measured = slope(lambda v: (record.value(v, o) * g).sum(axis=-1), x)
    np.testing.assert_allclose(g_x, measured, rtol=1e-6, atol=1e-8)
    measured = slope(lambda v: (record.value(x, v) * g).sum(axis=-1), o)
    np.testing.assert_allclose(g_o, measured, rtol=1e-6, atol=1e-8)
    if not record.concatenates:
        np.testing.assert_array_equal(evaluate(record.forward, x=x, o=o), value)
        np.testing.assert_array_equal(np.broadcast_to(evaluate(record.d_x, x=x, o=o, g=g), x.shape), g_x)
        np.testing.assert_array_equal(evaluate(record.d_o, x=x, o=o, g=g), g_o)


def test_merge_values() -> None:
    x, o = np.array([6.0]), np.array([2.0])
    values = {
        "additive": [8.0],
        "multiplicative": [12.0],
        "average": [4.0],
        "subtractive": [4.0],
        "concatenate": [6.0, 2.0],
    }
    assert {name: MERGES[name].value(x, o).tolist() for name in values} == values


@pytest.mark.parametrize(("name", "larger"), [("maximum", 2.0), ("minimum", 1.0)])
def test_the_larger_and_the_smaller(name: str, larger: float) -> None:
    record, x, o = MERGES[name], np.array([1.0, 2.0, 3.0, np.nan, 1.0]), np.array([2.0, 1.0, 3.0, 1.0, np.nan])
    wanted = [larger, larger, 3.0, np.nan, np.nan]
    np.testing.assert_array_equal(record.value(x, o), wanted)
    np.testing.assert_array_equal(evaluate(record.forward, x=x, o=o), wanted)
    to_x, to_o = record.gradient(x[:3], o[:3], np.ones(3))
    assert (to_x[2], to_o[2]) == (1.0, 0.0), "at a tie the derivative is x's"


def test_a_quotient_is_what_ieee_says() -> None:
    record, x, o = MERGES["divisive"], np.array([6.0, 1.0, -1.0, 0.0]), np.array([2.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(record.value(x, o), [3.0, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("record", [MERGES[name] for name in ("scale", "dot", "take")], ids=attrgetter("name"))
def test_merges_of_other_widths(record: Merge) -> None:
    """Widths as the record states them; texts as shares of one number where there is one."""
    x, o = RNG.normal(size=(4, 3)), RNG.normal(size=(4, {"one": 1, "same": 3, "any": 5}[record.other_width]))
    value = record.value(x, o)
    assert value.shape[-1] == {"x": 3, "one": 1, "other": o.shape[-1]}[record.result]
    g = RNG.normal(size=value.shape)
    g_x, g_o = record.gradient(x, o, g)
    np.testing.assert_allclose(g_x, slope(lambda v: (record.value(v, o) * g).sum(-1), x), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(g_o, slope(lambda v: (record.value(x, v) * g).sum(-1), o), rtol=1e-6, atol=1e-8)
    assert g_x.any() == record.reads_x
    forward, to_o = evaluate(record.forward, x=x, o=o), evaluate(record.d_o, x=x, o=o, g=g)
    np.testing.assert_allclose(forward.sum(-1, keepdims=True) if record.result == "one" else forward, value)
    np.testing.assert_allclose(to_o.sum(-1, keepdims=True) if record.other_width == "one" else to_o, g_o)
    np.testing.assert_allclose(np.broadcast_to(evaluate(record.d_x, x=x, o=o, g=g), x.shape), g_x)


def test_concatenate_takes_two_widths() -> None:
    x, o, g = np.ones((2, 1)), np.zeros((2, 3)), np.arange(8.0).reshape(2, 4)
    g_x, g_o = MERGES["concatenate"].gradient(x, o, g)
    assert g_x.tolist() == [[0.0], [4.0]]
    assert g_o.tolist() == [[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]]


# Initialisers


def draw(record: Initializer, fan_in: int, width: int, *values: float, seed: int = 5) -> np.ndarray:
    return record.draw(np.random.Generator(np.random.PCG64(seed)), fan_in, width, *values)


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(5))


def test_weight_draws_are_those_of_the_contract() -> None:
    n, m = 30, 20
    bound = np.sqrt(6.0 / 50.0)
    expected = {
        "xavier": generator().uniform(-bound, bound, (n, m)),
        "he": generator().uniform(-np.sqrt(0.2), np.sqrt(0.2), (n, m)),
        "lecun": generator().normal(0.0, np.sqrt(1.0 / 30.0), (n, m)),
        "uniform": generator().uniform(0.0, 1.0, (n, m)),
        "normal": generator().normal(0.0, 1.0, (n, m)),
    }
    for name, values in expected.items():
        record = WEIGHT_INITIALIZERS[name]
        defaults = [parameter.default for parameter in record.parameters]
        np.testing.assert_array_equal(draw(record, n, m, *defaults), values)


def test_draws_use_their_numbers() -> None:
    uniform = draw(WEIGHT_INITIALIZERS["uniform"], 100, 100, 2.0, 4.0)
    assert (uniform.min() >= 2.0, uniform.max() < 4.0, round(uniform.mean(), 1)) == (True, True, 3.0)
    normal = draw(WEIGHT_INITIALIZERS["normal"], 100, 100, 5.0, 0.5)
    assert (round(normal.mean(), 1), round(normal.std(), 1)) == (5.0, 0.5)
    assert draw(WEIGHT_INITIALIZERS["normal"], 2, 2, 5.0, -0.0).tolist() == [[5.0, 5.0], [5.0, 5.0]]
    assert draw(BIAS_INITIALIZERS["zero"], 9, 3).tolist() == [0.0, 0.0, 0.0]
    assert draw(BIAS_INITIALIZERS["const_flat"], 9, 3, 0.1).tolist() == [0.1, 0.1, 0.1]
    uneven = draw(BIAS_INITIALIZERS["const_uneven"], 9, 3, 0.1, 0.5)
    np.testing.assert_array_equal(uneven, generator().normal(0.1, 0.5, 3))


@pytest.mark.parametrize("name", [*WEIGHT_INITIALIZERS, *BIAS_INITIALIZERS])
def test_draws_have_their_shape_and_type(name: str) -> None:
    record = {**WEIGHT_INITIALIZERS, **BIAS_INITIALIZERS}[name]
    values = [0.5, 0.75][: len(record.parameters)] if name != "chrono" else [9.0]
    fan_in = 4 if record.square else 6
    drawn = draw(record, fan_in, 4, *values)
    assert drawn.shape == ((fan_in, 4) if name in WEIGHT_INITIALIZERS else (4,))
    assert drawn.dtype == np.float64
    assert drawn.flags.c_contiguous


@pytest.mark.parametrize(("n", "m"), [(7, 4), (4, 7), (5, 5), (1, 3), (3, 1)])
def test_orthogonal(n: int, m: int) -> None:
    weight = draw(WEIGHT_INITIALIZERS["orthogonal"], n, m, 1.0)
    np.testing.assert_array_equal(draw(WEIGHT_INITIALIZERS["orthogonal"], n, m, -1.5), -1.5 * weight)
    product = weight.T @ weight if n >= m else weight @ weight.T
    np.testing.assert_allclose(product, np.eye(min(n, m)), atol=1e-14)
    tall = generator().normal(0.0, 1.0, (max(n, m), min(n, m)))
    triangle = (weight if n >= m else weight.T).T @ tall
    assert (np.diagonal(triangle) > 0.0).all()
    np.testing.assert_allclose(np.tril(triangle, -1), 0.0, atol=1e-13)


def test_identity_and_spectral_are_square() -> None:
    assert [record.name for record in WEIGHT_INITIALIZERS.values() if record.square] == ["identity", "spectral"]
    assert draw(WEIGHT_INITIALIZERS["identity"], 2, 2, -0.5).tolist() == [[-0.5, 0.0], [0.0, -0.5]]


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_spectral(density: float) -> None:
    weight, rng = draw(WEIGHT_INITIALIZERS["spectral"], 30, 30, 0.9, density), generator()
    plain = rng.normal(0.0, 1.0, (30, 30))
    if density < 1.0:
        plain[rng.uniform(0.0, 1.0, (30, 30)) >= density] = 0.0
    assert ((weight == 0.0) == (plain == 0.0)).all()
    assert np.abs(np.linalg.eigvals(weight)).max() == pytest.approx(0.9)
    ratio = weight[plain != 0.0] / plain[plain != 0.0]
    np.testing.assert_allclose(ratio, ratio[0])


def test_a_spectral_weight_without_a_radius_stays_zero() -> None:
    """Of so few numbers none is kept; and a single one above the diagonal has no eigenvalue but 0."""
    spectral = WEIGHT_INITIALIZERS["spectral"]
    assert not draw(spectral, 3, 3, 0.9, 1e-9).any()
    few = [draw(spectral, 2, 2, 0.9, 0.2, seed=seed) for seed in range(20)]
    assert np.isfinite(few).all()
    assert not draw(spectral, 4, 4, 0.0, 1.0).any()


def test_spaced_and_chrono() -> None:
    spaced, chrono = BIAS_INITIALIZERS["spaced"], BIAS_INITIALIZERS["chrono"]
    assert draw(spaced, 9, 5, -1.0, 1.0).tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert draw(spaced, 9, 1, 3.0, 7.0).tolist() == [3.0]
    assert np.isfinite(draw(spaced, 9, 3, -1e308, 1e308)).all()
    np.testing.assert_array_equal(draw(chrono, 9, 4, 20.0), np.log(generator().uniform(1.0, 19.0, 4)))


@pytest.mark.parametrize(
    ("record", "values", "said"),
    [
        (WEIGHT_INITIALIZERS["spectral"], (-0.1, 1.0), "spectral radius must be at least 0, not -0.1"),
        (WEIGHT_INITIALIZERS["spectral"], (0.9, 0.0), "density must be greater than 0, not 0.0"),
        (WEIGHT_INITIALIZERS["spectral"], (0.9, 1.5), "density must be at most 1, not 1.5"),
        (BIAS_INITIALIZERS["chrono"], (2.0,), "longest time must be greater than 2, not 2.0"),
    ],
)
def test_ranges_of_initialisers(record: Initializer, values: tuple[float, ...], said: str) -> None:
    checks = [one.check(value) for one, value in zip(record.parameters, values, strict=True)]
    assert [check for check in checks if check] == [said]


def test_bounds_go_in_order() -> None:
    uniform = WEIGHT_INITIALIZERS["uniform"]
    assert uniform.check_order((1.0, 0.0)) == "low must be at most high: 1.0 is greater than 0.0"
    assert uniform.check_order((1.0, 1.0)) is None
    assert "too far apart" in str(uniform.check_order((-1e308, 1e308)))
    assert WEIGHT_INITIALIZERS["normal"].check_order((1.0, 0.0)) is None
