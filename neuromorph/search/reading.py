"""Reads a text into a genome."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..graph import Graph, build_graph
from ..graph.placement import Place, flatten
from ..graph.plain import plain_text
from ..language import parse, syntax
from ..language.given import text_of
from .genome import Gene, Genome, SearchError


def read(mdl: str | os.PathLike[str]) -> Genome:
    """The genome of a text, without its dead nodes.

    A use of a cell stays one node, as long as no merge outside of it reads a node inside. Otherwise the nodes of all
    cells take the places of the uses. mdl: as in ``compile``, whose errors are raised. Raises SearchError if the output
    does not depend on the input.
    """
    text, filename = text_of(mdl)
    model = parse(text, filename)
    graph = build_graph(model)
    found = _genome(model, graph)
    if found is None:
        plain = parse(plain_text(text, filename), filename)
        found = _genome(plain, build_graph(plain))
    if found is None:
        raise SearchError("the output of this text does not depend on its input, so there is nothing to search")
    return found


def _genome(model: syntax.Model, graph: Graph) -> Genome | None:
    """The genome of a text and its graph; None if its cells can't stay whole."""
    placed = flatten(model.nodes)
    sources = _sources(placed)
    steps = {node.name: node.steps for node in graph.nodes}
    of_split = {
        place.item.name: source
        for place, source in zip(placed, sources, strict=True)
        if isinstance(place.item, syntax.Split)
    }
    genes = [
        _gene(place.item, source, of_split, steps)
        for place, source in zip(placed, sources, strict=True)
        if not isinstance(place.item, syntax.Split)
    ]
    found = Genome(tuple(genes), model.weight_initializer, model.bias_initializer, model.definitions)
    return found.settled()


def _sources(placed: Sequence[Place]) -> list[str | None]:
    """By place in the text the node whose value comes in. Splits pass on what comes in."""
    found: list[str | None] = []
    for place in placed:
        if place.source is None:
            found.append(None)
            continue
        before = placed[place.source].item
        found.append(found[place.source] if isinstance(before, syntax.Split) else before.name)
    return found


def _gene(
    item: syntax.Layer | syntax.Merge, source: str | None, of_split: dict[str, str | None], steps: dict[str, int]
) -> Gene:
    if isinstance(item, syntax.Merge):
        other = of_split.get(item.other, item.other)
        gene = Gene(item.name, item.operation, source, other=other, steps=steps[item.name])
    else:
        said, width = item.activation, item.width
        assert width is None or isinstance(width, int), "only definitions have parameters in the place of widths"
        function, numbers = ("", ()) if said is None else (said.name, said.numbers)
        gene = Gene(item.name, function, source, width, numbers, loss=item.loss, local=item.local)
    return gene if gene.reads_source else gene.but(source=None)
