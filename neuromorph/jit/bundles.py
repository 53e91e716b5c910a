"""Compiles a bundle of functions, each function once, and stores or loads the bundle as one entry.

Each function of a bundle is compiled on its own and called by its symbol, so that every line is optimised once. In
return the functions of a bundle belong together and go to the disk cache as one entry.

What ``compiling`` makes are object files. ``linking`` makes callable functions of them, whether they were compiled just
now or come from the cache. So a process that finds its bundles in the cache imports nothing that compiles.

LLVM ends the whole process when a symbol of a linked object can't be resolved. So a bundle is stored only if each of
its symbols is its own or one that every process has. The latter are looked up before a bundle is linked.
"""

from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

from ..errors import CacheWarning
from ..host.exclusive import exclusive, imported
from ..host.forks import after_in_child
from ..host.interrupts import held, raise_if_pressed_twice
from . import cache
from .environment import is_jit_off
from .linking import Linked, linked, missing
from .modules import load_module

_OBJECT = "kernel.bin"
_INDEX = "functions.json"
_NEVER = 1_000_000  # collections of younger objects before a full one: so many that a full one never comes
_lock = threading.RLock()  # held for one bundle; forks don't wait for it, as other libraries' locks are taken inside
_linked: WeakValueDictionary[str, Linked] = WeakValueDictionary()  # the bundles that are in use, by their keys
_unstored: Unstored | None = None  # what the cache did not take, if that is wanted
_thresholds: tuple[int, int, int] | None = None  # the garbage collector's own ones, while full collections are off


