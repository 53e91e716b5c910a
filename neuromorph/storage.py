"""Saves models to files and loads them. One safetensors file holds a whole model, built or not.

The parameters are plain tensors under their names, which other programs can read. The rest of the training state has
names with a slash, which no layer can have: ``optimizer/…``, ``state/…`` and ``training/losses``. The metadata have the
format's version and a JSON object with the MDL text, the arguments of ``compile`` and the random generator's state.

A file is written under a temporary name, flushed, and renamed. So there is always either the old file or the new one,
even if the machine fails meanwhile. Nothing in a file is trusted: every name, type and size is checked against the text
before memory is allocated, and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from math import prod
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from .data.packing import Reading
from .errors import MDLError, NeuromorphError, StorageError
from .functions.dropout import KEYS
from .graph import Graph, build_graph, freeze, frozen_names
from .host.atomic_write import check_name, replace_file
from .host.frozen import frozen
from .language import parse
from .optimizers import CHOICES, UPDATES, Optimizer
from .options import DTYPES, TIERS, CompileOptions, compile_options, finite_number, one_of
from .runtime import seeding
from .runtime.network import Network
from .runtime.seeding import restore_generator

Floats = NDArray[Any]
VERSION = 2
Kind = TypeVar("Kind", bound=Network)

MOST_HEADER = 1 << 26  # bytes; the largest possible model needs about half of it
LOSSES = "training/losses"
_VERSION_KEY, _RECORD_KEY = "neuromorph_version", "neuromorph"
_CODES = {"float32": "F32", "float64": "F64"}
_SIZES = {"F32": 4, "F64": 8}
_WIDEST = 1 << 128  # a bound: the numbers of a PCG64 generator are smaller


# Saving ---------------------------------------------------------------------------------------------------------------


def save(model: Network, path: str | os.PathLike[str]) -> None:
    """Write a model to a file; see ``neuromorph.save``."""
    from safetensors.numpy import save as encoded

    given = os.fsdecode(path)
    check_name(given)
    if os.path.exists(given) and not os.path.isfile(given):
        raise StorageError(f"can't save the model: {given} is not a regular file")
    kept = model.__getstate__()
    tensors = tensors_of(kept)
    for name, array in tensors.items():
        if name != LOSSES and not np.isfinite(array).all():
            raise StorageError(f"can't save the model: {name} has numbers that are not finite")
    record = record_of(kept)
    version = VERSION if _MORE_FIELDS & record.keys() else 1
    metadata = {_VERSION_KEY: str(version), _RECORD_KEY: json.dumps(record, allow_nan=False)}
    data = encoded(tensors, metadata)
    try:
        replace_file(os.path.realpath(given), data)
    except OSError as error:  # it names the temporary file, or none
        raise OSError(error.errno, error.strerror, given) from error


def tensors_of(kept: Mapping[str, Any]) -> dict[str, Floats]:
    """The arrays of a model by their names in a file. kept: the contents of the model."""
    found = {LOSSES: kept["losses"]}
    if "parameters" in kept:
        found |= kept["parameters"]
        for group in ("optimizer", "state"):
            values = kept["optimizer_state" if group == "optimizer" else group]
            found |= {f"{group}/{name}": value for name, value in values.items()}
    return {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in found.items()}


def record_of(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a model without its arrays, ready for JSON."""
    options, chosen = kept["options"], kept["optimizer"]
    names = {kind: name for name, kind in CHOICES.items()}
    if type(chosen) not in names:
        raise StorageError(f"can't save the model: {type(chosen).__name__} is not an optimizer of this library")
    return {
        "text": kept["text"],
        "batch_size": options.batch_size,
        "bptt_steps": options.bptt_steps,
        "dtype": options.dtype,
        "threads": options.threads,
        "optimizer": {"name": names[type(chosen)], **asdict(chosen)},
        "learning_rate": kept["learning_rate"],
        "clip_norm": kept["clip_norm"],
        "built": "parameters" in kept,
        "generator": _generator_record(),
        **({"frozen": list(options.frozen)} if options.frozen else {}),
        **({"whole_sequences": True} if options.whole_sequences else {}),
        **({"tier": options.tier} if options.tier != TIERS[0] else {}),
        **({"reading": asdict(kept["reading"])} if kept.get("reading") is not None else {}),
        **({"dropout": list(kept["dropout_state"])} if "dropout_state" in kept else {}),
    }


