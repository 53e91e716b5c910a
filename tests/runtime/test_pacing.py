"""Pieces of work: whole windows, as many as a twentieth of a second takes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from neuromorph.runtime import pacing
from neuromorph.runtime.pacing import PIECE, Pace


@pytest.mark.parametrize("cost", [1e-7, 1e-4, 0.003, 0.2])
@pytest.mark.parametrize(("samples", "capacity"), [(1, 4), (4, 4), (5, 4), (1000, 4), (999, 10), (0, 3)])
def test_pieces_are_whole_windows_that_make_up_all_samples(
    cost: float, samples: int, capacity: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(pacing, "time", SimpleNamespace(perf_counter=lambda: now))
    found: list[tuple[int, int]] = []
    for start, stop in Pace().pieces(samples, capacity):
        now += (stop - start) * cost
        found.append((start, stop))
    assert [sample for piece in found for sample in range(*piece)] == list(range(samples))
    assert not any(start % capacity for start, _ in found)
    longest = max((stop - start for start, stop in found), default=0)
    assert longest * cost <= max(PIECE, capacity * cost) * 1.001
    if samples == 1000:
        assert len(found) <= 5 + samples * cost / PIECE * 2 or longest == capacity


def test_a_pace_that_does_not_adapt_goes_window_by_window() -> None:
    assert list(Pace(adapts=False).pieces(10, 4)) == [(0, 4), (4, 8), (8, 10)]


def test_sequences_share_what_was_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    pace = Pace()
    assert list(pace.pieces(8, 4)) == [(0, 4), (4, 8)]
    assert list(pace.pieces(8, 4)) == [(0, 8)]
