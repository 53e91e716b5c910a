"""Every door by which a user's numbers come in: data of all calls, steps of streams, parameters, and the state of
models, streams and optimizers. What is no finite real number is a DataError at each, and nothing is changed then.

Kernels run as plain Python here.
"""

from __future__ import annotations

import copy
import math
import re
from collections import UserDict, UserList
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.likes import LIKES, Silent

TEXT = """/uniform -0.5 0.5,zero/
(input, 2) {sum, recur, concatenate} (a, 3, <tanh>) [tap, [recur,]] (output, 3, <softmax>, <cross_entropy>)"""
LANES, SAMPLES = 2, 3
INPUTS = np.linspace(-1.0, 1.0, SAMPLES * LANES * 2).reshape(SAMPLES, LANES, 2)
VECTORS = np.full((SAMPLES, LANES, 3), 1 / 3)
LABELS = np.arange(SAMPLES * LANES).reshape(SAMPLES, LANES) % 3
WEIGHTS = np.linspace(0.5, 1.0, SAMPLES * LANES).reshape(SAMPLES, LANES)
LENGTHS = np.array([3, 2])
BIAS, STATE, STEP = np.linspace(-1.0, 1.0, 3), np.linspace(0.0, 0.5, LANES * 3).reshape(LANES, 3), np.array([0.5, -0.5])

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*encountered in:RuntimeWarning"
    ),  # of plain Python, where compiled code is silent
    pytest.mark.usefixtures("interpreted"),
]


def set_model_state(model: nm.Model, stream: nm.Stream, value: Any) -> None:
    model.state = {"recur": value}


def set_stream_state(model: nm.Model, stream: nm.Stream, value: Any) -> None:
    stream.state = {"recur": value}


def set_optimizer_state(model: nm.Model, stream: nm.Stream, value: Any) -> None:
    model.optimizer_state = {"mean.a.bias": value}


def set_optimizer_count(model: nm.Model, stream: nm.Stream, value: Any) -> None:
    model.optimizer_state = {"correction1": value}


Door = Callable[[nm.Model, nm.Stream, Any], Any]
# What is called with (model, stream, value), a value that is right, and the name that an error has for it.
DOORS: dict[str, tuple[Door, np.ndarray, str]] = {
    "inputs of train": (lambda m, s, x: m.train(x, VECTORS, 0), INPUTS, "inputs"),
    "expected of train": (lambda m, s, x: m.train(INPUTS, x, 0), VECTORS, "expected"),
    "labels of train": (lambda m, s, x: m.train(INPUTS, x, 0), LABELS, "expected"),
    "weights of train": (lambda m, s, x: m.train(INPUTS, VECTORS, 0, sample_weight=x), WEIGHTS, "sample_weight"),
    "lengths of train": (lambda m, s, x: m.train(INPUTS, VECTORS, 0, lengths=x), LENGTHS, "lengths"),
    "inputs of fit": (lambda m, s, x: m.fit(x, LABELS, epochs=1, progress=False), INPUTS, "inputs"),
    "validation of fit": (
        lambda m, s, x: m.fit(INPUTS, LABELS, epochs=1, progress=False, validation=(INPUTS, x)),
        LABELS,
        "validation: expected",
    ),
    "inputs of evaluate": (lambda m, s, x: m.evaluate(x, LABELS), INPUTS, "inputs"),
    "weights of accuracy": (lambda m, s, x: m.accuracy(INPUTS, LABELS, sample_weight=x), WEIGHTS, "sample_weight"),
    "lengths of gradients": (lambda m, s, x: m.gradients(INPUTS, VECTORS, lengths=x), LENGTHS, "lengths"),
    "inputs of gradcheck": (lambda m, s, x: m.gradcheck(x, checks=1), INPUTS, "inputs"),
    "inputs of predict": (lambda m, s, x: m.predict(x), INPUTS, "inputs"),
    "inputs of batches": (lambda m, s, x: nm.batches(x, LABELS[0], 2, classes=3), INPUTS[0], "inputs"),
    "labels of batches": (lambda m, s, x: nm.batches(INPUTS[0], x, 2, classes=3), LABELS[0], "expected"),
    "a step": (lambda m, s, x: m.stream()(x), STEP, "x"),
    "a step of lanes": (lambda m, s, x: s(x), INPUTS[0], "x"),
    "parameters": (lambda m, s, x: m.set_parameters({"output.bias": 7.0, "a.bias": x}), BIAS, "a.bias"),
    "state of a model": (set_model_state, STATE, "recur"),
    "state of a stream": (set_stream_state, STATE, "recur"),
    "state of a lane": (lambda m, s, x: s.set_state({"recur": x}, lane=1), STATE[1], "recur"),
    "state of an optimizer": (set_optimizer_state, BIAS, "mean.a.bias"),
    "count of an optimizer": (set_optimizer_count, np.array(0.5), "correction1"),
}


