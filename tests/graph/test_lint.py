"""Diagnostic: what each rule tells and what it leaves alone, with the reference and the kernels as witnesses.

A layer can't learn where its gradient is exactly zero for random parameters and data at every step; a value stays at
zero where it is exactly zero for random parameters and data at every step.
"""

from __future__ import annotations

import pickle
import re
import time
import warnings
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromorph as nm
from helpers import witnesses
from helpers.paths import MODELS
from helpers.random_models import bounded, models
from helpers.texts import WIDE_LSTM
from neuromorph.errors import Diagnostic, Location
from neuromorph.graph import Graph, freeze, interpreter
from neuromorph.graph.gradient_flow import Backward
from neuromorph.graph.lint import advise
from neuromorph.graph.zeros import Effort, full, zeros_of
from neuromorph.options import compile_options

HEAD = "/uniform -0.6 0.6,const_uneven 0.1 0.3/\n(i, 3)\n"
END = "\n(o, 2, <linear>, <mse>)"
GRU = """/xavier,zero/
(input, 3)
[reading,
    {xh, recur, concatenate}
    [gates, (reset, 4, <sigmoid>) {remembered, recur, multiplicative} | (update, 4, <sigmoid>)]
]
{xr, remembered, concatenate}
(candidate, 4, <tanh>)
[change, {away, recur, subtractive} {scaled, update, multiplicative}]
{hidden, scaled, subtractive}
[h, [recur,]]
(output, 2, <linear>, <mse>)"""


def advice_of(text: str, steps: int = 8) -> tuple[Diagnostic, ...]:
    graph = witnesses.graph_of(text)
    options = compile_options(
        2, optimizer="sgd", bptt_steps=steps, dtype="float32", threads=None, has_time_links=graph.has_time_links
    )
    return advise(graph, options)


def told(text: str, steps: int = 8) -> list[str]:
    return [advice.message for advice in advice_of(text, steps)]


# Cross-entropy and softmax --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["sigmoid", "linear", "tanh", "relu", "swish, 2"])
def test_cross_entropy_without_softmax(activation: str) -> None:
    (advice,) = advice_of(f"{HEAD}(o, 2, <{activation}>, <cross_entropy>)")
    assert advice.message == (
        f"'o' has the loss cross_entropy, but its activation is {activation.split(',')[0]}: its results need not add "
        "up to 1, and the loss never makes a wrong one smaller; use <softmax>, or binary_cross_entropy for answers "
        "that do not exclude one another"
    )
    assert (advice.location, advice.names) == (Location(3, 2), ("o",))


@pytest.mark.parametrize("activation", ["linear", "tanh", "relu", "elu", "gelu", "relu_leaky, -1"])
def test_binary_cross_entropy_of_what_is_no_probability(activation: str) -> None:
    (advice,) = advice_of(f"{HEAD}(o, 2, <{activation}>, <binary_cross_entropy>)")
    assert advice.message == (
        f"'o' has the loss binary_cross_entropy, but its activation is {activation.split(',')[0]}: its results leave "
        "the range from 0 to 1, are clipped there and learn nothing beyond; use <sigmoid>"
    )


@pytest.mark.parametrize(
    "end",
    [
        "<softmax>, <cross_entropy>", "<sigmoid>, <binary_cross_entropy>", "<softmax>, <binary_cross_entropy>",
        "<softmax>, <mse>", "<sigmoid>, <mae>", "<linear>, <hinge>",
    ],
)  # fmt: skip
def test_losses_that_go_with_their_activation(end: str) -> None:
    assert told(f"{HEAD}(a, 3, <softmax>) (o, 2, {end})") == []


def test_the_cross_entropy_never_makes_a_wrong_result_smaller() -> None:
    """What the message says of any activation but softmax, asked of the loss itself."""
    loss = witnesses.graph_of(f"{HEAD}(o, 2, <sigmoid>, <cross_entropy>)").loss
    results = np.random.default_rng(0).uniform(-2, 2, (100, 4))
    assert (loss.gradient(results, np.eye(4)[np.arange(100) % 4], None) <= 0).all()


LOOP = HEAD + "{sum, back, additive} %s [t, [back,]] (b, 3, <softmax>)" + END


@pytest.mark.parametrize("softmax", ["(a, 3, <softmax>)", "(z, 4, <tanh>) (a, <softmax>)"])
def test_a_softmax_inside_a_loop(softmax: str) -> None:
    (advice,) = advice_of(LOOP % softmax)
    assert advice.message == (
        "'a' is a softmax inside a loop through time: its values add up to 1, so what the loop carries is squeezed "
        "again at every step; use <tanh> or <sigmoid> inside the loop"
    )
    assert advice.names == ("a",)


