"""A contestant's process: reads a task and then orders as lines of JSON on stdin, answers each with a line on stdout.

Started by ``processes.Process`` as ``python -m peers.worker``. Whatever else a library prints goes to stderr.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .engine import Engine, Task


def main() -> None:
    """Serve until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve: Callable[[dict[str, Any]], object] = _Server().serve
    for line in sys.stdin:
        try:
            answer = {"ok": serve(json.loads(line))}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class _Server:
    """Does what the orders say. One library has all its ways to write a case here, each with a number."""

    def __init__(self) -> None:
        self.engines: dict[int, Engine] = {}

    def serve(self, order: dict[str, Any]) -> object:
        """An order's answer."""
        if order["do"] == "peak":
            from neuromorph.inspection import fma_peak

            return [fma_peak(threads) for threads in order["threads"]]
        if order["do"] == "clear":
            return self.clear()
        if order["do"] == "first run":
            return first_run(Task.from_json(order["task"]))
        number = order["number"]
        if order["do"] == "prepare":
            engine = start(Task.from_json(order["task"]))
            prepared = engine.prepare()
            self.engines[number] = engine
            return asdict(prepared)
        if order["do"] == "drop":
            return self.engines.pop(number, None) is not None
        return asdict(self.engines[number].run())

    def clear(self) -> int:
        """Forget all engines, and what JAX and PyTorch have compiled for them; how many there were."""
        count = len(self.engines)
        self.engines.clear()
        if "jax" in sys.modules:
            sys.modules["jax"].clear_caches()
        if "torch._dynamo" in sys.modules:  # else it counts what it has compiled for one graph against the next
            sys.modules["torch._dynamo"].reset()
        gc.collect()
        return count


def first_run(task: Task) -> float:
    """Seconds from a model that is new to its library to the end of its first training call."""
    started = time.perf_counter()
    start(task).first_run()
    return time.perf_counter() - started


def start(task: Task) -> Engine:
    """The task's engine; its library is imported only now, when the threads that it may use are settled."""
    if task.engine == "neuromorph":
        from .own import Own

        return Own(task)
    limit_threads(task.threads)
    if task.engine.startswith("jax"):
        from .jax_peer import Jax, JaxMany

        return Jax(task) if task.models == 1 else JaxMany(task)
    from .torch_peer import Torch

    return Torch(task)


def limit_threads(threads: int) -> None:
    """No more cores than threads (JAX has a thread for each core that it may run on), and as many for OpenMP."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


if __name__ == "__main__":
    main()
