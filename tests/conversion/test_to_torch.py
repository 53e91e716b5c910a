"""Models as modules of PyTorch: the same numbers, the same gradients, the same names."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import neuromorph as nm
from helpers.function_forms import PARAMETERS
from helpers.made_models import inputs_of, is_well_conditioned, made, meant, without_kernels
from helpers.random_models import bounded
from helpers.random_texts import texts
from neuromorph.functions import ACTIVATIONS, LOSSES, VOCABULARY
from neuromorph.graph import interpreter
from neuromorph.language import library

torch = pytest.importorskip("torch.nn") and pytest.importorskip("torch")
doors = pytest.importorskip("neuromorph.torch")
torch.set_num_threads(1)  # other tests run beside these

HEAD, END = "/uniform -0.6 0.6,const_uneven 0.1 0.3/ (input, 3) ", " (output, 2, <linear>, <mse>)"
TEXTS = 300 if float(os.environ.get("NEUROMORPH_NIGHTLY") or 0.0) else 10


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models get room for parameters, and no kernel is compiled."""
    monkeypatch.setattr(doors, "build", without_kernels)


def values_of(module: Any) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def check(model: nm.Model, steps: int = 9, tolerance: float = 1e-9) -> None:
    """Outputs, and the gradients of their mean squared error, are those of the text."""
    inputs, graph = inputs_of(model, steps), replace(model.graph, loss=LOSSES["mse"], loss_parameter=None)
    expected = np.random.default_rng(2).normal(size=(*inputs.shape[:2], model.output_width))
    with np.errstate(all="ignore"):
        wanted = interpreter.window(graph, model.get_parameters(), inputs, expected)
    module = doors.to_torch(model)
    y, (outputs, size) = module(torch.from_numpy(inputs)), meant(model, inputs)
    assert np.abs(y.detach().numpy() - outputs).max() <= tolerance * size, model.text
    parameters = dict(module.named_parameters())
    loss = ((y - torch.from_numpy(expected)) / parameters.get("out.scale", 1.0)).square().mean()
    if loss.requires_grad:
        loss.backward()
    scale = max([1.0, *(float(np.abs(value).max()) for value in wanted.gradients.values())])
    for name, gradient in wanted.gradients.items():
        found = parameters[name].grad
        assert np.abs((0.0 if found is None else found.numpy()) - gradient).max() <= tolerance * scale, (
            name,
            model.text,
        )


def test_every_word_of_the_records_has_a_function() -> None:
    from neuromorph.conversion import torch_functions

    assert torch_functions.WORDS.keys() == VOCABULARY
    assert torch_functions.COUPLED.keys() == {name for name, record in ACTIVATIONS.items() if record.couples}


@pytest.mark.parametrize("name", [cell.name for cell in library()])
def test_cells_over_200_steps(name: str) -> None:
    check(made(f"{HEAD}(h, 4, <{name}>){END}"), 200)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_are_those_of_the_records(name: str) -> None:
    """Also at bends, where the inputs are whole numbers and 0 is one of them."""
    model = made(f"{HEAD}(a, <{name}{PARAMETERS.get(name, '')}>) (g, <gain>){END}")
    x = torch.tensor([-3.0, -1.0, -0.3, 0.0, 0.3, 1.0, 3.0, 4.0], dtype=torch.float64).repeat(3, 1, 1).permute(2, 1, 0)
    record, node = ACTIVATIONS[name], model.graph.nodes[1]
    from neuromorph.conversion.torch_functions import activate

    x.requires_grad_()
    y = activate(record, x, node.parameter)
    g = np.random.default_rng(0).normal(size=x.shape)
    with np.errstate(all="ignore"):
        wanted = record.value(x.detach().numpy(), node.parameter)
        slope = record.gradient(x.detach().numpy(), wanted, g, node.parameter)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-12, atol=1e-15)
    if y.requires_grad:
        y.backward(torch.from_numpy(g))
        np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-10, atol=1e-15)
    else:
        assert not np.any(slope)


@bounded(TEXTS)
@given(texts(), st.integers(0, 1000))
def test_random_texts(text: str, seed: int) -> None:
    model = made(text, "float64", seed)
    assume(is_well_conditioned(model, inputs_of(model)))
    check(model)


