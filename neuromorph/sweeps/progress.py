"""The progress of a sweep on stderr: a bar with the best score so far and the time left, or a line for each run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import shortened
from ..training.progress import ProgressBar
from .plan import Plan
from .run import Run
from .store import DONE, FAILED, State

_FORMAT = "{desc}{percentage:3.0f}%|{bar:7}|{n}/{total}, {remaining} left{postfix}"


class Shown:
    """The bar of a sweep. verbosity: 0 for nothing, 1 for a bar, 2 for a line above it for each run too."""

    def __init__(self, plan: Plan, verbosity: int) -> None:
        self._plan, self._verbosity = plan, verbosity
        self._parts = plan.parts()
        self._bar = ProgressBar(sum(self._parts), unit="run", bar_format=_FORMAT) if verbosity else None
        self._what, self._failed = "runs", 0
        self._best: float | None = None

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close(done=kind is None)

    def begin_rung(self, number: int) -> None:
        """Begin a rung."""
        if len(self._parts) > 1:
            self._what = f"rung {number + 1}/{len(self._parts)}"

    def count(self, states: Iterable[State]) -> None:
        """Count runs that have reached the rung."""
        for state in states:
            self._failed += state.state == FAILED
            if self._plan.score.is_better(state.score, self._best):
                self._best = state.score
            if self._bar is not None:
                self._bar.advance(1, self._what, self._numbers())

    def _numbers(self) -> dict[str, str]:
        numbers = {} if self._best is None else {"best": f"{self._best:.4g}"}
        return numbers | ({"failed": str(self._failed)} if self._failed else {})

    def note(self, line: str) -> None:
        """Write a line about the sweep."""
        if self._bar is not None:
            self._bar.write(line)

    def tell(self, run: Run, state: State, values: Mapping[str, Any]) -> None:
        """Write a line about a run that has reached a rung."""
        if self._bar is None or self._verbosity < 2:
            return
        score = "no score" if state.score is None else f"{self._plan.score.name.replace('_', ' ')} {state.score:.4g}"
        said = shortened(state.state if state.state in (DONE, FAILED) else f"{state.epochs} epochs", 40)
        error = f", {values['error']}" if values.get("error") else ""
        self._bar.write(f"{run!r}: {score}, {said}, {values['seconds']:.1f} s{error}")
