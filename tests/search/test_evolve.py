"""Searches: the same with any number of workers, children that inherit, rungs, ends, and what goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers import searches
from neuromorph import search

LIMITS = search.Limits(nodes=16, parameters=120, multiplications=200, width=4, delay=2)
SMALL: dict[str, Any] = {
    "limits": LIMITS, "population": 6, "tournament": 3, "chunk": 3, "ahead": 2, "verbosity": 0, "workers": 0,
}  # fmt: skip
TRAINS: dict[str, Any] = {**SMALL, "arguments": {"bptt_steps": 8}}
PLAYS: dict[str, Any] = {**SMALL, "inputs": 1, "outputs": 1}


def told(found: search.Evolution) -> list[tuple[Any, ...]]:
    """All of a search that does not depend on the machine's speed."""
    return [(one.number, one.text, one.score, one.state, one.parents, one.operation, one.epochs) for one in found]


# What does not depend on the workers ----------------------------------------------------------------------------------


def test_a_search_that_trains_is_the_same_with_any_number_of_workers() -> None:
    data = searches.products()
    a, b, c = (
        search.evolve(data, **{**TRAINS, "workers": workers, "individuals": 18}, crossover=0.5) for workers in (0, 1, 2)
    )
    assert told(a) == told(b) == told(c)
    assert a.best.parents or a.best.operation == "random"
    for one, other in ((a, b), (a, c)):
        for name, numbers in one.model().get_parameters().items():
            np.testing.assert_array_equal(numbers, other.model().get_parameters()[name])


def test_networks_for_single_vectors_have_no_links_in_time() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    data = {"inputs": x, "expected": x[:, :1] * x[:, 1:], "layout": "NW"}
    options = {**SMALL, "individuals": 12}
    del options["limits"]
    found = search.evolve(data, **options)
    assert [one.state for one in found] == ["done"] * 12
    with pytest.raises(ValueError, match="limits: delay must be 0 for layout='NW'"):
        search.evolve(data, **options, limits=LIMITS)
    with pytest.raises(search.SearchError, match="beyond the limits: delay 1 > 0"):
        search.evolve(data, **options, start="/xavier,zero/ (input, 2) (h, 2, <gru>) (output, 1, <linear>, <mse>)")


def test_another_seed_is_another_search() -> None:
    a, b, c = (search.evolve(fitness=searches.small, individuals=9, seed=seed, **PLAYS) for seed in (1, 1, 2))
    assert told(a) == told(b) != told(c)


def test_a_small_population_has_children() -> None:
    options = {**PLAYS, "population": 10, "chunk": 4, "ahead": 8, "individuals": 24}
    found = search.evolve(fitness=searches.small, **options)
    assert [bool(one.parents) for one in found] == [False] * 10 + [True] * 14
    again = search.evolve(fitness=searches.small, **{**options, "ahead": 2})
    assert told(again) == told(found), "no more than two chunks are on their way"


# What it finds --------------------------------------------------------------------------------------------------------


def test_better_networks_are_found_than_random_ones() -> None:
    found = search.evolve(searches.products(240), individuals=60, **TRAINS)
    first = min(one.score for one in found[:6] if one.score is not None)
    assert found.best.score is not None
    assert found.best.score < 0.9 * first
    assert found.ended == "all individuals"
    assert [one.number for one in found] == list(range(60))
    for one in found:
        assert not LIMITS.broken_by(one.size)
        assert search.size_of(nm.compile(one.text, 1, 0.1, tier="instant").graph) == one.size


def test_children_begin_where_their_parents_ended() -> None:
    found = search.evolve(fitness=searches.grows, individuals=30, steps=search.Steps(deviation=0.0), **PLAYS)
    for one in found:
        before = found[one.parents[0]].score if one.parents else 0.0
        assert one.score == pytest.approx(before + 1.0)  # type: ignore[operator]
    assert found.best.score is not None
    assert found.best.score > 2.0
    alone = search.evolve(fitness=searches.grows, individuals=12, inherit=False, **PLAYS)
    assert {one.score for one in alone} == {1.0}


