"""Names the vectors of a pass as the user knows them, for messages, also after packing and shuffling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import TrainingData


@dataclass(frozen=True, eq=False)
class Places:
    """Where the vectors of a pass were in the user's data.

    layout: of the call. sequences: whether the data are several sequences, and group: the number of this one. lanes: of
    a sample. order: the units of the data in the order of training (see ``data/mixing.py``), if they were shuffled.
    first: the number of the first sample, if the pass is a part of one sequence.
    """

    layout: str | None
    sequences: bool
    lanes: int
    group: int = 0
    order: NDArray[np.intp] | None = None
    first: int = 0

    def loss(self, sample: int, lane: int | None) -> str:
        """What messages call a loss. lane: the lane whose loss it is, if that is known."""
        if self.order is None and self.layout is None:
            return f"sample {self.first + sample}{self.where}"
        if lane is None:
            return self.span(sample, sample + 1)
        return self._vector(sample, lane)

    def span(self, begin: int, end: int) -> str:
        """What messages call the samples from ``begin`` to before ``end``."""
        if self.sequences or (self.order is None and self.layout is None):
            word, begin, end = "sample" if self.layout is None else "step", self.first + begin, self.first + end
            steps = f"{word} {begin}" if end - begin == 1 else f"{word}s {begin} to {end - 1}"
            return f"{steps}{self.where}"
        return f"{self._vector(begin, 0)} and others"

    @property
    def where(self) -> str:
        """The end of a message that names the sequence; empty if there is only one."""
        if not self.sequences:
            return ""
        unit = self._unit(0, 0)
        if self.order is None and self.layout is None:
            return f" of sequence {self.group}"
        return f" of sequence {unit if self.layout else unit // self.lanes}" + " and others" * (self.lanes > 1)

    def _vector(self, sample: int, lane: int) -> str:
        """The name of a vector."""
        unit = self._unit(sample, lane)
        if self.layout is not None:
            return f"step {sample} of sequence {unit}" if self.sequences else f"vector {unit}"
        number, lane = divmod(unit, self.lanes)
        of = f"sample {sample} of sequence {number}" if self.sequences else f"sample {number}"
        return f"lane {lane} of {of}" if self.lanes > 1 else of

    def _unit(self, sample: int, lane: int) -> int:
        """The number of the unit that is in a lane (see ``data/mixing.py``)."""
        unit = (self.group if self.sequences else self.first + sample) * self.lanes + lane
        return unit if self.order is None else int(self.order[unit])


def places_of(data: TrainingData, group: int = 0, order: NDArray[np.intp] | None = None, first: int = 0) -> Places:
    """The places of one sequence, or group of lanes, or part of one sequence, of the data."""
    layout = None if data.reading is None else data.reading.layout
    return Places(layout, data.sequences, data.inputs.shape[-2], group, order, first)
