"""Data of many models: which are those of all, which a list with those of each, and what is an error."""

from __future__ import annotations

import operator
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.likes import LIKES, Array, Interface, Items
from neuromorph.data.reading import extents
from neuromorph.training import many
from neuromorph.training.own_data import batches_of_each, data_of_each, validation_of_each

TEXT = "/xavier,zero/ (i, 2) {m, h, concatenate, 1} (h, 2, <tanh>) (out, 1, <linear>, <mse>)"
RNG = np.random.default_rng(1)
INPUTS, EXPECTED = RNG.normal(size=(9, 2, 2)), RNG.uniform(size=(9, 2, 1))
OWN = ([INPUTS[:5], INPUTS[4:]], [EXPECTED[:5], EXPECTED[4:]])
interpreted = pytest.mark.usefixtures("interpreted")


class Tensor(Array):
    """An array of another library."""

    @property
    def shape(self) -> list[int]:
        return list(self.value.shape)


KINDS: dict[str, Callable[[np.ndarray], Any]] = {**LIKES, "lists": np.ndarray.tolist, "tensors": Tensor}


def models() -> list[nm.Model]:
    return [nm.build(nm.compile(TEXT, 2, 0.1, bptt_steps=4), seed=seed) for seed in (1, 2)]


def a(*shape: int) -> np.ndarray:
    return np.zeros(shape)


def rows(*shape: int) -> Any:
    return a(*shape).tolist()


def ways(count: int, layout: str | None, *data: Any) -> str:
    """A letter for each argument: "e" where each model has its own, "a" where all have the same."""
    found, letters = data_of_each(count, layout, *data), []
    assert len(found) == count
    for place, given in enumerate(data):
        own = [one[place] for one in found]
        shared = all(item is own[0] for item in own) and len(extents(own[0])) == len(extents(given))
        letters.append("a" if shared else "e")
    return "".join(letters)


@pytest.mark.parametrize(
    ("count", "layout", "data", "found"),
    [
        (2, None, (a(5, 3, 2), a(5, 3, 1)), "aa"),
        (2, None, (a(2, 5, 3, 2), a(2, 5, 3, 1)), "aa"),
        (5, None, (rows(5, 3, 2), rows(5, 3, 1)), "aa"),
        (2, None, ([a(5, 3, 2)] * 2, [a(5, 3, 1)] * 2), "ee"),
        (2, None, ((a(5, 3, 2), a(4, 4, 3, 2)), (a(5, 3, 1), a(4, 4, 3))), "ee"),
        (2, None, ([a(5, 3, 2)] * 2, a(5, 3, 1)), "ea"),
        (2, None, ([a(5, 3, 2)] * 2, rows(5, 3)), "ea"),
        (2, None, (a(5, 3, 2), [a(5, 3, 1)] * 2), "ae"),
        (2, None, (rows(2, 5, 3, 2), rows(2, 5, 3, 1)), "ee"),
        (2, None, ([rows(5, 3, 2)] * 2, [rows(5, 3)] * 2), "ee"),
        (1, None, ([a(5, 3, 2)], [a(5, 3, 1)]), "ee"),
        (2, None, ([Tensor(a(5, 3, 2))] * 2, [Array(a(5, 3, 1))] * 2), "ee"),
        (2, None, ([Interface(a(5, 3, 2))] * 2, [Items(rows(5, 3, 1))] * 2), "ee"),
        (2, None, ([a(5, 3, 2), a(3, 2)], [a(5, 3, 1), a(3, 1)]), "ee"),  # the second model alone has wrong data
        (2, "NSW", (a(2, 5, 3), a(2, 5, 1)), "aa"),
        (2, "NSW", ([a(5, 3), a(9, 3)], [a(5, 1), a(9, 1)]), "aa"),
        (2, "NSW", ([a(5, 3), a(9, 3)], [0, 1]), "aa"),
        (2, "NSW", ([[a(5, 3), a(9, 3), a(2, 3)]] * 2, [[a(5, 1), a(9, 1), a(2, 1)]] * 2), "ee"),
        (2, "NSW", ([a(4, 5, 3)] * 2, [a(4)] * 2), "ee"),
        (2, "NSW", (a(4, 5, 3), [a(4, 1), [0, 1, 1, 0]]), "ae"),
        (4, "NSW", (a(4, 5, 3), [0, 1, 1, 0]), "aa"),
        (2, "NSW", ([a(2, 2, 3)] * 2, [a(2, 1)] * 2), "ee"),  # where both may be meant, the inputs decide
        (2, "NSW", (np.array([a(5, 3), a(9, 3)], object), [a(5, 1), a(9, 1)]), "aa"),
        (3, "NW", (rows(3, 2), rows(3, 1)), "aa"),
        (3, "NW", ([a(4, 2)] * 3, [0, 1, 1]), "ea"),
        (3, "NW", ([a(4, 2)] * 3, [[0, 1, 1, 0]] * 3), "ee"),
        (2, None, (a(5, 3, 2), a(5, 3, 1), [a(5, 3), a(5, 3)]), "aae"),
        (2, None, ([a(5, 3, 2)] * 2, [a(5, 3, 1)] * 2, [None, a(5, 3)], None), "eeea"),
        (5, None, (a(5, 3, 2), a(5, 3, 1), rows(5, 3)), "aaa"),
        (3, None, (a(5, 3, 2), a(5, 3, 1), None, [4, 5, 5]), "aaaa"),
        (2, None, (a(5, 2, 2), a(5, 2, 1), None, [[4, 5], [1, 1]]), "aaae"),
        (2, None, (a(4, 5, 3, 2), a(4, 5, 3, 1), a(4, 5, 3), [a(4), a(4, 3)]), "aaae"),
        (2, "NSW", (a(4, 5, 3), a(4, 5, 1), [a(4), a(4, 5)], [[5, 5, 5, 1]] * 2), "aaee"),
        (2, "NSW", ([a(2, 5, 3)] * 2, [a(2, 5, 1)] * 2, None, [4, 5]), "eeaa"),
        (3, "nonsense", ([a(5, 3, 2)] * 3, [a(5, 3, 1)] * 3), "aa"),  # each model says what is wrong
        (3, ["NSW"], ([a(5, 3, 2)] * 3, [a(5, 3, 1)] * 3), "aa"),
        (2, None, ([], []), "aa"),
    ],
)
def test_what_is_of_each_model(count: int, layout: Any, data: tuple[Any, ...], found: str) -> None:
    assert ways(count, layout, *data) == found


