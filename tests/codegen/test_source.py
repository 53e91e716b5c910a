"""Generated sources: the same bytes every time, nothing of the user's but comments, nothing that is not needed.

The golden sources in ``tests/codegen/golden`` show what a change to the generator does to four models. After a change
that is meant, renew them and review the difference::

    NEUROMORPH_RENEW_GOLDEN=1 python -m pytest tests/codegen/test_source.py -k golden
"""

from __future__ import annotations

import ast
import builtins
import io
import itertools
import os
import re
import subprocess
import sys
import time
import tokenize
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from helpers.growing_texts import in_line, layers
from helpers.paths import MODELS, TESTS
from helpers.random_models import bounded, models
from helpers.texts import FORWARD, GRU, HEADER, LSTM, STRUCTURES, text_of
from helpers.witnesses import graph_of, kernel_of, plain
from neuromorph.abi.mailbox import SUMS, new_mailbox
from neuromorph.codegen import Kernel, KernelOptions, generate, source
from neuromorph.codegen.writer import Writer
from neuromorph.jit import bundles, cache
from neuromorph.schedule import plan
from neuromorph.schedule.layout import Layout, Workspace, panel_of

GOLDEN = TESTS / "codegen" / "golden"
GOLDEN_MODELS = ("small-model", "gated-model", "lstm-model", "big-model")
GOLDEN_OPTIONS: dict[str, Any] = {"batch": 5, "dtype": "float32", "lanes": 4, "registers": 32}


def code_of(source: str) -> str:
    """A source without its comments."""
    lines = (line for line in source.splitlines() if not line.lstrip().startswith("#"))
    return "\n".join(lines)


# Golden sources -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_golden_sources(name: str) -> None:
    source = kernel_of((MODELS / f"{name}.mdl").read_text(), **GOLDEN_OPTIONS).source
    path = GOLDEN / f"{name}.py.txt"
    if os.environ.get("NEUROMORPH_RENEW_GOLDEN") == "1":
        path.write_text(source, encoding="ascii", newline="\n")
    assert source.encode() == path.read_bytes(), "see the head of this file for how to renew the golden sources"


def test_there_is_a_golden_source_for_each_of_the_four_models_and_no_other() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(f"{name}.py.txt" for name in GOLDEN_MODELS)


# The same bytes -------------------------------------------------------------------------------------------------------

SHOW = """
import hashlib, sys
sys.path.insert(0, {tests!r})
from helpers.texts import GRU, LSTM, STRUCTURES, text_of
from helpers.witnesses import kernel_of
for text in (GRU, LSTM, text_of(STRUCTURES["deep splits"])):
    for more in ({{}}, {{"threads": 2, "optimizer": "sgd"}}):
        print(hashlib.sha256(kernel_of(text, **more).source.encode()).hexdigest())
"""


def test_one_model_has_the_same_bytes_in_every_process() -> None:
    shown = []
    for seed in ("0", "1", "4242"):
        command = [sys.executable, "-c", SHOW.format(tests=str(TESTS))]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        shown.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert shown[0].count("\n") == 6
    assert shown[0] == shown[1] == shown[2]


@bounded(15)
@given(models())
def test_generating_twice_gives_the_same_bytes(text: str) -> None:
    assert kernel_of(text).source == kernel_of(text).source


def test_what_is_a_run_time_argument_is_not_in_the_source() -> None:
    """Comments, places and layout of the text change nothing but comments: the same model has the same kernel."""
    spread = LSTM.replace("\n", "\n\n# a comment\n").replace(",", " ,  ")
    assert code_of(kernel_of(spread).source) == code_of(kernel_of(LSTM).source)


# Nothing of the user's ------------------------------------------------------------------------------------------------


def test_names_stand_in_comments_only() -> None:
    names = sorted(node.name for node in graph_of(LSTM).nodes)
    odd = {name: f"zz{number}-odd.name" for number, name in enumerate(names)}
    renamed = re.sub(r"\b[a-z_]+\b", lambda found: odd.get(found.group(), found.group()), LSTM)
    source = kernel_of(renamed).source
    assert source.count("odd.name") > 40
    assert "odd" not in code_of(source)
    assert code_of(source) == code_of(kernel_of(LSTM).source)


