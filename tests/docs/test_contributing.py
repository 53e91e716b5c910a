"""The guide for contributors: each addition that it shows works in a copy of the repository, and its pages are true."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
GUIDE = ROOT / "docs" / "contributing"


def _renew() -> Any:
    """The program ``docs/renew.py`` as a module."""
    found = importlib.util.spec_from_file_location("renew_for_the_guide", ROOT / "docs" / "renew.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


renew = _renew()


# Additions ------------------------------------------------------------------------------------------------------------

# What the checks of the page may use, beside what they import.
PRELUDE = """
import os, pickle, subprocess, sys
from pathlib import Path
import numpy as np
import pytest
import neuromorph as nm
from neuromorph.graph import build_graph, interpreter
from neuromorph.language import parse

ROOT = Path(os.environ["REPOSITORY_COPY"])
assert Path(nm.__file__).is_relative_to(ROOT), "the copy is what is tested"


def assert_close(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


def agrees_and_trains(text, weighted=False, optimizer="sgd"):
    nm.seed(1)
    model = nm.build(nm.compile(text, 3, 0.1, optimizer=optimizer, bptt_steps=6, dtype="float64"))
    graph, rng = build_graph(parse(text)), np.random.default_rng(2)
    inputs = rng.normal(size=(6, 3, graph.nodes[graph.input].width))
    expected = rng.uniform(-0.5, 0.5, (6, 3, graph.nodes[graph.output].width))
    weight = rng.uniform(0.5, 2.0, (6, 3)) if weighted else None
    parameters = model.get_parameters()
    wanted = interpreter.window(graph, parameters, inputs, expected, weight)
    predictions = interpreter.predict(graph, parameters, inputs)
    loss, gradients = nm.gradients(model, inputs, expected, sample_weight=weight)
    assert_close(
        {"predictions": nm.predict(model, inputs), "loss": loss, **gradients},
        {"predictions": predictions, "loss": wanted.loss, **wanted.gradients},
    )
    losses = [nm.train(model, inputs, expected, 0, sample_weight=weight) for _ in range(40)]
    assert losses[-1] < 0.9 * losses[0], losses


def assert_listed(name):
    subprocess.run([sys.executable, ROOT / "docs" / "renew.py", "--tables"], check=True, stdout=subprocess.DEVNULL)
    assert f"`{name}`" in (ROOT / "docs" / "overview.md").read_text("utf-8")
    assert f"|{name}" in (ROOT / "tools" / "editor" / "mdl.tmLanguage.json").read_text("utf-8")


def run_tests(file, word):
    (path,) = (ROOT / "tests").rglob(file)
    options = ["-q", "-n0", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "-k", word]
    assert pytest.main([*options, str(path)]) == 0
"""


def sections() -> dict[str, list[Any]]:
    """The blocks of the page by the heading that they stand under."""
    page = (GUIDE / "adding.md").read_text(encoding="utf-8")
    headings = [(found.start(), found[1]) for found in re.finditer(r"^## (.*)$", page, re.MULTILINE)]
    found: dict[str, list[Any]] = {heading: [] for _, heading in headings}
    for block in renew.blocks(page):
        found[[heading for start, heading in headings if start < block.start][-1]].append(block)
    return found


def apply(change: str, root: Path) -> None:
    """Make a change of the page in the repository below ``root``: see the page's own words on the form."""
    first, *lines = change.splitlines()
    assert first.startswith("+++ "), f"a change begins with +++ and a file, not with {first!r}"
    file = root / first.removeprefix("+++ ")
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    for hunk in "\n".join(lines).split("\n@@\n"):
        marked = [(line[:1] or " ", line[1:] + "\n") for line in hunk.split("\n")]
        assert {mark for mark, _ in marked} <= {"+", "-", " "}, f"{file.name}: {hunk}"
        old = "".join(line for mark, line in marked if mark != "+")
        new = "".join(line for mark, line in marked if mark != "-")
        if old:
            assert text.count(old) == 1, f"{text.count(old)} places of {first[4:]} are\n{old}"
        text = text.replace(old, new) if old else text + new
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("heading", sections())
def test_an_addition_of_the_guide_works(heading: str, tmp_path: Path) -> None:
    """Its changes applied to a copy, and its checks run there in processes of their own."""
    copy = tmp_path / "copy"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "out", "build", "dist", "*.egg-info")
    )
    blocks = sections()[heading]
    for block in blocks:
        if block.kind == "diff":
            apply(block.text, copy)
    checks = [block for block in blocks if block.kind.startswith("python check")]
    assert checks, "an addition without a check"
    for block in checks:
        compiles = block.kind == "python check compiled"
        environment = {
            **os.environ, "PYTHONPATH": str(copy), "REPOSITORY_COPY": str(copy), "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_DISABLE_JIT": "0" if compiles else "1", "NEUROMORPH_CACHE_DIR": str(tmp_path / "kernels"),
        }  # fmt: skip
        environment.pop("NEUROMORPH_TEST_CACHE", None)
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + block.text], cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"adding.md, line {block.line}\n{done.stdout}"


