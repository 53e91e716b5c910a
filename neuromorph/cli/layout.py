"""Checks the arrays of a file, says what each shape means, and gives the arguments for ``nm.fit``.

N: vectors or sequences. S: steps in time. B: lanes (the batch). W: the width, the numbers in a vector.

| inputs | meaning |
|---|---|
| (N, W), a model without recurrence | N vectors, ``layout="NW"`` |
| (S, W), a recurrent model | one sequence of one lane |
| (N, S, W) with ``--sequences``, or a model that was trained so | N sequences from zero state, ``layout="NSW"`` |
| (S, B, W) | one sequence of B lanes; without recurrence, S samples of B vectors |
| (N, S, B, W) | N sequences of B lanes, each from zero state |

The expected values have the same axes, with the width of the output. The last axis is missing for class labels, and may
be missing where the output has width 1. For ``layout="NSW"`` they may also be (N, W), or labels (N,): one answer for
the last step of each sequence (its last step within ``lengths``). Then the other steps have weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np

import neuromorph as nm

from ..data.holding_out import drawn, held_number
from ..tables.records import counted
from .arrays import Array, Arrays, Source, has_classes
from .data import read

NAMES = ("inputs", "expected", "labels", "sample_weight", "lengths")
BATCH = 32  # lanes, if neither the data nor the user give a number
_CHECKED = 1 << 20  # numbers that are checked at once


@dataclass(frozen=True, eq=False)
class Prepared:
    """Arguments of ``nm.fit``, with the shapes that belong to the layout."""

    inputs: Array
    expected: Array
    sample_weight: Array | None
    lengths: Array | None = None
    layout: str | None = None
    missing: str = "error"

    @property
    def options(self) -> dict[str, Any]:
        """The arguments beside the inputs and the expected values."""
        return {
            "sample_weight": self.sample_weight, "lengths": self.lengths, "layout": self.layout,
            "missing": self.missing,
        }  # fmt: skip

    @property
    def all(self) -> tuple[Array | None, ...]:
        """The arrays as ``nm.fit`` takes them for ``validation``."""
        return self.inputs, self.expected, self.sample_weight, self.lengths


def as_sequences(model: nm.Model, source: Source, arrays: Arrays) -> bool:
    """Whether inputs are sequences (N, S, W): as the user says, or as in the model's training."""
    if arrays.sequences is not None:
        return arrays.sequences
    if source.sequences is not None:
        return source.sequences
    return model.layout == "NSW" and arrays.inputs.ndim == 3


def described(model: nm.Model, arrays: Arrays, *, sequences: bool) -> str:
    """How the axes of the inputs are read, such as "1,000 sequences of 50 steps, 3 numbers each".

    ClickException for lengths of sequences that are wrong.
    """
    *leading, width = arrays.inputs.shape
    recurrent, vector = model.graph.has_time_links, f"{counted(width, 'number')} each"
    if sequences and arrays.lengths is not None:
        _check_weights(model, arrays, sequences)
        low, high = int(arrays.lengths.min()), int(arrays.lengths.max())
        if low == high:
            return f"{counted(leading[0], 'sequence')} of {counted(high, 'step')}, {vector}"
        return f"{counted(leading[0], 'sequence')} of {low:,} to {counted(high, 'step')}, {vector}"
    if sequences or len(leading) == 3:
        lanes = f" in {counted(leading[2], 'lane')}" if len(leading) == 3 else ""
        return f"{counted(leading[0], 'sequence')} of {counted(leading[1], 'step')}{lanes}, {vector}"
    if len(leading) == 2 and not recurrent:
        return f"{counted(leading[0], 'batch')} of {counted(leading[1], 'vector')}, {vector}"
    if not recurrent:
        return f"{counted(leading[0], 'vector')}, {vector}"
    if len(leading) == 1:
        return f"one sequence of {counted(leading[0], 'step')}, {vector}"
    hint = f"; --sequences reads {counted(leading[0], 'sequence')} of {counted(leading[1], 'step')}"
    return f"one sequence of {counted(leading[0], 'step')} in {counted(leading[1], 'lane')}, {vector}{hint}"


def batch_for(model: nm.Model, arrays: Arrays, sequences: bool) -> int:
    """The batch size (number of lanes) that suits these data."""
    axes = arrays.inputs.ndim
    if axes in (3, 4) and not sequences:
        return int(max(1, arrays.inputs.shape[-2]))
    one_lane = axes == 2 and model.graph.has_time_links
    return 1 if one_lane else max(1, min(BATCH, len(arrays.inputs) if axes else 1))


