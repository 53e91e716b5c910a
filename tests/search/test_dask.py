"""A search on a Dask cluster finds what one in this process finds."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from helpers import searches
from neuromorph import search

distributed = pytest.importorskip("distributed")


@pytest.mark.parametrize("rungs", [None, (1, 2)])
def test_a_search_on_a_cluster_is_that_of_one_process(rungs: tuple[int, ...] | None) -> None:
    options: dict[str, Any] = {
        "limits": search.Limits(nodes=16, parameters=120, width=4, delay=2), "population": 6, "chunk": 3, "ahead": 2,
        "individuals": 12, "verbosity": 0, "arguments": {"bptt_steps": 8},
    }  # fmt: skip
    if rungs is not None:
        options["rungs"] = rungs
    data = searches.products()
    quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **quiet) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = search.evolve(data, client=client, **options)
    alone = search.evolve(data, workers=0, **options)
    assert [(one.text, one.score, one.state) for one in found] == [(one.text, one.score, one.state) for one in alone]


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match=r"client must be a distributed.Client, not 3"):
        search.evolve(searches.products(), client=3, verbosity=0)
