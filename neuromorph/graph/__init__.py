"""From a syntax tree to a checked graph."""

from .build import build_graph
from .nodes import MAX_WIDTH, Drawn, Graph, Kind, Node
from .verify import verify

__all__ = ["MAX_WIDTH", "Drawn", "Graph", "Kind", "Node", "build_graph", "verify"]
