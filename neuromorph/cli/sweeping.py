"""The commands about many runs: sweep trains them, runs shows what came of them."""

from __future__ import annotations

import csv
import io
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import neuromorph as nm

from ..host.frozen import frozen
from ..sweeps.grid import runs_of
from ..sweeps.stored import measures
from .arrays import Arrays, Source
from .console import give, say
from .files import SAVED, check_apart, check_small, check_target, keep, no_warnings, write
from .layout import Prepared, answers_once, arrays_of, as_sequences, batch_for, held_out, prepared
from .reporting import say_how_read
from .source import COUNT, DATA_HELP, data_options, naming
from .training import RATES, fraction_of, shows_bars
from .units import are_in_batches, held_out_units

MOST = 10  # rows of the table at the end of a sweep
_GRID = """\b
Example of a grid.toml:
  text = ["lstm.mdl", "gru.mdl"]  # files beside it; one or several
  seeds = [1, 2, 3]
  budget = 20                     # epochs
  [arguments]                     # of nm.compile and nm.fit, for all runs
  batch_size = 32
  [grid]                          # each combination
  optimizer = ["sgd", {name = "Adam", betas = [0.9, 0.99]}]
  "$width" = [8, 16]              # for $width in the texts
  [random]                        # drawn for each combination
  draws = 10
  learning_rate = {from = 1e-4, to = 1e-1, log = true}
  shuffle = [true, false]
\b
Examples:
  neuromorph sweep grid.toml --data d.npz
  neuromorph sweep grid.toml --data d.csv --rungs 2,6,18 --save best.safetensors
  neuromorph runs runs.sqlite

"""


@frozen
class Sweeping:
    """The options of ``sweep``, without those of data. None stands for an option that was not given."""

    grid: str
    store: str
    validation: str
    validation_tail: bool
    score: str
    workers: int | None
    rungs: str | None
    epochs: int | None
    save_to: str | None
    dry_run: bool
    quiet: bool
    adapt: bool | None
    window: int | None
    retry_failed: bool