def test_comments_of_the_text_do_not_reach_the_source() -> None:
    nasty = "# caf\u00e9 \u202e ''' \"\"\" \\ \\N{DIGIT ONE} \x0c import os\n"
    text = nasty + LSTM.replace("\n", "\n" + nasty)
    source = kernel_of(text).source
    assert source == kernel_of(LSTM).source
    assert source.isascii()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "# plain"),
        ("", "#"),
        ("two\nlines\r\nof it\x0b\x0c\x1c\x85\u2028\u2029", r"# two\nlines\r\nof it\x0b\x0c\x1c\x85\u2028\u2029"),
        ("caf\u00e9 \U0001f600 \udcff", r"# caf\xe9 \U0001f600 \udcff"),
        ("''' \"\"\" \\", "# ''' \"\"\" \\"),
        ("\x00\ttab", r"# \x00\ttab"),
    ],
)
def test_a_comment_is_one_line_of_printable_ascii(text: str, line: str) -> None:
    writer = Writer()
    writer.comment(text)
    assert writer.text() == line + "\n"


def test_a_writer_indents_blocks() -> None:
    writer = Writer()
    with writer.block("if a:"):
        writer.lines("b = 1", "")
        with writer.block("while c:"):
            writer.line("d()")
    writer.comment("e")
    assert writer.text() == "if a:\n    b = 1\n\n    while c:\n        d()\n# e\n"


def test_a_writer_names_what_is_written_more_than_once() -> None:
    """Whole expressions only, and from a line on; what occurs once stays as it is."""
    writer = Writer()
    writer.line("load(a + r * 8)")
    with writer.block("for r in rows:"):
        start = writer.length
        writer.lines("store(a + r * 8, load(b + r * 8) + load(da + r * 8))", "store(a + r * 8 + 4, a + r * 88)")
        writer.name_repeated(start, {"a + r * 8": "ar", "b + r * 8": "br", "c + r * 8": "cr"})
    assert writer.text().splitlines() == [
        "load(a + r * 8)",
        "for r in rows:",
        "    ar = a + r * 8",
        "    store(ar, load(b + r * 8) + load(da + r * 8))",
        "    store(ar + 4, a + r * 88)",
    ]


def test_one_lane_has_no_loops_over_rows_of_a_step() -> None:
    sources = [code_of(kernel_of(LSTM, batch=batch).source).split("def measure")[0] for batch in (1, 2)]
    assert ["for r in" in source for source in sources] == [False, True]


def test_a_softmax_of_the_callers_rows_reads_nothing_behind_them() -> None:
    layers = ("(a, <softmax>)", "(h, 11, <tanh>) (a, <softmax>)")
    sources = [kernel_of(text_of(each, width=11)).source for each in layers]
    assert ["exact=True" in source for source in sources] == [True, False]


# What a source holds --------------------------------------------------------------------------------------------------


def unknown_names(tree: ast.Module) -> set[str]:
    """Names that are read somewhere without being an argument, assigned in the same function, global or built in."""
    top = {n.id for node in tree.body for n in ast.walk(node) if isinstance(n, ast.Name) and node in tree.body}
    top = {t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)}
    top |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    imports = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    top |= {alias.asname or alias.name for node in imports for alias in node.names}
    found = set()
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        own = {node.id for node in names if isinstance(node.ctx, ast.Store)} | {a.arg for a in function.args.args}
        found |= {node.id for node in names if isinstance(node.ctx, ast.Load)} - own
    return found - top - set(dir(builtins))


def check_source(kernel: Kernel) -> None:
    """Imports, names, numbers and arguments of a generated file."""
    source = kernel.source
    assert source.isascii()
    assert source.endswith("\n")
    tree = ast.parse(source)
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {alias.name for n in imported if isinstance(n, ast.Import) for alias in n.names}
    modules |= {n.module or "" for n in imported if isinstance(n, ast.ImportFrom)}
    assert modules == {"neuromorph", "neuromorph.simd"}
    assert unknown_names(tree) == set()
    numbers = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert all(np.isfinite(n) for n in numbers if isinstance(n, float))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert functions.keys() == kernel.functions.keys()
    for name, function in functions.items():
        assert len(function.args.args) == len(kernel.functions[name])
        assert len(function.decorator_list) == 1
        assert ast.get_docstring(function)
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert calls & set(dir(builtins)) <= {"range", "min", "max", "float", "len"}


