"""Decides how threads divide a window: how many there are, and whether by lanes, rows, chunks of rows or columns."""

from __future__ import annotations

import math

from ..graph import Graph
from ..graph.recurrence import WINDOW, domains_of
from ..options import CompileOptions
from .cost_model import DEFAULT_COSTS, CostModel, WindowCost, weights_of
from .kernel_options import Alone, ByBatch, ByColumns, ByRows, Division, InChunks, KernelOptions
from .layout import panel_of


def divide(graph: Graph, chosen: KernelOptions, options: CompileOptions, costs: CostModel = DEFAULT_COSTS) -> Division:
    """The division of a window among threads: at most as many as the user allows and as are useful.

    If links in time need a loop, threads divide the lanes, or the columns of the layers where there are too few lanes.
    Else they divide the rows of a whole window, one by one or in chunks, or the columns of the layers.
    """
    rows = options.bptt_steps * options.batch_size
    window = WindowCost(graph, chosen, rows, costs)
    there = costs.most_of(options.threads)
    worth = int(window.alone / costs.worth_a_thread)
    most = max(1, min(there, worth))
    if graph.has_time_links:
        threads = _threads_by_batch(window, most)
        if threads > 1 or not can_divide_columns(graph):
            return _among(ByBatch, threads)
        return _among(ByColumns, _threads_by_columns_of_steps(window, most))
    useful = range(1, min(most, rows) + 1)
    chunk = _chunk(window)
    if chunk:
        return InChunks(sum(_bears_shares(window, threads) for threads in useful), chunk)
    if worth < 2 and not graph.has_vectors:
        return _among(ByColumns, _threads_of_short_window(window, there))
    if graph.has_vectors:
        return _among(ByRows, useful[-1])
    if _is_heavy(window):
        return _among(ByColumns, _threads_by_columns(window, most))
    return _among(ByRows, useful[-1])


def can_divide_columns(graph: Graph) -> bool:
    """Whether threads may divide the columns of a model's layers: no node reads whole rows, and no layer is a
    convolution."""
    return not graph.has_vectors and all(graph.nodes[index].taps == 1 for index in graph.parameters)


def _among(kind: type[ByBatch | ByColumns | ByRows], threads: int) -> Division:
    """A division of this kind among ``threads`` threads; ``Alone`` for one thread."""
    return kind(threads) if threads > 1 else Alone()


def _threads_by_batch(window: WindowCost, most: int) -> int:
    """The number of threads that the lanes are divided among.

    Each takes its own lanes through a window, and then the gradients of all are summed.
    """
    alone, costs = window.by_batch(1), window.costs

    def seconds(threads: int) -> float:
        """Seconds of a window; infinite if waking the threads for one window does not pay and one thread that runs all
        members would lose too much."""
        is_woken = alone * (1.0 - 1.0 / threads) >= costs.saved_by(threads)
        return window.by_batch(threads) if is_woken or _bears_shares(window, threads) else math.inf

    most = min(most, max(1, window.options.batch // costs.least_lanes))
    return _fewest([*map(seconds, range(1, most + 1))], costs)


def _bears_shares(window: WindowCost, threads: int) -> bool:
    """Whether one thread loses little time when it runs ``threads`` members one after the other, each with separate
    gradients."""
    if threads == 1:
        return True
    costs, batch = window.costs, window.options.batch
    loops = len(set(domains_of(window.graph).values()) - {WINDOW})
    if loops and batch < threads * costs.least_lanes_in_turn:
        return False
    alone = window.alone + window.rows // batch * costs.loop_step * (loops > 0)
    return window.in_turn(threads, loops) <= costs.bearable * alone


def _threads_of_short_window(window: WindowCost, there: int) -> int:
    """The number of threads that divide a short window by columns. Several are taken only if they gain much when they
    share a cache."""
    costs = window.costs
    most = max(1, min(there, int(window.alone / costs.short_share)))
    seconds = [window.of_short(threads) for threads in range(1, most + 1)]
    threads = _fewest(seconds, costs)
    return threads if seconds[threads - 1] <= costs.gain * seconds[0] else 1


def _threads_by_columns_of_steps(window: WindowCost, most: int) -> int:
    """The number of threads that divide the columns of each step of a loop. Several are taken only if they gain much:
    they meet several times a step."""
    seconds = [window.by_columns_of_steps(threads) for threads in range(1, most + 1)]
    threads = _fewest(seconds, window.costs)
    return threads if seconds[threads - 1] <= window.costs.gain_of_steps * seconds[0] else 1


def _threads_by_columns(window: WindowCost, most: int) -> int:
    """The number of threads that divide the layers of a window by columns."""
    widest = max(window.vectors(index) for index in window.graph.parameters)
    useful = max(window.rows, -(-widest // panel_of(widest, window.options.registers)))
    return _fewest([window.by_columns(threads) for threads in range(1, min(most, useful) + 1)], window.costs)


def _fewest(seconds: list[float], costs: CostModel) -> int:
    """The fewest threads that take little more than the least time. seconds: of one thread, of two, and so on."""
    return 1 + next(n for n, time in enumerate(seconds) if time <= costs.tolerance * min(seconds))


def _is_heavy(window: WindowCost) -> bool:
    """Whether a model without loops has so many weights, for so few rows, that threads should divide its layers by
    columns. Each thread then keeps its weights, and values move between threads."""
    graph = window.graph
    values = window.rows * sum(graph.nodes[i].width for i in graph.parameters)
    return weights_of(graph) >= window.costs.heavy * values


def _chunk(window: WindowCost) -> int:
    """The number of rows in a chunk; 0 if chunks do not pay. They pay for many rows of a model with few parameters."""
    graph, options, costs = window.graph, window.options, window.costs
    elements = sum(3 * (node.width + options.lanes) for node in graph.nodes if node.live and node.kind != "split")
    chunk = max(64, costs.chunk_bytes // (elements * options.size) // 16 * 16)
    return chunk if graph.parameter_count <= costs.few_parameters and window.rows >= 2 * chunk else 0


# For calls of a kernel that is there ---------------------------------------------------------------------------------


def worth_waking(graph: Graph, options: KernelOptions, costs: CostModel = DEFAULT_COSTS) -> tuple[int, int]:
    """The least samples of a call for which sleeping threads are woken: (to measure, to make gradients or learn)."""
    saved, threads = costs.saved_by(options.threads), options.threads
    each = costs.of_step(graph, options.batch, options.size) * (1.0 - 1.0 / threads)
    return math.ceil(saved * costs.training_to_forward / each), math.ceil(saved / each)


def threads_of_prediction(
    graph: Graph, options: KernelOptions, rows: int, asked: int | None, costs: CostModel = DEFAULT_COSTS
) -> int:
    """The number of threads that is worth taking to predict ``rows`` rows; one for a model with links in time.

    asked: the user's limit, None for no limit.
    """
    if graph.has_time_links:
        return 1
    worth = int(costs.of_window(graph, rows, options.size) / costs.training_to_forward / costs.waking)
    return max(1, min(costs.most_of(asked), worth, rows))
