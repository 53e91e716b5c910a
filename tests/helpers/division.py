"""Changes the cost model, so that threads divide work however little it is."""

from dataclasses import replace
from typing import Any

import pytest

from neuromorph.runtime.kernels import Kernels

FREE = ("loop_step", "exchange", "meetings", "meeting_of_thread", "loop_step_in_turn", "line_in_turn", "finding_out")


def change_costs(patch: pytest.MonkeyPatch, **figures: Any) -> None:
    """Replace some figures of the cost model for all models."""
    patch.setattr(Kernels, "costs", replace(Kernels.costs, **figures))


def divide_everything(patch: pytest.MonkeyPatch, processors: int | None = None) -> None:
    """Let threads divide whatever can be divided, however little work it is.

    processors: the number of processors to assume, if given.
    """
    change_costs(
        patch, worth_a_thread=1e-12, least_lanes=1, least_lanes_in_turn=1, tolerance=1.0, **dict.fromkeys(FREE, 0.0)
    )
    if processors is not None:
        change_costs(patch, processors=processors)
