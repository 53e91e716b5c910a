"""What the lines of a generated function use, noted while they are written."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from helpers.texts import LSTM
from helpers.witnesses import kernel_of
from neuromorph.codegen.frame import Frame
from neuromorph.codegen.head import Source, head_of
from neuromorph.codegen.writer import Writer
from neuromorph.schedule import Place

SHAPES = [{"width": 9, "strides": (12, 12)}, {"width": 5, "strides": (8, 8)}, {"width": 9, "strides": (12, 12)}]


@pytest.fixture
def frame() -> Frame:
    return Frame(Source(kernel_of(LSTM, lanes=4).plan), Writer())


def test_offsets_are_noted_when_they_are_used(frame: Frame) -> None:
    """Those of a window and those of a step; the caller's arrays begin where an argument says."""
    name = next(buffer.name for buffer in frame.plan.buffers if buffer.rows == "slots")
    assert frame.base(Place(name, 4, 4)) == f"{name} + 4"
    assert frame.base(Place("x", 0, 3)) == "x0"
    assert (frame.uses.variables, frame.uses.of_step) == ({name}, set())
    loop = frame.in_loop(0)
    assert loop.base(Place(name, 0, 4)) == f"{name}t"
    assert loop.base(Place("x", 0, 3)) == "xt"
    assert (loop.uses.variables, loop.uses.of_step) == ({name}, {name, "x"})
    assert loop.start("v1") == "v1"
    assert frame.uses.variables == {name, "v1"}, "the lines before the loop have to define it"
    assert not frame.body().uses.variables


def test_the_number_of_rows_is_noted_where_lines_count_to_it(frame: Frame) -> None:
    assert frame.in_loop(0).count() == frame.batch
    assert not frame.uses.variables
    assert frame.count() == "rows"
    assert frame.uses.variables == {"rows"}


def test_a_frame_does_not_change(frame: Frame) -> None:
    with pytest.raises(FrozenInstanceError):
        frame.domain = 3  # type: ignore[misc]


def test_the_head_declares_each_routine_that_functions_ask_for_once() -> None:
    source = Source(kernel_of(LSTM, lanes=4).plan)
    names = [source.routine("softmax", "softmax_of(simd.RowShape({kind}, {fields}))", shape) for shape in SHAPES]
    assert names == ["softmax0", "softmax1", "softmax0"]
    lines = [line for line in head_of(source).text().splitlines() if line.startswith("softmax")]
    assert lines[1:] == [
        'softmax0 = simd.softmax_of(simd.RowShape("float64", 4, width=9, strides=(12, 12)))',
        'softmax1 = simd.softmax_of(simd.RowShape("float64", 4, width=5, strides=(8, 8)))',
    ]
