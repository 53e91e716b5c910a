"""Searches in a store: they go on where they were broken off, with the same results, and nothing counts twice."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers import searches
from neuromorph import search
from neuromorph.search import searching
from neuromorph.sweeps.store import NotWrittenError, Store

PLAYS: dict[str, Any] = {
    "limits": search.Limits(nodes=16, parameters=120, width=4, delay=2), "population": 6, "tournament": 3, "chunk": 3,
    "ahead": 2, "verbosity": 0, "workers": 0, "inputs": 1, "outputs": 1,
}  # fmt: skip


def told(found: search.Evolution) -> list[tuple[Any, ...]]:
    return [(one.number, one.text, one.score, one.state, one.parents, one.operation, one.size) for one in found]


CALLS: list[int] = []
MOST: list[int] = []


def counted(model: nm.Model, rng: np.random.Generator) -> float:
    """A fitness that counts its calls, and breaks the search off after as many as MOST says."""
    CALLS.append(1)
    if MOST and len(CALLS) > MOST[0]:
        raise KeyboardInterrupt
    return searches.sometimes_fails(model, rng)


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()
    MOST.clear()


def test_a_search_that_was_broken_off_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    whole = search.evolve(fitness=searches.sometimes_fails, individuals=18, **PLAYS)
    MOST.append(11)
    with pytest.raises(KeyboardInterrupt) as caught:
        search.evolve(fitness=counted, individuals=18, store=path, **PLAYS)
    there = search.load(path)
    assert 0 < len(there) <= 11
    assert told(caught.value.results) == told(there)  # type: ignore[attr-defined]
    assert f"and in {path}: the same search goes on from there" in caught.value.__notes__[0]
    CALLS.clear()
    MOST.clear()
    found = search.evolve(fitness=counted, individuals=18, store=path, **PLAYS)
    assert told(found) == told(whole) == told(search.load(path))
    assert len(CALLS) == 18 - len(there)
    with Store(path) as store:
        assert len(store.rows()) == 18


def evolved(path: Path, fitness: Any = counted, **more: Any) -> list[tuple[Any, ...]]:
    return told(search.evolve(fitness=fitness, individuals=18, store=path, **{**PLAYS, **more}))


def test_two_searches_at_once_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_LOOK", 0.02)
    path, together = tmp_path / "runs.sqlite", Barrier(2)
    Store(path).close()

    def begun(_: int) -> list[tuple[Any, ...]]:
        together.wait()
        return evolved(path)

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(begun, range(2))
    assert one == other == told(search.evolve(fitness=searches.sometimes_fails, individuals=18, **PLAYS))
    assert len(CALLS) == 18
    with Store(path) as store:
        assert len(store.rows()) == 18


def test_the_work_of_a_search_that_has_ended_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second chunk is claimed by somebody who never evaluates it. The first one is there."""
    monkeypatch.setattr(searching, "_LOOK", 0.02)
    path = tmp_path / "runs.sqlite"
    search.evolve(fitness=counted, individuals=3, store=path, **PLAYS)
    with Store(path) as store:
        key = store.rows()[0]["extra"]["search"]
    other = Store(path)
    assert other.take(f"{key}-1")
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(evolved, path)
        for _ in range(2000):
            if len(CALLS) >= 6:  # the third chunk, which needs the first one alone
                break
            time.sleep(0.005)
        time.sleep(0.05)
        assert len(CALLS) == 6
        assert not found.done()
        other.close()
        assert found.result() == told(search.evolve(fitness=searches.sometimes_fails, individuals=18, **PLAYS))
    assert len(CALLS) == 18


def test_an_error_that_is_no_unicode_is_stored(tmp_path: Path) -> None:
    with pytest.raises(search.SearchError, match=r"ValueError: no such pole: \\udcff"):
        search.evolve(fitness=says_no_unicode, individuals=6, store=tmp_path / "runs.sqlite", **PLAYS)
    assert [one.state for one in search.load(tmp_path / "runs.sqlite")] == ["failed"] * 6


def says_no_unicode(model: nm.Model, rng: np.random.Generator) -> float:
    raise ValueError("no such pole: \udcff")


