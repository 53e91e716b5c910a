"""Runs a model on the machine, so that nothing is compiled for the model: the tier "instant"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from ..abi.arguments import TrainCall
from ..abi.mailbox import MEASURE, new_mailbox
from ..abi.summation import widest_panel
from ..codegen import Kernel
from ..graph import Graph
from ..host.cached import cached_property
from ..jit import bundles, cache
from ..machine import (
    Listing,
    Program,
    Sizes,
    can_map,
    check,
    encode,
    functions,
    listing,
    shares_of,
    source_of,
    space_of,
)
from ..optimizers import UPDATES
from ..options import CompileOptions
from ..schedule import ByColumns, KernelOptions, KernelPlan, plan_kernel, verify
from . import background
from .background import Request
from .dispatch import runs_alone
from .kernels import Kernels, checks_plans
from .threadpool import run_together

_ENTRIES = "train", "step", "predict"  # the functions of a machine
_PROGRAMS = 8  # of one model that are kept, each for a number of lanes and steps


class InstantKernels(Kernels):
    """The functions of ``Kernels``, run by the machine on a plan whose operations are not fused."""

    tier = "instant"

    def __init__(
        self, graph: Graph, options: CompileOptions, *, skips: bool = False, own: Kernels | None = None
    ) -> None:
        """own: the model's own kernels, if it has some already."""
        super().__init__(graph, options, skips=skips)
        if own is not None:
            self.__dict__["own"] = own

    @cached_property
    def plan(self) -> KernelPlan:
        """The plan. Operations are on their own, but for those that the machine does at once.

        Where threads of the model's own kernels each take lanes or rows, the machine divides these alike, so that sums
        are the same bits. Where they divide columns, it has the plan for one thread.
        """
        alone, divided = self.specialised_for, self.divided
        options = alone if isinstance(divided.division, ByColumns) else divided
        found = plan_kernel(self.graph, options, self.costs, fused=False, can_do=can_map)
        if checks_plans():
            verify(found)
        return found

    @cached_property
    def own(self) -> Kernels:
        """The kernels that would be compiled for the model."""
        return Kernels(self.graph, self.options)

    @property
    def kernel(self) -> Kernel:
        """The kernel that would be generated for the model."""
        return self.own.kernel

    @cached_property
    def _programs(self) -> Callable[[bool, int, int], Program]:
        """A function that gives the program for training or prediction, so many steps and so many lanes.

        It keeps the last few programs. It does not refer to the kernels, so that they are freed with their model.
        """
        return lru_cache(_PROGRAMS)(partial(_encoded, self.plan))

    def training_elements(self, capacity: int) -> int:
        """Elements of a workspace of ``train``."""
        return space_of(self.plan, training=True, capacity=capacity, lanes=self.options.batch_size)

    def prediction_elements(self, capacity: int, lanes: int) -> int:
        """Elements of a workspace of ``predict``."""
        return space_of(self.plan, training=False, capacity=capacity, lanes=lanes)

    def step_elements(self, lanes: int) -> int:
        """Elements of a workspace of ``step``."""
        return self.prediction_elements(1, lanes)

    @cached_property
    def train(self) -> Callable[..., int]:
        """A function of a ``TrainCall``, ready to call. Its members run in threads of their own where that pays, else
        one after the other; the bits are the same."""
        run, programs, lanes = self._machine("train"), self._programs, self.options.batch_size
        members, mailbox = self._members

        def alone(sample: int, stop: int, samples: int, capacity: int, *rest: Any) -> int:
            program = programs(True, capacity, lanes)
            return int(
                run(program.words, program.numbers, 0, members, *mailbox, sample, stop, samples, capacity, *rest)
            )

        if members == 1 or not self.compiled:  # plain Python that fails in one thread would leave others waiting
            return alone
        enough = self.worth_waking

        def train(*given: Any) -> int:
            call = TrainCall(*given)
            if runs_alone() or call.stop - call.sample < enough[call.mode != MEASURE]:
                return alone(*given)
            program, together = programs(True, call.capacity, lanes), new_mailbox(members)
            each = [(program.words, program.numbers, m, m + 1, *together, *call) for m in range(members)]
            return int(run_together(run, each, partial(alone, *given)))

        return train

    @property
    def _members(self) -> tuple[int, tuple[Any, Any]]:
        """The number of members, and a mailbox for one thread that runs all of them."""
        members = self.plan.gradient_copies
        return members, new_mailbox(members)

    @cached_property
    def predict(self) -> Callable[..., None]:
        """A function of the arguments of a generated ``predict``, ready to call."""
        run, programs = self._machine("predict"), self._programs

        def predict(lanes: int, samples: int, capacity: int, *rest: Any) -> None:
            program = programs(False, capacity, lanes)
            run(program.words, program.numbers, lanes, samples, capacity, *rest)

        return predict

    @cached_property
    def step(self) -> Callable[..., int]:
        """A function of the arguments of a generated ``step``, ready to call."""
        run, programs = self._machine("step"), self._programs

        def step(lanes: int, *rest: Any) -> int:
            program = programs(False, 1, lanes)
            return int(run(program.words, program.numbers, lanes, *rest))

        return step

    def entry(self, name: str, capacity: int, lanes: int) -> tuple[Any, tuple[Any, ...]]:
        """A function of the machine, and what it takes before the arguments of a call by one thread."""
        program = self._programs(name == "train", capacity, lanes)
        members, mailbox = self._members
        alone = (0, members, *mailbox) if name == "train" else ()
        return self._machine(name), (program.words, program.numbers, *alone)

    def listings(self) -> tuple[Listing, Listing]:
        """The programs of training and of prediction for people to read, both for windows and lanes of training."""
        capacity, lanes = self.options.bptt_steps, self.options.batch_size
        programs = ((training, self._programs(training, capacity, lanes)) for training in (True, False))
        training, prediction = (
            listing(self.plan, program, training=training, capacity=capacity, lanes=lanes)
            for training, program in programs
        )
        return training, prediction

    @cached_property
    def threads(self) -> int:
        """One: the thread that calls ``train``. It calls others itself where they are of use."""
        return 1

    def threads_of_prediction(self, rows: int) -> int:
        """One."""
        return 1

    def build(self) -> None:
        """Compile the machine, or find it in the cache."""
        machine(self.specialised_for).build(self.before_compiling)

    @cached_property
    def compiled(self) -> bool:
        """Whether the machine is compiled; with JIT off it is plain Python."""
        return bundles.is_compiled(self._machine("train"))

    def _machine(self, name: str) -> Any:
        """An entry function of the machine for the model's element type and vector width."""
        return machine(self.specialised_for).entry(name, self.before_compiling)


