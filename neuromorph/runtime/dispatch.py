"""Calls of a training kernel that is made for several members.

A member is a share of a window's work. A team of threads does one each; but a call that is too short to wake anybody
for is made by one thread alone, which does the shares of all of them, with the same bits: at once where these do not
depend on it, else one after the other. There every statement of Python's counts: it is the compiled ``lead`` that finds
out what is to be done, and does it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..abi.mailbox import GRADIENTS, WAITING, new_box
from ..codegen import CALL_ARRAYS, TRAINED
from ..host.interrupts import held
from .autotune import Contest, Way
from .memory import Memory
from .threadpool import Stay, Team, run_together, take

if TYPE_CHECKING:
    from .kernels import Kernels


SOON_THERE = 1e-3  # seconds that a team is waited for at most, between two parts of a call


def call_members(kernels: Kernels, memory: Memory, arguments: tuple[Any, ...], enough: int) -> int:
    """The kernel's ``train`` by all its members, with the arguments that they share; the sample that it reached.

    Where the threads of this model's last call are still awake, they are called. Else they are woken for ``enough``
    samples, or if calls have followed one another so soon, and for so long, that they will be found awake from now on.
    Where windows are so short that threads may lose by it, one of them does what it has shown to do quicker.
    """
    start, stop, mode = arguments[0], arguments[1], arguments[4]
    if not kernels.contested or mode == GRADIENTS:  # whose windows may have any length
        return _call(kernels, memory, arguments, enough)
    if stop - start < kernels.contested_from[mode]:
        return int(kernels.train(0, kernels.threads, *memory.alone(kernels.threads), *arguments))
    return _contest(kernels, memory, arguments, enough)


def _contest(kernels: Kernels, memory: Memory, arguments: tuple[Any, ...], enough: int) -> int:
    """A call in parts, each by all threads or by one, which is timed."""
    at, stop, samples, capacity, mode, *rest = arguments
    contest = memory.contests.get(mode)
    if contest is None:
        contest = memory.contests[mode] = Contest(kernels.contested_from[mode] // capacity)
    before = Way.ONE
    for way, windows in contest.parts(-(-(stop - at) // capacity)):
        end = min(stop, at + windows * capacity)
        part = (at, end, samples, capacity, mode, *rest)
        if way is before is Way.ALL:
            _meet_again(memory.team, kernels.threads - 1)
        before, started = way, time.perf_counter()
        if way is Way.ALL:
            reached = _call(kernels, memory, part, min(enough, end - at))
        else:
            reached = int(kernels.train(0, kernels.threads, *memory.alone(kernels.threads), *part))
        if reached < end:
            return reached
        contest.took(way, windows, time.perf_counter() - started)
        at = end
    return int(stop)


def _call(kernels: Kernels, memory: Memory, arguments: tuple[Any, ...], enough: int) -> int:
    """A call by all members or, if it is too short to wake them, by one thread for all."""
    team = memory.team
    if team is not None and team.taken():
        return _call_team(kernels, team, memory.number, arguments, enough)
    if not kernels.compiled:
        return _in_plain_python(kernels, arguments)
    with held():  # an interrupt while a team is taken would leave it taken
        try:
            memory.team = team = take(kernels.threads - 1)
        except RuntimeError:  # no thread can be started
            return int(kernels.train(0, kernels.threads, *new_box(kernels.threads), *arguments))
        return _call_team(kernels, team, memory.number, arguments, enough)


def _call_team(kernels: Kernels, team: Team, user: int, arguments: tuple[Any, ...], enough: int) -> int:
    """A call by a team that was taken, or by this thread for all its members. The team is free afterwards."""
    try:
        reached: int = kernels.lead(team.box, team.numbers, user, enough, *arguments)
        return reached if reached >= 0 else _woken(kernels, team, user, arguments)
    finally:
        team.free.release()


def _meet_again(team: Team | None, members: int) -> None:
    """Let a team that was woken for a call come to where it waits for the next: on its way it needs Python."""
    late = time.perf_counter() + SOON_THERE
    while team is not None and team.box[WAITING] < members and time.perf_counter() < late:
        time.sleep(0)


def _woken(kernels: Kernels, team: Team, user: int, arguments: tuple[Any, ...]) -> int:
    """A call by threads that sleep, or that wait for another model's calls."""
    _, *others = _members(kernels.threads, (team.box, team.numbers, *arguments))
    mine = (team.box, team.numbers, user, -1, *arguments)
    return int(team.join(kernels.train, others, kernels.lead, mine, _waiting(kernels, team, arguments), user))


def _in_plain_python(kernels: Kernels, arguments: tuple[Any, ...]) -> int:
    """With JIT off, members are threads of Python's."""
    box, numbers = new_box(kernels.threads)
    return int(run_together(kernels.train, _members(kernels.threads, (box, numbers, *arguments))))


def _members(threads: int, shared: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The arguments of each member's call."""
    return [(member, member + 1, *shared) for member in range(threads)]


def _waiting(kernels: Kernels, team: Team, arguments: tuple[Any, ...]) -> Stay:
    """How a member waits for more calls: with all that a model keeps, and nothing of the data of this one."""
    serve, box, numbers, named = kernels.serve, team.box, team.numbers, zip(TRAINED.split(", "), arguments, strict=True)
    kept = [np.empty(0, value.dtype) if name in CALL_ARRAYS else value for name, value in named]
    return lambda member, calls, looks: int(serve(member, box, numbers, calls, looks, *kept))
