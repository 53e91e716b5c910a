"""A model's compiled kernels: the source is generated, then compiled or loaded from the cache, when first needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..abi.mailbox import LEARN, MEASURE
from ..codegen import Kernel, SparseCopy, called, sparse_copies
from ..errors import NeuromorphError
from ..graph import Graph, structure_of
from ..host.cached import cached_property
from ..host.cgroups import shortage
from ..host.cpu import lanes_for, simd_bits, vector_registers
from ..jit import bundles, cache
from ..optimizers import UPDATES
from ..options import CompileOptions
from ..schedule import (
    DEFAULT_COSTS,
    ByColumns,
    CostModel,
    KernelOptions,
    KernelPlan,
    divide,
    plan_kernel,
    threads_of_prediction,
    verify,
    worth_waking,
)
from .autotune import trial_of
from .memory import aligned_zeros

Floats = NDArray[Any]
_BEHIND = 16  # elements behind a workspace, which vectors may reach


class ModelTooLargeError(NeuromorphError, MemoryError):
    """The arrays of a model would not fit into this machine's memory."""


def _check_fits(needed: int, what: str) -> None:
    trouble = shortage(needed, what)
    if trouble is not None:
        raise ModelTooLargeError(trouble)


def checks_plans() -> bool:
    """Whether every plan is verified."""
    return os.environ.get("NEUROMORPH_VERIFY") == "1"


