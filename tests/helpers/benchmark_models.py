"""Small models for tests of the benchmark tool's programs."""

from __future__ import annotations

from itertools import islice
from typing import Any

from helpers.tools import room

EXTRA = [
    "(input, 3) (a, 5, <relu_leaky>) (b, 4, <elu, 0.5>) (output, 2, <sigmoid>, <binary_cross_entropy>)",
    "(input, 3) [s, (a, 5, <swish>) | (b, 2, <swish>)] {m, a, additive} {n, b, subtractive}"
    " (output, 2, <tanh>, <hinge>)",
    "(input, 2) {m, output, average} (output, 2, <softmax>, <cross_entropy>)",
    "(input, 2) [t,] {m, h, concatenate} {k, t, concatenate} (h, 3, <tanh>) (output, 2, <sigmoid>, <huber>)",
]

STYLES: list[dict[str, bool]] = [
    {"fused": False},
    {"fused": True},
    {"fused": True, "layered": True},
    {"fused": True, "layered": True, "linear": True},
]

# Reads further back than a step, in a loop and outside, of loops and of what needs none.
DELAYS = [
    "(input, 3) {seen, h, concatenate, 3} (h, 4, <tanh>) {late, h, additive, 2} (output, 2, <linear>, <mse>)",
    "(input, 3) [i,] (a, 3, <tanh>) {m, i, additive, 2} {n, late, additive, 1} (late, 4, <tanh>) {o, n, average, 5}"
    " (output, 2, <linear>, <mse>)",
    "(input, 3) {o, c, concatenate, 1} (c, 4, <conv, 3, 2>) (output, 2, <linear>, <mse>)",
    "(input, 3) {total, total, additive, 1} (c, 4, <conv, 2, 3>) {both, total, concatenate, 6} (d, 5, <conv, 2>)"
    " (output, 2, <linear>, <mse>)",
]
# Elementwise layers, activations with numbers, and merges of single numbers.
NODES = [
    "(input, 4) (m, <standardize>) (a, 4, <tanh>) (b, <gain>) (c, <shift, 1>) (d, <prelu>) (e, <norm>) (f, <rms_norm>)"
    " (output, 2, <restore>, <huber>)",
    "(input, 4) [one, (l, 4, <learned>) (k, <softplus>)] {s, k, maximum} {t, one, minimum} {u, k, divisive}"
    " [n, (g, 1, <sigmoid>)] {w, g, scale} {x, k, dot} (output, 2, <linear>, <log_cosh>)",
    "(input, 4) {o, w, take, 2} (a, <clip, 0.5>) {b, input, additive} (c, <times, 0.3>) (w, 4, <tanh>)"
    " (output, 2, <linear>, <mse>)",
]


def cell_texts() -> list[tuple[str, str]]:
    """The listed cases of cells, convolutions and so on, small; and what of them is frozen."""
    cases = room("peers.cases")
    stack = cases.cells(4, *(f"block, {dilation}" for dilation in (1, 2, 4)), definition=cases.BLOCK)
    library = [cases.cells(5, *names) for names in (
        ("lstm", "lstm", "lstm"), ("gru",), ("min_gru",), ("lif",), ("min_lstm", "rnn"), ("gru_before", "leaky"),
        ("ind_rnn",),
    )]  # fmt: skip
    normed = cases.cells(5, "normed", definition=cases.NORMED_RNN)
    reservoir = cases.RESERVOIR.replace("400", "20").replace("0.1>", "0.5>")
    return [(reservoir, "h.*"), *((text, "") for text in (*library, normed, stack))]


def small_cases() -> list[Any]:
    cases, random_cases, case_of = room("peers.cases"), room("peers.random_cases"), room("peers.case").Case
    texts = [
        cases.example_model("lstm-model", 4), cases.example_model("big-model", 4), cases.textbook(3), cases.chain(),
        cases.CLASSIFIER.format(6, "(a, 5, <relu>)", 3), random_cases.GRU.format(inputs=3, width=5, outputs=2),
        *(f"/xavier,const_uneven 0.1 0.3/ {text}" for text in (*EXTRA, *DELAYS, *NODES)),
    ]  # fmt: skip
    found = [case_of("small", text, 3, 4, 4, 0.1) for text in texts]
    found += [case_of("small", text, 3, 4, 4, 0.1, frozen=frozen) for text, frozen in cell_texts()]
    return found + [case for case in islice(random_cases.random_cases(5), 24) if case.name.endswith("wild")]
