"""The reference interpreter: gradients against central differences, and models worked out by hand."""

import itertools

import numpy as np
import pytest

from neuromorph.functions import ACTIVATIONS, LOSSES, MERGES
from neuromorph.functions.activations import logistic
from neuromorph.graph import Graph, build_graph
from neuromorph.graph.interpreter import draw_parameters, evaluate, predict, train, window, zero_state
from neuromorph.language import parse

HEAD = "/normal 0 0.6,const_uneven 0.1 0.4/\n(input, 3)\n"
TAIL = "(output, 2, <sigmoid>, <mse>)"
STEPS, LANES = 4, 2

LSTM = """/xavier,const_uneven 0 0.3/
(input, 3)
{xh, recur, concatenate}
[gates,
    (in_gate, 5, <sigmoid>)
  | (candidate, 5, <tanh>) {scaled, in_gate, multiplicative}
  | (out_gate, 5, <sigmoid>)
]
(forget_gate, 5, <sigmoid>)
{kept, memory, multiplicative}
{cell, scaled, additive}
[m, [memory,]]
(squashed, <tanh>)
{hidden, out_gate, multiplicative}
[h, [recur,]]
(output, 2, <linear>, <mse>)
"""


def graph_of(text: str) -> Graph:
    return build_graph(parse(text))


def generator(seed: int = 3) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def parameters_of(graph: Graph) -> dict[str, np.ndarray]:
    return draw_parameters(graph, generator(), np.float64)


def data(graph: Graph, steps: int = STEPS, lanes: int = LANES) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(9)
    inputs = rng.normal(size=(steps, lanes, graph.nodes[graph.input].width))
    return inputs, rng.uniform(0.1, 0.9, (steps, lanes, graph.nodes[graph.output].width))


def check_gradients(text: str, *, weight: np.ndarray | None = None, expected: np.ndarray | None = None) -> None:
    """Every component of every gradient against a central difference, from a state that is not zero."""
    graph = graph_of(text)
    parameters = parameters_of(graph)
    inputs, values = data(graph)
    values = values if expected is None else expected
    state = {key: generator(key).normal(size=zero.shape) for key, zero in zero_state(graph, LANES).items()}
    found = window(graph, parameters, inputs, values, weight, state)
    assert sorted(found.gradients) == sorted(parameters)
    assert evaluate(graph, parameters, inputs, values, weight, state) == found.loss
    for key, array in parameters.items():
        measured = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = array.copy()
                moved[place] += step
                ends.append(evaluate(graph, parameters | {key: moved}, inputs, values, weight, state))
            measured[place] = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(found.gradients[key], measured, rtol=1e-5, atol=1e-8, err_msg=key)


# Gradients

# Next to where one of these losses clips, differences are poor; results of these activations are far enough from there.
CLIPPED = ["cross_entropy", "binary_cross_entropy", "poisson"]
FIRST = [
    "linear", "sigmoid", "tanh", "relu", "relu_leaky", "relu_parametric", "elu", "selu", "gelu", "swish", "softmax",
    "hard_sigmoid",
]  # fmt: skip


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        (a.name, loss.name)
        for a, loss in itertools.product(ACTIVATIONS.values(), LOSSES.values())
        if not a.blocks_gradient and not a.surrogate and (a.name in FIRST or loss.name not in CLIPPED)
    ],
)
def test_gradients_of_activations_and_losses(activation: str, loss: str) -> None:
    nodes = f"(input,3) (a,2,<{activation}>) (output,2,<{activation}>,<{loss}>)"
    check_gradients(f"/normal 0.1 0.6,const_uneven 0.1 0.4/ {nodes}")


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_gradients_of_an_output_that_is_fed_back(activation: str, loss: str) -> None:
    check_gradients(f"{HEAD}{{m, output, concatenate}} (output, 2, <{activation}>, <{loss}>)")


ANY_WIDTHS = [name for name, merge in MERGES.items() if merge.other_width == "any"]


