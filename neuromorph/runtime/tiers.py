"""Decides what runs a model: kernels of its own, or the machine until they are there."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ..graph import Graph
from ..host.exclusive import imported
from ..jit.environment import is_jit_off
from ..options import TIERS, CompileOptions, one_of
from . import background
from .background import Request
from .kernels import Kernels

VARIABLE = "NEUROMORPH_TIER"  # of the environment; what tier="auto" means


def tier_of(options: CompileOptions) -> str:
    """The tier of a model's options, where "auto" means what the variable of the environment says."""
    return options.tier if options.tier != "auto" else one_of(VARIABLE, os.environ.get(VARIABLE) or "auto", TIERS)


def kernels_of(graph: Graph, options: CompileOptions) -> Kernels:
    """The kernels that describe a model before it is built: those of the machine only if nothing else is allowed."""
    return _instant(graph, options) if tier_of(options) == "instant" else Kernels(graph, options)


def _instant(graph: Graph, options: CompileOptions) -> Kernels:
    made: Kernels = imported("neuromorph.runtime.instant").InstantKernels(graph, options)
    return made


def first_kernels(
    text: str, graph: Graph, options: CompileOptions, *, asks: bool = True
) -> tuple[Kernels, Request | None]:
    """The kernels that a model starts with, and the request for kernels of its own if they are compiled meanwhile.

    asks: whether these kernels are requested now.

    Kernels that are in the cache are used at once. Else the machine runs the model, if it is in the cache. Without it,
    the model waits for its kernels, and the machine is compiled in the background for the models to come.
    """
    own, tier = kernels_of(graph, options), tier_of(options)
    if tier != "auto" or _must_wait() or own.are_there():
        return own, None
    if not _machine_is_there(own):
        return own, None
    instant = _instant(graph, options)
    instant.check_size()
    return instant, request_for(text, own) if asks else None


def meanwhile(text: str, own: Kernels, needed: Kernels, *, predicts: bool = False) -> tuple[Kernels, Request] | None:
    """What runs a model that has its own kernels while others that it needs are compiled, and the request for these.

    predicts: whether they are needed for prediction and not for training. None if nobody has to wait for them, or if
    everybody has to.
    """
    if own.tier != "compiled" or tier_of(own.options) != "auto" or _must_wait():
        return None
    if needed.can_predict() if predicts else needed.are_there():
        return None
    return (_instant(own.graph, own.options), request_for(text, needed)) if _machine_is_there(own) else None


def tier_of_part(graph: Graph, options: CompileOptions) -> str:
    """The tier by which a part of a model is predicted without waiting for the compiler, if there is one."""
    own = Kernels(graph, options)
    if tier_of(options) != "auto" or _must_wait() or own.can_predict() or not _machine_is_there(own):
        return "instant" if tier_of(options) == "instant" else "compiled"
    return "instant"


def request_for(text: str, own: Kernels) -> Request:
    """The request for kernels of a model's own; those that skip are needed for training alone."""
    message = {"text": text, "options": asdict(own.options), "skips": own.skips}
    return background.request(message, own.entries[0 if own.skips else 1])


def _machine_is_there(own: Kernels) -> bool:
    """Whether the machine can run a model now. If not, it is compiled in the background."""
    chosen = own.specialised_for
    machine = imported("neuromorph.runtime.instant").machine(chosen)
    if machine.is_there():
        return True
    if machine.asked is None or (machine.asked.poll() and machine.asked.reason is None):  # the cache was cleared
        message: dict[str, Any] = {"machine": [chosen.dtype, chosen.lanes, chosen.registers]}
        machine.asked = background.request(message, machine.entry_in_cache)
    elif machine.asked.ended and machine.asked.reason is not None:
        background.warn_once(machine.asked.reason, "Each model waits in build until its own are compiled")
    return False


def _must_wait() -> bool:
    """Whether nothing can be compiled in the background, or must not be compiled at all."""
    return is_jit_off() or os.environ.get("NEUROMORPH_CACHE_MISS_IS_ERROR") == "1" or not background.is_possible()


@contextmanager
def telling(kernels: Kernels, request: Request | None) -> Iterator[None]:
    """A block in which stderr shows that kernels are compiled, if they are, and how long it takes.

    request: for kernels that are compiled in the background, of which it tells too.
    """
    started: list[float] = []
    if request is not None:
        print("the machine runs the model while its kernels are compiled in the background", file=sys.stderr)

    def begin() -> None:
        started.append(time.perf_counter())
        print("compiling kernels", end="", file=sys.stderr, flush=True)

    kernels.before_compiling = begin
    try:
        yield
    finally:
        kernels.before_compiling = None
        if started:
            print(f", {time.perf_counter() - started[0]:.1f} s", file=sys.stderr)
