"""Emits the C functions by which Python calls the compiled functions of a bundle.

A wrapper checks its arguments, takes numbers and the addresses of arrays from them, and calls the compiled function
without the GIL. It reads an array's fields where NumPy's C macros read them; these places are compiled into every
extension module that uses NumPy.

For each function there is another one by which compiled code calls it, with a record of its arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from ..abi.learning import ABSENT, UNUSABLE
from ..simd.native import Given, Native, ir_type
from ..simd.native_emitter import declared
from .compiling import object_of, parsed
from .linking import BY_RECORD, OBJECTS, PREFIX, PYTHON, TABLE

_I8, _I32, _I64, _DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
_OBJECT = _I8.as_pointer()
_C_FUNCTION = ir.FunctionType(_OBJECT, [_OBJECT, _OBJECT.as_pointer(), _I64])  # self, arguments, their number
_TYPES = {  # of Python's functions that wrappers call
    "PyLong_AsLongLong": ir.FunctionType(_I64, [_OBJECT]),
    "PyFloat_AsDouble": ir.FunctionType(_DOUBLE, [_OBJECT]),
    "PyObject_IsTrue": ir.FunctionType(_I32, [_OBJECT]),
    "PyErr_Occurred": ir.FunctionType(_OBJECT, []),
    "PyErr_SetString": ir.FunctionType(ir.VoidType(), [_OBJECT, _OBJECT]),
    "PyEval_SaveThread": ir.FunctionType(_OBJECT, []),
    "PyEval_RestoreThread": ir.FunctionType(ir.VoidType(), [_OBJECT]),
    "PyLong_FromLongLong": ir.FunctionType(_OBJECT, [_I64]),
    "PyFloat_FromDouble": ir.FunctionType(_OBJECT, [_DOUBLE]),
    "PyType_IsSubtype": ir.FunctionType(_I32, [_OBJECT, _OBJECT]),
    "Py_IncRef": ir.FunctionType(ir.VoidType(), [_OBJECT]),
}
# Places of fields in Python's and NumPy's structures, in bytes; see object.h and ndarraytypes.h.
_HEAD = object.__basicsize__  # of the head that every object has
_KIND = _HEAD - 8  # the type of an object is the last field of the head
_DATA, _AXES, _LENGTHS, _DTYPE, _FLAGS = _HEAD, _HEAD + 8, _HEAD + 16, _HEAD + 40, _HEAD + 48  # of an array
_BYTE_ORDER, _NUMBER = _HEAD + 10, _HEAD + 12  # of an array's data type
_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400  # flags


def callers(functions: Sequence[Native], names: Sequence[str]) -> bytes:
    """An object file with a wrapper for each of some compiled functions."""
    module = ir.Module("neuromorph.calling")
    table = ir.GlobalVariable(module, ir.ArrayType(_OBJECT, len(PYTHON) + len(OBJECTS)), TABLE)
    table.initializer = ir.Constant(table.value_type, None)
    for name, own in zip(names, functions, strict=True):
        _Caller(module, name, own).emit()
        _emit_by_record(module, name, own)
    with parsed(module) as made:
        return object_of(made)


def _emit_by_record(module: ir.Module, name: str, own: Native) -> None:
    """Emit the function of a record, which returns the result, or 0 where there is none.

    There is none for functions that are given objects, or whose result is no whole number.
    """
    if own.results not in ((), (types.int64,)) or any(isinstance(kind, Given) for kind in own.arguments):
        return
    outer = ir.Function(module, ir.FunctionType(_I64, [_I64.as_pointer()]), BY_RECORD + name)
    builder, words = ir.IRBuilder(outer.append_basic_block()), iter(range(2 * len(own.arguments)))
    values, lengths = [], []
    for place, kind in enumerate(own.arguments):
        is_array = isinstance(kind, types.Array)
        value, *length = (builder.load(builder.gep(outer.args[0], [_I64(next(words))])) for _ in range(1 + is_array))
        convert = builder.inttoptr if is_array else builder.trunc if kind is types.boolean else builder.bitcast
        values.append(value if kind is types.int64 else convert(value, ir_type(kind)))
        lengths += length if place in own.lengths else []
    result = builder.call(declared(module, own), [*values, *lengths])
    builder.ret(result if own.results else _I64(0))


class _Caller:
    """The wrapper of one function."""

    def __init__(self, module: ir.Module, name: str, own: Native) -> None:
        self.module, self.name, self.own = module, name, own
        function = ir.Function(module, _C_FUNCTION, PREFIX + name)
        _, self.arguments, self.count = function.args
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.failed = function.append_basic_block("failed")
        ir.IRBuilder(self.failed).ret(ir.Constant(_OBJECT, None))

    def emit(self) -> None:
        """Emit the wrapper: checks, the call, the result."""
        kinds = self.own.arguments
        right = self.builder.icmp_signed("==", self.count, _I64(len(kinds)))
        self.require(right, f"{self.name} takes {len(kinds)} arguments")
        values = [self.value(place, kind) for place, kind in enumerate(kinds)]
        lengths = [self.length(self.given(place)) for place in self.own.lengths]
        thread = self.call("PyEval_SaveThread")
        value = self.builder.call(declared(self.module, self.own), [*values, *lengths])
        self.call("PyEval_RestoreThread", thread)
        self.builder.ret(self.boxed(value, *self.own.results))

    # Python ----------------------------------------------------------------------------------------------------------

    def taken(self, name: str) -> ir.Value:
        """A function's or an object's address, from the table."""
        place = (*PYTHON, *OBJECTS).index(name)
        return self.builder.load(self.builder.gep(self.module.globals[TABLE], [_I32(0), _I32(place)]))

    def call(self, name: str, *arguments: ir.Value) -> ir.Value:
        """The result of one of Python's functions."""
        function = self.builder.bitcast(self.taken(name), _TYPES[name].as_pointer())
        return self.builder.call(function, arguments)

    def require(self, condition: ir.Value, message: str) -> None:
        """Go on if a condition is true; else raise TypeError."""
        with self.builder.if_then(self.builder.not_(condition), likely=False):
            self.call("PyErr_SetString", self.taken("TypeError"), self.text(message))
            self.builder.branch(self.failed)

    def text(self, text: str) -> ir.Value:
        """The address of a constant text."""
        data = ir.Constant(ir.ArrayType(_I8, len(text.encode()) + 1), bytearray(text.encode() + b"\0"))
        made = ir.GlobalVariable(self.module, data.type, self.module.get_unique_name("text"))
        made.linkage, made.global_constant, made.initializer = "internal", True, data
        return self.builder.bitcast(made, _OBJECT)

    def boxed(self, value: ir.Value, kind: Any = None) -> ir.Value:
        """Python's object for a result, if there is one."""
        if kind is None:
            none = self.taken("None")
            self.call("Py_IncRef", none)
            return none
        if isinstance(kind, types.Integer):
            return self.call("PyLong_FromLongLong", value)
        return self.call("PyFloat_FromDouble", value)

    # Arguments -------------------------------------------------------------------------------------------------------

    def given(self, place: int) -> ir.Value:
        """An argument's object."""
        return self.builder.load(self.builder.gep(self.arguments, [_I64(place)]))

    def value(self, place: int, kind: Any) -> ir.Value:
        """An argument as the compiled function takes it."""
        given = self.given(place)
        if isinstance(kind, Given):
            return self.formed(given, kind)
        if isinstance(kind, types.Array):
            return self.array(given, kind, f"argument {place + 1} of {self.name}")
        if kind is types.boolean:
            return self.builder.icmp_signed("!=", self.number("PyObject_IsTrue", given), _I32(0))
        return self.number("PyFloat_AsDouble" if kind is types.float64 else "PyLong_AsLongLong", given)

    def number(self, function: str, given: ir.Value) -> ir.Value:
        """A number; the wrapper fails with Python's error for an object that is none."""
        value = self.call(function, given)
        least = value.type(-1)
        same = self.builder.fcmp_ordered if value.type == _DOUBLE else self.builder.icmp_signed
        with self.builder.if_then(same("==", value, least), likely=False):
            error = self.builder.ptrtoint(self.call("PyErr_Occurred"), _I64)
            with self.builder.if_then(self.builder.icmp_signed("!=", error, _I64(0)), likely=False):
                self.builder.branch(self.failed)
        return value

    def field(self, given: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
        """A field of an object."""
        place = self.builder.gep(given, [_I64(offset)])
        return self.builder.load(self.builder.bitcast(place, kind.as_pointer()))

    def array(self, given: ir.Value, kind: Any, where: str) -> ir.Value:
        """The address of a flat array's first element."""
        message = f"{where} must be a flat, contiguous, {'writable ' if kind.mutable else ''}array of {kind.dtype}"
        self.is_array(given, message)
        self.require(self.fits(given, str(kind.dtype), (1,), writes=kind.mutable), message)
        return self.builder.bitcast(self.field(given, _DATA, _OBJECT), ir_type(kind))

    def fits(self, given: ir.Value, name: str, axes: Sequence[int], *, writes: bool) -> ir.Value:
        """Whether an array has numbers of this type, one after the other, and one of these numbers of axes."""
        builder = self.builder
        needed = _CONTIGUOUS | _ALIGNED | (_WRITEABLE if writes else 0)
        flags = builder.and_(self.field(given, _FLAGS, _I32), _I32(needed))
        described = self.field(given, _DTYPE, _OBJECT)
        number, count = self.field(described, _NUMBER, _I32), self.field(given, _AXES, _I32)
        numbers = [builder.icmp_signed("==", number, _I32(known)) for known in _numbers(name)]
        counts = [builder.icmp_signed("==", count, _I32(known)) for known in axes]
        conditions = [
            builder.icmp_signed("==", flags, _I32(needed)),
            builder.or_(counts[0], counts[-1]),
            builder.icmp_signed("==", self.field(described, _BYTE_ORDER, _I8), _I8(ord("="))),
            builder.or_(numbers[0], numbers[-1]),
        ]
        right = conditions[0]
        for condition in conditions[1:]:
            right = builder.and_(right, condition)
        return right

    def formed(self, given: ir.Value, kind: Given) -> ir.Value:
        """The three words that describe an object; see ``Given``."""
        builder = self.builder
        words = builder.alloca(_I64, size=3)
        address, form, length = (builder.gep(words, [_I64(place)]) for place in range(3))
        builder.store(_I64(0), length)
        is_none = self.same(given, self.taken("None"))
        builder.store(builder.select(is_none, _I64(ABSENT), _I64(UNUSABLE)), form)
        with (
            builder.if_then(self.same(self.field(given, _KIND, _OBJECT), self.taken("ndarray"))),
            builder.if_then(self.fits(given, str(kind.element), (1, 2), writes=kind.is_result)),
        ):
            axes = builder.sext(self.field(given, _AXES, _I32), _I64)
            lengths = self.field(given, _LENGTHS, _I64.as_pointer())
            two = builder.icmp_signed("==", axes, _I64(2))
            first = builder.load(lengths)
            last = builder.load(builder.gep(lengths, [builder.sub(axes, _I64(1))]))
            builder.store(builder.ptrtoint(self.field(given, _DATA, _OBJECT), _I64), address)
            builder.store(builder.select(two, builder.mul(first, last), first), length)
            builder.store(builder.select(two, first, _I64(0)), form)
        return words

    def same(self, one: ir.Value, other: ir.Value) -> ir.Value:
        """Whether two objects are the same."""
        return self.builder.icmp_signed("==", *(self.builder.ptrtoint(each, _I64) for each in (one, other)))

    def is_array(self, given: ir.Value, message: str) -> None:
        """Require an object to be an array."""
        kind, array = self.field(given, _KIND, _OBJECT), self.taken("ndarray")
        with self.builder.if_then(self.builder.not_(self.same(kind, array)), likely=False):
            below = self.call("PyType_IsSubtype", kind, array)
            self.require(self.builder.icmp_signed("!=", below, _I32(0)), message)

    def length(self, given: ir.Value) -> ir.Value:
        """The number of elements of a flat array."""
        return self.builder.load(self.field(given, _LENGTHS, _I64.as_pointer()))


def _numbers(name: str) -> list[int]:
    """NumPy's numbers of a data type; whole numbers of 64 bits may have two."""
    wanted = np.dtype(name)
    return [wanted.num, *(np.dtype(letter).num for letter in "lq" if np.dtype(letter) == wanted)]
