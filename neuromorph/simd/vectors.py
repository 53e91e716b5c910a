"""Short vectors as values of generated kernels: loads, stores, arithmetic, comparison and lane operations.

``vectors("float32", 8)`` gives a namespace of functions over vectors of eight float32 lanes. Each is an ordinary Python
function over NumPy arrays (its twin, for when JIT is off) and, inside compiled code, one or a few LLVM vector
instructions. The arithmetic operators work on the vectors in both worlds; a scalar operand is spread over the lanes.

Arithmetic carries the fast-math flags ``FLAGS``, which never include nnan or ninf: a diverging loss stays visible. The
vector mathematics of ``math.py`` carries none, because its error-free steps must stay as written.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import PrimitiveModel, register_default
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, lower_cast

from . import math as vector_math
from . import numpy_math as twins
from .lowering import ARRAY, data_pointer, define

FLAGS = ("contract", "nsz", "arcp", "afn", "reassoc")
_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_ELEMENTS: dict[str, tuple[Any, ir.Type, int]] = {
    "float32": (types.float32, ir.FloatType(), 4),
    "float64": (types.float64, ir.DoubleType(), 8),
}


class VectorType(types.Type):
    """The Numba type of a vector of ``lanes`` floating-point numbers."""

    def __init__(self, dtype: types.Float, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


class MaskType(types.Type):
    """The Numba type of a comparison of two vectors: one truth value a lane."""

    def __init__(self, vector: VectorType) -> None:
        self.vector, self.lanes = vector, vector.lanes
        super().__init__(name=f"Mask({vector.dtype}, {vector.lanes})")


def ir_element(dtype: types.Float) -> ir.Type:
    """The LLVM type of one lane."""
    return _ELEMENTS[str(dtype)][1]


@register_default(VectorType)
class _VectorModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: VectorType) -> None:
        super().__init__(manager, fe_type, ir.VectorType(ir_element(fe_type.dtype), fe_type.lanes))


@register_default(MaskType)
class _MaskModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: MaskType) -> None:
        super().__init__(manager, fe_type, ir.VectorType(_I1, fe_type.lanes))


def spread(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """A vector with ``scalar`` in every lane."""
    vector = ir.VectorType(scalar.type, lanes)
    seed = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(
        seed, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    )


def _halves(builder: ir.IRBuilder, value: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The lower and the upper half of a vector, each a vector of half as many lanes."""
    half = value.type.count // 2
    order = ir.VectorType(_I32, half)
    lower, upper = (ir.Constant(order, list(range(start, start + half))) for start in (0, half))
    return builder.shuffle_vector(value, value, lower), builder.shuffle_vector(value, value, upper)


def lanes_below(builder: ir.IRBuilder, count: ir.Value, lanes: int) -> ir.Value:
    """A mask of the lanes whose number is less than ``count``."""
    steps = ir.Constant(ir.VectorType(_I64, lanes), list(range(lanes)))
    return builder.icmp_signed("<", steps, spread(builder, count, lanes))


