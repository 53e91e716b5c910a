"""Inspection: pieces of the source, work counted by hand, assembly read, the clock, one kernel measured, its page."""

from __future__ import annotations

import ast
import html.parser
import json
import math
import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding, ir

import neuromorph as nm
from helpers import witnesses
from helpers.division import divide_everything
from helpers.paths import MODELS, REPOSITORY
from helpers.scripts import loaded
from neuromorph.codegen import Kernel
from neuromorph.inspection import Inspection, Line, Routine, fma_peak
from neuromorph.inspection.assembly import calls_of, owners, routines_of, tally, with_lines_of
from neuromorph.inspection.clocked import clocked_source
from neuromorph.inspection.compiled import Compiled, compiled_parts
from neuromorph.inspection.facts import buffers_of
from neuromorph.inspection.pieces import Piece, pieces_of
from neuromorph.inspection.tables import count_text, percent, time_text
from neuromorph.inspection.work import Counter, Work, flops_of
from neuromorph.jit import bundles, cache, modules
from neuromorph.jit.compiling import assembly_of
from neuromorph.machine.listing import Line as Told
from neuromorph.machine.listing import Listing, Section
from neuromorph.schedule import Block, InChunks
from neuromorph.simd.clock import lap, read_anywhere, read_on_arm, read_on_x86
from neuromorph.simd.counts import operations_of

RECURRENT = """
/xavier,zero/
(input, 5)
{both, before, concatenate}
[gates,
    (keep, 8, <sigmoid>)
|
    (fresh, 8, <tanh>)
]
(write, 8, <sigmoid>)
{kept, keep, multiplicative}
{state, fresh, additive}
[link, [before,]]
(output, 3, <softmax>, <cross_entropy>)
"""
DENSE = "/xavier,zero/ (input, 6) (a, 8, <tanh>) (b, 4, <relu_leaky, 0.1>) (output, 2, <linear>, <mse>)"
BATCH, WINDOW = 4, 4
BOTTLENECK = """/xavier,const_uneven 0.1 0.3/
(input, 4) (a, 32, <relu>) (output, 3, <linear>, <mse>)"""
EVERY_KIND = """/xavier,const_uneven 0.1 0.3/
(input, 5) (scaled, <standardize>) (c, 12, <conv, 3, 2>) (soft, <softplus>) (n, <norm>) {late, c, additive, 3}
(slow, 12, <leaky>) (p, <prelu>) (g, <gain>) (sh, <shift>) (r, <rms_norm>)
[s, (one, 1, <sigmoid>) | {d, c, dot, 2} | (vec, 9, <learned, 0.5>)]
{sc, one, scale} {more, d, scale, 1} {larger, vec, maximum} (h, 5, <gru>) (m, 6, <min_gru>) {old, slow, take, 2}
{back, m, concatenate} (drop, <dropout, 0.3>) (spikes, 7, <lif>)
(output, 3, <restore>, <mse>)"""
VECTORS = """/xavier,const_uneven 0.1 0.3/
(input, 5) (scaled, <standardize>) (a, 12, <tanh>) (n, <norm>) (p, <prelu>) (g, <gain>) (sh, <shift>) (r, <rms_norm>)
[s, (one, 1, <sigmoid>) | {d, n, dot} | (vec, 9, <learned, 0.5>)]
{sc, one, scale} {more, d, scale} {larger, vec, maximum} (b, 7, <gelu_exact>) {old, sh, take} {back, b, concatenate}
(output, 3, <restore>, <mse>)"""
TEXTS = {path.stem: path.read_text() for path in sorted(MODELS.glob("*.mdl"))} | {
    "recurrent": RECURRENT, "bottleneck": BOTTLENECK, "every kind": EVERY_KIND, "vectors": VECTORS,
    "one layer": "/xavier,zero/ (input, 4) (output, 3, <softmax>, <cross_entropy>)",
}  # fmt: skip
KERNELS: dict[str, dict[str, Any]] = {
    "alone": {}, "threads": {"threads": 2}, "threads in chunks": {"threads": 2, "chunk": 2},
    "columns": {"threads": 2, "columns": True}, "one lane": {"batch": 1},
}  # fmt: skip


def kernel_of(text: str, kind: str = "alone") -> Kernel:
    return witnesses.kernel_of(text, **{"batch": BATCH, "dtype": "float32", **KERNELS[kind]})


def fits(text: str, kind: str) -> bool:
    """Whether a model can be run in that way: chunks and columns are for models without links in time, and columns for
    those without vectors of parameters."""
    graph = witnesses.graph_of(text)
    return not (kind == "columns" and graph.has_vectors) and not (
        kind in ("threads in chunks", "columns") and graph.has_time_links
    )


CASES = [(name, kind) for name, text in TEXTS.items() for kind in KERNELS if fits(text, kind)]


# Pieces ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_line_that_computes_is_in_one_piece_and_every_piece_is_somebodys(name: str, kind: str) -> None:
    kernel = kernel_of(TEXTS[name], kind)
    pieces, lines = pieces_of(kernel, WINDOW), kernel.source.splitlines()
    owned = [line for piece in pieces for line in range(piece.lines[0], piece.lines[1] + 1)]
    assert len(owned) == len(set(owned)), "no line is in two pieces"
    last = kernel.source[: kernel.source.index("def train(")].count("\n")
    computes = re.compile(r"\b(?:(?:product|softmax|softmax_gradient|sums|transpose|squares)[0-9]+|store|copy)\(")
    assert {n for n, text in enumerate(lines[:last], 1) if computes.search(text)} <= set(owned)
    for piece in (each for each in pieces if each.kind != "function"):
        first, after = lines[piece.lines[0] - 1], lines[piece.lines[1]]
        ends = after.lstrip().startswith(("#", "first, last", "for t in", "barrier", "return", "for member in"))
        assert ends or _depth(after) < _depth(first), "nothing that computes stands between two pieces"
    live = {
        node.index for node in kernel.plan.training.graph.nodes if node.live and node.kind not in ("split", "input")
    }
    for piece in pieces:
        if piece.shares:
            assert math.isclose(sum(share for _, share in piece.shares), 1.0)
        assert {node for node, _ in piece.shares} <= live
    nodes = kernel.plan.training.graph.nodes
    layers = {index for index in live if nodes[index].kind in ("layer", "elementwise")}
    assert layers <= {node for piece in pieces for node, _ in piece.shares}


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def test_a_product_is_shared_with_the_node_whose_derivative_it_multiplies_with() -> None:
    kernel = kernel_of(DENSE)
    names = [node.name for node in kernel.plan.training.graph.nodes]
    product = next(piece for piece in pieces_of(kernel, WINDOW) if piece.note.startswith("back to a;"))
    assert product.note == "back to a; back through a tanh"
    share = 3 * 8 / (2 * 8 * 4 + 3 * 8)
    assert [(names[node], round(part, 6)) for node, part in product.shares] == [
        ("b", round(1 - share, 6)), ("a", round(share, 6)),
    ]  # fmt: skip


