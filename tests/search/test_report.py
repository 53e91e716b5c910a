"""The page about a search: self-contained, with the front, the family tree, the picture and the texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from helpers import searches
from neuromorph import search
from neuromorph.search.charts import family_tree, front_chart
from neuromorph.search.individuals import Individual
from neuromorph.search.limits import Size


def individual(number: int, parameters: int, score: float | None, parents: tuple[int, ...] = ()) -> Individual:
    size = Size(2, parameters, parameters, 1, 0)
    text = f"/xavier,zero/\n(input, {parameters - 1})\n(output, 1, <linear>, <mse>)\n"
    return Individual(number, text, size, parents, "add" if parents else "random", score, "done" if score else "failed")


def evolution(*individuals: Individual, larger: bool = False) -> search.Evolution:
    given: Any = {"arguments": {}, "parameters": lambda number: {}}
    return search.Evolution(individuals, score="loss", larger=larger, ended="target", seconds=2.0, **given)


FOUND = evolution(
    individual(0, 5, 0.9), individual(1, 9, 0.5), individual(2, 7, None), individual(3, 6, 0.9, (0,)),
    individual(4, 12, 0.4, (1, 0)), individual(5, 12, 0.2, (4,)), individual(6, 20, 0.3, (4, 3)),
)  # fmt: skip


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_front_are_those_than_which_no_smaller_one_is_as_good() -> None:
    assert [one.number for one in FOUND.front] == [0, 1, 5]
    assert FOUND.best.number == 5
    turned = evolution(*FOUND, larger=True)
    assert [one.number for one in turned.front] == [0]


def test_the_tree_has_all_ancestors() -> None:
    assert [one.number for one in FOUND.ancestors(FOUND.best)] == [0, 1, 4, 5]
    tree = family_tree(FOUND, FOUND.best)
    assert tree.count("<circle") == 4
    assert tree.count('class="link"') == 2
    assert tree.count('class="link second"') == 1
    assert "0.2, 2 nodes, 12 parameters" in tree


def test_numbers_that_no_individual_has_are_named() -> None:
    for ask in (FOUND.ancestors, FOUND.model):
        with pytest.raises(IndexError, match=f"there is no individual {len(FOUND)}: the search has {len(FOUND)}, from"):
            ask(len(FOUND))
        with pytest.raises(ValueError, match="individual must be at least 0, not -1"):
            ask(-1)


def test_lines_of_a_tree_do_not_cross_their_columns() -> None:
    """Two members of one column stand in different rows, and the lines between them belong to one line of parents."""
    tree = family_tree(FOUND, FOUND[6])
    places = re.findall(r'<circle class="\w+" cx="([\d.]+)" cy="([\d.]+)"', tree)
    assert len(set(places)) == len(places) == 5


def test_the_chart_has_a_dot_for_each_score() -> None:
    chart = front_chart(FOUND)
    assert chart.count('class="dot"') == 6
    assert chart.count('class="front"') == 2
    assert chart.count('class="best"') == 1
    assert "1: 0.5, 9 parameters" in chart


@pytest.mark.parametrize("scores", [
    (1.0, 1.0), (1e-9, 1e9), (-5.0, 3.0), (0.5,), (-1e308, 1e308), (1e308, 1e308), (1e-300, 1e300), (5e-324, 1.0),
])  # fmt: skip
def test_a_chart_has_ticks_whatever_the_scores(scores: tuple[float, ...]) -> None:
    chart = front_chart(evolution(*(individual(number, 5 + number, score) for number, score in enumerate(scores))))
    assert chart.count('class="tick"') >= 3
    assert "nan" not in chart
    assert "inf" not in chart


def test_the_page_loads_nothing_and_has_all_that_it_promises(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    search.report(FOUND, path)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    assert not any("src" in given or "href" in given for _, given in page.tags)
    assert "<script" not in text
    assert "url(" not in text
    assert text.count("<svg") == 3
    assert "(input, 11)\n(output, 1, &lt;linear&gt;, &lt;mse&gt;)" in text
    assert "210</b><span>individuals a minute" in text
    assert "1 failed" in text


def test_a_search_is_reported(tmp_path: Path) -> None:
    found = search.evolve(
        fitness=searches.echo, inputs=1, outputs=1, individuals=20, population=5, workers=0, verbosity=0, crossover=0.5
    )
    search.report(found, tmp_path / "report.html")
    assert Page((tmp_path / "report.html").read_text(encoding="utf-8")).tags


def test_what_can_not_be_reported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="report needs what evolve has returned, or the path of a store, not 3"):
        search.report(3, tmp_path / "report.html")  # type: ignore[arg-type]
    with pytest.raises(search.SearchError, match="no individual has a score"):
        search.report(evolution(individual(0, 5, None)), tmp_path / "report.html")
    with pytest.raises(IsADirectoryError):
        search.report(FOUND, f"{tmp_path}/")
    assert not list(tmp_path.iterdir())