def test_steps_change_a_part_of_the_parameters() -> None:
    steps = search.Steps(alone=1.0, deviation=0.5, part=0.5)
    text = "/uniform 1 1,zero/ (input, 8) (h, 8, <tanh>) (output, 1, <linear>, <mse>)"
    limits = search.Limits(width=8)
    options = {**SMALL, "limits": limits, "population": 1, "chunk": 1, "ahead": 1, "individuals": 2}
    found = search.evolve(fitness=searches.small, start=text, steps=steps, **options)
    assert found[1].operation == "weights"
    weights = found.model(1).get_parameters()["h.weight"]
    assert 0.3 < (weights == 1.0).mean() < 0.7
    assert 0.3 < weights[weights != 1.0].std() < 0.7


def test_a_target_ends_the_search() -> None:
    found = search.evolve(fitness=searches.small, individuals=500, target=-6.0, **PLAYS)
    assert found.ended == "target"
    assert found[-1].score is not None
    assert found[-1].score >= -6.0 > max(one.score for one in found[:-1] if one.score is not None)
    assert len(found) < 500


@pytest.mark.parametrize("workers", [0, 1])
def test_behind_the_target_nothing_is_evaluated(workers: int) -> None:
    calls = CountingFitness(reached_by=2)
    options = {**PLAYS, "workers": workers, "chunk": 6, "ahead": 1}
    found = search.evolve(fitness=calls, individuals=30, target=1.0, **options)
    assert (len(found), found.ended, found.best.number) == (3, "target", 2)
    if workers == 0:
        assert calls.count == 3


class CountingFitness:
    """A fitness that counts its calls; the individual of a number, and no other, reaches 1."""

    def __init__(self, reached_by: int) -> None:
        self.reached_by, self.count = reached_by, 0

    def __call__(self, model: Any, rng: np.random.Generator) -> float:
        self.count += 1
        return float(self.count > self.reached_by)


def test_a_target_in_a_store_leaves_whole_chunks(tmp_path: Path) -> None:
    options = {**PLAYS, "chunk": 6, "store": tmp_path / "s.sqlite"}
    first = search.evolve(fitness=searches.small, individuals=60, target=-6.0, **options)
    assert first.ended == "target"
    again = search.evolve(fitness=searches.small, individuals=60, **options)
    assert told(again)[: len(first)] == told(first)
    assert len(again) == 60


def test_seconds_end_the_search() -> None:
    found = search.evolve(fitness=searches.small, individuals=1_000_000, seconds=0.3, **PLAYS)
    assert found.ended == "all seconds"
    assert 0 < len(found) < 100_000


def test_given_texts_are_the_first_individuals() -> None:
    texts = [f"/xavier,zero/\n(input, 1)\n(h, {width}, <tanh>)\n(output, 1, <linear>, <mse>)\n" for width in (2, 3)]
    found = search.evolve(fitness=searches.small, start=texts, individuals=8, **SMALL)
    assert [one.text for one in found[:2]] == texts
    assert [one.operation for one in found[:3]] == ["start", "start", "random"]
    assert not found[2].parents


def test_data_for_validation_give_the_score() -> None:
    x, y = searches.products()
    data = {"inputs": x[:64], "expected": y[:64], "validation": (x[64:], y[64:])}
    found = search.evolve(data, individuals=6, **TRAINS)
    assert found.score == "validation_loss"
    model = found.model()
    assert model.evaluate(x[64:], y[64:]) == pytest.approx(found.best.score, rel=1e-5)


def test_a_score_may_be_a_function_of_the_trained_model() -> None:
    found = search.evolve(searches.products(), score=searches.first_weight, maximize=True, individuals=8, **TRAINS)
    assert found.larger
    assert found.best.score == pytest.approx(searches.first_weight(found.model(), None))