def test_a_piece_names_the_nodes_of_its_comments() -> None:
    kernel = kernel_of(RECURRENT)
    graph, lines = kernel.plan.training.graph, kernel.source.splitlines()
    names = {node.index: node.name for node in graph.nodes}
    pieces = pieces_of(kernel, WINDOW)
    product = next(piece for piece in pieces if piece.kind == "product" and "keep, write, fresh from" in piece.note)
    assert [(names[node], round(share, 3)) for node, share in product.shares] == [
        ("keep", 0.333), ("write", 0.333), ("fresh", 0.333)
    ]  # fmt: skip
    block = next(piece for piece in pieces if piece.function == "forward" and "kept multiplicative" in piece.note)
    told = re.findall(r"# (\w+):", "\n".join(lines[block.lines[0] - 1 : block.lines[1]]))
    assert [names[node] for node, _ in block.shares] == told == ["keep", "write", "fresh", "kept", "state"]
    computing = [line.strip() for line in lines[block.lines[0] - 1 : block.lines[1]] if "#" not in line]
    assert computing[0].startswith("for r in span")
    shares = {names[node]: share for node, share in block.shares}
    assert max(shares["kept"], shares["state"]) < min(shares["keep"], shares["fresh"]), "a product costs less than tanh"


def test_pieces_that_do_the_like_are_told_apart() -> None:
    notes = [piece.note for piece in pieces_of(kernel_of(RECURRENT), WINDOW)]
    assert {
        "weights of keep, write, fresh from input",
        "weights of keep, write, fresh from state of the step before",
    } <= {*notes}
    text = """/xavier,zero/ (input, 4) (a, 4, <tanh>)
        [s, (b, 5, <tanh>) {m, c, concatenate} (d, 4, <tanh>)] (c, 6, <tanh>) {n, d, additive}
        (output, 2, <tanh>, <mse>)"""
    for one in (RECURRENT, text, *TEXTS.values()):
        found = [piece.note for piece in pieces_of(kernel_of(one), WINDOW)]
        assert len(found) == len({*found})


def test_names_that_look_like_words_of_the_notes_are_told_apart() -> None:
    layers = "(back, 4, <tanh>) {loss, result, additive} (result, 4, <tanh>) (layer, 4, <tanh>, <mse>)"
    text = f"/xavier,zero/ (input, 4) {layers}"
    kernel = kernel_of(text)
    names = {node.index: node.name for node in kernel.plan.training.graph.nodes}
    found = {names[node] for piece in pieces_of(kernel, WINDOW) for node, _ in piece.shares}
    assert found == {"back", "loss", "result", "layer"}


# Work -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "flops"),
    [
        ("x", 0), ("zero", 0), ("x * y + 1.0", 2), ("where(x <= 0.0, 0.1 * x, x)", 2), ("maximum(x, 0.0)", 1),
        ("x * sigmoid(2.0 * x)", 2 + operations_of("sigmoid", "float32")),
        ("softmax(x, 4)", 4 + operations_of("exp", "float32")), ("y * (g - total(y * g))", 4),
    ],
)  # fmt: skip
def test_flops_of_expressions(expression: str, flops: int) -> None:
    assert flops_of(expression, "float32") == flops


def test_operations_of_vector_mathematics_are_those_that_are_emitted() -> None:
    for name in ("exp", "log", "tanh", "sigmoid"):
        assert 15 <= operations_of(name, "float32") < operations_of(name, "float64") < 45
    for name in ("softplus", "sin", "cos", "normal_cdf"):
        assert 30 <= operations_of(name, "float32") < operations_of(name, "float64") < 120
    with pytest.raises(ValueError, match="no vector function named 'cosh'"):
        operations_of("cosh", "float32")


def test_products_of_a_dense_network_are_counted_as_by_hand() -> None:
    """Forward and weight gradient of every layer, backward of all but the first; two operations a multiply-add."""
    rows = WINDOW * BATCH
    pieces = pieces_of(kernel_of(DENSE), WINDOW)
    found = {stage: sum(p.work.flops for p in pieces if p.kind == "product" and p.stage == stage) for stage in
             ("forward", "backward", "weight gradient")}  # fmt: skip
    first, others = 6 * 8, 8 * 4 + 4 * 2
    derivatives = 3 * 8 + 2 * 4  # of tanh two and one more, of relu_leaky a comparison and one more
    assert found == {
        "forward": 2 * rows * (first + others), "backward": 2 * rows * others + rows * derivatives,
        "weight gradient": 2 * rows * (first + others),
    }  # fmt: skip


def test_bytes_of_a_product_and_of_a_block_are_counted_as_by_hand() -> None:
    """Vectors of 4: the widths 8, 4 and 2 are padded to 8, 4 and 4; the input's rows are not."""
    rows, pieces = WINDOW * BATCH, pieces_of(kernel_of(DENSE), WINDOW)
    forward = [piece.work.bytes / 4 for piece in pieces if piece.function == "forward"]
    assert forward[0] == 6 * 8 + 8 + rows * (6 + 8), "weights, bias, incoming vectors, results"
    assert forward[1] == rows * (8 + 8), "tanh reads and writes 8 numbers a row"
    weight_gradients = [piece.work.bytes / 4 for piece in pieces if piece.function == "weight_gradients"]
    assert weight_gradients[:2] == [6 * 8 + rows * (6 + 8), (rows + 1) * 8]
    backward = [piece for piece in pieces if piece.function == "backward" and piece.kind == "product"]
    assert backward[0].work.bytes / 4 == 4 * 4 + rows * (4 + 4 + 4), "weights, gradients, results, bends"
    norm = next(piece for piece in pieces if piece.function == "gradient_norm")
    assert norm.work.flops == 2 * (7 * 8 + 9 * 4 + 5 * 2), "a multiply-add for each parameter"
    assert norm.work.bytes / 4 == 7 * 8 + 9 * 4 + 5 * 4


def works_of(text: str, function: str) -> dict[str, Work]:
    """What the pieces of a function do, by their notes."""
    return {piece.note: piece.work for piece in pieces_of(kernel_of(text), WINDOW) if piece.function == function}


def test_every_tap_of_a_convolution_is_counted() -> None:
    text = "/xavier,zero/ (input, 6) (a, 8, <tanh>) (c, 8, <conv, 3>) (output, 2, <linear>, <mse>)"
    rows, flops = WINDOW * BATCH, 2 * WINDOW * BATCH * 3 * 8 * 8
    forward = works_of(text, "forward")["c from a at 3 steps; c linear"]
    assert forward.flops == flops
    assert forward.bytes / 4 == 3 * 8 * 8 + 8 + rows * (3 * 8 + 5 * 8), "each tap reads; the later ones add"
    into = works_of(text, "backward")["back to a"]
    assert into == Work(flops, 4 * (3 * 8 * 8 + rows * 3 * (8 + 8 + 8)))
    weights = works_of(text, "weight_gradients")["weights of c"]
    assert weights == Work(flops, 4 * (3 * 8 * 8 + rows * 3 * (8 + 8)))