def _generator_record() -> dict[str, Any]:
    with seeding.lock:
        state: Any = seeding.generator().bit_generator.state
    return {
        "state": str(state["state"]["state"]),
        "inc": str(state["state"]["inc"]),
        "has_uint32": state["has_uint32"],
        "uinteger": state["uinteger"],
    }


# Loading --------------------------------------------------------------------------------------------------------------


@frozen
class Tensor:
    """The entry of one tensor in a header. begin, end: its place, in bytes from the end of the header."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


@frozen
class Header:
    """The header of a safetensors file. start: the number of bytes before the first tensor."""

    record: dict[str, Any]
    tensors: dict[str, Tensor]
    start: int


def load(path: str | os.PathLike[str], kind: type[Kind], *, restore_random: bool = True) -> Kind:
    """A model from a file; see ``neuromorph.load``."""
    name = os.fsdecode(path)
    with _explained(name), _opened(name) as (file, size):
        header = read_header(file, size)
        kept, drawn = _arguments(header.record)
        graph = build_graph(parse(kept["text"]))
        graph = freeze(graph, _frozen(graph, header.record))
        kept["options"] = _options(header.record, kept["optimizer"], graph)
        _read_tensors(file, header, kept, graph)
        model = kind.__new__(kind)
        model.__setstate__(kept)
    if restore_random:
        restore_generator(drawn)
    return model


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """A block in which any error about the file's contents becomes a StorageError that names the file."""
    try:
        yield
    except StorageError as error:
        raise StorageError(f"{name}: {error}") from None
    except MDLError as error:
        raise StorageError(f"{name}: corrupt: its model does not parse: {error}") from error
    except MemoryError as error:
        raise StorageError(f"{name}: too large for this machine: {error}") from error
    except (NeuromorphError, ValueError, TypeError) as error:
        raise StorageError(f"{name}: corrupt: {error}") from error


@contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, int]]:
    """A block with an open regular file and its size in bytes."""
    if not stat.S_ISREG(os.stat(name).st_mode):
        raise StorageError("foreign: it is not a regular file")
    with open(name, "rb") as file:
        yield file, os.fstat(file.fileno()).st_size


def read_header(file: BinaryIO, size: int) -> Header:
    """The header of a file of ``size`` bytes, after a check of its tensors against one another and against the size."""
    start, text = _header_text(file, size)
    entries = _json(text, "header")
    metadata = entries.pop("__metadata__", None)
    if not isinstance(metadata, dict) or _VERSION_KEY not in metadata or _RECORD_KEY not in metadata:
        raise StorageError("foreign: a safetensors file, but not one of neuromorph")
    _check_version(metadata[_VERSION_KEY])
    tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
    _check_places(tensors, size - start)
    if not isinstance(metadata[_RECORD_KEY], str):
        raise StorageError("corrupt: its metadata are not texts")
    return Header(_json(metadata[_RECORD_KEY], "metadata"), tensors, start)


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


def _check_version(text: Any) -> None:
    if not isinstance(text, str) or not (text.isascii() and text.isdigit() and 0 < len(text) <= 9):
        raise StorageError(f"corrupt: its version is {_shown(text)}")
    if int(text) > VERSION:
        raise StorageError(
            f"a newer version: its format is {int(text)}, and this neuromorph reads up to {VERSION}; upgrade neuromorph"
        )
    if int(text) < 1:
        raise StorageError(f"corrupt: its version is {_shown(text)}")


def _tensor(name: str, entry: Any) -> Tensor:
    """One entry of the header, checked by itself."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise StorageError(f"corrupt: the tensor {_shown(name)} is not described as tensors are")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _SIZES:
        raise StorageError(f"corrupt: the tensor {_shown(name)} has the type {_shown(code)}")
    if not (_counts(shape) and _counts(offsets) and len(offsets) == 2):
        raise StorageError(f"corrupt: the tensor {_shown(name)} has the shape {_shown(shape)} at {_shown(offsets)}")
    if offsets[1] - offsets[0] != prod(shape) * _SIZES[code]:
        raise StorageError(
            f"corrupt: the tensor {_shown(name)} of shape {_shown(shape)} has {offsets[1] - offsets[0]} bytes"
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
            raise StorageError(f"corrupt: the tensor {_shown(name)} {trouble}")
        place = tensor.end
    if place > there:
        raise StorageError(f"truncated: its tensors need {place} bytes, and {max(there, 0)} are there")
    if place < there:
        raise StorageError(f"corrupt: {there - place} bytes stand behind its tensors")


def _shown(value: Any) -> str:
    """A text that shows a value in a message: shortened, in ASCII."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:60] + "..."


