"""Threads that divide one workspace, by rows or by columns, meet wherever one needs what another has written.

The plain source runs under an adversary: between two meetings the threads run one after the other, once in this order
and once in the reverse. Whatever a thread reads too early, or writes too soon, is then wrong in one of the two.
"""

from __future__ import annotations

import functools
import random
import re
import threading
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers import witnesses
from helpers.random_models import bounded, floor_of, models
from helpers.texts import HEADER
from neuromorph.optimizers import UPDATES, optimizer_of
from neuromorph.options import compile_options
from neuromorph.schedule import Alone, ByColumns, CostModel, KernelOptions, Product, Sum, divide
from neuromorph.schedule.column_split import BALANCE, panel_cuts, vector_cuts
from neuromorph.schedule.division import can_divide_columns
from neuromorph.schedule.layout import panel_of

HEAD = HEADER
WIDE = st.sampled_from([1, 3, 6, 8, 9, 10, 16, 17, 24])
FEED_FORWARD = f"""{HEAD}
(input, 24) (a, 32, <relu>) [side, (b, 10, <tanh>) | (c, 22, <sigmoid>)] (d, 24, <gelu>) {{e, input, multiplicative}}
{{f, b, concatenate}} (g, 16, <softmax>) (h, 24, <selu>) {{i, e, additive}} (output, 10, <softmax>, <cross_entropy>)"""
RECURRENT = f"""{HEAD}
(input, 6) {{x, before, concatenate}}
[gates, (in_gate, 8, <sigmoid>) | (new, 8, <tanh>) {{scaled, in_gate, multiplicative}}]
(keep, 8, <sigmoid>) {{kept, memory, multiplicative}} {{cell, scaled, additive}} [m, [memory,]] (squashed, <tanh>)
[h, [before,]] (output, 4, <linear>, <mse>)"""

WIDE_RECURRENT = f"""{HEAD}
(input, 6) {{x, before, concatenate}}
[gates, (in_gate, 24, <sigmoid>) | (new, 24, <tanh>) {{scaled, in_gate, multiplicative}}]
(keep, 24, <sigmoid>) {{kept, memory, multiplicative}} {{cell, scaled, additive}} [m, [memory,]] (squashed, <tanh>)
(narrow, 3, <tanh>) (wide, 32, <relu>) [h, [before,]]
{{both, h, concatenate, 3}} (second, 16, <gru>) (output, 4, <linear>, <mse>)"""
DELAYS = f"""{HEAD} (input, 9) {{old, input, concatenate, 4}} (a, 24, <relu>) {{late, a, additive, 2}} (b, 16, <tanh>)
{{again, output, concatenate}} (output, 10, <softmax>, <cross_entropy>)"""

BOTTLENECK = f"""{HEAD} (input, 18) (a, 24, <tanh>) (b, 3, <relu>) (c, 32, <relu>) (d, 5, <elu>)
{{e, a, concatenate}} (f, 2, <relu>) (g, 2, <swish>) (output, 4, <softmax>, <cross_entropy>)"""
NARROW = f"{HEAD} (input, 5) (a, 3, <tanh>) (b, 2, <relu>) (output, 3, <softmax>, <cross_entropy>)"


class Turns:
    """A barrier under which the members of a pool run one at a time, in the order given, from meeting to meeting.

    The call is over when its first member, who is the caller, returns: what is written after that comes too late. And
    who comes to a meeting when others have left would wait for ever.
    """

    def __init__(self, order: list[int]) -> None:
        self.order, self.condition = order, threading.Condition()
        self.at, self.members = 0, threading.local()
        self.gone: set[int] = set()
        self.returned: list[tuple[np.ndarray, np.ndarray]] = []

    def wait_for_turn(self, member: int) -> None:
        with self.condition:
            assert self.condition.wait_for(lambda: self.order[self.at % len(self.order)] == member, timeout=60)

    def pass_on(self) -> None:
        with self.condition:
            self.at += 1
            while self.gone and self.order[self.at % len(self.order)] in self.gone:
                self.at += 1
            self.condition.notify_all()

    def barrier(self, mailbox: Any, parties: int) -> None:
        assert not self.gone, "it waits for a member that is gone"
        self.pass_on()
        self.wait_for_turn(self.members.number)

    def leave(self, member: int, arguments: tuple[Any, ...]) -> bool:
        """A member is done; whether it was the last."""
        if member == 0:
            self.returned = [(given, given.copy()) for given in arguments if isinstance(given, np.ndarray)]
        self.gone.add(member)
        last = len(self.gone) == len(self.order)
        if last:
            self.gone.clear()
        self.pass_on()
        return last

    def of(self, function: Any) -> Any:
        """A function that takes turns."""

        @functools.wraps(function)
        def called(member: int, *rest: Any) -> Any:
            self.members.number = member
            self.wait_for_turn(member)
            last = False
            try:
                result = function(member, *rest)
            finally:
                last = self.leave(member, rest)
            if last:
                for given, before in self.returned:
                    np.testing.assert_array_equal(given, before, "written after the call")
            return result

        return called

    def plain(self, source: str) -> Any:
        """A source as plain Python whose ``train`` takes turns."""
        functions = witnesses.plain(SimpleNamespace(source=source))
        functions.barrier, functions.train = self.barrier, self.of(functions.train)
        return functions


