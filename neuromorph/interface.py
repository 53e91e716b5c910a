"""The public functions and classes. A function whose first argument is a model is a method of ``Model`` as well.

This module imports what building, training and prediction need. Calls that need more (Numba, pictures, inspection,
gradient checks) import it with ``host.exclusive.imported``, so that no fork comes in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from . import storage
from .data import arrays, labels
from .data.windows import windows as cut
from .errors import (
    CacheWarning,
    CompilerWarning,
    ConversionError,
    DataError,
    DataWarning,
    Diagnostic,
    GradientError,
    MDLError,
    MDLSemanticError,
    MDLSyntaxError,
    MDLWarning,
    ModelStateError,
    NeuromorphError,
    StorageError,
    TrainingDivergedError,
)
from .graph import lint
from .graph.plain import plain_text
from .graph.summary import summary as table_of
from .history import History
from .host.exclusive import imported
from .jit import cache
from .jit.cache import CacheInfo
from .language.given import text_of
from .model import Model, compile_model, graph_of
from .optimizers import CHOICES, Optimizer
from .runtime.seeding import seed
from .streaming import CompiledStep, Learner, Stream
from .sweeps.results import RunResult, SweepResult
from .sweeps.run import Run
from .training.callbacks import Callback, Checkpoint, CSVLog, EarlyStopping, ReduceOnPlateau
from .training.schedules import LearningRateSchedule, StepDecay, WarmupCosine

if TYPE_CHECKING:
    from .drawing import Drawing

__all__ = [
    "Advice",
    "CSVLog",
    "CacheWarning",
    "Callback",
    "Checkpoint",
    "CompiledStep",
    "CompilerWarning",
    "ConversionError",
    "DataError",
    "DataWarning",
    "EarlyStopping",
    "GradientError",
    "History",
    "Learner",
    "LearningRateSchedule",
    "MDLError",
    "MDLSemanticError",
    "MDLSyntaxError",
    "MDLWarning",
    "Model",
    "ModelStateError",
    "NeuromorphError",
    "Optimizer",
    "ReduceOnPlateau",
    "Run",
    "RunResult",
    "StepDecay",
    "StorageError",
    "Stream",
    "SweepResult",
    "TrainingDivergedError",
    "WarmupCosine",
    "accuracy",
    "adapt",
    "batches",
    "build",
    "cache_info",
    "check",
    "clear_cache",
    "compile",
    "draw",
    "evaluate",
    "expand",
    "fit",
    "fit_many",
    "forecast",
    "get_parameters",
    "gradcheck",
    "gradients",
    "inspect",
    "kernel_plan",
    "kernel_program",
    "kernel_source",
    "learner",
    "load",
    "predict",
    "release",
    "reset_state",
    "save",
    "seed",
    "set_parameters",
    "stored_runs",
    "stream",
    "summary",
    "sweep",
    "train",
    "train_many",
    "windows",
]

Advice = Diagnostic


def compile(
    mdl: str | os.PathLike[str],
    batch_size: int,
    learning_rate: float,
    *,
    optimizer: str | Optimizer = "sgd",
    bptt_steps: int | None = None,
    clip_norm: float | None = None,
    dtype: str = "float32",
    threads: int | None = None,
    frozen: str | Iterable[str] = (),
    tier: str = "auto",
) -> Model:
    """The checked model of a text. No kernel is compiled and no parameters are drawn yet.

    mdl: the text, or a path object of a file that holds it. batch_size: lanes of a training sample, >= 1.
    learning_rate: finite, >= 0, and, like all other numbers, not larger than dtype can hold. optimizer: "sgd",
    "rmsprop", "adam", "adamw", or an ``SGD``, ``RMSProp``, ``Adam`` or ``AdamW`` with numbers of your own. bptt_steps:
    samples of a window, over which one exact gradient is taken; None means 1 for a model without links backward in
    time, else 16 for one long sequence (3 axes), and for several sequences (4 axes, or layout "NSW") the whole
    sequence, up to 1,024 steps. clip_norm: an upper bound of the norm of all gradients together. dtype: "float32" or
    "float64". threads: the most threads. frozen: names, or patterns such as "h.*", of nodes whose parameters never
    learn; no gradients are computed for them. tier: "compiled" compiles kernels for the model in ``build``; "instant"
    compiles nothing for it: a general kernel, the machine, runs it at once, and somewhat slower. "auto"
    takes kernels that are in the cache, and otherwise begins with the machine while a process in the background
    compiles the model's own kernels, which take over between two windows; or what the environment variable
    NEUROMORPH_TIER says. All give the same bits, but where several threads divide the columns of layers.

    Raises MDLSyntaxError or MDLSemanticError, with line and column, for a wrong text; ValueError or TypeError, naming
    the argument, for a wrong argument. Warns (MDLWarning) of dead nodes, unequal widths and ignored numbers, and of
    likely mistakes: a cross-entropy without softmax, a softmax inside a loop, layers that can't learn, a product with
    the step before that stays at zero.
    """
    return compile_model(
        mdl, batch_size, learning_rate, optimizer=optimizer, bptt_steps=bptt_steps, clip_norm=clip_norm, dtype=dtype,
        threads=threads, frozen=frozen, tier=tier,
    )  # fmt: skip


def check(mdl: str | os.PathLike[str], *, bptt_steps: int | None = None) -> tuple[Advice, ...]:
    """The advice that ``compile`` would give as warnings, in text order; an empty tuple if there is none.

    mdl, bptt_steps: as in ``compile``. Each ``Advice`` has ``line``, ``column``, ``message`` and the ``names`` of the
    nodes concerned; ``str(advice)`` shows the place with a caret. Raises the errors of ``compile``.
    """
    return lint.check(*text_of(mdl), bptt_steps=bptt_steps)


def expand(mdl: str | os.PathLike[str]) -> str:
    """The canonical text of a model without cells: the nodes of each cell are put in the place of its use.

    It has no definitions, and all widths of layers are numbers. It describes the same model: parameters have the same
    names, and one seed draws the same numbers. mdl: as in ``compile``. Raises the errors of ``compile`` for the text,
    and MDLSemanticError if the result is larger than 1 MiB.
    """
    return plain_text(*text_of(mdl))


def train_many(
    models: Iterable[Model],
    inputs: Any,
    expected: Any,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    carry_state: bool = False,
    layout: str | None = None,
    missing: str = "error",
) -> list[float]:
    """Train many built models at once, spread over the processors; their mean losses, in order.

    models: each once; they may have the same text or different ones. inputs, expected, sample_weight, lengths: as in
    ``train`` if they are for all models; or, each by itself, a list or tuple with one for each model, in order. Lists
    are told apart by axes: inputs are one for each where an item has the axes of a whole call, 3 or 4 ("NSW": 3, or a
    list of sequences; "NW": 2), whatever holds the numbers: arrays, tensors or nested lists. So give inputs of 4 axes
    for all as an array. The others are one for each where there are as many items as models and each fits the inputs of
    its model. If a list may also be the rows of one for all, it is one for each if inputs are; else it is an error
    (DataError), as is a list for more or fewer models. carry_state, layout, missing: as in ``train``, the same for all.

    Each model is trained by one thread, and the bits are those of ``train``. Raises what ``train`` raises, when all
    other models are done: a note of the error says which model it was, further notes which others failed, and its
    ``results`` has what the others gave, with None for those that failed. Ctrl-C ends training of all models after the
    windows that are under way; the KeyboardInterrupt has ``results`` too.
    """
    return imported("neuromorph.training.many").train_many(  # type: ignore[no-any-return]
        models, inputs, expected, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state, layout=layout,
        missing=missing,
    )  # fmt: skip


def fit_many(models: Iterable[Model], inputs: Any, expected: Any, *, epochs: int, **options: Any) -> list[History]:
    """Fit many built models at once, spread over the processors; their histories, in order.

    models, inputs, expected, sample_weight, lengths: as in ``train_many``. Without ``expected``, inputs are batches as
    in ``fit``, for all, or a list with those of each model: functions, loaders, or lists of tuples. validation: as in
    ``fit``, for all; a list with a tuple ``(inputs, expected, …)``, a fraction or None for each model; or a tuple of
    which each part may be one for each, as inputs and expected may. epochs and the other options: as in ``fit``, the
    same for all. callbacks: each model gets copies of its own, such as of ``EarlyStopping``. No bar is shown. Errors
    and Ctrl-C: as in ``train_many``.
    """
    return imported("neuromorph.training.many").fit_many(  # type: ignore[no-any-return]
        models, inputs, expected, epochs=epochs, **options
    )  # fmt: skip


def sweep(
    runs: Iterable[Run],
    data: Any,
    *,
    score: str | Callable[[Model, Any], Any] = "val_loss",
    maximize: bool | None = None,
    workers: int | None = None,
    client: Any = None,
    store: str | os.PathLike[str] | None = None,
    rungs: Sequence[int] | None = None,
    keep: Callable[[list[RunResult]], Iterable[RunResult]] | None = None,
    save_models: bool | str = False,
    retry_failed: bool = False,
    verbosity: int = 1,
) -> SweepResult:
    """Train many runs on processes of this machine, or on a Dask cluster; their results, in the order of the runs.

    data: ``(inputs, expected)``, or a dict of the data arguments of ``fit``: inputs, expected, validation,
    sample_weight, lengths, layout, carry_state, missing. Processes map arrays and do not copy them. score: a number of
    the history, such as "val_loss", "loss" or "val_accuracy" ("val_" means "validation_"), or a function ``f(model,
    data) -> float`` of a module or program, where ``data`` is that dict. maximize: whether a larger score is better;
    None means yes for accuracies and no for all else. workers: processes, each with models of one thread; None means
    one for each processor, 0 this process alone. client: a ``distributed.Client``, in place of workers.

    store: a file that gets each result as it ends, for many sweeps; None keeps results in memory. A sweep that was
    broken off goes on where it stopped, and two sweeps at once on one store share the runs. There a function is known
    by its name, so it must be defined with ``def`` in a module or program. A run whose training fails (it diverges,
    needs too much memory, or its process is killed) is tried once more; then it is a result with an ``error``.
    retry_failed: True tries runs again that have failed in an earlier sweep of the store.

    rungs: numbers of epochs such as (2, 6, 18), for successive halving: all runs train for 2 epochs; the best third
    goes on to 6, and the best third of these to 18, so that each rung has about as many epochs in all as the first
    one. A run that goes through all rungs gives the same bits as without rungs. The last rung is the budget of each
    run. keep: a function that gets the results at a rung, and gives those that go on, in place of the best.

    save_models: True keeps the trained model of each run that is done, "best" that of the best one;
    ``result.model()`` gives it. Runs that the store has without it are trained again. verbosity: 0 shows nothing, 1 a
    bar with the best score so far and the time left, 2 a line for each run too. A run without ``tier`` has kernels of
    its own compiled if it lasts for 5 seconds.

    Raises TypeError, ValueError, DataError or MDLError for wrong arguments before anything is trained, StorageError for
    a file that is no store. If the store's disk is full, no new run begins; if it stays so until all others end, the
    sweep raises an OSError whose ``results`` has what is known. Ctrl-C ends all processes; the KeyboardInterrupt has
    ``results`` too.
    """
    return imported("neuromorph.sweeps.sweep").sweep(  # type: ignore[no-any-return]
        runs, data, score=score, maximize=maximize, workers=workers, client=client, store=store, rungs=rungs, keep=keep,
        save_models=save_models, retry_failed=retry_failed, verbosity=verbosity,
    )  # fmt: skip


def stored_runs(store: str | os.PathLike[str], *, score: str | None = None) -> SweepResult:
    """The results in a store that ``sweep`` has written, also while a sweep writes it, in the order of their addition.

    score: the name of the score, where runs of the store have several. Raises ValueError if that is not clear,
    StorageError for a file that is no store, FileNotFoundError if there is none.
    """
    return imported("neuromorph.sweeps.stored").stored_runs(store, score=score)  # type: ignore[no-any-return]


def batches(
    inputs: ArrayLike, expected: ArrayLike, batch_size: int | Model, *, classes: int | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """N vectors (N, W) as whole batches: ``(S, B, W_in), (S, B, W_out), sample_weight (S, B)``.

    The last batch is filled up with zeros of weight 0. With ``classes=``, integer labels of shape (N,) become one-hot
    vectors. Vector n becomes sample n // B, lane n % B.

    batch_size: a number, and then the arrays are float32; or the model that they are for, which gives the number, the
    type of the arrays, and the number of classes of labels. ``layout="NW"`` of ``train`` and the others does the same
    without arrays in between.

    This is for models without links back in time: vectors that follow one another get into different lanes. A recurrent
    model is refused (DataError): give its sequences with ``layout="NSW"``, or cut one long series by ``windows``.
    """
    if not isinstance(batch_size, Model):
        return arrays.batches(inputs, expected, batch_size, classes=classes)
    return labels.batches_for(batch_size.needs, inputs, expected, classes)


def windows(
    series: ArrayLike, length: int, *, horizon: int = 1, step: int = 1, targets: Any = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Windows of one long series, and what follows each: ``inputs (N, length, W), expected (N, horizon, W_t)``.

    For ``layout="NSW"``: a model whose output is horizon · W_t wide forecasts from the last step of each window the
    ``horizon`` steps after it, one after the other. series: (T, W), or (T,) for single numbers. step: from the start of
    a window to that of the next one. targets: the columns that are forecast, as a number, a list of numbers or a slice;
    or another series (T, W_t); None means all columns. N = (T - length - horizon) // step + 1.

    Both are views of the series, which can't be written to: they take no memory. (A list of columns is copied once.)
    Raises DataError for a series that is too short, and for arguments that do not fit.

    >>> inputs, expected = windows([0, 1, 2, 3, 4, 5], 3, horizon=2)
    >>> inputs[..., 0].tolist(), expected[..., 0].tolist()
    ([[0, 1, 2], [1, 2, 3]], [[3, 4], [4, 5]])
    """
    return cut(series, length, horizon=horizon, step=step, targets=targets)


