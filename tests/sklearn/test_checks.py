"""scikit-learn's own checks, which every estimator passes."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

import neuromorph.sklearn as doors


@pytest.mark.parametrize("name", doors.__all__)
def test_scikit_learn_has_nothing_to_say(name: str) -> None:
    """No check fails, and none is expected to. Those that need a package which is not there are skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        check_estimator(getattr(doors, name)(tier="instant"))


def run(code: str) -> Any:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_only_this_module_imports_scikit_learn() -> None:
    code = "import neuromorph as nm, sys\nnm.compile\nprint({'sklearn', 'joblib', 'scipy'} & set(sys.modules))"
    assert run(code).stdout == "set()\n"


def test_without_scikit_learn_the_error_says_what_to_install() -> None:
    found = run("import sys; sys.modules['sklearn'] = None\nimport neuromorph.sklearn")
    wanted = "ImportError: neuromorph.sklearn needs scikit-learn: pip install 'neuromorph[sklearn]'"
    assert found.stderr.strip().split("\n")[-1] == wanted
