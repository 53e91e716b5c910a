"""The parts that a plan consists of: places, operations over them, segments, groups and buffers."""

from __future__ import annotations

from dataclasses import field
from typing import NamedTuple

from ..graph import Graph
from ..host.cached import cached_property
from ..host.frozen import frozen

EXTERNAL = {"x", "y"}  # the caller's arrays: the inputs and, in prediction, the results; their rows have no padding


def padded(width: int, lanes: int) -> int:
    """``width`` rounded up to whole vectors."""
    return -(-width // lanes) * lanes


def vectors_in(width: int, lanes: int) -> int:
    """The number of vectors that ``width`` elements fill, the last of them maybe in part."""
    return -(-width // lanes)


class Place(NamedTuple):
    """Some columns of a buffer, which hold one vector a row."""

    buffer: str
    column: int
    width: int

    def overlaps(self, other: Place, lanes: int) -> bool:
        """Whether two places share columns, with padding."""
        return (
            self.buffer == other.buffer
            and self.column < other.column + padded(other.width, lanes)
            and other.column < self.column + padded(self.width, lanes)
        )


class Access(NamedTuple):
    """A read of a place, in this step (shift 0) or some steps before (-1, -2, …). Components from ``limit`` on read as
    zero. With ``broadcast``, all components read as the first one."""

    place: Place
    shift: int = 0
    limit: int | None = None
    broadcast: bool = False


class Note(NamedTuple):
    """The node that a statement works for, and what it does: ``text``, a comment of generated source, and ``brief``,
    the same without the node's kind and width."""

    node: int
    text: str
    brief: str


@frozen
class Map:
    """An element-by-element statement: target = expression(operands). With ``accumulate``, it adds to the target.
    The target is of this step, or ``shift`` (-1, -2, …) steps before."""

    target: Place
    expression: str
    operands: tuple[tuple[str, Access], ...]
    width: int
    note: Note
    let: tuple[tuple[str, str], ...] = ()
    accumulate: bool = False
    exact: bool = False  # write only the target's own components, because other vectors stand in its padding
    keep: int | None = None  # components from here on are those of the operand ``rest``, unchanged
    rest: str = ""
    store: bool = True
    shift: int = 0
    zero: int | None = None  # components from here on are zero
    inner: tuple[int, ...] = ()  # other nodes whose values or gradients it computes on the way


@frozen
class Reduce:
    """A reduction of each row to one number: the sum of an expression over ``width`` components.

    With ``finish``, the number is that expression over the ``mean`` of the components. It is stored to the first
    component of the target, with ``accumulate`` added to it, or with ``spread`` stored to all elements of a vector.
    """

    target: Place
    expression: str
    operands: tuple[tuple[str, Access], ...]
    width: int
    note: Note
    accumulate: bool = False
    shift: int = 0
    finish: str = ""
    spread: bool = False
    store: bool = True


@frozen
class Mask:
    """The mask of a dropout for a window: factors 0 or 1 / (1 - rate); all are 1 in calls that do not learn."""

    target: Place
    node: int
    rate: float
    note: Note


@frozen
class Columns:
    """The gradient of a parameter vector: the sums over all rows of the components of a place."""

    vector: str
    source: Place
    note: str


@frozen
class Block:
    """Maps of one padded width that run together, row by row and vector by vector; values pass in registers."""

    maps: tuple[Map | Reduce, ...]

    @cached_property
    def buffers(self) -> frozenset[str]:
        """The buffers that its statements read, or leave something in."""
        found = {access.place.buffer for statement in self.maps for _, access in statement.operands}
        found.update([statement.target.buffer for statement in self.maps if statement.store or statement.accumulate])
        return frozenset(found)

    @cached_property
    def passes(self) -> tuple[tuple[Map | Reduce, ...], ...]:
        """The statements by passes over a row. A new one begins where a statement reads a number of the row that the
        pass before it has made. What a later pass reads of other results, it reads from memory."""
        out: list[list[Map | Reduce]] = [[]]
        made: set[Place] = set()
        for statement in self.maps:
            if made and not made.isdisjoint(access.place for _, access in statement.operands):
                out.append([])
                made.clear()
            out[-1].append(statement)
            if isinstance(statement, Reduce):
                made.add(statement.target)
        return tuple(map(tuple, out))


@frozen
class Rows:
    """A softmax of rows ("softmax": source to target) or its gradient ("softmax_gradient": y and g to target)."""

    kind: str
    target: Place
    operands: tuple[Place, ...]
    accumulate: bool
    note: Note


@frozen
class Loss:
    """The loss of every row, and its gradient, which is stored to ``target`` (None if only the loss is needed).

    units: the vectors that standardise the expected values: one is subtracted from them, then the other divides them.
    """

    result: Place
    logits: Place | None
    target: Place | None
    note: str
    units: tuple[str, str] | None = None


@frozen
class Epilogue:
    """An expression over a product's sums x, whose result is stored in place of them. It may also read the elements y
    of another place, ``beside``."""

    expression: str
    beside: Place | None
    notes: tuple[Note, ...]


@frozen
class Partials:
    """The buffer for partial sums: those that each thread makes over its own part of a product's inner dimension. It
    has the rows of one thread after those of another, each of ``width`` elements."""

    buffer: str
    width: int
    threads: int


@frozen
class Product:
    """A matrix product of a group's part. kind: "forward" (left X, out pre-activations), "backward" (left gradient of
    the pre-activations, out gradient of X), "weight" (left X, right gradient of the pre-activations). With
    ``partials``, it makes only the partial sums of each thread, and a ``Sum`` adds them up.

    The target is of this step, or ``shift`` (-1, -2, …) steps before. The product of a convolution is done once for
    each of its ``taps``, with the tap's own rows of the weight. The source (forward, weight) or target (backward) is
    that of the first tap; for each further tap it is ``dilation`` steps later.
    """

    kind: str
    group: int
    part: int
    source: Access
    target: Place | None
    start: str
    note: str
    epilogue: Epilogue | None = None
    partials: Partials | None = None
    shift: int = 0
    taps: int = 1
    dilation: int = 1
    inner: tuple[int, ...] = ()  # the node whose gradient it is, where it writes to that of another one


@frozen
class Sum:
    """The sum, in order, of all threads' partial sums; its result is what ``product`` alone would have stored."""

    product: Product
    partials: Partials
    note: str


@frozen
class Bias:
    """The bias gradient of a group: the column sums of the gradient of its pre-activations."""

    group: int
    note: str


Operation = Map | Block | Reduce | Mask | Rows | Loss | Product | Sum | Bias | Columns


def notes_of(operation: Operation) -> tuple[str, ...]:
    """The notes of an operation: texts that say what it does, each once."""
    if isinstance(operation, Block):
        return tuple(dict.fromkeys(statement.note.text for statement in operation.maps))
    if isinstance(operation, Map | Reduce | Mask | Rows):
        return (operation.note.text,)
    return (operation.note,)


@frozen
class Share:
    """How threads divide one operation. cuts: the bounds by thread of its columns (panels of a product, vectors of a
    block, vectors of the inner dimension of a product), or None for a division by rows. meet: whether there must be a
    barrier before it. alone: whether the first thread does all of it, as in a loop where it can't be cut."""

    cuts: tuple[int, ...] | None
    meet: bool
    alone: bool = False


@frozen
class Segment:
    """Operations that run together: once over the window (domain WINDOW), or step by step in the loop of that number.

    shares: how each operation is divided, if threads divide layers by columns.
    """

    domain: int
    operations: tuple[Operation, ...]
    shares: tuple[Share, ...] = ()


class Part(NamedTuple):
    """The rows of a group's weight that are multiplied with one node's value of the step ``shift`` (0, -1, -2, …). For
    a convolution, they are multiplied with the values of ``taps`` steps: the first is ``shift``, each of the others is
    ``dilation`` steps later."""

    node: int
    shift: int
    width: int
    first_row: int
    taps: int = 1
    dilation: int = 1

    @property
    def rows(self) -> int:
        """The number of rows of the weight."""
        return self.taps * self.width

    @property
    def last(self) -> int:
        """The last step that the part reads, relative to the present one: 0, -1, -2, …"""
        return self.shift + (self.taps - 1) * self.dilation


class Member(NamedTuple):
    """A layer of a group, and its first column there."""

    node: int
    column: int
    width: int


@frozen
class Group:
    """Sibling layers. They read the same vector, so they are one product with their columns side by side."""

    index: int
    domain: int
    parts: tuple[Part, ...]
    members: tuple[Member, ...]
    columns: int  # of all members together, with padding
    learns: bool = True

    @property
    def fan_in(self) -> int:
        """The number of rows of the weight."""
        return sum(part.rows for part in self.parts)

    @property
    def size(self) -> int:
        """The number of elements of weights and bias, with padding."""
        return (self.fan_in + 1) * self.columns


@frozen
class Vector:
    """A parameter vector of an elementwise layer. Operations read it as a place of the buffer ``name``."""

    name: str
    node: int
    role: str
    width: int
    learns: bool


def vector_name(node: int, role: str) -> str:
    """The name of a parameter vector as a buffer of operations."""
    return f"w{node}_{role}"


def is_vector(buffer: str) -> bool:
    """Whether a buffer is a parameter vector, which is the same in every row."""
    return buffer.startswith("w")


class Buffer(NamedTuple):
    """Rows of numbers in the workspace. rows: "window" (steps × lanes), "slots" (the same after ``depth`` steps of the
    state that the window starts from) or "step" (lanes). block: the name of the first buffer of the block in which it
    stands; its own name if it is the first or the only one."""

    name: str
    stride: int
    rows: str
    block: str
    depth: int = 1


@frozen
class Plan:
    """The plan of one graph for training or for prediction: the operations in order, and the buffers that they use."""

    graph: Graph
    lanes: int
    groups: tuple[Group, ...]
    forward: tuple[Segment, ...]
    backward: tuple[Segment, ...]
    buffers: tuple[Buffer, ...]
    state: tuple[tuple[int, str], ...]  # (node that links in time read, its buffer)
    transposed: tuple[tuple[int, int], ...]  # the (group, part) whose transposed weights the backward pass reads
    output: Place
    carries: tuple[str, ...] = ()
    vectors: tuple[Vector, ...] = ()
    cleared: tuple[str, ...] = ()  # gradients that later steps add to: zeros before the backward pass
    transposed_once: frozenset[tuple[int, int]] = frozenset()  # those of frozen weights: made once a call
    strides: dict[str, int] = field(default_factory=dict, compare=False)

    @cached_property
    def buffers_by_name(self) -> dict[str, Buffer]:
        """The buffers of the plan by their names."""
        return {buffer.name: buffer for buffer in self.buffers}

    def block(self, name: str) -> str:
        """The name of a buffer's block; for a buffer to which nothing is stored, its own name."""
        buffer = self.buffers_by_name.get(name)
        return name if buffer is None else buffer.block

    @cached_property
    def inner(self) -> frozenset[tuple[int, int]]:
        """The (group, part) of the weights of which threads divide the rows and not the columns."""
        operations = [operation for segment in self.forward for operation in segment.operations]
        return frozenset((op.group, op.part) for op in operations if isinstance(op, Product) and op.partials)

    @property
    def changing_transposes(self) -> tuple[tuple[int, int], ...]:
        """(group, part) of the transposes that each update makes out of date."""
        return tuple(which for which in self.transposed if which not in self.transposed_once)

    @property
    def blocks(self) -> dict[str, list[str]]:
        """The buffers of each block, which stand in it at different times, in order."""
        found = {buffer.name: [buffer.name] for buffer in self.buffers if buffer.block == buffer.name}
        for buffer in self.buffers:
            if buffer.block != buffer.name:
                found[buffer.block].append(buffer.name)
        return found

    @cached_property
    def drops(self) -> bool:
        """Whether training makes dropout masks, which change with every update."""
        return any(isinstance(operation, Mask) for segment in self.forward for operation in segment.operations)
