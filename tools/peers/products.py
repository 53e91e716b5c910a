"""Writes the products of layers: which of them are one product, and what of it is computed before a loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .program import Columns, Rows

if TYPE_CHECKING:
    from .writer import Writer


@dataclass(frozen=True)
class Part:
    """A part of what a layer reads: a node so many steps ago, and the rows of the layer's weight that it meets."""

    index: int
    steps: int
    rows: Rows


def groups(writer: Writer, order: Sequence[int]) -> dict[int, list[Any]]:
    """The layers that one product computes, by the first of them."""
    found: dict[Any, list[Any]] = {}
    for index in order:
        if writer.graph.nodes[index].kind == "layer":
            found.setdefault(_key(writer, writer.graph.nodes[index]), []).append(writer.graph.nodes[index])
    return {members[0].index: members for members in found.values()}


def _key(writer: Writer, node: Any) -> Any:
    """The same for layers that are one product."""
    if not writer.fused:
        return node.index
    section, learns = writer.sections[node.index], node.index in writer.graph.learners
    if section % 2:
        _, looped = _divided(writer, node)
        return section, learns, tuple((part.index, part.steps) for part in looped)
    return section, learns, writer.graph.resolve(node.source), node.taps, node.dilation


def write(writer: Writer, members: Sequence[Any]) -> None:
    """One product of all members, then their activations, each kind in one call."""
    section = writer.sections[members[0].index]
    if section % 2 == 0:
        _whole(writer, sorted(members, key=_function_order), section)
    elif not writer.fused:
        _undivided(writer, members[0], section)
    else:
        _looped(writer, members, section)


def _function_order(node: Any) -> tuple[str, float]:
    return node.function.name, node.parameter or 0.0


def _names(nodes: Sequence[Any], role: str) -> list[str]:
    return [f"{node.name}.{role}" for node in nodes]


# Over a whole window -------------------------------------------------------------------------------------------------


def _whole(writer: Writer, nodes: Sequence[Any], section: int) -> None:
    first, target = nodes[0], f"z{nodes[0].index}"
    weights, biases = (writer.parameter(_names(nodes, role)) for role in ("weight", "bias"))
    if first.taps == 1:
        reads = [writer.value(first.source), weights, biases]
        writer.add(target, f"linear({', '.join(reads)})", reads, section)
    else:
        index = writer.graph.resolve(first.source)
        whole, spare = writer.history(index), writer.state[index] - first.reach
        read = f"{whole}[{spare}:]" if spare else whole
        text = f"convolution({read}, {weights}, {biases}, {first.taps}, {first.dilation})"
        writer.add(target, text, [whole, weights, biases], section)
    _activate(writer, target, nodes, section)


# In a loop -----------------------------------------------------------------------------------------------------------


def _undivided(writer: Writer, node: Any, section: int) -> None:
    """A layer alone, with all that it reads."""
    parts = [writer.at(part.index, part.steps, section) for part in _taps(writer, node)]
    reads = [_together(parts), *(writer.parameter(_names([node], role)) for role in ("weight", "bias"))]
    writer.add(f"z{node.index}", f"linear({', '.join(reads)})", [*parts, *reads], section)
    _activate(writer, f"z{node.index}", [node], section)


def _looped(writer: Writer, members: Sequence[Any], section: int) -> None:
    """Layers that read the same in the loop: what else they read, they read before it."""
    nodes = sorted(members, key=lambda node: (_free(writer, node), _function_order(node)))
    kinds = [list(alike) for _, alike in groupby(nodes, key=lambda node: _free(writer, node))]
    parts = [writer.at(part.index, part.steps, section) for part in _divided(writer, nodes[0])[1]]
    weights = writer.columns(_columns(node, _divided(writer, node)[1]) for node in nodes)
    product, operand = f"z{nodes[0].index}", _together(parts)
    if len(kinds) == 1:
        early = _early(writer, nodes, section)
        call = "add_product" if early.startswith("u") else "linear"
        arguments = [early, operand, weights] if call == "add_product" else [operand, weights, early]
        writer.add(product, f"{call}({', '.join(arguments)})", [*parts, early, weights], section)
        _activate(writer, product, nodes, section)
        return
    product = f"g{nodes[0].index}"
    writer.add(product, f"product({operand}, {weights})", [*parts, weights], section)
    at, whole = 0, sum(node.width for node in nodes)
    for alike in kinds:
        width, target = sum(node.width for node in alike), f"z{alike[0].index}"
        own, early = writer.slice(f"{product}_{at}", product, at, width, whole, section), _early(writer, alike, section)
        writer.add(target, f"{own} + {early}", [own, early], section)
        _activate(writer, target, alike, section)
        at += width


