"""Texts become genomes and texts again: another text of the same network."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.paths import TESTS
from neuromorph import search
from neuromorph.errors import MDLError
from neuromorph.graph import Graph, build_graph
from neuromorph.language import parse

MODELS = sorted((TESTS.parent / "examples").rglob("*.mdl"))


def network(graph: Graph) -> dict[str, tuple[Any, ...]]:
    """What each live node is and reads, by names: all that a network is, whatever the order of its text."""
    found = {}
    for node in graph.nodes:
        if node.live and node.kind != "split":
            reads = (index for index in (node.source, node.other) if index is not None)
            read = [graph.nodes[graph.resolve(index)].name for index in reads]
            functions = [one and one.name for one in (node.function, node.merge, node.elementwise)]
            drawn = [(role, record.name, numbers) for role, (record, numbers) in node.initializers]
            numbers = (node.width, node.steps, node.parameter, node.taps, node.dilation)
            found[node.name] = (node.kind, read, functions, numbers, drawn)
    return found


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_the_written_text_is_the_same_network(path: Any) -> None:
    before = build_graph(parse(path.read_text(encoding="utf-8")))
    text = search.write(search.read(path))
    after = build_graph(parse(text))
    assert network(after) == network(before)
    assert (after.loss.name, after.loss_parameter) == (before.loss.name, before.loss_parameter)
    assert search.write(search.read(text)) == text


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ("[s, (a, 2, <tanh>) {m, b, additive} | (b, 2, <relu>)] {n, m, additive}", "{m, b, additive, 0}"),
        ("[s, (a, 2, <tanh>) | (b, 2, <relu>)] {m, a, take} {n, b, additive}", "{m, a, take}"),
        ("{m, h, concatenate} (h, 2, <tanh>)", "{m, h, concatenate}"),
        ("{m, h, concatenate, 1} (h, 2, <tanh>)", "{m, h, concatenate}"),
        ("{m, h, concatenate, 2} (h, 2, <tanh>)", "{m, h, concatenate, 2}"),
        ("(h, 2, <tanh>) {m, h, additive, 1}", "{m, h, additive, 1}"),
        ("(h, 2, <tanh>) [t, [tap,]] (g, 2, <tanh>) {m, tap, additive}", "{m, h, additive}"),
        ("(h, 2, <tanh>) {m, m, additive}", "{m, m, additive}"),
        ("(h, 2, <lstm, 2>) {m, h, additive, 1}", "(h, 2, <lstm, 2>)"),
        ("(h, 2, <lstm>) {m, h.memory, additive}", "{h.memory, h.written, additive}"),
        ("(c, 2, <conv, 3, 2>, /he,zero/) (d, <norm, 0.1>) (e, <dropout>)", "(c, 2, <conv, 3, 2>, /he,zero/)"),
        ("(a, 2, <tanh>) {m, l, additive} [s, (l, 2, <learned, 0.5>)]", "(l, 2, <learned, 0.5>)"),
    ],
)
def test_links_cells_and_numbers_are_kept(body: str, written: str) -> None:
    text = f"/xavier,zero/ (input, 2) {body} (output, 2, <linear>, <mse>)"
    found = search.write(search.read(text))
    assert written in found
    assert network(build_graph(parse(found))) == network(build_graph(parse(text)))


def test_dead_nodes_and_unused_definitions_are_left_out() -> None:
    dead = "[s, (dead, 3, <tanh>) (more, 3, <c>)]"
    text = f"/xavier,zero/ <c>[(a, width, <tanh>)] (input, 2) {dead} (output, 1, <tanh>, <mse>)"
    assert search.write(search.read(text)) == "/xavier,zero/\n(input, 2)\n(output, 1, <tanh>, <mse>)\n"


def test_a_wrong_text_raises_the_errors_of_compile() -> None:
    with pytest.raises(MDLError, match="did you mean 'tanh'"):
        search.read("/xavier,zero/ (input, 2) (output, 1, <tahn>, <mse>)")
    with pytest.raises(TypeError, match="mdl must be a text"):
        search.read(3)  # type: ignore[arg-type]


def test_a_network_without_its_input_is_refused() -> None:
    text = "/xavier,zero/ (input, 2) (l, 2, <learned, 1>) (output, 1, <tanh>, <mse>)"
    with pytest.raises(search.SearchError, match="the output of this text does not depend on its input"):
        search.read(text)