@pytest.mark.parametrize(
    ("count", "layout", "data", "message"),
    [
        (2, None, ([a(5, 3, 2)] * 3, a(5, 3, 1)),
         "inputs is a list of 3 items, each of which could be that of a model, but there are 2 models: give one for "
         "each, or one for all that is no list"),
        (2, "NSW", ([[a(5, 3)]] * 3, a(1, 5, 1)), "inputs is a list of 3 items"),
        (2, None, (a(5, 3, 2), [a(5, 3, 1)] * 3), "expected is a list of 3 items, each of which could be that"),
        (3, None, ([a(5, 3, 2)] * 3, [a(5, 3, 1)] * 3, [a(5, 3)] * 2), "sample_weight is a list of 2 items"),
        (2, "NSW", (a(2, 2, 3), [a(2, 1)] * 2),
         "expected is a list of 2 items, which may be one for each of the 2 models, or the rows of one for all: give "
         "an array if it is for all, or a list of inputs too if it has one for each"),
        (2, None, (a(2, 5, 2, 1), a(2, 5, 2, 1), None, [[5, 5], [4, 4]]), "lengths is a list of 2 items, which may be"),
    ],
)  # fmt: skip
def test_what_may_be_meant_in_two_ways(count: int, layout: Any, data: tuple[Any, ...], message: str) -> None:
    with pytest.raises(nm.DataError) as caught:
        data_of_each(count, layout, *data)
    assert str(caught.value).startswith(message)


def test_validation_may_be_that_of_each_model() -> None:
    x, y, weight = a(5, 3, 2), a(5, 3, 1), a(5, 3)
    for one in (None, 0.2, (x, y), [x, y], (x, y, weight, None), "nonsense", (x,)):
        for found in validation_of_each(2, None, one):
            assert found == one or all(map(operator.is_, found, one))
    for each in ([(x, y), (x, y, weight)], [0.1, 0.2], [None, (x, y)], [[x, weight], [x, y, weight]]):
        assert validation_of_each(2, None, each) == each
    assert validation_of_each(3, None, [[x, y]] * 3) == [[x, y]] * 3
    parts = [x, a(4, 3, 2), x], [y, a(4, 3, 1), y]
    assert validation_of_each(3, None, parts) == list(zip(*parts, strict=True))
    two = [x, a(4, 3, 2)], [y, a(4, 3, 1)]  # a tuple of lists: the inputs of each, and the expected values of each
    assert validation_of_each(2, None, two) == list(zip(*two, strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[a(5, 3, 2)] * 2] * 2,
         "validation has 2 lists of data, which may be those of each model, or the inputs and the expected values of "
         "all: if it has those of each model, give a list of tuples"),
        (((a(5, 3, 2), a(5, 3, 1)),) * 2, "validation has 2 lists of data"),
        ([(a(5, 3, 2), a(5, 3, 1))] * 3, "validation is a list of 3 items, each of which could be that of a model"),
        (([a(5, 3, 2)] * 3, a(5, 3, 1)), "validation: inputs is a list of 3 items, each of which could be that of a"),
    ],
)  # fmt: skip
def test_validation_that_may_be_meant_in_two_ways(given: Any, message: str) -> None:
    with pytest.raises(nm.DataError) as caught:
        validation_of_each(2, None, given)
    assert str(caught.value).startswith(message)


