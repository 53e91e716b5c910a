"""Random models by Hypothesis, and settings for the number of examples."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from helpers import witnesses
from helpers.texts import HEADER
from neuromorph.errors import MDLSemanticError
from neuromorph.functions import ACTIVATIONS, LOSSES, MERGES

WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 7, 9])
# Functions that are left out: they grow without bound, or are flat or infinite for common numbers.
WILD = {"exp", "square", "reciprocal", "log", "hard_sigmoid", "divisive", "poisson"}
FUNCTIONS = st.sampled_from(sorted(ACTIVATIONS.keys() - WILD))
ENDS = st.sampled_from(sorted(LOSSES.keys() - WILD))
FITTING = sorted(name for name, merge in MERGES.items() if merge.other_width == "any" and merge.result != "other")
OPERATIONS = st.sampled_from(sorted(set(FITTING) - WILD) * 2 + ["concatenate"])
DEPTH = 3  # the deepest nesting of splits


class Author:
    """Writes one model, choice by choice. The nodes that merges read are chosen once all names are known."""

    def __init__(self, draw: st.DrawFn, widths: st.SearchStrategy[int] = WIDTHS) -> None:
        self.draw, self.widths = draw, widths
        self.names = ["n0"]
        self.merges: list[tuple[int, str]] = []  # (index into all names, operation)

    def name(self) -> str:
        self.names.append(f"n{len(self.names)}")
        return self.names[-1]

    def nodes(self, depth: int, least: int) -> str:
        """Some nodes, one after the other."""
        return "".join(self.node(depth) for _ in range(self.draw(st.integers(least, 4 - depth // 2))))

    def node(self, depth: int) -> str:
        kind = self.draw(st.sampled_from(["layer", "layer", "activation", "merge", "merge", "merge", "split"]))
        if kind == "split" and depth < DEPTH:
            name = self.name()
            return f"[{name},{'|'.join(self.nodes(depth + 1, 0) for _ in range(self.draw(st.integers(1, 2))))}]"
        if kind == "merge":
            name = self.name()
            self.merges.append((self.draw(st.integers(0, 30)), self.draw(OPERATIONS)))
            return f"{{{name}, @{len(self.merges) - 1}@}}"
        width = f"{self.draw(self.widths)}, " if kind == "layer" else ""
        return f"({self.name()}, {width}<{self.draw(FUNCTIONS)}>)"

    def text(self) -> str:
        """The whole model. A concatenation whose width depends on itself becomes a sum."""
        body = f"(n0, {self.draw(self.widths)})" + self.nodes(0, 1)
        output = f"(out, {self.draw(self.widths)}, <{self.draw(FUNCTIONS)}>, <{self.draw(ENDS)}>)"
        names, merges = [*self.names, "out"], list(self.merges)
        while True:
            text = f"{HEADER}\n{body}{output}"
            for number, (which, operation) in enumerate(merges):
                text = text.replace(f"@{number}@", f"{names[which % len(names)]}, {operation}")
            try:
                witnesses.graph_of(text)
            except MDLSemanticError:
                last = max(n for n, (_, operation) in enumerate(merges) if operation == "concatenate")
                merges[last] = (merges[last][0], "additive")
            else:
                return text


@st.composite
def models(draw: st.DrawFn, widths: st.SearchStrategy[int] = WIDTHS) -> str:
    """An MDL text that describes a model."""
    return Author(draw, widths).text()


def largest(outcome: witnesses.Outcome) -> float:
    """The largest absolute value of an outcome; infinity if a value is not finite."""
    with np.errstate(all="ignore"):
        return max(float(np.nan_to_num(np.abs(a), nan=np.inf, posinf=np.inf).max()) for a in outcome.arrays().values())


def bounded(examples: int) -> settings:
    """Settings for a fixed number of examples, always the same ones."""
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )  # fmt: skip


def floor_of(wanted: witnesses.Outcome) -> float:
    """The floor for ``relative_error``, a thousandth of the largest value. Rejects models whose values explode."""
    biggest = largest(wanted)
    assume(biggest < 1e6)
    return 1e-3 * max(1.0, biggest)
