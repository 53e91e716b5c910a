"""Expands cells: puts the nodes of each cell in the place of its use."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ..errors import Location, MDLSemanticError
from ..host.frozen import frozen
from .cells import Cell, Cells
from .definitions import cells_of
from .lexer import MAX_NAME, Source, quoted
from .library import library
from .origins import place_of, told
from .parser import MAX_STEPS, MAX_WIDTH, WIDTH
from .reading import MAX_BARS, MAX_NESTING, MAX_NODES
from .syntax import (
    Definition,
    Function,
    Given,
    Initializer,
    Layer,
    Local,
    Merge,
    Model,
    Node,
    Number,
    Origin,
    Reference,
    Split,
    Use,
    WidthOf,
    each,
)

_LEARNED = "learned"  # a function whose layer has a bias only; its number is the bias's initial value


def expand(model: Model, functions: Collection[str], cells: Sequence[Definition] | None = None) -> Model:
    """The model with the nodes of cells in the place of their uses; `syntax.Model` says what else it has.

    functions: names that no cell may have. cells: definitions that every text may use; None means those of the library.
    Raises MDLSemanticError, with the place, for a wrong definition, a wrong use, or a text that is too large when
    expanded. The work is bounded, since a text is untrusted input.
    """
    named = (function for node in each(model.nodes) for function in _functions(node))
    if not model.definitions and all(function.name in functions for function in named):
        return model
    outer = Cells(functions)
    for definition in library() if cells is None else cells:
        outer.add(definition, library=True)
    known = cells_of(model, Cells(functions, outer))
    expansion = _Expansion(model, known)
    nodes = expansion.nodes(model.nodes, _TEXT, 0)
    spare, given = _spare(model, known)
    return replace(
        model,
        nodes=tuple(nodes),
        definitions=(),
        uses=tuple(expansion.uses),
        spare=tuple(spare),
        given=(*expansion.given, *given),
        cells=known.names,
    )


def with_widths(model: Model, widths: Mapping[str, int]) -> Model:
    """An expanded model with all widths as numbers. widths: the widths of all nodes by name."""

    def numbered(node: Node) -> Node:
        if isinstance(node, Split):
            return replace(node, branches=tuple(tuple(map(numbered, branch)) for branch in node.branches))
        if isinstance(node, Layer) and isinstance(node.width, WidthOf):
            return replace(node, width=widths[node.name])
        return node

    return replace(model, nodes=tuple(map(numbered, model.nodes)))


def _functions(node: Node) -> list[Function]:
    both = (node.activation, node.loss) if isinstance(node, Layer) else ()
    return [function for function in both if function is not None]


@frozen
class _Frame:
    """The names, numbers and initialisers that replace those of a body, for one use of its cell.

    itself: the name of the body's last node. inside: a prefix for the names of the other nodes. depth: the number of
    uses around. cell: None for the text itself.
    """

    cell: Cell | None
    itself: str
    inside: str
    numbers: Mapping[str, Number]
    width: int | Reference | WidthOf | None
    local: Local | None
    origin: Origin | None
    depth: int

    def name(self, own: str) -> str:
        return self.itself if self.cell is not None and own == self.cell.last else self.inside + own

    def number(self, said: Number) -> Number:
        """The number that a parameter has here; a reference where it is open, in a definition that nobody uses."""
        return self.numbers.get(said.name, said) if isinstance(said, Reference) else said

    def place(self, location: Location) -> Location:
        return place_of(location, self.origin)

    def places(self, locations: tuple[Location, ...]) -> tuple[Location, ...]:
        return tuple(map(self.place, locations))


_TEXT = _Frame(None, "", "", {}, None, None, None, 0)


class _Expansion:
    """One expansion: the uses found so far, the initialisers that they give, and the counts that have a limit."""

    def __init__(self, model: Model, cells: Cells) -> None:
        self.uses: list[Use] = []
        self.given: list[Given] = []
        self._source = Source(model.source, model.filename)
        self._cells = cells
        self._bars = 0

    def nodes(self, nodes: Sequence[Node], frame: _Frame, nesting: int) -> list[Node]:
        """The expanded nodes of a branch of a body. nesting: the number of splits around."""
        found: list[Node] = []
        for node in nodes:
            cell = self._home(frame).used_by(node)
            if isinstance(node, Split):
                found.append(self._split(node, frame, nesting + 1))
            elif isinstance(node, Merge):
                found.append(self.merge(node, frame))
            elif cell is None:
                found.append(self.layer(node, frame))
            else:
                found += self.nodes(cell.definition.nodes, self._used(node, cell, frame), nesting)
        return found

    def _home(self, frame: _Frame) -> Cells:
        return self._cells if frame.cell is None else frame.cell.home

    def _split(self, node: Split, frame: _Frame, nesting: int) -> Split:
        self._bars += len(node.branches) - 1
        for count, most, reason in (
            (nesting, MAX_NESTING, f"splits are nested too deep: at most {MAX_NESTING} '[' may be open"),
            (self._bars, MAX_BARS, f"the model has too many branches: at most {MAX_BARS:,} '|' are allowed"),
        ):
            if count > most:
                raise self._error(f"{reason}, cells in the place of their uses", node.location, node.name, frame)
        branches = [tuple(self.nodes(branch, frame, nesting)) if branch else () for branch in node.branches]
        return Split(self._name(node, frame), tuple(branches), frame.place(node.location), frame.origin)

    def merge(self, node: Merge, frame: _Frame) -> Merge:
        if frame.cell is None:
            return node
        steps: int | Reference | None = node.steps
        if isinstance(steps, Reference):
            what = f"the number of steps back of {quoted(node.name)}"
            steps = self._whole(steps, what, 0, MAX_STEPS, node.name, frame)
        return Merge(
            self._name(node, frame),
            frame.name(node.other),
            node.operation,
            frame.place(node.location),
            frame.place(node.other_location),
            frame.place(node.operation_location),
            steps,
            node.steps_location and frame.place(node.steps_location),
            frame.origin,
        )

    def layer(self, node: Layer, frame: _Frame) -> Layer:
        if frame.cell is None:
            return node
        return Layer(
            self._name(node, frame),
            self._width(node, frame),
            node.activation and _function(node.activation, frame),
            None,
            frame.place(node.location),
            node.width_location and frame.place(node.width_location),
            _local_of(node, frame),
            frame.origin,
        )

    def _used(self, node: Layer, cell: Cell, frame: _Frame) -> _Frame:
        """The frame for the body of a used cell."""
        assert node.activation is not None  # it names the cell
        name, inside = self._name(node, frame), f"{frame.inside}{node.name}."
        first = _first(cell, name, inside)
        said = self._width(node, frame)
        width = WidthOf(first) if said is None else said
        origin = Origin(name, cell.definition.name, frame.place(node.location), cell.library, frame.origin)
        if not isinstance(width, Reference):  # it is one only in a definition that nobody uses
            place, last = origin.location, cell.last
            self.uses.append(Use(name, origin.cell, first, last, width, place, frame.depth, frame.origin))
        local = _filled(self.give(node, name, frame), frame.local)
        numbers = _numbers_of(node.activation, cell, frame)
        return _Frame(cell, name, inside, numbers, width, local, origin, frame.depth + 1)

    def give(self, node: Layer, name: str, frame: _Frame) -> Local | None:
        """The initialisers that a use gives, which are kept to be checked. name: the full name of the use."""
        local = _given(node.local, frame)
        if local is not None:
            self.given.append(Given(name, local, frame.origin))
        return local

    def _name(self, node: Node, frame: _Frame) -> str:
        name = frame.name(node.name)
        if len(name) > MAX_NAME:
            reason = f"the name {quoted(name)} is too long: it has {len(name)} characters with those of the uses around"
            raise self._error(f"{reason}, at most {MAX_NAME} are allowed", node.location, node.name, frame)
        return name

    def _width(self, node: Layer, frame: _Frame) -> int | Reference | WidthOf | None:
        if not isinstance(node.width, Reference):
            return node.width
        if node.width.name == WIDTH:
            return frame.width or node.width
        return self._whole(node.width, f"the width of {quoted(node.name)}", 1, MAX_WIDTH, node.name, frame)

    def _whole(self, said: Reference, what: str, least: int, most: int, name: str, frame: _Frame) -> int | Reference:
        """The number that a parameter has in this use, checked to be whole and from ``least`` to ``most``."""
        value = frame.number(said)
        if isinstance(value, Reference) or (value.is_integer() and least <= value <= most):
            return value if isinstance(value, Reference) else int(value)
        reason = f"{what} is {quoted(said.name)}, here {value:g}: it must be a whole number from {least} to {most:,}"
        raise self._error(reason, said.location, name, frame)

    def _error(self, reason: str, location: Location, name: str, frame: _Frame) -> MDLSemanticError:
        full = frame.name(name)
        return self._source.semantic_error(told(reason, full, frame.origin), frame.place(location))


# Parts of nodes


def _function(function: Function, frame: _Frame) -> Function:
    numbers = tuple(map(frame.number, function.parameters))
    places = frame.places(function.parameter_locations)
    return Function(function.name, numbers, frame.place(function.location), places)


def _initializer(initializer: Initializer, frame: _Frame) -> Initializer:
    numbers = tuple(map(frame.number, initializer.parameters))
    places = frame.places(initializer.parameter_locations)
    return Initializer(initializer.name, numbers, frame.place(initializer.location), places)


def _given(local: Local | None, frame: _Frame) -> Local | None:
    """The initialisers that a node of a body itself gives."""
    if local is None:
        return None
    weight = local.weight and _initializer(local.weight, frame)
    return Local(weight, local.bias and _initializer(local.bias, frame), frame.place(local.location))


def _filled(local: Local | None, around: Local | None) -> Local | None:
    """The initialisers of a node: its own, and for those that it does not give, those of the use around it."""
    if local is None or around is None:
        return local or around
    return replace(local, weight=local.weight or around.weight, bias=local.bias or around.bias)


def _local_of(node: Layer, frame: _Frame) -> Local | None:
    """The initialisers of a node of a body. Those of the use replace those of the header.

    Only a layer with a width uses the header's. A learned vector has a bias only, and with a number it needs no
    initialiser.
    """
    own, around, said = _given(node.local, frame), frame.local, node.activation
    if node.width is None or around is None:
        return own
    if said is None or said.name != _LEARNED:
        return _filled(own, around)
    if said.parameters or around.bias is None:
        return own
    return _filled(own, replace(around, weight=None))


def _numbers_of(function: Function, cell: Cell, frame: _Frame) -> dict[str, Number]:
    """The number of each parameter of a cell: those of the use, then the defaults."""
    found = _defaults(cell.definition)
    for (name, _), said in zip(cell.definition.parameters, function.parameters, strict=False):
        found[name] = frame.number(said)
    return found


def _defaults(definition: Definition) -> dict[str, Number]:
    return {name: default for name, default in definition.parameters if default is not None}


def _first(cell: Cell, name: str, inside: str) -> str:
    """The full name of the first node that takes the place of a use."""
    while True:
        node = cell.definition.nodes[0]
        full = name if node.name == cell.last else inside + node.name
        inner = cell.home.used_by(node)
        if inner is None:
            return full
        cell, name, inside = inner, full, f"{inside}{node.name}."


# Definitions without a use


def _unused(model: Model, cells: Cells) -> list[Definition]:
    """The text's definitions that the main branch does not use, directly or through other definitions."""
    used: set[str] = set()
    waiting = [model.nodes]
    while waiting:
        for cell in map(cells.used_by, each(waiting.pop())):
            if cell is not None and not cell.library and cell.definition.name not in used:
                used.add(cell.definition.name)
                waiting.append(cell.definition.nodes)
    return [definition for definition in model.definitions if definition.name not in used]