def test_the_output_fed_back_is_in_the_loop() -> None:
    text = HEAD + "{both, o, concatenate} (a, 4, <tanh>) (o, 2, <softmax>, <%s>)"
    assert [message[:36] for message in told(text % "mse")] == ["'o' is a softmax inside a loop throu"]
    assert told(text % "cross_entropy") == []  # which needs the softmax, and says so of any other activation


@pytest.mark.parametrize("inside", ["(a, 3, <tanh>)", "(a, 3, <tanh>) [s, (q, 3, <softmax>)]"])
def test_a_softmax_beside_or_behind_a_loop(inside: str) -> None:
    assert told(LOOP % inside) == []


# Layers that can't learn ----------------------------------------------------------------------------------------------

STEP = "since the derivative of binary_step is 0; use <sigmoid> there"
ONE = "since a softmax of a single component is always 1; use <sigmoid>, at the output with binary_cross_entropy"
LATE = (
    "reaches the loss only through time, and with bptt_steps={} gradients stop after {}; bptt_steps must be at least {}"
)
LOST = "is multiplied by zero or cancels out; lead a way around the merges where it is lost"

# body, bptt_steps, the names of the layers that can't learn, and each message behind "can't learn: "
STUCK: dict[str, tuple[str, int, str, list[str]]] = {
    "before a step": (
        "(a, 2, <tanh>) (s, 2, <binary_step>) (b, 2, <tanh>)", 1, "a s",
        [f"nothing of the loss's gradient passes 's' (line 3), {STEP}"],
    ),
    "before a detach": (
        "(a, 2, <tanh>) (d, <detach>) (b, 2, <tanh>)", 1, "a",
        [
            "nothing of the loss's gradient passes 'd' (line 3), since the derivative of detach is 0; lead another way "
            "around it, if it shall learn"
        ],
    ),
    "before a step that is a node": (
        "(a, 2, <tanh>) (b, <tanh>)\n(c, <binary_step>)", 1, "a",
        [f"nothing of the loss's gradient passes 'c' (line 4), {STEP}"],
    ),
    "steps one after the other": (
        "(a, 2, <tanh>) (s, 2, <binary_step>) (b, 2, <tanh>) (c, <binary_step>)", 1, "a s b",
        [f"nothing of the loss's gradient passes '{name}' (line 3), {STEP}" for name in "sc"],
    ),
    "in a branch": (
        "[p, (a, 2, <tanh>) (s, <binary_step>)] (b, 2, <tanh>) {m, s, multiplicative}", 1, "a",
        [f"nothing of the loss's gradient passes 's' (line 3), {STEP}"],
    ),
    "a step in a loop": (
        "{m, r, concatenate} (a, 2, <tanh>) (s, <binary_step>) [t, [r,]]", 4, "a",
        [f"nothing of the loss's gradient passes 's' (line 3), {STEP}"],
    ),
    "a softmax of one": (
        "(a, 2, <tanh>) (s, 1, <softmax>)", 1, "a s", [f"nothing of the loss's gradient passes 's' (line 3), {ONE}"],
    ),
    "through time": ("{m, a, concatenate} [t, (a, 2, <tanh>)]", 1, "a", [f"it {LATE.format(1, '1 step', 2)}"]),
    "through time, two": (
        "{m, b, concatenate} [t, (a, 2, <tanh>) (b, 2, <tanh>)]", 1, "a b",
        [f"they {LATE.format(1, '1 step', 2)}".replace("reaches", "reach")],
    ),
    "through more time": (
        "{m, a, additive} [t, {n, b, concatenate} (a, 3, <tanh>) [u, (b, 2, <tanh>)]]", 2, "b",
        [f"it {LATE.format(2, '2 steps', 3)}"],
    ),
    "times nothing": (
        "[p, (a, 3, <tanh>)] {m, m, multiplicative} {n, a, multiplicative}", 2, "a",
        [f"on every way to the loss what it gives {LOST}"],
    ),
    "times nothing through a node": (
        "[p, (a, 3, <tanh>)] {m, r, multiplicative} (q, <gelu>) [t, [r,]] {n, a, multiplicative}", 2, "a",
        [f"on every way to the loss what it gives {LOST}"],
    ),
    "minus itself": (
        "(a, 3, <tanh>) [t, (c, 2, <tanh>)] {n, t, subtractive}", 1, "a",
        [f"on every way to the loss what it gives {LOST}"],
    ),
    "a relu of nothing": (
        "[p, (a, 3, <tanh>)] {m, m, multiplicative} {n, a, multiplicative} (q, <relu>) {z, q, additive}", 2, "a",
        [f"on every way to the loss what it gives {LOST}"],
    ),
    "scaled by what stays at zero": (
        "[p, (a, 3, <tanh>) | {t, i, take} (n, 1, <tanh>) {m, m, multiplicative}] {s, m, scale} {x, a, multiplicative}",
        2, "n a", [f"on every way to the loss what they give {LOST}"],
    ),
    "components that nobody reads": (
        "[p, (a, 3, <tanh>) | (b, 3, <tanh>) {c, a, concatenate}] {n, c, additive}", 1, "a",
        [f"on every way to the loss what it gives {LOST}"],
    ),
    "times zero": (
        "(a, 2, <tanh>) (t, <times, 0>) (b, 2, <tanh>)", 1, "a",
        ["nothing of the loss's gradient passes 't' (line 3), since times 0 is always 0; give it another number"],
    ),
    "before an elementwise layer and a step": (
        "(a, 2, <tanh>) (k, <gain>) (n, <norm>) (s, <binary_step>) (b, 2, <tanh>)", 1, "a k n",
        [f"nothing of the loss's gradient passes 's' (line 3), {STEP}"],
    ),
    "a norm of one": (
        "(a, 1, <tanh>) (n, <norm>) (b, 2, <tanh>)", 1, "a",
        ["nothing of the loss's gradient passes 'n' (line 3), since a norm of a single component does not depend on "
         "it; leave it out"],
    ),
    "through time, three steps back": (
        "[t, (a, 3, <tanh>)] {m, a, additive, 3}", 3, "a", [f"it {LATE.format(3, '3 steps', 4)}"],
    ),
    "through time, taken": (
        "[t, (a, 3, <tanh>)] {m, a, take, 2} {n, i, additive}", 2, "a", [f"it {LATE.format(2, '2 steps', 3)}"],
    ),
    "through time, one way shorter than another": (
        "[t, (a, 3, <tanh>)] {m, a, additive, 3} {n, m, additive, 1} {k, a, additive, 2}", 1, "a",
        [f"it {LATE.format(1, '1 step', 3)}"],
    ),
    "a gain of nothing": (
        "[p, (a, 3, <tanh>)] {m, m, multiplicative} (k, <gain>) {n, a, multiplicative}", 2, "a k",
        [f"on every way to the loss what they give {LOST}"],
    ),
    "scaled by nothing": (
        "[z, (c, <times, 0>) {d, c, dot}] (a, 3, <tanh>) {m, d, scale} (b, 2, <tanh>)", 1, "a",
        [f"on every way to the loss what it gives {LOST}"],
    ),
    "all of it": (
        "(a, 2, <tanh>)\n(s, 2, <binary_step>) {m, b, concatenate} [t, (b, 2, <tanh>)]", 1, "a s b",
        [f"nothing of the loss's gradient passes 's' (line 4), {STEP}", f"it {LATE.format(1, '1 step', 2)}"],
    ),
}  # fmt: skip

