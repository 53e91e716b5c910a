"""Echo state networks: what ours and reservoirpy's have in common, and reservoirpy's as a peer."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np

from bench.entry import Entry, Run, timed
from bench.task import NO_ANSWER, Part, Task, last

CONNECTIVITY = 0.1  # the share of a reservoir's weights that are not zero


@dataclass(frozen=True)
class Setting:
    """radius: the spectral radius. leak: the share of a new value in each step. ridge: of the regression."""

    radius: float
    leak: float
    ridge: float

    def __str__(self) -> str:
        return f"radius {self.radius:g}, leak {self.leak:g}, ridge {self.ridge:g}"


SETTINGS = tuple(Setting(*numbers) for numbers in product((0.9, 1.2), (0.3, 1.0), (1e-8, 1e-3)))


def reservoir_width(task: Task, copies: int = 1) -> int:
    """The units of a reservoir whose numbers that are not zero are at most the task's number of parameters.

    copies: how many states, of this step and of earlier ones, the output reads.
    """
    fixed = task.inputs + copies * task.outputs
    return max(2, int((np.sqrt(fixed**2 + 4 * CONNECTIVITY * task.parameters) - fixed) / (2 * CONNECTIVITY)))


def random_reservoir(rng: np.random.Generator, width: int, radius: float) -> Any:
    """A sparse random matrix (width, width) with a spectral radius."""
    matrix = rng.normal(size=(width, width)) * (rng.random((width, width)) < CONNECTIVITY)
    largest = largest_eigenvalue(matrix)
    return matrix * (radius / largest) if largest > 0 else matrix


def largest_eigenvalue(matrix: Any) -> float:
    """The largest absolute value of an eigenvalue; by iteration, as reservoirpy finds it, if scipy is installed."""
    if find_spec("scipy") is not None and len(matrix) > 20:
        from scipy.sparse import csr_matrix
        from scipy.sparse.linalg import ArpackNoConvergence, eigs

        try:
            start = np.ones(len(matrix))
            return float(np.abs(eigs(csr_matrix(matrix), k=1, v0=start, return_eigenvectors=False)).max())
        except ArpackNoConvergence:
            pass
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def answered(task: Task, part: Part, states: Any) -> tuple[Any, Any]:
    """The states (n, width) of all steps that have an answer, and these answers (n, W_out).

    states: (N, S, width), or a list of (S_n, width). With one answer for each sequence, it is that of the last step.
    """
    read = np.asarray(states) if part.every_step else last(states)
    if part.expected.dtype.kind in "iu":
        counts = part.expected != NO_ANSWER
        return read[counts], np.eye(task.outputs)[part.expected[counts]]
    counts = ~np.isnan(part.expected).any(axis=-1)
    return read[counts], part.expected[counts].astype(float)


def learnt_from(task: Task) -> Part:
    """The data to learn from: one long series if the task has one, so that few steps are near the zero state."""
    return task.series or task.train


def fitted(task: Task, states: Any, ridge: float) -> tuple[Any, Any]:
    """The weight (width, W_out) and bias (W_out,) of an output, by ridge regression on the states of some sequences."""
    chosen, targets = answered(task, learnt_from(task), states)
    means, middle = chosen.mean(axis=0), targets.mean(axis=0)
    centred = chosen - means
    square = centred.T @ centred + ridge * np.eye(centred.shape[1])
    weight = np.linalg.solve(square, centred.T @ (targets - middle))
    return weight, middle - means @ weight


def entries(task: Task) -> list[Entry]:
    """reservoirpy's network."""
    return [Entry("reservoirpy ESN", False, SETTINGS, lambda seed, setting: train(task, seed, setting), "reservoirpy")]


def train(task: Task, seed: int, setting: Setting) -> Run:
    """A reservoir of reservoirpy, and its ridge regression on the steps that count."""
    from reservoirpy.nodes import Reservoir, Ridge

    width = reservoir_width(task)
    reservoir = Reservoir(width, sr=setting.radius, lr=setting.leak, input_connectivity=1.0,
                          rc_connectivity=CONNECTIVITY, seed=seed)  # fmt: skip
    readout = Ridge(ridge=setting.ridge)

    def states(part: Part) -> list[Any]:
        found = []
        for sequence in part.inputs:
            if reservoir.initialized:
                reservoir.reset()
            found.append(reservoir.run(np.asarray(sequence, float)))
        return found

    def learn() -> None:
        part = learnt_from(task)
        readout.fit(*answered(task, part, states(part)))

    def score(part: Part) -> float:
        return task.score(part, [readout.run(reached) for reached in states(part)])

    _, seconds = timed(learn)
    scores = [score(task.test), score(task.choose)]
    count = np.count_nonzero(np.asarray(reservoir.W.todense() if hasattr(reservoir.W, "todense") else reservoir.W))
    worse = -scores[1] if task.more_is_better else scores[1]
    return Run(*scores, worse, seconds, int(count) + task.inputs * width + (width + 1) * task.outputs)
