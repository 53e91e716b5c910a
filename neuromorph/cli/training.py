"""The command train: reads options and data, trains a model, and saves it however training ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np

import neuromorph as nm

from ..host.frozen import frozen
from .arrays import Source
from .console import give, say
from .files import FILE, SAVED, check_apart, check_target, is_saved, keep, no_warnings, saved, text_of
from .layout import Prepared, answers_once, arrays_of, as_sequences, batch_for, held_out, prepared
from .reporting import say_how_read, scaled_nodes
from .source import COUNT, DATA_HELP, data_options, has_accuracy, naming, threads_option
from .units import are_in_batches, held_out_units

RATES = {name: kind.usual_rate for name, kind in nm.optimizers.CHOICES.items()}  # the default learning rates
LINES = 10  # about so many lines of progress, where stderr is no terminal


@frozen
class Training:
    """The options of ``train``, without those of data. None stands for an option that was not given."""

    file: str | None
    resume: str | None
    save_to: str
    epochs: int
    validation: str | None
    validation_tail: bool
    batch: int | None
    rate: float | None
    optimizer: str | None
    window: int | None
    clip: float | None
    dtype: str | None
    threads: int | None
    shuffle: bool
    seed: int | None
    patience: int | None
    checkpoint: int | None
    log: str | None
    quiet: bool
    metrics: str | None
    class_weight: str | None
    adapt: bool | None


_EXAMPLES = """\b
Examples:
  neuromorph train net.mdl --data d.npz --epochs 20 --save net.safetensors
  neuromorph train iris.mdl --data train.csv --validation test.csv \\
      --targets class --optimizer adam --epochs 100 --save iris.safetensors
  neuromorph train --resume net.safetensors --data d.npz --epochs 20

