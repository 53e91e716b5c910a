"""Reads of earlier steps: delays of any length and convolutions, in every place of a model."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.texts import in_turns, text_of
from helpers.witnesses import check_plain

DELAYS = {
    "a delayed input": "{a, input, additive, 3} (b, 4, <tanh>)",
    "the input of before, concatenated": "{a, input, concatenate, 2} (b, 4, <tanh>)",
    "a delay line": "[x,] {a, x, concatenate, 1} {b, x, concatenate, 2} {c, x, concatenate, 5} (d, 5, <tanh>)",
    "two delays of a layer": "(a, 5, <tanh>) {b, a, additive, 1} {c, a, multiplicative, 4} (d, 3, <tanh>)",
    "a layer of before behind a layer": "(a, 3, <tanh>) (b, 3, <tanh>) {c, a, concatenate, 2} (d, 4, <sigmoid>)",
    "unequal widths": "(a, 6, <tanh>) (b, 4, <tanh>) {c, a, multiplicative, 2} (d, 6, <tanh>) {e, b, additive, 3}",
    "a loop of two steps": "{xh, h, concatenate, 2} (h, 5, <tanh>)",
    "a loop of one and two steps": "{xh, h, concatenate, 1} {xhh, h, concatenate, 2} (h, 5, <tanh>)",
    "a loop and a delay of it": "{xh, h, concatenate} (h, 5, <tanh>) {o, h, additive, 3}",
    "a sum two steps apart": "(a, 4, <tanh>) {b, b, additive, 2}",
    "a later layer of before": "{a, c, additive, 2} (b, 4, <tanh>) (c, 3, <tanh>)",
    "the output of before": "{a, output, concatenate, 2} (b, 4, <tanh>)",
    "the output of one step before, twice": "{a, output, concatenate, 1} {b, output, concatenate} (c, 4, <tanh>)",
    "an earlier node of its own loop": "{a, d, additive} [s, (b, 3, <sigmoid>)] {d, b, multiplicative, 1}",
    "an earlier node of its own loop, concatenated":
        "{a, e, additive} [s, (b, 3, <sigmoid>)] {c, b, concatenate, 1} (d, <tanh>) {e, b, average}",
    "an earlier node of its own loop, taken": "{a, d, concatenate, 1} (b, 3, <tanh>) (c, <sigmoid>) {d, b, take, 1}",
    "a later node without a loop":
        "(a, 4, <tanh>) [s, {c, d, additive, 2} (e, 4, <tanh>)] [t, (d, 4, <tanh>)] (f, 4, <tanh>) {g, e, additive}",
    "a softmax": "(a, 5, <softmax>) {b, a, additive, 2} (c, 9, <softmax>) {d, c, multiplicative, 1}",
    "a chain of delays": "(a, 4, <tanh>) {b, a, additive, 1} {c, b, additive, 2} {d, c, additive, 3}",
    "this step, insisted":
        "[s, {b, d, additive, 0} (c, 4, <tanh>)] [t, (d, 3, <tanh>)] (e, 4, <tanh>) {f, c, additive}",
}  # fmt: skip
CONVOLUTIONS = {
    "of the input": "(a, 5, <conv, 3>)",
    "dilated": "(a, 5, <conv, 3, 2>) (b, <tanh>)",
    "of one tap": "(a, 5, <conv, 1>) (b, <tanh>)",
    "stacked": "(a, 5, <conv, 2>) (b, <relu>) (c, 6, <conv, 2, 3>) (d, <tanh>)",
    "with a residual": "(a, 5, <tanh>) [s,] (b, 5, <conv, 4>) (c, <tanh>) {d, s, additive}",
    "side by side": "(a, 5, <tanh>) [s, (b, 3, <conv, 3>) | (c, 9, <conv, 3>)] {d, b, concatenate} {e, c, concatenate}",
    "of a concatenation": "(a, 5, <tanh>) {b, a, concatenate} (c, 4, <conv, 2>) (d, 3, <tanh>)",
    "in a loop": "{xh, h, concatenate} (a, 4, <conv, 3>) (h, <tanh>)",
    "in a loop, dilated": "{xh, h, concatenate, 2} (a, 4, <conv, 2, 3>) (h, <tanh>)",
    "behind a loop": "{xh, h, concatenate} (h, 5, <tanh>) (a, 9, <conv, 3>) (b, <tanh>)",
    "in a branch before a loop": "(a, 5, <conv, 2>) {xh, h, concatenate} (h, 5, <tanh>)",
}  # fmt: skip
SHAPES = {"windows shorter than the delay": (2, 7), "longer windows": (6, 13), "windows of one step": (1, 4)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("body", [*DELAYS.values(), *CONVOLUTIONS.values()], ids=[*DELAYS, *CONVOLUTIONS])
def test_the_plain_source_means_what_the_interpreter_means(body: str, shape: tuple[int, int]) -> None:
    window, samples = shape
    check_plain(text_of(body), window=window, samples=samples)


KERNELS: dict[str, dict[str, Any]] = {
    "one lane": {"batch": 1}, "wide vectors, many lanes": {"batch": 17, "kernel": {"lanes": 8}},
    "threads": {"batch": 8, "kernel": {"threads": 2}}, "threads with unequal lanes": {"kernel": {"threads": 2}},
    "sample weights": {"weighted": True}, "float32": {"dtype": "float32", "kernel": {"lanes": 8, "registers": 32}},
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), in_turns(DELAYS | CONVOLUTIONS, KERNELS))
def test_the_same_in_other_kernels(body: str, kind: str) -> None:
    check_plain(text_of((DELAYS | CONVOLUTIONS)[body]), window=4, samples=9, **KERNELS[kind])
