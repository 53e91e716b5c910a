"""The public class ``Model``. Its methods are also functions of the package."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike, NDArray

from . import prediction, storage, streaming
from .errors import Location, MDLSyntaxError, MDLWarning
from .graph import build_graph, freeze, frozen_names, summary
from .graph.lint import advise
from .host.exclusive import imported
from .language import parse
from .optimizers import Optimizer, optimizer_of
from .options import compile_options, finite_number
from .runtime.network import Network
from .runtime.settings import check_numbers
from .schedule import describe
from .streaming import Stream
from .training import fit, loop
from .training.callbacks import Callback
from .training.history import History

if TYPE_CHECKING:
    from .drawing import Drawing
    from .inspection import Inspection
    from .training.gradcheck import GradientReport

_SHOWN_NODES = 1_000  # nodes at most of a picture that a notebook shows by itself


class Model(Network):
    """A neural network compiled from an MDL text. ``neuromorph.compile`` makes it.

    ``learning_rate`` can be set at any time. ``losses`` holds the per-sample losses of the last ``train``: shape (S,),
    or (N, S) for 4-axis input, NaN for samples that were not reached. ``history`` is the record of the last ``fit``. A
    model may be used from several threads; its calls take turns.
    """

    history: History | None

    def build(self, *, verbosity: int = 0) -> Self:
        """Compile the kernels for training, or load them from disk, and draw parameters; returns the model.

        A second build draws new parameters. With verbosity 1, the time of compiling is printed. Raises MemoryError,
        naming the bytes, for a model that does not fit into this machine's memory.
        """
        return super().build(verbosity=verbosity)

    def train(
        self,
        inputs: ArrayLike,
        expected: ArrayLike,
        verbosity: int = 1,
        *,
        sample_weight: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        carry_state: bool = False,
        layout: str | None = None,
    ) -> float:
        """Learn from samples and return their mean loss.

        inputs (S, B, W_in), expected (S, B, W_out): each window of ``bptt_steps`` samples (the last may be shorter)
        makes one update from the exact gradient of its mean loss. Recurrent state continues from window to window,
        gradients do not. The state starts from zero, or with ``carry_state`` from ``model.state``. A 4-axis input (N,
        S, B, W) is N sequences, each from zero state. sample_weight (S, B) or (N, S, B), finite and >= 0: weights of
        the vectors in the window's mean; 0 leaves a vector out, whatever its expected values are, and a window of
        zeros makes no update. lengths (N,) or (N, B), or (B,) for 3 axes: the number of samples that count in each
        sequence; the samples after them get weight 0. With a cross_entropy loss, expected may be class labels (S, B) or
        (N, S, B). ``model.losses`` then holds the per-sample losses, with NaN for samples that were not reached.

        layout: None reads the axes by their number, as above. "NSW": N sequences first, inputs (N, S, W_in) or a list
        of arrays (S_n, W_in) of any lengths, each from zero state. They are packed into groups of ``batch_size`` lanes,
        in their order, with padding of weight 0. expected: (N, S, W_out), or (N, W_out) for the last step of each
        sequence alone (within its length), or a list. sample_weight: (N,) or (N, S); lengths (N,). "NW": N single
        vectors (N, W_in), packed likewise, with expected (N, W_out); not for models with links back in time. Labels
        lack the last axis, and so may what is expected of an output of width 1. ``model.losses`` has a number for each
        step of a group: (G, S), or (G,) for vectors.

        verbosity: 0 prints nothing, 1 shows a progress bar after half a second, 2 adds a line for every update; all on
        stderr.

        Raises DataError for data that do not fit; ModelStateError before ``build``; TrainingDivergedError, naming the
        sample, when a loss or gradient is not finite any more. The parameters are then those of the last finite window.
        Ctrl-C ends training between windows.
        """
        return loop.train(
            self, inputs, expected, verbosity, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state,
            layout=layout,
        )  # fmt: skip

    def fit(
        self,
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
        layout: str | None = None,
    ) -> History:
        """Train for ``epochs`` passes over the data; returns a ``History`` with the numbers of each epoch.

        inputs, expected, sample_weight, lengths, layout: as in ``train``; every epoch starts from zero state.
        validation: the data that are measured after each epoch: ``(inputs, expected)``, ``(inputs, expected,
        sample_weight)`` or ``(inputs, expected, sample_weight, lengths)``, where the last two may be None; or a
        fraction such as 0.2: then so many single sequences (4 axes, or layout "NSW") or, of a model without links in
        time, single vectors are drawn and held out; they are the same ones in each call, with the same share of each
        class where the loss has classes. Of one sequence (3 axes) a fraction holds out the last part. carry_state: the
        first epoch starts from ``model.state``, each other one from the state at the end of the epoch before. Samples
        that a fraction holds out of one sequence are then measured from the state at the end of the epoch, since they
        continue the sequence; validation data given as arrays still start from zero state. Not with 4 axes. shuffle: a
        new order in every epoch, of single sequences or, of a model without links in time, of single vectors, which are
        mixed over all lanes; ``model.losses`` is then in the order of training. seed: of the shuffling; None draws one
        from the generator that ``seed`` sets, so that one seed gives the same training, bit for bit. callbacks:
        ``EarlyStopping``, ``ReduceOnPlateau``, ``LearningRateSchedule``, ``Checkpoint``, ``CSVLog`` or any
        ``Callback``. metrics: "accuracy" records the accuracy on all data after each epoch, from the state that the
        epoch started from. progress: whether a bar on stderr is shown after half a second.

        If training diverges (TrainingDivergedError) or is interrupted (Ctrl-C), the caller gets the exception.
        ``model.history`` then holds the completed epochs, and ``EarlyStopping`` has restored the best parameters. The
        learning rate remains that of the last epoch. Raises DataError for data that do not fit, and for a shuffle that
        would break the order of a sequence. A refused call changes nothing: neither ``model.history`` nor any file.
        """
        return fit.fit(
            self, inputs, expected, epochs=epochs, validation=validation, shuffle=shuffle, callbacks=callbacks,
            progress=progress, sample_weight=sample_weight, lengths=lengths, metrics=metrics, seed=seed,
            carry_state=carry_state, layout=layout,
        )  # fmt: skip

    def evaluate(
        self,
        inputs: ArrayLike,
        expected: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        carry_state: bool = False,
        layout: str | None = None,
    ) -> float:
        """The mean loss of samples, from zero state, or with ``carry_state`` from ``model.state``; nothing changes.

        Shapes, lengths, layout and class labels are as in ``train``; ``carry_state`` is not allowed with 4 axes. Ctrl-C
        ends this call, like ``train`` and ``predict``, within a twentieth of a second or one window.
        """
        return loop.evaluate(
            self, inputs, expected, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state, layout=layout
        )

    def accuracy(
        self,
        inputs: ArrayLike,
        expected: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        layout: str | None = None,
    ) -> float:
        """The share of right answers, from 0 to 1, from zero state; nothing changes.

        With a cross_entropy loss, a vector is right if its largest component is that of the expected vector (or the
        class label). With binary_cross_entropy, a component is right if it is on the expected side of 0.5. Shapes are
        as in ``train``. Raises DataError for models with other losses.
        """
        return fit.accuracy(self, inputs, expected, sample_weight=sample_weight, lengths=lengths, layout=layout)

    def predict(self, inputs: ArrayLike, *, layout: str | None = None) -> Any:
        """The output for every sample, from zero state: (S, any B, W_in) to (S, B, W_out), or (S, W_in) to (S, W_out).

        A 4-axis input (N, S, B, W_in) is N sequences. With layout "NSW", N sequences (N, S, W_in) give (N, S, W_out); a
        list of arrays (S_n, W_in) gives a list of arrays (S_n, W_out). With "NW", N single vectors (N, W_in) give (N,
        W_out). The model's own recurrent state is neither read nor changed.
        """
        return prediction.predict(self, inputs, layout=layout)

    def stream(self, lanes: int = 1) -> Stream:
        """A stream in zero state, which runs the model one time step a call: ``y = s(x)``.

        x: (W_in,) for one lane, or (lanes, W_in). The results are those of ``predict`` over the same samples, bit for
        bit. ``s(x, out=y)`` writes into your own array. ``s.state`` gets and sets the state, ``s.reset()`` zeroes it
        for all lanes or one, ``s.copy()`` makes a second stream in the same state.

        Streams of one model may run in several threads, each in one thread at a time, also while the model trains. A
        stream uses the weights of a whole update. It gets new ones at the end of each ``train``, ``set_parameters`` and
        ``build``. During training it gets them after each piece of work: a twentieth of a second, or one window if that
        takes longer.

        Raises ModelStateError before ``build``, and in calls after the model is released.
        """
        return streaming.stream(self, lanes)

    def adapt(
        self,
        inputs: ArrayLike,
        expected: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        layout: str | None = None,
    ) -> None:
        """Set the mean and scale of every ``standardize`` node, and of an output with ``restore``, from data.

        Each ``standardize`` node, in text order, gets the mean and the standard deviation of its incoming vectors;
        ``restore`` gets those of ``expected``, if it is given. A scale of 0 becomes 1. inputs, expected, lengths,
        sample_weight, layout: as in ``train``; vectors of weight 0 do not count. Each sequence starts from zero state.
        No other parameter changes.

        Raises ValueError if the model has no such node; DataError for data that do not fit, or if all weights are 0;
        ModelStateError before ``build``. Then nothing is changed.
        """
        imported("neuromorph.training.adapt").adapt(
            self, inputs, expected, lengths=lengths, sample_weight=sample_weight, layout=layout
        )

    def gradients(
        self,
        inputs: ArrayLike,
        expected: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        layout: str | None = None,
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """The loss of the whole input as one window from zero state, and its exact gradients.

        inputs (S, B, W_in), expected, sample_weight, lengths (B,): as in ``train``. With layout "NSW", each sequence is
        a window of its own, and loss and gradients are the means over all. Returns ``(loss, {"<layer>.weight": (fan_in,
        width), "<layer>.bias": (width,)})``; changes nothing. Ctrl-C waits for the end of the window.
        """
        module = imported("neuromorph.training.gradients")
        found: tuple[float, dict[str, NDArray[Any]]] = module.gradients(
            self, inputs, expected, sample_weight=sample_weight, lengths=lengths, layout=layout
        )
        return found

    def gradcheck(
        self, inputs: ArrayLike | None = None, expected: ArrayLike | None = None, **options: Any
    ) -> GradientReport:
        """Compare the kernel's gradients with central differences of its loss, in float64, parameter by parameter.

        inputs (S, B, W_in) and expected (S, B, W_out) default to random numbers. Options: tolerance=1e-5, step=1e-5,
        checks=20, seed=0. At most ``checks`` numbers of each parameter are moved by ``step`` in both directions; a
        number above 1 is moved by ``step`` times its size. The error of a parameter is the largest difference between
        the two gradients, divided by the largest gradient among the numbers checked.

        Beside a bend, such as that of ``relu`` at 0, no central difference is the derivative. A number that disagrees
        is therefore moved again by less, and a parameter at a bend is compared once more with all parameters moved a
        little. Layers that learn through ``spike`` or ``detach`` are left out, and the report names them. The model
        does not change.

        Returns a report; raises GradientError, naming the parameters, if an error is larger than ``tolerance``.
        """
        report: GradientReport = imported("neuromorph.training.gradcheck").gradcheck(self, inputs, expected, **options)
        return report

    def get_parameters(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters: "<layer>.weight" (fan_in, width), "<layer>.bias" (width,), in text order."""
        return super().get_parameters()

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set some or all parameters; numbers and arrays broadcast to the parameter's shape (``{"forget_gate.bias":
        1.0}``).
        """
        super().set_parameters(parameters)

    def reset_state(self) -> None:
        """Set the recurrent state to zeros."""
        super().reset_state()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole model to one safetensors file: its text, arguments, parameters, optimizer slots, recurrent
        state, losses, and the generator that ``seed`` sets.

        Parameters are plain tensors under their names ("<layer>.weight", "<layer>.bias"), for any reader of
        safetensors. The file is on disk when this returns, and whole at any time: a killed process or a full disk
        leaves the file that was there before. Raises StorageError if a number to be saved is not finite, OSError if the
        file can't be written.
        """
        storage.save(self, path)

    def release(self) -> None:
        """Free the model's memory. ``with nm.compile(…) as model:`` frees it at the end of the block."""
        super().release()

    @property
    def tier(self) -> str:
        """What runs the model: "compiled" for kernels of its own, "instant" for the machine."""
        return self.kernels.tier

    def wait_compiled(self, timeout: float | None = None) -> bool:
        """Wait until the model runs by kernels of its own, at most ``timeout`` seconds; whether it does.

        It does not if they can't be compiled in the background, or with ``tier="instant"``. Raises ModelStateError
        before ``build``.
        """
        return super().wait_compiled(timeout)

    def kernel_source(self) -> str:
        """The generated Python source of the model's kernels; with ``tier="instant"``, of those that it would have."""
        return self.kernels.kernel.source

    def kernel_plan(self) -> str:
        """The plan of the model's own kernels as text: how threads divide a window, where weights and buffers stand,
        and every operation in order. Nothing is compiled."""
        return describe(self.kernels.own.plan)

    def summary(self, *, fold: bool = False) -> str:
        """A table of nodes, widths, parameters and links in time, as text. fold: whether each cell is one row."""
        return summary.summary(self.graph, folded=fold)

    def inspect(self) -> Inspection:
        """A report on the model's compiled training kernel and its times: print it, or ``save`` it as a page.

        It has the plan with its buffers, the generated source, the LLVM IR and assembly of the kernel, and for every
        node and every piece of the kernel FLOPs, bytes, vector width, the share of packed instructions, calls of other
        libraries, measured time and share of the machine's peak. ``Inspection`` says how they are found. The model is
        not changed and need not be built. Its kernel is compiled twice more, with a clock and with line numbers, which
        takes as long as building; the results are kept in the cache.

        Raises ModelStateError with JIT off, TrainingDivergedError if the model's loss of random data is not finite.
        """
        found: Inspection = imported("neuromorph.inspection").inspect(self)
        return found

    def draw(
        self, path: str | os.PathLike[str] | None = None, *, format: str | None = None, fold: bool = False
    ) -> Drawing:
        """A picture of the model's graph, which is also written to ``path`` if one is given.

        It shows layers with width and activation, splits, and merges with their operation, from top to bottom. Hollow
        arrows lead from the other node to a merge, dashed arrows are links backward in time, dead nodes are grey.
        ``.svg`` and ``.dot`` are its texts, ``.save(path)`` writes one; notebooks show it. format: "svg" or "dot"; by
        default the ending of the path. fold: whether each cell is one box; a cell stays open if a path leads out of it
        and back into it. Raises ValueError for other formats and endings.
        """
        drawn: Drawing = imported("neuromorph.drawing").draw(self.graph, path, format=format, folded=fold)
        return drawn

    def _repr_svg_(self) -> str | None:
        """The picture for a notebook, or None if the model has too many nodes for one."""
        return self.draw().svg if len(self.graph.nodes) <= _SHOWN_NODES else None


