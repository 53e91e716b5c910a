"""Networks of PyTorch as models: the same outputs, and the same gradients of all parameters, over 200 steps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.made_models import without_kernels
from neuromorph.graph import interpreter

torch = pytest.importorskip("torch.nn") and pytest.importorskip("torch")
doors = pytest.importorskip("neuromorph.torch")
nn = torch.nn
prune = pytest.importorskip("torch.nn.utils.prune")
torch.set_num_threads(1)  # other tests run beside these
W, STEPS, LANES = 5, 200, 2
RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models get room for parameters, and no kernel is compiled."""
    monkeypatch.setattr("neuromorph.conversion.chain.build", without_kernels)


def compute(layers: list[Any], x: Any) -> Any:
    """What PyTorch's layers give, one after the other, for data (steps, lanes, width)."""
    padded = False
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            x = compute(list(layer), x)
        elif isinstance(layer, RECURRENT):
            x = layer(x)[0]
        elif isinstance(layer, nn.ZeroPad1d | nn.ConstantPad1d):
            padded = True
        elif isinstance(layer, nn.Conv1d):
            reach = (layer.kernel_size[0] - 1) * layer.dilation[0]
            left = 0 if layer.padding[0] and not padded else reach
            x = layer(nn.functional.pad(x.permute(1, 2, 0), (left, 0))).permute(2, 0, 1)[: len(x)]
            padded = False
        elif isinstance(layer, nn.BatchNorm1d | nn.PReLU):  # they take the second axis for components
            x = layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        else:
            x = layer(x)
    return x


def pieces(layers: Any) -> Any:
    """The single layers of a list."""
    for layer in layers:
        yield from pieces(layer) if isinstance(layer, nn.Sequential) else [layer]


def gradients_by_our_names(layers: list[Any]) -> dict[str, np.ndarray]:
    """PyTorch's gradients, taken over as the parameters are. Of two biases that are added, only one counts."""
    other = copy.deepcopy(layers)
    for one, mine in zip(pieces(other), pieces(layers), strict=True):
        for (name, value), (_, given) in zip(one.named_parameters(), mine.named_parameters(), strict=True):
            value.data = given.grad.clone()
            if name.startswith("bias_hh"):
                value.data[: 2 * one.hidden_size if isinstance(one, nn.GRU) else None] = 0.0
    return dict(doors.chain_of(other).parameters)


def check(layers: list[Any], bare: bool = False, steps: int = STEPS) -> nm.Model:
    """A model has the outputs and gradients of layers in eval mode. bare: whether these have no biases."""
    torch.manual_seed(1)
    for layer in layers:
        layer.double().eval()
        layer.zero_grad()
        for value in layer.parameters():
            torch.nn.init.uniform_(value, -0.6, 0.6)
        for value in layer.buffers():
            if value.dim():
                torch.nn.init.uniform_(value, 0.3, 1.2)
    model = doors.from_torch(layers)
    x = torch.randn(steps, LANES, model.input_width, dtype=torch.float64)
    wanted = compute(layers, x)
    expected = torch.randn(wanted.shape, dtype=torch.float64)
    (wanted - expected).square().mean().backward()
    parameters = model.get_parameters()
    assert np.abs(interpreter.predict(model.graph, parameters, x.numpy()) - wanted.detach().numpy()).max() < 1e-6
    found = interpreter.window(model.graph, parameters, x.numpy(), expected.numpy()).gradients
    taken = gradients_by_our_names(layers)
    for name, gradient in found.items():
        if not (bare and name.endswith(".bias")):
            assert np.abs(taken[name] - gradient).max() < 1e-6, name
    return model


ACTIVATIONS = [
    nn.Tanh(), nn.Sigmoid(), nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.SELU(), nn.GELU(), nn.GELU("tanh"),
    nn.SiLU(), nn.Mish(), nn.Softplus(), nn.Softplus(2.0), nn.Softsign(), nn.Hardtanh(), nn.Hardtanh(-0.4, 0.4),
    nn.Hardtanh(-0.2, 0.7), nn.ReLU6(), nn.Hardsigmoid(), nn.Hardswish(), nn.LogSigmoid(), nn.Tanhshrink(),
    nn.CELU(0.6), nn.CELU(-0.8), nn.Softmax(-1), nn.Softmax(2), nn.Softmin(-1), nn.PReLU(), nn.PReLU(W),
]  # fmt: skip
NETWORKS: dict[str, Callable[[], list[Any]]] = {
    "linear": lambda: [nn.Linear(3, 2)],
    "without bias": lambda: [nn.Linear(3, W, bias=False), nn.Tanh(), nn.Linear(W, 2, bias=False)],
    "rnn": lambda: [nn.RNN(3, W), nn.Linear(W, 2)],
    "relu rnn": lambda: [nn.RNN(3, W, nonlinearity="relu"), nn.Linear(W, 2)],
    "lstm alone": lambda: [nn.LSTM(3, W)],
    "lstm without bias": lambda: [nn.LSTM(3, W, bias=False)],
    "gru": lambda: [nn.GRU(3, W), nn.Linear(W, 2)],
    "gru of three layers": lambda: [nn.GRU(3, W, num_layers=3, dropout=0.3, batch_first=False)],
    "convolutions": lambda: [
        nn.Conv1d(3, W, 3, dilation=2), nn.ReLU(), nn.Conv1d(W, 4, 2, padding=1), nn.ZeroPad1d((2, 0)),
        nn.Conv1d(4, 2, 3),
    ],
    "norms": lambda: [
        nn.Linear(3, W), nn.LayerNorm(W), nn.BatchNorm1d(W), nn.RMSNorm(W, 0.01),
        nn.LayerNorm(W, elementwise_affine=False), nn.BatchNorm1d(W, affine=False), nn.Linear(W, 2),
    ],
    "mixed": lambda: [
        nn.Sequential(nn.Identity(), nn.Linear(3, W), nn.Tanh(), nn.ReLU()), nn.LSTM(W, 6, num_layers=2),
        nn.Dropout(0.4), nn.LayerNorm(6), nn.Conv1d(6, W, 2), nn.GELU(), nn.GRU(W, 4), nn.RNN(4, 3), nn.Softplus(),
    ],
}  # fmt: skip


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=repr)
def test_activations(layer: Any) -> None:
    check([nn.Linear(3, W), layer, nn.Linear(W, 2)], steps=20)
    check([nn.Linear(3, W), nn.Tanh(), layer], steps=20)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    check(NETWORKS[name](), bare="bias" in name)


