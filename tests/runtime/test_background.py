"""Requests to the process that compiles in the background, and that process's own rules, with nothing compiled."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import REPOSITORY
from helpers.texts import text_of
from neuromorph.errors import CompilerWarning
from neuromorph.jit import bundles, cache
from neuromorph.runtime import background, compiler_process, hanging
from neuromorph.runtime.background import Compiler, Request
from neuromorph.runtime.compiler_process import Worker

ANSWERS = (
    "import json, sys\nanswers = open(int(sys.argv[2]), 'w')\nfor line in sys.stdin:\n    m = json.loads(line)\n    "
)
ENTRY = "0" * 64


def entry(number: int) -> str:
    return f"{number:064x}"


def until(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true result of a function."""
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Compiler]:
    """A compiler whose process is a script: ``use`` sets what it does with each message ``m``."""
    made = Compiler()
    monkeypatch.setattr(background, "_compiler", made)
    monkeypatch.setattr(background, "_refused", {})
    yield made
    made.stop()


def use(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    monkeypatch.setattr(background, "_START", ANSWERS + statement)


def said(text: str) -> str:
    return f"print({text}, file=answers, flush=True)"


DONE = said("json.dumps({'done': m['job']})")
FAILED = said("json.dumps({'failed': m['job'], 'reason': 'no ' + m['text']})")


def test_requests_are_answered(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"{DONE} if m['text'] == 'a' else {FAILED}")
    made = [background.request({"text": text}, entry(n)) for n, text in enumerate("abab")]
    assert until(lambda: all(request.poll() for request in made))
    assert [request.reason for request in made] == [None, "no b", None, "no b"]
    assert not compiler.requests
    assert not compiler.unsent


def test_who_asks_for_the_same_gets_the_same_request(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, DONE)
    first = background.request({}, ENTRY)
    assert background.request({}, ENTRY) is first
    assert background.request({}, entry(1)) is not first
    assert until(first.poll)
    assert background.request({}, ENTRY) is not first


def test_another_folder_of_the_cache_has_a_request_of_its_own(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, DONE)
    first = background.request({}, ENTRY)
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path))
    other = background.request({}, ENTRY)
    assert other is not first
    assert (other.folder, background.request({}, ENTRY)) == (str(tmp_path), other)


def test_the_variables_of_the_moment_go_with_a_request(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, said("json.dumps({'failed': m['job'], 'reason': m['variables']['NEUROMORPH_X']})"))
    monkeypatch.setenv("NEUROMORPH_X", "7")
    made = background.request({}, ENTRY)
    assert until(made.poll)
    assert made.reason == "7"


