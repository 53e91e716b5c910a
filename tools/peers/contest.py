"""One case's contest: everyone prepares, losses are compared with ours, then all run in turns."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import neuromorph as nm

from .case import Case
from .engine import Prepared, Task, Timing, Variant
from .processes import Pool, Process, TimeLimitError, WorkerError
from .variants import variants, written
from .work import flops

TOLERANCE = 1e-4  # relative, of a window's loss
LEAST_MOVED = 10 * TOLERANCE  # what learning has to change for the comparison to say anything
SLOWER = (2.0, 1.5, 1.2)  # by rounds: who is so many times slower than its library's best runs no more
MARGIN = 1.2  # by which one on one thread is farther behind than threads could make up for, before it is given up
STEADY = 3  # rounds from where on a contest may end: when the last two made nobody's best better by a hundredth
PAUSE = 0.02  # seconds between two turns, in which threads that spin fall asleep

LIBRARIES = {"jax0431": "jax"}  # of peers that are a version of one

# Why a contestant does not count.
DIFFERS, LATE, FAILED = "losses that differ", "time limit", "peer failed"
UNTRIED, HOPELESS = "no time left to try", "too slow on one thread"  # these were not even prepared


@dataclass(frozen=True)
class Settings:
    """How to measure: rounds, peers by name, numbers of threads, seconds for one way to prepare in, the slow ways
    (torch.compile) or not.

    patience: seconds after which a library begins to prepare no further way. adaptive: whether a contest ends before
    its rounds are over, where figures are steady. slow: the most seconds of a PyTorch run. pythons: the interpreters of
    those peers that have one of their own.
    """

    runs: int = 7
    peers: tuple[str, ...] = ("jax", "torch")
    threads: tuple[int, ...] = (1,)
    limit: float = 240.0
    thorough: bool = True
    patience: float = math.inf
    adaptive: bool = False
    slow: float = 2.0
    say: Callable[[str], None] = lambda line: None
    pythons: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Contestant:
    """One way to train the case, its process and its figures; ``refused`` says why it does not count, and ``why`` the
    same in a word for all such cases. ``number``: its own in the process that it shares with others of its library."""

    engine: str
    variant: Variant
    threads: int
    process: Process | None = None
    prepared: Prepared | None = None
    timings: list[Timing] = field(default_factory=list)
    refused: str | None = None
    why: str = ""
    number: int = 0

    def refuse(self, why: str, detail: str) -> None:
        """It does not count."""
        self.why, self.refused = why, detail

    @property
    def name(self) -> str:
        """For people."""
        count = {0: "", 1: ", 1 thread"}.get(self.threads, f", {self.threads} threads")
        return f"{self.engine} ({self.variant.name}{count})"

    @property
    def library(self) -> str:
        """The library, whichever its version."""
        return LIBRARIES.get(self.engine, self.engine)

    @property
    def best(self) -> float:
        """Microseconds of a sample in the best run; infinity where none counts."""
        if self.refused is not None:
            return math.inf
        return min((timing.microseconds for timing in self.timings), default=math.inf)

    def as_json(self) -> dict[str, Any]:
        """All its figures."""
        figures: dict[str, Any] = {"engine": self.engine, "variant": self.variant.name, "threads": self.threads or None}
        figures |= {"refused": self.refused, "why": self.why or None, "runs": len(self.timings)}
        if self.prepared is not None:
            figures |= {"version": self.prepared.version, "compile_s": self.prepared.compiling}
        if self.timings:
            times = [timing.microseconds for timing in self.timings]
            cores = [timing.cpu / timing.seconds for timing in self.timings]
            figures |= {"us": min(times), "us_median": statistics.median(times), "samples": self.timings[0].samples}
            figures |= {"cores_busy": statistics.median(cores)}
        return figures


@dataclass(frozen=True)
class Result:
    """A case's figures. ``weak``: why no peer's losses can be compared with ours, so that none was tried."""

    case: Case
    ours: Contestant
    alone: Contestant | None
    peers: tuple[Contestant, ...]
    flops: int
    weak: str | None = None

    @property
    def left_out(self) -> str | None:
        """Why there is no ratio, in a word or two."""
        if self.ratio is not None:
            return None
        if self.weak is not None:
            return "it learns too little to compare losses"
        reasons = Counter(peer.why for peer in self.peers if peer.why not in (UNTRIED, HOPELESS))
        return reasons.most_common(1)[0][0] if reasons else "no peer"

    @property
    def best_peer(self) -> Contestant | None:
        """The fastest peer that counts."""
        return min(self.peers, key=lambda peer: peer.best, default=None) if self.counts else None

    @property
    def counts(self) -> bool:
        """Whether there is a figure of ours and of a peer with our losses."""
        return math.isfinite(self.ours.best) and any(math.isfinite(peer.best) for peer in self.peers)

    @property
    def ratio(self) -> float | None:
        """How many times faster than the best peer."""
        peer = self.best_peer
        return None if peer is None else peer.best / self.ours.best

    @property
    def scaling(self) -> float | None:
        """How many times faster than on one thread."""
        if self.alone is None or not math.isfinite(self.alone.best) or not math.isfinite(self.ours.best):
            return None
        return self.alone.best / self.ours.best

    @property
    def gflops(self) -> float:
        """GFLOP/s of our matrix products."""
        return self.flops / self.ours.best / 1e3

    def best_of(self, library: str) -> Contestant | None:
        """A library's fastest contestant that counts, of whichever version."""
        own = [peer for peer in self.peers if peer.library == library and math.isfinite(peer.best)]
        return min(own, key=lambda peer: peer.best, default=None)

    def _best_by_library(self) -> dict[str, Any]:
        """Each library's fastest contestant that counts."""
        best = {library: self.best_of(library) for library in dict.fromkeys(peer.library for peer in self.peers)}
        return {name: {"engine": one.engine, "name": one.name, "us": one.best} for name, one in best.items() if one}

    def as_json(self, peak: float) -> dict[str, Any]:
        """All figures; ``peak`` in GFLOP/s."""
        case, peer = self.case, self.best_peer
        measured = math.isfinite(self.ours.best)
        return {
            "case": case.name, "text": case.text, "frozen": case.frozen, "batch": case.batch, "window": case.window,
            "samples": case.samples, "learning_rate": case.rate, "target": case.target, "ratio": self.ratio,
            "best_peer": None if peer is None else peer.name, "best_of": self._best_by_library(),
            "left_out": self.left_out, "scaling": self.scaling, "flops_per_sample": self.flops,
            "gflops": self.gflops if measured else None, "share_of_peak": self.gflops / peak if measured else None,
            "ours": self.ours.as_json(), "ours_one_thread": None if self.alone is None else self.alone.as_json(),
            "peers": [contestant.as_json() for contestant in self.peers],
        }  # fmt: skip


