"""Reads the arrays of a step: those that need a cast only, and the one that takes the result."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

Floats = NDArray[Any]
_LISTS = (list, tuple)
_NUMBERS = frozenset({float, int, bool, *(kind for kind in np.sctypeDict.values() if np.dtype(kind).kind in "biuf")})


def _has_numbers(given: Any) -> bool:
    """Whether a list has numbers alone, or rows of numbers alone. NumPy may never return from lists that contain
    themselves."""
    kinds = set(map(type, given))
    return kinds <= _NUMBERS or (kinds.issubset(_LISTS) and all(_NUMBERS.issuperset(map(type, row)) for row in given))


def converted(x: Any, dtype: np.dtype[Any]) -> Floats | None:
    """A plain array of numbers, or a list of Python's or NumPy's, as an array for compiled functions.

    None for all else, such as objects of users, which have to be read with care. So it is for numbers that turn out to
    be wrong.
    """
    try:
        if type(x) is np.ndarray:
            return x.astype(dtype, order="C") if x.dtype.kind in "biuf" else None
        return np.array(x, dtype) if type(x) in _LISTS and _has_numbers(x) else None
    except (ValueError, OverflowError, RuntimeWarning):  # rows of different lengths, numbers beyond the range
        return None


def checked_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    """``out``, checked to be an array to which a kernel can write a result of this shape."""
    if type(out) is not np.ndarray:
        raise DataError(f"out must be a NumPy array, not {type(out).__name__}")
    flags = out.flags
    if out.shape != shape or out.dtype != dtype:
        raise DataError(f"out has shape {out.shape} and type {out.dtype}, but must have shape {shape} and type {dtype}")
    if not (flags.c_contiguous and flags.aligned and flags.writeable):
        raise DataError("out must be a C-contiguous, aligned array that can be written to")
    return out
