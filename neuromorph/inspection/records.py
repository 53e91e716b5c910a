"""The records that an inspection is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from ..host.frozen import frozen
from ..machine import Listing
from .assembly import Routine
from .pieces import WHOLE

Lines = tuple[int, int]


@frozen
class LoopReport:
    """A loop over the time steps of a window. nodes: those in it. forward, backward: its operations in each pass."""

    number: int
    nodes: tuple[str, ...]
    forward: int
    backward: int


@frozen
class GroupReport:
    """Sibling layers that are one matrix product. reads: the nodes whose values are its incoming vector, in order.

    fan_in: rows of the weight matrix. columns: of all members, padded to whole vectors. loop: the time loop it runs in,
    None if it runs once over the whole window. bytes: of weights and biases.
    """

    number: int
    nodes: tuple[str, ...]
    reads: tuple[str, ...]
    fan_in: int
    columns: int
    loop: int | None
    bytes: int


@frozen
class BufferReport:
    """An array of the training kernel. name: as in the source. rows: of a workspace's buffer, 0 for flat arrays."""

    name: str
    holds: str
    rows: int
    row_bytes: int
    bytes: int


@frozen
class PieceReport:
    """A part of the kernel that was timed on its own; figures are for one window.

    nodes: the nodes that the work is for, each with its share. lines: first and last in the source. loop: the time loop
    it runs in, or None. seconds: measured. share: of ``Inspection.pieces_seconds``. peak_share: its FLOPs a second
    divided by the machine's peak, None without FLOPs. vector_bits: the most frequent width of its packed instructions,
    0 without any. packed_share: packed instructions among those of floating-point arithmetic, None without any.
    library_calls: scalar functions of other libraries that it calls, except those that fill or copy memory.
    """

    number: int
    function: str
    stage: str
    note: str
    nodes: tuple[tuple[str, float], ...]
    lines: Lines
    loop: int | None
    flops: float
    bytes: float
    seconds: float
    share: float
    peak_share: float | None
    vector_bits: int
    packed_share: float | None
    instructions: int
    library_calls: tuple[str, ...]

    @property
    def is_function(self) -> bool:
        """Whether it is a whole function of the source, and not one operation of the plan."""
        return self.function in WHOLE


@frozen
class NodeReport:
    """A node's part in the kernel: the sum of its shares of the pieces; figures are for one window.

    pieces: numbers of the pieces that it has a share of. divided: the part of its seconds that comes from pieces shared
    with other nodes; this part is estimated from the shares, not measured. The rest as in ``PieceReport``.
    """

    index: int
    name: str
    kind: str
    what: str
    width: int
    parameters: int
    flops: float
    bytes: float
    seconds: float
    share: float
    divided: float
    peak_share: float | None
    vector_bits: int
    packed_share: float | None
    library_calls: tuple[str, ...]
    pieces: tuple[int, ...]
    lines: tuple[Lines, ...]


@frozen
class Findings:
    """All that an inspection finds about a kernel. ``Inspection`` says what the fields are."""

    file: str
    text: str
    batch_size: int
    bptt_steps: int
    dtype: str
    optimizer: str
    threads: int
    contested: bool
    chunk: int
    cpu: str
    lanes: int
    vector_bits: int
    machine_bits: int
    parameters: int
    seconds: float
    rest_seconds: float
    waiting_seconds: float
    lap_seconds: float
    laps: float
    peak_gflops: float
    loops: tuple[LoopReport, ...]
    groups: tuple[GroupReport, ...]
    buffers: tuple[BufferReport, ...]
    pieces: tuple[PieceReport, ...]
    nodes: tuple[NodeReport, ...]
    listings: tuple[Listing, ...] = field(repr=False)
    source: str = field(repr=False)
    ir: Mapping[str, str] = field(repr=False)
    assembly: Mapping[str, str] = field(repr=False)
    routines: Mapping[str, tuple[Routine, ...]] = field(repr=False)
    linked: bool
    svg: str = field(repr=False)

    @property
    def program(self) -> str:
        """The machine's programs of training and of prediction, as text."""
        return "\n".join(map(str, self.listings))

    @property
    def flops(self) -> float:
        """Floating-point operations of a window."""
        return sum(piece.flops for piece in self.pieces)

    @property
    def bytes(self) -> float:
        """Bytes that the operations of a window read and write."""
        return sum(piece.bytes for piece in self.pieces)

    @property
    def gflops(self) -> float:
        """The speed of the model's own kernel, in 10⁹ floating-point operations a second."""
        return self.flops / self.seconds / 1e9

    @property
    def peak_share(self) -> float:
        """The kernel's speed as a fraction of the machine's peak."""
        return self.gflops / self.peak_gflops

    @property
    def pieces_seconds(self) -> float:
        """Seconds of a window as the sum of the pieces, the code between them and waiting at barriers."""
        return sum(piece.seconds for piece in self.pieces) + self.rest_seconds + self.waiting_seconds

    @property
    def sum_by_kernel(self) -> float:
        """``pieces_seconds`` divided by the kernel's own time."""
        return self.pieces_seconds / self.seconds

    def to_dict(self, *, texts: bool = True) -> dict[str, Any]:
        """All findings as numbers, strings, lists and dicts, ready for JSON. With ``texts=False``, program, source, IR,
        assembly and picture are left out."""
        left = {"routines", "listings"} | (set() if texts else {"source", "ir", "assembly", "svg"})
        kept = {name: value for name, value in vars(self).items() if name not in left}
        for name in ("loops", "groups", "buffers", "pieces", "nodes"):
            kept[name] = [asdict(entry) for entry in kept[name]]
        for name in ("ir", "assembly") if texts else ():
            kept[name] = dict(kept[name])
        kept |= {"program": self.program} if texts else {}
        derived = ("flops", "bytes", "gflops", "peak_share", "pieces_seconds", "sum_by_kernel")
        return kept | {name: getattr(self, name) for name in derived}
