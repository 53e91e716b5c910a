"""A program is refused before it is run if it could read or write outside its arrays."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from helpers.guarded_programs import changed_program, encoded, plan_of, refuses, run, sizes_of
from helpers.texts import GRU, HEADER, LSTM, TAIL, text_of
from neuromorph.machine import ProgramError, check
from neuromorph.machine import instructions as i
from neuromorph.machine.instructions import HEAD
from neuromorph.machine.templates import map_of

FINISHED = text_of("(a, 5, <tanh>) (b, 9, <tanh>) {m, a, multiplicative}")
WIDE = f"{HEADER} (input, 3) (a, 9, <softmax>) (b, <softmax>) {{m, a, maximum}} {TAIL}"
TANH = map_of("tanh(x)", ())[0]
LAST = -999  # stands for the last vector of the workspace


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text", [LSTM, GRU, WIDE, FINISHED])
def test_programs_of_plans_pass(text: str, training: bool) -> None:
    plan = plan_of(text)
    check(encoded(plan, training=training), sizes_of(plan, training=training), training=training)


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


@pytest.mark.parametrize("text", [LSTM, WIDE, FINISHED])
def test_what_a_changed_program_does_stays_inside_or_is_refused(text: str) -> None:
    """Words are changed at random. What passes is run: no array is left, whatever the results are."""
    plan, rng = plan_of(text), np.random.default_rng(3)
    program, sizes = encoded(plan), sizes_of(plan)
    passed = refused = 0
    for _ in range(400):
        changed = changed_program(program, rng)
        if refuses(changed, sizes):
            refused += 1
            continue
        passed += 1
        with suppress(ValueError):  # of NumPy, that a softmax has no components
            run(plan, changed)
    assert refused > 100
    assert passed > 20
