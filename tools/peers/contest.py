"""One case's contest: everyone prepares, losses are compared with ours, then all run in turns."""

from __future__ import annotations

import contextlib
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .cases import Case, flops
from .engine import Prepared, Task, Timing, Variant, variants
from .processes import Process, WorkerError

TOLERANCE = 1e-4  # relative, of a window's loss
LEAST_MOVED = 10 * TOLERANCE  # what learning has to change for the comparison to say anything
SLOWER = 2.0  # a contestant so many times slower than its library's best runs no more
PAUSE = 0.02  # seconds between two turns, in which threads that spin fall asleep


@dataclass(frozen=True)
class Settings:
    """How to measure: rounds, peers by name, numbers of threads, seconds to prepare in, torch.compile or not."""

    runs: int = 7
    peers: tuple[str, ...] = ("jax", "torch")
    threads: tuple[int, ...] = (1,)
    limit: float = 240.0
    thorough: bool = True
    say: Callable[[str], None] = lambda line: None


@dataclass
class Contestant:
    """One way to train the case, its process and its figures; ``refused`` says why it does not count."""

    engine: str
    variant: Variant
    threads: int
    process: Process | None = None
    prepared: Prepared | None = None
    timings: list[Timing] = field(default_factory=list)
    refused: str | None = None

    @property
    def name(self) -> str:
        """For people."""
        count = {0: "", 1: ", 1 thread"}.get(self.threads, f", {self.threads} threads")
        return f"{self.engine} ({self.variant.name}{count})"

    @property
    def best(self) -> float:
        """Microseconds of a sample in the best run; infinity where none counts."""
        if self.refused is not None:
            return math.inf
        return min((timing.microseconds for timing in self.timings), default=math.inf)

    def as_json(self) -> dict[str, Any]:
        """All its figures."""
        figures: dict[str, Any] = {"engine": self.engine, "variant": self.variant.name, "threads": self.threads or None}
        figures |= {"refused": self.refused, "runs": len(self.timings)}
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
    """A case's figures. us: microseconds of a sample, ours and the best peer's, infinity where there is none."""

    case: Case
    ours: Contestant
    alone: Contestant | None
    peers: tuple[Contestant, ...]
    flops: int

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

    def best_of(self, engine: str) -> Contestant | None:
        """A library's fastest contestant that counts."""
        own = [peer for peer in self.peers if peer.engine == engine and math.isfinite(peer.best)]
        return min(own, key=lambda peer: peer.best, default=None)

    def as_json(self, peak: float) -> dict[str, Any]:
        """All figures; ``peak`` in GFLOP/s."""
        case, peer = self.case, self.best_peer
        measured = math.isfinite(self.ours.best)
        return {
            "case": case.name, "text": case.text, "batch": case.batch, "window": case.window,
            "samples": case.samples, "learning_rate": case.rate, "target": case.target, "ratio": self.ratio,
            "best_peer": None if peer is None else peer.name, "scaling": self.scaling,
            "flops_per_sample": self.flops, "gflops": self.gflops if measured else None,
            "share_of_peak": self.gflops / peak if measured else None, "ours": self.ours.as_json(),
            "ours_one_thread": None if self.alone is None else self.alone.as_json(),
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


def contest(case: Case, settings: Settings) -> Result:
    """All contestants' figures of one case. Raises WorkerError where ours fails."""
    name = "neuromorph-benchmark-"
    with (
        tempfile.TemporaryDirectory(prefix=name, ignore_cleanup_errors=True) as folder,
        contextlib.ExitStack() as stack,
    ):
        return _Contest(case, settings, folder, stack).held()


class _Contest:
    def __init__(self, case: Case, settings: Settings, folder: str, stack: contextlib.ExitStack) -> None:
        self.case, self.settings, self.folder, self.stack = case, settings, folder, stack
        self.flops = flops(case)

    def held(self) -> Result:
        """Prepare, compare, run in turns."""
        ours = Contestant("neuromorph", Variant("train", "train"), 0)
        reference = self._prepare(ours, 0)
        alone = self._ours_alone(len(reference.losses))
        peers = [self._enter(peer, reference) for peer in self._peers()]
        self._turns([ours, *([alone] if alone else []), *peers])
        return Result(self.case, ours, alone, tuple(peers), self.flops)

    def _peers(self) -> list[Contestant]:
        return [
            Contestant(engine, variant, threads)
            for engine in self.settings.peers
            for variant in variants(engine, self.case, thorough=self.settings.thorough, flops=self.flops)
            for threads in self.settings.threads
        ]

    def _prepare(self, contestant: Contestant, check: int) -> Prepared:
        """A contestant's process, ready to run, and its first timed run."""
        self.settings.say(f"{self.case.name}: preparing {contestant.name}")
        process = contestant.process = Process(self.folder)
        self.stack.callback(process.close)
        task = Task(contestant.engine, self.case, contestant.variant, contestant.threads, self.folder, check)
        answer = process.ask({"do": "prepare", "task": task.as_json()}, self.settings.limit)
        contestant.prepared = prepared = Prepared(**answer)
        self._run(contestant)
        return prepared

    def _run(self, contestant: Contestant) -> None:
        assert contestant.process is not None
        time.sleep(PAUSE)
        contestant.timings.append(Timing(**contestant.process.ask({"do": "run"}, self.settings.limit)))

    def _ours_alone(self, check: int) -> Contestant | None:
        """Ours on one thread, where there are more."""
        if self.settings.threads == (1,):
            return None
        alone = Contestant("neuromorph", Variant("train", "train"), 1)
        self._prepare(alone, check)
        return alone

    def _enter(self, peer: Contestant, reference: Prepared) -> Contestant:
        """A peer that prepared and whose losses were compared; refused where it can't or they differ."""
        try:
            prepared = self._prepare(peer, len(reference.losses))
            peer.refused = difference(reference.losses, prepared.losses) or weakness(reference)
        except WorkerError as error:
            peer.refused = str(error)
        if peer.refused is not None:
            self.settings.say(f"{self.case.name}: {peer.name} does not count: {peer.refused}")
            self._retire(peer)
        return peer

    def _retire(self, contestant: Contestant) -> None:
        if contestant.process is not None:
            contestant.process.close()
            contestant.process = None

    def _turns(self, contestants: list[Contestant]) -> None:
        """Rounds in which each one still in the race runs once."""
        for _ in range(self.settings.runs - 1):
            self._leave_out_the_slow(contestants)
            for contestant in contestants:
                if contestant.process is not None:
                    self._turn(contestant)

    def _turn(self, contestant: Contestant) -> None:
        try:
            self._run(contestant)
        except WorkerError as error:
            if contestant.engine == "neuromorph":
                raise
            contestant.refused = str(error)
            self._retire(contestant)

    def _leave_out_the_slow(self, contestants: list[Contestant]) -> None:
        """A library's variants that are far from its best keep the figure they have."""
        for contestant in contestants:
            rivals = [other.best for other in contestants if other.engine == contestant.engine]
            if contestant.engine != "neuromorph" and contestant.best > SLOWER * min(rivals):
                self._retire(contestant)
