"""Limits the work of one kernel call, so that Python can update progress bars and streams and handle Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE = 0.05  # seconds of kernel time between two looks


@dataclass(slots=True)
class Pace:
    """The number of windows that the next piece of work has, by how long the pieces before it took."""

    windows: int = 1
    adapts: bool = True

    def pieces(self, samples: int, capacity: int) -> Iterable[tuple[int, int]]:
        """Some samples in pieces of whole windows, the last one maybe shorter: where each begins and ends. What the
        caller does with a piece, until it asks for the next one, is timed."""
        return ((0, samples),) if samples <= capacity else self._cut(samples, capacity)

    def _cut(self, samples: int, capacity: int) -> Iterator[tuple[int, int]]:
        """The pieces of more than one window."""
        start = 0
        while start < samples:
            stop = min(samples, start + self.windows * capacity)
            started = time.perf_counter()
            yield start, stop
            if self.adapts:
                self.took((stop - start) // capacity, time.perf_counter() - started)
            start = stop

    def took(self, windows: int, seconds: float) -> None:
        """A piece of so many whole windows (0: of one that was cut short, which tells little) took this long."""
        if windows and seconds < PIECE:
            self.windows = max(1, min(windows * 8, int(windows * PIECE / max(seconds, 1e-7))))
        elif seconds > 2 * PIECE:
            self.windows = max(1, self.windows // 2)
