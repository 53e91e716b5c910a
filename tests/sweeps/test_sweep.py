"""``sweep``: results in the order of runs, scores, rungs, failures, models, stores that go on, and wrong arguments."""

from __future__ import annotations

import functools
import json
import signal
import sqlite3
import sys
import types
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers import sweeping
from helpers.sweeping import TEXT, data, runs
from neuromorph.sweeps import sweep as module
from neuromorph.sweeps.data import fingerprint
from neuromorph.sweeps.scores import checked_score, name_of
from neuromorph.sweeps.store import NotWrittenError, State, Store


def swept(given: Any = None, **more: Any) -> Any:
    options = {"workers": 0, "verbosity": 0, **more}
    return nm.sweep(runs() if given is None else given, options.pop("data", data()), **options)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(sweeping.LOG, str(tmp_path / "log"))
    return tmp_path / "log"


def test_results_come_in_the_order_of_the_runs_whoever_trains_them() -> None:
    given = [*runs(), runs()[1].replace(name="again")]
    alone, spread = swept(given), swept(given, workers=2)
    assert [one.run for one in alone] == [one.run for one in spread] == given
    assert [one.score for one in alone] == [one.score for one in spread]
    assert [one.run.name for one in alone] == [None, None, None, None, "again"]
    for one in alone:
        model = nm.compile(TEXT, 8, one.run.arguments["learning_rate"], tier="instant", threads=1)
        history = model.build(seed=one.run.seed).fit(**data(), epochs=2, progress=False)
        assert one.score == history.validation_loss[-1]
        assert one.history.loss == history.loss
        assert (one.state, one.error, one.attempts, one.epochs) == ("done", None, 1, 2)
        assert one.seconds > 0.0
    best = min(alone, key=lambda one: one.score)
    assert alone.best.run == best.run
    assert repr(alone) == f"<neuromorph.SweepResult: 5 runs, the best validation loss {best.score:.4g}>"
    assert alone.ranked()[0].run == best.run
    lines = alone.table(2).splitlines()
    assert lines[0].startswith("validation loss  ")
    assert lines[0].endswith("seed  learning rate  epochs  seconds  state")
    assert (len(lines), lines[-1]) == (4, "and 3 more")


def test_accuracies_are_better_the_larger_and_other_scores_the_smaller_unless_told() -> None:
    for score, maximize, larger in [
        ("val_accuracy", None, True), ("accuracy", None, True), ("loss", None, False), ("validation_mae", None, False),
        ("val_accuracy", False, False), ("rmse", True, True),
    ]:  # fmt: skip
        found = swept(score=score, maximize=maximize)
        name = score.replace("val_", "validation_")
        assert (found.measure, found.larger) == (name, larger)
        assert [one.score for one in found] == [getattr(one.history, name)[-1] for one in found]
        assert found.best.score == (max if larger else min)(one.score for one in found)


def test_a_failed_run_is_tried_once_more_and_does_not_end_the_sweep(log: Path) -> None:
    text = "/xavier,zero/ (input, 2) (output, 1, <linear>, <mse>)"
    given = [*runs(2), nm.Run(text, {"batch_size": 8, "learning_rate": 1e30, "tier": "instant"}, budget=2)]
    found = swept(given)
    assert [one.state for one in found] == ["done", "done", "failed"]
    assert (found[2].failures, found[2].attempts, found[2].score) == (2, 2, None)
    assert found[2].error.startswith("neuromorph.errors.TrainingDivergedError: ")
    assert found[2].history.ended == "diverged"
    assert found.failed == (found[2],)
    assert "TrainingDivergedError" in found.table()
    assert repr(found).endswith("1 failed>")
    hungry = swept(runs(2), score=sweeping.hungry)
    assert [one.error for one in hungry] == ["MemoryError: no room for 3 TB"] * 2
    with pytest.raises(ValueError, match="no run has a score; the first error: MemoryError: no room"):
        hungry.best  # noqa: B018


