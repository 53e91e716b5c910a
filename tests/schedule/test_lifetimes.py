"""Buffers that share a block: lifetimes, what may be written in place, and that nothing is read after it is gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given

from helpers.paths import MODELS
from helpers.plans import read, written
from helpers.random_models import bounded, models
from helpers.texts import LSTM, STRUCTURES, text_of
from helpers.witnesses import graph_of
from neuromorph.schedule import (
    EXTERNAL,
    WINDOW,
    Access,
    Bias,
    Block,
    Buffer,
    Loss,
    Map,
    Note,
    Operation,
    Place,
    Plan,
    Product,
    Reduce,
    Rows,
    Segment,
    padded,
    plan,
)
from neuromorph.schedule.lifetimes import Lifetime, in_place, lifetimes, share_blocks

LANES = 4
NOTE = Note(0, "", "")
Cell = tuple[str, int, int]  # block, step, column


def statement(target: str, *sources: str, width: int = 4, column: int = 0, **more: object) -> Map:
    """A map of whole buffers."""
    operands = tuple((f"x{n}", Access(Place(source, 0, width))) for n, source in enumerate(sources))
    return Map(Place(target, column, width), "x0", operands, width, NOTE, **more)  # type: ignore[arg-type]


def block(*maps: Map) -> Block:
    return Block(maps)


def buffer(name: str, stride: int = 4, rows: str = "window") -> Buffer:
    return Buffer(name, stride, rows, name)


def blocks(operations: list[Operation], *buffers: Buffer, alone: frozenset[str] = frozenset()) -> dict[str, str]:
    """By buffer its block."""
    found = share_blocks(list(operations), lifetimes(operations), buffers, set(alone), LANES)
    return {each.name: each.block for each in found}


CHAIN: list[Operation] = [
    block(statement("v1", "x")),
    block(statement("v2", "v1")),
    block(statement("v3", "v2")),
    block(statement("y", "v3")),
]


def test_a_buffer_lives_from_its_first_operation_to_its_last() -> None:
    assert lifetimes(CHAIN) == {
        "x": Lifetime(0, 0), "v1": Lifetime(0, 1), "v2": Lifetime(1, 2), "v3": Lifetime(2, 3), "y": Lifetime(3, 3)
    }  # fmt: skip
    product = Product("weight", 0, 0, Access(Place("v1", 0, 4)), None, "keep", "")
    assert lifetimes([*CHAIN, product])["v1"] == Lifetime(0, 4)
    assert lifetimes([*CHAIN, product])["g0"] == Lifetime(4, 4)


def test_a_chain_needs_one_block() -> None:
    assert blocks(CHAIN, buffer("v1"), buffer("v2"), buffer("v3")) == dict.fromkeys(("v1", "v2", "v3"), "v1")


def test_rows_of_another_length_or_number_have_another_block() -> None:
    assert blocks(CHAIN, buffer("v1"), buffer("v2", 8), buffer("v3")) == {"v1": "v1", "v2": "v2", "v3": "v1"}
    assert blocks(CHAIN, buffer("v1"), buffer("v2", rows="step"), buffer("v3"))["v2"] == "v2"


def test_state_and_rows_with_padding_that_nobody_writes_stand_alone() -> None:
    assert blocks(CHAIN, buffer("v1"), buffer("v2"), buffer("v3"), alone=frozenset({"v2"})) == {
        "v1": "v1", "v2": "v2", "v3": "v1"
    }  # fmt: skip
    exact: list[Operation] = [CHAIN[0], block(statement("v2", "v1", width=3, exact=True)), *CHAIN[2:]]
    assert blocks(exact, buffer("v1"), buffer("v2"), buffer("v3"))["v2"] == "v2"


def test_what_is_read_later_keeps_its_block() -> None:
    later = [*CHAIN[:3], block(statement("y", "v3", "v1"))]
    assert blocks(later, buffer("v1"), buffer("v2"), buffer("v3")) == {"v1": "v1", "v2": "v2", "v3": "v2"}


def test_a_product_never_writes_over_what_it_reads() -> None:
    product = Product("forward", 0, 0, Access(Place("v1", 0, 4)), Place("s0", 0, 4), "bias", "")
    assert not in_place(product, "v1", "s0", LANES)
    operations: list[Operation] = [CHAIN[0], product, block(statement("v2", "s0"))]
    assert blocks(operations, buffer("v1"), buffer("s0"), buffer("v2")) == {"v1": "v1", "s0": "s0", "v2": "s0"}


def test_a_block_may_write_over_vectors_that_it_has_read() -> None:
    both = (statement("g0", "d1"), statement("v9", "d1"))
    assert in_place(block(*both), "d1", "g0", LANES)  # the second reads a register
    three = (("x0", Access(Place("d1", 0, 4), 0, 3)),)  # what is not read whole stays in no register
    cut = [Map(Place(name, 0, 4), "x0", three, 4, NOTE) for name in ("g0", "v9")]
    assert in_place(block(cut[1], cut[0]), "d1", "g0", LANES)
    assert not in_place(block(*cut), "d1", "g0", LANES)
    assert not in_place(block(statement("g0", "v9"), statement("v8", "d1")), "d1", "g0", LANES)  # written too early
    assert not in_place(block(statement("g0", "d1", column=4, width=8)), "d1", "g0", LANES)  # other columns
    assert in_place(block(statement("g0", "d1", column=4)), "d1", "g0", LANES)  # columns that are not read
    assert not in_place(block(statement("d1", "v9"), statement("g0", "d1")), "d1", "g0", LANES)  # itself written
    unstored = statement("d1", "v9", accumulate=True, store=False)
    assert in_place(block(unstored, statement("g0", "d1")), "d1", "g0", LANES)
    assert not in_place(block(statement("g0", "v9"), unstored), "d1", "g0", LANES)


def test_a_block_does_not_write_over_what_a_later_pass_reads_again() -> None:
    number = Place("m9", 0, LANES)
    total = Reduce(number, "x", (("x", Access(Place("d1", 0, 4))),), 4, NOTE, spread=True)
    by_number = (("x", Access(Place("d1", 0, 4))), ("o", Access(number, broadcast=True)))
    last = Map(Place("g0", 0, 4), "x - o", by_number, 4, NOTE)
    assert in_place(Block((total, last)), "d1", "g0", LANES)
    assert not in_place(Block((total, statement("g0", "d1"), last)), "d1", "g0", LANES)
    assert not in_place(Block((total, last)), "d1", "m9", LANES)


def test_rows_and_losses_are_written_over_the_same_columns_only() -> None:
    here, there = Place("s0", 4, 9), Place("g0", 4, 9)
    assert in_place(Rows("softmax", there, (here,), False, NOTE), "s0", "g0", LANES)
    assert not in_place(Rows("softmax", Place("g0", 0, 9), (here,), False, NOTE), "s0", "g0", LANES)
    assert in_place(Loss(here, here, there, ""), "s0", "g0", LANES)
    assert not in_place(Loss(Place("s0", 0, 9), here, there, ""), "s0", "g0", LANES)


def test_gradients_of_gates_stand_where_the_gates_stood() -> None:
    found = plan(graph_of(LSTM), 8, training=True)
    assert (found.block("g0"), found.block("g1")) == ("s0", "s1")
    assert found.block("v13") == "v13"  # state
    assert all(found.block(name) == name for name in found.carries)


# What holds of every plan ---------------------------------------------------------------------------------------------


class _Memory:
    """Which buffer each element of the blocks holds, over two steps."""

    def __init__(self, found: Plan) -> None:
        self.plan, self.holder = found, dict[Cell, str]()
        self.rows = {buffer.name: buffer.rows for buffer in found.buffers}

    def cells(self, place: Place, step: int, first: int, last: int) -> Iterator[Cell]:
        """The cells of some columns of a place, those of its last vector's padding with them."""
        kept = 0 if self.rows.get(place.buffer) == "step" else step
        for column in range(first, min(last, padded(place.width, self.plan.lanes))):
            yield self.plan.block(place.buffer), kept, place.column + column

    def read(self, place: Place, step: int, first: int = 0, last: int = 1 << 60) -> None:
        """What is read was written under that name, or never written and zero."""
        if place.buffer not in EXTERNAL and place.buffer not in self.plan.carries:
            held = {self.holder.get(cell) for cell in self.cells(place, step, first, last)}
            assert held <= {place.buffer, None}, (place, held)

    def write(self, place: Place, step: int, first: int = 0, last: int = 1 << 60) -> None:
        if place.buffer not in EXTERNAL:
            self.holder.update(dict.fromkeys(self.cells(place, step, first, last), place.buffer))

    def run(self, operation: Operation, step: int) -> None:
        if isinstance(operation, Block):
            lanes, numbers = self.plan.lanes, {m.target: m.store for m in operation.maps if isinstance(m, Reduce)}
            for statements in operation.passes:
                for first in range(0, padded(statements[0].width, lanes), lanes):
                    self.run_maps(statements, set(numbers), step, first, first + lanes)
            for target in (target for target, is_stored in numbers.items() if is_stored):
                self.write(target, step)
            return
        for access in read(operation):
            if not access.shift:
                self.read(access.place, step)
        if isinstance(operation, Bias) or (isinstance(operation, Product) and operation.kind == "weight"):
            self.read(Place(f"g{operation.group}", 0, self.plan.groups[operation.group].columns), step)
        for place in written(operation):
            self.write(place, step)

    def run_maps(
        self, statements: tuple[Map | Reduce, ...], held: set[Place], step: int, first: int, last: int
    ) -> None:
        """One vector of a pass over a row. ``held``: what registers hold before it."""
        for m in statements:
            for access in [*(access for _, access in m.operands), *[Access(m.target)] * m.accumulate]:
                if not access.shift and access.place not in held:
                    self.read(access.place, step, first, last if access.limit is None else min(last, access.limit))
                    if access.limit is None:
                        held.add(access.place)
            held.add(m.target)
            if m.store and isinstance(m, Map):
                self.write(m.target, step, first, last)


