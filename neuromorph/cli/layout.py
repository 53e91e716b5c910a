"""From the arrays of a file to those that ``nm.fit`` takes: which shape means what.

N vectors or sequences, S steps in time, B lanes (the batch), W numbers in a vector.

| inputs | meaning |
|---|---|
| (N, W), nothing recurrent | N vectors in batches of B, the last one padded with vectors that do not count |
| (S, W), a recurrent model | one sequence of one lane |
| (N, S, W) with ``--sequences`` | N sequences from zero state, in batches of B |
| (S, B, W) | one sequence of B lanes; samples, where nothing is recurrent |
| (N, S, B, W) | N sequences of B lanes, each from zero state |

What is expected has the same axes, with the width of the output; class labels, and single numbers where the output is
1 wide, have the axes but the last. Of sequences it may also be (N, W) or labels (N,): the answer after the last step
(that of ``lengths``, where given), and nothing else counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import click
import numpy as np

import neuromorph as nm

from .data import Array, Arrays, has_classes

NAMES = ("inputs", "expected", "labels", "sample_weight", "lengths")
BATCH = 32  # lanes, where neither data nor user say how many


@dataclass(frozen=True, eq=False)
class Prepared:
    """Arguments of ``nm.fit``: inputs (S, B, W) or (N, S, B, W), expected likewise or labels, perhaps weights."""

    inputs: Array
    expected: Array
    sample_weight: Array | None

    @property
    def all(self) -> tuple[Array, ...]:
        """As ``validation`` takes them."""
        return tuple(array for array in (self.inputs, self.expected, self.sample_weight) if array is not None)


def batch_for(model: nm.Model, arrays: Arrays, sequences: bool) -> int:
    """The batch size that suits some data."""
    axes = arrays.inputs.ndim
    if axes in (3, 4) and not sequences:
        return int(max(1, arrays.inputs.shape[-2]))
    one_lane = axes == 2 and model.graph.has_time_links
    return 1 if one_lane else max(1, min(BATCH, len(arrays.inputs) if axes else 1))


def held_out(arrays: Arrays, fraction: float) -> tuple[Arrays, Arrays]:
    """All but the last part, and the last part: of vectors, sequences, or steps in time."""
    whole = len(arrays.inputs) if arrays.inputs.ndim else 0
    held = max(1, round(fraction * whole))
    if held >= whole:
        raise click.ClickException(f"{arrays.name}: of {whole} on the first axis, --validation {fraction} leaves none")
    if arrays.lengths is not None and len(arrays.lengths) != whole:
        raise click.ClickException(f"{arrays.name}: a part of data with lengths of lanes can't be held out")
    return _slice(arrays, slice(0, whole - held)), _slice(arrays, slice(whole - held, None))


def _slice(arrays: Arrays, part: slice) -> Arrays:
    return Arrays(arrays.name, **{name: array[part] for name, array in _there(arrays).items()})


def _there(arrays: Arrays) -> dict[str, Array]:
    """The arrays that a file has, by name."""
    named = {name: getattr(arrays, name) for name in NAMES}
    return {name: array for name, array in named.items() if array is not None}


def prepared(model: nm.Model, arrays: Arrays, *, sequences: bool) -> Prepared:
    """The arrays as ``nm.fit`` takes them. Raises ClickException, naming the file, where they do not fit."""
    _check_inputs(model, arrays, sequences)
    arrays = _with_labels_or_vectors(model, arrays, sequences)
    _check_answers(model, arrays, sequences)
    _check_weights(arrays, sequences)
    if sequences:
        return _sequences(model, arrays)
    if arrays.inputs.ndim > 2:
        return Prepared(arrays.inputs, _answers(arrays), _lane_weights(arrays))
    return _one_lane(model, arrays) if model.graph.has_time_links else _vectors(model, arrays)


def inputs_of(model: nm.Model, arrays: Arrays, *, sequences: bool) -> Array:
    """Inputs as ``nm.predict`` takes them: sequences in batches, all else as it is."""
    _check_inputs(model, arrays, sequences)
    return np.swapaxes(lanes(arrays.inputs, BATCH), 1, 2) if sequences else arrays.inputs


def sequence_outputs(results: Array, count: int) -> Array:
    """Results (G, S, B, W) of ``count`` sequences in batches, as (N, S, W)."""
    steps, width = results.shape[1], results.shape[-1]
    return np.swapaxes(results, 1, 2).reshape(-1, steps, width)[:count]


def lanes(rows: Array, batch: int) -> Array:
    """Rows (N, …) as whole batches (⌈N / batch⌉, batch, …), zeros behind the last row. As ``nm.batches``, for rows of
    any shape and type."""
    groups = -(-len(rows) // batch)
    padded = np.zeros((groups * batch, *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    return padded.reshape(groups, batch, *rows.shape[1:])


# Layouts --------------------------------------------------------------------------------------------------------------


def _vectors(model: nm.Model, arrays: Arrays) -> Prepared:
    """N vectors: (S, B, W) with S = ⌈N / B⌉."""
    weight = np.ones(len(arrays.inputs)) if arrays.sample_weight is None else arrays.sample_weight
    inputs, expected, weight = (lanes(array, model.batch_size) for array in (arrays.inputs, _answers(arrays), weight))
    return Prepared(inputs, expected, _needed(weight))


def _one_lane(model: nm.Model, arrays: Arrays) -> Prepared:
    """One sequence (S, W): (S, 1, W)."""
    if model.batch_size != 1:
        raise _wrong(arrays, f"(steps, width) is one lane, and the model has a batch of {model.batch_size}")
    weight = arrays.sample_weight
    return Prepared(arrays.inputs[:, None], _answers(arrays)[:, None], None if weight is None else weight[:, None])


def _sequences(model: nm.Model, arrays: Arrays) -> Prepared:
    """N sequences (N, S, W): (⌈N / B⌉, S, B, W)."""
    count, steps = arrays.inputs.shape[:2]
    expected, weight = _answers(arrays), np.ones((count, steps))
    lengths = np.full(count, steps) if arrays.lengths is None else arrays.lengths
    weight *= np.arange(steps) < lengths[:, None]
    if arrays.sample_weight is not None:
        weight *= arrays.sample_weight.reshape(count, -1)
    if _answers_once(arrays):
        expected = np.repeat(expected[:, None], steps, axis=1)
        weight *= np.arange(steps) == lengths[:, None] - 1
    rows = (arrays.inputs, expected, weight)
    inputs, expected, weight = (np.swapaxes(lanes(row, model.batch_size), 1, 2) for row in rows)
    return Prepared(inputs, expected, _needed(weight))


def _answers_once(arrays: Arrays) -> bool:
    """Whether a sequence has one answer, not one a step."""
    return arrays.labels.ndim == 1 if arrays.labels is not None else _answers(arrays).ndim == 2


def _needed(weight: Array) -> Array | None:
    """The weights, or None where all are 1."""
    return None if (weight == 1).all() else weight


def _lane_weights(arrays: Arrays) -> Array | None:
    """Weights (S, B) or (N, S, B): those given, and 0 beyond lengths (B,), (N,) or (N, B)."""
    lengths, shape = arrays.lengths, arrays.inputs.shape[:-1]
    if lengths is None:
        return arrays.sample_weight
    lengths = lengths[:, None] if lengths.ndim + 2 == len(shape) else lengths
    mask = np.arange(shape[-2])[:, None] < lengths[..., None, :]
    full = np.ones(shape) if arrays.sample_weight is None else arrays.sample_weight
    return np.where(mask, full, 0.0)


def _answers(arrays: Arrays) -> Array:
    """What is expected, or the labels."""
    found = arrays.expected if arrays.labels is None else arrays.labels
    if found is None:
        raise _wrong(arrays, "nothing is expected of its inputs")
    return found


# Checks ---------------------------------------------------------------------------------------------------------------


def _wrong(arrays: Arrays, trouble: str) -> click.ClickException:
    return click.ClickException(f"{arrays.name}: {trouble}")


def _check_inputs(model: nm.Model, arrays: Arrays, sequences: bool) -> None:
    """Real and finite numbers of the model's width, in a shape that means something."""
    for name, array in _there(arrays).items():
        if array.dtype.kind not in "biuf":
            raise _wrong(arrays, f"{name} has the type {array.dtype}, and needs real numbers")
    shape = arrays.inputs.shape
    if len(shape) not in ((3,) if sequences else (2, 3, 4)) or 0 in shape:
        needs = "(sequences, steps, width)" if sequences else "2 to 4 axes, the last of them the width"
        raise _wrong(arrays, f"inputs has shape {shape}, and needs {needs}")
    if shape[-1] != model.input_width:
        raise _wrong(arrays, f"inputs has shape {shape}, and the model takes vectors of width {model.input_width}")
    _check_each(arrays, "inputs", np.isfinite(arrays.inputs), "a finite number")


