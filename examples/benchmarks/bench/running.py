"""Runs a task: every entry chooses its setting with the first seed, and is then trained with all seeds."""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import neuromorph as nm
from bench import RESULTS, ROOT, jax_peers, ours, reservoirs, torch_peers
from bench.entry import Entry, Run, processors
from bench.task import Task

KINDS = ("ours", "torch", "jax", "reservoirpy")


@dataclass
class Outcome:
    """What an entry reached. setting: the chosen one, in words. runs: one for each seed."""

    name: str
    ours: bool
    setting: str
    runs: list[Run] = field(default_factory=list)

    def median(self, what: str) -> float:
        """The median of a number of the runs, such as "score"."""
        return float(median(getattr(run, what) for run in self.runs))


@dataclass
class Report:
    """What all entries of a task reached, and what a reader must know of the task."""

    name: str
    title: str
    source: str
    measure: str
    more_is_better: bool
    parameters: int
    published: list[str]
    setting: str
    seeds: list[int]
    machine: str
    outcomes: list[Outcome] = field(default_factory=list)

    def best_peer(self) -> Outcome | None:
        """The peer with the best median score on the test data."""
        peers = [outcome for outcome in self.outcomes if not outcome.ours]
        return self._best(peers, "score", "seconds") if peers else None

    def best_ours(self) -> Outcome | None:
        """The text of ours with the best median score on the data to choose by: the test data have no say. Of equally
        good ones, it is the quickest."""
        return self._best([outcome for outcome in self.outcomes if outcome.ours], "chosen_score", "seconds")

    def _best(self, outcomes: list[Outcome], what: str, then: str) -> Outcome | None:
        sign = -1 if self.more_is_better else 1
        return min(outcomes, key=lambda one: (worst_if_nan(sign * one.median(what)), one.median(then)), default=None)

    def reached(self) -> bool:
        """Whether the chosen text of ours is at least as good as the best peer, by medians of the test data."""
        mine = self.best_ours()
        return mine is not None and self._is_as_good(mine)

    def _is_as_good(self, mine: Outcome) -> bool:
        peer = self.best_peer()
        if peer is None:
            return False
        one, other = mine.median("score"), peer.median("score")
        return one >= other if self.more_is_better else one <= other

    def winners(self, most_time: float) -> list[Outcome]:
        """The texts of ours that are as good as the best peer in at most such a share of its time, the best first.

        Both are judged by the test data, which chose the best peer too.
        """
        peer, sign = self.best_peer(), -1 if self.more_is_better else 1
        ours = sorted((one for one in self.outcomes if one.ours), key=lambda one: sign * one.median("score"))
        if peer is None:
            return []
        most = most_time * self.peer_seconds()
        return [one for one in ours if self._is_as_good(one) and one.median("seconds") <= most]

    def peer_seconds(self) -> float:
        """The median seconds of the best peer's network, in the library that trains it quickest: the GRUs of PyTorch
        and JAX are one network, and which of them has the better score is chance."""
        peer = self.best_peer()
        kind = peer.name.split()[-1] if peer else ""
        same = [one for one in self.outcomes if not one.ours and one.name.split()[-1] == kind]
        return min((one.median("seconds") for one in same), default=math.nan)

    def share_of_time(self) -> float:
        """The seconds of the chosen text of ours over those of the best peer's network."""
        mine = self.best_ours()
        return mine.median("seconds") / self.peer_seconds() if mine else math.nan


def worst_if_nan(loss: float) -> float:
    """A loss, or infinity where it is not a number."""
    return math.inf if math.isnan(loss) else loss