def test_an_error_is_one_line_that_a_store_can_keep(tmp_path: Path) -> None:
    """Its message has half a surrogate pair, as the names of files may have, and a note of its own."""

    def score(model: Any, given: Any) -> float:
        error = ValueError("no such file: \udcff.npy")
        error.add_note("It was looked for.")
        raise error

    found = swept(runs(2, budget=1), score=score)
    with Store(tmp_path / "runs.sqlite") as store:
        store.put({**ROW, "key": one.key, "error": one.error, "traceback": one.traceback} for one in found)
        there = [row["error"] for row in store.rows()]
    assert there == [r"ValueError: no such file: \udcff.npy It was looked for."] * 2
    assert "\n  " in found[0].traceback


ROW = {"run": {}, "data": "d", "measure": "loss", "larger": False, "state": "failed"}


def test_a_score_can_t_change_the_data_of_other_runs() -> None:
    """Where workers map the data, it could not either."""

    def score(model: Any, given: Any) -> float:
        for name in ("inputs", "expected"):
            given[name][:] = 0.0
        return 1.0

    given = data()
    inputs = given["inputs"].copy()
    found = swept(runs(1), score=score, data=given)
    assert "read-only" in str(found[0].error)
    np.testing.assert_array_equal(given["inputs"], inputs)


def test_a_killed_worker_is_a_failure_of_its_run_alone(log: Path) -> None:
    found = swept(score=sweeping.deadly, workers=2)
    assert [one.state for one in found] == ["failed", "done", "done", "done"]
    assert [one.failures for one in found] == [2, 1, 0, 0]
    assert found[0].error == f"the worker process was killed by {signal.SIGKILL.name}"
    assert [one.error for one in found[1:]] == [None] * 3
    assert sorted(mark for mark, _ in sweeping.noted(log)) == ["0.1", "0.1", "0.2", "0.2", "0.3", "0.4"]


# Rungs ----------------------------------------------------------------------------------------------------------------


def test_the_best_of_each_rung_go_on_and_give_what_they_give_in_one_go() -> None:
    given = runs(9, budget=None, shuffle=True, optimizer="adam")
    found = swept(given, rungs=(1, 2, 6))
    whole = swept([run.replace(budget=6) for run in given])
    assert [one.run for one in found] == [one.run for one in whole]
    first = sorted(range(9), key=lambda number: whole[number].history.validation_loss[0])[:5]  # 9 · 1 / 2, rounded up
    second = sorted(first, key=lambda number: whole[number].history.validation_loss[1])[:2]  # 5 · 2 / 6, rounded up
    assert {number for number in range(9) if found[number].epochs > 1} == set(first)
    assert {number for number in range(9) if found[number].state == "done"} == set(second)
    assert {found[number].state for number in range(9) if number not in second} == {"stopped"}
    for number in range(9):
        epochs = found[number].epochs
        assert found[number].history.validation_loss == whole[number].history.validation_loss[:epochs]
    assert found.best.run in {given[number].replace(budget=6) for number in second}


def test_a_function_may_choose_who_goes_on() -> None:
    asked: list[list[nm.RunResult]] = []

    def keep(results: list[nm.RunResult]) -> list[nm.RunResult]:
        asked.append(results)
        return [one for one in results if one.run.seed in (0, 2)][: 3 - len(asked)]

    found = swept(runs(4, budget=None), rungs=(1, 2, 3), keep=keep)
    assert [one.epochs for one in found] == [3, 1, 2, 1]
    assert [[one.epochs for one in results] for results in asked] == [[1] * 4, [2] * 2]
    assert all(one.score is not None for one in asked[0])
    with pytest.raises(ValueError, match="keep must give some of the results that it got"):
        swept(runs(4, budget=None), rungs=(1, 2), keep=lambda results: [3])


def test_a_failure_at_a_later_rung_goes_on_from_that_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    train, began = module.train, []

    def failing(given: Any, task: Any) -> Any:
        began.append((task.run.seed, task.until, task.checkpoint is None))
        if task.until == 2 and len(began) == 2:
            raise OSError("the network is away")
        return train(given, task)

    monkeypatch.setattr(module, "train", failing)
    (found,) = swept(runs(1, budget=None), rungs=(1, 2))
    assert began == [(0, 1, True), (0, 2, False), (0, 2, False)]
    assert (found.state, found.failures, found.epochs) == ("done", 1, 2)


