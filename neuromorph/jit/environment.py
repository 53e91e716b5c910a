"""Lists everything outside a kernel's source that its compiled form depends on."""

import importlib.resources
import platform
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources.abc import Traversable

from ..host.cpu import cpu
from ..host.exclusive import imported
from ..version import __version__

# Files and folders of this package that go into compiled code beside its source, or that define how compiled code is
# stored, loaded and called.
COMPILED_FROM = ("abi", "jit/bundles.py", "jit/modules.py", "simd")
# Those that turn a model into a kernel's source. They stand for the source in the key of a model's kernels.
GENERATED_BY = ("codegen", "functions", "graph", "host/cpu.py", "optimizers.py", "schedule")

# Numba's settings that change the compiled code but are not in the source.
_NUMBA_SETTINGS = (
    "OPT",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "ENABLE_AVX",
    "CPU_NAME",
    "CPU_FEATURES",
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "DEBUG_NRT",
    "NRT_STATS",
    "EXTEND_VARIABLE_LIFETIMES",
    "USING_SVML",
    "LLVM_REFPRUNE_PASS",
    "LLVM_REFPRUNE_FLAGS",
)


@cache
def environment() -> tuple[str, ...]:
    """Lines of text, computed once, that list all that compiled code depends on beside its own source.

    They are the versions of this library, Numba, llvmlite, NumPy and Python, the platform, the CPU, Numba's settings,
    and digests of the files in ``COMPILED_FROM``. Two processes with equal lines may share compiled code.
    """
    import numpy

    package = importlib.resources.files("neuromorph")
    return (
        f"neuromorph {__version__}",
        f"numba {imported('numba').__version__}",
        f"llvmlite {imported('llvmlite').__version__}",
        f"numpy {numpy.__version__}",
        f"python {sys.implementation.name} {platform.python_version()} {sys.implementation.cache_tag}",
        f"platform {sysconfig.get_platform()} {sys.byteorder}",
        f"cpu {cpu().name}",
        f"features {','.join(cpu().features)}",
        f"settings {_numba_settings()}",
        *(f"{name} {digest_of(package / name)}" for name in COMPILED_FROM),
    )


@cache
def generator() -> tuple[str, ...]:
    """Lines of text, computed once, with digests of the files in ``GENERATED_BY``."""
    package = importlib.resources.files("neuromorph")
    return tuple(f"{name} {digest_of(package / name)}" for name in GENERATED_BY)


def is_jit_off() -> bool:
    """Whether Numba leaves functions as they are (NUMBA_DISABLE_JIT)."""
    return bool(imported("numba.core.config").DISABLE_JIT)


def digest_of(place: Traversable) -> str:
    """SHA-256, in hexadecimal, over a file's bytes, or over the names and bytes of a folder's files except byte code.

    If only byte code is installed, the digest is over no files.
    """
    digest = sha256()
    for name, data in [("", place.read_bytes())] if place.is_file() else _files_below(place, ""):
        for part in (name.encode(), data):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def _files_below(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        return
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        name = f"{prefix}/{item.name}"
        if item.is_dir():
            if item.name != "__pycache__":
                yield from _files_below(item, name)
        elif not item.name.endswith(".pyc"):
            yield name, item.read_bytes()


def _numba_settings() -> str:
    from numba.core import config

    return " ".join(f"{name}={getattr(config, name, None)}" for name in _NUMBA_SETTINGS)
