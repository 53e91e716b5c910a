"""What the compiled functions of a learner work on: control words, remembered steps, and workspaces.

``abi/learning.py`` says what the words are, and ``codegen/learning.py`` has the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..abi.arguments import TrainCall
from ..abi.learning import (
    ABSENT,
    COUNTERS,
    MOVED,
    PART,
    PIECE,
    PLACE,
    RINGS,
    UNUSABLE,
    PlainCall,
    address_of,
    record_of,
)
from ..abi.mailbox import LEARN
from ..codegen.learning import ENTRIES, FUNCTIONS, source_of_learner
from ..host.cgroups import shortage
from ..jit import bundles, cache
from .dispatch import call_members
from .kernels import Kernels, ModelTooLargeError
from .memory import Memory
from .network import Network
from .state import state_rows, state_views

Floats = NDArray[Any]
Rows = dict[int, Floats]  # the state by node: (…, lanes, stride)
_ROOM = 64  # words for a record
FEWEST = 64  # steps in the rings: with fewer, they would often be moved to the front


@lru_cache(2)
def _written(dtype: str) -> tuple[str, str]:
    """The source of a learner's functions, and its key."""
    source = source_of_learner(dtype)
    return source, cache.key_of(source)


def functions(dtype: str) -> Any:
    """``advance`` and ``settle`` for an element type, compiled or from the cache."""
    source, key = _written(dtype)
    entry = cache.key_of(key, dtype, *cache.environment())
    return bundles.ready_as(entry, entry, ENTRIES, dtype, lambda: (source, FUNCTIONS))


