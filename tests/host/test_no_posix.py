"""The package where Python has nothing of POSIX, as on Windows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import REPOSITORY, TESTS

TEXT = "/xavier,zero/ (input, 2) (output, 1, <linear>, <mse>)"
WORK = """
import json, os, sys, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning, module="(?!neuromorph)")
if sys.argv[1] == "no posix":
    import helpers.no_posix
import numpy as np
import neuromorph as nm
from neuromorph.search import evolve, load, report

nm.seed(7)
with nm.build(nm.compile(TEXT, 4, 0.1, threads=2)) as model:
    x = np.linspace(-1.0, 1.0, 80, dtype=np.float32).reshape(10, 4, 2)
    losses = [float(nm.train(model, x, x[..., :1], 0)) for _ in range(2)]
    for _ in range(2):
        model.save("net.safetensors")
    loaded = nm.load("net.safetensors")
    output = nm.predict(loaded, x)
    step = nm.stream(loaded)
    steps = [float(step(row[:1])[0, 0]) for row in x]
    info = nm.cache_info()
    nm.cache_info().path.joinpath(".bound").unlink()
    os.environ["NEUROMORPH_CACHE_SIZE"] = "10"
    nm.predict(nm.build(nm.compile(TEXT, 4, 0.1)), x)
    kept = nm.cache_info().entries
    del os.environ["NEUROMORPH_CACHE_SIZE"]
    tier = model.tier
data = {"inputs": x, "expected": x[..., :1], "validation": 0.25, "layout": "NSW"}
how = {"batch_size": 4, "tier": "instant", "threads": 1}
runs = [nm.Run(TEXT, how | {"learning_rate": rate}, seed=1, budget=2) for rate in (0.1, 0.2, 0.3)]
scores = []
for workers in (2, 0):
    swept = nm.sweep(runs, data, store="runs.sqlite", workers=workers, verbosity=0)
    scores += [one.score for one in swept]
scores += [one.score for one in nm.stored_runs("runs.sqlite")]
found = evolve(data, individuals=6, population=4, workers=0, store="search.sqlite", verbosity=0)
scores += [found.best.score, load("search.sqlite").best.text]
report(found, "search.html")
from neuromorph.cli import main
np.savez("d.npz", inputs=x, expected=x[..., :1])
with open("net.mdl", "w", encoding="utf-8") as file:
    file.write(TEXT)
codes = [main(words.split()) for words in (
    "check net.mdl",
    "train net.mdl --data d.npz --batch 4 --epochs 2 --seed 3 --save cli.safetensors --checkpoint 1",
    "predict cli.safetensors --data d.npz -o y.npy",
    "cache info",
)]
removed = nm.clear_cache()
print(json.dumps([losses, output.sum().item(), steps, np.load("y.npy").sum().item(), codes, tier, kept, scores]))
print(json.dumps([info.entries, removed, "fcntl" in sys.modules and sys.modules["fcntl"] is not None]))
""".replace("TEXT", repr(TEXT))


def results(folder: Path, kind: str) -> tuple[list[Any], list[Any]]:
    """What WORK prints. kind: "posix" or "no posix"."""
    folder.mkdir()
    known = {name: value for name, value in os.environ.items() if not name.startswith("NEUROMORPH_")}
    known |= {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{TESTS}", "HOME": str(folder)}
    known |= {"NEUROMORPH_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", WORK, kind], env=known, cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return found[0], found[1]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what is open or mapped is read from /proc")
def test_without_posix_everything_gives_the_same_numbers(tmp_path: Path) -> None:
    same, (entries, removed, has_locks) = results(tmp_path / "a", "no posix")
    expected, (_, _, had_locks) = results(tmp_path / "b", "posix")
    assert (has_locks, had_locks) == (False, True)
    assert same == expected
    assert min(entries, removed) > 0
    assert same[4] == [0, 0, 0, 0]
