"""What is known of the processor where LLVM knows little of it."""

from __future__ import annotations

import platform

import pytest

from neuromorph.host import cpu


@pytest.mark.parametrize(
    ("machine", "features", "registers", "bits"),
    [
        ("aarch64", (), 32, 128),  # as in an emulator, or on a chip that is newer than LLVM
        ("arm64", ("neon",), 32, 128),
        ("x86_64", ("avx2",), 16, 256),
        ("AMD64", ("avx2", "avx512dq", "avx512f", "avx512vl"), 32, 512),
        ("riscv64", (), 16, 128),
    ],
)
def test_registers_and_vectors_of_machines(
    monkeypatch: pytest.MonkeyPatch, machine: str, features: tuple[str, ...], registers: int, bits: int
) -> None:
    monkeypatch.delenv("NEUROMORPH_SIMD_BITS", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(cpu, "cpu", lambda: cpu.CPU("generic", features))
    assert (cpu.vector_registers(), cpu.simd_bits()) == (registers, bits)
