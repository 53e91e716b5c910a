"""The parts of the machine's file that are the same for every template: a window, its losses, steps and updates.

A name in brackets, such as ``[lanes]``, is the word of that name at the head of a program.
"""

from __future__ import annotations

OTHERS = """

@native("program count count vector vector -> vector")
def careful(words, flags, q, value, rest):
    column = 0 if flags >= ONE_ROW else q * LANES
    value = head(value, rest, word(words, 5) - column)
    return head(value, splat(0.0), word(words, 6) - column)


@operation
def spread(GIVEN):
    room, offset = word(words, 2), word(words, 4) + t * word(words, 5)
    step, row = word(words, 3), word(words, 6)
    for r in span(0, rows):
        store(work, room + r * step, splat(total(load_head(work, offset + r * row, 1))))


@operation
def cut(GIVEN):
    room, wide = word(words, 2), word(words, 3)
    offset, row = word(words, 4) + t * word(words, 5), word(words, 6)
    limit = word(words, 7)
    for r in span(0, rows):
        for q in span(0, wide, LANES):
            store(work, room + r * wide + q, head(load(work, offset + r * row + q), splat(0.0), limit - q))


@operation
def finish(GIVEN):
    wide, a0, ar = word(words, 2), word(words, 3), word(words, 4)
    z0, zr = word(words, 5) + t * word(words, 6), word(words, 7)
    adds, keep = word(words, 8), word(words, 9)
    upto, exact = word(words, 10), word(words, 11)
    b0, br, bi = word(words, 12) + t * word(words, 13), word(words, 14), word(words, 15)
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


@operation
def forward(GIVEN):
    source = word(words, 2) + t * word(words, 3)
    target = word(words, 6) + t * word(words, 7)
    product(
        work, source, weights, word(words, 5), work, target, weights, word(words, 13), rows,
        word(words, 9), word(words, 10), word(words, 11), word(words, 4), 0,
        word(words, 8), word(words, 12), word(words, 14),
    )


@operation
def backward(GIVEN):
    source = word(words, 2) + t * word(words, 3)
    target = word(words, 6) + t * word(words, 7)
    product(
        work, source, transposed, word(words, 5), work, target, work, 0, rows,
        word(words, 9), word(words, 10), word(words, 11), word(words, 4), 0,
        word(words, 8), word(words, 12), word(words, 14),
    )


@operation
def weigh(GIVEN):
    turned_product(
        work, word(words, 2), work, word(words, 4), gradients, word(words, 6), work, 0,
        word(words, 7), rows, word(words, 8), word(words, 9), word(words, 3),
        word(words, 5), 0, t, 1,
    )


@operation
def columns(GIVEN):
    source, row, target, vectors = word(words, 2), word(words, 3), word(words, 4), word(words, 5)
    column_sums(work, source, row, rows, gradients, target, vectors, t)


@operation
def softmax_of_rows(GIVEN):
    source = word(words, 2) + t * word(words, 3)
    target = word(words, 5) + t * word(words, 6)
    softmax_rows(work, source, word(words, 4), target, word(words, 7), rows, word(words, 8))


@operation
def gradient_of_softmax(GIVEN):
    a0, b0 = word(words, 2) + t * word(words, 3), word(words, 5) + t * word(words, 6)
    z0, width = word(words, 8) + t * word(words, 9), word(words, 11)
    ar, br, zr = word(words, 4), word(words, 7), word(words, 10)
    if word(words, 12) == 1:
        softmax_gradient_added(work, a0, ar, b0, br, z0, zr, rows, width)
    else:
        softmax_gradient(work, a0, ar, b0, br, z0, zr, rows, width)


@operation
def mask(GIVEN):
    offset, row, wide = word(words, 2), word(words, 3), word(words, 4)
    node, threshold, scale = word(words, 5), word(words, 6), number(numbers, word(words, 7))
    lanes, apart = word(words, 8), word(words, 9)
    if noise < 0:
        threshold, scale = 0, 1.0
    number_of_row, lane = t - 1, -1
    for r in span(0, rows):
        number_of_row, lane = number_of_row + 1, lane + 1
        if lane == lanes:
            number_of_row, lane = number_of_row + apart - lanes, 0
        first, second = row_noise(noise, node, number_of_row)
        for q in span(0, wide, LANES):
            store(work, offset + r * row + q, scale * kept(first, second, q, threshold))
"""

