"""Limits the work of one kernel call, so that Python can update progress bars and streams and handle Ctrl-C."""

from __future__ import annotations

from dataclasses import dataclass

PIECE = 0.05  # seconds of kernel time between two looks


@dataclass(slots=True)
class Pace:
    """How many windows the next piece has, by how long the pieces before it took."""

    windows: int = 1

    def took(self, windows: int, seconds: float) -> None:
        """A piece of so many whole windows (0: of one that was cut short, which tells little) took this long."""
        if windows and seconds < PIECE:
            self.windows = max(1, min(windows * 8, int(windows * PIECE / max(seconds, 1e-7))))
        elif seconds > 2 * PIECE:
            self.windows = max(1, self.windows // 2)
