"""Makes functions at an address ones that Numba takes as arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ..host.exclusive import imported


def numba_function(address: int, argument: int, call: Callable[[], int]) -> Any:
    """The function ``int64(int64)`` at an address, as an argument of functions that Numba compiles.

    argument: the only one that it may be called with. call: the same from Python, where such functions run with JIT
    off. The result keeps it.
    """
    return _kind()(address, argument, call)


@cache
def _kind() -> Any:
    """The class of such functions; made when first needed, as Numba is slow to import."""
    imported("numba.experimental.function_type")  # so that Numba knows such arguments
    types = imported("numba.core.types")
    kind = types.int64(types.int64)

    class NumbaFunction(types.WrapperAddressProtocol):  # type: ignore[misc, name-defined]
        """A function at an address."""

        def __init__(self, address: int, argument: int, call: Callable[[], int]) -> None:
            self._address, self._argument, self._call = address, argument, call

        def __wrapper_address__(self) -> int:
            return self._address

        def signature(self) -> Any:
            """The type of the function."""
            return kind

        def __call__(self, argument: int) -> int:
            if argument != self._argument:
                raise ValueError("the argument is not that of this step")
            return self._call()

    return NumbaFunction
