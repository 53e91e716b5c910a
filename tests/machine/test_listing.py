"""Listings say what the machine does: they are decoded from the words, and name what these reach."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from helpers import witnesses
from helpers.machines import MachineKernel, plain_machine
from helpers.texts import GRU, HEADER, LSTM, STRUCTURES, text_of
from neuromorph.codegen import KernelOptions
from neuromorph.machine import Program, encode, listing
from neuromorph.machine import instructions as i
from neuromorph.machine.decode import LISTS, Decoded, Instruction, decode
from neuromorph.machine.listing import Line, Listing
from neuromorph.machine.places import ROOMS, Places
from neuromorph.machine.templates import MAPS, SUMS
from neuromorph.schedule import KernelPlan

ENCODER = import_module("neuromorph.machine.encode")._Encoder
EVERYTHING = f"""{HEADER}
(input, 5) (scaled, <standardize>) (c, 12, <conv, 3, 2>) (n, <norm>) {{late, c, additive, 3}}
(slow, 12, <leaky>) (p, <prelu>) (g, <gain>) (r, <rms_norm>) (wide, 12, <softmax>)
[s, (one, 1, <sigmoid>) | {{d, c, dot, 2}} | (vec, 9, <learned, 0.5>)]
{{sc, one, scale}} {{more, d, scale, 1}} {{larger, vec, maximum}} (h, 5, <gru>) {{old, slow, take, 2}}
{{back, h, concatenate}} (drop, <dropout, 0.3>)
(output, 3, <restore>, <mse>)"""
TEXTS = {name: text_of(body) for name, body in STRUCTURES.items()} | {"lstm": LSTM, "gru": GRU, "all": EVERYTHING}
SHAPES = [(4, 3, 2), (2, 1, 1)]  # elements of a vector, steps, lanes


def plan_of(text: str, lanes: int = 4, batch: int = 2) -> KernelPlan:
    return MachineKernel(witnesses.graph_of(text), KernelOptions(batch, "float64", lanes, 16, "sgd")).plan.plan


def programs(text: str) -> Iterator[tuple[KernelPlan, Program, dict[str, Any]]]:
    """The programs of a text, with the arguments that they were encoded for."""
    for vector, steps, lanes in SHAPES:
        plan = plan_of(text, vector, lanes)
        for training in (True, False):
            arguments = {"training": training, "capacity": steps, "lanes": lanes}
            yield plan, encode(plan, **arguments), arguments


def lines_of(found: Listing) -> list[Line]:
    return [line for section in found.sections for line in section.lines]


@pytest.mark.parametrize("name", TEXTS)
def test_every_word_is_decoded(name: str) -> None:
    for _, program, arguments in programs(TEXTS[name]):
        found = decode(program, training=arguments["training"])
        covered = [*range(len(i.HEAD)), *(place for span in spans(program, found) for place in span)]
        assert sorted(covered) == list(range(len(program.words)))


def spans(program: Program, found: Decoded) -> Iterator[range]:
    """The places of the words of each list and each instruction."""
    for name in (*found.lists, "forward", *(("backward", "gradients") if "transposes" in found.lists else ())):
        place = int(program.words[i.WORD[name]])
        yield range(place, place + 1 + int(program.words[place]) * len(LISTS[name]))
    for piece in found.pieces:
        yield from (range(each.place, each.place + each.length) for each in piece.instructions)


@pytest.mark.parametrize("name", TEXTS)
def test_places_have_the_names_that_were_encoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder asks where a place stands before it writes an instruction: what it asks for is what it means."""
    asked: list[str] = []
    meant: list[set[str]] = []
    stream, instruction = Places.stream, ENCODER.instruction

    def ask(self: Places, place: Any, *rest: Any) -> Any:
        asked.append(place.buffer)
        return stream(self, place, *rest)

    def write(self: Any, number: int, words: Any) -> None:
        instruction(self, number, words)
        meant.append({*asked})
        in_room = number < i.SUM and list(words)[5] in {self.extra[f"room{place}"] for place in range(ROOMS)}
        if number not in (i.SPREAD, i.CUT) and not in_room:  # else the operation goes on
            asked.clear()

    for plan, _, arguments in programs(TEXTS[name]):
        with monkeypatch.context() as patched:
            patched.setattr(Places, "stream", ask)
            patched.setattr(ENCODER, "instruction", write)
            program = encode(plan, **arguments)
        found = [line for line in lines_of(listing(plan, program, **arguments)) if line.place is not None]
        assert len(found) == len(meant)
        for line, buffers in zip(found, meant, strict=True):
            told = set(re.findall(r"\.([vsdgcekmhxy][0-9]*)\b", line.text))
            is_wide = " and " in line.text  # it does what the encoder asked for after it had written the instruction
            if line.operation in ("weigh", "columns"):  # they find gradients without asking
                buffers |= {name for name in told if name[0] in "gde"}
            assert told <= buffers or is_wide
            assert " or " not in line.text
            assert not re.search(r"\b(?:work|weights|transposed)\[", line.text)
        asked.clear()
        meant.clear()


