"""Converts the arrays of a file to those that ``nm.fit`` takes, and says what each shape means.

N: vectors or sequences. S: steps in time. B: lanes (the batch). W: the width, the numbers in a vector.

| inputs | meaning |
|---|---|
| (N, W), a model without recurrence | N vectors in batches of B; the last batch is padded with vectors of weight 0 |
| (S, W), a recurrent model | one sequence of one lane |
| (N, S, W) with ``--sequences`` | N sequences from zero state, in batches of B |
| (S, B, W) | one sequence of B lanes; without recurrence, S samples of B vectors |
| (N, S, B, W) | N sequences of B lanes, each from zero state |

The expected values have the same axes, with the width of the output. The last axis is missing for class labels, and may
be missing where the output has width 1. With ``--sequences`` they may also be (N, W), or labels (N,): one answer for
the last step of each sequence (its last step within ``lengths``). Then the other steps have weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np

import neuromorph as nm

from .data import Array, Arrays, Source, has_classes, read

NAMES = ("inputs", "expected", "labels", "sample_weight", "lengths")
BATCH = 32  # lanes, if neither the data nor the user give a number


@dataclass(frozen=True, eq=False)
class Prepared:
    """Arguments of ``nm.fit``.

    inputs: (S, B, W) or (N, S, B, W). expected: the same axes with the width of the output, or labels without the last
    axis. sample_weight: the axes of inputs without the last one, or None.
    """

    inputs: Array
    expected: Array
    sample_weight: Array | None

    @property
    def all(self) -> tuple[Array, ...]:
        """The arrays as ``nm.fit`` takes them for ``validation``."""
        return tuple(array for array in (self.inputs, self.expected, self.sample_weight) if array is not None)


def batch_for(model: nm.Model, arrays: Arrays, sequences: bool) -> int:
    """The batch size (number of lanes) that suits these data."""
    axes = arrays.inputs.ndim
    if axes in (3, 4) and not sequences:
        return int(max(1, arrays.inputs.shape[-2]))
    one_lane = axes == 2 and model.graph.has_time_links
    return 1 if one_lane else max(1, min(BATCH, len(arrays.inputs) if axes else 1))


def held_out(arrays: Arrays, fraction: float) -> tuple[Arrays, Arrays]:
    """The data without their last part, and the last part. fraction: the last part's share of the first axis.

    The first axis counts vectors, sequences or steps in time. ClickException if nothing is left to train on.
    """
    whole = len(arrays.inputs) if arrays.inputs.ndim else 0
    held = max(1, round(fraction * whole))  # by the same rule as fit
    if held >= whole:
        raise click.ClickException(f"{arrays.name}: of {whole} on the first axis, --validation {fraction} leaves none")
    if arrays.lengths is not None and len(arrays.lengths) != whole:
        raise click.ClickException(f"{arrays.name}: a part of data with lengths of lanes can't be held out")
    return _part(arrays, 0, whole - held), _part(arrays, whole - held, whole)


def _part(arrays: Arrays, first: int, stop: int) -> Arrays:
    parts: dict[str, Any] = {name: array[first:stop] for name, array in _there(arrays).items()}
    return replace(arrays, first=first, **parts)


def _there(arrays: Arrays) -> dict[str, Array]:
    """The arrays that a file has, by their names."""
    named = {name: getattr(arrays, name) for name in NAMES}
    return {name: array for name, array in named.items() if array is not None}


def arrays_of(source: Source, model: nm.Model, *, answers: bool = True) -> Arrays:
    """The arrays of a source. ClickException for shapes that do not fit the model, before the numbers are read."""

    def check(arrays: Arrays) -> None:
        if answers:
            _in_shape(model, arrays, source.sequences)
        else:
            _check_inputs(model, arrays, source.sequences)

    return read(source, model, answers=answers, check=check)


def prepared(model: nm.Model, arrays: Arrays, *, sequences: bool) -> Prepared:
    """The arrays as ``nm.fit`` takes them. ClickException that names the file if they do not fit the model."""
    arrays = _in_shape(model, arrays, sequences)
    _check_finite(model, arrays, "inputs")
    _check_weights(model, arrays, sequences)
    weight = _weights(arrays, sequences)
    _check_answers(model, arrays, weight)
    if sequences:
        return _sequences(model, arrays, weight)
    if arrays.inputs.ndim > 2:
        return Prepared(arrays.inputs, _answers(arrays), weight)
    return _one_lane(model, arrays) if model.graph.has_time_links else _vectors(model, arrays)


def inputs_of(model: nm.Model, arrays: Arrays, *, sequences: bool) -> Array:
    """The inputs as ``nm.predict`` takes them: sequences (N, S, W) in batches (G, S, B, W), other arrays unchanged."""
    _check_inputs(model, arrays, sequences)
    _check_finite(model, arrays, "inputs")
    return np.swapaxes(lanes(arrays.inputs, BATCH), 1, 2) if sequences else arrays.inputs


def sequence_outputs(results: Array, count: int) -> Array:
    """The results (G, S, B, W) of ``count`` sequences in batches, as (N, S, W)."""
    steps, width = results.shape[1], results.shape[-1]
    return np.swapaxes(results, 1, 2).reshape(-1, steps, width)[:count]


def lanes(rows: Array, batch: int) -> Array:
    """Rows (N, …) in whole batches (⌈N / batch⌉, batch, …), with zeros after the last row.

    It does what ``nm.batches`` does, for rows of any shape and type.
    """
    groups = -(-len(rows) // batch)
    padded = np.zeros((groups * batch, *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    return padded.reshape(groups, batch, *rows.shape[1:])


# Layouts --------------------------------------------------------------------------------------------------------------


def _vectors(model: nm.Model, arrays: Arrays) -> Prepared:
    """N vectors (N, W) as (S, B, W), with S = ⌈N / B⌉."""
    weight = np.ones(len(arrays.inputs)) if arrays.sample_weight is None else arrays.sample_weight
    inputs, expected, weight = (lanes(array, model.batch_size) for array in (arrays.inputs, _answers(arrays), weight))
    return Prepared(inputs, expected, _needed(weight))


def _one_lane(model: nm.Model, arrays: Arrays) -> Prepared:
    """One sequence (S, W) as (S, 1, W)."""
    if model.batch_size != 1:
        raise _wrong(arrays, f"(steps, width) is one lane, and the model has a batch of {model.batch_size}")
    weight = arrays.sample_weight
    return Prepared(arrays.inputs[:, None], _answers(arrays)[:, None], None if weight is None else weight[:, None])


def _sequences(model: nm.Model, arrays: Arrays, weight: Array | None) -> Prepared:
    """N sequences (N, S, W) as (⌈N / B⌉, S, B, W)."""
    count, steps = arrays.inputs.shape[:2]
    expected, weight = _answers(arrays), np.ones((count, steps)) if weight is None else weight
    if _answers_once(arrays):
        expected = np.repeat(expected[:, None], steps, axis=1)
        weight = weight * (np.arange(steps) == _last_steps(arrays)[:, None])
    rows = (arrays.inputs, expected, weight)
    inputs, expected, weight = (np.swapaxes(lanes(row, model.batch_size), 1, 2) for row in rows)
    return Prepared(inputs, expected, _needed(weight))


def _answers_once(arrays: Arrays) -> bool:
    """Whether a sequence has one answer in all, and not one for each step."""
    return arrays.labels.ndim == 1 if arrays.labels is not None else _answers(arrays).ndim == 2


def _last_steps(arrays: Arrays) -> Array:
    """The last step of every sequence, an array (N,); -1 for a sequence of length 0."""
    count, steps = arrays.inputs.shape[:2]
    found: Array = np.full(count, steps - 1) if arrays.lengths is None else arrays.lengths.astype(np.int64) - 1
    return found


def _needed(weight: Array) -> Array | None:
    """The weights, or None if all are 1."""
    return None if (weight == 1).all() else weight


def _weights(arrays: Arrays, sequences: bool) -> Array | None:
    """The weight of every vector: an array with the axes of the inputs but the last. None if all weights are 1.

    Steps beyond ``lengths`` have weight 0.
    """
    shape, weight, lengths = arrays.inputs.shape[:-1], arrays.sample_weight, arrays.lengths
    if weight is not None and weight.ndim < len(shape):
        weight = np.repeat(weight[:, None], shape[1], axis=1)
    if lengths is None:
        return weight
    if sequences:
        within = np.arange(shape[1]) < lengths[:, None]
    else:
        lengths = lengths[:, None] if lengths.ndim + 2 == len(shape) else lengths
        within = np.arange(shape[-2])[:, None] < lengths[..., None, :]
    return np.where(within, np.ones(shape) if weight is None else weight, 0.0)


def _answers(arrays: Arrays) -> Array:
    """The expected values, or the labels. ClickException if there are none."""
    found = arrays.expected if arrays.labels is None else arrays.labels
    if found is None:
        raise _wrong(arrays, "nothing is expected of its inputs")
    return found


# Checks ---------------------------------------------------------------------------------------------------------------


def _wrong(arrays: Arrays, trouble: str, name: str = "inputs") -> click.ClickException:
    """An error that names the file of the array ``name``."""
    return click.ClickException(f"{arrays.origin(name).file}: {trouble}")


def _in_shape(model: nm.Model, arrays: Arrays, sequences: bool) -> Arrays:
    """The arrays, once all shapes fit one another and the model. No number is read.

    ``expected`` may become labels, or get the missing axis of the width.
    """
    _check_inputs(model, arrays, sequences)
    arrays = _with_labels_or_vectors(model, arrays, sequences)
    _check_answer_shape(model, arrays, sequences)
    _check_weight_shapes(arrays, sequences)
    return arrays


def _check_inputs(model: nm.Model, arrays: Arrays, sequences: bool) -> None:
    """Check that the inputs have the model's width and a known number of axes."""
    shape = arrays.inputs.shape
    if 0 in shape:
        raise _wrong(arrays, f"inputs is empty, of shape {shape}")
    if len(shape) not in ((3,) if sequences else (2, 3, 4)):
        needs = "(sequences, steps, width)" if sequences else "2 to 4 axes, the last of them the width"
        raise _wrong(arrays, f"inputs has shape {shape}, and needs {needs}")
    if shape[-1] != model.input_width:
        raise _wrong(arrays, f"inputs has shape {shape}, and the model takes vectors of width {model.input_width}")


