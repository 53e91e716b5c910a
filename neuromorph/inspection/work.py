"""Counts the arithmetic and the memory traffic of the operations of a plan, from the plan alone.

FLOPs are counted for the components of vectors, without padding. A multiply-add counts two, a comparison one, a
selection or a move none. exp, tanh and the like count the operations that they are emitted as. Bytes are those that an
operation reads and writes, from any level of memory: each operand once an execution, in whole vectors with padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

from ..codegen import Kernel
from ..functions.expressions import Expression
from ..host.frozen import frozen
from ..optimizers import UPDATES
from ..schedule import (
    WINDOW,
    Access,
    Bias,
    Block,
    Columns,
    InChunks,
    Loss,
    Map,
    Mask,
    Operation,
    Place,
    Plan,
    Product,
    Reduce,
    Rows,
    Sum,
    padded,
)
from ..simd.counts import operations_of
from ..simd.math import NAMES

_ONE_EACH = ("sqrt", "absolute", "maximum", "minimum", "total")


@frozen
class Work:
    """Floating-point operations and bytes."""

    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Work:
        return Work(self.flops * times, self.bytes * times)


def flops_of(expression: str, dtype: str) -> int:
    """Floating-point operations of one component of a generated expression."""
    return Expression(expression).cost(_costs_of_calls(dtype))


@cache
def _costs_of_calls(dtype: str) -> dict[str, int]:
    """The operations of a call of each function. Softmax: maximum, differences, powers, their sum, a division."""
    costs = {name: operations_of(name, dtype) for name in NAMES} | dict.fromkeys(_ONE_EACH, 1)
    return costs | {"softmax": 4 + costs["exp"]}


@frozen
class Counter:
    """Counts the work of a training window of ``steps`` samples."""

    kernel: Kernel
    steps: int

    @property
    def plan(self) -> Plan:
        """The plan of training."""
        return self.kernel.plan.training

    @property
    def rows(self) -> int:
        """Rows of a window: samples times lanes."""
        return self.steps * self.kernel.options.batch

    def executions(self, domain: int) -> int:
        """How often an operation runs in a window: once, once a step, or once a chunk of rows."""
        if domain != WINDOW:
            return self.steps
        division = self.kernel.options.division
        return -(-self.rows // division.rows) if isinstance(division, InChunks) else 1

    def of(self, operation: Operation, domain: int) -> Work:
        """The work of an operation in a window."""
        if isinstance(operation, Block):
            loaded: set[tuple[Place, int]] = set()
            return sum((self._statement(statement, loaded) for statement in operation.maps), Work())
        if isinstance(operation, Reduce):
            return self._reduce(operation, set())
        if isinstance(operation, Mask):  # a comparison and a product; the counter's mathematics is that of integers
            width = operation.target.width
            return Work(2 * width * self.rows, self._bytes(self._whole(width) * self.rows))
        if isinstance(operation, Rows):
            return self._softmax(operation)
        if isinstance(operation, Loss):
            return self._loss(operation)
        if isinstance(operation, Bias):
            return self._bias(operation)
        if isinstance(operation, Columns):
            return self._columns(operation.source.width)
        if isinstance(operation, Sum):
            return self._sum(operation)
        assert isinstance(operation, Product)
        return self._product(operation, self.executions(domain))

    def shares_of_block(self, block: Block) -> list[Work]:
        """The work of each statement of a block. A value that an earlier statement loaded or computed is not counted
        again."""
        loaded: set[tuple[Place, int]] = set()
        return [self._statement(statement, loaded) for statement in block.maps]

    def _statement(self, statement: Map | Reduce, loaded: set[tuple[Place, int]]) -> Work:
        return self._reduce(statement, loaded) if isinstance(statement, Reduce) else self._map(statement, loaded)

    def _map(self, statement: Map, loaded: set[tuple[Place, int]]) -> Work:
        dtype = self.kernel.options.dtype
        texts = [statement.expression, *(text for _, text in statement.let)]
        each = sum(flops_of(text, dtype) for text in texts) + statement.accumulate
        reads = [access for _, access in statement.operands]
        reads += [Access(statement.target)] if statement.accumulate else []
        single = {(access.place, access.shift) for access in reads if access.broadcast} - loaded
        places = {(access.place, access.shift) for access in reads if not access.broadcast} - loaded
        loaded |= places | {(statement.target, statement.shift)}
        numbers = (len(places) + statement.store) * self._whole(statement.width) + len(single)
        return Work(each * statement.width * self.rows, self._bytes(numbers * self.rows))

    def _reduce(self, operation: Reduce, loaded: set[tuple[Place, int]]) -> Work:
        """One more for each component to add it up; ``finish`` once a row. A row's number is stored as a vector."""
        dtype = self.kernel.options.dtype
        each = flops_of(operation.expression, dtype) + 1
        once = flops_of(operation.finish, dtype) + 1 if operation.finish else int(operation.accumulate)
        whole = self._whole(operation.width)
        fresh = {(access.place, access.shift): access for _, access in operation.operands}
        numbers = sum(1 if fresh[key].broadcast else whole for key in fresh.keys() - loaded)
        numbers += self.plan.lanes * (operation.store + operation.accumulate)
        loaded |= {*fresh, (operation.target, operation.shift)}
        return Work((each * operation.width + once) * self.rows, self._bytes(numbers * self.rows))

    def _softmax(self, rows: Rows) -> Work:
        width, exp = rows.target.width, operations_of("exp", self.kernel.options.dtype)
        each, vectors = (4 + exp, 5) if rows.kind == "softmax" else (4 + rows.accumulate, 5 + rows.accumulate)
        return Work(each * width * self.rows, self._bytes(vectors * self._whole(width) * self.rows))

    def _loss(self, loss: Loss) -> Work:
        graph, dtype = self.plan.graph, self.kernel.options.dtype
        function = graph.nodes[graph.output].function
        form = graph.loss.logit_form(function.name) if loss.logits is not None and function is not None else None
        term, derivative = (form or graph.loss).term, (form or graph.loss).derivative
        each = flops_of(term, dtype) + flops_of(derivative, dtype) + 2  # an addition and a scaling
        each += 3 if form is not None and form.couples else 0  # two maxima and a sum
        each += 2 * (loss.units is not None)  # the expected values are standardised
        vectors = 3 + (loss.logits is not None) + 2 * (loss.units is not None)
        width = loss.result.width
        return Work(each * width * self.rows, self._bytes(vectors * self._whole(width) * self.rows))

    def _product(self, product: Product, times: int) -> Work:
        group, taps = self.plan.groups[product.group], product.taps
        inner, members = group.parts[product.part].width, sum(member.width for member in group.members)
        again = product.start == "add" or (product.start == "keep" and times > 1)
        bias = times * group.columns if product.start == "bias" else 0
        weight, left, right = times * inner * group.columns * taps, self.rows * inner, self.rows * group.columns
        twice = {
            "forward": right * (taps - 1 + again), "backward": self.rows * self._whole(inner) * taps * again,
            "weight": weight * again,
        }[product.kind]  # fmt: skip
        moved = weight + taps * (left + right) + bias + twice
        alone = Work(2.0 * inner * taps * members * self.rows, self._bytes(moved))
        return alone + self.of_epilogue(product)

    def of_epilogue(self, product: Product) -> Work:
        """The work of a product's epilogue, and of reading its second operand."""
        if product.epilogue is None:
            return Work()
        group, own = self.plan.groups[product.group], product.target
        width = sum(member.width for member in group.members) if product.kind == "forward" else own.width if own else 0
        beside = self._whole(width) if product.epilogue.beside is not None else 0
        each = flops_of(product.epilogue.expression, self.kernel.options.dtype)
        return Work(each * width * self.rows, self._bytes(beside * self.rows))

    def _sum(self, operation: Sum) -> Work:
        """The work of adding up the threads' partial sums, and a bias or the value that was there before."""
        product, threads = operation.product, operation.partials.threads
        assert product.target is not None
        width, more = product.target.width, product.start != "zero"
        moved = (threads + 1 + (product.start == "add")) * self._whole(width) * self.rows
        return Work((threads - 1.0 + more) * width * self.rows, self._bytes(moved)) + self.of_epilogue(product)

    def _bias(self, bias: Bias) -> Work:
        group = self.plan.groups[bias.group]
        members = sum(member.width for member in group.members)
        return Work(members * self.rows, self._bytes((self.rows + 1) * group.columns))

    def _columns(self, width: int) -> Work:
        """The work of summing each component over all rows."""
        return Work(width * self.rows, self._bytes((self.rows + 1) * self._whole(width)))

    def _whole(self, width: int) -> int:
        return padded(width, self.plan.lanes)

    def _bytes(self, elements: float) -> float:
        return elements * self.kernel.options.size

    def of_zeros(self) -> list[tuple[int, Work]]:
        """The work of setting gradients to zero before the backward pass, with the node of each gradient."""
        buffers = self.plan.buffers_by_name
        steps = dict.fromkeys(self.plan.carries, 1)
        steps |= {name: self.steps + buffers[name].depth for name in self.plan.cleared}
        numbers = {name: count * self.kernel.options.batch * buffers[name].stride for name, count in steps.items()}
        return [(int(name[1:]), Work(0.0, self._bytes(count))) for name, count in numbers.items()]

    # Functions that are not made of operations

    @property
    def parameters(self) -> int:
        """The number of parameters that learn, without padding."""
        return sum(math.prod(array.shape) for array in self.plan.graph.arrays if array.learns)

    def of_function(self, name: str) -> Work:
        """The work of a function that is not made of operations, such as ``time_shift``, in a window."""
        layout, size, options = self.kernel.plan.layout, self.kernel.plan.layout.learning_size, self.kernel.options
        optimizer = UPDATES[options.optimizer]
        if name == "take":
            return Work(0.0, self._bytes(2 * self.rows * self.plan.strides["x"]))
        if name == "sample_losses":
            return Work(3.0 * self.rows, self._bytes(2 * self.rows))
        if name == "time_shift":
            buffers = [self.plan.buffers_by_name[buffer] for _, buffer in self.plan.state]
            kept = sum(buffer.depth * buffer.stride for buffer in buffers)
            return Work(0.0, self._bytes(2 * options.batch * kept))
        if name == "transpose":
            changing = sum(layout.transposed_elements(*which) for which in self.plan.changing_transposes)
            return Work(0.0, self._bytes(2 * changing))
        if name == "gradient_norm":  # one multiply-add
            copies = self.kernel.plan.gradient_copies
            return Work((2.0 + copies - 1) * self.parameters, self._bytes((copies + (copies > 1)) * size))
        each = 1 + self._statements(text for _, text in optimizer.statements)
        return Work(each * self.parameters, self._bytes((3 + 2 * len(optimizer.slots)) * size))

    def _statements(self, texts: Iterable[str]) -> int:
        return sum(flops_of(text, self.kernel.options.dtype) for text in texts)
