"""Every SIMD function does in compiled code what its twin does in plain Python, at every edge of its shape.

Compilation is what costs time here: each compiled function below calls many of the functions under test.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import itertools
import mmap
import operator
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.core.typing.builtins import BinOpAdd, BinOpMul, BinOpSub

from helpers.products import OPTIONS, product_calls
from neuromorph import simd
from neuromorph.abi.summation import PANEL_BLOCK, ROW_BLOCK
from neuromorph.simd import matmul
from neuromorph.simd.product_shape import FAR, LARGE, MANY_ROWS, SMALL, row_tiles, tile_rows
from neuromorph.simd.transpose import matrix_to_panels, panels_to_matrix

WIDTHS = [("float32", 4), ("float32", 8), ("float32", 16), ("float64", 2), ("float64", 4), ("float64", 8)]
EVERY_WIDTH = pytest.mark.parametrize(("dtype", "simd_width"), WIDTHS)


def tolerance(dtype: str) -> float:
    """How far a sum of some hundred products of numbers around 1 may be off."""
    return 2e-4 if dtype == "float32" else 1e-12


# Vectors --------------------------------------------------------------------------------------------------------------


@functools.cache
def workbench(dtype: str, simd_width: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """(compiled, plain): a function that writes the result of every vector function of x, y, n to rows of ``out``."""
    v = simd.vectors(dtype, simd_width)
    load, load_head, store, store_head, head = v.load, v.load_head, v.store, v.store_head, v.head
    splat, total, largest, softmax = v.splat, v.total, v.largest, v.softmax
    where, maximum, minimum, absolute, sqrt = simd.where, simd.maximum, simd.minimum, simd.absolute, simd.sqrt
    row = 2 * simd_width

    def work(first: Any, second: Any, n: int, scalar: float, out: Any) -> None:
        x, y = load(first, 1), load(second, 3)
        store(out, 0 * row, x)
        store(out, 1 * row + 1, load_head(first, 2, n))
        store_head(out, 2 * row + 1, x, n)
        store(out, 3 * row, head(x, y, n))
        store(out, 4 * row, splat(scalar))
        out[5 * row] = total(x)
        out[6 * row] = largest(x)
        store(out, 7 * row, softmax(x, min(max(n, 1), simd_width)))
        store(out, 8 * row, where(x > y, x, y))
        store(out, 9 * row, where(x >= y, scalar, y))
        store(out, 10 * row, where(x < y, x, scalar))
        store(out, 11 * row, where(x <= scalar, 1.0, 0.0 * x))
        store(out, 12 * row, maximum(x, y))
        store(out, 13 * row, minimum(x, y))
        store(out, 14 * row, absolute(x))
        store(out, 15 * row, sqrt(x))
        store(out, 16 * row, x + y)
        store(out, 17 * row, scalar - x)
        store(out, 18 * row, x * scalar)
        store(out, 19 * row, x / y)
        store(out, 20 * row, -x)
        store(out, 21 * row, maximum(x, scalar))
        store(out, 22 * row, minimum(scalar, x))

    return njit(**OPTIONS)(work), work


ROWS = 23


def both(dtype: str, simd_width: int, first: Any, second: Any, n: int, scalar: float = 0.75) -> tuple[Any, Any]:
    """What the compiled function and its twin write, in rows of twice the SIMD width; untouched places hold 9."""
    results = []
    for function in workbench(dtype, simd_width):
        out = np.full((ROWS, 2 * simd_width), 9.0, dtype)
        with np.errstate(all="ignore"):
            function(first.astype(dtype), second.astype(dtype), n, scalar, out.ravel())
        results.append(out)
    return results[0], results[1]


@EVERY_WIDTH
def test_vector_functions_are_what_their_twins_are(dtype: str, simd_width: int) -> None:
    rng = np.random.default_rng(simd_width)
    for n in [*range(-1, simd_width + 2), 1 << 40, -(1 << 40)]:
        first, second = rng.normal(size=(2, 2 * simd_width + 4))
        second[second == 0.0] = 1.0
        found, wanted = both(dtype, simd_width, first, second, n)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 if dtype == "float32" else 1e-14)


@EVERY_WIDTH
def test_what_is_moved_or_picked_is_moved_to_the_bit(dtype: str, simd_width: int) -> None:
    """NaN, infinities and signed zeros included: comparisons with NaN fail, and then the second one is taken."""
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-40])
    pairs = np.array(list(itertools.product(special, special)))
    exact = [0, 1, 2, 3, 4, 8, 9, 10, 12, 13, 14, 21, 22]
    for start in range(0, len(pairs), simd_width):
        first, second = np.ones((2, 2 * simd_width + 4))
        first[1 : simd_width + 1], second[3 : simd_width + 3] = pairs[start : start + simd_width].T
        found, wanted = both(dtype, simd_width, first, second, simd_width - 1)
        np.testing.assert_array_equal(found[exact], wanted[exact])
        assert (np.signbit(found[[0, 3, 8, 12, 13]]) == np.signbit(wanted[[0, 3, 8, 12, 13]])).all()


@EVERY_WIDTH
def test_a_nan_or_an_infinity_is_never_lost(dtype: str, simd_width: int) -> None:
    """In any element it reaches the sum, the softmax and all arithmetic: a diverging loss is seen."""
    for element, poison in itertools.product(range(simd_width), [np.nan, np.inf, -np.inf]):
        first, second = np.ones((2, 2 * simd_width + 4))
        first[1 + element] = poison
        found, wanted = both(dtype, simd_width, first, second, simd_width)
        assert not np.isfinite(found[5, 0])
        np.testing.assert_array_equal(found[5, 0], wanted[5, 0])
        if np.isnan(poison):
            assert np.isnan(found[6, 0]) or found[6, 0] == 1.0
        else:
            assert found[6, 0] == wanted[6, 0]
        if poison != -np.inf:
            assert np.isnan(found[7, element])
        np.testing.assert_array_equal(found[[16, 17, 18, 19, 20]], wanted[[16, 17, 18, 19, 20]])


@EVERY_WIDTH
def test_nothing_is_read_or_written_beyond_a_head(dtype: str, simd_width: int) -> None:
    """Masked reads at the very end of an array, where the next page may not be ours, and writes that leave the rest."""
    page = mmap.mmap(-1, mmap.PAGESIZE)  # its end is the end of what may be touched, or close to it
    array = np.frombuffer(page, dtype)
    array[:] = 5.0
    v = simd.vectors(dtype, simd_width)
    load_head, store_head = v.load_head, v.store_head

    @njit(**OPTIONS)
    def copy(values: Any, start: int, n: int) -> None:
        store_head(values, start, load_head(values, start, n) + 1.0, n)

    for n in range(simd_width):
        array[:] = 5.0
        copy(array, len(array) - n, n)
        assert (array[: len(array) - n] == 5.0).all()
        assert (array[len(array) - n :] == 6.0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_large_numbers_is_finite(dtype: str) -> None:
    first = np.array([0.0, 1e4, -1e4, 9.9e3, 1e4, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0])
    for n in (1, 2, 4):
        found, wanted = both(dtype, 4, first, first, n)
        np.testing.assert_allclose(found[7], wanted[7], rtol=1e-6)
        assert abs(found[7, :4].sum() - 1.0) < 1e-6
        assert (found[7, n:4] == 0.0).all()


# Products -------------------------------------------------------------------------------------------------------------


def compiled_calls(functions: list[Callable[..., Any]]) -> Callable[..., None]:
    """One compiled function ``call(which, *arguments)`` over functions of the same arguments."""
    arguments = ", ".join(f"a{n}" for n in range(len(inspect.signature(functions[0]).parameters)))
    lines = [f"def call(which, {arguments}):"]
    for number in range(len(functions)):
        lines += [f"    if which == {number}:", f"        function{number}({arguments})"]
    space = {f"function{number}": function for number, function in enumerate(functions)}
    exec("\n".join(lines), space)
    return njit(**OPTIONS)(space["call"])  # type: ignore[arg-type]


def expected_product(shape: simd.Shape, given: dict[str, Any]) -> Any:
    """C as NumPy computes it in float64, from matrices taken out of the flat arrays index by index."""
    rows, inner, simd_width = given["rows"], given["inner"], shape.simd_width
    width = shape.columns * simd_width
    a = given["a"][given["ao"] + np.add.outer(np.arange(rows) * shape.a_row, np.arange(inner) * shape.a_inner)]
    if shape.b_row is None:
        flat = given["b"][given["bo"] : given["bo"] + inner * width]
        b = panels_to_matrix(flat, inner, shape.columns, shape.panel, simd_width)
    else:
        b = given["b"][given["bo"] + np.add.outer(np.arange(inner) * shape.b_row, np.arange(width))]
    return a.astype(np.float64) @ b.astype(np.float64)


def places_of_c(shape: simd.Shape, given: dict[str, Any]) -> Any:
    """Where each element of C stands."""
    rows, width = given["rows"], shape.columns * shape.simd_width
    if shape.c_row is not None:
        return given["co"] + np.add.outer(np.arange(rows) * shape.c_row, np.arange(width))
    flat = np.arange(rows * width)
    return given["co"] + panels_to_matrix(flat, rows, shape.columns, shape.panel, shape.simd_width)


def check_product(call: Callable[..., None], which: int, shape: simd.Shape, rows: int, inner: int) -> None:
    """Compiled product, twin and NumPy agree on some panels; everything else in C's array stays as it is."""
    rng = np.random.default_rng(which)
    dtype, width = shape.dtype, shape.columns * shape.simd_width
    a_size = 3 + rows * shape.a_row + inner * shape.a_inner
    b_size = 5 + (inner * width if shape.b_row is None else inner * shape.b_row + width)
    c_size = 7 + (rows * width if shape.c_row is None else rows * shape.c_row + width) + 40
    given = {
        "a": rng.uniform(-1, 1, a_size).astype(dtype), "ao": 3, "b": rng.uniform(-1, 1, b_size).astype(dtype), "bo": 5,
        "c": rng.uniform(-1, 1, c_size).astype(dtype), "co": 7, "rows": rows, "inner": inner,
        "bias": rng.uniform(-1, 1, width + 2).astype(dtype), "place": 2,
        "beside": rng.uniform(-1, 1, 1 + rows * (shape.beside_row or 0) + width).astype(dtype), "there": 1,
    }  # fmt: skip
    exact, places = expected_product(shape, given), places_of_c(shape, given)
    last = shape.panels
    ranges = [(0, last), (0, 1), (last - 1, last), (1, 1), (last, last)]  # a thread without work has an empty one
    for keep, (first, last) in itertools.product([False, True] if shape.start == "keep" else [False], ranges):
        found, twin, wanted = given["c"].copy(), given["c"].copy(), given["c"].copy()
        call(which, *(given | {"c": found, "keep": keep, "first": first, "last": last}).values())
        extra = {"bias": [given["bias"], 2], "keep": [keep]}.get(shape.start, [])
        extra += [given["beside"], 1] if shape.beside_row is not None else []
        simd.product_of(shape)(given["a"], 3, given["b"], 5, twin, 7, rows, inner, *extra, first, last)
        mine = slice(first * shape.panel * shape.simd_width, last * shape.panel * shape.simd_width)
        start = (
            given["c"][places] if shape.start == "add" or keep else given["bias"][2:] if shape.start == "bias" else 0.0
        )
        wanted[places[:, mine]] = ended(shape, start + exact, given)[:, mine]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance(dtype), err_msg=str(shape))
        np.testing.assert_allclose(twin, wanted, rtol=0, atol=tolerance(dtype), err_msg=str(shape))
        outside = np.ones(c_size, bool)
        outside[places[:, mine]] = False
        np.testing.assert_array_equal(found[outside], given["c"][outside], err_msg=str(shape))


