"""The site of the pages: its navigation, its reference and its Markdown. ``.ci/run`` builds it strictly, which finds
broken links."""

from __future__ import annotations

import ast
import dataclasses
import html
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import neuromorph as nm
from helpers.paths import EXAMPLES, REPOSITORY
from helpers.scripts import script
from neuromorph import search

DOCS = REPOSITORY / "docs"
pages, docstrings, reference = (script(DOCS / "site", name) for name in ("pages", "docstrings", "reference"))
REFERENCE = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")}

# Navigation -----------------------------------------------------------------------------------------------------------


def named_pages() -> list[str]:
    """The pages of the navigation, in order."""
    settings = (DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    return re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", settings.partition("\nnav:\n")[2], re.MULTILINE)


def test_the_navigation_has_every_page_once() -> None:
    found = named_pages()
    assert len(found) == len(set(found))
    assert {str(path.relative_to(DOCS).as_posix()) for path in DOCS.rglob("*.md")} <= set(found)
    for page in found:
        assert (REPOSITORY / pages.repository_path(page)).is_file(), page


def test_no_two_pages_have_one_title() -> None:
    titles = [pages.markdown_of(pages.repository_path(page)).partition("\n")[0] for page in named_pages()]
    assert all(title.startswith("# ") for title in titles)
    assert sorted(titles) == sorted(set(titles))


def test_what_stands_outside_the_pages_and_is_linked_to_becomes_a_page() -> None:
    found = pages.outside([pages.HOME, "cells.md"])
    assert found["index.md"] == (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert {"CHANGELOG.md", "examples/README.md", "LICENSE.text.md", "examples/tour.ipynb.md"} <= found.keys()
    elman = (EXAMPLES / "cells" / "elman.mdl").read_text(encoding="utf-8")
    assert found["examples/cells/elman.mdl.text.md"].endswith(f"```mdl\n{elman}```\n")


def test_pictures_outside_the_pages_are_taken_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    for name in ("docs/tiers.md", "docs/a.svg", "examples/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    shown = {"tiers.md": "![a](a.svg) ![b](../examples/b.png) ![c](../examples/none.png)"}
    assert pages.pictures(shown) == {"examples/b.png"}
    assert pages.linked("![b](../examples/b.png)", "tiers.md") == "![b](examples/b.png)"


# Markdown -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "link", "shown"),
    [
        ("cells.md", "](../README.md#documentation)", "](index.md#documentation)"),
        ("cells.md", "](language.md#cells)", "](language.md#cells)"),
        ("cells.md", "](../examples/cells/elman.mdl)", "](examples/cells/elman.mdl.text.md)"),
        ("index.md", "](docs/cells.md)", "](cells.md)"),
        ("index.md", "](examples/tour.ipynb)", "](examples/tour.ipynb.md)"),
        ("index.md", "](#speed)", "](#speed)"),
        ("index.md", "](https://a.org/b.md)", "](https://a.org/b.md)"),
        ("index.md", "](docs/missing.md)", "](docs/missing.md)"),  # MkDocs finds it
        ("examples/real/README.md", "](../../docs/shapes.md)", "](../../shapes.md)"),
        ("examples/tour.ipynb.md", "](../docs/tutorial.md)", "](../tutorial.md)"),
        ("reference/models.md", "](../../README.md#documentation)", "](../index.md#documentation)"),
    ],
)
def test_links_lead_to_pages_of_the_site(page: str, link: str, shown: str) -> None:
    assert pages.linked(link, page) == shown


def test_fenced_blocks_are_left_alone() -> None:
    assert pages.prose("a\n\n```x\na\n```\n\na\n", lambda text: text.replace("a", "b")) == "b\n\n```x\na\n```\n\nb\n"


def test_lists_and_tables_are_those_of_github() -> None:
    assert pages.spaced("Two:\n- a\n- b\n  c\n\n1. d") == "Two:\n\n- a\n- b\n  c\n\n1. d"
    assert pages.spaced(r"| `a \| b` | \|x\| |") == r"| `a | b` | \|x\| |"
    assert pages.plain_fences("```text output\n```\n```python\n```python with torch, onnx") == (
        "``` { .text .output }\n```\n```python\n```python"
    )


def test_code_links_to_the_reference() -> None:
    anchors = {"train": "at"}
    assert pages.with_references("`nm.train(x)` and `nm.train`", anchors) == "[`nm.train(x)`][at] and [`nm.train`][at]"
    for text in ("# `nm.train`", "[`nm.train`](a.md)", "[the call `nm.train` of](a.md)", "`nm.other`", "`train`"):
        assert pages.with_references(text, anchors) == text


def test_a_notebook_is_shown_with_its_outputs() -> None:
    shown = pages.of_notebook("examples/tour.ipynb")
    assert shown.startswith("# A tour")
    for piece in (
        "```python\nimport numpy",
        "```text output\nmean square",
        "(data:image/png;base64,",
        "(data:image/svg+xml",
    ):
        assert piece in shown


# Reference ------------------------------------------------------------------------------------------------------------


def test_the_reference_has_every_public_name_once() -> None:
    shown = re.findall(r"^::: nm\.([\w.]+)$", "\n".join(REFERENCE.values()), re.MULTILINE)
    assert len(shown) == len(set(shown))
    stability = (DOCS / "stability.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"`neuromorph\.(\w+)`", stability)) - {"__all__", "demo"}  # that one is a program
    modules = {module for module in modules if files_of(module)}
    assert modules >= {"export", "keras", "search", "sklearn", "torch"}
    assert set(shown) == {*nm.__all__, *(f"{module}.{name}" for module in modules for name in names_in(module))}


def files_of(module: str) -> list[Path]:
    places = (REPOSITORY / "neuromorph" / name for name in (f"{module}.py", f"{module}/__init__.py"))
    return [place for place in places if place.is_file()]


def names_in(module: str) -> list[str]:
    """The names that a module of the package declares as public."""
    (file,) = files_of(module)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    (found,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node))
    names: list[str] = ast.literal_eval(found)
    return names


def test_directives_become_those_of_mkdocstrings() -> None:
    page = reference.with_objects("::: nm.train\n\n::: nm.Stream\n    options:\n      members: true\n")
    assert page.startswith("::: neuromorph.model.Model.train\n    options:\n      heading: nm.train\n")
    assert page.endswith("      toc_label: Stream\n      members: true\n")


def test_a_data_class_is_shown_with_the_arguments_that_it_takes() -> None:
    """Not with its properties, which Griffe counts as attributes, and not with variables of the class."""
    griffe = pytest.importorskip("griffe", reason="needs the extra docs")
    public = [getattr(place, name) for place in (nm, search) for name in place.__all__]
    checked = []
    for kind in filter(dataclasses.is_dataclass, public):
        file = Path(inspect.getfile(kind))
        shown = griffe.visit(file.stem, file, file.read_text(encoding="utf-8"))[kind.__name__]
        if "__init__" in shown.members or not docstrings.is_frozen(shown):
            continue
        given = docstrings.constructor(shown).parameters
        taken = inspect.signature(kind).parameters.values()
        assert [(one.name, one.default is None) for one in given] == [
            (one.name, one.default is inspect.Parameter.empty) for one in taken
        ], kind
        checked.append(kind.__name__)
    assert {"Gene", "Genome", "RunResult"} <= {*checked}


def test_the_reference_has_the_help_text_of_every_command() -> None:
    page = reference.with_commands(REFERENCE["command-line.md"])
    for command in ("train", "predict", "cache clear", "completion"):
        assert f"## neuromorph {command}\n\n```text\nUsage: neuromorph {command} [OPTIONS]" in page


DOCSTRING = """Learn from samples (S, B, W_in), see ``fit``.

    inputs (S, B, W_in), expected: what W_in says, a *star* and ``a`` (lanes). lengths (N,) or (B,), >= 0: how
    many. expected: not again. Raises DataError for <this>; ValueError for that.

        code()

    >>> 1
    1
"""
MARKDOWN = """Learn from samples `(S, B, W_in)`, see [`fit`][place.fit].

`inputs` `(S, B, W_in)`, `expected`
:   what W_in says, a \\*star\\* and `a` `(lanes)`.

`lengths` `(N,)` or `(B,)`, >= 0
:   how many. expected: not again.

**Raises** [`DataError`][place.DataError] for &lt;this&gt;; `ValueError` for that.

```python
code()
```

```pycon
>>> 1
1
```"""


def test_a_docstring_becomes_a_list_of_its_arguments() -> None:
    anchors = {"fit": "place.fit", "DataError": "place.DataError"}
    assert docstrings.as_markdown(DOCSTRING, {"inputs", "expected", "lengths"}, anchors) == MARKDOWN


def words(text: str) -> list[str]:
    """The words of a text, without what marks them up."""
    text = re.sub(r"\]\[[\w.]+\]|^:   |```\w*|\\(?=[*\[\]])", "", html.unescape(text), flags=re.MULTILINE)
    return re.findall(r"\w+|[^\s\w]", re.sub(r"[`\[\]:*]", " ", text))


@pytest.mark.parametrize("name", nm.__all__)
def test_no_word_of_a_docstring_is_lost(name: str) -> None:
    found: Any = getattr(nm, name)
    known = set(re.findall(r"\b[a-z]\w+", found.__doc__))  # any word before a colon is an argument
    shown = docstrings.as_markdown(found.__doc__, known, reference.ANCHORS)
    assert words(shown) == words(found.__doc__)
