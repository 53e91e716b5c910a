"""Commands that run saved models on data: evaluate, predict."""

from __future__ import annotations

import json
from io import BytesIO, StringIO

import click
import numpy as np

import neuromorph as nm

from .arrays import Array, Arrays, Source
from .console import give, give_raw
from .data import ENDINGS
from .files import check_apart, check_target, saved, write
from .layout import arrays_of, as_sequences, inputs_of, of_last_steps, prepared, without_padding
from .reporting import say_how_read
from .source import DATA_HELP, data_options, has_accuracy, naming, threads_option


@click.command(epilog="\b\nExamples:\n  neuromorph evaluate net.safetensors --data test.npz\n\n" + DATA_HELP)
@click.argument("model", type=click.Path())
@data_options(answers=True)
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for tools.")
def evaluate(model: str, source: Source, threads: int | None, as_json: bool) -> None:
    """Print the loss of a saved model on data.

    And its accuracy, where the loss is a cross-entropy.
    """
    trained = saved(model, threads)
    arrays = arrays_of(source, trained)
    with naming(arrays.name):
        sequences = as_sequences(trained, source, arrays)
        data = prepared(trained, arrays, sequences=sequences)
        say_how_read(trained, arrays, sequences=sequences)
        found = {"loss": trained.evaluate(data.inputs, data.expected, **data.options)}
        if has_accuracy(trained):
            found["accuracy"] = trained.accuracy(data.inputs, data.expected, **data.options)
    give(json.dumps(found) if as_json else ", ".join(f"{name} {value:.6g}" for name, value in found.items()))


_PREDICTIONS = """\b
Examples:
  neuromorph predict net.safetensors --data x.npy -o y.npy
  neuromorph predict net.safetensors --data iris.csv --targets species --labels

The output has the shape of the input with the output's width. A .npz file gets
the array predictions; without -o, CSV goes to stdout. With --labels there is one
class for each sequence, that of its last step, if the model was trained with
one answer for each.

"""


@click.command(epilog=_PREDICTIONS + DATA_HELP)
@click.argument("model", type=click.Path())
@data_options(answers=False)
@threads_option
@click.option("-o", "--output", type=click.Path(), help="Where the output goes, a .npy, .npz or .csv file.")
@click.option(
    "--labels",
    is_flag=True,
    help="Write classes, not vectors: the number of the largest component; for a single one 1 above 0.5, else 0.",
)
@click.option(
    "--every-step",
    is_flag=True,
    help="With --labels: a class for every step of a sequence (-1 beyond its length), also where the model was trained "
    "with one answer for each.",
)
def predict(
    model: str, source: Source, threads: int | None, output: str | None, labels: bool, every_step: bool
) -> None:
    """Run a saved model on data, from zero state."""
    ending = ".csv" if output is None else "." + output.lower().rpartition(".")[2]
    if ending not in ENDINGS:
        raise click.UsageError(f"--output is {output}, and the output ends in {', '.join(ENDINGS)}")
    if output is not None:
        check_apart({"--output": output}, {"MODEL": model, **source.files()})
        check_target(output)
    trained = saved(model, threads)
    arrays = arrays_of(source, trained, answers=False)
    with naming(arrays.name):
        sequences = as_sequences(trained, source, arrays)
        inputs, layout = inputs_of(trained, arrays, sequences=sequences)
        say_how_read(trained, arrays, sequences=sequences)
        found = trained.predict(inputs, layout=layout)
    if labels and sequences:
        found = _labels_of_sequences(trained, arrays, found, every_step)
    elif labels:
        found = _labels(trained, found)
    data = _encoded(found, ending)
    if output is None:
        give_raw(data)
    else:
        write(output, data)


def _labels_of_sequences(model: nm.Model, arrays: Arrays, found: Array, every_step: bool) -> Array:
    """One class for each sequence (N,) where the model was trained so; else one for every step (N, S)."""
    once = model.reading is not None and model.reading.once
    if once and not every_step:
        return of_last_steps(arrays, _labels(model, found))
    return without_padding(arrays, _labels(model, found))


def _labels(model: nm.Model, found: Array) -> Array:
    """The class of every vector (…, W): the number of its largest component; for W = 1, 1 above the threshold else
    0."""
    if model.output_width > 1:
        return np.asarray(found.argmax(axis=-1))
    halfway = 0.0 if model.graph.loss.name == "hinge" else 0.5  # halfway between -1 and 1, or between 0 and 1
    return (found[..., 0] > halfway).astype(np.int64)


def _encoded(array: Array, ending: str) -> bytes:
    """An array as the bytes of a file. ending: ``.csv``, ``.npz`` or ``.npy``."""
    if ending == ".csv":
        if array.ndim > 2:
            raise click.ClickException(f"the output has shape {array.shape}, and CSV two axes: give -o a .npy file")
        digits = "%d" if array.dtype.kind == "i" else "%.9g" if array.dtype == np.float32 else "%.17g"
        text = StringIO()
        np.savetxt(text, array, fmt=digits, delimiter=",")
        return text.getvalue().encode("ascii")
    file = BytesIO()
    if ending == ".npz":
        np.savez(file, predictions=array)
    else:
        np.save(file, array, allow_pickle=False)
    return file.getvalue()
