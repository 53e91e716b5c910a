"""The arguments of a training call are those that generated functions take."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from helpers.texts import FORWARD
from helpers.witnesses import kernel_of, plain
from neuromorph.abi.arguments import CALL_ARRAYS, TrainCall

MEMBERS = ("begin", "until", "mailbox", "numbers")


def parameters_of(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


@pytest.mark.parametrize(("threads", "first"), [(1, ()), (2, MEMBERS)])
def test_train_takes_a_call_in_its_order(threads: int, first: tuple[str, ...]) -> None:
    assert parameters_of(plain(kernel_of(FORWARD, threads=threads)).train) == first + TrainCall._fields


def test_the_first_of_a_pool_takes_a_call_too() -> None:
    found = parameters_of(plain(kernel_of(FORWARD, threads=2)).lead)
    assert found == ("mailbox", "numbers", "user", "enough", *TrainCall._fields)


def test_the_arrays_of_a_call_are_among_its_arguments() -> None:
    assert set(CALL_ARRAYS) < set(TrainCall._fields)
