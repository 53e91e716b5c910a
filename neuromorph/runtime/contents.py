"""What the memory of a network holds, by name: parameters, the optimizer's slots, dropout masks and recurrent state."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import as_broadcast
from ..errors import DataError, brief, nearest
from ..graph import Graph
from ..optimizers import UPDATES, Update
from ..schedule import Layout, Workspace
from .feeds import Feeds
from .forked import Changing
from .kernels import Kernels
from .memory import Memory
from .settings import Settings
from .sparse import write_copies
from .state import as_dict, set_state, state_pieces, state_views

Floats = NDArray[Any]


class Contents(Settings):
    """Named views of the memory. Code that reads or writes it holds ``lock``, and while it writes ``changing``."""

    lock: threading.RLock
    changing: Changing
    feeds: Feeds

    @property
    @abstractmethod
    def kernels(self) -> Kernels:
        """The generated and compiled kernels."""

    @abstractmethod
    def memory(self) -> Memory:
        """The arrays of a built model."""

    def get_parameters(self) -> dict[str, Floats]:
        """Copies of all parameters: "<layer>.weight" (fan_in, width) and "<layer>.bias" (width,), in text order."""
        with self.lock:
            return self.unpack(self.memory().weights)

    def unpack(self, flat: Floats) -> dict[str, Floats]:
        """The named arrays of a flat array of parameters in the kernel's layout."""
        return {name: flat[place] for name, place in self._places().items()}

    def unpack_gradients(self, flat: Floats) -> dict[str, Floats]:
        """The named arrays of a flat array of gradients, for the parameters that learn."""
        return {name: flat[place] for name, place in self._learning().items()}

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set some or all parameters. Each value is broadcast to the parameter's shape.

        Raises DataError for an unknown name, a shape that does not broadcast, or a value that is no finite real number;
        then nothing is changed.
        """
        given = as_dict("parameters", parameters)
        with self.lock, self.changing:
            weights, places = self.memory().weights, self._places()
            fresh = weights.copy()
            for name, value in given.items():
                if name not in places:
                    raise DataError(f"the model has no parameter {brief(name)}{_hint(name, places)}")
                fresh[places[name]] = as_broadcast(name, value, shape=places[name].shape, dtype=self.dtype)
                if name.endswith(".scale") and not fresh[places[name]].all():
                    raise DataError(f"{name} must not be 0: vectors are divided by it")
            write_copies(self.kernels.plan.layout, self.kernels.sparse, fresh)
            weights[:] = fresh
            self.publish()

    def publish(self) -> None:
        """Hand the weights to the streams of this model. Called only after whole updates."""
        self.feeds.publish(self.memory().weights)

    def _places(self) -> dict[str, NDArray[np.intp]]:
        """The indices of each parameter in the flat arrays, by name."""
        layout = self.kernels.plan.layout
        return {array.name: layout.places(array.node, array.role) for array in self._graph.arrays}

    def _learning(self) -> dict[str, NDArray[np.intp]]:
        """The indices of each parameter that training changes, by name."""
        layout = self.kernels.plan.layout
        return {array.name: layout.places(array.node, array.role) for array in self._graph.arrays if array.learns}

    def learning_places(self) -> NDArray[np.intp]:
        """The indices in the flat arrays of all numbers that training changes, parameter by parameter in text order."""
        return learning_places(self._graph, self.kernels.plan.layout)

    @property
    def _update(self) -> Update:
        """The optimizer's update: its formulas, slots and counts."""
        return UPDATES[self._options.optimizer]

    @property
    def optimizer_state(self) -> dict[str, Floats]:
        """Copies of the optimizer's slots, "<slot>.<parameter>", shaped like the parameter, and counts, of shape ().
        All are zeros at first. Some or all can be set."""
        with self.lock:
            memory, first = self.memory(), len(self._update.constants)
            slots = zip(self._update.slots, self._slots(memory.optimizer), strict=True)
            found = {f"{slot}.{name}": flat[place] for slot, flat in slots for name, place in self._learning().items()}
            counts = enumerate(self._update.counts, first)
            return found | {name: np.array(memory.constants[number]) for number, (name, _) in counts}

    @optimizer_state.setter
    def optimizer_state(self, values: Mapping[str, Any]) -> None:
        given = as_dict("optimizer_state", values)
        with self.lock, self.changing:
            memory, first = self.memory(), len(self._update.constants)
            fresh, constants, places = memory.optimizer.copy(), memory.constants.copy(), self._learning()
            slots = dict(zip(self._update.slots, self._slots(fresh), strict=True))
            counts = {name: number for number, (name, _) in enumerate(self._update.counts, first)}
            for name, value in given.items():
                slot, _, parameter = name.partition(".") if isinstance(name, str) else ("", "", "")
                if name in counts:
                    number = as_broadcast(name, value, shape=(), dtype=constants.dtype)
                    constants[counts[name]] = np.clip(number, 0.0, 1.0)
                elif slot in slots and parameter in places:
                    place = places[parameter]
                    slots[slot][place] = as_broadcast(name, value, shape=place.shape, dtype=self.dtype)
                else:
                    raise DataError(f"the optimizer remembers nothing named {brief(name)}")
            memory.optimizer[:], memory.constants[:] = fresh, constants

    @property
    def _drops(self) -> bool:
        """Whether training makes dropout masks."""
        return self.kernels.plan.training.drops

    @property
    def dropout_state(self) -> tuple[int, int] | None:
        """The key of the dropout masks, and the number of updates so far; None for a model without dropout."""
        with self.lock:
            if not self._drops:
                return None
            key, updates = self.memory().constants[-2:]
            return int(key), int(updates)

    @dropout_state.setter
    def dropout_state(self, value: tuple[int, int] | None) -> None:
        with self.lock, self.changing:
            if (value is not None) != self._drops:
                raise DataError("a model has a key of dropouts where it has a dropout, and only there")
            if value is not None:
                self.memory().constants[-2:] = value

    def _slots(self, flat: Floats) -> list[Floats]:
        """Views of the optimizer's slots, each in the layout of the parameters."""
        size = self.kernels.plan.layout.size
        return [flat[number * size : (number + 1) * size] for number in range(len(self._update.slots))]

    def _state_views(self) -> list[dict[str, Floats]]:
        """Views of the state that the next window starts from, by the name that a link in time reads. There is a dict
        for each workspace; together they have all lanes in order."""
        return [state_views(*where) for where in self._workspaces(self.memory())]

    def _workspaces(self, memory: Memory) -> Iterator[tuple[Workspace, Floats, int, int]]:
        """Each workspace: its layout, its elements, the number of its steps, and the number of its lanes."""
        plan = self.kernels.plan
        for number, space in enumerate(memory.spaces):
            yield plan.training_space, space, memory.capacity, len(plan.lanes_of(number))

    @property
    def state(self) -> dict[str, Floats]:
        """A copy of the recurrent state after the last ``train``: {name of a node that a link in time reads: (B,
        width)}, or (K, B, width), the oldest step first, for a node that is read up to K > 1 steps back."""
        with self.lock:
            parts = self._state_views()
            return {name: np.concatenate([part[name] for part in parts], axis=-2) for name in parts[0]}

    @state.setter
    def state(self, values: Mapping[str, Any]) -> None:
        with self.lock, self.changing:
            fresh, plan = self.state, self.kernels.plan
            names = set_state(fresh, values)
            for number, part in enumerate(self._state_views()):
                for name in names:  # not the other names, which may belong to the same nodes
                    part[name][:] = fresh[name][..., plan.lanes_of(number), :]

    def reset_state(self) -> None:
        """Set the recurrent state to zeros."""
        with self.lock, self.changing:
            self.clear_state(self.memory())

    def copy_state(self, memory: Memory) -> None:
        """Copy the recurrent state into other memory of this model."""
        for mine, others in zip(self._workspaces(self.memory()), self._workspaces(memory), strict=True):
            pieces = state_pieces(*others)
            for index, piece in state_pieces(*mine).items():
                pieces[index][:] = piece

    def clear_state(self, memory: Memory) -> None:
        """Fill the recurrent state in the model's memory with zeros. The caller holds ``lock`` and ``changing``."""
        for view in self.state_pieces_of(memory):
            view.fill(0.0)

    def state_pieces_of(self, memory: Memory) -> list[Floats]:
        """Views of all recurrent state in memory of this model, in one order for one memory."""
        if memory.remembered is None:
            memory.remembered = [view for where in self._workspaces(memory) for view in state_pieces(*where).values()]
        return memory.remembered


def _hint(name: Any, known: Mapping[str, Any]) -> str:
    """A part of a message that suggests the known name nearest to an unknown one; empty if none is near."""
    near = nearest(name, known) if isinstance(name, str) else None
    return f"; did you mean {near!r}?" if near else ""


def learning_places(graph: Graph, layout: Layout) -> NDArray[np.intp]:
    """The indices in the flat arrays of all numbers that training changes, parameter by parameter in text order.

    That order is the same on every machine; the flat arrays depend on the width of its vectors.
    """
    places = [layout.places(array.node, array.role).ravel() for array in graph.arrays if array.learns]
    return np.concatenate(places) if places else np.zeros(0, np.intp)
