"""What is measured: the listed cases and their data.

Shapes: S samples (time steps), B lanes, W components; data are float32, inputs (S, B, W_in), expected (S, B, W_out).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .case import Case

Floats = NDArray[np.float32]

MODELS = Path(__file__).resolve().parents[2] / "examples" / "models"

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

CLASSIFIER = "/he,zero/ (input, {}) {} (output, {}, <softmax>, <cross_entropy>)"

# Cells of the library, or of one's own, between an input and a linear output as wide as they are.
CELLS = "/xavier,zero/ {definition} (input, {width}) {uses} (output, {width}, <linear>, <mse>)"

# Bai, Kolter & Koltun, 2018: causal convolutions with residuals, one convolution a block.
BLOCK = "<block, dilation>[[around,] (sum, width, <conv, 3, dilation>) (bent, <relu>) {out, around, additive}]"

# Ba, Kiros & Hinton, 2016, equation 4.
NORMED_RNN = "<normed>[{seen, state, concatenate, 1} (sum, width, <linear>) (normal, <norm>) (state, <tanh>)]"

# Jaeger, 2001. All of it is frozen; the output alone learns.
RESERVOIR = """/xavier,zero/
<reservoir, radius, density>[
    [past, {old, state, take, 1} (recalled, width, <linear>, /spectral radius density,zero/)]
    (fed, width, <linear>, /uniform -0.5 0.5,const_uneven 0 0.5/)
    {sum, recalled, additive}
    (state, <tanh>)
]
(input, 1)
(h, 400, <reservoir, 0.9, 0.1>)
(output, 1, <linear>, <mse>)
"""


def listed() -> dict[str, Case]:
    """The listed cases by name. Sample counts make a run of ours take a tenth of a second to half of one."""
    return {case.name: case for case in (*_first_cases(), *_cell_cases())}


def _first_cases() -> list[Case]:
    """Models of layers, splits and merges alone."""
    return [
        Case("lstm4", example_model("lstm-model", 4), 5, 16, 160_000, 0.1, 9.0),
        Case("big4", example_model("big-model", 4), 5, 16, 160_000, 0.1, 20.0),
        Case("lstm64", example_model("lstm-model", 64), 32, 16, 4_096, 0.5, 2.5),
        Case("lstm256", example_model("lstm-model", 256), 64, 16, 256, 0.5, 1.6),
        Case("textbook64", textbook(64), 16, 64, 6_400, 0.2, 1.4, module="LSTM"),
        Case("textbook256", textbook(256), 32, 32, 512, 0.5, 1.05, module="LSTM"),
        Case("digits", CLASSIFIER.format(64, "(hidden, 128, <relu>)", 10), 32, 1, 16_000, 0.05, 1.8),
        Case("mnist", CLASSIFIER.format(784, "(a, 512, <relu>) (b, 512, <relu>)", 10), 128, 1, 128, 0.05, 1.05),
        Case("chain", chain(), 10_000, 1, 256, 0.2, 2.0),
    ]


def _cell_cases() -> list[Case]:
    """Models of cells, convolutions, norms and frozen parameters."""
    stack, layers = cells(64, "lstm", "lstm", "lstm"), ("h0.", "h1.", "h2.")
    dilated = cells(32, *(f"block, {dilation}" for dilation in (1, 2, 4, 8)), definition=BLOCK)
    return [
        Case("lstm64x3", stack, 16, 64, 2_560, 0.5, 1.5, module="LSTM", cells=layers),
        Case("gru128", cells(128, "gru"), 32, 32, 2_048, 0.2, 1.5, module="GRU", cells=("h0.",)),
        Case("min_gru64", cells(64, "min_gru"), 16, 64, 12_800, 0.2, 4.0),
        Case("tcn32", dilated, 8, 128, 12_800, 0.1, 1.5),
        Case("normed_rnn64", cells(64, "normed", definition=NORMED_RNN), 16, 32, 9_600, 0.1, 1.5),
        Case("reservoir400", RESERVOIR, 1, 1_000, 32_000, 0.01, 1.5, frozen="h.*", module="RNN", cells=("h.",)),
        Case("lif128", cells(128, "lif"), 32, 64, 3_200, 0.2, 4.0),
    ]


def textbook(width: int) -> str:
    """The textbook LSTM with all widths alike."""
    return TEXTBOOK_LSTM.format(inputs=width, width=width, outputs=width)


def cells(width: int, *names: str, definition: str = "") -> str:
    """Uses of cells, ``h0`` and so on, one after the other, with all widths alike."""
    uses = " ".join(f"(h{place}, {width}, <{name}>)" for place, name in enumerate(names))
    return CELLS.format(definition=definition, width=width, uses=uses)


def example_model(name: str, width: int) -> str:
    """An example model, all widths of 4 replaced."""
    return re.sub(r"(\(\w+, )4\b", rf"\g<1>{width}", (MODELS / f"{name}.mdl").read_text(encoding="utf-8"))


def chain() -> str:
    """A small perceptron."""
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
