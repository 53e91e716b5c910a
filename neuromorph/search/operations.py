"""The operations that change a genome, as a table of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from ..host.frozen import frozen
from . import changing, growing, wiring
from .genome import Genome
from .setting import Setting

Change: TypeAlias = Callable[[Genome, np.random.Generator, Setting], "Genome | None"]


@frozen
class Operation:
    """One way to change a genome.

    change: takes the genome, a random generator and the `Setting`, and returns another genome, or None where it does
    not apply. The caller then drops dead nodes, and refuses what is no network, is too large, or joins unequal widths.
    weight: how often the operation is tried, relative to the others. grows: whether `random_text` uses it.
    """

    change: Change
    weight: float = 1.0
    grows: bool = False

    def __post_init__(self) -> None:
        if not callable(self.change):
            raise TypeError(f"Operation: change must be a function of (genome, rng, setting), not {self.change!r}")
        if not (isinstance(self.weight, int | float) and 0.0 <= self.weight < float("inf")):
            raise ValueError(f"Operation: weight must be a finite number >= 0, not {self.weight!r}")


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "add": Operation(growing.add, 2.0, grows=True),
        "branch": Operation(growing.branch, 1.0, grows=True),
        "gate": Operation(growing.gate, 1.0, grows=True),
        "link": Operation(wiring.link, 2.0, grows=True),
        "recur": Operation(wiring.recur, 1.0, grows=True),
        "split": Operation(growing.split, 0.5, grows=True),
        "remove": Operation(wiring.remove, 2.5),
        "rewire": Operation(wiring.rewire, 1.0),
        "delay": Operation(wiring.delay, 1.0),
        "widen": Operation(changing.widen, 1.0),
        "narrow": Operation(changing.narrow, 0.5),
        "activation": Operation(changing.activation, 1.0),
        "merge": Operation(changing.merge, 0.5),
        "cell": Operation(changing.cell, 0.7),
        "number": Operation(changing.number, 0.5),
    }
)
