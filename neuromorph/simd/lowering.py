"""Registers a function with Numba: its types, and the LLVM instructions that replace it in compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer, infer_global, signature
from numba.extending import lower_builtin

ARRAY = types.Array  # in place of a Numba type: an array of any element type; as a result, the first argument's type
Emit = Callable[[Any, ir.IRBuilder, Any, Any], Any]
Twin = TypeVar("Twin", bound=Callable[..., Any])


class Defined(NamedTuple):
    """What a function was registered with; see ``define``."""

    result: Any
    arguments: tuple[Any, ...]
    emit: Emit


DEFINED: dict[Callable[..., Any], Defined] = {}  # what native functions may call too; see ``native.py``


def define(twin: Twin, result: Any, arguments: tuple[Any, ...], emit: Emit) -> Twin:
    """Register a function with Numba; returns the twin, which runs when JIT is off.

    result, arguments: their Numba types. emit(context, builder, signature, values): emits the instructions and returns
    the result's value, which is ignored for a function without a result.
    """

    class _Template(AbstractTemplate):  # type: ignore[misc]
        key = twin

        def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
            if len(args) != len(arguments) or kws:
                return None
            wanted = [a if kind is ARRAY else kind for a, kind in zip(args, arguments, strict=True)]
            return signature(args[0] if result is ARRAY else result, *wanted)

    infer_global(twin, types.Function(infer(_Template)))

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        value = emit(context, builder, sig, args)
        return context.get_dummy_value() if sig.return_type is types.void else value

    lower_builtin(twin, *arguments)(lower)
    DEFINED[twin] = Defined(result, arguments, emit)
    return twin


def data_pointer(context: Any, builder: ir.IRBuilder, array_type: types.Array, array: ir.Value) -> ir.Value:
    """The address of the first element of a flat array, which native functions have as it is."""
    if isinstance(array.type, ir.PointerType):
        return array
    return context.data_model_manager[array_type].get(builder, array, "data")
