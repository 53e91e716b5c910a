"""Measures how long a kernel and its pieces take on random data."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..abi.arguments import TrainCall
from ..abi.mailbox import LEARN, new_mailbox
from ..errors import TrainingDivergedError
from ..host.frozen import frozen
from ..jit import bundles, cache
from ..runtime.threadpool import run_together
from .clocked import IDLE, clocked_source
from .pieces import Piece

if TYPE_CHECKING:
    from ..runtime.network import Network

CALL = 0.003  # seconds of work in one call: short enough that the system rarely interrupts it
MOST_WINDOWS = 4096
DATA_BYTES = 8 << 20  # the most bytes of random data
TRIES = 15
_LAPS = 50_000  # readings of the clock by which the cost of one is measured


@frozen
class Timing:
    """Seconds of a window: of the kernel, of each piece, of the rest of ``train``, and of waiting at barriers.

    With several threads, the times of pieces are means over the threads. lap: seconds of one reading of the clock; they
    are subtracted from a piece for each reading in it. laps: readings of the clock in a window.
    """

    window: float
    pieces: tuple[float, ...]
    rest: float
    waiting: float
    lap: float
    laps: float


def measure(model: Network, pieces: Sequence[Piece]) -> Timing:
    """Time a built model's training kernel, and its pieces in a second kernel with a clock.

    Both kernels run in turns over the same random windows, with a learning rate of 0. The fastest of several runs
    counts, for each piece by itself. State, gradients and the optimizer's slots change. Raises TrainingDivergedError if
    the model's loss of random data is not finite.
    """
    bench = _Bench(model)
    clocks = _Clocked(model, pieces)
    bench.choose_windows()
    runs = [(bench.run(bench.kernel), clocks.run(bench)) for _ in range(TRIES)]
    whole = min(seconds for seconds, _ in runs)
    tick, cost = clocks.tick_and_cost()
    fastest = np.min([clock[:, ::2].mean(axis=0) for _, clock in runs], axis=0)
    laps = runs[0][1][:, 1::2].mean(axis=0)
    spans = np.maximum(fastest * tick - laps * cost, 0.0) / bench.windows
    *own, rest, waiting = map(float, spans)
    return Timing(whole / bench.windows, tuple(own), rest, waiting, cost, float(laps.sum()) / bench.windows)


class _Bench:
    """Random data for a model."""

    def __init__(self, model: Network) -> None:
        self.model, self.kernel = model, model.kernels.train
        self.memory = model.memory()
        self.windows = 1
        several = ("begin", "until", "mailbox", "numbers") if model.kernels.threads > 1 else ()
        self.names = (*several, *TrainCall._fields)
        self.arguments = self._arguments()

    def choose_windows(self) -> None:
        """Choose the number of windows in a call: a call takes a few milliseconds, and its data stay in a cache."""
        model = self.model
        size = model.bptt_steps * model.batch_size * (model.input_width + model.output_width) * model.dtype.itemsize
        for _ in range(2):  # a call of one window tells how long it takes to wake threads
            took = min(self.run(self.kernel) for _ in range(3)) / self.windows
            self.windows = max(1, min(MOST_WINDOWS, int(CALL / max(took, 1e-7)), DATA_BYTES // size))
            self.arguments = self._arguments()

    def run(self, function: Callable[..., Any], clocks: NDArray[np.int64] | None = None) -> float:
        """Seconds of one call over all windows, from zero state. clocks: the clock of each thread, a row each."""
        calls, threads = self._calls(clocks), self.model.kernels.threads
        self.memory.space[:] = 0.0
        started = time.perf_counter()
        reached = function(*calls[0]) if threads == 1 else run_together(function, calls)
        took = time.perf_counter() - started
        if reached < self.windows * self.model.bptt_steps:
            raise TrainingDivergedError(
                "inspect runs the model on random data, and its loss or a gradient of them is not a finite number"
            )
        return took

    def _calls(self, clocks: NDArray[np.int64] | None) -> list[tuple[Any, ...]]:
        """The arguments of each thread's call."""
        threads, calls = self.model.kernels.threads, []
        for member in range(threads):
            own = self.arguments | {"begin": member, "until": member + 1}
            first = () if clocks is None else (clocks[member],)
            calls.append((*first, *(own[name] for name in self.names)))
        return calls

    def _arguments(self) -> dict[str, Any]:
        """The arguments of ``train`` by name, except those that differ between threads."""
        model, memory, random = self.model, self.memory, np.random.default_rng(0)
        mailbox, numbers = new_mailbox(model.kernels.threads)
        samples = self.windows * model.bptt_steps
        inputs = random.normal(0.0, 0.5, (samples * model.batch_size, model.input_width))
        expected = random.uniform(0.1, 0.9, (samples * model.batch_size, model.output_width))
        if model.graph.loss.name == "cross_entropy":
            expected /= expected.sum(axis=1, keepdims=True)
        call = TrainCall(
            0, samples, samples, model.bptt_steps, LEARN, memory.space, memory.weights, memory.transposed,
            memory.gradients, memory.optimizer, memory.constants, inputs.astype(model.dtype).ravel(),
            expected.astype(model.dtype).ravel(), memory.ones, 0, memory.row_losses, np.zeros(samples), 0.0,
            model.clip_norm or 0.0,
        )  # fmt: skip
        return call._asdict() | {"mailbox": mailbox, "numbers": numbers}


class _Clocked:
    """The second kernel, which has a clock."""

    def __init__(self, model: Network, pieces: Sequence[Piece]) -> None:
        kernels = model.kernels
        kernel, dtype = kernels.kernel, model.options.dtype
        bundle = kernel.bundles["train"]
        names = bundle[: bundle.index("train") + 1]
        source = clocked_source(kernel.source, names, pieces)
        key = cache.key_of(source, *cache.environment())
        clocked = {name: ("integers", *kernel.functions[name]) for name in names}
        self.train = bundles.ready(source, key, clocked, dtype).train
        self.idle = getattr(bundles.ready(source, key, {IDLE: ("integers", "count")}, dtype), IDLE)
        self.threads, self.places = kernel.options.threads, 2 * (len(pieces) + 2)

    def run(self, bench: _Bench) -> NDArray[np.int64]:
        """Make one call; the ticks and laps that each thread's clock has counted."""
        clocks = np.zeros((self.threads, self.places), np.int64)
        bench.run(self.train, clocks)
        return clocks

    def tick_and_cost(self) -> tuple[float, float]:
        """The length of a tick and the cost of a reading, both in seconds, from the fastest of several runs."""
        found = []
        for _ in range(TRIES):
            clock = np.zeros(2, np.int64)
            started = time.perf_counter()
            self.idle(clock, _LAPS)
            found.append((time.perf_counter() - started, int(clock[0])))
        took, counted = min(found)
        return took / max(counted, 1), took / _LAPS