def compile_model(
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
    stacklevel: int = 2,
) -> Model:
    """The model of a text; see ``neuromorph.compile``."""
    rate, chosen = finite_number("learning_rate", learning_rate), optimizer_of(optimizer)
    compile_options(
        batch_size,
        optimizer=chosen.kind,
        bptt_steps=bptt_steps,
        dtype=dtype,
        threads=threads,
        has_time_links=False,
        tier=tier,
    )
    text, filename = text_of(mdl)
    graph = build_graph(parse(text, filename))
    names = frozen_names(graph, frozen)
    graph = freeze(graph, names)
    options = compile_options(
        batch_size, optimizer=chosen.kind, bptt_steps=bptt_steps, dtype=dtype, threads=threads,
        has_time_links=graph.has_time_links, frozen=names, tier=tier,
    )  # fmt: skip
    check_numbers(graph, options.dtype, text, filename)
    model = Model(text, options, rate, clip_norm, graph, chosen)
    for line in (*graph.warnings, *(str(advice.of(text, filename)) for advice in advise(graph, options))):
        warnings.warn(line, MDLWarning, stacklevel=stacklevel + 1)
    return model


def text_of(mdl: Any) -> tuple[str, str | None]:
    """The text, and the name of its file, or None if ``mdl`` is no path."""
    if isinstance(mdl, os.PathLike):
        path = Path(mdl)
        return path.read_bytes().decode("utf-8", errors="surrogateescape"), str(path)
    if not isinstance(mdl, str):
        raise TypeError(f"mdl must be a text (str) or a path object, not {type(mdl).__name__}")
    if mdl.casefold().endswith(".mdl") and mdl.isprintable() and not set("(#") & set(mdl):
        reason = "this looks like the name of a file; to read the file, pass it as a path, pathlib.Path(...)"
        raise MDLSyntaxError(reason, source=mdl, location=Location(1, 1))
    return mdl, None
