"""The cache of compiled kernels: its entries, every kind of trouble, its bound and clearing it."""

import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import neuromorph
from helpers.caches import failing, put_link, put_open_folder, temporaries, with_warnings
from helpers.processes import finished, python
from neuromorph.errors import CacheWarning
from neuromorph.host import folders
from neuromorph.host.cpu import cpu
from neuromorph.jit import cache, cache_store, environment

if os.name != "nt":
    import fcntl
    import resource

KEY = cache.key_of("a model")
FILES = {"kernel.bin": b"\x00compiled\xff" * 100, "kernel.ll": b"define void @f()\n", "empty": b""}
NOBODY = 65534
as_root = pytest.mark.skipif(
    getattr(os, "geteuid", int)() != 0 or os.name == "nt", reason="only root can give files to another user"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache's folder that does not exist yet, so that no trouble with it has been told."""
    path = tmp_path / "cache"
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(path))
    monkeypatch.delenv("NEUROMORPH_CACHE_SIZE", raising=False)
    return path


# Keys, the folder, the environment


def test_key_tells_parts_apart() -> None:
    keys = [cache.key_of(*parts) for parts in [(), ("",), ("", ""), ("ab", "c"), ("a", "bc"), ("abc",)]]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in keys)
    assert cache.key_of("ab", "c") == cache.key_of("ab", "c")
    assert len(cache.key_of("\ud800 half a pair \0")) == 64


def test_root_is_where_the_variable_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.root() == folder
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", "some/../where")
    assert cache.root() == Path.cwd() / "where"
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", "~/kernels")
    assert cache.root() == Path("/home/somebody/kernels")


def test_root_is_in_the_users_cache_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, appauthor: Path("/users/own") / name)
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", "")
    assert cache.root() == Path("/users/own/neuromorph")


def test_no_home_directory_is_told_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, appauthor: Path("~/.cache") / name)
    monkeypatch.delenv("NEUROMORPH_CACHE_DIR")
    monkeypatch.chdir(folder.parent)
    stored, messages = with_warnings(lambda: [cache.write(KEY, FILES), cache.write(KEY, FILES)])
    assert stored == [False, False]
    assert len(messages) == 1
    assert "there is no home directory" in messages[0]
    assert list(folder.parent.iterdir()) == []


def test_environment_names_all_that_code_depends_on() -> None:
    lines = cache.environment()
    kinds = [line.split()[0] for line in lines]
    expected = (
        "neuromorph numba llvmlite numpy python platform cpu features settings abi jit/bundles.py jit/calling.py "
        "jit/compiling.py jit/linking.py jit/modules.py simd"
    )
    assert kinds == expected.split()
    assert all(len(line.split()) > 1 for line in lines)
    assert cache.environment() is lines
    assert cpu().features == tuple(sorted(set(cpu().features)))
    assert cpu().name in lines[6]
    assert lines[0] == f"neuromorph {neuromorph.__version__}"


def test_environment_is_the_same_in_another_process_and_sees_settings(tmp_path: Path) -> None:
    code = "from neuromorph.jit.cache import environment; print(*environment(), sep='\\n')"
    same, other = python(code, tmp_path / "x"), python(code, tmp_path / "x", NUMBA_OPT="1")
    assert finished(same)[0].splitlines() == list(cache.environment())
    assert finished(other)[0].splitlines() != list(cache.environment())


EDITED = """
import sys
from pathlib import Path
import neuromorph
from neuromorph.jit import environment
package = Path(neuromorph.__file__).parent
for name in sys.argv[1:]:
    before = environment.environment()
    with open(package / name, "a") as file:
        file.write("# edited")
    environment.environment.cache_clear()
    print(name, before != environment.environment())
"""
COMPILED = [
    "abi/mailbox.py",
    "jit/bundles.py",
    "jit/calling.py",
    "jit/linking.py",
    "jit/modules.py",
    "simd/mailbox.py",
    "simd/math.py",
]
OF_TOOLS = ["inspection/report.py", "drawing/svg.py", "cli/entry.py", "graph/summary.py", "demo.py"]


def test_keys_change_with_what_compiled_code_is_made_of_and_with_nothing_else(tmp_path: Path) -> None:
    """The slots of a pool's mailbox are numbers in machine code: with others, it must not be loaded."""
    original = Path(neuromorph.__file__).parent
    shutil.copytree(original, tmp_path / "neuromorph", ignore=shutil.ignore_patterns("__pycache__"))
    names = [*COMPILED, *OF_TOOLS]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", EDITED, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} {name in COMPILED}" for name in names]


