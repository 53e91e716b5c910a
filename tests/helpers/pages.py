"""Reads the blocks of code on the pages of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.paths import REPOSITORY
from helpers.scripts import loaded

renew: Any = loaded(REPOSITORY / "docs" / "renew.py")


def blocks_of(path: Path, *kinds: str) -> list[Any]:
    """The blocks of the given kinds on a page."""
    return [block for block in renew.blocks(path.read_text(encoding="utf-8")) if block.kind in kinds]
