"""What the benchmark tool's peers compute, where they are installed: functions, and programs with their gradients."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pytest

from helpers.tools import room, tools_path  # noqa: F401 - a fixture
from neuromorph.functions import ACTIVATIONS, LOSSES
from neuromorph.graph import interpreter

X = np.array([[-3.1, -0.7, -0.2, 0.03, 0.4, 0.9, 2.6], [1.2, -1.4, 0.6, -0.05, 3.3, -0.9, 0.1]])


class _Jax:
    """JAX as the tests ask it."""

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        found, convolution = room("peers.jax_functions"), room("peers.jax_functions").CONVOLUTIONS
        self.functions = found.FUNCTIONS | {"scan": found.scan(1), "linear_scan": found.linear_scan}
        self.convolutions, self.array, self.sparse = convolution, jax.numpy.asarray, found.Sparse.of

    def gradient(self, function: Any, arrays: list[Any]) -> tuple[Any, list[Any]]:
        """The value of a function that gives one number, and its gradient by all arrays."""
        import jax

        return jax.value_and_grad(lambda given: function(*given))([self.array(array) for array in arrays])


class _Torch:
    """PyTorch as the tests ask it."""

    def __init__(self) -> None:
        import torch

        found = room("peers.torch_functions")
        self.functions = found.FUNCTIONS | {"linear_scan": found.parallel_scan}
        self.convolutions, self.array = found.CONVOLUTIONS, torch.from_numpy

    def sparse(self, matrix: Any) -> Any:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.from_numpy(matrix.T.copy()).to_sparse_csr()

    def gradient(self, function: Any, arrays: list[Any]) -> tuple[Any, list[Any]]:
        import torch

        given = [torch.from_numpy(np.array(array)).requires_grad_() for array in arrays]
        value = function(*given)
        return value.detach().numpy(), [each.numpy() for each in torch.autograd.grad(value, given)]


@pytest.fixture(params=[("jax", _Jax), ("torch", _Torch)], ids=["jax", "torch"])
def library(request: pytest.FixtureRequest) -> Any:
    """A peer, where it is installed."""
    pytest.importorskip(request.param[0])
    return request.param[1]()


def test_activations(library: Any) -> None:
    for name, record in ACTIVATIONS.items():
        if name in ("linear", "binary_step", "detach"):
            continue
        numbers = [] if record.parameter is None else [record.parameter.default]
        weights = np.cos(X + 1.0)
        function = library.functions[name]
        value, (gradient,) = library.gradient(
            lambda x, f=function, n=numbers, w=weights: (f(x, *n) * library.array(w)).sum(), [X]
        )
        y = record.value(X, *(numbers or [None]))
        np.testing.assert_allclose(value, (y * weights).sum(), rtol=1e-6, err_msg=name)
        wanted = record.gradient(X, y, weights, *(numbers or [None]))
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-9, err_msg=name)


def test_losses(library: Any) -> None:
    e = np.abs(np.sin(X))
    for name, record in LOSSES.items():
        r = 0.05 + 0.9 / (1.0 + np.exp(-X))
        numbers = [] if record.parameter is None else [record.parameter.default]
        function = library.functions[name]
        value, (gradient,) = library.gradient(lambda r, f=function, n=numbers: f(r, library.array(e), *n), [r])
        np.testing.assert_allclose(value, record.value(r, e, *(numbers or [None])).mean(), rtol=1e-6, err_msg=name)
        wanted = record.gradient(r, e, *(numbers or [None])) / len(r)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("convolution", ["product", "sum", "convolution"])
def test_programs_and_their_gradients(library: Any, convolution: str) -> None:
    """Losses and gradients of the cases of cells, in all styles, equal those of the interpreter."""
    programs = importlib.import_module("test_benchmark_programs")
    for text, frozen in programs._cell_texts():
        case = room("peers.case").Case("small", text, 3, 6, 6, 0.1, frozen=frozen)
        for style in programs.STYLES:
            _check(library, convolution, case.model().graph, style)


def _check(library: Any, convolution: str, graph: Any, style: dict[str, bool]) -> None:
    written, rng = room("peers.writer").program(graph, **style), np.random.default_rng(1)
    parameters = interpreter.draw_parameters(graph, rng, np.float64)
    x = rng.normal(size=(6, 3, graph.nodes[graph.input].width))
    e = rng.uniform(0.1, 0.9, (6, 3, graph.nodes[graph.output].width))
    wanted = interpreter.window(graph, parameters, x, e)
    functions = library.functions | {"convolution": library.convolutions[convolution]}
    constants = {
        name: library.sparse(array) if np.mean(array != 0) < 0.6 and array.ndim == 2 else library.array(array)
        for name, array in written.constants(parameters).items()
    }
    window = written.bind(functions, constants)
    state = tuple(library.array(np.zeros(shape)) for shape in written.start(3))
    value, gradients = library.gradient(
        lambda *p: window(p, state, library.array(x), library.array(e))[0], written.pack(parameters)
    )
    np.testing.assert_allclose(value, wanted.loss, rtol=1e-9, err_msg=written.source)
    for gradient, packed in zip(gradients, written.pack(wanted.gradients), strict=True):
        np.testing.assert_allclose(gradient, packed, rtol=1e-7, atol=1e-12, err_msg=written.source)


@pytest.mark.parametrize(("cells", "module"), [(("lstm", "lstm", "lstm"), "LSTM"), (("gru",), "GRU")])
def test_layers_of_torch_mean_what_the_model_means(cells: tuple[str, ...], module: str) -> None:
    torch = pytest.importorskip("torch")
    text = room("peers.cases").cells(5, *cells)
    graph, rng = room("peers.case").Case("small", text, 3, 6, 6, 0.1).model().graph, np.random.default_rng(1)
    parameters = {name: 3.0 * array for name, array in interpreter.draw_parameters(graph, rng, np.float32).items()}
    parameters = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in parameters.items()}
    names = tuple(f"h{place}." for place in range(len(cells)))
    network = room("peers.torch_modules").MODULES[module](parameters, names)
    x, e = (rng.normal(size=(6, 3, 5)).astype(np.float32) for _ in range(2))
    state = tuple(torch.zeros(layers, 3, width) for layers, width in network.state)
    loss, _ = network.window(network.learning, state, torch.from_numpy(x), torch.from_numpy(e))
    wanted = interpreter.window(graph, parameters, x, e)
    assert loss.item() == pytest.approx(wanted.loss, rel=1e-5)
    gradients = torch.autograd.grad(loss, network.learning)
    ours = sum(np.square(gradient).sum() for gradient in wanted.gradients.values())
    assert sum(gradient.square().sum().item() for gradient in gradients) == pytest.approx(ours, rel=1e-4)
