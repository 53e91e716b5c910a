"""Pools of processes: what tasks end with, shared data, killed workers, and that no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuromorph.sweeps.failures import DIED, RAISED, Failure
from neuromorph.sweeps.pool import LocalPool, Pool
from neuromorph.sweeps.sharing import place_in_file


def all_of(pool: Pool) -> dict[int, Any]:
    """The outcomes of all tasks by their tickets, each of which comes once."""
    found: dict[int, Any] = {}
    while pool.pending:
        for ticket, outcome in pool.finished(60.0):
            assert ticket not in found
            found[ticket] = outcome
    return found


def added(data: Any, number: int) -> Any:
    return number if data is None else float(data["a"].sum()) + number


def facts(data: Any) -> dict[str, Any]:
    """What a worker knows of its data, and what it is allowed."""
    kinds = {name: type(array.base).__name__ for name, array in data.items()}
    writeable = [name for name, array in data.items() if array.flags.writeable]
    same = {name: array.tolist() for name, array in data.items()}
    return {"kinds": kinds, "writeable": writeable, "same": same, "threads": os.environ["NEUROMORPH_NUM_THREADS"]}


def killed(data: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def process_number(data: Any) -> int:
    return os.getpid()


def refused(data: Any) -> None:
    raise ValueError("this one does not work")


def a_function(data: Any) -> Callable[[], None]:
    return lambda: None


def wait_for_end(process: int) -> None:
    """Return when a process is gone; an error if it is there for long."""
    for _ in range(500):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{process}/stat").exists() and Path(f"/proc/{process}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.01)
    raise AssertionError(f"process {process} is still there")


def test_tasks_end_with_values_and_errors_and_share_their_data(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", np.arange(12.0).reshape(4, 3))
    b = np.load(tmp_path / "b.npy", mmap_mode="r")
    data = {"a": np.arange(5.0), "cut": b[1:3, ::2], "turned": np.arange(6).reshape(2, 3).T, "none": np.zeros((0, 2))}
    with LocalPool(2, data) as pool:
        assert (pool.size, pool.pending, pool.finished()) == (2, 0, [])
        numbers = {pool.submit(added, number): number for number in range(5)}
        wrong, unsendable, known = pool.submit(refused), pool.submit(a_function), pool.submit(facts)
        assert pool.pending == 8
        found = all_of(pool)
    assert {ticket: found[ticket] for ticket in numbers} == {ticket: 10 + number for ticket, number in numbers.items()}
    assert (found[wrong].kind, found[wrong].error) == (RAISED, "ValueError")
    assert found[wrong].message == "ValueError: this one does not work"
    assert "in refused" in found[wrong].traceback
    assert "the result of a task can't be pickled" in found[unsendable].message
    assert found[known]["writeable"] == []
    assert found[known]["kinds"]["cut"] == "memmap"
    assert found[known]["same"] == {name: array.tolist() for name, array in data.items()}
    assert found[known]["threads"] == "1"


def test_only_what_is_in_a_file_is_mapped_there(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(10, dtype=np.int16))
    there = np.load(tmp_path / "a.npy", mmap_mode="r")
    offset = there.offset
    assert place_in_file(np.asarray(there)[4:][2:]) == (str(tmp_path / "a.npy"), offset + 12, there.dtype, (4,), (2,))
    changed = np.load(tmp_path / "a.npy", mmap_mode="c")
    changed[:] = 1
    assert place_in_file(changed) is None
    assert place_in_file(np.arange(3)) is None
    assert place_in_file(there[::-1]) is None


def test_a_killed_worker_costs_the_task_that_it_had() -> None:
    with LocalPool(1) as pool:
        first, bad, after = pool.submit(process_number), pool.submit(killed), pool.submit(process_number)
        found = all_of(pool)
    assert isinstance(found[bad], Failure)
    assert (found[bad].kind, found[bad].signal) == (DIED, signal.SIGKILL)
    assert str(found[bad]) == "the worker process was killed by SIGKILL"
    assert found[first] != found[after]
    wait_for_end(found[after])


def test_closing_ends_workers_in_the_middle_of_a_task() -> None:
    pool = LocalPool(1)
    pool.submit(process_number)
    ((_, process),) = pool.finished()
    pool.submit(slept, 60)
    assert pool.finished(0.05) == []
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 2.0
    wait_for_end(process)
    with pytest.raises(RuntimeError, match="the pool is closed"):
        pool.submit(process_number)


def slept(data: Any, seconds: float) -> None:
    time.sleep(seconds)


def test_a_slow_task_holds_up_no_other() -> None:
    with LocalPool(2) as pool:
        slow, *quick = pool.submit(slept, 1.0), *(pool.submit(added, number) for number in range(4))
        order = list(all_of(pool))
    assert sorted(order[:4]) == quick
    assert order[4] == slow


def test_what_cant_be_sent_is_an_error_at_once() -> None:
    with LocalPool(1) as pool, pytest.raises(TypeError, match=r"can't be sent to another process: .*and no lambda"):
        pool.submit(lambda data: 1)


def test_workers_that_cant_start_are_an_error() -> None:
    class Odd:
        def __reduce__(self) -> Any:
            return (os._exit, (3,))

    pool = LocalPool(1, Odd())
    pool.submit(process_number)
    with pytest.raises(RuntimeError, match=r"no worker can be started: .*status 3 before its first task"):
        pool.finished()
    pool.close()


PROGRAM = """
import os, sys, time
from neuromorph.sweeps.pool import LocalPool

def double(data, number):
    return 2 * number

def told(data):
    os.write(1, b"%d\\n" % os.getpid())  # in one piece
    time.sleep(60)

if len(sys.argv) > 1:
    pool = LocalPool(2)
    pool.submit(told), pool.submit(told)
    pool.finished()
else:
    with LocalPool(1) as pool:
        pool.submit(double, 4)
        print(pool.finished()[0][1])
"""


def test_functions_of_a_program_need_its_main_guard_only_if_it_begins_a_pool(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    found = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
    assert 'under if __name__ == "__main__":' in found.stdout
    program.write_text(PROGRAM.replace("if len", "if __name__ != '__main__':\n    pass\nelif len"))
    found = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "8\n"


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("if len", "if __name__ != '__main__':\n    pass\nelif len"))
    with subprocess.Popen([sys.executable, program, "wait"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    for process in workers:
        wait_for_end(process)
