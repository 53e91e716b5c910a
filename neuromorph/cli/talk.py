"""What the commands say: results on stdout, all else on stderr, each trouble in one line."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

import neuromorph as nm

# What bad files, data and arguments end in; anything else is a bug, and shows its traceback.
TROUBLE = (click.ClickException, nm.NeuromorphError, OSError, MemoryError, ValueError)


def say(text: str) -> None:
    """A line on stderr."""
    click.echo(printable(text), err=True)


def give(text: str) -> None:
    """A result on stdout."""
    click.echo(printable(text))


def printable(text: str) -> str:
    """The text without what could garble a terminal, such as escape sequences in the name of a file."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def sentence(error: BaseException) -> str:
    """What went wrong: one line, and below it the excerpt of a wrong model description."""
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "neuromorph"
        return f"{error.format_message().rstrip('.')} (see {path} --help)"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    text = str(error) or type(error).__name__
    return text if isinstance(error, nm.MDLError) else " ".join(text.split())


def told(error: BaseException) -> int:
    """Say what went wrong; the exit code."""
    say(f"error: {sentence(error)}")
    return error.exit_code if isinstance(error, click.ClickException) else 1


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Every warning a line on stderr, without the place in the code that Python would show."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        for kind in (nm.MDLWarning, nm.CacheWarning):
            warnings.simplefilter("always", kind)
        warnings.showwarning = show
        yield


def flush_or_forget() -> int:
    """Write out what stdout still holds; 1 where nobody can have it, and then nothing more is tried."""
    try:
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        _forget()
    except OSError as error:
        _forget()
        told(error)
    return 1


def _forget() -> None:
    """Let whatever else goes to stdout vanish, so that Python's own last flush does not complain."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
