"""Compares exact gradients with central differences of the loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import TrainingData, prediction_data
from ..data.reading import read
from ..errors import GradientError
from ..graph.gradient_flow import behind_surrogates
from ..host.frozen import frozen
from ..options import finite_number, whole_number
from ..runtime.network import Network
from .checks import check_data
from .gradients import gradients
from .loop import evaluate

Floats = NDArray[Any]
# An error is divided by the largest gradient of its parameter, or by the largest of these three if that is more.
_LEAST = 1e-8  # times the model's largest gradient
_ROUNDING = 1e6  # times the change of a difference when the loss is rounded once
_TINY = 1e-300
_SHRINKING = (1.0, 1e-1, 1e-2, 1e-3)  # factors of the step, tried in order until a difference agrees
_ASIDE = 1e-3  # how far a parameter is moved away from bends, as a share of its size
_TRIES = 3  # the most moves away from bends


@frozen
class GradientReport:
    """What ``gradcheck`` found: for each parameter the largest error, relative to the largest gradient in it.

    ``left_out``: layers that learn through an activation whose derivative is by definition not that of its value.
    """

    errors: dict[str, float]
    tolerance: float
    left_out: tuple[str, ...] = ()

    @property
    def worst(self) -> float:
        """The largest error of all."""
        return max(self.errors.values(), default=0.0)

    @property
    def failed(self) -> tuple[str, ...]:
        """The parameters whose gradients disagree."""
        return tuple(name for name, error in self.errors.items() if not error <= self.tolerance)

    def __str__(self) -> str:
        width = max((len(name) for name in self.errors), default=0)
        lines = [f"{'parameter':<{width}}  relative error"]
        for name, error in self.errors.items():
            lines.append(f"{name:<{width}}  {error:.3g}{'  DISAGREES' if name in self.failed else ''}")
        if self.left_out:
            lines.append(f"left out, since differences can't tell a surrogate's gradient: {', '.join(self.left_out)}")
        return "\n".join(lines)


class Differences:
    """The exact gradients of a float64 model at its parameters, and how far differences of its loss are from them."""

    def __init__(self, model: Network, inputs: Floats, expected: Floats, step: float, tolerance: float) -> None:
        self._model, self._inputs, self._expected = model, inputs, expected
        self._step, self._tolerance = step, tolerance
        self._loss, self.exact = gradients(model, inputs, expected)
        largest = max((float(np.abs(g).max()) for g in self.exact.values()), default=0.0)
        self._least = max(_LEAST * largest, _ROUNDING * np.finfo(np.float64).eps * abs(self._loss) / step, _TINY)

    def aside(self, rng: np.random.Generator) -> Differences:
        """The same, once the model's parameters are moved a little, away from bends."""
        parameters = self._model.get_parameters()
        for name in self.exact:
            size = float(np.sqrt(np.mean(parameters[name] ** 2))) or 1.0
            parameters[name] = parameters[name] + _ASIDE * size * rng.normal(size=parameters[name].shape)
        self._model.set_parameters(parameters)
        return Differences(self._model, self._inputs, self._expected, self._step, self._tolerance)

    def of(self, name: str, places: NDArray[np.int64]) -> tuple[float, bool]:
        """The largest error among some numbers of a parameter, and whether all that disagree stand at bends."""
        known = self.exact[name].reshape(-1)[places]
        size = max(float(np.abs(known).max()), self._least)
        found = [self._error(name, int(place), value, size) for place, value in zip(places, known, strict=True)]
        wrong = [at_bend for error, at_bend in found if not error <= self._tolerance]
        return max(error for error, _ in found), bool(wrong) and all(wrong)

    def _error(self, name: str, place: int, known: float, size: float) -> tuple[float, bool]:
        """The error by the step that shows the least, where the first shows one, and whether a bend makes it."""
        least = np.inf
        for shrinking in _SHRINKING:
            below, above = self._slopes(name, place, shrinking * self._step)
            found = 0.5 * (below + above)
            least = min(least, abs(found - known) / max(size, abs(found)))
            if least <= self._tolerance:
                return least, False
        return least, not abs(above - below) <= self._tolerance * size

    def _slopes(self, name: str, place: int, step: float) -> tuple[float, float]:
        """The differences of the loss to both sides of one number of a parameter, over the steps."""
        whole = self._model.get_parameters()[name]
        value = whole.reshape(-1)[place]
        slopes = []
        for way in (-1.0, 1.0):
            moved = whole.copy()
            moved.reshape(-1)[place] += way * step * max(1.0, abs(value))
            self._model.set_parameters({name: moved})
            loss = evaluate(self._model, self._inputs, self._expected)
            with np.errstate(all="ignore"):  # a step that is too small moves nothing
                slopes.append((loss - self._loss) / (moved.reshape(-1)[place] - value))
        self._model.set_parameters({name: whole})
        return slopes[0], slopes[1]


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
    """Compare exact gradients with central differences; see ``neuromorph.gradcheck``."""
    whole_number("checks", checks)
    tolerance, step = finite_number("tolerance", tolerance), finite_number("step", step)
    if step == 0.0:
        raise ValueError("step must be greater than 0")
    rng = np.random.default_rng(seed)
    double, left_out = _double(model), behind_surrogates(model.graph)
    data = _data(model, double, rng, inputs, expected)
    here = Differences(double, data.inputs, data.expected, step, tolerance)
    names = [name for name in here.exact if name.rpartition(".")[0] not in left_out]
    places = {name: rng.permutation(here.exact[name].size)[:checks] for name in names}
    found = {name: here.of(name, places[name]) for name in names}
    errors = {name: error for name, (error, _) in found.items()}
    unsure = [name for name, (_, at_bend) in found.items() if at_bend]
    for _ in range(_TRIES if unsure else 0):
        here = here.aside(rng)
        errors |= {name: min(errors[name], here.of(name, places[name])[0]) for name in unsure}
    report = GradientReport(errors, tolerance, left_out)
    if report.failed:
        raise GradientError(f"gradients disagree with central differences:\n{report}")
    return report


def _data(model: Network, double: Network, rng: np.random.Generator, inputs: Any, expected: Any) -> TrainingData:
    """The data for the loss, with random numbers for what is not given.

    Random inputs have 2 samples. With links in time they have 7 more than the steps that the model reads back, at most
    64, and no more than a window, or one more than it reads back.
    """
    if inputs is None:
        reach = max(model.graph.history.values(), default=0)
        samples = min(max(model.bptt_steps, reach + 1), 8 + reach - 1, 64) if model.graph.has_time_links else 2
        inputs = rng.normal(size=(samples, model.batch_size, model.input_width))
    given = read("inputs", inputs)
    if expected is None:
        checked = prediction_data(given, width=model.input_width, dtype=double.dtype).inputs
        expected = _targets(model, rng, checked.shape[:-1])
    return check_data(double, given, expected, None)


def _targets(model: Network, rng: np.random.Generator, leading: tuple[int, ...]) -> Floats:
    """Random numbers that the model's loss takes."""
    numbers, targets = rng.uniform(0.1, 0.9, (*leading, model.output_width)), model.graph.loss.targets
    return numbers if targets is None else targets.like(numbers)


def _double(model: Network) -> Network:
    """The model in float64, with the same parameters."""
    parameters = model.get_parameters()
    options = replace(model.options, dtype="float64")
    double = Network(model.text, options, model.learning_rate, None, model.graph, model.optimizer)
    double.prepare()
    double.set_parameters(parameters)
    return double
