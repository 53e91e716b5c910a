"""What ``fit`` may be given beside data: weights of classes, metrics, batches, schedules, and the number of an epoch.

Kernels run as plain Python here: what they compute is tested elsewhere.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.training import progress
from neuromorph.training.schedules import UpdateSchedule

LINEAR = "/uniform -0.5 0.5,zero/ (input, 2) (output, 2, <linear>, <mse>)"
SUMS = """/uniform -0.5 0.5,zero/ (input, 2) {sum, back, concatenate} (a, 3, <tanh>) [l, [back,]]
(output, 2, <linear>, <mse>)"""
CLASSES = "/uniform -0.5 0.5,zero/ (input, 2) (output, 3, <softmax>, <cross_entropy>)"
SIDE = "/uniform -0.5 0.5,zero/ (input, 2) (output, 1, <sigmoid>, <binary_cross_entropy>)"
MARGIN = "/uniform -0.5 0.5,zero/ (input, 2) (output, 1, <linear>, <hinge>)"
LANES = 2

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # plain Python says so where compiled code is silent
    pytest.mark.usefixtures("interpreted"),
]


def made(text: str = LINEAR, **options: Any) -> nm.Model:
    return nm.build(nm.compile(text, LANES, 0.1, **options), seed=1)


def data(*leading: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(*leading, LANES, 2)).astype(np.float32)
    return inputs, inputs[..., ::-1] - 0.5


def labels(*leading: int) -> np.ndarray:
    return np.random.default_rng(1).integers(3, size=(*leading, LANES))


def flat(model: nm.Model) -> np.ndarray:
    return np.concatenate([value.ravel() for value in model.get_parameters().values()])


# Weights of classes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leading", [(6,), (2, 5)])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_of_classes_are_weights_of_vectors(leading: tuple[int, ...], weighted: bool) -> None:
    inputs, given = data(*leading)[0], labels(*leading)
    factors = np.array([1.0, 3.0, 0.0])[given]
    weights = np.random.default_rng(2).choice([0.5, 1.0, 2.0], given.shape) if weighted else None
    one, other, vectors = made(CLASSES), made(CLASSES), made(CLASSES)
    whole = factors if weights is None else factors * weights
    wanted = other.fit(inputs, given, epochs=2, sample_weight=whole, progress=False)
    for model, expected in ((one, given), (vectors, np.eye(3)[given])):
        history = model.fit(
            inputs, expected, epochs=2, class_weight={1: 3, 2: 0.0}, sample_weight=weights, progress=False,
            metrics="accuracy", validation=(inputs, expected),
        )  # fmt: skip
        assert history.loss == wanted.loss
        np.testing.assert_array_equal(flat(model), flat(other))
        assert history.validation_loss[-1] == model.evaluate(inputs, given), "validation does not use them"
        assert history.accuracy[-1] == model.accuracy(inputs, given, sample_weight=weights)


@pytest.mark.parametrize(("text", "values"), [(SIDE, (0.0, 1.0)), (MARGIN, (-1.0, 1.0))])
def test_an_output_of_one_component_has_two_classes(text: str, values: tuple[float, float]) -> None:
    inputs, sides = data(6)[0], np.random.default_rng(1).integers(2, size=(6, LANES, 1))
    expected, (low, high) = np.array(values)[sides], values
    one, other = made(text), made(text)
    one.fit(inputs, expected, epochs=2, class_weight={int(low): 0.5, int(high): 2.0}, progress=False)
    other.fit(inputs, expected, epochs=2, sample_weight=np.array([0.5, 2.0])[sides[..., 0]], progress=False)
    np.testing.assert_array_equal(flat(one), flat(other))


@pytest.mark.parametrize("text", [CLASSES, SIDE, MARGIN])
@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_classes_have_the_same_sum_of_weights(text: str, *, weighted: bool) -> None:
    inputs, rng = data(10)[0], np.random.default_rng(1)
    values = {CLASSES: [0, 2], SIDE: [0, 1], MARGIN: [-1, 1]}[text]  # the class 1 of CLASSES is not there
    given = rng.choice(values, (10, LANES), p=[0.8, 0.2])
    weights = rng.choice([0.5, 1.0], given.shape) if weighted else np.ones(given.shape)
    sums = [weights[given == value].sum() for value in values]
    factors = {value: weights.sum() / (2 * own) for value, own in zip(values, sums, strict=True)}
    one, other = made(text), made(text)
    expected = given if text == CLASSES else given[..., np.newaxis]
    given_weights = weights if weighted else None
    one.fit(inputs, expected, epochs=1, class_weight="balanced", sample_weight=given_weights, progress=False)
    other.fit(inputs, expected, epochs=1, class_weight=factors, sample_weight=given_weights, progress=False)
    np.testing.assert_array_equal(flat(one), flat(other))


def test_batches_can_not_be_balanced() -> None:
    batches = [(data(4)[0], labels(4))]
    with pytest.raises(TypeError, match="class_weight must be a dict of labels and weights, not 'balanced'"):
        made(CLASSES).fit(batches, epochs=1, class_weight="balanced")


@pytest.mark.parametrize(
    ("text", "class_weight", "error", "message"),
    [
        (LINEAR, {0: 1.0}, nm.DataError, "class_weight needs a model with labels: .* not mse with width 2"),
        (CLASSES, [1.0, 2.0], TypeError, r"class_weight must be a dict .* weights or 'balanced', not \[1.0, 2.0\]"),
        (CLASSES, {3: 1.0}, ValueError, "class_weight has the label 3, and the model's labels are 0 to 2"),
        (CLASSES, {"a": 1.0}, ValueError, "class_weight has the label 'a', and the model's labels are 0 to 2"),
        (CLASSES, {True: 1.0}, ValueError, "class_weight has the label True"),
        (SIDE, {-1: 1.0}, ValueError, "class_weight has the label -1, and the model's labels are 0 and 1"),
        (CLASSES, {1: -1.0}, ValueError, r"class_weight\[1\] must be a finite number of at least 0, not -1.0"),
        (CLASSES, {1: math.nan}, ValueError, r"class_weight\[1\] must be a finite number of at least 0, not nan"),
        (CLASSES, {1: "2"}, TypeError, r"class_weight\[1\] must be a number, not '2'"),
        (CLASSES, {1: 2}, nm.DataError, r"expected\[0, 0\] is no label: with class_weight it must be a single 1 among"),
        (SIDE, {1: 2}, nm.DataError, r"expected\[0, 0\] is no label: with class_weight it must be 0 or 1"),
    ],
)
def test_wrong_weights_of_classes(text: str, class_weight: Any, error: type[Exception], message: str) -> None:
    model = made(text)
    expected = np.full((4, LANES, model.output_width), 0.5)
    with pytest.raises(error, match=message):
        model.fit(data(4)[0], expected, epochs=1, class_weight=class_weight)
    assert model.history is None


# Metrics --------------------------------------------------------------------------------------------------------------


def largest(expected: np.ndarray, result: np.ndarray) -> float:
    """The largest error."""
    assert expected.shape == result.shape
    assert expected.ndim == 2
    return np.abs(expected - result).max()


def test_metrics_are_measured_on_all_data(tmp_path: Path) -> None:
    inputs, expected = data(3, 5)
    weights = np.random.default_rng(0).uniform(size=(3, 5, LANES)) * (np.arange(5) < 4)[:, None]
    model, log = made(SUMS, bptt_steps=3), tmp_path / "log"
    history = model.fit(
        inputs, expected, epochs=2, sample_weight=weights, metrics=("mae", largest, "rmse", "huber"),
        validation=data(2, 4), callbacks=nm.CSVLog(log), progress=False,
    )  # fmt: skip
    errors = model.predict(inputs).astype(np.float64) - expected
    shares = weights / weights.sum()
    assert history.mae[-1] == pytest.approx((np.abs(errors).mean(axis=-1) * shares).sum(), rel=1e-5)
    assert history.rmse[-1] == pytest.approx(np.sqrt(((errors**2).mean(axis=-1) * shares).sum()), rel=1e-5)
    assert history.largest[-1] == pytest.approx(np.abs(errors[:, :4]).max(), rel=1e-5)
    held_out = model.predict(data(2, 4)[0]) - data(2, 4)[1]
    assert history.validation_largest[-1] == pytest.approx(np.abs(held_out).max(), rel=1e-5)
    assert history.metrics.keys() == {
        "mae", "largest", "rmse", "huber",
        "validation_mae", "validation_largest", "validation_rmse", "validation_huber",
    }  # fmt: skip
    with log.open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["validation_mae"]) == history.validation_mae[1]
    with pytest.raises(AttributeError, match="this History has no 'mea'"):
        history.mea  # noqa: B018


def test_metrics_leave_out_what_is_not_known() -> None:
    inputs, expected = data(6)
    expected = np.where(np.random.default_rng(3).random(expected.shape) < 0.3, np.nan, expected)
    expected[0, 0] = np.nan
    model = made()
    history = model.fit(inputs, expected, epochs=1, missing="skip", metrics=("mae", "mse"), progress=False)
    errors = model.predict(inputs) - expected
    assert history.mae[-1] == pytest.approx(np.nanmean(np.abs(errors)), rel=1e-5)
    assert history.mse[-1] == pytest.approx(model.evaluate(inputs, expected, missing="skip"), rel=1e-5)


def test_classes_have_metrics_of_their_own() -> None:
    def share_of_two(expected: np.ndarray, result: np.ndarray) -> float:
        return float((expected.argmax(axis=1) == 2).mean())

    inputs, given = data(6)[0], labels(6)
    model = made(CLASSES)
    history = model.fit(inputs, given, epochs=1, metrics=["accuracy", "cross_entropy", share_of_two], progress=False)
    assert history.accuracy == [model.accuracy(inputs, given)]
    assert history.cross_entropy[0] == pytest.approx(model.evaluate(inputs, given), rel=1e-5)
    assert history.share_of_two == [(given == 2).mean()]


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ("maee", ValueError, "metrics must be one of accuracy, .*, not 'maee'; did you mean 'mae'"),
        ("accuracy", nm.DataError, "accuracy needs a model whose loss is cross_entropy or binary_cross_entropy"),
        (["mae", "mae"], ValueError, r"metrics\[1\] is 'mae' a second time"),
        ([5], TypeError, "metrics must be one of accuracy"),
        (lambda e, r: "much", TypeError, "the metric metric0 must return a number, not 'much'"),
    ],
)  # fmt: skip
def test_wrong_metrics(metrics: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made().fit(*data(4), epochs=1, metrics=metrics)


def test_a_metric_without_a_name_has_one_by_its_place() -> None:
    given = ["mae", lambda expected, result: len(expected), lambda expected, result: 7.0]
    history = made().fit(*data(4), epochs=1, metrics=given, progress=False)
    assert history.metric1[0] > 0
    assert history.metric2 == [7.0]


def test_names_that_mean_something_else_are_no_metrics() -> None:
    def loss(expected: np.ndarray, result: np.ndarray) -> float:
        return 0.0

    for name in ("loss", "mae", "seconds", "validation_x", "plot"):
        loss.__name__ = name
        with pytest.raises(ValueError, match=f"a function called '{name}', which means another number: rename it"):
            made().fit(*data(4), epochs=1, metrics=loss)
    loss.__name__ = "words"
    with pytest.raises(TypeError, match="the metric words must return a number, not 'much'"):
        made().fit(
            *data(4), epochs=1, metrics=type("Words", (), {"__name__": "words", "__call__": lambda *_: "much"})()
        )


def test_callbacks_watch_metrics(tmp_path: Path) -> None:
    stopping = nm.EarlyStopping(patience=1, monitor="validation_largest", larger=True)
    history = made().fit(
        *data(4), epochs=9, metrics=largest, validation=data(4), callbacks=stopping, progress=False
    )  # fmt: skip
    assert (history.ended, history.best_epoch, len(history)) == ("early stopping", 0, 2)
    keeping = nm.Checkpoint(tmp_path / "{epoch}-{mae:.9f}", best_only=True, monitor="mae")
    history = made().fit(*data(4), epochs=2, metrics="mae", callbacks=keeping, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}-{mae:.9f}" for n, mae in enumerate(history.mae)}
    with pytest.raises(ValueError, match="monitor='largest' is a function of your own: say larger=True if"):
        made().fit(*data(4), epochs=2, metrics=largest, callbacks=nm.EarlyStopping(monitor="largest"))
    with pytest.raises(ValueError, match="monitor must be one of loss, mae in this call of fit, not 'mse'"):
        made().fit(*data(4), epochs=2, metrics="mae", callbacks=nm.EarlyStopping(monitor="mse"))


# Batches --------------------------------------------------------------------------------------------------------------


def cut(*lengths: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of so many samples."""
    inputs, expected = data(sum(lengths))
    ends = np.cumsum(lengths)[:-1]
    return list(zip(np.split(inputs, ends), np.split(expected, ends), strict=True))