def test_an_activation_may_come_again() -> None:
    again = nn.Tanh()
    model = doors.from_torch(nn.Sequential(nn.Linear(3, 4), again, nn.Linear(4, 4), again))
    assert model.text.count("<tanh>") == 2


def test_names_and_text_are_plain() -> None:
    net = nn.Sequential()
    for name, layer in {"body": nn.LSTM(3, W), "1": nn.Linear(W, 4), "act": nn.ReLU(), "head": nn.Linear(4, 2)}.items():
        net.add_module(name, layer)
    model = doors.from_torch(net, loss="huber")
    assert model.text.split("\n") == [
        "/xavier,zero/", "(input, 3)", "(body, 5, <lstm>)", "(linear_1, 4, <relu>)",
        "(head, 2, <linear>, <huber>)", "",
    ]  # fmt: skip
    assert model.dtype == np.float32
    np.testing.assert_array_equal(model.get_parameters()["head.weight"], net.head.weight.detach().numpy().T)


def test_a_layer_that_hands_on_never_learns() -> None:
    model = doors.from_torch(nn.GRU(3, 4))
    assert model.options.frozen == ("output",)
    assert {array.name for array in model.graph.arrays if not array.learns} == {"output.weight", "output.bias"}


def test_numbers_survive_both_ways() -> None:
    model = doors.from_torch([nn.GRU(3, 4, num_layers=2), nn.Linear(4, 2)])
    module = doors.to_torch(model)
    for name, value in module.named_parameters():
        np.testing.assert_array_equal(value.detach().numpy(), model.get_parameters()[name])


def test_the_second_axis_may_have_the_components() -> None:
    x = np.random.default_rng(0).normal(size=(7, 1, 3)).astype(np.float32)
    for layers in ([nn.Linear(3, 4), nn.Softmax(1)], [nn.Conv1d(3, 4, 1), nn.Softmax(1), nn.Softmin(-2)]):
        given = torch.from_numpy(x[:, 0] if isinstance(layers[0], nn.Linear) else x.transpose(1, 2, 0))
        wanted = nn.Sequential(*layers)(given).detach().numpy()
        model = doors.from_torch(layers)
        found = interpreter.predict(model.graph, model.get_parameters(), x)[:, 0]
        np.testing.assert_allclose(found, wanted if given.ndim == 2 else wanted[0].T, atol=1e-6)


def hooked(layer: Any, register: str = "register_forward_hook", part: str = "") -> Any:
    getattr(layer.get_submodule(part), register)(lambda *given: None)
    return layer


class Backward(nn.Sequential):
    def forward(self, x: Any) -> Any:
        for layer in reversed(self):
            x = layer(x)
        return x


def with_forward(layer: Any) -> Any:
    layer.forward = lambda x: x
    return layer


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.LSTM(3, 4), nn.Linear(4, 2)


