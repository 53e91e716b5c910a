"""Compiles one function that calls several SIMD products."""

from collections.abc import Callable

from numba import njit

from neuromorph import simd

OPTIONS = {"fastmath": False, "error_model": "numpy"}


def product_calls(shapes: list[simd.Shape]) -> Callable[..., None]:
    """The compiled function ``call(which, a, ao, b, bo, c, co, rows, inner, bias, place, beside, there, keep, …)``.

    which: the index of the shape whose product is called.
    """
    given = {"bias": "bias, place, ", "keep": "keep, "}
    lines = ["def call(which, a, ao, b, bo, c, co, rows, inner, bias, place, beside, there, keep, first, last):"]
    for number, shape in enumerate(shapes):
        more = given.get(shape.start, "") + ("beside, there, " if shape.beside_row is not None else "")
        lines += [
            f"    if which == {number}:",
            f"        product{number}(a, ao, b, bo, c, co, rows, inner, {more}first, last)",
        ]
    space = {f"product{number}": simd.product_of(shape) for number, shape in enumerate(shapes)}
    exec("\n".join(lines), space)
    return njit(**OPTIONS)(space["call"])  # type: ignore[arg-type]
