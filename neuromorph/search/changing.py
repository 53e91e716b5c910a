"""Operations that change widths and functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..functions import ACTIVATIONS, ELEMENTWISE, MERGES
from ..language import library
from .genome import Gene, Genome
from .setting import Setting, drawn, free_nodes, is_layer

_DIGITS = 3  # significant digits of a changed number


def widen(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Make a layer wider, by one or to the double, together with the layers that must stay as wide as it is."""
    return _resized(genome, rng, lambda width: min(drawn(rng, (width + 1, 2 * width)), setting.limits.width))


def narrow(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Make a layer narrower, by one or to the half, together with the layers that must stay as wide as it is."""
    return _resized(genome, rng, lambda width: max(1, drawn(rng, (width - 1, (width + 1) // 2))))


def _resized(genome: Genome, rng: np.random.Generator, change: Callable[[int], int]) -> Genome | None:
    layers = [gene for gene in free_nodes(genome) if is_layer(gene)]
    if not layers:
        return None
    gene = drawn(rng, layers)
    assert gene.width is not None
    width, names = change(gene.width), _as_wide_as(genome, gene.name)
    if names is None:
        return None
    return genome.replaced(*(genome[name].but(width=width) for name in names if is_layer(genome[name])))


def _as_wide_as(genome: Genome, name: str) -> set[str] | None:
    """The nodes that must stay as wide as a layer; None if one of them has a width that is given."""
    widths = genome.widths
    assert widths is not None
    beside: dict[str, list[str]] = {gene.name: [] for gene in genome.genes}
    given = {gene.name for gene in genome.genes if gene.is_fixed}
    for gene in genome.genes:
        if gene.is_merge and MERGES[gene.function].result in ("both", "one"):
            given.add(gene.name)
        if gene.function == "scale" and gene.other is not None:
            given.add(gene.other)
        for one, other in _equal_widths(gene, genome):
            if widths[one] == widths[other]:
                beside[one].append(other)
                beside[other].append(one)
    found, waiting = {name}, [name]
    while waiting:
        for one in beside[waiting.pop()]:
            if one not in found:
                found.add(one)
                waiting.append(one)
    return None if found & given else found


def _equal_widths(gene: Gene, genome: Genome) -> Iterator[tuple[str, str]]:
    """The pairs of nodes that a node needs to be equally wide."""
    if not gene.is_merge:
        if gene.width is None and gene.source is not None:
            yield gene.name, gene.source
        return
    record = MERGES[gene.function]
    assert gene.other is not None
    if record.result == "other":
        yield gene.name, gene.other
    if record.result == "x" and gene.source is not None:
        yield gene.name, gene.source
    if record.result != "both" and record.other_width != "one" and gene.source is not None:
        yield gene.source, gene.other


def activation(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Give a layer or an activation node another activation, or an elementwise layer another function."""
    nodes = [gene for gene in free_nodes(genome) if gene.function in ACTIVATIONS or _is_elementwise(gene)]
    if not nodes:
        return None
    gene = drawn(rng, nodes)
    known = setting.choices.elementwise if _is_elementwise(gene) else setting.choices.activations
    return _with_function(genome, rng, gene, known)


def _is_elementwise(gene: Gene) -> bool:
    return gene.function in ELEMENTWISE and gene.reads_source


def merge(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Let a merge combine its two vectors in another way, which gives the same width."""
    known = [name for name in setting.choices.merges if name != "concatenate"]
    merges = [
        gene
        for gene in genome.genes
        if gene.is_merge and MERGES[gene.function].result == "x" and MERGES[gene.function].other_width == "any"
    ]
    return _with_function(genome, rng, drawn(rng, merges), known) if merges else None


def cell(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Put a cell in the place of a layer or of another cell, or a layer in the place of a cell."""
    cells = setting.cells(genome)
    layers = [
        gene
        for gene in free_nodes(genome)
        if is_layer(gene) and (gene.function in ACTIVATIONS or _is_cell(gene, genome))
    ]
    if not layers:
        return None
    gene = drawn(rng, layers)
    return _with_function(genome, rng, gene, (*cells, *setting.choices.activations[: _is_cell(gene, genome)]))


def _is_cell(gene: Gene, genome: Genome) -> bool:
    return gene.function in genome.cells or any(gene.function == one.name for one in library())


def _with_function(genome: Genome, rng: np.random.Generator, gene: Gene, known: Sequence[str]) -> Genome | None:
    """The genome where a node has another function, with default numbers."""
    others = [name for name in known if name != gene.function]
    return genome.replaced(gene.but(function=drawn(rng, others), numbers=())) if others else None


def number(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Change a number of a function or of a cell by up to a factor of about 4, or its sign at times."""
    nodes = [gene for gene in free_nodes(genome) if _numbers(gene, genome)]
    if not nodes:
        return None
    gene = drawn(rng, nodes)
    numbers = list(_numbers(gene, genome))
    place = int(rng.integers(len(numbers)))
    old = numbers[place] or 0.1
    new = old * float(np.exp(rng.normal(0.0, 0.7))) * (-1.0 if rng.random() < 0.1 else 1.0)
    numbers[place] = float(f"{new:.{_DIGITS}g}")
    return genome.replaced(gene.but(numbers=tuple(numbers)))


def _numbers(gene: Gene, genome: Genome) -> tuple[float, ...]:
    """The numbers of a node's function with defaults, if all are known."""
    if gene.function in ACTIVATIONS or _is_elementwise(gene):
        record = ACTIVATIONS.get(gene.function) or ELEMENTWISE[gene.function]
        defaults: tuple[float | None, ...] = () if record.parameter is None else (record.parameter.default,)
    else:
        found = {one.name: one for one in (*library(), *genome.definitions)}.get(gene.function)
        defaults = () if found is None or gene.is_merge else tuple(default for _, default in found.parameters)
    numbers = (*gene.numbers, *defaults[len(gene.numbers) :])[: len(defaults)]
    return tuple(number for number in numbers if number is not None) if None not in numbers else ()
