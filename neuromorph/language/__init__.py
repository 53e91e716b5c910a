"""The Model Description Language: from text to syntax tree and back.

`parse` reads a text, `to_text` writes one, and the tree between them is made of the nodes of `syntax`. `expand` puts
the nodes of cells in the place of their uses. `told` adds to a message where an expanded node comes from.
"""

from neuromorph.language.expansion import expand, with_widths
from neuromorph.language.lexer import MAX_BYTES
from neuromorph.language.library import library
from neuromorph.language.origins import outermost, told
from neuromorph.language.parser import MAX_STEPS, parse
from neuromorph.language.printer import to_text
from neuromorph.language.syntax import (
    Definition,
    Function,
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
    "MAX_BYTES", "MAX_STEPS", "Definition", "Function", "Initializer", "Layer", "Local", "Merge", "Model", "Node",
    "Origin", "Reference", "Split", "Use", "WidthOf", "expand", "library", "outermost", "parse", "to_text", "told",
    "with_widths",
]  # fmt: skip
