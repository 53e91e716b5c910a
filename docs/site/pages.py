"""Changes the Markdown of this repository, which GitHub shows as it is, into that of the site. Needs no package.

Pages of the site are named by their place, such as ``examples/README.md``. That is the place in ``docs/``, or else in
the repository; ``index.md`` is the README.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOME = "index.md"
OF_CODE = ".text.md"  # pages that show a file of code end so
OF_NOTEBOOK = ".ipynb.md"
PICTURES = (".png", ".svg")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()(?P<target>[^)\s#]+)(?P<place>#[^)\s]*)?(\))")
_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_NAME = re.compile(r"(?<![\[`])`nm\.(?P<name>\w+)(?:\([^`\n]*\))?`(?!`|\]|[^\[\]\n]*\]\()")
_ITEM = re.compile(r"([-*]|\d+\.) ")


def repository_path(page: str) -> str:
    """The file of a page, from the root of the repository."""
    if page == HOME:
        return "README.md"
    if page.endswith(OF_NOTEBOOK):
        return page.removesuffix(".md")
    return f"docs/{page}" if (ROOT / "docs" / page).exists() else page.removesuffix(OF_CODE)


def page_of(path: str) -> str:
    """The page, or the picture, that shows a file of the repository."""
    if path == "README.md":
        return HOME
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.endswith(".ipynb"):
        return f"{path}.md"
    return path if path.endswith((".md", *PICTURES)) else f"{path}{OF_CODE}"


def prose(page: str, change: Callable[[str], str]) -> str:
    """A page whose text outside fenced blocks is changed."""
    pieces, at = [], 0
    for block in _FENCED.finditer(page):
        pieces += [change(page[at : block.start()]), block[0]]
        at = block.end()
    return "".join([*pieces, change(page[at:])])


def targets(markdown: str, page: str) -> list[str]:
    """The files of the repository, by their paths from its root, to which the text of a page links."""
    folder = PurePosixPath(repository_path(page)).parent
    links = _LINK.finditer(_CODE.sub("", _FENCED.sub("", markdown)))
    return [normpath(folder / link["target"]) for link in links if ":" not in link["target"]]


def linked(text: str, page: str) -> str:
    """The text of a page, outside fenced blocks, with links that lead to pages of the site."""
    folder, here = PurePosixPath(repository_path(page)).parent, str(PurePosixPath(page).parent)

    def moved(link: re.Match[str]) -> str:
        path = normpath(folder / link["target"])
        if ":" in link["target"] or not (ROOT / path).exists():  # a wrong one is for MkDocs to find
            return link[0]
        return f"]({relpath(page_of(path), here)}{link['place'] or ''})"

    return _LINK.sub(moved, text)


def with_references(text: str, anchors: Mapping[str, str]) -> str:
    """A text in which code such as ``nm.train(…)`` links to the reference. anchors: by name."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if not line.startswith("#"):
            lines[at] = _NAME.sub(
                lambda found: f"[{found[0]}][{anchors[found['name']]}]" if found["name"] in anchors else found[0], line
            )
    return "\n".join(lines)


def spaced(text: str) -> str:
    """A text in which a blank line stands before every list, and code in tables has no backslash before a bar."""
    lines: list[str] = []
    for line in text.split("\n"):
        before = lines[-1] if lines else ""
        if _ITEM.match(line) and before.strip() and not before.startswith(" ") and not _ITEM.match(before):
            lines.append("")
        lines.append(_CODE.sub(lambda code: code[0].replace(r"\|", "|"), line) if line.startswith("|") else line)
    return "\n".join(lines)


def plain_fences(page: str) -> str:
    """A page whose fenced blocks are named by their language alone, such as ``python`` for ``python with torch``.

    Output has a class of its own.
    """
    page = page.replace("```text output\n", "``` { .text .output }\n")
    return re.sub(r"^```(\w+) [^`\n]*$", r"```\1", page, flags=re.MULTILINE)


def as_page(path: str) -> str:
    """The page that shows a file of code."""
    language = PurePosixPath(path).suffix[1:]
    text = (ROOT / path).read_text(encoding="utf-8").rstrip("\n")
    return f"# {PurePosixPath(path).name}\n\n`{path}`\n\n```{language}\n{text}\n```\n"


def of_notebook(path: str) -> str:
    """The page that shows a notebook, with the outputs that are stored in it."""
    pieces = []
    for cell in json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        pieces.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        pieces += map(_of_output, cell.get("outputs", ()))
    return "\n\n".join(pieces) + "\n"


def _of_output(output: dict[str, Any]) -> str:
    data = output.get("data", {"text/plain": output.get("text", [])})
    if "image/svg+xml" in data:
        svg = "".join(data["image/svg+xml"])
        return f"![Output](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
    if "image/png" in data:
        return f"![Output](data:image/png;base64,{''.join(data['image/png']).strip()})"
    return f"```text output\n{''.join(data['text/plain']).rstrip()}\n```"


def markdown_of(path: str) -> str:
    """The Markdown of the page for a file of the repository."""
    if path.endswith(".md"):
        return (ROOT / path).read_text(encoding="utf-8")
    return of_notebook(path) if path.endswith(".ipynb") else as_page(path)


def outside(pages: Iterable[str]) -> dict[str, str]:
    """The pages for files outside ``docs/`` that given pages, or one another, link to: their Markdown by name."""
    found: dict[str, str] = {}
    waiting = list(pages)
    while waiting:
        page = waiting.pop()
        path = repository_path(page)
        markdown = markdown_of(path)
        if not path.startswith("docs/"):
            found[page] = markdown
        reached = [path for path in targets(markdown, page) if (ROOT / path).is_file() and not path.endswith(PICTURES)]
        more = {page_of(path) for path in reached if not path.startswith("docs/")}
        waiting += sorted(more - found.keys() - set(waiting))
    return found


def pictures(shown: Mapping[str, str]) -> set[str]:
    """The pictures outside ``docs/`` to which pages lead. shown: the Markdown of the pages by name."""
    reached = {path for page, text in shown.items() for path in targets(text, page) if path.endswith(PICTURES)}
    return {path for path in reached if (ROOT / path).is_file() and not path.startswith("docs/")}
