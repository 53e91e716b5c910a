"""Generates a model's whole source: one Python file from two plans, one for training and one for prediction.

Generation is pure: the same graph and options give the same bytes. Text of the user's reaches the file in comments
only.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from ..functions import OPTIMIZERS
from ..graph import Graph
from ..host.cached import cached_property
from ..schedule import Alone, ByBatch, ByColumns, Division, InChunks, KernelOptions, KernelPlan, plan_kernel
from .frame import Frame
from .loss import emit_sum_of_weights
from .update import emit_norm, emit_turn, emit_update, emit_verdict
from .waiting import TRAINED, emit_lead, emit_serve
from .window import emit_backward, emit_forward, emit_mean, emit_measure, emit_shift, emit_take, emit_weigh
from .writer import Span, Writer

_VECTOR_NAMES = ["load", "load_head", "store", "store_head", "head", "splat", "total", "largest", "softmax"]
_IMPORTED = [
    "absolute", "exp", "log", "maximum", "minimum", "sigmoid", "span", "sqrt", "tanh", "where",
]  # fmt: skip
_WHERE_USED = {"cos", "normal_cdf", "sin", "softplus"}
_FOR_SEVERAL = [  # threads
    "address_of", "array_at", "arrive", "barrier", "claim", "leave", "linger", "part", "post", "ticks",
]  # fmt: skip


@dataclass(frozen=True)
class Kernel:
    """A plan, and the source that is generated from it when it is first asked for."""

    plan: KernelPlan

    @cached_property
    def _written(self) -> tuple[Writer, dict[str, tuple[str, ...]]]:
        """The lines of the source, and its functions with the kinds of their arguments."""
        source = _Source(self.plan)
        return source.written(), source.functions

    @property
    def options(self) -> KernelOptions:
        """What the kernel is specialised for."""
        return self.plan.options

    @property
    def source(self) -> str:
        """One file of Python."""
        return self._written[0].text()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The source map: the lines of each function (by name) and of each operation in it (``Emitted``). Operations
        come before their function."""
        return self._written[0].spans

    @property
    def functions(self) -> dict[str, tuple[str, ...]]:
        """Kinds of arguments by function."""
        return self._written[1]

    @property
    def bundles(self) -> dict[str, tuple[str, ...]]:
        """The functions that an entry function needs, itself last."""
        names = list(self.functions)
        last = names.index("serve" if self.options.threads > 1 else "train") + 1
        return {"train": tuple(names[:last]), "predict": tuple(names[last:])}


def generate(graph: Graph, options: KernelOptions) -> Kernel:
    """The kernel of a checked graph."""
    return Kernel(plan_kernel(graph, options))


