"""Reads many runs from one table, such as that of a TOML file: texts, seeds, combinations and drawn values.

text = ["lstm.mdl", "gru.mdl"]      # files beside this one, or texts; one or several
seeds = [1, 2, 3]
budget = 20

[arguments]                         # the same for all runs
batch_size = 32

[grid]                              # each combination of these
optimizer = ["sgd", {name = "Adam", betas = [0.9, 0.99]}]
"$width" = [8, 16]                  # in the place of $width in the texts

[random]                            # drawn, as often as ``draws`` says, for each combination
draws = 10
seed = 0
learning_rate = {from = 1e-4, to = 1e-1, log = true}
bptt_steps = {from = 8, to = 64}    # whole numbers, since both ends are
shuffle = [true, false]
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import brief, nearest
from ..options import whole_number
from .run import Run

_FIELDS = ("text", "seeds", "budget", "arguments", "grid", "random")
MOST_RUNS = 100_000  # of a table, which may come from a stranger
_PLACE = re.compile(r"\$\w+")


def runs_of(table: Mapping[str, Any], folder: Path, budget: int | None = None) -> list[Run]:
    """The runs that a table describes.

    folder: that of its files. budget: in place of the one in the table; None for that one. Raises ValueError or
    TypeError that names the field, OSError if a file can't be read.
    """
    for field in table:
        if field not in _FIELDS:
            near = nearest(field, _FIELDS)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"there is {field!r}, but there may be {', '.join(_FIELDS)} only{hint}")
    if "text" not in table:
        raise ValueError("there is no text: give a file of a model description, a text, or a list of them")
    given, fixed = table["text"], _table(table, "arguments")
    texts = [_text(one, folder) for one in (given if isinstance(given, list) else [given])]
    seeds = _seeds(table.get("seeds", [0]))
    _check_places([text for _, text in texts], [*fixed, *_table(table, "grid"), *_table(table, "random")])
    own = budget if budget is not None else table.get("budget")
    grid, random, times = _table(table, "grid"), _table(table, "random"), len(texts) * len(seeds)
    combined = [{**fixed, **drawn} for drawn in _combinations(grid, random, times)]
    return [
        _run(text, name, arguments, seed, own) for (name, text) in texts for arguments in combined for seed in seeds
    ]


def _table(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = table.get(name, {})
    if not isinstance(found, Mapping):
        raise TypeError(f"{name} must be a table, [{name}], not {brief(found)}")
    return dict(found)


def _text(given: Any, folder: Path) -> tuple[str | None, str]:
    """The name and the text of a file, or a text without a name."""
    if not isinstance(given, str):
        raise TypeError(f"text must be the name of a file or a text, not {brief(given)}")
    if "(" in given or "\n" in given:
        return None, given
    path = folder / given
    return path.stem, path.read_text(encoding="utf-8", errors="surrogateescape")


def _seeds(given: Any) -> list[int]:
    listed = given if isinstance(given, list) else [given]
    return [whole_number("seeds", one, least=0) for one in listed]


def _combinations(grid: Mapping[str, Any], random: dict[str, Any], times: int) -> Iterator[dict[str, Any]]:
    """The arguments of each combination, and of each draw for it. times: how many runs have the same arguments."""
    for name, values in grid.items():
        if name in random:
            raise ValueError(f"{name} is in grid and in random: leave one of them out")
        if not isinstance(values, list) or not values:
            raise TypeError(f"grid.{name} must be a list of values, not {brief(values)}")
    draws = whole_number("random.draws", random.pop("draws", 1)) if random else 1
    count = times * draws * math.prod(len(values) for values in grid.values())
    if count > MOST_RUNS:
        raise ValueError(f"the table gives {count:,} runs, but there may be {MOST_RUNS:,} at most")
    rng = np.random.default_rng(whole_number("random.seed", random.pop("seed", 0), least=0))
    for values in product(*grid.values()):
        for _ in range(draws):
            yield dict(zip(grid, values, strict=True)) | {name: _drawn(name, of, rng) for name, of in random.items()}


def _drawn(name: str, of: Any, rng: np.random.Generator) -> Any:
    """One value: of a list, or between two numbers."""
    if isinstance(of, list) and of:
        return of[int(rng.integers(len(of)))]
    if not isinstance(of, Mapping) or not {"from", "to"} <= set(of) <= {"from", "to", "log"}:
        raise TypeError(f"random.{name} must be a list, or a table such as {{from = 0.1, to = 1.0, log = true}}")
    low, high, log = of["from"], of["to"], of.get("log", False)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not low < high or (log and low <= 0):
        raise ValueError(f"random.{name} must go from a number to a larger one, and with log from above 0: {brief(of)}")
    whole = isinstance(low, int) and isinstance(high, int)
    ends = (low, high + 1) if whole else (low, high)
    first, last = map(math.log, ends) if log else ends
    value = math.exp(rng.uniform(first, last)) if log else rng.uniform(first, last)
    return min(high, math.floor(value)) if whole else float(value)


def _check_places(texts: Sequence[str], names: Sequence[str]) -> None:
    """Check that texts have the places that there are values for, and no others."""
    given = {name for name in names if name.startswith("$")}
    wanted = {place for text in texts for place in _PLACE.findall(text)}
    if given - wanted:
        raise ValueError(f"there are values for {min(given - wanted)}, which stands in no text")
    if wanted - given:
        raise ValueError(f"a text has {min(wanted - given)}, for which there are no values")


def _run(text: str, name: str | None, arguments: Mapping[str, Any], seed: int, budget: Any) -> Run:
    """A run, with the numbers in the places of its text."""
    places = {key: value for key, value in arguments.items() if key.startswith("$")}
    filled = _PLACE.sub(lambda found: str(places.get(found.group(), found.group())), text)
    others = {key: value for key, value in arguments.items() if key not in places}
    shown = [name, *(f"{key}={value}" for key, value in places.items())]
    label = " ".join(one for one in shown if one) or None
    return Run(filled, others, seed=seed, budget=budget, name=label)
