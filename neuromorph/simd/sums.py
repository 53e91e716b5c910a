"""Sums over the rows of a matrix, column by column: the gradients of biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer, infer_global, signature
from numba.extending import lower_builtin

from .matmul import CHAINS, _counted, _integer, scalar_type
from .vectors import FLAGS, data_pointer

_I1, _I64 = ir.IntType(1), ir.IntType(64)


@dataclass(frozen=True)
class SumShape:
    """A row matrix with ``stride`` elements between its rows."""

    dtype: str
    lanes: int
    stride: int


@dataclass(frozen=True)
class _Emitter:
    """Emits the sums of some column vectors at a time."""

    shape: SumShape
    builder: ir.IRBuilder
    source: ir.Value
    rows: ir.Value
    target: ir.Value
    keep: ir.Value

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(scalar_type(self.shape.dtype), self.shape.lanes)

    def at(self, pointer: ir.Value, *terms: ir.Value) -> ir.Value:
        for term in terms:
            pointer = self.builder.gep(pointer, [term])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def columns(self, first: ir.Value, count: int) -> None:
        """The sums of ``count`` column vectors from ``first``, each in as many chains as keep the adders busy."""
        builder, lanes = self.builder, self.shape.lanes
        chains = max(1, CHAINS // count)
        start = builder.mul(first, _integer(lanes))
        whole = builder.sub(self.rows, builder.srem(self.rows, _integer(chains)))
        zero = ir.Constant(self.vector, [0.0] * lanes)
        sums = self.over_rows([zero] * (count * chains), start, count, _integer(0), whole, chains)
        while len(sums) > count:
            half = len(sums) // 2
            sums = [builder.fadd(x, y, flags=FLAGS) for x, y in zip(sums[:half], sums[half:], strict=True)]
        if chains > 1:
            sums = self.over_rows(sums, start, count, whole, self.rows, 1)
        for number, value in enumerate(sums):
            place = self.at(self.target, start, _integer(number * lanes))
            held = builder.select(self.keep, builder.load(place, align=4), zero)
            builder.store(builder.fadd(value, held, flags=FLAGS), place, align=4)

    def over_rows(
        self, sums: list[ir.Value], start: ir.Value, count: int, first: ir.Value, last: ir.Value, step: int
    ) -> list[ir.Value]:
        """Rows ``first`` to ``last`` added to the sums, ``step`` at a time, each to a chain of its own."""
        builder, shape = self.builder, self.shape
        before = builder.block
        head, body, after = (builder.append_basic_block(f"rows.{n}") for n in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        row = builder.phi(_I64)
        row.add_incoming(first, before)
        carried = []
        for value in sums:
            phi = builder.phi(self.vector)
            phi.add_incoming(value, before)
            carried.append(phi)
        builder.cbranch(builder.icmp_signed("<", row, last), body, after)
        builder.position_at_end(body)
        here = builder.gep(self.source, [builder.mul(row, _integer(shape.stride))])
        for number, phi in enumerate(carried):
            ahead, column = divmod(number, count)
            place = self.at(here, start, _integer(ahead * shape.stride + column * shape.lanes))
            phi.add_incoming(builder.fadd(phi, builder.load(place, align=4), flags=FLAGS), body)
        row.add_incoming(builder.add(row, _integer(step)), body)
        builder.branch(head)
        builder.position_at_end(after)
        return list(carried)


def _define(module: ir.Module, shape: SumShape) -> ir.Function:
    name = "nm.sums." + ".".join(str(getattr(shape, f.name)) for f in fields(shape))
    known = module.globals.get(name)
    if known is not None:
        return known
    pointer = scalar_type(shape.dtype).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I64, pointer, _I1, _I64, _I64])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.args[2].add_attribute("noalias")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    source, rows, target, keep, first, last = function.args
    emitter = _Emitter(shape, builder, source, rows, target, keep)
    for count in (8, 4, 2, 1):
        stop = builder.sub(last, builder.srem(builder.sub(last, first), _integer(count)))
        with _counted(builder, first, stop, count) as column:
            emitter.columns(column, count)
        first = stop
    builder.ret_void()
    return function


@cache
def sums_of(shape: SumShape) -> Callable[..., None]:
    """The function (source, offset, rows, target, offset, keep, first, last): sums of column vectors first to last.

    They are added to what the target holds if ``keep``.
    """

    def column_sums(
        source: Any, start: int, rows: int, target: Any, place: int, keep: bool, first: int, last: int
    ) -> None:
        """Write the sums of some column vectors over all rows."""
        step, lanes = source.itemsize, shape.lanes
        matrix = np.lib.stride_tricks.as_strided(
            source[start + first * lanes :], (rows, (last - first) * lanes), (shape.stride * step, step)
        )
        out = target[place + first * lanes : place + last * lanes]
        out[:] = matrix.sum(axis=0) + (out if keep else 0)

    class _Template(AbstractTemplate):  # type: ignore[misc]
        key = column_sums

        def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
            if len(args) != 8 or kws:
                return None
            counts = types.intp
            return signature(types.void, args[0], counts, counts, args[3], counts, types.boolean, counts, counts)

    infer_global(column_sums, types.Function(infer(_Template)))

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        source = builder.gep(data_pointer(context, builder, sig.args[0], args[0]), [args[1]])
        target = builder.gep(data_pointer(context, builder, sig.args[3], args[3]), [args[4]])
        builder.call(_define(builder.module, shape), [source, args[2], target, args[5], args[6], args[7]])
        return context.get_dummy_value()

    kinds = (types.Array, types.Integer, types.Integer, types.Array, types.Integer, types.Boolean)
    lower_builtin(column_sums, *kinds, types.Integer, types.Integer)(lower)
    return column_sums
