"""Frozen matrices with many zeros: which have sparse copies, and that models with them compute the same."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.division import change_costs
from helpers.witnesses import jit_disabled
from neuromorph.codegen import KernelOptions, SparseCopy, generate, sparse_copies
from neuromorph.codegen.sparse import LARGE, MOST_SUMS
from neuromorph.graph import build_graph, freeze
from neuromorph.inspection.facts import buffers_of
from neuromorph.language import parse
from neuromorph.runtime.autotune import Autotuner, Way
from neuromorph.runtime.instant import InstantKernels
from neuromorph.schedule import Alone, ByBatch, ByColumns, Division

RESERVOIR = """/xavier,zero/
<reservoir>[
    [past, {{old, state, take, 1}} (recalled, width, <linear>, /spectral 0.9 0.1,zero/)]
    (fed, width, <linear>) {{sum, recalled, additive}} (state, <{}>)
]
(input, 1) (h, {}, <reservoir>) (output, 1, <linear>, <mse>)"""
WIDTH = 200
SAMPLES = 20


def copies(
    width: int = WIDTH, *, batch: int = 1, dtype: str = "float32", frozen: bool = True, division: Division | None = None
) -> tuple[SparseCopy, ...]:
    graph = build_graph(parse(RESERVOIR.format("tanh", width)))
    graph = freeze(graph, ["h.recalled"] if frozen else [])
    options = KernelOptions(batch, dtype, 8, 16, division=division or Alone())
    kernel = generate(graph, options)
    found = sparse_copies(kernel.plan)
    assert kernel.source.count("= simd.sparse_product_of") == len(found)
    return found


def test_training_of_one_lane_and_prediction_read_a_copy_each() -> None:
    first, second = copies()
    assert (first.predicts, first.form.chained, second.predicts, second.form.chained) == (False, True, True, False)
    assert first.place % 16 == second.place % 16 == 0
    assert first.end <= second.place
    (only,) = copies(batch=4)
    assert only.predicts
    (only,) = copies(batch=2, division=ByBatch(2))
    assert only.predicts


def test_threads_that_divide_the_columns_have_a_copy_each() -> None:
    mine, others, prediction = copies(division=ByColumns(2))
    panel, panels = mine.form.panel, -(-WIDTH // 8 // mine.form.panel)
    assert (mine.form.first, others.form.first) == (0, panels // 2)
    assert mine.form.columns == panels // 2 * panel
    assert mine.form.columns + others.form.columns == WIDTH // 8 == prediction.form.columns
    assert [copy.predicts for copy in (mine, others, prediction)] == [False, False, True]
    assert mine.end <= others.place < others.end <= prediction.place
    (only,) = copies(batch=2, division=ByColumns(2))
    assert only.predicts


def test_matrices_that_change_or_are_small_or_need_much_of_a_stack_have_no_copy() -> None:
    assert not copies(frozen=False)
    assert not copies(176)
    assert 176 * 176 * 4 < LARGE < 184 * 184 * 4
    assert len(copies(184)) == 2
    assert copies(176, dtype="float64")
    assert not copies(MOST_SUMS // 16 + 8)


def test_a_matrix_outside_of_a_loop_has_no_copy() -> None:
    graph = build_graph(parse("/xavier,zero/ (input, 200) (h, 200, <tanh>) (output, 1, <linear>, <mse>)"))
    kernel = generate(freeze(graph, ["h"]), KernelOptions(1, "float32", 8, 16))
    assert not sparse_copies(kernel.plan)
    assert "sparse" not in kernel.source


def test_an_inspection_counts_the_copies() -> None:
    graph = freeze(build_graph(parse(RESERVOIR.format("tanh", WIDTH))), ["h.recalled"])
    kernel = generate(graph, KernelOptions(1, "float32", 8, 16))
    (found,) = (buffer.bytes for buffer in buffers_of(kernel, SAMPLES) if buffer.name == "sparse")
    assert found == 4 * sum(copy.form.elements for copy in sparse_copies(kernel.plan))


def compiled(activation: str = "tanh", *, tier: str = "compiled", threads: int = 1) -> nm.Model:
    nm.seed(5)
    text = RESERVOIR.format(activation, WIDTH)
    return nm.compile(text, 1, 0.01, bptt_steps=SAMPLES // 2, frozen="h.*", tier=tier, threads=threads).build()


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(SAMPLES, 1, 1)).astype(np.float32), rng.normal(size=(SAMPLES, 1, 1)).astype(np.float32)


def heads(model: nm.Model) -> list[float]:
    """For each copy of a model whether it is complete."""
    return [float(model.memory().weights[copy.place]) for copy in model.kernels.sparse]


def without_copies(model: nm.Model) -> nm.Model:
    for copy in model.kernels.sparse:
        model.memory().weights[copy.place] = 0.0
    return model


def results(model: nm.Model) -> list[Any]:
    """What a model predicts, streams and learns."""
    x, y = data()
    stream = nm.stream(model)
    streamed = np.stack([stream(sample) for sample in x])
    loss, gradients = nm.gradients(model, x, y)
    losses = nm.train(model, x, y, 0)
    return [nm.predict(model, x), streamed, loss, *gradients.values(), losses, *model.get_parameters().values()]


def test_a_model_computes_the_same_with_copies_and_without() -> None:
    model = compiled()
    assert heads(model) == [1.0, 1.0]
    for found, wanted in zip(results(model), results(without_copies(compiled())), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with jit_disabled():
        plain = results(compiled())
    for found, wanted in zip(results(compiled()), plain, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_two_threads_give_the_bits_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    change_costs(monkeypatch, processors=2, gain_of_steps=9.0, worth_a_thread=1e-9)
    model = compiled(threads=2)
    assert model.kernels.divided.division == ByColumns(2)
    assert heads(model) == [1.0, 1.0, 1.0]
    for way in (Way.ALL, Way.ONE):
        monkeypatch.setattr(Autotuner, "parts", lambda tuner, windows, way=way: [(way, windows)])
        for found, wanted in zip(results(compiled(threads=2)), results(compiled()), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_copies_follow_the_parameters() -> None:
    """They are written anew with each change from outside, and a model that is loaded has its own."""
    model = compiled()
    rng = np.random.default_rng(1)
    name, shape = "h.recalled.weight", (WIDTH, WIDTH)
    model.set_parameters({name: rng.normal(size=shape) * 0.01})
    assert heads(model) == [0.0, 0.0]
    model.set_parameters({name: np.where(rng.random(shape) < 0.05, 0.2, 0.0)})
    assert heads(model) == [1.0, 1.0]
    again = pickle.loads(pickle.dumps(model))
    assert heads(again) == [1.0, 1.0]
    assert len(model.memory().weights) == model.kernels.weight_elements > model.kernels.plan.layout.size
    for found, wanted in zip(results(again), results(without_copies(model)), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_state_that_diverges_is_seen() -> None:
    """A component that is infinite makes all of the next state NaN, also if all of its weights are zero."""
    weight = compiled().get_parameters()["h.recalled.weight"]
    weight[3] = 0.0
    for copied in (True, False):
        model = compiled()
        model.set_parameters({"h.recalled.weight": weight})
        model.state = {"h": np.where(np.arange(WIDTH) == 3, np.finfo(np.float32).max, 0.0)}
        if not copied:
            without_copies(model)
        space = model.memory().space
        space[space > 1e38] = np.inf
        with pytest.raises(nm.TrainingDivergedError):
            nm.train(model, *data(), 0, carry_state=True)


def test_the_machine_has_no_copies_and_hands_over_to_kernels_that_have() -> None:
    with jit_disabled():
        model = compiled(tier="instant")
        kernels = model.kernels
        assert isinstance(kernels, InstantKernels)
        assert kernels.sparse == ()
        before = model.memory().weights
        assert len(before) == kernels.plan.layout.size
        model._hand_over(kernels.own)
    after = model.memory().weights
    np.testing.assert_array_equal(after[: len(before)], before)
    assert len(after) == model.kernels.weight_elements
    assert heads(model) == [1.0, 1.0]
