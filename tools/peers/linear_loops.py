"""Finds loops that are linear in their state, h = a h' + b with a and b known before the loop, and writes them so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .writer import Writer


@dataclass(frozen=True)
class Form:
    """A value as ``a * h' + b``: two texts, a number where it is one, empty where a part is 0; and what they read."""

    a: str
    b: str
    reads: frozenset[str] = frozenset()


STATE = Form("1.0", "")


def take_out(writer: Writer, order: Sequence[int]) -> dict[int, list[int]]:
    """The nodes of each linear loop by the one that is its state. They belong to a whole window from now on."""
    found = {}
    for section in {number for number in writer.sections.values() if number % 2}:
        nodes = [index for index in order if writer.sections[index] == section]
        state = _state(writer.graph, nodes)
        if state is not None and _form(writer.graph, nodes, state, lambda named, steps: f"v{named}") is not None:
            found[state] = nodes
    for nodes in found.values():
        writer.sections.update({index: writer.sections[index] + 1 for index in nodes})
    return found


def write(writer: Writer, nodes: Sequence[int], state: int) -> None:
    """A linear loop as a call."""
    section = writer.sections[state]
    form = _form(writer.graph, nodes, state, lambda named, steps: writer.at(named, steps, section))
    assert form is not None
    for name, text in (("a", form.a), ("b", form.b)):
        writer.add(f"{name}{state}", text, form.reads, section)
    writer.values[state] = f"v{state}"
    initial = f"s{state}" if writer.state[state] == 1 else f"s{state}[-1]"
    reads = [f"a{state}", f"b{state}"]
    writer.add(f"v{state}", f"linear_scan(a{state}, b{state}, {initial})", reads, section)


def _state(graph: Any, nodes: Sequence[int]) -> int | None:
    """The one node of a loop that is read one step back in it, where that is all that the next step and nodes outside
    read."""
    inside, back, read = set(nodes), set(), set()
    for node in graph.nodes:
        if not node.live or node.kind == "split":
            continue
        reads = [(node.source, 0), (node.source, node.reach), (node.other, node.steps)]
        for named, steps in reads:
            if named is not None and graph.resolve(named) in inside:
                own = node.index in inside
                back.update({(graph.resolve(named), steps)} if own and steps else ())
                read.update(() if own else {graph.resolve(named)})
    state = next((index for index, steps in back if steps == 1), None)
    return state if len(back) == 1 and read <= {state} else None


def _form(graph: Any, nodes: Sequence[int], state: int, read: Any) -> Form | None:
    """The form of the state, or None where it is not linear, or its factor one number. ``read`` names what comes from
    outside."""
    forms: dict[int, Form | None] = {}

    def form(named: int, steps: int) -> Form | None:
        index = graph.resolve(named)
        if index not in nodes:
            variable = read(named, steps)
            return Form("", variable, frozenset({variable}))
        return STATE if steps else forms[index]

    for index in nodes:
        node = graph.nodes[index]
        own = None if node.source is None else form(node.source, 0)
        forms[index] = _one(node, own, None if node.other is None else form(node.other, node.steps))
    found = forms[state]
    return None if found is None or not found.b or _is_number(found.a) else found


def _one(node: Any, x: Form | None, o: Form | None) -> Form | None:
    """The form of a node's value from the forms of what it reads."""
    if node.merge is None:
        factors: Mapping[str, float] = {"linear": 1.0, "times": node.parameter or 0.0}
        known = x is not None and node.kind == "activation" and node.function.name in factors
        return _scaled(x, repr(factors[node.function.name])) if known and x is not None else None
    if node.source is None:
        return o
    if x is None or o is None or node.merge.name not in ("additive", "subtractive", "multiplicative"):
        return None
    if node.merge.name == "multiplicative":
        return _scaled(x, o.b, o.reads) if not o.a else _scaled(o, x.b, x.reads) if not x.a else None
    other = o if node.merge.name == "additive" else _scaled(o, "-1.0")
    return Form(_sum(x.a, other.a), _sum(x.b, other.b), x.reads | other.reads)


def _scaled(form: Form, factor: str, reads: frozenset[str] = frozenset()) -> Form:
    return Form(_product(form.a, factor), _product(form.b, factor), form.reads | reads)


def _is_number(text: str) -> bool:
    return not text or text.lstrip("-").replace(".", "", 1).isdigit()


def _product(one: str, other: str) -> str:
    if not one or not other:
        return ""
    for factor, rest in ((one, other), (other, one)):
        if factor == "1.0":
            return rest
        if factor == "-1.0":
            return rest[2:-1] if rest.startswith("(-") else f"(-{rest})"
    return f"({one} * {other})"


def _sum(one: str, other: str) -> str:
    if not one or not other:
        return one or other
    return f"({one} - {other[2:-1]})" if other.startswith("(-") else f"({one} + {other})"
