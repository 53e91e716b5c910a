"""``random_text`` and ``mutate``: new texts within limits, by operations on genomes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from ..errors import MDLError, brief
from ..graph import Graph, build_graph
from ..graph.lint import advise
from ..language import MAX_WIDTH
from ..options import compile_options, whole_number
from .genome import Genome, SearchError
from .limits import Choices, Limits, size_of
from .operations import OPERATIONS, Operation
from .printing import ordered, to_model, write
from .reading import read
from .setting import Setting, drawn

_TRIES = 200  # operations that are tried before a call gives up
_TRIES_TO_GROW = 20  # before a random text stays as it is
_MOST_CHANGES = 12  # operations of a random text, if the caller does not say how many
_PRODUCTS = ("multiplicative", "dot", "scale")
_ACTIVATIONS = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}  # of outputs, by their losses


def random_text(
    rng: np.random.Generator | int,
    *,
    inputs: int,
    outputs: int,
    loss: str = "mse",
    activation: str | None = None,
    initializers: str = "xavier,zero",
    changes: int | None = None,
    limits: Limits | None = None,
    choices: Choices | None = None,
    operations: Mapping[str, Operation] | None = None,
) -> str:
    """A random text: an input, an output, and what operations that let a network grow put between them.

    rng: a generator, which goes on from call to call, or a seed. inputs, outputs: the widths of the input and of the
    output. loss, activation: of the output, as they stand between the brackets, such as "huber, 0.5"; without an
    activation it is that which goes with the loss: ``softmax`` with ``cross_entropy``, ``sigmoid`` with
    ``binary_cross_entropy``, else ``linear``. initializers: the header, "weights,biases". changes: the number of
    operations; None draws 1 to 12. limits, choices, operations: `Limits`, `Choices` and `OPERATIONS` by default.

    The text compiles, is within the limits, has no dead nodes and none of the mistakes that ``compile`` warns of, and
    is in canonical form. One seed gives one text. Raises MDLError for a wrong loss, activation or initialiser, and
    SearchError if not even the output alone is within the limits.
    """
    rng, setting, table = generator_of(rng), setting_of(limits, choices), checked_operations(operations)
    start = read(minimal_text(inputs, outputs, loss, activation, initializers))
    too_large = setting.limits.broken_by(size_of(build_graph(to_model(start))))
    if too_large:
        raise SearchError(f"the output alone is beyond the limits: {', '.join(too_large)}")
    count = drawn(rng, range(1, 1 + _MOST_CHANGES)) if changes is None else whole_number("changes", changes, least=0)
    return write(grown(start, rng, count, setting, table))


def minimal_text(inputs: int, outputs: int, loss: str, activation: str | None, initializers: str) -> str:
    """The text of a network that is an input and an output."""
    for name, width in (("inputs", inputs), ("outputs", outputs)):
        if whole_number(name, width) > MAX_WIDTH:
            raise ValueError(f"{name} must be at most {MAX_WIDTH:,}, not {width:,}")
    for name, text in (("loss", loss), ("activation", activation), ("initializers", initializers)):
        if not isinstance(text, str | None) or (text is None and name != "activation"):
            raise TypeError(f"{name} must be a text, not {brief(text)}")
    chosen = _ACTIVATIONS.get(loss.partition(",")[0].strip(), "linear") if activation is None else activation
    return f"/{initializers}/ (input, {inputs}) (output, {outputs}, <{chosen}>, <{loss}>)"


def grown(
    genome: Genome, rng: np.random.Generator, count: int, setting: Setting, operations: Mapping[str, Operation]
) -> Genome:
    """The genome after some operations that grow; fewer where no more fit within the limits."""
    growing = {name: one for name, one in operations.items() if one.grows}
    for _ in range(count):
        try:
            genome, _ = varied(genome, rng, setting, growing, tries=_TRIES_TO_GROW)
        except SearchError:
            break
    return genome


def mutate(
    text: str | os.PathLike[str],
    rng: np.random.Generator | int,
    *,
    changes: int = 1,
    limits: Limits | None = None,
    choices: Choices | None = None,
    operations: Mapping[str, Operation] | None = None,
) -> str:
    """The text after a drawn operation, or ``changes`` of them: another network, and a legal one, within the limits.

    text: as in ``compile``; of either edition of the language. Cells that merges outside do not look into stay cells.
    rng: a generator, or a seed. limits, choices, operations: `Limits`, `Choices` and `OPERATIONS` by default; a table
    of your own is ``{**search.OPERATIONS, "mine": search.Operation(change, weight=2.0)}``. Operations are drawn by
    their weights until one applies. What the text has of unequal widths and of likely mistakes may stay; operations
    add none.

    Raises MDLError for a wrong text; SearchError if none of 200 drawn operations gives a network within the limits.
    """
    rng, setting, table = generator_of(rng), setting_of(limits, choices), checked_operations(operations)
    genome = read(text)
    for _ in range(whole_number("changes", changes)):
        genome, _ = varied(genome, rng, setting, table)
    return write(genome)


def varied(
    genome: Genome,
    rng: np.random.Generator,
    setting: Setting,
    operations: Mapping[str, Operation],
    *,
    tries: int = _TRIES,
) -> tuple[Genome, str]:
    """The genome after one drawn operation, and the operation's name. Raises SearchError if none applies."""
    names = [name for name, one in operations.items() if one.weight > 0.0]
    bounds = list(accumulate(operations[name].weight for name in names))
    for _ in range(tries if names else 0):
        place = int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))
        name = names[min(place, len(names) - 1)]
        changed = operations[name].change(genome, rng, setting)
        found = None if changed is None else accepted(changed, genome, setting.limits, name)
        if found is not None:
            return found, name
    too_large = setting.limits.broken_by(size_of(build_graph(to_model(genome))))
    why = f"; the text itself is beyond them: {', '.join(too_large)}" if too_large else ""
    raise SearchError(f"none of {tries} drawn operations ({', '.join(names)}) fits within the limits{why}")


