"""What a model text says that is legal, but most likely a mistake: advice, found by rules over the checked graph.

A rule speaks only where it is certain. Two questions are answered component by component, over all time: which values
are zero at every step whatever the parameters and data are, and to which nodes the gradient of the loss can get within
a window. What cancels on longer ways than ``x - x`` is not seen.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

import numpy as np

from ..errors import Location, MDLError
from ..functions import Activation, Merge
from ..language import parse
from ..options import CompileOptions, compile_options
from .build import build_graph
from .nodes import Graph, Node
from .recurrence import WINDOW, domains_of

_NAMED = 20  # nodes that one sentence names
_TOLD = 100  # mistakes of a kind
_EFFORT = 1 << 30  # components looked at, beyond which a text gets no more advice
_LEAST = 1 << 11  # components that take as long as everything else that is done for a node
_PLACE = re.compile(r"(?:line |)(\d+)(?:, column |:)(\d+): ")


@dataclass(frozen=True)
class Advice:
    """One likely mistake: where it is, what is wrong and what to do about it, and the names of the nodes it is about.

    ``str(advice)`` has the place and the message, and where ``source``, the whole text, is known the line with a caret,
    as errors have them.
    """

    location: Location
    message: str
    names: tuple[str, ...]
    source: str | None = field(default=None, repr=False, compare=False)
    filename: str | None = None

    @property
    def line(self) -> int:
        """From 1."""
        return self.location.line

    @property
    def column(self) -> int:
        """From 1."""
        return self.location.column

    def __str__(self) -> str:
        source = "" if self.source is None else self.source
        shown = str(MDLError(self.message, source=source, location=self.location, filename=self.filename))
        return shown if self.source is not None else shown.partition("\n")[0]

    def of(self, source: str, filename: str | None) -> Advice:
        """The same about a text that is known."""
        return replace(self, source=source, filename=filename)


def advise(graph: Graph, options: CompileOptions) -> tuple[Advice, ...]:
    """The likely mistakes of a checked graph, trained as ``options`` say, in text order; most texts have none.

    Of each kind at most 100 are told. The work is bounded too: of a graph with very many components or steps to look
    at, some mistakes may not be found.
    """
    found = [*_cross_entropy(graph), *islice(_softmax_in_loop(graph), _TOLD)]
    with suppress(_TooLargeError):
        effort = _Effort()
        zeros = _zeros(graph, effort)
        found += islice(_stays_at_zero(graph, zeros), _TOLD)
        found.extend(islice(_cannot_learn(_Backward(graph, zeros, effort), options.bptt_steps), _TOLD))
    return tuple(sorted(found, key=lambda advice: (advice.line, advice.column)))


def check(text: str, filename: str | None = None, *, bptt_steps: int | None = None) -> tuple[Advice, ...]:
    """All that ``compile`` would warn of; see ``neuromorph.check``."""
    graph = build_graph(parse(text, filename))
    options = compile_options(
        1, optimizer="sgd", bptt_steps=bptt_steps, dtype="float32", threads=None, has_time_links=graph.has_time_links
    )
    found = [*_noted(graph, filename), *advise(graph, options)]
    placed = sorted(found, key=lambda advice: (advice.line, advice.column))
    return tuple(advice.of(text, filename) for advice in placed)


def _noted(graph: Graph, filename: str | None) -> Iterator[Advice]:
    """The warnings of the graph itself, each a sentence behind its place; that of dead nodes has none."""
    dead = [node for node in graph.nodes if not node.live]
    names = {node.location: node.name for node in graph.nodes}
    for sentence in graph.warnings:
        told = sentence if filename is None else sentence.removeprefix(f"{filename}:")
        place = _PLACE.match(told)
        if place is None:
            yield Advice(dead[0].location, told, tuple(node.name for node in dead))
        else:
            location = Location(int(place[1]), int(place[2]))
            about = (names[location],) if location in names else ()
            yield Advice(location, told[place.end() :], about)


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        return f"{', '.join(quoted)} and {len(names) - _NAMED:,} more"
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


# The rules ------------------------------------------------------------------------------------------------------------


def _cross_entropy(graph: Graph) -> Iterator[Advice]:
    """A cross-entropy of results that are no probabilities."""
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
    yield Advice(output.location, f"{said}: {why}; {fix}", (output.name,))


def _leaves_unit_interval(function: Activation, parameter: float | None) -> bool:
    """Whether an activation gives values below 0 or above 1."""
    with np.errstate(all="ignore"):
        values = function.value(np.linspace(-20.0, 20.0, 81)[:, None], parameter)
    return bool(((values < 0.0) | (values > 1.0)).any())


def _softmax_in_loop(graph: Graph) -> Iterator[Advice]:
    """A softmax on a way that leads from step to step, unless it is the output and its loss needs it there."""
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
        yield Advice(node.location, f"{said}: {why}; use <tanh> or <sigmoid> inside the loop", (node.name,))


def _stays_at_zero(graph: Graph, zeros: Mapping[int, int]) -> Iterator[Advice]:
    """A product with the step before that nothing ever makes differ from the zero it starts from."""
    for index, other in graph.delayed_links:
        node, width = graph.nodes[index], min(graph.nodes[index].width, graph.nodes[other].width)
        stuck = (zeros[other] & _full(width)).bit_count()
        if node.merge is None or not _algebra(node.merge).zero_if_o_is or not stuck:
            continue
        name = graph.nodes[other].name
        what = f"'{node.name}' stays at zero"
        if stuck < node.width:
            what = f"{stuck:,} of the {node.width:,} components of '{node.name}' stay at zero"
        why = f"it multiplies by '{name}' of the step before, which starts from zero there and never leaves it"
        fix = "give the loop something to begin from, such as an additive merge inside it"
        yield Advice(node.location, f"{what}: {why}; {fix}", tuple(dict.fromkeys((node.name, name))))


def _cannot_learn(backward: _Backward, steps: int) -> Iterator[Advice]:
    """Layers whose gradient is zero whatever their parameters and data are, by what it is that stops the gradient."""
    graph = backward.graph
    from_loss = {graph.output: _full(graph.nodes[graph.output].width)}
    learning = backward.layers(from_loss, steps)
    stuck = set(graph.parameters).difference(learning)
    if not stuck:
        return
    explained: set[int] = set()
    for blocker in (graph.nodes[index] for index in sorted(backward.blocking)):
        behind = backward.layers(_incoming(graph, blocker), math.inf)
        stopped = stuck & {blocker.index, *behind}
        explained |= stopped
        if stopped:
            yield _blocked(graph, sorted(stopped), blocker)
    stuck -= explained
    ever = backward.layers(from_loss, math.inf) if stuck else {}
    late = sorted(stuck & ever.keys())
    if late:
        yield _too_late(graph, late, steps, 1 + max(ever[index] for index in late))
    lost = sorted(stuck - ever.keys())
    if lost:
        yield _without_effect(graph, lost)


def _incoming(graph: Graph, node: Node) -> dict[int, int]:
    """All components of what comes into a node."""
    return {} if node.source is None else {node.source: _full(graph.nodes[node.source].width)}


def _unable(graph: Graph, layers: Sequence[int], why: str, *more: str) -> Advice:
    names = [graph.nodes[index].name for index in layers]
    return Advice(
        graph.nodes[layers[0]].location, f"{_listed(names)} can't learn: {why}", tuple(dict.fromkeys((*names, *more)))
    )


def _blocked(graph: Graph, layers: Sequence[int], blocker: Node) -> Advice:
    assert blocker.function is not None
    name, place = blocker.function.name, blocker.location
    fact, fix = f"the derivative of {name} is 0", "use <sigmoid> there"
    if blocker.function.couples:
        fact = f"a {name} of a single component is always 1"
        fix = "use <sigmoid>, at the output with binary_cross_entropy"
    why = f"nothing of the loss's gradient passes '{blocker.name}' (line {place.line}), since {fact}"
    return _unable(graph, layers, f"{why}; {fix}", blocker.name)


def _too_late(graph: Graph, layers: Sequence[int], steps: int, needed: int) -> Advice:
    window = "1 step" if steps == 1 else f"{steps:,} steps"
    only = "it reaches" if len(layers) == 1 else "they reach"
    why = f"{only} the loss only through time, and with bptt_steps={steps} gradients stop after {window}"
    return _unable(graph, layers, f"{why}; bptt_steps must be at least {needed:,}")


def _without_effect(graph: Graph, layers: Sequence[int]) -> Advice:
    gives = "it gives" if len(layers) == 1 else "they give"
    why = f"on every way to the loss what {gives} is multiplied by zero or cancels out"
    return _unable(graph, layers, f"{why}; lead a way around the merges where it is lost")


# Values that stay at zero ---------------------------------------------------------------------------------------------
# A set of components is an int with a bit for each; the first component is the lowest bit.


class _TooLargeError(Exception):
    """The work on one text passes its bound."""


@dataclass
class _Effort:
    """What may still be spent on a text: the time and the memory that its components take."""

    left: int = _EFFORT

    def spend(self, width: int) -> None:
        self.left -= max(width, _LEAST)
        if self.left < 0:
            raise _TooLargeError


@lru_cache(maxsize=64)
def _full(width: int) -> int:
    """All components of a vector."""
    return (1 << width) - 1


@dataclass(frozen=True)
class _Algebra:
    """When a merge gives zero, and where its gradient can't pass, found by trying its record.

    zero_if_x_is, zero_if_o_is, zero_if_both_are: the operands that have to be zero. cancels: the result is zero, and
    the gradients add up to zero, where both operands are one value. x_stops, o_stops: the gradient of this operand is
    zero where the other operand is.
    """

    zero_if_x_is: bool
    zero_if_o_is: bool
    zero_if_both_are: bool
    cancels: bool
    x_stops: bool
    o_stops: bool


@lru_cache(maxsize=64)
def _algebra(merge: Merge) -> _Algebra:
    some, others, zero, g = (np.array([values]) for values in ([0.7, -1.3], [-0.4, 2.1], [0.0, 0.0], [1.0, 0.6]))
    alike = merge.gradient(some, some, g)
    return _Algebra(
        not merge.value(zero, others).any(),
        not merge.value(some, zero).any(),
        not merge.value(zero, zero).any(),
        not merge.value(some, some).any() and not (alike[0] + alike[1]).any(),
        not merge.gradient(some, zero, g)[0].any(),
        not merge.gradient(zero, others, g)[1].any(),
    )


def _zeros(graph: Graph, effort: _Effort) -> dict[int, int]:
    """The components of each live node that are zero at every step from zero state: the largest set of those that
    keep one another at zero, which what differs from zero at the first step is taken from, and all that follows."""
    readers: dict[int, list[int]] = {index: [] for index in graph.order}
    for index in graph.order:
        for read in _read(graph.nodes[index]):
            readers[read].append(index)
    zeros: dict[int, int] = {}
    for index in graph.order:
        effort.spend(graph.nodes[index].width)
        zeros[index] = _full(graph.nodes[index].width)
    waiting, queued = deque(graph.order), set(graph.order)
    while waiting:
        index = waiting.popleft()
        queued.remove(index)
        effort.spend(graph.nodes[index].width)
        left = zeros[index] & _zeros_of(graph, graph.nodes[index], zeros)
        if left != zeros[index]:
            zeros[index] = left
            waiting.extend(reader for reader in readers[index] if reader not in queued)
            queued.update(readers[index])
    return zeros


def _read(node: Node) -> set[int]:
    return {index for index in (node.source, node.other) if index is not None}


def _zeros_of(graph: Graph, node: Node, zeros: Mapping[int, int]) -> int:
    """The components of a node that are zero where those that it reads are."""
    if node.source is None or node.kind == "layer":
        return 0
    x = zeros[node.source]
    if node.function is not None:
        return x if _keeps_zero(node.function, node.parameter) else 0
    if node.merge is None or node.other is None:
        return x
    o, width = zeros[node.other], graph.nodes[node.source].width
    if node.merge.concatenates:
        return x | o << width
    shared = _full(min(width, graph.nodes[node.other].width))
    merged, algebra = 0, _algebra(node.merge)
    for zero, holds in (
        (x & o, algebra.zero_if_both_are),
        (x, algebra.zero_if_x_is),
        (o, algebra.zero_if_o_is),
        (shared, algebra.cancels and _reads_one_value(graph, node)),
    ):
        merged |= zero if holds else 0
    return merged & shared | x & ~shared


def _reads_one_value(graph: Graph, node: Node) -> bool:
    """Whether both operands of a merge are the same value of the same step."""
    assert node.source is not None
    assert node.other is not None
    return not node.delayed and graph.resolve(node.source) == graph.resolve(node.other)


@lru_cache(maxsize=256)
def _keeps_zero(function: Activation, parameter: float | None) -> bool:
    """Whether an activation of zero is zero."""
    return not function.couples and not function.value(np.zeros((1, 1)), parameter).any()


@lru_cache(maxsize=256)
def _flat_at_zero(function: Activation, parameter: float | None) -> bool:
    """Whether the derivative of an activation at zero is zero."""
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    return not function.couples and not function.gradient(zero, function.value(zero, parameter), one, parameter).any()


@lru_cache(maxsize=256)
def _blocks(function: Activation, parameter: float | None, width: int) -> bool:
    """Whether no gradient passes an activation."""
    x, one = np.full((1, 1), 0.3), np.ones((1, 1))
    if function.couples and width == 1:
        return not function.gradient(x, function.value(x, parameter), one, parameter).any()
    return function.blocks_gradient


# Where gradients get to -----------------------------------------------------------------------------------------------


class _Backward:
    """Follows gradients against the direction of the graph. ``blocking``: live nodes that let none pass."""

    def __init__(self, graph: Graph, zeros: Mapping[int, int], effort: _Effort) -> None:
        self.graph, self._zeros, self._effort = graph, zeros, effort
        self._position = {index: place for place, index in enumerate(graph.order)}
        self.blocking = {
            index
            for index in graph.order
            if (function := graph.nodes[index].function) is not None
            and _blocks(function, graph.nodes[index].parameter, min(graph.nodes[index].width, 2))
        }

    def layers(self, start: Mapping[int, int], steps: float) -> dict[int, int]:
        """The layers that a gradient gets to, with the number of links backward in time on the shortest way there.

        start: {node: components} whose gradient there is. Fewer than ``steps`` links are taken.
        """
        reached: dict[int, int] = {}
        found: dict[int, int] = {}
        links, later = 0, dict(start)
        while later and links < steps:
            fresh = [index for index, mask in later.items() if mask & ~reached.get(index, 0)]
            for index in fresh:
                reached[index] = reached.get(index, 0) | later[index]
            touched, later = self._within_step(fresh, reached)
            for index in touched:
                if self._learns(index, reached[index]):
                    found.setdefault(index, links)
            links += 1
        return found

    def _within_step(self, fresh: Sequence[int], reached: dict[int, int]) -> tuple[set[int], dict[int, int]]:
        """Hand on what is fresh, each node after all that read it; the nodes it got to, and what is for the step
        before."""
        waiting = [(-self._position[index], index) for index in fresh]
        heapq.heapify(waiting)
        queued, later = set(fresh), dict[int, int]()
        while waiting:
            _, index = heapq.heappop(waiting)
            self._effort.spend(self.graph.nodes[index].width)
            for read, mask, delayed in self._handed_on(self.graph.nodes[index], reached[index]):
                if delayed:
                    later[read] = later.get(read, 0) | mask
                elif mask & ~reached.get(read, 0):
                    reached[read] = reached.get(read, 0) | mask
                    if read not in queued:
                        queued.add(read)
                        heapq.heappush(waiting, (-self._position[read], read))
        return queued, later

    def _learns(self, index: int, mask: int) -> bool:
        return self.graph.nodes[index].kind == "layer" and mask != 0 and index not in self.blocking

    def _handed_on(self, node: Node, mask: int) -> Iterator[tuple[int, int, bool]]:
        """(node, components, whether of the step before) for all that a node reads."""
        if node.source is None or mask == 0 or node.index in self.blocking:
            return
        if node.merge is not None:
            yield from self._of_merge(node, node.merge, mask)
        elif node.function is None:
            yield node.source, mask, False
        elif node.kind == "layer" or node.function.couples:
            yield node.source, _full(self.graph.nodes[node.source].width), False
        else:
            flat = self._zeros[node.source] if _flat_at_zero(node.function, node.parameter) else 0
            yield node.source, mask & ~flat, False

    def _of_merge(self, node: Node, merge: Merge, mask: int) -> Iterator[tuple[int, int, bool]]:
        assert node.source is not None
        assert node.other is not None
        width, algebra = self.graph.nodes[node.source].width, _algebra(merge)
        if merge.concatenates:
            yield node.source, mask & _full(width), False
            yield node.other, mask >> width, node.delayed
            return
        shared = _full(min(width, self.graph.nodes[node.other].width))
        both = 0 if algebra.cancels and _reads_one_value(self.graph, node) else mask & shared
        into_x = both & ~self._zeros[node.other] if algebra.x_stops else both
        into_o = both & ~self._zeros[node.source] if algebra.o_stops else both
        yield node.source, into_x | mask & ~shared, False
        yield node.other, into_o, node.delayed
