"""Decides among how many threads a window is divided, and whether by chunks of rows or layer by layer.

The figures of the cost model are rough. They only have to separate work that is clearly worth a thread from work that
is not.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from ..graph import Graph
from ..graph.recurrence import domains_of
from ..host.resources import processors
from ..options import CompileOptions
from ..schedule import LINE, WINDOW
from .columns import inner_cuts, vector_cuts
from .layout import panel_of
from .source import KernelOptions

SPEED = 100e9  # float32 operations a second of one processor in matrix products, about
ELEMENT = 0.8e-9  # seconds that an element of a layer or activation takes, forward and backward, about
MERGED = 0.2e-9  # seconds that an element of a merge takes, about
STEP = 0.12e-6  # seconds that a step of time loops takes, however few lanes there are, about
WORTH = 45e-6  # seconds of work in a window that justify one more thread, by the same figures
FORWARD = 3  # times the work of the forward pass that a training window has, about
WAKING = 220e-6  # seconds of work that justify waking one thread
SAVED = 4 * WAKING  # seconds that a second thread must save in a call to be woken for it
MORE = 150e-6  # seconds more that each further thread must save, since threads are woken one after the other
LEAST_LANES = 2  # lanes of a thread in a loop over time: one lane takes nearly as long as two
MORE_LANES = 8  # lanes of a member where one thread runs all members one after the other in calls of one window
AGAIN = 0.06e-6  # extra seconds for a step in each time loop of each further member that the thread then runs, about
COPIED = 5e-9  # extra seconds for a cache line of that member's gradients
FOUND_OUT = 4e-6  # extra seconds until the thread knows that it runs all members
MEETINGS = 8e-6  # seconds of a window that threads with lanes of their own spend at barriers, about
MEETING = 0.5e-6  # extra seconds for each of these threads
MOST_THREADS = 64  # of one model, however many processors there are
CHUNK_BYTES = 128 * 1024  # values of a chunk's rows: well inside a second-level cache
FEW_PARAMETERS = 16 * 1024  # so few that gradients of a thread's own cost little
EXCHANGE = 20e-9  # seconds for a cache line of weights whose gradients one thread sums and whose values all read, about
NEAR = 1.05  # of the least time: fewer threads are taken where they are this near to it
BEARABLE = 0.05  # of its time that one thread may lose when it runs all members
SHORT_MEETING = 0.15e-6  # seconds of a meeting in a window that is hardly worth two threads, about
MOVED = 45e-9  # seconds for a cache line that one thread writes and another reads there, about
SHORT_SHARE = 8e-6  # seconds of work that justify a thread there, about
GAIN = 0.8  # of one thread's time: in such short windows, several threads must take no more
HEAVY = 3  # weights for each value of a window, from which on values and not weights should move between threads


def work_of_window(graph: Graph, rows: int, size: int) -> float:
    """Seconds that one thread needs for a window of so many rows of numbers of so many bytes, about."""
    cost = {"layer": ELEMENT, "activation": ELEMENT, "merge": MERGED}
    elements = sum(node.width * cost.get(node.kind, 0.0) for node in graph.nodes if node.live)
    return rows * (_seconds_of_products(_weights(graph), size) + elements * size / 4)


def seconds_of_step(graph: Graph, options: CompileOptions) -> float:
    """Seconds that one thread needs to train a step of all lanes, about."""
    work = work_of_window(graph, options.batch_size, _size(options))
    return work + STEP * graph.has_time_links


def _weights(graph: Graph) -> int:
    return sum(graph.fan_in(i) * graph.nodes[i].width for i in graph.parameters)


def _size(options: CompileOptions) -> int:
    """Bytes of a number."""
    return 4 if options.dtype == "float32" else 8


def _lines(graph: Graph, chosen: KernelOptions) -> float:
    """Lines of memory that the weights, or their gradients, take."""
    return _weights(graph) * chosen.size / LINE


def _seconds_of_products(weights: int, size: int) -> float:
    """Seconds that a row takes through so many weights, forward, backward and for their gradients."""
    return 6.0 * weights / SPEED * size / 4


def worth_waking(graph: Graph, options: CompileOptions, threads: int) -> tuple[int, int]:
    """The least samples of a call for which sleeping threads are woken: (to measure, to make gradients or learn)."""
    saved = _saved(threads)
    each = seconds_of_step(graph, options) * (1.0 - 1.0 / threads)
    return math.ceil(saved * FORWARD / each), math.ceil(saved / each)


def _saved(threads: int) -> float:
    """Seconds that all threads but one must save a call to be woken for it."""
    return SAVED + MORE * (threads - 2)


def threads_of_prediction(graph: Graph, options: CompileOptions, rows: int) -> int:
    """The threads that pay for a prediction of so many rows: one for a model with links in time."""
    if graph.has_time_links:
        return 1
    worth = int(work_of_window(graph, rows, _size(options)) / FORWARD / WAKING)
    return max(1, min(_threads_there(options), worth, rows))


def divide(graph: Graph, chosen: KernelOptions, options: CompileOptions) -> KernelOptions:
    """The options with threads and chunks decided: at most as many threads as the user allows and as are useful.

    With links in time, threads divide the lanes; else the rows of a whole window, one by one or in chunks, or the
    columns of the layers.
    """
    rows = options.bptt_steps * options.batch_size
    worth = int(work_of_window(graph, rows, chosen.size) / WORTH)
    most = max(1, min(_threads_there(options), worth))
    if graph.has_time_links:
        return replace(chosen, threads=_threads_apart(graph, chosen, options.bptt_steps, most))
    chunk = _chunk(graph, chosen, rows)
    if worth < 2 and not chunk:
        threads = _threads_of_short_window(graph, chosen, rows, options)
        return replace(chosen, threads=threads, columns=threads > 1)
    if not chunk and _is_heavy(graph, rows):
        threads = _threads_by_columns(graph, chosen, rows, most)
        return replace(chosen, threads=threads, columns=threads > 1)
    useful = range(1, min(most, rows) + 1)
    if chunk:
        useful = range(1, 1 + sum(_bears_shares(graph, chosen, rows, threads) for threads in useful))
    return replace(chosen, threads=useful[-1], chunk=chunk)


def _threads_there(options: CompileOptions) -> int:
    """The most threads that a model may have."""
    return min(options.threads or processors(), processors(), MOST_THREADS)


def is_short(graph: Graph, options: CompileOptions) -> bool:
    """Whether a window has hardly enough work for two threads: how far apart their caches are then decides whether
    they gain anything."""
    rows = options.bptt_steps * options.batch_size
    return not graph.has_time_links and work_of_window(graph, rows, _size(options)) < 2 * WORTH


def _threads_of_short_window(graph: Graph, chosen: KernelOptions, rows: int, options: CompileOptions) -> int:
    """The threads of such a window, by columns; several only where they gain much as long as they share a cache."""
    most = max(1, min(_threads_there(options), int(work_of_window(graph, rows, chosen.size) / SHORT_SHARE)))
    seconds = [_seconds_of_short_window(graph, chosen, rows, threads) for threads in range(1, most + 1)]
    threads = _fewest(seconds)
    return threads if seconds[threads - 1] <= GAIN * seconds[0] else 1


def _seconds_of_short_window(graph: Graph, chosen: KernelOptions, rows: int, threads: int) -> float:
    """Seconds of a window by columns, with all that changes hands: of a vector that threads have by columns, and that
    all read, every thread's part; of one that is made of partial sums, these and their sum."""
    whole = work_of_window(graph, rows, chosen.size)
    if threads == 1:
        return whole
    seconds, rest, lines, moved = 0.0, whole, chosen.size * chosen.lanes / LINE, 0.0
    for index in graph.parameters:
        node = graph.nodes[index]
        wide, deep = _vectors(graph, chosen, index), -(-graph.fan_in(index) // chosen.lanes)
        learns = node.source != graph.input
        weights = graph.fan_in(index) * node.width
        alone = rows * (_seconds_of_products(weights, chosen.size) + node.width * ELEMENT * chosen.size / 4)
        by_columns = vector_cuts(wide, chosen.registers, threads)
        by_rows = inner_cuts(wide, deep, chosen.registers, threads)
        cuts, vectors = (by_columns, wide) if by_columns is not None else (by_rows, deep)
        if cuts is None:
            seconds += alone / min(threads, rows)
            moved += weights * chosen.size / LINE
        else:
            seconds += alone * max(end - begin for begin, end in pairwise(cuts)) / vectors
            moved += rows * lines * (2 * wide if by_columns is None else learns * (wide + deep))
        rest -= alone
    meetings = 3 + 2 * len(graph.parameters)
    return seconds + rest / threads + moved * MOVED * (threads - 1) / threads + meetings * SHORT_MEETING * threads / 2


def _threads_apart(graph: Graph, chosen: KernelOptions, steps: int, most: int) -> int:
    """The threads that lanes are divided among: each takes its own through a window, and then all their gradients are
    summed."""
    alone, rows = _seconds_apart(graph, chosen, steps, 1), steps * chosen.batch

    def seconds(threads: int) -> float:
        """Those of a window; more threads are woken for a call of one, or one does the shares of all as well."""
        is_woken = alone * (1.0 - 1.0 / threads) >= _saved(threads)
        good = is_woken or _bears_shares(graph, chosen, rows, threads)
        return _seconds_apart(graph, chosen, steps, threads) if good else math.inf

    return _fewest([*map(seconds, range(1, min(most, max(1, chosen.batch // LEAST_LANES)) + 1))])


def _bears_shares(graph: Graph, chosen: KernelOptions, rows: int, threads: int) -> bool:
    """Whether one thread loses little when it does the shares of so many, one after the other, each with gradients of
    its own."""
    if threads == 1:
        return True
    loops = len(set(domains_of(graph).values()) - {WINDOW})
    if loops and chosen.batch < threads * MORE_LANES:
        return False
    steps = rows // chosen.batch
    more = FOUND_OUT + (threads - 1) * (steps * loops * AGAIN + _lines(graph, chosen) * COPIED)
    return more <= BEARABLE * (work_of_window(graph, rows, chosen.size) + steps * STEP * (loops > 0))


def _seconds_apart(graph: Graph, chosen: KernelOptions, steps: int, threads: int) -> float:
    """Seconds of a window whose lanes are divided, about: the thread with most lanes, and what changes hands after."""
    work = work_of_window(graph, steps * -(-chosen.batch // threads), chosen.size) + steps * STEP
    if threads == 1:
        return work
    return work + _lines(graph, chosen) * EXCHANGE * 2 * (threads - 1) / threads + MEETINGS + MEETING * threads


def _fewest(seconds: list[float]) -> int:
    """The fewest threads that take little more than the least time; ``seconds`` are those of one thread, of two …"""
    return 1 + next(n for n, time in enumerate(seconds) if time <= NEAR * min(seconds))


def _threads_by_columns(graph: Graph, chosen: KernelOptions, rows: int, most: int) -> int:
    """The threads that layers are divided among by columns."""
    widest = max(_vectors(graph, chosen, index) for index in graph.parameters)
    useful = max(rows, -(-widest // panel_of(widest, chosen.registers)))
    return _fewest([_seconds_by_columns(graph, chosen, rows, threads) for threads in range(1, min(most, useful) + 1)])


def _seconds_by_columns(graph: Graph, chosen: KernelOptions, rows: int, threads: int) -> float:
    """Seconds of a window by columns, about: a layer takes as long as the thread with most of its columns.

    Layers too narrow to be cut are divided by rows, of which there may be fewer than threads, and their weights change
    hands. Deep chains of them on a few rows do not pay: one thread has all their weights in its own cache.
    """
    seconds, rest = 0.0, work_of_window(graph, rows, chosen.size)
    for index in graph.parameters:
        vectors, weights = _vectors(graph, chosen, index), graph.fan_in(index) * graph.nodes[index].width
        elements = graph.nodes[index].width * ELEMENT * chosen.size / 4
        alone = rows * (_seconds_of_products(weights, chosen.size) + elements)
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
    return _weights(graph) >= HEAVY * rows * sum(graph.nodes[i].width for i in graph.parameters)


def _chunk(graph: Graph, chosen: KernelOptions, rows: int) -> int:
    """Rows of a chunk, 0 for none: chunks are for many rows of a model with few parameters and no loops."""
    parameters = sum((graph.fan_in(i) + 1) * graph.nodes[i].width for i in graph.parameters)
    elements = sum(3 * (node.width + chosen.lanes) for node in graph.nodes if node.live and node.kind != "split")
    chunk = max(64, CHUNK_BYTES // (elements * chosen.size) // 16 * 16)
    few = parameters <= FEW_PARAMETERS
    return chunk if few and rows >= 2 * chunk else 0
