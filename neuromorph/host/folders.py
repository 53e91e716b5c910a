"""Opens folders and what is in them so that nobody can put something else there meanwhile, and locks files.

Systems with POSIX's calls open a folder once, and then find files by its descriptor (``ByDescriptor``). Windows has no
such calls, and no numbers of owners: there folders are known by their paths (``ByPath``). ``system`` is that of this
system. A *folder* below is what its ``opened`` gave: a descriptor or a path.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol

Folder = int | str

ROOT = 0  # the user who may do anything in any case
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL})
_LINK = 0x400  # FILE_ATTRIBUTE_REPARSE_POINT: a link, or the place of another folder
_PATIENCE = 1.0  # seconds that a file is waited for which another program has open
_BETWEEN = 0.01  # seconds between two tries


class Folders(Protocol):
    """What the systems have in common. Errors are those of ``os``; no call follows a link at the end of a path."""

    def opened(self, name: str, parent: Folder | None = None) -> Any:
        """A folder, by its path or by its name in another one."""

    def close(self, folder: Any) -> None:
        """Close a folder."""

    def read(self, name: str, folder: Any) -> int:
        """The descriptor of a file to read. Opening does not wait, not even at a pipe."""

    def write(self, name: str, folder: Any, mode: int, *, new: bool = True) -> int:
        """The descriptor of a file to write, in binary. new: whether FileExistsError is raised if it is there."""

    def status(self, name: str, folder: Any) -> os.stat_result:
        """The status of what has a name in a folder."""

    def own_status(self, folder: Any) -> os.stat_result:
        """The status of the folder itself."""

    def make(self, name: str, folder: Any, mode: int) -> None:
        """Make a folder."""

    def rename(self, old: str, new: str, folder: Any) -> None:
        """Rename a folder. A folder that is there already, and holds something, is an error."""

    def replace(self, old: str, new: str, folder: Any) -> None:
        """Rename a file. Another file that is there already is replaced."""

    def remove(self, name: str, folder: Any) -> None:
        """Remove a folder with all that it holds, or a file, as far as possible."""

    def touch(self, folder: Any) -> None:
        """Set the folder's time of change to now."""

    def fault(self, status: os.stat_result, place: str | None = None) -> str | None:
        """The reason why others than the user and root may have written a file or folder, or None.

        place: the path of a folder that is not in another one that was asked about.
        """

    def is_own(self, folder: Any) -> bool:
        """Whether a folder belongs to the user, and not to root alone."""

    def mode(self, own: int) -> int:
        """The permissions of a new file or folder: for the user alone, but all may read what root writes."""

    def lock(self, file: int) -> bool:
        """Lock an open file until it is closed, if nobody has locked it; whether nobody had. It does not wait.

        Some file systems have no locks, such as Lustre and NFS as they are often mounted. There it is always true.
        """


