"""Individuals of a search, and what a search has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from numpy.typing import NDArray

from ..host.frozen import frozen
from ..model import Model, compile_model
from ..options import whole_number
from .genome import SearchError
from .limits import Size

DONE, STOPPED, FAILED = "done", "stopped", "failed"
Parameters = Mapping[str, NDArray[Any]]


@frozen
class Individual:
    """One network of a search.

    number: from 0, in the order in which texts were made. score: None if it failed. state: "done"; "stopped" if it was
    among the worse ones at the end of a rung; "failed" if it diverged or was ended. parents: the numbers of those that
    it comes from. operation: what made it of them: "random", "start", "weights" (the same text with other parameters,
    also where no operation fits), "crossover", or the names of operations. epochs: that it was trained for. seconds: of
    its evaluation.
    """

    number: int
    text: str
    size: Size
    parents: tuple[int, ...]
    operation: str
    score: float | None = None
    state: str = DONE
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""

    def __repr__(self) -> str:
        shown = self.state if self.score is None else f"score {self.score:.6g}"
        return f"<individual {self.number}: {shown}, {self.size.nodes} nodes, {self.size.parameters:,} parameters>"


class Evolution(Sequence[Individual]):
    """What a search has found: its individuals in the order in which they were made.

    score: the name of what is measured. larger: whether larger scores are better. ended: why the search has ended.
    seconds: how long it took; 0 if that is not known.
    """

    def __init__(
        self,
        individuals: Iterable[Individual],
        *,
        score: str,
        larger: bool,
        ended: str,
        arguments: Mapping[str, Any],
        seconds: float,
        parameters: Callable[[int], Parameters],
    ) -> None:
        self._individuals = tuple(individuals)
        self.score, self.larger, self.ended, self.seconds = score, larger, ended, seconds
        self._arguments, self._parameters = dict(arguments), parameters

    def __len__(self) -> int:
        return len(self._individuals)

    @overload
    def __getitem__(self, index: int) -> Individual: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Individual, ...]: ...
    def __getitem__(self, index: int | slice) -> Individual | tuple[Individual, ...]:
        return self._individuals[index]

    def __repr__(self) -> str:
        best = self._best()
        shown = "none has a score" if best is None else f"best {self.score} {best.score:.6g}"
        return f"<neuromorph.search.Evolution: {len(self):,} individuals, {shown}, {self.ended}>"

    @property
    def best(self) -> Individual:
        """The individual with the best score; of several, the one with the fewest parameters. SearchError if none has a
        score."""
        found = self._best()
        if found is None:
            errors = [one.error for one in self._individuals if one.error]
            raise SearchError(f"no individual has a score{f'; the last error: {errors[-1]}' if errors else ''}")
        return found

    def _best(self) -> Individual | None:
        done = [one for one in self._individuals if one.score is not None and one.state == DONE]
        return min(done, key=lambda one: rank(one, larger=self.larger), default=None)

    @property
    def front(self) -> tuple[Individual, ...]:
        """The individuals than which no smaller one is as good, by their parameters, the smallest first."""
        done = [one for one in self._individuals if one.score is not None and one.state == DONE]
        found: list[Individual] = []
        for one in sorted(done, key=lambda one: (one.size.parameters, *rank(one, larger=self.larger))):
            if not found or rank(one, larger=self.larger)[0] < rank(found[-1], larger=self.larger)[0]:
                found.append(one)
        return tuple(found)

    def ancestors(self, individual: Individual | int) -> tuple[Individual, ...]:
        """An individual and all that it comes from, in the order in which they were made. IndexError for a number that
        no individual has."""
        found, waiting = set[int](), [self._number(individual)]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting.extend(self._individuals[number].parents)
        return tuple(self._individuals[number] for number in sorted(found))

    def model(self, individual: Individual | int | None = None, **changes: Any) -> Model:
        """A built model with the text and the parameters of an individual: the best one by default.

        changes: arguments of ``compile`` that shall differ from those of the search, such as ``batch_size=1`` or
        ``tier="auto"``. Raises IndexError for a number that no individual has, SearchError if its parameters were not
        kept: those of the best one are, and of the individuals that lived when the search ended; with a store, those of
        all.
        """
        number = self._number(self.best if individual is None else individual)
        parameters = self._parameters(number)
        made = compile_model(self._individuals[number].text, **{**self._arguments, **changes}).build(seed=0)
        made.set_parameters(parameters)
        return made

    def _number(self, individual: Individual | int) -> int:
        """The number of an individual of this search."""
        number = (
            individual.number if isinstance(individual, Individual) else whole_number("individual", individual, least=0)
        )
        if number >= len(self):
            raise IndexError(f"there is no individual {number}: the search has {len(self):,}, from 0 on")
        return number

    def __iter__(self) -> Iterator[Individual]:
        return iter(self._individuals)


def rank(one: Individual, *, larger: bool) -> tuple[float, int, int]:
    """What individuals with scores are sorted by, the best first: the score, then the parameters, then the number."""
    assert one.score is not None
    return (-one.score if larger else one.score), one.size.parameters, one.number
