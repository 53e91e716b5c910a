"""Writes the two files of an exported model: the header and the source."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neuromorph as nm

from ..graph import Graph
from ..host.syntax import parsed_expression
from . import c_selftest
from .c_arrays import parameters
from .c_expressions import Mathematics
from .c_layout import Layout
from .c_math import LIBRARY, functions_of
from .c_names import comment_of
from .c_nodes import Blocks


@dataclass(frozen=True)
class Files:
    """The texts of a header and of a source."""

    header: str
    source: str


class Writer:
    """Writes the files of one model. prefix: the beginning of all names. libm: whether <math.h> may be used."""

    def __init__(self, model: nm.Model, prefix: str, libm: bool) -> None:
        self.model, self.graph, self.prefix, self.libm = model, model.graph, prefix, libm
        self.dtype = model.dtype.name
        self.type = "float" if self.dtype == "float32" else "double"
        self.arrays = model.get_parameters()
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"the model can't be exported: {name} has numbers that are not finite")
        self.layout = Layout(self.graph, prefix)
        self.mathematics = Mathematics(self.dtype, prefix, LIBRARY if libm else frozenset())
        self.blocks = Blocks(self.layout, self.mathematics)

    def files(self) -> Files:
        """Both texts."""
        return Files(_text(self.header()), _text(self.source()))

    def header(self) -> list[str]:
        prefix, upper = self.prefix, self.prefix.upper()
        return [
            f"/* The interface of {prefix}.c, which has the comments. */",
            f"#ifndef {upper}_H", f"#define {upper}_H", "",
            f"#define {upper}_IN {self.model.input_width}", f"#define {upper}_OUT {self.model.output_width}", "",
            "/* The state, and the value of every node in the last step. */", f"struct {prefix} {{",
            *self.members(), "};", "",
            "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
            "/* Goes to the start of a sequence. */", f"void {prefix}_init(struct {prefix} *s);", "",
            "/* Runs one time step. x and y may be the same array. */",
            f"void {self.step()};", "",
            "#ifdef __cplusplus", "}", "#endif", "", "#endif",
        ]  # fmt: skip

    def step(self) -> str:
        prefix, upper = self.prefix, self.prefix.upper()
        arguments = f"const {self.type} x[{upper}_IN], {self.type} y[{upper}_OUT]"
        return f"{prefix}_step(struct {prefix} *s, {arguments})"

    def members(self) -> list[str]:
        """The fields of the struct, the places in rings last, so that nothing is padded."""
        lines, places = [], []
        for field in self.layout.fields.values():
            lines.append(f"    {self.type} {field.name}[{field.width}];")
            if field.before:
                lines.append(f"    {self.type} {field.name}_before[{field.width}];")
            if field.steps:
                lines.append(f"    {self.type} {field.name}_past[{field.steps}][{field.width}];")
                places.append(f"    int {field.name}_at;")
        groups = {group.name: group.width for group in self.layout.groups.values()}
        return lines + [f"    {self.type} {name}[{width}];" for name, width in groups.items()] + places

    def source(self) -> list[str]:
        step = self.step_function()
        functions, calls = functions_of(self.mathematics.used, self.dtype, self.prefix, self.libm)
        includes = [f'#include "{self.prefix}.h"', *(["#include <math.h>"] if calls or self.uses_libm else []), ""]
        values = parameters(self.layout, self.type, self.arrays)
        recording = c_selftest.record(self.model)
        return [
            *self.head(), *includes, *values, *([""] if values else []), *functions, *self.back(), *self.init(), "",
            *step, "", *c_selftest.lines_of(recording, self.type, self.mathematics),
        ]  # fmt: skip

    @property
    def uses_libm(self) -> bool:
        return "libm" in self.mathematics.used

    def head(self) -> list[str]:
        """The comment at the beginning."""
        prefix, upper, item = self.prefix, self.prefix.upper(), self.model.dtype.itemsize
        products, calls = work_of(self.graph)
        text = [f" *     {line}".rstrip() for line in comment_of(self.model.text).splitlines()]
        return [
            f"/* {prefix}: a neural network, written by neuromorph {comment_of(nm.__version__)}.", " *",
            f" * {prefix}_init(&s) begins a sequence. {prefix}_step(&s, x, y) runs one time step: {upper}_IN numbers x",
            f" * in, {upper}_OUT numbers y out. All that changes is in the struct. With -D{upper}_SELFTEST there is a",
            " * main function that runs recorded inputs and returns 1 if an output differs.", " *",
            f" * RAM: {self.layout.size(item):,} bytes (sizeof(struct {prefix}))",
            f" * flash: {self.graph.parameter_count * item:,} bytes of parameters, and the code",
            f" * a step: {products:,} multiplications, {calls:,} calls of exp, tanh and the like",
            f" * fingerprint (SHA-256 of type, text and parameters): {fingerprint(self.model, self.arrays)}", " *",
            " * The text of the model:", *text, " */",
        ]  # fmt: skip

    def back(self) -> list[str]:
        """The function that finds a row of a ring, if there are any."""
        if not any(field.steps for field in self.layout.fields.values()):
            return []
        return [
            "/* The row of a ring in which the values of so many steps back are. at: the row that is written next. */",
            f"static int {self.prefix}_back(int at, int steps, int rows)", "{",
            "    return at < steps ? at - steps + rows : at - steps;", "}", "",
        ]  # fmt: skip

    def init(self) -> list[str]:
        """The function that sets the state to zeros."""
        lines, zero = [], self.blocks.zero
        for index in sorted(self.layout.remembered):
            field = self.layout.fields[index]
            if field.steps:
                inner = self.blocks.loop(field.width, f"s->{field.name}_past[i][j] = {zero};")
                lines += [*self.blocks.loop(field.steps, *inner, name="i"), f"s->{field.name}_at = 0;"]
            else:
                lines += self.blocks.loop(field.width, f"s->{field.name}[j] = {zero};")
        body = lines or ["(void)s; /* The model keeps nothing from step to step. */"]
        return [f"void {self.prefix}_init(struct {self.prefix} *s)", "{", *(f"    {line}" for line in body), "}"]

    def step_function(self) -> list[str]:
        """The function that runs a step."""
        fields, output = self.layout.fields, self.layout.field(self.graph.output)
        unread = ["(void)x; /* The output does not depend on the input. */"]
        pieces = [] if self.graph.input in fields else [unread]
        for index in fields:
            group = self.layout.groups.get(index)
            pieces += [self.blocks.group(group)] if group is not None and group.members[0].index == index else []
            pieces.append(self.blocks.block(index))
        early = [line for index, field in fields.items() if field.before for line in self.blocks.before(index)]
        if early:
            pieces.insert(0, ["/* What later blocks read of the step before. */", *early])
        pieces.append(["/* The result. */", *self.blocks.loop(output.width, f"y[j] = s->{output.name}[j];")])
        kept = [line for index, field in fields.items() if field.steps for line in self.blocks.kept(index)]
        if kept:
            pieces.append(["/* What later steps read. */", *kept])
        lines = [line for piece in pieces for line in (*piece, "")][:-1]
        return [f"void {self.step()}", "{", *(f"    {line}".rstrip() for line in lines), "}"]


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def fingerprint(model: nm.Model, arrays: dict[str, NDArray[Any]]) -> str:
    """The SHA-256 of a model's type, canonical text and parameters in text order, as little-endian numbers."""
    digest = hashlib.sha256(f"{model.dtype.name}\n{model.text}\n".encode())
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def work_of(graph: Graph) -> tuple[int, int]:
    """The multiplications and divisions of a step, without those inside functions, and the calls of functions."""
    products = calls = 0
    for node in (graph.nodes[index] for index in graph.computing):
        wide = node.width
        if node.kind == "layer":
            products += graph.fan_in(node.index) * wide
        if node.merge is not None and node.merge.result == "one" and node.source is not None:
            wide = graph.nodes[node.source].width
        for text in _expressions(node):
            parts = list(ast.walk(parsed_expression(text)))
            products += wide * sum(isinstance(part, ast.Mult | ast.Div) for part in parts)
            calls += wide * sum(isinstance(part, ast.Call) and _is_costly(part) for part in parts)
        calls += wide if node.function is not None and node.function.couples else 0
    return products, calls


def _expressions(node: Any) -> list[str]:
    """The expressions that a node computes for each component."""
    function, layer = node.function, node.elementwise
    texts = [node.merge.forward if node.merge else "", function.forward if function else ""]
    if layer is not None and not layer.drops:
        texts += [layer.forward, *(statistic.expression for statistic in layer.statistics)]
    return [text for text in texts if text]


def _is_costly(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id not in ("where", "maximum", "minimum", "absolute")