def test_batches_are_learnt_one_after_the_other() -> None:
    batches, one, other = cut(3, 1, 4), made(SUMS), made(SUMS)
    read: list[int] = []

    def reader() -> Iterator[Any]:
        for number, batch in enumerate(batches):
            read.append(number)
            yield batch

    history = one.fit(reader, epochs=2, validation=data(4), metrics="mae", progress=False)
    losses = [[other.train(*batch, 0) for batch in batches] for _ in range(2)]
    np.testing.assert_array_equal(flat(one), flat(other))
    assert history.loss == [pytest.approx((3 * a + b + 4 * c) / 8) for a, b, c in losses]
    assert history.validation_mae[-1] == pytest.approx(np.abs(one.predict(data(4)[0]) - data(4)[1]).mean(), rel=1e-5)
    assert (read, history.updates) == ([0, 1, 2] * 2, 6)
    for again in (batches, tuple(batches)):
        model = made(SUMS)
        assert model.fit(again, epochs=2, progress=False).loss == history.loss


def test_a_data_set_with_numbers_for_its_batches() -> None:
    class Data:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, number: int) -> Any:
            return tuple(array[2 * number : 2 * number + 2] for array in whole)  # which is empty behind the last one

    whole, batches = data(4), cut(2, 2)
    one, other, third = made(SUMS), made(SUMS), made(SUMS)
    wanted = other.fit(batches, epochs=2, progress=False)
    assert one.fit(Data(), epochs=2, progress=False).loss == wanted.loss
    np.testing.assert_array_equal(flat(one), flat(other))
    assert third.fit(Data, epochs=2, progress=False).loss == wanted.loss, "a class makes them"


