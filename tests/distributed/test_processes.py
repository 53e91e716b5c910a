"""Runs on a scheduler and workers that are processes of their own, with TLS, and that are killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("distributed")

from distributed import Client

import neuromorph as nm
from helpers.dask_processes import DaskProcesses, Paced, ask, certificates
from helpers.paths import TESTS
from neuromorph import distributed as cluster
from neuromorph.distributed import watching
from neuromorph.distributed.member import members_here

TEXT = "/xavier,zero/ (x, 3) {both, r, concatenate} (h, 5, <tanh>) [t, [r,]] (y, 2, <linear>, <mse>)"
LANES, STEPS, GROUPS = 6, 4, 100
RNG = np.random.default_rng(3)
X = RNG.normal(size=(LANES * GROUPS, STEPS, 3))
Y = np.tanh(X[..., :2].cumsum(axis=1))


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    folder = tmp_path_factory.mktemp("certificates")
    certificates(folder)
    found = DaskProcesses(tmp_path_factory.mktemp("workers"), folder)
    try:
        found.have(3)
        yield found
    finally:
        found.stop()


@pytest.fixture
def client(processes: DaskProcesses) -> Iterator[Client]:
    """A client of three workers."""
    processes.have(3)
    with processes.client() as found:
        found.wait_for_workers(3)
        yield found


@pytest.fixture
def pace(tmp_path: Path) -> Paced:
    return Paced(str(tmp_path))


def made() -> nm.Model:
    return nm.build(nm.compile(TEXT, LANES, 0.05, optimizer=nm.Adam(), dtype="float64"), seed=3)


def fitted_alone(epochs: int) -> nm.Model:
    model = made()
    model.fit(X, Y, epochs=epochs, layout="NSW", progress=False)
    return model


def fit(client: Client, model: nm.Model, pace: Paced, epochs: int = 1, **options: Any) -> cluster.ClusterHistory:
    schedule = nm.LearningRateSchedule(pace, per="update")
    given = {"layout": "NSW", "progress": False, "callbacks": schedule, "epochs": epochs, "patience": 10.0, **options}
    return cluster.fit(client, model, X, Y, **given)


def assert_same(one: nm.Model, other: nm.Model) -> None:
    for name, value in one.get_parameters().items():
        np.testing.assert_allclose(value, other.get_parameters()[name], rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.history.loss, other.history.loss, rtol=0, atol=1e-12)
    assert one.history.updates == other.history.updates


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for a condition; what it is."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def assert_nothing_is_left(client: Client) -> None:
    until(lambda: not any(client.run(members_here).values()), 5.0)


def test_three_processes_give_what_one_gives(client: Client, pace: Paced) -> None:
    model = made()
    history = fit(client, model, pace, epochs=2)
    assert_same(fitted_alone(2), model)
    assert (history.cluster.workers, history.cluster.events) == ([3, 3], [])
    assert_nothing_is_left(client)


def test_nothing_is_lost_or_counted_twice_when_workers_are_killed(
    processes: DaskProcesses, client: Client, pace: Paced, tmp_path: Path
) -> None:
    """The first worker, which has the average for the client, and later another one."""
    first, second = sorted(processes.workers)[:2]
    ask(tmp_path, processes.workers[first].pid, 30, str(int(signal.SIGKILL)))
    ask(tmp_path, processes.workers[second].pid, 120, str(int(signal.SIGKILL)))
    model = made()
    history = fit(client, model, pace, epochs=2)
    assert_same(fitted_alone(2), model)
    assert history.cluster.workers == [2, 1]
    assert history.cluster.lost == 2
    assert [(event.epoch, event.kind) for event in history.cluster.events] == [(0, "lost"), (1, "lost")]
    assert 30 <= history.cluster.events[0].update <= 31
    assert "2 workers lost" in repr(history)
    assert_nothing_is_left(client)


def test_windows_are_not_skipped_when_all_workers_are_lost_early_in_an_epoch(
    processes: DaskProcesses, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has asked for an average at the end of the epoch before, and learns of it in this one."""
    monkeypatch.setattr(watching, "SNAPSHOT", 0.0)
    pids = [process.pid for process in processes.workers.values()]
    for pid in pids:
        ask(tmp_path, pid, GROUPS, "slow")
        ask(tmp_path, pid, GROUPS + 4, str(int(signal.SIGKILL)))

    def replace() -> None:
        until(lambda: not any(process.lives() for process in processes.workers.values()))
        processes.have(2)

    thread = threading.Thread(target=replace)
    thread.start()
    model = made()
    history = fit(client, model, Paced(str(tmp_path), seconds=0.01), epochs=2)
    thread.join()
    assert_same(fitted_alone(2), model)
    assert history.cluster.lost >= 1


def test_averages_of_parameters_go_on_from_the_last_one(
    processes: DaskProcesses, client: Client, pace: Paced, tmp_path: Path
) -> None:
    ask(tmp_path, processes.workers[max(processes.workers)].pid, 46, str(int(signal.SIGKILL)))
    model = made()
    history = fit(client, model, pace, sync_every=8)
    assert (history.updates, history.cluster.lost) == (GROUPS, 1)
    assert history.cluster.events[0].update == 40
    assert np.isfinite(history.loss[0])


