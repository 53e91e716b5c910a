"""The layout of the mailbox: the array that the threads of a pool share, and through which they receive calls.

The mailbox is an int64 array of MAILBOX_SIZE elements. The counters of barriers come first. Each name below is the
index of one element. Times are in ticks of the processor's clock.

CALLS: the number of calls so far.
IN_MAILBOX: the number of the last call whose arguments are in the mailbox, from GIVEN on. Python makes other calls.
USER: the model whose calls the members wait for.
LAST: the model of the last call.
ENDED: the time when the last call ended.
STREAK: how much work this user did in recent back-to-back calls. It is a fixed-point number: WHOLE stands for the
    work that justifies waking the pool. A call that is not back-to-back halves it. At LASTING times WHOLE, the
    threads are woken to stay awake.
WAITING: the number of members that wait.
PATIENCE: a call within this time after the last one is back-to-back. It is half of the time that members wait for a
    call, once that time is known.

Other threads read and write CALLS and WAITING, so these two are never in one cache line.

A second array holds floating-point numbers: two arguments of the call, and from SUMS on two numbers for each member.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CALLS, IN_MAILBOX, USER, LAST, ENDED, STREAK, WAITING, PATIENCE, GIVEN = 16, 17, 18, 19, 20, 21, 24, 25, 32
MAILBOX_SIZE = 56
SUMS = 2
WHOLE, LASTING = 1 << 20, 10  # after LASTING times the work, waking the threads costs little beside it
MEASURE, GRADIENTS, LEARN = 0, 1, 2  # what a call does with a window
UPDATE = 5  # the mode in which the machine makes the optimizer's step with gradients that it is given
NOT_KNOWN = 1 << 56  # ticks


def new_mailbox(members: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The mailbox for ``members`` members, and the array of floating-point numbers that goes with it."""
    mailbox = np.zeros(MAILBOX_SIZE, np.int64)
    mailbox[PATIENCE] = NOT_KNOWN
    return mailbox, np.zeros(SUMS + 2 * members)
