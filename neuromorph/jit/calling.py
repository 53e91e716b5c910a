"""Emits the C functions by which Python calls the compiled functions of a bundle, without Numba's help.

Numba's own wrappers need Numba at run time. Here a wrapper checks its arguments, takes numbers and the addresses of
arrays from them, and calls the compiled function without the GIL. It reads an array's fields where NumPy's C macros
read them; these places are compiled into every extension module that uses NumPy.

For each function there is another one by which compiled code calls it, with a record of its arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.np.arrayobj import make_array, populate_array

from ..abi.learning import ABSENT, UNUSABLE
from .linking import BY_RECORD, OBJECTS, PREFIX, PYTHON, TABLE

_I8, _I32, _I64, _DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
_OBJECT = _I8.as_pointer()
_NOWHERE = ir.Constant(_OBJECT, None)
DESTRUCTOR = "NRT_MemInfo_call_dtor"
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


def callers(results: Sequence[Any], names: Sequence[str]) -> bytes:
    """An object file with a wrapper for each of some functions that Numba has compiled."""
    context = results[0].target_context
    codegen = context.codegen()
    module = codegen._create_empty_module("neuromorph.calling")
    table = ir.GlobalVariable(module, ir.ArrayType(_OBJECT, len(PYTHON) + len(OBJECTS)), TABLE)
    table.initializer = ir.Constant(table.value_type, None)
    _emit_destructor(module)
    for name, result in zip(names, results, strict=True):
        _Caller(context, module, name, result).emit()
        _emit_by_record(context, module, name, result.fndesc)
    made = binding.parse_assembly(str(module))
    made.verify()
    return bytes(codegen._tm.emit_object(made))


def _emit_destructor(module: ir.Module) -> None:
    """Emit the function that Numba's code calls for arrays without a reference left.

    It is never called: arrays that come from a wrapper are not counted, and generated functions make none.
    """
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_OBJECT]), DESTRUCTOR)
    ir.IRBuilder(function.append_basic_block()).ret_void()


def _emit_by_record(context: Any, module: ir.Module, name: str, described: Any) -> None:
    """Emit the function of a record, which returns the result, 0 where there is none, and -1 if it has failed.

    Records have arrays, whole numbers and floating-point numbers, and the result is a whole number. There is none for
    other functions.
    """
    known = all(isinstance(kind, types.Array | types.Integer | types.Float) for kind in described.argtypes)
    if not (known and (isinstance(described.restype, types.Integer) or described.restype is types.none)):
        return
    outer = ir.Function(module, ir.FunctionType(_I64, [_I64.as_pointer()]), BY_RECORD + name)
    builder, values, place = ir.IRBuilder(outer.append_basic_block()), [], 0

    def word(place: int) -> ir.Value:
        return builder.load(builder.gep(outer.args[0], [_I64(place)]))

    for kind in described.argtypes:
        value = word(place)
        if isinstance(kind, types.Array):
            values.append(_flat(context, builder, kind, value, word(place + 1)))
        elif kind is types.float64:
            values.append(builder.bitcast(value, _DOUBLE))
        else:
            values.append(value)
        place += 1 + isinstance(kind, types.Array)
    function = context.declare_function(module, described)
    status, made = context.call_conv.call_function(builder, function, described.restype, described.argtypes, values)
    result = _I64(0) if described.restype is types.none else made
    builder.ret(builder.select(status.is_error, _I64(-1), result))


def _flat(context: Any, builder: ir.IRBuilder, kind: Any, address: ir.Value, length: ir.Value) -> ir.Value:
    """Numba's flat array at an address: a whole number, or a pointer."""
    made, size = make_array(kind)(context, builder), _I64(np.dtype(str(kind.dtype)).itemsize)
    cast = builder.bitcast if isinstance(address.type, ir.PointerType) else builder.inttoptr
    data = cast(address, made.data.type)
    populate_array(made, data=data, shape=[length], strides=[size], itemsize=size, meminfo=None)
    return made._getvalue()


