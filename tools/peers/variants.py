"""The ways to write a case that are worth trying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from .case import Case
from .engine import SPARSE, Variant
from .program import Program
from .writer import program

BIG_WINDOW = 10_000_000  # floating-point operations of a window beside which a call of its own costs little
CONVOLUTIONS = {"product": "taps side by side", "sum": "a product a tap", "convolution": "convolution"}


def variants(engine: str, case: Case, *, thorough: bool, flops: int) -> list[Variant]:
    """The ways worth trying, those that are another's equal left out and the likeliest to win (JAX), or the quickest to
    prepare (PyTorch), first. thorough: torch.compile too, and JAX's scan over time unrolled by 4."""
    shape = _shape(case)
    if engine.startswith("jax"):
        return list(_jax(case, shape, big=flops * case.window > BIG_WINDOW, thorough=thorough))
    return list(_torch(case, shape, thorough=thorough))


def written(case: Case, variant: Variant) -> Program:
    """The program of a way."""
    graph = case.model().graph
    return program(graph, fused=variant.fused, layered=variant.layered, linear=variant.linear)


@dataclass(frozen=True)
class _Shape:
    """What there is to write in different ways: ``styles`` (name, fields) from the plainest, the last the likeliest."""

    styles: tuple[tuple[str, dict[str, Any]], ...]
    looped: bool
    linear: bool
    convolutions: bool
    sparse: bool


def _shape(case: Case) -> _Shape:
    graph: Any = case.model().graph
    plain, fused, layered, linear = (
        program(graph, **options)
        for options in (
            {"fused": False},
            {"fused": True},
            {"fused": True, "layered": True},
            {"fused": True, "layered": True, "linear": True},
        )
    )
    styles: list[tuple[str, dict[str, Any]]] = [("fused", {"fused": True})]
    if plain.source == fused.source or not fused.loops:
        styles = [("straight", {"fused": True})]
    else:
        styles.insert(0, ("node by node", {}))
    if layered.source != fused.source and layered.loops > 1:
        styles.append(("layer by layer", {"fused": True, "layered": True}))
    return _Shape(
        tuple(styles), fused.loops > 0, linear.loops < layered.loops, "convolution(" in fused.source, _sparse(graph)
    )


def _sparse(graph: Any) -> bool:
    """Whether a frozen matrix is drawn with few numbers that are not zero."""
    frozen = [array.drawn for array in graph.arrays if not array.learns]
    return any(record.name == "spectral" and numbers[-1] < SPARSE for record, numbers in frozen)


# JAX -----------------------------------------------------------------------------------------------------------------


def _jax(case: Case, shape: _Shape, *, big: bool, thorough: bool) -> Iterator[Variant]:
    full = min(case.window, 16)
    ends = sorted({1, full}) if shape.looped else [1]
    best = Variant("", "scan", fused=True)
    if shape.linear:
        linear = replace(best, layered=True, linear=True)
        yield from _unrolled("jit, linear loop", linear, ends)
        yield replace(linear, name="jit, associative scan", parallel=True)
    for name, fields in reversed(shape.styles[1:] or shape.styles):
        yield from _unrolled(f"jit, {name}", replace(best, **fields), ends)
    if shape.convolutions:
        yield from _with_convolutions("jit", best)
    if shape.sparse:
        yield from _unrolled("jit, sparse", replace(best, sparse=True), ends)
    if big:
        yield from _unrolled("jit a window, fused", replace(best, how="calls"), ends[-1:])
    if thorough and shape.looped and full > 4:
        yield from _unrolled("jit, fused", best, [4])
    for name, _ in shape.styles[:-1][:1]:
        yield from _unrolled(f"jit, {name}", replace(best, fused=False), ends)


def _unrolled(name: str, variant: Variant, unrolls: list[int]) -> Iterator[Variant]:
    for unroll in unrolls:
        yield replace(variant, name=f"{name}, unroll {unroll}" if unroll > 1 else name, unroll=unroll)


def _with_convolutions(name: str, variant: Variant) -> Iterator[Variant]:
    """The ways to write convolutions, but the first."""
    for convolution in list(CONVOLUTIONS)[1:]:
        yield replace(variant, name=f"{name}, {CONVOLUTIONS[convolution]}", convolution=convolution)


# PyTorch -------------------------------------------------------------------------------------------------------------


def _torch(case: Case, shape: _Shape, *, thorough: bool) -> Iterator[Variant]:
    best = Variant("", "eager", fused=True)
    for name, fields in shape.styles:
        yield replace(best, **{"fused": False, **fields}, name=f"eager, {name}")
    if shape.convolutions:
        yield from _with_convolutions("eager", best)
    if shape.sparse:
        yield replace(best, name="eager, sparse", sparse=True)
    if shape.linear:
        linear = replace(best, layered=True, linear=True)
        yield replace(linear, name="eager, linear loop")
        yield replace(linear, name="eager, parallel scan", parallel=True)
    if case.module is not None:
        yield Variant(f"nn.{case.module}", "module", fused=True)
    if thorough:
        compiled = replace(best, name="torch.compile", how="compile")
        yield compiled
        if shape.convolutions:
            yield from _with_convolutions("torch.compile", compiled)
        if shape.linear:
            fields = {"layered": True, "linear": True, "parallel": True}
            yield replace(compiled, name="torch.compile, parallel scan", **fields)
