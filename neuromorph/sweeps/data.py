"""The data of a sweep: those that all runs learn from, and a fingerprint by which a store knows them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError, brief, nearest

NAMES = ("inputs", "expected", "validation", "sample_weight", "lengths", "layout", "carry_state", "missing")
OF_MODEL = ("classes", "table")  # what models get beside: the names of classes, and what was learnt of a table
_KNOWN = (*NAMES, *OF_MODEL)
WHOLE = 1 << 26  # bytes of an array up to which all of them count
_BLOCK = 1 << 20  # bytes of each part of a larger array that count
_BLOCKS = 32


def checked_data(given: Any) -> dict[str, Any]:
    """The data as arguments of ``fit``; DataError for anything else."""
    if isinstance(given, tuple | list) and len(given) == 2:
        given = {"inputs": given[0], "expected": given[1]}
    if not isinstance(given, Mapping):
        raise DataError(
            'data must be (inputs, expected) or a dict such as {"inputs": …, "expected": …, "validation": …}, not '
            f"{brief(given)}"
        )
    for name in given:
        if name not in _KNOWN:
            near = nearest(name, _KNOWN) if isinstance(name, str) else None
            hint = f"; did you mean {near!r}?" if near else ""
            raise DataError(f"data has {brief(name)}, but may have {', '.join(_KNOWN)} only{hint}")
    found = {name: _as_arrays(name, given[name]) for name in NAMES if given.get(name) is not None}
    found |= {name: given[name] for name in OF_MODEL if given.get(name) is not None}
    for name in ("inputs", "expected"):
        if name not in found:
            raise DataError(f"data has no {name}: a sweep learns from arrays")
    return found


def _as_arrays(name: str, value: Any) -> Any:
    """A value whose lists of numbers are arrays, so that processes can share them.

    Arrays can't be written to, in whatever process a run is trained, so that the score of one can't change the others.
    """
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.tolist()
    if isinstance(value, np.ndarray):
        return _sealed(value)
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if name == "validation" and isinstance(value, tuple | list):
        return tuple(_as_arrays("", one) for one in value)
    if isinstance(value, tuple | list) and any(isinstance(one, np.ndarray | tuple | list) for one in value):
        return [_as_arrays("", one) for one in value] if _is_ragged(value) else _sealed(np.asarray(value))
    try:
        found = np.asarray(value)
    except Exception as error:  # of the user's own class
        raise DataError(f"{name or 'validation'} must be an array or a list: {error}") from error
    if found.dtype == object:
        raise DataError(f"{name or 'validation'} must be an array of numbers, not {brief(value)}")
    return _sealed(found)


def _sealed(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same numbers, as an array that can't be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def _is_ragged(value: Any) -> bool:
    """Whether a list has sequences of different lengths, or arrays, which stay a list of arrays."""
    if any(isinstance(one, np.ndarray) for one in value):
        return True
    try:
        return bool(np.asarray(value).dtype == object)
    except ValueError:
        return True


def fingerprint(data: Any) -> str:
    """A text of 32 digits that stands for data: their shapes, types and bytes.

    Of an array of more than 64 MiB, 32 parts of 1 MiB count, evenly spread from the first byte to the last: so mapped
    data that are larger than the memory are not read as a whole.
    """
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, data)
    return digest.hexdigest()


def _add(digest: Any, item: Any) -> None:
    """Let a part of the data count."""
    if isinstance(item, np.ndarray):
        digest.update(json.dumps(["array", item.dtype.str, item.shape]).encode())
        _add_bytes(digest, item)
    elif isinstance(item, Mapping):
        digest.update(f"table {len(item)}".encode())
        for name in sorted(item):
            digest.update(json.dumps(name).encode())
            _add(digest, item[name])
    elif isinstance(item, tuple | list):
        digest.update(f"list {len(item)}".encode())
        for one in item:
            _add(digest, one)
    else:
        digest.update(repr(item).encode())


def _add_bytes(digest: Any, array: np.ndarray[Any, Any]) -> None:
    if array.nbytes <= WHOLE:
        digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
        return
    flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel(order="K")
    step = max(1, _BLOCK // array.itemsize)
    for number in range(_BLOCKS):
        first = (len(flat) - step) * number // (_BLOCKS - 1)
        digest.update(np.ascontiguousarray(flat[first : first + step]).view(np.uint8).data)
