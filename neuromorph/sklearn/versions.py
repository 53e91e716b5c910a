"""What differs between the versions of scikit-learn, from 1.3 on."""

from __future__ import annotations

from typing import Any

try:
    from sklearn.utils.validation import validate_data as _validate_data
except ImportError:  # before 1.6 it is a method

    def _validate_data(estimator: Any, X: Any, **options: Any) -> Any:
        return estimator._validate_data(X, **options)


def checked_table(estimator: Any, table: Any, *, reset: bool, **options: Any) -> Any:
    """A table as an array, with its number of columns and their names checked, or kept if ``reset``."""
    return _validate_data(estimator, table, reset=reset, **options)
