"""Commands that run saved models on data: evaluate, predict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click
import numpy as np

import neuromorph as nm

from ..tables.lines import plain_schema, rows_of_lines
from .answers import encoded, ending_of_output, labels_of, lines_of, named
from .arrays import Array, Arrays, Source, has_classes
from .console import give, give_raw
from .files import check_apart, check_target, saved, write
from .layout import arrays_of, as_sequences, inputs_of, of_last_steps, prepared, results_of_last_steps, without_padding
from .reporting import say_how_read
from .source import DATA_HELP, data_options, has_accuracy, naming, output_option, threads_option
from .stdin import ending_of_stream, is_stream, opened, titled
from .tables import as_click, policies


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
  neuromorph predict net.safetensors --data iris.csv --labels
  tail -f log.csv | neuromorph predict net.safetensors --data -

The output has the shape of the input with the output's width. If the model was
trained with one answer for each sequence, there is one row for each, that of
its last step (nan for a length of 0); --every-step gives all. A .npz file gets
the array predictions; without -o, CSV goes to stdout. CSV on stdin is answered
line by line, from one state, or from a state for each group where the model was
trained with --group.

"""


@click.command(epilog=_PREDICTIONS + DATA_HELP)
@click.argument("model", type=click.Path())
@data_options(answers=False)
@threads_option
@output_option
@click.option(
    "--labels",
    is_flag=True,
    help="Write classes, not vectors: the name or number of the largest component; for a single one the second class "
    "above 0.5, else the first.",
)
@click.option(
    "--names",
    is_flag=True,
    help="Begin with a line of names, and each row with its group, where the model was trained with --group.",
)
@click.option(
    "--every-step",
    is_flag=True,
    help="An answer for every step of a sequence (with --labels: -1 or nothing beyond its length), also where the "
    "model was trained with one answer for each.",
)
def predict(
    model: str, source: Source, threads: int | None, output: str | None, labels: bool, names: bool, every_step: bool
) -> None:
    """Run a saved model on data, from zero state."""
    ending, output = ending_of_output(output), None if output == "-" else output
    if output is not None:
        check_apart({"--output": output}, {"MODEL": model, **source.files()})
        check_target(output)
    if names and ending != ".csv":
        raise click.UsageError("--names is for CSV")
    trained = saved(model, threads)
    titles = _titles(trained, labels=labels) if names else []
    if _is_answered_by_line(trained, source, output):
        _answer_by_line(trained, source, output, labels, titles)
        return
    arrays = arrays_of(source, trained, answers=False)
    with naming(arrays.name):
        sequences = as_sequences(trained, source, arrays)
        inputs, layout = inputs_of(trained, arrays, sequences=sequences)
        say_how_read(trained, arrays, sequences=sequences)
        found = trained.predict(inputs, layout=layout)
    if labels and sequences:
        found = named(trained, _labels_of_sequences(trained, arrays, found, every_step))
    elif labels:
        found = named(trained, labels_of(trained, found))
    elif sequences and arrays.places is None and _answers_once(trained, every_step):
        found = results_of_last_steps(arrays, found)
    rows = _as_in_table(trained, arrays, found, every_step)
    heads = _heads(trained, arrays, found, every_step) if names else []
    data = lines_of(rows, heads, titles).encode("utf-8") if names else encoded(rows, ending)
    if output is None:
        give_raw(data)
    else:
        write(output, data)


def _labels_of_sequences(model: nm.Model, arrays: Arrays, found: Array, every_step: bool) -> Array:
    """One class for each sequence (N,) where the model was trained so; else one for every step (N, S)."""
    if _answers_once(model, every_step):
        return of_last_steps(arrays, labels_of(model, found))
    return without_padding(arrays, labels_of(model, found))


def _answers_once(model: nm.Model, every_step: bool) -> bool:
    """Whether a sequence gets one answer: it had one in training, and nobody asks for every step."""
    return model.reading is not None and model.reading.once and not every_step


