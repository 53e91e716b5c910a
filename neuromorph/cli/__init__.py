"""The command line: ``neuromorph``, or ``python -m neuromorph``. It uses the public interface, like any user.

It is built on click, a required dependency and not an extra. click is one pure Python package of an eighth of a
megabyte without dependencies, maintained since 2014, and does parsing, help texts and completion in three shells.
argparse has no completion, and typer is built on click and brings three more packages. With an extra, the installed
command ``neuromorph`` could only say how to install it. No other room imports click.
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
