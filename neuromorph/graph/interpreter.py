"""The definition of what a model means: a slow float64 interpreter of a graph, forward and backward, node by node.

Shapes: S samples (steps in time), B lanes, W components. A state is {node: (B, width)}, the value after the last step
of each node in ``Graph.history``. For a node that is read up to K > 1 steps back it is (K, B, width), the oldest first.
Parameters and gradients are {"name.weight": (fan_in, width), "name.bias": (width,)}. No argument is changed.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..functions import Merge, dropout
from ..functions.records import Array
from ..host.frozen import frozen
from . import Graph, Node
from .past import Past
from .weighting import mean_of, scaled, weighted_means, weights_of

State = dict[int, Array]
Parameters = dict[str, Array]


@frozen
class WindowResult:
    """The S losses of a window, their weighted mean, its gradient, and the state after the last step."""

    losses: Array
    loss: float
    gradients: Parameters
    state: State


@frozen
class Masks:
    """The masks of dropouts in one window, computed from ``key`` and ``updates`` (see ``functions.dropout``)."""

    key: int
    updates: int

    def of(self, node: Node, step: int, lanes: int) -> Array:
        """The factors (B, width) of a node's mask in one step of the window."""
        assert node.parameter is not None
        rows = np.arange(step * lanes, (step + 1) * lanes)
        return dropout.mask(dropout.noise_of(self.key, self.updates), node.index, rows, node.width, node.parameter)


@frozen
class TrainResult:
    """The parameters after training, the S losses, their mean, and the state after the last step."""

    parameters: Parameters
    losses: Array
    loss: float
    state: State


def draw_parameters(graph: Graph, rng: np.random.Generator, dtype: DTypeLike) -> dict[str, NDArray[Any]]:
    """Draw the parameters of the live nodes in text order, weight before bias, cast to ``dtype``."""
    with np.errstate(over="ignore"):
        return {array.name: array.draw(rng).astype(dtype) for array in graph.arrays}


def zero_state(graph: Graph, lanes: int) -> State:
    """The state before the first step."""
    return {other: np.zeros(graph.state_shape(other, lanes)) for other in graph.history}


def predict(
    graph: Graph,
    parameters: Mapping[str, ArrayLike],
    inputs: ArrayLike,
    state: Mapping[int, ArrayLike] | None = None,
) -> Array:
    """The outputs (S, B, W_out) for inputs (S, B, W_in), from ``state`` or from zeros."""
    steps, _ = _run(graph, _floats(parameters), np.asarray(inputs, np.float64), state)
    return np.stack([step.values[graph.output] for step in steps])


def incoming(graph: Graph, parameters: Mapping[str, ArrayLike], inputs: ArrayLike, index: int) -> Array:
    """What comes into a node, (S, B, width), for inputs (S, B, W_in) from zero state.

    Only what the node depends on is computed, and all steps at once if no part of that reads back in time.
    """
    x, needed = np.asarray(inputs, np.float64), _ancestors(graph, index)
    together = not any(graph.nodes[one].steps or graph.nodes[one].reach for one in needed)
    given = x.reshape(1, -1, x.shape[-1]) if together else x
    floats, past = _floats(parameters), Past({} if together else _start(graph, given.shape[1], None))
    found: list[Array] = []
    for number, row in enumerate(given):
        step = _step(graph, floats, row, past, number, needed)
        found.append(_incoming(graph.nodes[index], step))
        past.keep(number, step.values)
    return np.stack(found).reshape(*x.shape[:-1], -1)


def _ancestors(graph: Graph, index: int) -> set[int]:
    """The nodes that the incoming vector of a node depends on, also through time."""
    waiting, found = [graph.nodes[index].source], set[int]()
    while waiting:
        one = waiting.pop()
        if one is not None and one not in found:
            found.add(one)
            waiting += [graph.nodes[one].source, graph.nodes[one].other]
    return found


def window(
    graph: Graph,
    parameters: Mapping[str, ArrayLike],
    inputs: ArrayLike,
    expected: ArrayLike,
    weight: ArrayLike | None = None,
    state: Mapping[int, ArrayLike] | None = None,
    masks: Masks | None = None,
) -> WindowResult:
    """The loss of one window and its exact gradient, through the links in time inside the window.

    inputs: (S, B, W_in). expected: (S, B, W_out). weight: (S, B), by default ones. masks: the masks of dropouts; None
    drops nothing. The loss is the weighted mean over all vectors, or 0 if all weights are 0. A vector of weight 0 has
    no effect, whatever its expected values are, NaN included.
    """
    floats = _floats(parameters)
    run = _judge(graph, floats, inputs, expected, weight, state, masks)
    relative = scaled(run.weights)
    shares = relative / relative.sum() if relative.any() else relative
    gradients = _backward(graph, floats, run.steps, run.expected, shares)
    return WindowResult(run.losses, run.loss, gradients, run.last)


