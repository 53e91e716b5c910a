"""Element-by-element work inside products: which statements are taken in, and that every simple text can be."""

from __future__ import annotations

import re

import numpy as np
import pytest
from llvmlite import ir

from helpers.products import product_calls
from helpers.texts import text_of
from helpers.witnesses import graph_of
from neuromorph.functions import ACTIVATIONS, MERGES
from neuromorph.functions.expressions import Expression
from neuromorph.schedule import (
    Access,
    Epilogue,
    Map,
    Note,
    Operation,
    Place,
    Plan,
    Product,
    Segment,
    plan,
)
from neuromorph.schedule.epilogues import fuse_epilogues
from neuromorph.schedule.forward import with_parameter
from neuromorph.simd import Shape, expressions, product_of

NOTE = Note(0, "a: layer 4", "a")


def plan_of(body: str, *, training: bool = True, width: int = 4) -> Plan:
    return plan(graph_of(text_of(body, width=width)), 4, training=training)


def epilogues(found: Plan, kind: str) -> list[tuple[str, str]]:
    """(expression, what stands beside) of the products of a kind that have one."""
    operations = [op for segment in (*found.forward, *found.backward) for op in segment.operations]
    ended = [op.epilogue for op in operations if isinstance(op, Product) and op.kind == kind and op.epilogue]
    return [(each.expression, each.beside.buffer if each.beside else "") for each in ended]


RELU, SLOPE = "where(x <= 0.0, 0.0, x)", "x * (where(y <= 0.0, 0.0, 1.0))"


def test_an_activation_is_done_by_the_product_before_it() -> None:
    found = plan_of("(a, 4, <relu>) (b, 5, <tanh>) (c, 6, <linear>)")
    assert epilogues(found, "forward") == [(RELU, ""), ("x", "")]  # tanh is no simple expression
    leaky = "(a, 4, <relu_leaky, 0.5>)"
    assert epilogues(plan_of(leaky, training=False), "forward") == [("where(x <= 0.0, 0.5 * x, x)", "")]
    assert epilogues(plan_of(leaky), "forward") == []  # its derivative asks for what came before it


def test_siblings_are_ended_together_or_not_at_all() -> None:
    body = "[s, (a, 4, <relu>)] (b, 7, <{}>) {{m, a, concatenate}}"
    assert epilogues(plan_of(body.format("relu")), "forward") == [(RELU, "")]
    assert epilogues(plan_of(body.format("linear")), "forward") == []


def test_a_derivative_is_done_by_the_product_that_makes_its_gradient() -> None:
    found = plan_of("(a, 4, <tanh>) (b, 5, <relu>) (c, 6, <linear>)")
    assert epilogues(found, "backward") == [("x", ""), (SLOPE, "s1"), ("x * (1.0 - y * y)", "s0")]
    assert not {"d1", "d2", "d3"} & {buffer.name for buffer in found.buffers}


def test_a_gradient_that_two_make_or_read_stays() -> None:
    made_twice = plan_of("(a, 4, <relu>) [s, (b, 4, <relu>)] {m, b, additive}")
    assert epilogues(made_twice, "backward") == []  # a's comes from the sum and from b
    read_twice = plan_of("(a, 4, <relu>) [s, (b, <relu>)] {m, b, multiplicative} (c, 4, <relu>)")
    assert epilogues(read_twice, "backward") == [(SLOPE, "s1")]  # c's only, the product's goes to a and to b


def test_what_is_carried_from_the_next_step_is_no_epilogue() -> None:
    """The product that makes it stands behind the statement that reads it."""
    read = Map(Place("d1", 0, 4), "g", (("g", Access(Place("c1", 0, 4))),), 4, NOTE)
    made = Product("backward", 0, 0, Access(Place("g0", 0, 4)), Place("c1", 0, 4), "zero", "back to a")
    segment = Segment(0, (read, made))
    assert fuse_epilogues([segment], ()) == [segment]


