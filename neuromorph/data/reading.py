"""Reads an argument of the user's as NumPy does: lists of numbers, arrays, or an object that converts to an array.

Each argument is read once, because an object of the user's may give another answer the next time. A value that is no
real number, and any exception that such an object raises, becomes a :class:`~neuromorph.errors.DataError` that names
the argument and the place in it.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, said, shortened

Array = NDArray[Any]
Place = tuple[int, ...]  # the place of an item in nested lists

_DEEPEST = 8  # the deepest nesting of lists that is read: more than any argument has axes
_SHOWN = 40  # the most characters of a value in a message
_NUMERIC = "biuf"  # kinds of array that hold real numbers
_MIXED = "OUSTc"  # kinds of array that NumPy makes of a list with some wrong items among its numbers
_LISTS = {list, tuple}
_PLAIN = (numbers.Number, np.generic, str, bytes, type(None))  # values that need no conversion
_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__")


class Given(NamedTuple):
    """An argument that was read: ``items`` as the user gave them, for messages, and the same as ``numbers``.

    ``numbers`` has a boolean, integer or floating dtype. place: what messages call the number at an index, where the
    numbers do not lie as the user gave them.
    """

    name: str
    items: Array
    numbers: Array
    place: Callable[[Place], str] | None = None

    def at(self, index: Place) -> str:
        """What messages call the number at an index, such as ``inputs[0, 2, 1]``."""
        return indexed(self.name, index) if self.place is None else self.place(index)


def indexed(name: str, index: Place) -> str:
    """A name with an index, such as ``inputs[0, 2, 1]``; the name alone for a single number."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def read(name: str, value: object) -> Given:
    """The numbers of an argument, of any shape. A plain array of numbers, or a ``Given``, is used itself.

    Raises DataError for values that are no real numbers, for ragged lists, and for whatever the user's own class
    raises.
    """
    if type(value) is np.ndarray and value.dtype.kind in _NUMERIC:
        return Given(name, value, value)
    if type(value) is Given:
        return value
    try:
        return _read(name, value)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # whatever the user's own class raises
        raise DataError(f"{name} can't be read as numbers: {said(error)}") from error


def read_inputs(value: object) -> Given:
    """The inputs of a call without a layout, as ``read`` gives them.

    For a list of sequences of different lengths, the error names the layout that takes them.
    """
    try:
        return read("inputs", value)
    except DataError as error:
        if isinstance(value, list | tuple) and _are_sequences(value):
            hint = "if these are sequences (steps, width) of different lengths, give layout='NSW'"
            raise DataError(f"{error}; {hint}") from error
        raise


def _are_sequences(items: list[Any] | tuple[Any, ...]) -> bool:
    """Whether items are arrays (S_n, W) of different lengths."""
    arrays = [item for item in items if isinstance(item, np.ndarray) and item.ndim == 2]
    return len(arrays) == len(items) and len({len(array) for array in arrays}) > 1


def _read(name: str, value: Any) -> Given:
    plain = _opened(name, value, ())
    try:
        items = np.asarray(plain)
    except ValueError as error:
        raise DataError(_reason(name, plain, error)) from error
    if items.dtype.kind in _NUMERIC:
        return Given(name, items, items)
    if isinstance(plain, list | tuple) and items.dtype.kind in _MIXED:
        items = np.asarray(plain, dtype=object)
    for index, item in np.ndenumerate(items):
        if not _is_real(item):
            raise DataError(_no_number(name, index, item))
    return Given(name, items, np.array([_float(item) for item in items.flat], np.float64).reshape(items.shape))


def _is_real(item: object) -> bool:
    if isinstance(item, np.timedelta64):  # NumPy counts it among its integers
        return False
    return isinstance(item, numbers.Real | np.bool_)


def _float(item: Any) -> float:
    """A real number in float64; infinity if it is beyond the range."""
    try:
        return float(item)
    except OverflowError:
        return math.inf if item > 0 else -math.inf


