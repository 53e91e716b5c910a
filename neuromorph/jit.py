"""Numba's side of a kernel: a bundle of functions compiled once each, stored and found again as one.

Numba links a compiled function into every caller and optimises it again there. Here each function of a bundle is
compiled on its own and called by its symbol, so that every line is optimised once; in return the functions of a
bundle belong together and go to the disk cache as one entry.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from . import cache

_lock = threading.RLock()


def signature(dtype: str, kinds: tuple[str, ...]) -> tuple[Any, ...]:
    """Numba's types of a function's arguments, given by kind."""
    from numba import types

    element = getattr(types, dtype)
    known = {
        "count": types.int64,
        "number": types.float64,
        "flag": types.boolean,
        "sync": types.Array(types.int64, 1, "C"),
        "array": types.Array(element, 1, "C"),
        "data": types.Array(element, 1, "C", readonly=True),
        "doubles": types.Array(types.float64, 1, "C"),
    }
    return tuple(known[kind] for kind in kinds)


def ready(module: ModuleType, key: str, functions: Mapping[str, tuple[str, ...]], dtype: str) -> Any:
    """The last of some functions of a module, callable: compiled, or found in the cache under ``key``.

    functions: argument kinds by name, each function after those it calls. With JIT off it is the plain Python function.
    With NEUROMORPH_CACHE_MISS_IS_ERROR=1 a bundle that is not in the cache raises RuntimeError.
    """
    entry = getattr(module, list(functions)[-1])
    if not hasattr(entry, "compile"):
        return entry
    with _lock:
        if not entry.signatures:
            own = cache.key_of(key, *functions)
            if not _load(module, own, functions):
                if os.environ.get("NEUROMORPH_CACHE_MISS_IS_ERROR") == "1":
                    raise RuntimeError(
                        f"{entry.__name__} of {module.__name__} is not in the cache in {str(cache.root())!r}"
                    )
                _compile(module, own, functions, dtype)
    return entry


def _compile(module: ModuleType, key: str, functions: Mapping[str, tuple[str, ...]], dtype: str) -> None:
    """Compile every function of a bundle and store them."""
    results = []
    for name, kinds in functions.items():
        dispatcher, types = getattr(module, name), signature(dtype, kinds)
        dispatcher.compile(types)
        result = dispatcher.overloads[types]
        _call_by_symbol(dispatcher, result)
        results.append(result)
    files = {
        "kernel.py": module.__loader__.get_source(module.__name__).encode(),  # type: ignore[union-attr]
        "kernel.ll": "\n".join(result.library.get_llvm_str() for result in results).encode(),
        "kernel.s": "\n".join(result.library.get_asm_str() for result in results).encode(),
    }
    files["kernel.bin"] = _dump(results)
    cache.write(key, files)


def _call_by_symbol(dispatcher: Any, result: Any) -> None:
    """Let callers compiled from now on call the function where it is, instead of linking a copy of it."""
    dispatcher.disable_compile()
    context = dispatcher.targetctx
    context.remove_user_function(result.entry_point)
    context.insert_user_function(result.entry_point, result.fndesc)


def _dump(results: list[Any]) -> bytes:
    from numba.core import serialize

    data: bytes = serialize.dumps([result._reduce() for result in results])
    return data


def _load(module: ModuleType, key: str, functions: Mapping[str, tuple[str, ...]]) -> bool:
    """Take a bundle from the cache; whether it was there and sound."""
    from numba.core.compiler import CompileResult
    from numba.core.compiler_lock import global_compiler_lock

    data = cache.read(key, "kernel.bin")
    if data is None:
        return False
    with global_compiler_lock:
        context = getattr(module, next(iter(functions))).targetctx
        context.refresh()
        try:
            parts = pickle.loads(data)
            if len(parts) != len(functions):
                raise ValueError("a bundle of another size")
            results = [CompileResult._rebuild(context, *part) for part in parts]
        except Exception as error:
            cache.discard(key)
            cache._tell(cache.root(), f"the kernel {module.__name__} can't be loaded and is compiled anew: {error!r}")
            return False
        for name, result in zip(functions, results, strict=True):
            dispatcher = getattr(module, name)
            context.insert_user_function(result.entry_point, result.fndesc)
            dispatcher.add_overload(result)
            dispatcher.disable_compile()
    return True