def held_out(
    model: nm.Model, arrays: Arrays, fraction: float, *, sequences: bool, tail: bool = False
) -> tuple[Arrays, Arrays]:
    """The data to train on, and a part that is held out. fraction: its share of the first axis.

    The first axis counts vectors, sequences or steps in time. The part is drawn, with as large a share of each class as
    all have. It is the last part with ``tail``, of the windows of a series, and where time goes on from one place of
    the axis to the next. ClickException if nothing is left to train on.
    """
    whole = len(arrays.inputs) if arrays.inputs.ndim else 0
    held = held_number(whole, fraction)
    if held >= whole:
        raise click.ClickException(f"{arrays.name}: of {whole} on the first axis, --validation {fraction} leaves none")
    if arrays.lengths is not None and len(arrays.lengths) != whole:
        raise click.ClickException(f"{arrays.name}: a part of data with lengths of lanes can't be held out")
    windows = arrays.schema is not None and arrays.schema.window is not None  # which share rows with their neighbours
    if tail or windows or (model.graph.has_time_links and not sequences):
        kept, out = np.arange(whole - held), np.arange(whole - held, whole)
    else:
        kept, out = drawn(whole, held, _classes(model, arrays, whole))
    return _part(arrays, kept), _part(arrays, out)


def _classes(model: nm.Model, arrays: Arrays, count: int) -> Array | None:
    """The class of each on the first axis; None if it has none, or several."""
    answers = _answers(arrays)
    if has_classes(model):
        if answers.size == count:
            return answers.reshape(count)
        return answers.argmax(axis=1) if answers.ndim == 2 and arrays.labels is None else None
    binary = model.graph.loss.name == "binary_cross_entropy" and answers.size == count
    return answers.reshape(count) > 0.5 if binary else None


def _part(arrays: Arrays, rows: Array) -> Arrays:
    parts: dict[str, Any] = {name: array[rows] for name, array in _there(arrays).items()}
    return replace(arrays, rows=rows, **parts)


def _there(arrays: Arrays) -> dict[str, Array]:
    """The arrays that a file has, by their names."""
    named = {name: getattr(arrays, name) for name in NAMES}
    return {name: array for name, array in named.items() if array is not None}


def arrays_of(source: Source, model: nm.Model, *, answers: bool = True) -> Arrays:
    """The arrays of a source. ClickException for shapes that do not fit the model, before the numbers are read."""

    def check(arrays: Arrays) -> None:
        if answers:
            _in_shape(model, arrays, as_sequences(model, source, arrays))
        else:
            _check_inputs(model, arrays, as_sequences(model, source, arrays))

    return read(source, model, answers=answers, check=check)


def prepared(model: nm.Model, arrays: Arrays, *, sequences: bool) -> Prepared:
    """The arrays as ``nm.fit`` takes them. ClickException that names the file if they do not fit the model."""
    arrays = _in_shape(model, arrays, sequences)
    _check_finite(model, arrays, "inputs")
    _check_weights(model, arrays, sequences)
    weight = _weights(arrays, sequences)
    _check_answers(model, arrays, weight)
    found = _prepared(model, arrays, weight, sequences)
    return replace(found, missing="skip") if arrays.skips else found


def _prepared(model: nm.Model, arrays: Arrays, weight: Array | None, sequences: bool) -> Prepared:
    if sequences:
        return Prepared(arrays.inputs, _answers(arrays), arrays.sample_weight, arrays.lengths, "NSW")
    if arrays.inputs.ndim > 2:
        return Prepared(arrays.inputs, _answers(arrays), weight)
    if model.graph.has_time_links:
        return _one_lane(model, arrays)
    return Prepared(arrays.inputs, _answers(arrays), weight, layout="NW")


def inputs_of(model: nm.Model, arrays: Arrays, *, sequences: bool) -> tuple[Array, str | None]:
    """The inputs and their layout, as ``nm.predict`` takes them."""
    _check_inputs(model, arrays, sequences)
    _check_weight_shapes(arrays, sequences)
    _check_finite(model, arrays, "inputs")
    _check_weights(model, arrays, sequences)
    return arrays.inputs, "NSW" if sequences else None