def test_digest_covers_names_and_bytes_but_no_byte_code(tmp_path: Path) -> None:
    def digest(name: str, data: bytes) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
        return environment.digest_of(tmp_path)

    first = digest("a.py", b"1")
    assert digest("__pycache__/a.pyc", b"x") == digest("b.pyc", b"x") == first
    digests = [
        first,
        digest("a.py", b"2"),
        digest("b.py", b""),
        digest("c/d.py", b""),
        digest("c/d.py", b"3"),
    ]
    assert len(set(digests)) == len(digests)
    assert environment.digest_of(tmp_path / "a.py") != environment.digest_of(tmp_path / "b.py")
    assert environment.digest_of(tmp_path / "missing") == environment.digest_of(tmp_path / "also missing")


def test_import_needs_no_numba(tmp_path: Path) -> None:
    code = "import sys, neuromorph.jit.cache; print(sorted({'numba', 'llvmlite'} & sys.modules.keys()))"
    assert finished(python(code, tmp_path / "x"))[0] == "[]"


# Entries


def test_what_is_written_is_read(folder: Path) -> None:
    assert cache.read(KEY, "kernel.bin") is None
    assert not folder.exists()
    assert cache.write(KEY, FILES)
    assert {name: cache.read(KEY, name) for name in FILES} == FILES
    assert cache.read(KEY, "other") is None
    assert cache.read(cache.key_of("other"), "kernel.bin") is None
    assert temporaries(folder) == []


def test_entries_are_the_users_own_and_all_may_read_those_of_root(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = os.umask(0)
    try:
        assert cache.write(KEY, FILES)
    finally:
        os.umask(old)
    modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in [folder, *folder.rglob("*")]}
    root = os.geteuid() == 0
    assert modes.pop("cache") == modes.pop(KEY) == (0o755 if root else 0o700)
    modes.pop(".lock")
    assert set(modes.values()) == {0o644 if root else 0o600}
    for user, wanted in ((0, [0o755, 0o644]), (NOBODY, [0o700, 0o600])):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert [folders.system.mode(own) for own in (0o700, 0o600)] == wanted


def test_meta_lists_sizes_and_checksums(folder: Path) -> None:
    cache.write(KEY, FILES)
    meta = json.loads((folder / KEY / "meta.json").read_text())
    assert (meta["format"], meta["key"]) == (1, KEY)
    assert {name: item["size"] for name, item in meta["files"].items()} == {
        name: len(data) for name, data in FILES.items()
    }