@bounded(40)
@given(models())
def test_sources_of_random_models_import_and_name_nothing_else(text: str) -> None:
    check_source(kernel_of(text, lanes=4))


@pytest.mark.parametrize("text", [LSTM, GRU, FORWARD], ids=["lstm", "gru", "forward"])
def test_sources_with_threads_and_chunks_import_and_name_nothing_else(text: str) -> None:
    check_source(kernel_of(text, threads=2))
    check_source(kernel_of(text, threads=3, batch=17, lanes=8))
    if text == FORWARD:
        check_source(kernel_of(text, chunk=64))
        check_source(kernel_of(text, threads=2, chunk=64))


def test_every_option_of_the_compiler_stands_in_the_file() -> None:
    """And no flag may hide a loss that diverges."""
    source = kernel_of(LSTM).source
    assert re.search(r'^native = simd.native\("float\d\d", \d+\)$', source, re.MULTILINE)
    for token in ("fast", "nnan", "ninf"):
        assert token not in source


def test_entry_functions_end_their_bundles() -> None:
    made = kernel_of(LSTM)
    assert [bundle[-1] for bundle in made.bundles.values()] == ["train", "predict"]
    assert [name for bundle in made.bundles.values() for name in bundle] == list(made.functions)
    for bundle in made.bundles.values():  # each function stands after those it calls
        for number, name in enumerate(bundle):
            calls = {n.func.id for n in ast.walk(function_of(made, name)) if called(n)}  # type: ignore[attr-defined]
            assert calls & set(bundle) <= set(bundle[:number])


def function_of(kernel: Kernel, name: str) -> ast.FunctionDef:
    tree = ast.parse(kernel.source)
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


