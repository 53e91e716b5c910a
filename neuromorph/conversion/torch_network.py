"""Any text as a module of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn

from ..errors import DataError
from ..graph import Graph, Node, build_graph
from ..graph.recurrence import WINDOW, segments_of
from ..language import parse
from . import torch_functions as functions

Tensor = Any  # torch.Tensor; a type checker need not have PyTorch
Read = Callable[[int, int], Tensor]  # a node's value so many steps back


@lru_cache(maxsize=64)
def graph_of(text: str) -> Graph:
    """The checked graph of a text that is known to be right."""
    return build_graph(parse(text))


class Network(nn.Module):  # type: ignore[misc]
    """A model of neuromorph as a module of PyTorch. ``to_torch`` makes it.

    Parameters have the model's names and shapes, such as "h.in_gate.weight" (fan_in, width). Those that never learn,
    such as means, scales and frozen ones, need no gradient. ``text`` is the model's text.
    """

    def __init__(self, text: str, parameters: Mapping[str, Tensor], learning: frozenset[str]) -> None:
        super().__init__()
        self.text = text
        for name, value in parameters.items():
            _put(self, name, nn.Parameter(value, requires_grad=name in learning))

    def extra_repr(self) -> str:
        return self.text.strip()

    def forward(
        self, x: Tensor, state: Mapping[str, Tensor] | None = None, return_state: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """The outputs of all steps: (S, B, W_in) to (S, B, W_out), or without the axis B for one lane, or (N, S, B,
        W_in) for N sequences.

        state: where the recurrence begins, named and shaped as in ``Model.state``; zeros for what is missing.
        return_state: whether to return ``(outputs, state after the last step)``. Only ``train()`` makes dropouts drop.
        """
        rows = self._checked(x, state is not None or return_state)
        run = _Run(self, rows, {} if state is None else state)
        y = run.outputs()
        if x.dim() == 4:
            y = y.unflatten(1, (x.shape[0], x.shape[2])).transpose(0, 1)
        y = y.squeeze(1) if x.dim() == 2 else y
        return (y, run.state()) if return_state else y

    def _checked(self, x: Tensor, stateful: bool) -> Tensor:
        """The inputs with the axes of steps, lanes and components."""
        width = graph_of(self.text).nodes[graph_of(self.text).input].width
        if x.dim() not in (2, 3, 4) or x.shape[-1] != width or 0 in x.shape:
            raise DataError(
                f"x has shape {tuple(x.shape)}, but must have shape (S, B, {width}), with S and B at least 1"
            )
        if x.dim() == 4 and stateful:
            raise DataError("x has 4 axes, and each of its sequences starts from zeros: give and ask for no state")
        if x.dim() == 4:
            return x.transpose(0, 1).flatten(1, 2)
        return x.unsqueeze(1) if x.dim() == 2 else x


def _put(module: nn.Module, name: str, parameter: Tensor) -> None:
    """Make a parameter of a dotted name. It becomes no attribute, since a method such as "train" may have its name."""
    *path, last = name.split(".")
    for part in path:
        module = module._modules.setdefault(part, nn.Module())
    module._parameters[last] = parameter


class _Run:
    """One run over a window: of each node the values of all steps, (S, B, width), once they are known."""

    def __init__(self, network: Network, x: Tensor, state: Mapping[str, Tensor]) -> None:
        self.graph, self.training = graph_of(network.text), network.training
        self.parameters = dict(network.named_parameters())
        self.steps, self.lanes, _ = x.shape
        self.values = {self.graph.input: x}
        self.before = self._begin(x, state)
        self.rows: dict[int, Any] = {}
        self.segments = segments_of(self.graph)
        self.groups = {index: group for _, nodes in self.segments for group in self._siblings(nodes) for index in group}
        self.weights: dict[int, tuple[Tensor, Tensor]] = {}
        self.products: dict[int, Tensor] = {}

    def _begin(self, x: Tensor, state: Mapping[str, Tensor]) -> dict[int, Tensor]:
        """What earlier steps left, (K, B, width), by the node that a link in time names."""
        nodes = {self.graph.nodes[index].name: index for index in self.graph.history}
        for name in state:
            if name not in nodes:
                raise DataError(f"state: no link in time reads {name!r}; those that are read are {', '.join(nodes)}")
        found = {}
        for name, index in nodes.items():
            shape = self.graph.state_shape(index, self.lanes)
            value = state[name] if name in state else x.new_zeros(shape)
            if tuple(value.shape) != shape:
                raise DataError(f"state: {name!r} has shape {tuple(value.shape)}, but must have shape {shape}")
            found[index] = value.to(x.dtype).reshape(self.graph.history[index], *shape[-2:])
        return found

    def outputs(self) -> Tensor:
        """The output of every step."""
        for domain, nodes in self.segments:
            if domain == WINDOW:
                for index in nodes:
                    if index != self.graph.input:
                        self.values[index] = self._value(self.graph.nodes[index], self._window)
            else:
                self._loop(nodes)
        return self.values[self.graph.output]

    def state(self) -> dict[str, Tensor]:
        """The state after the last step, as in ``Model.state``."""
        found = {}
        for index, past in self.before.items():
            rows = torch.cat((past, self.values[self.graph.resolve(index)]))[-len(past) :]
            found[self.graph.nodes[index].name] = rows[0] if len(past) == 1 else rows
        return found

    def _loop(self, nodes: list[int]) -> None:
        """Compute nodes that read one another's earlier steps, step by step."""
        made: dict[int, list[Tensor]] = {index: [] for index in nodes}
        self.rows |= made
        for step in range(self.steps):
            for index in nodes:
                made[index].append(self._value(self.graph.nodes[index], partial(self._row, step)))
        self.values |= {index: torch.stack(rows) for index, rows in made.items()}

    def _window(self, index: int, back: int) -> Tensor:
        """A node's values so many steps back, for all steps."""
        value = self.values[self.graph.resolve(index)]
        if back == 0:
            return value
        past = self.before[index]
        return torch.cat((past, value))[len(past) - back :][: self.steps]

    def _row(self, step: int, index: int, back: int) -> Tensor:
        """A node's value so many steps before one step."""
        if step < back:
            return self.before[index][step - back]
        one = self.graph.resolve(index)
        if one not in self.rows:
            self.rows[one] = self.values[one].unbind(0)
        return self.rows[one][step - back]

    # Nodes -----------------------------------------------------------------------------------------------------------

    def _value(self, node: Node, read: Read) -> Tensor:
        if node.merge is not None:
            return self._merge(node, read)
        if node.function is not None:
            value = functions.activate(node.function, self._before(node, read), node.parameter)
            return value if node.elementwise is None else self._elementwise(node, value)
        return self._elementwise(node, None if node.source is None else read(node.source, 0))

    def _before(self, node: Node, read: Read) -> Tensor:
        """What the activation of a node is applied to."""
        assert node.source is not None
        if node.kind == "activation":
            return read(node.source, 0)
        if node.index not in self.products:
            taps = [read(node.source, steps) for steps in range(node.reach, -1, -node.dilation)]
            self._multiply(self.groups[node.index], taps[0] if len(taps) == 1 else torch.cat(taps, -1))
        return self.products.pop(node.index)

    def _multiply(self, group: list[int], x: Tensor) -> None:
        """The products of layers that read the same, as one product."""
        nodes = [self.graph.nodes[index] for index in group]
        if group[0] not in self.weights:
            weights, biases = (
                [self.parameters[f"{node.name}.{role}"] for node in nodes] for role in ("weight", "bias")
            )
            self.weights[group[0]] = torch.cat(weights, 1).T, torch.cat(biases)
        product = nn.functional.linear(x, *self.weights[group[0]])
        self.products |= zip(group, product.split([node.width for node in nodes], -1), strict=True)

    def _siblings(self, nodes: list[int]) -> list[list[int]]:
        """Layers of a segment, in groups that read the same."""
        found: dict[Any, list[int]] = {}
        for node in (self.graph.nodes[index] for index in nodes):
            if node.kind == "layer" and node.source is not None:
                found.setdefault((self.graph.resolve(node.source), node.taps, node.dilation), []).append(node.index)
        return list(found.values())

    def _elementwise(self, node: Node, x: Tensor) -> Tensor:
        assert node.elementwise is not None
        if node.elementwise.drops:
            return nn.functional.dropout(x, node.parameter, self.training)
        own = {role: self.parameters[f"{node.name}.{role}"] for role, _ in node.initializers}
        if not node.elementwise.reads_x:
            return own["bias"].expand(self.steps, self.lanes, -1)
        return functions.elementwise(node.elementwise, x, own, node.parameter)

    def _merge(self, node: Node, read: Read) -> Tensor:
        assert node.merge is not None
        assert node.other is not None
        o = read(node.other, node.steps)
        return o if node.source is None else functions.merge(node.merge, read(node.source, 0), o)