class Grad:
    """A tensor of another library that makes no array as it is."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")


class Late:
    """A sequence that raises when it is read."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __len__(self) -> int:
        return max(1, self.value.size)

    def __getitem__(self, index: int) -> Any:
        raise OSError(5, "Input/output error")


def with_first(value: np.ndarray, item: Any) -> np.ndarray:
    """The value as objects, one of them another."""
    found = value.astype(object)
    found[(0,) * value.ndim] = item
    return found


WRONG: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "masked": (lambda x: np.ma.array(x, mask=np.ones(x.shape)), " has masked values, which are no numbers: fill them"),
    "rows masked": (
        lambda x: [np.ma.array(x, mask=np.ones(x.shape))],
        " has masked values, which are no numbers: fill them",
    ),
    "complex": (lambda x: x + 0j, r".* \(complex128\), but must be (a real number|real numbers)"),
    "text": (lambda x: x.astype(str), r".* is '.*' \(str_\), but must be (a real number|real numbers)"),
    "bytes": (lambda x: x.astype("S"), r".* is b'.*' \(bytes_\), but must be (a real number|real numbers)"),
    "texts": (lambda x: with_first(x, "1").tolist(), r".* is '1' \(str_?\), but must be (a real number|real numbers)"),
    "dates": (lambda x: x.astype("M8[D]"), r".* \(datetime64\), but must be (a real number|real numbers)"),
    "spans": (lambda x: x.astype("m8[D]"), r".* \(timedelta64\), but must be (a real number|real numbers)"),
    "None": (lambda x: with_first(x, None), r".* is None \(NoneType\), but must be (a real number|real numbers)"),
    "a tensor with a gradient": (Grad, r" can't be read as numbers: RuntimeError: Can't call numpy\(\) on Tensor that"),
    "what can't be read": (Late, r" can't be read as numbers: OSError: \[Errno 5\] Input/output error"),
    "a dictionary": (lambda x: UserDict({0: 1.0, 1: 2.0}), r" is {.*} \(UserDict\), but must be real numbers"),
    "a generator": (lambda x: (item for item in x.reshape(-1)), " is a generator, which can be read only once"),
    "ragged": (lambda x: [1.0, [2.0]], r"\[1\] has 1 item, but .*\[0\] is 1\.0"),
    "ragged at its beginning": (lambda x: [[1.0], 2.0], r"\[1\] is 2\.0, but .*\[0\] has 1 number"),
    "NaN": (lambda x: with_first(x, math.nan), ".* is nan, but (must be finite|a label must be a whole number)"),
    "a large number": (lambda x: with_first(x, 10**400), ".* (too large for float|is inf, but|a label must)"),
    "one of too many digits": (
        lambda x: with_first(x, -(10**5000)),
        ".* is (-inf|a value of type int), ",
    ),
    "a large fraction": (
        lambda x: with_first(x, Fraction(10**400, 3)),
        ".* (too large for float|is inf, but|a label must)",
    ),
}


@pytest.fixture
def model() -> nm.Model:
    nm.seed(1)
    built = nm.build(nm.compile(TEXT, LANES, 0.1, optimizer="adam", bptt_steps=2))
    built.train(INPUTS, LABELS, 0)
    return built


