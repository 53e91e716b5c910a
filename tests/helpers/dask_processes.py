"""A Dask scheduler and workers as processes of their own on the loopback interface, with TLS, that tests may kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers.paths import TESTS

_MAIN = """
import asyncio, sys
from distributed import Scheduler, Security, Worker

async def main(kind, address, folder):
    security = None
    if folder:
        cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        ends = {f"tls_{end}_cert": cert for end in ("scheduler", "worker")}
        ends |= {f"tls_{end}_key": key for end in ("scheduler", "worker")}
        security = Security(tls_ca_file=cert, require_encryption=True, **ends)
    options = {"security": security, "dashboard_address": None, "host": "127.0.0.1"}
    if kind == "scheduler":
        server = Scheduler(port=int(address), dashboard=False, **options)
    else:
        server = Worker(address, nthreads=1, dashboard=False, death_timeout=30, **options)
    async with server:
        print(server.address, flush=True)
        await server.finished()

asyncio.run(main(*sys.argv[1:]))
"""


def certificates(folder: Path) -> None:
    """A self-signed certificate, which is its own authority."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


class DaskProcesses:
    """A scheduler, and workers by their addresses. folder: of the certificates; None means without TLS."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = "" if folder is None else str(folder)
        self.workers: dict[str, subprocess.Popen[str]] = {}
        self._scheduler, self.address = self._start("scheduler", "0")

    def _start(self, kind: str, address: str) -> tuple[subprocess.Popen[str], str]:
        """A process, and its address once it has one."""
        process = self.begin(kind, address)
        return process, self.ready(process)

    def begin(self, kind: str, address: str) -> subprocess.Popen[str]:
        """Start a process."""
        path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        variables = {**os.environ, "PYTHONPATH": path, "NEUROMORPH_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _MAIN, kind, address, self._folder]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables, text=True, start_new_session=True
        )

    @staticmethod
    def ready(process: subprocess.Popen[str]) -> str:
        """The address of a process that was started."""
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "the process has ended"
        return address

    def add(self, count: int = 1) -> list[str]:
        """Start workers; their addresses."""
        started = [self.begin("worker", self.address) for _ in range(count)]
        found = [self.ready(process) for process in started]
        self.workers |= dict(zip(found, started, strict=True))
        return found

    def client(self) -> Any:
        """A client of the cluster."""
        from distributed import Client, Security

        security = None
        if self._folder:
            cert, key = f"{self._folder}/cert.pem", f"{self._folder}/key.pem"
            security = Security(tls_ca_file=cert, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
        return Client(self.address, security=security, set_as_default=False, timeout=20)

    def signal(self, address: str, number: int) -> None:
        """Send a signal to a worker."""
        self.workers[address].send_signal(number)

    def kill(self, address: str) -> None:
        """Kill a worker."""
        process = self.workers.pop(address)
        process.kill()
        process.wait()

    def restart_scheduler(self) -> None:
        """Kill the scheduler, and start another one in its place. Workers of the first one are killed too."""
        self.stop()
        port = self.address.rsplit(":", 1)[1]
        self._scheduler, self.address = self._start("scheduler", port)

    def kill_scheduler(self) -> None:
        """Kill the scheduler alone."""
        self._scheduler.kill()
        self._scheduler.wait()

    def stop(self) -> None:
        """Kill all processes."""
        for process in (*self.workers.values(), self._scheduler):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.workers.clear()
