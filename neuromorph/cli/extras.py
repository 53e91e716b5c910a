"""Commands that take no model: the cache of kernels, the demonstration, completion in a shell."""

from __future__ import annotations

import time
from dataclasses import replace

import click
from click.shell_completion import get_completion_class

import neuromorph as nm

from ..jit.cache import list_entries
from .console import give, give_raw

COMPLETE = "_NEUROMORPH_COMPLETE"  # the environment variable by which a shell asks for completions


@click.group(epilog="\b\nExamples:\n  neuromorph cache info\n  neuromorph cache clear", no_args_is_help=False)
def cache() -> None:
    """Look at the disk cache of kernels, or empty it.

    It keeps itself below a limit and can be emptied at any time; kernels are then compiled again when needed.
    """


@cache.command()
def info() -> None:
    """Print where the cache is, and how large."""
    found = nm.cache_info()
    give(f"{found.path}\n{_entries(found.entries)}, {found.bytes:,} of at most {found.limit:,} bytes")


@cache.command("list")
def list_() -> None:
    """Print every entry: key, bytes, last use."""
    for entry in list_entries():
        used = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.used))
        give(f"{entry.key}  {entry.bytes:>12,}  {used}")


@cache.command()
def clear() -> None:
    """Remove all entries."""
    give(f"removed {_entries(nm.clear_cache())}")


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


@click.command(epilog="\b\nExamples:\n  neuromorph demo\n  neuromorph demo --write digits && cd digits")
@click.option("--write", "folder", type=click.Path(), help="Write the models and data into a folder, to try train on.")
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Train for so many epochs; by default each network has its own number."
)
def demo(folder: str | None, epochs: int | None) -> None:
    """Have two networks learn to read handwritten digits.

    A perceptron sees the whole image, an LSTM reads it row by row. Both train on 898 images, and are tested on 899
    of writers that they never saw. The images come with scikit-learn.
    """
    from .. import demo as digits

    try:
        digits.digits_in_halves()
    except ImportError:
        raise click.ClickException(
            "the digits come with scikit-learn, which is not installed: pip install 'neuromorph[examples]'"
        ) from None
    if folder is not None:
        give(digits.write(folder))
        return
    for recipe in digits.RECIPES:
        digits.demonstrate(recipe if epochs is None else replace(recipe, epochs=epochs), seeds=1)


@click.command(
    epilog="""\b
To have completion in every new shell:
  bash  echo 'eval "$(neuromorph completion bash)"' >> ~/.bashrc
  zsh   echo 'eval "$(neuromorph completion zsh)"' >> ~/.zshrc
  fish  neuromorph completion fish > ~/.config/fish/completions/neuromorph.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for completion in a shell.

    It completes commands, options and the names of files."""
    kind = get_completion_class(shell)
    assert kind is not None
    give_raw(kind(context.find_root().command, {}, "neuromorph", COMPLETE).source() + "\n")
