"""``fit``: epochs, validation, shuffling, callbacks and the history; class labels, accuracy and lengths.

Kernels run as plain Python here, but for one test: what they compute is tested elsewhere.
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.likes import LIKES, Array
from helpers.paths import REPOSITORY
from neuromorph.data.holding_out import drawn
from neuromorph.runtime import seeding
from neuromorph.training import callbacks, loop, progress

LINEAR = "/uniform -0.5 0.5,zero/ (fit_input, 2) (output, 1, <linear>, <mse>)"
RECURRENT = "/uniform -0.5 0.5,zero/ (fit_input, 2) {sum, recur, concatenate} (a, 3, <tanh>) [l, [recur,]] "
SUMS = f"{RECURRENT} (output, 1, <linear>, <mse>)"
CLASSES = "/uniform -0.5 0.5,zero/ (fit_input, 2) (output, 3, <softmax>, <cross_entropy>)"
SIDES = "/uniform -0.5 0.5,zero/ (fit_input, 2) (output, 2, <sigmoid>, <binary_cross_entropy>)"
LANES = 2

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # plain Python says so where compiled code is silent
    pytest.mark.usefixtures("interpreted"),
]


def made(text: str = LINEAR, rate: float = 0.1, seed: int = 1, **options: Any) -> nm.Model:
    """A built model."""
    nm.seed(seed)
    return nm.build(nm.compile(text, LANES, rate, **options))


def data(*leading: int, width: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (…, 2, 2) and what is expected of them (…, 2, width)."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(*leading, LANES, 2)).astype(np.float32)
    return inputs, np.repeat(inputs[..., :1] - 0.5 * inputs[..., 1:], width, axis=-1)


def flat(model: nm.Model) -> np.ndarray:
    """All parameters in one array."""
    return np.concatenate([value.ravel() for value in model.get_parameters().values()])


class Recorder(nm.Callback):
    """Writes down what it is told, and may raise."""

    def __init__(self, name: str = "", calls: list[str] | None = None, error: BaseException | None = None) -> None:
        self.name, self.calls, self.error = name, [] if calls is None else calls, error
        self.parameters: list[np.ndarray] = []

    def begin(self, run: Any) -> None:
        self.calls.append(f"{self.name}begin")

    def before_epoch(self, run: Any) -> None:
        self.calls.append(f"{self.name}before {run.epoch}")

    def after_epoch(self, run: Any) -> None:
        self.calls.append(f"{self.name}after {run.epoch}")
        self.parameters.append(flat(run.model))
        if self.error is not None and run.epoch == 1:
            raise self.error

    def end(self, run: Any) -> None:
        self.calls.append(f"{self.name}end")


class Numbers(nm.Callback):
    """Replaces a number of the history before other callbacks see it."""

    def __init__(self, name: str, *values: float) -> None:
        self.name, self.values = name, values

    def after_epoch(self, run: Any) -> None:
        getattr(run.history, self.name)[-1] = self.values[run.epoch]


# Epochs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "leading"), [(LINEAR, (5,)), (SUMS, (5,)), (SUMS, (3, 5))])
def test_epochs_are_calls_of_train(text: str, leading: tuple[int, ...]) -> None:
    model, twin = made(text), made(text)
    inputs, expected = data(*leading)
    history = nm.fit(model, inputs, expected, epochs=3, validation=(inputs[:2], expected[:2]), progress=False)
    losses, measured = [], []
    for _ in range(3):
        losses.append(twin.train(inputs, expected, 0))
        measured.append(twin.evaluate(inputs[:2], expected[:2]))
    assert history.loss == losses
    assert history.validation_loss == measured
    np.testing.assert_array_equal(flat(model), flat(twin))
    np.testing.assert_array_equal(model.losses, twin.losses)
    assert model.history is history
    assert history.learning_rate == [0.1] * 3
    assert len(history) == len(history.seconds) == 3
    assert all(seconds > 0 for seconds in history.seconds)
    assert history.accuracy == history.validation_accuracy == []
    assert history.ended == "all epochs"


def test_no_validation_no_numbers() -> None:
    assert made().fit(*data(4), epochs=2, progress=False).validation_loss == []


def test_a_triple_of_validation_has_weights() -> None:
    model, (inputs, expected) = made(), data(6)
    weight = np.arange(12.0).reshape(6, 2)
    history = model.fit(inputs, expected, epochs=1, validation=[inputs, expected, weight], progress=False)
    assert history.validation_loss == [model.evaluate(inputs, expected, sample_weight=weight)]
    assert history.validation_loss != [model.evaluate(inputs, expected)]


@pytest.mark.parametrize(("fraction", "held"), [(0.25, 2), (0.01, 1), (0.9, 7), (np.float32(0.5), 4)])
def test_a_fraction_holds_out_the_last_part_of_one_sequence(fraction: float, held: int) -> None:
    inputs, expected = data(8)
    weight = np.linspace(0.5, 1.5, expected[..., 0].size).reshape(expected.shape[:-1])
    one, other = made(SUMS), made(SUMS)
    first = one.fit(inputs, expected, epochs=2, validation=fraction, sample_weight=weight, progress=False)
    cut = 8 - held
    second = other.fit(
        inputs[:cut], expected[:cut], epochs=2, validation=(inputs[cut:], expected[cut:], weight[cut:]),
        sample_weight=weight[:cut], progress=False,
    )  # fmt: skip
    assert (first.loss, first.validation_loss) == (second.loss, second.validation_loss)


@pytest.mark.parametrize(("text", "layout"), [(LINEAR, "NW"), (SUMS, "NSW"), (CLASSES, "NW")])
def test_a_fraction_draws_single_sequences_and_vectors(text: str, layout: str) -> None:
    shape = (11, 3) if layout == "NSW" else (11,)
    inputs, weight = np.random.default_rng(0).normal(size=(*shape, 2)), np.linspace(0.5, 1.5, 11)
    expected, classes = inputs[..., :1] - 0.5 * inputs[..., 1:], None
    if text is CLASSES:
        expected = classes = np.repeat([0, 1, 2], [2, 4, 5])
    one, other = made(text), made(text)
    first = one.fit(
        inputs, expected, epochs=2, validation=0.3, sample_weight=weight, layout=layout, progress=False, seed=1
    )
    kept, out = drawn(11, 3, classes)
    second = other.fit(
        inputs[kept], expected[kept], epochs=2, validation=(inputs[out], expected[out], weight[out]),
        sample_weight=weight[kept], layout=layout, progress=False,
    )  # fmt: skip
    assert (first.loss, first.validation_loss) == (second.loss, second.validation_loss)
    assert out.tolist() != [8, 9, 10]


def test_a_fraction_of_lanes_of_sequences_holds_out_single_ones() -> None:
    inputs, expected = data(4, 3)
    one, other = made(SUMS), made(SUMS)
    first = one.fit(inputs, expected, epochs=2, validation=0.25, progress=False)
    rows = [array.swapaxes(1, 2).reshape(8, 3, -1) for array in (inputs, expected)]
    second = other.fit(*rows, epochs=2, validation=0.25, layout="NSW", progress=False)
    assert (first.loss, first.validation_loss) == (second.loss, second.validation_loss)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (0.0, "validation is 0.0, but a fraction must be greater than 0 and less than 1"),
        (1, "validation is 1.0, but a fraction"),
        (math.nan, "validation is nan, but a fraction"),
        (0.95, "validation=0.95 holds out 8 of 8 vectors, and leaves none to train on"),
        (True, "sample_weight), (inputs, expected, sample_weight, lengths) or a fraction such as 0.2"),
        ((*data(4), None, None, None), "validation must be (inputs, expected)"),
        ((*data(4), None, [5, 4]), "validation: lengths[0] is 5, but a length must be a whole number from 0 to 4"),
        ("0.2", "validation must be (inputs, expected)"),
        ((data(4)[0],), "validation must be (inputs, expected)"),
        ((data(4)[0], data(3)[1]), "validation: expected has 3 on axis 0 (samples), but inputs has 4"),
    ],
)
def test_wrong_validation_is_refused(validation: Any, message: str) -> None:
    model = made()
    before = flat(model)
    with pytest.raises(nm.DataError, match=re.escape(message)):
        model.fit(*data(4), epochs=1, validation=validation)
    np.testing.assert_array_equal(flat(model), before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1, not 0"),
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number, not 1.5"),
        (
            {"epochs": 1, "callbacks": [nm.EarlyStopping]},
            TypeError,
            "callbacks[0] must be a neuromorph.Callback object",
        ),
        ({"epochs": 1, "callbacks": None}, TypeError, "callbacks must be neuromorph.Callback objects, not None"),
        ({"epochs": 1, "metrics": None}, TypeError, "metrics must be one of accuracy, binary_cross_entropy, "),
        ({"epochs": 1, "shuffle": "yes"}, TypeError, "shuffle must be True or False, not 'yes'"),
        ({"epochs": 1, "metrics": "accurracy"}, ValueError, "did you mean 'accuracy'?"),
        ({"epochs": 1, "metrics": "accuracy"}, nm.DataError, "accuracy needs a model whose loss is cross_entropy or"),
        ({"epochs": 1, "shuffle": True, "seed": -1}, ValueError, "seed must be at least 0, not -1"),
        ({"epochs": 1, "shuffle": True, "seed": 0.5}, TypeError, "seed must be a whole number, not 0.5"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        made().fit(*data(4), progress=False, **arguments)


def test_a_model_has_to_be_built() -> None:
    with pytest.raises(nm.ModelStateError, match="not built yet"):
        nm.fit(nm.compile(LINEAR, LANES, 0.1), *data(4), epochs=1)


# Shuffling ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "leading"), [(LINEAR, (9,)), (SUMS, (9, 2)), (LINEAR, (9, 2))])
def test_one_seed_gives_one_training(text: str, leading: tuple[int, ...]) -> None:
    def trained(**options: Any) -> np.ndarray:
        model = made(text)
        model.fit(*data(*leading), epochs=2, progress=False, **options)
        return flat(model)

    straight, shuffled, other = trained(), trained(shuffle=True, seed=5), trained(shuffle=True, seed=6)
    np.testing.assert_array_equal(shuffled, trained(shuffle=True, seed=5))
    np.testing.assert_array_equal(trained(shuffle=True), trained(shuffle=True))
    assert not np.array_equal(straight, shuffled)
    assert not np.array_equal(other, shuffled)


def test_without_a_seed_the_generator_goes_on() -> None:
    model, states = made(), []
    start = model.get_parameters()
    for _ in range(2):
        model.set_parameters(start)
        model.fit(*data(9), epochs=1, shuffle=True, progress=False)
        states.append(flat(model))
    assert not np.array_equal(*states)


@pytest.mark.parametrize(("text", "shape"), [(LINEAR, (9,)), (LINEAR, (9, 3)), (SUMS, (9, 3))])
@pytest.mark.parametrize("options", [{}, {"bptt_steps": 4}])
def test_shuffling_takes_each_once_in_a_new_order_over_all_lanes(
    text: str, shape: tuple[int, ...], options: dict[str, int]
) -> None:
    """What is shuffled is as data in that order."""
    inputs, expected = data(*shape)
    single = text == LINEAR
    count = 9 * LANES * (shape[-1] if single and len(shape) == 2 else 1)
    numbers = np.arange(float(count)).reshape((*shape, LANES) if single else (9, 1, LANES))
    inputs[..., 0] = numbers
    weight = np.linspace(0.5, 1.5, expected[..., 0].size).reshape(expected.shape[:-1])
    model = made(text, rate=0.0, **options)
    seen: list[list[float]] = []
    run_piece = loop.Pass.run

    def watch(sequence: loop.Pass, start: int, stop: int) -> int:
        values = sequence.inputs[start:stop, :, 0]
        seen[-1] += values.ravel().tolist() if single else values[0].tolist() if start == 0 else []
        return run_piece(sequence, start, stop)

    class Orders(nm.Callback):
        def before_epoch(self, run: Any) -> None:
            seen.append([])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Pass, "run", watch)
        history = model.fit(
            inputs, expected, epochs=2, shuffle=True, seed=3, sample_weight=weight, callbacks=Orders(), progress=False
        )
    before = numbers.ravel().tolist()
    assert [sorted(order) for order in seen] == [before] * 2
    assert seen[0] != seen[1] != before != seen[0]
    lanes = [[unit % LANES for unit in order] for order in (before, *seen)]
    assert lanes[0] != lanes[1] != lanes[2] != lanes[0]
    assert history.loss == pytest.approx([model.evaluate(inputs, expected, sample_weight=weight)] * 2, rel=1e-6)


def test_shuffling_never_tears_a_sequence_apart() -> None:
    with pytest.raises(nm.DataError, match="shuffle would tear a sequence apart: the model has links backward in time"):
        made(SUMS).fit(*data(4), epochs=1, shuffle=True)


# State ----------------------------------------------------------------------------------------------------------------


def states_equal(one: nm.Model, other: nm.Model) -> bool:
    return all(np.array_equal(value, other.state[name]) for name, value in one.state.items())


@pytest.mark.parametrize("validation", ["tail", "own"])
def test_epochs_carry_the_state_on(validation: str) -> None:
    """The held-out tail of the sequence is measured from the state at the epoch's end, data of their own from zero."""
    inputs, expected = data(10)
    model, twin = made(SUMS, bptt_steps=3), made(SUMS, bptt_steps=3)
    for each in (model, twin):
        each.state = {"recur": 0.5}
    held_out: Any = 0.3 if validation == "tail" else data(3)
    cut = 7 if validation == "tail" else 10
    history = model.fit(inputs, expected, epochs=3, validation=held_out, carry_state=True, progress=False)
    losses, measured = [], []
    for _ in range(3):
        losses.append(twin.train(inputs[:cut], expected[:cut], 0, carry_state=True))
        if validation == "tail":
            measured.append(twin.evaluate(inputs[cut:], expected[cut:], carry_state=True))
        else:
            measured.append(twin.evaluate(*held_out))
    assert (history.loss, history.validation_loss) == (losses, measured)
    np.testing.assert_array_equal(flat(model), flat(twin))
    assert states_equal(model, twin)
    assert history.loss != made(SUMS, bptt_steps=3).fit(inputs[:cut], expected[:cut], epochs=3, progress=False).loss


