"""A graph's structure as a text: all that its kernels depend on, which names and first values are not."""

from __future__ import annotations

from .nodes import Graph, Node


def structure_of(graph: Graph) -> str:
    """A text that is equal for two graphs exactly if they compute the same in the same order.

    Nodes stand for themselves by their position. Names, places in the model's text and the functions that draw first
    values are left out.
    """
    loss = graph.loss.name, graph.loss_parameter
    nodes = [_structure_of_node(node) for node in graph.nodes]
    return repr((graph.input, graph.output, loss, sorted(graph.frozen), nodes))


def _structure_of_node(node: Node) -> tuple[object, ...]:
    functions = (node.function, node.merge, node.elementwise)
    return (
        node.kind, node.width, node.source, node.other, node.steps, node.parameter, node.live, node.taps, node.dilation,
        *(None if function is None else function.name for function in functions),
    )  # fmt: skip
