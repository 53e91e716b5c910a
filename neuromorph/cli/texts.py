"""Commands about a model's text: check, format, summary, draw, inspect."""

from __future__ import annotations

import json
from typing import Any

import click

import neuromorph as nm

from ..host.frozen import frozen
from ..tables.records import counted
from .arrays import Source
from .console import TROUBLE, give, give_raw, say, sentence
from .describing import described_table, lines_of_table
from .files import FILE, check_apart, check_target, is_saved, model_of, no_warnings, text_of, write
from .source import data_options

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for tools.")
FOLD = click.option("--fold", is_flag=True, help="Show every cell as one node.")


_CHECKED = """\b
Examples:
  neuromorph check lstm.mdl
  cat lstm.mdl | neuromorph check -
  neuromorph check --data people.csv
  neuromorph check people.mdl --data people.csv --targets income
"""


@click.command(epilog=_CHECKED)
@click.argument("files", nargs=-1, metavar="FILE...", type=FILE)
@data_options(answers=False, training=True)
@click.option("--window", type=click.IntRange(min=1), help="Steps in time of an update; by default 16, or 1.")
@AS_JSON
def check(files: tuple[str, ...], source: Source, window: int | None, as_json: bool) -> int:
    """Look for errors and likely mistakes in model descriptions.

    Errors and warnings go to stderr, each with its place. The exit code is 1 where a file has an error. FILE may be -
    for stdin. With --data, what the columns of the table hold goes to stdout, and whether a single FILE suits it.
    """
    if not files and source.data is None:
        raise click.UsageError("Missing argument 'FILE...'")
    findings = [_examined(path, window) for path in files]
    broken = any(found.error for found in findings)
    models = [found.model for found in findings if found.model is not None]
    described = None if source.data is None or broken else described_table(source, models[0] if models else None)
    if as_json:
        tables = [] if described is None else [described]
        give(json.dumps([found.as_json() for found in findings] + tables, indent=2))
        return 1 if broken else 0
    for found in findings:
        found.tell()
    if described is not None:
        for note in described["notes"]:
            say(f"warning: {described['file']}: {note}")
        give("\n".join(lines_of_table(described)))
    return 1 if broken else 0