FREE: dict[str, tuple[str, int]] = {
    "what is taken": ("(a, 2, <tanh>) [p, (b, 2, <tanh>)] {t, a, take} {m, b, additive}", 1),
    "what is taken of the step before": ("[p, (a, 2, <tanh>)] {t, a, take, 1}", 2),
    "three steps back": ("[t, (a, 3, <tanh>)] {m, a, additive, 3}", 4),
    "a convolution": ("(a, 3, <tanh>) (c, 2, <conv, 3, 2>) (b, <tanh>)", 1),
    "elementwise layers": (
        "(a, 3, <tanh>) (k, <gain>) (s, <shift>) (p, <prelu>) (n, <norm>) (r, <rms_norm>) [t, (v, 3, <learned, 0.5>)] "
        "{m, v, multiplicative}", 1,
    ),
    "a gain that begins with zero": ("(a, 3, <tanh>) (k, <gain>) [p, (z, <shift, 0>)] {m, z, additive}", 1),
    "a shift of nothing": ("(a, 3, <tanh>) [p, (t, <times, 0>) (s, <shift, 1>)] {m, s, multiplicative}", 1),
    "dot and scale": ("(a, 3, <tanh>) [p, (b, 3, <tanh>) {d, a, dot}] {m, d, scale}", 1),
    "a step on the input": ("(s, <binary_step>) (a, 2, <tanh>)", 1),
    "a spike, whose derivative is a surrogate": ("(a, 2, <tanh>) (s, 2, <spike>) (b, 2, <tanh>)", 1),
    "a way around the detach": ("(a, 2, <tanh>) [p, (d, <detach>)] {m, d, multiplicative}", 1),
    "a step in time that is detached": ("{m, r, concatenate} (a, 2, <tanh>) (b, 2, <tanh>) [p, (r, <detach>)]", 1),
    "a step where only the input goes in": ("(s, <binary_step>) (d, <detach>) (a, 2, <tanh>)", 1),
    "the larger one": ("(a, 3, <tanh>) [t, (c, 3, <tanh>)] {n, c, maximum} {k, c, minimum}", 1),
    "a quotient": ("(a, 3, <tanh>) [t, (c, 3, <exp>)] {n, c, divisive}", 1),
    "a way around the step": ("(a, 2, <tanh>) [p, (s, <binary_step>)] {m, s, concatenate}", 1),
    "a way through time around the step": (
        "{x, r, concatenate} (a, 2, <tanh>) [t, [r,]] [p, (b, 2, <tanh>) {y, r, additive}] (s, <binary_step>) "
        "{z, y, concatenate}", 2,
    ),
    "time enough": ("{m, a, additive} [t, {n, b, concatenate} (a, 3, <tanh>) [u, (b, 2, <tanh>)]]", 3),
    "a loop of one step": ("{m, a, concatenate} (a, 2, <tanh>)", 1),
    "a softmax of two": ("(a, 2, <tanh>) (s, 2, <softmax>)", 1),
    "a softmax node of one before a wide layer": ("(a, 2, <tanh>) (s, 1, <sigmoid>)", 1),
    "minus another": ("(a, 3, <tanh>) [t, (c, 3, <tanh>)] {n, c, subtractive}", 1),
    "minus itself of the step before": ("(a, 3, <tanh>) {n, n, subtractive}", 1),
    "times itself": ("(a, 3, <tanh>) {n, a, multiplicative}", 1),
    "beyond what is taken away": ("(b, 2, <tanh>) [q,] (a, 3, <tanh>) {n, b, subtractive} {m, b, additive}", 1),
    "taken": ("(b, 2, <tanh>) [t, (a, 2, <tanh>)] {n, a, take}", 1),
    "taken from the step before": ("[t, (a, 2, <tanh>)] {n, a, take, 1} (b, 2, <tanh>) {m, i, concatenate}", 2),
    "taken from the step before, in a loop": (
        "[t, {n, a, take, 1} (b, 3, <linear>)] (f, 3, <tanh>) {a, b, additive}", 4,
    ),
    "the last component of a product": (
        "(a, 3, <tanh>) [t, (b, 3, <tanh>) {c, i, concatenate}] {d, i, concatenate} {e, c, dot}", 1,
    ),
    "scaled": ("(a, 3, <tanh>) [t, (b, 1, <tanh>)] {n, b, scale}", 1),
    "a scale of all but the first component": (
        "[z, (b, 1, <tanh>)] {m, i, subtractive} {n, i, concatenate} {s, b, scale}", 2,
    ),
    "shifted from nothing": ("[p, (a, 3, <tanh>)] {m, i, subtractive} (n, <shift, 1>) {q, a, multiplicative}", 1),
    "a norm of nothing": (
        "[p, (a, 3, <tanh>)] {m, i, subtractive} (n, <norm>, /,const_flat 1/) {q, a, multiplicative}", 1,
    ),
    "a dead layer before a step": ("[p, (a, 2, <tanh>) (s, 2, <binary_step>)] (b, 2, <tanh>)", 1),
    "a relu that may be nothing": ("(a, 3, <relu>) (b, <relu>)", 1),
    "one window is too short, and a longer one goes round what stops": (
        "(a, 3, <tanh>) [s, (d, <detach>)] {m, a, take, 1} {n, d, additive}", 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STUCK)
def test_layers_that_can_not_learn(case: str) -> None:
    body, steps, names, messages = STUCK[case]
    found = [advice for advice in advice_of(HEAD + body + END, steps) if "can't learn" in advice.message]
    assert [advice.message.split(" can't learn: ")[1] for advice in found] == messages
    named = {name for advice in found for name in re.findall(r"'(\w+)'", advice.message.split(" can't learn")[0])}
    assert sorted(named) == sorted(names.split())
    for advice in found:
        assert named & set(advice.names)
        column = (HEAD + body).splitlines()[advice.line - 1].index(f"({advice.names[0]}") + 2
        assert advice.column == column


@pytest.mark.parametrize("case", FREE)
def test_layers_that_learn(case: str) -> None:
    body, steps = FREE[case]
    assert told(HEAD + body + END, steps) == []


@pytest.mark.usefixtures("interpreted")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [*STUCK, *FREE])
def test_the_kernels_gradients_are_the_witness(case: str) -> None:
    """Exactly those layers have a gradient of exactly zero in every window of a run."""
    body, steps, names, _ = STUCK[case] if case in STUCK else (*FREE[case], "", [])
    model = nm.compile(HEAD + body + END, 4, 0.1, bptt_steps=steps, dtype="float64")
    nm.seed(3)
    nm.build(model)
    rng = np.random.default_rng(4)
    inputs, expected = rng.normal(size=(12, 4, 3)), rng.normal(size=(12, 4, 2))
    _, gradients = model.gradients(inputs, expected)
    before = model.get_parameters()
    model.train(inputs, expected, 0)
    changed = {name: value - before[name] for name, value in model.get_parameters().items()}
    changed = {name: value for name, value in changed.items() if name in gradients}
    assert without(changed) == set(names.split())
    if "time" not in case and case != "all of it":  # where one long window is no way out
        assert without(gradients) == set(names.split())


