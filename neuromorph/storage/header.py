"""Reads the header of a safetensors file: its tensors and its metadata, each checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any, BinaryIO

from ..errors import StorageError
from ..host.frozen import frozen

VERSION = 3
MOST_HEADER = 1 << 26  # bytes; the largest possible model needs about half of it
VERSION_KEY, RECORD_KEY = "neuromorph_version", "neuromorph"
SIZES = {"F32": 4, "F64": 8}


@frozen
class Tensor:
    """The entry of one tensor in a header. begin, end: its place, in bytes from the end of the header."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


@frozen
class Header:
    """The header of a safetensors file. start: the number of bytes before the first tensor. version: the format's."""

    record: dict[str, Any]
    tensors: dict[str, Tensor]
    start: int
    version: int


def read_header(file: BinaryIO, size: int) -> Header:
    """The header of a file of ``size`` bytes, after a check of its tensors against one another and against the size."""
    start, text = _header_text(file, size)
    entries = _json(text, "header")
    metadata = entries.pop("__metadata__", None)
    if not isinstance(metadata, dict) or VERSION_KEY not in metadata or RECORD_KEY not in metadata:
        raise StorageError("foreign: a safetensors file, but not one of neuromorph")
    version = _version(metadata[VERSION_KEY])
    tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
    _check_places(tensors, size - start)
    if not isinstance(metadata[RECORD_KEY], str):
        raise StorageError("corrupt: its metadata are not texts")
    return Header(_json(metadata[RECORD_KEY], "metadata"), tensors, start, version)


def _header_text(file: BinaryIO, size: int) -> tuple[int, str]:
    """The offset at which the tensors begin, in bytes, and the header's text."""
    prefix = file.read(9)
    length = int.from_bytes(prefix[:8], "little")
    if len(prefix) == 9 and (prefix[8:] != b"{" or not 2 <= length <= MOST_HEADER):
        raise StorageError("foreign: not a safetensors file")
    if size < 9 or length > size - 8:
        raise StorageError(f"truncated: it has {size} bytes, and its header needs more")
    raw = prefix[8:] + file.read(length - 1)
    if len(raw) < length:
        raise StorageError("truncated: it became shorter while it was read")
    try:
        return 8 + length, raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StorageError(f"corrupt: its header is not UTF-8: {error}") from None


def _json(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object. Repeated names and numbers outside JSON (NaN, Infinity) are errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise StorageError(f"corrupt: its {what} gives a name twice")
        return found

    def refuse(constant: str) -> Any:
        raise StorageError(f"corrupt: its {what} has the number {constant}")

    try:
        found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except StorageError:
        raise
    except (ValueError, RecursionError) as error:
        raise StorageError(f"corrupt: its {what} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise StorageError(f"corrupt: its {what} is not a JSON object")
    return found


def _version(text: Any) -> int:
    """The number of the format, checked."""
    if not isinstance(text, str) or not (text.isascii() and text.isdigit() and 0 < len(text) <= 9):
        raise StorageError(f"corrupt: its version is {shown(text)}")
    if int(text) > VERSION:
        raise StorageError(
            f"a newer version: its format is {int(text)}, and this neuromorph reads up to {VERSION}; upgrade neuromorph"
        )
    if int(text) < 1:
        raise StorageError(f"corrupt: its version is {shown(text)}")
    return int(text)


def _tensor(name: str, entry: Any) -> Tensor:
    """One entry of the header, checked by itself."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise StorageError(f"corrupt: the tensor {shown(name)} is not described as tensors are")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in SIZES:
        raise StorageError(f"corrupt: the tensor {shown(name)} has the type {shown(code)}")
    if not (_counts(shape) and _counts(offsets) and len(offsets) == 2):
        raise StorageError(f"corrupt: the tensor {shown(name)} has the shape {shown(shape)} at {shown(offsets)}")
    if offsets[1] - offsets[0] != prod(shape) * SIZES[code]:
        raise StorageError(
            f"corrupt: the tensor {shown(name)} of shape {shown(shape)} has {offsets[1] - offsets[0]} bytes"
        )
    return Tensor(code, tuple(shape), offsets[0], offsets[1])


def _counts(value: Any) -> bool:
    """Whether a value is a short list of whole numbers in the range of file sizes."""
    return isinstance(value, list) and len(value) <= 4 and all(type(n) is int and 0 <= n < 1 << 62 for n in value)


def _check_places(tensors: Mapping[str, Tensor], there: int) -> None:
    """Check that the tensors follow one another without gaps, from the first byte after the header to the last of the
    file."""
    place = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != place:
            trouble = "overlaps another" if tensor.begin < place else "has a gap before it"
            raise StorageError(f"corrupt: the tensor {shown(name)} {trouble}")
        place = tensor.end
    if place > there:
        raise StorageError(f"truncated: its tensors need {place} bytes, and {max(there, 0)} are there")
    if place < there:
        raise StorageError(f"corrupt: {there - place} bytes stand behind its tensors")


def shown(value: Any) -> str:
    """A text that shows a value in a message: shortened, in ASCII."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:60] + "..."
