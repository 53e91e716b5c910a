"""exp, log, sin and the like of whole vectors: exact enough everywhere, and vector code only."""

import ctypes
import functools
import os
import re
import warnings

import numpy as np
import pytest
from llvmlite import binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.core import config
from numba.extending import intrinsic

from helpers.vector_loops import loop_module
from neuromorph.simd import math as vector_math
from neuromorph.simd import numpy_math as twins

SINGLE, DOUBLE = ir.FloatType(), ir.DoubleType()
DTYPES = {"f32": np.float32, "f64": np.float64}
ELEMENTS = {"f32": SINGLE, "f64": DOUBLE}
# Units in the last place.
BOUNDS = {
    "exp": 1.25, "log": 1.0, "tanh": 3.5, "sigmoid": 2.75, "softplus": 2.0, "sin": 1.0, "cos": 1.0, "normal_cdf": 0.75,
}  # fmt: skip
DOUBLE_BOUNDS = BOUNDS | {"normal_cdf": 7.5}
WAVES = ("sin", "cos")
FAR = 1e4  # beyond it the absolute error of the waves counts
ABSOLUTE = {np.dtype(np.float32): 1e-7, np.dtype(np.float64): 1e-14}
# Where long double is no longer than double (not on x86), its own error is added to what is measured.
SLACK = 0.0 if np.finfo(np.longdouble).eps < 1e-18 else 1.0


def machine():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True, codemodel="jitdefault"
    )


def optimised(module, tuned_for):
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    builder = llvm.create_pass_builder(tuned_for, llvm.create_pipeline_tuning_options(3))
    builder.getModulePassManager().run(parsed, builder)
    return parsed


@functools.cache
def compiled(name, suffix, simd_width, fused=True):
    """The mapping loop as a Python function of an array; `simd_width` 0 is a single number at a time."""
    kind = ir.VectorType(ELEMENTS[suffix], simd_width) if simd_width else ELEMENTS[suffix]
    with pytest.MonkeyPatch.context() as patch:
        if not fused:
            patch.setattr(vector_math, "has_fma", lambda: False)
        module = loop_module(name, kind)
    tuned_for = machine()
    engine = llvm.create_mcjit_compiler(optimised(module, tuned_for), tuned_for)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    entry = prototype(engine.get_function_address("run"))

    def over(values, alive=engine):
        padded = np.zeros(-(-len(values) // 16) * 16, DTYPES[suffix])
        padded[: len(values)] = values
        result = np.empty_like(padded)
        entry(padded.ctypes.data, result.ctypes.data, len(padded))
        return result[: len(values)]

    return over


def truth(name, values):
    """The function of a wider type: double for single, long double for double."""
    with np.errstate(all="ignore"):
        wide = values.astype(np.float64 if values.dtype == np.float32 else np.longdouble)
        if name == "sigmoid":
            return 1 / (1 + np.exp(-wide))
        if name == "softplus":
            return np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))
        if name == "normal_cdf":
            return normal_distribution(wide)
        return getattr(np, name)(wide)


def normal_distribution(x):
    """Φ by its power series up to 2.5 and by its continued fraction beyond (Abramowitz and Stegun, 26.2.10 and 14)."""
    a = np.minimum(np.abs(x.astype(np.longdouble)), 100)
    peak = np.exp(-a * a / 2) / np.sqrt(2 * np.arccos(np.longdouble(-1)))
    large, fraction = np.maximum(a, 2.5), np.zeros_like(a)
    for k in range(300, 0, -1):
        fraction = k / (large + fraction)
    term = total = small = np.minimum(a, 2.5)
    for k in range(1, 60):
        term = term * small * small / (2 * k + 1)
        total = total + term
    tail = np.where(a < 2.5, 0.5 - peak * total, peak / (large + fraction))
    return np.where(x > 0, 1 - tail, tail)


