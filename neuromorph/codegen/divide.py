"""How a window's work is divided: among how many threads, and in chunks of rows or layer by layer.

The figures are rough on purpose: they only have to tell work that is well worth a thread from work that is not.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..options import CompileOptions
from ..team import processors
from .layout import panel_of
from .source import KernelOptions

SPEED = 40e9  # floating-point operations a second that one processor does, about
ELEMENT = 1.5e-9  # seconds that an element of an activation takes, forward and backward, about
WORTH = 50e-6  # seconds of work in a window that a thread must have to pay for the meetings, by the same figures
CHUNK_BYTES = 128 * 1024  # values of a chunk's rows: well inside a second-level cache
FEW_PARAMETERS = 16 * 1024  # so few that gradients of a thread's own cost little
LINE = 64  # bytes that one processor takes from another at once
EXCHANGE = 20e-9  # seconds a line of weights costs whose gradients one thread sums and whose values all read, about
HEAVY = 3  # weights for each value of a window from where on values, and not weights, should change hands


def work_of_window(graph: Graph, rows: int) -> float:
    """Seconds that one thread needs for a window of so many rows, about."""
    products = sum(graph.fan_in(i) * graph.nodes[i].width for i in graph.parameters)
    elements = sum(node.width for node in graph.nodes if node.live and node.kind != "split")
    return rows * (6.0 * products / SPEED + elements * ELEMENT)


def divide(graph: Graph, chosen: KernelOptions, options: CompileOptions) -> KernelOptions:
    """The options with threads and chunks decided."""
    rows = options.bptt_steps * options.batch_size
    most = min(options.threads or processors(), processors(), options.batch_size, 64)
    threads = max(1, min(most, int(work_of_window(graph, rows) / WORTH)))
    chunk = _chunk(graph, chosen, rows)
    columns = threads > 1 and not chunk and _is_heavy(graph, rows)
    if columns and not _pays(graph, chosen, rows, threads):
        threads, columns = 1, False
    return replace(chosen, threads=threads, chunk=chunk, columns=columns)


def _pays(graph: Graph, chosen: KernelOptions, rows: int, threads: int) -> bool:
    """Whether threads gain by columns, where the weights of layers that are too narrow to be divided change hands.

    Deep chains of narrow layers on a few rows do not: one thread has all their weights in its own cache.
    """
    narrow = 0
    for index in graph.parameters:
        vectors = -(-graph.nodes[index].width // chosen.lanes)
        if -(-vectors // panel_of(vectors, chosen.registers)) < threads:
            narrow += graph.fan_in(index) * graph.nodes[index].width
    work = work_of_window(graph, rows)
    return work / threads + narrow * chosen.size / LINE * EXCHANGE < work


def _is_heavy(graph: Graph, rows: int) -> bool:
    """Whether a model without loops has so many weights, for so few rows, that threads should divide its layers by
    columns: each then keeps its weights, and values change hands."""
    weights = sum(graph.fan_in(i) * graph.nodes[i].width for i in graph.parameters)
    values = sum(graph.nodes[i].width for i in graph.parameters) * rows
    return not graph.has_time_links and weights >= HEAVY * values


def _chunk(graph: Graph, chosen: KernelOptions, rows: int) -> int:
    """Rows of a chunk, 0 for none: chunks are for many rows of a model with few parameters and no loops."""
    parameters = sum((graph.fan_in(i) + 1) * graph.nodes[i].width for i in graph.parameters)
    elements = sum(3 * (node.width + chosen.lanes) for node in graph.nodes if node.live and node.kind != "split")
    chunk = max(64, CHUNK_BYTES // (elements * chosen.size) // 16 * 16)
    few = parameters <= FEW_PARAMETERS
    return chunk if few and rows >= 2 * chunk and not graph.has_time_links else 0
