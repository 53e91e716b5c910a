"""Two poles on one cart, balanced by networks that see no velocities: ``evolve`` beside neat-python, in one run.

The benchmark of A. Wieland, "Evolving neural network controllers for unstable systems", IJCNN 1991, with the equations
and the fitness of F. Gruau, D. Whitley and L. Pyeatt, "A comparison between cellular encoding and direct encoding for
genetic neural networks", 1996: a cart of 1 kg on a track of 4.8 m carries poles of 1 m and 0.1 m. The network sees the
place of the cart and both angles every 0.02 s, and says a force within ±10 N. So it needs a memory. A run is solved
when a network balances both poles for 100,000 steps, which is more than half an hour.

    pip install neat-python
    python examples/search/double_pole.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np

import neuromorph as nm
from neuromorph import search

STEPS, LONG = 1_000, 100_000  # of a trial, and of the one that counts as solved
SOLVED = 2.0  # the fitness of a network that is solved
SCALES = np.array([2.4, 0.63, 0.63], np.float32)  # of what networks see

GRAVITY, CART, TRACK, ANGLE = -9.8, 1.0, 2.4, 36 * np.pi / 180
FRICTION = 2e-6  # of the poles' hinges
MASSES, LENGTHS = (0.1, 0.01), (0.5, 0.05)  # of the poles; half their lengths


@numba.njit
def slopes(state: Any, force: float, found: Any) -> None:
    """The derivatives of place, speed, and angle and its speed of both poles."""
    forces, masses = 0.0, CART
    for pole in range(2):
        mass, length, angle, turning = MASSES[pole], LENGTHS[pole], state[2 + 2 * pole], state[3 + 2 * pole]
        sine, cosine = np.sin(angle), np.cos(angle)
        friction = FRICTION * turning / (mass * length)
        forces += mass * length * turning * turning * sine + 0.75 * mass * cosine * (friction + GRAVITY * sine)
        masses += mass * (1.0 - 0.75 * cosine * cosine)
    found[0], found[1] = state[1], (force + forces) / masses
    for pole in range(2):
        mass, length, angle, turning = MASSES[pole], LENGTHS[pole], state[2 + 2 * pole], state[3 + 2 * pole]
        friction = FRICTION * turning / (mass * length)
        found[2 + 2 * pole] = turning
        found[3 + 2 * pole] = -0.75 * (found[1] * np.cos(angle) + GRAVITY * np.sin(angle) + friction) / length


@numba.njit
def moved(state: Any, force: float) -> bool:
    """Move the cart for 0.02 s, by two steps of Runge and Kutta; whether it is on the track and the poles are up."""
    first, second, third, fourth = np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    for _ in range(2):
        slopes(state, force, first)
        slopes(state + 0.005 * first, force, second)
        slopes(state + 0.005 * second, force, third)
        slopes(state + 0.01 * third, force, fourth)
        for place in range(6):
            state[place] += 0.01 / 6.0 * (first[place] + 2.0 * second[place] + 2.0 * third[place] + fourth[place])
    return abs(state[0]) < TRACK and abs(state[2]) < ANGLE and abs(state[4]) < ANGLE


Control = Callable[[Any], float]  # what a network says to the three numbers that it sees, from −1 to 1


def balanced(control: Control, best: float = 0.0) -> float:
    """The fitness of a controller: for many steps, and little shaking in the last hundred of them; at most 1.

    Where it balances the poles for a whole trial, and its fitness is above the best one so far, it is tried for
    100,000 steps. If it balances them so long, the fitness is SOLVED.
    """
    state, shaking = standing(), np.zeros(STEPS)
    for step in range(STEPS):
        if not moved(state, 10.0 * control(state[::2])):
            break
        shaking[step] = np.abs(state[:4]).sum()
    else:
        step = STEPS
    still = 0.0 if step < 100 else min(1.0, 0.75 / shaking[step - 100 : step].sum())
    found = 0.1 * step / STEPS + 0.9 * still
    if step < STEPS or found <= best:
        return found
    for _ in range(STEPS, LONG):
        if not moved(state, 10.0 * control(state[::2])):
            return found
    return SOLVED


def standing() -> Any:
    """The state in which each trial begins: the long pole leans by 4 degrees."""
    return np.array([0.0, 0.0, 4 * np.pi / 180, 0.0, 0.0, 0.0])


class Controller:
    """A network of ours with weights that can be changed, as one array."""

    def __init__(self, model: nm.Model) -> None:
        self.model, self.run = model, nm.stream(model)
        given = model.get_parameters()
        self.shapes = {name: value.shape for name, value in given.items()}
        self.weights = np.concatenate([value.ravel() for value in given.values()]).astype(float)
        self.ends = np.cumsum([value.size for value in given.values()])[:-1]
        self.seen, self.said = np.empty(3, np.float32), np.empty(1, np.float32)

    def __call__(self, places: Any) -> float:
        """The force that the network says."""
        np.divide(places, SCALES, out=self.seen, casting="same_kind")
        return float(self.run(self.seen, out=self.said)[0])

    def fitness(self, weights: Any, best: float = 0.0) -> float:
        """The fitness with these weights, which the network keeps. best: the best fitness so far."""
        parts = zip(np.split(weights, self.ends), self.shapes.items(), strict=True)
        self.model.set_parameters({name: part.reshape(shape) for part, (name, shape) in parts})
        self.run.reset()
        return balanced(self, best)


def fitness(model: nm.Model, rng: np.random.Generator) -> float:
    """The fitness of a network of ours, once a strategy has improved its weights. The best ones stay."""
    controller = Controller(model)
    best, weights = improved(controller.fitness, controller.weights, rng)
    controller.fitness(weights, SOLVED)
    return best


def improved(
    fitness: Callable[[Any, float], float], start: Any, rng: np.random.Generator, most: int = 700, patience: int = 300
) -> tuple[float, Any]:
    """The best fitness of an evolution strategy that adapts the covariance of its steps, and its weights.

    N. Hansen, "The CMA evolution strategy: a tutorial", 2016, without the evolution path of the covariance. It ends
    after ``most`` trials, or ``patience`` without a better one.
    """
    size = len(start)
    count = 4 + int(3 * np.log(size + 1))
    parents = count // 2
    shares = np.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
    shares /= shares.sum()
    mass = 1.0 / np.square(shares).sum()
    slow, learning = (mass + 2) / (size + mass + 5), min(1.0, 2 * mass / ((size + 2) ** 2 + mass))
    usual = np.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))
    mean, covariance, path, width = start.copy(), np.eye(size), np.zeros(size), 3.0
    best, weights, tried, last = fitness(mean, 0.0), mean, 1, 1
    while best < SOLVED and tried < most and tried - last < patience:
        values, axes = np.linalg.eigh(covariance)
        values = np.sqrt(np.maximum(values, 1e-20))
        steps = rng.normal(size=(count, size)) * values @ axes.T
        found = np.array([fitness(mean + width * step, best) for step in steps])
        order = np.argsort(-found)[:parents]
        tried += count
        if found[order[0]] > best:
            best, weights, last = found[order[0]], mean + width * steps[order[0]], tried
        step = shares @ steps[order]
        mean = mean + width * step
        path = (1 - slow) * path + np.sqrt(slow * (2 - slow) * mass) * (axes @ (axes.T @ step / values))
        covariance = (1 - learning) * covariance + learning * (steps[order].T * shares) @ steps[order]
        width = min(30.0, width * np.exp(slow / (1 + slow) * (np.linalg.norm(path) / usual - 1)))
    return best, weights


# What the search starts from: the smallest network that remembers, whose output reads its own last value.
START = "/xavier,zero/ (places, 3) {both, force, concatenate} (force, 1, <tanh>, <mse>)"
TIMES = 8  # it is there so often at first, with other weights each time


def ours(seed: int, individuals: int, grown: bool = False) -> tuple[float, int, bool, str]:
    """The seconds, the networks that were tried, whether it is solved, and the text, with the defaults of ``evolve``.

    grown: whether the first networks are random, and not changed from START.
    """
    first = {"inputs": 3, "outputs": 1, "activation": "tanh"} if grown else {"start": (START,) * TIMES}
    started = time.perf_counter()
    found = search.evolve(
        fitness=fitness, target=SOLVED, individuals=individuals, seed=seed, workers=0, verbosity=0, **first
    )
    return time.perf_counter() - started, len(found), found.best.score == SOLVED, found.best.text


# The configuration of neat-python's own example, single-pole-balancing, for recurrent networks with three inputs.
CONFIG = """
[NEAT]
fitness_criterion = max
fitness_threshold = 1.999
pop_size = 250
reset_on_extinction = 1
no_fitness_termination = False

