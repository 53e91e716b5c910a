"""Writes files whole or not at all, and checks where files can be written.

A file is written to a temporary file, which is flushed to disk and then renamed.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from contextlib import suppress

from .folders import has_descriptors, replace

_STALE = 3600.0  # seconds; a temporary file that is older was left by a process that died


def names_a_folder(path: str) -> bool:
    """Whether only a folder can have this path, because it ends in a separator, or in . or .."""
    return os.path.basename(path) in ("", os.curdir, os.pardir)


def check_name(path: str) -> None:
    """Raise IsADirectoryError for a path that only a folder can have."""
    if names_a_folder(path):
        raise IsADirectoryError(errno.EISDIR, "a file needs a name, and this path is that of a folder", path)


def folder_of(path: str) -> str:
    """The folder of a file; for a link, that of the file it leads to."""
    return os.path.dirname(os.path.realpath(path) if os.path.islink(path) else path) or "."


def check_place(target: str, what: str) -> None:
    """Raise OSError if a file could not be written whole at ``target``. Nothing is created.

    The folders of the target need not exist yet. what: what is to be written, for messages.
    """
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, f"{what} needs a file, but this is a folder", target)
    check_name(target)
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, f"{what} needs a regular file, but this is a device, a pipe or a socket", target)
    folder = folder_of(target)
    while folder != "." and not os.path.lexists(folder) and os.path.dirname(folder) != folder:  # as a drive has itself
        folder = os.path.dirname(folder) or "."
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, f"{what} needs a folder, but this is a file", folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"{what} can't be written to this folder", folder)
    with suppress(FileNotFoundError):
        os.stat(target)  # raises OSError for a name that is too long, and for a link to itself


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, whole or not at all. What is no regular file, such as a pipe, is written in place."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as stream:
            stream.write(data)
    else:
        replace_file(os.path.realpath(os.fspath(path)), data)


def replace_file(target: str, data: bytes) -> None:
    """Write ``data`` to a regular file, whole or not at all. It is on disk when this function returns.

    target: the real path. An existing file keeps its permissions. Raises OSError, which may name the temporary file.
    """
    folder, mode = os.path.dirname(target), _mode(target)
    _remove_stale(target)
    temporary = os.path.join(folder, f"{_temporary_prefix(target)}{secrets.token_hex(8)}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with open(file, "wb") as stream:
            if (
                mode is not None and has_descriptors()
            ):  # Windows knows one bit, and can't remove what may not be written
                os.chmod(temporary, mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(folder)


def _temporary_prefix(target: str) -> str:
    """The start of the names of a target's temporary files, with 40 characters of its own name at most."""
    return f".neuromorph-{os.path.basename(target)[:40]}-"


def _remove_stale(target: str) -> None:
    """Remove the temporary files that killed processes left for this target. Those of running saves are newer."""
    name = re.compile(re.escape(_temporary_prefix(target)) + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError), os.scandir(os.path.dirname(target)) as found:
        for item in found:
            if name.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                with suppress(OSError):
                    if time.time() - item.stat(follow_symlinks=False).st_mtime > _STALE:
                        os.unlink(item.path)


def _mode(target: str) -> int | None:
    """The permissions of the file that is replaced; None if there is no file yet."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        return None


def _flush_folder(folder: str) -> None:
    """Flush the rename to disk, if the system can do that."""
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
