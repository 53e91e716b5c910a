"""The sparse copies of frozen matrices: what they hold, and which matrices have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuromorph.abi.sparse import ACCUMULATORS, HEAD, SparseForm, write_sparse
from neuromorph.abi.summation import PANEL_BLOCK

FORMS = [
    SparseForm(size, simd_width, inner, columns, panel, chained)
    for size, simd_width, panel in ((4, 8, 2), (8, 4, 2), (4, 16, 4), (8, 2, 3))
    for inner, columns in ((70, 9), (PANEL_BLOCK + 21, 8))
    for chained in (False, True)
]


def written(form: SparseForm, density: float) -> tuple[Any, Any]:
    """A random matrix, and its copy, written over other numbers."""
    rng = np.random.default_rng(form.inner)
    matrix = rng.normal(size=(form.inner, form.columns * form.simd_width)).astype(f"f{form.size}")
    matrix[rng.random(matrix.shape) >= density] = 0.0
    copy = np.full(form.elements, np.nan, matrix.dtype)
    write_sparse(form, matrix, copy)
    return matrix, copy


def rebuilt(form: SparseForm, copy: Any) -> Any:
    """The matrix that a copy holds, read as the module's docstring says."""
    lists, columns = form.lists, form.columns * form.segments
    words, rows = copy[form.table : form.values].view(np.uint32), copy[form.rows :].view(np.uint16)
    found = np.zeros((form.inner, columns, form.segment), copy.dtype)
    for strip in range(form.blocks * form.strips):
        slots, first, *numbers = words[strip * form.words :][: form.words].tolist()
        for slot in range(first, first + slots):
            for lane, number in enumerate(numbers):
                value = copy[form.values + (slot * lists + lane) * form.segment :][: form.segment]
                if value.any():
                    row = int(rows[slot * lists + lane]) + strip // form.strips * PANEL_BLOCK
                    found[row, column_of(form, number, row % PANEL_BLOCK)] = value
    return found.reshape(form.inner, -1)


def column_of(form: SparseForm, number: int, row: int) -> int:
    """The segment of columns of a list, of which each row must be one of the list's chain."""
    sums, inside = divmod(number, form.segments)
    panel = min(sums // form.sums(form.panel), form.columns // form.panel)
    rest = sums - panel * form.sums(form.panel)
    width = min(form.panel, form.columns - panel * form.panel)
    chain, column = divmod(rest, width)
    assert row % form.chains(width)[1] == chain
    return (panel * form.panel + column) * form.segments + inside


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_copy_holds_the_matrix(form: SparseForm) -> None:
    matrix, copy = written(form, 0.05)
    np.testing.assert_array_equal(copy[:HEAD], [1.0, *range(1, HEAD)])
    for start in range(0, form.inner, PANEL_BLOCK):
        for panel in range(0, form.columns, form.panel):
            width = min(form.panel, form.columns - panel)
            rows = min(PANEL_BLOCK, form.inner - start)
            held = slice(start, start + rows - rows % form.chains(width)[0])
            mine = slice(panel * form.simd_width, (panel + width) * form.simd_width)
            np.testing.assert_array_equal(rebuilt(form, copy)[held, mine], matrix[held, mine])


def test_few_slots_stay_empty() -> None:
    """Lists of like length stand beside one another, so that little is added for nothing."""
    form = SparseForm(4, 8, 400, 50, 2, True)
    matrix, copy = written(form, 0.1)
    slots = copy[form.table : form.values].view(np.uint32)[: form.strips * form.words : form.words].sum()
    used = (matrix.reshape(400, -1, form.segment) != 0).any(2).sum()
    assert used < slots * form.lists < 1.03 * used


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_matrix_with_few_zeros_has_no_copy(form: SparseForm) -> None:
    assert written(form, 0.9)[1][0] == 0.0
    assert written(form, 0.0)[1][0] == 1.0
    assert form.slots * ACCUMULATORS <= form.inner * form.columns // 2


def test_a_number_that_is_not_finite_is_not_zero() -> None:
    form = SparseForm(4, 8, 70, 9, 2, False)
    matrix = np.zeros((70, 72), np.float32)
    matrix[3, 5], matrix[4, 6] = np.nan, np.inf
    copy = np.zeros(form.elements, np.float32)
    write_sparse(form, matrix, copy)
    assert np.isnan(copy[form.values : form.rows]).sum() == np.isinf(copy[form.values : form.rows]).sum() == 1
