"""Data on stdin and from pipes: kept in a temporary file for commands that read them several times."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import click

from ..tables.files import FORMATS
from .arrays import Source

STDIN = "-"
_FORMATS = (*FORMATS, ".npz", ".npy")


def is_stream(path: str | None) -> bool:
    """Whether a path is stdin or a pipe, which can be read only once."""
    if path is None or path == STDIN:
        return path == STDIN
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A block with stdin, which stays open, or a pipe."""
    if path != STDIN:
        with open(path, "rb") as file:
            yield file
        return
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdin")
    yield sys.stdin.buffer


def ending_of_stream(source: Source, path: str) -> str:
    """The ending of the format of a stream's data: what --format says, by default .csv."""
    if source.format is None:
        named = os.path.splitext(path)[1].lower()
        return named if named in _FORMATS else ".csv"
    ending = "." + source.format.lower().lstrip(".")
    if ending not in _FORMATS:
        raise click.UsageError(f"--format is {source.format}, and is one of {', '.join(e[1:] for e in _FORMATS)}")
    return ending


def on_disk(source: Source) -> Source:
    """The source with files in the place of stdin and pipes. The files last as long as the command."""
    streams = {name: path for name in ("data", "inputs", "expected") if is_stream(path := getattr(source, name))}
    if list(streams.values()).count(STDIN) > 1:
        raise click.UsageError("stdin can be read only once")
    if source.format is not None and not streams:
        raise click.UsageError("--format is for data on stdin or from a pipe")
    files: dict[str, Any] = {name: _kept(source, path) for name, path in streams.items()}
    titles = {**source.titles, **{file: titled(streams[name]) for name, file in files.items()}}
    return replace(source, **files, titles=titles)


def titled(path: str) -> str:
    """What messages call a stream."""
    return "stdin" if path == STDIN else path


def _kept(source: Source, path: str) -> str:
    """A temporary file with all that a stream has."""
    folder = tempfile.mkdtemp(prefix="neuromorph-")
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(lambda: shutil.rmtree(folder, ignore_errors=True))
    kept = os.path.join(folder, "stdin" + ending_of_stream(source, path))
    with open(kept, "wb") as file, opened(path) as given:
        shutil.copyfileobj(given, file)
    return kept
