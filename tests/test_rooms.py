"""The rooms of the package: what each may import, that all are small, and that the tests have the same rooms."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import neuromorph
from helpers.paths import TESTS
from neuromorph.jit.environment import COMPILED_FROM

PACKAGE = Path(neuromorph.__file__).parent
# What each room may import of ours, from the ground up: a room imports only rooms that stand before it, and what type
# checkers alone see counts too. Everybody may import ``host``. A room is a folder of the package, or a module beside
# the folders.
ROOMS: dict[str, set[str]] = {
    "version": set(),
    "host": set(),
    "errors": set(),
    "abi": set(),
    "history": {"errors"},
    "language": {"errors"},
    "functions": {"errors"},
    "options": {"errors"},
    "optimizers": {"errors", "options"},
    "graph": {"errors", "functions", "language", "options"},
    "schedule": {"errors", "functions", "graph", "options"},
    "simd": {"abi"},
    "codegen": {"abi", "functions", "graph", "optimizers", "schedule"},
    "machine": {"abi", "functions", "optimizers", "schedule"},
    "jit": {"abi", "errors", "simd", "version"},
    "data": {"errors"},
    "tables": {"data", "errors"},
    "runtime": {
        "abi", "codegen", "data", "errors", "functions", "graph", "history", "jit", "language", "machine", "optimizers",
        "options", "schedule",
    },
    "drawing": {"graph"},
    "inspection": {
        "abi", "codegen", "drawing", "errors", "functions", "graph", "jit", "machine", "optimizers", "runtime",
        "schedule", "simd",
    },
    "prediction": {"data", "errors", "graph", "options", "runtime"},
    "storage": {"data", "errors", "functions", "graph", "history", "language", "optimizers", "options", "runtime"},
    "training": {
        "abi", "data", "errors", "functions", "graph", "history", "optimizers", "options", "prediction", "runtime",
        "storage",
    },
    "streaming": {"abi", "data", "errors", "options", "runtime", "training"},
    "model": {
        "drawing", "errors", "graph", "history", "inspection", "language", "optimizers", "options", "prediction",
        "runtime", "schedule", "storage", "streaming", "training",
    },
    "sweeps": {
        "data", "errors", "graph", "history", "language", "model", "optimizers", "options", "runtime", "storage",
        "training", "version",
    },
    "interface": {
        "data", "drawing", "errors", "graph", "history", "jit", "language", "model", "optimizers", "runtime", "storage",
        "streaming", "sweeps", "training",
    },
    "__init__": {"interface", "optimizers", "version"},
    # Users of the public interface. It lacks the list of the cache's entries, and the rule that holds data out.
    "demo": set(),
    "export": {"errors", "functions", "graph", "interface", "version"},
    "conversion": {"errors", "functions", "graph", "interface", "language"},
    "torch": {"conversion", "interface"},
    "keras": {"conversion", "interface"},
    "sklearn": {"errors", "graph", "interface", "language", "optimizers", "options"},
    "search": {
        "drawing", "errors", "functions", "graph", "history", "interface", "language", "model", "options", "storage",
        "sweeps", "training",
    },
    "distributed": {
        "abi", "data", "errors", "functions", "history", "interface", "options", "prediction", "runtime", "training",
        "version",
    },
    "cli": {"data", "demo", "export", "jit", "sweeps", "tables"},
    "__main__": {"cli"},
}  # fmt: skip
# Which rooms may import a package that not everybody may. Beside these, rooms below import NumPy only.
OTHERS: dict[str, set[str]] = {
    "ply": {"language"},
    "numba": {"simd", "jit"},
    "llvmlite": {"host", "simd", "jit"},  # LLVM knows the processor's features
    "platformdirs": {"jit"},
    "click": {"cli"},
    "sklearn": {"demo", "sklearn"},
    "joblib": {"sklearn"},  # which scikit-learn needs
    "onnx": {"export"},
    "dask": {"distributed", "sweeps"},
    "distributed": {"distributed", "sweeps"},
    "polars": {"tables"},
    "torch": {"conversion", "torch"},
    "keras": {"conversion", "keras"},
    "cloudpickle": {"sweeps"},  # which Dask needs
}
# Packages that rooms above the ground import when somebody asks for what needs them.
USERS: dict[str, set[str]] = {
    "safetensors": {"storage", "sweeps"},
    "matplotlib": {"history", "demo"},
    "tqdm": {"training"},
}
ANYBODY = {"neuromorph", "numpy", "__future__", *sys.stdlib_module_names}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a module's file is in: the package below ours, or the module itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_in(tree: ast.AST, package: list[str]) -> set[str]:
    """The full names of what a module of a package imports, wherever in it; of ``from . import x``, the module x.

    Calls of ``imported`` with a name count too.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{full}.{alias.name}" for alias in node.names} if full == "neuromorph" else {full}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "imported":
            found |= {name.value for name in node.args if isinstance(name, ast.Constant)}
    return found