def worst_error(got, exact):
    """The largest error in units in the last place of the rounded exact result; specials must be equal."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(got[~finite], rounded[~finite])
        error = np.abs(got[finite] - exact[finite]) / np.spacing(np.abs(rounded[finite]))
    assert not np.isnan(error).any()
    return float(error.max(initial=0.0))


def error_of(name, values, got):
    """The largest error of a function's results; far waves have to keep to an absolute one."""
    exact = truth(name, values)
    if name not in WAVES:
        return worst_error(got, exact)
    near = ~(np.abs(values) > FAR)
    far = ~near & np.isfinite(values)
    assert np.isnan(got[np.isinf(values)]).all()
    assert np.abs(got[far] - exact[far]).max(initial=0.0) <= ABSOLUTE[got.dtype]
    return worst_error(got[near], exact[near])


def single_grid(step, start=0, stop=1 << 32):
    """Singles by their bit patterns: every exponent, both signs, subnormal numbers, infinities and NaN."""
    return np.arange(start, stop, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


@functools.cache
def doubles():
    """Doubles of every size, and many where a function bends, overflows, vanishes or cancels."""
    draw = np.random.default_rng(20240229)
    patterns = draw.integers(0, 1 << 64, 100_000, dtype=np.uint64).view(np.float64)
    by_size = np.ldexp(draw.uniform(0.5, 1, 100_000), draw.integers(-1080, 1024, 100_000))
    small = np.ldexp(draw.uniform(-1, 1, 100_000), draw.integers(-60, 6, 100_000))
    ranges = [draw.uniform(-w, w, 50_000) for w in (1.0, 25.0, 760.0)]
    ends = [draw.uniform(a - 0.5, a + 0.5, 10_000) for a in (-745, -708, -37, 19, 37, 709.5)]
    turns = (np.arange(-2200, 2200) / 2 + 0.5) * np.log(2) / 2
    near_one = 1 + np.ldexp(draw.uniform(-1, 1, 50_000), draw.integers(-52, -1, 50_000))
    return np.concatenate([patterns, by_size, small, *ranges, *ends, turns, near_one])


@pytest.mark.parametrize("name", vector_math.NAMES)
def test_single_precision_over_the_whole_range(name):
    values = single_grid(4093 if name == "normal_cdf" else 1021)  # whose truth takes long
    assert error_of(name, values, compiled(name, "f32", 16)(values)) <= BOUNDS[name]


@pytest.mark.skipif("NEUROMORPH_EXHAUSTIVE" not in os.environ, reason="minutes; set NEUROMORPH_EXHAUSTIVE=1")
@pytest.mark.parametrize("name", vector_math.NAMES)
def test_single_precision_of_every_number(name):
    over = compiled(name, "f32", 16)
    for start in range(0, 1 << 32, 1 << 24):
        values = single_grid(1, start, start + (1 << 24))
        assert error_of(name, values, over(values)) <= BOUNDS[name]


@pytest.mark.parametrize("name", vector_math.NAMES)
def test_double_precision(name):
    values = doubles()
    assert error_of(name, values, compiled(name, "f64", 8)(values)) <= DOUBLE_BOUNDS[name] + SLACK


@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("name", vector_math.NAMES)
def test_without_fused_multiply_adds(name, suffix):
    values = single_grid(16381) if suffix == "f32" else doubles()[::4]
    error = error_of(name, values, compiled(name, suffix, 4, fused=False)(values))
    assert error <= (BOUNDS if suffix == "f32" else DOUBLE_BOUNDS)[name] + SLACK


@pytest.mark.parametrize(("suffix", "widths"), [("f32", (0, 1, 4, 8)), ("f64", (0, 1, 2, 4))])
@pytest.mark.parametrize("name", vector_math.NAMES)
def test_every_width_gives_the_same_bits(name, suffix, widths):
    values = single_grid(65_521) if suffix == "f32" else doubles()[::10]
    widest = compiled(name, suffix, 16 if suffix == "f32" else 8)(values)
    for simd_width in widths:
        np.testing.assert_array_equal(compiled(name, suffix, simd_width)(values), widest)


SPECIALS = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (np.inf, np.inf), (-np.inf, 0.0), (1e30, np.inf), (-1e30, 0.0)],
    "log": [(1.0, 0.0), (0.0, -np.inf), (-0.0, -np.inf), (np.inf, np.inf), (-1.0, np.nan), (-np.inf, np.nan)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (np.inf, 1.0), (-np.inf, -1.0), (21.0, 1.0), (-21.0, -1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (np.inf, 1.0), (-np.inf, 0.0), (50.0, 1.0), (-1e30, 0.0)],
    "softplus": [(-np.inf, 0.0), (np.inf, np.inf), (1e30, 1e30), (-1e30, 0.0), (1e3, 1e3), (-2e3, 0.0)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (np.inf, np.nan), (-np.inf, np.nan)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (np.inf, np.nan), (-np.inf, np.nan)],
    "normal_cdf": [(np.inf, 1.0), (-np.inf, 0.0), (1e30, 1.0), (-1e30, 0.0), (-50.0, 0.0)],
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("name", vector_math.NAMES)
def test_special_values(name, suffix, fused):
    given, expected = np.array([*SPECIALS[name], (np.nan, np.nan), (-np.nan, np.nan)], DTYPES[suffix]).T
    got = compiled(name, suffix, 4, fused)(given)
    np.testing.assert_array_equal(got, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(expected[known]))


@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("name", ["tanh", "sin"])
def test_the_tangent_and_the_sine_of_tiny_numbers_are_the_number(name, suffix):
    info = np.finfo(DTYPES[suffix])
    tiny = np.array([info.smallest_subnormal, 7 * info.smallest_subnormal, info.tiny, 1e-30], DTYPES[suffix])
    both = np.concatenate([tiny, -tiny])
    np.testing.assert_array_equal(compiled(name, suffix, 4)(both), both)


@pytest.mark.parametrize(("suffix", "low"), [("f32", -103.9), ("f64", -745.1)])
@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus"])
def test_results_underflow_gradually(name, suffix, low):
    values = np.linspace(low, low + 16, 1000).astype(DTYPES[suffix])
    got = compiled(name, suffix, 4)(values)
    assert 0 < got[0] < np.finfo(DTYPES[suffix]).tiny / 1000
    assert (np.diff(got) >= 0).all()
    assert worst_error(got, truth(name, values)) <= 1.0 + SLACK


@pytest.mark.parametrize(("suffix", "low", "high"), [("f32", -14.1, -12.5), ("f64", -38.4, -37.0)])
def test_the_normal_distribution_underflows_gradually(suffix, low, high):
    values = np.linspace(low, high, 1000).astype(DTYPES[suffix])
    got = compiled("normal_cdf", suffix, 4)(values)
    assert 0 < got[0] < np.finfo(DTYPES[suffix]).tiny / 1000
    assert worst_error(got, truth("normal_cdf", values)) <= DOUBLE_BOUNDS["normal_cdf"] + SLACK


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("name", WAVES)
def test_waves_near_their_zeros_and_at_every_size(name, suffix, fused):
    """Numbers next to many multiples of a quarter turn, and powers of two up to the largest."""
    zeros = (np.arange(1, 6000) * (np.pi / 2)).astype(DTYPES[suffix])
    values = np.concatenate([zeros, np.nextafter(zeros, 0), -zeros, np.linspace(-9.9e5, 9.9e5, 40_001)])
    got = compiled(name, suffix, 4, fused)(values.astype(DTYPES[suffix]))
    assert worst_error(got, truth(name, values.astype(DTYPES[suffix]))) <= BOUNDS[name] + SLACK
    powers = np.ldexp(np.array([1.0, -1.1, 1.9]), np.arange(128 if suffix == "f32" else 1024)[:, None])
    sizes = powers.ravel().astype(DTYPES[suffix])
    error_of(name, sizes, compiled(name, suffix, 4, fused)(sizes))


def test_one_far_number_changes_no_other():
    """The path of far numbers is taken by whole vectors."""
    values = np.linspace(-20, 20, 64).astype(np.float32)
    mixed = values.copy()
    mixed[::8] = 1e20
    kept = np.arange(64) % 8 != 0
    for name in WAVES:
        over = compiled(name, "f32", 8)
        np.testing.assert_array_equal(over(mixed)[kept], over(values)[kept])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("name", "low"), [("tanh", -1.0), ("sigmoid", 0.0), ("normal_cdf", 0.0)])