@pytest.mark.parametrize(
    "changed",
    [
        {"accumulate": True}, {"exact": True}, {"keep": 2}, {"expression": "g / y"}, {"expression": "zero"},
        {"let": (("s", "y"),)}, {"operands": (("g", Access(Place("d1", 0, 4))), ("y", Access(Place("v1", 0, 4), -1)))},
        {"operands": (("g", Access(Place("d1", 0, 4))), ("y", Access(Place("v1", 0, 4), 0, 3)))},
        {"operands": (("g", Access(Place("d1", 0, 4))), ("y", Access(Place("x", 0, 4))))},
        {"operands": (("g", Access(Place("d1", 0, 4))), ("y", Access(Place("v1", 0, 3))))},
    ],
    ids=repr,
)  # fmt: skip
def test_statements_that_are_more_than_one_simple_expression_stay(changed: dict[str, object]) -> None:
    product = Product("backward", 1, 0, Access(Place("g1", 0, 4)), Place("d1", 0, 4), "zero", "back to a")
    operands = (("g", Access(Place("d1", 0, 4))), ("y", Access(Place("v1", 0, 4))))
    plain = Map(Place("g0", 0, 4), "g * y", operands, 4, NOTE)

    def fused(statement: Map) -> tuple[Operation, ...]:
        return fuse_epilogues([Segment(-1, (product, statement))], ())[0].operations

    ended = Epilogue("x * y", Place("v1", 0, 4), (NOTE,))
    assert fused(plain) == (Product(**vars(product) | {"target": plain.target, "epilogue": ended}),)
    other = Map(**vars(plain) | changed)
    assert fused(other) == (product, other)


TEXTS = [
    with_parameter(text, 0.5)
    for record in ACTIVATIONS.values()
    if not record.let
    for text in (record.forward, record.derivative)
]
TEXTS += [text for record in MERGES.values() for text in (record.forward, record.d_x, record.d_o)]
SIMPLE = sorted({text for text in TEXTS if text and Expression(text).is_simple})


@pytest.mark.parametrize("text", SIMPLE)
def test_every_simple_text_can_be_emitted_and_evaluated(text: str) -> None:
    kind = ir.VectorType(ir.FloatType(), 4)
    function = ir.Function(ir.Module(), ir.FunctionType(kind, [kind] * 4), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(expressions.emit(builder, text, dict(zip("xyog", function.args, strict=True))))
    values = {name: np.linspace(-1, 1, 4, dtype=np.float32) + n for n, name in enumerate("xyog")}
    found = np.broadcast_to(expressions.value_of(text, values), 4)
    with np.errstate(all="ignore"):
        wanted = [eval(text, {"where": lambda c, a, b: a if c else b, "absolute": abs, "maximum": max, "minimum": min},
                       {name: float(value[n]) for name, value in values.items()}) for n in range(4)]  # fmt: skip
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_compiled_epilogues_bend_where_the_twins_do() -> None:
    """At zero of either sign, beside it, and for NaN: sums of one product each, so that they are the numbers given."""
    edges = np.array([-1.0, -0.0, 0.0, 1.0, np.nan, 0.5, -2.0, 3.0], np.float32)
    texts = [text for text in SIMPLE if {"x", "y"} >= set(re.findall(r"\b[a-z]\b", text))]
    shapes = [
        Shape("float32", 8, 1, 1, 8, 1, 1, 1, None, 64, "zero", epilogue=f"x * ({text})", beside_row=64)
        if "y" in text
        else Shape("float32", 8, 1, 1, 8, 1, 1, 1, None, 64, "zero", epilogue=text)
        for text in texts
    ]
    assert len(shapes) > 5
    call, one, nothing = product_calls(shapes), np.ones(1, np.float32), np.zeros(1, np.float32)
    x, y = np.tile(edges, 8), np.repeat(edges, 8)
    for number, shape in enumerate(shapes):
        found, twin = np.zeros((2, 64), np.float32)
        call(number, one, 0, x, 0, found, 0, 1, 1, nothing, 0, y, 0, False, 0, 8)
        product_of(shape)(one, 0, x, 0, twin, 0, 1, 1, *([y, 0] if shape.beside_row else []), 0, 8)
        np.testing.assert_allclose(found, twin, rtol=3e-7, atol=0, err_msg=shape.epilogue)


def test_what_takes_many_instructions_is_not_simple() -> None:
    for text in ("tanh(x)", "x / y", "exp(x) - 1.0", "x * sigmoid(x)", "sqrt(x)"):
        assert not Expression(text).is_simple
    kind = ir.VectorType(ir.FloatType(), 4)
    with pytest.raises(KeyError):
        expressions.emit(ir.IRBuilder(), "x / x", {"x": ir.Constant(kind, ir.Undefined)})
