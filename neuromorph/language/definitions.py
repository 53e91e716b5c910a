"""Checks the definitions of a text and its uses of cells, as far as that needs no knowledge of functions."""

from collections.abc import Iterable

from ..errors import Location, MDLSemanticError, nearest
from .cells import Cell, Cells
from .lexer import Source, quoted
from .reading import MAX_NODES
from .syntax import Definition, Function, Layer, Merge, Model, Node, Split, each

MAX_DEPTH = 100  # of nested uses of cells


def cells_of(model: Model, cells: Cells) -> Cells:
    """Add the definitions of a text to the library's cells. All are checked, those without a use too.

    Raises MDLSemanticError, with the place, for a wrong definition or a wrong use of a cell.
    """
    checks = _Checks(model, cells)
    checks.names()
    for definition in model.definitions:
        checks.uses(definition.nodes)
        cell = cells.add(definition)
        checks.body(cell)
    checks.uses(model.nodes)
    return cells


class _Checks:
    def __init__(self, model: Model, cells: Cells) -> None:
        self._model = model
        self._source = Source(model.source, model.filename)
        self._cells = cells
        self._later: dict[str, Definition] = {}

    def _error(self, reason: str, location: Location) -> MDLSemanticError:
        return self._source.semantic_error(reason, location)

    def names(self) -> None:
        """Refuse two definitions of one name, and a definition with the name of a function."""
        for definition in self._model.definitions:
            name = definition.name
            if name in self._cells.functions:
                reason = f"{quoted(name)} is a function of the language: a definition needs another name"
                raise self._error(reason, definition.location)
            if name in self._later:
                reason = f"{quoted(name)} is defined already, in {self._later[name].location}"
                raise self._error(reason, definition.location)
            self._later[name] = definition

    def uses(self, nodes: Iterable[Node]) -> None:
        """Check the uses of cells in the main branch or in a body. A body's own cell is not known yet."""
        size = 0
        for node in each(tuple(nodes)):
            self._check_order(node)
            cell = self._cells.used_by(node)
            if cell is not None and isinstance(node, Layer):
                self._check_use(node, cell)
            size += 1 if cell is None else cell.size
            if size > MAX_NODES:
                raise self._error(_too_many(node, size), node.location)

    def _check_order(self, node: Node) -> None:
        if not isinstance(node, Layer):
            return
        for function in filter(None, (node.activation, node.loss)):
            known = self._cells.find(function.name)
            later = self._later.get(function.name)
            if later is not None and (known is None or known.definition is not later):
                reason = f"{quoted(function.name)} is defined in {later.location}"
                raise self._error(f"{reason}: a definition may use only those before it", function.location)
        if node.loss is not None and self._cells.find(node.loss.name) is not None:
            reason = f"{quoted(node.loss.name)} is a cell, but a loss belongs here"
            raise self._error(reason, node.loss.location)

    def _check_use(self, node: Layer, cell: Cell) -> None:
        function = node.activation
        assert function is not None  # it names the cell
        if node.loss is not None:
            reason = f"{quoted(node.name)} is a use of the cell {quoted(function.name)}, which can't be an output"
            raise self._error(f"{reason}: let a layer with the loss follow it", node.loss.location)
        self._check_numbers(function, cell.definition)
        if cell.depth > MAX_DEPTH:
            reason = f"cells are nested too deep: at most {MAX_DEPTH} uses may stand in one another"
            raise self._error(reason, function.location)

    def _check_numbers(self, function: Function, definition: Definition) -> None:
        takes, given = len(definition.parameters), len(function.parameters)
        if given > takes:
            count = ("no number", "one number only", "two numbers only")[takes]
            reason = f"the cell {quoted(definition.name)} takes {count}"
            raise self._error(reason, function.parameter_locations[takes])
        missing = [name for name, default in definition.parameters[given:] if default is None]
        if missing:
            example = ", ".join((definition.name, *("0.5",) * takes))
            reason = f"the cell {quoted(definition.name)} needs a number, its {quoted(missing[0])}"
            raise self._error(f"{reason}, such as <{example}>", function.location)

    def body(self, cell: Cell) -> None:
        """Check that the nodes of a body may stand in a cell and have different names."""
        for node in each(cell.definition.nodes):
            self._check_ends(cell, node)
            self._check_free(cell, node)
            if isinstance(node, Merge):
                self._check_merge(cell, node)
        last = cell.definition.nodes[-1]
        if isinstance(last, Split):
            reason = f"the cell {quoted(cell.definition.name)} ends with the split {quoted(last.name)}"
            fix = "its last node, whose value it gives, is a layer, an activation node or a merge"
            raise self._error(f"{reason}: {fix}", last.location)

    def _check_ends(self, cell: Cell, node: Node) -> None:
        if not isinstance(node, Layer):
            return
        if node.activation is None:
            reason = f"{quoted(node.name)} has no activation and would be an input"
            fix = f"what comes into the cell {quoted(cell.definition.name)} comes from before its use"
            raise self._error(f"{reason}: {fix}", node.location)
        if node.loss is not None:
            reason = f"{quoted(node.name)} has a loss and would be an output, which no cell can have"
            raise self._error(reason, node.loss.location)

    def _check_free(self, cell: Cell, node: Node) -> None:
        first = cell.nodes[node.name]
        use = cell.use_around(node.name)
        if first is not node:
            taken = f"it first stands in {first.location}"
        elif use is not None:
            taken = f"a node inside {quoted(use.name)} has it"
        else:
            return
        reason = f"the name {quoted(node.name)} is taken: {taken}; names are unique in a cell"
        raise self._error(reason, node.location)

    def _check_merge(self, cell: Cell, node: Merge) -> None:
        if node.other in cell.nodes or cell.use_around(node.other) is not None:
            return
        reason = f"{quoted(node.name)} merges with {quoted(node.other)}"
        reason += f", which is no node of the cell {quoted(cell.definition.name)}"
        raise self._error(f"{reason}{_hint(cell, node.other)}", node.other_location)


def _hint(cell: Cell, name: str) -> str:
    """The end of the message about a name that no node of a cell has."""
    use = cell.use_with_last(name)
    if use is not None:
        return f": the last node of a cell has the name of the use, {quoted(use.name)}"
    near = nearest(name, cell.names)
    return _names_in(cell) if near is None else f": did you mean {quoted(near)}?"


def _names_in(cell: Cell) -> str:
    """What can be read in a cell, where it is not clear what was meant."""
    own = f"{quoted(cell.last)} is the cell's own value"
    return f"; a body knows its own nodes only: {own}, and a split such as [x,] names what comes in"


def _too_many(node: Node, size: int) -> str:
    most = f"at most {MAX_NODES:,} are allowed"
    return f"with its cells in the place of their uses, the text has {size:,} nodes up to {quoted(node.name)}: {most}"
