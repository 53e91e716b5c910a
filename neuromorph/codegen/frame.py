"""The names in the lines of one generated function: buffers, offsets, rows and columns, and the rows of each member."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ..schedule import (
    EXTERNAL,
    WINDOW,
    Access,
    Buffer,
    ByBatch,
    ByColumns,
    ByRows,
    Division,
    Layout,
    Ownership,
    Place,
    Plan,
    padded,
)
from .writer import Writer

_KINDS = {
    "count": "begin until member calls looks user enough batch steps capacity sample stop samples mode x0 y0 inputs "
    "expected0 weight0 row_step row0",
    "array": "work weights transposed gradients memory y row_losses",
    "data": "x expected row_weights",
    "doubles": "constants losses numbers",
    "number": "rate clip shrink unit scale_all",
    "flag": "keep",
    "integers": "mailbox",
}
ARGUMENT_KINDS = {name: kind for kind, names in _KINDS.items() for name in names.split()}
ENTRIES = ("train", "lead", "serve", "step", "predict")  # the functions that Python calls


def before(shift: int, word: str) -> str:
    """What the name of a value has behind it: nothing in this step, a word for the step before, further back its number
    too."""
    return {0: "", -1: word}.get(shift, f"{word}{-shift}")


@dataclass
class Frame:
    """The state shared by the lines of one generated function: the plan, its layout, and how rows are counted.

    ``batch`` is the text of the number of lanes: a literal or, always in prediction, a variable. ``rows`` is the
    literal number of a thread's rows of a step, where it is one number. Where threads divide the batch, ``batch`` is
    that of one thread's lanes, a variable where it is not the same for all, and ``all_lanes`` the number of all lanes.
    ``cuts`` are the column bounds by thread of the operation at hand, None for all columns.
    """

    plan: Plan
    layout: Layout
    ownership: Ownership
    writer: Writer
    batch: str
    rows: int | None
    dtype: str
    division: Division
    all_lanes: int
    cuts: tuple[int, ...] | None = None
    predicts: bool = False
    functions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    routines: Counter[str] = field(default_factory=Counter)  # how many shapes have a name of a kind
    row_names: dict[str, str] = field(default_factory=dict)  # by the offset of a row, what it may be called
    domain: int = WINDOW

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
        self.functions[name] = tuple(ARGUMENT_KINDS[a] for a in arguments.split(", "))
        self.writer.lines("", "", "@njit(**JIT)" if name in ENTRIES else "@njit(**INSIDE)")
        with self.writer.span(name), self.writer.block(f"def {name}({arguments}):"):
            self.writer.line(f'"""{doc}"""')
            yield

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
        """What makes a row's weight its share of a window's, as arguments. The sum of weights may be beyond the numbers
        of float64, and so of float64 only: then ``unit`` brings them back."""
        return "unit, scale_all" if self.dtype == "float64" else "scale_all"

    def emit_barrier(self) -> None:
        """A line where threads wait for one another."""
        if self.threads > 1:
            self.writer.line("barrier(mailbox, parties)")

    def emit_bounds(self) -> None:
        """The line that computes the thread's rows of the window, where these are not all rows."""
        if self.takes_some_rows:
            self.writer.line(self._range("rows", "begin", "until"))

    @property
    def takes_some_rows(self) -> bool:
        """Whether the current operation is divided by rows, from ``first`` to ``last``."""
        return self.shares_rows and self.domain == WINDOW and self.cuts is None

    @property
    def ours(self) -> tuple[str, str]:
        """The first of the thread's rows in the domain, and the one after the last, as source."""
        if self.takes_some_rows:
            return "first", "last"
        return "0", "rows" if self.domain == WINDOW else self.batch

    @property
    def count(self) -> str:
        """The number of the thread's rows, as source."""
        first, last = self.ours
        return last if first == "0" else f"{last} - {first}"

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
        return name if name in EXTERNAL else "work"

    def stride(self, name: str) -> int:
        """Elements between two rows of a buffer."""
        return self.plan.strides[name]

    def base(self, place: Place, shift: int = 0) -> str:
        """The offset of a place's row 0: of the window, or of the step in a loop."""
        name = place.buffer
        stepped = name in EXTERNAL or self.buffers[name].rows != "step"
        text = f"{name}t" if self.domain != WINDOW and stepped else name
        if name in EXTERNAL:
            text = f"{name}{'t' if self.domain != WINDOW else '0'}"
        if shift:
            text += f" - {self.steps(name, -shift)}"
        return text + (f" + {place.column}" if place.column else "")

    def at(self, place: Place, shift: int = 0, column: str = "q") -> str:
        """The offset of the vector at row r and column q of a place."""
        text = self.base(replace(place, column=0), shift)
        if not self.is_one_row:
            text += f" + r * {self.stride(place.buffer)}"
            self.row_names[text] = f"{place.buffer}r{before(shift, '_before')}"
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
        first, last = self.ours
        with self.writer.block(f"for r in span({first}, {last}):"), self.rows_named():
            yield

    @contextmanager
    def rows_named(self) -> Iterator[None]:
        """Inside a loop over rows: where a row stands in a buffer is computed once, however many lines ask for it.

        LLVM would find that by itself. But half of the time of building goes into the statements that it is given.
        """
        start = self.writer.length
        self.row_names.clear()
        yield
        self.writer.name_repeated(start, self.row_names)

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
        limit = access.limit
        if limit is None and place.buffer in EXTERNAL:
            limit = place.width
        where = self.at(place, access.shift, column)
        if limit is not None and self.ragged(limit, width):
            return f"load_head({self.array(place.buffer)}, {where}, {self.left(limit, column)})"
        return f"load({self.array(place.buffer)}, {where})"

    def shape(self, **fields: object) -> str:
        """The name of a matrix product of a literal shape, declared at the head of the file."""
        return self.routine("product", "product_of(simd.Shape({kind}, {fields}, registers={registers}))", fields)

    def routine(self, name: str, pattern: str, fields: Mapping[str, object]) -> str:
        """The name of a routine of a literal shape, declared at the head of the file."""
        text = pattern.format(
            kind=f'"{self.dtype}", {self.lanes}', registers=self.layout.registers,
            fields=", ".join(f"{key}={value!r}" for key, value in fields.items()),
        )  # fmt: skip
        if text not in self.shapes:
            self.routines[name] += 1
            self.shapes[text] = f"{name}{self.routines[name] - 1}"
        return self.shapes[text]
