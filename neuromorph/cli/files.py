"""Models that commands read, and results that they write."""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

import neuromorph as nm

SAVED = ".safetensors"
_MOST = 1 << 24  # bytes of a file that can still be a text; the language itself allows 1 MiB
FILE = click.Path(allow_dash=True)


def text_of(path: str) -> str | Path:
    """The text that ``nm.compile`` is given: that of stdin for ``-``, else the path of a file that may hold one."""
    if path == "-":
        return sys.stdin.buffer.read(_MOST).decode("utf-8", errors="surrogateescape")
    if is_saved(path):
        raise click.ClickException(f"{path}: a saved model, and a model description is needed")
    found = os.stat(path)
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        raise click.ClickException(f"{path}: a device, not a file with a model")
    if found.st_size > _MOST:
        raise click.ClickException(
            f"{path}: {found.st_size:,} bytes are too many for a model; the language allows 1 MiB"
        )
    return Path(path)


@contextmanager
def no_warnings() -> Iterator[None]:
    """Leave unsaid what a model's text makes one warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.MDLWarning)
        yield


def model_of(path: str, batch: int = 1, **options: Any) -> nm.Model:
    """The model of a text, or of a saved model, told by its name. options: those of ``nm.compile``, for a text."""
    if is_saved(path):
        return nm.load(path)
    with no_warnings():
        return nm.compile(text_of(path), batch, 0.0, **options)


def is_saved(path: str) -> bool:
    """Whether a name is that of a saved model."""
    return path.lower().endswith(SAVED)


def saved(path: str) -> nm.Model:
    """A saved model, which has parameters."""
    if path.lower().endswith(".mdl"):
        raise click.ClickException(f"{path}: a text has no parameters; neuromorph train makes a model of it")
    model = nm.load(path)
    if not model.built:
        raise click.ClickException(f"{path}: the model was saved before it was built, and has no parameters")
    return model


def check_target(path: str) -> None:
    """Refuse, before the work begins, a place where nothing can be written."""
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise click.ClickException(f"{path}: Is a directory")
    if not os.path.isdir(folder):
        raise click.ClickException(f"{path}: there is no folder {folder}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise click.ClickException(f"{path}: Permission denied")


def write(path: str, data: bytes) -> None:
    """Make ``data`` the contents of a file, whole or not at all; what is no regular file, such as a pipe, is written
    as it is."""
    if os.path.exists(path) and not os.path.isfile(path):
        Path(path).write_bytes(data)
        return
    target = os.path.realpath(path)
    temporary = os.path.join(os.path.dirname(target), f".neuromorph-{secrets.token_hex(8)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            with suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            os.replace(temporary, target)
        finally:
            with suppress(OSError):
                os.unlink(temporary)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def keep(model: nm.Model, path: str) -> str | None:
    """Save a model; None, or why it could not be saved there, and where it is instead: training must not be lost."""
    try:
        model.save(path)
        return None
    except OSError as error:
        elsewhere = os.path.join(tempfile.mkdtemp(prefix="neuromorph-"), os.path.basename(path))
        model.save(elsewhere)
        return f"{path}: {error.strerror}; the model is in {elsewhere}"
