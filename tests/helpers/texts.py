"""Model texts that several tests use: recurrent cells, a feed-forward model, and one body of nodes for each
structure."""

from __future__ import annotations

from collections.abc import Iterable

HEADER = "/uniform -0.6 0.6,const_uneven 0.1 0.3/"

LSTM = f"""{HEADER}
(input, 3)
{{xh, recur, concatenate}}
[gates,
    (in_gate, 5, <sigmoid>)
  | (candidate, 5, <tanh>) {{scaled, in_gate, multiplicative}}
  | (out_gate, 5, <sigmoid>)
]
(forget_gate, 5, <sigmoid>)
{{kept, memory, multiplicative}}
{{cell, scaled, additive}}
[m, [memory,]]
(squashed, <tanh>)
{{hidden, out_gate, multiplicative}}
[h, [recur,]]
(output, 2, <linear>, <mse>)"""

GRU = f"""{HEADER}
(input, 3)
{{xh, before, concatenate}}
[gates, (reset, 4, <sigmoid>) {{gated, before, multiplicative}} | (update, 4, <sigmoid>)]
[side, {{xr, gated, concatenate}} (fresh, 4, <tanh>) {{new, update, multiplicative}}]
(unused, 4, <linear>) {{base, before, average}}
{{kept, update, multiplicative}}
{{state, new, additive}}
[b, [before,]]
(output, 2, <softmax>, <cross_entropy>)"""

WIDE_LSTM = """/xavier,zero/
(input, 8)
{xh, recur, concatenate}
[gates,
    (in_gate, 16, <sigmoid>)
  | (candidate, 16, <tanh>) {scaled, in_gate, multiplicative}
  | (out_gate, 16, <sigmoid>)
]
(forget_gate, 16, <sigmoid>)
{kept, memory, multiplicative}
{cell, scaled, additive}
[m, [memory,]]
(squashed, <tanh>)
{hidden, out_gate, multiplicative}
[h, [recur,]]
(output, 4, <linear>, <mse>)
"""

TAIL = "(output, 3, <tanh>, <mse>)"
FORWARD = f"{HEADER} (input, 6)(a, 7, <gelu>)[s, (b, 5, <relu>)](c, 5, <tanh>){{m, b, multiplicative}}{TAIL}"

