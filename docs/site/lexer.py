"""Colours for texts of the language: a lexer for Pygments."""

from __future__ import annotations

import sys

from pygments.lexer import RegexLexer, words
from pygments.lexers import LEXERS
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, Text

from neuromorph import functions, language

__all__ = ["MDL"]  # Pygments looks for lexers here

FUNCTIONS = [
    *functions.ACTIVATIONS, *functions.ELEMENTWISE, *functions.LOSSES, *functions.MERGES,
    *functions.WEIGHT_INITIALIZERS, *functions.BIAS_INITIALIZERS, *(cell.name for cell in language.library()),
    functions.RESTORE.name, "conv",
]  # fmt: skip


class MDL(RegexLexer):
    """Comments, names of nodes, functions and numbers."""

    name = "MDL"
    aliases = ("mdl",)
    filenames = ("*.mdl",)
    tokens = {  # noqa: RUF012 - as Pygments has it
        "root": [
            (r"#.*$", Comment.Single),
            (r"\s+", Text),
            (words(FUNCTIONS, r"(?<![\w.-])", r"(?![\w.-])"), Keyword),
            (r"(?<=[(\[{])(\s*)([A-Za-z_][\w.-]*)", Name.Function),
            (r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", Number),
            (r"[A-Za-z_][\w.-]*", Name),
            (r"[|<>/]", Operator),
            (r".", Punctuation),
        ]
    }


def register() -> None:
    """Make the lexer known to Pygments by its name."""
    sys.modules.setdefault("mdl_lexer", sys.modules[__name__])
    LEXERS["MDL"] = ("mdl_lexer", MDL.name, MDL.aliases, MDL.filenames, ())
