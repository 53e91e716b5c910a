"""The parts that the scripts of this folder share: seeds, medians, options, and the printed comparison.

A script gives the paper's figure and a function that trains with one seed; ``run`` runs all seeds in the same setting:

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
SEEDS = range(5)  # the seeds of the report; settings are chosen with CHOOSING_SEEDS only
CHOOSING_SEEDS = range(10, 20)


@dataclass(frozen=True)
class PaperFigure:
    """The result of a paper, or of another library in the same run.

    amount: in ``unit``, by default training sequences. optimizer: with its numbers, in words. source: the paper and its
    experiment. more_is_better: True for an accuracy; by default less is better. digits: those after the point, for
    amounts that are no counts.
    """

    amount: float
    optimizer: str
    source: str
    unit: str = "sequences"
    more_is_better: bool = False
    digits: int = 0

    def text(self, amount: float) -> str:
        """An amount as text, such as "74,000", "0.9321" or "never"."""
        return f"{amount:,.{self.digits}f}" if math.isfinite(amount) else "never"

    def is_beaten_by(self, amount: float) -> bool:
        """Whether an amount is better than the paper's."""
        return math.isfinite(amount) and (amount > self.amount if self.more_is_better else amount < self.amount)


@dataclass(frozen=True)
class Result:
    """The result of one seed. amount: in the unit of the paper's figure, or NEVER. note: a few words for its line."""

    amount: float
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """The results of all seeds: the result and the wall seconds of each, in their order, and the median amount."""

    results: tuple[Result, ...]
    seconds: tuple[float, ...]
    median: float

    @property
    def reached(self) -> str:
        """A text that says how many seeds met the criterion."""
        return f"{sum(math.isfinite(result.amount) for result in self.results)} of {len(self.results)} seeds"


def median_amount(amounts: Sequence[float], *, more_is_better: bool = False) -> float:
    """The median. A failed run (NEVER, or nan) is worse than any other, so the median is NEVER if most runs failed.

    Of an even number of runs, it is the worse of the two middle ones, so that it is always the amount of a run.
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
    """Run every seed with the same setting; print a line for each, and the paper's figure beside ours.

    optimizer: ours, in words. one_seed: trains a new network with a seed. prepare: compiles the kernels, so that the
    first seed's seconds are for learning only. quick: whether the setting is tiny, so that no figures are compared.
    """
    print(title)
    if prepare is not None:
        print(compiling_line(prepare), flush=True)
    summary = run_seeds(paper, one_seed, seeds)
    print(comparison(paper, optimizer, summary, quick=quick), flush=True)
    return summary


def run_seeds(paper: PaperFigure, one_seed: Callable[[int], Result], seeds: Sequence[int] = SEEDS) -> Summary:
    """Run every seed with the same setting, and print a line for each."""
    results, seconds = [], []
    for seed in seeds:
        started = time.perf_counter()
        results.append(one_seed(seed))
        seconds.append(time.perf_counter() - started)
        print(seed_line(seed, paper, results[-1], seconds[-1]), flush=True)
    return Summary(tuple(results), tuple(seconds), median_of(paper, results))


def median_of(paper: PaperFigure, results: Sequence[Result]) -> float:
    """The median amount; whether more is better is as for the paper's figure."""
    return median_amount([result.amount for result in results], more_is_better=paper.more_is_better)


def seed_line(seed: int, paper: PaperFigure, result: Result, seconds: float) -> str:
    """The line that is printed for one seed."""
    unit = f" {paper.unit}" if math.isfinite(result.amount) else ""
    note = f"; {result.note}" if result.note else ""
    return f"  seed {seed}: {paper.text(result.amount)}{unit}, {seconds:.1f} s{note}"


def comparison(paper: PaperFigure, optimizer: str, summary: Summary, *, quick: bool = False) -> str:
    """The text with our figure, the paper's below it, and a verdict unless the setting is tiny."""
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
    """A text that compares an amount with the paper's."""
    if amount == paper.amount:
        return "as good as the paper's"
    return "better than the paper's" if paper.is_beaten_by(amount) else "NOT better than the paper's"


def compiling_line(prepare: Callable[[], Any]) -> str:
    """Compile the kernels; a line that says how long it took."""
    started = time.perf_counter()
    prepare()
    took = time.perf_counter() - started
    return f"  compiling kernels, {took:.1f} s" if took >= 0.5 else "  kernels found in the cache"


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the options of every script. ``--quick`` means a tiny setting, which only shows that all runs."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--seeds", type=seeds_from, default=SEEDS, metavar="N or A-B", help="how many from 0, or A to B (default 5)"
    )
    made.add_argument("--quick", action="store_true", help="a tiny setting, to see that everything runs")
    return made


def seeds_from(text: str) -> range:
    """The seeds that a text gives: ``"5"`` for seeds 0 to 4, ``"10-19"`` for seeds 10 to 19."""
    first, dash, last = text.partition("-")
    numbers = (first, last) if dash else (first,)
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seeds such as 5 nor a range such as 10-19")
    seeds = range(int(first), int(last) + 1) if dash else range(int(first))
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return seeds


def count(text: str) -> int:
    """The whole number of at least 1 that a text gives."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
