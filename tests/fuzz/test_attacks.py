"""Forks and interrupts at any moment, and ten thousand cycles of a model's life.

Short in each run of the tests; ``NEUROMORPH_NIGHTLY=30 python -m pytest tests/fuzz`` takes half an hour for the first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.fuzzing import MINUTES, SECONDS, SEED

# Threads train, save, load and predict; forked children do the same; signals arrive at any moment. Whatever is
# interrupted, a model that is trained anew from its seed has the bits of the first one.
ATTACK = r"""
import json, os, random, signal, sys, tempfile, threading, time, traceback, warnings
import numpy as np
import neuromorph as nm

seconds, seed, folder, interrupts = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "interrupts"
TEXT = "/xavier,zero/ (input, 2) (h, 5, <gru>) (output, 1, <linear>, <mse>)"
x = np.random.default_rng(0).random((40, 3, 2)).astype(np.float32)
y = x[..., :1] * 2

def bits():
    with nm.build(nm.compile(TEXT, 3, 0.1, bptt_steps=8), seed=7) as model:
        nm.train(model, x, y, 0)
        with tempfile.TemporaryDirectory(dir=folder) as own:
            nm.save(model, own + "/net.safetensors")
            with nm.load(own + "/net.safetensors") as loaded:
                return nm.predict(loaded, x).tobytes()

right, end, rng = bits(), time.monotonic() + seconds, random.Random(seed)
wrong, counts = [], {"interrupted": 0, "children": 0, "rounds": 0}

def work():
    while time.monotonic() < end and not wrong:
        if bits() != right:
            wrong.append("a thread has other bits")

def child():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return 0 if bits() == right else 9

threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
warnings.simplefilter("ignore")
while time.monotonic() < end and not wrong:
    try:
        counts["rounds"] += 1
        timer = threading.Timer(rng.random() * 0.02, os.kill, (os.getpid(), signal.SIGINT))
        if interrupts:
            timer.start()
        if bits() != right:
            wrong.append("the interrupted thread has other bits")
        if interrupts:
            timer.join()
    except KeyboardInterrupt:
        counts["interrupted"] += 1
        while True:
            try:
                timer.join()
                break
            except KeyboardInterrupt:
                pass
    try:
        pid = os.fork()
    except KeyboardInterrupt:
        continue
    if pid == 0:
        try:
            code = child()
        except BaseException:
            traceback.print_exc()
            code = 8
        os._exit(code)
    deadline = time.monotonic() + 60
    while True:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except KeyboardInterrupt:
            continue
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            wrong.append("a child hangs")
            break
        time.sleep(0.002)
    counts["children"] += 1
    if done and os.waitstatus_to_exitcode(status) not in (0, -signal.SIGINT):
        wrong.append(f"a child ended with {os.waitstatus_to_exitcode(status)}")
[thread.join() for thread in threads]
if bits() != right:
    wrong.append("the process has other bits at the end")
print(json.dumps([counts, wrong]))
sys.exit(bool(wrong))
"""

CYCLES = r"""
import gc, os, resource, sys, threading
import numpy as np
import neuromorph as nm

cycles, widths, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
TEXTS = [
    "/xavier,zero/ (input, 2) (h, {w}, <lstm>) (output, 1, <linear>, <mse>)",
    "/he,zero/ (input, 2) (h, {w}, <relu>) {{m, k, additive}} (k, {w}, <tanh>) (output, 1, <linear>, <huber, 1>)",
]
x, y = np.ones((8, 2, 2), np.float32), np.zeros((8, 2, 1), np.float32)
path = os.path.join(folder, "net.safetensors")

def cycle(number):
    text = TEXTS[number % 2].format(w=1 + number % widths) + f" # {number}"
    with nm.build(nm.compile(text, 2, 0.01, optimizer=["sgd", "adam"][number // 2 % 2])) as model:
        nm.train(model, x, y, 0)
        nm.predict(model, x)
        step = nm.stream(model)
        step(x[0, :1])
        nm.fit(model, x, y, epochs=1, progress=False)
        nm.save(model, path)
    nm.load(path)
    try:
        nm.compile(text + "(", 2, 0.1)
    except nm.MDLError:
        pass

def standing():
    gc.collect()
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize(), len(os.listdir("/proc/self/fd")), threading.active_count()

marks = []
for number in range(cycles):
    cycle(number)
    if number + 1 in (cycles // 5, cycles * 3 // 5, cycles):
        marks.append(standing())
for begin, end in zip(marks, marks[1:]):
    print(*(b - a for a, b in zip(begin, end)))
"""
# Bytes that memory may grow by in two fifths of the cycles: some for parts of pages, and some for each cycle.
GROWTH, GROWTH_OF_CYCLE = 1 << 20, 256


def ran(program: str, *arguments: str, seconds: float, tier: str = "instant") -> str:
    """What a program prints, which must end well and in time. tier: what "auto" means in it."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ) | {"NEUROMORPH_TIER": tier}, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, f"NEUROMORPH_FUZZ_SEED={SEED}\n{out}{err[-3000:]}"
    return out


# Whether an interrupt just after ``with`` has taken a lock leaves it taken (CPython issue 148874).
WITH = """
import signal, threading

lock = threading.RLock()

def stop(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, stop)
for number in range(100):
    try:
        signal.setitimer(signal.ITIMER_REAL, 5e-4 + 1e-6 * (number % 40))
        while True:
            with lock:
                pass
    except KeyboardInterrupt:
        if lock._is_owned():
            print("taken")
            break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("tier", ["instant", "auto"])
def test_forks_and_interrupts_at_any_moment(tier: str, tmp_path: Path) -> None:
    how = "interrupts"
    if "taken" in ran(WITH, seconds=60):  # this Python's with statement may leave a lock taken (CPython issue 148874)
        how = "forks alone"
    out = ran(ATTACK, str(SECONDS), str(SEED), str(tmp_path), how, seconds=120 + 3 * SECONDS, tier=tier)
    counts, wrong = json.loads(out)
    assert wrong == []
    assert counts["children"] > 0
    assert (counts["interrupted"] > 0) == (how == "interrupts")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
@pytest.mark.parametrize(("tier", "widths", "short"), [("instant", 7, 300), ("compiled", 1, 100), ("auto", 1, 100)])
def test_nothing_is_left_of_models_that_are_gone(tier: str, widths: int, short: int, tmp_path: Path) -> None:
    cycles = 10_000 if MINUTES else short
    started = time.monotonic()
    out = ran(CYCLES, str(cycles), str(widths), str(tmp_path), seconds=2400, tier=tier)
    (_, files, threads), (memory, *more) = np.reshape([int(number) for number in out.split()], (2, 3)).tolist()
    print(f"{tier}: {cycles} cycles, {memory:,} bytes in the last two fifths, {time.monotonic() - started:.0f} s")
    assert memory < GROWTH + GROWTH_OF_CYCLE * cycles * 2 // 5
    assert max(files, threads, *more) <= 0
