"""Runs one model in three ways: by the interpreter, by generated source as plain Python, and by compiled source.

Each way gives an ``Outcome`` for the same ``Trial``; ``assert_agree`` compares two outcomes. Shapes: S samples, B
lanes, W width.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np

from neuromorph.abi.arguments import TrainCall
from neuromorph.abi.mailbox import new_mailbox
from neuromorph.codegen import Kernel, KernelOptions, generate
from neuromorph.graph import Graph, build_graph, interpreter
from neuromorph.jit import bundles, cache
from neuromorph.language import parse
from neuromorph.runtime.threadpool import run_together
from neuromorph.schedule import Alone, ByBatch, ByColumns, ByRows, Division, InChunks, verify

TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
RATE = 0.1
DROPOUT_KEY = 123_456_789_012_345
NOTHING: Mapping[str, Any] = {}
GUARD = 64  # the number of elements after every array that no kernel may change


def graph_of(text: str) -> Graph:
    """The checked graph of a text, without its warnings."""
    return build_graph(parse(text))


def kernel_of(
    text: str, *, batch: int = 3, dtype: str = "float64", lanes: int = 4, registers: int = 16, **more: Any
) -> Kernel:
    """The kernel of a text. more: the optimizer, and the arguments of ``division_of``."""
    graph, optimizer = graph_of(text), more.pop("optimizer", "sgd")
    division = division_of(graph, **more)
    kernel = generate(graph, KernelOptions(batch, dtype, lanes, registers, optimizer, division))
    verify(kernel.plan)
    return kernel


def division_of(graph: Graph, threads: int = 1, chunk: int = 0, columns: bool = False) -> Division:
    """How so many threads divide a window.

    In chunks of ``chunk`` rows, if that is given, or by columns. Otherwise by lanes if there are links in time, else by
    rows.
    """
    if chunk:
        return InChunks(threads, chunk)
    if threads == 1:
        return Alone()
    if columns:
        return ByColumns(threads)
    return ByBatch(threads) if graph.has_time_links else ByRows(threads)


# Trials ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """One model with parameters and data. weights: (S, B) or None. window: the samples of a training window."""

    graph: Graph
    parameters: dict[str, np.ndarray]
    inputs: np.ndarray
    expected: np.ndarray
    weights: np.ndarray | None
    window: int


@dataclass(frozen=True)
class Outcome:
    """The results of one way to run a trial.

    losses, gradients: those of all samples as one window. trained_losses, trained: the losses and the parameters of a
    training run in windows.
    """

    predictions: np.ndarray
    losses: np.ndarray
    gradients: dict[str, np.ndarray]
    trained_losses: np.ndarray
    trained: dict[str, np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        named = {"predictions": self.predictions, "losses": self.losses, "trained losses": self.trained_losses}
        named |= {f"gradient of {name}": value for name, value in self.gradients.items()}
        return named | {f"trained {name}": value for name, value in self.trained.items()}


def trial_of(
    text: str, *, batch: int = 3, samples: int = 7, window: int = 5, seed: int = 0, weighted: bool = False,
    span: tuple[float, float] = (0.1, 0.9),
) -> Trial:  # fmt: skip
    """A model with random parameters, inputs and expected values.

    span: the range of the expected values. weighted: whether to give random weights. Some of these are 0, and there the
    expected values are NaN.
    """
    graph, rng = graph_of(text), np.random.default_rng(seed)
    parameters = interpreter.draw_parameters(graph, rng, np.float64)
    inputs = rng.normal(size=(samples, batch, graph.nodes[graph.input].width))
    expected = rng.uniform(*span, (samples, batch, graph.nodes[graph.output].width))
    weights = None
    if weighted:
        weights = rng.uniform(0.2, 2.0, (samples, batch)) * (rng.uniform(size=(samples, batch)) < 0.6)
        weights[0], weights[-1] = 0.0, 1.5  # one sample has weight 0 in all lanes, another one in none
        expected[weights == 0.0] = np.nan
    return Trial(graph, parameters, inputs, expected, weights, window)


def varied(trial: Trial, seed: int) -> Trial:
    """The trial with other numbers for the parameters of elementwise layers, which begin as all zeros or ones."""
    rng, parameters = np.random.default_rng(seed + 1), dict(trial.parameters)
    for array in trial.graph.arrays:
        value = parameters[array.name]
        if array.role == "scale":
            parameters[array.name] = value * rng.uniform(0.5, 2.0, value.shape)
        elif trial.graph.nodes[array.node].elementwise is not None:
            parameters[array.name] = value + 0.3 * rng.normal(size=value.shape)
    return replace(trial, parameters=parameters)


def reference_outcome(trial: Trial) -> Outcome:
    """The outcome of the interpreter, which defines what the model means."""
    graph, parameters, x, e, w = trial.graph, trial.parameters, trial.inputs, trial.expected, trial.weights
    with np.errstate(all="ignore"):
        whole = interpreter.window(graph, parameters, x, e, w)
        trained = interpreter.train(
            graph, parameters, x, e, learning_rate=RATE, bptt_steps=trial.window, sample_weight=w,
            masks=interpreter.Masks(DROPOUT_KEY, 0),
        )  # fmt: skip
        predictions = interpreter.predict(graph, parameters, x)
    return Outcome(predictions, whole.losses, whole.gradients, trained.losses, trained.parameters)


# Kernels --------------------------------------------------------------------------------------------------------------


@contextmanager
def jit_disabled() -> Iterator[None]:
    before = numba.config.DISABLE_JIT
    numba.config.DISABLE_JIT = 1
    try:
        yield
    finally:
        numba.config.DISABLE_JIT = before


def plain(kernel: Kernel) -> Any:
    """The generated source as a module of plain Python functions."""
    module = types.ModuleType("plain_kernel")
    with jit_disabled():
        exec(compile(kernel.source, "<kernel>", "exec"), module.__dict__)
    assert not bundles.is_compiled(module.train)
    return module


def _ready(kernel: Kernel, name: str) -> Any:
    key = cache.key_of(kernel.source, *cache.environment())
    functions = {f: kernel.functions[f] for f in kernel.bundles[name]}
    return getattr(bundles.ready(kernel.source, key, functions, kernel.options.dtype, entries=[name]), name)


def compiled(kernel: Kernel) -> Any:
    """The compiled ``train`` and ``predict`` of a kernel."""
    return types.SimpleNamespace(train=_ready(kernel, "train"), predict=_ready(kernel, "predict"))


def half_compiled(kernel: Kernel) -> Any:
    """The compiled ``train`` of a kernel, and its ``predict`` in plain Python, which saves half of the compile time."""
    return types.SimpleNamespace(train=_ready(kernel, "train"), predict=plain(kernel).predict)


@dataclass
class Memory:
    """The arrays that a kernel works on. After each there is a guard: elements that must not change."""

    kernel: Kernel
    weights: np.ndarray
    transposed: np.ndarray
    gradients: np.ndarray
    space: np.ndarray

    @classmethod
    def of(cls, kernel: Kernel, parameters: dict[str, np.ndarray], capacity: int) -> Memory:
        """The parameters in the kernel's layout, and NaN wherever a kernel has to write before it reads."""
        dtype, layout, copies = kernel.options.dtype, kernel.plan.layout, kernel.plan.gradient_copies
        memory = cls(
            kernel,
            np.zeros(layout.size + GUARD, dtype),
            np.full(layout.transposed_size + GUARD, np.nan, dtype),
            np.full(copies * layout.size + GUARD, np.nan, dtype),
            np.zeros(copies * (kernel.plan.space_size(capacity) + GUARD), dtype),
        )
        for name, place in memory.places().items():
            memory.weights[place] = parameters[name]
        for array in memory.arrays():
            array[-GUARD:] = 7.0
        return memory

    def arrays(self) -> list[np.ndarray]:
        """All arrays."""
        return [self.weights, self.transposed, self.gradients, *np.split(self.space, self.kernel.plan.gradient_copies)]

    def places(self, *, learning: bool = False) -> dict[str, np.ndarray]:
        """The places of each parameter in the flat array; with ``learning``, only of those that learn."""
        graph, layout = self.kernel.plan.training.graph, self.kernel.plan.layout
        arrays = [array for array in graph.arrays if array.learns or not learning]
        return {array.name: layout.places(array.node, array.role) for array in arrays}

    def unpack(self, flat: np.ndarray, *, learning: bool = False) -> dict[str, np.ndarray]:
        """The arrays by name, from a flat array in the kernel's layout."""
        return {name: flat[place] for name, place in self.places(learning=learning).items()}

    def padding(self) -> np.ndarray:
        """The elements of the weights that belong to no parameter."""
        inside = np.ones(self.kernel.plan.layout.size, bool)
        for place in self.places().values():
            inside[place] = False
        return self.weights[:-GUARD][inside]

    def check(self) -> None:
        """Check that nothing was written after an array, and that the padding of the parameters is still zero."""
        for array in self.arrays():
            assert (array[-GUARD:] == 7.0).all(), "a kernel wrote behind an array"
        assert not self.padding().any(), "the padding of the parameters is no longer zero"


