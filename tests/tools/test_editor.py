"""The grammar for editors: it runs here in a small interpreter of TextMate grammars, over ``re``.

The interpreter knows match, begin/end, captures of whole matches and groups, and includes of the grammar's repository:
all that this grammar uses, which is tested too. Its regular expressions mean the same in ``re`` and in Oniguruma.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import EXAMPLES, REPOSITORY
from neuromorph.functions import (
    ACTIVATIONS,
    BIAS_INITIALIZERS,
    ELEMENTWISE,
    LOSSES,
    MERGES,
    RESTORE,
    WEIGHT_INITIALIZERS,
)
from neuromorph.language import library, parse, syntax

EDITOR = REPOSITORY / "tools" / "editor"
GRAMMAR = json.loads((EDITOR / "mdl.tmLanguage.json").read_text(encoding="utf-8"))
SAMPLE = (EDITOR / "test" / "scopes.mdl").read_text(encoding="utf-8")
MODELS = [*sorted(EXAMPLES.rglob("*.mdl")), REPOSITORY / "neuromorph" / "language" / "cells.mdl"]
CELLS = {cell.name: cell for cell in library()}

Rule = Mapping[str, Any]
Scopes = tuple[str, ...]


# An interpreter of TextMate grammars ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Open:
    """A begin/end rule whose end has not come yet, and the scopes inside it."""

    rule: Rule
    scopes: Scopes


def flattened(patterns: list[Rule]) -> Iterator[Rule]:
    """The rules of a list, those that it includes in their place."""
    for pattern in patterns:
        found = GRAMMAR["repository"][pattern["include"].removeprefix("#")] if "include" in pattern else pattern
        if "match" in found or "begin" in found:
            yield found
        else:
            yield from flattened(found["patterns"])


def named(scopes: Scopes, rule: Rule) -> Scopes:
    return (*scopes, rule["name"]) if "name" in rule else scopes


def next_match(line: str, place: int, inside: Rule) -> tuple[re.Match[str], Rule | None] | None:
    """The leftmost match from a place on, and its rule, None for the end of what is open; of matches that begin at one
    place the end comes first, then the rule that stands first."""
    candidates: list[tuple[str, Rule | None]] = [(inside["end"], None)] if "end" in inside else []
    candidates += [(rule.get("match", rule.get("begin")), rule) for rule in flattened(inside["patterns"])]
    best: tuple[re.Match[str], Rule | None] | None = None
    for pattern, rule in candidates:
        found = re.compile(pattern, re.ASCII).search(line, place)
        if found and (best is None or found.start() < best[0].start()):
            best = (found, rule)
    return best


def painted(found: re.Match[str], scopes: Scopes, captures: Mapping[str, Rule]) -> Iterator[tuple[int, int, Scopes]]:
    """A match's characters with its scopes, groups after the whole."""
    for number in ("0", *sorted(set(captures) - {"0"})):
        own = named(scopes, captures[number]) if number in captures else scopes
        yield found.start(int(number)), found.end(int(number)), own


def scopes_of(text: str) -> list[list[Scopes]]:
    """For each line of a text the scopes of each of its characters."""
    stack = [Open({"patterns": GRAMMAR["patterns"]}, (GRAMMAR["scopeName"],))]
    return [line_scopes(f"{line}\n", stack) for line in text.splitlines()]


def line_scopes(line: str, stack: list[Open]) -> list[Scopes]:
    scopes, place = [()] * len(line), 0
    while place < len(line):
        top = stack[-1]
        best = next_match(line, place, top.rule)
        stop = best[0].start() if best else len(line)
        scopes[place:stop] = [top.scopes] * (stop - place)
        if best is None:
            break
        for start, end, own in step(*best, stack):
            scopes[start:end] = [own] * (end - start)
        assert best[0].end() > place or stack[-1] is not top, "the grammar stands still"
        place = best[0].end()
    return scopes


def step(found: re.Match[str], rule: Rule | None, stack: list[Open]) -> list[tuple[int, int, Scopes]]:
    """Open, close or match; the scopes of what was matched."""
    if rule is None:
        closed = stack.pop()
        return list(painted(found, closed.scopes, closed.rule.get("endCaptures", {})))
    inside = named(stack[-1].scopes, rule)
    if "begin" in rule:
        stack.append(Open(rule, inside))
        return list(painted(found, inside, rule.get("beginCaptures", {})))
    return list(painted(found, inside, rule.get("captures", {})))


# The grammar ----------------------------------------------------------------------------------------------------------


