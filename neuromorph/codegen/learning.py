"""Writes the functions of a learner: ``advance``, which takes a step, and ``settle``, which ends an update.

They are compiled once for an element type and serve every model: what differs is in the control words, which
``abi/learning.py`` explains. The kernels of the model are called by their addresses.
"""

from __future__ import annotations

from ..abi import learning
from ..abi.learning import CALL, PLACE

FUNCTIONS = {  # the kinds of their arguments, each after those that it calls
    "are_finite": ("count", "count"),
    "make_room": ("integers",),
    "keep_state": ("integers",),
    "put_state": ("integers", "count"),
    "settle": ("integers", "count"),
    "learn": ("integers",),
    "advance": ("integers", "given", "given", "given", "taken"),
}
ENTRIES = ("advance", "settle")

_HEAD = """# The functions of a learner.

from neuromorph import simd
from neuromorph.simd import call_at, double_at, move, put_word, single_at, span, word_at

native = simd.native("DTYPE", 4)"""

_BODY = '''

@native("count count -> flag")
def are_finite(address, count):
    """Whether all numbers are finite."""
    check = 0.0
    for i in span(0, count):
        check += 0.0 * NUMBER_AT(address + SIZE * i)
    return check == 0.0


@native("integers")
def make_room(control):
    """The last steps, which windows may still need, move to the front of the rings."""
    keep = control[SINCE] + control[OVERLAP]
    keep = keep if keep < control[COUNT] else control[COUNT]
    keep = keep if keep < control[STEPS] else control[STEPS]
    first = control[ROW] - keep
    for n in span(0, RINGS):
        ring, size = control[INPUTS + 2 * n], control[INPUTS + 2 * n + 1]
        move(ring, ring + first * size, keep * size)
    control[ROW] = keep
    control[END] = control[END] - first if control[END] >= first else -1
    control[WEIGHTED] -= first
    control[UNKNOWN] -= first
    control[COUNTS] -= first


@native("integers")
def keep_state(control):
    """The state before this step, into its ring."""
    target, here = control[STATES] + control[ROW] * control[STATES_SIZE], control[PIECE_TABLE]
    for n in span(0, control[PIECES]):
        move(target, control[here], control[here + 1])
        target += control[here + 1]
        here += PIECE


@native("integers count")
def put_state(control, begin):
    """The state before a step, from its ring into the workspace of training."""
    state, here = control[STATES] + begin * control[STATES_SIZE], control[PART_TABLE]
    for n in span(0, control[PARTS]):
        source, target = state + control[here], control[here + 1]
        for r in span(0, control[here + 2]):
            move(target, source, control[here + 3])
            source += control[here + 4]
            target += control[here + 5]
        here += PART


@native("integers count -> count")
def settle(control, reached):
    """What follows a window of training that reached so many steps: DONE, UPDATED or DIVERGED."""
    steps = control[STEPS_TAKEN]
    if reached < steps:
        control[COUNT], control[END] = 0, -1
        return DIVERGED
    begin = control[BEGIN]
    control[END] = begin + steps
    if control[COUNTS] <= begin:
        return DONE
    control[UPDATES] += 1
    control[LAST], control[LAST_WEIGHTED] = steps, control[IS_WEIGHTED]
    move(control[KEPT_LOSSES], control[LOSSES], 8 * steps)
    if control[IS_WEIGHTED] == 1:
        size = control[WEIGHTS_SIZE]
        move(control[KEPT_WEIGHTS], control[WEIGHTS] + begin * size, steps * size)
    return UPDATED if word_at(control[SIGNALS] + 8 * STREAMED) == 1 else DONE


@native("integers -> count")
def learn(control):
    """One update through the last steps: what ``settle`` says, or MEMBERS where several threads are to run it."""
    steps = control[SINCE] + control[OVERLAP]
    steps = steps if steps < control[STEPS] else control[STEPS]
    steps = steps if steps < control[COUNT] else control[COUNT]
    begin = control[ROW] - steps
    control[SINCE] = 0
    if control[COUNTS] <= begin and control[RUNS_EMPTY] == 0:
        return DONE
    if control[END] != begin:
        put_state(control, begin)
    control[END] = -1
    control[BEGIN], control[STEPS_TAKEN] = begin, steps
    control[IS_WEIGHTED] = 1 if control[WEIGHTED] > begin else 0
    control[SKIPS] = 1 if control[UNKNOWN] > begin else 0
    if control[BY_MEMBERS] == 1:
        return MEMBERS
    function, record, call = control[TRAIN_FUNCTION], control[TRAIN_RECORD], control[TRAIN_CALL]
    if control[SKIPS] == 1:
        function, record, call = control[SKIP_FUNCTION], control[SKIP_RECORD], control[SKIP_CALL]
    control[call + CALL_STOP], control[call + CALL_SAMPLES] = steps, steps
    control[call + CALL_X] = control[INPUTS] + begin * control[INPUTS_SIZE]
    control[call + CALL_EXPECTED] = control[EXPECTED] + begin * control[EXPECTED_SIZE]
    if control[IS_WEIGHTED] == 1:
        control[call + CALL_ROW_WEIGHTS] = control[WEIGHTS] + begin * control[WEIGHTS_SIZE]
        control[call + CALL_ROW_STEP] = control[LANES]
    else:
        control[call + CALL_ROW_WEIGHTS], control[call + CALL_ROW_STEP] = control[ONES], 0
    signals = control[SIGNALS]
    control[call + CALL_RATE] = word_at(signals + 8 * RATE)
    control[call + CALL_CLIP] = word_at(signals + 8 * CLIP)
    put_word(signals + 8 * WRITING, 1)
    reached = call_at(function, control, record)
    put_word(signals + 8 * WRITING, 0)
    return settle(control, reached)


@native("integers given given given taken -> count")
def advance(control, x, target, weight, y):
    """Take a step, and make the update that is due after it. Without x and y, make the update of the steps so far."""
    form, expected_form, weights_form, results_form = x[1], target[1], weight[1], y[1]
    checked, partly, empty = control[CHECKED], control[PARTLY], control[EMPTY]
    control[CHECKED], control[PARTLY], control[EMPTY] = 0, 0, 0
    if word_at(control[SIGNALS] + 8 * MOVED) != control[SEEN]:
        return STALE
    if form == ABSENT and results_form == ABSENT:
        return learn(control) if control[SINCE] > 0 else DONE
    if form != control[FORM] or x[2] != control[X_COUNT]:
        return ODD
    if results_form != form or y[2] != control[Y_COUNT]:
        return ODD
    if expected_form != ABSENT:
        if expected_form != form or target[2] != control[Y_COUNT]:
            return ODD
        if checked == 0 and (control[PICKY] == 1 or not are_finite(target[0], control[Y_COUNT])):
            return ODD
    if control[ROW] == control[ROWS]:
        make_room(control)
    row = control[ROW]
    here = control[INPUTS] + row * control[INPUTS_SIZE]
    move(here, x[0], control[INPUTS_SIZE])
    if expected_form != ABSENT:
        move(control[EXPECTED] + row * control[EXPECTED_SIZE], target[0], control[EXPECTED_SIZE])
    if control[SINCE] == 0 or control[STEPS] != control[EVERY]:
        keep_state(control)
    control[control[STEP_X]], control[control[STEP_Y]] = here, y[0]
    if call_at(control[STEP_FUNCTION], control, control[STEP_RECORD]) != 0:
        return ODD
    size = control[WEIGHTS_SIZE]
    there = control[WEIGHTS] + row * size
    row += 1
    if expected_form == ABSENT:
        move(there, control[ZEROS], size)
        control[WEIGHTED] = row
    else:
        if weights_form == ABSENT:
            move(there, control[ONES], size)
        else:
            move(there, weight[0], size)
            control[WEIGHTED] = row
        if partly == 1:
            control[UNKNOWN] = row
        if empty == 0:
            control[COUNTS] = row
    control[ROW] = row
    control[COUNT] += 1
    control[SINCE] += 1
    return learn(control) if control[SINCE] >= control[EVERY] else DONE
'''


def source_of_learner(dtype: str) -> str:
    """The file of a learner's functions for numbers of a type."""
    size, number_at = (4, "single_at") if dtype == "float32" else (8, "double_at")
    names = {name: getattr(learning, name) for name in _NAMES}
    names |= {name.upper(): place for name, place in PLACE.items()}
    names |= {f"CALL_{name.upper()}": CALL[name] for name in _OF_CALL}
    names["RINGS"] = len(learning.RINGS)
    body = _BODY.replace("NUMBER_AT", number_at).replace("SIZE * i", f"{size} * i")
    constants = (f"{name} = {value}" for name, value in names.items())
    return "\n".join((_HEAD.replace("DTYPE", dtype), *constants, body))


_NAMES = (
    "MOVED", "WRITING", "STREAMED", "RATE", "CLIP", "DONE", "UPDATED", "MEMBERS", "DIVERGED", "ODD", "STALE", "ABSENT",
    "PIECE", "PART",
)  # fmt: skip
_OF_CALL = ("stop", "samples", "x", "expected", "row_weights", "row_step", "rate", "clip")