def call(function: Any, given: dict[str, Any]) -> Any:
    """Call a function with its arguments by name. Of a compiled ``train``, which does not tell their names, they are
    those of a training call."""
    if bundles.is_compiled(function):
        assert function.__name__ == "train"
        names = (*(("begin", "until", "mailbox", "numbers") if "mailbox" in given else ()), *TrainCall._fields)
    else:
        names = tuple(inspect.signature(function).parameters)
    return function(*(given[name] for name in names))


def call_together(function: Any, threads: int, given: dict[str, Any]) -> Any:
    """Call a function by a pool of threads, or by one thread for all members if ``given`` has ``until``."""
    if threads == 1:
        return call(function, given)
    mailbox, numbers = new_mailbox(threads)
    shared = {"begin": 0, "mailbox": mailbox, "numbers": numbers}
    if "until" in given:
        return call(function, shared | given)
    calls = [given | shared | {"begin": n, "until": n + 1} for n in range(threads)]
    return run_together(lambda mine: call(function, mine), [(mine,) for mine in calls])


def _rows(kernel: Kernel, trial: Trial) -> np.ndarray:
    rows = trial.inputs.shape[0] * trial.inputs.shape[1]
    weights = np.ones(rows) if trial.weights is None else trial.weights.ravel()
    return weights.astype(kernel.options.dtype)


