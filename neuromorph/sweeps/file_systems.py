"""Tells file systems of a network from those of this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_MOUNTS = Path("/proc/mounts")
_SHARED = (
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "ocfs2",
    "smb", "vboxsf", "virtiofs",
)  # fmt: skip


def is_of_network(path: str) -> bool:
    """Whether the file system of a file is known to be one that other machines may use too.

    SQLite's write-ahead log needs memory that all its users share, which other machines do not.
    """
    with suppress(OSError):
        return kind_of(os.path.realpath(path), _MOUNTS.read_text(encoding="utf-8", errors="replace")).startswith(
            _SHARED
        )
    return False


def kind_of(path: str, mounts: str) -> str:
    """The kind of the file system that a path is on. mounts: the text of /proc/mounts."""
    found, kind = "", ""
    for line in mounts.splitlines():
        _, place, its_kind, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        if len(place) >= len(found) and (path == place or path.startswith(place.rstrip("/") + "/")):
            found, kind = place, its_kind
    return kind