def load(path: str | os.PathLike[str], *, restore_random: bool = True, threads: int | None = None) -> Model:
    """The model in a file that ``save`` wrote. Training it further gives the same bits as without saving.

    Kernels are compiled when first needed. The random generator that ``seed`` sets gets the state that it had when the
    model was saved, so that a ``build`` or a shuffling ``fit`` after loading is the same too. With
    ``restore_random=False`` it keeps its state. threads: the most threads, in place of the number in the file; another
    number of threads may round in another way. Files need not be trusted: nothing in them is executed. Raises
    StorageError for a file that is truncated, corrupt, foreign or of a newer version, OSError if it can't be read.
    Nothing is changed then.
    """
    return storage.load(path, Model, restore_random=restore_random, threads=threads)


def summary(model: Model | str | os.PathLike[str], *, fold: bool = False) -> str:
    """A table of nodes, widths, parameters and links in time, as text. fold: whether each cell is one row.

    model: a model, or a text or path as for ``compile``, whose errors are raised.
    """
    return table_of(graph_of(model), folded=fold)


def draw(
    model: Model | str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    fold: bool = False,
) -> Drawing:
    """A picture of a model's graph; see ``Model.draw``.

    model: a model, or a text or path as for ``compile``, whose errors are raised.
    """
    drawn: Drawing = imported("neuromorph.drawing").draw(graph_of(model), path, format=format, folded=fold)
    return drawn


def cache_info() -> CacheInfo:
    """The folder of the disk cache of kernels, the number of its entries, their bytes, and the limit in bytes."""
    return cache.cache_info()


def clear_cache() -> int:
    """Remove all cached kernels; the number of entries removed. Raises ValueError if the folder holds anything else."""
    return cache.clear_cache()


# Methods of ``Model`` as functions.
build = Model.build
train = Model.train
fit = Model.fit
evaluate = Model.evaluate
accuracy = Model.accuracy
predict = Model.predict
forecast = Model.forecast
stream = Model.stream
learner = Model.learner
save = Model.save
adapt = Model.adapt
gradients = Model.gradients
gradcheck = Model.gradcheck
get_parameters = Model.get_parameters
set_parameters = Model.set_parameters
reset_state = Model.reset_state
release = Model.release
kernel_plan = Model.kernel_plan
kernel_program = Model.kernel_program
kernel_source = Model.kernel_source
inspect = Model.inspect

# The public names of the package: those above, and the optimizers.
PUBLIC = {name: globals()[name] for name in __all__} | {kind.__name__: kind for kind in CHOICES.values()}
