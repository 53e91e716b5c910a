"""Graph to plan: what runs once a window, what runs in the time loop, and where every number lives.

A plan is a list of segments. A *window* segment runs over all samples × lanes of a window at once; a *loop* segment
runs step by step, because a link back in time needs it. Inside a segment stand operations over named buffers:

- ``Product``: a matrix product of sibling layers, forward, back to the incoming vector, or for the weight gradient;
- ``Block``: element-by-element statements (``Map``), fused so that values pass in registers;
- ``Rows``: softmax forward or backward over rows longer than a vector, and ``Loss``.

The passes, in order: ``segments_of`` (where a loop is needed), ``sibling_groups`` (layers that read one vector),
``Forward`` and ``Backward`` (operations in order), ``fuse_epilogues`` (maps to products), ``fuse`` (maps to blocks),
``drop_dead_stores``, ``buffers_of``, ``share_blocks`` (buffers whose lifetimes do not overlap).
Names: ``v3`` value of node 3, ``s0`` pre-activations of group 0, ``d3`` gradient of node 3, ``g0`` gradient of the
pre-activations of group 0, ``c3`` gradient carried back through time to node 3.
"""

from __future__ import annotations

from ..graph import Graph
from ..graph.recurrence import WINDOW, segments_of
from .backward import Backward
from .column_split import Columns, Share
from .cost_model import DEFAULT_COSTS, CostModel
from .division import divide, threads_of_prediction, worth_waking
from .epilogues import fuse_epilogues
from .forward import Builder
from .kernel_options import Alone, ByBatch, ByColumns, ByRows, Division, InChunks, KernelOptions
from .layout import Layout, Workspace
from .lifetimes import share_blocks
from .ownership import Ownership
from .partial_sums import divide_inner
from .passes import Places, buffers_of, drop_dead_stores, fuse
from .plan import (
    EXTERNAL,
    LINE,
    Access,
    Bias,
    Block,
    Buffer,
    Epilogue,
    Group,
    Loss,
    Map,
    Member,
    Operation,
    Part,
    Partials,
    Place,
    Plan,
    Product,
    Rows,
    Segment,
    Sum,
    padded,
)
from .siblings import sibling_groups, virtual_concatenations

__all__ = [
    "DEFAULT_COSTS",
    "EXTERNAL",
    "LINE",
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
    "Layout",
    "Loss",
    "Map",
    "Member",
    "Operation",
    "Ownership",
    "Part",
    "Partials",
    "Place",
    "Places",
    "Plan",
    "Product",
    "Rows",
    "Segment",
    "Share",
    "Sum",
    "Workspace",
    "divide",
    "divide_inner",
    "padded",
    "plan",
    "threads_of_prediction",
    "worth_waking",
]


def _stride(width: int, lanes: int, size: int) -> int:
    """A row's stride: whole vectors, and never a multiple of half a kibibyte, where cache sets would collide. It is a
    whole line longer then, so that all rows begin at the same place of a line."""
    stride = padded(width, lanes)
    return stride + max(lanes, LINE // size) if stride * size % 512 == 0 else stride


def strides_of(builder: Builder, size: int) -> dict[str, int]:
    """The row stride of every buffer a plan may name."""
    strides = {"x": builder.graph.nodes[builder.graph.input].width}
    for group in builder.groups:
        strides[f"s{group.index}"] = strides[f"g{group.index}"] = _stride(group.columns, builder.lanes, size)
    for node in builder.graph.nodes:
        for letter in "vdc":
            strides[f"{letter}{node.index}"] = _stride(node.width, builder.lanes, size)
    strides["y"] = builder.graph.nodes[builder.graph.output].width
    return strides


def plan(graph: Graph, lanes: int, *, training: bool, size: int = 4) -> Plan:
    """The plan of a graph for vectors of ``lanes`` elements of ``size`` bytes; with or without the backward pass."""
    runs = segments_of(graph)
    virtual = virtual_concatenations(graph, {index: domain for domain, nodes in runs for index in nodes})
    groups = sibling_groups(graph, lanes, runs, virtual)
    builder = Backward(graph, lanes, runs, virtual, groups, training)
    forward = [s for s in builder.segments() if s.operations]
    backward = [s for s in builder.back() if s.operations] if training else []
    ended = fuse_epilogues([*forward, *backward], groups)
    fused = [Segment(s.domain, fuse(s.operations, lanes)) for s in ended]
    slots = {builder.place(index).buffer for index in builder.late}
    final = drop_dead_stores(fused, lanes, slots | set(builder.carries) | EXTERNAL)
    strides = strides_of(builder, size)
    alone = slots | set(builder.carries)
    buffers = share_blocks(final, buffers_of(final, strides, slots, set(builder.carries)), alone, lanes)
    return Plan(
        graph,
        lanes,
        groups,
        tuple(final[: len(forward)]),
        tuple(final[len(forward) :]),
        buffers,
        tuple((index, builder.place(index).buffer) for index in sorted(builder.late)),
        tuple(dict.fromkeys(builder.turned)),
        builder.place(graph.output),
        tuple(builder.carries),
        strides,
    )
