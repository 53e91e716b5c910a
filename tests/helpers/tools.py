"""The modules of the folder ``tools``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from helpers.paths import REPOSITORY

TOOLS = REPOSITORY / "tools"


@pytest.fixture(scope="module", autouse=True)
def tools_path() -> Iterator[None]:
    """The tools' folder among those that Python imports from, for tests that import this."""
    sys.path.insert(0, str(TOOLS))
    yield
    sys.path.remove(str(TOOLS))


def room(name: str) -> Any:
    """A module of a tool."""
    return importlib.import_module(name)
