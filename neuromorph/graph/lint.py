"""Finds likely mistakes in a legal model text, by rules over the checked graph.

A rule reports only what is certain. Two questions are answered for each component, over all time: which values are zero
at every step for all parameters and data, and which nodes the gradient of the loss reaches within a window. Values that
cancel are found only where both operands of a merge are the same value, as in ``x - x``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import numpy as np

from ..errors import Diagnostic
from ..functions import Activation, Merge
from ..language import parse, told
from ..options import CompileOptions, compile_options
from .build import build_graph
from .gradient_flow import Backward
from .nodes import Graph, Node
from .recurrence import WINDOW, domains_of
from .words import before, function_of
from .zeros import Effort, TooLargeError, algebra_of, always_zero, full, zeros_of

_NAMED = 20  # the most nodes that a sentence names
_TOLD = 100  # the most mistakes of each kind that are reported


def advise(graph: Graph, options: CompileOptions) -> tuple[Diagnostic, ...]:
    """The likely mistakes in a checked graph that is trained with ``options``, in text order.

    At most 100 mistakes of each kind are reported. The work is bounded: in a graph with very many components or steps,
    some mistakes may not be found.
    """
    found = [*_cross_entropy(graph), *islice(_softmax_in_loop(graph), _TOLD)]
    with suppress(TooLargeError):
        effort = Effort()
        zeros = zeros_of(graph, effort)
        found += islice(_stays_at_zero(graph, zeros), _TOLD)
        found.extend(islice(_cannot_learn(Backward(graph, zeros, effort), options.bptt_steps), _TOLD))
    return tuple(sorted(found, key=lambda advice: (advice.line, advice.column)))


def check(text: str, filename: str | None = None, *, bptt_steps: int | None = None) -> tuple[Diagnostic, ...]:
    """All mistakes that ``compile`` would warn about; see ``neuromorph.check``."""
    graph = build_graph(parse(text, filename))
    options = compile_options(
        1, optimizer="sgd", bptt_steps=bptt_steps, dtype="float32", threads=None, has_time_links=graph.has_time_links
    )
    found = [*graph.diagnostics, *advise(graph, options)]
    placed = sorted(found, key=lambda advice: (advice.line, advice.column))
    return tuple(advice.of(text, filename) for advice in placed)


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        return f"{', '.join(quoted)} and {len(names) - _NAMED:,} more"
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def _about(node: Node, message: str, names: Sequence[str]) -> Diagnostic:
    """Advice about a node. It names the use of a cell that the node comes from, if there is one."""
    return Diagnostic(node.location, told(message, node.name, node.origin), tuple(dict.fromkeys(names)))


# The rules ------------------------------------------------------------------------------------------------------------


def _cross_entropy(graph: Graph) -> Iterator[Diagnostic]:
    """Advice for a cross-entropy of results that are no probabilities."""
    output, loss = graph.nodes[graph.output], graph.loss
    function = output.function
    if function is None or not loss.logits or loss.logit_form(function.name) is not None:
        return
    wanted = loss.logits[0].activation
    said = f"'{output.name}' has the loss {loss.name}, but its activation is {function.name}"
    if loss.logits[0].couples:
        why = "its results need not add up to 1, and the loss never makes a wrong one smaller"
        fix = f"use <{wanted}>, or binary_cross_entropy for answers that do not exclude one another"
    elif _leaves_unit_interval(function, output.parameter):
        why = "its results leave the range from 0 to 1, are clipped there and learn nothing beyond"
        fix = f"use <{wanted}>"
    else:
        return
    yield _about(output, f"{said}: {why}; {fix}", [output.name])


def _leaves_unit_interval(function: Activation, parameter: float | None) -> bool:
    """Whether an activation has values below 0 or above 1."""
    with np.errstate(all="ignore"):
        values = function.value(np.linspace(-20.0, 20.0, 81)[:, None], parameter)
    return bool(((values < 0.0) | (values > 1.0)).any())


def _softmax_in_loop(graph: Graph) -> Iterator[Diagnostic]:
    """Advice for a softmax inside a loop over time, except an output whose loss needs the softmax."""
    coupled = [
        index
        for index in graph.order
        if (function := graph.nodes[index].function) is not None
        and function.couples
        and not (index == graph.output and graph.loss.logit_form(function.name) is not None)
    ]
    if not coupled or not graph.has_time_links:
        return
    domains = domains_of(graph)
    for node in (graph.nodes[index] for index in coupled if domains[index] != WINDOW):
        assert node.function is not None
        said = f"'{node.name}' is a {node.function.name} inside a loop through time"
        why = "its values add up to 1, so what the loop carries is squeezed again at every step"
        yield _about(node, f"{said}: {why}; use <tanh> or <sigmoid> inside the loop", [node.name])


def _stays_at_zero(graph: Graph, zeros: Mapping[int, int]) -> Iterator[Diagnostic]:
    """Advice for a product with an earlier step's value that can never leave the zero it starts from."""
    for index, other in graph.delayed_links:
        node = graph.nodes[index]
        if node.merge is None or node.source is None or not algebra_of(node.merge).zero_if_o_is:
            continue
        stuck = _stuck(graph, node, node.merge, zeros[other])
        if not stuck:
            continue
        name = graph.nodes[other].name
        what = f"'{node.name}' stays at zero"
        if stuck < node.width:
            what = f"{stuck:,} of the {node.width:,} components of '{node.name}' stay at zero"
        why = f"it multiplies by '{name}'{before(node.steps)}, which starts from zero there and never leaves it"
        fix = "give the loop something to begin from, such as an additive merge inside it"
        yield _about(node, f"{what}: {why}; {fix}", [node.name, name])


