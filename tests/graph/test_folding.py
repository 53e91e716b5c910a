"""Cells folded into one node each: what stands for what, and what is linked to it."""

from __future__ import annotations

from helpers import witnesses
from neuromorph.graph import freeze, frozen_names
from neuromorph.graph.folding import fold
from neuromorph.graph.nodes import Graph
from neuromorph.graph.words import reads_back

HEAD, END = "/xavier,zero/ ", " (out, 3, <tanh>, <mse>)"
INNER = "<inner>[(a, width, <tanh>) {t, t, additive, 2}] <both>[(x, width, <inner>) (y, width, <inner>)] "


def folded(text: str) -> Graph:
    return fold(witnesses.graph_of(text)).graph


def links(graph: Graph) -> dict[str, tuple[str | None, str | None, int]]:
    """For each node what comes in, what it reads beside it, and how many steps back."""

    def name(index: int | None) -> str | None:
        return None if index is None else graph.nodes[index].name

    return {node.name: (name(node.source), name(node.other), node.steps) for node in graph.nodes}


def test_the_outermost_use_is_the_node() -> None:
    graph = folded(f"{HEAD}{INNER}(in, 3) (h, 5, <both>){END}")
    assert links(graph) == {"in": (None, None, 0), "h": ("in", "h", 2), "out": ("h", None, 0)}
    assert [(node.kind, node.width) for node in graph.nodes] == [("input", 3), ("cell", 5), ("layer", 3)]


def test_what_stands_outside_and_only_looks_like_a_part_stays_outside() -> None:
    graph = folded(f"{HEAD}{INNER}(in, 3) (h, 5, <inner>) (h.b, 5, <tanh>) {{m, h.a, additive, 3}}{END}")
    assert links(graph)["h.b"] == ("h", None, 0)
    assert links(graph)["m"] == ("h.b", "h", 3)


def test_a_cell_without_loop_does_not_read_itself_and_one_that_reads_nothing_has_nothing_coming_in() -> None:
    graph = folded(f"{HEAD}<v>[(a, 4, <learned>) (b, width, <tanh>)] (in, 3) (h, 5, <v>) {{m, in, concatenate}}{END}")
    assert links(graph)["h"] == (None, None, 0)


def test_convolutions_and_longer_delays_inside_are_kept() -> None:
    """What a convolution at the head of a body reads is the cell's source; what others read is the cell itself."""
    cell = "<w>[(a, 4, <conv, 3, 2>) (b, 5, <conv, 2>) {c, b, additive, 3}]"
    graph = folded(f"{HEAD}{cell} (in, 3) (h, 5, <w>) (k, 5, <conv, 4>){END}")
    assert links(graph)["h"] == ("in", "h", 3)
    assert {node.name: node.reach for node in graph.nodes} == {"in": 0, "h": 4, "k": 3, "out": 0}
    assert [read for node in graph.nodes for read in reads_back(graph, node)] == [
        "in up to 4 steps before", "h up to 3 steps before", "h up to 3 steps before",
    ]  # fmt: skip


def test_parameters_are_those_of_all_nodes() -> None:
    graph = witnesses.graph_of(f"{HEAD}(in, 3) (h, 5, <lstm>) (k, <gain>){END}")
    found = fold(graph)
    counts = {node.name: found.parameters_of(node.index) for node in found.graph.nodes}
    assert counts == {"in": 0, "h": 4 * (8 * 5 + 5), "k": 5, "out": 18}


def test_a_cell_stays_open_where_nodes_outside_lead_back_into_it() -> None:
    cells = "{first, h.old, concatenate, 0} (h, 5, <gru>) (k, 4, <leaky>) {late, k.part, additive}"
    graph = folded(f"{HEAD}(in, 3) {cells}{END}")
    assert "h.reset" in links(graph)
    assert links(graph)["k"] == ("h", "k", 1)


def test_a_cell_is_frozen_where_nothing_in_it_learns_and_dead_where_all_of_it_is() -> None:
    text = f"{HEAD}(in, 3) (h, 5, <rnn>) [s, (k, 4, <rnn>)]{END}"
    graph = witnesses.graph_of(text)
    graph = freeze(graph, frozen_names(graph, "h"))
    cells = {node.name: node for node in fold(graph).graph.nodes}
    assert fold(graph).graph.frozen == {cells["h"].index}
    assert (cells["h"].live, cells["k"].live) == (True, False)
