"""An extension of Griffe, which reads the package for the site: docstrings of this package become Markdown.

The docstrings are plain text in one style. An item begins a sentence with a name and what goes with it, such as its
shape, up to a colon: ``lengths (N,): the number of …``. "Raises" and "Warns" begin a sentence, code stands in double
backticks, shapes in parentheses. ``as_markdown`` makes a list of the items, and links names to their places.
"""

from __future__ import annotations

import builtins
import inspect
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any

import reference

import neuromorph as nm

_HEAD = re.compile(r"(?:^|(?<=[.)] ))(?P<names>[A-Za-z_]\w*)(?P<more>[^.:;`]{0,90}?): ")
_TROUBLE = re.compile(r"(?:^|(?<=[.)] ))(?P<verb>Raises|Warns)\b")
_CODE = re.compile(r"``(.+?)``")
_AXIS = r"(?:any |W_|lanes, )?(?:[A-Z]\w{0,4}|width|fan_in|lanes|steps|length|horizon)(?:_\w+)?(?: · [A-Z]\w*)?"
_SHAPE = re.compile(rf"\({_AXIS}(?:, {_AXIS})*,?\)")
_SPECIAL = {"*": r"\*", "[": r"\[", "]": r"\]", "<": "&lt;", ">": "&gt;"}
ERRORS = {name: found for name in nm.__all__ if isinstance(found := getattr(nm, name), type)}


def as_markdown(docstring: str, names: Collection[str], anchors: Mapping[str, str]) -> str:
    """A docstring as Markdown. names: of parameters and attributes, which are items. anchors: of public names."""
    shown: list[str] = []
    seen: set[str] = set()
    for block in re.split(r"\n[ \t]*\n", inspect.cleandoc(docstring)):
        if block.startswith(">>>"):
            shown.append(f"```pycon\n{block}\n```")
        elif block.startswith("    "):
            shown.append(f"```python\n{textwrap.dedent(block)}\n```")
        else:
            shown += _paragraphs(" ".join(block.split()), names, seen, anchors)
    return "\n\n".join(shown)


def _paragraphs(text: str, names: Collection[str], seen: set[str], anchors: Mapping[str, str]) -> Iterator[str]:
    """The Markdown of a paragraph: what comes before its items, the items, and what it raises."""
    starts: list[tuple[int, int, str]] = []  # where an item begins, where its text begins, its head
    for found in _HEAD.finditer(text):
        if found["names"] in names and found["names"] not in seen:
            seen |= set(re.findall(r"[a-z]\w+", found["names"] + found["more"])) & set(names)
            starts.append((found.start(), found.end(), found["names"] + found["more"]))
    starts += [(found.start(), found.start(), "") for found in _TROUBLE.finditer(text)]
    starts = [(0, 0, ""), *sorted(starts), (len(text), 0, "")]
    for (_, start, head), (end, _, _) in pairwise(starts):
        body = _inline(text[start:end].strip(), anchors)
        if not body:
            continue
        yield f"{_head(head, names)}\n:   {body}" if head else re.sub(r"^(Raises|Warns)\b", r"**\1**", body)


def _head(head: str, names: Collection[str]) -> str:
    """The names of an item in code, and its shapes."""
    pieces, at = [], 0
    for shape in _SHAPE.finditer(head):
        pieces += [_named(head[at : shape.start()], names), f"`{shape[0]}`"]
        at = shape.end()
    return "".join([*pieces, _named(head[at:], names)])


def _named(text: str, names: Collection[str]) -> str:
    return re.sub(r"[A-Za-z_]\w*", lambda word: f"`{word[0]}`" if word[0] in names else word[0], text)


def _inline(text: str, anchors: Mapping[str, str]) -> str:
    """The Markdown of plain text: code in backticks, shapes as code, names of public objects as links."""
    pieces = _CODE.split(text)
    for at, piece in enumerate(pieces):
        pieces[at] = _linked_code(piece, anchors) if at % 2 else _words(piece, anchors)
    return "".join(pieces)


def _linked_code(code: str, anchors: Mapping[str, str]) -> str:
    """Code, which links to the public object of that name."""
    name = re.match(r"(?:neuromorph\.|nm\.)?(\w+)(?:\(.*\))?$", code)
    tick = "``" if "`" in code else "`"
    return f"[{tick}{code}{tick}][{anchors[name[1]]}]" if name and name[1] in anchors else f"{tick}{code}{tick}"


def _words(text: str, anchors: Mapping[str, str]) -> str:
    """Text outside code."""
    pieces, at = [], 0
    for shape in _SHAPE.finditer(text):
        pieces += [_named_errors(text[at : shape.start()], anchors), f"`{shape[0]}`"]
        at = shape.end()
    return "".join([*pieces, _named_errors(text[at:], anchors)])


def _named_errors(text: str, anchors: Mapping[str, str]) -> str:
    def shown(word: re.Match[str]) -> str:
        if word[0] in anchors and word[0] in ERRORS:
            return f"[`{word[0]}`][{anchors[word[0]]}]"
        return f"`{word[0]}`" if isinstance(getattr(builtins, word[0], None), type) else word[0]

    return re.sub(
        r"\b[A-Z]\w+(?:Error|Warning|Interrupt)\b|\bModel\b", shown, "".join(_SPECIAL.get(sign, sign) for sign in text)
    )


def names_of(obj: Any) -> set[str]:
    """The parameters of a function of Griffe; of a class, those of its constructor, and its attributes."""
    found = {parameter.name.lstrip("*") for parameter in getattr(obj, "parameters", ())}
    if obj.is_class:
        found |= {name for name, member in obj.all_members.items() if not name.startswith("_")}
    return found


try:
    import griffe
except ImportError:  # as_markdown does without
    pass
else:

    class Docstrings(griffe.Extension):
        """Makes Markdown of all docstrings, and completes signatures."""

        def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
            self.change(pkg)

        def change(self, obj: Any) -> None:
            if obj.is_class and is_frozen(obj):
                obj.set_member("__init__", constructor(obj))
            if obj.is_function and obj.path in reference.ANCHORS.values() and "self" in obj.parameters:
                obj.parameters = griffe.Parameters(
                    of_model(), *list(obj.parameters)[1:]
                )  # as a function of the package
            if obj.docstring:
                anchors = {name: place for name, place in reference.ANCHORS.items() if name != obj.name}
                obj.docstring.value = as_markdown(obj.docstring.value, names_of(obj), anchors)
            for member in list(obj.members.values()):
                if not member.is_alias:
                    self.change(member)

    def of_model() -> griffe.Parameter:
        return griffe.Parameter("model", annotation="Model", kind=griffe.ParameterKind.positional_or_keyword)

    def is_frozen(kind: Any) -> bool:
        return any(str(decorator.value) == "frozen" for decorator in kind.decorators)

    def constructor(kind: Any) -> griffe.Function:
        """The constructor of a frozen data class, which ``frozen`` makes when the class is defined.

        Properties and variables of the class, which Griffe counts as attributes, are no arguments.
        """
        fields = [
            griffe.Parameter(
                name, annotation=field.annotation, default=field.value, kind=griffe.ParameterKind.positional_or_keyword
            )
            for name, field in kind.attributes.items()
            if field.annotation is not None and "instance-attribute" in field.labels and not name.startswith("_")
        ]
        return griffe.Function("__init__", parameters=griffe.Parameters(*fields), returns="None")
