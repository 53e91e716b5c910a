"""Reports on a model's compiled kernel: plan, source, IR, assembly, and the time and work of every node.

    python tools/inspect_kernel.py --mdl examples/models/lstm-model.mdl --batch 32
    python tools/inspect_kernel.py --mdl examples/models/lstm-model.mdl --batch 32 --simd 256 --html report.html
    python tools/inspect_kernel.py --mdl trained.safetensors --assembly forward

It prints tables; with --program, --source, --ir or --assembly those texts instead; with --json the figures and those
texts as JSON. FUNCTION is a function of the training kernel: forward, measure, sample_losses, backward,
weight_gradients, time_shift, transpose, gradient_norm, update or train; without it, all functions are printed.
A saved model has its own batch, window, dtype and optimizer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import neuromorph as nm
from neuromorph.inspection import Inspection

ALL = ""  # every function


def main(arguments: list[str] | None = None) -> int:
    """Inspect one model; 0 for success, 1 for a wrong model or file, 2 for wrong arguments."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _check(parser, options)
    if options.simd is not None:
        os.environ["NEUROMORPH_SIMD_BITS"] = str(options.simd)  # read when the kernel is generated
    try:
        inspection = nm.inspect(_model(options))
        print(_text(inspection, options))
        if options.html is not None:
            inspection.save(options.html)
            print(f"wrote {options.html}", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, such as head, has closed the pipe
    except (nm.NeuromorphError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"error: not enough memory: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="inspect_kernel.py", description=__doc__, formatter_class=form)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--mdl", metavar="FILE", help="a model description, or a saved model (.safetensors)")
    what.add_argument("file", metavar="FILE", nargs="?", help="the same, without --mdl")
    parser.add_argument("--batch", type=_count, help="lanes of a training sample; by default 32")
    parser.add_argument("--window", type=_count, help="samples of a window; by default 16 with links in time, else 1")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="by default float32")
    parser.add_argument("--optimizer", help="sgd, rmsprop, adam or adamw; by default sgd")
    parser.add_argument("--threads", type=_count, help="at most so many; by default as many as pay")
    parser.add_argument(
        "--simd", type=int, choices=(128, 256, 512), help="bits of a vector; by default the most there are"
    )
    parser.add_argument("--program", action="store_true", help="print the program that the machine runs")
    parser.add_argument("--source", action="store_true", help="print the generated source")
    function = {"nargs": "?", "const": ALL, "metavar": "FUNCTION"}
    parser.add_argument("--ir", **function, help="print the LLVM IR")
    parser.add_argument("--assembly", **function, help="print the assembly below its source lines")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument(
        "--html", metavar="FILE", help="write a page: graph, source beside program and assembly, all tables"
    )
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse arguments that exclude one another."""
    own = [name for name in ("batch", "window", "dtype", "optimizer", "threads") if getattr(options, name) is not None]
    if _is_saved(options) and own:
        parser.error(f"--{own[0]} is for model descriptions; a saved model has its own")
    if options.html is not None and not Path(options.html).absolute().parent.is_dir():
        parser.error(f"--html: there is no folder {str(Path(options.html).parent)!r}")


def _is_saved(options: argparse.Namespace) -> bool:
    return Path(options.mdl or options.file).suffix.lower() == ".safetensors"


def _model(options: argparse.Namespace) -> nm.Model:
    file = Path(options.mdl or options.file)
    if _is_saved(options):
        return nm.load(file)
    return nm.compile(
        file, options.batch or 32, 0.01, optimizer=options.optimizer or "sgd", bptt_steps=options.window,
        dtype=options.dtype or "float32", threads=options.threads,
    )  # fmt: skip


def _text(inspection: Inspection, options: argparse.Namespace) -> str:
    """The text to print."""
    texts = _texts(inspection, options)
    if options.json:
        return json.dumps(inspection.to_dict(texts=False) | texts, indent=1)
    parts = []
    for name, text in texts.items():
        parts += [text] if isinstance(text, str) else [f"# {name} of {key}\n{one}" for key, one in text.items()]
    return "\n".join(parts) if parts else str(inspection)


def _texts(inspection: Inspection, options: argparse.Namespace) -> dict[str, str | dict[str, str]]:
    """The texts that the arguments ask for."""
    found: dict[str, str | dict[str, str]] = {}
    if options.program:
        found["program"] = inspection.program
    if options.source:
        found["source"] = inspection.source
    if options.ir is not None:
        names = _functions(inspection, options.ir)
        found["ir"] = {name: inspection.ir[name] for name in names}
    if options.assembly is not None:
        names = _functions(inspection, options.assembly)
        found["assembly"] = {name: inspection.listing(name) for name in names}
    return found


def _functions(inspection: Inspection, chosen: str) -> list[str]:
    if chosen != ALL and chosen not in inspection.ir:
        raise ValueError(f"the kernel has no function {chosen!r}; it has {', '.join(inspection.ir)}")
    return [chosen] if chosen != ALL else list(inspection.ir)


if __name__ == "__main__":
    sys.exit(main())