def test_the_best_of_equal_ones_is_the_smallest() -> None:
    found = search.evolve(fitness=searches.small, individuals=12, maximize=False, **PLAYS)
    assert found.best.size.parameters == max(one.size.parameters for one in found)
    front = search.evolve(fitness=searches.small, individuals=12, **PLAYS).front
    assert len(front) == 1, "no larger network is better"


# Rungs ----------------------------------------------------------------------------------------------------------------


def test_the_worse_ones_of_a_chunk_stop_at_rungs() -> None:
    found = search.evolve(searches.products(), rungs=(1, 2, 4), keep=0.5, individuals=16, **{**TRAINS, "chunk": 4})
    for first in range(0, 16, 4):
        chunk = [one for one in found[first : first + 4] if one.state != "failed"]
        assert sorted(one.epochs for one in chunk) == [1, 1, 2, 4][-len(chunk) :]
        assert all((one.state == "done") == (one.epochs == 4) for one in chunk)
    assert any(one.parents for one in found)
    assert not any(found[parent].state == "stopped" for one in found for parent in one.parents)


def test_those_that_stop_at_rungs_have_scores() -> None:
    options = {**TRAINS, "chunk": 4, "population": 1, "individuals": 8}
    for seed in range(2):
        found = search.evolve(searches.products(), rungs=(1, 2), keep=0.25, seed=seed, **options)
        assert len(found) == 8, "a stopped one is not the end"


def test_what_goes_on_after_a_rung_is_trained_as_in_one_go() -> None:
    x, y = searches.products()
    data = {"inputs": x.reshape(12, 8, 1, 3), "expected": y.reshape(12, 8, 1, 2)}
    options = {**TRAINS, "chunk": 2, "individuals": 2, "arguments": {"shuffle": True}}
    parts = search.evolve(data, rungs=(1, 3), keep=1.0, **options)
    whole = search.evolve(data, budget=3, **options)
    assert told(parts) == told(whole)


# What goes wrong ------------------------------------------------------------------------------------------------------


def test_individuals_that_fail_have_an_error_and_no_children() -> None:
    found = search.evolve(fitness=searches.sometimes_fails, individuals=30, **PLAYS)
    failed = [one for one in found if one.state == "failed"]
    assert failed
    assert all(one.error == "ValueError: odd" and one.score is None for one in failed)
    assert not {one.number for one in failed} & {parent for one in found for parent in one.parents}


def test_networks_that_diverge_fail() -> None:
    x, y = searches.products()
    wild = {"optimizer": "sgd", "learning_rate": 30.0, "bptt_steps": 8}
    found = search.evolve((1e3 * x, y), individuals=12, **{**TRAINS, "arguments": wild, "population": 20})
    assert any("TrainingDivergedError" in one.error for one in found)


@pytest.mark.parametrize(
    ("fitness", "message"),
    [
        (searches.fails, "none of the first 6 individuals has a score; the last one: KeyError: 'no such pole'"),
        (searches.no_number, "the last one: TypeError: fitness must return a number, not 'good'"),
        (searches.not_finite, "the last one: ValueError: fitness returned nan"),
    ],
)
def test_a_fitness_that_never_works_ends_the_search(fitness: Any, message: str) -> None:
    with pytest.raises(search.SearchError, match=message):
        search.evolve(fitness=fitness, individuals=100, **PLAYS)


def test_data_that_do_not_fit_end_the_search() -> None:
    x, y = searches.products()
    with pytest.raises(search.SearchError, match=r"the last one: .*DataError: .*expected"):
        search.evolve((x, y[:-1]), individuals=100, **TRAINS)


def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    options = {**PLAYS, "workers": 1, "individuals": 18}
    found = search.evolve(fitness=searches.KillsOnce(tmp_path / "killed", searches.echo), **options)
    assert (tmp_path / "killed").exists()
    assert told(found) == told(search.evolve(fitness=searches.echo, **{**options, "workers": 0}))
    assert "weights" in {one.operation for one in found}