def test_results_stay_within_their_range(name, low, fused):
    for suffix in DTYPES:
        values = np.linspace(-45, 45, 300_001).astype(DTYPES[suffix])
        got = compiled(name, suffix, 4, fused)(values)
        assert got.min() == (low if name == "tanh" else got[0])
        assert got.min() >= low
        assert got.max() == 1.0


@pytest.mark.parametrize(("suffix", "simd_width"), [("f32", 4), ("f32", 8), ("f32", 16), ("f64", 2), ("f64", 8)])
@pytest.mark.parametrize("name", vector_math.NAMES)
def test_machine_code_is_vector_instructions_only(name, suffix, simd_width):
    tuned_for = machine()
    module = loop_module(name, ir.VectorType(ELEMENTS[suffix], simd_width))
    assembly = tuned_for.emit_assembly(optimised(module, tuned_for))
    assert re.search(r"\tv?divp[sd]\b|\tfdiv\b", assembly) or name in ("exp", *WAVES)
    assert not re.search(r"^\s+(callq?|blr?)\s", assembly, re.MULTILINE)
    assert not re.search(r"^\s+v?(add|sub|mul|div|fn?m(add|sub)\d*)s[sd]\s", assembly, re.MULTILINE)


def test_machine_code_without_fma_has_no_calls_either(monkeypatch):
    monkeypatch.setattr(vector_math, "has_fma", lambda: False)
    if not llvm.get_default_triple().startswith("x86_64"):
        pytest.skip("every machine of this kind has fused multiply-adds")
    for name in vector_math.NAMES:
        module = loop_module(name, ir.VectorType(SINGLE, 4))
        plain = llvm.Target.from_default_triple().create_target_machine(cpu="x86-64", features="", opt=3)
        assert "call" not in plain.emit_assembly(optimised(module, plain))


