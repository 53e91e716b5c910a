"""Limits of memory and processors that Linux control groups, such as a container's, set for this process.

Versions 2 and 1 are read: https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.html and
scheduler/sched-bwc.html beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

NO_LIMIT = 1 << 62  # bytes, or processors, that nothing reaches
GROUPS, MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # where Linux says what limits a process


def allowed_memory(groups: Path = GROUPS, mounted: Path = MOUNTED) -> int:
    """Bytes that the control groups of this process let it have, ``NO_LIMIT`` where they say nothing."""
    limits = [NO_LIMIT]
    for folder, version in _folders("memory", groups, mounted):
        limits.append(_whole(_text(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))))
    return min(limits)


def physical_memory() -> int:
    """Bytes of memory of this machine, ``NO_LIMIT`` where it can't be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return NO_LIMIT


def shortage(needed: int, what: str) -> str | None:
    """What to say where so many bytes are more than there can be; None where they are not.

    what: says what needs them, with {} in their place.
    """
    there, allowed = physical_memory(), allowed_memory()
    if needed <= min(there, allowed):
        return None
    bytes_needed = f"{needed:,} bytes ({needed / 2**30:.1f} GiB)"
    least, whose = min((there, "this machine has"), (allowed, "this process is allowed"))
    return f"{what.format(bytes_needed)}, and {whose} {least:,} ({least / 2**30:.1f} GiB)"


@cache
def allowed_processors(groups: Path = GROUPS, mounted: Path = MOUNTED) -> int:
    """Processors whose whole time the control groups of this process let it have, ``NO_LIMIT`` where they say nothing:
    the least quota of time in a period, of which at most a quarter of a processor is given up to the next whole one.
    Threads that wait for one another spend a quota by waiting. Read once in a process; a forked child keeps it.
    """
    limits = [NO_LIMIT]
    for folder, version in _folders("cpu", groups, mounted):
        if version == 2:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if _whole(quota) < NO_LIMIT and 0 < _whole(period) < NO_LIMIT:
            limits.append(max(1, (4 * _whole(quota) + _whole(period)) // (4 * _whole(period))))
    return min(limits)


def _folders(controller: str, groups: Path, mounted: Path) -> Iterator[tuple[Path, int]]:
    """(folder, version) of each group that limits this process by a controller, and of those that these are in."""
    for line in _text(groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        own = PurePosixPath(path.lstrip("/"))  # of the whole machine, and inside a container maybe not to be seen
        for root in [mounted / name for name in (controller, controllers)] if controllers else [mounted]:
            yield from ((root / folder, 1 if controllers else 2) for folder in (own, *own.parents))


def _text(path: Path) -> str:
    """What a file of the system says, nothing where it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _whole(text: str) -> int:
    """A number of the system's, ``NO_LIMIT`` where the text is none, such as "max" or -1."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else NO_LIMIT