def sum_of_lanes(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """The sum of the lanes."""
    while vector.type.count > 1:
        vector = builder.fadd(*_halves(builder, vector), flags=FLAGS)
    return builder.extract_element(vector, ir.Constant(_I32, 0))


def largest_lane(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """The largest of the lanes."""
    while vector.type.count > 1:
        lower, upper = _halves(builder, vector)
        vector = builder.select(builder.fcmp_unordered(">", lower, upper), lower, upper)
    return builder.extract_element(vector, ir.Constant(_I32, 0))


def emit_maximum(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """The larger of two lanes; ``y`` where either is NaN."""
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _intrinsic(module: ir.Module, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, arguments), name)


def suffix(vector: ir.VectorType) -> str:
    """LLVM's name for a vector type inside the names of its intrinsics: ``v8f32``."""
    return f"v{vector.count}{'f32' if isinstance(vector.element, ir.FloatType) else 'f64'}"


def masked_load(builder: ir.IRBuilder, pointer: ir.Value, mask: ir.Value, rest: ir.Value) -> ir.Value:
    """The vector at an address where the mask holds, ``rest`` elsewhere, where nothing is read."""
    kind, size = rest.type, 4 if isinstance(rest.type.element, ir.FloatType) else 8
    arguments = [kind.as_pointer(), _I32, mask.type, kind]
    read = _intrinsic(builder.module, f"llvm.masked.load.{suffix(kind)}.p0", kind, arguments)
    return builder.call(read, [pointer, ir.Constant(_I32, size), mask, rest])


# Operators -----------------------------------------------------------------------------------------------------------


def _vector_of(*args: types.Type) -> VectorType | None:
    """The vector type that a mix of vectors and scalars computes in, if it is one."""
    found = {a for a in args if isinstance(a, VectorType)}
    others = [a for a in args if not isinstance(a, VectorType)]
    if len(found) == 1 and all(isinstance(a, types.Float | types.Integer) for a in others):
        return found.pop()
    return None


# What Numba's own templates say of offsets, said at once: most operators of a kernel make an offset.
_TWO_COUNTS = (types.int64, types.int64)
_COUNT_OF_TWO = signature(types.int64, *_TWO_COUNTS)
_OF_COUNTS = frozenset({operator.add, operator.sub, operator.mul})


def _operand_types(vector: VectorType, args: tuple[types.Type, ...]) -> list[types.Type]:
    return [vector if isinstance(a, VectorType) else vector.dtype for a in args]


def _as_vectors(builder: ir.IRBuilder, sig: Any, args: Any) -> list[ir.Value]:
    """The arguments, scalars spread over the lanes of the vectors beside them."""
    vector = _vector_of(*sig.args)
    assert vector is not None
    return [
        value if isinstance(kind, VectorType) else spread(builder, value, vector.lanes)
        for kind, value in zip(sig.args, args, strict=True)
    ]


def _register(
    function: Any, arity: int, result: Callable[[VectorType], types.Type], emit: Callable[..., ir.Value]
) -> None:
    """Teach Numba ``function`` over vectors and scalars; ``emit(builder, *vectors)`` gives its instructions."""

    @infer_global(function)
    class _Template(AbstractTemplate):  # type: ignore[misc]
        # Numba asks what is for a target first, and only then its own, "generic" templates: dozens for an operator.
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
    _register(_function, 2, _same, lambda b, x, y, m=_method: getattr(b, m)(x, y, flags=FLAGS))
_register(operator.neg, 1, _same, lambda b, x: b.fneg(x, flags=FLAGS))
for _function, _sign in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
    _register(_function, 2, _mask, lambda b, x, y, s=_sign: b.fcmp_ordered(s, x, y))


@lower_cast(VectorType, VectorType)  # type: ignore[untyped-decorator]
def _vector_to_itself(context: Any, builder: ir.IRBuilder, fromty: Any, toty: Any, value: ir.Value) -> ir.Value:
    return value


# Functions of vectors ------------------------------------------------------------------------------------------------


def sqrt(x: Any) -> Any:
    """Square root of each lane."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(x)


def absolute(x: Any) -> Any:
    """Magnitude of each lane."""
    return np.abs(x)


def maximum(x: Any, y: Any) -> Any:
    """The larger of two lanes; ``y`` where either is NaN."""
    return np.where(x > y, x, y)


def minimum(x: Any, y: Any) -> Any:
    """The smaller of two lanes; ``y`` where either is NaN."""
    return np.where(x < y, x, y)


def where(mask: Any, x: Any, y: Any) -> Any:
    """``x`` in the lanes where ``mask`` holds, ``y`` in the others."""
    dtype = np.result_type(*[v.dtype for v in (x, y) if isinstance(v, np.ndarray | np.generic)] or [np.float64])
    return np.where(mask, x, y).astype(dtype, copy=False)


def _emit_unary(name: str) -> Callable[..., ir.Value]:
    def emit(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
        full = f"llvm.{name}.{suffix(x.type)}"
        return builder.call(_intrinsic(builder.module, full, x.type, [x.type]), [x])

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
    """The logarithm of one number: a row has one, and a whole vector of it would cost as much as all its terms."""

    def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
        one = len(args) == 1 and not kws and isinstance(args[0], types.Float)
        return signature(args[0], args[0]) if one else None


for _name in ("exp", "log", "tanh", "sigmoid"):
    _register(getattr(twins, _name), 1, _same, lambda b, x, n=_name: vector_math.call(b, n, x))


@infer_global(where)
class _Where(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
        if len(args) != 3 or kws or not isinstance(args[0], MaskType):
            return None
        vector = _vector_of(args[0].vector, *args[1:])
        return signature(vector, args[0], *_operand_types(vector, args[1:])) if vector else None


def _lower_where(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    vector = sig.return_type
    picks = [
        value if isinstance(kind, VectorType) else spread(builder, value, vector.lanes)
        for kind, value in zip(sig.args[1:], args[1:], strict=True)
    ]
    return builder.select(args[0], *picks)


for _kinds in product((VectorType, types.Float), repeat=2):
    lower_builtin(where, MaskType, *_kinds)(_lower_where)


# Loads, stores and lanes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vectors:
    """The functions over vectors of one element type and one number of lanes."""

    dtype: str
    lanes: int
    load: Callable[..., Any]
    load_head: Callable[..., Any]
    store: Callable[..., Any]
    store_head: Callable[..., Any]
    head: Callable[..., Any]
    splat: Callable[..., Any]
    total: Callable[..., Any]
    largest: Callable[..., Any]
    softmax: Callable[..., Any]


@cache
def vectors(dtype: str, lanes: int) -> Vectors:
    """The namespace of vectors of ``lanes`` numbers of ``dtype`` ("float32" or "float64")."""
    element, scalar, size = _ELEMENTS[dtype]
    vector, packed = VectorType(element, lanes), ir.VectorType(scalar, lanes)
    zeros = ir.Constant(packed, [0.0] * lanes)
    mask = ir.VectorType(_I1, lanes)

    def address(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, index: ir.Value) -> ir.Value:
        pointer = builder.gep(data_pointer(context, builder, kind, array), [index])
        return builder.bitcast(pointer, packed.as_pointer())

    def load(array: Any, index: int) -> Any:
        """The vector at ``index``."""
        return array[index : index + lanes].copy()

    def emit_load(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.load(address(context, builder, sig.args[0], *args), align=size)

    def load_head(array: Any, index: int, count: int) -> Any:
        """The vector at ``index`` with only its first ``count`` lanes read, zero in the others."""
        out = np.zeros(lanes, array.dtype)
        some = min(max(count, 0), lanes)
        out[:some] = array[index : index + some]
        return out

    def emit_load_head(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        pointer = address(context, builder, sig.args[0], args[0], args[1])
        return masked_load(builder, pointer, lanes_below(builder, args[2], lanes), zeros)

    def store(array: Any, index: int, value: Any) -> None:
        """Write a vector at ``index``."""
        array[index : index + lanes] = value

    def emit_store(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        builder.store(args[2], address(context, builder, sig.args[0], args[0], args[1]), align=size)

    def store_head(array: Any, index: int, value: Any, count: int) -> None:
        """Write the first ``count`` lanes of a vector at ``index``."""
        some = min(max(count, 0), lanes)
        array[index : index + some] = value[:some]

    def emit_store_head(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        pointer = address(context, builder, sig.args[0], args[0], args[1])
        name = f"llvm.masked.store.{suffix(packed)}.p0"
        write = _intrinsic(builder.module, name, ir.VoidType(), [packed, packed.as_pointer(), _I32, mask])
        builder.call(write, [args[2], pointer, ir.Constant(_I32, size), lanes_below(builder, args[3], lanes)])

    def head(first: Any, rest: Any, count: int) -> Any:
        """The first ``count`` lanes of one vector, followed by the other's."""
        return np.where(np.arange(lanes) < count, first, rest)

    def emit_head(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.select(lanes_below(builder, args[2], lanes), args[0], args[1])

    def splat(value: float) -> Any:
        """A vector with ``value`` in every lane."""
        return np.full(lanes, value, dtype)

    def emit_splat(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return spread(builder, args[0], lanes)

    def total(value: Any) -> Any:
        """The sum of the lanes."""
        return value.sum(dtype=dtype)

    def emit_total(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return sum_of_lanes(builder, args[0])

    def largest(value: Any) -> Any:
        """The largest of the lanes; where a lane is NaN, NaN or, in compiled code, the largest of some others."""
        return value.max()

    def emit_largest(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return largest_lane(builder, args[0])

    def softmax(value: Any, count: int) -> Any:
        """Softmax over the first ``count`` lanes, zero in the others."""
        with np.errstate(invalid="ignore"):
            powers = np.exp(value - value[:count].max())
        powers[count:] = 0.0
        return powers / powers.sum(dtype=dtype)

    def emit_softmax(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        inside = lanes_below(builder, args[1], lanes)
        lowest = ir.Constant(packed, [float(np.finfo(dtype).min)] * lanes)
        top = largest_lane(builder, builder.select(inside, args[0], lowest))
        powers = vector_math.call(builder, "exp", builder.fsub(args[0], spread(builder, top, lanes)))
        powers = builder.select(inside, powers, zeros)
        whole = spread(builder, sum_of_lanes(builder, powers), lanes)
        return builder.fdiv(powers, whole, flags=FLAGS)

    nothing: Any = types.void
    array, index = ARRAY, types.intp
    return Vectors(
        dtype,
        lanes,
        load=define(load, vector, (array, index), emit_load),
        load_head=define(load_head, vector, (array, index, index), emit_load_head),
        store=define(store, nothing, (array, index, vector), emit_store),
        store_head=define(store_head, nothing, (array, index, vector, index), emit_store_head),
        head=define(head, vector, (vector, vector, index), emit_head),
        splat=define(splat, vector, (element,), emit_splat),
        total=define(total, element, (vector,), emit_total),
        largest=define(largest, element, (vector,), emit_largest),
        softmax=define(softmax, vector, (vector, index), emit_softmax),
    )
