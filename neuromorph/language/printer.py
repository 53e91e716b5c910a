"""Prints a syntax tree as text in one canonical form. Parsing the printed text gives an equal tree."""

from collections.abc import Iterator
from dataclasses import dataclass

from neuromorph.language.lexer import MAX_BYTES
from neuromorph.language.syntax import Function, Initializer, Layer, Model, Node, Split


def to_text(model: Model) -> str:
    """The canonical text of a model: the header, one node a line, branches indented, no comments.

    Equal models print alike, and a parsed model's text parses to an equal model. A model so large that this
    form would pass the language's limit of 1 MiB is printed without indentation and spaces, never longer than
    the text that it was parsed from.
    """
    text = _print(model, _READABLE)
    return text if len(text) <= MAX_BYTES else _print(model, _DENSE)


@dataclass(frozen=True)
class _Style:
    """What stands between the parts of a text."""

    comma: str
    line: str
    indent: str
    dense: bool

    def number(self, value: float) -> str:
        text = repr(value).removesuffix(".0")
        return min(text, _packed(text), key=len) if self.dense else text


_READABLE = _Style(comma=", ", line="\n", indent="    ", dense=False)
_DENSE = _Style(comma=",", line="", indent="", dense=True)


def _print(model: Model, style: _Style) -> str:
    initializers = (model.weight_initializer, model.bias_initializer)
    header = ",".join(_initializer(initializer, style) for initializer in initializers)
    lines = [f"/{header}/", *_nodes(model.nodes, style, "")]
    return "".join(f"{line}{style.line}" for line in lines)


def _initializer(initializer: Initializer, style: _Style) -> str:
    return " ".join((initializer.name, *map(style.number, initializer.parameters)))


def _nodes(nodes: tuple[Node, ...], style: _Style, indent: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Split):
            yield from _split(node, style, indent)
        elif isinstance(node, Layer):
            yield indent + _layer(node, style)
        else:
            yield f"{indent}{{{style.comma.join((node.name, node.other, node.operation))}}}"


def _layer(layer: Layer, style: _Style) -> str:
    width = [] if layer.width is None else [str(layer.width)]
    functions = [_function(part, style) for part in (layer.activation, layer.loss) if part is not None]
    return f"({style.comma.join((layer.name, *width, *functions))})"


def _function(function: Function, style: _Style) -> str:
    number = [] if function.parameter is None else [style.number(function.parameter)]
    return f"<{style.comma.join((function.name, *number))}>"


def _split(split: Split, style: _Style, indent: str) -> Iterator[str]:
    """A split on lines of its own; one line does where no branch has a node."""
    if not any(split.branches):
        yield f"{indent}[{split.name},{'|' * (len(split.branches) - 1)}]"
        return
    yield f"{indent}[{split.name},"
    for index, branch in enumerate(split.branches):
        if index > 0:
            yield f"{indent}|"
        yield from _nodes(branch, style, indent + style.indent)
    yield f"{indent}]"


def _packed(text: str) -> str:
    """The shortest spelling of a number that `repr` wrote: digits and an exponent, or as few zeros as do."""
    sign = "-" if text.startswith("-") else ""
    mantissa, _, exponent = text.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).strip("0")
    if not digits:
        return text
    trailing = len(whole + fraction) - len((whole + fraction).rstrip("0"))
    power = int(exponent or "0") - len(fraction) + trailing
    return sign + min(_positional(digits, power), f"{digits}e{power}", key=len)


def _positional(digits: str, power: int) -> str:
    """The number digits · 10^power without an exponent, and without a zero before the point."""
    if power >= 0:
        return digits + "0" * power
    padded = digits.rjust(-power, "0")
    return f"{padded[:power]}.{padded[power:]}"
