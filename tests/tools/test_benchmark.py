"""The benchmark tool: its cases, the code that it writes for peers, its verdicts, and one tiny run of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.tools import TOOLS, room, tools_path  # noqa: F401 - a fixture
from neuromorph.graph import interpreter

# The cases -----------------------------------------------------------------------------------------------------------

TARGETS = {
    "lstm4": (5, 16, 9.0), "big4": (5, 16, 20.0), "lstm64": (32, 16, 2.5), "lstm256": (64, 16, 1.6),
    "textbook64": (16, 64, 1.4), "textbook256": (32, 32, 1.05), "digits": (32, 1, 1.8), "mnist": (128, 1, 1.05),
    "chain": (10_000, 1, 2.0), "lstm64x3": (16, 64, 1.5), "gru128": (32, 32, 1.5), "min_gru64": (16, 64, 4.0),
    "tcn32": (8, 128, 1.5), "normed_rnn64": (16, 32, 1.5), "reservoir400": (1, 1_000, 1.5), "lif128": (32, 64, 4.0),
}  # fmt: skip
WIDTHS = {
    "lstm4": {4}, "big4": {4}, "lstm64": {64}, "lstm256": {256}, "textbook64": {64, 128}, "textbook256": {256, 512},
    "digits": {64, 128, 10}, "mnist": {784, 512, 10}, "chain": {4, 32, 16},
    "lstm64x3": {64, 128}, "gru128": {128, 256}, "min_gru64": {64}, "tcn32": {32}, "normed_rnn64": {64, 128},
    "reservoir400": {1, 400}, "lif128": {128},
}  # fmt: skip


def test_the_listed_cases_are_complete() -> None:
    cases = room("peers.cases").listed()
    assert {name: (case.batch, case.window, case.target) for name, case in cases.items()} == TARGETS
    for name, case in cases.items():
        graph = case.model().graph
        assert {node.width for node in graph.nodes} == WIDTHS[name]
        assert case.samples % case.window == 0
        assert case.shortened(8).windows == min(case.windows, max(16, case.windows // 8))


def test_data_are_one_hot_for_a_classifier_and_always_the_same() -> None:
    cases = room("peers.cases")
    case = cases.listed()["digits"].shortened(1000)
    inputs, expected = cases.data(case)
    assert inputs.shape == (16, 32, 64)
    assert inputs.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(np.sort(expected, axis=-1)[..., -2:], np.broadcast_to([0, 1], (16, 32, 2)))
    np.testing.assert_array_equal(cases.data(case)[0], inputs)


@pytest.mark.parametrize(
    ("text", "frozen", "products"),
    [
        ("(input, 3) (output, 2, <linear>, <mse>)", "", 2 * 3 * 2),
        ("(input, 3) (a, 5, <tanh>) (output, 2, <linear>, <mse>)", "", 2 * 3 * 5 + 3 * 5 * 2),
        ("(input, 3) (a, 5, <tanh>) (output, 2, <linear>, <mse>)", "a", 3 * 5 + 2 * 5 * 2),
        ("(input, 3) (a, 5, <tanh>) (output, 2, <linear>, <mse>)", "output", 2 * 3 * 5 + 2 * 5 * 2),
        (
            "(input, 3) (a, 5, <conv, 3>) (b, 2, <conv, 2>) (output, 1, <linear>, <mse>)",
            "",
            2 * 9 * 5 + 3 * 10 * 2 + 3 * 2,
        ),
        # Half of what the hidden layer reads is the input, through which nothing learns.
        ("(input, 3) {r, h, concatenate} (h, 3, <tanh>) (output, 1, <linear>, <mse>)", "", (2 * 6 + 3) * 3 + 3 * 3),
        # What it reads of itself is detached.
        ("(input, 3) {o, h, take, 1} (d, <detach>) (h, 4, <tanh>) (output, 1, <linear>, <mse>)", "", 2 * 4 * 4 + 3 * 4),
        ("(input, 3) (a, 5, <tanh>) {s, a, dot} (output, 2, <linear>, <mse>)", "", 2 * 3 * 5 + 3 * 2),
    ],
)
def test_flops_leave_out_gradients_that_nobody_needs(text: str, frozen: str, products: int) -> None:
    case = room("peers.case").Case("one", f"/xavier,zero/ {text}", 7, 1, 1, 0.1, frozen=frozen)
    assert room("peers.work").flops(case) == 2 * 7 * products


def test_random_cases_are_odd_shapes_of_every_family_and_the_same_for_a_seed() -> None:
    cases = room("peers.random_cases")
    found = list(islice(cases.random_cases(3), 60))
    assert found[:12] == list(islice(cases.random_cases(3), 12))
    assert found[0] != next(cases.random_cases(4))
    assert found[17] == cases.random_case(3, 17)
    assert {case.name.partition("-")[2] for case in found} == set(cases.FAMILIES)
    widths = {node.width for case in found for node in case.model().graph.nodes}
    assert {1, 37, 133} <= widths
    assert {1, 7} <= {case.batch for case in found}
    assert all(case.samples % case.window == 0 and case.windows >= 16 for case in found)


# The ways to write a case --------------------------------------------------------------------------------------------


def test_every_variant_is_worth_its_time() -> None:
    cases = room("peers.cases").listed()

    def names(library: str, case: str) -> list[str]:
        flops = room("peers.work").flops(cases[case])
        return [v.name for v in room("peers.variants").variants(library, cases[case], thorough=True, flops=flops)]

    ways = ["eager, node by node", "eager, fused", "nn.LSTM", "torch.compile"]
    assert names("torch", "textbook64") == ways
    assert names("jax", "digits") == ["jit, straight"]
    assert names("jax", "mnist") == ["jit, straight", "jit a window, fused"]
    assert set(names("jax", "lstm4")) == {
        "jit, node by node", "jit, node by node, unroll 16", "jit, fused", "jit, fused, unroll 4",
        "jit, fused, unroll 16",
    }  # fmt: skip
    assert names("jax", "lstm64x3")[:4] == [
        "jit, layer by layer", "jit, layer by layer, unroll 16", "jit, fused", "jit, fused, unroll 16",
    ]  # fmt: skip
    assert names("jax", "min_gru64")[:3] == ["jit, linear loop", "jit, linear loop, unroll 16", "jit, associative scan"]
    assert names("jax0431", "reservoir400") == names("jax", "reservoir400")
    assert "jit, sparse, unroll 16" in names("jax", "reservoir400")
    assert names("torch", "reservoir400")[-3:] == ["eager, sparse", "nn.RNN", "torch.compile"]
    assert names("torch", "gru128") == ["eager, node by node", "eager, fused", "nn.GRU", "torch.compile"]
    assert names("torch", "tcn32")[:3] == ["eager, straight", "eager, a product a tap", "eager, convolution"]
    everything = [v for name in cases for v in names("jax", name)]
    assert len(everything) == sum(len(set(names("jax", name))) for name in cases)


# Verdicts ------------------------------------------------------------------------------------------------------------


def test_a_wrong_peer_is_refused() -> None:
    difference = room("peers.contest").difference
    ours = [0.5, 0.4, 0.3]
    assert difference(ours, ours) is None
    assert difference(ours, [0.5 * (1 + 9e-5), 0.4, 0.3]) is None
    assert difference(ours, [0.5, 0.4 * (1 + 2e-4), 0.3]) == "its loss of window 1 is 0.40008, ours 0.4"
    assert difference(ours, [0.5, 0.4, float("nan")]) == "its loss of window 2 is nan, ours 0.3"
    assert difference(ours, [0.5, 0.4]) == "it has losses of 2 windows, not of 3"


@pytest.mark.parametrize("mistake", ["does not learn", "forgets its state", "learns at another rate"])
def test_the_compared_losses_tell_a_wrong_peer(mistake: str) -> None:
    contest, cases = room("peers.contest"), room("peers.cases")
    case = room("peers.case").Case("small", cases.example_model("lstm-model", 4), 3, 4, 32, 0.5)
    graph = case.model().graph
    parameters = interpreter.draw_parameters(graph, np.random.default_rng(1), np.float64)
    x, e = cases.data(case)

    def losses(rate: float, forgets: bool) -> list[float]:
        learned, state, found = parameters, None, []
        for first in range(0, 32, 4):
            part = slice(first, first + 4)
            result = interpreter.train(graph, learned, x[part], e[part], learning_rate=rate, bptt_steps=4, state=state)
            learned, state = result.parameters, None if forgets else result.state
            found.append(result.loss)
        return found

    ours = losses(0.5, False)
    wrong = {"does not learn": (0.0, False), "forgets its state": (0.5, True), "learns at another rate": (0.6, False)}
    assert contest.difference(ours, losses(0.5, False)) is None
    assert contest.difference(ours, losses(*wrong[mistake])) is not None


def test_a_comparison_that_proves_nothing_counts_for_nothing() -> None:
    contest, engine = room("peers.contest"), room("peers.engine")
    still = engine.Prepared("ours", 0.0, [1.0] * 4, moved=1e-5)
    assert contest.weakness(still) == "learning changes the first 4 losses by 1e-05 only"
    assert contest.weakness(engine.Prepared("ours", 0.0, [1.0], moved=float("nan"))) is not None
    assert contest.weakness(engine.Prepared("ours", 0.0, [1.0, 0.5], moved=0.3)) is None


def _result(*peers: tuple[str, float, str | None]) -> Any:
    """Ours at 2 us a sample beside peers of these figures."""
    contest, engine, cases = room("peers.contest"), room("peers.engine"), room("peers.cases")

    def contestant(name: str, us: float, refused: str | None = None) -> Any:
        timings = [engine.Timing(us * 1e-3, us * 1e-3, 1000)]
        return contest.Contestant(name, engine.Variant("way", "scan"), 2, timings=timings, refused=refused)

    entered = tuple(contestant(*peer) for peer in peers)
    return contest.Result(cases.listed()["lstm4"], contestant("neuromorph", 2.0), None, entered, 2880)


def test_the_ratio_is_to_the_best_peer_that_counts() -> None:
    report = room("peers.report")
    result = _result(("jax", 10.0, None), ("jax", 30.0, None), ("torch", 1.0, "its losses differ"))
    assert result.ratio == pytest.approx(5.0)
    assert result.best_peer.name == "jax (way, 2 threads)"
    assert result.best_of("torch") is None
    assert "5.00 !" in report.table([result], 100.0)
    assert result.as_json(100.0)["share_of_peak"] == pytest.approx(2880 / 2e3 / 100)
    json.dumps(result.as_json(100.0), allow_nan=False)


def test_where_no_peer_counts_there_is_no_ratio() -> None:
    result = _result(("jax", 1.0, "its losses differ"))
    assert result.ratio is None
    assert result.best_peer is None
    assert "no peer that counts" in room("peers.report").table([result], 100.0)
    json.dumps(result.as_json(100.0), allow_nan=False)


def test_what_random_graphs_come_to() -> None:
    """How many, what was left out and why, and the worst with all that is needed to measure it again."""
    contest, report, cases = room("peers.contest"), room("peers.report"), room("peers.cases")
    good, bad = _result(("jax", 10.0, None), ("jax", 3.0, None)), _result(("jax", 10.0, "x"), ("jax", 1.0, "y"))
    weak = contest.Result(good.case, good.ours, None, (), 1, "learning changes nothing")
    for peer, why in zip(bad.peers, (contest.DIFFERS, contest.UNTRIED), strict=True):
        peer.why = why
    lines = report.random_summary([good, bad, weak], ["random3-lstm: not measured: it broke"], 7)
    assert lines == [
        "random graphs of seed 7: 1 of 4 measured beside a peer",
        "left out: lstm4: losses that differ",
        "left out: lstm4: it learns too little to compare losses",
        "left out: random3-lstm: not measured: it broke",
        "ways of peers to train them: 4, 2 counted; 1 left out: losses that differ; 1 left out: no time left to try",
        "worst ratio of 1 random graphs: 1.50, lstm4 beside jax (way, 2 threads)",
        f"batch 5, windows of 16: {' '.join(cases.listed()['lstm4'].text.split())}",
        "again: --cases lstm4 --seed 7",
    ]
    assert report.random_summary([], [], 0) == ["random graphs of seed 0: 0 of 0 measured beside a peer"]


class _Stage:
    """Workers that take no time: by engine, way and threads the microseconds of a sample or an error."""

    def __init__(self, figures: dict[tuple[str, str, int], Any]) -> None:
        self.figures, self.folder, self.asked = figures, "", []

    def process(self, key: tuple[str, int]) -> Any:
        return _Actor(self)

    def clear(self, limit: float) -> None:
        pass


class _Actor:
    def __init__(self, stage: _Stage) -> None:
        self.stage, self.gone, self.names = stage, False, {}

    def ask(self, order: dict[str, Any], limit: float) -> Any:
        if order["do"] == "prepare":
            task = order["task"]
            name = self.names[order["number"]] = task["engine"], task["variant"]["name"], task["threads"]
            self.stage.asked.append(name)
            if isinstance(self.stage.figures.get(name), Exception):
                raise self.stage.figures[name]
            return {"version": "1", "compiling": 0.0, "losses": [0.5, 0.4], "moved": 0.3}
        if order["do"] == "drop":
            return True
        seconds = self.stage.figures.get(self.names[order["number"]], 5.0)
        return {"seconds": seconds * 1e-3, "cpu": 1e-3, "samples": 1000}


def _held(figures: dict[tuple[str, str, int], Any], **settings: Any) -> tuple[Any, list[Any]]:
    """A small case's contest on such a stage; and who prepared."""
    contest, cases = room("peers.contest"), room("peers.cases")
    case, stage = (
        room("peers.case").Case("small", cases.example_model("lstm-model", 4), 3, 16, 32, 0.5),
        _Stage(figures),
    )
    chosen = contest.Settings(peers=("jax",), threads=(1, 2), **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contest, "PAUSE", 0.0)
        return contest.contest(case, chosen, stage), stage.asked


