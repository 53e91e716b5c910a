"""What the programs of this folder share: their options, the runs of several seeds, the table, and the picture."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


def options(
    description: str | None, arguments: Sequence[str] | None, more: Callable[[argparse.ArgumentParser], Any] = id
) -> argparse.Namespace:
    """The options of a program: seeds, quick, to. more: adds those that it alone has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=_count, default=3, help="how many seeds, from 0 (default 3)")
    parser.add_argument("--quick", action="store_true", help="a tiny setting, to see that everything runs")
    parser.add_argument("--to", type=Path, default=ROOT / "out", help="where model and picture go (default out)")
    more(parser)
    chosen = parser.parse_args(arguments)
    chosen.to.mkdir(parents=True, exist_ok=True)
    if chosen.quick:
        chosen.seeds = 1
    return chosen


def _count(text: str) -> int:
    """The whole number of at least 1 that a text gives."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def needs(package: str) -> None:
    """Stop with a clear message if the package that carries the data is not installed."""
    if find_spec(package) is None:
        raise SystemExit(f"the data come with {package}, which is not installed: pip install {package}")


@dataclass(frozen=True)
class Result:
    """One trained model: its score on the test data, the seconds of its training, and its number of parameters."""

    score: float
    seconds: float
    parameters: int
    model: Any


def timed(train: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and its seconds."""
    started = time.perf_counter()
    made = train()
    return made, time.perf_counter() - started


def runs(name: str, one_seed: Callable[[int], Result], seeds: int, package: str | None = None) -> list[Result]:
    """The results of seeds 0, 1, …, with a line for each; none if the package that they need is not installed."""
    if package is not None and find_spec(package) is None:
        print(f"{package} is not installed, so {name} is left out: pip install {package}")
        return []
    results = []
    for seed in range(seeds):
        results.append(one_seed(seed))
        print(f"{name}, seed {seed}: {results[-1].score:.4g} in {results[-1].seconds:.2f} s", flush=True)
    return results


def table(score: str, rows: dict[str, list[Result]], **others: float) -> None:
    """Print the medians of all that was run. others: scores of methods without parameters, such as a naive forecast."""
    print(f"\n{'':24}{score:>28}{'seconds':>10}{'parameters':>12}")
    for name, results in rows.items():
        if results:
            middle = median(one.score for one in results)
            print(f"{name:24}{middle:28.4g}{median(r.seconds for r in results):10.2f}{results[0].parameters:12,}")
    for name, value in others.items():
        print(f"{name.replace('_', ' '):24}{value:28.4g}")


def picture(path: Path, draw: Callable[[Any], None], size: tuple[float, float] = (8.0, 3.5)) -> None:
    """Let a function draw into the axes of a new picture, if matplotlib is installed."""
    if find_spec("matplotlib") is None:
        print("matplotlib is not installed: no picture")
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(figure.add_subplot())
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")
