"""The parts of a plan: places, operations over them, segments, groups and buffers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..graph import Graph
from ..graph.recurrence import WINDOW
from ..host.cached import cached_property

EXTERNAL = {"x", "y"}  # the caller's arrays of inputs and, in prediction, of results: rows without padding


def padded(width: int, lanes: int) -> int:
    """``width`` rounded up to whole vectors."""
    return -(-width // lanes) * lanes


# X-------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Columns of a buffer that hold one vector a row."""

    buffer: str
    column: int
    width: int

    def overlaps(self, other: Place, lanes: int) -> bool:
        """Whether the two share columns, padding included."""
        return (
            self.buffer == other.buffer
            and self.column < other.column + padded(other.width, lanes)
            and other.column < self.column + padded(self.width, lanes)
        )


class Access(NamedTuple):
    """A read of a place: in this step (shift 0) or some steps before (-1, -2, …). Components from ``limit`` on read as
    zero. Where ``broadcast`` is set, the first component stands for all."""

    place: Place
    shift: int = 0
    limit: int | None = None
    broadcast: bool = False


@dataclass(frozen=True)
class Note:
    """What a statement does, and for which node. ``text`` is a comment of generated source; ``brief`` is the same
    without the node's kind and width."""

    node: int
    text: str
    brief: str


@dataclass(frozen=True)
class Map:
    """One element-by-element statement: target = expression(operands), added to what is there if ``accumulate``.
    The target is of this step, or ``shift`` (-1, -2, …) steps before."""

    target: Place
    expression: str
    operands: tuple[tuple[str, Access], ...]
    width: int
    note: Note
    let: tuple[tuple[str, str], ...] = ()
    accumulate: bool = False
    exact: bool = False  # write only the target's own components, for neighbours stand in its padding
    keep: int | None = None  # components from here on are those of the operand named ``rest``, unchanged
    rest: str = ""
    store: bool = True
    shift: int = 0
    zero: int | None = None  # components from here on are zero


@dataclass(frozen=True)
class Reduce:
    """A number of each row: the sum over its ``width`` components of an expression, or of ``finish`` over the ``mean``
    of the components. It is stored to the first component of the target (to which it is added if ``accumulate``), or
    ``spread``, to all components of a vector.
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


@dataclass(frozen=True)
class Mask:
    """The mask of a dropout for a window: factors that are 0 or 1 / (1 - rate), and all 1 where nothing is learnt."""

    target: Place
    node: int
    rate: float
    note: Note


@dataclass(frozen=True)
class Columns:
    """The gradient of a parameter vector: the sums over all rows of the components of a place."""

    vector: str
    source: Place
    note: str


@dataclass(frozen=True)
class Block:
    """Statements of one padded width, done row by row, vector by vector, with values passing in registers. Of the
    numbers of a row it makes those that are spread to all components of a vector."""

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


@dataclass(frozen=True)
class Rows:
    """Softmax of rows ("softmax": source to target) or its gradient ("softmax_gradient": y and g to target)."""

    kind: str
    target: Place
    operands: tuple[Place, ...]
    accumulate: bool
    note: Note


@dataclass(frozen=True)
class Loss:
    """The loss of every row, and its gradient, which is stored to ``target`` (None where only the loss is wanted).
    ``units``: the vectors that are subtracted from what is expected, and that it is divided by, before it is compared.
    """

    result: Place
    logits: Place | None
    target: Place | None
    note: str
    units: tuple[str, str] | None = None


@dataclass(frozen=True)
class Epilogue:
    """What is stored in place of a product's sums x: an expression, maybe of the elements y of a place beside them."""

    expression: str
    beside: Place | None
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Partials:
    """Where the sums stand that each thread makes over its own part of a product's inner dimension: in a buffer that
    has, one thread's rows after the other's, rows of ``width`` elements."""

    buffer: str
    width: int
    threads: int


