"""The names in the lines of one generated function: buffers, offsets, rows and columns, and the rows of each member."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ..host.cached import cached_property
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

ENTRIES = ("train", "lead", "serve", "step", "predict")  # the functions that Python calls


def before(shift: int, word: str) -> str:
    """What the name of a value has behind it: nothing in this step, a word for the step before, further back its number
    too."""
    return {0: "", -1: word}.get(shift, f"{word}{-shift}")


@dataclass(frozen=True)
class Uses:
    """What lines use and lines before them have to define, noted when it is written.

    variables: ``rows``, and the offsets of buffers. of_step: buffers whose offset in step t is used.
    """

    variables: set[str] = field(default_factory=set)
    of_step: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Frame:
    """What the lines of one generated function need: where they go, and how they count rows and name things.

    predicts: whether the function belongs to prediction, whose number of lanes is a variable. domain: the number of the
    time loop that the lines stand in, or WINDOW. cuts: the column bounds by thread of the operation at hand, None for
    all columns.
    """

    source: Source
    writer: Writer
    predicts: bool = False
    uses: Uses = field(default_factory=Uses)
    domain: int = WINDOW
    cuts: tuple[int, ...] | None = None

    def body(self) -> Frame:
        """A frame for lines that are written first and placed later, behind lines that define what they use."""
        return replace(self, writer=Writer(), uses=Uses())

    def in_loop(self, domain: int) -> Frame:
        """The same for the lines of a time loop. What they use of the window has to be defined before the loop."""
        return replace(self, writer=Writer(), uses=Uses(self.uses.variables), domain=domain)

    @property
    def options(self) -> KernelOptions:
        """What the kernel is specialised for."""
        return self.source.plan.options

    @property
    def plan(self) -> Plan:
        """What training or prediction runs."""
        return self.source.plan.prediction if self.predicts else self.source.plan.training

    @property
    def space(self) -> Workspace:
        """Where the plan's buffers stand."""
        return self.source.plan.prediction_space if self.predicts else self.source.plan.training_space

    @property
    def layout(self) -> Layout:
        """Where weights stand, which are the same in training and prediction."""
        return self.source.plan.layout

    @property
    def ownership(self) -> Ownership:
        """Which parameters belong to which member."""
        return self.source.plan.ownership

    @property
    def division(self) -> Division:
        """How threads divide a window; in prediction each has a call of its own."""
        return Alone() if self.predicts else self.options.division

    @property
    def all_lanes(self) -> int:
        """Lanes of all threads. In chunks, a row counts as a step of one lane."""
        return 1 if isinstance(self.division, InChunks) else self.options.batch

    @cached_property
    def rows_of_step(self) -> int | None:
        """A thread's rows of a step of training, where that is one number."""
        whole = not self.predicts and self.all_lanes % self.threads == 0
        return self.all_lanes // self.threads if whole else None

    @cached_property
    def batch(self) -> str:
        """The number of lanes, as source: a literal or, always in prediction, a variable. Where threads divide the
        batch, that of one thread's lanes, a variable where it is not the same for all."""
        if self.predicts or (self.by_batch and self.rows_of_step is None):
            return "batch"
        return str(self.rows_of_step if self.by_batch else self.all_lanes)

    @property
    def threads(self) -> int:
        """Threads that run a window together."""
        return self.division.threads

    @property
    def shares_rows(self) -> bool:
        """Whether threads divide one workspace."""
        return isinstance(self.division, ByRows | ByColumns)

    @property
    def by_columns(self) -> bool:
        """Whether threads divide layers by columns."""
        return isinstance(self.division, ByColumns)

    @property
    def by_batch(self) -> bool:
        """Whether each thread takes some lanes through a window by itself."""
        return isinstance(self.division, ByBatch)

    @property
    def private(self) -> bool:
        """Whether each thread has gradients of its own."""
        return self.threads > 1 and not self.shares_rows

    @contextmanager
    def function(self, name: str, arguments: str, doc: str) -> Iterator[None]:
        """A compiled function."""
        self.source.add_function(name, arguments)
        self.writer.lines("", "", "@njit(**JIT)" if name in ENTRIES else "@njit(**INSIDE)")
        with self.writer.span(name), self.writer.block(f"def {name}({arguments}):"):
            self.writer.line(f'"""{doc}"""')
            yield

    @property
    def noise(self) -> str:
        """What the masks of dropouts depend on, and the number of the first row, as arguments behind others."""
        return ", noise, noise_row" if self.plan.drops else ""

    @property
    def read_measure(self) -> str:
        """The parameters that the loss reads, as arguments in front of others."""
        return "weights, " if self.plan.graph.nodes[self.plan.graph.output].elementwise is not None else ""

    @property
    def read_backward(self) -> str:
        """The parameters that the backward pass reads, as arguments."""
        return "weights, transposed" if self.plan.vectors else "transposed"

    def by_member(self, arguments: str) -> str:
        """Arguments of a function that runs one member: preceded by the member's number, if there are several."""
        return f"member, {arguments}" if self.threads > 1 else arguments

    def joint(self, arguments: str) -> str:
        """Arguments of a function that runs all members of the calling thread, one or all, together as one range.

        No result may depend on the length of the range. Products of panels, transposes and element-by-element work do
        not depend on it; sums of columns do."""
        return f"begin, until, {arguments}" if self.threads > 1 else arguments

    def divided(self, arguments: str) -> str:
        """Arguments of a function that runs members together where they divide one workspace, else one by one."""
        return self.joint(arguments) if self.shares_rows else self.by_member(arguments)

    def meeting(self, arguments: str) -> str:
        """The same for a function with barriers in it where layers are divided by columns."""
        return f"begin, until, mailbox, {arguments}" if self.by_columns else self.divided(arguments)

    @contextmanager
    def each_member(self) -> Iterator[None]:
        """A loop over the members that the thread runs: one, or all where one thread does everything."""
        if self.threads == 1:
            yield
            return
        with self.writer.block("for member in span(begin, until):"):
            yield

    def emit_parties(self) -> None:
        """The line that computes how many threads meet at barriers."""
        if self.threads > 1:
            self.writer.line(f"parties = {self.threads} // (until - begin)")

    def measured(self, arguments: str) -> str:
        """Arguments, preceded by those that locate the losses of a window's rows."""
        return f"steps, capacity, {arguments}" if self.by_batch else f"steps, {arguments}"

    @property
    def scales(self) -> str:
        """The factors that turn a row's weight into its share of the window's weight, as arguments. The sum of weights
        may be beyond the numbers of float64, and so of float64 only: then ``unit`` brings them back."""
        return "unit, scale_all" if self.options.dtype == "float64" else "scale_all"

    def emit_barrier(self) -> None:
        """A line where threads wait for one another."""
        if self.threads > 1:
            self.writer.line("barrier(mailbox, parties)")

    def emit_bounds(self) -> None:
        """The line that computes the thread's rows of the window, where these are not all rows."""
        if self.takes_some_rows:
            self.writer.line(self._range(self.use("rows"), "begin", "until"))

    def use(self, variable: str) -> str:
        """A variable of the window, such as the offset of a buffer. Lines before those that use it will define it."""
        self.uses.variables.add(variable)
        return variable

    @property
    def takes_some_rows(self) -> bool:
        """Whether the current operation is divided by rows, from ``first`` to ``last``."""
        return self.shares_rows and self.domain == WINDOW and self.cuts is None

    @property
    def first_row(self) -> str:
        """The first of the thread's rows in the domain, as source."""
        return "first" if self.takes_some_rows else "0"

    def last_row(self) -> str:
        """The one after the last of the thread's rows in the domain, as source."""
        if self.takes_some_rows:
            return "last"
        return self.use("rows") if self.domain == WINDOW else self.batch

    def count(self) -> str:
        """The number of the thread's rows in the domain, as source."""
        return f"last - {self.first_row}" if self.takes_some_rows else self.last_row()

    def range_of(self, count: str) -> str:
        """The line that gives a member its share of ``count`` rows."""
        return f"first, last = 0, {count}" if self.threads == 1 else self._range(count, "member", "(member + 1)")

    def _range(self, count: str, begin: str, until: str) -> str:
        return f"first, last = {count} * {begin} // {self.threads}, {count} * {until} // {self.threads}"

    def step(self, name: str) -> str:
        """Elements between two steps of a buffer."""
        if self.batch.isdigit():
            return str(int(self.batch) * self.stride(name))
        return f"{self.batch} * {self.stride(name)}"

    def steps(self, name: str, count: int) -> str:
        """Elements between rows of a buffer that are so many steps apart, as source."""
        step = self.step(name)
        if count == 1:
            return step
        return str(count * int(step)) if step.isdigit() else f"{count} * {step}"

    def bounds(self, cuts: tuple[int, ...]) -> str:
        """The first piece of the thread's members and the one after the last, as source."""
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
        """The array that a buffer is in."""
        if is_vector(name):
            return "weights"
        return name if name in EXTERNAL else "work"

    def stride(self, name: str) -> int:
        """Elements between two rows of a buffer."""
        return self.plan.strides[name]

    def base(self, place: Place, shift: int = 0) -> str:
        """The offset of a place's row 0: of the window, or of the step in a loop."""
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
        """The offset of a buffer's first row in the window."""
        return f"{name}0" if name in EXTERNAL else self.use(name)

    def at(self, place: Place, shift: int = 0, column: str = "q") -> str:
        """The offset of the vector at row r and column q of a place."""
        text = self.base(place._replace(column=0), shift)
        if not self.is_one_row and not is_vector(place.buffer):
            text += f" + r * {self.stride(place.buffer)}"
            self.writer.may_name(text, f"{place.buffer}r{before(shift, '_before')}")
        return text + (f" + {place.column}" if place.column else "") + (f" + {column}" if column != "0" else "")

    @property
    def is_one_row(self) -> bool:
        """Whether the domain is a step of one lane, which needs no loop over rows."""
        return self.domain != WINDOW and self.batch == "1"

    @contextmanager
    def each_row(self) -> Iterator[None]:
        """A loop over the rows of the domain that are ours, or where it has one row, that row."""
        if self.is_one_row:
            yield
            return
        with self.writer.block(f"for r in span({self.first_row}, {self.last_row()}):"), self.writer.naming():
            yield

    @contextmanager
    def each_vector(self, width: int) -> Iterator[str]:
        """A loop over the vectors of a row; yields the name of the column."""
        if padded(width, self.lanes) == self.lanes:
            yield "0"
        else:
            with self.writer.block(f"for q in span({self.columns_of(width)}, {self.lanes}):"):
                yield "q"

    def columns_of(self, width: int) -> str:
        """First and last of our columns of a row, as source."""
        if self.cuts is None:
            return f"0, {padded(width, self.lanes)}"
        return self.bounds(tuple(cut * self.lanes for cut in self.cuts))

    def panels_of(self, count: int) -> str:
        """First and last of our panels of a matrix, as source."""
        return self.bounds(self.cuts or (0, count))

    def left(self, limit: int, column: str) -> str:
        """How many of the components below ``limit`` are in the vector at a column."""
        return str(limit) if column == "0" else f"{limit} - {column}"

    def ragged(self, limit: int, width: int) -> bool:
        """Whether some vector of a row reaches beyond ``limit``."""
        return limit < padded(width, self.lanes)

    def load(self, access: Access, width: int, column: str) -> str:
        """The expression that reads a vector."""
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
        """The expression that reads the first component of a place into all of a vector. Where a place is a whole
        vector wide, all its components are the same."""
        where = f"{self.array(access.place.buffer)}, {self.at(access.place, access.shift, '0')}"
        return f"load({where})" if access.place.width == self.lanes else f"splat(total(load_head({where}, 1)))"

    def column_sums(self, name: str) -> str:
        """The name of the routine that sums the columns of a buffer."""
        return f"sums{self.stride(name)}"

    def product(self, **fields: object) -> str:
        """The name of a matrix product of a literal shape."""
        return self.source.routine("product", "product_of(simd.Shape({kind}, {fields}, registers={registers}))", fields)
