"""Writes the self-test of exported C: recorded inputs, and the outputs that the model gave for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neuromorph as nm

from .c_arrays import constant
from .c_expressions import Mathematics

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # of the test, relative to 1 + the size of the output
_NUDGE = {"float32": 1e-6, "float64": 1e-14}  # a relative change of inputs that stands for what is rounded
_STEPS, _NUMBERS = 32, 4096  # the most steps, and about the most numbers
_TRIES = 4  # inputs that are drawn, of which those are taken whose outputs depend least on what is rounded


@dataclass(frozen=True)
class Recording:
    """Inputs (S, W_in) and outputs (S, W_out). first: the step from which outputs are compared, S for none."""

    inputs: NDArray[Any]
    outputs: NDArray[Any]
    first: int

    @property
    def compared(self) -> int:
        """The number of steps whose outputs are compared."""
        return len(self.inputs) - self.first


def record(model: nm.Model) -> Recording:
    """Inputs whose outputs are finite and about the same however numbers are rounded, for as many steps as possible."""
    rng, best = np.random.default_rng(0), None
    for _ in range(_TRIES):
        found = _recorded(model, rng)
        if best is None or found.compared > best.compared:
            best = found
        if best.compared == _steps(model):
            break
    assert best is not None
    return best


def _steps(model: nm.Model) -> int:
    return max(1, min(_STEPS, _NUMBERS // (model.input_width + model.output_width)))


def _recorded(model: nm.Model, rng: np.random.Generator) -> Recording:
    shape, dtype = (_steps(model), model.input_width), model.dtype
    mean, scale = _units(model)
    inputs = (mean + scale * rng.normal(size=shape)).astype(dtype)
    nudges = 1.0 + _NUDGE[dtype.name] * rng.choice([-1.0, 1.0], shape)
    outputs, others = model.predict(inputs), model.predict((inputs * nudges).astype(dtype))
    with np.errstate(all="ignore"):
        near = np.abs(outputs - others) <= TOLERANCE[dtype.name] * (1.0 + np.abs(outputs))
    good, finite = near.all(axis=1), np.isfinite(outputs).all(axis=1)
    first = int(finite.argmax()) if finite.any() else len(finite)
    bad = np.flatnonzero(~(good & finite)[first:])
    stop = first + int(bad[0]) if len(bad) else len(finite)
    end = max(stop, 1)
    return Recording(inputs[:end], outputs[:end], min(first, end) if stop else end)


def _units(model: nm.Model) -> tuple[Any, Any]:
    """Mean and scale of what comes in, as the first node that standardizes the input has them."""
    graph = model.graph
    for node in graph.nodes:
        own = node.live and node.elementwise is not None and node.elementwise.name == "standardize"
        if own and node.source is not None and graph.resolve(node.source) == graph.input:
            arrays = model.get_parameters()
            return arrays[f"{node.name}.mean"], arrays[f"{node.name}.scale"]
    return 0.0, 1.0


def lines_of(recording: Recording, type_name: str, mathematics: Mathematics) -> list[str]:
    """The test as lines of C, with a function ``main`` that returns 1 if an output differs."""
    prefix, literal = mathematics.prefix, mathematics.literal
    upper = prefix.upper()
    also = "" if upper == "NET" else " || defined(NET_SELFTEST)"
    head = [f"#if defined({upper}_SELFTEST){also}"]
    if not recording.compared:
        why = "/* No output of this model is finite and independent of rounding, so nothing is compared. */"
        return [*head, why, "int main(void)", "{", "    return 0;", "}", "#endif"]
    steps, tolerance = len(recording.inputs), TOLERANCE[mathematics.dtype]
    known = f"step >= {recording.first} && " if recording.first else ""
    return [
        *head,
        "/* Inputs, and the outputs that the model gave for them. */",
        *constant(type_name, f"{prefix}_test_inputs", recording.inputs),
        *constant(type_name, f"{prefix}_test_outputs", recording.outputs),
        "",
        "/* Returns 1 if an output differs by more than its last digits. */",
        "int main(void)",
        "{",
        f"    static struct {prefix} s;",
        f"    static {type_name} y[{upper}_OUT];",
        f"    {prefix}_init(&s);",
        f"    for (int step = 0; step < {steps}; step++) {{",
        f"        {prefix}_step(&s, {prefix}_test_inputs[step], y);",
        f"        for (int j = 0; {known}j < {upper}_OUT; j++) {{",
        f"            const {type_name} wanted = {prefix}_test_outputs[step][j];",
        f"            const {type_name} gap = y[j] > wanted ? y[j] - wanted : wanted - y[j];",
        f"            const {type_name} size = wanted > {literal(0.0)} ? wanted : -wanted;",
        f"            if (!(gap <= {literal(tolerance)} * ({literal(1.0)} + size))) {{",
        "                return 1;",
        "            }",
        "        }",
        "    }",
        "    return 0;",
        "}",
        "#endif",
    ]
