"""Operations that add nodes."""

from __future__ import annotations

import numpy as np

from .genome import Gene, Genome
from .setting import Setting, drawn, free_nodes, fresh, is_layer
from .starting import starts_at_zero

_NODE_KINDS = ("layer", "layer", "layer", "activation", "elementwise", "cell")


def add(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Put a new layer, activation node, elementwise layer or cell between a node and one that reads it."""
    assert genome.widths is not None
    reader = drawn(rng, [gene for gene in genome.genes if gene.reads])
    role = drawn(rng, [role for role in ("source", "other") if getattr(reader, role) is not None])
    before: str = getattr(reader, role)
    is_free = is_layer(reader) and role == "source"
    width = setting.drawn_width(rng) if is_free else genome.widths[before]
    gene = _new_node(genome, rng, setting, before, width)
    if gene is None:
        return None
    return genome.added(reader.name, gene).replaced(reader.but(**{role: gene.name}))


def _new_node(genome: Genome, rng: np.random.Generator, setting: Setting, source: str, width: int) -> Gene | None:
    """A node of a drawn kind."""
    kind = drawn(rng, _NODE_KINDS)
    choices = setting.choices
    functions = {
        "layer": choices.activations, "activation": choices.activations, "elementwise": choices.elementwise,
        "cell": setting.cells(genome),
    }[kind]  # fmt: skip
    if kind == "activation":
        functions = tuple(function for function in functions if function != "linear")
    if not functions:
        return None
    function = drawn(rng, functions)
    has_width = kind in ("layer", "cell")
    return Gene(fresh(genome, rng, "h" if has_width else "f"), function, source, width if has_width else None)


def branch(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Add a residual branch: what a node gives, plus a new layer of it."""
    assert genome.widths is not None
    gene = drawn(rng, [gene for gene in genome.genes if not gene.is_output])
    functions = [function for function in setting.choices.activations if starts_at_zero(function)]
    if not functions or "additive" not in setting.choices.merges:
        return None
    function = drawn(rng, functions)
    layer = Gene(fresh(genome, rng, "h"), function, gene.name, genome.widths[gene.name])
    total = Gene(fresh(genome, rng, "m"), "additive", gene.name, other=layer.name)
    return _after(genome, gene.name, total, layer)


def gate(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Multiply what a node gives by a new sigmoid layer of any node."""
    assert genome.widths is not None
    if "multiplicative" not in setting.choices.merges:
        return None
    gene = drawn(rng, [gene for gene in genome.genes if not gene.is_output])
    seen = drawn(rng, [one for one in genome.genes if not one.is_output])
    single = rng.random() < 0.25 and genome.widths[gene.name] > 1
    layer = Gene(fresh(genome, rng, "g"), "sigmoid", seen.name, 1 if single else genome.widths[gene.name])
    merge = "scale" if single else "multiplicative"
    product = Gene(fresh(genome, rng, "m"), merge, gene.name, other=layer.name)
    return _after(genome, gene.name, product, layer)


def split(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Divide a layer in two, whose activations may differ, and join both."""
    layers = [
        gene for gene in free_nodes(genome) if (gene.width or 0) > 1 and gene.function in setting.choices.activations
    ]
    if not layers or "concatenate" not in setting.choices.merges:
        return None
    gene = drawn(rng, layers)
    assert gene.width is not None
    first = drawn(rng, range(1, gene.width))
    function = drawn(rng, setting.choices.activations)
    second = gene.but(name=fresh(genome, rng, "h"), function=function, numbers=(), width=gene.width - first)
    joined = Gene(fresh(genome, rng, "both"), "concatenate", gene.name, other=second.name)
    narrowed = genome.replaced(gene.but(width=first))
    changed = narrowed.redirected(gene.name, joined.name)
    place = _place_after(changed, gene.name)
    return changed.with_genes((*changed.genes[:place], second, joined, *changed.genes[place:]))


def _after(genome: Genome, name: str, merge: Gene, layer: Gene) -> Genome:
    """The genome with a new merge that stands for a node from now on, and a new layer that the merge reads.

    What the layer depends on within the step goes on to read the node itself in this step.
    """
    needed = genome.needed_by(layer.source) if layer.source is not None else frozenset()
    changed = genome.redirected(name, merge.name, unless=lambda gene: gene.name in needed and name in gene.same_step)
    place = max(_place_after(changed, one) for one in (name, layer.source or name))
    return changed.with_genes((*changed.genes[:place], layer, merge, *changed.genes[place:]))


def _place_after(genome: Genome, name: str) -> int:
    return 1 + next(index for index, gene in enumerate(genome.genes) if gene.name == name)
