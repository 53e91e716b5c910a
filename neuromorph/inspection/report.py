"""The report of a kernel, as text and as a page."""

from __future__ import annotations

import os

from ..host.atomic_write import check_name, write_file
from ..host.frozen import frozen
from .page import page_of
from .records import Findings
from .tables import listing, tables


@frozen
class Inspection(Findings):
    """The report that ``neuromorph.inspect`` returns. ``str`` of it gives tables, ``html()`` a page for the browser.

    Times: ``seconds`` is the time of a window in the model's own kernel: forward, loss, backward, weight gradients and
    update of ``bptt_steps`` samples. The pieces are timed in a second kernel, compiled from the same source with a
    clock between the pieces. Each reading of the clock waits until the piece is done. The mean time of a reading
    (``lap_seconds``) is subtracted.

    ``pieces_seconds`` is the sum of the pieces, of ``rest_seconds`` in the code between them and of ``waiting_seconds``
    at barriers. It differs from ``seconds``. It is larger because pieces can't overlap in the processor, and smaller
    because too much is subtracted from very short pieces. ``sum_by_kernel`` is ``pieces_seconds / seconds``. With
    several threads, times of pieces are means over the threads. All threads are timed, even if training would use one
    thread as long as that is quicker (``contested``).

    FLOPs and bytes are counted from the plan: see the notes at the end of the tables. ``peak_gflops``: the machine's
    peak in 10⁹ FLOPs a second, measured in the same call by multiply-adds in registers, on as many threads as the
    kernel has.

    file: the name of the model's file; empty for a text. program: the machine's programs of training and prediction,
    which run the model until its kernel is compiled. source: of the kernels of training and prediction. ir, assembly:
    of each function of the training kernel. LLVM makes the assembly text separately from the machine code, so a few
    moves and address computations may be placed differently. ``linked``: whether compiling with line numbers gave the
    same instructions, so that all instructions have source lines; if not, the instructions of some functions have none.
    """

    def listing(self, function: str) -> str:
        """The assembly of one function of the kernel, with each source line above the instructions that come from it.

        Raises ValueError, listing the functions, for an unknown name.
        """
        return listing(self, function)

    def html(self) -> str:
        """One HTML page with everything but the IR; it loads no other file. ``save`` writes it to a file."""
        return page_of(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the HTML page to a file, whole or not at all. Raises OSError if that fails."""
        check_name(os.fspath(path))
        write_file(path, self.html().encode("utf-8"))

    def __repr__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        what = f"{self.parameters:,} parameters, batch {self.batch_size}, {self.dtype}, {threads}"
        return f"<neuromorph.Inspection: {what}, {self.seconds * 1e6:,.1f} µs a window, {self.gflops:.1f} GFLOPS>"

    def __str__(self) -> str:
        return tables(self)
