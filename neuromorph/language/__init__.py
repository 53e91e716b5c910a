"""The Model Description Language: from text to syntax tree and back.

`parse` reads the language, `to_text` writes it, and the tree between them is made of the nodes of `syntax`.
"""

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
    "MAX_STEPS", "Definition", "Function", "Initializer", "Layer", "Local", "Merge", "Model", "Node", "Origin",
    "Reference", "Split", "Use", "WidthOf", "parse", "to_text",
]  # fmt: skip
