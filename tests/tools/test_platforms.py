"""The tool that runs the suite on several Pythons: what it finds out, without running the suite again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.tools import room
from helpers.tools import tools_path as tools_path


@pytest.fixture
def platforms() -> Any:
    return room("platforms")


@pytest.fixture
def ran(platforms: Any) -> Any:
    return platforms.Outcome("Python 3.14.8 on aarch64", {"failed": 2, "passed": 1234}, 61.4, 1)


@pytest.mark.parametrize(
    ("log", "counts"),
    [
        ("1 failed in a test\n\n= 3 failed, 20 passed, 1 skipped, 2 warnings in 5.02s =\nmore", (3, 20, 1)),
        ("x\n8421 passed, 12 skipped in 1015.21s (0:16:55)\n", (0, 8421, 12)),
        ("pip could not find it\n", (0, 0, 0)),
    ],
)
def test_the_counts_are_those_of_the_last_line(platforms: Any, log: str, counts: tuple[int, ...]) -> None:
    found = platforms.counts_in(log)
    assert tuple(found.get(how, 0) for how in ("failed", "passed", "skipped")) == counts


def test_a_line_says_where_and_how_it_ended(platforms: Any, ran: Any) -> None:
    assert ran.line() == "Python 3.14.8 on aarch64: 2 failed, 1,234 passed, 61 s - FAILED"
    assert platforms.Outcome("here", {}, 0.0, 0).line() == "here: no tests ran, 0 s"


def test_places(platforms: Any, tmp_path: Path) -> None:
    here = platforms.place_of(sys.executable, tmp_path)
    assert here.root is None
    assert here.folder.parent == tmp_path
    assert here.command(["a"], ["B=1"]) == ["env", "-C", str(here.folder / "checkout"), "B=1", "a"]
    (tmp_path / "system").mkdir()
    there = platforms.place_of(str(tmp_path / "system"), tmp_path)
    assert there.folder == tmp_path / "system" / "opt" / "neuromorph"
    root = str(tmp_path / "system")
    assert there.command(["a"]) == ["chroot", root, "env", "-C", "/opt/neuromorph/checkout", "a"]
    with pytest.raises(SystemExit, match=r"python9\.9: neither a Python nor the folder of another system"):
        platforms.place_of("python9.9", tmp_path)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_copy_has_what_git_does_not_ignore(platforms: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = tmp_path / "original"
    for name in ("a.py", "folder/b.txt", "ignored.pyc", ".gitignore"):
        (original / name).parent.mkdir(parents=True, exist_ok=True)
        (original / name).write_text("*.pyc\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=original, check=True)
    monkeypatch.setattr(platforms, "REPOSITORY", original)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "old").write_text("of an earlier run", encoding="utf-8")
    platforms.copied(tmp_path / "copy")
    found = sorted(str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*"))
    assert found == [".gitignore", "a.py", "folder", "folder/b.txt"]


def test_each_place_gets_what_follows_the_dashes(
    platforms: Any, ran: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def run(place: Any, pytest: list[str], workers: str, log: Path) -> Any:
        asked.append((place.given, pytest, workers))
        assert log.parent == tmp_path / "out"
        return ran if len(asked) == 2 else platforms.Outcome("here", {"passed": 1}, 1.0, 0)

    monkeypatch.setattr(platforms, "run", run)
    monkeypatch.setattr(platforms.signal, "signal", lambda *_: None)
    arguments = ["--folder", str(tmp_path / "out"), "--workers", "1", sys.executable]
    assert platforms.main([*arguments, "--", "tests/jit", "-k", "not slow"]) == 0
    assert asked == [(sys.executable, ["tests/jit", "-k", "not slow"], "1")]
    assert platforms.main([*arguments, sys.executable]) == 1  # the first of them fails
    assert asked[1:] == [(sys.executable, [], "1")] * 2
    assert capsys.readouterr().out.splitlines() == ["here: 1 passed, 1 s", ran.line(), "here: 1 passed, 1 s"]
