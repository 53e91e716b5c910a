"""What only the first pages show: an error, the commands to start with, and the version in the changelog.

Their Python, their models and their links are tested with those of the other pages, in test_pages.py.
"""

import pytest

import neuromorph as nm
from helpers.pages import blocks_of
from helpers.paths import REPOSITORY
from neuromorph.cli.entry import neuromorph

README, OVERVIEW, TUTORIAL = (REPOSITORY / name for name in ("README.md", "docs/overview.md", "docs/tutorial.md"))


def test_the_error_that_it_shows_is_the_real_one() -> None:
    with pytest.raises(nm.MDLSemanticError) as caught:
        nm.compile("/xavier,zero/ (input,4) (output,2,<sigmiod>,<mse>)", 1, 0.1)
    assert [block.text for block in blocks_of(OVERVIEW, "text")] == [f"MDLSemanticError: {caught.value}\n"]


def test_commands_are_one_line_each_and_ci_runs_the_tests_the_same_way() -> None:
    digits, tests = (block.text for block in blocks_of(README, "sh"))
    for command in (digits, tests):
        assert command.startswith("python3 -m venv .venv && ")
        assert command.count("\n") == 1
    install, *_ = (block.text for block in blocks_of(TUTORIAL, "sh"))
    assert install == "python3 -m venv .venv && .venv/bin/pip install -q -e . && . .venv/bin/activate\n"
    assert digits.endswith(" && .venv/bin/python examples/digits.py\n")
    assert tests.endswith(" && .venv/bin/python -m pytest\n")
    assert '"$python" -m pytest "$@"' in (REPOSITORY / ".ci" / "run").read_text().splitlines()[-2]


def test_the_overview_names_every_call_and_command() -> None:
    page = OVERVIEW.read_text(encoding="utf-8")
    errors = {name for name in nm.__all__ if name.endswith(("Error", "Warning"))}
    types = {"Advice", "Learner", "Model", "Optimizer", "Stream"}  # which calls return or take
    for name in {*nm.__all__, *neuromorph.commands} - errors - types:
        assert f"`{name}`" in page, name


def test_the_changelog_has_this_version() -> None:
    assert f"## {nm.__version__}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
