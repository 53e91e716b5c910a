"""Random graphs that nobody tuned for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np

import neuromorph as nm

from .case import Case
from .cases import TEXTBOOK_LSTM, example_model
from .work import flops

MOST_BYTES = 32 << 20  # of a case's data

# hidden = candidate + update * (hidden before - candidate); Cho et al., 2014, the reset before the product.
GRU = """/xavier,zero/
(input, {inputs})
[reading,
    {{xh, recur, concatenate}}
    [gates, (reset, {width}, <sigmoid>) {{remembered, recur, multiplicative}} | (update, {width}, <sigmoid>)]
]
{{xr, remembered, concatenate}}
(candidate, {width}, <tanh>)
[change, {{away, recur, subtractive}} {{scaled, update, multiplicative}}]
{{hidden, scaled, subtractive}}
[h, [recur,]]
(output, {outputs}, <linear>, <mse>)
"""

WIDTHS = (1, 2, 3, 5, 7, 12, 17, 24, 37, 50, 61, 96, 133)
BATCHES = (1, 1, 2, 3, 7, 7, 13, 32)
WINDOWS = (1, 5, 8, 16, 20)
BOUNDED = ("tanh", "sigmoid", "softmax")
SMOOTH = (*BOUNDED, "relu", "elu", "swish", "gelu", "relu_leaky")


def random_case(seed: int, number: int) -> Case:
    """The random model of a number, of every family in turn; always the same for the same seed."""
    family = list(FAMILIES)[number % len(FAMILIES)]
    return _random_case(f"random{number}-{family}", FAMILIES[family], np.random.default_rng([seed, number]))


def random_cases(seed: int) -> Iterator[Case]:
    """Those of all numbers, one after the other, without end."""
    return (random_case(seed, number) for number in count())


def sized_cases(seed: int, nodes: range, parameters: int | None = None, among: int | None = None) -> Iterator[Case]:
    """Those that have so many nodes, and at most so many parameters. among: how many are looked at; None for all."""
    for case in islice(random_cases(seed), among):
        graph = case.model().graph
        if len(graph.nodes) in nodes and (parameters is None or graph.parameter_count <= parameters):
            yield case


def _random_case(name: str, write: Callable[[np.random.Generator], str], rng: np.random.Generator) -> Case:
    """A model that is one, with enough samples for about a tenth of a second."""
    batch = int(rng.choice(BATCHES))
    while True:
        case = Case(name, write(rng), batch, 1, 1, 0.1)
        try:
            graph = case.model().graph
        except nm.MDLError:
            continue
        case = replace(case, window=int(rng.choice(WINDOWS[1:])) if graph.has_time_links else 1)
        return replace(case, samples=_enough(case, graph))


def _enough(case: Case, graph: Any) -> int:
    seconds = 1e-6 + flops(case) / 30e9 + 2e-8 * case.batch * len(graph.order)
    ends = graph.nodes[graph.input].width + graph.nodes[graph.output].width
    samples = min(0.1 / seconds, MOST_BYTES / (4 * case.batch * ends))
    return case.window * max(16, int(samples) // case.window)


def _width(rng: np.random.Generator) -> int:
    return int(rng.choice(WIDTHS))


def _end(rng: np.random.Generator) -> str:
    if rng.random() < 0.3:
        return f"(output, {int(rng.integers(2, 20))}, <softmax>, <cross_entropy>)"
    activation, loss = rng.choice(["linear", "sigmoid", "tanh"]), rng.choice(["mse", "huber", "mse"])
    return f"(output, {_width(rng)}, <{activation}>, <{loss}>)"


def _layers(rng: np.random.Generator) -> str:
    count = int(rng.integers(1, 5))
    inner = " ".join(f"(a{n}, {_width(rng)}, <{rng.choice(SMOOTH)}>)" for n in range(count))
    return f"/xavier,zero/ (input, {_width(rng)}) {inner} {_end(rng)}"


def _branches(rng: np.random.Generator) -> str:
    """Three branches of different widths, concatenated or added, and a path around them."""
    operation = rng.choice(["concatenate", "additive", "average"])
    branches = "|".join(
        f"(b{n}, {_width(rng)}, <{rng.choice(SMOOTH)}>) (c{n}, {_width(rng)}, <tanh>)" for n in range(3)
    )
    merges = " ".join(f"{{m{n}, c{n}, {operation}}}" for n in range(3))
    around = f"(around, {_width(rng)}, <sigmoid>)"
    return f"/xavier,zero/ (input, {_width(rng)}) [s, {branches}] {around} {merges} {_end(rng)}"


def _plain_rnn(rng: np.random.Generator) -> str:
    """One or two tanh layers that read themselves a step later."""
    cells = "".join(
        f"{{in{n}, back{n}, concatenate}} (h{n}, {_width(rng)}, <tanh>) [tap{n}, [back{n},]] "
        for n in range(int(rng.integers(1, 3)))
    )
    return f"/xavier,zero/ (input, {_width(rng)}) {cells}{_end(rng)}"


def _gru(rng: np.random.Generator) -> str:
    return GRU.format(inputs=_width(rng), width=_width(rng), outputs=_width(rng))


def _lstm(rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return example_model("lstm-model", _width(rng))
    return TEXTBOOK_LSTM.format(inputs=_width(rng), width=_width(rng), outputs=_width(rng))


def _wild(rng: np.random.Generator) -> str:
    """Layers, splits and merges as they come; merges read any node, so that many reach backward in time."""
    names = [f"n{n}" for n in range(int(rng.integers(6, 16)))]
    parts = [_wild_node(rng, name, names) for name in names]
    return f"/xavier,zero/ (input, {_width(rng)}) {' '.join(parts)} {_end(rng)}"


def _wild_node(rng: np.random.Generator, name: str, names: list[str]) -> str:
    kind = rng.choice(["layer", "layer", "split", "merge", "merge"])
    if kind == "layer":
        return f"({name}, {_width(rng)}, <{rng.choice(BOUNDED)}>)"
    if kind == "merge":
        return f"{{{name}, {rng.choice(names)}, {rng.choice(['average', 'multiplicative', 'concatenate'])}}}"
    inner = "|".join(
        f"({name}_{n}, {_width(rng)}, <{rng.choice(BOUNDED)}>) {{{name}_m{n}, {rng.choice(names)}, average}}"
        for n in range(int(rng.integers(1, 4)))
    )
    last = int(rng.integers(0, inner.count("|") + 1))
    return f"[{name}, {inner}] (after_{name}, {_width(rng)}, <tanh>) {{{name}_j, {name}_m{last}, concatenate}}"


FAMILIES: dict[str, Callable[[np.random.Generator], str]] = {
    "branches": _branches,
    "gru": _gru,
    "rnn": _plain_rnn,
    "lstm": _lstm,
    "layers": _layers,
    "wild": _wild,
}
