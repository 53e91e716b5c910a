"""Runs all benchmarks, one after the other, and puts their tables into docs/results.md.

    python examples/benchmarks/run_all.py                  five seeds; some hours, most of them for cog_scale.py
    python examples/benchmarks/run_all.py --only laser mnist_1d
    python examples/benchmarks/run_all.py --page           run nothing; put the tables of results/ into the page
    python examples/benchmarks/run_all.py --quick          tiny settings, to see that everything runs

A benchmark whose data are not installed says so, and the others go on.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import RESULTS, ROOT, report
from bench.running import Report, common_options, destination, loaded

SINGLE = ("mnist_1d", "japanese_vowels", "basic_motions", "arrow_head", "sequential_digits", "mackey_glass", "laser",
          "carbon_dioxide", "sunspots")  # fmt: skip
NAMES = (*SINGLE, "cog_scale")
PAGE, PICTURES = ROOT / "docs" / "results.md", ROOT / "docs" / "results"


def overview(results: Path) -> str:
    """One row for each benchmark with one task."""
    found = [one for name in SINGLE for one in loaded(results / f"{name}.json")]
    return report.many_tasks(found, tables_follow=True) if found else "Nothing was run yet.\n"


def section(results: Path, name: str) -> str:
    """The part of the page of one benchmark, or of the overview."""
    if name == "overview":
        return overview(results)
    found = loaded(results / f"{name}.json")
    if not found:
        return "This was not run yet.\n"
    return f"{report.markdown(found)}\n![{title(name, found)}](results/{name}.png)\n"


def title(name: str, found: Sequence[Report]) -> str:
    """What the picture shows."""
    return f"{found[0].title}: scores and seconds" if len(found) == 1 else "Scores of all tasks"


def renewed(page: str, results: Path) -> str:
    """The page, with new text between its markers."""

    def new(match: re.Match[str]) -> str:
        return f"{match[1]}\n{section(results, match[2])}{match[3]}"

    return re.sub(r"(<!-- results: (\w+) -->)\n.*?(<!-- end -->)", new, page, flags=re.DOTALL)


def write_page() -> None:
    """Renew the tables beside the numbers and those of the page, and the pictures beside that."""
    PICTURES.mkdir(exist_ok=True)
    for picture in RESULTS.glob("*.png"):
        report.write_whole(PICTURES / picture.name, picture.read_bytes())
    for numbers in RESULTS.glob("*.json"):
        report.write_whole(numbers.with_suffix(".md"), report.markdown(loaded(numbers)).encode())
    report.write_whole(PAGE, renewed(PAGE.read_text(encoding="utf-8"), RESULTS).encode())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="some of the benchmarks")
    parser.add_argument("--page", action="store_true", help="run nothing")
    chosen, others = parser.parse_known_args(arguments)
    for name in () if chosen.page else chosen.only:
        try:
            importlib.import_module(name).main(others)
        except SystemExit as stopped:
            if not isinstance(stopped.code, str):
                raise
            print(f"{name}: {stopped.code}", file=sys.stderr)
    if destination(common_options().parse_known_args(others)[0]) == RESULTS:
        write_page()


if __name__ == "__main__":
    main()
