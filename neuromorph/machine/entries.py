"""The parts of the machine's file that Python calls: training, window after window, predictions and single steps.

As in ``driver``, a name in brackets is the word of that name at the head of a program.
"""

from __future__ import annotations

from .driver import LARGE, SMALL

UNIT = f"""            if weight > 0.0 and not {SMALL} < weight < {LARGE}:
                unit = {2.0**700!r} if weight < 1.0 else {2.0**-700!r}
                weight = 0.0
                for r in span(0, rows):
                    weight += unit * float(row_weights[weight0 + r])
"""

ARGUMENTS = (
    "sample, stop, samples, capacity, mode, work, weights, transposed, gradients, memory, constants, x, expected, "
    "row_weights, row_step, row_losses, losses, rate, clip"
)

PASSED = (
    "program, numbers, steps, first, adds, mode, work, weights, transposed, gradients, x, x0, expected, expected0, "
    "row_weights, weight0, unit, scale_all, row_losses, noise"
)
PASSES = (
    "program doubles count count count count array array array array data count data count data count number number "
    "array count"
)

TRAIN = f'''

@native("program flag count array array array doubles number number -> flag")
def settle(program, changes, copies, weights, gradients, memory, constants, rate, clip):
    """Check the gradients and, if asked, make one step of the optimizer; whether they are finite."""
    kind = [optimizer]
    finite, square = gradient_norm(program, copies, gradients, rate)
    if not finite:
        return False
    if changes:
        if (clip > 0.0 or SQUARED) and not square - square == 0.0:
            return False
        shrink = clip / square**0.5 if clip > 0.0 and square > clip * clip else 1.0
        update(program, weights, gradients, memory, constants, rate, shrink)
    return True


@native("{PASSES}")
def passes({PASSED}):
    """The passes through some steps: forward, loss and, with gradients, back. first: the row of the whole window to
    begin at. adds: 1 if gradients of parameters are added to those that are there."""
    vectors_in(program, work, weights)
    take(program, steps, first, work, x, x0)
    run(program, [forward], steps, False, first, work, weights, transposed, gradients, numbers, noise)
    MEASURES[[loss]](
        program, numbers, steps, first, work, expected, expected0, row_weights, weight0, unit, scale_all, row_losses
    )
    if mode > 0:
        zero(program, steps, work)
        run(program, [backward], steps, True, 0, work, weights, transposed, gradients, numbers, noise)
        run(program, [gradients], steps, False, adds, work, weights, transposed, gradients, numbers, noise)


@native(TRAIN)
def learn(program, numbers, begin, until, mailbox, shared, {ARGUMENTS}):
    """Windows from ``sample`` to ``stop``: mode 0 measures, 1 makes gradients, 2 learns. Where it stopped.

    Members ``begin`` to ``until`` are run, one after the other. If other threads run the others, all meet twice a
    window: the first thread then makes the update, and the first number in ``shared`` says whether they go on."""
    batch, key, updates = [batch], 0.0, 0.0
    place, chunk = [members], [chunk]
    members = word(program, place)
    space, parties = len(work) // members, members // (until - begin)
    if begin == 0:
        transposes(program, [transposed_once], weights, transposed)
        transposes(program, [transposes], weights, transposed)
    if parties > 1:
        barrier(mailbox, parties)
    if [drops] == 1:
        key, updates = float(constants[[drop_key]]), float(constants[[drop_key] + 1])
    while sample < stop:
        left = samples - sample
        steps = capacity if capacity < left else left
        rows = steps * batch
        x0, expected0, weight0 = sample * batch * [width], sample * batch * [wide], sample * row_step
        weight, unit = float(rows), 1.0
        if row_step > 0:
            weight = 0.0
            for r in span(0, rows):
                weight += float(row_weights[weight0 + r])
UNIT
        scale_all = 1.0 / weight if weight > 0.0 else 0.0
        noise = window_noise(key, updates) if mode == 2 else -1
        for member in span(begin, until):
            own, sums = part(work, member * space), part(gradients, member * [size])
            mine = behind(program, word(program, place + 1 + member))
            if chunk == 0:
                first = batch * member // members
                passes(
                    mine, numbers, steps, first, 0, mode, own, weights, transposed, sums, x, x0, expected, expected0,
                    row_weights, weight0, unit, scale_all, row_losses, noise,
                )
            else:
                first, last = rows * member // members, rows * (member + 1) // members
                if first == last:
                    clear(sums, 0, [size])
                row = first
                while row < last:
                    some = chunk if chunk < last - row else last - row
                    passes(
                        mine, numbers, some, row, 1 if row > first else 0, mode, own, weights, transposed, sums, x, x0,
                        expected, expected0, row_weights, weight0, unit, scale_all, row_losses, noise,
                    )
                    row += some
        if parties > 1:
            barrier(mailbox, parties)
        changes = mode == 2 and weight > 0.0
        if begin == 0:
            goes_on = sample_losses(program, steps, row_weights, weight0, row_losses, losses, sample)
            if goes_on and mode > 0:
                goes_on = settle(program, changes, members, weights, gradients, memory, constants, rate, clip)
            if goes_on and changes and sample + steps < stop:
                transposes(program, [transposes], weights, transposed)
            shared[0] = 1.0 if goes_on else 0.0
        if parties > 1:
            barrier(mailbox, parties)
        if shared[0] == 0.0:
            return sample
        for member in span(begin, until):
            time_shift(behind(program, word(program, place + 1 + member)), steps, part(work, member * space))
        if changes:
            updates += 1.0
        sample += steps
    return sample
'''

