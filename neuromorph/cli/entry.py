"""The command ``neuromorph``: collects the subcommands, and turns every error into one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

import neuromorph as nm

from . import export, extras, forecasting, running, sweeping, texts, training
from .console import TROUBLE, flush_or_forget, keep_descriptors, report_error, say, stderr_forgiven, warnings_as_lines

_EXAMPLES = """\b
Examples:
  neuromorph check net.mdl
  neuromorph train net.mdl --data d.npz --epochs 20 --save net.safetensors
  neuromorph predict net.safetensors --data d.npz -o y.npy
  neuromorph COMMAND --help
"""


class Commands(click.Group):
    """The subcommands, listed in the order in which a user comes to need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Commands, epilog=_EXAMPLES, invoke_without_command=True)
@click.version_option(nm.__version__, message="neuromorph %(version)s")
@click.pass_context
def neuromorph(context: click.Context) -> None:
    """Neural networks written as short texts, each trained by a kernel that is compiled for it alone."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    texts.check, texts.format_, texts.summary, texts.draw, texts.inspect, training.train, running.evaluate,
    running.predict, forecasting.forecast, sweeping.sweep, sweeping.runs, export.export, extras.cache, extras.demo,
    extras.completion,
):  # fmt: skip
    neuromorph.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    keep_descriptors()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # the stream is closed or replaced by another object
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with stderr_forgiven(), warnings_as_lines():
        code = _run(arguments)
        return flush_or_forget() or code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        found: Any = neuromorph.main(
            arguments, prog_name="neuromorph", complete_var=extras.COMPLETE, standalone_mode=False
        )
        return found if isinstance(found, int) else 0
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return 130
    except TROUBLE as error:
        return report_error(error)
