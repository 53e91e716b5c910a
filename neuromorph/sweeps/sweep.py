"""``sweep`` trains many runs on the workers of a pool, and keeps their results in a store."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from ..history import History
from ..host.callers import warn_user
from ..host.exclusive import imported
from ..host.resources import processors
from ..options import flag, whole_number
from .failures import Failure
from .plan import Plan, checked_plan
from .pool import LocalPool, Pool, SerialPool, check_sent
from .progress import Shown
from .results import RunResult, SweepResult
from .run import Run
from .store import DONE, FAILED, PAUSED, RUNNING, WAITING, NotWrittenError, State, Store
from .training import Task, Trained, train

MOST_FAILURES = 2
_LOOK = 0.5  # seconds between two looks at what other sweeps have done
_AHEAD = 2  # tasks that a pool has for each of its workers


class SweepBrokenOffError(OSError):
    """The store could not be written to, and the sweep has ended. ``results`` has what is known, also what the store
    lacks."""

    results: SweepResult


def sweep(
    runs: Iterable[Run],
    data: Any,
    *,
    score: str | Callable[[Any, Any], Any] = "val_loss",
    maximize: bool | None = None,
    workers: int | None = None,
    client: Any = None,
    store: str | os.PathLike[str] | None = None,
    rungs: Sequence[int] | None = None,
    keep: Callable[[list[RunResult]], Iterable[RunResult]] | None = None,
    save_models: bool | str = False,
    retry_failed: bool = False,
    verbosity: int = 1,
) -> SweepResult:
    """Train many runs; see ``neuromorph.sweep``."""
    plan = checked_plan(runs, data, score=score, maximize=maximize, rungs=rungs, keep=keep, save_models=save_models)
    path, again = plan.path_of(store), flag("retry_failed", retry_failed)
    count = None if workers is None else whole_number("workers", workers, least=0)
    if client is not None and count is not None:
        raise ValueError("give workers for processes of this machine, or client for a Dask cluster, not both")
    with ExitStack() as stack:
        kept = stack.enter_context(Store(path))
        kept.add(plan.rows())
        if again:
            kept.retry(plan.keys)
        stack.enter_context(kept.beating())
        shown = stack.enter_context(Shown(plan, verbosity))
        work = _Sweep(plan, kept, shown, lambda: stack.enter_context(_pool(plan, count, client)))
        try:
            work.run()
        except KeyboardInterrupt as error:
            error.results = work.results()  # type: ignore[attr-defined]
            error.add_note(_of_interrupt(kept))
            raise
        return work.results()


def _of_interrupt(store: Store) -> str:
    if store.path == ":memory:":
        return "the results so far are in the exception's attribute `results`"
    return f"the results so far are in {store.path}: the same sweep goes on from there"


def _pool(plan: Plan, workers: int | None, client: Any) -> Pool:
    if client is not None:
        made: Pool = imported("neuromorph.sweeps.dask_pool").DaskPool(client, plan.data)
        return made
    if workers == 0:
        return SerialPool(plan.data)
    if plan.score.function is not None:
        check_sent("score", plan.score.function)
    plan.compile_machines()
    return LocalPool(min(processors() if workers is None else workers, max(1, len(plan.runs))), plan.data)


class _Sweep:
    """A sweep that is under way."""

    def __init__(self, plan: Plan, store: Store, shown: Shown, pool: Callable[[], Pool]) -> None:
        self.plan, self.store, self.shown, self._make_pool = plan, store, shown, pool
        self._pool: Pool | None = None
        self.states: dict[str, State] = {}
        self.tasks: dict[int, tuple[str, int]] = {}  # the key and the epochs of each task, by its ticket
        self.unwritten: list[tuple[str, dict[str, Any]]] = []  # what the store could not take so far
        self.looked = 0.0
        self.lead: float | None = None  # the best score of a run that is done
        self.best: str | None = None  # the run whose model was written as the best one's
        self.trouble: NotWrittenError | None = None
        self.told = False  # whether there was a warning of it

    @property
    def pool(self) -> Pool:
        """The pool, which is made when the first task is there."""
        if self._pool is None:
            self._pool = self._make_pool()
        return self._pool

    def run(self) -> None:
        """Train all runs, rung by rung."""
        self.store.look()
        self._read()
        going_on = list(self.plan.keys)
        for number, rung in enumerate(self.plan.rungs):
            self.shown.begin_rung(number)
            self._train_to(going_on, rung)
            if number + 1 < len(self.plan.rungs):
                going_on = self._decide(going_on, number)
        self._complete_models()

    # One rung ---------------------------------------------------------------------------------------------------------

    def _train_to(self, keys: Sequence[str], rung: int | None) -> None:
        """Train until all of these runs have reached a rung, or their budgets, here or in another sweep."""
        until = {key: rung or self.plan.runs[key].budget or 0 for key in keys}
        waiting = deque(key for key in keys if not self._has_reached(key, until[key]))
        self.shown.count(self.states[key] for key in keys if self._has_reached(key, until[key]))
        while waiting or self.tasks or self.unwritten:
            self._write_again(waiting)
            if self.trouble is None:
                self._submit(waiting, until)
            elif not self.tasks and (waiting or self.unwritten):
                self._break_off()
            self._collect(waiting)
            waiting = self._look(waiting, until)

    def _has_reached(self, key: str, until: int) -> bool:
        state = self.states[key]
        return state.state in (DONE, FAILED) or until in state.scores

    def _submit(self, waiting: deque[str], until: dict[str, int]) -> None:
        """Claim runs that wait, and give them to the pool, a few more than it has workers."""
        for _ in range(len(waiting)):
            if self.tasks and self.pool.pending >= _AHEAD * self.pool.size:
                return
            key = waiting.popleft()
            known = self.states[key]
            try:
                if known.state == RUNNING or not self.store.claim(key, known):  # another sweep has it
                    waiting.append(key)
                    continue
            except NotWrittenError as error:
                waiting.appendleft(key)
                self._note(error)
                return
            self.states[key] = State(RUNNING, known.failures, known.epochs, known.score, known.scores)
            goes_on = known.state == PAUSED and known.epochs < until[key]
            checkpoint = self.store.blob(key, "checkpoint") if goes_on else None
            task = Task(self.plan.runs[key], self.plan.score, until[key], checkpoint, bool(self.plan.save_models))
            self.tasks[self.pool.submit(train, task)] = key, until[key]

    def _collect(self, waiting: deque[str]) -> None:
        """Wait for tasks that end, and write down what came of them."""
        if not self.tasks:
            if waiting:
                time.sleep(_LOOK / 5)
            return
        for ticket, outcome in self.pool.finished(_LOOK):
            key, until = self.tasks.pop(ticket)
            state, values = self._judged(key, until, outcome)
            if not self._write(key, values):
                waiting.append(key)  # until the other sweep has trained it
                continue
            self.states[key] = state
            self._follow(state)
            if self._has_reached(key, until):
                self.shown.count([state])
                self.shown.tell(self.plan.runs[key], state, values)
            else:
                waiting.append(key)

    def _judged(self, key: str, until: int, outcome: Trained | Failure) -> tuple[State, dict[str, Any]]:
        """How a run stands after a task, and what the store gets of it."""
        known = self.states[key]
        if isinstance(outcome, Failure):
            outcome = Trained(None, None, 0.0, error=outcome.message, traceback=outcome.traceback)
        values: dict[str, Any] = {"seconds": outcome.seconds, "ended": time.time()}
        if outcome.history is not None:
            values["history"] = outcome.history
        if outcome.error:
            failures = known.failures + 1
            again = failures < MOST_FAILURES
            name = (PAUSED if known.epochs else WAITING) if again else FAILED
            values |= {"state": name, "failures": failures, "error": outcome.error, "traceback": outcome.traceback}
            return State(name, failures, known.epochs, known.score, known.scores), values
        scores = {**known.scores, until: outcome.score or 0.0}
        epochs = len(History.from_record(outcome.history))
        name = DONE if outcome.checkpoint is None else PAUSED
        state = State(name, known.failures, epochs, outcome.score, scores)
        values |= {
            "state": name, "epochs": epochs, "score": outcome.score, "scores": scores,
            "model": self._worth_keeping(outcome), "checkpoint": outcome.checkpoint, "error": None, "traceback": None,
        }  # fmt: skip
        return state, values

    def _worth_keeping(self, trained: Trained) -> bytes | None:
        """The model of a run, unless only the best one is kept and it is not better than all others."""
        if self.plan.save_models == "best" and not self.plan.score.is_better(trained.score, self.lead):
            return None
        return trained.model

    def _decide(self, keys: Sequence[str], number: int) -> list[str]:
        """The runs that go on after a rung. The others stop."""
        rung = self.plan.rungs[number] or 0
        self._read()
        found = {one.key: self._as_of(one, rung) for one in self._results_of(keys)}
        chosen = self.plan.survivors([found[key] for key in keys], number)
        losers = [key for key in keys if key not in chosen and self.states[key].state == PAUSED]
        try:
            self.store.stop({key: self.states[key] for key in losers})
        except NotWrittenError as error:
            self._note(error)
            self._break_off()
        return [key for key in keys if key in chosen]

    def _as_of(self, result: RunResult, rung: int) -> RunResult:
        """A result as it was at a rung, also if the run has gone on since, in an earlier sweep or another one."""
        score, history = self.states[result.key].scores.get(rung), result.history
        if score is None and history is not None and len(history) >= rung and self.plan.score.function is None:
            score = getattr(history, self.plan.score.name)[rung - 1] if self.plan.score.name in history.names else None
        if history is not None and len(history) > rung:
            history = history.first(rung)
        return replace(result, score=result.score if score is None else score, history=history)

    def _complete_models(self) -> None:
        """Train again what is done and lacks a model that is to be kept. An earlier sweep did not keep it."""
        if not self.plan.save_models:
            return
        self._read()
        done = [key for key in self.plan.keys if self.states[key].state == DONE]
        if self.plan.save_models == "best":
            done = sorted(done, key=lambda key: self.plan.score.order(self.states[key].score))[:1]
        there = self.store.with_models()
        lacking = [key for key in done if key not in there]
        if not lacking:
            return
        self.shown.note(f"the store lacks models that are to be kept; runs that are trained again: {len(lacking)}")
        tickets = {}
        for key in lacking:
            run = self.plan.runs[key]
            tickets[self.pool.submit(train, Task(run, self.plan.score, run.budget or 0, keeps_model=True))] = key
        while tickets:
            for ticket, outcome in self.pool.finished(_LOOK):
                self._add_model(tickets.pop(ticket), outcome)

    def _add_model(self, key: str, outcome: Trained | Failure) -> None:
        """Add the model of a run that is done to the store."""
        if isinstance(outcome, Failure) or outcome.model is None:
            why = outcome.message if isinstance(outcome, Failure) else outcome.error
            warn_user(f"{self.plan.runs[key]!r} was trained again for its model, and failed: {why}", RuntimeWarning)
            return
        try:
            self.store.add_model(key, outcome.model)
            if self.plan.save_models == "best" and self.best is not None:
                self.store.drop_model(self.best)
        except NotWrittenError as error:
            self._note(error)
            self._break_off()

    # The store --------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Read how the runs of this sweep stand."""
        there = self.store.states()
        own = {key: self.states[key] for key, _ in (*self.tasks.values(), *self.unwritten)}
        self.states = {key: there[key] for key in self.plan.keys} | own
        for state in self.states.values():
            self._follow(state)
        self.looked = time.monotonic()

    def _follow(self, state: State) -> None:
        """Note the score of a run if it is done, and the best one so far."""
        if state.state == DONE and self.plan.score.is_better(state.score, self.lead):
            self.lead = state.score

    def _look(self, waiting: deque[str], until: dict[str, int]) -> deque[str]:
        """See what other sweeps have done, now and then; the runs that still wait."""
        if time.monotonic() - self.looked < _LOOK:
            return waiting
        try:
            self.store.look()
        except NotWrittenError as error:
            self._note(error)
        began = time.monotonic()
        self._read()
        self.looked += 10 * (time.monotonic() - began)  # a long store is not read all the time
        reached = [key for key in waiting if self._has_reached(key, until[key])]
        self.shown.count(self.states[key] for key in reached)
        return deque(key for key in waiting if key not in set(reached))

    def _write(self, key: str, values: dict[str, Any]) -> bool:
        """Write what came of a run, or keep it until the store can be written to again.

        False if another sweep has the run, because this one seemed dead: then the result is forgotten.
        """
        try:
            if not self.store.record(key, **values):
                return False
        except NotWrittenError as error:
            self.unwritten.append((key, values))
            self._note(error)
            return True
        if values.get("model") is not None and self.plan.save_models == "best":
            self.best, old = key, self.best
            with suppress(NotWrittenError):  # the old one takes room, and does no other harm
                if old is not None:
                    self.store.drop_model(old)
        return True

    def _write_again(self, waiting: deque[str]) -> None:
        """Try to write what could not be written. Runs that another sweep has by now wait for it."""
        if self.trouble is None:
            return
        self.trouble, unwritten = None, self.unwritten
        self.unwritten = []
        for number, (key, values) in enumerate(unwritten):
            if not self._write(key, values):
                self.states[key] = replace(self.states[key], state=RUNNING)
                waiting.append(key)
            if self.trouble is not None:
                self.unwritten += unwritten[number + 1 :]
                return
        try:
            self.store.look()
            self.told = False
        except NotWrittenError as error:
            self.trouble = error

    def _note(self, error: NotWrittenError) -> None:
        """Warn of a store that can't be written to, once until it can."""
        if not self.told:
            self.told = True
            warn_user(f"{error}; results are kept, and no new run begins until it can", RuntimeWarning, again=True)
        self.trouble = error

    def _break_off(self) -> None:
        error = SweepBrokenOffError(
            f"{self.trouble}; the sweep has ended. {len(self.unwritten)} results are not in the store: they are in "
            "this exception's attribute `results`, with all others. When there is room, the same sweep goes on"
        )
        error.results = self.results()
        raise error from self.trouble

    def results(self) -> SweepResult:
        """What came of each run so far, also what the store could not take."""
        return SweepResult(self._results_of(self.plan.keys), self.plan.score.name, larger=self.plan.score.larger)

    def _results_of(self, keys: Iterable[str]) -> list[RunResult]:
        return self.plan.results(self.store, list(keys), dict(self.unwritten))
