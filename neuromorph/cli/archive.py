"""Reads NPY and NPZ files, the formats of NumPy.

Headers are checked before any data are read. So nothing large is read in vain, and no memory is allocated for a size
that a file only claims. Nothing in a file is executed. Arrays that are not compressed are mapped into memory, so that
only the parts that are used are read; what is written to them does not reach the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from math import prod
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile

import click
import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ..host.cgroups import shortage

Array = NDArray[Any]
_PREFIXES = {"NPY": b"\x93NUMPY", "NPZ": b"PK"}
_HEADERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
_MOST_HEADER = 10_000  # bytes of an array's header; an array of numbers needs about a hundred
_LOCAL_HEADER = 30  # bytes of the local header of a ZIP archive's member, before its name
_NAMED = 8  # the largest number of arrays that a message names
_SHOWN = 100  # the most characters of a name, a type or a shape in a message


@dataclass(frozen=True, eq=False)
class Stored:
    """An array in a file that has not been read yet.

    outline: an array of the same type and shape, without the numbers; it takes no memory. load: reads the array.
    """

    outline: Array
    load: Callable[[], Array]


def array_in(path: str, name: str) -> Stored:
    """The array of an NPY file. name: the array's name in messages."""
    _check_kind(path, "NPY")
    with _reading(path, "NPY") as file:
        outline = _outline(path, name, file, os.fstat(file.fileno()).st_size)
    return Stored(outline, partial(_load_file, path, name, outline))


def arrays_in(path: str, wanted: Iterable[str]) -> dict[str, Stored]:
    """The arrays of an NPZ file whose names are in ``wanted``. ClickException if ``inputs`` is missing."""
    _check_kind(path, "NPZ")
    with _reading(path, "NPZ") as file, ZipFile(file) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        if "inputs" not in members:
            raise click.ClickException(f"{path}: it has no array named inputs, but {_listed(list(members))}")
        return {name: _member(path, archive, name, members[name]) for name in wanted if name in members}


def check_memory(path: str, outlines: Iterable[Array]) -> None:
    """Raise ClickException if this machine does not have the memory for these arrays."""
    trouble = shortage(sum(outline.nbytes for outline in outlines), "its arrays need {}")
    if trouble is not None:
        raise click.ClickException(f"{path}: {trouble}")


def _member(path: str, archive: ZipFile, name: str, member: str) -> Stored:
    """The array ``name`` of an NPZ file, not yet read. member: the name of its entry in the ZIP archive."""
    with archive.open(member) as stream:
        outline = _outline(path, name, stream, archive.getinfo(member).file_size)
    return Stored(outline, partial(_load_member, path, name, member, outline))


def _outline(path: str, name: str, file: IO[bytes], size: int) -> Array:
    """The outline of an array, from the header at the start of ``file``. size: the bytes of that file."""
    head = BytesIO(file.read(_MOST_HEADER))
    if not head.getvalue().startswith(_PREFIXES["NPY"]):
        raise click.ClickException(f"{path}: its {name} is no array")
    version = npy_format.read_magic(head)
    if version not in _HEADERS:  # version 3 is for records with field names beyond Latin-1
        raise ValueError(f"{name} is in version {version[0]}.{version[1]} of the format, in which numbers are not")
    shape, _, dtype = _HEADERS[version](head)
    if dtype.hasobject:
        raise click.ClickException(f"{path}: it holds Python objects, and only numbers are read")
    if dtype.kind not in "biuf":
        raise click.ClickException(f"{path}: {name} has the type {_cut(str(dtype))}, and needs real numbers")
    if min(shape, default=0) < 0:
        raise ValueError(f"the shape of {name} is {_cut(str(shape))}")
    claimed, there = prod(shape) * dtype.itemsize, size - head.tell()
    if claimed > there:
        trouble = f"{name} of shape {_cut(str(shape))} needs {claimed:,} bytes, and {there:,} are there"
        raise click.ClickException(f"{path}: {trouble}")
    return np.broadcast_to(np.zeros((), dtype), shape)


def _load_file(path: str, name: str, outline: Array) -> Array:
    with _reading(path, "NPY") as file:
        _check_unchanged(_outline(path, name, file, os.fstat(file.fileno()).st_size), outline)
        return _mapped(path, file, 0)


def _load_member(path: str, name: str, member: str, outline: Array) -> Array:
    with _reading(path, "NPZ") as file, ZipFile(file) as archive:
        entry = archive.getinfo(member)
        with archive.open(member) as stream:
            _check_unchanged(_outline(path, name, stream, entry.file_size), outline)
        if entry.compress_type == ZIP_STORED:
            return _mapped(path, file, _start_of(file, entry.header_offset))
        with archive.open(member) as stream:
            return npy_format.read_array(stream, allow_pickle=False)


def _start_of(file: IO[bytes], header: int) -> int:
    """Where the data of a ZIP archive's member begin. header: where its local header begins."""
    file.seek(header)
    local = file.read(_LOCAL_HEADER)
    name, extra = struct.unpack("<HH", local[26:30])
    return header + _LOCAL_HEADER + int(name) + int(extra)


def _mapped(path: str, file: IO[bytes], start: int) -> Array:
    """The array whose header begins at ``start``, mapped into memory. An array of Python's byte order is aligned."""
    file.seek(start)
    shape, fortran, dtype = _HEADERS[npy_format.read_magic(file)](file)
    if 0 in shape or not shape:  # which can't be mapped
        file.seek(start)
        return npy_format.read_array(file, allow_pickle=False)
    order: Any = "F" if fortran else "C"
    return np.memmap(path, dtype, "c", file.tell(), shape, order).view(np.ndarray)


def _check_unchanged(found: Array, outline: Array) -> None:
    if (found.shape, found.dtype) != (outline.shape, outline.dtype):
        raise ValueError("it changed while it was read")


@contextmanager
def _reading(path: str, kind: str) -> Iterator[IO[bytes]]:
    """Open a file for NumPy to read, and turn every error in its content into one line."""
    with open(path, "rb") as file:
        try:
            yield file
        except (MemoryError, click.ClickException):
            raise
        except Exception as error:  # a damaged file raises errors of zipfile, zlib, struct, ast and NumPy
            said = _cut(" ".join(str(error).split()))
            raise click.ClickException(f"{path}: not a sound {kind} file: {said}") from error


def _check_kind(path: str, kind: str) -> None:
    """Raise ClickException unless the file begins with the bytes of its kind, ``NPY`` or ``NPZ``."""
    with open(path, "rb") as file:
        start = file.read(6)
    found = next((name for name, prefix in _PREFIXES.items() if start.startswith(prefix)), None)
    if found is None:
        raise click.ClickException(f"{path}: not an {kind} file")
    if found != kind:
        raise click.ClickException(f"{path}: an {found} file under the name of an {kind} file")


def _listed(names: list[str]) -> str:
    """The names of arrays for a message, _NAMED at most."""
    more = [f"{len(names) - _NAMED:,} more"] if len(names) > _NAMED else []
    return ", ".join([*map(_cut, names[:_NAMED]), *more]) or "nothing"


def _cut(text: str) -> str:
    """A text from a file, cut to _SHOWN characters for a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
