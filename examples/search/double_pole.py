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


def balanced(control: Control) -> float:
    """The fitness of a controller: for many steps, and little shaking in the last hundred of them.

    From 1 on, it has balanced the poles for a whole trial; 2 is solved.
    """
    state = np.array([0.0, 0.0, 4 * np.pi / 180, 0.0, 0.0, 0.0])
    shaking = np.zeros(STEPS)
    for step in range(STEPS):
        if not moved(state, 10.0 * control(state[::2])):
            still = 0.0 if step < 100 else min(1.0, 0.75 / shaking[step - 100 : step].sum())
            return 0.1 * step / STEPS + 0.9 * min(still, 0.99)
        shaking[step] = np.abs(state[:4]).sum()
    for step in range(STEPS, LONG):
        if not moved(state, 10.0 * control(state[::2])):
            return 1.0 + step / LONG
    return SOLVED


def fitness(model: nm.Model, rng: np.random.Generator) -> float:
    """The fitness of a network of ours."""
    run = nm.stream(model)
    seen, said = np.empty(3, np.float32), np.empty(1, np.float32)

    def control(places: Any) -> float:
        np.divide(places, SCALES, out=seen, casting="same_kind")
        return float(run(seen, out=said)[0])

    return balanced(control)


def ours(seed: int, individuals: int) -> tuple[float, int, bool, str]:
    """The seconds, the networks that were tried, whether it is solved, and the text, with the defaults of ``evolve``."""
    started = time.perf_counter()
    found = search.evolve(
        fitness=fitness, inputs=3, outputs=1, activation="tanh", target=SOLVED, individuals=individuals, seed=seed,
        workers=0, verbosity=0,
    )  # fmt: skip
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
    tried = [0]

    def evaluate(genomes: Any, config: Any) -> None:
        for _, genome in genomes:
            network = neat.nn.RecurrentNetwork.create(genome, config)

            def control(places: Any, network: Any = network) -> float:
                return 2.0 * network.activate((places / SCALES).tolist())[0] - 1.0

            genome.fitness = balanced(control)
            tried[0] += 1

    started = time.perf_counter()
    population = neat.Population(config)
    best = population.run(evaluate, max(1, individuals // config.pop_size))
    return time.perf_counter() - started, tried[0], best is not None and best.fitness >= SOLVED - 0.001


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--individuals", type=int, default=100_000, help="the most networks of a search")
    parser.add_argument("--no-peer", action="store_true", help="leave neat-python out")
    given = parser.parse_args(arguments)
    balanced(lambda places: 0.0)  # compiles the physics
    fitness(nm.build(nm.compile("/xavier,zero/ (i, 3) (o, 1, <tanh>, <mse>)", 1, 0.1, tier="instant")), np.random)
    seconds: list[list[float]] = [[], []]
    for seed in range(given.seeds):
        taken, tried, solved, text = ours(seed, given.individuals)
        seconds[0].append(taken)
        print(f"seed {seed}: evolve {taken:.2f} s, {tried:,} networks, {'solved' if solved else 'not solved'}")
        print(text)
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
