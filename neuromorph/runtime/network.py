"""``Network``: a model's graph, options and memory, below everything that is done with it."""

from __future__ import annotations

import threading
import time
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..abi.learning import MOVED, STREAMED, WRITING
from ..errors import ModelStateError
from ..functions.dropout import KEYS
from ..graph import Graph, build_graph, freeze
from ..graph.ranges import check_numbers
from ..history import History
from ..host.exclusive import imported
from ..host.interrupts import held
from ..language import parse
from ..optimizers import Optimizer
from ..options import CompileOptions, finite_number
from ..schedule import describe, padded
from . import background, seeding
from .background import Request
from .contents import Contents, Floats
from .feeds import Feed, Feeds
from .forked import Changing, remember
from .kernels import Kernels
from .memory import Memory, aligned_zeros
from .seeding import draw_parameters
from .sparse import with_copies
from .tiers import first_kernels, kernels_of, meanwhile, request_for, telling, tier_of

_POLL = 0.01  # seconds between two looks for compiled kernels of somebody who waits for them


class Network(Contents):
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
        self._kernels: Kernels | None = None
        self._request: Request | None = None  # for kernels of the model's own, while the machine runs it
        self._decided = False  # what runs the model at first
        self._skipping: Kernels | None = None  # the kernels whose ones that skip need not be waited for
        self._predicting: Kernels | None = None  # those that need not be waited for in order to predict
        self._memory: Memory | None = None
        self._released = self._torn = False
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

    @property
    def kernels(self) -> Kernels:
        """The generated and compiled kernels; made at first use."""
        self._check_alive()
        if self._kernels is None:
            with self.lock:
                self._kernels = self._kernels or kernels_of(self._graph, self._options)
        return self._kernels

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

    def _check_alive(self) -> None:
        if self._released:
            raise ModelStateError("the model was released; compile its text again")

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

    def _moved(self) -> None:
        """Tell learners that the arrays of the memory, or the kernels, are others from now on."""
        self.signals[MOVED] += 1
        self.signals[WRITING] = 0

    def open_feed(self) -> Feed:
        """The feed of this model's streams, which gets the weights after each update from now on."""
        self.signals[STREAMED] = 1
        return self.feeds.open()

    @property
    def waits(self) -> bool:
        """Whether kernels of the model's own are being compiled, which may take over."""
        return self._request is not None

    def _decide(self) -> None:
        """Decide what runs the model at first, once."""
        if not self._decided:
            self._kernels, self._request = first_kernels(self._text, self._graph, self._options)
            self._decided = True

    def begin_without_compiling(self) -> None:
        """Decide what runs the model at first, and have no kernels compiled for it in the background until
        ``compile_meanwhile`` asks for that."""
        with self.lock:
            if not self._decided:
                self._kernels, _ = first_kernels(self._text, self._graph, self._options, asks=False)
                self._decided = True

    def compile_meanwhile(self) -> None:
        """Have kernels of the model's own compiled in the background, if the machine runs it and the tier is "auto"."""
        with self.lock:
            if self._request is None and self.kernels.tier == "instant" and tier_of(self._options) == "auto":
                self._request = request_for(self._text, self.kernels.own)

    def take_over(self, *, skips: bool = False, predicts: bool = False) -> None:
        """Run the model by kernels of its own from now on, if it waits for them and they are in the cache by now.

        skips: whether a call needs kernels that skip what is not known. predicts: whether it needs those of prediction.
        While these are not in the cache, the machine runs the model. Numbers and state stay as they are. The caller
        holds ``lock``, and no window is under way.
        """
        request = self._request
        if request is None:
            if skips and self._skipping is not self._kernels:
                self._skipping = self._waiting_for(self.kernels.skipping)
            if predicts and self._predicting is not self._kernels:
                self._predicting = self._waiting_for(self.kernels, predicts=True)
            return
        if not request.poll():
            return
        self._request = None
        own = self.kernels.own
        if request.reason is not None or not own.are_there():
            background.warn_once(request.reason or "the cache has lost what was compiled")
        elif skips and not own.skipping.are_there():
            self._request = request_for(self._text, own.skipping)
        else:
            self._begin_with(own)

    def look_for_kernels(self, *, skips: bool = False, predicts: bool = False) -> None:
        """Like ``take_over``, unless a call of this model is under way, in this thread or another one."""
        asks = skips or self._request is not None or (predicts and self._predicting is not self._kernels)
        if asks and self.lock.acquire(blocking=False):
            try:
                if self.changing.depth == 0:
                    self.take_over(skips=skips, predicts=predicts)
            finally:
                self.lock.release()

    def _waiting_for(self, needed: Kernels, *, predicts: bool = False) -> Kernels | None:
        """Have the machine run the model until other kernels are compiled too, if they would be waited for. Returns
        the kernels that run the model now."""
        found = meanwhile(self._text, self.kernels, needed, predicts=predicts)
        if found is not None:
            instant, request = found
            self._begin_with(instant)
            self._request = request
        return self._kernels

    def _begin_with(self, kernels: Kernels) -> None:
        """Run the model by other kernels from now on. If memory is too short for them, everything stays as it is."""
        try:
            if self._memory is not None:
                kernels.check_size(self._memory.capacity)
            kernels.build()
            with self.changing, held():
                self._hand_over(kernels)
        except MemoryError as error:
            background.warn_once(str(error) or "memory is short")

    def _hand_over(self, own: Kernels) -> None:
        """Hand the memory over to other kernels. Weights have the same places there; workspaces differ."""
        before = self._kernels, self._memory
        old = self._memory
        self._moved()
        if old is None:
            self._kernels = own
            return
        try:
            state, self._kernels = self.state, own
            weights = with_copies(own.plan.layout, own.sparse, old.weights)
            self._memory = self.scratch(old.capacity, weights, old.optimizer, old.constants)
            self.state = state
            self.feeds.move(own, weights)
        except BaseException:
            self._kernels, self._memory = before
            raise

    def wait_compiled(self, timeout: float | None = None) -> bool:
        """Wait until the model runs by kernels of its own; whether it does."""
        end = None if timeout is None else time.monotonic() + finite_number("timeout", timeout)
        while True:
            with self.lock:
                self.memory()
                self.take_over()
                if self._request is None:
                    return self.kernels.tier == "compiled"
            left = _POLL if end is None else min(_POLL, end - time.monotonic())
            if left <= 0.0:
                return False
            time.sleep(left)

    def scratch(self, capacity: int, weights: Floats, remembered: Floats, constants: NDArray[np.float64]) -> Memory:
        """Memory for windows of at most ``capacity`` samples, with these weights, optimizer slots and constants."""
        plan, dtype = self.kernels.plan, self._options.dtype
        copies = plan.gradient_copies
        return Memory(
            weights,
            aligned_zeros(max(1, plan.layout.transposed_size), dtype),
            aligned_zeros(copies * plan.layout.size, dtype),
            remembered,
            constants,
            aligned_zeros(copies * padded(self.kernels.training_elements(capacity) + 16, 16), dtype),
            copies,
            aligned_zeros(capacity * self.batch_size, dtype),
            capacity,
        )

    def set_window(self, steps: int) -> None:
        """Make memory for windows of so many samples, with the same parameters and state; the same if it has them.

        The caller holds ``lock`` and ``changing``. Raises MemoryError, naming the bytes, if it would not fit.
        """
        memory = self.memory()
        if memory.capacity != steps:
            self.kernels.check_size(steps)
            fresh = self.scratch(steps, memory.weights, memory.optimizer, memory.constants)
            self.copy_state(fresh)
            self._memory = fresh

    def release(self) -> None:
        """Free the model's memory. Releasing twice is allowed; any other use afterwards raises ModelStateError."""
        with self.lock:
            asked, self._memory, self._kernels, self._request, self.watched = self._request, None, None, None, None
            self._skipping = self._predicting = None
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
