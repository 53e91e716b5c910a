"""Elementwise layers with parameters, and merges with single numbers, in every place of a model."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.texts import text_of
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
KERNELS: dict[str, dict[str, Any]] = {
    "one thread": {}, "one lane": {"batch": 1}, "wide vectors, many lanes": {"batch": 17, "kernel": {"lanes": 8}},
    "threads": {"batch": 8, "kernel": {"threads": 2}}, "sample weights": {"weighted": True},
    "float32": {"dtype": "float32", "kernel": {"lanes": 8, "registers": 32}},
}  # fmt: skip


@pytest.mark.parametrize("kind", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("body", LAYERS.values(), ids=LAYERS)
def test_the_plain_source_means_what_the_interpreter_means(body: str, kind: dict[str, Any]) -> None:
    check_plain(text_of(body), window=4, samples=9, **kind)
