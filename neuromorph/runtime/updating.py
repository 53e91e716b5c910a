"""Makes the optimizer's update of a model with gradients that are given, such as the mean of those of several
processes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..abi.mailbox import UPDATE
from ..optimizers import UPDATES
from .instant import InstantKernels
from .network import Network

Floats = NDArray[Any]


class Updater:
    """Makes updates of a built model by the machine, with the bits of the model's own kernel in one thread."""

    def __init__(self, network: Network) -> None:
        self._network = network
        kernels = InstantKernels(network.graph, replace(network.options, threads=1))
        self._run, self._leading = kernels.entry("train", 1, network.batch_size)
        self._none, self._losses = np.zeros(1, network.dtype), np.zeros(1)

    def update(self, gradients: Floats) -> bool:
        """Change the parameters by one step of the optimizer, at the model's ``learning_rate`` and ``clip_norm``.

        gradients: flat, in the layout of the parameters. Returns False, and changes nothing, if one of them is not
        finite, or if the sum of their squares is needed and is not finite.
        """
        network, none = self._network, self._none
        with network.lock, network.changing:
            memory = network.memory()
            done = self._run(
                *self._leading, 0, 0, 0, 1, UPDATE, none, memory.weights, none, gradients, memory.optimizer,
                memory.constants, none, none, none, 0, none, self._losses, network.learning_rate,
                network.clip_norm or 0.0,
            )  # fmt: skip
        return int(done) == 1


class Learned:
    """All numbers that updates change, as one vector: parameters, then the optimizer's slots, each in text order.

    The optimizer's counts are beside it. On every machine the vector is the same, whatever its kernels are.
    """

    def __init__(self, network: Network) -> None:
        self._network, update = network, UPDATES[network.options.optimizer]
        size, self.places = network.kernels.plan.layout.size, network.learning_places()
        self._slots_size = len(update.slots) * size
        slots = [self.places + number * size for number in range(len(update.slots))]
        self._slots = np.concatenate(slots) if slots else np.zeros(0, np.intp)
        self._counts = slice(len(update.constants), len(update.constants) + len(update.counts))
        self._whole = size if all(array.learns for array in network.graph.arrays) else 0

    @property
    def size(self) -> int:
        """Elements of the vector."""
        return len(self.places) + len(self._slots)

    @property
    def all_learns(self) -> bool:
        """Whether no parameter is frozen, so that flat arrays can be averaged as they are."""
        return self._whole > 0

    def get_flat(self) -> tuple[Floats, NDArray[np.float64]]:
        """Copies of the flat arrays, one after the other, in this machine's layout; and of the counts."""
        with self._network.lock:
            memory = self._network.memory()
            flat = np.concatenate([memory.weights[: self._whole], memory.optimizer[: self._slots_size]])
            return flat, memory.constants[self._counts].copy()

    def set_flat(self, flat: Floats, counts: NDArray[np.float64]) -> None:
        """Set the numbers that ``get_flat`` gave."""
        with self._network.lock, self._network.changing:
            memory = self._network.memory()
            memory.weights[: self._whole], memory.optimizer[: self._slots_size] = np.split(flat, [self._whole])
            memory.constants[self._counts] = counts
            self._network.publish()

    def ordered(self, flat: Floats) -> Floats:
        """The vector of flat arrays."""
        return np.concatenate([flat[self.places], flat[self._whole + self._slots]])

    def get(self) -> tuple[Floats, NDArray[np.float64]]:
        """Copies of the vector and of the counts."""
        with self._network.lock:
            memory = self._network.memory()
            vector = np.concatenate([memory.weights[self.places], memory.optimizer[self._slots]])
            return vector, memory.constants[self._counts].copy()

    def set(self, vector: Floats, counts: NDArray[np.float64]) -> None:
        """Set the numbers that ``get`` gave, here or in another process."""
        with self._network.lock, self._network.changing:
            memory, count = self._network.memory(), len(self.places)
            memory.weights[self.places], memory.optimizer[self._slots] = vector[:count], vector[count:]
            memory.constants[self._counts] = counts
            self._network.publish()
