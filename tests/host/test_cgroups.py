"""What control groups allow, from folders made for the test."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from neuromorph.host import resources
from neuromorph.host.cgroups import NO_LIMIT, allowed_memory, allowed_processors

MEMORY = {
    "version 2": (
        "0::/jobs/mine\n",
        {"memory.max": "max\n", "jobs/memory.max": "5000\n", "jobs/mine/memory.max": "max\n"},
        5000,
    ),
    "a container": ("0::/../elsewhere\n", {"memory.max": "5000\n"}, 5000),
    "version 1": (
        "4:cpu,memory:/docker/abc\n1:cpu:/\n0::/\n",
        {"memory/memory.limit_in_bytes": "5000\n", "memory.max": "6000\n", "cpu/memory.limit_in_bytes": "1\n"},
        5000,
    ),
    "mounted by all its names": ("4:cpu,memory:/\n", {"cpu,memory/memory.limit_in_bytes": "5000\n"}, 5000),
    "nonsense": ("\n:\n0::/\n", {"memory.max": "much\n"}, NO_LIMIT),
    "more digits than Python reads": ("0::/\n", {"memory.max": "9" * 5000}, NO_LIMIT),
    "none": ("", {}, NO_LIMIT),
}
PROCESSORS = {
    "version 2, rounded down": ("0::/\n", {"cpu.max": "270000 100000\n"}, 2),
    "nearly three": ("0::/\n", {"cpu.max": "275000 100000\n"}, 3),
    "whole": ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
    "half of one": ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
    "nothing is still one": ("0::/\n", {"cpu.max": "0 100000\n"}, 1),
    "no limit": ("0::/\n", {"cpu.max": "max 100000\n"}, NO_LIMIT),
    "the least counts": (
        "0::/jobs/mine\n",
        {"cpu.max": "max 100000\n", "jobs/cpu.max": "100000 100000\n", "jobs/mine/cpu.max": "800000 100000\n"},
        1,
    ),
    "version 1": (
        "3:cpuacct,cpu:/docker/abc\n",
        {"cpu/docker/abc/cpu.cfs_quota_us": "350000\n", "cpu/docker/abc/cpu.cfs_period_us": "100000\n"},
        3,
    ),
    "version 1, mounted by both names": (
        "3:cpu,cpuacct:/\n",
        {"cpu,cpuacct/cpu.cfs_quota_us": "150000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        1,
    ),
    "version 1, no limit": (
        "3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, NO_LIMIT,
    ),
    "another controller's": ("3:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "1\n", "cpu/cpu.cfs_period_us": "1\n"}, NO_LIMIT),
    "a period of nothing": ("0::/\n", {"cpu.max": "100000 0\n"}, NO_LIMIT),
    "half a line": ("0::/\n", {"cpu.max": "100000\n"}, NO_LIMIT),
    "nonsense": ("0::/a\0b\n", {"cpu.max": "\xff \xff\n"}, NO_LIMIT),
    "none": ("", {}, NO_LIMIT),
}  # fmt: skip


def groups(folder: Path, listing: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A list of groups and the folder in which their limits stand."""
    (folder / "cgroup").write_text(listing)
    for place, text in files.items():
        (folder / "fs" / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "fs" / place).write_text(text)
    return folder / "cgroup", folder / "fs"


@pytest.mark.parametrize("name", MEMORY)
def test_memory(name: str, tmp_path: Path) -> None:
    listing, files, wanted = MEMORY[name]
    assert allowed_memory(*groups(tmp_path, listing, files)) == wanted


@pytest.mark.parametrize("name", PROCESSORS)
def test_processors(name: str, tmp_path: Path) -> None:
    listing, files, wanted = PROCESSORS[name]
    assert allowed_processors(*groups(tmp_path, listing, files)) == wanted


def test_a_system_without_groups_limits_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "cgroup", tmp_path / "fs"
    assert (allowed_memory(*nowhere), allowed_processors(*nowhere)) == (NO_LIMIT, NO_LIMIT)


def test_a_process_uses_no_more_processors_than_its_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for name in ("NEUROMORPH_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for quota, wanted in ((3, 3), (8, 8), (NO_LIMIT, 8)):
        monkeypatch.setattr(resources, "allowed_processors", lambda quota=quota: quota)
        assert resources.processors() == wanted


def test_processors_of_a_system_that_has_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert resources.processors() == 1


def test_the_quota_is_read_once(tmp_path: Path) -> None:
    where = groups(tmp_path, "0::/\n", {"cpu.max": "100000 100000\n"})
    assert allowed_processors(*where) == 1
    groups(tmp_path, "0::/\n", {"cpu.max": "700000 100000\n"})  # from now on, which is not read
    started = time.process_time()
    assert {allowed_processors(*where) for _ in range(1000)} == {1}
    assert time.process_time() - started < 0.1
