"""Holds back Ctrl-C and other signals while code runs that must not be interrupted.

Python runs signal handlers between any two instructions of the main thread, also inside a function that LLVM or the
garbage collector has called. An exception that a handler raises there crashes the process or is lost.
"""

from __future__ import annotations

import os
import signal
import threading

TYPE_CHECKING = False  # type checkers take it as true; the command line imports this file before anything slow
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from signal import getsignal
    from signal import signal as set_handler
    from types import FrameType, TracebackType
    from typing import Any

    Handler = Callable[[int, FrameType | None], Any]
    Signal = tuple[int, FrameType | None, int]  # number, interrupted frame, process that got it
else:  # the functions that those of ``signal`` call; they take a tenth of the time
    from _signal import getsignal
    from _signal import signal as set_handler

# Ctrl-C is the first signal to be recorded, and the last one to get its handler back.
_SIGNALS = (int(signal.SIGINT), *sorted(map(int, signal.valid_signals() - {signal.SIGINT})))
_recorder: Recorder | None = None  # the recorder of the outermost ``held`` block


class Recorder:
    """Records signals instead of calling their handlers.

    Outside the main thread it does nothing, because only the main thread runs handlers.
    """

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
        """Whether this thread runs signal handlers."""
        return bool(self._handlers)

    def start(self) -> None:
        """Record signals from now on."""
        try:
            for number in self._handlers:
                set_handler(number, self._note)
        except ValueError:  # a subinterpreter, which gets no signals
            self._handlers.clear()
        except BaseException:  # raised by the handler of a signal that is not recorded yet
            self.stop()
            raise

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noting:
            self.received.append((number, frame, os.getpid()))
        else:
            self._handlers[number](number, frame)

    def stop(self) -> None:
        """Restore the handlers, and call them for the recorded signals, once for each signal.

        Handlers may raise from the first line on. If a handler was not restored for this reason, ``_note`` calls it.
        """
        self._noting = False
        try:
            self.put_back()
        finally:
            self._deliver(self.taken())

    def put_back(self) -> None:
        """Restore the handlers that ``_note`` still stands in for."""
        self._noting = False
        for number in reversed(self._handlers):
            if getsignal(number) == self._note:
                set_handler(number, self._handlers[number])

    def taken(self) -> list[Signal]:
        """The recorded signals, each once, Ctrl-C last. The record is then empty."""
        noted, self.received = self.received, []
        return sorted({one[0]: one for one in noted}.values(), key=lambda one: one[0] == signal.SIGINT)

    def _deliver(self, signals: Sequence[Signal]) -> None:
        """Call the handlers of some signals.

        If one raises, the others are called all the same. The last exception has the earlier ones as its context.
        """
        if signals:
            number, frame, _ = signals[0]
            try:
                self._handlers[number](number, frame)
            finally:
                self._deliver(signals[1:])

    def deliver_if_pressed_twice(self) -> None:
        """Call the handler of Ctrl-C if Ctrl-C was recorded more than once."""
        presses = [noted for noted in self.received if noted[0] == signal.SIGINT]
        if len(presses) > 1:
            self.received = [noted for noted in self.received if noted[0] != signal.SIGINT]
            self._deliver(presses[:1])


class held:  # noqa: N801 - ``with held():`` reads as what it does
    """A block in the main thread during which signals wait; they are handled at its end. Elsewhere it does nothing.

    A block inside another one has no effect of its own. An exception that a handler raises at the end replaces the
    block's own exception, which becomes its context.
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
            if _recorder is own:  # it is another one in a child that was forked inside the block
                _recorder = None
            own.stop()


def raise_if_pressed_twice() -> None:
    """Handle Ctrl-C inside a ``held`` block if it was pressed twice: the user does not want to wait."""
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