def test_a_change_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text("a = 1\nb = 2\nb = 2\n", encoding="utf-8")
    apply("+++ some.py\n a = 1\n+c = 3\n", tmp_path)
    apply("+++ new.py\n+a = 1\n+\n+b = 2\n", tmp_path)
    assert (tmp_path / "some.py").read_text(encoding="utf-8") == "a = 1\nc = 3\nb = 2\nb = 2\n"
    assert (tmp_path / "new.py").read_text(encoding="utf-8") == "a = 1\n\nb = 2\n"
    for change, error in [
        ("+++ some.py\n-d = 4\n", "0 places of some.py are"),
        ("+++ some.py\n b = 2\n+c = 3\n", "2 places of some.py are"),
        (" a = 1\n", "a change begins with"),
        ("+++ some.py\n*a = 1\n", "some.py"),
    ]:
        with pytest.raises(AssertionError, match=error):
            apply(change, tmp_path)


# Pages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", renew.from_tables(), ids=lambda file: file.name)
def test_what_is_made_from_tables_is_as_it_is_today(file: Path) -> None:
    wanted = renew.from_tables()[file]
    assert file.read_text(encoding="utf-8") == wanted, "python docs/renew.py --tables writes it anew"


def test_the_picture_shows_every_room_and_no_way_twice() -> None:
    """Whatever the table allows is an arrow of the picture or a way of several arrows."""
    table = renew.table_of_rooms()
    shown = renew.shown_imports(table)
    picture = (GUIDE / "rooms.svg").read_text(encoding="utf-8")
    assert re.findall(r">(\w+)</text>", picture) == [room for room in reversed(table) if room != "host"]
    assert picture.count('class="tip"') == sum(map(len, shown.values()))

    def reached(room: str, without: str = "") -> set[str]:
        return set().union(*({read} | reached(read) for read in shown[room] if read != without))

    for room, reads in shown.items():
        assert table[room] <= reached(room)
        assert all(read not in reached(room, without=read) for read in reads), room


def rooms_of_the_layout() -> dict[str, str]:
    """The paragraphs of the page on the layout by their rooms."""
    page = (GUIDE / "layout.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\*\*`(\w+)`\*\* (.*?)(?=\n\n|\n\Z)", page, re.MULTILINE | re.DOTALL))


def test_the_layout_has_every_room() -> None:
    assert rooms_of_the_layout().keys() == renew.table_of_rooms().keys()


@pytest.mark.parametrize("room", rooms_of_the_layout())
def test_the_names_of_the_layout_are_in_their_rooms(room: str) -> None:
    """Each name in code is a function, class, constant, method or module of the room."""
    place = ROOT / "neuromorph" / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    for name in re.findall(r"`([^`]+)`", rooms_of_the_layout()[room]):
        defined = re.search(rf"^\s*(?:(?:def|class) {name}\b|{name}(?::.*)? = )", source, re.MULTILINE)
        assert defined or name in {file.name for file in files}, name


def test_the_glossary_has_the_words_of_the_field_in_order() -> None:
    page = (GUIDE / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| \*\*(.+?)\*\* \| .+\.[^.|]* \|$", page, re.MULTILINE)
    assert words == sorted(words, key=str.lower)
    assert set(words) >= {
        "autotune", "bundle", "division", "lane", "mailbox", "member", "panel", "plan", "row", "sample", "sequence",
        "SIMD width", "slot", "step", "tier", "vector element", "window",
    }  # fmt: skip


def test_the_way_in_leads_to_every_page() -> None:
    way_in = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for page in GUIDE.glob("*.md"):
        assert f"](docs/contributing/{page.name})" in way_in