def ended(shape: simd.Shape, sums: Any, given: dict[str, Any]) -> Any:
    """What the epilogue makes of the sums, in NumPy's own words."""
    if not shape.epilogue:
        return sums
    if shape.beside_row is None:
        return np.maximum(sums, -0.25 * sums)
    rows, width = sums.shape
    y = given["beside"][given["there"] + np.add.outer(np.arange(rows) * shape.beside_row, np.arange(width))]
    return np.where(y <= 0.0, 0.0, sums) * np.abs(1.0 - y * y) - np.minimum(y, sums)


EPILOGUES = {
    "where(x <= 0.0, -0.25 * x, x)": False,
    "where(y <= 0.0, 0.0, x) * absolute(1.0 - y * y) - minimum(y, x)": True,
}


def ended_shapes(dtype: str, simd_width: int, registers: int) -> list[simd.Shape]:
    """Products with epilogues, over one and over several blocks of the inner dimension, in one tile and in many."""
    shapes = []
    inners = (9, PANEL_BLOCK + 3, 70, PANEL_BLOCK)
    for number, (inner, start) in enumerate(itertools.product(inners, ("bias", "zero", "add"))):
        epilogue, reads = list(EPILOGUES.items())[number % 2]
        columns, panel = ((1, 1), (5, 2), (8, 2))[number % 3]
        rows, width = (None, 5)[number // 2 % 2], columns * simd_width
        beside = width + simd_width if reads else None
        shapes.append(
            simd.Shape(
                dtype,
                simd_width,
                rows,
                inner,
                columns,
                panel,
                inner,
                1,
                None,
                width,
                start,
                registers,
                epilogue,
                beside,
            )
        )
    return shapes


STARTS = ["zero", "add", "bias", "keep"]


def forward_shapes(dtype: str, simd_width: int, registers: int) -> list[simd.Shape]:
    """Products like a forward pass's: rows literal or not, B in panels, C in rows; every start and panel width."""
    shapes = []
    panels = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 2), (7, 4)]  # (vectors in a row, in a panel)
    for number, (start, (columns, panel)) in enumerate(itertools.product(STARTS, panels)):
        rows = (None, 1, 9, tile_rows(registers, panel) + 1)[(number + number // len(panels)) % 4]
        inner = (3, 70, 9, 33)[number % 4]
        c_row = columns * simd_width + simd_width * (number % 2)
        shapes.append(
            simd.Shape(dtype, simd_width, rows, inner, columns, panel, inner + 1, 1, None, c_row, start, registers)
        )
    return shapes


def other_shapes(dtype: str, simd_width: int, registers: int) -> list[simd.Shape]:
    """A weight gradient's (A transposed, inner at run time, B in rows, C in panels); inner dimensions above a block."""
    shapes = []
    for number, start in enumerate(STARTS):
        rows, columns, panel = (6, 5, 23, 1)[number], (3, 2, 3, 1)[number], (2, 2, 3, 1)[number]
        row = columns * simd_width + simd_width
        shapes.append(
            simd.Shape(dtype, simd_width, rows, None, columns, panel, 1, rows + 2, row, None, start, registers)
        )
        inner, c_row = PANEL_BLOCK + (1, 100, PANEL_BLOCK, 3)[number], columns * simd_width
        shapes.append(
            simd.Shape(dtype, simd_width, None, inner, columns, panel, inner, 1, None, c_row, start, registers)
        )
    return shapes


def far_shapes(dtype: str, simd_width: int, registers: int) -> list[simd.Shape]:
    """Weight gradients of many rows; rows of A, of B or of both stand far apart."""
    far = FAR // np.dtype(dtype).itemsize + simd_width
    return [
        simd.Shape(dtype, simd_width, MANY_ROWS + 5, None, columns, panel, 1, a_inner, b_row, None, start, registers)
        for columns, panel, a_inner, b_row, start in [
            (3, 2, far + 1, far, "keep"),
            (5, 4, MANY_ROWS + 6, far, "zero"),
            (4, 3, far + 1, 5 * simd_width, "keep"),
        ]
    ]


MACHINES = [("float32", 8, 16), ("float64", 8, 32), ("float32", 4, 16)]


@pytest.mark.parametrize("number", range(len(MACHINES)))
def test_products(number: int) -> None:
    """Every shape on one of the machines: a compilation of all of them on all would take a minute."""
    dtype, simd_width, registers = MACHINES[number]
    shapes = forward_shapes(dtype, simd_width, registers)[number :: len(MACHINES)]
    shapes += other_shapes(dtype, simd_width, registers)[number % 2 :: 2]
    shapes += far_shapes(dtype, simd_width, registers)[number :: len(MACHINES)]
    shapes += ended_shapes(dtype, simd_width, registers)[number :: len(MACHINES)]
    call = product_calls(shapes)
    for which, shape in enumerate(shapes):
        most = tile_rows(registers, shape.panel)
        for rows in [*range(2 * most + 2), 3 * most + 1] if shape.rows is None else [shape.rows]:
            around = [ROW_BLOCK - 1, ROW_BLOCK, ROW_BLOCK + 1, 2 * ROW_BLOCK + 5]
            inners = [1, 7, 8, 33, *around] if shape.inner is None else [shape.inner]
            for inner in inners if rows else []:
                check_product(call, which, shape, rows, inner)


def test_a_long_product_is_not_copied_to_where_it_is_called() -> None:
    short = simd.Shape("float32", 8, 4, 4, 1, 1, 4, 1, None, 8, "zero")
    for shape, is_long in ((short, False), (replace(short, rows=None, inner=200, columns=9, panel=2, c_row=72), True)):
        function = matmul.define_product(ir.Module(), shape)
        assert ("noinline" in function.attributes) == is_long


def test_what_many_tiles_read_from_afar_is_copied_or_fetched_ahead() -> None:
    far, near = FAR // 4, FAR // 4 - 8
    one = simd.Shape("float32", 8, MANY_ROWS, None, 2, 2, 1, far, far, None, "zero")
    for shape, copies, fetches in [
        (one, 1, True),
        (replace(one, a_inner=near), 1, False),
        (replace(one, b_row=near), 0, True),
        (replace(one, rows=MANY_ROWS - 1), 0, False),
    ]:
        function = matmul.define_product(ir.Module(), shape)
        entry, *others = function.blocks
        assert [str(made).count(" = alloca") for made in (entry, *others)] == [copies] + [0] * len(others)
        assert ('@"llvm.prefetch.p0"' in str(function)) == fetches
        assert "noinline" in function.attributes or not copies


def test_products_of_medium_size_are_written_shorter() -> None:
    """A few per cent of speed count where a product is large, and nothing is gained where it is tiny."""
    shape = simd.Shape("float32", 8, None, 4, 1, 1, 4, 1, None, 8, "zero")
    sizes = [replace(shape, inner=SMALL), replace(shape, inner=SMALL + 1), replace(shape, inner=LARGE + 1)]
    assert [each.unrolled for each in sizes] == [32, 16, 32]
    assert [row_tiles(each, 1) for each in sizes] == [[8, 4, 1], [12, 4, 1], [12, 8, 4, 2, 1]]


def test_every_remainder_of_rows_has_its_tiles() -> None:
    """Tiles cover literal rows exactly, none is taller than the registers allow, and heights differ by one at most."""
    for registers, vectors, rows in itertools.product(
        (16, 32), (1, 2, 3, 4), (1, 2, 3, 7, 11, 12, 13, 14, 15, 29, 100)
    ):
        shape = simd.Shape("float32", 8, rows, 4, vectors, vectors, 4, 1, None, 8 * vectors, "zero", registers)
        heights, most = row_tiles(shape, vectors), tile_rows(registers, vectors)
        assert 1 <= len(heights) <= 2
        assert max(heights) <= most
        assert max(heights) - min(heights) <= 1
        assert any(many * heights[0] + few * heights[-1] == rows for many in range(rows + 1) for few in range(rows + 1))
        assert vectors * most + vectors + 1 <= registers or most == 1


# Transposes and sums --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "simd_width"), [("float32", 4), ("float64", 8), ("float32", 16), ("float64", 2)])
def test_transposes_of_panels(dtype: str, simd_width: int) -> None:
    sizes = [
        (1, 1, 1, 1),
        (simd_width, 2, 2, 1),
        (simd_width + 1, 3, 2, 2),
        (2 * simd_width - 1, 5, 2, 2),
        (3 * simd_width + 2, 4, 4, 3),
    ]
    shapes = [
        simd.TransposeShape(dtype, simd_width, *size, by_rows=by_rows) for size in sizes for by_rows in (False, True)
    ]
    call = compiled_calls([simd.transpose_of(shape) for shape in shapes])
    rng = np.random.default_rng(simd_width)
    for which, shape in enumerate(shapes):
        matrix = rng.normal(size=(shape.rows, shape.columns * simd_width)).astype(dtype)
        source = np.concatenate([np.full(3, 7.0, dtype), matrix_to_panels(matrix, shape.panel, simd_width)])
        whole = np.zeros((shape.columns * simd_width, shape.transposed_columns * simd_width), dtype)
        whole[:, : shape.rows] = matrix.T
        count = shape.transposed_columns if shape.by_rows else shape.columns
        for first, last in [(0, count), (0, 1), (count - 1, count), (1, 1), (count, count)]:
            wanted, some = np.full_like(whole, 4.0), slice(first * simd_width, last * simd_width)
            mine = (slice(None), some) if shape.by_rows else some
            wanted[mine] = whole[mine]
            flat = matrix_to_panels(wanted, shape.transposed_panel, simd_width)
            for transpose in (lambda *given, n=which: call(n, *given), simd.transpose_of(shape)):
                target = np.full(flat.size + 9, 4.0, dtype)
                transpose(source, 3, target, 5, first, last)
                np.testing.assert_array_equal(target[5:-4], flat)
                assert (target[:5] == 4.0).all()
                assert (target[-4:] == 4.0).all()


def test_panels_hold_a_matrix() -> None:
    for columns, panel, simd_width in itertools.product((1, 3, 5), (1, 2, 4), (2, 4)):
        matrix = np.arange(7 * columns * simd_width, dtype=np.float64).reshape(7, -1)
        flat = matrix_to_panels(matrix, panel, simd_width)
        np.testing.assert_array_equal(panels_to_matrix(flat, 7, columns, panel, simd_width), matrix)
        first = min(panel, columns) * simd_width
        np.testing.assert_array_equal(flat[: 2 * first], matrix[:2, :first].ravel())


@pytest.mark.parametrize(("dtype", "simd_width"), [("float32", 8), ("float64", 2)])
def test_sums_of_columns(dtype: str, simd_width: int) -> None:
    """Groups of four and one, of matrices with two strides, which share what is compiled."""
    vectors = 15
    strides = [(vectors + 1) * simd_width, (vectors + 4) * simd_width]
    shapes = [simd.SumShape(dtype, simd_width, stride) for stride in strides]
    call = compiled_calls([simd.sums_of(shape) for shape in shapes])
    rng = np.random.default_rng(1)
    for rows, keep, which in itertools.product([0, 1, 2, 7, 8, 9, 41], [False, True], [0, 1]):
        stride, shape = strides[which], shapes[which]
        source = rng.uniform(-1, 1, 3 + rows * stride + stride).astype(dtype)
        before = rng.uniform(-1, 1, 5 + stride).astype(dtype)
        for first, last in [(0, vectors), (0, 8), (3, 10), (14, 15), (4, 4)]:
            inside = slice(first * simd_width, last * simd_width)
            matrix = source[3 : 3 + rows * stride].reshape(rows, stride)[:, inside]
            wanted = before.copy()
            part = wanted[5:][inside]
            part[:] = matrix.sum(axis=0, dtype=np.float64) + (part if keep else 0)
            for sums in (functools.partial(call, which), simd.sums_of(shape)):
                found = before.copy()
                sums(source, 3, rows, found, 5, keep, first, last)
                np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance(dtype))


# Rows, gradients, moves -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "simd_width"), [("float32", 8), ("float64", 2)])
def test_softmax_of_rows_and_its_gradient(dtype: str, simd_width: int) -> None:
    """Rows in registers and longer ones, whole and ragged, in place and from matrix to matrix. What stands in the
    padding that is read is of no account, what is written there is zero, and nothing else is touched."""
    widths = [m * simd_width + more for m, more in [(1, 1), (2, 0), (4, -1), (4, 0), (4, 1), (7, -1), (9, 0)]]
    whole = [-(-width // simd_width) * simd_width for width in widths]
    strides = [(n + simd_width, n + 2 * simd_width) for n in whole]
    forward = [simd.RowShape(dtype, simd_width, w, both) for w, both in zip(widths, strides, strict=True)]
    backward = [
        replace(each, strides=(each.strides[1], n, each.strides[0])) for each, n in zip(forward, whole, strict=True)
    ]
    call = compiled_calls([simd.softmax_of(shape) for shape in forward])
    adds = (False, True)
    back = compiled_calls([simd.softmax_gradient_of(shape, kind) for shape in backward for kind in adds])
    rng = np.random.default_rng(1)

    def filled(rows: int, stride: int) -> Any:
        return rng.normal(0, 3, 3 + rows * stride + stride).astype(dtype)

    def rows_in(flat: Any, start: int, rows: int, stride: int, count: int) -> Any:
        return flat[start : start + rows * stride].reshape(rows, stride)[:, :count]

    for number, (width, full) in enumerate(zip(widths, whole, strict=True)):
        for rows in (0, 1, 5):
            (wide, wider), shape = forward[number].strides, forward[number]
            source, before = filled(rows, wide), filled(rows, wider)
            source[3:4] += 90.0  # a large one, of which no power can be taken
            x = rows_in(source, 3, rows, wide, width).astype(np.float64)
            powers = np.exp(x - x.max(axis=1, keepdims=True)) if rows else x
            y = powers / powers.sum(axis=1, keepdims=True)
            wanted = before.copy()
            rows_in(wanted, 1, rows, wider, full)[:] = np.pad(y, ((0, 0), (0, full - width)))
            for softmax in (functools.partial(call, number), simd.softmax_of(shape)):
                found = before.copy()
                softmax(source, 3, found, 1, rows)
                np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance(dtype) / 100)

            gradient, held = filled(rows, full), filled(rows, wide)
            g = np.where(np.arange(full) < width, rows_in(gradient, 2, rows, full, full), 0.0)
            rows_in(gradient, 2, rows, full, full)[:] = g
            y = rows_in(wanted, 1, rows, wider, full).astype(np.float64)
            for kind in adds:
                result = held.copy()
                out = rows_in(result, 3, rows, wide, full)
                out[:] = y * (g - (y * g).sum(axis=1, keepdims=True)) + (out if kind else 0.0)
                twin = simd.softmax_gradient_of(backward[number], kind)
                for function in (functools.partial(back, 2 * number + kind), twin):
                    found = held.copy()
                    function(wanted, 1, gradient, 2, found, 3, rows)
                    np.testing.assert_allclose(found, result, rtol=0, atol=tolerance(dtype) / 10)


def test_softmax_of_rows_in_place_and_of_numbers_that_are_not_finite() -> None:
    widths = [11, 50]
    shapes = [simd.RowShape("float32", 8, width, (56, 56)) for width in widths]
    call = compiled_calls([simd.softmax_of(shape) for shape in shapes])
    for number, width in enumerate(widths):
        values = np.linspace(-5, 5, 112, dtype=np.float32)
        there = np.zeros(112, np.float32)
        call(number, values, 0, there, 0, 2)
        call(number, values, 0, values, 0, 2)
        for row in range(2):
            inside = slice(56 * row, 56 * row + -(-width // 8) * 8)
            np.testing.assert_array_equal(values[inside], there[inside])
        for bad in (np.nan, np.inf):
            for place in (0, width // 2, width - 1):
                values = np.zeros(112, np.float32)
                values[place], values[width] = bad, 1e30  # the latter in the padding of the first row
                call(number, values, 0, values, 0, 2)
                assert np.isnan(values[:width]).any(), "it is seen"
                np.testing.assert_allclose(values[56 : 56 + width], 1 / width, rtol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are forbidden by a call of Linux's")
@pytest.mark.parametrize(("dtype", "simd_width"), [("float32", 8), ("float64", 2)])
def test_nothing_is_read_behind_rows_that_end_with_their_numbers(dtype: str, simd_width: int) -> None:
    """As those of a caller, behind which a page may stand that is not ours."""
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    place = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(place + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
    array = np.frombuffer(pages, dtype, mmap.PAGESIZE // np.dtype(dtype).itemsize)
    widths = [simd_width + 1, 2 * simd_width, 6 * simd_width - 1]
    shapes = [simd.RowShape(dtype, simd_width, width, (width, 7 * simd_width), exact=True) for width in widths]
    call = compiled_calls([simd.softmax_of(shape) for shape in shapes])
    for number, width in enumerate(widths):
        array[:] = np.arange(len(array)) % 5
        powers = np.exp(array[-2 * width :].reshape(2, width).astype(np.float64))
        for softmax in (functools.partial(call, number), simd.softmax_of(shapes[number])):
            found = np.full(14 * simd_width, 2.0, dtype)
            softmax(array, len(array) - 2 * width, found, 0, 2)
            rows = found.reshape(2, 7 * simd_width)
            wanted = powers / powers.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(rows[:, :width], wanted, rtol=0, atol=tolerance(dtype) / 100)
            assert not rows[:, width : -(-width // simd_width) * simd_width].any()


def test_the_gradient_of_a_softmax_may_take_the_place_of_what_it_is_made_of() -> None:
    widths = [16, 48]
    shapes = [simd.RowShape("float32", 8, width, (56, 56, 56)) for width in widths]
    call = compiled_calls([simd.softmax_gradient_of(shape, False) for shape in shapes])
    for number, (which, _) in itertools.product(range(2), enumerate(widths)):
        y, g = np.linspace(0, 1, 112, dtype=np.float32), np.linspace(3, -2, 112, dtype=np.float32)
        apart = np.zeros(112, np.float32)
        call(which, y, 0, g, 0, apart, 0, 2)
        target = (y, g)[number]
        call(which, y, 0, g, 0, target, 0, 2)
        for row in range(2):
            inside = slice(56 * row, 56 * row + widths[which])
            np.testing.assert_array_equal(target[inside], apart[inside])


@pytest.mark.parametrize(("dtype", "simd_width"), [("float32", 4), ("float64", 4)])
def test_squares_of_gradients_and_those_that_are_not_finite(dtype: str, simd_width: int) -> None:
    size = 23 * simd_width
    shapes = [simd.GradientShape(dtype, simd_width, copies, size) for copies in (1, 3)]
    squares = [simd.squares_of(shape) for shape in shapes]
    non_finite = simd.non_finite_of(shapes[0])
    one, three = squares
    call = njit(**OPTIONS)(lambda which, g, start, end: three(g, start, end) if which else one(g, start, end))  # type: ignore[arg-type]
    count = njit(**OPTIONS)(lambda g, start, end, rate: non_finite(g, start, end, rate))  # type: ignore[arg-type]
    rng = np.random.default_rng(2)
    for which, copies in enumerate((1, 3)):
        for first, last in [(0, 0), (0, 3), (0, 4), (1, 23), (2, 21)]:
            gradients = rng.normal(size=copies * size).astype(dtype)
            inside = slice(first * simd_width, last * simd_width)
            sums = gradients.reshape(copies, size)[:, inside].sum(axis=0, dtype=np.float64)
            wanted = gradients.copy()
            wanted[inside] = sums
            for function in (functools.partial(call, which), squares[which]):
                found = gradients.copy()
                assert function(found, inside.start, inside.stop) == pytest.approx(np.square(sums).sum(), rel=1e-5)
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    most = float(np.finfo(dtype).max)
    for function in (count, non_finite):
        gradients = np.full(size, most / 2, dtype)
        with np.errstate(all="ignore"):
            assert function(gradients, 0, size, 1.5) == 0
            gradients[[3, simd_width + 1, size - 1]] = np.nan, -np.inf, most
            assert function(gradients, 0, size, 1.5) == 2 + 2 + 1, "what is not finite at all counts twice"
            assert function(gradients, simd_width, 2 * simd_width, 0.0) == 2
            assert function(gradients, 2 * simd_width, 2 * simd_width, 0.0) == 0


@pytest.mark.parametrize(("dtype", "simd_width"), [("float32", 16), ("float64", 2)])
def test_vectors_are_copied_and_set_to_zero(dtype: str, simd_width: int) -> None:
    moves = simd.moves(dtype, simd_width)
    copy, clear = moves.copy, moves.clear

    @njit(**OPTIONS)  # type: ignore[untyped-decorator, arg-type]
    def call(array: Any, source: int, target: int, count: int) -> None:
        copy(array, source, target, count)
        clear(array, source, count)

    def twin(array: Any, source: int, target: int, count: int) -> None:
        copy(array, source, target, count)
        clear(array, source, count)

    for count in (0, simd_width, 3 * simd_width):
        before = np.arange(1, 8 * simd_width + 1, dtype=dtype)
        wanted = before.copy()
        wanted[1 : 1 + count] = before[4 * simd_width + 1 : 4 * simd_width + 1 + count]
        wanted[4 * simd_width + 1 : 4 * simd_width + 1 + count] = 0
        for function in (call, twin):
            found = before.copy()
            function(found, 4 * simd_width + 1, 1, count)
            np.testing.assert_array_equal(found, wanted)


# Barrier --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
def test_threads_meet_at_a_barrier(jit: bool) -> None:
    """In every round each thread sees what all others wrote in the round before."""
    threads, rounds, barrier = 3, 300, simd.barrier

    def work(member: int, sync: Any, board: Any, wrong: Any) -> None:
        for turn in range(1, rounds + 1):
            board[member] = turn
            barrier(sync, threads)
            for other in range(threads):
                if board[other] != turn:
                    wrong[member] += 1
            barrier(sync, threads)

    function = njit(nogil=True)(work) if jit else work
    sync, board, wrong = np.zeros(simd.SYNC_SIZE, np.int64), np.zeros(threads, np.int64), np.zeros(threads, np.int64)
    if jit:
        function.compile("void(int64, int64[::1], int64[::1], int64[::1])")
    pool = [threading.Thread(target=function, args=(member, sync, board, wrong)) for member in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in pool)
    assert (board == rounds).all()
    assert not wrong.any()


# What Numba is told ---------------------------------------------------------------------------------------------------


def test_whole_numbers_are_added_and_multiplied_as_numba_does_it() -> None:
    context = cpu_target.typing_context
    own = {operator.add: BinOpAdd, operator.sub: BinOpSub, operator.mul: BinOpMul}
    cpu_target.target_context.refresh()
    for function, template in own.items():
        for pair in itertools.product((types.int64, types.int32, types.uint64, types.float32), repeat=2):
            wanted = context.resolve_overload(function, template.cases, pair, {})
            assert context.resolve_function_type(function, pair, {}) == wanted


def numbers_of(start: Any, stop: Any) -> Any:
    """The sums, which tell one order from another, of three loops, the outer of two run again and again."""
    by_one, by_three, back = 0, 0, 0
    for i in simd.span(start, stop):
        by_one = 7 * by_one + i
        for j in simd.span(i, stop, 3):
            by_three = (5 * by_three + j) % 1_000_003
    for i in simd.span(stop - 1, start - 1, -1):
        back = 3 * back + i
    return by_one, by_three, back


def test_a_span_is_a_range() -> None:
    compiled = njit(numbers_of)
    for start, stop in itertools.product(range(-3, 9), repeat=2):
        assert compiled(start, stop) == numbers_of(start, stop)
    assert simd.span(2, 11, 4) == range(2, 11, 4)


@pytest.mark.parametrize("text", ["span(0, n, n)", "span(0, n, 0)", "span(n)", "span(0.5, n)", "span(0, n, step=1)"])
def test_a_span_has_whole_ends_and_a_literal_step(text: str) -> None:
    scope: dict[str, Any] = {"span": simd.span}
    exec(f"def count(n):\n    out = 0\n    for i in {text}:\n        out += 1\n    return out", scope)
    with pytest.raises(TypingError, match="span"):
        njit(scope["count"])(3)
