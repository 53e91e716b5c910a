"""Emits native functions, statement by statement, as LLVM instructions.

Every variable has one type in a function: that of its first value. A variable that one statement assigns is that
statement's value; others are in memory here, and LLVM puts them into registers.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import types

from .native import Native, definition, ir_type, result_type
from .native_expressions import Expressions, Value
from .routines import I64, counted, integer, routine


def function_in(module: ir.Module, own: Native, elsewhere: Collection[Callable[..., Any]] = ()) -> ir.Function:
    """The LLVM function of a native function in a module; its body is emitted if the module has none.

    elsewhere: functions of other modules, of which this one has declarations.
    """
    if own.function in elsewhere:
        return declared(module, own)
    function, is_new = routine(module, own.symbol, _argument_types(own), result=result_type(own), inline=False)
    if is_new:
        _emit(function, own, elsewhere)
    return function


def exported(module: ir.Module, own: Native, elsewhere: Collection[Callable[..., Any]], scope: Any = None) -> None:
    """Emit a native function that other modules see too. elsewhere: functions of those modules, and of this one.

    scope: the function in a module's debug information, where the lines of its statements are wanted.
    """
    function = declared(module, own)
    if scope is not None:
        function.set_metadata("dbg", scope)
    _emit(function, own, elsewhere, scope)


def declared(module: ir.Module, own: Native) -> ir.Function:
    """The LLVM function of a native function that other modules see too, without its body."""
    known = module.globals.get(own.symbol)
    if known is None:
        known = ir.Function(module, ir.FunctionType(result_type(own), _argument_types(own)), own.symbol)
        known.attributes.add("nounwind")
    return known


def _argument_types(own: Native) -> list[ir.Type]:
    return [*map(ir_type, own.arguments), *[I64] * len(own.lengths)]


def _emit(function: ir.Function, own: Native, elsewhere: Collection[Callable[..., Any]], scope: Any = None) -> None:
    """Emit the body of a native function."""
    for argument, kind in zip(function.args, own.arguments, strict=False):
        if isinstance(kind, types.Array) and kind.dtype is types.int64 and not kind.mutable:
            argument.add_attribute("noalias")  # no program is changed while it runs
    _Emitter(function, own, definition(own.function), elsewhere, scope).emit()


def _assigned(nodes: Iterable[ast.stmt]) -> Iterator[str]:
    """The names that statements assign, each as often as they do."""
    for node in nodes:
        if isinstance(node, ast.For | ast.While | ast.If):
            yield from _assigned((*node.body, *node.orelse))
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            yield from (name.id for name in names if isinstance(name, ast.Name))


def _inline(value: ir.Value) -> None:
    """Have LLVM put the body of a function without branches in place of a call that is all of a statement."""
    if isinstance(value, ir.CallInstr) and isinstance(value.callee, ir.Function) and len(value.callee.blocks) == 1:
        value.attributes.add("alwaysinline")


class _Emitter(Expressions, ast.NodeVisitor):
    def __init__(
        self, function: ir.Function, own: Native, tree: ast.FunctionDef, elsewhere: Collection[Callable[..., Any]],
        scope: Any,
    ) -> None:  # fmt: skip
        self.function, self.own, self.tree, self.elsewhere, self.scope = function, own, tree, elsewhere, scope
        self.entry = function.append_basic_block("entry")
        self.b = ir.IRBuilder(function.append_basic_block("begin"))
        self.names = own.function.__globals__
        self.known: dict[str, Value] = {}
        self.places: dict[str, Value] = {}
        counts = Counter([*_assigned(tree.body), *(argument.arg for argument in tree.args.args)])
        self.varying = {name for name, times in counts.items() if times > 1}

    def emit(self) -> None:
        """Emit all statements. What a function has before its first one are its variables."""
        names, given = [argument.arg for argument in self.tree.args.args], self.function.args
        self.lengths = dict(zip((names[place] for place in self.own.lengths), given[len(names) :], strict=True))
        for name, kind, value in zip(names, self.own.arguments, given[: len(names)], strict=True):
            self.assign(name, Value(kind, value))
        self.statements(self.tree.body)
        if not self.b.block.is_terminated:
            if self.own.results:
                self.b.unreachable()
            else:
                self.b.ret_void()
        ir.IRBuilder(self.entry).branch(self.function.blocks[1])

    def called(self, own: Native) -> ir.Function:
        """The LLVM function of another native function."""
        return function_in(self.b.module, own, self.elsewhere)

    # Statements ------------------------------------------------------------------------------------------------------

    def statements(self, nodes: Sequence[ast.stmt]) -> None:
        """Emit statements. Values that they name have no meaning behind them: they may not run, or run again."""
        before = dict(self.known)
        for node in nodes:
            if not self.b.block.is_terminated:
                if self.scope is not None:
                    place = {"line": node.lineno, "column": 0, "scope": self.scope}
                    self.b.debug_metadata = self.b.module.add_debug_info("DILocation", place)
                self.visit(node)
        self.known = before

    def visit_Pass(self, node: ast.Pass) -> None:
        """Nothing."""

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self.b.ret_void()
            return
        given = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        made = [self.cast(self.visit(each), kind) for each, kind in zip(given, self.own.results, strict=True)]
        whole: ir.Value = made[0]
        if len(made) > 1:
            whole = ir.Constant(self.function.function_type.return_type, ir.Undefined)
            for place, value in enumerate(made):
                whole = self.b.insert_value(whole, value, place)
        self.b.ret(whole)

    def visit_Assign(self, node: ast.Assign) -> None:
        (target,) = node.targets
        targets = target.elts if isinstance(target, ast.Tuple) else [target]
        if isinstance(node.value, ast.Tuple):
            values = [self.visit(each) for each in node.value.elts]
        else:
            made = self.visit(node.value)
            values = made if isinstance(made, list) else [made]
            if self.own.few_passes and len(values) == 1 and isinstance(node.value, ast.Call):
                _inline(values[0].value)
        for each, value in zip(targets, values, strict=True):
            self.put(each, value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        before = self.visit(node.target)
        self.put(node.target, self.binary(node, node.op, before, self.visit(node.value)))

    def put(self, target: ast.expr, value: Value) -> None:
        """Store a value in a variable, or in an element of an array."""
        if isinstance(target, ast.Subscript):
            kind, place = self.element(target)
            self.b.store(self.cast(value, kind), place)
        else:
            assert isinstance(target, ast.Name)
            self.assign(target.id, value)

    def assign(self, name: str, value: Value) -> None:
        if name not in self.varying:
            self.known[name] = value
            return
        if name not in self.places:
            place = ir.IRBuilder(self.entry).alloca(value.value.type, name=name)
            self.places[name] = Value(value.kind, place)
        known = self.places[name]
        if known.kind != value.kind and (known.kind, value.kind) != (types.float64, types.float32):
            raise TypeError(f"{name} of {self.tree.name} is {known.kind} first and {value.kind} later")
        self.b.store(self.cast(value, known.kind), known.value)

    def visit_If(self, node: ast.If) -> None:
        with self.b.if_else(self.truth(node.test)) as (then, otherwise):
            with then:
                self.statements(node.body)
            with otherwise:
                self.statements(node.orelse)

    def visit_While(self, node: ast.While) -> None:
        head, body, after = (self.function.append_basic_block(f"while.{n}") for n in ("head", "body", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        self.b.cbranch(self.truth(node.test), body, after)
        self.b.position_at_end(body)
        self.statements(node.body)
        if not self.b.block.is_terminated:
            self.b.branch(head)
        self.b.position_at_end(after)

    def visit_For(self, node: ast.For) -> None:
        if isinstance(node.iter, ast.Subscript) and isinstance(node.target, ast.Tuple):
            self.over_table(node.iter, node)
            return
        if not (isinstance(node.iter, ast.Call) and isinstance(node.target, ast.Name)):
            self.fail(node.iter, "a native function loops over spans only")
        start, stop, *step = (self.visit(each) for each in node.iter.args)
        each = step[0].value.constant if step else 1
        with self.looping(start.value, stop.value, each) as counter:
            self.assign(node.target.id, Value(types.int64, counter))
            self.statements(node.body)

    def over_table(self, table: ast.Subscript, node: ast.For) -> None:
        """A loop over the rows of whole numbers of one entry of a table."""
        rows = self.entry_of(table)
        with self.looping(integer(0), integer(rows.type.pointee.count), 1) as counter:
            row = self.b.gep(rows, [integer(0), counter])
            for place, each in enumerate(node.target.elts):  # type: ignore[attr-defined]
                self.put(each, Value(types.int64, self.b.load(self.b.gep(row, [integer(0), integer(place)]))))
            self.statements(node.body)

    @contextmanager
    def looping(self, start: ir.Value, stop: ir.Value, step: int) -> Iterator[ir.Value]:
        """A loop, behind which values that it names have no meaning."""
        before = dict(self.known)
        with counted(self.b, start, stop, step, unrolls=True) as counter:
            yield counter
        self.known = before