WINDOW = '''

@native("program count count count count array array array array doubles count")
def segment(program, pc, end, t, rows, work, weights, transposed, gradients, numbers, noise):
    """Instructions, one after the other."""
    while pc < end:
        words = behind(program, pc)
        OPERATIONS[word(words, 0)](GIVEN)
        pc += word(words, 1)


@native("program count count flag count array array array array doubles count")
def run(program, place, steps, backward, first, work, weights, transposed, gradients, numbers, noise):
    """A list of segments, each over the window at once or step by step. first: what those over the window get for t."""
    lanes = [lanes]
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        begin, end = word(program, here + 1), word(program, here + 2)
        if word(program, here) == 0:
            segment(program, begin, end, first, steps * lanes, work, weights, transposed, gradients, numbers, noise)
        elif backward:
            for t in span(steps - 1, -1, -1):
                segment(program, begin, end, t, lanes, work, weights, transposed, gradients, numbers, noise)
        else:
            for t in span(0, steps):
                segment(program, begin, end, t, lanes, work, weights, transposed, gradients, numbers, noise)


@native("program count count array data count")
def take(program, steps, first, work, x, x0):
    """The inputs of some lanes in a window, in rows of whole vectors. first: the window's row to begin at."""
    width, here, row, lanes = [width], [x], [x_row], [lanes]
    if row == width and [apart] == lanes:
        for q in span(0, steps * lanes * width, LANES):
            store(work, here + q, load(x, x0 + first * width + q))
    else:
        for t in span(0, steps):
            for r in span(t * lanes, (t + 1) * lanes):
                there = x0 + (first + t * ([apart] - lanes) + r) * width
                for q in span(0, width, LANES):
                    store(work, here + r * row + q, load_head(x, there + q, width - q))


@native("program count array array count")
def give(program, rows, work, y, y0):
    """The results of a window."""
    width, here, row = [wide], [y], [y_row]
    for r in span(0, rows):
        for q in span(0, width, LANES):
            store_head(y, y0 + r * width + q, load(work, here + r * row + q), width - q)


@native("program array array")
def vectors_in(program, work, weights):
    """The parameter vectors, where operations read them."""
    place = [vectors]
    for n in span(0, word(program, place)):
        source, target = word(program, place + 1 + 3 * n), word(program, place + 2 + 3 * n)
        for q in span(0, word(program, place + 3 + 3 * n), LANES):
            store(work, target + q, load(weights, source + q))
'''

MEASURE = '''    """The loss of every row, and the start of the gradients."""
    width, parameter = [wide], float(number(numbers, 0))
    share = float(width) if [mean] == 1 else 1.0
    has_units, unit_mean, unit_scale = [units], [unit_mean], [unit_scale]
    lanes, apart, skips = [lanes], [apart], [skips]
    result_row, logit_row, target_row = [result_row], [logit_row], [target_row]
    result0, logit0, target0 = [result] - result_row, [logit] - logit_row, [target] - target_row
    row, lane = first - 1, -1
    for r in span(0, steps * lanes):
        row, lane = row + 1, lane + 1
        result0, logit0, target0 = result0 + result_row, logit0 + logit_row, target0 + target_row
        if lane == lanes:
            row, lane = row + apart - lanes, 0
        weight, wanted0 = float(row_weights[weight0 + row]), expected0 + row * width
        if weight == 0.0:
            row_losses[row] = 0.0
            for q in span(0, width, LANES):
                store(work, target0 + q, splat(0.0))
        else:
            if skips == 1:
                counts = splat(0.0)
                for q in span(0, width, LANES):
                    target = load_head(expected, wanted0 + q, width - q)
                    one = where(target <= target, splat(1.0), splat(0.0))
                    counts = counts + head(one, splat(0.0), width - q)
                share = 1.0 * float(total(counts))
            scale = weight * unit * scale_all / share
            loss = splat(0.0)'''

MEANS = '''

@native("program count data count array doubles count -> flag")
def sample_losses(program, steps, row_weights, weight0, row_losses, losses, sample):
    """Losses of the samples; whether all are finite."""
    check, lanes = 0.0, [batch]
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

@native("program count array")
def zero(program, steps, work):
    """Zeros before the backward pass."""
    place = [zeros]
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        clear(work, word(program, here), word(program, here + 1) + steps * word(program, here + 2))


@native("program count array")
def time_shift(program, steps, work):
    """The last steps become those before the first."""
    place = [state]
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        start, step, depth = word(program, here), word(program, here + 1), word(program, here + 2)
        copy(work, start + (steps - depth) * step, start - depth * step, depth * step)


@native("program count array array")
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


@native("program count array number -> flag number")
def gradient_norm(program, copies, gradients, rate):
    """(whether all gradients are finite, at this rate too; the sum of their squares). Copies are added up first."""
    place, size, end = [sums], [size], [learning]
    for copy in span(1, copies):
        for n in span(0, end, LANES):
            store(gradients, n, load(gradients, n) + load(gradients, copy * size + n))
    overflows, square, own, non_finite = 0, 0.0, 0.0, 0.0
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        if word(program, here) == 1:
            square += own
            own = 0.0
        own += squares(gradients, word(program, here + 1), word(program, here + 2))
        if not (own < LARGE and rate < LARGE and rate * own < LARGE):
            overflows = 1
    if overflows == 1:
        non_finite = float(non_finite_numbers(gradients, 0, end, rate))
    return non_finite == 0.0, square + own
'''
