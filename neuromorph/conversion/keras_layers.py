"""Takes over the layers of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from ..errors import ConversionError, brief
from .chain import Array, Chain

_FUNCTIONS = {
    "linear": "linear", "tanh": "tanh", "sigmoid": "sigmoid", "relu": "relu", "selu": "selu", "elu": "elu",
    "gelu": "gelu_exact", "silu": "swish", "swish": "swish", "mish": "mish", "softplus": "softplus",
    "softsign": "softsign", "softmax": "softmax", "exponential": "exp", "hard_sigmoid": "hard_sigmoid",
    "hard_tanh": "hard_tanh", "leaky_relu": "relu_leaky, 0.2",
}  # fmt: skip
_COMPOSED: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "hard_silu": ("hard_swish", {}), "log_sigmoid": ("log_sigmoid", {}), "tanh_shrink": ("tanh_shrink", {}),
    "relu6": ("between", {"p": -3.0, "q": 3.0, "r": 3.0}),
}  # fmt: skip
# Functions of other libraries that have a name of Keras's and other default numbers, and ours; None if it has none.
_OF_OTHERS: Mapping[tuple[str | None, str], str | None] = {
    ("torch", "leaky_relu"): "relu_leaky, 0.01", ("jax", "leaky_relu"): "relu_leaky, 0.01", ("jax", "gelu"): "gelu",
    ("torch", "softmax"): None,
}  # fmt: skip
_OF_LIBRARIES = {"keras", "jax", "torch", "tensorflow", "numpy", None}  # whose names of functions are known
_NO_WIDTH = "nothing says how wide its input is"
_INSTEAD = {
    "Bidirectional": (
        "it reads the sequence backward too, and a step sees earlier steps only",
        "a recurrent cell such as (name, width, <gru>)",
    ),
    "Embedding": ("inputs are vectors here", "a layer over one-hot vectors, (name, width, <linear>)"),
    "Flatten": ("a step has one vector", "a convolution over so many steps, (name, width, <conv, taps>)"),
    "MultiHeadAttention": ("a step sees earlier steps only", "a recurrent cell such as <gru>"),
}


def layers_of(model: Any) -> Iterator[Any]:
    """The layers of a model, or of a list of layers, one after the other."""
    if isinstance(model, list | tuple):
        for layer in model:
            yield from layers_of(layer)
    elif isinstance(model, keras.Sequential):
        for tensor in getattr(model, "inputs", ()):  # its input is none of its layers
            yield tensor._keras_history.operation
        for layer in model.layers:
            yield from layers_of(layer)
    elif isinstance(model, keras.Model) and hasattr(model, "operations"):
        yield from _path(model)
    elif isinstance(model, layers.Layer):
        yield model
    else:
        raise TypeError(f"model must be a model of Keras, a layer or a list of layers, not {brief(model)}")


def _path(model: Any) -> Iterator[Any]:
    """The layers of a functional model, which must be one path from one input to one output."""
    needed = "only layers that run one after the other can be taken over; the nearest text is a split and a merge"
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        ends = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        raise ConversionError(f"the model {model.name!r} has {ends}: {needed}")
    tensor, path = model.outputs[0], []
    while True:
        layer, use, _ = tensor._keras_history
        path.append(layer)
        before = layer._inbound_nodes[use].input_tensors
        if not before:
            break
        if len(before) > 1:
            where = f"layer {layer.name!r} ({type(layer).__name__})"
            raise ConversionError(f"{where} reads {len(before)} tensors: {needed}")
        (tensor,) = before
    for layer in reversed(path):
        yield from layers_of(layer) if isinstance(layer, layers.Layer) else [layer]


def chain_of(model: Any) -> Chain:
    """The chain of a model's layers."""
    chain = Chain()
    for layer in layers_of(model):
        while isinstance(layer, layers.TimeDistributed):
            layer = layer.layer
        kind = type(layer).__name__
        chain.begin(kind, layer.name, getattr(layer, "weights", ()))
        if not getattr(layer, "built", True):  # an operation is no layer
            raise ConversionError(f"{chain.where} has no weights yet: build the model, or call it once")
        if kind not in _READERS:
            raise chain.refuse(*_INSTEAD.get(kind, ("it is not known here", "what its formula says, node by node")))
        _READERS[kind](chain, layer)
    return chain


