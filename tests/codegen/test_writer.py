"""The writer's lines, and its notes of what stands in them."""

from __future__ import annotations

import re

import pytest

from helpers import witnesses
from helpers.texts import STRUCTURES, text_of
from neuromorph.codegen import ZEROS, Emitted
from neuromorph.codegen.writer import Span, Writer
from neuromorph.schedule import InChunks, Loss


def test_spans_move_with_the_lines_of_a_writer_that_is_appended() -> None:
    inside, outside = Writer(), Writer()
    inside.line("# nothing of it")
    with inside.span("loop"), inside.block("for i in span(0, 3):"):
        inside.line("x = i")
    with outside.span("function"), outside.block("def f():"):
        outside.append(inside)
        outside.line("return x")
    assert outside.text() == "def f():\n    # nothing of it\n    for i in span(0, 3):\n        x = i\n    return x\n"
    assert outside.spans == (Span("loop", 3, 4), Span("function", 1, 5))


@pytest.mark.parametrize("body", STRUCTURES.values(), ids=STRUCTURES)
def test_the_source_map_has_every_operation_of_the_plan_once_in_its_function(body: str) -> None:
    kernel = witnesses.kernel_of(text_of(body))
    lines, plan = kernel.source.splitlines(), kernel.plan.training
    inside: list[Emitted] = []
    found: dict[str, list[Emitted]] = {}
    for span in kernel.spans:
        if isinstance(span.what, Emitted):
            assert lines[span.first - 1].lstrip().startswith("# "), "an operation begins with what it does"
            inside.append(span.what)
        elif span.what == ZEROS:
            assert all(line.lstrip().startswith("clear(work, ") for line in lines[span.first - 1 : span.last])
        else:
            assert re.match(rf"def {span.what}\(", lines[span.first - 1])
            assert span.last == len(lines) or not lines[span.last].strip(), "a function ends before an empty line"
            found[str(span.what)], inside = inside, []
    wanted = [Emitted(operation, s.domain) for s in plan.forward for operation in s.operations]
    assert not isinstance(kernel.options.division, InChunks)
    assert found["forward"] + found["measure"] == sorted(wanted, key=lambda each: isinstance(each.operation, Loss))
    assert found["backward"] == [Emitted(operation, s.domain) for s in plan.backward[:-1] for operation in s.operations]
    assert found["weight_gradients"] == [
        Emitted(operation, s.domain) for s in plan.backward[-1:] for operation in s.operations
    ]