def test_a_killed_worker_costs_nothing_in_a_search_with_rungs(tmp_path: Path) -> None:
    options = {**TRAINS, "rungs": (1, 2, 4), "keep": 0.5, "chunk": 4, "individuals": 4, "population": 4}
    score = searches.KillsOnce(tmp_path / "killed", searches.first_weight)
    found = search.evolve(searches.products(), score=score, **{**options, "workers": 1})
    assert (tmp_path / "killed").exists()
    assert sorted(one.epochs for one in found) == [1, 1, 2, 4]
    assert told(found) == told(search.evolve(searches.products(), score=score, **options))


def test_only_individuals_that_kill_their_workers_fail() -> None:
    options = {**PLAYS, "workers": 2, "individuals": 9}
    found = search.evolve(fitness=searches.sometimes_kills, **options)
    assert told(found) == told(search.evolve(fitness=searches.sometimes_fails, **{**options, "workers": 0}))
    assert {one.state for one in found[:3]} == {"done", "failed"}, "one chunk has both"
    assert {one.error for one in found} == {"", "the worker process was killed by SIGKILL"}


def test_a_fitness_that_kills_all_workers_ends_the_search() -> None:
    options = {**PLAYS, "workers": 1, "population": 3, "individuals": 100}
    with pytest.raises(search.SearchError, match="the worker process was killed by SIGKILL"):
        search.evolve(fitness=searches.kills, **options)