def _with_labels_or_vectors(model: nm.Model, arrays: Arrays, sequences: bool) -> Arrays:
    """The arrays, with ``expected`` as labels or with the axis of the width.

    Where the model has classes, ``expected`` without that axis, or with a last axis of 1, becomes labels.
    """
    leading, expected = arrays.inputs.shape[:-1], arrays.expected
    shape = leading[:1] if sequences else leading
    if expected is None or expected.shape not in (shape, (*shape, 1)):
        return arrays
    if has_classes(model):
        origins = {**arrays.origins, "labels": arrays.origin("expected")}
        return replace(arrays, expected=None, labels=expected.reshape(shape), origins=origins)
    return replace(arrays, expected=expected.reshape(*shape, 1)) if model.output_width == 1 else arrays


def _check_answer_shape(model: nm.Model, arrays: Arrays, sequences: bool) -> None:
    """Check the shape of the expected values.

    They need the axes of the inputs. Where sequences have one answer each, they need the first axis only.
    """
    leading = arrays.inputs.shape[:-1]
    short = [leading, leading[:1]] if sequences else [leading]
    vectors = [(*shape, model.output_width) for shape in short]
    if arrays.labels is not None and not has_classes(model):
        raise _wrong(arrays, "labels need a model with the loss cross_entropy; give others what is expected", "labels")
    name, answers = _named(arrays)
    if answers.shape not in (vectors if arrays.labels is None else short):
        needs = _shapes(vectors) if arrays.labels is None else _shapes(short)
        needs += f", or as labels {_shapes(short)}," * (arrays.labels is None and has_classes(model))
        trouble = f"{name} has shape {answers.shape}, and needs {needs} for inputs of {arrays.inputs.shape}"
        raise _wrong(arrays, trouble, name)


