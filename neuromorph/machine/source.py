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

from ..abi.mailbox import UPDATE
from ..functions import LOSSES
from ..functions.dropout import FIRST, LAST_SHIFT, MIXING, SECOND, WORD
from ..functions.expressions import Expression
from ..host.syntax import parsed_expression
from ..optimizers import UPDATES, Update
from . import driver, entries
from . import instructions as i
from .program import loss_forms
from .templates import MAPS, SUMS, SumTemplate, Template, filled

_T = TypeVar("_T")
LARGE = {"float32": "1.0e38", "float64": "1.0e307"}
LOWEST = {"float32": "-3.0e38", "float64": "-1.0e308"}
GIVEN = "words, t, rows, work, weights, transposed, gradients, numbers, noise"  # of an instruction's function
OPERATION = "program count count array array array array doubles count"
_WORDS = 4  # of a stream that is read

FUNCTIONS = {  # that Python calls, with the kinds of their arguments
    "train": "program doubles count count integers doubles count count count count count array array array array array "
    "doubles data data data count array doubles number number",
    "step": "program doubles count array array data array",
    "predict": "program doubles count count count array array data array",
}


def source_of(dtype: str, lanes: int, registers: int) -> str:
    """The machine's file."""
    return "\n".join((*_head(dtype, lanes, registers), *_body(dtype))) + "\n"


def functions() -> dict[str, tuple[str, ...]]:
    """The kinds of arguments of each function that Python calls."""
    return {name: tuple(kinds.split()) for name, kinds in FUNCTIONS.items()}


def _head(dtype: str, lanes: int, registers: int) -> Iterator[str]:
    kind = f'"{dtype}", {lanes}'
    yield f"# The machine for {dtype}, vectors of {lanes} and {registers} vector registers."
    yield ""
    yield "from neuromorph import simd"
    yield "from neuromorph.simd import ("
    yield "    absolute, barrier, behind, cos, exp, fma, log, maximum, minimum, normal_cdf, number, part, sigmoid, sin,"
    yield "    softplus, span, sqrt, tanh, where, word,"
    yield ")"
    yield ""
    yield f"native = simd.native({kind}, few_passes=True)"
    yield f'operation = native("{OPERATION}")'
    yield f'TRAIN = "{FUNCTIONS["train"]} -> count"'
    yield f'ONE_STEP, PREDICTION = "{FUNCTIONS["step"]} -> count", "{FUNCTIONS["predict"]}"'
    yield f"PREDICT, STEP, UPDATE = 3, 4, {UPDATE}  # modes beside those of training"
    yield f"ADDS, CAREFUL, ONE_ROW = {i.ADDS}, {i.CAREFUL}, {i.ONE_ROW}  # flags of a map"
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
    yield from driver.OTHERS.replace("GIVEN", GIVEN).strip("\n").splitlines()
    yield from _operations("map", MAPS, _map_lines)
    yield from _operations("sum", SUMS, _sum_lines)
    yield from _table()
    yield from _filled(driver.WINDOW.replace("GIVEN", GIVEN))
    yield from _measure()
    yield from _filled(driver.MEANS.replace("CAREFUL_MEAN", driver.CAREFUL_MEAN if dtype == "float64" else ""))
    yield from _filled(driver.STEPS.replace("LARGE", LARGE[dtype]))
    yield from _update()
    yield from _filled(_train(dtype))
    yield from _filled(entries.PREDICT + entries.ENTRIES)


def _filled(text: str) -> list[str]:
    """A text's lines, with the places of the words of a program's head for ``[name]``."""
    return re.sub(r"(?<!\w)\[([a-z_]+)\]", lambda found: f"word(program, {i.WORD[found.group(1)]})", text).splitlines()


def _function(name: str, kinds: str, arguments: str) -> Iterator[str]:
    yield ""
    yield ""
    yield f'@native("{kinds}")'
    yield f"def {name}({arguments}):"


# Element by element --------------------------------------------------------------------------------------------------


def _operations(name: str, templates: Sequence[_T], lines_of: Callable[[_T], Iterable[str]]) -> Iterator[str]:
    """A function for each template."""
    for number, template in enumerate(templates):
        yield from ("", "", "@operation", f"def {name}{number}({GIVEN}):")
        yield from (f"    {line}" for line in lines_of(template))


def _streams(letters: Iterable[str], first: int, inner: str, outer: str) -> list[str]:
    """The lines that read where the rows of operands are, from a word of the instruction on."""
    lines = []
    for place, letter in enumerate(letters):
        here = first + _WORDS * place
        lines += [
            f"{letter}0 = word(words, {here}) + t * word(words, {here + 1})",
            f"{letter}{inner}, {letter}{outer} = word(words, {here + 2}), word(words, {here + 3})",
        ]
    return lines


def _numbers_of(template: Template, first: int = 0) -> list[str]:
    """The lines that read the numbers in the slots of a template."""
    texts = [f"number(numbers, base + {first + place})" for place in range(len(template.slots))]
    counts = "softmax(" in template.text
    return [f"n{first + place} = {f'int({text})' if counts else text}" for place, text in enumerate(texts)]


def _value(template: Template, first: int = 0) -> list[str]:
    """The lines that compute an expression; the last of them is the value. Calls that occur twice are made once."""
    tree = parsed_expression(filled(template, [f"n{first + place}" for place in range(len(template.slots))]))
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
    """The value added to z: in one, if it is a product. Nothing else of it is joined with the addition."""
    value = parsed_expression(filled(template, [f"n{place}" for place in range(len(template.slots))]))
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult):
        return f"fma({ast.unparse(value.left)}, {ast.unparse(value.right)}, z)"
    return "z + value"