def everything(model: nm.Model, stream: nm.Stream) -> dict[str, bytes]:
    """All that the numbers of a user may change."""
    found = {"losses": model.losses, **model.get_parameters(), **model.optimizer_state}
    found |= {f"state of {name}": array for name, array in model.state.items()}
    found |= {f"stream of {name}": array for name, array in stream.state.items()}
    return {name: array.tobytes() for name, array in found.items()}


@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_finite_real_number_is_refused(door: str, model: nm.Model) -> None:
    (enter, right, name), stream = DOORS[door], model.stream(LANES)
    before = everything(model, stream)
    for kind, (make, text) in WRONG.items():
        with pytest.raises(nm.DataError) as caught:
            enter(model, stream, make(right))
        said = str(caught.value)
        assert re.match(re.escape(name) + text, said), f"{kind}: {said}"
        assert len(said) < 300
        assert everything(model, stream) == before, kind
    enter(model, stream, right)


@pytest.mark.parametrize("like", LIKES)
def test_what_makes_an_array_is_taken(like: str, model: nm.Model) -> None:
    other = copy.deepcopy(model)
    streams = model.stream(LANES), other.stream(LANES)
    for door, (enter, right, _) in DOORS.items():
        if right.ndim:
            enter(model, streams[0], LIKES[like](right))
            enter(other, streams[1], right)
            assert everything(model, streams[0]) == everything(other, streams[1]), door


@pytest.mark.parametrize("door", ["parameters", "state of a model", "state of a stream", "state of an optimizer"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**400, f" is 1{'0' * 39}…, too large for float32"),
        ("0.5", " is '0.5' (str_), but must be real numbers"),
        (b"0.5", " is b'0.5' (bytes_), but must be real numbers"),
        (0.5 + 1j, " is (0.5+1j) (complex128), but must be real numbers"),
        (np.ma.masked, " has masked values, which are no numbers: fill them"),
        (np.datetime64("2020-01-01"), " is 2020-01-01 (datetime64), but must be real numbers"),
        (None, " is None (NoneType), but must be real numbers"),
        (math.inf, " is inf, but must be finite"),
        (3e39, " is 3e+39, too large for float32"),
    ],
)
def test_a_single_wrong_number_is_not_broadcast(door: str, value: Any, text: str, model: nm.Model) -> None:
    (enter, _, name), stream = DOORS[door], model.stream(LANES)
    before = everything(model, stream)
    with pytest.raises(nm.DataError, match=f"^{re.escape(name + text)}$"):
        enter(model, stream, value)
    assert everything(model, stream) == before
    enter(model, stream, np.float16(0.5))
    assert everything(model, stream) != before


class Torn(UserDict[Any, Any]):
    """A mapping that can't be read to its end."""

    def __iter__(self) -> Any:
        yield "recur"
        raise RuntimeError("no more")


class Fickle(UserDict[Any, Any]):
    """A mapping that has names for the first who asks only."""

    def __iter__(self) -> Any:
        names, self.data = list(self.data), {**self.data, "other": 1.0}
        return iter(names if "other" not in names else ["other"])