class Track:
    """The steps that a learner remembers, and the arrays that its functions work on.

    network: the model. steps: of a window. every: steps from update to update. advance, settle: the functions. state:
    views of the state, by the names of nodes. The constructor and ``copy`` take the model's lock; who calls another
    method holds it.
    """

    advance: Any
    settle: Any
    state: dict[str, Floats]

    def __init__(self, network: Network, steps: int, every: int) -> None:
        self.network, self.steps, self.every, self.lanes = network, steps, every, network.batch_size
        self.rows = max(2 * steps, FEWEST)
        self._skips = self._can_skip = False
        with network.lock:
            network.memory()
            self._check_size()
            lanes, dtype = self.lanes, network.dtype
            self.inputs = np.zeros((self.rows, lanes * network.input_width), dtype)
            self.expected = np.zeros((self.rows, lanes * network.output_width), dtype)
            self.weights = np.zeros((self.rows, lanes), dtype)
            self.losses, self.kept_losses = np.zeros(steps), np.zeros(steps)
            self.kept_weights = np.zeros((steps, lanes), dtype)
            self.zeros = np.zeros(lanes, dtype)
            self._take_arrays()
            self.states = np.zeros((self.rows, sum(rows.size for rows in self._step_rows().values())), dtype)
            self._write(np.zeros(len(COUNTERS), np.int64))
            self["end"], self["form"] = -1, 0 if lanes == 1 else lanes

    def _check_size(self) -> None:
        network = self.network
        network.check_window(self.steps, argument="steps")
        plan = network.kernels.plan.prediction
        state = sum(plan.strides[name] * plan.buffers_by_name[name].depth for _, name in plan.state)
        numbers = network.input_width + network.output_width + 1 + state
        needed = self.rows * self.lanes * numbers * network.dtype.itemsize
        if (trouble := shortage(needed, f"a learner of {self.steps:,} steps needs {{}}")) is not None:
            raise ModelTooLargeError(trouble)

    def __getitem__(self, name: str) -> int:
        """A control word."""
        return int(self.control[PLACE[name]])

    def __setitem__(self, name: str, word: int) -> None:
        self.control[PLACE[name]] = word

    def forget(self) -> None:
        """Begin anew from the present state."""
        self["count"], self["since"], self["end"] = 0, 0, -1

    # The model's arrays ----------------------------------------------------------------------------------------------

    def move(self) -> None:
        """Go on with the arrays and the kernels that the model has now. Raises ModelStateError if it has none. The
        caller holds the model's lock."""
        self.network.memory()
        self.network.look_for_kernels(skips=self._skips, predicts=True)  # so that nobody waits for the compiler
        self.network.check_window(self.steps, argument="steps")
        step, training, kept = self._step_rows(), self._training_rows(), self._kept_rows()
        self._take_arrays()
        widths = {index: self.network.graph.nodes[index].width for index in step}
        states = np.zeros((self.rows, sum(rows.size for rows in self._step_rows().values())), self.network.dtype)
        self.states = states
        _copy_rows(step, self._step_rows(), widths)
        _copy_rows(kept, self._kept_rows(), widths)
        for lanes, rows in self._spaces():
            _copy_rows({index: whole[:, lanes] for index, whole in training.items()}, rows, widths)
        self._write(self.control[: len(COUNTERS)])

    def _take_arrays(self) -> None:
        """Make workspaces for the model's kernels, beside its parameters."""
        network = self.network
        shared, kernels = network.memory(), network.kernels
        entries = functions(network.options.dtype)
        space = kernels.step_space(self.lanes)
        self.memory = network.scratch(self.steps, shared.weights, shared.optimizer, shared.constants)
        self.memory.autotuners = shared.autotuners
        self.kernels, self.space = kernels, space
        self.state = state_views(kernels.plan.prediction_space, space, 1, self.lanes)
        self.advance, self.settle = _callable(entries, network.dtype)

    def _step_rows(self) -> Rows:
        """The state of prediction: (steps, lanes, stride) by node."""
        return state_rows(self.kernels.plan.prediction_space, self.space, 1, self.lanes)

    def _kept_rows(self) -> Rows:
        """The states before the steps in the rings: (steps in the rings, steps, lanes, stride) by node."""
        found, column = {}, 0
        for index, rows in self._step_rows().items():
            found[index] = self.states[:, column : column + rows.size].reshape(self.rows, *rows.shape)
            column += rows.size
        return found

    def _spaces(self) -> list[tuple[slice, Rows]]:
        """Each workspace of training: its lanes, and their state (steps, lanes, stride) by node."""
        plan, memory, found = self.kernels.plan, self.memory, []
        for number, space in enumerate(memory.spaces):
            lanes = plan.lanes_of(number)
            rows = state_rows(plan.training_space, space, memory.capacity, len(lanes))
            found.append((slice(lanes.start, lanes.stop), rows))
        return found

    def _training_rows(self) -> Rows:
        """A copy of the state of training, of all lanes."""
        parts = [rows for _, rows in self._spaces()]
        return {index: np.concatenate([part[index] for part in parts], axis=1) for index in parts[0]}

    # Control words ---------------------------------------------------------------------------------------------------

    def _write(self, counters: NDArray[np.int64]) -> None:
        """Write the control words. counters: of the learner's situation."""
        self._can_skip = False
        self._kept: list[Any] = []  # functions, and the arrays whose addresses records have
        pieces, parts = self._pieces(), self._parts()
        tables = len(PLACE)
        ends = np.cumsum([tables, len(pieces), len(parts), *[_ROOM] * 3])
        self.control = np.zeros(ends[-1], np.int64)
        self.control[: len(COUNTERS)] = counters
        self.control[tables : ends[2]] = [*pieces, *parts]
        self["piece_table"], self["part_table"] = int(ends[0]), int(ends[1])
        self["pieces"], self["parts"] = len(pieces) // PIECE, len(parts) // PART
        self["step_record"], self["train_record"], self["skip_record"] = map(int, ends[2:5])
        self._write_settings()
        self._write_step()
        self._write_train("train", self.kernels, self.memory)
        if self._skips:
            self.prepare_skipping()

    def _write_settings(self) -> None:
        network, lanes = self.network, self.lanes
        window_is_own = self.steps == self.every and self.kernels.plan.training.drops
        numbers = {
            "seen": int(network.signals[MOVED]), "signals": address_of(network.signals), "lanes": lanes,
            "steps": self.steps, "every": self.every, "overlap": max(0, self.steps - self.every), "rows": self.rows,
            "x_count": lanes * network.input_width, "y_count": lanes * network.output_width,
            "picky": network.graph.loss.targets is not None, "runs_empty": window_is_own,
            "by_members": self._by_members(),
        }  # fmt: skip
        for name in (*RINGS, "zeros", "losses", "kept_losses", "kept_weights"):
            numbers[name] = address_of(getattr(self, name))
        for name in RINGS:
            numbers[f"{name}_size"] = getattr(self, name).shape[1] * network.dtype.itemsize
        numbers["ones"] = address_of(self.memory.ones)
        for name, number in numbers.items():
            self[name] = number

    def _by_members(self) -> bool:
        """Whether several threads may run a window, which Python has to call."""
        kernels = self.kernels
        alone = kernels.threads == 1 or (kernels.autotuned and self.steps < kernels.autotuned_from[LEARN])
        return not alone

    def _pieces(self) -> list[int]:
        """Where the state of prediction stands: the address and the bytes of each piece."""
        rows = self._step_rows().values()
        return [word for each in rows for word in (address_of(each), each.nbytes)]

    def _parts(self) -> list[int]:
        """How a state in its ring gets into the workspaces of training: of each block of rows, the byte in the ring,
        the address in the workspace, the number of rows, their bytes, and the bytes between rows here and there."""
        table: list[int] = []
        base, itemsize = address_of(self.states), self.network.dtype.itemsize
        kept = {index: whole[0] for index, whole in self._kept_rows().items()}
        for lanes, rows in self._spaces():
            for index, target in rows.items():
                source = kept[index][:, lanes]
                for here, there in zip(source, target, strict=True):
                    stride, other = here.shape[1], there.shape[1]
                    width = stride if stride == other else self.network.graph.nodes[index].width
                    sizes = [itemsize * count for count in (width, stride, other)]
                    table += [address_of(here) - base, address_of(there), len(here), *sizes]
        return table

    def _write_step(self) -> None:
        function, leading = self.kernels.entry("step", 1, self.lanes)
        given = (*leading, self.lanes, self.space, self.memory.weights)
        place = self["step_record"] + len(record_of(given))
        self["step_x"], self["step_y"] = place, place + 2
        self._write_record("step", function, (*given, self.inputs[0], self.expected[0]))

    def _write_train(self, name: str, kernels: Kernels, memory: Memory) -> None:
        function, leading = kernels.entry("train", memory.capacity, self.lanes)
        if kernels.threads > 1:
            leading = (0, kernels.threads, *memory.alone(kernels.threads))
        self[f"{name}_call"] = self[f"{name}_record"] + len(record_of(leading))
        self._write_record(name, function, (*leading, *self._call(memory, 0, self.steps)))

    def _write_record(self, name: str, function: Any, arguments: Sequence[Any]) -> None:
        """Write the record of a function's arguments, and the address of the function."""
        record, place = record_of(arguments), self[f"{name}_record"]
        assert len(record) <= _ROOM
        self.control[place : place + len(record)] = record
        self._kept.append((function, arguments))
        if bundles.is_compiled(function):
            self[f"{name}_function"] = bundles.address_of(function)
        else:
            plain = PlainCall(function, arguments)
            self._kept.append(plain)
            self[f"{name}_function"] = plain.number

    def _call(self, memory: Memory, begin: int, steps: int) -> TrainCall:
        """The call for the window of so many steps from one in the rings on."""
        network, weighted = self.network, self["is_weighted"] == 1
        weights = self.weights[begin:].reshape(-1) if weighted else memory.ones
        return TrainCall(
            0, steps, steps, memory.capacity, LEARN, memory.space, memory.weights, memory.transposed, memory.gradients,
            memory.optimizer, memory.constants, self.inputs[begin:].reshape(-1), self.expected[begin:].reshape(-1),
            weights, self.lanes if weighted else 0, memory.row_losses, self.losses, network.learning_rate,
            network.clip_norm or 0.0,
        )  # fmt: skip

    # Calls -----------------------------------------------------------------------------------------------------------

    @property
    def skips(self) -> bool:
        """Whether some expected components were not known so far."""
        return self._skips

    def expect_unknown(self) -> None:
        """Make ready for windows in which some expected components are not known. The caller holds the model's lock."""
        if self._can_skip and self["seen"] == self.network.signals[MOVED]:
            return
        self._skips = True
        self.network.look_for_kernels(skips=True)
        if self["seen"] != self.network.signals[MOVED]:
            self.move()
        else:
            self.prepare_skipping()

    def prepare_skipping(self) -> None:
        """Write what a call of the kernels takes that skip what is not known."""
        self._skips = True
        self._write_train("skip", self.kernels.skipping, self.memory.for_skipping)
        self._can_skip = True  # last: an interrupt may come before

    def learn_by_members(self) -> int:
        """Run the window for which ``advance`` has said MEMBERS, with several threads; what ``settle`` says."""
        skips, kernels, memory = self["skips"] == 1, self.kernels, self.memory
        if skips:
            kernels, memory = kernels.skipping, memory.for_skipping
        call = self._call(memory, self["begin"], self["steps_taken"])
        with self.network.changing:
            reached = call_members(kernels, memory, call, kernels.worth_waking[True])
        return int(self.settle(self.control, reached))

    def copy(self) -> Track:
        """Another track in the same situation."""
        network = self.network
        with network.lock:
            if self["seen"] != network.signals[MOVED]:
                self.move()  # so that both have the same kernels
            other = Track(network, self.steps, self.every)
            for name in (*RINGS, "losses", "kept_losses", "kept_weights", "space"):
                getattr(other, name)[:] = getattr(self, name)
            other.memory.space[:] = self.memory.space
            if self._skips:
                other.prepare_skipping()
            other.control[: len(COUNTERS)] = self.control[: len(COUNTERS)]
            return other


