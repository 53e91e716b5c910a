"""The shape of a matrix product: its layouts, and the tiles and blocks that it is cut into."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from .routines import CHAINS

INNER_BLOCK = 512  # rows of a panel that stay in the first-level cache while the tiles pass over them
ROW_BLOCK = 128  # rows of a matrix in rows that do: each of them has a line of its own, or two, and maybe a page
SMALL, LARGE = 64, 1024  # vectors that a row of A is multiplied by: a product of few is quick whatever is compiled, and
# of many, a few per cent count more than compiling
FEW_HEIGHTS = (8, 4, 1)
FEW_SUMS = 512  # vectors of a C that is small, where the inner dimension is known at run time
UNROLLED = 64  # multiply-adds of a tile that is written out whole
DEEPEST = 16  # inner steps of such a tile: each of its sums is one chain of as many additions
MANY_ROWS = 96  # rows of a C whose many tiles read the same rows of B again and again
FAR = 1024  # bytes from row to row of a matrix that is slow to read: the machine does not foresee where the next one is
SHORTEST_RANGE = 32  # inner steps that are worth a sum of their own


def scalar_type(dtype: str) -> ir.Type:
    """The LLVM type of one number."""
    return ir.FloatType() if dtype == "float32" else ir.DoubleType()


@dataclass(frozen=True)
class Shape:
    """The literal shape of a product C = start + A B.

    rows, inner: numbers, or None where known at run time; inner is never 0. columns: vectors in a row of C. panel:
    vectors in a panel.
    a_row, a_inner: strides of A in elements. b_row: stride of a row of B, or None where B is in panels (inner literal).
    c_row: stride of a row of C, or None where C is in panels (rows literal). Those of B, C and what is beside C are
    whole vectors. start: "zero", "add" (to what C holds),
    "bias" (a vector added to every row), "keep" (add where a run-time flag says so, else zero).
    registers: vector registers of the machine. epilogue: an expression of ``simd.expressions`` that is stored in place
    of the sums x; it may also read the elements y of a row matrix beside C, whose stride is beside_row (C in rows).
    """

    dtype: str
    simd_width: int
    rows: int | None
    inner: int | None
    columns: int
    panel: int
    a_row: int
    a_inner: int
    b_row: int | None
    c_row: int | None
    start: str
    registers: int = 16
    epilogue: str = ""
    beside_row: int | None = None

    @property
    def panels(self) -> int:
        """Panels in a row of C, a narrower last one included."""
        return -(-self.columns // self.panel)

    @property
    def block(self) -> int:
        """Inner steps that the tiles pass over before they go on to the next ones."""
        return INNER_BLOCK if self.b_row is None else ROW_BLOCK

    def panel_offset(self, panel: int, depth: int) -> int:
        """Where a panel of a matrix with ``depth`` rows begins."""
        return panel * depth * self.panel * self.simd_width

    @property
    def steps(self) -> int:
        """Inner steps times vectors in a row of C, for a literal inner dimension: how much work a row of C is."""
        assert self.inner is not None
        return self.inner * self.columns

    @property
    def written_out(self) -> int:
        """Multiply-adds of a tile that is written out whole."""
        is_quick = self.inner is not None and (self.rows is not None or self.steps <= SMALL)
        return UNROLLED if is_quick else 0

    @property
    def unrolled(self) -> int:
        """Multiply-adds of a tile that are written out in a loop over the inner dimension. Half as many are a few per
        cent slower and compile much sooner, which is better for products of medium size."""
        literal, most = (self.rows, FEW_SUMS) if self.inner is None else (self.inner, LARGE)
        assert literal is not None
        return 16 if SMALL < literal * self.columns <= most else 32

    def far(self, stride: int | None) -> bool:
        """Whether rows of a matrix that many tiles read are so far apart that a copy or a prefetch pays."""
        size = 4 if self.dtype == "float32" else 8
        is_read_often = self.inner is None and self.rows is not None and self.rows >= MANY_ROWS
        return is_read_often and stride is not None and stride * size >= FAR

    @property
    def ranges(self) -> int:
        """Equal ranges of (a block of) the inner dimension that are summed up each on its own, so that one row of few
        columns has sums that do not wait for each other. The same for every tile, where rows have to be equal."""
        ranges = 1
        if self.rows is None:
            assert self.inner is not None, "rows or the inner dimension are literal"
            while 2 * ranges * self.columns <= CHAINS and 2 * ranges * SHORTEST_RANGE <= self.inner:
                ranges *= 2
        return ranges

    def panel_width(self, panel: int) -> int:
        """Elements in a row of a panel."""
        return min(self.panel, self.columns - panel * self.panel) * self.simd_width


def tile_rows(registers: int, vectors: int) -> int:
    """The most rows of a tile ``vectors`` wide that fit the register file beside B's vectors and one of A's."""
    return max(1, min(12, (registers - vectors - 1) // vectors))


def side_by_side(shape: Shape, height: int) -> int:
    """Panels that a tile of a few run-time rows takes together, so that its sums do not wait for each other."""
    if shape.rows is not None or shape.columns < CHAINS or shape.b_row is not None:
        return 1
    return max(1, CHAINS // (height * shape.panel))


def row_tiles(shape: Shape, vectors: int) -> list[int]:
    """Heights of the row tiles, largest first: for literal rows as even as can be, else a full one and halves of it, of
    which a small product has only some."""
    most = tile_rows(shape.registers, vectors)
    if shape.rows is not None:
        count = -(-shape.rows // most)
        low, more = divmod(shape.rows, count)
        return sorted({low, low + 1} if more else {low}, reverse=True)
    heights = [most]
    size = 1 << (most.bit_length() - 1)
    while size:
        if size < most:
            heights.append(size)
        size //= 2
    few = FEW_HEIGHTS if shape.steps <= SMALL else (most, 4, 1) if shape.steps <= LARGE else heights
    return [height for height in heights if height in few]