class _Caller:
    """The wrapper of one function."""

    def __init__(self, context: Any, module: ir.Module, name: str, result: Any) -> None:
        self.context, self.module, self.name, self.described = context, module, name, result.fndesc
        function = ir.Function(module, _C_FUNCTION, PREFIX + name)
        _, self.arguments, self.count = function.args
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.failed = function.append_basic_block("failed")
        ir.IRBuilder(self.failed).ret(_NOWHERE)

    def emit(self) -> None:
        """Emit the wrapper: checks, the call, the result."""
        kinds = self.described.argtypes
        right = self.builder.icmp_signed("==", self.count, _I64(len(kinds)))
        self.require(right, f"{self.name} takes {len(kinds)} arguments")
        values = [self.value(place, kind) for place, kind in enumerate(kinds)]
        thread = self.call("PyEval_SaveThread")
        function = self.context.declare_function(self.module, self.described)
        status, value = self.context.call_conv.call_function(
            self.builder, function, self.described.restype, kinds, values
        )
        self.call("PyEval_RestoreThread", thread)
        self.require(self.builder.not_(status.is_error), f"{self.name} has failed", "SystemError")
        self.builder.ret(self.boxed(value, self.described.restype))

    # Python ----------------------------------------------------------------------------------------------------------

    def taken(self, name: str) -> ir.Value:
        """A function's or an object's address, from the table."""
        place = (*PYTHON, *OBJECTS).index(name)
        return self.builder.load(self.builder.gep(self.module.globals[TABLE], [_I32(0), _I32(place)]))

    def call(self, name: str, *arguments: ir.Value) -> ir.Value:
        """The result of one of Python's functions."""
        function = self.builder.bitcast(self.taken(name), _TYPES[name].as_pointer())
        return self.builder.call(function, arguments)

    def require(self, condition: ir.Value, message: str, error: str = "TypeError") -> None:
        """Go on if a condition is true; else raise an error."""
        with self.builder.if_then(self.builder.not_(condition), likely=False):
            self.call("PyErr_SetString", self.taken(error), self.text(message))
            self.builder.branch(self.failed)

    def text(self, text: str) -> ir.Value:
        """The address of a constant text."""
        data = ir.Constant(ir.ArrayType(_I8, len(text.encode()) + 1), bytearray(text.encode() + b"\0"))
        made = ir.GlobalVariable(self.module, data.type, self.module.get_unique_name("text"))
        made.linkage, made.global_constant, made.initializer = "internal", True, data
        return self.builder.bitcast(made, _OBJECT)

    def boxed(self, value: ir.Value, kind: Any) -> ir.Value:
        """Python's object for a result."""
        if kind is types.none:
            none = self.taken("None")
            self.call("Py_IncRef", none)
            return none
        if isinstance(kind, types.Integer):
            return self.call("PyLong_FromLongLong", value)
        return self.call("PyFloat_FromDouble", value)

    # Arguments -------------------------------------------------------------------------------------------------------

    def value(self, place: int, kind: Any) -> ir.Value:
        """An argument as the compiled function takes it."""
        given = self.builder.load(self.builder.gep(self.arguments, [_I64(place)]))
        if not isinstance(kind, types.Array | types.Integer | types.Float | types.Boolean):  # a tuple
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
        """A flat array as Numba passes it."""
        message = f"{where} must be a flat, contiguous, {'writable ' if kind.mutable else ''}array of {kind.dtype}"
        self.is_array(given, message)
        self.require(self.fits(given, kind, (1,)), message)
        return self.view(given, kind)

    def fits(self, given: ir.Value, kind: Any, axes: Sequence[int]) -> ir.Value:
        """Whether an array has the elements of a kind, one after the other, and one of these numbers of axes."""
        builder = self.builder
        needed = _CONTIGUOUS | _ALIGNED | (_WRITEABLE if kind.mutable else 0)
        flags = builder.and_(self.field(given, _FLAGS, _I32), _I32(needed))
        described = self.field(given, _DTYPE, _OBJECT)
        number, count = self.field(described, _NUMBER, _I32), self.field(given, _AXES, _I32)
        numbers = [builder.icmp_signed("==", number, _I32(known)) for known in _numbers(str(kind.dtype))]
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

    def is_array(self, given: ir.Value, message: str) -> None:
        """Require an object to be an array."""
        kind, array = self.field(given, _KIND, _OBJECT), self.taken("ndarray")
        with self.builder.if_then(self.builder.not_(self.same(kind, array)), likely=False):
            below = self.call("PyType_IsSubtype", kind, array)
            self.require(self.builder.icmp_signed("!=", below, _I32(0)), message)

    def view(self, given: ir.Value, kind: Any) -> ir.Value:
        """Numba's array over the elements of one of NumPy's."""
        length = self.builder.load(self.field(given, _LENGTHS, _I64.as_pointer()))
        return _flat(self.context, self.builder, kind, self.field(given, _DATA, _OBJECT), length)

    def formed(self, given: ir.Value, kind: Any) -> ir.Value:
        """An array of one or two axes as Numba's flat one, and its form: 0 for one axis, else the length of the first.

        Another object gives an empty array, and the form ABSENT for None and UNUSABLE for all else.
        """
        array, builder = kind[0], self.builder
        address, length, form = (
            cgutils.alloca_once_value(builder, value) for value in (_NOWHERE, _I64(0), _I64(UNUSABLE))
        )
        is_none = self.same(given, self.taken("None"))
        builder.store(builder.select(is_none, _I64(ABSENT), _I64(UNUSABLE)), form)
        with (
            builder.if_then(self.same(self.field(given, _KIND, _OBJECT), self.taken("ndarray"))),
            builder.if_then(self.fits(given, array, (1, 2))),
        ):
            axes = builder.sext(self.field(given, _AXES, _I32), _I64)
            lengths = self.field(given, _LENGTHS, _I64.as_pointer())
            two = builder.icmp_signed("==", axes, _I64(2))
            first = builder.load(lengths)
            last = builder.load(builder.gep(lengths, [builder.sub(axes, _I64(1))]))
            builder.store(self.field(given, _DATA, _OBJECT), address)
            builder.store(builder.select(two, builder.mul(first, last), first), length)
            builder.store(builder.select(two, first, _I64(0)), form)
        flat = _flat(self.context, builder, array, builder.load(address), builder.load(length))
        return self.context.make_tuple(builder, kind, [flat, builder.load(form)])

    def same(self, one: ir.Value, other: ir.Value) -> ir.Value:
        """Whether two objects are the same."""
        return self.builder.icmp_signed("==", *(self.builder.ptrtoint(each, _I64) for each in (one, other)))


def _numbers(name: str) -> list[int]:
    """NumPy's numbers of a data type; whole numbers of 64 bits may have two."""
    wanted = np.dtype(name)
    return [wanted.num, *(np.dtype(letter).num for letter in "lq" if np.dtype(letter) == wanted)]
