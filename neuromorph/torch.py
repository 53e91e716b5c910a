"""PyTorch: its networks become models, and any model becomes a module of PyTorch. Needs the package torch."""

from __future__ import annotations

from typing import Any

try:
    import torch
except ImportError:
    raise ImportError("neuromorph.torch needs PyTorch: pip install 'neuromorph[torch]'") from None

from .conversion.torch_layers import array_of, chain_of, dtype_of, layers_of
from .conversion.torch_network import Network, graph_of
from .interface import Model, build, compile

__all__ = ["Network", "from_torch", "to_torch"]


def from_torch(
    module: Any,
    *,
    loss: str = "mse",
    batch_size: int = 1,
    learning_rate: float = 0.01,
    dtype: str | None = None,
    **options: Any,
) -> Model:
    """The built model of a network of PyTorch, with the same numbers.

    module: layers that run one after the other: an ``nn.Sequential``, also of others, an ``nn.ModuleList``, a list, or
    a single layer. Of a recurrent layer the values of all steps go on; ``batch_first`` is the layout of data only, and
    data here are (steps, lanes, width). A ``Conv1d`` becomes causal, with zeros before the first step: its padding must
    be 0 or (kernel_size - 1) * dilation, and an ``nn.ZeroPad1d`` may stand before it. ``BatchNorm1d`` becomes what it
    computes in eval mode. ``Softmax(dim=1)`` is over components behind a convolution, and where nothing
    goes through time, so that data are (vectors, width). A layer without a bias gets one of zeros, which learns. A
    ``Network`` of ``to_torch`` gives the model that it came from.

    loss: of the output, as in a text, such as "cross_entropy". Where the last layer can't be an output, a layer follows
    that hands on what comes in and never learns. dtype: None takes that of the parameters. batch_size, learning_rate,
    options: as in ``compile``.

    Raises ConversionError, which names the layer and the nearest text, for what can't be taken over.
    """
    if isinstance(module, Network):
        return _back(module, batch_size, learning_rate, dtype, options)
    layers = [layer for _, layer in layers_of(module)]
    chosen = dtype_of(layers) if dtype is None else dtype
    return chain_of(module).model(loss, batch_size, learning_rate, dtype=chosen, **options)


def to_torch(model: Model) -> Network:
    """A module of PyTorch that computes what a built model computes, for any text.

    Its parameters are copies, with the model's names and shapes. It is in eval mode, in which nothing is dropped, and
    trains on any device after ``train()``. Gradients are those of the model: also where a derivative is a surrogate.
    Raises ModelStateError before ``build``.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a neuromorph Model, not {type(model).__name__}")
    parameters = {name: torch.from_numpy(value) for name, value in model.get_parameters().items()}
    learning = frozenset(array.name for array in model.graph.arrays if array.learns)
    module = Network(model.text, parameters, learning)
    module.eval()
    return module


def _back(module: Network, batch_size: int, learning_rate: float, dtype: str | None, options: dict[str, Any]) -> Model:
    """The model of a module that ``to_torch`` made, with the module's parameters."""
    named = dict(module.named_parameters())
    graph = graph_of(module.text)
    learns = {array.name for array in graph.arrays if array.learns}
    stays = [array for array in graph.arrays if array.name in learns and not named[array.name].requires_grad]
    frozen = {graph.nodes[array.node].name for array in stays}
    options.setdefault("frozen", sorted(frozen))
    chosen = dtype_of([module]) if dtype is None else dtype
    model = build(compile(module.text, batch_size, learning_rate, dtype=chosen, **options))
    model.set_parameters({name: array_of(value) for name, value in named.items()})
    return model
