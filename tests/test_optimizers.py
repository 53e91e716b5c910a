"""Optimizers: what torch.optim does, padding that stays zero, checked numbers, and memory that is kept."""

from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers import witnesses
from helpers.division import divide_everything
from helpers.paths import RECORDED
from neuromorph.functions import VOCABULARY
from neuromorph.jit import bundles, cache
from neuromorph.optimizers import UPDATES, Update, optimizer_of
from recorded import optimizers as recorded

TORCH = json.loads((RECORDED / "optimizers.json").read_text())
NETWORK = "/xavier,zero/ (input, 3) (hidden, 4, <tanh>) (output, 2, <linear>, <mse>)"
OURS = {"SGD": nm.SGD, "RMSprop": nm.RMSProp, "Adam": nm.Adam, "AdamW": nm.AdamW}
UNCLIPPED = [name for name, case in recorded.CASES.items() if "clip" not in case]
EVERY = [
    nm.SGD(),
    nm.SGD(weight_decay=0.1),
    nm.SGD(momentum=0.9),
    nm.SGD(momentum=0.9, nesterov=True),
    nm.RMSProp(),
    nm.RMSProp(momentum=0.5),
    nm.Adam(),
    nm.AdamW(),
]


def chosen(name: str) -> nm.Optimizer:
    """Our optimizer of a recorded case."""
    case = recorded.CASES[name]
    return OURS[case["optimizer"]](**{key: value for key, value in case.items() if key not in ("optimizer", "clip")})


def made(optimizer: Any, **options: Any) -> nm.Model:
    """A built network with the parameters that the recorded one starts from."""
    model = nm.compile(NETWORK, recorded.LANES, recorded.RATE, optimizer=optimizer, **options)
    model.prepare()
    model.set_parameters(recorded.parameters())
    return model


def batches() -> tuple[np.ndarray, np.ndarray]:
    """The recorded network's data, (50, 3, 3) and (50, 3, 2)."""
    inputs, expected = zip(*(recorded.batch(step) for step in range(recorded.STEPS)), strict=True)
    return np.array(inputs), np.array(expected)


# Gradients that are too large ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy: overflow is what this is about
@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("optimizer", "clip"), [(optimizer, None) for optimizer in EVERY[2:]] + [(nm.SGD(), 1.0)], ids=lambda one: str(one)
)
def test_no_step_is_made_where_the_gradients_squares_overflow(optimizer: nm.Optimizer, clip: float | None) -> None:
    model = nm.compile("/xavier,zero/ (input, 2) (output, 1, <linear>, <mae>)", 1, 0.1, optimizer=optimizer)
    model.build()
    model.clip_norm = clip
    nm.train(model, [[[1.0, 2.0]]], [[[0.0]]], 0)

    def everything() -> dict[str, np.ndarray]:
        return {**model.get_parameters(), **model.optimizer_state}

    before = everything()
    with pytest.raises(nm.TrainingDivergedError, match="sample 1 is not a finite number, or its square is not"):
        nm.train(model, [[[0.0, 0.0]], [[1e21, 0.0]]], np.zeros((2, 1, 1)), 0)
    assert all(np.isfinite(array).all() for array in everything().values())
    model = copy.deepcopy(model)  # what is remembered can be kept
    assert everything().keys() == before.keys()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.usefixtures("interpreted")
def test_plain_descent_needs_no_squares() -> None:
    model = nm.compile("/xavier,zero/ (input, 2) (output, 1, <linear>, <mae>)", 1, 1e-21)
    model.build()
    before = np.concatenate([array.ravel() for array in model.get_parameters().values()])
    nm.train(model, [[[1e21, 0.0]]], [[[-1e22]]], 0)
    after = np.concatenate([array.ravel() for array in model.get_parameters().values()])
    assert sorted(np.round(before - after, 5)) == [0.0, 0.0, 1.0]


# As torch.optim does --------------------------------------------------------------------------------------------------


def test_every_kind_is_recorded() -> None:
    assert {chosen(name).kind for name in UNCLIPPED} == set(UPDATES) == {one.kind for one in EVERY}
    assert TORCH["made with"].startswith("torch 2.")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiles", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("name", UNCLIPPED)
