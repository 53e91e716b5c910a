"""``layout=``: sequences and single vectors in the layout that other libraries have, against one at a time.

Kernels run as plain Python here: what they compute is tested elsewhere.
"""

from __future__ import annotations

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.prediction import inputs_of

RECURRENT = "/uniform -0.5 0.5,zero/ (layout_input, 2) {sum, recur, concatenate} (a, 3, <tanh>) [l, [recur,]] "
SUMS = f"{RECURRENT} (output, 2, <linear>, <mse>)"
ONE = f"{RECURRENT} (output, 1, <linear>, <mse>)"
CLASSES = f"{RECURRENT} (output, 3, <softmax>, <cross_entropy>)"
COUNTS = f"{RECURRENT} (output, 1, <exp>, <poisson>)"
VECTORS = "/uniform -0.5 0.5,zero/ (layout_input, 2) (output, 3, <softmax>, <cross_entropy>)"
SIDE = "/uniform -0.5 0.5,zero/ (layout_input, 2) (output, 1, <sigmoid>, <binary_cross_entropy>)"
RNG = np.random.default_rng(3)
INPUTS = RNG.normal(size=(5, 4, 2))  # N, S, W
LABELS = RNG.integers(0, 3, (5, 4))
LENGTHS = np.array([4, 1, 3, 2, 4])
RAGGED = [sequence[:length] for sequence, length in zip(INPUTS, LENGTHS, strict=True)]
LANES = 2

pytestmark = pytest.mark.usefixtures("interpreted")


def made(text: str, lanes: int = LANES, rate: float = 0.1, **options: Any) -> nm.Model:
    nm.seed(1)
    return nm.build(nm.compile(text, lanes, rate, dtype="float64", **options))


