"""Objects that are not lists or arrays but that NumPy reads like them, as users and other libraries have them."""

from __future__ import annotations

import array
from collections import UserList, deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Items(Sequence[Any]):
    """A sequence of the user's own."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]


class Old(Items):
    """A sequence whose iterator never ends, so that its length has to be used."""

    def __iter__(self) -> Any:
        yield from self.items
        while True:
            yield self.items[0]


class Interface:
    """An object with NumPy's ``__array_interface__`` and nothing else."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value
        self.__array_interface__ = value.__array_interface__


class Array:
    """An object with ``__array__`` and nothing else."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.value, dtype)


class Liar(Array):
    """An object with ``__array__`` whose other attributes are wrong."""

    ndim, shape, dtype = 7, (1, 2, 3), "text"

    def __len__(self) -> int:
        return 5


class Silent(Array):
    """An object with ``__array__`` whose other attributes raise an error."""

    @property
    def ndim(self) -> int:
        raise RuntimeError("ask somebody else")

    shape = dtype = __len__ = ndim


class Once(Array):
    """An object that gives its array once, and later another one, of another shape and full of NaN."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        value, self.value = self.value, np.full((2, 5), np.nan)
        return np.asarray(value, dtype)


def nested(kind: Callable[[Any], Any], value: np.ndarray) -> Any:
    """The array as sequences of the given kind within one another."""
    return kind([nested(kind, part) if part.ndim else part.item() for part in value])


def rows(value: np.ndarray) -> Any:
    """The array as lists of arrays of the standard library."""
    if value.ndim > 1:
        return [rows(part) for part in value]
    return array.array("l" if value.dtype.kind == "i" else "d", value.tolist())


LIKES: dict[str, Callable[[np.ndarray], Any]] = {
    "UserList": lambda value: nested(UserList, value),
    "UserList of lists": lambda value: UserList(value.tolist()),
    "list of UserLists": lambda value: list(nested(UserList, value)),
    "deque": lambda value: nested(deque, value),
    "own sequences": lambda value: nested(Items, value),
    "endless sequences": lambda value: nested(Old, value),
    "__array_interface__": Interface,
    "list of array.array": rows,
    "memoryview": memoryview,
    "__array__": Array,
    "list of __array__": lambda value: [Array(part) for part in value],
    "a liar": Liar,
    "silent": Silent,
    "list of silent": lambda value: [Silent(part) for part in value],
    "once": Once,
    "list of once": lambda value: [Once(part) for part in value],
    "objects": lambda value: value.astype(object),
}