def without(arrays: dict[str, np.ndarray]) -> set[str]:
    """The layers whose weights' and biases' arrays are all zero."""
    return {name.split(".")[0] for name in arrays} - {
        name.split(".")[0] for name, value in arrays.items() if value.any()
    }


def test_a_long_list_of_names_is_cut() -> None:
    layers = "".join(f"(a{number}, 2, <tanh>)" for number in range(25))
    (message,) = told(f"{HEAD}{layers}(s, <binary_step>){END}")
    assert message.startswith("'a0', 'a1', 'a2', ")
    assert ", 'a19' and 5 more can't learn: nothing of" in message


# Products that stay at zero -------------------------------------------------------------------------------------------


def stays(what: str, name: str) -> str:
    return (
        f"{what}: it multiplies by '{name}' of the step before, which starts from zero there and never leaves it; "
        "give the loop something to begin from, such as an additive merge inside it"
    )


# body, and for each merge that is told: what stays at zero, and what it reads
ZERO: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "one that is only taken": (
        "(a, 3, <tanh>) [p, {m, m, multiplicative} {n, m, take, 1}] {q, n, additive}", [("'m' stays at zero", "m")],
    ),
    "a product of two that is nothing in part": (
        "(a, 3, <tanh>) [p, {m, m, multiplicative} {n, i, concatenate}] {b, a, concatenate} {d, n, dot, 1}",
        [("'m' stays at zero", "m")],
    ),
    "a scale of nothing": (
        "[p, (c, 1, <tanh>) {m, m, multiplicative}] (a, 3, <tanh>) {s, m, scale, 1}",
        [("'m' stays at zero", "m"), ("'s' stays at zero", "m")],
    ),
    "itself": ("{m, m, multiplicative}", [("'m' stays at zero", "m")]),
    "a loop": ("{m, r, multiplicative} (q, <tanh>) [t, [r,]]", [("'m' stays at zero", "r")]),
    "a loop of sums of nothing": (
        "(a, 3, <tanh>) {m, r, multiplicative} {n, m, additive} [t, [r,]]", [("'m' stays at zero", "r")],
    ),
    "two loops": (
        "{m, q, multiplicative} {n, n, multiplicative} [p, [q,]]",
        [("'m' stays at zero", "q"), ("'n' stays at zero", "n")],
    ),
    "some components": (
        "(a, 4, <tanh>) {m, r, multiplicative} [p, (b, 2, <tanh>) {k, k, multiplicative} {r, m, concatenate}]",
        [("'m' stays at zero", "r"), ("'k' stays at zero", "k")],
    ),
    "a scale by what stays": (
        "[p, (a, 1, <tanh>) {k, k, multiplicative}] {m, k, scale, 1}",
        [("'k' stays at zero", "k"), ("'m' stays at zero", "k")],
    ),
    "a dot": (
        "(a, 3, <tanh>) [p, {k, k, multiplicative}] {m, k, dot, 1}",
        [("'k' stays at zero", "k"), ("'m' stays at zero", "k")],
    ),
    "a gain in the loop": ("{m, r, multiplicative} (q, <gain>) [t, [r,]]", [("'m' stays at zero", "r")]),
    "the first components": (
        "(a, 4, <tanh>) {m, r, multiplicative} [p, (b, 2, <tanh>) {r, m, multiplicative}]",
        [("2 of the 4 components of 'm' stay at zero", "r")],
    ),
}  # fmt: skip

