"""The files of the cache of compiled kernels: checked reading, atomic writing, removal.

An entry is a folder named by its key, 64 hexadecimal digits. It holds the files of one compiled bundle and
``meta.json``, which lists the size and SHA-256 of each. An entry is written under a temporary name, renamed when it is
complete, and never changed again, so a reader sees all of it or nothing.

A cache holds code, so only files that nobody but the user and root can write are ever read back: the cache, its entries
and their files belong to one of the two, are no links, and nobody else may write them. The cache of root, such as that
of a container's image, is only read by other users. Every folder is opened once, checked, and
then used by its descriptor, so that it can't be swapped between the check and the use. ``host/folders.py`` says what
takes the place of these checks on Windows.

Functions here raise errors; ``cache.py`` handles them.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..host import folders
from ..host.folders import Folder
from ..host.frozen import frozen

FORMAT = 1  # of an entry; it is part of every key, so an entry of another format is never found
META = "meta.json"
LOCK = ".lock"
BOUND = ".bound"  # a file that holds the size limit of the last trimming, in bytes
KEY = re.compile(r"[0-9a-f]{64}")
TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_USUAL = re.compile(r"(meta|functions)\.json|kernel\.(bin|py)|\w+\.(ll|s)", re.ASCII)  # for an entry without a listing
_META_LIMIT = 1 << 20  # bytes
_BOUND_LIMIT = 20
_STALE = 3600.0  # seconds; a temporary folder that is older was left by a process that died
_TRIES = 8  # renames that are tried while other processes put broken entries in the way

_IN_THE_WAY = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
_BARRED = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENXIO})  # errors for a link, a socket, no access


class UnusableError(Exception):
    """The cache's folder can't be trusted or reached; the message says why."""


class DamagedError(Exception):
    """An entry differs from what was written; the message says how."""


@frozen
class Entry:
    """One entry: its key, its size in bytes, the time of its last use (seconds since 1970), the names of its files."""

    key: str
    bytes: int
    used: float
    files: tuple[str, ...]


def check_key(key: str) -> None:
    """Raise ValueError if a text can't be an entry's key."""
    if not KEY.fullmatch(key):
        raise ValueError(f"a key is 64 hexadecimal digits in lower case, not {key!r}")


# Reading --------------------------------------------------------------------------------------------------------------


def read_entry(folder: Folder, key: str, name: str) -> bytes | None:
    """The bytes of a file, as they were written, or None if the entry has no such file; raises ``DamagedError``.

    Marks the entry as used. folder: the cache's folder, opened, here and in the functions below.
    """
    with opened_entry(folder, key) as entry:
        files = listing(entry, key)
        data = _checked(entry, name, *files[name]) if name in files else None
        with suppress(OSError):  # a cache that can't be written can still be read
            folders.system.touch(entry)
        return data


def is_sound(folder: Folder, key: str) -> bool:
    """Whether the entry exists and each of its files is as it was written; marks the entry as used."""
    try:
        with opened_entry(folder, key) as entry:
            for name, (size, digest) in listing(entry, key).items():
                _checked(entry, name, size, digest)
            with suppress(OSError):
                folders.system.touch(entry)
            return True
    except DamagedError:
        return False


def is_still(folder: Folder, key: str, before: os.stat_result) -> bool:
    """Whether the entry is the one with the status ``before``, and not one that another process wrote since."""
    try:
        return os.path.samestat(before, folders.system.status(key, folder))
    except FileNotFoundError:
        return False


def listing(entry: Folder, key: str) -> dict[str, tuple[int, str]]:
    """The sizes in bytes and the digests of an entry's files, by name, as its ``meta.json`` lists them."""
    try:
        meta = json.loads(_contents(entry, META, _META_LIMIT))
        if (meta["format"], meta["key"]) != (FORMAT, key):
            raise DamagedError(f"{META} belongs to another entry")
        files = {name: (item["size"], item["sha256"]) for name, item in meta["files"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{META} can't be read") from error
    if not all(_is_listed(name, *item) for name, item in files.items()):
        raise DamagedError(f"{META} can't be read")
    return files


def _is_listed(name: str, size: object, digest: object) -> bool:
    return bool(NAME.fullmatch(name)) and name != META and type(size) is int and isinstance(digest, str)


def _checked(entry: Folder, name: str, size: int, digest: str) -> bytes:
    data = _contents(entry, name, size)
    if len(data) != size:
        raise DamagedError(f"{name} has {len(data)} bytes, not {size}")
    if sha256(data).hexdigest() != digest:
        raise DamagedError(f"the checksum of {name} is wrong")
    return data


def _contents(entry: Folder, name: str, most: int) -> bytes:
    """The bytes of a file that only the user can have written and that has at most ``most`` bytes."""
    with _descriptor(_reached(name, lambda: folders.system.read(name, entry))) as descriptor:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedError(f"{name} is not a file")
        if fault := folders.system.fault(status):
            raise DamagedError(f"{name} {fault}")
        if status.st_size > most:
            raise DamagedError(f"{name} has {status.st_size} bytes, not {most}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)


def _reached(name: str, opened: Callable[[], Any]) -> Any:
    """What a file or folder that must be there is opened as; raises ``DamagedError`` if it can't be opened."""
    try:
        return opened()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise DamagedError(f"{name} is missing") from error
        if error.errno in _BARRED:
            raise DamagedError(f"{name} can't be opened") from error
        raise


@contextmanager
def opened_entry(folder: Folder, key: str) -> Iterator[Folder]:
    """An entry's folder, opened, which is checked to be the user's own; else raises ``DamagedError``."""
    with _closing(_reached(key, lambda: folders.system.opened(key, folder))) as entry:
        if fault := folders.system.fault(folders.system.own_status(entry)):
            raise DamagedError(f"it {fault}")
        yield entry


# Writing and removing -------------------------------------------------------------------------------------------------


def store(folder: Folder, key: str, files: Mapping[str, bytes]) -> None:
    """Write an entry, whole or not at all. A sound entry of this key that exists already stays.

    Nothing waits for the disk: after a power failure, checksums show what is incomplete, and it is made anew.
    """
    temporary = _temporary_name()
    try:
        folders.system.make(temporary, folder, folders.system.mode(0o700))
        with _closing(folders.system.opened(temporary, folder)) as entry:
            for name, data in files.items():
                _write_file(entry, name, data)
            _write_file(entry, META, _meta(key, files))
            folders.system.touch(entry)
        _install(folder, temporary, key)
    finally:
        remove(folder, temporary)


def _install(folder: Folder, temporary: str, key: str) -> None:
    """Rename a temporary folder to an entry. An entry that exists already stays if sound, else it is moved away."""
    for _ in range(_TRIES):
        try:
            folders.system.rename(temporary, key, folder)
            return
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
        if is_sound(folder, key):
            return
        with suppress(FileNotFoundError):
            remove(folder, _set_aside(folder, key))
    raise UnusableError(f"the broken entry {key} can't be replaced")


def _meta(key: str, files: Mapping[str, bytes]) -> bytes:
    listing = {name: {"size": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()}
    return json.dumps({"format": FORMAT, "key": key, "files": listing}, indent=1).encode()


def _write_file(entry: Folder, name: str, data: bytes) -> None:
    with _descriptor(folders.system.write(name, entry, folders.system.mode(0o600))) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]


def _temporary_name() -> str:
    return f".tmp-{uuid.uuid4().hex}"


def _set_aside(folder: Folder, key: str) -> str:
    """Rename an entry before it is removed, so that no process finds half of it; its new name."""
    temporary = _temporary_name()
    folders.system.rename(key, temporary, folder)
    return temporary


def remove_entry(folder: Folder, key: str) -> bool:
    """Remove an entry; whether it was there and could be removed."""
    try:
        remove(folder, _set_aside(folder, key))
    except OSError:
        return False
    return True


def remove(folder: Folder, name: str) -> None:
    """Remove a folder or file as far as possible. Links are not followed."""
    folders.system.remove(name, folder)


# The bound ------------------------------------------------------------------------------------------------------------


def read_bound(folder: Folder) -> int | None:
    """The size limit of the last trimming, in bytes; None if it was not noted."""
    with suppress(OSError, DamagedError, ValueError):
        return int(_contents(folder, BOUND, _BOUND_LIMIT))
    return None


def write_bound(folder: Folder, bound: int) -> None:
    """Note the size limit of a trimming, in bytes. A failure is ignored."""
    temporary = _temporary_name()
    try:
        _write_file(folder, temporary, str(bound).encode())
        folders.system.replace(temporary, BOUND, folder)
    except OSError:
        remove(folder, temporary)


# The folder -----------------------------------------------------------------------------------------------------------


def is_own(folder: Folder) -> bool:
    """Whether the cache belongs to the user, who may write it, and not to root alone."""
    return folders.system.is_own(folder)


@contextmanager
def locked(folder: Folder) -> Iterator[bool]:
    """A block that only one process is in at a time; whether this one is. It does not wait.

    On a file system without locks, every process is in: two that remove the same entries do no harm.
    """
    with _descriptor(folders.system.write(LOCK, folder, 0o600, new=False)) as file:
        yield folders.system.lock(file)


@contextmanager
def _descriptor(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _closing(folder: Folder) -> Iterator[Folder]:
    try:
        yield folder
    finally:
        folders.system.close(folder)


@contextmanager
def opened_root(path: Path, *, create: bool = False) -> Iterator[Folder]:
    """The cache's folder, opened, which is checked to be the user's own; FileNotFoundError without one."""
    if not path.is_absolute():
        raise UnusableError("there is no home directory, or the current one is gone")
    if create:
        _create(path)
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        raise UnusableError("it is a symbolic link" if stat.S_ISLNK(mode) else "it is not a folder")
    with _closing(folders.system.opened(str(path))) as folder:
        if fault := folders.system.fault(folders.system.own_status(folder), str(path)):
            raise UnusableError(f"it {fault}")
        yield folder


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(folders.system.mode(0o700))
    except FileNotFoundError as error:  # as on /proc
        raise UnusableError("it can't be created") from error


# What lies in it ------------------------------------------------------------------------------------------------------


def sweep(folder: Folder) -> None:
    """Remove the temporary folders that dead processes left."""
    for name in os.listdir(folder):
        if TEMPORARY.fullmatch(name):
            with suppress(FileNotFoundError):
                status = folders.system.status(name, folder)
                if time.time() - status.st_mtime > _STALE:
                    remove(folder, name)


def scan(folder: Folder) -> list[Entry]:
    """The entries, the one unused for longest first."""
    found = []
    for key in os.listdir(folder):
        if KEY.fullmatch(key):
            with suppress(DamagedError), opened_entry(folder, key) as entry:
                found.append(_measured(entry, key))
    return sorted(found, key=lambda entry: (entry.used, entry.key))


def _measured(entry: Folder, key: str) -> Entry:
    with os.scandir(entry) as items:
        sizes = {item.name: item.stat(follow_symlinks=False).st_size for item in items}
    used = folders.system.own_status(entry).st_mtime_ns / 1e9
    return Entry(key, sum(sizes.values()), used, tuple(sorted(sizes)))


def foreign_in(folder: Folder, key: str) -> str | None:
    """The path, below the cache's folder, of a file in an entry that the cache did not write, or None."""
    try:
        with opened_entry(folder, key) as entry, os.scandir(entry) as items:
            kinds = {item.name: item.is_file(follow_symlinks=False) for item in items}
            is_ours = _own_names(entry, key)
    except DamagedError:
        return key
    return next((f"{key}/{name}" for name, is_file in kinds.items() if not is_file or not is_ours(name)), None)


def _own_names(entry: Folder, key: str) -> Callable[[str], object]:
    """A test of whether a name belongs to an entry: by its listing, or if that is broken by the usual names."""
    try:
        return {META, *listing(entry, key)}.__contains__
    except DamagedError:
        return _USUAL.fullmatch
