"""Follows the members of a run while they train."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ..training.sources import Following
from . import member
from .cluster import GRACE, POLL, Question, Together, Workers
from .tasks import Outcome

SNAPSHOT = 5.0  # seconds from one average that the client fetches within an epoch to the next
LATE = 2.0  # seconds in which all members must have come back after one has lost another
LAST = 5.0  # seconds in which members stop after Ctrl-C


class Watching:
    """Shows the progress of a part, fetches averages now and then, and ends the part where a member is lost.

    name: the run's key and its generation. samples_at: the samples of an epoch before a window. epoch, position: the
    epoch of the part, and the window that it begins with. latest: the last average of this part that was fetched.
    """

    def __init__(
        self,
        workers: Workers,
        name: tuple[bytes, int],
        addresses: tuple[str, ...],
        samples_at: Callable[[int], int],
        bar: Following,
        epoch: int,
        position: int,
    ) -> None:
        self._workers, self._name, self._addresses, self._samples_at = workers, name, addresses, samples_at
        self._bar, self._epoch, self._shown = bar, epoch, samples_at(position)
        self._question: Question | None = None  # to the first member
        self._fetched = self._asked = time.monotonic()
        self._broken: float | None = None
        self._aborted = False
        self.latest: Outcome | None = None

    def look(self, together: Together) -> None:
        """Called again and again while members train."""
        now = time.monotonic()
        if now - self._asked >= POLL:
            self._asked = now
            self._follow(now)
        if self._broken is None and (together.lost or _has_broken(together.ended().values())):
            self._broken = now
        if self._broken is not None:
            self._end(together, now - self._broken)

    def _follow(self, now: float) -> None:
        """Note how far the first member was when it was asked, and ask it anew once it has answered."""
        if self._question is not None:
            if not self._question.ended():
                return
            for answer in (self._question.answer(0.0) or {}).values():
                if answer is not None:
                    self._note(answer, now)
        wants = now - self._fetched >= SNAPSHOT
        self._question = self._workers.ask(member.look, self._addresses[:1], *self._name, self._epoch, wants)

    def _note(self, answer: tuple[tuple[int, float], Any], now: float) -> None:
        progress, snapshot = answer
        self.show(*progress)
        if snapshot is not None:
            self._fetched = now
            place, updates, vector, counts, total, weight = snapshot
            self.latest = Outcome("broken", place, updates, (vector, counts), loss=total, weight=weight)

    def show(self, position: int, loss: float) -> None:
        """Advance the bar to a window."""
        samples = self._samples_at(position)
        if samples > self._shown:
            self._bar.add(samples - self._shown, loss)
            self._shown = samples

    def _end(self, together: Together, since: float) -> None:
        """Have the others come back, once one has lost another. since: seconds after that."""
        if not self._aborted and (together.lost or since >= LATE):
            self._aborted = True
            self._workers.tell(member.abort, [a for a in self._addresses if a not in together.lost], *self._name)
        if self._aborted and since >= LATE + GRACE:
            together.shun()

    def wait(self, together: Together) -> Outcome | None:
        """Wait for members that were told to stop; the furthest of what they say."""
        end = time.monotonic() + LAST
        while together.waits() and time.monotonic() < end:
            pass
        return furthest(found for found in together.ended().values() if isinstance(found, Outcome))


def _has_broken(found: Iterable[Any]) -> bool:
    return any(isinstance(one, Outcome) and one.kind == "broken" for one in found)


def furthest(outcomes: Iterable[Outcome]) -> Outcome | None:
    """The outcome with the most averages; of several, one that has numbers and did not break off. None of none."""

    def worth(outcome: Outcome) -> tuple[int, bool, bool]:
        return outcome.position, outcome.kind != "broken", outcome.numbers is not None

    return max(outcomes, key=worth, default=None)
