"""Examines the cache folder and the cache's warnings."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuromorph.errors import CacheWarning


def with_warnings(action: Callable[[], Any]) -> tuple[Any, list[str]]:
    """The result of an action, and the texts of the cache warnings that it caused."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    return result, [str(item.message) for item in caught if issubclass(item.category, CacheWarning)]


def temporaries(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir() if item.name.startswith(".tmp-")]
