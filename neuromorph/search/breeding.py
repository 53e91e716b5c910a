"""Makes the individuals of a search: random ones at first, then children of the better ones that live."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np

from ..graph import build_graph
from ..host.frozen import frozen
from .crossing import crossed
from .evaluation import Steps, Task
from .genome import Genome, SearchError
from .individuals import Individual, Parameters, rank
from .limits import size_of
from .operations import Operation
from .printing import to_model
from .reading import read
from .setting import Setting, drawn
from .variation import grown, varied

_MOST_CHANGES = 12  # of a random text
_SEEDS = 2**32


@frozen
class Made:
    """An individual that is not evaluated yet."""

    individual: Individual
    genome: Genome
    task: Task


class Member:
    """An individual that lives. Its genome and its parameters are read when they are needed, if they are not given."""

    def __init__(
        self,
        individual: Individual,
        genome: Genome | None,
        parameters: Parameters | None,
        load: Callable[[int], Parameters],
    ) -> None:
        self.individual = individual
        self._genome, self._parameters, self._load = genome, parameters, load

    @property
    def genome(self) -> Genome:
        if self._genome is None:
            self._genome = read(self.individual.text)
        return self._genome

    @property
    def held(self) -> Parameters | None:
        """The parameters, if they are in memory."""
        return self._parameters

    @property
    def parameters(self) -> Parameters:
        if self._parameters is None:
            self._parameters = self._load(self.individual.number)
        return self._parameters


@frozen
class Breeding:
    """How individuals are made; see the arguments of `evolve`.

    start: the first individuals, or, if ``is_grown``, the one genome that random ones grow from. Every individual has a
    random generator of its own, made of the search's seed and its number.
    """

    seed: int
    start: Sequence[Genome]
    is_grown: bool
    population: int
    tournament: int
    crossover: float
    changes: int
    inherit: bool
    steps: Steps | None
    setting: Setting
    operations: Mapping[str, Operation]
    larger: bool

    def check(self) -> None:
        """Raise SearchError if no operation applies to any of the texts to start with."""
        rng, trouble = np.random.default_rng(self.seed), None
        for genome in self.start:
            try:
                self._mutated(genome, rng)
                return
            except SearchError as error:
                trouble = error
        raise SearchError(f"no text to start with can be changed: {trouble}")

    def make(self, number: int, living: deque[Member]) -> Made:
        """The individual of a number, from those that live."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))
        seed = int(rng.integers(_SEEDS))
        if number < self.population or not living:
            return self._first(number, seed, rng)
        parent = self._chosen(rng, living)
        if self.steps is not None and rng.random() < self.steps.alone:
            return self._made(number, seed, parent.genome, "weights", (parent,))
        if rng.random() < self.crossover:
            other = self._chosen(rng, living)
            try:
                found = crossed(parent.genome, other.genome, rng, self.setting)
                return self._made(number, seed, found, "crossover", (parent, other))
            except SearchError:  # nothing of the other one fits
                pass
        try:
            found, operation = self._mutated(parent.genome, rng)
        except SearchError:  # no operation fits: the text stays, and trains on
            found, operation = parent.genome, "weights"
        return self._made(number, seed, found, operation, (parent,))

    def _first(self, number: int, seed: int, rng: np.random.Generator) -> Made:
        """An individual without parents."""
        if not self.is_grown and number < len(self.start):
            return self._made(number, seed, self.start[number], "start", ())
        genome = drawn(rng, self.start)
        if not self.is_grown:
            with suppress(SearchError):  # this one can't be changed, but others can
                genome = self._mutated(genome, rng)[0]
            return self._made(number, seed, genome, "random", ())
        count = drawn(rng, range(1, 1 + _MOST_CHANGES))
        return self._made(number, seed, grown(genome, rng, count, self.setting, self.operations), "random", ())

    def _mutated(self, genome: Genome, rng: np.random.Generator) -> tuple[Genome, str]:
        """A genome after one operation or more, and their names."""
        names = []
        for _ in range(drawn(rng, range(1, 1 + self.changes))):
            genome, name = varied(genome, rng, self.setting, self.operations)
            names.append(name)
        return genome, ", ".join(names)

    def _chosen(self, rng: np.random.Generator, living: deque[Member]) -> Member:
        """The best of some that are drawn."""
        places = rng.choice(len(living), size=min(self.tournament, len(living)), replace=False)
        return min((living[int(place)] for place in places), key=lambda one: rank(one.individual, larger=self.larger))

    def _made(self, number: int, seed: int, genome: Genome, operation: str, parents: tuple[Member, ...]) -> Made:
        model = to_model(genome)
        graph = build_graph(model)
        numbers = tuple(dict.fromkeys(one.individual.number for one in parents))
        individual = Individual(number, graph.text, size_of(graph), numbers, operation)
        known = tuple((one.individual.text, one.parameters) for one in parents) if self.inherit else ()
        return Made(individual, genome, Task(number, graph.text, seed, known))