def _encoded(plan: KernelPlan, training: bool, capacity: int, lanes: int) -> Program:
    """A checked program of a plan."""
    program = encode(plan, training=training, capacity=capacity, lanes=lanes)
    check(program, sizes_of(plan, training=training, capacity=capacity, lanes=lanes), training=training)
    return program


def sizes_of(plan: KernelPlan, *, training: bool, capacity: int, lanes: int) -> Sizes:
    """The sizes of the arrays that a plan's programs are run with."""
    layout, options, nodes = plan.layout, plan.options, plan.graph.nodes
    shares = shares_of(plan, training=training, capacity=capacity, lanes=lanes)
    update = UPDATES[options.optimizer]
    return Sizes(
        work=space_of(plan, training=training, capacity=capacity, lanes=lanes),
        weights=layout.size,
        transposed=max(1, layout.transposed_size),
        gradients=layout.size,
        memory=max(1, len(update.slots) * layout.size),
        constants=len(update.constants) + len(update.counts) + 2 * plan.training.drops,
        vector=options.lanes,
        panel=widest_panel(options.registers),
        shares=shares,
        inputs=nodes[plan.graph.input].width,
        outputs=nodes[plan.graph.output].width,
    )


class Machine:
    """The machine for an element type and a vector width, compiled or taken from the cache when first needed.

    It is looked up each time: with JIT off it is another one. It is kept, since further models will need it.
    """

    def __init__(self, dtype: str, lanes: int, registers: int) -> None:
        self._kind = dtype, lanes, registers
        self.entry_in_cache = cache.key_of(f"machine {self._kind}", *cache.machine(), *cache.environment())
        self.asked: Request | None = None  # for the machine, from the process that compiles in the background
        self.lost = 0  # requests that ended since that process has crashed

    def entry(self, name: str, before_compiling: Callable[[], None] | None = None) -> Any:
        """``train``, ``predict`` or ``step``, ready to call."""
        self._kept = bundles.ready_as(
            self.entry_in_cache, self.entry_in_cache, _ENTRIES, self._kind[0],
            lambda: (source_of(*self._kind), functions()), before_compiling,
        )  # fmt: skip
        return getattr(self._kept, name)

    def build(self, before_compiling: Callable[[], None] | None = None) -> None:
        """Compile the machine, or find it in the cache."""
        self.entry("train", before_compiling)

    def is_there(self) -> bool:
        """Whether this process or the cache has it."""
        return bundles.is_there(self.entry_in_cache)

    def ask(self) -> None:
        """Have it compiled in the background."""
        self.asked = background.request({"machine": list(self._kind)}, self.entry_in_cache)

    def adopt(self, files: Mapping[str, bytes]) -> None:
        """Take what the process that compiles in the background could not put into the cache."""
        self._kept, self.asked = bundles.adopt(self.entry_in_cache, files, _ENTRIES), None


machine_for = lru_cache(maxsize=None)(Machine)  # one for each processor, element type and vector width: very few


def machine(options: KernelOptions) -> Machine:
    """The machine that runs plans of these options."""
    return machine_for(options.dtype, options.lanes, options.registers)
