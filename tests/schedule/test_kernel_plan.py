"""The complete plan of a kernel: what ``verify`` refuses, and how it reads as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import neuromorph as nm
from helpers import witnesses
from helpers.texts import HEADER
from neuromorph.codegen import KernelOptions, generate
from neuromorph.host.frozen import frozen
from neuromorph.schedule import (
    DEFAULT_COSTS,
    Alone,
    Block,
    ByBatch,
    ByColumns,
    ByRows,
    Division,
    InChunks,
    KernelPlan,
    Layout,
    Operation,
    Ownership,
    Plan,
    PlanError,
    Share,
    Workspace,
    describe,
    verify,
)

FORWARD = f"{HEADER} (input, 18) (a, 24, <tanh>) (b, 3, <relu>) (c, 32, <gelu>) (output, 4, <softmax>, <mse>)"
LOOP = f"""{HEADER} (input, 3) {{both, before, concatenate}} (a, 4, <tanh>) [link, [before,]]
(output, 2, <linear>, <mse>)"""
UNEQUAL = f"{HEADER} (input, 4) (a, 3, <tanh>) (b, 5, <gelu>) {{m, a, additive}} (output, 2, <linear>, <mse>)"


@cache
def plan_of(text: str, **more: Any) -> KernelPlan:
    """A sound plan."""
    return witnesses.kernel_of(text, lanes=2, **more).plan


def columns() -> KernelPlan:
    return plan_of(FORWARD, threads=2, columns=True)


def with_training(plan: KernelPlan, **changes: Any) -> KernelPlan:
    """A plan with other operations or buffers of training, and all that is made from them."""
    training = replace(plan.training, **changes)
    layout = Layout(training, plan.layout.registers)
    owners = Ownership(training, layout, plan.options.division)
    return replace(plan, training=training, layout=layout, training_space=Workspace(training), ownership=owners)


def with_division(plan: KernelPlan, division: Division) -> KernelPlan:
    return replace(plan, options=replace(plan.options, division=division))


def with_buffer(plan: KernelPlan, number: int, **changes: Any) -> KernelPlan:
    buffers = list(plan.training.buffers)
    buffers[number] = buffers[number]._replace(**changes)
    return with_training(plan, buffers=tuple(buffers))


def with_group(plan: KernelPlan, **changes: Any) -> KernelPlan:
    first, *others = plan.training.groups
    return with_training(plan, groups=(replace(first, **changes), *others))


def with_shares(plan: KernelPlan, change: Callable[[tuple[Share, ...]], tuple[Share, ...]]) -> KernelPlan:
    first, *others = plan.training.forward
    return with_training(plan, forward=(replace(first, shares=change(first.shares)), *others))


def in_one_block(plan: Plan, one: str, other: str) -> KernelPlan:
    buffers = tuple(each._replace(block=one) if each.name == other else each for each in plan.buffers)
    return with_training(plan_of(plan.graph.text), buffers=buffers)


@frozen
class Overlapping(Workspace):
    """All buffers in one place."""

    @property
    def terms(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        return dict.fromkeys(super().terms, (0, 0)) | {"end": super().terms["end"]}


@frozen
class Careless(Ownership):
    """The last thread leaves its parameters to nobody."""

    @property
    def ranges(self) -> tuple[tuple[tuple[int, int], ...], ...]:  # type: ignore[override]
        return (*super().ranges[:-1], ((0, 0),))


def careless(plan: KernelPlan) -> KernelPlan:
    return replace(plan, ownership=Careless(plan.training, plan.layout, plan.options.division))


def without_first_operation(plan: KernelPlan) -> KernelPlan:
    first, *others = plan.training.forward
    return with_training(plan, forward=(replace(first, operations=first.operations[1:]), *others))


def keeping(plan: KernelPlan, name: str) -> KernelPlan:
    """The same plan, but merges of unequal widths keep an operand of this name."""
    segments = [
        replace(segment, operations=tuple(_keeping(operation, name) for operation in segment.operations))
        for segment in plan.training.forward
    ]
    return with_training(plan, forward=tuple(segments))


def _keeping(operation: Operation, name: str) -> Operation:
    if not isinstance(operation, Block):
        return operation
    maps = tuple(replace(each, rest=name) if each.keep is not None else each for each in operation.maps)
    return replace(operation, maps=maps)


BROKEN: list[tuple[Callable[[], KernelPlan], str]] = [
    (lambda: with_division(plan_of(FORWARD), ByBatch(2)), "2 threads, by lanes .* for a model without links in time"),
    (lambda: with_division(plan_of(LOOP), ByRows(2)), "2 threads, by rows for a model with links in time"),
    (lambda: with_division(plan_of(LOOP), InChunks(1, 4)), "in chunks of 4 rows for a model with links in time"),
    (lambda: with_division(plan_of(FORWARD), InChunks(1, 0)), "in chunks of 0 rows needs at least 1 row"),
    (lambda: with_division(plan_of(FORWARD), ByRows(1)), "1 threads, by rows needs at least 2"),
    (lambda: with_division(columns(), ByRows(2)), "by rows, and weights that are divided by rows"),
    (lambda: with_training(plan_of(FORWARD), buffers=plan_of(FORWARD).training.buffers[1:]), "there is no [a-z][0-9]+"),
    (lambda: with_buffer(plan_of(FORWARD), 0, stride=2), "[a-z][0-9]+ has two strides"),
    (lambda: with_buffer(plan_of(FORWARD), 0, name="s0"), "two buffers have one name"),
    (lambda: without_first_operation(plan_of(FORWARD)), "a: layer 24 tanh reads s0, which nothing has written"),
    (lambda: in_one_block(plan_of(FORWARD).training, "s0", "s1"), "buffers of block s0 have rows of different kinds"),
    (lambda: with_buffer(plan_of(FORWARD), 0, block="nobody"), "nobody"),
    (lambda: with_group(plan_of(FORWARD), columns=22), "group 0 is taken already, or beyond its end 22"),
    (lambda: replace(plan_of(FORWARD), training_space=Overlapping(plan_of(FORWARD).training)), "of the workspace is"),
    (lambda: careless(plan_of(FORWARD, threads=3)), "parameter [0-9]+ belongs to no thread"),
    (lambda: keeping(plan_of(UNEQUAL), "q"), "keeps 'q', which is no operand"),
    (lambda: with_shares(columns(), lambda shares: shares[1:]), "shares for [0-9]+ operations"),
    (
        lambda: with_training(plan_of(FORWARD), transposed_once=frozenset({(1, 0)})),
        "group 1 learns, and is transposed only once a call",
    ),
    (lambda: with_training(plan_of(FORWARD), transposed_once=frozenset({(0, 0)})), "no backward pass reads"),
    (
        lambda: with_shares(columns(), lambda shares: (Share((0, 9, 6), False), *shares[1:])),
        r"a from input is cut at \(0, 9, 6\) for 2 threads",
    ),
]


@pytest.mark.parametrize(("broken", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_a_plan_that_is_not_sound_is_refused(broken: Callable[[], KernelPlan], said: str) -> None:
    with pytest.raises(PlanError, match=f"^the plan is not sound: .*{said}.*; this is a bug in neuromorph") as raised:
        verify(broken())
    assert isinstance(raised.value, nm.NeuromorphError)


def test_values_that_are_needed_at_one_time_share_no_block() -> None:
    """Of two buffers with rows of one kind that live at one time."""
    text = f"{HEADER} (input, 4) (a, 4, <tanh>) (b, 4, <gelu>) (c, 4, <tanh>) (output, 4, <tanh>, <mse>)"
    training = plan_of(text).training
    names = [buffer.name for buffer in training.buffers if buffer.block == buffer.name]
    refused = []
    for one in names:
        for other in names:
            if one != other:
                try:
                    verify(in_one_block(training, one, other))
                except PlanError as error:
                    refused.append(str(error))
    assert any("are needed at one time, and share block" in message for message in refused)


def test_the_state_of_a_loop_stands_alone() -> None:
    training = plan_of(LOOP).training
    ((_, state),) = training.state
    other = next(buffer for buffer in training.buffers if buffer.name != state)
    buffers = tuple(
        each._replace(block=other.name, rows=other.rows, stride=other.stride) if each.name == state else each
        for each in training.buffers
    )
    plan = with_training(plan_of(LOOP), buffers=buffers, strides=training.strides | {state: other.stride})
    with pytest.raises(PlanError, match=f"{state} must stand alone"):
        verify(plan)


@pytest.mark.parametrize(
    ("text", "more", "wanted"),
    [
        (FORWARD, {}, Alone()),
        (FORWARD, {"threads": 3}, ByRows(3)),
        (FORWARD, {"chunk": 4}, InChunks(1, 4)),
        (FORWARD, {"threads": 2, "columns": True}, ByColumns(2)),
        (LOOP, {"threads": 3}, ByBatch(3)),
    ],
    ids=str,
)
def test_a_plan_as_text(text: str, more: dict[str, Any], wanted: Division) -> None:
    """It names the division, every weight, every buffer with its place, and every operation."""
    plan = plan_of(text, **more)
    shown = describe(plan)
    assert plan.options.division == wanted
    assert f"A training window is done by {wanted}\n" in shown
    for group in plan.training.groups:
        assert f"    bias at {plan.layout.bias(group):,}\n" in shown
    for buffer in plan.training.buffers:
        assert re.search(rf"^    {buffer.name}: .* of {buffer.stride}, at ", shown, re.MULTILINE)
    segments = (*plan.training.forward, *plan.training.backward, *plan.prediction.forward)
    operations = re.findall(r"^    (?:product|block|rows|loss|sum|bias) \(.*", shown, re.MULTILINE)
    assert len(operations) == sum(len(segment.operations) for segment in segments)
    assert ("\n    the threads meet\n" in shown) == isinstance(wanted, ByColumns)
    assert ("\nThread 1 updates " in shown) == (wanted.threads > 1)


def test_a_plan_as_text_has_steps_taps_and_vectors() -> None:
    nodes = "(a, 4, <tanh>) (c, 5, <conv, 3, 2>) (k, <gain>) {m, a, additive, 3} (s, <standardize>)"
    plan = plan_of(f"{HEADER} (input, 3) {nodes} (output, 2, <linear>, <mse>)")
    shown = describe(plan)
    assert " for a at 3 steps, 2 apart, panels of" in shown
    (conv,) = (group for group in plan.training.groups if len(group.members) == 1 and group.parts[0].taps == 3)
    assert f"    12 x {conv.columns:,} at {plan.layout.part(conv, 0):,} for a at 3 steps" in shown
    assert f"  vector w3_weight: 5 at {plan.layout.vector('w3_weight'):,}, the weight of k\n" in shown
    assert re.search(r"^  vector w5_mean: 5 at .*, the mean of s, never learns$", shown, re.MULTILINE)
    assert re.search(r"^    v1: \(4 \+ S\) x L rows of ", shown, re.MULTILINE)
    assert re.search(r"^    (product|block) \(.*v1'3.* -> ", shown, re.MULTILINE)
    assert re.search(r"^    (product|block) \(.* -> .*d1'[34].*\)", shown, re.MULTILINE)


def test_elementwise_layers_and_taps_count_as_work() -> None:
    def seconds(nodes: str) -> float:
        text = f"{HEADER} (input, 8) (a, 64, <tanh>) {nodes} (output, 2, <linear>, <mse>)"
        return DEFAULT_COSTS.of_window(witnesses.graph_of(text), 100, 4)

    plain = seconds("")
    assert plain < seconds("(k, <gain>)") < seconds("(k, <rms_norm>)") < seconds("(k, <norm>)") < 3 * plain
    one, five = (seconds(f"(c, 64, <conv, {taps}>)") for taps in (1, 5))
    assert 3 * (one - plain) < five - plain < 5 * (one - plain)


def test_the_plan_of_prediction_is_made_when_it_is_first_asked_for() -> None:
    plan = generate(witnesses.graph_of(FORWARD), KernelOptions(3, "float32", 8, 16)).plan
    assert "prediction" not in vars(plan)
    assert plan.prediction is plan.prediction_space.plan
    assert "prediction" in vars(plan)


def test_a_plan_needs_no_code_to_be_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("neuromorph.codegen.source._written")
    model = nm.compile(FORWARD, 2, 0.1, threads=1)
    assert nm.kernel_plan(model) == model.kernel_plan() == describe(model.kernels.plan)
    assert model.kernels.bytes_needed() > 0


@pytest.mark.parametrize("asked", [True, False])
def test_plans_are_checked_at_run_time_where_that_is_asked_for(asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[KernelPlan] = []
    monkeypatch.setattr("neuromorph.runtime.kernels.verify", checked.append)
    monkeypatch.setenv("NEUROMORPH_VERIFY", "1" if asked else "")
    plan = nm.compile(FORWARD, 2, 0.1).kernels.plan
    assert checked == ([plan] if asked else [])
