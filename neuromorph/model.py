"""``Model``: a checked graph, its options, and once built its parameters and what training remembers."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from . import parameters, training
from .advice import advise
from .boxes import new_box
from .contest import Contest
from .data import as_broadcast
from .errors import DataError, Location, MDLSemanticError, MDLSyntaxError, MDLWarning, ModelStateError, brief, nearest
from .functions import OPTIMIZERS
from .functions import Optimizer as Record
from .graph import Graph, build_graph
from .host.cached import cached_property
from .host.exclusive import imported
from .host.forks import after_in_child, new_lock
from .language import parse
from .optimizers import Optimizer, optimizer_of
from .options import CompileOptions, compile_options, finite_number
from .parameters import draw_parameters
from .state import as_dict, set_state, state_pieces, state_views
from .streaming import Feeds

if TYPE_CHECKING:
    from .codegen.layout import Workspace
    from .derivatives import GradientReport
    from .drawing import Drawing
    from .fitting import History
    from .inspection import Inspection
    from .kernels import Kernels
    from .streaming import Stream
    from .team import Team

Floats = NDArray[Any]

_models: list[ref[Model]] = []  # whose locks a forked child has to look after; some are gone
_models_lock = new_lock()
_room = 64  # models that are noted before those that are gone are looked for
_SHOWN_NODES = 1_000  # of a picture that a notebook shows by itself


@dataclass
class Memory:
    """What a built model keeps: flat arrays in the kernel's layout, and the workspace that holds recurrent state.

    ``optimizer`` has the optimizer's slots one after the other; ``constants`` its numbers, and behind them its counts.
    """

    weights: Floats
    turned: Floats
    gradients: Floats
    optimizer: Floats
    constants: NDArray[np.float64]
    space: Floats  # one that threads share, or those of all of them, one after the other
    copies: int  # of the workspace
    row_losses: Floats
    remembered: list[Floats] | None = None  # views of all recurrent state, once it was to be set to zeros
    team: Team | None = None  # of the last call by several threads
    number: int = field(default_factory=itertools.count(1).__next__)  # by which the team knows us
    contests: dict[int, Contest] = field(default_factory=dict)  # by mode: who trains a window quicker
    box: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None  # of one thread that does the work of several

    def alone(self, members: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """A box, and the numbers beside it, for one thread that is so many members."""
        if self.box is None:
            self.box = new_box(members)
        return self.box

    @property
    def spaces(self) -> list[Floats]:
        """The workspaces, views."""
        size = len(self.space) // self.copies
        return [self.space[begin : begin + size] for begin in range(0, size * self.copies, size)]

    @cached_property
    def ones(self) -> Floats:
        """The weights of a window's rows where none are given; made when first needed, for a file may claim many."""
        return np.ones_like(self.row_losses)


