"""Loads generated sources as modules, registered under names made from their keys."""

from __future__ import annotations

import linecache
import sys
from importlib.abc import ExecutionLoader
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType

from ..host.exclusive import exclusive
from .cache_store import check_key


class _SourceLoader(ExecutionLoader):
    """A loader that executes a generated source, and shows it to tracebacks, debuggers and ``inspect``."""

    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:
        """The module's source."""
        return self._source

    def get_filename(self, fullname: str) -> str:
        """The name that tracebacks show in place of a file's."""
        return f"<{fullname}>"


def load_module(source: str, key: str) -> ModuleType:
    """The module of a source, registered in ``sys.modules`` under a name made from its key.

    One key gives one module: the source is executed only the first time, by one thread. Errors of the source are passed
    on, and the module is then not registered. Raises ValueError for an impossible key, and if a module whose key has
    the same first 16 digits exists.
    """
    check_key(key)
    name = f"neuromorph_kernel_{key[:16]}"
    with exclusive():
        known = sys.modules.get(name)
        if known is None:
            return _executed(source, name, key)
        if getattr(known, "__neuromorph_key__", None) != key:
            raise ValueError(f"the module {name} belongs to another key")
        return known


def _executed(source: str, name: str, key: str) -> ModuleType:
    loader = _SourceLoader(source)
    file = loader.get_filename(name)
    spec = ModuleSpec(name, loader, origin=file)
    spec.has_location = True  # so that the module has a __file__
    module = module_from_spec(spec)
    vars(module)["__neuromorph_key__"] = key
    # The line cache keeps lines without a modification time: they came from a loader, not from a file.
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
