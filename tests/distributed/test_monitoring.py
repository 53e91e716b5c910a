"""Servers of Dask sample themselves less often while workers train, and then as often as before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import Client, LocalCluster
from tornado.ioloop import PeriodicCallback

from neuromorph.distributed.monitoring import SLOWED, servers_of, slower_monitoring


def server(**milliseconds: float) -> Any:
    return SimpleNamespace(
        periodic_callbacks={name: PeriodicCallback(print, number) for name, number in milliseconds.items()}
    )


def times(one: Any) -> dict[str, float]:
    return {name: callback.callback_time for name, callback in one.periodic_callbacks.items()}


def test_samples_are_slowed_until_the_last_run_has_ended() -> None:
    one, usual = server(profile=10, tick=20, heartbeat=500), {"profile": 10, "tick": 20, "heartbeat": 500}
    slow = usual | {"profile": SLOWED["profile"], "tick": SLOWED["tick"]}
    with slower_monitoring([one]):
        assert times(one) == slow
        with slower_monitoring([one, server(tick=20)]):
            assert times(one) == slow
        assert times(one) == slow
    assert times(one) == usual


def test_an_error_ends_a_run_too() -> None:
    one = server(tick=20)
    with pytest.raises(ZeroDivisionError), slower_monitoring([one]):
        1 / 0  # noqa: B018
    assert times(one) == {"tick": 20}


def test_what_is_slower_already_stays_so() -> None:
    one = server(profile=5_000)
    with slower_monitoring([one]):
        assert times(one) == {"profile": 5_000}
    assert times(one) == {"profile": 5_000}


def test_the_servers_of_a_cluster_in_this_process() -> None:
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        found = servers_of(client)
        assert found == [cluster.scheduler, *cluster.workers.values()]
        assert all("tick" in each.periodic_callbacks for each in found)
    assert servers_of(SimpleNamespace(cluster=None)) == []