@dataclass(frozen=True)
class _Source:
    """Emits one file."""

    plan: KernelPlan
    functions: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def written(self) -> Writer:
        """The file: head, products, then the functions, whose products the head has to know."""
        body = Writer()
        frame = self.training_frame(body)
        if frame.by_batch:
            emit_take(frame)
        emit_forward(frame, self.plan.training_space)
        emit_measure(frame, self.plan.training_space)
        emit_mean(frame, self.plan.options.batch)
        emit_backward(frame, self.plan.training_space)
        emit_weigh(frame, self.plan.training_space)
        emit_shift(frame, self.plan.training_space)
        emit_turn(frame)
        emit_norm(frame)
        emit_update(frame, self.plan.options.optimizer)
        self.emit_train(frame)
        if frame.threads > 1:
            emit_lead(frame)
            emit_serve(frame)
        layout = replace(self.plan.layout, plan=self.plan.prediction)
        ahead = replace(
            frame, plan=self.plan.prediction, layout=layout, batch="batch", rows=None, division=Alone(), predicts=True
        )
        emit_forward(ahead, self.plan.prediction_space)
        emit_shift(ahead, self.plan.prediction_space)
        self.emit_step_once(ahead)
        self.emit_predict(ahead)
        head = Writer()
        self.emit_head(head, frame.shapes)
        head.append(body)
        return head

    def training_frame(self, writer: Writer) -> Frame:
        """How training's lines name things. In chunks, a row is a step of one lane."""
        division, dtype = self.plan.options.division, self.plan.options.dtype
        batch, threads = 1 if isinstance(division, InChunks) else self.plan.options.batch, division.threads
        rows = batch // threads if batch % threads == 0 else None
        apart = isinstance(division, ByBatch)
        own = "batch" if apart and rows is None else str(rows if apart else batch)
        plan = self.plan
        return Frame(
            plan.training, plan.layout, plan.ownership, writer, own, rows, dtype, division, batch,
            functions=self.functions,
        )  # fmt: skip

    # Head ------------------------------------------------------------------------------------------------------------

    def emit_head(self, writer: Writer, shapes: dict[str, str]) -> None:
        """Comments that say what this is, imports, options, vectors and products."""
        options = self.plan.options
        writer.comment("A neuromorph kernel, generated from this model:")
        writer.comment("")
        for line in self.plan.graph.text.splitlines():
            writer.comment(f"    {line}")
        writer.comment("")
        kind = f"batch {options.batch}, {options.dtype}, vectors of {options.lanes}, optimizer {options.optimizer}"
        how = f", {options.threads} threads" if options.threads > 1 else ""
        how += _how_divided(options.division)
        writer.comment(kind + how)
        writer.comment("")
        self.emit_legend(writer)
        writer.line()
        writer.lines("from numba import njit", "", "from neuromorph import simd")
        words = sorted({*_IMPORTED, *(_WHERE_USED & _words_of(self.plan.graph))})
        writer.line(f"from neuromorph.simd import {', '.join(words)}")
        if options.threads > 1:
            writer.line(f"from neuromorph.simd import {', '.join(_FOR_SEVERAL)}")
        writer.line()
        with writer.block("JIT = {"):
            writer.lines('"nogil": True, "fastmath": False, "boundscheck": False, "error_model": "numpy",')
            writer.line('"pipeline_class": simd.KernelCompiler, "no_cfunc_wrapper": True,')
        writer.line("}")
        writer.line('INSIDE = {**JIT, "no_cpython_wrapper": True}')
        writer.line(f'VECTORS = simd.vectors("{options.dtype}", {options.lanes})')
        for name in _VECTOR_NAMES:
            writer.line(f"{name} = VECTORS.{name}")
        writer.line(f'MOVES = simd.moves("{options.dtype}", {options.lanes})')
        writer.lines("copy = MOVES.copy", "clear = MOVES.clear")
        writer.line()
        self.emit_shapes(writer, shapes)

    def emit_shapes(self, writer: Writer, shapes: dict[str, str]) -> None:
        """The routines: matrix products, softmaxes and the like by shape, sums of columns, transposes."""
        options = self.plan.options
        kind = f'"{options.dtype}", {options.lanes}'
        for text, name in shapes.items():
            writer.line(f"{name} = simd.{text}")
        for stride in sorted({self.plan.training.strides[f"g{group.index}"] for group in self.plan.training.groups}):
            writer.line(f"sums{stride} = simd.sums_of(simd.SumShape({kind}, stride={stride}))")
        for number, (index, part) in enumerate(self.plan.training.turned):
            group = self.plan.training.groups[index]
            writer.line(
                f"turn{number} = simd.turn_of(simd.TurnShape({kind}, rows={group.parts[part].width}, "
                f"columns={group.columns // options.lanes}, panel={self.plan.layout.panel(group)}, "
                f"turned_panel={self.plan.layout.turned_panel(group, part)}"
                f"{', by_rows=True' if (index, part) in self.plan.training.inner else ''}))"
            )

    def emit_legend(self, writer: Writer) -> None:
        """What the short names stand for."""
        names = self.plan.graph.nodes
        writer.comment("v value of a node, s pre-activations of sibling layers, d and g their gradients,")
        whose = " of the thread's" if isinstance(self.plan.options.division, ByBatch) else ""
        writer.comment(
            f"c gradient carried back in time; row r of a buffer is sample r // batch, lane r % batch{whose}."
        )
        for group in self.plan.training.groups:
            members = ", ".join(f"{names[m.node].name} at {m.column}" for m in group.members)
            writer.comment(f"s{group.index}, g{group.index}: {members}")
        mentioned = sorted({int(b.name[1:]) for b in self.plan.training.buffers if b.name[0] in "vdc"})
        for index in mentioned:
            writer.comment(f"v{index}: {names[index].name}")
        for after in self.plan.training.blocks.values():
            if len(after) > 1:
                writer.comment(f"one place, at different times: {', '.join(after)}")

    # What Python calls -----------------------------------------------------------------------------------------------

    def emit_train(self, frame: Frame) -> None:
        """Windows one after the other."""
        arguments = f"begin, until, box, numbers, {TRAINED}" if frame.threads > 1 else TRAINED
        doc = "Windows from ``sample`` to ``stop``: mode 0 measures, 1 makes gradients, 2 learns. Where it stopped."
        writer = frame.writer
        with frame.function("train", arguments, doc):
            frame.emit_parties()
            if frame.private:
                writer.line(f"space = len(work) // {frame.threads}")
            writer.line(f"turn({frame.joint('weights, turned')})")
            frame.emit_barrier()
            with writer.block("while sample < stop:"):
                self.emit_window(frame)
            writer.line("return sample")

    def emit_window(self, frame: Frame) -> None:
        """One window: its functions, and what stops it."""
        writer, options, batch = frame.writer, self.plan.options, self.plan.options.batch
        width, wide = self.plan.training.strides["x"], self.plan.training.strides["y"]
        writer.lines(
            "left = samples - sample",
            "steps = capacity if capacity < left else left",
            f"rows = steps * {batch}",
            f"x0, expected0, weight0 = sample * {batch * width}, sample * {batch * wide}, sample * row_step",
            "weight = float(rows)",
        )
        if options.dtype == "float64":
            writer.line("unit = 1.0")
        with writer.block("if row_step > 0:"):
            emit_sum_of_weights(frame)
        writer.line("scale_all = 1.0 / weight if weight > 0.0 else 0.0")
        division = frame.division
        with nullcontext() if frame.shares_rows else frame.each_member():
            if isinstance(division, InChunks):
                self.emit_rows(frame, division.rows)
            elif frame.by_batch:
                self.emit_apart(frame)
            else:
                self.emit_whole(frame)
        self.emit_means(frame)
        with writer.block("if mode > 0:"):
            if not isinstance(division, InChunks | ByBatch):
                writer.line(f"weigh({frame.divided('steps, capacity, work, gradients, x, x0, False')})")
            self.emit_step(frame)
        with frame.each_member():
            work = emit_own(frame)
            writer.line(f"time_shift({frame.team(f'steps, capacity, {work}')})")
        frame.emit_barrier()
        if frame.threads > 1 and OPTIMIZERS[self.plan.options.optimizer].counts:
            with writer.block("if begin == 0 and mode == 2 and weight > 0.0:"):
                writer.line("count(constants)")
        writer.line("sample += steps")

    def emit_means(self, frame: Frame) -> None:
        """The reported losses; a window whose loss is not finite ends everything."""
        writer = frame.writer
        frame.emit_barrier()
        who = "begin, " if frame.threads > 1 else ""
        given = frame.measured("row_weights, weight0, row_losses, losses, sample")
        writer.line(f"finite = mean({who}{given})")
        with writer.block("if not finite:"):
            emit_return(frame)

    def emit_whole(self, frame: Frame) -> None:
        """A member's share of a window that goes through layer by layer; its weight gradients need those of all."""
        measured = f"expected0, row_weights, weight0, {frame.scales}, row_losses, 0"
        self.emit_pass(frame, "steps, capacity, work", "x, x0", measured)

    def emit_rows(self, frame: Frame, chunk: int) -> None:
        """A member's rows of a window, a few at a time."""
        writer, size = frame.writer, self.plan.layout.size
        width, wide = self.plan.training.strides["x"], self.plan.training.strides["y"]
        writer.line(frame.range_of("rows"))
        work = emit_own(frame)
        if frame.private:
            with writer.block("if first == last:"):
                writer.line(f"clear(gradients, member * {size}, {size})")
        with writer.block(f"for row in span(first, last, {chunk}):"):
            writer.line(f"some = {chunk} if {chunk} < last - row else last - row")
            measured = f"expected0 + row * {wide}, row_weights, weight0 + row, {frame.scales}, row_losses, row"
            given = f"some, {chunk}, {work}", f"x, x0 + row * {width}", measured
            self.emit_pass(frame, *given, keep="row > first")

    def emit_apart(self, frame: Frame) -> None:
        """A member's lanes, which it takes through a window by itself."""
        writer = frame.writer
        work, (a, b) = emit_own(frame), self.plan.training_space.terms["end"]
        writer.line(frame.range_of(str(self.plan.options.batch)))
        writer.line(f"inputs = (last - first) * ({a} * capacity + {b})")
        writer.line(f"take({frame.team(f'steps, {work}, inputs, x, x0')})")
        measured = f"expected0, row_weights, weight0, {frame.scales}, row_losses, first * capacity"
        self.emit_pass(frame, f"steps, capacity, {work}", f"{work}, inputs", measured, keep="False")

    def emit_pass(self, frame: Frame, space: str, inputs: str, measured: str, keep: str | None = None) -> None:
        """Forward, loss and backward, and where ``keep`` says whether they are added to, weight gradients."""
        writer = frame.writer
        writer.line(f"forward({frame.meeting(f'{space}, weights, {inputs}')})")
        writer.line(f"measure({frame.meeting(f'{space}, expected, {measured}')})")
        with writer.block("if mode > 0:"):
            writer.line(f"backward({frame.meeting(f'{space}, turned, {inputs}')})")
            if keep is not None:
                writer.line(f"weigh({frame.divided(f'{space}, gradients, {inputs}, {keep}')})")

    def emit_step(self, frame: Frame) -> None:
        """Gradients checked, and the optimizer's step.

        Where the step needs squares of the gradients, for clipping or because the optimizer remembers them, their sum
        must be finite too: they would stay infinite, and no later step would move what they belong to.
        """
        writer = frame.writer
        emit_verdict(frame)
        with writer.block("if not finite:"):
            emit_return(frame)
        squared = "" if OPTIMIZERS[self.plan.options.optimizer].slots else "clip > 0.0 and "
        with writer.block("if mode == 2 and weight > 0.0:"):
            with writer.block(f"if {squared}not square - square == 0.0:"):
                emit_return(frame)
            writer.line("shrink = clip / square**0.5 if clip > 0.0 and square > clip * clip else 1.0")
            writer.line(f"update({frame.joint('weights, gradients, memory, constants, rate, shrink')})")
            writer.line(f"turn({frame.joint('weights, turned')})")

    def emit_step_once(self, frame: Frame) -> None:
        """One step from the state that the workspace holds, by the functions that ``predict`` calls.

        The input is copied behind the workspace, so that it may share memory with the result.
        """
        writer, lanes = frame.writer, frame.lanes
        width, wide = frame.plan.strides["x"], frame.plan.strides["y"]
        doc = "One step: 0 for done; nothing changes where it is 1 (sizes do not fit) or 2 (a number is not finite)."
        with frame.function("step", "batch, work, weights, x, y", doc):
            writer.line(f"count, x0 = batch * {width}, batch * {self.plan.prediction_space.size(1, 1)}")
            with writer.block(f"if len(x) != count or len(y) != batch * {wide}:"):
                writer.line("return 1")
            writer.line("check = splat(0.0)")
            with writer.block(f"for i in span(0, count - {lanes - 1}, {lanes}):"):
                writer.lines("x_ = load(x, i)", "check = check + 0.0 * x_", "store(work, x0 + i, x_)")
            writer.line(f"whole = count - count % {lanes}")
            with writer.block("if whole < count:"):
                writer.lines(
                    "x_ = load_head(x, whole, count - whole)", "check = check + 0.0 * x_", "store(work, x0 + whole, x_)"
                )
            with writer.block("if not total(check) == 0.0:"):
                writer.line("return 2")
            writer.lines(
                "forward_only(batch, 1, 1, work, weights, work, x0, y, 0)",
                "time_shift_only(batch, 1, 1, work)",
                "return 0",
            )

    def emit_predict(self, frame: Frame) -> None:
        """Chunks of samples one after the other."""
        writer = frame.writer
        width, wide = frame.plan.strides["x"], frame.plan.strides["y"]
        arguments = "batch, samples, capacity, work, weights, x, y"
        with frame.function("predict", arguments, "The output of every sample, state flowing on from chunk to chunk."):
            writer.line("sample = 0")
            with writer.block("while sample < samples:"):
                writer.lines(
                    "left = samples - sample",
                    "steps = capacity if capacity < left else left",
                    f"x0, y0 = sample * batch * {width}, sample * batch * {wide}",
                    "forward_only(batch, steps, capacity, work, weights, x, x0, y, y0)",
                    "time_shift_only(batch, steps, capacity, work)",
                    "sample += steps",
                )


def _words_of(graph: Graph) -> set[str]:
    """The names in the texts of a model's activations."""
    return {word for node in graph.nodes if node.function is not None for word in node.function.words}


def _how_divided(division: Division) -> str:
    """What the head of a source says of a division, after the number of threads."""
    if isinstance(division, InChunks):
        return f", chunks of {division.rows} rows"
    return {ByColumns: ", by columns", ByBatch: " apart"}.get(type(division), "")


def emit_own(frame: Frame) -> str:
    """The name of the workspace that a member works in: its own, which a line names, or that of all."""
    if not frame.private:
        return "work"
    frame.writer.line("own = part(work, member * space)")
    return "own"


def emit_return(frame: Frame) -> None:
    """The end of ``train`` before its time, once no thread reads any more what the next call writes."""
    frame.emit_barrier()
    frame.writer.line("return sample")