def test_state_of_several_steps_is_counted() -> None:
    text = "/xavier,zero/ (input, 6) (a, 8, <tanh>) {m, a, additive, 3} (output, 2, <linear>, <mse>)"
    assert works_of(text, "time_shift")["last step becomes the one before the first"].bytes == 2 * BATCH * 3 * 8 * 4
    buffers = {buffer.name: buffer for buffer in buffers_of(kernel_of(text), WINDOW)}
    (kept,) = (buffer for buffer in buffers.values() if buffer.holds == "value of a, with 3 steps before")
    assert kept.rows == (WINDOW + 3) * BATCH


def test_gradients_that_begin_at_zero_are_counted() -> None:
    text = (
        "/xavier,zero/ (input, 6) (a, 8, <tanh>) {m, a, additive, 3} {r, r, additive, 1} (output, 2, <linear>, <mse>)"
    )
    kernel = kernel_of(text)
    (piece,) = (piece for piece in pieces_of(kernel, WINDOW) if piece.kind == "zeros")
    carried, cleared = BATCH * 8, (WINDOW + 3) * BATCH * 8
    assert piece.work == Work(0.0, 4 * (carried + cleared))
    shares = {kernel.plan.training.graph.nodes[node].name: share for node, share in piece.shares}
    assert shares == pytest.approx({"r": carried / (carried + cleared), "a": cleared / (carried + cleared)})
    assert not [piece for piece in pieces_of(kernel_of(DENSE), WINDOW) if piece.kind == "zeros"]


def test_numbers_of_rows_and_sums_of_columns_are_counted_as_by_hand() -> None:
    rows, text = WINDOW * BATCH, "/xavier,zero/ (input, 6) (a, 8, <tanh>) (k, <rms_norm>) (output, 2, <linear>, <mse>)"
    kernel = kernel_of(text)
    (block,) = (op for s in kernel.plan.training.forward for op in s.operations if isinstance(op, Block))
    _, reduced, value = Counter(kernel, WINDOW).shares_of_block(block)
    assert reduced.flops == rows * (2 * 8 + flops_of("1.0 / sqrt(mean + p)", "float32") + 1)
    assert reduced.bytes / 4 == rows * 4, "a row is in registers, and its number is stored as a vector"
    assert value.bytes / 4 == rows * (8 + 8), "x and the number are in registers: the weight, the value"
    assert works_of(text, "weight_gradients")["weight of k"] == Work(rows * 8, (rows + 1) * 8 * 4)


def test_parameters_that_do_not_learn_are_not_updated() -> None:
    text = "/xavier,zero/ (input, 6) (a, <standardize>) (b, 8, <tanh>) (k, <gain>) (output, 2, <linear>, <mse>)"
    kernel = kernel_of(text)
    update = next(piece for piece in pieces_of(kernel, WINDOW) if piece.function == "update")
    assert {kernel.plan.training.graph.nodes[node].name for node, _ in update.shares} == {"b", "k", "output"}
    assert Counter(kernel, WINDOW).parameters == 7 * 8 + 8 + 9 * 2


def test_a_value_in_a_register_costs_no_bytes() -> None:
    kernel = kernel_of(RECURRENT)
    counter = Counter(kernel, WINDOW)
    block = next(op for s in kernel.plan.training.forward for op in s.operations if len(getattr(op, "maps", ())) > 2)
    works = counter.shares_of_block(block)  # type: ignore[arg-type]
    last = works[-1]
    assert last.flops == 8 * WINDOW * BATCH
    assert last.bytes == 8 * WINDOW * BATCH * 4, "both operands are there already, and the sum is stored"


# Assembly -------------------------------------------------------------------------------------------------------------

X86 = """
	.text
	.globl	kernel
.LCPI0_0:
	.long	0x3f800000
kernel:
.Lfunc_begin0:
	.loc	1 10 1
	pushq	%rbx                            # a comment
	movabsq	$nm.product.f, %rax
	movq	%rax, 8(%rsp)
.Ltmp0:
	.loc	1 12 1 is_stmt 1
	vfmadd231ps	%zmm0, %zmm1, %zmm2
	vmulps	(%rdi), %ymm1, %ymm2
	vaddps	%zmm0, %zmm1, %zmm2
.LBB0_1:
	.loc	1 0 1
	vaddps	%zmm0, %zmm1, %zmm3
	.loc	1 12 1
	vaddss	%xmm0, %xmm1, %xmm2
	callq	*8(%rsp)
	.loc	1 14 1
	movabsq	$expf, %rcx
	callq	*%rcx
	xorl	%eax, %eax
	movq	%rax, 8(%rsp)
	callq	*8(%rsp)
	callq	memset@PLT
	jmp	.LBB0_1
	retq
.Lfunc_end0:
nm.product.f:
	mulsd	%xmm0, %xmm1
	vmovups	%ymm0, (%rsi)
	retq
data:
	.quad	0
"""
ARM = """
kernel:
	.loc	1 7 0
	fmla	v0.4s, v1.4s, v2.s[0]
	fmul	v3.2d, v4.2d, v5.2d
	fadd	s0, s1, s2
	fmov	s0, #1.00000000
	ldr	q0, [x0]
	movz	x8, #:abs_g0_nc:tanhf
	blr	x8
	bl	expf
	ret
"""


def test_routines_of_x86_have_their_instructions_labels_and_source_lines() -> None:
    kernel, product = routines_of(X86)
    assert [routine.symbol for routine in (kernel, product)] == ["kernel", "nm.product.f"]
    assert [line.source for line in kernel.instructions] == [10] * 3 + [12] * 3 + [None] + [12] * 2 + [14] * 8
    assert [line.text for line in kernel.lines if line.is_label] == [".LBB0_1:"]


def test_arithmetic_is_told_apart_by_the_width_it_is_done_in() -> None:
    kernel, product = routines_of(X86)
    found = tally(kernel.lines)
    assert (found.packed, found.scalar, found.vector_bits, found.packed_share) == (4, 1, 512, 0.8)
    alone = tally(product.lines)
    assert (alone.packed, alone.scalar, alone.vector_bits, alone.packed_share) == (0, 1, 256, 0.0)
    assert tally([]).packed_share is None
    assert tally([Line("\tretq")]).vector_bits == 0


