"""Adds a clock to generated source. After each piece, the time since the last reading is added to the piece's total.

The kernel that users run is never changed. The source with the clock is compiled as a second kernel. In it, LLVM can't
share work between neighbouring pieces, so savings of that kind do not show.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..host.syntax import parsed_module
from .pieces import BY_OPERATION, Piece

IDLE = "idle"  # the function that only reads the clock
_TAKEN = "since_"  # the variable that holds the last reading; generated source has no such name
_IDLE_SOURCE = f"""
@native("integers count")
def {IDLE}(clock, count):
    since_ = ticks()
    for i in span(0, count):
        since_ = lap(clock, 0, since_)
"""
_CLOCK = "integers"  # the kind of the clock as an argument
_IMPORT = "from neuromorph.simd.clock import lap, ticks"


def clocked_source(source: str, functions: Sequence[str], pieces: Sequence[Piece]) -> str:
    """The source of some functions with the clock as their first argument; ``functions`` ends with ``train``.

    The clock is an int64 array. It has two numbers (ticks, laps) for each piece, then for the rest of ``train``, then
    for waiting at barriers. The source ends with ``idle(clock, count)``, which only reads the clock ``count`` times.
    """
    tree = parsed_module(source)
    chosen = set(functions)
    body = [node for node in tree.body if not isinstance(node, ast.FunctionDef) or node.name in chosen]
    waiters = {node.name for node in body if isinstance(node, ast.FunctionDef) and _has_barrier(node)}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            _Clocks(node, chosen, pieces, waiters).put_in()
    last_import = max(place for place, node in enumerate(body) if isinstance(node, ast.ImportFrom))
    body[last_import + 1 : last_import + 1] = parsed_module(_IMPORT).body
    tree.body = [*body, *parsed_module(_IDLE_SOURCE).body]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _has_barrier(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "barrier" for node in ast.walk(function))


def _statement(text: str) -> ast.stmt:
    return parsed_module(text).body[0]


class _Clocks:
    """Adds the clock to one function."""

    def __init__(self, function: ast.FunctionDef, bundle: set[str], pieces: Sequence[Piece], waiters: set[str]) -> None:
        self.function, self.bundle = function, bundle
        mine = [(n, p) for n, p in enumerate(pieces) if p.function == function.name and p.kind != "function"]
        self.by_last_line = {piece.lines[1]: (piece.lines[0], n) for n, piece in mine}
        self.by_name = {piece.function: n for n, piece in enumerate(pieces) if piece.kind == "function"}
        self.rest, self.waiting = len(pieces), len(pieces) + 1
        self.waiters = waiters

    def put_in(self) -> None:
        """Add the clock as the first argument of the function and of its calls, and a lap after every piece."""
        function = self.function
        function.args.args.insert(0, ast.arg("clock"))
        (marked,) = function.decorator_list
        kinds = marked.args[0]  # type: ignore[attr-defined]
        kinds.value = f"{_CLOCK} {kinds.value}"
        if function.name == "train" or self.clocks_itself(function.name):
            body = self.clocked(function.body[1:])
            function.body = [function.body[0], _statement(f"{_TAKEN} = ticks()"), *body]
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.bundle:
                node.args.insert(0, ast.Name("clock", ast.Load()))

    def clocked(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The statements with laps between them."""
        out: list[ast.stmt] = []
        for statement in statements:
            called = self.called(statement)
            if (piece := self.piece_that_ends_with(statement)) is not None:
                out += [statement, self.lap(piece)]
            elif self.clocks_itself(called):
                out += [self.lap(self.rest), statement, _statement(f"{_TAKEN} = ticks()")]
            elif called in self.by_name:
                out += [self.lap(self.rest), statement, self.lap(self.by_name[called])]
            elif called == "barrier":
                out += [*self.lap_before_waiting(), statement, self.lap(self.waiting)]
            else:
                out.append(self.inside(statement))
        return out

    def piece_that_ends_with(self, statement: ast.stmt) -> int | None:
        """The piece whose last statement this is, or None. A loop around a whole piece is none: it begins earlier."""
        first, piece = self.by_last_line.get(statement.end_lineno or statement.lineno, (0, 0))
        return piece if 0 < first <= statement.lineno else None

    def inside(self, statement: ast.stmt) -> ast.stmt:
        """A loop or a branch with laps in its body."""
        for name in ("body", "orelse"):
            if getattr(statement, name, None):
                setattr(statement, name, self.clocked(getattr(statement, name)))
        return statement

    def clocks_itself(self, name: str) -> bool:
        """Whether the laps are inside a function and not after its call: it has several pieces or barriers."""
        return name in BY_OPERATION or (name in self.by_name and name in self.waiters)

    def lap_before_waiting(self) -> list[ast.stmt]:
        """A lap for the work before a barrier, if that work is not a piece of the plan; else no statement."""
        number = self.rest if self.function.name == "train" else self.by_name.get(self.function.name)
        return [] if number is None else [self.lap(number)]

    def called(self, statement: ast.stmt) -> str:
        """The name of the function that a simple statement calls, or an empty text."""
        value = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
        return value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""

    def lap(self, number: int) -> ast.stmt:
        return _statement(f"{_TAKEN} = lap(clock, {number}, {_TAKEN})")
