"""Links compiled functions into this process by LLVM alone, and makes Python's functions of them.

Numba need not be imported for that: a bundle from the cache is ready in a fraction of the time that its import takes.
Each bundle has an LLVM engine of its own, so bundles don't share names, and the machine code is freed with the last
function of its bundle.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from ..host.exclusive import exclusive, imported

# What ``calling`` takes from Python, by places in a table of addresses: no symbol of Python's has to be found by name.
PYTHON = (
    "PyLong_AsLongLong", "PyFloat_AsDouble", "PyObject_IsTrue", "PyErr_Occurred", "PyErr_SetString",
    "PyEval_SaveThread", "PyEval_RestoreThread", "PyLong_FromLongLong", "PyFloat_FromDouble", "PyType_IsSubtype",
    "Py_IncRef",
)  # fmt: skip
OBJECTS = ("TypeError", "None", "ndarray")
TABLE = "nm.python"  # the name of the table: the functions, then the objects
PREFIX = "nm.call."  # what the name of a C function that Python calls begins with
_FASTCALL = 0x80  # METH_FASTCALL: function(self, arguments, number of arguments)
_retired: list[Any] = []  # engines whose functions are gone


class _Method(ctypes.Structure):
    """``PyMethodDef``: what Python keeps of a C function."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class Linked:
    """The machine code of a bundle. Its entry functions are attributes; each of them keeps the code."""

    def __init__(self, engine: Any, entries: Sequence[str]) -> None:
        self._engine = engine
        self._methods = {name: self._method(name) for name in entries}

    def _method(self, name: str) -> _Method:
        return _Method(name.encode(), self._engine.get_function_address(PREFIX + name), _FASTCALL, None)

    def __getattr__(self, name: str) -> Any:
        method = self.__dict__.get("_methods", {}).get(name)
        if method is None:
            raise AttributeError(f"the bundle has no entry function {name!r}")
        new = ctypes.pythonapi.PyCFunction_NewEx
        new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        return new(ctypes.addressof(method), self, None)

    def __del__(self, retire: Callable[[Any], None] = _retired.append) -> None:
        if (engine := self.__dict__.get("_engine")) is not None:
            retire(engine)  # it is not freed here, where this thread or another may be inside LLVM


def missing(names: Iterable[str]) -> list[str]:
    """The names that LLVM can't find in this process."""
    llvm = imported("llvmlite.binding")
    _open_process()
    return [name for name in names if llvm.address_of_symbol(name) is None]


@cache
def _open_process() -> None:
    """Make LLVM look for names in this process, which it does from the first engine on."""
    with exclusive():
        _new_engine().close()


def linked(objects: Sequence[bytes], entries: Sequence[str]) -> Linked:
    """The functions of object files, whose symbols must all be there: LLVM ends the process otherwise.

    The caller holds ``exclusive``.
    """
    llvm = imported("llvmlite.binding")
    _free_retired()
    engine = _new_engine()
    for data in objects:
        engine.add_object_file(llvm.ObjectFileRef.from_data(data))
    engine.finalize_object()
    table = (ctypes.c_void_p * (len(PYTHON) + len(OBJECTS))).from_address(engine.get_global_value_address(TABLE))
    for place, address in enumerate(_addresses()):
        table[place] = address
    return Linked(engine, entries)


def _free_retired() -> None:
    while _retired:
        _retired.pop().close()


def _new_engine() -> Any:
    """An LLVM engine, which is given object files and compiles nothing."""
    llvm = imported("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _addresses() -> list[int]:
    """What the table of addresses holds in this process."""
    functions = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in PYTHON]
    ndarray = sys.modules["numpy"].ndarray
    return [*functions, *map(id, (TypeError, None, ndarray))]
