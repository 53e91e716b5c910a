"""A small LSTM cleans the readings of a sensor, first here and then as a C program in a pipe.

    python examples/c_export/sensor.py              # in a new folder, which is removed
    python examples/c_export/sensor.py --to out     # the C files, the program and the log stay in out/

The log is a made one: the temperature of an oven that is switched on and off, with noise and with a spike now and then.
The network is trained on five ovens and tested on a sixth. gcc is needed, or another compiler: CC=clang.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import neuromorph as nm
from neuromorph.export import to_c

HERE = Path(__file__).parent
STEPS, OVENS, EPOCHS = 2000, 5, 60


def oven(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The readings of a sensor and the true temperatures, in degrees, one a second."""
    heating = np.repeat(rng.random(STEPS // 50) < 0.5, 50)
    true = np.empty(STEPS)
    temperature = 20.0
    for second, on in enumerate(heating):
        temperature += 0.02 * ((220.0 if on else 20.0) - temperature)
        true[second] = temperature
    spikes = 60.0 * rng.normal(size=STEPS) * (rng.random(STEPS) < 0.03)
    return true + 6.0 * rng.normal(size=STEPS) + spikes, true


def trained() -> nm.Model:
    """The network, trained on some ovens side by side."""
    rng = np.random.default_rng(1)
    pairs = [oven(rng) for _ in range(OVENS)]
    readings, true = (np.stack(lanes, axis=1)[:, :, None] for lanes in zip(*pairs, strict=True))
    nm.seed(1)
    model = nm.build(nm.compile(HERE / "sensor.mdl", OVENS, 0.01, optimizer="adam", bptt_steps=50))
    nm.adapt(model, readings, true)
    nm.fit(model, readings, true, epochs=EPOCHS, progress=False)
    return model


def in_c(model: nm.Model, folder: Path, log: str) -> np.ndarray:
    """What the C program prints for a log, whose lines come in through a pipe."""
    compiler = os.environ.get("CC", "gcc")
    to_c(model, folder / "sensor.c")
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-I", str(folder)]
    sources = [str(folder / "sensor.c"), str(HERE / "filter.c")]
    subprocess.run([compiler, *strict, "-O2", *sources, "-lm", "-o", str(folder / "filter")], check=True)
    done = subprocess.run([str(folder / "filter")], input=log, capture_output=True, text=True, check=True)
    return np.array(done.stdout.split(), np.float32)


def show(model: nm.Model, folder: Path) -> None:
    """Run both programs on a new log, and print how they agree."""
    readings, true = oven(np.random.default_rng(7))
    log = "".join(f"{reading:.3f}\n" for reading in readings)
    (folder / "log.txt").write_text(log)
    inputs = np.array(log.split(), np.float32)
    python, c = nm.predict(model, inputs[:, None])[:, 0], in_c(model, folder, log)
    print(f"error of the readings: {np.sqrt(np.mean((inputs - true) ** 2)):.1f} degrees")
    print(f"error of the network:  {np.sqrt(np.mean((python - true) ** 2)):.1f} degrees")
    print(f"largest difference between C and Python: {np.abs(c - python).max():.6f} degrees in {len(c):,} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, help="a folder that keeps the C files and the log")
    given = parser.parse_args()
    if given.to is not None:
        given.to.mkdir(parents=True, exist_ok=True)
        show(trained(), given.to)
        return
    with tempfile.TemporaryDirectory() as folder:
        show(trained(), Path(folder))


if __name__ == "__main__":
    main()
