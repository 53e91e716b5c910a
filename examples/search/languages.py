"""Networks that are exactly right: four tasks of MDLRNN, solved by texts and weights that ``evolve`` finds.

The tasks, the sizes of the training sets and the test ranges are those of N. Lan, M. Geyer, E. Chemla and R. Katzir,
"Minimum Description Length Recurrent Neural Networks", TACL 10 (2022), and of their code,
https://github.com/taucompling/mdlrnn. As there, a network is better if it needs fewer bits for itself and the data
together. Here each individual of the search also improves its weights: by gradients, and by changes of a few at a time.

    python examples/search/languages.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import neuromorph as nm
from neuromorph import search

MOST = 30.0  # the largest weight
CELLS = 40_000  # steps and lanes of a test that are predicted at once
POSSIBLE = 0.005  # a symbol is possible, says a network, if its probability is above this


@dataclass(frozen=True)
class Strings:
    """Strings that begin with an end marker, as arrays: one lane each.

    inputs: (S, B, W). labels: the next symbol (S, B). certain: where only one symbol can follow, (S, B). possible:
    which symbols can follow (S, B, W), or None. counts: how often each string is there, (B,); 0 beyond its end.
    """

    inputs: Any
    labels: Any
    certain: Any
    weights: Any
    possible: Any = None


def strings(rows: Sequence[tuple[int, ...]], symbols: int, chance: int | None = None) -> Strings:
    """Strings of symbols 1, 2, …, each between two markers 0, and how often each occurs.

    chance: the symbol after which it is open what follows; after all others it is certain.
    """
    counted = Counter(rows)
    steps = 1 + max(map(len, counted))
    inputs = np.zeros((steps, len(counted), symbols), np.float32)
    labels, weights = np.zeros((steps, len(counted)), int), np.zeros((steps, len(counted)))
    certain = np.zeros((steps, len(counted)), bool)
    for lane, (row, count) in enumerate(counted.items()):
        end = len(row) + 1
        inputs[np.arange(end), lane, (0, *row)] = 1.0
        labels[:end, lane], weights[:end, lane] = (*row, 0), count
        certain[:end, lane] = [chance is not None and symbol != chance for symbol in (0, *row)]
    return Strings(inputs, labels, certain, weights)


def powers(letters: int, lengths: Sequence[int]) -> Strings:
    """The strings aⁿbⁿ, or aⁿbⁿcⁿ, of some n."""
    return strings([tuple(np.repeat(np.arange(1, letters + 1), n).tolist()) for n in lengths], letters + 1, 1)


def brackets(count: int, rng: np.random.Generator) -> Strings:
    """Strings of Dyck-1: S becomes [S]S with probability 0.3, else nothing; at most 200 brackets."""
    rows: list[tuple[int, ...]] = []
    while len(rows) < count:
        row, stack = [], ["S"]
        while stack and len(row) <= 200:
            top = stack.pop()
            if top != "S":
                row.append(2)
            elif rng.random() < 0.3:
                row.append(1)
                stack += ["S", "]", "S"]
        if len(row) <= 200:
            rows.append(tuple(row))
    found = strings(rows, 3)
    depth = np.cumsum(found.inputs[..., 1] - found.inputs[..., 2], axis=0)
    possible = np.stack([depth == 0, np.ones_like(depth, bool), depth > 0], axis=-1)
    return Strings(found.inputs, found.labels, found.weights > 0, found.weights, possible)


def sums(first: int, after: int) -> Strings:
    """All pairs of numbers from ``first`` to before ``after``, the lowest bit first, and the bits of their sum."""
    one, other = (array.ravel() for array in np.meshgrid(np.arange(first, after), np.arange(first, after)))
    places = np.arange(int(np.ceil(np.log2(2 * after - 2))) + 1)[:, None]
    bits = [(number >> places) & 1 for number in (one, other, one + other)]
    everywhere = np.ones(bits[2].shape)
    return Strings(np.stack(bits[:2], axis=-1).astype(np.float32), bits[2], everywhere > 0, everywhere)


@dataclass(frozen=True)
class Task:
    """A task: the strings to learn from and to test with, and how its networks begin."""

    name: str
    train: Strings
    test: Strings
    loss: str = "cross_entropy"


def task(name: str, size: int | None = None, tests: int | None = None, seed: int = 100) -> Task:
    """A task by its name. size: of the training set, by default the one with which MDLRNN is exact. tests: how many."""
    rng = np.random.default_rng(seed)
    if name == "addition":
        after = int(np.sqrt(size or 400))
        return Task(name, sums(0, after), sums(after + 1, after + 1 + (tests or 250)), "binary_cross_entropy")
    if name == "Dyck-1":
        return Task(name, brackets(size or 500, rng), brackets(tests or 50_000, rng))
    letters = {"anbn": 2, "anbncn": 3}[name]
    lengths = rng.geometric(0.3, size or (100 if letters == 2 else 500)).tolist()
    longer = range(max(lengths) + 1, max(lengths) + 1 + (tests or 1_000))
    return Task(name, powers(letters, lengths), powers(letters, longer))


NAMES = ("anbn", "anbncn", "Dyck-1", "addition")
# What the search starts from: networks with one unit that remembers its last value, and with two.
STARTS = (
    """
