"""Processes that coordinate sweeps, as a store knows them: each by its machine, its number and the time it began."""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Self

from ..host import processes
from ..host.frozen import frozen

SILENCE = 60.0  # seconds without a sign of life after which the coordinator on another machine counts as dead
of_this_process: set[str] = set()  # the names of the coordinators that are at work here


@frozen
class Coordinator:
    """One sweep. host: the machine, and the space of process numbers there. started: of the process, "" if unknown."""

    name: str
    host: str
    process: int
    started: str

    @classmethod
    def this(cls) -> Self:
        """A new coordinator in this process."""
        return cls(uuid.uuid4().hex, _host(), os.getpid(), processes.began(os.getpid()))

    def lives(self, beat: float, now: float) -> bool:
        """Whether the process is there; on another machine, whether its last sign of life is not old.

        beat: the time of that sign, in seconds.
        """
        if self.host != _host():
            return now - beat < SILENCE
        if self.process == os.getpid() and self.started == processes.began(self.process):
            return self.name in of_this_process
        if not processes.is_there(self.process):
            return False
        started = processes.began(self.process)
        return not started or not self.started or started == self.started


def _host() -> str:
    parts = [socket.gethostname()]
    for read in (_boot, _space):
        with suppress(OSError):
            parts.append(read())
    return " ".join(parts)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _space() -> str:
    return os.readlink("/proc/self/ns/pid")
