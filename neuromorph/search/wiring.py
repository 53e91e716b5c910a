"""Operations that change links."""

from __future__ import annotations

import numpy as np

from ..functions import MERGES
from .genome import Gene, Genome
from .setting import Setting, drawn, free_nodes, fresh, is_layer, takes_any_width


def link(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Let a node read one more node, of this step or an earlier one, by a new merge before it."""
    reader = drawn(rng, [gene for gene in genome.genes if gene.source is not None])
    return _linked(genome, rng, setting, reader, drawn(rng, genome.genes))


def recur(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Let a layer read, beside what comes in, its own value of an earlier step, or that of a node after it."""
    layers = [gene for gene in free_nodes(genome) if is_layer(gene) and gene.source is not None]
    if not layers or not setting.limits.delay:
        return None
    reader = drawn(rng, layers)
    later = [gene for gene in genome.genes if reader.name in genome.needed_by(gene.name)]
    other = reader if rng.random() < 0.5 else drawn(rng, later)
    return _linked(genome, rng, setting, reader, other)


def _linked(genome: Genome, rng: np.random.Generator, setting: Setting, reader: Gene, other: Gene) -> Genome | None:
    """The genome with a new merge before ``reader``, which joins what came in with the value of ``other``."""
    assert genome.widths is not None
    assert reader.source is not None
    steps = _drawn_steps(genome, rng, setting, reader.name, other.name)
    merges = [name for name in setting.choices.merges if name != "concatenate"]
    if genome.widths[other.name] != genome.widths[reader.source]:
        merges = ["scale"] if genome.widths[other.name] == 1 else []
    if "concatenate" in setting.choices.merges and (is_layer(reader) or takes_any_width(genome, reader.name)):
        merges += ["concatenate"] * max(1, len(merges))
    if steps is None or not merges:
        return None
    function = drawn(rng, merges)
    name = fresh(genome, rng, "both" if function == "concatenate" else "m")
    merge = Gene(name, function, reader.source, other=other.name, steps=steps)
    return genome.added(reader.name, merge).replaced(reader.but(source=merge.name))


def _drawn_steps(genome: Genome, rng: np.random.Generator, setting: Setting, name: str, other: str) -> int | None:
    """How many steps back a node reads another one: 0 where that is possible, in half of the cases."""
    is_possible = name not in genome.needed_by(other)
    if not setting.limits.delay:
        return 0 if is_possible else None
    return 0 if is_possible and rng.random() < 0.5 else setting.drawn_delay(rng)


def remove(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Take a node out. What read it reads what the node read, or its merges with it are taken out too."""
    nodes = free_nodes(genome)
    if not nodes:
        return None
    gene = drawn(rng, nodes)
    sides = [gene.source] if gene.source is not None else []
    if gene.other is not None and gene.steps == 0 and gene.other != gene.name:
        sides.append(gene.other)
    if sides and (gene.is_merge or rng.random() < 0.5):
        return _passed_by(genome, gene.name, drawn(rng, sides))
    return _cut_out(genome, gene.name)


def _passed_by(genome: Genome, name: str, instead: str) -> Genome:
    """The genome where all that read a node reads another one instead."""
    kept = genome.with_genes(gene for gene in genome.genes if gene.name != name)
    return kept.redirected(name, instead)


def _cut_out(genome: Genome, name: str) -> Genome | None:
    """The genome without a node and without the merges that read it beside another one."""
    found = genome
    for reader in genome.readers[name]:
        if reader.name not in found.by_name or reader.name == name:
            continue
        now = found[reader.name]
        left = now.source if now.source != name else now.other if now.steps == 0 else None
        if now.other is None or left is None or left in (name, now.name):
            return None
        found = _passed_by(found, now.name, left)
    return found


def rewire(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Let a node read another node in the place of one that it reads."""
    widths = genome.widths
    assert widths is not None
    reader = drawn(rng, [gene for gene in genome.genes if gene.reads])
    role = drawn(rng, [role for role in ("source", "other") if getattr(reader, role) is not None])
    now: str = getattr(reader, role)
    is_free = (is_layer(reader) and role == "source") or (
        reader.is_merge and MERGES[reader.function].result in ("both", "other") and takes_any_width(genome, reader.name)
    )
    fitting = [
        gene
        for gene in genome.genes
        if gene.name != now
        and not (gene.is_output and role == "source")
        and (is_free or widths[gene.name] == widths[now])
    ]
    if not fitting:
        return None
    other = drawn(rng, fitting)
    if role == "source":
        return genome.replaced(reader.but(source=other.name))
    steps = _drawn_steps(genome, rng, setting, reader.name, other.name)
    return None if steps is None else genome.replaced(reader.but(other=other.name, steps=steps))


def delay(genome: Genome, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """Change how many steps back a merge reads, or let a node read the value of an earlier step."""
    most = setting.limits.delay
    if not most:
        return None
    merges = [gene for gene in genome.genes if gene.other is not None]
    if merges and rng.random() < 0.6:
        gene = drawn(rng, merges)
        near = [gene.steps - 1, gene.steps + 1, int(rng.integers(most + 1))]
        return genome.replaced(gene.but(steps=drawn(rng, [steps for steps in near if 0 <= steps <= most])))
    reader = drawn(rng, [gene for gene in genome.genes if gene.source is not None])
    name = fresh(genome, rng, "late")
    late = Gene(name, "take", other=reader.source, steps=setting.drawn_delay(rng))
    return genome.added(reader.name, late).replaced(reader.but(source=name))
