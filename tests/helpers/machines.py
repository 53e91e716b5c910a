"""The machine as a way to run a trial, in plain Python: what ``witnesses`` needs of a kernel."""

from __future__ import annotations

import types
from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.witnesses import jit_disabled
from neuromorph.abi.mailbox import new_mailbox
from neuromorph.codegen import KernelOptions
from neuromorph.graph import Graph
from neuromorph.machine import can_map, encode, source_of, space_of
from neuromorph.schedule import KernelPlan, plan_kernel, verify


@cache
def plain_machine(dtype: str, lanes: int, registers: int) -> Any:
    """The machine's file as a module of plain Python functions."""
    module = types.ModuleType("plain_machine")
    with jit_disabled():
        exec(compile(source_of(dtype, lanes, registers), "<machine>", "exec"), module.__dict__)
    return module


@dataclass(frozen=True)
class _Space:
    plan: KernelPlan

    def size(self, capacity: int, lanes: int) -> int:
        """Elements of the workspace of prediction."""
        return space_of(self.plan, training=False, capacity=capacity, lanes=lanes)


@dataclass(frozen=True)
class _Sizes:
    """A plan whose workspaces are those of the machine."""

    plan: KernelPlan

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)

    def space_size(self, capacity: int) -> int:
        """Elements of the workspace of training."""
        return space_of(self.plan, training=True, capacity=capacity, lanes=self.plan.options.batch)

    @property
    def prediction_space(self) -> _Space:
        return _Space(self.plan)


class MachineKernel:
    """What ``witnesses`` needs of a kernel."""

    def __init__(self, graph: Graph, options: KernelOptions) -> None:
        plan = plan_kernel(graph, options, fused=False, can_do=can_map)  # as models that run on the machine do
        verify(plan)
        self.options, self.plan = options, _Sizes(plan)


def functions_of(kernel: MachineKernel, machine: Any = None) -> Any:
    """``train`` and ``predict`` with the arguments of generated functions, run by a machine, by default a plain one."""
    options, plan = kernel.options, kernel.plan.plan
    module = machine or plain_machine(options.dtype, options.lanes, options.registers)

    def train(
        sample: int, stop: int, samples: int, capacity: int, mode: int, work: Any, weights: Any, transposed: Any,
        gradients: Any, memory: Any, constants: Any, x: Any, expected: Any, row_weights: Any, row_step: int,
        row_losses: Any, losses: Any, rate: float, clip: float,
    ) -> Any:  # fmt: skip
        program = encode(plan, training=True, capacity=capacity, lanes=options.batch)
        return module.train(
            program.words, program.numbers, 0, plan.gradient_copies, *new_mailbox(1), sample, stop, samples, capacity,
            mode, work, weights, transposed, gradients, memory, constants, x, expected, row_weights, row_step,
            row_losses, losses, rate, clip,
        )  # fmt: skip

    def predict(batch: int, samples: int, capacity: int, *rest: Any) -> None:
        program = encode(plan, training=False, capacity=capacity, lanes=batch)
        module.predict(program.words, program.numbers, batch, samples, capacity, *rest)

    return types.SimpleNamespace(train=train, predict=predict)
