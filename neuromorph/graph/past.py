"""What the interpreter knows of the steps before: the values of nodes that are read back in time."""

from collections.abc import Mapping

import numpy as np

from ..functions.records import Array


class Past:
    """The values of nodes that are read back in time, so that a step costs the same however far back they are read.

    They stand in a ring with room for the state and for ``steps`` more; then each new value replaces the oldest.
    """

    def __init__(self, state: Mapping[int, Array], steps: int = 0) -> None:
        self._reach = {index: len(values) for index, values in state.items()}
        self._rings = {index: [*values[:1]] * steps + [*values] for index, values in state.items()}

    def at(self, index: int, number: int) -> Array:
        """The value of a node in a step; the steps before the first have negative numbers."""
        ring = self._rings[index]
        value: Array = ring[number % len(ring)]
        return value

    def keep(self, number: int, values: Mapping[int, Array]) -> None:
        """Put the values of a step into the place of the oldest ones."""
        for index, ring in self._rings.items():
            if index in values:
                ring[number % len(ring)] = values[index]

    def state(self, number: int) -> dict[int, Array]:
        """What a step with this number finds, as users have it: without the first axis where that has one step."""
        found: dict[int, Array] = {}
        for index, far in self._reach.items():
            rows = np.stack([self.at(index, number - k) for k in range(far, 0, -1)])
            found[index] = rows if far > 1 else rows[0]
        return found
