"""The masks of dropout: which components are kept, by a counter and not by a generator that has a state.

A mask depends on the model's dropout key, the number of updates so far, the node, the row of the window and the
component, and on nothing else. So it is the same on any number of threads and for any SIMD width. The functions here
define it; ``neuromorph.simd`` computes the same in kernels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEYS = 1 << 53  # a key is a whole number below, which a float64 holds exactly
STEPS = 1 << 24  # a component is dropped where its number of 24 bits is below rate * STEPS

WORD = 0xFFFFFFFF
FIRST, SECOND = 0x3C6EF372, 0x1B873593  # what tells the two words of a pair apart
MIXING = ((16, 0x21F0AAAD), (15, 0x735A2D97))  # no product of them and a word leaves 63 bits
LAST_SHIFT = 15


def mixed(x: int) -> int:
    """A number of 32 bits, each bit of which depends on all bits of what was given (after Ettinger's lowbias32)."""
    for shift, factor in MIXING:
        x = ((x ^ (x >> shift)) * factor) & WORD
    return x ^ (x >> LAST_SHIFT)


def noise_of(key: int, updates: int) -> int:
    """What the masks of one update depend on, a number of 63 bits."""
    low = mixed(mixed(mixed((key & WORD) ^ FIRST) ^ (key >> 32)) ^ (updates & WORD))
    high = mixed(mixed(mixed((key & WORD) ^ SECOND) ^ (key >> 32)) ^ (updates & WORD))
    return low | (high >> 1) << 32


def row_noise(noise: int, node: int, row: int) -> tuple[int, int]:
    """What the mask of one row depends on: two numbers of 32 bits."""
    first = mixed(mixed((noise & WORD) ^ node) ^ (row & WORD))
    return first, mixed(mixed((noise >> 32) ^ node ^ SECOND) ^ (row & WORD))


def threshold(rate: float) -> int:
    """Of the numbers of 24 bits, how many drop a component."""
    return round(rate * STEPS)


def mask(noise: int, node: int, rows: NDArray[np.intp], width: int, rate: float) -> NDArray[np.float64]:
    """The factors (rows, width) of some rows of a window: 0 where a component is dropped, else 1 / (1 - rate)."""
    pairs = [row_noise(noise, node, int(row)) for row in rows]
    first, second = (np.array([pair[k] for pair in pairs], np.uint32)[:, None] for k in (0, 1))
    x = _mixed(np.arange(width, dtype=np.uint32) * np.uint32(0x9E3779B9) + first)
    kept = (_mixed(x ^ second) >> np.uint32(8)) >= threshold(rate)
    return kept / (1.0 - rate)


def _mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """``mixed`` of many numbers."""
    for shift, factor in MIXING:
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(LAST_SHIFT))