@dataclass
class Unstored:
    """Bundles that the cache did not take, by their keys. files: of each, what ``adopt`` needs. too_large: the keys of
    those that its limit has no room for."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    too_large: set[str] = field(default_factory=set)


def bundle_key(key: str, functions: Mapping[str, tuple[str, ...]], dtype: str) -> str:
    """The cache's key of a compiled bundle: some functions of the module whose key is ``key``.

    The entry holds ``kernel.bin`` (object files, one after the other), ``kernel.py`` (the source), ``functions.json``
    (``objects``, the sizes of the object files; ``needed``, the symbols that they need from outside; ``entries``, the
    functions that Python can call; ``functions``, a list of objects with the ``name``, ``symbol`` and ``arguments`` of
    each, and in ``ir`` the name of a file) and for each function its LLVM IR, such as ``forward.ll``. Assembly is made
    from the IR when it is first asked for.
    """
    return cache.key_of(key, dtype, *(" ".join((name, *kinds)) for name, kinds in functions.items()))


def ready(
    source: str,
    key: str,
    functions: Mapping[str, tuple[str, ...]],
    dtype: str,
    before_compiling: Callable[[], None] | None = None,
    *,
    entries: Sequence[str] = (),
) -> Any:
    """Some functions of a source, ready to call: linked from the cache's entry of ``key``, or compiled.

    functions: argument kinds by name, each function after those it calls. before_compiling: called before compiling,
    not before loading. entries: the functions that are called, which are attributes of the result; by default the last
    one. With JIT off, the result is the source's module, whose functions are plain Python. With
    NEUROMORPH_CACHE_MISS_IS_ERROR=1, a bundle that is not in the cache raises RuntimeError. Trouble with the cache
    gives one CacheWarning, and the functions are compiled in memory.
    """
    names = tuple(entries) or tuple(functions)[-1:]
    own = bundle_key(key, functions, dtype)
    return ready_as(own, key, names, dtype, lambda: (source, functions), before_compiling)


def ready_as(
    own: str,
    key: str,
    entries: Sequence[str],
    dtype: str,
    written: Callable[[], tuple[str, Mapping[str, tuple[str, ...]]]],
    before_compiling: Callable[[], None] | None = None,
) -> Any:
    """Like ``ready``, for a bundle whose own key in the cache is known before its source is.

    written: gives the source and the functions. It is called only if the bundle has to be compiled, or with JIT off.
    """
    if is_jit_off():
        return load_module(written()[0], cache.key_of(key, "plain"))  # not the module that was compiled before
    with _lock, held():
        found = loaded(own, entries)
        if found is None:
            found = _linked[own] = _built(*written(), key, own, dtype, entries, before_compiling)
    return found


def loaded(own: str, entries: Sequence[str]) -> Linked | None:
    """The entry functions of a bundle that this process or the cache has, by its own key there; else None."""
    with _lock, held():
        found = _linked.get(own) or _load(own, entries)
        if found is not None:
            _linked[own] = found
    return found


@contextmanager
def unstored() -> Iterator[Unstored]:
    """A block that collects the bundles that the cache does not take."""
    global _unstored
    before, _unstored = _unstored, Unstored()
    try:
        yield _unstored
    finally:
        _unstored = before


def adopt(own: str, files: Mapping[str, bytes], entries: Sequence[str]) -> Any:
    """The entry functions of a bundle that another process has compiled. The caller keeps them.

    own: its key in the cache, which did not take it. files: those that ``unstored`` has collected there.
    """
    with _lock, held(), exclusive():
        _linked[own] = found = _from_cache(json.loads(files[_INDEX]), files[_OBJECT], entries)
    return found


def warm_up() -> None:
    """Import what compiles, and have LLVM ready, so that the next bundle is compiled sooner."""
    imported("neuromorph.simd")
    imported("neuromorph.jit.calling")
    with exclusive():
        imported("neuromorph.jit.compiling").target()


def is_there(own: str) -> bool:
    """Whether a bundle is in use in this process, or in the cache. own: its key there."""
    return own in _linked or cache.has(own)


def address_of(function: Any) -> int:
    """The address by which compiled code calls a function that ``ready`` gave and that is compiled."""
    return int(function.__self__.address(function.__name__))


def is_compiled(function: Any) -> bool:
    """Whether a function that ``ready`` gave is compiled; with JIT off it is plain Python."""
    return not hasattr(function, "__code__")


def _built(
    source: str, functions: Mapping[str, tuple[str, ...]], key: str, own: str, dtype: str, entries: Sequence[str],
    before_compiling: Callable[[], None] | None,
) -> Linked:  # fmt: skip
    """The entry functions of a bundle that is compiled now, and stored."""
    if os.environ.get("NEUROMORPH_CACHE_MISS_IS_ERROR") == "1":
        name = f"{entries[-1]} of neuromorph_kernel_{key[:16]}"
        raise RuntimeError(f"{name} is not in the cache in {str(cache.root())!r}")
    if before_compiling is not None:
        before_compiling()
    module = load_module(source, key)
    with _full_collections_wait():
        results = _compile(module, functions)
        with exclusive():
            if unknown := missing(_needed(results)):
                raise RuntimeError(f"{module.__name__} needs {unknown[0]!r}, which is not its own")
            objects = _objects(functions, results, entries)
            found = linked(objects, entries)
        _store(module, own, functions, results, objects, entries)
    return found


@contextmanager
def _full_collections_wait() -> Iterator[None]:
    """A block in which Python's garbage collector looks at young objects only.

    A large kernel makes a million objects, most of which are kept until it is done. Full collections find next to
    nothing among them, and would take a tenth of the time of building.
    """
    global _thresholds
    if _thresholds is not None:  # a signal handler compiles a bundle while another one is compiled
        yield
        return
    try:
        _thresholds = gc.get_threshold()
        gc.set_threshold(*_thresholds[:2], _NEVER)
        yield
    finally:
        _collect_as_before()


def _collect_as_before() -> None:
    global _thresholds
    if _thresholds is not None and gc.get_threshold()[2] == _NEVER:  # else the program has set others meanwhile
        gc.set_threshold(*_thresholds)
    _thresholds = None


def _in_child() -> None:
    """Renew the lock in a forked child: the thread that compiled a bundle does not exist there."""
    global _lock
    _lock = threading.RLock()
    _collect_as_before()


after_in_child(_in_child)


# Compiling ------------------------------------------------------------------------------------------------------------


def _compile(module: ModuleType, functions: Iterable[str], *, lines: bool = False) -> list[Any]:
    """Compile each function of a bundle: a list of ``compiling.Compiled``.

    Ctrl-C takes effect when the bundle is compiled and stored. A second Ctrl-C takes effect after the present function.
    """
    compiling, results = imported("neuromorph.jit.compiling"), []
    bundle = [getattr(module, name) for name in functions]
    with exclusive():
        for function in bundle:
            raise_if_pressed_twice()
            results.append(compiling.compiled(function, bundle, lines=lines))
    return results


def _objects(functions: Iterable[str], results: list[Any], entries: Sequence[str]) -> list[bytes]:
    """The object files of a compiled bundle: one for each function, and the one by which Python calls the entries."""
    by_name = dict(zip(functions, results, strict=True))
    called = imported("neuromorph.jit.calling").callers([by_name[name].native for name in entries], entries)
    return [*(result.data for result in results), called]


# Storing --------------------------------------------------------------------------------------------------------------


def _store(
    module: ModuleType, key: str, functions: Mapping[str, tuple[str, ...]], results: list[Any], objects: list[bytes],
    entries: Sequence[str],
) -> None:  # fmt: skip
    """Store a compiled bundle in the cache. Trouble gives a warning, and the bundle is not stored."""
    try:
        with exclusive():
            files = _files(module, functions, results, objects, entries)
        if not cache.write(key, files) and _unstored is not None:
            _unstored.files[key] = {name: files[name] for name in (_INDEX, _OBJECT)}
            if cache.is_too_large(files):
                _unstored.too_large.add(key)
    except CacheWarning:  # made an error by the user's filters
        raise
    except Exception as error:
        cache.warn_once(f"the kernel {module.__name__} can't be stored: {error!r}.")


def _needed(results: list[Any]) -> list[str]:
    """The symbols that a bundle needs from outside, sorted: those used before or without a definition in it."""
    defined: set[str] = set()
    needed: set[str] = set()
    for result in results:
        defined |= {name for name, is_defined in result.symbols.items() if is_defined}
        needed |= {name for name in result.symbols if name not in defined and not name.startswith("llvm.")}
    return sorted(needed)


def _files(
    module: ModuleType, functions: Mapping[str, tuple[str, ...]], results: list[Any], objects: list[bytes],
    entries: Sequence[str],
) -> dict[str, bytes]:  # fmt: skip
    """The files of a bundle's entry."""
    files = {"kernel.py": module.__loader__.get_source(module.__name__).encode()}  # type: ignore[union-attr]
    listed = []
    for (name, kinds), result in zip(functions.items(), results, strict=True):
        listed.append({"name": name, "symbol": result.native.symbol, "arguments": kinds, "ir": f"{name}.ll"})
        files[f"{name}.ll"] = result.ir.encode()
    index = {
        "objects": list(map(len, objects)), "needed": _needed(results), "entries": entries, "functions": listed,
    }  # fmt: skip
    files[_INDEX] = json.dumps(index, indent=1).encode()
    files[_OBJECT] = b"".join(objects)
    return files


