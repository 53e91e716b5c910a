"""SIMD vectors as values in generated kernels: their types, arithmetic, comparison and other operations.

``vectors("float32", 8)`` gives a namespace of functions over vectors of eight float32 elements. Each is an ordinary
Python function over NumPy arrays (its twin, for when JIT is off) and, inside compiled code, one or a few LLVM vector
instructions. The arithmetic operators work on vectors in both cases; a scalar operand is copied to all elements.

No instruction has fast-math flags: every sum has the order, and every rounding the place, that the source gives it.
So the kernels of a model and the machine give the same bits. Where a product is added to something, ``fma`` says so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import product
from typing import Any, ClassVar, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import PrimitiveModel, register_default
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, lower_cast

from . import math as vector_math
from . import numpy_math as twins
from .constants import filled, undefined

_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
ELEMENTS: dict[str, tuple[Any, ir.Type, int]] = {
    "float32": (types.float32, ir.FloatType(), 4),
    "float64": (types.float64, ir.DoubleType(), 8),
}


class VectorType(types.Type):
    """The Numba type of a vector of ``simd_width`` floating-point numbers."""

    def __init__(self, dtype: types.Float, simd_width: int) -> None:
        self.dtype, self.simd_width = dtype, simd_width
        super().__init__(name=f"Vector({dtype}, {simd_width})")


class MaskType(types.Type):
    """The Numba type of a comparison of two vectors: one truth value for each element."""

    def __init__(self, vector: VectorType) -> None:
        self.vector, self.simd_width = vector, vector.simd_width
        super().__init__(name=f"Mask({vector.dtype}, {vector.simd_width})")


def ir_element(dtype: types.Float) -> ir.Type:
    """The LLVM type of one element."""
    return ELEMENTS[str(dtype)][1]


@register_default(VectorType)
class _VectorModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: VectorType) -> None:
        super().__init__(manager, fe_type, ir.VectorType(ir_element(fe_type.dtype), fe_type.simd_width))


@register_default(MaskType)
class _MaskModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: MaskType) -> None:
        super().__init__(manager, fe_type, ir.VectorType(_I1, fe_type.simd_width))


def spread(builder: ir.IRBuilder, scalar: ir.Value, simd_width: int) -> ir.Value:
    """A vector with ``scalar`` in every element."""
    nothing = undefined(scalar.type, simd_width)
    seed = builder.insert_element(nothing, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(seed, nothing, filled(_I32, simd_width, 0))


def _halves(builder: ir.IRBuilder, value: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The lower and the upper half of a vector, each a vector of half as many elements."""
    half = value.type.count // 2
    order = ir.VectorType(_I32, half)
    lower, upper = (ir.Constant(order, list(range(start, start + half))) for start in (0, half))
    return builder.shuffle_vector(value, value, lower), builder.shuffle_vector(value, value, upper)


def elements_below(builder: ir.IRBuilder, count: ir.Value, simd_width: int) -> ir.Value:
    """A mask of the elements whose number is less than ``count``."""
    steps = ir.Constant(ir.VectorType(_I64, simd_width), list(range(simd_width)))
    return builder.icmp_signed("<", steps, spread(builder, count, simd_width))


