"""The cache of kernels for a session of tests, and the fixture with which kernels run as plain Python.

All tests of a session share one cache and never touch the user's own. It is a temporary folder that goes with the
session, or the folder that $NEUROMORPH_TEST_CACHE names, which stays: the next run finds its kernels there.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest

_COMPILED = "neuromorph_kernel_"  # what the names of compiled modules begin with
_temporary = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    folder = os.environ.get("NEUROMORPH_TEST_CACHE")
    if not folder:
        folder = config.stash[_temporary] = tempfile.mkdtemp(prefix="neuromorph-tests-")
        os.environ["NEUROMORPH_TEST_CACHE"] = folder  # what workers of pytest-xdist share
    os.environ["NEUROMORPH_VERIFY"] = "1"  # every plan is checked
    os.environ.setdefault("NEUROMORPH_TIER", "compiled")  # nothing is compiled behind a test's back
    os.environ["NEUROMORPH_CACHE_DIR"] = str(Path(folder).absolute())


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_temporary, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("NEUROMORPH_TEST_CACHE", None)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels run as plain Python; compiled ones are back afterwards, and plain ones forgotten."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    compiled = {name: module for name, module in sys.modules.items() if name.startswith(_COMPILED)}
    for name in compiled:
        del sys.modules[name]
    yield
    for name in [name for name in sys.modules if name.startswith(_COMPILED)]:
        del sys.modules[name]
    sys.modules.update(compiled)