WAYS = ["jit, fused", "jit, fused, unroll 16", "jit, fused, unroll 4", "jit, node by node",
        "jit, node by node, unroll 16"]  # fmt: skip


def test_every_way_is_tried_on_all_threads_but_what_they_could_not_save() -> None:
    contest = room("peers.contest")
    result, asked = _held({("jax", WAYS[1], 1): 2.5, ("jax", WAYS[3], 1): 6.1})
    assert asked[0][0] == "neuromorph"
    assert [peer.why for peer in result.peers] == [""] * 7 + [contest.HOPELESS, "", ""]
    assert asked[1:] == [("jax", way, count) for way in WAYS for count in (1, 2) if (way, count) != (WAYS[3], 2)]
    assert result.best_peer.best == 2.5
    assert result.alone is result.ours
    assert [len(peer.timings) for peer in result.peers] == [2, 2, 7, 2, 2, 2, 1, 0, 2, 2]  # 2.5 against 5, and 6.1


@pytest.mark.parametrize(("name", "why"), [("TimeLimitError", "time limit"), ("WorkerError", "peer failed")])
def test_a_way_that_fails_is_not_tried_again_and_the_others_count(name: str, why: str) -> None:
    error = getattr(room("peers.processes"), name)("too slow")
    result, asked = _held({("jax", WAYS[0], 1): error})
    assert [peer.why for peer in result.peers] == [why] * 2 + [""] * 8
    assert ("jax", WAYS[0], 2) not in asked
    assert result.ratio == 1.0


