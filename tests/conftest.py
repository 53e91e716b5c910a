"""The cache of kernels for a session of tests, and the fixture with which kernels run as plain Python.

All tests of a session share one cache and never touch the user's own. It is a temporary folder that goes with the
session, or the folder that $NEUROMORPH_TEST_CACHE names, which stays: the next run finds its kernels there.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_given = {name: os.environ[name] for name in _THREADS if name in os.environ}
_temporary = pytest.StashKey[str]()
_tier = pytest.StashKey[str | None]()

# The folders whose tests are about kernels of models' own. All other tests use the machine, which is compiled once.
COMPILED = {"abi", "codegen", "host", "inspection", "jit", "machine", "runtime", "schedule", "simd", "tools"}


def pytest_configure(config: pytest.Config) -> None:
    folder = os.environ.get("NEUROMORPH_TEST_CACHE")
    if not folder:
        folder = config.stash[_temporary] = tempfile.mkdtemp(prefix="neuromorph-tests-")
        os.environ["NEUROMORPH_TEST_CACHE"] = folder  # what workers of pytest-xdist share
    os.environ["NEUROMORPH_VERIFY"] = "1"  # every plan is checked
    config.stash[_tier] = os.environ.get("NEUROMORPH_TIER")
    os.environ["NEUROMORPH_CACHE_DIR"] = str(Path(folder).absolute())


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_temporary, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("NEUROMORPH_TEST_CACHE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Choose what ``tier="auto"`` means for a test, unless the environment says it: no process compiles behind it."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    tier = item.config.stash[_tier] or ("compiled" if folder in COMPILED else "instant")
    os.environ["NEUROMORPH_TIER"] = tier


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Forget what a cluster of Dask in this process has set for its workers: it would count for all later tests."""
    for name in _THREADS:
        if name in _given:
            os.environ[name] = _given[name]
        else:
            os.environ.pop(name, None)


@pytest.fixture
def interpreted() -> Iterator[None]:
    """Kernels run as plain Python; compiled ones are back afterwards, and plain ones forgotten."""
    from helpers.plain_kernels import plain_kernels  # after the folder of the cache is set

    with plain_kernels():
        yield