def test_a_sound_entry_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is written, so that a disk that is full by now is no trouble."""
    cache.write(KEY, FILES)
    before = (folder / KEY).stat().st_ino
    monkeypatch.setattr(os, "write", failing(errno.ENOSPC))
    assert cache.write(KEY, {"kernel.bin": b"other"})
    assert cache.read(KEY, "kernel.bin") == FILES["kernel.bin"]
    assert (folder / KEY).stat().st_ino == before


def test_discard_removes_one_entry(folder: Path) -> None:
    cache.discard(KEY)
    other = cache.key_of("other")
    cache.write(KEY, FILES)
    cache.write(other, FILES)
    cache.discard(KEY)
    assert [entry.key for entry in cache.list_entries()] == [other]


@pytest.mark.parametrize("key", ["", "..", "a" * 63, "A" * 64, "a" * 64 + "\n", "g" * 64, "../" + "a" * 61])
def test_what_cannot_be_a_key(folder: Path, key: str) -> None:
    for action in (
        lambda: cache.read(key, "kernel.bin"),
        lambda: cache.write(key, FILES),
        lambda: cache.discard(key),
    ):
        with pytest.raises(ValueError, match="a key is 64 hexadecimal digits in lower case, not"):
            action()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "meta.json", "x\0", "é", "x" * 101])
def test_what_cannot_be_a_name(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="can't be the name of a file of the cache"):
        cache.write(KEY, {"kernel.bin": b"", name: b""})
    with pytest.raises(ValueError, match="can't be the name of a file of the cache"):
        cache.read(KEY, name)
    assert not folder.exists()


def test_contents_are_bytes(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"the contents of 'kernel.py' must be bytes, not str"):
        cache.write(KEY, {"kernel.py": "text"})  # type: ignore[dict-item]
    assert not folder.exists()


# Damage


def edit_meta(entry: Path, **changes: Any) -> None:
    meta = json.loads((entry / "meta.json").read_text())
    (entry / "meta.json").write_text(json.dumps({**meta, **changes}))


def listed(size: Any, digest: Any = "0" * 64) -> dict[str, Any]:
    return {"files": {"kernel.bin": {"size": size, "sha256": digest}}}


def swap(path: Path, put: Callable[[Path], Any]) -> None:
    """Put something else where an entry, or a file, stands; what stood there stands beside the cache."""
    path.rename(moved(path))
    put(path)


def moved(path: Path) -> Path:
    return cache.root().parent / f"moved {path.name}"


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "object truncated": lambda entry: os.truncate(entry / "kernel.bin", 10),
    "object empty": lambda entry: os.truncate(entry / "kernel.bin", 0),
    "object longer": lambda entry: (entry / "kernel.bin").write_bytes(FILES["kernel.bin"] + b"x"),
    "object changed": lambda entry: (entry / "kernel.bin").write_bytes(b"y" * len(FILES["kernel.bin"])),
    "object missing": lambda entry: (entry / "kernel.bin").unlink(),
    "object a link": lambda entry: swap(entry / "kernel.bin", lambda path: path.symlink_to(moved(path))),
    "object a pipe": lambda entry: swap(entry / "kernel.bin", os.mkfifo),
    "object a folder": lambda entry: swap(entry / "kernel.bin", Path.mkdir),
    "object writable by all": lambda entry: (entry / "kernel.bin").chmod(0o666),
    "meta missing": lambda entry: (entry / "meta.json").unlink(),
    "meta empty": lambda entry: os.truncate(entry / "meta.json", 0),
    "meta truncated": lambda entry: os.truncate(entry / "meta.json", 50),
    "meta not text": lambda entry: (entry / "meta.json").write_bytes(b"\xff\xfe{}"),
    "meta a list": lambda entry: (entry / "meta.json").write_text("[]"),
    "meta null": lambda entry: (entry / "meta.json").write_text("null"),
    "meta deep": lambda entry: (entry / "meta.json").write_text("[" * 100_000),
    "meta large": lambda entry: (entry / "meta.json").write_bytes(b" " * ((1 << 20) + 1)),
    "meta of another key": lambda entry: edit_meta(entry, key=cache.key_of("another")),
    "meta of another format": lambda entry: edit_meta(entry, format=2),
    "files a list": lambda entry: edit_meta(entry, files=["kernel.bin"]),
    "size negative": lambda entry: edit_meta(entry, **listed(-1)),
    "size no number": lambda entry: edit_meta(entry, **listed("900")),
    "size a bool": lambda entry: edit_meta(entry, **listed(True)),
    "size not a number": lambda entry: edit_meta(entry, **listed(float("nan"))),
    "size huge": lambda entry: edit_meta(entry, **listed(10**30)),
    "digest no text": lambda entry: edit_meta(entry, **listed(len(FILES["kernel.bin"]), None)),
    "name outside": lambda entry: edit_meta(entry, files={"../x": {"size": 0, "sha256": ""}}),
    "entry writable by group": lambda entry: entry.chmod(0o770),
    "entry empty": lambda entry: swap(entry, Path.mkdir),
    "entry a file": lambda entry: swap(entry, lambda path: path.write_bytes(b"x")),
    "entry a pipe": lambda entry: swap(entry, os.mkfifo),
    "entry a link": lambda entry: swap(entry, lambda path: path.symlink_to(moved(path))),
}


REASONS = {
    "object truncated": "kernel.bin has 10 bytes, not 1000",
    "object longer": "kernel.bin has 1001 bytes, not 1000",
    "object changed": "the checksum of kernel.bin is wrong",
    "object missing": "kernel.bin is missing",
    "object a link": "kernel.bin can't be opened",
    "object a pipe": "kernel.bin is not a file",
    "object writable by all": "kernel.bin can be written by others (chmod go-w takes that away)",
    "meta missing": "meta.json is missing",
    "meta truncated": "meta.json can't be read",
    "meta large": "meta.json has 1048577 bytes, not 1048576",
    "meta of another key": "meta.json belongs to another entry",
    "entry writable by group": "it can be written by others (chmod go-w takes that away)",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_never_read_and_is_replaced(folder: Path, kind: str) -> None:
    cache.write(KEY, FILES)
    DAMAGE[kind](folder / KEY)
    data, messages = with_warnings(lambda: cache.read(KEY, "kernel.bin"))
    assert data is None
    assert len(messages) == 1
    assert f"the entry {KEY[:16]} was damaged: {REASONS.get(kind, '')}" in messages[0]
    assert not os.path.lexists(folder / KEY)
    assert cache.write(KEY, FILES)
    assert cache.read(KEY, "kernel.bin") == FILES["kernel.bin"]
    assert temporaries(folder) == []


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_written_over(folder: Path, kind: str) -> None:
    cache.write(KEY, FILES)
    DAMAGE[kind](folder / KEY)
    assert cache.write(KEY, FILES)
    assert {name: cache.read(KEY, name) for name in FILES} == FILES
    assert temporaries(folder) == []


@as_root
@pytest.mark.parametrize("name", ["", "kernel.bin", "meta.json"])
def test_what_belongs_to_another_user_is_never_read(folder: Path, name: str) -> None:
    cache.write(KEY, FILES)
    os.chown(folder / KEY / name, NOBODY, NOBODY)
    data, messages = with_warnings(lambda: cache.read(KEY, "kernel.bin"))
    assert data is None
    assert "belongs to another user (id 65534)" in messages[0]
    assert cache.write(KEY, FILES)
    assert cache.read(KEY, "kernel.bin") == FILES["kernel.bin"]


def test_damage_is_told_once_in_all(folder: Path) -> None:
    keys = [cache.key_of(str(number)) for number in range(3)]
    for key in keys:
        cache.write(key, FILES)
        os.truncate(folder / key / "kernel.bin", 1)
    _, messages = with_warnings(lambda: [cache.read(key, "kernel.bin") for key in keys])
    assert len(messages) == 1


def test_an_entry_that_another_process_has_replaced_is_not_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_meanwhile(*_: Any) -> bytes:
        os.rename(folder / KEY, folder / ("f" * 64))
        cache.write(KEY, {"kernel.bin": b"new"})
        raise cache_store.DamagedError("the old one")

    cache.write(KEY, FILES)
    with monkeypatch.context() as patch:
        patch.setattr(cache_store, "read_entry", replaced_meanwhile)
        assert cache.read(KEY, "kernel.bin") is None
    assert cache.read(KEY, "kernel.bin") == b"new"


# Trouble with the folder


def put_file(path: Path) -> None:
    path.write_text("precious")


FOLDERS = {
    "a file": (put_file, "it is not a folder"),
    "a link": (put_link, "it is a symbolic link"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "it is a symbolic link"),
    "a loop": (lambda path: path.symlink_to(path), "it is a symbolic link"),
    "writable by all": (put_open_folder, r"it can be written by others \(chmod go-w takes that away\)"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_is_not_ours_is_told_once_and_left_alone(folder: Path, kind: str) -> None:
    put, reason = FOLDERS[kind]
    put(folder)
    before = sorted(folder.parent.rglob("*"))
    results, messages = with_warnings(
        lambda: [
            cache.write(KEY, FILES),
            cache.write(KEY, FILES),
            cache.read(KEY, "kernel.bin"),
            cache.list_entries(),
            cache.cache_info(),
        ]
    )
    cache.discard(KEY)
    assert results == [False, False, None, (), cache.CacheInfo(folder, 0, 0, 1 << 30)]
    assert len(messages) == 1
    assert re.search(rf"{folder}': {reason}.*Set NEUROMORPH_CACHE_DIR", messages[0])
    assert sorted(folder.parent.rglob("*")) == before
    with pytest.raises(ValueError, match=f"can't clear the cache in .*{reason}; nothing was removed"):
        cache.clear_cache()


@as_root
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    cache.write(KEY, FILES)
    os.chown(folder, NOBODY, NOBODY)
    results, messages = with_warnings(lambda: [cache.read(KEY, "kernel.bin"), cache.write(cache.key_of("b"), FILES)])
    assert results == [None, False]
    assert len(messages) == 1
    assert "it belongs to another user (id 65534)" in messages[0]
    with pytest.raises(ValueError, match="belongs to another user"):
        cache.clear_cache()
    assert (folder / KEY / "kernel.bin").exists()


@as_root
def test_a_cache_of_root_is_read_by_others_in_silence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that was filled when a container's image was made."""
    cache.write(KEY, FILES)
    for path in (folder, folder / KEY):
        path.chmod(0o555)
    (folder / ".lock").unlink()
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*") if path != folder / KEY)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", "10")
    results, messages = with_warnings(
        lambda: [cache.read(KEY, "kernel.bin"), cache.write(KEY, {}), cache.write(cache.key_of("b"), {}),
                 cache.write(cache.key_of("c"), FILES), cache.cache_info().entries]
    )  # fmt: skip
    assert (results, messages) == ([FILES["kernel.bin"], True, False, False, 1], [])
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*") if path != folder / KEY) == before
    with pytest.raises(ValueError, match=r"can't clear the cache in .*: it belongs to root; nothing was removed"):
        cache.clear_cache()
    folder.chmod(0o757)
    assert "can be written by others" in with_warnings(lambda: cache.read(KEY, "kernel.bin"))[1][0]


