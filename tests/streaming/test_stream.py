"""Streams: the bits of ``predict`` step by step, state that users see and branch, and weights as they come."""

import copy
import gc
import pickle
import re
import threading
import time
import timeit
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import MODELS
from neuromorph import simd
from neuromorph.runtime import feeds
from neuromorph.schedule.layout import panel_of


def lstm(inputs: int, width: int, outputs: str) -> str:
    """The textbook cell of a width."""
    return f"""
    /xavier,const_uneven 0.1 0.2/
    (input, {inputs})
    {{xh, recur, concatenate}}
    [gates,
        (in_gate, {width}, <sigmoid>)
      | (candidate, {width}, <tanh>) {{scaled, in_gate, multiplicative}}
      | (out_gate, {width}, <sigmoid>)
    ]
    (forget_gate, {width}, <sigmoid>)
    {{kept, memory, multiplicative}}
    {{cell, scaled, additive}}
    [m, [memory,]]
    (squashed, <tanh>)
    {{hidden, out_gate, multiplicative}}
    [h, [recur,]]
    (output, {outputs})
    """


TEXTS = {
    "lstm-model": (MODELS / "lstm-model.mdl").read_text(),
    "textbook": lstm(5, 37, "3, <linear>, <mse>"),
    "wide": lstm(300, 66, "40, <softmax>, <cross_entropy>"),
    "forward": "/he,zero/ (input, 130) (a, 264, <gelu>) (b, 9, <swish>) (output, 19, <softmax>, <cross_entropy>)",
    "two loops": """
    /uniform -0.6 0.6,const_uneven 0.1 0.3/
    (input, 7)
    {x1, back1, additive} (a, 70, <tanh>) [s1, [back1,]]
    {sum, sum, average}
    (b, 33, <relu>)
    {x2, back2, concatenate} (c, 12, <sigmoid>) [s2, [back2,]]
    (output, 2, <sigmoid>, <binary_cross_entropy>)
    """,
}
BITS = [("lstm-model", "float32"), ("textbook", "float32"), ("wide", "float32"), ("forward", "float32"),
        ("two loops", "float64")]  # fmt: skip


def prepared(text: str, *, batch: int = 3, dtype: str = "float32", seed: int = 5) -> nm.Model:
    """A model with parameters whose kernels for training are not compiled."""
    model = nm.compile(text, batch, 0.1, dtype=dtype)
    model.prepare()
    rng = np.random.default_rng(seed)
    shapes = {name: array.shape for name, array in model.get_parameters().items()}
    model.set_parameters({name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()})
    return model


@cache
def shared(name: str, dtype: str = "float32") -> nm.Model:
    """A model that no test changes."""
    return prepared(TEXTS[name], dtype=dtype)


def small() -> nm.Model:
    """A model of a test's own; its kernels are everybody's."""
    return prepared(TEXTS["lstm-model"])


def samples(model: nm.Model, steps: int, lanes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(steps, lanes, model.input_width)).astype(model.dtype)


