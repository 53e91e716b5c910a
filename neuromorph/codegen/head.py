"""Emits the head of a generated file, and collects what the head has to declare for the functions below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field

from ..graph import Graph
from ..host.cached import cached_property
from ..host.frozen import frozen
from ..schedule import ByBatch, ByColumns, Columns, Division, InChunks, KernelPlan
from .sparse import SparseCopy, sparse_copies
from .writer import Writer

_VECTOR_NAMES = ["load", "load_head", "store", "store_head", "head", "splat", "total", "largest", "softmax"]
_IMPORTED = [
    "absolute", "exp", "fma", "log", "maximum", "minimum", "sigmoid", "span", "sqrt", "tanh", "where",
]  # fmt: skip
_WHERE_USED = {"cos", "normal_cdf", "sin", "softplus"}
_FOR_SEVERAL = [  # imported if there are several threads
    "address_of", "array_at", "arrive", "barrier", "claim", "leave", "linger", "part", "post", "ticks",
]  # fmt: skip
_KINDS = {
    "count": "begin until member calls looks user enough batch steps capacity sample stop samples mode x0 y0 inputs "
    "expected0 weight0 row_step row0 noise noise_row node row word",
    "array": "work weights transposed gradients memory y row_losses",
    "data": "x expected row_weights",
    "doubles": "constants losses numbers",
    "number": "rate clip shrink unit scale_all key updates",
    "flag": "keep",
    "integers": "mailbox",
}
ARGUMENT_KINDS = {name: kind for kind, names in _KINDS.items() for name in names.split()}


@frozen
class Source:
    """A generated file: its plan, and what its functions have asked the head to declare.

    functions: the kinds of each function's arguments, by its name. routines: the names of SIMD routines, by the
    expression that makes the routine.
    """

    plan: KernelPlan
    functions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    routines: dict[str, str] = field(default_factory=dict)
    _numbers: Counter[str] = field(default_factory=Counter)  # the number of routines so far, by the start of their name

    @cached_property
    def sparse(self) -> dict[tuple[int, int, bool], list[SparseCopy]]:
        """The sparse copies of frozen matrices, by group, part, and whether prediction reads them. Where threads divide
        the columns, each has one."""
        found: dict[tuple[int, int, bool], list[SparseCopy]] = {}
        for copy in sparse_copies(self.plan):
            found.setdefault((copy.group, copy.part, copy.predicts), []).append(copy)
        return found

    def add_function(self, name: str, arguments: str) -> tuple[str, ...]:
        """Record a function; the kinds of its arguments."""
        self.functions[name] = tuple(ARGUMENT_KINDS[argument] for argument in arguments.split(", "))
        return self.functions[name]

    def routine(self, name: str, pattern: str, fields: Mapping[str, object]) -> str:
        """The name of a routine of a literal shape, such as ``product3``. The head will declare it.

        name: the start of the name. pattern: the expression that makes the routine, with fields to be filled.
        """
        options = self.plan.options
        text = pattern.format(
            kind=f'"{options.dtype}", {options.lanes}', registers=options.registers,
            fields=", ".join(f"{key}={value!r}" for key, value in fields.items()),
        )  # fmt: skip
        if text not in self.routines:
            self.routines[text] = f"{name}{self._numbers[name]}"
            self._numbers[name] += 1
        return self.routines[text]


def head_of(source: Source) -> Writer:
    """The head of a file whose functions are all written: title, legend, imports, options and routines."""
    options, writer = source.plan.options, Writer()
    _emit_title(writer, source.plan)
    _emit_legend(writer, source.plan)
    writer.line()
    writer.line("from neuromorph import simd")
    words = sorted({*_IMPORTED, *(_WHERE_USED & _words_of(source.plan.graph))})
    writer.line(f"from neuromorph.simd import {', '.join(words)}")
    if options.threads > 1:
        writer.line(f"from neuromorph.simd import {', '.join(_FOR_SEVERAL)}")
    writer.line()
    writer.line(f'native = simd.native("{options.dtype}", {options.lanes})')
    writer.line(f'VECTORS = simd.vectors("{options.dtype}", {options.lanes})')
    for name in _VECTOR_NAMES:
        writer.line(f"{name} = VECTORS.{name}")
    if source.plan.training.drops:
        writer.line("kept = VECTORS.kept")
    writer.line(f'MOVES = simd.moves("{options.dtype}", {options.lanes})')
    writer.lines("copy = MOVES.copy", "clear = MOVES.clear")
    writer.line()
    _emit_routines(writer, source)
    return writer


def _emit_title(writer: Writer, plan: KernelPlan) -> None:
    """Emits comments with the model's text and the options that the file is specialised for."""
    options = plan.options
    writer.comment("A neuromorph kernel, generated from this model:")
    writer.comment("")
    for line in plan.graph.text.splitlines():
        writer.comment(f"    {line}")
    writer.comment("")
    kind = f"batch {options.batch}, {options.dtype}, vectors of {options.lanes}, optimizer {options.optimizer}"
    how = f", {options.threads} threads" if options.threads > 1 else ""
    writer.comment(kind + how + _how_divided(options.division))
    writer.comment("")


