"""The shape of a matrix product: its layouts, and the tiles and blocks in which it is computed."""

from __future__ import annotations

from llvmlite import ir

from ..abi.summation import CHAINS, PANEL_BLOCK, ROW_BLOCK, even_heights, ranges_of
from ..host.frozen import frozen

SMALL, LARGE = 64, 1024  # vectors that a row of A is multiplied by: a product of few is quick however it is compiled;
# for a product of many, a few per cent of run time count more than the time of compiling
FEW_HEIGHTS = (8, 4, 1)
FEW_SUMS = 512  # vectors of a small C, for an inner dimension that is known only at run time
UNROLLED = 64  # multiply-adds at most of a tile that is written out without a loop
MANY_ROWS = 96  # rows at least of a C whose many tiles read the same rows of B again and again
FAR = 1024  # bytes at least between rows that are slow to read, because the processor does not prefetch the next one


def scalar_type(dtype: str) -> ir.Type:
    """The LLVM type of one element."""
    return ir.FloatType() if dtype == "float32" else ir.DoubleType()


@frozen
class Shape:
    """The literal shape of a product C = start + A B.

    simd_width: elements of a vector. rows, inner: numbers, or None if known only at run time; inner is never 0.
    columns: vectors in a row of C. panel: vectors in a panel. Strides are in elements, those of B, C and the matrix
    beside C are whole vectors: a_row, a_inner: of A. b_row: of B's rows, or None if B is in panels (inner literal).
    c_row: of C's rows, or None if C is in panels (rows literal). start: "zero", "add" (to the numbers in C), "bias" (a
    vector added to every row), "keep" ("add" if a run-time flag is set, else "zero"). registers: the processor's vector
    registers. epilogue: an expression of ``simd.expressions`` whose result is stored in place of the sums x; it may
    also read the elements y of a row matrix beside C, with the stride beside_row (C in rows).
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
        """The number of panels in a row of C, with a narrower last one."""
        return -(-self.columns // self.panel)

    @property
    def block(self) -> int:
        """The number of inner steps that all tiles do before any of them does the next ones."""
        return PANEL_BLOCK if self.b_row is None else ROW_BLOCK

    def panel_offset(self, panel: int, depth: int) -> int:
        """The offset of a panel in a matrix with ``depth`` rows, in elements."""
        return panel * depth * self.panel * self.simd_width

    @property
    def steps(self) -> int:
        """The work of a row of C: inner steps times vectors of the row, for a literal inner dimension."""
        assert self.inner is not None
        return self.inner * self.columns

    @property
    def written_out(self) -> int:
        """The most multiply-adds of a tile that is written out without a loop."""
        is_quick = self.inner is not None and (self.rows is not None or self.steps <= SMALL)
        return UNROLLED if is_quick else 0

    @property
    def unrolled(self) -> int:
        """The number of multiply-adds in the body of a tile's loop over the inner dimension. With half as many, code is
        a few per cent slower and compiles much sooner, which is better for products of medium size."""
        literal, most = (self.rows, FEW_SUMS) if self.inner is None else (self.inner, LARGE)
        assert literal is not None
        return 16 if SMALL < literal * self.columns <= most else 32

    def far(self, stride: int | None) -> bool:
        """Whether rows of a matrix are read by many tiles and so far apart that a copy or a prefetch pays."""
        size = 4 if self.dtype == "float32" else 8
        is_read_often = self.inner is None and self.rows is not None and self.rows >= MANY_ROWS
        return is_read_often and stride is not None and stride * size >= FAR

    @property
    def ranges(self) -> int:
        """The number of equal ranges of (a block of) the inner dimension that are summed separately.

        With several ranges, a row of few columns has enough independent sums. The number is the same for every tile,
        so that a row's result does not depend on its tile.
        """
        if self.rows is not None:
            return 1
        assert self.inner is not None, "rows or the inner dimension are literal"
        return ranges_of(self.columns, self.inner)

    def panel_width(self, panel: int) -> int:
        """The number of elements in a row of a panel."""
        return min(self.panel, self.columns - panel * self.panel) * self.simd_width


def tile_rows(registers: int, vectors: int) -> int:
    """The most rows of a tile ``vectors`` wide whose sums fit into the registers, beside B's vectors and one of A's."""
    return max(1, min(12, (registers - vectors - 1) // vectors))


def side_by_side(shape: Shape, height: int) -> int:
    """The number of panels that a tile of a few run-time rows takes together, to have enough independent sums."""
    if shape.rows is not None or shape.columns < CHAINS or shape.b_row is not None:
        return 1
    return max(1, CHAINS // (height * shape.panel))


def row_tiles(shape: Shape, vectors: int) -> list[int]:
    """The heights of the row tiles, largest first: for literal rows as even as possible, else the full height and its
    halves, of which a small product has only some."""
    most = tile_rows(shape.registers, vectors)
    if shape.rows is not None:
        low, more = even_heights(shape.rows, most)
        return sorted({low, low + 1} if more else {low}, reverse=True)
    heights = [most]
    size = 1 << (most.bit_length() - 1)
    while size:
        if size < most:
            heights.append(size)
        size //= 2
    few = FEW_HEIGHTS if shape.steps <= SMALL else (most, 4, 1) if shape.steps <= LARGE else heights
    return [height for height in heights if height in few]
