"""Kernels are exact: plain Python source, compiled kernel and reference agree on what a model means.

The plain source goes through everything at tiny sizes; compiled kernels, which cost seconds each, through pairs.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numba
import numpy as np
import pytest

import neuromorph as nm
from helpers import witnesses
from helpers.compiled_models import COMPILED
from helpers.function_forms import LOSS_FORMS, PARAMETERS
from helpers.paths import MODELS
from helpers.texts import FORWARD, GRU, HEADER, LSTM, STRUCTURES, TAIL, text_of
from helpers.witnesses import check_compiled, check_plain
from neuromorph.functions import ACTIVATIONS, LOSSES, MERGES
from neuromorph.jit import cache
from neuromorph.jit.modules import load_module

# Functions ------------------------------------------------------------------------------------------------------------

SPANS = {"hinge": (-1.5, 1.5), "huber_modified": (-2.5, 2.5), "mape": (-0.9, -0.2), "mse": (-2.0, 2.0)}


def span_of(loss: str) -> tuple[float, float]:
    """What is expected of a model with a loss, so that all its pieces are met."""
    return SPANS.get(loss.strip("<>").split(",")[0], (0.1, 0.9))


def forms_of(activation: str) -> list[str]:
    """An activation with its default parameter, and with a given one where it takes one."""
    assert (activation in PARAMETERS) == (ACTIVATIONS[activation].parameter is not None)
    return [f"<{activation}{number}>" for number in {"": 0, PARAMETERS.get(activation, ""): 0}]


@pytest.mark.parametrize("function", [form for name in sorted(ACTIVATIONS) for form in forms_of(name)])
def test_every_activation_with_every_loss(function: str) -> None:
    header = HEADER.replace("0.6", "0.2") if "exp" in function else HEADER  # three in a row overflow
    for number, loss in enumerate(LOSS_FORMS):
        text = f"{header} (input, 3)(hidden, 5, {function})(again, {function})(output, 3, {function}, {loss})"
        kernel = {"lanes": (2, 4, 8)[number % 3]}
        check_plain(text, kernel=kernel, samples=4, window=3, weighted=number % 2 == 1, span=span_of(loss))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("lanes", [2, 8])
@pytest.mark.parametrize("width", [1, 5])
def test_losses_that_are_computed_from_the_pre_activation(activation: str, lanes: int, width: int) -> None:
    for loss in ("cross_entropy", "binary_cross_entropy"):
        text = f"/normal 0 30,zero/ (input, 3)(output, {width}, <{activation}>, <{loss}>)"
        check_plain(text, kernel={"lanes": lanes}, samples=3, window=2)


# In float32 the largest number below 1 - 1e-7 that the clip can leave is 1 - 1.19e-7: log(1 - r) is 1 % off there.
BEYOND = [(loss, dtype) for loss in sorted(LOSSES) for dtype in sorted(witnesses.TOLERANCE)]


@pytest.mark.parametrize(("loss", "dtype"), BEYOND)
def test_losses_far_beyond_their_clip(loss: str, dtype: str) -> None:
    """A linear output that is below 0 and above 1 most of the time."""
    text = f"/normal 0 5,zero/ (input, 4)(output, 3, <linear>, <{loss}>)"
    check_plain(text, dtype=dtype, batch=8, samples=3, window=2)


# Merges ---------------------------------------------------------------------------------------------------------------

MERGE_PLACES = {
    "earlier": "[s, (o, {o}, <tanh>)] (a, {w}, <sigmoid>) {{m, o, {op}}}",
    "later": "[s, {{x, o, additive}} (r, {w}, <tanh>) {{m, o, {op}}}] [t, (o, {o}, <sigmoid>)] {{y, m, additive}}",
    "delayed": "(a, {w}, <sigmoid>) {{m, o, {op}}} (z, 5, <tanh>) [s, (o, {o}, <tanh>)]",
    "loop": "(a, {w}, <sigmoid>) {{m, o, {op}}} (o, {o}, <tanh>)",
}
READERS = {"layer": "(r1, 4, <linear>)", "activation": "(r1, <softmax>)", "merge": "{r1, a, subtractive}", "output": ""}


@pytest.mark.parametrize(
    ("operation", "place"),
    [  # the state that a link in time begins with is 0: no divisor
        (operation, place)
        for operation, place in itertools.product(sorted(MERGES), sorted(MERGE_PLACES))
        if operation != "divisive" or place in ("earlier", "later")
    ],
)
def test_every_merge_of_every_width_in_every_place(operation: str, place: str) -> None:
    readers = ["layer", "activation", "output"] if place == "later" else list(READERS)
    widths = {
        "any": [(4, 4), (5, 2), (2, 7), (9, 8)], "same": [(4, 4), (5, 5), (1, 1), (9, 9)],
        "one": [(4, 1), (5, 1), (1, 1), (9, 1)],
    }[MERGES[operation].other_width]  # fmt: skip
    for number, (reader, (w, o)) in enumerate(itertools.product(readers, widths)):
        body = MERGE_PLACES[place].format(w=w, o=o, op=operation) + READERS[reader]
        (merge,) = (node for node in witnesses.graph_of(text_of(body)).nodes if node.name == "m")
        assert merge.delayed == (place in ("delayed", "loop"))
        kernel = {"lanes": (2, 4, 8)[number % 3]}
        check_plain(text_of(body), kernel=kernel, samples=4, window=3, weighted=number % 5 == 0)


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_every_structure(name: str) -> None:
    text = text_of(STRUCTURES[name])
    for number, (dtype, lanes) in enumerate(itertools.product(["float64", "float32"], [2, 4, 8])):
        data = {"samples": 5, "window": (2, 5, 1)[number % 3], "weighted": number % 2 == 1}
        check_plain(text, dtype=dtype, kernel={"lanes": lanes * (2 if dtype == "float32" else 1)}, **data)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.mdl")), ids=lambda path: path.stem)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_models_of_the_examples(path: Any, dtype: str) -> None:
    check_plain(path.read_text(), dtype=dtype, batch=5, samples=11, window=4, weighted=True)


def test_names_of_the_users_are_not_names_of_the_kernel() -> None:
    """Buffers are v2, d3, their steps v2t: nodes may be called so, and as the functions and arguments are."""
    names = [
        "yt",
        "v2t",
        "d3t",
        "c1",
        "v1",
        "s0t",
        "g0",
        "xt",
        "row_losses",
        "capacity",
        "load",
        "x",
        "y",
        "__import__",
    ]
    body = "{m, h, additive}" + "".join(f"({name}, 3, <tanh>)" for name in names) + "(h, 4, <tanh>)"
    check_plain(text_of(body))


# Windows, batches, threads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 8, 17])
@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("text", [LSTM, FORWARD], ids=["loop", "forward"])
def test_windows_and_batches(text: str, window: int, batch: int) -> None:
    """Seven samples: windows of 2 and of 5 end with a shorter one."""
    check_plain(text, batch=batch, window=window, weighted=batch > 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("text", [LSTM, GRU], ids=["lstm", "gru"])
def test_cells_of_recurrent_networks(text: str, dtype: str) -> None:
    for lanes in (2, 4, 16):
        check_plain(text, dtype=dtype, kernel={"lanes": lanes}, samples=12, window=5)


@pytest.mark.parametrize(
    ("text", "threads", "chunk", "batch"),
    [(LSTM, 2, 0, 4), (LSTM, 3, 0, 5), (LSTM, 3, 0, 2), (FORWARD, 2, 0, 3), (FORWARD, 1, 4, 3), (FORWARD, 2, 3, 3)],
)
def test_threads_and_chunks(text: str, threads: int, chunk: int, batch: int) -> None:
    """Rows that threads can and can't share alike, more threads than rows, and chunks with a shorter last one."""
    kernel = {"threads": threads, "chunk": chunk}
    for weighted in (False, True):
        check_plain(text, batch=batch, kernel=kernel, samples=5, window=3, weighted=weighted)


