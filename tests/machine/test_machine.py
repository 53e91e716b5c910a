"""The machine gives what the reference gives, for all that a text can say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers import witnesses
from helpers.function_forms import LOSS_FORMS, PARAMETERS
from helpers.machines import MachineKernel, functions_of
from helpers.random_models import bounded, floor_of
from helpers.random_texts import texts
from helpers.texts import GRU, HEADER, LSTM, STRUCTURES, TAIL, text_of
from neuromorph.codegen import KernelOptions
from neuromorph.functions import ACTIVATIONS, ELEMENTWISE, MERGES

LANES = (2, 4, 8)


def check(text: str, *, dtype: str = "float64", lanes: int = 4, batch: int = 3, **data: Any) -> None:
    """The machine in plain Python agrees with the reference."""
    trial = witnesses.trial_of(text, batch=batch, **data)
    kernel = MachineKernel(trial.graph, KernelOptions(batch, dtype, lanes, 16, "sgd"))
    found = witnesses.kernel_outcome(kernel, functions_of(kernel), trial)  # type: ignore[arg-type]
    wanted = witnesses.reference_outcome(trial)
    witnesses.assert_agree(found, wanted, witnesses.TOLERANCE[dtype], text)


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure(name: str) -> None:
    number = list(STRUCTURES).index(name)
    check(text_of(STRUCTURES[name]), lanes=LANES[number % 3], batch=(1, 3, 8)[number // 3 % 3])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("text", [LSTM, GRU])
def test_cells_with_weights_and_windows_that_are_cut_short(text: str, dtype: str) -> None:
    check(text, dtype=dtype, samples=9, window=4, weighted=True)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation(name: str) -> None:
    for number, form in enumerate({"": 0, PARAMETERS.get(name, ""): 0}):
        header = HEADER.replace("0.6", "0.2") if name == "exp" else HEADER
        shape = f"(input, 3)(hidden, 5, <{name}{form}>)(wide, 9, <{name}{form}>)(more, <{name}{form}>)"
        check(f"{header} {shape} {TAIL}", lanes=LANES[number], samples=4, window=3)


@pytest.mark.parametrize("form", LOSS_FORMS)
def test_every_loss(form: str) -> None:
    name = form.strip("<>").split(",")[0].split()[0]
    span = {"hinge": (-1.5, 1.5), "mape": (-0.9, -0.2)}.get(name, (0.1, 0.9))
    for number, activation in enumerate(("linear", "sigmoid", "softmax")):
        text = f"{HEADER} (input, 3)(hidden, 5, <tanh>)(output, 3, <{activation}>, {form})"
        check(text, lanes=LANES[number], samples=4, window=3, weighted=number == 1, span=span)


@pytest.mark.parametrize("name", sorted(MERGES))
def test_every_merge(name: str) -> None:
    record = MERGES[name]
    widths = {"any": (2, 5, 7), "same": (5,), "one": (1,)}[record.other_width]
    for number, width in enumerate(widths):
        other = f"(o, {width}, <sigmoid>)"
        body = f"[s, {other}] (a, 5, <tanh>) {{m, o, {name}}} (r, 4, <tanh>)"
        later = f"{{n, q, {name}}} (p, 3, <tanh>) [t, (q, {4 if record.other_width == 'same' else width}, <sigmoid>)]"
        check(text_of(body + ("" if name == "divisive" else later)), lanes=LANES[number], batch=2)  # by no state of 0


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_every_elementwise_layer(name: str) -> None:
    given = f"{name}, 0.5" if name in ("dropout", "learned") else name
    body = f"(a, 5, <tanh>) (e, <{given}>) {{m, h, additive}} (h, 5, <tanh>) (f, <{given}>)"
    if name == "learned":
        body = "(a, 5, <tanh>) [s, (e, 5, <learned, 0.5>)] {m, e, additive}"
    for lanes in LANES:
        check(text_of(body), lanes=lanes, batch=2)


@bounded(25)
@given(texts(), st.sampled_from([1, 3, 8]), st.sampled_from([1, 2, 5]), st.sampled_from(LANES), st.booleans())
def test_random_texts(text: str, batch: int, window: int, lanes: int, weighted: bool) -> None:
    trial = witnesses.trial_of(text, batch=batch, samples=5, window=window, weighted=weighted)
    wanted = witnesses.reference_outcome(trial)
    assume(all(np.abs(value).max(initial=0.0) < 1e3 for value in wanted.arrays().values()))
    kernel = MachineKernel(trial.graph, KernelOptions(batch, "float64", lanes, 16, "sgd"))
    found = witnesses.kernel_outcome(kernel, functions_of(kernel), trial)  # type: ignore[arg-type]
    witnesses.assert_agree(found, wanted, 1e-9, text, floor_of(wanted))
