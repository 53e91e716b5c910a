"""What the contests gave: a table, a chart, and the machine it all came from."""

from __future__ import annotations

import math
import os
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contest import Contestant, Result

HEAD = ("case", "batch/window", "ours us", "1 thread us", "best JAX us", "best PyTorch us", "times faster", "target",
        "GFLOP/s", "of peak", "best peer")  # fmt: skip


def machine() -> dict[str, Any]:
    """The machine in words and numbers; ``load``: processes that were running before we began."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def cores() -> int:
    """Cores that this process may use, as ours counts them: a container's quota too."""
    from neuromorph.host.resources import processors

    return processors()


def _cpu_name() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def versions(results: Sequence[Result]) -> dict[str, str]:
    """What each library said of itself, the last word with most threads."""
    found: dict[str, str] = {}
    for result in results:
        for contestant in (result.ours, *result.peers):
            if contestant.prepared is not None:
                found[contestant.engine] = contestant.prepared.version
    return found


def table(results: Sequence[Result], peak: float) -> str:
    """One line a case, with columns side by side. ``peak``: GFLOP/s of all cores."""
    rows = [HEAD, *(_row(result, peak) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(_placed(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(len(line) for line in lines), *lines[1:]])


def _placed(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    last = len(row) - 1
    return [
        text.ljust(width) if column in (0, last) else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def _row(result: Result, peak: float) -> tuple[str, ...]:
    peer = result.best_peer
    return (
        result.case.name,
        f"{result.case.batch}/{result.case.window}",
        _number(result.ours.best),
        _best(result.alone),
        _best(result.best_of("jax")),
        _best(result.best_of("torch")),
        "-" if result.ratio is None else f"{result.ratio:.2f}{_verdict(result)}",
        "-" if result.case.target is None else f"{result.case.target:g}",
        _number(result.gflops),
        f"{result.gflops / peak:.1%}",
        _name(peer),
    )


def _verdict(result: Result) -> str:
    """A mark behind a ratio that misses its target, or 1 where there is none."""
    assert result.ratio is not None
    return " !" if result.ratio < (result.case.target or 1.0) else "  "


def _best(contestant: Contestant | None) -> str:
    return "-" if contestant is None else _number(contestant.best)


def _name(peer: Contestant | None) -> str:
    return "no peer that counts" if peer is None else peer.name


def _number(value: float) -> str:
    """Three digits that matter."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def worst(random: Sequence[Result]) -> Result | None:
    """The result with the least ratio."""
    counted = [result for result in random if result.ratio is not None]
    return min(counted, key=lambda result: result.ratio or 0.0, default=None)


def random_summary(random: Sequence[Result], failed: Sequence[str], seed: int) -> list[str]:
    """How many random graphs were measured, which were left out and why, and the worst ratio with its model.

    ``failed``: a line for each that ours could not be measured on.
    """
    left_out = [(result.case.name, result.left_out) for result in random if result.left_out is not None]
    asked, counted = len(random) + len(failed), len(random) - len(left_out)
    lines = [f"random graphs of seed {seed}: {counted} of {asked} measured beside a peer"]
    lines += [f"left out: {name}: {reason}" for name, reason in left_out]
    lines += [f"left out: {line}" for line in failed]
    whys = Counter(peer.why for result in random for peer in result.peers if peer.why)
    ways = sum(len(result.peers) for result in random)
    if ways:
        causes = "".join(f"; {count} left out: {why}" for why, count in whys.most_common())
        lines.append(f"ways of peers to train them: {ways}, {ways - whys.total()} counted{causes}")
    slowest = worst(random)
    if slowest is not None:
        peer, name = slowest.best_peer, slowest.case.name
        lines.append(f"worst ratio of {counted} random graphs: {slowest.ratio:.2f}, {name} beside {peer and peer.name}")
        lines.append(
            f"batch {slowest.case.batch}, windows of {slowest.case.window}: {' '.join(slowest.case.text.split())}"
        )
        lines.append(f"again: --cases {name} --seed {seed}")
    return lines


def chart(path: Path, results: Sequence[Result], title: str) -> None:
    """Bars of microseconds a sample, ours and each library's best, with the ratio beside them. PNG.

    Raises ImportError where matplotlib is missing, OSError where the file can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.5 + 0.75 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _bars(axes, results)
    axes.set_yticks(range(len(results)), [result.case.name for result in results])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("microseconds of training a sample (log scale, shorter is faster)")
    axes.margins(x=0.12)
    axes.set_title(title, fontsize=8, wrap=True)
    axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=150, format="png")


def _bars(axes: Any, results: Sequence[Result]) -> None:
    series = [("neuromorph", "#2a6f97", [result.ours for result in results])]
    for engine, label, colour in (("jax", "JAX, best", "#f4a259"), ("torch", "PyTorch, best", "#bc4b51")):
        series.append((label, colour, [result.best_of(engine) or result.ours for result in results]))
    for place, (label, colour, contestants) in enumerate(series):
        shown = [c.best if c.engine != "neuromorph" or not place else math.nan for c in contestants]
        axes.barh([row + 0.27 * (place - 1) for row in range(len(shown))], shown, 0.25, label=label, color=colour)
        for row, (value, result) in enumerate(zip(shown, results, strict=True)):
            if math.isfinite(value):
                note = _number(value) if not place else f"{_number(value)}  ({value / result.ours.best:.1f}x)"
                axes.text(value, row + 0.27 * (place - 1), f" {note}", va="center", fontsize=7)
