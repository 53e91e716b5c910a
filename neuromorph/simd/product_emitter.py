"""Emits the LLVM function of a matrix product. ``matmul.py`` explains the method."""

from __future__ import annotations

from llvmlite import ir

from ..abi.summation import CHAINS, DEEPEST, chains_of, even_heights
from ..host.frozen import frozen
from . import expressions
from .product_shape import (
    Shape,
    row_tiles,
    scalar_type,
    side_by_side,
    tile_rows,
)
from .routines import counted, integer, summed
from .vectors import emit_fma, intrinsic, spread


@frozen
class Steps:
    """Some steps of the inner dimension. more: whether other steps have begun the sums before; ends: whether no steps
    come after. Both are None if these are all steps."""

    begin: ir.Value
    count: ir.Value
    more: ir.Value | None = None
    ends: ir.Value | None = None


@frozen
class Panel:
    """One panel, or neighbours that are ``vectors`` wide together.

    It has the addresses of A, B, C, the bias and the matrix beside C, and the strides of rows of B and C in elements.
    """

    vectors: int
    a: ir.Value
    b: ir.Value
    b_step: int
    c: ir.Value
    c_step: int
    bias: ir.Value | None
    beside: ir.Value


@frozen
class _Tile:
    """Some rows of a panel whose sums are in registers at the same time.

    a, beside: the addresses of its first row. cells: the (row, vector) of each sum. places: the addresses to which the
    sums are stored.
    """

    panel: Panel
    a: ir.Value
    beside: ir.Value
    cells: list[tuple[int, int]]
    places: list[ir.Value]


