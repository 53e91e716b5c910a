"""Checks what is given to a learner's step, and names it in messages as the user does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import Shape, TrainingData, as_tensor, check_shape
from ..data.labels import Needs
from ..data.reading import Given, Place, indexed, read
from ..errors import DataError
from ..runtime.network import Network
from ..training.checks import check_data

Floats = NDArray[Any]


def checked_input(needs: Needs, x: Any) -> Floats:
    """x as an array of the model's type: (lanes, W_in), or (W_in,) for one lane. Raises DataError if it does not
    fit."""
    given = read("x", x)
    names: Shape = (("lanes", needs.batch), ("width", needs.width_in))
    if needs.batch == 1 and given.numbers.ndim == 1:
        names = names[1:]
    return as_tensor("x", given, dtype=needs.dtype, shape=names)


def checked_target(model: Network, x: Floats, target: Any, sample_weight: Any, missing: str) -> TrainingData:
    """A step's checked x, target and weights, as those of a sequence of one sample. Raises DataError for what does not
    fit."""
    needs, flat = model.needs, x.ndim == 1
    expected = _as_sample("target", read("target", target), needs, flat)
    weights = None if sample_weight is None else _weights(read("sample_weight", sample_weight), needs, flat)
    return check_data(model, x.reshape(1, needs.batch, -1), expected, weights, missing=missing)


def _as_sample(name: str, given: Given, needs: Needs, flat: bool) -> Given:
    """What is expected of a step, as that of a sample: vectors (1, B, W_out), or labels (1, B)."""
    leading: Shape = () if flat else (("lanes", needs.batch),)
    whole: Shape = (*leading, ("width", needs.width_out))
    short = needs.short and given.numbers.ndim == len(leading)
    if not short:
        hint = "; labels are whole numbers, one for each lane" if needs.takes_labels else ""
        check_shape(given, (whole,), hint)
    elif leading:
        check_shape(given, (leading,))
    is_label = short and needs.takes_labels
    return _reshaped(given, (1, needs.batch) if is_label else (1, needs.batch, needs.width_out))


def _weights(given: Given, needs: Needs, flat: bool) -> Given:
    """The weight of a step, a number, or one for each lane, as that of a sample (1, B)."""
    if given.numbers.ndim:
        leading: Shape = (("lanes", needs.batch),)
        if flat:
            raise DataError(f"sample_weight has shape {given.numbers.shape}, but must be a number, as x has one axis")
        check_shape(given, (leading,))
        return _reshaped(given, (1, needs.batch))
    items, numbers = (np.broadcast_to(each, (1, needs.batch)) for each in (given.items, given.numbers))
    return Given(given.name, items, numbers, lambda index: "sample_weight")


def _reshaped(given: Given, shape: tuple[int, ...]) -> Given:
    """The same numbers in another shape; messages name their places as the user gave them."""
    before = given.numbers.shape

    def place(index: Place) -> str:
        flat = int(np.ravel_multi_index(index, shape[: len(index)]))
        axes = before if np.prod(shape[: len(index)]) == np.prod(before) else before[:-1]
        return indexed(given.name, tuple(int(axis) for axis in np.unravel_index(flat, axes)))

    return Given(given.name, given.items.reshape(shape), given.numbers.reshape(shape), place)