def test_blocks_of_dask_arrays() -> None:
    arrays = pytest.importorskip("dask.array")
    inputs, expected = data(6)
    blocks = [arrays.from_array(array, chunks=(2, *array.shape[1:])) for array in (inputs, expected)]
    one, other = made(SUMS), made(SUMS)
    pairs = list(zip(*(array.blocks for array in blocks), strict=True))
    found = one.fit(lambda: iter(pairs), epochs=2, progress=False)
    wanted = other.fit([(inputs[n : n + 2], expected[n : n + 2]) for n in (0, 2, 4)], epochs=2, progress=False)
    assert found.loss == wanted.loss
    np.testing.assert_array_equal(flat(one), flat(other))


def test_a_loader_of_torch() -> None:
    torch = pytest.importorskip("torch")
    inputs, expected = data(6)
    pairs = torch.utils.data.TensorDataset(*(torch.from_numpy(array) for array in (inputs, expected)))
    one, other = made(SUMS), made(SUMS)
    found = one.fit(torch.utils.data.DataLoader(pairs, batch_size=2), epochs=2, progress=False)
    wanted = other.fit([(inputs[n : n + 2], expected[n : n + 2]) for n in (0, 2, 4)], epochs=2, progress=False)
    assert found.loss == wanted.loss


def test_nothing_is_read_ahead() -> None:
    model, batches = made(), cut(2, 2, 2)
    seen: list[np.ndarray] = []

    def reader() -> Iterator[Any]:
        for batch in batches:
            seen.append(flat(model))
            yield batch

    model.fit(reader, epochs=1, progress=False)
    assert len({one.tobytes() for one in seen}) == 3, "each batch is read when the one before was learnt"


