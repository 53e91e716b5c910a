"""Says on stderr that kernels are compiled, and how long it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .kernels import Kernels


@contextmanager
def announced(kernels: Kernels) -> Iterator[None]:
    """A block in which stderr shows that kernels are compiled, if they are, and how long it takes."""
    started: list[float] = []

    def begin() -> None:
        started.append(time.perf_counter())
        print("compiling kernels", end="", file=sys.stderr, flush=True)

    kernels.before_compiling = begin
    try:
        yield
    finally:
        kernels.before_compiling = None
        if started:
            print(f", {time.perf_counter() - started[0]:.1f} s", file=sys.stderr)
