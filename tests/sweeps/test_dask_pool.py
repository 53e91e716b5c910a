"""Sweeps on a Dask cluster: what tasks end with, lost workers, lost data, a lost scheduler."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers import sweeping
from neuromorph.errors import ClusterError
from neuromorph.sweeps import dask_pool
from neuromorph.sweeps.dask_pool import DaskPool
from neuromorph.sweeps.failures import DIED, RAISED, Failure

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("error:the Dask cluster has no workers")  # it would wait for ever


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of two worker processes of one thread."""
    os.environ[sweeping.LOG] = str(tmp_path_factory.mktemp("dask") / "log")
    options = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


def outcomes(pool: DaskPool, *tickets: int) -> list[Any]:
    """What tasks end with, each once, in the order of their tickets."""
    found: dict[int, Any] = {}
    while pool.pending:
        for ticket, outcome in pool.finished(30.0):
            assert ticket not in found
            found[ticket] = outcome
    assert found.keys() == set(tickets)
    return [found[ticket] for ticket in tickets]


def test_tasks_end_with_values_and_errors(client: Any) -> None:
    """Functions that stand in no module go along with their tasks."""
    data = {"a": np.arange(5.0), "list": [1, 2]}
    with DaskPool(client, data) as pool:
        assert (pool.size, pool.pending, pool.finished()) == (2, 0, [])
        taken = [
            pool.submit(lambda given, number: given["a"][number] + given["list"][1], number) for number in range(5)
        ]
        bad, odd = pool.submit(lambda given: 1 / 0), pool.submit(lambda given: (n for n in given))
        assert pool.pending == 7
        *values, error, unsendable = outcomes(pool, *taken, bad, odd)
    assert values == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert isinstance(error, Failure)
    assert (error.kind, error.error, error.message) == (
        RAISED,
        "ZeroDivisionError",
        "ZeroDivisionError: division by zero",
    )
    assert "cannot pickle 'generator' object" in unsendable.message
    with pytest.raises(RuntimeError, match="the pool is closed"):
        pool.submit(len)