@as_root
def test_what_others_could_have_put_into_a_cache_of_root_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write(KEY, FILES)
    os.chown(folder / KEY / "kernel.bin", NOBODY - 1, NOBODY - 1)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    found, messages = with_warnings(lambda: cache.read(KEY, "kernel.bin"))
    assert found is None
    assert "belongs to another user (id 65533)" in messages[0]


@pytest.mark.parametrize("below", ["cache", "cache/deep/er"])
def test_a_file_among_the_parents(folder: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    put_file(folder)
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(folder.parent / below / "x"))
    stored, messages = with_warnings(lambda: [cache.write(KEY, FILES), cache.read(KEY, "kernel.bin")])
    assert stored == [False, None]
    assert len(messages) == 1


def test_a_name_too_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(folder / ("x" * 300)))
    stored, messages = with_warnings(lambda: [cache.write(KEY, FILES), cache.read(KEY, "kernel.bin")])
    assert stored == [False, None]
    assert len(messages) == 1
    assert "File name too long. Kernels are compiled in memory. Set NEUROMORPH_CACHE_DIR" in messages[0]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_place_where_no_folder_can_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", "/proc/neuromorph/cache")
    stored, messages = with_warnings(lambda: cache.write(KEY, FILES))
    assert not stored
    assert len(messages) == 1


