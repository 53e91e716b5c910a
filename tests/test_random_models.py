"""Models that Hypothesis writes: the generated source agrees with the reference on every one of them."""

from __future__ import annotations

import numpy as np
import support
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neuromorph.errors import MDLSemanticError
from neuromorph.functions import ACTIVATIONS, LOSSES, MERGES

WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 7, 9])
FUNCTIONS = st.sampled_from(sorted(ACTIVATIONS))
OPERATIONS = st.sampled_from(sorted(MERGES) * 2 + ["concatenate"])
DEPTH = 3  # of splits in splits


class Author:
    """Writes one model, choice by choice; the nodes that merges read are chosen when all names are known."""

    def __init__(self, draw: st.DrawFn, widths: st.SearchStrategy[int] = WIDTHS) -> None:
        self.draw, self.widths = draw, widths
        self.names = ["n0"]
        self.merges: list[tuple[int, str]] = []  # (which of all names, operation)

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
        """The whole model; a concatenation of itself becomes a sum."""
        body = f"(n0, {self.draw(self.widths)})" + self.nodes(0, 1)
        output = (
            f"(out, {self.draw(self.widths)}, <{self.draw(FUNCTIONS)}>, <{self.draw(st.sampled_from(sorted(LOSSES)))}>)"
        )
        names, merges = [*self.names, "out"], list(self.merges)
        while True:
            text = f"{support.HEADER}\n{body}{output}"
            for number, (which, operation) in enumerate(merges):
                text = text.replace(f"@{number}@", f"{names[which % len(names)]}, {operation}")
            try:
                support.graph_of(text)
            except MDLSemanticError:
                last = max(n for n, (_, operation) in enumerate(merges) if operation == "concatenate")
                merges[last] = (merges[last][0], "additive")
            else:
                return text


@st.composite
def models(draw: st.DrawFn, widths: st.SearchStrategy[int] = WIDTHS) -> str:
    """An MDL text that describes a model."""
    return Author(draw, widths).text()


def largest(outcome: support.Outcome) -> float:
    """The largest value of all, infinity where one is not finite."""
    with np.errstate(all="ignore"):
        return max(float(np.nan_to_num(np.abs(a), nan=np.inf, posinf=np.inf).max()) for a in outcome.arrays().values())


def bounded(examples: int) -> settings:
    """Always the same examples, so many of them."""
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )  # fmt: skip


def floor_of(wanted: support.Outcome) -> float:
    """What counts as nothing beside the largest value; a model whose values explode is not asked."""
    biggest = largest(wanted)
    assume(biggest < 1e6)
    return 1e-3 * max(1.0, biggest)


@bounded(120)
@given(
    models(), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 2, 5]), st.sampled_from([2, 4, 8]),
    st.sampled_from([1, 1, 1, 2]), st.booleans(), st.integers(0, 2**16),
)  # fmt: skip
def test_the_plain_source_agrees_with_the_reference(
    text: str, batch: int, window: int, lanes: int, threads: int, weighted: bool, seed: int
) -> None:
    trial = support.trial_of(text, batch=batch, samples=7, window=window, seed=seed, weighted=weighted)
    wanted = support.reference_outcome(trial)
    floor = floor_of(wanted)
    kernel = support.kernel_of(text, batch=batch, lanes=lanes, threads=min(threads, batch))
    found = support.kernel_outcome(kernel, support.plain(kernel), trial)
    support.assert_agree(found, wanted, support.TOLERANCE["float64"], text, floor)


@bounded(4)
@given(models(), st.sampled_from([2, 4, 8]), st.booleans())
def test_compiled_kernels_agree_with_the_reference(text: str, lanes: int, weighted: bool) -> None:
    trial = support.trial_of(text, batch=3, samples=7, window=5, weighted=weighted)
    wanted = support.reference_outcome(trial)
    floor = floor_of(wanted)
    kernel = support.kernel_of(text, batch=3, lanes=lanes)
    found = support.kernel_outcome(kernel, support.half_compiled(kernel), trial)
    support.assert_agree(found, wanted, support.TOLERANCE["float64"], text, floor)