# Models ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_models_are_kept_if_asked_for(kept: str, tmp_path: Path) -> None:
    store = {"memory": None, "file": tmp_path / "runs.sqlite"}[kept]
    found = swept(save_models=True, store=store)
    for one in found:
        assert one.model().evaluate(data()["inputs"], data()["expected"], layout="NW") > 0.0
        assert one.model().history.validation_loss == one.history.validation_loss
    best = swept(save_models="best", store=store and tmp_path / "best.sqlite")
    there = [one for one in best if one == best.best or isinstance(one.saved, bytes)]
    assert best.best.model().history.validation_loss[-1] == best.best.score
    assert len(there) == 1
    for one in best:
        if one is not best.best:
            with pytest.raises(ValueError, match="no model of this run was saved: give sweep save_models=True"):
                one.model()


def test_a_run_that_is_only_at_a_rung_does_not_cost_the_best_one_its_model() -> None:
    """The first run is the best one at the rung, and the worst at its end. The second one stops early at the rung."""
    scored: list[float] = []

    def score(model: Any, given: Any) -> float:
        scored.append(0.3 if model.learning_rate > 0.15 else 0.2 if len(model.history) == 2 else 0.9)
        return scored[-1]

    first, second = runs(2, budget=None)
    stops = {**second.arguments, "callbacks": nm.EarlyStopping(1, min_delta=1e9)}
    given = [first, second.replace(arguments=stops)]
    found = swept(given, score=score, rungs=(2, 4), keep=lambda results: results, save_models="best")
    assert [(one.state, one.score) for one in found] == [("done", 0.9), ("done", 0.3)]
    assert scored == [0.2, 0.3, 0.9], "nothing is trained again for its model"
    assert len(found.best.model().history) == 2


