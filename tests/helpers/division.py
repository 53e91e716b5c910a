"""Division among threads without regard to how much work there is."""

import importlib

import pytest


def divide_everything(patch: pytest.MonkeyPatch, processors: int | None = None) -> None:
    """Threads for whatever can be divided, however little work it is; and so many processors, where a number is
    given."""
    rules = importlib.import_module("neuromorph.codegen.divide")
    for name, value in (("WORTH", 1e-12), ("LEAST_LANES", 1), ("MORE_LANES", 1), ("NEAR", 1.0)):
        patch.setattr(rules, name, value)
    for name in ("STEP", "EXCHANGE", "MEETINGS", "MEETING", "AGAIN", "COPIED", "FOUND_OUT"):
        patch.setattr(rules, name, 0.0)
    if processors is not None:
        patch.setattr(rules, "processors", lambda: processors)
