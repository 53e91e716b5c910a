"""The command that writes saved models for other places: export."""

from __future__ import annotations

import os

import click

from .files import check_apart, check_target, saved


@click.command(
    epilog="\b\nExamples:\n  neuromorph export net.safetensors -o net.c\n"
    "  neuromorph export net.safetensors -o net.c --no-libm"
)
@click.argument("model", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Where the model goes, a .c file.")
@click.option("--no-libm", is_flag=True, help="Write C that includes no <math.h>.")
def export(model: str, output: str, no_libm: bool) -> None:
    """Write a saved model for other places: as C99.

    A .c file gets a header beside it. net.c has struct net, net_init and net_step, which runs one time step, and with
    -DNET_SELFTEST a main function that tests it.
    """
    if not output.lower().endswith(".c"):
        raise click.UsageError(f"--output is {output}, and an exported model ends in .c")
    from ..export import to_c

    header = os.path.splitext(output)[0] + ".h"
    check_apart({"--output": output, "its header": header}, {"MODEL": model})
    for place in (output, header):
        check_target(place, regular=True)
    to_c(saved(model), output, libm=not no_libm)