def assert_bits(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    different = np.flatnonzero((found != wanted).reshape(-1))
    assert not different.size, f"{different.size} of {found.size} numbers differ, the first at {different[0]}"


def assert_states(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name in found:
        assert_bits(found[name], wanted[name])


# As predict -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::neuromorph.MDLWarning")
@pytest.mark.parametrize(("name", "dtype"), BITS)
def test_a_stream_gives_the_bits_of_predict(name: str, dtype: str) -> None:
    model = shared(name, dtype)
    for lanes in (1, 2, 3, 5, 13):
        x = samples(model, 40, lanes, seed=lanes)
        stream = model.stream(lanes)
        found = np.array([stream(row if lanes > 1 else row[0]) for row in x])
        assert_bits(found.reshape(40, lanes, -1), model.predict(x))


@pytest.mark.filterwarnings("ignore::neuromorph.MDLWarning")
@pytest.mark.parametrize(("name", "dtype"), BITS)
def test_predict_gives_one_row_the_same_bits_among_any_others(name: str, dtype: str) -> None:
    """Lanes and samples make tiles of all heights, and more rows than fit one call of the forward kernel."""
    model = shared(name, dtype)
    x = samples(model, 3, 700)
    whole = model.predict(x)
    for lanes in (1, 2, 4, 6, 7, 15, 29, 511, 513):
        assert_bits(model.predict(x[:, :lanes]), whole[:, :lanes])
    long = samples(model, 1100, 1)
    stream = model.stream()
    assert_bits(np.array([stream(row[0]) for row in long]), model.predict(long)[:, 0])


@pytest.mark.parametrize(
    ("dtype", "lanes", "registers", "inner", "columns"),
    [
        ("float32", 4, 16, 9, 1), ("float32", 8, 16, 150, 1), ("float64", 2, 16, 70, 2), ("float32", 4, 16, 65, 3),
        ("float32", 4, 32, 260, 4), ("float32", 4, 16, 40, 9), ("float32", 4, 32, 33, 22), ("float32", 4, 16, 1100, 1),
        ("float32", 4, 16, 530, 11), ("float64", 4, 16, 64, 8),
    ],
)  # fmt: skip
def test_a_product_adds_a_row_up_in_one_order_whatever_tile_it_is_in(
    dtype: str, lanes: int, registers: int, inner: int, columns: int
) -> None:
    width, panel, start = columns * lanes, panel_of(columns, registers), "add" if inner % 3 else "bias"
    product = simd.product_of(
        simd.Shape(dtype, lanes, rows=None, inner=inner, columns=columns, panel=panel, a_row=inner, a_inner=1,
                   b_row=None, c_row=width, start=start, registers=registers)
    )  # fmt: skip
    panels, more = -(-columns // panel), start == "bias"

    if more:

        @numba.njit
        def run(a, b, c, bias, rows):
            product(a, 0, b, 0, c, 0, rows, inner, bias, 0, 0, panels)
    else:

        @numba.njit
        def run(a, b, c, bias, rows):
            product(a, 0, b, 0, c, 0, rows, inner, 0, panels)

    rng = np.random.default_rng(inner)
    a, b = (rng.normal(size=shape).astype(dtype) for shape in ((64, inner), (inner * width,)))
    bias, held = rng.normal(size=width).astype(dtype), rng.normal(size=(64, width)).astype(dtype)
    whole = held.copy()
    run(a.ravel(), b, whole.ravel(), bias, 64)
    matrix = np.hstack([
        b[first * inner * lanes :][: inner * lanes * count].reshape(inner, -1)
        for first in range(0, columns, panel)
        for count in [min(panel, columns - first)]
    ])  # fmt: skip
    np.testing.assert_allclose(whole, (bias if more else held) + a @ matrix, rtol=1e-4, atol=1e-3)
    for rows in range(1, 33):
        for begin in (0, 31):
            some = held[begin : begin + rows].copy()
            run(a[begin : begin + rows].ravel(), b, some.ravel(), bias, rows)
            assert_bits(some, whole[begin : begin + rows])


@pytest.mark.usefixtures("interpreted")
def test_a_stream_without_jit() -> None:
    model = small()
    x = samples(model, 6, 2)
    stream = model.stream(2)
    np.testing.assert_allclose([stream(row) for row in x], model.predict(x), rtol=1e-5)


@pytest.mark.parametrize("body", ["(h, 4, <tanh>)", "(h, 4, <tanh>) (n, <norm>)"])
@pytest.mark.usefixtures("interpreted")
def test_a_stream_of_a_released_model_without_jit(body: str) -> None:
    model = nm.build(nm.compile(f"/xavier,zero/ (input, 4) {body} (output, 2, <linear>, <mse>)", 1, 0.1))
    stream, x = model.stream(), np.ones(4, np.float32)
    stream(x)
    model.release()
    with pytest.raises(nm.ModelStateError, match="the model of this stream was released"):
        stream(x)


# What goes in and out -------------------------------------------------------------------------------------------------


def test_inputs_of_any_kind() -> None:
    model = shared("lstm-model")
    x = samples(model, 1, 1)[0, 0]
    wanted = model.stream()(x)
    assert wanted.shape == (4,)
    read_only, gaps = x.copy(), np.repeat(x, 2)[::2]
    read_only.flags.writeable = False
    for given in (x.tolist(), x.astype(np.float64), tuple(x), read_only, gaps, x.astype(">f4"), memoryview(x)):
        assert_bits(model.stream()(given), wanted)
    for given in (x[None], x[None].tolist()):
        assert_bits(model.stream()(given), wanted[None])
    three = samples(model, 1, 3)[0]
    wanted = model.stream(3)(three)
    for given in (three.tolist(), three.astype(np.float64), np.asfortranarray(three), np.repeat(three, 2, 0)[::2]):
        assert_bits(model.stream(3)(given), wanted)
    assert_bits(nm.stream(model, lanes=3)(three), wanted)


def test_results_go_where_they_are_wanted() -> None:
    model = shared("lstm-model")
    x = samples(model, 1, 3)[0]
    wanted, out = model.stream(3)(x), np.full((3, 4), 7.0, np.float32)
    assert model.stream(3)(x, out=out) is out
    assert_bits(out, wanted)
    assert model.stream(3)(x.tolist(), out) is out
    same = x.copy()
    model.stream(3)(same, out=same)  # a result over its own input
    assert_bits(same, wanted)
    one = x[0].copy()
    assert model.stream()(one, out=one) is one
    assert_bits(one, model.stream()(x[0]))
    stream = model.stream()
    assert stream(x[0]) is not stream(x[0])


def frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ([0.0] * 4, "out must be a NumPy array, not list"),
        (np.zeros(3, np.float32), "out has shape (3,) and type float32, but must have shape (4,) and type float32"),
        (np.zeros((1, 4), np.float32), "out has shape (1, 4) and type float32, but must have shape (4,)"),
        (np.zeros(4), "out has shape (4,) and type float64, but must have shape (4,) and type float32"),
        (np.zeros(8, np.float32)[::2], "out must be a C-contiguous, aligned array that can be written to"),
        (frozen(np.zeros(4, np.float32)), "out must be a C-contiguous, aligned array that can be written to"),
    ],
)
def test_where_a_result_cannot_go(out: Any, message: str) -> None:
    stream = shared("lstm-model").stream()
    x = np.ones(4, np.float32)
    stream(x)
    before = stream.state
    with pytest.raises(nm.DataError, match=re.escape(message)):
        stream(x, out=out)
    assert_states(stream.state, before)


def test_where_results_of_several_lanes_cannot_go() -> None:
    stream, x = shared("lstm-model").stream(2), np.ones((2, 4), np.float32)
    for out in (np.zeros((4, 2), np.float32), np.zeros(8, np.float32), np.zeros((2, 8), np.float32)[:, ::2],
                frozen(np.zeros((2, 4), np.float32))):  # fmt: skip
        with pytest.raises(nm.DataError, match=r"^out "):
            stream(x, out=out)
    assert not any(array.any() for array in stream.state.values())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1, 2, 3], "x has 3 on axis 0 (width), but needs 4"),
        (np.zeros(5, np.float32), "x has 5 on axis 0 (width), but needs 4"),
        (np.zeros((2, 4), np.float32), "x has 2 on axis 0 (lanes), but needs 1"),
        (np.zeros((1, 1, 4), np.float32), "x has shape (1, 1, 4), but needs shape (lanes = 1, width = 4)"),
        (1.0, "x is a single number"),
        ([1, np.nan, 3, 4], "x[1] is nan, but must be finite"),
        (np.array([1, 2, 3, np.inf], np.float32), "x[3] is inf, but must be finite"),
        ([1, 2, 1e300, 4], "x[2] is 1e+300, too large for float32"),
        (["a", 1, 2, 3], "x[0] is 'a' (str), but must be a real number"),
        (None, "x"),
    ],
)
def test_wrong_inputs_change_nothing(x: Any, message: str) -> None:
    stream = shared("lstm-model").stream()
    stream(np.ones(4, np.float32))
    before = stream.state
    with pytest.raises(nm.DataError, match=re.escape(message)):
        stream(x)
    assert_states(stream.state, before)