@pytest.mark.parametrize("operation", ANY_WIDTHS)
@pytest.mark.parametrize(
    "text",
    [
        "(a,3,<tanh>) {m,a,OP}",
        "(a,3,<tanh>) (b,3,<sigmoid>) {m,a,OP}",
        "[s, (a,5,<tanh>)] (b,3,<tanh>) {m,a,OP}",
        "[s, (a,2,<tanh>)] (b,3,<tanh>) {m,a,OP}",
        "[s, {m,b,OP} (c,3,<tanh>) | (b,4,<tanh>)] {n,c,OP}",
        "{m,h,OP} (a,3,<tanh>) [t, [h,]]",
        "{m,h,OP} (a,5,<tanh>) [t, [h,]]",
        "{m,output,OP} (a,4,<tanh>)",
        "(a,3,<tanh>) {m,input,OP} {n,m,average}",
    ],
)
def test_gradients_of_merges(text: str, operation: str) -> None:
    check_gradients(HEAD + text.replace("OP", operation) + TAIL)


@pytest.mark.parametrize("operation", [name for name in ANY_WIDTHS if MERGES[name].result == "x"])
def test_gradients_of_self_merges(operation: str) -> None:
    check_gradients(f"{HEAD}(a,3,<tanh>) {{m,m,{operation}}} {TAIL}")


@pytest.mark.parametrize(
    "text",
    [
        "(a,3,<tanh>) [s, (w,1,<sigmoid>)] {m,w,scale} {n,w,scale,2}",
        "(a,3,<tanh>) (b,3,<sigmoid>) {m,a,dot} {n,m,scale}",
        "{m,h,dot,1} (a,4,<tanh>) [t, (h,3,<tanh>)] {n,m,scale,1}",
    ],
)
def test_gradients_of_single_numbers(text: str) -> None:
    check_gradients(HEAD + text + TAIL)


@pytest.mark.parametrize(
    "text",
    [
        "[s, (a,2,<tanh>) [t, (b,4,<swish>) | (c,4,<gelu>) {m,b,multiplicative}] (d,4,<tanh>) {n,m,additive}]"
        "(e,4,<elu>) {k,n,subtractive}",
        "{x,late,concatenate} (a,3,<tanh>) [s, (b,2,<softmax>) [late,]] {y,late,additive}",
        "{p,one,additive} {q,two,multiplicative} (a,3,<tanh>) [one,] (b,<softmax>) (c,3,<swish>) [two,]{r,p,average}",
        "[s, {m,n,additive} | {n,m,additive}] {k,m,additive} {l,n,additive}",
        "(a,3,<binary_step>) {m,input,additive} [dead, (z,4,<tanh>)]",
        "{m,h,additive} (a,3,<tanh>) [t, [h,]] {n,h,average} {k,k,average}",
    ],
)
def test_gradients_of_graphs(text: str) -> None:
    check_gradients(HEAD + text + TAIL)


def test_gradients_of_the_lstm() -> None:
    check_gradients(LSTM)


def test_gradients_with_weights_leave_vectors_out() -> None:
    weight = np.array([[0.5, 2.0], [0.0, 1.0], [0.0, 0.0], [3.0, 0.0]])
    expected = generator().uniform(size=(STEPS, LANES, 2))
    expected[weight == 0.0] = np.nan
    check_gradients(LSTM, weight=weight, expected=expected)


# Forward, by hand


def test_merge_values_with_unequal_widths() -> None:
    split = "[s, (a,2,<linear>) | (b,4,<linear>)] {m,a,average} {n,b,subtractive}"
    graph = graph_of(f"/he,zero/ (i,3) {split} (o,3,<linear>,<mse>)")
    rows, columns = np.eye(3), np.eye(3, 4)
    parameters = {"a.weight": rows[:, :2], "b.weight": 10.0 * columns, "o.weight": rows}
    parameters |= {"a.bias": np.zeros(2), "b.bias": np.zeros(4), "o.bias": np.zeros(3)}
    x = np.array([[[1.0, 2.0, 3.0]]])
    parameters["a.weight"] = 3.0 * parameters["a.weight"]
    assert predict(graph, parameters, x).tolist() == [[[2.0 - 10.0, 4.0 - 20.0, 3.0 - 30.0]]]


def test_a_self_merge_sums_over_time() -> None:
    graph = graph_of("/he,zero/(i,1){acc,acc,additive}(o,1,<linear>,<mse>)")
    parameters = {"o.weight": [[1.0]], "o.bias": [0.0]}
    inputs = np.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)
    assert predict(graph, parameters, inputs).ravel().tolist() == [1.0, 3.0, 6.0, 10.0]
    assert predict(graph, parameters, inputs, {1: [[5.0]]}).ravel().tolist() == [6.0, 8.0, 11.0, 15.0]


