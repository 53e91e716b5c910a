"""What the documents show runs: every block of Python, every whole model, every link, the commands."""

import re
import warnings
from pathlib import Path

import pytest

import neuromorph as nm

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LANGUAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[object]:
    """Every fenced block of a language, named by its document and line."""
    cases = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 2
            cases.append(pytest.param(found[1], line, id=f"{path.name}:{line}"))
    return cases


@pytest.mark.parametrize(("code", "line"), blocks("python"))
def test_python_of_the_documents_runs(
    code: str, line: int, request: pytest.FixtureRequest, monkeypatch, capsys
) -> None:
    """A comment ``# prints …`` after a print, or a whole line of it, is what the print must show."""
    monkeypatch.chdir(ROOT)
    name = request.node.callspec.id.split(":")[0]
    exec(compile("\n" * (line - 1) + code, name, "exec"), {"__name__": "__main__"})
    promised = re.findall(r"# prints (.*)$", code, re.MULTILINE)
    shown = capsys.readouterr().out
    for text in promised:
        assert text in shown


@pytest.mark.parametrize(("text", "line"), blocks("mdl"))
def test_models_of_the_documents_compile(text: str, line: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.compile(text, 2, 0.1)


def test_the_documents_have_something_to_run() -> None:
    assert len(blocks("python")) >= 3
    assert len(blocks("mdl")) >= 5


def test_the_error_that_the_readme_shows_is_the_real_one() -> None:
    with pytest.raises(nm.MDLSemanticError) as caught:
        nm.compile("/xavier,zero/ (input,4) (output,2,<sigmiod>,<mse>)", 1, 0.1)
    assert f"```text\nMDLSemanticError: {caught.value}\n```" in README


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_commands_are_one_line_each_and_ci_runs_the_tests_the_same_way() -> None:
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert len(commands) == 2
    assert commands[0].endswith(" && .venv/bin/python examples/digits.py")
    assert commands[1].endswith(" && .venv/bin/python -m pytest")
    assert '"$python" -m pytest "$@"' in (ROOT / ".ci" / "run").read_text().splitlines()[-2]


def test_the_language_page_names_every_function() -> None:
    from neuromorph.functions import ACTIVATIONS, BIAS_INITIALIZERS, LOSSES, MERGES, WEIGHT_INITIALIZERS

    for table in (ACTIVATIONS, LOSSES, MERGES, WEIGHT_INITIALIZERS, BIAS_INITIALIZERS):
        for name in table:
            assert f"`{name}" in LANGUAGE, name


def test_the_changelog_has_this_version() -> None:
    assert f"## {nm.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