def one_hot(labels: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.eye(classes)[labels]


def one_by_one(text: str, sequences: Any, wanted: Any, weights: Any) -> tuple[float, dict[str, np.ndarray]]:
    """The weighted mean loss of sequences (S_n, W) and its gradients, from calls with one sequence in one lane."""
    single, total, loss, found = made(text, lanes=1), 0.0, 0.0, {}
    for inputs, expected, weight in zip(sequences, wanted, weights, strict=True):
        if weight.sum() == 0:
            continue
        one, gradients = single.gradients(inputs[:, None], expected[:, None], sample_weight=weight[:, None])
        share = weight.sum()
        total, loss = total + share, loss + share * one
        found = {name: found.get(name, 0.0) + share * value for name, value in gradients.items()}
    return loss / total, {name: value / total for name, value in found.items()}


EACH = RNG.normal(size=(5, 4, 2))
CASES: dict[str, tuple[str, dict[str, Any], Any, Any, Any]] = {
    # the model, the arguments, and sequences, expected vectors and weights for one at a time
    "each step": (SUMS, {"inputs": INPUTS, "expected": EACH}, INPUTS, EACH, np.ones((5, 4))),
    "last step": (
        SUMS, {"inputs": INPUTS, "expected": EACH[:, -1]}, INPUTS, EACH, np.ones((5, 4)) * (np.arange(4) == 3),
    ),
    "lengths": (
        SUMS, {"inputs": INPUTS, "expected": EACH, "lengths": LENGTHS}, INPUTS, EACH, np.arange(4) < LENGTHS[:, None],
    ),
    "last step within lengths": (
        CLASSES, {"inputs": INPUTS, "expected": LABELS[:, 0], "lengths": LENGTHS}, INPUTS,
        one_hot(np.repeat(LABELS[:, :1], 4, axis=1)), np.arange(4) == LENGTHS[:, None] - 1,
    ),
    "a sequence of length 0": (
        CLASSES, {"inputs": INPUTS, "expected": LABELS[:, 0], "lengths": [0, 4, 4, 4, 4]}, INPUTS,
        one_hot(np.repeat(LABELS[:, :1], 4, axis=1)), (np.arange(4) == 3) * np.array([[0], [1], [1], [1], [1]]),
    ),
    "labels of steps": (CLASSES, {"inputs": INPUTS, "expected": LABELS}, INPUTS, one_hot(LABELS), np.ones((5, 4))),
    "weights of sequences": (
        SUMS, {"inputs": INPUTS, "expected": EACH, "sample_weight": [1, 2, 0, 3, 1]}, INPUTS, EACH,
        np.repeat([[1.0], [2], [0], [3], [1]], 4, axis=1),
    ),
    "weights of steps": (
        SUMS, {"inputs": INPUTS, "expected": EACH, "sample_weight": np.abs(EACH[..., 0])}, INPUTS, EACH,
        np.abs(EACH[..., 0]),
    ),
    "a list": (
        SUMS, {"inputs": RAGGED, "expected": [e[:n] for e, n in zip(EACH, LENGTHS, strict=True)]}, INPUTS, EACH,
        np.arange(4) < LENGTHS[:, None],
    ),
    "a list with weights": (
        SUMS,
        {
            "inputs": RAGGED, "expected": [e[:n] for e, n in zip(EACH, LENGTHS, strict=True)],
            "sample_weight": [np.arange(1.0, n + 1) for n in LENGTHS],
        },
        INPUTS, EACH, np.arange(1.0, 5) * (np.arange(4) < LENGTHS[:, None]),
    ),
    "a list with labels of steps": (
        CLASSES, {"inputs": RAGGED, "expected": [e[:n] for e, n in zip(LABELS, LENGTHS, strict=True)]}, INPUTS,
        one_hot(LABELS), np.arange(4) < LENGTHS[:, None],
    ),
    "a list with one label each": (
        CLASSES, {"inputs": RAGGED, "expected": list(LABELS[:, 0])}, INPUTS,
        one_hot(np.repeat(LABELS[:, :1], 4, axis=1)), np.arange(4) == LENGTHS[:, None] - 1,
    ),
    "a list with one vector each": (
        SUMS, {"inputs": RAGGED, "expected": list(EACH[:, 0])}, INPUTS, np.repeat(EACH[:, :1], 4, axis=1),
        np.arange(4) == LENGTHS[:, None] - 1,
    ),
    "numbers of one output": (
        ONE, {"inputs": INPUTS, "expected": EACH[..., 0]}, INPUTS, EACH[..., :1], np.ones((5, 4)),
    ),
    "one number each": (
        ONE, {"inputs": INPUTS, "expected": EACH[:, 3, 0]}, INPUTS, EACH[..., :1],
        np.ones((5, 4)) * (np.arange(4) == 3),
    ),
    "a horizon": (
        SUMS, {"inputs": INPUTS, "expected": EACH[:, 3, :, None]}, INPUTS, EACH, np.ones((5, 4)) * (np.arange(4) == 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_sequences_are_as_one_at_a_time(case: str) -> None:
    text, given, *single = CASES[case]
    loss, wanted = one_by_one(text, *[np.asarray(each, float) for each in single])
    model = made(text)
    assert model.evaluate(**given, layout="NSW") == pytest.approx(loss)
    found_loss, found = model.gradients(**given, layout="NSW")
    assert found_loss == pytest.approx(loss)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("case", ["each step", "last step within lengths", "a list with one label each"])
def test_training_takes_a_group_of_lanes_at_a_time(case: str) -> None:
    text, given, inputs, expected, weights = CASES[case]
    packed, by_hand = made(text), made(text)
    packed.train(**given, layout="NSW", verbosity=0)
    for first in (0, 2, 4):
        some = slice(first, first + LANES)
        lanes = [np.zeros((4, LANES, *np.shape(array)[2:])) for array in (inputs, expected, weights)]
        for lane, array in zip(lanes, (inputs, expected, weights), strict=True):
            part = np.moveaxis(np.asarray(array, float)[some], 0, 1)
            lane[:, : part.shape[1]] = part
        by_hand.train(*lanes[:2], 0, sample_weight=lanes[2])
    for name, value in by_hand.get_parameters().items():
        np.testing.assert_array_equal(packed.get_parameters()[name], value)
    assert packed.losses.shape == (3, 4)


def test_results_come_back_as_the_data_are() -> None:
    model = made(CLASSES)
    wanted = np.stack([model.predict(sequence) for sequence in INPUTS])
    found = model.predict(INPUTS, layout="NSW")
    np.testing.assert_array_equal(found, wanted)
    found = model.predict(RAGGED, layout="NSW")
    assert isinstance(found, list)
    for result, sequence, length in zip(found, wanted, LENGTHS, strict=True):
        np.testing.assert_array_equal(result, sequence[:length])
    many = RNG.normal(size=(40, 3, 2))
    np.testing.assert_array_equal(model.predict(many, layout="NSW")[37], model.predict(many[37]))


@pytest.mark.parametrize(("count", "lanes"), [(1, 1), (5, 5), (33, 17), (40, 20)])
def test_prediction_computes_few_empty_lanes(count: int, lanes: int) -> None:
    model, data = made(CLASSES), RNG.normal(size=(count, 3, 2))
    assert inputs_of(model, data, "NSW").inputs.shape[2] == lanes
    assert inputs_of(model, list(data), "NSW").inputs.shape[2] == lanes
    each = np.stack([model.predict(sequence) for sequence in data])
    np.testing.assert_array_equal(model.predict(data, layout="NSW"), each)


def test_an_array_of_objects_is_a_list() -> None:
    rows = np.empty(5, object)
    rows[:] = RAGGED
    model = made(CLASSES)
    assert model.evaluate(rows, LABELS[:, 0], layout="NSW") == model.evaluate(RAGGED, LABELS[:, 0], layout="NSW")


def test_accuracy_is_that_of_the_last_steps() -> None:
    model = made(CLASSES)
    right = [
        model.predict(sequence)[-1].argmax() == label for sequence, label in zip(RAGGED, LABELS[:, 0], strict=True)
    ]
    assert model.accuracy(RAGGED, LABELS[:, 0], layout="NSW") == pytest.approx(np.mean(right))


def test_single_vectors() -> None:
    vectors, labels = INPUTS[:, 0], LABELS[:, 0]
    packed, by_hand = made(VECTORS), made(VECTORS)
    packed.train(vectors, labels, 0, layout="NW")
    by_hand.train(*(array[:4].reshape(2, 2, -1) for array in (vectors, one_hot(labels))), 0)
    last = [np.concatenate([array[4:], np.zeros((1, array.shape[1]))])[None] for array in (vectors, one_hot(labels))]
    by_hand.train(*last, 0, sample_weight=[[1, 0]])
    for name, value in by_hand.get_parameters().items():
        np.testing.assert_array_equal(packed.get_parameters()[name], value)
    np.testing.assert_array_equal(packed.predict(vectors, layout="NW"), packed.predict(vectors))
    loss = np.mean([packed.evaluate(v[None], la[None], layout="NW") for v, la in zip(vectors, labels, strict=True)])
    assert packed.evaluate(vectors, one_hot(labels), layout="NW") == pytest.approx(loss)
    weighted = packed.evaluate(vectors, labels, sample_weight=[0, 0, 1, 0, 0], layout="NW")
    assert weighted == pytest.approx(packed.evaluate(vectors[2:3], labels[2:3], layout="NW"))
    side = made(SIDE)
    assert side.evaluate(vectors, [0, 1, 1, 0, 1], layout="NW") == side.evaluate(
        vectors, [[0], [1], [1], [0], [1]], layout="NW"
    )


def test_fit_takes_its_validation_in_the_layout_too() -> None:
    model = made(CLASSES)
    history = model.fit(
        RAGGED, LABELS[:, 0], epochs=2, validation=(RAGGED[:2], LABELS[:2, 0]), layout="NSW", progress=False
    )
    assert history.validation_loss[-1] == model.evaluate(RAGGED[:2], LABELS[:2, 0], layout="NSW")


def test_adapt_takes_a_layout() -> None:
    text = f"{RECURRENT.replace('{sum', '(z, <standardize>) {sum')} (output, 1, <linear>, <mse>)"
    model = made(text)
    model.adapt(RAGGED, layout="NSW")
    rows = np.concatenate(RAGGED)
    np.testing.assert_allclose(model.get_parameters()["z.mean"], rows.mean(axis=0))
    np.testing.assert_allclose(model.get_parameters()["z.scale"], rows.std(axis=0))


def nan_at(array: Any, *place: int, value: float = np.nan) -> np.ndarray:
    copy = np.array(array, float)
    copy[place] = value
    return copy


BROKEN = [*RAGGED[:2], nan_at(RAGGED[2], 1, 0), *RAGGED[3:]]
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown": (SUMS, {"layout": "NWS"}, "layout is 'NWS' (str), but must be None, 'NSW' or 'NW'"),
    "vectors of a recurrent model": (
        SUMS, {"inputs": INPUTS[:, 0], "expected": EACH[:, 0], "layout": "NW"},
        "layout='NW' is for single vectors, and this model has links back in time, which need sequences",
    ),
    "axes": (
        SUMS, {"inputs": INPUTS[0]},
        "inputs has shape (4, 2), but needs shape (sequences, steps, width = 2), for layout='NSW'",
    ),
    "width": (SUMS, {"inputs": INPUTS[..., :1]}, "inputs has 1 on axis 2 (width), but needs 2"),
    "width of an item": (
        SUMS, {"inputs": [*RAGGED[:3], RAGGED[3][:, :1], RAGGED[4]]},
        "inputs[3] has 1 on axis 1 (width), but needs 2",
    ),
    "no step": (SUMS, {"inputs": [*RAGGED[:4], np.zeros((0, 2))]}, "inputs[4] has 0 on axis 0 (steps)"),
    "no sequence": (SUMS, {"inputs": []}, "inputs is an empty list, but needs at least 1 sequence"),
    "count": (SUMS, {"expected": EACH[:4]}, "expected has 4 on axis 0 (sequences), but inputs has 5"),
    "count of a list": (
        SUMS, {"inputs": RAGGED, "expected": [e[:n] for e, n in zip(EACH, LENGTHS, strict=True)][:4]},
        "expected has 4 on axis 0 (sequences), but inputs has 5",
    ),
    "expected": (
        CLASSES, {"expected": EACH},
        "expected has shape (5, 4, 2), but needs (5, 4, 3), or (5, 3) for the last step alone (or (5, 4) and (5,) of "
        "labels)",
    ),
    "expected of an item": (
        CLASSES, {"inputs": RAGGED, "expected": [la[:n] for la, n in zip(LABELS, LENGTHS + 1, strict=True)]},
        "expected[1] has shape (2,), but needs (1, 3) or (1,), as all others",
    ),
    "a label": (
        CLASSES, {"expected": [0, 1, 2, 3, 0]}, "expected[3] is 3, but a label must be a whole number from 0 to 2",
    ),
    "a label of a step": (
        CLASSES, {"expected": nan_at(LABELS, 3, 1, value=-1)},
        "expected[3, 1] is -1, but a label must be a whole number from 0 to 2",
    ),
    "labels or vectors": (
        CLASSES, {"inputs": INPUTS[:, :3], "expected": LABELS[:, :3]},
        "expected of shape (5, 3) may be a label for each step, or a vector for each sequence",
    ),
    "NaN": (SUMS, {"inputs": nan_at(INPUTS, 3, 2, 1)}, "inputs[3, 2, 1] is nan, but must be finite"),
    "NaN in a list": (SUMS, {"inputs": BROKEN}, "inputs[2][1, 0] is nan, but must be finite"),
    "NaN expected": (SUMS, {"expected": nan_at(EACH, 4, 0, 1)}, "expected[4, 0, 1] is nan, but must be finite"),
    "NaN expected at the end": (
        SUMS, {"expected": nan_at(EACH[:, -1], 4, 1)}, "expected[4, 1] is nan, but must be finite",
    ),
    "NaN of a horizon": (
        SUMS, {"expected": nan_at(EACH[:, -1, :, None], 4, 1, 0)}, "expected[4, 1, 0] is nan, but must be finite",
    ),
    "NaN of one output": (ONE, {"expected": nan_at(EACH[..., 0], 2, 3)}, "expected[2, 3] is nan, but must be finite"),
    "negative counts": (
        COUNTS, {"expected": nan_at(np.abs(EACH[..., 0]), 2, 3, value=-1)},
        "expected[2, 3] is -1, and the loss poisson needs",
    ),
    "weights": (
        SUMS, {"sample_weight": np.ones((5, 3))},
        "sample_weight has 3 on axis 1 (steps), but needs 4",
    ),
    "a weight": (
        SUMS, {"sample_weight": [1, 1, -1, 1, 1]}, "sample_weight[2] is -1, but a weight must be 0 or more",
    ),
    "a weight of a step": (
        SUMS, {"sample_weight": nan_at(np.ones((5, 4)), 3, 2, value=-1)}, "sample_weight[3, 2] is -1.0, but a weight",
    ),
    "lengths": (SUMS, {"lengths": [4, 5, 1, 1, 1]}, "lengths[1] is 5, but a length must be a whole number from 0 to 4"),
    "lengths of a list": (
        SUMS, {"inputs": RAGGED, "lengths": LENGTHS},
        "lengths are those of the list's items where inputs is a list: leave lengths= out",
    ),
    "lengths of vectors": (
        VECTORS, {"inputs": INPUTS[:, 0], "expected": LABELS[:, 0], "lengths": [1] * 5, "layout": "NW"},
        "lengths are for sequences, and layout='NW' has single vectors",
    ),
    "labels of vectors": (
        VECTORS, {"inputs": INPUTS[:, 0], "expected": LABELS, "layout": "NW"},
        "expected has shape (5, 4), but needs (5, 3), or (5,) of labels",
    ),
    "a number": (SUMS, {"expected": 3.0}, "expected is a single number, but needs (5, 4, 2)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named_as_the_user_knows_it(case: str) -> None:
    text, given, message = WRONG[case]
    arguments = {"inputs": INPUTS, "expected": EACH, "layout": "NSW", **given}
    with pytest.raises(nm.DataError, match=re.escape(message)):
        made(text).train(**arguments, verbosity=0)


def test_state_is_not_carried_from_sequence_to_sequence() -> None:
    with pytest.raises(nm.DataError, match="carry_state can't be used with 4-axis inputs or layout='NSW'"):
        made(SUMS).train(INPUTS, EACH, 0, layout="NSW", carry_state=True)


def test_prediction_names_what_does_not_fit() -> None:
    with pytest.raises(nm.DataError, match=re.escape("inputs[2][1, 0] is nan")):
        made(SUMS).predict(BROKEN, layout="NSW")
    with pytest.raises(nm.DataError, match=re.escape("layout is 'x' (str)")):
        made(SUMS).predict(INPUTS, layout="x")


def test_lanes_that_are_not_the_models_own_give_a_hint() -> None:
    hint = "if these are sequences (sequences, steps, width), give layout='NSW'"
    with pytest.raises(nm.DataError, match=re.escape(hint)):
        made(SUMS).train(INPUTS, EACH, 0)
    with pytest.raises(nm.DataError, match=re.escape("windows() cuts a long series into sequences")):
        made(SUMS).train(INPUTS[0], EACH[0], 0)
    with pytest.raises(nm.DataError, match=re.escape("for single vectors (vectors, width) give layout='NW'")):
        made(VECTORS).train(INPUTS[0], LABELS[0], 0)


# What a model remembers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "inputs", "expected", "layout", "once"),
    [
        (CLASSES, RAGGED, LABELS[:, 0], "NSW", True),
        (CLASSES, INPUTS, LABELS, "NSW", False),
        (VECTORS, INPUTS[:, 0], LABELS[:, 0], "NW", False),
    ],
)
def test_the_layout_of_training_is_kept(
    tmp_path: Path, text: str, inputs: Any, expected: Any, layout: str, once: bool
) -> None:
    trained, fitted = made(text), made(text)
    assert trained.layout is None
    trained.train(inputs, expected, 0, layout=layout)
    fitted.fit(inputs, expected, epochs=1, shuffle=True, validation=0.4, layout=layout, progress=False)
    fitted.save(tmp_path / "model.safetensors")
    for model in (trained, fitted, copy.deepcopy(trained), nm.load(tmp_path / "model.safetensors")):
        assert (model.layout, model.reading.once) == (layout, once)
    lanes = np.zeros((3, LANES, 2)), np.zeros((3, LANES), int)
    trained.evaluate(*lanes)
    assert trained.layout == layout
    trained.train(*lanes, 0)
    assert trained.layout is None


def test_other_lanes_than_those_of_training_give_a_hint() -> None:
    model = made(CLASSES)
    model.train(INPUTS, LABELS[:, 0], 0, layout="NSW")
    message = (
        "inputs of shape (5, 4, 2) are read as 5 steps of 4 lanes, and the model was trained with layout='NSW': give "
        "it here too for 5 sequences of 4 steps"
    )
    with pytest.warns(nm.DataWarning, match=re.escape(message)):
        model.predict(INPUTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(INPUTS[:, :LANES])
        model.predict(INPUTS[0])
        made(CLASSES).predict(INPUTS)


def test_what_is_not_known_is_left_out_of_packed_sequences() -> None:
    wanted = [row.copy() for row in EACH]
    wanted[0][2, 1], wanted[3][0], wanted[4][1] = np.nan, np.nan, np.nan
    lists = [row[:length] for row, length in zip(wanted, LENGTHS, strict=True)]
    model, padded = made(SUMS), np.array(wanted)
    counts = (np.arange(4) < LENGTHS[:, None]) * 1.0
    found = model.evaluate(RAGGED, lists, layout="NSW", missing="skip")
    assert found == model.evaluate(INPUTS, padded, layout="NSW", lengths=LENGTHS, missing="skip")
    errors = (np.stack([model.predict(row) for row in INPUTS]) - padded) ** 2
    known = ~np.isnan(errors) & (counts[..., None] > 0)
    assert found == pytest.approx(errors[known].mean())


@pytest.mark.parametrize("call", ["train", "evaluate", "predict", "adapt"])
def test_ragged_sequences_without_a_layout_get_a_hint(call: str) -> None:
    model = made(f"{RECURRENT.replace('{sum', '(scaled, <standardize>) {sum')} (output, 1, <linear>, <mse>)")
    more = [] if call in ("predict", "adapt") else [[row[:, :1] for row in RAGGED]]
    hint = r"inputs\[1\] has 1 item, but inputs\[0\] has 4; if these are .* of different lengths, give layout='NSW'"
    with pytest.raises(nm.DataError, match=hint):
        getattr(model, call)(RAGGED, *more)
    with pytest.raises(nm.DataError) as caught:  # arrays that are no sequences of one width
        getattr(model, call)([np.ones((2, 2)), np.ones((2, 3))], *more)
    assert "layout" not in str(caught.value)
