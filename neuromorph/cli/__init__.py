"""The command line: ``neuromorph``, or ``python -m neuromorph``. It uses the public interface, like any user.

It is built on click, which is a required dependency and not an extra. With an extra, the installed command
``neuromorph`` could only say how to install click. click is one pure Python package of 125 kB without dependencies,
maintained since 2014. It does parsing, help texts and completion in three shells. argparse has no completion, and typer
is built on click and brings three more packages. No other room imports click.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of ``sys.argv``, and return its exit code.

    The exit code is 0 for success, 1 for an error, 2 for wrong usage, and 130 for Ctrl-C.
    """
    try:
        from ..host.interrupts import held

        with held():  # a Ctrl-C may come during the import, which can't be interrupted safely
            from .entry import run
        return run(arguments)
    except KeyboardInterrupt:
        return 130