def test_each_folder_is_told_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_file(folder)
    put_file(folder.parent / "second")
    _, first = with_warnings(lambda: cache.write(KEY, FILES))
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(folder.parent / "second"))
    _, second = with_warnings(lambda: cache.write(KEY, FILES))
    assert (len(first), len(second)) == (1, 1)


def test_a_caller_can_tell_of_trouble(folder: Path) -> None:
    _, messages = with_warnings(lambda: [cache.warn_once("the disk is on fire"), cache.warn_once("and the house")])
    assert messages == [f"cache of compiled kernels in {str(folder)!r}: the disk is on fire"]


@pytest.mark.parametrize(
    "action", [lambda: cache.write(KEY, FILES), lambda: cache.read(KEY, "kernel.bin"), cache.cache_info]
)
def test_a_warning_points_outside_this_package(folder: Path, action: Callable[[], Any]) -> None:
    put_file(folder)
    with pytest.warns(CacheWarning) as caught:
        action()
    assert [item.filename for item in caught] == [__file__]


def test_a_warning_made_an_error_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(cache.key_of("other"), FILES)
    monkeypatch.setattr(os, "write", failing(errno.ENOSPC))
    with pytest.raises(CacheWarning, match="No space left on device"):
        cache.write(KEY, FILES)
    assert temporaries(folder) == []


FAILURES = [
    (
        "write",
        errno.ENOSPC,
        "Free some space there, or set NEUROMORPH_CACHE_DIR to a folder on another disk.",
    ),
    ("write", errno.EDQUOT, "Free some space there"),
    ("write", errno.EIO, "Set NEUROMORPH_CACHE_DIR to a folder that belongs to you"),
    ("mkdir", errno.EROFS, "Set NEUROMORPH_CACHE_DIR"),
    ("mkdir", errno.EACCES, "Set NEUROMORPH_CACHE_DIR"),
    ("rename", errno.EPERM, "Set NEUROMORPH_CACHE_DIR"),
    ("open", errno.EMFILE, "Let the process open more files (ulimit -n)."),
    ("open", errno.ENFILE, "Let the process open more files"),
    ("utime", errno.EPERM, "Set NEUROMORPH_CACHE_DIR"),
    ("fstat", errno.ESTALE, "Set NEUROMORPH_CACHE_DIR"),
]


@pytest.mark.parametrize(("call", "number", "advice"), FAILURES)
def test_a_failing_system_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, advice: str
) -> None:
    other = cache.key_of("other")
    cache.write(other, FILES)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        results, messages = with_warnings(lambda: [cache.write(KEY, FILES), cache.write(KEY, FILES)])
        with_warnings(lambda: cache.read(other, "kernel.bin"))
    assert results == [False, False]
    assert len(messages) == 1
    assert f"{os.strerror(number)}. Kernels are compiled in memory. {advice}" in messages[0]
    assert not (folder / KEY).exists()
    assert cache.read(other, "kernel.bin") == FILES["kernel.bin"]
    assert cache.write(KEY, FILES)