# Values that are not lists, numbers or NumPy arrays -------------------------------------------------------------------


def _opened(name: str, value: Any, place: Place) -> Any:
    """The value as a number, an array, or lists of these. Every other object in it is converted, once."""
    if type(value) in _LISTS:
        return _opened_list(name, value, place)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Iterator | Mapping):
        raise DataError(_no_number(name, place, value))
    if not isinstance(value, np.ndarray) and _is_sequence(value):
        return _opened_list(name, list(islice(iter(value), len(value))), place)
    array = np.asanyarray(value)
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise DataError(f"{name} has masked values, which are no numbers: fill them")
    array = np.asarray(array)
    if array.dtype != object:
        return array
    inner = array.tolist()  # the object itself, or lists of what is in an array of objects
    return _opened(name, inner, place) if array.ndim else inner


def _opened_list(name: str, value: Any, place: Place) -> Any:
    """The list, with every object in it converted that is not a list, a number or an array.

    It is searched as deep as its first items are nested.
    """
    items = value
    for above in range(_levels(name, value, place)):
        kinds = set(map(type, items))
        if any(map(_is_foreign, kinds)):
            return _replaced(name, value, place, above)
        if not kinds <= _LISTS:
            return value
        items = list(chain.from_iterable(items))
    return value


def _levels(name: str, value: Any, place: Place) -> int:
    """How deep the first items of a list are nested. DataError beyond _DEEPEST levels.

    A list that contains itself has no end, and NumPy might never return.
    """
    levels = 0
    while type(value) in _LISTS:
        levels += 1
        if len(place) + levels > _DEEPEST:
            raise DataError(f"{name} is nested more than {_DEEPEST} lists deep")
        if not value:
            break
        value = value[0]
    return levels


def _is_foreign(kind: type) -> bool:
    """Whether values of a type have to be converted before NumPy reads them."""
    return kind not in _LISTS and kind is not np.ndarray and not issubclass(kind, _PLAIN)


def _replaced(name: str, value: Any, place: Place, above: int) -> Any:
    """The list, with the items ``above`` levels below its own items converted."""
    if above < 0:
        return _opened(name, value, place)
    return [_replaced(name, item, (*place, index), above - 1) for index, item in enumerate(value)]


def _is_sequence(value: Any) -> bool:
    """Whether NumPy would read a value item by item, like a list."""
    kind = type(value)
    if not (hasattr(kind, "__len__") and hasattr(kind, "__getitem__")):
        return False
    if any(hasattr(value, protocol) for protocol in _PROTOCOLS):
        return False
    try:
        memoryview(value)
    except TypeError:
        return True
    return False


# Sizes of what was not read yet ---------------------------------------------------------------------------------------


def with_shapes(value: Any, depth: int = 3) -> Any:
    """The argument, in which an object without a shape that NumPy converts has become an array, so deep in lists.

    So ``extents`` can tell sizes, and such an object is still read once. What is wrong stays as it is: it becomes an
    error when the argument is read.
    """
    if type(value) in _LISTS:
        if not depth or not any(kind in _LISTS or _is_foreign(kind) for kind in set(map(type, value))):
            return value
        items = [with_shapes(item, depth - 1) for item in value]
        return value if all(map(operator.is_, items, value)) else type(value)(items)
    if _is_single(value) or _shape(value) is not None:
        return value
    try:
        array = value if _is_sequence(value) else np.asarray(value)
    except Exception:  # whatever the user's own class raises
        return value
    return value if isinstance(array, np.ndarray) and array.dtype == object else array


