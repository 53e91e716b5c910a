"""Update the pages: the output of their Python and commands, and their pictures.

    python docs/renew.py            # rewrite the files that have changed, and list them
    python docs/renew.py --check    # only list them, and fail if there are any
    python docs/renew.py --tables   # only the parts that are made from tables; this runs no page and takes a second

Three things are made from tables: the names of all functions in docs/overview.md and in the grammar for editors, from
the records in ``neuromorph/functions``; the names of the library's cells in that grammar; and the picture of the rooms,
from the table of imports in the tests.

The Python of a page runs from top to bottom, as one program, in an empty folder that has ``examples``. A block

- ```` ```python with torch, onnx ```` is Python that runs only where these packages are installed;
- ```` ```text output ```` is the output of the Python block before it;
- ```` ```console ```` has commands after ``$``, each followed by its output; ``< file`` is stdin. Output that differs
  in times, or in other numbers with a decimal point by a twentieth, stays as it is;
- ```` ```mdl ```` with an image after it is the model in the image;
- ```` ```mdl warns ```` is the same for a model for which compiling gives a warning;
- ```` ```mdl ```` after a paragraph that ends with a link to a file of MDL is that file.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import isclose
from pathlib import Path
from typing import Any

import neuromorph as nm
from neuromorph import functions, language
from neuromorph.drawing.geometry import Layout, Link, Route, Size
from neuromorph.drawing.layered import layered
from neuromorph.drawing.rows import ranks

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md",
    ROOT / "examples/papers/README.md", ROOT / "examples/real/README.md",
    ROOT / "examples/benchmarks/README.md",
    *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/*/*.md")),
)  # fmt: skip
OVERVIEW = ROOT / "docs" / "overview.md"
GRAMMAR = ROOT / "tools" / "editor" / "mdl.tmLanguage.json"
ROOMS = ROOT / "docs" / "contributing" / "rooms.svg"
AXES = ROOT / "docs" / "axes.svg"
_BLOCK = re.compile(r"^```(?P<kind>[^`\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"\n\n!\[[^\]\n]*\]\((?P<path>[^)\n]+\.svg)\)")
_FILE = re.compile(r"\]\((?P<path>[^)\n]+\.mdl)\)[^()\n]*\n\n```mdl\n$")
_DECIMAL, _SECONDS = re.compile(r"-?\d+\.\d+(?:e-?\d+)?"), re.compile(r"\d+\.\d+ s\b")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. start, stop: the offsets of its text. line: its line on the page, from 1."""

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


def with_files(page: str, folder: Path) -> str:
    """A page's text with the present contents of the files of MDL that it shows. folder: of the page, for links."""
    pieces, at = [], 0
    for block in blocks(page):
        if shown := _FILE.search(page, 0, block.start):
            pieces += [page[at : block.start], (folder / shown["path"]).read_text(encoding="utf-8")]
            at = block.stop
    return "".join([*pieces, page[at:]])


def run(page: str, name: str = "page") -> dict[Block, str]:
    """Run a page; the output of each Python block, and the new text of each console block.

    Errors of a block are passed on. An MDLWarning that is not expected is an error, too.
    """
    found: dict[Block, str] = {}
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with _empty_folder(), warnings.catch_warnings():
        warnings.simplefilter("error", nm.MDLWarning)
        for block in blocks(page):
            if _is_run(block.kind):
                found[block] = _printed(block, name, namespace)
            elif block.kind == "console":
                found[block] = "".join(map(_commanded, re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)))
    return found


def _is_run(kind: str) -> bool:
    """Whether a block is Python that can run here."""
    needed = kind.removeprefix("python with ").split(", ") if kind.startswith("python with ") else []
    return kind == "python" or (bool(needed) and all(find_spec(package) is not None for package in needed))


def _printed(block: Block, name: str, namespace: dict[str, Any]) -> str:
    """The output of a Python block. Its lines have the line numbers of the page, for tracebacks."""
    code = compile("\n" * (block.line - 1) + block.text, name, "exec")
    with redirect_stdout(io.StringIO()) as shown:
        exec(code, namespace)
    return shown.getvalue()


