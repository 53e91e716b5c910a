"""Errors of texts that are right in grammar: each stands where the mistake was made, and comes within a second."""

from __future__ import annotations

import random
import re

import pytest

from helpers.fuzzing import MINUTES
from helpers.mutations import VALID, check_outcome, mutated_text, place_in, refusal, with_other_words
from neuromorph.functions import ELEMENTWISE, MERGES
from neuromorph.graph import Graph, build_graph, verify
from neuromorph.language import library, parse

MUTATED = 50_000 if MINUTES else 2_500  # texts of each kind
WORDS = {
    # a mistake: the words that it replaces, what stands in their place, what the reason says
    "an activation, a loss or a cell": (r" <(\w+)[,>]", "zzz", "unknown (activation|loss) 'zzz'"),
    "a merge's operation": (r"\{[\w.]+, [\w.]+, (\w+)", "zzz", "unknown merge operation 'zzz'"),
    "a merge's second node": (r"\{[\w.]+, ([\w.]+),", "zzz", "merges with 'zzz', which is no node of "),
    "an initialiser": (r"[/,]([a-z_]+)\b", "zzz", "unknown (weight|bias) initialiser 'zzz'"),
    "a parameter": (r"[ ,](rate|k|p)(?=[,>}/])(?!>\[)", "zzz", "has no parameter 'zzz'"),
    "a name": (r"[(\[{](\w+),", "input", "the name 'input' is taken: it first stands in line "),
    "a width": (r"\(\w+, (\d+)", "0", "a width is from 1 to "),
    "a number of steps": (r"\{[\w.]+, [\w.]+, \w+, (\d+)", "4097", "the number of steps back is from 0 to 4,096"),
    "a number of a function": (r"<(?:clip|norm|spike), ([\d.e-]+)", "0", "must be greater than 0"),
    "a share": (r"<(?:dropout|quantile), ([\d.]+)", "1", "must be less than 1|must be below 1"),
    "a number of an initialiser": (r"chrono (\d)", "2", "longest time must be greater than 2"),
    "a dilation": (r"<conv, \d, (\d)", "4097", "would read 4,097 steps back"),
}


def graph_of(text: str) -> Graph:
    graph = build_graph(parse(text))
    verify(graph)
    return graph


def test_the_texts_that_are_changed_have_nodes_of_all_kinds() -> None:
    assert all(graph_of(text).nodes for text in VALID)
    together = "".join(VALID)
    assert all(f", {name}" in together for name in MERGES)
    assert all(f"<{name}" in together for name in [*ELEMENTWISE, "conv", "restore", "spare", "leak"])
    assert sum(f"<{cell.name}" in together for cell in library()) > 1


@pytest.mark.parametrize("mistake", WORDS)
def test_a_wrong_word_is_refused_where_it_stands(mistake: str) -> None:
    pattern, word, reason = WORDS[mistake]
    count = 0
    for text in VALID:
        nodes = text.index("(input") + 1 if mistake == "a name" else 0  # in definitions there is no input
        for start, end in (found.span(1) for found in re.compile(pattern).finditer(text, nodes)):
            error = refusal(f"{text[:start]}{word}{text[end:]}", graph_of)
            assert error is not None
            assert (error.line, error.column) == place_in(text, start), error
            assert re.search(reason, error.reason), error
            count += 1
    assert count


def test_mutated_texts_get_a_graph_or_an_error_with_a_place() -> None:
    draw = random.Random(20260303)
    for change in (mutated_text, with_other_words):
        texts = (change(draw.choice(VALID), draw) for _ in range(MUTATED))
        assert 0.02 < sum(check_outcome(text, graph_of) is not None for text in texts) / MUTATED < 0.98
