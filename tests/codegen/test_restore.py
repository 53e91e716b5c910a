"""An output that restores the units of what is expected, with the loss in standard units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers import witnesses
from helpers.texts import HEADER
from helpers.witnesses import assert_agree, kernel_of, kernel_outcome, plain, reference_outcome, trial_of

LOSSES = ["<mse>", "<mae>", "<huber, 0.7>", "<quantile, 0.3>", "<log_cosh>"]
BODIES = {
    "dense": "(a, 5, <tanh>)", "its own result is read": "{a, output, concatenate, 1} (b, 5, <tanh>)",
    "its result of two steps before": "{a, output, concatenate, 2} (b, 5, <tanh>)",
}  # fmt: skip
KERNELS: dict[str, dict[str, Any]] = {
    "one thread": {}, "wide vectors": {"lanes": 8}, "threads": {"threads": 2}, "float32": {"dtype": "float32"},
}  # fmt: skip


def text_of(body: str, loss: str = "<mse>") -> str:
    return f"{HEADER} (input, 3) {body} (output, 5, <restore>, {loss})"


def trial(text: str, weighted: bool = False) -> witnesses.Trial:
    """Data in units far from standard ones."""
    found, rng = trial_of(text, samples=9, window=4, weighted=weighted), np.random.default_rng(2)
    units = {"output.mean": rng.normal(size=5) * 3.0, "output.scale": rng.uniform(0.5, 4.0, 5)}
    expected = units["output.mean"] + units["output.scale"] * rng.normal(size=found.expected.shape)
    expected[np.isnan(found.expected)] = np.nan
    return replace(found, parameters=found.parameters | units, expected=expected)


def check(text: str, kernel: dict[str, Any], weighted: bool = False) -> None:
    made = kernel_of(text, **kernel)
    one = trial(text, weighted)
    found, wanted = kernel_outcome(made, plain(made), one), reference_outcome(one)
    assert_agree(found, wanted, witnesses.TOLERANCE[kernel.get("dtype", "float64")], text)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_plain_source_means_what_the_interpreter_means(body: str, kernel: dict[str, Any]) -> None:
    check(text_of(body), kernel)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_that_compares_units(loss: str) -> None:
    check(text_of(BODIES["its own result is read"], loss), {}, weighted=True)


def test_the_loss_is_that_of_a_linear_output_on_standardized_targets() -> None:
    text, one = text_of(BODIES["dense"]), trial(text_of(BODIES["dense"]))
    linear = replace(trial_of(text.replace("restore", "linear"), samples=9, window=4))
    mean, scale = one.parameters["output.mean"], one.parameters["output.scale"]
    shared = {name: value for name, value in one.parameters.items() if name in linear.parameters}
    other = replace(linear, parameters=shared, inputs=one.inputs, expected=(one.expected - mean) / scale)
    found, wanted = reference_outcome(one), reference_outcome(other)
    np.testing.assert_allclose(found.losses, wanted.losses)
    np.testing.assert_allclose(found.predictions, mean + scale * wanted.predictions)
    assert found.gradients.keys() == wanted.gradients.keys(), "mean and scale are never among the gradients"
    for name, gradient in found.gradients.items():
        np.testing.assert_allclose(gradient, wanted.gradients[name])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("(a, 3, <restore>) (o, 1, <linear>, <mse>)", r"'restore' is for the output only, such as \(output"),
        ("(a, <restore>) (o, 1, <linear>, <mse>)", "'restore' is for the output only"),
        ("(o, 1, <restore>, <hinge>)", "'restore' goes with mse, mae, huber, quantile or log_cosh, not with 'hinge'"),
        ("(o, 1, <norm>, <mse>)", "'o' can't be the output: 'norm' is an elementwise layer"),
        ("(a, 3, <norm>) (o, 1, <linear>, <mse>)", r"takes no width: write \(a, <norm>\)"),
        ("(a, <learned>) (o, 1, <linear>, <mse>)", r"'learned' needs a width: write \(a, 8, <learned>\)"),
        ("(a, <norm, 0>) (o, 1, <linear>, <mse>)", "epsilon must be greater than 0"),
        ("(a, <norm>, /xavier,/) (o, 1, <linear>, <mse>)", "'xavier' needs a matrix"),
        ("(a, <shift>, /normal,/) (o, 1, <linear>, <mse>)", "'shift' has no weight that an initialiser could draw"),
        ("(a, <standardize>, /,zero/) (o, 1, <linear>, <mse>)", "'standardize' has no bias"),
        ("(a, <tanh>, /,zero/) (o, 1, <linear>, <mse>)", "'a' has no parameters that initialisers could draw"),
        ("(a, 4, <conv>) (o, 1, <linear>, <mse>)", "'conv' needs a number"),
        ("(a, <conv, 2>) (o, 1, <linear>, <mse>)", "'a' is a convolution and needs a width"),
        ("(a, 4, <conv, 2.5>) (o, 1, <linear>, <mse>)", "the number of steps must be a whole number"),
        ("(a, 4, <conv, 3, 3000>) (o, 1, <linear>, <mse>)", "would read 6,000 steps back: at most 4,096"),
        ("(a, 4, <tanh>) {b, a, dot} {c, i, dot} (o, 1, <linear>, <mse>)", "'dot' needs a second vector of width 1"),
        ("(a, 4, <tanh>) {b, i, scale} (o, 1, <linear>, <mse>)", "of width 1, and 'i' has 3"),
        ("{a, b, additive, 0} (b, 3, <tanh>) (o, 1, <linear>, <mse>)", "it: 'a' reads 'b' reads 'a'; write 1"),
        ("{a, a, take} (o, 1, <linear>, <mse>)", "the width of 'a' depends on itself"),
        ("{a, a, concatenate, 3} (o, 1, <linear>, <mse>)", "the width of 'a' depends on itself"),
    ],
)  # fmt: skip
def test_wrong_texts(nodes: str, message: str) -> None:
    from neuromorph.errors import MDLSemanticError

    with pytest.raises(MDLSemanticError, match=message):
        witnesses.graph_of(f"{HEADER} (i, 3) {nodes}")
