"""Decodes a program: its words become lists and instructions whose fields have names.

It reads the words alone, as the machine does, and knows nothing of the plan that they were made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..functions.expressions import Expression
from ..host.frozen import frozen
from . import instructions as i
from .program import Program
from .templates import MAPS, SUMS, filled

# The words of an instruction behind its number and its length, in order. A name with an arrow is a stream: the offset
# of its first row, elements from step to step and from row to row. With "moves" it is followed by 1, or by 0 where one
# vector stands for all of a row.
_PRODUCT = ("source>", "matrix", "target>", "inner", "columns", "panel", "start", "bias", "order")
FIELDS: dict[int, tuple[str, ...]] = {
    i.SPREAD: ("room", "room_row", "source>"),
    i.CUT: ("room", "wide", "source>", "limit"),
    i.FINISH: ("wide", "room", "room_row", "target>", "adds", "keep", "zero", "exact", "rest>moves"),
    i.FORWARD: _PRODUCT,
    i.BACKWARD: _PRODUCT,
    i.WEIGHT: ("source", "source_row", "right", "right_row", "matrix", "inner", "columns", "panel"),
    i.COLUMNS: ("source", "source_row", "matrix", "columns"),
    i.SOFTMAX: ("source>", "target>", "width"),
    i.SOFTMAX_GRADIENT: ("result>", "source>", "target>", "width", "adds"),
    i.MASK: ("target", "target_row", "wide", "node", "threshold", "scale", "lanes", "apart"),
}
LISTS: dict[str, tuple[str, ...]] = {  # the words of an entry of each list
    "forward": ("loop", "begin", "end"),
    "backward": ("loop", "begin", "end"),
    "gradients": ("loop", "begin", "end"),
    "vectors": ("source", "target", "count"),
    "zeros": ("begin", "fixed", "moving"),
    "state": ("start", "step", "depth"),
    "members": ("program",),
    "sums": ("first", "begin", "end"),
    "transposes": ("rows", "columns", "panel", "source", "other", "target"),
    "transposed_once": ("rows", "columns", "panel", "source", "other", "target"),
}
_OF_TRAINING = ("backward", "gradients", "transposes", "transposed_once")


@frozen
class Stream:
    """Where an operation finds rows: elements from step to step and from row to row. moves: whether a row has vectors
    of its own, and not one for all of it."""

    offset: int
    step: int
    row: int
    moves: bool = True


@frozen
class Instruction:
    """One instruction. place: of its first word. loop: whether it is done step by step.

    fields: its other words by their names. streams: in order; of maps and sums, the target comes first, then what the
    letters of the template stand for. expression: over these letters; empty for other instructions.
    """

    place: int
    number: int
    length: int
    loop: bool
    fields: Mapping[str, int]
    streams: Mapping[str, Stream]
    expression: str = ""

    @property
    def name(self) -> str:
        """The name of the machine's function for it."""
        if self.number < i.SUM:
            return f"map{self.number}"
        return f"sum{self.number - i.SUM}" if self.number < i.SPREAD else i.OTHERS[self.number - i.SPREAD]


@frozen
class Piece:
    """Instructions that are done one after the other: step by step, or once over the window. part: "forward",
    "backward" or "gradients"."""

    part: str
    loop: bool
    instructions: tuple[Instruction, ...]


@frozen
class Decoded:
    """A program. head: its first words by their names. lists: those that are no instructions, each of its entries with
    names. pieces: in the order in which they are done."""

    head: Mapping[str, int]
    lists: Mapping[str, tuple[Mapping[str, int], ...]]
    pieces: tuple[Piece, ...]


def decode(program: Program, *, training: bool) -> Decoded:
    """All that a checked program says."""
    words = program.words.tolist()
    head = dict(zip(i.HEAD, words, strict=False))
    lists = {
        name: tuple(_entries(words, head[name], names))
        for name, names in LISTS.items()
        if training or name not in _OF_TRAINING
    }
    pieces = [
        Piece(part, bool(entry["loop"]), tuple(_instructions(words, program.numbers.tolist(), entry)))
        for part in ("forward", "backward", "gradients")
        for entry in lists.pop(part, ())
    ]
    return Decoded(head, lists, tuple(pieces))


def _entries(words: Sequence[int], place: int, names: Sequence[str]) -> Iterator[Mapping[str, int]]:
    for number in range(words[place]):
        here = place + 1 + number * len(names)
        yield dict(zip(names, words[here : here + len(names)], strict=True))


def _instructions(words: Sequence[int], numbers: Sequence[float], piece: Mapping[str, int]) -> Iterator[Instruction]:
    here, loop = piece["begin"], bool(piece["loop"])
    while here < piece["end"]:
        number, length = words[here : here + 2]
        given = words[here + 2 : here + length]
        if number < i.SUM:
            yield _map(here, number, loop, given, numbers)
        elif number < i.SPREAD:
            yield _sum(here, number, loop, given, numbers)
        else:
            yield _other(here, number, loop, given)
        here += length


def _map(here: int, number: int, loop: bool, given: Sequence[int], numbers: Sequence[float]) -> Instruction:
    template = MAPS[number]
    fields = dict(zip(("vectors", "numbers", "flags", "keep", "zero"), given, strict=False))
    streams = {}
    for name, place in zip(("target", *template.letters), range(5, len(given), 4), strict=True):
        offset, step, inner, outer = given[place : place + 4]
        streams[name] = Stream(offset, step, fields["vectors"] * inner + outer, inner != 0)
    found = [numbers[fields["numbers"] + slot] for slot in range(len(template.slots))]
    slots = [repr(int(slot) if "softmax(" in template.text else slot) for slot in found]  # of a softmax: a width
    return Instruction(here, number, len(given) + 2, loop, fields, streams, filled(template, slots))


def _sum(here: int, number: int, loop: bool, given: Sequence[int], numbers: Sequence[float]) -> Instruction:
    """A sum. Its expression has sum(…) of its terms, or mean(…) where another expression ends it."""
    template = SUMS[number - i.SUM]
    fields = {"wide": given[0], "numbers": given[1]}
    fields |= dict(zip(("adds", "width", "spreads"), given[5:8], strict=True))
    streams = {"target": Stream(given[2], given[3], given[4])}
    for letter, place in zip(template.term.letters, range(8, len(given), 4), strict=True):
        offset, step, row, moves = given[place : place + 4]
        streams[letter] = Stream(offset, step, row, bool(moves))
    first, terms = fields["numbers"] + 1, len(template.term.slots)
    text = filled(template.term, [repr(numbers[first + slot]) for slot in range(terms)])
    whole = f"sum({text})"
    if template.finish is not None:
        ends = [repr(numbers[first + terms + slot]) for slot in range(len(template.finish.slots))]
        whole = Expression(filled(template.finish, ends)).renamed({"a": f"mean({text})"})
    return Instruction(here, number, len(given) + 2, loop, fields, streams, whole)


def _other(here: int, number: int, loop: bool, given: Sequence[int]) -> Instruction:
    fields: dict[str, int] = {}
    streams: dict[str, Stream] = {}
    place = 0
    for name in FIELDS[number]:
        name, is_stream, moves = name.partition(">")
        if not is_stream:
            fields[name] = given[place]
            place += 1
            continue
        offset, step, row = given[place : place + 3]
        place += 3
        streams[name] = Stream(offset, step, row, not moves or bool(given[place]))
        place += bool(moves)
    return Instruction(here, number, len(given) + 2, loop, fields, streams)