"""


@click.command(epilog=_EXAMPLES + DATA_HELP)
@click.argument("file", required=False, type=FILE)
@data_options(answers=True, training=True)
@click.option("--epochs", required=True, type=COUNT, metavar="N", help="Passes over the data.")
@click.option("--save", "save_to", type=click.Path(), help=f"Where the model goes, a {SAVED} file.")
@click.option("--resume", type=click.Path(), help="Go on with a saved model, as if it had never stopped.")
@click.option(
    "--validation",
    help="A data file to measure after each epoch, or a fraction: then so many vectors or sequences are drawn and held "
    "out, with the same share of each class, the same ones in each run; of one sequence in time, its end.",
)
@click.option("--validation-tail", is_flag=True, help="Hold out the end of the data, not a part that is drawn.")
@click.option(
    "--batch", type=COUNT, metavar="N", help="Lanes of an update; by default those of the data, or 32 vectors."
)
@click.option(
    "--rate", type=click.FloatRange(min=0), metavar="X", help="Learning rate; by default 0.1 for sgd, 0.001 for others."
)
@click.option("--optimizer", type=click.Choice(list(RATES)), help="By default sgd.")
@click.option(
    "--window",
    type=COUNT,
    metavar="N",
    help="Steps in time of an update; by default whole sequences up to 1,024 steps, 16 of one long sequence, and 1 "
    "without recurrence.",
)
@click.option(
    "--clip", type=click.FloatRange(min=0, min_open=True), metavar="X", help="An upper bound of the gradients' norm."
)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="By default float32.")
@threads_option
@click.option(
    "--shuffle",
    is_flag=True,
    help="Mix the vectors, or the sequences, anew before every epoch; --resume draws new orders.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Seed of the first parameters and of shuffling; the same seed gives the same bits.",
)
@click.option(
    "--patience", type=COUNT, metavar="N", help="Stop after N epochs without improvement, and keep the best parameters."
)
@click.option("--checkpoint", type=COUNT, metavar="N", help="Save the model after every N epochs too.")
@click.option(
    "--log",
    type=click.Path(),
    help="A CSV file that gets a line every epoch, numbered from 0; --resume goes on counting.",
)
@click.option(
    "--metrics",
    metavar="LIST",
    help="Numbers to record beside the losses, with commas: accuracy, rmse, or losses as mae.",
)
@click.option(
    "--class-weight",
    metavar="LIST",
    help="How much vectors count by their class, such as 0=1,1=5 or no=1,yes=5; balanced: all classes count the same.",
)
@click.option(
    "--adapt/--no-adapt",
    default=None,
    help="Set <standardize> and <restore> nodes from the data before training; for tables by default.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def train(source: Source, **given: Any) -> int:
    """Train the model of a description and save it.

    Progress goes to stderr. Ctrl-C saves the model as of the last whole update; --resume goes on from there.
    """
    options = _checked(given, source)
    model, data, measured = _ready(options, source)
    started, losses, before = time.perf_counter(), model.losses, model.history
    trouble: BaseException | None = None
    try:
        with naming(data.name):
            _fit(model, options, data.arrays, measured)
    except (Exception, KeyboardInterrupt) as error:  # whatever ended training, the model is saved
        trouble = error
    seconds = time.perf_counter() - started
    with _undisturbed():
        if trouble is None:
            return _finish(model, options, measured or data.arrays, seconds)
        history = model.history if model.history is not before and model.history is not None else nm.History()
        learnt = bool(history) or (model.losses is not losses and bool(np.isfinite(model.losses).any()))
        return _broken_off(model, options, trouble, history, learnt=learnt)


@dataclass(frozen=True, eq=False)
class Named:
    """Data that are ready for ``nm.fit``, with the name of their file."""

    name: str
    arrays: Prepared


def _checked(given: dict[str, Any], source: Source) -> Training:
    """The options, once they are known to go together and all files can be written. UsageError otherwise."""
    file, resume = given["file"], given["resume"]
    if (file is None) == (resume is None):
        raise click.UsageError("give the FILE of a model description, or --resume a saved model")
    if file is not None and is_saved(file):
        raise click.UsageError(f"{file} is a saved model: go on with it by --resume {file}")
    if resume is not None and not is_saved(resume):
        os.stat(resume)  # raises FileNotFoundError if it does not exist
        raise click.UsageError(f"--resume takes a saved model, and {resume} is none")
    fixed = [name for name in ("batch", "optimizer", "window", "dtype", "threads", "seed") if given[name] is not None]
    if resume is not None and fixed:
        raise click.UsageError(f"--{fixed[0]} can't change with --resume: the saved model has its own")
    if given["validation_tail"] and fraction_of(given["validation"]) is None:
        raise click.UsageError("--validation-tail needs a fraction, as in --validation 0.2")
    given["save_to"] = given["save_to"] or resume
    if given["save_to"] is None:
        raise click.UsageError("Missing option '--save'")
    if given["save_to"] != resume and not given["save_to"].lower().endswith(SAVED):
        raise click.UsageError(f"--save is {given['save_to']}, and the name of a saved model ends in {SAVED}")
    _check_places(given, source)
    return Training(**given)


def _check_places(given: dict[str, Any], source: Source) -> None:
    """Check that the written files can be written, and do not replace a file that is read.

    The one exception is the saved model that training resumes from.
    """
    read = {"FILE": given["file"], "--validation": given["validation"], **source.files()}
    check_apart({"--save": given["save_to"]}, read)
    check_apart({"--log": given["log"]}, read | {"--resume": given["resume"], "--save": given["save_to"]})
    check_target(given["save_to"], regular=True)
    if given["log"] is not None:
        check_target(given["log"], in_place=True)


def _ready(options: Training, source: Source) -> tuple[nm.Model, Named, Prepared | None]:
    """The built model, its training data, and the validation data if there are any."""
    text = None if options.file is None else text_of(options.file)
    with no_warnings():
        model = saved(options.resume or "") if text is None else nm.compile(text, 1, 0.0, dtype=_type_of(options))
    arrays, validation = arrays_of(source, model), None
    fraction, sequences = fraction_of(options.validation), as_sequences(model, source, arrays)
    if not options.quiet:
        say_how_read(model, arrays, sequences=sequences)
    by_units = not options.validation_tail and are_in_batches(model, arrays, sequences=sequences)
    if fraction is not None and not by_units:
        arrays, validation = held_out(model, arrays, fraction, sequences=sequences, tail=options.validation_tail)
    elif fraction is None and options.validation is not None:
        model.table, model.classes = arrays.schema or model.table, arrays.classes or model.classes
        once = answers_once(arrays) if sequences else None
        validation = arrays_of(replace(source.at(options.validation), once=once), model)
    if text is not None:
        batch = options.batch or batch_for(model, arrays, sequences)
        cut = arrays.schema is not None and arrays.schema.window is not None and not sequences
        model = _compiled(text, replace(options, window=None) if cut else options, batch)
        model.table, model.classes = arrays.schema, arrays.classes
    else:
        model.learning_rate = model.learning_rate if options.rate is None else options.rate
        model.clip_norm = options.clip or model.clip_norm
    data = Named(arrays.name, prepared(model, arrays, sequences=sequences))
    measured = None if validation is None else prepared(model, validation, sequences=sequences)
    if fraction is not None and by_units:
        kept, measured = held_out_units(model, data.arrays, fraction, data.name)
        data = Named(data.name, kept)
    if measured is not None and measured.layout != data.arrays.layout:
        raise click.ClickException(f"{options.validation}: its inputs have other axes than those of {data.name}")
    if text is not None:
        nm.build(model, verbosity=0 if options.quiet else 1)
    _adapt(model, options, data, table=text is not None and arrays.schema is not None)
    return model, data, measured


def _adapt(model: nm.Model, options: Training, data: Named, *, table: bool) -> None:
    """Set means and scales of the model's nodes from the data, if that is asked for. table: whether a new model learns
    from a table."""
    nodes = scaled_nodes(model)
    if options.adapt and not nodes:
        raise click.UsageError("--adapt needs a node with <standardize>, or an output with <restore>")
    if not nodes or not (table if options.adapt is None else options.adapt):
        return
    with naming(data.name):
        given = data.arrays
        model.adapt(given.inputs, given.expected, **given.options)
    if not options.quiet:
        say(f"means and scales are set from the data: {', '.join(nodes)}")


def fraction_of(text: str | None) -> float | None:
    """The fraction that ``--validation`` gives; None where it is not a number."""
    try:
        fraction = float(text or "")
    except ValueError:
        return None
    if not 0.0 < fraction < 1.0:
        raise click.UsageError(f"--validation is {text}, and a fraction lies between 0 and 1")
    return fraction


def _compiled(text: Any, options: Training, batch: int) -> nm.Model:
    """The model, compiled with the options of training."""
    if options.seed is not None:
        nm.seed(options.seed)
    optimizer = options.optimizer or "sgd"
    rate = RATES[optimizer] if options.rate is None else options.rate
    return nm.compile(
        text, batch, rate, optimizer=optimizer, bptt_steps=options.window, clip_norm=options.clip,
        dtype=_type_of(options), threads=options.threads,
    )  # fmt: skip


def _type_of(options: Training) -> str:
    """The type of a new model's numbers, and of those that are read for it."""
    return options.dtype or "float32"