ALIVE: dict[str, str] = {
    "a shift in the loop": "{m, r, multiplicative} (q, <shift, 0>) [t, [r,]]",
    "a norm in the loop": "{m, r, multiplicative} (q, <norm>) [t, [r,]]",
    "a learned vector": "{m, r, multiplicative} [t, (r, 3, <learned, 0>)]",
    "what was taken": "[p, (a, 3, <tanh>)] {m, r, multiplicative} [t, {r, a, take, 2}]",
    "not in time": "(a, 3, <tanh>) [p, (b, 3, <tanh>)] {m, b, multiplicative}",
    "a layer in the loop": "{m, a, multiplicative} [t, (a, 3, <tanh>)]",
    "a sigmoid in the loop": "{m, r, multiplicative} (q, <sigmoid>) [t, [r,]]",
    "a step in the loop": "{m, r, multiplicative} (q, <binary_step>) [t, [r,]]",
    "a sum in the loop": "{m, r, multiplicative} {n, i, additive} [t, [r,]]",
    "other components": "(a, 2, <tanh>) {m, r, multiplicative} [t, (b, 4, <tanh>) {r, m, additive}]",
    "a sum with itself": "{m, m, additive}",
    "a mean with itself": "{m, m, average}",
}


@pytest.mark.parametrize("case", ZERO)
def test_products_that_stay_at_zero(case: str) -> None:
    body, wanted = ZERO[case]
    found = [advice for advice in advice_of(HEAD + body + END) if "at zero:" in advice.message]
    assert [advice.message for advice in found] == [stays(*one) for one in wanted]
    for advice, (what, name) in zip(found, wanted, strict=True):
        assert advice.names[-1] == name
        assert f"'{advice.names[0]}'" in what
        assert advice.column == body.index(f"{{{advice.names[0]},") + 2


