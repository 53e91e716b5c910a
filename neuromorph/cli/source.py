"""The options, help texts and checks that the commands which read data share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

import neuromorph as nm

from .data import Source

DATA_HELP = """\b
Data files:
  .npz  arrays: inputs; expected or labels; perhaps sample_weight, lengths
  .npy  one array each: --inputs x.npy --expected y.npy
  .csv  a vector a line, what is expected of it in the last columns, or in
        those of --targets; a first line of names is fine
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


def data_options(answers: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds the options which say where data are; the command gets them as ``source``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def gathered(**given: Any) -> Any:
            names = ("data", "inputs", "expected", "targets", "ignore", "sequences")
            source = Source(**{name: given.pop(name) for name in names if name in given})
            return command(source=source, **given)

        options = [
            click.option("--data", type=click.Path(), help="A .npz, .csv or, for prediction, .npy file."),
            click.option("--inputs", type=click.Path(), help="A .npy or .csv file of inputs alone."),
            *([click.option("--expected", type=click.Path(), help="Expected values for --inputs.")] if answers else []),
            click.option(
                "--targets", help="Columns of a CSV with the expected values: names or numbers from 1, with commas."
            ),
            click.option("--ignore", help="Columns of a CSV to leave out, such as line numbers."),
            click.option(
                "--sequences/--no-sequences",
                default=None,
                help="Inputs of three axes are (sequences, steps, width); a saved model knows how it was trained.",
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
