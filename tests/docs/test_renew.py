"""Output of commands on pages stays where it differs in times and in the last digits alone."""

from __future__ import annotations

import pytest

from helpers.pages import renew


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2 epochs, loss 0.512, 0.1 s", "2 epochs, loss 0.513, 17.3 s", True),
        ("2 epochs, loss 0.512, 0.1 s", "2 epochs, loss 0.912, 0.1 s", False),
        ("2 epochs, loss 0.512, 0.1 s", "3 epochs, loss 0.512, 0.1 s", False),
        ("400.5,-3.25", "401.5,-3.24", True), ("400.5", "450.5", False),
        ("late", "in time", False), ("a", "a\n", False),
    ],
)  # fmt: skip
def test_alike(one: str, other: str, same: bool) -> None:
    assert renew.alike(one, other) is same


def test_commands_of_pages_read_stdin_from_a_file() -> None:
    page = (
        '```python\nopen("x.mdl", "w").write("/xavier,zero/ (i, 1) (o, 2, <linear>, <mse>)")\n```\n\n'
        "```console\n$ neuromorph summary - < x.mdl\n```\n"
    )
    shown = [text for block, text in renew.run(page).items() if block.kind == "console"]
    assert shown[0].startswith("$ neuromorph summary - < x.mdl\n")
    assert "linear" in shown[0]