def _shapes(known: Sequence[tuple[int, ...]]) -> str:
    return " or ".join(map(str, known))


def _named(arrays: Arrays) -> tuple[str, Array]:
    """The name and the array of the expected values: ``expected`` or ``labels``."""
    return "expected" if arrays.labels is None else "labels", _answers(arrays)


def _check_answers(model: nm.Model, arrays: Arrays, weight: Array | None) -> None:
    """Check that the expected values suit the loss. Where the weight is 0 they may be anything."""
    name, answers = _named(arrays)
    counts = np.ones(arrays.inputs.shape[:-1], bool) if weight is None else weight > 0
    if counts.ndim == 2 and arrays.inputs.ndim == 3 and _answers_once(arrays):
        counts = counts[np.arange(len(counts)), _last_steps(arrays)]
    if not counts.any():
        raise _wrong(arrays, "nothing in it counts: sample_weight and lengths leave out every vector")
    if arrays.labels is not None:
        known = (answers >= 0) & (answers < model.output_width) & (answers == np.floor(answers))
        _check_each(arrays, name, known | ~counts, f"a whole number from 0 to {model.output_width - 1}")
        return
    _check_finite(model, arrays, name, ~counts[..., None])
    loss = model.graph.loss
    if loss.targets is not None:
        known = loss.targets.fit(answers) | ~counts[..., None]
        hint = loss.targets.hint(answers[counts])
        _check_each(arrays, name, known, f"{loss.targets.needs} for {loss.name}{hint}")
    if loss.name == "binary_cross_entropy":
        known = (answers >= 0) & (answers <= 1)
        _check_each(arrays, name, known | ~counts[..., None], "a number from 0 to 1 for binary_cross_entropy")


