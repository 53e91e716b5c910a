"""Lists of ONNX nodes, and the expressions of records as ONNX nodes."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..host.syntax import parsed_expression

Names = Mapping[str, str | float]  # the tensors, or the numbers, of an expression's variables

_OPERATORS = {
    ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Lt: "Less", ast.LtE: "LessOrEqual",
    ast.Gt: "Greater", ast.GtE: "GreaterOrEqual",
}  # fmt: skip
_FUNCTIONS = {
    "exp": "Exp", "log": "Log", "tanh": "Tanh", "sigmoid": "Sigmoid", "sin": "Sin", "cos": "Cos", "sqrt": "Sqrt",
    "absolute": "Abs", "maximum": "Max", "minimum": "Min", "where": "Where",
}  # fmt: skip
# Functions that take several operators. The runtimes have Softplus and Erf in float32 only.
_COMPOSED = {
    "softplus": "maximum(x, 0.0) + log(1.0 + exp(-absolute(x)))",
    "normal_cdf": f"0.5 + 0.5 * erf({math.sqrt(0.5)!r} * x)",
}


FLOAT, DOUBLE = 1, 11  # ONNX's numbers of the types


@dataclass(frozen=True)
class Operation:
    """One node of ONNX, before it is written: its operator, and the names of its tensors."""

    operator: str
    inputs: tuple[str, ...]
    results: tuple[str, ...]
    attributes: Mapping[str, Any]


class Nodes:
    """ONNX nodes in the order in which they run, and the constants that they read.

    A tensor of a node of ours begins with its name and a colon, which no name has. The same operation on the same
    tensors is one ONNX node.
    """

    def __init__(self, dtype: np.dtype[Any], constants: dict[str, NDArray[Any]] | None = None) -> None:
        self.dtype = dtype
        self.constants: dict[str, NDArray[Any]] = {} if constants is None else constants
        self.made: list[Operation] = []
        self._known: dict[Any, str] = {}

    def add(self, operator: str, *inputs: str, at: str, **attributes: Any) -> str:
        """The tensor that an operator gives. at: the name of the node of ours that it belongs to."""
        key = (operator, inputs, str(attributes))
        if key not in self._known:
            self._known[key] = f"{at}:{len(self.made)}"
            self.give(operator, *inputs, results=(self._known[key],), **attributes)
        return self._known[key]

    def give(self, operator: str, *inputs: str, results: tuple[str, ...], **attributes: Any) -> None:
        """Add an operator whose tensors get certain names."""
        self.made.append(Operation(operator, inputs, results, attributes))

    def number(self, value: float) -> str:
        """A constant of the model's type."""
        return self.constant(f"number/{value!r}", np.array(value, self.dtype))

    def whole(self, *values: int) -> str:
        """A constant vector of whole numbers, such as a shape."""
        return self.constant(f"whole/{'_'.join(map(str, values))}", np.array(values, np.int64))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.setdefault(name, value)
        return name

    def part(self, x: str, start: int, stop: int, axis: int, *, at: str) -> str:
        """A part of a tensor along one axis."""
        return self.add("Slice", x, self.whole(start), self.whole(stop), self.whole(axis), at=at)

    # Expressions -----------------------------------------------------------------------------------------------------

    def expression(self, text: str, names: Names, *, at: str) -> str:
        """The tensor of an expression's value."""
        return self._value(parsed_expression(text), names, at)

    def _value(self, node: ast.expr, names: Names, at: str) -> str:
        match node:
            case ast.Constant():
                assert isinstance(node.value, float)
                return self.number(node.value)
            case ast.Name():
                value = names[node.id]
                return value if isinstance(value, str) else self.number(value)
            case ast.UnaryOp(op=ast.USub()):
                return self.add("Neg", self._value(node.operand, names, at), at=at)
            case ast.BinOp():
                operands = [self._value(side, names, at) for side in (node.left, node.right)]
                return self.add(_OPERATORS[type(node.op)], *operands, at=at)
            case ast.Compare():
                operands = [self._value(side, names, at) for side in (node.left, node.comparators[0])]
                return self.add(_OPERATORS[type(node.ops[0])], *operands, at=at)
            case ast.Call(func=ast.Name(id=function)):
                return self._call(function, [self._value(one, names, at) for one in node.args], at)
        raise AssertionError(f"no expression of a record: {ast.unparse(node)}")

    def _call(self, function: str, arguments: list[str], at: str) -> str:
        if function in _COMPOSED:
            return self.expression(_COMPOSED[function], {"x": arguments[0]}, at=at)
        if function == "erf":
            return self._error_function(arguments[0], at)
        return self.add(_FUNCTIONS[function], *arguments, at=at)

    def _error_function(self, x: str, at: str) -> str:
        """erf, computed in float32."""
        if self.dtype == np.float32:
            return self.add("Erf", x, at=at)
        narrow = self.add("Cast", x, at=at, to=FLOAT)
        return self.add("Cast", self.add("Erf", narrow, at=at), at=at, to=DOUBLE)
