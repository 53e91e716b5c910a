"""Parses assembly text: routines, the source line of each instruction, packed instructions and calls.

Reads the assembly of x86 (AT&T syntax) and of 64-bit Arm, as LLVM prints them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from ..host.frozen import frozen

_LABEL = re.compile(r"([^\s:]+):")
_LOCATION = re.compile(r"\s*\.loc\s+[0-9]+\s+([0-9]+)")
_OF_DEBUGGERS = re.compile(r"\.L(?:tmp|func_begin|func_end|info|debug|line|str|abbrev|cu_|sec_|names)")
_COMMENT = re.compile(r"\s*(?:#|//|;)\s.*$")

# On x86, the ending of an arithmetic instruction says whether it is packed or scalar, single or double.
_X86 = re.compile(
    r"v?(?:addsub|add|sub|mul|div|sqrt|min|max|cmp\w*|u?comi|hadd|rcp(?:14)?|rsqrt(?:14)?|round|rndscale|"
    r"fn?m(?:add|sub|addsub|subadd)(?:132|213|231))(p|s)[sd]$"
)
_X86_MOVE = re.compile(r"v?mov[au]p[sd]$")
_X86_VECTOR = re.compile(r"%([xyz])mm[0-9]")
_X86_BITS = {"x": 128, "y": 256, "z": 512}
# On Arm, the operands say it: arithmetic on v0.4s is packed, on s0 or d0 scalar.
_ARM = re.compile(
    r"f(?:n?m(?:add|sub|ul|la|ls)|add|sub|div|sqrt|min(?:nm)?|max(?:nm)?|abs|neg|cm\w\w|cmp|add[pv]|\w+nmv)$"
)
_ARM_PACKED, _ARM_SCALAR = re.compile(r"\bv[0-9]+\.[0-9]+[sd]\b"), re.compile(r"\b[sd][0-9]+\b")
_ARM_MOVE = re.compile(r"(?:ld[rp]|st[rp]|ldur|stur)$")

_LOADED = re.compile(r"\s(?:movabsq|movq|leaq)\s+\$?([A-Za-z_][\w.$@]*)(?:\(%rip\))?, (%\w+)")
_MOVED = re.compile(r"\smovq\s+(\S+), (\S+?)\s*$")
_READS_ONLY = re.compile(r"\s(?:cmp|test|push|bt|v?u?comis)\w*\s")
_CALLED = re.compile(r"\s(?:callq?|jmpq?|bl|b)\s+([A-Za-z_][\w.$@]*)")
_CALLED_THROUGH = re.compile(r"\s(?:(?:callq?|jmpq?)\s+\*|blr\s+)(\S+)")
_ARM_LOADED = re.compile(r"\smov[zk]\s+(x[0-9]+), #:abs_g[0-9](?:_nc)?:([A-Za-z_][\w.$]*)")


@frozen
class Line:
    """A line of assembly: an instruction or a label, and the source line it comes from, where that is known."""

    text: str
    source: int | None = None

    @property
    def is_label(self) -> bool:
        """Whether the line is a label, and not an instruction."""
        return not self.text.startswith("\t")


@frozen
class Routine:
    """A routine of the assembly: its symbol and its lines, without directives."""

    symbol: str
    lines: tuple[Line, ...]

    @property
    def instructions(self) -> tuple[Line, ...]:
        """The lines that are instructions."""
        return tuple(line for line in self.lines if not line.is_label)


@frozen
class Tally:
    """Counts over some lines: all instructions, and packed and scalar arithmetic on floating-point numbers.

    vector_bits: the most frequent width of the packed ones. library_calls: the functions of other libraries that are
    called.
    """

    instructions: int
    packed: int
    scalar: int
    vector_bits: int
    library_calls: tuple[str, ...]

    @property
    def packed_share(self) -> float | None:
        """Packed instructions among those of floating-point arithmetic; None where there are none."""
        whole = self.packed + self.scalar
        return self.packed / whole if whole else None


def routines_of(assembly: str) -> tuple[Routine, ...]:
    """The routines of an assembly text, in their order there, without data and directives."""
    found: list[tuple[str, list[Line]]] = []
    source: int | None = None
    for text in assembly.splitlines():
        location, label = _LOCATION.match(text), _LABEL.match(text)
        if location:
            source = int(location.group(1)) or None
        elif label and not text.startswith(".L"):
            found.append((label.group(1), []))
            source = None
        elif label and found and not _OF_DEBUGGERS.match(text):
            found[-1][1].append(Line(label.group(1) + ":"))
        elif text.startswith("\t") and not text.startswith("\t.") and text.strip()[0] not in "#/;" and found:
            found[-1][1].append(Line(text.rstrip(), source))
    whole = (Routine(symbol, tuple(lines)) for symbol, lines in found)
    return tuple(routine for routine in whole if routine.instructions)


def with_lines_of(plain: Sequence[Routine], lined: Sequence[Routine]) -> tuple[Routine, ...] | None:
    """The routines ``plain`` with the source lines of ``lined``; None if they differ in more than symbols."""
    if len(plain) != len(lined):
        return None
    out = []
    for mine, other in zip(plain, lined, strict=True):
        if [_canonical(x.text) for x in mine.instructions] != [_canonical(x.text) for x in other.instructions]:
            return None
        sources = iter(line.source for line in other.instructions)
        out.append(Routine(mine.symbol, tuple(x if x.is_label else Line(x.text, next(sources)) for x in mine.lines)))
    return tuple(out)


def _canonical(text: str) -> str:
    """An instruction without its comment, and with placeholders for labels, whose numbers may differ."""
    return re.sub(r"\.L[\w.$]+", "@", _COMMENT.sub("", text)).strip()


def owners(lines: Sequence[Line], by_source: Mapping[int, int]) -> list[int | None]:
    """The owner of each assembly line: what ``by_source`` gives for its source line.

    Instructions without a source line that stand between two instructions of one owner belong to that owner too. The
    compiler gives no line to instructions that it has merged, such as those in unrolled loops.
    """
    found = [None if line.source is None else by_source.get(line.source) for line in lines]
    known = [place for place, line in enumerate(lines) if line.source is not None]
    for before, after in pairwise(known):
        if found[before] == found[after]:
            found[before:after] = [found[before]] * (after - before)
    return found


def tally(lines: Iterable[Line], calls: Iterable[str] = ()) -> Tally:
    """Count instructions by kind. calls: the symbols of other libraries that they call."""
    kinds: Counter[str] = Counter()
    widths: Counter[int] = Counter()
    moved: Counter[int] = Counter()
    total = 0
    for line in lines:
        if line.is_label:
            continue
        total += 1
        name, _, operands = _COMMENT.sub("", line.text).strip().partition("\t")
        kind, bits = _kind(name, operands)
        kinds[kind] += 1
        if kind == "packed":
            widths[bits] += 1
        elif kind == "move":
            moved[bits] += 1
    seen = widths or moved
    most = max(seen, key=lambda bits: (seen[bits], bits)) if seen else 0
    return Tally(total, kinds["packed"], kinds["scalar"], most, tuple(sorted(set(calls))))


def _kind(name: str, operands: str) -> tuple[str, int]:
    """The kind of an instruction and its vector width: ("packed", bits), ("scalar", 0), ("move", bits) or ("", 0)."""
    x86 = _X86.match(name)
    if x86:
        return ("packed", _x86_bits(operands)) if x86.group(1) == "p" else ("scalar", 0)
    if _X86_MOVE.match(name):
        return "move", _x86_bits(operands)
    packed = _ARM_PACKED.search(operands)
    if _ARM.match(name):
        return ("packed", 128) if packed else ("scalar", 0) if _ARM_SCALAR.search(operands) else ("", 0)
    if _ARM_MOVE.match(name) and re.match(r"q[0-9]", operands):
        return "move", 128
    return "", 0


def _x86_bits(operands: str) -> int:
    return max((_X86_BITS[letter] for letter in _X86_VECTOR.findall(operands)), default=128)


def calls_of(routine: Routine) -> Iterator[tuple[str, int | None]]:
    """The symbols that a routine calls, each with the source line of the call.

    A symbol whose address lies in a register or on the stack is found by following the text from top to bottom. Other
    indirect calls are left out.
    """
    known: dict[str, str] = {}
    for line in routine.instructions:
        text = _COMMENT.sub("", line.text)
        loaded, arm = _LOADED.match(text), _ARM_LOADED.match(text)
        if loaded:
            known[loaded.group(2)] = loaded.group(1)
            continue
        if arm:
            known[arm.group(1)] = arm.group(2)
            continue
        called, through = _CALLED.match(text), _CALLED_THROUGH.match(text)
        if called or through:
            symbol = called.group(1) if called else known.get(through.group(1), "") if through else ""
            if symbol:
                yield symbol, line.source
            continue
        moved = _MOVED.match(text)
        symbol = known.get(moved.group(1), "") if moved else ""
        if not _READS_ONLY.match(text):
            known.pop(_written(text), None)
        if moved and symbol:
            known[moved.group(2)] = symbol


def _written(text: str) -> str:
    """The operand that an instruction writes. On x86, a register has the name of its 64-bit form; on Arm, it is the
    first operand."""
    places = re.split(r",\s*(?![^(]*\))", text.strip().partition("\t")[2])
    first, last = places[0], places[-1]
    return re.sub(r"^%e(..)$", r"%r\1", re.sub(r"^(%r[0-9]+)[dwb]$", r"\1", last)) if "%" in text else first
