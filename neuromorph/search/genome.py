"""The genome: a network as nodes and links, without the order and the splits of a text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import NeuromorphError
from ..functions import ELEMENTWISE, MERGES
from ..graph.nodes import topological
from ..host.cached import cached_property
from ..host.frozen import frozen
from ..language import syntax


class SearchError(NeuromorphError, ValueError):
    """A text can't be changed as asked: no operation applies within the limits, or a part of it can't be read."""


@frozen
class Gene:
    """One node of a genome.

    function: the name of the activation, elementwise layer, cell or merge; "" for the input. numbers: after the
    function's name. width: the width that the text says; None for nodes as wide as what comes in. source: the node
    whose value comes in, in this step; None for the input, and where the value does not depend on what comes in
    (``take``, ``learned``). other, steps: of a merge, the second node that it reads, and how many steps back. loss:
    that of the output. local: initialisers of the node's own.
    """

    name: str
    function: str
    source: str | None = None
    width: int | None = None
    numbers: tuple[float, ...] = ()
    other: str | None = None
    steps: int = 0
    loss: syntax.Function | None = None
    local: syntax.Local | None = None

    @property
    def is_input(self) -> bool:
        return self.function == ""

    @property
    def is_merge(self) -> bool:
        return self.other is not None

    @property
    def is_output(self) -> bool:
        return self.loss is not None

    @property
    def is_fixed(self) -> bool:
        """Whether the node is the input or the output, whose widths the data decide."""
        return self.is_input or self.is_output

    @property
    def reads_source(self) -> bool:
        """Whether the node's function has a use for a value that comes in."""
        if self.is_merge:
            return MERGES[self.function].reads_x
        return not self.is_input and (self.function not in ELEMENTWISE or ELEMENTWISE[self.function].reads_x)

    @property
    def same_step(self) -> tuple[str, ...]:
        """The nodes that this one reads within the step."""
        other = self.other if self.steps == 0 else None
        return tuple(name for name in (self.source, other) if name is not None)

    @property
    def reads(self) -> tuple[str, ...]:
        """The nodes that this one reads, in this step or an earlier one."""
        return tuple(name for name in (self.source, self.other) if name is not None)

    def renamed(self, names: Mapping[str, str]) -> Gene:
        """The same node with other names for itself and for what it reads, where ``names`` has any."""
        found = {
            role: names.get(old, old)
            for role in ("name", "source", "other")
            if (old := getattr(self, role)) is not None
        }
        return self.but(**found)

    def but(self, **changed: Any) -> Gene:
        """The same node with some fields changed."""
        return replace(self, **changed)


