"""Budgets of the fuzzers: two seconds each, or as many minutes as ``NEUROMORPH_NIGHTLY`` says."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

MINUTES = float(os.environ.get("NEUROMORPH_NIGHTLY") or 0.0)
SECONDS = 60.0 * MINUTES or 2.0
# A short run tries the same inputs each time, a long one others: its seed is in the report of a failure.
SEED = int(os.environ.get("NEUROMORPH_FUZZ_SEED") or (time.time_ns() % 10**9 if MINUTES else 1))


def tries(at_least: int = 1) -> Iterator[tuple[str, random.Random]]:
    """Random generators, one for each try, until the time is over, with what repeats the try."""
    end, number = time.monotonic() + SECONDS, 0
    while number < at_least or time.monotonic() < end:
        yield f"NEUROMORPH_FUZZ_SEED={SEED}, try {number}", random.Random(f"{SEED} {number}")
        number += 1