def test_accuracies_are_of_the_same_states() -> None:
    text = "/uniform -0.5 0.5,zero/ (fit_input, 2) {sum, recur, concatenate} (a, 3, <tanh>) [l, [recur,]] "
    model = made(f"{text} (output, 3, <softmax>, <cross_entropy>)", rate=0.0, bptt_steps=4)
    model.set_parameters({"a.weight": [[0.0] * 3, [0.0] * 3, *(3 * np.eye(3))], "output.weight": 5 * np.eye(3)})
    inputs, labels = np.zeros((10, LANES, 2)), np.ones((10, LANES))
    model.state = {"recur": [0.0, 0.9, 0.0]}  # which it keeps, and names class 1; from zero state it names class 0
    history = model.fit(inputs, labels, epochs=2, validation=0.4, metrics="accuracy", carry_state=True, progress=False)
    assert history.accuracy == history.validation_accuracy == [1.0, 1.0]
    own = model.fit(
        inputs, labels, epochs=1, validation=(inputs, labels), metrics="accuracy", carry_state=True, progress=False
    )
    assert (own.accuracy, own.validation_accuracy) == ([1.0], [0.0])
    zero = model.fit(inputs, labels, epochs=1, validation=0.4, metrics="accuracy", progress=False)
    assert zero.accuracy == zero.validation_accuracy == [0.0]


