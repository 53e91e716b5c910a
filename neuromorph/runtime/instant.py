"""Kernels that compile nothing for a model: the machine runs its plan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..host.cached import cached_property
from ..host.cpu import lanes_for, simd_bits, vector_registers
from ..jit import bundles, cache, modules
from ..machine import Program, encode, functions, source_of
from ..schedule import KernelOptions, KernelPlan, plan_kernel
from .kernels import Kernels, simd_lanes

_WORKSPACES = 8  # sizes of prediction whose programs are kept


class InstantKernels(Kernels):
    """The same functions as those of ``Kernels``, run by the machine."""

    @cached_property
    def plan(self) -> KernelPlan:
        """The plan for one thread, each operation on its own."""
        options = self.options
        chosen = KernelOptions(
            options.batch_size, options.dtype, simd_lanes(self.graph, options.dtype), vector_registers(),
            options.optimizer,
        )  # fmt: skip
        return plan_kernel(self.graph, chosen, self.costs, fused=False)

    @cached_property
    def train(self) -> Any:
        """A function of a ``TrainCall``, ready to call."""
        machine = machine_of(self.plan.options, "train")
        programs: dict[int, Program] = {}

        def train(sample: int, stop: int, samples: int, capacity: int, *rest: Any) -> Any:
            program = programs.get(capacity)
            if program is None:
                lanes = self.options.batch_size
                program = programs[capacity] = encode(self.plan, training=True, capacity=capacity, lanes=lanes)
            return machine(program.words, program.numbers, sample, stop, samples, capacity, *rest)

        return train
