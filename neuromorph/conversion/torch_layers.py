"""Takes over the layers of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from ..errors import ConversionError, brief
from .chain import Array, Chain

_SAME: Mapping[type[Any], str] = {
    nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.ReLU: "relu", nn.SELU: "selu", nn.SiLU: "swish", nn.Mish: "mish",
    nn.Softsign: "softsign", nn.Hardsigmoid: "hard_sigmoid",
}  # fmt: skip
_COMPOSED: Mapping[type[Any], str] = {
    nn.Hardswish: "hard_swish", nn.LogSigmoid: "log_sigmoid", nn.Tanhshrink: "tanh_shrink",
}  # fmt: skip
_EXACT = 18.0  # where softplus and its argument are the same to 1e-7
_ONE_STEP = "it runs one step, and a program of its own has the loop"
_INSTEAD: Mapping[type[Any], tuple[str, str]] = {
    nn.LogSoftmax: ("no text gives logarithms of probabilities", "<softmax> with the loss <cross_entropy>"),
    nn.GLU: ("it halves the vector", "two layers side by side in a split, one <sigmoid>, and a multiplicative merge"),
    nn.Embedding: ("inputs are vectors here", "a layer over one-hot vectors, (name, width, <linear>)"),
    nn.MultiheadAttention: ("a step sees earlier steps only", "a recurrent cell such as <gru>"),
    nn.GroupNorm: ("a norm is over the whole vector", "<norm>"),
    nn.RNNCell: (_ONE_STEP, "(name, width, <rnn>)"),
    nn.LSTMCell: (_ONE_STEP, "(name, width, <lstm>)"),
    nn.GRUCell: (_ONE_STEP, "(name, width, <gru>)"),
    nn.Bilinear: ("no node multiplies two vectors by a tensor", "two layers and a multiplicative merge"),
}


def layers_of(module: Any, key: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers of a module, or of a list of modules, one after the other, with their names."""
    if isinstance(module, nn.Sequential | nn.ModuleList):
        _check_plain(key, module)
        children: Iterable[tuple[str, Any]] = module._modules.items()  # named_children() leaves out what comes again
    elif isinstance(module, list | tuple):
        children = ((str(number), one) for number, one in enumerate(module))
    elif isinstance(module, nn.Module):
        yield key or type(module).__name__.lower(), module
        return
    else:
        raise TypeError(f"module must be a module of PyTorch or a list of them, not {brief(module)}")
    for name, child in children:
        yield from layers_of(child, f"{key}.{name}" if key else name)


def _check_plain(key: str, module: nn.Module) -> None:
    """Raise ConversionError for layers in a row that run in another way, or have hooks."""
    reason = _changes(module)
    if isinstance(module, nn.Sequential) and type(module).forward is not nn.Sequential.forward:
        reason = "it has a forward of its own"
    if reason is not None:
        where = f"layer {key!r} ({type(module).__name__})" if key else type(module).__name__
        raise ConversionError(f"{where}: {reason}; the nearest text is that of its layers: give them as a list")


def _changes(module: nn.Module) -> str | None:
    """Why a module does not compute what its class does; None if it does."""
    if any(getattr(module, f"_{of}_hooks") for of in ("forward", "forward_pre", "backward", "backward_pre")):
        return "it has hooks, and what they do is not known"
    return "it has a forward of its own" if "forward" in vars(module) else None


def chain_of(module: Any) -> Chain:
    """The chain of a module's layers."""
    chain = Chain()
    layers = list(layers_of(module))
    axes = Axes(layer for _, layer in layers)
    for number, (key, layer) in enumerate(layers):
        chain.begin(type(layer).__name__, key, layer.parameters())
        if any(value.is_complex() for value in layer.parameters()):
            raise chain.refuse("its numbers are complex", "two layers, of real and of imaginary parts")
        if (reason := _changes(layer)) is not None:
            raise chain.refuse(reason, "that of the layer without them: remove them, if they only look on")
        axes.check(chain, layer)
        following = layers[number + 1][1] if number + 1 < len(layers) else None
        if not (_is_padding(layer) and isinstance(following, nn.Conv1d)):
            _take(chain, layer, layers[number - 1][1] if number else None)
    return chain