def _commanded(command: str) -> str:
    """A command and its output on stdout and stderr, as a terminal shows it."""
    given, _, path = command.partition(" < ")
    program, *arguments = shlex.split(given)
    stdin = Path(path).read_bytes() if path else b""
    if program == "neuromorph":
        return f"$ {command}\n{_in_this_process(arguments, stdin)}"
    if program != "python":
        raise ValueError(f"commands of pages begin with python or neuromorph, not {program!r}")
    both = subprocess.run(
        [sys.executable, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return f"$ {command}\n{both.stdout.decode()}"


def _in_this_process(arguments: list[str], stdin: bytes) -> str:
    """The output of ``neuromorph``. It compiles nothing, and a process less takes less time."""
    from neuromorph.cli import main

    both, before = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), (sys.stdin, dict(os.environ))
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    os.environ.setdefault("NEUROMORPH_TIER", "instant")
    try:
        with redirect_stdout(both), redirect_stderr(both):
            main(arguments)
    finally:
        sys.stdin = before[0]
        os.environ.clear()
        os.environ.update(before[1])
    return both.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


def alike(one: str, other: str) -> bool:
    """Whether two outputs differ in nothing but times and, by a twentieth, in numbers with a decimal point."""
    texts = [_DECIMAL.sub("0.0", _SECONDS.sub("0 s", text)) for text in (one, other)]
    numbers = [[float(found) for found in _DECIMAL.findall(_SECONDS.sub("0 s", text))] for text in (one, other)]
    return texts[0] == texts[1] and all(map(partial(isclose, rel_tol=0.05, abs_tol=0.05), *numbers))


@contextmanager
def _empty_folder() -> Iterator[None]:
    """A block in a temporary current folder that has the examples."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="neuromorph-docs-") as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def renewed(page: str, name: str = "page", shown: dict[Block, str] | None = None) -> str:
    """The page's text with new output. shown: the result of ``run``."""
    shown = run(page, name) if shown is None else shown
    pieces, at, last = [], 0, ""
    for block in blocks(page):
        is_python = block.kind.startswith("python")
        text = block.text if is_python else last if block.kind == "text output" else shown.get(block, block.text)
        if block.kind == "console" and alike(text, block.text):
            text = block.text
        pieces += [page[at : block.start], text]
        at, last = block.stop, shown.get(block, "") if is_python else ""
    return "".join([*pieces, page[at:]])


def changes(path: Path) -> dict[Path, str]:
    """The files of a page that must change, the page and its pictures, with their new texts."""
    page = with_files(path.read_text(encoding="utf-8"), path.parent)
    wanted = {path: with_names(renewed(page, str(path)))}
    return _unlike({**wanted, **{path.parent / name: svg for name, svg in pictures(page).items()}})


def _unlike(wanted: dict[Path, str]) -> dict[Path, str]:
    """Those of some files whose present text is not the wanted one."""
    return {file: text for file, text in wanted.items() if not file.exists() or file.read_text("utf-8") != text}


# Made from tables -----------------------------------------------------------------------------------------------------

_TABLES: dict[str, dict[str, Any]] = {  # by the first column of the table in docs/overview.md
    "activations": functions.ACTIVATIONS,
    "elementwise layers": functions.ELEMENTWISE,
    "losses": functions.LOSSES,
    "merges": functions.MERGES,
    "weight initialisers": functions.WEIGHT_INITIALIZERS,
    "bias initialisers": functions.BIAS_INITIALIZERS,
}


def from_tables() -> dict[Path, str]:
    """The new texts of the files that are made from tables."""
    return {
        OVERVIEW: with_names(OVERVIEW.read_text(encoding="utf-8")),
        GRAMMAR: with_keywords(GRAMMAR.read_text(encoding="utf-8")),
        ROOMS: picture_of_rooms(table_of_rooms()),
        AXES: runpy.run_path(str(AXES.with_suffix(".py")), run_name="axes")["picture"](),
    }


def with_names(page: str) -> str:
    """A page, with the names of all functions of each kind in its table of functions."""
    for what, records in _TABLES.items():
        names = " ".join(f"`{name}`" for name in records)
        page = re.sub(rf"^\| {what} \| `.*\|$", f"| {what} | {names} |", page, flags=re.MULTILINE)
    return page


def with_keywords(grammar: str) -> str:
    """The grammar for editors, with the names of all functions and of the library's cells."""
    found = json.loads(grammar)
    rules = found["repository"]
    keywords = [rules[name] for name in ("activation", "elementwise", "loss", "operation")]
    keywords += [*rules["initializer"]["patterns"], rules["cell"]]
    names = {what: list(records) for what, records in _TABLES.items()}
    names["elementwise layers"].append(functions.RESTORE.name)
    names["cells"] = [cell.name for cell in language.library()]
    for rule, records in zip(keywords, names.values(), strict=True):
        rule["match"] = re.sub(r"\(\?:[a-z_|]+\)", f"(?:{'|'.join(records)})", rule["match"])
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def table_of_rooms() -> dict[str, set[str]]:
    """The rooms that each room of the package may import, from the table in the tests of the rooms."""
    texts = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    text = next(text for text in texts if "\nROOMS: dict" in text)
    for node in ast.parse(text).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "ROOMS":
            assert node.value is not None
            table: dict[str, set[str]] = ast.literal_eval(node.value)
            return table
    raise LookupError("the tests have no table ROOMS")


def shown_imports(table: dict[str, set[str]]) -> dict[str, set[str]]:
    """The imports that the picture shows. An import is left out if a path through other rooms leads to the same room.

    ``host`` is left out, since every room may import it. Rooms after the package's own module are users of the public
    interface, so they import that module.
    """
    names = list(table)
    users = names[names.index("__init__") + 1 :]
    edges = {
        room: reads | ({"__init__"} if room in users else set()) for room, reads in table.items() if room != "host"
    }
    reached: dict[str, set[str]] = {}
    for room, reads in edges.items():
        reached[room] = reads.union(*(reached[read] for read in reads))
    return {
        room: {read for read in reads if not any(read in reached[other] for other in reads)}
        for room, reads in edges.items()
    }


_STYLE = """
text{font:600 13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;text-anchor:middle;fill:#1f2328}
rect{fill:#e5effc;stroke:#3c78bf;stroke-width:1.5}
path{fill:none;stroke:#7b838d;stroke-width:1.5}
.tip{fill:#7b838d}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#16293f;stroke:#5f9de0}}
"""
_TIP = 7.0  # length and width of an arrow's tip


def picture_of_rooms(table: dict[str, set[str]]) -> str:
    """The picture of the rooms as SVG: arrows go down from a room to the rooms that it imports."""
    edges = shown_imports(table)
    names = list(reversed(edges))
    number = {name: place for place, name in enumerate(names)}
    links = [Link(number[name], number[read], "flow") for name in names for read in sorted(edges[name])]
    sizes = [Size(8.0 * len(name) + 24.0, 30.0) for name in names]
    layout = layered(ranks(len(names), links), links, sizes)
    left, top, width, height = layout.frame()
    box = " ".join(f"{value:g}" for value in (left, top, width, height))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="{box}" width="{width:g}" height="{height:g}">',
        "<title>The rooms of the package: an arrow goes from a room to one that it imports</title>",
        f"<style>{_STYLE}</style>",
        *map(_arrow, layout.routes),
        *_rooms(names, layout),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _rooms(names: list[str], layout: Layout) -> Iterator[str]:
    """The SVG of the rooms' boxes and names."""
    for name, box in zip(names, layout.boxes, strict=True):
        yield (
            f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:g}" height="{box.height:g}" rx="5"/>'
            f'<text x="{box.x:.1f}" y="{box.y + 4.5:.1f}">{name}</text>'
        )


def _arrow(route: Route) -> str:
    """The SVG of an arrow: a line, and a tip that points down."""
    line = f"M{route.start[0]:.1f},{route.start[1]:.1f}"
    for step in route.steps:
        line += "LQC"[len(step) - 1] + " ".join(f"{x:.1f},{y:.1f}" for x, y in step)
    x, y = route.points()[-1]
    tip = f"M{x:.1f},{y:.1f}l{-_TIP / 2:g},{-_TIP:g}h{_TIP:g}Z"
    return f'<path d="{line}"/><path class="tip" d="{tip}"/>'


def main() -> int:
    """Run the command; 1 if --check finds a file that must change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--tables", action="store_true", help="only what is made from tables of the package")
    parser.add_argument("pages", nargs="*", type=Path, help="Markdown files; all pages, and all tables, by default")
    arguments = parser.parse_args()
    found = {} if arguments.pages else _unlike(from_tables())
    pages = [] if arguments.tables else arguments.pages or PAGES
    found |= {file: text for path in pages for file, text in changes(path.resolve()).items()}
    for file, text in found.items():
        print(f"{'not as it is today' if arguments.check else 'renewed'}: {os.path.relpath(file)}")
        if not arguments.check:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    return int(arguments.check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
