"""Estimates the time of a window. The estimate decides how many threads divide the window, and how.

The figures are rough on purpose. They only have to tell work that is well worth a thread from work that is not.
"""

from __future__ import annotations

from itertools import pairwise

from ..graph import Graph, Node
from ..graph.recurrence import WINDOW, domains_of
from ..host.cached import cached_property
from ..host.cpu import CACHE_LINE
from ..host.frozen import frozen
from ..host.resources import processors
from .column_split import inner_cuts, vector_cuts
from .kernel_options import KernelOptions


@frozen
class CostModel:
    """The cost of work, in seconds unless a comment says otherwise. A line is a cache line of the processor.

    processors: the number of processors; None means those that this process may use, which is determined each time.
    """

    # Work of one thread
    operations_per_second: float = 100e9  # operations a second of matrix products in float32
    element: float = 0.8e-9  # for an element of a layer, activation or elementwise layer, forward and backward
    merged_element: float = 0.2e-9  # for an element of a merge, forward and backward
    loop_step: float = 0.12e-6  # for a step of the loops over time, however few lanes there are
    training_to_forward: int = 3  # the work of a training window divided by that of its forward pass
    # Threads that divide a window
    worth_a_thread: float = 45e-6  # the least work in a window for each thread
    most_threads: int = 64  # the most threads of one model, however many processors there are
    tolerance: float = 1.05  # the fewest threads whose time is at most this times the least time are taken
    # Threads that sleep between two calls
    waking: float = 220e-6  # the least work for which a thread is woken
    saved_by_waking: float = 4 * waking  # the least time that a second thread must save in a call to be woken
    saved_by_each_more: float = 150e-6  # the same for each further thread, since threads are woken one after the other
    # Threads with gradients of their own
    least_lanes: int = 2  # the least lanes of a thread in a loop: one lane takes nearly as long as two
    exchange: float = 20e-9  # for a line of weights whose gradients one thread sums and whose values all threads read
    meetings: float = 8e-6  # for the waiting of threads at barriers in a window
    meeting_of_thread: float = 0.5e-6  # more of it for each thread
    # One thread that runs all members, one after the other, in calls of one window
    least_lanes_in_turn: int = 8  # the least lanes of each member in a loop
    loop_step_in_turn: float = 0.06e-6  # extra time for a step of each loop of each further member
    line_in_turn: float = 5e-9  # extra time for a line of each further member's gradients
    finding_out: float = 4e-6  # extra time until the thread knows that it runs all members
    bearable: float = 0.05  # the largest part of its time that the thread may lose in this way
    # Chunks of rows
    chunk_bytes: int = 128 * 1024  # bytes of values in a chunk: well inside a second-level cache
    few_parameters: int = 16 * 1024  # parameters: with so few, separate gradients for each thread cost little
    # Columns
    heavy: float = 3  # weights for each value of a window: with more, values should move between threads, not weights
    # Columns of a window that is hardly worth two threads
    short_share: float = 8e-6  # the least work of a thread
    short_meeting: float = 0.15e-6  # for two threads that wait for one another at a barrier
    moved_line: float = 45e-9  # for a line of values that one thread writes and another reads
    gain: float = 0.8  # several threads are taken only if they need at most this times the time of one
    # Columns of each step of a loop
    meetings_of_layer: int = 4  # barriers in a step for each layer in a loop, forward and backward
    gain_of_steps: float = 0.85  # as ``gain``

    processors: int | None = None

    def most_of(self, asked: int | None) -> int:
        """The largest number of threads that a model may use. asked: the user's limit, None for no limit."""
        there = processors() if self.processors is None else self.processors
        return min(asked or there, there, self.most_threads)

    def of_window(self, graph: Graph, rows: int, size: int) -> float:
        """Seconds that one thread needs for a window of ``rows`` rows. size: the bytes of a number."""
        elements = sum(node.width * self._of_component(node) for node in graph.nodes if node.live)
        return rows * (self.of_products(weights_of(graph), size) + elements * size / 4)

    def _of_component(self, node: Node) -> float:
        """Seconds for a component of a row in float32, without products. The statistics of an elementwise layer, and
        the mask of a dropout, cost a pass each."""
        if node.kind == "merge":
            return self.merged_element
        if node.elementwise is not None and node.kind == "elementwise":
            statistics = (*node.elementwise.statistics, *node.elementwise.backward_statistics)
            return self.element + (len(statistics) + node.elementwise.drops) * self.merged_element
        return self.element if node.kind in ("layer", "activation") else 0.0

    def of_step(self, graph: Graph, batch: int, size: int) -> float:
        """Seconds that one thread needs to train one step of ``batch`` lanes. size: the bytes of a number."""
        return self.of_window(graph, batch, size) + self.loop_step * graph.has_time_links

    def of_products(self, weights: int, size: int) -> float:
        """Seconds for the products of a row with ``weights`` weights: forward, backward and for their gradients."""
        return 6.0 * weights / self.operations_per_second * size / 4

    def saved_by(self, threads: int) -> float:
        """The least seconds that sleeping threads must save in a call to be woken."""
        return self.saved_by_waking + self.saved_by_each_more * (threads - 2)

    def is_short(self, graph: Graph, rows: int, size: int) -> bool:
        """Whether a window has hardly enough work for two threads. Whether they gain anything then depends on how far
        apart their caches are."""
        return not graph.has_time_links and self.of_window(graph, rows, size) < 2 * self.worth_a_thread


