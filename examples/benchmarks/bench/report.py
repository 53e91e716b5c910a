"""Tables in Markdown and pictures of what was run. A single task has a row for each network; many tasks a row each."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.running import Outcome, Report, saved

MOST_TIME = 1 / 3  # the share of the best peer's time that is aimed at


def write(reports: list[Report], path: Path) -> None:
    """Write a file of numbers, and the table and the picture beside it."""
    write_whole(path, saved(reports).encode())
    write_whole(path.with_suffix(".md"), markdown(reports).encode())
    drawn = picture(reports)
    if drawn is not None:
        write_whole(path.with_suffix(".png"), drawn)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def markdown(reports: list[Report]) -> str:
    """The table of some reports."""
    return one_task(reports[0]) if len(reports) == 1 else many_tasks(reports)


def number(value: float) -> str:
    """A score with three digits that count, or 0."""
    return f"{value:.3g}" if value < 0.1 else f"{value:.3f}"


def spread(outcome: Outcome) -> str:
    """The median score, the lowest and the highest."""
    scores = [run.score for run in outcome.runs]
    return f"{number(outcome.median('score'))} ({number(min(scores))} to {number(max(scores))})"


def seconds(outcome: Outcome) -> str:
    """The median seconds of training."""
    return (
        f"{outcome.median('seconds'):.2g} s" if outcome.median("seconds") < 10 else f"{outcome.median('seconds'):.0f} s"
    )


def verdict(report: Report) -> str:
    """One sentence: what was reached, and in which share of the time."""
    mine, peer = report.best_ours(), report.best_peer()
    if mine is None or peer is None:
        return "There is nothing to compare: only one side was run."
    said = "at least as good as" if report.reached() else "NOT as good as"
    share = report.share_of_time()
    time = f"{share:.2g} times its time" if share > 1.0 else f"{share:.2f} of its time"
    fast = "" if share <= MOST_TIME else ", more than a third"
    return (f"`{mine.name}`, chosen on held-out data, is {said} the best peer, {peer.name}: "
            f"{number(mine.median('score'))} and {number(peer.median('score'))}, in {time}{fast}. "
            "Texts of ours that are as good on the test data, in at most a third of its time: "
            f"{names(report)}.")  # fmt: skip


def names(report: Report) -> str:
    """The texts of ours that reach both goals."""
    return ", ".join(f"`{one.name}`" for one in report.winners(MOST_TIME)) or "none of ours"


def direction(report: Report) -> str:
    """Whether more is better."""
    return "more is better" if report.more_is_better else "less is better"


def one_task(report: Report) -> str:
    """A row for each network, the best first."""
    chosen, sign = report.best_ours(), -1 if report.more_is_better else 1
    lines = [
        f"| network | {report.measure} ({direction(report)}) | seconds | parameters | setting |",
        "|---|---|---|---|---|",
    ]
    for outcome in sorted(report.outcomes, key=lambda one: sign * one.median("score")):
        name = f"`{outcome.name}`, ours" if outcome.ours else outcome.name
        name = f"**{name}, chosen**" if outcome is chosen else name
        lines.append(f"| {name} | {spread(outcome)} | {seconds(outcome)} | {outcome.runs[0].parameters:,} | "
                     f"{outcome.setting} |")  # fmt: skip
    lines += ["", verdict(report), "", *published(report), footer([report])]
    return "\n".join(lines) + "\n"


def published(report: Report) -> list[str]:
    """What others have reported, or what a simple rule gives, as a paragraph."""
    return [f"For comparison: {'; '.join(report.published)}.", ""] if report.published else []


def footer(reports: list[Report], tables_follow: bool = False) -> str:
    """The seeds, the budgets unless they stand below tables that follow, and the machine."""
    settings = sorted({report.setting for report in reports})
    apart = tables_follow and len(settings) > 1
    budget = "the budget is below each table" if apart else "; or ".join(settings)
    seeds = sorted({f"{report.seeds[0]} to {report.seeds[-1]}" for report in reports})
    machines = sorted({report.machine for report in reports})
    return f"Seeds {', '.join(seeds)}; {budget}. {'; '.join(machines)}."


def many_tasks(reports: list[Report], tables_follow: bool = False) -> str:
    """A row for each task: the text of ours that was chosen, the best peer, and both times.

    tables_follow: whether each task has a table of its own further down.
    """
    lines = ["| task | parameters | ours, chosen | score | best peer | score | share of time | as good | in a third "
             "| ours that are both |", "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    compared = [report for report in reports if report.best_ours() and report.best_peer()]
    for report in compared:
        mine, peer = report.best_ours(), report.best_peer()
        assert mine is not None
        assert peer is not None
        share = report.share_of_time()
        lines.append(
            f"| {report.title} | {report.parameters:,} | `{mine.name}` | {spread(mine)} | {peer.name} | {spread(peer)} "
            f"| {share:.2g} | {yes(report.reached())} | {yes(share <= MOST_TIME)} | {names(report)} |"
        )
    good = sum(report.reached() for report in compared)
    both = sum(report.reached() and report.share_of_time() <= MOST_TIME for report in compared)
    some = sum(bool(report.winners(MOST_TIME)) for report in compared)
    lines += ["", f"The chosen text is at least as good as the best peer in {good} of {len(compared)}, and in at most "
              f"a third of its time in {both}. Some text of ours is both in {some}.", "",
              footer(reports, tables_follow)]  # fmt: skip
    return "\n".join(lines) + "\n"


def yes(whether: bool) -> str:
    """A word for a table."""
    return "yes" if whether else "no"


# Pictures -------------------------------------------------------------------------------------------------------------


def picture(reports: list[Report]) -> bytes | None:
    """The scores over the seconds of training, one point for each run; or the best of each task. As a PNG file."""
    if find_spec("matplotlib") is None:
        print("matplotlib is not installed: no picture")
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.8 if len(reports) == 1 else 0.22 * len(reports) + 1.5), layout="constrained")
    axes = figure.add_subplot()
    if len(reports) == 1:
        _points(axes, reports[0])
    else:
        _rows(axes, [report for report in reports if report.best_ours() and report.best_peer()])
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return file.getvalue()


def _points(axes: Any, report: Report) -> None:
    for place, outcome in enumerate(report.outcomes):
        marker, filled = ("o", f"C{place % 10}") if outcome.ours else ("s", "none")
        label = f"{outcome.name} (ours)" if outcome.ours else outcome.name
        axes.plot([run.seconds for run in outcome.runs], [run.score for run in outcome.runs], marker, label=label,
                  color=f"C{place % 10}", markerfacecolor=filled)  # fmt: skip
    axes.set(
        xscale="log", xlabel="seconds of training", ylabel=f"{report.measure}, {direction(report)}", title=report.title
    )
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _rows(axes: Any, reports: list[Report]) -> None:
    for which, marker, label in (("best_ours", "o", "ours, chosen"), ("best_peer", "s", "best peer")):
        found = [getattr(report, which)() for report in reports]
        axes.plot([one.median("score") for one in found], range(len(found)), marker, label=label,
                  markerfacecolor="C0" if marker == "o" else "none", color="C0" if marker == "o" else "C3")  # fmt: skip
    lowest = max(len(reports), 1) - 0.5
    axes.set(yticks=range(len(reports)), ylim=(lowest, -0.5), xlabel=reports[0].measure if reports else "")
    axes.set_xscale("symlog", linthresh=1e-4)
    axes.set_yticklabels([f"{report.title}, {report.parameters:,}" for report in reports], fontsize=6)
    axes.legend(fontsize=7)