def test_wrong_inputs_of_several_lanes_change_nothing() -> None:
    stream = shared("lstm-model").stream(2)
    for x in (np.ones(8, np.float32), np.ones((4, 2), np.float32), np.full((2, 4), np.nan, np.float32)):
        with pytest.raises(nm.DataError, match=r"^x"):
            stream(x)
    assert not any(array.any() for array in stream.state.values())


@pytest.mark.parametrize(("width", "bad"), [(4, 3), (19, 17), (130, 0)])
def test_a_nan_anywhere_is_seen(width: int, bad: int) -> None:
    model = prepared(f"/xavier,zero/ (input, {width}) (output, 1, <linear>, <mse>)")
    x = np.ones(width, np.float32)
    x[bad] = np.nan
    with pytest.raises(nm.DataError, match=rf"^x\[{bad}\] is nan"):
        model.stream()(x)


@pytest.mark.parametrize("lanes", [0, -1, 2.0, True, "1", None])
def test_wrong_numbers_of_lanes(lanes: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^lanes must be"):
        shared("lstm-model").stream(lanes)


def test_more_lanes_than_fit_into_memory() -> None:
    with pytest.raises(MemoryError, match=r"a stream of 2,147,483,648 lanes needs .* bytes"):
        shared("wide").stream(2**31)


def test_nothing_is_allocated_with_out() -> None:
    """So many lanes, or so wide a model, that one array more would be seen beside frames and views of arrays."""
    for model, lanes, most in [(shared("wide"), 1, 200), (shared("lstm-model"), 200, 1000)]:
        stream, rows = model.stream(lanes), samples(model, 1, lanes)[0]
        x = rows[0] if stream.lanes == 1 else rows
        out = stream(x)
        tracemalloc.start()
        try:
            for _ in range(5):
                stream(x, out=out)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(200):
                stream(x, out=out)
            after, peak = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            before_result = tracemalloc.get_traced_memory()[0]
            stream(x)
            with_result = tracemalloc.get_traced_memory()[1] - before_result
        finally:
            tracemalloc.stop()
        assert after - before < 200, "a call keeps memory"  # what the test itself holds: a counter
        assert peak - before < most < with_result, "a call takes memory for an array"


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_compiled_function_is_called_with_nothing_but_its_own_types(lanes: int) -> None:
    """For others Numba would look for a version of it, which takes fifty times as long as a call."""
    stream, wanted, given = shared("lstm-model").stream(lanes), shared("lstm-model").stream(lanes), list[np.ndarray]()
    step, x = stream._step, samples(shared("lstm-model"), 1, lanes)[0]

    def recording(*arguments: Any) -> Any:
        given.extend(arguments[3:])
        return step(*arguments)

    stream._step = recording
    shapes = [x, not_aligned(x), np.asfortranarray(x), np.repeat(x, 2, -1)[..., ::2], x.astype("f8"), x.tolist()]
    flat = [x[0], not_aligned(x[0]), np.repeat(x[0], 2)[::2], x[0].tolist()] if lanes == 1 else []
    for array in shapes + flat:
        np.testing.assert_array_equal(np.ravel(stream(array)), wanted(x).ravel())
    assert len(given) == 2 * len(shapes + flat), "a call was tried twice"
    assert all(type(one) is np.ndarray and one.ndim == 1 and one.dtype == np.float32 for one in given)
    assert all(one.flags.c_contiguous and one.flags.aligned for one in given)


def not_aligned(array: np.ndarray) -> np.ndarray:
    """A copy that begins at an odd address."""
    room = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = room.view(array.dtype).reshape(array.shape)
    copy[:] = array
    assert not copy.flags.aligned
    return copy


@pytest.mark.parametrize("flat", [True, False])
def test_what_can_not_take_the_result_is_refused_whatever_came_before(flat: bool) -> None:
    """Numba takes a swapped array for a native one, after one that is not aligned."""
    stream, x = shared("lstm-model").stream(), samples(shared("lstm-model"), 1, 1)[0]
    x = x[0] if flat else x
    good = np.zeros((4,) if flat else (1, 4), np.float32)
    fixed = good.copy()
    fixed.flags.writeable = False
    wrong = [not_aligned(good), good.astype(">f4"), np.ma.masked_all(good.shape, np.float32), fixed, good[None]]
    for out in [*wrong, good.view(np.recarray), np.zeros(8, np.float32)[::2].reshape(good.shape), good[..., :3].copy()]:
        with pytest.raises(nm.DataError, match="out"):
            stream(x, out)
    assert not any(out.any() for out in wrong if not np.ma.isMA(out)), "one was written to"
    np.testing.assert_array_equal(stream(x, good), shared("lstm-model").stream()(x))


def test_a_call_is_quick() -> None:
    """About a microsecond; the bound is for busy machines and only tells a compiled call from a checked one."""
    stream, x, out = shared("lstm-model").stream(), np.ones(4, np.float32), np.zeros(4, np.float32)
    best = min(timeit.repeat(lambda: stream(x, out), number=50, repeat=200)) / 50
    assert best < 5e-6


# State ----------------------------------------------------------------------------------------------------------------


def test_state_is_named_and_shaped_as_the_models() -> None:
    model = shared("lstm-model")
    stream = model.stream(3)
    assert {name: array.shape for name, array in stream.state.items()} == {
        name: array.shape for name, array in model.state.items()
    }
    stream(np.ones((3, 4)))
    assert all(array.any() for array in stream.state.values())
    stream.state["lastrecur"][:] = 5.0  # a copy
    assert (stream.state["lastrecur"] < 2.0).all()


def test_state_of_a_model_without_any() -> None:
    stream = shared("forward").stream()
    assert stream.state == {}
    stream.reset()
    stream.state = {}
    with pytest.raises(nm.DataError, match="the model keeps no state named 'a'; it keeps: none"):
        stream.state = {"a": 0.0}


def test_a_stream_goes_on_from_a_state() -> None:
    model = shared("textbook")
    x = samples(model, 20, 2)
    one, other = model.stream(2), model.stream(2)
    for row in x[:11]:
        one(row)
    other.state = one.state
    assert_states(other.state, one.state)
    for row in x[11:]:
        assert_bits(other(row), one(row))


def test_a_stream_goes_on_from_what_training_saw() -> None:
    model = small()
    x = samples(model, 16, 3)
    model.learning_rate = 0.0
    model.train(x, np.zeros((16, 3, 4)), 0)
    stream = model.stream(3)
    stream.state = model.state
    twice = np.concatenate([x, x])
    np.testing.assert_allclose([stream(row) for row in x], model.predict(twice)[16:], rtol=2e-5, atol=1e-6)


def test_lanes_are_independent_and_are_reset_alone() -> None:
    model = shared("textbook")
    x = samples(model, 12, 4)
    together, alone = model.stream(4), [model.stream() for _ in range(4)]
    for step, row in enumerate(x):
        if step == 5:
            together.reset(lane=2)
            alone[2].reset()
        if step == 8:
            together.reset()
            for stream in alone:
                stream.reset()
        assert_bits(together(row), np.array([stream(row[lane]) for lane, stream in enumerate(alone)]))


def test_the_state_of_one_lane() -> None:
    model = shared("lstm-model")
    stream = model.stream(3)
    stream(samples(model, 1, 3)[0])
    before = stream.state
    lane = stream.get_state(lane=1)
    assert {name: array.shape for name, array in lane.items()} == dict.fromkeys(before, (4,))
    for name in before:
        assert_bits(lane[name], before[name][1])
    stream.set_state(lane, lane=2)
    stream.set_state({"lastrecur": 0.25}, lane=np.int64(0))
    after = stream.state
    for name in before:
        assert_bits(after[name][2], before[name][1])
        assert_bits(after[name][1], before[name][1])
    assert (after["lastrecur"][0] == 0.25).all()


@pytest.mark.parametrize(
    ("values", "lane", "error", "message"),
    [
        ({"nope": 0.0}, None, nm.DataError, "keeps no state named 'nope'; it keeps: lastrecur, prevstaterecur"),
        ({"lastrecur": [1, 2]}, None, nm.DataError, "lastrecur has shape (2,), and the model needs (2, 4)"),
        ({"prevstaterecur": 1.0, "lastrecur": np.nan}, None, nm.DataError, "lastrecur is nan, but must be finite"),
        ({"lastrecur": np.zeros((2, 4))}, 0, nm.DataError, "lastrecur has shape (2, 4), and the model needs (4,)"),
        (5, None, TypeError, "state must be a dict of names and numbers, not int"),
        ({}, 2, nm.DataError, "lane is 2, but must be from 0 to 1"),
        ({}, -1, nm.DataError, "lane is -1, but must be from 0 to 1"),
        ({}, True, TypeError, "lane must be a whole number, not True"),
        ({}, "0", TypeError, "lane must be a whole number, not '0'"),
    ],
)
def test_wrong_states_change_nothing(values: Any, lane: Any, error: type[Exception], message: str) -> None:
    stream = shared("lstm-model").stream(2)
    stream(np.ones((2, 4)))
    before = stream.state
    with pytest.raises(error, match=re.escape(message)):
        stream.set_state(values, lane)
    assert_states(stream.state, before)


@pytest.mark.parametrize("branch", [nm.Stream.copy, copy.copy, copy.deepcopy])
def test_a_stream_branches(branch: Callable[[nm.Stream], nm.Stream]) -> None:
    model = shared("textbook")
    x = samples(model, 9, 2)
    stream = model.stream(2)
    for row in x[:4]:
        stream(row)
    other = branch(stream)
    assert other.lanes == 2
    kept = stream.state
    for row in x[4:]:
        other(2.0 * row)
    assert_states(stream.state, kept)
    fresh = model.stream(2)
    wanted = np.array([fresh(row) for row in x])[4:]
    for row, result in zip(x[4:], wanted, strict=True):
        assert_bits(stream(row), result)


def test_what_a_stream_says_of_itself() -> None:
    assert repr(shared("lstm-model").stream()) == "<neuromorph.Stream 4 -> 4, 1 lane, float32>"
    assert repr(shared("textbook").stream(3)) == "<neuromorph.Stream 5 -> 3, 3 lanes, float32>"


def test_a_stream_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="a Stream can't be pickled: pickle or save its model, and its state"):
        pickle.dumps(shared("lstm-model").stream())


