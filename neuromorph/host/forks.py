"""Locks that stay usable in a forked child.

A child inherits each lock in its state at the fork. A lock that another thread held would stay locked for ever, because
that thread does not exist in the child. A fork therefore takes all locks that ``new_lock`` made before it copies the
process, and releases them afterwards in both processes. So the data that these locks protect are consistent in the
child.

A thread that holds one of these locks takes no other one. The lock of ``exclusive.py`` is the exception: a thread that
holds it may take one more. A fork takes that lock first.
"""

from __future__ import annotations

import logging  # noqa: F401 - its fork hook must be registered before ours, so that its lock is taken after ours
import os
import threading
from _thread import interrupt_main, start_new_thread
from signal import Signals

from .interrupts import Recorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_locks: list[threading.RLock] = []
_fork: tuple[int, Recorder] | None = None  # the thread that forks and holds all locks, and its recorder


def new_lock(*, first: bool = False) -> threading.RLock:
    """A re-entrant lock that a fork waits for. It is kept for ever, so use it for module-level locks only."""
    lock = threading.RLock()
    _locks.insert(0 if first else len(_locks), lock)
    return lock


def after_in_child(function: Callable[[], object]) -> None:
    """Call a function in every forked child. Functions are called in the order in which they were registered."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def after_in_parent(function: Callable[[], object]) -> None:
    """Call a function in the parent after every fork. Functions are called in the order in which they were
    registered."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_parent=function)


def _before() -> None:
    global _fork
    recorder = Recorder()
    recorder.start()
    for lock in _locks:
        lock.acquire()
    _fork = threading.get_ident(), recorder


def _after() -> None:
    """Release all locks, and have the signals handled that this process got in the meantime."""
    global _fork
    if _fork is None or _fork[0] != threading.get_ident():  # an exception has ended ``_before``
        return
    (_, recorder), _fork = _fork, None
    for lock in reversed(_locks):
        lock.release()
    recorder.put_back()
    for number, _, process in recorder.taken():
        if process == os.getpid():
            _send_again(number)


def _send_again(number: int) -> None:
    """Have the handler of a signal called soon, in the main thread.

    It can't be called at once: Python prints and drops an exception that leaves a fork hook. The new thread waits until
    this thread releases the interpreter's lock, which is after the last hook.
    """
    try:
        start_new_thread(interrupt_main, (Signals(number),))
    except RuntimeError:  # no thread can be started
        interrupt_main(Signals(number))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
