"""Emits the bodies of native functions, statement by statement, as LLVM instructions.

Every variable has one type in a function: that of its first value. A variable that one statement assigns is that
statement's value; others are in memory here, and LLVM puts them into registers. Mixed operands are converted as Numba
does, so that both give the same bits.
"""

from __future__ import annotations

import ast
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature

from .lowering import ARRAY, DEFINED, Twin
from .native import MARK, Native, definition, ir_type, result_type
from .routines import I1, I64, counted, integer, routine, teach
from .vectors import OPERATIONS, MaskType, VectorType, intrinsic, spread

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.USub: operator.neg,
}  # fmt: skip
_SIGNS: dict[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="
}  # fmt: skip
_OF_COUNTS: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.LShift: "shl", ast.RShift: "ashr", ast.BitAnd: "and_",
    ast.BitOr: "or_", ast.BitXor: "xor",
}  # fmt: skip
_OF_NUMBERS: dict[type[ast.AST], str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}


class Value(NamedTuple):
    """A value and its type."""

    kind: types.Type
    value: ir.Value


def taught(function: Twin) -> Twin:
    """A native function of one result that functions which Numba compiles may call too."""
    own: Native = getattr(function, MARK)

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
        return builder.call(function_in(builder.module, own), values)

    return teach(function, list(own.arguments), emit, own.results[0])


def function_in(module: ir.Module, own: Native) -> ir.Function:
    """The LLVM function of a native function in a module; its body is emitted if the module has none."""
    kinds = [ir_type(kind) for kind in own.arguments]
    name = f"nm.native.{own.function.__name__}"
    function, is_new = routine(module, name, kinds, result=result_type(own), inline=False)
    if is_new:
        for argument, kind in zip(function.args, own.arguments, strict=True):
            if isinstance(kind, types.Array) and kind.dtype is types.int64:
                argument.add_attribute("noalias")  # no program is changed while it runs
        _Emitter(function, own, definition(own.function)).emit()
    return function


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