def _early(writer: Writer, nodes: Sequence[Any], section: int) -> str:
    """The variable of what is known of a product before the loop: the biases, or a product that has them."""
    biases, free = writer.parameter(_names(nodes, "bias")), _divided(writer, nodes[0])[0]
    if not free:
        return biases
    parts = [writer.at(part.index, part.steps, section) for part in free]
    reads = [_together(parts), writer.columns(_columns(node, _divided(writer, node)[0]) for node in nodes), biases]
    target = f"u{nodes[0].index}"
    writer.add(target, f"linear({', '.join(reads)})", [*parts, *reads], section - 1)
    return target


def _columns(node: Any, parts: Sequence[Part]) -> Columns:
    return Columns(f"{node.name}.weight", tuple(part.rows for part in parts))


def _free(writer: Writer, node: Any) -> tuple[tuple[int, int], ...]:
    return tuple((part.index, part.steps) for part in _divided(writer, node)[0])


def _divided(writer: Writer, node: Any) -> tuple[list[Part], list[Part]]:
    """What a layer reads, in parts: those that are known before its loop, and the others."""
    section = writer.sections[node.index]
    parts = _taps(writer, node) if node.taps > 1 else _flat(writer, node.source, 0, 0, section)
    free = [part for part in parts if writer.sections[part.index] < section]
    return free, [part for part in parts if part not in free]


def _taps(writer: Writer, node: Any) -> list[Part]:
    """What a layer reads of each step, the oldest first."""
    source = writer.graph.resolve(node.source)
    width = writer.graph.nodes[source].width
    steps = range(node.reach, -1, -node.dilation)
    return [Part(source, back, (tap * width, (tap + 1) * width)) for tap, back in enumerate(steps)]


def _flat(writer: Writer, named: int, steps: int, row: int, section: int) -> list[Part]:
    """A node's value as parts, those that a concatenation in the loop puts together apart."""
    index = writer.graph.resolve(named)
    node = writer.graph.nodes[index]
    if node.merge is not None and steps == 0 and writer.sections[index] == section:
        if node.merge.concatenates:
            own = _flat(writer, node.source, 0, row, section)
            row += writer.graph.nodes[node.source].width
            return own + _flat(writer, node.other, node.steps, row, section)
        if node.source is None:
            return _flat(writer, node.other, node.steps, row, section)
    return [Part(index, steps, (row, row + node.width))]


def _together(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"concatenate({', '.join(parts)})"


# Activations ---------------------------------------------------------------------------------------------------------


def _activate(writer: Writer, product: str, nodes: Sequence[Any], section: int) -> None:
    whole, at = sum(node.width for node in nodes), 0
    for run in _runs(nodes):
        width = sum(node.width for node in run)
        _run(writer, product, run, at, whole, section)
        at += width


def _run(writer: Writer, product: str, run: list[Any], at: int, whole: int, section: int) -> None:
    """The values of neighbours with one activation."""
    width, first = sum(node.width for node in run), run[0].index
    before = writer.slice(f"x{first}", product, at, width, whole, section)
    after = writer.activate(f"y{first}", run[0], before, section)
    inside = 0
    for node in run:
        if node.index == writer.graph.output:
            writer.answer(node, before, after, inside, width, section)
        writer.values[node.index] = writer.slice(f"v{node.index}", after, inside, node.width, width, section)
        inside += node.width


def _runs(nodes: Sequence[Any]) -> list[list[Any]]:
    """Neighbours with one elementwise activation, together; a softmax stands alone."""
    runs: list[list[Any]] = []
    for node in nodes:
        last = runs[-1][-1] if runs else None
        alike = last is not None and _function_order(last) == _function_order(node)
        if alike and not node.function.couples:
            runs[-1].append(node)
        else:
            runs.append([node])
    return runs