def _check_weight_shapes(arrays: Arrays, sequences: bool) -> None:
    """Check the shapes: weights belong to vectors or sequences, lengths to sequences or lanes."""
    leading, weight, lengths = arrays.inputs.shape[:-1], arrays.sample_weight, arrays.lengths
    shapes = [leading, leading[:1]] if sequences else [leading]
    if weight is not None and weight.shape not in shapes:
        raise _wrong(arrays, f"sample_weight has shape {weight.shape}, and needs {_shapes(shapes)}")
    if lengths is None:
        return
    if len(leading) == 1:
        raise _wrong(arrays, "lengths are for sequences, and inputs are vectors")
    lanes_of = [leading[1:]] if len(leading) == 2 else [leading[:1], leading[::2]]
    shapes = [leading[:1]] if sequences else lanes_of
    if lengths.shape not in shapes:
        raise _wrong(arrays, f"lengths has shape {lengths.shape}, and needs {_shapes(shapes)}")


def _check_weights(model: nm.Model, arrays: Arrays, sequences: bool) -> None:
    """Check that weights are 0 or more, and that lengths are whole numbers from 0 to the number of steps."""
    leading, weight, lengths = arrays.inputs.shape[:-1], arrays.sample_weight, arrays.lengths
    if weight is not None:
        _check_finite(model, arrays, "sample_weight")
        _check_each(arrays, "sample_weight", weight >= 0, "0 or more")
    if lengths is not None:
        steps = leading[1] if sequences else leading[-2]
        right = (lengths >= 0) & (lengths <= steps) & (lengths == np.floor(lengths))
        _check_each(arrays, "lengths", right, f"a whole number from 0 to {steps}")


def _check_finite(model: nm.Model, arrays: Arrays, name: str, exempt: Array | bool = False) -> None:
    """Check that every number is finite and in the range of the model's dtype, except where ``exempt`` is true."""
    array, most = getattr(arrays, name), float(np.finfo(model.dtype).max)
    _check_each(arrays, name, np.isfinite(array) | exempt, "a finite number")
    within = np.abs(array.astype(np.float64)) <= most
    _check_each(arrays, name, within | exempt, f"in the range of {model.dtype}, {-most:.2g} to {most:.2g}")


def _check_each(arrays: Arrays, name: str, right: Array, needs: str) -> None:
    """Raise ClickException for the first number of an array where ``right`` is false."""
    if not right.all():
        place = tuple(map(int, np.argwhere(~right)[0]))
        value = getattr(arrays, name)[place]
        raise _wrong(arrays, f"{arrays.place(name, place)} is {value:g}, and must be {needs}", name)
