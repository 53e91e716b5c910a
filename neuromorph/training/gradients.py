"""Computes the exact gradients of a whole sequence, and compares them with central differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..abi.mailbox import GRADIENTS
from ..data.arrays import prediction_data
from ..data.reading import read
from ..errors import DataError, GradientError, TrainingDivergedError
from ..graph.gradient_flow import behind_surrogates
from ..options import finite_number, whole_number
from ..runtime.network import Network
from .loop import Pass, check_data, evaluate, scratch, sequences
from .means import weighted_mean

Floats = NDArray[Any]


def gradients(
    model: Network, inputs: Any, expected: Any, *, sample_weight: Any = None, lengths: Any = None
) -> tuple[float, dict[str, Floats]]:
    """The loss of the whole input as one window from zero state, and its gradient with respect to every parameter."""
    data = check_data(model, inputs, expected, sample_weight, lengths)
    if data.sequences:
        raise DataError("gradients takes one sequence: inputs of 3 axes (samples, batch, width)")
    with model.lock:
        samples = data.inputs.shape[0]
        memory = scratch(model, samples)
        (whole,) = sequences(model, memory, data, GRADIENTS, samples)
        _run_whole(whole)
        return weighted_mean(whole.losses, data.weights), model.unpack_gradients(
            memory.gradients[: memory.weights.size]
        )


def _run_whole(whole: Pass) -> None:
    if whole.run(0, whole.samples) < whole.samples:
        raise TrainingDivergedError("the loss or a gradient of these samples is not a finite number")


@dataclass(frozen=True)
class GradientReport:
    """The result of ``gradcheck``: for each parameter the largest error, relative to the parameter's largest gradient.

    left_out: layers that learn through an activation whose derivative is, by definition, not that of its value.
    """

    errors: dict[str, float]
    tolerance: float
    left_out: tuple[str, ...] = ()

    @property
    def worst(self) -> float:
        """The largest error of all parameters."""
        return max(self.errors.values(), default=0.0)

    @property
    def failed(self) -> tuple[str, ...]:
        """The parameters whose error exceeds the tolerance."""
        return tuple(name for name, error in self.errors.items() if not error <= self.tolerance)

    def __str__(self) -> str:
        width = max((len(name) for name in self.errors), default=0)
        lines = [f"{'parameter':<{width}}  relative error"]
        for name, error in self.errors.items():
            lines.append(f"{name:<{width}}  {error:.3g}{'  DISAGREES' if name in self.failed else ''}")
        if self.left_out:
            lines.append(f"left out, since differences can't tell a surrogate's gradient: {', '.join(self.left_out)}")
        return "\n".join(lines)


def gradcheck(
    model: Network,
    inputs: Any = None,
    expected: Any = None,
    *,
    tolerance: float = 1e-5,
    step: float = 1e-5,
    checks: int = 20,
    seed: int = 0,
) -> GradientReport:
    """Compare the kernel's gradients with central differences of its own loss, in float64.

    inputs (S, B, W_in) and expected (S, B, W_out) default to random numbers. There are 2 samples for a model without
    links in time, else 8 samples plus those that it reads back in time (64 at most), but no more than a window. At most
    ``checks`` numbers of each parameter are moved by ``step`` in both directions. The error of a parameter is the
    largest difference, divided by the largest of its checked gradients (or by 1e-8 of the model's largest, if that is
    more). Layers that learn through ``spike`` or ``detach`` are left out, and the report names them. The model does not
    change.

    Returns a ``GradientReport``; raises GradientError, naming the parameters, if an error exceeds ``tolerance``.
    """
    whole_number("checks", checks)
    tolerance, step = finite_number("tolerance", tolerance), finite_number("step", step)
    if step == 0.0:
        raise ValueError("step must be greater than 0")
    rng = np.random.default_rng(seed)
    double = _double(model)
    if inputs is None:
        reach = max(model.graph.history.values(), default=0)
        samples = min(max(model.bptt_steps, reach + 1), 8 + reach - 1, 64) if model.graph.has_time_links else 2
        inputs = rng.normal(size=(samples, model.batch_size, model.input_width))
    given = read("inputs", inputs)
    if expected is None:
        checked = prediction_data(given, width=model.input_width, dtype=double.dtype).inputs
        expected = _targets(model, rng, checked.shape[:-1])
    data = check_data(double, given, expected, None)
    _, exact = gradients(double, data.inputs, data.expected)
    scale = max((float(np.abs(g).max()) for g in exact.values()), default=0.0)
    left_out, errors = behind_surrogates(model.graph), {}
    exact = {name: gradient for name, gradient in exact.items() if name.rpartition(".")[0] not in left_out}
    for name, gradient in exact.items():
        places = rng.permutation(gradient.size)[:checks]
        found = np.array([_difference(double, name, int(place), step, data.inputs, data.expected) for place in places])
        known = gradient.reshape(-1)[places]
        size = max(float(np.abs(found).max()), float(np.abs(known).max()), 1e-8 * scale, 1e-300)
        errors[name] = float(np.abs(found - known).max() / size)
    report = GradientReport(errors, tolerance, left_out)
    if report.failed:
        raise GradientError(f"gradients disagree with central differences:\n{report}")
    return report


def _targets(model: Network, rng: np.random.Generator, leading: tuple[int, ...]) -> Floats:
    """Random numbers that the model's loss accepts as expected values."""
    numbers, targets = rng.uniform(0.1, 0.9, (*leading, model.output_width)), model.graph.loss.targets
    return numbers if targets is None else targets.like(numbers)


def _double(model: Network) -> Network:
    """A copy of the model in float64, with the same parameters."""
    from dataclasses import replace

    parameters = model.get_parameters()
    options = replace(model.options, dtype="float64")
    double = Network(model.text, options, model.learning_rate, None, model.graph, model.optimizer)
    double.prepare()
    double.set_parameters(parameters)
    return double


def _difference(model: Network, name: str, place: int, step: float, inputs: Floats, expected: Floats) -> float:
    """The central difference of the loss with respect to one number of a parameter."""
    parameters = model.get_parameters()
    losses = []
    for sign in (1.0, -1.0):
        moved = parameters[name].copy()
        moved.reshape(-1)[place] += sign * step
        model.set_parameters({name: moved})
        losses.append(evaluate(model, inputs, expected))
    model.set_parameters({name: parameters[name]})
    return (losses[0] - losses[1]) / (2.0 * step)
