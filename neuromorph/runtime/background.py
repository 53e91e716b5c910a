"""Has things compiled by another process, which puts them into the cache on disk, and learns when they are there.

The other process is ``compiler_process``. It is started for the first request, and again for a later one if it has
ended. Nothing here waits for it: messages are written and answers are read when somebody asks how a request stands.
Answers come through a pipe that is for nothing else, since whatever runs at the start of a Python may print. The files
of a machine that the cache does not take come with the answer, as every model needs it.
"""

from __future__ import annotations

import atexit
import base64
import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from ..errors import CompilerWarning
from ..host.callers import warn_user
from ..host.forks import after_in_child, new_lock
from ..host.interrupts import held
from ..host.resources import OTHERS
from ..jit import cache

_SAID = ("reason", "unstored", "lost", "files")  # of a failure, in its answer
IDLE = 60.0  # seconds without a request after which the process ends
BETWEEN = 0.005  # seconds between two looks for answers
REST = 50.0  # milliseconds to wait for the next part of an answer that has begun
MOST_DEATHS = 3  # of the process without an answer, after which no more is started
PATIENCE = 60.0  # seconds that a forked child waits for what its parent has asked for
AGAIN = 600.0  # seconds after which kernels are asked for again in a cache that did not take some: a disk may be freed
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from neuromorph.runtime.compiler_process import main; main(int(sys.argv[2]))"
)
_FOLDER = "NEUROMORPH_CACHE_DIR"
_MACHINE = "machine"  # in a message: what is asked for is no model's
_lock = new_lock()


def is_possible() -> bool:
    """Whether this system and this process can compile in the background."""
    return hasattr(os, "fork") and bool(sys.executable)


@dataclass(eq=False)
class Request:
    """A thing to compile, as long as somebody has the request. entry: the thing's key in the cache.

    ended: whether it is known how the request ended; then reason is None if the thing is in the cache, and else the
    reason why it is not. unstored: whether it was compiled, or would be, and the cache does not take it. lost: whether
    the process that compiled it has crashed or was ended, so that the same request may go well another time. files: of
    a machine that the cache did not take.
    """

    message: dict[str, Any]
    entry: str
    number: int = field(default_factory=itertools.count(1).__next__)
    process: int = field(default_factory=os.getpid)
    ended: bool = False
    reason: str | None = None
    unstored: bool = False
    lost: bool = False
    files: dict[str, bytes] | None = None
    looked: float = 0.0
    since: float = 0.0  # when a forked child looked first

    def poll(self) -> bool:
        """Whether the request has ended by now."""
        now = time.monotonic()
        if not self.ended and now - self.looked >= BETWEEN:
            self.looked = now
            if self.process != os.getpid():  # of a forked child's parent: what it compiles is seen in the cache
                self.ended = cache.has(self.entry)
                if not self.ended:
                    self._adopt(now)
            else:
                _compiler.look()
        return self.ended

    def _adopt(self, now: float) -> None:
        """Have a child ask for itself if the parent has ended, or has not got it compiled for long."""
        if self.since == 0.0:
            self.since = now
        if os.getppid() != self.process or now - self.since >= PATIENCE:
            self.process = os.getpid()
            _compiler.add(self)

    def end(
        self,
        reason: str | None = None,
        *,
        unstored: bool = False,
        lost: bool = False,
        files: Mapping[str, str] | None = None,
    ) -> None:
        """Note how the request ended. files: their contents in base 64."""
        if files is not None:
            self.files = {name: base64.b64decode(data) for name, data in files.items()}
        self.unstored, self.lost, self.reason, self.ended = unstored, lost, reason, True

    @property
    def folder(self) -> str:
        """The cache's folder, which was to take the thing."""
        return str(self.message.get("variables", {}).get(_FOLDER, ""))