def _map_lines(template: Template) -> Iterator[str]:
    """An expression of some streams: its vectors are the inner loop, its rows the outer one."""
    streams = ("z", *template.letters)
    yield "base, flags = word(words, 3), word(words, 4)"
    yield "vectors = word(words, 2)"
    yield "if flags >= ONE_ROW:"
    yield "    vectors, rows = vectors * rows, 1"
    yield "is_plain, adds = (flags & (ADDS | CAREFUL)) == 0, (flags & ADDS) == ADDS"
    yield from (*_numbers_of(template), *_streams(streams, 7, "i", "j"))
    yield from ("for r in span(0, rows):", "    for q in span(0, vectors):")
    yield from (f"        {letter} = load(work, {letter}0)" for letter in template.letters)
    yield from (f"        {line}" for line in _value(template))
    yield "        if not is_plain:"
    yield "            z = load(work, z0)"
    yield "            if adds:"
    yield f"                value = {_added(template)}"
    yield "            else:"
    yield "                value = careful(words, flags, q, value, z)"
    yield "        store(work, z0, value)"
    yield from (f"        {letter}0 += {letter}i" for letter in streams)
    yield from (f"    {letter}0 += {letter}j" for letter in streams)


def _sum_lines(template: SumTemplate) -> Iterator[str]:
    letters, slots = template.term.letters, len(template.term.slots)
    yield "wide, base = word(words, 2), word(words, 3)"
    yield "z0, zr, adds = word(words, 4) + t * word(words, 5), word(words, 6), word(words, 7)"
    yield "width, spreads, share = word(words, 8), word(words, 9), number(numbers, base)"
    yield from (*_numbers_of(template.term, 1), *_streams(letters, 10, "r", "i"))
    if template.finish is not None:
        yield from _numbers_of(template.finish, 1 + slots)
    yield from ("for r in span(0, rows):", "    sums = splat(0.0)", "    for q in span(0, wide, LANES):")
    yield from (f"        {letter} = load(work, {letter}0 + q * {letter}i)" for letter in letters)
    yield from (f"        {line}" for line in _value(template.term, 1))
    yield "        sums = sums + head(value, splat(0.0), width - q)"
    yield "    sums = splat(total(sums))"
    if template.finish is not None:
        end = filled(template.finish, [f"n{1 + slots + place}" for place in range(len(template.finish.slots))])
        yield "    mean = share * sums"
        yield f"    sums = {Expression(end).renamed({'a': 'mean'})}"
    yield from ("    if spreads == 0:", "        sums = head(sums, splat(0.0), 1)")
    yield from ("    if adds == 1:", "        sums = load(work, z0) + sums", "    store(work, z0, sums)")
    yield from (f"    {letter}0 += {letter}r" for letter in (*letters, "z"))


# Instructions ----------------------------------------------------------------------------------------------


def _table() -> Iterator[str]:
    """The functions of all instructions, in the order of their numbers."""
    names = [f"{name}{number}" for name, listed in (("map", MAPS), ("sum", SUMS)) for number in range(len(listed))]
    yield from ("", "", "OPERATIONS = (")
    yield from (f"    {name}," for name in (*names, *i.OTHERS))
    yield ")"


def _measure() -> Iterator[str]:
    """For each loss, a function that measures every row of a window."""
    arguments = (
        "program, numbers, steps, first, work, expected, expected0, row_weights, weight0, unit, scale_all, row_losses"
    )
    kinds = "program doubles count count array data count data count number number array"
    yield from ("", "", f'measuring = native("{kinds}")')
    forms = loss_forms()
    for number, (name, activation) in enumerate(forms):
        yield from ("", "", "@measuring", f"def measure{number}({arguments}):")
        yield from _filled(driver.MEASURE)
        yield from (f"            {line}" for line in _loss_lines(name, activation))
        yield "            row_losses[row] = total(loss) / share"
    yield from ("", "", "MEASURES = (")
    yield from (f"    measure{number}," for number in range(len(forms)))
    yield ")"


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
    kinds = "program array array array doubles number number"
    yield from _function("update", kinds, "program, weights, gradients, memory, constants, rate, shrink")
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
    careful = entries.UNIT if dtype == "float64" else ""
    squared = (f"kind == {number}" for number, update in enumerate(UPDATES.values()) if update.slots)
    return entries.TRAIN.replace("UNIT\n", careful).replace("SQUARED", " or ".join(squared))


def _noise() -> Iterator[str]:
    """The functions that masks of dropouts are made of; see ``neuromorph.functions.dropout``."""
    word = f"{WORD:#x}"
    yield from _function("mixed", "count -> count", "bits")
    for shift, factor in MIXING:
        yield f"    bits = ((bits ^ (bits >> {shift})) * {factor:#x}) & {word}"
    yield f"    return bits ^ (bits >> {LAST_SHIFT})"
    yield from _function("window_noise", "number number -> count", "key, updates")
    for name, salt in (("low", FIRST), ("high", SECOND)):
        chain = f"mixed((int(key) & {word}) ^ {salt:#x}) ^ (int(key) >> 32)"
        yield f"    {name} = mixed(mixed({chain}) ^ (int(updates) & {word}))"
    yield "    return low | (high >> 1) << 32"
    yield from _function("row_noise", "count count count -> count count", "noise, node, row")
    yield f"    first = mixed(mixed((noise & {word}) ^ node) ^ (row & {word}))"
    yield f"    return first, mixed(mixed((noise >> 32) ^ node ^ {SECOND:#x}) ^ (row & {word}))"
