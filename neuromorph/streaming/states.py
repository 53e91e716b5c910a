"""The state of objects that run a model step by step: how users get, set and reset it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, brief
from ..runtime.state import set_state

Floats = NDArray[Any]


class Stateful:
    """An object with a state of so many lanes."""

    __slots__ = ()
    _lanes: int

    @property
    def lanes(self) -> int:
        """The number of independent sequences that advance together."""
        return self._lanes

    @abstractmethod
    def _all_state(self) -> dict[str, Floats]:
        """Views of the state of all lanes."""

    def _views(self, lane: int | None) -> dict[str, Floats]:
        """Views of the state: (lanes, width), or (width,) for one lane. A node that is read further than one step back
        has an axis of steps before these, the oldest first."""
        if lane is None:
            return self._all_state()
        if isinstance(lane, bool) or not isinstance(lane, int | np.integer):
            raise TypeError(f"lane must be a whole number, not {brief(lane)}")
        if not 0 <= lane < self._lanes:
            raise DataError(f"lane is {brief(int(lane))}, but must be from 0 to {self._lanes - 1}")
        return {name: view[..., lane, :] for name, view in self._all_state().items()}

    def get_state(self, lane: int | None = None) -> dict[str, Floats]:
        """A copy of the state, named as in ``Model.state``: (lanes, width), or (width,) for one lane. A node that is
        read up to K > 1 steps back has (K, lanes, width) or (K, width), the oldest step first."""
        return {name: view.copy() for name, view in self._views(lane).items()}

    def set_state(self, values: Any, lane: int | None = None) -> None:
        """Set some or all of the state, of all lanes or of one. Each value is broadcast to its shape.

        Raises DataError for unknown names, shapes that do not fit and numbers that are not finite; then nothing is
        changed.
        """
        set_state(self._views(lane), values)

    @property
    def state(self) -> dict[str, Floats]:
        """A copy of the state: {name of a node that a link in time reads: (lanes, width)}, or (K, lanes, width) as in
        ``get_state``. Some or all of it can be set."""
        return self.get_state()

    @state.setter
    def state(self, values: Any) -> None:
        self.set_state(values)

    def reset(self, lane: int | None = None) -> None:
        """Set the state to zeros, of all lanes or of one."""
        for view in self._views(lane).values():
            view[:] = 0.0
