"""Runs a search: gives chunks of individuals to a pool, and takes their outcomes in the order of their numbers."""

from __future__ import annotations

import time
import warnings
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from ..errors import MDLWarning
from ..model import compile_model
from ..sweeps import arguments as named
from ..sweeps.failures import Failure
from ..sweeps.pool import Pool
from ..training.progress import ProgressBar
from .asking import Asked
from .breeding import Made, Member
from .evaluation import Outcome, Plan, evaluate, evaluate_alone, joined_at_rungs
from .genome import Genome, SearchError
from .individuals import DONE, FAILED, Evolution, Individual, Parameters, rank
from .journal import Journal, stored_parameters

_LOOK = 0.5  # seconds between two looks at what another search has done
BAR_FORMAT = "{desc}{percentage:3.0f}%|{bar:7}|{remaining} left {rate_fmt}{postfix}"  # fits into 80 columns


class Search:
    """A search that can run once. Chunk k is made when chunk k - ahead has been taken, and before the next one is, so
    that what is made does not depend on when outcomes come."""

    def __init__(self, asked: Asked) -> None:
        self.plan, self.breeding = asked.plan(), asked.breeding()
        self.decides = asked.decides(self.plan, self.breeding)
        self._count, self._chunk, self._ahead = asked.whole("individuals"), asked.whole("chunk"), asked.chunks_ahead
        self._target, self._seconds = asked.number("target"), asked.number("seconds")
        self._individuals: list[Individual] = []
        self._living: deque[Member] = deque(maxlen=self.breeding.population)
        self._best: Member | None = None
        self._journal: Journal | None = None
        self._ended, self._last = "", "all individuals"
        self._started = time.monotonic()
        if self._count > len(self.breeding.start):
            self.breeding.check()
        self._try_arguments()

    def _try_arguments(self) -> None:
        """Build a model, so that wrong arguments are errors here, and workers find the machine in the cache."""
        text = self.breeding.make(0, deque()).individual.text
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MDLWarning)
            compile_model(text, **named.for_compile(self.plan.arguments)).build(seed=0).release()

    # The loop ---------------------------------------------------------------------------------------------------------

    def run(self, pool: Pool, journal: Journal | None, *, shown: bool) -> Evolution:
        """Search until an end is reached. journal: what the store has of the search, and where individuals go.

        A KeyboardInterrupt has the individuals so far as ``results``.
        """
        bar = ProgressBar(self._count, unit="", bar_format=BAR_FORMAT) if shown else None
        self._started, self._journal = time.monotonic(), journal
        try:
            self._run(_Chunks(pool, self.plan, journal), bar)
        except KeyboardInterrupt as error:
            error.results = self._result("interrupted")  # type: ignore[attr-defined]
            error.add_note(_of_interrupt(journal))
            raise
        finally:
            if journal is not None:
                journal.end()
            if bar is not None:
                bar.close(done=bool(self._ended))
        return self._result(self._ended)

    def _run(self, chunks: _Chunks, bar: ProgressBar | None) -> None:
        while not self._ended:
            while chunks.ahead < self._ahead and self._may_begin(chunks.made):
                self._give(chunks)
            if not chunks.ahead:
                self._ended = self._last
                return
            for end in chunks.take():
                self._take(end)
                if bar is not None:
                    bar.advance(1, "search", self._shown())
                if self._ended:
                    return

    def _may_begin(self, chunk: int) -> bool:
        """Whether another chunk may begin."""
        if self._seconds is not None and chunk and time.monotonic() - self._started >= self._seconds:
            self._count, self._last = min(self._count, chunk * self._chunk), "all seconds"
        return chunk * self._chunk < self._count

    def _give(self, chunks: _Chunks) -> None:
        """Have the next chunk evaluated, or take it from the store."""
        numbers = range(chunks.made * self._chunk, min((chunks.made + 1) * self._chunk, self._count))
        known = None if self._journal is None else self._journal.known(numbers)
        if known is not None:
            chunks.know([End(individual) for individual in known])
        else:
            chunks.give([self.breeding.make(number, self._living) for number in numbers])

    def _take(self, end: End) -> None:
        """Note what came of an individual."""
        individual = end.individual
        self._individuals.append(individual)
        if individual.state == DONE:
            member = Member(individual, end.genome, end.parameters, self._load)
            self._living.append(member)
            if self._best is None or self._place(member) < self._place(self._best):
                self._best = member
            if self.plan.score.reaches(individual.score, self._target):
                self._ended = "target"
        if len(self._individuals) == self.breeding.population and all(one.score is None for one in self._individuals):
            failed = next((one for one in reversed(self._individuals) if one.error), None)
            why = "" if failed is None else f"; the last one: {failed.error}"
            raise SearchError(f"none of the first {len(self._individuals)} individuals has a score{why}")

    def _load(self, number: int) -> Parameters:
        assert self._journal is not None  # the individual is known from there
        return self._journal.parameters(number)

    def _place(self, member: Member) -> tuple[float, int, int]:
        return rank(member.individual, larger=self.plan.score.larger)

    def _shown(self) -> dict[str, str]:
        best = self._best
        return {} if best is None else {"best": f"{best.individual.score:.4g}"}

    def _result(self, ended: str) -> Evolution:
        """What has been found so far."""
        members = [*self._living, *([self._best] if self._best is not None else [])]
        kept = {one.individual.number: one.held for one in members}
        path = None if self._journal is None else (self._journal.path, self._journal.key)

        def parameters(number: int) -> Parameters:
            held = kept.get(number)
            if held is None and path is None:
                raise SearchError(f"the parameters of individual {number} were not kept: give the search a store=")
            return stored_parameters(*path, number) if held is None and path is not None else held or {}

        return Evolution(
            self._individuals, score=self.plan.score.name, larger=self.plan.score.larger, ended=ended,
            arguments=named.for_compile(self.plan.arguments), seconds=time.monotonic() - self._started,
            parameters=parameters,
        )  # fmt: skip


