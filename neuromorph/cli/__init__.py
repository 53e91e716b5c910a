"""The command line: ``neuromorph``, or ``python -m neuromorph``. It is a user of the public interface like any other.

It stands on click, a dependency of the package and not an extra: one pure Python package of an eighth of a megabyte
with nothing below it, kept well since 2014, which spares us parsing, help texts and completion in three shells.
argparse has no completion, typer is built on click and brings three more packages, and an extra would leave a command
``neuromorph`` behind that can only say how to install it. Nothing but this room imports it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of ``sys.argv``; the exit code: 1 for trouble, 2 for usage, 130 for Ctrl-C."""
    try:
        from ..host.interrupts import held

        with held():  # importing takes long enough for a Ctrl-C, and can't be broken off safely
            from .entry import run
        return run(arguments)
    except KeyboardInterrupt:
        return 130
