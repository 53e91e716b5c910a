"""``Network``: a model's graph, options and memory, below everything that is done with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import as_broadcast
from ..errors import DataError, ModelStateError, brief, nearest
from ..functions.dropout import KEYS
from ..graph import Graph, build_graph, freeze
from ..host.interrupts import held
from ..language import parse
from ..optimizers import UPDATES, Optimizer, Update
from ..options import CompileOptions, finite_number
from ..schedule import Workspace, padded
from . import background, seeding
from .background import Request
from .feeds import Feeds
from .forked import Changing, remember
from .kernels import Kernels
from .memory import Memory, aligned_zeros
from .seeding import draw_parameters
from .settings import Settings, check_numbers
from .state import as_dict, set_state, state_pieces, state_views
from .tiers import first_kernels, kernels_of, telling

Floats = NDArray[Any]

_POLL = 0.01  # seconds between two looks for compiled kernels of somebody who waits for them


class Network(Settings):
    """A checked graph, its options, and once built its parameters and the state of training.

    ``losses`` holds the per-sample losses of the last training, ``history`` the record of the last ``fit``. Code that
    reads or writes the memory must hold ``lock``, so calls from several threads take turns.
    """

    def __init__(
        self,
        text: str,
        options: CompileOptions,
        learning_rate: float,
        clip_norm: float | None,
        graph: Graph,
        optimizer: Optimizer,
    ):
        super().__init__(text, options, learning_rate, clip_norm, graph, optimizer)
        self.losses: NDArray[np.float64] = np.zeros(0)
        self.history: Any = None
        self._start()

    def _start(self) -> None:
        """Set the attributes that are never copied or pickled: locks, kernels, memory."""
        self.lock = threading.RLock()
        self._kernels: Kernels | None = None
        self._request: Request | None = None  # for kernels of the model's own, while the machine runs it
        self._decided = False  # what runs the model at first
        self._memory: Memory | None = None
        self._released = self._torn = False
        self.changing = Changing()
        self.feeds = Feeds()
        remember(self)

    # What it is ------------------------------------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the model has parameters."""
        return self._memory is not None

    @property
    def released(self) -> bool:
        """Whether the model's memory was given back."""
        return self._released

    def __repr__(self) -> str:
        state = "released" if self._released else "built" if self.built else "not built"
        layers = len(self._graph.parameters)
        return (
            f"<neuromorph.Model {self.input_width} -> {self.output_width}, {layers} layer{'s' * (layers != 1)}, "
            f"{self.parameter_count:,} parameters, batch {self.batch_size}, {self._options.dtype}, {state}>"
        )

    def _set_optimizer(self, chosen: Optimizer) -> None:
        with self.lock:
            super()._set_optimizer(chosen)
            if self._memory is not None:
                self._memory.constants[: len(chosen.constants)] = chosen.constants

    # Life ------------------------------------------------------------------------------------------------------------

    @property
    def kernels(self) -> Kernels:
        """The generated and compiled kernels; made at first use."""
        self._check_alive()
        if self._kernels is None:
            with self.lock:
                self._kernels = self._kernels or kernels_of(self._graph, self._options)
        return self._kernels

    def _check_alive(self) -> None:
        if self._released:
            raise ModelStateError("the model was released; compile its text again")

    def _check_whole(self) -> None:
        if self._torn:
            raise ModelStateError(
                "another thread was changing this model when this process was forked, and its numbers may be half "
                "written; build or load it again, or fork between calls"
            )

    def after_fork(self) -> None:
        """Repair the network in a forked child, where the parent's other threads do not exist. If one of them was
        inside a call, make a new lock; if that call was writing to the memory, drop the memory."""
        if self.lock.acquire(blocking=False):
            self.lock.release()
            return
        self.lock = threading.RLock()
        if self.changing.depth:
            self._memory, self._torn, self.changing = None, True, Changing()

    def memory(self) -> Memory:
        """The arrays of a built model. Raises ModelStateError if there are none."""
        self._check_alive()
        self._check_whole()
        if self._memory is None:
            raise ModelStateError("the model is not built yet; call build(model) first")
        return self._memory

    def build(self, *, verbosity: int = 0) -> Self:
        """Compile the kernels that training needs, or load them from disk, and draw new parameters.

        verbosity: above 0, progress is printed. Returns the model. Raises MemoryError, naming the bytes, if the model
        can't fit into this machine's memory.
        """
        with self.lock, self.changing:
            self._compile(verbosity)
            with seeding.lock:
                drawn = draw_parameters(self._graph, seeding.generator(), self._options.dtype)
                key = int(seeding.generator().integers(KEYS)) if self._drops else 0
            self.prepare()
            self.set_parameters(drawn)
            if self._drops:
                self.dropout_state = (key, 0)
        return self

    def _compile(self, verbosity: int) -> None:
        """Compile the kernels that training needs. Raises MemoryError if the model can't fit into memory."""
        self._decide()
        kernels = self.kernels
        kernels.check_size()
        if verbosity >= 1:
            with telling(kernels):
                kernels.train  # noqa: B018 - compiles, or is found in the cache
        else:
            kernels.train  # noqa: B018

    def prepare(self) -> None:
        """Make empty memory, which a model needs before it gets parameters. Kernels are compiled when first needed."""
        self._decide()
        kernels = self.kernels
        kernels.check_size()
        layout, dtype = kernels.plan.layout, self._options.dtype
        weights = aligned_zeros(layout.size, dtype)
        remembered = aligned_zeros(max(1, kernels.memory_slots * layout.size), dtype)
        counts = len(self._update.counts) + 2 * self._drops
        constants = np.array([*self._optimizer.constants, *([0.0] * counts)])
        self._memory, self._torn = self.scratch(self.bptt_steps, weights, remembered, constants), False

    def _decide(self) -> None:
        """Decide what runs the model at first, once."""
        if not self._decided:
            self._kernels, self._request = first_kernels(self._text, self._graph, self._options)
            self._decided = True

    def take_over(self) -> None:
        """Run the model by kernels of its own from now on, if it waits for them and they are in the cache by now.

        Numbers and state stay as they are. The caller holds ``lock``, and no window is under way.
        """
        request = self._request
        if request is None or not request.poll():
            return
        self._request = None
        own = self.kernels.own
        if request.reason is not None or not own.are_there():
            background.warn_once(request.reason or "the cache has lost what was compiled")
            return
        own.build()
        with self.changing, held():
            self._hand_over(own)

    def look_for_kernels(self) -> None:
        """Like ``take_over``, unless a call of this model is under way, in this thread or another one."""
        if self._request is not None and self.lock.acquire(blocking=False):
            try:
                if self.changing.depth == 0:
                    self.take_over()
            finally:
                self.lock.release()

    def _hand_over(self, own: Kernels) -> None:
        """Hand the memory over to other kernels. Weights have the same places there; workspaces differ."""
        old = self._memory
        if old is None:
            self._kernels = own
            return
        state, self._kernels = self.state, own
        self._memory = self.scratch(old.capacity, old.weights, old.optimizer, old.constants)
        self.state = state
        self.feeds.move(own)

    def wait_compiled(self, timeout: float | None = None) -> bool:
        """Wait until the model runs by kernels of its own; whether it does."""
        end = None if timeout is None else time.monotonic() + finite_number("timeout", timeout)
        while True:
            with self.lock:
                self.memory()
                self.take_over()
                if self._request is None:
                    return self.kernels.tier == "compiled"
            left = _POLL if end is None else min(_POLL, end - time.monotonic())
            if left <= 0.0:
                return False
            time.sleep(left)

    def scratch(self, capacity: int, weights: Floats, remembered: Floats, constants: NDArray[np.float64]) -> Memory:
        """Memory for windows of at most ``capacity`` samples, with these weights, optimizer slots and constants."""
        plan, dtype = self.kernels.plan, self._options.dtype
        copies = plan.gradient_copies
        return Memory(
            weights,
            aligned_zeros(max(1, plan.layout.transposed_size), dtype),
            aligned_zeros(copies * plan.layout.size, dtype),
            remembered,
            constants,
            aligned_zeros(copies * padded(self.kernels.training_elements(capacity) + 16, 16), dtype),
            copies,
            aligned_zeros(capacity * self.batch_size, dtype),
            capacity,
        )

    def set_window(self, steps: int) -> None:
        """Make memory for windows of so many samples, with the same parameters and state; the same if it has them.

        The caller holds ``lock`` and ``changing``. Raises MemoryError, naming the bytes, if it would not fit.
        """
        memory = self.memory()
        if memory.capacity != steps:
            self.kernels.check_size(steps)
            fresh = self.scratch(steps, memory.weights, memory.optimizer, memory.constants)
            self.copy_state(fresh)
            self._memory = fresh

    def release(self) -> None:
        """Free the model's memory. Releasing twice is allowed; any other use afterwards raises ModelStateError."""
        with self.lock:
            self._memory, self._kernels, self._request, self._released = None, None, None, True
            self.feeds.release()

    def __enter__(self) -> Self:
        self._check_alive()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __getstate__(self) -> dict[str, Any]:
        self._check_alive()
        self._check_whole()
        with self.lock:
            kept = {
                "text": self._text,
                "options": self._options,
                "learning_rate": self._learning_rate,
                "clip_norm": self._clip_norm,
                "optimizer": self._optimizer,
                "losses": self.losses.copy(),
                "reading": self.reading,
            }
            if self._memory is not None:
                kept["parameters"] = self.get_parameters()
                kept["state"] = self.state
                kept["optimizer_state"] = self.optimizer_state
                if self._drops:
                    kept["dropout_state"] = self.dropout_state
            return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        graph = freeze(build_graph(parse(kept["text"])), kept["options"].frozen)
        check_numbers(graph, kept["options"].dtype, kept["text"])
        names = ("text", "options", "learning_rate", "clip_norm")
        self.__init__(*(kept[name] for name in names), graph, kept["optimizer"])  # type: ignore[misc]
        self.losses, self.reading = kept["losses"], kept.get("reading")
        if "parameters" in kept:
            self.prepare()
            self.set_parameters(kept["parameters"])
            self.state = kept["state"]
            self.optimizer_state = kept["optimizer_state"]
            self.dropout_state = kept.get("dropout_state")

    # Parameters and state --------------------------------------------------------------------------------------------

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
        if memory.remembered is None:
            memory.remembered = [view for where in self._workspaces(memory) for view in state_pieces(*where).values()]
        for view in memory.remembered:
            view.fill(0.0)


def _hint(name: Any, known: Mapping[str, Any]) -> str:
    """A part of a message that suggests the known name nearest to an unknown one; empty if none is near."""
    near = nearest(name, known) if isinstance(name, str) else None
    return f"; did you mean {near!r}?" if near else ""
