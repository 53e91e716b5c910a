"""Reads the limits of memory and processors that Linux control groups, such as a container's, set for this process.

Versions 2 and 1 are read: https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.html and
scheduler/sched-bwc.html on the same site.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

NO_LIMIT = 1 << 62  # more bytes, or processors, than any machine has
GROUPS, MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # where Linux lists groups and limits


def allowed_memory(groups: Path = GROUPS, mounted: Path = MOUNTED) -> int:
    """The bytes of memory that the control groups allow this process; ``NO_LIMIT`` if they set no limit."""
    return min([NO_LIMIT, *(_whole(_text(file)) for file in _limits_of_memory(groups, mounted))])


@cache
def _limits_of_memory(groups: Path, mounted: Path) -> tuple[Path, ...]:
    """The files with the limits of memory. Every model that is built asks for them, and most groups have none."""
    names = {2: "memory.max", 1: "memory.limit_in_bytes"}
    files = (folder / names[version] for folder, version in _folders("memory", groups, mounted))
    return tuple(file for file in files if file.is_file())


def physical_memory() -> int:
    """The bytes of memory of this machine; ``NO_LIMIT`` if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except AttributeError:
        return _memory_of_windows()
    except (ValueError, OSError):
        return NO_LIMIT


def _memory_of_windows() -> int:
    """The same, as GlobalMemoryStatusEx of Windows says it (sysinfoapi.h)."""
    import ctypes

    numbers = (ctypes.c_uint32 * 16)(64)  # MEMORYSTATUSEX: its own size, the load, then seven numbers of 8 bytes
    try:
        known = ctypes.CDLL("kernel32").GlobalMemoryStatusEx(ctypes.byref(numbers))
    except (OSError, AttributeError):
        return NO_LIMIT
    return numbers[2] + (numbers[3] << 32) if known else NO_LIMIT


def shortage(needed: int, what: str) -> str | None:
    """A message if ``needed`` bytes are more than this process can have; None if they are not.

    what: the start of the message, which says what needs the memory, with {} in the place of the bytes.
    """
    there, allowed = physical_memory(), allowed_memory()
    if needed <= min(there, allowed):
        return None
    bytes_needed = f"{needed:,} bytes ({needed / 2**30:.1f} GiB)"
    least, whose = min((there, "this machine has"), (allowed, "this process is allowed"))
    return f"{what.format(bytes_needed)}, and {whose} {least:,} ({least / 2**30:.1f} GiB)"


@cache
def allowed_processors(groups: Path = GROUPS, mounted: Path = MOUNTED) -> int:
    """The processors whose full time the control groups allow this process; ``NO_LIMIT`` if they set no limit.

    It is the smallest quota of processor time, in processors: rounded up if at most a quarter of a processor is
    missing, else rounded down, and at least 1. Threads that wait for one another use up quota while they wait. The
    files are read once in a process; a forked child keeps the number.
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
    """(folder, version) of each group that limits this process by a controller, and of the groups around it."""
    for line in _text(groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        own = PurePosixPath(path.lstrip("/"))  # this path is the machine's; a container may not see it
        for root in [mounted / name for name in (controller, controllers)] if controllers else [mounted]:
            yield from ((root / folder, 1 if controllers else 2) for folder in (own, *own.parents))


def _text(path: Path) -> str:
    """The content of a system file; an empty text if it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _whole(text: str) -> int:
    """The number in a text; ``NO_LIMIT`` if the text is no whole number of 0 or more, such as "max" or -1."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else NO_LIMIT