def test_a_request_that_nobody_has_any_more_is_taken_back(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script answers the first job when it hears that the second one is dropped."""
    use(monkeypatch, said("json.dumps({'done': m['drop'] - 1})") + " if 'drop' in m else None")
    first, second = (background.request({}, entry(n)) for n in range(2))
    del second
    assert until(first.poll)


def test_what_nobody_needs_any_more_is_taken_back_at_once(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a model is released: there is no other request that would be looked at."""
    use(monkeypatch, said("json.dumps({'done': m['drop']})") + " if 'drop' in m else None")
    made = background.request({}, ENTRY)
    number = made.number
    os.set_blocking(compiler.answers, True)
    del made
    monkeypatch.setattr(compiler, "_read", lambda: True)
    background.drop_unneeded()
    with open(compiler.answers, "rb", closefd=False) as answers:
        assert json.loads(answers.readline()) == {"done": number}


def test_what_others_print_is_no_answer(compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever runs at the start of a Python may print, also what looks like an answer, and half a line."""
    noise = """print('hello'); print('{"done": 1}'); print('half', end='', flush=True)"""
    (tmp_path / "sitecustomize.py").write_text(noise)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    use(monkeypatch, f"print('noise'); {DONE}")
    made = background.request({}, ENTRY)
    assert until(made.poll)
    assert made.reason is None


FILES = "{'kernel.bin': 'QUJD' * 99999}"
UNSTORED = f"{{'failed': m['job'], 'reason': 'the disk is full', 'unstored': True, 'files': {FILES}}}"


def test_a_long_answer_is_read_whole(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has begun, also if the other process writes it in parts. A pipe takes 64 KB."""
    use(monkeypatch, said(f"json.dumps({UNSTORED})"))
    made = background.request({"machine": []}, ENTRY)
    started = until(lambda: select.select([compiler.answers], [], [], 1.0)[0])
    assert started
    assert made.poll()
    assert made.unstored
    assert made.files == {"kernel.bin": b"ABC" * 99999}


def test_a_cache_that_does_not_take_kernels_is_asked_for_none_for_a_while(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models that wait hear of it too. A machine is compiled all the same, as it comes through the pipe."""
    use(monkeypatch, f"m.get('text') == 'a' and {said(f'json.dumps({UNSTORED})')}")
    others = [background.request({"text": "b"}, entry(n)) for n in (1, 2)]
    machine = background.request({"machine": [], "text": "b"}, entry(3))
    assert background.refusal() is None
    first = background.request({"text": "a"}, ENTRY)
    assert until(first.poll)
    assert [(request.ended, request.reason) for request in (*others, machine)] == [
        (True, "the disk is full"), (True, "the disk is full"), (False, None)
    ]  # fmt: skip
    monkeypatch.setattr(compiler, "add", None)  # nothing is asked for any more
    later = background.request({"text": "a"}, entry(4))
    assert (later.ended, later.unstored, later.reason) == (True, True, "the disk is full")
    assert background.refusal() is not None
    monkeypatch.setattr(background, "AGAIN", 0.0)
    assert background.refusal() is None


def test_many_long_messages_do_not_wait_for_the_other_process(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_START", "import time; time.sleep(2.0)\n" + ANSWERS + DONE)
    started = time.monotonic()
    made = [background.request({"text": "x" * 50_000}, entry(n)) for n in range(40)]
    assert time.monotonic() - started < 2.0  # the pipe takes 64 KB, and nobody reads yet
    assert until(lambda: all(request.poll() for request in made))


@pytest.mark.parametrize("end", ["sys.exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_process_that_dies_fails_its_jobs_and_is_replaced_for_later_ones(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    use(monkeypatch, "import os; " + end)
    lost = background.request({}, ENTRY)
    assert until(lost.poll)
    assert lost.reason is not None
    assert lost.reason.startswith("the process that compiles has ended with status ")
    assert lost.lost
    use(monkeypatch, DONE)
    other = background.request({}, ENTRY)
    assert until(other.poll)
    assert other.reason is None


def test_a_process_that_dies_each_time_is_given_up(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "sys.exit(3)")
    for _ in range(background.MOST_DEATHS):
        assert until(background.request({}, ENTRY).poll)
    last = background.request({}, ENTRY)
    assert last.ended
    assert last.reason == "the process that compiles has ended too often"
    assert background.is_given_up()


def test_a_process_that_had_been_idle_is_started_again(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "IDLE", 0.0)
    use(monkeypatch, "sys.exit(0)")
    made = background.request({}, ENTRY)
    use(monkeypatch, DONE)
    assert until(made.poll)
    assert made.reason is None


def test_a_process_that_ends_at_once_is_not_started_for_ever(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status of 0 does not say that it was idle: the program beside a Python that is embedded may be any one."""
    monkeypatch.setattr(background, "_START", "")
    lost = background.request({}, ENTRY)
    assert until(lost.poll)
    assert lost.reason == "the process that compiles has ended with status 0"
    assert compiler.deaths == 1


def test_folders_of_imports_that_are_no_text_are_left_out(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [REPOSITORY, *sys.path])  # a Path, which Python's imports leave out too
    use(monkeypatch, DONE)
    made = background.request({}, ENTRY)
    assert until(made.poll)
    assert made.reason is None


def test_modules_of_the_present_folder_are_not_imported(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    use(monkeypatch, DONE)
    made = background.request({}, ENTRY)
    assert until(made.poll)
    assert made.reason is None


def test_a_program_may_close_all_descriptors(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, DONE)
    first = background.request({}, ENTRY)
    os.close(compiler.answers)
    assert until(first.poll)
    assert first.lost
    second = background.request({}, entry(1))
    assert until(second.poll)
    assert second.reason is None


def test_no_process_can_be_started(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    made = background.request({}, ENTRY)
    assert made.ended
    assert made.reason == "no process can be started: No such file or directory"
    assert background.request({}, ENTRY).reason == made.reason
    assert background.is_given_up()


def test_one_warning_for_all_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_warned", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        background.warn_once("the disk is full. Kernels are compiled in memory.")
        background.warn_once("something else")
    assert [(item.category, str(item.message)) for item in caught] == [
        (
            CompilerWarning,
            "kernels can't be compiled in the background: the disk is full. Models keep the tier 'instant'",
        )
    ]


@pytest.mark.parametrize("said", ["nothing", "an entry was damaged", f"the disk is full.{cache.IN_MEMORY}"])
def test_one_warning_in_all_of_a_cache_that_takes_nothing(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """That of the cache, where this process has compiled something too, or that of the compiler."""
    monkeypatch.setattr(background, "_warned", set())
    monkeypatch.setattr(cache, "_warned", {} if said == "nothing" else {str(cache.root()): [said]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        background.warn_once("the disk is full", of_cache=True)
        background.warn_once("something else")
        cache.warn_once(f"the disk is full.{cache.IN_MEMORY}")
    assert [item.category for item in caught] == ([] if cache.IN_MEMORY in said else [CompilerWarning])


def test_a_forked_child_looks_at_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no process of its own for the requests of its parent."""
    made = Request({}, ENTRY, process=os.getppid())
    assert not made.poll()
    monkeypatch.setattr(cache, "has", lambda key: key == ENTRY)
    made.looked = 0.0
    assert made.poll()
    assert made.reason is None


@pytest.mark.parametrize("trouble", ["the parent has ended", "the parent does not get it compiled"])
def test_a_forked_child_asks_for_itself(compiler: Compiler, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    """Else who waits for the kernels would wait for ever."""
    use(monkeypatch, DONE)
    monkeypatch.setattr(cache, "has", lambda key: False)
    made = Request({"job": 10**6}, ENTRY, 10**6, process=0 if trouble == "the parent has ended" else os.getppid())
    if trouble != "the parent has ended":
        assert not made.poll()
        assert compiler.process is None
        monkeypatch.setattr(background, "PATIENCE", 0.0)
    assert until(made.poll)
    assert made.reason is None


# The other process ----------------------------------------------------------------------------------------------------


class Pipes:
    """A worker between two pipes, and what it does with jobs in place of compiling."""

    def __init__(self) -> None:
        source, self.to_worker = os.pipe()
        self.from_worker, target = os.pipe()
        self.worker = Worker(source, target)

    def send(self, *messages: dict[str, Any]) -> None:
        os.write(self.to_worker, b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def answer(self) -> dict[str, Any]:
        while self.worker.running or self.worker.waiting:
            self.worker.step()
        found: dict[str, Any] = json.loads(os.read(self.from_worker, 4096).splitlines()[-1])
        return found


def job(number: int, **what: Any) -> dict[str, Any]:
    return {"job": number, "variables": {}, **what}


@pytest.fixture
def pipes(monkeypatch: pytest.MonkeyPatch) -> Pipes:
    monkeypatch.setattr(compiler_process, "YOUTH", 0.02)
    return Pipes()


def test_a_job_that_is_stored_is_done(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler_process, "compiled", lambda what: True)
    pipes.send(job(4))
    pipes.worker.step()
    assert pipes.answer() == {"done": 4}


def test_a_job_has_the_variables_and_the_processors_of_who_asked(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of an earlier moment are gone: kernels depend on them."""
    monkeypatch.setenv("NEUROMORPH_X", "early")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    one = sorted(os.sched_getaffinity(0))[0]
    seen = "NEUROMORPH_X", "NEUROMORPH_Y", "OMP_NUM_THREADS"

    def compiled(what: Any) -> bool:
        raise ValueError(f"{[os.environ.get(name) for name in seen]} {os.sched_getaffinity(0)}")

    monkeypatch.setattr(compiler_process, "compiled", compiled)
    pipes.send(job(4, variables={"NEUROMORPH_Y": "7"}, processors=[one]))
    pipes.worker.step()
    assert pipes.answer()["reason"] == f"ValueError: [None, '7', None] {{{one}}}"


def test_nothing_is_compiled_under_another_key() -> None:
    """Numba's settings may have been changed by the program that asks."""
    options = {"batch_size": 1, "bptt_steps": 1, "optimizer": "sgd", "dtype": "float32", "threads": 1, "frozen": []}
    what = {"text": text_of(""), "options": options, "skips": False, "entry": ENTRY}
    for asked in (what, {"machine": ["float32", 8, 16], "entry": ENTRY}):
        with pytest.raises(RuntimeError, match="has changed settings"):
            compiler_process.compiled(asked)


NOT_TAKEN = "the cache of compiled kernels did not take it"
TOO_LARGE = "they are larger than the limit of the cache, NEUROMORPH_CACHE_SIZE"


def fail(what: Any) -> bool:
    raise ValueError("a\nriddle")


def warn(what: Any) -> bool:
    warnings.warn("the disk is full", stacklevel=1)
    return False


def keep(what: Any) -> bool:
    assert bundles._unstored is not None
    bundles._unstored.files[ENTRY] = {"kernel.bin": b"ABC"}
    return False


def keep_large(what: Any) -> bool:
    assert bundles._unstored is not None
    bundles._unstored.too_large.add(ENTRY)
    return keep(what)


def die(what: Any) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


@pytest.mark.parametrize(
    ("act", "reason", "more"),
    [
        (fail, "ValueError: a\nriddle", {}),
        (warn, "the disk is full", {"unstored": True}),
        (keep, NOT_TAKEN, {"unstored": True, "files": {"kernel.bin": "QUJD"}}),
        (keep_large, TOO_LARGE, {"files": {"kernel.bin": "QUJD"}}),  # which says nothing about other kernels
        (lambda what: False, NOT_TAKEN, {"unstored": True}),
        (die, "the compiler was ended by signal 9", {"lost": True}),
        (lambda what: os._exit(5), "the compiler ended with status 5", {"lost": True}),
    ],
)
def test_a_job_that_fails(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch, act: Callable[[Any], bool], reason: str, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(compiler_process, "compiled", act)
    pipes.send(job(4, machine=[], entry=ENTRY))
    pipes.worker.step()
    assert pipes.answer() == {"failed": 4, "reason": reason, **more}


def test_the_newest_job_is_first_and_waits_a_moment(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    monkeypatch.setattr(pipes.worker, "fork", lambda one: begun.append(one.number))
    pipes.send(job(1), job(2), job(3), {"drop": 2})
    pipes.worker.step()
    assert not begun
    while pipes.worker.waiting:
        pipes.worker.step()
    assert begun == [3, 1]


def test_a_machine_that_many_wait_for_comes_first(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    monkeypatch.setattr(pipes.worker, "fork", lambda one: begun.append(one.number))
    pipes.send(job(1), job(2, machine=["float32", 8, 16]), job(3))
    pipes.worker.step()
    while pipes.worker.waiting:
        pipes.worker.step()
    assert begun == [2, 3, 1]


def test_a_dropped_job_is_killed(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler_process, "compiled", lambda what: time.sleep(60) or True)
    pipes.send(job(1))
    while pipes.worker.running is None:
        pipes.worker.step()
    process = pipes.worker.running.process
    pipes.send({"drop": 1})
    pipes.worker.step()
    assert pipes.worker.running is None
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def computes(what: Any) -> bool:
    while True:
        pass


def waits(what: Any) -> bool:
    return bool(time.sleep(60))


def test_a_job_that_computes_for_ever_is_ended(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hanging, "MOST_COMPUTING", 1)
    monkeypatch.setattr(compiler_process, "compiled", computes)
    pipes.send(job(4))
    pipes.worker.step()
    assert pipes.answer() == {
        "failed": 4, "reason": "the compiler took more than 1 s of processor time", "lost": True
    }  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/proc"), reason="reads /proc")
def test_a_job_that_waits_for_ever_is_ended(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hanging, "MOST_WAITING", 0.3)
    monkeypatch.setattr(hanging, "TICK", 0.05)
    monkeypatch.setattr(compiler_process, "compiled", waits)
    pipes.send(job(4), job(5))
    pipes.worker.step()
    answer = pipes.answer()
    assert (answer["failed"], answer["reason"][:27]) == (4, "the compiler has waited for")


@pytest.mark.parametrize(
    ("state", "used", "slept", "ended"),
    [
        ("S", 7, 0.0, True),  # it waits
        ("D", 7, 0.0, True),
        ("T", 7, 0.0, False),  # it is stopped
        ("R", 7, 0.0, False),  # it would run, if the machine had a processor for it
        ("S", None, 0.0, False),  # it has computed since the last look
        ("S", 7, 3600.0, False),  # the process that looks was stopped as well
    ],
)
def test_only_waiting_counts(
    monkeypatch: pytest.MonkeyPatch, state: str, used: int | None, slept: float, ended: bool
) -> None:
    ticks, now = itertools.count(), [0.0]
    monkeypatch.setattr(hanging.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(hanging, "_seen", lambda process: (state, next(ticks) if used is None else used))
    waiting, reasons = hanging.Waiting(1, looked=0.0), []
    for _ in range(3 + int(hanging.MOST_WAITING / hanging.TICK)):
        now[0] += hanging.TICK + slept
        reasons.append(waiting.look())
    assert any(reasons) is ended


def test_the_worker_ends_with_its_input_or_when_it_is_idle(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    os.close(pipes.to_worker)
    pipes.worker.serve()
    other = Pipes()
    monkeypatch.setattr(compiler_process, "IDLE", 0.05)
    other.worker.serve()


PARENT = """
import time
from neuromorph.runtime import background, compiler_process
background._START = background._START.replace("; main(", "; compiler_process = sys.modules[main.__module__]; "
    "compiler_process.compiled = lambda what: __import__('time').sleep(60); main(")
made = background.request({}, "0" * 64)
while True:
    made.poll()
    print(background._compiler.process.pid, flush=True)
    time.sleep(0.1)
"""


@pytest.mark.skipif(not os.path.exists("/proc"), reason="reads /proc")
def test_jobs_of_models_are_nice_and_end_with_the_process_that_asked() -> None:
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert (jobs := until(lambda: _children(worker)))
        assert until(lambda: {os.getpriority(os.PRIO_PROCESS, one) for one in jobs} == {19})  # a job begins with it
        parent.kill()
    assert until(lambda: not any(map(_runs, [worker, *jobs])))


@pytest.mark.skipif(not os.path.exists("/proc"), reason="reads /proc")
@pytest.mark.parametrize("end", [subprocess.Popen.kill, subprocess.Popen.terminate])
def test_the_job_of_a_machine_goes_on_when_the_process_that_asked_has_ended(end: Any) -> None:
    """Short programs would never get one else."""
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    program = PARENT.replace("request({}", 'request({"machine": []}')
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        jobs = until(lambda: _children(worker))
        assert jobs
        end(parent)
    try:
        assert until(lambda: not _runs(worker))
        assert all(map(_runs, jobs))
    finally:
        for job in jobs:
            os.kill(job, signal.SIGKILL)


def _children(process: int) -> list[int]:
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def _runs(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
