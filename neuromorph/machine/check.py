"""Checks that a program stays inside the arrays that it will be run with, whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..abi.summation import CHAINS
from ..host.frozen import frozen
from ..optimizers import UPDATES
from . import instructions as i
from .places import Shares
from .program import Program, loss_forms
from .templates import MAPS, SUMS


class ProgramError(ValueError):
    """A program that would read or write outside the arrays that it is for."""


@frozen
class Sizes:
    """The elements of the arrays that a program works on, and what else the arrays of a call are made for.

    work: the workspace of a member. gradients: of one member. memory: the optimizer's slots. constants: its numbers and
    counts. vector: the elements of a vector. panel: the most vectors of a panel. shares: the lanes and the steps of the
    longest window, and how members divide them. inputs, outputs: the components of an input and of a result.
    """

    work: int
    weights: int
    transposed: int
    gradients: int
    memory: int
    constants: int
    vector: int
    panel: int
    shares: Shares
    inputs: int
    outputs: int


def check(program: Program, sizes: Sizes, *, training: bool) -> None:
    """Raise ProgramError, naming the word, for a program that could leave its arrays.

    A program that passes reads and writes inside them only, in windows of up to as many steps as its shares say: in
    ``train`` with ``training``, else in ``predict`` and ``step``.
    """
    words: list[int] = program.words.tolist()
    numbers = len(program.numbers)
    first = _Checker(words, numbers, sizes, training, sizes.shares.lanes[0])
    places = first.members()
    for place, lanes in dict.fromkeys(zip(places, sizes.shares.lanes, strict=True)):
        _Checker(words[place:], numbers, sizes, training, lanes).check()


class _Checker:
    """The check of the program of a member with so many lanes."""

    def __init__(self, words: list[int], numbers: int, sizes: Sizes, training: bool, lanes: int) -> None:
        self.training, self.words, self.numbers = training, words, numbers
        self.work, self.sizes, self.lanes = sizes.work, sizes, lanes
        self.pc, self.loops, self.part = 0, False, ""

    def fail(self, what: str) -> None:
        raise ProgramError(f"word {self.pc} of the program: {what}")

    def head(self, name: str) -> int:
        self.pc = i.WORD[name]
        if self.pc >= len(self.words):
            self.fail("the program has no head")
        return self.words[self.pc]

    def inside(self, offset: int, reach: int, size: int, array: str) -> None:
        """Elements ``offset`` to ``offset + reach`` are in an array."""
        if offset < 0 or reach < 0 or offset + reach > size:
            self.fail(f"elements {offset} to {offset + reach} are not in {array} of {size}")

    def check(self) -> None:
        self.data_are_right()
        rows = self.head_is_right()
        for name in ("forward", "backward", "gradients") if self.training else ("forward",):
            self.part = name
            for loop, begin, end in self.entries(self.head(name), 3):
                self.segment(loop, begin, end, rows)
        self.loops = False
        self.lists()

    def members(self) -> list[int]:
        """Where the members' programs begin, the first one at the first word."""
        found = [place for (place,) in self.entries(self.head("members"), 1)]
        if len(found) != len(self.sizes.shares.lanes) or found[0] != 0:
            self.fail(f"the program is not for {len(self.sizes.shares.lanes)} members")
        for place in found:
            if not 0 <= place < len(self.words):
                self.fail("a member's program is not there")
        return found

    def data_are_right(self) -> None:
        """Check that the caller's arrays have the rows and components that the program takes."""
        shares = self.sizes.shares
        wanted = {
            "lanes": self.lanes, "batch": shares.batch, "apart": shares.apart, "chunk": shares.chunk,
            "width": self.sizes.inputs, "wide": self.sizes.outputs,
        }  # fmt: skip
        for name, number in wanted.items():
            if self.head(name) != number:
                self.fail(f"the program is for {self.head(name)} and the arrays are for {number}")

    def head_is_right(self) -> int:
        """Check the head; returns the rows of a step."""
        lanes, vector = self.head("lanes"), self.sizes.vector
        rows = lanes * self.sizes.shares.capacity
        for name, width in (("x", self.head("width")), ("y", self.head("wide"))):
            padded = -(-max(width, 1) // vector) * vector
            self.rows(self.head(name), self.head(f"{name}_row"), rows, padded)
            if self.head(f"{name}_row") != padded:
                self.fail("rows of inputs and of results are whole vectors")
        if not 0 <= self.head("loss") < len(loss_forms()):
            self.fail("there is no such loss")
        if self.training:
            wide = -(-self.head("wide") // vector) * vector
            for name in ("result", "logit", "target"):
                self.rows(self.head(name), self.head(f"{name}_row"), rows, wide)
            if self.head("units"):
                self.inside(self.head("unit_mean"), wide, self.work, "the workspace")
                self.inside(self.head("unit_scale"), wide, self.work, "the workspace")
            self.inside(0, 1, self.numbers, "the numbers")
            for name in ("size", "learning"):
                if self.head(name) % vector:
                    self.fail("parameters are whole vectors")
                self.inside(0, self.head(name), min(self.sizes.weights, self.sizes.gradients), "the parameters")
            self.optimizer_is_right()
        return lanes

    def optimizer_is_right(self) -> None:
        size, number = self.head("size"), self.head("optimizer")
        if not 0 <= number < len(UPDATES):
            self.fail("there is no such optimizer")
        update = list(UPDATES.values())[number]
        self.inside(0, len(update.slots) * size, self.sizes.memory, "what the optimizer remembers")
        if update.slots and self.head("learning") > size:
            self.fail("a slot is as large as the parameters")
        self.inside(0, len(update.constants) + len(update.counts), self.sizes.constants, "the optimizer's numbers")
        if self.head("drops"):
            self.inside(self.head("drop_key"), 2, self.sizes.constants, "the optimizer's numbers")

    def rows(self, offset: int, row: int, count: int, wide: int, step: int = 0, steps: int = 1) -> None:
        """Rows of the workspace, at each of some steps."""
        if row < 0 or step < 0:
            self.fail("a stream goes backwards")
        if step and not self.loops:
            self.fail("a stream moves from step to step, but the instruction is done once")
        self.inside(offset, (count - 1) * row + (steps - 1) * step + wide, self.work, "the workspace")

    def entries(self, place: int, length: int) -> Iterator[list[int]]:
        """The entries of a list."""
        self.pc = place
        if not 0 <= place < len(self.words):
            self.fail("a list is not in the program")
        count = self.words[place]
        if count < 0 or place + 1 + count * length > len(self.words):
            self.fail("a list is not in the program")
        for number in range(count):
            self.pc = place + 1 + number * length
            yield self.words[self.pc : self.pc + length]

    def lists(self) -> None:
        """Vectors, zeros, states and transposes."""
        vector, capacity = self.sizes.vector, self.sizes.shares.capacity
        for source, target, count in self.entries(self.head("vectors"), 3):
            whole = -(-count // vector) * vector
            self.inside(source, whole, self.sizes.weights, "the weights")
            self.inside(target, whole, self.work, "the workspace")
        for _, begin, end in self.entries(self.head("sums"), 3) if self.training else ():
            if begin % vector or end % vector or not 0 <= begin <= end <= self.head("learning"):
                self.fail("the range of a sum of squares is not among the parameters")
        for begin, fixed, moving in self.entries(self.head("zeros"), 3) if self.training else ():
            if fixed % vector or moving % vector or min(fixed, moving) < 0:
                self.fail("zeros are whole vectors")
            self.inside(begin, fixed + capacity * moving, self.work, "the workspace")
        for start, step, depth in self.entries(self.head("state"), 3):
            if self.sizes.shares.chunk:
                self.fail("rows in chunks have no state")
            if step < 0 or depth < 0 or step % vector:
                self.fail("a state is whole vectors of some steps")
            self.inside(start - depth * step, (depth + capacity) * step, self.work, "the workspace")
        for name in ("transposes", "transposed_once") if self.training else ():
            for entry in self.entries(self.head(name), 6):
                self.transpose(*entry)

    def transpose(self, rows: int, columns: int, panel: int, source: int, other: int, target: int) -> None:
        vector = self.sizes.vector
        if min(rows, columns, panel, other) < 1:
            self.fail("a matrix has rows and columns")
        self.inside(source, rows * columns * vector, self.sizes.weights, "the weights")
        groups = -(-rows // vector)
        self.inside(target, groups * vector * columns * vector, self.sizes.transposed, "the transposes")

    # Instructions ----------------------------------------------------------------------------------------------------

    def segment(self, loop: int, begin: int, end: int, lanes: int) -> None:
        capacity, self.loops = self.sizes.shares.capacity, bool(loop)
        steps, rows = (capacity, lanes) if loop else (1, lanes * capacity)
        if not (len(i.HEAD) <= begin <= end <= len(self.words)):
            self.fail("a segment is not in the program")
        here, words = begin, self.words
        while here < end:
            self.pc = here
            behind = here + words[here + 1] if here + 2 <= end else here
            if not here + 2 <= behind <= end:
                self.fail("an instruction is not in its segment")
            self.instruction(words[here], words[here + 2 : behind], rows, steps)
            here = behind

    def instruction(self, number: int, given: list[int], rows: int, steps: int) -> None:
        if not self.training and (number == i.BACKWARD or number in _OF_GRADIENTS):
            self.fail("a prediction has no gradients")
        if (number in _OF_GRADIENTS) != (self.part == "gradients"):
            self.fail("gradients of parameters, and nothing else, are made at the end")
        if i.MAP <= number < i.SUM:
            self.map(given, *_SIZES_OF_MAPS[number], rows, steps)
        elif i.SUM <= number < i.SPREAD:
            template = SUMS[number - i.SUM]
            slots = 1 + len(template.term.slots) + (len(template.finish.slots) if template.finish else 0)
            self.sum(given, len(template.term.letters), slots, rows, steps)
        elif number in _CHECKS:
            lengths, checked = _CHECKS[number]
            if len(given) != lengths:
                self.fail(f"the instruction has {len(given)} words, not {lengths}")
            checked(self, given, rows, steps)
        else:
            self.fail(f"there is no instruction {number}")

    def map(self, given: list[int], words: int, slots: int, rows: int, steps: int) -> None:
        """A map: its numbers, its target and its operands."""
        if len(given) != words:
            self.fail("an instruction of the wrong length")
        vectors, base, flags = given[:3]
        if vectors < 1:
            self.fail("rows are whole vectors")
        self.inside(base, slots, self.numbers, "the numbers")
        if flags not in range(2 * i.ONE_ROW):
            self.fail("there is no such kind of a map")
        if flags >= i.ONE_ROW:
            vectors, rows = vectors * rows, 1
        vector, work = self.sizes.vector, self.work
        for place in range(5, len(given), 4):
            offset, step, inner, outer = given[place : place + 4]
            row = vectors * inner + outer
            if inner < 0 or row < 0 or step < 0:
                self.fail("a stream goes backwards")
            if step and not self.loops:
                self.fail("a stream moves from step to step, but the instruction is done once")
            reach = (rows - 1) * row + (steps - 1) * step + (vectors - 1) * inner + vector
            if offset < 0 or offset + reach > work:
                self.inside(offset, reach, work, "the workspace")

    def sum(self, given: list[int], letters: int, slots: int, rows: int, steps: int) -> None:
        """A sum: its target, its numbers and its operands."""
        if len(given) != 8 + 4 * letters:
            self.fail("an instruction of the wrong length")
        wide, vector = given[0], self.sizes.vector
        if wide < 1 or wide % vector:
            self.fail("rows are whole vectors")
        self.inside(given[1], slots, self.numbers, "the numbers")
        if given[5] not in (0, 1):
            self.fail("an instruction adds or not")
        self.rows(given[2], given[4], rows, vector, given[3], steps)
        for place in range(8, len(given), 4):
            offset, step, row, moves = given[place : place + 4]
            if moves not in (0, 1):
                self.fail("a stream moves by 0 or 1")
            self.rows(offset, row, rows, wide if moves else vector, step, steps)

    def spread(self, given: list[int], rows: int, steps: int) -> None:
        room, row, offset, step, other = given
        self.rows(room, row, rows, self.sizes.vector)
        self.rows(offset, other, rows, 1, step, steps)

    def cut(self, given: list[int], rows: int, steps: int) -> None:
        room, wide, offset, step, row, _ = given
        if wide < 1 or wide % self.sizes.vector:
            self.fail("rows are whole vectors")
        self.rows(room, wide, rows, wide)
        self.rows(offset, row, rows, wide, step, steps)

    def finish(self, given: list[int], rows: int, steps: int) -> None:
        wide, room, row, offset, step, target_row, adds = given[:7]
        exact, rest = given[9], given[10:]
        if wide < 1 or wide % self.sizes.vector or exact < 0:
            self.fail("rows are whole vectors")
        if rest[3] not in (0, 1):
            self.fail("a stream moves by 0 or 1")
        self.rows(room, row, rows, wide)
        self.rows(offset, target_row, rows, wide if adds else min(wide, exact), step, steps)
        self.rows(rest[0], rest[2], rows, wide if rest[3] else self.sizes.vector, rest[1], steps)

    def product(self, given: list[int], rows: int, steps: int, array: str, size: int) -> None:
        offset, step, row, matrix, target, target_step, target_row, inner, columns, panel, start, bias, order = given
        if min(inner, columns, panel) < 1 or panel > self.sizes.panel or not 0 <= order <= CHAINS:
            self.fail("a product has inner steps and columns")
        if target_row < 1:  # 0 would say that the target is in panels
            self.fail("the results of a product are in rows")
        self.rows(offset, row, rows, inner, step, steps)
        width = columns * self.sizes.vector
        self.inside(matrix, inner * width, size, array)
        self.rows(target, target_row, rows, width, target_step, steps)
        if start == i.START_BIAS:
            self.inside(bias, width, self.sizes.weights, "the weights")

    def forward(self, given: list[int], rows: int, steps: int) -> None:
        self.product(given, rows, steps, "the weights", self.sizes.weights)

    def backward(self, given: list[int], rows: int, steps: int) -> None:
        self.product(given, rows, steps, "the transposes", self.sizes.transposed)

    def weight(self, given: list[int], rows: int, steps: int) -> None:
        offset, row, right, right_row, target, width, columns, panel = given
        if min(width, columns, panel) < 1 or panel > self.sizes.panel or steps > 1:
            self.fail("a product has rows and columns, and is of a window")
        if right_row < 1:  # 0 would say that the right matrix is in panels
            self.fail("the right matrix of a product is in rows")
        self.rows(offset, row, rows, width)
        self.rows(right, right_row, rows, columns * self.sizes.vector)
        self.inside(target, width * columns * self.sizes.vector, self.sizes.gradients, "the gradients")

    def columns(self, given: list[int], rows: int, steps: int) -> None:
        offset, row, target, vectors = given
        self.rows(offset, row, rows, vectors * self.sizes.vector)
        self.inside(target, vectors * self.sizes.vector, self.sizes.gradients, "the gradients")

    def softmax(self, given: list[int], rows: int, steps: int) -> None:
        width = given[6]
        self.row_streams(given[:6], width, rows, steps)

    def softmax_gradient(self, given: list[int], rows: int, steps: int) -> None:
        self.row_streams(given[:9], given[9], rows, steps)

    def row_streams(self, given: list[int], width: int, rows: int, steps: int) -> None:
        if width < 1:
            self.fail("a row has components")
        wide = -(-width // self.sizes.vector) * self.sizes.vector
        for place in range(0, len(given), 3):
            offset, step, row = given[place : place + 3]
            self.rows(offset, row, rows, wide, step, steps)

    def mask(self, given: list[int], rows: int, steps: int) -> None:
        offset, row, wide, _, _, number, lanes, _ = given
        if wide < 1 or wide % self.sizes.vector or lanes < 1 or self.loops:
            self.fail("a mask is of a window, and its rows are whole vectors")
        self.rows(offset, row, rows, wide)
        self.inside(number, 1, self.numbers, "the numbers")


_SIZES_OF_MAPS = [(5 + 4 * (1 + len(one.letters)), len(one.slots)) for one in MAPS]  # words, and numbers beside them
_OF_GRADIENTS = (i.WEIGHT, i.COLUMNS)  # for them, t says whether they add
_CHECKS: dict[int, tuple[int, Callable[[Any, list[int], int, int], None]]] = {
    i.SPREAD: (5, _Checker.spread),
    i.CUT: (6, _Checker.cut),
    i.FINISH: (14, _Checker.finish),
    i.FORWARD: (13, _Checker.forward),
    i.BACKWARD: (13, _Checker.backward),
    i.WEIGHT: (8, _Checker.weight),
    i.COLUMNS: (4, _Checker.columns),
    i.SOFTMAX: (7, _Checker.softmax),
    i.SOFTMAX_GRADIENT: (11, _Checker.softmax_gradient),
    i.MASK: (8, _Checker.mask),
}
