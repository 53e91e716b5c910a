"""The programs that the benchmark tool writes for peers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from helpers.benchmark_models import STYLES, small_cases
from helpers.tools import room, tools_path  # noqa: F401 - a fixture
from neuromorph.functions import ACTIVATIONS, ELEMENTWISE, LOSSES
from neuromorph.graph import interpreter


def _scan(step: Any, s: Any, over: Any) -> Any:
    results = []
    for t in zip(*over, strict=True):
        s, out = step(s, t)
        results.append(out)
    return s, tuple(np.stack(column) for column in zip(*results, strict=True))


def _convolution(h: Any, w: Any, b: Any, taps: int, dilation: int) -> Any:
    steps = range((taps - 1) * dilation, len(h))
    return np.stack([np.concatenate(h[t - (taps - 1) * dilation : t + 1 : dilation], axis=-1) @ w + b for t in steps])


def _linear_scan(a: Any, b: Any, s: Any) -> Any:
    results = []
    for factor, summand in zip(a, b, strict=True):
        s = factor * s + summand
        results.append(s)
    return np.stack(results)


def _loss(name: str) -> Any:
    record = LOSSES[name]
    return lambda r, e, p=None: float(np.mean(record.value(r, e, p)))


def _logits(loss: str, activation: str) -> Any:
    form = LOSSES[loss].logit_form(activation)
    assert form is not None
    return lambda z, e: float(np.mean(form.value(z, e, None)))


def _activation(name: str) -> Any:
    return lambda x, p=None: ACTIVATIONS[name].value(x, p)


NUMPY: dict[str, Any] = {
    **{name: _activation(name) for name in ACTIVATIONS},
    **{name: _loss(name) for name in LOSSES},
    "softmax_cross_entropy": _logits("cross_entropy", "softmax"),
    "sigmoid_cross_entropy": _logits("binary_cross_entropy", "sigmoid"),
    "linear": lambda x, w, b: x @ w + b,
    "product": lambda x, w: x @ w,
    "add_product": lambda u, x, w: u + x @ w,
    "concatenate": lambda *parts: np.concatenate(parts, axis=-1),
    "where": np.where,
    "dot": lambda x, o: np.sum(x * o, axis=-1, keepdims=True),
    "spread": lambda b, x: np.broadcast_to(b, (*x.shape[:-1], len(b))),
    "history": lambda s, v: np.concatenate([s, v]),
    "convolution": _convolution,
    "norm": lambda x, w, b, p: ELEMENTWISE["norm"].value(x, {"weight": w, "bias": b}, p),
    "rms_norm": lambda x, w, p: ELEMENTWISE["rms_norm"].value(x, {"weight": w}, p),
    "scan": _scan,
    "linear_scan": _linear_scan,
}


@pytest.mark.parametrize("style", STYLES)
def test_the_code_for_peers_means_what_the_model_means(style: dict[str, bool]) -> None:
    for case in small_cases():
        graph, rng = case.model().graph, np.random.default_rng(1)
        parameters = interpreter.draw_parameters(graph, rng, np.float64)
        x = rng.normal(size=(4, 3, graph.nodes[graph.input].width))
        e = rng.uniform(0.1, 0.9, (4, 3, graph.nodes[graph.output].width))
        written = room("peers.writer").program(graph, **style)
        before, start = _states(graph, written, rng)
        wanted = interpreter.window(graph, parameters, x, e, state=before)
        loss, end = written.bind(NUMPY, written.constants(parameters))(written.pack(parameters), start, x, e)
        assert loss == pytest.approx(wanted.loss, rel=1e-12), written.source
        for state, after in zip(end, _program_state(graph, wanted.state), strict=True):
            np.testing.assert_allclose(state, after, rtol=1e-12, atol=1e-15)


def _states(graph: Any, written: Any, rng: np.random.Generator) -> tuple[dict[int, Any], tuple[Any, ...]]:
    """A random past of the graph: by nodes as ours has it, and as a program has it."""
    longest: dict[int, Any] = {}
    for index in graph.history:
        shape = (max(graph.history.values()), 3, graph.nodes[index].width)
        longest.setdefault(graph.resolve(index), rng.normal(size=shape))
    ours = {
        index: longest[graph.resolve(index)][-steps:].reshape(graph.state_shape(index, 3))
        for index, steps in graph.history.items()
    }
    assert [list(shape) for shape in written.start(3)] == [list(part.shape) for part in _program_state(graph, ours)]
    return ours, _program_state(graph, ours)


def _program_state(graph: Any, state: dict[int, Any]) -> tuple[Any, ...]:
    """A state by nodes as a program has it: of each node that computes something, the longest past that is read."""
    found: dict[int, Any] = {}
    for index in sorted(state, key=lambda index: graph.history[index]):
        found[graph.resolve(index)] = state[index]
    return tuple(found[index] for index in sorted(found))


def test_fused_code_has_one_product_of_all_gates_and_only_the_cell_in_its_loop() -> None:
    case = room("peers.cases").listed()["textbook64"]
    graph, program = case.model().graph, room("peers.writer").program
    fused, plain = program(graph, fused=True).source, program(graph, fused=False).source
    loop = fused[fused.index("def step") : fused.index("return (")]
    assert loop.count("add_product") == 1
    assert "linear" not in loop
    assert fused.count("linear") == 2
    assert plain[plain.index("def step") :].count("linear") == plain.count("linear") == 5


def test_a_program_comes_through_json() -> None:
    program_of, program = room("peers.program").Program, room("peers.writer").program
    for case in small_cases():
        written = program(case.model().graph, fused=True)
        assert program_of.from_json(json.loads(json.dumps(asdict(written)))) == written


def test_recurrent_layers_one_after_the_other_have_one_loop_or_one_each() -> None:
    graph, program = room("peers.cases").listed()["lstm64x3"].model().graph, room("peers.writer").program
    assert program(graph, fused=True).loops == 1
    assert program(graph, fused=True, layered=True).loops == 3
    loop = program(graph, fused=True, layered=True).source.partition("def step3")[2].partition("return (")[0]
    assert loop.count("add_product") == 1
    assert "linear" not in loop


def test_products_of_one_state_are_one_product_also_where_only_some_have_a_part_before_the_loop() -> None:
    graph, program = room("peers.cases").listed()["gru128"].model().graph, room("peers.writer").program
    loop = program(graph, fused=True).source.partition("def step1")[2].partition("return (")[0]
    assert loop.count(" = product(") == 1
    assert "linear" not in loop
    assert "add_product" not in loop


def test_convolutions_and_delays_need_no_loop() -> None:
    written = room("peers.writer").program(room("peers.cases").listed()["tcn32"].model().graph, fused=True)
    assert written.loops == 0
    assert written.timed
    assert written.state == ((2, 32), (4, 32), (8, 32), (16, 32))


def test_frozen_parameters_are_no_part_of_what_learns() -> None:
    written = room("peers.writer").program(room("peers.cases").listed()["reservoir400"].model().graph, fused=True)
    learning = {columns.name for packed in written.packed if packed.learns for columns in packed.columns}
    assert learning == {"output.weight", "output.bias"}


@pytest.mark.parametrize(("cell", "linear"), [("min_gru", True), ("min_lstm", True), ("lif", False), ("gru", False)])
def test_a_loop_that_is_linear_in_its_state_is_one_call(cell: str, linear: bool) -> None:
    case = room("peers.case").Case("small", room("peers.cases").cells(4, cell), 3, 4, 4, 0.1)
    written = room("peers.writer").program(case.model().graph, fused=True, layered=True, linear=True)
    assert (written.loops, "linear_scan(" in written.source) == (0 if linear else 1, linear)


def test_a_node_that_differs_while_training_has_no_program() -> None:
    case = room("peers.case").Case(
        "d", "/xavier,zero/ (input, 3) (d, <dropout>) (output, 1, <linear>, <mse>)", 1, 1, 1, 1
    )
    with pytest.raises(ValueError, match="no program for peers: 'd' is <dropout>"):
        room("peers.writer").program(case.model().graph, fused=True)
