"""A call of a kernel's function with arguments that stay the same, for compiled code that knows an address only."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..abi.learning import PlainCall, address_of, record_of
from ..jit import bundles
from ..jit.first_class import numba_function


class FixedCall:
    """A function that ``Kernels.entry`` gave, with all its arguments; it keeps both.

    address: of the function in machine code, which takes ``argument``; 0 with JIT off.
    """

    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self._kept, self._record = (function, arguments), np.array(record_of(arguments), np.int64)
        compiled = bundles.is_compiled(function)
        self.address, self.argument = bundles.address_of(function) if compiled else 0, address_of(self._record)
        self._call: Callable[[], int]
        if compiled:
            self._call = partial(ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(self.address), self.argument)
        else:
            self._call = partial(PlainCall(function, arguments), self._record, 0)

    def __call__(self) -> int:
        """The result of the call."""
        return self._call()

    def for_numba(self) -> Any:
        """The function as an argument for functions that Numba compiles."""
        return numba_function(self.address, self.argument, self)
