"""The machine and models' own kernels, both compiled, give the same bits in all that models do.

The texts together have all of the language. They are divided among element types and SIMD widths, so that each is
compiled once. ``test_same_bits.py`` has random texts.
"""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.texts import LSTM
from neuromorph.functions import ELEMENTWISE, LOSSES, MERGES
from neuromorph.host.cpu import simd_bits
from neuromorph.optimizers import SGD, UPDATES, Adam, AdamW, Optimizer, RMSProp

HEAD = "/uniform -0.4 0.4,const_uneven 0.1 0.3/ (x, 6)"
STEPS, LANES, WINDOW = 13, 3, 5
BITS = (128, 256, simd_bits())  # the last one is this processor's width
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    """A text, and how it is trained. data: with "weights" or "lengths" of samples, or with "gaps" in what is expected.
    frozen: nodes. clip: of the gradients. diverges: whether training stops."""

    text: str
    optimizer: Optimizer
    data: str = ""
    lanes: int = LANES
    frozen: tuple[str, ...] = ()
    clip: float | None = None
    diverges: bool = False


CASES = {
    "convolution": Case(
        "(c, 16, <conv, 3, 2>) (p, <prelu>) (g, <gain, 0.8>) (s, <shift, 0.1>) (n, <norm>) (a, 16, <tanh>)"
        "{late, n, take, 2} {both, a, additive} (out, 16, <linear>, <huber, 0.3>)",
        SGD(weight_decay=0.01),
    ),
    "units": Case(
        "(z, <standardize>) (a, 16, <gelu>) (r, <rms_norm>) (d, <dropout, 0.3>) (out, 16, <restore>, <mse>)",
        RMSProp(momentum=0.8, weight_decay=0.01),
    ),
    "one component": Case(
        "(a, 16, <tanh>) [s, (one, 1, <sigmoid>) | (many, 16, <learned, 0.5>)] {scaled, one, scale}"
        "{long, many, maximum} {alike, a, dot, 3} (b, 16, <tanh>) (out, 16, <linear>, <mae>)",
        SGD(momentum=0.9, nesterov=True, weight_decay=0.01),
    ),
    "spikes": Case("(h, 16, <lif>) (out, 16, <softmax>, <cross_entropy>)", AdamW()),
    "frozen gates": Case(
        "(h, 16, <lstm>) (out, 16, <linear>, <log_cosh>)", Adam(weight_decay=0.01), frozen=("h.*_gate",), clip=0.1
    ),
    "weights of samples": Case(
        "(h, 16, <rnn>) (out, 16, <linear>, <mape>)", RMSProp(weight_decay=0.01), "weights", clip=0.1
    ),
    "lengths": Case(
        "(h, 16, <gru>) (out, 16, <sigmoid>, <binary_cross_entropy>)", SGD(momentum=0.9, weight_decay=0.01), "lengths"
    ),
    "gaps": Case("(h, 16, <min_gru>) (out, 16, <linear>, <quantile, 0.3>)", Adam(), "gaps"),
    "divergence": Case(
        "(a, 16, <tanh>) {sum, more, additive, 1} (more, <times, 4000>) (out, 16, <softplus>, <poisson>)", SGD(),
        diverges=True,
    ),
    "one lane": Case(
        "(a, 40, <relu>) (b, <softmax>) {both, h, concatenate} (h, 36, <tanh>) (out, 16, <tanh>, <hinge>)", Adam(),
        lanes=1,
    ),
    "wide softmax": Case(
        "(a, 96, <softmax>) {m, a, multiplicative} (b, <softmax>) (out, 32, <swish, 1.7>, <huber_modified, 0.2>)",
        AdamW(),
    ),
    "quotients": Case(
        "(a, 16, <selu>) [s, (q, 16, <softplus>) (w, <plus, 0.4>)] {m, w, divisive} {n, a, average} {o, q, minimum}"
        "{p, a, subtractive} (out, 16, <sigmoid>, <cross_entropy>)",
        SGD(), "weights",
    ),
    "no logits": Case("(a, 16, <elu>) (out, 16, <hard_sigmoid>, <binary_cross_entropy>)", SGD(), "gaps"),
}  # fmt: skip