def test_a_disk_that_fills_up_in_the_middle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes a part of each write, then nothing."""
    real, room = os.write, [300]

    def write(descriptor: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(descriptor, data[: min(100, room[0])])
        room[0] -= count
        return count

    monkeypatch.setattr(os, "write", write)
    stored, messages = with_warnings(lambda: cache.write(KEY, FILES))
    assert not stored
    assert len(messages) == 1
    assert list(folder.iterdir()) == []
    room[0] = 100_000
    assert cache.write(KEY, FILES)
    assert cache.read(KEY, "kernel.bin") == FILES["kernel.bin"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(disk)]
    if not mount or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user or container can't mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(folder: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(small_disk / "cache"))
    assert cache.write(KEY, FILES)
    with pytest.warns(CacheWarning, match="No space left on device"):
        assert not cache.write(cache.key_of("large"), {"kernel.bin": b"x" * 200_000})
    assert temporaries(small_disk / "cache") == []
    assert cache.read(KEY, "kernel.bin") == FILES["kernel.bin"]


def test_no_descriptors_left(folder: Path) -> None:
    """A real limit on open files: reading fails, is told once, and works again when files were closed."""
    cache.write(KEY, FILES)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            held.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(1000))
        result, messages = with_warnings(lambda: [cache.read(KEY, "kernel.bin"), cache.write(cache.key_of("b"), FILES)])
        os.close(held.pop())  # one is left: enough to open the folder, too few to open an entry in it
        again, more = with_warnings(lambda: cache.read(KEY, "kernel.bin"))
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result == [None, False]
    assert again is None
    assert (len(messages), len(more)) == (1, 0)
    assert cache.read(KEY, "kernel.bin") == FILES["kernel.bin"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_no_descriptor_leaks(folder: Path) -> None:
    def all_kinds() -> None:
        for kind in DAMAGE:
            cache.write(KEY, FILES)
            DAMAGE[kind](folder / KEY)
            cache.read(KEY, "kernel.bin")
            cache.write(KEY, FILES)
            for item in folder.parent.glob("moved *"):
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        cache.cache_info()
        cache.clear_cache()

    with_warnings(all_kinds)
    before = os.listdir("/proc/self/fd")
    with_warnings(all_kinds)
    assert len(os.listdir("/proc/self/fd")) == len(before)


# Many processes, and processes that die

DYING = """
import os, signal, sys
from neuromorph.jit import cache, cache_store as cachefiles

KEY, FILES = cache.key_of("a model"), {"kernel.bin": b"new" * 1000, "kernel.ll": b"ir"}
CALLS = ["mkdir", "open", "write", "fsync", "utime", "rename", "unlink", "rmdir", "close", "listdir"]

def count_down(real, left):
    def call(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)
    return call

def die_after(steps):
    left = [steps]
    for name in CALLS:
        setattr(os, name, count_down(getattr(os, name), left))
    cache.write(KEY, FILES)
    os._exit(0)

def spoil():
    path = cache.root() / KEY / "kernel.bin"
    if path.exists():
        os.truncate(path, 1)

steps, deaths, found = 0, 0, set()
while True:
    if sys.argv[1:] == ["broken"]:
        cache.discard(KEY)
        cache.write(KEY, FILES)
        spoil()
    else:
        cache.discard(KEY)
    child = os.fork()
    if child == 0:
        die_after(steps)
    status = os.waitpid(child, 0)[1]
    entry = cache.root() / KEY
    whole = entry.exists() and cachefiles.listing(os.open(entry, os.O_RDONLY), KEY).keys() == FILES.keys()
    assert whole or not entry.exists(), steps
    data = cache.read(KEY, "kernel.bin")
    assert data in (None, FILES["kernel.bin"]), steps
    assert cache.write(KEY, FILES) and cache.read(KEY, "kernel.bin") == FILES["kernel.bin"], steps
    found.add(data is None)
    if not os.WIFSIGNALED(status):
        break
    deaths += 1
    steps += 1
print(deaths, sorted(found))
"""


@pytest.mark.parametrize("before", ["nothing", "broken"])
def test_killed_at_any_moment(folder: Path, before: str) -> None:
    """SIGKILL at each system call of a write in turn: there is no entry then, or a whole one."""
    code = f"import sys; sys.argv[1:] = [{before!r}]\n{DYING}"
    deaths, found = finished(python(code, folder))[0].split(maxsplit=1)
    assert int(deaths) > 20
    assert found == "[False, True]"


def test_killed_at_random(folder: Path) -> None:
    code = """
from neuromorph.jit import cache
number = 0
while True:
    cache.write(cache.key_of(str(number)), {"kernel.bin": b"x" * 100_000})
    number += 1
"""
    process = python(code, folder)
    while not cache.list_entries():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    entries = cache.list_entries()
    assert entries
    assert all(cache.read(entry.key, "kernel.bin") == b"x" * 100_000 for entry in entries)


def test_eight_processes_write_one_key(folder: Path) -> None:
    """In rounds, with and without a broken entry in the way; each process reads what any of them wrote."""
    code = """
import os, time
from neuromorph.jit import cache
files = {"kernel.bin": b"same" * 10_000, "kernel.s": b"asm"}
for number in range(10):
    key = cache.key_of(str(number))
    time.sleep(max(0.0, START + number * 0.05 - time.time()))
    assert cache.write(key, files)
    assert cache.read(key, "kernel.bin") == files["kernel.bin"]