def rules(value: Any = GRAMMAR) -> Iterator[Rule]:
    """All rules of the grammar, wherever they stand."""
    if isinstance(value, dict):
        if value.keys() & {"match", "begin", "include"}:
            yield value
        for part in value.values():
            yield from rules(part)
    elif isinstance(value, list):
        for part in value:
            yield from rules(part)


def test_the_grammar_uses_what_the_interpreter_knows() -> None:
    for rule in rules():
        assert rule.keys() <= {
            "name", "match", "captures", "begin", "end", "beginCaptures", "endCaptures", "patterns", "include",
        }  # fmt: skip
        if "include" in rule:
            assert rule["include"].removeprefix("#") in GRAMMAR["repository"]
        assert ("begin" in rule) == ("end" in rule)


def test_the_regular_expressions_mean_the_same_in_every_engine() -> None:
    """Escapes of punctuation and of white space, classes, groups that don't capture, and looks of fixed width."""
    for rule in rules():
        for pattern in filter(None, (rule.get("match"), rule.get("begin"), rule.get("end"))):
            re.compile(pattern)
            assert set(re.findall(r"\\(.)", pattern)) <= set("()[]{}|.s"), pattern
            assert set(re.findall(r"\(\?(<?.)", pattern)) <= {":", "!", "=", "<!"}, pattern
            assert not re.search(r"[*+?}][+]|\[\[|&&|\(\?#|\(\?[a-z]", pattern), pattern


@pytest.mark.parametrize(
    ("table", "form", "scope"),
    [
        (ACTIVATIONS, "(a, 4, <@>)", "keyword.other.activation.mdl"),
        (ACTIVATIONS, "(a, <@, 0.5>)", "keyword.other.activation.mdl"),
        (ELEMENTWISE, "(a, <@, 0.5>)", "keyword.other.elementwise.mdl"),
        (LOSSES, "(a, 4, <tanh>, <@>)", "keyword.other.loss.mdl"),
        (MERGES, "{a, b, @}", "keyword.other.merge.mdl"),
        (CELLS, "(a, 4, <@>)", "support.function.cell.mdl"),
        (WEIGHT_INITIALIZERS, "/@ 0 1,zero/", "keyword.other.initializer.weight.mdl"),
        (BIAS_INITIALIZERS, "/xavier,@ 1 2/", "keyword.other.initializer.bias.mdl"),
    ],
    ids=[
        "activations",
        "activation nodes",
        "elementwise layers",
        "losses",
        "merges",
        "cells",
        "weight initialisers",
        "bias initialisers",
    ],
)
def test_every_word_of_the_language_is_a_keyword(table: Mapping[str, Any], form: str, scope: str) -> None:
    place = form.index("@")
    for word in table:
        (scopes,) = scopes_of(form.replace("@", word))
        assert {one[-1] for one in scopes[place : place + len(word)]} == {scope}, word
        (scopes,) = scopes_of(form.replace("@", f"{word}-x"))
        unknown = ("entity.name.function.cell",) if "<" in form else ("invalid.illegal.unknown",)
        assert scopes[place][-1].startswith(unknown), word


def test_no_keyword_is_unknown_to_the_language() -> None:
    known = {*ACTIVATIONS, *ELEMENTWISE, RESTORE.name, *LOSSES, *MERGES, *WEIGHT_INITIALIZERS, *BIAS_INITIALIZERS}
    keywords = [rule["match"] for rule in rules() if rule.get("name", "").startswith("keyword.other")]
    listed = [word for match in keywords for word in re.findall(r"\(\?:([a-z_|]+)\)", match)[0].split("|")]
    assert sorted(listed) == sorted(known)


# The sample, whose comments say what is asserted ----------------------------------------------------------------------

ASSERTION = re.compile(r"^#(?P<space>\s*)(?:(?P<carets>\^+)|<-)\s+(?P<scopes>\S.*)$")


def assertions() -> Iterator[tuple[int, int, int, list[str], list[str]]]:
    """(line, first column, column behind the last, scopes wanted in this order, scopes that must not be there)."""
    source = 0
    for number, line in enumerate(SAMPLE.splitlines()):
        found = ASSERTION.match(line)
        if found is None:
            source = number
            continue
        start, count = (1 + len(found["space"]), len(found["carets"])) if found["carets"] else (0, 1)
        wanted, _, unwanted = f" {found['scopes']} ".partition(" - ")
        yield source, start, start + count, wanted.split(), unwanted.split()


def has_in_order(scopes: Scopes, wanted: list[str]) -> bool:
    left = iter(scopes)
    return all(any(scope == one for scope in left) for one in wanted)


