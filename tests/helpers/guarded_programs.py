"""Programs of the machine, right and changed, run in arrays that refuse to be left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from helpers import witnesses
from helpers.machines import MachineKernel, plain_machine
from helpers.texts import GRU, HEADER, LSTM, TAIL, text_of
from neuromorph.abi.mailbox import new_mailbox
from neuromorph.codegen import KernelOptions
from neuromorph.graph import freeze
from neuromorph.machine import Program, ProgramError, Sizes, check, encode
from neuromorph.machine.instructions import HEAD
from neuromorph.runtime.instant import sizes_of
from neuromorph.schedule import Alone, ByBatch, Division, InChunks, KernelPlan

CAPACITY, LANES, REGISTERS = 3, 2, 16
SAMPLES = CAPACITY + 1  # a whole window, and another one after its update
LEAST, MOST = -(2**63), 2**63 - 1


class Guarded(np.ndarray):
    """An array that refuses to be read or written outside, as slices and negative numbers in Python do without a
    word. A copy, such as a vector in a register, is not guarded."""

    def __getitem__(self, place: Any) -> Any:
        _inside(place, len(self))
        return super().__getitem__(place)

    def __setitem__(self, place: Any, value: object) -> None:
        _inside(place, len(self))
        super().__setitem__(place, value)

    def copy(self, *_: Any) -> np.ndarray:  # type: ignore[override]
        return np.array(self)


def _inside(place: Any, size: int) -> None:
    if isinstance(place, slice):
        start, stop = place.start or 0, size if place.stop is None else place.stop
        assert 0 <= min(start, stop) <= max(start, stop) <= size, f"{place} is outside of {size} elements"
    elif isinstance(place, int | np.integer):
        assert 0 <= place < size, f"{place} is outside of {size} elements"


class Subject:
    """A program of a model's training or prediction, and the arrays that it is for.

    frozen: the names of nodes. vector: the elements of a vector.
    """

    def __init__(
        self, text: str, optimizer: str = "sgd", frozen: Iterable[str] = (), *, training: bool = True,
        dtype: str = "float64", vector: int = 4, division: Division | None = None,
    ) -> None:  # fmt: skip
        graph = freeze(witnesses.graph_of(text), frozen)
        options = KernelOptions(LANES, dtype, vector, REGISTERS, optimizer, division or Alone())
        self.plan: KernelPlan = MachineKernel(graph, options).plan.plan
        self.training, self.dtype, self.vector = training, dtype, vector
        self.program: Program = encode(self.plan, training=training, capacity=CAPACITY, lanes=LANES)
        self.sizes: Sizes = sizes_of(self.plan, training=training, capacity=CAPACITY, lanes=LANES)

    def check(self, program: Program, **sizes: int) -> None:
        """Raise ProgramError for a program that could leave its arrays. sizes: other ones than the subject's."""
        check(program, replace(self.sizes, **sizes), training=self.training)

    def refuses(self, program: Program, **sizes: int) -> bool:
        """Whether the check refuses a program."""
        try:
            self.check(program, **sizes)
        except ProgramError:
            return True
        return False

    def run(self, program: Program) -> None:
        """Run a program over two windows. AssertionError if it leaves an array."""
        try:
            with np.errstate(all="ignore"):
                (self._train if self.training else self._predict)(program)
        except ValueError as error:  # of NumPy, where a softmax has no components; compiled code has no such error
            if "zero-size array" not in str(error):
                raise

    def _array(self, size: int, dtype: str = "") -> Guarded:
        return np.full(size, 0.5, dtype or self.dtype).view(Guarded)

    def _train(self, program: Program) -> None:
        array, sizes, rows, copies = self._array, self.sizes, SAMPLES * LANES, self.plan.gradient_copies
        plain_machine(self.dtype, self.vector, REGISTERS).train(
            program.words.view(Guarded), program.numbers.view(Guarded), 0, copies, *new_mailbox(1), 0, SAMPLES, SAMPLES,
            CAPACITY, 2,
            array(copies * sizes.work), array(sizes.weights), array(sizes.transposed), array(copies * sizes.gradients),
            array(sizes.memory), array(sizes.constants, "float64"), array(rows * sizes.inputs),
            array(rows * sizes.outputs), array(rows), LANES, array(CAPACITY * LANES), array(SAMPLES, "float64"), 0.1,
            1.0,
        )  # fmt: skip

    def _predict(self, program: Program) -> None:
        array, sizes, rows = self._array, self.sizes, SAMPLES * LANES
        plain_machine(self.dtype, self.vector, REGISTERS).predict(
            program.words.view(Guarded), program.numbers.view(Guarded), LANES, SAMPLES, CAPACITY, array(sizes.work),
            array(sizes.weights), array(rows * sizes.inputs), array(rows * sizes.outputs),
        )  # fmt: skip