@pytest.mark.parametrize("case", ALIVE)
def test_products_that_leave_zero(case: str) -> None:
    assert not [message for message in told(HEAD + ALIVE[case] + END) if "at zero" in message]


# The reference as witness ---------------------------------------------------------------------------------------------


def random_run(graph: Graph, steps: int, seed: int, samples: int) -> Iterator[tuple[Any, interpreter.WindowResult]]:
    """Windows one after the other from zero state: the values of each one's steps, and its gradients."""
    rng = np.random.default_rng(seed)
    parameters = interpreter.draw_parameters(graph, rng, np.float64)
    parameters = {
        name: 1.5 * rng.choice([-1, 1], value.shape) * value + 0.1 * (value.ndim == 1) * rng.normal(size=value.shape)
        for name, value in parameters.items()
    }
    state = None
    for _ in range(max(2, samples // steps)):
        inputs = rng.normal(size=(steps, 12, graph.nodes[graph.input].width))
        expected = rng.uniform(0.05, 1.0, (steps, 12, graph.nodes[graph.output].width))
        with np.errstate(all="ignore"):
            values, _ = interpreter._run(graph, parameters, inputs, state)
            result = interpreter.window(graph, parameters, inputs, expected, None, state)
        state = result.state
        yield values, result


def seen(graph: Graph, steps: int, seeds: range, samples: int = 24) -> tuple[dict[int, int], set[str]]:
    """Which components differed from zero at some step, and which layers had a gradient in some window."""
    differed, learned = dict.fromkeys(graph.order, 0), set()
    for seed in seeds:
        for values, result in random_run(graph, steps, seed, samples):
            for index in graph.order:
                some = np.any([np.any(step.values[index] != 0.0, axis=0) for step in values], axis=0)
                differed[index] |= sum(1 << int(place) for place in np.flatnonzero(some))
            learned |= {name.rsplit(".", 1)[0] for name, value in result.gradients.items() if np.any(value != 0.0)}
    return differed, learned


def claims(graph: Graph, steps: int) -> tuple[dict[int, int], set[str]]:
    """Which components are said to stay at zero, and which layers to be unable to learn."""
    zeros = zeros_of(graph, Effort())
    able = Backward(graph, zeros, Effort()).learning({graph.output: full(graph.nodes[graph.output].width)}, steps)
    return zeros, {graph.nodes[index].name for index in graph.learners if index not in able}


WINDOWS = st.sampled_from([1, 1, 2, 3, 8])


@bounded(300)
@given(models(), WINDOWS)
def test_no_false_alarm_on_random_models(text: str, steps: int) -> None:
    graph = witnesses.graph_of(text)
    zeros, unable = claims(graph, steps)
    if unable or any(zeros.values()):
        differed, learned = seen(graph, steps, range(1), samples=10)
        assert not any(zeros[index] & differed[index] for index in graph.order), text
        assert not unable & learned, text
    named = {name for advice in advice_of(text, steps) if "can't learn" in advice.message for name in advice.names}
    assert unable <= named, text


@bounded(30)
@given(models(), WINDOWS)
def test_no_miss_on_random_models(text: str, steps: int) -> None:
    graph = witnesses.graph_of(text)
    _, learned = seen(graph, steps, range(3))
    layers = {graph.nodes[index].name for index in graph.learners}
    assert claims(graph, steps)[1] == layers - learned, text


@pytest.mark.parametrize("body", [ALIVE[case] for case in ALIVE] + [ZERO[case][0] for case in ZERO])
def test_what_differs_from_zero_is_seen_by_the_reference(body: str) -> None:
    graph = witnesses.graph_of(HEAD + body + END)
    zeros, _ = claims(graph, 8)
    differed, _ = seen(graph, 8, range(2))
    assert differed == {index: full(graph.nodes[index].width) & ~zeros[index] for index in graph.order}


def test_steps_back_are_told() -> None:
    (message,) = (text for text in told(f"{HEAD}{{m, m, multiplicative, 3}} {{n, i, additive}}{END}") if "zero" in text)
    assert message.startswith("'m' stays at zero: it multiplies by 'm' 3 steps before, which starts from zero there")


def test_what_is_frozen_is_not_expected_to_learn() -> None:
    graph = witnesses.graph_of(f"{HEAD}(a, 2, <tanh>) (k, <gain>) (s, <binary_step>){END}")
    options = compile_options(
        2, optimizer="sgd", bptt_steps=1, dtype="float32", threads=None, has_time_links=graph.has_time_links
    )
    (advice,) = advise(freeze(graph, ["a"]), options)
    assert advice.message.startswith("'k' can't learn")
    assert advise(freeze(graph, ["a", "k"]), options) == ()


def test_advice_about_a_node_of_a_cell_names_the_use() -> None:
    cell = "<hard>[(a, width, <tanh>)\n(s, <binary_step>)]"
    text = f"/xavier,zero/\n{cell}\n(i, 3)\n(h, 4, <hard>) (k, 2, <hard>){END}"
    (first, second) = advice_of(text)
    assert first.message.startswith("'h.a' can't learn: nothing of the loss's gradient passes 'h' (line 3), since ")
    assert first.message.endswith("; 'h.a' is a node of 'h', a use of the cell 'hard' in line 5, column 2")
    assert (first.line, first.column) == (2, 9)
    assert "'k' (line 3)" in second.message


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "gru_before", "min_gru", "min_lstm", "ind_rnn", "leaky", "lif"])
def test_the_librarys_cells_are_without_blemish(cell: str) -> None:
    assert nm.check(f"{HEAD}(h, 4, <{cell}>) (k, 4, <{cell}>){END}") == ()


