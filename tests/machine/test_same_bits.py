"""A model's own kernels and the machine give the same bits, whatever the text, the optimizer and the SIMD width.

Random texts of both editions, in plain Python that adds and rounds as compiled code does; ``test_tiers.py`` has both
compiled. ``NEUROMORPH_NIGHTLY=30`` compares fresh texts for half an hour, half of it in compiled code.
"""

from __future__ import annotations

import os
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import witnesses
from helpers.exact_twins import assert_same_bits, exact_functions, with_gaps
from helpers.machines import MachineKernel, functions_of
from helpers.random_models import bounded, models
from helpers.random_texts import texts
from helpers.texts import GRU, HEADER, LSTM, STRUCTURES, TAIL, text_of
from neuromorph.codegen import KernelOptions, generate
from neuromorph.graph import freeze
from neuromorph.machine.encode import _Encoder
from neuromorph.machine.instructions import ONE_CHAIN
from neuromorph.optimizers import UPDATES
from neuromorph.runtime.instant import machine_for

MINUTES = float(os.environ.get("NEUROMORPH_NIGHTLY") or 0.0)
WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 9, 18, 33])


@dataclass(frozen=True)
class Case:
    """A text, the numbers it is run with, and what its kernels are for.

    gaps: whether components of the expected values are not known. frozen: whether the first node with parameters is.
    """

    text: str
    batch: int
    samples: int
    window: int
    seed: int
    weighted: bool
    gaps: bool
    frozen: bool
    clip: float
    dtype: str
    lanes: int
    registers: int
    optimizer: str

    def trial(self) -> witnesses.Trial:
        window = min(self.window, self.samples)
        trial = witnesses.trial_of(
            self.text, batch=self.batch, samples=self.samples, window=window, seed=self.seed, weighted=self.weighted
        )
        if self.frozen and trial.graph.arrays:
            first = trial.graph.nodes[trial.graph.arrays[0].node]
            trial = replace(trial, graph=freeze(trial.graph, [first.name]))
        trial = witnesses.with_vectors(trial, self.seed + 1)
        return with_gaps(trial, self.seed) if self.skips(trial) else trial

    def skips(self, trial: witnesses.Trial) -> bool:
        """Whether components may be unknown: a cross-entropy needs whole vectors."""
        return self.gaps and trial.graph.loss.mean

    def check(self, functions: Callable[[Any], Any] = exact_functions) -> None:
        trial = self.trial()
        options = KernelOptions(
            self.batch, self.dtype, self.lanes, self.registers, self.optimizer, skips=self.skips(trial)
        )
        kernel, machine = generate(trial.graph, options), MachineKernel(trial.graph, options)
        assert_same_bits(kernel, machine, trial, functions, clip=self.clip, note=f"{self}\n{self.text}")


def cases(**given: Any) -> st.SearchStrategy[Case]:
    """Any case; ``given``: fields that are the same in all."""
    choices = {
        "text": st.one_of(models(WIDTHS), texts(WIDTHS)), "batch": st.sampled_from([1, 2, 3, 5]),
        "samples": st.sampled_from([3, 5, 6]), "window": st.sampled_from([1, 2, 4]), "seed": st.integers(0, 1000),
        "weighted": st.booleans(), "gaps": st.booleans(), "frozen": st.booleans(),
        "clip": st.sampled_from([0.0, 0.0, 0.1]), "dtype": st.sampled_from(["float32", "float64"]),
        "lanes": st.sampled_from([2, 4, 8, 16]), "registers": st.sampled_from([16, 32]),
        "optimizer": st.sampled_from(list(UPDATES)),
    }  # fmt: skip
    return st.builds(Case, **choices | {name: st.just(value) for name, value in given.items()})


def case_of(text: str, number: int) -> Case:
    """A case whose fields but the text follow from a number."""
    return Case(
        text, (1, 3, 2)[number % 3], 5, (2, 4)[number % 2], number, number % 3 == 1, number % 5 == 2, number % 7 == 3,
        (0.0, 0.1)[number % 4 == 1], ("float32", "float64")[number % 2], (2, 4, 8, 16)[number // 2 % 4],
        (16, 32)[number // 3 % 2], list(UPDATES)[number % len(UPDATES)],
    )  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure(name: str) -> None:
    case_of(text_of(STRUCTURES[name]), list(STRUCTURES).index(name)).check()


@pytest.mark.parametrize("number", range(16))
def test_cells_with_every_optimizer_and_width(number: int) -> None:
    case_of((LSTM, GRU)[number // 8], number).check()


@bounded(100)
@given(cases())
def test_random_texts(case: Case) -> None:
    case.check()


LONG = f"{HEADER} (input, 70) (a, 40, <tanh>) {{both, h, concatenate}} (h, 36, <tanh>) {TAIL}"  # sums of several chains


@pytest.mark.parametrize("number", range(4))
def test_sums_of_many_products(number: int) -> None:
    case_of(LONG, 2 * number + 1).check()


@pytest.mark.parametrize("changed", ["order", "fma"])
def test_the_comparison_sees_another_order_of_sums_and_another_rounding(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def functions(kernel: Any) -> Any:
        found = exact_functions(kernel)
        if changed == "fma" and not isinstance(kernel, MachineKernel):
            found.fma = lambda x, y, z: x * y + z
        return found

    if changed == "order":
        monkeypatch.setattr(_Encoder, "order", lambda *_: ONE_CHAIN)
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        case_of(LONG, 3).check(functions)


def both_compiled(kernel: Any) -> Any:
    """The compiled functions of a model's own kernel, or those of the machine with the model's programs."""
    if not isinstance(kernel, MachineKernel):
        return witnesses.compiled(kernel)
    options = kernel.options
    machine = machine_for(options.dtype, options.lanes, options.registers)
    entries = {name: machine.entry(name) for name in ("train", "predict")}
    return functions_of(kernel, types.SimpleNamespace(**entries))


@pytest.mark.skipif(not MINUTES, reason="NEUROMORPH_NIGHTLY says for how many minutes")
@pytest.mark.parametrize("functions", [exact_functions, both_compiled])
def test_fresh_texts(functions: Callable[[Any], Any]) -> None:
    fresh = settings(bounded(20), derandomize=False)
    end = time.monotonic() + 30.0 * MINUTES
    while time.monotonic() < end:
        fresh(given(cases())(lambda case: case.check(functions)))()
