"""Turns a graph into a plan: which operations run once a window, which in a loop over time, and where values stand.

A plan is a list of segments. A *window* segment runs once over all samples × lanes of a window; a *loop* segment runs
step by step, because a link in time needs it. A segment has operations over named buffers:

- ``Product``: a matrix product of sibling layers, forward, back to the incoming vector, or for the weight gradient;
- ``Block``: element-by-element statements (``Map``), fused so that values pass in registers;
- ``Rows``: softmax forward or backward over rows longer than a vector, and ``Loss``.

The passes, in order: ``segments_of`` (where a loop is needed), ``sibling_groups`` (layers that read one vector),
``Forward`` and ``Backward`` (operations in order), ``fuse_epilogues`` (maps to products), ``fuse`` (maps to blocks),
``drop_dead_stores``, ``buffers_of``, ``share_blocks`` (buffers whose lifetimes do not overlap).

A ``KernelPlan`` is complete. Beside the plans of training and prediction it says how threads divide a window
(``divide``, by a ``CostModel``), where weights and buffers stand (``Layout``, ``Workspace``), and which columns and
parameters each thread has (``Share``, ``Ownership``). ``verify`` checks it, ``describe`` shows it.

Names: ``v3`` value of node 3, ``s0`` pre-activations of group 0, ``d3`` gradient of node 3, ``g0`` gradient of the
pre-activations of group 0, ``c3`` gradient carried back through time to node 3.
"""

from __future__ import annotations

from ..graph.recurrence import WINDOW
from .cost_model import DEFAULT_COSTS, CostModel
from .describe import describe
from .division import divide, threads_of_prediction, worth_waking
from .kernel_options import Alone, ByBatch, ByColumns, ByRows, Division, InChunks, KernelOptions
from .kernel_plan import KernelPlan, plan_kernel
from .layout import Layout, Workspace
from .operations import plan
from .ownership import Ownership
from .passes import Places
from .plan import (
    EXTERNAL,
    Access,
    Bias,
    Block,
    Buffer,
    Columns,
    Epilogue,
    Group,
    Loss,
    Map,
    Mask,
    Member,
    Note,
    Operation,
    Part,
    Partials,
    Place,
    Plan,
    Product,
    Reduce,
    Rows,
    Segment,
    Share,
    Sum,
    is_vector,
    notes_of,
    padded,
)
from .verify import PlanError, verify

__all__ = [
    "DEFAULT_COSTS",
    "EXTERNAL",
    "WINDOW",
    "Access",
    "Alone",
    "Bias",
    "Block",
    "Buffer",
    "ByBatch",
    "ByColumns",
    "ByRows",
    "Columns",
    "CostModel",
    "Division",
    "Epilogue",
    "Group",
    "InChunks",
    "KernelOptions",
    "KernelPlan",
    "Layout",
    "Loss",
    "Map",
    "Mask",
    "Member",
    "Note",
    "Operation",
    "Ownership",
    "Part",
    "Partials",
    "Place",
    "Places",
    "Plan",
    "PlanError",
    "Product",
    "Reduce",
    "Rows",
    "Segment",
    "Share",
    "Sum",
    "Workspace",
    "describe",
    "divide",
    "is_vector",
    "notes_of",
    "padded",
    "plan",
    "plan_kernel",
    "threads_of_prediction",
    "verify",
    "worth_waking",
]
