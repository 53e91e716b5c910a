"""Writes the machine: one Python file for an element type and a vector width, which runs any program.

It is compiled once and serves every model. Its functions are those of a generated kernel, but for what is a literal
number there: the machine reads it from the program.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ..functions import LOSSES
from ..functions.dropout import FIRST, LAST_SHIFT, MIXING, SECOND, WORD
from ..functions.expressions import Expression
from ..optimizers import UPDATES, Update
from . import instructions as i
from .encode import loss_forms
from .templates import MAPS, SUMS, SumTemplate, Template, filled

_T = TypeVar("_T")
LARGE = {"float32": "1.0e38", "float64": "1.0e307"}
LOWEST = {"float32": "-3.0e38", "float64": "-1.0e308"}
TOGETHER = 12  # templates whose instructions one function runs
OPERATION = "integers count count count array doubles"
_WORDS = 4  # of a stream that is read

FUNCTIONS = {
    "others": "integers count count count array array array array doubles count",
    "segment": "integers count count count count array array array array doubles count",
    "run": "integers count count flag array array array array doubles count",
    "take": "integers count array data count",
    "give": "integers count array array count",
    "vectors_in": "integers array array",
    "measure": "integers doubles count array data count data count number number array",
    "sample_losses": "integers count data count array doubles count",
    "zero": "integers count array",
    "time_shift": "integers count array",
    "transposes": "integers count array array",
    "gradient_norm": "count array number",
    "update": "integers array array array doubles number number",
    "train": "integers doubles count count count count count array array array array array doubles data data data "
    "count array doubles number number",
    "forward_only": "integers doubles count array array",
    "step": "integers doubles count array array data array",
    "predict": "integers doubles count count count array array data array",
}
NOISE = {"mixed": "count", "window_noise": "number number", "row_noise": "count count count"}
LAST_OF = {"train": "predict", "predict": "predict", "step": "predict"}  # the function with which an entry compiles


def source_of(dtype: str, lanes: int, registers: int) -> str:
    """The machine's file."""
    return "\n".join((*_head(dtype, lanes, registers), *_body(dtype))) + "\n"


def functions() -> dict[str, tuple[str, ...]]:
    """The kinds of arguments of each function, in the order in which they stand in the file."""
    operations = dict.fromkeys((*_names("maps", MAPS), *_names("sums", SUMS)), OPERATION)
    return {name: tuple(kinds.split()) for name, kinds in {**NOISE, **operations, **FUNCTIONS}.items()}


