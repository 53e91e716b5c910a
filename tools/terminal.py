"""Makes the README's picture of the command line: it runs a session and draws it as SVG.

    python tools/terminal.py                                run the session, and write docs/command-line.svg
    python tools/terminal.py session.svg 'neuromorph ...'   the same with other commands

The commands run in a temporary folder, as a user would type them. The picture shows what they print, with progress in
the form for an stderr that is no terminal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "command-line.svg"
SESSION = (
    "neuromorph demo --write digits",
    "cd digits && sed 's/softmax/sofmtax/' perceptron.mdl > typo.mdl",
    "neuromorph check typo.mdl",
    "neuromorph summary perceptron.mdl",
    "neuromorph train perceptron.mdl --data train.npz --batch 8 --rate 0.3 --epochs 60 --seed 1 --save p.safetensors",
    "neuromorph evaluate p.safetensors --data test.npz",
    "neuromorph predict p.safetensors --data test.npz --labels | head -3",
)
COLUMNS, FONT, LEADING, MARGIN, BAR = 118, 12, 17, 16, 30
ADVANCE = 7.2  # the width of a character, to which lines are stretched in any font


def transcript(commands: Sequence[str]) -> list[tuple[bool, str]]:
    """The lines that a terminal would show, each with whether it was typed."""
    lines: list[tuple[bool, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        shell = Path(folder, "bin", "neuromorph")
        shell.parent.mkdir()
        shell.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m neuromorph "$@"\n')
        shell.chmod(0o755)
        place = Path(folder, "home")
        place.mkdir()
        for command in commands:
            lines.append((True, f"$ {command}"))
            output, place = answer(command, place, shell.parent)
            lines += [(False, line) for line in output.splitlines()]
    return lines


def answer(command: str, place: Path, programs: Path) -> tuple[str, Path]:
    """The output of a command, on stdout and stderr, and the current folder after it."""
    environ = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": str(COLUMNS)}
    mark = "\x1c"
    script = f"{{ {command}\n}} 2>&1; printf '{mark}'; pwd"
    done = subprocess.run(["/bin/sh", "-c", script], cwd=place, env=environ, capture_output=True, text=True, check=True)
    output, _, folder = done.stdout.rpartition(mark)
    return output, Path(folder.strip())


def wrapped(lines: Sequence[tuple[bool, str]]) -> list[tuple[bool, str]]:
    """The lines, divided at the terminal's width."""
    parts = []
    for typed, line in lines:
        parts += [(typed, line[at : at + COLUMNS]) for at in range(0, max(1, len(line)), COLUMNS)]
    return parts


def svg(lines: Sequence[tuple[bool, str]]) -> str:
    """The SVG of a terminal's window with lines of text. It is dark on every page."""
    shown = wrapped(lines)
    width, height = round(COLUMNS * ADVANCE) + 2 * MARGIN, BAR + len(shown) * LEADING + 2 * MARGIN
    rows = [row(typed, line, BAR + MARGIN + (number + 0.7) * LEADING) for number, (typed, line) in enumerate(shown)]
    dots = "".join(
        f'<circle cx="{20 + 18 * number}" cy="{BAR / 2}" r="5" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        "<title>A session with the command line of neuromorph</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#16181d"/>',
        f'<path d="M0 {BAR}v-{BAR - 8}q0-8 8-8h{width - 16}q8 0 8 8v{BAR - 8}z" fill="#2a2d35"/>',
        dots,
        f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="{FONT}" fill="#d6d9e0">',
        *filter(None, rows),
        "</g>",
        "</svg>\n",
    ))  # fmt: skip


def row(typed: bool, line: str, y: float) -> str:
    """The SVG of one line of text; empty for an empty line."""
    text = line.rstrip()
    if not text:
        return ""
    look = ' fill="#7ee0a1" font-weight="600"' if typed else ""
    stretch = f'textLength="{len(text) * ADVANCE:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{MARGIN}" y="{y:.1f}" xml:space="preserve" {stretch}{look}>{escape(text)}</text>'


def main(arguments: Sequence[str]) -> None:
    """Run a session and write its picture."""
    path, commands = (Path(arguments[0]), arguments[1:]) if arguments else (PICTURE, SESSION)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(transcript(commands)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