def test_updates_of_a_vector_agree_with_torch(name: str, compiles: bool, dtype: str) -> None:
    optimizer = chosen(name)
    kernel = witnesses.kernel_of(NETWORK, dtype=dtype, optimizer=optimizer.kind)
    update = update_of(kernel) if compiles else witnesses.plain(kernel).update
    weights, memory, _ = updated(kernel, update, optimizer)
    tolerance = 1e-12 if dtype == "float64" else max(1e-6, 3.0 * TORCH[name]["single"])  # torch's float32 strays, too
    np.testing.assert_allclose(weights[: recorded.LENGTH], TORCH[name]["vector"], rtol=0, atol=tolerance)
    size = kernel.plan.layout.size
    padding = [weights[recorded.LENGTH : size], *memory[: -witnesses.GUARD].reshape(-1, size)[:, recorded.LENGTH :]]
    assert not np.any(padding), "what starts as zero and has no gradient stays zero"
    assert (weights[size:] == 7.0).all(), "the update wrote behind the weights"
    assert (memory[-witnesses.GUARD :] == 7.0).all(), "the update wrote behind the memory"


def update_of(kernel: Any) -> Any:
    """The kernel's ``update`` compiled, alone, and callable from Python, as in a kernel it is not."""
    key, functions = cache.key_of(kernel.source, "update"), {"update": kernel.functions["update"]}
    return bundles.ready(kernel.source, key, functions, kernel.options.dtype).update


def updated(kernel: Any, update: Any, optimizer: nm.Optimizer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, memory and numbers after the recorded steps; 7 stands in the guards behind the arrays."""
    dtype, size, record = kernel.options.dtype, kernel.plan.layout.size, UPDATES[optimizer.kind]
    weights = np.zeros(size + witnesses.GUARD, dtype)
    memory = np.zeros(len(record.slots) * size + witnesses.GUARD, dtype)
    weights[size:] = memory[len(record.slots) * size :] = 7.0
    weights[: recorded.LENGTH] = recorded.start(recorded.LENGTH)
    numbers = np.array([*optimizer.constants, *(0.0 for _ in record.counts)])
    for step in range(recorded.STEPS):
        gradients = np.zeros(size, dtype)
        gradients[: recorded.LENGTH] = recorded.gradient(step)
        update(weights, gradients, memory, numbers, recorded.RATE, 1.0)
    return weights, memory, numbers


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("name", recorded.CASES)
def test_a_network_in_plain_python_agrees_with_torch(name: str) -> None:
    check_network(name)


@pytest.mark.parametrize("name", [name for name in recorded.CASES if chosen(name).kind == "adam"])
def test_a_compiled_network_agrees_with_torch(name: str) -> None:
    check_network(name)


def check_network(name: str) -> None:
    """Losses and parameters of the recorded network. torch adds 1e-6 to the norm that it clips, and we don't."""
    wanted, clip = dict(TORCH[name]["network"]), recorded.CASES[name].get("clip")
    tolerance = 1e-12 if clip is None else 1e-6
    model = made(chosen(name), dtype="float64", clip_norm=clip)
    model.train(*batches(), 0)
    np.testing.assert_allclose(model.losses, wanted.pop("losses"), rtol=0, atol=3 * tolerance)
    found = model.get_parameters()
    assert found.keys() == wanted.keys()
    for parameter, value in wanted.items():
        np.testing.assert_allclose(found[parameter], value, rtol=0, atol=tolerance, err_msg=parameter)


def test_clipping_matters_in_what_is_recorded() -> None:
    plain, clipped = TORCH["adam"]["network"], TORCH["adam clipped"]["network"]
    assert np.abs(np.subtract(plain["losses"], clipped["losses"])).max() > 1e-2


# Threads, windows, padding --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("optimizer", EVERY, ids=lambda one: one.kind)
def test_threads_update_as_one_does(optimizer: nm.Optimizer, monkeypatch: pytest.MonkeyPatch) -> None:
    one = after_training(padded(optimizer))
    divide_everything(monkeypatch, 2)
    model = padded(optimizer)
    assert "2 threads" in model.kernel_source()
    two = after_training(model)
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-10, atol=1e-13, err_msg=name)