def test_an_interrupt_has_what_was_found() -> None:
    calls: list[nm.Model] = []

    def fitness(model: nm.Model, rng: np.random.Generator) -> float:
        calls.append(model)
        if len(calls) > 11:
            raise KeyboardInterrupt
        return searches.small(model, rng)

    with pytest.raises(KeyboardInterrupt) as caught:
        search.evolve(fitness=fitness, individuals=100, **PLAYS)
    found = caught.value.results  # type: ignore[attr-defined]
    assert caught.value.__notes__ == ["the individuals so far are in the exception's attribute `results`"]
    assert told(found) == told(search.evolve(fitness=searches.small, individuals=9, **PLAYS))
    assert found.ended == "interrupted"
    assert found.model().parameter_count == found.best.size.parameters


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, r"evolve needs data=\(inputs, expected\), or fitness="),
        ({"data": (1, 2), "fitness": searches.echo}, ValueError, "give data or fitness, not both"),
        ({"fitness": 3}, TypeError, r"fitness must be a function f\(model, rng\), not 3"),
        ({"fitness": searches.echo}, ValueError, "inputs= is needed, the width of the input"),
        ({"fitness": searches.echo, "inputs": 1, "outputs": 1, "score": "loss"}, ValueError, "score is for data"),
        ({"fitness": searches.echo, "inputs": 1, "outputs": 1, "rungs": (1, 2)}, ValueError, "rungs are for data"),
        ({"data": "products", "rungs": (3, 1)}, ValueError, "rungs must be numbers of epochs that grow"),
        ({"data": "products", "rungs": (1, 2), "budget": 4}, ValueError, "give budget or rungs, not both"),
        ({"data": "products", "keep": 0.0}, ValueError, "keep must be a number above 0 and at most 1, not 0"),
        ({"data": "products", "crossover": 2}, ValueError, "crossover must be a number from 0 to 1, not 2"),
        ({"data": "products", "score": "val_loss"}, ValueError, "'val_loss' needs data for validation"),
        ({"data": "products", "score": "los"}, ValueError, "did you mean 'loss'"),
        ({"data": "products", "limit": 1}, TypeError, "evolve has no argument 'limit'; did you mean 'limits'"),
        ({"data": "products", "arguments": {"lr": 1}}, ValueError, "arguments has 'lr'"),
        ({"data": "products", "arguments": 3}, TypeError, "arguments must be a dict"),
        ({"data": "products", "arguments": {"bptt_steps": 0}}, ValueError, "bptt_steps must be at least 1"),
        ({"data": "products", "population": 0}, ValueError, "population must be at least 1"),
        ({"data": "products", "seconds": "long"}, ValueError, "seconds must be a finite number or None"),
        ({"data": "products", "steps": 1}, TypeError, r"steps must be search.Steps\(…\), not 1"),
        ({"data": "products", "start": []}, ValueError, "start has no text"),
        ({"data": "products", "start": "(input)"}, nm.MDLError, "line 1"),
        ({"data": "products", "workers": -1}, ValueError, "workers must be at least 0"),
        ({"data": "products", "workers": 1, "client": 1}, ValueError, "give workers= or client=, not both"),
        ({"data": {"inputs": [1]}}, nm.DataError, "data has no expected"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    if options.get("data") == "products":
        options = {**options, "data": searches.products()}
    with pytest.raises(error, match=message):
        search.evolve(**{"verbosity": 0, "individuals": 1, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fitness": lambda model, rng: 0.0}, "fitness is <function .*can't be sent to another process.*workers=0"),
        ({"data": "products", "score": lambda model, data: 0.0}, "score is <function .*can't be sent to another"),
    ],
)
def test_functions_that_workers_can_t_get_are_named(options: dict[str, Any], message: str) -> None:
    if options.get("data") == "products":
        options = {**options, "data": searches.products()}
    with pytest.raises(TypeError, match=message):
        search.evolve(**{**PLAYS, "individuals": 1, "workers": 1, **options})


def test_a_child_that_no_operation_fits_keeps_its_parent_s_text() -> None:
    """Layers can be wider until the limit; then nothing is left but to train on. The search does not end there."""
    start = "/xavier,zero/ (input, 1) (h, 3, <tanh>) (output, 1, <linear>, <mse>)"
    widen = {"widen": search.OPERATIONS["widen"]}
    options = {**SMALL, "operations": widen, "start": start, "steps": search.Steps(alone=0.0), "crossover": 0.0}
    found = search.evolve(fitness=searches.parameters, individuals=30, **options)
    assert len(found) == 30
    last = found[-1]
    assert (last.operation, last.text) == ("weights", found[last.parents[0]].text)
    assert last.size.width == 4, "which is the limit"
    with pytest.raises(search.SearchError, match=r"no text to start with can be changed: none of 200 .*\(remove\)"):
        search.evolve(
            fitness=searches.small, individuals=30, **PLAYS, operations={"remove": search.OPERATIONS["remove"]}
        )


def test_data_that_do_not_fit_the_texts_to_start_with_are_an_error_at_once() -> None:
    start = "/xavier,zero/ (input, 1) (h, 3, <tanh>) (output, 2, <linear>, <mse>)"
    with pytest.raises(ValueError, match="the texts of start have inputs of the width 1, and those of the data have 3"):
        search.evolve(searches.products(), individuals=1, start=start, verbosity=0)


def test_texts_beyond_the_limits_are_no_start() -> None:
    text = "/xavier,zero/ (input, 1) (h, 50, <tanh>) (output, 1, <linear>, <mse>)"
    with pytest.raises(search.SearchError, match="a text to start with is beyond the limits: parameters 151 > 120"):
        search.evolve(fitness=searches.echo, start=text, **SMALL)


def test_parameters_that_were_not_kept_are_named() -> None:
    found = search.evolve(fitness=searches.small, individuals=30, **PLAYS)
    gone = next(one for one in found if one.number < 20 and one.number != found.best.number)
    with pytest.raises(search.SearchError, match=f"the parameters of individual {gone.number} were not kept"):
        found.model(gone)
    assert found.model(batch_size=3).batch_size == 3


@pytest.mark.parametrize(("name", "value"), [("alone", 1.5), ("deviation", -1.0), ("part", True)])
def test_wrong_steps_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Steps: {name} must be a number >= 0"):
        search.Steps(**{name: value})
