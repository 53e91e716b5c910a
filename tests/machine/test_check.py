"""A program is refused before it is run if it could read or write outside its arrays."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from helpers import witnesses
from helpers.machines import MachineKernel, plain_machine
from helpers.texts import GRU, HEADER, LSTM, TAIL, text_of
from neuromorph.codegen import KernelOptions
from neuromorph.machine import Program, ProgramError, Sizes, check, encode
from neuromorph.machine.instructions import HEAD
from neuromorph.schedule import KernelPlan

MIXED = text_of("(c, 4, <linear>, conv 2) (n, <norm>) (d, <dropout, 0.5>) {m, h, additive, 2} (h, 4, <softmax>)")
WIDE = f"{HEADER} (input, 3) (a, 9, <softmax>) (b, <softmax>) {{m, a, maximum}} {TAIL}"
CAPACITY = 3


def plan_of(text: str) -> KernelPlan:
    return MachineKernel(witnesses.graph_of(text), KernelOptions(2, "float64", 4, 16, "sgd")).plan.plan


def sizes_of(plan: KernelPlan) -> Sizes:
    layout = plan.layout
    return Sizes(layout.size, layout.transposed_size, layout.size, 1, 4, plan.options.lanes, CAPACITY)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text", [LSTM, GRU, WIDE])
def test_programs_of_plans_pass(text: str, training: bool) -> None:
    plan = plan_of(text)
    check(encode(plan, training=training, capacity=CAPACITY, lanes=2), sizes_of(plan), training=training)


class Guarded(np.ndarray):
    """An array that refuses to be read or written outside: slices in Python are cut short without a word."""

    def __getitem__(self, place: object) -> object:
        _inside(place, len(self))
        return super().__getitem__(place)  # type: ignore[index]

    def __setitem__(self, place: object, value: object) -> None:
        _inside(place, len(self))
        super().__setitem__(place, value)  # type: ignore[index]


def _inside(place: object, size: int) -> None:
    if isinstance(place, slice):
        start, stop = place.start or 0, size if place.stop is None else place.stop
        assert 0 <= min(start, stop) <= max(start, stop) <= size, f"{place} is outside of {size} elements"


@pytest.mark.parametrize("text", [LSTM, WIDE])
def test_what_a_changed_program_does_stays_inside_or_is_refused(text: str) -> None:
    """Words are changed at random. What passes is run: no array is left, whatever the results are."""
    plan, rng = plan_of(text), np.random.default_rng(3)
    program, sizes = encode(plan, training=True, capacity=CAPACITY, lanes=2), sizes_of(plan)
    passed = refused = 0
    for _ in range(400):
        words = program.words.copy()
        place = int(rng.integers(len(words)))
        word = int(words[place])
        words[place] = int(rng.choice([-1, 0, 1, 4, 7, word + 4, word * 2, 10**6, word - 4]))
        changed = replace(program, words=words)
        if refuses(changed, sizes):
            refused += 1
            continue
        passed += 1
        with suppress(ValueError):  # of NumPy, that a softmax has no components
            run(plan, changed)
    assert refused > 100
    assert passed > 20


def refuses(program: Program, sizes: Sizes) -> bool:
    try:
        check(program, sizes, training=True)
    except ProgramError:
        return True
    return False


def run(plan: KernelPlan, program: Program) -> None:
    machine, layout = plain_machine("float64", 4, 16), plan.layout

    def array(size: int) -> np.ndarray:
        return np.full(size, 0.5).view(Guarded)

    width, wide = int(program.words[HEAD.index("width")]), int(program.words[HEAD.index("wide")])
    rows = CAPACITY * int(program.words[HEAD.index("lanes")])
    with np.errstate(all="ignore"):
        machine.train(
            program.words, program.numbers, 0, CAPACITY, CAPACITY, CAPACITY, 2, array(program.space),
            array(layout.size), array(layout.transposed_size), array(layout.size), array(1), np.zeros(4),
            array(rows * width + 4), array(rows * wide + 4), array(rows), 0, array(rows), np.zeros(CAPACITY), 0.1, 0.0,
        )  # fmt: skip
