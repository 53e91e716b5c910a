"""Leaves out expected values that are not known, which are NaN in the user's data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .reading import Given, read, read_inputs

Array = NDArray[Any]
MISSING = ("error", "skip")


def without_unknown(
    inputs: Any, expected: Any, sample_weight: Any, *, apart: bool, loss: str
) -> tuple[Any, Any, Any, Array | None]:
    """The arguments, each read once, with 0 for NaN in ``expected``, and where components alone are not known.

    A vector without any known component, and a label that is not known, gets weight 0. Where some components of a
    vector are known, the weight is multiplied by their share, so that all known numbers of vectors of one weight count
    the same. apart: whether the loss is a mean over the components, so that it can leave one out. The last result is
    None if no vector that counts is known in part.

    Raises DataError for a vector that is known in part where the loss can't leave components out. What else does not
    fit is found later.
    """
    given, wanted = read_inputs(inputs), read("expected", expected)
    numbers = wanted.numbers
    unknown = np.isnan(numbers) if numbers.dtype.kind == "f" else np.zeros(0, bool)
    if not unknown.any():
        return given, wanted, sample_weight, None
    vectors = numbers.ndim == given.numbers.ndim
    shares = 1.0 - (unknown.mean(axis=-1) if vectors else unknown)
    weights = None if sample_weight is None else read("sample_weight", sample_weight)
    leading = given.numbers.shape[:-1]
    if shares.shape != leading or (weights is not None and weights.numbers.shape != leading):
        return given, wanted, weights, None  # the message about this is made later
    counts = np.ones(shares.shape, bool) if weights is None else weights.numbers != 0
    partly = (shares > 0.0) & (shares < 1.0) & counts
    if partly.any() and not apart:
        place = wanted.at(tuple(int(axis) for axis in np.argwhere(partly)[0]))
        raise DataError(f"{place} is NaN in part: {loss} needs all components of a vector, or none")
    left = shares if weights is None else np.where(shares > 0.0, shares * weights.numbers, 0.0)
    filled = wanted._replace(numbers=np.where(unknown, 0.0, numbers).astype(numbers.dtype))
    place_of = None if weights is None else weights.place
    return (
        given,
        filled,
        Given("sample_weight", left, left, place_of),
        unknown & partly[..., None] if partly.any() else None,
    )