STRUCTURES = {
    "one layer": "",
    "only activations": "(a, <relu>)(b, <softmax>)",
    "self merge of a value": "(a, 4, <tanh>) {m, a, multiplicative} {n, m, multiplicative} {p, n, concatenate}",
    "sum over time": "(a, 4, <tanh>) {acc, acc, additive} (b, 3, <sigmoid>)",
    "every self merge": "(a, 4, <tanh>) {b, b, additive} {c, c, average} {d, d, subtractive} {e, e, multiplicative}",
    "chain of taps": "(a, 4, <tanh>) [s, [t, [u, [v,]]]] {m, v, multiplicative} {n, t, additive} {o, s, average}",
    "deep splits": "[a, (b, 4, <tanh>) [c, (d, 4, <tanh>) [e, (f, 4, <relu>) | {g, later, additive}] {h, f, average}"
    " | (i, 3, <selu>)] {j, h, multiplicative}] (later, 3, <elu>) {k, j, additive} {l, i, subtractive} {m, g, average}",
    "split first": "[s, (a, 4, <tanh>) | | {b, a, concatenate}] {c, b, concatenate} {d, s, multiplicative}",
    "output fed back": "{m, output, concatenate} (a, 4, <tanh>)",
    "output merged back": "{m, output, additive} (a, 4, <tanh>) {n, output, multiplicative}",
    "loop without layer": "(a, 4, <tanh>) {m, d, average} (b, <sigmoid>) {c, a, multiplicative} (d, <softmax>)",
    "two loops in line": "{m, d, additive} (d, 4, <tanh>) (e, 5, <tanh>) {n, g, concatenate} (g, 4, <tanh>)",
    "two loops side by side": "[s, {m, a, additive} (a, 4, <tanh>) | {n, b, concatenate} (b, 5, <tanh>)]"
    " {o, a, concatenate} {p, b, concatenate}",
    "loop in a loop": "{m, f, concatenate} (a, 4, <tanh>) {n, b, additive} (b, 4, <tanh>) (f, 3, <tanh>)",
    "two layers carry one gradient": "{m, h, concatenate} [s, (a, 4, <tanh>) {n, h, concatenate} (b, 3, <tanh>)"
    " {o, b, average} [t, [u,]]] {p, u, multiplicative} (h, 5, <tanh>)",
    "parallel chains": "[s, (a, 4, <tanh>) (b, 4, <tanh>) | (c, 4, <relu>) (d, 4, <relu>) | (e, 9, <tanh>)]"
    " (f, 4, <gelu>) {m, b, additive} {n, d, multiplicative} {o, e, additive}",
    "dead nodes": "(a, 4, <tanh>) [s, (dead, 5, <tanh>) {dead2, dead, additive}] (b, 4, <relu>) {m, m, additive}",
    "step in a loop": "(a, 4, <tanh>) {m, c, additive} (b, <binary_step>) (c, 4, <tanh>)",
    "only a step": "(a, 4, <tanh>) (b, <binary_step>) {m, a, multiplicative} (c, <binary_step>)",
    "wide softmax": "(a, 9, <softmax>) (b, <softmax>) {m, a, additive} (c, <softmax>) [s, (d, 9, <softmax>)]"
    " {n, d, additive}",
    # Concatenations: read by layers only (never built), by others (built), nested, back in time.
    "virtual": "(a, 4, <tanh>) {m, input, concatenate} (b, 5, <tanh>)",
    "virtual of virtual": "(a, 4, <tanh>) {m, input, concatenate} [s, (b, 5, <tanh>)] {n, a, concatenate}"
    " (c, 3, <tanh>) {o, b, concatenate} {p, o, additive} {q, m, concatenate}",
    "built": "(a, 4, <tanh>) {m, input, concatenate} (b, <sigmoid>) {n, a, additive} {o, n, concatenate}"
    " {p, a, average}",
    "built and read": "(a, 4, <tanh>) {m, input, concatenate} [s, (b, <softmax>)] (c, 7, <tanh>) {n, b, additive}",
    "virtual and late": "{m, h, concatenate} (h, 4, <tanh>)",
    "built and late": "{m, h, concatenate} (g, <tanh>) (h, 4, <tanh>) {n, m, additive} (k, 5, <tanh>) {o, k, average}",
    "late of the whole": "(a, 4, <tanh>) {c, b, concatenate} (g, 2, <tanh>) {m, g, concatenate} (b, 5, <tanh>)",
    "late built one": "(a, 4, <tanh>) {m, c, additive} {c, a, concatenate} (d, 3, <tanh>)",
    "late chain": "{m, h, concatenate} {n, k, concatenate} {o, m, concatenate} (h, 4, <tanh>) (k, 2, <sigmoid>)",
    # These bodies were computed wrong once: gradients that a product outside a loop begins and the loop adds to; those
    # that a layer outside the loop carries back; gradients that are carried back before they are read.
    "added to in a loop": "(u, 5, <tanh>) {m, h, additive} {cat, u, concatenate} (h, 5, <tanh>)",
    "averaged in a loop": "(u, 5, <tanh>) {m, h, average} [t, (n, <sigmoid>)] {cat, u, concatenate} (h, 4, <tanh>)",
    "late, read outside": "{xh, recur, concatenate} [br, (b, 4, <tanh>)] (a, 5, <tanh>) [h, [recur,]] {m, b, additive}",
    "late, read in two groups": "{xh, h, concatenate} [br, {xz, q, concatenate} (b, 4, <tanh>) [q0, [q,]]]"
    " (a, 5, <tanh>) (h, 4, <tanh>) {mm, b, additive}",
    "late, read after": "{xh, h, concatenate} [br, {xz, z, concatenate} [later, (b, 4, <tanh>)]] (a, 5, <tanh>)"
    " {a2, bt, additive} (h, 4, <tanh>) [zz, (z, 2, <tanh>) {z3, b, additive} [bt0, [bt,]]]",
    "late, nested, read outside": "{m, h, concatenate} {n, m, concatenate} [s, (b, 3, <tanh>)] (h, 4, <tanh>)"
    " {o, b, average}",
}


def text_of(body: str, width: int = 3) -> str:
    """The model with the nodes ``body`` between an input and an output. width: of the input."""
    return f"{HEADER} (input, {width}) {body} {TAIL}"


def in_turns(bodies: Iterable[str], kinds: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of a body and a kind: the 1st, 3rd, … body with the 1st, 3rd, … kind, the other bodies with the others."""
    return [(body, kind) for n, body in enumerate(bodies) for m, kind in enumerate(kinds) if (n + m) % 2 == 0]
