"""Where everything stands that the instructions of a program read and write."""

from __future__ import annotations

from dataclasses import dataclass

from ..host.cached import cached_property
from ..host.frozen import frozen
from ..schedule import WINDOW, ByBatch, InChunks, KernelPlan, Place, Plan, Workspace, is_vector, padded

Words = list[int]
ROOMS = 5  # for operands of one statement that have to be made first, and for its value


@frozen
class Shares:
    """How members divide a window, each with a workspace and gradients of its own.

    batch: the lanes of all. lanes: those of each member. chunk: if not 0, members take rows in place of lanes, so many
    at a time, as steps of one lane. capacity: the steps that a member goes through at once.
    """

    batch: int
    lanes: tuple[int, ...]
    chunk: int
    capacity: int

    @property
    def apart(self) -> int:
        """The rows of the window from one step of a member to the next."""
        return 1 if self.chunk else self.batch


def shares_of(kernel: KernelPlan, *, training: bool, capacity: int, lanes: int) -> Shares:
    """The shares of a kernel's training by windows of up to ``capacity`` steps, or of a prediction: one."""
    division = kernel.options.division
    if training and isinstance(division, InChunks):
        return Shares(lanes, (1,) * division.threads, division.rows, division.rows)
    if training and isinstance(division, ByBatch):
        return Shares(lanes, tuple(len(kernel.lanes_of(m)) for m in range(division.threads)), 0, capacity)
    return Shares(lanes, (lanes,), 0, capacity)


@dataclass
class Places:
    """The places of a kernel's training or prediction, for so many lanes and windows of up to ``capacity`` steps."""

    kernel: KernelPlan
    training: bool
    capacity: int
    lanes: int

    @cached_property
    def plan(self) -> Plan:
        return self.kernel.training if self.training else self.kernel.prediction

    @cached_property
    def space(self) -> Workspace:
        return self.kernel.training_space if self.training else self.kernel.prediction_space

    @cached_property
    def vector(self) -> int:
        """Elements of a vector."""
        return self.plan.lanes

    @cached_property
    def widest(self) -> int:
        """Elements of the longest row of a node."""
        return padded(max([node.width for node in self.plan.graph.nodes]), self.vector)

    @cached_property
    def extra(self) -> dict[str, int]:
        """Where the copies of inputs, results and parameter vectors stand, and rooms for what instructions hand
        to the next one: behind the buffers of the plan."""
        graph, here = self.plan.graph, self.space.size(self.capacity, self.lanes)
        places, rows = {}, self.capacity * self.lanes
        for name, node in (("x", graph.input), ("y", graph.output)):
            places[name] = here
            here += rows * padded(graph.nodes[node].width, self.vector)
        for vector in self.plan.vectors:
            places[vector.name] = here
            here += padded(vector.width, self.vector)
        for number in range(ROOMS):
            places[f"room{number}"] = here
            here += rows * self.widest
        return places | {"end": here}

    @property
    def elements(self) -> int:
        """Elements of the workspace; vectors may reach behind its end."""
        return self.extra["end"] + self.vector

    def stride(self, buffer: str) -> int:
        """Elements between two rows of a buffer; copies of the caller's arrays have whole vectors."""
        if buffer in ("x", "y"):
            return padded(self.plan.strides[buffer], self.vector)
        return self.plan.strides[buffer]

    def start(self, buffer: str) -> int:
        """Where row 0 of step 0 of a buffer stands."""
        if buffer in self.extra:
            return self.extra[buffer]
        a, b = self.space.terms[buffer]
        return (a * self.capacity + b) * self.lanes

    def step(self, buffer: str) -> int:
        """Elements between two steps of a buffer."""
        return self.lanes * self.stride(buffer)

    def stream(self, place: Place, shift: int, domain: int) -> Words:
        """The offset of a place's first row, elements from step to step and from row to row."""
        start, step, stride, moves = self._rows.get(place.buffer) or self._rows_of(place.buffer)
        return [start + place.column + shift * step, step if moves and domain != WINDOW else 0, stride]

    def _rows_of(self, buffer: str) -> tuple[int, int, int, bool]:
        """The start, step and stride of a buffer, and whether each step has rows of its own. They are kept: every
        operand of every statement asks for them."""
        if is_vector(buffer):
            found = self.extra[buffer], 0, 0, False
        else:
            stride = self.stride(buffer)
            moves = buffer in self.extra or self.plan.buffers_by_name[buffer].rows != "step"
            found = self.start(buffer), self.lanes * stride, stride, moves
        self._rows[buffer] = found
        return found

    @cached_property
    def _rows(self) -> dict[str, tuple[int, int, int, bool]]:
        return {}
