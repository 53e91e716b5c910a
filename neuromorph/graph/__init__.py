"""Turns a syntax tree into a checked graph."""

from .build import build_graph
from .freezing import freeze, frozen_names
from .nodes import Drawn, Graph, Kind, Node
from .structure import structure_of
from .verify import verify

__all__ = [
    "Drawn", "Graph", "Kind", "Node", "build_graph", "freeze", "frozen_names", "structure_of", "verify",
]  # fmt: skip
