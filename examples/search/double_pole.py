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

GRAVITY, CART, TRACK, ANGLE = -9.8, 1.0, 2.4, 36 * np.pi / 180
FRICTION = 2e-6  # of the poles' hinges
MASSES, LENGTHS = (0.1, 0.01), (0.5, 0.05)  # of the poles; half their lengths


@numba.njit
def slopes(state: Any, force: float) -> tuple[float, float, float, float, float, float]:
    """The derivatives of place, speed, and angle and its speed of both poles."""
    _, speed, one, one_turning, other, other_turning = state
    one_sine, one_cosine, other_sine, other_cosine = np.sin(one), np.cos(one), np.sin(other), np.cos(other)
    one_pull = FRICTION * one_turning / (MASSES[0] * LENGTHS[0]) + GRAVITY * one_sine
    other_pull = FRICTION * other_turning / (MASSES[1] * LENGTHS[1]) + GRAVITY * other_sine
    forces = (
        force
        + MASSES[0] * (LENGTHS[0] * one_turning * one_turning * one_sine + 0.75 * one_cosine * one_pull)
        + MASSES[1] * (LENGTHS[1] * other_turning * other_turning * other_sine + 0.75 * other_cosine * other_pull)
    )
    masses = (
        CART
        + MASSES[0] * (1.0 - 0.75 * one_cosine * one_cosine)
        + MASSES[1] * (1.0 - 0.75 * other_cosine * other_cosine)
    )
    faster = forces / masses
    return (
        speed,
        faster,
        one_turning,
        -0.75 * (faster * one_cosine + one_pull) / LENGTHS[0],
        other_turning,
        -0.75 * (faster * other_cosine + other_pull) / LENGTHS[1],
    )


@numba.njit
def along(state: Any, slope: Any, time: float) -> tuple[float, float, float, float, float, float]:
    """The state after some time with this slope."""
    return (
        state[0] + time * slope[0],
        state[1] + time * slope[1],
        state[2] + time * slope[2],
        state[3] + time * slope[3],
        state[4] + time * slope[4],
        state[5] + time * slope[5],
    )


@numba.njit
def moved(state: Any, force: float) -> tuple[float, float, float, float, float, float]:
    """The state after 0.02 s, by two steps of Runge and Kutta."""
    for _ in range(2):
        first = slopes(state, force)
        second = slopes(along(state, first, 0.005), force)
        third = slopes(along(state, second, 0.005), force)
        fourth = slopes(along(state, third, 0.01), force)
        for slope, weight in ((first, 1.0), (second, 2.0), (third, 2.0), (fourth, 1.0)):
            state = along(state, slope, weight * 0.01 / 6.0)
    return state


@numba.njit
def is_up(state: Any) -> bool:
    """Whether the cart is on the track and the poles are up."""
    return abs(state[0]) < TRACK and abs(state[2]) < ANGLE and abs(state[4]) < ANGLE


def balanced(control: Callable[[int], int], argument: int, seen: Any, said: Any, best: float) -> float:
    """The fitness of a controller: for many steps, and little shaking in the last hundred of them; at most 1.

    ``control(argument)`` reads ``seen``, and writes a number from −1 to 1 to ``said``. Where it balances the poles for
    a whole trial, and its fitness is above the best one so far, it is tried for 100,000 steps. If it balances them so
    long, the fitness is SOLVED.
    """
    state, shaking, done = (0.0, 0.0, 4 * np.pi / 180, 0.0, 0.0, 0.0), np.zeros(STEPS), STEPS  # the long pole leans
    for step in range(STEPS):
        seen[0], seen[1], seen[2] = state[0] / TRACK, state[2] / ANGLE, state[4] / ANGLE
        control(argument)
        state = moved(state, 10.0 * said[0])
        if not is_up(state):
            done = step
            break
        shaking[step] = abs(state[0]) + abs(state[1]) + abs(state[2]) + abs(state[3])
    still = 0.0
    if done >= 100:
        still = min(1.0, 0.75 / shaking[done - 100 : done].sum())
    found = 0.1 * done / STEPS + 0.9 * still
    if done < STEPS or found <= best:
        return found
    for _ in range(STEPS, LONG):
        seen[0], seen[1], seen[2] = state[0] / TRACK, state[2] / ANGLE, state[4] / ANGLE
        control(argument)
        state = moved(state, 10.0 * said[0])
        if not is_up(state):
            return found
    return SOLVED


compiled_balanced = numba.njit(balanced)  # for all our networks; neat-python's are Python, and so is their loop


class Controller:
    """A network of ours in the compiled simulation, with parameters that can be changed, as one array."""

    def __init__(self, model: nm.Model) -> None:
        self.model, self.step = model, nm.stream(model).compiled_step()
        self.call = self.step.function, self.step.argument, self.step.x, self.step.y
        self.parameters = self.step.get_vector().astype(float)

    def fitness(self, parameters: Any, best: float = 0.0) -> float:
        """The fitness with these parameters. best: the best fitness so far."""
        self.step.set_vector(parameters)
        self.step.reset()
        return float(compiled_balanced(*self.call, best))

    def keep(self, parameters: Any) -> None:
        """Give the model these parameters."""
        given = self.model.get_parameters()
        parts = np.split(parameters, np.cumsum([value.size for value in given.values()])[:-1])
        pairs = zip(given.items(), parts, strict=True)
        self.model.set_parameters({name: part.reshape(value.shape) for (name, value), part in pairs})


def fitness(model: nm.Model, rng: np.random.Generator) -> float:
    """The fitness of a network of ours, once a strategy has improved its weights. The best ones stay."""
    controller = Controller(model)
    best, parameters = improved(controller.fitness, controller.parameters, rng)
    controller.keep(parameters)
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
            seen, said = [0.0] * 3, [0.0]

            def control(_: int, network: Any = network, seen: Any = seen, said: Any = said) -> int:
                said[0] = 2.0 * network.activate(seen)[0] - 1.0
                return 0

            genome.fitness = balanced(control, 0, seen, said, best_so_far[0])
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
    balanced(lambda argument: 0, 0, [0.0] * 3, [0.0], 0.0)  # compiles the physics
    model = nm.build(nm.compile("/xavier,zero/ (i, 3) (o, 1, <tanh>, <mse>)", 1, 0.1, tier="instant"))
    Controller(model).fitness(np.zeros(4))  # loads the machine, and compiles the trial
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
