"""The workers of a client: which are there, what they are told, and what they do together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, Future
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from ..errors import ClusterError
from ..host.frozen import frozen

POLL = 0.25  # seconds between two looks at the workers
GRACE = 5.0  # seconds in which the scheduler must have seen that a worker is gone, when another one has noticed it
ANSWER = 3.0  # seconds in which workers answer a short question
_LOST = (KilledWorker, CommClosedError)  # how a task ends whose worker was lost


class WorkerLostError(ClusterError):
    """The worker of a task was lost."""


class SchedulerLostError(ClusterError):
    """The scheduler can't be reached any more."""


@frozen
class Job:
    """A function for one worker, with its arguments; futures among these are replaced by their values."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Workers:
    """The workers of a client, and what is asked of them. chosen: the addresses that may take part; None means all."""

    def __init__(self, client: Client, chosen: Iterable[str] | None = None) -> None:
        self.client, self._chosen = client, None if chosen is None else frozenset(chosen)
        self.shunned: set[str] = set()  # workers that did not answer
        self._where = _scheduler_of(client)

    def addresses(self) -> tuple[str, ...]:
        """The workers that are there now, in the order of their addresses. Raises SchedulerLostError."""
        question, end = Question(self.client.nthreads), time.monotonic() + 10 * ANSWER
        there = question.answer(POLL)
        while there is None and self.client.status == "running" and time.monotonic() < end and not question.ended():
            there = question.answer(POLL)
        if there is None:
            raise SchedulerLostError(f"the scheduler at {self._where} can't be reached any more{question.why}")
        return tuple(sorted(a for a in there if (self._chosen is None or a in self._chosen) and a not in self.shunned))

    @contextmanager
    def reaching(self, addresses: Iterable[str]) -> Iterator[None]:
        """A block that sends something to workers. Whatever it raises is a WorkerLostError if one of them is gone."""
        try:
            yield
        except Exception as error:
            gone = sorted(set(addresses) - set(self.addresses()))
            if not gone:
                raise
            raise WorkerLostError(f"the worker {gone[0]} was lost") from error

    def tell(self, function: Callable[..., Any], addresses: Sequence[str], *arguments: Any) -> dict[str, Any]:
        """Have workers call a short function between their tasks; what those answer that do so in time."""
        return self.ask(function, addresses, *arguments).answer(ANSWER) or {}

    def ask(self, function: Callable[..., Any], addresses: Sequence[str], *arguments: Any) -> Question:
        """Have workers call a short function between their tasks, as ``tell`` does, without waiting for answers."""
        return Question(self._called(function, addresses, arguments))

    def _called(
        self, function: Callable[..., Any], addresses: Sequence[str], arguments: Sequence[Any]
    ) -> Callable[[], Any]:
        def call() -> Any:
            return self.client.run(function, *arguments, workers=list(addresses), on_error="ignore")

        return call


class Together:
    """Jobs that workers do at the same time. futures: by worker. An exception in its block cancels the jobs."""

    def __init__(self, workers: Workers, jobs: dict[str, Job]) -> None:
        self.workers, self._changed = workers, threading.Event()
        self.futures: dict[str, Future] = {}
        self.lost: set[str] = set()
        self._looked = time.monotonic()
        for address, job in jobs.items():
            future = workers.client.submit(
                job.function, *job.arguments, workers=[address], allow_other_workers=False, pure=False, retries=0,
                priority=10,
            )  # fmt: skip
            self.futures[address] = future
            future.add_done_callback(lambda _: self._changed.set())

    def __enter__(self) -> Together:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            with suppress(Exception):
                self.workers.client.cancel(list(self.futures.values()), force=True)

    def done(self) -> dict[str, Any]:
        """Wait for all, and return the results; see ``results``."""
        with self:
            while self.waits():
                self.look()
            return self.results()

    def waits(self) -> bool:
        """Wait a little; whether a job is still under way."""
        if self._changed.wait(0.0 if not self._open() else POLL):
            self._changed.clear()
        return bool(self._open())

    def _open(self) -> list[str]:
        """The workers whose jobs have not ended."""
        return [address for address, future in self.futures.items() if not future.done() and address not in self.lost]

    def ended(self) -> dict[str, Any]:
        """The results that are there, without those of lost workers."""
        return {address: future.result() for address, future in self.futures.items() if future.status == "finished"}

    def look(self) -> None:
        """Look which workers are still there."""
        now = time.monotonic()
        if now - self._looked >= POLL and self._open():
            self._looked = now
            self.lost |= self.futures.keys() - set(self.workers.addresses())

    def shun(self) -> None:
        """Take those who have not answered yet for lost, and let them take no further part."""
        for address in self._open():
            self.lost.add(address)
            self.workers.shunned.add(address)

    def results(self) -> dict[str, Any]:
        """The results of all, once no job is under way any more, with a WorkerLostError for a lost worker.

        Raises the error of a job, and SchedulerLostError.
        """
        found: dict[str, Any] = {}
        for address, future in self.futures.items():
            if future.status == "finished":
                found[address] = future.result()
            elif future.status == "error" and not isinstance(error := future.exception(), _LOST):
                error.add_note(f"It was raised on the worker {address}.")
                raise error
            else:
                found[address] = WorkerLostError(f"the worker {address} was lost")
        if any(future.cancelled() for future in self.futures.values()):
            self.workers.addresses()  # raises SchedulerLostError, which is why futures are cancelled
        return found


class Question:
    """A call whose answer is not waited for longer than one wants. why: what it raised, as the end of a message."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._answer: Any = None
        self._ended = threading.Event()
        self.why = ""
        threading.Thread(target=self._run, args=(call,), name="neuromorph-question", daemon=True).start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._answer = call()
        except Exception as error:  # of the cluster: a worker or the scheduler that is gone
            self.why = f": {type(error).__name__}: {error}"
        finally:
            self._ended.set()

    def ended(self) -> bool:
        """Whether the call has ended."""
        return self._ended.is_set()

    def answer(self, seconds: float) -> Any:
        """What the call returned; None if it raised an error, or has not ended after so many seconds."""
        self._ended.wait(seconds)
        return self._answer if self._ended.is_set() else None


def _scheduler_of(client: Client) -> str:
    return str(getattr(client.scheduler, "address", "") or "?")