def called(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def test_dead_nodes_leave_no_trace_but_comments() -> None:
    alive = f"{HEADER} (input, 3) (a, 4, <tanh>) [s, (out, 2, <softmax>, <cross_entropy>)]"
    dead = alive + "(dead, 5, <tanh>) [t, (dead2, 7, <relu>) {dead3, a, additive}] {dead4, dead2, concatenate}"
    assert code_of(kernel_of(dead).source) == code_of(kernel_of(alive).source)
    assert "dead" in kernel_of(dead).source  # in the text of the model
    assert kernel_of(dead).plan.layout.size == kernel_of(alive).plan.layout.size


def test_every_node_that_computes_has_a_comment_that_names_it() -> None:
    made = kernel_of(LSTM)
    reader = io.StringIO(made.source).readline
    comments = [t.string for t in tokenize.generate_tokens(reader) if t.type == tokenize.COMMENT]
    inside = [c for c in comments if not c.startswith("#     ")]
    for name in ("in_gate", "candidate", "scaled", "kept", "cell", "squashed", "hidden", "output"):
        assert any(f"{name}: " in comment for comment in inside)
        assert any("back" in comment and name in comment for comment in inside)


def test_the_head_shows_the_model_and_the_options() -> None:
    source = kernel_of(LSTM, batch=3, dtype="float32", lanes=8, threads=2).source
    for line in graph_of(LSTM).text.splitlines():
        assert f"#     {line}".rstrip() in source
    assert "# batch 3, float32, vectors of 8, optimizer sgd, 2 threads" in source


def test_a_source_is_the_same_file_when_it_runs_as_plain_python() -> None:
    module = plain(kernel_of(LSTM))
    assert callable(module.train)
    assert callable(module.predict)
    assert module.forward.__doc__ == "Every node's value, for a window."


def test_numbers_of_functions_reach_the_source_in_full() -> None:
    body = "(a, 4, <relu_leaky, -0.12345678901234567>) (b, 4, <elu, 1e-300>) (c, 4, <swish, 3>)"
    source = kernel_of(f"{HEADER} (input, 3) {body} (out, 2, <tanh>, <huber, 0.1>)").source
    for number in (f"({-0.12345678901234567!r})", "1e-300", "3.0", "0.1"):
        assert number in source


# Layout ---------------------------------------------------------------------------------------------------------------


def check_layout(layout: Layout) -> None:
    """Every number of every parameter has a place of its own, and the rest is padding."""
    graph = layout.plan.graph
    places = [layout.places(array.node, array.role) for array in graph.arrays]
    assert [place.shape for place in places] == [array.shape for array in graph.arrays]
    together = np.concatenate([place.ravel() for place in places])
    assert len(np.unique(together)) == len(together)
    assert together.min() >= 0
    assert together.max() < layout.size
    assert layout.size % layout.lanes == 0


@bounded(40)
@given(models())
def test_layouts_of_random_models_have_a_place_for_every_number(text: str) -> None:
    for lanes, registers in ((2, 16), (8, 32)):
        check_layout(Layout(plan(graph_of(text), lanes, training=True), registers))


def test_panels_hold_rows_of_a_few_vectors() -> None:
    """Seven vectors in panels of two: row after row of the first panel, then the second, the last one narrower."""
    text = f"{HEADER} (input, 3) (a, 13, <tanh>) (out, 2, <tanh>, <mse>)"
    layout = Layout(plan(graph_of(text), 2, training=True), 16)
    weight, bias = layout.places(1, "weight"), layout.places(1, "bias")
    assert weight[0].tolist() == [0, 1, 2, 3, 12, 13, 14, 15, 24, 25, 26, 27, 36]
    assert (weight[1] - weight[0]).tolist() == [4] * 12 + [2]
    assert bias.tolist() == list(range(42, 55))
    assert [panel_of(n, 16) for n in (1, 2, 3, 4, 5, 9)] == [1, 2, 3, 2, 2, 2]
    assert [panel_of(n, 32) for n in (3, 4, 5)] == [3, 4, 2]


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_buffers_do_not_overlap(name: str) -> None:
    for training in (True, False):
        found = plan(graph_of(text_of(STRUCTURES[name])), 4, training=training)
        space = Workspace(found)
        for capacity, rows in ((1, 1), (5, 3)):
            here = 0
            for buffer in found.buffers:
                a, b = space.terms[buffer.name]
                if buffer.block != buffer.name:
                    assert (a, b) == space.terms[buffer.block]
                    continue
                start = a * capacity * rows + b * rows
                assert start == here + (buffer.stride * rows if buffer.rows == "slots" else 0)
                here = start + buffer.stride * rows * (1 if buffer.rows == "step" else capacity)
            assert space.size(capacity, rows) == here


# Gradients checked ----------------------------------------------------------------------------------------------------


TOLD = """

@native("array number doubles")
def told(gradients, rate, found):
    finite, square = gradient_norm(gradients, rate)
    found[0], found[1] = 1.0 if finite else 0.0, square
"""


def norms(kernel: Kernel) -> Iterator[Callable[[Any, float], tuple[bool, float]]]:
    """The function ``gradient_norm``, as plain Python and compiled."""
    yield plain(kernel).gradient_norm
    functions = {"gradient_norm": kernel.functions["gradient_norm"], "told": ("array", "number", "doubles")}
    source, dtype = kernel.source + TOLD, kernel.options.dtype
    told, found = bundles.ready(source, cache.key_of(source), functions, dtype).told, np.zeros(2)

    def compiled(gradients: Any, rate: float) -> tuple[bool, float]:
        told(gradients, rate, found)
        return bool(found[0]), float(found[1])

    yield compiled


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norm_tells_every_gradient_that_is_not_finite_at_some_rate(dtype: str) -> None:
    """Whatever its place, in the sums of several vectors or in what is left over; squares may overflow."""
    kernel = kernel_of(text_of("(a, 13, <tanh>) (b, 5, <tanh>)"), dtype=dtype)
    size, most = kernel.plan.layout.size, float(np.finfo(dtype).max)
    assert size % (4 * kernel.options.lanes), "some vectors are left over"
    cases = [
        (np.nan, 0.1, False), (np.inf, 0.1, False), (-np.inf, 0.0, False), (2.0, 0.1, True), (-most, 0.5, True),
        (most, 1.0, True), (most, 2.0, False), (-(most**0.75), most**0.5, False), (most**0.4, most**0.5, True),
        (most**0.45, most**0.6, False), (-(most**0.45), most**0.5, True),
    ]  # fmt: skip
    for gradient_norm in norms(kernel):
        gradients = np.zeros(size, dtype)
        with np.errstate(all="ignore"):
            assert gradient_norm(gradients, 0.1) == (True, 0.0)
            assert not gradient_norm(gradients, np.inf)[0]
            for place, (value, rate, finite) in itertools.product(range(size), cases):
                gradients[place] = value
                found, square = gradient_norm(gradients, rate)
                assert found == finite, (place, value, rate)
                assert square == gradients[place] ** 2 or not np.isfinite(value)
                gradients[place] = 0.0
        gradients[:] = np.arange(size)
        assert gradient_norm(gradients, 0.1)[1] == np.square(gradients).sum()


def test_sums_of_members_say_whose_gradients_are_not_finite() -> None:
    kernel = kernel_of(text_of("(a, 13, <tanh>) (b, 5, <tanh>)"), threads=2)
    gradient_norm, size = plain(kernel).gradient_norm, kernel.plan.layout.size
    for place in (None, 0, size - 1):
        gradients, (_, numbers) = np.ones(size), new_mailbox(2)
        if place is not None:
            gradients[place] = np.nan
        for member in range(2):
            gradient_norm(member, numbers, gradients, 0.1)
        sums = numbers[SUMS:]
        assert list(sums[::2] > 0) == [place == 0, place == size - 1]
        assert place is not None or sums[1] + sums[3] == size


# Large models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "threads"), [(layers(400), 1), (layers(400), 2), (in_line(1000), 1)])
def test_large_models_are_written_in_little_time(body: str, threads: int) -> None:
    """A fifth of a second each, about; where work grew with the square of the nodes, it was five and more."""
    started = time.process_time()
    assert kernel_of(text_of(body), batch=4, threads=threads).source
    assert time.process_time() - started < 2.5


LARGE = {
    "links back in time": "".join(f"{{m{n}, a{n}, additive}} (a{n}, 4, <tanh>)" for n in range(990)),
    "links that cross": "".join(f"{{m{n}, a{499 - n}, additive}}" for n in range(500)) + layers(500),
    "one loop of sums": "".join(f"{{m{n}, m{(n + 1) % 1000}, additive}}" for n in range(1000)),
    "all concatenations of branches": "".join(
        f"[s{n}, (a{n}, 1, <tanh>) | ] {{c{n}, a{n}, concatenate}}" for n in range(500)
    ),
    "concatenations of themselves": "".join(f"{{c{n}, {f'c{n - 1}' if n else 'a'}, concatenate}}" for n in range(18)),
}


@pytest.mark.parametrize("kind", LARGE)
def test_work_grows_as_nodes_do(kind: str) -> None:
    """Most of these took ten seconds and more."""
    graph = graph_of(text_of(f"(a, 4, <tanh>) {LARGE[kind]}"))
    started = time.process_time()
    assert generate(graph, KernelOptions(4, "float32", 8, 16)).source
    assert time.process_time() - started < 5.0


def test_work_does_not_grow_with_widths() -> None:
    """Columns divided among threads: 36 seconds once, now hundredths of one."""
    wide = f"(a, {1 << 20}, <tanh>) (b, {1 << 20}, <tanh>) [s, (c, <softmax>) | ] {{d, c, additive}}"
    started = time.process_time()
    assert kernel_of(text_of(wide), batch=1, threads=4, columns=True).source
    assert time.process_time() - started < 2.0


def test_sizes_are_known_before_the_source_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "Writer", None)
    kernel = kernel_of(text_of("(a, 4, <tanh>)"), batch=4)
    assert kernel.plan.space_size(3) > 0
    assert kernel.plan.layout.size > 0
    assert kernel.plan.step_space_size(1) > 0
