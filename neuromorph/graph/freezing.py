"""Finds the nodes whose parameters a user wants to freeze."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from ..errors import brief, nearest
from .nodes import Graph

_NAMED = 20  # nodes that one error names


def frozen_names(graph: Graph, frozen: Any) -> tuple[str, ...]:
    """The names of the nodes with parameters that ``frozen`` means, in text order.

    frozen: a name, a pattern such as ``"h.*"``, or several of them. Raises TypeError for anything but text, and
    ValueError for a name or pattern that matches no node with parameters.
    """
    patterns = _patterns(frozen)
    owners = list(dict.fromkeys(graph.nodes[array.node].name for array in graph.arrays))
    found: set[str] = set()
    for pattern in patterns:
        matching = [name for name in owners if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(f"frozen: {_why_not(graph, owners, pattern)}")
        found.update(matching)
    return tuple(name for name in owners if name in found)


def freeze(graph: Graph, names: Iterable[str]) -> Graph:
    """The graph with the parameters of the named nodes frozen."""
    chosen = set(names)
    indices = frozenset(node.index for node in graph.nodes if node.name in chosen)
    return replace(graph, frozen=indices) if indices else graph


def _patterns(frozen: Any) -> list[str]:
    given = [frozen] if isinstance(frozen, str) else frozen
    try:
        patterns = list(given)
    except Exception:  # TypeError, or whatever the user's own class raises
        raise TypeError(f"frozen must be names of nodes, not {brief(frozen)}") from None
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"frozen must be names of nodes, not {brief(pattern)}")
    return patterns


def _why_not(graph: Graph, owners: list[str], pattern: str) -> str:
    if any(name.startswith(f"{pattern}.") for name in owners):
        return f"'{pattern}' has no parameters itself; those of the cell are '{pattern}.*'"
    whole = pattern.removesuffix(".*")
    if whole != pattern and whole in owners:
        return f"'{whole}' has no nodes with parameters inside, but parameters itself: did you mean '{whole}'?"
    if any(node.name == whole for node in graph.nodes):
        return f"the node '{whole}' has no parameters{'' if whole == pattern else ', nor has a node inside it'}"
    reason = f"no node with parameters is named {brief(pattern)}"
    inside = {f"{name[:end]}.*" for name in owners for end, character in enumerate(name) if character == "."}
    near = nearest(pattern, [*owners, *inside])
    return f"{reason}; did you mean '{near}'?" if near is not None else f"{reason}; {_listed(owners)}"


def _listed(owners: list[str]) -> str:
    """The names that there are."""
    if not owners:
        return "the model has no parameters"
    more = f" and {len(owners) - _NAMED:,} more" if len(owners) > _NAMED else ""
    return f"those with parameters are {', '.join(map(repr, owners[:_NAMED]))}{more}"
