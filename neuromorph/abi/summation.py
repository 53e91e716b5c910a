"""The order in which the sums of a matrix product are added up.

A model's own kernel and the machine add in the same order. A product is cut into tiles of some
rows and some vectors of columns; the elements of a tile are summed up side by side, in registers. A tile of few vectors
would wait for each addition: it keeps several sums, chains, of which each takes every second, fourth or eighth step.
"""

from __future__ import annotations

CHAINS = 8  # sums that are added to independently, so that no addition waits for the one before
DEEPEST = 16  # inner steps up to which each sum is one chain
SHORTEST_RANGE = 32  # inner steps that are worth a sum of their own
PANEL_BLOCK = 512  # rows of a panel of B that the tiles pass over before they go on to the next ones
ROW_BLOCK = 128  # the same of a B in rows: each of them has a line of its own, or two, and maybe a page

_FEW = {1: (8, 8), 2: (8, 4), 3: (4, 2), 4: (4, 2)}  # by vectors of a tile: inner steps at a time, chains


def chains_of(vectors: int, inner: int | None) -> tuple[int, int] | None:
    """Inner steps at a time and chains of a tile of so many vectors, in a product whose rows are a literal number.

    inner: the inner steps, or None if they are known at run time only. None: each sum is one chain.
    """
    return None if inner is not None and inner <= DEEPEST else _FEW.get(vectors)


def ranges_of(columns: int, inner: int) -> int:
    """Equal ranges of the inner steps that are summed up each on its own, in a product whose rows are known at run time
    only. It depends on no number of rows, so that a row's sums don't. columns: vectors in a row."""
    ranges = 1
    while 2 * ranges * columns <= CHAINS and 2 * ranges * SHORTEST_RANGE <= inner:
        ranges *= 2
    return ranges


def widest_panel(registers: int) -> int:
    """The most vectors of a panel, for a processor with so many vector registers."""
    return 4 if registers >= 32 else 3


def even_heights(rows: int, most: int) -> tuple[int, int]:
    """Divides rows evenly among as few tiles as possible, of at most ``most`` rows each.

    Returns the rows of a low tile, and the number of tiles that are one row taller.

    >>> even_heights(7, 4)
    (3, 1)
    """
    return divmod(rows, -(-rows // most))