class _Emitter(ast.NodeVisitor):
    def __init__(self, function: ir.Function, own: Native, tree: ast.FunctionDef) -> None:
        self.function, self.own, self.tree = function, own, tree
        self.entry = function.append_basic_block("entry")
        self.b = ir.IRBuilder(function.append_basic_block("begin"))
        self.names = own.function.__globals__
        self.known: dict[str, Value] = {}
        self.places: dict[str, Value] = {}
        counts = Counter([*_assigned(tree.body), *(argument.arg for argument in tree.args.args)])
        self.varying = {name for name, times in counts.items() if times > 1}

    def emit(self) -> None:
        """Emit all statements. What a function has before its first one are its variables."""
        for argument, kind, given in zip(self.tree.args.args, self.own.arguments, self.function.args, strict=True):
            self.assign(argument.arg, Value(kind, given))
        self.statements(self.tree.body)
        if not self.b.block.is_terminated:
            if self.own.results:
                self.b.unreachable()
            else:
                self.b.ret_void()
        ir.IRBuilder(self.entry).branch(self.function.blocks[1])

    def fail(self, node: ast.AST, what: str) -> NoReturn:
        raise TypeError(f"{self.tree.name} has {ast.unparse(node)!r}: {what}")

    def generic_visit(self, node: ast.AST) -> NoReturn:
        """Refuse what the language does not have."""
        self.fail(node, "a native function can't have it")

    # Statements ------------------------------------------------------------------------------------------------------

    def statements(self, nodes: Sequence[ast.stmt]) -> None:
        """Emit statements. Values that they name have no meaning behind them: they may not run, or run again."""
        before = dict(self.known)
        for node in nodes:
            if not self.b.block.is_terminated:
                self.visit(node)
        self.known = before

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
            if len(values) == 1 and isinstance(node.value, ast.Call):
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

    def variable(self, name: str) -> Value:
        if name in self.known:
            return self.known[name]
        kind, place = self.places[name]
        return Value(kind, self.b.load(place))

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
        if not (isinstance(node.iter, ast.Call) and isinstance(node.target, ast.Name)):
            self.fail(node.iter, "a native function loops over spans only")
        start, stop, *step = (self.visit(each) for each in node.iter.args)
        each = step[0].value.constant if step else 1
        before = dict(self.known)
        with counted(self.b, start.value, stop.value, each) as counter:
            self.assign(node.target.id, Value(types.int64, counter))
            self.statements(node.body)
        self.known = before

    # Expressions -----------------------------------------------------------------------------------------------------

    def visit_Constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, bool):
            return Value(types.boolean, ir.Constant(I1, int(node.value)))
        if isinstance(node.value, int):
            return Value(types.int64, integer(node.value))
        return Value(types.float64, ir.Constant(ir.DoubleType(), node.value))

    def visit_Name(self, node: ast.Name) -> Value:
        is_own = node.id in self.known or node.id in self.places
        return self.variable(node.id) if is_own else self.visit_Constant(ast.Constant(self.names[node.id]))

    def visit_Subscript(self, node: ast.Subscript) -> Value:
        kind, place = self.element(node)
        return Value(kind, self.b.load(place))

    def element(self, node: ast.Subscript) -> Value:
        """The type and the place of an element of an array."""
        array, index = self.visit(node.value), self.visit(node.slice)
        return Value(array.kind.dtype, self.b.gep(array.value, [index.value]))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Value:
        kind, value = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return Value(types.boolean, self.b.not_(self.truth(node.operand)))
        if isinstance(node.op, ast.USub) and isinstance(value, ir.Constant):
            return Value(kind, ir.Constant(value.type, -value.constant))
        if isinstance(node.op, ast.USub):
            return Value(kind, (self.b.neg if kind is types.int64 else self.b.fneg)(value))
        self.fail(node, "there is no such operator")

    def visit_BinOp(self, node: ast.BinOp) -> Value:
        return self.binary(node, node.op, self.visit(node.left), self.visit(node.right))

    def binary(self, node: ast.AST, op: ast.operator, x: Value, y: Value) -> Value:
        if isinstance(x.kind, VectorType) or isinstance(y.kind, VectorType):
            return self.of_vectors(_OPERATORS[type(op)], [x, y])
        if isinstance(op, ast.Pow):
            powers = [self.cast(each, types.float64) for each in (x, y)]
            power = intrinsic(self.b.module, "llvm.pow.f64", ir.DoubleType(), [ir.DoubleType()] * 2)
            return Value(types.float64, self.b.call(power, powers))
        kind = self.common(x, y)
        if kind is types.int64 and isinstance(op, ast.FloorDiv | ast.Mod):
            return self.divided(op, x, y)
        if isinstance(op, ast.Div) and kind is types.int64:
            kind = types.float64
        table = _OF_COUNTS if kind is types.int64 else _OF_NUMBERS
        if type(op) not in table:
            self.fail(node, "there is no such operator")
        return Value(kind, getattr(self.b, table[type(op)])(self.cast(x, kind), self.cast(y, kind)))

    def divided(self, op: ast.operator, x: Value, y: Value) -> Value:
        """The quotient, rounded down, or the rest, of the sign of the divisor."""
        b = self.b
        quotient, rest = b.sdiv(x.value, y.value), b.srem(x.value, y.value)
        differ = b.icmp_signed("<", b.xor(rest, y.value), integer(0))
        lower = b.and_(differ, b.icmp_signed("!=", rest, integer(0)))
        if isinstance(op, ast.Mod):
            return Value(types.int64, b.add(rest, b.select(lower, y.value, integer(0))))
        return Value(types.int64, b.sub(quotient, b.zext(lower, I64)))

    def common(self, *values: Value) -> types.Type:
        """The type to which single numbers are converted for an operation on all of them."""
        kinds = {value.kind for value in values}
        return kinds.pop() if len(kinds) == 1 else types.float64

    def visit_Compare(self, node: ast.Compare) -> Value:
        values = [self.visit(each) for each in (node.left, *node.comparators)]
        pairs = zip(node.ops, values, values[1:], strict=False)
        first, *others = [self.compared(op, x, y) for op, x, y in pairs]
        for other in others:
            first = Value(first.kind, self.b.and_(first.value, other.value))
        return first

    def compared(self, op: ast.cmpop, x: Value, y: Value) -> Value:
        if isinstance(x.kind, VectorType) or isinstance(y.kind, VectorType):
            return self.of_vectors(_OPERATORS[type(op)], [x, y])
        kind, sign = self.common(x, y), _SIGNS[type(op)]
        pair = [self.cast(each, kind) for each in (x, y)]
        if kind is types.int64:
            return Value(types.boolean, self.b.icmp_signed(sign, *pair))
        compare = self.b.fcmp_unordered if sign == "!=" else self.b.fcmp_ordered
        return Value(types.boolean, compare(sign, *pair))

    def truth(self, node: ast.expr) -> ir.Value:
        kind, value = self.visit(node)
        if kind is not types.boolean:
            self.fail(node, "a condition is a comparison or a flag")
        return value

    def visit_BoolOp(self, node: ast.BoolOp) -> Value:
        first, *others = node.values
        if not others:
            return Value(types.boolean, self.truth(first))
        rest, fixed = ast.BoolOp(node.op, others), ast.Constant(isinstance(node.op, ast.Or))
        branches = (fixed, rest) if isinstance(node.op, ast.Or) else (rest, fixed)
        return self.visit_IfExp(ast.IfExp(first, *branches))

    def visit_IfExp(self, node: ast.IfExp) -> Value:
        """A choice, of the type of its first value."""
        with self.b.if_else(self.truth(node.test)) as (then, otherwise):
            with then:
                first = self.visit(node.body)
                end = self.b.block
            with otherwise:
                second = self.cast(self.visit(node.orelse), first.kind)
                other_end = self.b.block
        phi = self.b.phi(first.value.type)
        phi.add_incoming(first.value, end)
        phi.add_incoming(second, other_end)
        return Value(first.kind, phi)

    # Calls -----------------------------------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> Value | list[Value]:
        values = [self.visit(each) for each in node.args]
        if isinstance(node.func, ast.Subscript):
            return self.from_table(node.func, values)
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name in ("int", "float"):
            return self.converted(name, *values)
        if name in ("max", "min"):
            return self.extreme(">" if name == "max" else "<", values)
        function = self.names.get(name)
        if hasattr(function, MARK):
            own: Native = getattr(function, MARK)
            return self.result(own, self.b.call(function_in(self.b.module, own), self.given(values, own.arguments)))
        if function in DEFINED:
            return self.defined(function, values)
        if function in OPERATIONS:
            return self.of_vectors(function, values)
        self.fail(node, "there is no such function")

    def given(self, values: Sequence[Value], kinds: Sequence[types.Type]) -> list[ir.Value]:
        return [self.cast(value, kind) for value, kind in zip(values, kinds, strict=True)]

    def result(self, own: Native, made: ir.Value) -> Value | list[Value]:
        if len(own.results) > 1:
            return [Value(kind, self.b.extract_value(made, place)) for place, kind in enumerate(own.results)]
        return Value(own.results[0] if own.results else types.void, made)

    def from_table(self, node: ast.Subscript, values: list[Value]) -> Value | list[Value]:
        """A call of one of the functions of a tuple, whose arguments and results are alike."""
        assert isinstance(node.value, ast.Name)
        listed: tuple[Native, ...] = tuple(getattr(each, MARK) for each in self.names[node.value.id])
        functions = [function_in(self.b.module, each) for each in listed]
        kind = ir.ArrayType(functions[0].type, len(functions))
        table = ir.GlobalVariable(self.b.module, kind, f"nm.native.{node.value.id}")
        table.initializer, table.linkage, table.global_constant = ir.Constant(kind, functions), "internal", True
        place = self.b.gep(table, [integer(0), self.visit(node.slice).value])
        return self.result(listed[0], self.b.call(self.b.load(place), self.given(values, listed[0].arguments)))

    def defined(self, function: Any, values: list[Value]) -> Value:
        known = DEFINED[function]
        wanted = [v.kind if kind is ARRAY else kind for v, kind in zip(values, known.arguments, strict=True)]
        kind = wanted[0] if known.result is ARRAY else known.result
        made = known.emit(None, self.b, signature(kind, *wanted), self.given(values, wanted))
        return Value(kind, made)

    def of_vectors(self, function: Any, values: list[Value]) -> Value:
        """An operation on vectors, to which single numbers are spread, or on one number."""
        known = OPERATIONS[function]
        kinds = (value.kind.vector if isinstance(value.kind, MaskType) else value.kind for value in values)
        vector = next((kind for kind in kinds if isinstance(kind, VectorType)), None)
        if vector is None:
            (value,) = values
            return Value(value.kind, known.emit(self.b, value.value))
        numbers = (types.float32, types.float64, types.int64)
        operands = [self.cast(each, vector) if each.kind in numbers else each.value for each in values]
        return Value(known.result(vector), known.emit(self.b, *operands))

    def converted(self, name: str, value: Value) -> Value:
        if name == "int":
            whole = value.kind is types.int64
            return Value(types.int64, value.value if whole else self.b.fptosi(value.value, I64))
        return value if isinstance(value.kind, types.Float) else Value(types.float64, self.cast(value, types.float64))

    def extreme(self, sign: str, values: list[Value]) -> Value:
        """The largest or smallest number, as Python finds it."""
        kind = self.common(*values)
        first, *others = (self.cast(each, kind) for each in values)
        compare = self.b.icmp_signed if kind is types.int64 else self.b.fcmp_ordered
        for other in others:
            first = self.b.select(compare(sign, other, first), other, first)
        return Value(kind, first)

    def cast(self, value: Value, kind: types.Type) -> ir.Value:
        """A value as another type."""
        here, b = value.kind, self.b
        if here == kind or isinstance(here, types.Array):  # all arrays of an element type are alike here
            return value.value
        if isinstance(value.value, ir.Constant) and isinstance(kind, types.Float | VectorType):
            whole = [float(value.value.constant)] * getattr(kind, "simd_width", 1)
            return ir.Constant(ir_type(kind), whole if isinstance(kind, VectorType) else whole[0])
        if isinstance(kind, VectorType) and not isinstance(here, VectorType):
            return spread(b, self.cast(value, kind.dtype), kind.simd_width)
        if isinstance(kind, types.Float) and here is types.int64:
            return b.sitofp(value.value, ir_type(kind))
        if isinstance(kind, types.Float) and isinstance(here, types.Float):
            wider = kind.bitwidth > here.bitwidth
            return (b.fpext if wider else b.fptrunc)(value.value, ir_type(kind))
        raise TypeError(f"{self.tree.name} has {here} where {kind} is needed")
