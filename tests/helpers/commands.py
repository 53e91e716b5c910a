"""Runs commands of the command line in this process."""

import pytest

from neuromorph.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """What a command prints to stdout and to stderr. code: the exit code that it must have."""
    capsys.readouterr()
    assert main(list(arguments)) == code, capsys.readouterr().err
    found = capsys.readouterr()
    return found.out, found.err
