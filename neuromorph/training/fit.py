"""Trains epoch by epoch (``fit``), with validation, shuffling, callbacks and a history."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np

from ..data.arrays import TrainingData, as_tensor
from ..data.holding_out import drawn, held_number
from ..data.mixing import classes_of, counting_units, in_order, taken
from ..errors import DataError
from ..history import History
from ..host.frozen import frozen
from ..options import flag, whole_number
from ..prediction import State
from ..runtime import seeding
from ..runtime.network import Network
from .callbacks import Callback, Run
from .checks import check_carried, check_data
from .epochs import checked_callbacks, names_of, run_epochs, run_of
from .loop import measure
from .metrics import ACCURACY, CLASSIFYING, Metric, check_accuracy, checked_metrics, measured
from .sources import Arrays, Reading, Source, batches_of
from .truncation import warn_of_hidden_steps


def fit(
    model: Network,
    inputs: Any,
    expected: Any = None,
    *,
    epochs: int,
    validation: Any = None,
    shuffle: bool = False,
    callbacks: Callback | Iterable[Callback] = (),
    progress: bool = True,
    sample_weight: Any = None,
    lengths: Any = None,
    metrics: Any = (),
    seed: int | None = None,
    carry_state: bool = False,
    layout: str | None = None,
    class_weight: Any = None,
    missing: str = "error",
    initial_epoch: int = 0,
    drawn: int | None = None,
) -> History:
    """Train epoch by epoch; see ``neuromorph.fit``. drawn: the seed that would be drawn if none is given."""
    model.memory()
    count, first = whole_number("epochs", epochs), whole_number("initial_epoch", initial_epoch, least=0)
    watchers, carries = checked_callbacks(callbacks), flag("carry_state", carry_state)
    asked = checked_metrics(model, metrics)
    reading = Reading.of(model, missing, class_weight, layout, balances=expected is not None)
    mixes = flag("shuffle", shuffle)
    if expected is None:
        others = {"sample_weight": sample_weight, "lengths": lengths, "shuffle": mixes, "seed": seed}
        source: Source = batches_of(inputs, reading, others)
        data, held_out = _only_held_out(model, validation, reading, asked)
    else:
        data = reading.read(model, inputs, expected, sample_weight, lengths)
        check_carried(data, carries)
        data, held_out = divided(model, data, validation, reading)
        source = Arrays(reading.weighted(model, data))
    given = _Given(data, held_out, carries, carries and _is_a(validation, Real), asked)
    run = run_of(model, given, count, first)
    for callback in watchers:
        callback.check(run)
    if isinstance(source, Arrays):
        warn_of_hidden_steps(model, source.data)
        if mixes:
            rng = shuffling_generator(model, source.data, drawn if seed is None else seed)
            source = source.mixed(rng, recurrent=model.graph.has_time_links)
            if seed is not None:
                source.skip(first)
    return run_epochs(run, given, source, watchers, progress=progress)


@frozen
class _Given:
    """The data of a run that are measured after each epoch, and how.

    data: those to learn from, None if they come in batches. held_out: for validation. carries: whether each epoch
    starts from the present state and not from zeros. follows: whether the validation data continue the sequence of the
    training data, so that they are measured from the state at the end of the epoch.
    """

    data: TrainingData | None
    held_out: TrainingData | None
    carries: bool
    follows: bool
    metrics: tuple[Metric, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The histories that the run records."""
        return names_of(self.metrics, trained=self.data is not None, held_out=self.held_out is not None)

    def measure(self, run: Run, before: State | None) -> dict[str, float]:
        """The numbers that are measured with the parameters at the end of an epoch, by name.

        before: the state that the epoch started from.
        """
        model, metrics = run.model, self.metrics
        found: dict[str, float] = {}
        if self.data is not None:
            found |= measured(model, metrics, self.data, before)
        if self.held_out is not None:
            found["validation_loss"] = measure(model, self.held_out, carry_state=self.follows)
            held_out = measured(model, metrics, self.held_out, model.state if self.follows else None)
            found |= {f"validation_{name}": value for name, value in held_out.items()}
        return found


# Arguments ------------------------------------------------------------------------------------------------------------


