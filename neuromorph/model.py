"""The public class ``Model``. Its methods are also functions of the package."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike, NDArray

from . import prediction, storage, streaming
from .errors import MDLWarning
from .graph import Graph, build_graph, freeze, frozen_names, summary
from .graph.lint import advise
from .graph.ranges import check_numbers
from .history import History
from .host.exclusive import imported
from .language import parse
from .language.given import text_of
from .optimizers import Optimizer, optimizer_of
from .options import compile_options, finite_number
from .runtime.network import Network
from .streaming import Learner, Stream
from .training import fit, loop
from .training.callbacks import Callback

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

    def build(self, *, verbosity: int = 0, seed: int | None = None) -> Self:
        """Get the kernels for training ready (see ``tier`` in ``compile``), and draw parameters; returns the model.

        A second build draws new parameters. With verbosity 1, what is compiled is printed, and also when kernels of the
        model's own take over. seed: of the numbers that this build draws, whatever other threads draw; they are those
        of a first build after ``neuromorph.seed`` with that number. None takes the next numbers of the generator that
        ``neuromorph.seed`` sets. Raises MemoryError, naming the bytes, for a model that does not fit into this
        machine's memory.
        """
        return super().build(verbosity=verbosity, seed=seed)

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
        missing: str = "error",
    ) -> float:
        """Learn from samples and return their mean loss.

        inputs (S, B, W_in), expected (S, B, W_out): each window of ``bptt_steps`` samples (the last may be shorter)
        makes one update from the exact gradient of its mean loss. Recurrent state continues from window to window,
        gradients do not. The state starts from zero, or with ``carry_state`` from ``model.state``. A 4-axis input (N,
        S, B, W) is N sequences, each from zero state. sample_weight (S, B) or (N, S, B), finite and >= 0: weights of
        the vectors in the window's mean; 0 leaves a vector out, whatever its expected values are, and a window of
        zeros makes no update. lengths (N,) or (N, B), or (B,) for 3 axes: the number of samples that count in each
        sequence; the samples after them get weight 0. With a cross_entropy loss, expected may be class labels (S, B) or
        (N, S, B). missing: "skip" leaves out each component of ``expected`` that is NaN, from loss and gradient; all
        known numbers of a window then count the same, but for the weights of their vectors. A vector without any is
        left out, and so is a label that is NaN; a cross_entropy needs whole vectors. The first vector that is known in
        part compiles a kernel for that. ``model.losses`` then holds the per-sample losses, with NaN for samples that
        were not reached.

        layout: None reads the axes as above. "NSW": N sequences first, inputs (N, S, W_in) or a list of arrays (S_n,
        W_in), each from zero state, packed in their order into groups of ``batch_size`` lanes, with padding of weight
        0. expected: (N, S, W_out), or (N, W_out) for the last step of each alone, or a list; sample_weight (N,) or (N,
        S); lengths (N,). "NW": N single vectors (N, W_in), expected (N, W_out), for models without links in time.
        Labels, and what is expected of an output of width 1, may lack the last axis. ``model.losses`` has a number for
        each step of a group.

        verbosity: 0 prints nothing, 1 shows a progress bar after half a second and says when kernels of the model's own
        take over (see ``tier`` in ``compile``), 2 adds a line for every update; all on stderr.

        Raises DataError for data that do not fit; ModelStateError before ``build``; TrainingDivergedError, naming the
        sample, when a loss or gradient is not finite any more. The parameters are then those of the last finite window.
        Ctrl-C ends training between windows.
        """
        return loop.train(
            self, inputs, expected, verbosity, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state,
            layout=layout, missing=missing,
        )  # fmt: skip

    def fit(
        self,
        inputs: Any,
        expected: ArrayLike | None = None,
        *,
        epochs: int,
        validation: Any = None,
        shuffle: bool = False,
        callbacks: Callback | Iterable[Callback] = (),
        progress: bool = True,
        sample_weight: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        metrics: str | Callable[[Any, Any], float] | Iterable[str | Callable[[Any, Any], float]] = (),
        seed: int | None = None,
        carry_state: bool = False,
        layout: str | None = None,
        class_weight: Mapping[int, float] | str | None = None,
        missing: str = "error",
        initial_epoch: int = 0,
    ) -> History:
        """Train for ``epochs`` passes over the data; returns a ``History`` with the numbers of each epoch.

        inputs, expected, sample_weight, lengths, layout, missing: as in ``train``; every epoch starts from zero state.
        Without ``expected``, inputs is an iterable or a sequence of batches, or a function that makes one, which epochs
        read anew, none ahead: (inputs, expected[, sample_weight[, lengths]]), each as for ``train``. validation: the
        data that are measured after each epoch, in that form, where the last two may be None; or a fraction such as
        0.2: so many single sequences (4 axes, or layout "NSW") or, of a model without links in time, single vectors
        are drawn and held out, the same ones in each call, with each class's share where the loss has classes; of one
        sequence (3 axes) it is the last part. carry_state: the first epoch starts from ``model.state``, each other one,
        and each batch, from the state at the end of the one before, and so does the part of one sequence that is held
        out; other validation data start from zero. Not with 4 axes. shuffle: a new order of these single sequences or
        vectors in every epoch, over all lanes, which ``model.losses`` has too. seed: of it; None draws one.

        callbacks: ``EarlyStopping``, ``LearningRateSchedule``, ``Checkpoint`` or any ``Callback``. metrics: what is
        measured beside the loss after each epoch, on all data, from the state that the epoch started from, and on those
        for validation; of batches on those for validation only: "accuracy", "rmse", names of losses, or functions
        ``f(expected, result) -> float`` of all vectors that count, (n, W_out) each. class_weight: weights by label, for
        the loss only, else 1; of arrays also "balanced". initial_epoch: the number of the first epoch, for callbacks
        and history; ``model.history.next_epoch`` goes on, in a loaded model too; so do orders with a ``seed``.

        If training diverges (TrainingDivergedError) or is interrupted (Ctrl-C), the caller gets the exception.
        ``model.history`` then holds the completed epochs, and ``EarlyStopping`` has restored the best parameters.
        Raises DataError for data that do not fit. A refused call changes nothing: neither ``model.history`` nor files.
        """
        return fit.fit(
            self, inputs, expected, epochs=epochs, validation=validation, shuffle=shuffle, callbacks=callbacks,
            progress=progress, sample_weight=sample_weight, lengths=lengths, metrics=metrics, seed=seed,
            carry_state=carry_state, layout=layout, class_weight=class_weight, missing=missing,
            initial_epoch=initial_epoch,
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
        missing: str = "error",
    ) -> float:
        """The mean loss of samples, from zero state, or with ``carry_state`` from ``model.state``; nothing changes.

        Shapes, lengths, layout, labels and ``missing`` are as in ``train``; ``carry_state`` is not allowed with 4 axes.
        Ctrl-C ends this call, like ``train`` and ``predict``, within a twentieth of a second or one window.
        """
        return loop.evaluate(
            self, inputs, expected, sample_weight=sample_weight, lengths=lengths, carry_state=carry_state,
            layout=layout, missing=missing,
        )  # fmt: skip

    def accuracy(
        self,
        inputs: ArrayLike,
        expected: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        layout: str | None = None,
        missing: str = "error",
    ) -> float:
        """The share of right answers, from 0 to 1, from zero state; nothing changes.

        With a cross_entropy loss, a vector is right if its largest component is that of the expected vector (or the
        class label). With binary_cross_entropy, a component is right if it is on the expected side of 0.5. Shapes
        and ``missing`` are as in ``train``. Raises DataError for models with other losses.
        """
        return fit.accuracy(
            self, inputs, expected, sample_weight=sample_weight, lengths=lengths, layout=layout, missing=missing
        )

    def predict(
        self,
        inputs: ArrayLike,
        *,
        layout: str | None = None,
        nodes: str | Iterable[str] | None = None,
        state: Mapping[str, Any] | None = None,
        return_state: bool = False,
    ) -> Any:
        """The output for every sample, from zero state: (S, any B, W_in) to (S, B, W_out), or (S, W_in) to (S, W_out).

        A 4-axis input (N, S, B, W_in) is N sequences. With layout "NSW", (N, S, W_in) gives (N, S, W_out), a list of
        arrays gives a list; with "NW", (N, W_in) gives (N, W_out). The model's own state is neither read nor changed.

        nodes: names of nodes, those inside cells by their names in ``expand``. The result is then a dict of their
        values at every step, in place of the output; it needs a kernel of its own, which compiles at the first call.
        state: what to start from, in the form of ``Model.state``, or a part of it; for N sequences with an axis N
        before the others, or without it for all the same. return_state: whether to return ``(result, state)``, with the
        state after the last step in that form, from which another call goes on; neither goes with a layout.

        Raises DataError for data and states that do not fit, ValueError for a name of no node, or of a node that is
        never computed.
        """
        return prediction.predict(self, inputs, layout=layout, nodes=nodes, state=state, return_state=return_state)

    def forecast(self, history: ArrayLike, steps: int, *, layout: str | None = None) -> NDArray[Any]:
        """Run over a history from zero state, then feed the output back as the next input, ``steps`` times in all.

        history: (S, B, W) gives (steps, B, W), (S, W) gives (steps, W), (N, S, B, W) gives (N, steps, B, W). With
        ``layout="NSW"`` it is N sequences (N, S, W), or a list of arrays (S_i, W) of any lengths, and the result is (N,
        steps, W). The first result is the output at the end of the history. Raises DataError for data that do not fit,
        and for a model whose output is not as wide as its input.
        """
        return prediction.forecast(self, history, steps, layout=layout)

    def stream(self, lanes: int = 1) -> Stream:
        """A stream in zero state, which runs the model one time step a call: ``y = s(x)``.

        x: (W_in,) for one lane, or (lanes, W_in). The results are those of ``predict`` over the same samples, bit for
        bit. ``s(x, out=y)`` writes into your own array. ``s.state`` gets and sets the state, ``s.reset()`` zeroes it
        for all lanes or one, ``s.copy()`` makes a second stream in the same state.

        Streams of one model may run in several threads, each in one thread at a time, also while the model trains. A
        stream uses the weights of a whole update. It gets new ones at the end of each ``train``, ``set_parameters`` and
        ``build``. During training it gets them after each piece of work: a twentieth of a second, or one window if that
        takes longer.

        Raises ModelStateError before ``build``.
        """
        return streaming.stream(self, lanes)

    def learner(self, steps: int | None = None, every: int = 1, *, missing: str = "error") -> Learner:
        """A learner in zero state, which runs the model one time step a call and learns: ``y = learner(x, target)``.

        A call predicts, as a stream does, and every ``every`` calls make one update, as ``train`` does for a window,
        through the last ``steps`` steps, or as many as there are since the start; None means ``bptt_steps``. target:
        in the shape of the result, or None. missing: "skip" leaves out each component of a target that is NaN.

        Where ``every`` is ``steps``, updates and losses are bit for bit those of ``train(…, carry_state=True)`` over
        windows of so many steps. Otherwise a window begins from the state that the network had before its first step.
        Raises ModelStateError before ``build``, and in calls after the model is released.
        """
        return streaming.learner(self, steps, every, missing)

    def adapt(
        self,
        inputs: ArrayLike,
        expected: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        layout: str | None = None,
        missing: str = "error",
    ) -> None:
        """Set the mean and scale of every ``standardize`` node, and of an output with ``restore``, from data.

        Each ``standardize`` node, in text order, gets the mean and the standard deviation of its incoming vectors;
        ``restore`` gets those of ``expected``, if it is given. A scale of 0 becomes 1. inputs, expected, lengths,
        sample_weight, layout: as in ``train``; vectors of weight 0 do not count. Each sequence starts from zero state.
        No other parameter changes. missing: "skip" leaves each number that is NaN out of the mean and scale of its
        component, in ``inputs`` and ``expected``; of a node behind a layer, each vector that depends on such a number.

        Raises ValueError if the model has no such node; DataError for data that do not fit, if all weights are 0, or if
        all numbers of a component are NaN;
        ModelStateError before ``build``. Then nothing is changed.
        """
        imported("neuromorph.training.adapt").adapt(
            self, inputs, expected, lengths=lengths, sample_weight=sample_weight, layout=layout, missing=missing
        )

    def gradients(
        self,
        inputs: ArrayLike,
        expected: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        layout: str | None = None,
        missing: str = "error",
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """The loss of the whole input as one window from zero state, and its exact gradients.

        inputs (S, B, W_in), expected, sample_weight, lengths (B,), missing: as in ``train``. With layout "NSW", each
        sequence is a window of its own, and loss and gradients are the means over all. Returns ``(loss,
        {"<layer>.weight": (fan_in, width), "<layer>.bias": (width,)})``; changes nothing. Ctrl-C waits for the end.
        """
        module = imported("neuromorph.training.gradients")
        found: tuple[float, dict[str, NDArray[Any]]] = module.gradients(
            self, inputs, expected, sample_weight=sample_weight, lengths=lengths, layout=layout, missing=missing
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
        """Set some or all parameters; numbers and arrays broadcast to their shapes: ``{"forget_gate.bias": 1.0}``."""
        super().set_parameters(parameters)

    def reset_state(self) -> None:
        """Set the recurrent state to zeros."""
        super().reset_state()

    def save(self, path: str | os.PathLike[str], *, training: bool = True) -> None:
        """Write the whole model to one safetensors file: its text, arguments, parameters, optimizer slots, recurrent
        state, ``history``, and the generator that ``seed`` sets; not the per-sample ``losses``.

        training: False leaves out all that only further training needs: a loaded model then has the text, the arguments
        and the parameters, and begins with new optimizer slots, zero state and no history.

        Parameters are plain tensors under their names ("<layer>.weight", "<layer>.bias"), for any reader of
        safetensors. The file is on disk when this returns, and whole at any time: a killed process or a full disk
        leaves the file that was there before. Raises StorageError if a number to be saved is not finite, OSError if the
        file can't be written.
        """
        storage.save(self, path, training=training)

    def release(self) -> None:
        """Free the model's memory. ``with nm.compile(…) as model:`` frees it at the end of the block."""
        super().release()

    @property
    def tier(self) -> str:
        """What ran the last call: "compiled" for kernels of the model's own, "instant" for the machine. Before any
        call: what would run one."""
        return self.ran or self.kernels.tier

    def wait_compiled(self, timeout: float | None = None) -> bool:
        """Wait until the model runs by kernels of its own, at most ``timeout`` seconds; whether it does.

        It does not if they can't be compiled in the background, or with ``tier="instant"``. Raises ModelStateError
        before ``build``.
        """
        return super().wait_compiled(timeout)

    def summary(self, *, fold: bool = False) -> str:
        """A table of nodes, widths, parameters and links in time, as text. fold: whether each cell is one row."""
        return summary.summary(self.graph, folded=fold)

    def inspect(self) -> Inspection:
        """A report on the model's compiled training kernel and its times: print it, or ``save`` it as a page.

        It has the plan with its buffers, the generated source, the program that the machine runs until the kernel is
        compiled, the LLVM IR and assembly of the kernel, and for every node and every piece of the kernel FLOPs, bytes,
        vector width, the share of packed instructions, calls of other libraries, measured time and share of the
        machine's peak. ``Inspection`` says how they are found. The model is not changed and need not be built. Its
        kernel is compiled twice more, with a clock and with line numbers, which takes as long as building; the results
        are kept in the cache.

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
        batch_size, optimizer=chosen.kind, bptt_steps=bptt_steps, dtype=dtype, threads=threads, has_time_links=False,
        tier=tier,
    )  # fmt: skip
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
    model.file = filename
    for line in (*graph.warnings, *(str(advice.of(text, filename)) for advice in advise(graph, options))):
        warnings.warn(line, MDLWarning, stacklevel=stacklevel + 1)
    return model


def graph_of(model: Any) -> Graph:
    """The graph of a model, or of a text or file of one."""
    return model.graph if isinstance(model, Model) else build_graph(parse(*text_of(model)))
