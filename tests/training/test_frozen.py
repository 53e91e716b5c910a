"""Parameters that never learn: no gradient of them is computed."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers import witnesses
from helpers.texts import HEADER
from helpers.witnesses import jit_disabled
from neuromorph.codegen import KernelOptions, generate
from neuromorph.graph import freeze
from neuromorph.schedule import Product, verify

TEXT = (
    "/xavier,zero/ (input, 3) (a, 4, <tanh>) [s, (b, 4, <sigmoid>)] (n, <norm>) {m, b, additive} "
    "{xh, h, concatenate} (h, 5, <tanh>) (output, 2, <linear>, <mse>)"
)


@pytest.fixture(autouse=True)
def no_jit() -> Any:
    with jit_disabled():
        yield


def built(frozen: Any, optimizer: str = "sgd") -> nm.Model:
    nm.seed(3)
    return nm.build(nm.compile(TEXT, 2, 0.1, optimizer=optimizer, bptt_steps=4, frozen=frozen))


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 2, 3)), rng.normal(size=(8, 2, 2))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("frozen", ["a", ["n", "h"], "*", ["?"], ()])
def test_frozen_parameters_stay_and_the_others_learn_as_if_they_could_learn(frozen: Any, optimizer: str) -> None:
    model, free = built(frozen, optimizer), built((), optimizer)
    before = nm.get_parameters(model)
    learning = {name for name in before if name.split(".")[0] not in model.options.frozen}
    assert nm.gradients(model, *data())[1].keys() == learning
    loss, wanted = nm.gradients(free, *data())
    assert nm.gradients(model, *data())[0] == loss
    for name, gradient in nm.gradients(model, *data())[1].items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-5, atol=1e-7)
    nm.train(model, *data(), 0)
    for name, value in nm.get_parameters(model).items():
        assert (value != before[name]).any() == (name in learning), name
    assert {name.partition(".")[2] for name in model.optimizer_state if "." in name} <= learning


def test_no_product_makes_a_gradient_of_frozen_weights() -> None:
    plan = built(["a", "b"]).kernels.plan.training
    groups = {op.group for op in plan.backward[-1].operations if isinstance(op, Product)}
    names = {plan.graph.nodes[m.node].name for g in groups for m in plan.groups[g].members}
    assert names == {"h", "output"}
    assert not any(op.kind == "backward" and op.note == "back to input" for s in plan.backward for op in s.operations
                   if isinstance(op, Product))  # fmt: skip


def function_of(source: str, name: str) -> str:
    """The lines of a function of a generated source."""
    return source.partition(f"\ndef {name}(")[2].partition("\n@native")[0]


def test_transposes_of_frozen_weights_are_made_once_a_call() -> None:
    """All other transposes are made again after each update."""
    text = f"{HEADER} (input, 3) (a, 4, <tanh>) (b, 5, <tanh>) (c, 6, <conv, 2>) (output, 2, <tanh>, <mse>)"
    source = nm.kernel_source(nm.compile(text, 2, 0.1, frozen=["b", "c"]))
    before, after = function_of(source, "train").split("while sample < stop:")
    once, again = "transpose_once(weights, transposed)", "transpose(weights, transposed)"
    assert (once in before, once in after, again in before, again in after) == (True, False, True, True)
    made = {name: re.findall(r"transpose\d+\(", function_of(source, name)) for name in ("transpose_once", "transpose")}
    assert made == {"transpose_once": ["transpose1(", "transpose2("], "transpose": ["transpose0("]}


def test_a_plan_says_which_transposes_are_made_once() -> None:
    text = f"{HEADER} (input, 3) (a, 4, <tanh>) (b, 5, <tanh>) (output, 2, <tanh>, <mse>)"
    model = nm.compile(text, 2, 0.1, frozen="b")
    shown = re.findall(r" for (\w+), .*; transposed at \d+(.*)", nm.kernel_plan(model))
    assert shown == [("a", ", once a call"), ("b", "")]
    assert "once a call" not in nm.kernel_plan(nm.compile(text, 2, 0.1))


def test_a_frozen_reservoir_has_no_backward_pass() -> None:
    """Where nothing before frozen layers learns, no gradient flows through them, nor through time."""
    text = f"{HEADER} (input, 1) (reservoir, 40, <rnn>) (output, 1, <linear>, <mse>)"
    kernel = nm.compile(text, 1, 0.1, bptt_steps=1000, frozen="reservoir*").kernels.kernel
    plan = kernel.plan.training
    assert (plan.transposed, plan.carries, plan.cleared) == ((), (), ())
    assert [len(segment.operations) for segment in plan.backward] == [2]
    (readout,) = (group.index for group in plan.groups if group.learns)
    assert {buffer.name for buffer in plan.buffers if buffer.name[0] in "dgceh"} == {f"g{readout}"}
    assert function_of(kernel.source, "backward").count("\n") == function_of(kernel.source, "transpose").count("\n")


def test_files_and_pickles_keep_what_is_frozen(tmp_path: Path) -> None:
    model = built(["h", "n"])
    nm.train(model, *data(), 0)
    nm.save(model, tmp_path / "model")
    for copy in (nm.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert copy.options.frozen == ("n", "h")
        assert nm.train(copy, *data(), 0) == nm.train(pickle.loads(pickle.dumps(model)), *data(), 0)


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        ("output.", "no node with parameters is named 'output.'; did you mean 'output'"),
        ("m", "the node 'm' has no parameters"),
        (
            ["a", "zz*"],
            "no node with parameters is named 'zz.'; those with parameters are 'a', 'b', 'n', 'h', 'cell.in",
        ),
        ("h.*", "'h' has no nodes with parameters inside, but parameters itself: did you mean 'h'"),
        ("m.*", "the node 'm' has no parameters, nor has a node inside it"),
        ("sell.*", r"no node with parameters is named 'sell\.\*'; did you mean 'cell.\*'"),
        ("cell.forgetgate", "did you mean 'cell.forget_gate'"),
        ("cell", r"'cell' has no parameters itself; those of the cell are 'cell.\*'"),
    ],
)
def test_names_that_mean_nothing_are_refused(frozen: Any, message: str) -> None:
    text = TEXT.replace("(output", "(cell, 3, <lstm>) (output")
    with pytest.raises(ValueError, match=message):
        nm.compile(text, 2, 0.1, frozen=frozen)


def test_a_model_without_parameters_has_none_to_freeze_and_of_many_names_twenty_are_told() -> None:
    layers = " ".join(f"(layer{number}, 1, <tanh>)" for number in range(30))
    with pytest.raises(ValueError, match=r"'layer19' and 11 more$"):
        nm.compile(f"/he,zero/ (x, 1) {layers} (o, 1, <linear>, <mse>)", 1, 0.1, frozen="zz")


@pytest.mark.parametrize("frozen", [5, ["a", 3], None])
def test_what_is_no_name_is_a_type_error(frozen: Any) -> None:
    with pytest.raises(TypeError, match="frozen must be names of nodes"):
        nm.compile(TEXT, 2, 0.1, frozen=frozen)


DIVISIONS: dict[str, dict[str, Any]] = {
    "one thread": {}, "threads": {"threads": 2}, "three threads": {"threads": 3},
    "columns": {"threads": 2, "columns": True}, "chunks": {"threads": 2, "chunk": 4},
}  # fmt: skip
DENSE = "(a, 9, <tanh>) (b, 8, <tanh>) (c, 2, <sigmoid>) (d, 9, <tanh>)"


@pytest.mark.parametrize("frozen", [["b"], ["b", "c"], ["d", "output"], ["a", "b", "c", "d", "output"]])
@pytest.mark.parametrize("division", DIVISIONS.values(), ids=DIVISIONS)
def test_kernels_of_several_threads_leave_frozen_parameters(division: dict[str, Any], frozen: list[str]) -> None:
    check_frozen(f"{HEADER} (input, 3) {DENSE} (output, 3, <tanh>, <mse>)", frozen, division)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_and_of_recurrent_models(threads: int) -> None:
    text = f"{HEADER} (input, 3) (a, 5, <tanh>) (h, 6, <gru>) (n, <norm>) (c, 4, <conv, 3>) (output, 3, <tanh>, <mse>)"
    check_frozen(text, ["h.reset", "h.recalled", "c", "n"], {"threads": threads})


def check_frozen(text: str, frozen: list[str], division: dict[str, Any]) -> None:
    """The plain source agrees with the interpreter on a graph with frozen nodes."""
    graph = freeze(witnesses.graph_of(text), frozen)
    made = witnesses.division_of(graph, **division)
    kernel = generate(graph, KernelOptions(6, "float64", 4, 16, "sgd", made))
    verify(kernel.plan)
    trial = replace(witnesses.trial_of(text, batch=6, samples=9, window=4), graph=graph)
    found, wanted = witnesses.kernel_outcome(kernel, witnesses.plain(kernel), trial), witnesses.reference_outcome(trial)
    witnesses.assert_agree(found, wanted, 1e-10, text)
    for name in frozen:
        assert not any(key.startswith(f"{name}.") and key.count(".") == name.count(".") + 1 for key in found.gradients)
