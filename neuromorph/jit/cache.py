"""The cache of compiled kernels on disk: keys, reading and writing, its size limit, and the public functions on it.

The cache is a folder of entries: one for each compiled bundle, and one for its assembly once that was asked for.
``cache_store.py`` says what an entry holds and why it can be trusted. Trouble with the cache never breaks a program: it
is reported once, as a ``CacheWarning``, and kernels are compiled in memory.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from ..errors import CacheWarning
from ..host import folders
from ..host.callers import warn_user
from ..host.folders import Folder
from ..host.frozen import frozen
from . import cache_store
from .cache_store import DamagedError, Entry, UnusableError
from .environment import environment, generator, machine

__all__ = [
    "CacheInfo",
    "Entry",
    "cache_info",
    "clear_cache",
    "discard",
    "environment",
    "generator",
    "has",
    "is_first_trouble",
    "is_too_large",
    "key_of",
    "list_entries",
    "machine",
    "read",
    "root",
    "warn_once",
    "write",
]

REPLACING = 0.002  # seconds: more than another process needs to replace a broken entry by a whole one
_SIZE = re.compile(r"[0-9]{1,18}")
_DEFAULT_LIMIT = 1 << 30  # bytes
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})

IN_MEMORY = " Kernels are compiled in memory."  # what warnings say of processes that build models
_ELSEWHERE = "Set NEUROMORPH_CACHE_DIR to a folder that belongs to you and that only you can write."
_FREE_SPACE = "Free some space there, or set NEUROMORPH_CACHE_DIR to a folder on another disk."
_MORE_FILES = "Let the process open more files (ulimit -n)."

_warned: dict[str, list[str]] = {}  # what this process has said about trouble with each cache folder, once


@frozen
class CacheInfo:
    """The cache: its folder, the number of its entries, their size in bytes, and the limit of that size in bytes."""

    path: Path
    entries: int
    bytes: int
    limit: int


# Keys and the folder --------------------------------------------------------------------------------------------------


def root() -> Path:
    """The cache's folder: ``$NEUROMORPH_CACHE_DIR``, else ``neuromorph`` in the user's cache folder.

    It need not exist. A path that is not absolute means that the user has no home directory.
    """
    named = os.environ.get("NEUROMORPH_CACHE_DIR")
    if named:
        with suppress(OSError):  # the current directory may be gone
            return Path(os.path.abspath(os.path.expanduser(named)))
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("neuromorph", appauthor=False)


def key_of(*parts: str) -> str:
    """The key of an entry: SHA-256, in hexadecimal, over the parts, each after its length.

    >>> key_of("ab", "c") == key_of("a", "bc")
    False
    """
    digest = sha256(f"neuromorph cache {cache_store.FORMAT}\n".encode())
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


# Reading and writing entries ------------------------------------------------------------------------------------------


def read(key: str, name: str) -> bytes | None:
    """The bytes of one file of an entry, or None where there is no such entry, no such file, or any trouble.

    The bytes are those that were written: owner, permissions, size and checksum are verified. An entry that fails this
    check is removed. Raises ValueError for an impossible key or name.
    """
    _check_names(key, [name])
    path, found = root(), None
    with _guarded(path), cache_store.opened_root(path) as folder:
        with _guarded(path):
            try:
                found = _read(path, folder, key, name)
            except FileNotFoundError:  # or another process is replacing a broken entry
                time.sleep(REPLACING)
                found = _read(path, folder, key, name)
        _keep_bound(path, folder)
    return found


def has(key: str) -> bool:
    """Whether an entry of this key exists. It is not verified, and trouble with the cache gives no warning."""
    cache_store.check_key(key)
    try:
        with cache_store.opened_root(root()) as folder:
            folders.system.status(f"{key}/{cache_store.META}", folder)
    except (OSError, UnusableError):
        return False
    return True


def _read(path: Path, folder: Folder, key: str, name: str) -> bytes | None:
    before = folders.system.status(key, folder)
    try:
        return cache_store.read_entry(folder, key, name)
    except DamagedError as damage:
        if cache_store.is_still(folder, key, before):
            removed = cache_store.remove_entry(folder, key)
            after = "It is made anew." if removed else "It can't be removed."
            _warn_once_of(path, f"the entry {key[:16]} was damaged: {damage}. {after}")
    return None


def write(key: str, files: Mapping[str, bytes]) -> bool:
    """Store an entry, whole or not at all; whether the cache has it now.

    If a sound entry of this key exists already, it stays and ``files`` are dropped, because a key determines the
    contents. Files that together are larger than the cache's limit are not stored, and nothing is in a cache of root
    that another user reads. Raises ValueError for an impossible key or file name, TypeError for contents that are not
    bytes.
    """
    _check_names(key, files)
    _check_contents(files)
    path = root()
    limit = _limit(path)
    if sum(map(len, files.values())) > limit:
        with _guarded(path), cache_store.opened_root(path) as folder:
            _keep_bound(path, folder)
        return False
    with _guarded(path), cache_store.opened_root(path, create=True) as folder:
        if not cache_store.is_own(folder):
            return cache_store.is_sound(folder, key)
        if not cache_store.is_sound(folder, key):
            cache_store.store(folder, key, files)
        with _guarded(path):
            _trim(folder, limit)
        return True
    return False


def is_too_large(files: Mapping[str, bytes]) -> bool:
    """Whether the cache's limit has no room for an entry, though it has for smaller ones."""
    return 0 < _limit(root()) < sum(map(len, files.values()))


def discard(key: str) -> None:
    """Remove an entry, if there is one."""
    _check_names(key, [])
    path = root()
    with _guarded(path), cache_store.opened_root(path) as folder:
        cache_store.remove_entry(folder, key)