def difference(ours: Sequence[float], theirs: Sequence[float]) -> str | None:
    """Why a peer's losses are not ours, window by window, or None where they are, to 1e-4 of ours."""
    if len(ours) != len(theirs):
        return f"it has losses of {len(theirs)} windows, not of {len(ours)}"
    for window, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        if not math.isfinite(other) or abs(other - own) > TOLERANCE * abs(own):
            return f"its loss of window {window} is {other:.7g}, ours {own:.7g}"
    return None


def weakness(ours: Prepared) -> str | None:
    """Why a comparison with our losses would prove nothing, or None where it would."""
    if ours.moved is None or not ours.moved >= LEAST_MOVED:
        return f"learning changes the first {len(ours.losses)} losses by {ours.moved or 0.0:.1g} only"
    return None


def contest(case: Case, settings: Settings, pool: Pool) -> Result:
    """All contestants' figures of one case. Raises WorkerError where ours fails."""
    try:
        return _Contest(case, settings, pool).held()
    finally:
        pool.clear(settings.limit)


class _Contest:
    def __init__(self, case: Case, settings: Settings, pool: Pool) -> None:
        self.case, self.settings, self.pool = case, settings, pool
        self.flops = flops(case)
        self.contestants: list[Contestant] = []

    def held(self) -> Result:
        """Prepare, compare, run in turns."""
        ours = self._added("neuromorph", Variant("train", "train"), 0)
        reference = self._prepare(ours, 0)
        alone, weak = self._ours_alone(ours, len(reference.losses)), weakness(reference)
        if weak is None:
            for engine in self.settings.peers:
                self._enter_library(engine, reference)
        self._turns()
        peers = tuple(contestant for contestant in self.contestants if contestant.engine != "neuromorph")
        return Result(self.case, ours, alone, peers, self.flops, weak)

    def _added(self, engine: str, variant: Variant, threads: int) -> Contestant:
        self.contestants.append(Contestant(engine, variant, threads, number=len(self.contestants)))
        return self.contestants[-1]

    # Preparing -------------------------------------------------------------------------------------------------------

    def _ours_alone(self, ours: Contestant, check: int) -> Contestant | None:
        """Ours on one thread, where there are more; where it is the same code, ``ours`` itself."""
        if self.settings.threads == (1,):
            return None
        if nm.kernel_source(self.case.model()) == nm.kernel_source(self.case.model(1)):
            return ours
        alone = self._added("neuromorph", Variant("train", "train"), 1)
        self._prepare(alone, check)
        return alone

    def _enter_library(self, engine: str, reference: Prepared) -> None:
        """All ways of a library, each on one thread and then on more."""
        began, alone = time.monotonic(), list[Contestant]()
        for variant in variants(engine, self.case, thorough=self.settings.thorough, flops=self.flops):
            alone.append(self._added(engine, variant, 1))
            for threads in self.settings.threads:
                peer = alone[-1] if threads == 1 else self._added(engine, variant, threads)
                if threads == 1 or not self._gives_up(peer, alone):
                    if time.monotonic() - began > self.settings.patience:
                        peer.refuse(UNTRIED, f"not tried after {self.settings.patience:.0f} s for its library")
                    else:
                        self._enter(peer, reference)

    def _gives_up(self, peer: Contestant, alone: Sequence[Contestant]) -> bool:
        """Whether what came of the same way on one thread, the last of ``alone``, makes trying it on more useless."""
        first, best = alone[-1], min(other.best for other in alone)
        if first.refused is not None:
            peer.refuse(first.why, f"not tried, since on one thread: {first.refused}")
        elif first.best > MARGIN * peer.threads * best:
            peer.refuse(HOPELESS, f"on one thread it takes {first.best / best:.1f} times as long as the best")
        return peer.refused is not None

    def _enter(self, peer: Contestant, reference: Prepared) -> None:
        """A peer that prepared and whose losses were compared; refused where it can't or they differ."""
        try:
            prepared = self._prepare(peer, len(reference.losses))
        except WorkerError as error:
            self._lose(peer, error)
            return
        unlike = difference(reference.losses, prepared.losses)
        if unlike is not None:
            peer.refuse(DIFFERS, unlike)
            self._retire(peer)
            self.settings.say(f"{self.case.name}: {peer.name} does not count: {unlike}")

    def _prepare(self, contestant: Contestant, check: int) -> Prepared:
        """A contestant in its library's process, ready to run, and its first timed run."""
        self.settings.say(f"{self.case.name}: preparing {contestant.name}")
        engine, threads = contestant.engine, contestant.threads
        process = contestant.process = self.pool.process((engine, max(1, threads)))
        program = None if engine == "neuromorph" else written(self.case, contestant.variant)
        task = Task(
            engine, self.case, contestant.variant, threads, self.pool.folder, check, self.settings.slow, program
        )
        order = {"do": "prepare", "number": contestant.number, "task": task.as_json()}
        contestant.prepared = prepared = Prepared(**process.ask(order, self.settings.limit))
        self._run(contestant)
        return prepared

    def _lose(self, peer: Contestant, error: WorkerError) -> None:
        """A peer that can't prepare. Those that lost their process with it prepare again, and go on."""
        peer.refuse(LATE if isinstance(error, TimeLimitError) else FAILED, str(error))
        self.settings.say(f"{self.case.name}: {peer.name} does not count: {error}")
        self._retire(peer)
        self._recover()

    def _recover(self) -> None:
        """Those whose process is gone prepare again. Who can't keeps the figure of the runs that it had."""
        while lost := [each for each in self.contestants if each.process is not None and each.process.gone]:
            other = lost[0]
            assert other.prepared is not None
            try:
                self._prepare(other, len(other.prepared.losses))
            except WorkerError as error:
                self._end(other, error)

    def _end(self, peer: Contestant, error: WorkerError) -> None:
        """A peer that has counted and can't go on."""
        self.settings.say(f"{self.case.name}: {peer.name} runs no more: {error}")
        self._retire(peer)

    def _retire(self, contestant: Contestant) -> None:
        """It runs no more, and gives its memory back."""
        process, contestant.process = contestant.process, None
        if process is not None and not process.gone:
            with contextlib.suppress(WorkerError):
                process.ask({"do": "drop", "number": contestant.number}, self.settings.limit)

    # Running ---------------------------------------------------------------------------------------------------------

    def _run(self, contestant: Contestant) -> None:
        assert contestant.process is not None
        time.sleep(PAUSE)
        order = {"do": "run", "number": contestant.number}
        contestant.timings.append(Timing(**contestant.process.ask(order, self.settings.limit)))

    def _turns(self) -> None:
        """Rounds in which each one still in the race runs once; the first was the one after preparing."""
        for finished in range(1, self.settings.runs):
            self._leave_out_the_slow(finished)
            if self.settings.adaptive and finished >= STEADY and self._steady():
                return
            for contestant in self.contestants:
                if contestant.process is not None:
                    self._turn(contestant)

    def _turn(self, contestant: Contestant) -> None:
        try:
            self._run(contestant)
        except WorkerError as error:
            if contestant.engine == "neuromorph":
                raise
            self._end(contestant, error)
            self._recover()

    def _steady(self) -> bool:
        """Whether the last two runs of all who are in the race made no best better by more than a hundredth."""
        racing = [contestant for contestant in self.contestants if contestant.process is not None]
        times = [[timing.microseconds for timing in contestant.timings] for contestant in racing]
        return all(min(each[:-2], default=math.inf) <= 1.01 * min(each) for each in times)

    def _leave_out_the_slow(self, finished: int) -> None:
        """A library's ways that are far from its best keep the figure they have."""
        slower = SLOWER[min(finished, len(SLOWER)) - 1]
        for contestant in self.contestants:
            rivals = [other.best for other in self.contestants if other.engine == contestant.engine]
            if contestant.engine != "neuromorph" and contestant.best > slower * min(rivals):
                self._retire(contestant)
