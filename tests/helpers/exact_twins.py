"""Generated source and the machine as plain Python that adds and rounds as compiled code does, to compare their bits.

The twins of the library leave the sums of a product to NumPy, whose order depends on where the numbers stand, and round
each product before they add it. Here sums have the order of ``abi/summation.py``, and ``fma`` computes in a wider type,
so that a product that only one of two sources joins with a sum gives other bits.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from helpers.machines import MachineKernel, functions_of
from helpers.witnesses import DROPOUT_KEY, Memory, Trial, call_predict, call_windows, jit_disabled
from neuromorph import simd
from neuromorph.abi.summation import DEEPEST, PANEL_BLOCK, ROW_BLOCK, chains_of, even_heights
from neuromorph.codegen import Kernel
from neuromorph.machine import source_of
from neuromorph.machine.instructions import CHAINED, ONE_CHAIN, START_ADD, START_BIAS
from neuromorph.optimizers import UPDATES
from neuromorph.simd.matmul import matrix_view
from neuromorph.simd.product_shape import tile_rows

_WIDER = {"float32": np.float64, "float64": np.longdouble}
NUMBERS = {"weight_decay": 0.02, "momentum": 0.8, "alpha": 0.9, "eps": 1e-8, "beta1": 0.9, "beta2": 0.99}


def fma(x: Any, y: Any, z: Any) -> Any:
    """x y + z of each element, whose product is not rounded to the type of the elements."""
    dtype = np.result_type(x, y, z)
    wider = _WIDER[dtype.name]
    return (np.asarray(x, wider) * np.asarray(y, wider) + np.asarray(z, wider)).astype(dtype)


@cache
def where_of(dtype: str) -> Callable[..., Any]:
    """``simd.where`` for an element type, which the twin of the library can't know if both choices are literal."""

    def where(mask: Any, x: Any, y: Any) -> Any:
        return np.where(mask, x, y).astype(dtype)

    return where


# Products ------------------------------------------------------------------------------------------------------------


def _chained(left: Any, right: Any, begin: Any, unroll: int, chains: int) -> Any:
    """The sums of the inner steps in some chains, of which the first begins with ``begin``."""
    dtype, inner = begin.dtype, len(right)
    left, right = left.astype(_WIDER[dtype.name]), right.astype(_WIDER[dtype.name])
    sums = [begin, *[np.zeros_like(begin)] * (chains - 1)]
    whole = inner - inner % unroll
    for k in range(inner):
        if k == whole:
            sums = _joined(sums)
        place = k % unroll % chains if k < whole else 0
        sums[place] = (left[:, k : k + 1] * right[k] + sums[place]).astype(dtype)
    return _joined(sums)[0]


def _joined(sums: list[Any]) -> list[Any]:
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [x + y for x, y in zip(sums[:half], sums[half:], strict=True)]
    return sums


def _tile(left: Any, right: Any, begin: Any, order: int, vectors: int) -> Any:
    """The sums of a tile of so many vectors."""
    if order <= CHAINED:
        unroll, chains = (chains_of(vectors, None) if order == CHAINED else None) or (1, 1)
        return _chained(left, right, begin, unroll, chains)
    length = len(right) // order
    for number in range(order):
        mine = slice(number * length, len(right) if number == order - 1 else (number + 1) * length)
        begin = begin + _chained(left[:, mine], right[mine], np.zeros_like(begin), 1, 1)
    return begin


def _panel(left: Any, right: Any, begin: Any, order: int, vectors: int, registers: int, block: int) -> Any:
    """begin + left right for a panel of so many vectors, in blocks of inner steps. order: as in a program."""
    sums = np.array(np.broadcast_to(begin, (len(left), right.shape[1])), left.dtype)
    low, more = even_heights(len(left), tile_rows(registers, vectors) if order == CHAINED else len(left))
    for inner in range(0, len(right), block):
        row, count = 0, 0
        while row < len(left):
            tile = slice(row, row + low + (count < more))
            some = slice(inner, inner + block)
            sums[tile] = _tile(left[tile, some], right[some], sums[tile], order, vectors * len(left[tile]))
            row, count = tile.stop, count + 1
    return sums


def _columns(flat: Any, offset: int, depth: int, column: int, width: int, row: int | None) -> Any:
    """Some columns of a matrix in rows, or a panel of one in panels, which has no stride of rows."""
    return matrix_view(flat, offset + (column if row else column * depth), depth, width, row or width, 1)


def _order_of(shape: simd.Shape) -> int:
    """The order of the sums of a product of generated source."""
    if shape.rows is None:
        return shape.ranges if shape.ranges > 1 else ONE_CHAIN
    return ONE_CHAIN if shape.inner is not None and shape.inner <= DEEPEST else CHAINED


def _ended(sums: Any, shape: simd.Shape, beside: Any) -> Any:
    """What the epilogue of a product makes of its sums."""
    known = {name: getattr(simd, name) for name in ("absolute", "maximum", "minimum")}
    known |= {"fma": fma, "where": where_of(shape.dtype)}
    return eval(shape.epilogue, known, {"x": sums, "y": beside}) if shape.epilogue else sums