# What the metadata say ------------------------------------------------------------------------------------------------

_FIELDS = {
    "text", "batch_size", "bptt_steps", "dtype", "threads", "optimizer", "learning_rate", "clip_norm", "built",
    "generator",
}  # fmt: skip
# Fields of format 2, present only for models that need them.
_MORE_FIELDS = {"frozen", "dropout", "tier", "whole_sequences", "reading"}


def _arguments(record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of a model without its arrays and options, and the generator's state, all checked."""
    _check_fields("metadata", record, _FIELDS | (_MORE_FIELDS & set(record)))
    if not isinstance(record["text"], str) or not isinstance(record["built"], bool):
        raise StorageError("corrupt: its metadata have no text, or do not say whether the model is built")
    clip = record["clip_norm"]
    kept = {
        "text": record["text"],
        "learning_rate": finite_number("learning_rate", record["learning_rate"]),
        "clip_norm": None if clip is None else finite_number("clip_norm", clip),
        "optimizer": _optimizer(record["optimizer"]),
    }
    if "reading" in record:
        kept["reading"] = _reading(record["reading"])
    if "dropout" in record:
        kept["dropout_state"] = _dropout_state(record["dropout"])
    return kept, _generator_state(record["generator"])


def _reading(given: Any) -> Reading:
    """The layout of the data that the model was trained with, checked."""
    _check_fields("reading", given, {"layout", "once"})
    known = (("NSW", True), ("NSW", False), ("NW", False))
    if not isinstance(given["once"], bool) or (given["layout"], given["once"]) not in known:
        raise StorageError(f"corrupt: its reading is {_shown(given)}")
    return Reading(given["layout"], given["once"])


def _dropout_state(given: Any) -> tuple[int, int]:
    """The key of the dropout masks and the number of updates, checked."""
    whole = isinstance(given, list) and len(given) == 2 and all(type(number) is int for number in given)
    if not whole or not all(0 <= number < KEYS for number in given):
        raise StorageError(f"corrupt: its dropout is {_shown(given)}")
    return given[0], given[1]


def _check_fields(what: str, record: Any, wanted: set[str]) -> None:
    if not isinstance(record, dict):
        raise StorageError(f"corrupt: its {what} is {_shown(record)}")
    odd = sorted(wanted ^ set(record))
    if odd:
        trouble = "lacks" if odd[0] in wanted else "has an unknown"
        raise StorageError(f"corrupt: its {what} {trouble} {_shown(odd[0])}")


def _optimizer(record: Any) -> Optimizer:
    """The optimizer with its numbers, which are checked as a user's are."""
    if not isinstance(record, dict):
        raise StorageError(f"corrupt: its optimizer is {_shown(record)}")
    kind = CHOICES[one_of("optimizer", record.get("name"), CHOICES)]
    _check_fields("optimizer", record, {"name", *asdict(kind())})  # type: ignore[call-overload]
    return kind(**{name: value for name, value in record.items() if name != "name"})


def _options(record: Mapping[str, Any], chosen: Optimizer, graph: Graph) -> CompileOptions:
    """The options of the model, checked."""
    if record["bptt_steps"] is None:
        raise StorageError("corrupt: its bptt_steps is null")
    options = compile_options(
        record["batch_size"], optimizer=chosen.kind, bptt_steps=record["bptt_steps"],
        dtype=one_of("dtype", record["dtype"], DTYPES), threads=record["threads"],
        has_time_links=graph.has_time_links, frozen=_frozen(graph, record), tier=record.get("tier", TIERS[0]),
    )  # fmt: skip
    whole = record.get("whole_sequences", False)
    if not isinstance(whole, bool) or (whole and not graph.has_time_links):
        raise StorageError(f"corrupt: its whole_sequences is {_shown(whole)}")
    return replace(options, whole_sequences=whole)


def _frozen(graph: Graph, record: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the nodes whose parameters never learn, checked."""
    given = record.get("frozen", [])
    found = frozen_names(graph, given) if isinstance(given, list) else ()
    if list(found) != given:
        raise StorageError(f"corrupt: its frozen is {_shown(given)}")
    return found


def _generator_state(record: Any) -> dict[str, Any]:
    """The state of a PCG64 generator in NumPy's form, checked."""
    _check_fields("generator", record, {"state", "inc", "has_uint32", "uinteger"})
    wide = [_wide_number(record[name]) for name in ("state", "inc")]
    small = [record[name] for name in ("has_uint32", "uinteger")]
    if wide[1] % 2 == 0 or any(
        type(n) is not int or not 0 <= n < 1 << bits for n, bits in zip(small, (1, 32), strict=True)
    ):
        raise StorageError(f"corrupt: its generator is {_shown(record)}")
    return {
        "bit_generator": "PCG64",
        "state": {"state": wide[0], "inc": wide[1]},
        "has_uint32": small[0],
        "uinteger": small[1],
    }


def _wide_number(text: Any) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 39 and int(text) < _WIDEST:
        return int(text)
    raise StorageError(f"corrupt: its generator has the number {_shown(text)}")


# The tensors ----------------------------------------------------------------------------------------------------------


def expected_shapes(graph: Graph, options: CompileOptions) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of a built model's arrays, by their group ("parameters", …) and their names in it."""
    parameters = {array.name: array.shape for array in graph.arrays}
    learning = {array.name: array.shape for array in graph.arrays if array.learns}
    update = UPDATES[options.optimizer]
    slots = {f"{slot}.{name}": shape for slot in update.slots for name, shape in learning.items()}
    return {
        "parameters": parameters,
        "optimizer_state": slots | {name: () for name, _ in update.counts},
        "state": {graph.nodes[other].name: graph.state_shape(other, options.batch_size) for other in graph.history},
    }


_PREFIXES = {"parameters": "", "optimizer_state": "optimizer/", "state": "state/"}


def _read_tensors(file: BinaryIO, header: Header, kept: dict[str, Any], graph: Graph) -> None:
    """Add the arrays of a file to the contents of a model, after a check of every name, type and shape."""
    options, tensors = kept["options"], dict(header.tensors)
    shapes = expected_shapes(graph, options) if header.record["built"] else {}
    losses = tensors.pop(LOSSES, None)
    if losses is None or losses.code != "F64" or len(losses.shape) not in (1, 2):
        raise StorageError(f"corrupt: {LOSSES} is missing, or is no array of losses")
    wanted = {_PREFIXES[group] + name: shape for group, named in shapes.items() for name, shape in named.items()}
    odd = sorted(wanted.keys() ^ tensors.keys())
    if odd:
        trouble = "needs" if odd[0] in wanted else "has no"
        raise StorageError(f"corrupt: its text {trouble} tensor {_shown(odd[0])}")
    for name, shape in wanted.items():
        code = _CODES[options.dtype] if shape else "F64"
        if (tensors[name].shape, tensors[name].code) != (shape, code):
            raise StorageError(
                f"corrupt: the tensor {_shown(name)} is {tensors[name].code} of shape {tensors[name].shape}, "
                f"and its text needs {code} of shape {shape}"
            )
    kept["losses"] = _read(file, header.start, losses, LOSSES, finite=False)
    for group, named in shapes.items():
        prefix = _PREFIXES[group]
        kept[group] = {n: _read(file, header.start, tensors[prefix + n], prefix + n) for n in named}


def _read(file: BinaryIO, start: int, tensor: Tensor, name: str, *, finite: bool = True) -> Floats:
    """Read the array of one tensor. finite: whether all its numbers must be finite."""
    file.seek(start + tensor.begin)
    raw = file.read(tensor.end - tensor.begin)
    if len(raw) < tensor.end - tensor.begin:
        raise StorageError("truncated: it became shorter while it was read")
    array = np.frombuffer(raw, f"<f{_SIZES[tensor.code]}").reshape(tensor.shape)
    if finite and not np.isfinite(array).all():
        raise StorageError(f"corrupt: {_shown(name)} has numbers that are not finite")
    return array.astype(array.dtype.newbyteorder("="))