[DefaultGenome]
num_inputs = 3
num_hidden = 1
num_outputs = 1
initial_connection = partial_direct 0.5
feed_forward = False
compatibility_disjoint_coefficient = 1.0
compatibility_weight_coefficient = 0.6
conn_add_prob = 0.2
conn_delete_prob = 0.2
node_add_prob = 0.2
node_delete_prob = 0.2
activation_default = sigmoid
activation_options = sigmoid
activation_mutate_rate = 0.0
aggregation_default = sum
aggregation_options = sum
aggregation_mutate_rate = 0.0
bias_init_mean = 0.0
bias_init_stdev = 1.0
bias_replace_rate = 0.1
bias_mutate_rate = 0.7
bias_mutate_power = 0.5
bias_max_value = 30.0
bias_min_value = -30.0
response_init_mean = 1.0
response_init_stdev = 0.0
response_replace_rate = 0.0
response_mutate_rate = 0.0
response_mutate_power = 0.0
response_max_value = 30.0
response_min_value = -30.0
weight_max_value = 30
weight_min_value = -30
weight_init_mean = 0.0
weight_init_stdev = 1.0
weight_mutate_rate = 0.8
weight_replace_rate = 0.1
weight_mutate_power = 0.5
enabled_default = True
enabled_mutate_rate = 0.01
single_structural_mutation = false
structural_mutation_surer = default
bias_init_type = gaussian
response_init_type = gaussian
weight_init_type = gaussian
enabled_rate_to_true_add = 0.0
enabled_rate_to_false_add = 0.0

