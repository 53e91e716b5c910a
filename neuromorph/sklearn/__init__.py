"""Estimators for scikit-learn: classifiers and regressors whose network is a text. Needs the package scikit-learn.

``MDLClassifier`` and ``MDLRegressor`` learn from vectors, X (n, W). ``MDLSequenceClassifier`` and
``MDLSequenceRegressor`` learn from sequences, X (n, S, W) or a list of arrays (S_i, W).
"""

from __future__ import annotations

try:
    import sklearn.base  # noqa: F401 - of the library, not of this package
except ImportError:
    raise ImportError("neuromorph.sklearn needs scikit-learn: pip install 'neuromorph[sklearn]'") from None

from .estimators import MDLClassifier, MDLRegressor, MDLSequenceClassifier, MDLSequenceRegressor

__all__ = ["MDLClassifier", "MDLRegressor", "MDLSequenceClassifier", "MDLSequenceRegressor"]
