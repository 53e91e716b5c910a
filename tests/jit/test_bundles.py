"""Bundles of compiled functions: compiled once, stored whole, found again by other processes, safe in any trouble."""

import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

from helpers.caches import failing, forget, put_link, put_open_folder, temporaries, with_warnings
from helpers.paths import REPOSITORY
from helpers.processes import finished, python
from helpers.threads import wait_until
from neuromorph.errors import CacheWarning
from neuromorph.jit import bundles, cache, compiling

NOBODY = 65534
MISS = "NEUROMORPH_CACHE_MISS_IS_ERROR"
as_root = pytest.mark.skipif(
    getattr(os, "geteuid", int)() != 0 or os.name == "nt", reason="only root can give files to another user"
)

SOURCE = '''"""A function that calls another one by its symbol."""
from neuromorph import simd
from neuromorph.simd import span

native = simd.native("float64", 4)


@native("array count -> number")
def part(x, i):
    return 1.0 * x[i]


@native("array count -> number")
def whole(x, count):
    total = 0.0
    for i in span(0, count):
        total += part(x, i)
    return total
'''
FUNCTIONS = {"part": ("array", "count"), "whole": ("array", "count")}
FILES = ("functions.json", "kernel.bin", "kernel.py", "meta.json", "part.ll", "whole.ll")
VALUES = np.arange(5.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache's folder that does not exist yet, so that no trouble with it has been told."""
    path = tmp_path / "cache"
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(path))
    monkeypatch.delenv(MISS, raising=False)
    return path


