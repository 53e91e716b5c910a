"""Processes of this machine: started with files and pipes that they inherit, and looked for by their numbers.

POSIX knows what is inherited by descriptors, Windows by handles. Both are whole numbers, which the new process is told.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

WINDOWS = os.name == "nt"
_QUERY, _SYNCHRONIZE, _WAITS, _REFUSED = 0x1000, 0x100000, 258, 5  # numbers of winnt.h and winerror.h


def start(command: Sequence[str], inherited: Sequence[int], **options: Any) -> subprocess.Popen[bytes]:
    """A new process, which Ctrl-C in this one's terminal does not reach.

    inherited: what ``given`` and the ``fileno`` of a pipe's end say, for what the process shall inherit. options: those
    of ``subprocess.Popen``.
    """
    if not WINDOWS:
        return subprocess.Popen(command, pass_fds=inherited, start_new_session=True, **options)
    system: Any = subprocess
    system_os: Any = os
    for handle in inherited:
        system_os.set_handle_inheritable(handle, True)
    try:
        options["startupinfo"] = system.STARTUPINFO(lpAttributeList={"handle_list": list(inherited)})
        options["creationflags"] = system.CREATE_NEW_PROCESS_GROUP
        return subprocess.Popen(command, close_fds=True, **options)
    finally:
        for handle in inherited:
            system_os.set_handle_inheritable(handle, False)


def given(descriptor: int) -> int:
    """The number by which a new process inherits a file. descriptor: of the file, here."""
    return int(import_module("msvcrt").get_osfhandle(descriptor)) if WINDOWS else descriptor


def taken(number: int) -> int:
    """The descriptor of an inherited file, in the new process. number: what ``given`` said."""
    return int(import_module("msvcrt").open_osfhandle(number, os.O_RDONLY)) if WINDOWS else number


def pipe_of(number: int) -> Any:
    """The inherited end of a ``multiprocessing.Pipe``, in the new process. number: its ``fileno`` in the other one."""
    return getattr(import_module("multiprocessing.connection"), "PipeConnection" if WINDOWS else "Connection")(number)


def is_there(process: int) -> bool:
    """Whether there is a process of a number, whoever it belongs to."""
    if WINDOWS:  # where os.kill would end it
        return _known_to_windows(process)[0]
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        pass
    return True


def began(process: int) -> str:
    """When a process began, in a unit of the system's; "" where that is not known. Of a zombie, it is "ended"."""
    if WINDOWS:
        return _known_to_windows(process)[1]
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *rest = text.rpartition(")")[2].split()
    return "ended" if state == "Z" else rest[18]


def _known_to_windows(process: int) -> tuple[bool, str]:
    """Whether a process is there, and when it began; see processthreadsapi.h."""
    import ctypes

    system: Any = ctypes
    kernel = system.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(_QUERY | _SYNCHRONIZE, False, process)
    if not handle:
        return system.get_last_error() == _REFUSED, ""
    try:
        times = [ctypes.c_uint64() for _ in range(4)]  # its begin, its end, its time in the kernel and outside
        known = kernel.GetProcessTimes(ctypes.c_void_p(handle), *map(ctypes.byref, times))
        is_running = kernel.WaitForSingleObject(ctypes.c_void_p(handle), 0) == _WAITS
        return is_running, str(times[0].value) if known else ""
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))
