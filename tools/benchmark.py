"""How fast neuromorph trains beside JAX and PyTorch, on this machine, in one run.

    python tools/benchmark.py                                  # the listed cases beside all peers
    python tools/benchmark.py --random 30                      # and 30 random graphs: the worst ratio counts
    python tools/benchmark.py --cases lstm4,big4 --peers jax   # some of it
    python tools/benchmark.py --jax0431 path/to/python         # JAX 0.4.31 from an environment elsewhere
    python tools/benchmark.py --json out.json --chart out.png

The peers are no part of neuromorph's dependencies. Give them an environment of their own:

    python3 -m venv .venv-bench
    .venv-bench/bin/pip install -e '.[bench]'
    .venv-bench/bin/python tools/benchmark.py

(For PyTorch without CUDA: ``pip install torch --index-url https://download.pytorch.org/whl/cpu`` first. torch.compile
needs a C++ compiler.) A peer that is not installed is named and left out.

JAX is there twice, as today's release and as 0.4.31, the peer jax0431, whose small loops on a CPU are up to five times
quicker. The better of both is JAX's figure; the table and the JSON say which it is. 0.4.31 has pins that need an
environment of their own, where neuromorph need not be. Its interpreter is looked for in .venv-bench-jax0431 in this
checkout, or told by --jax0431:

    python3 -m venv .venv-bench-jax0431
    .venv-bench-jax0431/bin/pip install jax==0.4.31 jaxlib==0.4.31

Fair play. Every library has a process of its own for each number of threads; all train the same model from the same
parameters on the same data with plain SGD and the same windows, and they take turns, the best run counting. Ours is the
public call ``nm.train``, checks included, with as many threads as it chooses. A peer is the fastest of: JAX, all
windows in one jitted call (or one call a window where windows are long), the scan over time rolled and unrolled;
PyTorch eager, torch.compile and, where it has a layer for the model, torch.nn.LSTM, GRU or RNN; each written node
by node and as an expert would (gates as one product, input products and outputs outside the loop over time, a loop for
each of several recurrent layers or one for all, convolutions in three ways, a loop that is linear in its state as a
parallel scan, no gradient of frozen parameters, and sparse ones stored as such), each on one thread and on all. A peer
counts only where its losses over the first windows equal ours to 1e-4, and those windows are as many as it takes for
learning to show.
Compile times are left out of the figures and stand in the JSON. A way that is far slower than its library's best keeps
the figure of the rounds that it had, and one that more threads could not save is not tried on them; a PyTorch run has
at most as many windows as fit into two seconds.

Random graphs have the same peers in the same ways, with bounds so that many graphs can be measured: libraries keep
their processes from graph to graph and begin no further way of one after --patience seconds, the likeliest to win
coming first, a PyTorch run takes half a second, and a contest ends after three rounds or more when figures are steady.
The report counts graphs and ways that are left out, and says why. A name among --cases, such as random12-branches,
measures one of them again, as thoroughly as a listed case.

The peak is that of fused multiply-adds in registers, measured before and after in the same run; GFLOP/s count matrix
products only, each multiply-add as two.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from peers import report
from peers.arguments import new_file, whole_number
from peers.case import Case
from peers.cases import listed
from peers.contest import HOPELESS, UNTRIED, Result, Settings, contest
from peers.environments import PEERS, present
from peers.processes import Pool, WorkerError
from peers.random_cases import FAMILIES, random_case
from peers.variants import variants

QUICK = "an eighth of the samples, at most 3 rounds, neither torch.compile nor JAX's scan unrolled by 4"
BUSY = 0.5  # a load of the machine beyond which figures mean little


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where a case of ours could not be measured, 0 otherwise."""
    options = _parser().parse_args(arguments)
    machine, settings = report.machine(), _settings(options)
    _say(_described(machine))
    if (machine["load"] or 0.0) > BUSY:
        _say(f"the machine is busy (load {machine['load']:.1f}): the figures below mean little")
    peaks = _peak(settings)
    results, failed = _measure(_chosen(options), settings)
    random, skipped = _measure_random(options, settings)
    if not options.quick:
        peaks = [max(pair) for pair in zip(peaks, _peak(settings), strict=True)]
    _show(results, random, peaks, settings)
    for line in failed:
        _say(line)
    if options.quick:
        _say(_what_quick_left_out([*results, *random], settings))
    if options.random:
        for line in report.random_summary(random, skipped, options.seed):
            _say(line)
    _write(options, results, random, skipped, peaks, machine, settings)
    return 1 if failed else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _described(machine: dict[str, Any]) -> str:
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# Options -------------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    about, _, rest = (__doc__ or "").partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, epilog=rest, formatter_class=raw)
    parser.add_argument("--cases", type=_cases, default=list(listed()), help="names, or none (default: all listed)")
    parser.add_argument("--peers", type=_peers, default=PEERS, help=f"{', '.join(PEERS)} (default: all) or none")
    parser.add_argument("--jax0431", type=_program, metavar="PYTHON", help="the interpreter that has JAX 0.4.31")
    parser.add_argument("--runs", type=whole_number(1), default=7, help="rounds; the best run counts (default: 7)")
    parser.add_argument("--random", type=whole_number(0), default=0, metavar="N", help="so many random graphs too")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the random graphs (default: 0)")
    parser.add_argument(
        "--limit", type=whole_number(1), default=240, help="seconds for a peer to compile (default: 240)"
    )
    parser.add_argument(
        "--patience",
        type=whole_number(1),
        default=30,
        help="of a random graph, seconds for a peer's ways to compile (default: 30)",
    )
    parser.add_argument("--quick", action="store_true", help=QUICK)
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all figures")
    parser.add_argument("--chart", type=new_file, metavar="FILE", help="write a bar chart (PNG; needs matplotlib)")
    return parser


