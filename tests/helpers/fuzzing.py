"""Budgets of the fuzzers: two seconds each, or as many minutes as ``NEUROMORPH_NIGHTLY`` says."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

MINUTES = float(os.environ.get("NEUROMORPH_NIGHTLY") or 0.0)
SECONDS = 60.0 * MINUTES or 2.0
# A short run tries the same inputs each time, a long one others: its seed is in the report of a failure.
SEED = int(os.environ.get("NEUROMORPH_FUZZ_SEED") or (time.time_ns() % 10**9 if MINUTES else 1))
_SETTINGS = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)


def fuzz(check: Callable[[random.Random], None], at_least: int = 50) -> None:
    """Call ``check`` with random generators until the time is over, ``at_least`` times at any rate.

    Hypothesis draws their numbers, and makes an input that fails as short as it can.
    """
    end, number = time.monotonic() + SECONDS, 0
    while number == 0 or time.monotonic() < end:
        tried = given(st.randoms(note_method_calls=True, use_true_random=False))(lambda rng: check(rng))
        try:
            seed(f"{SEED} {number}")(settings(_SETTINGS, max_examples=at_least)(tried))()
        except Exception as error:
            error.add_note(
                f"to repeat it: NEUROMORPH_NIGHTLY={MINUTES:g} NEUROMORPH_FUZZ_SEED={SEED}; it is in round {number}"
            )
            raise
        number += 1