def test_every_instruction_has_a_line() -> None:
    found = {line.operation for plan, program, arguments in programs(EVERYTHING)
             for line in lines_of(listing(plan, program, **arguments))}  # fmt: skip
    assert set(i.OTHERS) <= found, set(i.OTHERS) - found


def alone(words: list[int], numbers: Any) -> Program:
    """A program of prediction with one instruction."""
    begin = len(i.HEAD)
    whole = [0] * begin + words
    whole += [1, 0, begin, len(whole), 0]
    for name in ("vectors", "state"):
        whole[i.WORD[name]] = len(whole) - 1
    whole[i.WORD["forward"]] = len(whole) - 5
    return Program(np.array(whole), np.array(numbers), 0)


def done(program: Program, instruction: Instruction, work: np.ndarray) -> np.ndarray:
    """The workspace after the machine has done an instruction on one row."""
    machine, after, no = plain_machine("float64", 4, 16), work.copy(), np.zeros(1)
    words = program.words[instruction.place :]
    with np.errstate(all="ignore"):
        getattr(machine, instruction.name)(words, 0, 1, after, no, no, no, program.numbers, -1)
    return after


def value_of(instruction: Instruction, work: np.ndarray, **functions: Any) -> Any:
    """What the decoded expression of an instruction says, of the decoded streams."""
    machine = plain_machine("float64", 4, 16)
    operands = {name: machine.load(work, stream.offset) for name, stream in instruction.streams.items()}
    with np.errstate(all="ignore"):
        return eval(instruction.expression, {**vars(machine), **operands, **functions})


WORK = np.random.default_rng(1).uniform(0.2, 1.8, 80)
NUMBERS = [3.0, 0.25, 0.75, 0.5, 1.5, 2.5]