def _names(text: str, known: Sequence[str], more: str = "(?!)") -> list[str]:
    """Known names, or such as ``more`` matches, from a text with commas between them; "none" is no name."""
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known and not re.fullmatch(more, name):
            raise argparse.ArgumentTypeError(f"unknown: {name!r}; known are {', '.join(known)}, none")
    return list(dict.fromkeys(names))


def _cases(text: str) -> list[str]:
    """Listed cases, or random ones by number and family."""
    return _names(text, list(listed()), rf"random\d{{1,5}}-({'|'.join(FAMILIES)})")


def _peers(text: str) -> tuple[str, ...]:
    return tuple(_names(text, PEERS))


def _program(text: str) -> Path:
    """A program that can be run."""
    if not (Path(text).is_file() and os.access(text, os.X_OK)):
        raise argparse.ArgumentTypeError(f"no program: {text!r}")
    return Path(text).absolute()


def _settings(options: argparse.Namespace) -> Settings:
    peers, pythons = [], {}
    for peer in options.peers:
        found = present(peer, options.jax0431)
        if found.missing is not None:
            _say(f"{peer} is not installed and left out: {found.missing}")
            continue
        peers.append(peer)
        pythons |= {} if found.python is None else {peer: found.python}
    threads = tuple(dict.fromkeys((1, report.cores())))
    runs = min(options.runs, 3) if options.quick else options.runs
    return Settings(runs, tuple(peers), threads, options.limit, not options.quick, say=_progress, pythons=pythons)


# Measuring -----------------------------------------------------------------------------------------------------------


def _peak(settings: Settings) -> list[float]:
    """GFLOP/s of fused multiply-adds on one thread, and on all where there are more."""
    with Pool() as pool:
        return list(pool.process(("peak", 1)).ask({"do": "peak", "threads": settings.threads}, settings.limit))


def _chosen(options: argparse.Namespace) -> list[Case]:
    cases = listed()
    found = [cases[name] if name in cases else _named(name, options.seed) for name in options.cases]
    return [case.shortened(8) for case in found] if options.quick else found


