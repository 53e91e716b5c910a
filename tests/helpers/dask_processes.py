"""A Dask scheduler and workers as processes of their own on the loopback interface, with TLS, that tests may kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.paths import TESTS

# A process that has imported everything, and forks a child for each line that it reads. Children die with it.
_PARENT = """
import asyncio, ctypes, os, signal, sys
from distributed import Scheduler, Security, Worker
from neuromorph import distributed

async def main(kind, address, folder):
    security = None
    if folder:
        cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        ends = {f"tls_{end}_cert": cert for end in ("scheduler", "worker")}
        ends |= {f"tls_{end}_key": key for end in ("scheduler", "worker")}
        security = Security(tls_ca_file=cert, require_encryption=True, **ends)
    options = {"security": security, "dashboard_address": ":0", "host": "127.0.0.1", "dashboard": False}
    options |= {"local_directory": sys.argv[2]} if kind == "worker" else {}
    if kind == "scheduler":
        server = Scheduler(port=int(address), **options)
    else:
        server = Worker(address, nthreads=1, death_timeout=30, **options)
    async with server:
        os.write(1, f"{os.getpid()} {server.address}\\n".encode())  # as a whole: others write there too
        await server.finished()

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asyncio.run(main(*line.split(), sys.argv[1]))
        os._exit(0)
"""


@dataclass(frozen=True)
class Child:
    """A process that was forked."""

    pid: int

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def lives(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """Kill the process, and wait until it is gone."""
        self.send_signal(signal.SIGKILL)
        while self.lives():
            time.sleep(0.005)


@dataclass(frozen=True)
class Paced:
    """A learning rate whose updates take some time on each worker, and that makes workers do what a file asks for.

    A folder in ``folder`` is named after a process. A file there is named after an update, and says what happens then:
    the number of a signal that the process sends itself, or "slow", after which updates take ten times as long.
    """

    folder: str
    seconds: float = 0.002
    rate: float = 0.05

    def __call__(self, update: int) -> float:
        asked = Path(self.folder, str(os.getpid()))
        if asked.is_dir():
            time.sleep(self.seconds)
            now = asked / str(update)
            if now.exists():
                what = now.read_text()
                (asked / "done").write_text(str(update))
                if what != "slow":
                    os.kill(os.getpid(), int(what))
            if (asked / "done").exists() and (asked / "slow").exists():
                time.sleep(9 * self.seconds)
        return self.rate


def ask(folder: Path, process: int, update: int | None = None, what: str = "") -> None:
    """Have the updates of a process take their time, and something happen at one of them: "slow", or a signal."""
    own = folder / str(process)
    own.mkdir(exist_ok=True)
    if update is not None:
        (own / str(update)).write_text(what)
    if what == "slow":
        (own / "slow").touch()


def certificates(folder: Path) -> None:
    """A self-signed certificate, which is its own authority."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


def client_of(address: str, folder: str) -> Any:
    """A client of a scheduler."""
    from distributed import Client, Security

    security = None
    if folder:
        cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        security = Security(tls_ca_file=cert, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
    return Client(address, security=security, set_as_default=False, timeout=20)


class DaskProcesses:
    """A scheduler, and workers by their addresses.

    scratch: a folder for files of workers. folder: of the certificates; None means without TLS.
    """

    def __init__(self, scratch: Path, folder: Path | None = None) -> None:
        self.folder = folder
        path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        variables = {**os.environ, "PYTHONPATH": path, "NEUROMORPH_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(folder or ""), str(scratch)], stderr=subprocess.DEVNULL,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables, text=True, start_new_session=True,
        )  # fmt: skip
        self.workers: dict[str, Child] = {}
        ((self.address, self._scheduler),) = self._forked("scheduler", "0", 1).items()

    def _forked(self, kind: str, address: str, count: int) -> dict[str, Child]:
        """New processes by their addresses."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(f"{kind} {address}\n" * count)
        self._parent.stdin.flush()
        lines = [self._parent.stdout.readline().split() for _ in range(count)]
        return {found: Child(int(pid)) for pid, found in lines}

    def add(self, count: int = 1) -> list[str]:
        """Start workers; their addresses."""
        started = self._forked("worker", self.address, count) if count > 0 else {}
        self.workers |= started
        return list(started)

    def have(self, count: int) -> None:
        """Start or kill workers until there are so many, all of which live."""
        for address in [address for address, process in self.workers.items() if not process.lives()]:
            del self.workers[address]
        for address in sorted(self.workers)[count:]:
            self.workers.pop(address).kill()
        self.add(count - len(self.workers))

    def client(self) -> Any:
        """A client of the cluster."""
        return client_of(self.address, str(self.folder or ""))

    def kill_scheduler(self) -> None:
        """Kill the scheduler alone."""
        self._scheduler.kill()

    def restart_scheduler(self) -> None:
        """Start another scheduler in the place of one that was killed, and kill the workers of that one."""
        self.have(0)
        port = self.address.rsplit(":", 1)[1]
        ((self.address, self._scheduler),) = self._forked("scheduler", port, 1).items()

    def stop(self) -> None:
        """Kill all processes."""
        for process in (*self.workers.values(), self._scheduler):
            process.kill()
        self._parent.kill()
        self._parent.communicate()
