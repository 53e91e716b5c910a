"""Among how many threads a window is divided, and that more threads than rows do no harm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers import witnesses
from helpers.division import change_costs, divide_everything
from helpers.texts import HEADER
from neuromorph.options import compile_options
from neuromorph.runtime.kernels import Kernels
from neuromorph.runtime.threadpool import run_together
from neuromorph.schedule import (
    Alone,
    ByBatch,
    ByColumns,
    ByRows,
    InChunks,
    KernelOptions,
    divide,
    threads_of_prediction,
)

HEAD = HEADER
CHAIN = f"{HEAD} (input, 4) (a, 32, <tanh>) (b, 16, <tanh>) (output, 4, <tanh>, <mse>)"
WIDE = f"{HEAD} (input, 4096) (a, 4096, <relu>) (output, 10, <softmax>, <cross_entropy>)"
MIDDLE = f"{HEAD} (input, 256) (a, 256, <relu>) (output, 256, <linear>, <mse>)"
NARROW = f"{HEAD} (input, 60000) (output, 8, <linear>, <mse>)"
LOOP = f"{HEAD} (input, 512) {{both, recur, additive}} (a, 512, <tanh>) [link, [recur,]] (output, 512, <linear>, <mse>)"
NARROW_LOOP = LOOP.replace("512", "64")
CONVOLVED = f"{HEAD} (input, 512) (a, 512, <conv, 2>) (output, 512, <linear>, <mse>)"
SMALL = f"{HEAD} (input, 3) (a, 6, <tanh>) (output, 2, <sigmoid>, <mse>)"
DIGITS = f"{HEAD} (input, 64) (hidden, 128, <relu>) (output, 10, <softmax>, <cross_entropy>)"
DEEP = f"{HEAD} (input, 64) {''.join(f'(h{n}, 64, <relu>)' for n in range(4))} (output, 10, <linear>, <mse>)"
HEAVY = f"{HEAD} (input, 40) (a, 40, <tanh>) (output, 3, <sigmoid>, <mse>)"


WHAT = {Alone: "rows", ByRows: "rows", InChunks: "chunks", ByColumns: "columns", ByBatch: "lanes"}


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    change_costs(monkeypatch, processors=8)


def divided(text: str, batch: int, window: int, threads: int | None = None) -> tuple[int, str]:
    """(threads, what they divide) of a model."""
    graph = witnesses.graph_of(text)
    options = compile_options(
        batch, optimizer="sgd", bptt_steps=window, dtype="float32", threads=threads, has_time_links=graph.has_time_links
    )
    division = divide(graph, KernelOptions(batch, "float32", 8, 16, "sgd"), options, Kernels.costs)
    return division.threads, WHAT[type(division)]


@pytest.mark.parametrize(
    ("text", "batch", "window", "wanted"),
    [
        (CHAIN, 1, 10_000, (8, "chunks")),
        (CHAIN, 10_000, 1, (8, "chunks")),
        (MIDDLE, 1, 1_000, (8, "rows")),
        (WIDE, 2, 1, (8, "columns")),
        (WIDE, 1, 2, (8, "columns")),
        (LOOP, 24, 1_000, (8, "lanes")),  # step by step, threads have nothing but lanes
        (LOOP, 15, 1_000, (5, "lanes")),  # seven would take as long: some of them have three
        (LOOP, 4, 16, (2, "lanes")),
        (LOOP, 3, 1_000, (8, "columns")),  # of each step: one lane alone takes nearly as long as two
        (NARROW_LOOP, 3, 1_000, (1, "rows")),  # they would meet too often
        (CONVOLVED, 1, 1_000, (1, "rows")),
        (LOOP, 64, 1, (5, "lanes")),  # the more threads, the more gradients to sum
        (LOOP, 16, 1, (8, "columns")),
        (NARROW, 1, 1, (3, "columns")),  # by what they sum over; more threads would have too little work
        (NARROW, 100, 1, (8, "columns")),
        (CHAIN, 1, 1, (1, "rows")),
        (DIGITS, 32, 1, (2, "columns")),
        (DIGITS, 16, 1, (1, "rows")),  # little work
        (DEEP, 32, 1, (1, "rows")),  # more changes hands than is computed
    ],
)
def test_what_limits_threads(text: str, batch: int, window: int, wanted: tuple[int, str]) -> None:
    assert divided(text, batch, window) == wanted


@pytest.mark.parametrize(
    ("width", "batch", "window", "wanted"),
    [
        (64, 16, 30, 2),
        (64, 16, 16, 1),  # little work
        (64, 15, 30, 1),  # products of fewer lanes are slower
        (64, 15, 80, 1),
        (64, 15, 160, 1),
        (64, 15, 320, 2),  # a call of this window is worth waking others
        (24, 64, 32, 2),
        (24, 20, 64, 1),  # two time loops, each of many steps with little work
        (100, 16, 8, 1),  # gradients of many weights, twice
        (100, 16, 20, 2),
    ],
)
def test_lanes_of_a_short_window_where_one_thread_does_the_shares_of_two_as_quickly(
    width: int, batch: int, window: int, wanted: int
) -> None:
    text = f"{HEAD} (input, 8) {{both, recur, concatenate}} (a, {width}, <tanh>) [link, [recur,]]"
    assert divided(f"{text} (output, 4, <linear>, <mse>)", batch, window, 2)[0] == wanted


def test_more_threads_than_can_be_used_are_reduced() -> None:
    for threads, wanted in ((1, 1), (3, 3), (8, 8), (100, 8), (2**31, 8)):
        assert divided(CHAIN, 1, 10_000, threads) == (wanted, "chunks")
        assert divided(WIDE, 2, 1, threads) == (wanted, "columns" if wanted > 1 else "rows")
        assert divided(MIDDLE, 1, 1_000, threads) == (wanted, "rows")
    assert divided(LOOP, 24, 1_000, 100) == (8, "lanes")
    assert divided(LOOP, 24, 1_000, 7) == (6, "lanes")  # one of seven would have as many as one of six


def test_no_thread_is_without_a_row_or_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the work is worth."""
    divide_everything(monkeypatch, 1000)
    assert divided(MIDDLE, 1, 200) == (Kernels.costs.most_threads, "rows")
    assert divided(SMALL, 1, 5) == (5, "rows")
    assert divided(LOOP, 5, 7) == (5, "lanes")
    assert divided(WIDE, 1, 1) == (64, "columns")
    assert divided(HEAVY, 1, 1) == (3, "columns")  # 40 are five vectors, in three panels
    assert divided(NARROW, 3, 1) == (3, "columns")