@frozen
class Genome:
    """A network: its nodes in the order of the text, its header, and the cells that its text defines.

    A genome is not changed; operations make new ones by ``replaced``, ``added``, ``redirected`` and ``settled``.
    """

    genes: tuple[Gene, ...]
    weight: syntax.Initializer
    bias: syntax.Initializer
    definitions: tuple[syntax.Definition, ...] = ()

    def __getitem__(self, name: str) -> Gene:
        return self.by_name[name]

    def __iter__(self) -> Iterator[Gene]:
        return iter(self.genes)

    def __len__(self) -> int:
        return len(self.genes)

    @cached_property
    def by_name(self) -> dict[str, Gene]:
        """The nodes by their names."""
        return {gene.name: gene for gene in self.genes}

    @cached_property
    def input(self) -> Gene:
        return next(gene for gene in self.genes if gene.is_input)

    @cached_property
    def output(self) -> Gene:
        return next(gene for gene in self.genes if gene.is_output)

    @cached_property
    def order(self) -> tuple[str, ...] | None:
        """The names in an order for computing a step; None if values would depend on themselves within a step."""
        names = [gene.name for gene in self.genes]
        number = {name: index for index, name in enumerate(names)}
        found = topological({number[gene.name]: [number[one] for one in gene.same_step] for gene in self.genes})
        return tuple(names[index] for index in found) if len(found) == len(names) else None

    @cached_property
    def readers(self) -> dict[str, tuple[Gene, ...]]:
        """By name the nodes that read it, in this step or an earlier one."""
        found: dict[str, list[Gene]] = {gene.name: [] for gene in self.genes}
        for gene in self.genes:
            for name in dict.fromkeys(gene.reads):
                found[name].append(gene)
        return {name: tuple(genes) for name, genes in found.items()}

    def needed_by(self, name: str, *, within_step: bool = True) -> frozenset[str]:
        """The nodes that a node depends on within the step, or through time too; the node itself is one of them."""
        found, waiting = {name}, [name]
        while waiting:
            gene = self.by_name[waiting.pop()]
            for one in gene.same_step if within_step else gene.reads:
                if one not in found:
                    found.add(one)
                    waiting.append(one)
        return frozenset(found)

    @cached_property
    def widths(self) -> dict[str, int] | None:
        """The width of each node; None if widths depend on themselves, or a merge needs other ones."""
        number = {gene.name: index for index, gene in enumerate(self.genes)}
        needs = {number[gene.name]: [number[one] for one in _width_needs(gene)] for gene in self.genes}
        found: dict[str, int] = {}
        for index in topological(needs):
            gene = self.genes[index]
            found[gene.name] = gene.width or sum(found[name] for name in _width_needs(gene)) or 1
        if len(found) < len(self.genes) or not all(_fits(gene, found) for gene in self.genes if gene.is_merge):
            return None
        return found

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.by_name)

    @property
    def cells(self) -> frozenset[str]:
        """The names of the cells that the text defines."""
        return frozenset(definition.name for definition in self.definitions)

    # Other genomes ----------------------------------------------------------------------------------------------------

    def with_genes(self, genes: Iterable[Gene]) -> Genome:
        """A genome with the same header and definitions, and other nodes."""
        return replace(self, genes=tuple(genes))

    def replaced(self, *changed: Gene) -> Genome:
        """The same genome where nodes are replaced by others of the same names."""
        by_name = {gene.name: gene for gene in changed}
        return self.with_genes(by_name.get(gene.name, gene) for gene in self.genes)

    def added(self, before: str, *genes: Gene) -> Genome:
        """The same genome with more nodes, which stand before the node ``before``."""
        place = next(index for index, gene in enumerate(self.genes) if gene.name == before)
        return self.with_genes((*self.genes[:place], *genes, *self.genes[place:]))

    def redirected(self, old: str, new: str, *, unless: Callable[[Gene], bool] = lambda gene: False) -> Genome:
        """The same genome where all that reads ``old`` reads ``new``, except the nodes for which ``unless`` is true."""
        names = {old: new}
        return self.with_genes(gene if unless(gene) else gene.renamed(names).but(name=gene.name) for gene in self.genes)

    def settled(self) -> Genome | None:
        """The genome without dead nodes and without cells that nobody uses; None if it describes no network.

        It does not if a node reads a missing one, if a value depends on itself within the step, if widths do not fit,
        or if the output does not depend on the input.
        """
        names = self.by_name
        if len(names) < len(self.genes) or any(one not in names for gene in self.genes for one in gene.reads):
            return None
        live = self.needed_by(self.output.name, within_step=False)
        genes = tuple(gene for gene in self.genes if gene.name in live)
        found = replace(self, genes=genes, definitions=_used(self.definitions, {gene.function for gene in genes}))
        is_whole = found.order is not None and found.widths is not None and self.input.name in live
        if not is_whole or any(gene.source == found.output.name for gene in found.genes):
            return None
        return found


def _width_needs(gene: Gene) -> tuple[str, ...]:
    """The nodes whose widths add up to the width of a node that says none."""
    if gene.width is not None:
        return ()
    if gene.other is None:
        return () if gene.source is None else (gene.source,)
    source = () if gene.source is None else (gene.source,)
    return {"x": source, "other": (gene.other,), "both": (*source, gene.other), "one": ()}[MERGES[gene.function].result]


def _fits(gene: Gene, widths: Mapping[str, int]) -> bool:
    """Whether a merge may read a node of that width. ``dot`` and ``scale`` need certain ones."""
    if gene.other is None or gene.source is None:
        return True
    wanted = {"any": widths[gene.other], "same": widths[gene.source], "one": 1}[MERGES[gene.function].other_width]
    return widths[gene.other] == wanted


def _used(definitions: Sequence[syntax.Definition], functions: Collection[str]) -> tuple[syntax.Definition, ...]:
    """The definitions that nodes or used definitions use, in the order of the text."""
    used, waiting = set[str](), set(functions)
    by_name = {definition.name: definition for definition in definitions}
    while waiting:
        found = by_name.get(waiting.pop())
        if found is not None and found.name not in used:
            used.add(found.name)
            inner = (item.activation for item in syntax.each(found.nodes) if isinstance(item, syntax.Layer))
            waiting |= {function.name for function in inner if function is not None}
    return tuple(definition for definition in definitions if definition.name in used)