def _names(name: str, templates: Sequence[object]) -> list[str]:
    return [f"{name}{number}" for number in range(-(-len(templates) // TOGETHER))]


def _head(dtype: str, lanes: int, registers: int) -> Iterator[str]:
    kind = f'"{dtype}", {lanes}'
    yield f"# The machine for {dtype}, vectors of {lanes} and {registers} vector registers."
    yield ""
    yield "from numba import njit"
    yield ""
    yield "from neuromorph import simd"
    yield "from neuromorph.simd import ("
    yield "    absolute, cos, exp, fma, log, maximum, minimum, normal_cdf, number, sigmoid, sin, softplus, span, sqrt,"
    yield "    tanh, where, word,"
    yield ")"
    yield ""
    yield "JIT = {"
    yield '    "nogil": True, "fastmath": False, "boundscheck": False, "error_model": "numpy",'
    yield '    "pipeline_class": simd.KernelCompiler, "no_cfunc_wrapper": True,'
    yield "}"
    yield 'INSIDE = {**JIT, "no_cpython_wrapper": True}'
    yield f"LANES, LOWEST = {lanes}, {LOWEST[dtype]}"
    yield f"VECTORS = simd.vectors({kind})"
    for name in ("load", "load_head", "store", "store_head", "head", "splat", "total", "largest", "softmax", "kept"):
        yield f"{name} = VECTORS.{name}"
    yield f"MOVES = simd.moves({kind})"
    yield "copy, clear = MOVES.copy, MOVES.clear"
    yield f"product = simd.general_product({kind}, {registers}, False)"
    yield f"turned_product = simd.general_product({kind}, {registers}, True)"
    yield f"column_sums = simd.general_sums({kind})"
    yield f"softmax_rows = simd.general_softmax({kind})"
    yield f"softmax_gradient = simd.general_softmax_gradient({kind}, False)"
    yield f"softmax_gradient_added = simd.general_softmax_gradient({kind}, True)"
    yield f"block_transpose = simd.block_transpose({kind})"
    yield f"squares = simd.squares_of(simd.GradientShape({kind}, copies=1, size=0))"
    yield f"non_finite_numbers = simd.non_finite_of(simd.GradientShape({kind}, copies=1, size=0))"


def _body(dtype: str) -> Iterator[str]:
    yield from _noise()
    yield from _operations("maps", MAPS, i.MAP, _map_lines)
    yield from _operations("sums", SUMS, i.SUM, _sum_lines)
    yield from _others()
    yield from _segment()
    yield from _filled(_WINDOW)
    yield from _measure(dtype)
    yield from _filled(_MEANS.replace("CAREFUL_MEAN", _CAREFUL_MEAN if dtype == "float64" else ""))
    yield from _filled(_STEPS.replace("LARGE", LARGE[dtype]))
    yield from _update()
    yield from _filled(_train(dtype))
    yield from _filled(_PREDICT)


def _filled(text: str) -> list[str]:
    """A text's lines, with the places of the words of a program's head for ``[name]``."""
    return re.sub(r"(?<!\w)\[([a-z_]+)\]", lambda found: f"word(program, {i.WORD[found.group(1)]})", text).splitlines()


def _function(name: str, arguments: str, *, entry: bool = False) -> Iterator[str]:
    yield ""
    yield ""
    yield "@njit(**JIT)" if entry else "@njit(**INSIDE)"
    yield f"def {name}({arguments}):"


# Element by element --------------------------------------------------------------------------------------------------


def _operations(
    name: str, templates: Sequence[_T], first: int, lines_of: Callable[[_T], Iterable[str]]
) -> Iterator[str]:
    """Functions that run the instructions of some templates each."""
    for number, function in enumerate(_names(name, templates)):
        yield from _function(function, "program, pc, t, rows, work, numbers")
        yield "    op, wide, base = word(program, pc), word(program, pc + 2), word(program, pc + 3)"
        yield "    z0 = word(program, pc + 4) + t * word(program, pc + 5)"
        yield "    zr, adds = word(program, pc + 6), word(program, pc + 7)"
        yield f"    if adds >= {i.FLAT}:"
        yield f"        adds, wide, rows = adds - {i.FLAT}, wide * rows, 1"
        begin = number * TOGETHER
        for index, template in enumerate(templates[begin : begin + TOGETHER], begin):
            yield f"    {'if' if index == begin else 'elif'} op == {first + index}:"
            yield from (f"        {line}" for line in lines_of(template))


def _streams(letters: Iterable[str], first: int) -> list[str]:
    """The lines that read where the rows of operands are, from a word of the instruction on."""
    lines = []
    for place, letter in enumerate(letters):
        here = first + _WORDS * place
        lines += [
            f"{letter}0 = word(program, pc + {here}) + t * word(program, pc + {here + 1})",
            f"{letter}r, {letter}i = word(program, pc + {here + 2}), word(program, pc + {here + 3})",
        ]
    return lines


def _numbers_of(template: Template, first: int = 0) -> list[str]:
    """The lines that read the numbers in the slots of a template."""
    texts = [f"number(numbers, base + {first + place})" for place in range(len(template.slots))]
    counts = "softmax(" in template.text
    return [f"n{first + place} = {f'int({text})' if counts else text}" for place, text in enumerate(texts)]


def _value(template: Template, first: int = 0) -> list[str]:
    """The lines that compute an expression; the last of them is the value. Calls that occur twice are made once."""
    tree = ast.parse(filled(template, [f"n{first + place}" for place in range(len(template.slots))]), mode="eval")
    calls = Counter(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call))
    lines, value = [], ast.unparse(tree)
    known: list[tuple[str, str]] = []
    for text in sorted((text for text, times in calls.items() if times > 1), key=len):
        for name, shorter in known:
            text = text.replace(shorter, name)
        known.append((f"once{len(known)}", text))
        value = value.replace(text, known[-1][0])
        lines.append(f"{known[-1][0]} = {text}")
    return [*lines, f"value = {value}"]


def _added(template: Template) -> str:
    """The value added to z: in one, if it is a product."""
    numbers = [f"n{place}" for place in range(len(template.slots))]
    added, value = Expression(filled(template, numbers)).added_to("z"), "z + value"
    return str(added) if added.startswith("fma(") else value


def _loads(letters: Iterable[str]) -> list[str]:
    return [f"{letter} = load(work, {letter}0 + q * {letter}i)" for letter in letters]


def _map_lines(template: Template) -> list[str]:
    letters = template.letters
    inside = [
        *_loads(letters),
        *_value(template),
        "if adds == 1:",
        "    z = load(work, z0 + q)",
        f"    value = {_added(template)}",
        "store(work, z0 + q, value)",
    ]
    return [
        *_numbers_of(template),
        *_streams(letters, 8),
        "for r in span(0, rows):",
        "    for q in span(0, wide, LANES):",
        *(f"        {line}" for line in inside),
        *(f"    {letter}0 += {letter}r" for letter in (*letters, "z")),
    ]


def _sum_lines(template: SumTemplate) -> Iterator[str]:
    letters, slots = template.term.letters, len(template.term.slots)
    yield "width, spreads, share = word(program, pc + 8), word(program, pc + 9), number(numbers, base)"
    yield from (*_numbers_of(template.term, 1), *_streams(letters, 10))
    if template.finish is not None:
        yield from _numbers_of(template.finish, 1 + slots)
    yield from ("for r in span(0, rows):", "    sums = splat(0.0)", "    for q in span(0, wide, LANES):")
    yield from (f"        {line}" for line in (*_loads(letters), *_value(template.term, 1)))
    yield "        sums = sums + head(value, splat(0.0), width - q)"
    yield "    sums = splat(total(sums))"
    if template.finish is not None:
        end = filled(template.finish, [f"n{1 + slots + place}" for place in range(len(template.finish.slots))])
        yield "    mean = share * sums"
        yield f"    sums = {Expression(end).renamed({'a': 'mean'})}"
    yield from ("    if spreads == 0:", "        sums = head(sums, splat(0.0), 1)")
    yield from ("    if adds == 1:", "        sums = load(work, z0) + sums", "    store(work, z0, sums)")
    yield from (f"    {letter}0 += {letter}r" for letter in (*letters, "z"))


# The other instructions ----------------------------------------------------------------------------------------------


def _others() -> Iterator[str]:
    yield from _function("others", "program, pc, t, rows, work, weights, transposed, gradients, numbers, noise")
    text = _OTHERS
    yield from (
        re.sub(r"== ([A-Z_]+):", lambda found: f"== {getattr(i, found.group(1))}:", text).strip("\n").splitlines()
    )


_OTHERS = """
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


def _segment() -> Iterator[str]:
    """The function that runs instructions one after the other."""
    given = "program, pc, t, rows, work, numbers"
    yield from _function("segment", "program, pc, end, t, rows, work, weights, transposed, gradients, numbers, noise")
    yield "    while pc < end:"
    yield "        op = word(program, pc)"
    keyword = "if"
    for name, templates, first in (("maps", MAPS, i.MAP), ("sums", SUMS, i.SUM)):
        for number, function in enumerate(_names(name, templates)):
            end = first + min((number + 1) * TOGETHER, len(templates))
            yield f"        {keyword} op < {end}:"
            yield f"            {function}({given})"
            keyword = "elif"
    yield "        else:"
    yield "            others(program, pc, t, rows, work, weights, transposed, gradients, numbers, noise)"
    yield "        pc += word(program, pc + 1)"


_WINDOW = '''

@njit(**INSIDE)
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


@njit(**INSIDE)
def take(program, rows, work, x, x0):
    """The inputs of a window, in rows of whole vectors."""
    width, here, row = [width], [x], [x_row]
    for r in span(0, rows):
        for q in span(0, width, LANES):
            store(work, here + r * row + q, load_head(x, x0 + r * width + q, width - q))


@njit(**INSIDE)
def give(program, rows, work, y, y0):
    """The results of a window."""
    width, here, row = [wide], [y], [y_row]
    for r in span(0, rows):
        for q in span(0, width, LANES):
            store_head(y, y0 + r * width + q, load(work, here + r * row + q), width - q)


@njit(**INSIDE)
def vectors_in(program, work, weights):
    """The parameter vectors, where operations read them."""
    place = [vectors]
    for n in span(0, word(program, place)):
        source, target = word(program, place + 1 + 3 * n), word(program, place + 2 + 3 * n)
        for q in span(0, word(program, place + 3 + 3 * n), LANES):
            store(work, target + q, load(weights, source + q))
'''


def _measure(dtype: str) -> Iterator[str]:
    """The loss of every row."""
    arguments = "program, numbers, steps, work, expected, expected0, row_weights, weight0, unit, scale_all, row_losses"
    yield from _function("measure", arguments)
    yield from _filled(_MEASURE)
    for number, (name, activation) in enumerate(loss_forms()):
        yield f"            {'elif' if number else 'if'} kind == {number}:"
        yield from (f"                {line}" for line in _loss_lines(name, activation))
    yield "            row_losses[r] = total(loss) / share"


_MEASURE = '''    """The loss of every row, and the start of the gradients."""
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
            scale = weight * unit * scale_all / share
            loss = splat(0.0)'''


def _loss_lines(name: str, activation: str | None) -> Iterator[str]:
    record = LOSSES[name]
    form = None if activation is None else record.logit_form(activation)
    names = {"x": "logit", "y": "result", "r": "result", "e": "target", "p": "parameter"}
    term, slope = (Expression(text).renamed(names) for text in ((form or record).term, (form or record).derivative))
    if form is not None and form.couples:
        yield "peak, best, whole = splat(LOWEST), splat(0.0), splat(0.0)"
        yield "for q in span(0, width, LANES):"
        yield "    peak = maximum(head(load(work, logit0 + q), peak, width - q), peak)"
        yield "    best = maximum(head(load(work, result0 + q), splat(0.0), width - q), best)"
        yield "    whole = whole + load_head(expected, wanted0 + q, width - q)"
        yield "lse = largest(peak) - log(largest(best))"
        yield "esum = total(whole)"
    yield "for q in span(0, width, LANES):"
    yield "    target = load_head(expected, wanted0 + q, width - q)"
    if record.compares_units:
        yield "    if has_units == 1:"
        yield "        target = (target - load(work, unit_mean + q)) / load(work, unit_scale + q)"
    yield "    result = load(work, result0 + q)"
    if form is not None:
        yield "    logit = load(work, logit0 + q)"
    yield f"    loss = loss + head({term}, splat(0.0), width - q)"
    yield f"    store(work, target0 + q, head(scale * ({slope}), splat(0.0), width - q))"


_MEANS = '''

@njit(**INSIDE)
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
_SMALL, _LARGE = "1.0e-100", "1.0e100"
_CAREFUL_MEAN = f"""        normal = {_SMALL} < sum_weight < {_LARGE} and -{_LARGE} < sum_loss < {_LARGE}
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

_STEPS = '''

@njit(**INSIDE)
def zero(program, steps, work):
    """Zeros before the backward pass."""
    place = [zeros]
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        clear(work, word(program, here), word(program, here + 1) + steps * word(program, here + 2))


@njit(**INSIDE)
def time_shift(program, steps, work):
    """The last steps become those before the first."""
    place = [state]
    for n in span(0, word(program, place)):
        here = place + 1 + 3 * n
        start, step, depth = word(program, here), word(program, here + 1), word(program, here + 2)
        copy(work, start + (steps - depth) * step, start - depth * step, depth * step)


@njit(**INSIDE)
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


@njit(**INSIDE)
def gradient_norm(size, gradients, rate):
    """(whether all gradients are finite, at this rate too; the sum of their squares)"""
    square = squares(gradients, 0, size)
    non_finite = 0.0
    if not (square < LARGE and rate < LARGE and rate * square < LARGE):
        non_finite = float(non_finite_numbers(gradients, 0, size, rate))
    return non_finite == 0.0, square
'''


def _update() -> Iterator[str]:
    """One step of any optimizer."""
    yield from _function("update", "program, weights, gradients, memory, constants, rate, shrink")
    yield from _filled('    """One step of the optimizer."""\n    kind, end, size = [optimizer], [learning], [size]')
    for number, update in enumerate(UPDATES.values()):
        yield f"    {'elif' if number else 'if'} kind == {number}:"
        yield from (f"        {line}" for line in _update_lines(update))
    yield from _filled(
        "    if [drops] == 1:\n        constants[[drop_key] + 1] = float(constants[[drop_key] + 1]) + 1.0"
    )


def _update_lines(update: Update) -> Iterator[str]:
    names = (*update.constants, *(name for name, _ in update.counts))
    yield from (f"{name} = float(constants[{number}])" for number, name in enumerate(names))
    yield from (f"{name} = {text}" for name, text in (*update.counts, *update.scalars))
    yield "for n in span(0, end, LANES):"
    yield "    p, g = load(weights, n), load(gradients, n) * shrink"
    for number, slot in enumerate(update.slots):
        yield f"    {slot} = load(memory, n + {number} * size)"
    yield from (f"    {target} = {Expression(text).joined}" for target, text in update.statements)
    yield from (f"    store(memory, n + {number} * size, {slot})" for number, slot in enumerate(update.slots))
    yield "    store(weights, n, p)"
    for number, (name, _) in enumerate(update.counts, len(update.constants)):
        yield f"constants[{number}] = {name}"


def _train(dtype: str) -> str:
    careful = _UNIT if dtype == "float64" else ""
    squared = [number for number, update in enumerate(UPDATES.values()) if update.slots]
    test = f"[optimizer] in {tuple(squared)!r}"
    return _TRAIN.replace("UNIT\n", careful).replace("SQUARED", " or ".join(f"kind == {n}" for n in squared) or test)


_UNIT = f"""            if weight > 0.0 and not {_SMALL} < weight < {_LARGE}:
                unit = {2.0**700!r} if weight < 1.0 else {2.0**-700!r}
                weight = 0.0
                for r in span(0, rows):
                    weight += unit * float(row_weights[weight0 + r])
"""
_ARGUMENTS = (
    "sample, stop, samples, capacity, mode, work, weights, transposed, gradients, memory, constants, x, expected, "
    "row_weights, row_step, row_losses, losses, rate, clip"
)
_TRAIN = f'''

@njit(**JIT)
def train(program, numbers, {_ARGUMENTS}):
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

_PREDICT = '''

@njit(**INSIDE)
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


def _noise() -> Iterator[str]:
    """The functions that masks of dropouts are made of; see ``neuromorph.functions.dropout``."""
    word = f"{WORD:#x}"
    yield from _function("mixed", "bits")
    for shift, factor in MIXING:
        yield f"    bits = ((bits ^ (bits >> {shift})) * {factor:#x}) & {word}"
    yield f"    return bits ^ (bits >> {LAST_SHIFT})"
    yield from _function("window_noise", "key, updates")
    for name, salt in (("low", FIRST), ("high", SECOND)):
        chain = f"mixed((int(key) & {word}) ^ {salt:#x}) ^ (int(key) >> 32)"
        yield f"    {name} = mixed(mixed({chain}) ^ (int(updates) & {word}))"
    yield "    return low | (high >> 1) << 32"
    yield from _function("row_noise", "noise, node, row")
    yield f"    first = mixed(mixed((noise & {word}) ^ node) ^ (row & {word}))"
    yield f"    return first, mixed(mixed((noise >> 32) ^ node ^ {SECOND:#x}) ^ (row & {word}))"