def test_sequences_carry_no_state() -> None:
    model = made(SUMS)
    with pytest.raises(nm.DataError, match="carry_state can't be used with 4-axis inputs"):
        model.fit(*data(3, 4), epochs=1, carry_state=True)
    with pytest.raises(TypeError, match="carry_state must be True or False, not 1"):
        model.fit(*data(4), epochs=1, carry_state=1)
    history = model.fit(*data(4), epochs=1, validation=data(3, 4), carry_state=True, progress=False)
    assert history.validation_loss == [model.evaluate(*data(3, 4))]


def test_validation_may_have_lengths() -> None:
    model, (inputs, expected) = made(SUMS), data(3, 4)
    weight = np.linspace(0.5, 1.5, 24).reshape(3, 4, LANES)
    for given in (None, weight):
        history = model.fit(inputs, expected, epochs=1, validation=(inputs, expected, given, [1, 4, 2]), progress=False)
        assert history.validation_loss == [model.evaluate(inputs, expected, sample_weight=given, lengths=[1, 4, 2])]
        assert history.validation_loss != [model.evaluate(inputs, expected, sample_weight=given)]


# Endings --------------------------------------------------------------------------------------------------------------


def test_early_stopping_goes_back_to_the_best() -> None:
    model, stopping, recorder = made(), nm.EarlyStopping(patience=2), Recorder()
    fake = Numbers("validation_loss", 0.5, 0.3, 0.4, math.nan, 0.1)
    history = model.fit(*data(4), epochs=9, validation=data(4), callbacks=[fake, stopping, recorder], progress=False)
    assert history.ended == "early stopping"
    assert len(history) == 4
    assert (stopping.best, stopping.best_epoch) == (0.3, 1)
    np.testing.assert_array_equal(flat(model), recorder.parameters[1])
    assert not np.array_equal(recorder.parameters[1], recorder.parameters[3])


def test_early_stopping_restores_when_all_epochs_are_done_and_starts_afresh() -> None:
    model, stopping, recorder = made(), nm.EarlyStopping(), Recorder()
    model.fit(*data(4), epochs=3, callbacks=(Numbers("loss", 3, 1, 2), stopping, recorder), progress=False)
    np.testing.assert_array_equal(flat(model), recorder.parameters[1])
    model.fit(*data(4), epochs=2, callbacks=(Numbers("loss", 9, 8), stopping, recorder), progress=False)
    np.testing.assert_array_equal(flat(model), recorder.parameters[4])
    assert (stopping.best, stopping.best_epoch) == (8, 1)


def test_of_accuracy_more_is_better() -> None:
    model, stopping = made(CLASSES), nm.EarlyStopping(patience=1, monitor="accuracy", min_delta=0.1)
    fake = Numbers("accuracy", 0.2, 0.5, 0.55, 0.9)
    history = model.fit(*data(4, width=3), epochs=4, metrics="accuracy", callbacks=[fake, stopping], progress=False)
    assert (len(history), stopping.best_epoch) == (3, 1)


@pytest.mark.parametrize(
    ("error", "ended"),
    [(KeyboardInterrupt(), "interrupted"), (RuntimeError("mine"), "error"), (nm.TrainingDivergedError(), "diverged")],
)
def test_an_ending_by_force_restores_the_best_and_keeps_the_history(error: BaseException, ended: str) -> None:
    model, recorder = made(), Recorder(error=error)
    fake = Numbers("loss", 1.0, 2.0)
    with pytest.raises(type(error)):
        model.fit(*data(4), epochs=5, callbacks=[fake, nm.EarlyStopping(), recorder], progress=False)
    assert model.history is not None
    assert (model.history.loss, model.history.ended) == ([1.0, 2.0], ended)
    np.testing.assert_array_equal(flat(model), recorder.parameters[0])


def test_ctrl_c_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, recorder, run_piece = made(), Recorder(), loop.Pass.run

    def interrupt(sequence: loop.Pass, start: int, stop: int) -> int:
        reached = run_piece(sequence, start, stop)
        if len(recorder.parameters) == 2:
            raise KeyboardInterrupt
        return reached

    monkeypatch.setattr(loop.Pass, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data(50), epochs=50, callbacks=[nm.EarlyStopping(), recorder], progress=False)
    assert model.history is not None
    assert (len(model.history), model.history.ended) == (2, "interrupted")
    np.testing.assert_array_equal(flat(model), recorder.parameters[1])