@pytest.mark.parametrize("name", vector_math.NAMES)
def test_no_instruction_has_fast_math_flags(name):
    text = str(loop_module(name, ir.VectorType(SINGLE, 8)))
    assert not re.search(r"\b(fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)\b", text)


def intrinsics(name):
    """The function as Numba intrinsics: of one number, and of 8 in place in an array."""

    @intrinsic
    def single(typingctx, x):
        return x(x), lambda context, builder, signature, args: vector_math.call(builder, name, args[0])

    @intrinsic
    def eight(typingctx, array, start):
        def emit(context, builder, signature, args):
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            vector = ir.VectorType(SINGLE, 8).as_pointer()
            place = builder.bitcast(builder.gep(data, [args[1]]), vector)
            builder.store(vector_math.call(builder, name, builder.load(place, align=4)), place, align=4)
            return context.get_dummy_value()

        return types.void(array, start), emit

    return single, eight


def numba_maps(name, fastmath):
    single, eight = intrinsics(name)

    @njit(fastmath=fastmath)
    def one_by_one(array):
        for i in range(array.size):
            array[i] = single(array[i])

    @njit(fastmath=fastmath)
    def by_eight(array):
        for i in range(0, array.size, 8):
            eight(array, i)

    return one_by_one, by_eight


@pytest.mark.parametrize("name", vector_math.NAMES)
def test_a_fast_math_caller_changes_no_bit(name):
    values = np.concatenate([np.linspace(-103, 88, 4000), np.geomspace(1e-40, 1e38, 4000)]).astype(np.float32)
    expected = compiled(name, "f32", 8)(values)
    for run in numba_maps(name, fastmath=True):
        got = values.copy()
        run(got)
        keep = np.isfinite(expected)
        np.testing.assert_array_equal(got[keep], expected[keep])


