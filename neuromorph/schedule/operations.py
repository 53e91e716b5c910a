"""Runs the passes in order: from a graph to the plan of its operations, for training or for prediction."""

from __future__ import annotations

from ..graph import Graph
from ..graph.recurrence import segments_of
from ..host.cpu import CACHE_LINE
from .backward import Backward
from .copies import without_copies
from .epilogues import fuse_epilogues
from .forward import Builder
from .joins import CanDo, no_map, with_joins
from .lifetimes import lifetimes, share_blocks
from .passes import buffers_of, drop_dead_stores, fuse
from .plan import EXTERNAL, Plan, Segment, padded
from .siblings import sibling_groups, virtual_concatenations


def _stride(width: int, lanes: int, size: int) -> int:
    """The stride of rows of ``width`` elements: whole vectors. A multiple of 512 bytes, which would make cache sets
    collide, is made one cache line longer, so that all rows still begin at the same place of a line."""
    stride = padded(width, lanes)
    return stride + max(lanes, CACHE_LINE // size) if stride * size % 512 == 0 else stride


def strides_of(builder: Builder, size: int) -> dict[str, int]:
    """The row stride, in elements, of every buffer that a plan may use."""
    strides = {"x": builder.graph.nodes[builder.graph.input].width}
    for group in builder.groups:
        strides[f"s{group.index}"] = strides[f"g{group.index}"] = _stride(group.columns, builder.lanes, size)
    for node in builder.graph.nodes:
        stride = _stride(node.width, builder.lanes, size)
        for letter in "vdce" if node.kind == "elementwise" else "vdc":
            strides[f"{letter}{node.index}"] = stride
        if node.elementwise is not None:
            strides[f"k{node.index}"] = stride
            strides[f"m{node.index}"] = builder.lanes * max(1, len(node.elementwise.statistics))
            strides[f"h{node.index}"] = builder.lanes * max(1, len(node.elementwise.backward_statistics))
    strides |= dict.fromkeys((vector.name for vector in builder.vectors), 0)
    strides["y"] = builder.graph.nodes[builder.graph.output].width
    return strides


def _without_empty(backward: list[Segment]) -> list[Segment]:
    """The segments that have operations, and always the last one, which has the weight gradients."""
    return [segment for segment in backward[:-1] if segment.operations] + backward[-1:]


def plan(
    graph: Graph, lanes: int, *, training: bool, size: int = 4, fused: bool = True, can_do: CanDo = no_map
) -> Plan:
    """The plan of a graph for vectors of ``lanes`` elements of ``size`` bytes; with or without the backward pass.

    fused: whether operations are joined, so that values pass in registers. Else each is on its own, but for pairs of
    maps that a back end ``can_do`` at once.
    """
    runs = segments_of(graph)
    virtual = virtual_concatenations(graph, {index: domain for domain, nodes in runs for index in nodes})
    groups = sibling_groups(graph, lanes, runs, virtual)
    builder = Backward(graph, lanes, runs, virtual, groups, training)
    forward = [s for s in builder.segments() if s.operations]
    backward = _without_empty(builder.back()) if training else []
    state = tuple((index, builder.past(index).buffer) for index in sorted(builder.depth))
    pushed = (builder.gradient(index) for index in sorted(builder.pushed))
    cleared = tuple(place.buffer for place in pushed if place != builder.loss_target())  # the loss writes its own
    depths = {buffer: builder.depth[index] for index, buffer in state}
    depths |= {builder.gradient(index).buffer: steps for index, steps in builder.pushed.items()}
    alone = depths.keys() | builder.carries.keys()
    segments = [*forward, *backward]
    if fused:
        segments = fuse_epilogues(segments, groups)
        segments = [Segment(s.domain, fuse(s.operations, lanes)) for s in segments]
        final = drop_dead_stores(segments, lanes, alone | EXTERNAL)
    else:
        kept = alone | EXTERNAL | {builder.place(graph.output).buffer}
        final = with_joins(without_copies(segments, lanes, kept), lanes, kept, can_do)
    strides = strides_of(builder, size)
    operations = [operation for segment in final for operation in segment.operations]
    lives = lifetimes(operations)
    stored = buffers_of(final, lives, strides, depths, set(builder.carries))
    buffers = share_blocks(operations, lives, stored, alone, lanes)
    transposed = tuple(dict.fromkeys(builder.transposed))
    return Plan(
        graph,
        lanes,
        groups,
        tuple(final[: len(forward)]),
        tuple(final[len(forward) :]),
        buffers,
        state,
        transposed,
        builder.place(graph.output),
        tuple(builder.carries),
        tuple(builder.vectors),
        cleared,
        frozenset(which for which in transposed if not groups[which[0]].learns),
        strides,
    )