def test_columns_take_as_many_threads_as_have_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six threads, two would have none of a layer's four panels: four are as fast."""
    chain = "".join(f"(a{number}, 64, <tanh>)" for number in range(60))
    text = f"{HEAD} (input, 64) {chain} (output, 64, <linear>, <mse>)"
    change_costs(monkeypatch, processors=6)
    assert divided(text, 16, 1) == (4, "columns")


# More threads than rows ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("text", "window", "kind"),
    [(SMALL, 5, "rows"), (HEAVY, 1, "columns"), (SMALL, 150, "chunks")],
    ids=["rows", "columns", "chunks"],
)
def test_a_model_whose_last_window_has_fewer_rows_than_threads(
    text: str, window: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one lane; training, evaluating and single samples agree with one thread."""
    divide_everything(monkeypatch)
    change_costs(monkeypatch, chunk_bytes=1)
    many, one = (model_of(text, window, threads) for threads in (100, 1))
    division = many.kernels.kernel.options.division
    assert division.threads > 1
    assert WHAT[type(division)] == kind
    rng = np.random.default_rng(0)
    x, e = rng.normal(size=(2 * window + 1, 1, many.input_width)), rng.random((2 * window + 1, 1, many.output_width))
    for model in (many, one):
        model.train(x, e, 0)
        for sample in range(3):
            model.train(x[sample : sample + 1], e[sample : sample + 1], 0)
    for name, value in one.get_parameters().items():
        np.testing.assert_allclose(many.get_parameters()[name], value, rtol=1e-10, atol=1e-13, err_msg=name)
    assert many.evaluate(x, e) == pytest.approx(one.evaluate(x, e), rel=1e-10)
    np.testing.assert_allclose(many.predict(x), one.predict(x), rtol=1e-10)
    many_gradients, one_gradients = many.gradients(x, e)[1], one.gradients(x, e)[1]
    np.testing.assert_allclose(many_gradients["output.weight"], one_gradients["output.weight"], rtol=1e-9)


def model_of(text: str, window: int, threads: int) -> nm.Model:
    nm.seed(3)
    return nm.build(nm.compile(text, 1, 0.1, bptt_steps=window, dtype="float64", threads=threads))


# Prediction -----------------------------------------------------------------------------------------------------------


def test_prediction_takes_threads_where_each_has_work_worth_waking_it() -> None:
    def threads(text: str, rows: int, most: int | None = None) -> int:
        options = KernelOptions(4, "float32", 8, 16)
        return threads_of_prediction(witnesses.graph_of(text), options, rows, most, Kernels.costs)

    assert [threads(SMALL, rows) for rows in (1, 100, 10_000)] == [1, 1, 1]
    assert threads(WIDE, 1000) == 8
    assert threads(WIDE, 3) == 3  # no more than rows
    assert threads(WIDE, 1000, most=2) == 2
    assert threads(LOOP, 100_000) == 1  # a step waits for the one before
    assert 1 < threads(CHAIN, 50_000) < 8


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("shape", [(7, 2, 3), (1, 9, 3), (3, 4, 2, 3), (5, 3)], ids=str)
def test_predictions_of_threads_are_those_of_one(shape: tuple[int, ...], monkeypatch: Any) -> None:
    """Bit for bit, whatever the axes are, in pieces of a few rows and with threads that have nothing to do."""
    model = nm.compile(SMALL, 2, 0.1)
    model.build()
    inputs = np.random.default_rng(3).uniform(-1, 1, shape).astype(np.float32)
    wanted = model.predict(inputs)
    change_costs(monkeypatch, waking=1e-12)
    monkeypatch.setattr("neuromorph.prediction.CHUNK_ROWS", 2)
    pools = pools_of(monkeypatch)
    np.testing.assert_array_equal(model.predict(inputs), wanted)
    assert set(pools) == ({8} if inputs.size // 3 > 10 else set())  # all threads, for pieces with rows for all, or none


def pools_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many threads each call of a prediction kernel was given, where there was more than one."""
    found: list[int] = []

    def noted(function: Any, arguments: Any) -> Any:
        found.append(len(arguments))
        return run_together(function, arguments)

    monkeypatch.setattr("neuromorph.prediction.run_together", noted)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_predictions_of_threads_are_those_of_one(dtype: Any, monkeypatch: Any) -> None:
    """Read-only inputs, from several Python threads at once; and where no thread can be had, still the same."""
    model = nm.compile(SMALL, 2, 0.1, dtype=dtype)
    model.build()
    inputs = np.random.default_rng(3).uniform(-1, 1, (3001, 2, 3)).astype(dtype)
    inputs.flags.writeable = False
    wanted = model.predict(inputs)
    change_costs(monkeypatch, waking=1e-9)
    pools = pools_of(monkeypatch)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: model.predict(inputs), range(6)):
            np.testing.assert_array_equal(found, wanted)
    assert set(pools) == {8}

    def none_left(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("neuromorph.prediction.run_together", none_left)
    np.testing.assert_array_equal(model.predict(inputs), wanted)
