"""Prints a genome as a text: chains of nodes, with a split wherever several nodes have one source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from ..errors import Location
from ..language import syntax, to_text
from .genome import Gene, Genome

_NOWHERE = Location(1, 1)


def write(genome: Genome) -> str:
    """The text of a settled genome. Reading it gives the same genome, and equal genomes have equal texts."""
    return to_text(to_model(genome))


def to_model(genome: Genome) -> syntax.Model:
    """The syntax tree of a settled genome.

    Nodes that have one source become the branches of a split; the branch that leads to the output comes last and goes
    on outside of the split. Nodes without a source stand after the input.
    """
    tree = _Tree(genome)
    placed = [gene.name for gene in tree.flat()]
    steps = _said_steps(genome, placed)
    names = (name for number in count(1) if (name := f"split_{number}") not in genome.by_name)
    nodes = tuple(tree.nodes(genome.input, steps, names))
    return syntax.Model(genome.weight, genome.bias, nodes, "", None, genome.definitions)


def ordered(genome: Genome) -> Genome:
    """A settled genome with its nodes in the order of its text, as reading the text gives it."""
    return genome.with_genes(_Tree(genome).flat())


class _Tree:
    """The nodes of a genome, each below its source."""

    def __init__(self, genome: Genome) -> None:
        self._genome = genome
        trunk = self._trunk()
        self._below: dict[str, list[Gene]] = {gene.name: [] for gene in genome.genes}
        for gene in genome.genes:
            if not gene.is_input:
                self._below[gene.source or genome.input.name].append(gene)
        for below in self._below.values():
            below.sort(key=lambda gene: gene.name in trunk)

    def _trunk(self) -> set[str]:
        """The nodes from the input to the output, each the source of the next one."""
        gene, found = self._genome.output, {self._genome.output.name}
        while gene.source is not None:
            gene = self._genome[gene.source]
            found.add(gene.name)
        return found

    def flat(self) -> Iterator[Gene]:
        """The nodes in the order of the text."""
        waiting = [self._genome.input]
        while waiting:
            gene = waiting.pop()
            yield gene
            waiting.extend(reversed(self._below[gene.name]))

    def nodes(self, first: Gene, steps: dict[str, int | None], names: Iterator[str]) -> Iterator[syntax.Node]:
        """The syntax nodes of a branch that begins with a gene. names: for splits."""
        gene = first
        while True:
            yield _item(gene, steps.get(gene.name))
            below = self._below[gene.name]
            if not below:
                return
            *branches, gene = below
            if branches:
                name = next(names)
                inside = tuple(tuple(self.nodes(branch, steps, names)) for branch in branches)
                yield syntax.Split(name, inside, _NOWHERE)


def _item(gene: Gene, steps: int | None) -> syntax.Layer | syntax.Merge:
    if gene.other is not None:
        return syntax.Merge(gene.name, gene.other, gene.function, _NOWHERE, _NOWHERE, _NOWHERE, steps)
    nowhere = (_NOWHERE,) * len(gene.numbers)
    said = None if gene.is_input else syntax.Function(gene.function, gene.numbers, _NOWHERE, nowhere)
    return syntax.Layer(gene.name, gene.width, said, gene.loss, _NOWHERE, None, gene.local)


def _said_steps(genome: Genome, placed: Sequence[str]) -> dict[str, int | None]:
    """By merge the number of steps that the text must say; None where the language finds it by itself.

    It reads this step of a node that stands before the merge, and the step before of the merge itself, or of a node
    that stands after it and depends on it. For the latter, only nodes that are no cells are taken to depend on what
    comes in.
    """
    place = {name: index for index, name in enumerate(placed)}
    found: dict[str, int | None] = {}
    for gene in genome.genes:
        if gene.other is None:
            continue
        stands_before = place[gene.other] < place[gene.name]
        if gene.steps == 0:
            found[gene.name] = None if stands_before else 0
        elif gene.steps == 1 and not stands_before and gene.name in _certainly_needed(genome, gene.other):
            found[gene.name] = None
        else:
            found[gene.name] = gene.steps
    return found


def _certainly_needed(genome: Genome, name: str) -> frozenset[str]:
    """The nodes that a node depends on within the step, whatever the cells of the text's own compute."""
    if not genome.definitions:
        return genome.needed_by(name)
    found, waiting = {name}, [name]
    while waiting:
        gene = genome[waiting.pop()]
        reads = () if gene.function in genome.cells else gene.same_step
        waiting.extend(one for one in reads if one not in found)
        found.update(reads)
    return frozenset(found)
