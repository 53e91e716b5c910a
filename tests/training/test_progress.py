"""The bar that appears after half a second."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from neuromorph.training import progress
from neuromorph.training.progress import BAR_DELAY, ProgressBar


def test_a_bar_appears_after_half_a_second_and_counts_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now))
    bar = ProgressBar(100, unit="sample")
    bar.advance(20, "epoch 1", {"loss": "0.5"})
    bar.write("a line")
    bar.show({"loss": "0.4"})
    assert capsys.readouterr() == ("", "a line\n"), "no bar yet"
    now = BAR_DELAY
    bar.advance(30, "epoch 1", {"loss": "0.3"})
    bar.close()
    last = capsys.readouterr().err.split("\r")[-1]
    assert last.startswith("epoch 1:  50%|")
    assert " 50.0/100 [00:00<00:00" in last
    rate = float(last.split("sample/s")[0].split()[-1])
    assert 50.0 < rate <= 50 / BAR_DELAY, "samples by all the time since the beginning"


def test_a_bar_that_never_appeared_can_be_closed(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar(100)
    bar.advance(20, "", {})
    bar.close()
    assert capsys.readouterr() == ("", "")