def _check_names(key: str, names: Iterable[str]) -> None:
    cache_store.check_key(key)
    for name in names:
        if not cache_store.NAME.fullmatch(name) or name == cache_store.META:
            raise ValueError(f"{name!r} can't be the name of a file of the cache")


def _check_contents(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        if not isinstance(data, bytes):
            raise TypeError(f"the contents of {name!r} must be bytes, not {type(data).__name__}")


# Trouble --------------------------------------------------------------------------------------------------------------


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """A block that ends at any trouble with the cache, which is then warned of once. A missing file is no trouble."""
    try:
        yield
    except FileNotFoundError:
        return
    except UnusableError as error:
        _warn_once_of(path, f"{error}.{IN_MEMORY} {_ELSEWHERE}")
    except OSError as error:
        _warn_once_of(path, f"{error.strerror or error}.{IN_MEMORY} {_advice(error)}")


def warn_once(trouble: str) -> None:
    """Give a ``CacheWarning`` the first time that this process has trouble with the present cache folder."""
    _warn_once_of(root(), trouble)


def is_first_trouble() -> bool:
    """Whether this process has not said yet that the present cache folder takes nothing; from now on, it has."""
    mine = [IN_MEMORY]
    said = _warned.setdefault(str(root()), mine)
    return said is mine or IN_MEMORY not in said[0]


def _warn_once_of(path: Path, trouble: str) -> None:
    mine = [trouble]
    if _warned.setdefault(str(path), mine) is mine:
        message = f"cache of compiled kernels in {str(path)!r}: {trouble}"
        warn_user(message, CacheWarning)


def _advice(error: OSError) -> str:
    if error.errno in _FULL:
        return _FREE_SPACE
    return _MORE_FILES if error.errno in _TOO_MANY else _ELSEWHERE


# The bound ------------------------------------------------------------------------------------------------------------


def _limit(path: Path) -> int:
    """The size limit of all entries together, in bytes: ``$NEUROMORPH_CACHE_SIZE``, or 1 GiB."""
    text = os.environ.get("NEUROMORPH_CACHE_SIZE", "").strip()
    if _SIZE.fullmatch(text):
        return int(text)
    if text:
        _warn_once_of(path, f"NEUROMORPH_CACHE_SIZE={text!r} is not a number of bytes; the cache is kept to 1 GiB.")
    return _DEFAULT_LIMIT


def _keep_bound(path: Path, folder: Folder) -> None:
    """Trim the cache if its size limit is lower now than at the last trimming.

    If that is impossible, as in a read-only cache, the entries stay, without a warning.
    """
    if not cache_store.is_own(folder):
        return
    limit, before = _limit(path), cache_store.read_bound(folder)
    if before is None or limit < before:
        with suppress(OSError):
            _trim(folder, limit)


def _trim(folder: Folder, limit: int) -> None:
    """Remove leftovers of dead processes, then the entries unused for longest, down to the limit; and note the limit.

    Only one process does so at a time. Another one does not wait, since the first does the work for both.
    """
    with cache_store.locked(folder) as alone:
        if not alone:
            return
        cache_store.sweep(folder)
        entries = cache_store.scan(folder)
        excess = sum(entry.bytes for entry in entries) - limit
        for entry in entries:
            if excess <= 0:
                break
            if cache_store.remove_entry(folder, entry.key):
                excess -= entry.bytes
        if excess <= 0 and cache_store.read_bound(folder) != limit:
            cache_store.write_bound(folder, limit)


# What users see and clear ---------------------------------------------------------------------------------------------


def list_entries() -> tuple[Entry, ...]:
    """The entries of the cache, the one unused for longest first; none if the cache can't be used."""
    path = root()
    with _guarded(path), cache_store.opened_root(path) as folder:
        return tuple(cache_store.scan(folder))
    return ()


def cache_info() -> CacheInfo:
    """Where the cache is, how many entries it has, their size and its limit, both in bytes."""
    path = root()
    entries = list_entries()
    return CacheInfo(path, len(entries), sum(entry.bytes for entry in entries), _limit(path))


def clear_cache() -> int:
    """Remove every entry; the number of removed entries.

    Raises ValueError, and removes nothing, if the folder is a link, belongs to another user, or holds anything that
    this cache did not put there. The message names it.
    """
    path = root()
    try:
        with cache_store.opened_root(path) as folder:
            if not cache_store.is_own(folder):
                raise UnusableError("it belongs to root")
            names = sorted(os.listdir(folder))
            for name in names:
                _refuse_foreign(path, folder, name)
            return _remove_all(folder, names)
    except FileNotFoundError:
        return 0
    except UnusableError as error:
        raise ValueError(f"can't clear the cache in {str(path)!r}: {error}; nothing was removed") from error


def _refuse_foreign(path: Path, folder: Folder, name: str) -> None:
    if name in (cache_store.LOCK, cache_store.BOUND) or cache_store.TEMPORARY.fullmatch(name):
        return
    foreign = cache_store.foreign_in(folder, name) if cache_store.KEY.fullmatch(name) else name
    if foreign:
        raise ValueError(
            f"can't clear the cache: {str(path / foreign)!r} is not of the cache; nothing was removed. "
            "Move it elsewhere, or set NEUROMORPH_CACHE_DIR to the right folder."
        )


def _remove_all(folder: Folder, names: list[str]) -> int:
    for name in names:
        if name == cache_store.BOUND or cache_store.TEMPORARY.fullmatch(name):
            cache_store.remove(folder, name)
    return sum(cache_store.remove_entry(folder, key) for key in filter(cache_store.KEY.fullmatch, names))
