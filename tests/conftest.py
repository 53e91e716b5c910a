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
def interpreted() -> Iterator[None]:
    """Kernels run as plain Python; compiled ones are back afterwards, and plain ones forgotten."""
    from helpers.plain_kernels import plain_kernels  # after the folder of the cache is set

    with plain_kernels():
        yield