@dataclass(frozen=True)
class Product:
    """A matrix product of a group's part. kind: "forward" (left X, out pre-activations), "backward" (left gradient of
    the pre-activations, out gradient of X), "weight" (left X, right gradient of the pre-activations). With
    ``partials`` it makes the sums of each thread only, and a ``Sum`` adds them up.

    The target is of this step, or ``shift`` (-1, -2, …) steps before. The product of a convolution is done for each of
    its ``taps``, with their own rows of the weight: source (forward, weight) or target (backward) of the first tap are
    as they say, of each further one ``dilation`` steps later.
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


@dataclass(frozen=True)
class Sum:
    """The sums of all threads added up, in order, to what ``product`` would have stored."""

    product: Product
    partials: Partials
    note: str


@dataclass(frozen=True)
class Bias:
    """The bias gradient of a group: the column sums of the gradient of its pre-activations."""

    group: int
    note: str


Operation = Map | Block | Reduce | Mask | Rows | Loss | Product | Sum | Bias | Columns


def notes_of(operation: Operation) -> tuple[str, ...]:
    """What an operation does, a text for each different thing."""
    if isinstance(operation, Block):
        return tuple(dict.fromkeys(statement.note.text for statement in operation.maps))
    if isinstance(operation, Map | Reduce | Mask | Rows):
        return (operation.note.text,)
    return (operation.note,)


@dataclass(frozen=True)
class Share:
    """How threads divide one operation: by columns at these bounds (panels of a product, vectors of a block, vectors of
    what a product sums over) or, None, by rows; and whether the threads have to meet before it."""

    cuts: tuple[int, ...] | None
    meet: bool


@dataclass(frozen=True)
class Segment:
    """Operations that run together, over the window at once (WINDOW) or step by step in the loop of that number.

    shares: how each operation is divided, where threads divide layers by columns.
    """

    domain: int
    operations: tuple[Operation, ...]
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True)
class Part:
    """Some rows of a group's weight: those that one node's value is multiplied with, ``shift`` (0, -1, -2, …) steps
    from this one. Of a convolution: its values at ``taps`` steps, the first of them at ``shift``, each of the others
    ``dilation`` steps later."""

    node: int
    shift: int
    width: int
    first_row: int
    taps: int = 1
    dilation: int = 1

    @property
    def rows(self) -> int:
        """Rows of the weight."""
        return self.taps * self.width

    @property
    def last(self) -> int:
        """The last step that it reads, from this one: 0, or -1, -2, …"""
        return self.shift + (self.taps - 1) * self.dilation


@dataclass(frozen=True)
class Member:
    """One layer of a group and where its columns begin."""

    node: int
    column: int
    width: int


@dataclass(frozen=True)
class Group:
    """Sibling layers: they read the same vector, so they are one product with their columns side by side."""

    index: int
    domain: int
    parts: tuple[Part, ...]
    members: tuple[Member, ...]
    columns: int  # padded, of all members together
    learns: bool = True

    @property
    def fan_in(self) -> int:
        """Rows of the weight."""
        return sum(part.rows for part in self.parts)

    @property
    def size(self) -> int:
        """Elements of weights and bias, padding included."""
        return (self.fan_in + 1) * self.columns


@dataclass(frozen=True)
class Vector:
    """A parameter vector of an elementwise layer. Operations read it as a place of the buffer ``name``."""

    name: str
    node: int
    role: str
    width: int
    learns: bool


def vector_name(node: int, role: str) -> str:
    """The name that operations give a parameter vector."""
    return f"w{node}_{role}"


def is_vector(buffer: str) -> bool:
    """Whether a buffer is a parameter vector: the same in every row."""
    return buffer.startswith("w")


@dataclass(frozen=True)
class Buffer:
    """Rows of numbers in the workspace. rows: "window" (steps × lanes), "slots" (``depth`` more steps come first: the
    state that the window starts from) or "step" (lanes). block: the buffer whose block it stands in, by lifetimes;
    its own name where it comes first or alone."""

    name: str
    stride: int
    rows: str
    block: str
    depth: int = 1


@dataclass(frozen=True)
class Plan:
    """What training or prediction of one graph does: its operations in order, and the buffers that they use."""

    graph: Graph
    lanes: int
    groups: tuple[Group, ...]
    forward: tuple[Segment, ...]
    backward: tuple[Segment, ...]
    buffers: tuple[Buffer, ...]
    state: tuple[tuple[int, str], ...]  # (node read back in time, its buffer)
    transposed: tuple[tuple[int, int], ...]  # (group, part) whose transposed weights the backward pass reads
    output: Place
    carries: tuple[str, ...] = ()
    vectors: tuple[Vector, ...] = ()
    cleared: tuple[str, ...] = ()  # gradients that later steps add to: zeros before the backward pass
    transposed_once: frozenset[tuple[int, int]] = frozenset()  # those of frozen weights: made once a call
    strides: dict[str, int] = field(default_factory=dict, compare=False)

    @cached_property
    def buffers_by_name(self) -> dict[str, Buffer]:
        """The same buffers, to be found by their names."""
        return {buffer.name: buffer for buffer in self.buffers}

    def block(self, name: str) -> str:
        """The block of a buffer; the name of one that nothing is stored in."""
        buffer = self.buffers_by_name.get(name)
        return name if buffer is None else buffer.block

    @cached_property
    def inner(self) -> frozenset[tuple[int, int]]:
        """(group, part) of the weights whose rows, and not columns, threads divide."""
        operations = [operation for segment in self.forward for operation in segment.operations]
        return frozenset((op.group, op.part) for op in operations if isinstance(op, Product) and op.partials)

    @property
    def changing_transposes(self) -> tuple[tuple[int, int], ...]:
        """(group, part) of the transposes that each update makes out of date."""
        return tuple(which for which in self.transposed if which not in self.transposed_once)

    @property
    def blocks(self) -> dict[str, list[str]]:
        """By block the buffers that stand in it at different times, the first of them first."""
        found = {buffer.name: [buffer.name] for buffer in self.buffers if buffer.block == buffer.name}
        for buffer in self.buffers:
            if buffer.block != buffer.name:
                found[buffer.block].append(buffer.name)
        return found

    @property
    def drops(self) -> bool:
        """Whether training makes masks of dropouts, which change with every update."""
        return any(isinstance(operation, Mask) for segment in self.forward for operation in segment.operations)

    @property
    def has_loop(self) -> bool:
        """Whether anything has to run step by step."""
        return any(segment.domain != WINDOW for segment in self.forward)
