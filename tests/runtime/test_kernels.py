"""A model finds its kernel in the cache, whatever its nodes are called."""

from __future__ import annotations

import gc
import sys
from weakref import ref

import numpy as np
import pytest

import neuromorph as nm
from helpers.texts import LSTM
from neuromorph.machine.templates import form_of
from neuromorph.options import CompileOptions
from neuromorph.runtime.instant import machine
from neuromorph.runtime.kernels import Kernels
from neuromorph.runtime.tiers import kernels_of

RENAMED = LSTM.replace("candidate", "fresh_values").replace("LSTM", "other") + "\n# and a comment of some length\n"


def test_names_and_comments_are_no_part_of_the_key() -> None:
    first, second = nm.compile(LSTM, 2, 0.1), nm.compile(RENAMED, 2, 0.1)
    assert first.kernel_source() != second.kernel_source()
    assert first.kernels.key == second.kernels.key


@pytest.mark.parametrize("change", [{"batch_size": 3}, {"dtype": "float64"}, {"optimizer": "adam"}])
def test_what_changes_the_code_changes_the_key(change: dict[str, object]) -> None:
    graph = nm.compile(LSTM, 2, 0.1).graph
    given: dict[str, object] = {
        "batch_size": 2, "bptt_steps": 16, "optimizer": "sgd", "dtype": "float32", "threads": 1
    }  # fmt: skip
    keys = {Kernels(graph, CompileOptions(**options)).key for options in (given, given | change)}  # type: ignore[arg-type]
    assert len(keys) == 2


@pytest.mark.usefixtures("interpreted")
def test_kernels_are_freed_with_their_model() -> None:
    """At once, not only when the garbage collector runs: a program may be large, and a search makes thousands."""
    model = nm.build(nm.compile(LSTM, 2, 0.1, tier="instant"))
    x, y = np.zeros((5, 2, model.input_width)), np.zeros((5, 2, model.output_width))
    nm.train(model, x, y, 0)
    nm.predict(model, x)
    nm.stream(model, 1)(x[0, 0])
    kernels, plan = ref(model.kernels), ref(model.kernels.plan)
    gc.disable()
    try:
        nm.release(model)
        assert kernels() is None
        assert plan() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("interpreted")
def test_a_machine_that_is_forgotten_is_loaded_again() -> None:
    """As where JIT is turned off and on: plain Python must not stay in use."""
    graph, options = nm.compile(LSTM, 2, 0.1).graph, nm.compile(LSTM, 2, 0.1, tier="instant").options
    plain = machine(kernels_of(graph, options).specialised_for).entry("train")
    assert machine(kernels_of(graph, options).specialised_for).entry("train") is plain
    del sys.modules[plain.__module__]
    assert machine(kernels_of(graph, options).specialised_for).entry("train") is not plain


def test_forms_of_expressions_are_not_kept_for_ever() -> None:
    """Each text may bring numbers of its own."""
    assert form_of.cache_info().maxsize is not None
