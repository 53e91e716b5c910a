"""Writes what models answer: numbers, the numbers of classes or their names, as NumPy's files or CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import BytesIO, StringIO
from math import prod
from typing import Any

import click
import numpy as np

import neuromorph as nm

from .arrays import Array
from .stdin import is_stream

ENDINGS = (".npz", ".npy", ".csv")


def ending_of_output(output: str | None) -> str:
    """The ending of the output's format; CSV for stdout and pipes. UsageError for an unknown one."""
    ending = ".csv" if output in (None, "-") else "." + str(output).lower().rpartition(".")[2]
    if ending not in ENDINGS and is_stream(output):
        return ".csv"
    if ending not in ENDINGS:
        raise click.UsageError(f"--output is {output}, and the output ends in {', '.join(ENDINGS)}")
    return ending


def labels_of(model: nm.Model, found: Array) -> Array:
    """The class of every vector (…, W): the number of its largest component; for W = 1, 1 above the threshold else
    0."""
    if model.output_width > 1:
        return np.asarray(found.argmax(axis=-1))
    halfway = 0.0 if model.graph.loss.name == "hinge" else 0.5  # halfway between -1 and 1, or between 0 and 1
    return (found[..., 0] > halfway).astype(np.int64)


def named(model: nm.Model, labels: Array) -> Array:
    """Labels as the names of classes, where the model has them; an empty text for -1, which is no class."""
    if model.classes is None:
        return labels
    names = [str(name) for name in model.classes]
    return np.array([*names, ""], np.str_)[labels]


def encoded(array: Array, ending: str) -> bytes:
    """An array as the bytes of a file. ending: ``.csv``, ``.npz`` or ``.npy``."""
    if ending == ".csv":
        if array.ndim > 2:
            raise click.ClickException(f"the output has shape {array.shape}, and CSV two axes: give -o a .npy file")
        return lines_of(array).encode("utf-8")
    file = BytesIO()
    if ending == ".npz":
        np.savez(file, predictions=array)
    else:
        np.save(file, array, allow_pickle=False)
    return file.getvalue()


def lines_of(array: Array, before: Sequence[Sequence[Any]] = (), names: Sequence[str] = ()) -> str:
    """Rows (n,) or (n, W) as lines of CSV. before: cells that stand before each row. names: the first line, if any."""
    text = StringIO()
    if array.dtype.kind != "U" and not before and not names:
        digits = "%d" if array.dtype.kind == "i" else "%.9g" if array.dtype == np.float32 else "%.17g"
        np.savetxt(text, array, fmt=digits, delimiter=",")
        return text.getvalue()
    writer, digits = csv.writer(text, lineterminator="\n"), ".9g" if array.dtype == np.float32 else ".17g"
    writer.writerows([names] if names else [])
    for number, row in enumerate(array.reshape(len(array), prod(array.shape[1:])).tolist()):
        cells = [format(cell, digits) if isinstance(cell, float) else cell for cell in row]
        writer.writerow([*(before[number] if before else ()), *cells])
    return text.getvalue()