"""
    for number in range(0, 10, 2):
        cache.write(cache.key_of(str(number)), FILES)
        os.truncate(folder / cache.key_of(str(number)) / "kernel.bin", 1)
    start = time.time() + 1.5
    processes = [python(code.replace("START", repr(start)), folder) for _ in range(8)]
    assert [finished(process) for process in processes] == [("", "")] * 8
    assert cache.cache_info().entries == 10
    assert temporaries(folder) == []


# The bound


def fill(count: int, size: int = 1000) -> list[str]:
    keys = [cache.key_of("entry", str(number)) for number in range(count)]
    for key in keys:
        assert cache.write(key, {"kernel.bin": b"x" * size})
    return keys


def test_entries_unused_for_longest_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = fill(3)
    assert [entry.key for entry in cache.list_entries()] == [first, second, third]
    cache.read(first, "kernel.bin")
    cache.write(second, FILES)  # a write that finds a sound entry is a use of it as well
    assert [entry.key for entry in cache.list_entries()] == [third, first, second]
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", str(cache.cache_info().bytes))
    cache.write(KEY, {"kernel.bin": b"x" * 1000})
    assert [entry.key for entry in cache.list_entries()] == [first, second, KEY]
    info = cache.cache_info()
    assert info.bytes <= info.limit


def test_what_is_larger_than_the_cache_is_not_stored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = fill(2)
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", "5000")
    assert not cache.write(KEY, {"kernel.bin": b"x" * 5001})
    assert [entry.key for entry in cache.list_entries()] == keys
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", "0")
    assert not cache.write(KEY, {"kernel.bin": b"x"})


USES: dict[str, Callable[[list[str]], Any]] = {
    "an entry that is there is read": lambda keys: cache.read(keys[-1], "kernel.bin"),
    "an entry that is not there is read": lambda keys: cache.read(KEY, "kernel.bin"),
    "an entry is found to be there": lambda keys: cache.write(keys[-1], FILES),
    "an entry is written": lambda keys: cache.write(KEY, {"kernel.bin": b"x"}),
    "an entry is too large to be written": lambda keys: cache.write(KEY, {"kernel.bin": b"x" * 5000}),
}


@pytest.mark.parametrize("use", USES)
def test_a_bound_that_was_lowered_holds_from_the_next_use_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    keys = fill(5)
    bound = cache.cache_info().bytes * 2 // 5
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", str(bound))
    USES[use](keys)
    assert 0 < cache.cache_info().bytes <= bound
    left = {entry.key for entry in cache.list_entries()}
    assert keys[-1] in left, "the entry used last goes last"
    assert not left & set(keys[:3])


def test_a_lowered_bound_returns_what_is_read_even_where_it_keeps_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = fill(1)
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", "0")
    assert cache.read(key, "kernel.bin") == b"x" * 1000
    assert cache.cache_info().entries == 0
    assert cache.read(key, "kernel.bin") is None


def test_the_usual_bound_holds_again_once_a_larger_one_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = cache.cache_info().limit
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", str(10 * usual))
    keys = fill(5)
    for key in keys[:-1]:
        os.truncate(folder / key / "kernel.bin", usual // 3)  # without taking room on the disk
    assert cache.cache_info().bytes > usual
    monkeypatch.delenv("NEUROMORPH_CACHE_SIZE")
    cache.read(keys[-1], "kernel.bin")
    assert 0 < cache.cache_info().bytes <= usual


def test_entries_are_not_looked_through_while_the_bound_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read one kernel of thousands must not take longer than to read one of two."""
    keys = fill(3)
    monkeypatch.setattr(cache_store, "scan", lambda folder: pytest.fail("the whole cache was looked through"))
    for key in [*keys, KEY]:
        cache.read(key, "kernel.bin")
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", str(1 << 40))
    cache.read(keys[0], "kernel.bin")


@pytest.mark.parametrize("note", [b"", b"many", b"9" * 30, None])
def test_a_note_of_the_bound_that_says_nothing_is_made_anew(folder: Path, note: bytes | None) -> None:
    (key,) = fill(1)
    path = folder / cache_store.BOUND
    path.unlink()
    if note is not None:
        path.write_bytes(note)
    assert cache.read(key, "kernel.bin") == b"x" * 1000
    assert path.read_bytes() == str(1 << 30).encode()
    assert stat.S_IMODE(path.stat().st_mode) == folders.system.mode(0o600)
    assert temporaries(folder) == []


