"""``predict`` from and to a state, of inner nodes, and ``forecast``. Kernels run as plain Python but for one test."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.graph import interpreter

RECURRENT = """/xavier,const_uneven 0.1 0.3/ (input, 3) {both, before, concatenate} (a, 5, <tanh>) [link, [before,]]
(gone, 4, <relu>) {late, input, concatenate, 2} (c, 4, <tanh>) (output, 3, <linear>, <mse>)"""
CELL = "/xavier,zero/ (input, 3) (h, 4, <lstm>) (s, <softsign>) (output, 2, <softmax>, <cross_entropy>)"
FORWARD = "/xavier,zero/ (input, 3) (a, 4, <tanh>) (output, 3, <linear>, <mse>)"

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # plain Python says so where compiled code is silent
    pytest.mark.filterwarnings("ignore::neuromorph.errors.MDLWarning"),
]


def made(text: str = RECURRENT, **options: Any) -> nm.Model:
    return nm.build(nm.compile(text, 2, 0.1, **options), seed=1)


def rows(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)


# State ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("shape", [(11,), (11, 3), (4, 11, 3)])
def test_a_prediction_goes_on_from_the_state_of_another(shape: tuple[int, ...]) -> None:
    model, inputs = made(), rows(*shape)
    axis = len(shape) // 3
    whole, last = model.predict(inputs, return_state=True)
    np.testing.assert_array_equal(whole, model.predict(inputs))
    head, tail = np.split(inputs, [5], axis=axis)
    first, state = model.predict(head, return_state=True)
    second, end = model.predict(tail, state=state, return_state=True)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=axis), whole)
    for name, value in last.items():
        np.testing.assert_array_equal(end[name], value)
    lanes = (*shape, 1)[axis + 1]
    assert state["before"].shape == (*shape[:axis], lanes, 5)
    assert state["input"].shape[-3] == 2


@pytest.mark.usefixtures("interpreted")
def test_part_of_a_state_and_one_for_all_sequences() -> None:
    model, inputs = made(), rows(4, 6, 2)
    found = model.predict(inputs, state={"before": 0.5})
    stream = model.stream(2)
    stream.state = {"before": 0.5}
    np.testing.assert_array_equal(found[3], [stream(x) for x in inputs[3]])
    own = np.arange(4.0)[:, None, None]
    found = model.predict(inputs, state={"before": own})
    np.testing.assert_array_equal(found[2], model.predict(inputs[2], state={"before": 2.0}))
    assert not model.state["before"].any()


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"state": {"before": np.ones((3, 5))}},
            nm.DataError,
            r"before has shape \(3, 5\), and the model needs \(2, 5\)",
        ),
        ({"state": {"a": 1.0}}, nm.DataError, "the model keeps no state named 'a'; it keeps: before, input"),
        ({"state": {"before": np.nan}}, nm.DataError, "before"),
        ({"state": 5}, TypeError, "state must be a dict of names and numbers, not int"),
        ({"return_state": 1}, TypeError, "return_state must be True or False, not 1"),
        ({"nodes": "b"}, ValueError, "no node is named 'b'"),
        ({"nodes": ["ink"]}, ValueError, "no node is named 'ink'; did you mean 'link'?"),
        ({"nodes": ["a", 3]}, TypeError, r"nodes\[1\] must be the name of a node, not 3"),
        ({"nodes": 3}, TypeError, "nodes must be names of nodes, not 3"),
        ({"nodes": ()}, ValueError, "nodes must have at least one name"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made().predict(rows(4, 2), **options)


# Nodes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
def test_a_node_that_is_never_computed() -> None:
    model = made("/xavier,zero/ (input, 3) [x, (dead, 2, <tanh>) {m, x, take} | ] (output, 1, <linear>, <mse>)")
    with pytest.raises(ValueError, match="the node 'dead' is never computed: the output does not depend on it"):
        model.predict(rows(4, 2), nodes="dead")


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("text", [RECURRENT, CELL, FORWARD])
@pytest.mark.parametrize("tier", ["compiled", "instant"])
def test_every_node_has_the_value_that_the_interpreter_gives_it(text: str, tier: str) -> None:
    model, inputs = made(text, dtype="float64", tier=tier), rows(7, 3).astype(np.float64)
    graph, parameters = model.graph, model.get_parameters()
    names = [node.name for node in graph.nodes if node.live]
    found, state = model.predict(inputs, nodes=names, return_state=True)
    assert list(found) == names
    for node in graph.nodes:
        np.testing.assert_allclose(found[node.name], values_of(graph, parameters, inputs, node.index), rtol=1e-12)
    np.testing.assert_allclose(found["output"], model.predict(inputs), rtol=1e-12)
    for name, value in model.predict(inputs, return_state=True)[1].items():
        np.testing.assert_allclose(state[name], value, rtol=1e-12)


def values_of(graph: Any, parameters: Any, inputs: np.ndarray, index: int) -> np.ndarray:
    """The values of a node at every step."""
    steps, _ = interpreter._run(graph, interpreter._floats(parameters), inputs, None)
    return np.stack([step.values[index] for step in steps])


def test_nodes_of_a_compiled_model_follow_its_parameters() -> None:
    model, inputs = made(CELL), rows(2, 5, 2)
    for _ in range(2):
        found = model.predict(inputs, nodes=("h.memory", "input", "output"))
        np.testing.assert_allclose(found["output"], model.predict(inputs), rtol=1e-5)
        np.testing.assert_array_equal(found["input"], inputs)
        assert found["h.memory"].shape == (2, 5, 2, 4)
        model.set_parameters({"output.bias": np.array([1.0, -1.0])})
    with model:
        pass
    with pytest.raises(nm.ModelStateError):
        model.predict(inputs, nodes="output")


# Forecasts ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("text", [RECURRENT, FORWARD])
@pytest.mark.parametrize("shape", [(6,), (6, 2), (3, 6, 2)])
def test_a_forecast_feeds_the_output_back(text: str, shape: tuple[int, ...]) -> None:
    model, history = made(text), rows(*shape)
    axis = len(shape) // 3
    found = nm.forecast(model, history, 4)
    assert found.shape == (*shape[:axis], 4, *shape[axis + 1 :], 3)
    inputs = history
    for step in range(4):
        last = np.take(model.predict(inputs), [-1], axis=axis)
        np.testing.assert_allclose(np.take(found, [step], axis=axis), last, rtol=1e-5, atol=1e-6)
        inputs = np.concatenate([inputs, last], axis=axis)


@pytest.mark.usefixtures("interpreted")
def test_forecasts_of_sequences_are_those_of_each_alone() -> None:
    model, history = made(), rows(3, 6)
    found = model.forecast(history, 5, layout="NSW")
    assert found.shape == (3, 5, 3)
    for one, wanted in zip(history, found, strict=True):
        np.testing.assert_allclose(model.forecast(one, 5), wanted, rtol=1e-5)
    ragged = [history[0], history[1][:3], history[2]]
    found = model.forecast(ragged, 5, layout="NSW")
    for one, wanted in zip(ragged, found, strict=True):
        np.testing.assert_allclose(model.forecast(one, 5), wanted, rtol=1e-5)


@pytest.mark.usefixtures("interpreted")
def test_a_forecast_of_a_model_of_sequences_without_their_layout_is_warned_of() -> None:
    model, history = made(), rows(3, 6)
    model.fit(history, history, layout="NSW", epochs=1, progress=False)
    with pytest.warns(nm.DataWarning, match="3 steps of 6 lanes, and the model was trained with layout='NSW'"):
        model.forecast(history, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.forecast(history, 2, layout="NSW")


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("text", "history", "steps", "layout", "error", "message"),
    [
        (CELL, rows(4, 1), 1, None, nm.DataError, "as wide as the input: they are 2 and 3 wide"),
        (FORWARD, rows(4, 1), 0, None, ValueError, "steps must be at least 1, not 0"),
        (FORWARD, rows(4, 1), 1.5, None, TypeError, "steps must be a whole number, not 1.5"),
        (FORWARD, rows(4, 1), 2, "SNW", ValueError, "layout must be None or 'NSW', not 'SNW'"),
        (FORWARD, rows(4), 2, "NSW", nm.DataError, r"needs shape \(sequences, samples, width = 3\)"),
        (FORWARD, [rows(4), rows(4, 1)], 2, "NSW", nm.DataError, r"history\[1\] has shape \(4, 1, 3\)"),
        (FORWARD, [], 2, "NSW", nm.DataError, "history has no sequence"),
    ],
)  # fmt: skip
def test_wrong_forecasts(
    text: str, history: Any, steps: Any, layout: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        made(text).forecast(history, steps, layout=layout)


@pytest.mark.usefixtures("interpreted")
def test_a_loop_that_is_not_stable_says_so() -> None:
    model = made("/xavier,zero/ (input, 3) (output, 3, <linear>, <mse>)")
    model.set_parameters({"output.weight": 1e20 * np.eye(3)})
    with pytest.raises(
        nm.DataError, match="the forecast is not finite any more at step 1: the closed loop is not stable"
    ):
        model.forecast(np.ones((1, 1, 3)), 9)
