"""``crossover``: a part of one text in the place of a part of another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .genome import Gene, Genome, SearchError
from .limits import Choices, Limits
from .printing import write
from .reading import read
from .setting import Setting, drawn, fresh, is_layer
from .variation import accepted, generator_of, setting_of

_TRIES = 100


def crossover(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    rng: np.random.Generator | int,
    *,
    limits: Limits | None = None,
    choices: Choices | None = None,
) -> str:
    """The text ``a`` in which a node reads a node of ``b``, with all that this one depends on.

    Nodes of ``b`` with the name and the width of a node of ``a`` are taken to be that node: texts that come from one
    ancestor share the nodes that both still have. The other ones are copied, and get new names where ``a`` has these.
    The copied node takes the place of one that a node of ``a`` reads, or is joined with it by a merge.

    a, b: as in ``compile``; their inputs must be equally wide. The header and the output are those of ``a``. rng: a
    generator, or a seed. Raises ValueError for unequal widths; MDLError for a wrong text; SearchError if none of 100
    drawn parts gives a network within the limits.
    """
    rng, setting = generator_of(rng), setting_of(limits, choices)
    return write(crossed(read(a), read(b), rng, setting))


def crossed(a: Genome, b: Genome, rng: np.random.Generator, setting: Setting) -> Genome:
    """The genome of `crossover`."""
    if a.input.width != b.input.width:
        raise ValueError(
            f"the inputs of the two texts have the widths {a.input.width} and {b.input.width}: only texts for the same "
            "data can be crossed"
        )
    a = _with_cells_of(a, b)
    b_nodes = [gene for gene in b.genes if not gene.is_fixed]
    for _ in range(_TRIES if b_nodes else 0):
        changed = _transplanted(a, b, drawn(rng, b_nodes), rng, setting)
        found = None if changed is None else accepted(changed, a, setting.limits, "crossover")
        if found is not None:
            return found
    raise SearchError(f"none of {_TRIES} drawn parts of the second text gives a network within the limits")


def _with_cells_of(a: Genome, b: Genome) -> Genome:
    """The first genome with the cells that the second one defines too. Raises SearchError if one name has two cells."""
    own = {definition.name: definition for definition in a.definitions}
    for definition in b.definitions:
        if own.setdefault(definition.name, definition) != definition:
            raise SearchError(f"the two texts define different cells with the name '{definition.name}': rename one")
    return replace(a, definitions=tuple(own.values()))


def _transplanted(a: Genome, b: Genome, root: Gene, rng: np.random.Generator, setting: Setting) -> Genome | None:
    """The first genome where a drawn node reads the node ``root`` of the second one."""
    assert a.widths is not None
    names = _matches(a, b)
    if root.name in names:
        return None
    copied = _part(b, root.name, names)
    taken = a.with_genes((*a.genes, *(gene for gene in b.genes if gene.name not in a.by_name)))
    renamed = dict(names)
    for gene in copied:
        renamed[gene.name] = gene.name if gene.name not in a.by_name else fresh(taken, rng, gene.name[:20])
    genes = [gene.renamed(renamed) for gene in copied]
    reader = drawn(rng, [gene for gene in a.genes if gene.source is not None])
    joined = _joined(a, b, reader, root, renamed[root.name], rng, setting)
    if joined is None:
        return None
    return a.added(reader.name, *genes, *joined[1:]).replaced(joined[0])


def _matches(a: Genome, b: Genome) -> dict[str, str]:
    """The nodes of ``b`` that are taken to be nodes of ``a``, by their names: the input, and nodes of equal widths."""
    assert a.widths is not None
    assert b.widths is not None
    shared = {
        name: name
        for name, gene in b.by_name.items()
        if name in a.by_name and a.widths[name] == b.widths[name] and not (gene.is_fixed or a[name].is_fixed)
    }
    return {**shared, b.input.name: a.input.name}


def _part(b: Genome, root: str, shared: Mapping[str, str]) -> list[Gene]:
    """The nodes that ``root`` depends on, in this step or an earlier one, up to those that both genomes have."""
    found, waiting = {root}, [root]
    while waiting:
        for one in b[waiting.pop()].reads:
            if one not in shared and one not in found:
                found.add(one)
                waiting.append(one)
    return [gene.but(loss=None) if gene.is_output else gene for gene in b.genes if gene.name in found]


def _joined(
    a: Genome, b: Genome, reader: Gene, root: Gene, name: str, rng: np.random.Generator, setting: Setting
) -> tuple[Gene, ...] | None:
    """The node of ``a`` that reads the copied root, and the new merge between, if there is one."""
    assert a.widths is not None
    assert b.widths is not None
    assert reader.source is not None
    is_equal = a.widths[reader.source] == b.widths[root.name]
    if rng.random() < 0.5:
        return (reader.but(source=name),) if is_equal or is_layer(reader) else None
    merges = [one for one in setting.choices.merges if is_equal and one != "concatenate"]
    merges += ["concatenate"] * (is_layer(reader) and "concatenate" in setting.choices.merges)
    if not merges:
        return None
    function = drawn(rng, merges)
    merge = Gene(fresh(a, rng, "both" if function == "concatenate" else "m"), function, reader.source, other=name)
    return reader.but(source=merge.name), merge
