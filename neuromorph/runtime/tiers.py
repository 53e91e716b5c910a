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
from .kernels import Kernels, ModelTooLargeError

VARIABLE = "NEUROMORPH_TIER"  # of the environment; what tier="auto" means


def tier_of(options: CompileOptions) -> str:
    """The tier of a model's options, where "auto" means what the variable of the environment says."""
    return options.tier if options.tier != "auto" else one_of(VARIABLE, os.environ.get(VARIABLE) or "auto", TIERS)


def kernels_of(graph: Graph, options: CompileOptions) -> Kernels:
    """The kernels that describe a model before it is built: those of the machine only if nothing else is allowed."""
    return _instant(graph, options) if tier_of(options) == "instant" else Kernels(graph, options)


def _instant(graph: Graph, options: CompileOptions, own: Kernels | None = None) -> Kernels:
    made: Kernels = imported("neuromorph.runtime.instant").InstantKernels(graph, options, own=own)
    return made


def first_kernels(
    text: str, graph: Graph, options: CompileOptions, *, asks: bool = True
) -> tuple[Kernels, Request | None]:
    """The kernels that a model starts with, and the request for kernels of its own if they are compiled meanwhile.

    asks: whether these kernels are requested now.

    Kernels that are in the cache are used at once. Else the machine runs the model, if it is there and its workspace
    fits into memory. If not, the model waits for its kernels; the machine is compiled in the background meanwhile, for
    the models to come, or where that is impossible by this process, for the next model.
    """
    own, tier = kernels_of(graph, options), tier_of(options)
    if tier != "auto" or _must_wait() or own.are_there():
        return own, None
    if not _machine_is_there(own, compiles=True):
        return own, None
    instant = _instant(graph, options)
    if not _fits(instant):
        return own, None
    return instant, request_for(text, own) if asks else None


def meanwhile(
    own: Kernels, needed: Kernels, steps: int | None, before: Kernels | None = None, *, predicts: bool = False
) -> Kernels | None:
    """What runs a model that has its own kernels while others that it needs are compiled: the machine.

    steps: of a window. predicts: whether they are needed for prediction and not for training. None if nobody has to
    wait for them, or if everybody has to.
    """
    if own.tier != "compiled" or tier_of(own.options) != "auto" or _must_wait():
        return None
    if needed.can_predict() if predicts else needed.are_there():
        return None
    instant = before or _instant(own.graph, own.options, own)
    return instant if _machine_is_there(own) and _fits(instant, steps) else None


def can_wait(kernels: Kernels) -> bool:
    """Whether a model that the machine runs may wait for its own kernels instead."""
    return kernels.tier == "instant" and tier_of(kernels.options) == "auto" and not _must_wait()


def _fits(instant: Kernels, steps: int | None = None) -> bool:
    """Whether memory takes what the machine needs for windows of so many steps. It needs more than kernels do."""
    try:
        instant.check_size(steps)
    except ModelTooLargeError:
        return False
    return True


def tier_of_part(graph: Graph, options: CompileOptions) -> str:
    """The tier by which a part of a model is predicted without waiting for the compiler, if there is one."""
    own = Kernels(graph, options)
    if tier_of(options) != "auto" or _must_wait() or own.can_predict() or not _machine_is_there(own):
        return "instant" if tier_of(options) == "instant" else "compiled"
    return "instant"


def request_for(text: str, own: Kernels) -> Request:
    """The request for kernels of a model's own; those that skip are needed for training alone."""
    message = {"text": text, "options": asdict(own.options), "skips": own.skips}
    return background.request(message, last_entry(own))


def last_entry(own: Kernels) -> str:
    """The key in the cache of what a request for kernels compiles last."""
    return own.entries[0 if own.skips else 1]


def _machine_is_there(own: Kernels, *, compiles: bool = False) -> bool:
    """Whether the machine can run a model now. If not, it is compiled in the background, again if that has crashed.

    compiles: whether this process compiles it, when it is first used, if no other one can.
    """
    machine = _machine_of(own)
    if machine.is_there():
        return True
    asked = machine.asked
    if asked is None or (asked.poll() and asked.reason is None):  # the cache was cleared
        machine.ask()
    elif asked.ended and asked.files is not None:  # the cache did not take it
        machine.adopt(asked.files)
        return True
    elif asked.ended and (not asked.lost or background.is_given_up()):
        return compiles
    elif asked.ended and machine.lost < background.MOST_DEATHS:
        machine.lost += 1
        machine.ask()
    elif asked.ended:  # it has crashed each time, which it may do here too
        background.warn_once(asked.reason, "Each model waits in build until its own are compiled")
    return False


def _machine_of(own: Kernels) -> Any:
    """The machine for the element type and vector width of a model."""
    return imported("neuromorph.runtime.instant").machine(own.specialised_for)


def _must_wait() -> bool:
    """Whether nothing can be compiled in the background, or must not be compiled at all."""
    return is_jit_off() or os.environ.get("NEUROMORPH_CACHE_MISS_IS_ERROR") == "1" or not background.is_possible()


def say(line: str) -> None:
    """Print a line about what runs a model."""
    print(line, file=sys.stderr)


@contextmanager
def telling(kernels: Kernels, request: Request | None) -> Iterator[None]:
    """A block in which stderr shows that kernels are compiled, if they are, and how long it takes.

    request: for kernels that are compiled in the background, of which it tells too.
    """
    started: list[float] = []
    if request is not None and not request.ended:
        say("the machine runs the model while its kernels are compiled in the background")
    elif request is not None:
        say("the machine runs the model, and no kernels can be compiled for it in the background")

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
