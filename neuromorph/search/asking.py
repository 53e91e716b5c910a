"""The arguments of ``evolve``, checked, and what follows from them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import DataError, brief, nearest
from ..graph import build_graph
from ..options import flag, whole_number
from ..sweeps import arguments as named
from ..sweeps.data import checked_data
from ..sweeps.program import full_name
from ..sweeps.scores import Score, checked_score, name_of
from ..sweeps.store import checked_path
from .breeding import Breeding
from .evaluation import Plan, Steps
from .genome import Genome, SearchError
from .limits import size_of
from .printing import to_model, write
from .reading import read
from .setting import Setting
from .variation import checked_operations, minimal_text, setting_of

_LANES = 32  # of layouts whose data do not say how many
# What a search trains with unless it is told otherwise: no text is trained long enough for kernels of its own.
_USUAL: Mapping[str, Any] = {"learning_rate": 0.01, "optimizer": "adam", "tier": "instant"}


@dataclass(frozen=True)
class Asked:
    """The arguments of ``evolve``, as they are given. Methods check them; errors name the argument."""

    data: Any = None
    fitness: Any = None
    start: Any = None
    individuals: Any = 1_000
    target: Any = None
    seconds: Any = None
    seed: Any = 0
    store: Any = None
    inputs: Any = None
    outputs: Any = None
    loss: Any = "mse"
    activation: Any = None
    initializers: Any = "xavier,zero"
    arguments: Any = None
    budget: Any = 1
    rungs: Any = None
    keep: Any = 1 / 3
    score: Any = None
    maximize: Any = None
    population: Any = 64
    tournament: Any = 8
    crossover: Any = 0.1
    changes: Any = 1
    inherit: Any = True
    steps: Any = None
    limits: Any = None
    choices: Any = None
    operations: Any = None
    chunk: Any = 8
    ahead: Any = 8

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Asked:
        """The arguments by name. TypeError for a name that is none."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                near = nearest(name, known)
                hint = f"; did you mean {near!r}?" if near else f", but {', '.join(known)}"
                raise TypeError(f"evolve has no argument {name!r}{hint}")
        return cls(**given)

    @property
    def path(self) -> str | None:
        """The path of the store, or None."""
        return checked_path(self.store)

    def whole(self, name: str, least: int = 1) -> int:
        """An argument that is a whole number."""
        return whole_number(name, getattr(self, name), least=least)

    def share(self, name: str, *, above_zero: bool = False) -> float:
        """An argument from 0 to 1."""
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0.0 <= value <= 1.0 or (above_zero and value == 0.0):
            bounds = "above 0 and at most 1" if above_zero else "from 0 to 1"
            raise ValueError(f"{name} must be a number {bounds}, not {brief(value)}")
        return float(value)

    def number(self, name: str) -> float | None:
        """An argument that is a finite number or None."""
        value = getattr(self, name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number or None, not {brief(value)}")
        return float(value)

    @property
    def chunks_ahead(self) -> int:
        """The most chunks on their way at a time: ``ahead``, or fewer, so that at most ``population`` individuals are,
        or one chunk. With more, individuals after the first ``population`` are made before there are parents."""
        return min(self.whole("ahead"), max(1, self.whole("population") // self.whole("chunk")))

    # What networks are good for ---------------------------------------------------------------------------------------

    @cached_property
    def data_of_fit(self) -> dict[str, Any] | None:
        """The data arguments of ``fit``, or None for a search with ``fitness``."""
        if self.fitness is not None and self.data is not None:
            raise ValueError(
                "give data or fitness, not both: a function f(model, data) of trained networks is the argument score"
            )
        if self.fitness is None and self.data is None:
            raise ValueError("evolve needs data=(inputs, expected), or fitness=, a function f(model, rng)")
        if self.fitness is not None and not callable(self.fitness):
            raise TypeError(f"fitness must be a function f(model, rng), not {brief(self.fitness)}")
        return None if self.data is None else checked_data(self.data)

    @cached_property
    def scored(self) -> Score:
        """What is measured, and whether larger is better."""
        if self.data_of_fit is None:
            if self.score is not None:
                raise ValueError("score is for data: with fitness, the score is what that returns")
            larger = True if self.maximize is None else flag("maximize", self.maximize)
            return Score(getattr(self.fitness, "__name__", "fitness"), self.fitness, larger)
        usual = "val_loss" if self._is_validated else "loss"
        found = checked_score(usual if self.score is None else self.score, self.maximize)
        if found.needs_validation and not self._is_validated:
            raise ValueError(
                f"score {self.score!r} needs data for validation: data={{…, 'validation': (inputs, expected)}}, or "
                "arguments={'validation': 0.2}"
            )
        return found

    @property
    def _is_validated(self) -> bool:
        return "validation" in (self.data_of_fit or {}) or "validation" in self.of_runs

    @cached_property
    def of_runs(self) -> dict[str, Any]:
        """The arguments of ``compile`` and ``fit`` in the form of JSON."""
        if self.arguments is not None and not isinstance(self.arguments, Mapping):
            raise TypeError(f"arguments must be a dict of arguments of compile and fit, not {brief(self.arguments)}")
        return named.checked({"batch_size": self._lanes(), **_USUAL, **(self.arguments or {})})

    def _lanes(self) -> int:
        """The batch size if none is given: that of the data."""
        data = self.data_of_fit
        if data is None:
            return 1
        found = data["inputs"]
        if "layout" in data or not isinstance(found, np.ndarray) or found.ndim < 3:
            return min(_LANES, max(1, len(found)))
        return int(found.shape[-2])

    def plan(self) -> Plan:
        """How individuals are evaluated."""
        rungs = (self.whole("budget"),) if self.rungs is None else self._rungs()
        if len(rungs) > 1 and self.of_runs.get("callbacks"):
            raise ValueError("arguments can't have callbacks in a search with rungs")
        deviation, part = (0.0, 0.0) if self.stepping is None else (self.stepping.deviation, self.stepping.part)
        keep, saves = self.share("keep", above_zero=True), self.path is not None
        target = None if saves else self.number("target")  # a store has whole chunks
        return Plan(self.of_runs, self.scored, self.fitness, rungs, keep, saves, deviation, part, target)

    def _rungs(self) -> tuple[int, ...]:
        if self.fitness is not None:
            raise ValueError("rungs are for data: they are numbers of epochs")
        if isinstance(self.rungs, str) or not isinstance(self.rungs, Iterable):
            raise TypeError(f"rungs must be numbers of epochs such as (1, 3, 9), not {brief(self.rungs)}")
        found = tuple(whole_number(f"rungs[{place}]", rung) for place, rung in enumerate(self.rungs))
        if not found or any(one >= other for one, other in pairwise(found)):
            raise ValueError(f"rungs must be numbers of epochs that grow, such as (1, 3, 9), not {brief(self.rungs)}")
        if self.budget != 1:
            raise ValueError("give budget or rungs, not both: the last rung is the budget")
        return found

    def decides(self, plan: Plan, breeding: Breeding) -> dict[str, Any]:
        """All that the individuals of a search depend on beside its data, as JSON has it.

        Functions count by their names; with a store, one without a name of its own is a TypeError. The number of
        individuals, seconds and target do not count: a search that goes on may have others.
        """
        if self.path is not None:
            changes = {f"operations[{name!r}]": one.change for name, one in breeding.operations.items()}
            for name, function in {"fitness": plan.fitness, "score": plan.score.function, **changes}.items():
                if function is not None:
                    name_of(name, function)  # raises TypeError
        setting = breeding.setting
        steps = None if breeding.steps is None else asdict(breeding.steps)
        operations = {name: [one.weight, one.grows, full_name(one.change)] for name, one in breeding.operations.items()}
        fitness = None if plan.fitness is None else full_name(plan.fitness)
        numbers = {
            name: getattr(breeding, name)
            for name in ("seed", "is_grown", "population", "tournament", "crossover", "changes", "inherit")
        }
        return {
            **numbers, "steps": steps, "operations": operations, "fitness": fitness, "limits": asdict(setting.limits),
            "choices": asdict(setting.choices), "start": [write(genome) for genome in breeding.start],
            "arguments": named.deciding(plan.arguments), "score": plan.score.name, "larger": plan.score.larger,
            "rungs": plan.rungs, "keep": plan.keep, "chunk": self.whole("chunk"), "ahead": self.chunks_ahead,
        }  # fmt: skip

    # How individuals are made -----------------------------------------------------------------------------------------

    @cached_property
    def stepping(self) -> Steps | None:
        """The steps of parameters, or None."""
        if self.steps is not None and not isinstance(self.steps, Steps):
            raise TypeError(f"steps must be search.Steps(…), not {brief(self.steps)}")
        return Steps() if self.steps is None and self.fitness is not None else self.steps

    def breeding(self) -> Breeding:
        """How individuals are made."""
        setting, operations = self._setting(), checked_operations(self.operations)
        starts = self._starts()
        for genome in starts:
            too_large = setting.limits.broken_by(size_of(build_graph(to_model(genome))))
            if too_large:
                raise SearchError(f"a text to start with is beyond the limits: {', '.join(too_large)}")
        return Breeding(
            self.whole("seed", 0), starts, self.start is None, self.whole("population"), self.whole("tournament"),
            self.share("crossover"), self.whole("changes"), flag("inherit", self.inherit), self.stepping, setting,
            operations, self.scored.larger,
        )  # fmt: skip

    def _setting(self) -> Setting:
        """Limits and choices. Networks for single vectors have no links in time."""
        found = setting_of(self.limits, self.choices)
        layout = {**self.of_runs, **(self.data_of_fit or {})}.get("layout")
        if layout != "NW" or found.limits.delay == 0:
            return found
        if self.limits is not None:
            raise ValueError("limits: delay must be 0 for layout='NW', whose vectors are no steps of a sequence")
        return replace(found, limits=replace(found.limits, delay=0))

    def _starts(self) -> list[Genome]:
        """The genomes of the texts to start with, or the one that random texts grow from."""
        if self.start is None:
            inputs, outputs = self._widths()
            return [read(minimal_text(inputs, outputs, self.loss, self.activation, self.initializers))]
        is_one = isinstance(self.start, str | os.PathLike) or not isinstance(self.start, Iterable)
        found = [read(text) for text in ([self.start] if is_one else self.start)]
        if not found:
            raise ValueError("start has no text")
        if len({(genome.input.width, genome.output.width) for genome in found}) > 1:
            raise ValueError("the texts of start must have inputs of one width, and outputs of one width")
        width, own = self._widths_of_data()[0], found[0].input.width
        if width not in (None, own):
            raise ValueError(f"the texts of start have inputs of the width {own}, and those of the data have {width}")
        return found

    def _widths_of_data(self) -> tuple[int | None, int | None]:
        """The widths of the input and the output as data say them; None where they do not."""
        data = self.data_of_fit
        if data is None:
            return None, None
        inputs, expected = _array_of(data["inputs"]), _array_of(data["expected"])
        return (
            int(inputs.shape[-1]) if inputs.ndim > 1 else None,
            int(expected.shape[-1]) if expected.ndim == inputs.ndim else None,
        )

    def _widths(self) -> tuple[Any, Any]:
        """The widths of the input and the output: given, or those of the data."""
        known = self._widths_of_data()
        inputs, outputs = (
            width if own is None else own for own, width in zip((self.inputs, self.outputs), known, strict=True)
        )
        for name, width in (("inputs", inputs), ("outputs", outputs)):
            if width is None:
                has_data = self.data_of_fit is not None
                which = "these data do not say it" if has_data else "a search with fitness has no data that say it"
                raise ValueError(f"{name}= is needed, the width of the {name[:-1]}: {which}; or give a text as start=")
        return inputs, outputs


def _array_of(value: Any) -> np.ndarray[Any, Any]:
    """An array, or the first one of a list."""
    if not isinstance(value, np.ndarray) and not value:
        raise DataError("data has an empty list")
    return value if isinstance(value, np.ndarray) else np.asarray(value[0])[None]
