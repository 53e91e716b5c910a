"""The options, help texts and checks that the commands which read data share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

import neuromorph as nm

from .arrays import Source

DATA_HELP = """\b
Data files:
  .npz  arrays: inputs; expected or labels; perhaps sample_weight, lengths
  .npy  one array each: --inputs x.npy --expected y.npy
  .csv, .tsv, .parquet, .arrow, .ndjson
        tables: a vector a line, what is expected of it in the last columns,
        or in those of --targets; words, dates and gaps need Polars:
        pip install 'neuromorph[tables]'
\b
Shapes (N vectors or sequences, S steps, B lanes, W width):
  (N, W)        vectors, batched; one sequence for a recurrent model
  (N, S, W)     with --sequences, or if the model was trained so:
                N sequences, batched
  (S, B, W)     one sequence of B lanes
  (N, S, B, W)  N sequences of B lanes
\b
expected has the shape of inputs with the output's width. Labels, for a
cross_entropy loss, are whole numbers from 0 and have the shape without
the width. A sequence may also have one answer, (N, W) or labels (N,):
that of its last step.
"""


COUNT = click.IntRange(min=1)
threads_option = click.option("--threads", type=COUNT, metavar="N", help="The most threads to use.")
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(allow_dash=True),
    help="Where the output goes, a .npy, .npz or .csv file; - is stdout.",
)


_PATH = click.Path(allow_dash=True)
_OF_SOURCE = (
    "data", "inputs", "expected", "targets", "ignore", "sequences", "format", "header", "missing", "weights", "group",
    "time", "categories", "dates", "horizon", "each",
)  # fmt: skip


def _table_options(training: bool) -> list[Callable[..., Any]]:
    """The options about the columns of tables. training: with those that a model keeps."""
    found = [
        click.option("--targets", help="Columns of what is expected: names or numbers from 1, with commas."),
        click.option("--ignore", help="Columns to leave out, such as line numbers."),
        click.option(
            "--header/--no-header", default=None, help="Whether the first line of a CSV file has names; found out else."
        ),
        click.option(
            "--missing",
            metavar="WHAT",
            help="For missing inputs error (the default), drop, which leaves such rows out, or mean; for missing "
            "expected values skip, which leaves them out of the loss; or one of each with a comma.",
        ),
        click.option("--group", metavar="COLUMN", help="Rows with the same value there are one sequence."),
        click.option("--time", metavar="COLUMN", help="Sorts the rows, or those of each sequence: numbers or dates."),
        click.option("--format", metavar="ENDING", help="The format of data on stdin, by default csv."),
    ]
    more = [
        click.option("--weights", metavar="COLUMN", help="How much each row counts, 0 or more."),
        click.option(
            "--categories",
            metavar="COLUMNS",
            help="Columns of which each value is a category, also where it is a number.",
        ),
        click.option("--dates", is_flag=True, help="Take dates as inputs, in days; else they are left out."),
        click.option(
            "--horizon",
            type=COUNT,
            metavar="N",
            help="Forecast: cut the series into windows of --window rows, and expect the N rows after each.",
        ),
        click.option(
            "--every-step",
            "each",
            is_flag=True,
            help="Each step of a sequence has an answer, also if all are the same.",
        ),
    ]
    return found + more * training


def data_options(answers: bool, *, training: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds the options which say where data are; the command gets them as ``source``.

    answers: whether the command needs what is expected. training: whether it learns what the columns of tables hold.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def gathered(**given: Any) -> Any:
            source = Source(**{name: given.pop(name) for name in _OF_SOURCE if name in given})
            if "window" in given:
                source = replace(source, window=given["window"])
            return command(source=source, **given)

        options = [
            click.option(
                "--data", type=_PATH, help="A .npz file, a table or, for prediction, a .npy file; - is stdin."
            ),
            click.option("--inputs", type=click.Path(), help="A .npy or .csv file of inputs alone."),
            *([click.option("--expected", type=click.Path(), help="Expected values for --inputs.")] if answers else []),
            *_table_options(training),
            click.option(
                "--sequences/--no-sequences",
                default=None,
                help="Inputs of three axes are (sequences, steps, width), and a row of a table is a sequence; a saved "
                "model knows how it was trained.",
            ),
        ]
        for option in reversed(options):
            gathered = option(gathered)
        return gathered

    return decorate


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of the file in front of the error where data do not fit, or training diverged."""
    try:
        yield
    except (nm.DataError, nm.TrainingDivergedError) as error:
        raise click.ClickException(f"{name}: {error}") from error


def has_accuracy(model: nm.Model) -> bool:
    """Whether the accuracy of a model is defined."""
    return model.graph.loss.name in ("cross_entropy", "binary_cross_entropy")
