"""Adds to an error or a warning about a node of a cell which use of the cell the node comes from."""

from ..errors import Location
from .syntax import Origin


def told(reason: str, name: str, origin: Origin | None) -> str:
    """The reason, with a part that says which use the node ``name`` comes from. origin: None for a node of the text.

    The message's place is that of the node in the definition, or for a cell of the library that of the use. Of nested
    uses, the innermost and the outermost are named.
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
    """The place that a message shows for a place in a definition: for a cell of the library, that of the use."""
    return location if origin is None or not origin.library else origin.location


def outermost_of_library(origin: Origin) -> Origin:
    """The use of a library's cell that stands in the text. Uses inside the library's own definitions are not shown."""
    while origin.library and origin.outer is not None and origin.outer.library:
        origin = origin.outer
    return origin


def outermost(origin: Origin) -> Origin:
    """The use that stands in the main branch of the text, around all others."""
    while origin.outer is not None:
        origin = origin.outer
    return origin


def _use(origin: Origin) -> str:
    return f"a use of the cell '{origin.cell}' in {origin.location}"