@click.command(epilog=_GRID + DATA_HELP)
@click.argument("grid", type=click.Path())
@data_options(answers=True, training=True)
@click.option("--store", type=click.Path(), default="runs.sqlite", help="Where results go; by default runs.sqlite.")
@click.option("--validation", default="0.2", help="A data file, or the fraction that is held out; by default 0.2.")
@click.option("--validation-tail", is_flag=True, help="Hold out the end of the data, not a part that is drawn.")
@click.option(
    "--score", default="val_loss", metavar="NAME", help="By default val_loss; or loss, val_accuracy, val_mae and so on."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes; by default one for each processor, 0 for this process alone.",
)
@click.option(
    "--rungs", metavar="LIST", help="Successive halving: numbers of epochs such as 2,6,18. The best at each go on."
)
@click.option("--epochs", type=COUNT, metavar="N", help="In place of the budget in the file.")
@click.option("--window", type=COUNT, metavar="N", help="Rows of a window of a series, for --horizon.")
@click.option("--adapt/--no-adapt", default=None, help="Set <standardize> and <restore> nodes; for tables by default.")
@click.option("--save", "save_to", type=click.Path(), help=f"Where the best model goes, a {SAVED} file.")
@click.option("--retry-failed", is_flag=True, help="Try runs of the store that have failed again.")
@click.option("--dry-run", is_flag=True, help="List the runs, and train nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def sweep(source: Source, **given: Any) -> int:
    """Train the many runs that a TOML file describes.

    Results go into the store as they end. A sweep that was broken off goes on with the same command, and several
    commands at once share the runs. The best model is kept in the store.
    """
    options = Sweeping(**given)
    rungs = _rungs(options.rungs)
    if rungs is not None and options.epochs is not None:
        raise click.UsageError("--rungs and --epochs both say how long runs are trained: the last rung is the budget")
    runs = _runs(options, rungs)
    if options.dry_run:
        give(_listed(runs))
        return 0
    if options.save_to is not None and not options.save_to.lower().endswith(SAVED):
        raise click.UsageError(f"--save is {options.save_to}, and the name of a saved model ends in {SAVED}")
    read = {"GRID": options.grid, "--validation": options.validation, **source.files()}
    check_apart({"--store": options.store, "--save": options.save_to}, read)
    check_target(options.store, in_place=True, regular=True)
    if options.save_to is not None:
        check_target(options.save_to, regular=True)
    runs, data = _with_data(options, source, runs)
    try:
        found = nm.sweep(
            runs, data, score=options.score, workers=options.workers, store=options.store, rungs=rungs,
            save_models="best", retry_failed=options.retry_failed,
            verbosity=0 if options.quiet else 1 if shows_bars() else 2,
        )  # fmt: skip
    except KeyboardInterrupt:
        say(f"interrupted; the results so far are in {options.store}, and the same command goes on from there")
        return 130
    except OSError as error:
        if isinstance(there := getattr(error, "results", None), nm.SweepResult):
            give(there.table())  # the store can't be written to, and lacks some of them
        raise
    give(found.table(MOST))
    if len(found.failed) == len(found):
        say(f"error: all runs failed; the first: {found[0].error}")
        return 1
    if options.save_to is not None:
        _save(found, options.save_to)
    return 0


def _rungs(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError:
        raise click.UsageError(f"--rungs is {text}, and needs numbers of epochs with commas, such as 2,6,18") from None


def _runs(options: Sweeping, rungs: tuple[int, ...] | None) -> list[nm.Run]:
    """The runs of the TOML file. ClickException, naming the file, for what is wrong there."""
    path = Path(options.grid)
    check_small(options.grid, "a sweep")
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
        if options.window is not None:
            table["arguments"] = {**table.get("arguments", {}), "bptt_steps": options.window}
        budget = rungs[-1] if rungs else options.epochs
        return runs_of(table, path.parent, budget)
    except (ValueError, TypeError) as error:
        raise click.ClickException(f"{options.grid}: {error}") from error


def _listed(runs: list[nm.Run]) -> str:
    """A line for each run."""
    lines = []
    for run in runs:
        arguments = ", ".join(f"{name}={value}" for name, value in run.arguments.items())
        budget = "" if run.budget is None else f", {run.budget} epochs"
        lines.append(f"{run.name or ' '.join(run.mdl.split())}: seed {run.seed}{budget}, {arguments}")
    return "\n".join([*lines, f"{len(runs)} runs"])


# Data -----------------------------------------------------------------------------------------------------------------


def _with_data(options: Sweeping, source: Source, runs: list[nm.Run]) -> tuple[list[nm.Run], dict[str, Any]]:
    """The runs with the arguments that the data decide where they lack them, and the data of the sweep."""
    found: tuple[Any, Arrays, Prepared, Prepared | None] | None = None
    forms = set[Any]()
    for text in dict.fromkeys(run.mdl for run in runs):
        with no_warnings():
            model = nm.compile(text, 1, 0.0)
        if found is None:
            found = (text, *_read(options, source, model))
        arrays = found[1]
        sequences = as_sequences(model, source, arrays)
        read = prepared(model, arrays, sequences=sequences)
        by_units = _draws(options) and are_in_batches(model, arrays, sequences=sequences)
        forms.add((read.layout, read.inputs.ndim, by_units))
        if len(forms) > 1:
            raise click.UsageError(
                "the texts read these data in different ways, some as vectors and some as one sequence in time: sweep "
                "them one by one, or give sequences with --sequences"
            )
    assert found is not None
    text, arrays, data, held = found
    with no_warnings():
        model = nm.compile(text, 1, 0.0)
    batch = batch_for(model, arrays, as_sequences(model, source, arrays))
    adapts = arrays.schema is not None if options.adapt is None else options.adapt
    return [_completed(run, batch, adapts) for run in runs], {
        "inputs": data.inputs, "expected": data.expected, **data.options,
        "validation": None if held is None else held.all, "classes": arrays.classes, "table": arrays.schema,
    }  # fmt: skip


def _read(options: Sweeping, source: Source, model: nm.Model) -> tuple[Arrays, Prepared, Prepared | None]:
    """The arrays to train on, and what ``nm.fit`` gets of them and of those for validation."""
    arrays = arrays_of(source, model)
    sequences = as_sequences(model, source, arrays)
    if not options.quiet:
        say_how_read(model, arrays, sequences=sequences)
    fraction = fraction_of(options.validation)
    if fraction is not None and _draws(options) and are_in_batches(model, arrays, sequences=sequences):
        with naming(arrays.name):
            return arrays, *held_out_units(model, prepared(model, arrays, sequences=sequences), fraction, arrays.name)
    if fraction is not None:
        arrays, validation = held_out(model, arrays, fraction, sequences=sequences, tail=options.validation_tail)
    else:
        model.table, model.classes = arrays.schema or model.table, arrays.classes or model.classes
        once = answers_once(arrays) if sequences else None
        validation = arrays_of(_at(source, options.validation, once), model)
    with naming(arrays.name):
        return (arrays, prepared(model, arrays, sequences=sequences), prepared(model, validation, sequences=sequences))


def _draws(options: Sweeping) -> bool:
    """Whether the part for validation is drawn from the data."""
    return fraction_of(options.validation) is not None and not options.validation_tail


def _at(source: Source, place: str, once: bool | None) -> Source:
    return replace(source.at(place), once=once)


def _completed(run: nm.Run, batch: int, adapts: bool) -> nm.Run:
    """A run with the batch size of the data, the usual learning rate of its optimizer, and ``adapt``, unless it has
    its own."""
    given = run.arguments
    name = given.get("optimizer", {"name": "SGD"})["name"]
    rate = next(RATES[known] for known in RATES if known == name.lower())
    return run.replace(arguments={"batch_size": batch, "learning_rate": rate, "adapt": adapts, **given})


def _save(found: Any, path: str) -> None:
    """Save the best model."""
    kept = keep(found.best.model(), path)
    if kept.trouble is not None:
        raise click.ClickException(kept.trouble)
    say(f"the best model is saved: {path}")


# Results --------------------------------------------------------------------------------------------------------------


_EXAMPLES = """\b
Examples:
  neuromorph runs runs.sqlite
  neuromorph runs runs.sqlite --best --save best.safetensors
  neuromorph runs runs.sqlite --csv runs.csv --plot curves.png
"""


@click.command(epilog=_EXAMPLES)
@click.argument("store", type=click.Path())
@click.option("--score", metavar="NAME", help="The score, if runs of the store have several; else all are shown.")
@click.option("--most", type=COUNT, metavar="N", help="Show so many runs; by default all.")
@click.option("--best", is_flag=True, help="Show the text and the arguments of the best run alone.")
@click.option("--save", "save_to", type=click.Path(), help=f"Write the best model, a {SAVED} file.")
@click.option("--csv", "csv_to", type=click.Path(), help="Write the table to a CSV file.")
@click.option("--plot", "plot_to", type=click.Path(), help="Draw the score by epoch, as .png, .svg or .pdf.")
def runs(
    store: str, score: str | None, most: int | None, best: bool, save_to: str | None, csv_to: str | None,
    plot_to: str | None,
) -> None:  # fmt: skip
    """Show the runs of a store, the best first.

    It may be a store that a sweep is writing.
    """
    for name, path in {"--save": save_to, "--csv": csv_to, "--plot": plot_to}.items():
        check_apart({name: path}, {"STORE": store})
        if path is not None:
            check_target(path)
    there = [score] if score is not None else measures(store)
    if len(there) > 1 and (best or save_to or csv_to or plot_to):
        raise click.UsageError(f"the runs of {store} have several scores: say --score {' or --score '.join(there)}")
    for name in there:
        found = nm.stored_runs(store, score=name)
        give(_told(found.best) if best else found.table(most))
    if not there:
        say(f"{store} has no runs yet")
        return
    if save_to is not None:
        _save(found, save_to)
    if csv_to is not None:
        write(csv_to, _as_csv(found))
    if plot_to is not None:
        _draw(found, plot_to)


def _told(result: Any) -> str:
    """The text, the arguments and the numbers of a run."""
    run = result.run
    lines = [f"{name} = {value}" for name, value in run.arguments.items()]
    figures = {} if result.history is None else result.history.figures()
    numbers = ", ".join(f"{name.replace('_', ' ')} {figures[name]:.6g}" for name in figures if name != "seconds")
    return "\n".join([run.mdl.rstrip(), "", f"seed = {run.seed}", f"budget = {run.budget}", *lines, "", numbers])


def _as_csv(found: Any) -> bytes:
    head, rows = found.rows()
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _draw(found: Any, path: str) -> None:
    """Draw the learning curves into a file. ClickException if matplotlib is missing."""
    try:
        axes = found.plot()
    except ImportError:
        raise click.ClickException("--plot needs matplotlib: pip install 'neuromorph[plot]'") from None
    axes.figure.savefig(path)
