"""The pages: their Python and commands run and print what they say, their models compile, and their pictures are those
that ``nm.draw`` makes today. After a change that is meant: ``python docs/renew.py``."""

from __future__ import annotations

import re
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import neuromorph as nm
from helpers.pages import blocks_of, renew
from helpers.paths import EXAMPLES, REPOSITORY
from neuromorph.language import library

PAGES = [pytest.param(path, id=str(path.relative_to(REPOSITORY))) for path in renew.PAGES]
IMAGES = REPOSITORY / "docs" / "images"


def models() -> list[Any]:
    """Every model that is shown."""
    return [
        pytest.param(block, id=f"{path.name}:{block.line}")
        for path in renew.PAGES
        for block in blocks_of(path, "mdl", "mdl warns")
    ]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_and_prints_what_it_says(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output blocks hold all that the block before prints, and a comment ``# prints …`` a part of it."""
    page = path.read_text(encoding="utf-8")
    if "wait_compiled()" in page:
        monkeypatch.setenv("NEUROMORPH_TIER", "compiled")
    shown = renew.run(page, str(path))
    for block in blocks_of(path, "python"):
        for promised in re.findall(r"# prints (.*)$", block.text, re.MULTILINE):
            assert promised in shown[block], f"{path.name}:{block.line}"
    assert renew.renewed(page, str(path), shown) == page, "python docs/renew.py makes the pages what they are today"


@pytest.mark.parametrize("path", PAGES)
def test_every_block_is_of_a_kind_that_is_checked(path: Path) -> None:
    """Blocks of ``text`` and ``sh`` have a test of their own in test_readme.py, changes and checks in
    test_contributing.py, programs in other languages in test_programs.py."""
    of_its_own = {
        "README.md": {"sh"},
        "docs/overview.md": {"text", "c"},
        "docs/tutorial.md": {"c", "sh"},
        "docs/c-export.md": {"c", "sh"},
        "docs/reading-weights.md": {"c", "rust", "js"},
        "docs/contributing/adding.md": {"diff", "python check", "python check compiled"},
    }.get(path.relative_to(REPOSITORY).as_posix(), set())
    known = {"python", "mdl", "mdl warns", "console", "text output"} | of_its_own
    page = path.read_text(encoding="utf-8")
    kinds = {block.kind for block in renew.blocks(page)}
    assert {kind for kind in kinds if not kind.startswith("python with ")} <= known
    assert len(re.findall(r"^\s*```", page, re.MULTILINE)) == 2 * len(renew.blocks(page)), "an indented or open block"


@pytest.mark.parametrize("path", PAGES)
def test_output_follows_the_python_that_prints_it(path: Path) -> None:
    kinds = ["", *(block.kind for block in renew.blocks(path.read_text(encoding="utf-8")))]
    assert all(before == "python" for before, kind in pairwise(kinds) if kind == "text output")


@pytest.mark.parametrize("block", models())
def test_a_model_of_the_pages_compiles(block: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nm.compile(block.text, 2, 0.1)
    assert bool(caught) == (block.kind == "mdl warns"), [str(warning.message) for warning in caught]


# Pictures and links ---------------------------------------------------------------------------------------------------


def test_pictures_are_those_of_today_and_every_file_is_one() -> None:
    wanted = {}
    for path in renew.PAGES:
        for name, svg in renew.pictures(path.read_text(encoding="utf-8")).items():
            wanted[(path.parent / name).resolve()] = svg
    assert wanted.keys() == set(IMAGES.rglob("*.*"))
    for file, svg in wanted.items():
        assert file.read_text(encoding="utf-8") == svg, f"{file.name}: python docs/renew.py draws it anew"


def test_every_kind_of_node_has_a_picture() -> None:
    drawn = "".join(file.read_text(encoding="utf-8") for file in IMAGES.rglob("*.svg"))
    for kind in ("input", "layer", "activation", "elementwise", "split", "merge", "output"):
        assert f'class="node {kind}"' in drawn, kind
    for kind in ("node layer dead", "link flow", "link merge", "link time"):
        assert f'class="{kind}"' in drawn, kind


def test_the_gallery_shows_every_cell_and_the_files_as_they_are() -> None:
    path = REPOSITORY / "docs" / "cells.md"
    page = path.read_text(encoding="utf-8")
    assert renew.with_files(page, path.parent) == page, "python docs/renew.py shows the files as they are today"
    shown = {block.text for block in blocks_of(path, "mdl")}
    assert {file.read_text(encoding="utf-8") for file in (EXAMPLES / "cells").iterdir()} <= shown
    for cell in library():
        assert f"| `{cell.name}" in page


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", page):
        file, _, place = target.partition("#")
        if "://" not in target:
            there = path.parent / file if file else path
            assert there.exists(), target
            assert not place or place in _places(there), target


def _places(path: Path) -> set[str]:
    """The headings of a page, as GitHub names them in links."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_leads_to_every_page_and_every_page_to_its_list() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in readme
        assert "](../README.md#documentation)" in page.read_text(encoding="utf-8"), page.name
    for page in (REPOSITORY / "docs" / "reference").glob("*.md"):
        assert f"](docs/reference/{page.name})" in readme
        assert "](../../README.md#documentation)" in page.read_text(encoding="utf-8"), page.name


def test_the_readme_is_at_most_two_screens() -> None:
    assert (REPOSITORY / "README.md").read_text(encoding="utf-8").count("\n") <= 100


@pytest.mark.parametrize("path", PAGES)
def test_a_page_begins_with_what_its_reader_can_do_then(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n\n")[1]
    assert path == REPOSITORY / "README.md" or re.match(r"(After|On) this page you", first), first


def test_the_language_page_names_every_function() -> None:
    from neuromorph.functions import (
        ACTIVATIONS,
        BIAS_INITIALIZERS,
        ELEMENTWISE,
        LOSSES,
        MERGES,
        WEIGHT_INITIALIZERS,
    )  # fmt: skip

    page = (REPOSITORY / "docs" / "language.md").read_text(encoding="utf-8")
    for table in (ACTIVATIONS, ELEMENTWISE, LOSSES, MERGES, WEIGHT_INITIALIZERS, BIAS_INITIALIZERS):
        for name in table:
            assert f"`{name}" in page, name


# The program that renews ----------------------------------------------------------------------------------------------

PAGE = """# A page

```python
x = 3
print("one", x)
```

```text output
{output}```

```console
$ python -c "print(4)"
{printed}```

```mdl
/xavier,zero/ (input, 1) (output, {width}, <tanh>, <mse>)
```

![A model](images/one.svg)
"""


@pytest.mark.parametrize("wrong", [{"output": "one 4\n"}, {"output": ""}, {"printed": "5\n"}, {"printed": ""}])
def test_what_is_not_as_it_is_today_is_renewed(wrong: dict[str, str]) -> None:
    right = {"output": "one 3\n", "printed": "4\n", "width": 1}
    page = PAGE.format(**right)
    assert renew.renewed(PAGE.format(**{**right, **wrong})) == page == renew.renewed(page)


def test_a_block_behind_a_link_to_a_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.mdl").write_text("new\n", encoding="utf-8")
    page = "See [a](a.mdl).\n\n```mdl\n{}\n```\n\nSee [a](a.mdl) and more text.\n\nText\n\n```mdl\nold\n```\n"
    assert renew.with_files(page.format("old"), tmp_path) == page.format("new")


def test_renewing_writes_pages_and_pictures_and_checking_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path("page.md")
    page.write_text(PAGE.format(output="", printed="", width=2), encoding="utf-8")

    def called(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["renew.py", *arguments, "page.md"])
        return renew.main(), capsys.readouterr().out.splitlines()

    picture = str(Path("images", "one.svg"))
    assert called("--check") == (1, ["not as it is today: page.md", f"not as it is today: {picture}"])
    assert not Path("images").exists()
    assert called() == (0, ["renewed: page.md", f"renewed: {picture}"])
    assert page.read_text(encoding="utf-8") == PAGE.format(output="one 3\n", printed="4\n", width=2)
    assert called("--check") == (0, [])


def test_python_with_packages_runs_where_they_are() -> None:
    page = "```python with json, re\nprint('here')\n```\n```python with json, no_such_package\nprint('there')\n```\n"
    assert list(renew.run(page).values()) == ["here\n"]


@pytest.mark.parametrize(
    ("page", "error", "message"),
    [
        ("```python\n\nraise KeyError('x')\n```\n", KeyError, "x"),
        ("```console\n$ rm -r x\n```\n", ValueError, "commands of pages begin with python or neuromorph, not 'rm'"),
    ],
)
def test_a_page_that_can_not_run_is_an_error(page: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        renew.run(page)
