"""A program is refused before it is run if it could read or write outside its arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.guarded_programs import (
    FINISHED,
    LAYERS,
    LEAST,
    MOST,
    SUBJECTS,
    WIDE,
    Guarded,
    Subject,
    changed_program,
    subject_of,
)
from helpers.texts import HEADER, LSTM
from neuromorph.machine import Program, ProgramError
from neuromorph.machine import instructions as i
from neuromorph.machine.instructions import WORD
from neuromorph.machine.templates import map_of
from neuromorph.optimizers import UPDATES

TANH = map_of("tanh(x)", ())[0]
LAST = -999  # stands for the last vector of the workspace


@pytest.mark.parametrize("name", SUBJECTS)
def test_programs_of_plans_pass_and_stay_inside(name: str) -> None:
    subject = subject_of(name)
    subject.check(subject.program)
    subject.run(subject.program)


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


def changed(program: Program, words: dict[int, int]) -> Program:
    """The program with other words at some places."""
    copy = program.words.copy()
    for place, word in words.items():
        copy[place] = word
    return replace(program, words=copy)


@pytest.mark.parametrize("name", LEAVING)
def test_instructions_that_leave_the_arrays(name: str) -> None:
    subject, (number, changes) = Subject(FINISHED), LEAVING[name]
    here = 2 + place_of(subject.program.words, number)
    words = {here + place: subject.sizes.work - 4 if word == LAST else word for place, word in changes.items()}
    assert subject.refuses(changed(subject.program, words))


def place_of(words: np.ndarray, number: int) -> int:
    """Where the first instruction of a number stands."""
    for name in ("forward", "backward", "gradients"):
        begin = int(words[WORD[name]])
        for _, here, end in words[begin + 1 : begin + 1 + 3 * words[begin]].reshape(-1, 3):
            while here < end:
                if words[here] == number:
                    return int(here)
                here += words[here + 1]
    raise AssertionError(f"the program has no instruction {number}")


@pytest.mark.parametrize("name", ["lanes", "width", "wide"])
def test_programs_for_other_data(name: str) -> None:
    """With more rows or components than the caller's arrays have, a program would read behind them."""
    subject = Subject(WIDE)
    fewer = {WORD[name]: subject.program.words[WORD[name]] - 1}
    with pytest.raises(ProgramError, match=r"the program is for \d and the arrays are for \d"):
        subject.check(changed(subject.program, fewer))


def test_other_words_of_the_head() -> None:
    subject = Subject(LSTM)
    program = subject.program
    assert not subject.refuses(program)
    assert subject.refuses(replace(program, numbers=program.numbers[:0]))  # the loss has a number
    assert subject.refuses(program, work=subject.sizes.work // 2)  # whatever workspace the program says it needs
    fewer = {WORD["learning"]: program.words[WORD["learning"]] - 1}
    assert subject.refuses(changed(program, fewer))  # its last vector may end behind the weights


@pytest.mark.parametrize("optimizer", ["sgd", "sgd_nesterov"])
@pytest.mark.parametrize("body", ["", "(d, <dropout>)"])
def test_each_word_of_the_head(body: str, optimizer: str) -> None:
    """With another word, such as the number of an optimizer with more slots, a program stays inside or is refused."""
    subject = Subject(f"{HEADER} (input, 3) {body} (output, 3, <restore>, <mse>)", optimizer)
    for place in range(len(i.HEAD)):
        word = int(subject.program.words[place])
        for other in {*range(-1, len(UPDATES)), word - 1, word + 1, word - 4, word + 4, 2 * word, LEAST, MOST}:
            program = changed(subject.program, {place: other})
            if not subject.refuses(program):
                subject.run(program)


def test_zeros_are_never_fewer_than_none() -> None:
    subject = Subject(LSTM)
    zeros = int(subject.program.words[WORD["zeros"]])
    assert subject.refuses(changed(subject.program, {zeros + 2: -8, zeros + 3: 8}))


def test_predictions_have_no_gradients() -> None:
    """They would read and write the weights, which are the only other array that a prediction has."""
    subject = Subject(WIDE, training=False)
    words = [*subject.program.words.tolist(), i.COLUMNS, 6, 0, 0, 0, 1]
    words += [1, 0, len(words) - 6, len(words)]
    words[WORD["forward"]] = len(words) - 4
    with pytest.raises(ProgramError, match="a prediction has no gradients"):
        subject.check(replace(subject.program, words=np.array(words)))


@pytest.mark.parametrize("place", [-1, 10**6, LEAST, MOST])
@pytest.mark.parametrize("what", ["a number beside the program", "the key of the masks", "a word of the program"])
def test_an_array_sees_that_it_is_left_and_the_check_refuses_that(what: str, place: int) -> None:
    subject = Subject(LAYERS)
    words = subject.program.words
    where = {
        "a number beside the program": place_of(words, i.MASK) + 7,
        "the key of the masks": WORD["drop_key"],
        "a word of the program": WORD["vectors"],
    }[what]
    program = changed(subject.program, {where: place})
    assert subject.refuses(program)
    with pytest.raises(AssertionError, match="is outside of"):
        subject.run(program)


def test_guarded_arrays() -> None:
    array = np.zeros(4).view(Guarded)
    for place in (-1, 4, slice(2, 6), slice(-2, 2), slice(5, None)):
        with pytest.raises(AssertionError, match="is outside of 4 elements"):
            array[place]
        with pytest.raises(AssertionError, match="is outside of 4 elements"):
            array[place] = 1.0
    assert type(array[1:3].copy()) is np.ndarray


@pytest.mark.parametrize("name", SUBJECTS)
def test_what_a_changed_program_does_stays_inside_or_is_refused(name: str) -> None:
    """Words are changed at random. What passes is run: no array is left, whatever the results are."""
    subject, rng = subject_of(name), np.random.default_rng(3)
    passed = refused = 0
    for _ in range(200):
        program = changed_program(subject.program, rng)
        if subject.refuses(program):
            refused += 1
        else:
            subject.run(program)
            passed += 1
    assert refused > 80
    assert passed > 10
