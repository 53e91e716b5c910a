"""Our side of a contestant's process: orders, answers, time limits, and an end whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).resolve().parents[1]


class WorkerError(RuntimeError):
    """A worker said why it can't, ended, or took too long."""


class TimeLimitError(WorkerError):
    """A worker took too long."""


class Process:
    """A worker in a process of its own. ``folder``: where it may write; it also holds the kernels' cache.
    ``python``: the interpreter that runs it, None for this one."""

    def __init__(self, folder: str, python: str | None = None) -> None:
        self._log = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the process
        environment = {**os.environ, "NEUROMORPH_CACHE_DIR": str(Path(folder) / "cache"), "TMPDIR": folder}
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "inductor")
        self._process = subprocess.Popen(
            [python or sys.executable, "-m", "peers.worker"], cwd=TOOLS, env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip

    @property
    def gone(self) -> bool:
        """Whether it was ended."""
        return self._process.returncode is not None

    def ask(self, order: dict[str, Any], limit: float) -> Any:
        """An order's answer within ``limit`` seconds. Raises WorkerError: a worker that says why it can't lives on, any
        other is gone."""
        if self.gone:
            raise WorkerError("its process was ended")
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            answer = json.loads(self._line(limit))
        except (OSError, WorkerError) as error:
            self.close()
            raise error if isinstance(error, WorkerError) else WorkerError(str(error)) from None
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["ok"]

    def _line(self, limit: float) -> bytes:
        """The next line of the worker's answers."""
        assert self._process.stdout is not None
        received, end = b"", time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise TimeLimitError(f"not done after {limit:.0f} s")
                part = os.read(self._process.stdout.fileno(), 1 << 16)
                if not part:
                    raise WorkerError(f"its process ended: {self._last_words()}")
                received += part
        return received

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else f"exit status {self._process.wait()}"

    def close(self) -> None:
        """End the process and the helpers that it started, a compiler's among them."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


class Pool:
    """Workers by key, each started when it is first asked for, and the folder in which they may write.

    ``pythons``: the interpreters of those libraries that have one of their own.
    """

    def __init__(self, pythons: Mapping[str, str] | None = None) -> None:
        self._pythons = dict(pythons or {})
        self._folder = tempfile.TemporaryDirectory(prefix="neuromorph-benchmark-", ignore_cleanup_errors=True)
        self._processes: dict[tuple[str, int], Process] = {}

    @property
    def folder(self) -> str:
        """Where the workers may write."""
        return self._folder.name

    def process(self, key: tuple[str, int]) -> Process:
        """The worker of a key; a new one where the last was ended."""
        found = self._processes.get(key)
        if found is None or found.gone:
            found = self._processes[key] = Process(self.folder, self._pythons.get(key[0]))
        return found

    def clear(self, limit: float) -> None:
        """Let all workers forget what they have prepared; one that can't is ended."""
        for process in self._processes.values():
            try:
                if not process.gone:
                    process.ask({"do": "clear"}, limit)
            except WorkerError:
                process.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._processes.values():
            process.close()
        self._folder.cleanup()