def test_patience_ends_a_library() -> None:
    contest = room("peers.contest")
    result, asked = _held({}, patience=-1.0)
    assert {peer.why for peer in result.peers} == {contest.UNTRIED}
    assert result.left_out == "no peer"
    assert len(asked) == 1


@pytest.mark.parametrize(("adaptive", "rounds"), [(True, 3), (False, 7)])
def test_steady_figures_end_a_contest_that_may_end(adaptive: bool, rounds: int) -> None:
    result, _ = _held({}, adaptive=adaptive)
    assert {len(contestant.timings) for contestant in (result.ours, *result.peers)} == {rounds}


def test_those_that_lose_their_process_with_another_prepare_again() -> None:
    """A worker that took too long is ended, with all that it had prepared."""
    processes, late = room("peers.processes"), ("jax", WAYS[2], 1)
    pool = _Stage({late: processes.TimeLimitError("too slow")})
    workers: dict[Any, _Actor] = {}

    def process(key: tuple[str, int]) -> _Actor:
        if key not in workers or workers[key].gone:
            workers[key] = _Mortal(pool)
        return workers[key]

    pool.process = process  # type: ignore[method-assign]
    contest, cases = room("peers.contest"), room("peers.cases")
    case = room("peers.case").Case("small", cases.example_model("lstm-model", 4), 3, 16, 32, 0.5)
    result = contest.contest(case, contest.Settings(peers=("jax",), threads=(1,), runs=3), pool)
    again = [("jax", way, 1) for way in (*WAYS[:3], *WAYS[:2], *WAYS[3:])]
    assert pool.asked[1:] == again
    assert [len(peer.timings) for peer in result.peers] == [4, 4, 0, 3, 3]


