"""The cells that a text can use: their definitions by name, and facts about their bodies without expanding them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice

from ..host.cached import cached_property
from .syntax import Definition, Layer, Node, each

_MOST_NAMES = 1_000  # inside uses of cells that are compared with a wrong name


@dataclass(frozen=True, eq=False)
class Cell:
    """A definition and the cells that its body can use (``home``). library: whether it comes with the library."""

    definition: Definition
    home: "Cells"
    library: bool

    @property
    def last(self) -> str:
        """The name of the body's last node. In an expansion, this node takes the name of the use."""
        return self.definition.nodes[-1].name

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes of the body by name, with those in branches. Of nodes with the same name, the first."""
        found: dict[str, Node] = {}
        for node in each(self.definition.nodes):
            found.setdefault(node.name, node)
        return found

    @cached_property
    def size(self) -> int:
        """The number of nodes that take the place of a use."""
        inner = map(self.home.used_by, each(self.definition.nodes))
        return sum(1 if cell is None else cell.size for cell in inner)

    @cached_property
    def depth(self) -> int:
        """The depth of nested uses, counting a use of this cell."""
        inner = map(self.home.used_by, each(self.definition.nodes))
        return 1 + max((cell.depth for cell in inner if cell is not None), default=0)

    def use_around(self, name: str) -> Node | None:
        """The use in the body with a node of this name inside, such as ``gate`` for ``gate.reset``, or None."""
        if "." not in name or not self._uses:
            return None
        begins = [0, *(place + 1 for place, character in enumerate(name) if character == ".")]
        waiting: list[tuple[Cell, int, Node | None]] = [(self, 0, None)]
        seen: set[tuple[Cell, int]] = set()  # where uses have several names, many ways lead to one part of a name
        while waiting:
            cell, part, use = waiting.pop()
            rest = name[begins[part] :]
            if use is not None and rest in cell.nodes and rest != cell.last:
                return use
            for count in cell._lengths:
                if part + count >= len(begins):
                    break
                node, inner = cell._uses.get(name[begins[part] : begins[part + count] - 1], (None, None))
                if inner is not None and (inner, part + count) not in seen:
                    seen.add((inner, part + count))
                    waiting.append((inner, part + count, use or node))
        return None

    def use_with_last(self, name: str) -> Node | None:
        """The use in the body whose last node has this name in its definition, such as ``gate`` for ``gate.state``."""
        return next((node for node, cell in self._uses.values() if f"{node.name}.{cell.last}" == name), None)

    @cached_property
    def _uses(self) -> Mapping[str, tuple[Node, "Cell"]]:
        """The uses in the body by name, each with its cell."""
        found = ((node, self.home.used_by(node)) for node in self.nodes.values())
        return {node.name: (node, cell) for node, cell in found if cell is not None}

    @property
    def names(self) -> list[str]:
        """The names that merges of the body can read: its nodes, and those inside its uses of cells."""
        inside = (f"{node.name}.{n}" for node, cell in self._uses.values() for n in cell.names if n != cell.last)
        return [*self.nodes, *islice(inside, _MOST_NAMES)]

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        """The numbers of parts, separated by points, that names of the body's uses have, sorted."""
        return tuple(sorted({name.count(".") + 1 for name in self._uses}))


class Cells:
    """Cells by name: a text's own hide those of the library. A cell never has the name of a function."""

    def __init__(self, functions: Collection[str], outer: "Cells | None" = None) -> None:
        self.functions = functions
        self._outer = outer
        self._own: dict[str, Cell] = {}

    def add(self, definition: Definition, *, library: bool = False) -> Cell:
        """Add a definition, which definitions after it can use; its cell."""
        cell = self._own[definition.name] = Cell(definition, self, library)
        return cell

    def find(self, name: str) -> Cell | None:
        if name in self.functions:
            return None
        if name in self._own or self._outer is None:
            return self._own.get(name)
        return self._outer.find(name)

    def used_by(self, node: Node) -> Cell | None:
        """The cell that a node uses, or None."""
        if not isinstance(node, Layer) or node.activation is None:
            return None
        return self.find(node.activation.name)

    @property
    def names(self) -> tuple[str, ...]:
        outer = () if self._outer is None else self._outer.names
        return (*self._own, *(name for name in outer if name not in self._own))