@frozen
class Findings:
    """What was found in one file: the model or an error, and advice on likely mistakes."""

    file: str
    model: nm.Model | None
    error: BaseException | None
    advice: tuple[nm.Advice, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The findings as an object for JSON. Lines and columns count from 1."""
        placed = [{"line": a.line, "column": a.column, "message": a.message} for a in self.advice]
        errors = [] if self.error is None else [_as_json(self.error)]
        return {"file": self.file, "valid": not errors, "errors": errors, "warnings": placed}

    def tell(self) -> None:
        """Print the findings for people."""
        for advice in self.advice:
            say(f"warning: {advice}")
        if self.error is not None:
            say(f"error: {sentence(self.error)}")
        if self.model is not None:
            m = self.model
            sizes = f"{counted(len(m.graph.nodes), 'node')}, {counted(m.parameter_count, 'parameter')}"
            give(f"{self.file}: {sizes}, {counted(m.input_width, 'number')} in, {m.output_width:,} out")


def _examined(path: str, window: int | None) -> Findings:
    """The findings about a file. window: the number of steps in an update, or None for the default."""
    try:
        text = text_of(path)
        with no_warnings():
            return Findings(path, nm.compile(text, 1, 0.0), None, nm.check(text, bptt_steps=window))
    except TROUBLE as error:
        return Findings(path, None, error)


def _as_json(error: BaseException) -> dict[str, Any]:
    """An error as an object for JSON, with its place if it has one."""
    place = (
        (error.line, error.column, error.reason) if isinstance(error, nm.MDLError) else (None, None, sentence(error))
    )
    return dict(zip(("line", "column", "message"), place, strict=True))


@click.command(
    "format",
    epilog="\b\nExamples:\n  neuromorph format net.mdl\n  neuromorph format net.mdl > tidy.mdl"
    "\n  neuromorph format net.mdl --expand",
)
@click.argument("file", type=FILE)
@click.option("--expand", is_flag=True, help="Put every cell in the place of its use, with all widths as numbers.")
def format_(file: str, expand: bool) -> None:
    """Print a model description in its canonical form.

    That is one node a line, with branches and bodies of cells indented; comments are no part of it and are left out.

    FILE is a description, a saved model, or - for stdin.
    """
    text = model_of(file).text
    give_raw(nm.expand(text) if expand else text)


@click.command(epilog="\b\nExamples:\n  neuromorph summary lstm.mdl\n  neuromorph summary trained.safetensors --json")
@click.argument("file", type=FILE)
@FOLD
@AS_JSON
def summary(file: str, fold: bool, as_json: bool) -> None:
    """Print a table of nodes, widths, parameters and links.

    FILE is a description, a saved model, or - for stdin.
    """
    if fold and as_json:
        raise click.UsageError("--fold is for tables; in JSON each node has the name of its cell")
    model = model_of(file)
    give(json.dumps(_facts(model), indent=2) if as_json else model.summary(fold=fold))


def _facts(model: nm.Model) -> dict[str, Any]:
    """The contents of the summary's table, for JSON."""
    graph = model.graph
    return {
        "input_width": model.input_width,
        "output_width": model.output_width,
        "parameters": model.parameter_count,
        "loss": {"name": graph.loss.name, "parameter": graph.loss_parameter},
        "nodes": [_node(model, index) for index in range(len(graph.nodes))],
    }


def _node(model: nm.Model, index: int) -> dict[str, Any]:
    graph = model.graph
    node = graph.nodes[index]
    function = node.elementwise or node.function
    return {
        "name": node.name,
        "kind": node.kind,
        "width": node.width,
        "parameters": graph.parameters_of(index),
        "function": function and {"name": function.name, "parameter": node.parameter},
        "convolution": {"taps": node.taps, "dilation": node.dilation} if node.reach else None,
        "merge": node.merge and node.merge.name,
        "reads": None if node.other is None else graph.nodes[node.other].name,
        "from_step_before": node.delayed,
        "steps_before": node.steps,
        "cell": node.use and node.use.name,
        "live": node.live,
        "line": node.location.line,
    }


@click.command(epilog="\b\nExamples:\n  neuromorph draw lstm.mdl -o lstm.svg\n  neuromorph draw lstm.mdl -o lstm.dot")
@click.argument("file", type=FILE)
@click.option("-o", "--output", required=True, type=click.Path(), help="Where the picture goes, a .svg or .dot file.")
@FOLD
def draw(file: str, output: str, fold: bool) -> None:
    """Draw the graph as SVG, or write it as DOT for Graphviz.

    FILE is a description, a saved model, or - for stdin.
    """
    ending = output.lower().rpartition(".")[2]
    if ending not in ("svg", "dot"):
        raise click.UsageError(f"--output is {output}, and a drawing ends in .svg or .dot")
    check_apart({"--output": output}, {"FILE": file})
    check_target(output)
    drawing = model_of(file).draw(fold=fold)
    write(output, (drawing.svg if ending == "svg" else drawing.dot).encode("utf-8"))


@click.command(
    epilog="\b\nExamples:\n  neuromorph inspect lstm.mdl --batch 32\n  neuromorph inspect lstm.mdl --html report.html\n"
    "  neuromorph inspect lstm.mdl --plan\n  neuromorph inspect lstm.mdl --program"
)
@click.argument("file", type=FILE)
@click.option("--batch", type=click.IntRange(min=1), help="Lanes of a training sample; by default 32.")
@click.option("--window", type=click.IntRange(min=1), help="Steps in time of an update; by default 16, or 1.")
@click.option("--html", type=click.Path(), help="Write a page with source, assembly and figures of every node.")
@click.option("--plan", is_flag=True, help="Print the whole plan of the kernels only; nothing is compiled.")
@click.option("--program", is_flag=True, help="Print the machine's program of the model only; nothing is compiled.")
@AS_JSON
def inspect(
    file: str, batch: int | None, window: int | None, html: str | None, plan: bool, program: bool, as_json: bool
) -> None:
    """Measure the compiled kernels of a model.

    Prints the time loops, the buffers, and for every node its work and the time that it takes. With --plan, it prints
    what was decided before any code was generated: how threads divide a window, where weights and buffers stand, and
    every operation in order. With --program, it prints the instructions by which the machine runs the model until its
    kernels are compiled.

    FILE is a description, a saved model, or - for stdin.
    """
    if is_saved(file) and (batch is not None or window is not None):
        raise click.UsageError("--batch and --window are for descriptions; a saved model has its own")
    if html is not None:
        check_apart({"--html": html}, {"FILE": file})
        check_target(html)
    if (plan or program) and (as_json or html is not None):
        name = "--plan" if plan else "--program"
        raise click.UsageError(f"{name} prints text, and goes with neither --json nor --html")
    if plan and program:
        raise click.UsageError("--plan and --program print one text each; take one of them")
    model = model_of(file, batch=batch or 32, bptt_steps=window)
    if plan or program:
        give_raw(model.kernel_plan() if plan else model.kernel_program())
        return
    report = nm.inspect(model)
    if html is not None:
        write(html, report.html().encode("utf-8"))
    give(json.dumps(report.to_dict(texts=False), indent=2) if as_json else str(report))
