"""The layout of the mailbox: the array that the threads of a pool share, and through which they receive calls.

An int64 array of MAILBOX_SIZE. It begins with the counters of barriers. CALLS: the number of calls so far. IN_MAILBOX:
the number of the last call whose arguments are in the mailbox, from GIVEN on; other calls Python has to make. USER: the
model whose calls the members wait for. WAITING: how many members wait. LAST: the model of the last call. ENDED: the
time when it ended. PATIENCE: the time within which the next call must follow to count as back-to-back: half of the time
that members wait for it, once that is known. Times are in ticks of the processor's clock. STREAK: recent work in back-
to-back calls of this user, as a fraction (fixed point, WHOLE = 1) of the work that justifies waking the pool; halved by
each call that did not follow soon. At LASTING times that work the threads are woken to stay awake. CALLS and WAITING,
which other threads read and write, are never in one cache line.

Beside it is an array of floating-point numbers: two of a call's arguments, and from SUMS on two for each member.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CALLS, IN_MAILBOX, USER, LAST, ENDED, STREAK, WAITING, PATIENCE, GIVEN = 16, 17, 18, 19, 20, 21, 24, 25, 32
MAILBOX_SIZE = 56
SUMS = 2
WHOLE, LASTING = 1 << 20, 10  # LASTING: so much work that waking the threads is a small part of it
MEASURE, GRADIENTS, LEARN = 0, 1, 2  # what a call does with a window
NOT_KNOWN = 1 << 56  # ticks


def new_mailbox(members: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A mailbox, and the numbers beside it, for so many members."""
    mailbox = np.zeros(MAILBOX_SIZE, np.int64)
    mailbox[PATIENCE] = NOT_KNOWN
    return mailbox, np.zeros(SUMS + 2 * members)
