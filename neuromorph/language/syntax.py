"""The syntax tree: the content of a text before its meaning is checked.

Two trees are equal if they have the same content, whatever the places in the text and the text itself are. The location
of a node is the place of its name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import TypeAlias

from ..errors import Location
from ..host.frozen import frozen


@frozen
class Reference:
    """A name in place of a number or a width, inside a definition: one of its parameters, or ``width``."""

    name: str
    location: Location = field(compare=False)


Number: TypeAlias = float | Reference


@frozen
class WidthOf:
    """The width of the vector that comes into the node of this name. Only expansion makes it."""

    first: str


@frozen
class Origin:
    """The use of a cell that an expanded node comes from, and the use around that one if it stands in a cell too.

    name: the use's full name in the model. location: the place of the use in the text; for a use inside a cell of the
    library, the place of the library's cell. library: whether the cell is one of the library's.
    """

    name: str
    cell: str
    location: Location
    library: bool
    outer: "Origin | None"


@frozen
class Initializer:
    """A weight or bias initialiser of the header or of a layer: a name and up to two numbers."""

    name: str
    parameters: tuple[Number, ...]
    location: Location = field(compare=False)
    parameter_locations: tuple[Location, ...] = field(compare=False)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The parameters, where no reference is among them."""
        return settled(self.parameters)


@frozen
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


@frozen
class Local:
    """The initialisers of one layer, `/weights, biases/`; None, an empty place, means the header's."""

    weight: Initializer | None
    bias: Initializer | None
    location: Location = field(compare=False)


@frozen
class Layer:
    """A layer, `(name, width, …)`, or a node as wide as what comes in, `(name, <activation>)`, with width None."""

    name: str
    width: int | Reference | WidthOf | None
    activation: Function | None
    loss: Function | None
    location: Location = field(compare=False)
    width_location: Location | None = field(compare=False)
    local: Local | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)


@frozen
class Split:
    """A split, `[name, branch | branch …]`; a branch without nodes is a tap."""

    name: str
    branches: tuple[tuple["Node", ...], ...]
    location: Location = field(compare=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)


@frozen
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


@frozen
class Definition:
    """The definition of a cell, `<name, parameter default, …>[nodes]`; a parameter with default None must be given."""

    name: str
    parameters: tuple[tuple[str, float | None], ...]
    nodes: tuple[Node, ...]
    location: Location = field(compare=False)
    parameter_locations: tuple[Location, ...] = field(compare=False)


@frozen
class Use:
    """A use of a cell that was expanded.

    name: of the node that has the cell's result. first: the name of the cell's first node. last: the name that the
    definition gives to the cell's last node, which is called ``name`` in the model. width: the width that the node must
    have. depth: 0 for a use in the text itself, 1 for one in a cell, and so on.
    """

    name: str
    cell: str
    first: str
    last: str
    width: int | WidthOf
    location: Location
    depth: int
    origin: Origin | None


@frozen
class Given:
    """The initialisers that a use of a cell gives. name, origin: as those of `Use`."""

    name: str
    local: Local
    origin: Origin | None


@frozen
class Model:
    """A whole text: its header, its definitions, and the nodes of its main branch, at least one.

    An expanded model has no definitions. It has its ``uses``, outer ones first, and in ``spare`` the bodies of
    definitions that nobody uses, with their defaults for numbers and cells in the place of their uses: they belong to
    no network and are there to be checked. ``given`` are the initialisers that uses give, also those in ``spare``.
    ``cells`` are the names of the cells that the text could have used.
    """

    weight_initializer: Initializer
    bias_initializer: Initializer
    nodes: tuple[Node, ...]
    source: str = field(compare=False, repr=False)
    filename: str | None = field(compare=False)
    definitions: tuple[Definition, ...] = ()
    uses: tuple[Use, ...] = field(default=(), compare=False, repr=False)
    spare: tuple[tuple[Node, ...], ...] = field(default=(), compare=False, repr=False)
    given: tuple[Given, ...] = field(default=(), compare=False, repr=False)
    cells: tuple[str, ...] = field(default=(), compare=False, repr=False)


def settled(parameters: Sequence[Number]) -> tuple[float, ...]:
    """The numbers of a node outside definitions. Raises TypeError if a reference is among them."""
    for number in parameters:
        if isinstance(number, Reference):
            raise TypeError(f"'{number.name}' is a parameter of a definition, and has no number yet")
    return tuple(number for number in parameters if not isinstance(number, Reference))


def each(nodes: Sequence[Node]) -> Iterator[Node]:
    """All nodes in text order, a split before the nodes of its branches."""
    waiting = [iter(nodes)]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
            continue
        yield node
        if isinstance(node, Split):
            waiting.extend(iter(branch) for branch in reversed(node.branches) if branch)
