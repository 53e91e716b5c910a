"""LLVM IR and assembly of the kernel that users run, with the source line of each instruction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..host.cached import cached_property
from ..host.frozen import frozen
from ..jit import bundles, cache, modules
from .assembly import Line, Routine, Tally, calls_of, owners, routines_of, tally, with_lines_of
from .pieces import Piece

if TYPE_CHECKING:
    from ..runtime.kernels import Kernels

_BARRIER = "nm.barrier"  # threads wait in it for one another; it is no work of the piece that calls it
# Functions that compilers call in place of loops that fill or copy memory.
_OF_MEMORY = re.compile(r"_?(?:mem(?:set|cpy|move)|bzero|memset_pattern[0-9]+)(?:@PLT)?$")


@frozen
class Compiled:
    """IR, assembly and routines of a kernel's functions. linked: the functions whose instructions have source lines."""

    ir: Mapping[str, str]
    assembly: Mapping[str, str]
    routines: Mapping[str, tuple[Routine, ...]]
    linked: frozenset[str]

    @cached_property
    def own_symbols(self) -> frozenset[str]:
        """The symbols that the kernel itself defines."""
        return frozenset(routine.symbol for found in self.routines.values() for routine in found)

    @cached_property
    def calls(self) -> dict[str, tuple[tuple[str, int | None], ...]]:
        """The calls of each routine, by its symbol: the called symbols and the source lines of the calls."""
        return {routine.symbol: tuple(calls_of(routine)) for found in self.routines.values() for routine in found}

    def tally_of(self, pieces: Sequence[Piece]) -> Tally:
        """Count the instructions of some pieces: of their own lines, and of the kernel's routines that they call."""
        lines: list[Line] = []
        outside: set[str] = set()
        for piece in pieces:
            own, called = self._of_piece(piece)
            lines += own
            outside |= {symbol for symbol in called - self.own_symbols if not _OF_MEMORY.match(symbol)}
        return tally(lines, outside)

    def _of_piece(self, piece: Piece) -> tuple[list[Line], set[str]]:
        """The instructions of a piece, and the symbols that it calls."""
        first, *others = self.routines[piece.function]
        inside = dict.fromkeys(range(piece.lines[0], piece.lines[1] + 1), 0)
        whole = piece.kind == "function" or piece.function not in self.linked
        owned = owners(first.lines, inside)
        lines = [line for line, owner in zip(first.lines, owned, strict=True) if whole or owner == 0]
        called = {symbol for symbol, source in self.calls[first.symbol] if whole or source in inside}
        while some := [routine for routine in others if routine.symbol in called and routine.symbol != _BARRIER]:
            for routine in some:
                lines += routine.lines
                called |= {inner for inner, _ in self.calls[routine.symbol]}
            others = [routine for routine in others if routine not in some]
        return lines, called


def compiled_parts(kernels: Kernels) -> Compiled:
    """The IR and assembly of a model's training kernel, with source lines.

    The IR is the one stored with the kernel, and the assembly is made from it. Source lines come from a second
    compilation of the same source with line numbers. Line numbers hardly ever change an instruction; a function whose
    instructions differ has no source lines. If the cache has no IR, the IR of the second compilation is used.
    """
    kernel = kernels.kernel
    functions = {name: kernel.functions[name] for name in kernel.bundles["train"]}
    lined = _with_lines(kernels, functions)
    texts = bundles.texts_as(kernels.entries[0], functions) or lined
    routines, linked = {}, set()
    for name, (_, assembly) in texts.items():
        plain = routines_of(assembly)
        found = with_lines_of(plain, routines_of(lined[name][1]))
        if found is not None:
            linked.add(name)
        routines[name] = found or plain
    ir, assemblies = ({name: pair[number] for name, pair in texts.items()} for number in (0, 1))
    return Compiled(ir, assemblies, routines, frozenset(linked))


def _with_lines(kernels: Kernels, functions: Mapping[str, tuple[str, ...]]) -> bundles.Texts:
    """IR and assembly with line numbers, from the cache if it has them, else compiled now."""
    dtype = kernels.options.dtype
    source = kernels.kernel.source
    key = cache.key_of(bundles.bundle_key(kernels.key, functions, dtype), "line numbers", source)
    stored = bundles.stored_texts(key, functions, dtype)
    if stored is not None:
        return stored
    module = modules.load_module(source, key)
    found = bundles.texts_with_lines(module, functions)
    files = {f"{name}.{end}": text for name, pair in found.items() for end, text in zip(("ll", "s"), pair, strict=True)}
    cache.write(bundles.bundle_key(key, functions, dtype), {name: text.encode() for name, text in files.items()})
    return found
