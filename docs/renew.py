"""Make the pages show what the library does today: what their Python and commands print, and their pictures.

    python docs/renew.py            # rewrite what has changed, and say so
    python docs/renew.py --check    # only say so, and fail where there is something

The Python of a page runs from top to bottom, as one program, in an empty folder that has ``examples``. A block

- ```` ```text output ```` is what the Python block before it prints,
- ```` ```console ```` holds commands after ``$``, each followed by what it prints,
- ```` ```mdl ```` with an image behind it is the model that the image shows;
- ```` ```mdl warns ```` is the same for a model of which compiling warns.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import neuromorph as nm

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", ROOT / "examples/papers/README.md",
    *sorted(ROOT.glob("docs/*.md")),
)  # fmt: skip
_BLOCK = re.compile(r"^```(?P<kind>[^`\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"\n\n!\[[^\]\n]*\]\((?P<path>[^)\n]+\.svg)\)")
_PROGRAMS = {"python": [sys.executable], "neuromorph": [sys.executable, "-m", "neuromorph"]}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``start`` and ``stop`` are where its text begins and ends, ``line`` counts from 1."""

    kind: str
    text: str
    start: int
    stop: int
    line: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page's text, in order."""
    return [
        Block(found["kind"], found["text"], *found.span("text"), page.count("\n", 0, found.start("text")) + 1)
        for found in _BLOCK.finditer(page)
    ]


def pictures(page: str) -> dict[str, str]:
    """The pictures of a page's models: {path as the page names it: SVG}."""
    found = {}
    for block in blocks(page):
        shown = _PICTURE.match(page, block.stop + len("```"))
        if block.kind in ("mdl", "mdl warns") and shown:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", nm.MDLWarning)
                found[shown["path"]] = nm.draw(nm.compile(block.text, 1, 0.1)).svg
    return found


def run(page: str, name: str = "page") -> dict[Block, str]:
    """Run a page; what each Python block prints, and each console block as it would be shown.

    Raises whatever a block raises. An MDLWarning that is not expected is an error, too.
    """
    found: dict[Block, str] = {}
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with _empty_folder(), warnings.catch_warnings():
        warnings.simplefilter("error", nm.MDLWarning)
        for block in blocks(page):
            if block.kind == "python":
                found[block] = _printed(block, name, namespace)
            elif block.kind == "console":
                found[block] = "".join(map(_commanded, re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)))
    return found


def _printed(block: Block, name: str, namespace: dict[str, Any]) -> str:
    """What a Python block prints; its lines have their numbers on the page."""
    code = compile("\n" * (block.line - 1) + block.text, name, "exec")
    with redirect_stdout(io.StringIO()) as shown:
        exec(code, namespace)
    return shown.getvalue()


def _commanded(command: str) -> str:
    """A command and what it prints, on either stream, as a terminal shows it."""
    program, *arguments = shlex.split(command)
    if program not in _PROGRAMS:
        raise ValueError(f"commands of pages begin with {' or '.join(_PROGRAMS)}, not {program!r}")
    both = subprocess.run(
        [*_PROGRAMS[program], *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return f"$ {command}\n{both.stdout}"


@contextmanager
def _empty_folder() -> Iterator[None]:
    """A temporary current folder, with the examples in it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="neuromorph-docs-") as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def renewed(page: str, name: str = "page", shown: dict[Block, str] | None = None) -> str:
    """The page's text with what its blocks show today; ``shown``: what ``run`` gave."""
    shown = run(page, name) if shown is None else shown
    pieces, at, last = [], 0, ""
    for block in blocks(page):
        text = {"python": block.text, "text output": last}.get(block.kind, shown.get(block, block.text))
        pieces += [page[at : block.start], text]
        at, last = block.stop, shown.get(block, "") if block.kind == "python" else ""
    return "".join([*pieces, page[at:]])


def changes(path: Path) -> dict[Path, str]:
    """The files that a page needs otherwise than they are, with their new texts."""
    page = path.read_text(encoding="utf-8")
    wanted = {path: renewed(page, str(path))}
    wanted |= {path.parent / name: svg for name, svg in pictures(page).items()}
    return {file: text for file, text in wanted.items() if not file.exists() or file.read_text("utf-8") != text}


def main() -> int:
    """The command; 1 where --check finds something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES, help="Markdown files; all pages by default")
    arguments = parser.parse_args()
    found = {file: text for path in arguments.pages for file, text in changes(path.resolve()).items()}
    for file, text in found.items():
        print(f"{'not as it is today' if arguments.check else 'renewed'}: {os.path.relpath(file)}")
        if not arguments.check:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    return int(arguments.check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