# Weights --------------------------------------------------------------------------------------------------------------


def test_a_stream_sees_new_parameters_at_once() -> None:
    model = small()
    x, stream = np.ones(4, np.float32), model.stream()
    first = stream(x)
    for change in (
        lambda: model.set_parameters({"output.bias": 0.5}),
        lambda: model.train(np.ones((2, 3, 4)), np.zeros((2, 3, 4)), 0),
        lambda: nm.build(model),
    ):
        change()
        stream.reset()
        assert_bits(stream(x), model.predict(x[None])[0])
        assert (stream(x) != first).any()


def test_a_copied_model_has_streams_of_its_own() -> None:
    model = small()
    stream, other = model.stream(), copy.deepcopy(model)
    other.set_parameters({"output.bias": 0.5})
    assert_bits(stream(np.ones(4)), model.predict(np.ones((1, 4)))[0])
    assert_bits(other.stream()(np.ones(4)), other.predict(np.ones((1, 4)))[0])


def test_a_stream_outlives_its_model_but_not_its_release() -> None:
    model = small()
    stream, x = model.stream(), np.ones(4, np.float32)
    wanted = stream(x)
    stream.reset()
    del model
    gc.collect()
    assert_bits(stream(x), wanted)

    model = small()
    streams = [model.stream(lanes) for lanes in (1, 3)]
    copied = streams[0].copy()
    model.release()
    for stream in (*streams, copied):
        with pytest.raises(nm.ModelStateError, match="the model of this stream was released; compile its text again"):
            stream(np.ones(4) if stream.lanes == 1 else np.ones((3, 4), np.float32))
    with pytest.raises(nm.ModelStateError, match="the model was released"):
        model.stream()


