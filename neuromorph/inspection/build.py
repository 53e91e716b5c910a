"""Builds an inspection from plan, pieces, times and assembly."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..drawing import draw
from ..errors import ModelStateError
from ..graph import Graph, Node
from ..graph.recurrence import computing, domains_of
from ..graph.words import function_of
from ..host.cpu import cpu, simd_bits
from ..runtime.instant import InstantKernels
from ..runtime.seeding import draw_parameters
from ..schedule import InChunks
from ..simd.peak import fma_peak
from .compiled import Compiled, compiled_parts
from .facts import buffers_of, groups_of, loops_of
from .measuring import Timing, measure
from .pieces import Piece, pieces_of
from .records import NodeReport, PieceReport
from .report import Inspection

if TYPE_CHECKING:
    from ..runtime.network import Network


def inspect(model: Network) -> Inspection:
    """The report of a built model's training kernel; see ``neuromorph.inspect``."""
    file, model = model.file, _copied(model)
    kernels, graph, options = model.kernels, model.graph, model.options
    if not kernels.compiled:
        raise ModelStateError("inspect shows compiled kernels, and there are none with JIT off (NUMBA_DISABLE_JIT)")
    kernel, steps = kernels.kernel, options.bptt_steps
    pieces = pieces_of(kernel, steps)
    compiled, timing = compiled_parts(kernels), measure(model, pieces)
    division = kernel.options.division
    peak = fma_peak(kernel.options.threads, dtype=options.dtype)
    found = tuple(_piece(graph, n, pieces, timing, compiled, peak) for n in range(len(pieces)))
    inside = [index for index in computing(graph) if graph.nodes[index].kind != "input"]
    return Inspection(
        file=os.path.basename(file or ""),
        text=graph.text,
        batch_size=options.batch_size,
        bptt_steps=steps,
        dtype=options.dtype,
        optimizer=options.optimizer,
        threads=kernel.options.threads,
        contested=kernels.autotuned,
        chunk=division.rows if isinstance(division, InChunks) else 0,
        cpu=cpu().name,
        lanes=kernel.options.lanes,
        vector_bits=kernel.options.lanes * kernel.options.size * 8,
        machine_bits=simd_bits(),
        parameters=model.parameter_count,
        seconds=timing.window,
        rest_seconds=timing.rest,
        waiting_seconds=timing.waiting,
        lap_seconds=timing.lap,
        laps=timing.laps,
        peak_gflops=peak,
        loops=loops_of(kernel, domains_of(graph)),
        groups=groups_of(kernel),
        buffers=buffers_of(kernel, steps),
        pieces=found,
        nodes=tuple(_node(graph, graph.nodes[index], pieces, found, compiled, peak) for index in sorted(inside)),
        listings=InstantKernels(graph, options).listings(),
        source=kernel.source,
        ir=compiled.ir,
        assembly=compiled.assembly,
        routines=compiled.routines,
        linked=compiled.linked == compiled.routines.keys(),
        svg=draw(graph).svg,
    )


def _copied(model: Network) -> Network:
    """A copy of a model with kernels of its own, so that runs leave the model unchanged. It gets new parameters if the
    model has none yet."""
    state, copied = model.__getstate__(), object.__new__(type(model))
    copied.__setstate__(state | {"options": replace(state["options"], tier="compiled")})
    if not copied.built:
        drawn = draw_parameters(model.graph, np.random.default_rng(0), model.options.dtype)
        copied.prepare()
        copied.set_parameters(drawn)
    return copied


def _piece(
    graph: Graph, number: int, pieces: tuple[Piece, ...], timing: Timing, compiled: Compiled, peak: float
) -> PieceReport:
    piece, seconds = pieces[number], timing.pieces[number]
    whole = sum(timing.pieces) + timing.rest + timing.waiting
    tally = compiled.tally_of([piece])
    return PieceReport(
        number=number,
        function=piece.function,
        stage=piece.stage,
        note=piece.note,
        nodes=tuple((graph.nodes[node].name, share) for node, share in piece.shares),
        lines=piece.lines,
        loop=None if piece.domain < 0 else piece.domain,
        flops=piece.work.flops,
        bytes=piece.work.bytes,
        seconds=seconds,
        share=seconds / whole if whole else 0.0,
        peak_share=_peak_share(piece.work.flops, seconds, peak),
        vector_bits=tally.vector_bits,
        packed_share=tally.packed_share,
        instructions=tally.instructions,
        library_calls=tally.library_calls,
    )


def _node(
    graph: Graph,
    node: Node,
    pieces: tuple[Piece, ...],
    reports: tuple[PieceReport, ...],
    compiled: Compiled,
    peak: float,
) -> NodeReport:
    """The report of a node: its shares of all pieces, added up."""
    mine = [(n, share) for n, piece in enumerate(pieces) for index, share in piece.shares if index == node.index]
    flops = sum(pieces[n].work.flops * share for n, share in mine)
    seconds = sum(reports[n].seconds * share for n, share in mine)
    divided = sum(reports[n].seconds * share for n, share in mine if len(pieces[n].shares) > 1)
    tally = compiled.tally_of([pieces[n] for n, _ in mine if pieces[n].kind != "function"])
    return NodeReport(
        index=node.index,
        name=node.name,
        kind=node.kind,
        what=function_of(node),
        width=node.width,
        parameters=graph.parameters_of(node.index),
        flops=flops,
        bytes=sum(pieces[n].work.bytes * share for n, share in mine),
        seconds=seconds,
        share=sum(reports[n].share * share for n, share in mine),
        divided=divided / seconds if seconds else 0.0,
        peak_share=_peak_share(flops, seconds, peak),
        vector_bits=tally.vector_bits,
        packed_share=tally.packed_share,
        library_calls=tally.library_calls,
        pieces=tuple(n for n, _ in mine),
        lines=tuple(pieces[n].lines for n, _ in mine),
    )


def _peak_share(flops: float, seconds: float, peak: float) -> float | None:
    """The rate of some work as a fraction of the peak rate (GFLOP/s). None where the time or the peak is zero."""
    return flops / seconds / 1e9 / peak if flops and seconds else None
