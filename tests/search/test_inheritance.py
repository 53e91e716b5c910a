"""Children begin with their parents' parameters; where an operation only adds, they compute the same at first."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import neuromorph as nm
from neuromorph import search

X = np.random.default_rng(0).normal(size=(9, 1, 3))


def model(body: str, seed: int) -> nm.Model:
    """A model with drawn parameters, biases too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.MDLWarning)
        inside = f"/xavier,const_uneven 0 0.5/ (input, 3) {body} (output, 2, <linear>, <mse>)"
        text = body if body.startswith("/") else inside
        return nm.compile(text, 1, 0.1, tier="instant", dtype="float64").build(seed=seed)


PARENT = "{seen, h, concatenate} (h, 4, <tanh>) (g, 3, <sigmoid>)"


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        (PARENT, PARENT),
        (PARENT, "{seen, h, concatenate} (h, 6, <tanh>) (g, 3, <sigmoid>)"),
        (PARENT, "{seen, h, concatenate} {more, g, concatenate, 2} (h, 4, <tanh>) (g, 5, <sigmoid>)"),
        (PARENT, "{old, g, concatenate, 1} {seen, h, concatenate} (h, 4, <tanh>) (g, 3, <sigmoid>)"),
        (PARENT, "{seen, h, concatenate} (h, 4, <tanh>) [s, (new, 4, <tanh>)] {m, new, additive} (g, 3, <sigmoid>)"),
        (PARENT, "{seen, h, concatenate} (h, 4, <tanh>) (g, 3, <sigmoid>) {again, input, concatenate}"),
        ("(h, 4, <lstm>) (g, 3, <gru>)", "(h, 7, <lstm>) (g, 5, <gru>)"),
        ("(c, 3, <conv, 2>)", "(c, 5, <conv, 3>)"),
        ("(h, 4, <tanh>) (p, <prelu>)", "(h, 6, <tanh>) (p, <prelu>)"),
    ],
)
def test_what_only_adds_changes_nothing_at_first(parent: str, child: str) -> None:
    old, new = model(parent, 1), model(child, 2)
    names = search.inherit(old, new)
    assert set(names) == old.get_parameters().keys()
    np.testing.assert_allclose(new.predict(X), old.predict(X), atol=1e-12)


def test_rows_follow_the_components_that_they_read() -> None:
    old = model("(a, 2, <tanh>) [s, (b, 2, <relu>)] {m, b, concatenate}", 1)
    new = model("(a, 2, <tanh>) [s, [t,] | (b, 2, <relu>)] {x, b, take} {m, t, concatenate}", 2)
    search.inherit(old, new)
    before, after = (one.get_parameters()["output.weight"] for one in (old, new))
    np.testing.assert_array_equal(after, before[[2, 3, 0, 1]])
    np.testing.assert_allclose(new.predict(X), old.predict(X), atol=1e-12)


def test_rows_that_read_nothing_known_go_to_the_same_places() -> None:
    old, new = model("(a, 3, <tanh>) (b, 2, <tanh>)", 1), model("(a, 3, <tanh>) (n, 5, <tanh>) (b, 2, <tanh>)", 2)
    fresh = new.get_parameters()
    names = search.inherit(old, new)
    found = new.get_parameters()
    np.testing.assert_array_equal(found["b.weight"][:3], old.get_parameters()["b.weight"])
    np.testing.assert_array_equal(found["b.weight"][3:], 0.0)
    np.testing.assert_array_equal(found["n.weight"], fresh["n.weight"])
    assert "n.weight" not in names
    assert "b.weight" in names


def test_a_narrower_layer_keeps_its_first_columns() -> None:
    old, new = model("(a, 5, <tanh>)", 1), model("(a, 2, <tanh>)", 2)
    search.inherit(old, new)
    before, after = old.get_parameters(), new.get_parameters()
    np.testing.assert_array_equal(after["a.weight"], before["a.weight"][:, :2])
    np.testing.assert_array_equal(after["a.bias"], before["a.bias"][:2])
    np.testing.assert_array_equal(after["output.weight"], before["output.weight"][:2])


def test_new_layers_begin_with_zeros_only_if_they_are_added_and_can_learn() -> None:
    body = "(a, 4, <tanh>) [s, (new, 4, <{function}>)] {{m, new, {merge}}}"
    for function, merge, zero in (("tanh", "additive", True), ("relu", "additive", False), ("tanh", "maximum", False)):
        new = model(body.format(function=function, merge=merge), 2)
        search.inherit(model("(a, 4, <tanh>)", 1), new)
        assert (not new.get_parameters()["new.weight"].any()) == zero, function


def test_of_several_parents_the_first_one_with_the_node_gives_it() -> None:
    a, b = model("(a, 4, <tanh>)", 1), model("(a, 4, <tanh>) (b, 4, <tanh>)", 2)
    child = model("(a, 4, <tanh>) (b, 4, <tanh>)", 3)
    search.inherit([a, b], child)
    found = child.get_parameters()
    np.testing.assert_array_equal(found["a.weight"], a.get_parameters()["a.weight"])
    np.testing.assert_array_equal(found["b.weight"], b.get_parameters()["b.weight"])


def test_the_parent_does_not_change_and_need_not_have_the_same_type() -> None:
    old, new = model(PARENT, 1), nm.compile(model(PARENT, 1).text, 4, 0.1, tier="instant").build(seed=2)
    before = old.get_parameters()
    search.inherit(old, new)
    for name, numbers in old.get_parameters().items():
        np.testing.assert_array_equal(numbers, before[name])
        np.testing.assert_array_equal(new.get_parameters()[name], numbers.astype(np.float32))


def test_what_is_no_built_model_is_refused() -> None:
    text = "/xavier,zero/ (input, 3) (output, 2, <linear>, <mse>)"
    built, unbuilt = model(text, 1), nm.compile(text, 1, 0.1)
    with pytest.raises(nm.ModelStateError):
        search.inherit(unbuilt, built)
    with pytest.raises(nm.ModelStateError):
        search.inherit(built, unbuilt)
    with pytest.raises(TypeError, match="inherit needs models, not 'text'"):
        search.inherit(built, "text")  # type: ignore[arg-type]