@pytest.mark.parametrize("text", [LSTM, text_of("(a, 4, <tanh>) {m, a, concatenate} (b, <softmax>)")])
def test_predictions_do_not_depend_on_chunks_or_lanes(text: str) -> None:
    trial = witnesses.trial_of(text, batch=3, samples=7)
    made = witnesses.kernel_of(text, batch=8)
    python, wanted = witnesses.plain(made), witnesses.reference_outcome(trial).predictions
    for capacity in (1, 3, 7, 20):
        found = witnesses.call_predict(made, python, trial, capacity)
        assert witnesses.relative_error(found, wanted) < 1e-12
    for lane in range(3):
        alone = dataclasses.replace(trial, inputs=trial.inputs[:, lane : lane + 1])
        assert witnesses.relative_error(witnesses.call_predict(made, python, alone), wanted[:, lane : lane + 1]) < 1e-12


# What a window does to the parameters -------------------------------------------------------------------------------


def trained_until(text: str, change: Any, **arguments: Any) -> tuple[int, witnesses.Memory, witnesses.Memory]:
    """(where training stopped, its memory, memory as it was before) with the trial changed by ``change``."""
    trial = witnesses.trial_of(text, batch=2, samples=6)
    change(trial)
    made = witnesses.kernel_of(text, batch=2)
    memory, before = (witnesses.Memory.of(made, trial.parameters, 2) for _ in range(2))
    reached = witnesses.call_windows(made, witnesses.plain(made), trial, memory, 2, 2, np.zeros(6), **arguments)
    return reached, memory, before