def test_a_worker_that_joins_takes_part_from_the_next_epoch_on(
    processes: DaskProcesses, client: Client, pace: Paced
) -> None:
    class Joining(nm.Callback):
        def after_epoch(self, run: Any) -> None:
            if run.epoch == 0:
                processes.add(1)

    model = made()
    history = fit(client, model, pace, epochs=2, callbacks=[Joining()])
    assert_same_loss = fitted_alone(2)
    np.testing.assert_allclose(history.loss, assert_same_loss.history.loss, rtol=0, atol=1e-12)
    assert history.cluster.workers == [3, 4]
    assert history.cluster.joined == 1


def test_a_slow_worker_is_waited_for(processes: DaskProcesses, client: Client, pace: Paced, tmp_path: Path) -> None:
    """One whose updates take ten times as long, and that is stopped for a while."""
    slow = processes.workers[min(processes.workers)]
    ask(tmp_path, slow.pid, 20, "slow")
    model, stopped = made(), threading.Event()

    def pause() -> None:
        until((tmp_path / str(slow.pid) / "done").exists)
        slow.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        stopped.set()
        slow.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=pause)
    thread.start()
    history = fit(client, model, pace)
    thread.join()
    assert stopped.is_set()
    assert_same(fitted_alone(1), model)
    assert history.cluster.events == []


def test_ctrl_c_leaves_the_last_average_and_nothing_on_the_workers(
    processes: DaskProcesses, client: Client, pace: Paced, tmp_path: Path
) -> None:
    noticed = processes.workers[min(processes.workers)].pid
    ask(tmp_path, noticed, 40, "slow")
    model, before = made(), made().get_parameters()

    def press() -> None:
        until((tmp_path / str(noticed) / "done").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        fit(client, model, pace)
    thread.join()
    assert model.history.ended == "interrupted"
    assert any((value != before[name]).any() for name, value in model.get_parameters().items())
    assert_nothing_is_left(client)
    assert client.submit(sum, [1, 2]).result(timeout=10) == 3
    history = fit(client, model, Paced(str(tmp_path / "none")))
    assert history.updates == GROUPS


def test_an_error_on_one_worker_ends_the_run_for_all(client: Client, tmp_path: Path) -> None:
    """A number that is not finite, in files that are read piece by piece."""
    expected = Y.copy()
    expected[LANES * 50 + 1, 2, 1] = np.nan
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", expected)
    model = made()
    with pytest.raises(nm.DataError, match=r"rows 300 to 301 of x\.npy.*expected\[1, 2, 1\] is nan"):
        cluster.fit(client, model, tmp_path / "x.npy", tmp_path / "y.npy", epochs=1, layout="NSW", progress=False)
    assert model.history.ended == "error"
    assert_nothing_is_left(client)


def test_nothing_is_left_when_the_client_is_killed(processes: DaskProcesses, client: Client, tmp_path: Path) -> None:
    for process in processes.workers.values():
        ask(tmp_path, process.pid)
    code = (
        "import sys, numpy as np, neuromorph as nm\nfrom pathlib import Path\nfrom neuromorph import distributed\n"
        "from helpers.dask_processes import client_of, Paced\n"
        "if __name__ == '__main__':\n"
        "    x = np.ones((6000, 4, 3))\n"
        f"    model = nm.build(nm.compile({TEXT!r}, 6, 0.1))\n"
        "    with client_of(sys.argv[1], sys.argv[2]) as client:\n"
        "        distributed.fit(client, model, x, x[..., :2], epochs=99, layout='NSW', progress=False,\n"
        "            callbacks=nm.LearningRateSchedule(Paced(sys.argv[3]), per='update'))\n"
    )
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    command = [sys.executable, "-c", code, processes.address, str(processes.folder), str(tmp_path)]
    user = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
    try:
        until(lambda: sum(map(len, client.run(members_here).values())) == 3)
    finally:
        user.kill()
        user.wait()
    until(lambda: not any(client.run(members_here).values()))


def test_a_cluster_without_workers_or_scheduler_is_a_clear_error(
    processes: DaskProcesses, client: Client, pace: Paced, tmp_path: Path
) -> None:
    """Training goes on elsewhere from the epochs that were completed."""
    model, pids = made(), [process.pid for process in processes.workers.values()]
    for pid in pids:
        ask(tmp_path, pid, 150, str(int(signal.SIGKILL)))
    with pytest.raises(cluster.ClusterError, match=r"has had no worker for 0\.5 s; the model has the last average"):
        fit(client, model, pace, epochs=2, patience=0.5)
    assert (len(model.history), model.history.ended) == (1, "error")
    assert_same(fitted_alone(1), model)
    processes.have(2)
    noticed = processes.workers[min(processes.workers)].pid
    ask(tmp_path, noticed, 120, "slow")

    def kill() -> None:
        until((tmp_path / str(noticed) / "done").exists)
        processes.kill_scheduler()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(cluster.ClusterError, match=r"the scheduler at tls:.* can't be reached any more"):
        fit(client, model, pace, initial_epoch=model.history.next_epoch)
    thread.join()
    assert_same_parameters(fitted_alone(1), model)
    processes.restart_scheduler()
    processes.have(2)
    with processes.client() as other:
        fit(other, model, Paced(str(tmp_path / "none")), initial_epoch=1)
    assert model.history.initial_epoch == 1
    assert_same_parameters(fitted_alone(2), model)


def assert_same_parameters(one: nm.Model, other: nm.Model) -> None:
    for name, value in one.get_parameters().items():
        np.testing.assert_allclose(value, other.get_parameters()[name], rtol=0, atol=1e-12)
