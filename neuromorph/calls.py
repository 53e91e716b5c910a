"""Calls of a training kernel that is made for several members.

A member is a share of a window's work. A team of threads does one each; but a call that is too short to wake anybody
for is made by one thread alone, which does the shares of all of them one after the other, with the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .team import Stay, Team, run_together, take

if TYPE_CHECKING:
    from .kernels import Kernels
    from .model import Memory

SAVED = 220e-6  # seconds that other threads must save to be woken
MORE = 20e-6  # the same for each of them but the first
SOON = 250e-6  # seconds after a model's call in which its next one says that more will follow


def call_members(kernels: Kernels, memory: Memory, arguments: tuple[Any, ...], seconds: float) -> int:
    """The kernel's ``train`` by all its members, with the arguments that they share; the sample that it reached.

    seconds: of work that the call is, about. Where the threads of this model's last call are still awake, they are
    called. Else they are woken, if the work is worth it or if calls follow one another so soon that they will be found
    awake from now on.
    """
    threads, train = kernels.kernel.options.threads, kernels.train
    shared = (memory.sync, memory.sums, *arguments)
    if not hasattr(train, "compile"):  # plain Python, with JIT off
        return int(run_together(train, _members(threads, shared)))
    user, team = memory.number, take(threads - 1, memory.team)
    try:
        memory.team = team
        reached = kernels.lead(team.box, team.numbers, *shared) if team.is_awake_for(user) else -1
        if reached < 0 and not (_pays(seconds, threads) or team.was_called(user, SOON)):
            reached = train(0, threads, *shared)
        if reached < 0:
            mine, *others = _members(threads, shared)
            reached = team.join(train, others, mine, _waiting(kernels, team, shared), user)
        team.called(user)
        return int(reached)
    finally:
        team.free.release()


def _pays(seconds: float, threads: int) -> bool:
    """Whether threads that sleep should be woken for so much work."""
    return seconds - seconds / threads >= SAVED + MORE * (threads - 2)


def _members(threads: int, shared: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The arguments of each member's call."""
    return [(member, member + 1, *shared) for member in range(threads)]


def _waiting(kernels: Kernels, team: Team, shared: tuple[Any, ...]) -> Stay:
    """How a member waits for more calls: with all that a model keeps, and nothing of the data of this one."""
    from .codegen import CALL_ARRAYS, TRAINED

    serve, box, numbers = kernels.serve, team.box, team.numbers
    names = ("sync", "sums", *TRAINED.split(", "))
    kept = [np.empty(0, v.dtype) if name in CALL_ARRAYS else v for name, v in zip(names, shared, strict=True)]
    return lambda member, calls, looks: int(serve(member, box, numbers, calls, looks, *kept))