def test_a_tiny_recurrent_model_by_hand() -> None:
    """y_t = w (x_t + y_{t-1}) over two steps, loss the mean of (y - e)^2."""
    graph = graph_of("/he,zero/(i,1){m,o,additive}(o,1,<linear>,<mse>)")
    w, x1, x2, e1, e2 = 0.5, 2.0, 3.0, 0.25, 1.0
    y1, y2 = 1.0, 2.0
    inputs, expected = np.array([x1, x2]).reshape(2, 1, 1), np.array([e1, e2]).reshape(2, 1, 1)
    found = window(graph, {"o.weight": [[w]], "o.bias": [0.0]}, inputs, expected)
    dy1, dy2 = y1 - e1 + w * (y2 - e2), y2 - e2
    assert found.losses.tolist() == [0.5625, 1.0]
    assert found.loss == 0.78125
    assert found.gradients["o.weight"].tolist() == [[dy1 * x1 + dy2 * (x2 + y1)]]
    assert found.gradients["o.bias"].tolist() == [dy1 + dy2]
    assert found.state[2].tolist() == [[y2]]


def test_the_lstm_is_the_textbook_s() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, _ = data(graph, steps=6, lanes=3)
    h, c = np.zeros((3, 5)), np.zeros((3, 5))
    expected = []
    for x in inputs:
        xh = np.concatenate([x, h], axis=1)
        gate = {name: xh @ p[f"{name}.weight"] + p[f"{name}.bias"] for name in ("in_gate", "out_gate")}
        forget = logistic(xh @ p["forget_gate.weight"] + p["forget_gate.bias"])
        candidate = np.tanh(xh @ p["candidate.weight"] + p["candidate.bias"])
        c = forget * c + logistic(gate["in_gate"]) * candidate
        h = logistic(gate["out_gate"]) * np.tanh(c)
        expected.append(h @ p["output.weight"] + p["output.bias"])
    np.testing.assert_allclose(predict(graph, p, inputs), expected, rtol=1e-13)
    state = window(graph, p, inputs, np.zeros((6, 3, 2))).state
    names = {graph.nodes[key].name: value for key, value in state.items()}
    np.testing.assert_allclose(names["recur"], h, rtol=1e-13)
    np.testing.assert_allclose(names["memory"], c, rtol=1e-13)


def test_lanes_do_not_touch() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, _ = data(graph, lanes=3)
    each = [predict(graph, p, inputs[:, lane : lane + 1]) for lane in range(3)]
    np.testing.assert_allclose(predict(graph, p, inputs), np.concatenate(each, axis=1), rtol=1e-13)


def test_steps_compose() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, expected = data(graph, steps=5)
    state = window(graph, p, inputs[:2], expected[:2]).state
    both = [predict(graph, p, inputs[:2]), predict(graph, p, inputs[2:], state)]
    np.testing.assert_array_equal(np.concatenate(both), predict(graph, p, inputs))


# Parameters


def test_parameters_are_drawn_in_text_order() -> None:
    split = "[s, (dead,9,<tanh>) | (a,4,<tanh>)] {m,a,concatenate}"
    graph = graph_of(f"/he,const_uneven 1 2/ (i,3) {split} (o,2,<linear>,<mse>)")
    drawn = draw_parameters(graph, generator(), np.float32)
    rng = generator()
    bound = {3: np.sqrt(2.0), 7: np.sqrt(6.0 / 7.0)}
    expected = {
        "a.weight": rng.uniform(-bound[3], bound[3], (3, 4)),
        "a.bias": rng.normal(1.0, 2.0, 4),
        "o.weight": rng.uniform(-bound[7], bound[7], (7, 2)),
        "o.bias": rng.normal(1.0, 2.0, 2),
    }
    assert [*drawn] == [*expected]
    for key, values in expected.items():
        np.testing.assert_array_equal(drawn[key], values.astype(np.float32))
        assert drawn[key].dtype == np.float32


def test_draws_beyond_float32_are_infinite_without_noise(recwarn: pytest.WarningsRecorder) -> None:
    graph = graph_of("/normal,const_flat 1e300/(i,1)(o,1,<linear>,<mse>)")
    assert np.isinf(draw_parameters(graph, generator(), np.float32)["o.bias"]).all()
    assert len(recwarn) == 0


