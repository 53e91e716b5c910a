"""Runs that a table describes: combinations, drawn values, texts with places, and what is wrong there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import neuromorph as nm
from neuromorph.sweeps import grid
from neuromorph.sweeps.grid import runs_of

TEXT = "/xavier,zero/ (input, 2) (h, $width, <tanh>) (output, 1, <linear>, <mse>)"


def test_the_example_of_the_module_is_read(tmp_path: Path) -> None:
    for name in ("lstm", "gru"):
        (tmp_path / f"{name}.mdl").write_text(TEXT.replace("(h,", f"({name},"))
    example = (grid.__doc__ or "").partition("\n")[2]
    runs = runs_of(tomllib.loads(example), tmp_path)
    assert len(runs) == 2 * 3 * 2 * 2 * 10
    assert len(set(runs)) == len(runs)
    assert {run.budget for run in runs} == {20}
    assert {run.seed for run in runs} == {1, 2, 3}
    assert {run.name for run in runs} == {f"{name} $width={width}" for name in ("lstm", "gru") for width in (8, 16)}
    assert all(f"({run.name.split()[0]}, {run.name.split('=')[1]}, <tanh>)" in run.mdl for run in runs if run.name)
    given = [run.arguments for run in runs]
    assert all(one["batch_size"] == 32 for one in given)
    assert {one["optimizer"]["name"] for one in given} == {"SGD", "Adam"}
    rates, steps = [one["learning_rate"] for one in given], [one["bptt_steps"] for one in given]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-1
    assert sum(rate < 1e-2 for rate in rates) > len(rates) / 2, "the scale is logarithmic"
    assert all(isinstance(step, int) and 8 <= step <= 64 for step in steps)
    assert {one["shuffle"] for one in given} == {True, False}
    again = runs_of(tomllib.loads(example), tmp_path, budget=3)
    assert [run.arguments for run in again] == given
    assert {run.budget for run in again} == {3}


def test_a_table_may_have_a_text_alone() -> None:
    (run,) = runs_of({"text": TEXT.replace("$width", "3")}, Path())
    assert (run.mdl, run.seed, run.budget, run.name, run.arguments) == (TEXT.replace("$width", "3"), 0, None, None, {})


def test_whole_numbers_below_zero_are_as_likely_as_others() -> None:
    random = {"draws": 300, "$bias": {"from": -1, "to": 1}}
    runs = runs_of({"text": "(h, 2, /$bias/)", "random": random}, Path())
    drawn = [run.mdl for run in runs]
    assert all(70 < drawn.count(f"(h, 2, /{bias}/)") < 130 for bias in (-1, 0, 1))


@pytest.mark.parametrize("ends", [{"from": 1, "to": 3}, {"from": 1, "to": 3, "log": True}])
def test_whole_numbers_are_drawn_with_both_ends(ends: dict[str, int]) -> None:
    random = {"draws": 60, "bptt_steps": ends}
    runs = runs_of({"text": TEXT.replace("$width", "3"), "random": random}, Path())
    assert {run.arguments["bptt_steps"] for run in runs} == {1, 2, 3}


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"txt": "a"}, "there is 'txt', but there may be text, seeds, .* only; did you mean 'text'"),
        ({}, "there is no text"),
        ({"text": 3}, "text must be the name of a file or a text, not 3"),
        ({"text": TEXT}, r"a text has \$width, for which there are no values"),
        ({"text": "(a)", "grid": {"$b": [1]}}, r"there are values for \$b, which stands in no text"),
        ({"text": "(a)", "grid": {"batch_size": 3}}, "grid.batch_size must be a list of values, not 3"),
        ({"text": "(a)", "grid": 3}, r"grid must be a table, \[grid\], not 3"),
        ({"text": "(a)", "random": {"batch_size": 3}}, "random.batch_size must be a list, or a table such as"),
        ({"text": "(a)", "random": {"batch_size": {"from": 3, "to": 1}}}, "must go from a number to a larger one"),
        ({"text": "(a)", "random": {"batch_size": {"from": 0, "to": 1, "log": True}}}, "with log from above 0"),
        (
            {"text": "(a)", "grid": {"batch_size": [3]}, "random": {"batch_size": [3]}},
            "batch_size is in grid and in random: leave one of them out",
        ),
        ({"text": "(a)", "random": {"draws": 0}}, "random.draws must be at least 1, not 0"),
        (
            {"text": "(a)", "grid": {"batch_size": [1, 2]}, "random": {"draws": 10**9, "learning_rate": [0.1]}},
            "the table gives 2,000,000,000 runs, but there may be 100,000 at most",
        ),
        ({"text": ["(a)"] * 1000, "seeds": [*range(1000)]}, "the table gives 1,000,000 runs"),
        ({"text": "(a)", "seeds": [1.5]}, "seeds must be a whole number, not 1.5"),
        ({"text": "(a)", "arguments": {"epochs": 3}}, "arguments can't have 'epochs'"),
    ],
)
def test_wrong_tables_are_errors_that_name_the_field(table: dict[str, object], error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        runs_of(table, Path())
    with pytest.raises(FileNotFoundError):
        runs_of({"text": "none.mdl"}, Path())
    assert nm.Run
