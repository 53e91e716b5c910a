"""Networks of Keras as models: the same outputs, and the same gradients of all weights, over 200 steps."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.made_models import without_kernels
from neuromorph.graph import interpreter

torch = pytest.importorskip("torch.nn") and pytest.importorskip("torch")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras.layers") and pytest.importorskip("keras")
doors = pytest.importorskip("neuromorph.keras")
if keras.backend.backend() != "torch":
    pytest.skip(
        "Keras runs on another library here: its gradients are compared where KERAS_BACKEND is torch",
        allow_module_level=True,
    )
layers = keras.layers
torch.set_num_threads(1)  # other tests run beside these
W, STEPS, LANES = 5, 200, 2
SEQUENCES = {"return_sequences": True}


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models get room for parameters, and no kernel is compiled. Keras computes in float64."""
    monkeypatch.setattr("neuromorph.conversion.chain.build", without_kernels)
    keras.config.set_floatx("float64")


def network(*body: Any, steps: int | None = None) -> Any:
    """A built network with random weights."""
    made = keras.Sequential([keras.Input((steps, 3)), *body])
    rng = np.random.default_rng(1)
    for weight in made.weights:
        positive = "variance" in weight.path
        weight.assign(rng.uniform(0.3 if positive else -0.6, 1.2 if positive else 0.6, weight.shape))
    return made


