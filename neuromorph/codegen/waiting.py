"""Emits ``lead``, which makes a call of ``train`` through the mailbox, and ``serve``, which waits there for calls.

Neither function needs Python between calls. ``serve`` takes the arguments of ``train``. It reads the arguments that
change from call to call from the mailbox: integers as they are, arrays by address, and floating-point numbers from an
array of their own. What it was given for these arguments only has the right types. The other arguments belong to the
model and stay the same.
"""

from __future__ import annotations

from ..abi.arguments import CALL_ARRAYS, TrainCall
from ..abi.mailbox import ENDED, GIVEN, IN_MAILBOX, LAST, LASTING, PATIENCE, STREAK, USER, WHOLE
from .frame import Frame
from .head import ARGUMENT_KINDS

TRAINED = ", ".join(TrainCall._fields)
_FOREVER = "1 << 60"  # looks at the mailbox


def _places() -> tuple[dict[str, str], dict[str, str]]:
    """Where each argument of a call stands, as source: in the mailbox, and in the array of floating-point numbers."""
    passed = [name for name in TrainCall._fields if ARGUMENT_KINDS[name] == "count" or name in CALL_ARRAYS]
    numbers = [name for name in TrainCall._fields if ARGUMENT_KINDS[name] == "number"]
    in_mailbox = {name: f"mailbox[{place}]" for place, name in enumerate(passed, GIVEN)}
    return in_mailbox, {name: f"numbers[{place}]" for place, name in enumerate(numbers)}


def emit_lead(frame: Frame) -> None:
    """Emits ``lead``, by which the first member calls ``train``.

    It calls ``train`` with all members; or alone, if the others do not wait and need not be woken.
    """
    writer, (in_mailbox, in_numbers) = frame.writer, _places()
    doc = (
        "``train`` with all that wait for this user's calls, or alone. -1 where they are to be woken: for ``enough`` "
        f"samples, or because calls with {LASTING} times as much work have followed one another soon. With -1 for "
        "enough, the others have been called."
    )
    with frame.function("lead", f"mailbox, numbers, user, enough, {TRAINED}", doc, "count"):
        writer.line("until = 1")
        with writer.block("if enough < 0:"):
            writer.line("pass")
        with writer.block(f"elif mailbox[{USER}] == user and claim(mailbox, {frame.threads - 1}):"):
            for name, place in in_mailbox.items():
                writer.line(f"{place} = {f'address_of({name})' if name in CALL_ARRAYS else name}")
            for name, place in in_numbers.items():
                writer.line(f"{place} = {name}")
            writer.line("post(mailbox)")
        with writer.block("elif stop - sample >= enough:"):
            writer.line("return -1")
        with writer.block("else:"):
            writer.lines(
                f"streak = mailbox[{STREAK}] if mailbox[{LAST}] == user else 0",
                f"soon = mailbox[{LAST}] == user and ticks() - mailbox[{ENDED}] < mailbox[{PATIENCE}]",
                f"streak = (streak if soon else streak // 2) + (stop - sample) * {WHOLE} // enough",
                f"wakes = soon and streak >= {LASTING * WHOLE}",
                f"mailbox[{STREAK}] = 0 if wakes else streak",
            )
            with writer.block("if wakes:"):
                writer.line("return -1")
            writer.line(f"until = {frame.threads}")
        writer.lines(
            f"reached = train(0, until, mailbox, numbers, {TRAINED})",
            f"mailbox[{LAST}], mailbox[{ENDED}] = user, ticks()",
            "return reached",
        )


def emit_serve(frame: Frame) -> None:
    """Emits ``serve``: another member waits between two calls from Python, and runs the calls in the mailbox."""
    writer, (in_mailbox, in_numbers) = frame.writer, _places()
    arguments = f"member, mailbox, numbers, calls, looks, {TRAINED}"
    doc = "Wait for calls and do our part of them: how many there were when none came, or one that Python has to make."
    given = [
        f"array_at({name}, {in_mailbox[name]})"
        if name in CALL_ARRAYS
        else in_mailbox.get(name) or in_numbers.get(name) or name
        for name in TrainCall._fields
    ]
    with frame.function("serve", arguments, doc, "count"):
        writer.line("arrive(mailbox)")
        with writer.block("while True:"):
            writer.lines("since = ticks()", "seen = linger(mailbox, calls, looks)")
            with writer.block("if seen == calls:"):
                writer.line("half = (ticks() - since) // 2")
                with writer.block(f"if 0 < half < mailbox[{PATIENCE}]:"):
                    writer.line(f"mailbox[{PATIENCE}] = half")
                with writer.block("if leave(mailbox):"):
                    writer.line("return calls")
                writer.line(f"seen = linger(mailbox, calls, {_FOREVER})")
            with writer.block(f"if mailbox[{IN_MAILBOX}] != seen:"):
                writer.lines("leave(mailbox)", "return calls")
            writer.line("calls = seen")
            writer.lines(f"train(member, member + 1, mailbox, numbers, {', '.join(given)})", "arrive(mailbox)")
