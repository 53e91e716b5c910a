"""The options for which a kernel is made: the batch, the SIMD width, and how threads divide a window."""

from __future__ import annotations

from ..host.frozen import frozen


@frozen
class Alone:
    """A division among no threads: one thread computes whole windows, layer by layer."""

    @property
    def threads(self) -> int:
        """The number of threads: 1."""
        return 1

    def __str__(self) -> str:
        return "1 thread"


@frozen
class ByRows:
    """A division by rows: threads share a workspace, each computes some rows of every layer, with barriers between
    layers."""

    threads: int

    def __str__(self) -> str:
        return f"{self.threads} threads, by rows"


@frozen
class InChunks:
    """A division in chunks: each thread takes ``rows`` rows through all layers before it takes the next ones.

    It has a workspace and gradients of its own. One thread alone may take chunks too.
    """

    threads: int
    rows: int

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' * (self.threads > 1)}, in chunks of {self.rows} rows"


@frozen
class ByColumns:
    """A division by columns: threads share a workspace, each computes some columns of every layer.

    Of a layer that can't be cut by columns, each thread computes some rows.
    """

    threads: int

    def __str__(self) -> str:
        return f"{self.threads} threads, by columns"


@frozen
class ByBatch:
    """A division by lanes: each thread takes some lanes of the batch through a window, without waiting for others.

    It has a workspace and gradients of its own. With links in time, other divisions would need a barrier at each step.
    """

    threads: int

    def __str__(self) -> str:
        return f"{self.threads} threads, by lanes of the batch"


Division = Alone | ByRows | InChunks | ByColumns | ByBatch
ALONE = Alone()


@frozen
class KernelOptions:
    """The options for which a kernel is made, beside its graph.

    batch: the lanes of a sample. lanes: the SIMD width, in elements. registers: the processor's vector registers.
    division: how threads divide a training window. skips: whether NaN among the expected values means that a component
    is not known: then it has no loss and no gradient, and the loss of a vector is the mean over the others.
    """

    batch: int
    dtype: str
    lanes: int
    registers: int
    optimizer: str = "sgd"
    division: Division = ALONE
    skips: bool = False

    @property
    def threads(self) -> int:
        """The number of threads that run a training window together."""
        return self.division.threads

    @property
    def size(self) -> int:
        """The size of a number in bytes."""
        return 4 if self.dtype == "float32" else 8
