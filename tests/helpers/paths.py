"""The folders of the repository."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = REPOSITORY / "tests"
RECORDED = TESTS / "recorded"
EXAMPLES = REPOSITORY / "examples"
MODELS = EXAMPLES / "models"
PAPERS = EXAMPLES / "papers"
