"""Emits the expressions of native functions as LLVM instructions.

Mixed operands are converted as Numba does, so that both give the same bits.
"""

from __future__ import annotations

import ast
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature

from .constants import filled
from .lowering import ARRAY, DEFINED
from .native import MARK, Native, ir_type, whose
from .routines import I1, I64, integer
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
_OVERFLOWING, _NO_OVERFLOW = (ast.Add, ast.Sub, ast.Mult), {"flags": ["nsw"]}  # no sum or product of counts overflows
_OF_NUMBERS: dict[type[ast.AST], str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}


class Value(NamedTuple):
    """A value and its type."""

    kind: types.Type
    value: ir.Value


def _table(numbers: Any) -> ir.Constant:
    """Whole numbers, or tuples of tuples of them, as constants."""
    if isinstance(numbers, int):
        return integer(numbers)
    parts = [_table(each) for each in numbers]
    return ir.Constant(ir.ArrayType(parts[0].type, len(parts)), parts)


class Expressions(ast.NodeVisitor, ABC):
    """The expressions of one function, whose values are ``known`` or, where they vary, in memory at ``places``.

    names: those of the file's functions and constants. lengths: of arrays that are arguments, by their names.
    """

    function: ir.Function
    tree: ast.FunctionDef
    b: ir.IRBuilder
    names: dict[str, Any]
    lengths: dict[str, ir.Value]
    known: dict[str, Value]
    places: dict[str, Value]

    @abstractmethod
    def called(self, own: Native) -> ir.Function:
        """The LLVM function of another native function."""

    def fail(self, node: ast.AST, what: str) -> NoReturn:
        raise TypeError(f"{self.tree.name} has {ast.unparse(node)!r}: {what}")

    def generic_visit(self, node: ast.AST) -> NoReturn:
        """Refuse what the language does not have."""
        self.fail(node, "a native function can't have it")

    def variable(self, name: str) -> Value:
        if name in self.known:
            return self.known[name]
        kind, place = self.places[name]
        return Value(kind, self.b.load(place))

    def visit_Constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, bool):
            return Value(types.boolean, ir.Constant(I1, int(node.value)))
        if isinstance(node.value, int):
            return Value(types.int64, integer(node.value))
        return Value(types.float64, ir.Constant(ir.DoubleType(), node.value))

    def visit_Name(self, node: ast.Name) -> Value:
        is_own = node.id in self.known or node.id in self.places
        return self.variable(node.id) if is_own else self.visit_Constant(ast.Constant(self.names[node.id]))

    def visit_Subscript(self, node: ast.Subscript) -> Value | list[Value]:
        if not isinstance(node.value, ast.Tuple):
            kind, place = self.element(node)
            return Value(kind, self.b.load(place))
        entry = self.entry_of(node)
        if isinstance(entry.type.pointee, ir.IntType):
            return Value(types.int64, self.b.load(entry))
        count = entry.type.pointee.count
        places = (self.b.gep(entry, [integer(0), integer(each)]) for each in range(count))
        return [Value(types.int64, self.b.load(place)) for place in places]

    def entry_of(self, node: ast.Subscript) -> ir.Value:
        """The address of an entry of a table of whole numbers, which is written as a tuple of numbers or of tuples."""
        module, whole = self.b.module, _table(ast.literal_eval(node.value))
        table = ir.GlobalVariable(module, whole.type, module.get_unique_name(f"{self.function.name}.table"))
        table.initializer, table.linkage, table.global_constant = whole, "internal", True
        return self.b.gep(table, [integer(0), self.visit(node.slice).value])

    def element(self, node: ast.Subscript) -> Value:
        """The type and the place of an element of an array."""
        array, index = self.visit(node.value), self.visit(node.slice)
        return Value(array.kind.dtype, self.b.gep(array.value, [index.value]))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            return Value(types.boolean, self.b.not_(self.truth(node.operand)))
        kind, value = self.visit(node.operand)
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
        flags = _NO_OVERFLOW if kind is types.int64 and type(op) in _OVERFLOWING else {}
        return Value(kind, getattr(self.b, table[type(op)])(self.cast(x, kind), self.cast(y, kind), **flags))

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
        if isinstance(node.func, ast.Name) and node.func.id == "len":
            return Value(types.int64, self.length(node.args[0]))
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
            lengths = [self.length(node.args[place]) for place in own.lengths]
            called = self.called(own)
            return self.result(own, self.b.call(called, [*self.given(values, own.arguments), *lengths]))
        if function in DEFINED:
            return self.defined(function, values)
        if function in OPERATIONS:
            return self.of_vectors(function, values)
        self.fail(node, "there is no such function")

    def length(self, node: ast.expr) -> ir.Value:
        """The length of an array that is, or is a view of, one of the function's arguments."""
        found = self.lengths.get(whose(node))
        if found is None:
            self.fail(node, "only arguments have a length")
        return found

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
        functions = [self.called(each) for each in listed]
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
            number = float(value.value.constant)
            if isinstance(kind, VectorType):
                return filled(ir_type(kind.dtype), kind.simd_width, number)
            return ir.Constant(ir_type(kind), number)
        if isinstance(kind, VectorType) and not isinstance(here, VectorType):
            return spread(b, self.cast(value, kind.dtype), kind.simd_width)
        if isinstance(kind, types.Float) and here is types.int64:
            return b.sitofp(value.value, ir_type(kind))
        if isinstance(kind, types.Float) and isinstance(here, types.Float):
            wider = kind.bitwidth > here.bitwidth
            return (b.fpext if wider else b.fptrunc)(value.value, ir_type(kind))
        raise TypeError(f"{self.tree.name} has {here} where {kind} is needed")