def _emit_legend(writer: Writer, plan: KernelPlan) -> None:
    """Emits comments that explain the short names in the file."""
    names = plan.graph.nodes
    writer.comment("v value of a node, s pre-activations of sibling layers, d and g their gradients,")
    whose = " of the thread's" if isinstance(plan.options.division, ByBatch) else ""
    writer.comment(f"c gradient carried back in time; row r of a buffer is sample r // batch, lane r % batch{whose}.")
    for group in plan.training.groups:
        members = ", ".join(f"{names[m.node].name} at {m.column}" for m in group.members)
        writer.comment(f"s{group.index}, g{group.index}: {members}")
    mentioned = sorted({int(b.name[1:]) for b in plan.training.buffers if b.name[0] in "vdc"})
    for index in mentioned:
        writer.comment(f"v{index}: {names[index].name}")
    for after in plan.training.blocks.values():
        if len(after) > 1:
            writer.comment(f"one place, at different times: {', '.join(after)}")


def _words_of(graph: Graph) -> set[str]:
    """The names of functions in the formulas of a model's activations."""
    return {word for node in graph.nodes if node.function is not None for word in node.function.words}


def _how_divided(division: Division) -> str:
    """The words about a division in the title, after the number of threads."""
    if isinstance(division, InChunks):
        return f", chunks of {division.rows} rows"
    return {ByColumns: ", by columns", ByBatch: " apart"}.get(type(division), "")


def _emit_routines(writer: Writer, source: Source) -> None:
    """Emits the definitions of the routines: products, softmaxes and others, sums of columns, transposes."""
    plan, options = source.plan, source.plan.options
    kind = f'"{options.dtype}", {options.lanes}'
    for text, name in source.routines.items():
        writer.line(f"{name} = simd.{text}")
    summed = [f"g{group.index}" for group in plan.training.groups]
    summed += [one.source.buffer for one in plan.training.backward[-1].operations if isinstance(one, Columns)]
    for stride in sorted({plan.training.strides[name] for name in summed}):
        writer.line(f"sums{stride} = simd.sums_of(simd.SumShape({kind}, stride={stride}))")
    for number, (index, part) in enumerate(plan.training.transposed):
        group = plan.training.groups[index]
        writer.line(
            f"transpose{number} = simd.transpose_of(simd.TransposeShape({kind}, rows={group.parts[part].width}, "
            f"columns={group.columns // options.lanes}, panel={plan.layout.panel(group)}, "
            f"transposed_panel={plan.layout.transposed_panel(group, part)}"
            f"{', by_rows=True' if (index, part) in plan.training.inner else ''}))"
        )
