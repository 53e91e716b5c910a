"""Which is quicker, the threads of a kernel or one that does the shares of all: found out while they train.

Two threads that share a cache save a third of a window of twenty microseconds; where their caches are far apart, what
they exchange doubles it. Which of these it is only time tells, and on a shared machine it changes from one second to
the next. Both ways give the same bits, so one window in a hundred is done the other way, and the quicker one has the
rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

TRIAL = 2e-3  # seconds of work of a trial, about: so many windows that waking threads for them matters little
RARELY = 100  # of so many windows one is a trial's
LEAST = 150e-6  # seconds of work of a call that threads could gain from at all, about
BETTER = 0.97  # of one thread's time that all have to stay below


class Way(Enum):
    """Who does the windows of a call."""

    ALL = "all threads"
    ONE = "one thread"


@dataclass
class Contest:
    """What is known of a kernel's ways. window: seconds that one thread needs for a window, about."""

    window: float
    _seconds: dict[Way, float] = field(default_factory=dict)  # of a window, as last seen
    _owed: float = 0.0  # windows of trials that are due

    def __post_init__(self) -> None:
        self._owed = float(self.trial)

    @property
    def trial(self) -> int:
        """Windows of a trial."""
        return max(1, math.ceil(TRIAL / self.window))

    @property
    def quicker(self) -> Way:
        """The way that was quicker when both were last seen; what was never seen may be."""
        if len(self._seconds) < len(Way):
            return Way.ONE if Way.ALL in self._seconds else Way.ALL
        return Way.ALL if self._seconds[Way.ALL] < BETTER * self._seconds[Way.ONE] else Way.ONE

    def parts(self, windows: int) -> Iterator[tuple[Way, int]]:
        """The windows of a call, each part with its way; a short call is one thread's."""
        if windows * self.window < LEAST:
            yield Way.ONE, windows
            return
        self._owed += windows / RARELY
        tried = min(windows, int(self._owed)) if self._owed >= self.trial else 0
        self._owed -= tried
        best, other = self.quicker, Way.ONE if self.quicker is Way.ALL else Way.ALL
        if tried < windows:
            yield best, windows - tried
        if tried:
            yield other, tried

    def took(self, way: Way, windows: int, seconds: float) -> None:
        """So many windows took so long; few of them say less than many."""
        new = seconds / windows
        old = self._seconds.get(way, new)
        self._seconds[way] = old + (new - old) * min(1.0, windows / self.trial)
