"""The process that compiles in the background.

It reads jobs from its standard input, one JSON object a line, and answers in the same form through a pipe of its own:

``{"job": 7, "text": …, "options": {…}, "skips": false, …}``  compile the kernels of a model
``{"job": 8, "machine": ["float32", 8, 16], …}``  compile the machine
``{"drop": 7}``  nobody needs a job any more
``{"done": 7}``, ``{"failed": 7, "reason": …, …}``  the answers

The last has ``unstored`` if the thing was compiled and the cache does not take it, with the ``files`` of a machine in
base 64, and ``lost`` if the process of the job has crashed or was ended.
A job has the key of what it makes in the cache (``entry``), the ``variables`` of the environment, and the numbers of
the ``processors`` that the other process may use: kernels depend on them.

It compiles one job at a time, a machine before all else, then the newest, and at a low priority. A job waits a moment
before it begins, since most models of a search are gone by then. What is compiled goes to the cache on disk. Each job
has a process of its own, forked from this one, so that memory does not grow, a job can be dropped while it runs, and a
crash ends one job only.
A job that would never end is ended (``hanging``), which is a failure as others are.
The process ends when its standard input does, that is with the process that started it, and when it has
had nothing to do for a while.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from typing import Any

from ..jit import bundles, cache
from . import hanging
from .background import IDLE, is_ours

YOUTH = 0.1  # seconds that a job waits before it begins
_CHUNK = 1 << 16
_MOST_SAID = 4000  # characters of a reason
_NICE, _NICE_FOR_ALL = 19, 5  # of jobs: what waits for the machine is every new text
_FAILED = 2  # the status of a job's process that has said why it failed
_CHANGED = "the process that asked has changed settings, such as Numba's, since it began to ask"
_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


@dataclass
class Job:
    """One thing to compile. number: by which the other process knows it. came: the time when it was read."""

    number: int
    what: dict[str, Any]
    came: float

    @property
    def is_for_all(self) -> bool:
        """Whether it compiles a machine, which runs any model."""
        return "machine" in self.what


@dataclass
class RunningJob:
    """A job in a process of its own. said: what that process has written about a failure so far, in JSON."""

    job: Job
    process: int
    pipe: int
    waiting: hanging.Waiting
    said: bytearray = field(default_factory=bytearray)


class Worker:
    """Jobs that wait, and the one that runs."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self.target = source, target
        self.waiting: list[Job] = []
        self.running: RunningJob | None = None
        self.rest = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(source, selectors.EVENT_READ)
        self.idle_since = time.monotonic()

    def serve(self) -> None:
        """Work until the standard input ends, or until there has been nothing to do for a while."""
        try:
            while self.step():
                pass
        finally:
            self.stop()

    def step(self) -> bool:
        """Wait for something to happen, and deal with it; whether to go on."""
        for key, _ in self.selector.select(self.patience()):
            if key.fd == self.source:
                if not self.read():
                    return False
            else:
                self.listen()
        self.limit()
        self.begin()
        if self.running or self.waiting:
            self.idle_since = time.monotonic()
        return time.monotonic() - self.idle_since < IDLE

    def patience(self) -> float:
        """Seconds until something has to be done, whatever happens."""
        if self.running is not None:
            return hanging.TICK
        if not self.waiting:
            return IDLE
        return max(0.0, self.waiting[-1].came + YOUTH - time.monotonic())

    def read(self) -> bool:
        """Read messages; whether there may be more."""
        data = os.read(self.source, _CHUNK)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.take(json.loads(line))
        return bool(data)

    def take(self, message: dict[str, Any]) -> None:
        """Deal with a message."""
        if "drop" not in message:
            self.waiting.append(Job(message["job"], message, time.monotonic()))
            return
        number = message["drop"]
        self.waiting = [job for job in self.waiting if job.number != number]
        if self.running is not None and self.running.job.number == number:
            self.kill()

    def begin(self) -> None:
        """Begin the newest job, or a machine, if none runs and the newest has waited long enough."""
        if self.running is not None or not self.waiting or self.patience() > 0.0:
            return
        first = next((place for place, job in enumerate(self.waiting) if job.is_for_all), -1)
        self.fork(self.waiting.pop(first))

    def fork(self, job: Job) -> None:
        """Run a job in a process of its own, which writes to a pipe how it failed, if it does."""
        (out, into), parent = os.pipe(), os.getpid()
        process = os.fork()
        if process == 0:
            status = 1
            try:
                for pipe in (out, self.source, self.target):  # else the user's process would wait for this job's end
                    os.close(pipe)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.nice(_NICE_FOR_ALL if job.is_for_all else _NICE)
                if not job.is_for_all:
                    _end_with(parent)
                hanging.limit_computing()
                failure = failure_of(job.what)
                if failure is not None:
                    _write(into, failure)
                status = 0 if failure is None else _FAILED
            finally:
                os._exit(status)
        os.close(into)
        self.running = RunningJob(job, process, out, hanging.Waiting(process))
        self.selector.register(out, selectors.EVENT_READ)

    def listen(self) -> None:
        """Read what the running job's process says. At its end, answer."""
        running = self.running
        if running is None:
            return
        data = os.read(running.pipe, _CHUNK)
        running.said += data
        if data:
            return
        status = self.forget()
        if status == 0:
            failure = None
        elif status == _FAILED and running.said:
            failure = json.loads(running.said)
        elif status < 0:
            failure = _lost(hanging.reason_of(status) or f"the compiler was ended by signal {-status}")
        else:
            failure = _lost(f"the compiler ended with status {status}")
        self.answer(running.job, failure)

    def limit(self) -> None:
        """End the running job if it waits for ever."""
        running = self.running
        if running is not None and time.monotonic() - running.waiting.looked >= hanging.TICK:
            reason = running.waiting.look()
            if reason is not None:
                self.kill()
                self.answer(running.job, _lost(reason))

    def forget(self) -> int:
        """Wait for the end of the running job's process; its exit status, or the negative number of a signal."""
        running, self.running = self.running, None
        if running is None:
            return 0
        self.selector.unregister(running.pipe)
        os.close(running.pipe)
        return os.waitstatus_to_exitcode(os.waitpid(running.process, 0)[1])

    def kill(self) -> None:
        """End the running job."""
        if self.running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.running.process, signal.SIGKILL)
            self.forget()

    def stop(self) -> None:
        """End the running job, but for the machine: it is for all programs to come, and short ones would never get it
        if it ended with each of them."""
        if self.running is not None and not self.running.job.is_for_all:
            self.kill()

    def answer(self, job: Job, failure: dict[str, Any] | None) -> None:
        """Say how a job ended."""
        _write(self.target, {"done": job.number} if failure is None else {"failed": job.number, **failure})


