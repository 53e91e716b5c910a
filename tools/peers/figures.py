"""Figures beside what they are to be, and new Python processes that measure them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import report

LIMIT = 600  # seconds for a process


@dataclass(frozen=True)
class Figure:
    """What several runs gave. Their median counts. target: its upper bound, or with ``least`` its lower bound."""

    name: str
    unit: str
    runs: Sequence[float]
    target: float | None = None
    least: bool = False

    @property
    def median(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def missed(self) -> bool:
        """Whether there is a target, and the median is beyond it."""
        if self.target is None:
            return False
        return self.median < self.target if self.least else self.median > self.target

    def line(self, width: int = 0) -> str:
        """The figure as a line of text. width: characters for the name."""
        spread = f"{min(self.runs):.3g} to {max(self.runs):.3g}" if len(self.runs) > 1 else ""
        aimed = "" if self.target is None else f"{'>=' if self.least else '<='} {self.target:g}"
        mark = "  missed" if self.missed else ""
        return f"{self.name:{width}}  {self.median:8.3g} {self.unit:<7}  {spread:<18}  {aimed}{mark}".rstrip()


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines below one another, under a line that says what the columns are."""
    width = max(len(figure.name) for figure in figures)
    head = f"{'':{width}}  {'median':>8} {'':<7}  {'of all runs':<18}  aimed at"
    return "\n".join([head, *(figure.line(width) for figure in figures)])


def announced() -> dict[str, object]:
    """Print what machine this is, and that it is busy if it is. Returns it as ``report.machine`` gives it."""
    machine = report.machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}", flush=True)
    if (machine["load"] or 0.0) > 0.5:
        print(f"the machine is busy (load {machine['load']:.1f}): the figures below mean little", flush=True)
    return machine


def process(command: Sequence[str], folder: str, order: str = "", variables: Mapping[str, str] | None = None) -> str:
    """The output of a new Python process whose caches are in ``folder``. SystemExit if it fails.

    order: what it reads. variables: of its environment.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"NEUROMORPH_CACHE_DIR": str(Path(folder) / "cache"), "NUMBA_CACHE_DIR": str(Path(folder) / "numba")}
    environment |= variables or {}
    done = subprocess.run(
        [sys.executable, *command], input=order, env=environment, capture_output=True, text=True, timeout=LIMIT
    )
    if done.returncode:
        raise SystemExit(f"a process failed:\n{done.stderr}")
    return done.stdout


def timed(command: Sequence[str], folder: str, order: str = "", variables: Mapping[str, str] | None = None) -> float:
    """The seconds of a whole process, from its start to its end."""
    started = time.perf_counter()
    process(command, folder, order, variables)
    return time.perf_counter() - started


def resident() -> float:
    """Megabytes of memory that this process holds now; the most that it has held, where the system says no more."""
    pages = Path("/proc/self/statm")
    if pages.is_file():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    import resource

    unit = 1.0 if sys.platform == "darwin" else 1024.0  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