# Showing --------------------------------------------------------------------------------------------------------------

Texts = dict[str, tuple[str, str]]


def stored_texts(key: str, functions: Mapping[str, tuple[str, ...]], dtype: str) -> Texts | None:
    """LLVM IR and assembly of each function of a bundle; None where the cache has no IR of it.

    The IR was stored with the machine code. The assembly is made from it when it is first asked for, and then stored
    too: it takes LLVM as long as the machine code, and few builds are inspected. A few moves and address computations
    may stand in other places than in the machine code.
    """
    return texts_as(bundle_key(key, functions, dtype), functions)


def texts_as(own: str, functions: Mapping[str, tuple[str, ...]]) -> Texts | None:
    """Like ``stored_texts``. own: the bundle's key in the cache."""
    ir = _texts_of(own, functions, "ll")
    if ir is None:
        return None
    aside = cache.key_of(own, "assembly", *ir.values())
    assembly = _texts_of(own, functions, "s") or _texts_of(aside, functions, "s")
    if assembly is None:
        with exclusive():
            assembly_of = imported("neuromorph.jit.compiling").assembly_of
            assembly = {name: assembly_of(text) for name, text in ir.items()}
        with suppress(CacheWarning):  # made an error by the user's filters
            cache.write(aside, {f"{name}.s": text.encode() for name, text in assembly.items()})
    return {name: (ir[name], assembly[name]) for name in functions}


def _texts_of(entry: str, names: Iterable[str], ending: str) -> dict[str, str] | None:
    """The texts of an entry's files by the names of functions; None where one is missing."""
    found = {}
    for name in names:
        data = cache.read(entry, f"{name}.{ending}")
        if data is None:
            return None
        found[name] = data.decode()
    return found


def texts_with_lines(module: ModuleType, functions: Mapping[str, tuple[str, ...]]) -> Texts:
    """LLVM IR and assembly with ``.loc`` directives, which name the source line that an instruction comes from.

    Line numbers hardly ever change an instruction; a caller that relies on it must compare.
    """
    assembly_of = imported("neuromorph.jit.compiling").assembly_of
    with _lock, exclusive():
        ir = [result.ir for result in _compile(module, functions, lines=True)]
        return {name: (text, assembly_of(text)) for name, text in zip(functions, ir, strict=True)}


# Loading --------------------------------------------------------------------------------------------------------------


def _load(key: str, entries: Sequence[str]) -> Linked | None:
    """The entry functions of a bundle in the cache; None if it is not there or not sound."""
    try:
        index, data = cache.read(key, _INDEX), cache.read(key, _OBJECT)
        if index is None or data is None:
            return None
        with exclusive():
            return _from_cache(json.loads(index), data, entries)
    except CacheWarning:  # made an error by the user's filters
        raise
    except Exception as error:
        if not isinstance(error, MemoryError):  # too little memory says nothing about the entry
            cache.discard(key)
        cache.warn_once(f"the kernel {key[:16]} can't be loaded and is compiled anew: {error!r}.")
        return None


def _from_cache(index: Any, data: bytes, entries: Sequence[str]) -> Linked:
    """The entry functions of a stored bundle. Any error is passed on."""
    if not {*entries} <= {*index["entries"]}:
        raise ValueError("a bundle of other functions")
    if unknown := missing(index["needed"]):
        raise ValueError(f"{unknown[0]!r} is not defined in this process")
    objects, begin = [], 0
    for size in index["objects"]:
        objects.append(data[begin : begin + size])
        begin += size
    if begin != len(data):
        raise ValueError(f"{len(data)} bytes of objects, not {begin}")
    return linked(objects, entries)
