"""Checks the properties of a graph that the rest of the library relies on."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from ..language import MAX_WIDTH
from .nodes import Graph, Node, same_step


def verify(graph: Graph) -> None:
    """Check the properties of a graph that the rest of the library relies on.

    Raises AssertionError that names the node and the rule. This check shares no code with the passes of
    :func:`build_graph`.
    """
    for position, node in enumerate(graph.nodes):
        _require(node.index == position, node, "its index is its position")
        _verify_shape(graph, node)
        _verify_width(graph, node)
        _verify_liveness(graph, node)
    _verify_ends(graph)
    _verify_time(graph)
    _verify_order(graph)


def _require(holds: bool, node: Node, rule: str) -> None:
    if not holds:
        raise AssertionError(f"node {node.index} '{node.name}': {rule}")


def _verify_shape(graph: Graph, node: Node) -> None:
    _require((node.kind == "input") == (node.index == graph.input), node, "only the input is of that kind")
    reads = (node.merge is None or node.merge.reads_x) and (node.elementwise is None or node.elementwise.reads_x)
    depends = node.kind != "input" and reads
    _require(
        (node.source is not None) == depends, node, "all but the input and what takes another vector have a source"
    )
    _require(node.source is None or 0 <= node.source < node.index, node, "its source stands before it")
    merges = node.kind == "merge"
    _require(merges == (node.other is not None) == (node.merge is not None), node, "merges alone merge")
    _require(node.other is None or 0 <= node.other < len(graph.nodes), node, "its other node exists")
    computes = node.kind in ("layer", "activation")
    _require(computes == (node.function is not None), node, "layers and activation nodes have an activation")
    restores = node.kind == "layer" and node.elementwise is not None
    _require(
        (node.kind == "elementwise" or restores) == (node.elementwise is not None),
        node,
        "elementwise layers have a function",
    )
    _require(not restores or node.index == graph.output, node, "the output alone restores units")
    record = node.function or node.elementwise
    takes = record is not None and record.parameter is not None
    may_lack = node.elementwise is not None and not node.elementwise.reads_x
    has = node.parameter is not None
    _require(takes == has or (takes and may_lack), node, "a number goes with a function that takes one")


def _verify_width(graph: Graph, node: Node) -> None:
    _require(1 <= node.width <= MAX_WIDTH, node, "its width is in range")
    if node.kind in ("input", "layer") or node.source is node.other is None:
        return
    own = 0 if node.source is None else graph.nodes[node.source].width
    other = 0 if node.other is None else graph.nodes[node.other].width
    result = "x" if node.merge is None else node.merge.result
    expected = {"x": own, "other": other, "both": own + other, "one": 1}[result]
    _require(node.width == expected, node, "its width follows from what it reads")


def _verify_liveness(graph: Graph, node: Node) -> None:
    if node.live:
        for read in (node.source, node.other):
            _require(read is None or graph.nodes[read].live, node, "what a live node reads is live")


def _verify_ends(graph: Graph) -> None:
    output = graph.nodes[graph.output]
    _require(output.kind == "layer" and output.live, output, "the output is a live layer")
    _require(all(node.source != output.index for node in graph.nodes), output, "nothing follows the output")
    names = {node.name for node in graph.nodes}
    _require(len(names) == len(graph.nodes), output, "names are unique")
    takes = graph.loss.parameter is not None
    _require(takes == (graph.loss_parameter is not None), output, "the loss has its number")
    reached = _reached_backward(graph)
    for node in graph.nodes:
        _require(node.live == (node.index in reached), node, "live is what the output needs")


def _reached_backward(graph: Graph) -> set[int]:
    reached: set[int] = set()
    layer = {graph.output}
    while layer:
        reached |= layer
        read = {one for index in layer for one in (graph.nodes[index].source, graph.nodes[index].other)}
        layer = {one for one in read if one is not None} - reached
    return reached


def _verify_time(graph: Graph) -> None:
    """Check that there is no cycle within a step, and that only merges and convolutions read back in time."""
    try:
        list(TopologicalSorter({node.index: same_step(node) for node in graph.nodes}).static_order())
    except CycleError as error:
        raise AssertionError(f"the nodes {error.args[1]} depend on one another within a step") from error
    for node in graph.nodes:
        _require(node.steps >= 0 and node.taps >= 1 and node.dilation >= 1, node, "it reads no step to come")
        _require(node.other is not None or node.steps == 0, node, "merges alone read back in time")
        _require(node.taps == 1 or node.kind == "layer", node, "layers alone are convolutions")


def _verify_order(graph: Graph) -> None:
    done: set[int] = set()
    for index in graph.order:
        node = graph.nodes[index]
        _require(node.live and index not in done, node, "the order has each live node once")
        _require(done.issuperset(same_step(node)), node, "the order puts it after what it reads")
        done.add(index)
    output = graph.nodes[graph.output]
    _require(len(done) == sum(node.live for node in graph.nodes), output, "the order has all live nodes")
    for node in graph.nodes:
        computing = graph.nodes[graph.resolve(node.index)]
        _require(computing.kind != "split" and computing.width == node.width, node, "it resolves to a value")