def test_a_stream_needs_a_built_model() -> None:
    with pytest.raises(nm.ModelStateError, match="not built yet"):
        nm.compile(TEXTS["lstm-model"], 3, 0.1).stream()


def test_training_makes_no_copies_where_nobody_streams() -> None:
    model = small()
    stream = model.stream()
    feed = stream._feed
    before = feed.weights
    model.publish()
    assert feed.weights is not before
    assert before is not None
    del stream, feed
    gc.collect()
    assert model.feeds._feed is not None
    assert model.feeds._feed() is None


def test_training_of_short_sequences_does_not_copy_after_each(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[str] = []

    class Watched(feeds.Feed):
        def __setattr__(self, name: str, value: Any) -> None:
            copies.append(name)
            super().__setattr__(name, value)

    monkeypatch.setattr(feeds, "Feed", Watched)
    model = small()
    stream = model.stream()
    copies.clear()
    inputs = np.ones((400, 2, model.batch_size, model.input_width), np.float32)
    started = time.perf_counter()
    nm.train(model, inputs, np.zeros((400, 2, model.batch_size, model.output_width)), 0)
    allowed = 3 + (time.perf_counter() - started) / 0.05  # first, last, and one each twentieth of a second
    assert 1 <= len(copies) <= allowed
    x = np.ones(model.input_width, np.float32)
    assert_bits(stream(x), model.predict(x[None])[0])  # the weights of the last update


# Threads --------------------------------------------------------------------------------------------------------------


def test_streams_of_one_model_in_several_threads() -> None:
    model = shared("textbook")
    x = samples(model, 300, 4)
    wanted, found = model.predict(x), np.zeros((300, 4, 3), np.float32)
    streams = [model.stream() for _ in range(4)]

    def run(lane: int) -> None:
        for step in range(300):
            streams[lane](x[step, lane], out=found[step, lane])

    threads = [threading.Thread(target=run, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_bits(found, wanted)


def even() -> tuple[nm.Model, np.ndarray, np.ndarray]:
    """A model whose outputs are all alike after any number of whole updates, and data that it learns for a second."""
    text = "/uniform 0.5 0.5,const_flat 0.5/ (input, 512) (output, 1024, <linear>, <mse>)"
    model = nm.build(nm.compile(text, 1, 1e-3, threads=1))
    model.predict(np.ones((1, 512)))  # compiles
    return model, np.ones((4000, 1, 512), np.float32), np.zeros((4000, 1, 1024), np.float32)


@contextmanager
def training(model: nm.Model, inputs: np.ndarray, expected: np.ndarray) -> Iterator[threading.Thread]:
    """While a model trains in another thread."""
    thread = threading.Thread(target=model.train, args=(inputs, expected, 0))
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def test_a_stream_sees_whole_updates_while_the_model_trains() -> None:
    model, inputs, expected = even()
    x, seen = np.ones(512, np.float32), []
    with training(model, inputs, expected) as thread:
        while len(model.losses) < len(inputs):  # it has not begun
            time.sleep(0.0005)
        stream = model.stream()  # made while the model is at work
        made_in_time = thread.is_alive()
        while thread.is_alive():
            y = stream(x)
            assert (y == y[0]).all(), "half of an update"
            seen.append(float(y[0]))
    assert made_in_time, "a stream waited for the end of training"
    assert len(set(seen)) > 2, "no news while the model trained"
    assert seen == sorted(seen, reverse=True)
    assert_bits(stream(x), model.predict(x[None])[0])


def test_a_stream_sees_the_weights_where_training_diverged() -> None:
    model = nm.build(nm.compile("/uniform 0.5 0.5,zero/ (input, 1) (output, 1, <linear>, <mse>)", 1, 3.0))
    stream, x = model.stream(), np.ones(1, np.float32)
    with pytest.raises(nm.TrainingDivergedError):
        model.train(np.ones((500, 1, 1)), np.zeros((500, 1, 1)), 0)
    assert_bits(stream(x), model.predict(x[None])[0])


# Inputs of other kinds ------------------------------------------------------------------------------------------------


def converted_step() -> tuple[nm.Stream, np.ndarray]:
    text = "/xavier,zero/ (input, 8) (a, 16, <lstm>) (output, 2, <linear>, <mse>)"
    return nm.build(nm.compile(text, 1, 0.1), seed=1).stream(), np.linspace(-1.0, 1.0, 8)


KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda x: x,
    "list": lambda x: x.tolist(),
    "tuple": lambda x: tuple(x.tolist()),
    "numbers of NumPy": lambda x: list(x),
    "strided": lambda x: np.stack([x, x], axis=1).astype(np.float32)[:, 0],
    "other byte order": lambda x: x.astype(">f8"),
}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("kind", [*KINDS, "an object"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_inputs_of_every_kind_give_the_same(kind: str, lanes: int) -> None:
    class Own:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __array__(self, *arguments: Any, **options: Any) -> np.ndarray:
            return self.array

    stream, x = converted_step()
    if lanes == 3:
        stream = nm.build(nm.compile("/xavier,zero/ (i, 8) (o, 2, <tanh>, <mse>)", 1, 0.1), seed=1).stream(3)
        x = np.outer([1.0, 2.0, 3.0], x)
    twin, make = stream.copy(), Own if kind == "an object" else KINDS[kind]
    given = make(x) if lanes == 1 or kind in ("float64", "other byte order", "an object") else [make(row) for row in x]
    for _ in range(2):
        np.testing.assert_array_equal(stream(given), twin(x.astype(np.float32)))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full(8, 1e300), r"x\[0\] is 1e\+300, too large for float32"),
        ([1e300] * 8, r"x\[0\] is 1e\+300, too large for float32"),
        ([10**400] * 8, r"x\[0\] is .*, too large for float32"),
        ([1.0] * 7 + [float("nan")], r"x\[7\] is nan, but must be finite"),
        ([1.0] * 7, r"x has 7 on axis 0 \(width\), but needs 8"),
        (["1.0"] * 8, r"x\[0\] is '1.0' \(str\), but must be a real number"),
        ([1j] * 8, "real number"),
        (np.ones(8, complex), "real number"),
        ([[1.0, 2.0], [1.0]], r"x\[1\] has 1 number"),
        ([np.datetime64(1, "s")] * 8, "real number"),
    ],
)
def test_wrong_inputs_of_other_kinds_change_nothing(x: Any, message: str) -> None:
    stream, _ = converted_step()
    before = stream.state
    with pytest.raises(nm.DataError, match=message):
        stream(x)
    for name, value in stream.state.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.usefixtures("interpreted")
def test_a_list_that_contains_itself_ends() -> None:
    endless: list[Any] = [1.0]
    endless += [endless] * 7
    with pytest.raises(nm.DataError):
        converted_step()[0](endless)


def test_a_conversion_costs_little_more_than_it_does_in_numpy() -> None:
    """Before, a step took more than ten times as long."""
    stream, x = converted_step()
    plain = x.astype(np.float32)
    for kind in ("float64", "list"):
        other = KINDS[kind](x)
        calls = (lambda: stream(plain), lambda: np.asarray(other, np.float32), lambda: stream(other))  # noqa: B023
        times: list[list[float]] = [[], [], []]
        for _ in range(60):
            for found, call in zip(times, calls, strict=True):
                found.append(timeit.timeit(call, number=100, timer=time.thread_time))
        alone, cast, both = map(min, times)
        assert both < 1.5 * (alone + cast) + 1e-4  # a microsecond a call for looking at it
