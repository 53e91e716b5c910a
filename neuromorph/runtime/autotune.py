"""Chooses between several threads and one for short windows, by timing both during training.

Which way is quicker depends on the machine: two threads that share a cache save a third of a window of twenty
microseconds, while two threads with caches far apart need twice the time. On a shared machine the answer changes from
second to second. So only runs that directly follow one another are compared, and the latest comparisons count most.
Both ways give the same bits. One window in two hundred is run the slower way, more often at first and after a surprise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

TRIAL = 2e-3  # seconds of work in a trial, about: long enough that waking threads costs little beside it
WARMING = 4  # at least one window in so many of a trial is run first without timing, to wake threads and fill caches
RARELY = 200  # one window in so many belongs to a trial
FIRST = 6  # the same at first, when threads may still share a processor
SOON = 25  # the same after a surprise
BETTER = 0.97  # of one thread's time: several threads are used only if they take less
ODD = 1.3  # times its last time: when the quicker way takes longer than that, it is a surprise
TRUST = 1 / 3  # weight of the latest comparison in the moving average
MOST = 0.7  # bound of the logarithm of a ratio of times, so that one suspended process does not outweigh many trials


class Way(Enum):
    """The threads that run the windows of a call."""

    ALL = "all threads"
    ONE = "one thread"


def trial_of(window: float) -> int:
    """The number of windows in a trial, if one thread needs about ``window`` seconds for one.

    Calls of fewer windows take one thread.
    """
    return max(1, math.ceil(TRIAL / window))


@dataclass
class Autotuner:
    """The timings of one kernel. trial: the timed windows of a trial; up to as many untimed ones come before them."""

    trial: int
    _seconds: dict[Way, float] = field(default_factory=dict)  # of a window, in the last part of enough windows
    _gain: float | None = None  # the logarithm of all threads' time divided by that of one, averaged over comparisons
    _before: Way | None = None  # of the last part of enough windows
    _owed: float = 0.0  # windows of trials that are due
    _rarely: int = FIRST
    _warming: bool = False
    _trying: bool = False
    _compared: int = 0  # comparisons so far; in the first one, threads may still share a processor
    _half: Way | None = None  # the way of a trial of which the untimed half was in the call before

    @property
    def quicker(self) -> Way:
        """The quicker way by the comparisons so far: one thread, unless several threads are clearly quicker."""
        return Way.ALL if self._gain is not None and self._gain < math.log(BETTER) else Way.ONE

    def parts(self, windows: int) -> Iterator[tuple[Way, int]]:
        """The windows of a call in parts, each with its way. Call ``took`` after each part, before the next one."""
        self._warming = self._trying = False
        if self._half is not None and windows <= self.trial:  # the second call of a trial
            yield from self._tried(self._half, windows)
            return
        new = [way for way in Way if way not in self._seconds]
        for way in new:
            if self.trial <= windows:
                tried = min(2 * self.trial, windows)
                yield from self._tried(way, tried)
                windows -= tried
        if not new:
            self._owed += windows / self._rarely
        tried = min(2 * self.trial, windows)
        is_due = self.trial <= windows and tried <= self._owed
        best = self.quicker
        if rest := windows - tried * is_due:
            yield best, rest
        if is_due:
            self._owed = 0.0
            self._rarely = min(RARELY, 2 * self._rarely)
            yield from self._tried(Way.ONE if best is Way.ALL else Way.ALL, tried)

    def _tried(self, way: Way, windows: int) -> Iterator[tuple[Way, int]]:
        """The two parts of a trial of ``windows`` windows: some that are not timed, then those that are.

        In calls of so few windows that none can go untimed, a trial takes two calls.
        """
        warming = max(windows - self.trial, windows // WARMING)
        if not warming and self._half is not way:
            warming, self._half = windows, way
        else:
            self._half = None
        if warming:
            self._warming = True
            yield way, warming
            self._warming = False
        if windows > warming:
            self._trying = True
            yield way, windows - warming
            self._trying = False

    def took(self, way: Way, windows: int, seconds: float) -> None:
        """Record the time of a part, in seconds. Parts of few windows are ignored."""
        if self._warming or windows < self.trial // 2:
            return
        old, now = self._seconds.get(way), max(seconds / windows, 1e-12)
        self._seconds[way] = now
        if old is not None and way is self.quicker and now > ODD * old:
            self._rarely = min(self._rarely, SOON)
        if self._trying and self._before not in (None, way):
            self._compare()
        self._before = way

    def _compare(self) -> None:
        """Compare a trial with the part of the other way before it. If the result is a surprise, the next trial comes
        soon."""
        believed, gain = self.quicker, math.log(self._seconds[Way.ALL] / self._seconds[Way.ONE])
        gain = max(-MOST, min(MOST, gain))
        self._compared += 1
        if self._gain is None:
            self._gain = gain
            return
        self._gain += max(TRUST, 1 / (self._compared - 1)) * (gain - self._gain)  # the second replaces the first
        if (gain < math.log(BETTER)) != (believed is Way.ALL) or self.quicker is not believed:
            self._rarely = min(self._rarely, SOON)
