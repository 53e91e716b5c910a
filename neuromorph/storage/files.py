"""Saves models to files and loads them. One safetensors file holds a whole model, built or not.

The parameters are plain tensors under their names, which other programs can read. The rest of the training state has
names with a slash, which no layer can have: ``optimizer/…`` and ``state/…``; a file for use alone, ``training=False``,
has none of it. The metadata have the format's version and a JSON object with the MDL text, the arguments of
``compile``, the history of the last ``fit`` and the random generator's state.

Format 2 has more fields than format 1. Both have the per-sample losses of the last training, ``training/losses``, which
are checked and left behind; format 3 has none.

A file is written under a temporary name, flushed, and renamed. So there is always either the old file or the new one,
even if the machine fails meanwhile. Nothing in a file is trusted: every name, type and size is checked against the text
before memory is allocated, and nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..data.packing import Reading
from ..data.schema import Schema, checked_classes
from ..errors import MDLError, NeuromorphError, StorageError
from ..functions.dropout import KEYS
from ..graph import Graph, build_graph, freeze, frozen_names
from ..history import History
from ..host.atomic_write import check_name, replace_file
from ..language import parse
from ..optimizers import CHOICES, UPDATES, Optimizer
from ..options import DTYPES, TIERS, CompileOptions, compile_options, finite_number, flag, one_of, whole_number
from ..runtime import seeding
from ..runtime.network import Network
from ..runtime.seeding import restore_generator
from .header import RECORD_KEY, SIZES, VERSION, VERSION_KEY, Header, Tensor, read_header, shown

Floats = NDArray[Any]
Kind = TypeVar("Kind", bound=Network)

LOSSES = "training/losses"  # in files of formats 1 and 2
_CODES = {"float32": "F32", "float64": "F64"}
_WIDEST = 1 << 128  # a bound: the numbers of a PCG64 generator are smaller


# Saving ---------------------------------------------------------------------------------------------------------------


def save(model: Network, path: str | os.PathLike[str], *, training: bool = True) -> None:
    """Write a model to a file; see ``neuromorph.save``."""
    flag("training", training)
    given = os.fsdecode(path)
    check_name(given)
    if os.path.exists(given) and not os.path.isfile(given):
        raise StorageError(f"can't save the model: {given} is not a regular file")
    data = to_bytes(model, training=training)
    try:
        replace_file(os.path.realpath(given), data)
    except OSError as error:  # it names the temporary file, or none
        raise OSError(error.errno, error.strerror, given) from error


def to_bytes(model: Network, *, training: bool = True) -> bytes:
    """What ``save`` writes to a file."""
    from safetensors.numpy import save as encoded

    kept = model.__getstate__()
    if not training:
        kept = {name: value for name, value in kept.items() if name not in _OF_TRAINING}
    tensors = tensors_of(kept)
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise StorageError(f"can't save the model: {name} has numbers that are not finite")
    record = record_of(kept, training=training)
    metadata = {VERSION_KEY: str(VERSION), RECORD_KEY: json.dumps(record, allow_nan=False)}
    return bytes(encoded(tensors, metadata))


def tensors_of(kept: Mapping[str, Any]) -> dict[str, Floats]:
    """The arrays of a model by their names in a file. kept: the contents of the model."""
    found = {prefix + name: array for group, prefix in _PREFIXES.items() for name, array in kept.get(group, {}).items()}
    return {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in found.items()}


def record_of(kept: Mapping[str, Any], *, training: bool = True) -> dict[str, Any]:
    """The contents of a model without its arrays, ready for JSON. training: whether it can be trained on."""
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
        **({"generator": _generator_record()} if training else {"training": False}),
        **({"history": kept["history"].record()} if kept.get("history") is not None else {}),
        **({"frozen": list(options.frozen)} if options.frozen else {}),
        **({"whole_sequences": True} if options.whole_sequences else {}),
        **({"tier": options.tier} if options.tier != TIERS[0] else {}),
        **({"reading": asdict(kept["reading"])} if kept.get("reading") is not None else {}),
        **({"table": kept["table"].record()} if kept.get("table") is not None else {}),
        **({"classes": list(kept["classes"])} if kept.get("classes") is not None else {}),
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


def load(
    path: str | os.PathLike[str], kind: type[Kind], *, restore_random: bool = True, threads: int | None = None
) -> Kind:
    """A model from a file; see ``neuromorph.load``."""
    most = None if threads is None else whole_number("threads", threads)
    name = os.fsdecode(path)
    with _explained(name), _opened(name) as (file, size):
        model, drawn = _read_model(file, size, kind, most)
        model.file = name
    if restore_random and drawn is not None:
        restore_generator(drawn)
    return model


def from_bytes(data: bytes, kind: type[Kind], *, name: str, asks: bool = True) -> Kind:
    """The model that ``to_bytes`` has made bytes of.

    name: of the bytes, for the errors of ``load``. asks: whether kernels are compiled in the background at once.
    """
    with _explained(name):
        return _read_model(io.BytesIO(data), len(data), kind, asks=asks)[0]


def _read_model(
    file: BinaryIO, size: int, kind: type[Kind], most: int | None = None, *, asks: bool = True
) -> tuple[Kind, dict[str, Any] | None]:
    """The model in a file of so many bytes, and the generator's state. most: the most threads, or None."""
    header = read_header(file, size)
    kept, drawn = _arguments(header)
    graph = build_graph(parse(kept["text"]))
    graph = freeze(graph, _frozen(graph, header.record))
    kept["options"] = _options(header.record, kept["optimizer"], graph)
    _check_table(header.record, kept, graph)
    if most is not None:
        kept["options"] = replace(kept["options"], threads=most)
    _read_tensors(file, header, kept, graph)
    kept["asks"] = asks
    model = kind.__new__(kind)
    model.__setstate__(kept)
    return model, drawn


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


