"""The complete plan of a kernel: all that is decided before anything is generated or run.

A back end needs nothing else. ``codegen`` prints a plan as Python source; another one may execute it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Graph
from ..host.cached import cached_property
from .column_split import split_columns
from .cost_model import DEFAULT_COSTS, CostModel
from .kernel_options import ByBatch, ByColumns, InChunks, KernelOptions
from .layout import Layout, Workspace
from .operations import plan
from .ownership import Ownership
from .partial_sums import divide_inner
from .plan import Plan


@dataclass(frozen=True)
class KernelPlan:
    """Everything that a kernel does, of training and of prediction, and where every number stands.

    training, prediction: the operations, their order, and for a division by columns each one's share. layout: where
    weights stand in flat arrays. training_space, prediction_space: where buffers stand in a workspace. ownership: which
    parameters belong to which thread. seconds_of_step: what one thread needs to train a step of all lanes, about.
    """

    graph: Graph
    options: KernelOptions
    training: Plan
    layout: Layout
    training_space: Workspace
    ownership: Ownership
    seconds_of_step: float

    @cached_property
    def prediction(self) -> Plan:
        """The operations of prediction, made when they are first asked for."""
        return plan(self.graph, self.options.lanes, training=False, size=self.options.size)

    @cached_property
    def prediction_space(self) -> Workspace:
        """Where the buffers of prediction stand."""
        return Workspace(self.prediction)

    def space_size(self, capacity: int) -> int:
        """Elements of the workspace of one thread, or of all together where they share one, for windows up to
        ``capacity``. Behind that of a thread that goes apart stand the inputs of its lanes."""
        batch, division, space = self.options.batch, self.options.division, self.training_space
        if isinstance(division, InChunks):
            return space.size(division.rows, 1)
        if isinstance(division, ByBatch):
            most = -(-batch // division.threads)
            return space.size(capacity, most) + capacity * most * self.training.strides["x"]
        return space.size(capacity, batch)

    def step_space_size(self, lanes: int) -> int:
        """Elements of the workspace of ``step`` for some lanes: that of one step, and behind it a copy of its input."""
        inputs = lanes * self.prediction.strides["x"] + self.options.lanes
        return self.prediction_space.size(1, lanes) + inputs

    @property
    def gradient_copies(self) -> int:
        """The number of workspaces, and of gradient arrays: one, or one for each thread."""
        division = self.options.division
        return division.threads if isinstance(division, InChunks | ByBatch) else 1

    @property
    def apart(self) -> bool:
        """Whether each thread takes its own lanes through a whole window, in a workspace of its own."""
        return isinstance(self.options.division, ByBatch)

    def lanes_of(self, member: int) -> range:
        """The lanes whose state is in the workspace of that number, where there is any."""
        batch, threads = self.options.batch, self.options.threads
        return range(batch * member // threads, batch * (member + 1) // threads) if self.apart else range(batch)


def plan_kernel(graph: Graph, options: KernelOptions, costs: CostModel = DEFAULT_COSTS) -> KernelPlan:
    """The complete plan of a checked graph."""
    training = plan(graph, options.lanes, training=True, size=options.size)
    if isinstance(options.division, ByColumns):
        training = divide_inner(training, options.registers, options.threads, options.size)
        training = split_columns(training, options.registers, options.threads)
    layout = Layout(training, options.registers)
    return KernelPlan(
        graph,
        options,
        training,
        layout,
        Workspace(training),
        Ownership(training, layout, options.division),
        costs.of_step(graph, options.batch, options.size),
    )
