"""What a run on a cluster says about its workers: ``Report``, which the history of the run has as ``cluster``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ..history import History


@dataclass
class Event:
    """Something that happened to the workers of a run. epoch: its number; update: windows of it that were averaged."""

    epoch: int
    update: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, after {self.update:,} windows: {self.text}"


@dataclass
class Report:
    """The workers of a run, and what happened to them.

    workers: the number of workers at the end of each epoch. events: in order; ``kind`` is "lost" (a worker died, or
    could not be reached), "joined", "idle" (there are more workers than lanes) or "again" (a part was begun anew).
    computing, waiting: seconds of all workers together in kernels, and for one another. rounds: averages.
    """

    workers: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    computing: float = 0.0
    waiting: float = 0.0
    rounds: int = 0

    @property
    def lost(self) -> int:
        """How many workers were lost."""
        return sum(event.kind == "lost" for event in self.events)

    @property
    def joined(self) -> int:
        """How many workers joined after the beginning."""
        return sum(event.kind == "joined" for event in self.events)

    def __str__(self) -> str:
        busy = self.computing / max(1e-9, self.computing + self.waiting)
        count = self.workers[-1] if self.workers else 0
        head = f"{count} worker{'s' * (count != 1)}, {self.rounds:,} averages, {busy:.0%} of the time in kernels"
        return "\n".join([head, *map(str, self.events)])


@dataclass(repr=False)
class ClusterHistory(History):
    """The record of ``neuromorph.distributed.fit``: a ``History`` with a report on the cluster."""

    cluster: Report = field(default_factory=Report)

    def __reduce__(self) -> Any:
        """Pickles and copies have a plain ``History``, which needs no Dask."""
        return History, tuple(getattr(self, own.name) for own in fields(History))

    def _said(self) -> list[str]:
        lost, joined = self.cluster.lost, self.cluster.joined
        counted = [(count, what) for count, what in ((lost, "lost"), (joined, "joined")) if count]
        return [*super()._said(), *(f"{count} worker{'s' * (count != 1)} {what}" for count, what in counted)]