def call_windows(
    kernel: Kernel, functions: Any, trial: Trial, memory: Memory, capacity: int, mode: int, losses: np.ndarray,
    /, **arguments: Any,
) -> int:  # fmt: skip
    """Call ``train`` once and return the sample where it stopped. Checks that no data array was changed."""
    dtype, (samples, batch, _) = kernel.options.dtype, trial.inputs.shape
    data = [trial.inputs.astype(dtype).ravel(), trial.expected.astype(dtype).ravel(), _rows(kernel, trial)]
    copies = [array.copy() for array in data]
    given = {
        "sample": 0, "stop": samples, "samples": samples, "capacity": capacity, "mode": mode,
        "weights": memory.weights, "transposed": memory.transposed, "gradients": memory.gradients,
        "memory": np.zeros(1, dtype), "constants": np.array([DROPOUT_KEY, 0.0]), "x": data[0], "expected": data[1],
        "row_weights": data[2], "row_step": batch, "row_losses": np.zeros(samples * batch, dtype), "losses": losses,
        "rate": RATE, "clip": 0.0,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        reached = call_together(functions.train, kernel.options.threads, given | {"work": memory.space} | arguments)
    for array, copy in zip(data, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    memory.check()
    return int(reached)


def call_train(kernel: Kernel, functions: Any, trial: Trial, memory: Memory, capacity: int, mode: int) -> np.ndarray:
    """Call ``train`` once over all samples and return the loss of each sample."""
    losses = np.zeros(len(trial.inputs))
    reached = call_windows(kernel, functions, trial, memory, capacity, mode, losses)
    assert reached == len(losses), f"stopped at sample {reached} of {len(losses)}"
    return losses


def call_predict(kernel: Kernel, functions: Any, trial: Trial, capacity: int = 3) -> np.ndarray:
    """The predictions (S, B, W_out), in chunks of ``capacity`` samples."""
    dtype, (samples, batch, _) = kernel.options.dtype, trial.inputs.shape
    width = trial.graph.nodes[trial.graph.output].width
    space = np.zeros(kernel.plan.prediction_space.size(capacity, batch) + GUARD, dtype)
    results = np.full(samples * batch * width + GUARD, 7.0, dtype)
    weights = Memory.of(kernel, trial.parameters, 1).weights
    with np.errstate(all="ignore"):
        functions.predict(batch, samples, capacity, space, weights, trial.inputs.astype(dtype).ravel(), results)
    assert (results[-GUARD:] == 7.0).all(), "predict wrote behind the results"
    return results[:-GUARD].reshape(samples, batch, width)


def kernel_outcome(kernel: Kernel, functions: Any, trial: Trial) -> Outcome:
    """The outcome of a kernel's functions, plain or compiled, for a trial."""
    samples = len(trial.inputs)
    whole = Memory.of(kernel, trial.parameters, samples)
    losses = call_train(kernel, functions, trial, whole, samples, 1)
    learned = Memory.of(kernel, trial.parameters, trial.window)
    trained_losses = call_train(kernel, functions, trial, learned, trial.window, 2)
    return Outcome(
        call_predict(kernel, functions, trial), losses, whole.unpack(whole.gradients, learning=True), trained_losses,
        learned.unpack(learned.weights),
    )  # fmt: skip


# Comparison -----------------------------------------------------------------------------------------------------------


def relative_error(found: np.ndarray, wanted: np.ndarray, floor: float = 1e-3) -> float:
    """The largest error, divided by the largest value or by ``floor`` if that is greater."""
    assert found.shape == wanted.shape
    assert np.isfinite(found).all(), f"not finite: {found}"
    wanted = np.asarray(wanted, np.float64)
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), floor))


