"""The parts of the machine's file that are the same for every template: a window, its losses, steps and updates.

A name in brackets, such as ``[lanes]``, is the word of that name at the head of a program.
"""

from __future__ import annotations

OTHERS = """
    op = word(program, pc)
    a0 = word(program, pc + 2)
    if op == SPREAD:
        zr, b0 = word(program, pc + 3), word(program, pc + 4) + t * word(program, pc + 5)
        br = word(program, pc + 6)
        for r in span(0, rows):
            store(work, a0 + r * zr, splat(total(load_head(work, b0 + r * br, 1))))
    elif op == CUT:
        wide, b0 = word(program, pc + 3), word(program, pc + 4) + t * word(program, pc + 5)
        br, limit = word(program, pc + 6), word(program, pc + 7)
        for r in span(0, rows):
            for q in span(0, wide, LANES):
                store(work, a0 + r * wide + q, head(load(work, b0 + r * br + q), splat(0.0), limit - q))
    elif op == FINISH:
        wide, a0, ar = a0, word(program, pc + 3), word(program, pc + 4)
        z0, zr = word(program, pc + 5) + t * word(program, pc + 6), word(program, pc + 7)
        adds, keep = word(program, pc + 8), word(program, pc + 9)
        upto, exact = word(program, pc + 10), word(program, pc + 11)
        b0, br, bi = word(program, pc + 12) + t * word(program, pc + 13), word(program, pc + 14), word(program, pc + 15)
        for r in span(0, rows):
            for q in span(0, wide, LANES):
                value = head(load(work, a0 + r * ar + q), load(work, b0 + r * br + q * bi), keep - q)
                value = head(value, splat(0.0), upto - q)
                if adds == 1:
                    value = load(work, z0 + r * zr + q) + value
                if exact - q >= LANES:
                    store(work, z0 + r * zr + q, value)
                else:
                    store_head(work, z0 + r * zr + q, value, exact - q)
    elif op == FORWARD:
        a0 += t * word(program, pc + 3)
        c0 = word(program, pc + 6) + t * word(program, pc + 7)
        product(
            work, a0, weights, word(program, pc + 5), work, c0, weights, word(program, pc + 13), rows,
            word(program, pc + 9), word(program, pc + 10), word(program, pc + 11), word(program, pc + 4), 0,
            word(program, pc + 8), word(program, pc + 12), word(program, pc + 14),
        )
    elif op == BACKWARD:
        a0 += t * word(program, pc + 3)
        c0 = word(program, pc + 6) + t * word(program, pc + 7)
        product(
            work, a0, transposed, word(program, pc + 5), work, c0, work, 0, rows,
            word(program, pc + 9), word(program, pc + 10), word(program, pc + 11), word(program, pc + 4), 0,
            word(program, pc + 8), word(program, pc + 12), word(program, pc + 14),
        )
    elif op == WEIGHT:
        turned_product(
            work, a0, work, word(program, pc + 4), gradients, word(program, pc + 6), work, 0, word(program, pc + 7),
            rows, word(program, pc + 8), word(program, pc + 9), word(program, pc + 3), word(program, pc + 5), 0, 0, 1,
        )
    elif op == COLUMNS:
        column_sums(work, a0, word(program, pc + 3), rows, gradients, word(program, pc + 4), word(program, pc + 5))
    elif op == SOFTMAX:
        a0 += t * word(program, pc + 3)
        z0 = word(program, pc + 5) + t * word(program, pc + 6)
        softmax_rows(work, a0, word(program, pc + 4), z0, word(program, pc + 7), rows, word(program, pc + 8))
    elif op == SOFTMAX_GRADIENT:
        a0 += t * word(program, pc + 3)
        b0 = word(program, pc + 5) + t * word(program, pc + 6)
        z0 = word(program, pc + 8) + t * word(program, pc + 9)
        ar, br, zr = word(program, pc + 4), word(program, pc + 7), word(program, pc + 10)
        if word(program, pc + 12) == 1:
            softmax_gradient_added(work, a0, ar, b0, br, z0, zr, rows, word(program, pc + 11))
        else:
            softmax_gradient(work, a0, ar, b0, br, z0, zr, rows, word(program, pc + 11))
    elif op == MASK:
        ar, wide, node = word(program, pc + 3), word(program, pc + 4), word(program, pc + 5)
        threshold, scale = word(program, pc + 6), number(numbers, word(program, pc + 7))
        if noise < 0:
            threshold, scale = 0, 1.0
        for r in span(0, rows):
            first, second = row_noise(noise, node, r)
            for q in span(0, wide, LANES):
                store(work, a0 + r * ar + q, scale * kept(first, second, q, threshold))
"""

