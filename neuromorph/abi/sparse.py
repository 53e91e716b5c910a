"""Sparse copies of frozen matrices: what products read in place of a matrix with many zeros.

A *segment* is four columns of one row, or a whole vector if that is narrower. A copy holds the segments that are not
all zero. A product C = start + A B of one row sums up every column in one or several chains (``summation.py``). For
each segment of columns and each chain there is one *list*: the segments of B that the chain adds, from the first row to
the last. So every sum is that of the whole matrix, bit for bit, but for the sign of a zero: it leaves out additions of
zero alone.

Lists of about equal length make a *strip*, as many as fit into ``ACCUMULATORS`` vectors. A strip is summed up slot by
slot: its slot n has the n-th segment of each of its lists, and the row of each. Shorter lists go on with zeros.

A copy is one range of an array of floating-point numbers:

- ``HEAD`` numbers: 1 if the copy is complete, and else 0; then 1, 2 and so on, the numbers of a vector's segments;
- a table of 32-bit words. For each block of rows and each strip it has the number of slots, the first slot, and the
  numbers of the lists;
- the segments of all slots, in whole vectors;
- the rows of all slots, counted from the first row of the block, as 16-bit words.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..host.frozen import frozen
from .summation import CHAINS, PANEL_BLOCK, chains_of

Floats = NDArray[Any]
ACCUMULATORS = CHAINS  # vectors of a strip
HEAD = 16  # numbers before the table; every part begins at a multiple of it, which is a cache line or two
WIDEST = 4  # elements of a segment at most
FULLEST = 2  # a copy of more than one vector for this many of the matrix would be slower than the matrix


def _whole(elements: int) -> int:
    return -(-elements // HEAD) * HEAD


@frozen
class SparseForm:
    """The form of a sparse copy of a matrix in panels, or of some of its panels.

    size: bytes of an element. simd_width: elements of a vector. inner: the rows of the matrix. columns: vectors in a
    row of what is copied. panel: vectors in a panel. chained: whether each sum has the chains of a product of one
    literal row, else it has one chain. first: the first panel that is copied.
    """

    size: int
    simd_width: int
    inner: int
    columns: int
    panel: int
    chained: bool
    first: int = 0

    def of_panels(self, first: int, last: int) -> SparseForm:
        """The form of a copy of the panels from ``first`` to one before ``last``; this one is of the whole matrix."""
        columns = min(last * self.panel, self.columns) - first * self.panel
        return replace(self, columns=columns, first=first)

    @property
    def segment(self) -> int:
        """The number of elements of a segment."""
        return min(WIDEST, self.simd_width)

    @property
    def segments(self) -> int:
        """The number of segments of a vector."""
        return self.simd_width // self.segment

    @property
    def lists(self) -> int:
        """The number of lists in a strip."""
        return ACCUMULATORS * self.segments

    def chains(self, vectors: int) -> tuple[int, int]:
        """Rows at a time and chains, in a panel of so many vectors. The rows after the last whole group of rows are
        not in the copy."""
        found = chains_of(vectors, self.inner) if self.chained else None
        return found or (1, 1)

    def sums(self, vectors: int) -> int:
        """The number of sums, in vectors, of a panel of so many vectors."""
        return vectors * self.chains(vectors)[1]

    @property
    def strips(self) -> int:
        """The number of strips of a block of rows."""
        full, rest = divmod(self.columns, self.panel)
        return -(-(full * self.sums(self.panel) + self.sums(rest)) // ACCUMULATORS)

    @property
    def sums_of_block(self) -> int:
        """The number of sums of all strips of a block, in vectors, with those of lists that are always empty."""
        return self.strips * ACCUMULATORS

    @property
    def blocks(self) -> int:
        """The number of blocks of rows."""
        return -(-self.inner // PANEL_BLOCK)

    @property
    def words(self) -> int:
        """The number of words of a strip in the table."""
        return 2 + self.lists

    @property
    def slots(self) -> int:
        """The number of slots that fit."""
        return self.inner * self.columns // (FULLEST * ACCUMULATORS)

    @property
    def table(self) -> int:
        """The offset of the table, in elements."""
        return HEAD

    @property
    def values(self) -> int:
        """The offset of the segments, in elements."""
        return self.table + _whole(-(-self.blocks * self.strips * self.words * 4 // self.size))

    @property
    def rows(self) -> int:
        """The offset of the rows, in elements."""
        return self.values + _whole(self.slots * ACCUMULATORS * self.simd_width)

    @property
    def elements(self) -> int:
        """The size of a copy, in elements."""
        return self.rows + _whole(-(-self.slots * self.lists * 2 // self.size))


def write_sparse(form: SparseForm, matrix: Floats, copy: Floats) -> None:
    """Write the sparse copy of a matrix (inner, all elements of a row). Where too few segments are zero, say so in its
    head."""
    begin = form.first * form.panel
    matrix = np.ascontiguousarray(matrix[:, begin * form.simd_width : (begin + form.columns) * form.simd_width])
    copy[:HEAD] = 0.0, *range(1, HEAD)
    copy[HEAD:] = 0.0
    used = 0
    for number in range(form.blocks):
        block = matrix[number * PANEL_BLOCK : (number + 1) * PANEL_BLOCK]
        used = _write_block(form, number, block.reshape(len(block), -1, form.segment), used, copy)
        if used > form.slots:
            return
    copy[0] = 1.0


def _write_block(form: SparseForm, number: int, block: Floats, used: int, copy: Floats) -> int:
    """Write a block (rows, segments of a row, elements of a segment) to the slots after the first ``used`` ones.

    Returns the number of slots in use, and writes none if they do not fit.
    """
    row, segment, chosen = _listed(form, block)
    counts = np.bincount(chosen, minlength=form.strips * form.lists)
    order = np.argsort(-counts, kind="stable")  # the lists of a strip are about equally long
    lengths = counts[order][:: form.lists]
    first = used + np.cumsum(lengths) - lengths
    used += int(lengths.sum())
    if used > form.slots:
        return used
    _table(form, copy)[number] = np.column_stack([lengths, first, order.reshape(form.strips, form.lists)])
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    strip, lane = np.divmod(place[chosen], form.lists)
    slot = first[strip] + np.arange(len(chosen)) - (np.cumsum(counts) - counts)[chosen]
    _values(form, copy)[slot, lane], _rows(form, copy)[slot, lane] = block[row, segment], row
    return used


def _table(form: SparseForm, copy: Floats) -> NDArray[np.uint32]:
    words = copy[form.table : form.values].view(np.uint32)
    return words[: form.blocks * form.strips * form.words].reshape(form.blocks, form.strips, form.words)


def _values(form: SparseForm, copy: Floats) -> Floats:
    flat = copy[form.values : form.rows][: form.slots * ACCUMULATORS * form.simd_width]
    return flat.reshape(form.slots, form.lists, form.segment)


def _rows(form: SparseForm, copy: Floats) -> NDArray[np.uint16]:
    words = copy[form.rows : form.elements].view(np.uint16)
    return words[: form.slots * form.lists].reshape(form.slots, form.lists)


def _listed(form: SparseForm, block: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The row, the segment of columns and the list of each segment of a block that is not all zero, by lists."""
    row, segment = np.nonzero((block != 0).any(axis=2))
    vector, inside = np.divmod(segment, form.segments)
    panel, column = np.divmod(vector, form.panel)
    full, rest = divmod(form.columns, form.panel)
    (step, chains), (last_step, last_chains) = form.chains(form.panel), form.chains(rest)
    last = panel == full  # the rest of the columns, in a narrower panel
    steps, vectors = np.where(last, last_step, step), np.where(last, rest, form.panel)
    sums = panel * form.sums(form.panel) + row % np.where(last, last_chains, chains) * vectors + column
    chosen = sums * form.segments + inside
    kept = np.flatnonzero(row < len(block) - len(block) % steps)
    kept = kept[np.argsort(chosen[kept], kind="stable")]
    return row[kept], segment[kept], chosen[kept]
