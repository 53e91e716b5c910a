"""Programs of the machine, right and changed, run in arrays that refuse to be left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from helpers import witnesses
from helpers.machines import MachineKernel, plain_machine
from neuromorph.abi.mailbox import new_mailbox
from neuromorph.codegen import KernelOptions
from neuromorph.machine import Program, ProgramError, Sizes, check, encode
from neuromorph.machine.instructions import HEAD
from neuromorph.runtime.instant import sizes_of as arrays_of
from neuromorph.schedule import KernelPlan

CAPACITY = 3


def plan_of(text: str) -> KernelPlan:
    return MachineKernel(witnesses.graph_of(text), KernelOptions(2, "float64", 4, 16, "sgd")).plan.plan


def sizes_of(plan: KernelPlan, *, training: bool = True) -> Sizes:
    return arrays_of(plan, training=training, capacity=CAPACITY, lanes=2)


def encoded(plan: KernelPlan, *, training: bool = True) -> Program:
    return encode(plan, training=training, capacity=CAPACITY, lanes=2)


def changed_program(program: Program, rng: np.random.Generator) -> Program:
    """A program of which one word is another."""
    words = program.words.copy()
    place = int(rng.integers(len(words)))
    word = int(words[place])
    words[place] = int(rng.choice([-1, 0, 1, 4, 7, word + 4, word * 2, 10**6, word - 4]))
    return replace(program, words=words)


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
            program.words, program.numbers, 0, 1, *new_mailbox(1), 0, CAPACITY, CAPACITY, CAPACITY, 2,
            array(program.space),
            array(layout.size), array(max(1, layout.transposed_size)), array(layout.size), array(1), np.zeros(4),
            array(rows * width + 4), array(rows * wide + 4), array(rows), 0, array(rows), np.zeros(CAPACITY), 0.1, 0.0,
        )  # fmt: skip