@pytest.mark.parametrize(
    ("instruction", "packed", "scalar"),
    [
        ("vaddps\t%xmm0, %xmm1, %xmm2", 1, 0), ("addpd\t%xmm0, %xmm1", 1, 0),
        ("vfnmadd213sd\t%xmm0, %xmm1, %xmm2", 0, 1), ("vbroadcastss\t(%rax), %xmm0", 0, 0),
        ("vrndscaleps\t$8, %zmm0, %zmm1", 1, 0), ("vucomiss\t%xmm0, %xmm1", 0, 1), ("vsqrtps\t%ymm0, %ymm1", 1, 0),
        ("vcmpleps\t%zmm0, %zmm1, %k1", 1, 0), ("vmaxps\t%zmm0, %zmm1, %zmm2", 1, 0),
        ("vmovaps\t%xmm0, 112(%rsp)", 0, 0), ("vpaddd\t%ymm0, %ymm1, %ymm2", 0, 0), ("addq\t$12, %r10", 0, 0),
        ("vcvtsi2sd\t%rax, %xmm0, %xmm0", 0, 0), ("fsub\tv0.4s, v1.4s, v2.4s", 1, 0), ("fnmadd\td0, d1, d2, d3", 0, 1),
        ("fadd\td0, d1, d2", 0, 1), ("fmaxnm\tv0.2d, v1.2d, v2.2d", 1, 0), ("add\tx0, x1, x2", 0, 0),
    ],
)  # fmt: skip
def test_kinds_of_instructions(instruction: str, packed: int, scalar: int) -> None:
    found = tally([Line("\t" + instruction)])
    assert (found.packed, found.scalar) == (packed, scalar)


def test_calls_are_followed_through_registers_and_the_stack() -> None:
    assert list(calls_of(routines_of(X86)[0])) == [("nm.product.f", 12), ("expf", 14), ("memset@PLT", 14)]
    assert list(calls_of(routines_of(ARM)[0])) == [("tanhf", 7), ("expf", 7)]


def test_arithmetic_on_arm() -> None:
    found = tally(routines_of(ARM)[0].lines)
    assert (found.packed, found.scalar, found.vector_bits) == (2, 1, 128)


def test_lines_are_taken_from_the_same_code_only() -> None:
    """Labels may differ; an instruction may not."""
    lined = routines_of(X86)
    bare = "\n".join(line for line in X86.splitlines() if ".loc" not in line)
    plain = routines_of(bare.replace(".LBB0_1", ".LBB7_1"))
    found = with_lines_of(plain, lined)
    assert found is not None
    assert [line.source for line in found[0].instructions] == [line.source for line in lined[0].instructions]
    assert [line.text for line in found[0].lines if line.is_label] == [".LBB7_1:"]
    assert with_lines_of(routines_of(bare.replace("vmulps", "vdivps")), lined) is None
    assert with_lines_of(plain[:1], lined) is None


def test_what_has_no_line_between_two_of_one_owner_is_its_own() -> None:
    lines = [Line("\ta", source) for source in (None, 1, None, 2, None, 3, None, 1)]
    assert owners(lines, {1: 0, 2: 0, 3: 5}) == [None, 0, 0, 0, None, 5, None, 0]


# The clock ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "triple", "expected"),
    [
        (read_on_x86, "x86_64-unknown-linux-gnu", ["lfence", "rdtsc", "lfence"]),
        (read_anywhere, "x86_64-unknown-linux-gnu", ["rdtsc"]),
        (read_on_arm, "aarch64-unknown-linux-gnu", ["isb", "mrs", "isb"]),
    ],
)
def test_the_clock_is_read_between_fences(read: Any, triple: str, expected: list[str]) -> None:
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.IntType(64), []), "now")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(read(builder))
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        machine = binding.Target.from_triple(triple).create_target_machine()
    except RuntimeError as error:
        pytest.skip(f"this LLVM does not know {triple}: {error}")
    names = [
        line.text.split()[0]
        for line in routines_of(machine.emit_assembly(binding.parse_assembly(str(module))))[0].lines
    ]
    assert [name for name in names if name in expected] == expected


def test_a_lap_adds_ticks_and_a_count() -> None:
    clock = np.zeros(6, np.int64)
    since = lap(clock, 1, 0)
    assert clock[2] == since > 0
    then = lap(clock, 1, since)
    assert clock.tolist() == [0, 0, then, 2, 0, 0]


def plain_module(source: str) -> Any:
    """A source as a module of plain Python functions."""
    module = types.ModuleType("plain_clocked")
    with witnesses.jit_disabled():
        exec(compile(source, "<clocked>", "exec"), module.__dict__)
    return module


CLOCKED = [
    ("every kind", "alone"),
    ("every kind", "threads"),
    ("vectors", "threads in chunks"),
    ("recurrent", "alone"),
    ("recurrent", "threads"),
    ("chain-model", "threads"),
    ("chain-model", "threads in chunks"),
    ("chain-model", "columns"),
    ("bottleneck", "columns"),
    ("lstm-model", "threads"),
    ("recurrent", "one lane"),
    ("lstm-model", "one lane"),
]


def test_some_sums_of_the_bottleneck_are_of_partial_sums() -> None:
    assert kernel_of(BOTTLENECK, "columns").plan.training.inner