def padded(optimizer: nm.Optimizer) -> nm.Model:
    """A built model of odd widths."""
    nm.seed(0)
    text = "/xavier,const_flat 0.1/ (input, 3) (hidden, 5, <tanh>) (output, 3, <linear>, <mse>)"
    return nm.build(nm.compile(text, 3, 0.02, optimizer=optimizer, dtype="float64"))


def after_training(model: nm.Model) -> dict[str, np.ndarray]:
    """Parameters, what the optimizer remembers and losses after a few windows; checks the padding of both."""
    inputs, _ = batches()
    model.train(inputs[:6], np.cos(inputs[:6]), 0)
    memory, size = model.memory(), model.kernels.kernel.plan.layout.size
    inside = np.zeros(size, bool)
    for place in model._places().values():
        inside[place] = True
    assert not inside.all()
    assert not memory.weights[~inside].any(), "the padding of the parameters is no longer zero"
    slots = memory.optimizer[: len(UPDATES[model.optimizer.kind].slots) * size].reshape(-1, size)
    assert not slots[:, ~inside].any(), "the padding of what the optimizer remembers is no longer zero"
    return model.get_parameters() | model.optimizer_state | {"losses": model.losses}


@pytest.mark.usefixtures("interpreted")
def test_a_window_of_weight_zero_is_no_step() -> None:
    model, (inputs, expected) = made("adam"), batches()
    model.train(inputs[:5], expected[:5], 0)
    before, parameters = model.optimizer_state, model.get_parameters()
    model.train(inputs[:2], expected[:2], 0, sample_weight=np.zeros((2, recorded.LANES)))
    same(model.optimizer_state, before)
    same(model.get_parameters(), parameters)


@pytest.mark.usefixtures("interpreted")
def test_the_correction_counts_updates() -> None:
    model = made(nm.Adam(betas=(0.9, 0.99)))
    inputs, expected = batches()
    model.train(inputs[:7], expected[:7], 0)
    state = model.optimizer_state
    assert state["correction1"] == pytest.approx(1 - 0.9**7, rel=1e-12)
    assert state["correction2"] == pytest.approx(1 - 0.99**7, rel=1e-12)


# Memory that is kept --------------------------------------------------------------------------------------------------


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Two dicts of arrays, bit for bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("optimizer", EVERY, ids=lambda one: one.kind)
@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_trains_on_as_if_there_were_no_break(optimizer: nm.Optimizer, twin: Any) -> None:
    inputs, expected = batches()
    model = made(optimizer)
    model.train(inputs[:4], expected[:4], 0)
    other = twin(model)
    assert other.optimizer == optimizer
    same(other.optimizer_state, model.optimizer_state)
    for one in (model, other):
        one.train(inputs[4:8], expected[4:8], 0)
    same(other.get_parameters(), model.get_parameters())
    same(other.optimizer_state, model.optimizer_state)


@pytest.mark.usefixtures("interpreted")
def test_what_is_remembered_has_names_and_the_parameters_shapes() -> None:
    model = made("adam")
    state, parameters = model.optimizer_state, model.get_parameters()
    assert list(state)[:4] == [f"mean.{name}" for name in parameters]
    assert list(state)[4:8] == [f"square.{name}" for name in parameters]
    assert list(state)[8:] == ["correction1", "correction2"]
    assert all(state[f"mean.{name}"].shape == value.shape for name, value in parameters.items())
    assert not any(value.any() for value in state.values())
    model.optimizer_state = {"mean.output.bias": [1.0, 2.0], "correction1": 0.5}
    changed = model.optimizer_state
    np.testing.assert_array_equal(changed.pop("mean.output.bias"), [1.0, 2.0])
    assert changed.pop("correction1") == 0.5
    assert not any(value.any() for value in changed.values())
    assert made("sgd").optimizer_state == {}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"mean.a.weight": 0.0}, "the optimizer remembers nothing named 'mean.a.weight'"),
        ({"velocity.output.bias": 0.0}, "the optimizer remembers nothing named 'velocity.output.bias'"),
        ({"mean": 0.0}, "the optimizer remembers nothing named 'mean'"),
        ({3: 0.0}, "the optimizer remembers nothing named 3"),
        ({"mean.output.bias": [1.0, 2.0, 3.0]}, "mean.output.bias has shape (3,), and the model needs (2,)"),
        ({"correction1": [1.0, 2.0]}, "correction1 has shape (2,), and the model needs ()"),
        ({"correction1": 0.5, "mean.output.bias": np.nan}, "mean.output.bias is nan, but must be finite"),
    ],
)
def test_a_wrong_state_is_refused_as_a_whole(state: dict[Any, Any], message: str) -> None:
    model = made("adam")
    with pytest.raises(nm.DataError, match=re.escape(message)):
        model.optimizer_state = state
    assert not any(value.any() for value in model.optimizer_state.values())


