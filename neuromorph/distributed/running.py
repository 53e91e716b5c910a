"""Runs epochs on the workers of a cluster, and goes on from the last average when a worker is lost or joins."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ClusterError, TrainingDivergedError
from ..host.frozen import frozen
from ..runtime.network import Network
from ..runtime.updating import Learned
from ..training.loop import Rates
from ..training.metrics import ROOT, Metric
from ..training.sources import Following
from ..version import __version__
from . import member
from .cluster import Job, Together, WorkerLostError, Workers
from .member import Opening, Place
from .report import Event, Report
from .shares import Lanes
from .sources import Source
from .tasks import Outcome, Task
from .watching import Watching, furthest

Floats = NDArray[Any]
_NOT_SENT = ("state", "history", "table")  # of a model's contents
MOST_BREAKS = 5  # parts in a row that may end without an average


@frozen
class Settings:
    """The arguments of a run that workers need. patience: seconds without any worker after which the run ends."""

    every: int
    seed: int | None
    patience: float


@dataclass
class _Crew:
    """The members of a generation: their addresses in the order of ranks, their lanes and places.

    alike: whether the flat arrays of all have the same layout.
    """

    generation: int
    addresses: tuple[str, ...]
    lanes: tuple[Lanes, ...]
    places: tuple[Place, ...]
    kept: list[Any]  # futures: members live as long as these
    alike: bool = False


@dataclass
class _Reached:
    """Where an epoch stands: windows that were averaged, updates, and the sums of the loss and of the weights."""

    position: int
    updates: int
    loss: float = 0.0
    weight: float = 0.0


class ClusterRun:
    """A run on a cluster: what ``fit`` learns from (a ``Source`` of training) and measures by.

    capacity: samples of a window. After each epoch, and also when it ends early, the model has the last average.
    """

    def __init__(
        self,
        workers: Workers,
        model: Network,
        data: Source,
        held_out: Source | None,
        settings: Settings,
        capacity: int,
    ) -> None:
        self._capacity = capacity
        self.workers, self.model, self.settings, self.report = workers, model, settings, Report()
        self._data, self._held_out = data, held_out
        self._learned, self._key = Learned(model), member.new_key()
        self._crew: _Crew | None = None
        self._generation = self._epoch = self._breaks = self._position = 0
        self._sent: tuple[Floats, NDArray[np.float64]] | None = None  # what all members have
        self._known: set[str] = set()  # workers that took part
        self._state: Mapping[str, Floats] | None = None  # of all lanes; None stands for zeros

    # As a source of training -----------------------------------------------------------------------------------------

    @property
    def samples(self) -> int:
        """The samples of an epoch."""
        return self._data.spans.total

    def learn(self, model: Network, bar: Following, rates: Rates, *, carries: bool) -> float:
        """Learn from all data once; the mean loss."""
        self._state = model.state if carries else None
        self._position, carried = 0, carries
        reached = _Reached(0, rates.updates)
        self._form_anew()
        while True:
            outcome = self._part(reached, rates, bar, carried)
            reached = self._reach(outcome, reached)
            if outcome.kind == "done":
                break
            if outcome.kind == "diverged":
                raise self._diverged(outcome)
            carried = True
        rates.updates = reached.updates
        if rates.rate_of is not None and reached.updates:
            model.learning_rate = rates.rate_of(reached.updates - 1)
        if model.graph.has_time_links and self._state is not None:
            model.state = self._state
        self._position = reached.position
        self.report.workers.append(len(crew.addresses) if (crew := self._crew) is not None else 0)
        self._epoch += 1
        return reached.loss / reached.weight if reached.weight > 0.0 else 0.0

    def _samples_at(self, position: int) -> int:
        """The samples of an epoch before a window."""
        spans, capacity = self._data.spans, self._capacity
        group, inside = divmod(position, spans.windows(capacity))
        return min(group * spans.samples + inside * capacity, spans.total)

    def begin(self, epoch: int, report: Report) -> None:
        """Set the number of the first epoch, and the report to write."""
        self._epoch, self.report = epoch, report

    # Parts -----------------------------------------------------------------------------------------------------------

    def _part(self, reached: _Reached, rates: Rates, bar: Following, carries: bool) -> Outcome:
        """Have the members go on from where the epoch stands; how that ended."""
        crew = self._crew or self._form()
        name = self._key, crew.generation
        watching = Watching(self.workers, name, crew.addresses, self._samples_at, bar, self._epoch, reached.position)
        results = self._results(crew, reached, rates, carries, watching)
        self._count(results.values())
        lost = [address for address, found in results.items() if isinstance(found, WorkerLostError)]
        outcome = furthest([found for found in results.values() if isinstance(found, Outcome)])
        if outcome is None or not self._is_usable(crew, results, outcome, reached):
            outcome = watching.latest or Outcome("broken", reached.position, reached.updates)
        self._take(crew, results, outcome, reached)
        watching.show(outcome.position, outcome.loss / outcome.weight if outcome.weight > 0.0 else 0.0)
        if lost or outcome.kind == "broken":
            self._break(reached, outcome, lost)
        return outcome

    def _results(
        self, crew: _Crew, reached: _Reached, rates: Rates, carries: bool, watching: Watching
    ) -> dict[str, Any]:
        """What each member says after a part."""
        try:
            with self.workers.reaching(crew.addresses):
                jobs = self._jobs(crew, reached, rates, carries)
        except WorkerLostError:
            return dict.fromkeys(set(crew.addresses) - set(self.workers.addresses()), WorkerLostError())
        with Together(self.workers, jobs) as together:
            try:
                while together.waits():
                    together.look()
                    watching.look(together)
                return together.results()
            except BaseException as error:
                self._halt(crew, watching, together, reached, error)
                raise

    def _is_usable(self, crew: _Crew, results: dict[str, Any], outcome: Outcome, reached: _Reached) -> bool:
        """Whether a part got on, and its average is there."""
        if outcome.position < reached.position:
            return False
        return outcome.numbers is not None or self._fetch(crew, results, outcome)

    def _jobs(self, crew: _Crew, reached: _Reached, rates: Rates, carries: bool) -> dict[str, Job]:
        """What each member is to do."""
        numbers = self._learned.get()
        same = self._sent is not None and all(map(np.array_equal, numbers, self._sent))
        given = None
        if not same:
            self._sent = numbers
            (given,) = self.workers.client.scatter([numbers], workers=list(crew.addresses), broadcast=True, hash=False)
        settings, jobs = self.settings, {}
        for rank, (address, lanes) in enumerate(zip(crew.addresses, crew.lanes, strict=True)):
            state = None
            if carries and self._state is not None:
                state = {name: value[..., lanes.first : lanes.stop, :] for name, value in self._state.items()}
            task = Task(
                self._epoch, reached.position, settings.every, self.model.learning_rate, rates.rate_of, reached.updates,
                state if carries else None, carries, settings.seed, self.model.dropout_state, crew.alike,
            )  # fmt: skip
            arguments = (self._key, crew.generation, task, given, rank, crew.places)
            jobs[address] = Job(member.train_part, arguments)
        return jobs

    def _fetch(self, crew: _Crew, results: dict[str, Any], outcome: Outcome) -> bool:
        """Get an average from a member that has it, where the first one was lost before it could tell."""
        for address, found in results.items():
            if isinstance(found, Outcome) and found.position == outcome.position:
                jobs = {address: Job(member.numbers_of, (self._key, crew.generation))}
                outcome.numbers = _unless_lost(Together(self.workers, jobs).done()[address])
                if outcome.numbers is not None:
                    return True
        return False

    def _take(self, crew: _Crew, results: dict[str, Any], outcome: Outcome, reached: _Reached) -> None:
        """Take over an average, and the state of all lanes where it was made."""
        if outcome.numbers is not None:
            self._learned.set(*outcome.numbers)
            self._sent = outcome.numbers
        if (before := self.model.dropout_state) is not None:
            self.model.dropout_state = before[0], before[1] + outcome.updates - reached.updates
        views = self.model.state
        if not views:
            return
        state = {name: np.zeros_like(value) for name, value in views.items()}
        for address, lanes in zip(crew.addresses, crew.lanes, strict=True):
            found = results.get(address)
            mine = found.states.get(outcome.position) if isinstance(found, Outcome) else None
            for name, value in (mine or {}).items():
                state[name][..., lanes.first : lanes.stop, :] = value
        self._state = state

    def _reach(self, outcome: Outcome, before: _Reached) -> _Reached:
        return _Reached(
            outcome.position, outcome.updates, before.loss + outcome.loss, before.weight + outcome.weight
        )  # fmt: skip

    def _break(self, reached: _Reached, outcome: Outcome, lost: list[str]) -> None:
        """Note that a part has broken off; the next one has other members."""
        self._breaks = self._breaks + 1 if outcome.position == reached.position else 0
        for address in lost:
            self._tell(outcome.position, "lost", f"{address} was lost; the others go on from the last average")
        if not lost:
            self._tell(outcome.position, "again", "workers lost one another; all go on from the last average")
        if self._breaks > MOST_BREAKS:
            raise ClusterError(
                f"workers lose one another: {self._breaks} parts of epoch {self._epoch + 1} in a row ended before an "
                "average was made. The model has the last average"
            )
        self._disband()

    def _halt(
        self, crew: _Crew, watching: Watching, together: Together, reached: _Reached, error: BaseException
    ) -> None:
        """After Ctrl-C or an error, have the members stop, and give the model the last average."""
        outcome = None
        if not isinstance(error, ClusterError):
            self.workers.tell(member.stop, crew.addresses, self._key, crew.generation)
            outcome = watching.wait(together)
        outcome = outcome or watching.latest
        if outcome is not None and outcome.numbers is not None and outcome.position >= reached.position:
            self._learned.set(*outcome.numbers)

    def _count(self, results: Any) -> None:
        for found in results:
            if isinstance(found, Outcome):
                self.report.computing += found.computing
                self.report.waiting += found.waiting
                self.report.rounds += found.rounds if found.rank == 0 else 0

    def _diverged(self, outcome: Outcome) -> TrainingDivergedError:
        return TrainingDivergedError(
            f"training diverged in epoch {self._epoch + 1}, window {outcome.position + 1:,}: {outcome.where}; the "
            "parameters are those of the last average (a smaller learning_rate, or clip_norm, may help)"
        )

    def _tell(self, position: int, kind: str, text: str) -> None:
        self.report.events.append(Event(self._epoch, position, kind, text))

    # Members ---------------------------------------------------------------------------------------------------------

    def _form_anew(self) -> None:
        """Let workers that have joined take part from this epoch on."""
        if self._crew is None:
            self._form()
            return
        there = self.workers.addresses()
        wanted = there[: self.model.batch_size]
        if set(self._crew.addresses) - set(there) or len(wanted) > len(self._crew.addresses):
            self._disband()
            self._form()

    def _form(self) -> _Crew:
        """Divide the lanes among the workers that are there, and have them become members."""
        end = time.monotonic() + self.settings.patience
        while True:
            addresses = self.workers.addresses()
            if not addresses:
                self._wait_for_workers(end)
                continue
            crew = None
            with suppress(WorkerLostError):
                crew = self._opened(addresses[: self.model.batch_size])
            if crew is not None:
                self._note_workers(addresses, crew)
                return crew

    def _wait_for_workers(self, end: float) -> None:
        if time.monotonic() > end:
            raise ClusterError(
                f"the cluster has had no worker for {self.settings.patience:g} s; the model has the last average"
            )
        time.sleep(0.2)

    def _opened(self, addresses: tuple[str, ...]) -> _Crew | None:
        """The workers as members; None if one of them was lost meanwhile."""
        self._generation += 1
        lanes = _divided(self.model.batch_size, len(addresses))
        places = list(zip(addresses, lanes, strict=True))
        client = self.workers.client
        contents = {name: value for name, value in self.model.__getstate__().items() if name not in _NOT_SENT}
        with self.workers.reaching(addresses):
            given = self._data.portions(client, places)
            held_out = None if self._held_out is None else self._held_out.portions(client, places)
            (kept,) = client.scatter([contents], workers=list(addresses), broadcast=True, hash=False)
        jobs = {}
        for number, (address, mine) in enumerate(places):
            opening = Opening(
                self._key, self._generation, __version__, mine, self._capacity,
                given[number].portion, held_out[number].portion if held_out else None, self._data.weighted,
                self.settings.seed is not None and not self._data.spans.sequences,
            )  # fmt: skip
            values = (*given[number].values, *(held_out[number].values if held_out else ()))
            jobs[address] = Job(member.open_member, (opening, kept, *values))
        together = Together(self.workers, jobs)
        try:
            found = together.done()
        except BaseException:
            self.workers.tell(member.close, addresses, self._key, self._generation)
            raise
        self._crew = _Crew(self._generation, addresses, lanes, (), list(together.futures.values()))
        lost = [address for address, result in found.items() if isinstance(result, WorkerLostError)]
        if lost:
            self._breaks += 1
            if self._breaks > MOST_BREAKS:
                raise ClusterError(f"the workers {', '.join(lost)} are lost whenever they get their share of the data")
            self._disband()
            return None
        self._crew.places = tuple(found[address].place for address in addresses)
        self._crew.alike = len({found[address].layout for address in addresses}) == 1
        self._sent = None
        return self._crew

    def _note_workers(self, addresses: tuple[str, ...], crew: _Crew) -> None:
        """Report workers that have joined, and those that are idle."""
        new = set(crew.addresses) - self._known
        if self._known:
            for address in sorted(new):
                self._tell(self._position, "joined", f"{address} has joined; {len(crew.addresses)} take part now")
        self._known |= new
        idle = len(addresses) - len(crew.addresses)
        if idle and new:
            self._tell(
                self._position, "idle", f"{idle} of {len(addresses)} workers have nothing to do: each needs a lane, "
                f"and batch_size is {self.model.batch_size}",
            )  # fmt: skip

    def _disband(self) -> None:
        """Have all members give back what they hold."""
        crew, self._crew, self._sent = self._crew, None, None
        if crew is not None:
            self.workers.tell(member.close, crew.addresses, self._key, crew.generation)
            for future in crew.kept:
                future.release()

    def close(self) -> None:
        """End the run: nothing of it stays on the workers."""
        self._disband()

    # Measuring -------------------------------------------------------------------------------------------------------

    def measure(
        self, which: str, metrics: tuple[Metric, ...], carries: bool, before: Mapping[str, Floats] | None
    ) -> dict[str, float]:
        """Numbers over the data of all members. which: "data" or "held_out"; the loss is that of the latter only.

        carries: whether to go on from ``before``, or from the present state where that is None.
        """
        while True:
            crew = self._crew or self._form()
            jobs = {}
            for address, lanes in zip(crew.addresses, crew.lanes, strict=True):
                state = None
                if before is not None:
                    state = {name: value[..., lanes.first : lanes.stop, :] for name, value in before.items()}
                arguments = (self._key, crew.generation, which, metrics, carries, state)
                jobs[address] = Job(member.measure_part, arguments)
            results = Together(self.workers, jobs).done()
            if all(isinstance(found, dict) for found in results.values()):
                return _means(results.values(), metrics)
            for address in [address for address, found in results.items() if isinstance(found, WorkerLostError)]:
                self._tell(self._position, "lost", f"{address} was lost; the others measure its part")
            self._disband()


def _unless_lost(found: Any) -> Any:
    """A result; None if its worker was lost."""
    return None if isinstance(found, WorkerLostError) else found


def _divided(batch: int, count: int) -> tuple[Lanes, ...]:
    """The lanes of each of so many workers, as equal as can be."""
    ends = [batch * number // count for number in range(count + 1)]
    return tuple(Lanes(first, stop, batch) for first, stop in pairwise(ends))


def _means(parts: Iterable[dict[str, tuple[float, float]]], metrics: tuple[Metric, ...]) -> dict[str, float]:
    """The numbers of the whole, from sums over its parts."""
    sums: dict[str, list[float]] = {}
    for part in parts:
        for name, (total, weight) in part.items():
            both = sums.setdefault(name, [0.0, 0.0])
            both[0] += total
            both[1] += weight
    found = {name: total / weight if weight > 0.0 else 0.0 for name, (total, weight) in sums.items()}
    if any(metric.name == ROOT for metric in metrics):
        found[ROOT] = math.sqrt(found[ROOT])
    return found
