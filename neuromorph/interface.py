"""The public functions and classes. A function takes the model first, and is a method of ``Model`` as well.

This module imports the whole package, but for what needs Numba: calls import nothing, so that no fork comes in between.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike, NDArray

from . import advice, cache, data, storage
from .advice import Advice
from .cache import CacheInfo
from .callbacks import Callback, Checkpoint, CSVLog, EarlyStopping, LearningRateSchedule, ReduceOnPlateau
from .derivatives import GradientReport
from .drawing import Drawing
from .errors import (
    CacheWarning,
    DataError,
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
from .fitting import History
from .model import Model, compile_model, text_of
from .optimizers import SGD, Adam, AdamW, Optimizer, RMSProp
from .parameters import seed
from .streaming import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .inspection import Inspection

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Advice",
    "CSVLog",
    "CacheWarning",
    "Callback",
    "Checkpoint",
    "DataError",
    "EarlyStopping",
    "GradientError",
    "History",
    "LearningRateSchedule",
    "MDLError",
    "MDLSemanticError",
    "MDLSyntaxError",
    "MDLWarning",
    "Model",
    "ModelStateError",
    "NeuromorphError",
    "Optimizer",
    "RMSProp",
    "ReduceOnPlateau",
    "StorageError",
    "Stream",
    "TrainingDivergedError",
    "accuracy",
    "batches",
    "build",
    "cache_info",
    "check",
    "clear_cache",
    "compile",
    "draw",
    "evaluate",
    "fit",
    "get_parameters",
    "gradcheck",
    "gradients",
    "inspect",
    "kernel_source",
    "load",
    "predict",
    "release",
    "reset_state",
    "save",
    "seed",
    "set_parameters",
    "stream",
    "summary",
    "train",
]


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
) -> Model:
    """A text as a checked model; nothing is compiled or drawn yet.

    mdl: the text, or a path object of a file that holds it. batch_size: lanes of a training sample, >= 1.
    learning_rate: finite, >= 0, and no larger than dtype can hold, as all other numbers. optimizer: "sgd", "rmsprop",
    "adam", "adamw", or ``SGD``, ``RMSProp``, ``Adam`` or ``AdamW`` with numbers of one's own. bptt_steps: samples of a
    window, over which one exact gradient is taken; None is 16 for a model with links backward in time, else 1.
    clip_norm: an upper bound of the norm of all gradients together. dtype: "float32" or "float64". threads: at most so
    many.

    Raises MDLSyntaxError or MDLSemanticError, with line and column, for a wrong text; ValueError or TypeError, naming
    the argument, for a wrong argument. Warns (MDLWarning) of dead nodes, unequal widths and ignored numbers, and of
    likely mistakes: a cross-entropy without softmax, a softmax inside a loop, layers that can't learn, a product with
    the step before that stays at zero.
    """
    return compile_model(
        mdl, batch_size, learning_rate, optimizer=optimizer, bptt_steps=bptt_steps, clip_norm=clip_norm, dtype=dtype,
        threads=threads,
    )  # fmt: skip


def check(mdl: str | os.PathLike[str], *, bptt_steps: int | None = None) -> tuple[Advice, ...]:
    """What ``compile`` would warn of, in text order, without warning; an empty tuple for a text without blemish.

    mdl, bptt_steps: as in ``compile``. Each ``Advice`` has ``line``, ``column``, ``message`` and the ``names`` of the
    nodes that it is about; ``str(advice)`` shows the place with a caret. Raises what ``compile`` raises.
    """
    return advice.check(*text_of(mdl), bptt_steps=bptt_steps)


def build(model: Model, *, verbosity: int = 0) -> Model:
    """Compile the kernels for training, or find them on disk, and draw parameters; returns the model.

    A second build draws new parameters. verbosity 1 says how long compiling took. Raises MemoryError, naming the
    bytes, for a model that does not fit into this machine's memory.
    """
    return model.build(verbosity=verbosity)


def train(
    model: Model,
    inputs: ArrayLike,
    expected: ArrayLike,
    verbosity: int = 1,
    *,
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    carry_state: bool = False,
) -> float:
    """Learn from samples and return their mean loss.

    inputs (S, B, W_in), expected (S, B, W_out): one update for each window of ``bptt_steps`` samples (the last may be
    shorter) from the exact gradient of the window's mean loss. Recurrent state flows on from window to window,
    gradients stop there; it starts from zero unless ``carry_state``. A 4-axis input (N, S, B, W) is N sequences, each
    from zero state. sample_weight (S, B) or (N, S, B), finite and >= 0: a weighted mean over the window; 0 leaves a
    vector out, whatever is expected of it, and a window of zeros makes no update. lengths (N,) or (N, B), or (B,) for
    3 axes: of sequences of S samples only so many count, as if the others had weight 0. With a cross_entropy loss,
    expected may be class labels (S, B) or (N, S, B). ``model.losses`` then holds the per-sample losses; where training
    ended before, those of samples in windows that it did not reach are NaN.

    verbosity 0 is silent, 1 shows a progress bar after half a second, 2 adds a line for every update; all on stderr.

    Raises DataError for data that do not fit; ModelStateError before ``build``; TrainingDivergedError, naming the
    sample, when a loss or gradient is no longer finite, with the parameters of the last finite window. Ctrl-C ends
    training between windows.
    """
    return model.train(
        inputs, expected, verbosity, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state
    )


def fit(
    model: Model,
    inputs: ArrayLike,
    expected: ArrayLike,
    *,
    epochs: int,
    validation: Any = None,
    shuffle: bool = False,
    callbacks: Callback | Iterable[Callback] = (),
    progress: bool = True,
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    metrics: str | Iterable[str] = (),
    seed: int | None = None,
    carry_state: bool = False,
) -> History:
    """Train for ``epochs`` passes over the data; a ``History`` of what happened in each.

    inputs, expected, sample_weight, lengths: as in ``train``; every epoch starts from zero state. validation: what is
    measured after each epoch: ``(inputs, expected)``, with ``sample_weight`` and then ``lengths`` behind them where
    wanted (None for neither), or a fraction such as 0.2, which holds out the last part of the data, whole sequences of
    4 axes or samples of 3. carry_state: the first epoch starts from ``model.state``, each other one from the state at
    the end of the epoch before; what a fraction holds out of one sequence is then measured from the state at the end of
    the epoch, as it follows on the data, and validation data of their own still from zero state. Not with 4 axes.
    shuffle: a new order every
    epoch, of whole sequences for 4 axes, of samples for 3 axes where nothing is recurrent. seed: of the shuffling; None
    draws one from the generator that ``seed`` sets, so that one seed gives one training, bit for bit. callbacks:
    ``EarlyStopping``, ``ReduceOnPlateau``, ``LearningRateSchedule``, ``Checkpoint``, ``CSVLog`` or any ``Callback``.
    metrics: "accuracy" records it after each epoch, of all data, from the state that the epoch started from.
    progress: a bar on stderr, after half a second.

    When training diverges (TrainingDivergedError) or is interrupted (Ctrl-C), the exception goes on to the caller;
    ``model.history`` then holds the epochs that were completed, and ``EarlyStopping`` has restored the best parameters.
    The learning rate stays what the last epoch used. Raises DataError for data that do not fit, and for a shuffle that
    would tear a sequence apart. What is refused changes nothing: neither ``model.history`` nor any file.
    """
    return model.fit(
        inputs, expected, epochs=epochs, validation=validation, shuffle=shuffle, callbacks=callbacks,
        progress=progress, sample_weight=sample_weight, lengths=lengths, metrics=metrics, seed=seed,
        carry_state=carry_state,
    )  # fmt: skip


def batches(
    inputs: ArrayLike, expected: ArrayLike, batch_size: int, *, classes: int | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """N vectors (N, W) as whole batches: ``(S, B, W_in), (S, B, W_out), sample_weight (S, B)``.

    What is missing in the last batch is padded with zeros of weight 0. Integer labels of shape (N,) become one-hot
    vectors with ``classes=``. Vector n stands at sample n // B, lane n % B.
    """
    return data.batches(inputs, expected, batch_size, classes=classes)


def evaluate(
    model: Model,
    inputs: ArrayLike,
    expected: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    carry_state: bool = False,
) -> float:
    """The mean loss of samples, from zero state, or with ``carry_state`` from ``model.state``; nothing changes.

    Shapes, lengths and class labels as in ``train``; ``carry_state`` not with 4 axes. Ctrl-C ends it, as it does
    ``train`` and ``predict``, within a twentieth of a second or one window.
    """
    return model.evaluate(inputs, expected, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state)


def accuracy(
    model: Model,
    inputs: ArrayLike,
    expected: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
) -> float:
    """The share of vectors that are told right, from zero state; nothing changes.

    With a cross_entropy loss: those whose largest component is where the expected one has its own (or at the class
    label); with binary_cross_entropy: the share of components on the expected side of 0.5. Shapes as in ``train``.
    Raises DataError for models with other losses.
    """
    return model.accuracy(inputs, expected, sample_weight=sample_weight, lengths=lengths)


def predict(model: Model, inputs: ArrayLike) -> NDArray[Any]:
    """The output for every sample, from zero state: (S, any B, W_in) to (S, B, W_out), or (S, W_in) to (S, W_out).

    A 4-axis input (N, S, B, W_in) is N sequences. Never touches the state of training.
    """
    return model.predict(inputs)


def stream(model: Model, lanes: int = 1) -> Stream:
    """The model run one time step a call, in zero state: ``y = s(x)``, x (W_in,) for one lane or (lanes, W_in).

    The results are those of ``predict`` over the same samples, bit for bit. ``s(x, out=y)`` writes into an array of
    one's own; ``s.state`` gets and sets the state, ``s.reset()`` zeroes it, all lanes or one; ``s.copy()`` branches.

    Streams of one model may run in several threads, each in one thread at a time, also while the model trains. A
    stream uses the weights after the last whole update that was handed to it: those of the end of each ``train``, each
    ``set_parameters`` or ``build``, and while training goes on, after each piece of it, a twentieth of a second of
    windows or one window, whichever is longer.

    Raises ModelStateError before ``build``, and in calls once the model is released.
    """
    return model.stream(lanes)


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write all of a model to one safetensors file: its text, arguments, parameters, what the optimizer remembers,
    recurrent state, losses, and the generator that ``seed`` sets.

    Parameters are plain tensors under their names ("<layer>.weight", "<layer>.bias"), for any reader of safetensors.
    The file is on disk when this returns, and whole at any time: a kill or a full disk leaves what was there before.
    Raises StorageError where a number to be saved is not finite, OSError where the file can't be written.
    """
    model.save(path)


