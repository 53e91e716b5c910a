"""How fast exported C steps, beside ``predict`` of one lane and onnxruntime on the step graph, in one run.

    python tools/export_times.py                    # the textbook LSTM, width 16 and 64
    python tools/export_times.py --widths 16 --flags=-O2

It needs gcc. Without the packages onnx and onnxruntime, that peer is left out. All use one thread. Figures are
nanoseconds a step, the best of several runs; the ways take turns. ``predict`` is one call over all steps.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from peers.cases import textbook

import neuromorph as nm
from neuromorph.export import to_c, to_onnx

TIMED = ("C", "predict", "onnxruntime")
STEPS, RUNS = 20_000, 7
ONNX_STEPS = 2_000  # of onnxruntime, each of which is a call from Python

LOOP = """#include "net.h"
void loop(struct net *state, const float *x, float *y, long steps)
{
    long t;
    for (t = 0; t < steps; t++) net_step(state, x + t * NET_INPUTS, y + t * NET_OUTPUTS);
}
unsigned long size(void) { return sizeof(struct net); }
"""


def exported(model: nm.Model, folder: Path, flags: Sequence[str]) -> Any:
    """The C of a model and a loop over steps, as a shared library."""
    to_c(model, folder / "net.c")
    widths = f"#define NET_INPUTS {model.input_width}\n#define NET_OUTPUTS {model.output_width}\n"
    (folder / "loop.c").write_text(widths + LOOP)
    command = ["gcc", "-std=c99", *flags, "-shared", "-fPIC", "net.c", "loop.c", "-lm", "-o", "net.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "net.so"))


def c_steps(library: Any, inputs: np.ndarray, outputs: np.ndarray) -> Callable[[], int]:
    """What runs the exported model over all steps, and says how many there are."""
    library.size.restype = ctypes.c_ulong
    state = ctypes.create_string_buffer(library.size())
    x, y = (array.ctypes.data_as(ctypes.c_void_p) for array in (inputs, outputs))

    def run() -> int:
        library.net_init(state)
        library.loop(state, x, y, ctypes.c_long(len(inputs)))
        return len(inputs)

    return run


def onnx_steps(model: nm.Model, inputs: np.ndarray, folder: Path) -> Callable[[], int]:
    """What runs onnxruntime over some steps, states handed on."""
    import onnxruntime

    to_onnx(model, folder / "net.onnx", form="step")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "net.onnx"), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()][1:]
    rows = [np.ascontiguousarray(row) for row in inputs[:ONNX_STEPS, None]]

    def run() -> int:
        state = {name: np.zeros((1, *model.state[name.partition("/")[2]].shape[1:]), inputs.dtype) for name in names}
        for row in rows:
            _, *after = session.run(None, {"x": row, **state})
            state = dict(zip(names, after, strict=True))
        return len(rows)

    return run


def best_times(ways: dict[str, Callable[[], int]], runs: int) -> dict[str, float]:
    """Nanoseconds a step of each way."""
    best = dict.fromkeys(ways, np.inf)
    for _ in range(runs):
        for name, run in ways.items():
            started = time.perf_counter()
            steps = run()
            best[name] = min(best[name], (time.perf_counter() - started) / steps * 1e9)
    return best


def measure(width: int, flags: Sequence[str], runs: int) -> str:
    """A row of the table."""
    model = nm.build(nm.compile(textbook(width), 1, 0.1, threads=1, tier="compiled"), seed=0)
    inputs = np.random.default_rng(0).uniform(-1, 1, (STEPS, model.input_width)).astype(np.float32)
    outputs = np.empty((STEPS, model.output_width), np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways = {"C": c_steps(exported(model, folder, flags), inputs, outputs)}
        ways["predict"] = lambda: len(nm.predict(model, inputs[:, None]))
        if all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime")):
            ways["onnxruntime"] = onnx_steps(model, inputs, folder)
        found = best_times(ways, runs)
    ways["C"]()
    np.testing.assert_allclose(outputs, nm.predict(model, inputs[:, None])[:, 0], atol=1e-5)
    shown = "  ".join(f"{name} {found[name]:>9,.0f}" if name in found else f"{name} -" for name in TIMED)
    return f"LSTM of {width:<4} {shown}  C takes {found['C'] / found['predict']:.2f} times predict" + (
        f"; onnxruntime takes {found['onnxruntime'] / found['C']:.1f} times C" if "onnxruntime" in found else ""
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a row for each width."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--widths", default="16,64", help="of the LSTM (default: 16,64)")
    parser.add_argument("--flags", default="-O3 -march=native", help="for gcc (default: -O3 -march=native)")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"rounds; the best counts (default: {RUNS})")
    chosen = parser.parse_args(arguments)
    if shutil.which("gcc") is None:
        print("gcc is not installed", file=sys.stderr)
        return 1
    print("nanoseconds a step")
    for width in map(int, chosen.widths.split(",")):
        print(measure(width, chosen.flags.split(), chosen.runs), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
