"""Ctrl-C and other signals, held back while code runs that must not be interrupted.

Python runs signal handlers between any two instructions of the main thread, also inside a function that LLVM or the
garbage collector has called. An exception that a handler raises there crashes the process or is lost.
"""

from __future__ import annotations

import signal
import threading

TYPE_CHECKING = False  # type checkers take it to be true; the command line imports this file before anything slow
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from signal import getsignal
    from signal import signal as set_handler
    from types import FrameType, TracebackType
    from typing import Any

    Handler = Callable[[int, FrameType | None], Any]
else:  # what the functions of ``signal`` call: a tenth of the time
    from _signal import getsignal
    from _signal import signal as set_handler

# Ctrl-C first: it is the first to be noted and the last to be handled as usual again.
_SIGNALS = (int(signal.SIGINT), *sorted(map(int, signal.valid_signals() - {signal.SIGINT})))
_recorder: Recorder | None = None  # that of the outermost ``held`` block


class Recorder:
    """Notes signals in place of the handlers that Python would call. Outside the main thread it does nothing: only the
    main thread runs handlers."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._handlers: dict[int, Handler] = {}
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if callable(handler := getsignal(number)):
                    self._handlers[number] = handler

    def start(self) -> None:
        """Note signals from now on."""
        try:
            for number in self._handlers:
                set_handler(number, self._note)
        except ValueError:  # a subinterpreter, which gets no signals
            self._handlers.clear()
        except BaseException:
            self.stop()
            raise

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)

    def stop(self) -> list[int]:
        """Put the handlers back; the signals that came meanwhile, each once."""
        self._put_back(tuple(reversed(self._handlers)))
        return list(dict.fromkeys(self.received))

    def _put_back(self, numbers: Sequence[int]) -> None:
        if numbers:
            try:
                set_handler(numbers[0], self._handlers[numbers[0]])
            finally:  # a handler that was put back may raise at once
                self._put_back(numbers[1:])

    def deliver(self, numbers: Sequence[int]) -> None:
        """Call the handlers of signals that were held back. Where one raises, the others are called all the same."""
        if numbers:
            try:
                self._handlers[numbers[0]](numbers[0], None)
            finally:
                self.deliver(numbers[1:])


class held:  # noqa: N801 - ``with held():`` reads as what it does
    """A block in the main thread whose signals are handled at its end; in other threads, a block like any other.

    A block inside another one belongs to it. An exception that a handler raises at the end replaces the block's own,
    which becomes its context.
    """

    _own: Recorder | None = None

    def __enter__(self) -> held:
        global _recorder
        if _recorder is None:
            recorder = Recorder()
            recorder.start()
            if recorder._handlers:
                self._own = _recorder = recorder
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        global _recorder
        if (own := self._own) is not None:
            self._own = _recorder = None
            try:
                own.stop()
            finally:
                own.deliver(tuple(dict.fromkeys(own.received)))


def raise_if_pressed_twice() -> None:
    """Handle Ctrl-C inside a ``held`` block where it has been pressed twice: somebody does not want to wait."""
    recorder = _recorder
    if recorder is None or threading.current_thread() is not threading.main_thread():
        return
    if recorder.received.count(signal.SIGINT) > 1:
        recorder.received[:] = [number for number in recorder.received if number != signal.SIGINT]
        recorder.deliver([signal.SIGINT])
