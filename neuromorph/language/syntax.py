"""The syntax tree: the content of a text before its meaning is checked.

Two trees are equal when they have the same content; places in the text, and the text itself, do not count. The
location of a node is the place of its name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from neuromorph.errors import Location


@dataclass(frozen=True)
class Reference:
    """A name where a number or a width may stand: inside a definition, one of its parameters, or ``width``."""

    name: str
    location: Location = field(compare=False)


Number: TypeAlias = float | Reference


@dataclass(frozen=True)
class WidthOf:
    """As wide as what comes into the node of this name. Expansion makes it; no text says it."""

    first: str


@dataclass(frozen=True)
class Origin:
    """Where an expanded node comes from: the use of a cell, and the use around it where that stands in a cell too.

    ``name`` is the use's, as the whole model knows it. ``location`` is a place of the text: that of the use, or of the
    use of the library's cell that it stands in. ``library`` says that the cell is one of the library's.
    """

    name: str
    cell: str
    location: Location
    library: bool
    outer: "Origin | None"


@dataclass(frozen=True)
class Initializer:
    """A weight or bias initialiser, of the header or of one layer: a name and up to two numbers."""

    name: str
    parameters: tuple[Number, ...]
    location: Location = field(compare=False)
    parameter_locations: tuple[Location, ...] = field(compare=False)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The parameters, where no reference is among them."""
        return settled(self.parameters)


@dataclass(frozen=True)
class Function:
    """An activation, a loss or a cell: `<name>`, `<name, number>` or `<name, number, number>`."""

    name: str
    parameters: tuple[Number, ...]
    location: Location = field(compare=False)
    parameter_locations: tuple[Location, ...] = field(compare=False)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The parameters, where no reference is among them."""
        return settled(self.parameters)


@dataclass(frozen=True)
class Local:
    """The initialisers of one layer, `/weights, biases/`; None, an empty place, means the header's."""

    weight: Initializer | None
    bias: Initializer | None
    location: Location = field(compare=False)


@dataclass(frozen=True)
class Layer:
    """A layer, `(name, width, …)`, or a node as wide as what comes in, `(name, <activation>)`, whose width is None."""

    name: str
    width: int | Reference | WidthOf | None
    activation: Function | None
    loss: Function | None
    location: Location = field(compare=False)
    width_location: Location | None = field(compare=False)
    local: Local | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Split:
    """A split, `[name, branch | branch …]`; a branch without nodes is a tap."""

    name: str
    branches: tuple[tuple["Node", ...], ...]
    location: Location = field(compare=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Merge:
    """A merge, `{name, other, operation}` or `{name, other, operation, steps}`."""

    name: str
    other: str
    operation: str
    location: Location = field(compare=False)
    other_location: Location = field(compare=False)
    operation_location: Location = field(compare=False)
    steps: int | Reference | None = None
    steps_location: Location | None = field(default=None, compare=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)


Node: TypeAlias = Layer | Split | Merge


@dataclass(frozen=True)
class Definition:
    """A cell, `<name, parameter default, …>[nodes]`; a parameter whose default is None must be given."""

    name: str
    parameters: tuple[tuple[str, float | None], ...]
    nodes: tuple[Node, ...]
    location: Location = field(compare=False)
    parameter_locations: tuple[Location, ...] = field(compare=False)


@dataclass(frozen=True)
class Use:
    """A use of a cell that was expanded: its node is called ``name``, and ``first`` is the cell's first node.

    The node has to be as wide as ``width``. ``depth`` is 0 for a use of the text's own, 1 for one in a cell, and so on.
    """

    name: str
    cell: str
    first: str
    width: int | WidthOf
    location: Location
    depth: int
    origin: Origin | None


@dataclass(frozen=True)
class Model:
    """A whole text: its header, its definitions, and the nodes of its main branch, at least one.

    An expanded model has no definitions. It has its ``uses``, outer ones first, and in ``spare`` the nodes of
    definitions that nobody uses, with their defaults for numbers and cells in the place of their uses: they belong to
    no network and are there to be checked. ``cells`` are the names of the cells that the text could have used.
    """

    weight_initializer: Initializer
    bias_initializer: Initializer
    nodes: tuple[Node, ...]
    source: str = field(compare=False, repr=False)
    filename: str | None = field(compare=False)
    definitions: tuple[Definition, ...] = ()
    uses: tuple[Use, ...] = field(default=(), compare=False, repr=False)
    spare: tuple[Node, ...] = field(default=(), compare=False, repr=False)
    cells: tuple[str, ...] = field(default=(), compare=False, repr=False)


def settled(parameters: Sequence[Number]) -> tuple[float, ...]:
    """The numbers of a node outside definitions.

    Raises TypeError where a reference is among them.
    """
    for number in parameters:
        if isinstance(number, Reference):
            raise TypeError(f"'{number.name}' is a parameter of a definition, and has no number yet")
    return tuple(number for number in parameters if not isinstance(number, Reference))


def each(nodes: Sequence[Node]) -> Iterator[Node]:
    """All nodes in text order: a split stands before the nodes of its branches."""
    waiting = [iter(nodes)]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
            continue
        yield node
        if isinstance(node, Split):
            waiting.extend(iter(branch) for branch in reversed(node.branches) if branch)
