"""The wheel and the source distribution: built, checked, and used in an environment that has nothing else."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

import neuromorph as nm
from helpers.paths import REPOSITORY

PACKAGE = REPOSITORY / "neuromorph"
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "*.pyc")
USE = """
import sys, pathlib, numpy as np, neuromorph as nm
assert pathlib.Path(nm.__file__).is_relative_to(sys.prefix), nm.__file__
text = "/xavier,zero/ (input, 2) (h, 4, <lstm>) (output, 1, <linear>, <mse>)"
model = nm.build(nm.compile(text, 3, 0.1, tier="instant"), seed=1)
x = np.ones((8, 3, 2), np.float32)
nm.train(model, x, np.zeros((8, 3, 1)), 0)
nm.save(model, "net.safetensors")
assert np.array_equal(nm.predict(nm.load("net.safetensors"), x), nm.predict(model, x))
nm.export.to_c(model, "net.c")
print("<svg" in nm.draw(model).svg, nm.__version__)
"""
TYPED = """
import neuromorph as nm

model = nm.build(nm.compile("/xavier,zero/ (input, 2) (output, 1, <linear>, <mse>)", 1, 0.1))
reveal_type(nm.predict)
reveal_type(model)
nm.compile("/xavier,zero/ (input, 2)", batch_size="many", learning_rate=0.1)
"""


def ran(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended. It does not see this process's paths."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env=kept | variables, capture_output=True, text=True, timeout=600
    )


def done(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What a command prints that must succeed."""
    found = ran(*command, cwd=cwd, **variables)
    assert found.returncode == 0, f"{command}\n{found.stdout[-2000:]}\n{found.stderr[-4000:]}"
    return found.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution, made of a copy of the checkout."""
    if importlib.util.find_spec("build") is None:
        pytest.skip("needs build, of the extra release")
    copy, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    shutil.copytree(REPOSITORY, copy, ignore=LEFT_OUT, dirs_exist_ok=True)
    found = ran(sys.executable, "-m", "build", "--outdir", made, copy, cwd=copy)
    if "No matching distribution found for setuptools" in found.stdout + found.stderr:
        pytest.skip("no package index is in reach")
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    return made


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (found,) = distributions.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment in which the wheel, and what it asks for, is installed."""
    folder = tmp_path_factory.mktemp("clean")
    done(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin" / "python"
    done(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=folder)
    return python


def test_what_is_in_the_distributions(distributions: Path, wheel: Path) -> None:
    """One test, as the next one is: in parallel runs, each process that needs the distributions makes them anew."""
    check_files_of_the_wheel(wheel)
    check_files_of_the_source(distributions)
    check_metadata(distributions, wheel)


def check_files_of_the_wheel(wheel: Path) -> None:
    """Every file of the package, and no other."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    own = {p.relative_to(REPOSITORY).as_posix() for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    assert names == own
    assert "neuromorph/py.typed" in names


def check_files_of_the_source(distributions: Path) -> None:
    """The whole package, from which the wheel is built, and what says how to build it."""
    (found,) = distributions.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    own = {p.relative_to(REPOSITORY).as_posix() for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    assert own - names == set()
    assert {"README.md", "LICENSE", "pyproject.toml"} <= names


def metadata_of(wheel: Path) -> Message:
    """What a wheel says of itself."""
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_string(archive.read(name).decode())


def check_metadata(distributions: Path, wheel: Path) -> None:
    if importlib.util.find_spec("twine") is None:
        pytest.skip("needs twine, of the extra release")
    done(sys.executable, "-m", "twine", "check", "--strict", *distributions.iterdir(), cwd=distributions)
    metadata = metadata_of(wheel)
    assert metadata["Version"] == nm.__version__
    assert set(metadata.get_all("Provides-Extra", [])) >= {"tables", "sklearn", "onnx", "torch", "keras", "plot"}


def test_an_installed_wheel(installed: Path, wheel: Path, tmp_path: Path) -> None:
    """It works in an environment of its own, a user's type checker sees its types, and its extras can be installed."""
    check_use(installed, tmp_path)
    check_extras(installed, wheel, tmp_path)
    check_types(installed, tmp_path)  # last, since it may skip


def check_extras(installed: Path, wheel: Path, tmp_path: Path) -> None:
    """Pip finds releases of all that the extras ask for together. Of those that bring PyTorch or JAX, gigabytes would
    be downloaded for that; NEUROMORPH_EXHAUSTIVE=1 asks for them too."""
    metadata = metadata_of(wheel)
    asked = "\n".join(metadata.get_all("Requires-Dist", []))
    wanted = re.findall(r'^([\w.-]+).*extra == "([\w-]+)"', asked, re.MULTILINE)
    extras = set(metadata.get_all("Provides-Extra", [])) - {"bench-jax0431"}  # a peer of an environment of its own
    if not os.environ.get("NEUROMORPH_EXHAUSTIVE"):
        extras -= {extra for package, extra in wanted if package in ("torch", "jax", "keras", "aeon")}
    assert {"tables", "sklearn", "distributed", "test", "lint", "docs", "release"} <= extras
    pip = (installed, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--dry-run")
    done(*pip, f"{wheel}[{','.join(sorted(extras))}]", cwd=tmp_path)


def check_use(installed: Path, tmp_path: Path) -> None:
    """A model is trained, saved, loaded and exported, and the command is there."""
    cache = str(tmp_path / "kernels")
    said = done(installed, "-I", "-c", USE, cwd=tmp_path, NEUROMORPH_CACHE_DIR=cache)
    assert said.split() == ["True", nm.__version__]
    command = installed.parent / "neuromorph"
    assert done(command, "--version", cwd=tmp_path).split() == ["neuromorph", nm.__version__]
    said = done(command, "summary", "net.safetensors", cwd=tmp_path, NEUROMORPH_CACHE_DIR=cache)
    assert "output" in said
    done(installed, "-m", "pip", "check", cwd=tmp_path)


def check_types(installed: Path, tmp_path: Path) -> None:
    """What mypy says of a user's program, if it is installed."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("needs mypy, of the extra lint")
    (tmp_path / "user.py").write_text(TYPED, encoding="utf-8")
    command = (sys.executable, "-m", "mypy", "--python-executable", installed, "--cache-dir", tmp_path / "cache")
    found = ran(*command, "--ignore-missing-imports", "user.py", cwd=tmp_path)
    assert 'Revealed type is "neuromorph.model.Model"' in found.stdout, found.stdout + found.stderr
    assert re.search(r'Revealed type is "def \(self: neuromorph\.model\.Model, inputs: ', found.stdout), found.stdout
    assert 'user.py:7: error: Argument "batch_size" to "compile" has incompatible type "str"' in found.stdout


def test_all_places_name_one_version() -> None:
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    (version,) = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    (released,) = re.findall(r"^date-released: (.+)$", citation, re.MULTILINE)
    newest = re.findall(r"^## ([0-9.]+) \((.*)\)$", changes, re.MULTILINE)[0]
    assert newest == (version, released)
    assert version == nm.__version__
