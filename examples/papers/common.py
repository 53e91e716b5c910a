"""What the scripts of this folder share: seeds, medians, options, and the printed comparison.

A script says what its paper needed and how one seed of ours goes; ``run`` does all seeds with the same setting:

    paper = PaperFigure(74_000, "SGD, rate 0.5", "Hochreiter & Schmidhuber 1997, experiment 4")
    chose = parser("…").parse_args()
    run("Adding problem", paper, "Adam, rate 0.01", one_seed, chose.seeds, quick=chose.quick)
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median_high
from typing import Any

NEVER = math.inf  # the amount of a run that did not meet its criterion
SEEDS = range(5)  # the seeds of the report; settings are chosen with CHOOSING_SEEDS alone
CHOOSING_SEEDS = range(10, 20)


@dataclass(frozen=True)
class PaperFigure:
    """What a paper (or a peer in the same run) reached.

    amount: counted in ``unit``, training sequences by default. optimizer: with its numbers, in words. source: the
    paper and its experiment. more_is_better: for an accuracy; by default less is better. digits: after the point, for
    amounts that are no counts.
    """

    amount: float
    optimizer: str
    source: str
    unit: str = "sequences"
    more_is_better: bool = False
    digits: int = 0

    def text(self, amount: float) -> str:
        """An amount as it is printed: "74,000", "0.9321", "never"."""
        return f"{amount:,.{self.digits}f}" if math.isfinite(amount) else "never"

    def is_beaten_by(self, amount: float) -> bool:
        """Whether an amount is better than the paper's."""
        return math.isfinite(amount) and (amount > self.amount if self.more_is_better else amount < self.amount)


@dataclass(frozen=True)
class Result:
    """What one seed gave. amount: what the paper's figure counts, or NEVER. note: a few words for its line."""

    amount: float
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """What all seeds gave: a result and the wall seconds of each, in the order of the seeds, and the median amount."""

    results: tuple[Result, ...]
    seconds: tuple[float, ...]
    median: float

    @property
    def reached(self) -> str:
        """How many seeds met the criterion, in words."""
        return f"{sum(math.isfinite(result.amount) for result in self.results)} of {len(self.results)} seeds"


def median_amount(amounts: Sequence[float], *, more_is_better: bool = False) -> float:
    """The median, where a run that failed (NEVER, or nan) is worse than any other; NEVER where most failed.

    Of an even number of runs the worse of the two middle ones, so that the median is always a run that was made.
    """
    if not amounts:
        raise ValueError("there is no median of no runs")
    sign = -1.0 if more_is_better else 1.0
    costs = sorted(sign * amount if math.isfinite(amount) else NEVER for amount in amounts)
    middle = median_high(costs)
    return sign * middle if math.isfinite(middle) else NEVER


def run(
    title: str,
    paper: PaperFigure,
    optimizer: str,
    one_seed: Callable[[int], Result],
    seeds: Sequence[int] = SEEDS,
    *,
    prepare: Callable[[], Any] | None = None,
    quick: bool = False,
) -> Summary:
    """Every seed by the same setting, printed line by line, with the paper's figure beside ours.

    optimizer: ours, in words. one_seed: trains from scratch with a seed. prepare: compiles the kernels, so that the
    first seed's seconds are of learning alone. quick: the setting is tiny, and says nothing of the paper's.
    """
    print(title)
    if prepare is not None:
        print(compiling_line(prepare), flush=True)
    summary = run_seeds(paper, one_seed, seeds)
    print(comparison(paper, optimizer, summary, quick=quick), flush=True)
    return summary


def run_seeds(paper: PaperFigure, one_seed: Callable[[int], Result], seeds: Sequence[int] = SEEDS) -> Summary:
    """Every seed by the same setting, printed line by line."""
    results, seconds = [], []
    for seed in seeds:
        started = time.perf_counter()
        results.append(one_seed(seed))
        seconds.append(time.perf_counter() - started)
        print(seed_line(seed, paper, results[-1], seconds[-1]), flush=True)
    return Summary(tuple(results), tuple(seconds), median_of(paper, results))


def median_of(paper: PaperFigure, results: Sequence[Result]) -> float:
    """The median amount, as the paper's figure counts."""
    return median_amount([result.amount for result in results], more_is_better=paper.more_is_better)


def seed_line(seed: int, paper: PaperFigure, result: Result, seconds: float) -> str:
    """What is printed of one seed."""
    unit = f" {paper.unit}" if math.isfinite(result.amount) else ""
    note = f"; {result.note}" if result.note else ""
    return f"  seed {seed}: {paper.text(result.amount)}{unit}, {seconds:.1f} s{note}"


def comparison(paper: PaperFigure, optimizer: str, summary: Summary, *, quick: bool = False) -> str:
    """Ours and the paper's, one below the other; no verdict of a tiny setting."""
    width = max(len(paper.unit), len(paper.text(paper.amount)), len(paper.text(summary.median)))
    ours = f"{optimizer} (the median; {summary.reached} reached it, {sum(summary.seconds):.1f} s in all)"
    lines = [
        f"            {paper.unit:>{width}}  how",
        f"    paper   {paper.text(paper.amount):>{width}}  {paper.optimizer} ({paper.source})",
        f"    ours    {paper.text(summary.median):>{width}}  {ours}",
        "  a tiny setting, which can't be compared" if quick else f"  {verdict(paper, summary.median)}",
    ]
    return "\n".join(lines)


def verdict(paper: PaperFigure, amount: float) -> str:
    """How an amount compares with the paper's."""
    if amount == paper.amount:
        return "as good as the paper's"
    return "better than the paper's" if paper.is_beaten_by(amount) else "NOT better than the paper's"


def compiling_line(prepare: Callable[[], Any]) -> str:
    """Compile, and say how long it took."""
    started = time.perf_counter()
    prepare()
    took = time.perf_counter() - started
    return f"  compiling kernels, {took:.1f} s" if took >= 0.5 else "  kernels found in the cache"


def parser(description: str) -> argparse.ArgumentParser:
    """The options of every script; ``quick`` is a tiny setting that shows that all runs, not that it learns."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--seeds", type=seeds_from, default=SEEDS, metavar="N or A-B", help="how many from 0, or A to B (default 5)"
    )
    made.add_argument("--quick", action="store_true", help="a tiny setting, to see that everything runs")
    return made


def seeds_from(text: str) -> range:
    """``"5"`` as seeds 0 to 4, ``"10-19"`` as seeds 10 to 19."""
    first, dash, last = text.partition("-")
    numbers = (first, last) if dash else (first,)
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seeds such as 5 nor a range such as 10-19")
    seeds = range(int(first), int(last) + 1) if dash else range(int(first))
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return seeds


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