WINDOW = '''

@njit(**JIT)
def run(program, place, steps, backward, work, weights, transposed, gradients, numbers, noise):
    """A list of segments, each over the window at once or step by step."""
    lanes = [lanes]
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        begin, end = word(program, here + 1), word(program, here + 2)
        if word(program, here) == 0:
            segment(program, begin, end, 0, steps * lanes, work, weights, transposed, gradients, numbers, noise)
        elif backward:
            for t in span(steps - 1, -1, -1):
                segment(program, begin, end, t, lanes, work, weights, transposed, gradients, numbers, noise)
        else:
            for t in span(0, steps):
                segment(program, begin, end, t, lanes, work, weights, transposed, gradients, numbers, noise)


@njit(**JIT)
def take(program, rows, work, x, x0):
    """The inputs of a window, in rows of whole vectors."""
    width, here, row = [width], [x], [x_row]
    for r in span(0, rows):
        for q in span(0, width, LANES):
            store(work, here + r * row + q, load_head(x, x0 + r * width + q, width - q))


@njit(**JIT)
def give(program, rows, work, y, y0):
    """The results of a window."""
    width, here, row = [wide], [y], [y_row]
    for r in span(0, rows):
        for q in span(0, width, LANES):
            store_head(y, y0 + r * width + q, load(work, here + r * row + q), width - q)


@njit(**JIT)
def vectors_in(program, work, weights):
    """The parameter vectors, where operations read them."""
    place = [vectors]
    for n in span(0, word(program, place)):
        source, target = word(program, place + 1 + 3 * n), word(program, place + 2 + 3 * n)
        for q in span(0, word(program, place + 3 + 3 * n), LANES):
            store(work, target + q, load(weights, source + q))
'''

MEASURE = '''    """The loss of every row, and the start of the gradients."""
    kind, width, parameter = [loss], [wide], float(number(numbers, 0))
    share = float(width) if [mean] == 1 else 1.0
    has_units, unit_mean, unit_scale = [units], [unit_mean], [unit_scale]
    for r in span(0, steps * [lanes]):
        weight = float(row_weights[weight0 + r])
        result0, logit0 = [result] + r * [result_row], [logit] + r * [logit_row]
        target0, wanted0 = [target] + r * [target_row], expected0 + r * width
        if weight == 0.0:
            row_losses[r] = 0.0
            for q in span(0, width, LANES):
                store(work, target0 + q, splat(0.0))
        else:
            if [skips] == 1:
                counts = splat(0.0)
                for q in span(0, width, LANES):
                    target = load_head(expected, wanted0 + q, width - q)
                    one = where(target <= target, splat(1.0), splat(0.0))
                    counts = counts + head(one, splat(0.0), width - q)
                share = 1.0 * float(total(counts))
            scale = weight * unit * scale_all / share
            loss = splat(0.0)'''

MEANS = '''

@njit(**JIT)
def sample_losses(program, steps, row_weights, weight0, row_losses, losses, sample):
    """Losses of the samples; whether all are finite."""
    check, lanes = 0.0, [lanes]
    for t in span(0, steps):
        sum_loss, sum_weight = 0.0, 0.0
        for r in span(t * lanes, (t + 1) * lanes):
            weight, loss = 1.0 * float(row_weights[weight0 + r]), 1.0 * float(row_losses[r])
            sum_loss += weight * loss
            sum_weight += weight
        loss = sum_loss / sum_weight if sum_weight > 0.0 else 0.0
CAREFUL_MEAN        check += 0.0 * loss
        losses[sample + t] = loss
    return check == 0.0
'''

SMALL, LARGE = "1.0e-100", "1.0e100"

CAREFUL_MEAN = f"""        normal = {SMALL} < sum_weight < {LARGE} and -{LARGE} < sum_loss < {LARGE}
        if sum_weight > 0.0 and not normal:
            most, top, sum_weight, mean = 0.0, 0.0, 0.0, 0.0
            for r in span(t * lanes, (t + 1) * lanes):
                weight, loss = 1.0 * float(row_weights[weight0 + r]), 1.0 * float(row_losses[r])
                most = max(most, weight)
                top = max(top, loss, -loss)
            for r in span(t * lanes, (t + 1) * lanes):
                sum_weight += 1.0 * float(row_weights[weight0 + r]) / most
            for r in span(t * lanes, (t + 1) * lanes):
                weight, loss = 1.0 * float(row_weights[weight0 + r]), 1.0 * float(row_losses[r])
                mean += weight / most / sum_weight * (0.25 * loss)
            mean = 4.0 * mean
            loss = top if mean > top else -top if mean < -top else mean
"""

