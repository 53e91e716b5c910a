"""Runs a forward kernel over samples, in calls short enough for Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.arrays import PredictionData, as_tensor, prediction_data
from .data.layouts import arranged_inputs, checked_layout
from .errors import DataError, DataWarning, brief
from .graph.outputs import checked_nodes, with_nodes_as_output
from .host.callers import warn_user
from .host.frozen import frozen
from .options import flag, whole_number
from .runtime.memory import aligned_zeros
from .runtime.network import Network
from .runtime.pacing import Pace
from .runtime.state import checked_state, set_state, state_views
from .runtime.threadpool import run_together
from .runtime.tiers import tier_of_part

CHUNK_ROWS = 512  # rows (samples x lanes) of one call of the forward kernel, about
LANES = 32  # the most lanes of packed sequences, if the model has no more


Floats = NDArray[Any]
State = Mapping[str, Any]  # in the form of ``Model.state``


@frozen
class Computed:
    """What a prediction gave: results (…, B, W_out), and the state after the last step, of each sequence."""

    results: Floats
    states: list[dict[str, Floats]]


def predict(
    model: Network,
    inputs: Any,
    *,
    layout: str | None = None,
    nodes: Any = None,
    state: Any = None,
    return_state: Any = False,
) -> Any:
    """The output for every sample, or the values of some nodes; see ``Model.predict``."""
    keeps, names = flag("return_state", return_state), None if nodes is None else checked_nodes(model.graph, nodes)
    data = inputs_of(model, inputs, layout)
    if data.packing is not None and (keeps or state is not None):
        raise DataError("state and return_state are of lanes, which layout= packs by itself: leave layout out")
    with model.lock:
        model.memory()
        runner = model if names is None else watcher(model, names)
        found = compute(runner, data, state)
        model.ran = None if runner is model else runner.kernels.tier
    results: Any
    if names is None:
        results = data.restore(found.results)
    else:
        results = {name: data.restore(values) for name, values in _apart(model, names, found.results).items()}
    if not keeps:
        return results
    states = found.states
    return results, {k: np.stack([one[k] for one in states]) for k in states[0]} if data.sequences else states[0]


def inputs_of(model: Network, inputs: Any, layout: Any) -> PredictionData:
    """The checked inputs of a prediction, in lanes."""
    layout = checked_layout(layout, model.needs.recurrent)
    if layout is None:
        _warn_of_lanes(model, inputs)
        return prediction_data(inputs, width=model.input_width, dtype=model.dtype)
    lanes = max(model.batch_size, LANES)
    return arranged_inputs(layout, inputs, width=model.input_width, dtype=model.dtype, lanes=lanes)


def _warn_of_lanes(model: Network, inputs: Any) -> None:
    """Warn of inputs of three axes that a model which was trained on sequences probably reads the wrong way."""
    found = getattr(inputs, "shape", ()) if model.layout == "NSW" else ()
    shape = found if isinstance(found, tuple) else ()
    if len(shape) == 3 and shape[1] != model.batch_size:
        warn_user(
            f"inputs of shape {shape} are read as {shape[0]} steps of {shape[1]} lanes, and the model was trained with "
            f"layout='NSW': give it here too for {shape[0]} sequences of {shape[1]} steps",
            DataWarning,
        )


def outputs(model: Network, data: PredictionData, state: State | None = None) -> Floats:
    """The output for checked samples. Each sequence starts from zero state, or from ``state``."""
    found: Floats = data.restore(compute(model, data, state).results)
    return found


def compute(model: Network, data: PredictionData, state: State | None = None) -> Computed:
    """Run the forward kernel over checked samples.

    Each sequence starts from zero state, or from ``state``: in the form of ``Model.state``, and for several sequences
    with an axis of these before the others, or without it for the same state in all.
    """
    with model.lock:
        model.look_for_kernels(predicts=True)
        model.memory()
        results = np.empty((*data.inputs.shape[:-1], model.output_width), model.dtype)
        inputs, outs = _each(data.inputs), _each(results)
        threads = model.kernels.threads_of_prediction(inputs.size // inputs.shape[-1])
        if threads > 1:  # without links in time, rows are independent: all become samples of one sequence
            inputs, outs = (array.reshape(1, -1, 1, array.shape[-1]) for array in (inputs, outs))
        samples, lanes = inputs.shape[1:3]
        capacity = max(1, min(samples, CHUNK_ROWS // lanes))
        size = model.kernels.prediction_elements(capacity, lanes)
        spaces = [aligned_zeros(size, model.options.dtype) for _ in range(threads)]
        views = state_views(model.kernels.plan.prediction_space, spaces[0], capacity, lanes)
        starts, states, pace = _starts(views, state, len(inputs), data.sequences), [], Pace()
        for one, out, start in zip(inputs, outs, starts, strict=True):
            spaces[0][:] = 0.0
            for name, value in start.items():
                views[name][:] = value
            _run(model, spaces, capacity, pace, one, out)
            states.append({name: view.copy() for name, view in views.items()})
    return Computed(results, states)


def _starts(views: Mapping[str, Floats], state: Any, count: int, sequences: bool) -> list[dict[str, Floats]]:
    """The state from which each of ``count`` sequences starts, as far as it is given."""
    if state is None:
        return [{}] * count
    if not sequences:
        return [checked_state(views, state)]
    wide = {name: np.broadcast_to(view, (count, *view.shape)) for name, view in views.items()}
    given = checked_state(wide, state)
    return [{name: value[number] for name, value in given.items()} for number in range(count)]


# Inner nodes ----------------------------------------------------------------------------------------------------------


def watcher(model: Network, names: tuple[str, ...]) -> Network:
    """A network with the model's parameters whose output is the values of the named nodes, side by side.

    The model keeps the last one, because a plan and source are made for it.
    """
    what = model.kernels.tier, names
    if model.watched is None or model.watched[0] != what:
        options = replace(model.options, batch_size=1, bptt_steps=1, threads=1)
        graph = with_nodes_as_output(model.graph, names)
        options = replace(options, tier=tier_of_part(graph, options))
        model.watched = what, Network(model.text, options, 0.0, None, graph, model.optimizer)
        model.watched[1].prepare()
    found = model.watched[1]
    found.set_parameters(model.get_parameters())
    return found


def _apart(model: Network, names: tuple[str, ...], values: Floats) -> dict[str, Floats]:
    """The values of each node, from those of all side by side."""
    if len(names) == 1:
        return {names[0]: values}
    widths = {node.name: node.width for node in model.graph.nodes}
    ends = np.cumsum([widths[name] for name in names])
    return {name: part.copy() for name, part in zip(names, np.split(values, ends[:-1], axis=-1), strict=True)}


# Forecasts ------------------------------------------------------------------------------------------------------------


def forecast(model: Network, history: Any, steps: Any, *, layout: Any = None) -> Floats:
    """The outputs after a history, each fed back as the next input; see ``Model.forecast``."""
    count = whole_number("steps", steps)
    if layout not in (None, "NSW"):
        raise ValueError(f"layout must be None or 'NSW', not {brief(layout)}")
    given, wide = model.input_width, model.output_width
    if given != wide:
        reason = f"forecast feeds the output back, so it must be as wide as the input: they are {wide} and {given} wide"
        raise DataError(reason)
    if layout == "NSW":
        return _forecast_apart(model, history, count)
    _warn_of_lanes(model, history)
    return _forecast_lanes(model, history, count)


def _forecast_lanes(model: Network, history: Any, count: int) -> Floats:
    """The forecasts of lanes, as ``prediction_data`` reads them."""
    data = prediction_data(history, width=model.input_width, dtype=model.dtype)
    with model.lock:
        found = compute(model, data)
        ends = zip(_each(found.results)[:, -1], found.states, strict=True)
        results = np.stack([_closed_loop(model, last, state, count) for last, state in ends])
    restored: Floats = data.restore(results if data.sequences else results[0])
    return restored


def _forecast_apart(model: Network, history: Any, steps: int) -> Floats:
    """The forecasts (N, steps, W) of sequences (N, S, W), or of a list of sequences. Those of one length are lanes."""
    shape = (("samples", None), ("width", model.input_width))
    if isinstance(history, list | tuple):
        rows = [as_tensor(f"history[{n}]", one, dtype=model.dtype, shape=shape) for n, one in enumerate(history)]
    else:
        rows = list(as_tensor("history", history, dtype=model.dtype, shape=(("sequences", None), *shape)))
    if not rows:
        raise DataError("history has no sequence")
    lengths: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        lengths.setdefault(len(row), []).append(number)
    results = np.empty((len(rows), steps, model.output_width), model.dtype)
    for numbers in lengths.values():
        together = np.stack([rows[number] for number in numbers], axis=1)
        results[numbers] = _forecast_lanes(model, together, steps).swapaxes(0, 1)
    return results


def _closed_loop(model: Network, last: Floats, state: Mapping[str, Floats], steps: int) -> Floats:
    """The forecast (steps, B, W) that begins with the output ``last`` (B, W) and goes on from a state."""
    kernels, weights, lanes = model.kernels, model.memory().weights, len(last)
    space, results = kernels.step_space(lanes), np.empty((steps, *last.shape), model.dtype)
    set_state(state_views(kernels.plan.prediction_space, space, 1, lanes), state)
    results[0] = last
    step, rows = kernels.step, results.reshape(steps, -1)
    for number in range(1, steps):
        if step(lanes, space, weights, rows[number - 1], rows[number]) != 0:
            break
    else:
        number = steps
    if not np.isfinite(rows[number - 1]).all():
        raise DataError(f"the forecast is not finite any more at step {number - 1}: the closed loop is not stable")
    return results


# Running --------------------------------------------------------------------------------------------------------------


def _run(
    model: Network, spaces: list[NDArray[Any]], capacity: int, pace: Pace, inputs: NDArray[Any], results: NDArray[Any]
) -> None:
    """Predict one sequence (S, B, W) from the state in the first of ``spaces``, in pieces of whole chunks.

    Several spaces are for models without state: then threads divide the samples of a piece, if it is large.
    """
    lanes = inputs.shape[1]
    for start, stop in pace.pieces(len(inputs), capacity):
        enough = model.kernels.threads_of_prediction((stop - start) * lanes) >= len(spaces)
        _call(model, spaces if enough else spaces[:1], capacity, inputs[start:stop], results[start:stop])


def _call(
    model: Network, spaces: list[NDArray[Any]], capacity: int, inputs: NDArray[Any], results: NDArray[Any]
) -> None:
    """Call the kernel in one thread for each space, over equal ranges of the samples."""
    kernel, weights, (samples, lanes, _) = model.kernels.predict, model.memory().weights, inputs.shape
    cuts = [samples * n // len(spaces) for n in range(len(spaces) + 1)]
    arguments = [
        (lanes, end - begin, capacity, space, weights, inputs[begin:end].reshape(-1), results[begin:end].reshape(-1))
        for space, (begin, end) in zip(spaces, pairwise(cuts), strict=True)
    ]
    if len(arguments) == 1:
        kernel(*arguments[0])
    else:
        try:
            run_together(kernel, arguments)
        except RuntimeError:  # the system starts no more threads: this thread then does everything
            for each in arguments:
                kernel(*each)


def _each(array: NDArray[Any]) -> NDArray[Any]:
    """The array with an axis of sequences: one sequence (S, B, W) becomes (1, S, B, W)."""
    return array if array.ndim == 4 else array[None]