class _Mortal(_Actor):
    """Ends with the first error."""

    def ask(self, order: dict[str, Any], limit: float) -> Any:
        assert not self.gone
        try:
            return super().ask(order, limit)
        except Exception:
            self.gone = True
            raise


def test_a_chart_is_a_picture(tmp_path: Any) -> None:
    room("peers.report").chart(tmp_path / "c.png", [_result(("jax", 10.0, None), ("torch", 9.0, "no"))], "a machine")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


# Processes -----------------------------------------------------------------------------------------------------------


def test_a_worker_that_can_not_or_takes_too_long_is_named_and_ended(tmp_path: Any) -> None:
    processes = room("peers.processes")
    worker = processes.Process(str(tmp_path))
    with pytest.raises(processes.WorkerError, match="KeyError: 'do'"):
        worker.ask({}, 60.0)
    assert worker.ask({"do": "clear"}, 60.0) == 0  # who says why it can't lives on
    with pytest.raises(processes.TimeLimitError, match="not done after 0 s"):
        worker.ask({"do": "peak", "threads": [1]}, 0.0)
    with pytest.raises(processes.WorkerError, match="its process was ended"):
        worker.ask({"do": "peak", "threads": [1]}, 60.0)
    with pytest.raises(ProcessLookupError):
        os.kill(worker._process.pid, 0)


