"""The tools that time a cluster, and that make one of three hosts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from helpers.paths import REPOSITORY
from helpers.tools import room
from helpers.tools import tools_path as tools_path


def test_the_forecast() -> None:
    tool = room("cluster_times")
    free = tool.Costs(0.0, 0.0, 1e9)
    assert tool.predicted(1e-3, 64, 0, free) == 1.0
    costs = tool.Costs(1e-4, 1e-4, 1e8)
    assert tool.predicted(1e-3, 2, 10_000, costs) == pytest.approx(5e-4 / (5e-4 + 1e-4 + 2e-4))
    assert tool.predicted(1e-3, 2, 10_000, costs, every=4) == pytest.approx(5e-4 / (5e-4 + 1e-4 + 5e-5))
    assert [tool.rounds_of(count) for count in (1, 2, 3, 4, 64, 65)] == [0, 1, 3, 2, 6, 8]


def test_the_forecast_counts_the_exchanges_that_there_are() -> None:
    pytest.importorskip("distributed")
    from neuromorph.distributed.mesh import partners

    tool = room("cluster_times")
    for count in range(2, 40):
        assert tool.rounds_of(count) == max(len(partners(rank, count)) for rank in range(count))


@pytest.mark.skipif(os.environ.get("NEUROMORPH_TEST_HOSTS") != "1", reason="takes a minute; NEUROMORPH_TEST_HOSTS=1")
def test_three_hosts() -> None:
    pytest.importorskip("distributed")
    command = [sys.executable, str(REPOSITORY / "tools" / "three_hosts.py"), "--windows", "30"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this machine does not let us make network namespaces")
    assert done.returncode == 0, done.stderr
    assert "was lost; the others go on from the last average" in done.stdout