class Axes:
    """Which axis of PyTorch's data has the components, layer by layer: the last one, or the second for a convolution.

    Data have three axes if a layer goes through time; else they may have two.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        self.through_time = any(isinstance(layer, nn.Conv1d | nn.RNNBase) for layer in layers)
        self.second = False

    def check(self, chain: Chain, layer: nn.Module) -> None:
        """Raise ConversionError if a layer is over another axis."""
        if isinstance(layer, nn.Conv1d | nn.RNNBase | nn.Linear):
            self.second = isinstance(layer, nn.Conv1d)
        if not isinstance(layer, nn.Softmax | nn.Softmin):
            return
        fitting = (1, -2) if self.second else (-1, 2) if self.through_time else (-1, 1, 2)
        if layer.dim not in fitting:
            reason = f"dim={layer.dim} is not the axis of components, which is dim={fitting[0]} here"
            raise chain.refuse(reason, f"<{type(layer).__name__.lower()}>, over the vector")


def _take(chain: Chain, layer: nn.Module, before: nn.Module | None) -> None:
    kind = type(layer)
    if kind in _SAME:
        chain.apply(_SAME[kind])
    elif kind in _COMPOSED:
        chain.compose(_COMPOSED[kind])
    elif kind is nn.Conv1d:
        _convolution(chain, layer, before)
    elif kind in _READERS:
        _READERS[kind](chain, layer)
    else:
        reason, nearest = _INSTEAD.get(kind, ("it is not known here", "what its formula says, node by node"))
        if parametrize.is_parametrized(layer):
            reason = "its weights are computed from other parameters"
            nearest = "that of the same layer, after torch.nn.utils.parametrize.remove_parametrizations"
        elif next(layer.children(), None) is not None:
            nearest = "that of its layers, if they run one after the other: give them as a list, in that order"
        raise chain.refuse(reason, nearest)


def array_of(tensor: Any) -> Array:
    """The numbers of a tensor, on any device."""
    given = tensor.detach().cpu()
    return np.array((given if given.dtype in (torch.float32, torch.float64) else given.float()).numpy())


def _bias(layer: nn.Module) -> Array | None:
    return None if layer.bias is None else array_of(layer.bias)


# Layers with weights --------------------------------------------------------------------------------------------------


def _linear(chain: Chain, layer: Any) -> None:
    chain.layer(array_of(layer.weight).T, _bias(layer))


def _is_padding(layer: nn.Module | None) -> bool:
    """Whether a layer adds zeros before the first step only."""
    pads = isinstance(layer, nn.ZeroPad1d) or (isinstance(layer, nn.ConstantPad1d) and layer.value == 0)
    return pads and layer.padding[1] == 0  # type: ignore[union-attr]


def _convolution(chain: Chain, layer: Any, before: nn.Module | None) -> None:
    """A convolution over time. PyTorch has (out, in, taps), the oldest first."""
    (taps,), (dilation,), nearest = layer.kernel_size, layer.dilation, "(name, width, <conv, taps, dilation>)"
    reach = (taps - 1) * dilation
    padded = before.padding[0] if _is_padding(before) else 0  # type: ignore[union-attr]
    own = 0 if layer.padding == "valid" else layer.padding if isinstance(layer.padding, str) else layer.padding[0]
    if layer.stride != (1,) or layer.groups != 1 or (own and layer.padding_mode != "zeros"):
        raise chain.refuse("a stride, groups and paddings other than zeros can't be taken over", nearest)
    if (own and reach == 0) or (padded, own) not in ((reach, 0), (0, reach), (0, 0)):
        reason = "it reads later steps, or begins late: a causal convolution reads this step and earlier ones"
        raise chain.refuse(f"{reason}, with {reach} zeros before the first", nearest)
    weight = array_of(layer.weight).transpose(2, 1, 0)
    chain.layer(weight.reshape(-1, weight.shape[-1]), _bias(layer), taps, dilation)


def _recurrent(read: Callable[..., dict[str, tuple[Array, Array]]]) -> Callable[[Chain, Any], None]:
    """A reader of all layers of a recurrent network. read: gives the weights and biases of one, by gate."""

    def take(chain: Chain, network: Any) -> None:
        kind, *function = network.mode.lower().split("_")
        if network.bidirectional:
            raise chain.refuse(
                "it reads the sequence backward too, and a step sees earlier steps only", f"(name, width, <{kind}>)"
            )
        if network.proj_size:
            raise chain.refuse(f"proj_size={network.proj_size} has no cell of the library", f"(name, width, <{kind}>)")
        whole, functions = chain.name, {"sigmoid": "sigmoid", "tanh": function[0] if function else "tanh"}
        chain.expect(network.input_size)
        for number in range(network.num_layers):
            if number and network.dropout:
                chain.vectors(f"dropout, {network.dropout!r}", {}, "_drop")
            chain.name = f"{whole}_l{number}" if network.num_layers > 1 else whole
            chain.cell(kind, network.hidden_size, read(*_gates(network, number)), functions)

    return take


def _gates(network: Any, number: int) -> tuple[list[Array], list[Array], list[Array]]:
    """Of each gate of one layer the weight, and both biases."""
    gates = {"LSTM": 4, "GRU": 3}.get(network.mode, 1)
    rows = [array_of(getattr(network, f"weight_{of}_l{number}")) for of in ("ih", "hh")]
    weight = np.concatenate(rows, axis=1).T
    if network.bias:
        biases = [array_of(getattr(network, f"bias_{of}_l{number}")).astype(np.float64) for of in ("ih", "hh")]
    else:
        biases = [np.zeros(weight.shape[1])] * 2
    return np.split(weight, gates, axis=1), np.split(biases[0], gates), np.split(biases[1], gates)


def _rnn(weights: list[Array], seen: list[Array], own: list[Array]) -> dict[str, tuple[Array, Array]]:
    return {"": (weights[0], seen[0] + own[0])}


def _lstm(weights: list[Array], seen: list[Array], own: list[Array]) -> dict[str, tuple[Array, Array]]:
    names = (".in_gate", ".forget_gate", ".candidate", ".out_gate")
    sums = [one + other for one, other in zip(seen, own, strict=True)]
    return dict(zip(names, zip(weights, sums, strict=True), strict=True))


def _gru(weights: list[Array], seen: list[Array], own: list[Array]) -> dict[str, tuple[Array, Array]]:
    inner, outer = weights[2][: -len(own[2])], weights[2][-len(own[2]) :]
    both = {".reset": (weights[0], seen[0] + own[0]), ".update": (weights[1], seen[1] + own[1])}
    return both | {".fresh": (inner, seen[2]), ".recalled": (outer, own[2])}


# Layers without a matrix ----------------------------------------------------------------------------------------------


def _layer_norm(chain: Chain, layer: Any) -> None:
    _norm(chain, layer, f"norm, {layer.eps!r}", {"weight": 1.0, "bias": 0.0})


def _rms_norm(chain: Chain, layer: Any) -> None:
    dtype = torch.float32 if layer.weight is None else layer.weight.dtype
    epsilon = torch.finfo(dtype).eps if layer.eps is None else layer.eps
    _norm(chain, layer, f"rms_norm, {epsilon!r}", {"weight": 1.0})


def _norm(chain: Chain, layer: Any, function: str, first: Mapping[str, float]) -> None:
    """A norm over the vector. first: the numbers of parameters that the layer lacks; without any it never learns."""
    if len(layer.normalized_shape) != 1:
        raise chain.refuse("it is over several axes, and a vector has one", f"<{function}>")
    (width,) = layer.normalized_shape
    chain.expect(width)
    found = {role: getattr(layer, role) for role in first}
    arrays = {role: np.full(width, first[role]) if value is None else array_of(value) for role, value in found.items()}
    chain.vectors(function, arrays)
    if layer.weight is None:
        chain.frozen.append(chain.name)


def _batch_norm(chain: Chain, layer: Any) -> None:
    """What it computes in eval mode: its running means and variances as fixed numbers, then a gain and a shift."""
    if layer.running_mean is None:
        raise chain.refuse("it has no running mean and variance", "<norm>, over the vector and not over the batch")
    chain.expect(layer.num_features)
    scale = np.sqrt(array_of(layer.running_var).astype(np.float64) + layer.eps)
    chain.vectors("standardize", {"mean": array_of(layer.running_mean), "scale": scale}, ".standard")
    for function, role in (("gain", "weight"), ("shift", "bias")):
        if (value := getattr(layer, role)) is not None:
            chain.vectors(function, {role: array_of(value)}, f".{function}")


def _dropout(chain: Chain, layer: Any) -> None:
    if layer.p >= 1.0:
        raise chain.refuse("it drops everything", "<dropout, 0.5>")
    chain.vectors(f"dropout, {float(layer.p)!r}", {})


def _prelu(chain: Chain, layer: Any) -> None:
    if layer.num_parameters > 1:
        chain.expect(layer.num_parameters)
        chain.vectors("prelu", {"weight": array_of(layer.weight)})
    else:
        chain.compose("prelu")
        chain.hold({f"{chain.name}.slope.bias": array_of(layer.weight)})


def _softmax(chain: Chain, layer: Any, function: str = "softmax") -> None:
    chain.apply(function) if function == "softmax" else chain.compose(function)


def _softplus(chain: Chain, layer: Any) -> None:
    if layer.threshold < _EXACT:
        raise chain.refuse(f"it is linear from threshold={layer.threshold} on", "<softplus>, which never is")
    if layer.beta == 1:
        chain.apply("softplus")
    else:
        chain.compose("softplus", p=float(layer.beta), q=1.0 / layer.beta)


def _celu(chain: Chain, layer: Any) -> None:
    chain.compose("celu" if layer.alpha > 0 else "steep_celu", p=1.0 / layer.alpha, q=float(layer.alpha))


def _between(chain: Chain, layer: Any) -> None:
    """A clip to any range, ReLU6 too."""
    low, high = float(layer.min_val), float(layer.max_val)
    if (low, high) == (-1.0, 1.0):
        chain.apply("hard_tanh")
    elif low == -high:
        chain.apply(f"clip, {high!r}")
    else:
        middle = 0.5 * (low + high)
        chain.compose("between", p=-middle, q=high - middle, r=middle)


_READERS: Mapping[type[Any], Callable[[Chain, Any], None]] = {
    nn.Linear: _linear,
    nn.RNN: _recurrent(_rnn),
    nn.LSTM: _recurrent(_lstm),
    nn.GRU: _recurrent(_gru),
    nn.LayerNorm: _layer_norm,
    **({nn.RMSNorm: _rms_norm} if hasattr(nn, "RMSNorm") else {}),  # since PyTorch 2.4
    nn.BatchNorm1d: _batch_norm,
    nn.Dropout: _dropout,
    nn.PReLU: _prelu,
    nn.Softmax: _softmax,
    nn.Softmin: lambda chain, layer: _softmax(chain, layer, "softmin"),
    nn.Softplus: _softplus,
    nn.CELU: _celu,
    nn.Hardtanh: _between,
    nn.ReLU6: _between,
    nn.LeakyReLU: lambda chain, layer: chain.apply(f"relu_leaky, {float(layer.negative_slope)!r}"),
    nn.ELU: lambda chain, layer: chain.apply(f"elu, {float(layer.alpha)!r}"),
    nn.GELU: lambda chain, layer: chain.apply("gelu" if layer.approximate == "tanh" else "gelu_exact"),
    nn.Identity: lambda chain, layer: None,
}


def dtype_of(modules: Iterable[nn.Module]) -> str:
    """float64 if a parameter has this type, else float32."""
    wide = any(value.dtype == torch.float64 for module in modules for value in module.parameters())
    return "float64" if wide else "float32"
