"""How large a network may become, and what it may be made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..errors import nearest
from ..functions import ACTIVATIONS, ELEMENTWISE, MERGES
from ..graph import Graph, Node
from ..host.frozen import frozen
from ..language import MAX_STEPS, MAX_WIDTH, library
from ..options import whole_number

_PRODUCTS = ("multiplicative", "divisive", "scale", "dot")  # merges that multiply or divide each component
_LARGEST = 2**31


@frozen
class Size:
    """The size of a network. nodes: those that compute something, inside cells too. multiplications: a time step.

    Multiplications are counted for products with weights and for products and quotients of components, not for what
    is inside of functions such as tanh.
    """

    nodes: int
    parameters: int
    multiplications: int
    width: int
    delay: int


@frozen
class Limits:
    """The largest network that may come out, as numbers of `Size`.

    nodes: all that compute something, those inside cells too. width: of any node but the input and the output.
    delay: how many steps back a link may read; with 0, networks have no links in time.
    """

    nodes: int = 40
    parameters: int = 2_000
    multiplications: int = 4_000
    width: int = 16
    delay: int = 4

    def __post_init__(self) -> None:
        for name, least, most in (
            ("nodes", 2, _LARGEST), ("parameters", 1, _LARGEST), ("multiplications", 1, _LARGEST),
            ("width", 1, MAX_WIDTH), ("delay", 0, MAX_STEPS),
        ):  # fmt: skip
            if whole_number(f"Limits: {name}", getattr(self, name), least=least) > most:
                raise ValueError(f"Limits: {name} must be at most {most:,}, not {getattr(self, name):,}")

    def allow(self, size: Size) -> bool:
        """Whether a network of this size is within the limits."""
        return not self.broken_by(size)

    def broken_by(self, size: Size) -> tuple[str, ...]:
        """What of a network is too large, in words."""
        names = ("nodes", "parameters", "multiplications", "width", "delay")
        return tuple(
            f"{name} {getattr(size, name):,} > {getattr(self, name):,}"
            for name in names
            if getattr(size, name) > getattr(self, name)
        )


@frozen
class Choices:
    """The functions that operations choose from, by their names in the language; they take their default numbers.

    cells: of the library. The cells that a text defines are chosen from as well.
    """

    activations: tuple[str, ...] = ("tanh", "sigmoid", "relu", "linear", "swish", "softsign")
    merges: tuple[str, ...] = (
        "additive", "concatenate", "multiplicative", "subtractive", "average", "maximum", "minimum",
    )  # fmt: skip
    elementwise: tuple[str, ...] = ("gain", "shift", "norm")
    cells: tuple[str, ...] = ("rnn", "lstm", "gru", "min_gru", "ind_rnn", "leaky")

    def __post_init__(self) -> None:
        reading = [name for name, record in ELEMENTWISE.items() if record.reads_x]
        merges = [name for name, record in MERGES.items() if record.other_width == "any" and record.reads_x]
        _check("activations", self.activations, ACTIVATIONS, least=1)
        _check("merges", self.merges, merges, least=0)
        _check("elementwise", self.elementwise, reading, least=0)
        _check("cells", self.cells, [definition.name for definition in library()], least=0)


def _check(role: str, given: Iterable[str], known: Collection[str], *, least: int) -> None:
    """Raise an error for a name that is not known."""
    if isinstance(given, str):
        raise TypeError(f"Choices: {role} must be a tuple of names, not a text: write ({given!r},)")
    names = tuple(given)
    for name in names:
        if name not in known:
            near = nearest(str(name), known)
            hint = f"; did you mean {near!r}?" if near else f": choose from {', '.join(known)}"
            raise ValueError(f"Choices: {role} has {name!r}, which operations can't use{hint}")
    if len(names) < least:
        raise ValueError(f"Choices: {role} needs at least one name")


def size_of(graph: Graph) -> Size:
    """The size of a network."""
    live = [graph.nodes[index] for index in graph.computing]
    inside = [node.width for node in live if node.index not in (graph.input, graph.output)]
    delays = [max(node.steps, node.reach) for node in live]
    multiplications = sum(_multiplications(graph, node) for node in live)
    return Size(len(live), graph.parameter_count, multiplications, max(inside, default=1), max(delays, default=0))


def _multiplications(graph: Graph, node: Node) -> int:
    if node.kind == "layer":
        return graph.fan_in(node.index) * node.width
    if node.merge is not None and node.merge.name in _PRODUCTS:
        return node.width if node.source is None else graph.nodes[node.source].width
    if node.elementwise is not None and any(role.name in ("weight", "scale") for role in node.elementwise.roles):
        return node.width
    return 0
