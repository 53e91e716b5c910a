"""Gives names to what the lines of one generated function use: buffers, offsets, rows, columns and members."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field, replace

from ..host.cached import cached_property
from ..host.frozen import frozen
from ..schedule import (
    EXTERNAL,
    WINDOW,
    Access,
    Alone,
    Buffer,
    ByBatch,
    ByColumns,
    ByRows,
    Division,
    InChunks,
    KernelOptions,
    Layout,
    Ownership,
    Place,
    Plan,
    Workspace,
    is_vector,
    padded,
)
from .head import Source
from .writer import Writer


def before(shift: int, word: str) -> str:
    """The suffix for the name of a value at time ``shift``: nothing in this step, ``word`` for the step before.

    For an earlier step the suffix is ``word`` and the number of steps back.
    """
    return {0: "", -1: word}.get(shift, f"{word}{-shift}")


@frozen
class Uses:
    """The names that lines use and that earlier lines have to define. They are collected while lines are written.

    variables: ``rows``, and the offsets of buffers. of_step: the buffers whose offset in step t is used.
    """

    variables: set[str] = field(default_factory=set)
    of_step: set[str] = field(default_factory=set)


@frozen
class Frame:
    """What the lines of one generated function need: the writer, and the names of rows, columns and buffers.

    predicts: whether the function belongs to prediction, where the number of lanes is a variable. domain: the number of
    the time loop around the lines, or WINDOW. cuts: the bounds of each thread's columns in the current operation, or
    None for all columns.
    """

    source: Source
    writer: Writer
    predicts: bool = False
    uses: Uses = field(default_factory=Uses)
    domain: int = WINDOW
    cuts: tuple[int, ...] | None = None

    def body(self) -> Frame:
        """A frame for lines that are written first and placed later, after the lines that define what they use."""
        return replace(self, writer=Writer(), uses=Uses())

    def in_loop(self, domain: int) -> Frame:
        """A frame for the lines of a time loop. What they use of the window has to be defined before the loop."""
        return replace(self, writer=Writer(), uses=Uses(self.uses.variables), domain=domain)

    @property
    def options(self) -> KernelOptions:
        """The options that the kernel is specialised for."""
        return self.source.plan.options

    @property
    def plan(self) -> Plan:
        """The plan of training, or of prediction."""
        return self.source.plan.prediction if self.predicts else self.source.plan.training

    @property
    def space(self) -> Workspace:
        """The workspace of the plan: where its buffers stand."""
        return self.source.plan.prediction_space if self.predicts else self.source.plan.training_space

    @property
    def layout(self) -> Layout:
        """Where weights stand; the same in training and prediction."""
        return self.source.plan.layout

    @property
    def ownership(self) -> Ownership:
        """Which parameters belong to which member."""
        return self.source.plan.ownership

    @property
    def division(self) -> Division:
        """How threads divide a window; in prediction, each call runs on one thread."""
        return Alone() if self.predicts else self.options.division

    @property
    def all_lanes(self) -> int:
        """The number of lanes of all threads together. In chunks, each row counts as a step of one lane."""
        return 1 if isinstance(self.division, InChunks) else self.options.batch

    @cached_property
    def rows_of_step(self) -> int | None:
        """The rows of one training step that a thread computes. None if threads differ in this, and in prediction."""
        if self.by_columns:
            return self.all_lanes
        whole = not self.predicts and self.all_lanes % self.threads == 0
        return self.all_lanes // self.threads if whole else None

    @cached_property
    def batch(self) -> str:
        """The number of lanes that the function computes, as source: a literal, or the variable ``batch``.

        It is a variable in prediction, and where threads divide the batch into parts of different sizes.
        """
        if self.predicts or (self.by_batch and self.rows_of_step is None):
            return "batch"
        return str(self.rows_of_step if self.by_batch else self.all_lanes)

    @property
    def threads(self) -> int:
        """The number of threads that run a window together."""
        return self.division.threads

    @property
    def shares_rows(self) -> bool:
        """Whether all threads work in one workspace."""
        return isinstance(self.division, ByRows | ByColumns)

    @property
    def by_columns(self) -> bool:
        """Whether threads divide the columns of layers."""
        return isinstance(self.division, ByColumns)

    @property
    def by_batch(self) -> bool:
        """Whether each thread takes some of the lanes through a window by itself."""
        return isinstance(self.division, ByBatch)

    @property
    def private(self) -> bool:
        """Whether each thread has its own gradients."""
        return self.threads > 1 and not self.shares_rows

    @contextmanager
    def function(self, name: str, arguments: str, doc: str, results: str = "") -> Iterator[None]:
        """Emits the head of a compiled function, and the lines written inside as its body.

        results: the kinds of what it returns, if it does.
        """
        kinds = " ".join(self.source.add_function(name, arguments))
        self.writer.lines("", "", f'@native("{kinds} -> {results}")' if results else f'@native("{kinds}")')
        with self.writer.span(name), self.writer.block(f"def {name}({arguments}):"):
            self.writer.line(f'"""{doc}"""')
            yield

    @property
    def noise(self) -> str:
        """The arguments for the masks of dropouts, to be appended to others: the noise, and the number of the first
        row."""
        return ", noise, noise_row" if self.plan.drops else ""

    @property
    def read_measure(self) -> str:
        """The argument for the parameters that the loss reads, to be put in front of others."""
        return "weights, " if self.plan.graph.nodes[self.plan.graph.output].elementwise is not None else ""

    @property
    def read_backward(self) -> str:
        """The arguments for the parameters that the backward pass reads."""
        return "weights, transposed" if self.plan.vectors else "transposed"

    def by_member(self, arguments: str) -> str:
        """The arguments of a function that runs one member; the member's number comes first if there are several."""
        return f"member, {arguments}" if self.threads > 1 else arguments

    def joint(self, arguments: str) -> str:
        """The arguments of a function that runs all members of the calling thread at once, as one range.

        No result may depend on the length of the range. Products of panels, transposes and element-by-element work do
        not depend on it; sums of columns do.
        """
        return f"begin, until, {arguments}" if self.threads > 1 else arguments

    def divided(self, arguments: str) -> str:
        """The arguments of a function that runs members at once if they share a workspace, else one by one."""
        return self.joint(arguments) if self.shares_rows else self.by_member(arguments)

    def meeting(self, arguments: str) -> str:
        """The arguments of ``divided``; where threads divide columns, also the mailbox for barriers."""
        return f"begin, until, mailbox, {arguments}" if self.by_columns else self.divided(arguments)

    @contextmanager
    def each_member(self) -> Iterator[None]:
        """A loop over the members that the calling thread runs."""
        if self.threads == 1:
            yield
            return
        with self.writer.block("for member in span(begin, until):"):
            yield

    def emit_parties(self) -> None:
        """Emits the line that computes how many threads meet at a barrier."""
        if self.threads > 1:
            self.writer.line(f"parties = {self.threads} // (until - begin)")

    def measured(self, arguments: str) -> str:
        """The arguments that locate the losses of a window's rows, and after them ``arguments``."""
        return f"steps, capacity, {arguments}" if self.by_batch else f"steps, {arguments}"

    @property
    def scales(self) -> str:
        """The factors, as arguments, that turn a row's weight into its share of the window's total weight.

        In float64 the sum of the weights may overflow or underflow; the factor ``unit`` corrects for that.
        """
        return "unit, scale_all" if self.options.dtype == "float64" else "scale_all"

    def emit_barrier(self) -> None:
        """Emits a barrier, if there are several threads."""
        if self.threads > 1:
            self.writer.line("barrier(mailbox, parties)")

    def emit_bounds(self) -> None:
        """Emits the line that computes the first and last row of the calling thread, if it does not have all rows."""
        if self.takes_some_rows:
            self.writer.line(self._range(self.use("rows"), "begin", "until"))

    def use(self, variable: str) -> str:
        """The variable itself, recorded as used, so that an earlier line will define it."""
        self.uses.variables.add(variable)
        return variable

    @property
    def takes_some_rows(self) -> bool:
        """Whether the current operation is divided by rows; the thread's rows are ``first`` to ``last``."""
        return self.shares_rows and self.domain == WINDOW and self.cuts is None

    @property
    def first_row(self) -> str:
        """The first of the thread's rows in the domain, as source."""
        return "first" if self.takes_some_rows else "0"

    def last_row(self) -> str:
        """The end of the thread's rows in the domain, one past the last, as source."""
        if self.takes_some_rows:
            return "last"
        return self.use("rows") if self.domain == WINDOW else self.batch

    def count(self) -> str:
        """The number of the thread's rows in the domain, as source."""
        return f"last - {self.first_row}" if self.takes_some_rows else self.last_row()

    def range_of(self, count: str) -> str:
        """The line that computes a member's share of ``count`` rows."""
        return f"first, last = 0, {count}" if self.threads == 1 else self._range(count, "member", "(member + 1)")

    def _range(self, count: str, begin: str, until: str) -> str:
        return f"first, last = {count} * {begin} // {self.threads}, {count} * {until} // {self.threads}"

    def step(self, name: str) -> str:
        """The number of elements between two steps of a buffer, as source."""
        if self.batch.isdigit():
            return str(int(self.batch) * self.stride(name))
        return f"{self.batch} * {self.stride(name)}"

    def steps(self, name: str, count: int) -> str:
        """The number of elements between rows of a buffer that are ``count`` steps apart, as source."""
        step = self.step(name)
        if count == 1:
            return step
        return str(count * int(step)) if step.isdigit() else f"{count} * {step}"

    def bounds(self, cuts: tuple[int, ...]) -> str:
        """The first piece of the thread's members, and one past the last, as source."""
        if len(cuts) == 2:
            return f"{cuts[0]}, {cuts[1]}"
        return f"{cuts}[begin], {cuts}[until]"

    @property
    def lanes(self) -> int:
        return self.plan.lanes

    @property
    def buffers(self) -> dict[str, Buffer]:
        return self.plan.buffers_by_name

    def array(self, name: str) -> str:
        """The name of the array that holds a buffer."""
        if is_vector(name):
            return "weights"
        return name if name in EXTERNAL else "work"

    def stride(self, name: str) -> int:
        """The number of elements between two rows of a buffer."""
        return self.plan.strides[name]

    def base(self, place: Place, shift: int = 0) -> str:
        """The offset of row 0 of a place, as source: the row of the window, or of the step in a time loop."""
        name = place.buffer
        if is_vector(name):
            return str(self.layout.vector(name))
        if self.domain != WINDOW and (name in EXTERNAL or self.buffers[name].rows != "step"):
            self.uses.of_step.add(name)
            text = f"{name}t"
        else:
            text = self.start(name)
        if shift:
            text += f" - {self.steps(name, -shift)}"
        return text + (f" + {place.column}" if place.column else "")

    def start(self, name: str) -> str:
        """The offset of a buffer's first row in the window, as source."""
        return f"{name}0" if name in EXTERNAL else self.use(name)

    def at(self, place: Place, shift: int = 0, column: str = "q") -> str:
        """The offset of the vector at row r and column q of a place, as source."""
        text = self.base(place._replace(column=0), shift)
        if not self.is_one_row and not is_vector(place.buffer):
            text += f" + r * {self.stride(place.buffer)}"
            self.writer.may_name(text, f"{place.buffer}r{before(shift, '_before')}")
        return text + (f" + {place.column}" if place.column else "") + (f" + {column}" if column != "0" else "")

    @property
    def is_one_row(self) -> bool:
        """Whether the domain is one row (a step of one lane), so that no loop over rows is needed."""
        return self.domain != WINDOW and self.batch == "1"

    @contextmanager
    def each_row(self) -> Iterator[None]:
        """A loop over the thread's rows of the domain; no loop if the domain is one row."""
        if self.is_one_row:
            yield
            return
        with self.writer.block(f"for r in span({self.first_row}, {self.last_row()}):"), self.writer.naming():
            yield

    @contextmanager
    def each_vector(self, width: int) -> Iterator[str]:
        """A loop over the vectors of a row. Yields the name of the column."""
        if padded(width, self.lanes) == self.lanes:
            yield "0"
        else:
            with self.writer.block(f"for q in span({self.columns_of(width)}, {self.lanes}):"):
                yield "q"

    def columns_of(self, width: int) -> str:
        """The first and last of the thread's columns of a row, as source."""
        if self.cuts is None:
            return f"0, {padded(width, self.lanes)}"
        return self.bounds(tuple(cut * self.lanes for cut in self.cuts))

    def panels_of(self, count: int) -> str:
        """The first and last of the thread's panels of a matrix, as source."""
        return self.bounds(self.cuts or (0, count))

    def left(self, limit: int, column: str) -> str:
        """The number of components below ``limit`` in the vector at a column, as source."""
        return str(limit) if column == "0" else f"{limit} - {column}"

    def ragged(self, limit: int, width: int) -> bool:
        """Whether the last vector of a row extends beyond ``limit``."""
        return limit < padded(width, self.lanes)

    def load(self, access: Access, width: int, column: str) -> str:
        """The expression that loads a vector."""
        place = access.place
        if access.broadcast:
            return self._load_first(access)
        limit = access.limit
        if limit is None and place.buffer in EXTERNAL:
            limit = place.width
        where = self.at(place, access.shift, column)
        if limit is not None and self.ragged(limit, width):
            return f"load_head({self.array(place.buffer)}, {where}, {self.left(limit, column)})"
        return f"load({self.array(place.buffer)}, {where})"

    def _load_first(self, access: Access) -> str:
        """The expression that loads the first component of a place into every element of a vector.

        Where a place is a whole vector wide, all its components are equal already.
        """
        where = f"{self.array(access.place.buffer)}, {self.at(access.place, access.shift, '0')}"
        return f"load({where})" if access.place.width == self.lanes else f"splat(total(load_head({where}, 1)))"

    def column_sums(self, name: str) -> str:
        """The name of the routine that sums the columns of a buffer."""
        return f"sums{self.stride(name)}"

    def product(self, **fields: object) -> str:
        """The name of the routine for a matrix product of a literal shape."""
        return self.source.routine("product", "product_of(simd.Shape({kind}, {fields}, registers={registers}))", fields)

    def sparse_product(self, panels: tuple[int, int] | None, **fields: object) -> str:
        """The name of the routine for a product of a literal shape that reads a sparse copy of these panels, or of
        all."""
        some = "" if panels is None else f", {panels}"
        pattern = f"sparse_product_of(simd.Shape({{kind}}, {{fields}}, registers={{registers}}){some})"
        return self.source.routine("sparse", pattern, fields)
