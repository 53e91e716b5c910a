"""What specialises a kernel beside its graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelOptions:
    """What specialises a kernel beside its graph.

    threads: that run a window together. chunk: rows that a model without loops takes through all its layers at once,
    each thread in a workspace and with gradients of its own; 0 where a window goes through layer by layer, whole.
    columns: whether threads divide the layers of a model without loops by columns, and not a window's rows. Threads of
    a model with links in time always go apart: each takes some lanes through a window by itself, in a workspace and
    with gradients of its own.
    """

    batch: int
    dtype: str
    lanes: int
    registers: int
    optimizer: str = "sgd"
    threads: int = 1
    chunk: int = 0
    columns: bool = False

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return 4 if self.dtype == "float32" else 8