def _copy_rows(source: Rows, target: Rows, widths: dict[int, int]) -> None:
    """Copy the state, whose rows may have other padding."""
    for index, width in widths.items():
        target[index][..., :width] = source[index][..., :width]


def _callable(entries: Any, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """``advance`` and ``settle``, to be called with arrays; with JIT off, they are given what compiled ones take."""
    if bundles.is_compiled(entries.settle):
        return entries.advance, entries.settle

    def advance(control: NDArray[np.int64], x: Any, target: Any, weight: Any, y: Any) -> int:
        given = (_formed(array, dtype) for array in (x, target, weight))
        return int(entries.advance(control, *given, _formed(y, dtype, writes=True)))

    return advance, entries.settle


def _formed(array: Any, dtype: np.dtype[Any], *, writes: bool = False) -> tuple[int, int, int]:
    """What compiled functions see of an object; see ``Given`` in ``simd/native.py``. writes: whether they write it."""
    if array is None:
        return 0, ABSENT, 0
    flags = array.flags if type(array) is np.ndarray and array.dtype == dtype else None
    usable = flags is not None and flags.c_contiguous and flags.aligned and (flags.writeable or not writes)
    if not usable or array.ndim not in (1, 2):
        return 0, UNUSABLE, 0
    return address_of(array), 0 if array.ndim == 1 else len(array), array.size