class Model:
    """A neural network compiled from an MDL text. Made by ``neuromorph.compile``.

    ``learning_rate`` can be set at any time. ``losses`` holds the per-sample losses of the last ``train``, shape
    (S,), or (N, S) for 4-axis input, NaN for those that it did not reach; ``history`` what the last ``fit`` recorded.
    A model may be used from several threads: its calls take turns.
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
        self._text, self._options, self._graph, self._optimizer = text, options, graph, optimizer
        self._dtype = np.dtype(options.dtype)
        self.learning_rate = learning_rate
        self.clip_norm = clip_norm
        self.losses: NDArray[np.float64] = np.zeros(0)
        self.history: History | None = None
        self._start()

    def _start(self) -> None:
        """What is never copied or pickled: locks, kernels, memory."""
        self._lock = threading.RLock()
        self._kernels: Kernels | None = None
        self._memory: Memory | None = None
        self._released = self._torn = self._changing = False
        self.feeds = Feeds()
        _remember(self)

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
        return self._dtype

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
        """The step size of the optimizer, a finite number >= 0 that the model's type can hold."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        rate = finite_number("learning_rate", value)
        self._optimizer.check_range(rate, self._options.dtype)
        self._learning_rate = rate

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
    def optimizer(self) -> Optimizer:
        """How parameters move along their gradients. Its numbers can be changed at any time, but not its kind."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, value: Any) -> None:
        chosen = optimizer_of(value)
        if chosen.kind != self._optimizer.kind:
            raise ValueError(
                f"the model was compiled for the update {self._optimizer.kind!r}, and optimizer needs {chosen.kind!r}; "
                "compile its text again"
            )
        chosen.check_range(self._learning_rate, self._options.dtype)
        with self._lock:
            self._optimizer = chosen
            if self._memory is not None:
                self._memory.constants[: len(chosen.constants)] = chosen.constants

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

    def _check_whole(self) -> None:
        if self._torn:
            raise ModelStateError(
                "another thread was changing this model when this process was forked, and its numbers may be half "
                "written; build or load it again, or fork between calls"
            )

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A block, inside one with the model's lock, that writes to the model's memory. A fork meanwhile leaves the
        child with a copy that is half written."""
        before, self._changing = self._changing, True
        try:
            yield
        finally:
            self._changing = before

    def after_fork(self) -> None:
        """In a child: a new lock where a thread was inside a call, and no memory where that call was writing to it.
        The thread does not exist in the child."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return
        self._lock = threading.RLock()
        if self._changing:
            self._memory, self._torn, self._changing = None, True, False

    def memory(self) -> Memory:
        """The arrays of a built model; ModelStateError where there are none."""
        self._check_alive()
        self._check_whole()
        if self._memory is None:
            raise ModelStateError("the model is not built yet; call build(model) first")
        return self._memory

    def build(self, *, verbosity: int = 0) -> Model:
        """Write and compile the kernels that training needs (or find them on disk), and draw new parameters.

        Returns the model. Raises MemoryError, naming the bytes, where the model can't fit into this machine's memory.
        """
        with self._lock, self.changing():
            self._compile(verbosity)
            with parameters.lock:
                drawn = draw_parameters(self._graph, parameters.generator(), self._options.dtype)
            self.prepare()
            self.set_parameters(drawn)
        return self

    def _compile(self, verbosity: int) -> None:
        """The kernels that training needs, of a model that fits into this machine's memory."""
        kernels = self.kernels
        kernels.check_size()
        if verbosity >= 1:
            with _telling(kernels):
                kernels.train  # noqa: B018 - compiles, or is found in the cache
        else:
            kernels.train  # noqa: B018

    def prepare(self) -> None:
        """Empty memory, which a model needs before it gets parameters. Kernels compile when first needed."""
        from .kernels import aligned_zeros

        kernels = self.kernels
        kernels.check_size()
        layout, dtype = kernels.kernel.layout, self._options.dtype
        weights = aligned_zeros(layout.size, dtype)
        remembered = aligned_zeros(max(1, kernels.memory_slots * layout.size), dtype)
        constants = np.array([*self._optimizer.constants, *(0.0 for _ in self._update.counts)])
        self._memory, self._torn = self.scratch(self.bptt_steps, weights, remembered, constants), False

    def scratch(self, capacity: int, weights: Floats, remembered: Floats, constants: NDArray[np.float64]) -> Memory:
        """Memory for windows of at most ``capacity`` samples around some weights and what the optimizer remembers."""
        from .kernels import aligned_zeros
        from .schedule import padded

        kernel, dtype = self.kernels.kernel, self._options.dtype
        copies = kernel.gradient_copies
        return Memory(
            weights,
            aligned_zeros(max(1, kernel.layout.turned_size), dtype),
            aligned_zeros(copies * kernel.layout.size, dtype),
            remembered,
            constants,
            aligned_zeros(copies * padded(kernel.space_size(capacity) + 16, 16), dtype),
            copies,
            aligned_zeros(capacity * self.batch_size, dtype),
        )

    def release(self) -> None:
        """Free the model's memory. Releasing twice is fine; any other use afterwards is a ModelStateError."""
        with self._lock:
            self._memory, self._kernels, self._released = None, None, True
            self.feeds.release()

    def __enter__(self) -> Model:
        self._check_alive()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __getstate__(self) -> dict[str, Any]:
        self._check_alive()
        self._check_whole()
        with self._lock:
            kept = {
                "text": self._text,
                "options": self._options,
                "learning_rate": self._learning_rate,
                "clip_norm": self._clip_norm,
                "optimizer": self._optimizer,
                "losses": self.losses.copy(),
            }
            if self._memory is not None:
                kept["parameters"] = self.get_parameters()
                kept["state"] = self.state
                kept["optimizer_state"] = self.optimizer_state
            return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        graph = build_graph(parse(kept["text"]))
        _check_numbers(graph, kept["options"].dtype, kept["text"])
        names = ("text", "options", "learning_rate", "clip_norm")
        self.__init__(*(kept[name] for name in names), graph, kept["optimizer"])  # type: ignore[misc]
        self.losses = kept["losses"]
        if "parameters" in kept:
            self.prepare()
            self.set_parameters(kept["parameters"])
            self.state = kept["state"]
            self.optimizer_state = kept["optimizer_state"]

    # Parameters and state --------------------------------------------------------------------------------------------

    def get_parameters(self) -> dict[str, Floats]:
        """Copies of all parameters: "<layer>.weight" (fan_in, width) and "<layer>.bias" (width,), in text order."""
        with self._lock:
            return self.unpack(self.memory().weights)

    def unpack(self, flat: Floats) -> dict[str, Floats]:
        """A flat array in the kernel's layout as named arrays."""
        return {name: flat[place] for name, place in self._places().items()}

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set some or all parameters; what is given is broadcast to the parameter's shape.

        Raises DataError for an unknown name, a shape that does not broadcast, or what is no finite real number; then
        nothing is changed.
        """
        given = as_dict("parameters", parameters)
        with self._lock, self.changing():
            weights, places = self.memory().weights, self._places()
            fresh = weights.copy()
            for name, value in given.items():
                if name not in places:
                    raise DataError(f"the model has no parameter {brief(name)}{_hint(name, places)}")
                fresh[places[name]] = as_broadcast(name, value, shape=places[name].shape, dtype=self.dtype)
            weights[:] = fresh
            self.publish()

    def publish(self) -> None:
        """Hand the weights, which belong to a whole update, to the streams of this model."""
        self.feeds.publish(self.memory().weights)

    def _places(self) -> dict[str, NDArray[np.intp]]:
        """Where every parameter stands in the flat arrays, by name."""
        layout, found = self.kernels.kernel.layout, {}
        for index in self._graph.parameters:
            name = self._graph.nodes[index].name
            found[f"{name}.weight"], found[f"{name}.bias"] = layout.places(index)
        return found

    @property
    def _update(self) -> Record:
        """What the optimizer's update is made of."""
        return OPTIMIZERS[self._options.optimizer]

    @property
    def optimizer_state(self) -> dict[str, Floats]:
        """What the optimizer remembers, copies: "<slot>.<parameter>", shaped like the parameter, and counts, of shape
        (). Zeros at first; settable, in part too."""
        with self._lock:
            memory, first = self.memory(), len(self._update.constants)
            slots = zip(self._update.slots, self._slots(memory.optimizer), strict=True)
            found = {f"{slot}.{name}": flat[place] for slot, flat in slots for name, place in self._places().items()}
            counts = enumerate(self._update.counts, first)
            return found | {name: np.array(memory.constants[number]) for number, (name, _) in counts}

    @optimizer_state.setter
    def optimizer_state(self, values: Mapping[str, Any]) -> None:
        given = as_dict("optimizer_state", values)
        with self._lock, self.changing():
            memory, first = self.memory(), len(self._update.constants)
            fresh, constants, places = memory.optimizer.copy(), memory.constants.copy(), self._places()
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

    def _slots(self, flat: Floats) -> list[Floats]:
        """Views of the optimizer's arrays, each in the layout of the parameters."""
        size = self.kernels.kernel.layout.size
        return [flat[number * size : (number + 1) * size] for number in range(len(self._update.slots))]

    def _state_views(self) -> list[dict[str, Floats]]:
        """Views (lanes, width) of the state that the next window starts from, by the name that a link in time reads;
        of all lanes in order, which may stand in several workspaces."""
        return [state_views(*where) for where in self._workspaces()]

    def _workspaces(self) -> Iterator[tuple[Workspace, Floats, int, int]]:
        """Each workspace: its layout, its elements, and the steps and lanes that it is for."""
        kernel = self.kernels.kernel
        for number, space in enumerate(self.memory().spaces):
            yield kernel.training_space, space, self.bptt_steps, len(kernel.lanes_of(number))

    @property
    def state(self) -> dict[str, Floats]:
        """Recurrent state after the last ``train``: {name of the node that a link in time reads: (B, width)},
        copies."""
        with self._lock:
            parts = self._state_views()
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @state.setter
    def state(self, values: Mapping[str, Any]) -> None:
        with self._lock, self.changing():
            fresh, kernel = self.state, self.kernels.kernel
            names = set_state(fresh, values)
            for number, part in enumerate(self._state_views()):
                for name in names:  # and no others, which may be names of the same nodes
                    part[name][:] = fresh[name][kernel.lanes_of(number)]

    def reset_state(self) -> None:
        """Recurrent state back to zeros."""
        with self._lock, self.changing():
            memory = self.memory()
            if memory.remembered is None:
                memory.remembered = [view for where in self._workspaces() for view in state_pieces(*where).values()]
            for view in memory.remembered:
                view.fill(0.0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file; see ``neuromorph.save``."""
        from .storage import save

        save(self, path)

    # What is done with it --------------------------------------------------------------------------------------------

    def train(
        self,
        inputs: Any,
        expected: Any,
        verbosity: int = 1,
        *,
        sample_weight: Any = None,
        lengths: Any = None,
        carry_state: bool = False,
    ) -> float:
        """Learn from samples; see ``neuromorph.train``."""
        return training.train(
            self, inputs, expected, verbosity, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state
        )

    def fit(self, inputs: Any, expected: Any, *, epochs: int, **options: Any) -> History:
        """Learn from samples again and again; see ``neuromorph.fit``."""
        from .fitting import fit

        return fit(self, inputs, expected, epochs=epochs, **options)

    def evaluate(
        self,
        inputs: Any,
        expected: Any,
        *,
        sample_weight: Any = None,
        lengths: Any = None,
        carry_state: bool = False,
    ) -> float:
        """The mean loss, nothing changed; see ``neuromorph.evaluate``."""
        return training.evaluate(
            self, inputs, expected, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state
        )

    def accuracy(self, inputs: Any, expected: Any, *, sample_weight: Any = None, lengths: Any = None) -> float:
        """The share of right answers; see ``neuromorph.accuracy``."""
        from .fitting import accuracy

        return accuracy(self, inputs, expected, sample_weight=sample_weight, lengths=lengths)

    def predict(self, inputs: Any) -> Floats:
        """The output for every sample; see ``neuromorph.predict``."""
        from .inference import predict

        return predict(self, inputs)

    def stream(self, lanes: int = 1) -> Stream:
        """The model run step by step; see ``neuromorph.stream``."""
        from .streaming import stream

        return stream(self, lanes)

    def gradients(
        self, inputs: Any, expected: Any, *, sample_weight: Any = None, lengths: Any = None
    ) -> tuple[float, dict[str, Floats]]:
        """Loss and exact gradients; see ``neuromorph.gradients``."""
        from .derivatives import gradients

        return gradients(self, inputs, expected, sample_weight=sample_weight, lengths=lengths)

    def gradcheck(self, inputs: Any = None, expected: Any = None, **options: Any) -> GradientReport:
        """The kernel's gradients against central differences; see ``neuromorph.gradcheck``."""
        from .derivatives import gradcheck

        return gradcheck(self, inputs, expected, **options)

    def kernel_source(self) -> str:
        """The generated Python source of this model's kernels."""
        return self.kernels.kernel.source

    def summary(self) -> str:
        """A table of nodes, widths, parameters and links in time."""
        from .report import summary

        return summary(self._graph)

    def inspect(self) -> Inspection:
        """Where the compiled kernel's time goes, its source and assembly; see ``neuromorph.inspect``."""
        found: Inspection = imported("neuromorph.inspection").inspect(self)
        return found

    def draw(self, path: str | os.PathLike[str] | None = None, *, format: str | None = None) -> Drawing:
        """A picture of the graph; see ``neuromorph.draw``."""
        from .drawing import draw

        return draw(self._graph, path, format=format)

    def _repr_svg_(self) -> str | None:
        """What a notebook shows: the picture, or nothing where it would be larger than a page can bear."""
        return self.draw().svg if len(self._graph.nodes) <= _SHOWN_NODES else None


def _remember(model: Model) -> None:
    """Note a model for forks. A ``WeakSet`` would do so too, but forget models in a function of Python's that the
    collector calls: Python drops a Ctrl-C that comes there."""
    global _room
    with _models_lock:
        if len(_models) >= _room:
            _models[:] = [known for known in _models if known() is not None]
            _room = 2 * len(_models) + 64
        _models.append(ref(model))


def _hint(name: Any, known: Mapping[str, Any]) -> str:
    """What was likely meant by a name."""
    near = nearest(name, known) if isinstance(name, str) else None
    return f"; did you mean {near!r}?" if near else ""


def _after_fork() -> None:
    for known in _models:
        if (model := known()) is not None:
            model.after_fork()


after_in_child(_after_fork)


def compile_model(
    mdl: str | os.PathLike[str],
    batch_size: int,
    learning_rate: float,
    *,
    optimizer: str | Optimizer = "sgd",
    bptt_steps: int | None = None,
    clip_norm: float | None = None,
    dtype: str = "float32",
    threads: int | None = None,
    stacklevel: int = 2,
) -> Model:
    """Text to model; ``neuromorph.compile``."""
    rate, chosen = finite_number("learning_rate", learning_rate), optimizer_of(optimizer)
    compile_options(
        batch_size,
        optimizer=chosen.kind,
        bptt_steps=bptt_steps,
        dtype=dtype,
        threads=threads,
        has_time_links=False,
    )
    text, filename = text_of(mdl)
    graph = build_graph(parse(text, filename))
    options = compile_options(
        batch_size, optimizer=chosen.kind, bptt_steps=bptt_steps, dtype=dtype, threads=threads,
        has_time_links=graph.has_time_links,
    )  # fmt: skip
    _check_numbers(graph, options.dtype, text, filename)
    model = Model(text, options, rate, clip_norm, graph, chosen)
    for line in (*graph.warnings, *(str(advice.of(text, filename)) for advice in advise(graph, options))):
        warnings.warn(line, MDLWarning, stacklevel=stacklevel + 1)
    return model


def _check_numbers(graph: Graph, dtype: str, text: str, filename: str | None = None) -> None:
    """Raise MDLSemanticError where a kernel would have a number of the text that the model's type can't hold."""
    largest, output = float(np.finfo(dtype).max), graph.nodes[graph.output]
    numbers = [(node, node.function, node.parameter) for node in graph.nodes if node.live]
    for node, function, number in [*numbers, (output, graph.loss, graph.loss_parameter)]:
        if function is not None and number is not None and abs(number) > largest:
            bounds = f"must be from {-largest:.7g} to {largest:.7g}, the range of {dtype}"
            reason = f"the number of {function.name} in '{node.name}' {bounds}, not {number!r}"
            raise MDLSemanticError(reason, source=text, location=node.location, filename=filename)


def text_of(mdl: Any) -> tuple[str, str | None]:
    """The text, and the file's name where a path was given."""
    if isinstance(mdl, os.PathLike):
        path = Path(mdl)
        return path.read_bytes().decode("utf-8", errors="surrogateescape"), str(path)
    if not isinstance(mdl, str):
        raise TypeError(f"mdl must be a text (str) or a path object, not {type(mdl).__name__}")
    if mdl.casefold().endswith(".mdl") and mdl.isprintable() and not set("(#") & set(mdl):
        reason = "this looks like the name of a file; to read the file, pass it as a path, pathlib.Path(...)"
        raise MDLSyntaxError(reason, source=mdl, location=Location(1, 1))
    return mdl, None


@contextmanager
def _telling(kernels: Kernels) -> Iterator[None]:
    """Say on stderr that kernels compile, as soon as they do, and how long it took."""
    started: list[float] = []

    def begin() -> None:
        started.append(time.perf_counter())
        print("compiling kernels", end="", file=sys.stderr, flush=True)

    kernels.before_compiling = begin
    try:
        yield
    finally:
        kernels.before_compiling = None
        if started:
            print(f", {time.perf_counter() - started[0]:.1f} s", file=sys.stderr)
