"""Processes that inherit files and pipes, and whether a process is there: on this system, and with Windows' calls."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.paths import REPOSITORY
from neuromorph.host import processes

CHILD = """
import os, sys
from neuromorph.host.processes import pipe_of, taken
with pipe_of(int(sys.argv[1])) as pipe:
    pipe.send([os.read(taken(int(sys.argv[2])), 100), os.getsid(0) == os.getpid()])
"""


def test_a_process_inherits_a_file_and_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"shared")
    ours, theirs = Pipe()
    with (tmp_path / "file").open("rb") as file:
        number = processes.given(file.fileno())
        command = [sys.executable, "-c", CHILD, str(theirs.fileno()), str(number)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        child = processes.start(command, [theirs.fileno(), number], env=environment)
        theirs.close()
        assert ours.recv() == [b"shared", True]
        assert child.wait(60) == 0


def test_whether_a_process_is_there() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert processes.is_there(child.pid)
    began = processes.began(child.pid)
    assert began.isdigit() == Path("/proc/self/stat").exists()
    assert processes.began(child.pid) == began
    child.communicate(b"\n")
    assert not processes.is_there(child.pid)
    assert processes.began(child.pid) == ""
    assert processes.is_there(1)  # also that of another user


# Windows --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Notes what Windows is asked for."""
    asked = SimpleNamespace(inheritable=[], started=[])
    monkeypatch.setattr(processes, "WINDOWS", True)
    monkeypatch.setattr(os, "set_handle_inheritable", lambda *call: asked.inheritable.append(call), raising=False)
    monkeypatch.setattr(subprocess, "STARTUPINFO", lambda **given: given, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *call, **options: asked.started.append((call, options)))
    return asked


def test_handles_are_inherited_by_one_process_alone(windows: Any) -> None:
    processes.start(["python"], [7, 9], stdin=3)
    options = {"startupinfo": {"lpAttributeList": {"handle_list": [7, 9]}}, "creationflags": 512, "close_fds": True}
    assert windows.started == [((["python"],), {"stdin": 3, **options})]
    assert windows.inheritable == [(7, True), (9, True), (7, False), (9, False)]


def test_files_and_pipes_become_handles_and_come_back(windows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    msvcrt = SimpleNamespace(get_osfhandle=lambda file: file + 100, open_osfhandle=lambda handle, _: handle - 100)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    assert processes.given(5) == 105
    assert processes.taken(105) == 5
    monkeypatch.setattr("multiprocessing.connection.PipeConnection", lambda handle: ("pipe", handle), raising=False)
    assert processes.pipe_of(44) == ("pipe", 44)


@pytest.mark.parametrize(
    ("handle", "error", "state", "found"),
    [
        (77, 0, 258, (True, "123456789012345")),  # it runs
        (77, 0, 0, (False, "123456789012345")),  # it has ended, and somebody still knows it
        (None, 5, None, (True, "")),  # it is somebody else's
        (None, 87, None, (False, "")),  # there is none
    ],
)
def test_what_windows_says_of_a_process(
    windows: Any, monkeypatch: pytest.MonkeyPatch, handle: int | None, error: int, state: int, found: tuple[bool, str]
) -> None:
    closed = []

    def open_process(access: int, inherits: bool, process: int) -> int | None:
        assert (access, inherits, process) == (0x101000, False, 4321)
        return handle

    def times(given: Any, *places: Any) -> int:
        assert given.value == handle
        assert len(places) == 4
        ctypes.cast(places[0], ctypes.POINTER(ctypes.c_uint64)).contents.value = 123456789012345
        return 1

    class Kernel:
        """The calls of kernel32."""

        OpenProcess = staticmethod(open_process)
        GetProcessTimes = staticmethod(times)
        WaitForSingleObject = staticmethod(lambda given, milliseconds: state)
        CloseHandle = staticmethod(lambda given: closed.append(given.value))

    open_process.restype = None  # type: ignore[attr-defined]
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: Kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("Windows would end the process"))
    assert (processes.is_there(4321), processes.began(4321)) == found
    assert closed == [handle] * 2 * (handle is not None)
