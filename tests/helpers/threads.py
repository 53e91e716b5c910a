"""Runs work in new threads, beside load, or interrupted by Ctrl-C."""

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

LIMIT = 300  # seconds that a busy machine gets for work of one or two seconds


def at_once(actions: list[Callable[[], Any]]) -> list[Any]:
    """The results of actions that start together, each in a thread of its own. A raised error is a result too."""
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
    """Keep the processors busy with two threads, which now and then hold the interpreter's lock."""
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
    """Run ``work`` and press Ctrl-C after some seconds. The work has to end with KeyboardInterrupt."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))

    def interrupted() -> None:
        timer.start()
        work()

    # Hypothesis registers a callback of the garbage collector. Python drops an exception that is raised in it.
    callbacks, gc.callbacks[:] = gc.callbacks[:], []
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        gc.callbacks[:] = callbacks
    timer.join()


def wait_until(holds: Callable[[], Any]) -> None:
    """Return as soon as a condition holds. Fail after LIMIT seconds."""
    ended = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < ended
        time.sleep(0)
