"""``to_c``: writes a model as C99."""

from __future__ import annotations

import errno
import operator
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import neuromorph as nm

from ..errors import brief
from ..host.atomic_write import check_place, folder_of, replace_file
from .c_layout import Layout
from .c_names import why_no_name
from .c_source import Writer

MOST_BYTES = 16 << 20  # of parameters, and of the struct; more than any microcontroller has


def to_c(
    model: nm.Model, path: str | os.PathLike[str], *, libm: bool = True, most_bytes: int | None = MOST_BYTES
) -> None:
    """Write a built model as C99: a source at ``path``, which ends in ``.c``, and a header beside it.

    For ``net.c`` they have ``struct net``, ``net_init`` and ``net_step``, which runs one time step of one lane as
    ``predict`` does, and with ``-DNET_SELFTEST`` a main function that tests the file. The type is the model's. libm:
    whether <math.h> may be used; exp and tanh never need it. most_bytes: the most bytes of parameters, and of the
    struct; None for any number.

    Raises ValueError if the file's name is no C identifier with the ending ``.c``, or if the model needs more bytes or
    has parameters that are not finite; ModelStateError for a model that is not built or was released; OSError if the
    folder does not exist or a file can't be written. Then neither file is changed.
    """
    source, header, name = _places(path)
    if not isinstance(model, nm.Model):
        raise TypeError(f"model must be a neuromorph Model, not {type(model).__name__}")
    if most_bytes is not None:
        _check_size(model, _number_of_bytes(most_bytes))
    if not os.path.isdir(folder_of(source)):
        raise FileNotFoundError(errno.ENOENT, "exported C needs a folder that exists", source)
    for place in (source, header):
        check_place(place, "exported C")
    with model.lock:  # so that the self-test records the outputs of the parameters that are written
        files = Writer(model, name, libm).files()
    _write({header: files.header.encode("ascii"), source: files.source.encode("ascii")})


def _places(path: str | os.PathLike[str]) -> tuple[str, str, str]:
    """The paths of the source and the header, and the name that both have without the ending."""
    given = os.fsdecode(path)
    name, ending = os.path.splitext(os.path.basename(given))
    if ending != ".c":
        raise ValueError(f"path is {brief(given)}, and a C file ends in .c")
    reason = why_no_name(name)
    if reason is not None:
        raise ValueError(f"path is {brief(given)}, and its functions can't be named {brief(name)}: {reason}")
    return given, given.removesuffix(".c") + ".h", name


def _number_of_bytes(value: Any) -> int:
    """``value``, checked to be a number of bytes."""
    try:
        if not isinstance(value, bool) and (number := operator.index(value)) >= 0:
            return number
    except TypeError:
        pass
    raise ValueError(f"most_bytes must be None or a whole number of bytes, not {brief(value)}")


def _check_size(model: nm.Model, most_bytes: int) -> None:
    """Raise ValueError if a model needs more flash or RAM than is allowed."""
    item, graph = model.dtype.itemsize, model.graph
    flash, ram = graph.parameter_count * item, Layout(graph, "net").size(item)
    for what, needed in (("flash for its parameters", flash), ("RAM for its struct", ram)):
        if needed > most_bytes:
            raise ValueError(f"the model needs {needed:,} bytes of {what}, and most_bytes allows {most_bytes:,}")


def _write(files: dict[str, bytes]) -> None:
    """Write all files, or none if one of them can't be written."""
    before = {path: Path(path).read_bytes() if os.path.exists(path) else None for path in files}
    done: list[str] = []
    try:
        for path, data in files.items():
            _replace(path, data)
            done.append(path)
    except BaseException:
        for path in done:
            _put_back(path, before[path])
        raise


def _replace(path: str, data: bytes) -> None:
    try:
        replace_file(os.path.realpath(path), data)
    except OSError as error:  # it names the temporary file, or none
        raise OSError(error.errno, error.strerror, path) from error


def _put_back(path: str, data: bytes | None) -> None:
    with suppress(OSError):
        if data is None:
            os.unlink(path)
        else:
            replace_file(os.path.realpath(path), data)
