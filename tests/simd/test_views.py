"""Parts of arrays, and arrays by their addresses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from neuromorph import simd


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
def test_views_of_arrays(jit: bool) -> None:
    def look(array: Any, like: Any, found: Any) -> None:
        behind = simd.part(array, 3)
        behind[0] = 30.0
        found[0] = simd.array_at(like, simd.address_of(behind))[1]
        found[1] = simd.array_at(like, simd.address_of(array))[3]

    array, found = np.arange(6.0), np.zeros(2)
    (njit(look) if jit else look)(array, np.zeros(4), found)
    np.testing.assert_array_equal(found, [4.0, 30.0])
    np.testing.assert_array_equal(array, [0.0, 1.0, 2.0, 30.0, 4.0, 5.0])