/xavier,zero/
(input, {inputs})
{{both, memory, concatenate}}
(memory, 1, <linear>)
(output, {outputs}, <{activation}>, <{loss}>)
""",
    """
/xavier,zero/
(input, {inputs})
{{both, memory, concatenate}}
(memory, 2, <relu>)
{{all, input, concatenate}}
(output, {outputs}, <{activation}>, <{loss}>)
""",
)


# The description length -----------------------------------------------------------------------------------------------


def bits_of_data(model: nm.Model, given: Strings) -> float:
    """The bits that the model needs for the strings: −log2 of the probability of each next symbol."""
    with np.errstate(all="ignore"):
        found = model.predict(given.inputs).astype(np.float64)
        if found.shape[-1] == 1:
            right = np.where(given.labels[..., None] == 1, found, 1.0 - found)[..., 0]
        else:
            right = np.take_along_axis(found, given.labels[..., None], axis=-1)[..., 0]
        bits = np.where(given.weights > 0, -np.log2(np.clip(right, 1e-12, 1.0)), 0.0)
        return float((bits * given.weights).sum())


def bits_of_network(numbers: Any, nodes: int) -> float:
    """The bits of a network: some for each node, and for each weight those of its number of halves, 1 for zero."""
    halves = np.abs(np.round(2.0 * numbers))
    return float(6.0 * nodes + np.where(halves == 0, 1.0, 3.0 + 2.0 * np.floor(np.log2(np.maximum(halves, 1.0)))).sum())


@dataclass(frozen=True)
class Fitness:
    """How good a network is: minus the bits of itself and the data, once its weights have been improved.

    Half of the individuals learn by gradients first. Then all weights are rounded to halves of whole numbers, and some
    at a time are changed by simulated annealing. windows: of learning. tries: changes of weights.
    """

    strings: Strings
    windows: int = 300
    tries: int = 600

    def __call__(self, model: nm.Model, rng: np.random.Generator) -> float:
        """Improve the weights; the fitness of the best ones, which the model has at the end."""
        weights = Weights(model, self.strings)
        numbers = best = weights.rounded()
        now = fittest = weights.fitness(best)
        if rng.random() < 0.5:
            self.learn(model)
            learnt = weights.rounded()
            now, numbers = weights.fitness(learnt), learnt
            if now > fittest:
                fittest, best = now, learnt
        for number in range(self.tries):
            heat = 20.0 * (1.0 - number / self.tries) ** 2
            other = changed(numbers, rng)
            found = weights.fitness(other)
            if found >= now or rng.random() < np.exp((found - now) / max(heat, 1e-9)):
                now, numbers = found, other
                if found > fittest:
                    fittest, best = found, other
        return weights.fitness(best)

    def learn(self, model: nm.Model) -> None:
        """Some windows of gradients, each over all strings."""
        given = self.strings
        expected = given.labels if model.output_width > 1 else given.labels[..., None]
        try:
            for _ in range(self.windows):
                model.train(given.inputs, expected, 0, sample_weight=given.weights / given.weights.mean())
        except nm.TrainingDivergedError:
            pass  # the weights are those before


class Weights:
    """The weights of a model as one array of halves of whole numbers."""

    def __init__(self, model: nm.Model, given: Strings) -> None:
        self.model, self.given = model, given
        self.shapes = {name: value.shape for name, value in model.get_parameters().items()}
        self.ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])[:-1]

    def rounded(self) -> Any:
        """The weights that the model has, rounded."""
        numbers = np.concatenate([value.ravel() for value in self.model.get_parameters().values()])
        return np.clip(np.round(2.0 * numbers) / 2.0, -MOST, MOST)

    def fitness(self, numbers: Any) -> float:
        """Give the model these weights; minus the bits of the network and the data."""
        parts = zip(np.split(numbers, self.ends), self.shapes.items(), strict=True)
        self.model.set_parameters({name: part.reshape(shape) for part, (name, shape) in parts})
        return -bits_of_data(self.model, self.given) - bits_of_network(numbers, len(self.model.graph.nodes))


def changed(numbers: Any, rng: np.random.Generator) -> Any:
    """Weights of which one or a few are others."""
    other = numbers.copy()
    for place in rng.integers(len(numbers), size=rng.geometric(0.6)):
        way = rng.random()
        if way < 0.15:
            other[place] = 0.0
        elif way < 0.25:
            other[place] *= -1.0
        elif way < 0.35:
            other[place] = numbers[rng.integers(len(numbers))] * rng.choice([-1.0, 1.0])
        elif way < 0.5:
            other[place] = 2.0 * other[place] if rng.random() < 0.5 else np.round(other[place]) / 2.0
        else:
            other[place] += rng.choice([-3.0, -1.0, -0.5, 0.5, 1.0, 3.0])
    return np.clip(other, -MOST, MOST)


# The test -------------------------------------------------------------------------------------------------------------


def accuracy(model: nm.Model, given: Strings) -> float:
    """The share of right steps.

    Where it is known which symbols may follow, a step is right if the network holds these for possible and no others;
    else the steps at which only one symbol can follow are counted.
    """
    lanes = max(1, CELLS // len(given.inputs))
    right = total = 0.0
    for start in range(0, given.inputs.shape[1], lanes):
        part = slice(start, start + lanes)
        found = model.predict(np.ascontiguousarray(given.inputs[:, part]))
        if given.possible is not None:
            good = ((found > POSSIBLE) == given.possible[:, part]).all(axis=-1)
        elif found.shape[-1] == 1:
            good = (found[..., 0] > 0.5) == (given.labels[:, part] == 1)
        else:
            good = found.argmax(axis=-1) == given.labels[:, part]
        counts = given.weights[:, part] * given.certain[:, part]
        right, total = right + (good * counts).sum(), total + counts.sum()
    return right / total


# The search -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What a search has found. seconds: of the search. train, test: the accuracies. individuals: how many were made."""

    model: nm.Model
    bits: float
    seconds: float
    train: float
    test: float
    individuals: int