def extents(value: Any) -> tuple[Any, ...]:
    """The sizes of an argument's axes before it is read, lists judged by their first items; () for what has no axes."""
    sizes: list[Any] = []
    while len(sizes) <= _DEEPEST and not _is_single(value):
        shape = None if type(value) in _LISTS else _shape(value)
        if shape is not None and not (isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1):
            return (*sizes, *shape)
        try:
            if not (type(value) in _LISTS or isinstance(value, np.ndarray) or _is_sequence(value)):
                break
            sizes.append(len(value))
            value = value[0]
        except Exception:  # it is empty, or whatever the user's own class raises
            break
    return tuple(sizes)


def _is_single(value: Any) -> bool:
    """Whether a value is a number or another thing without axes."""
    return isinstance(value, (*_PLAIN, Iterator, Mapping))


def _shape(value: Any) -> tuple[Any, ...] | None:
    """The shape of an array of any library; None for what has none."""
    try:
        return tuple(value.shape)
    except Exception:  # whatever the user's own class raises
        return None


# Messages about nested lists ------------------------------------------------------------------------------------------


def _reason(name: str, value: object, error: Exception) -> str:
    """Why NumPy could not make an array: the first list whose length differs from the first list of its level."""
    firsts = _first_items(value)
    odd = _first_odd(value, (), [_length(first) for first in firsts])
    if odd is None:
        return f"{name} can't be read as numbers: {said(error)}"
    path, item = odd
    noun = "number" if len(path) == len(firsts) - 2 else "item"
    given, wanted = _extent(item, noun), _extent(firsts[len(path)], noun)
    if _length(item) is not None and _length(firsts[len(path)]) is not None:
        wanted = f"has {_length(firsts[len(path)])}"
    return f"{_path(name, path)} {given}, but {_path(name, (0,) * len(path))} {wanted}"


def _first_items(value: object) -> list[object]:
    """The value, its first item, the first item of that, and so on down to a number."""
    firsts = [value]
    while len(firsts) <= _DEEPEST and _length(firsts[-1]):
        firsts.append(_items(firsts[-1])[0])
    return firsts


def _first_odd(item: object, path: Place, lengths: list[int | None]) -> tuple[Place, object] | None:
    """The first item, in reading order, whose length differs from that of the first item of its level."""
    length = _length(item)
    if len(path) == len(lengths) or length != lengths[len(path)]:
        return path, item
    for index, inner in enumerate(_items(item)):
        odd = _first_odd(inner, (*path, index), lengths)
        if odd is not None:
            return odd
    return None


def _length(item: object) -> int | None:
    """The number of items of a list or an array; None for numbers, text and other objects."""
    if isinstance(item, list | tuple):
        return len(item)
    return item.shape[0] if isinstance(item, np.ndarray) and item.ndim else None


def _items(item: Any) -> Any:
    """The items of a list; of an array only the first row, because all rows have the same shape."""
    if isinstance(item, list | tuple):
        return item
    return item[:1] if _length(item) else ()


def _extent(item: object, noun: str) -> str:
    length = _length(item)
    if length is None:
        return f"is {shown(item)}"
    return f"has {length} {noun}{'' if length == 1 else 's'}"


def _no_number(name: str, place: Place, item: object) -> str:
    """The message about an item that is no real number."""
    said = f"{_path(name, place)} is {shown(item)}"
    if isinstance(item, Iterator):
        return said
    return f"{said}, but must be {'a real number' if place else 'real numbers'}"


def _path(name: str, place: Place) -> str:
    return name + "".join(f"[{position}]" for position in place)


def shown(value: object) -> str:
    """A value as a message shows it: a number alone, everything else with its type, in _SHOWN characters at most."""
    if isinstance(value, Iterator):
        return f"a {type(value).__name__}, which can be read only once: make it a list"
    try:
        text = shortened(_text(value), _SHOWN)
    except Exception:  # an integer of too many digits, or the user's own class
        return f"a value of type {type(value).__name__}"
    return text if _is_real(value) else f"{text} ({type(value).__name__})"


def _text(value: object) -> str:
    if isinstance(value, np.character):
        value = value.item()
    return str(value) if isinstance(value, np.generic) else repr(value)
