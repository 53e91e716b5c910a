"""What a sweep is going to do: its arguments, checked, and what follows from them without training anything."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..errors import DataError, MDLWarning, brief
from ..host.callers import warn_user
from ..host.frozen import frozen
from ..model import compile_model
from ..options import compile_options, whole_number
from ..runtime.tiers import VARIABLE
from . import arguments
from .arguments import as_json
from .data import checked_data, fingerprint
from .records import history_of, run_of
from .results import RunResult
from .run import Run
from .scores import Score, checked_score, name_of
from .store import Store, checked_path

Keeping = Callable[[list[RunResult]], Iterable[RunResult]]
_SMALLEST = "/xavier,zero/ (input, 1) (output, 1, <linear>, <mse>)"


@frozen
class Plan:
    """A checked sweep.

    given: the runs in their order, with their budgets. order: the key of each in the store. runs: by key. rungs: the
    numbers of epochs at which runs are compared; of a sweep without rungs, None alone, which stands for the budget of
    each. keep: the user's function that chooses who goes on, or None. save_models: False, True or "best".
    """

    given: tuple[Run, ...]
    order: tuple[str, ...]
    runs: Mapping[str, Run]
    data: Mapping[str, Any]
    print: str
    score: Score
    rungs: tuple[int | None, ...]
    keep: Keeping | None
    save_models: bool | str

    @property
    def keys(self) -> list[str]:
        """The keys of the runs, each once."""
        return list(self.runs)

    def path_of(self, store: Any) -> str | None:
        """The path of the store; TypeError for what is none, and for a score that a store can't know by its name."""
        path = checked_path(store)
        if path is not None and self.score.function is not None:
            name_of("score", self.score.function)
        return path

    def rows(self) -> Iterable[dict[str, Any]]:
        """The rows that a store gets before anything is trained."""
        for key, run in self.runs.items():
            yield {
                "key": key, "run": run.record(), "data": self.print, "measure": self.score.name,
                "larger": self.score.larger, "extra": None,
            }  # fmt: skip

    def parts(self) -> list[int]:
        """The number of runs of each rung, if none fails and ``keep`` is not given."""
        found = [len(self.runs)]
        for number in range(len(self.rungs) - 1):
            found.append(self._places(found[-1], number))
        return found

    def _places(self, count: int, number: int) -> int:
        """How many of so many runs go on after a rung: each rung has about as many epochs in all as the first one."""
        here, there = self.rungs[number] or 1, self.rungs[number + 1] or 1
        return max(1, math.ceil(count * here / there))

    def survivors(self, results: Sequence[RunResult], number: int) -> set[str]:
        """The keys of the runs that go on after a rung. results: of each run at the rung."""
        there = [one for one in results if one.score is not None]
        if self.keep is None:
            ranked = sorted(there, key=lambda one: self.score.order(one.score))
            return {one.key for one in ranked[: self._places(len(results), number)]}
        chosen = {getattr(one, "key", None) for one in self.keep(there)}
        known = {one.key for one in there}
        if not chosen <= known:
            raise ValueError("keep must give some of the results that it got")
        return known & chosen

    def compile_machines(self) -> None:
        """Have the machines in the cache that run models of these runs at first, so that workers find them there."""
        usual = os.environ.get(VARIABLE) or "auto"
        given = [run.arguments for run in self.runs.values()]
        wanted = {one.get("dtype", "float32") for one in given if one.get("tier", usual) != "compiled"}
        for dtype in sorted(wanted):
            compile_model(_SMALLEST, 1, 0.0, dtype=dtype, threads=1, tier="instant").build(seed=0).release()

    def results(self, store: Store, keys: Sequence[str], unwritten: Mapping[str, Mapping[str, Any]]) -> list[RunResult]:
        """What came of runs. unwritten: what the store lacks of them."""
        there = {row["key"]: {**row, **unwritten.get(row["key"], {})} for row in store.rows(keys)}
        wanted = set(keys)
        return [
            result_of(there[key], self.saved(store, there[key]), run)
            for key, run in zip(self.order, self.given, strict=True)
            if key in wanted
        ]

    @staticmethod
    def saved(store: Store, row: Mapping[str, Any]) -> bytes | tuple[str, str] | None:
        """Where the model of a row is."""
        if row.get("model") is not None:
            return bytes(row["model"])
        return store.blob(row["key"], "model") if store.path == ":memory:" else (store.path, row["key"])


def result_of(row: Mapping[str, Any], saved: bytes | tuple[str, str] | None, run: Run | None = None) -> RunResult:
    """The result of a row of a store. run: in place of the one in the store, which may have another name."""
    return RunResult(
        run or run_of(row), row["state"], row["score"], history_of(row), row["error"],
        row["traceback"] or "", row["failures"], row["seconds"], row["key"], saved, row["extra"],
    )  # fmt: skip