def of_last_steps(arrays: Arrays, labels: Array) -> Array:
    """The label of the last step of each sequence (N,), from those of all steps (N, S); -1 for one of length 0."""
    last = _last_steps(arrays)
    return np.where(last < 0, -1, labels[np.arange(len(labels)), last])


def results_of_last_steps(arrays: Arrays, results: Array) -> Array:
    """The result of the last step of each sequence (N, W), from those of all steps (N, S, W); NaN if it has none."""
    last = _last_steps(arrays)
    return np.where(last[:, None] < 0, np.nan, results[np.arange(len(results)), last]).astype(results.dtype)


def without_padding(arrays: Arrays, labels: Array) -> Array:
    """Labels (N, S) of all steps, with -1 beyond the lengths of sequences."""
    return np.where(np.arange(labels.shape[1]) <= _last_steps(arrays)[:, None], labels, -1)


def _one_lane(model: nm.Model, arrays: Arrays) -> Prepared:
    """One sequence (S, W) as (S, 1, W)."""
    if model.batch_size != 1:
        raise _wrong(arrays, f"(steps, width) is one lane, and the model has a batch of {model.batch_size}")
    weight = arrays.sample_weight
    return Prepared(arrays.inputs[:, None], _answers(arrays)[:, None], None if weight is None else weight[:, None])


def answers_once(arrays: Arrays) -> bool:
    """Whether a sequence has one answer in all, and not one for each step."""
    return arrays.labels.ndim == 1 if arrays.labels is not None else _answers(arrays).ndim == 2


def _last_steps(arrays: Arrays) -> Array:
    """The last step of every sequence, an array (N,); -1 for a sequence of length 0."""
    count, steps = arrays.inputs.shape[:2]
    found: Array = np.full(count, steps - 1) if arrays.lengths is None else arrays.lengths.astype(np.int64) - 1
    return found


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
        if arrays.inputs.ndim == 3 and not sequences and answers.shape[:1] == leading[:1]:
            trouble += "; --sequences reads them as (sequences, steps, width)"
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
    if counts.ndim == 2 and arrays.inputs.ndim == 3 and answers_once(arrays):
        counts = counts[np.arange(len(counts)), _last_steps(arrays)]
    if not counts.any():
        raise _wrong(arrays, "nothing in it counts: sample_weight and lengths leave out every vector")
    unknown: Array | bool = np.isnan(answers) if arrays.skips and answers.dtype.kind == "f" else False
    if arrays.labels is not None:
        known = (answers >= 0) & (answers < model.output_width) & (answers == np.floor(answers))
        _check_each(arrays, name, known | ~counts | unknown, f"a whole number from 0 to {model.output_width - 1}")
        return
    _check_finite(model, arrays, name, ~counts[..., None] | unknown)
    loss = model.graph.loss
    if loss.targets is not None:
        known = loss.targets.fit(answers) | ~counts[..., None] | unknown
        hint = loss.targets.hint(answers[counts])
        _check_each(arrays, name, known, f"{loss.targets.needs} for {loss.name}{hint}")
    if loss.name == "binary_cross_entropy":
        known = (answers >= 0) & (answers <= 1)
        _check_each(arrays, name, known | ~counts[..., None] | unknown, "a number from 0 to 1 for binary_cross_entropy")


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
    if arrays.schema is not None and name == "inputs":
        return  # they were checked while they were read
    rows = max(1, _CHECKED * len(array) // max(1, array.size))
    for start in range(0, len(array), rows):
        part = slice(start, start + rows)
        some, free = array[part], exempt if isinstance(exempt, bool) else exempt[part]
        with np.errstate(invalid="ignore"):
            within = np.abs(some.astype(np.float64)) <= most
        if not (within | free).all():
            break
    else:
        return
    _check_each(arrays, name, np.isfinite(some) | free, "a finite number", start)
    _check_each(arrays, name, within | free, f"in the range of {model.dtype}, {-most:.2g} to {most:.2g}", start)


def _check_each(arrays: Arrays, name: str, right: Array, needs: str, start: int = 0) -> None:
    """Raise ClickException for the first number of an array where ``right`` is false. start: its first row there."""
    if not right.all():
        place = tuple(map(int, np.argwhere(~right)[0] + np.eye(1, right.ndim, dtype=int)[0] * start))
        value = getattr(arrays, name)[place]
        raise _wrong(arrays, f"{arrays.place(name, place)} is {value:g}, and must be {needs}", name)