def test_names_are_those_of_the_model_even_where_a_module_has_such_methods() -> None:
    text = f"{HEAD}(train, 3, <tanh>) (to, 4, <lstm>) (a, 2, <tanh>) (a.weight, <gain>) (b..c., 2, <tanh>){END}"
    model = made(text, "float32")
    module = doors.to_torch(model)
    assert list(values_of(module)) == list(module.state_dict()) == list(model.get_parameters())
    check(made(text))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        x = torch.from_numpy(inputs_of(model))
        assert torch.equal(other(x), module(x))


def test_what_never_learns_needs_no_gradient() -> None:
    model = nm.compile(f"{HEAD}(s, <standardize>) (a, 4, <tanh>){END}", 1, 0.1, frozen="a")
    model.prepare()
    model.set_parameters({"s.scale": 2.0})
    module = doors.to_torch(model)
    learning = [name for name, value in module.named_parameters() if value.requires_grad]
    assert learning == ["output.weight", "output.bias"]
    back = doors.from_torch(module)
    assert back.options.frozen == ("a",)


def test_round_trips_keep_the_bits() -> None:
    for dtype in ("float32", "float64"):
        model = made(f"{HEAD}(h, 4, <gru>) {{d, h, concatenate, 3}}{END}", dtype)
        back = doors.from_torch(doors.to_torch(model))
        assert (back.text, back.dtype) == (model.text, model.dtype)
        for name, value in model.get_parameters().items():
            np.testing.assert_array_equal(back.get_parameters()[name], value)


def test_a_state_can_be_given_and_taken() -> None:
    """Half a sequence after the other is the whole sequence."""
    model = made(f"{HEAD}(h, 4, <lstm>) {{d, h, subtractive, 3}} (c, 3, <conv, 2, 5>){END}")
    module, x = doors.to_torch(model), torch.from_numpy(inputs_of(model, 12))
    whole, end = module(x, return_state=True)
    first, state = module(x[:5], return_state=True)
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        model.graph.nodes[index].name: model.graph.state_shape(index, 3) for index in model.graph.history
    }
    second, last = module(x[5:], state, return_state=True)
    torch.testing.assert_close(torch.cat((first, second)), whole, rtol=0.0, atol=1e-13)
    assert last.keys() == end.keys()
    for name, value in end.items():
        torch.testing.assert_close(last[name], value, rtol=0.0, atol=1e-13)


def test_shapes_are_those_of_predict() -> None:
    model = made(f"{HEAD}(h, 4, <rnn>){END}")
    module, x = doors.to_torch(model), torch.from_numpy(inputs_of(model, 6, 4))
    assert torch.allclose(module(x[:, 0]), module(x)[:, 0])
    assert torch.allclose(module(torch.stack((x, x + 1.0)))[1], module(x + 1.0))


def test_only_train_drops() -> None:
    module = doors.to_torch(made(f"{HEAD}(a, 20, <tanh>) (d, <dropout, 0.5>){END}"))
    x = torch.ones(4, 2, 3, dtype=torch.float64)
    assert torch.equal(module(x), module(x))
    module.train()
    assert not torch.equal(module(x), module(x))


def test_a_module_learns() -> None:
    """Running means, by PyTorch's own optimizer."""
    model = made(f"{HEAD}(h, 8, <gru>){END}", "float32")
    module, x = doors.to_torch(model).train(), torch.from_numpy(inputs_of(model, 12, 8))
    wanted = (x.cumsum(0) / torch.arange(1, 13)[:, None, None])[..., :2]
    optimizer = torch.optim.Adam(module.parameters(), 0.03)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = (module(x) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_wrong_calls_say_what_is_needed() -> None:
    module = doors.to_torch(made(f"{HEAD}(h, 4, <rnn>){END}"))
    x = torch.zeros(5, 2, 3, dtype=torch.float64)
    with pytest.raises(nm.DataError, match=r"x has shape \(5, 2, 2\), but must have shape \(S, B, 3\)"):
        module(x[..., :2])
    with pytest.raises(nm.DataError, match="no link in time reads 'g'; those that are read are h"):
        module(x, {"g": x[0]})
    with pytest.raises(nm.DataError, match=r"'h' has shape \(2, 3\), but must have shape \(2, 4\)"):
        module(x, {"h": x[0]})
    with pytest.raises(nm.DataError, match="give and ask for no state"):
        module(x[None], return_state=True)
    with pytest.raises(TypeError, match="model must be a neuromorph Model, not str"):
        doors.to_torch("net.safetensors")
    with pytest.raises(nm.ModelStateError, match="not built yet"):
        doors.to_torch(nm.compile(HEAD + END, 1, 0.1))