# Arguments ------------------------------------------------------------------------------------------------------------


def checked_plan(
    runs: Any, data: Any, *, score: Any, maximize: Any, rungs: Any, keep: Any, save_models: Any
) -> Plan:  # fmt: skip
    """The plan of a sweep with these arguments; TypeError, ValueError, DataError or MDLError that names the wrong
    one."""
    measure, heights = checked_score(score, maximize), _checked_rungs(rungs)
    if keep is not None and not callable(keep):
        raise TypeError(f"keep must be a function of the results of a rung, not {brief(keep)}")
    if keep is not None and len(heights) < 2:
        raise ValueError("keep chooses the runs that go on after a rung, so it needs rungs=, at least two")
    if save_models not in (False, True, "best"):
        raise ValueError(f'save_models must be False, True or "best", not {brief(save_models)}')
    given, arrays = _checked_runs(runs, heights[-1]), checked_data(data)
    _check_texts(given)
    for number, run in enumerate(given):
        _check_fit(f"runs[{number}]", run, arrays, measure)
    mark = fingerprint(arrays)
    keys = [_key(run, mark, measure) for run in given]
    return Plan(
        tuple(given),
        tuple(keys),
        dict(zip(keys, given, strict=True)),
        arrays,
        mark,
        measure,
        heights,
        keep,
        save_models,
    )


def _key(run: Run, mark: str, measure: Score) -> str:
    return hashlib.sha256(as_json([run.key, mark, measure.name]).encode()).hexdigest()[:32]


def _checked_rungs(given: Any) -> tuple[int | None, ...]:
    """The rungs, numbers of epochs that increase; None alone if there are none."""
    if given is None:
        return (None,)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"rungs must be numbers of epochs such as (2, 6, 18), not {brief(given)}")
    found = tuple(whole_number("rungs", one) for one in given)
    if not found or any(later <= earlier for earlier, later in pairwise(found)):
        raise ValueError(
            f"rungs must be numbers of epochs from the start, each larger than the one before, such as (2, 6, 18), not "
            f"{brief(given)}"
        )
    return found


def _checked_runs(given: Any, last: int | None) -> list[Run]:
    """The runs, each with a budget. last: the last rung, or None."""
    if isinstance(given, Run):
        raise TypeError("runs must be a list of runs, not one run")
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"runs must be a list of neuromorph.Run objects, not {brief(given)}")
    found = list(given)
    if not found:
        raise ValueError("runs is empty: there is nothing to train")
    for number, run in enumerate(found):
        if not isinstance(run, Run):
            raise TypeError(f"runs[{number}] must be a neuromorph.Run, not {brief(run)}")
        if last is None and run.budget is None:
            raise ValueError(f"runs[{number}] has no budget: give Run(…, budget=20), or rungs= to the sweep")
        if last is not None and run.budget not in (None, last):
            raise ValueError(
                f"runs[{number}] has the budget {run.budget}, and the last rung is {last}: the rungs are its budget, "
                "so leave it out"
            )
        found[number] = run if last is None or run.budget == last else run.replace(budget=last)
    return found


def _check_texts(runs: Sequence[Run]) -> None:
    """Check the arguments of ``compile`` of each run, and each text once. Warnings come once a text."""
    seen: set[str] = set()
    for number, run in enumerate(runs):
        try:
            options = arguments.for_compile(run.arguments)
            for name in ("batch_size", "learning_rate"):
                if name not in options:
                    raise ValueError(f"its arguments have no {name}")
            if run.mdl not in seen:
                seen.add(run.mdl)
                _check_text(run.mdl, options)
            else:
                compile_options(
                    options["batch_size"], optimizer="sgd", bptt_steps=options.get("bptt_steps"),
                    dtype=options.get("dtype", "float32"), threads=options["threads"], has_time_links=False,
                    tier=options.get("tier", "auto"),
                )  # fmt: skip
        except (ValueError, TypeError) as error:
            error.add_note(f"It was runs[{number}], {run!r}.")
            raise


def _check_text(mdl: str, options: Mapping[str, Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile_model(mdl, **options)
    for warning in caught:
        if issubclass(warning.category, MDLWarning):
            warn_user(str(warning.message), MDLWarning)


def _check_fit(name: str, run: Run, data: Mapping[str, Any], score: Score) -> None:
    """Check that a run and the data do not give an argument of ``fit`` twice, and that the score is recorded."""
    given = arguments.for_fit(run.arguments)
    for argument in given:
        if argument in data:
            raise ValueError(f"{name} gives {argument!r}, and so do the data; leave one of them out")
    if score.needs_validation and given.get("validation", data.get("validation")) is None:
        raise DataError(
            f'the score {score.name!r} needs data for validation: give data as {{"inputs": …, "expected": …, '
            f'"validation": 0.2}}, or score="{score.name.removeprefix("validation_")}"'
        )