def test_divergence_goes_back_to_the_best() -> None:
    model, recorder = made(), Recorder()
    rates = nm.LearningRateSchedule(lambda epoch: 0.1 if epoch < 2 else 1e20)
    with pytest.raises(nm.TrainingDivergedError):
        model.fit(*data(50), epochs=5, callbacks=[rates, nm.EarlyStopping(), recorder], progress=False)
    assert model.history is not None
    assert (len(model.history), model.history.ended) == (2, "diverged")
    np.testing.assert_array_equal(flat(model), recorder.parameters[1])


def test_a_diverging_sample_is_named_as_the_user_knows_it() -> None:
    inputs, expected = data(9)
    inputs[4, 1] = 1e30
    with pytest.raises(nm.TrainingDivergedError, match=re.escape("the loss of lane 1 of sample 4 is inf")):
        made().fit(inputs, expected, epochs=1, shuffle=True, seed=1, progress=False)
    inputs[4, 1] = 1e15
    first = next(s for s in range(100) if 9 in np.random.Generator(np.random.PCG64(s)).permutation(18)[:LANES])
    with pytest.raises(
        nm.TrainingDivergedError, match=r"a gradient of the window of lane \d of sample \d and others is"
    ):
        made(rate=1e30).fit(inputs, expected, epochs=1, shuffle=True, seed=first, progress=False)
    vectors, answers = (array.reshape(18, -1) for array in (inputs, expected))
    vectors[9] = 1e30
    with pytest.raises(nm.TrainingDivergedError, match=re.escape("the loss of vector 9 is inf")):
        made().fit(vectors, answers, epochs=1, shuffle=True, seed=1, progress=False, layout="NW")
    inputs, expected = data(9, 3)
    inputs[7, 2, 1] = 1e30
    with pytest.raises(
        nm.TrainingDivergedError, match=re.escape("the loss of lane 1 of sample 2 of sequence 7 is inf")
    ):
        made(SUMS.replace("tanh", "linear")).fit(inputs, expected, epochs=1, shuffle=True, seed=1, progress=False)
    with pytest.raises(nm.TrainingDivergedError, match=re.escape("the loss of sample 2 of sequence 7 is inf")):
        made(SUMS.replace("tanh", "linear")).train(inputs, expected, 0)
    rows = [array.swapaxes(1, 2).reshape(18, 3, -1) for array in (inputs, expected)]
    for shuffle in (True, False):
        with pytest.raises(nm.TrainingDivergedError, match=re.escape("the loss of step 2 of sequence 15 is inf")):
            made(SUMS.replace("tanh", "linear")).fit(*rows, epochs=1, shuffle=shuffle, progress=False, layout="NSW")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("validation_loss", "; 'validation_loss' needs validation="),
        ("accuracy", "; 'accuracy' needs metrics=\"accuracy\""),
        ("lost", "; did you mean 'loss'?"),
        ("val_loss", "; did you mean 'validation_loss', which needs validation=?"),
        ("val_acc", "; did you mean 'validation_accuracy', which needs validation= and metrics=\"accuracy\"?"),
        ("seconds", ""),
        ("learning_rate", ""),
        (5, ""),
    ],
)
def test_what_is_monitored_has_to_be_recorded(name: Any, hint: str) -> None:
    message = f"monitor must be one of loss in this call of fit, not {name!r}{hint}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        made().fit(*data(4), epochs=1, callbacks=nm.EarlyStopping(monitor=name), progress=False)


def test_a_name_from_elsewhere_is_understood() -> None:
    message = "monitor must be one of loss, validation_loss in this call of fit, not 'val_loss'; did you mean "
    with pytest.raises(ValueError, match=f"^{message}'validation_loss'\\?$"):
        made().fit(*data(4), epochs=1, validation=0.5, callbacks=nm.ReduceOnPlateau(monitor="val_loss"))


# Callbacks ------------------------------------------------------------------------------------------------------------


def test_callbacks_are_called_and_ended_in_order() -> None:
    calls: list[str] = []
    made().fit(*data(4), epochs=2, callbacks=iter([Recorder("a ", calls), Recorder("b ", calls)]), progress=False)
    epochs = [f"{who} {what} {n}" for n in range(2) for what in ("before", "after") for who in "ab"]
    assert calls == ["a begin", "b begin", *epochs, "a end", "b end"]


def test_every_callback_that_began_is_ended() -> None:
    calls: list[str] = []

    class Late(Recorder):
        def begin(self, run: Any) -> None:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        made().fit(*data(4), epochs=2, callbacks=[Recorder("a ", calls), Late("b ", calls)], progress=False)
    assert calls == ["a begin", "a end"]


def test_the_end_of_each_is_called_with_the_ending_and_the_best_parameters() -> None:
    calls: list[str] = []
    seen: list[np.ndarray] = []

    class Ends(Recorder):
        def end(self, run: Any) -> None:
            super().end(run)
            calls.append(run.history.ended)
            seen.append(flat(run.model))
            raise RuntimeError(self.name)

    model, first, last = made(), Ends("a ", calls), Ends("b ", calls)
    watching = [Numbers("loss", 1.0, 2.0, 3.0), first, nm.EarlyStopping(patience=2), last]
    with pytest.raises(RuntimeError, match="b") as caught:
        model.fit(*data(4), epochs=5, callbacks=watching, progress=False)
    assert str(caught.value.__context__) == "a "
    assert calls[-4:] == ["a end", "early stopping", "b end", "early stopping"]
    np.testing.assert_array_equal(seen[0], first.parameters[2])
    np.testing.assert_array_equal(seen[1], first.parameters[0])