class Kernels:
    """The kernels of one graph and one set of options. Functions are compiled when first needed.

    before_compiling: called before functions that are not in the cache are compiled. costs: the cost model that decides
    how many threads are worth taking. skips: whether NaN among the expected values is a component that is not known.
    """

    costs: ClassVar[CostModel] = DEFAULT_COSTS
    tier: ClassVar[str] = "compiled"

    def __init__(self, graph: Graph, options: CompileOptions, *, skips: bool = False) -> None:
        self.graph, self.options, self.skips = graph, options, skips
        self.before_compiling: Callable[[], None] | None = None

    @cached_property
    def specialised_for(self) -> KernelOptions:
        """What the plan is specialised for, with the division of one thread."""
        options = self.options
        size = np.dtype(options.dtype).itemsize
        widths = [self.graph.nodes[index].width for index in self.graph.parameters]
        lanes = lanes_for(widths, simd_bits(), size)
        return KernelOptions(
            options.batch_size, options.dtype, lanes, vector_registers(), options.optimizer, skips=self.skips
        )

    @cached_property
    def skipping(self) -> Kernels:
        """The same kernels for expected values in which NaN stands for components that are not known.

        Only ``train`` is of use. Weights and workspaces have the same places.
        """
        return type(self)(self.graph, self.options, skips=True)

    @cached_property
    def divided(self) -> KernelOptions:
        """What the plan is specialised for, with the division among threads."""
        chosen = self.specialised_for
        return replace(chosen, division=divide(self.graph, chosen, self.options, self.costs))

    @cached_property
    def plan(self) -> KernelPlan:
        """All that is decided before anything is generated."""
        found = plan_kernel(self.graph, self.divided, self.costs)
        if checks_plans():
            verify(found)
        return found

    @cached_property
    def kernel(self) -> Kernel:
        """The plan with its generated source."""
        return Kernel(self.plan)

    @cached_property
    def sparse(self) -> tuple[SparseCopy, ...]:
        """The sparse copies of frozen matrices, which stand behind the parameters."""
        return sparse_copies(self.plan)

    @property
    def weight_elements(self) -> int:
        """Elements of the array of parameters, with the sparse copies behind them."""
        return self.sparse[-1].end if self.sparse else self.plan.layout.size

    @property
    def own(self) -> Kernels:
        """The kernels that are, or would be, compiled for the model alone: these."""
        return self

    @property
    def memory_slots(self) -> int:
        """The number of the optimizer's slots: arrays of the parameters' size."""
        return len(UPDATES[self.options.optimizer].slots)

    @cached_property
    def key(self) -> str:
        """The cache's key of the kernels on this machine. It takes no plan and no source, and names are no part of it:
        a renamed node finds its kernel."""
        chosen = repr((self.divided, self.costs))
        return cache.key_of(structure_of(self.graph), chosen, *cache.generator(), *cache.environment())

    def bytes_needed(self, steps: int | None = None) -> int:
        """The size of the arrays that training needs, in bytes. steps: of a window, by default ``bptt_steps``."""
        plan, options = self.plan, self.options
        steps = steps or options.bptt_steps
        copies = plan.gradient_copies
        arena = self.training_elements(steps) * copies
        rows = 2 * steps * options.batch_size  # a loss and a weight of each
        elements = (copies + self.memory_slots) * plan.layout.size + plan.layout.transposed_size + arena + rows
        elements += self.weight_elements
        return elements * np.dtype(options.dtype).itemsize

    def check_size(self, steps: int | None = None, *, argument: str = "bptt_steps") -> None:
        """Raise ModelTooLargeError if the machine has too little memory. Nothing is allocated before.

        steps: of a window, by default ``bptt_steps``. argument: the one that sets them.
        """
        window = f" by windows of {steps:,} steps, which {argument}= makes shorter" if steps else ""
        _check_fits(self.bytes_needed(steps), f"the model needs {{}} to train{window}")

    def training_elements(self, capacity: int) -> int:
        """Elements of a workspace of ``train``, of one thread where each has its own."""
        return self.plan.space_size(capacity)

    def prediction_elements(self, capacity: int, lanes: int) -> int:
        """Elements of a workspace of ``predict``."""
        return self.plan.prediction_space.size(capacity, lanes) + _BEHIND

    def step_elements(self, lanes: int) -> int:
        """Elements of a workspace of ``step``."""
        return self.plan.step_space_size(lanes)

    def step_space(self, lanes: int) -> Floats:
        """A workspace for ``step``, in zero state; MemoryError, naming the bytes, where it would not fit."""
        elements, dtype = self.step_elements(lanes), self.options.dtype
        _check_fits(elements * np.dtype(dtype).itemsize, f"a stream of {lanes:,} lanes needs {{}}")
        return aligned_zeros(elements, dtype)

    def _bundle(self, name: str) -> Any:
        """The entry functions of a bundle, compiled with the functions that they call, or loaded from the cache."""

        def written() -> tuple[str, dict[str, tuple[str, ...]]]:
            kernel = self.kernel
            return kernel.source, {each: kernel.functions[each] for each in kernel.bundles[name]}

        return bundles.ready_as(
            self._entry(name), self.key, called(name, self.threads), self.options.dtype, written, self.before_compiling
        )

    def _entry(self, name: str) -> str:
        """The key of a bundle in the cache."""
        return cache.key_of(self.key, name)

    @property
    def entries(self) -> tuple[str, str]:
        """The keys of what training and prediction need, in the cache."""
        return self._entry("train"), self._entry("predict")

    def are_there(self) -> bool:
        """Whether this process or the cache has what training needs."""
        return bundles.is_there(self._entry("train"))

    def can_predict(self) -> bool:
        """Whether this process or the cache has what prediction needs."""
        return bundles.is_there(self._entry("predict"))

    def build(self) -> None:
        """Compile all that training and prediction need, or find it in the cache."""
        self.train  # noqa: B018
        self.predict  # noqa: B018

    @property
    def is_loaded(self) -> bool:
        """Whether this object has what training needs."""
        return "_training" in self.__dict__

    def load(self, *, predicts: bool = False) -> bool:
        """Load what training or prediction needs, if this process or the cache has it; whether it is loaded. Nothing is
        compiled."""
        name, kept = ("predict", "_prediction") if predicts else ("train", "_training")
        if kept not in self.__dict__:
            is_there = self.can_predict() if predicts else self.are_there()
            found = bundles.loaded(self._entry(name), called(name, self.threads)) if is_there else None
            if found is None:
                return False
            self.__dict__.setdefault(kept, found)
        return True

    @cached_property
    def _training(self) -> Any:
        return self._bundle("train")

    @cached_property
    def _prediction(self) -> Any:
        return self._bundle("predict")

    @cached_property
    def train(self) -> Any:
        """The generated function ``train``, ready to call."""
        return self._training.train

    def entry(self, name: str, capacity: int, lanes: int) -> tuple[Any, tuple[Any, ...]]:
        """The function "train" or "step" that is compiled, and what it takes before the arguments of a call by one
        thread: none here. capacity: steps of a window."""
        return getattr(self, name), ()

    @cached_property
    def lead(self) -> Any:
        """The generated function that calls ``train`` for all members, with waiting threads or in this thread alone."""
        return self._training.lead

    @cached_property
    def threads(self) -> int:
        """The number of threads that training takes."""
        return self.divided.threads

    @cached_property
    def compiled(self) -> bool:
        """Whether kernels are compiled. With JIT off they are plain Python."""
        return bundles.is_compiled(self.train)

    @cached_property
    def serve(self) -> Any:
        """The generated function with which a thread waits for calls."""
        return self._training.serve

    @cached_property
    def worth_waking(self) -> tuple[int, int]:
        """The least number of samples for which sleeping threads are woken: to measure, and to make gradients or
        learn."""
        return worth_waking(self.graph, self.plan.options, self.costs)

    @cached_property
    def autotuned(self) -> bool:
        """Whether training times several threads and one, and uses the quicker way: for short windows, and where
        threads meet in each step."""
        options = self.options
        rows, size = options.bptt_steps * options.batch_size, self.plan.options.size
        doubtful = self.meets_in_steps or self.costs.is_short(self.graph, rows, size)
        return self.threads > 1 and self.compiled and doubtful

    @cached_property
    def meets_in_steps(self) -> bool:
        """Whether threads meet in each step of a loop. Where a processor is busy, that takes many times as long."""
        return isinstance(self.divided.division, ByColumns) and self.graph.has_time_links

    @cached_property
    def autotuned_from(self) -> dict[int, int]:
        """The least number of samples in a call that is timed, by mode: the samples of a trial.

        Shorter calls take one thread.
        """
        steps = self.options.bptt_steps
        window = self.plan.seconds_of_step * steps
        return {MEASURE: trial_of(window / self.costs.training_to_forward) * steps, LEARN: trial_of(window) * steps}

    def threads_of_prediction(self, rows: int) -> int:
        """The number of threads that is worth taking to predict ``rows`` rows."""
        return threads_of_prediction(self.graph, self.plan.options, rows, self.options.threads, self.costs)

    @cached_property
    def predict(self) -> Any:
        """The generated function ``predict``, ready to call."""
        return self._prediction.predict

    @cached_property
    def step(self) -> Any:
        """The generated function ``step``, ready to call."""
        return self._prediction.step
