"""``RunResult``: what came of a run. ``SweepResult``: those of a sweep, in the order of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from ..errors import one_line, shortened
from ..history import History, new_axes
from ..host.exclusive import imported
from ..host.frozen import frozen
from .arguments import OPTIMIZERS, written
from .run import Run

if TYPE_CHECKING:
    from ..model import Model

_ERROR = 60  # characters of an error in a table
_CELL = 24  # characters of an argument in a table


@frozen
class RunResult:
    """What came of a run.

    run: with the budget that it had. state: "done"; "stopped" if it was among the worse runs at the end of a rung;
    "failed"; or "waiting", "running" or "paused" if it has not ended. score: None if there is none. history: of all
    epochs so far, None if there was none. error: None, or one line that says why it failed; traceback: its text, "" if
    there is none. failures: how often its training has failed. seconds: of training, without waiting. saved: the bytes
    of the model, or the store and the key that it is under there, or None. extra: what the store has beside, such as
    the lineage of a search.
    """

    run: Run
    state: str
    score: float | None
    history: History | None
    error: str | None
    traceback: str
    failures: int
    seconds: float
    key: str
    saved: bytes | tuple[str, str] | None = None
    extra: Any = None

    @property
    def attempts(self) -> int:
        """How often its training was begun; parts of one training count once."""
        return self.failures + (self.state in ("done", "stopped", "paused", "running"))

    @property
    def epochs(self) -> int:
        """The number of completed epochs."""
        return 0 if self.history is None else len(self.history)

    def model(self) -> Model:
        """The trained model. Raises ValueError if it was not saved."""
        saved = self.saved
        if isinstance(saved, tuple):
            with imported("neuromorph.sweeps.store").Store(saved[0], must_exist=True) as store:
                saved = store.blob(saved[1], "model")
        if saved is None:
            raise ValueError('no model of this run was saved: give sweep save_models=True, or "best"')
        model: Model = imported("neuromorph.storage").from_bytes(
            saved, imported("neuromorph.model").Model, name="the model of a run"
        )
        return model

    def __repr__(self) -> str:
        said = self.error if self.error is not None and self.score is None else _number(self.score)
        return f"<neuromorph.RunResult: {self.run!r}, {one_line(self.state)}, {shortened(one_line(said), _ERROR)}>"


class SweepResult(Sequence[RunResult]):
    """The results of a sweep, in the order of its runs. measure: the name of the score; larger: whether larger is
    better."""

    def __init__(self, results: Sequence[RunResult], measure: str, *, larger: bool) -> None:
        self._results, self.measure, self.larger = tuple(results), measure, larger

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, place: int) -> RunResult: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[RunResult, ...]: ...
    def __getitem__(self, place: int | slice) -> RunResult | tuple[RunResult, ...]:
        return self._results[place]

    def __iter__(self) -> Iterator[RunResult]:
        return iter(self._results)

    @property
    def best(self) -> RunResult:
        """The result with the best score, of those that are done if there are any. ValueError if all runs failed."""
        there = [one for one in self._results if one.score is not None]
        if not there:
            errors = {one.error for one in self._results if one.error}
            why = f"; the first error: {min(errors)}" if errors else ""
            raise ValueError(f"no run has a score{why}")
        return min([one for one in there if one.state == "done"] or there, key=self.order)

    @property
    def failed(self) -> tuple[RunResult, ...]:
        """The results of the runs that failed."""
        return tuple(one for one in self._results if one.state == "failed")

    def order(self, result: RunResult) -> tuple[bool, float]:
        """What results are sorted by: the best score first, those without a score last."""
        value = result.score
        return value is None, 0.0 if value is None else -value if self.larger else value

    def ranked(self) -> list[RunResult]:
        """The results, the best first. Runs that are done come before those that were stopped at the end of a rung."""
        return sorted(self._results, key=lambda one: (one.state != "done", -one.epochs, self.order(one)))

    def rows(self) -> tuple[list[str], list[list[Any]]]:
        """The names of the columns of a table, and its rows, the best first. Arguments that all runs share are left
        out."""
        runs = [_flat(one.run) for one in self._results]
        names = list(dict.fromkeys(name for run in runs for name in run))
        differing = [name for name in names if len({repr(run.get(name)) for run in runs}) > 1]
        head = [self.measure, *differing, "epochs", "seconds", "failures", "state", "error"]
        flat = {id(one): run for one, run in zip(self._results, runs, strict=True)}
        return head, [
            [one.score, *(flat[id(one)].get(name) for name in differing), one.epochs, one.seconds, one.failures,
             one.state, one.error]
            for one in self.ranked()
        ]  # fmt: skip

    def table(self, most: int | None = None) -> str:
        """The results as text, the best first, ``most`` of them at most.

        Characters that can't be shown, in errors and names that a store may have from anybody, become marks.
        """
        head, rows = self.rows()
        shown = [[_cell(name, value) for name, value in zip(head, row, strict=True)] for row in rows[:most]]
        used = [place for place in range(len(head)) if any(row[place] for row in shown)]
        lines = [
            [one_line(head[place]).replace("_", " ") for place in used],
            *([row[place] for place in used] for row in shown),
        ]
        widths = [max(len(line[place]) for line in lines) for place in range(len(used))]
        said = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        left = len(rows) - len(shown)
        return "\n".join([*said, *([f"and {left} more"] if left else [])])

    def plot(self, axes: Any = None) -> Any:
        """Draw the score of each run by epoch with matplotlib, the best one's thick, into ``axes`` or a new figure of
        pyplot; returns the axes.

        Where the score is no number of the history, the validation losses are drawn, or the losses without validation.
        Raises ValueError if there is no history, ImportError if matplotlib is missing.
        """
        there = [one for one in self._results if one.history is not None and len(one.history)]
        if not there:
            raise ValueError("no run has a history, so there is nothing to draw")
        recorded = {name for one in there for name in one.history.names}  # type: ignore[union-attr]
        name = next(name for name in (self.measure, "validation_loss", "loss") if name in recorded)
        axes = new_axes("SweepResult.plot") if axes is None else axes
        scored = any(one.score is not None for one in there)
        for one in there:
            values = getattr(one.history, name) if name in one.history.names else []  # type: ignore[union-attr]
            is_best = scored and one is self.best
            style = {"color": "tab:red", "linewidth": 2.5, "zorder": 3} if is_best else {"linewidth": 0.8, "alpha": 0.6}
            label = {"label": f"the best, {one.score:.4g}"} if is_best else {}
            axes.plot(range(1, len(values) + 1), values, **style, **label)
        axes.set(xlabel="epoch", ylabel=name.replace("_", " "))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
        return axes

    def __repr__(self) -> str:
        parts = [f"{len(self)} run{'s' * (len(self) != 1)}"]
        there = [one for one in self._results if one.score is not None]
        parts += [f"the best {one_line(self.measure).replace('_', ' ')} {_number(self.best.score)}"] if there else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return f"<neuromorph.SweepResult: {', '.join(parts)}>"


def _flat(run: Run) -> dict[str, Any]:
    """The fields and arguments of a run, in one dict."""
    text = {"name": run.name} if run.name else {"text": " ".join(run.mdl.split())}
    found: dict[str, Any] = {**text, "seed": run.seed, "budget": run.budget}
    for name, value in run.arguments.items():
        if isinstance(value, Mapping):
            found[name] = _object(value)
        elif isinstance(value, list):
            found[name] = ", ".join(_object(one) if isinstance(one, Mapping) else str(one) for one in value)
        else:
            found[name] = value
    return found


def _object(table: Mapping[str, Any]) -> str:
    """An optimizer or a callback, with the numbers that are not the usual ones."""
    usual = written(OPTIMIZERS[table["name"]]()) if table["name"] in OPTIMIZERS else {"name": table["name"]}
    numbers = ", ".join(f"{name}={value}" for name, value in table.items() if usual.get(name, usual) != value)
    return f"{table['name']}({numbers})" if numbers else str(table["name"])


def _number(value: float | None) -> str:
    return "no score" if value is None else f"{value:.4g}"


def _cell(name: str, value: Any) -> str:
    """A cell of a table."""
    if value is None or (name == "failures" and not value):
        return ""
    if isinstance(value, float):
        return f"{value:.1f}" if name == "seconds" else f"{value:.4g}"
    return shortened(one_line(str(value)), _ERROR if name == "error" else _CELL)
