"""Sweeps that end in the middle, or that share a store: nothing is lost, trained twice, or left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

import pytest

import neuromorph as nm
from helpers import sweeping
from helpers.sweeping import data, noted, runs
from neuromorph.sweeps.store import Store

TESTS = Path(sweeping.__file__).parents[1]
PROGRAM = """
import signal, sys
from helpers import sweeping
import neuromorph as nm

signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background, it is ignored
score, workers, store = sys.argv[1:]
runs, score = sweeping.runs(6, budget=1), getattr(sweeping, score)
try:
    found = nm.sweep(runs, sweeping.data(), score=score, workers=int(workers), store=store, verbosity=0)
except KeyboardInterrupt as error:
    print("interrupted:", sum(one.state == "done" for one in error.results), "of", len(error.results), *error.__notes__)
else:
    print(*(f"{one.score:.1f}" for one in found))
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(sweeping.LOG, str(tmp_path / "log"))
    return tmp_path / "log"


def begun(score: str, workers: int, store: Path) -> subprocess.Popen[str]:
    """A process that sweeps six runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    command = [sys.executable, "-c", PROGRAM, score, str(workers), str(store)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def until(log: Path, count: int) -> list[tuple[str, int]]:
    """Wait until so many trainings have been noted."""
    for _ in range(3000):
        if len(found := noted(log)) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"only {noted(log)} were trained")


def gone(processes: set[int]) -> bool:
    """Whether all of these processes end soon."""
    for _ in range(500):
        if not any(map(_is_there, processes)):
            return True
        time.sleep(0.01)
    return False


def _is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read(pipe: IO[str] | None) -> str:
    assert pipe is not None
    return pipe.read()


def finish(store: Path) -> Any:
    return nm.sweep(runs(6, budget=1), data(), score=sweeping.slow, workers=0, store=store, verbosity=0)


@pytest.mark.parametrize("how", [getattr(signal, "SIGKILL", signal.SIGTERM), signal.SIGINT])
def test_a_sweep_that_is_broken_off_goes_on(
    how: signal.Signals, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of six runs are done, and two are under way, when the coordinator is killed or gets Ctrl-C."""
    store = tmp_path / "runs.sqlite"
    with begun("slow", 2, store) as process:
        workers = {number for _, number in until(log, 4)}
        while Counter(one.state for one in states(store))["done"] < 2:
            time.sleep(0.01)
        process.send_signal(how)
        process.wait(30)
        said = read(process.stdout)
    assert len(workers) == 2
    assert gone(workers)
    left = Counter(one.state for one in states(store))
    if how == signal.SIGINT:
        assert said.startswith(
            f"interrupted: 2 of 6 the results so far are in {store}: the same sweep goes on from there"
        )
        assert left == {"done": 2, "waiting": 4}
    else:
        assert left["running"] >= 2
    monkeypatch.setattr(sweeping.time, "sleep", lambda seconds: None)
    found = finish(store)
    assert [one.state for one in found] == ["done"] * 6
    assert [one.failures for one in found] == [0] * 6, "a training that was broken off has not failed"
    times = Counter(mark for mark, _ in noted(log))
    assert times == {"0.1": 1, "0.2": 1, "0.3": 2, "0.4": 2, "0.5": 1, "0.6": 1}


def states(store: Path) -> list[Any]:
    if not store.exists():
        return []
    try:
        with Store(store) as opened:
            return list(opened.states().values())
    except OSError:  # it is being made
        return []


def test_two_sweeps_on_one_store_share_the_runs(log: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs.sqlite"
    with begun("steady", 0, store) as process:
        until(log, 1)
        found = nm.sweep(runs(6, budget=1), data(), score=sweeping.steady, workers=0, store=store, verbosity=0)
        said = read(process.stdout)
    assert [one.score for one in found] == pytest.approx([0.1 * (number + 1) for number in range(6)])
    assert said == "0.1 0.2 0.3 0.4 0.5 0.6\n"
    trained = noted(log)
    assert Counter(mark for mark, _ in trained) == {f"0.{number + 1}": 1 for number in range(6)}
    assert len({process for _, process in trained}) == 2, "both have trained some"
