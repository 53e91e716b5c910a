"""Prints a syntax tree as text in one canonical form. Parsing the printed text gives an equal tree."""

from collections.abc import Iterator

from ..host.frozen import frozen
from .lexer import MAX_BYTES
from .syntax import (
    Definition,
    Function,
    Initializer,
    Layer,
    Local,
    Merge,
    Model,
    Node,
    Number,
    Reference,
    Split,
    WidthOf,
)


def to_text(model: Model) -> str:
    """The canonical text of a model: header, definitions, one node a line, branches and bodies indented, no comments.

    Equal models have equal texts, and the text of a parsed model parses to an equal model. If this form exceeds the
    language's limit of 1 MiB, indentation and spaces are left out; the text is then no longer than the one that was
    parsed.
    """
    text = _print(model, _READABLE)
    return text if len(text) <= MAX_BYTES else _print(model, _DENSE)


@frozen
class _Style:
    """The spaces and line breaks between the parts of a text."""

    comma: str
    line: str
    indent: str
    dense: bool

    def number(self, value: Number) -> str:
        if isinstance(value, Reference):
            return value.name
        text = repr(value).removesuffix(".0")
        return min(text, _packed(text), key=len) if self.dense else text


_READABLE = _Style(comma=", ", line="\n", indent="    ", dense=False)
_DENSE = _Style(comma=",", line="", indent="", dense=True)


def _print(model: Model, style: _Style) -> str:
    initializers = (model.weight_initializer, model.bias_initializer)
    header = ",".join(_initializer(initializer, style) for initializer in initializers)
    definitions = (line for definition in model.definitions for line in _definition(definition, style))
    lines = [f"/{header}/", *definitions, *_nodes(model.nodes, style, "")]
    return "".join(f"{line}{style.line}" for line in lines)


def _initializer(initializer: Initializer, style: _Style) -> str:
    return " ".join((initializer.name, *map(style.number, initializer.parameters)))


def _definition(definition: Definition, style: _Style) -> Iterator[str]:
    parameters = [
        name if default is None else f"{name} {style.number(default)}" for name, default in definition.parameters
    ]
    yield f"<{style.comma.join((definition.name, *parameters))}>["
    yield from _nodes(definition.nodes, style, style.indent)
    yield "]"


def _nodes(nodes: tuple[Node, ...], style: _Style, indent: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Split):
            yield from _split(node, style, indent)
        elif isinstance(node, Layer):
            yield indent + _layer(node, style)
        else:
            yield indent + _merge(node, style)


def _layer(layer: Layer, style: _Style) -> str:
    width = [] if layer.width is None else [_whole(layer.width)]
    functions = [_function(part, style) for part in (layer.activation, layer.loss) if part is not None]
    local = [] if layer.local is None else [_local(layer.local, style)]
    return f"({style.comma.join((layer.name, *width, *functions, *local))})"


def _whole(number: int | Reference | WidthOf) -> str:
    if isinstance(number, WidthOf):
        raise TypeError(f"the width of what comes into '{number.first}' is not known yet, so there is no text for it")
    return number.name if isinstance(number, Reference) else str(number)


def _function(function: Function, style: _Style) -> str:
    return f"<{style.comma.join((function.name, *map(style.number, function.parameters)))}>"


def _local(local: Local, style: _Style) -> str:
    places = ("" if one is None else _initializer(one, style) for one in (local.weight, local.bias))
    return f"/{','.join(places)}/"


def _merge(merge: Merge, style: _Style) -> str:
    steps = [] if merge.steps is None else [_whole(merge.steps)]
    return f"{{{style.comma.join((merge.name, merge.other, merge.operation, *steps))}}}"


def _split(split: Split, style: _Style, indent: str) -> Iterator[str]:
    """The lines of a split; one line if no branch has a node."""
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
    """The shortest spelling of a number that `repr` wrote, with an exponent or without."""
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
