"""``Model``: a checked graph, its options, and once built its parameters and what training remembers."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, MDLWarning, ModelStateError, nearest
from .graph import Graph, build_graph
from .language import parse
from .options import CompileOptions, compile_options, finite_number
from .parameters import draw_parameters, generator

if TYPE_CHECKING:
    from .gradients import GradientReport
    from .kernels import Kernels

Floats = NDArray[Any]


@dataclass
class Memory:
    """What a built model keeps: flat arrays in the kernel's layout, and the workspace that holds recurrent state."""

    weights: Floats
    turned: Floats
    gradients: Floats
    optimizer: Floats
    constants: NDArray[np.float64]
    spaces: list[Floats]  # one that threads share, or one each
    row_losses: Floats
    sums: NDArray[np.float64]
    sync: NDArray[np.int64]

    @property
    def space(self) -> Floats:
        """The workspace that holds recurrent state."""
        return self.spaces[0]


class Model:
    """A neural network compiled from an MDL text. Made by ``neuromorph.compile``.

    ``learning_rate`` can be set at any time. ``losses`` holds the per-sample losses of the last ``train``, shape
    (S,), or (N, S) for 4-axis input. A model may be used from several threads: its calls take turns.
    """

    def __init__(self, text: str, options: CompileOptions, learning_rate: float, clip_norm: float | None, graph: Graph):
        self._text, self._options, self._graph = text, options, graph
        self.learning_rate = learning_rate
        self.clip_norm = clip_norm
        self.losses: NDArray[np.float64] = np.zeros(0)
        self._start()

    def _start(self) -> None:
        """What is never copied or pickled: locks, kernels, memory."""
        self._lock = threading.RLock()
        self._kernels: Kernels | None = None
        self._memory: Memory | None = None
        self._released = False

    # What it is ------------------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The canonical MDL text."""
        return self._graph.text

    @property
    def graph(self) -> Graph:
        """The checked graph."""
        return self._graph

    @property
    def options(self) -> CompileOptions:
        """The options that the kernels are specialised for."""
        return self._options

    @property
    def batch_size(self) -> int:
        """Lanes of a training sample."""
        return self._options.batch_size

    @property
    def bptt_steps(self) -> int:
        """Samples of a window."""
        return self._options.bptt_steps

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of parameters and data."""
        return np.dtype(self._options.dtype)

    @property
    def input_width(self) -> int:
        """Components of an input vector."""
        return self._graph.nodes[self._graph.input].width

    @property
    def output_width(self) -> int:
        """Components of an output vector."""
        return self._graph.nodes[self._graph.output].width

    @property
    def learning_rate(self) -> float:
        """The step size of the optimizer, a finite number >= 0."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = finite_number("learning_rate", value)

    @property
    def clip_norm(self) -> float | None:
        """The largest norm of all gradients together, or None for no bound."""
        return self._clip_norm

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        self._clip_norm = None if value is None else finite_number("clip_norm", value)
        if self._clip_norm == 0.0:
            raise ValueError("clip_norm must be greater than 0")

    @property
    def parameter_count(self) -> int:
        """Weights and biases of all live layers."""
        graph = self._graph
        return sum((graph.fan_in(index) + 1) * graph.nodes[index].width for index in graph.parameters)

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

    # Life ------------------------------------------------------------------------------------------------------------

    @property
    def kernels(self) -> Kernels:
        """The generated and compiled kernels; made at first use."""
        self._check_alive()
        if self._kernels is None:
            from .kernels import Kernels

            with self._lock:
                self._kernels = self._kernels or Kernels(self._graph, self._options)
        return self._kernels

    def _check_alive(self) -> None:
        if self._released:
            raise ModelStateError("the model was released; compile its text again")

    def memory(self) -> Memory:
        """The arrays of a built model; ModelStateError where there are none."""
        self._check_alive()
        if self._memory is None:
            raise ModelStateError("the model is not built yet; call build(model) first")
        return self._memory

    def build(self, *, verbosity: int = 0) -> Model:
        """Write and compile the kernels that training needs (or find them on disk), and draw new parameters.

        Returns the model. Raises MemoryError, naming the bytes, where the model can't fit into this machine's memory.
        """
        with self._lock:
            self.prepare(verbosity=verbosity)
            self.set_parameters(draw_parameters(self._graph, generator(), self._options.dtype))
        return self

    def prepare(self, *, verbosity: int = 0) -> None:
        """Kernels for training and empty memory: what ``build`` does before it draws parameters."""
        from .kernels import aligned_zeros

        kernels = self.kernels
        kernels.check_size()
        started = time.perf_counter()
        kernels.train  # noqa: B018 - compiles, or is found in the cache
        took = time.perf_counter() - started
        if verbosity >= 1 and took >= 0.1:
            print(f"compiling kernels, {took:.1f} s", file=sys.stderr)
        layout, dtype = kernels.kernel.layout, self._options.dtype
        weights = aligned_zeros(layout.size, dtype)
        remembered = aligned_zeros(max(1, kernels.memory_slots * layout.size), dtype)
        self._memory = self.scratch(self.bptt_steps, weights, remembered)

    def scratch(self, capacity: int, weights: Floats, remembered: Floats) -> Memory:
        """Memory for windows of at most ``capacity`` samples around some weights and what the optimizer remembers."""
        from .kernels import aligned_zeros

        kernel, dtype = self.kernels.kernel, self._options.dtype
        threads, copies = kernel.options.threads, kernel.gradient_copies
        return Memory(
            weights,
            aligned_zeros(max(1, kernel.layout.turned_size), dtype),
            aligned_zeros(copies * kernel.layout.size, dtype),
            remembered,
            np.zeros(1),
            [aligned_zeros(kernel.space_size(capacity) + 16, dtype) for _ in range(copies)],
            aligned_zeros(capacity * self.batch_size, dtype),
            np.zeros(2 * threads),
            np.zeros(16, np.int64),
        )

    def release(self) -> None:
        """Free the model's memory. Releasing twice is fine; any other use afterwards is a ModelStateError."""
        with self._lock:
            self._memory, self._kernels, self._released = None, None, True

    def __enter__(self) -> Model:
        self._check_alive()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __getstate__(self) -> dict[str, Any]:
        self._check_alive()
        with self._lock:
            kept = {
                "text": self._text,
                "options": self._options,
                "learning_rate": self._learning_rate,
                "clip_norm": self._clip_norm,
                "losses": self.losses.copy(),
            }
            if self._memory is not None:
                kept["parameters"] = self.get_parameters()
                kept["state"] = self.state
                kept["optimizer"] = np.array(self._memory.optimizer)
            return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        graph = build_graph(parse(kept["text"]))
        self.__init__(kept["text"], kept["options"], kept["learning_rate"], kept["clip_norm"], graph)  # type: ignore[misc]
        self.losses = kept["losses"]
        if "parameters" in kept:
            self.prepare()
            self.set_parameters(kept["parameters"])
            self.state = kept["state"]
            self.memory().optimizer[:] = kept["optimizer"]

    # Parameters and state --------------------------------------------------------------------------------------------

    def get_parameters(self) -> dict[str, Floats]:
        """Copies of all parameters: "<layer>.weight" (fan_in, width) and "<layer>.bias" (width,), in text order."""
        with self._lock:
            return self.unpack(self.memory().weights)

    def unpack(self, flat: Floats) -> dict[str, Floats]:
        """A flat array in the kernel's layout as named arrays."""
        layout, found = self.kernels.kernel.layout, {}
        for index in self._graph.parameters:
            name = self._graph.nodes[index].name
            weight, bias = layout.places(index)
            found[f"{name}.weight"], found[f"{name}.bias"] = flat[weight], flat[bias]
        return found

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set some or all parameters; what is given is broadcast to the parameter's shape.

        Raises DataError for an unknown name, a shape that does not broadcast, or numbers that are not finite; then
        nothing is changed.
        """
        with self._lock:
            weights, layout = self.memory().weights, self.kernels.kernel.layout
            places = {}
            for index in self._graph.parameters:
                name = self._graph.nodes[index].name
                places[f"{name}.weight"], places[f"{name}.bias"] = layout.places(index)
            fresh = weights.copy()
            for name, value in dict(parameters).items():
                if name not in places:
                    near = nearest(str(name), places)
                    raise DataError(
                        f"the model has no parameter {name!r}" + (f"; did you mean {near!r}?" if near else "")
                    )
                fresh[places[name]] = _fitting(name, value, places[name].shape, self.dtype)
            weights[:] = fresh

    def _state_views(self) -> dict[str, Floats]:
        """Views (B, width) of the state that the next window starts from, by the name that a link in time reads."""
        memory, kernel, graph = self.memory(), self.kernels.kernel, self._graph
        buffers = dict(kernel.training.state)
        views = {}
        for _, other in graph.delayed_links:
            node = graph.nodes[graph.resolve(other)]
            name = buffers[node.index]
            stride = kernel.training.strides[name]
            a, b = kernel.training_space.terms[name]
            start = a * self.bptt_steps * self.batch_size + (b - stride) * self.batch_size
            rows = memory.space[start : start + stride * self.batch_size].reshape(self.batch_size, stride)
            views[graph.nodes[other].name] = rows[:, : node.width]
        return views

    @property
    def state(self) -> dict[str, Floats]:
        """Recurrent state after the last ``train``: {name of the node that a link in time reads: (B, width)},
        copies."""
        with self._lock:
            return {name: view.copy() for name, view in self._state_views().items()}

    @state.setter
    def state(self, values: Mapping[str, Any]) -> None:
        with self._lock:
            views = self._state_views()
            fresh = {}
            for name, value in dict(values).items():
                if name not in views:
                    known = ", ".join(views) or "none"
                    raise DataError(f"the model keeps no state named {name!r}; it keeps: {known}")
                fresh[name] = _fitting(name, value, views[name].shape, self.dtype)
            for name, value in fresh.items():
                views[name][:] = value

    def reset_state(self) -> None:
        """Recurrent state back to zeros."""
        with self._lock:
            for view in self._state_views().values():
                view[:] = 0.0

    # What is done with it --------------------------------------------------------------------------------------------

    def train(
        self,
        inputs: Any,
        expected: Any,
        verbosity: int = 1,
        *,
        sample_weight: Any = None,
        carry_state: bool = False,
    ) -> float:
        """Learn from samples; see ``neuromorph.train``."""
        from .training import train

        return train(self, inputs, expected, verbosity, sample_weight=sample_weight, carry_state=carry_state)

    def evaluate(self, inputs: Any, expected: Any, *, sample_weight: Any = None) -> float:
        """The mean loss, nothing changed; see ``neuromorph.evaluate``."""
        from .training import evaluate

        return evaluate(self, inputs, expected, sample_weight=sample_weight)

    def predict(self, inputs: Any) -> Floats:
        """The output for every sample; see ``neuromorph.predict``."""
        from .inference import predict

        return predict(self, inputs)

    def gradients(self, inputs: Any, expected: Any, *, sample_weight: Any = None) -> tuple[float, dict[str, Floats]]:
        """Loss and exact gradients; see ``neuromorph.gradients``."""
        from .gradients import gradients

        return gradients(self, inputs, expected, sample_weight=sample_weight)

    def gradcheck(self, inputs: Any = None, expected: Any = None, **options: Any) -> GradientReport:
        """The kernel's gradients against central differences; see ``neuromorph.gradcheck``."""
        from .gradients import gradcheck

        return gradcheck(self, inputs, expected, **options)

    def kernel_source(self) -> str:
        """The generated Python source of this model's kernels."""
        return self.kernels.kernel.source

    def summary(self) -> str:
        """A table of nodes, widths, parameters and links in time."""
        from .report import summary

        return summary(self._graph)


