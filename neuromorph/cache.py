"""The cache of compiled kernels on disk, and the small adapter that gives it to Numba.

The cache is a folder of entries. An entry is a folder named by its key, 64 hexadecimal digits, that holds the
files of one compiled kernel and ``meta.json``, which lists the size and SHA-256 of each. An entry is written
under a temporary name, renamed in when it is whole, and never changed again: who looks sees all or nothing.

A cache holds code, so only what the user alone can write is ever read back: the cache, its entries and their
files belong to the user, are no links, and nobody else may write them. Every folder is opened once, checked,
and then used by its descriptor, so that it can't be swapped between the check and the use.

No trouble with the cache breaks a program: it is told once, as a ``CacheWarning``, and kernels are compiled
in memory.
"""

import errno
import json
import linecache
import os
import pickle
import re
import shutil
import stat
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.abc import ExecutionLoader
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from neuromorph.cpu import environment
from neuromorph.errors import CacheWarning

__all__ = [
    "CacheInfo",
    "Entry",
    "attach",
    "cache_info",
    "clear_cache",
    "discard",
    "environment",
    "key_of",
    "list_entries",
    "load_module",
    "overload_key",
    "read",
    "root",
    "write",
]

_FORMAT = 1  # of an entry; part of every key, so that formats never meet
_META = "meta.json"
_OBJECT, _LLVM, _ASSEMBLY = "kernel.bin", "kernel.ll", "kernel.s"
_USUAL = frozenset({_META, _OBJECT, _LLVM, _ASSEMBLY, "kernel.py"})
_LOCK = ".lock"
_KEY = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_SIZE = re.compile(r"[0-9]{1,18}")
_DEFAULT_LIMIT = 1 << 30  # bytes
_META_LIMIT = 1 << 20  # bytes
_STALE = 3600.0  # seconds after which a temporary folder was left by a process that died
_TRIES = 8  # renames, where other processes put broken entries in the way again and again

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_THE_WAY = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
_BARRED = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENXIO})  # a link, a socket, no access
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})

_ELSEWHERE = "Set NEUROMORPH_CACHE_DIR to a folder that belongs to you and that only you can write."
_FREE_SPACE = "Free some space there, or set NEUROMORPH_CACHE_DIR to a folder on another disk."
_MORE_FILES = "Let the process open more files (ulimit -n)."

_told: dict[str, object] = {}  # the cache folders whose trouble this process has told
_loading = threading.RLock()


@dataclass(frozen=True)
class Entry:
    """One entry: its key, its size in bytes, when it was last used (seconds since 1970), its files' names."""

    key: str
    bytes: int
    used: float
    files: tuple[str, ...]


@dataclass(frozen=True)
class CacheInfo:
    """The cache: its folder, how many entries it has, their bytes, and the bytes they are kept to."""

    path: Path
    entries: int
    bytes: int
    limit: int


class _UnusableError(Exception):
    """The cache's folder can't be trusted or reached; the message says why."""


class _DamagedError(Exception):
    """An entry is not what was written; the message says why."""


# Keys and the folder


