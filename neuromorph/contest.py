"""Which is quicker, the threads of a kernel or one that does the shares of all: found out while they train.

Two threads that share a cache save a third of a window of twenty microseconds; where their caches are far apart, what
they exchange doubles it. Which of these it is only time tells, and on a shared machine it changes from one second to
the next. Both ways give the same bits, so one window in two hundred is done the other way, and the quicker one has
the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

TRIAL = 2e-3  # seconds of work of a trial, about: so many windows that waking threads for them matters little
RARELY = 200  # of so many windows one is a trial's
BETTER = 0.97  # of one thread's time that all have to stay below


class Way(Enum):
    """Who does the windows of a call."""

    ALL = "all threads"
    ONE = "one thread"


def trial_of(window: float) -> int:
    """Windows of a trial, if one thread needs so many seconds for one, about. A call of fewer is one thread's."""
    return max(1, math.ceil(TRIAL / window))


@dataclass
class Contest:
    """What is known of a kernel's ways. trial: windows of a trial."""

    trial: int
    _seconds: dict[Way, float] = field(default_factory=dict)  # of a window, as last seen
    _seen: dict[Way, int] = field(default_factory=dict)  # windows
    _owed: float = 0.0  # windows of trials that are due

    @property
    def quicker(self) -> Way:
        """The way that was quicker when both were last seen."""
        alone = self._seconds.get(Way.ONE, math.inf)
        return Way.ALL if self._seconds.get(Way.ALL, math.inf) < BETTER * alone else Way.ONE

    def parts(self, windows: int) -> Iterator[tuple[Way, int]]:
        """The windows of a call, each part with its way; what ``took`` hears of a part counts for the next."""
        for way in Way:
            if self._seen.get(way, 0) < self.trial <= windows:
                yield way, self.trial
                windows -= self.trial
        self._owed += windows / RARELY
        tried = self.trial if self.trial <= min(self._owed, windows) else 0
        self._owed -= tried
        best = self.quicker
        if tried < windows:
            yield best, windows - tried
        if tried:
            yield Way.ONE if best is Way.ALL else Way.ALL, tried

    def took(self, way: Way, windows: int, seconds: float) -> None:
        """So many windows took so long; few of them say less than many."""
        seen = self._seen[way] = min(self.trial, self._seen.get(way, 0) + windows)
        old = self._seconds.get(way, 0.0)
        self._seconds[way] = old + (seconds / windows - old) * min(1.0, windows / seen)