def test_a_loss_that_is_not_finite_ends_training_before_its_window_changes_anything() -> None:
    def break_sample_three(trial: witnesses.Trial) -> None:
        trial.expected[3, 1, 0] = np.nan

    reached, memory, before = trained_until(FORWARD, break_sample_three)
    assert reached == 2
    assert np.isfinite(memory.weights).all()
    assert (memory.weights != before.weights).any()  # the window of samples 0 and 1 was learned
    reached, memory, before = trained_until(FORWARD, lambda trial: trial.expected.fill(np.inf))
    assert reached == 0
    np.testing.assert_array_equal(memory.weights, before.weights)


def test_a_gradient_that_is_not_finite_at_this_rate_changes_nothing() -> None:
    reached, memory, before = trained_until(FORWARD, lambda trial: None, rate=1e308 * 10)
    assert reached == 0
    np.testing.assert_array_equal(memory.weights, before.weights)


def test_a_window_of_zero_weights_makes_no_update_and_state_flows_through_it() -> None:
    trial = witnesses.trial_of(LSTM, batch=2, samples=6, window=2, weighted=True)
    assert trial.weights is not None
    trial.weights[2:4] = 0.0
    trial.expected[2:4] = np.nan
    made = witnesses.kernel_of(LSTM, batch=2)
    found = witnesses.kernel_outcome(made, witnesses.plain(made), trial)
    witnesses.assert_agree(found, witnesses.reference_outcome(trial), 1e-10)
    np.testing.assert_array_equal(found.trained_losses[2:4], 0.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_clipping_scales_all_gradients_by_their_common_norm(threads: int) -> None:
    trial = witnesses.trial_of(FORWARD, batch=2, samples=2, window=2)
    made = witnesses.kernel_of(FORWARD, batch=2, threads=threads)
    wanted = witnesses.reference_outcome(trial)
    norm = float(np.sqrt(sum((g**2).sum() for g in wanted.gradients.values())))
    for clip, shrink in ((norm / 3, 1 / 3), (norm * 1.01, 1.0), (0.0, 1.0)):
        memory = witnesses.Memory.of(made, trial.parameters, 2)
        assert witnesses.call_windows(made, witnesses.plain(made), trial, memory, 2, 2, np.zeros(2), clip=clip) == 2
        for name, value in memory.unpack(memory.weights).items():
            expected = trial.parameters[name] - witnesses.RATE * shrink * wanted.gradients[name]
            np.testing.assert_allclose(value, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("mode", [0, 1])
def test_measuring_changes_no_parameter_and_gradients_change_none(mode: int) -> None:
    trial = witnesses.trial_of(LSTM)
    made = witnesses.kernel_of(LSTM)
    memory, before = (witnesses.Memory.of(made, trial.parameters, 2) for _ in range(2))
    witnesses.call_train(made, witnesses.plain(made), trial, memory, 2, mode)
    np.testing.assert_array_equal(memory.weights, before.weights)
    assert np.isnan(memory.gradients[: -witnesses.GUARD]).all() == (mode == 0)


def test_training_in_two_calls_is_training_in_one() -> None:
    trial = witnesses.trial_of(LSTM, samples=9, window=2)
    made = witnesses.kernel_of(LSTM)
    python = witnesses.plain(made)
    whole, halves = (witnesses.Memory.of(made, trial.parameters, 2) for _ in range(2))
    losses, parts = np.zeros(9), np.zeros(9)
    assert witnesses.call_windows(made, python, trial, whole, 2, 2, losses) == 9
    assert witnesses.call_windows(made, python, trial, halves, 2, 2, parts, stop=4) == 4
    assert witnesses.call_windows(made, python, trial, halves, 2, 2, parts, sample=4) == 9
    np.testing.assert_array_equal(losses, parts)
    np.testing.assert_array_equal(whole.weights, halves.weights)


# Compiled -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(COMPILED))
def test_compiled_kernels(name: str) -> None:
    text, dtype, lanes, registers, batch = COMPILED[name]
    kernel = {"lanes": lanes, "registers": registers}
    check_compiled(text, dtype=dtype, batch=batch, kernel=kernel, samples=7, window=5)


PAIRS = list(zip(LOSS_FORMS, itertools.cycle(["tanh", "relu", "linear", "sigmoid"]), strict=False))


@pytest.mark.parametrize(("loss", "activation"), PAIRS)
def test_compiled_losses(loss: str, activation: str) -> None:
    number = LOSS_FORMS.index(loss)
    text = f"{HEADER} (input, 3)(output, {(3, 9)[number % 2]}, <{activation}>, {loss})"
    dtype = ("float64", "float32")[number // 2 % 2]
    kernel = {"lanes": (2, 4, 8)[number % 3]}
    made = witnesses.kernel_of(text, dtype=dtype, **kernel)
    trial = witnesses.trial_of(text, samples=5, window=2, weighted=number % 2 == 0, span=span_of(loss))
    found = witnesses.kernel_outcome(made, witnesses.half_compiled(made), trial)
    witnesses.assert_agree(found, witnesses.reference_outcome(trial), witnesses.TOLERANCE[dtype], text)


def test_compiled_wide_layers() -> None:
    """Inner dimensions above a block, of weight gradients too, panels of two vectors with a narrower last one, rows of
    a kibibyte."""
    text = f"/lecun,zero/ (input, 530)(a, 256, <tanh>)[s, (b, 20, <relu>)](c, 36, <gelu>){{m, b, additive}}{TAIL}"
    made = witnesses.kernel_of(text, batch=70, dtype="float32", lanes=8, registers=16)
    assert made.plan.training.strides["s0"] % 128 != 0
    trial = witnesses.trial_of(text, batch=70, samples=3, window=2)
    found = witnesses.kernel_outcome(made, witnesses.half_compiled(made), trial)
    witnesses.assert_agree(found, witnesses.reference_outcome(trial), 1e-4, text)


@pytest.mark.parametrize(("text", "threads", "chunk"), [(LSTM, 2, 0), (FORWARD, 3, 3)], ids=["shared", "chunks"])
def test_compiled_threads_give_the_same_bits_every_time(text: str, threads: int, chunk: int) -> None:
    made = witnesses.kernel_of(text, batch=5, dtype="float32", threads=threads, chunk=chunk)
    machine = witnesses.half_compiled(made)
    trial = witnesses.trial_of(text, batch=5, samples=23, window=4, weighted=True)
    witnesses.assert_agree(
        witnesses.kernel_outcome(made, machine, trial), witnesses.reference_outcome(trial), 1e-4, text
    )
    results = []
    for _ in range(100):
        memory = witnesses.Memory.of(made, trial.parameters, 4)
        losses = witnesses.call_train(made, machine, trial, memory, 4, 2)
        results.append(losses.tobytes() + memory.weights.tobytes())
    assert len(set(results)) == 1


def test_numba_compiles_the_same_source_to_the_same_bits() -> None:
    """The source is ordinary Python for Numba: our own compiler is only quicker."""
    own, other = (
        nm.build(nm.compile(text_of(STRUCTURES["late, read outside"]), 3, 0.1, threads=1, tier="compiled"), seed=1)
        for _ in range(2)
    )
    kernels = other.kernels
    module = load_module(kernels.kernel.source, cache.key_of("by Numba", kernels.kernel.source))
    for name in kernels.kernel.bundles["train"]:
        setattr(module, name, numba.njit(error_model="numpy")(getattr(module, name)))
    kernels.__dict__["train"] = module.train
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 3, own.input_width))
    expected = rng.uniform(size=(40, 3, own.output_width))
    for model in (own, other):
        nm.train(model, inputs, expected, 0)
    assert module.train.signatures, "it was not called"
    np.testing.assert_array_equal(other.losses, own.losses)
    for name, value in own.get_parameters().items():
        np.testing.assert_array_equal(other.get_parameters()[name], value, err_msg=name)
