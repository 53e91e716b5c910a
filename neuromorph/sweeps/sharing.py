"""Data that several processes of one machine share: written once into a file without a name, mapped by each of them.

The file is removed from its folder before it is filled, and processes get its descriptor. So nothing is left behind
however they end. An array that is mapped from a file already is mapped from there again, and not copied.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import tempfile
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_ALIGNMENT = 64  # bytes: a cache line
_CHUNK = 1 << 26  # bytes written at once


@dataclass(frozen=True)
class Layout:
    """Where the parts of the data are in the file. structure: all but the arrays, pickled. places: the start and the
    number of bytes of each array."""

    structure: bytes
    places: tuple[tuple[int, int], ...]


class Shared:
    """Data in a file that other processes map. The file needs its room on disk as long as this object is open."""

    def __init__(self, data: Any) -> None:
        self.file: BinaryIO = tempfile.TemporaryFile(prefix="neuromorph-")  # noqa: SIM115
        try:
            self.layout = _written(data, self.file)
            self.file.flush()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the room on disk back. Processes that have mapped the data keep them."""
        self.file.close()


def mapped(file: int, layout: Layout) -> Any:
    """The data, whose arrays can't be written to. file: a descriptor of the file."""
    size = os.fstat(file).st_size
    whole = memoryview(mmap.mmap(file, size, access=mmap.ACCESS_READ) if size else b"")
    parts = [whole[start : start + count] for start, count in layout.places]
    return _Unpickler(io.BytesIO(layout.structure), buffers=parts).load()


def _written(data: Any, file: BinaryIO) -> Layout:
    """Write the arrays of some data; where they are."""
    buffers: list[pickle.PickleBuffer] = []
    structure = io.BytesIO()
    _Pickler(structure, protocol=5, buffer_callback=buffers.append).dump(data)
    places, end = [], 0
    for buffer in buffers:
        raw = buffer.raw()
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        file.seek(start)
        for first in range(0, len(raw), _CHUNK):
            file.write(raw[first : first + _CHUNK])
        end = start + len(raw)
        places.append((start, len(raw)))
    if end:
        file.truncate(end)
    return Layout(structure.getvalue(), tuple(places))


class _Pickler(pickle.Pickler):
    """Leaves out arrays that are in a file, and says where they are."""

    def persistent_id(self, item: Any) -> Any:
        return place_in_file(item) if isinstance(item, np.ndarray) else None


class _Unpickler(pickle.Unpickler):
    """Maps arrays that are in a file."""

    def persistent_load(self, place: Any) -> NDArray[Any]:
        path, offset, dtype, shape, strides = place
        whole = np.memmap(path, np.uint8, mode="r")
        return np.ndarray(shape, dtype, whole, offset, strides)


def place_in_file(array: NDArray[Any]) -> tuple[Any, ...] | None:
    """The path, the offset in bytes, the type, the shape and the strides of an array that is mapped from a file.

    None for other arrays, and for those whose numbers may differ from the file's.
    """
    source = _mapping_of(array)
    if source is None or source.filename is None or source.mode == "c" or array.dtype.hasobject or not array.size:
        return None
    if any(stride < 0 for stride in array.strides) or type(array) not in (np.ndarray, np.memmap):
        return None
    path = os.path.abspath(source.filename)
    if not os.path.isfile(path):
        return None
    if source.mode != "r":
        source.flush()
    offset = source.offset + array.ctypes.data - source.ctypes.data
    return path, offset, array.dtype, array.shape, array.strides


def _mapping_of(array: Any) -> np.memmap[Any, Any] | None:
    """The mapping of a file that an array is a view of, or None."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
            return array
        array = array.base
    return None
