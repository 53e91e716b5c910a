"""Make peers.json, the figures that tests/graph/test_recorded_peers.py compares with: what some networks of PyTorch and
Keras give that are a few words in MDL, and the gradients of all their parameters.

    python -m venv peers && peers/bin/pip install torch==2.13.0 keras==3.15.1 jax==0.10.2 numpy
    peers/bin/python tests/recorded/peers.py

All is float64. "outputs" has the shape (STEPS, LANES, OUTPUTS), and "gradients" the derivatives of their mean squared
error by every parameter, under the library's own names and in its own layout. Parameters and data are those of the
formulas below, which the tests take from here. Numbers are rounded to 8 digits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

STEPS, LANES = 12, 2
INPUTS, WIDTH, OUTPUTS = 3, 5, 2
TAPS, DILATION = 3, 2
DIGITS = 8


def wave(shape: tuple[int, ...], phase: float, scale: float) -> np.ndarray:
    """Numbers within ``scale`` of 0, without a pattern that matters, the same on every machine but for rounding."""
    places = np.arange(int(np.prod(shape)))
    return (scale * np.sin(phase + 0.37 * places * (places + 1.0))).reshape(shape)


def inputs() -> np.ndarray:
    """(STEPS, LANES, INPUTS)"""
    return wave((STEPS, LANES, INPUTS), 0.1, 1.5)


def expected() -> np.ndarray:
    """(STEPS, LANES, OUTPUTS)"""
    return wave((STEPS, LANES, OUTPUTS), 0.2, 1.0)


def parameters(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """The parameters of a network, by name, from their shapes in the library's order."""
    return {name: wave(tuple(shape), 1.0 + phase, 0.8) for phase, (name, shape) in enumerate(shapes)}


def torch_networks() -> dict[str, Any]:
    """Networks from (STEPS, LANES, INPUTS) to (STEPS, LANES, OUTPUTS)."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body, self.head = body, nn.Linear(WIDTH, OUTPUTS)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x)[0])

    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv1d(INPUTS, WIDTH, TAPS, dilation=DILATION)
            self.head = nn.Linear(WIDTH, OUTPUTS)

        def forward(self, x: Any) -> Any:
            padded = nn.functional.pad(x.permute(1, 2, 0), ((TAPS - 1) * DILATION, 0))
            return self.head(torch.tanh(self.body(padded).permute(2, 0, 1)))

    rows, back = nn.Flatten(0, 1), nn.Unflatten(0, (STEPS, LANES))  # PReLU takes the second axis for components
    dense = [nn.Linear(INPUTS, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.PReLU(WIDTH)]
    return {
        "torch RNN": Recurrent(nn.RNN(INPUTS, WIDTH)),
        "torch GRU": Recurrent(nn.GRU(INPUTS, WIDTH)),
        "torch LSTM of 2 layers": Recurrent(nn.LSTM(INPUTS, WIDTH, num_layers=2)),
        "torch Conv1d": Causal(),
        "torch dense": nn.Sequential(rows, *dense, nn.Linear(WIDTH, OUTPUTS), nn.Softplus(), back),
    }


def record_torch(network: Any) -> dict[str, Any]:
    """What a network of PyTorch gives."""
    import torch

    network = network.double()
    named = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in parameters((name, tuple(value.shape)) for name, value in named.items()).items():
            named[name].copy_(torch.from_numpy(value))
    outputs = network(torch.from_numpy(inputs()))
    loss = torch.nn.functional.mse_loss(outputs, torch.from_numpy(expected()))
    loss.backward()
    gradients = {name: rounded(value.grad.numpy()) for name, value in named.items()}
    made_with = f"torch {torch.__version__}"
    outputs = rounded(outputs.detach().numpy())
    return {"made with": made_with, "outputs": outputs, "loss": loss.item(), "gradients": gradients}


def keras_networks() -> dict[str, Any]:
    """Networks on JAX, from (LANES, STEPS, INPUTS) to (LANES, STEPS, OUTPUTS).

    Keras's own tanh computes in float32 whatever it is given (but on TensorFlow), so the layers get that of JAX.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    import jax

    jax.config.update("jax_enable_x64", True)
    import keras
    from keras import layers

    keras.config.set_floatx("float64")
    tanh = jax.numpy.tanh
    recurrent = {"return_sequences": True, "activation": tanh, "name": "body"}
    convolution = layers.Conv1D(WIDTH, TAPS, dilation_rate=DILATION, padding="causal", activation=tanh, name="body")
    dense = [
        layers.Dense(WIDTH, activation="silu", name="body"), layers.LayerNormalization(name="norm"),
        layers.Dense(WIDTH, activation="elu", name="middle"),
    ]  # fmt: skip
    bodies = {
        "keras SimpleRNN": [layers.SimpleRNN(WIDTH, **recurrent)],
        "keras GRU": [layers.GRU(WIDTH, **recurrent)],
        "keras LSTM": [layers.LSTM(WIDTH, **recurrent)],
        "keras Conv1D": [convolution],
        "keras dense": dense,
    }
    head = {"units": OUTPUTS, "name": "head"}
    return {
        name: keras.Sequential([keras.Input((None, INPUTS)), *body, layers.Dense(**head)])
        for name, body in bodies.items()
    }


def record_keras(network: Any) -> dict[str, Any]:
    """What a network of Keras gives."""
    import jax
    import keras

    named = {variable.path: variable for variable in network.trainable_variables}
    given = parameters((path, tuple(variable.shape)) for path, variable in named.items())
    fixed = [variable.value for variable in network.non_trainable_variables]

    def result(values: list[Any]) -> Any:
        return network.stateless_call(values, fixed, inputs().swapaxes(0, 1))[0].swapaxes(0, 1)

    def loss(values: list[Any]) -> Any:
        return ((result(values) - expected()) ** 2).mean()

    values = [jax.numpy.asarray(value) for value in given.values()]
    found, gradients = jax.value_and_grad(loss)(values)
    return {
        "made with": f"keras {keras.__version__}, jax {jax.__version__}",
        "outputs": rounded(np.asarray(result(values))),
        "loss": float(found),
        "gradients": {name: rounded(np.asarray(value)) for name, value in zip(given, gradients, strict=True)},
    }


def rounded(values: np.ndarray) -> Any:
    """Nested lists of an array's numbers, in as many digits as the file has."""
    assert values.dtype == np.float64
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape).tolist()


def main() -> None:
    """Write peers.json beside this file."""
    found = {name: record_torch(network) for name, network in torch_networks().items()}
    found |= {name: record_keras(network) for name, network in keras_networks().items()}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(found, separators=(",", ":")).replace(',"', ',\n"') + "\n")


if __name__ == "__main__":
    main()