PREDICT = '''

@native("program doubles count array array")
def forward_only(program, numbers, steps, work, weights):
    """A window's results, and the state behind it."""
    vectors_in(program, work, weights)
    run(program, [forward], steps, False, 0, work, weights, weights, weights, numbers, -1)
    time_shift(program, steps, work)


@native("data count -> flag")
def all_finite(x, count):
    """Whether all numbers are finite."""
    check = splat(0.0)
    for n in span(0, count, LANES):
        check = check + 0.0 * load_head(x, n, count - n)
    return total(check) == 0.0


@native("program doubles count count count array array data array")
def follow(program, numbers, batch, samples, capacity, work, weights, x, y):
    """The output of every sample, state flowing on from chunk to chunk."""
    sample = 0
    while sample < samples:
        left = samples - sample
        steps = capacity if capacity < left else left
        take(program, steps, 0, work, x, sample * batch * [width])
        forward_only(program, numbers, steps, work, weights)
        give(program, steps * batch, work, y, sample * batch * [wide])
        sample += steps
'''

ENTRIES = f'''

@native(TRAIN)
def train(program, numbers, begin, until, mailbox, shared, {ARGUMENTS}):
    """What ``learn`` does in modes up to 2; in mode UPDATE the step that given gradients make, 1 if they are finite;
    else a prediction of ``row_step`` lanes, from x to ``row_losses``."""
    if mode <= 2:
        return learn(program, numbers, begin, until, mailbox, shared, {ARGUMENTS})
    if mode == UPDATE:
        return 1 if settle(program, True, 1, weights, gradients, memory, constants, rate, clip) else 0
    if mode == STEP and not all_finite(x, row_step * [width]):
        return 2
    follow(program, numbers, row_step, samples, capacity, work, weights, x, row_losses)
    return 0


@native(PREDICTION)
def predict(program, numbers, batch, samples, capacity, work, weights, x, y):
    """The output of every sample, state flowing on from chunk to chunk."""
    train(
        program, numbers, 0, 1, program, numbers, 0, 0, samples, capacity, PREDICT, work, weights, weights, weights,
        weights, numbers, x, x, x, batch, y, numbers, 0.0, 0.0,
    )


@native(ONE_STEP)
def step(program, numbers, batch, work, weights, x, y):
    """One step: 0 for done; nothing changes where it is 1 (sizes do not fit) or 2 (a number is not finite)."""
    if len(x) != batch * [width] or len(y) != batch * [wide]:
        return 1
    return train(
        program, numbers, 0, 1, program, numbers, 0, 0, 1, 1, STEP, work, weights, weights, weights, weights, numbers,
        x, x, x, batch, y, numbers, 0.0, 0.0,
    )
'''