def check_in_turns(text: str, *, batch: int, threads: int, wild: bool = False, **kernel: Any) -> None:
    """The plain source agrees with the reference whichever thread is first. ``wild``: values may explode."""
    trial = witnesses.trial_of(text, batch=batch, samples=7, window=3, weighted=True)
    wanted = witnesses.reference_outcome(trial)
    floor = floor_of(wanted) if wild else 1e-3
    made = witnesses.kernel_of(text, batch=batch, threads=threads, **kernel)
    for order in (list(range(threads)), list(range(threads))[::-1]):
        found = witnesses.kernel_outcome(made, Turns(order).plain(made.source), trial)
        witnesses.assert_agree(found, wanted, 1e-10, f"{order} {made.options}\n{text}", floor)


@pytest.mark.parametrize("registers", [16, 32])
@pytest.mark.parametrize("threads", [2, 3])
def test_layers_divided_by_columns(threads: int, registers: int) -> None:
    check_in_turns(FEED_FORWARD, batch=3, threads=threads, lanes=2, registers=registers, columns=True)


@pytest.mark.parametrize("text", [FEED_FORWARD, RECURRENT], ids=["feed-forward", "recurrent"])
@pytest.mark.parametrize("threads", [2, 3])
def test_rows_divided(threads: int, text: str) -> None:
    check_in_turns(text, batch=5, threads=threads, lanes=2)