def evaluate(
    graph: Graph,
    parameters: Mapping[str, ArrayLike],
    inputs: ArrayLike,
    expected: ArrayLike,
    weight: ArrayLike | None = None,
    state: Mapping[int, ArrayLike] | None = None,
) -> float:
    """The loss of one window, as :func:`window` gives it, without the gradient."""
    return _judge(graph, _floats(parameters), inputs, expected, weight, state).loss


def train(
    graph: Graph,
    parameters: Mapping[str, ArrayLike],
    inputs: ArrayLike,
    expected: ArrayLike,
    *,
    learning_rate: float,
    bptt_steps: int,
    sample_weight: ArrayLike | None = None,
    state: Mapping[int, ArrayLike] | None = None,
    masks: Masks | None = None,
) -> TrainResult:
    """The result of plain gradient descent, with one update for each window of ``bptt_steps`` samples or fewer.

    State flows from window to window; gradients do not. A window whose weights are all 0 makes no update.
    """
    x, e = np.asarray(inputs, np.float64), np.asarray(expected, np.float64)
    weights = weights_of(sample_weight, x)
    learned, losses = _floats(parameters), np.zeros(len(x))
    carried = _start(graph, x.shape[1], state)
    for first in range(0, len(x), bptt_steps):
        part = slice(first, first + bptt_steps)
        result = window(graph, learned, x[part], e[part], weights[part], carried, masks)
        losses[part], carried = result.losses, result.state
        if weights[part].any():
            steps = {key: learning_rate * gradient for key, gradient in result.gradients.items()}
            learned = {key: value - steps[key] if key in steps else value for key, value in learned.items()}
            masks = None if masks is None else replace(masks, updates=masks.updates + 1)
    return TrainResult(learned, losses, mean_of(losses, scaled(weights).sum(axis=1)), carried)


@frozen
class _Step:
    """One evaluated step: live nodes' values, what comes into them, what activations were applied to, the values
    before the step of nodes that are read back in time, the step's number, and the masks of dropouts."""

    values: dict[int, Array]
    incoming: dict[int, Array]
    before: dict[int, Array]
    past: Past
    number: int
    factors: dict[int, Array] = field(default_factory=dict)


@frozen
class _Judged:
    """A window after its forward pass. ``expected`` is 0 where the weight is 0."""

    steps: list[_Step]
    last: State
    expected: Array
    weights: Array
    losses: Array
    loss: float


def _floats(parameters: Mapping[str, ArrayLike]) -> Parameters:
    return {key: np.array(value, np.float64) for key, value in parameters.items()}


def _start(graph: Graph, lanes: int, state: Mapping[int, ArrayLike] | None) -> State:
    """The past values, (K, B, width), of each node that is read back in time."""
    whole = zero_state(graph, lanes) | ({} if state is None else dict(state))
    return {
        index: np.array(value, np.float64).reshape(graph.history[index], lanes, graph.nodes[index].width)
        for index, value in whole.items()
    }


# Forward


def _run(
    graph: Graph,
    parameters: Parameters,
    inputs: Array,
    state: Mapping[int, ArrayLike] | None,
    masks: Masks | None = None,
) -> tuple[list[_Step], State]:
    """All steps, one after the other, and the state after the last."""
    past = Past(_start(graph, inputs.shape[1], state), len(inputs))
    steps: list[_Step] = []
    dropouts = [node for node in graph.nodes if node.live and node.elementwise is not None and node.elementwise.drops]
    for number, x in enumerate(inputs):
        factors = {node.index: masks.of(node, number, len(x)) for node in dropouts} if masks is not None else {}
        steps.append(_step(graph, parameters, x, past, number, factors=factors))
        past.keep(number, steps[-1].values)
    return steps, past.state(len(inputs))


def _step(
    graph: Graph,
    parameters: Parameters,
    x: Array,
    past: Past,
    number: int,
    only: set[int] | None = None,
    factors: Mapping[int, Array] | None = None,
) -> _Step:
    """One step of all nodes, or of some that depend on no others."""
    step = _Step({graph.input: x}, {}, {}, past, number, dict(factors or {}))
    for index in graph.order if only is None else [one for one in graph.order if one in only]:
        node = graph.nodes[index]
        if node.kind != "input":
            step.incoming[index] = _incoming(node, step)
            step.values[index] = _value(node, parameters, step)
    return step


