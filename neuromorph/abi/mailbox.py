"""The box that the threads of a team share, and through which a kernel's members find each other and their calls.

An int64 array of BOX_SIZE. First comes what barriers count. CALLS: how many calls there were. IN_BOX: the number of the
last one whose arguments are in the box, from GIVEN on; the others Python has to make. USER: whose calls the members
wait for, and WAITING: how many of them do. LAST: whose call the last one was, ENDED: when it ended, and PATIENCE: how
long after that a call follows it soon, in ticks of the processor's clock; half of what members wait for it, once that
is known. STREAK: the work of this user's calls that followed one another soon, in parts of what threads are woken for,
WHOLE to all of it; half is forgotten at each that did not. After LASTING times all of it they are woken to stay. CALLS
and WAITING, which other threads look at and write, are never in one cache line.

Beside it is an array of numbers with a point: two of a call's arguments, and from SUMS on two for each member.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CALLS, IN_BOX, USER, LAST, ENDED, STREAK, WAITING, PATIENCE, GIVEN = 16, 17, 18, 19, 20, 21, 24, 25, 32
BOX_SIZE = 56
SUMS = 2
WHOLE, LASTING = 1 << 20, 10  # so long that to wake them takes a small part of it
MEASURE, GRADIENTS, LEARN = 0, 1, 2  # what a call does with a window
NOT_KNOWN = 1 << 56  # ticks


def new_box(members: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A box, and the numbers beside it, for so many members."""
    box = np.zeros(BOX_SIZE, np.int64)
    box[PATIENCE] = NOT_KNOWN
    return box, np.zeros(SUMS + 2 * members)
