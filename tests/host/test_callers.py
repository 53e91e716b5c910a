"""Warnings at the line of the user's that called this library."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import Any

import pytest

from neuromorph.host.callers import warn_user


def inside(code: str) -> dict[str, Any]:
    """The names that some code makes as a module of the package."""
    names: dict[str, Any] = {
        "__name__": "neuromorph.some.module",
        "warn_user": warn_user,
        "contextmanager": contextmanager,
    }
    exec(code, names)
    return names


CALLED = inside(
    "def f(again):\n    warn_user('careful', RuntimeWarning, again=again)\n"
    "def g(again):\n    with h(again):\n        pass\n"
    "@contextmanager\ndef h(again):\n    f(again)\n    yield\n"
)


@pytest.mark.parametrize("name", ["f", "g"])
def test_a_warning_stands_at_the_line_that_called_the_package(name: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CALLED[name](False)
    (found,) = caught
    assert (str(found.message), found.category, found.filename) == ("careful", RuntimeWarning, __file__)


@pytest.mark.parametrize(("again", "times"), [(False, 1), (True, 3)])
def test_the_same_warning_is_shown_once_unless_it_is_asked_for_again(again: bool, times: int) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            CALLED["f"](again)
    assert len(caught) == times
