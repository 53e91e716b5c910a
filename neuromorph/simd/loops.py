"""Loops over whole numbers that compile quickly.

A kernel has a hundred loops. For each ``range``, Numba makes an object whose length is computed by a division. That
takes some eighty LLVM instructions, which are all optimised away again. A ``span`` is only a counter and its bound.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel.models import StructModel
from numba.core.datamodel.registry import register_default
from numba.core.imputils import RefType, iternext_impl
from numba.core.types.common import SimpleIteratorType
from numba.core.types.misc import EphemeralPointer
from numba.core.typing.templates import AbstractTemplate, infer, infer_global, signature
from numba.extending import lower_builtin


def span(start: int, stop: int, step: int = 1) -> range:
    """The numbers of ``range(start, stop, step)``; ``step`` must be a literal."""
    return range(start, stop, step)


class Span(SimpleIteratorType):
    """The Numba type of a span, and of the iterator over it."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"span by {step}", types.intp)


class _Model(StructModel):  # type: ignore[misc]
    """The data of a span: the address of the next number, and the bound, which is not reached."""

    def __init__(self, manager: Any, kind: Span) -> None:
        super().__init__(manager, kind, [("next", EphemeralPointer(types.intp)), ("stop", types.intp)])


register_default(Span)(_Model)


class _Template(AbstractTemplate):  # type: ignore[misc]
    key = span
    prefer_literal = True

    def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
        ends = all(isinstance(arg, types.Integer | types.IntegerLiteral) for arg in args)
        if kws or not ends or not 2 <= len(args) <= 3:
            return None
        step = args[2].literal_value if len(args) == 3 and isinstance(args[2], types.IntegerLiteral) else 1
        if step == 0 or (len(args) == 3 and not isinstance(args[2], types.IntegerLiteral)):
            return None
        return signature(Span(step), types.intp, types.intp, *args[2:])


infer_global(span, types.Function(infer(_Template)))


def _begin(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    made = cgutils.create_struct_proxy(sig.return_type)(context, builder)
    made.next = cgutils.alloca_once_value(builder, args[0])
    made.stop = args[1]
    return made._getvalue()


def _itself(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    return args[0]


def _go_on(context: Any, builder: ir.IRBuilder, sig: Any, args: Any, result: Any) -> None:
    (kind,) = sig.args
    place, stop = builder.extract_value(args[0], 0), builder.extract_value(args[0], 1)
    number = builder.load(place)
    result.set_valid(builder.icmp_signed("<" if kind.step > 0 else ">", number, stop))
    result.yield_(number)
    builder.store(builder.add(number, ir.Constant(number.type, kind.step), flags=["nsw"]), place)


lower_builtin(span, types.intp, types.intp)(_begin)
lower_builtin(span, types.intp, types.intp, types.Any)(_begin)
lower_builtin("getiter", Span)(_itself)
lower_builtin("iternext", Span)(iternext_impl(RefType.UNTRACKED)(_go_on))