def _incoming(node: Node, step: _Step) -> Array:
    """What comes into a node; for a convolution the vectors of all taps, the oldest first."""
    if node.source is None:
        return np.zeros((len(next(iter(step.values.values()))), 0))
    taps = range(node.reach, -1, -node.dilation)
    return np.concatenate([_at(step, node.source, steps) for steps in taps], axis=-1)


def _at(step: _Step, index: int, steps: int) -> Array:
    """The value that a node had so many steps ago."""
    return step.past.at(index, step.number - steps) if steps else step.values[index]


def _value(node: Node, parameters: Parameters, step: _Step) -> Array:
    incoming = step.incoming[node.index]
    if node.function is not None:
        step.before[node.index] = _before(node, parameters, incoming)
        value = node.function.value(step.before[node.index], node.parameter)
        if node.elementwise is None:
            return value
        return node.elementwise.value(value, _vectors(node, parameters), None)
    if node.index in step.factors:
        return incoming * step.factors[node.index]
    if node.elementwise is not None:
        return node.elementwise.value(incoming, _vectors(node, parameters), node.parameter)
    if node.merge is not None:
        assert node.other is not None
        return _merged(node.merge, incoming, _at(step, node.other, node.steps))
    return incoming


def _before(node: Node, parameters: Parameters, incoming: Array) -> Array:
    """What the activation of a node is applied to."""
    if node.kind == "activation":
        return incoming
    total: Array = incoming @ parameters[f"{node.name}.weight"] + parameters[f"{node.name}.bias"]
    return total


def _standard(output: Node, parameters: Parameters, expected: Array) -> Array:
    """The expected values in standard units, for an output that restores units."""
    vectors = _vectors(output, parameters)
    standard: Array = (expected - vectors["mean"]) / vectors["scale"]
    return standard


def _vectors(node: Node, parameters: Parameters) -> Parameters:
    """The parameters of an elementwise layer, by role."""
    return {role: parameters[f"{node.name}.{role}"] for role, _ in node.initializers}


def _merged(merge: Merge, x: Array, o: Array) -> Array:
    if merge.result != "x" or merge.other_width != "any":
        return merge.value(x, o)
    shared = min(x.shape[-1], o.shape[-1])
    value = x.copy()
    value[:, :shared] = merge.value(x[:, :shared], o[:, :shared])
    return value


def _judge(
    graph: Graph,
    parameters: Parameters,
    inputs: ArrayLike,
    expected: ArrayLike,
    weight: ArrayLike | None,
    state: Mapping[int, ArrayLike] | None,
    masks: Masks | None = None,
) -> _Judged:
    x = np.asarray(inputs, np.float64)
    weights = weights_of(weight, x)
    e = np.where(weights[..., None] > 0.0, np.asarray(expected, np.float64), 0.0)
    steps, last = _run(graph, parameters, x, state, masks)
    vector_losses = np.stack([_loss(graph, parameters, step, row) for step, row in zip(steps, e, strict=True)])
    return _Judged(steps, last, e, weights, *weighted_means(vector_losses, weights))


def _loss(graph: Graph, parameters: Parameters, step: _Step, expected: Array) -> Array:
    """The losses (B,) of the vectors in one step."""
    output = graph.nodes[graph.output]
    assert output.function is not None
    if output.elementwise is not None:
        standard = _standard(output, parameters, expected)
        return graph.loss.value(step.before[graph.output], standard, graph.loss_parameter)
    form = graph.loss.logit_form(output.function.name)
    if form is not None:
        return form.value(step.before[graph.output], expected, graph.loss_parameter)
    return graph.loss.value(step.values[graph.output], expected, graph.loss_parameter)


# Backward


def _backward(graph: Graph, parameters: Parameters, steps: list[_Step], expected: Array, shares: Array) -> Parameters:
    """The gradient of the sum of the vectors' losses, each multiplied by its share."""
    gradients = {array.name: np.zeros(array.shape) for array in graph.arrays if array.learns}
    later = _start(graph, expected.shape[1], None)
    for step, e, share in zip(reversed(steps), expected[::-1], shares[::-1], strict=True):
        later = _Back(graph, parameters, step, gradients, later).step(e, share[:, None])
    return gradients