def imports_of(path: Path) -> set[str]:
    """What a file of ours imports."""
    package = ["neuromorph", *path.relative_to(PACKAGE).parts[:-1]]
    return imports_in(ast.parse(path.read_text(encoding="utf-8")), package)


def rooms_imported(path: Path) -> set[str]:
    """The rooms of ours that a module imports, its own aside."""
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("neuromorph.")}
    return ours - {room_of(path), "__version__"}


def test_the_cache_knows_all_rooms_that_machine_code_is_made_of() -> None:
    """Beside a kernel's own source, which is part of its key."""
    known = {name.removesuffix(".py") for name in COMPILED_FROM}
    made_of, waiting = set[str](), ["simd"]
    while waiting:
        made_of.add(waiting[-1])
        waiting.extend(ROOMS[waiting.pop()] - made_of)
    assert made_of <= known


def names_of_all() -> list[str]:
    return [str(path.relative_to(PACKAGE)) for path in sources()]


@pytest.mark.parametrize("name", names_of_all())
def test_rooms_import_what_their_table_says(name: str) -> None:
    path = PACKAGE / name
    assert rooms_imported(path) <= ROOMS[room_of(path)] | {"host"}, f"neuromorph/{name} imports what its room may not"


def test_the_table_goes_from_the_ground_up_and_has_every_room() -> None:
    assert {room_of(path) for path in sources()} == ROOMS.keys()
    before: set[str] = set()
    for room, allowed in ROOMS.items():
        assert allowed <= before, f"{room} stands before {allowed - before}"
        before.add(room)