def solve(given: Task, *, seed: int, individuals: int, seconds: float | None, workers: int | None) -> Found:
    """Search for a network. Only the training strings are seen."""
    symbols, softmax = given.train.inputs.shape[-1], given.loss == "cross_entropy"
    outputs, activation = (symbols, "softmax") if softmax else (1, "sigmoid")
    starts = [text.format(inputs=symbols, outputs=outputs, activation=activation, loss=given.loss) for text in STARTS]
    started = time.perf_counter()
    found = search.evolve(
        fitness=Fitness(given.train), start=starts, individuals=individuals, seconds=seconds, seed=seed,
        workers=workers, population=100, tournament=4, steps=search.Steps(alone=0.4, deviation=0.0), chunk=2,
        arguments={
            "batch_size": given.train.inputs.shape[1], "bptt_steps": len(given.train.inputs), "learning_rate": 0.03,
            "optimizer": "adam", "tier": "instant",
        },
        limits=search.Limits(nodes=10, parameters=50, multiplications=60, width=symbols + 3, delay=1),
        choices=search.Choices(
            activations=("linear", "relu", "binary_step"), merges=("additive", "concatenate", "multiplicative"),
            elementwise=(), cells=(),
        ),
    )  # fmt: skip
    best, taken = found.best, time.perf_counter() - started
    model = found.model(batch_size=1)
    return Found(model, -best.score, taken, accuracy(model, given.train), accuracy(model, given.test), len(found))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", default=",".join(NAMES), help="with commas")
    parser.add_argument("--seed", type=int, default=1, help="of the first search (default: 1)")
    parser.add_argument("--searches", type=int, default=2, help="for each task (default: 2)")
    parser.add_argument("--individuals", type=int, default=1_500)
    parser.add_argument("--seconds", type=float, help="the most for a search")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--tests", type=int, help="fewer test strings than MDLRNN's")
    given = parser.parse_args(arguments)
    if unknown := set(given.tasks.split(",")) - set(NAMES):
        parser.error(f"--tasks: {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    options = {"individuals": given.individuals, "seconds": given.seconds, "workers": given.workers}
    for name in given.tasks.split(","):
        one, solved = task(name, tests=given.tests), 0
        for seed in range(given.seed, given.seed + given.searches):
            found = solve(one, seed=seed, **options)
            solved += found.test == 1.0
            print(
                f"{name}, seed {seed}: {found.test:.2%} of the test, {found.train:.2%} of the training set, "
                f"{found.bits:.0f} bits, {found.individuals:,} individuals, {found.seconds:.0f} s"
            )
            print(found.model.text)
            for role, value in found.model.get_parameters().items():
                print(f"  {role} = {(value + 0.0).tolist()}")
        print(f"{name}: solved by {solved} of {given.searches}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
