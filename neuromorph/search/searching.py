"""Runs a search: gives chunks of individuals to a pool, and takes their outcomes in the order of their numbers."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import Any

from ..model import compile_model
from ..sweeps import arguments as named
from ..sweeps.failures import Failure
from ..sweeps.pool import Pool
from ..training.progress import ProgressBar
from .asking import Asked
from .breeding import Made, Member
from .evaluation import Outcome, evaluate
from .genome import SearchError
from .individuals import DONE, FAILED, Evolution, Individual, rank

BAR_FORMAT = "{desc}{percentage:3.0f}%|{bar:7}|{remaining} left {rate_fmt}{postfix}"  # fits into 80 columns
_ATTEMPTS = 2  # of a chunk whose worker was lost


class Search:
    """A search that can run once. Chunk k is made when chunk k - ahead has been taken, and before the next one is, so
    that what is made does not depend on when outcomes come."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.plan, self.breeding = asked.plan(), asked.breeding()
        self._count, self._chunk, self._ahead = (asked.whole(name) for name in ("individuals", "chunk", "ahead"))
        self._target, self._seconds = asked.number("target"), asked.number("seconds")
        self._individuals: list[Individual] = []
        self._living: deque[Member] = deque(maxlen=asked.whole("population"))
        self._best: Member | None = None
        self._made: dict[int, Made] = {}
        self._ended, self._last = "", "all individuals"
        self._started = time.monotonic()
        self._try_arguments()

    def _try_arguments(self) -> None:
        """Build a model, so that wrong arguments are errors here, and workers find the machine in the cache."""
        text = self.breeding.make(0, deque()).individual.text
        with_arguments = named.for_compile(self.plan.arguments)
        compile_model(text, **with_arguments).build(seed=0).release()

    # The loop ---------------------------------------------------------------------------------------------------------

    def run(self, pool: Pool, *, shown: bool) -> Evolution:
        """Search until an end is reached."""
        bar = ProgressBar(self._count, unit="", bar_format=BAR_FORMAT) if shown else None
        self._started = time.monotonic()
        try:
            self._run(_Chunks(pool, self), bar)
        finally:
            if bar is not None:
                bar.close(done=bool(self._ended))
        return self.result()

    def _run(self, chunks: _Chunks, bar: ProgressBar | None) -> None:
        while not self._ended:
            while chunks.ahead < self._ahead and self._may_begin(chunks.made):
                chunks.give(self._make(chunks.made))
            if not chunks.ahead:
                self._ended = self._last
                return
            for outcome in chunks.take():
                self._take(outcome)
                if bar is not None:
                    bar.advance(1, "search", self._shown())
                if self._ended:
                    return

    def _may_begin(self, chunk: int) -> bool:
        """Whether another chunk may begin."""
        if self._seconds is not None and chunk and time.monotonic() - self._started >= self._seconds:
            self._count, self._last = min(self._count, chunk * self._chunk), "all seconds"
        return chunk * self._chunk < self._count

    def _make(self, chunk: int) -> list[Made]:
        """The individuals of a chunk."""
        numbers = range(chunk * self._chunk, min((chunk + 1) * self._chunk, self._count))
        found = [self.breeding.make(number, self._living) for number in numbers]
        self._made |= {one.individual.number: one for one in found}
        return found

    def _take(self, outcome: Outcome) -> None:
        """Note what came of an individual."""
        made = self._made.pop(outcome.number)
        individual = replace(
            made.individual, score=outcome.score, state=outcome.state, epochs=outcome.epochs, seconds=outcome.seconds,
            error=outcome.error,
        )  # fmt: skip
        self._individuals.append(individual)
        if individual.state == DONE and outcome.parameters is not None:
            member = Member(individual, made.genome, outcome.parameters)
            self._living.append(member)
            if self._best is None or self._place(member) < self._place(self._best):
                self._best = member
            if self._target is not None and self._reaches(individual.score):
                self._ended = "target"
        if len(self._individuals) == self.breeding.population and self._best is None:
            failed = next((one for one in reversed(self._individuals) if one.error), None)
            why = "" if failed is None else f"; the last one: {failed.error}"
            raise SearchError(f"none of the first {len(self._individuals)} individuals has a score{why}")

    def _place(self, member: Member) -> tuple[float, int, int]:
        return rank(member.individual, larger=self.plan.score.larger)

    def _reaches(self, score: float | None) -> bool:
        assert score is not None
        assert self._target is not None
        return score >= self._target if self.plan.score.larger else score <= self._target

    def _shown(self) -> dict[str, str]:
        best = self._best
        return {} if best is None else {"best": f"{best.individual.score:.4g}"}

    def result(self) -> Evolution:
        """What has been found so far."""
        kept = [*self._living, *([self._best] if self._best is not None else [])]
        return Evolution(
            self._individuals, score=self.plan.score.name, larger=self.plan.score.larger, ended=self._ended,
            arguments=named.for_compile(self.plan.arguments),
            kept={one.individual.number: one.parameters for one in kept}, seconds=time.monotonic() - self._started,
        )  # fmt: skip


class _Chunks:
    """The chunks on their way, in the order in which they were given."""

    def __init__(self, pool: Pool, search: Search) -> None:
        self._pool, self._search = pool, search
        self._waiting: deque[list[Made]] = deque()
        self._tickets: dict[int, tuple[list[Made], int]] = {}  # with the number of the attempt
        self._outcomes: dict[int, list[Outcome]] = {}  # by the number of the first individual
        self.made = 0

    @property
    def ahead(self) -> int:
        """The number of chunks that were given and not taken."""
        return len(self._waiting)

    def give(self, chunk: list[Made], attempt: int = 1) -> None:
        """Have a chunk evaluated."""
        if attempt == 1:
            self._waiting.append(chunk)
            self.made += 1
        ticket = self._pool.submit(evaluate, self._search.plan, [made.task for made in chunk])
        self._tickets[ticket] = chunk, attempt

    def take(self) -> list[Outcome]:
        """The outcomes of the oldest chunk, when they are there."""
        first = self._waiting[0][0].individual.number
        while first not in self._outcomes:
            for ticket, found in self._pool.finished():
                self._hear(*self._tickets.pop(ticket), found)
        self._waiting.popleft()
        return self._outcomes.pop(first)

    def _hear(self, chunk: list[Made], attempt: int, found: Any) -> None:
        """Note the end of a chunk. One whose worker was lost is given again, once."""
        if not isinstance(found, Failure):
            self._outcomes[chunk[0].individual.number] = found
        elif attempt < _ATTEMPTS:
            self.give(chunk, attempt + 1)
        else:
            self._outcomes[chunk[0].individual.number] = [
                Outcome(made.individual.number, FAILED, None, 0.0, error=found.message, traceback=found.traceback)
                for made in chunk
            ]
