"""The functions that exported C has of its own: their values, and that they have the constants of kernels."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest

from helpers.c_programs import C99, needs, run
from neuromorph.export import c_math
from neuromorph.simd import float_formats, numpy_math

NAMES = ["exp", "tanh", "sigmoid", "softplus", "log", "sin", "cos", "normal_cdf", "sqrt"]
TYPES = {"float32": "float", "float64": "double"}
# The largest errors allowed, in units in the last place, with fused multiply-adds or without.
ULPS = {
    "exp": 2, "tanh": 5, "sigmoid": 4, "softplus": 4, "log": 2, "sin": 2, "cos": 2, "normal_cdf": 10, "sqrt": 2
}  # fmt: skip


def source_of(names: list[str], dtype: str, libm: bool = False) -> str:
    """A file with some functions, and for each one a public function that applies it to an array."""
    lines, _ = c_math.functions_of(set(names), dtype, "net", libm)
    for name in names:
        arguments = f"(int n, const {TYPES[dtype]} *x, {TYPES[dtype]} *y)"
        lines += [f"void all_{name}{arguments};", f"void all_{name}{arguments}"]
        lines += [f"{{ for (int i = 0; i < n; i++) {{ y[i] = net_{name}(x[i]); }} }}"]
    return "\n".join(["#include <math.h>" * libm, *lines, ""])


@pytest.fixture(scope="module", params=["float32 -O1", "float64 -O1", "float32 -O2 -march=native"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ctypes.CDLL]:
    dtype, *flags = request.param.split()
    folder = tmp_path_factory.mktemp("math")
    (folder / "all.c").write_text(source_of(NAMES, dtype), encoding="ascii")
    run(["gcc", *C99, *flags, "-shared", "-fPIC", "all.c", "-o", "all.so"], folder)
    return dtype, ctypes.CDLL(str(folder / "all.so"))


def values(functions: ctypes.CDLL, name: str, x: np.ndarray) -> np.ndarray:
    y = np.zeros_like(x)
    pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (x, y))
    getattr(functions, f"all_{name}")(len(x), *pointers)
    return y


def wanted_of(name: str, x: np.ndarray) -> np.ndarray:
    """The right values, in long double where NumPy has the function."""
    with np.errstate(all="ignore"):
        if name == "normal_cdf":
            return np.asarray(numpy_math.normal_cdf(x.astype(np.float64)), np.longdouble)
        if name == "sqrt":
            return np.sqrt(x.astype(np.longdouble))
        if name == "sigmoid":
            return 1 / (1 + np.exp(-x.astype(np.longdouble)))
        if name == "softplus":
            return np.logaddexp(np.longdouble(0), x.astype(np.longdouble))
        return getattr(np, name)(x.astype(np.longdouble))


def inputs_of(name: str, dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    spread = {"log": 30.0, "sqrt": 30.0, "sin": 1e4, "cos": 1e4}.get(name, 0.0)
    if name in ("log", "sqrt"):
        return np.exp(rng.uniform(-spread, spread, 20_000)).astype(dtype)
    if spread:
        return rng.uniform(-spread, spread, 20_000).astype(dtype)
    reach = 2.0 if name == "normal_cdf" else 20.0  # beyond, math.erfc of a rounded number is no measure
    return np.concatenate([rng.uniform(-reach, reach, 10_000), rng.normal(size=10_000) * 0.1]).astype(dtype)


@needs("gcc")
@pytest.mark.parametrize("name", NAMES)
def test_values_are_right_to_the_last_digits(compiled: tuple[str, ctypes.CDLL], name: str) -> None:
    dtype, functions = compiled
    x = inputs_of(name, dtype)
    found, wanted = values(functions, name, x), wanted_of(name, x)
    unit = np.spacing(np.maximum(np.abs(wanted.astype(dtype)), np.finfo(dtype).tiny))
    assert (np.abs(found - wanted) / unit).max() <= ULPS[name]


@needs("gcc")
def test_ends_of_ranges(compiled: tuple[str, ctypes.CDLL]) -> None:
    dtype, functions = compiled
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30], dtype)
    ends = {
        "exp": [np.nan, np.inf, 0.0, 1.0, np.inf, 0.0],
        "tanh": [np.nan, 1.0, -1.0, 0.0, 1.0, -1.0],
        "sigmoid": [np.nan, 1.0, 0.0, 0.5, 1.0, 0.0],
        "softplus": [np.nan, np.inf, 0.0, np.log(2.0), 1e30, 0.0],
        "log": [np.nan, np.inf, np.nan, -np.inf, np.log(1e30), np.nan],
        "sqrt": [np.nan, np.inf, np.nan, 0.0, 1e15, np.nan],
        "normal_cdf": [np.nan, 1.0, 0.0, 0.5, 1.0, 0.0],
    }
    for name, wanted in ends.items():
        limit = 1e-6 if dtype == "float32" else 1e-14
        np.testing.assert_allclose(values(functions, name, x), wanted, rtol=limit, atol=1e-37, err_msg=name)


@needs("gcc")
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sines_of_huge_numbers(compiled: tuple[str, ctypes.CDLL], name: str) -> None:
    dtype, functions = compiled
    rng = np.random.default_rng(1)
    x = (10.0 ** rng.uniform(6, 30 if dtype == "float32" else 300, 2000) * rng.choice([-1, 1], 2000)).astype(dtype)
    found = values(functions, name, x)
    np.testing.assert_allclose(
        found, getattr(np, name)(x.astype(np.float64)), rtol=0, atol=1e-7 if dtype == "float32" else 1e-15
    )
    assert np.isnan(values(functions, name, np.array([np.inf, np.nan], dtype))).all()


@needs("clang")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_has_no_function_that_it_does_not_use(dtype: str, tmp_path: Path) -> None:
    """clang warns of such functions, and gcc does not."""
    for libm in (True, False):
        for name in [*NAMES, "fma", "abs", "max", "min"]:
            if (libm and name in c_math.LIBRARY) or name in ("fma", "abs", "max", "min"):
                continue
            (tmp_path / f"{name}_{libm}.c").write_text(source_of([name], dtype, libm), encoding="ascii")
    run(["clang", *C99, "-fsyntax-only", *sorted(path.name for path in tmp_path.glob("*.c"))], tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants_are_those_of_kernels(dtype: str) -> None:
    form = float_formats.SINGLE if dtype == "float32" else float_formats.DOUBLE
    lines, _ = c_math.functions_of(set(NAMES), dtype, "net", libm=False)
    text = "\n".join(lines)
    known = {float(number) for number in re.findall(r"\d+\.\d*(?:e[+-]?\d+)?", text)}
    terms = [*form.exp_terms, *form.log_terms, form.ln2_high, form.ln2_low, form.exp_low, form.exp_high]
    terms += [form.sigmoid_high, form.tanh_high, *form.coth_terms]
    wide = [*form.normal_terms, *form.sine_terms, *form.cosine_terms, *float_formats.DOUBLE.exp_terms]
    known |= {float(np.float32(number)) for number in known} if dtype == "float32" else set()
    assert {float(np.dtype(dtype).type(abs(term))) for term in terms} | {abs(term) for term in wide} <= known
