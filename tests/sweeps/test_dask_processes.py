"""A sweep on a scheduler and workers that are processes of their own, with TLS, and that are killed in the middle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("distributed")

import neuromorph as nm
from helpers import sweeping
from helpers.dask_processes import DaskProcesses, certificates

RUNS, RUNGS = 6, (1, 3)


def test_nothing_is_lost_or_counted_twice_when_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies in the second rung, with a run that goes on from its checkpoint on the other worker."""
    log = tmp_path / "log"
    monkeypatch.setenv(sweeping.LOG, str(log))
    certificates(tmp_path)
    processes = DaskProcesses(tmp_path, tmp_path)
    try:
        processes.have(2)
        with processes.client() as client:
            client.wait_for_workers(2)
            given = {"score": sweeping.deadly_later, "rungs": RUNGS, "verbosity": 0, "store": tmp_path / "runs.sqlite"}
            found = nm.sweep(sweeping.runs(RUNS, budget=None), sweeping.data(), client=client, **given)
            alive = [process.lives() for process in processes.workers.values()]
    finally:
        processes.stop()
    assert sorted(alive) == [False, True]
    times = Counter(mark for mark, _ in sweeping.noted(log))
    monkeypatch.setenv(sweeping.LOG, str(tmp_path / "alone"))
    alone = nm.sweep(
        sweeping.runs(RUNS, budget=None), sweeping.data(), workers=0, score=sweeping.plain, rungs=RUNGS, verbosity=0
    )
    wanted = Counter(mark for mark, _ in sweeping.noted(tmp_path / "alone"))
    assert times == wanted + Counter(["0.2"]), "the run that was lost is trained once more, and no other one"
    assert [one.failures for one in found] == [0, 1, *[0] * (RUNS - 2)]
    for mine, other in zip(found, alone, strict=True):
        assert (mine.state, mine.epochs) == (other.state, other.epochs)
        assert mine.score == pytest.approx(other.score)
        assert mine.history.loss == other.history.loss
