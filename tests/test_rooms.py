"""Rooms import upward only: each lower room names what it may import, and everything else stands above them all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import neuromorph
from neuromorph.cpu import COMPILED_FROM

PACKAGE = Path(neuromorph.__file__).parent
# What each room may import of ours. A module that has no room of its own here stands above: it may import all of
# these, and none of these may import it. Everybody may import ``host``.
ROOMS: dict[str, set[str]] = {
    "host": set(),
    "errors": set(),
    "progress": set(),
    "cpu": set(),
    "limits": set(),
    "means": set(),
    "boxes": set(),
    "contest": set(),
    "team": {"boxes", "limits"},
    "simd": {"boxes"},
    "cachefiles": {"errors"},
    "wholefiles": set(),
    "functions": {"errors"},
    "language": {"errors"},
    "options": {"errors", "functions", "cpu"},
    "optimizers": {"errors", "functions", "options"},
    "cache": {"errors", "cpu", "cachefiles"},
    "modules": {"errors", "cachefiles"},
    "jit": {"errors", "cache", "modules"},
    "graph": {"language", "functions", "errors"},
    "reference": {"graph", "functions"},
    "report": {"graph"},
    "parameters": {"errors", "graph"},
    "reading": {"errors"},
    "data": {"errors", "reading"},
    "schedule": {"graph", "functions", "options"},
    "drawing": {"graph", "wholefiles"},
    "codegen": {"schedule", "graph", "functions", "options", "team", "boxes"},
    "kernels": {
        "boxes",
        "contest",
        "codegen",
        "jit",
        "modules",
        "cache",
        "functions",
        "graph",
        "options",
        "errors",
        "limits",
    },
    "samples": {"data", "errors", "reading"},
    "calls": {"boxes", "codegen", "contest", "team"},
    "training": {"boxes", "calls", "data", "errors", "means", "progress", "samples"},
    # What is done to a built model; it knows models and their kernels by type only.
    "inspection": {
        "errors",
        "cpu",
        "boxes",
        "team",
        "simd",
        "cache",
        "modules",
        "jit",
        "functions",
        "options",
        "graph",
        "parameters",
        "schedule",
        "drawing",
        "codegen",
        "calls",
        "training",
        "wholefiles",
    },
    # Users of the public interface. It lacks the list of the cache's entries, the places of files and what memory there
    # is.
    "demo": set(),
    "cli": {"demo", "cache", "limits", "wholefiles"},
    "__main__": {"cli"},
}
# Which rooms may import a package that not everybody may. Beside these, rooms below import NumPy only.
OTHERS: dict[str, set[str]] = {
    "ply": {"language"},
    "numba": {"simd", "jit", "cpu"},
    "llvmlite": {"simd", "jit", "cpu"},
    "filelock": {"cache", "cachefiles"},
    "platformdirs": {"cache", "cachefiles"},
    "click": {"cli"},
    "tqdm": {"progress"},
    "sklearn": {"demo"},
}
ANYBODY = {"neuromorph", "numpy", "__future__", *sys.stdlib_module_names}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a module's file is in: the package below ours, or the module itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        test = child.test if isinstance(child, ast.If) else None
        if not (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"):
            yield from run_time_nodes(child)


def imports_in(tree: ast.AST, package: list[str]) -> set[str]:
    """The full names of what a module of a package imports, wherever in it; of ``from . import x``, the module x."""
    found: set[str] = set()
    for node in run_time_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{full}.{alias.name}" for alias in node.names} if full == "neuromorph" else {full}
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
def test_rooms_import_upward_only(name: str) -> None:
    path = PACKAGE / name
    room = room_of(path)
    if room in ROOMS:
        assert rooms_imported(path) <= ROOMS[room] | {"host"}, f"neuromorph/{name} imports what stands above {room}"
    else:
        assert room not in {other for allowed in ROOMS.values() for other in allowed}


def test_the_table_has_no_cycle_and_no_room_that_is_gone() -> None:
    there = {room_of(path) for path in sources()}
    assert ROOMS.keys() <= there
    left = dict(ROOMS)
    while left:
        free = {room for room, allowed in left.items() if not allowed & left.keys()}
        assert free, f"rooms that import one another: {sorted(left)}"
        left = {room: allowed for room, allowed in left.items() if room not in free}


@pytest.mark.parametrize("name", names_of_all())
def test_other_packages_are_imported_in_their_rooms_only(name: str) -> None:
    path = PACKAGE / name
    roots = {full.split(".")[0] for full in imports_of(path)} - ANYBODY
    for root in roots:
        allowed = OTHERS[root] if root in OTHERS else {room_of(path)} - ROOMS.keys()
        assert room_of(path) in allowed, f"neuromorph/{name} imports {root}"


def test_who_uses_kernels_stands_above_all_rooms_below() -> None:
    users = {room_of(path) for path in sources() if "kernels" in rooms_imported(path)}
    assert "model" in users
    assert not users & ROOMS.keys()


def test_imports_are_seen_wherever_they_stand() -> None:
    """Relative, absolute and nested ones; those for type checkers only don't count."""
    text = (
        "import ply.lex\nfrom . import cache, jit\nfrom .graph import Graph\nfrom neuromorph.errors import X\n"
        "def f():\n    from ..options import Y\n    import numba.core as n\n"
        "if TYPE_CHECKING:\n    from .model import Model\n"
    )
    assert imports_in(ast.parse(text), ["neuromorph", "simd"]) == {
        "ply.lex", "neuromorph.simd", "neuromorph.simd.graph", "neuromorph.errors", "neuromorph.options", "numba.core",
    }  # fmt: skip
    assert imports_in(ast.parse("from . import cache, jit"), ["neuromorph"]) == {"neuromorph.cache", "neuromorph.jit"}
    assert rooms_imported(PACKAGE / "kernels.py") >= {"cache", "jit", "codegen", "graph", "options"}
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
    assert not loaded & {"numba", "llvmlite", "tqdm", "filelock", "sklearn", "matplotlib"}


def test_a_checked_graph_and_its_source_need_no_numba() -> None:
    """A text is parsed, checked, planned and written as source without loading a compiler."""
    text = "/xavier,zero/ (input, 2) (output, 1, <tanh>, <mse>)"
    loaded = loaded_after(
        "from neuromorph.codegen import KernelOptions, generate\n"
        "from neuromorph.graph import build_graph\nfrom neuromorph.language import parse\n"
        f"generate(build_graph(parse({text!r})), KernelOptions(1, 'float32', 4, 16))"
    )
    assert not loaded & {"numba", "llvmlite"}


def test_nothing_happens_at_import() -> None:
    """No thread starts, no folder is made and no random number is drawn."""
    code = (
        "import threading, os, random, numpy\nbefore = random.getstate(), numpy.random.get_state()[1].sum()\n"
        "import neuromorph\nafter = random.getstate(), numpy.random.get_state()[1].sum()\n"
        "print(threading.active_count(), before == after)"
    )
    assert run(code) == "1 True"
