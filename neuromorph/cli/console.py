"""Output of the commands: results go to stdout, everything else to stderr, each error in one line."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Any

import click

import neuromorph as nm

# What bad files, data and arguments end in; anything else is a bug, and shows its traceback.
TROUBLE = (click.ClickException, nm.NeuromorphError, OSError, MemoryError, ValueError)


def say(text: str) -> None:
    """A line on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def give(text: str) -> None:
    """A result on stdout, as lines."""
    give_raw(printable(text) + "\n")


def give_raw(data: str | bytes) -> None:
    """A result on stdout as it is; OSError where stdout is closed."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdout")
    try:
        click.echo(data, nl=False)
    except OSError:
        _forget(sys.stdout)  # which may hold what could not be written, and would fail once more
        raise


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


def report_error(error: BaseException) -> int:
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


class Forgiving:
    """A stream that nobody has to read: where it can't be written to, what goes there vanishes, without an error."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, if that can be done; its length."""
        try:
            self._stream.write(text)
        except OSError:
            _forget(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write out what is kept back, if that can be done."""
        try:
            self._stream.flush()
        except OSError:
            _forget(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def stderr_forgiven() -> Iterator[None]:
    """Let no work be lost because nobody listens to what is said of it: stderr may break, or be closed."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(Forgiving(sys.stderr or nowhere)):
        yield


def keep_descriptors() -> None:
    """Put something harmless in the places of closed standard streams: the next file that is opened, such as a model,
    would get that place, and whatever libraries print there."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one


def flush_or_forget() -> int:
    """Write out what stdout still holds; 1 where nobody can have it, and then nothing more is tried."""
    if sys.stdout is None:
        return 0
    try:
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        _forget(sys.stdout)
    except OSError as error:
        _forget(sys.stdout)
        report_error(error)
    return 1


def _forget(stream: Any) -> None:
    """Let whatever else goes to a stream vanish, so that Python's own last flush does not complain."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
