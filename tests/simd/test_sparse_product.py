"""Products that read the sparse copy of a frozen matrix: the same bits as from the whole matrix."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from neuromorph import simd
from neuromorph.abi.sparse import write_sparse
from neuromorph.simd.sparse_product import form_of
from neuromorph.simd.transpose import matrix_to_panels

OPTIONS = {"fastmath": False, "error_model": "numpy"}
FIELDS = {"a_inner": 1, "b_row": None, "start": "bias"}
# Every width of vectors and of segments, sums with one chain and with several, several blocks of rows, rows after the
# last whole group of rows, a narrower last panel, starts, and an epilogue with a matrix beside.
SHAPES = {
    "one lane": simd.Shape("float32", 8, 1, 403, 51, 2, a_row=403, c_row=408, **FIELDS),
    "prediction": simd.Shape("float32", 8, None, 403, 51, 2, a_row=403, c_row=408, **FIELDS),
    "two blocks": simd.Shape("float64", 4, 1, 605, 9, 2, a_row=605, c_row=36, **FIELDS | {"start": "zero"}),
    "two blocks, an epilogue": simd.Shape(
        "float64", 2, None, 605, 9, 2, a_row=605, c_row=18, **FIELDS | {"start": "add"},
        epilogue="x * y", beside_row=18,
    ),
    "wide": simd.Shape("float32", 16, 1, 70, 10, 4, a_row=70, c_row=160, registers=32, **FIELDS),
    "narrow": simd.Shape("float32", 4, 1, 70, 9, 3, a_row=70, c_row=36, **FIELDS),
}  # fmt: skip


def call_of(shape: simd.Shape, jit: bool, panels: tuple[int, int] | None = None) -> Callable[..., None]:
    """The function of a product with a sparse copy: (a, weights, place, c, rows, bias, beside)."""
    first, last = panels or (0, shape.panels)
    given = "bias, 0, " if shape.start == "bias" else ""
    given += "beside, 0, " if shape.beside_row is not None else ""
    lines = f"""def call(a, weights, place, c, rows, bias, beside):
    product(a, 0, weights, 0, c, 0, rows, {shape.inner}, {given}len(weights), place, {first}, {last})"""
    space = {"product": simd.sparse_product_of(shape, panels)}
    exec(lines, space)
    return njit(**OPTIONS)(space["call"]) if jit else space["call"]  # type: ignore[arg-type,return-value]


class Case:
    """A product of this shape with a matrix that has few numbers but zero, called with and without its copy."""

    def __init__(self, shape: simd.Shape, *, jit: bool = True, panels: tuple[int, int] | None = None) -> None:
        self.shape, self.form, self.call = shape, form_of(shape, panels), call_of(shape, jit, panels)
        self.rng = np.random.default_rng(4)
        assert shape.inner is not None
        matrix = self.random(shape.inner, shape.columns * shape.simd_width)
        matrix[self.rng.random(matrix.shape) >= 0.05] = 0.0
        self.matrix = matrix
        self.place = matrix.size + 16
        self.weights = np.zeros(self.place + self.form.elements, shape.dtype)
        self.weights[: matrix.size] = matrix_to_panels(matrix, shape.panel, shape.simd_width)
        write_sparse(self.form, matrix, self.copy)

    @property
    def copy(self) -> Any:
        return self.weights[self.place :]

    def random(self, *size: int) -> Any:
        return self.rng.normal(size=size).astype(self.shape.dtype)

    def result(self, weights: Any, a: Any, seed: int = 0) -> Any:
        """The matrix C, from one that holds numbers already."""
        rng, (rows, width) = np.random.default_rng(seed), (len(a), self.shape.columns * self.shape.simd_width)
        c, beside = rng.normal(size=(2, rows, width)).astype(self.shape.dtype)
        bias = rng.normal(size=width).astype(self.shape.dtype)
        with np.errstate(all="ignore"):
            self.call(a.ravel(), weights, self.place, c.ravel(), rows, bias, beside.ravel())
        return c

    def both(self, a: Any) -> tuple[Any, Any]:
        """C from the sparse copy, and from the whole matrix, behind which there is nothing."""
        return self.result(self.weights, a), self.result(self.weights[: self.place].copy(), a)


@pytest.fixture(scope="module", params=SHAPES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(SHAPES[request.param])


def test_a_sparse_copy_gives_the_bits_of_the_whole_matrix(case: Case) -> None:
    for _ in range(3):
        found, wanted = case.both(case.random(1, case.shape.inner))
        np.testing.assert_array_equal(found, wanted)
    plain = Case(case.shape, jit=False)
    a = case.random(1, case.shape.inner)
    np.testing.assert_allclose(case.result(case.weights, a), plain.result(case.weights, a), rtol=1e-4, atol=1e-4)


def test_the_columns_of_several_threads_are_those_of_the_whole_matrix(case: Case) -> None:
    """Each thread writes its own columns, from the copy of these or from the whole matrix, and no others."""
    shape = case.shape
    cut, a = shape.panels // 2, case.random(1, shape.inner)
    wanted = case.result(case.weights, a)
    column = cut * shape.panel * shape.simd_width
    for panels, mine in (((0, cut), slice(0, column)), ((cut, shape.panels), slice(column, None))):
        part = Case(shape, panels=panels)
        for found in part.both(a):
            np.testing.assert_array_equal(found[:, mine], wanted[:, mine])
            others = np.delete(found, np.arange(found.shape[1])[mine], axis=1)
            untouched = np.random.default_rng(0).normal(size=(2, *found.shape)).astype(shape.dtype)[0]
            np.testing.assert_array_equal(others, np.delete(untouched, np.arange(found.shape[1])[mine], axis=1))


def test_the_copy_is_what_is_read(case: Case) -> None:
    a, weights, spoilt = case.random(1, case.shape.inner), case.weights.copy(), case.matrix.copy()
    spoilt[:64] = np.nan  # the last rows are read from the matrix itself
    weights[: spoilt.size] = matrix_to_panels(spoilt, case.shape.panel, case.shape.simd_width)
    np.testing.assert_array_equal(case.result(weights, a), case.result(case.weights, a))


def test_a_matrix_with_few_zeros_is_read_itself(case: Case) -> None:
    full, copy = case.random(*case.matrix.shape), case.copy.copy()
    write_sparse(case.form, full, copy)
    assert copy[0] == 0.0
    weights, a = np.concatenate([case.weights[: case.place], copy]), case.random(1, case.shape.inner)
    np.testing.assert_array_equal(case.result(weights, a), case.result(case.weights, a))


def test_several_rows_read_the_matrix_itself(case: Case) -> None:
    if case.shape.rows is None:
        a = case.random(3, case.shape.inner)
        found, wanted = case.both(a)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(found[:1], case.result(case.weights, a)[:1])


def test_numbers_that_are_not_finite_reach_what_they_reach_in_the_whole_matrix(case: Case) -> None:
    """Zero times infinity is NaN, so a state that diverges is seen in every component."""
    for place, poison in itertools.product((0, 7, case.shape.inner // 2, -1), (np.inf, -np.inf, np.nan)):
        a = case.random(1, case.shape.inner)
        a[0, place] = poison
        found, wanted = case.both(a)
        np.testing.assert_array_equal(found, wanted)
        assert not np.isfinite(found).any()
