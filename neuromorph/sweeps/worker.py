"""A worker process of a pool: runs one task after the other, and ends with the process that started it.

Its standard streams are those of that process. It gets ``(number, bytes)`` through its pipe, and answers ``(number,
value or Failure)``; the bytes are a pickled function with its arguments. The first message is a ``Setting``.
"""

from __future__ import annotations

import io
import os
import pickle
import queue
import runpy
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from ..host.processes import pipe_of, taken
from . import sharing
from .failures import raised

READY = -1  # the number of the first answer
_MAIN = "__mp_main__"  # the name under which the user's program is imported, as multiprocessing does
is_importing_main = False
_has_main = False


@dataclass(frozen=True)
class Setting:
    """What a worker needs before its first task.

    file, layout: of the shared data, the file as ``host.processes.given`` names it; None for none. main: the module or
    the path of the user's program, or None.
    """

    file: int | None
    layout: sharing.Layout | None
    main: tuple[str, str] | None


def serve(pipe: Connection) -> None:
    """Run tasks until the other end of the pipe is closed."""
    setting: Setting = pipe.recv()
    data = None
    if setting.file is not None and setting.layout is not None:
        data = sharing.mapped(taken(setting.file), setting.layout)
    pipe.send((READY, None))
    tasks: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, tasks), daemon=True).start()
    while True:
        number, task = tasks.get()
        _send(pipe, number, _outcome(task, data, setting.main))


def _listen(pipe: Connection, tasks: queue.SimpleQueue[tuple[int, bytes]]) -> None:
    """Receive tasks. End the process at the end of the other one, also in the middle of a task."""
    try:
        while True:
            tasks.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)


def _outcome(task: bytes, data: Any, main: tuple[str, str] | None) -> Any:
    try:
        function, arguments = _Unpickler(io.BytesIO(task), main).load()
        return function(data, *arguments)
    except BaseException as error:
        return raised(error)


def _send(pipe: Connection, number: int, outcome: Any) -> None:
    try:
        message = pickle.dumps((number, outcome))
    except Exception as error:  # an object of the user's
        message = pickle.dumps((number, raised(TypeError(f"the result of a task can't be pickled: {error}"))))
    try:
        pipe.send_bytes(message)
    except OSError:  # nobody listens any more
        os._exit(0)


class _Unpickler(pickle.Unpickler):
    """Imports the user's program only if a task needs something of it."""

    def __init__(self, file: io.BytesIO, main: tuple[str, str] | None) -> None:
        super().__init__(file)
        self._main = main

    def find_class(self, module: str, name: str) -> Any:
        if module == "__main__" and not _has_main and self._main is not None:
            _import_main(*self._main)
        return super().find_class(module, name)


def _import_main(kind: str, name: str) -> None:
    """Run the user's program as a module, so that its functions are there."""
    global is_importing_main, _has_main
    is_importing_main = True
    try:
        made = ModuleType(_MAIN)
        run = runpy.run_module if kind == "module" else runpy.run_path
        made.__dict__.update(run(name, run_name=_MAIN))
        sys.modules["__main__"] = sys.modules[_MAIN] = made
        _has_main = True
    finally:
        is_importing_main = False


def main() -> None:
    """Serve on the pipe whose descriptor is the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    with suppress(EOFError, OSError):  # that one has ended
        serve(pipe_of(int(sys.argv[-1])))
