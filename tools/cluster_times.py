"""How well workers of a Dask cluster share one model's training, and how long an average takes.

    python tools/cluster_times.py                 # two workers on this machine, and a forecast for more machines
    python tools/cluster_times.py --workers 4 --width 64 --rounds 9

One process trains the whole batch, then the workers train it, each half of the lanes (or its part of them), in turns;
figures are those of the best round. The efficiency is the time of one process divided by the workers' time and their
number. The forecast is that of ``predicted``, with the figures that were measured here.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import neuromorph as nm

LANES = 32
SIZES = (1_000, 10_000, 100_000, 1_000_000)  # bytes of an average
MACHINES = (2, 4, 16, 64)


def text(width: int) -> str:
    """A model of about a millisecond a window at width 64."""
    return f"/xavier,zero/ (x, 16) (h, {width}, <lstm>) (y, 8, <linear>, <mse>)"


def made(width: int, steps: int) -> nm.Model:
    """A built model for windows of so many steps; all lanes, one thread."""
    model = nm.compile(text(width), LANES, 0.01, bptt_steps=steps, threads=1, tier="compiled")
    return nm.build(model, seed=1)


# What an average costs ------------------------------------------------------------------------------------------------


def exchange_seconds(size: int, rounds: int = 400) -> float:
    """The median time in which two processes on this machine add up buffers of so many bytes."""
    from neuromorph.distributed.listener import Listener
    from neuromorph.distributed.mesh import Mesh

    listeners = [Listener(socket.create_server(("127.0.0.1", 0)), "127.0.0.1", bytes(32)) for _ in range(2)]
    places = [("127.0.0.1", listener.port) for listener in listeners]
    child = os.fork()
    rank = 1 if child == 0 else 0
    mesh = Mesh(listeners[rank], places, rank, bytes(32), 0)
    buffer = np.zeros(-(-size // 8) * 8, np.uint8)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        mesh.add(buffer, [buffer.view(np.float32)])
        times.append(time.perf_counter() - started)
    if child == 0:
        os._exit(0)
    mesh.close()
    os.waitpid(child, 0)
    return statistics.median(times)


@dataclass(frozen=True)
class Costs:
    """What a run costs beside its kernels. own: seconds of an update for everything else that a worker does.

    latency: seconds of an exchange of few bytes between two machines. bandwidth: bytes a second.
    """

    own: float
    latency: float
    bandwidth: float


def rounds_of(machines: int) -> int:
    """The exchanges of an average, one after the other."""
    whole = machines.bit_length() - 1
    return whole if machines == 1 << whole else whole + 2


def predicted(window: float, machines: int, size: int, costs: Costs, every: int = 1) -> float:
    """The efficiency of machines that share a window of so many seconds.

    size: bytes of an average. every: updates between two averages.
    """
    average = rounds_of(machines) * (costs.latency + size / costs.bandwidth)
    return window / machines / (window / machines + costs.own + average / every)


# What is measured on a cluster here -----------------------------------------------------------------------------------


def alone(model: nm.Model, data: tuple[np.ndarray, np.ndarray]) -> float:
    """Seconds of an epoch in one process."""
    started = time.perf_counter()
    model.fit(*data, epochs=1, progress=False)
    return time.perf_counter() - started


def together(run: Sequence[object], every: int) -> float:
    """Seconds of the quickest of three epochs on a cluster. run: client, model and data."""
    from neuromorph import distributed

    client, model, data = run
    history = distributed.fit(client, model, *data, epochs=4, sync_every=every, progress=False)
    return min(history.seconds[1:])


def measured(workers: int, width: int, steps: int, windows: int, rounds: int, evers: Sequence[int]) -> None:
    """Print the efficiency of workers on this machine."""
    from distributed import Client, LocalCluster

    rng = np.random.default_rng(0)
    data = rng.normal(size=(windows * steps, LANES, 16)).astype(np.float32), np.zeros((windows * steps, LANES, 8))
    data = data[0], (np.tanh(data[0][..., :8]) * 0.5).astype(np.float32)
    one, best = made(width, steps), float("inf")
    models, found = {every: made(width, steps) for every in evers}, dict.fromkeys(evers, float("inf"))
    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        for _ in range(rounds):
            for _ in range(3):
                best = min(best, alone(one, data))
            for every, model in models.items():
                found[every] = min(found[every], together((client, model, data), every))
    learnt = sum(value.size for value in one.get_parameters().values())
    print(f"{learnt:,} parameters, {1e3 * best / windows:.3f} ms a window in one process, {workers} workers")
    for every, seconds in found.items():
        efficiency = best / (workers * seconds)
        print(f"sync_every={every:<3} {1e3 * seconds / windows:.3f} ms a window, efficiency {efficiency:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16, help="of a window (default: 16)")
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, nargs="+", default=[1, 4, 16])
    given = parser.parse_args()
    measured(given.workers, given.width, given.steps, given.windows, given.rounds, given.every)
    times = {size: exchange_seconds(size) for size in SIZES}
    for size, seconds in times.items():
        print(f"two processes add up {size:>9,} bytes in {1e6 * seconds:,.0f} µs")
    print("forecast: efficiency of machines that share a window of 1 ms or 20 ms, 10,000 parameters in 40 kB, by")
    print("exchanges of 16 µs (one machine), 100 µs (a local network of 10 Gbit/s), 1 ms")
    for latency, bandwidth in ((16e-6, 3e9), (100e-6, 1e9), (1e-3, 1e8)):
        for window in (1e-3, 20e-3):
            for every in (1, 16):
                costs = Costs(3e-5, latency, bandwidth)
                row = [f"{predicted(window, count, 40_000, costs, every):.2f}" for count in MACHINES]
                print(f"{1e6 * latency:5.0f} µs, {1e3 * window:3.0f} ms, sync_every={every:<2}", *row)


if __name__ == "__main__":
    main()