def _is_a(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether a value is an instance of a class; False if the test raises an error."""
    try:
        return isinstance(value, kinds)
    except Exception:  # the user's own class may raise anything
        return False


def divided(
    model: Network, data: TrainingData, validation: Any, reading: Reading
) -> tuple[TrainingData, TrainingData | None]:
    """The data for training, and the data for validation or None."""
    if validation is None:
        return data, None
    if _is_a(validation, Real) and not _is_a(validation, bool):
        return _split(model, data, validation)
    return data, _held_out(model, validation, reading)


def _held_out(model: Network, validation: Any, reading: Reading) -> TrainingData:
    """The data for validation that are given as arrays."""
    if not _is_a(validation, (tuple, list)) or len(validation) not in (2, 3, 4):
        raise DataError(
            "validation must be (inputs, expected), (inputs, expected, sample_weight), "
            "(inputs, expected, sample_weight, lengths) or a fraction such as 0.2"
        )
    try:
        return reading.read(model, *validation, *[None] * (4 - len(validation)))
    except DataError as error:
        raise DataError(f"validation: {error}") from error


def _only_held_out(
    model: Network, validation: Any, reading: Reading, metrics: tuple[Metric, ...]
) -> tuple[None, TrainingData | None]:
    """The data for validation where those for training come in batches."""
    if _is_a(validation, Real):
        raise DataError("validation is a fraction, which needs arrays: batches are read one by one")
    if metrics and validation is None:
        raise DataError("metrics of batches need validation=: only data that are there as a whole are measured again")
    return None, None if validation is None else _held_out(model, validation, reading)


def _split(model: Network, data: TrainingData, part: Any) -> tuple[TrainingData, TrainingData]:
    """The data for training and for validation.

    Of single sequences or vectors, the latter are drawn, with as large a share of each class as all have. Of one
    sequence, they are its last part.
    """
    fraction = float(as_tensor("validation", part, dtype=np.dtype(np.float64), shape=(), check_finite=False))
    if not 0.0 < fraction < 1.0:
        raise DataError(f"validation is {fraction!r}, but a fraction must be greater than 0 and less than 1")
    goes_on = model.graph.has_time_links and not data.sequences
    numbers = np.arange(len(data.inputs)) if goes_on else counting_units(data)[0]
    there, what = len(numbers), "samples" if goes_on else "sequences" if data.sequences else "vectors"
    held = held_number(there, fraction)
    if held >= there:
        raise DataError(f"validation={fraction!r} holds out {held} of {there} {what}, and leaves none to train on")
    if goes_on:
        return in_order(data, slice(0, there - held)), in_order(data, slice(there - held, None))
    has_classes = model.graph.loss.name in CLASSIFYING and (model.needs.takes_labels or model.output_width == 1)
    classes = classes_of(data, numbers) if has_classes else None
    kept, out = drawn(there, held, classes)
    return taken(data, numbers[kept]), taken(data, numbers[out])


def shuffling_generator(model: Network, data: TrainingData, seed: int | None) -> np.random.Generator:
    """The random generator for shuffling. Its seed is ``seed``, or drawn from the generator that ``build`` uses."""
    if model.graph.has_time_links and not data.sequences:
        raise DataError(
            "shuffle would tear a sequence apart: the model has links backward in time, and inputs of 3 axes are one "
            "sequence; give layout='NSW', or inputs of 4 axes (sequences, samples, batch, width)"
        )
    return seeding.new_generator(drawn_seed() if seed is None else seeding.checked_seed(seed))


def drawn_seed() -> int:
    """A seed for shuffling, drawn from the generator that ``build`` uses."""
    with seeding.lock:
        return int(seeding.generator().integers(2**63))


# Accuracy -------------------------------------------------------------------------------------------------------------


def accuracy(
    model: Network,
    inputs: Any,
    expected: Any,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    layout: str | None = None,
    missing: str = "error",
) -> float:
    """The share of right answers; see ``neuromorph.accuracy``."""
    check_accuracy(model)
    data = check_data(model, inputs, expected, sample_weight, lengths, layout=layout, missing=missing, small=True)
    return measured(model, (Metric(ACCURACY),), data)[ACCURACY]