def sum_of_elements(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """The sum of the elements."""
    while vector.type.count > 1:
        vector = builder.fadd(*_halves(builder, vector))
    return builder.extract_element(vector, ir.Constant(_I32, 0))


def largest_element(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """The largest of the elements."""
    while vector.type.count > 1:
        lower, upper = _halves(builder, vector)
        vector = builder.select(builder.fcmp_unordered(">", lower, upper), lower, upper)
    return builder.extract_element(vector, ir.Constant(_I32, 0))


def emit_maximum(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """The larger of two elements; ``y`` where either is NaN."""
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def emit_fma(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """x y + z of each element: one instruction if the processor has it."""
    if not vector_math.has_fma():
        return builder.fadd(builder.fmul(x, y), z)
    fused = intrinsic(builder.module, f"llvm.fma.{suffix(x.type)}", x.type, [x.type] * 3)
    return builder.call(fused, [x, y, z])


def intrinsic(module: ir.Module, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, arguments), name)


def suffix(vector: ir.VectorType) -> str:
    """LLVM's name for a vector type inside the names of its intrinsics: ``v8f32``."""
    return f"v{vector.count}{'f32' if isinstance(vector.element, ir.FloatType) else 'f64'}"


def masked_load(builder: ir.IRBuilder, pointer: ir.Value, mask: ir.Value, rest: ir.Value) -> ir.Value:
    """The elements of the vector at an address where the mask is true; the others are from ``rest`` and not read."""
    kind, size = rest.type, 4 if isinstance(rest.type.element, ir.FloatType) else 8
    arguments = [kind.as_pointer(), _I32, mask.type, kind]
    read = intrinsic(builder.module, f"llvm.masked.load.{suffix(kind)}.p0", kind, arguments)
    return builder.call(read, [pointer, ir.Constant(_I32, size), mask, rest])


# Operators -----------------------------------------------------------------------------------------------------------


def _vector_of(*args: types.Type) -> VectorType | None:
    """The vector type in which an operation on these vectors and scalars is computed, or None."""
    found = {a for a in args if isinstance(a, VectorType)}
    others = [a for a in args if not isinstance(a, VectorType)]
    if len(found) == 1 and all(isinstance(a, types.Float | types.Integer) for a in others):
        return found.pop()
    return None


# Most operators of a kernel compute offsets. Their types are given here at once, as Numba's own templates would.
_TWO_COUNTS = (types.int64, types.int64)
_COUNT_OF_TWO = signature(types.int64, *_TWO_COUNTS)
_OF_COUNTS = frozenset({operator.add, operator.sub, operator.mul})


def _operand_types(vector: VectorType, args: tuple[types.Type, ...]) -> list[types.Type]:
    return [vector if isinstance(a, VectorType) else vector.dtype for a in args]


def _as_vectors(builder: ir.IRBuilder, sig: Any, args: Any) -> list[ir.Value]:
    """The arguments as vectors: scalars are copied to all elements of a vector."""
    vector = _vector_of(*sig.args)
    assert vector is not None
    return [
        value if isinstance(kind, VectorType) else spread(builder, value, vector.simd_width)
        for kind, value in zip(sig.args, args, strict=True)
    ]


class Operation(NamedTuple):
    """The type of an operation's result, from that of its vectors, and what emits its instructions."""

    result: Callable[[VectorType], types.Type]
    emit: Callable[..., ir.Value]


OPERATIONS: dict[Callable[..., Any], Operation] = {}  # all on vectors


def _register(
    function: Any, arity: int, result: Callable[[VectorType], types.Type], emit: Callable[..., ir.Value]
) -> None:
    """Teach Numba ``function`` over vectors and scalars. ``emit(builder, *vectors)`` emits its instructions."""
    OPERATIONS[function] = Operation(result, emit)

    @infer_global(function)
    class _Template(AbstractTemplate):  # type: ignore[misc]
        # Numba tries templates for a target before its own, "generic" ones, of which an operator has dozens.
        metadata: ClassVar[dict[str, str]] = {"target": "cpu"}

        def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
            if args == _TWO_COUNTS and function in _OF_COUNTS:
                return _COUNT_OF_TWO
            vector = _vector_of(*args)
            if vector is None or len(args) != arity or kws:
                return None
            return signature(result(vector), *_operand_types(vector, args))

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return emit(builder, *_as_vectors(builder, sig, args))

    kinds = (
        [(VectorType,)]
        if arity == 1
        else [(VectorType, VectorType), (VectorType, types.Float), (types.Float, VectorType)]
    )
    for kind in kinds:
        lower_builtin(function, *kind)(lower)


def _same(vector: VectorType) -> types.Type:
    return vector


def _mask(vector: VectorType) -> types.Type:
    return MaskType(vector)


for _function, _method in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _register(_function, 2, _same, lambda b, x, y, m=_method: getattr(b, m)(x, y))
_register(operator.neg, 1, _same, lambda b, x: b.fneg(x))
for _function, _sign in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
    _register(_function, 2, _mask, lambda b, x, y, s=_sign: b.fcmp_ordered(s, x, y))


@lower_cast(VectorType, VectorType)  # type: ignore[untyped-decorator]
def _vector_to_itself(context: Any, builder: ir.IRBuilder, fromty: Any, toty: Any, value: ir.Value) -> ir.Value:
    return value


# Functions of vectors ------------------------------------------------------------------------------------------------


def fma(x: Any, y: Any, z: Any) -> Any:
    """x y + z of each element, rounded once where the processor can, else twice, as in plain Python."""
    return x * y + z


def sqrt(x: Any) -> Any:
    """Square root of each element."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(x)


def absolute(x: Any) -> Any:
    """Magnitude of each element."""
    return np.abs(x)


def maximum(x: Any, y: Any) -> Any:
    """The larger of two elements; ``y`` where either is NaN."""
    return np.where(x > y, x, y)


def minimum(x: Any, y: Any) -> Any:
    """The smaller of two elements; ``y`` where either is NaN."""
    return np.where(x < y, x, y)


def where(mask: Any, x: Any, y: Any) -> Any:
    """``x`` in the elements where ``mask`` holds, ``y`` in the others."""
    dtype = np.result_type(*[v.dtype for v in (x, y) if isinstance(v, np.ndarray | np.generic)] or [np.float64])
    return np.where(mask, x, y).astype(dtype, copy=False)


def _emit_unary(name: str) -> Callable[..., ir.Value]:
    def emit(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
        full = f"llvm.{name}.{suffix(x.type)}"
        return builder.call(intrinsic(builder.module, full, x.type, [x.type]), [x])

    return emit


def _emit_minimum(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered("<", x, y), x, y)


_register(sqrt, 1, _same, _emit_unary("sqrt"))
emit_absolute = _emit_unary("fabs")
_register(absolute, 1, _same, emit_absolute)
_register(maximum, 2, _same, emit_maximum)
_register(minimum, 2, _same, _emit_minimum)


@lower_builtin(twins.log, types.Float)  # type: ignore[untyped-decorator]
def _lower_log(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    return vector_math.call(builder, "log", args[0])


@infer_global(twins.log)
class _LogOfOne(AbstractTemplate):  # type: ignore[misc]
    """The logarithm of a single number. A row needs only one logarithm, and computing a vector of them would take as
    long as all terms of the row."""

    def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
        one = len(args) == 1 and not kws and isinstance(args[0], types.Float)
        return signature(args[0], args[0]) if one else None


for _name in vector_math.NAMES:
    _register(getattr(twins, _name), 1, _same, lambda b, x, n=_name: vector_math.call(b, n, x))


@infer_global(where)
class _Where(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
        if len(args) != 3 or kws or not isinstance(args[0], MaskType):
            return None
        vector = _vector_of(args[0].vector, *args[1:])
        return signature(vector, args[0], *_operand_types(vector, args[1:])) if vector else None


@infer_global(fma)
class _Fma(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
        vector = _vector_of(*args) if len(args) == 3 and not kws else None
        return signature(vector, *_operand_types(vector, args)) if vector else None


def _lower_fma(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    return emit_fma(builder, *_as_vectors(builder, sig, args))


OPERATIONS[fma] = Operation(_same, emit_fma)
OPERATIONS[where] = Operation(_same, lambda builder, *values: builder.select(*values))
for _kinds in product((VectorType, types.Float), repeat=3):
    if VectorType in _kinds:
        lower_builtin(fma, *_kinds)(_lower_fma)


def _lower_where(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    vector = sig.return_type
    picks = [
        value if isinstance(kind, VectorType) else spread(builder, value, vector.simd_width)
        for kind, value in zip(sig.args[1:], args[1:], strict=True)
    ]
    return builder.select(args[0], *picks)


for _kinds in product((VectorType, types.Float), repeat=2):
    lower_builtin(where, MaskType, *_kinds)(_lower_where)
