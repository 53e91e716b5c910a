"""The command forecast: what a saved model expects to come after a history."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

import neuromorph as nm

from ..data.schema import DATE, Schema
from ..tables import arrays as table_arrays
from ..tables.dates import following, text_of
from ..tables.sequences import windows_of
from .answers import encoded, ending_of_output, lines_of
from .arrays import Array, Source
from .console import give_raw, say
from .files import check_apart, check_target, saved, write
from .layout import arrays_of, as_sequences, described, inputs_of
from .source import COUNT, DATA_HELP, data_options, naming, output_option, threads_option
from .stdin import on_disk
from .tables import as_click, opened, policies

_EXAMPLES = """\b
Examples:
  neuromorph forecast co2.safetensors --data co2.csv --steps 24
  neuromorph forecast net.safetensors --data series.npy --steps 100 -o next.npy

The model runs over the history, and its output is then its next input, again
and again. A model that was trained with --horizon sees the last --window rows
of the table, as in training. Where it was trained on several series at once,
the forecast of one follows that of the other; --names tells them apart.

"""


@click.command(epilog=_EXAMPLES + DATA_HELP)
@click.argument("model", type=click.Path())
@data_options(answers=False)
@click.option("--steps", required=True, type=COUNT, metavar="N", help="How many steps to forecast.")
@click.option(
    "--names",
    is_flag=True,
    help="Begin with a line of names, and each row with the series and the time, if there are any.",
)
@threads_option
@output_option
def forecast(model: str, source: Source, steps: int, names: bool, threads: int | None, output: str | None) -> None:
    """Forecast what follows a history, by a saved model."""
    ending, output = ending_of_output(output), None if output == "-" else output
    if output is not None:
        check_apart({"--output": output}, {"MODEL": model, **source.files()})
        check_target(output)
    if names and ending != ".csv":
        raise click.UsageError("--names is for CSV")
    trained = saved(model, threads)
    if trained.table is not None and trained.table.window is not None:
        data = _of_windows(trained, source, steps, ending, names)
    else:
        data = _of_history(trained, source, steps, ending, names)
    if output is None:
        give_raw(data)
    else:
        write(output, data)


def _of_history(model: nm.Model, source: Source, steps: int, ending: str, names: bool) -> bytes:
    """The forecast after all that the data have."""
    arrays = arrays_of(source, model, answers=False)
    with naming(arrays.name):
        sequences = as_sequences(model, source, arrays)
        inputs, layout = inputs_of(model, arrays, sequences=sequences)
        say(f"{arrays.name}: {described(model, arrays, sequences=sequences)}")
        history: Any = inputs
        if sequences and arrays.lengths is not None:
            history = [row[: int(length)] for row, length in zip(inputs, arrays.lengths, strict=True)]
        found = model.forecast(history, steps, layout=layout)
    if ending != ".csv" or (found.ndim > 2 and arrays.schema is None):
        return encoded(found, ending)
    rows = found.reshape(-1, found.shape[-1])
    if not names or arrays.schema is None:
        return lines_of(rows).encode()
    schema = arrays.schema
    keys = [[group, step + 1] for group in arrays.groups for step in range(steps)]
    titles = [schema.columns[place].name for place in schema.inputs]
    group = [] if schema.group is None or not keys else [schema.columns[schema.group].name]
    return lines_of(rows, keys or [[step + 1] for step in range(steps)], [*group, "step", *titles]).encode("utf-8")


def _of_windows(model: nm.Model, source: Source, steps: int, ending: str, names: bool) -> bytes:
    """The forecast after the last window of each series of a table."""
    assert model.table is not None
    assert model.table.window is not None
    schema, source = model.table, on_disk(source)
    if source.data is None:
        raise click.UsageError("the model was trained on a table: give --data a table")
    with as_click():
        table = opened(source, source.data, schema)
        at = table_arrays.match(table, schema, answers=False)
        policy = table_arrays.Policy(policies(source, model, answers=False)[0])
        rows = table_arrays.rows_of(table, schema, (), at, model.dtype, policy, answers=False)
        cut = windows_of(table, rows, model.table.window, None)
    groups = np.zeros(len(rows), np.intp) if rows.groups is None else rows.groups
    ends = np.append(np.flatnonzero(np.diff(groups[cut.rows[:, -1]])), len(cut.rows) - 1)
    say(f"{table.title}: the last {model.table.window:,} rows of {len(ends):,} series, as in training")
    with naming(table.title):
        found = _continued(model, schema, np.ascontiguousarray(cut.inputs[ends]), steps)
    if ending != ".csv":
        return encoded(found if rows.groups is not None else found[0], ending)
    flat = found.reshape(-1, found.shape[-1])
    if not names:
        return lines_of(flat).encode()
    heads: list[list[Any]] = []
    for window in cut.rows[ends]:
        key = [] if rows.groups is None else [rows.names[rows.groups[window[-1]]]]
        heads += [[*key, moment] for moment in _moments(schema, rows.times, window, steps)]
    first = ["step" if schema.time is None else schema.columns[schema.time].name]
    group = [] if schema.group is None else [schema.columns[schema.group].name]
    titles = [schema.columns[place].name for place in schema.targets]
    return lines_of(flat, heads, [*group, *first, *titles]).encode("utf-8")


def _moments(schema: Schema, times: Array | None, window: Array, steps: int) -> list[Any]:
    """The times of the steps of a forecast, or their numbers where times have no order that goes on."""
    numbers = list(range(1, steps + 1))
    if times is None or schema.time is None:
        return numbers
    column = schema.columns[schema.time]
    there = [moment + column.origin for moment in times[window].tolist()]
    moments = following(there, steps) if len(there) > 1 else None
    if moments is None:
        return numbers
    whole = all(float(moment).is_integer() for moment in (*there, *moments))
    if column.kind == DATE:
        return [text_of(moment, times=not whole, form=column.style) for moment in moments]
    return [int(moment) for moment in moments] if whole else moments


def _continued(model: nm.Model, schema: Schema, windows: Array, steps: int) -> Array:
    """The forecast (N, steps, W_t) after windows (N, S, W)."""
    horizon = schema.horizon or 1
    if model.graph.has_time_links and horizon == 1 and schema.targets == schema.inputs:
        return model.forecast(windows, steps, layout="NSW")
    columns = [schema.columns[place] for place in schema.inputs]
    if steps > horizon and (set(schema.targets) != set(schema.inputs) or any(column.width > 1 for column in columns)):
        raise nm.DataError(
            f"the model forecasts {horizon:,} steps, and for more it would need its own forecast of each input: it was "
            "trained with other --targets"
        )
    order = [schema.targets.index(place) for place in schema.inputs] if steps > horizon else []
    blocks: list[Array] = []
    for _ in range(-(-steps // horizon)):
        if model.graph.has_time_links:
            found = model.predict(windows, layout="NSW")[:, -1]
        else:
            found = model.predict(windows.reshape(len(windows), -1), layout="NW")
        blocks.append(found.reshape(len(windows), horizon, -1))
        if order:
            windows = np.concatenate([windows, blocks[-1][..., order]], axis=1)[:, -windows.shape[1] :]
    return np.concatenate(blocks, axis=1)[:, :steps]