def test_one_tiny_case_without_peers(
    tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark, out = room("benchmark"), tmp_path / "out.json"
    text = "/xavier,zero/ (input, 3) (output, 2, <softmax>, <cross_entropy>)"
    tiny = room("peers.case").Case("tiny", text, 4, 1, 800, 0.1)
    monkeypatch.setattr(benchmark, "listed", lambda: {"tiny": tiny})
    monkeypatch.setattr(benchmark.report, "cores", lambda: 1)
    arguments = ["--cases", "tiny", "--quick", "--runs", "1", "--peers", "none", "--json", str(out)]
    assert benchmark.main(arguments) == 0
    found = json.loads(out.read_text())
    (case,) = found["cases"]
    assert (case["case"], case["samples"]) == ("tiny", 100)
    assert case["ratio"] is None
    assert case["ours"]["us"] > 0
    assert 0 < case["share_of_peak"] < 1
    assert case["ours"]["version"].startswith(f"neuromorph {nm.__version__}")
    assert "tiny " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (["--cases", "lstm5"], "unknown: 'lstm5'; known are lstm4, big4"),
        (["--cases", "lstm4,,"], "unknown: ''; known are"),
        (["--cases", "random1-tree"], "unknown: 'random1-tree'; known are"),
        (["--peers", "jax,"], "unknown: ''; known are"),
        (["--patience", "0"], "a whole number of at least 1, not '0'"),
        (["--peers", "keras"], "unknown: 'keras'; known are jax, jax0431, torch, none"),
        (["--jax0431", "no-such-python"], "no program: 'no-such-python'"),
        (["--runs", "0"], "a whole number of at least 1, not '0'"),
        (["--random", "-1"], "a whole number of at least 0, not '-1'"),
        (["--limit", "nan"], "a whole number of at least 1, not 'nan'"),
        (["--json", "no-such-folder/out.json"], "no file in an existing folder: 'no-such-folder/out.json'"),
    ],
)
def test_a_wrong_argument_is_named(argument: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        room("benchmark").main(argument)
    assert message in capsys.readouterr().err


def test_a_random_graph_is_measured_again_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark, cases = room("benchmark"), room("peers.cases")
    options = benchmark._parser().parse_args(["--cases", "lstm4,random7-gru", "--seed", "3"])
    assert benchmark._chosen(options) == [cases.listed()["lstm4"], room("peers.random_cases").random_case(3, 7)]
    options = benchmark._parser().parse_args(["--cases", "random7-lstm"])
    with pytest.raises(SystemExit, match="unknown: 'random7-lstm'; did you mean random7-gru"):
        benchmark._chosen(options)


def test_what_quick_leaves_out_is_counted() -> None:
    benchmark, contest = room("benchmark"), room("peers.contest")
    line = benchmark._what_quick_left_out([_result()], contest.Settings())
    assert "6 of 8 ways" in line
    assert "an eighth of the samples" in line


def test_a_missing_peer_is_said_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark, environments = room("benchmark"), room("peers.environments")
    monkeypatch.setattr(environments.importlib.util, "find_spec", lambda name: None if name == "jax" else object())
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "nowhere")
    settings = benchmark._settings(benchmark._parser().parse_args([]))
    assert settings.peers == ("torch",)
    said = capsys.readouterr().out
    assert "jax is not installed and left out: pip install '.[bench]' brings it" in said
    assert "jax0431 is not installed and left out: no interpreter in nowhere, and none told by --jax0431" in said


