"""The report of a kernel, as text and as a page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..host.atomic_write import check_name
from .page import page_of
from .records import Findings
from .tables import listing, tables


@dataclass(frozen=True)
class Inspection(Findings):
    """What ``neuromorph.inspect`` found. ``str`` of it is a page of tables; ``html()`` a page for the browser.

    Times: ``seconds`` is a window of the model's own kernel: forward, loss, backward, weight gradients and update of
    ``bptt_steps`` samples. The pieces are timed in a second kernel, compiled from the same source with a clock between
    them; each look at the clock waits until the piece is done, and what the look itself takes (``lap_seconds``, on
    average) is taken off. So their sum (``pieces_seconds``, with ``rest_seconds`` of the code between them and
    ``waiting_seconds`` at barriers) is not the kernel's time: it lacks what the processor does at the same time, which
    makes it larger, and in very short pieces the clock's own time is taken off too generously. ``sum_by_kernel`` says
    how far they are apart. With several threads, times of pieces are means over the threads; all are timed, also where
    training takes one thread as long as that is quicker (``contested``).

    FLOPs and bytes are counted from the plan: see the notes at the end of the tables. ``peak_gflops``: multiply-adds in
    registers, measured in the same call on as many threads as the kernel has.

    source: of the kernels, training's and prediction's. ir, assembly: of each function of training's kernel, stored
    when it was compiled; LLVM makes the text after the machine code, where a few moves and address computations may
    stand otherwise. ``linked``: whether compiling with line numbers gave the same assembly, instruction by instruction,
    so that all instructions have their source lines; where it did not, those of some functions have none.
    """

    def listing(self, function: str) -> str:
        """The assembly of one function of the kernel, each run of instructions below the source line it comes from.

        Raises ValueError, with the names there are, for another function.
        """
        return listing(self, function)

    def html(self) -> str:
        """One page with everything but the IR, which needs nothing from elsewhere: see ``save``."""
        return page_of(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file. OSError where that can't be done."""
        check_name(os.fspath(path))
        Path(path).write_bytes(self.html().encode("utf-8"))

    def __str__(self) -> str:
        return tables(self)
