"""Limits the time of a job in a process of its own, fairly: while it is stopped, or gets no processor, none is counted.

A job that computes for ever is ended by the system's own limit of processor time. One that waits for ever, such as for
a lock or a file on a server that is gone, is seen by its parent, where the system has ``/proc`` (Linux).
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field

MOST_COMPUTING = 1800  # seconds of processor time of a job
MOST_WAITING = 600.0  # seconds in a row that a job may wait for something
TICK = 5.0  # seconds between two looks at a job
_WAITS = "SD"  # states of a process that waits; T is one that is stopped, R one that runs, or would if it could


def limit_computing() -> None:
    """Have this process ended by SIGXCPU once it has computed for ``MOST_COMPUTING`` seconds."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
        known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_CPU, (min([MOST_COMPUTING, *known]), hard))
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def reason_of(status: int) -> str | None:
    """Why a process with an exit status was ended, if that was ``limit_computing``."""
    if status == -getattr(signal, "SIGXCPU", 0) != 0:
        return f"the compiler took more than {MOST_COMPUTING:,} s of processor time"
    return None


@dataclass
class Waiting:
    """How long a process has waited in a row, with no use of a processor."""

    process: int
    seconds: float = 0.0
    used: int = -1  # clock ticks of processor time at the last look
    looked: float = field(default_factory=time.monotonic)

    def look(self) -> str | None:
        """Look at the process; why it has to be ended, or None.

        Time in which nobody looked, since the parent was stopped too or the machine slept, is not counted.
        """
        gap, self.looked = time.monotonic() - self.looked, time.monotonic()
        state, used = _seen(self.process)
        if state == "R" or used != self.used:
            self.seconds, self.used = 0.0, used
        elif state in _WAITS and gap <= 3 * TICK:
            self.seconds += gap
        if self.seconds < MOST_WAITING:
            return None
        return f"the compiler has waited for {self.seconds:,.0f} s for a file or a lock"


def _seen(process: int) -> tuple[str, int]:
    """The state of a process and its processor time in clock ticks; "R" where that is not known."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return "R", 0
    return fields[0], int(fields[11]) + int(fields[12])