@pytest.mark.usefixtures("interpreted")
def test_building_again_forgets() -> None:
    model, (inputs, expected) = made("adam"), batches()
    model.train(inputs, expected, 0)
    nm.build(model)
    assert not any(value.any() for value in model.optimizer_state.values())


# The objects ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
def test_the_model_shows_its_optimizer_and_takes_new_numbers() -> None:
    model = made(nm.Adam(eps=1e-3))
    assert model.optimizer == nm.Adam(eps=1e-3)
    model.optimizer = nm.Adam(eps=1e-2, weight_decay=0.1)
    other = made(nm.Adam(eps=1e-2, weight_decay=0.1))
    for one in (model, other):
        one.train(*batches(), 0)
    same(model.get_parameters(), other.get_parameters())
    message = "compiled for the update 'adam', and optimizer needs 'adamw'"
    with pytest.raises(ValueError, match=message):
        model.optimizer = nm.AdamW()
    assert model.optimizer == nm.Adam(eps=1e-2, weight_decay=0.1)


def test_names_mean_defaults() -> None:
    names = {"sgd": nm.SGD(), "rmsprop": nm.RMSProp(), "adam": nm.Adam(), "adamw": nm.AdamW()}
    assert {name: optimizer_of(name) for name in names} == names
    assert nm.Adam().betas == nm.AdamW().betas == (0.9, 0.999)
    assert (nm.Adam().weight_decay, nm.AdamW().weight_decay) == (0.0, 0.01)
    assert (nm.RMSProp().alpha, nm.RMSProp().eps) == (0.99, 1e-8)
    assert nm.SGD(momentum=1e-3).constants == (1e-3, 0.0)
    assert nm.AdamW(betas=[0.5, 0.6]) == nm.AdamW(betas=(np.float32(0.5), 0.6))


def test_numbers_are_no_part_of_the_source() -> None:
    one, other = (nm.compile(NETWORK, 3, 0.1, optimizer=nm.Adam(eps=eps)) for eps in (1e-8, 1e-3))
    assert nm.kernel_source(one) == nm.kernel_source(other)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nm.SGD(momentum=1.0), ValueError, "momentum must be less than 1, not 1.0"),
        (lambda: nm.SGD(momentum=-0.1), ValueError, "momentum must be a finite number of at least 0, not -0.1"),
        (lambda: nm.SGD(momentum="0.9"), TypeError, "momentum must be a number, not '0.9'"),
        (lambda: nm.SGD(nesterov=True), ValueError, "nesterov needs a momentum greater than 0"),
        (lambda: nm.SGD(momentum=0.9, nesterov=1), TypeError, "nesterov must be True or False, not 1"),
        (lambda: nm.SGD(weight_decay=np.nan), ValueError, "weight_decay must be a finite number"),
        (lambda: nm.RMSProp(alpha=1), ValueError, "alpha must be less than 1, not 1"),
        (lambda: nm.RMSProp(eps=0.0), ValueError, "eps must be at least 1e-30, not 0.0"),
        (lambda: nm.Adam(betas=0.9), TypeError, "betas must be two numbers, not 0.9"),
        (lambda: nm.Adam(betas=(0.9,)), TypeError, "betas must be two numbers, not (0.9,)"),
        (lambda: nm.Adam(betas=(0.9, 1.0)), ValueError, "betas[1] must be less than 1, not 1.0"),
        (lambda: nm.AdamW(weight_decay=-1), ValueError, "weight_decay must be a finite number of at least 0, not -1"),
        (lambda: optimizer_of("adm"), ValueError, "one of adam, adamw, rmsprop, sgd, not 'adm'; did you mean 'adam'?"),
        (lambda: optimizer_of(nm.Adam), TypeError, "optimizer must be an object: write Adam(), not Adam"),
        (nm.Optimizer, TypeError, "Optimizer has no update; use nm.SGD(...), nm.RMSProp(...), nm.Adam(...), "),
        (lambda: optimizer_of(3), TypeError, "nm.SGD(...), nm.RMSProp(...), nm.Adam(...), nm.AdamW(...), not 3"),
        (lambda: nm.compile(NETWORK, 3, 0.1, optimizer=None), TypeError, "optimizer must be one of"),
    ],
)  # fmt: skip
def test_wrong_numbers_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


