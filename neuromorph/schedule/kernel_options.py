"""What specialises a kernel beside its graph: the batch, the machine's vectors, and how threads divide a window."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Alone:
    """One thread takes whole windows through, layer by layer."""

    @property
    def threads(self) -> int:
        """One."""
        return 1

    def __str__(self) -> str:
        return "1 thread"


@dataclass(frozen=True)
class ByRows:
    """Threads share a workspace. Each takes some rows of every layer, and they meet between layers."""

    threads: int

    def __str__(self) -> str:
        return f"{self.threads} threads, by rows"


@dataclass(frozen=True)
class InChunks:
    """Each thread takes ``rows`` rows through all layers at once, in a workspace and with gradients of its own, and
    then the next. One thread may do so too."""

    threads: int
    rows: int

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' * (self.threads > 1)}, in chunks of {self.rows} rows"


@dataclass(frozen=True)
class ByColumns:
    """Threads share a workspace. Each takes some columns of every layer, or some rows of a layer that can't be cut."""

    threads: int

    def __str__(self) -> str:
        return f"{self.threads} threads, by columns"


@dataclass(frozen=True)
class ByBatch:
    """Each thread takes some lanes of the batch through a window by itself, in a workspace and with gradients of its
    own: where links in time would make threads wait for one another at every step."""

    threads: int

    def __str__(self) -> str:
        return f"{self.threads} threads, by lanes of the batch"


Division = Alone | ByRows | InChunks | ByColumns | ByBatch
ALONE = Alone()


@dataclass(frozen=True)
class KernelOptions:
    """What specialises a kernel beside its graph.

    batch: lanes of a sample. lanes: elements of a vector. registers: that the processor has for vectors. division: how
    threads divide a training window.
    """

    batch: int
    dtype: str
    lanes: int
    registers: int
    optimizer: str = "sgd"
    division: Division = ALONE

    @property
    def threads(self) -> int:
        """Threads that run a training window together."""
        return self.division.threads

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return 4 if self.dtype == "float32" else 8
