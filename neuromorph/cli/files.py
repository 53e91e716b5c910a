"""Reads the models that commands are given, and writes the results."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import neuromorph as nm

from ..host.atomic_write import names_a_folder, write_file
from ..host.frozen import frozen
from .console import sentence

SAVED = ".safetensors"
_MOST = 1 << 24  # the most bytes of a file that is read as a text; the language itself allows 1 MiB
_MOST_HEADER = 1 << 27  # the most bytes of a header; a saved model begins with this number, in 8 bytes, and a brace
_UNSAVED = (OSError, nm.StorageError, MemoryError)
FILE = click.Path(allow_dash=True)


def text_of(path: str) -> str | Path:
    """What ``nm.compile`` is given: the text on stdin for the path ``-``, else the path of the text file.

    ClickException for a saved model, a device or a file that is too large.
    """
    if path == "-":
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdin")
        return sys.stdin.buffer.read(_MOST).decode("utf-8", errors="surrogateescape")
    if is_saved(path):
        raise click.ClickException(f"{path}: a saved model, and a model description is needed")
    check_small(path, "a model", "the language allows 1 MiB")
    return Path(path)


def check_small(path: str, what: str, allowed: str = "at most 16 MiB are read") -> None:
    """Refuse a device, and a file that is too large to be read as a text. what: what it should hold.

    ClickException that says so; OSError if there is no such file.
    """
    found = os.stat(path)
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        raise click.ClickException(f"{path}: a device, not a file with {what}")
    if found.st_size > _MOST:
        raise click.ClickException(f"{path}: {found.st_size:,} bytes are too many for {what}; {allowed}")


@contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore the warnings about a model's text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.MDLWarning)
        yield


def model_of(path: str, batch: int = 1, **options: Any) -> nm.Model:
    """The model of a text or of a saved model. options: those of ``nm.compile``, used for a text only."""
    if is_saved(path):
        return loaded(path)
    with no_warnings():
        return nm.compile(text_of(path), batch, 0.0, **options)


def is_saved(path: str) -> bool:
    """Whether a file is a saved model, by its name or its content."""
    return path.lower().endswith(SAVED) or _begins_as_saved(path)


def _begins_as_saved(path: str) -> bool:
    """Whether a file begins as saved models do: with a length in 8 bytes, which no text begins with."""
    if path == "-" or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= _MOST_HEADER


def saved(path: str, threads: int | None = None) -> nm.Model:
    """A saved model with parameters. ClickException if it has none. threads: the most; None for the saved number."""
    if path.lower().endswith(".mdl") and not _begins_as_saved(path):
        raise click.ClickException(f"{path}: a text has no parameters; neuromorph train makes a model of it")
    model = loaded(path, threads)
    if not model.built:
        raise click.ClickException(f"{path}: the model was saved before it was built, and has no parameters")
    return model


def loaded(path: str, threads: int | None = None) -> nm.Model:
    """A saved model, with or without parameters. ClickException if the file is not a saved model."""
    try:
        return nm.load(path, threads=threads)
    except nm.StorageError as error:
        raise click.ClickException(str(error).replace(": foreign: ", ": not a saved model: ", 1)) from error


# Written files --------------------------------------------------------------------------------------------------------


def check_target(path: str, *, in_place: bool = False, regular: bool = False) -> None:
    """Raise ClickException, before the work begins, if nothing can be written to ``path``.

    in_place: an existing file is written to and not replaced by a new one. That needs the permissions of the file, not
    those of its folder. regular: the target must be a file, not a pipe or a device.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if os.path.isdir(path) or names_a_folder(path):
        raise click.ClickException(f"{path}: Is a directory")
    if not os.path.isdir(folder):
        raise click.ClickException(f"{path}: there is no folder {folder}")
    found = _status(path)
    if found is not None and not stat.S_ISREG(found.st_mode):
        if regular:
            raise click.ClickException(f"{path}: not a file, but a pipe, a socket or a device")
        in_place = True
    if found is not None and in_place:
        if not os.access(path, os.W_OK):
            raise click.ClickException(f"{path}: Permission denied")
    elif not os.access(folder, os.W_OK | os.X_OK):
        raise click.ClickException(f"{path}: no permission to write to the folder {folder}")


def _status(path: str) -> os.stat_result | None:
    """The status of a path; None if nothing is there. OSError for an impossible name, such as one that is too long."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def check_apart(written: Mapping[str, str | None], read: Mapping[str, str | None]) -> None:
    """Raise UsageError if a file is both read and written, or written twice.

    written, read: paths by the names of their arguments; None for an argument that is not given.
    """
    known = {os.path.realpath(path): name for name, path in read.items() if path is not None and path != "-"}
    for name, path in written.items():
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue  # a device may be read and written
        place = os.path.realpath(path)
        if place in known:
            raise click.UsageError(f"{known[place]} and {name} are the same file: {path}")
        known[place] = name


def write(path: str, data: bytes) -> None:
    """Write ``data`` to a file, whole or not at all. What is no regular file, such as a pipe, is written in place."""
    try:
        write_file(path, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


@frozen
class Kept:
    """Where a model was saved; None for nowhere. trouble: why it is not at the place that was asked for."""

    place: str | None
    trouble: str | None = None


def keep(model: nm.Model, path: str) -> Kept:
    """Save a model at ``path`` or, if that fails, in a temporary folder, so that no training is lost."""
    try:
        model.save(path)
        return Kept(path)
    except _UNSAVED as error:
        trouble = _unsaved(path, error)
    folder, elsewhere = None, "a temporary folder"
    try:
        folder = tempfile.mkdtemp(prefix="neuromorph-")
        elsewhere = os.path.join(folder, f"model{SAVED}")  # a name that is short enough
        model.save(elsewhere)
        return Kept(elsewhere, f"{trouble}; the model is in {elsewhere}")
    except _UNSAVED as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        return Kept(None, f"{trouble}; {_unsaved(elsewhere, error)}; the model is not saved")


def _unsaved(path: str, error: BaseException) -> str:
    """The message that says why a model could not be saved at a path."""
    why = error.strerror if isinstance(error, OSError) else None
    return f"{path}: {why or sentence(error)}"