def test_function_is_made_once_per_module_and_type():
    module = ir.Module()
    vector = ir.VectorType(SINGLE, 8)
    made = vector_math.function(module, "exp", vector)
    assert vector_math.function(module, "exp", ir.VectorType(SINGLE, 8)) is made
    assert made.name == "nm.exp.v8f32"
    assert made.linkage == "internal"
    assert {"nounwind", "readnone"} <= set(made.attributes)
    assert vector_math.function(module, "exp", ir.VectorType(DOUBLE, 8)).name == "nm.exp.v8f64"
    assert vector_math.function(module, "tanh", DOUBLE).name == "nm.tanh.f64"
    assert vector_math.function(ir.Module(), "exp", vector) is not made
    llvm.parse_assembly(str(module)).verify()


def test_unknown_names_and_types_are_refused():
    builder = ir.IRBuilder()
    with pytest.raises(ValueError, match="named 'cosh'; there are exp, log, tanh, sigmoid, softplus"):
        vector_math.emit("cosh", builder, ir.Constant(SINGLE, 0.0))
    with pytest.raises(ValueError, match="no vector function named 'cosh'"):
        vector_math.function(ir.Module(), "cosh", SINGLE)
    for kind in (ir.IntType(32), ir.VectorType(ir.HalfType(), 8), SINGLE.as_pointer()):
        with pytest.raises(TypeError, match="vector mathematics knows float and double, not"):
            vector_math.emit("exp", builder, ir.Constant(kind, None))
        with pytest.raises(TypeError, match="vector mathematics knows float and double, not"):
            vector_math.function(ir.Module(), "exp", kind)


@pytest.mark.skipif(not llvm.get_default_triple().startswith("x86_64"), reason="x86 features")
@pytest.mark.parametrize(
    ("features", "expected"), [("+avx2,+fma", True), ("+fma4,+avx", False), ("-avx,+fma", False), ("", False)]
)
def test_fma_follows_what_numba_compiles_for(monkeypatch, features, expected):
    monkeypatch.setattr(config, "CPU_FEATURES", features)
    monkeypatch.setattr(config, "ENABLE_AVX", 1)
    assert vector_math.has_fma() is expected
    text = str(loop_module("exp", ir.VectorType(SINGLE, 8)))
    assert ("llvm.fma.v8f32" in text) is expected


@pytest.mark.skipif(not llvm.get_default_triple().startswith("x86_64"), reason="x86 features")
def test_no_fma_where_numba_is_told_to_leave_avx(monkeypatch):
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    monkeypatch.setattr(config, "ENABLE_AVX", 1)
    assert vector_math.has_fma() is bool(llvm.get_host_cpu_features().get("fma"))
    monkeypatch.setattr(config, "ENABLE_AVX", 0)
    assert vector_math.has_fma() is False


@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("name", vector_math.NAMES)
def test_twins_mean_the_same(name, suffix):
    values = single_grid(65_521) if suffix == "f32" else doubles()[::10]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = getattr(twins, name)(values)
    assert got.dtype == values.dtype
    if name == "normal_cdf":  # the argument of the C library's function is rounded, as its tail feels
        least = float(np.finfo(got.dtype).smallest_subnormal)
        np.testing.assert_allclose(got, truth(name, values), rtol=1e-12 if suffix == "f64" else 1e-6, atol=least)
        return
    assert error_of(name, values, got) <= 4.0 + SLACK


@pytest.mark.parametrize("name", vector_math.NAMES)
def test_twins_take_numbers_and_other_arrays(name):
    twin = getattr(twins, name)
    assert twin(2) == twin(2.0) == twin(np.array([2]))[0]
    assert isinstance(twin(np.float32(0.25)), np.float32)
    assert twin(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert np.isnan(twin(np.nan))
    before = np.linspace(0.5, 2, 6).reshape(2, 3)
    given = before.copy()
    assert twin(given).shape == (2, 3)
    np.testing.assert_array_equal(given, before)
