"""The product of one row and a frozen matrix with many zeros, which reads the matrix's sparse copy.

``neuromorph.abi.sparse`` explains the copy. The product reads the whole matrix instead, by the routine for that, where
there is no copy, where a run-time number of rows is not one, and where the row has a number that is not finite: such a
number makes a product with zero NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types

from ..abi.sparse import SparseForm
from ..host.frozen import frozen
from .matmul import addresses, define_product, kinds_of_arguments, operands, product_of, symbol, types_of
from .product_emitter import Panel, ProductEmitter, Steps
from .product_shape import Shape, scalar_type
from .routines import I1, I64, counted, integer, routine, summed, teach
from .vectors import spread

_I16, _I32 = ir.IntType(16), ir.IntType(32)
_ROWS_READ = 4  # rows of segments that one load reads
_WIDEST = 32  # bytes of a sum's vector at most: some processors load and mix two such halves quicker than one whole
Sums = list[ir.Value]
Panels = tuple[int, int] | None


def form_of(shape: Shape, panels: Panels = None) -> SparseForm:
    """The form of the sparse copy that a product of this shape reads. panels: the first one and one past the last."""
    assert shape.inner is not None
    size = 4 if shape.dtype == "float32" else 8
    whole = SparseForm(size, shape.simd_width, shape.inner, shape.columns, shape.panel, shape.rows is not None)
    return whole if panels is None else whole.of_panels(*panels)


@frozen
class _SparseEmitter(ProductEmitter):
    """Emits the product of one row and a matrix, or some of its panels, of which ``copy`` is the address of the sparse
    copy.

    The sums of all chains are in memory, ``scratch``, panel by panel, and are added to strip by strip.
    """

    copy: ir.Value
    scratch: ir.Value
    form: SparseForm

    def over_panels(self, some: Steps) -> None:
        """Emit the sums of some rows of the matrix: their start, the strips, and their end."""
        self.each_panel(some, self.begin_panel)
        self.over_strips(some)
        self.each_panel(some, self.end_panel)

    def each_panel(self, some: Steps, emit: Callable[[Panel, ir.Value, Steps], None]) -> None:
        """Emit something for each panel; it gets the panel and the address of its sums."""
        shape, form = self.shape, self.form
        full, rest = divmod(form.columns, shape.panel)
        stride = form.sums(shape.panel) * shape.simd_width
        with counted(self.builder, integer(0), integer(full), 1) as number:
            panel = self.builder.add(number, integer(form.first)) if form.first else number
            emit(self.panel_at(panel, shape.panel, some), self.at(self.scratch, (number, stride)), some)
        if rest:
            panel = integer(form.first + full)
            emit(self.panel_at(panel, rest, some), self.ahead(self.scratch, full * stride), some)

    def begin_panel(self, panel: Panel, sums: ir.Value, some: Steps) -> None:
        """Emit the start of a panel's sums: in the first chain what the product starts from, in the others zero."""
        first = self.begin_sums(self.tile_at(panel, integer(0), 1), some.more)
        zeros = [ir.Constant(self.vector, None)] * (self.form.sums(panel.vectors) - panel.vectors)
        self.write_all([*first, *zeros], self.places(panel, sums))

    def end_panel(self, panel: Panel, sums: ir.Value, some: Steps) -> None:
        """Emit the end of a panel's sums: the chains added up, the rows that are not in the copy, and the epilogue."""
        tile, (step, _) = self.tile_at(panel, integer(0), 1), self.form.chains(panel.vectors)
        out = self.joined([self.read(place) for place in self.places(panel, sums)], panel.vectors)
        if step > 1:
            whole = self.builder.sub(some.count, self.builder.srem(some.count, integer(step)))
            out = self.inner_loop(out, tile, whole, some.count, 1)
        self.end_sums(out, tile, some.ends)

    def places(self, panel: Panel, sums: ir.Value) -> list[ir.Value]:
        """The addresses of a panel's sums, chain after chain."""
        return [self.ahead(sums, n * self.shape.simd_width) for n in range(self.form.sums(panel.vectors))]

    def part_of_copy(self, offset: int, kind: ir.Type) -> ir.Value:
        """The address of a part of the copy. offset: in elements."""
        return self.builder.bitcast(self.builder.gep(self.copy, [integer(offset)]), kind.as_pointer())

    @property
    def width(self) -> int:
        """The number of elements that a strip's loop adds at once: those of a vector, or of a part of one."""
        return min(self.shape.simd_width, _WIDEST // self.form.size)

    def over_strips(self, some: Steps) -> None:
        """Emit the loop over the strips of a block of rows."""
        builder, form = self.builder, self.form
        first = builder.mul(builder.sdiv(some.begin, integer(self.shape.block)), integer(form.strips))
        table = self.part_of_copy(form.table, _I32)
        row = self.at(self.a, (some.begin, 1))
        with counted(builder, first, builder.add(first, integer(form.strips)), 1) as strip:
            words = builder.gep(table, [builder.mul(strip, integer(form.words))])
            word = [builder.zext(builder.load(builder.gep(words, [integer(n)])), I64) for n in range(form.words)]
            count, begin, *lists = word
            places = [self.segment_at(number) for number in lists]
            sums = self.gathered([self.read(place) for place in places])
            sums = summed(builder, sums, begin, builder.add(begin, count), 1, self.slot_of(row))
            self.write_all(self.scattered(sums), places)

    def segment_at(self, number: ir.Value) -> ir.Value:
        """The address of the sums of a list."""
        kind = ir.VectorType(self.vector.element, self.form.segment).as_pointer()
        return self.builder.gep(self.builder.bitcast(self.scratch, kind), [number])

    def gathered(self, segments: Sums) -> Sums:
        """The vectors that consist of these segments, in order."""
        while segments[0].type.count < self.width:
            width = 2 * segments[0].type.count
            both = ir.Constant(ir.VectorType(_I32, width), list(range(width)))
            pairs = zip(segments[::2], segments[1::2], strict=True)
            segments = [self.builder.shuffle_vector(low, high, both) for low, high in pairs]
        return segments

    def scattered(self, vectors: Sums) -> Sums:
        """The segments of vectors, in order."""
        size, kind = self.form.segment, ir.VectorType(_I32, self.form.segment)
        return [
            self.builder.shuffle_vector(whole, whole, ir.Constant(kind, list(range(start, start + size))))
            for whole in vectors for start in range(0, self.width, size)
        ]  # fmt: skip

    def slot_of(self, row: ir.Value) -> Callable[[ir.Value, Sums], Sums]:
        """What adds a slot to the sums of a strip. row: the address of A's elements."""
        builder, form, width = self.builder, self.form, self.width
        vector = ir.VectorType(self.vector.element, width)
        values, numbers = self.part_of_copy(form.values, vector), self.part_of_copy(form.rows, I64)
        segments, masks = width // form.segment, self.segment_masks()

        def body(slot: ir.Value, sums: Sums) -> Sums:
            here = builder.gep(values, [builder.mul(slot, integer(form.lists // segments))])
            there = builder.gep(numbers, [builder.mul(slot, integer(form.lists // _ROWS_READ))])
            scalars: list[ir.Value] = []
            out = []
            for n, total in enumerate(sums):
                while len(scalars) < segments:
                    word = builder.gep(there, [integer((n * segments + len(scalars)) // _ROWS_READ)])
                    scalars += [builder.load(builder.gep(row, [number])) for number in self.rows_in(word)]
                mine, scalars = scalars[:segments], scalars[segments:]
                out.append(self.fused(self.mixed(mine, masks), self.read(builder.gep(here, [integer(n)])), total))
            return out

        return body

    def rows_in(self, place: ir.Value) -> list[ir.Value]:
        """The rows of some segments. They are read four at a time: loads limit how quick the loop is."""
        builder = self.builder
        word = builder.load(place, align=2)
        shifted = [builder.lshr(word, integer(16 * n)) for n in range(_ROWS_READ)]
        return [builder.zext(builder.trunc(value, _I16), I64) for value in shifted]

    def segment_masks(self) -> list[ir.Value]:
        """The elements of a vector that are of its second segment, of its third, and so on.

        They are compared with numbers of the copy. LLVM would turn constant masks into shuffles, which are slower.
        """
        width, size, scalar = self.width, self.form.segment, self.vector.element
        lanes = ir.Constant(ir.VectorType(scalar, width), [float(lane // size) for lane in range(width)])
        numbers = [self.builder.load(self.part_of_copy(n, scalar)) for n in range(1, width // size)]
        return [self.builder.fcmp_ordered("==", lanes, spread(self.builder, number, width)) for number in numbers]

    def mixed(self, scalars: list[ir.Value], masks: list[ir.Value]) -> ir.Value:
        """The vector with each scalar in a segment of its own."""
        out, *others = [spread(self.builder, scalar, self.width) for scalar in scalars]
        for mask, other in zip(masks, others, strict=True):
            out = self.builder.select(mask, other, out)
        return out


def _emit_finite(builder: ir.IRBuilder, shape: Shape, row: ir.Value) -> ir.Value:
    """Whether all elements of A's row are finite: then all products with zero add up to zero."""
    assert shape.inner is not None
    width, scalar = shape.simd_width, scalar_type(shape.dtype)
    kind = ir.VectorType(scalar, width)
    zero = ir.Constant(kind, None)

    def checked(begin: ir.Value, sums: Sums) -> Sums:
        vector = builder.load(builder.bitcast(builder.gep(row, [begin]), kind.as_pointer()), align=4)
        return [builder.fadd(sums[0], builder.fmul(vector, zero))]

    (check,) = summed(builder, [zero], integer(0), integer(shape.inner - width + 1), width, checked)
    (check,) = checked(integer(shape.inner - width), [check])
    total = builder.extract_element(check, ir.Constant(_I32, 0))
    for lane in range(1, width):
        total = builder.fadd(total, builder.extract_element(check, ir.Constant(_I32, lane)))
    return builder.fcmp_ordered("==", total, ir.Constant(scalar, 0.0))


def _emit_tests(builder: ir.IRBuilder, shape: Shape, function: ir.Function, dense: ir.Block) -> None:
    """Emit the jumps to the block ``dense`` where the sparse copy can't be read."""
    row, rows = function.args[0], function.args[5]
    length, copy = function.args[-2:]
    one_row = ir.Constant(I1, 1) if shape.rows is not None else builder.icmp_signed("==", rows, integer(1))

    def go_on_if(holds: ir.Value) -> None:
        further = function.append_basic_block("further")
        builder.cbranch(holds, further, dense)
        builder.position_at_end(further)

    go_on_if(builder.and_(one_row, builder.icmp_signed(">", length, integer(0))))
    go_on_if(builder.fcmp_ordered("==", builder.load(copy), ir.Constant(copy.type.pointee, 1.0)))
    go_on_if(_emit_finite(builder, shape, row))


def _define(module: ir.Module, shape: Shape, panels: Panels) -> ir.Function:
    """The LLVM function of a product with a sparse copy. Its last arguments: how many elements the copy has, and its
    address."""
    kinds, form = kinds_of_arguments(shape), form_of(shape, panels)
    name = symbol("sparse" if panels is None else f"sparse{panels[0]}to{panels[1]}", shape)
    function, is_new = routine(module, name, [*kinds, I64, kinds[0]], inline=False)
    if is_new:
        function.args[2].add_attribute("noalias")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        vector = ir.VectorType(scalar_type(shape.dtype), shape.simd_width)
        scratch = builder.alloca(vector, form.sums_of_block)
        scratch.align = 64
        dense, given = function.append_basic_block("dense"), function.args[:-2]
        _emit_tests(builder, shape, function, dense)
        _SparseEmitter(
            shape, builder, **addresses(shape, builder, given), copy=function.args[-1], scratch=scratch, form=form
        ).emit()
        builder.position_at_end(dense)
        builder.call(define_product(module, shape), given)
        builder.ret_void()
    return function


@cache
def sparse_product_of(shape: Shape, panels: Panels = None) -> Callable[..., None]:
    """The function of a product of this shape, which takes all panels, with a sparse copy of B behind B's array.

    panels: those of which there is a copy, and which the function is called for: the first, and one past the last; None
    for all. Its arguments are those of ``product_of``, and before the first and last panel the length of B's array and
    the place of the copy in it. An array that ends before has no copy.
    """
    whole = product_of(shape)

    def product(*given: Any) -> None:
        """Write the product, from the whole matrix."""
        whole(*given[:-4], *given[-2:])

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        length, place = values[-4:-2]
        given = operands(shape, builder, [*values[:-4], *values[-2:]])
        rest, copy = builder.sub(length, place), builder.gep(values[2], [place])
        builder.call(_define(builder.module, shape, panels), [*given, rest, copy])

    return teach(product, types_of(shape, types.intp, types.intp), emit)