def check_blocks(text: str, lanes: int) -> None:
    """Run a plan over two steps: each read finds what was written under that name, nothing else."""
    for training in (True, False):
        found = plan(graph_of(text), lanes, training=training)
        memory = _Memory(found)
        for _ in range(2):  # in the second window, blocks hold what the first has left
            for segment in found.forward:
                _run(memory, segment, (0, 1))
            for segment in found.backward:
                _run(memory, segment, (1, 0))
        assert all(len({found.strides[name] for name in names}) == 1 for names in found.blocks.values())


def _run(memory: _Memory, segment: Segment, steps: tuple[int, int]) -> None:
    """In a loop step after step; else one operation after the other, each over all steps."""
    if segment.domain == WINDOW:
        for operation in segment.operations:
            for step in steps:
                memory.run(operation, step)
        return
    for step in steps:
        for operation in segment.operations:
            memory.run(operation, step)


@bounded(60)
@given(models())
def test_nothing_is_read_after_it_is_gone_in_random_models(text: str) -> None:
    for lanes in (2, 8):
        check_blocks(text, lanes)


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_nothing_is_read_after_it_is_gone_in_any_structure(name: str) -> None:
    check_blocks(text_of(STRUCTURES[name]), LANES)


@pytest.mark.parametrize("width", [3, 4, 8, 9])
@pytest.mark.parametrize("layer", ["norm", "rms_norm"])
def test_nothing_is_read_after_it_is_gone_where_rows_have_numbers(layer: str, width: int) -> None:
    loop = f"{{xh, h, concatenate}} (a, {width}, <linear>) (n, <{layer}>) (h, <tanh>)"
    for nodes in (loop, f"(a, {width}, <tanh>) (n, <{layer}>) (b, <gain>) (m, <{layer}>) (c, <relu>)"):
        check_blocks(text_of(nodes), LANES)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.mdl")), ids=lambda path: path.stem)
def test_nothing_is_read_after_it_is_gone_in_the_examples(path) -> None:  # type: ignore[no-untyped-def]
    check_blocks(path.read_text(), LANES)


def test_the_check_finds_a_block_that_is_shared_too_early() -> None:
    found = plan(graph_of(text_of("(a, 4, <tanh>) (b, 4, <tanh>) (c, 4, <tanh>)")), LANES, training=True)
    one = found.buffers[0].name
    memory = _Memory(found)
    memory.plan = Plan(**vars(found) | {"buffers": tuple(Buffer(b.name, b.stride, b.rows, one) for b in found.buffers)})
    operations = [operation for segment in (*found.forward, *found.backward) for operation in segment.operations]
    window = Segment(WINDOW, tuple(operations))
    with pytest.raises(AssertionError):
        _run(memory, window, (0, 1))
