"""``Run``: a text, its arguments, a seed and a budget. All of it can be written to a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Never

from ..errors import brief, one_line, shortened
from ..host.cached import cached_property
from ..language.given import text_of
from ..options import whole_number
from . import arguments as named
from .arguments import as_json

_FIELDS = ("mdl", "arguments", "seed", "budget", "name")
_SHOWN = 40  # characters of a text in a short form


class Run:
    """What is to be trained: a model's text, the arguments of ``compile`` and ``fit``, a seed, and a budget of epochs.

    mdl: as in ``compile``. arguments: those of ``compile`` and of ``fit`` by name, together in one dict, such as
    ``{"batch_size": 32, "learning_rate": 0.01, "optimizer": "adam", "shuffle": True}``. Optimizers and callbacks
    (``EarlyStopping``, ``ReduceOnPlateau`` and schedules) are objects or tables with a name, such as ``{"name": "Adam",
    "weight_decay": 0.01}``. Metrics are names, and ``validation`` is a fraction. ``"adapt": True`` sets ``standardize``
    and ``restore`` nodes from the data before training, as ``adapt`` does. A model has one thread unless ``threads``
    says another number. seed: of the parameters, and of the orders of a shuffling fit. budget: the number of epochs, or
    None if the sweep gives it. name: for tables; it decides nothing.

    A run can't be changed. Runs are equal, and have the same ``key``, if they lead to the same results. Raises
    TypeError or ValueError that names the argument; errors in the text come later.
    """

    mdl: str
    seed: int
    budget: int | None
    name: str | None
    _arguments: str  # as JSON

    def __init__(
        self,
        mdl: str | os.PathLike[str],
        arguments: Mapping[str, Any] = {},
        *,
        seed: int = 0,
        budget: int | None = None,
        name: str | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a text or None, not {brief(name)}")
        self.__dict__.update(
            mdl=text_of(mdl)[0],
            _arguments=as_json(named.checked(arguments)),
            seed=whole_number("seed", seed, least=0),
            budget=None if budget is None else whole_number("budget", budget),
            name=name,
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, in the form that JSON has; a new dict each time."""
        return named.from_json(self._arguments)

    @cached_property
    def key(self) -> str:
        """A text of 32 digits that stands for everything that decides the results."""
        decides = [self.mdl, named.deciding(self.arguments), self.seed, self.budget]
        return hashlib.sha256(as_json(decides).encode()).hexdigest()[:32]

    def replace(self, **changes: Any) -> Run:
        """The same run with other fields: ``run.replace(seed=2, arguments={"batch_size": 8, …})``."""
        for field in changes:
            if field not in _FIELDS:
                raise TypeError(f"a run has no field {field!r}, but {', '.join(_FIELDS)}")
        return Run(**{**self.record(), **changes})

    def record(self) -> dict[str, Any]:
        """The run for JSON."""
        return {field: getattr(self, field) for field in _FIELDS}

    @classmethod
    def from_record(cls, given: Mapping[str, Any]) -> Run:
        """The run that ``record`` wrote. TypeError or ValueError for anything else."""
        if not isinstance(given, Mapping) or not {"mdl"} <= set(given) <= set(_FIELDS):
            raise ValueError(f"a run is a table of {', '.join(_FIELDS)}, not {brief(given)}")
        return cls(**given)

    def __setattr__(self, name: str, value: Any) -> Never:
        raise AttributeError(f"a run can't be changed; run.replace({name}=…) makes another one")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError("a run can't be changed")

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return Run.from_record, (self.record(),)

    def __repr__(self) -> str:
        text = one_line(self.name or shortened(" ".join(self.mdl.split()), _SHOWN))
        budget = "" if self.budget is None else f", budget {self.budget}"
        return f"<neuromorph.Run: {text}, seed {self.seed}{budget}>"