def _stuck(graph: Graph, node: Node, merge: Merge, zeros: int) -> int:
    """The number of components of a product that are zero because the second operand's are. zeros: these, as bits."""
    assert node.source is not None
    width = graph.nodes[node.source].width
    if merge.other_width == "one":
        return node.width if zeros else 0
    if merge.result == "one":
        return int(zeros == full(width))
    return (zeros & full(width)).bit_count()


def _cannot_learn(backward: Backward, steps: int) -> Iterator[Diagnostic]:
    """Advice for nodes whose gradient is zero for all parameters and data, grouped by what stops the gradient."""
    graph = backward.graph
    from_loss = {graph.output: full(graph.nodes[graph.output].width)}
    stuck = graph.learners.difference(backward.learning(from_loss, steps))
    if not stuck:
        return
    ever = backward.learning(from_loss, math.inf)  # by longer windows too
    explained: set[int] = set()
    for blocker in (graph.nodes[index] for index in sorted(backward.blocking)):
        behind = backward.learning(_incoming(graph, blocker), math.inf)
        stopped = (stuck - ever.keys()) & {blocker.index, *behind}
        explained |= stopped
        if stopped:
            yield _blocked(graph, sorted(stopped), blocker)
    stuck -= explained
    late = sorted(stuck & ever.keys())
    if late:
        yield _too_late(graph, late, steps, 1 + max(ever[index] for index in late))
    lost = sorted(stuck - ever.keys())
    if lost:
        yield _without_effect(graph, lost)


def _incoming(graph: Graph, node: Node) -> dict[int, int]:
    """All components, as bits, of what comes into a node, by its source."""
    return {} if node.source is None else {node.source: full(graph.nodes[node.source].width)}


def _unable(graph: Graph, layers: Sequence[int], why: str, *more: str) -> Diagnostic:
    names = [graph.nodes[index].name for index in layers]
    return _about(graph.nodes[layers[0]], f"{_listed(names)} can't learn: {why}", [*names, *more])


def _blocked(graph: Graph, layers: Sequence[int], blocker: Node) -> Diagnostic:
    fact, fix = _why_blocked(blocker, "it" if len(layers) == 1 else "they")
    why = f"nothing of the loss's gradient passes '{blocker.name}' (line {blocker.location.line}), since {fact}"
    return _unable(graph, layers, f"{why}; {fix}", blocker.name)


def _why_blocked(blocker: Node, layers: str) -> tuple[str, str]:
    """Why no gradient passes a node, and the fix."""
    function = blocker.function
    if function is None:
        return f"a {function_of(blocker).split()[0]} of a single component does not depend on it", "leave it out"
    if function.couples:
        fact = f"a {function.name} of a single component is always 1"
        return fact, "use <sigmoid>, at the output with binary_cross_entropy"
    if function.surrogate:
        return f"the derivative of {function.name} is 0", f"lead another way around it, if {layers} shall learn"
    if always_zero(function, blocker.parameter):
        return f"{function_of(blocker)} is always 0", "give it another number"
    return f"the derivative of {function.name} is 0", "use <sigmoid> there"


def _too_late(graph: Graph, layers: Sequence[int], steps: int, needed: int) -> Diagnostic:
    window = "1 step" if steps == 1 else f"{steps:,} steps"
    only = "it reaches" if len(layers) == 1 else "they reach"
    why = f"{only} the loss only through time, and with bptt_steps={steps} gradients stop after {window}"
    return _unable(graph, layers, f"{why}; bptt_steps must be at least {needed:,}")


def _without_effect(graph: Graph, layers: Sequence[int]) -> Diagnostic:
    gives = "it gives" if len(layers) == 1 else "they give"
    why = f"on every way to the loss what {gives} is multiplied by zero or cancels out"
    return _unable(graph, layers, f"{why}; lead a way around the merges where it is lost")
