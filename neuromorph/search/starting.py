"""Which new layers can begin without an effect."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..functions import ACTIVATIONS


@cache
def starts_at_zero(function: str, parameter: float | None = None) -> bool:
    """Whether a layer with this activation can begin with parameters of 0, so that its values are 0, and still learn.

    The activation must be 0 at 0 and have a derivative there; that of ``relu`` is 0. parameter: None means the default.
    """
    record = ACTIVATIONS.get(function)
    if record is None or record.couples:
        return False
    number = record.parameter.default if parameter is None and record.parameter is not None else parameter
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    with np.errstate(all="ignore"):
        value = record.value(zero, number)
        slope = record.gradient(zero, value, one, number)
    return bool(value[0, 0] == 0.0 and np.isfinite(slope[0, 0]) and slope[0, 0] != 0.0)