[DefaultSpeciesSet]
compatibility_threshold = 3.0

[DefaultStagnation]
species_fitness_func = max
max_stagnation = 20
species_elitism = 2

[DefaultReproduction]
elitism = 2
survival_threshold = 0.2
min_species_size = 2
"""


def theirs(seed: int, individuals: int, folder: Path) -> tuple[float, int, bool]:
    """The same by neat-python: seconds, networks that were tried, and whether it is solved."""
    import random

    import neat

    path = folder / "config"
    path.write_text(CONFIG)
    random.seed(seed)
    config = neat.Config(
        neat.DefaultGenome, neat.DefaultReproduction, neat.DefaultSpeciesSet, neat.DefaultStagnation, str(path)
    )
    tried, best_so_far = [0], [0.0]

    def evaluate(genomes: Any, config: Any) -> None:
        for _, genome in genomes:
            network = neat.nn.RecurrentNetwork.create(genome, config)

            def control(places: Any, network: Any = network) -> float:
                return 2.0 * network.activate((places / SCALES).tolist())[0] - 1.0

            genome.fitness = balanced(control, best_so_far[0])
            tried[0], best_so_far[0] = tried[0] + 1, max(best_so_far[0], genome.fitness)

    started = time.perf_counter()
    population = neat.Population(config)
    best = population.run(evaluate, max(1, individuals // config.pop_size))
    return time.perf_counter() - started, tried[0], best is not None and best.fitness >= SOLVED - 0.001


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--individuals", type=int, default=100_000, help="the most networks of a search")
    parser.add_argument("--random", action="store_true", help="start from random networks")
    parser.add_argument("--no-peer", action="store_true", help="leave neat-python out")
    given = parser.parse_args(arguments)
    balanced(lambda places: 0.0)  # compiles the physics
    model = nm.build(nm.compile("/xavier,zero/ (i, 3) (o, 1, <tanh>, <mse>)", 1, 0.1, tier="instant"))
    Controller(model).fitness(np.zeros(4))  # loads the machine
    seconds: list[list[float]] = [[], []]
    for seed in range(given.seeds):
        taken, tried, solved, text = ours(seed, given.individuals, given.random)
        seconds[0].append(taken)
        print(f"seed {seed}: evolve {taken:.2f} s, {tried:,} networks, {'solved' if solved else 'not solved'}")
        print(text, flush=True)
        if not given.no_peer:
            with tempfile.TemporaryDirectory() as folder:
                taken, tried, solved = theirs(seed, given.individuals, Path(folder))
            seconds[1].append(taken)
            said = "solved" if solved else "not solved"
            print(f"seed {seed}: neat-python {taken:.2f} s, {tried:,} networks, {said}", flush=True)
    print(f"medians: evolve {median(seconds[0]):.2f} s", end="")
    if seconds[1]:
        print(f", neat-python {median(seconds[1]):.2f} s, ratio {median(seconds[0]) / median(seconds[1]):.3f}", end="")
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