def _as_in_table(model: nm.Model, arrays: Arrays, found: Array, every_step: bool) -> Array:
    """Results in the order of a table's rows; one for each sequence where it had one answer in training, or window."""
    if arrays.places is None:
        return found
    if found.ndim == 1 < arrays.places.ndim:
        return found
    if arrays.places.ndim == 1:
        return found if arrays.order is None else _placed(found, arrays.places)
    there = arrays.places >= 0
    windows = arrays.schema is not None and arrays.schema.window is not None
    if windows or _answers_once(model, every_step):
        return np.asarray(found[np.arange(len(found)), np.count_nonzero(there, axis=1) - 1])
    return _placed(found[there], arrays.places[there])


def _titles(model: nm.Model, *, labels: bool) -> list[str]:
    """The names of what ``--names`` writes: of the groups, if there are any, and of the classes or the columns."""
    schema = model.table
    if schema is None:
        raise click.UsageError("--names takes names from the table that a model was trained on, and this one has none")
    group = [] if schema.group is None else [schema.columns[schema.group].name]
    targets, horizon = [schema.columns[place].name for place in schema.targets], schema.horizon or 1
    if labels:
        return [*group, *targets[:1]]
    if has_classes(model):
        return [*group, *map(str, model.classes or range(model.output_width))]
    if horizon == 1:
        return [*group, *targets]
    return [*group, *(f"{name}+{step + 1}" for step in range(horizon) for name in targets)]


def _heads(model: nm.Model, arrays: Arrays, found: Array, every_step: bool) -> list[tuple[str, ...]]:
    """What stands before each answer: its group; nothing where the model knows none. found: as in ``_as_in_table``."""
    if arrays.row_groups is None:
        return []
    numbers, names = arrays.row_groups
    if arrays.places is None:
        rows = np.arange(len(found))
    elif found.ndim == 1 < arrays.places.ndim:
        rows = arrays.places[:, 0]
    else:
        rows = _as_in_table(model, arrays, arrays.places, every_step)
    return [(names[number],) for number in numbers[rows].tolist()]


def _placed(found: Array, rows: Array) -> Array:
    """Results of rows, in the order of the rows."""
    return np.asarray(found[np.argsort(rows, kind="stable")])


# Line by line ---------------------------------------------------------------------------------------------------------


def _is_answered_by_line(model: nm.Model, source: Source, output: str | None) -> bool:
    """Whether each line of a stream is answered before the next one is read."""
    if source.data is None or not is_stream(source.data) or not (output is None or is_stream(output)):
        return False
    as_whole = model.table is not None and model.table.width != model.input_width
    return ending_of_stream(source, source.data) in (".csv", ".tsv") and not as_whole and source.sequences is not True


def _answer_by_line(model: nm.Model, source: Source, output: str | None, labels: bool, titles: Sequence[str]) -> None:
    """Write the answer to each line of a stream before the next line is read."""
    if output is None:
        for line in _answered(model, source, labels, titles):
            give_raw(line)
        return
    with open(output, "wb", buffering=0) as file:
        for line in _answered(model, source, labels, titles):
            file.write(line.encode("utf-8"))


def _answered(model: nm.Model, source: Source, labels: bool, titles: Sequence[str]) -> Iterator[str]:
    """The answer to each line of a stream, as soon as the line is there. titles: a line before all, if any."""
    assert source.data is not None
    fills = policies(source, model, answers=False)[0] == "mean"
    schema = plain_schema(model.input_width) if model.table is None else model.table
    streams: dict[str, nm.Stream] = {}
    grouped = bool(titles) and schema.group is not None
    if titles:
        yield lines_of(np.empty((0, 1)), (), titles)
    with as_click(), opened(source.data) as file:
        rows = rows_of_lines(
            iter(file.readline, b""), titled(source.data), schema, model.classes or (), header=source.header,
            fills=fills, most=float(np.finfo(model.dtype).max),
        )  # fmt: skip
        for row in rows:
            stream = streams.get(row.group)
            if stream is None:
                stream = streams[row.group] = nm.stream(model)
            y = stream(row.values.astype(model.dtype))[None]
            yield lines_of(named(model, labels_of(model, y)) if labels else y, [(row.group,)] if grouped else ())
