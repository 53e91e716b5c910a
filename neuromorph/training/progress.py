"""A progress bar on stderr: tqdm's, made safe for forks, threads and Ctrl-C."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, ClassVar
from weakref import WeakSet

from ..host.exclusive import imported
from ..host.forks import new_lock

_lock = new_lock()


@cache
def _bar_class() -> Any:
    """tqdm, imported when the first bar is shown."""

    class Bar(imported("tqdm").tqdm):  # type: ignore[misc]
        """A bar with what tqdm shares between bars to itself: tqdm's lock would stay taken in a child that is forked
        while a bar is drawn, and a thread would look after all bars of the process."""

        _lock = _lock
        _instances: ClassVar[WeakSet[Any]] = WeakSet()
        monitor_interval = 0
        # The method of tqdm closes the bar. All of ours are closed by their users, and a Ctrl-C that comes while Python
        # runs such a method is lost. This one does nothing, and is no code of Python's.
        __del__ = object.__init__

    return Bar


def bar(total: int, **options: Any) -> Any:
    """A bar for so many samples. The caller closes it. options: those of tqdm."""
    return _bar_class()(total=total, unit_scale=True, miniters=1, file=sys.stderr, **options)
