"""Files that are written whole or not at all: to a temporary file, flushed and renamed."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from contextlib import suppress

_STALE = 3600.0  # seconds without a write after which a temporary file was left by a process that died


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