# Losses and weights


def test_losses_are_means() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, expected = data(graph)
    squares = ((predict(graph, p, inputs) - expected) ** 2).mean(axis=2)
    plain = window(graph, p, inputs, expected)
    np.testing.assert_allclose(plain.losses, squares.mean(axis=1))
    assert plain.loss == pytest.approx(squares.mean())
    weight = np.array([[0.5, 2.0], [0.0, 1.0], [0.0, 0.0], [3.0, 0.0]])
    weighted = window(graph, p, inputs, expected, weight)
    sums = (weight * squares).sum(axis=1)
    np.testing.assert_allclose(weighted.losses[[0, 1, 3]], sums[[0, 1, 3]] / [2.5, 1.0, 3.0])
    assert weighted.losses[2] == 0.0
    assert weighted.loss == pytest.approx((weight * squares).sum() / weight.sum())


def test_only_the_ratio_of_weights_counts() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, expected = data(graph)
    plain = window(graph, p, inputs, expected)
    for scale in (1e308, 1e-308, 4.0):
        scaled = window(graph, p, inputs, expected, np.full((STEPS, LANES), scale))
        assert scaled.loss == pytest.approx(plain.loss)
        for key, gradient in plain.gradients.items():
            np.testing.assert_allclose(scaled.gradients[key], gradient)


def test_a_window_without_weight_has_no_loss_and_no_gradient() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, expected = data(graph)
    found = window(graph, p, inputs, np.full_like(expected, np.nan), np.zeros((STEPS, LANES)))
    assert (found.loss, found.losses.tolist()) == (0.0, [0.0] * STEPS)
    assert all((gradient == 0.0).all() for gradient in found.gradients.values())
    plain = window(graph, p, inputs, expected)
    assert all((found.state[key] == value).all() for key, value in plain.state.items())


# Training


def test_training_is_one_update_per_window() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, expected = data(graph, steps=5)
    found = train(graph, p, inputs, expected, learning_rate=0.3, bptt_steps=2)
    learned, state, losses = p, None, []
    for part in (slice(0, 2), slice(2, 4), slice(4, 5)):
        result = window(graph, learned, inputs[part], expected[part], state=state)
        learned = {key: value - 0.3 * result.gradients[key] for key, value in learned.items()}
        state = result.state
        losses += result.losses.tolist()
    for key, value in learned.items():
        np.testing.assert_allclose(found.parameters[key], value, rtol=1e-14)
    np.testing.assert_allclose(found.losses, losses)
    assert found.loss == pytest.approx(np.mean(losses))
    assert all((found.state[key] == value).all() for key, value in state.items())


def test_a_window_of_no_weight_makes_no_update_but_passes_on_its_state() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, expected = data(graph)
    weight = np.ones((STEPS, LANES))
    weight[:2] = 0.0
    options = {"learning_rate": 0.3, "bptt_steps": 2}
    found = train(graph, p, inputs, expected, sample_weight=weight, **options)
    state = window(graph, p, inputs[:2], expected[:2]).state
    later = train(graph, p, inputs[2:], expected[2:], state=state, **options)
    for key, value in later.parameters.items():
        np.testing.assert_allclose(found.parameters[key], value, rtol=1e-14)
    assert found.loss == pytest.approx(later.loss)
    assert found.losses[:2].tolist() == [0.0, 0.0]


def test_training_learns() -> None:
    graph = graph_of(LSTM)
    inputs, expected = data(graph, steps=20)
    inputs, expected = np.tile(inputs, (10, 1, 1)), np.tile(expected, (10, 1, 1))
    losses = train(graph, parameters_of(graph), inputs, expected, learning_rate=0.3, bptt_steps=5).losses
    assert losses[-20:].mean() < 0.5 * losses[:20].mean()


def test_nothing_given_is_changed() -> None:
    graph = graph_of(LSTM)
    p = parameters_of(graph)
    inputs, expected = data(graph)
    weight, state = np.ones((STEPS, LANES)), zero_state(graph, LANES)
    given = [*p.values(), inputs, expected, weight, *state.values()]
    before = [array.copy() for array in given]
    train(graph, p, inputs, expected, learning_rate=0.3, bptt_steps=3, sample_weight=weight, state=state)
    predict(graph, p, inputs, state)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)
