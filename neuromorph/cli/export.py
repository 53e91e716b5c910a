"""The command that writes saved models for other places: export."""

from __future__ import annotations

import os

import click

import neuromorph as nm

from .files import check_apart, check_target, saved


@click.command(
    epilog="\b\nExamples:\n  neuromorph export net.safetensors -o net.c\n"
    "  neuromorph export net.safetensors -o net.c --no-libm\n"
    "  neuromorph export net.safetensors -o net.onnx --form sequence"
)
@click.argument("model", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Where the model goes, a .c or .onnx file.")
@click.option("--no-libm", is_flag=True, help="Write C that includes no <math.h>.")
@click.option("--form", type=click.Choice(["step", "sequence"]), help="What an .onnx file computes, by default a step.")
def export(model: str, output: str, no_libm: bool, form: str | None) -> None:
    """Write a saved model for other places: as C99, or as ONNX.

    A .c file gets a header beside it. net.c has struct net, net_init and net_step, which runs one time step, and with
    -DNET_SELFTEST a main function that tests it. An .onnx file runs one time step, with the state as inputs and
    outputs, or whole sequences; it needs the package onnx.
    """
    ending = os.path.splitext(output)[1].lower()
    if ending not in (".c", ".onnx"):
        raise click.UsageError(f"--output is {output}, and an exported model ends in .c or .onnx")
    if ending == ".c" and form is not None:
        raise click.UsageError("--form is for .onnx files, and C runs one time step")
    if ending == ".onnx" and no_libm:
        raise click.UsageError("--no-libm is for .c files")
    written = {"--output": output} | ({"its header": os.path.splitext(output)[0] + ".h"} if ending == ".c" else {})
    check_apart(written, {"MODEL": model})
    for place in written.values():
        check_target(place, regular=True)
    _write(saved(model), output, libm=not no_libm, form=form)


def _write(model: nm.Model, output: str, *, libm: bool, form: str | None) -> None:
    from ..export import to_c, to_onnx

    if output.lower().endswith(".c"):
        to_c(model, output, libm=libm)
        return
    try:
        to_onnx(model, output, form or "step")
    except ImportError as error:
        raise click.ClickException(str(error)) from None