def machine() -> str:
    """The processors that this process may use, and the releases that were measured; of neuromorph the commit too."""
    names = [line.split(":")[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    packages = [f"{name} {version(name)}" for name in ("numba", "torch", "jax", "reservoirpy") if find_spec(name)]
    processor = names[0] if names else platform.processor() or platform.machine()
    python = f"Python {platform.python_version()}"
    return f"{processors()} × {processor}; {python}, neuromorph {nm.__version__}{COMMIT}, {', '.join(packages)}"


def _git(*words: str) -> str:
    """What git says of this checkout; nothing outside of one."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _commit() -> str:
    """The commit of this checkout in words, and whether files of the package or of the benchmarks differ from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "neuromorph", "examples/benchmarks/bench", "examples/benchmarks/*.py")
    return f" (commit {commit}{' with changes' if changed else ''})" if commit else ""


COMMIT = _commit()  # of the code that is imported now; the checkout may change while this runs


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def entries(task: Task, kinds: Sequence[str]) -> list[Entry]:
    """All entries of a task whose package is installed."""
    makers = {"ours": ours, "torch": torch_peers, "jax": jax_peers, "reservoirpy": reservoirs}
    found = [entry for kind in kinds for entry in makers[kind].entries(task)]
    missing = sorted({entry.peer for entry in found if entry.peer and find_spec(entry.peer) is None})
    for package in missing:
        print(f"{package} is not installed, so its networks are left out: pip install {package}")
    return [entry for entry in found if entry.peer not in missing]


def run(task: Task, seeds: Sequence[int], kinds: Sequence[str] = KINDS) -> Report:
    """Run all entries of a task, with a line for each on stdout."""
    print(f"{task.title}: {len(task.train.inputs)} sequences to train on, {len(task.choose.inputs)} to choose by, "
          f"{len(task.test.inputs)} to test", flush=True)  # fmt: skip
    report = Report(task.name, task.title, task.source, task.measure, task.more_is_better, task.parameters,
                    list(task.published), setting_of(task), list(seeds), machine())  # fmt: skip
    for entry in entries(task, kinds):
        outcome = outcome_of(entry, seeds)
        report.outcomes.append(outcome)
        print(f"  {outcome.name:18} {outcome.median('score'):9.4f} {outcome.median('seconds'):8.2f} s  "
              f"{outcome.runs[0].parameters:,} parameters, {outcome.setting}", flush=True)  # fmt: skip
    return report


def setting_of(task: Task) -> str:
    """The budget of a task in words."""
    rates = ", ".join(f"{rate:g}" for rate in task.rates)
    return (f"batches of {task.batch}, at most {task.epochs} epochs, an end after {task.patience} without a lower loss,"
            f" rates {rates}")  # fmt: skip


def outcome_of(entry: Entry, seeds: Sequence[int]) -> Outcome:
    """Choose the setting with the first seed, by the loss of the data to choose by; then train with all seeds.

    What was trained to choose is not measured: it may have been the first of its kind, for which code was compiled.
    """
    tried = {setting: entry.train(seeds[0], setting) for setting in entry.settings}
    setting = min(tried, key=lambda one: worst_if_nan(tried[one].chosen_loss))
    words = f"rate {setting:g}" if isinstance(setting, float) else str(setting)
    return Outcome(entry.name, entry.ours, words, [entry.train(seed, setting) for seed in seeds])


# Files ----------------------------------------------------------------------------------------------------------------


def saved(reports: Iterable[Report]) -> str:
    """Reports as JSON."""
    return json.dumps([asdict(report) for report in reports], indent=1, ensure_ascii=False) + "\n"


def loaded(path: Path) -> list[Report]:
    """The reports of a file; none if there is no such file."""
    made = []
    for one in json.loads(path.read_text(encoding="utf-8")) if path.exists() else []:
        outcomes = [Outcome(**o | {"runs": [Run(**r) for r in o["runs"]]}) for o in one["outcomes"]]
        made.append(Report(**one | {"outcomes": outcomes}))
    return made


# The command ----------------------------------------------------------------------------------------------------------


def options(description: str | None, arguments: Sequence[str] | None, more: Callable[[Any], Any] = id) -> Any:
    """The options of a program. more: adds those that it alone has."""
    parser = common_options(description)
    more(parser)
    chosen = parser.parse_args(arguments)
    chosen.to = destination(chosen)
    if chosen.quick:
        chosen.seeds = chosen.seeds[:1]
    chosen.to.mkdir(parents=True, exist_ok=True)
    return chosen


def common_options(description: str | None = None) -> argparse.ArgumentParser:
    """The options that all programs have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=seeds_from, default=range(5), metavar="N or A-B",
                        help="how many from 0, or A to B (default 5)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a tiny setting and one seed, to see that everything runs")
    parser.add_argument("--to", type=Path, default=None, help="the folder of the results (default results/; out/ with "
                        "--quick, other seeds or some kinds, so that the published results stay)")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the results of tasks that the file already has")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="whose networks (default all)")
    return parser


def destination(chosen: Any) -> Path:
    """The folder of the results: the one that is given, or that of the published results if they are made anew."""
    is_whole = not chosen.quick and chosen.seeds == range(5) and set(chosen.kinds) == set(KINDS)
    return Path(chosen.to or (RESULTS if is_whole else ROOT / "out"))


def seeds_from(text: str) -> range:
    """The seeds that a text gives: "5" for seeds 0 to 4, "10-14" for seeds 10 to 14."""
    first, dash, final = text.partition("-")
    numbers = (first, final) if dash else (first,)
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seeds such as 5 nor a range such as 10-14")
    seeds = range(int(first), int(final) + 1) if dash else range(int(first))
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return seeds


def needs(package: str, install: str | None = None) -> None:
    """Stop with a clear message if the package that carries the data is not installed."""
    if find_spec(package) is None:
        raise SystemExit(f"the data come with {package}, which is not installed: pip install {install or package}")


def benchmark(name: str, tasks: Iterable[Callable[[], Task]], chosen: Any) -> list[Report]:
    """Run the tasks of a program one by one, and write its table, numbers and picture after each.

    The file's results of other tasks stay, and with ``--keep`` those of the same task that were made in the same way.
    """
    from bench import report

    path = chosen.to / f"{name}.json"
    done = {one.name: one for one in loaded(path)}
    for task in _made(tasks, chosen.quick):
        if not (chosen.keep and _is_made_so(done.get(task.name), task, chosen)):
            done[task.name] = run(task, chosen.seeds, chosen.kinds)
            report.write(list(done.values()), path)
    reports = list(done.values())
    print(f"\n{report.markdown(reports)}\nwritten: {path}, {path.with_suffix('.md')}, {path.with_suffix('.png')}")
    return reports


def _is_made_so(report: Report | None, task: Task, chosen: Any) -> bool:
    """Whether a report has these seeds, the task's budget, and the networks that would be trained now."""
    if report is None:
        return False
    names = [entry.name for entry in entries(task, chosen.kinds)]
    made = report.seeds, report.setting, report.parameters, [outcome.name for outcome in report.outcomes]
    return made == (list(chosen.seeds), setting_of(task), task.parameters, names)


def _made(tasks: Iterable[Callable[[], Task]], quick: bool) -> Iterator[Task]:
    """The tasks, each made only when it is its turn."""
    for make in tasks:
        task = make()
        yield task.quick() if quick else task
