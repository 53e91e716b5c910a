"""The features, vector width and vector registers of this machine's processor."""

from __future__ import annotations

import os
from functools import cache

from ..host.frozen import frozen
from .exclusive import exclusive, imported

CACHE_LINE = 64  # bytes; caches load memory, and share it between processors, in lines of this size


@frozen
class CPU:
    """The CPU as LLVM knows it: its name, such as ``znver3``, and its features, sorted."""

    name: str
    features: tuple[str, ...]


@cache
def cpu() -> CPU:
    """The CPU of this machine. The features are empty if LLVM can't tell them."""
    llvm = imported("llvmlite.binding")
    with exclusive():  # llvmlite has a lock
        try:
            found = llvm.get_host_cpu_features()
        except RuntimeError:
            found = {}
        return CPU(llvm.get_host_cpu_name(), tuple(sorted(name for name, present in found.items() if present)))


def simd_bits() -> int:
    """The width of this machine's vector registers in bits: 128, 256 or 512.

    The environment variable NEUROMORPH_SIMD_BITS chooses another one of these widths. ValueError for any other text.
    """
    features = set(cpu().features)
    widest = 512 if {"avx512f", "avx512vl", "avx512dq"} <= features else 256 if "avx2" in features else 128
    chosen = os.environ.get("NEUROMORPH_SIMD_BITS")
    if chosen is None:
        return widest
    if chosen not in ("128", "256", "512"):
        raise ValueError(f"NEUROMORPH_SIMD_BITS must be 128, 256 or 512, not {chosen!r}")
    return int(chosen)


def vector_registers() -> int:
    """The number of vector registers of this machine: 32 with AVX-512 or on 64-bit Arm, else 16."""
    features = set(cpu().features)
    return 32 if {"avx512f", "avx512vl"} <= features or is_arm() else 16


def is_arm() -> bool:
    """Whether this machine is a 64-bit Arm, which always has NEON: LLVM can't tell the features of each."""
    import platform

    return platform.machine().lower() in ("aarch64", "arm64")


def lanes_for(widths: list[int], bits: int, size: int) -> int:
    """The number of elements in the vectors of a model: the largest that wastes little memory as padding.

    widths: of the model's layers. bits: of a vector register. size: bytes of an element.
    """
    fewest = 16 // size
    lanes = bits // 8 // size

    def padded_sum(count: int) -> int:
        return sum(-(-width // count) * count for width in widths)

    while lanes > fewest and padded_sum(lanes) > 1.25 * padded_sum(fewest):
        lanes //= 2
    return lanes