def _fitting(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    """``value`` broadcast to a shape, every number finite."""
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(value, dtype=np.float64).astype(dtype)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be numbers: {error}") from None
    try:
        full = np.broadcast_to(array, shape)
    except ValueError:
        raise DataError(f"{name} has shape {array.shape}, and the model needs {shape}") from None
    if not np.isfinite(full).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(full))[0])
        raise DataError(f"{name}{list(place)} is {full[place]}, and parameters and state are finite numbers")
    return full


def compile_model(
    mdl: str | os.PathLike[str],
    batch_size: int,
    learning_rate: float,
    *,
    optimizer: str = "sgd",
    bptt_steps: int | None = None,
    clip_norm: float | None = None,
    dtype: str = "float32",
    threads: int | None = None,
    stacklevel: int = 2,
) -> Model:
    """Text to model; ``neuromorph.compile``."""
    rate = finite_number("learning_rate", learning_rate)
    compile_options(
        batch_size,
        optimizer=optimizer,
        bptt_steps=bptt_steps,
        dtype=dtype,
        threads=threads,
        has_time_links=False,
    )
    text, filename = _text_of(mdl)
    graph = build_graph(parse(text, filename))
    options = compile_options(
        batch_size, optimizer=optimizer, bptt_steps=bptt_steps, dtype=dtype, threads=threads,
        has_time_links=graph.has_time_links,
    )  # fmt: skip
    model = Model(text, options, rate, clip_norm, graph)
    for line in graph.warnings:
        warnings.warn(line, MDLWarning, stacklevel=stacklevel + 1)
    return model


def _text_of(mdl: Any) -> tuple[str, str | None]:
    """The text, and the file's name where a Path was given."""
    if isinstance(mdl, os.PathLike):
        path = Path(mdl)
        return path.read_bytes().decode("utf-8", errors="surrogateescape"), str(path)
    if not isinstance(mdl, str):
        raise TypeError(f"mdl must be a text (str) or a path object, not {type(mdl).__name__}")
    return mdl, None