STEPS = '''

@njit(**JIT)
def zero(program, steps, work):
    """Zeros before the backward pass."""
    place = [zeros]
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        clear(work, word(program, here), word(program, here + 1) + steps * word(program, here + 2))


@njit(**JIT)
def time_shift(program, steps, work):
    """The last steps become those before the first."""
    place = [state]
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        start, step, depth = word(program, here), word(program, here + 1), word(program, here + 2)
        copy(work, start + (steps - depth) * step, start - depth * step, depth * step)


@njit(**JIT)
def transposes(program, place, weights, transposed):
    """The transposed weights for the next backward pass."""
    for n in span(0, word(program, place)):
        here = place + 1 + 6 * n
        rows, columns, panel = word(program, here), word(program, here + 1), word(program, here + 2)
        start, other, there = word(program, here + 3), word(program, here + 4), word(program, here + 5)
        groups = (rows + LANES - 1) // LANES
        for c in span(0, columns):
            first = c // panel * panel
            step = (panel if panel < columns - first else columns - first) * LANES
            source = start + first * rows * LANES + (c - first) * LANES
            for g in span(0, groups):
                begin = g // other * other
                wide = (other if other < groups - begin else groups - begin) * LANES
                target = there + begin * columns * LANES * LANES + (g - begin) * LANES + c * LANES * wide
                left = rows - g * LANES
                if left >= LANES:
                    block_transpose(weights, source + g * LANES * step, step, transposed, target, wide)
                else:
                    for k in span(0, LANES):
                        for n in span(0, LANES):
                            fits = k < left
                            value = weights[source + (g * LANES + k) * step + n] if fits else weights[0] * 0.0
                            transposed[target + n * wide + k] = value


@njit(**JIT)
def gradient_norm(size, gradients, rate):
    """(whether all gradients are finite, at this rate too; the sum of their squares)"""
    square = squares(gradients, 0, size)
    non_finite = 0.0
    if not (square < LARGE and rate < LARGE and rate * square < LARGE):
        non_finite = float(non_finite_numbers(gradients, 0, size, rate))
    return non_finite == 0.0, square
'''

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

TRAIN = f'''

@njit(**JIT)
def train(program, numbers, {ARGUMENTS}):
    """Windows from ``sample`` to ``stop``: mode 0 measures, 1 makes gradients, 2 learns. Where it stopped."""
    lanes, kind, key, updates = [lanes], [optimizer], 0.0, 0.0
    transposes(program, [transposed_once], weights, transposed)
    transposes(program, [transposes], weights, transposed)
    if [drops] == 1:
        key, updates = float(constants[[drop_key]]), float(constants[[drop_key] + 1])
    while sample < stop:
        left = samples - sample
        steps = capacity if capacity < left else left
        rows = steps * lanes
        x0, expected0, weight0 = sample * lanes * [width], sample * lanes * [wide], sample * row_step
        weight, unit = float(rows), 1.0
        if row_step > 0:
            weight = 0.0
            for r in span(0, rows):
                weight += float(row_weights[weight0 + r])
UNIT
        scale_all = 1.0 / weight if weight > 0.0 else 0.0
        noise = window_noise(key, updates) if mode == 2 else -1
        vectors_in(program, work, weights)
        take(program, rows, work, x, x0)
        run(program, [forward], steps, False, work, weights, transposed, gradients, numbers, noise)
        measure(program, numbers, steps, work, expected, expected0, row_weights, weight0, unit, scale_all, row_losses)
        if mode > 0:
            zero(program, steps, work)
            run(program, [backward], steps, True, work, weights, transposed, gradients, numbers, noise)
        if not sample_losses(program, steps, row_weights, weight0, row_losses, losses, sample):
            return sample
        if mode > 0:
            run(program, [gradients], steps, False, work, weights, transposed, gradients, numbers, noise)
            finite, square = gradient_norm([learning], gradients, rate)
            if not finite:
                return sample
            if mode == 2 and weight > 0.0:
                if (clip > 0.0 or SQUARED) and not square - square == 0.0:
                    return sample
                shrink = clip / square**0.5 if clip > 0.0 and square > clip * clip else 1.0
                update(program, weights, gradients, memory, constants, rate, shrink)
                transposes(program, [transposes], weights, transposed)
                updates += 1.0
        time_shift(program, steps, work)
        sample += steps
    return sample
'''

PREDICT = '''

@njit(**JIT)
def forward_only(program, numbers, steps, work, weights):
    """A window's results, and the state behind it."""
    vectors_in(program, work, weights)
    run(program, [forward], steps, False, work, weights, weights, weights, numbers, -1)
    time_shift(program, steps, work)


@njit(**JIT)
def step(program, numbers, batch, work, weights, x, y):
    """One step: 0 for done; nothing changes where it is 1 (sizes do not fit) or 2 (a number is not finite)."""
    if len(x) != batch * [width] or len(y) != batch * [wide]:
        return 1
    check, count = splat(0.0), len(x)
    for n in span(0, count, LANES):
        check = check + 0.0 * load_head(x, n, count - n)
    if not total(check) == 0.0:
        return 2
    take(program, batch, work, x, 0)
    forward_only(program, numbers, 1, work, weights)
    give(program, batch, work, y, 0)
    return 0


@njit(**JIT)
def predict(program, numbers, batch, samples, capacity, work, weights, x, y):
    """The output of every sample, state flowing on from chunk to chunk."""
    sample = 0
    while sample < samples:
        left = samples - sample
        steps = capacity if capacity < left else left
        take(program, steps * batch, work, x, sample * batch * [width])
        forward_only(program, numbers, steps, work, weights)
        give(program, steps * batch, work, y, sample * batch * [wide])
        sample += steps
'''