@pytest.mark.parametrize("text", [WIDE_RECURRENT, RECURRENT, DELAYS], ids=["wide", "narrow", "delays"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("threads", [2, 3])
def test_steps_divided_by_columns(threads: int, batch: int, text: str) -> None:
    check_in_turns(text, batch=batch, threads=threads, lanes=2, columns=True)


@pytest.mark.parametrize("registers", [16, 32])
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_narrow_layers_divided_by_what_they_sum_over(threads: int, registers: int) -> None:
    made = witnesses.kernel_of(BOTTLENECK, threads=threads, lanes=2, registers=registers, columns=True)
    kinds = {operation.product.kind for operation in sums_of(made)}
    assert kinds == {"forward", "backward"}
    check_in_turns(BOTTLENECK, batch=3, threads=threads, lanes=2, registers=registers, columns=True)


NARROW_AND_WIDE = (1, 2, 3, 4, 6, 8, 12, 16, 17, 24, 33, 40)
ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear", "elu", "swish", "softmax", "gelu")


def feed_forward(choice: random.Random) -> str:
    """Layers of very different widths, merges and splits; every other text has sums of partial sums."""

    def layer(name: str) -> str:
        return f"({name}, {choice.choice(NARROW_AND_WIDE)}, <{choice.choice(ACTIVATIONS)}>)"

    parts, names = [f"(input, {choice.choice(NARROW_AND_WIDE)})"], ["input"]
    for number in range(choice.randint(1, 6)):
        kind = choice.choices(["layer", "merge", "split"], [6, 2, 2])[0]
        if kind == "layer":
            parts.append(layer(f"a{number}"))
            names.append(f"a{number}")
        elif kind == "merge":
            how = choice.choice(["concatenate", "additive", "multiplicative"])
            parts.append(f"{{a{number}, {choice.choice(names)}, {how}}}")
            names.append(f"a{number}")
        else:
            parts.append(f"[s{number}, {layer(f'b{number}')} | {layer(f'c{number}')}]")
            names += [f"b{number}", f"c{number}"]
    ends = ["<softmax>, <cross_entropy>", "<linear>, <mse>", "<tanh>, <mse>"]
    parts.append(f"(output, {choice.choice(NARROW_AND_WIDE[1:])}, {choice.choice(ends)})")
    return f"{HEAD} {' '.join(parts)}"


@bounded(60)
@given(st.integers(0, 2**32), st.sampled_from([2, 3, 5, 8]), st.sampled_from([2, 4, 8]), st.sampled_from([16, 32]))
def test_narrow_layers_of_random_models(seed: int, threads: int, lanes: int, registers: int) -> None:
    choice = random.Random(seed)
    text, batch = feed_forward(choice), choice.choice([1, 2, 3, 5])
    check_in_turns(text, batch=batch, threads=threads, wild=True, lanes=lanes, registers=registers, columns=True)


def sums_of(made: Any) -> list[Sum]:
    plan = made.plan.training
    operations = [op for segment in (*plan.forward, *plan.backward) for op in segment.operations]
    return [op for op in operations if isinstance(op, Sum)]


def test_which_layers_are_divided_by_what_they_sum_over() -> None:
    """Those of one panel that can't be cut, behind a vector that can; their weights are cut by rows then."""
    text = (
        f"{HEAD} (input, 3) (a, 24, <relu>) (b, 6, <relu>) (c, 2, <tanh>) (d, 24, <tanh>) (output, 16, <linear>, <mse>)"
    )
    made = witnesses.kernel_of(text, threads=2, lanes=2, columns=True)
    notes = [(operation.product.kind, operation.product.note) for operation in sums_of(made)]
    assert notes == [("forward", "b from a"), ("backward", "back to c")]
    plan = made.plan.training
    assert plan.inner == {(1, 0)}
    buffers = {buffer.name: buffer.stride for buffer in plan.buffers if buffer.name.startswith("p")}
    assert buffers == {"p0": 2 * 8, "p1": 2 * 8}  # of each thread whole cache lines
    alone = witnesses.kernel_of(text, lanes=2)
    assert not sums_of(alone)
    assert not alone.plan.training.inner


@pytest.mark.parametrize("chunk", [2, 3])
def test_chunks(chunk: int) -> None:
    check_in_turns(FEED_FORWARD, batch=5, threads=2, lanes=2, chunk=chunk)


@bounded(120)
@given(models(WIDE), st.sampled_from([2, 3]), st.sampled_from([1, 2, 3, 5]), st.sampled_from([16, 32]))
def test_random_models_divided_by_columns(text: str, threads: int, batch: int, registers: int) -> None:
    assume(can_divide_columns(witnesses.graph_of(text)))
    check_in_turns(text, batch=batch, threads=threads, wild=True, lanes=2, registers=registers, columns=True)


@bounded(40)
@given(models(WIDE), st.sampled_from([2, 3]), st.sampled_from([3, 5]))
def test_random_models_divided_by_rows(text: str, threads: int, batch: int) -> None:
    check_in_turns(text, batch=batch, threads=threads, wild=True, lanes=2)


each_way = pytest.mark.parametrize(
    ("text", "how"),
    [(FEED_FORWARD, {}), (FEED_FORWARD, {"columns": True}), (NARROW, {"columns": True}), (NARROW, {"chunk": 2}),
     (BOTTLENECK, {"columns": True}), (RECURRENT, {}), (WIDE_RECURRENT, {"columns": True})],
    ids=["rows", "columns", "narrow columns", "chunks", "sums of all", "lanes", "columns of steps"],
)  # fmt: skip


@pytest.mark.parametrize("batch", [1, 2])
@each_way
def test_threads_whose_share_is_empty(text: str, how: dict[str, Any], batch: int) -> None:
    """More threads than lanes, and in the last window than rows."""
    check_in_turns(text, batch=batch, threads=5, lanes=2, **how)


@pytest.mark.parametrize("threads", [2, 3, 5])
@each_way
def test_one_thread_does_what_all_members_do_bit_by_bit(text: str, how: dict[str, Any], threads: int) -> None:
    """Also what clipping, an optimizer that counts, and measuring leave."""
    made = witnesses.kernel_of(text, batch=3, threads=threads, lanes=2, optimizer="adam", **how)
    trial = witnesses.trial_of(text, batch=3, samples=5, window=2, weighted=True)
    wanted = run_of(made, witnesses.plain(made), trial)
    found = run_of(made, witnesses.plain(made), trial, until=threads)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, name)


@pytest.mark.parametrize("threads", [2, 3])
@each_way
def test_one_thread_for_all_goes_over_parameters_and_weights_in_one_go(
    text: str, how: dict[str, Any], threads: int
) -> None:
    """Where their results do not depend on how long the range is."""
    made = witnesses.kernel_of(text, batch=3, threads=threads, lanes=2, **how)
    functions, windows = witnesses.plain(made), 2
    calls, stack, spans = Counter[tuple[str, str]](), [""], list[tuple[int, ...]]()

    def watch(name: str) -> None:
        plain = getattr(functions, name)

        def function(*given: Any) -> Any:
            calls[stack[-1], name.rstrip("0123456789")] += 1
            stack.append(name)
            found = plain(*given)
            stack.pop()
            return found

        setattr(functions, name, function)

    def span(*bounds: int) -> range:
        if stack[-1] == "update" and bounds[0] < bounds[1]:
            spans.append(bounds)
        return range(*bounds)

    for name in [
        name
        for name in vars(functions)
        if re.fullmatch("update|weight_gradients|transpose|(product|transpose)[0-9]+", name)
    ]:
        watch(name)
    functions.span = span
    run_of(made, functions, witnesses.trial_of(text, batch=3, samples=4, window=2), until=threads)
    assert spans == [(0, made.plan.layout.size, 2)] * windows
    before_calls, after_updates = 2, windows - 1  # the next call would make them after the last update
    assert calls["transpose", "transpose"] == len(made.plan.training.transposed) * (before_calls + after_updates)
    if made.plan.gradient_copies == 1 and not made.plan.training.inner:
        products = [op for op in made.plan.training.backward[-1].operations if isinstance(op, Product)]
        assert calls["weight_gradients", "product"] == len(products) * windows


# Meetings that are missing -------------------------------------------------------------------------------------------

# By kernel, what may go unseen: the function, and the line after the meeting.
RETURNED = ("train", "return sample")  # what it guards is the next call, by a pool of others, and not this one
TURNED = ("train", "while sample < stop:")  # forward has met before backward reads what others have transposed
# Outside of loops, the schedule does not tell the rows of a buffer apart, so it is more careful than it needs to be.
CAREFUL = (
    ("measure", "first, last = rows * begin // 2, rows * until // 2"),
    ("backward", "# back to both"),
)
KERNELS: dict[str, tuple[str, dict[str, Any], set[tuple[str, str]]]] = {
    "rows": (FEED_FORWARD, {}, set()),
    "columns": (FEED_FORWARD, {"columns": True}, {TURNED}),
    "narrow columns": (NARROW, {"columns": True}, set()),
    "sums of all": (BOTTLENECK, {"columns": True}, {TURNED}),
    "chunks": (NARROW, {"chunk": 2}, set()),
    "chunks, no counts": (NARROW, {"chunk": 2, "optimizer": "sgd"}, set()),
    "lanes": (RECURRENT, {}, set()),
    "columns of steps": (WIDE_RECURRENT, {"columns": True}, {TURNED, *CAREFUL}),
}


@pytest.mark.parametrize("kind", KERNELS)
def test_the_adversary_sees_every_meeting_that_is_missing(kind: str) -> None:
    """But those with a reason, each of which another kernel here needs."""
    text, more, allowed = KERNELS[kind]
    how = {"lanes": 2, "optimizer": "adam", **more}
    made, trial = witnesses.kernel_of(text, threads=2, **how), witnesses.trial_of(text, samples=5, window=2)
    one = witnesses.kernel_of(text, **how)
    wanted = run_of(one, witnesses.plain(one), trial)
    assert _is_right(made, made.source, trial, wanted)
    lines, unseen = made.source.splitlines(), set()
    for place, line in enumerate(lines):
        if line.strip() == "barrier(mailbox, parties)":
            poorer = "\n".join([*lines[:place], line.replace("barrier(mailbox, parties)", "pass"), *lines[place + 1 :]])
            if _is_right(made, poorer, trial, wanted):
                function = next(before for before in lines[place::-1] if before.startswith("def "))
                unseen.add((function[4 : function.index("(")], lines[place + 1].strip()))
    assert unseen == allowed | {RETURNED}


def run_of(made: Any, functions: Any, trial: Any, **alone: int) -> dict[str, np.ndarray]:
    """What training with clipped gradients leaves, and what measuring says."""
    kind, learned = made.options.optimizer, witnesses.Memory.of(made, trial.parameters, trial.window)
    record, losses, measured = UPDATES[kind], *np.zeros((2, len(trial.inputs)))
    constants = np.array([*optimizer_of(kind).constants, *(0.0 for _ in record.counts)])
    remembered = np.zeros(max(1, len(record.slots)) * made.plan.layout.size)
    more = {"memory": remembered, "constants": constants, "clip": 0.05, **alone}
    reached = [
        witnesses.call_windows(made, functions, trial, learned, trial.window, 2, losses, **more),
        witnesses.call_windows(made, functions, trial, learned, trial.window, 0, measured, **alone),
    ]
    found = {"losses": losses, "measured": measured, "reached": np.array(reached), "constants": constants}
    return found | learned.unpack(learned.weights)


def _is_right(made: Any, source: str, trial: Any, wanted: dict[str, np.ndarray]) -> bool:
    """Whether both orders of two threads give what is wanted."""
    for order in ([0, 1], [1, 0]):
        try:
            found = run_of(made, Turns(order).plain(source), trial)
            errors = [witnesses.relative_error(found[k], array) for k, array in wanted.items() if array.size]
        except AssertionError:  # of the adversary, or since a number is not finite
            return False
        if not all(error < 1e-10 for error in errors):
            return False
    return True


@pytest.mark.parametrize("threads", [2, 3, 5, 16])
@pytest.mark.parametrize("registers", [16, 32])
def test_cuts_cover_all_vectors_once_and_evenly(threads: int, registers: int) -> None:
    for vectors in range(1, 200):
        panels, cuts = panel_cuts(vectors, registers, threads), vector_cuts(vectors, registers, threads)
        assert (panels is None) == (cuts is None)
        if panels is None or cuts is None:
            continue
        panel = panel_of(vectors, registers)
        assert cuts == tuple(min(cut * panel, vectors) for cut in panels)
        shares = [end - begin for begin, end in pairwise(cuts)]
        assert (sum(shares), cuts[0], len(shares)) == (vectors, 0, threads)
        assert vectors / (threads * max(shares)) >= BALANCE
    assert panel_cuts(threads * 8, registers, threads) is not None


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_parameter_belongs_to_one_thread(optimizer: str) -> None:
    for threads, more in ((2, {"columns": True}), (3, {"columns": True}), (3, {}), (2, {"chunk": 3})):
        made = witnesses.kernel_of(FEED_FORWARD, batch=6, threads=threads, lanes=2, optimizer=optimizer, **more)
        owners = np.zeros(made.plan.layout.size, int)
        for ranges in made.plan.ownership.ranges:
            for begin, end in ranges:
                owners[begin:end] += 1
        assert (owners == 1).all(), (threads, more)


def test_compiled_columns_agree_and_give_the_same_bits_every_time() -> None:
    """Also where there are more threads than rows."""
    made = witnesses.kernel_of(FEED_FORWARD, batch=3, dtype="float32", lanes=4, registers=32, threads=4, columns=True)
    machine = witnesses.half_compiled(made)
    trial = witnesses.trial_of(FEED_FORWARD, batch=3, samples=23, window=1, weighted=True)
    found, wanted = witnesses.kernel_outcome(made, machine, trial), witnesses.reference_outcome(trial)
    witnesses.assert_agree(found, wanted, 1e-4, FEED_FORWARD)
    results = set()
    for _ in range(50):
        memory = witnesses.Memory.of(made, trial.parameters, 1)
        losses = witnesses.call_train(made, machine, trial, memory, 1, 2)
        results.add(losses.tobytes() + memory.weights.tobytes())
    assert len(results) == 1


@pytest.mark.parametrize(("layers", "width", "threads"), [(2, 256, 2), (30, 64, 1), (1, 300, 2), (3, 8, 1)])
def test_deep_and_narrow_networks_are_one_threads_own(layers: int, width: int, threads: int) -> None:
    chain = "".join(f"(a{number}, {width}, <tanh>)" for number in range(layers))
    graph = witnesses.graph_of(f"{HEAD} (input, {width}) {chain} (output, {width}, <linear>, <mse>)")
    options = compile_options(8, optimizer="sgd", bptt_steps=1, dtype="float32", threads=None, has_time_links=False)
    division = divide(graph, KernelOptions(8, "float32", 16, 32, "sgd"), options, CostModel(processors=2))
    assert division == (ByColumns(threads) if threads > 1 else Alone())