DEFAULT_COSTS = CostModel()


def weights_of(graph: Graph) -> int:
    """The number of weights of all layers, without biases."""
    return sum(graph.fan_in(i) * graph.nodes[i].width for i in graph.parameters)


@frozen
class WindowCost:
    """Estimates the seconds of one window of ``rows`` rows, for each way to divide it among threads."""

    graph: Graph
    options: KernelOptions
    rows: int
    costs: CostModel

    @cached_property
    def alone(self) -> float:
        """Seconds of a window in one thread, without the overhead of loops over time."""
        return self.costs.of_window(self.graph, self.rows, self.options.size)

    @cached_property
    def lines(self) -> float:
        """The number of cache lines that the weights, or their gradients, take."""
        return weights_of(self.graph) * self.options.size / CACHE_LINE

    def by_batch(self, threads: int) -> float:
        """Seconds of a window whose lanes are divided among threads: those of the thread with the most lanes, and those
        of the exchange of gradients afterwards."""
        costs, batch = self.costs, self.options.batch
        steps = self.rows // batch
        lanes = steps * -(-batch // threads)
        work = costs.of_window(self.graph, lanes, self.options.size) + steps * costs.loop_step
        if threads == 1:
            return work
        exchanged = self.lines * costs.exchange * 2 * (threads - 1) / threads
        return work + exchanged + costs.meetings + costs.meeting_of_thread * threads

    def in_turn(self, threads: int, loops: int) -> float:
        """Extra seconds of a thread that runs ``threads`` members one after the other, with separate gradients."""
        costs, steps = self.costs, self.rows // self.options.batch
        each = steps * loops * costs.loop_step_in_turn + self.lines * costs.line_in_turn
        return costs.finding_out + (threads - 1) * each

    def by_columns(self, threads: int) -> float:
        """Seconds of a window whose layers are divided by columns. A layer takes as long as the thread with the most of
        its columns.

        Layers too narrow to be cut are divided by rows, of which there may be fewer than threads, and their weights
        move between threads. Deep chains of such layers on a few rows do not pay: one thread has all their weights in
        its own cache.
        """
        seconds, rest = 0.0, self.alone
        for index in self.graph.parameters:
            alone, vectors = self._of_layer(index), self.vectors(index)
            cuts = vector_cuts(vectors, self.options.registers, threads)
            if cuts is None:
                seconds += alone / min(threads, self.rows) + self._lines_of(index) * self.costs.exchange
            else:
                seconds += alone * _largest(cuts) / vectors
            rest -= alone
        return seconds + rest / threads

    def by_columns_of_steps(self, threads: int) -> float:
        """Seconds of a window with loops whose layers are divided by columns. A layer in a loop that can't be cut is
        one thread's. In each step threads meet, and the vectors between layers move from one to another."""
        costs, steps = self.costs, self.rows // self.options.batch
        loops = self.alone + steps * costs.loop_step
        if threads == 1:
            return loops
        seconds, rest, met, moved, domains = 0.0, loops, 0, 0.0, domains_of(self.graph)
        row = self.rows * (self.options.size * self.options.lanes / CACHE_LINE)
        for index in self.graph.parameters:
            alone, vectors, in_loop = self._of_layer(index), self.vectors(index), domains[index] != WINDOW
            cuts = vector_cuts(vectors, self.options.registers, threads)
            shared = alone if in_loop else alone / min(threads, self.rows)
            seconds += shared if cuts is None else alone * _largest(cuts) / vectors
            rest -= alone
            if in_loop:
                met += costs.meetings_of_layer
                moved += row * (vectors + self.graph.fan_in(index) / self.options.lanes)
        meeting = steps * met * costs.short_meeting * threads / 2
        return seconds + rest / threads + meeting + moved * costs.moved_line * (threads - 1) / threads

    def of_short(self, threads: int) -> float:
        """Seconds of a short window whose layers are divided by columns, with the values that move between threads.

        Of a vector that is divided by columns and read by all threads, every thread's part moves. Of a vector made of
        partial sums, the partial sums and their sum move.
        """
        if threads == 1:
            return self.alone
        costs, layers = self.costs, self.graph.parameters
        seconds, rest, moved = 0.0, self.alone, 0.0
        for index in layers:
            alone = self._of_layer(index)
            busy, lines = self._of_short_layer(index, alone, threads)
            seconds += busy
            moved += lines
            rest -= alone
        met = (3 + 2 * len(layers)) * costs.short_meeting * threads / 2
        return seconds + rest / threads + moved * costs.moved_line * (threads - 1) / threads + met

    def _of_short_layer(self, index: int, alone: float, threads: int) -> tuple[float, float]:
        """(seconds, cache lines that move between threads) of a layer of a short window, in ``threads`` threads.

        alone: the seconds that one thread takes.
        """
        options, node = self.options, self.graph.nodes[index]
        wide, deep = self.vectors(index), -(-self.graph.fan_in(index) // options.lanes)
        by_columns = vector_cuts(wide, options.registers, threads)
        by_rows = inner_cuts(wide, deep, options.registers, threads)
        row = self.rows * (options.size * options.lanes / CACHE_LINE)
        if by_columns is not None:
            learns = node.source != self.graph.input
            return alone * _largest(by_columns) / wide, row * learns * (wide + deep)
        if by_rows is not None:
            return alone * _largest(by_rows) / deep, row * (2 * wide)
        return alone / min(threads, self.rows), self._lines_of(index)

    def _of_layer(self, index: int) -> float:
        """Seconds that one thread takes for a layer."""
        costs, size, node = self.costs, self.options.size, self.graph.nodes[index]
        elements = node.width * costs.element * size / 4
        return self.rows * (costs.of_products(self.graph.fan_in(index) * node.width, size) + elements)

    def _lines_of(self, index: int) -> float:
        """The number of cache lines that a layer's weights take."""
        return self.graph.fan_in(index) * self.graph.nodes[index].width * self.options.size / CACHE_LINE

    def vectors(self, index: int) -> int:
        """The width of a layer in vectors."""
        return -(-self.graph.nodes[index].width // self.options.lanes)


def _largest(cuts: tuple[int, ...]) -> int:
    """The size of the largest part. cuts: the bounds of the parts."""
    return max(end - begin for begin, end in pairwise(cuts))
