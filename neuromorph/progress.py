"""A progress bar on stderr: tqdm's, made safe for forks, threads and Ctrl-C."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from .host.forks import new_lock
from .host.interrupts import held

_lock = new_lock()


@cache
def _bar_class() -> Any:
    """tqdm, imported when the first bar is shown."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        _lock = _lock  # tqdm's own lock would stay taken in a child that is forked while a bar is drawn
        monitor_interval = 0  # no thread that looks after all bars of the process
        __del__ = object.__init__  # does nothing; a Ctrl-C inside the ``__del__`` of tqdm would be lost

    return Bar


def bar(total: int, **options: Any) -> Any:
    """A bar for so many samples. The caller closes it. options: those of tqdm."""
    kind = _bar_class()
    with held():
        return kind(total=total, unit_scale=True, miniters=1, file=sys.stderr, **options)