class ByDescriptor:
    """Folders of POSIX. Other users can't swap a folder that is open, and owners and permissions are checked."""

    def __init__(self) -> None:
        self.locks: Any = import_module("fcntl")
        common = os.O_NOFOLLOW | os.O_CLOEXEC
        self._folder = os.O_RDONLY | os.O_DIRECTORY | common
        self._file = os.O_RDONLY | os.O_NONBLOCK | common
        self._new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | common
        self._any = os.O_RDWR | os.O_CREAT | common

    def opened(self, name: str, parent: Folder | None = None) -> int:
        assert not isinstance(parent, str)
        return os.open(name, self._folder, dir_fd=parent)

    def close(self, folder: int) -> None:
        os.close(folder)

    def read(self, name: str, folder: int) -> int:
        return os.open(name, self._file, dir_fd=folder)

    def write(self, name: str, folder: int, mode: int, *, new: bool = True) -> int:
        return os.open(name, self._new if new else self._any, mode, dir_fd=folder)

    def status(self, name: str, folder: int) -> os.stat_result:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def own_status(self, folder: int) -> os.stat_result:
        return os.fstat(folder)

    def make(self, name: str, folder: int, mode: int) -> None:
        os.mkdir(name, mode, dir_fd=folder)

    def rename(self, old: str, new: str, folder: int) -> None:
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    replace = rename

    def remove(self, name: str, folder: int) -> None:
        try:
            os.unlink(name, dir_fd=folder)  # first, since rmtree would wait at a named pipe
        except OSError:
            shutil.rmtree(name, ignore_errors=True, dir_fd=folder)

    def touch(self, folder: int) -> None:
        now = time.time_ns()  # more exact than the file system's own time stamps
        os.utime(folder, ns=(now, now))

    def fault(self, status: os.stat_result, place: str | None = None) -> str | None:
        if status.st_uid not in (os.geteuid(), ROOT):
            return f"belongs to another user (id {status.st_uid})"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "can be written by others (chmod go-w takes that away)"
        return None

    def is_own(self, folder: int) -> bool:
        return os.fstat(folder).st_uid == os.geteuid()

    def mode(self, own: int) -> int:
        return own | (own & 0o500) >> 3 | (own & 0o500) >> 6 if os.geteuid() == ROOT else own

    def lock(self, file: int) -> bool:
        try:
            self.locks.flock(file, self.locks.LOCK_EX | self.locks.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True


class ByPath:
    """Folders of Windows. A file has no owner that Python can tell, so a folder must be in that of the user.

    Only the user and administrators can write to a user's own folder. locks: the module ``msvcrt``. home: the user's
    own folder; None for that of this process.
    """

    def __init__(self, locks: Any = None, home: str | None = None) -> None:
        self.locks: Any = locks or import_module("msvcrt")
        self.home = home
        self._common = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)

    def opened(self, name: str, parent: Folder | None = None) -> str:
        path = name if parent is None else self._at(name, parent)
        status = self._not_a_link(path)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return path

    def _at(self, name: str, folder: Folder) -> str:
        assert isinstance(folder, str)
        return os.path.join(folder, name)

    def _not_a_link(self, path: str) -> os.stat_result:
        """The status of what is no link; OSError for a link."""
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode) or getattr(status, "st_file_attributes", 0) & _LINK:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return status

    def close(self, folder: str) -> None:
        """There is nothing to close."""

    def read(self, name: str, folder: str) -> int:
        path = self._at(name, folder)
        status = self._not_a_link(path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), path)
        file: int = _patiently(lambda: os.open(path, os.O_RDONLY | self._common))
        if not os.path.samestat(status, os.fstat(file)):
            os.close(file)
            raise FileNotFoundError(errno.ENOENT, "another file took its place", path)
        return file

    def write(self, name: str, folder: str, mode: int, *, new: bool = True) -> int:
        kind = os.O_WRONLY | os.O_EXCL if new else os.O_RDWR
        path = self._at(name, folder)
        if not new:
            with suppress(FileNotFoundError):
                self._not_a_link(path)
        return os.open(path, kind | os.O_CREAT | self._common, mode)

    def status(self, name: str, folder: str) -> os.stat_result:
        return os.lstat(self._at(name, folder))

    def own_status(self, folder: str) -> os.stat_result:
        return os.lstat(folder)

    def make(self, name: str, folder: str, mode: int) -> None:
        os.mkdir(self._at(name, folder), mode)

    def rename(self, old: str, new: str, folder: str) -> None:
        _patiently(lambda: os.rename(self._at(old, folder), self._at(new, folder)))

    def replace(self, old: str, new: str, folder: str) -> None:
        replace(self._at(old, folder), self._at(new, folder))

    def remove(self, name: str, folder: str) -> None:
        path = self._at(name, folder)
        try:
            os.unlink(path)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)

    def touch(self, folder: str) -> None:
        now = time.time_ns()
        os.utime(folder, ns=(now, now))

    def fault(self, status: os.stat_result, place: str | None = None) -> str | None:
        if place is None:
            return None
        home = os.path.normcase(os.path.realpath(self.home or os.path.expanduser("~")))
        path = os.path.normcase(os.path.realpath(place))
        if path.startswith(os.path.join(home, "")):
            return None
        return "is not below your own folder, and others may be able to write it"

    def is_own(self, folder: str) -> bool:
        return True

    def mode(self, own: int) -> int:
        return own

    def lock(self, file: int) -> bool:
        os.lseek(file, 0, os.SEEK_SET)  # the lock is for the bytes from here on
        try:
            self.locks.locking(file, self.locks.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            if error.errno not in _NO_LOCKS:
                raise
        return True


def replace(old: str, new: str) -> None:
    """Rename a file, in the place of another one if there is one.

    Windows refuses that while somebody has one of the two open, be it a program that looks for viruses. It is then
    tried again for a second.
    """
    _patiently(lambda: os.replace(old, new))


def _patiently(call: Callable[[], Any]) -> Any:
    """The result of a call, which is repeated on Windows as long as another program has the file open."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return call()
        except PermissionError as error:
            if getattr(error, "winerror", None) not in (5, 32, 33) or time.monotonic() > end:
                raise
        time.sleep(_BETWEEN)


def has_descriptors() -> bool:
    """Whether this system can find files by the descriptor of a folder."""
    return os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")


system: Folders = ByDescriptor() if has_descriptors() else ByPath()