# What the metadata say ------------------------------------------------------------------------------------------------

_FIELDS = {
    "text", "batch_size", "bptt_steps", "dtype", "threads", "optimizer", "learning_rate", "clip_norm", "built",
}  # fmt: skip
_MORE_FIELDS = {  # where needed
    "frozen", "dropout", "tier", "history", "training", "whole_sequences", "reading", "table", "classes",
}  # fmt: skip
# What a file for use alone lacks.
_OF_TRAINING = ("optimizer_state", "state", "dropout_state", "history")


def _arguments(header: Header) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The contents of a model without its arrays and options, and the generator's state, all checked."""
    record = header.record
    trains = "training" not in record
    _check_fields("metadata", record, _FIELDS | ({"generator"} if trains else set()) | (_MORE_FIELDS & set(record)))
    if not trains and (record["training"] is not False or {"history", "dropout"} & set(record)):
        raise StorageError(f"corrupt: its training is {shown(record['training'])}")
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
    if "history" in record:
        kept["history"] = History.from_record(record["history"])
    return kept, _generator_state(record["generator"]) if trains else None


def _reading(given: Any) -> Reading:
    """The layout of the data that the model was trained with, checked."""
    _check_fields("reading", given, {"layout", "once"})
    known = (("NSW", True), ("NSW", False), ("NW", False))
    if not isinstance(given["once"], bool) or (given["layout"], given["once"]) not in known:
        raise StorageError(f"corrupt: its reading is {shown(given)}")
    return Reading(given["layout"], given["once"])


def _check_table(record: Mapping[str, Any], kept: dict[str, Any], graph: Graph) -> None:
    """Add the table and the classes that the model was trained with, checked against its text."""
    if "table" in record:
        kept["table"] = Schema.from_record(record["table"])
        kept["table"].check(graph.nodes[graph.input].width)
    if "classes" in record:
        if not isinstance(record["classes"], list):
            raise StorageError(f"corrupt: its classes is {shown(record['classes'])}")
        kept["classes"] = checked_classes(record["classes"], graph.nodes[graph.output].width)
    elif "table" in record and kept["table"].has_classes:
        raise StorageError("corrupt: its table has classes without names")


def _dropout_state(given: Any) -> tuple[int, int]:
    """The key of the dropout masks and the number of updates, checked."""
    whole = isinstance(given, list) and len(given) == 2 and all(type(number) is int for number in given)
    if not whole or not all(0 <= number < KEYS for number in given):
        raise StorageError(f"corrupt: its dropout is {shown(given)}")
    return given[0], given[1]


