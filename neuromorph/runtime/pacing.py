"""Limits the work of one kernel call, so that Python can update progress bars and streams and handle Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE = 0.05  # seconds of one kernel call, about


@dataclass(slots=True)
class Pace:
    """Chooses the number of windows in the next piece of work by the times of the pieces before it."""

    windows: int = 1
    adapts: bool = True

    def pieces(self, samples: int, capacity: int) -> Iterable[tuple[int, int]]:
        """The (start, stop) of each piece of some samples: whole windows of ``capacity``, the last one maybe shorter.

        The caller's time between two pieces is measured as the time of the first of them.
        """
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
        """Record the seconds that a piece of ``windows`` whole windows took; 0 windows for less than a window."""
        if windows and seconds < PIECE:
            self.windows = max(1, min(windows * 8, int(windows * PIECE / max(seconds, 1e-7))))
        elif seconds > 2 * PIECE:
            self.windows = max(1, self.windows // 2)
