"""The Model Description Language: from text to syntax tree and back.

`parse` reads a text, `to_text` writes one, and the tree between them is made of the nodes of `syntax`. `expand` puts
the nodes of cells in the place of their uses. `told` adds to a message where an expanded node comes from.
"""

from .expansion import expand, with_widths
from .lexer import MAX_BYTES
from .library import library
from .origins import outermost, told
from .parser import MAX_STEPS, MAX_WIDTH, parse
from .printer import to_text
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
    Origin,
    Reference,
    Split,
    Use,
    WidthOf,
)

__all__ = [
    "MAX_BYTES", "MAX_STEPS", "MAX_WIDTH", "Definition", "Function", "Given", "Initializer", "Layer", "Local", "Merge",
    "Model", "Node", "Origin", "Reference", "Split", "Use", "WidthOf", "expand", "library", "outermost", "parse",
    "to_text", "told", "with_widths",
]  # fmt: skip
