"""The workflows of GitHub: they run what .ci/run runs, on each Python that the package says it is for."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import REPOSITORY

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def jobs() -> dict[str, dict[str, Any]]:
    read = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in WORKFLOWS]
    return {name: job for workflow in read for name, job in workflow["jobs"].items()}


def test_all_that_jobs_run_is_what_ci_runs() -> None:
    assert jobs()
    for name, job in jobs().items():
        assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"], name
        given = {"PYTHON": "python"} | ({"EXTRAS": "test-peers,real,results"} if name == "peers" else {})
        assert job["steps"][-1]["env"] == given, name


def test_every_python_that_the_package_names_is_tested() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    matrix = jobs()["posix"]["strategy"]["matrix"]
    assert matrix["python"][: len(named)] == named  # newer ones may be tried before the package names them
    assert project["requires-python"] == f">={named[0]}"
    assert {one["python"] for one in matrix["include"]} <= {*matrix["python"]}
    systems = {*matrix["system"], *(one["system"] for one in matrix["include"])}
    assert {re.sub(r"-[\d.]+", "", system) for system in systems} == {"ubuntu", "ubuntu-arm", "macos"}


def test_only_windows_may_fail() -> None:
    assert [name for name, job in jobs().items() if job.get("continue-on-error")] == ["windows"]


def test_ci_takes_the_python_that_it_is_given(tmp_path: Path) -> None:
    """And no other one if that can't be used."""
    folder = tmp_path / "checkout" / ".ci"
    folder.mkdir(parents=True)
    (folder / "run").write_bytes((REPOSITORY / ".ci" / "run").read_bytes())
    for name, code in (("sound", "0"), ("broken", "1")):
        python = tmp_path / name
        python.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/log\nexit {code}\n', encoding="utf-8")
        python.chmod(0o755)
        known = {**os.environ, "PYTHON": str(python)}
        done = subprocess.run(["bash", ".ci/run"], cwd=folder.parent, env=known, capture_output=True, text=True)
        assert done.returncode != 0  # none of them makes an environment
        assert ("no Python 3.11 or later" in done.stderr) == (name == "broken")
    calls = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert [call for call in calls if "venv --clear" in call] == ["sound -m venv --clear .venv-ci"]
