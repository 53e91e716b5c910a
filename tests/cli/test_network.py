"""Commands make no connection to any network."""

import subprocess
import sys
from pathlib import Path

import numpy as np

PROGRAM = r"""
import sys

def watch(event, arguments):
    if event == "socket.getaddrinfo" or event.startswith("socket.gethost"):
        raise PermissionError(f"{event} {arguments}")
    if event in ("socket.bind", "socket.connect", "socket.sendto") and not isinstance(arguments[1], str | bytes):
        raise PermissionError(f"{event} {arguments[1]}")  # an address of a network is a tuple, of this machine a path

sys.addaudithook(watch)
from neuromorph.cli import main

COMMANDS = '''check net.mdl
summary net.mdl
draw net.mdl -o net.svg
train net.mdl --data d.npz --epochs 2 --save net.safetensors
evaluate net.safetensors --data d.npz
predict net.safetensors --data d.npz -o y.npy
export net.safetensors -o net.c
cache info'''
for line in COMMANDS.splitlines():
    assert main(line.split()) == 0, line
"""


def test_commands_make_no_connection_to_a_network(tmp_path: Path) -> None:
    (tmp_path / "net.mdl").write_text("/xavier,zero/ (input, 2) (h, 3, <rnn>) (output, 1, <linear>, <mse>)")
    numbers = np.random.default_rng(0).normal(size=(12, 3))
    np.savez(tmp_path / "d.npz", inputs=numbers[:, :2], expected=numbers[:, 2:])
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"net.svg", "net.safetensors", "y.npy", "net.c"} <= {path.name for path in tmp_path.iterdir()}