TIED = nn.Linear(4, 4)
REFUSED = {
    "twice": (
        nn.Sequential(nn.Linear(3, 4), TIED, TIED),
        "layer '2' (Linear): it shares weights with an earlier layer, and nodes share none; the nearest text is a",
    ),
    "threshold": ([nn.Linear(3, 2), nn.Softplus(threshold=5)], "(Softplus): it is linear from threshold=5 on"),
    "one step": ([nn.GRUCell(3, 4)], "has the loop; the nearest text is (name, width, <gru>)"),
    "bidirectional": (
        [nn.Linear(3, 4), nn.GRU(4, 5, bidirectional=True)],
        "layer '1' (GRU): it reads the sequence backward too, and a step sees earlier steps only; the nearest text is "
        "(name, width, <gru>)",
    ),
    "projection": ([nn.LSTM(3, 4, proj_size=2)], "layer '0' (LSTM): proj_size=2 has no cell of the library"),
    "centred": ([nn.Conv1d(3, 4, 3, padding=1)], "layer '0' (Conv1d): it reads later steps, or begins late: a causal"),
    "same": ([nn.Conv1d(3, 4, 3, padding="same")], "layer '0' (Conv1d): it reads later steps, or begins late"),
    "stride": ([nn.Conv1d(4, 4, 3, stride=2)], "layer '0' (Conv1d): a stride, groups and paddings other than zeros"),
    "groups": ([nn.Conv1d(4, 4, 3, groups=2)], "layer '0' (Conv1d): a stride, groups and paddings other than zeros"),
    "own": ([Own()], "layer '0' (Own): it is not known here; the nearest text is that of its layers, if they run one"),
    "embedding": (
        nn.Sequential(nn.Embedding(9, 3), nn.Linear(3, 2)),
        "layer '0' (Embedding): inputs are vectors here; the nearest text is a layer over one-hot vectors",
    ),
    "log": ([nn.Linear(3, 2), nn.LogSoftmax(-1)], "the nearest text is <softmax> with the loss <cross_entropy>"),
    "axis": ([nn.Linear(3, 2), nn.Softmax(0)], "layer '1' (Softmax): dim=0 is not the axis of components"),
    "lanes": (
        [nn.Linear(3, 2), nn.Softmax(1), nn.LSTM(2, 4)],
        "layer '1' (Softmax): dim=1 is not the axis of components, which is dim=-1 here; the nearest text is <softmax>",
    ),
    "lanes after a loop": ([nn.GRU(3, 2), nn.Softmin(1)], "layer '1' (Softmin): dim=1 is not the axis of components"),
    "steps": ([nn.Conv1d(3, 2, 1), nn.Softmax(-1)], "dim=-1 is not the axis of components, which is dim=1 here"),
    "hook": ([nn.Linear(3, 4), hooked(nn.Tanh())], "layer '1' (Tanh): it has hooks, and what they do is not known"),
    "hook before": (
        nn.Sequential(nn.Sequential(nn.Linear(3, 4), hooked(nn.Linear(4, 2), "register_forward_pre_hook"))),
        "layer '0.1' (Linear): it has hooks, and what they do is not known; the nearest text is that of the layer "
        "without them: remove them, if they only look on",
    ),
    "hook backward": ([hooked(nn.LSTM(3, 4), "register_full_backward_hook")], "layer '0' (LSTM): it has hooks"),
    "hook of padding": (
        [hooked(nn.ZeroPad1d((2, 0))), nn.Conv1d(3, 2, 3)], "layer '0' (ZeroPad1d): it has hooks, and what they do",
    ),
    "hook of the whole": (
        hooked(nn.Sequential(nn.Linear(3, 4))), "Sequential: it has hooks, and what they do is not known; the nearest",
    ),
    "hook of a part": (
        nn.Sequential(hooked(nn.Sequential(nn.Linear(3, 4)))), "layer '0' (Sequential): it has hooks, and what they do",
    ),
    "pruned": ([prune.l1_unstructured(nn.Linear(3, 4), "weight", 2)], "layer '0' (Linear): it has hooks, and what"),
    "own forward": ([with_forward(nn.Linear(3, 2))], "layer '0' (Linear): it has a forward of its own"),
    "own order": (Backward(nn.Linear(2, 2)), "Backward: it has a forward of its own; the nearest text is that of its"),
    "no statistics": ([nn.BatchNorm1d(3, track_running_stats=False)], "it has no running mean and variance"),
    "widths": ([nn.Linear(3, 4), nn.Linear(5, 2)], "layer '1' (Linear) takes 5 components, and 4 come in"),
    "no width": ([nn.Tanh()], "the network has no layer that says how wide its input is"),
    "everything": ([nn.Linear(3, 4), nn.Dropout(1.0)], "layer '1' (Dropout): it drops everything"),
    "complex": ([nn.Linear(3, 2, dtype=torch.complex64)], "layer '0' (Linear): its numbers are complex"),
    "computed": (
        [nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))],
        "its weights are computed from other parameters; the nearest text is that of the same layer, after torch.nn",
    ),
    "number": (
        [nn.Linear(3, 4), nn.RNN(4, 4, nonlinearity="relu"), nn.LayerNorm(4, eps=0.0), nn.Linear(4, 2)],
        "layer '2' (LayerNorm): 'norm': epsilon must be greater than 0, not 0.0; the nearest text is (layernorm_2, "
        "<norm, 0.0>) with other numbers",
    ),
    "axes": ([nn.LayerNorm((3, 4))], "layer '0' (LayerNorm): it is over several axes, and a vector has one"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_taken_over_is_named(name: str) -> None:
    module, message = REFUSED[name]
    with pytest.raises(nm.ConversionError) as error:
        doors.from_torch(module)
    assert message in str(error.value)


def test_what_is_no_module_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"module must be a module of PyTorch or a list of them, not 'net.pt'"):
        doors.from_torch("net.pt")
