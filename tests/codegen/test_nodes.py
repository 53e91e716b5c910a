"""Few texts with all nodes of the second edition at once: interpreter, plain source and compiled kernels agree.

Windows are shorter and longer than the delays. Each text is compiled four times, once for each batch.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from helpers import witnesses
from helpers.compiled_models import NODES
from neuromorph.functions import ELEMENTWISE, MERGES
from neuromorph.language import library

WINDOWS = [2, 7]  # the longest delay is of 5 steps
SAMPLES = 9
COMPILED: list[tuple[str, str, dict[str, Any]]] = [
    ("layers", "float64", {"batch": 3, "lanes": 4}),
    ("layers", "float32", {"batch": 17, "lanes": 8, "threads": 2}),
    ("layers", "float64", {"batch": 8, "lanes": 8, "registers": 32, "threads": 2}),
    ("layers", "float32", {"batch": 1, "lanes": 16, "registers": 32}),
    ("cells", "float64", {"batch": 8, "lanes": 2, "threads": 2}),
    ("cells", "float32", {"batch": 1, "lanes": 4}),
    ("cells", "float64", {"batch": 17, "lanes": 4, "threads": 2}),
    ("cells", "float32", {"batch": 3, "lanes": 16, "registers": 32}),
]
PLAIN = [
    # every batch with every number of threads, and every number of lanes up to those of AVX-512
    (dtype, {"batch": batch, "lanes": lanes, "threads": min(threads, batch)})
    for (batch, threads), (dtype, lanes) in zip(
        itertools.product([1, 3, 8, 17], [1, 2]),
        itertools.cycle([("float64", 4), ("float32", 16), ("float64", 8), ("float32", 4), ("float64", 2)]),
        strict=False,
    )
]


def check(name: str, dtype: str, functions: Any, **options: Any) -> None:
    """Values, losses, gradients and a training run, without and with sample weights, in short and in long windows."""
    kernel = witnesses.kernel_of(NODES[name], dtype=dtype, **options)
    called = functions(kernel)
    for window, weighted in zip(WINDOWS, [True, False], strict=True):
        trial = witnesses.trial_of(
            NODES[name], batch=options["batch"], samples=SAMPLES, window=window, seed=window, weighted=weighted
        )
        trial = witnesses.with_vectors(trial)
        found, wanted = witnesses.kernel_outcome(kernel, called, trial), witnesses.reference_outcome(trial)
        witnesses.assert_agree(found, wanted, witnesses.TOLERANCE[dtype], f"{name} {kernel.options} {window}")


def test_these_texts_have_all_nodes_of_the_second_edition() -> None:
    both = "".join(NODES.values())
    assert all(f"<{name}" in both for name in [*ELEMENTWISE, "conv", "restore"])
    assert all(f"<{cell.name}" in both for cell in library())
    merges = {name for name, merge in MERGES.items() if merge.other_width != "any"} | {"take", "maximum", "minimum"}
    assert all(f", {name}" in both for name in merges)
    assert max(int(steps) for steps in re.findall(r", (\d)}", both)) > min(WINDOWS)


@pytest.mark.parametrize(("dtype", "options"), PLAIN)
@pytest.mark.parametrize("name", NODES)
def test_the_plain_source_agrees_with_the_reference(name: str, dtype: str, options: dict[str, Any]) -> None:
    check(name, dtype, witnesses.plain, **options)


@pytest.mark.parametrize(("name", "dtype", "options"), COMPILED)
def test_compiled_kernels_agree_with_the_reference(name: str, dtype: str, options: dict[str, Any]) -> None:
    check(name, dtype, witnesses.compiled, **options)