@pytest.fixture
def key(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A key of this test's own, whose module is forgotten after it."""
    made = cache.key_of(request.node.nodeid)
    yield made
    forget(made)


def ready(key: str, source: str = SOURCE, functions: dict[str, tuple[str, ...]] = FUNCTIONS) -> Any:
    """The entry function of a bundle."""
    return bundles.ready(source, key, functions, "float64").whole


def build(key: str, source: str = SOURCE, functions: dict[str, tuple[str, ...]] = FUNCTIONS) -> Any:
    """The entry function of a bundle that this process seems never to have loaded."""
    forget(key)
    return ready(key, source, functions)


def found(key: str, monkeypatch: pytest.MonkeyPatch, source: str = SOURCE) -> Any:
    """The entry function of a bundle, taken from the cache."""
    with monkeypatch.context() as patch:
        patch.setenv(MISS, "1")
        return build(key, source)


def entry_of(key: str) -> str:
    return bundles.bundle_key(key, FUNCTIONS, "float64")


def listed(key: str) -> list[dict[str, Any]]:
    """What ``functions.json`` of a stored bundle says of its functions."""
    data: list[dict[str, Any]] = json.loads(cache.read(entry_of(key), "functions.json") or b"")["functions"]
    return data


# One bundle, one entry


def test_a_bundle_is_one_entry(key: str) -> None:
    assert build(key)(VALUES, 5) == 10.0
    (entry,) = cache.list_entries()
    assert (entry.key, entry.files) == (entry_of(key), FILES)
    assert cache.read(entry.key, "kernel.py") == SOURCE.encode()


def test_each_function_has_its_own_texts(key: str) -> None:
    build(key)
    described = listed(key)
    assert [(item["name"], item["ir"]) for item in described] == [("part", "part.ll"), ("whole", "whole.ll")]
    assert [tuple(item["arguments"]) for item in described] == list(FUNCTIONS.values())
    texts = bundles.stored_texts(key, FUNCTIONS, "float64")
    assert texts is not None
    for item in described:
        assert item["symbol"] == f"nm.native.{item['name']}"
        ir, assembly = texts[item["name"]]
        assert ir.encode() == cache.read(entry_of(key), item["ir"])
        assert "define" in ir
        assert item["symbol"] in ir
        assert item["symbol"] + ":" in assembly


def test_assembly_is_made_when_it_is_asked_for_and_stored_then(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build(key)
    module = sys.modules[f"neuromorph_kernel_{key[:16]}"]
    with monkeypatch.context() as patch:
        patch.setattr(compiling, "object_of", lambda made: compiling.target().emit_assembly(made).encode())
        whole = compiling.compiled(module.whole, [module.part, module.whole])
    assert len(cache.list_entries()) == 1
    texts = bundles.stored_texts(key, FUNCTIONS, "float64")
    assert texts is not None
    assert sorted(found.files for found in cache.list_entries()) == [FILES, ("meta.json", "part.s", "whole.s")]
    assert texts["whole"] == (whole.ir, whole.data.decode())
    monkeypatch.setattr(compiling, "assembly_of", lambda ir: pytest.fail("made a second time"))
    assert bundles.stored_texts(key, FUNCTIONS, "float64") == texts


def test_functions_are_called_and_not_linked(key: str) -> None:
    build(key)
    part = listed(key)[0]["symbol"].encode()
    lines = (cache.read(entry_of(key), "whole.ll") or b"").splitlines()
    assert [line.split()[0] for line in lines if part in line and b"call" not in line] == [b"declare"]


def test_the_key_tells_functions_and_types_apart(folder: Path) -> None:
    whole = cache.key_of("a")
    keys = [
        bundles.bundle_key(whole, functions, dtype)
        for functions in (
            {"f": ("count",)},
            {"f": ("flag",)},
            {"f": ("count", "flag")},
            {"f": ("count",), "flag": ()},
            {"flag": (), "f": ("count",)},
            {"f": ()},
        )
        for dtype in ("float32", "float64")
    ]
    assert len(set(keys)) == len(keys)
    assert bundles.bundle_key(whole, {"f": ()}, "float32") == bundles.bundle_key(whole, {"f": ()}, "float32")


def test_without_jit_functions_are_python(tmp_path: Path) -> None:
    code = f"""
from neuromorph.jit import bundles as jit, cache, modules
key = cache.key_of("plain")
module = jit.ready({SOURCE!r}, key, {FUNCTIONS!r}, "float64")
assert module is not modules.load_module({SOURCE!r}, key)
assert module is jit.ready({SOURCE!r}, key, {FUNCTIONS!r}, "float64")
assert not jit.is_compiled(module.whole)
print(module.whole([1.0, 2.0], 2))
"""
    output, errors = finished(python(code, tmp_path / "cache", NUMBA_DISABLE_JIT="1"))
    assert (output, errors) == ("3.0", "")
    assert not (tmp_path / "cache").exists()


# Found again


def test_a_second_load_in_one_process(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = [build(key), found(key, monkeypatch), found(key, monkeypatch)]
    assert len({id(function.__self__) for function in functions}) == 3
    assert [function(VALUES, 5) for function in functions] == [10.0] * 3


def test_what_is_in_use_is_not_linked_again_and_what_is_not_goes(key: str) -> None:
    """A process that builds ten thousand models keeps the code of those that it has."""
    first, second = build(key), ready(key)
    is_same = first.__self__ is second.__self__  # in an assert, pytest would keep both
    assert is_same
    code = ref(first.__self__)
    del first, second

    def is_gone() -> bool:
        gc.collect()
        return code() is None

    wait_until(is_gone)  # a thread of an earlier test may look at it just now
    assert ready(key)(VALUES, 5) == 10.0


LINKED = f"""
import sys
import numpy as np
from neuromorph.jit import bundles as jit, cache
function = jit.ready({SOURCE!r}, cache.key_of("linked"), {FUNCTIONS!r}, "float64").whole
assert jit.is_compiled(function)
print(function(np.arange(5.0), 5), "numba" in sys.modules)
"""


def test_a_process_that_finds_its_bundles_imports_no_numba(folder: Path) -> None:
    """Its import takes longer than all the rest of a start."""
    outputs = [finished(python(LINKED, folder)) for _ in range(2)]
    assert outputs == [("10.0 True", ""), ("10.0 False", "")]


def test_an_entry_that_was_evicted_between_two_builds(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = [build(key)]
    cache.clear_cache()
    functions.append(build(key))
    functions.append(found(key, monkeypatch))
    cache.clear_cache()
    assert [function(VALUES, 5) for function in functions] == [10.0] * 3
    assert ready(key)(VALUES, 4) == 6.0
    assert cache.list_entries() == ()


TWO = f"""
import json, sys
import numpy as np
from neuromorph.jit import bundles as jit, cache

def symbols(key):
    data = cache.read(jit.bundle_key(key, functions, "float64"), "functions.json")
    return [item["symbol"] for item in json.loads(data)["functions"]]

functions, results, names = {FUNCTIONS!r}, [], []
for factor in sys.argv[1:]:
    source = {SOURCE!r}.replace("1.0 *", factor + " *")
    key = cache.key_of(source)
    results.append(jit.ready(source, key, functions, "float64").whole)
    names.append([name.replace(f"neuromorph_kernel_{{key[:16]}}", "") for name in symbols(key)])
print(json.dumps([[function(np.arange(5.0), 5) for function in results], names]))
"""


def two(folder: Path, *factors: str) -> tuple[list[float], list[list[str]]]:
    """Results, and symbols without the name of their module, of bundles made one after the other in one process."""
    output, errors = finished(python(f"import sys; sys.argv[1:] = {factors!r}\n{TWO}", folder))
    assert "CacheWarning" not in errors
    results, names = json.loads(output)
    return results, names


def test_symbols_of_two_processes_do_not_meet(folder: Path) -> None:
    """The functions of every bundle have the same names."""
    two(folder, "1.0")
    results, (stored, compiled) = two(folder, "1.0", "2.0")
    assert results == [10.0, 20.0]
    assert stored == compiled
    assert two(folder, "3.0", "2.0", "1.0")[0] == [30.0, 20.0, 10.0]
    assert two(folder, "1.0", "2.0", "3.0")[0] == [10.0, 20.0, 30.0]


def test_a_miss_can_be_an_error(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError) as caught:
        found(key, monkeypatch)
    assert str(caught.value) == f"whole of neuromorph_kernel_{key[:16]} is not in the cache in {str(cache.root())!r}"
    assert build(key)(VALUES, 5) == 10.0
    assert found(key, monkeypatch)(VALUES, 5) == 10.0


def puts_off_full_collections() -> bool:
    """Whether this Python lets its user do so."""
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], 20_000)
    try:
        return gc.get_threshold()[2] == 20_000
    finally:
        gc.set_threshold(*before)


@pytest.mark.skipif(not puts_off_full_collections(), reason="this Python decides by itself")
def test_full_collections_wait_until_a_bundle_is_stored(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And come as before then, whatever happens; those that somebody has set meanwhile stay."""
    before, seen = gc.get_threshold(), []
    monkeypatch.setattr(bundles, "raise_if_pressed_twice", lambda: seen.append(gc.get_threshold()))  # for each function
    monkeypatch.setattr(cache, "write", lambda *_: seen.append(gc.get_threshold()))
    build(key)
    assert {(*each[:2], each[2] > 10_000) for each in seen} == {(*before[:2], True)}
    assert len(seen) == 3
    assert gc.get_threshold() == before

    monkeypatch.setattr(cache, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(key)
    assert gc.get_threshold() == before

    other = cache.key_of(key)
    monkeypatch.setattr(cache, "write", lambda *_: monkeypatch.undo() or build(other))  # as from a signal handler
    build(key)
    forget(other)
    assert gc.get_threshold() == before

    try:
        monkeypatch.setattr(cache, "write", lambda *_: gc.set_threshold(800, 9, 8))
        build(key)
        assert gc.get_threshold() == (800, 9, 8)
    finally:
        gc.set_threshold(*before)


def test_a_child_forked_between_compiling_and_storing_collects_as_before(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, pipe = gc.get_threshold(), os.pipe()

    def fork(*_: Any) -> None:
        if (child := os.fork()) == 0:
            os.write(pipe[1], repr(gc.get_threshold()).encode())
            os._exit(0)
        os.waitpid(child, 0)

    monkeypatch.setattr(cache, "write", fork)
    build(key)
    assert os.read(pipe[0], 100) == repr(before).encode()
    for end in pipe:
        os.close(end)


# What is stored wrong


def stored(key: str) -> tuple[bytes, dict[str, Any]]:
    """The object files of a bundle, and what is written of them."""
    return (
        cache.read(entry_of(key), "kernel.bin") or b"",
        json.loads(cache.read(entry_of(key), "functions.json") or b""),
    )


def truncate(key: str) -> None:
    os.truncate(cache.root() / entry_of(key) / "kernel.bin", 1000)


def corrupt(key: str) -> None:
    path = cache.root() / entry_of(key) / "kernel.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replaced(data: Callable[[bytes], bytes] = bytes, **changes: Any) -> Callable[[str], None]:
    """Put other bytes or another index into a bundle's entry, with a right checksum."""

    def replace(key: str) -> None:
        objects, index = stored(key)
        cache.discard(entry_of(key))
        files = {"kernel.bin": data(objects), "functions.json": json.dumps(index | changes).encode()}
        assert cache.write(entry_of(key), files)

    return replace


def without_index(key: str) -> None:
    cache.discard(entry_of(key))
    assert cache.write(entry_of(key), {"kernel.bin": b"", "functions.json": b"[]"})


DAMAGE: dict[str, tuple[Callable[[str], None], str]] = {
    "truncated": (truncate, "was damaged: kernel.bin has 1000 bytes, not "),
    "corrupted": (corrupt, "was damaged: the checksum of kernel.bin is wrong"),
    "no index": (without_index, "can't be loaded and is compiled anew: TypeError"),
    "empty": (replaced(lambda data: b""), "compiled anew: ValueError('0 bytes of objects, not "),
    "half": (replaced(lambda data: data[:-100]), "compiled anew: ValueError("),
    "other functions": (replaced(entries=["part"]), "compiled anew: ValueError('a bundle of other functions')"),
    "a missing symbol": (
        replaced(needed=["no_such_symbol"]),
        "compiled anew: ValueError(\"'no_such_symbol' is not defined in this process\")",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_stored_wrong_is_compiled_anew(key: str, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    spoil, reason = DAMAGE[kind]
    build(key)
    spoil(key)
    function, messages = with_warnings(lambda: build(key))
    assert function(VALUES, 5) == 10.0
    assert len(messages) == 1
    assert reason in messages[0]
    assert found(key, monkeypatch)(VALUES, 5) == 10.0


# What a bundle may hold


def test_a_function_of_no_bundle_is_part_of_each_that_calls_it(key: str) -> None:
    """Even if it is a function of another bundle."""
    alone, other = {"whole": FUNCTIONS["whole"]}, cache.key_of(key)
    assert build(other)(VALUES, 5) == 10.0
    source = SOURCE.replace("def part", "def unused").replace("1.0 *", "2.0 *")
    source += f"\nfrom neuromorph_kernel_{other[:16]} import part\n"
    assert ready(key, source, alone)(VALUES, 5) == 10.0
    assert ready(cache.key_of(other), SOURCE.replace("1.0 *", "2.0 *"), alone)(VALUES, 5) == 20.0
    for made in (other, cache.key_of(other)):
        forget(made)


IN_A_CIRCLE = """
import gc, sys
from neuromorph.jit import bundles, compiling
gc.disable()
held = []
def refuse(module):
    held.append(module)
    raise KeyboardInterrupt
compiling.object_of = refuse
for number in range(3):
    try:
        bundles.ready(sys.argv[1], str(number) * 64, {"part": ("array", "count")}, "float64")
    except KeyboardInterrupt as error:
        circle = [error, held.pop()]  # the error has the frames of compiling, and these have LLVM's objects
        circle.append(circle)
    del circle
    gc.collect()
print("alive")
"""


def test_an_interrupt_that_the_garbage_collector_frees(folder: Path) -> None:
    """It may hold an LLVM module and the context of the module in a circle, and frees them in any order."""
    code = f"import sys; sys.argv[1:] = [{SOURCE!r}]\n{IN_A_CIRCLE}"
    assert finished(python(code, folder))[0] == "alive"


def test_symbols_of_another_bundle(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not there, and LLVM would end the process."""
    monkeypatch.setattr(compiling, "symbols_of", lambda module: {"nm.native.part": False})
    with pytest.raises(RuntimeError, match=rf"neuromorph_kernel_{key[:16]} needs 'nm.native.part', which is not its"):
        ready(key)
    assert cache.list_entries() == ()


def test_a_function_that_calls_itself(key: str) -> None:
    source = SOURCE.replace("1.0 * x[i]", "x[i] + part(x, i - 1) if i > 0 else 0.0 * x[i]")
    functions = [with_warnings(lambda: build(key, source)) for _ in range(2)]
    assert [function(VALUES, 5) for function, _ in functions] == [20.0] * 2


def test_a_bundle_larger_than_the_cache(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROMORPH_CACHE_SIZE", "1000")
    assert build(key)(VALUES, 5) == 10.0
    assert cache.list_entries() == ()


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError()])
@pytest.mark.parametrize(
    "place",
    [
        "jit.bundles._files",
        "jit.cache.write",
        "jit.cache.read",
        "jit.bundles._from_cache",
    ],
)
def test_whatever_fails_costs_only_the_entry(
    key: str, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    build(key)
    if place not in ("jit.cache.read", "jit.bundles._from_cache"):
        cache.clear_cache()
    with monkeypatch.context() as patch:
        patch.setattr(f"neuromorph.{place}", fail)
        function, messages = with_warnings(lambda: build(key))
        assert function(VALUES, 5) == 10.0
    assert len(messages) == 1
    assert repr(error) in messages[0]
    assert build(key)(VALUES, 5) == 10.0


def test_a_warning_made_an_error_passes_and_the_function_is_ready(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", failing(errno.ENOSPC))
    with pytest.raises(CacheWarning, match="No space left on device"):
        build(key)
    assert ready(key)(VALUES, 5) == 10.0


# Folders that can't be used


def put_foreign(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.mkdir(0o700)
    os.chown(path, NOBODY, NOBODY)


FOLDERS: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], Any], str]] = {
    "read-only": (lambda path, patch: patch.setattr(os, "mkdir", failing(errno.EROFS)), "Read-only file system"),
    "full": (lambda path, patch: patch.setattr(os, "write", failing(errno.ENOSPC)), "No space left on device"),
    "a link": (lambda path, patch: put_link(path), "it is a symbolic link"),
    "a file": (lambda path, patch: path.write_text("precious"), "it is not a folder"),
    "writable by all": (lambda path, patch: put_open_folder(path), "it can be written by others"),
    "foreign": (put_foreign, "it belongs to another user"),
}


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[as_root] if k == "foreign" else []) for k in FOLDERS])
def test_a_folder_that_cannot_be_used(folder: Path, key: str, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    put, reason = FOLDERS[kind]
    with monkeypatch.context() as patch:
        put(folder, patch)
        functions, messages = with_warnings(lambda: [build(key), build(key)])
    assert [function(VALUES, 5) for function in functions] == [10.0, 10.0]
    assert len(messages) == 1
    assert reason in messages[0]


def test_a_full_disk(folder: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = folder.parent / "disk"
    disk.mkdir()
    command = [shutil.which("mount") or "false", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user or container can't mount a small disk")
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(disk / "cache"))
    try:
        function, messages = with_warnings(lambda: build(key))
        left = cache.list_entries()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert function(VALUES, 5) == 10.0
    assert len(messages) == 1
    assert "No space left on device" in messages[0]
    assert left == ()


# Interrupts, threads, forks


@pytest.mark.parametrize("name", ["_compile", "_objects", "linked", "_store"])
def test_an_interrupt_while_compiling_spoils_nothing(key: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    forget(key)
    with monkeypatch.context() as patch:
        patch.setattr(bundles, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            ready(key)
    assert ready(key)(VALUES, 5) == 10.0


def test_an_interrupt_while_loading_spoils_nothing(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build(key)
    forget(key)
    with monkeypatch.context() as patch:
        patch.setattr(bundles, "linked", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ready(key)
    assert found(key, monkeypatch)(VALUES, 5) == 10.0


def interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


def at_once(actions: Sequence[Callable[[], Any]]) -> list[Any]:
    """What some actions give, each in a thread of its own, started together."""
    barrier, results = threading.Barrier(len(actions)), [None] * len(actions)

    def run(number: int) -> None:
        barrier.wait()
        results[number] = actions[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_threads_build_one_bundle_and_several(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [cache.key_of(key, str(number)) for number in range(3)] * 3

    def make(number: int) -> Callable[[], Any]:
        source = SOURCE.replace("1.0 *", f"{number % 3 + 1}.0 *")

        def action() -> Any:
            return ready(keys[number], source)(VALUES, 5)

        return action

    for _ in range(2):
        assert at_once([make(number) for number in range(9)]) == [10.0, 20.0, 30.0] * 3
        for made in keys:
            forget(made)
        monkeypatch.setenv(MISS, "1")
    assert len(cache.list_entries()) == 3


FORKING = f"""
import os, signal, sys, threading, time, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
import numpy as np
from neuromorph.jit import bundles as jit, cache

def build(factor):
    source = {SOURCE!r}.replace("1.0 *", factor + " *")
    key = cache.key_of(source)
    return jit.ready(source, key, {FUNCTIONS!r}, "float64").whole

def child(*factors):
    process = os.fork()
    if process == 0:
        signal.alarm(60)
        good = [build(factor)(np.arange(5.0), 5) == 10 * float(factor) for factor in factors]
        os._exit(0 if all(good) else 1)
    return os.waitpid(process, 0)[1]

build("1.0")
print(child("1.0", "2.0"))
inside = threading.Event()
real = getattr(jit, sys.argv[1])

def slow(*args):
    inside.set()
    time.sleep(0.2)
    return real(*args)

setattr(jit, sys.argv[1], slow)
thread = threading.Thread(target=build, args=("3.0",))
thread.start()
inside.wait()
print(child("1.0", "3.0", "4.0"))
thread.join()
print(build("4.0")(np.arange(5.0), 5))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
@pytest.mark.parametrize("step", ["_compile", "_files", "_store"])
def test_forked_processes(folder: Path, step: str) -> None:
    """After a build, and while another thread builds and has come to this step."""
    output, errors = finished(python(f"import sys; sys.argv[1:] = [{step!r}]\n{FORKING}", folder))
    assert output.split() == ["0", "0", "40.0"]
    assert errors == ""


# Whole models, in several processes

MODEL = """
import json, os, signal, sys
import numpy as np
import neuromorph as nm

if "die" in sys.argv:
    os.rename = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)
model = nm.compile(TEXT, 3, 0.1)
nm.seed(7)
nm.build(model)
inputs = np.linspace(-1.0, 1.0, 60 * model.input_width, dtype=np.float32).reshape(20, 3, -1)
expected = np.linspace(0.0, 1.0, 60 * model.output_width, dtype=np.float32).reshape(20, 3, -1)
losses = [nm.train(model, inputs, expected, 0) for _ in range(2)]
output = nm.predict(model, inputs).sum() if "predict" in sys.argv else 0.0
print(json.dumps([*losses, float(output)]))
"""
SMALL = (REPOSITORY / "examples" / "models" / "small-model.mdl").read_text()
TINY = "/xavier,zero/ (input, 2) (output, 1, <linear>, <mse>)"


def model(folder: Path, text: str, *words: str, **environ: str) -> "subprocess.Popen[str]":
    """A process that builds and trains a model."""
    return python(f"import sys; sys.argv[1:] = {words!r}\nTEXT = {text!r}\n{MODEL}", folder, **environ)


def result(process: "subprocess.Popen[str]") -> list[float]:
    output, errors = finished(process)
    assert "CacheWarning" not in errors
    numbers: list[float] = json.loads(output)
    assert all(map(np.isfinite, numbers))
    return numbers


def test_another_process_compiles_nothing(folder: Path) -> None:
    first = result(model(folder, SMALL, "predict"))
    stored = cache.list_entries()
    again = result(model(folder, SMALL, "predict", **{MISS: "1"}))
    assert again == first
    assert first[0] != first[1]
    assert [entry.key for entry in cache.list_entries()] == [entry.key for entry in stored]
    assert len(stored) == 2
    assert all({"kernel.bin", "kernel.py", "functions.json"} < set(entry.files) for entry in stored)
    assert any({"forward.ll", "train.ll"} < set(entry.files) for entry in stored)


def test_eight_processes_build_one_model_after_one_was_killed_in_the_middle_of_a_write(folder: Path) -> None:
    process = model(folder, TINY, "die")
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert len(temporaries(folder)) == 1
    assert cache.list_entries() == ()
    results = [result(process) for process in [model(folder, TINY) for _ in range(8)]]
    assert results == [results[0]] * 8
    assert len(cache.list_entries()) == 1
    assert len(temporaries(folder)) == 1  # swept when it is old
    assert result(model(folder, TINY, **{MISS: "1"})) == results[0]
