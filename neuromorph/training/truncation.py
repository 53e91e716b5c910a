"""Warns of windows that are shorter than sequences, where no gradient reaches the first steps."""

from __future__ import annotations

import numpy as np

from ..data.arrays import TrainingData
from ..errors import DataWarning
from ..host.callers import warn_user
from ..runtime.network import Network


def warn_of_hidden_steps(model: Network, data: TrainingData) -> bool:
    """Warn of sequences whose first steps that count come after the first window; whether there are any.

    Gradients stop between windows. So no gradient reaches the steps of a sequence before the window of the first step
    with a weight, although the state that they leave may matter.
    """
    if not data.sequences or data.weights is None or not model.graph.has_time_links:
        return False
    steps = data.inputs.shape[1]
    window = model.window_of(steps)
    if window >= steps:
        return False
    counts = data.weights > 0.0
    there = counts.any(axis=1)
    hidden = np.where(there, counts.argmax(axis=1) // window * window, 0)
    found, sequences = int(np.count_nonzero(hidden)), int(np.count_nonzero(there))
    if not found:
        return False
    advice = "compile with " if model.options.whole_sequences else "compile without bptt_steps, or with "
    warn_user(
        f"no gradient reaches the first {int(hidden.max()):,} of {steps:,} steps in {found:,} of {sequences:,} "
        f"sequence{'s' * (sequences != 1)}: their first step that counts comes later, and gradients stop after windows "
        f"of {window:,} steps; {advice}bptt_steps={steps}",
        DataWarning,
        again=True,
    )
    return True
