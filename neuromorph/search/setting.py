"""What operations need beside a genome: limits, choices, and draws from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from ..host.frozen import frozen
from .genome import Gene, Genome
from .limits import Choices, Limits

T = TypeVar("T")
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # without those that look alike
_TAG = 3  # letters at the end of a new node's name


@frozen
class Setting:
    """What operations may make."""

    limits: Limits = Limits()
    choices: Choices = Choices()

    def cells(self, genome: Genome) -> tuple[str, ...]:
        """The cells that a genome may use: none if links in time are not allowed."""
        return (*self.choices.cells, *sorted(genome.cells)) if self.limits.delay else ()

    def drawn_width(self, rng: np.random.Generator) -> int:
        """A width from 1 to the limit, small ones more often."""
        return drawn(rng, range(1, 1 + drawn(rng, range(1, 1 + self.limits.width))))

    def drawn_delay(self, rng: np.random.Generator) -> int:
        """A number of steps from 1 to the limit, small ones more often."""
        return min(int(rng.geometric(0.6)), self.limits.delay)


def drawn(rng: np.random.Generator, values: Sequence[T]) -> T:
    """One of the values, each with the same probability."""
    return values[int(rng.integers(len(values)))]


def fresh(genome: Genome, rng: np.random.Generator, stem: str) -> str:
    """A new name for a node: a stem, and letters that make it unlikely that another text has the same name."""
    while True:
        name = f"{stem}_{''.join(_LETTERS[index] for index in rng.integers(len(_LETTERS), size=_TAG))}"
        if name not in genome.by_name:
            return name


def free_nodes(genome: Genome) -> list[Gene]:
    """The nodes that operations may change: all but the input and the output."""
    return [gene for gene in genome.genes if not gene.is_fixed]


def is_layer(gene: Gene) -> bool:
    """Whether a node says its own width, and so may read a vector of any width."""
    return gene.width is not None and not gene.is_input


def takes_any_width(genome: Genome, name: str) -> bool:
    """Whether all that reads a node may read another width: layers that read it as their source, directly or joined."""
    return all(
        is_layer(reader) or (reader.function == "concatenate" and takes_any_width(genome, reader.name))
        for reader in genome.readers[name]
    )