def _with_labels_or_vectors(model: nm.Model, arrays: Arrays, sequences: bool) -> Arrays:
    """The arrays, where ``expected`` without the axis of the width becomes labels, or gets that axis."""
    leading, expected = arrays.inputs.shape[:-1], arrays.expected
    if expected is None or expected.shape != (leading[:1] if sequences else leading):
        return arrays
    if has_classes(model):
        return replace(arrays, expected=None, labels=expected)
    return replace(arrays, expected=expected[..., None]) if model.output_width == 1 else arrays


def _check_answers(model: nm.Model, arrays: Arrays, sequences: bool) -> None:
    """What is expected has the axes of the inputs, and where sequences have one answer each, only the first."""
    leading = arrays.inputs.shape[:-1]
    known = [leading, leading[:1]] if sequences else [leading]
    if arrays.labels is None:
        known = [(*shape, model.output_width) for shape in known]
    elif not has_classes(model):
        raise _wrong(arrays, "labels need a model with the loss cross_entropy; give others what is expected")
    name, answers = "expected" if arrays.labels is None else "labels", _answers(arrays)
    if answers.shape not in known:
        needs = " or ".join(map(str, known))
        raise _wrong(arrays, f"{name} has shape {answers.shape}, and needs {needs} for inputs of {arrays.inputs.shape}")
    if arrays.sample_weight is not None or arrays.lengths is not None:
        return  # what does not count may be anything
    if arrays.labels is None:
        _check_each(arrays, name, np.isfinite(answers), "a finite number")
    else:
        known_class = (answers >= 0) & (answers < model.output_width) & (answers == np.floor(answers))
        _check_each(arrays, name, known_class, f"a whole number from 0 to {model.output_width - 1}")


