"""``Network``: a model's graph, options and memory, below everything that is done with it."""

from __future__ import annotations

import threading
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..abi.learning import STREAMED, WRITING
from ..errors import ModelStateError
from ..functions.dropout import KEYS
from ..graph import Graph, build_graph, freeze
from ..graph.ranges import check_numbers
from ..history import History
from ..host.exclusive import imported
from ..language import parse
from ..optimizers import Optimizer
from ..options import CompileOptions
from ..schedule import describe
from . import background, seeding
from .feeds import Feed, Feeds
from .forked import Changing, remember
from .memory import Memory, aligned_zeros
from .running import Running
from .seeding import draw_parameters
from .tiers import telling


class Network(Running):
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
        self.history: History | None = None
        self._start()

    def _start(self) -> None:
        """Set the attributes that are never copied or pickled: locks, kernels, memory."""
        self.lock = threading.RLock()
        self._start_running()
        self._torn = False
        self.changing = Changing()
        self.feeds = Feeds()
        self.watched: tuple[tuple[str, tuple[str, ...]], Network] | None = None  # tier, nodes, and what computes them
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

    def kernel_source(self) -> str:
        """The generated Python source of the model's kernels; with ``tier="instant"``, of those that it would have."""
        return self.kernels.kernel.source

    def kernel_plan(self) -> str:
        """The plan of the model's own kernels as text: how threads divide a window, where weights and buffers stand,
        and every operation in order. Nothing is compiled."""
        return describe(self.kernels.own.plan)

    def kernel_program(self) -> str:
        """The programs of training and prediction by which the machine runs the model, as text: every instruction with
        the nodes that it is for, its operands, sizes and places, for windows of ``bptt_steps``. Nothing is compiled.
        """
        instant = imported("neuromorph.runtime.instant")
        return "\n".join(map(str, instant.InstantKernels(self.graph, self.options).listings()))

    def _check_whole(self) -> None:
        if self._torn:
            raise ModelStateError(
                "another thread was changing this model when this process was forked, and its numbers may be half "
                "written; build or load it again, or fork between calls"
            )

    def after_fork(self) -> None:
        """Repair the network in a forked child, where the parent's other threads do not exist.

        If one of them was inside a call, make a new lock, and tell learners, which keep the old one's methods; if that
        call was writing to the memory, drop the memory.
        """
        if self.lock.acquire(blocking=False):
            self.lock.release()
            return
        self.lock = threading.RLock()
        if self.changing.depth or self.signals[WRITING]:
            self._memory, self._torn, self.changing = None, True, Changing()
        self._moved()

    def memory(self) -> Memory:
        """The arrays of a built model. Raises ModelStateError if there are none."""
        self._check_alive()
        self._check_whole()
        if self._memory is None:
            raise ModelStateError("the model is not built yet; call build(model) first")
        return self._memory

    def build(self, *, verbosity: int = 0, seed: int | None = None) -> Self:
        """Compile the kernels that training needs, load them from disk or have them compiled in the background, and
        draw new parameters.

        verbosity: above 0, what is compiled is printed. seed: of a generator for this build alone. Returns the model.
        Raises MemoryError, naming the bytes, if the model can't fit into this machine's memory.
        """
        own = None if seed is None else seeding.new_generator(seeding.checked_seed(seed))
        with self.lock, self.changing:
            self._talks, self.ran = verbosity >= 1, None
            self._compile(verbosity)
            with seeding.lock:
                rng = own or seeding.generator()
                drawn = draw_parameters(self._graph, rng, self._options.dtype)
                key = int(rng.integers(KEYS)) if self._drops else 0
            self._allocate()
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
            with telling(kernels, self._request):
                kernels.train  # noqa: B018 - compiles, or is found in the cache
        else:
            kernels.train  # noqa: B018

    def prepare(self) -> None:
        """Make empty memory, which a model needs before it gets parameters. Kernels are compiled when first needed."""
        self._decide()
        self.kernels.check_size()
        self._allocate()

    def _allocate(self) -> None:
        """Make empty memory. Its size has been checked."""
        kernels = self.kernels
        layout, dtype = kernels.plan.layout, self._options.dtype
        weights = aligned_zeros(kernels.weight_elements, dtype)
        remembered = aligned_zeros(max(1, kernels.memory_slots * layout.size), dtype)
        counts = len(self._update.counts) + 2 * self._drops
        constants = np.array([*self._optimizer.constants, *([0.0] * counts)])
        self._memory, self._torn = self.scratch(self.bptt_steps, weights, remembered, constants), False
        self._moved()

    def open_feed(self) -> Feed:
        """The feed of this model's streams, which gets the weights after each update from now on."""
        self.signals[STREAMED] = 1
        return self.feeds.open()

    def set_window(self, steps: int) -> None:
        """Make memory for windows of so many samples, with the same parameters and state; the same if it has them.

        The caller holds ``lock`` and ``changing``. Raises MemoryError, naming the bytes, if it would not fit.
        """
        memory = self.memory()
        if memory.capacity != steps:
            self.check_window(steps)
            memory = self.memory()
            fresh = self.scratch(steps, memory.weights, memory.optimizer, memory.constants)
            self.copy_state(fresh)
            self._memory = fresh

    def release(self) -> None:
        """Free the model's memory. Releasing twice is allowed; any other use afterwards raises ModelStateError."""
        with self.lock:
            asked, self._memory, self._kernels, self._request, self.watched = self._request, None, None, None, None
            self._skipping = self._predicting = self._stand_in = self.ran = None
            self._released = True
            self._moved()
            self.feeds.release()
        if asked is not None:
            del asked
            background.drop_unneeded()

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
                "history": self.history,
                "reading": self.reading,
                "table": self.table,
                "classes": self.classes,
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
        self.history = kept.get("history")  # which models pickled by early versions lack
        self.reading, self.table = kept.get("reading"), kept.get("table")
        self.classes = kept.get("classes")
        if not kept.get("asks", True):
            self.begin_without_compiling()
        if "parameters" in kept:
            self.prepare()
            self.set_parameters(kept["parameters"])
            self.state = kept.get("state", {})
            self.optimizer_state = kept.get("optimizer_state", {})
            if self._drops:
                self.dropout_state = kept.get("dropout_state", (0, 0))
