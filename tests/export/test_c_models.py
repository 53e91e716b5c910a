"""Exported C computes what the interpreter says a text means, for every function of the language."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.c_programs import C99, STRICT, Library, figure, needs, run
from helpers.compiled_models import zoo
from helpers.microcontroller import exit_code_of_self_test
from helpers.plain_kernels import plain_kernels
from helpers.texts import GRU, HEADER, LSTM, STRUCTURES, text_of
from neuromorph.export import to_c
from neuromorph.functions import ELEMENTWISE
from neuromorph.graph import interpreter
from neuromorph.language import library

STEPS = 12
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
END = "(output, 3, <tanh>, <mse>)"
LAYERS = " ".join(f"(e{n}, <{name}>)" for n, name in enumerate(sorted(ELEMENTWISE.keys() - {"learned"})))
CELLS = " ".join(f"(c{n}, 4, <{cell.name}>)" for n, cell in enumerate(library()))
# By the name of the file: a text, the type, and whether <math.h> may be used.
MODELS = {
    "all_float": (zoo((9,), "(out, 11, <softmax>, <cross_entropy>)"), "float32", True),
    "all_double": (zoo((5, 7), "(out, 3, <softmax>, <cross_entropy>)"), "float64", True),
    "own_float": (zoo((7, 4), "(out, 3, <softplus>, <mse>)"), "float32", False),
    "own_double": (zoo((4,), "(out, 9, <gelu_exact>, <mse>)"), "float64", False),
    "lstm": (LSTM, "float32", True),
    "gru": (GRU, "float64", True),
    "cells": (f"{HEADER} (input, 4) {CELLS} {END}", "float64", False),
    "elementwise": (f"{HEADER} (input, 5) {LAYERS} (output, 9, <restore>, <mse>)", "float64", False),
    "learned": (f"{HEADER} (input, 2) [s, (v, 3, <learned, 0.4>)] {{m, v, concatenate}} {END}", "float32", True),
    "delays": (
        f"{HEADER} (input, 3) {{a, b, concatenate, 5}} (b, 9, <tanh>) {{c, b, additive, 1}} {{d, input, take, 3}}"
        f" {{e, d, average, 1}} (q, 9, <tanh>) {{f, b, dot, 2}} {{g, f, additive, 1}} {{h, g, scale, 1}} {END}",
        "float64",
        True,
    ),
    "convolutions": (
        f"{HEADER} (input, 3) [s, (a, 5, <conv, 3, 2>) | (b, 9, <conv, 3, 2>)] (c, 2, <conv, 4>) {{m, a, concatenate}}"
        f" {{n, b, concatenate, 2}} (d, 9, <conv, 2>) (e, 70, <conv, 3>) (f, 2, <conv, 2>) (g, 67, <tanh>)"
        " (h, 1, <tanh>) (output, 2, <conv, 2, 2>, <mse>)",
        "float64",
        True,
    ),
    "names": (
        f"{HEADER} (int, 3) (h.x, 4, <tanh>) (h-x, 4, <tanh>) (h_x, 9, <tanh>) (NAN, 2, <relu>) (_x, 2, <linear>)"
        " (s, 2, <linear>) (net, 2, <linear>) (j, 2, <linear>) (__, 3, <linear>) {class, class, additive}"
        " (k, 3, <tanh>) {k_at, k, additive, 2} (k_past, 3, <tanh>) {q, k, additive, 1} (q_at, 3, <tanh>)"
        " {q_past, q, additive, 1} (q_before, 3, <relu>)"
        " (names, 3, <tanh>, <mse>)",
        "float32",
        True,
    ),
    "no_input": ("/xavier,zero/ (input, 2) {m, output, take} (output, 3, <cos>, <mse>)", "float32", True),
    "late": (text_of(STRUCTURES["late, nested, read outside"]), "float64", True),
    "itself": (text_of(STRUCTURES["every self merge"]), "float64", True),
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """Models in one folder, and the outputs (S, W_out) that the interpreter gives for inputs (S, W_in)."""

    folder: Path
    inputs: dict[str, np.ndarray]
    wanted: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("c")
    found = Exported(folder, {}, {})
    with plain_kernels(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, (text, dtype, libm) in MODELS.items():
            model = built(text, dtype)
            to_c(model, folder / f"{name}.c", libm=libm)
            inputs = np.random.default_rng(1).normal(size=(STEPS, model.input_width)).astype(dtype)
            found.inputs[name] = inputs
            wanted = interpreter.predict(model.graph, model.get_parameters(), inputs[:, None])
            found.wanted[name] = wanted[:, 0]
    return found


def built(text: str, dtype: str) -> nm.Model:
    """A model with random numbers also where a vector would be 0 or 1 at first."""
    nm.seed(3)
    model = nm.build(nm.compile(text, 1, 0.1, dtype=dtype))
    rng = np.random.default_rng(2)
    vectors = {name: value for name, value in model.get_parameters().items() if value.ndim == 1}
    model.set_parameters({name: value + rng.uniform(0.1, 0.4, value.shape) for name, value in vectors.items()})
    return model


@needs("gcc")
@pytest.mark.parametrize(
    ("flags", "names"), [("-O0", list(MODELS)), ("-O2", ["all_float", "elementwise", "delays", "convolutions"])]
)
def test_c_computes_what_texts_mean(exported: Exported, flags: str, names: list[str]) -> None:
    """-O0 joins products and sums as kernels do, -O2 without -march does not."""
    compiled = Library(exported.folder, names, flags)
    for name in names:
        wanted = exported.wanted[name]
        found = compiled.outputs(name, exported.inputs[name], wanted.shape[1])
        tolerance = TOLERANCE[MODELS[name][1]] * max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance, err_msg=name)


def self_test(exported: Exported, name: str, *command: str) -> int:
    """What the self-test of a model returns, compiled by a command."""
    run([*command, "-DNET_SELFTEST", f"{name}.c", "-lm", "-o", "test"], exported.folder)
    return subprocess.run([exported.folder / "test"], timeout=60).returncode


def changed_weight(source: str) -> str:
    """A source with another first weight."""
    return re.sub(r"(?<=\n    )(-?\d+\.\d+)(f?),", r"\g<1>\g<2> + 1.0\g<2>,", source, count=1)


@needs("gcc")
@pytest.mark.parametrize("name", ["lstm", "delays"])
def test_a_self_test_passes_and_fails_for_a_changed_weight(exported: Exported, name: str, tmp_path: Path) -> None:
    assert self_test(exported, name, "gcc", *C99) == 0
    source = (exported.folder / f"{name}.c").read_text(encoding="ascii")
    changed = changed_weight(source)
    other = Exported(tmp_path, {}, {})
    (tmp_path / f"{name}.c").write_text(changed, encoding="ascii")
    shutil.copy(exported.folder / f"{name}.h", tmp_path)
    assert changed != source
    assert self_test(other, name, "gcc", *C99) == 1


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("g++", "-x", "c++", *STRICT), marks=needs("g++")),
        pytest.param(("clang", *C99), marks=needs("clang")),
        pytest.param(("clang++", "-x", "c++", *STRICT), marks=needs("clang++")),
    ],
    ids=["g++", "clang", "clang++"],
)
def test_other_compilers_take_it_without_a_warning(exported: Exported, command: tuple[str, ...]) -> None:
    for name in ("all_float", "own_double"):
        assert self_test(exported, name, *command) == 0, name


@needs("gcc")
def test_sanitizers_find_nothing(exported: Exported) -> None:
    for name in ("own_double", "convolutions"):
        sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        assert self_test(exported, name, "gcc", *C99, *sanitizers) == 0, name


ON_ARM = ["all_float", "own_double", "lstm", "convolutions"]


@needs("arm-linux-gnueabihf-gcc")
@needs("qemu-arm")
def test_self_tests_pass_on_arm_of_32_bits(exported: Exported) -> None:
    for name in ON_ARM:
        command = ["arm-linux-gnueabihf-gcc", *C99, "-O2", "-static", "-DNET_SELFTEST", f"{name}.c", "-lm", "-o", "arm"]
        run(command, exported.folder)
        assert subprocess.run(["qemu-arm", exported.folder / "arm"], timeout=60).returncode == 0, name


@needs("arm-none-eabi-gcc")
@needs("qemu-system-arm")
def test_self_tests_pass_on_a_microcontroller(exported: Exported) -> None:
    """A Cortex-M4 without an operating system. A changed weight is noticed there too."""
    changed = changed_weight((exported.folder / "lstm.c").read_text(encoding="ascii"))
    (exported.folder / "changed.c").write_text(changed, encoding="ascii")
    for name, code in (*((name, 0) for name in ON_ARM), ("changed", 1)):
        assert exit_code_of_self_test(name, exported.folder) == code, name


@pytest.mark.parametrize("name", ["own_float", "own_double"])
def test_without_libm_nothing_is_included(exported: Exported, name: str) -> None:
    included = re.findall(r"#include (.*)", (exported.folder / f"{name}.c").read_text(encoding="ascii"))
    assert included == [f'"{name}.h"']


def test_with_libm_it_is_included_only_where_it_is_called(exported: Exported) -> None:
    sources = {name: (exported.folder / f"{name}.c").read_text(encoding="ascii") for name in ("all_float", "lstm")}
    assert {name: "<math.h>" in source for name, source in sources.items()} == {"all_float": True, "lstm": False}


@needs("gcc")
def test_the_struct_has_the_bytes_that_the_comment_says(exported: Exported) -> None:
    names = ["all_float", "delays", "convolutions", "gru"]
    lines = [f'#include "{name}.h"' for name in names]
    lines += [
        f"int size_of_{name}(void);\nint size_of_{name}(void) {{ return (int)sizeof(struct {name}); }}"
        for name in names
    ]
    (exported.folder / "sizes.c").write_text("\n".join(lines), encoding="ascii")
    compiled = Library(exported.folder, ["sizes"])
    for name in names:
        assert getattr(compiled.functions, f"size_of_{name}")() == figure(exported.folder / f"{name}.c", "RAM"), name