def _fit(model: nm.Model, options: Training, data: Prepared, measured: Prepared | None) -> None:
    """Train for all epochs. UsageError for metrics or labels that the model can't have."""
    shown = not options.quiet and shows_bars()
    with _as_usage():
        model.fit(
            data.inputs, data.expected, **data.options, epochs=options.epochs,
            validation=measured and measured.all, shuffle=options.shuffle, progress=shown,
            callbacks=list(_callbacks(options, lines=not options.quiet and not shown)),
            initial_epoch=0 if model.history is None else model.history.next_epoch,
            metrics=options.metrics.split(",") if options.metrics else (),
            class_weight=_class_weight(options.class_weight, model),
        )  # fmt: skip


@contextmanager
def _as_usage() -> Iterator[None]:
    """A block in which a wrong argument of a function is a wrong use of the command."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, nm.NeuromorphError):
            raise
        raise click.UsageError(str(error)) from error


def _class_weight(text: str | None, model: nm.Model) -> dict[int, float] | str | None:
    """The weights by label that ``--class-weight`` gives, "balanced", or None. A label is the name of a class, or its
    number."""
    if text is None or text == "balanced":
        return text
    names = {str(name): number for number, name in enumerate(model.classes or ())}
    pairs = [part.rpartition("=") for part in text.split(",")]
    for label, sign, _ in pairs:
        if sign and names and label not in names and not label.removeprefix("-").isdecimal():
            raise click.UsageError(f"--class-weight has the class {label}, and the classes are {', '.join(names)}")
    try:
        found = {names[label] if label in names else int(label): float(weight) for label, _, weight in pairs}
    except ValueError:
        found = {}
    if len(found) < len(pairs):
        example = ",".join(f"{name}={1 + 4 * number}" for number, name in enumerate([*names, "0", "1"][:2]))
        raise click.UsageError(
            f"--class-weight is {text}, and needs a weight for each label, such as {example}, or 'balanced'"
        )
    return found


def shows_bars() -> bool:
    """Whether stderr is a terminal that can show a progress bar."""
    stream = sys.stderr
    with suppress(OSError, ValueError, AttributeError):
        return bool(stream.isatty()) and os.get_terminal_size(stream.fileno()).columns > 0
    return False


def _callbacks(options: Training, *, lines: bool) -> Iterator[nm.Callback]:
    """The callbacks that watch training. lines: whether to print progress as lines."""
    if lines:
        yield Lines()
    if options.log is not None:
        yield nm.CSVLog(options.log, append=options.resume is not None)
    if options.checkpoint is not None:
        plain = options.save_to.replace("{", "{{").replace("}", "}}")
        yield nm.Checkpoint(plain, every=options.checkpoint)
    if options.patience is not None:
        yield nm.EarlyStopping(options.patience)


class Lines(nm.Callback):
    """A callback that prints a line on stderr after the first epoch, and about 10 lines in all."""

    def after_epoch(self, run: Any) -> None:
        """Print the losses of the epoch, if it is time for a line."""
        done = run.epoch - run.initial_epoch + 1
        if done == 1 or done == run.epochs or run.stopped or done % max(1, run.epochs // LINES) == 0:
            shown = [name for name in run.names if name not in ("learning_rate", "seconds")]
            line = ", ".join(f"{name.replace('_', ' ')} {run.last(name):.6g}" for name in shown)
            say(f"epoch {run.epoch + 1}/{run.last_epoch + 1}: {line}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C while the model is being saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _finish(model: nm.Model, options: Training, data: Prepared, seconds: float) -> int:
    """Save the trained model, print the result, and return the exit code."""
    kept = keep(model, options.save_to)
    if kept.trouble is not None:
        say(f"error: {kept.trouble}")
    give(f"{kept.place or 'not saved'}: {_result(model, data, seconds)}")
    return 0 if kept.trouble is None else 1


def _broken_off(
    model: nm.Model, options: Training, trouble: BaseException, history: nm.History, *, learnt: bool
) -> int:
    """Save the model after training was interrupted or failed, and say so.

    history: of this training. learnt: whether the parameters changed. Returns 130 for Ctrl-C, and raises any other
    error again.
    """
    epochs, interrupted = len(history), isinstance(trouble, KeyboardInterrupt)
    if not learnt or not _worth_keeping(options, trouble, epochs):
        if not interrupted:
            raise trouble
        say("interrupted before anything was learnt; nothing was saved")
        return 130
    kept = keep(model, options.save_to)
    if kept.trouble is not None:
        say(f"error: {kept.trouble}")
    best = history.best_epoch
    state = "as of the last whole update" if best is None else f"with its best parameters, of epoch {best + 1},"
    said = f"{'interrupted' if interrupted else 'training broke off'} in epoch {history.next_epoch + 1}"
    say(said if kept.trouble else f"{said}; the model {state} is saved: {kept.place}")
    if not interrupted:
        raise trouble
    return 130


def _worth_keeping(options: Training, trouble: BaseException, epochs: int) -> bool:
    """Whether the model should be saved after training ended with an error.

    A model that diverged is saved only if early stopping restored its best parameters, or if it is past the first epoch
    and does not replace the model that training resumed from.
    """
    if not isinstance(trouble.__cause__, nm.TrainingDivergedError):
        return True
    return epochs > 0 and (options.patience is not None or options.save_to != options.resume)


def _result(model: nm.Model, data: Prepared, seconds: float) -> str:
    """The result of training in one line, with the numbers of the model as it is saved. data: those that the accuracy
    is measured on."""
    history = model.history
    if history is None or not len(history):
        return "nothing was learnt"
    figures, best = history.figures(), history.best_epoch
    parts = [f"{len(history)} epoch{'s' * (len(history) != 1)}"]
    parts += ["stopped early"] if history.ended == "early stopping" else []
    parts += [f"best epoch {best + 1}"] if best is not None and history.ended == "early stopping" else []
    shown = [name for name in ("loss", "validation_loss", *history.metrics) if name in figures]
    parts += [f"{name.replace('_', ' ')} {figures[name]:.6g}" for name in shown]
    if has_accuracy(model):
        right = model.accuracy(data.inputs, data.expected, **data.options)
        parts.append(f"{'validation ' if history.validation_loss else ''}accuracy {right:.4f}")
    return ", ".join((*parts, f"{seconds:.1f} s"))