def _named(name: str, seed: int) -> Case:
    """A random graph by its name; its number alone decides what it is."""
    case = random_case(seed, int(name.removeprefix("random").partition("-")[0]))
    if case.name != name:
        raise SystemExit(f"benchmark.py: unknown: {name!r}; did you mean {case.name}?")
    return case


def _measure(cases: Sequence[Case], settings: Settings, pool: Pool | None = None) -> tuple[list[Result], list[str]]:
    """Results, and a line for each case of ours that failed. Workers are new for each case, or those of ``pool``."""
    results, failed = [], []
    for case in cases:
        try:
            with nullcontext(pool) if pool is not None else Pool(settings.pythons) as workers:
                results.append(contest(case, settings, workers))
            settings.say(_outcome(results[-1]))
        except WorkerError as error:
            failed.append(f"{case.name}: not measured: {error}")
    return results, failed


def _outcome(result: Result) -> str:
    """One case's figure, while others are still measured."""
    if result.ratio is None:
        return f"{result.case.name}: {result.ours.best:.3g} us a sample"
    return f"{result.case.name}: {result.ours.best:.3g} us a sample, {result.ratio:.2f} times faster than the best peer"


def _measure_random(options: argparse.Namespace, settings: Settings) -> tuple[list[Result], list[str]]:
    """So many random graphs, and a line for each that ours could not be measured on."""
    cases = [random_case(options.seed, number) for number in range(options.random)]
    limit = min(settings.limit, 2.0 * options.patience)  # one way alone may take longer than the patience with all
    bounded = replace(settings, patience=options.patience, limit=limit, adaptive=True, slow=0.5)
    with Pool(settings.pythons) as pool:
        return _measure([case.shortened(8) if options.quick else case for case in cases], bounded, pool)


# What comes out ------------------------------------------------------------------------------------------------------


def _show(results: list[Result], random: list[Result], peaks: list[float], settings: Settings) -> None:
    for version in report.versions([*results, *random]).values():
        _say(version)
    figures = ", ".join(f"{peak:.0f} on {count}" for count, peak in zip(settings.threads, peaks, strict=True))
    _say(f"peak of fused multiply-adds, float32: GFLOP/s by threads: {figures}")
    for part in (results, random):
        if part:
            _say("\n" + report.table(part, peaks[-1]))
    for result in (*results, *random):
        for peer in result.peers:
            if peer.refused is not None and peer.why not in (HOPELESS, UNTRIED):
                _say(f"does not count: {result.case.name}: {peer.name}: {peer.refused}")


def _what_quick_left_out(results: Sequence[Result], settings: Settings) -> str:
    """By how much --quick made the figures less sure."""
    whole, there = (
        sum(len(variants(peer, r.case, thorough=thorough, flops=r.flops)) for r in results for peer in settings.peers)
        for thorough in (True, False)
    )
    return f"--quick: {QUICK}: {there} of {whole} ways that peers have to write these models; figures are rough"


def _write(
    options: argparse.Namespace, results: list[Result], random: list[Result], skipped: list[str],
    peaks: list[float], machine: dict[str, Any], settings: Settings,
) -> None:  # fmt: skip
    if options.json is not None:
        worst = report.worst(random)
        document = {
            "machine": machine, "versions": report.versions([*results, *random]), "quick": options.quick,
            "peak_gflops": dict(zip(settings.threads, peaks, strict=True)), "runs": settings.runs,
            "cases": [result.as_json(peaks[-1]) for result in results], "seed": options.seed,
            "random": [result.as_json(peaks[-1]) for result in random], "random_not_measured": skipped,
            "worst_random": None if worst is None else {"case": worst.case.name, "ratio": worst.ratio},
        }  # fmt: skip
        options.json.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if options.chart is not None and (results or random):
        title = "; ".join([_described(machine), *report.versions([*results, *random]).values()])
        try:
            report.chart(options.chart, results or random, title)
        except ImportError:
            _say("matplotlib is not installed: no chart")


if __name__ == "__main__":
    sys.exit(main())