def _write(pipe: int, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(pipe, data) :]


def _lost(reason: str) -> dict[str, Any]:
    """The failure of a job whose process has crashed or was ended."""
    return {"reason": reason, "lost": True}


def _end_with(parent: int) -> None:
    """Have this process killed when its parent ends, where the system can do that (Linux)."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def failure_of(what: dict[str, Any]) -> dict[str, Any] | None:
    """Compile what a message asks for; None if it is in the cache afterwards, else what an answer says of a failure."""
    for name in filter(is_ours, list(os.environ)):
        del os.environ[name]
    os.environ.update(what["variables"])
    with contextlib.suppress(KeyError, OSError):
        os.sched_setaffinity(0, what["processors"])
    with warnings.catch_warnings(record=True) as caught, bundles.unstored() as kept:
        warnings.simplefilter("always")
        try:
            is_stored = compiled(what)
        except BaseException as error:
            return {"reason": "".join(traceback.format_exception_only(error)).strip()[:_MOST_SAID]}
    if is_stored:
        return None
    if what["entry"] in kept.too_large:
        return {"reason": "they are larger than the limit of the cache, NEUROMORPH_CACHE_SIZE", **_files(what, kept)}
    reason = str(caught[-1].message) if caught else "the cache of compiled kernels did not take it"
    return {"reason": reason[:_MOST_SAID], "unstored": True, **_files(what, kept)}


def _files(what: dict[str, Any], kept: bundles.Unstored) -> dict[str, Any]:
    """The files of a machine, in base 64, for the answer: every model needs it. Kernels of a model are not sent."""
    if "machine" not in what or what["entry"] not in kept.files:
        return {}
    return {"files": {name: base64.b64encode(data).decode() for name, data in kept.files[what["entry"]].items()}}


def compiled(what: dict[str, Any]) -> bool:
    """Compile a model's kernels, or a machine; whether they are in the cache now."""
    if "machine" in what:
        from .instant import machine_for

        machine = machine_for(*what["machine"])
        if what["entry"] != machine.entry_in_cache:
            raise RuntimeError(_CHANGED)
        machine.build()
        return cache.has(machine.entry_in_cache)
    from ..graph import build_graph, freeze
    from ..language import parse
    from ..options import CompileOptions
    from .kernels import Kernels

    options = CompileOptions(**{**what["options"], "frozen": tuple(what["options"]["frozen"])})
    kernels = Kernels(freeze(build_graph(parse(what["text"])), options.frozen), options, skips=what["skips"])
    if what["entry"] not in kernels.entries:
        raise RuntimeError(_CHANGED)
    if kernels.skips:
        kernels.train  # noqa: B018
        return cache.has(what["entry"])
    kernels.build()
    return all(map(cache.has, kernels.entries))


def warm_up() -> None:
    """Import what compiling needs, and compile something small, before the first fork."""
    from . import instant  # noqa: F401 - imports all that a job needs

    bundles.warm_up()


def main(target: int) -> None:
    """Read jobs from the standard input, and answer through a pipe. What others print goes nowhere."""
    source = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    warm_up()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the running job too
    Worker(source, target).serve()
