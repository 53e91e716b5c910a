"""Counts the processors that this process may use."""

from __future__ import annotations

import os

from .cgroups import allowed_processors


def processors() -> int:
    """The number of processors that this process may run on, and no more than its quota of time allows."""
    try:
        there = len(os.sched_getaffinity(0))
    except AttributeError:
        there = os.cpu_count() or 1
    return min(there, allowed_processors())