def kind_of(number: int) -> tuple[str, int]:
    """The element type and the SIMD width, in bits, of a case."""
    return DTYPES[number // len(BITS) % len(DTYPES)], BITS[number % len(BITS)]


def made(case: Case, tier: str, **options: Any) -> nm.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nm.compile(
            f"{HEAD} {case.text}", case.lanes, 0.05, tier=tier, threads=1, optimizer=case.optimizer,
            clip_norm=case.clip, frozen=case.frozen, bptt_steps=WINDOW, **options,
        )  # fmt: skip


def data_of(case: Case, model: nm.Model) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Inputs, expected values as the loss wants them, and what ``train`` gets beside them."""
    rng, shape = np.random.default_rng(0), (STEPS, case.lanes)
    if case.data == "lengths":
        shape = (2, *shape)
    inputs = rng.normal(size=(*shape, model.input_width))
    expected = rng.uniform(0.1, 0.9, (*shape, model.output_width))
    if model.graph.loss.targets is not None:
        expected = model.graph.loss.targets.like(expected)
    if case.data == "gaps":
        expected[rng.uniform(size=expected.shape) < 0.3] = np.nan
        expected[1, 0] = np.nan
        return inputs, expected, {"missing": "skip"}
    if case.data == "weights":
        return inputs, expected, {"sample_weight": rng.uniform(0.2, 2.0, shape) * (rng.uniform(size=shape) < 0.7)}
    return inputs, expected, {"lengths": rng.integers(2, STEPS, (2, case.lanes))} if case.data == "lengths" else {}


def numbers_of(case: Case, tier: str, **options: Any) -> dict[str, Any]:
    """All that a model computes and holds after two calls of ``train``."""
    model = nm.build(made(case, tier, **options), seed=1)
    assert model.tier == tier
    rng = np.random.default_rng(1)
    vectors = {name: value for name, value in model.get_parameters().items() if value.ndim == 1}
    model.set_parameters({name: np.abs(value) + rng.uniform(0.1, 0.5, value.shape) for name, value in vectors.items()})
    inputs, expected, given = data_of(case, model)
    found: dict[str, Any] = {"predicted": nm.predict(model, inputs)}
    if case.data != "lengths" and not case.diverges:  # gradients are those of one sequence
        loss, gradients = nm.gradients(model, inputs, expected, **given)
        found |= {"loss": loss} | {f"gradient of {name}": value for name, value in gradients.items()}
    for call, carries in enumerate((False, case.data != "lengths")):
        stopped = ""
        try:
            nm.train(model, inputs, expected, 0, carry_state=carries, **given)
        except nm.TrainingDivergedError as error:
            stopped = str(error)
        assert bool(stopped) == case.diverges, stopped
        found |= {f"losses of call {call}": model.losses, f"why call {call} stopped": stopped}
    found |= {**model.get_parameters(), "evaluated": nm.evaluate(model, inputs, expected, **given)}
    found |= {f"state of {name}": value for name, value in model.state.items()}
    found |= {f"optimizer's {name}": value for name, value in model.optimizer_state.items()}
    stream = nm.stream(model, case.lanes)
    found["streamed"] = [stream(x).copy() for x in inputs.reshape(-1, case.lanes, model.input_width)[:WINDOW]]
    return found | {"predicted after it": nm.predict(model, inputs), "dropout": np.array(model.dropout_state)}


@pytest.mark.parametrize("name", CASES)
def test_tiers_give_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dtype, bits = kind_of(list(CASES).index(name))
    monkeypatch.setenv("NEUROMORPH_SIMD_BITS", str(bits))
    kernels = made(CASES[name], "compiled", dtype=dtype).kernels
    assert kernels.plan.options.lanes == bits // 8 // np.dtype(dtype).itemsize
    compiled, instant = (numbers_of(CASES[name], tier, dtype=dtype) for tier in ("compiled", "instant"))
    assert list(instant) == list(compiled)
    for what, value in compiled.items():
        np.testing.assert_array_equal(instant[what], value, err_msg=f"{what}, {dtype}, {bits} bits")


def test_the_texts_have_all_of_the_language() -> None:
    graphs = [made(case, "instant").graph for case in CASES.values()]
    nodes = [node for graph in graphs for node in graph.nodes]
    assert {graph.loss.name for graph in graphs} == LOSSES.keys()
    assert {case.optimizer.kind for case in CASES.values()} == UPDATES.keys()
    assert {node.elementwise.name for node in nodes if node.elementwise is not None} == {*ELEMENTWISE, "restore"}
    assert {node.merge.name for node in nodes if node.merge is not None} == MERGES.keys()
    assert {1, 2, 3} <= {node.steps for node in nodes}
    assert max(node.reach for node in nodes) == 4
    assert {kind_of(number) for number in range(len(CASES))} == {(dtype, bits) for dtype in DTYPES for bits in BITS}


def test_all_that_a_model_does_works_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluation, streams, state, files and copies, beside a compiled model with the same parameters."""
    case = CASES["frozen gates"]
    dtype, bits = kind_of(list(CASES).index("frozen gates"))
    monkeypatch.setenv("NEUROMORPH_SIMD_BITS", str(bits))
    compiled, instant = (nm.build(made(case, tier, dtype=dtype), seed=2) for tier in ("compiled", "instant"))
    inputs, expected, _ = data_of(case, compiled)
    streams = [nm.stream(model, LANES) for model in (instant, compiled)]
    for x in inputs:
        np.testing.assert_array_equal(streams[0](x), streams[1](x))
    copied = pickle.loads(pickle.dumps(instant))
    assert copied.tier == "instant"
    np.testing.assert_array_equal(nm.predict(copied, inputs), nm.predict(instant, inputs))
    histories = [nm.fit(model, inputs, expected, epochs=2, progress=False) for model in (instant, compiled)]
    assert len(histories[0]) == 2
    for key, value in compiled.get_parameters().items():
        np.testing.assert_array_equal(instant.get_parameters()[key], value, err_msg=key)
    assert instant.kernel_source() == compiled.kernel_source()


def test_what_is_no_tier() -> None:
    with pytest.raises(
        ValueError, match="tier must be one of auto, compiled, instant, not 'instand'; did you mean 'in"
    ):
        nm.compile(LSTM, 2, 0.1, tier="instand")
