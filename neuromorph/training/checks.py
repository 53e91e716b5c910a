"""Checks the data of a call against a model: shapes, values, labels, lengths, layouts and what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..data.arrays import TrainingData, training_data
from ..data.labels import as_vectors_and_weights
from ..data.layouts import arranged, checked_layout
from ..data.missing import MISSING, without_unknown
from ..data.reading import Given, indexed
from ..errors import DataError
from ..functions import Loss, Targets
from ..options import one_of
from ..runtime.network import Network


def check_data(
    model: Network,
    inputs: Any,
    expected: Any,
    sample_weight: Any,
    lengths: Any = None,
    *,
    layout: Any = None,
    missing: Any = "error",
    small: bool = False,
) -> TrainingData:
    """The arrays of a call, checked to fit the model.

    Lengths become weights, class labels become vectors. With a layout, sequences and single vectors are packed into
    lanes. missing: "skip" leaves out what is NaN in ``expected``; "error" allows no NaN.
    small: whether small whole numbers stay as they are; the loop over data makes the model's type of them.
    """
    reading, layout = None, checked_layout(layout, model.needs.recurrent)
    if layout is not None:
        found = arranged(layout, model.needs, inputs, expected, sample_weight, lengths)
        inputs, expected, sample_weight, lengths = found.inputs, found.expected, found.weights, None
        reading = found.reading
    unknown, small = None, small and not model.needs.recurrent
    if one_of("missing", missing, MISSING) == "skip":
        inputs, expected, sample_weight, unknown = without_unknown(
            inputs, expected, sample_weight, apart=model.graph.loss.mean, loss=model.graph.loss.name
        )
    if lengths is not None or _may_be_labels(model, inputs, expected):
        inputs, expected, sample_weight = as_vectors_and_weights(
            model.needs, inputs, expected, sample_weight, lengths, small=small
        )
    data = training_data(
        inputs, expected, sample_weight, batch=model.batch_size, width_in=model.input_width,
        width_out=model.output_width, dtype=model.dtype, recurrent=model.needs.recurrent, small=small,
    )  # fmt: skip
    if unknown is not None:
        data = replace(data, expected=np.where(unknown, np.nan, data.expected), unknown=True)
    if model.graph.loss.targets is not None:
        _check_targets(model.graph.loss, model.graph.loss.targets, data, expected)
    return data if reading is None else replace(data, reading=reading)


def _check_targets(loss: Loss, targets: Targets, data: TrainingData, given: Any) -> None:
    """Raise DataError for expected values that the loss can't have, except in vectors of weight 0.

    given: the expected values as they were given, or as they were read.
    """
    wrong = ~targets.fit(data.expected)
    if data.unknown:
        wrong &= ~np.isnan(data.expected)
    if data.weights is not None:
        wrong &= data.weights[..., np.newaxis] > 0.0
    if not wrong.any():
        return
    place = tuple(int(axis) for axis in np.unravel_index(int(wrong.argmax()), wrong.shape))
    where = given.at(place) if isinstance(given, Given) else indexed("expected", place)
    said = f"{where} is {data.expected[place]:g}"
    counted = data.expected if data.weights is None else data.expected[data.weights > 0.0]
    raise DataError(f"{said}, and the loss {loss.name} needs {targets.needs}{targets.hint(counted)}")


def _may_be_labels(model: Network, inputs: Any, expected: Any) -> bool:
    """Whether ``expected`` may be class labels. It is not if both are plain arrays with as many axes, which is quick to
    see in on-line learning."""
    if model.graph.loss.name != "cross_entropy":
        return False
    return not (type(inputs) is type(expected) is np.ndarray and inputs.ndim == expected.ndim)


def check_carried(data: TrainingData, carry_state: bool) -> None:
    """Refuse ``carry_state`` for several sequences: only one can continue from the present state."""
    if data.sequences and carry_state:
        raise DataError(
            "carry_state can't be used with 4-axis inputs or layout='NSW': each sequence starts from zero state"
        )
