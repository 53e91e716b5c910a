"""The reference pages: every public name from its docstring, and every command from its help text.

A line such as ``::: nm.train`` on a page stands for the documentation of the name, and ``::: neuromorph`` for the help
texts of all commands.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import click

import neuromorph as nm
from neuromorph.cli import main
from neuromorph.cli.entry import neuromorph

_OBJECT = re.compile(r"^::: nm\.(?P<name>[\w.]+)(?P<options>(?:\n    .*)*)$", re.MULTILINE)
_COMMANDS = re.compile(r"^::: neuromorph$", re.MULTILINE)


def anchor(name: str, found: Any) -> str:
    """The place of a public name in the source, which mkdocstrings looks up and links lead to."""
    return f"{found.__module__}.{found.__qualname__}"


ANCHORS = {name: anchor(name, getattr(nm, name)) for name in nm.__all__}


def with_objects(page: str) -> str:
    """A page with the directives of mkdocstrings in place of ours."""

    def directive(found: re.Match[str]) -> str:
        name = found["name"]
        place = ANCHORS.get(name, f"neuromorph.{name}")
        heading = f"    options:\n      heading: nm.{name}\n      toc_label: {name.rpartition('.')[2]}"
        more = found["options"].replace("\n    options:", "")
        return f"::: {place}\n{heading}{more}"

    return _OBJECT.sub(directive, page)


def with_commands(page: str) -> str:
    """A page with every command's help text, in place of the line that asks for them."""
    return _COMMANDS.sub(lambda _: "\n\n".join(_sections(neuromorph, [])), page)


def _sections(command: click.Command, words: list[str]) -> Iterator[str]:
    """The help text of a command under a heading, and those of its own commands."""
    yield f"## {' '.join(['neuromorph', *words])}\n\n```text\n{help_of(words)}```"
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from _sections(command.commands[name], [*words, name])


def help_of(words: list[str]) -> str:
    """What ``neuromorph COMMAND --help`` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        main([*words, "--help"])
    return shown.getvalue()