class Key:
    """A name whose text can't be read."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (Torn({"recur": 0.0}), "{} can't be read: RuntimeError: no more"),
        ({Key(): 0.0}, ".* a value of type Key"),
        ({"x" * 5000: 0.0}, ".* 'xxxxxxx[^ ]*…(; it keeps: recur)?$"),
        ({("a", "bias"): 0.0}, r".* \('a', 'bias'\)"),
        ({b"recur": 0.0}, ".* b'recur'"),
    ],
    ids=["torn", "mumbling", "long", "tuple", "bytes"],
)
def test_names_that_are_none(values: Any, text: str, model: nm.Model) -> None:
    stream = model.stream(LANES)
    before = everything(model, stream)
    with pytest.raises(nm.DataError, match=f"^{text.format('parameters')}"):
        model.set_parameters(values)
    with pytest.raises(nm.DataError, match=f"^{text.format('state')}"):
        model.state = values
    with pytest.raises(nm.DataError, match=f"^{text.format('state')}"):
        stream.state = values
    with pytest.raises(nm.DataError, match=f"^{text.format('optimizer_state')}"):
        model.optimizer_state = values
    assert everything(model, stream) == before


def test_a_mapping_is_read_once(model: nm.Model) -> None:
    model.state = Fickle({"recur": 0.25})
    assert (model.state["recur"] == 0.25).all()


def test_a_ragged_step_is_told(model: nm.Model) -> None:
    for stream in (model.stream(), model.stream(2)):
        for x in ([1.0, [2.0]], UserList([1.0, [2.0]])):
            with pytest.raises(nm.DataError, match=re.escape("x[1] has 1 item, but x[0] is 1.0")):
                stream(x)


HUGE = [10**400, 10**5000]


@pytest.mark.parametrize("value", HUGE, ids=["400", "5000"])
def test_a_number_beyond_all_types_is_refused_wherever_one_is_taken(value: int, model: nm.Model) -> None:
    """By DataError for data, by ValueError that names the argument for all else."""
    calls: dict[str, Callable[[], Any]] = {
        "validation": lambda: model.fit(INPUTS, LABELS, epochs=1, validation=value),
        "lane": lambda: model.stream().get_state(value),
        "batch_size": lambda: nm.batches(INPUTS[0], LABELS[0], value, classes=3),
        "classes": lambda: nm.batches(INPUTS[0], LABELS[0], 2, classes=value),
        "epochs": lambda: model.fit(INPUTS, LABELS, epochs=value),
        "lanes": lambda: model.stream(value),
        "threads": lambda: nm.compile(TEXT, LANES, 0.1, threads=value),
        "learning_rate": lambda: setattr(model, "learning_rate", value),
        "clip_norm": lambda: setattr(model, "clip_norm", value),
        "momentum": lambda: nm.SGD(momentum=value),
        "eps": lambda: nm.Adam(eps=value),
        "betas[1]": lambda: nm.Adam(betas=(0.5, value)),
        "min_delta": lambda: nm.EarlyStopping(min_delta=value),
        "patience": lambda: nm.EarlyStopping(patience=value),
        "initial": lambda: nm.Checkpoint("m", best_only=True, initial=value),
        "tolerance": lambda: model.gradcheck(tolerance=value),
        "step": lambda: model.gradcheck(step=value),
        "checks": lambda: model.gradcheck(checks=value),
    }
    before = everything(model, model.stream())
    for name, call in calls.items():
        error = nm.DataError if name in ("validation", "lane", "batch_size", "classes") else ValueError
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value).startswith(name), str(caught.value)
        assert len(str(caught.value)) < 200
    assert everything(model, model.stream()) == before


class Moody:
    """What was taken for a number, and is none."""

    def __float__(self) -> float:
        raise RuntimeError("not today")

    __index__ = __float__

    def __repr__(self) -> str:
        raise RuntimeError("nor any other day")


def test_what_an_object_raises_that_is_no_number_names_the_argument(model: nm.Model) -> None:
    with pytest.raises(TypeError, match=r"^verbosity must be a whole number, not <.*Silent object"):
        model.train(INPUTS, VECTORS, Silent(WEIGHTS))
    calls: dict[str, Callable[[], Any]] = {
        "verbosity": lambda: model.train(INPUTS, VECTORS, Moody()),
        "learning_rate": lambda: nm.compile(TEXT, LANES, Moody()),
        "batch_size": lambda: nm.compile(TEXT, Moody(), 0.1),
        "threads": lambda: nm.compile(TEXT, LANES, 0.1, threads=Moody()),
        "alpha": lambda: nm.RMSProp(alpha=Moody()),
        "betas": lambda: nm.Adam(betas=Moody()),
        "nesterov": lambda: nm.SGD(momentum=0.5, nesterov=Moody()),
        "dtype": lambda: nm.compile(TEXT, LANES, 0.1, dtype=Moody()),
        "optimizer": lambda: nm.compile(TEXT, LANES, 0.1, optimizer=Moody()),
        "seed": lambda: nm.seed(Moody()),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=f"^{name} must be .* a value of type Moody$"):
            call()
