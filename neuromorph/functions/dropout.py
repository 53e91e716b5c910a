"""The masks of dropout, which say which components are kept. They are computed from counters, not drawn by a generator.

A mask depends only on the model's dropout key, the number of updates so far, the node, the row of the window and the
component. So it is the same for any number of threads and any SIMD width. The functions here are the definition;
``neuromorph.simd`` computes the same in kernels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEYS = 1 << 53  # a key is a whole number below this, so that a float64 holds it exactly
STEPS = 1 << 24  # a component is dropped if its 24-bit number is below rate * STEPS

WORD = 0xFFFFFFFF
FIRST, SECOND = 0x3C6EF372, 0x1B873593  # salts that make the two words of a pair differ
MIXING = ((16, 0x21F0AAAD), (15, 0x735A2D97))  # (shift, factor); the product of a factor and a word fits into 63 bits
LAST_SHIFT = 15


def mixed(x: int) -> int:
    """A 32-bit hash of ``x``: each bit depends on all bits of ``x`` (after Ettinger's lowbias32)."""
    for shift, factor in MIXING:
        x = ((x ^ (x >> shift)) * factor) & WORD
    return x ^ (x >> LAST_SHIFT)


def noise_of(key: int, updates: int) -> int:
    """The 63-bit number from which the masks of one update are computed."""
    low = mixed(mixed(mixed((key & WORD) ^ FIRST) ^ (key >> 32)) ^ (updates & WORD))
    high = mixed(mixed(mixed((key & WORD) ^ SECOND) ^ (key >> 32)) ^ (updates & WORD))
    return low | (high >> 1) << 32


def row_noise(noise: int, node: int, row: int) -> tuple[int, int]:
    """The two 32-bit numbers from which the mask of one row is computed."""
    first = mixed(mixed((noise & WORD) ^ node) ^ (row & WORD))
    return first, mixed(mixed((noise >> 32) ^ node ^ SECOND) ^ (row & WORD))


def threshold(rate: float) -> int:
    """A component is dropped if its 24-bit number is below this."""
    return round(rate * STEPS)


def mask(noise: int, node: int, rows: NDArray[np.intp], width: int, rate: float) -> NDArray[np.float64]:
    """The factors (rows, width) for some rows of a window: 0 where a component is dropped, else 1 / (1 - rate)."""
    pairs = [row_noise(noise, node, int(row)) for row in rows]
    first, second = (np.array([pair[k] for pair in pairs], np.uint32)[:, None] for k in (0, 1))
    x = _mixed(np.arange(width, dtype=np.uint32) * np.uint32(0x9E3779B9) + first)
    kept = (_mixed(x ^ second) >> np.uint32(8)) >= threshold(rate)
    return kept / (1.0 - rate)


def _mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """``mixed`` of every number of an array."""
    for shift, factor in MIXING:
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(LAST_SHIFT))