def assert_agree(found: Outcome, wanted: Outcome, tolerance: float, note: str = "", floor: float = 1e-3) -> None:
    """Assert that all arrays of two outcomes agree within a tolerance."""
    left, right = found.arrays(), wanted.arrays()
    assert left.keys() == right.keys()
    errors = {name: relative_error(left[name], right[name], floor) for name in left}
    wrong = {name: error for name, error in errors.items() if not error <= tolerance}
    assert not wrong, f"{note}\nrelative errors: {wrong}"


def check_plain(
    text: str, *, dtype: str = "float64", batch: int = 3, kernel: Mapping[str, Any] = NOTHING, **data: Any
) -> Outcome:
    """Check that generated source as plain Python agrees with the interpreter, and return its outcome.

    kernel: lanes, registers, threads, chunk. data: samples, window, seed, weighted, span.
    """
    trial, made = trial_of(text, batch=batch, **data), kernel_of(text, batch=batch, dtype=dtype, **kernel)
    found, wanted = kernel_outcome(made, plain(made), trial), reference_outcome(trial)
    assert_agree(found, wanted, TOLERANCE[dtype], f"plain {made.options}\n{data}\n{text}")
    return found


def check_compiled(
    text: str, *, dtype: str = "float64", batch: int = 3, kernel: Mapping[str, Any] = NOTHING, **data: Any
) -> None:
    """Check that compiled kernel, plain Python and interpreter agree, without and with sample weights."""
    made = kernel_of(text, batch=batch, dtype=dtype, **kernel)
    machine, python = compiled(made), plain(made)
    for weighted in (False, True):
        trial = trial_of(text, batch=batch, weighted=weighted, **data)
        found, note = kernel_outcome(made, machine, trial), f"compiled {made.options}\n{data}\n{text}"
        assert_agree(found, reference_outcome(trial), TOLERANCE[dtype], f"{note}\nagainst the reference")
        assert_agree(found, kernel_outcome(made, python, trial), TOLERANCE[dtype], f"{note}\nagainst plain Python")
