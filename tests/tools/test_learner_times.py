"""The tool that times a learner's step."""

from __future__ import annotations

import numba
import pytest

from helpers.tools import room
from helpers.tools import tools_path as tools_path


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_all_times_are_of_the_same_run() -> None:
    found = room("learner_times").times(4, 1, 4, 1, rounds=2, calls=50, long=40)
    assert 0.0 < found.alone < found.call
    assert found.trivial > 0.0
    assert found.in_train > 0.0
    assert found.share > 0.0 < found.share_alone
