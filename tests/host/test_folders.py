"""Folders by descriptor, as POSIX has them, and by path, as on Windows: both keep the same promises."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.caches import with_warnings
from neuromorph.host import atomic_write, cgroups, folders
from neuromorph.host.folders import ByDescriptor, ByPath
from neuromorph.jit import cache, cache_store

FILES = {"kernel.bin": b"\x00a\r\nb\nc\x1a" * 100}
KEY = cache.key_of("a model")


class Locks:
    """The module msvcrt, as far as it is about locks. held: the files that are locked, by their numbers."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.error: int | None = None

    def locking(self, file: int, mode: int, count: int) -> None:
        assert (mode, count, os.lseek(file, 0, os.SEEK_CUR)) == (self.LK_NBLCK, 1, 0)
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        if (inode := os.fstat(file).st_ino) in self.held:
            raise PermissionError(errno.EACCES, "locked")
        self.held.add(inode)


@pytest.fixture
def by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ByPath:
    """Windows' folders, for the whole package. The user's own folder is ``tmp_path / "home"``."""
    (tmp_path / "home").mkdir()
    made = ByPath(Locks(), home=str(tmp_path / "home"))
    monkeypatch.setattr(folders, "system", made)
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path / "home" / "cache"))
    return made


@pytest.fixture(params=["by descriptor", "by path"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> folders.Folders:
    return ByDescriptor() if request.param == "by descriptor" else ByPath(Locks(), home=str(tmp_path))


@pytest.fixture
def root(system: folders.Folders, tmp_path: Path) -> Iterator[Any]:
    """An open folder."""
    opened = system.opened(str(tmp_path))
    yield opened
    system.close(opened)


def put(system: folders.Folders, folder: Any, name: str, data: bytes) -> None:
    file = system.write(name, folder, 0o600)
    os.write(file, data)
    os.close(file)


def taken(system: folders.Folders, folder: Any, name: str) -> bytes:
    file = system.read(name, folder)
    data = os.read(file, 1000)
    os.close(file)
    return data


def test_this_system_has_descriptors_if_it_can() -> None:
    assert isinstance(folders.system, ByDescriptor) == folders.has_descriptors() == (os.name == "posix")


def test_files_are_made_read_and_replaced(system: folders.Folders, root: Any) -> None:
    put(system, root, "a", b"1\r\n2\n")
    assert taken(system, root, "a") == b"1\r\n2\n"
    with pytest.raises(FileExistsError):
        system.write("a", root, 0o600)
    put(system, root, "b", b"3")
    system.replace("b", "a", root)
    assert (sorted(os.listdir(root)), taken(system, root, "a")) == (["a"], b"3")
    with pytest.raises(FileNotFoundError):
        system.read("b", root)


def test_folders_are_made_and_moved_but_replace_nothing(system: folders.Folders, root: Any) -> None:
    for name in ("one", "two"):
        system.make(name, root, 0o700)
        inner = system.opened(name, root)
        put(system, inner, "file", name.encode())
        system.close(inner)
    with pytest.raises(OSError) as caught:
        system.rename("one", "two", root)
    assert caught.value.errno in (errno.EEXIST, errno.ENOTEMPTY)
    system.rename("one", "three", root)
    assert system.status("three/file", root).st_size == 3
    before = system.own_status(root).st_mtime_ns
    system.touch(root)
    assert system.own_status(root).st_mtime_ns >= before
    for name in ("two", "three", "never there"):
        system.remove(name, root)
    assert os.listdir(root) == []


def test_links_and_pipes_are_not_opened(system: folders.Folders, root: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder"):
        (tmp_path / f"link to {name}").symlink_to(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="link to folder"):
        system.opened("link to folder", root)
    with pytest.raises(OSError, match="file"):
        system.opened("file", root)
    with pytest.raises(OSError, match="link to file"):
        system.read("link to file", root)
    with pytest.raises(OSError, match="link to file"):
        system.write("link to file", root, 0o600, new=False)
    if isinstance(system, ByPath):  # the other one opens it without waiting, and its user looks at what it is
        with pytest.raises(OSError, match="pipe"):
            system.read("pipe", root)
    system.remove("link to folder", root)
    assert (tmp_path / "folder").exists()


def test_a_lock_has_one_holder(system: folders.Folders, root: Any) -> None:
    files = [system.write("lock", root, 0o600, new=False) for _ in range(2)]
    assert [system.lock(file) for file in files] == [True, False]
    for file in files:
        os.close(file)


def test_trouble_with_a_lock_of_windows(by_path: ByPath, tmp_path: Path) -> None:
    file = by_path.write("lock", str(tmp_path), 0o600, new=False)
    for number, locked in ((errno.EDEADLK, False), (errno.EINVAL, True), (errno.ENOTSUP, True)):
        by_path.locks.error = number
        assert by_path.lock(file) == locked
    by_path.locks.error = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        by_path.lock(file)
    os.close(file)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_a_file_that_takes_another_ones_place_is_not_read(
    by_path: ByPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: real(str(tmp_path / "b"), *rest))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError, match="another file took its place"):
        by_path.read("a", str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


# The cache by path ----------------------------------------------------------------------------------------------------


def test_the_cache_keeps_its_promises_by_path(by_path: ByPath, monkeypatch: pytest.MonkeyPatch) -> None:
    root = cache.root()
    assert cache.read(KEY, "kernel.bin") is None
    assert cache.write(KEY, FILES)
    assert cache.read(KEY, "kernel.bin") == FILES["kernel.bin"]
    assert cache.has(KEY)
    os.truncate(root / KEY / "kernel.bin", 10)
    found, messages = with_warnings(lambda: cache.read(KEY, "kernel.bin"))
    assert (found, len(messages)) == (None, 1)
    assert "kernel.bin has 10 bytes" in messages[0]
    assert cache.write(KEY, FILES)
    (root / KEY / "kernel.bin").rename(root / "elsewhere")
    (root / KEY / "kernel.bin").symlink_to(root / "elsewhere")
    assert with_warnings(lambda: cache.read(KEY, "kernel.bin"))[0] is None
    (root / "elsewhere").unlink()
    keys = [cache.key_of(str(number)) for number in range(3)]
    assert all(cache.write(key, FILES) for key in keys)
    by_path.locks.held.clear()
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", str(2 * cache.cache_info().bytes // 3))
    assert cache.write(KEY, FILES)
    assert not cache.has(keys[0])
    assert cache.has(KEY)
    assert sorted(path.name[:4] for path in root.iterdir() if path.name.startswith(".")) == [".bou", ".loc"]
    assert cache.clear_cache() == 2
    assert [path.name for path in root.iterdir()] == [".lock"]


def test_a_broken_entry_is_replaced_by_path(by_path: ByPath) -> None:
    assert cache.write(KEY, FILES)
    (cache.root() / KEY / "meta.json").write_text("{", encoding="utf-8")
    assert cache.write(KEY, FILES)
    with cache_store.opened_root(cache.root()) as folder:
        assert cache_store.is_sound(folder, KEY)


def test_a_cache_elsewhere_than_in_the_users_folder_is_refused_by_path(
    by_path: ByPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says who may write there: a folder beside the user's, or one with a similar name, is not the user's."""
    for name in ("cache", "home2/cache", "home/../other"):
        monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path / name))
        stored, messages = with_warnings(lambda: cache.write(KEY, FILES))
        assert not stored
        assert len(messages) == 1
        assert "it is not below your own folder, and others may be able to write it. Kernels are" in messages[0]
    (tmp_path / "home" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path / "home" / "link" / "cache"))
    assert not with_warnings(lambda: cache.write(KEY, FILES))[0]


# Files that somebody has open, drives, memory -------------------------------------------------------------------------


def sharing_violation() -> PermissionError:
    error = PermissionError(errno.EACCES, "in use")
    error.winerror = 32  # type: ignore[attr-defined]
    return error


def test_a_file_that_somebody_has_open_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, in_use = os.replace, threading.Event()

    def replace(old: str, new: str) -> None:
        if not in_use.is_set():
            threading.Timer(0.05, in_use.set).start()
            raise sharing_violation()
        real(old, new)

    monkeypatch.setattr(os, "replace", replace)
    atomic_write.replace_file(str(tmp_path / "file"), b"data")
    assert (tmp_path / "file").read_bytes() == b"data"


@pytest.mark.parametrize(
    "error", [sharing_violation(), PermissionError(errno.EACCES, "no")], ids=["in use", "no permission"]
)
def test_a_file_that_stays_open_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: PermissionError
) -> None:
    def replace(old: str, new: str) -> None:
        raise error

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(folders, "_PATIENCE", 0.05)
    (tmp_path / "file").write_bytes(b"old")
    began = time.monotonic()
    with pytest.raises(PermissionError):
        atomic_write.replace_file(str(tmp_path / "file"), b"data")
    assert (time.monotonic() - began >= 0.05) == hasattr(error, "winerror")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_drive_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a drive's root is that root, on and on."""
    import ntpath

    monkeypatch.setattr(atomic_write.os, "path", ntpath)
    with pytest.raises(NotADirectoryError, match="a model needs a folder"):
        atomic_write.check_place("Q:\\models\\net.safetensors", "a model")


@pytest.mark.parametrize("works", [True, False])
def test_the_memory_of_windows(monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of sysinfoapi.h."""

        _fields_ = [
            ("size", ctypes.c_uint32), ("load", ctypes.c_uint32), *((name, ctypes.c_uint64) for name in "abcdefg")
        ]  # fmt: skip

    def fill(given: Any) -> int:
        status = ctypes.cast(given, ctypes.POINTER(Status)).contents
        assert status.size == ctypes.sizeof(Status)
        status.a, status.b = (5 << 32) + 7, 3
        return int(works)

    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(GlobalMemoryStatusEx=fill))
    assert cgroups.physical_memory() == ((5 << 32) + 7 if works else cgroups.NO_LIMIT)
    monkeypatch.undo()
    monkeypatch.delattr(os, "sysconf")  # where there is no kernel32 either
    assert cgroups.physical_memory() == cgroups.NO_LIMIT