def test_the_sample_has_the_scopes_that_it_says() -> None:
    lines, checked = scopes_of(SAMPLE), 0
    for number, start, stop, wanted, unwanted in assertions():
        for column in range(start, stop):
            found = lines[number][column]
            where = f"line {number + 1}, column {column + 1}: {SAMPLE.splitlines()[number]}\n{found}"
            assert has_in_order(found, wanted), f"{where} lacks {wanted}"
            assert not any(scope.startswith(one) for scope in found for one in unwanted), f"{where} has {unwanted}"
        checked += 1
    assert checked >= 60


def test_the_sample_shows_every_scope_of_the_grammar() -> None:
    names = {rule["name"] for rule in rules() if "name" in rule}
    assert names == {one for *_, wanted, _ in assertions() for one in wanted} & names


# Real models ----------------------------------------------------------------------------------------------------------


def words_of(nodes: tuple[syntax.Node, ...]) -> Iterator[tuple[Any, str]]:
    """(place, scope) of the words of some nodes, as the language's own parser sees them."""
    for node in nodes:
        if isinstance(node, syntax.Split):
            yield node.location, "entity.name.tag.split.mdl"
            for branch in node.branches:
                yield from words_of(branch)
        elif isinstance(node, syntax.Merge):
            yield node.location, "entity.name.function.merge.mdl"
            yield node.other_location, "variable.other.node.mdl"
            yield node.operation_location, "keyword.other.merge.mdl"
        else:
            yield node.location, "entity.name.type.layer.mdl"
            yield from functions_of(node)


def functions_of(layer: syntax.Layer) -> Iterator[tuple[Any, str]]:
    for function in filter(None, (layer.activation, layer.loss)):
        yield function.location, scope_of(function.name)
        yield from ((place, "constant.numeric.mdl") for place in function.parameter_locations)
    if layer.width_location is not None:
        yield layer.width_location, "constant.numeric.mdl"


def scope_of(function: str) -> str:
    """The scope of the name of a function or a cell; what is none of the language's is a cell of the text."""
    scopes = {
        "keyword.other.activation.mdl": ACTIVATIONS,
        "keyword.other.elementwise.mdl": {*ELEMENTWISE, RESTORE.name},
        "keyword.other.loss.mdl": LOSSES,
        "keyword.control.convolution.mdl": {"conv"},
        "support.function.cell.mdl": CELLS,
    }
    return next((scope for scope, names in scopes.items() if function in names), "entity.name.function.cell.mdl")


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_example_models_are_coloured_as_they_are_parsed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    model, lines = parse(text), scopes_of(text)
    header = [
        (model.weight_initializer.location, "keyword.other.initializer.weight.mdl"),
        (model.bias_initializer.location, "keyword.other.initializer.bias.mdl"),
    ]
    for place, scope in (*header, *words_of(model.nodes)):
        assert lines[place.line - 1][place.column - 1][-1] == scope, (place, scope)
    assert not [one for line in lines for scopes in line for one in scopes if one.startswith("invalid")]


def test_what_is_open_at_the_end_is_closed_by_the_text_alone() -> None:
    """Every bracket of a whole model is closed: what follows it stands outside all of them."""
    for path in MODELS:
        behind = scopes_of(path.read_text(encoding="utf-8") + "\n# behind")[-1]
        assert set(behind[1:-1]) == {("source.mdl", "comment.line.number-sign.mdl")}


BROKEN = ["(", "{a", "{a, b, ", "[s, (", "/xavier", "<<<", "}])>", "\t", "é", "(a,\x00)", "//", "#", "{a,b,c,d}", "[|"]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_texts_are_coloured_to_their_end(text: str) -> None:
    lines = scopes_of(f"{text}\n{text}")
    assert [len(line) for line in lines] == [len(text) + 1] * 2
    assert all(scopes and scopes[0] == "source.mdl" for line in lines for scopes in line)


# The extension --------------------------------------------------------------------------------------------------------


def test_the_folder_is_an_extension_whose_parts_are_there() -> None:
    package = json.loads((EDITOR / "package.json").read_text(encoding="utf-8"))
    (language,), (grammar,) = package["contributes"]["languages"], package["contributes"]["grammars"]
    assert (language["id"], language["extensions"]) == (grammar["language"], [".mdl"])
    assert grammar["scopeName"] == GRAMMAR["scopeName"]
    assert (EDITOR / grammar["path"]).samefile(EDITOR / "mdl.tmLanguage.json")
    settings = json.loads((EDITOR / language["configuration"]).read_text(encoding="utf-8"))
    assert settings["comments"]["lineComment"] == "#"
    opens = settings["indentationRules"]["increaseIndentPattern"]
    assert re.search(opens, "  [split,  # a ]")
    assert not re.search(opens, "  [link, [tap,]]")