@pytest.mark.parametrize(
    ("prints", "missing"),
    [("echo 0.4.31", None), ("echo 0.10.2", "has JAX 0.10.2, not 0.4.31"), ("exit 1", "has no JAX, not 0.4.31")],
)
def test_an_interpreter_of_a_peer_is_asked_for_its_version(tmp_path: Path, prints: str, missing: str | None) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{prints}\n")
    python.chmod(0o755)
    found = room("peers.environments").present("jax0431", python)
    assert found.python == (None if missing else str(python))
    assert found.missing == (None if missing is None else f"{python} {missing}")


def test_a_peer_with_an_interpreter_of_its_own_runs_in_it(tmp_path: Path) -> None:
    """An interpreter that answers each order with its own name."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nwhile read order; do echo \'{"ok": "another"}\'; done\n')
    python.chmod(0o755)
    with room("peers.processes").Pool({"jax0431": str(python)}) as pool:
        assert pool.process(("jax0431", 1)).ask({"do": "peak"}, 60.0) == "another"
        assert pool.process(("jax", 1)).ask({"do": "clear"}, 60.0) == 0


def test_a_peer_s_process_needs_no_neuromorph() -> None:
    """What the worker of JAX 0.4.31 reads before it reads JAX."""
    blocked = "import sys; sys.modules['neuromorph'] = None; import peers.worker, peers.program"
    subprocess.run([sys.executable, "-c", blocked], cwd=TOOLS, check=True)


def test_the_better_of_two_versions_counts_for_a_library() -> None:
    result = _result(("jax", 10.0, None), ("jax0431", 4.0, None), ("torch", 6.0, None))
    assert result.ratio == pytest.approx(2.0)
    assert result.best_of("jax").engine == "jax0431"
    found = result.as_json(100.0)["best_of"]
    assert found["jax"] == {"engine": "jax0431", "name": "jax0431 (way, 2 threads)", "us": 4.0}
    assert found["torch"]["us"] == 6.0