@pytest.mark.parametrize(("name", "kind"), CLOCKED)
def test_the_clocked_kernel_computes_the_same_and_counts_every_piece(name: str, kind: str) -> None:
    kernel = kernel_of(TEXTS[name], kind)
    pieces = pieces_of(kernel, WINDOW)
    module = plain_module(clocked_source(kernel.source, kernel.bundles["train"], pieces))
    trial = witnesses.trial_of(TEXTS[name], batch=kernel.options.batch, samples=2 * WINDOW, window=WINDOW)
    clocks = [np.zeros(2 * (len(pieces) + 2), np.int64) for _ in range(kernel.options.threads)]

    def train(*arguments: Any) -> Any:
        return module.train(clocks[arguments[0] if kernel.options.threads > 1 else 0], *arguments)

    train.__signature__ = _signature(witnesses.plain(kernel).train)  # type: ignore[attr-defined]
    found, wanted = (witnesses.Memory.of(kernel, trial.parameters, WINDOW) for _ in range(2))
    for memory, function in ((found, train), (wanted, witnesses.plain(kernel).train)):
        functions = types.SimpleNamespace(train=function)
        losses = np.zeros(2 * WINDOW)
        assert witnesses.call_windows(kernel, functions, trial, memory, WINDOW, 2, losses) == 2 * WINDOW
    for mine, other in zip(found.arrays(), wanted.arrays(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)  # NumPy's products depend on alignment
    for clock in clocks:
        counts = clock[1::2][: len(pieces)]
        assert counts.tolist() == [_laps(kernel, piece) for piece in pieces]
        assert clock[::2].min() >= 0
        assert (clock[-1] > 0) == (kernel.options.threads > 1), "who waits for others at barriers is told"


def _signature(function: Any) -> Any:
    import inspect

    return inspect.signature(function)


def _laps(kernel: Kernel, piece: Piece) -> int:
    """How often two windows of WINDOW samples go through a piece; the transposes are made before each."""
    if piece.function == "transpose":
        return 2
    once = 2 * (WINDOW if piece.domain >= 0 else 1)
    rows = WINDOW * kernel.options.batch // kernel.options.threads
    inside = piece.function in ("forward", "measure", "backward", "weight_gradients")
    division = kernel.options.division
    return once * (rows // division.rows if isinstance(division, InChunks) and inside else 1)


def test_the_clocked_source_has_no_other_functions_and_leaves_the_source_alone() -> None:
    kernel = kernel_of(RECURRENT)
    before = kernel.source
    text = clocked_source(kernel.source, kernel.bundles["train"], pieces_of(kernel, WINDOW))
    names = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert names == [*kernel.bundles["train"], "idle"]
    assert kernel.source == before


# Texts of compiled functions ------------------------------------------------------------------------------------------

TINY = """from neuromorph import simd
from neuromorph.simd import span


@simd.native("float64", 2)("array count -> number")
def twice(x, count):
    total = 0.0
    for i in span(0, count):
        total += x[i] / 3.0
    return total
"""
TWICE = {"twice": ("array", "count")}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A key in a cache of one's own."""
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NEUROMORPH_CACHE_MISS_IS_ERROR", raising=False)
    yield cache.key_of(str(tmp_path))
    sys.modules.pop(f"neuromorph_kernel_{cache.key_of(str(tmp_path))[:16]}", None)


def test_texts_are_those_stored_or_none(own_cache: str) -> None:
    bundles.ready(TINY, own_cache, TWICE, "float64")
    stored = bundles.stored_texts(own_cache, TWICE, "float64")
    assert stored is not None
    assert "define" in stored["twice"][0]
    assert routines_of(stored["twice"][1])
    nm.clear_cache()
    assert bundles.stored_texts(own_cache, TWICE, "float64") is None


def test_line_numbers_change_no_instruction(own_cache: str) -> None:
    bundles.ready(TINY, own_cache, TWICE, "float64")
    texts = bundles.stored_texts(own_cache, TWICE, "float64")
    other = modules.load_module(TINY, cache.key_of(own_cache, "lines"))
    lined = bundles.texts_with_lines(other, TWICE)
    sys.modules.pop(other.__name__)
    assert texts is not None
    found = with_lines_of(routines_of(texts["twice"][1]), routines_of(lined["twice"][1]))
    assert found is not None
    sources = {line.source for line in found[0].instructions}
    assert 9 in sources, "the line of the division"
    assert sources - {None} <= set(range(6, 11))


def test_the_peak_is_that_of_vectors() -> None:
    single, double = fma_peak(tries=5), fma_peak(2, dtype="float64", tries=2)
    assert 1.0 < single < 10_000.0
    assert 0.5 < double < 10_000.0


# One model inspected --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> nm.Model:
    nm.seed(3)
    return nm.build(nm.compile(RECURRENT, BATCH, 0.1, bptt_steps=WINDOW, threads=1))


@pytest.fixture(scope="module")
def inspection(model: nm.Model) -> Inspection:
    return nm.inspect(model)


def test_the_figures_of_a_kernel(inspection: Inspection) -> None:
    assert (inspection.batch_size, inspection.bptt_steps, inspection.dtype, inspection.threads) == (4, 4, "float32", 1)
    assert inspection.seconds > 0
    assert repr(inspection).startswith(
        f"<neuromorph.Inspection: {inspection.parameters:,} parameters, batch 4, float32,"
    )
    assert len(repr(inspection)) < 150
    assert 0.1 < inspection.sum_by_kernel < 10, "measured in two kernels, on a machine that others use"
    assert inspection.flops == pytest.approx(sum(node.flops for node in inspection.nodes))
    assert 0 < inspection.peak_share < 1.5
    assert inspection.vector_bits == 32 * inspection.lanes <= inspection.machine_bits


def test_every_node_that_computes_has_its_figures(inspection: Inspection) -> None:
    nodes = {node.name: node for node in inspection.nodes}
    assert list(nodes) == ["both", "keep", "fresh", "write", "kept", "state", "output"]
    assert nodes["both"].flops == nodes["both"].seconds == 0, "a concatenation that only layers read is never made"
    for name in ("keep", "fresh", "write", "output"):
        node = nodes[name]
        assert node.seconds > 0
        assert node.library_calls == ()
        assert node.packed_share is not None
        assert node.packed_share > 0.8
        assert node.vector_bits == inspection.vector_bits
        assert node.peak_share == pytest.approx(node.flops / node.seconds / 1e9 / inspection.peak_gflops)
        assert node.lines
    assert nodes["keep"].parameters == 14 * 8
    total = sum(node.seconds for node in inspection.nodes)
    rest = inspection.rest_seconds + inspection.waiting_seconds
    assert total + rest == pytest.approx(inspection.pieces_seconds)
    assert sum(node.share for node in inspection.nodes) + rest / inspection.pieces_seconds == pytest.approx(1.0)


def test_siblings_share_their_product_and_say_so(inspection: Inspection) -> None:
    group = next(group for group in inspection.groups if len(group.nodes) == 3)
    assert group.nodes == ("keep", "write", "fresh")
    assert group.reads == ("input", "state of the step before")
    assert (group.fan_in, group.loop) == (13, 0)
    keep = next(node for node in inspection.nodes if node.name == "keep")
    assert keep.divided == 1.0
    pieces = [inspection.pieces[number] for number in keep.pieces]
    assert any(len(piece.nodes) == 3 for piece in pieces)


def test_the_plan_with_its_loop_and_buffers(model: nm.Model, inspection: Inspection) -> None:
    (loop,) = inspection.loops
    assert set(loop.nodes) == {"both", "keep", "fresh", "write", "kept", "state"}
    assert loop.forward > 0 < loop.backward
    kernel = model.kernels.kernel
    space = sum(buffer.bytes for buffer in inspection.buffers if buffer.rows)
    assert space == kernel.plan.space_size(WINDOW) * 4
    flat = {buffer.name: buffer.bytes for buffer in inspection.buffers if not buffer.rows}
    layout = kernel.plan.layout
    assert flat == {"weights": layout.size * 4, "gradients": layout.size * 4, "transposed": layout.transposed_size * 4}
    shared = [buffer for buffer in inspection.buffers if buffer.rows and not buffer.bytes]
    assert shared
    for buffer in shared:
        assert f", in the place of {kernel.plan.training.block(buffer.name)}" in buffer.holds
    state = next(buffer for buffer in inspection.buffers if "with the step before" in buffer.holds)
    assert (state.rows, "value of state" in state.holds) == ((WINDOW + 1) * BATCH, True)


def test_source_ir_and_assembly_are_those_of_the_very_kernel(model: nm.Model, inspection: Inspection) -> None:
    kernel = model.kernels.kernel
    functions = {name: kernel.functions[name] for name in kernel.bundles["train"]}
    key, _ = model.kernels.entries
    assert inspection.source == model.kernel_source()
    for name in functions:
        assert cache.read(key, f"{name}.ll") == inspection.ir[name].encode()
        assert assembly_of(inspection.ir[name]) == inspection.assembly[name]


def test_instructions_have_the_lines_of_what_they_do(inspection: Inspection) -> None:
    """The lines were checked instruction by instruction; here, that products are where products are written."""
    assert inspection.linked
    source = inspection.source.splitlines()
    for piece in inspection.pieces:
        if "product" in source[piece.lines[1] - 1] and piece.flops > 0:
            assert piece.instructions > 5
            assert piece.packed_share == 1.0, piece.note
        assert piece.library_calls == ()
    text = inspection.listing("forward")
    assert re.search(r"^; [0-9]+: .*sigmoid\(", text, re.MULTILINE)
    with pytest.raises(ValueError, match=r"function must be one of forward, measure, .*, not 'foo'"):
        inspection.listing("foo")


def test_lines_of_a_kernel_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where members make some gradients one after the other."""
    divide_everything(monkeypatch, 2)
    wide = BOTTLENECK.replace("32", "96")  # enough columns for two members with vectors of any width
    model = nm.build(nm.compile(wide, 1, 0.1, threads=2))
    kernel = model.kernels.kernel
    assert kernel.plan.training.inner
    assert compiled_parts(model.kernels).linked == set(kernel.bundles["train"])


CALLING = """forward:
	.loc	1 3
	vaddps	%ymm0, %ymm1, %ymm2
	callq	nm.second
	.loc	1 9
	vmulps	%ymm0, %ymm1, %ymm2
	retq
nm.first:
	vsubps	%ymm0, %ymm1, %ymm2
	retq
nm.second:
	callq	nm.first
	vdivps	%ymm0, %ymm1, %ymm2
	retq
"""


@pytest.mark.parametrize(("lines", "linked", "packed"), [((3, 3), True, 3), ((9, 9), True, 1), ((9, 9), False, 4)])
def test_a_piece_has_its_lines_and_what_they_call(lines: tuple[int, int], linked: bool, packed: int) -> None:
    """Through routines in any order; all of its function where instructions have no lines."""
    found = Compiled({}, {}, {"forward": routines_of(CALLING)}, frozenset({"forward"} if linked else {"backward"}))
    piece = Piece("forward", "forward", "product", "", lines, -1, (), Work())
    assert found.tally_of([piece]).packed == packed


def test_library_calls_are_told() -> None:
    """A scalar call in a piece's own lines is counted for it, and one elsewhere is not."""
    routines = {"forward": routines_of(X86)}
    compiled = Compiled({}, {}, routines, frozenset({"forward"}))
    piece = Piece("forward", "forward", "block", "", (13, 15), -1, ((0, 1.0),), Work())
    assert compiled.tally_of([piece]).library_calls == ("expf",), "to fill memory is no work of one number at a time"
    product = compiled.tally_of([replace(piece, lines=(11, 12))])
    assert product.library_calls == ()
    assert (product.packed, product.scalar) == (4, 2), "with the routine that it calls"


def test_inspecting_changes_nothing(model: nm.Model) -> None:
    parameters, state, losses = nm.get_parameters(model), model.state, model.losses.copy()
    nm.seed(11)
    nm.inspect(model)
    after = nm.get_parameters(model)
    assert all((parameters[name] == after[name]).all() for name in parameters)
    assert all((state[name] == model.state[name]).all() for name in state)
    assert (losses == model.losses).all()
    drawn = nm.get_parameters(nm.build(model))
    nm.seed(11)
    again = nm.get_parameters(nm.build(model))
    assert all((drawn[name] == again[name]).all() for name in drawn), "the generator that seed sets was not used"


def test_a_model_that_is_not_built_stays_so(inspection: Inspection) -> None:
    model = nm.compile(RECURRENT, BATCH, 0.1, bptt_steps=WINDOW, threads=1)
    found = model.inspect()
    assert not model.built
    assert found.assembly == inspection.assembly
    assert found.seconds > 0


def test_a_released_model_is_refused() -> None:
    model = nm.compile(RECURRENT, BATCH, 0.1)
    nm.release(model)
    with pytest.raises(nm.ModelStateError, match="the model was released; compile its text again"):
        nm.inspect(model)


def test_a_model_whose_loss_is_not_finite_is_refused(model: nm.Model) -> None:
    wild = nm.compile(RECURRENT, BATCH, 0.1, bptt_steps=WINDOW, threads=1)
    nm.build(wild)
    nm.set_parameters(wild, {"output.weight": 3e38, "output.bias": 3e38})
    with pytest.raises(nm.TrainingDivergedError, match="inspect runs the model on random data, and its loss"):
        nm.inspect(wild)


def test_there_is_nothing_to_inspect_with_jit_off() -> None:
    code = (
        f"import neuromorph as nm\nmodel = nm.compile({DENSE!r}, 2, 0.1)\n"
        "try:\n    nm.inspect(model)\nexcept nm.ModelStateError as error:\n    print(error)"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "inspect shows compiled kernels, and there are none with JIT off (NUMBA_DISABLE_JIT)\n"


# Tables ---------------------------------------------------------------------------------------------------------------


def test_the_tables_have_every_node_buffer_and_piece(inspection: Inspection) -> None:
    text = str(inspection)
    for title in ("plan: time loops", "plan: sibling layers", "plan: buffers", "pieces of the kernel", "nodes"):
        assert re.search(rf"^{title}", text, re.MULTILINE)
    for node in inspection.nodes:
        assert re.search(rf"^  {node.name} +{node.kind}", text, re.MULTILINE)
    for buffer in inspection.buffers:
        assert buffer.holds in text
    assert "of the peak of" in text
    assert "code between the pieces" in text
    assert "waiting for other threads" not in text, "there is one thread"
    assert text.count("weight gradient") >= 3


def test_waiting_for_other_threads_is_told_beside_the_pieces(inspection: Inspection) -> None:
    waiting = inspection.pieces_seconds - inspection.waiting_seconds
    busy = replace(inspection, threads=2, waiting_seconds=waiting)
    row = rf"{re.escape(time_text(waiting))} +50% +waiting for other threads"
    assert re.search(row, str(busy))
    page = busy.html()
    assert f"{time_text(waiting)} of it waiting for other threads" in page
    assert re.search(r"waiting for other threads</td>.*?<span>50%</span><i style=\"--part:100\.00%", page)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.5, "2.5 s"),
        (1.5e-3, "1.5 ms"),
        (12.34e-6, "12.3 µs"),
        (5e-9, "5 ns"),
        (0.0, "0 ns"),
        (0.9999, "1 s"),
        (0.00099, "990 µs"),
    ],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_counts_and_shares_in_words() -> None:
    assert [count_text(x) for x in (0, 999, 1500, 2.5e6, 3e9, 5e12)] == ["0", "999", "1.5 k", "2.5 M", "3 G", "5,000 G"]
    assert [percent(x) for x in (None, 0.0, 0.034, 0.0996, 0.5, 1.0)] == ["–", "0%", "3.4%", "10%", "50%", "100%"]


def test_the_program_is_that_of_the_machine(model: nm.Model, inspection: Inspection) -> None:
    assert inspection.program == model.kernel_program() == nm.kernel_program(model)
    assert "(keep,write,fresh).s0[t] += state." in inspection.program
    assert [text.title.partition(":")[0] for text in inspection.listings] == [
        "Program of training", "Program of prediction",
    ]  # fmt: skip


def test_the_report_names_the_file_of_the_model(inspection: Inspection, description: str, tmp_path: Path) -> None:
    model = nm.compile(Path(description), BATCH, 0.1)
    nm.save(model, tmp_path / "trained.safetensors")
    assert (model.file, nm.load(tmp_path / "trained.safetensors").file) == (
        description, str(tmp_path / "trained.safetensors"),
    )  # fmt: skip
    assert nm.compile(RECURRENT, BATCH, 0.1).file is None
    page = replace(inspection, file="a<b.mdl").html()
    assert "<title>Kernels of a&lt;b.mdl</title>" in page
    assert "<h1>Kernels of a&lt;b.mdl</h1>" in page
    assert str(replace(inspection, file="b.mdl")).startswith("kernel of b.mdl: batch")
    assert "<h1>Kernel report</h1>" in inspection.html()


def test_the_report_as_json(inspection: Inspection) -> None:
    whole = json.loads(json.dumps(inspection.to_dict()))
    assert whole["source"] == inspection.source
    assert whole["pieces"][0]["note"] == inspection.pieces[0].note
    assert whole["gflops"] == inspection.gflops
    figures = inspection.to_dict(texts=False)
    assert not {"program", "source", "ir", "assembly", "svg", "routines", "listings"} & figures.keys()
    assert whole["program"] == inspection.program
    assert len(json.dumps(figures)) < 60_000


# The page -------------------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")


class _Page(html.parser.HTMLParser):
    """The tags of a page, and that they are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(inspection: Inspection, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="a file needs a name, and this path is that of a folder"):
        inspection.save(f"{tmp_path}/page.html/")
    assert list(tmp_path.iterdir()) == []
    inspection.save(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "video"} == set()
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "data", "action", "background"} & attributes.keys(), tag
        assert attributes.get("href", "#code") == "#code"
    assert re.findall(r"https?://[^\"' ]+|@import|url\(", text) == ["http://www.w3.org/2000/svg"]
    assert "default-src 'none'" in text


def test_every_piece_is_linked_between_source_assembly_and_tables(inspection: Inspection) -> None:
    page = _Page(inspection.html())
    lines = [attributes for tag, attributes in page.tags if tag == "div" and "data-p" in attributes]
    rows = {attributes["data-piece"] for tag, attributes in page.tags if tag == "tr" and "data-piece" in attributes}
    numbers = {number for attributes in lines for number in str(attributes["data-p"]).split()}
    assert rows == numbers == {str(piece.number) for piece in inspection.pieces}
    drawn = {attributes["data-node"] for tag, attributes in page.tags if tag == "g" and "data-node" in attributes}
    assert {str(node.index) for node in inspection.nodes} <= drawn


def test_texts_of_the_users_cannot_become_markup(inspection: Inspection) -> None:
    bad = "</script><script>alert(1)</script><b onclick='x'>&amp;"
    pieces = tuple(replace(piece, note=bad) for piece in inspection.pieces)
    nodes = tuple(replace(node, name=bad, what=bad) for node in inspection.nodes)
    groups = tuple(replace(group, nodes=(bad,), reads=(bad,)) for group in inspection.groups)
    buffers = tuple(replace(buffer, holds=bad, name=bad) for buffer in inspection.buffers)
    loops = tuple(replace(loop, nodes=(bad,)) for loop in inspection.loops)
    routines = {"forward": (Routine(bad, (Line("\t" + bad, 1), Line(bad))),)}
    line = Told(1, bad, bad, bad, (0,))
    listings = (Listing(bad, (Section("forward", bad, (line,)),)),)
    hostile = replace(
        inspection, text=bad, file=bad, listings=listings, source=f"# {bad}", cpu=bad,
        optimizer=bad, pieces=pieces, nodes=nodes, groups=groups,
        buffers=buffers, loops=loops, routines=routines,
    )  # fmt: skip
    page = _Page(hostile.html())
    assert page.open == []
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert not [tag for tag, attributes in page.tags if "onclick" in attributes]


DRIVER = """
<script>
const said = {}, step = (name, act) => { act(); said[name] = { chosen: document.getElementById("chosen").textContent,
  source: document.querySelectorAll("#source .on").length, assembly: document.querySelectorAll("#assembly .on").length,
  program: document.querySelectorAll("#program .on").length,
  exact: document.querySelectorAll("#assembly .exact").length, hash: location.hash,
  rows: [...document.querySelectorAll("tr.on")].map(row => row.dataset.node || row.dataset.piece).join(" "),
  seen: [...document.querySelectorAll("#assembly .on, #assembly .exact")].some(line => {
    const place = line.getBoundingClientRect(), pane = document.getElementById("assembly").getBoundingClientRect();
    return place.top >= pane.top && place.bottom <= pane.bottom; }) }; };
step("opened", () => {});
step("node", () => document.querySelector('.graph .node[data-node="NODE"]').dispatchEvent(new MouseEvent("click")));
step("piece", () => document.querySelector('button[data-piece="PIECE"]').click());
step("line", () => document.querySelector('#source [data-l="LINE"]').click());
step("told", () => document.querySelector('#program .told[data-stage="backward"]').click());
step("key", () => document.querySelector('.graph .node[data-node="NODE"]').dispatchEvent(
  new KeyboardEvent("keydown", { key: "Enter", bubbles: true })));
step("cleared", () => document.getElementById("none").click());
const look = element => { const style = getComputedStyle(element); return [style.color, style.backgroundColor]; };
document.title = JSON.stringify({ said, page: look(document.body), wide: document.documentElement.scrollWidth,
  tags: document.querySelectorAll("script").length, error: document.documentElement.dataset.error || "",
  cut: [...document.querySelectorAll(".scroll")].filter(box => box.scrollWidth > box.clientWidth).length,
  ready: document.documentElement.dataset.ready || "" });
</script>
"""


def browsed(inspection: Inspection, folder: Path, *, dark: bool, width: int, hash: str = "") -> dict[str, Any]:
    """What the page does in a headless Chromium when it is clicked through."""
    output = next(node for node in inspection.nodes if node.name == "output")
    piece = next(piece for piece in inspection.pieces if piece.function == "forward" and piece.flops)
    numbers = {"NODE": output.index, "PIECE": piece.number, "LINE": piece.lines[1]}
    driver = re.sub("NODE|PIECE|LINE", lambda found: str(numbers[found.group()]), DRIVER)
    (folder / "report.html").write_text(inspection.html().replace("</body>", driver + "</body>"), encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", f"file://{folder}/report.html{hash}",
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in found.stderr, "errors and refused loads are told there"
    title = re.search(r"<title>(\{.*?\})</title>", found.stdout, re.DOTALL)
    assert title is not None, found.stdout[:500]
    return dict(json.loads(title.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")))


@in_browser
def test_the_page_in_a_real_browser(inspection: Inspection, tmp_path: Path) -> None:
    """Light and wide: graph, tables, source and assembly select one another, and no script fails."""
    found = browsed(inspection, tmp_path, dark=False, width=1400)
    assert (found["error"], found["ready"]) == ("", "yes")
    said = found["said"]
    assert said["opened"]["chosen"].startswith("Choose a node")
    output = next(node for node in inspection.nodes if node.name == "output")
    assert said["node"]["chosen"].startswith("output time")
    assert said["node"]["hash"] == f"#node-{output.index}"
    assert said["node"]["source"] == sum(last - first + 1 for first, last in output.lines)
    assert said["node"]["assembly"] > 20
    assert str(output.index) in said["node"]["rows"].split()
    assert said["piece"]["assembly"] > 5
    assert found["cut"] == 0, "every column of every table is seen"
    lines = [line for section in inspection.listings[0].sections for line in section.lines]
    assert said["node"]["program"] == len([line for line in lines if output.index in line.nodes]) + len(
        [line for section in inspection.listings[1].sections for line in section.lines if output.index in line.nodes]
    )
    assert said["piece"]["program"] > 0
    assert said["told"]["source"] > 0
    assert said["told"]["chosen"].endswith(" backward")
    assert said["line"]["exact"] > 5
    assert re.match(r"line [0-9]+ [0-9]+ instructions; time", said["line"]["chosen"])
    assert said["key"]["chosen"] == said["node"]["chosen"]
    assert all(said[name]["seen"] for name in ("node", "piece", "line")), "what is chosen is scrolled to"
    assert (said["cleared"]["source"], said["cleared"]["assembly"], said["cleared"]["hash"]) == (0, 0, "")
    assert found["page"] == ["rgb(31, 35, 40)", "rgb(255, 255, 255)"]


@in_browser
def test_the_page_in_the_dark_and_narrow_opens_where_its_address_says(inspection: Inspection, tmp_path: Path) -> None:
    found = browsed(inspection, tmp_path, dark=True, width=520, hash="#piece-1")
    assert (found["error"], found["ready"]) == ("", "yes")
    assert inspection.pieces[1].note in found["said"]["opened"]["chosen"]
    assert found["said"]["opened"]["source"] > 0
    assert found["page"] == ["rgb(230, 237, 243)", "rgb(13, 17, 23)"]
    assert found["wide"] <= 520, "tables and code scroll by themselves"


# The tool -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tool() -> Any:
    """tools/inspect_kernel.py as a module."""
    return loaded(REPOSITORY / "tools" / "inspect_kernel.py")


@pytest.fixture
def description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model of this file as a file; and the environment restored afterwards."""
    monkeypatch.delenv("NEUROMORPH_SIMD_BITS", raising=False)
    monkeypatch.setitem(os.environ, "NEUROMORPH_SIMD_BITS", "128")
    monkeypatch.delitem(os.environ, "NEUROMORPH_SIMD_BITS")
    path = tmp_path / "model.mdl"
    path.write_text(RECURRENT)
    return str(path)


SAME = ["--batch", str(BATCH), "--window", str(WINDOW), "--threads", "1"]


def test_the_tool_prints_tables_and_writes_the_page(
    tool: Any, description: str, inspection: Inspection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.html"
    assert tool.main(["--mdl", description, *SAME, "--html", str(target)]) == 0
    out, err = capsys.readouterr()
    assert "pieces of the kernel, in its order" in out
    assert err.endswith(f"wrote {target}\n")
    page = target.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<h1>Kernels of model.mdl</h1>" in page


def test_the_tool_prints_the_texts_that_are_asked_for(
    tool: Any, description: str, inspection: Inspection, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(nm, "inspect", lambda model: inspection)
    assert (
        tool.main(
            [
                description,
                *SAME,
                "--program",
                "--source",
                "--assembly",
                "gradient_norm",
                "--ir",
                "gradient_norm",
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["program"], found["source"]) == (inspection.program, inspection.source)
    assert found["ir"] == {"gradient_norm": inspection.ir["gradient_norm"]}
    assert list(found["assembly"]) == ["gradient_norm"]
    assert found["assembly"]["gradient_norm"].count("\n; ") > 3
    assert len(found["nodes"]) == len(inspection.nodes)


def test_the_tool_takes_a_saved_model(
    tool: Any, model: nm.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nm.save(model, tmp_path / "model.safetensors")
    assert tool.main(["--mdl", str(tmp_path / "model.safetensors"), "--source"]) == 0
    assert capsys.readouterr().out == nm.kernel_source(model) + "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments --mdl FILE is required"),
        (["x.safetensors", "--batch", "3"], "--batch is for model descriptions; a saved model has its own"),
        (["x.mdl", "--batch", "0"], "must be at least 1, not 0"),
        (["x.mdl", "--simd", "100"], "--simd: invalid choice: "),
        (["x.mdl", "--html", "no/such/folder/x.html"], "--html: there is no folder 'no/such/folder'"),
    ],
)
def test_wrong_arguments_of_the_tool(
    tool: Any, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        tool.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_files_that_are_at_fault(tool: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, foreign = tmp_path / "bad.mdl", tmp_path / "foreign.safetensors"
    bad.write_text("/xavier,zero/ (input, 2")
    foreign.write_bytes(b"nothing")
    for path, message in (
        (bad, "error: .*expected"),
        (foreign, "error: .*foreign"),
        (tmp_path / "none.mdl", "No such file"),
    ):
        assert tool.main([str(path)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert re.match(message if message.startswith("error") else f"error: .*{message}", err), err


def test_a_model_that_does_not_fit_into_memory(
    tool: Any, description: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def inspected(model: nm.Model) -> Inspection:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr(nm, "inspect", inspected)
    assert tool.main([description, *SAME]) == 1
    assert capsys.readouterr().err == "error: not enough memory: Unable to allocate 3 TiB\n"


def test_a_page_that_cannot_be_written(
    tool: Any, description: str, inspection: Inspection, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(nm, "inspect", lambda model: inspection)
    assert tool.main([description, *SAME, "--html", str(tmp_path)]) == 1
    assert re.match(r"error: .*Is a directory", capsys.readouterr().err)


def test_a_function_that_is_not_there(
    tool: Any, description: str, inspection: Inspection, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(nm, "inspect", lambda model: inspection)
    assert tool.main([description, *SAME, "--assembly", "foo"]) == 1
    assert capsys.readouterr().err.startswith("error: the kernel has no function 'foo'; it has forward, measure,")