def _check_fields(what: str, record: Any, wanted: set[str]) -> None:
    if not isinstance(record, dict):
        raise StorageError(f"corrupt: its {what} is {shown(record)}")
    odd = sorted(wanted ^ set(record))
    if odd:
        trouble = "lacks" if odd[0] in wanted else "has an unknown"
        raise StorageError(f"corrupt: its {what} {trouble} {shown(odd[0])}")


def _optimizer(record: Any) -> Optimizer:
    """The optimizer with its numbers, which are checked as a user's are."""
    if not isinstance(record, dict):
        raise StorageError(f"corrupt: its optimizer is {shown(record)}")
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
        raise StorageError(f"corrupt: its whole_sequences is {shown(whole)}")
    return replace(options, whole_sequences=whole)


def _frozen(graph: Graph, record: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the nodes whose parameters never learn, checked."""
    given = record.get("frozen", [])
    found = frozen_names(graph, given) if isinstance(given, list) else ()
    if list(found) != given:
        raise StorageError(f"corrupt: its frozen is {shown(given)}")
    return found


def _generator_state(record: Any) -> dict[str, Any]:
    """The state of a PCG64 generator in NumPy's form, checked."""
    _check_fields("generator", record, {"state", "inc", "has_uint32", "uinteger"})
    wide = [_wide_number(record[name]) for name in ("state", "inc")]
    small = [record[name] for name in ("has_uint32", "uinteger")]
    if wide[1] % 2 == 0 or any(
        type(n) is not int or not 0 <= n < 1 << bits for n, bits in zip(small, (1, 32), strict=True)
    ):
        raise StorageError(f"corrupt: its generator is {shown(record)}")
    return {
        "bit_generator": "PCG64",
        "state": {"state": wide[0], "inc": wide[1]},
        "has_uint32": small[0],
        "uinteger": small[1],
    }


def _wide_number(text: Any) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 39 and int(text) < _WIDEST:
        return int(text)
    raise StorageError(f"corrupt: its generator has the number {shown(text)}")


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
    if "training" in header.record:
        shapes = {group: named for group, named in shapes.items() if group not in _OF_TRAINING}
    if header.version < 3:
        _check_losses(tensors.pop(LOSSES, None))
    wanted = {_PREFIXES[group] + name: shape for group, named in shapes.items() for name, shape in named.items()}
    odd = sorted(wanted.keys() ^ tensors.keys())
    if odd:
        trouble = "needs" if odd[0] in wanted else "has no"
        raise StorageError(f"corrupt: its text {trouble} tensor {shown(odd[0])}")
    for name, shape in wanted.items():
        code = _CODES[options.dtype] if shape else "F64"
        if (tensors[name].shape, tensors[name].code) != (shape, code):
            raise StorageError(
                f"corrupt: the tensor {shown(name)} is {tensors[name].code} of shape {tensors[name].shape}, "
                f"and its text needs {code} of shape {shape}"
            )
    for group, named in shapes.items():
        prefix = _PREFIXES[group]
        kept[group] = {n: _read(file, header.start, tensors[prefix + n], prefix + n) for n in named}


def _check_losses(losses: Tensor | None) -> None:
    """Check the tensor of losses of an older format, which is not read."""
    if losses is None or losses.code != "F64" or len(losses.shape) not in (1, 2):
        raise StorageError(f"corrupt: {LOSSES} is missing, or is no array of losses")


def _read(file: BinaryIO, start: int, tensor: Tensor, name: str) -> Floats:
    """Read the array of one tensor."""
    file.seek(start + tensor.begin)
    raw = file.read(tensor.end - tensor.begin)
    if len(raw) < tensor.end - tensor.begin:
        raise StorageError("truncated: it became shorter while it was read")
    array = np.frombuffer(raw, f"<f{SIZES[tensor.code]}").reshape(tensor.shape)
    if not np.isfinite(array).all():
        raise StorageError(f"corrupt: {shown(name)} has numbers that are not finite")
    return array.astype(array.dtype.newbyteorder("="))