# Good models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 16])
@pytest.mark.parametrize("text", [WIDE_LSTM, GRU], ids=["lstm", "gru"])
def test_the_textbook_cells_are_without_blemish(text: str, steps: int) -> None:
    assert nm.check(text, bptt_steps=steps) == ()


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.mdl")), ids=lambda path: path.stem)
def test_the_example_models_get_no_advice(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert told(text, 2) == told(text, 16) == []


@pytest.mark.parametrize(("name", "late"), [("big-model", {"g"}), ("gated-model", {"forget", "doubleforget"})])
def test_two_of_the_example_models_need_windows_of_two_steps(name: str, late: set[str]) -> None:
    text = (MODELS / f"{name}.mdl").read_text(encoding="utf-8")
    (advice,) = advice_of(text, 1)
    assert set(advice.names) == late
    assert advice.message.endswith("bptt_steps must be at least 2")
    layers = {node.name for node in witnesses.graph_of(text).nodes if node.kind == "layer"}
    assert layers - seen(witnesses.graph_of(text), 1, range(2))[1] == late


# compile and check ----------------------------------------------------------------------------------------------------

MISTAKEN = """/xavier,zero/
(input, 3)
(a, 4, <tanh, 5>)
{m, m, multiplicative}
[dead, (d, 2, <tanh>)]
(output, 2, <sigmoid>, <cross_entropy>)
"""
SHOWN = [
    (
        "3, column 2: 'a' can't learn: on every way to the loss what it gives is multiplied by zero or cancels out; "
        "lead a way around the merges where it is lost\n  (a, 4, <tanh, 5>)\n   ^"
    ),
    "3, column 15: 'tanh' takes no number: 5 is ignored\n  (a, 4, <tanh, 5>)\n                ^",
    (
        "4, column 2: 'm' stays at zero: it multiplies by 'm' of the step before, which starts from zero there and "
        "never leaves it; give the loop something to begin from, such as an additive merge inside it\n"
        "  {m, m, multiplicative}\n   ^"
    ),
    ("5, column 9: left out, since the output can't be reached from there: 'd'\n  [dead, (d, 2, <tanh>)]\n          ^"),
    (
        "6, column 2: 'output' has the loss cross_entropy, but its activation is sigmoid: its results need not add "
        "up to 1, and the loss never makes a wrong one smaller; use <softmax>, or binary_cross_entropy for answers "
        "that do not exclude one another\n  (output, 2, <sigmoid>, <cross_entropy>)\n   ^"
    ),
]


def test_check_tells_all_in_text_order_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = nm.check(MISTAKEN)
    assert [str(advice) for advice in found] == [f"line {one}" for one in SHOWN]
    assert [advice.names for advice in found] == [("a",), (), ("m",), ("d",), ("output",)]
    assert {(advice.filename, advice.source) for advice in found} == {(None, MISTAKEN)}


def test_compile_warns_of_the_same_at_the_users_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nm.compile(MISTAKEN, 2, 0.1)
    assert {(warning.category, warning.filename) for warning in caught} == {(nm.MDLWarning, __file__)}
    assert len({warning.lineno for warning in caught}) == 1
    shown = [str(warning.message) for warning in caught]
    assert [one for one in shown if "^" in one] == [f"line {SHOWN[place]}" for place in (0, 2, 4)]
    assert sorted(one.partition("\n")[0].rpartition(": ")[2] for one in shown) == sorted(
        one.partition("\n")[0].rpartition(": ")[2] for one in SHOWN
    )


def test_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a 3:4: net.mdl"
    path.write_text(MISTAKEN)
    places = ["3:2", "3:15", "4:2", "5:9", "6:2"]
    for advice, place, shown in zip(nm.check(path), places, SHOWN, strict=True):
        assert str(advice) == f"{path}:{place}: {shown.split(': ', 1)[1]}"
        assert advice.filename == str(path)
    with pytest.warns(nm.MDLWarning) as caught:
        nm.compile(path, 2, 0.1)
    assert all(str(warning.message).startswith((f"{path}:", "left out")) for warning in caught)


def test_the_window_is_that_of_compile() -> None:
    text = f"{HEAD}{STUCK['through time'][0]}{END}"
    assert nm.check(text) == ()
    assert len(nm.check(text, bptt_steps=1)) == 1
    with pytest.warns(nm.MDLWarning, match="bptt_steps must be at least 2"):
        nm.compile(text, 2, 0.1, bptt_steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.compile(text, 2, 0.1)


def test_loading_and_copying_warn_of_nothing(tmp_path: Path) -> None:
    with pytest.warns(nm.MDLWarning):
        model = nm.compile(MISTAKEN, 2, 0.1)
    model.save(tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.load(tmp_path / "m")
        pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize(
    ("mdl", "options", "error", "message"),
    [
        ("/xavier,zero/ (i, 2) (o, 2, <tahn>, <mse>)", {}, nm.MDLSemanticError, "did you mean 'tanh'?"),
        ("/xavier,zero/ (i, 2", {}, nm.MDLSyntaxError, "the end of the text"),
        ("", {}, nm.MDLSyntaxError, "line 1, column 1"),
        (None, {}, TypeError, "mdl must be a text (str) or a path object, not NoneType"),
        (Path("no such file.mdl"), {}, FileNotFoundError, "no such file.mdl"),
        (WIDE_LSTM, {"bptt_steps": 0}, ValueError, "bptt_steps must be at least 1, not 0"),
        (WIDE_LSTM, {"bptt_steps": "2"}, TypeError, "bptt_steps must be a whole number, not '2'"),
    ],
)
def test_check_raises_what_compile_raises(
    mdl: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        nm.check(mdl, **options)


def test_advice_is_a_record() -> None:
    first, second = (nm.check(MISTAKEN)[0], nm.check(MISTAKEN)[0])
    assert first == second == pickle.loads(pickle.dumps(first))
    assert hash(first) == hash(second)
    assert (first.line, first.column) == (3, 2)
    with pytest.raises(FrozenInstanceError):
        first.message = ""  # type: ignore[misc]
    assert str(advice_of(MISTAKEN)[0]) == "line 3, column 2: " + first.message
    assert MISTAKEN not in repr(first)


# Large texts ----------------------------------------------------------------------------------------------------------

LARGE = {
    "steps in a row": ("".join(f"(s{n}, 2, <binary_step>)" for n in range(4_000)), 100),
    "many products": ("".join(f"{{m{n}, m{n}, multiplicative}}" for n in range(4_000)), 100),
    "a delay line": ("[s, (w, 1000000, <tanh>) {m, c, multiplicative}] {c, m, concatenate}", 0),
    "wide": ("(w, 1000000, <tanh>)" + "".join(f"{{m{n}, w, additive}}" for n in range(4_000)), 0),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_large_text_is_looked_at_for_a_bounded_time(case: str) -> None:
    body, count = LARGE[case]
    graph = witnesses.graph_of(HEAD + body + END)
    started = time.process_time()
    options = compile_options(
        1, optimizer="sgd", bptt_steps=1, dtype="float32", threads=None, has_time_links=graph.has_time_links
    )
    assert len(advise(graph, options)) == count
    assert time.process_time() - started < 3


def test_a_hundred_warnings_at_the_end_of_a_text_of_a_mebibyte_are_shown_in_time() -> None:
    """Each shows its line, which is looked for once."""
    loops = "".join(f"{{m{n}, n{n}, multiplicative}} (n{n}, 4, <softmax>)\n" for n in range(100))
    text = HEAD + "\n" * 990_000 + loops + END
    started = time.process_time()
    with pytest.warns(nm.MDLWarning) as caught:
        nm.compile(text, 1, 0.1)
    assert time.process_time() - started < 3
    assert len(caught) >= 100
    assert ", column 29: 'n99' is a softmax" in str(caught[-1].message)
    assert "{m99, n99, multiplicative} (n99, 4, <softmax>)" in str(caught[-1].message)
