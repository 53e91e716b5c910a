"""The Model Description Language: from text to syntax tree and back.

`parse` reads the language, `to_text` writes it, and the tree between them is made of the nodes of `syntax`.
"""

from neuromorph.language.parser import parse
from neuromorph.language.printer import to_text
from neuromorph.language.syntax import Function, Initializer, Layer, Merge, Model, Node, Split

__all__ = ["Function", "Initializer", "Layer", "Merge", "Model", "Node", "Split", "parse", "to_text"]
