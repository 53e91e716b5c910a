"""How a window's work is divided: among how many threads, and in chunks of rows or layer by layer.

The figures are rough on purpose: they only have to tell work that is well worth a thread from work that is not.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ..graph import Graph
from ..options import CompileOptions
from ..team import processors
from .columns import vector_cuts
from .layout import panel_of
from .source import KernelOptions

SPEED = 40e9  # floating-point operations a second that one processor does, about
ELEMENT = 1.5e-9  # seconds that an element of an activation takes, forward and backward, about
WORTH = 50e-6  # seconds of work in a window that a thread must have to pay for the meetings, by the same figures
FORWARD = 3  # times the work of the forward pass that a training window has, about
WAKING = 500e-6  # seconds of work that a thread must have to be woken for it
LEAST_LANES = 8  # of a thread in a loop: fewer rows take a product nearly as long, and threads meet at every loop
MOST_THREADS = 64  # of one model, however many processors there are
CHUNK_BYTES = 128 * 1024  # values of a chunk's rows: well inside a second-level cache
FEW_PARAMETERS = 16 * 1024  # so few that gradients of a thread's own cost little
LINE = 64  # bytes that one processor takes from another at once
EXCHANGE = 20e-9  # seconds a line of weights costs whose gradients one thread sums and whose values all read, about
NEAR = 1.05  # times the least time, where more threads are not worth it
HEAVY = 3  # weights for each value of a window from where on values, and not weights, should change hands


def work_of_window(graph: Graph, rows: int) -> float:
    """Seconds that one thread needs for a window of so many rows, about."""
    products = sum(graph.fan_in(i) * graph.nodes[i].width for i in graph.parameters)
    elements = sum(node.width for node in graph.nodes if node.live and node.kind != "split")
    return rows * (_seconds_of_products(products) + elements * ELEMENT)


def _seconds_of_products(weights: int) -> float:
    """Seconds that a row takes through so many weights, forward, backward and for their gradients."""
    return 6.0 * weights / SPEED


def threads_of_prediction(graph: Graph, options: CompileOptions, rows: int) -> int:
    """Threads worth taking for the values of so many rows: one, where a link back in time makes them wait."""
    if graph.has_time_links:
        return 1
    worth = int(work_of_window(graph, rows) / FORWARD / WAKING)
    return max(1, min(options.threads or processors(), processors(), MOST_THREADS, worth, rows))


def divide(graph: Graph, chosen: KernelOptions, options: CompileOptions) -> KernelOptions:
    """The options with threads and chunks decided: at most as many threads as were asked for, and as are of use.

    Where time needs a loop, threads divide its lanes; else the rows of a whole window, one by one or in chunks, or the
    columns of the layers.
    """
    rows = options.bptt_steps * options.batch_size
    worth = int(work_of_window(graph, rows) / WORTH)
    most = max(1, min(options.threads or processors(), processors(), MOST_THREADS, worth))
    chunk = _chunk(graph, chosen, rows)
    if not chunk and _is_heavy(graph, rows):
        threads = _threads_by_columns(graph, chosen, rows, most)
        return replace(chosen, threads=threads, columns=threads > 1)
    divided = max(1, options.batch_size // LEAST_LANES) if graph.has_time_links else rows
    return replace(chosen, threads=min(most, divided), chunk=chunk)


def _threads_by_columns(graph: Graph, chosen: KernelOptions, rows: int, most: int) -> int:
    """The fewest of at most ``most`` threads that take little more than the least time by columns."""
    widest = max(_vectors(graph, chosen, index) for index in graph.parameters)
    useful = max(rows, -(-widest // panel_of(widest, chosen.registers)))
    seconds = [_seconds_by_columns(graph, chosen, rows, threads) for threads in range(1, min(most, useful) + 1)]
    return 1 + next(n for n, time in enumerate(seconds) if time <= NEAR * min(seconds))


def _seconds_by_columns(graph: Graph, chosen: KernelOptions, rows: int, threads: int) -> float:
    """Seconds of a window by columns, about: a layer takes as long as the thread with most of its columns.

    Layers too narrow to be cut are divided by rows, of which there may be fewer than threads, and their weights change
    hands. Deep chains of them on a few rows do not pay: one thread has all their weights in its own cache.
    """
    seconds, rest = 0.0, work_of_window(graph, rows)
    for index in graph.parameters:
        vectors, weights = _vectors(graph, chosen, index), graph.fan_in(index) * graph.nodes[index].width
        alone = rows * (_seconds_of_products(weights) + graph.nodes[index].width * ELEMENT)
        cuts = vector_cuts(vectors, chosen.registers, threads)
        if cuts is None:
            seconds += alone / min(threads, rows) + weights * chosen.size / LINE * EXCHANGE
        else:
            seconds += alone * max(end - begin for begin, end in pairwise(cuts)) / vectors
        rest -= alone
    return seconds + rest / threads


def _vectors(graph: Graph, chosen: KernelOptions, index: int) -> int:
    """Vectors that a layer is wide."""
    return -(-graph.nodes[index].width // chosen.lanes)


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
