"""Sets means and scales of a model from data: those of ``standardize`` nodes, and of an output with ``restore``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import TrainingData, training_data
from ..data.labels import as_vectors_and_weights
from ..data.layouts import arranged, checked_layout
from ..data.missing import MISSING
from ..data.reading import Given, read, read_inputs
from ..errors import DataError
from ..functions import RESTORE
from ..graph import Graph, interpreter
from ..options import one_of
from ..runtime.network import Network

Floats = NDArray[np.float64]
STANDARDIZE = "standardize"
_NUMBERS = 1 << 20  # numbers of the inputs that are computed with at once


def adapt(
    model: Network,
    inputs: Any,
    expected: Any = None,
    *,
    lengths: Any = None,
    sample_weight: Any = None,
    layout: str | None = None,
    missing: str = "error",
) -> None:
    """Set means and scales from data; see ``neuromorph.adapt``."""
    with model.lock:
        model.memory()
        graph = model.graph
        places = [node.index for node in graph.nodes if node.live and _is(graph, node.index, STANDARDIZE)]
        restores = _is(graph, graph.output, RESTORE.name)
        if not places and not restores:
            reason = f"the model has no node with <{STANDARDIZE}> and no output with <{RESTORE.name}>"
            raise ValueError(f"{reason}: there is nothing to adapt")
        skip = one_of("missing", missing, MISSING) == "skip"
        data, answers = _data(model, inputs, expected, lengths, sample_weight, layout, skip=skip)
        parameters = model.get_parameters()
        for index in places:
            parameters |= _units(model, index, partial(_incoming, model, parameters, data, index), data)
        if restores and expected is not None:
            parameters |= _units(model, graph.output, lambda part: answers.expected[part], answers)
        model.set_parameters(parameters)


def _is(graph: Graph, index: int, name: str) -> bool:
    layer = graph.nodes[index].elementwise
    return layer is not None and layer.name == name


def _data(
    model: Network, inputs: Any, expected: Any, lengths: Any, sample_weight: Any, layout: Any, *, skip: bool
) -> tuple[TrainingData, TrainingData]:
    """The arrays of a call, checked as in training: with the weights of the steps, and with those of the answers.

    These differ where each sequence has one answer. Zeros stand for the expected values if they are not given. skip:
    whether NaN is allowed; then it is in the arrays too.
    """
    layout, of_steps = checked_layout(layout, model.needs.recurrent), None
    if layout is not None:
        packed = arranged(layout, model.needs, inputs, expected, sample_weight, lengths, of_steps=True)
        inputs, expected, sample_weight, lengths = packed.inputs, packed.expected, packed.weights, None
        of_steps = packed.of_steps
    inputs = read_inputs(inputs)
    if expected is None:
        leading = inputs.numbers.shape[:-1]
        expected = np.broadcast_to(np.zeros(1, model.dtype), (*leading, model.output_width))
    expected, unknown = read("expected", expected), []
    if skip:
        (inputs, no_input), (expected, no_answer) = _filled(inputs), _filled(expected)
        unknown = [no_input, no_answer]
    given = as_vectors_and_weights(model.needs, inputs, expected, sample_weight, lengths)
    answers = _checked(model, *given)
    data = answers if of_steps is None else _checked(model, answers.inputs, answers.expected, of_steps)
    if all(gaps is None for gaps in unknown):
        return data, answers
    found = [_with_gaps(*pair) for pair in zip((data.inputs, answers.expected), unknown, strict=True)]
    gaps: dict[str, Any] = {"inputs": found[0], "expected": found[1], "unknown": True}
    return replace(data, **gaps), replace(answers, **gaps)


def _checked(model: Network, inputs: Any, expected: Any, weights: Any) -> TrainingData:
    """The arrays, checked against the model and one another."""
    data = training_data(
        inputs, expected, weights, batch=model.batch_size, width_in=model.input_width, width_out=model.output_width,
        dtype=model.dtype, recurrent=model.needs.recurrent,
    )  # fmt: skip
    if data.weights is not None and not data.weights.any():
        raise DataError("adapt needs a vector that counts, and all weights are 0")
    return data


def _filled(given: Given) -> tuple[Given, NDArray[np.bool_] | None]:
    """An argument with 0 for each NaN, and where these are; None if there is none."""
    numbers = given.numbers
    unknown = np.isnan(numbers) if numbers.dtype.kind == "f" else np.zeros(0, np.bool_)
    if not unknown.any():
        return given, None
    return given._replace(numbers=np.where(unknown, 0.0, numbers).astype(numbers.dtype)), unknown


def _with_gaps(numbers: NDArray[Any], unknown: NDArray[np.bool_] | None) -> NDArray[Any]:
    """The numbers with NaN where they are unknown. Class labels are vectors by now, and have no place for it."""
    return numbers if unknown is None or unknown.shape != numbers.shape else np.where(unknown, np.nan, numbers)


def _incoming(model: Network, parameters: Mapping[str, Any], data: TrainingData, index: int, part: slice) -> Floats:
    """The vectors that reach a node, with the axes of the inputs; each sequence starts from zero state.

    part: of the first axis of the inputs.
    """
    inputs = data.inputs[part]
    found = [
        interpreter.incoming(model.graph, parameters, one, index) for one in (inputs if data.sequences else [inputs])
    ]
    return np.stack(found) if data.sequences else found[0]


def _parts(model: Network, data: TrainingData) -> list[slice]:
    """The parts of the first axis that are computed one after the other, so that they need little memory.

    Of one sequence whose state goes on, there is one part.
    """
    count = len(data.inputs)
    if model.graph.has_time_links and not data.sequences:
        return [slice(count)]
    step = max(1, _NUMBERS * count // data.inputs.size)
    return [slice(start, start + step) for start in range(0, count, step)]


def _units(model: Network, index: int, values: Callable[[slice], Any], data: TrainingData) -> dict[str, NDArray[Any]]:
    """The mean and scale of each component, as parameters of a node. The scale is the standard deviation; 1 for 0.

    values: the vectors of a part of the data; where they depend on what is not known, they are NaN, and do not count.
    """
    name, parts = model.graph.nodes[index].name, _parts(model, data)
    mean = scale = np.zeros(1)
    with np.errstate(all="ignore"):
        total = _total(name, parts, values, data)
        for part in parts:
            rows, weights = _rows(values, data, part)
            mean = mean + (weights / total * rows).sum(axis=0)
        first, equal = np.full(1, np.nan), np.ones(1, np.bool_)
        for part in parts:
            rows, weights = _rows(values, data, part)
            if len(rows):
                counts = weights > 0.0
                firsts = np.take_along_axis(rows, counts.argmax(axis=0)[None], axis=0)[0]
                first = np.where(np.isnan(first) & counts.any(axis=0), firsts, first)
                equal = equal & ((rows == first) | ~counts).all(axis=0)
                scale = scale + (weights / total * np.square(rows - mean)).sum(axis=0)
        scale = np.sqrt(scale).astype(model.dtype)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise DataError(f"what reaches '{name}' is too large: its mean or deviation is not a finite number")
    scale[(scale == 0.0) | equal] = 1.0
    return {f"{name}.mean": mean, f"{name}.scale": scale}


def _total(name: str, parts: list[slice], values: Callable[[slice], Any], data: TrainingData) -> Floats:
    """The weight of all that is known: one number, or one for each component. DataError for a component without any."""
    if not data.unknown:
        return np.full(1, sum(_weights(data, part).sum() for part in parts))
    total: Floats = np.sum([_rows(values, data, part)[1].sum(axis=0) for part in parts], axis=0)
    if not total.all():
        place = int((total == 0.0).argmax())
        raise DataError(f"what reaches '{name}' is NaN in component {place} of all vectors: its mean is not known")
    return total


def _weights(data: TrainingData, part: slice) -> Floats:
    """The weights of the vectors of a part, in proportion to the largest of all."""
    if data.weights is None:
        return np.ones(data.inputs[part].shape[:-1]).reshape(-1)
    found: Floats = np.asarray(data.weights[part], np.float64).reshape(-1) / float(data.weights.max())
    return found


def _rows(values: Callable[[slice], Any], data: TrainingData, part: slice) -> tuple[Floats, Floats]:
    """The vectors that count (n, W), and their weights: (n, 1), or (n, W) with 0 in the place of what is not known."""
    found, weights = np.asarray(values(part), np.float64), _weights(data, part)
    rows, counts = found.reshape(-1, found.shape[-1]), weights > 0.0
    if not counts.all():
        rows, weights = rows[counts], weights[counts]
    if not data.unknown:
        return rows, weights[:, None]
    unknown = np.isnan(rows)
    return np.where(unknown, 0.0, rows), np.where(unknown, 0.0, weights[:, None])
