"""Reads data files: NPZ, NPY and tables. Nothing in them is executed.

- An NPZ file has ``inputs`` and, to train or evaluate, ``expected`` or ``labels``. It may have ``sample_weight`` and
``lengths``.
- An NPY file is one array.
- A table, such as a CSV file, has one vector a line; ``tables.py`` reads it.

``layout.py`` says what each shape means.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

import neuromorph as nm

from ..tables.files import FORMATS, ending_of
from .archive import Stored, array_in, arrays_in, check_memory
from .arrays import Array, Arrays, Origin, Source
from .stdin import on_disk
from .tables import arrays_of_table, numbers_of_table

ENDINGS = (".npz", ".npy", *FORMATS)
_NAMES = ("inputs", "expected", "labels", "sample_weight", "lengths")


def read(
    source: Source, model: nm.Model, *, answers: bool = True, check: Callable[[Arrays], None] = lambda arrays: None
) -> Arrays:
    """The arrays of a source; without ``answers``, only the inputs and lengths.

    check: called with the arrays before NumPy's files are read; it looks at types and shapes only, and raises
    ClickException for arrays that it refuses. Raises UsageError for wrong options, and ClickException for a wrong file.
    """
    if (source.data is None) == (source.inputs is None):
        raise click.UsageError("data come from --data, or from --inputs" + (" and --expected" if answers else ""))
    source = on_disk(source)
    arrays, stored = _pair(source, answers) if source.data is None else _one(source, source.data, model, answers)
    if answers and (arrays.expected is None) == (arrays.labels is None):
        trouble = "both expected and labels" if arrays.labels is not None else "neither expected nor labels"
        raise click.ClickException(f"{arrays.name}: it has {trouble}, and one of them is needed")
    check(arrays)
    check_memory(arrays.name, [one.outline for one in stored.values()])
    loaded: dict[str, Any] = {name: one.load() for name, one in stored.items()}
    return replace(arrays, **loaded)


Unread = tuple[Arrays, dict[str, Stored]]  # the arrays, and those that are outlines until they are read


def _one(source: Source, path: str, model: nm.Model, answers: bool) -> Unread:
    """All arrays of one file."""
    ending = _ending(path)
    if ending in FORMATS:
        return arrays_of_table(source, path, model, answers=answers), {}
    skips = _skips(source, source.title(path))
    if ending == ".npz":
        stored = arrays_in(path, _NAMES if answers else ("inputs", "lengths"))
    elif answers:
        raise click.UsageError(
            f"{source.title(path)} is one array: give it to --inputs, and what is expected to --expected"
        )
    else:
        stored = {"inputs": array_in(path, "inputs")}
    outlines: dict[str, Any] = {name: one.outline for name, one in stored.items()}
    return Arrays(source.title(path), **outlines, skips=skips), stored


def _skips(source: Source, path: str) -> bool:
    """Whether the expected values of NumPy's files may be missing. UsageError for options that only tables have."""
    if source.for_tables:
        raise click.UsageError(f"{source.for_tables[0]} is for tables, and {path} has no columns with names")
    if source.missing not in (None, "error", "skip"):
        raise click.UsageError(f"--missing {source.missing} is for tables; NPY and NPZ files take error or skip")
    return source.missing == "skip"


def _ending(path: str) -> str:
    """The ending of a data file's name, in lower case. ClickException for an unknown one."""
    ending = ending_of(path) or os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise click.ClickException(f"{path}: data files end in {', '.join(ENDINGS)}")
    return ending


def _pair(source: Source, answers: bool) -> Unread:
    """The inputs from one file and the expected values from another."""
    if source.for_tables:
        raise click.UsageError(f"{source.for_tables[0]} goes with --data and a table")
    if answers and source.expected is None:
        raise click.UsageError("--inputs needs --expected beside it")
    files = {"inputs": source.inputs, "expected": source.expected if answers else None}
    arrays: dict[str, Any] = {}
    stored: dict[str, Stored] = {}
    origins = {}
    for name, path in files.items():
        if path is not None:
            arrays[name], origins[name], unread = _single(source, path, name)
            stored |= unread
    skips = _skips(source, origins["inputs"].file)
    return Arrays(origins["inputs"].file, **arrays, origins=origins, skips=skips), stored


def _single(source: Source, path: str, name: str) -> tuple[Array, Origin, dict[str, Stored]]:
    """The one array of a file, its origin, and the stored array if it is an outline that has not been read yet."""
    ending = _ending(path)
    if ending == ".npz":
        raise click.ClickException(f"{path}: an NPZ file holds several arrays: give it to --data")
    if ending == ".npy":
        stored = array_in(path, name)
        return stored.outline, Origin(source.title(path)), {name: stored}
    array, origin = numbers_of_table(path)
    return array, origin, {}
