"""What the benchmark tool's peers compute, where they are installed: functions, and programs with their gradients."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.benchmark_models import STYLES, cell_texts
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
        self.functions = found.FUNCTIONS | {"scan": found.scan(1)}
        self.linear_scans = found.parallel_scan, found.linear_loop(2)
        self.convolutions, self.array, self.sparse = convolution, jax.numpy.asarray, found.Sparse.of

    def gradient(self, function: Any, arrays: list[Any]) -> tuple[Any, list[Any]]:
        """The value of a function that gives one number, and its gradient by all arrays."""
        import jax

        both = jax.jit(jax.value_and_grad(lambda given: function(*given)))
        return both([self.array(array) for array in arrays])


class _Torch:
    """PyTorch as the tests ask it."""

    def __init__(self) -> None:
        import torch

        found = room("peers.torch_functions")
        self.functions, self.linear_scans = found.FUNCTIONS, (found.parallel_scan, found.linear_loop)
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


def test_programs_and_their_gradients(library: Any) -> None:
    """Losses and gradients of the cases of cells, in all styles, equal those of the interpreter."""
    for text, frozen in cell_texts():
        graph = room("peers.case").Case("small", text, 3, 6, 6, 0.1, frozen=frozen).model().graph
        programs = {room("peers.writer").program(graph, **style) for style in STYLES}
        for written in programs:
            _check(library, graph, written, "product")


@pytest.mark.parametrize("convolution", ["product", "sum", "convolution"])
def test_ways_to_write_a_convolution(library: Any, convolution: str) -> None:
    text, _ = cell_texts()[-1]
    graph = room("peers.case").Case("small", text, 3, 6, 6, 0.1).model().graph
    written = room("peers.writer").program(graph, fused=True)
    assert "convolution(" in written.source
    _check(library, graph, written, convolution)


def _check(library: Any, graph: Any, written: Any, convolution: str) -> None:
    rng = np.random.default_rng(1)
    parameters = interpreter.draw_parameters(graph, rng, np.float64)
    x = rng.normal(size=(6, 3, graph.nodes[graph.input].width))
    e = rng.uniform(0.1, 0.9, (6, 3, graph.nodes[graph.output].width))
    wanted = interpreter.window(graph, parameters, x, e)
    functions = library.functions | {"convolution": library.convolutions[convolution]}
    functions["linear_scan"] = library.linear_scans[0]
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


def test_ways_to_run_a_linear_loop(library: Any) -> None:
    a, b, s = np.cos(np.arange(84.0)).reshape(7, 3, 4), np.sin(np.arange(84.0)).reshape(7, 3, 4), np.ones((3, 4))
    weights = library.array(np.cos(3.0 * a))
    wanted, h = [], s
    for factor, summand in zip(a, b, strict=True):
        h = factor * h + summand
        wanted.append(h)
    found = [
        library.gradient(lambda *p, scan=scan: (scan(*p, library.array(s)) * weights).sum(), [a, b])
        for scan in library.linear_scans
    ]
    np.testing.assert_allclose(found[0][0], np.sum(wanted * np.cos(3.0 * a)), rtol=1e-12)
    for one, other in zip((found[0][0], *found[0][1]), (found[1][0], *found[1][1]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["textbook64", "lstm64x3", "gru128", "reservoir400"])
def test_layers_of_torch_mean_what_the_model_means(name: str) -> None:
    torch = pytest.importorskip("torch")
    listed = room("peers.cases").listed()[name]
    case = replace(listed, text=re.sub(r"\b(64|128|400)\b", "6", listed.text), batch=3, window=5, samples=5)
    graph, rng = case.model().graph, np.random.default_rng(1)
    drawn = interpreter.draw_parameters(graph, rng, np.float32)
    parameters = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in drawn.items()}
    network = room("peers.torch_modules").MODULES[case.module](parameters, case.cells)
    shapes = [(5, 3, graph.nodes[index].width) for index in (graph.input, graph.output)]
    x, e = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    state = tuple(torch.zeros(layers, 3, width) for layers, width in network.state)
    loss, _ = network.window(network.learning, state, torch.from_numpy(x), torch.from_numpy(e))
    wanted = interpreter.window(graph, parameters, x, e)
    assert loss.item() == pytest.approx(wanted.loss, rel=1e-5)
    gradients = torch.autograd.grad(loss, network.learning)
    ours = sum(np.square(gradient).sum() for gradient in wanted.gradients.values())
    assert sum(gradient.square().sum().item() for gradient in gradients) == pytest.approx(ours, rel=1e-4)
