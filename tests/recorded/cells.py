"""Make cells.json, the figures that tests/docs/test_recorded_cells.py compares with: what the recurrent layers of
PyTorch and Keras give in 200 steps, and their gradients over the first 20.

    python -m venv peers && peers/bin/pip install torch==2.13.0 keras==3.15.1 jax==0.10.2 numpy
    peers/bin/python tests/recorded/cells.py

All is float64. "outputs" is what a linear layer makes of each step's hidden state, shape (STEPS, LANES, OUTPUTS), and
"gradients" has the derivatives of its mean squared error by every parameter, in the library's own layout. Parameters
and data are those of the formulas below, which the tests take from here. Numbers are rounded to 8 digits.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

STEPS, WINDOW, LANES = 200, 20, 2
INPUTS, WIDTH, OUTPUTS = 8, 16, 4
DIGITS = 8
TORCH_LSTM = {
    "weight_ih_l0": (4 * WIDTH, INPUTS), "weight_hh_l0": (4 * WIDTH, WIDTH), "bias_ih_l0": (4 * WIDTH,),
    "bias_hh_l0": (4 * WIDTH,), "weight": (OUTPUTS, WIDTH), "bias": (OUTPUTS,),
}  # fmt: skip
KERAS = {
    name: [(INPUTS, gates * WIDTH), (WIDTH, gates * WIDTH), (gates * WIDTH,), (WIDTH, OUTPUTS), (OUTPUTS,)]
    for name, gates in (("LSTM", 4), ("GRU", 3))
}


def wave(shape: tuple[int, ...], phase: float, scale: float) -> np.ndarray:
    """Numbers within ``scale`` of 0, without a pattern that matters, the same on every machine but for rounding."""
    places = np.arange(int(np.prod(shape)))
    return (scale * np.sin(phase + 0.37 * places * (places + 1.0))).reshape(shape)


def inputs() -> np.ndarray:
    """(STEPS, LANES, INPUTS)"""
    return wave((STEPS, LANES, INPUTS), 0.1, 1.5)


def expected() -> np.ndarray:
    """Of the window whose gradients are taken: (WINDOW, LANES, OUTPUTS)."""
    return wave((WINDOW, LANES, OUTPUTS), 0.2, 1.0)


def torch_parameters() -> dict[str, np.ndarray]:
    """Of torch.nn.LSTM, and "weight" and "bias" of the torch.nn.Linear behind it."""
    return {name: wave(shape, 1.0 + phase, 0.5) for phase, (name, shape) in enumerate(TORCH_LSTM.items())}


def keras_parameters(layer: str) -> list[np.ndarray]:
    """Of keras.layers.LSTM or GRU as ``get_weights`` gives them, and then those of the Dense behind it."""
    return [wave(shape, 1.0 + phase, 0.5) for phase, shape in enumerate(KERAS[layer])]


def record_torch() -> dict[str, Any]:
    """torch.nn.LSTM and torch.nn.Linear."""
    import torch

    cell = torch.nn.LSTM(INPUTS, WIDTH, dtype=torch.float64)
    head = torch.nn.Linear(WIDTH, OUTPUTS, dtype=torch.float64)
    parameters = dict(cell.named_parameters()) | dict(head.named_parameters())
    with torch.no_grad():
        for name, value in torch_parameters().items():
            parameters[name].copy_(torch.from_numpy(value))
        outputs = head(cell(torch.from_numpy(inputs()))[0])
    result = head(cell(torch.from_numpy(inputs()[:WINDOW]))[0])
    loss = torch.nn.functional.mse_loss(result, torch.from_numpy(expected()))
    loss.backward()
    gradients = {name: rounded(parameters[name].grad.numpy()) for name in TORCH_LSTM}
    made_with = f"torch {torch.__version__}"
    return {"made with": made_with, "outputs": rounded(outputs.numpy()), "loss": loss.item(), "gradients": gradients}


def record_keras(layer: str) -> dict[str, Any]:
    """keras.layers.LSTM, or keras.layers.GRU with the reset before the product, and Dense, on JAX.

    Keras's own tanh computes in float32 whatever it is given (but on TensorFlow), so the layers get that of JAX.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    import jax

    jax.config.update("jax_enable_x64", True)
    import keras

    keras.config.set_floatx("float64")
    options = {"return_sequences": True, "activation": jax.numpy.tanh}
    options |= {"reset_after": False} if layer == "GRU" else {}
    model = keras.Sequential(
        [keras.Input((None, INPUTS)), getattr(keras.layers, layer)(WIDTH, **options), keras.layers.Dense(OUTPUTS)]
    )
    model.set_weights(keras_parameters(layer))
    fixed = [variable.value for variable in model.non_trainable_variables]

    def result(parameters: list[Any], x: np.ndarray) -> Any:
        """Keras has lanes before steps."""
        return model.stateless_call(parameters, fixed, x.swapaxes(0, 1))[0].swapaxes(0, 1)

    def loss(parameters: list[Any]) -> Any:
        return ((result(parameters, inputs()[:WINDOW]) - expected()) ** 2).mean()

    parameters = [variable.value for variable in model.trainable_variables]
    value, gradients = jax.value_and_grad(loss)(parameters)
    return {
        "made with": f"keras {keras.__version__}, jax {jax.__version__}",
        "outputs": rounded(np.asarray(result(parameters, inputs()))),
        "loss": float(value),
        "gradients": [rounded(np.asarray(gradient)) for gradient in gradients],
    }


def rounded(values: np.ndarray) -> Any:
    """Nested lists of an array's numbers, in as many digits as the file has."""
    assert values.dtype == np.float64
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape).tolist()


def main() -> None:
    """Write cells.json beside this file."""
    found = {"torch LSTM": record_torch(), "keras LSTM": record_keras("LSTM"), "keras GRU": record_keras("GRU")}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(found, separators=(",", ":")).replace(',"', ',\n"') + "\n")


if __name__ == "__main__":
    main()
