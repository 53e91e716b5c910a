"""Ctrl-C at any moment: it is raised, once, nothing is broken, and the next call works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neuromorph.host.cached import cached_property
from neuromorph.host.exclusive import exclusive
from neuromorph.host.interrupts import held, raise_if_pressed_twice

LIMIT = 300  # seconds


# Held back ------------------------------------------------------------------------------------------------------------


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_is_raised_at_the_end_of_the_outermost_block() -> None:
    done = []

    def work() -> None:
        with held():
            with exclusive():
                press()
                done.append("inner")
            press()
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_block_that_fails_and_was_interrupted_says_both() -> None:
    def work() -> None:
        with held():
            press()
            raise ValueError("mine")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_every_handler_is_called_though_another_one_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[int] = []

    def work() -> None:
        with held():
            press()
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)
            assert came == []

    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == [signal.SIGUSR1]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_ctrl_c_is_what_is_raised_though_another_handler_raises_too() -> None:
    def stop(*_: object) -> None:
        raise LookupError

    def work() -> None:
        with held():
            press()
            signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            work()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert isinstance(caught.value.__context__, LookupError)


@pytest.mark.parametrize(("presses", "seen"), [(0, 3), (1, 3), (2, 1), (5, 1)])
def test_who_presses_twice_does_not_wait_for_the_end(presses: int, seen: int) -> None:
    done = []

    def work() -> None:
        with held():
            for number in range(3):
                raise_if_pressed_twice()
                if number == 0:
                    for _ in range(presses):
                        press()
                done.append(number)

    if presses:
        with pytest.raises(KeyboardInterrupt):
            work()
    else:
        work()
    assert len(done) == seen
    raise_if_pressed_twice()  # says nothing outside a block


def test_an_interrupt_while_a_fork_waits_is_raised_after_it() -> None:
    """Python prints and forgets what is raised in a hook of a fork."""
    code = (
        "import os, signal, sys, time\nfrom neuromorph.host import forks\n"
        "class Slow:\n"
        "    def acquire(self):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    def release(self): pass\n"
        "def stop(*_): raise SystemError\n"
        "forks._locks.append(Slow())\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "os.register_at_fork(after_in_parent=lambda: None)\n"
        "def forked():\n"
        "    child = os.fork()\n    if not child: os._exit(7)\n    time.sleep(5)\n"
        "try:\n    forked()\n"
        "except (KeyboardInterrupt, SystemError) as error:\n"
        "    try:\n        time.sleep(0.2)\n"
        "    except (KeyboardInterrupt, SystemError) as other:\n        error = other.__context__ or error\n"
        "    print('raised', os.wait()[1] >> 8)\n"
        "print(signal.getsignal(signal.SIGTERM) is stop, signal.getsignal(signal.SIGINT).__name__)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert (done.stdout, done.stderr) == ("raised 7\nTrue default_int_handler\n", "")


HELD_IN_MAIN = """
import os, signal, threading, time
from neuromorph.host.interrupts import held

status = []

def fork():
    child = os.fork()
    if not child:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            with held():
                pass
            os._exit(5)
        os._exit(1)
    status.append(os.waitpid(child, 0)[1] >> 8)

with held():
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
print(status)
"""


def test_a_child_that_a_thread_forks_hears_ctrl_c_though_the_main_thread_held_it_back() -> None:
    command = [sys.executable, "-W", "ignore", "-c", HELD_IN_MAIN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (done.stdout, done.stderr) == ("[5]\n", "")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_handlers_stay_whole_though_another_one_raises_again_and_again() -> None:
    code = """
import random, signal
from neuromorph.host.interrupts import held

class Stop(Exception):
    pass

def stop(*_):
    raise Stop

def blocks():
    while True:
        with held():
            signal.raise_signal(signal.SIGUSR1)

signal.signal(signal.SIGALRM, stop)
signal.signal(signal.SIGUSR1, lambda *_: None)
for number in range(500):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-3 * random.random() + 1e-5)
        blocks()
    except Stop:
        pass
try:
    signal.raise_signal(signal.SIGINT)
    print("lost")
except KeyboardInterrupt:
    print("raised")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout == "raised\n", done.stderr


