"""Numbers of a text that the model's type can't tell from zero, where they must be greater."""

from __future__ import annotations

import pytest

import neuromorph as nm


@pytest.mark.parametrize(
    "node", ["(a, <norm, 1e-60>)", "(a, <clip, 1e-60>)", "(a, 3, <linear>) (b, <rms_norm, 1e-45>)"]
)
def test_a_number_that_is_zero_in_float32_is_refused(node: str) -> None:
    text = f"/xavier,zero/ (input, 3) {node} (output, 1, <linear>, <huber, 0.5>)"
    with pytest.raises(nm.MDLSemanticError, match="is 0 in float32"):
        nm.compile(text, 2, 0.1)
    nm.compile(text, 2, 0.1, dtype="float64")


def test_that_of_the_loss_too() -> None:
    with pytest.raises(nm.MDLSemanticError, match="the number of huber in 'output' is 0 in float32"):
        nm.compile("/xavier,zero/ (input, 3) (output, 1, <linear>, <huber, 1e-60>)", 2, 0.1)
