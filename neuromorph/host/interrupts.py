"""Holds back Ctrl-C and other signals while code runs that must not be interrupted.

Python runs signal handlers between any two instructions of the main thread, also inside a function that LLVM or the
garbage collector has called. An exception that a handler raises there crashes the process or is lost.
"""

from __future__ import annotations

import os
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
    Signal = tuple[int, FrameType | None, int]  # its number, the frame that it interrupted, the process that got it
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
        self.received: list[Signal] = []
        self.thread = threading.get_ident()
        self._noting = True
        self._handlers: dict[int, Handler] = {}
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if callable(handler := getsignal(number)):
                    self._handlers[number] = handler

    @property
    def is_needed(self) -> bool:
        """Whether this thread runs handlers."""
        return bool(self._handlers)

    def start(self) -> None:
        """Note signals from now on."""
        try:
            for number in self._handlers:
                set_handler(number, self._note)
        except ValueError:  # a subinterpreter, which gets no signals
            self._handlers.clear()
        except BaseException:  # of the handler of a signal that is not noted yet
            self.stop()
            raise

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noting:
            self.received.append((number, frame, os.getpid()))
        else:
            self._handlers[number](number, frame)

    def stop(self) -> None:
        """Have signals handled as before, and those that were noted too, each once.

        Handlers may raise from the first line on. One that was not put back for this reason is called by ``_note``.
        """
        self._noting = False
        try:
            self.put_back()
        finally:
            self._deliver(self.taken())

    def put_back(self) -> None:
        """Put back the handlers in whose place ``_note`` still stands."""
        self._noting = False
        for number in reversed(self._handlers):
            if getsignal(number) == self._note:
                set_handler(number, self._handlers[number])

    def taken(self) -> list[Signal]:
        """The signals that were noted, each once, Ctrl-C last; they are forgotten here."""
        noted, self.received = self.received, []
        return sorted({one[0]: one for one in noted}.values(), key=lambda one: one[0] == signal.SIGINT)

    def _deliver(self, signals: Sequence[Signal]) -> None:
        """Call the handlers of some signals. Where one raises, the others are called all the same, and the exception of
        the last one has the others as its context."""
        if signals:
            number, frame, _ = signals[0]
            try:
                self._handlers[number](number, frame)
            finally:
                self._deliver(signals[1:])

    def deliver_if_pressed_twice(self) -> None:
        """Call the handler of Ctrl-C where it was noted more than once."""
        presses = [noted for noted in self.received if noted[0] == signal.SIGINT]
        if len(presses) > 1:
            self.received = [noted for noted in self.received if noted[0] != signal.SIGINT]
            self._deliver(presses[:1])


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
            if recorder.is_needed:
                self._own = _recorder = recorder
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        global _recorder
        if (own := self._own) is not None:
            self._own = None
            if _recorder is own:  # not so in a child that was forked inside the block
                _recorder = None
            own.stop()


def raise_if_pressed_twice() -> None:
    """Handle Ctrl-C inside a ``held`` block where it has been pressed twice: somebody does not want to wait."""
    recorder = _recorder
    if recorder is not None and recorder.thread == threading.get_ident():
        recorder.deliver_if_pressed_twice()


def _in_child() -> None:
    """End the ``held`` block of a thread that does not exist in this process."""
    global _recorder
    recorder = _recorder
    if recorder is not None and recorder.thread != threading.get_ident():
        _recorder = None
        recorder.put_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