FINISHED = text_of("(a, 5, <tanh>) (b, 9, <tanh>) {m, a, multiplicative}")
WIDE = f"{HEADER} (input, 3) (a, 9, <softmax>) (b, <softmax>) {{m, a, maximum}} {TAIL}"
LAYERS = f"""{HEADER} (input, 3) (z, <standardize>) (c, 5, <conv, 2, 2>) (n, <norm>) (p, <prelu>) (d, <dropout, 0.4>)
[s, (one, 1, <sigmoid>) | (many, 6, <learned, 0.3>)] {{t, one, scale}} {{u, many, maximum}} {{v, d, dot, 2}}
(h, 4, <gru>) (output, 3, <restore>, <mse>)"""
SUBJECTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "lstm": ((LSTM,), {}),
    "gru, adam": ((GRU, "adam"), {}),
    "softmax, rmsprop_momentum, float32": ((WIDE, "rmsprop_momentum"), {"dtype": "float32", "vector": 8}),
    "layers, adamw": ((LAYERS, "adamw"), {}),
    "layers, frozen, sgd_nesterov": ((LAYERS, "sgd_nesterov", ("n", "h.update", "c")), {"vector": 2}),
    "finished": ((FINISHED,), {}),
    "lstm, a lane for each of two": ((LSTM, "adam"), {"division": ByBatch(2)}),
    "finished, in chunks of two": ((FINISHED,), {"division": InChunks(2, 2)}),
    "lstm, prediction": ((LSTM,), {"training": False}),
    "layers, prediction": ((LAYERS,), {"training": False, "dtype": "float32"}),
}


def subject_of(name: str) -> Subject:
    """One of the subjects."""
    arguments, options = SUBJECTS[name]
    return Subject(*arguments, **options)


def changed_program(program: Program, rng: np.random.Generator) -> Program:
    """A program of which a word, or a few that stand together, are others, a third of them in its head; now and then
    it has fewer numbers."""
    words, numbers = program.words.copy(), program.numbers
    first, count = int(rng.integers(rng.choice([len(HEAD), len(words), len(words)]))), int(rng.choice([1, 1, 1, 2, 3]))
    for place in (first, *(first + rng.integers(1, 12, count - 1))):
        words[place % len(words)] = _other(int(words[place % len(words)]), words, rng)
    if rng.random() < 0.05:
        numbers = numbers[: rng.integers(len(numbers) + 1)]
    return replace(program, words=words, numbers=numbers)


def _other(word: int, words: np.ndarray, rng: np.random.Generator) -> int:
    """Another word: a small one, one near by, one of the others, or one that no array is long enough for."""
    some = int(words[rng.integers(len(words))])
    choices = [-1, 0, 1, 4, 7, word + 4, word - 4, word * 2, -word, some, 10**6, 1 << 40, 1 << 62, LEAST, MOST]
    return min(max(choices[int(rng.integers(len(choices)))], LEAST), MOST)
