"""Runs the self-test of exported C on an emulated Cortex-M4 without an operating system."""

from __future__ import annotations

import subprocess
from pathlib import Path

from helpers.c_programs import C99, run
from helpers.paths import REPOSITORY

CORTEX_M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
START, LINK = (REPOSITORY / "tests" / "export" / f"cortex_m.{ending}" for ending in ("c", "ld"))
MACHINE = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-kernel")


def exit_code_of_self_test(name: str, folder: Path) -> int:
    """What the self-test of the model ``name`` in a folder returns. Needs arm-none-eabi-gcc and qemu-system-arm."""
    run(["arm-none-eabi-gcc", *CORTEX_M4, "-c", START, "-o", "start.o"], folder)
    linked = ["-nostartfiles", "-T", LINK, "-DNET_SELFTEST", "start.o", "-lm", "-o", "image"]
    run(["arm-none-eabi-gcc", *C99, "-O2", *CORTEX_M4, f"{name}.c", *linked], folder)
    machine = [*MACHINE, folder / "image"]
    return subprocess.run(machine, stdin=subprocess.DEVNULL, capture_output=True, timeout=60).returncode
