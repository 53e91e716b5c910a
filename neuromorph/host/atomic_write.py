"""Writes files whole or not at all, through a temporary file that is flushed and renamed; and checks where files can
be."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from contextlib import suppress

_STALE = 3600.0  # seconds without a write after which a temporary file was left by a process that died


def names_a_folder(path: str) -> bool:
    """Whether a path can be that of a folder only, though none may be there: it ends in a separator, or in . or .."""
    return os.path.basename(path) in ("", os.curdir, os.pardir)


def check_name(path: str) -> None:
    """IsADirectoryError for a path that can be that of a folder only."""
    if names_a_folder(path):
        raise IsADirectoryError(errno.EISDIR, "a file needs a name, and this path is that of a folder", path)


def folder_of(path: str) -> str:
    """The folder of a file, or of the one that a link leads to."""
    return os.path.dirname(os.path.realpath(path) if os.path.islink(path) else path) or "."


def check_place(target: str, what: str) -> None:
    """OSError where a file could not be written whole to a place. Nothing is made: its folders may be missing yet.

    what: what is to be written, for messages.
    """
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, f"{what} needs a file, but this is a folder", target)
    check_name(target)
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, f"{what} needs a regular file, but this is a device, a pipe or a socket", target)
    folder = folder_of(target)
    while folder != "." and not os.path.lexists(folder):
        folder = os.path.dirname(folder) or "."
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, f"{what} needs a folder, but this is a file", folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"{what} can't be written to this folder", folder)
    with suppress(FileNotFoundError):
        os.stat(target)  # which refuses a name that is too long, and a link that leads to itself


def replace_file(target: str, data: bytes) -> None:
    """Make ``data`` the contents of a regular file, whole or not at all, on disk when this returns.

    target: its real path; what is there keeps its permissions. Raises OSError, which may name the temporary file.
    """
    folder, mode = os.path.dirname(target), _mode(target)
    _remove_stale(target)
    temporary = os.path.join(folder, f"{_temporary_prefix(target)}{secrets.token_hex(8)}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with open(file, "wb") as stream:
            if mode is not None:
                os.chmod(temporary, mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(folder)


def _temporary_prefix(target: str) -> str:
    """How the names of a target's temporary files begin: with so much of its own as any file system takes."""
    return f".neuromorph-{os.path.basename(target)[:40]}-"


def _remove_stale(target: str) -> None:
    """Remove what killed processes left of their temporary files for this target; a save at work is younger."""
    name = re.compile(re.escape(_temporary_prefix(target)) + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError), os.scandir(os.path.dirname(target)) as found:
        for item in found:
            if name.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                with suppress(OSError):
                    if time.time() - item.stat(follow_symlinks=False).st_mtime > _STALE:
                        os.unlink(item.path)


def _mode(target: str) -> int | None:
    """The permissions of the file that is replaced, None where there is none yet."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        return None


def _flush_folder(folder: str) -> None:
    """Have the rename on disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)