def gradients_by_our_names(model: Any) -> dict[str, np.ndarray]:
    """Keras's gradients, taken over as the weights are. Of two biases that are added, only one counts."""
    for weight in model.trainable_weights:
        gradient = weight.value.grad.detach().numpy().copy()
        if weight.path.endswith("/bias") and gradient.ndim == 2:
            gradient[1, : 2 * gradient.shape[1] // 3] = 0.0
        weight.assign(gradient)
    return dict(doors.chain_of(model).parameters)


def check(model: Any, steps: int = STEPS, bare: bool = False) -> nm.Model:
    """A model has Keras's outputs and gradients. bare: whether Keras's has no biases."""
    made, rng = doors.from_keras(model), np.random.default_rng(2)
    x = rng.normal(size=(steps, LANES, made.input_width))
    result = model(x.swapaxes(0, 1))
    wanted = result.detach().numpy()
    expected = rng.normal(size=wanted.swapaxes(0, 1).shape)
    (result - torch.from_numpy(expected.swapaxes(0, 1))).square().mean().backward()
    parameters = made.get_parameters()
    assert np.abs(interpreter.predict(made.graph, parameters, x) - wanted.swapaxes(0, 1)).max() < 1e-6
    found = interpreter.window(made.graph, parameters, x, expected).gradients
    taken = gradients_by_our_names(model)
    for name, gradient in found.items():
        if not (bare and name.endswith(".bias")):
            assert np.abs(taken[name] - gradient).max() < 1e-6, name
    return made


NAMES = [
    "tanh", "sigmoid", "relu", "selu", "elu", "gelu", "silu", "mish", "softplus", "softsign", "softmax", "exponential",
    "hard_sigmoid", "hard_tanh", "leaky_relu", "hard_silu", "log_sigmoid", "tanh_shrink", "relu6", "linear",
]  # fmt: skip
SCALES = [1.0, 2.0, 0.5, 3.0, 4.0]
ACTIVATIONS = {
    "relu": lambda: layers.ReLU(), "relu to 0.4": lambda: layers.ReLU(max_value=0.4),
    "slope": lambda: layers.LeakyReLU(0.2), "relu with slope": lambda: layers.ReLU(negative_slope=0.1),
    "elu": lambda: layers.ELU(0.6),
    "prelu": lambda: layers.PReLU(shared_axes=[1]), "one slope": lambda: layers.PReLU(shared_axes=[1, 2]),
    "softmax": lambda: layers.Softmax(), "dropout": lambda: layers.Dropout(0.3), "identity": lambda: layers.Identity(),
    "rescaling": lambda: layers.Rescaling(0.3, -1.0), "rescaling of each": lambda: layers.Rescaling(SCALES, -1.0),
    "norm": lambda: layers.LayerNormalization(),
    "bare norm": lambda: layers.LayerNormalization(center=False, scale=False),
    "batch norm": lambda: layers.BatchNormalization(), "rms": lambda: layers.RMSNormalization(),
    "bare batch norm": lambda: layers.BatchNormalization(center=False, scale=False),
    "normalization": lambda: layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4, 0.5], variance=SCALES),
    "normalization of all": lambda: layers.Normalization(axis=None, mean=0.3, variance=2.0),
}  # fmt: skip
NETWORKS = {
    "simple rnn": lambda: network(layers.SimpleRNN(W, **SEQUENCES), layers.Dense(2)),
    "relu rnn": lambda: network(layers.SimpleRNN(W, activation="relu", **SEQUENCES)),
    "lstm": lambda: network(layers.LSTM(W, **SEQUENCES), layers.Dense(2, activation="softmax")),
    "hard lstm": lambda: network(
        layers.LSTM(W, activation="softsign", recurrent_activation="hard_sigmoid", **SEQUENCES), layers.Dense(2)
    ),
    "gru": lambda: network(layers.GRU(W, **SEQUENCES), layers.Dense(2)),
    "gru before": lambda: network(layers.GRU(W, reset_after=False, **SEQUENCES), layers.Dense(2)),
    "gru without bias": lambda: network(layers.GRU(W, use_bias=False, **SEQUENCES), layers.Dense(2, use_bias=False)),
    "without bias": lambda: network(layers.LSTM(W, use_bias=False, **SEQUENCES), layers.Dense(2, use_bias=False)),
    "convolution": lambda: network(
        layers.Conv1D(W, 3, dilation_rate=2, padding="causal", activation="tanh"), layers.Conv1D(2, 1)
    ),
    "mixed": lambda: network(
        layers.TimeDistributed(layers.Dense(W, activation="gelu")), layers.LSTM(W, **SEQUENCES), layers.Dropout(0.2),
        layers.LayerNormalization(), layers.Conv1D(4, 2, padding="causal"), layers.GRU(W, **SEQUENCES),
        layers.BatchNormalization(), layers.SimpleRNN(3, **SEQUENCES), layers.Dense(2, activation="sigmoid"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_activations(name: str) -> None:
    check(network(layers.Dense(W, activation=name), layers.Dense(2)), 20)
    check(network(layers.Dense(W, activation="tanh"), layers.Activation(name)), 20)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_layers_without_a_matrix(name: str) -> None:
    check(network(layers.Dense(W, activation="tanh"), ACTIVATIONS[name](), layers.Dense(2)), 20)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    check(NETWORKS[name](), bare="bias" in name)


def test_functions_of_other_libraries_have_their_own_numbers() -> None:
    check(network(layers.Dense(W, activation=torch.nn.functional.leaky_relu), layers.Dense(2)), 20)
    check(network(layers.Dense(W, activation=torch.nn.functional.gelu), layers.Dense(2)), 20)

    def gelu(x: Any) -> Any:  # as that of JAX: by default it is approximate
        return torch.nn.functional.gelu(x, approximate="tanh")

    gelu.__module__ = "jax._src.nn.functions"
    check(network(layers.Dense(W, activation=gelu), layers.Dense(2)), 20)


def test_the_input_says_how_wide_it_is() -> None:
    check(network(layers.LayerNormalization(center=False, scale=False), layers.Dense(2)), 20)
    check(network(layers.Normalization(axis=None, mean=0.3, variance=2.0), layers.Dense(2)), 20)
    assert doors.from_keras(network(layers.Activation("tanh"))).input_width == 3
    bare = layers.LayerNormalization(center=False, scale=False)
    bare.build((None, 3))
    with pytest.raises(nm.ConversionError, match=r"\(LayerNormalization\): nothing says how wide its input is"):
        doors.from_keras([bare, network(layers.Dense(2)).layers[0]])


def test_names_are_those_of_keras() -> None:
    model = network(layers.LSTM(W, name="body", **SEQUENCES), layers.Dense(2, name="head", activation="sigmoid"))
    made = doors.from_keras(model, loss="binary_cross_entropy")
    assert made.text.split("\n")[2:] == ["(body, 5, <lstm>)", "(head, 2, <sigmoid>, <binary_cross_entropy>)", ""]


def test_a_functional_model_is_a_path() -> None:
    x = keras.Input((None, 3))
    body = layers.GRU(4, return_sequences=True)(x)
    check(keras.Model(x, layers.Dense(2)(body)), 20)
    with pytest.raises(nm.ConversionError, match=r"\(Add\) reads 2 tensors: .* the nearest text is a split"):
        doors.from_keras(keras.Model(x, layers.Add()([body, layers.Dense(4)(x)])))
    with pytest.raises(
        nm.ConversionError, match="has 1 inputs and 2 outputs: only layers that run one after the other"
    ):
        doors.from_keras(keras.Model(x, [body, layers.Dense(2)(body)]))
    shared = layers.Dense(4)
    with pytest.raises(nm.ConversionError, match="shares weights with an earlier layer"):
        doors.from_keras(keras.Model(x, shared(shared(layers.Dense(4)(x)))))
    with pytest.raises(nm.ConversionError, match=r"layer 'abs.*\(Absolute\): it is not known here"):
        doors.from_keras(keras.Model(x, layers.Dense(2)(keras.ops.absolute(x))))


def test_a_path_may_go_through_other_models() -> None:
    x = keras.Input((None, 3))
    inner = keras.Sequential([keras.Input((None, 3)), layers.Dense(4, activation="tanh"), layers.GRU(4, **SEQUENCES)])
    check(keras.Model(x, layers.Dense(2)(inner(x))), 20)


def test_the_last_step_is_that_of_keras() -> None:
    model = network(layers.LSTM(W), layers.Dense(2))
    made, x = doors.from_keras(model), np.random.default_rng(0).normal(size=(7, LANES, 3))
    found = interpreter.predict(made.graph, made.get_parameters(), x)[-1]
    np.testing.assert_allclose(found, model(x.swapaxes(0, 1)).detach().numpy(), rtol=0.0, atol=1e-6)


REFUSED = {
    "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(4)), "it reads the sequence backward too"),
    "backward": (lambda: layers.GRU(4, go_backwards=True), "(GRU): it reads the sequence backward"),
    "dropout": (lambda: layers.LSTM(4, dropout=0.2), "(LSTM): its dropout keeps one mask for all steps"),
    "padding": (lambda: layers.Conv1D(4, 3), "(Conv1D): its padding is 'valid', and a step sees earlier steps only"),
    "strides": (lambda: layers.Conv1D(4, 3, strides=2, padding="causal"), "(Conv1D): strides, groups and channels_"),
    "own": (lambda: layers.Dense(4, activation=lambda x: x * x), "its activation <function"),
    "log": (lambda: layers.Dense(4, activation="log_softmax"), "the nearest text is <softmax> with the loss"),
    "gate": (lambda: layers.LSTM(4, activation="hard_silu"), "its activation 'hard_silu' can't stand in a cell"),
    "pooling": (lambda: layers.AveragePooling1D(2), "(AveragePooling1D): it is not known here"),
    "twice": (lambda: layers.Dense(3), "(Dense): it shares weights with an earlier layer, and nodes share none"),
    "axis": (lambda: layers.Softmax(axis=1), "axis=1 is not that of components"),
    "batch axis": (lambda: layers.BatchNormalization(axis=1), "(BatchNormalization): axis=1 is not that of components"),
    "fixed axis": (
        lambda: layers.Normalization(axis=1, mean=0.0, variance=1.0), "(Normalization): axis=(1,) is not that of comp"
    ),
    "other library": (
        lambda: layers.Dense(4, activation=torch.nn.functional.softmax), "its activation 'softmax' is not known here"
    ),
    "bound": (lambda: layers.ReLU(max_value=0.0), "(ReLU): 'clip': bound must be greater than 0"),
    "threshold": (lambda: layers.ReLU(threshold=0.5), "a threshold, or a slope with a largest value"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_taken_over_is_named(name: str) -> None:
    layer, message = REFUSED[name]
    made = network(layer(), steps=4)
    with pytest.raises(nm.ConversionError) as error:
        doors.from_keras([made, made] if name == "twice" else made)
    assert message in str(error.value)
    assert "; the nearest text is " in str(error.value)


def test_what_is_not_built_or_no_model_is_an_error() -> None:
    with pytest.raises(nm.ConversionError, match=r"layer 'dense.*' \(Dense\) has no weights yet: build the model"):
        doors.from_keras(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(TypeError, match=r"must be a model of Keras, a layer or a list of layers, not 'm\.keras'"):
        doors.from_keras("m.keras")