class Compiler:
    """This process's side: requests that were not answered yet, and the process that answers them."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.requests: dict[int, ref[Request]] = {}  # by number
        self.unsent: list[int] = []  # the numbers of those that were not written yet
        self.out = self.into = b""  # parts of messages that were not written, and of answers that were not read, yet
        self.answers = -1  # the end of the pipe from which answers are read, while there is a process
        self.deaths, self.started = 0, 0.0
        self.trouble = "the process that compiles has ended too often"  # why none is started any more, if none is

    def asked(self, entry: str, folder: str) -> Request | None:
        """The request for an entry of the cache in a folder that was not answered yet, if there is one."""
        with _lock:
            for request in [request() for request in self.requests.values()]:
                if request is not None and (request.entry, request.folder) == (entry, folder):
                    return request
        return None

    def add(self, request: Request) -> None:
        """Have a request answered."""
        with _lock, held():
            self.requests[request.number] = ref(request)
            self.unsent.append(request.number)
            if self.process is None:
                self._start()
        self.look()

    def look(self) -> None:
        """Read answers, and write what can be written."""
        with _lock, held():
            if self.process is None:
                return
            alive = self._read()
            self._drop_unneeded()
            if not (alive and self._write()):
                self._died()

    def _start(self) -> None:
        if self.deaths >= MOST_DEATHS:
            self._give_up(self.trouble)
            return
        folders = [folder for folder in sys.path if isinstance(folder, str)]  # as Python does, which takes no others
        self.started = time.monotonic()
        try:
            self.answers, target = os.pipe()
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _START, json.dumps(folders), str(target)], stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, bufsize=0, start_new_session=True,
                    pass_fds=[target],
                )  # fmt: skip
            except BaseException:
                os.close(self.answers)
                raise
            finally:
                os.close(target)
        except OSError as error:
            self.deaths, self.trouble = MOST_DEATHS, f"no process can be started: {error.strerror or error}"
            self._give_up(self.trouble)
            return
        assert self.process.stdin is not None
        for end in (self.process.stdin.fileno(), self.answers):
            os.set_blocking(end, False)

    def _read(self) -> bool:
        """Read answers; whether the process may give more of them."""
        while True:
            try:
                data = os.read(self.answers, 1 << 16)
            except BlockingIOError:
                if self.into and self._follows():  # a long answer, which is written while it is read
                    continue
                return True
            except OSError:  # the program has closed a descriptor that is not its own
                return False
            *lines, self.into = (self.into + data).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))
            if not data:
                return False

    def _follows(self) -> bool:
        """Whether more of an answer comes at once."""
        poll = select.poll()
        poll.register(self.answers, select.POLLIN)
        return bool(poll.poll(REST))

    def _hear(self, answer: Mapping[str, Any]) -> None:
        self.deaths = 0
        number = answer["done"] if "done" in answer else answer["failed"]
        ended = self._end(number, **{name: answer[name] for name in _SAID if name in answer})
        if ended is not None and ended.unstored and ended.reason is not None:
            self._refuse(ended.folder, ended.reason)

    def _end(self, number: int, reason: str | None = None, **more: Any) -> Request | None:
        """End a request, if there still is one of this number; the request."""
        held_by = self.requests.pop(number, None)
        request = held_by() if held_by is not None else None
        if request is not None:
            request.end(reason, **more)
        return request

    def _refuse(self, folder: str, reason: str) -> None:
        """Ask for no more kernels in a cache that did not take some, and take back those that models wait for."""
        _refused[folder] = time.monotonic(), reason
        for number, held_by in list(self.requests.items()):
            request = held_by()
            if request is not None and request.folder == folder and _MACHINE not in request.message:
                self._end(number, reason, unstored=True)
                self._take_back(number)

    def _drop_unneeded(self) -> None:
        """Take back the requests that nobody has any more."""
        for number in [number for number, request in self.requests.items() if request() is None]:
            del self.requests[number]
            self._take_back(number)

    def _take_back(self, number: int) -> None:
        """Have the other process drop a request, if it has got it."""
        if number in self.unsent:
            self.unsent.remove(number)
        else:
            self.out += json.dumps({"drop": number}).encode() + b"\n"

    def _write(self) -> bool:
        """Write as much as the pipe takes, the newest request first; whether the process still reads."""
        assert self.process is not None
        assert self.process.stdin is not None
        while self.out or self.unsent:
            if not self.out and (request := self.requests[self.unsent.pop()]()) is not None:
                self.out = json.dumps(request.message).encode() + b"\n"
            try:
                self.out = self.out[os.write(self.process.stdin.fileno(), self.out) :]
            except BlockingIOError:
                return True
            except OSError:
                return False
        return True

    def _died(self) -> None:
        """The process has ended. Unless it had nothing to do, that is a failure of what it was asked for."""
        process = self._forget()
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        if process.returncode == 0 and time.monotonic() - self.started >= IDLE:  # it had had nothing to do for long
            self.unsent = list(self.requests)
        else:
            self.deaths += 1
            for number in self.requests.keys() - set(self.unsent):
                self._end(number, f"the process that compiles has ended with status {process.returncode}", lost=True)
        if self.unsent:
            self._start()

    def _forget(self) -> subprocess.Popen[bytes]:
        """Close the pipes to the process, which then ends."""
        process, self.process = self.process, None
        assert process is not None
        self.out = self.into = b""
        assert process.stdin is not None
        for close in (process.stdin.close, lambda: os.close(self.answers)):
            with suppress(OSError):
                close()
        return process

    def _give_up(self, reason: str, *, lost: bool = False) -> None:
        """End all requests."""
        for number in list(self.requests):
            self._end(number, reason, lost=lost)
        self.unsent.clear()

    def stop(self) -> None:
        """End the process, and wait until it is gone."""
        with _lock, held():
            self._give_up("the process that compiles was ended", lost=True)
            if self.process is None:
                return
            process = self._forget()
            process.terminate()
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def left_behind(self) -> Compiler:
        """The state of a forked child, to which the process does not belong."""
        if self.process is not None:
            process = self._forget()
            process.returncode = 0  # so that nobody waits for it here
        return Compiler()


_compiler = Compiler()
_warned: set[str] = set()
_refused: dict[str, tuple[float, str]] = {}  # by folders of caches: when one last took no kernels, and why


def request(message: Mapping[str, Any], entry: str) -> Request:
    """Ask for something to be compiled. entry: the key that it will have in the cache.

    Who asks for the same a second time gets the request that is there. A request for kernels of a model has ended
    already if the cache does not take them; a machine is of use all the same.
    """
    if (known := _compiler.asked(entry, str(cache.root()))) is not None:
        return known
    made = Request(dict(message), entry)
    if _MACHINE not in message and (reason := refusal()) is not None:
        made.end(reason, unstored=True)
        return made
    variables = {name: value for name, value in os.environ.items() if is_ours(name)}
    variables[_FOLDER] = str(cache.root())
    made.message |= {"job": made.number, "entry": entry, "variables": variables}
    if hasattr(os, "sched_getaffinity"):
        made.message["processors"] = sorted(os.sched_getaffinity(0))
    _compiler.add(made)
    return made


def refusal() -> str | None:
    """The reason why the cache takes no kernels, if it has not taken some a short while ago."""
    since, reason = _refused.get(str(cache.root()), (-AGAIN, ""))
    return reason if reason and time.monotonic() - since < AGAIN else None


def is_given_up() -> bool:
    """Whether this process has no other compile any more: none can be started, or each has ended at once."""
    return _compiler.deaths >= MOST_DEATHS


def is_ours(variable: str) -> bool:
    """Whether kernels may depend on a variable of the environment, among other things by the number of threads."""
    return variable.startswith("NEUROMORPH_") or variable in OTHERS


def drop_unneeded() -> None:
    """Have nothing compiled any more that nobody needs."""
    _compiler.look()


def stop() -> None:
    """End the process that compiles in the background. A later request starts another one."""
    _compiler.stop()


def warn_once(reason: str, consequence: str = "Models keep the tier 'instant'", *, of_cache: bool = False) -> None:
    """Give one CompilerWarning in this process: kernels can't be compiled in the background.

    of_cache: whether the cache is the reason. Then there is one warning in all, this one or that of the cache.
    """
    if not _warned:
        _warned.add(reason)
        if of_cache and not cache.is_first_trouble():
            return
        reason = reason.replace(cache.IN_MEMORY, "").rstrip(".")
        message = f"kernels can't be compiled in the background: {reason}. {consequence}"
        warn_user(message, CompilerWarning)


def _in_child() -> None:
    global _compiler
    _compiler = _compiler.left_behind()


after_in_child(_in_child)
atexit.register(stop)