def test_a_handler_that_was_set_in_a_block_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*_: object) -> None: ...

    before = signal.getsignal(signal.SIGINT)
    try:
        with held():
            signal.signal(signal.SIGINT, other)
        assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_cached_property_is_computed_once_and_kept() -> None:
    class Square:
        def __init__(self, side: int) -> None:
            self.side, self.calls = side, 0

        @cached_property
        def area(self) -> int:
            """Of the square."""
            self.calls += 1
            return self.side**2

    square = Square(3)
    assert (square.area, square.area, square.calls) == (9, 9, 1)
    assert Square.area.__doc__ == "Of the square."


# Whole calls ----------------------------------------------------------------------------------------------------------

CALLS = """
import os, random, signal, sys, threading, time
import numpy as np
import neuromorph as nm

unraisable = []
sys.unraisablehook = lambda problem: unraisable.append(repr(problem.exc_value))
TEXT = "/xavier,zero/ (input, 3) {seen, a, concatenate} (a, %d, <tanh>) (output, 2, <linear>, <mse>)"
X, Y = np.ones((16, 2, 3), np.float32), np.ones((16, 2, 2), np.float32)
MANY_X, MANY_Y = np.ones((100_000, 2, 3), np.float32), np.ones((100_000, 2, 2), np.float32)
width = 4

def built():
    return nm.build(nm.compile(TEXT % width, 2, 0.01, threads=1))

model = built()
model.save("model.safetensors")
stream = model.stream()
kept = []

def from_cache():
    for name in [name for name in sys.modules if name.startswith("neuromorph_kernel")]:
        kept.append(sys.modules.pop(name))
    built()

def compiled():
    global width
    width += 1
    built()

CALLS = {
    "from_cache": from_cache,
    "compiled": compiled,
    "short": lambda: model.train(X, Y, 0),
    "long": lambda: model.train(MANY_X, MANY_Y, 0),
    "fit": lambda: model.fit(X, Y, epochs=3, validation=0.25),
    "evaluate": lambda: model.evaluate(X, Y),
    "predict": lambda: model.predict(X),
    "stream": lambda: stream(X[0, 0]),
    "save": lambda: model.save("saved.safetensors"),
    "load": lambda: nm.load("model.safetensors"),
}
"""

INTERRUPTS = """
name, presses, span = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
call, rng = CALLS[name], random.Random(name)

def call_until(end):
    while time.monotonic() < end:
        call()

call()
raised = 0
for number in range(presses):
    timer = threading.Timer(span * rng.random(), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        call_until(time.monotonic() + 30)
    except KeyboardInterrupt:
        raised += 1
    timer.join()
call()
print(raised, unraisable)
"""


@pytest.mark.parametrize(
    ("name", "presses", "span"),
    [
        ("from_cache", 60, 0.06),
        ("compiled", 5, 2.0),
        ("short", 60, 0.03),
        ("long", 30, 0.08),
        ("fit", 60, 0.03),
        ("evaluate", 30, 0.02),
        ("predict", 30, 0.02),
        ("stream", 30, 0.02),
        ("save", 30, 0.02),
        ("load", 30, 0.05),
    ],
)
def test_every_interrupt_is_raised_and_the_next_call_works(
    name: str, presses: int, span: float, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "error::UserWarning", "-c", CALLS + INTERRUPTS, name, str(presses), str(span)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{presses} []\n"), done.stderr[-2000:]


def test_a_sound_entry_is_kept_when_there_is_no_memory_to_load_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys, warnings\nimport neuromorph as nm\nfrom neuromorph.jit import bundles as jit, cache\n"
        "text = '/xavier,zero/ (input, 1) (output, 1, <linear>, <mse>)'\n"
        "def full(*_): raise MemoryError\n"
        "if 'full' in sys.argv:\n    jit._rebuilt = full\n    warnings.simplefilter('ignore')\n"
        "nm.build(nm.compile(text, 1, 0.1))\nprint(*[entry.key for entry in cache.list_entries()])"
    )
    environment = {**os.environ, "NEUROMORPH_CACHE_DIR": str(tmp_path)}
    found = [
        subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, env=environment).stdout
        for word in ("", "full")
    ]
    assert len(found[0].split()) == 1
    assert found[0] == found[1]


# The command line -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["signal", "click", "numpy", "neuromorph.cli.training"])
def test_ctrl_c_while_the_command_is_imported(module: str) -> None:
    code = f"""
import importlib.abc, os, _signal, sys
from neuromorph.cli import main

class Press(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            _signal.raise_signal(_signal.SIGINT)

sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, Press())
sys.exit(main(["--version"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