@frozen
class ProductEmitter:
    """Emits one product as an LLVM function."""

    shape: Shape
    builder: ir.IRBuilder
    a: ir.Value
    b: ir.Value
    c: ir.Value
    bias: ir.Value
    beside: ir.Value
    rows: ir.Value
    inner: ir.Value
    keep: ir.Value
    first: ir.Value
    last: ir.Value

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(scalar_type(self.shape.dtype), self.shape.simd_width)

    def read(self, pointer: ir.Value) -> ir.Value:
        return self.builder.load(pointer, align=4)

    def write(self, value: ir.Value, pointer: ir.Value) -> None:
        self.builder.store(value, pointer, align=4)

    def at(self, pointer: ir.Value, *terms: tuple[ir.Value, int]) -> ir.Value:
        """``pointer`` advanced by the sum of value × literal stride, in elements."""
        builder = self.builder
        for value, stride in terms:
            if isinstance(value, ir.Constant):
                pointer = self.ahead(pointer, value.constant * stride)
            else:
                pointer = builder.gep(pointer, [builder.mul(value, self.steps_of(pointer, stride))])
        return pointer

    def ahead(self, pointer: ir.Value, elements: int) -> ir.Value:
        """``pointer`` advanced by a literal number of elements."""
        return self.builder.gep(pointer, [self.steps_of(pointer, elements)]) if elements else pointer

    def steps_of(self, pointer: ir.Value, elements: int) -> ir.Value:
        """A number of elements in units of the pointer's type: elements, or vectors."""
        if not isinstance(pointer.type.pointee, ir.VectorType):
            return integer(elements)
        vectors, rest = divmod(elements, self.shape.simd_width)
        assert not rest, "rows begin at whole vectors"
        return integer(vectors)

    def fused(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x y + z of each element: one instruction if the processor has it."""
        return emit_fma(self.builder, x, y, z)

    def emit(self) -> None:
        """Emit the whole product: loops over blocks of the inner dimension, panels and row tiles."""
        shape, builder, block = self.shape, self.builder, self.shape.block
        if shape.inner is not None and shape.inner <= block:
            self.over_panels(Steps(integer(0), self.inner))
        else:
            with counted(builder, integer(0), self.inner, block) as begin:
                left = builder.sub(self.inner, begin)
                some = builder.select(builder.icmp_signed("<", left, integer(block)), left, integer(block))
                more = builder.icmp_signed(">", begin, integer(0))
                self.over_panels(Steps(begin, some, more, builder.icmp_signed("==", left, some)))
        builder.ret_void()

    def over_panels(self, some: Steps) -> None:
        shape, builder = self.shape, self.builder
        full, rest = divmod(shape.columns, shape.panel)
        if full:
            stop = builder.select(builder.icmp_signed("<", self.last, integer(full)), self.last, integer(full))
            heights = row_tiles(shape, shape.panel)
            alone = [height for height in heights if side_by_side(shape, height) == 1]
            done = integer(0)
            with counted(builder, self.first, stop, 1) as panel:
                self.over_rows(panel, shape.panel, alone, done, some)
            few = heights[len(alone) :]
            for height in alone if few else ():
                done = self.rows_after(height, done)
            for height in few:
                done = self.over_neighbours(height, done, stop, some)
        if rest:
            mine = builder.and_(
                builder.icmp_signed("<=", self.first, integer(full)),
                builder.icmp_signed(">", self.last, integer(full)),
            )  # an empty range may begin after the last panel
            with builder.if_then(mine):
                self.over_rows(integer(full), rest, row_tiles(shape, rest), integer(0), some)

    def rows_after(self, height: int, done: ir.Value) -> ir.Value:
        """The run-time row at which whole tiles of ``height`` rows end, if they begin at row ``done``."""
        left = self.builder.sub(self.rows, done)
        return self.builder.sub(self.rows, self.builder.srem(left, integer(height)))

    def over_neighbours(self, height: int, done: ir.Value, stop: ir.Value, some: Steps) -> ir.Value:
        """Emit tiles of a few rows, over several full panels at a time, then over the others; the row of their end."""
        shape, builder = self.shape, self.builder
        together = side_by_side(shape, height)
        end = self.rows_after(height, done)
        with builder.if_then(builder.icmp_signed("<", done, end)):
            left = builder.srem(builder.sub(stop, self.first), integer(together))
            middle = builder.sub(stop, left)
            with counted(builder, self.first, middle, together) as panel:
                self.over_rows(panel, together * shape.panel, [height], done, some)
            with counted(builder, middle, stop, 1) as panel:
                self.over_rows(panel, shape.panel, [height], done, some)
        return end

    def over_rows(self, panel: ir.Value, vectors: int, heights: list[int], done: ir.Value, some: Steps) -> None:
        """Emit row tiles, from row ``done`` on, of one panel or of neighbours that are ``vectors`` wide together."""
        shape, mine = self.shape, self.panel_at(panel, vectors, some)
        for height in heights:
            literal = shape.rows is not None
            stop = integer(self.literal_stop(vectors, height)) if literal else self.rows_after(height, done)
            with counted(self.builder, done, stop, height) as row:
                self.emit_tile(self.tile_at(mine, row, height), some)
            done = stop

    def panel_at(self, number: ir.Value, vectors: int, some: Steps) -> Panel:
        """The panel with this number, or several from it on, at the first of some inner steps."""
        shape, stride = self.shape, self.shape.panel * self.shape.simd_width
        width = min(vectors, shape.panel) * shape.simd_width
        if shape.b_row is None:
            assert shape.inner is not None
            b, b_step = self.at(self.b, (number, shape.inner * stride), (some.begin, width)), width
        else:
            b, b_step = self.at(self.b, (number, stride), (some.begin, shape.b_row)), shape.b_row
            if shape.far(shape.b_row):
                b, b_step = self.packed(b, width, some.count), width
        if shape.c_row is None:
            assert shape.rows is not None
            c, c_step = self.at(self.c, (number, shape.rows * stride)), width
        else:
            c, c_step = self.at(self.c, (number, stride)), shape.c_row
        bias = self.at(self.bias, (number, stride)) if shape.start == "bias" else None
        a, beside = self.at(self.a, (some.begin, shape.a_inner)), self.at(self.beside, (number, stride))
        return Panel(vectors, a, b, b_step, c, c_step, bias, beside)

    def tile_at(self, panel: Panel, row: ir.Value, height: int) -> _Tile:
        """The tile of ``height`` rows of a panel, from ``row`` on."""
        shape = self.shape
        a, c = self.at(panel.a, (row, shape.a_row)), self.at(panel.c, (row, panel.c_step))
        beside = self.at(panel.beside, (row, shape.beside_row or 0))
        cells = [(below, v) for below in range(height) for v in range(panel.vectors)]
        places = [self.ahead(c, below * panel.c_step + v * shape.simd_width) for below, v in cells]
        return _Tile(panel, a, beside, cells, places)

    def packed(self, b: ir.Value, width: int, count: ir.Value) -> ir.Value:
        """Emit a copy of some rows of a panel to the stack, without gaps between rows; its address."""
        builder, shape = self.builder, self.shape
        assert shape.b_row is not None
        with builder.goto_entry_block():
            place = builder.alloca(self.vector, shape.block * width // shape.simd_width)
            place.align = 64
        with counted(builder, integer(0), count, 1) as row:
            source, target = self.at(b, (row, shape.b_row)), self.at(place, (row, width))
            for ahead in range(0, width, shape.simd_width):
                self.write(self.read(self.ahead(source, ahead)), self.ahead(target, ahead))
        return place

    def fetch_ahead(self, column_of_a: ir.Value, ahead: int, height: int) -> None:
        """Emit prefetches of the elements of A that the tile after the next one reads at an inner step."""
        builder, shape = self.builder, self.shape
        number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        prefetch = intrinsic(builder.module, "llvm.prefetch.p0", ir.VoidType(), [byte, number, number, number])
        place = self.ahead(column_of_a, ahead * shape.a_inner + 2 * height * shape.a_row)
        reading, nearest, data = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(prefetch, [builder.bitcast(place, byte), reading, nearest, data])

    def literal_stop(self, vectors: int, height: int) -> int:
        """The row at which the tiles of ``height`` rows end, for a literal number of rows."""
        rows = self.shape.rows
        assert rows is not None
        heights = row_tiles(self.shape, vectors)
        if len(heights) == 1 or height == heights[1]:
            return rows
        _, more = even_heights(rows, tile_rows(self.shape.registers, vectors))
        return more * heights[0]

    def emit_tile(self, tile: _Tile, some: Steps) -> None:
        """Emit one tile: its sums over some inner steps."""
        shape = self.shape
        sums = self.begin_sums(tile, some.more)
        literal = shape.inner if shape.inner is not None and shape.inner <= shape.block else None
        if shape.ranges > 1:
            sums = self.over_ranges(sums, tile, some.count)
        elif literal is not None and literal <= DEEPEST and literal * len(tile.cells) <= shape.written_out:
            for k in range(literal):
                sums = self.step(sums, tile, integer(k), 0)
        else:
            sums = self.over_inner(sums, tile, integer(0), some.count)
        self.end_sums(sums, tile, some.ends)

    def end_sums(self, sums: list[ir.Value], tile: _Tile, ends: ir.Value | None) -> None:
        """Emit the stores of a tile's sums; if they are complete, the results of the epilogue are stored instead."""
        if not self.shape.epilogue:
            self.write_all(sums, tile.places)
            return
        if ends is None:
            self.write_all(self.ended(sums, tile), tile.places)
            return
        with self.builder.if_else(ends) as (whole, partial):
            with whole:
                self.write_all(self.ended(sums, tile), tile.places)
            with partial:
                self.write_all(sums, tile.places)

    def write_all(self, values: list[ir.Value], places: list[ir.Value]) -> None:
        for value, place in zip(values, places, strict=True):
            self.write(value, place)

    def ended(self, sums: list[ir.Value], tile: _Tile) -> list[ir.Value]:
        """The results of the epilogue for a tile's sums."""
        builder, shape, out = self.builder, self.shape, []
        for total, (row, v) in zip(sums, tile.cells, strict=True):
            names = {"x": total}
            if shape.beside_row is not None:
                place = row * shape.beside_row + v * shape.simd_width
                names["y"] = self.read(self.ahead(tile.beside, place))
            out.append(expressions.emit(builder, shape.epilogue, names))
        return out

    def begin_sums(self, tile: _Tile, more: ir.Value | None) -> list[ir.Value]:
        """The initial values of a tile's sums: zero, the bias, or the numbers that are stored already."""
        builder, start = self.builder, self.shape.start
        zero = ir.Constant(self.vector, None)
        if start == "add":
            return [self.read(place) for place in tile.places]
        if (bias := tile.panel.bias) is not None:
            ahead = {v: self.read(self.ahead(bias, v * self.shape.simd_width)) for _, v in tile.cells}
            fresh = [ahead[v] for _, v in tile.cells]
        else:
            fresh = [zero] * len(tile.cells)
        flag = self.keep if start == "keep" else None
        if more is not None:
            flag = more if flag is None else builder.or_(flag, more)
        if flag is None:
            return fresh
        before = builder.block
        with builder.if_then(flag):
            held = [self.read(place) for place in tile.places]
            inside = builder.block
        sums = []
        for new, old in zip(fresh, held, strict=True):
            phi = builder.phi(self.vector)
            phi.add_incoming(new, before)
            phi.add_incoming(old, inside)
            sums.append(phi)
        return sums

    def over_inner(self, sums: list[ir.Value], tile: _Tile, start: ir.Value, stop: ir.Value) -> list[ir.Value]:
        """The sums after a loop over some inner steps, a few steps at a time if the tile is small.

        In a tile of few sums, each addition would wait for the one before. So such a tile has several chains of sums.
        """
        shape, size = self.shape, len(tile.cells)
        unroll, chains = max(1, min(8, shape.unrolled // size)), 1
        if shape.rows is not None:
            unroll, chains = chains_of(size, shape.inner) or (unroll, 1)
        zero = ir.Constant(self.vector, None)
        count = self.builder.sub(stop, start)
        whole = self.builder.sub(stop, self.builder.srem(count, integer(unroll)))
        literal = shape.inner if shape.ranges == 1 and shape.inner is not None and shape.inner <= shape.block else None
        even = unroll == 1 or (literal is not None and literal % unroll == 0)
        wide = sums + [zero] * (size * (chains - 1))
        sums = self.joined(self.inner_loop(wide, tile, start, whole, unroll), size)
        return sums if even else self.inner_loop(sums, tile, whole, stop, 1)

    def joined(self, wide: list[ir.Value], size: int) -> list[ir.Value]:
        """The ``size`` sums of several chains of as many sums each: added up half to half."""
        while len(wide) > size:
            half = len(wide) // 2
            wide = [self.builder.fadd(x, y) for x, y in zip(wide[:half], wide[half:], strict=True)]
        return wide

    def over_ranges(self, sums: list[ir.Value], tile: _Tile, count: ir.Value) -> list[ir.Value]:
        """The sums over the inner dimension in several ranges. Each range is summed separately, then their sums are
        added from the first to the last. A small tile sums all ranges side by side, others one after the other."""
        builder, ranges = self.builder, self.shape.ranges
        zeros = [ir.Constant(self.vector, None)] * len(tile.cells)
        length = builder.sdiv(count, integer(ranges))

        def one_range(number: ir.Value, whole: list[ir.Value]) -> list[ir.Value]:
            start = builder.mul(number, length)
            is_last = builder.icmp_signed("==", number, integer(ranges - 1))
            stop = builder.select(is_last, count, builder.add(start, length))
            return self.added(whole, self.over_inner(zeros, tile, start, stop))

        if len(tile.cells) * ranges > CHAINS:
            return summed(self.builder, sums, integer(0), integer(ranges), 1, one_range)
        starts = [builder.mul(length, integer(n)) for n in range(ranges)]
        parts = self.at_once([zeros] * ranges, tile, starts, length)
        done = builder.mul(length, integer(ranges))
        parts[-1] = self.inner_loop(parts[-1], tile, done, count, 1)
        for part in parts:
            sums = self.added(sums, part)
        return sums

    def added(self, sums: list[ir.Value], more: list[ir.Value]) -> list[ir.Value]:
        """The sums ``sums`` with ``more`` added to them."""
        return [self.builder.fadd(x, y) for x, y in zip(sums, more, strict=True)]

    def at_once(
        self, parts: list[list[ir.Value]], tile: _Tile, starts: list[ir.Value], length: ir.Value
    ) -> list[list[ir.Value]]:
        """The sums of several ranges after ``length`` inner steps of each, done side by side."""
        size = len(tile.cells)

        def one_step_each(k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            for n, start in enumerate(starts):
                mine, place = slice(n * size, (n + 1) * size), self.builder.add(k, start)
                sums[mine] = self.step(sums[mine], tile, place, 0)
            return sums

        sums = summed(self.builder, [value for part in parts for value in part], integer(0), length, 1, one_step_each)
        return [sums[n * size : (n + 1) * size] for n in range(len(parts))]

    def inner_loop(
        self, sums: list[ir.Value], tile: _Tile, start: ir.Value, stop: ir.Value, unroll: int
    ) -> list[ir.Value]:
        """The sums after a loop of ``unroll`` inner steps at a time, which are added to the chains of sums in turn."""
        chains, size = len(sums) // len(tile.cells), len(tile.cells)

        def some_steps(k: ir.Value, fresh: list[ir.Value]) -> list[ir.Value]:
            for ahead in range(unroll):
                mine = slice(ahead % chains * size, (ahead % chains + 1) * size)
                fresh[mine] = self.step(fresh[mine], tile, k, ahead)
            return fresh

        return summed(self.builder, sums, start, stop, unroll, some_steps)

    def step(self, sums: list[ir.Value], tile: _Tile, k: ir.Value, ahead: int) -> list[ir.Value]:
        """The sums after one inner step: B's vectors times A's scalars are added."""
        shape, builder, cells, b_step = self.shape, self.builder, tile.cells, tile.panel.b_step
        row_of_b, column_of_a = self.at(tile.panel.b, (k, b_step)), self.at(tile.a, (k, shape.a_inner))
        right = {
            v: self.read(self.ahead(row_of_b, ahead * b_step + self.across(v))) for v in sorted({v for _, v in cells})
        }
        if shape.far(shape.a_inner):
            self.fetch_ahead(column_of_a, ahead, len(cells) // len(right))
        left = {}
        for row in sorted({row for row, _ in cells}):
            scalar = builder.load(self.ahead(column_of_a, row * shape.a_row + ahead * shape.a_inner))
            left[row] = spread(builder, scalar, shape.simd_width)
        return [self.fused(left[row], right[v], total) for total, (row, v) in zip(sums, cells, strict=True)]

    def across(self, vector: int) -> int:
        """The offset of a tile's vector in a row of B, in elements. It may be in a neighbour of the panel."""
        shape = self.shape
        if shape.b_row is not None:
            return vector * shape.simd_width
        assert shape.inner is not None
        panel, inside = divmod(vector, shape.panel)
        return panel * shape.inner * shape.panel * shape.simd_width + inside * shape.simd_width
