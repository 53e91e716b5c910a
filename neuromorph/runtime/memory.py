"""The arrays of a built model."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..abi.mailbox import new_mailbox
from ..host.cached import cached_property
from ..host.cpu import CACHE_LINE
from .autotune import Autotuner
from .threadpool import ThreadPool

Floats = NDArray[Any]


def aligned_zeros(count: int, dtype: str) -> Floats:
    """A flat array of zeros that begins at the start of a cache line."""
    return _aligned(np.zeros(count * np.dtype(dtype).itemsize + CACHE_LINE, np.uint8), dtype)


def aligned_copy(array: Floats) -> Floats:
    """A copy that begins at the start of a cache line. Streams get one after every ``train``, so it is made quickly."""
    copy = _aligned(np.empty(array.nbytes + CACHE_LINE, np.uint8), array.dtype)
    copy[:] = array
    return copy


def _aligned(raw: NDArray[np.uint8], dtype: DTypeLike) -> Floats:
    """The part of some memory that begins at the start of a cache line, CACHE_LINE bytes shorter than the whole."""
    start = -raw.__array_interface__["data"][0] % CACHE_LINE
    return raw[start : start + len(raw) - CACHE_LINE].view(dtype)


@dataclass
class Memory:
    """The memory of a built model: flat arrays in the kernel's layout, and the workspaces that hold recurrent state.

    optimizer: the optimizer's slots one after the other. constants: the optimizer's numbers, followed by its counts.
    capacity: the samples of a window.
    """

    weights: Floats
    transposed: Floats
    gradients: Floats
    optimizer: Floats
    constants: NDArray[np.float64]
    space: Floats  # the workspaces one after the other: one that threads share, or one for each thread
    copies: int  # the number of workspaces
    row_losses: Floats
    capacity: int
    remembered: list[Floats] | None = None  # views of all recurrent state; made when it is first set to zeros
    pool: ThreadPool | None = None  # the pool of the last call by several threads
    number: int = field(default_factory=itertools.count(1).__next__)  # of this model, by which a pool knows it
    autotuners: dict[int, Autotuner] = field(default_factory=dict)  # by mode
    mailbox: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None  # for a thread that runs all members

    def alone(self, members: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The mailbox, and the numbers beside it, for one thread that runs all ``members`` members."""
        if self.mailbox is None:
            self.mailbox = new_mailbox(members)
        return self.mailbox

    @cached_property
    def for_skipping(self) -> Memory:
        """The same arrays for the kernels that skip what is not known.

        Threads that wait for calls of one kernel must not take those of another, so it has a number of its own.
        """
        return Memory(
            self.weights, self.transposed, self.gradients, self.optimizer, self.constants, self.space, self.copies,
            self.row_losses, self.capacity,
        )  # fmt: skip

    @property
    def spaces(self) -> list[Floats]:
        """Views of the workspaces."""
        size = len(self.space) // self.copies
        return [self.space[begin : begin + size] for begin in range(0, size * self.copies, size)]

    @cached_property
    def ones(self) -> Floats:
        """The weights of a window's rows if the user gives none: 1 for each row.

        They are made at first use, because a loaded file may claim very many rows.
        """
        return np.ones_like(self.row_losses)