def test_batches_may_be_those_of_each_model() -> None:
    batch = (a(5, 3, 2), a(5, 3, 1))
    for one in ([batch, batch], (batch, batch), lambda: [batch], Items([batch]), []):
        assert all(found is one for found in batches_of_each(2, one))
    for each in ([[batch], [batch, batch]], [lambda: [batch]] * 2, [Items([batch])] * 2):
        assert batches_of_each(2, each) == each
    with pytest.raises(nm.DataError, match=r"inputs is a list of 3 items, each of which could be that of a model"):
        batches_of_each(2, [[batch]] * 3)


def test_sizes_of_what_was_not_read() -> None:
    class Wrong:
        @property
        def shape(self) -> Any:
            raise OSError("no file")

    endless: list[Any] = []
    endless.append(endless)
    assert extents(endless)[:3] == (1, 1, 1)
    assert extents(deque([[1, 2], [3, 4]])) == (2, 2)
    for nothing in (3, "text", None, {"a": 1}, iter([1]), Wrong(), [[]][0:0]):
        assert extents(nothing) in ((), (0,))


# Training -------------------------------------------------------------------------------------------------------------


def assert_trained_like(found: list[nm.Model], wanted: list[nm.Model]) -> None:
    for one, other in zip(found, wanted, strict=True):
        parameters = other.get_parameters()
        for name, value in one.get_parameters().items():
            np.testing.assert_array_equal(value, parameters[name], err_msg=name)
        np.testing.assert_array_equal(one.losses, other.losses)


@interpreted
@pytest.mark.parametrize("kind", KINDS)
def test_own_data_of_any_kind(kind: str) -> None:
    """Most were once read as one array of four axes for all."""
    found, wanted = models(), models()
    nm.train_many(found, *([KINDS[kind](item) for item in data] for data in OWN))
    for model, *data in zip(wanted, *OWN, strict=True):
        nm.train(model, *data, 0)
    assert_trained_like(found, wanted)


@interpreted
def test_weights_and_lengths_of_each_model() -> None:
    weights, lengths = [None, RNG.uniform(size=(5, 2))], [[5, 3], [2, 5]]
    found, wanted = models(), models()
    nm.train_many(found, *OWN, sample_weight=weights, lengths=lengths)
    for number, model in enumerate(wanted):
        inputs, expected = OWN[0][number], OWN[1][number]
        nm.train(model, inputs, expected, 0, sample_weight=weights[number], lengths=lengths[number])
    assert_trained_like(found, wanted)


@interpreted
def test_validation_of_each_model_and_of_all() -> None:
    crossed = [(OWN[0][1], OWN[1][1]), (OWN[0][0], OWN[1][0])]
    for validation, each in (
        (crossed, crossed),
        ([0.2, 0.4], [0.2, 0.4]),
        ((INPUTS, EXPECTED), [(INPUTS, EXPECTED)] * 2),
    ):
        found, wanted = models(), models()
        histories = nm.fit_many(found, *OWN, epochs=2, validation=validation)
        for model, history, own, *data in zip(wanted, histories, each, *OWN, strict=True):
            alone = nm.fit(model, *data, epochs=2, validation=own, progress=False)
            assert history.validation_loss == alone.validation_loss
        assert_trained_like(found, wanted)


@interpreted
def test_batches_of_each_model() -> None:
    found, wanted = models(), models()
    batches = [[(OWN[0][number], OWN[1][number])] for number in (0, 1)]
    nm.fit_many(found, batches, None, epochs=2)
    for model, own in zip(wanted, batches, strict=True):
        nm.fit(model, own, epochs=2, progress=False)
    assert_trained_like(found, wanted)


@interpreted
def test_seeds_of_shuffling_are_drawn_in_the_order_of_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the second model begins first."""
    original = many._run_in_threads

    def backwards(work: Any, workers: int, left: deque[int], ending: threading.Event) -> None:
        left.reverse()
        original(work, workers, left, ending)

    inputs, expected = RNG.normal(size=(6, 4, 2, 2)), RNG.uniform(size=(6, 4, 2, 1))
    found, wanted = models(), models()
    monkeypatch.setattr(many, "_run_in_threads", backwards)
    nm.seed(7)
    nm.fit_many(found, inputs, expected, epochs=2, shuffle=True)
    nm.seed(7)
    for model in wanted:
        nm.fit(model, inputs, expected, epochs=2, shuffle=True, progress=False)
    assert_trained_like(found, wanted)


@interpreted
def test_wrong_data_of_one_model_are_its_error_alone() -> None:
    found, wanted = models(), models()
    with pytest.raises(nm.DataError, match=r"inputs has shape \(5, 2\), but needs shape") as caught:
        nm.train_many(found, [OWN[0][0], INPUTS[:5, 0]], [OWN[1][0], EXPECTED[:5, 0]])
    assert caught.value.__notes__ == ["It was models[1]."]
    loss = nm.train(wanted[0], OWN[0][0], OWN[1][0], 0)
    assert caught.value.results == [loss, None]  # type: ignore[attr-defined]
    assert_trained_like(found, wanted[:1] + found[1:])
