"""Shows a progress bar on stderr, or in a notebook: that of tqdm, made safe for forks, threads and Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar
from weakref import WeakSet

from ..host.exclusive import imported
from ..host.forks import new_lock

BAR_DELAY = 0.5  # seconds before a bar is shown
_lock = new_lock()


def _in_notebook() -> bool:
    """Whether this is the process of a Jupyter notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _base() -> Any:
    """tqdm's class of bars: that of notebooks, drawn in HTML, if there are the widgets for it."""
    if _in_notebook() and find_spec("ipywidgets") is not None:
        return imported("tqdm.notebook").tqdm
    return imported("tqdm").tqdm


def _stream() -> Any:
    """Where bars go: stderr, but in a notebook, which shows that in red, stdout."""
    return sys.stdout if _in_notebook() else sys.stderr


@cache
def _bar_class() -> Any:
    """The class of bars, made from tqdm's, which is imported when the first bar is shown."""

    class Bar(_base()):  # type: ignore[misc]
        """A bar that shares no state with other bars of tqdm. tqdm's shared lock would stay taken in a child that is
        forked while a bar is drawn, and tqdm starts a thread that watches all bars."""

        _lock = _lock
        _instances: ClassVar[WeakSet[Any]] = WeakSet()
        monitor_interval = 0
        # tqdm's method closes the bar. Python loses a Ctrl-C that comes while it runs such a method. All bars here are
        # closed by their users, so this method does nothing; it is not Python code, so that no Ctrl-C is lost.
        __del__ = object.__init__

    return Bar


class ProgressBar:
    """A bar for a number of samples, None if it is not known. It appears after half a second. Most calls end before,
    and need not import tqdm. The caller must close it. options: those of tqdm."""

    def __init__(self, total: int | None, **options: Any) -> None:
        self._total, self._options = total, options
        self._started, self._done = time.perf_counter(), 0
        self._bar: Any = None

    def advance(self, samples: int, what: str, numbers: Mapping[str, str]) -> None:
        """Advance the bar by some samples. what: the text before the bar. numbers: those shown after it."""
        self._done += samples
        if self._bar is None:
            waited = time.perf_counter() - self._started
            if waited < BAR_DELAY:
                return
            self._bar = _bar_class()(
                total=self._total, unit_scale=True, miniters=1, file=_stream(), delay=1e-9, **self._options
            )
            self._bar.start_t -= waited
            self._bar.last_print_t -= waited  # else the first rate is that of all samples in no time
        self._bar.set_description(what, refresh=False)
        self.show(numbers)
        self._bar.update(self._done - self._bar.n)

    def show(self, numbers: Mapping[str, str]) -> None:
        """Set the numbers after the bar, which are shown when it is drawn next."""
        if self._bar is not None:
            self._bar.set_postfix(numbers, refresh=False)

    def write(self, line: str) -> None:
        """Write a line above the bar."""
        if self._bar is None:
            print(line, file=_stream())
        else:
            self._bar.write(line, file=_stream())

    def close(self, *, done: bool = False) -> None:
        """Close the bar; its last picture stays on the screen. done: whether no more samples were to come, so that
        nothing is left even where there were fewer than expected."""
        if self._bar is not None:
            if done and self._bar.total is not None:
                self._bar.total = self._bar.n
                self._bar.refresh()
            self._bar.close()