def dtype_of(model: Any) -> str:
    """float64 if a weight has this type, else float32."""
    weights = (weight for layer in layers_of(model) for weight in getattr(layer, "weights", ()))
    wide = any("float64" in str(weight.dtype) for weight in weights)
    return "float64" if wide else "float32"


def _array(weight: Any) -> Array:
    """The numbers of a weight, on any device."""
    found = np.asarray(keras.ops.convert_to_numpy(weight))
    return found if found.dtype in (np.float32, np.float64) else found.astype(np.float32)


def _bias(layer: Any) -> Array | None:
    return None if layer.bias is None else _array(layer.bias)


# Activations ----------------------------------------------------------------------------------------------------------


def _known(function: Any) -> tuple[str, str | None]:
    """The name of a library's function, "" if it is somebody's own, and the activation of ours that it is, if any."""
    root = (getattr(function, "__module__", None) or "").split(".")[0] or None
    name = getattr(function, "__name__", "") if root in _OF_LIBRARIES else ""
    return name, _OF_OTHERS.get((root, name), _FUNCTIONS.get(name))


def _own_activation(chain: Chain, function: Any) -> None:
    """The activation of a layer with weights, which becomes a node where it can't join the layer."""
    chain.name = f"{chain.name}.activation"
    _activate(chain, function)


def _activate(chain: Chain, function: Any) -> None:
    name, ours = _known(function)
    if ours is not None:
        chain.apply(ours)
    elif name in _COMPOSED:
        composed, numbers = _COMPOSED[name]
        chain.compose(composed, **numbers)
    else:
        near = {"log_softmax": "<softmax> with the loss <cross_entropy>", "softmax": "<softmax>, over the vector"}
        nearest = near.get(name, "<swish>, <tanh> or <relu>")
        raise chain.refuse(f"its activation {brief(name or function)} is not known here", nearest)


def _single(chain: Chain, function: Any) -> str:
    """An activation inside a cell, as one function."""
    name, ours = _known(function)
    if ours is None:
        raise chain.refuse(f"its activation {brief(name or function)} can't stand in a cell", "the one with <sigmoid>")
    return ours


def _relu(chain: Chain, layer: Any) -> None:
    numbers = layer.negative_slope, layer.threshold, layer.max_value
    slope, threshold, most = (float(number or 0.0) for number in numbers)
    if threshold or (slope and layer.max_value is not None):
        raise chain.refuse("a threshold, or a slope with a largest value, can't be taken over", "<relu_leaky, slope>")
    if layer.max_value is None:
        chain.apply(f"relu_leaky, {slope!r}" if slope else "relu")
    else:
        chain.compose("between", p=-0.5 * most, q=0.5 * most, r=0.5 * most)


def _prelu(chain: Chain, layer: Any) -> None:
    slopes = _array(layer.alpha).reshape(-1)
    if slopes.size == 1 and chain.width != 1:
        chain.compose("prelu")
        chain.hold({f"{chain.name}.slope.bias": slopes})
        return
    if layer.alpha.shape[-1] != slopes.size:
        raise chain.refuse("it has slopes for each step", "<prelu>, which shares them: shared_axes=[1]")
    chain.expect(slopes.size)
    chain.vectors("prelu", {"weight": slopes})


def _softmax(chain: Chain, layer: Any) -> None:
    if layer.axis not in (-1, 2):
        raise chain.refuse(f"axis={layer.axis} is not that of components", "<softmax>, over the vector")
    chain.apply("softmax")


# Layers with weights --------------------------------------------------------------------------------------------------


def _dense(chain: Chain, layer: Any) -> None:
    chain.layer(_array(layer.kernel), _bias(layer))
    _own_activation(chain, layer.activation)