@pytest.mark.parametrize("kept", [True, "best"])
def test_models_that_a_store_lacks_are_trained_again(
    kept: bool | str, log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {"store": tmp_path / "runs.sqlite", "score": sweeping.plain}
    first = swept(runs(3), **options)
    for _ in range(2):
        found = swept(runs(3), save_models=kept, verbosity=2, **options)
        assert [one.seconds for one in found] == [one.seconds for one in first]
        assert found.best.model().history.validation_loss == found.best.history.validation_loss
        if kept is True:
            assert [len(one.model().history) for one in found] == [2] * 3
    assert [mark for mark, _ in sweeping.noted(log)][3:] == (["0.1", "0.2", "0.3"] if kept is True else ["0.1"])
    assert f"runs that are trained again: {3 if kept is True else 1}" in capfd.readouterr().err


def test_a_model_that_cant_be_trained_again_costs_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = swept(runs(1), store=tmp_path / "runs.sqlite")

    def failing(given: Any, task: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(module, "train", failing)
    with pytest.warns(RuntimeWarning, match="was trained again for its model, and failed: MemoryError: no room"):
        found = swept(runs(1), store=tmp_path / "runs.sqlite", save_models=True)
    assert (found[0].state, found[0].score) == ("done", first[0].score)


# Stores ---------------------------------------------------------------------------------------------------------------


def test_a_sweep_goes_on_where_an_earlier_one_ended(log: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs.sqlite"
    first = swept(runs(2), store=store, score=sweeping.plain)
    again = swept(runs(4), store=store, score=sweeping.plain)
    assert [one.key for one in again[:2]] == [one.key for one in first]
    assert [mark for mark, _ in sweeping.noted(log)] == ["0.1", "0.2", "0.3", "0.4"]
    assert again[0].history.record() == first[0].history.record()
    other = {**data(), "inputs": data()["inputs"] + 1}
    swept(runs(1), store=store, score=sweeping.plain, data=other)
    swept(runs(1), store=store)
    assert [mark for mark, _ in sweeping.noted(log)][4:] == ["0.1"], (
        "other data are other runs, and so is another score"
    )


def test_a_result_is_forgotten_if_another_sweep_has_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took this one for dead. The second of two runs has the better score here, but the worse one there."""
    path, train, trained = tmp_path / "runs.sqlite", module.train, list[int]()

    def losing(given: Any, task: Any) -> Any:
        trained.append(task.run.seed)
        found = train(given, task)
        if task.run.seed == 1:
            with closing(sqlite3.connect(path)) as connection, connection:
                (key,) = connection.execute("SELECT key FROM runs WHERE number = 2").fetchone()
                connection.execute("UPDATE runs SET state = 'waiting', owner = NULL WHERE key = ?", (key,))
            with Store(path) as other:
                assert other.claim(key, State("waiting", 0, 0, None, {}))
                other.record(key, state="done", score=9.0, epochs=2, history=found.history, scores={2: 9.0})
        return replace(found, score=1.0 - task.run.seed)

    monkeypatch.setattr(module, "train", losing)
    found = swept(runs(2), store=path, save_models="best")
    assert [(one.state, one.score) for one in found] == [("done", 1.0), ("done", 9.0)]
    assert trained == [0, 1], "the best model is still there"
    assert found.best.model().history.loss == found[0].history.loss


def evaluated(model: Any, given: Any) -> float:
    """A score whose name has "val" in it, which is short for validation elsewhere."""
    return float(model.learning_rate)


def test_a_store_finds_scores_by_their_own_names_and_by_short_ones(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    module_name = swept(runs(1), score=evaluated, store=path).measure.removesuffix("evaluated")
    swept(runs(1), store=path)
    for asked, name in ((f"{module_name}evaluated", f"{module_name}evaluated"), ("val_loss", "validation_loss")):
        assert nm.stored_runs(path, score=asked).measure == name
    with pytest.raises(ValueError, match="has the score 'val_los'; did you mean 'validation_loss'"):
        nm.stored_runs(path, score="val_los")
    with Store(tmp_path / "empty.sqlite"), pytest.raises(ValueError, match=r"empty\.sqlite has no runs yet"):
        nm.stored_runs(tmp_path / "empty.sqlite")


def test_the_model_of_an_earlier_best_run_may_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when it shall be removed. The better run is written by then, and counts once."""

    def full(self: Store, key: str) -> None:
        raise NotWrittenError("database or disk is full")

    monkeypatch.setattr(Store, "drop_model", full)
    path = tmp_path / "runs.sqlite"
    found = swept(runs(3), score=evaluated, maximize=True, store=path, save_models="best")
    assert [one.state for one in found] == ["done"] * 3
    assert found.best.model().learning_rate == found.best.score
    with Store(path) as store:
        assert len(store.with_models()) == 3


def test_failed_runs_are_tried_again_if_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, train = tmp_path / "runs.sqlite", module.train

    def failing(given: Any, task: Any) -> Any:
        if task.run.seed == 1 and task.until > 1:
            raise ImportError("a module is missing")
        return train(given, task)

    given, options = runs(2, budget=None), {"store": path, "rungs": (1, 2), "keep": lambda results: results}
    monkeypatch.setattr(module, "train", failing)
    assert [one.state for one in swept(given, **options)] == ["done", "failed"]
    monkeypatch.setattr(module, "train", train)
    assert [one.state for one in swept(given, **options)] == ["done", "failed"]
    found = swept(given, retry_failed=True, **options)
    assert [(one.state, one.failures, one.error, one.epochs) for one in found] == [("done", 0, None, 2)] * 2
    with pytest.raises(TypeError, match="retry_failed must be True or False"):
        swept(retry_failed=3)


def test_a_store_knows_which_scores_are_better_from_the_last_sweep(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    swept(runs(2), store=path)
    found = swept(runs(3), store=path, maximize=True)
    assert nm.stored_runs(path).best.score == found.best.score == max(one.score for one in found)
    found = swept(runs(1), store=path)
    assert nm.stored_runs(path).best.score == min(one.score for one in nm.stored_runs(path))


class Scorer:
    """A score with a number of its own."""

    def __call__(self, model: Any, given: Any) -> float:
        return 1.0

    def method(self, model: Any, given: Any) -> float:
        return 1.0

    @staticmethod
    def plain(model: Any, given: Any) -> float:
        return 1.0


@pytest.mark.parametrize("which", ["lambda", "local", "partial", "object", "method"])
def test_a_store_refuses_scores_without_a_name_of_their_own(which: str, tmp_path: Path) -> None:
    """Two of them would share their results."""

    def local(model: Any, given: Any) -> float:
        return 1.0

    score: Any = {
        "lambda": lambda model, given: 1.0,
        "local": local,
        "partial": functools.partial(local),
        "object": Scorer(),
        "method": Scorer().method,
    }[which]
    with pytest.raises(TypeError, match=r"score is .*, and a store knows a function by its name: with store=, give a"):
        swept(score=score, store=tmp_path / "runs.sqlite")
    assert not (tmp_path / "runs.sqlite").exists()
    assert [one.score for one in swept(runs(1), score=score)] == [1.0]


def test_functions_of_modules_have_names() -> None:
    assert name_of("score", sweeping.plain) == "helpers.sweeping.plain"
    assert name_of("score", Scorer.plain) == f"{__name__}.Scorer.plain"
    assert name_of("score", max) == "builtins.max"


def test_rungs_and_plain_sweeps_share_what_they_have_trained(log: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs.sqlite"
    halved = swept(runs(4, budget=None), rungs=(1, 4), store=store)
    assert [one.state for one in halved].count("done") == 1
    done = next(one for one in halved if one.state == "done")
    whole = swept(runs(4, budget=4), store=store)
    assert [one.state for one in whole] == ["done"] * 4
    assert next(one for one in whole if one.run == done.run).history.record() == done.history.record()
    assert [one.score for one in whole] == [one.score for one in swept(runs(4, budget=4))]
    assert [one.state for one in swept(runs(4, budget=None), rungs=(1, 4), store=store)] == ["done"] * 4


def test_the_fingerprint_of_data_counts_shapes_types_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    base = np.arange(12.0)
    items = [
        base, base.reshape(3, 4), base.astype(np.float32), base + 1, [base], {"a": base}, {"b": base},
        (base, base), None, 0.2, "NW",
    ]  # fmt: skip
    assert len({fingerprint(item) for item in items}) == len(items)
    assert fingerprint(base) == fingerprint(np.repeat(base, 2)[::2])
    monkeypatch.setattr("neuromorph.sweeps.data.WHOLE", 100)
    monkeypatch.setattr("neuromorph.sweeps.data._BLOCK", 80)
    large = np.arange(10_000.0)
    for place, counts in [(0, True), (9_999, True), (9, True), (20, False)]:
        other = large.copy()
        other[place] += 1
        assert (fingerprint(other) != fingerprint(large)) == counts


def test_arrays_of_objects_are_data_as_lists_are() -> None:
    """Sequences of different lengths, as ``np.array(…, dtype=object)``."""
    inputs, expected = ([np.ones((steps, width), np.float32) for steps in (3, 5, 4)] for width in (2, 1))
    as_objects = {"inputs": np.empty(3, object), "expected": np.empty(3, object)}
    as_objects["inputs"][:], as_objects["expected"][:] = inputs, expected
    given = [nm.Run(TEXT, {"batch_size": 3, "learning_rate": 0.1, "tier": "instant"}, budget=1)]
    found = [
        swept(given, score="loss", data={**one, "layout": "NSW"})[0]
        for one in (as_objects, {"inputs": inputs, "expected": expected})
    ]
    assert found[0].state == "done"
    assert (found[0].key, found[0].score) == (found[1].key, found[1].score)


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "more", "error"),
    [
        (3, {}, "runs must be a list of neuromorph.Run objects, not 3"),
        (runs()[0], {}, "runs must be a list of runs, not one run"),
        ([], {}, "runs is empty"),
        ([TEXT], {}, r"runs\[0\] must be a neuromorph.Run, not '/xavier"),
        (runs(budget=None), {}, r"runs\[0\] has no budget: give Run\(…, budget=20\), or rungs="),
        (runs(budget=3), {"rungs": (1, 2)}, r"runs\[0\] has the budget 3, and the last rung is 2"),
        (
            runs(budget=None),
            {"rungs": (2, 2)},
            r"rungs must be numbers of epochs from the start, each .*not \(2, 2\)",
        ),
        (runs(budget=None), {"rungs": 3}, "rungs must be numbers of epochs such as"),
        (runs(), {"keep": len}, "keep chooses the runs that go on after a rung, so it needs rungs="),
        (
            runs(),
            {"score": "val_los"},
            "score must be one of loss, .*'val_los'; did you mean 'validation_loss'",
        ),
        (runs(), {"score": 3}, "score must be a name in the history or a function"),
        (runs(), {"save_models": "all"}, "save_models must be False, True or \"best\", not 'all'"),
        (runs(), {"workers": -1}, "workers must be at least 0, not -1"),
        (runs(), {"client": 3}, "give workers for processes of this machine, or client"),
        (runs(), {"store": 3}, "store must be the path of a file, or None, not 3"),
        (runs(), {"store": ""}, "store is an empty text, and must be the path of a file, or None"),
        (runs(), {"data": 3}, "data must be .inputs, expected. or a dict such as"),
        (
            runs(),
            {"data": {"inputs": [[1]], "expeced": [[1]]}},
            "data has 'expeced', .*; did you mean 'expected'",
        ),
        (runs(), {"data": {"inputs": [[1]]}}, "data has no expected"),
        (runs(), {"data": (data()["inputs"], data()["expected"])}, "score 'validation_loss' needs data for validation"),
        (runs(layout="NW"), {}, r"runs\[0\] gives 'layout', and so do the data; leave one of them out"),
        ([nm.Run(TEXT, {"batch_size": 3}, budget=1)], {}, "its arguments have no learning_rate"),
        ([nm.Run(TEXT, {"batch_size": 0, "learning_rate": 1}, budget=1)], {}, "batch_size must be at least 1, not 0"),
        ([nm.Run("/xavier", {"batch_size": 3, "learning_rate": 1}, budget=1)], {}, "line 1, column"),
        (
            runs(),
            {"workers": 1, "score": lambda model, data: 1.0},
            "score is <function .*can't be sent to another process: .*, and no lambda; or give workers=0",
        ),
    ],
)
def test_wrong_arguments_are_errors_before_anything_is_trained(given: Any, more: dict[str, Any], error: str) -> None:
    with pytest.raises((ValueError, TypeError, ImportError), match=error) as caught:
        swept(given, **more)
    if isinstance(given, list) and given and isinstance(given[0], nm.Run) and "its arguments" in error:
        assert caught.value.__notes__ == [f"It was runs[0], {given[0]!r}."]


def test_a_score_of_an_interactive_session_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers could not import it, and every run would fail."""

    class Session:
        """Stands for the program of a session, which comes from no file."""

        __spec__ = None
        score = staticmethod(sweeping.plain)

    monkeypatch.setitem(sys.modules, "__main__", Session)  # type: ignore[arg-type]
    monkeypatch.setattr(sweeping.plain, "__module__", "__main__")
    monkeypatch.setattr(sweeping.plain, "__qualname__", "score")
    with pytest.raises(TypeError, match=r"score is a function of an interactive session.*give workers=0"):
        swept(workers=1, score=sweeping.plain)


def test_a_text_gives_its_warnings_once() -> None:
    dead = TEXT.replace("(output", "[s, (unused, 2, <tanh>)] (output")
    with pytest.warns(nm.MDLWarning) as caught:
        swept([run.replace(mdl=dead) for run in runs(3)])
    assert len(caught) == 1


def test_lines_and_the_bar_show_the_runs(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuromorph.training.progress.BAR_DELAY", 0.0)
    found = swept(runs(3, budget=None), rungs=(1, 3), verbosity=2)
    shown = capfd.readouterr().err
    assert "rung 2/2" in shown
    assert f"best={found.best.score:.4g}" in shown
    assert shown.count("1 epochs") == 3
    assert shown.count(", done,") == 1
    assert "4/4" in shown


def test_a_sweep_in_a_file_has_readable_rows(tmp_path: Path) -> None:
    swept(runs(1), store=tmp_path / "runs.sqlite")
    row = (
        sqlite3.connect(tmp_path / "runs.sqlite")
        .execute("SELECT run, state, score, history, measure FROM runs")
        .fetchone()
    )
    assert json.loads(row[0])["mdl"] == TEXT
    assert (row[1], row[4]) == ("done", "validation_loss")
    assert json.loads(row[3])["validation_loss"][-1] == row[2]


def test_stores_know_a_program_s_functions_by_the_program_s_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two programs may each have a ``score`` of their own."""

    def score(model: Any, data: Any) -> float:
        return 0.0

    score.__module__, score.__qualname__ = "__main__", "score"
    names = []
    for program in ("first", "second"):
        path = tmp_path / f"{program}.py"
        path.touch()
        made = types.ModuleType("__main__")
        made.__file__, made.score = str(path), score  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "__main__", made)
        names.append((checked_score(score, None).name, name_of("score", score)))
    assert names == [("first.score",) * 2, ("second.score",) * 2]
    made.__spec__ = SimpleNamespace(name="package.module")  # type: ignore[assignment]
    assert checked_score(score, None).name == "package.module.score", "a program that python -m has begun"
