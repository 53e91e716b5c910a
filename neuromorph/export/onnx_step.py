"""One time step of a model as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..functions import ElementwiseLayer, Merge
from ..graph import Graph, Node
from .onnx_nodes import Nodes

# Activations whose components depend on one another.
_COUPLED = {"softmax": "Softmax"}


class Step:
    """Adds the nodes of one time step to a list of ONNX nodes.

    x: the tensor of the input, whose last axis has the components. state: the tensors of what earlier steps left, by
    the nodes in ``Graph.history``, with the shapes of ``Graph.state_shape``. Parameters are constants under their
    names.
    """

    def __init__(self, graph: Graph, nodes: Nodes, x: str, state: Mapping[int, str]) -> None:
        self.graph, self.nodes, self.x, self.state = graph, nodes, x, state
        self.values = {graph.input: x}
        for index in graph.computing:
            if index != graph.input:
                self.values[index] = self._value(graph.nodes[index])

    @property
    def result(self) -> str:
        """The tensor of the output."""
        return self.values[self.graph.output]

    def following(self, index: int) -> str:
        """The tensor of a node's state after the step."""
        value, steps, at = self._at(index, 0), self.graph.history[index], self.graph.nodes[index].name
        if steps == 1:
            return value
        newest = self.nodes.add("Unsqueeze", value, self.nodes.whole(0), at=at)
        return self.nodes.add("Concat", self.nodes.part(self.state[index], 1, steps, 0, at=at), newest, at=at, axis=0)

    def _at(self, index: int, steps: int) -> str:
        """The tensor of the value that a node had so many steps ago."""
        if steps == 0:
            return self.values[self.graph.resolve(index)]
        reach = self.graph.history[index]
        if reach == 1:
            return self.state[index]
        place = self.nodes.constant(f"place/{reach - steps}", np.array(reach - steps, np.int64))
        return self.nodes.add("Gather", self.state[index], place, at=self.graph.nodes[index].name, axis=0)

    def _value(self, node: Node) -> str:
        if node.merge is not None:
            return self._merge(node, node.merge)
        if node.function is not None:
            value = self._activated(node, self._before(node))
            return value if node.elementwise is None else self._elementwise(node, node.elementwise, value)
        assert node.elementwise is not None
        return self._elementwise(node, node.elementwise, self.x if node.source is None else self._at(node.source, 0))

    # Layers ----------------------------------------------------------------------------------------------------------

    def _before(self, node: Node) -> str:
        """What the activation of a node is applied to."""
        incoming = self._incoming(node)
        if node.kind == "activation":
            return incoming
        product = self.nodes.add("MatMul", incoming, f"{node.name}.weight", at=node.name)
        return self.nodes.add("Add", product, f"{node.name}.bias", at=node.name)

    def _incoming(self, node: Node) -> str:
        """What comes into a node; for a convolution the vectors of all taps, the oldest first."""
        assert node.source is not None
        taps = [self._at(node.source, steps) for steps in range(node.reach, -1, -node.dilation)]
        return taps[0] if len(taps) == 1 else self.nodes.add("Concat", *taps, at=node.name, axis=-1)

    def _activated(self, node: Node, x: str) -> str:
        assert node.function is not None
        if node.function.couples:
            return self.nodes.add(_COUPLED[node.function.name], x, at=node.name, axis=-1)
        return self.nodes.expression(node.function.forward, {"x": x, **self._number(node)}, at=node.name)

    def _number(self, node: Node) -> dict[str, str | float]:
        return {} if node.parameter is None else {"p": node.parameter}

    def _elementwise(self, node: Node, layer: ElementwiseLayer, x: str) -> str:
        if layer.drops:
            return x
        if not layer.reads_x:
            return self._repeated(f"{node.name}.bias", node)
        names = {"x": x, **self._number(node)}
        names |= {role.variable: f"{node.name}.{role.name}" for role in layer.roles}
        for statistic in layer.statistics:
            each = self.nodes.expression(statistic.expression, names, at=node.name)
            mean = self.nodes.add("ReduceMean", each, at=node.name, axes=[-1], keepdims=1)
            names[statistic.variable] = self.nodes.expression(statistic.finish, {**names, "mean": mean}, at=node.name)
        return self.nodes.expression(layer.forward, names, at=node.name)

    def _repeated(self, vector: str, node: Node) -> str:
        """A vector of parameters, once for each lane."""
        shape = self.nodes.part(self.nodes.add("Shape", self.x, at=node.name), 0, -1, 0, at=node.name)
        whole = self.nodes.add("Concat", shape, self.nodes.whole(node.width), at=node.name, axis=0)
        return self.nodes.add("Expand", vector, whole, at=node.name)

    # Merges ----------------------------------------------------------------------------------------------------------

    def _merge(self, node: Node, merge: Merge) -> str:
        assert node.other is not None
        o = self._at(node.other, node.steps)
        if node.source is None:
            return self.nodes.expression(merge.forward, {"o": o}, at=node.name)
        x = self._at(node.source, 0)
        if merge.concatenates:
            return self.nodes.add("Concat", x, o, at=node.name, axis=-1)
        if merge.result == "x" and merge.other_width == "any":
            return self._shared(node, merge, x, o)
        value = self.nodes.expression(merge.forward, {"x": x, "o": o}, at=node.name)
        if merge.result != "one":
            return value
        return self.nodes.add("ReduceSum", value, self.nodes.whole(-1), at=node.name, keepdims=1)

    def _shared(self, node: Node, merge: Merge, x: str, o: str) -> str:
        """The merge of the components that both have; further ones of x pass through unchanged."""
        assert node.other is not None
        mine, other = node.width, self.graph.nodes[node.other].width
        if other > mine:
            o = self.nodes.part(o, 0, mine, -1, at=node.name)
        whole = other >= mine
        both = x if whole else self.nodes.part(x, 0, other, -1, at=node.name)
        value = self.nodes.expression(merge.forward, {"x": both, "o": o}, at=node.name)
        if whole:
            return value
        return self.nodes.add("Concat", value, self.nodes.part(x, other, mine, -1, at=node.name), at=node.name, axis=-1)
