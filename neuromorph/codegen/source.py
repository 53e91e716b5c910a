"""A model's whole source: two plans, one for training and one for prediction, as one Python file.

Emission is pure: the same graph and options give the same bytes. Text of the user's reaches the file in comments only.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ..functions import OPTIMIZERS
from ..graph import Graph
from ..schedule import EXTERNAL, WINDOW, Loss, Plan, Segment, plan
from .layout import Layout, Workspace
from .loss import emit_loss, emit_sample_losses
from .operations import Frame, emit_operation
from .writer import Writer

_VECTOR_NAMES = ["load", "load_head", "store", "store_head", "head", "splat", "total", "largest", "softmax"]
_IMPORTED = ["absolute", "exp", "log", "maximum", "minimum", "sigmoid", "sqrt", "tanh", "where"]
ROW_LOSS = "row_loss"


@dataclass(frozen=True)
class KernelOptions:
    """What specialises a kernel beside its graph."""

    batch: int
    dtype: str
    lanes: int
    registers: int
    optimizer: str = "sgd"

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return 4 if self.dtype == "float32" else 8


@dataclass(frozen=True)
class Kernel:
    """A generated source and what is needed to call it."""

    source: str
    options: KernelOptions
    training: Plan
    prediction: Plan
    layout: Layout
    training_space: Workspace
    prediction_space: Workspace
    functions: dict[str, tuple[str, ...]]  # kinds of arguments by function
    bundles: dict[str, tuple[str, ...]]  # the functions that an entry function needs, itself last


def generate(graph: Graph, options: KernelOptions) -> Kernel:
    """The kernel of a checked graph."""
    training = plan(graph, options.lanes, training=True, size=options.size)
    prediction = plan(graph, options.lanes, training=False, size=options.size)
    layout = Layout(training, options.registers)
    spaces = Workspace(training, (ROW_LOSS,)), Workspace(prediction)
    source = _Source(graph, options, training, prediction, layout, *spaces)
    text = source.text()
    names = list(source.functions)
    last = names.index("train") + 1
    bundles = {"train": tuple(names[:last]), "predict": tuple(names[last:])}
    return Kernel(text, options, training, prediction, layout, *spaces, source.functions, bundles)


_KINDS = {
    "count": "batch steps capacity sample stop samples mode x0 y0 expected0 weight0 row_step",
    "array": "work weights turned gradients memory y",
    "data": "x expected row_weights",
    "doubles": "constants losses",
    "number": "rate clip shrink",
    "flag": "keep",
}
ARGUMENT_KINDS = {name: kind for kind, names in _KINDS.items() for name in names.split()}
ENTRIES = ("train", "predict")  # the functions that Python calls


@dataclass(frozen=True)
class _Source:
    """Emits one file."""

    graph: Graph
    options: KernelOptions
    training: Plan
    prediction: Plan
    layout: Layout
    training_space: Workspace
    prediction_space: Workspace
    functions: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def text(self) -> str:
        """The file: head, products, then the functions, whose products the head has to know."""
        body = Writer()
        shapes: dict[str, str] = {}
        frame = Frame(
            self.training,
            self.layout,
            body,
            str(self.options.batch),
            self.options.batch,
            self.options.dtype,
            shapes,
        )
        self.emit_forward(frame, "forward", self.training_space)
        self.emit_loss(frame)
        self.emit_backward(frame)
        self.emit_weight_gradients(frame)
        self.emit_shift(frame, "time_shift", self.training_space)
        self.emit_turn(frame)
        self.emit_norm(frame)
        self.emit_update(frame)
        self.emit_train(frame)
        ahead = Frame(
            self.prediction,
            replace(self.layout, plan=self.prediction),
            body,
            "batch",
            None,
            self.options.dtype,
            shapes,
        )
        self.emit_forward(ahead, "forward_only", self.prediction_space)
        self.emit_shift(ahead, "time_shift_only", self.prediction_space)
        self.emit_predict(ahead)
        head = Writer()
        self.emit_head(head, shapes)
        return head.text() + body.text()

    # Head ------------------------------------------------------------------------------------------------------------

    def emit_head(self, writer: Writer, shapes: dict[str, str]) -> None:
        """Comments that say what this is, imports, options, vectors and products."""
        options = self.options
        writer.comment("A neuromorph kernel, generated from this model:")
        writer.comment("")
        for line in self.graph.text.splitlines():
            writer.comment(f"    {line}")
        writer.comment("")
        writer.comment(
            f"batch {options.batch}, {options.dtype}, vectors of {options.lanes}, optimizer {options.optimizer}"
        )
        writer.comment("")
        self.emit_legend(writer)
        writer.line()
        writer.lines("from numba import njit", "", "from neuromorph import simd")
        writer.line(f"from neuromorph.simd import {', '.join(_IMPORTED)}")
        writer.line()
        writer.line('JIT = {"nogil": True, "fastmath": False, "boundscheck": False, "error_model": "numpy"}')
        writer.line('INSIDE = {**JIT, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}')
        writer.line(f'VECTORS = simd.vectors("{options.dtype}", {options.lanes})')
        for name in _VECTOR_NAMES:
            writer.line(f"{name} = VECTORS.{name}")
        writer.line()
        kind = f'"{options.dtype}", {options.lanes}'
        for fields, name in shapes.items():
            writer.line(f"{name} = simd.product_of(simd.Shape({kind}, {fields}, registers={options.registers}))")
        for number, (index, part) in enumerate(self.training.turned):
            group = self.training.groups[index]
            writer.line(
                f"turn{number} = simd.turn_of(simd.TurnShape({kind}, rows={group.parts[part].width}, "
                f"columns={group.columns // options.lanes}, panel={self.layout.panel(group)}, "
                f"turned_panel={self.layout.turned_panel(group, part)}))"
            )

    def emit_legend(self, writer: Writer) -> None:
        """What the short names stand for."""
        names = self.graph.nodes
        writer.comment("v value of a node, s pre-activations of sibling layers, d and g their gradients,")
        writer.comment("c gradient carried back in time; row r of a buffer is sample r // batch, lane r % batch.")
        for group in self.training.groups:
            members = ", ".join(f"{names[m.node].name} at {m.column}" for m in group.members)
            writer.comment(f"s{group.index}, g{group.index}: {members}")
        mentioned = sorted({int(b.name[1:]) for b in self.training.buffers if b.name[0] in "vdc"})
        for index in mentioned:
            writer.comment(f"v{index}: {names[index].name}")

    @contextmanager
    def function(self, writer: Writer, name: str, arguments: str, doc: str):  # type: ignore[no-untyped-def]
        """A compiled function."""
        self.functions[name] = tuple(ARGUMENT_KINDS[a] for a in arguments.split(", "))
        writer.lines("", "", "@njit(**JIT)" if name in ENTRIES else "@njit(**INSIDE)")
        with writer.block(f"def {name}({arguments}):"):
            writer.line(f'"""{doc}"""')
            yield

    # Buffers ---------------------------------------------------------------------------------------------------------

    def emit_offsets(
        self, frame: Frame, space: Workspace, segments: Iterable[Segment], extra: Iterable[str] = ()
    ) -> None:
        """Where the buffers stand that the lines of some segments name."""
        marker = Writer()
        probe = replace(frame, writer=marker)
        for segment in segments:
            self.emit_segment(probe, segment, backward=False)
        text = marker.text()
        frame.writer.line(f"rows = steps * {frame.batch}")
        for name, (a, b) in space.terms.items():
            if name in extra or _mentions(text, name):
                lanes = frame.batch if not frame.batch.isdigit() else ""
                fixed = f"{b} * {lanes}" if lanes else str(b * int(frame.batch))
                scaled = f"{a} * {lanes} * capacity" if lanes else f"{a * int(frame.batch)} * capacity"
                frame.writer.line(f"{name} = " + (f"{scaled} + {fixed}" if a else fixed))

    def emit_segment(self, frame: Frame, segment: Segment, *, backward: bool) -> None:
        """A segment's operations, in a loop over steps where it needs one."""
        writer = frame.writer
        frame.domain = segment.domain
        if segment.domain == WINDOW:
            writer.line("first, last = 0, rows")
            for operation in segment.operations:
                self.emit_any(frame, operation)
            return
        writer.line(f"first, last = 0, {frame.batch}")
        steps = "range(steps - 1, -1, -1)" if backward else "range(steps)"
        with writer.block(f"for t in {steps}:"):
            inner = Writer()
            probe = replace(frame, writer=inner)
            for operation in segment.operations:
                self.emit_any(probe, operation)
            text = inner.text()
            for name in sorted(n for n in frame.plan.strides if _mentions(text, f"{n}t")):
                start = f"{name}0" if name in EXTERNAL else name
                step = frame.stride(name) * int(frame.batch) if frame.batch.isdigit() else None
                scale = str(step) if step is not None else f"{frame.batch} * {frame.stride(name)}"
                writer.line(f"{name}t = {start} + t * {scale}")
            for operation in segment.operations:
                self.emit_any(frame, operation)

    def emit_any(self, frame: Frame, operation: object) -> None:
        if isinstance(operation, Loss):
            emit_loss(frame, operation)
        else:
            emit_operation(frame, operation)  # type: ignore[arg-type]

    # Functions -------------------------------------------------------------------------------------------------------

    def emit_forward(self, frame: Frame, name: str, space: Workspace) -> None:
        """All forward segments but the loss."""
        segments = [s for s in frame.plan.forward if not isinstance(s.operations[0], Loss)]
        predicts = frame.rows is None
        arguments = (
            "batch, steps, capacity, work, weights, x, x0, y, y0"
            if predicts
            else "steps, capacity, work, weights, x, x0"
        )
        with self.function(frame.writer, name, arguments, "Every node's value, for a window."):
            self.emit_offsets(frame, space, segments)
            for segment in segments:
                self.emit_segment(frame, segment, backward=False)

    def emit_loss(self, frame: Frame) -> None:
        """The loss segment and the means over samples."""
        writer = frame.writer
        segments = [s for s in frame.plan.forward if isinstance(s.operations[0], Loss)]
        arguments = "steps, capacity, work, expected, expected0, row_weights, weight0, losses, sample"
        with self.function(
            writer,
            "measure",
            arguments,
            "Losses, the start of the gradients; (sum of losses, sum of weights).",
        ):
            self.emit_offsets(frame, self.training_space, segments, (ROW_LOSS,))
            writer.lines("sum_loss, sum_weight = 0.0, 0.0")
            with writer.block("for r in range(rows):"):
                writer.line("sum_weight += row_weights[weight0 + r]")
            writer.line("scale_all = 1.0 / sum_weight if sum_weight > 0.0 else 0.0")
            for segment in segments:
                self.emit_segment(frame, segment, backward=False)
            emit_sample_losses(frame)
            writer.line("return sum_loss, sum_weight")

    def emit_backward(self, frame: Frame) -> None:
        """All backward segments but the weight gradients."""
        writer = frame.writer
        segments = frame.plan.backward[:-1]
        with self.function(writer, "backward", "steps, capacity, work, turned, x, x0", "Gradients of all values."):
            self.emit_offsets(frame, self.training_space, segments, frame.plan.carries)
            for name in frame.plan.carries:
                end = int(frame.batch) * frame.stride(name)
                with writer.block(f"for i in range({name}, {name} + {end}, {frame.lanes}):"):
                    writer.line("store(work, i, splat(0.0))")
            for segment in segments:
                self.emit_segment(frame, segment, backward=True)
            writer.line("return")

    def emit_weight_gradients(self, frame: Frame) -> None:
        """The products over all rows of a window."""
        segments = frame.plan.backward[-1:]
        arguments = "steps, capacity, work, gradients, x, x0, keep"
        with self.function(
            frame.writer, "weigh", arguments, "Gradients of weights and biases, added to them if ``keep``."
        ):
            self.emit_offsets(frame, self.training_space, segments)
            for segment in segments:
                self.emit_segment(frame, segment, backward=True)

    def emit_shift(self, frame: Frame, name: str, space: Workspace) -> None:
        """The last step's values become the state that the next window starts from."""
        writer = frame.writer
        predicts = frame.rows is None
        arguments = "batch, steps, capacity, work" if predicts else "steps, capacity, work"
        with self.function(writer, name, arguments, "Time shift: the last step becomes the one before the first."):
            for _, buffer in frame.plan.state:
                a, b = space.terms[buffer]
                size = (
                    f"{frame.stride(buffer)} * {frame.batch}"
                    if predicts
                    else str(frame.stride(buffer) * int(frame.batch))
                )
                scale = f" * {frame.batch}" if predicts else ""
                a, b = (a, b) if predicts else (a * int(frame.batch), b * int(frame.batch))
                writer.line(f"{buffer} = {a}{scale} * capacity + {b}{scale}")
                with writer.block(f"for i in range({buffer}, {buffer} + {size}, {frame.lanes}):"):
                    writer.line(f"store(work, i - {size}, load(work, i + (steps - 1) * {size}))")
            writer.line("return")

    def emit_turn(self, frame: Frame) -> None:
        """The transposes that the backward pass reads."""
        with self.function(
            frame.writer, "turn", "weights, turned", "The transposed weights for the next backward pass."
        ):
            for number, (index, part) in enumerate(self.training.turned):
                group = self.training.groups[index]
                start, place = self.layout.part(group, part), self.layout.turned[index, part]
                frame.writer.line(f"turn{number}(weights, {start}, turned, {place})")
            frame.writer.line("return")

    def emit_norm(self, frame: Frame) -> None:
        """One pass over the gradients before anything is changed."""
        writer = frame.writer
        with self.function(
            writer,
            "norm",
            "gradients, rate",
            "(whether all gradients are finite, at this rate too; the sum of their squares)",
        ):
            writer.lines("check, square = splat(0.0), splat(0.0)")
            with writer.block(f"for i in range(0, {self.layout.size}, {self.options.lanes}):"):
                writer.lines(
                    "gradient = load(gradients, i)",
                    "check = check + 0.0 * gradient + 0.0 * (rate * gradient)",
                    "square = square + gradient * gradient",
                )
            writer.line("return total(check) == 0.0, total(square)")

    def emit_update(self, frame: Frame) -> None:
        """The optimizer's statements, over all parameters at once."""
        writer, optimizer = frame.writer, OPTIMIZERS[self.options.optimizer]
        with self.function(
            writer,
            "update",
            "weights, gradients, memory, constants, rate, shrink",
            "One step of the optimizer.",
        ):
            for number, name in enumerate(optimizer.constants):
                writer.line(f"{name} = constants[{number}]")
            with writer.block(f"for i in range(0, {self.layout.size}, {self.options.lanes}):"):
                writer.lines("p = load(weights, i)", "g = load(gradients, i) * shrink")
                for number, name in enumerate(optimizer.slots):
                    writer.line(f"{name} = load(memory, i + {number * self.layout.size})")
                for target, text in optimizer.statements:
                    writer.line(f"{target} = {text}")
                for number, name in enumerate(optimizer.slots):
                    writer.line(f"store(memory, i + {number * self.layout.size}, {name})")
                writer.line("store(weights, i, p)")

    def emit_train(self, frame: Frame) -> None:
        """Windows one after the other: what Python calls."""
        writer, batch = frame.writer, self.options.batch
        width, wide = self.training.strides["x"], self.graph.nodes[self.graph.output].width
        arguments = (
            "sample, stop, samples, capacity, mode, work, weights, turned, gradients, memory, constants, x, expected, "
            "row_weights, row_step, losses, rate, clip"
        )
        doc = "Windows from ``sample`` to ``stop``; mode 0 measures, 1 makes gradients, 2 learns. The sample it stopped at."
        with self.function(writer, "train", arguments, doc):
            writer.line("turn(weights, turned)")
            self.emit_windows(writer, batch, width, wide)
            writer.line("return sample")

    def emit_windows(self, writer: Writer, batch: int, width: int, wide: int) -> None:
        """The loop over windows."""
        with writer.block("while sample < stop:"):
            writer.lines(
                "steps = min(capacity, samples - sample)",
                f"x0, weight0 = sample * {batch * width}, sample * row_step",
                "forward(steps, capacity, work, weights, x, x0)",
                f"loss, weight = measure(steps, capacity, work, expected, sample * {batch * wide}, row_weights, weight0, losses, sample)",
            )
            with writer.block("if not loss - loss == 0.0:"):
                writer.line("return sample")
            with writer.block("if mode > 0:"):
                writer.line("backward(steps, capacity, work, turned, x, x0)")
                writer.line("weigh(steps, capacity, work, gradients, x, x0, False)")
                writer.line("finite, square = norm(gradients, rate)")
                with writer.block("if not finite:"):
                    writer.line("return sample")
                with writer.block("if mode == 2 and weight > 0.0:"):
                    writer.line("shrink = clip / square**0.5 if clip > 0.0 and square > clip * clip else 1.0")
                    writer.line("update(weights, gradients, memory, constants, rate, shrink)")
                    writer.line("turn(weights, turned)")
            writer.lines("time_shift(steps, capacity, work)", "sample += steps")

    def emit_predict(self, frame: Frame) -> None:
        """Chunks of samples one after the other: what Python calls."""
        writer = frame.writer
        width, wide = frame.plan.strides["x"], frame.plan.strides["y"]
        arguments = "batch, samples, capacity, work, weights, x, y"
        with self.function(
            writer, "predict", arguments, "The output of every sample, state flowing on from chunk to chunk."
        ):
            writer.line("sample = 0")
            with writer.block("while sample < samples:"):
                writer.lines(
                    "steps = min(capacity, samples - sample)",
                    f"x0, y0 = sample * batch * {width}, sample * batch * {wide}",
                    "forward_only(batch, steps, capacity, work, weights, x, x0, y, y0)",
                    "time_shift_only(batch, steps, capacity, work)",
                    "sample += steps",
                )


def _mentions(text: str, name: str) -> bool:
    """Whether a variable's name occurs in source lines."""
    import re

    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(t(?![A-Za-z0-9_])|(?![A-Za-z0-9_]))", text) is not None
