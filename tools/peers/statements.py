"""The text of a program from its statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .writer import Writer


@dataclass(frozen=True)
class Statement:
    """``target = text``, the section where it stands, and what it reads."""

    target: str
    text: str
    reads: tuple[str, ...]
    section: int


@dataclass(frozen=True)
class Register:
    """A value that a loop hands on: its name in the loop, what it begins with, what it is in the next step, and the
    name of what it is after the loop."""

    name: str
    start: str
    following: str
    last: str


def text_of(writer: Writer) -> str:
    """The statements that the ends need, section by section, with loops over time around those of odd sections."""
    loss, following = writer.loss, writer.following
    sections = range(max(writer.sections.values()) + 2)
    carried = [register.following for section in sections for register in writer.registers(section)]
    statements = _needed(sorted(writer.statements, key=lambda one: one.section), [*writer.ends, *carried])
    lines = ["def window(p, s, x, e):"]
    lines += [f"    {in_brackets(packed.variable for packed in writer.packed if packed.learns)} = p"]
    lines += [f"    {in_brackets(f's{index}' for index in writer.state)} = s"] if writer.state else []
    for section in sections:
        own = [statement for statement in statements if statement.section == section]
        if section % 2 == 0:
            lines += [f"    {one.target} = {one.text}" for one in own]
        elif own:
            lines += [f"    {line}" for line in _loop(writer, section, statements)]
    return "\n".join([*lines, f"    return {loss}, {in_brackets(following)}", ""])


def _needed(statements: Sequence[Statement], roots: Iterable[str]) -> list[Statement]:
    wanted, kept = set(roots), []
    for statement in reversed(statements):
        if statement.target in wanted:
            wanted.update(statement.reads)
            kept.append(statement)
    return kept[::-1]


def _loop(writer: Writer, section: int, statements: Sequence[Statement]) -> list[str]:
    """A loop with what goes in step by step and what comes out."""
    own, registers = [one for one in statements if one.section == section], writer.registers(section)
    early = {"x", *(one.target for one in statements if one.section < section)}
    read = {name for one in own for name in one.reads} | {register.following for register in registers}
    later = {name for one in statements if one.section > section for name in one.reads}
    over = in_brackets(sorted(early & read) or ["x"])
    out = in_brackets(sorted({one.target for one in own} & {*later, *writer.ends}))
    start, last = (in_brackets(getattr(one, name) for one in registers) for name in ("start", "last"))
    following, names = (in_brackets(getattr(one, name) for one in registers) for name in ("following", "name"))
    return [
        f"def step{section}(s, t):",
        f"    {names} = s",
        f"    {over} = t",
        *(f"    {one.target} = {one.text}" for one in own),
        f"    return {following}, {out}",
        f"{last}, {out} = scan(step{section}, {start}, {over})",
    ]


def in_brackets(names: Iterable[str]) -> str:
    """A tuple, as Python writes it."""
    listed = list(names)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"
