"""Training and evaluation: windows through the kernel, in pieces short enough for progress and Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .data import TrainingData, training_data
from .errors import DataError, TrainingDivergedError
from .team import run_together

if TYPE_CHECKING:
    from .model import Memory, Model

PIECE = 0.05  # seconds of kernel time between two looks at the world
MEASURE, GRADIENTS, LEARN = 0, 1, 2  # what the kernel does with a window


@dataclass
class Pass:
    """One sequence on its way through the kernel."""

    model: Model
    memory: Memory
    inputs: NDArray[Any]
    expected: NDArray[Any]
    weights: NDArray[Any]
    row_step: int
    losses: NDArray[np.float64]
    capacity: int
    mode: int

    @property
    def samples(self) -> int:
        """Samples of the sequence."""
        return int(self.inputs.shape[0])

    def run(self, start: int, stop: int) -> int:
        """The windows from sample ``start`` to ``stop``; the sample that it reached."""
        memory, model = self.memory, self.model
        threads = model.kernels.kernel.options.threads
        inputs, expected = self.inputs.reshape(-1), self.expected.reshape(-1)
        arguments = [
            (
                start, stop, self.samples, self.capacity, self.mode, space, memory.weights, memory.turned,
                memory.gradients, memory.optimizer, memory.constants, inputs, expected, self.weights, self.row_step,
                memory.row_losses, self.losses, model.learning_rate, model.clip_norm or 0.0,
            )
            for space in memory.spaces
        ]  # fmt: skip
        if threads == 1:
            return int(model.kernels.train(*arguments[0]))
        members = [(member, memory.sync, memory.sums, *arguments[member % len(arguments)]) for member in range(threads)]
        return int(run_together(model.kernels.train, members))


def check_data(model: Model, inputs: Any, expected: Any, sample_weight: Any) -> TrainingData:
    """The arrays of a call, checked against what the model needs."""
    return training_data(
        inputs, expected, sample_weight, batch=model.batch_size, width_in=model.input_width,
        width_out=model.output_width, dtype=model.dtype,
    )  # fmt: skip


def sequences(model: Model, memory: Memory, data: TrainingData, mode: int, capacity: int) -> list[Pass]:
    """A pass for each sequence of the data, and an array for its losses."""
    inputs, expected, weights = data.inputs, data.expected, data.weights
    if not data.sequences:
        inputs, expected = inputs[None], expected[None]
        weights = None if weights is None else weights[None]
    losses = np.zeros(inputs.shape[:2])
    ones = np.ones(min(capacity, inputs.shape[1]) * model.batch_size, model.dtype) if weights is None else None
    return [
        Pass(
            model, memory, inputs[n], expected[n],
            ones if ones is not None else weights[n].reshape(-1),  # type: ignore[index]
            0 if ones is not None else model.batch_size, losses[n], capacity, mode,
        )
        for n in range(len(inputs))
    ]  # fmt: skip


def mean_loss(data: TrainingData, losses: NDArray[np.float64]) -> float:
    """The mean of per-sample losses, weighted as the data say; 0.0 where everything is left out."""
    if data.weights is None:
        return float(losses.mean())
    shares = data.weights.sum(axis=-1, dtype=np.float64).reshape(losses.shape)
    whole = float(shares.sum())
    return float((losses * shares).sum() / whole) if whole > 0 else 0.0


def train(
    model: Model,
    inputs: Any,
    expected: Any,
    verbosity: int = 1,
    *,
    sample_weight: Any = None,
    carry_state: bool = False,
) -> float:
    """Learn from samples, one update a window; the mean loss."""
    model.memory()
    data = check_data(model, inputs, expected, sample_weight)
    if data.sequences and carry_state:
        raise DataError("carry_state can't be used with 4-axis inputs: each sequence starts from zero state")
    with model._lock:
        memory = model.memory()
        passes = sequences(model, memory, data, LEARN, model.bptt_steps)
        model.losses = np.zeros((len(passes), passes[0].samples)) if data.sequences else np.zeros(passes[0].samples)
        progress = Progress(sum(p.samples for p in passes), verbosity)
        with progress:
            for number, sequence in enumerate(passes):
                if not carry_state:
                    model.reset_state()
                where = f" of sequence {number}" if data.sequences else ""
                try:
                    follow(sequence, verbosity, progress, where)
                finally:
                    (model.losses[number] if data.sequences else model.losses)[:] = sequence.losses
        return mean_loss(data, model.losses)


def follow(sequence: Pass, verbosity: int, progress: Progress, where: str = "") -> None:
    """One pass in pieces: each as many windows as take a twentieth of a second, or one at verbosity 2."""
    at, windows = 0, 1
    window = sequence.capacity
    while at < sequence.samples:
        stop = min(sequence.samples, at + windows * window)
        started = time.perf_counter()
        reached = sequence.run(at, stop)
        took = time.perf_counter() - started
        if reached < stop:
            raise _diverged(sequence, reached, where)
        progress.advance(sequence, at, stop, where)
        at = stop
        if verbosity < 2 and took < PIECE:
            windows = max(1, min(windows * 8, int(windows * PIECE / max(took, 1e-7))))
        elif took > 2 * PIECE:
            windows = max(1, windows // 2)


def _diverged(sequence: Pass, begin: int, where: str) -> TrainingDivergedError:
    """What to say of the window that begins at a sample."""
    end = min(sequence.samples, begin + sequence.capacity)
    bad = np.flatnonzero(~np.isfinite(sequence.losses[begin:end]))
    if len(bad):
        sample = begin + int(bad[0])
        what = f"the loss of sample {sample}{where} is {sequence.losses[sample]}"
    else:
        span = f"sample {begin}" if end - begin == 1 else f"samples {begin} to {end - 1}"
        what = f"a gradient of the window of {span}{where} is not a finite number"
    return TrainingDivergedError(
        f"training diverged: {what}; the parameters are those of the last finite window "
        f"(a smaller learning_rate, or clip_norm, may help)"
    )


def evaluate(model: Model, inputs: Any, expected: Any, *, sample_weight: Any = None) -> float:
    """The mean loss over samples from zero state; nothing of the model changes."""
    data = check_data(model, inputs, expected, sample_weight)
    with model._lock:
        memory = scratch(model, model.bptt_steps)
        passes = sequences(model, memory, data, MEASURE, model.bptt_steps)
        found = np.zeros((len(passes), passes[0].samples))
        for number, sequence in enumerate(passes):
            for space in memory.spaces:
                space[:] = 0.0
            _measure(sequence)
            found[number] = sequence.losses
    return mean_loss(data, found if data.sequences else found[0])


def _measure(sequence: Pass) -> None:
    """Losses of a whole pass; those that are not finite are kept, and what follows is measured too."""
    at = 0
    while at < sequence.samples:
        stop = min(sequence.samples, at + max(1, 4096 // sequence.capacity) * sequence.capacity)
        reached = sequence.run(at, stop)
        if reached < stop:
            sequence.losses[reached:] = np.nan
            return
        at = stop


def scratch(model: Model, capacity: int) -> Memory:
    """The model's parameters with a workspace and gradients of their own."""
    own = model.memory()
    return model.scratch(capacity, own.weights, own.optimizer)


class Progress:
    """A bar on stderr after half a second (verbosity 1), and a line for every update (2)."""

    def __init__(self, samples: int, verbosity: int) -> None:
        self._samples, self._verbosity = samples, int(verbosity)
        self._started = time.perf_counter()
        self._bar: Any = None
        self._window = 0
        self.say: Callable[[str], None] = lambda line: print(line, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, sequence: Pass, start: int, stop: int, where: str) -> None:
        """Samples ``start`` to ``stop`` are done."""
        if self._verbosity < 1:
            return
        loss = float(sequence.losses[start:stop].mean())
        if self._verbosity >= 2:
            self._window += 1
            self.say(f"update {self._window}: samples {start} to {stop - 1}{where}, loss {loss:.6g}")
        if self._bar is None and time.perf_counter() - self._started > 0.5:
            from tqdm import tqdm

            self._bar = tqdm(total=self._samples, unit="sample", unit_scale=True, file=sys.stderr, leave=True)
            self._bar.update(stop - (stop - start))
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self._bar.update(stop - start)