def accepted(genome: Any, parent: Genome, limits: Limits, operation: str) -> Genome | None:
    """The genome without its dead nodes; None if it is no network, is too large, or has mistakes that its parent lacks.

    operation: the name for the error message if the operation returned something else.
    """
    if not isinstance(genome, Genome):
        raise TypeError(f"the operation {operation!r} returned {brief(genome)}: it must return a Genome or None")
    found = genome.settled()
    if found is None or found == parent or len(found) > limits.nodes or not _idle(found) <= _idle(parent):
        return None
    try:
        graph = build_graph(to_model(found))
    except MDLError:
        return None
    if not limits.allow(size_of(graph)) or not _means(graph, found):
        return None
    mistakes = _mistakes(graph)
    return None if mistakes and not mistakes <= _mistakes(build_graph(to_model(parent))) else ordered(found)


def _idle(genome: Genome) -> set[str]:
    """The merges that join a value with itself, which gives nothing new unless it is multiplied."""
    return {
        gene.name
        for gene in genome.genes
        if gene.other is not None and gene.other == gene.source and not gene.steps and gene.function not in _PRODUCTS
    }


def _means(graph: Graph, genome: Genome) -> bool:
    """Whether the text of a genome means the genome: all nodes are live, and links are as long as said."""
    if not all(node.live for node in graph.nodes):
        return False
    steps = {node.name: node.steps for node in graph.nodes}
    return all(steps[gene.name] == gene.steps for gene in genome.genes if gene.is_merge)


def _mistakes(graph: Graph) -> set[tuple[str, ...]]:
    """What ``compile`` would warn of, as the names of the nodes concerned."""
    options = compile_options(
        1, optimizer="sgd", bptt_steps=None, dtype="float32", threads=None, has_time_links=graph.has_time_links
    )
    return {one.names for one in (*graph.diagnostics, *advise(graph, options))}


def generator_of(rng: Any) -> np.random.Generator:
    """The random generator that a caller gives, or a new one from a seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise TypeError(f"rng must be a numpy.random.Generator or a seed, a whole number >= 0, not {brief(rng)}")
    return np.random.default_rng(int(rng))


def setting_of(limits: Limits | None, choices: Choices | None) -> Setting:
    """The limits and choices of a call."""
    for name, value, kind in (("limits", limits, Limits), ("choices", choices, Choices)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name} must be search.{kind.__name__}(…), not {brief(value)}")
    return Setting(limits or Limits(), choices or Choices())


def checked_operations(given: Mapping[str, Operation] | None) -> Mapping[str, Operation]:
    """The table of operations of a call."""
    if given is None:
        return OPERATIONS
    if not isinstance(given, Mapping):
        raise TypeError(f"operations must be a dict of search.Operation by name, not {brief(given)}")
    for name, one in given.items():
        if not isinstance(name, str) or not isinstance(one, Operation):
            raise TypeError(f"operations[{brief(name)}] must be a search.Operation, not {brief(one)}")
    if not any(one.weight > 0.0 for one in given.values()):
        raise ValueError("operations needs at least one operation with a weight above 0")
    return given