def load(path: str | os.PathLike[str], *, restore_random: bool = True) -> Model:
    """A model from a file that ``save`` wrote. It trains on bit for bit as if it had never been saved.

    Kernels compile when first needed. The generator that ``seed`` sets goes on from where it was when the model was
    saved, so that a ``build`` or a shuffling ``fit`` that follows is the same too; ``restore_random=False`` leaves it
    alone. Files need not be trusted: nothing in them is executed. Raises StorageError for a file that is truncated,
    corrupt, foreign or of a newer version; OSError where it can't be read. Nothing is changed then.
    """
    return storage.load(path, restore_random=restore_random)


def gradients(
    model: Model,
    inputs: ArrayLike,
    expected: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
) -> tuple[float, dict[str, NDArray[Any]]]:
    """The loss of the whole input as one window from zero state, and its exact gradient by every parameter.

    inputs (S, B, W_in), expected, sample_weight, lengths (B,): as in ``train``. Returns ``(loss, {"<layer>.weight":
    (fan_in, width), "<layer>.bias": (width,)})``; changes nothing. Ctrl-C waits for the end of the window.
    """
    return model.gradients(inputs, expected, sample_weight=sample_weight, lengths=lengths)


def gradcheck(
    model: Model, inputs: ArrayLike | None = None, expected: ArrayLike | None = None, **options: Any
) -> GradientReport:
    """The kernel's gradients against central differences in float64, layer by layer.

    Options: tolerance=1e-5, step=1e-5, checks=20 numbers of each parameter, seed=0. Returns a report; raises
    GradientError, naming the parameters, where they disagree.
    """
    return model.gradcheck(inputs, expected, **options)


