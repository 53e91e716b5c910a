"""Our own contestant: ``neuromorph.train``, the public call with all its checks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neuromorph as nm

from .cases import data
from .engine import DATA, PARAMETERS, Prepared, Task, Timing, timed

MOVED = 1e-2  # by so much learning should change the losses that are compared
FIRST, MOST = 4, 256  # windows that are compared


class Own:
    """``nm.train`` at verbosity 0 on the case's data. Task.threads 0 lets the library choose."""

    def __init__(self, task: Task) -> None:
        self.task, self.case = task, task.case
        self.model = task.case.model(task.threads or None)
        self.inputs, self.expected = data(task.case)

    def prepare(self) -> Prepared:
        """Build from the task's cache, and train enough windows that it shows."""
        nm.seed(1)
        started = time.perf_counter()
        nm.build(self.model)
        compiling = time.perf_counter() - started
        self.initial = nm.get_parameters(self.model)
        if not self.task.check:
            self._hand_over()
        losses, moved = self._first_losses()
        self.run()
        return Prepared(_version(), compiling, [float(loss) for loss in losses], moved)

    def _hand_over(self) -> None:
        """Parameters and data as files, for peers."""
        folder, arrays = Path(self.task.folder), dict[str, Any](self.initial)
        np.savez(folder / PARAMETERS, **arrays)
        for name, array in zip(DATA, (self.inputs, self.expected), strict=True):
            np.save(folder / name, array)

    def _first_losses(self) -> tuple[NDArray[np.float64], float]:
        """The losses of the first windows, as few as show that the model learns, and by how much they moved."""
        count = min(self.task.check or FIRST, self.case.windows)
        while True:
            losses, still = self._losses(count, self.case.rate), self._losses(count, 0.0)
            moved = float(np.max(np.abs(losses - still) / np.maximum(np.abs(still), 1e-30)))
            if moved >= MOVED or self.task.check or count >= min(MOST, self.case.windows):
                return losses, moved
            count = min(2 * count, self.case.windows)

    def _losses(self, windows: int, rate: float) -> NDArray[np.float64]:
        """The loss of each of the first windows, trained from the initial parameters."""
        nm.set_parameters(self.model, self.initial)
        self.model.learning_rate = rate
        stop = windows * self.case.window
        nm.train(self.model, self.inputs[:stop], self.expected[:stop], 0)
        self.model.learning_rate = self.case.rate
        means: NDArray[np.float64] = self.model.losses.reshape(windows, self.case.window).mean(axis=1)
        return means

    def first_run(self) -> None:
        """Build the model, and train all windows once."""
        nm.build(self.model)
        nm.train(self.model, self.inputs, self.expected, 0)

    def run(self) -> Timing:
        """All samples from the initial parameters."""
        nm.set_parameters(self.model, self.initial)
        return timed(lambda: nm.train(self.model, self.inputs, self.expected, 0), self.case.samples)


def _version() -> str:
    import llvmlite
    import numba

    return f"neuromorph {nm.__version__} (Numba {numba.__version__}, llvmlite {llvmlite.__version__})"