def _spare(model: Model, cells: Cells) -> tuple[list[tuple[Node, ...]], list[Given]]:
    """The bodies of the definitions that nobody uses, with the parameters' defaults for numbers, and what uses give.

    A parameter without a default stays a reference. Uses are expanded too, up to the limit of a text's nodes in all. In
    what exceeds it, each node is a body of its own.
    """
    found: list[tuple[Node, ...]] = []
    given: list[Given] = []
    size = 0
    for definition in _unused(model, cells):
        cell = cells.find(definition.name)
        assert cell is not None
        frame = _Frame(cell, cell.last, "", _defaults(definition), None, None, None, 0)
        expansion = _Expansion(model, cells)
        if size + cell.size <= MAX_NODES:
            size += cell.size
            found.append(tuple(expansion.nodes(definition.nodes, frame, 0)))
        else:
            found += ((node,) for node in _without_uses(expansion, definition, frame))
        given += expansion.given
    return found, given


def _without_uses(expansion: _Expansion, definition: Definition, frame: _Frame) -> list[Node]:
    """The layers and merges of a body that are no uses of cells."""
    assert frame.cell is not None  # it is the frame of a definition
    found: list[Node] = []
    for node in each(definition.nodes):
        if isinstance(node, Merge):
            found.append(expansion.merge(node, frame))
        elif isinstance(node, Layer) and frame.cell.home.used_by(node) is None:
            found.append(expansion.layer(node, frame))
        elif isinstance(node, Layer):
            expansion.give(node, frame.name(node.name), frame)
    return found