def get_parameters(model: Model) -> dict[str, NDArray[Any]]:
    """Copies of all parameters: "<layer>.weight" (fan_in, width), "<layer>.bias" (width,), in text order."""
    return model.get_parameters()


def set_parameters(model: Model, parameters: dict[str, Any]) -> None:
    """Set some or all parameters; numbers and arrays broadcast to the parameter's shape (``{"forget_gate.bias":
    1.0}``)."""
    model.set_parameters(parameters)


def reset_state(model: Model) -> None:
    """Recurrent state back to zeros."""
    model.reset_state()


def release(model: Model) -> None:
    """Free the model's memory; ``with nm.compile(…) as model:`` does it too."""
    model.release()


def kernel_source(model: Model) -> str:
    """The generated Python source of the model's kernels."""
    return model.kernel_source()


def inspect(model: Model) -> Inspection:
    """What the model's compiled training kernel is, and where its time goes: print it, or ``save`` it as a page.

    The plan with its buffers, the generated source, the LLVM IR and assembly of the very kernel, and for every node and
    every piece of the kernel FLOPs, bytes, vector width, the share of packed instructions, calls of other libraries,
    measured time and share of the machine's peak. ``Inspection`` says how they are found. The model is not changed and
    need not be built; its kernel is compiled twice more, with a clock and with line numbers, which takes as long as
    building and is kept in the cache.

    Raises ModelStateError with JIT off, TrainingDivergedError where the model's loss of random data is not finite.
    """
    return model.inspect()


def summary(model: Model) -> str:
    """A table of nodes, widths, parameters and links in time."""
    return model.summary()


def draw(model: Model, path: str | os.PathLike[str] | None = None, *, format: str | None = None) -> Drawing:
    """A picture of the model's graph, written to ``path`` where one is given.

    Layers with width and activation, splits, merges with their operation, from top to bottom; hollow arrows for what a
    merge takes in, dashed ones for links backward in time; dead nodes grey. ``.svg`` and ``.dot`` are its texts,
    ``.save(path)`` writes one; notebooks show it. format: "svg" or "dot"; by default what the path ends with.
    Raises ValueError for other formats and endings.
    """
    return model.draw(path, format=format)


def cache_info() -> CacheInfo:
    """Where the disk cache of kernels is, its entries, bytes and limit."""
    return cache.cache_info()


def clear_cache() -> int:
    """Remove all cached kernels; the number of entries removed. Refuses a folder that holds anything else."""
    return cache.clear_cache()
