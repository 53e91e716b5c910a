"""Tells file systems of a network from those of this machine."""

from __future__ import annotations

import ctypes
import ntpath
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_MOUNTS, _MOUNT = Path("/proc/mounts"), "/sbin/mount"
_REMOTE = 4  # DRIVE_REMOTE of Windows
_SHARED = (
    "9p", "afp", "afs", "beegfs", "ceph", "cifs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "ocfs2", "smb", "vboxsf", "virtiofs", "webdav",
)  # fmt: skip


def is_of_network(path: str) -> bool:
    """Whether the file system of a file is known to be one that other machines may use too.

    SQLite's write-ahead log needs memory that all its users share, which other machines do not.
    """
    whole = os.path.realpath(path)
    if sys.platform == "win32":
        return is_remote_drive(whole, ctypes.windll.kernel32.GetDriveTypeW)
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            shown = subprocess.run([_MOUNT], capture_output=True, timeout=10, check=True, errors="replace")
            return kind_of(whole, mounts_of_macos(shown.stdout)).startswith(_SHARED)
        return kind_of(whole, _MOUNTS.read_text(encoding="utf-8", errors="replace")).startswith(_SHARED)
    return False


def is_remote_drive(path: str, type_of_drive: Callable[[str], int]) -> bool:
    """Whether a path of Windows names a share of the network, or a drive that stands for one.

    type_of_drive: what ``GetDriveTypeW`` gives for the root of a drive.
    """
    drive = ntpath.splitdrive(path)[0].removeprefix("\\\\?\\")  # which marks long paths
    return drive.startswith(("\\\\", "UNC\\")) or type_of_drive(drive + "\\") == _REMOTE


def mounts_of_macos(shown: str) -> str:
    """What the command ``mount`` of macOS prints, in the form of /proc/mounts."""
    found = re.findall(r"^(.*?) on (/.*) \((\w+)", shown, re.MULTILINE)
    return "\n".join(" ".join(part.replace(" ", "\\040") for part in line) + " -" for line in found)


def kind_of(path: str, mounts: str) -> str:
    """The kind of the file system that a path is on. mounts: the text of /proc/mounts."""
    found, kind = "", ""
    for line in mounts.splitlines():
        _, place, its_kind, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        if len(place) >= len(found) and (path == place or path.startswith(place.rstrip("/") + "/")):
            found, kind = place, its_kind
    return kind
