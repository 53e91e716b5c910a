"""Lists everything outside a kernel's source that its compiled form depends on, without importing Numba."""

import platform
import re
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from ..host.cpu import cpu
from ..host.exclusive import exclusive, imported
from ..version import __version__

_PACKAGE = Path(__file__).parents[1]
# Files and folders of this package that go into compiled code beside its source, or that define how compiled code is
# stored, loaded and called.
COMPILED_FROM = (
    "abi", "jit/bundles.py", "jit/calling.py", "jit/compiling.py", "jit/linking.py", "jit/modules.py", "simd",
)  # fmt: skip
# Those that turn a model into a kernel's source. They stand for the source in the key of a model's kernels.
GENERATED_BY = ("codegen", "functions", "graph", "host/cpu.py", "optimizers.py", "schedule")
# Those that the file of the machine is written by, in the same way.
MACHINE_BY = ("functions", "machine", "optimizers.py")

# Numba's settings that change the compiled code but are not in the source. LLVM never vectorises the loops of a kernel,
# so it does not matter whether there is a library of vector functions (USING_SVML).
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

    return (
        f"neuromorph {__version__}",
        f"numba {_numba_version()}",
        f"llvmlite {imported('llvmlite').__version__}",
        f"numpy {numpy.__version__}",
        f"python {sys.implementation.name} {platform.python_version()} {sys.implementation.cache_tag} {_abi_flags()}",
        f"platform {sysconfig.get_platform()} {sys.byteorder}",
        f"cpu {cpu().name}",
        f"features {','.join(cpu().features)}",
        f"settings {_numba_settings()}",
        *(f"{name} {digest_of(_PACKAGE / name)}" for name in COMPILED_FROM),
    )


def _abi_flags() -> str:
    """The letters of how Python was built, such as "t" without its global lock: objects then have another head."""
    return getattr(sys, "abiflags", "")


@cache
def generator() -> tuple[str, ...]:
    """Lines of text, computed once, with digests of the files in ``GENERATED_BY``."""
    return tuple(f"{name} {digest_of(_PACKAGE / name)}" for name in GENERATED_BY)


@cache
def machine() -> tuple[str, ...]:
    """Lines of text, computed once, with digests of the files in ``MACHINE_BY``."""
    return tuple(f"{name} {digest_of(_PACKAGE / name)}" for name in MACHINE_BY)


def digest_of(place: Path) -> str:
    """SHA-256, in hexadecimal, over a file's bytes, or over the names and bytes of a folder's files except byte code.

    If only byte code is installed, the digest is over no files.
    """
    digest = sha256()
    for name, data in [("", place.read_bytes())] if place.is_file() else _files_below(place, ""):
        for part in (name.encode(), data):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def _files_below(folder: Path, prefix: str) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        return
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        name = f"{prefix}/{item.name}"
        if item.is_dir():
            if item.name != "__pycache__":
                yield from _files_below(item, name)
        elif not item.name.endswith(".pyc"):
            yield name, item.read_bytes()


# Numba ----------------------------------------------------------------------------------------------------------------


def is_jit_off() -> bool:
    """Whether Numba leaves functions as they are (NUMBA_DISABLE_JIT)."""
    return bool(_numba_config().DISABLE_JIT)


def processor() -> tuple[str, str]:
    """The name and the features of the processor that is compiled for: this one, or that of Numba's settings."""
    config, llvm = _numba_config(), imported("llvmlite.binding")
    name, features = getattr(config, "CPU_NAME", None), getattr(config, "CPU_FEATURES", None)
    if features is None:
        features = _host_features(llvm, avx=bool(getattr(config, "ENABLE_AVX", True)))
    return name or str(llvm.get_host_cpu_name()), features


def _host_features(llvm: Any, *, avx: bool) -> str:
    try:
        found = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM can't tell them
        return ""
    for name in found:
        if name.startswith("avx") and not avx:
            found[name] = False
    return str(found.flatten())


def _numba_settings() -> str:
    config = _numba_config()
    return " ".join(f"{name}={getattr(config, name, None)}" for name in _NUMBA_SETTINGS)


def _numba_config() -> Any:
    """Numba's settings: those of the package if it is imported, else those that it would have."""
    return sys.modules.get("numba.core.config") or _settings_alone()


@cache
def _settings_alone() -> Any:
    """The settings, without the package: its module of settings needs none of its other modules."""
    file = _numba_folder() / "core" / "config.py"
    with exclusive():
        spec = spec_from_file_location("neuromorph_numba_config", file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def _numba_version() -> str:
    """The version of Numba, which is also written in a file of its package."""
    if "numba" in sys.modules:
        return str(sys.modules["numba"].__version__)
    text = (_numba_folder() / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'"version": "([^"]+)"', text)
    return found.group(1) if found else str(imported("numba").__version__)


def _numba_folder() -> Path:
    spec = find_spec("numba")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'numba'", name="numba")
    return Path(spec.origin).parent
