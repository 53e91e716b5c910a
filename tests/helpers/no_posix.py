"""Takes away from a process of Linux what Windows lacks, and refuses what Windows refuses.

It is run before anything else is imported. What it is like is Windows as Python shows it: calls and modules of POSIX
are missing; a folder has no descriptor; a file is opened as text unless ``O_BINARY`` says no; a folder or file that
somebody has open or mapped can't be renamed, replaced or removed; every file can be written by all. What it can't show
is the compiler: machine code stays that of Linux.
"""

import errno
import fcntl
import os
import signal
import stat
import subprocess  # noqa: F401 - it takes a system that has msvcrt for Windows
import sys
import types
from typing import Any

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
WORDS = """
    chown fchown lchown fork forkpty register_at_fork getuid geteuid getgid getegid getgroups setuid setsid getsid
    getpgid killpg mkfifo mknod sched_getaffinity sched_setaffinity sched_yield sysconf nice statvfs set_blocking
    wait waitid wait3 wait4 fchmod fchdir chroot getloadavg openpty pathconf posix_spawn pread pwrite sync ttyname
    O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_CLOEXEC O_SYNC O_NOCTTY
"""
SIGNALS = ("SIGINT", "SIGTERM", "SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL")
BINARY, NO_INHERIT = 0x8000 << 16, 0x80 << 16  # numbers that mean nothing to Linux
REAL = {name: getattr(os, name) for name in ("open", "rename", "replace", "unlink", "rmdir", "stat", "lstat", "fstat")}
LOCK, lock_of_linux = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.flock


def in_use(path: str) -> bool:
    """Whether this process has a file, or one below a folder, open or mapped."""
    real = os.path.realpath(path)
    below = os.path.join(real, "")
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        names += [line.split(maxsplit=5)[-1].strip() for line in maps]
    return any(name == real or name.startswith(below) for name in names)


def refuse_in_use(*paths: Any) -> None:
    """Raise the error of Windows for a file that somebody has open."""
    for path in paths:
        if in_use(os.fspath(path)):
            error = PermissionError(errno.EACCES, "the file is used by another process", str(path))
            error.winerror = 32  # type: ignore[attr-defined]
            raise error


def open_file(path: Any, flags: int, mode: int = 0o777, *, dir_fd: None = None) -> int:
    """``os.open``. Whoever opens as text is told, since bytes of a kernel would change."""
    assert dir_fd is None, "there are no descriptors of folders"
    assert flags & BINARY or path == os.devnull, f"{path} is opened as text"
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return REAL["open"](path, flags & ~(BINARY | NO_INHERIT), mode)


def rename(old: Any, new: Any) -> None:
    """``os.rename``, which replaces nothing."""
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    refuse_in_use(old)
    REAL["rename"](old, new)


def replace(old: Any, new: Any) -> None:
    """``os.replace``."""
    refuse_in_use(old, new)
    REAL["replace"](old, new)


def unlink(path: Any, *, dir_fd: None = None) -> None:
    """``os.unlink``, which can't remove what may not be written."""
    assert dir_fd is None, "there are no descriptors of folders"
    refuse_in_use(path)
    if not REAL["lstat"](path).st_mode & stat.S_IWUSR:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    REAL["unlink"](path)


def seen(call: str) -> Any:
    """``os.stat`` and the like: the owner is always 0, and everybody can write."""

    def status(path: Any, **options: Any) -> os.stat_result:
        assert options.get("dir_fd") is None, "there are no descriptors of folders"
        found = REAL[call](path, **options)
        if isinstance(path, int) and stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        values = list(found)
        values[0], values[4], values[5] = found.st_mode | 0o222 if found.st_mode & 0o200 else found.st_mode, 0, 0
        return os.stat_result(values, {"st_mtime_ns": found.st_mtime_ns, "st_mtime": found.st_mtime})

    return status


def locking(file: int, mode: int, count: int) -> None:
    """``msvcrt.locking``."""
    try:
        lock_of_linux(file, LOCK)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def take_away() -> None:
    """Make this process what the head of the file says."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in WORDS.split():
        if hasattr(os, name):
            delattr(os, name)
    for name in [name for name in vars(signal) if name.startswith("SIG") and "_" not in name and name not in SIGNALS]:
        delattr(signal, name)
    for name in ("setitimer", "getitimer", "alarm", "pthread_sigmask", "pthread_kill", "sigwait", "siginterrupt"):
        delattr(signal, name)
    signal.valid_signals = lambda: {getattr(signal, name) for name in SIGNALS}
    msvcrt: Any = types.ModuleType("msvcrt")
    msvcrt.LK_NBLCK, msvcrt.LK_UNLCK, msvcrt.locking = 2, 0, locking
    sys.modules["msvcrt"] = msvcrt
    system: Any = os
    system.O_BINARY, system.O_NOINHERIT = BINARY, NO_INHERIT
    system.open, system.rename, system.replace, system.unlink, system.remove = (
        open_file,
        rename,
        replace,
        unlink,
        unlink,
    )
    system.stat, system.lstat, system.fstat = seen("stat"), seen("lstat"), seen("fstat")
    for kept in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        kept.clear()
    sys.modules.pop("shutil", None)  # it finds out what the system can do when it is imported
    import tempfile  # only now, for the same reason

    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # type: ignore[misc] # Windows has no file without a name


take_away()
