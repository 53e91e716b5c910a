"""Work in threads of its own, beside load, or interrupted."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

LIMIT = 300  # seconds on a busy machine for what should be done in one or two


def at_once(actions: list[Callable[[], Any]]) -> list[Any]:
    """What actions give that start together in threads of their own; errors are results too."""
    barrier, results = threading.Barrier(len(actions)), [None] * len(actions)

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = actions[number]()
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads)
    return results


@contextmanager
def load() -> Iterator[None]:
    """Two threads that keep the processors busy, now and then with the lock of the interpreter."""
    over, block = threading.Event(), bytes(1 << 18)

    def work() -> None:
        while not over.is_set():
            hashlib.sha256(block).digest()
            sum(range(1000))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def interrupted_after(seconds: float, work: Callable[[], None]) -> None:
    """Some work, with Ctrl-C in the middle; it has to end with KeyboardInterrupt."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))

    def interrupted() -> None:
        timer.start()
        work()

    # Hypothesis has a callback of the collector in this process: Python drops an exception that is raised there.
    callbacks, gc.callbacks[:] = gc.callbacks[:], []
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        gc.callbacks[:] = callbacks
    timer.join()


def wait_until(holds: Callable[[], Any]) -> None:
    """Return as soon as a condition holds; fail where it does not come to hold."""
    ended = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < ended
        time.sleep(0)
