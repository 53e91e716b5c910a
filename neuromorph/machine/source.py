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
from . import driver
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
    yield '    "pipeline_class": simd.KernelCompiler, "no_cpython_wrapper": True, "no_cfunc_wrapper": True,'
    yield "}"
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
    yield from _filled(driver.WINDOW)
    yield from _measure(dtype)
    yield from _filled(driver.MEANS.replace("CAREFUL_MEAN", driver.CAREFUL_MEAN if dtype == "float64" else ""))
    yield from _filled(driver.STEPS.replace("LARGE", LARGE[dtype]))
    yield from _update()
    yield from _filled(_train(dtype))
    yield from _filled(driver.PREDICT)


def _filled(text: str) -> list[str]:
    """A text's lines, with the places of the words of a program's head for ``[name]``."""
    return re.sub(r"(?<!\w)\[([a-z_]+)\]", lambda found: f"word(program, {i.WORD[found.group(1)]})", text).splitlines()


def _function(name: str, arguments: str) -> Iterator[str]:
    yield ""
    yield ""
    yield "@njit(**JIT)"
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
    text = driver.OTHERS
    yield from (
        re.sub(r"== ([A-Z_]+):", lambda found: f"== {getattr(i, found.group(1))}:", text).strip("\n").splitlines()
    )


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


def _measure(dtype: str) -> Iterator[str]:
    """The loss of every row."""
    arguments = "program, numbers, steps, work, expected, expected0, row_weights, weight0, unit, scale_all, row_losses"
    yield from _function("measure", arguments)
    yield from _filled(driver.MEASURE)
    for number, (name, activation) in enumerate(loss_forms()):
        yield f"            {'elif' if number else 'if'} kind == {number}:"
        yield from (f"                {line}" for line in _loss_lines(name, activation))
    yield "            row_losses[r] = total(loss) / share"


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
    # A comparison with NaN, a component that is not known, does not hold.
    value, change = (f"where(target <= target, {text}, splat(0.0))" for text in (term, slope))
    yield f"    loss = loss + head({value}, splat(0.0), width - q)"
    yield f"    store(work, target0 + q, head(scale * {change}, splat(0.0), width - q))"


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
    careful = driver.UNIT if dtype == "float64" else ""
    squared = (f"kind == {number}" for number, update in enumerate(UPDATES.values()) if update.slots)
    return driver.TRAIN.replace("UNIT\n", careful).replace("SQUARED", " or ".join(squared))


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