def test_a_lowered_bound_is_no_trouble_where_nothing_can_be_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that can only be read."""
    (key,) = fill(1)
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", "10")
    monkeypatch.setattr(cache_store, "sweep", failing(errno.EROFS))
    assert with_warnings(lambda: cache.read(key, "kernel.bin")) == (b"x" * 1000, [])


@pytest.mark.parametrize("size", ["many", "-1", "1e9", "1.5", "9" * 19, "٣"])
def test_a_bound_that_is_no_number(folder: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", size)
    results, messages = with_warnings(lambda: [cache.write(KEY, FILES), cache.cache_info().limit])
    assert results == [True, 1 << 30]
    assert len(messages) == 1
    assert f"NEUROMORPH_CACHE_SIZE={size!r} is not a number of bytes; the cache is kept to 1 GiB" in messages[0]


def test_what_dead_processes_left_is_swept(folder: Path) -> None:
    fill(1)
    stale, fresh = folder / f".tmp-{'0' * 32}", folder / f".tmp-{'1' * 32}"
    for left in (stale, fresh):
        left.mkdir()
        (left / "kernel.bin").write_bytes(b"half")
    os.utime(stale, (time.time() - 3700, time.time() - 3700))
    cache.write(KEY, FILES)
    assert temporaries(folder) == [fresh.name]


def test_a_write_waits_for_no_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another one evicts, entries are stored all the same, and the next write evicts."""
    fill(3)
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", "3000")
    began = time.monotonic()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cache.write(KEY, FILES)
    assert time.monotonic() - began < 30.0  # a wait for the lock would never end
    assert cache.cache_info().entries == 4
    assert cache.write(cache.key_of("next"), FILES)
    assert cache.cache_info().bytes <= 3000


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks(error: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as Lustre, or NFS as it is often mounted: nothing is said, and the bound is kept."""

    def flock(*_: Any) -> None:
        raise OSError(error, os.strerror(error))

    fill(3)
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", "3000")
    stored, messages = with_warnings(lambda: cache.write(KEY, FILES))
    assert (stored, messages) == (True, [])
    assert cache.cache_info().bytes <= 3000


def test_trouble_with_the_lock_keeps_the_entry(folder: Path) -> None:
    fill(1)
    (folder / ".lock").unlink()
    (folder / ".lock").mkdir()
    stored, messages = with_warnings(lambda: cache.write(KEY, FILES))
    assert stored
    assert len(messages) == 1
    assert cache.read(KEY, "kernel.bin") == FILES["kernel.bin"]


def test_info_and_entries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.cache_info() == cache.CacheInfo(folder, 0, 0, 1 << 30)
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", " 123456 ")
    began = time.time()
    cache.write(KEY, FILES)
    (entry,) = cache.list_entries()
    size = sum(item.stat().st_size for item in (folder / KEY).iterdir())
    assert (entry.key, entry.bytes) == (KEY, size)
    assert entry.files == ("empty", "kernel.bin", "kernel.ll", "meta.json")
    assert began <= entry.used <= time.time()
    assert cache.cache_info() == cache.CacheInfo(folder, 1, size, 123456)


# Clearing


def test_clear_removes_every_entry(folder: Path) -> None:
    assert cache.clear_cache() == 0
    fill(3)
    (folder / f".tmp-{'0' * 32}").mkdir()
    assert cache.clear_cache() == 3
    assert [item.name for item in folder.iterdir()] in ([], [".lock"])
    assert cache.cache_info().entries == 0
    assert cache.write(KEY, FILES)


def test_clear_removes_broken_entries(folder: Path) -> None:
    names = ["kernel.bin", "kernel.py", "functions.json", "forward.ll", "time_shift.s"]
    first, second, third = keys = [cache.key_of(str(number)) for number in range(3)]
    for key in keys:
        cache.write(key, dict.fromkeys(names, b"x"))
    os.truncate(folder / first / "meta.json", 3)
    (folder / second / "meta.json").unlink()
    (folder / third / "kernel.bin").unlink()
    assert cache.clear_cache() == 3


FOREIGN: dict[str, Callable[[Path], Any]] = {
    "notes.txt": put_file,
    ".hidden": put_file,
    "data": Path.mkdir,
    ".tmp-short": Path.mkdir,
    "f" * 64: put_file,
    "e" * 64: put_link,
    "K/notes.txt": put_file,
    "K/data": Path.mkdir,
    "K/link": lambda path: path.symlink_to("/etc/passwd"),
    "X/kernel.bin": Path.mkdir,
    "X/thesis.tex": put_file,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_clear_refuses_what_is_not_of_the_cache(folder: Path, name: str) -> None:
    fill(2)
    cache.write(KEY, FILES)
    broken = "0" * 64
    (folder / broken).mkdir()
    path = folder / name.replace("K", KEY).replace("X", broken)
    FOREIGN[name](path)
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError) as caught:
        cache.clear_cache()
    assert f"can't clear the cache: {str(path)!r} is not of the cache; nothing was" in str(caught.value)
    assert sorted(folder.rglob("*")) == before
