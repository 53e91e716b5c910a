"""Examines the cache folder and the cache's warnings, makes trouble for the cache, and forgets generated modules."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuromorph.errors import CacheWarning
from neuromorph.jit import bundles


def with_warnings(action: Callable[[], Any]) -> tuple[Any, list[str]]:
    """The result of an action, and the texts of the cache warnings that it caused."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    return result, [str(item.message) for item in caught if issubclass(item.category, CacheWarning)]


def temporaries(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir() if item.name.startswith(".tmp-")]


def forget(key: str) -> None:
    """Forget the module of a generated source and what is linked, as if this process had never loaded it."""
    bundles._linked.clear()
    sys.modules.pop(f"neuromorph_kernel_{key[:16]}", None)


# Trouble --------------------------------------------------------------------------------------------------------------


def failing(number: int) -> Callable[..., Any]:
    """A function that raises OSError with this number."""

    def fail(*args: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def put_link(path: Path) -> None:
    """Put a symbolic link to a folder where the cache's folder would be."""
    (path.parent / "target").mkdir(0o700)
    path.symlink_to(path.parent / "target")


def put_open_folder(path: Path) -> None:
    """Put a folder that everybody can write where the cache's folder would be."""
    path.mkdir()
    path.chmod(0o777)