def files_imported(path: Path) -> set[Path]:
    """The files of ours that a file imports, wherever in it."""
    found = set()
    package = ["neuromorph", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = [*base, *(node.module.split(".") if node.module else [])]
            for name in [[*full, alias.name] for alias in node.names] + [full]:
                place = PACKAGE.parent.joinpath(*name)
                found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
    return {file for file in found if PACKAGE in file.parents and file.name != "__init__.py"} - {path}


def test_no_files_import_one_another() -> None:
    sorter = TopologicalSorter({path: files_imported(path) for path in sources()})
    sorter.prepare()  # raises CycleError, which names the files


def test_rooms_are_small() -> None:
    loose = [path for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    assert len(loose) <= 12
    for path in sources():
        assert path.read_text(encoding="utf-8").count("\n") <= 450, path


def test_functions_are_short() -> None:
    """Those of the package, of its tests and of its tools."""
    for path in (*sources(), *TESTS.rglob("*.py"), *(TESTS.parent / "tools").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 50, (path, node.name)


@pytest.mark.parametrize("name", names_of_all())
def test_other_packages_are_imported_in_their_rooms_only(name: str) -> None:
    path = PACKAGE / name
    roots = {full.split(".")[0] for full in imports_of(path)} - ANYBODY
    for root in roots:
        allowed = OTHERS.get(root, USERS.get(root, set()))
        assert room_of(path) in allowed, f"neuromorph/{name} imports {root}"


def test_imports_are_seen_wherever_they_stand() -> None:
    """Relative, absolute and nested ones, those for type checkers only, and calls of ``imported``."""
    text = (
        "import ply.lex\nfrom . import cache, jit\nfrom .graph import Graph\nfrom neuromorph.errors import X\n"
        "def f():\n    from ..options import Y\n    import numba.core as n\n"
        "if TYPE_CHECKING:\n    from .model import Model\nimported('neuromorph.training.gradcheck').gradcheck()\n"
    )
    assert imports_in(ast.parse(text), ["neuromorph", "simd"]) == {
        "ply.lex", "neuromorph.simd", "neuromorph.simd.graph", "neuromorph.errors", "neuromorph.options", "numba.core",
        "neuromorph.simd.model", "neuromorph.training.gradcheck",
    }  # fmt: skip
    assert imports_in(ast.parse("from . import cache, jit"), ["neuromorph"]) == {
        "neuromorph.cache",
        "neuromorph.jit",
    }
    assert rooms_imported(PACKAGE / "runtime" / "kernels.py") >= {"jit", "codegen", "graph", "options"}
    assert rooms_imported(PACKAGE / "codegen" / "source.py") >= {"graph", "schedule"}


def run(code: str) -> str:
    """What a new process prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a new process has loaded after some lines."""
    return set(run(f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})").split())


def test_importing_the_package_does_not_import_numba() -> None:
    loaded = loaded_after("import neuromorph")
    assert "neuromorph" in loaded
    assert not loaded & {"numba", "llvmlite", "tqdm", "sklearn", "matplotlib"}


def test_a_checked_graph_and_its_source_need_no_numba() -> None:
    """A text is parsed, checked, planned and written as source without loading a compiler."""
    text = "/xavier,zero/ (input, 2) (output, 1, <tanh>, <mse>)"
    loaded = loaded_after(
        "from neuromorph.codegen import KernelOptions, generate\n"
        "from neuromorph.graph import build_graph\nfrom neuromorph.language import parse\n"
        f"generate(build_graph(parse({text!r})), KernelOptions(1, 'float32', 4, 16))"
    )
    assert not loaded & {"numba", "llvmlite"}


@pytest.mark.parametrize(("tier", "needed"), [("compiled", "False"), ("instant", "True")])
def test_only_models_that_run_on_the_machine_import_it(tier: str, needed: str) -> None:
    """Its tables of instructions take tens of milliseconds to make."""
    text = "/xavier,zero/ (input, 2) (output, 1, <tanh>, <mse>)"
    code = f"import sys\nimport neuromorph as nm\nnm.compile({text!r}, 1, 0.1, tier={tier!r}).kernels.plan"
    assert run(f"{code}\nprint('neuromorph.machine' in sys.modules)").strip() == needed


@pytest.mark.parametrize("tier", ["compiled", "instant"])
def test_a_model_whose_kernels_are_in_the_cache_trains_without_numba(tier: str) -> None:
    """Its import takes longer than all the rest of a start."""
    text = "/xavier,zero/ (input, 8) (h, 8, <tanh>) (output, 8, <tanh>, <mse>)"  # for the machine that other tests need
    code = (
        f"import sys\nimport neuromorph as nm\nmodel = nm.compile({text!r}, 1, 0.1, tier={tier!r}, threads=1).build()\n"
        "model.train([[[1] * 8]], [[[1] * 8]], 0)\nmodel.predict([[1] * 8])\nprint('numba' in sys.modules)"
    )
    run(code)
    assert run(code) == "False"


def test_nothing_happens_at_import() -> None:
    """No thread starts, no folder is made and no random number is drawn."""
    code = (
        "import threading, os, random, numpy\nbefore = random.getstate(), numpy.random.get_state()[1].sum()\n"
        "import neuromorph\nafter = random.getstate(), numpy.random.get_state()[1].sum()\n"
        "print(threading.active_count(), before == after)"
    )
    assert run(code) == "1 True"


# The tests ------------------------------------------------------------------------------------------------------------

# Folders of the tests that test modules may import from, or whose name is that of a library.
SHARED = {"distributed", "helpers", "recorded", "sklearn"}
OF_TESTS = re.compile(r"^\s*(?:from|import)\s.*\b(?:test_\w+|tests|conftest)\b", re.MULTILINE)


def folders_of(root: Path) -> set[str]:
    """The folders within a folder that have Python files."""
    return {path.parent.name for path in root.glob("*/*.py")}


def imported_tests(text: str) -> set[str]:
    """What a test module imports of other test modules, in its own code and in that of processes that it starts."""
    own = {"tests", *folders_of(TESTS)} - SHARED
    names = imports_in(ast.parse(text), ["tests", "graph"])
    return {name for name in names if name.split(".")[0] in own} | {line.strip() for line in OF_TESTS.findall(text)}


def test_no_test_module_imports_another() -> None:
    found = {path: imported_tests(path.read_text(encoding="utf-8")) for path in TESTS.rglob("*.py")}
    assert len(found) > 50
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import test_rooms", "import os, test_rooms", "from test_rooms import sources", "from graph import test_lint",
        "from graph.test_lint import told", "import tests.graph.test_lint", "def f():\n    from . import test_lint",
        "from conftest import interpreted", 'CODE = """\nimport test_rooms\n"""',
    ],
)  # fmt: skip
def test_imports_of_test_modules_are_seen(text: str) -> None:
    assert imported_tests(text)
    assert not imported_tests("from helpers.paths import TESTS\nfrom recorded import cells\nimport pytest")


def test_every_room_has_a_folder_of_tests() -> None:
    rooms = folders_of(PACKAGE)
    assert rooms <= folders_of(TESTS), rooms - folders_of(TESTS)
    for room in rooms:
        assert list((TESTS / room).glob("test_*.py")), f"tests/{room} has no tests"
