"""Kernels as plain Python, so that a test of what is done with a model compiles nothing."""

import sys
from collections.abc import Iterator

import numba
import pytest

PREFIX = "neuromorph_kernel_"


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels run as plain Python; compiled ones are back afterwards, and plain ones forgotten."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    compiled = {name: module for name, module in sys.modules.items() if name.startswith(PREFIX)}
    for name in compiled:
        del sys.modules[name]
    yield
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        del sys.modules[name]
    sys.modules.update(compiled)
