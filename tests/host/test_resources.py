"""How many processors a process may use: what the system allows, and what the environment says."""

from __future__ import annotations

import os

import pytest

import neuromorph as nm
from neuromorph.host import resources

NAMES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "NEUROMORPH_NUM_THREADS")


@pytest.fixture(autouse=True)
def _eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight processors, without numbers in the environment."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(resources, "allowed_processors", lambda: 6)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "processors"),
    [
        ({}, 6),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5,2,1"}, 5),
        ({"NUMBA_NUM_THREADS": "2"}, 2),
        ({"NEUROMORPH_NUM_THREADS": " 1 "}, 1),
        ({"OMP_NUM_THREADS": "4", "NUMBA_NUM_THREADS": "2", "NEUROMORPH_NUM_THREADS": "3"}, 2),
        ({"NEUROMORPH_NUM_THREADS": "64"}, 6),
        ({"OMP_NUM_THREADS": "0", "NUMBA_NUM_THREADS": "many"}, 6),
        ({"OMP_NUM_THREADS": "", "NEUROMORPH_NUM_THREADS": ""}, 6),
    ],
)
def test_the_smallest_number_counts(
    environment: dict[str, str], processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert resources.processors() == processors


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "9" * 99, "²"])
def test_a_number_of_ours_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROMORPH_NUM_THREADS", value)
    with pytest.raises(
        ValueError, match=r"the environment has NEUROMORPH_NUM_THREADS='.{1,40}', which must be a whole number"
    ):
        resources.processors()


def test_models_take_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "/xavier,zero/ (input, 512) (a, 1024, <tanh>) (output, 512, <linear>, <mse>)"

    def threads(asked: int | None) -> int:
        return nm.compile(text, 256, 0.1, threads=asked).kernels.threads

    assert threads(None) > 3
    for name in NAMES:
        monkeypatch.setenv(name, "3")
        assert [threads(None), threads(2), threads(5)] == [3, 2, 3]
        monkeypatch.delenv(name)