def test_a_callback_that_can_not_begin_leaves_the_history_alone() -> None:
    class Broken(nm.Callback):
        def begin(self, run: Any) -> None:
            raise FileNotFoundError

    model = made()
    history = model.fit(*data(4), epochs=1, progress=False)
    with pytest.raises(FileNotFoundError):
        model.fit(*data(4), epochs=1, callbacks=Broken(), progress=False)
    assert model.history is history


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        ({"callbacks": nm.EarlyStopping(monitor="validation_loss")}, ValueError),
        ({"callbacks": nm.Checkpoint("{validation}.st")}, ValueError),
        ({"callbacks": nm.CSVLog(REPOSITORY)}, IsADirectoryError),
        ({"shuffle": True, "seed": -1}, ValueError),
    ],
)
def test_what_is_refused_leaves_logs_and_history_alone(
    refused: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    model, log = made(), nm.CSVLog(tmp_path / "log.csv")
    history = model.fit(*data(4), epochs=2, callbacks=log, progress=False)
    written = (tmp_path / "log.csv").read_bytes()
    callbacks = [log, nm.Checkpoint(tmp_path / "new" / "m"), *filter(None, [refused.pop("callbacks", None)])]
    random = seeding.generator().bit_generator.state
    with pytest.raises(error):
        model.fit(*data(4), epochs=2, callbacks=callbacks, progress=False, **{"shuffle": True, **refused})
    assert (tmp_path / "log.csv").read_bytes() == written
    assert model.history is history
    assert len(history) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
    assert seeding.generator().bit_generator.state == random


def test_a_schedule_sets_the_rate_of_each_epoch() -> None:
    model, twin = made(), made()
    rates = [0.1, 0.01, 0.5]
    history = model.fit(*data(4), epochs=3, callbacks=nm.LearningRateSchedule(rates.__getitem__), progress=False)
    for rate in rates:
        twin.learning_rate = rate
        twin.train(*data(4), 0)
    assert history.learning_rate == rates
    np.testing.assert_array_equal(flat(model), flat(twin))
    with pytest.raises(ValueError, match="learning_rate must be a finite number of at least 0, not -1"):
        model.fit(*data(4), epochs=1, callbacks=nm.LearningRateSchedule(lambda epoch: -1), progress=False)
    with pytest.raises(TypeError, match=re.escape("schedule must be a function of a number, not 0.1")):
        nm.LearningRateSchedule(0.1)  # type: ignore[arg-type]


def test_reduce_on_plateau() -> None:
    plateau = nm.ReduceOnPlateau(patience=2, factor=0.5, minimum=0.03, min_delta=0.1)
    losses = Numbers("loss", 1.0, 0.95, 0.91, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9)
    model = made()
    history = model.fit(*data(4), epochs=9, callbacks=[losses, plateau], progress=False)
    assert history.learning_rate == [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.03, 0.03, 0.03]
    model.learning_rate = 0.01
    flat_losses = Numbers("loss", *[1.0] * 9)
    history = model.fit(*data(4), epochs=9, callbacks=[flat_losses, plateau], progress=False)
    assert history.learning_rate == [0.01] * 9, "a rate below the minimum is left alone"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nm.EarlyStopping(patience=0), "patience must be at least 1, not 0"),
        (lambda: nm.EarlyStopping(min_delta=-1), "min_delta must be a finite number of at least 0, not -1"),
        (lambda: nm.ReduceOnPlateau(factor=1), "factor must be less than 1, not 1.0"),
        (lambda: nm.ReduceOnPlateau(minimum=math.inf), "minimum must be a finite number of at least 0, not inf"),
    ],
)
def test_wrong_numbers_of_callbacks_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_a_log_has_a_line_for_every_epoch(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log, lines = nm.CSVLog(path), []

    class Reader(nm.Callback):
        def after_epoch(self, run: Any) -> None:
            lines.append(path.read_text().count("\n"))

    model = made()
    history = model.fit(*data(4), epochs=3, validation=0.5, callbacks=[log, Reader()], progress=False)
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert rows[0] == ["epoch", "loss", "validation_loss", "learning_rate", "seconds"]
    assert lines == [2, 3, 4]
    columns = zip(range(3), history.loss, history.validation_loss, history.learning_rate, history.seconds, strict=True)
    assert [[float(cell) for cell in row] for row in rows[1:]] == [list(row) for row in columns]
    model.fit(*data(4), epochs=2, validation=0.5, callbacks=nm.CSVLog(path, append=True), progress=False)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["epoch", *"01201"]
    with open(path, "a") as file:
        file.write("2,0.25,0.5,0.1")  # and the process was killed
    goes_on = nm.CSVLog(path, append=True)
    model.fit(*data(4), epochs=2, validation=0.5, callbacks=goes_on, progress=False, initial_epoch=1)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["epoch", *"012012"]
    model.fit(*data(4), epochs=1, callbacks=log, progress=False)
    assert len(path.read_text().splitlines()) == 2
    model.fit(*data(4), epochs=1, callbacks=nm.CSVLog(tmp_path / "a" / "b" / "log.csv"), progress=False)
    assert len((tmp_path / "a" / "b" / "log.csv").read_text().splitlines()) == 2


class Disk(io.RawIOBase):
    """A file in memory, on a disk that is full from time to time."""

    def __init__(self) -> None:
        self.content, self.full = b"", False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.content += bytes(data)
        return len(data)


@pytest.mark.parametrize(("full", "lines"), [({0, 1}, 4), ({1, 2}, 2), ({0, 1, 2}, 1)])
def test_a_log_on_a_full_disk_is_told_once_and_training_goes_on(
    full: set[int], lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is written with a later epoch, if there is room then."""
    disks: list[Disk] = []

    def opened(*arguments: Any, **options: Any) -> Any:
        disks.append(Disk())
        return io.TextIOWrapper(io.BufferedWriter(disks[-1]), encoding="utf-8", newline="")

    class Fill(nm.Callback):
        def before_epoch(self, run: Any) -> None:
            disks[-1].full = run.epoch in full

    monkeypatch.setattr(callbacks, "open", opened, raising=False)
    model, log = made(), nm.CSVLog(tmp_path / "log.csv")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(2):  # each call says so, though its words are the same
            history = model.fit(*data(4), epochs=3, callbacks=[Fill(), log], progress=False)
            assert (len(history), history.ended) == (3, "all epochs")
    first = min(full)
    told = [warning for warning in told if "is not in the log" in str(warning.message)]
    assert [(str(w.message), w.filename, w.category) for w in told] == 2 * [
        (
            f"epoch {first} is not in the log {tmp_path / 'log.csv'}: [Errno 28] No space left on device; training "
            "goes on, and later epochs try again",
            __file__,
            RuntimeWarning,
        )
    ]
    assert log.failures == len(full) + (2 in full)  # the closing fails too
    assert [disk.content.count(b"\n") for disk in disks] == [lines, lines]


def test_a_log_that_can_not_work_is_an_error_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for path, error, message in (
        (tmp_path / "file" / "log", NotADirectoryError, "a log needs a folder, but this is a file"),
        (tmp_path, IsADirectoryError, "a log needs a file, but this is a folder"),
    ):
        with pytest.raises(error, match=message):
            made().fit(*data(4), epochs=1, callbacks=nm.CSVLog(path), progress=False)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    for name, message in (("file", "a log can't be written to this file"), ("new", "a log can't be written to this f")):
        with pytest.raises(PermissionError, match=message):
            made().fit(*data(4), epochs=1, callbacks=nm.CSVLog(tmp_path / name), progress=False)
    for wrong, error in (
        (5, TypeError),
        ("", ValueError),
        ("a\0b", ValueError),
        ("a/", ValueError),
        ("a/.", ValueError),
    ):
        with pytest.raises(error, match=r"^path "):
            nm.CSVLog(wrong)  # type: ignore[arg-type]


def test_a_log_is_no_socket_and_follows_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    model = made()
    with pytest.raises(OSError, match="a log can't be written to a socket"):
        model.fit(*data(4), epochs=1, callbacks=nm.CSVLog("socket"), progress=False)
    assert model.history is None
    Path("link").symlink_to("new/log.csv")
    model.fit(*data(4), epochs=1, callbacks=nm.CSVLog("link"), progress=False)
    assert Path("new/log.csv").read_text().startswith("epoch,loss,")
    made().fit(*data(4), epochs=1, callbacks=nm.CSVLog(os.devnull), progress=False)


def test_a_log_may_be_a_pipe() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe:
        made().fit(*data(4), epochs=1, callbacks=nm.CSVLog(f"/dev/fd/{writing}"), progress=False)
        os.close(writing)
        assert pipe.read().startswith("epoch,loss,learning_rate,seconds\n0,")


# Progress and pictures ------------------------------------------------------------------------------------------------


def test_the_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model = made()
    monkeypatch.setattr(progress, "BAR_DELAY", 60.0)
    model.fit(*data(4), epochs=2)
    assert capsys.readouterr() == ("", ""), "a short fit shows nothing"
    monkeypatch.setattr(progress, "BAR_DELAY", 0.0)
    history = model.fit(*data(4), epochs=2, validation=0.5)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.split("\r")[-1]
    assert last.startswith("epoch 2/2: 100%")
    assert f"loss={history.loss[-1]:.4g}, val_loss={history.validation_loss[-1]:.4g}" in last
    assert re.search(r"\|00:00 left .*step/s, loss=", last)
    assert len(last.rstrip()) <= 79, "a terminal of 80 columns shows all"
    model.fit(*data(4), epochs=2, progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def pyplot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Pyplot without windows."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    pyplot.close("all")  # of other tests
    yield pyplot
    pyplot.close("all")


def test_the_history_can_be_drawn(pyplot: Any) -> None:
    history = nm.History(loss=[3.0, 2.0, 1.0], validation_loss=[3.0, 2.5, 2.6])
    axes = history.plot()
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}
    assert drawn == {"loss": history.loss, "validation loss": history.validation_loss}
    assert axes.get_lines()[0].get_xdata().tolist() == [1, 2, 3]
    assert pyplot.get_fignums() == [axes.figure.number], "pyplot shows it"
    assert len(axes.figure.axes) == 1
    assert nm.History(loss=[1.0]).plot(axes) is axes
    assert len(axes.get_lines()) == 3
    assert len({line.get_color() for line in axes.get_lines()}) == 3


def test_epochs_go_on_where_a_fit_went_on(pyplot: Any) -> None:
    axes = nm.History(loss=[1.0, 0.5], initial_epoch=5).plot()
    assert axes.get_lines()[0].get_xdata().tolist() == [6, 7]
    legend = axes.get_legend().get_window_extent()
    assert legend.y0 >= axes.get_window_extent().y1 - 1.0, "the legend is above the lines"


def test_accuracies_have_axes_of_their_own(pyplot: Any) -> None:
    history = nm.History([3.0, 2.0], [3.0, 2.5], [0.5, 0.6], [0.4, 0.5])
    axes = history.plot()
    left, right = axes.figure.axes
    assert (left, right.get_ylabel(), right.get_ylim()) == (axes, "accuracy", (0.0, 1.0))
    drawn = {line.get_label(): line.get_ydata().tolist() for line in right.get_lines()}
    assert drawn == {"accuracy": history.accuracy, "validation accuracy": history.validation_accuracy}
    assert [line.get_color() for line in left.get_lines()] == [line.get_color() for line in right.get_lines()]
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["loss", "validation loss", "accuracy", "validation accuracy"]
    only = nm.History([1.0], accuracy=[0.5]).plot()
    assert [text.get_text() for text in only.get_legend().get_texts()] == ["loss", "accuracy"]


def test_an_empty_history_can_not_be_drawn() -> None:
    with pytest.raises(ValueError, match="the history is empty: no epoch was completed, so there is nothing to draw"):
        nm.History().plot()


def test_drawing_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"History\.plot needs matplotlib: pip install matplotlib"):
        nm.History(loss=[1.0]).plot()


# Class labels and accuracy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leading", [(6,), (3, 4)])
@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32, list])
def test_labels_are_vectors_with_a_single_one(leading: tuple[int, ...], kind: Any) -> None:
    inputs, _ = data(*leading)
    labels = np.arange(inputs[..., 0].size).reshape(inputs.shape[:-1]) % 3
    given = labels.tolist() if kind is list else labels.astype(kind)
    vectors = np.eye(3)[labels]
    one, other = made(CLASSES), made(CLASSES)
    pairs = [
        (one.train(inputs, given, 0), other.train(inputs, vectors, 0)),
        (one.evaluate(inputs.tolist(), given), other.evaluate(inputs, vectors)),
        (one.accuracy(inputs, given), other.accuracy(inputs, vectors)),
        (
            one.fit(inputs, given, epochs=2, validation=(inputs, given), metrics="accuracy", progress=False),
            other.fit(inputs, vectors, epochs=2, validation=(inputs, vectors), metrics=["accuracy"], progress=False),
        ),
    ]
    for found, wanted in pairs[:-1]:
        assert found == wanted
    for name in ("loss", "validation_loss", "accuracy", "validation_accuracy"):
        assert getattr(pairs[-1][0], name) == getattr(pairs[-1][1], name) != []


@pytest.mark.parametrize(
    ("place", "label", "message"),
    [
        ((2, 1), 3, "expected[2, 1] is 3, but a label must be a whole number from 0 to 2"),
        ((0, 0), -1, "expected[0, 0] is -1, but a label must be a whole number from 0 to 2"),
        ((3, 0), 1.5, "expected[3, 0] is 1.5, but a label must be a whole number from 0 to 2"),
        ((3, 0), math.nan, "expected[3, 0] is nan, but a label must be a whole number from 0 to 2"),
        ((3, 0), math.inf, "expected[3, 0] is inf, but a label must be a whole number from 0 to 2"),
    ],
)
def test_wrong_labels_are_named_but_where_they_do_not_count(place: Any, label: float, message: str) -> None:
    model, (inputs, _) = made(CLASSES), data(4)
    labels, weight = np.ones((4, LANES)), np.ones((4, LANES))
    right = model.evaluate(inputs, labels, sample_weight=weight)
    labels[place] = label
    with pytest.raises(nm.DataError, match=re.escape(message)):
        model.evaluate(inputs, labels)
    with pytest.raises(nm.DataError, match=re.escape(message)):
        model.evaluate(inputs, labels, sample_weight=weight)
    weight[place] = 0.0
    left_out = model.evaluate(inputs, labels, sample_weight=weight)
    assert math.isfinite(left_out)
    assert left_out != right


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (data(4)[0], np.zeros((3, LANES)), "expected has 3 on axis 0 (samples), but needs 4"),
        (data(4)[0], np.zeros((4, LANES + 1)), "expected has 3 on axis 1 (batch), but needs 2"),
        (data(4)[0], [["a", "b"]] * 4, "expected[0][0] is 'a' (str), but must be a real number"),
        (data(4)[0], np.zeros(4), "expected has shape (4,), but needs shape (samples, batch = 2, width = 3)"),
        (data(4)[0], [], "expected is empty, of shape (0,), but needs shape"),
        (data(4)[0][0], np.zeros(4), "inputs has shape (2, 2), but needs shape (samples, batch = 2, width = 2)"),
        (data(4)[0] * np.nan, np.zeros((4, LANES)), "inputs[0, 0, 0] is nan, but must be finite"),
    ],
)
def test_labels_that_do_not_fit(inputs: Any, labels: Any, message: str) -> None:
    with pytest.raises(nm.DataError, match=re.escape(message)):
        made(CLASSES).train(inputs, labels, 0)


def answers(model: nm.Model, *data: Any, **more: Any) -> list[Any]:
    """What all calls that take data make of them. data: functions that make arguments, new ones for each call."""

    def call(method: Any, **options: Any) -> Any:
        return method(*(make() for make in data), **{name: make() for name, make in more.items()}, **options)

    found: list[Any] = [call(model.train, verbosity=0), call(model.evaluate), call(model.accuracy)]
    validation = [make() for make in data] + [more[name]() if name in more else None for name in EXTRA]
    history = call(model.fit, epochs=1, validation=validation, metrics="accuracy", progress=False)
    found += [history.loss, history.validation_loss, history.accuracy, history.validation_accuracy]
    if model.losses.ndim == 1:
        loss, gradients = call(model.gradients)
        found += [loss, *(array.tolist() for array in gradients.values())]
    return [*found, flat(model).tolist()]


EXTRA = ("sample_weight", "lengths")


@pytest.mark.parametrize("like", LIKES)
@pytest.mark.parametrize(
    ("text", "leading", "counts", "which"),
    [
        (CLASSES, (4,), (LANES,), "all"),
        (CLASSES, (3, 4), (3,), "all"),
        (CLASSES, (3, 4), (3, LANES), "all"),
        (SIDES, (4,), (LANES,), "all"),
        (SIDES, (3, 4), (3, LANES), "all"),
        *((CLASSES, (3, 4), (3, LANES), name) for name in ("inputs", "expected", *EXTRA)),
    ],
    ids=str,
)
def test_data_may_be_anything_that_makes_an_array(
    text: str, leading: tuple[int, ...], counts: tuple[int, ...], which: str, like: str
) -> None:
    inputs, rng = data(*leading)[0].astype(np.float64), np.random.default_rng(1)
    expected = rng.integers(0, 3, inputs.shape[:-1]) if text is CLASSES else rng.uniform(size=(*inputs.shape[:-1], 2))
    arrays = {
        "inputs": inputs,
        "expected": expected,
        "sample_weight": rng.uniform(size=inputs.shape[:-1]),
        "lengths": rng.integers(1, 4, counts),
    }
    likes = {
        name: lambda array=array, name=name: LIKES[like](array) if which in ("all", name) else array
        for name, array in arrays.items()
    }
    plain = {name: lambda array=array: array for name, array in arrays.items()}
    wanted = answers(made(text), plain.pop("inputs"), plain.pop("expected"), **plain)
    assert answers(made(text), likes.pop("inputs"), likes.pop("expected"), **likes) == wanted
    without = answers(made(text), lambda: inputs, lambda: expected, sample_weight=plain["sample_weight"])
    assert without != wanted, "lengths count"


@pytest.mark.parametrize("like", LIKES)
def test_wrong_labels_and_lengths_in_anything_that_makes_an_array(like: str) -> None:
    model, (inputs, _) = made(CLASSES), data(4)
    with pytest.raises(nm.DataError, match=r"^expected\[1, 0\] is 3, but a label must be"):
        model.evaluate(inputs, LIKES[like](np.array([[0, 1], [3, 1], [0, 0], [0, 0]])))
    with pytest.raises(nm.DataError, match=r"^lengths\[1\] is 5, but a length must be"):
        model.evaluate(inputs, np.zeros((4, LANES), int), lengths=LIKES[like](np.array([4, 5])))


def test_labels_that_make_no_array() -> None:
    with pytest.raises(nm.DataError, match=r"^expected"):
        made(CLASSES).evaluate(data(4)[0], Array([[1], [1, 2]]))


def test_labels_are_for_cross_entropy_only() -> None:
    with pytest.raises(nm.DataError, match=re.escape("expected has shape (4, 2), but needs shape (samples, batch = 2")):
        made().train(data(4)[0], np.zeros((4, LANES), int), 0)


def test_accuracy_of_classes() -> None:
    model = made(CLASSES)
    model.set_parameters({"output.weight": [[1.0, -1.0, 0.0], [0.0, 0.0, 0.1]], "output.bias": 0.0})
    inputs = np.array([[[1, 0], [-1, 0]], [[0, 1], [1, 0]]])  # classes 0 and 1, 2 and 0
    assert nm.accuracy(model, inputs, [[0, 1], [2, 0]]) == 1.0
    assert nm.accuracy(model, inputs, [[0, 1], [1, 2]]) == 0.5
    assert nm.accuracy(model, inputs, [[0, 1], [1, 2]], sample_weight=[[3, 0], [1, 0]]) == 0.75
    assert nm.accuracy(model, inputs, [[0, 1], [1, 9]], lengths=[2, 1]) == pytest.approx(2 / 3)
    assert nm.accuracy(model, inputs[None], [[[0, 1], [1, 2]]], lengths=[1]) == 1.0
    assert nm.accuracy(model, inputs, [[0, 1], [1, 2]], sample_weight=np.zeros((2, 2))) == 0.0


def test_accuracy_of_sides() -> None:
    model = made(SIDES)
    model.set_parameters({"output.weight": np.eye(2), "output.bias": 0.0})
    inputs = np.array([[[1, -1], [-1, 2]]])
    assert nm.accuracy(model, inputs, [[[1, 0], [0, 1]]]) == 1.0
    assert nm.accuracy(model, inputs, [[[0.9, 0.6], [0.2, 1]]]) == 0.75
    assert nm.accuracy(model, inputs, [[[1, 1], [0, 1]]], sample_weight=[[3, 1]]) == pytest.approx(2.5 / 4)
    with pytest.raises(nm.DataError, match=r"accuracy needs a model whose loss is .*, not mse"):
        made().accuracy(*data(4))


# Lengths --------------------------------------------------------------------------------------------------------------

RAGGED = [
    ((3, 4), [4, 0, 2], [[4, 4], [0, 0], [2, 2]]),
    ((3, 4), np.array([[1, 4], [0, 3], [2, 2]]), [[1, 4], [0, 3], [2, 2]]),
    ((4,), (3, 1), [3, 1]),
    ((4,), [4.0, 0.0], [4, 0]),
]


def weights_of(leading: tuple[int, ...], lengths: Any) -> np.ndarray:
    """The weights that lengths of every lane mean, one by one."""
    weights = np.zeros((*leading, LANES))
    for place in np.ndindex(*weights.shape):
        weights[place] = place[-2] < np.array(lengths)[(*place[:-2], place[-1])]
    return weights


@pytest.mark.parametrize(("leading", "lengths", "each"), RAGGED)
def test_lengths_are_weights(leading: tuple[int, ...], lengths: Any, each: Any) -> None:
    inputs, expected = data(*leading)
    weights = weights_of(leading, each)
    expected[weights == 0] = np.nan
    extra = np.linspace(0.5, 1.5, weights.size).reshape(weights.shape)
    one, other = made(SUMS, bptt_steps=2), made(SUMS, bptt_steps=2)
    for more in (None, extra):
        both = weights if more is None else weights * more
        found = one.train(inputs, expected, 0, lengths=lengths, sample_weight=more)
        assert found == other.train(inputs, expected, 0, sample_weight=both)
        np.testing.assert_array_equal(flat(one), flat(other))
        found = one.evaluate(inputs, expected, lengths=lengths, sample_weight=more)
        assert found == other.evaluate(inputs, expected, sample_weight=both)
    history = one.fit(inputs.tolist(), expected, epochs=2, lengths=lengths, validation=0.4, progress=False)
    twin = other.fit(inputs, expected, epochs=2, sample_weight=weights, validation=0.4, progress=False)
    assert (history.loss, history.validation_loss) == (twin.loss, twin.validation_loss)


def test_a_ragged_sequence_learns_as_its_own_part_does() -> None:
    inputs, expected = data(1, 6)
    one, other = made(SUMS, bptt_steps=6), made(SUMS, bptt_steps=6)
    one.train(inputs, expected, 0, lengths=[4])
    other.train(inputs[:, :4], expected[:, :4], 0)
    np.testing.assert_allclose(flat(one), flat(other), rtol=1e-6, atol=1e-7)


def test_labels_beyond_a_length_may_be_anything() -> None:
    inputs, _ = data(2, 4)
    labels = np.array([[[0, 1], [2, 0], [-100, -100], [9, math.nan]], [[0, 1], [-1, -1], [-1, -1], [-1, -1]]])
    loss = made(CLASSES).train(inputs, labels, 0, lengths=[2, 1])
    vectors = np.eye(3)[np.where((labels >= 0) & (labels < 3), labels, 0).astype(int)]
    assert loss == made(CLASSES).train(inputs, vectors, 0, lengths=[2, 1])


@pytest.mark.parametrize(
    ("leading", "lengths", "message"),
    [
        ((3, 4), [4, 5, 1], "lengths[1] is 5, but a length must be a whole number from 0 to 4"),
        ((3, 4), [[4, 4], [1, 1], [1, -1]], "lengths[2, 1] is -1, but a length must be a whole number from 0 to 4"),
        ((3, 4), [1, 2, 2.5], "lengths[2] is 2.5, but a length must be a whole number from 0 to 4"),
        ((3, 4), [1, 2], "lengths has 2 on axis 0 (sequences), but needs 3"),
        ((3, 4), np.ones((3, 3)), "lengths has 3 on axis 1 (batch), but needs 2"),
        ((3, 4), 4, "lengths is a single number, but needs shape (sequences = 3,)"),
        ((3, 4), [1, 2, math.nan], "lengths[2] is nan, but must be finite"),
        ((3, 4), ["a", 1, 2], "lengths[0] is 'a' (str), but must be a real number"),
        ((3, 4), [[1], [1, 2], [1]], "lengths[1] has 2 numbers, but lengths[0] has 1"),
        ((4,), [4], "lengths has 1 on axis 0 (batch), but needs 2"),
        ((4,), [[4, 4]], "lengths has shape (1, 2), but needs shape (batch = 2,)"),
    ],
)
def test_wrong_lengths_are_refused(leading: tuple[int, ...], lengths: Any, message: str) -> None:
    with pytest.raises(nm.DataError, match=re.escape(message)):
        made().train(*data(*leading), 0, lengths=lengths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": [[0.0, 1.0]]}, "inputs has shape (1, 2), but needs shape (samples, batch = 2, width = 2)"),
        ({"inputs": []}, "inputs is empty, of shape (0,), but needs shape"),
        ({"sample_weight": np.ones(4)}, "sample_weight has shape (4,), but needs shape (samples, batch)"),
        ({"sample_weight": np.ones((3, 2))}, "sample_weight has 3 on axis 0 (samples), but needs 4"),
        ({"sample_weight": -np.ones((4, 2))}, "sample_weight[0, 0] is -1.0, but a weight must be 0 or more"),
        ({"expected": np.ones((3, 2, 1))}, "expected has 3 on axis 0 (samples), but inputs has 4"),
    ],
)
def test_other_arguments_are_checked_beside_lengths(arguments: dict[str, Any], message: str) -> None:
    inputs, expected = data(4)
    given = {"inputs": inputs, "expected": expected} | arguments
    with pytest.raises(nm.DataError, match=re.escape(message)):
        made().train(**given, verbosity=0, lengths=[2, 3])


# Compiled -------------------------------------------------------------------------------------------------------------


def test_a_compiled_classifier_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)
    text = "/xavier,zero/ (point, 2) (hidden, 8, <tanh>) (class, 3, <softmax>, <cross_entropy>)"
    rng = np.random.default_rng(2)
    points = rng.uniform(-1, 1, (300, 8, 2))
    labels = (points[..., 0] > 0).astype(int) + ((points[..., 0] > 0) & (points[..., 1] > 0))
    nm.seed(3)
    model = nm.build(nm.compile(text, 8, 0.01, optimizer="adam"))
    history = model.fit(
        points, labels, epochs=20, validation=0.2, shuffle=True, metrics="accuracy", progress=False,
        callbacks=[nm.EarlyStopping(patience=5), nm.ReduceOnPlateau(patience=2, factor=0.5)],
    )  # fmt: skip
    assert max(history.validation_accuracy) > 0.96
    assert history.loss[-1] < 0.2 < history.loss[0]
    _, out = drawn(2400, 480, labels.ravel())
    held_out = points.reshape(-1, 2)[out], labels.ravel()[out]
    assert model.evaluate(*held_out, layout="NW") == pytest.approx(min(history.validation_loss), rel=1e-6)