@pytest.mark.parametrize("number", range(len(MAPS)))
def test_maps_do_what_their_line_says(number: int) -> None:
    streams = [word for place in range(1 + len(MAPS[number].letters)) for word in (8 * place, 0, 4, 0)]
    for flags, start in ((i.ONE_ROW, 0.0), (i.ONE_ROW | i.ADDS, WORK[:4])):
        words = [1, 0, flags, i.NO_LIMIT, i.NO_LIMIT, *streams]
        program = alone([number, len(words) + 2, *words], NUMBERS)
        (instruction,) = decode(program, training=False).pieces[0].instructions
        assert list(instruction.streams) == ["target", *MAPS[number].letters]
        expected = start + np.asarray(value_of(instruction, WORK))
        np.testing.assert_allclose(done(program, instruction, WORK)[:4], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("number", range(len(SUMS)))
def test_sums_do_what_their_line_says(number: int) -> None:
    letters = SUMS[number].term.letters
    streams = [word for place in range(len(letters)) for word in (8 + 8 * place, 0, 4, 1)]
    words = [4, 0, 0, 0, 4, 0, 3, 1, *streams]
    program = alone([i.SUM + number, len(words) + 2, *words], [1.0 / 3.0, *NUMBERS])
    (instruction,) = decode(program, training=False).pieces[0].instructions
    expected = value_of(instruction, WORK, sum=lambda x: x[:3].sum(), mean=lambda x: x[:3].mean())
    np.testing.assert_allclose(done(program, instruction, WORK)[:4], np.full(4, expected), rtol=1e-12)


def test_a_line_follows_the_words_and_not_the_plan() -> None:
    plan = plan_of(LSTM)
    arguments = {"training": True, "capacity": 3, "lanes": 2}
    program = encode(plan, **arguments)
    before = lines_of(listing(plan, program, **arguments))
    line = next(line for line in before if line.text == "candidate.s0[t] = tanh(candidate.s0[t])")
    assert line.place is not None
    words = program.words.copy()
    words[line.place] = i.MAP + 4
    words[line.place + 11] -= 8  # the operand's offset: the gate before it
    changed = replace(program, words=words)
    after = next(found for found in lines_of(listing(plan, changed, **arguments)) if found.place == line.place)
    assert after.text == "candidate.s0[t] = sigmoid(forget_gate.s0[t])"
    assert [found for found in lines_of(listing(plan, changed, **arguments)) if found.place != line.place] == [
        found for found in before if found.place != line.place
    ]


SMALL = f"{HEADER} (input, 3) {{m, h, concatenate}} (h, 4, <tanh>) (output, 2, <linear>, <mse>)"
WRITTEN = """\
Program of training: 3 steps of 2 lanes, vectors of 4; 257 words, 2 numbers beside them, 380 elements of workspace

inputs of a window, in rows of whole vectors
        take        input.x = inputs
                    3 numbers a row; @88/4

forward, over the window: 6 rows
    37  forward     h.s0 = biases + input.x × weights from input
                    6 rows, 3 × 4, panels of 1 vector, each sum one chain; weights[0]; @32/4, @88/4

forward, step by step: 2 rows
    52  forward     h.s0[t] += h.v2[t-1] × weights from h[t-1]
                    2 rows, 4 × 4, panels of 1 vector, each sum one chain; weights[12]; @32+8t/4, @56+8t/4
    67  map6        h.v2[t] = tanh(h.s0[t])
                    2 rows of 1 vector; @64+8t/4, @32+8t/4

forward, over the window: 6 rows
    82  forward     output.s1 = biases + h.v2 × weights from h
                    6 rows, 4 × 4, panels of 1 vector, each sum one chain; weights[32]; @32/4, @64/4
    97  map1        output.s1 = output.s1
                    6 rows of 1 vector; @32/4, @32/4

loss: 6 rows
        measure     output.g1 = gradient of mse of output.s1
                    2 numbers a row; mean of the components; @32/4, @32/4, @32/4

zeros before the backward pass
        zero        h.c2 = 0.0
                    8 elements; @0

backward, over the window: 6 rows
   122  backward    h.d2 = output.g1 × transposed weights from h
                    6 rows, 4 × 4, panels of 1 vector, each sum one chain; transposed[0]; @8/4, @32/4

backward, step by step, from the last step to the first: 2 rows
   137  map91       h.g0[t] = (h.d2[t] + h.c2[t]) * fma(-h.v2[t], h.v2[t], 1.0)
                    2 rows of 1 vector; @8+8t/4, @8+8t/4, @0/4, @64+8t/4
   160  backward    h.c2[t] = h.g0[t] × transposed weights from h[t-1]
                    2 rows, 4 × 4, panels of 1 vector, each sum one chain; transposed[16]; @0/4, @8+8t/4

gradients of parameters, over the window: 6 rows
   182  weigh       gradient of weights from input = transposed input.x × h.g0
                    6 rows, 3 × 4, panels of 1 vector; gradients[0]; @88/4, @8/4
   192  weigh       gradient of weights from h[t-1] = transposed h.v2[t-1] × h.g0
                    6 rows, 4 × 4, panels of 1 vector; gradients[12]; @56/4, @8/4
   202  columns     gradient of biases = sums of the columns of h.g0
                    6 rows of 1 vector; gradients[28]; @8/4
   208  weigh       gradient of weights from h = transposed h.v2 × output.g1
                    6 rows, 4 × 4, panels of 1 vector; gradients[32]; @64/4, @32/4
   218  columns     gradient of biases = sums of the columns of output.g1
                    6 rows of 1 vector; gradients[48]; @32/4

update
        update      sgd: weights[0:52] by gradients[0:52]
                    of 52 parameters with padding
        transposes  transposed weights of output from h
                    4 × 4, panels of 1 and 1 vectors; transposed[0] = weights[32]
        transposes  transposed weights of h from h[t-1]
                    4 × 4, panels of 1 and 1 vectors; transposed[16] = weights[12]

time shift: the last steps become those before the next window
        time_shift  h.v2, the last step
                    8 elements; @56 = @80
"""


def test_a_listing_as_text() -> None:
    plan = plan_of(SMALL)
    arguments = {"training": True, "capacity": 3, "lanes": 2}
    text = str(listing(plan, encode(plan, **arguments), **arguments))
    assert text == WRITTEN