def _convolution(chain: Chain, layer: Any) -> None:
    """A convolution over time. Keras has (taps, in, out), the oldest first."""
    (taps,), (dilation,), nearest = layer.kernel_size, layer.dilation_rate, "(name, width, <conv, taps, dilation>)"
    if layer.strides != (1,) or layer.groups != 1 or layer.data_format != "channels_last":
        raise chain.refuse("strides, groups and channels_first can't be taken over", nearest)
    if layer.padding != "causal" and taps > 1:
        raise chain.refuse(f"its padding is {layer.padding!r}, and a step sees earlier steps only: 'causal'", nearest)
    kernel = _array(layer.kernel)
    chain.layer(kernel.reshape(-1, kernel.shape[-1]), _bias(layer), taps, dilation)
    _own_activation(chain, layer.activation)


def _recurrent(kind: str, gates: int) -> Callable[[Chain, Any], None]:
    """A reader of a recurrent layer with so many gates side by side."""

    def take(chain: Chain, layer: Any) -> None:
        nearest = f"(name, width, <{kind}>)"
        if layer.go_backwards:
            raise chain.refuse("it reads the sequence backward, and a step sees earlier steps only", nearest)
        if layer.dropout or layer.recurrent_dropout:
            raise chain.refuse("its dropout keeps one mask for all steps", f"(drop, <dropout, 0.5>) {nearest}")
        cell = layer.cell
        functions = {"tanh": _single(chain, cell.activation)}
        functions["sigmoid"] = _single(chain, cell.recurrent_activation) if gates > 1 else "sigmoid"
        kernel, recurrent = (np.split(_array(one), gates, axis=1) for one in (cell.kernel, cell.recurrent_kernel))
        before = kind == "gru" and not layer.reset_after
        rows = 2 if kind == "gru" and not before else 1
        bias = np.zeros((rows, gates * layer.units)) if cell.bias is None else _array(cell.bias)
        chain.expect(len(kernel[0]))
        biases = bias.reshape(-1, gates, layer.units)  # a GRU whose reset comes after the product has two rows
        chain.cell("gru_before" if before else kind, layer.units, _CELLS[kind](kernel, recurrent, biases), functions)

    return take


def _gate(kernel: Array, recurrent: Array, bias: Array) -> tuple[Array, Array]:
    return np.concatenate([kernel, recurrent]), bias


def _rnn_gates(kernel: list[Array], recurrent: list[Array], biases: Array) -> dict[str, tuple[Array, Array]]:
    return {"": _gate(kernel[0], recurrent[0], biases[0, 0])}


def _lstm_gates(kernel: list[Array], recurrent: list[Array], biases: Array) -> dict[str, tuple[Array, Array]]:
    names = (".in_gate", ".forget_gate", ".candidate", ".out_gate")
    return {name: _gate(kernel[n], recurrent[n], biases[0, n]) for n, name in enumerate(names)}


def _gru_gates(kernel: list[Array], recurrent: list[Array], biases: Array) -> dict[str, tuple[Array, Array]]:
    sums = biases.sum(axis=0)
    both = {name: _gate(kernel[n], recurrent[n], sums[n]) for n, name in enumerate((".update", ".reset"))}
    if len(biases) == 1:
        return both | {".candidate": _gate(kernel[2], recurrent[2], sums[2])}
    return both | {".fresh": (kernel[2], biases[0, 2]), ".recalled": (recurrent[2], biases[1, 2])}


_CELLS = {"rnn": _rnn_gates, "lstm": _lstm_gates, "gru": _gru_gates}


# Norms and fixed numbers ----------------------------------------------------------------------------------------------


def _norm(chain: Chain, layer: Any, function: str, found: Mapping[str, Any], first: Mapping[str, float]) -> None:
    """A norm over the vector. found: its weights by role; first: the numbers of those that it lacks."""
    axes = list(layer.axis) if isinstance(layer.axis, list | tuple) else [layer.axis]
    if axes not in ([-1], [2]):
        raise chain.refuse(f"axis={layer.axis} is not that of components alone", f"<{function}>, over the vector")
    width = next((int(value.shape[0]) for value in found.values() if value is not None), None)
    width = _width(chain, f"<{function}>") if width is None else width
    chain.expect(width)
    arrays = {role: np.full(width, first[role]) if value is None else _array(value) for role, value in found.items()}
    chain.vectors(f"{function}, {layer.epsilon!r}", arrays)
    if all(value is None for value in found.values()):
        chain.frozen.append(chain.name)