def product_of(shape: simd.Shape) -> Callable[..., None]:
    """``simd.product_of`` in the order of compiled code."""

    def product(a: Any, ao: int, b: Any, bo: int, c: Any, co: int, rows: int, inner: int, *rest: Any) -> None:
        *extra, first, last = rest
        left = matrix_view(a, ao, rows, inner, shape.a_row, shape.a_inner)
        for panel in range(first, last):
            width, column = shape.panel_width(panel), panel * shape.panel * shape.simd_width
            right = _columns(b, bo, inner, column, width, shape.b_row)
            out, begin, beside = _columns(c, co, rows, column, width, shape.c_row), np.zeros(1, c.dtype), None
            if shape.start == "bias":
                begin = extra[0][extra[1] + column :][:width]
            elif shape.start == "add" or (shape.start == "keep" and extra[0]):
                begin = out
            if shape.beside_row is not None:
                beside = matrix_view(extra[-2], extra[-1] + column, rows, width, shape.beside_row, 1)
            vectors = width // shape.simd_width
            sums = _panel(left, right, begin, _order_of(shape), vectors, shape.registers, shape.block)
            out[...] = _ended(sums, shape, beside)

    return product


def general_product(dtype: str, simd_width: int, registers: int, turned: bool) -> Callable[..., None]:
    """``simd.general_product`` in the order of compiled code."""

    def product(
        a: Any, ao: int, b: Any, bo: int, c: Any, co: int, bias: Any, place: int, rows: int, inner: int, columns: int,
        panel: int, stride: int, b_row: int, c_row: int, start: int, order: int,
    ) -> None:  # fmt: skip
        left = matrix_view(a, ao, rows, inner, *((1, stride) if turned else (stride, 1)))
        for first in range(0, columns, panel):
            vectors, column = min(panel, columns - first), first * simd_width
            width = vectors * simd_width
            right = _columns(b, bo, inner, column, width, b_row)
            out, begin = _columns(c, co, rows, column, width, c_row), np.zeros(1, dtype)
            if start == START_BIAS:
                begin = bias[place + column :][:width]
            elif start == START_ADD:
                begin = out
            out[...] = _panel(left, right, begin, order, vectors, registers, ROW_BLOCK if b_row else PANEL_BLOCK)

    return product


# Modules -------------------------------------------------------------------------------------------------------------


def _module(source: str, dtype: str) -> Any:
    """A file of generated source or of the machine as a module of such twins."""
    module = types.ModuleType("exact_twins")
    with pytest.MonkeyPatch.context() as patch, jit_disabled():
        patch.setattr(simd, "product_of", product_of)
        patch.setattr(simd, "general_product", general_product)
        patch.setattr(simd, "fma", fma)
        patch.setattr(simd, "where", where_of(dtype))
        exec(compile(source, "<exact twins>", "exec"), module.__dict__)
    return module


@cache
def _machine(dtype: str, lanes: int, registers: int) -> Any:
    return _module(source_of(dtype, lanes, registers), dtype)


def exact_functions(kernel: Kernel | MachineKernel) -> Any:
    """``train`` and ``predict`` of a model's generated source, or of the machine with the model's programs."""
    if isinstance(kernel, Kernel):
        return _module(kernel.source, kernel.options.dtype)
    options = kernel.options
    return functions_of(kernel, _machine(options.dtype, options.lanes, options.registers))


# Results -------------------------------------------------------------------------------------------------------------


def with_gaps(trial: Trial, seed: int) -> Trial:
    """The trial, of whose expected components some are not known; of each vector that counts the first one is."""
    gaps = np.random.default_rng(seed).uniform(size=trial.expected.shape) < 0.4
    gaps[..., 0] = False
    return replace(trial, expected=np.where(gaps, np.nan, trial.expected))


def results(kernel: Any, functions: Any, trial: Trial, clip: float = 0.0) -> Iterator[tuple[str, np.ndarray]]:
    """All that a model computes of a trial, by name.

    The gradients of all samples as one window, and what training in windows gives and leaves.
    """
    samples, update, layout = len(trial.inputs), UPDATES[kernel.options.optimizer], kernel.plan.layout
    yield "predictions", call_predict(kernel, functions, trial)
    for mode, capacity in ((1, samples), (2, trial.window)):
        memory, losses = Memory.of(kernel, trial.parameters, capacity), np.full(samples, -1.0)
        slots = np.zeros(max(1, len(update.slots) * layout.size), kernel.options.dtype)
        counts = [0.0] * len(update.counts)
        constants = np.array([*(NUMBERS[name] for name in update.constants), *counts, DROPOUT_KEY, 0.0])
        more = {"memory": slots, "constants": constants, "clip": clip}
        reached = call_windows(kernel, functions, trial, memory, capacity, mode, losses, **more)
        yield f"mode {mode}: the sample that was reached", np.array(reached)
        yield f"mode {mode}: losses", losses
        yield f"mode {mode}: slots", slots
        yield f"mode {mode}: counts", constants
        for name, value in memory.unpack(memory.gradients, learning=True).items():
            yield f"mode {mode}: gradient of {name}", value
        for name, value in memory.unpack(memory.weights).items():
            yield f"mode {mode}: {name}", value


def assert_same_bits(
    kernel: Kernel, machine: MachineKernel, trial: Trial, functions: Callable[[Any], Any] = exact_functions,
    *, clip: float = 0.0, note: str = "",
) -> None:  # fmt: skip
    """Assert that a model's own kernel and the machine give the same of a trial, to the bit."""
    wanted, found = (dict(results(each, functions(each), trial, clip)) for each in (kernel, machine))
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=f"{name}\n{note}")
