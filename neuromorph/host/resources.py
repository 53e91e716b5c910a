"""Counts the processors that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .cgroups import allowed_processors

OWN = "NEUROMORPH_NUM_THREADS"
OTHERS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")  # with which joblib and others divide processors among processes


def processors() -> int:
    """The number of processors that this process may use, at least 1.

    It is the smallest of several: those that it may run on, its quota of time, and the numbers of threads that the
    environment sets. ValueError if NEUROMORPH_NUM_THREADS is no whole number of at least 1.
    """
    try:
        there = len(os.sched_getaffinity(0))
    except AttributeError:
        there = os.cpu_count() or 1
    return min(there, allowed_processors(), *_set_by_the_environment())


def _set_by_the_environment() -> Iterator[int]:
    """The numbers of threads in the environment. Those of other libraries count where they make sense."""
    own = os.environ.get(OWN, "").strip()
    if own and not _is_count(own):
        raise ValueError(f"the environment has {OWN}={own[:40]!r}, which must be a whole number of at least 1")
    for text in (own, *(os.environ.get(name, "") for name in OTHERS)):
        first = text.partition(",")[0].strip()  # OpenMP takes a number for each level of nesting
        if _is_count(first):
            yield int(first)


def _is_count(text: str) -> bool:
    """Whether a text is a whole number of at least 1."""
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0
