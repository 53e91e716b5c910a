"""Which vectors are held out: the same ones each time, a share of each class, and little memory beside the result."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from neuromorph.data.holding_out import drawn, held_number

CLASSES: dict[str, Any] = {
    "numbers": lambda rng, count: rng.choice([0, 3, 7], count),
    "booleans": lambda rng, count: rng.choice([False, True], count),
    "with unknown ones": lambda rng, count: rng.choice(np.array([0.0, 1.0, np.nan], np.float32), count),
}


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("count", [2, 7, 100])
def test_each_class_has_its_share(kind: str, count: int) -> None:
    classes = CLASSES[kind](np.random.default_rng(1), count)
    held = held_number(count, 0.3)
    kept, out = drawn(count, held, classes)
    assert len(out) == held
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, out])), np.arange(count))
    _, numbers, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    found = np.bincount(numbers[out], minlength=len(sizes))
    assert (np.abs(found - sizes * held / count) <= 1.0 + 1e-9).all()


def test_the_part_is_the_one_that_earlier_versions_held_out() -> None:
    """A model that goes on must not learn from what was held out before."""
    assert drawn(20, 5)[1].tolist() == [2, 4, 6, 13, 19]
    assert drawn(20, 5, np.arange(20) % 3)[1].tolist() == [6, 7, 11, 12, 16]


@pytest.mark.parametrize("classes", [False, True])
def test_little_memory_is_needed_beside_the_result(*, classes: bool) -> None:
    count = 1_000_000
    labels = (np.arange(count) % 2).astype(np.float32) if classes else None
    tracemalloc.start()
    try:
        drawn(count, count // 5, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * count
