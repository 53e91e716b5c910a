"""Generates the source of a model: one Python file from two plans, one for training and one for prediction.

The same graph and options always give the same bytes. Text that users write reaches the file in comments only.
"""

from __future__ import annotations

from ..graph import Graph
from ..host.cached import cached_property
from ..host.frozen import frozen
from ..schedule import KernelOptions, KernelPlan, plan_kernel
from .frame import Frame
from .head import Source, head_of
from .predict import emit_predict, emit_step
from .train import emit_train
from .update import emit_gradient_norm, emit_noise, emit_transpose, emit_update
from .waiting import emit_lead, emit_serve
from .window import (
    emit_backward,
    emit_forward,
    emit_measure,
    emit_sample_losses,
    emit_shift,
    emit_take,
    emit_weight_gradients,
)
from .writer import Span, Writer


@frozen
class Kernel:
    """A plan and its source, which is generated when it is first asked for."""

    plan: KernelPlan

    @cached_property
    def _written(self) -> tuple[Writer, Source]:
        """The lines of the source, and what its functions declared."""
        return _written(self.plan)

    @property
    def options(self) -> KernelOptions:
        """The options that the kernel is specialised for."""
        return self.plan.options

    @property
    def source(self) -> str:
        """The text of the generated Python file."""
        return self._written[0].text()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The source map: the lines of each function (by its name) and of each operation in it (``Emitted``).

        The operations of a function come before it.
        """
        return self._written[0].spans

    @property
    def functions(self) -> dict[str, tuple[str, ...]]:
        """The kinds of each function's arguments, by the function's name."""
        return self._written[1].functions

    @property
    def bundles(self) -> dict[str, tuple[str, ...]]:
        """The functions that each entry function needs, with the entry function itself last."""
        names = list(self.functions)
        last = names.index("serve" if self.options.threads > 1 else "train") + 1
        return {"train": tuple(names[:last]), "predict": tuple(names[last:])}


def called(bundle: str, threads: int) -> tuple[str, ...]:
    """The functions of a bundle, "train" or "predict", that Python calls."""
    if bundle == "predict":
        return "step", "predict"
    return ("train", "lead", "serve") if threads > 1 else ("train",)


def generate(graph: Graph, options: KernelOptions) -> Kernel:
    """The kernel of a checked graph."""
    return Kernel(plan_kernel(graph, options))


def _written(plan: KernelPlan) -> tuple[Writer, Source]:
    """Write the file, and return its lines and declarations.

    The functions are written before the head, because the head declares the routines that they use.
    """
    source, body = Source(plan), Writer()
    _emit_training(Frame(source, body))
    _emit_prediction(Frame(source, body, predicts=True))
    file = head_of(source)
    file.append(body)
    return file, source


def _emit_training(frame: Frame) -> None:
    """Emits the functions that ``train`` calls, then ``train``, then those that call it for several threads."""
    if frame.by_batch:
        emit_take(frame)
    if frame.plan.drops:
        emit_noise(frame)
    emit_forward(frame)
    emit_measure(frame)
    emit_sample_losses(frame)
    emit_backward(frame)
    emit_weight_gradients(frame)
    emit_shift(frame)
    emit_transpose(frame)
    emit_gradient_norm(frame)
    emit_update(frame)
    emit_train(frame)
    if frame.threads > 1:
        emit_lead(frame)
        emit_serve(frame)


def _emit_prediction(frame: Frame) -> None:
    """Emits the functions that ``step`` and ``predict`` call, then these two."""
    emit_forward(frame)
    emit_shift(frame)
    emit_step(frame)
    emit_predict(frame)
