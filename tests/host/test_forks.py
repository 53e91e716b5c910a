"""Forks beside threads that are inside any call: no lock stays taken in the child, and every process goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")

LIMIT = 200  # seconds

CALLS = """
import copy, multiprocessing, os, pickle, random, signal, sys, threading, time, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
import numpy as np
import neuromorph as nm

TEXT = "/xavier,zero/ (input, 3) {seen, a, concatenate} (a, 4, <tanh>) (output, 2, <linear>, <mse>)"
X, Y = np.ones((16, 2, 3), np.float32), np.ones((16, 2, 2), np.float32)

def built():
    return nm.build(nm.compile(TEXT, 2, 0.1, threads=1))

shared = built()
shared.save("shared.safetensors")

def seed():
    nm.seed(3)
    nm.seed()

CALLS = {
    "build": built,
    "copy": lambda: copy.deepcopy(shared),
    "pickle": lambda: pickle.loads(pickle.dumps(shared)),
    "seed": seed,
    "stream": lambda: nm.stream(built())(X[0, 0]),
    "load": lambda: nm.load("shared.safetensors"),
    "clear_cache": nm.clear_cache,
    "fit": lambda: built().fit(X, Y, epochs=2, progress=True),
    "predict": lambda: shared.predict(X),
}

def call_all():
    for call in CALLS.values():
        call()
"""

FORKS = """
call_all()  # compiles what all processes need
for name in sys.argv[1:]:
    def work(call=CALLS[name]):
        while True:
            call()
    threading.Thread(target=work, daemon=True).start()
rng = random.Random(1)
for number in range(8):
    time.sleep(0.01 * rng.random())
    child = os.fork()
    if not child:
        signal.alarm(30)  # ends a child that hangs
        try:
            call_all()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
os._exit(0)
"""


def output_of(code: str, folder: Path, *words: str) -> list[str]:
    """What a new process prints in a folder of its own; it ends by itself and says nothing on stderr."""
    environment = {**os.environ, "NEUROMORPH_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-c", f"{CALLS}\n{code}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=folder, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_children_forked_beside_every_kind_of_call_go_on(tmp_path: Path) -> None:
    kinds = ("build", "copy", "pickle", "seed", "stream", "load", "clear_cache", "fit")
    assert output_of(FORKS, tmp_path, *kinds) == ["0"] * 8


POOLS = """
def work(number):
    return pickle.loads(pickle.dumps(built()))

if __name__ == "__main__":
    call_all()
    # Each result is unpickled in one thread of the parent while another one starts the next worker.
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        models = pool.map_async(work, range(12), chunksize=1).get(100)
    print(len({model.get_parameters()["a.weight"].tobytes() for model in models}))
"""


def test_a_pool_that_forks_while_it_takes_models_back(tmp_path: Path) -> None:
    """Without a seed, each worker draws parameters of its own."""
    assert output_of(POOLS, tmp_path) == ["12"]


SEEDED = """
def drawn(more=None):
    child = os.fork()
    if not child:
        print(built().get_parameters()["a.weight"][0, 0], flush=True)
        if more:
            more()
        os._exit(0)
    os.waitpid(child, 0)

for value in (None, 5, 5):
    nm.seed(value)
    for _ in range(2):
        drawn()
    drawn(drawn)
nm.seed(5)
print(built().get_parameters()["a.weight"][0, 0], flush=True)
nm.seed()
for _ in range(3):
    nm.load("shared.safetensors")  # which restores the generator in the parent
    drawn()
"""


def test_no_two_forked_processes_draw_alike_and_a_seed_repeats_what_all_draw(tmp_path: Path) -> None:
    lines = output_of(SEEDED, tmp_path)
    fresh, seeded, again, parent, loaded = lines[:4], lines[4:8], lines[8:12], lines[12], lines[13:]
    assert seeded == again
    assert len({*fresh, *seeded, parent, *loaded}) == 4 + 4 + 1 + 3


WORKER = """
import neuromorph as nm

TEXT = "/xavier,zero/ (input, 3) (output, 2, <linear>, <mse>)"

def work(number):
    return nm.build(nm.compile(TEXT, 2, 0.1))
"""
OTHER_POOLS = """
sys.path.insert(0, ".")
from worker import work

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print(len({model.get_parameters()["output.weight"].tobytes() for model in pool.map(work, range(4))}))
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_other_pools_take_models_back(method: str, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    (tmp_path / "script.py").write_text(f"import multiprocessing, sys\n{OTHER_POOLS}")
    command = [sys.executable, "script.py", method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "4\n")


FIRST_CALLS = """
import os, signal, sys, threading, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
from neuromorph.host import cpu

def ask():
    cpu.cpu.cache_clear()
    return cpu.cpu()

def ask_for_ever():
    while True:
        ask()

threading.Thread(target=ask_for_ever, daemon=True).start()
for number in range(10):
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends a child that hangs
        ask()
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
os._exit(0)
"""


def test_children_forked_while_llvm_is_asked_for_the_processor_go_on() -> None:
    """It is asked in the first call that needs kernels."""
    done = subprocess.run([sys.executable, "-c", FIRST_CALLS], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", ["0"] * 10)
