"""Trains one worker's lanes, and averages with the other workers of the run after each update, or after several."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..abi.mailbox import GRADIENTS, LEARN
from ..data.arrays import TrainingData
from ..data.mixing import in_order, of_type, parts_of
from ..functions.dropout import KEYS
from ..host.frozen import frozen
from ..runtime.memory import Memory
from ..runtime.network import Network
from ..runtime.updating import Learned, Updater
from ..training.loop import Pass, sequences
from .mesh import Mesh, PeerLostError
from .shares import Lanes, Order, Share, order_of
from .tasks import COUNTS, DIVERGED, LOSS, STOP, WEIGHT, Exchange, Outcome, Task

Floats = NDArray[Any]


@dataclass(eq=False)
class Trainer:
    """A worker's model, its share of the data, and where the training stands.

    capacity: samples of a window. wide: whether averages are added up in float64, since weights may have any size.
    wants, snapshot: the last average is copied for the client whenever it wants it. epoch: of the task, which these and
    ``progress`` belong to.
    """

    model: Network
    share: Share
    capacity: int
    lanes: Lanes
    wide: bool
    stops: bool = False
    wants: bool = False
    snapshot: tuple[Any, ...] | None = None
    progress: tuple[int, float] = (0, 0.0)
    epoch: int = -1

    def __post_init__(self) -> None:
        self.learned, self.updater = Learned(self.model), Updater(self.model)
        self.model.set_window(self.capacity)
        spans = self.share.spans
        self.usual = float(self.lanes.batch * self.capacity)  # the weight of a whole window, the same for all workers
        self._per_group = spans.windows(self.capacity)
        self.windows = (spans.groups - 1) * self._per_group + -(-spans.last // self.capacity)
        self._clip = self.model.clip_norm
        self._remembers = self.model.graph.has_time_links
        self._views: tuple[Memory, list[Floats]] | None = None
        self._copies: list[Floats] = []

    def layout_digest(self) -> bytes:
        """A digest of where the numbers that learn stand in the flat arrays, and of their type and size."""
        layout = self.model.kernels.plan.layout
        found = hashlib.blake2b(f"{self.model.dtype} {layout.size} ".encode(), digest_size=16)
        found.update(self.learned.places.astype(np.int64).tobytes())
        return found.digest()

    # Tasks -----------------------------------------------------------------------------------------------------------

    def run(self, task: Task, numbers: tuple[Floats, NDArray[np.float64]] | None, mesh: Mesh) -> Outcome:
        """Do a task together with others. numbers: the vector and counts to begin with; None keeps the worker's."""
        with self.model.lock, self.model.changing:
            self._begin(task, numbers)
            order = None
            if task.seed is not None:
                order = order_of(task.seed, task.epoch, self.lanes, self.share.units(), self.share.length)
            loop = _Gradients(self, task, mesh, order) if task.every == 1 else _Averages(self, task, mesh, order)
            outcome = loop.run()
            outcome.loss, outcome.weight, outcome.rank = loop.loss, loop.weight, mesh.rank
            if mesh.rank == 0 or outcome.kind == "broken":
                outcome.numbers = loop.numbers()
            return outcome

    def _begin(self, task: Task, numbers: tuple[Floats, NDArray[np.float64]] | None) -> None:
        self.stops, self.wants, self.snapshot, self.progress = False, False, None, (task.first, 0.0)
        self.epoch = task.epoch  # after these, which another thread may read at any time
        self.model.learning_rate = task.rate
        if numbers is not None:
            self.learned.set(*numbers)
        if task.dropout is not None:
            key, updates = task.dropout
            self.model.dropout_state = ((key + self.lanes.first) % KEYS, updates)
        if task.state is not None:
            self.model.state = task.state
        elif task.first == 0 and not task.carries:
            self.clear()

    def windows_from(self, first: int, order: Order | None, mode: int) -> Iterator[_Window]:
        """The windows from one on: of each its pass, None where these lanes have no data, and its samples there."""
        group, inside = divmod(first, self._per_group)
        while group < self.share.spans.groups:
            steps, here = self.share.spans.of(group), inside * self.capacity
            data = self.share.group(group, order)
            for part in [slice(0, len(data.inputs))] if self._is_ready(data) else parts_of(data, self.capacity):
                if part.stop > here:
                    found = self._pass(of_type(in_order(data, part), self.model.dtype), mode)
                    for start in range(here, part.stop, self.capacity):
                        end = min(start + self.capacity, part.stop)
                        yield _Window(found, start - part.start, end - part.start, start == 0)
                    here = part.stop
            begun = -(-here // self.capacity) * self.capacity  # the last window of these lanes may be a part of one
            for start in range(begun, steps, self.capacity):  # others have more samples
                yield _Window(None, start, start, start == 0)
            group, inside = group + 1, 0

    def _is_ready(self, data: TrainingData) -> bool:
        """Whether kernels can read the data as they are."""
        return data.inputs.dtype == data.expected.dtype == self.model.dtype

    def _pass(self, data: TrainingData, mode: int) -> Pass:
        (found,) = sequences(self.model, self.model.memory(), data, mode, self.capacity)
        return found

    def state(self) -> dict[str, Floats]:
        """A copy of the state of these lanes."""
        return self.model.state if self._remembers else {}

    def keep(self) -> None:
        """Keep a copy of the present state, from which ``kept`` makes a dict when it is needed."""
        if not self._remembers:
            return
        memory = self.model.memory()
        if self._views is None or self._views[0] is not memory:
            self._views = memory, self.model.state_pieces_of(memory)
            self._copies = [piece.copy() for piece in self._views[1]]
        for copy, piece in zip(self._copies, self._views[1], strict=True):
            copy[:] = piece

    def kept(self) -> dict[str, Floats]:
        """The state that was kept."""
        if self._views is None:
            return self.state()
        pieces = self._views[1]
        now = [piece.copy() for piece in pieces]
        self._put(self._copies)
        found = self.state()
        self._put(now)
        return found

    def _put(self, copies: list[Floats]) -> None:
        assert self._views is not None
        for piece, copy in zip(self._views[1], copies, strict=True):
            piece[:] = copy

    def clear(self) -> None:
        """Begin a sequence from zero state."""
        self.model.clear_state(self.model.memory())


@frozen
class _Window:
    """Samples ``start`` to ``end`` of a pass. These lanes may have fewer samples than others, or none.

    begins: whether a sequence begins with it.
    """

    run: Pass | None
    start: int
    end: int
    begins: bool

    def sums(self) -> tuple[float, float]:
        """The weight of the rows of a window that was run, and the sum of their losses."""
        assert self.run is not None
        losses = self.run.losses[self.start : self.end]
        lanes = self.run.model.batch_size
        if not self.run.row_step:
            return float(lanes * len(losses)), lanes * float(np.add.reduce(losses))
        rows = self.run.weights.reshape(-1, lanes)[self.start : self.end]
        weights = np.add.reduce(rows, axis=1, dtype=np.float64)
        return float(np.add.reduce(weights)), float(weights @ losses)


class _Loop(ABC):
    """Windows one after the other; what both ways of averaging share."""

    mode = GRADIENTS

    def __init__(self, trainer: Trainer, task: Task, mesh: Mesh, order: Order | None) -> None:
        self.trainer, self.task, self.mesh, self.order = trainer, task, mesh, order
        self.model = trainer.model
        self.loss = self.weight = self.computing = self.waiting = 0.0
        self.position, self.updates, self.rounds = task.first, task.updates, 0

    @abstractmethod
    def run(self) -> Outcome:
        """Run the windows that are left."""

    @abstractmethod
    def numbers(self) -> tuple[Floats, NDArray[np.float64]]:
        """The last average."""

    def windows(self) -> Iterator[_Window]:
        """The windows that are left, with the state that each begins from."""
        for window in self.trainer.windows_from(self.task.first, self.order, self.mode):
            if window.begins and self.trainer.share.spans.sequences:
                self.trainer.clear()
            yield window

    def set_rate(self) -> None:
        """Set the learning rate of the next update."""
        rate_of = self.task.rate_of
        if rate_of is not None:
            self.model.learning_rate = float(rate_of(self.updates))

    def outcome(self, kind: str, ahead: int = 0, where: str = "") -> Outcome:
        """How the task went. ahead: how many windows beyond the last average the state is."""
        states = {self.position: self.trainer.kept() if ahead else self.trainer.state()}
        if ahead:
            states[self.position + ahead] = self.trainer.state()
        return Outcome(
            kind, self.position, self.updates, None, states, windows=self.trainer.windows, rounds=self.rounds,
            computing=self.computing, waiting=self.waiting, where=where,
        )  # fmt: skip

    def add(self, exchange: Exchange) -> None:
        """Add up what all workers have."""
        started = time.perf_counter()
        self.mesh.add(exchange.buffer, [exchange.head, exchange.body])
        self.waiting += time.perf_counter() - started
        self.rounds += 1
        self.weight += exchange.head[WEIGHT]
        self.loss += exchange.head[LOSS]

    def note(self, weight: float, loss: float) -> None:
        """Note how far the task is, for the client, and the average if it wants that."""
        trainer = self.trainer
        trainer.progress = (self.position, loss / weight if weight > 0.0 else 0.0)
        if trainer.wants:
            trainer.snapshot, trainer.wants = (
                (self.position, self.updates, *self.numbers(), self.loss, self.weight),
                False,
            )


class _Gradients(_Loop):
    """Gradients are averaged, and all workers make the same update: what one process does with all lanes.

    Where the flat arrays of all workers are alike, these are averaged as they are; else the numbers in text order.
    """

    def __init__(self, trainer: Trainer, task: Task, mesh: Mesh, order: Order | None) -> None:
        super().__init__(trainer, task, mesh, order)
        self.drops = self.model.dropout_state is not None
        self.mode = LEARN if self.drops else GRADIENTS  # only windows that learn have dropout masks
        dtype = np.dtype(np.float64) if trainer.wide else self.model.dtype
        size = self.model.kernels.plan.layout.size
        self.places = None if task.alike else trainer.learned.places
        self.exchange = Exchange(size if self.places is None else len(self.places), 0, dtype)
        self.flat = np.zeros(size, self.model.dtype)

    def numbers(self) -> tuple[Floats, NDArray[np.float64]]:
        return self.trainer.learned.get()

    def run(self) -> Outcome:
        head = self.exchange.head
        for window in self.windows():
            started = time.perf_counter()
            finite = self._gradient(window)
            self.computing += time.perf_counter() - started
            try:
                self.add(self.exchange)
            except PeerLostError:
                return self.outcome("broken", ahead=1)
            if head[DIVERGED] > 0.0:
                return self.outcome("diverged", 1, "" if finite else self._where(window))
            if head[WEIGHT] > 0.0 and not self._update(head[WEIGHT]):
                return self.outcome("diverged", 1, "the mean gradient is not finite, or its square is not")
            self.position += 1
            self.note(head[WEIGHT], head[LOSS])
            if head[STOP] > 0.0:
                return self.outcome("stopped")
        return self.outcome("done")

    def _gradient(self, window: _Window) -> bool:
        """Put the gradient of a window into the buffer, times the weight of its rows; whether it is finite."""
        exchange, trainer, model = self.exchange, self.trainer, self.model
        if window.end <= window.start or window.run is None:
            trainer.keep()
            exchange.fill(0.0, 0.0, stop=trainer.stops, diverged=False)
            exchange.body[:] = 0.0
            return True
        one = window.run
        one.take_over()
        trainer.keep()
        if self.drops:
            self._run_apart(one, window)
        else:
            self.reached = one.run(window.start, window.end)
        finite = self.reached >= window.end
        weight, loss = window.sums()
        exchange.fill(weight, loss if finite else 0.0, stop=trainer.stops, diverged=not finite)
        gradients = model.memory().gradients[: len(self.flat)]  # the sum stands first, before those of other threads
        share = exchange.body.dtype.type(weight / trainer.usual)
        if self.places is None:
            np.multiply(gradients, share, out=exchange.body, dtype=share.dtype)
            return finite
        if trainer.wide:
            exchange.body[:] = gradients[self.places]
        else:
            np.take(gradients, self.places, out=exchange.body, mode="clip")  # which makes no copy
        exchange.body *= share
        return finite

    def _run_apart(self, one: Pass, window: _Window) -> None:
        """Run a window that learns at rate 0 on scratch slots, so that nothing but gradients and state changes."""
        model, memory = self.model, one.memory
        one.memory = _with_scratch(memory)
        rate, clip = model.learning_rate, model.clip_norm
        model.learning_rate, model.clip_norm = 0.0, None
        try:
            self.reached = one.run(window.start, window.end)
        finally:
            model.learning_rate, model.clip_norm = rate, clip

    def _update(self, weight: float) -> bool:
        """Make the update of the mean gradient; whether it was finite."""
        total = self.exchange.body
        share = total.dtype.type(self.trainer.usual / weight)
        if self.places is None:
            np.multiply(total, share, out=self.flat, dtype=share.dtype, casting="same_kind")
        else:
            total *= share
            self.flat[self.places] = total
        self.set_rate()
        self.updates += 1
        return self.trainer.updater.update(self.flat)

    def _where(self, window: _Window) -> str:
        return f"a loss or a gradient of samples {window.start:,} to {window.end - 1:,} of these lanes is not finite"


def _with_scratch(memory: Memory) -> Memory:
    """The same memory, with copies of what an update would change beside the parameters."""
    return Memory(
        memory.weights, memory.transposed, memory.gradients, memory.optimizer.copy(), memory.constants.copy(),
        memory.space, memory.copies, memory.row_losses, memory.capacity,
    )  # fmt: skip


class _Averages(_Loop):
    """Each worker makes some updates of its own, and then parameters and optimizer slots are averaged.

    Where the flat arrays of all workers are alike, these are averaged as they are; else the vector in text order.
    """

    mode = LEARN

    def __init__(self, trainer: Trainer, task: Task, mesh: Mesh, order: Order | None) -> None:
        super().__init__(trainer, task, mesh, order)
        dtype = np.dtype(np.float64) if trainer.wide else self.model.dtype
        self.flat = task.alike and trainer.learned.all_learns
        self.average = self._learned()
        self.exchange = Exchange(len(self.average[0]), len(self.average[1]), dtype)
        self.sums = [0.0, 0.0]
        self.finite, self.where = True, ""

    def _learned(self) -> tuple[Floats, NDArray[np.float64]]:
        """A copy of all that learns, in the order in which it is averaged."""
        learned = self.trainer.learned
        return learned.get_flat() if self.flat else learned.get()

    def numbers(self) -> tuple[Floats, NDArray[np.float64]]:
        found, counts = self.average
        return (self.trainer.learned.ordered(found) if self.flat else found), counts

    def run(self) -> Outcome:
        made = 0
        for window in self.windows():
            started = time.perf_counter()
            if made == 0:  # kernels of the model's own take over between two averages only
                if window.run is not None:
                    window.run.take_over()
                self.trainer.keep()
            if self.finite:
                self._learn(window)
            self.updates += 1
            made += 1
            self.computing += time.perf_counter() - started
            if made == self.task.every and (ended := self._meet(made)) is not None:
                return ended
            made %= self.task.every
        if made and (ended := self._meet(made)) is not None:
            return ended
        return self.outcome("done")

    def _learn(self, window: _Window) -> None:
        """Make the update of a window of these lanes, if there are any data in it."""
        one = window.run
        if one is None or window.end <= window.start:
            return
        self.set_rate()
        if one.run(window.start, window.end) < window.end:
            self.finite = False
            self.where = f"samples {window.start:,} to {window.end - 1:,} of these lanes"
            return
        weight, loss = window.sums()
        self.sums[0] += weight
        self.sums[1] += loss

    def _meet(self, made: int) -> Outcome | None:
        """Average with the other workers; how the task ended, if it did."""
        exchange, trainer = self.exchange, self.trainer
        weight, loss = self.sums
        share = weight / (trainer.usual * made)
        exchange.fill(weight, loss, stop=trainer.stops, diverged=not self.finite)
        vector, counts = self._learned()
        np.multiply(vector, exchange.body.dtype.type(share), out=exchange.body)
        exchange.head[COUNTS:] = share * counts
        try:
            self.add(exchange)
        except PeerLostError:
            self.updates -= made
            return self.outcome("broken", ahead=made)
        head = exchange.head
        if head[DIVERGED] > 0.0:
            self.updates -= made
            return self.outcome("diverged", made, self.where)
        if head[WEIGHT] > 0.0:
            scale = trainer.usual * made / head[WEIGHT]
            exchange.body *= exchange.body.dtype.type(scale)
            self.average = exchange.body.astype(self.model.dtype), scale * head[COUNTS:]
            (trainer.learned.set_flat if self.flat else trainer.learned.set)(*self.average)
        self.position += made
        self.sums = [0.0, 0.0]
        self.note(head[WEIGHT], head[LOSS])
        return self.outcome("stopped") if head[STOP] > 0.0 else None
