"""The complete plan of a kernel: all that is decided before source is generated.

A back end needs nothing else. ``codegen`` prints a plan as Python source; another back end may execute it directly.
"""

from __future__ import annotations

from ..graph import Graph
from ..host.cached import cached_property
from ..host.frozen import frozen
from .column_split import split_columns
from .cost_model import DEFAULT_COSTS, CostModel
from .joins import CanDo, no_map
from .kernel_options import ByBatch, ByColumns, InChunks, KernelOptions
from .layout import Layout, Workspace
from .operations import plan
from .ownership import Ownership
from .partial_sums import divide_inner
from .plan import Plan


@frozen
class KernelPlan:
    """All operations of a kernel, for training and for prediction, and the places of all its numbers.

    training, prediction: the operations in order, and for a division by columns the share of each. layout: the places
    of weights in flat arrays. training_space, prediction_space: the places of buffers in a workspace. ownership: the
    parameters that belong to each thread. seconds_of_step: about the time that one thread needs to train a step of all
    lanes. fused, can_do: see ``plan_kernel``.
    """

    graph: Graph
    options: KernelOptions
    training: Plan
    layout: Layout
    training_space: Workspace
    ownership: Ownership
    seconds_of_step: float
    fused: bool = True
    can_do: CanDo = no_map

    @cached_property
    def prediction(self) -> Plan:
        """The operations of prediction, made when they are first asked for."""
        options = self.options
        return plan(self.graph, options.lanes, training=False, size=options.size, fused=self.fused, can_do=self.can_do)

    @cached_property
    def prediction_space(self) -> Workspace:
        """Where the buffers of prediction stand."""
        return Workspace(self.prediction)

    def space_size(self, capacity: int) -> int:
        """The number of elements in a workspace for windows up to ``capacity`` steps.

        It is the workspace of one thread, or of all if they share one. If threads divide the lanes, it ends with a copy
        of the inputs of the thread's lanes.
        """
        batch, division, space = self.options.batch, self.options.division, self.training_space
        if isinstance(division, InChunks):
            return space.size(division.rows, 1)
        if isinstance(division, ByBatch):
            most = -(-batch // division.threads)
            return space.size(capacity, most) + capacity * most * self.training.strides["x"]
        return space.size(capacity, batch)

    def step_space_size(self, lanes: int) -> int:
        """The number of elements in the workspace of ``step``: one step's workspace, and a copy of the input."""
        inputs = lanes * self.prediction.strides["x"] + self.options.lanes
        return self.prediction_space.size(1, lanes) + inputs

    @property
    def gradient_copies(self) -> int:
        """The number of workspaces, and of gradient arrays: one, or one for each thread."""
        division = self.options.division
        return division.threads if isinstance(division, InChunks | ByBatch) else 1

    @property
    def apart(self) -> bool:
        """Whether each thread takes its own lanes through whole windows, in a workspace of its own."""
        return isinstance(self.options.division, ByBatch)

    def lanes_of(self, member: int) -> range:
        """The lanes whose state is in the workspace with the number of this member."""
        batch, threads = self.options.batch, self.options.threads
        return range(batch * member // threads, batch * (member + 1) // threads) if self.apart else range(batch)


def plan_kernel(
    graph: Graph, options: KernelOptions, costs: CostModel = DEFAULT_COSTS, *, fused: bool = True,
    can_do: CanDo = no_map,
) -> KernelPlan:  # fmt: skip
    """The complete plan of a checked graph.

    fused: whether operations are fused into blocks, as generated source wants them. Else they are on their own, but for
    pairs that a back end ``can_do`` at once.
    """
    training = plan(graph, options.lanes, training=True, size=options.size, fused=fused, can_do=can_do)
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
        fused,
        can_do,
    )
