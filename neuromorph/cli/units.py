"""Holds out a part of data in batches: single vectors of (S, B, W), single sequences of (N, S, B, W)."""

from __future__ import annotations

from dataclasses import replace

import click
import numpy as np

import neuromorph as nm

from ..data.holding_out import drawn, held_number
from ..data.packing import Packing
from ..tables.records import counted
from .arrays import Array, Arrays, has_classes
from .layout import Prepared


def are_in_batches(model: nm.Model, arrays: Arrays, *, sequences: bool) -> bool:
    """Whether each entry of the first axis has several vectors or sequences that are independent of one another."""
    axes = arrays.inputs.ndim
    return axes == 4 or (axes == 3 and not sequences and not model.graph.has_time_links)


def held_out_units(model: nm.Model, data: Prepared, fraction: float, name: str) -> tuple[Prepared, Prepared]:
    """The data to train on, and a part that is held out: a fraction of the vectors, or of the sequences.

    They are drawn, with as large a share of each class as all have, and packed into as many lanes as before; padding
    has weight 0. name: the file, for the ClickException if nothing is left to train on.
    """
    axes = data.inputs.shape
    steps = axes[1] if len(axes) == 4 else None
    packing = Packing(axes[0] * axes[-2], axes[-2], steps)
    weights = None if data.sample_weight is None else np.asarray(packing.unpack(data.sample_weight))
    counting = np.arange(packing.count)
    if weights is not None:
        counting = np.flatnonzero(weights.reshape(packing.count, -1).any(axis=1))
    held = held_number(len(counting), fraction)
    if held >= len(counting):
        there = counted(len(counting), "vector" if steps is None else "sequence")
        raise click.ClickException(f"{name}: of {there} with a weight, --validation {fraction} leaves none")
    classes = _classes(model, data, packing, weights)
    kept, out = drawn(len(counting), held, None if classes is None else classes[counting])
    return _taken(data, packing, counting[kept]), _taken(data, packing, counting[out])


def _classes(model: nm.Model, data: Prepared, packing: Packing, weights: Array | None) -> Array | None:
    """The class of each vector or sequence; None if there are none, or several in one sequence."""
    binary = model.graph.loss.name == "binary_cross_entropy" and model.output_width == 1
    if not (has_classes(model) or binary):
        return None
    answers = np.asarray(packing.unpack(data.expected))
    if binary:
        labels = (answers > 0.5).reshape(packing.leading_of_rows)
    else:
        labels = answers if data.expected.ndim < data.inputs.ndim else answers.argmax(axis=-1)
    if packing.steps is None:
        return labels
    counts = np.ones(labels.shape, bool) if weights is None else weights > 0.0
    first: Array = labels[np.arange(len(labels)), counts.argmax(axis=1)]
    return first if ((labels == first[:, None]) | ~counts).all() else None


def _taken(data: Prepared, packing: Packing, numbers: Array) -> Prepared:
    """The data of some vectors or sequences. Nothing else is copied: the data may be a large file."""
    part = Packing(len(numbers), packing.lanes, packing.steps)
    group, lane = np.divmod(numbers, packing.lanes)

    def packed(array: Array) -> Array:
        return part.pack(array[group, lane] if packing.steps is None else array[group, :, lane])

    weights = None if data.sample_weight is None else packed(data.sample_weight)
    if weights is None and part.count % part.lanes:
        weights = part.pack(np.ones(part.leading_of_rows))
    return replace(data, inputs=packed(data.inputs), expected=packed(data.expected), sample_weight=weights)
