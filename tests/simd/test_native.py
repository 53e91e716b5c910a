"""Functions that are compiled straight to LLVM give what their twins in Python give."""

from __future__ import annotations

import numpy as np
import pytest
from llvmlite import ir

from helpers.native import compiled_function
from neuromorph import simd
from neuromorph.simd import span, sqrt, where
from neuromorph.simd.constants import filled, undefined
from neuromorph.simd.native import MARK
from neuromorph.simd.native_emitter import function_in

native = simd.native("float32", 4)
VECTORS = simd.vectors("float32", 4)
load, store, total = VECTORS.load, VECTORS.store, VECTORS.total
HALF, ROWS = 0.5, 3


@native("count count -> count count")
def divided(x, y):
    return x // y, x % y


@native("count number -> number")
def grown(n, x):
    return x + n


@native("count number -> number")
def shrunk(n, x):
    """Two results, one of them early."""
    if n < 0:
        return x / -n
    return x**0.5 if n == 0 else -x - 1.5 * n


BOTH = (grown, shrunk)


@native("array count")
def bent(values, count):
    for q in span(0, count, 4):
        x = load(values, q)
        store(values, q, where(x > HALF, 2.0, 1.0 - x) * sqrt(x + 3))


@native("integers count array flag -> count")
def looked_up(program, which, values, flag):
    """Tables of whole numbers, lengths of arrays, and a loop that ends in its middle."""
    first, last = ((0, 3), (1, 4), (-2, 1))[which]
    total, rounds = (5, 7, 11)[which] * first + last, 0
    for start, end in (((0, 2), (2, 5)), ((1, 1), (3, 4)), ((-1, 0), (0, 1)))[which]:
        total = 10 * total + end - start
    while True:
        rounds += 1
        if flag:
            pass
        elif rounds < 3:
            total += measured(values)
        program[rounds] = total
        if rounds == 4:
            return total + len(values)


@native("array -> count")
def measured(values):
    return len(values)


@native("integers array doubles flag -> number")
def everything(program, values, numbers, flag):
    quotient, rest = divided(program[0], program[1])
    numbers[0], numbers[1] = quotient, rest
    numbers[2] = BOTH[program[2]](program[3], float(values[0]))
    bent(values, 8)
    here = 0
    while here < ROWS and not numbers[3] >= 2.0:
        numbers[3] += 0.75
        here += 1
    for n in span(2, -1, -1):
        numbers[4 + n] = float(max(n, 1, program[3]) << n) if flag or n == 1 else min(0.25, values[n])
    numbers[7] = float(here) + float(int(values[3]) & 7)
    numbers[8] = 1.0 if -1.0 < values[1] < 1.0 else 0.0
    return total(load(values, 4))


compiled = compiled_function(everything)


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_tables_and_lengths(which: int, flag: bool) -> None:
    found, wanted = np.zeros(8, np.int64), np.zeros(8, np.int64)
    values = np.zeros(6, np.float32)
    result = compiled_function(looked_up)(found, which, values, flag)
    assert result == looked_up(wanted, which, values, flag)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("words", [(7, 2, 0, 3), (-7, 2, 1, 0), (7, -2, 1, -4), (-8, 2, 1, 5), (0, 3, 0, -1)])
def test_everything_that_the_language_has(words: tuple[int, ...], flag: bool) -> None:
    found, wanted = ([np.arange(8, dtype=np.float32) / 3, np.zeros(9)] for _ in range(2))
    program = np.array(words)
    result = compiled(program, *found, flag)
    assert result == pytest.approx(everything(program, *wanted, flag), rel=1e-6)
    for made, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(made, right, rtol=1e-6)


@native("count -> count")
def with_a_list(n):
    return [n]


@native("count -> count")
def of_two_types(n):
    x = n
    x = 0.5 * n
    return x


@native("count -> count")
def with_a_number_as_condition(n):
    return 1 if n else 2


@native("count -> count")
def over_a_range(n):
    for _ in [n]:
        n += 1
    return n


@native("count -> count")
def that_calls_another(n):
    return abs(n)


@native("array -> count")
def of_no_arguments_length(values):
    some = values
    return len(some)


REFUSED = {
    with_a_list: r"with_a_list has '\[n\]': a native function can't have it",
    of_two_types: "x of of_two_types is int64 first and float64 later",
    with_a_number_as_condition: "has 'n': a condition is a comparison or a flag",
    over_a_range: r"has '\[n\]': a native function loops over spans only",
    that_calls_another: r"has 'abs\(n\)': there is no such function",
    of_no_arguments_length: r"has 'some': only arguments have a length",
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda function: function.__name__)
def test_what_is_no_part_of_the_language(function: object) -> None:
    with pytest.raises(TypeError, match=REFUSED[function]):
        function_in(ir.Module(), getattr(function, MARK))


def test_constants_are_what_they_were_made_of() -> None:
    """Also those that are equal and not the same."""
    zero, below, one = (filled(ir.FloatType(), 2, value) for value in (0.0, -0.0, 1.0))
    assert str(zero) == "<2 x float> zeroinitializer"
    for found, value in ((below, -0.0), (one, 1.0)):
        assert str(found) == str(ir.Constant(ir.VectorType(ir.FloatType(), 2), [value] * 2))
    assert str(zero) != str(below)
    assert filled(ir.FloatType(), 2, 0.0) is zero
    assert str(undefined(ir.IntType(64), 3)) == "<3 x i64> undef"


# Products whose shape is known at run time only ----------------------------------------------------------------------

product = simd.general_product("float32", 4, 16, False)
turned = simd.general_product("float32", 4, 16, True)


@native("flag array array array count count count count count")
def multiplied(is_turned, a, b, c, rows, inner, columns, stride, order):
    if is_turned:
        turned(a, 0, b, 0, c, 0, b, 0, rows, inner, columns, 3, stride, 0, 0, 0, order)
    else:
        product(a, 0, b, 0, c, 0, b, 0, rows, inner, columns, 3, stride, 0, 0, 0, order)


@pytest.mark.parametrize(("is_turned", "order"), [(False, 0), (False, 1), (False, 2), (False, 4), (True, 1)])
def test_tiles_of_every_height(is_turned: bool, order: int) -> None:
    """Some heights have a function of their own, others are put together."""
    rng, compiled_product = np.random.default_rng(0), compiled_function(multiplied)
    for rows in range(1, 15):
        for columns in (1, 2, 3):
            inner = 5 if rows % 2 else 16
            left = rng.normal(size=(rows, inner)).astype(np.float32)
            right = rng.normal(size=(inner, 4 * columns)).astype(np.float32)
            found, given = np.zeros(rows * 4 * columns, np.float32), (left.T if is_turned else left).ravel()
            stride = rows if is_turned else inner
            compiled_product(is_turned, given, right.ravel(), found, rows, inner, columns, stride, order)
            np.testing.assert_allclose(found.reshape(rows, -1), left @ right, rtol=1e-4, atol=1e-5)


@native("integers -> flag")
def added(program):
    program[0] += 1
    return program[0] == 2


@native("integers -> count")
def refused(program):
    return 0 if not added(program) else 1


def test_what_not_negates_is_computed_once() -> None:
    for function in (refused, compiled_function(refused)):
        program = np.zeros(1, np.int64)
        assert [function(program), function(program), function(program)] == [0, 1, 0]
        assert program[0] == 3
