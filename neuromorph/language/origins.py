"""What an error or a warning about a node of a cell says: which use of the cell put the node there."""

from neuromorph.errors import Location
from neuromorph.language.syntax import Origin


def told(reason: str, name: str, origin: Origin | None) -> str:
    """The reason, and where the node of this name comes from. ``origin`` is None for a node that the text itself has.

    The place that goes with it is that of the node: in the definition, or that of the use where the cell is one of the
    library's. Of uses within uses, the innermost and the outermost are named.
    """
    if origin is None:
        return reason
    inner = outermost_of_library(origin)
    outer = outermost(inner)
    within = "" if outer is inner else f", which '{outer.name}' holds, {_use(outer)}"
    use = f"a use of the library's cell '{inner.cell}'" if inner.library else _use(inner)
    node = f"'{name}' is the last node of" if name == inner.name else f"'{name}' is a node of '{inner.name}',"
    return f"{reason}; {node} {use}{within}"


def place_of(location: Location, origin: Origin | None) -> Location:
    """The place to show for a place in a definition: the use's, where the definition is one of the library's."""
    return location if origin is None or not origin.library else origin.location


def outermost_of_library(origin: Origin) -> Origin:
    """The use that the text sees: cells of the library may use one another, which is nothing to tell."""
    while origin.library and origin.outer is not None and origin.outer.library:
        origin = origin.outer
    return origin


def outermost(origin: Origin) -> Origin:
    """The use that stands in the text itself, around all others."""
    while origin.outer is not None:
        origin = origin.outer
    return origin


def _use(origin: Origin) -> str:
    return f"a use of the cell '{origin.cell}' in line {origin.location.line}, column {origin.location.column}"