def test_a_search_goes_on_with_more_individuals(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    search.evolve(fitness=counted, individuals=9, store=path, **PLAYS)
    CALLS.clear()
    found = search.evolve(fitness=counted, individuals=15, store=path, **PLAYS)
    assert len(CALLS) == 6
    assert told(found) == told(search.evolve(fitness=searches.sometimes_fails, individuals=15, **PLAYS))


def test_trained_individuals_are_runs_with_histories_and_models(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    options = {**PLAYS, "inputs": None, "outputs": None, "arguments": {"bptt_steps": 8}, "budget": 2}
    data = searches.products()
    found = search.evolve(data, individuals=8, store=path, **options)
    loaded = search.load(path)
    assert told(loaded) == told(found)
    assert (loaded.score, loaded.larger) == ("loss", False)
    for one in found:
        if one.state == "done":
            np.testing.assert_array_equal(loaded.model(one).predict(data[0]), found.model(one).predict(data[0]))
    with Store(path) as store:
        rows = store.rows()
    assert all(len(row["history"]["loss"]) == 2 for row in rows if row["state"] == "done")
    assert {row["run"]["name"] for row in rows} == {f"individual {number}" for number in range(8)}
    assert rows[0]["extra"]["operation"] == "random"


def test_several_searches_in_one_store_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    first, second = (
        search.evolve(fitness=searches.small, individuals=6, seed=seed, store=path, **PLAYS) for seed in (1, 2)
    )
    assert told(search.load(path)) == told(second) != told(first)
    with Store(path) as store:
        keys = list(dict.fromkeys(row["extra"]["search"] for row in store.rows()))
    assert told(search.load(path, keys[0])) == told(first)
    with pytest.raises(search.SearchError, match="has no search 'x', but"):
        search.load(path, "x")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"population": 7}, {"chunk": 2}, {"limits": search.Limits(nodes=15)}, {"fitness": searches.echo},
        {"choices": search.Choices(cells=())}, {"steps": search.Steps(part=0.1)}, {"inherit": False},
        {"operations": {**search.OPERATIONS, "add": search.Operation(search.OPERATIONS["add"].change, 9.0)}},
    ],
)  # fmt: skip
def test_what_decides_the_results_is_another_search(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "runs.sqlite"
    search.evolve(**{**PLAYS, "fitness": searches.small, "individuals": 2, "store": path})
    search.evolve(**{**PLAYS, "fitness": searches.small, "individuals": 2, "store": path, **change})
    with Store(path) as store:
        assert len({row["extra"]["search"] for row in store.rows()}) == 2


class Fitness:
    """A fitness with numbers of its own."""

    def __call__(self, model: nm.Model, rng: np.random.Generator) -> float:
        return 0.0

    def of(self, model: nm.Model, rng: np.random.Generator) -> float:
        return 0.0


def made() -> Any:
    def inner(model: nm.Model, rng: np.random.Generator) -> float:
        return 0.0

    return inner


@pytest.mark.parametrize("function", [lambda model, rng: 0.0, made(), partial(searches.small), Fitness(), Fitness().of])
def test_functions_that_share_a_name_are_refused(tmp_path: Path, function: Any) -> None:
    path, options = tmp_path / "runs.sqlite", {**PLAYS, "individuals": 1}
    with pytest.raises(TypeError, match=r"fitness is .*, and a store knows a function by its name: .* def"):
        search.evolve(fitness=function, store=path, **options)
    mine = {"mine": search.Operation(function)}
    with pytest.raises(TypeError, match=r"operations\['mine'\] is .*, and a store knows a function by its name"):
        search.evolve(fitness=searches.small, operations=mine, store=path, **options)
    trains = {**options, "inputs": None, "outputs": None}
    with pytest.raises(TypeError, match=r"score is .*, and a store knows a function by its name"):
        search.evolve(searches.products(), score=function, store=path, **trains)
    assert not path.exists()
    assert search.evolve(fitness=function, **options).best.score is not None, "without a store, all is well"


def test_other_data_are_another_search(tmp_path: Path) -> None:
    path, (x, y) = tmp_path / "runs.sqlite", searches.products()
    options = {**PLAYS, "inputs": None, "outputs": None, "individuals": 1, "store": path}
    for inputs in (x, 2 * x, x):
        search.evolve((inputs, y), **options)
    with Store(path) as store:
        assert len({row["extra"]["search"] for row in store.rows()}) == len(store.rows()) == 2


def test_a_store_that_is_full_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, put, calls = tmp_path / "runs.sqlite", Store.put, []

    def full(self: Store, rows: Any) -> None:
        calls.append(len(rows))
        if 2 <= len(calls) <= 4:
            raise NotWrittenError("the store can't be written to now: database or disk is full")
        put(self, rows)

    monkeypatch.setattr(Store, "put", full)
    with pytest.warns(RuntimeWarning, match="disk is full; the search goes on") as warned:
        found = search.evolve(fitness=searches.small, individuals=18, store=path, **PLAYS)
    assert len(warned) == 1
    assert calls == [3, 3, 6, 9, 12, 3]
    assert told(search.load(path)) == told(found)


def test_a_store_that_stays_full_loses_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store, rows: Any) -> None:
        raise NotWrittenError("the store can't be written to now: database or disk is full")

    monkeypatch.setattr(Store, "put", full)
    with pytest.warns(RuntimeWarning, match="6 individuals are in the result of evolve only, not in the store"):
        found = search.evolve(fitness=searches.small, individuals=6, store=tmp_path / "runs.sqlite", **PLAYS)
    assert told(found) == told(search.evolve(fitness=searches.small, individuals=6, **PLAYS))
    assert found.model().parameter_count == found.best.size.parameters


def test_a_page_is_made_from_a_store(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    search.evolve(fitness=searches.small, individuals=6, store=path, **PLAYS)
    search.report(path, tmp_path / "report.html")
    assert "A search over 6 networks" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_is_no_store_of_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such store"):
        search.load(tmp_path / "none.sqlite")
    (tmp_path / "text").write_text("not a database, but a text that is long enough to have a header" * 9)
    with pytest.raises(nm.StorageError, match="corrupt, or no store of runs"):
        search.load(tmp_path / "text")
    Store(tmp_path / "empty.sqlite").close()
    with pytest.raises(search.SearchError, match="has no search"):
        search.load(tmp_path / "empty.sqlite")
    with pytest.raises(TypeError, match="store must be the path of a file"):
        search.evolve(fitness=searches.small, individuals=1, store=3, **PLAYS)  # type: ignore[arg-type]


def test_a_row_that_was_changed_by_hand_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    search.evolve(fitness=searches.small, individuals=3, store=path, **PLAYS)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE runs SET extra = json_remove(extra, '$.size') WHERE number = 2")
    connection.close()
    with pytest.raises(nm.StorageError, match="has a row of a search that can't be read: 'size'"):
        search.load(path)
