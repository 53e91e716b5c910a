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
from neuromorph.machine import instructions as i
from neuromorph.machine.instructions import HEAD
from neuromorph.machine.templates import map_of
from neuromorph.runtime.instant import sizes_of as arrays_of
from neuromorph.schedule import KernelPlan

FINISHED = text_of("(a, 5, <tanh>) (b, 9, <tanh>) {m, a, multiplicative}")
WIDE = f"{HEADER} (input, 3) (a, 9, <softmax>) (b, <softmax>) {{m, a, maximum}} {TAIL}"
CAPACITY = 3
TANH = map_of("tanh(x)", ())[0]
LAST = -999  # stands for the last vector of the workspace


def plan_of(text: str) -> KernelPlan:
    return MachineKernel(witnesses.graph_of(text), KernelOptions(2, "float64", 4, 16, "sgd")).plan.plan


def sizes_of(plan: KernelPlan, *, training: bool = True) -> Sizes:
    return arrays_of(plan, training=training, capacity=CAPACITY, lanes=2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text", [LSTM, GRU, WIDE, FINISHED])
def test_programs_of_plans_pass(text: str, training: bool) -> None:
    plan = plan_of(text)
    check(encoded(plan, training=training), sizes_of(plan, training=training), training=training)


def encoded(plan: KernelPlan, *, training: bool = True) -> Program:
    return encode(plan, training=training, capacity=CAPACITY, lanes=2)


# Instructions with which a machine would leave its arrays: the number of each, and the words that are changed in it,
# counted after its number and length.
LEAVING = {
    "a rest that moves by more than a vector": (i.FINISH, {13: 1000}),
    "a target that is read behind what is written": (i.FINISH, {3: LAST, 4: 0, 5: 0, 6: 1, 9: 0}),
    "a map with more vectors than its target has room for": (i.MAP + TANH, {0: 1000}),
    "a map whose rows move too far": (i.MAP + TANH, {2: i.ONE_ROW, 11: 1000}),
    "a map whose rows go backwards": (i.MAP + TANH, {2: 0, 12: -1000}),
    "a map of no kind": (i.MAP + TANH, {2: 2 * i.ONE_ROW}),
    "results in panels": (i.FORWARD, {6: 0}),
    "a right matrix in panels": (i.WEIGHT, {3: 0}),
    "a panel that no tile is for": (i.FORWARD, {9: 4}),
}


@pytest.mark.parametrize("name", LEAVING)
def test_instructions_that_leave_the_arrays(name: str) -> None:
    plan = plan_of(FINISHED)
    program, (number, changes) = encoded(plan), LEAVING[name]
    words = program.words.copy()
    here = place_of(words, number)
    for place, word in changes.items():
        words[here + 2 + place] = sizes_of(plan).work - 4 if word == LAST else word
    assert refuses(replace(program, words=words), sizes_of(plan))


def place_of(words: np.ndarray, number: int) -> int:
    """Where the first instruction of a number stands."""
    for name in ("forward", "backward", "gradients"):
        begin = int(words[HEAD.index(name)])
        for _, here, end in words[begin + 1 : begin + 1 + 3 * words[begin]].reshape(-1, 3):
            while here < end:
                if words[here] == number:
                    return int(here)
                here += words[here + 1]
    raise AssertionError(f"the program has no instruction {number}")


@pytest.mark.parametrize("name", ["lanes", "width", "wide"])
def test_programs_for_other_data(name: str) -> None:
    """With more rows or components than the caller's arrays have, a program would read behind them."""
    plan = plan_of(WIDE)
    program = encoded(plan)
    words = program.words.copy()
    words[HEAD.index(name)] -= 1
    with pytest.raises(ProgramError, match=r"the program is for \d and the arrays are for \d"):
        check(replace(program, words=words), sizes_of(plan), training=True)


def test_other_words_of_the_head() -> None:
    plan = plan_of(LSTM)
    program, sizes = encoded(plan), sizes_of(plan)
    assert not refuses(program, sizes)
    assert refuses(replace(program, numbers=program.numbers[:0]), sizes)  # the loss has a number
    assert refuses(program, replace(sizes, work=sizes.work // 2))  # whatever workspace the program says it needs
    words = program.words.copy()
    words[HEAD.index("learning")] -= 1
    assert refuses(replace(program, words=words), sizes)  # its last vector may end behind the weights


def test_zeros_are_never_fewer_than_none() -> None:
    plan = plan_of(LSTM)
    program = encoded(plan)
    words = program.words.copy()
    words[int(words[HEAD.index("zeros")]) + 2] = -8
    words[int(words[HEAD.index("zeros")]) + 3] = 8
    assert refuses(replace(program, words=words), sizes_of(plan))


def test_predictions_have_no_gradients() -> None:
    """They would read and write the weights, which are the only other array that a prediction has."""
    plan = plan_of(WIDE)
    program = encoded(plan, training=False)
    words = [*program.words.tolist(), i.COLUMNS, 6, 0, 0, 0, 1]
    words += [1, 0, len(words) - 6, len(words)]
    words[HEAD.index("forward")] = len(words) - 4
    with pytest.raises(ProgramError, match="a prediction has no gradients"):
        check(replace(program, words=np.array(words)), sizes_of(plan, training=False), training=False)


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


@pytest.mark.parametrize("text", [LSTM, WIDE, FINISHED])
def test_what_a_changed_program_does_stays_inside_or_is_refused(text: str) -> None:
    """Words are changed at random. What passes is run: no array is left, whatever the results are."""
    plan, rng = plan_of(text), np.random.default_rng(3)
    program, sizes = encoded(plan), sizes_of(plan)
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
            array(layout.size), array(max(1, layout.transposed_size)), array(layout.size), array(1), np.zeros(4),
            array(rows * width + 4), array(rows * wide + 4), array(rows), 0, array(rows), np.zeros(CAPACITY), 0.1, 0.0,
        )  # fmt: skip
