"""The box in which a kernel's members find their calls: an int64 array of BOX_SIZE, and what stands where in it.

CALLS: how many calls there were. IN_BOX: the number of the last one whose arguments are in the box, from GIVEN on; the
others Python has to make. WAITING: how many members wait. What different threads write has cache lines of its own.
"""

CALLS, IN_BOX, WAITING, GIVEN = 0, 1, 8, 16
BOX_SIZE = 40
NUMBERS = 2  # numbers with a point that a call has beside
