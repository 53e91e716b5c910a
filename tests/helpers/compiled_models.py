"""The models that are compiled for the tests of kernels' results, and for those of their machine code."""

from helpers.function_forms import PARAMETERS
from helpers.texts import GRU, HEADER, LSTM, STRUCTURES, text_of
from neuromorph.functions import ACTIVATIONS, MERGES


def zoo(widths: tuple[int, ...], loss: str) -> str:
    """A model with every activation, with given and with default numbers, and every merge, of equal and unequal
    widths."""
    functions = [f"<{name}{PARAMETERS.get(name, '')}>" for name in sorted(ACTIVATIONS)]
    members = [f"(a{n}, {widths[n % len(widths)]}, {function})" for n, function in enumerate(functions)]
    operations = [name for name in sorted(MERGES) if MERGES[name].result == "x" and name not in ("divisive", "scale")]
    merges = [f"{{m{n}, a{n}, {operations[n % len(operations)]}}}" for n in range(len(members))]
    merges.append(f"{{quotient, a{functions.index('<sigmoid>')}, divisive}} (squashed, <tanh>)")  # no divisor is 0
    return f"{HEADER} (input, 5) [all, {' | '.join(members)}] (b, {widths[0]}, <tanh>) {''.join(merges)} {loss}"


COMPILED = {
    "zoo of float64 in 256 bits": (zoo((5,), "(out, 3, <softmax>, <cross_entropy>)"), "float64", 4, 16, 8),
    "zoo of float32 in 512 bits": (zoo((7, 19), "(out, 18, <softmax>, <cross_entropy>)"), "float32", 16, 32, 3),
    "lstm of float64 in 128 bits": (LSTM, "float64", 2, 16, 17),
    "gru of float32 in 256 bits": (GRU, "float32", 8, 16, 1),
    "concatenations of float64 in 512 bits": (
        text_of(STRUCTURES["late, read outside"] + "{k, m, concatenate} (f, <sigmoid>) {l, f, concatenate}"),
        "float64", 8, 32, 3,
    ),
    "loops of float32 in 128 bits": (
        text_of(STRUCTURES["two loops side by side"] + "{q, q, average} {r, r, subtractive} {u, q, multiplicative}"),
        "float32", 4, 16, 5,
    ),
}  # fmt: skip

# Texts that together have all nodes of the second edition: convolutions and elementwise layers inside a loop and
# outside, delays of up to five steps, merges with single numbers, every cell of the library, an output that restores
# units.
CHAIN = (
    "({0}1, <norm, 0.1>) ({0}2, <gain, 0.7>) ({0}3, <shift, 0.3>) ({0}4, <prelu>) ({0}5, <rms_norm, 0.1>)"
    "({0}6, <standardize>) ({0}7, <dropout, 0.3>)"
)
LAYERS = f"""{HEADER}
(input, 3) [x,]
(filtered, 7, <conv, 2, 3>) {CHAIN.format("n")}
[side,
    (weight, 1, <sigmoid>)
  | (gate, 7, <softmax>)
  | (constant, 7, <learned, 0.4>)
  | {{before, x, take, 5}} (far, 7, <tanh>)
]
{{likeness, far, dot, 1}} (share, <sigmoid>)
{{given, filtered, take}} {{scaled, share, scale}} {{late, far, maximum, 3}} {{sum, constant, additive}}
{{seen, state, concatenate, 2}} (inside, 5, <conv, 2>) {CHAIN.format("i")}
[loop, {{alike, state, dot, 1}} | (bias, 5, <learned>)]
{{pushed, alike, scale}} {{moved, bias, minimum}} {{gated, weight, scale, 1}} (state, <tanh>)
{{all, gate, concatenate}}
(output, 3, <restore>, <huber, 0.7>)"""
CELLS = f"""{HEADER}
(input, 3)
[cells,
    {" | ".join(f"({cell}, 5, <{cell}>)" for cell in ("rnn", "lstm", "gru", "gru_before", "min_gru", "min_lstm"))}
  | (ind_rnn, 5, <ind_rnn>) | (leaky, 5, <leaky, 0.4>) | (lif, 5, <lif, 0.8>, /normal 0 2,/)
]
(base, 5, <linear>)
{{a, rnn, additive}} {{b, lstm, multiplicative}} {{c, gru, average}} {{d, gru_before, concatenate}}
{{e, min_gru, additive}} {{f, min_lstm, subtractive}} {{g, ind_rnn, concatenate}} {{h, leaky, maximum}}
{{i, lif, additive}} {{j, gru.reset, additive, 2}}
(output, 2, <linear>, <mse>)"""
NODES = {"layers": LAYERS, "cells": CELLS}