def root() -> Path:
    """The cache's folder: ``$NEUROMORPH_CACHE_DIR``, else ``neuromorph`` in the user's cache folder.

    It need not exist. A path that is not absolute means that there is no home directory to put it in.
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
    digest = sha256(f"neuromorph cache {_FORMAT}\n".encode())
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


# Reading and writing entries


def read(key: str, name: str) -> bytes | None:
    """The bytes of one file of an entry, or None where there is no such entry, no such file, or any trouble.

    The bytes are those that were written: owner, permissions, size and checksum were verified. An entry that
    fails this is removed. Raises ValueError for what can't be a key or a name.
    """
    _check_names(key, [name])
    path = root()
    with _guarded(path), _opened_root(path) as folder:
        before = os.stat(key, dir_fd=folder, follow_symlinks=False)
        try:
            return _read_entry(folder, key, name)
        except _DamagedError as damage:
            if _is_still(folder, key, before):
                _remove_entry(folder, key)
                _tell(path, f"the entry {key[:16]} was damaged: {damage}. It is made anew.")
    return None


def write(key: str, files: Mapping[str, bytes]) -> bool:
    """Store an entry, whole or not at all; whether the cache has it now.

    Where a sound entry of this key exists already, it stays and ``files`` are dropped: a key stands for its
    contents. Files that are larger together than the whole cache may be are not stored. Raises ValueError for
    what can't be a key or a file name, TypeError for contents that are not bytes.
    """
    _check_names(key, files)
    _check_contents(files)
    path = root()
    limit = _limit(path)
    if sum(map(len, files.values())) > limit:
        return False
    with _guarded(path), _opened_root(path, create=True) as folder:
        if not _is_sound(folder, key):
            _store(folder, key, files)
        with _guarded(path):
            _trim(path, folder, limit)
        return True
    return False


def discard(key: str) -> None:
    """Remove an entry, where there is one."""
    _check_names(key, [])
    path = root()
    with _guarded(path), _opened_root(path) as folder:
        _remove_entry(folder, key)


def _check_names(key: str, names: Iterable[str]) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f"a key is 64 hexadecimal digits in lower case, not {key!r}")
    for name in names:
        if not _NAME.fullmatch(name) or name == _META:
            raise ValueError(f"{name!r} can't be the name of a file of the cache")


def _check_contents(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        if not isinstance(data, bytes):
            raise TypeError(f"the contents of {name!r} must be bytes, not {type(data).__name__}")


def _read_entry(folder: int, key: str, name: str) -> bytes | None:
    with _opened_entry(folder, key) as entry:
        listing = _listing(entry, key)
        data = _checked(entry, name, *listing[name]) if name in listing else None
        with suppress(OSError):  # a cache that can't be written can still be read
            _touch(entry)
        return data


def _is_sound(folder: int, key: str) -> bool:
    """Whether the entry exists and each of its files is what was written; marks it as used."""
    try:
        with _opened_entry(folder, key) as entry:
            for name, (size, digest) in _listing(entry, key).items():
                _checked(entry, name, size, digest)
            with suppress(OSError):
                _touch(entry)
            return True
    except _DamagedError:
        return False


def _is_still(folder: int, key: str, before: os.stat_result) -> bool:
    """Whether the entry is the one seen before, and not one that another process has put there since."""
    try:
        return os.path.samestat(before, os.stat(key, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _listing(entry: int, key: str) -> dict[str, tuple[int, str]]:
    """Sizes and digests of an entry's files, by name, as its ``meta.json`` lists them."""
    try:
        meta = json.loads(_contents(entry, _META, _META_LIMIT))
        if (meta["format"], meta["key"]) != (_FORMAT, key):
            raise _DamagedError(f"{_META} belongs to another entry")
        listing = {name: (item["size"], item["sha256"]) for name, item in meta["files"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _DamagedError(f"{_META} can't be read") from error
    if not all(_is_listed(name, *item) for name, item in listing.items()):
        raise _DamagedError(f"{_META} can't be read")
    return listing


def _is_listed(name: str, size: object, digest: object) -> bool:
    return bool(_NAME.fullmatch(name)) and name != _META and type(size) is int and isinstance(digest, str)


def _checked(entry: int, name: str, size: int, digest: str) -> bytes:
    data = _contents(entry, name, size)
    if len(data) != size:
        raise _DamagedError(f"{name} has {len(data)} bytes, not {size}")
    if sha256(data).hexdigest() != digest:
        raise _DamagedError(f"the checksum of {name} is wrong")
    return data


def _contents(entry: int, name: str, most: int) -> bytes:
    """A file's bytes, if it is one that only the user can have written and has at most so many."""
    with _descriptor(_opened(entry, name, _OPEN_FILE)) as descriptor:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _DamagedError(f"{name} is not a file")
        if fault := _fault(status):
            raise _DamagedError(f"{name} {fault}")
        if status.st_size > most:
            raise _DamagedError(f"{name} has {status.st_size} bytes, not {most}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)


def _opened(parent: int, name: str, flags: int) -> int:
    """A descriptor of something in an entry; whatever else stands there is damage."""
    try:
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise _DamagedError(f"{name} is missing") from error
        if error.errno in _BARRED:
            raise _DamagedError(f"{name} can't be opened") from error
        raise


def _fault(status: os.stat_result) -> str | None:
    """Why others than the user may have written it, or None."""
    if status.st_uid != os.geteuid():
        return f"belongs to another user (id {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by others (chmod go-w takes that away)"
    return None


def _store(folder: int, key: str, files: Mapping[str, bytes]) -> None:
    temporary = _temporary_name()
    try:
        os.mkdir(temporary, 0o700, dir_fd=folder)
        with _descriptor(os.open(temporary, _OPEN_FOLDER, dir_fd=folder)) as entry:
            for name, data in files.items():
                _write_file(entry, name, data)
            _write_file(entry, _META, _meta(key, files))
            _touch(entry)
            os.fsync(entry)
        _install(folder, temporary, key)
        os.fsync(folder)
    finally:
        _remove(folder, temporary)


def _install(folder: int, temporary: str, key: str) -> None:
    """Rename a whole entry in. One that stands there stays if it is sound, and is moved away if it is not."""
    for _ in range(_TRIES):
        try:
            os.rename(temporary, key, src_dir_fd=folder, dst_dir_fd=folder)
            return
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
        if _is_sound(folder, key):
            return
        with suppress(FileNotFoundError):
            _remove(folder, _set_aside(folder, key))
    raise _UnusableError(f"the broken entry {key} can't be replaced")


def _meta(key: str, files: Mapping[str, bytes]) -> bytes:
    listing = {name: {"size": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()}
    return json.dumps({"format": _FORMAT, "key": key, "files": listing}, indent=1).encode()


def _write_file(entry: int, name: str, data: bytes) -> None:
    with _descriptor(os.open(name, _NEW_FILE, 0o600, dir_fd=entry)) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)


def _touch(entry: int) -> None:
    now = time.time_ns()  # finer than the clock that the file system uses by itself
    os.utime(entry, ns=(now, now))


def _temporary_name() -> str:
    return f".tmp-{uuid.uuid4().hex}"


def _set_aside(folder: int, key: str) -> str:
    """Rename an entry, so that nobody finds half of it while it is removed; its new name."""
    temporary = _temporary_name()
    os.rename(key, temporary, src_dir_fd=folder, dst_dir_fd=folder)
    return temporary


def _remove_entry(folder: int, key: str) -> bool:
    try:
        _remove(folder, _set_aside(folder, key))
    except OSError:
        return False
    return True


def _remove(folder: int, name: str) -> None:
    """Remove a folder or file as far as possible, following no link."""
    try:
        os.unlink(name, dir_fd=folder)  # first, since rmtree would wait at a named pipe
    except OSError:
        shutil.rmtree(name, ignore_errors=True, dir_fd=folder)


# Opening folders, and trouble


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """End the block at any trouble, and tell of it once. What is not there is no trouble."""
    try:
        yield
    except FileNotFoundError:
        return
    except _UnusableError as error:
        _tell(path, f"{error}. Kernels are compiled in memory. {_ELSEWHERE}")
    except OSError as error:
        _tell(path, f"{error.strerror or error}. Kernels are compiled in memory. {_advice(error)}")


def _tell(path: Path, trouble: str) -> None:
    """Warn, the first time that this process has trouble with this folder."""
    mine = object()
    if _told.setdefault(str(path), mine) is mine:
        warnings.warn(f"cache of compiled kernels in {str(path)!r}: {trouble}", CacheWarning, stacklevel=4)


def _advice(error: OSError) -> str:
    if error.errno in _FULL:
        return _FREE_SPACE
    return _MORE_FILES if error.errno in _TOO_MANY else _ELSEWHERE


@contextmanager
def _descriptor(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened_root(path: Path, *, create: bool = False) -> Iterator[int]:
    """The cache's folder, open and found to be the user's own; ``FileNotFoundError`` where there is none."""
    if not path.is_absolute():
        raise _UnusableError("there is no home directory, or the current one is gone")
    if create:
        _create(path)
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        raise _UnusableError("it is a symbolic link" if stat.S_ISLNK(mode) else "it is not a folder")
    with _descriptor(os.open(path, _OPEN_FOLDER)) as folder:
        if fault := _fault(os.fstat(folder)):
            raise _UnusableError(f"it {fault}")
        yield folder


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(0o700)
    except FileNotFoundError as error:  # as on /proc
        raise _UnusableError("it can't be created") from error


@contextmanager
def _opened_entry(folder: int, key: str) -> Iterator[int]:
    """An entry's folder, open and found to be the user's own; raises ``_DamagedError`` else."""
    with _descriptor(_opened(folder, key, _OPEN_FOLDER)) as entry:
        if fault := _fault(os.fstat(entry)):
            raise _DamagedError(f"it {fault}")
        yield entry


# The bound


def _limit(path: Path) -> int:
    """The bytes that entries may take together: ``$NEUROMORPH_CACHE_SIZE``, or 1 GiB."""
    text = os.environ.get("NEUROMORPH_CACHE_SIZE", "").strip()
    if _SIZE.fullmatch(text):
        return int(text)
    if text:
        _tell(path, f"NEUROMORPH_CACHE_SIZE={text!r} is not a number of bytes; the cache is kept to 1 GiB.")
    return _DEFAULT_LIMIT


def _trim(path: Path, folder: int, limit: int) -> None:
    """Remove what dead processes left, then the entries unused for longest, down to the bound.

    Only one process does so at a time; another one does not wait, since the first does the work for both.
    """
    from filelock import FileLock, Timeout

    with suppress(Timeout), FileLock(path / _LOCK, timeout=0, mode=0o600):
        _sweep(folder)
        entries = _scan(folder)
        excess = sum(entry.bytes for entry in entries) - limit
        for entry in entries:
            if excess <= 0:
                break
            if _remove_entry(folder, entry.key):
                excess -= entry.bytes


def _sweep(folder: int) -> None:
    for name in os.listdir(folder):
        if _TEMPORARY.fullmatch(name):
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if time.time() - status.st_mtime > _STALE:
                    _remove(folder, name)


def _scan(folder: int) -> list[Entry]:
    """The entries, the one unused for longest first."""
    found = []
    for key in os.listdir(folder):
        if _KEY.fullmatch(key):
            with suppress(_DamagedError), _opened_entry(folder, key) as entry:
                found.append(_measured(entry, key))
    return sorted(found, key=lambda entry: (entry.used, entry.key))


def _measured(entry: int, key: str) -> Entry:
    with os.scandir(entry) as items:
        sizes = {item.name: item.stat(follow_symlinks=False).st_size for item in items}
    used = os.fstat(entry).st_mtime_ns / 1e9
    return Entry(key, sum(sizes.values()), used, tuple(sorted(sizes)))


# What users see and clear


def list_entries() -> tuple[Entry, ...]:
    """The entries of the cache, the one unused for longest first; none where the cache can't be used."""
    path = root()
    with _guarded(path), _opened_root(path) as folder:
        return tuple(_scan(folder))
    return ()


def cache_info() -> CacheInfo:
    """Where the cache is, how many entries it has, how large they are, and how large they may become."""
    path = root()
    entries = list_entries()
    return CacheInfo(path, len(entries), sum(entry.bytes for entry in entries), _limit(path))


def clear_cache() -> int:
    """Remove every entry; how many there were.

    Raises ValueError, and removes nothing, where the folder is a link, belongs to another user, or holds
    anything that this cache did not put there: the message names it.
    """
    path = root()
    try:
        with _opened_root(path) as folder:
            names = sorted(os.listdir(folder))
            for name in names:
                _refuse_foreign(path, folder, name)
            return _remove_all(folder, names)
    except FileNotFoundError:
        return 0
    except _UnusableError as error:
        raise ValueError(f"can't clear the cache in {str(path)!r}: {error}; nothing was removed") from error


def _refuse_foreign(path: Path, folder: int, name: str) -> None:
    if name == _LOCK or _TEMPORARY.fullmatch(name):
        return
    foreign = _foreign_in(folder, name) if _KEY.fullmatch(name) else name
    if foreign:
        raise ValueError(
            f"can't clear the cache: {str(path / foreign)!r} is not of the cache; nothing was removed. "
            "Move it elsewhere, or set NEUROMORPH_CACHE_DIR to the right folder."
        )


def _foreign_in(folder: int, key: str) -> str | None:
    """What stands in an entry's place and is not the cache's own, or None."""
    try:
        with _opened_entry(folder, key) as entry, os.scandir(entry) as items:
            kinds = {item.name: item.is_file(follow_symlinks=False) for item in items}
            ours = _own_names(entry, key)
    except _DamagedError:
        return key
    return next((f"{key}/{name}" for name, is_file in kinds.items() if not is_file or name not in ours), None)


def _own_names(entry: int, key: str) -> frozenset[str]:
    try:
        return frozenset({_META, *_listing(entry, key)})
    except _DamagedError:
        return _USUAL


def _remove_all(folder: int, names: list[str]) -> int:
    for name in filter(_TEMPORARY.fullmatch, names):
        _remove(folder, name)
    return sum(_remove_entry(folder, key) for key in filter(_KEY.fullmatch, names))


# Modules


class _SourceLoader(ExecutionLoader):
    """Executes a generated source, and shows it to tracebacks, debuggers and ``inspect``."""

    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:
        """The module's source."""
        return self._source

    def get_filename(self, fullname: str) -> str:
        """What stands for a file's name in tracebacks."""
        return f"<{fullname}>"


def load_module(source: str, key: str) -> ModuleType:
    """The module made of a source, registered in ``sys.modules`` under a name made of its key.

    One key gives one module: the source is executed the first time only, by one thread, and while the module
    is registered already, since Numba finds a stored kernel's globals by its module's name. What the source
    raises, passes through, and nothing stays registered. Raises ValueError for what can't be a key, and where
    another key has the same first 16 digits.
    """
    _check_names(key, [])
    name = f"neuromorph_kernel_{key[:16]}"
    with _loading:
        known = sys.modules.get(name)
        if known is None:
            return _executed(source, name, key)
        if getattr(known, "__neuromorph_key__", None) != key:
            raise ValueError(f"the module {name} belongs to another key")
        return known


def _executed(source: str, name: str, key: str) -> ModuleType:
    loader = _SourceLoader(source)
    file = loader.get_filename(name)
    spec = ModuleSpec(name, loader, origin=file)
    spec.has_location = True  # so that the module has a __file__
    module = module_from_spec(spec)
    vars(module)["__neuromorph_key__"] = key
    # Lines without a time of change came from a loader: the line cache keeps them.
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


# The adapter to Numba


def overload_key(key: str, qualname: str, signature: object) -> str:
    """The key of the entry of one compiled overload: of a function in the model of ``key``.

    ``signature`` is what was compiled: a Numba signature, or the tuple of argument types of a first call.
    """
    return key_of(key, qualname, str(signature))


def attach(dispatcher: Any, key: str, *, extra: Callable[[Any], Mapping[str, bytes]] | None = None) -> None:
    """Let a function decorated with ``numba.njit`` find its compiled overloads in the cache and store them.

    ``key`` stands for all that the compiled code depends on: the source of the module and of its helpers, JIT
    options, ``environment()``. An entry holds the compiled code, its LLVM IR (``kernel.ll``) and assembly
    (``kernel.s``), and what ``extra`` makes of Numba's compile result. The function must live in a module
    that ``load_module`` made, or that can be imported. Under NUMBA_DISABLE_JIT there is nothing to attach to,
    and nothing is done; else raises TypeError for what is not a dispatcher.

    Attach before anything is compiled: decorate without a signature, attach, then call, or compile for a
    known signature by ``dispatcher.compile(signature)``. The same signature in another form is another entry.

    With NEUROMORPH_CACHE_MISS_IS_ERROR=1 an overload that is not in the cache raises RuntimeError.
    """
    _check_names(key, [])
    if isinstance(dispatcher, _numba("dispatcher").Dispatcher):
        _numba("caching")._Cache.register(_OverloadCache)
        dispatcher._cache = _OverloadCache(dispatcher.py_func.__qualname__, key, extra)
    elif not _numba("config").DISABLE_JIT:
        raise TypeError(f"attach needs a function decorated with numba.njit, not {type(dispatcher).__name__}")


class _OverloadCache:
    """The interface of ``numba.core.caching._Cache``, registered as a kind of it when Numba is there."""

    def __init__(self, qualname: str, key: str, extra: Callable[[Any], Mapping[str, bytes]] | None) -> None:
        self._qualname = qualname
        self._key = key
        self._extra = extra
        self._enabled = True
        self._seen: set[str] = set()

    @property
    def cache_path(self) -> str:
        """The cache's folder, as Numba's ``stats`` shows it."""
        return str(root())

    def enable(self) -> None:
        """Use the cache."""
        self._enabled = True

    def disable(self) -> None:
        """Neither look into the cache nor store."""
        self._enabled = False

    def flush(self) -> None:
        """Remove the overloads that were found or stored; Numba does so before it compiles them anew."""
        for key in self._seen:
            discard(key)
        self._seen.clear()

    def load_overload(self, sig: Any, target_context: Any) -> Any | None:
        """The stored overload of a signature, or None; Numba calls this before it compiles."""
        found = self._load(sig, target_context) if self._enabled else None
        if found is None and os.environ.get("NEUROMORPH_CACHE_MISS_IS_ERROR") == "1":
            raise RuntimeError(f"{self._qualname}{sig} is not in the cache of kernels in {str(root())!r}")
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store a compiled overload; Numba calls this after it has compiled."""
        if not self._enabled:
            return
        if reason := _why_not(sig, data):
            self._tell(f"can't be stored: {reason}")
            return
        try:
            files = self._files(data)
        except Exception as error:
            self._tell(f"can't be stored: {type(error).__name__}: {error}")
            return
        if write(self._overload(sig), files):
            self._seen.add(self._overload(sig))

    def _load(self, sig: Any, target_context: Any) -> Any | None:
        target_context.refresh()  # so that the context knows what has been registered since
        data = read(self._overload(sig), _OBJECT)
        if data is None:
            return None
        try:
            found = _rebuilt(data, target_context)
        except Exception as error:
            discard(self._overload(sig))
            self._tell(f"can't be loaded and is compiled anew: {type(error).__name__}: {error}")
            return None
        self._seen.add(self._overload(sig))
        return found

    def _files(self, compiled: Any) -> dict[str, bytes]:
        files = {
            _LLVM: compiled.library.get_llvm_str().encode(),
            _ASSEMBLY: compiled.library.get_asm_str().encode(),
            **(self._extra(compiled) if self._extra else {}),
        }
        files[_OBJECT] = _numba("serialize").dumps(compiled._reduce())  # last: it drops what the others may want to see
        _check_names(self._key, files)
        _check_contents(files)
        return files

    def _overload(self, sig: Any) -> str:
        return overload_key(self._key, self._qualname, sig)

    def _tell(self, trouble: str) -> None:
        _tell(root(), f"the kernel {self._qualname} {trouble}")


def _why_not(sig: Any, compiled: Any) -> str | None:
    """Why an overload can't be stored, or None. The first two reasons are those of Numba's own cache."""
    if any(not loop.can_cache for loop in compiled.lifted):
        return "it has lifted loops"
    if compiled.library.has_dynamic_globals:
        return "it has addresses or large arrays as globals"
    if " at 0x" in str(sig):
        return "an argument's type is of this process only"
    return None


def _rebuilt(data: bytes, target_context: Any) -> Any:
    return _numba("compiler").CompileResult._rebuild(target_context, *pickle.loads(data))


def _numba(name: str) -> Any:
    """A module of ``numba.core``, imported when it is first needed."""
    return import_module(f"numba.core.{name}")
