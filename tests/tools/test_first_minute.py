"""The tool that compares the first minute of two tiers."""

from __future__ import annotations

import pytest

from helpers.tools import room
from helpers.tools import tools_path as tools_path


def test_the_worst_ratio_is_over_all_amounts_of_work() -> None:
    tool = room("first_minute")
    auto = tool.Curve([1.0, 2.0, 4.0, 5.0], [10, 20, 40, 60], 4.0)
    compiled = tool.Curve([3.0, 4.0, 5.0], [20, 50, 80], 3.0)
    assert auto.when(20) == 2.0
    assert auto.when(50) == 4.5
    assert tool.worst(auto, compiled) == pytest.approx(4.5 / 4.0), "80 samples were not reached"
    assert auto.seconds_a_sample() == pytest.approx(1.0 / 20)
    assert compiled.seconds_a_sample() == pytest.approx(1.0 / 30)


@pytest.mark.usefixtures("interpreted")
def test_a_curve_rises() -> None:
    tool = room("first_minute")
    curve = tool.trained(room("peers.cases").listed()["lstm4"], 0.2, "compiled")
    assert curve.seconds == sorted(curve.seconds)
    assert curve.seconds[-1] >= 0.2
    assert curve.samples == sorted(curve.samples)
    assert curve.samples[0] == 16