def kill(data: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_lost_worker_costs_the_task_that_it_had_and_lost_data_are_sent_again(client: Any) -> None:
    """The two tasks kill both workers, which hold the data."""
    with DaskPool(client, np.arange(3)) as pool:
        first = outcomes(pool, pool.submit(lambda data: os.getpid()))[0]
        deadly = [pool.submit(kill) for _ in range(2)]
        good = [pool.submit(lambda data, number: int(data.sum()) + number, number) for number in range(4)]
        *lost, a, b, c, d = outcomes(pool, *deadly, *good)
        last = outcomes(pool, pool.submit(lambda data: os.getpid()))[0]
    assert [(one.kind, one.message.split(" tcp")[0]) for one in lost] == [(DIED, "the Dask worker")] * 2
    assert all(str(one).endswith("was lost") for one in lost)
    assert [a, b, c, d] == [3, 4, 5, 6]
    assert first != last


def test_a_sweep_on_a_cluster_gives_what_one_on_this_machine_gives(client: Any, tmp_path: Path) -> None:
    runs, data, store = sweeping.runs(5, budget=None), sweeping.data(), tmp_path / "runs.sqlite"
    found = nm.sweep(runs, data, client=client, rungs=(1, 3), save_models="best", store=store, verbosity=0)
    wanted = nm.sweep(runs, data, workers=0, rungs=(1, 3), verbosity=0)
    assert [one.score for one in found] == [one.score for one in wanted]
    assert [one.state for one in found] == [one.state for one in wanted]
    assert found.best.model().history.loss == found.best.history.loss
    from neuromorph.distributed import sweep

    again = sweep(client, runs, data, rungs=(1, 3), store=store, verbosity=0)
    assert [one.key for one in again] == [one.key for one in found]
    assert [one.seconds for one in again] == [one.seconds for one in found], "nothing is trained again"


def test_a_run_that_kills_its_worker_is_tried_once_more(client: Any) -> None:
    found = nm.sweep(sweeping.runs(3), sweeping.data(), client=client, score=sweeping.deadly, verbosity=0)
    assert [(one.state, one.failures) for one in found] == [("failed", 2), ("done", 1), ("done", 0)]
    assert found[0].error.startswith("the Dask worker tcp://")


def test_a_worker_with_another_version_or_none_ends_the_sweep(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run counts as failed, and each worker is asked once."""
    runs, given = sweeping.runs(3), {"client": client, "store": tmp_path / "runs.sqlite", "verbosity": 0}
    wanted = r"the Dask worker tcp://\S+ must have neuromorph {}, as this process has: {}"
    with monkeypatch.context() as patch:
        patch.setattr(dask_pool, "__version__", "0.0.7")
        with pytest.raises(ClusterError, match=wanted.format("0.0.7", f"it has {nm.__version__}")):
            nm.sweep(runs, sweeping.data(), **given)

    def missing(version: str) -> None:
        raise ModuleNotFoundError("No module named 'neuromorph'")

    with monkeypatch.context() as patch:
        patch.setattr(dask_pool, "_check", missing)
        with pytest.raises(ClusterError, match=wanted.format(nm.__version__, "No module named 'neuromorph'")):
            nm.sweep(runs, sweeping.data(), **given)
    asked: list[Any] = []
    submit = client.submit
    monkeypatch.setattr(client, "submit", lambda *these, **more: asked.append(these[0]) or submit(*these, **more))
    found = nm.sweep(runs, sweeping.data(), **given)
    assert [(one.state, one.failures) for one in found] == [("done", 0)] * 3
    assert 1 <= asked.count(dask_pool._check) <= 2, "one that was killed before may not be back yet"


def test_a_scheduler_that_is_gone_is_an_error_and_results_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv(sweeping.LOG, str(log))
    options = {"processes": False, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, **options)
    client = distributed.Client(cluster)

    def end_scheduler() -> None:
        while len(sweeping.noted(log)) < 3:
            time.sleep(0.01)
        cluster.loop.add_callback(cluster.scheduler.close)

    ending = threading.Thread(target=end_scheduler)
    ending.start()
    given = {"score": sweeping.steady, "store": tmp_path / "runs.sqlite", "verbosity": 0}
    with pytest.raises(ConnectionError, match=r"the Dask client has no scheduler any more|does not answer"):
        nm.sweep(sweeping.runs(8), sweeping.data(), client=client, **given)  # type: ignore[arg-type]
    ending.join()
    client.close(timeout=1)
    with suppress(TimeoutError):
        cluster.close(timeout=0.1)
    before = len(sweeping.noted(log))
    found = nm.sweep(sweeping.runs(8), sweeping.data(), workers=0, **given)  # type: ignore[arg-type]
    assert [one.state for one in found] == ["done"] * 8
    assert 8 <= len(sweeping.noted(log)) <= 10, "at most the runs that were on their way are trained anew"
    assert before < 8


def test_a_cluster_without_workers_is_waited_for_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_pool, "ALONE", 0.1)
    options = {"processes": False, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with distributed.LocalCluster(n_workers=0, **options) as cluster, distributed.Client(cluster) as client:
        pool = DaskPool(client, [1, 2])
        ticket = pool.submit(lambda data: sum(data))
        with pytest.warns(RuntimeWarning, match="the Dask cluster has no workers; 1 tasks wait for one"):
            assert pool.finished(2.0) == []
        cluster.scale(1)
        assert pool.finished(60.0) == [(ticket, 3)]
        pool.close()


def test_what_is_no_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client, not 3"):
        nm.sweep(sweeping.runs(), sweeping.data(), client=3)

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(dask_pool, "imported", missing)
    with pytest.raises(ImportError, match=r'pip install "neuromorph\[distributed\]"'):
        nm.sweep(sweeping.runs(), sweeping.data(), client=3)
