"""Holds out a part of data in batches: single vectors of (S, B, W), single sequences of (N, S, B, W)."""

from __future__ import annotations

from dataclasses import replace

import click

import neuromorph as nm

from ..data.arrays import TrainingData
from ..data.holding_out import drawn, held_number
from ..data.mixing import classes_of_labels, counting_units, taken
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
    whole = TrainingData(data.inputs, data.expected, data.sample_weight, data.inputs.ndim == 4)
    numbers, _ = counting_units(whole)
    held = held_number(len(numbers), fraction)
    if held >= len(numbers):
        there = counted(len(numbers), "sequence" if whole.sequences else "vector")
        raise click.ClickException(f"{name}: of {there} with a weight, --validation {fraction} leaves none")
    labels = _labels(model, data)
    classes = None if labels is None else classes_of_labels(whole, labels, numbers)
    kept, out = (taken(whole, numbers[part]) for part in drawn(len(numbers), held, classes))
    return _prepared(data, kept), _prepared(data, out)


def _labels(model: nm.Model, data: Prepared) -> Array | None:
    """The class of each vector; None if there are no classes."""
    if has_classes(model):
        return data.expected if data.expected.ndim < data.inputs.ndim else data.expected.argmax(axis=-1)
    if model.graph.loss.name == "binary_cross_entropy" and model.output_width == 1:
        return (data.expected > 0.5).reshape(data.inputs.shape[:-1])
    return None


def _prepared(data: Prepared, part: TrainingData) -> Prepared:
    return replace(data, inputs=part.inputs, expected=part.expected, sample_weight=part.weights)
