"""Reads the results of a store."""

from __future__ import annotations

import os

from ..errors import nearest
from .plan import Plan, result_of
from .results import SweepResult
from .store import Store, checked_path


def measures(store: str | os.PathLike[str]) -> list[str]:
    """The names of the scores that the runs of a store have, in the order of their addition."""
    with Store(checked_path(store), must_exist=True) as opened:
        return list(dict.fromkeys(row["measure"] for row in opened.rows()))


def stored_runs(store: str | os.PathLike[str], *, score: str | None = None) -> SweepResult:
    """The results in a store; see ``neuromorph.stored_runs``."""
    with Store(checked_path(store), must_exist=True) as opened:
        rows = opened.rows()
        there = list(dict.fromkeys(row["measure"] for row in rows))
        if not there:
            raise ValueError(f"{opened.path} has no runs yet")
        if score is None and len(there) > 1:
            raise ValueError(f"the runs of {opened.path} have several scores: say score= one of {', '.join(there)}")
        name = there[0] if score is None else f"{score}"
        if name not in there and name.startswith("val_"):
            name = f"validation_{name.removeprefix('val_')}"
        if name not in there:
            near = nearest(name, there)
            hint = f"; did you mean {near!r}?" if near else f", but {', '.join(there)}"
            raise ValueError(f"no run of {opened.path} has the score {score!r}{hint}")
        rows = [row for row in rows if row["measure"] == name]
        found = [result_of(row, Plan.saved(opened, row)) for row in rows]
        return SweepResult(found, name, larger=bool(rows[0]["larger"]))
