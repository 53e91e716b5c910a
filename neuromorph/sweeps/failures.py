"""What a task of a pool ends with if it has no value."""

from __future__ import annotations

import signal
import traceback

from ..host.frozen import frozen

RAISED, DIED = "raised", "died"


@frozen
class Failure:
    """The end of a task without a value.

    kind: "raised" if the function raised an error, "died" if the process that ran it has ended. message: one line, such
    as "ValueError: …" or "the worker process was killed by SIGKILL". error: the name of the error's class, "" if the
    process ended. traceback: the text of the traceback, "" if there is none. signal: the number of the signal that
    ended the process, None if there was none or nobody knows.
    """

    kind: str
    message: str
    error: str = ""
    traceback: str = ""
    signal: int | None = None

    def __str__(self) -> str:
        return self.message


def raised(error: BaseException) -> Failure:
    """The failure of a task whose function raised an error."""
    try:
        said = "".join(traceback.format_exception_only(error))
        text = "".join(traceback.format_exception(error))
    except Exception:  # the user's own class raises an error
        said = text = type(error).__name__
    line = " ".join(part for line in said.splitlines() if (part := line.strip()))
    return Failure(RAISED, _written(line), type(error).__name__, _written(text))


def _written(text: str) -> str:
    """A text that can be written to a store: what is no Unicode, such as half a surrogate pair, as an escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def died(status: int | None) -> Failure:
    """The failure of a task whose process has ended. status: as of ``subprocess.Popen.returncode``."""
    if status is None or status >= 0:
        how = "was lost" if status is None else f"ended with status {status}"
        return Failure(DIED, f"the worker process {how}")
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return Failure(DIED, f"the worker process was killed by {name}", signal=-status)


def lost(worker: str) -> Failure:
    """The failure of a task whose Dask worker is gone."""
    return Failure(DIED, f"the Dask worker {worker} was lost")