class _Back:
    """One step of the backward pass. grads: dL/d(value) of each node in this step. earlier: the same for its values in
    earlier steps, (K, B, width)."""

    def __init__(self, graph: Graph, parameters: Parameters, step: _Step, gradients: Parameters, later: State) -> None:
        self.graph, self.parameters, self.now, self.gradients = graph, parameters, step, gradients
        self.grads = {index: np.zeros_like(step.values[index]) for index in graph.order}
        self.earlier = {}
        for index, value in later.items():
            self.grads[index] += value[-1]
            self.earlier[index] = np.concatenate([np.zeros_like(value[:1]), value[:-1]])

    def step(self, expected: Array, share: Array) -> State:
        """Add this step's part to the gradients, and return the gradients of earlier steps' values."""
        for index in reversed(self.graph.order):
            node = self.graph.nodes[index]
            if node.function is not None:
                self._layer(node, expected, share)
            elif node.elementwise is not None:
                self._elementwise(node)
            elif node.merge is not None:
                self._merge(node)
            elif node.source is not None:
                self.grads[node.source] += self.grads[index]
        return self.earlier

    def _layer(self, node: Node, expected: Array, share: Array) -> None:
        assert node.function is not None
        assert node.source is not None
        before, value = self.now.before[node.index], self.now.values[node.index]
        g = self.grads[node.index]
        if node.elementwise is not None:
            g, _ = node.elementwise.gradient(before, _vectors(node, self.parameters), g, None)
        g = node.function.gradient(before, value, g, node.parameter)
        if node.index == self.graph.output:
            g = g + np.where(share > 0.0, share * self._loss_gradient(node, expected), 0.0)
        if node.kind == "activation":
            self.grads[node.source] += g
            return
        self._learn(node, {"weight": self.now.incoming[node.index].T @ g, "bias": g.sum(axis=0)})
        taps = np.split(g @ self.parameters[f"{node.name}.weight"].T, node.taps, axis=-1)
        for tap, steps in zip(taps, range(node.reach, -1, -node.dilation), strict=True):
            self._add(node.source, steps, tap)

    def _elementwise(self, node: Node) -> None:
        assert node.elementwise is not None
        x, vectors = self.now.incoming[node.index], _vectors(node, self.parameters)
        g = self.grads[node.index] * self.now.factors.get(node.index, 1.0)
        g_x, rows = node.elementwise.gradient(x, vectors, g, node.parameter)
        self._learn(node, {role: gradient.sum(axis=0) for role, gradient in rows.items()})
        if node.source is not None:
            self._add(node.source, 0, g_x)

    def _learn(self, node: Node, gradients: Mapping[str, Array]) -> None:
        """Add to the gradients of a node's parameters, if they learn."""
        for role, gradient in gradients.items():
            if (name := f"{node.name}.{role}") in self.gradients:
                self.gradients[name] += gradient

    def _add(self, index: int, steps: int, gradient: Array) -> None:
        """Add to the gradient of a node's value ``steps`` steps ago, in its leading components."""
        into = self.earlier[index][-steps] if steps else self.grads[index]
        into[:, : gradient.shape[-1]] += gradient

    def _loss_gradient(self, node: Node, expected: Array) -> Array:
        """dL/d(pre-activation) of the output's own loss, for each vector."""
        assert node.function is not None
        loss, number = self.graph.loss, self.graph.loss_parameter
        before, value = self.now.before[node.index], self.now.values[node.index]
        if node.elementwise is not None:
            return loss.gradient(before, _standard(node, self.parameters, expected), number)
        form = loss.logit_form(node.function.name)
        if form is not None:
            return form.gradient(before, expected, number)
        return node.function.gradient(before, value, loss.gradient(value, expected, number), node.parameter)

    def _merge(self, node: Node) -> None:
        assert node.merge is not None
        assert node.other is not None
        x, g = self.now.incoming[node.index], self.grads[node.index]
        o = _at(self.now, node.other, node.steps)
        if node.merge.result != "x" or node.merge.other_width != "any":
            g_x, g_o = node.merge.gradient(x, o, g)
        else:
            shared = min(x.shape[-1], o.shape[-1])
            g_x, g_o = node.merge.gradient(x[:, :shared], o[:, :shared], g[:, :shared])
            g_x = np.concatenate([g_x, g[:, shared:]], axis=-1)
        if node.source is not None:
            self._add(node.source, 0, g_x)
        self._add(node.other, node.steps, g_o)