def _of_interrupt(journal: Journal | None) -> str:
    there = "the individuals so far are in the exception's attribute `results`"
    return there if journal is None else f"{there} and in {journal.path}: the same search goes on from there"


@dataclass(frozen=True)
class End:
    """An individual that has ended. genome, parameters: None if they are in the store."""

    individual: Individual
    genome: Genome | None = None
    parameters: Parameters | None = None


class _Chunks:
    """The chunks on their way, in the order in which they were given.

    With a store, a chunk is claimed before it is evaluated, and the pool has few more tasks than workers: so the same
    search in another process, at the same time, evaluates others, and each takes what the other one has written.
    """

    def __init__(self, pool: Pool, plan: Plan, journal: Journal | None) -> None:
        self._pool, self._plan, self._journal = pool, plan, journal
        self._waiting: deque[int] = deque()  # the numbers of chunks
        self._given: dict[int, list[Made]] = {}  # those that have not ended, by the number of the chunk
        self._idle: dict[int, float] = {}  # those that are not evaluated here, and when they may be looked at again
        self._tickets: dict[int, tuple[int, int | None]] = {}  # the chunk; if one of it is alone, its place there
        self._apart: dict[int, dict[int, list[Outcome]]] = {}  # of chunks whose individuals are evaluated alone
        self._ends: dict[int, list[End]] = {}  # by the number of the chunk
        self.made = 0

    @property
    def ahead(self) -> int:
        """The number of chunks that were given and not taken."""
        return len(self._waiting)

    def give(self, chunk: list[Made]) -> None:
        """Have the next chunk evaluated."""
        self._given[self.made] = chunk
        self._idle[self.made] = 0.0
        self._waiting.append(self.made)
        self.made += 1

    def know(self, chunk: list[End]) -> None:
        """Let the next chunk be one that has ended."""
        self._ends[self.made] = chunk
        self._waiting.append(self.made)
        self.made += 1

    def take(self) -> list[End]:
        """The individuals of the oldest chunk, when they have ended."""
        while True:
            self._begin()
            if self._waiting[0] in self._ends:
                return self._ends.pop(self._waiting.popleft())
            if not self._pool.pending:  # another search has what is left
                time.sleep(_LOOK)
            for ticket, found in self._pool.finished(_LOOK if self._idle else None):
                self._hear(*self._tickets.pop(ticket), found)

    def _begin(self) -> None:
        """Have chunks evaluated that nobody evaluates, as far as there is room for them."""
        for number, when in list(self._idle.items()):
            if self._journal is not None and self._pool.pending > self._pool.size:
                return
            if time.monotonic() < when:
                continue
            if self._journal is None or self._is_ours(number, self._journal):
                tasks = [made.task for made in self._given[number]]
                self._tickets[self._pool.submit(evaluate, self._plan, tasks)] = number, None
            elif number in self._given:
                self._idle[number] = time.monotonic() + _LOOK
                continue
            del self._idle[number]

    def _is_ours(self, number: int, journal: Journal) -> bool:
        """Whether a chunk is claimed for this search. It is not if another one evaluates it, or has done so."""
        chunk = self._given[number]
        ours = journal.claim(number)
        known = journal.read([made.individual.number for made in chunk])
        if known is None:
            return ours
        journal.leave(number)
        del self._given[number]
        self._ends[number] = [End(one, made.genome) for one, made in zip(known, chunk, strict=True)]
        return False

    def _hear(self, number: int, place: int | None, found: Any) -> None:
        """Note the end of a chunk, or of an individual that is alone. The individuals of a chunk whose worker was lost
        are evaluated again, each alone, so that only one that loses its worker then fails."""
        chunk = self._given[number]
        if place is not None:
            apart = self._apart[number]
            apart[place] = [_lost(chunk[place], found)] if isinstance(found, Failure) else found
            if len(apart) == len(chunk):
                self._apart.pop(number)
                self._end(number, joined_at_rungs(self._plan, [outcomes for _, outcomes in sorted(apart.items())]))
        elif isinstance(found, Failure):
            self._apart[number] = {}
            for one, made in enumerate(chunk):
                self._tickets[self._pool.submit(evaluate_alone, self._plan, made.task)] = number, one
        else:
            self._end(number, found)

    def _end(self, number: int, outcomes: list[Outcome]) -> None:
        """Note what came of a chunk. Nothing came of those behind one that reaches the target."""
        ends = [_ended(made, outcome) for made, outcome in zip(self._given.pop(number), outcomes, strict=False)]
        if self._journal is not None:
            self._journal.write(number, [end.individual for end in ends], outcomes)
        self._ends[number] = ends


def _lost(made: Made, failure: Failure) -> Outcome:
    number = made.individual.number
    return Outcome(number, FAILED, None, 0.0, error=failure.message, traceback=failure.traceback)


def _ended(made: Made, outcome: Outcome) -> End:
    individual = replace(
        made.individual, score=outcome.score, state=outcome.state, epochs=outcome.epochs, seconds=outcome.seconds,
        error=outcome.error,
    )  # fmt: skip
    return End(individual, made.genome, outcome.parameters)
