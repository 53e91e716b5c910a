"""The syntax tree: the content of a text before its meaning is checked.

Two trees are equal when they have the same content; places in the text, and the text itself, do not count. The
location of a node is the place of its name.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from neuromorph.errors import Location


@dataclass(frozen=True)
class Initializer:
    """A weight or bias initialiser of the header: a name and up to two numbers."""

    name: str
    parameters: tuple[float, ...]
    location: Location = field(compare=False)
    parameter_locations: tuple[Location, ...] = field(compare=False)


@dataclass(frozen=True)
class Function:
    """An activation or a loss, `<name>` or `<name, parameter>`."""

    name: str
    parameter: float | None
    location: Location = field(compare=False)
    parameter_location: Location | None = field(compare=False)


@dataclass(frozen=True)
class Layer:
    """A layer, `(name, width, …)`, or an activation node, `(name, <activation>)`, whose width is None."""

    name: str
    width: int | None
    activation: Function | None
    loss: Function | None
    location: Location = field(compare=False)
    width_location: Location | None = field(compare=False)


@dataclass(frozen=True)
class Split:
    """A split, `[name, branch | branch …]`; a branch without nodes is a tap."""

    name: str
    branches: tuple[tuple["Node", ...], ...]
    location: Location = field(compare=False)


@dataclass(frozen=True)
class Merge:
    """A merge, `{name, other, operation}` or `{name, other, operation, steps}`; the steps are None where not given."""

    name: str
    other: str
    operation: str
    location: Location = field(compare=False)
    other_location: Location = field(compare=False)
    operation_location: Location = field(compare=False)
    steps: int | None = None
    steps_location: Location | None = field(default=None, compare=False)


Node: TypeAlias = Layer | Split | Merge


@dataclass(frozen=True)
class Model:
    """A whole text: its header and the nodes of its main branch, at least one."""

    weight_initializer: Initializer
    bias_initializer: Initializer
    nodes: tuple[Node, ...]
    source: str = field(compare=False, repr=False)
    filename: str | None = field(compare=False)