def _layer_norm(chain: Chain, layer: Any) -> None:
    _norm(chain, layer, "norm", {"weight": layer.gamma, "bias": layer.beta}, {"weight": 1.0, "bias": 0.0})


def _rms_norm(chain: Chain, layer: Any) -> None:
    _norm(chain, layer, "rms_norm", {"weight": layer.scale}, {"weight": 1.0})


def _batch_norm(chain: Chain, layer: Any) -> None:
    """What it computes outside training: its moving means and variances as fixed numbers, then a gain and a shift."""
    if layer.axis not in (-1, 2):
        raise chain.refuse(f"axis={layer.axis} is not that of components", "<standardize>, for each component")
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    chain.expect(len(mean))
    scale = np.sqrt(variance.astype(np.float64) + layer.epsilon)
    chain.vectors("standardize", {"mean": mean, "scale": scale}, ".standard")
    for function, role, value in (("gain", "weight", layer.gamma), ("shift", "bias", layer.beta)):
        if value is not None:
            chain.vectors(function, {role: _array(value)}, f".{function}")


def _normalization(chain: Chain, layer: Any) -> None:
    """Fixed means and variances of the data."""
    if layer.invert or layer.mean is None:
        raise chain.refuse("it has no means, or multiplies by the scale", "<standardize>")
    if tuple(layer.axis) not in ((), (-1,), (2,)):
        raise chain.refuse(f"axis={layer.axis} is not that of components", "<standardize>, for each component")
    mean, variance = (_array(one).reshape(-1) for one in (layer.mean, layer.variance))
    if not layer.axis:  # one number for all components
        width = _width(chain, "<standardize>")
        mean, variance = np.full(width, mean[0]), np.full(width, variance[0])
    chain.expect(len(mean))
    scale = np.maximum(np.sqrt(variance), keras.config.epsilon())
    chain.vectors("standardize", {"mean": mean, "scale": scale})


def _width(chain: Chain, nearest: str) -> int:
    """The width of what comes in, for a layer that takes any."""
    if chain.width is None:
        raise chain.refuse(_NO_WIDTH, f"(input, width) (name, {nearest})")
    return chain.width


def _rescaling(chain: Chain, layer: Any) -> None:
    """A fixed scale and offset, of all components or of each."""
    scale, offset = (np.asarray(one, np.float64).reshape(-1) for one in (layer.scale, layer.offset))
    if scale.size == offset.size == 1:
        chain.compose("affine", p=float(scale[0]), q=float(offset[0]))
        return
    width = max(scale.size, offset.size)
    chain.expect(width)
    for function, role, value in (("gain", "weight", scale), ("shift", "bias", offset)):
        chain.vectors(function, {role: np.broadcast_to(value, width)}, f".{function}")
        chain.frozen.append(f"{chain.name}.{function}")


def _input(chain: Chain, layer: Any) -> None:
    """The input of a model, which may say how wide it is."""
    if len(layer.batch_shape) > 1 and layer.batch_shape[-1] is not None:
        chain.expect(layer.batch_shape[-1])


def _dropout(chain: Chain, layer: Any) -> None:
    if layer.noise_shape is not None or layer.rate >= 1.0:
        raise chain.refuse("a noise_shape, or a rate of 1, can't be taken over", "<dropout, rate>")
    chain.vectors(f"dropout, {float(layer.rate)!r}", {})


def _nothing(chain: Chain, layer: Any) -> None:
    """A layer that hands on what comes in."""


_READERS: Mapping[str, Callable[[Chain, Any], None]] = {
    "InputLayer": _input,
    "Identity": _nothing,
    "Dense": _dense,
    "Conv1D": _convolution,
    "SimpleRNN": _recurrent("rnn", 1),
    "LSTM": _recurrent("lstm", 4),
    "GRU": _recurrent("gru", 3),
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "BatchNormalization": _batch_norm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Dropout": _dropout,
    "Activation": lambda chain, layer: _activate(chain, layer.activation),
    "ReLU": _relu,
    "LeakyReLU": lambda chain, layer: chain.apply(f"relu_leaky, {float(layer.negative_slope)!r}"),
    "ELU": lambda chain, layer: chain.apply(f"elu, {float(layer.alpha)!r}"),
    "PReLU": _prelu,
    "Softmax": _softmax,
}
