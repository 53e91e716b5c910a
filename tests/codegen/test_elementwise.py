"""Elementwise layers with parameters, and merges with single numbers, in every place of a model."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.texts import in_turns, text_of
from helpers.witnesses import check_plain

LAYERS = {
    "gain": "(a, 5, <tanh>) (b, <gain, 0.7>)", "shift": "(a, 5, <tanh>) (b, <shift, 0.3>)",
    "prelu": "(a, 5, <linear>) (b, <prelu>)", "norm": "(a, 5, <tanh>) (b, <norm>)",
    "a wide norm": "(a, 19, <tanh>) (b, <norm, 0.1>)", "rms_norm": "(a, 9, <tanh>) (b, <rms_norm, 0.01>)",
    "standardize": "(a, 5, <tanh>) (b, <standardize>)", "of the input": "(a, <gain>) (b, <norm>) (c, <standardize>)",
    "learned": "(a, 5, <tanh>) [s, (b, 5, <learned, 0.4>)] {c, b, additive}",
    "learned without a number": "(a, 5, <tanh>) [s, (b, 7, <learned>) (c, 5, <tanh>)] {d, c, multiplicative}",
    "a number for all": "(a, 5, <tanh>) [s, (b, 1, <learned, 2>)] {c, b, additive}",
    "one behind the other": "(a, 6, <tanh>) (b, <gain>) (c, <shift>) (d, <prelu, -0.3>) (e, <rms_norm>) (f, <norm>)",
    "a norm in a loop": "{xh, h, concatenate} (a, 6, <linear>) (b, <norm, 0.1>) (h, <tanh>)",
    "a gain in a loop": "{xh, h, concatenate} (a, 6, <tanh>) (h, <gain, 0.9>)",
    "learned in a loop": "{xh, h, concatenate} (a, 3, <tanh>) [s, (b, 3, <learned, 0.2>)] {h, b, additive}",
    "a norm of a delay": "(a, 5, <tanh>) {b, a, concatenate, 2} (c, <norm, 0.1>) {d, c, additive, 1}",
    "a norm of one component": "(a, 1, <tanh>) (b, <norm, 0.5>)",
    "in a branch": "(a, 5, <tanh>) [s, (b, <norm, 0.1>) | (c, <gain>)] {d, b, concatenate} {e, c, multiplicative}",
    "read twice": "(a, 5, <tanh>) (b, <gain>) {c, b, multiplicative} {d, a, additive}",
    "initialisers of their own":
        "(a, 5, <tanh>) (b, <gain>, /normal 1 0.1,/) (c, <norm>, /uniform 0.5 1,const_flat 0.2/)",
}  # fmt: skip
MERGES = {
    "taken of this step": "(a, 5, <tanh>) [s, (b, 7, <tanh>)] {c, b, take} (d, 4, <tanh>)",
    "taken of before": "(a, 5, <tanh>) {b, a, take, 2} (c, 4, <tanh>)",
    "the input, taken": "(a, 5, <tanh>) {b, input, take, 1} (c, 4, <tanh>) {d, a, additive}",
    "taken in a loop": "(a, 5, <tanh>) [s, {o, h, take, 1} (r, 5, <linear>)] {h, r, additive}",
    "taken twice": "(a, 5, <tanh>) {b, a, take, 1} {c, b, take, 2} {d, a, additive}",
    "scaled": "(a, 5, <tanh>) [s, (w, 1, <sigmoid>)] {b, w, scale} (c, 3, <tanh>)",
    "scaled by the step before": "(a, 9, <tanh>) [s, (w, 1, <sigmoid>)] {b, w, scale, 2}",
    "a scale in a loop": "{xh, h, concatenate} (a, 5, <tanh>) [s, (w, 1, <sigmoid>)] {h, w, scale}",
    "a product of two": "(a, 5, <tanh>) [s, (b, 5, <sigmoid>)] {c, b, dot} (d, 4, <tanh>)",
    "a wide product of two": "(a, 19, <tanh>) [s, (b, 19, <sigmoid>)] {c, b, dot, 1} (d, 4, <tanh>)",
    "a product of two numbers": "(a, 1, <tanh>) [s, (b, 1, <tanh>)] {c, b, dot}",
    "a product with itself": "(a, 5, <tanh>) {c, a, dot} (d, 4, <tanh>)",
    "attention to one step":
        "(a, 5, <tanh>) [s, (q, 5, <tanh>) {w, a, dot} (e, <sigmoid>)] {b, e, scale} {c, a, additive}",
    "a product in a loop": "{xh, h, concatenate} (a, 5, <tanh>) [s, {w, h, dot, 1}] {h, w, scale}",
    "the larger of two": "(a, 5, <tanh>) {b, a, maximum, 2} [s, (c, 3, <tanh>)] {d, c, minimum}",
    "a quotient": "(a, 5, <tanh>) [s, (b, 5, <exp>)] {c, b, divisive}",
}  # fmt: skip
CELLS = {
    "rnn": "(h, 5, <rnn>)", "lstm": "(h, 5, <lstm>)", "gru": "(h, 5, <gru>)", "gru_before": "(h, <gru_before>)",
    "min_gru": "(h, 5, <min_gru>)", "min_lstm": "(h, 5, <min_lstm>)", "ind_rnn": "(h, 5, <ind_rnn>)",
    "leaky": "(h, 5, <leaky>) (g, 9, <leaky, 0.5>)", "stacked": "(h, 5, <gru>) (n, <norm>) (g, 4, <lstm, 2>)",
    "lif": "(h, 5, <lif>, /normal 0 2,/) (g, 9, <lif, 0.5>, /normal 0 2,/)",
}  # fmt: skip
KERNELS: dict[str, dict[str, Any]] = {
    "one thread": {}, "one lane": {"batch": 1}, "wide vectors, many lanes": {"batch": 17, "kernel": {"lanes": 8}},
    "threads": {"batch": 8, "kernel": {"threads": 2}}, "sample weights": {"weighted": True},
    "float32": {"dtype": "float32", "kernel": {"lanes": 8, "registers": 32}},
}  # fmt: skip
BODIES = LAYERS | MERGES | CELLS


@pytest.mark.parametrize(("body", "kind"), in_turns(BODIES, KERNELS))
def test_the_plain_source_means_what_the_interpreter_means(body: str, kind: str) -> None:
    check_plain(text_of(BODIES[body]), window=4, samples=9, **KERNELS[kind])
