"""Output of the commands: results go to stdout, everything else to stderr. Each error is one line."""

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

# The errors of bad files, data and arguments. Any other exception is a bug, and shows its traceback.
TROUBLE = (click.ClickException, nm.NeuromorphError, OSError, MemoryError, ValueError)


def say(text: str) -> None:
    """Print a line on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def give(text: str) -> None:
    """Print a result on stdout, as lines."""
    give_raw(printable(text) + "\n")


def give_raw(data: str | bytes) -> None:
    """Print a result on stdout, unchanged. OSError if stdout is closed."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdout")
    try:
        click.echo(data, nl=False)
    except OSError as error:
        _forget(sys.stdout)  # its buffer may hold what could not be written, and would fail again
        if _is_broken_pipe(error):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        raise


def printable(text: str) -> str:
    """The text, with a replacement character for whatever could garble a terminal, such as escape sequences."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def sentence(error: BaseException) -> str:
    """The message of an error, in one line. For a wrong model description, the excerpt of the text follows."""
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
    """Print an error on stderr and return the exit code."""
    say(f"error: {sentence(error)}")
    return error.exit_code if isinstance(error, click.ClickException) else 1


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print every warning as one line on stderr, without the place in the code that Python would show."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        for kind in (nm.MDLWarning, nm.DataWarning, nm.CacheWarning):
            warnings.simplefilter("always", kind)
        warnings.showwarning = show
        yield


class Forgiving:
    """A stream that ignores failed writes: the text is lost, and no error is raised."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text if possible, and return its length."""
        try:
            self._stream.write(text)
        except OSError:
            _forget(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write out the buffer if possible."""
        try:
            self._stream.flush()
        except OSError:
            _forget(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def stderr_forgiven() -> Iterator[None]:
    """Ignore failed writes to stderr, so that a closed or broken stderr does not stop the work."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(Forgiving(sys.stderr or nowhere)):
        yield


def keep_descriptors() -> None:
    """Open the null device in the place of each closed standard stream.

    Otherwise the next file that is opened, such as a model, gets that file descriptor, and whatever libraries print
    goes into the file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one


def flush_or_forget() -> int:
    """Write out the buffer of stdout and return an exit code: 0, or 1 if that fails."""
    if sys.stdout is None:
        return 0
    try:
        sys.stdout.flush()
        return 0
    except OSError as error:
        _forget(sys.stdout)
        if not _is_broken_pipe(error):
            report_error(error)
    return 1


def _is_broken_pipe(error: OSError) -> bool:
    """Whether the program that read the output has ended. Windows may call that an invalid argument."""
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)


def _forget(stream: Any) -> None:
    """Send all further output of a stream to the null device, so that Python's last flush raises no error."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
