"""What is measured: the listed cases, random graphs that nobody tuned for, and their data.

Shapes: S samples (time steps), B lanes, W components; data are float32, inputs (S, B, W_in), expected (S, B, W_out).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neuromorph as nm

Floats = NDArray[np.float32]

MODELS = Path(__file__).resolve().parents[2] / "examples" / "models"
MOST_BYTES = 32 << 20  # of a random case's data

TEXTBOOK_LSTM = """/xavier,zero/
(input, {inputs})
{{xh, recur, concatenate}}
[gates,
    (in_gate, {width}, <sigmoid>)
  | (candidate, {width}, <tanh>) {{scaled, in_gate, multiplicative}}
  | (out_gate, {width}, <sigmoid>)
]
(forget_gate, {width}, <sigmoid>)
{{kept, memory, multiplicative}}
{{cell, scaled, additive}}
[m, [memory,]]
(squashed, <tanh>)
{{hidden, out_gate, multiplicative}}
[h, [recur,]]
(output, {outputs}, <linear>, <mse>)
"""

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

CLASSIFIER = "/he,zero/ (input, {}) {} (output, {}, <softmax>, <cross_entropy>)"


@dataclass(frozen=True)
class Case:
    """One model with its data's shape. ``target``: how many times faster than the best peer it has to be.

    ``cell``: the width of its textbook LSTM, where it is one (``torch.nn.LSTM`` computes the same).
    """

    name: str
    text: str
    batch: int
    window: int
    samples: int
    rate: float
    target: float | None = None
    cell: int | None = None

    @property
    def windows(self) -> int:
        """Windows, and updates, of a run."""
        return self.samples // self.window

    def model(self, threads: int | None = None) -> nm.Model:
        """The compiled, not yet built model; its warnings are known and left aside."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", nm.MDLWarning)
            return nm.compile(self.text, self.batch, self.rate, bptt_steps=self.window, threads=threads)

    def shortened(self, divisor: int, least: int = 16) -> Case:
        """The same with a part of the samples, of whole windows, and at least ``least`` windows where it has them."""
        windows = max(self.windows // divisor, min(least, self.windows))
        return replace(self, samples=windows * self.window)


def listed() -> dict[str, Case]:
    """The nine cases by name. Sample counts make a run of ours take a tenth of a second to half of one."""
    cases = [
        Case("lstm4", _seed_model("lstm-model", 4), 5, 16, 160_000, 0.1, 9.0),
        Case("big4", _seed_model("big-model", 4), 5, 16, 160_000, 0.1, 20.0),
        Case("lstm64", _seed_model("lstm-model", 64), 32, 16, 4_096, 0.5, 2.5),
        Case("lstm256", _seed_model("lstm-model", 256), 64, 16, 256, 0.5, 1.6),
        Case("textbook64", textbook(64), 16, 64, 6_400, 0.2, 1.4, 64),
        Case("textbook256", textbook(256), 32, 32, 512, 0.5, 1.05, 256),
        Case("digits", CLASSIFIER.format(64, "(hidden, 128, <relu>)", 10), 32, 1, 16_000, 0.05, 1.8),
        Case("mnist", CLASSIFIER.format(784, "(a, 512, <relu>) (b, 512, <relu>)", 10), 128, 1, 128, 0.05, 1.05),
        Case("chain", _chain(), 10_000, 1, 256, 0.2, 2.0),
    ]
    return {case.name: case for case in cases}


def textbook(width: int) -> str:
    """The textbook LSTM with all widths alike."""
    return TEXTBOOK_LSTM.format(inputs=width, width=width, outputs=width)


def _seed_model(name: str, width: int) -> str:
    """An example model, all widths of 4 replaced."""
    return re.sub(r"(\(\w+, )4\b", rf"\g<1>{width}", (MODELS / f"{name}.mdl").read_text(encoding="utf-8"))


def _chain() -> str:
    return "/xavier,zero/ (input, 4) (a, 32, <tanh>) (b, 16, <tanh>) (output, 4, <tanh>, <mse>)"


def data(case: Case) -> tuple[Floats, Floats]:
    """Inputs in (-1, 1) and expectations in (0.1, 0.9), or one-hot vectors for a classifier; always the same."""
    graph = case.model().graph
    rng = np.random.default_rng(2025)
    shape = (case.samples, case.batch)
    inputs = rng.random((*shape, graph.nodes[graph.input].width), np.float32) * 2 - 1
    width = graph.nodes[graph.output].width
    if graph.loss.name == "cross_entropy":
        return inputs, np.eye(width, dtype=np.float32)[rng.integers(0, width, shape)]
    return inputs, rng.random((*shape, width), np.float32) * np.float32(0.8) + np.float32(0.1)


# Work ----------------------------------------------------------------------------------------------------------------


def flops(case: Case) -> int:
    """Floating-point operations of a sample's matrix products: forward, weight gradients, and gradients by a layer's
    input in those components that something learns through. Elementwise work is not counted."""
    graph: Any = case.model().graph
    learning = _learning(graph)
    total = 0
    for index in graph.parameters:
        node = graph.nodes[index]
        total += node.width * (2 * graph.fan_in(index) + int(learning[node.source].sum()))
    return 2 * case.batch * total


def _learning(graph: Any) -> dict[int, NDArray[np.bool_]]:
    """Which components of each live node's value depend on parameters, in this step or through time."""
    masks = {index: np.zeros(graph.nodes[index].width, bool) for index in graph.order}
    before = -1
    while before < (before := sum(int(mask.sum()) for mask in masks.values())):
        for index in graph.order:
            masks[index] = _mask(graph.nodes[index], masks)
    return masks


def _mask(node: Any, masks: dict[int, NDArray[np.bool_]]) -> NDArray[np.bool_]:
    if node.source is None:
        return masks[node.index]
    own = masks[node.source]
    if node.kind == "layer":
        return np.ones(node.width, bool)
    if node.merge is None:
        return np.full(node.width, own.any()) if node.function and node.function.couples else own
    other = masks[node.other]
    if node.merge.concatenates:
        return np.concatenate([own, other])
    shared = min(len(own), len(other))
    return np.concatenate([own[:shared] | other[:shared], own[shared:]])


# Random graphs -------------------------------------------------------------------------------------------------------

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
        return _seed_model("lstm-model", _width(rng))
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