MOST = float(np.finfo(np.float32).max)
TOO_LARGE = [  # for float32: rate, optimizer, what is wrong
    (1e39, nm.SGD(), "learning_rate must be at most 3.402823e+38, the largest number of float32, not 1e+39"),
    (0.1, nm.SGD(weight_decay=1e39), "weight_decay must be at most 3.402823e+38, the largest number of float32"),
    (0.1, nm.SGD(momentum=0.9, weight_decay=1e39), "weight_decay must be at most 3.402823e+38"),
    (0.1, nm.RMSProp(eps=1e40), "eps must be at most 3.402823e+38, the largest number of float32, not 1e+40"),
    (1e38, nm.Adam(), "learning_rate / (1 - betas[0]) must be at most 3.402823e+38"),
    (1e20, nm.AdamW(weight_decay=1e20), "learning_rate * weight_decay must be at most 3.402823e+38"),
]


@pytest.mark.parametrize(("rate", "optimizer", "message"), TOO_LARGE, ids=lambda one: str(one)[:40])
def test_numbers_that_the_models_type_cannot_hold_are_refused_where_they_are_set(
    rate: float, optimizer: nm.Optimizer, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        nm.compile(NETWORK, 3, rate, optimizer=optimizer)
    model = nm.compile(NETWORK, 3, rate, optimizer=optimizer, dtype="float64")  # which can hold them
    model.learning_rate, model.optimizer = rate, optimizer
    tame = type(optimizer)(momentum=0.9) if "momentum" in optimizer.kind else type(optimizer)()
    if optimizer.kind == tame.kind:
        model = nm.compile(NETWORK, 3, 1e-3, optimizer=tame)
        model.learning_rate = min(rate, 1e37)
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            model.learning_rate, model.optimizer = rate, optimizer
        assert model.optimizer == tame


def test_a_rate_may_be_as_large_as_the_models_type_can_hold() -> None:
    assert nm.compile(NETWORK, 3, MOST).learning_rate == MOST
    with pytest.raises(ValueError, match="the largest number of float32"):
        nm.compile(NETWORK, 3, np.nextafter(MOST, np.inf))
    with pytest.raises(ValueError, match=r"learning_rate / .* the largest number of float64, not inf"):
        nm.compile(NETWORK, 3, 1e308, optimizer="adam", dtype="float64")


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("optimizer", EVERY, ids=lambda one: one.kind)
def test_numbers_too_small_for_the_models_type_count_as_zero(optimizer: nm.Optimizer) -> None:
    """As what they are multiplied with would: nothing moves, and what can't be held is no trouble."""
    model = made(optimizer)
    before = model.get_parameters()
    for clip in (None, 1e-300):
        model.learning_rate, model.clip_norm = 1e-300, clip
        model.train(*batches(), 0)
        same(model.get_parameters(), before)


@pytest.mark.usefixtures("interpreted")
def test_a_norm_beyond_all_numbers_clips_nothing() -> None:
    plain, clipped = made(nm.Adam()), made(nm.Adam(), clip_norm=1e300)
    for model in (plain, clipped):
        model.train(*batches(), 0)
    same(plain.get_parameters(), clipped.get_parameters())


@pytest.mark.parametrize("record", UPDATES.values(), ids=lambda record: record.name)
def test_records_keep_to_their_words(record: Update) -> None:
    words = {"p", "g", "rate", *record.slots, *record.constants, *(name for name, _ in record.counts)}
    for name, text in (*record.counts, *record.scalars):
        words.add(name)
        assert used(text) <= words, text
    for target, text in record.statements:
        assert target in {"p", "g", *record.slots}
        assert used(text) <= words | VOCABULARY, text


def used(text: str) -> set[str]:
    """The names in an expression."""
    return set(re.findall(r"[A-Za-z_]\w*", text))