def test_weights_lengths_and_states_of_batches() -> None:
    (first, second), one, other = cut(3, 5), made(SUMS), made(SUMS)
    weights, lengths = np.array([[1.0, 0.5]] * 3), [2, 5]
    one.fit([(*first, weights), (*second, None, lengths)], epochs=1, carry_state=True, progress=False)
    other.train(*first, 0, sample_weight=weights)
    other.train(*second, 0, lengths=lengths, carry_state=True)
    np.testing.assert_array_equal(flat(one), flat(other))
    classes = [(data(3)[0], labels(3))]
    one, other = made(CLASSES), made(CLASSES)
    one.fit(classes, epochs=2, class_weight={0: 3.0}, progress=False)
    other.fit(*classes[0], epochs=2, class_weight={0: 3.0}, progress=False)
    np.testing.assert_array_equal(flat(one), flat(other))


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (5, {}, TypeError, "without expected, inputs must be an iterable of batches, not 5"),
        (iter(cut(2)), {}, nm.DataError, "can be read only once, and each epoch reads them anew: give the"),
        (lambda: 5, {}, nm.DataError, "batches can't be read: 'int' object is not iterable"),
        ([], {}, nm.DataError, "the batches of an epoch are none"),
        ([5], {}, nm.DataError, r"batch 0 must be \(inputs, expected\), .*, not 5"),
        ([cut(2)[0][:1]], {}, nm.DataError, r"batch 0 must be \(inputs, expected\)"),
        ([cut(2)[0], (np.ones((1, 1, 2)), [[[1, 2]]])], {}, nm.DataError, "batch 1: inputs has 1 on axis 1"),
        (cut(2), {"shuffle": True}, nm.DataError, "shuffle needs arrays: .* of batches, which decides their order"),
        (cut(2), {"seed": 1}, nm.DataError, "seed needs arrays"),
        (cut(2), {"sample_weight": [1]}, nm.DataError, r"sample_weight needs arrays: .* each \(inputs, expected, sam"),
        (cut(2), {"lengths": [1]}, nm.DataError, "lengths needs arrays"),
        (cut(2), {"validation": 0.5}, nm.DataError, "validation is a fraction, which needs arrays"),
        (cut(2), {"metrics": "mae"}, nm.DataError, "metrics of batches need validation=: only data that are there as"),
        ([data(2, 2)], {"carry_state": True}, nm.DataError, "batch 0: carry_state can't be used with 4-axis inputs"),
    ],
)  # fmt: skip
def test_wrong_batches(inputs: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made().fit(inputs, epochs=1, progress=False, **options)


# Schedules and the numbers of epochs ----------------------------------------------------------------------------------


def test_warmup_and_cosine() -> None:
    schedule = nm.WarmupCosine(0.8, 4, 12, final=0.1)
    assert [schedule(update) for update in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert schedule(8) == pytest.approx(0.45)
    assert [schedule(update) for update in (12, 99)] == pytest.approx([0.1, 0.1])
    assert nm.WarmupCosine(0.8, 0, 2)(0) == pytest.approx(0.8)


def test_steps() -> None:
    schedule = nm.StepDecay(0.8, every=3, factor=0.25)
    assert [schedule(update) for update in range(7)] == [0.8] * 3 + [0.2] * 3 + [0.05]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nm.WarmupCosine(0.1, 5, 5), ValueError, "warmup must be less than total, 5, not 5"),
        (lambda: nm.WarmupCosine(-0.1, 5, 9), ValueError, "peak must be a finite number of at least 0, not -0.1"),
        (lambda: nm.WarmupCosine(0.1, 0.5, 9), TypeError, "warmup must be a whole number, not 0.5"),
        (lambda: nm.WarmupCosine(0.1, 1, 0), ValueError, "total must be at least 1, not 0"),
        (lambda: nm.StepDecay(0.1, 0), ValueError, "every must be at least 1, not 0"),
        (lambda: nm.StepDecay(0.1, 5, 1.5), ValueError, "factor must be at most 1, not 1.5"),
        (lambda: nm.LearningRateSchedule(abs, "sample"), ValueError, "per must be one of epoch, update, not 'sample'"),
    ],
)
def test_wrong_schedules(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("wrapped", ["itself", "in a callback", "a function"])
def test_a_schedule_sets_the_rate_of_every_update(wrapped: str) -> None:
    schedule = nm.StepDecay(0.5, every=1, factor=0.5)
    callback = {
        "itself": schedule, "in a callback": nm.LearningRateSchedule(schedule),
        "a function": nm.LearningRateSchedule(lambda update: 0.5**update * 0.5, per="update"),
    }[wrapped]  # fmt: skip
    inputs, expected = data(7)
    weights = np.ones((7, LANES))
    weights[2:4] = 0.0  # a window without an update
    one, other = made(bptt_steps=2), made(bptt_steps=2)
    history = one.fit(inputs, expected, epochs=2, sample_weight=weights, callbacks=callback, progress=False)
    update = 0
    for _ in range(2):
        for start in (0, 4, 6):
            other.learning_rate = 0.5 ** (update + 1)
            other.train(inputs[start : start + 2], expected[start : start + 2], 0)
            update += 1
    np.testing.assert_array_equal(flat(one), flat(other))
    assert history.learning_rate == [0.5, 0.0625]
    assert history.updates == update
    with pytest.raises(ValueError, match="two callbacks set the learning rate of each update; give one of them"):
        one.fit(inputs, expected, epochs=1, callbacks=[callback, schedule])


class Epochs(nm.Callback):
    """Writes down the numbers of epochs."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def before_epoch(self, run: Any) -> None:
        self.numbers.append(run.epoch)


def test_a_resumed_fit_goes_on_counting(tmp_path: Path) -> None:
    """Schedules, logs and the names of checkpoints too, with a loaded model."""
    straight, seen = made(bptt_steps=2), Epochs()
    schedule = nm.WarmupCosine(0.3, 3, 20)
    whole = straight.fit(*data(5), epochs=5, callbacks=schedule, progress=False)
    first = made(bptt_steps=2)
    first.fit(*data(5), epochs=2, callbacks=schedule, progress=False)
    first.save(tmp_path / "model")
    model = nm.load(tmp_path / "model")
    assert model.history is not None
    assert model.history.next_epoch == 2
    keeping, log = nm.Checkpoint(tmp_path / "{epoch}"), nm.CSVLog(tmp_path / "log")
    rest = model.fit(
        *data(5),
        epochs=3,
        initial_epoch=2,
        callbacks=[schedule, seen, keeping, log, nm.EarlyStopping()],
        progress=False,
    )
    assert whole.loss[2:] == rest.loss
    assert whole.learning_rate[2:] == rest.learning_rate
    np.testing.assert_array_equal(flat(model), flat(straight))
    assert (seen.numbers, rest.initial_epoch, rest.next_epoch, rest.updates) == ([2, 3, 4], 2, 5, 15)
    assert rest.best_epoch == 2 + int(np.argmin(rest.loss))
    assert {path.name for path in tmp_path.iterdir()} == {"model", "log", "2", "3", "4"}
    assert [line.split(",")[0] for line in (tmp_path / "log").read_text().splitlines()] == ["epoch", "2", "3", "4"]


def test_where_the_number_of_updates_before_is_not_known() -> None:
    model, schedule = made(), nm.StepDecay(0.1, 5)
    model.fit(*data(4), epochs=1, initial_epoch=3, progress=False)
    model.fit(*data(4), epochs=1, initial_epoch=4, callbacks=schedule, progress=False)
    with pytest.raises(ValueError, match="initial_epoch=3, and the model's history does not end there"):
        model.fit(*data(4), epochs=1, initial_epoch=3, callbacks=schedule)
    with pytest.raises(ValueError, match="initial_epoch must be at least 0, not -1"):
        model.fit(*data(4), epochs=1, initial_epoch=-1)


# What is shown --------------------------------------------------------------------------------------------------------


class Stop(nm.Callback):
    """Stops after two epochs."""

    def after_epoch(self, run: Any) -> None:
        if run.epoch == 1:
            run.stop("enough")


def test_the_bar_ends_where_training_stops(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "BAR_DELAY", 0.0)
    made().fit(*data(4), epochs=50, callbacks=Stop(), metrics="mae")
    last = capsys.readouterr().err.split("\r")[-1]
    assert last.startswith("epoch 2/50: 100%")
    assert "00:00 left" in last
    assert "mae=" in last
    made().fit(cut(3, 4), epochs=2)
    last = capsys.readouterr().err.split("\r")[-1]
    assert re.match(r"epoch 2/2: 14\.0 steps, .*step/s, loss=", last), last


def test_a_notebook_gets_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In HTML where there are widgets, else on stdout: stderr is red there."""
    shell, module = type("ZMQInteractiveShell", (), {})(), ModuleType("IPython")
    module.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    monkeypatch.setattr(progress, "BAR_DELAY", 0.0)
    made().fit(*data(4), epochs=2)
    out, err = capsys.readouterr()
    assert err == ""
    assert "epoch 2/2: 100%" in out
    monkeypatch.setattr(progress, "find_spec", lambda name: object())
    assert progress._base().__module__ == "tqdm.notebook"
    module.get_ipython = lambda: None  # type: ignore[attr-defined]
    assert progress._base().__module__ != "tqdm.notebook"


def test_a_history_says_briefly_what_happened() -> None:
    history = nm.History(
        [3.0, 2.0, 1.0], [3.0, 2.5, 2.75], learning_rate=[0.1] * 3, ended="early stopping", best_epoch=1,
        metrics={"mae": [0.1, 0.2, 0.3]},
    )  # fmt: skip
    said = "3 epochs, the best 2, loss 2, validation loss 2.5, mae 0.2, early stopping"
    assert repr(history) == f"<neuromorph.History: {said}>"
    assert history.figures() == {"loss": 2.0, "validation_loss": 2.5, "learning_rate": 0.1, "mae": 0.2}
    html = history._repr_html_()
    assert said in html
    assert html.count("<tr>") == 4
    assert "<th>validation loss</th>" in html
    assert "<td><b>2</b></td><td>2</td><td>2.5</td>" in html
    long = nm.History([0.5] * 1000)
    assert len(repr(long)) < 100
    assert long._repr_html_().count("<tr>") == 12
    assert repr(nm.History()) == "<neuromorph.History: 0 epochs>"


def test_a_schedule_of_updates_needs_a_rate() -> None:
    class Nothing(UpdateSchedule):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()  # type: ignore[abstract]


def test_a_shuffling_fit_with_a_seed_goes_on_with_its_orders() -> None:
    """A second call gives the bits of one call, if it has the same seed; without a seed, it draws other orders."""
    rng = np.random.default_rng(0)
    inputs, expected = rng.normal(size=(40, 2)), rng.normal(size=(40, 1))
    text = "/xavier,zero/ (input, 2) (h, 3, <tanh>) (output, 1, <linear>, <mse>)"

    def fitted(*epochs: int, seed: int | None) -> bytes:
        model = nm.compile(text, 4, 0.1).build(seed=1)
        for count in epochs:
            first = 0 if model.history is None else model.history.next_epoch
            options = {"layout": "NW", "shuffle": True, "progress": False, "initial_epoch": first, "seed": seed}
            model.fit(inputs, expected, epochs=count, **options)
        return b"".join(array.tobytes() for array in model.get_parameters().values())

    assert fitted(5, seed=7) == fitted(2, 3, seed=7) == fitted(1, 1, 3, seed=7)
    assert fitted(5, seed=8) != fitted(5, seed=7)
    nm.seed(1)
    once = fitted(5, seed=None)
    nm.seed(1)
    assert fitted(2, 3, seed=None) != once
