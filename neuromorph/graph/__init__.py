"""Turns a syntax tree into a checked graph."""

from .build import build_graph
from .freezing import freeze, frozen_names
from .nodes import MAX_WIDTH, Drawn, Graph, Kind, Node
from .verify import verify

__all__ = ["MAX_WIDTH", "Drawn", "Graph", "Kind", "Node", "build_graph", "freeze", "frozen_names", "verify"]