def _check_weights(arrays: Arrays, sequences: bool) -> None:
    """Weights for vectors or sequences, lengths for sequences or lanes."""
    leading = arrays.inputs.shape[:-1]
    weight, lengths = arrays.sample_weight, arrays.lengths
    shapes = [leading, leading[:1]] if sequences else [leading]
    if weight is not None and weight.shape not in shapes:
        raise _wrong(arrays, f"sample_weight has shape {weight.shape}, and needs {' or '.join(map(str, shapes))}")
    if lengths is None:
        return
    if len(leading) == 1:
        raise _wrong(arrays, "lengths are for sequences, and inputs are vectors")
    lanes_of = [leading[1:]] if len(leading) == 2 else [leading[:1], leading[::2]]
    shapes = [leading[:1]] if sequences else lanes_of
    if lengths.shape not in shapes:
        raise _wrong(arrays, f"lengths has shape {lengths.shape}, and needs {' or '.join(map(str, shapes))}")
    steps = leading[1] if sequences else leading[-2]
    right = (lengths >= 0) & (lengths <= steps) & (lengths == np.floor(lengths))
    _check_each(arrays, "lengths", right, f"a whole number from 0 to {steps}")


def _check_each(arrays: Arrays, name: str, right: Array, needs: str) -> None:
    """Every number of an array must be right; otherwise the first wrong one is named."""
    if not right.all():
        place = tuple(map(int, np.argwhere(~right)[0]))
        value = getattr(arrays, name)[place]
        raise _wrong(arrays, f"{name}{list(place)} is {value:g}, and must be {needs}")
