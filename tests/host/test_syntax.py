"""Trees of Python's syntax, also where threads mix up what CPython counts."""

from __future__ import annotations

import ast

import pytest

from neuromorph.host.syntax import parsed_expression, parsed_module


def test_trees() -> None:
    assert ast.unparse(parsed_expression("a * (b + 1.0)")) == "a * (b + 1.0)"
    assert len(parsed_module("a = 1\nb = 2\n").body) == 2
    with pytest.raises(SyntaxError):
        parsed_expression("a *")


def test_a_count_that_threads_mixed_up_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, errors = ast.parse, [SystemError("AST constructor recursion depth mismatch (before=66, after=58)")] * 3

    def parse(*arguments: object, **more: object) -> object:
        if errors:
            raise errors.pop()
        return whole(*arguments, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(ast, "parse", parse)
    assert ast.dump(parsed_expression("a")) == ast.dump(whole("a", mode="eval").body)
    assert not errors
    monkeypatch.setattr(ast, "parse", lambda *_, **__: (_ for _ in ()).throw(SystemError("another")))
    with pytest.raises(SystemError, match="another"):
        parsed_module("a")
