"""Models that Hypothesis writes: the generated source agrees with the reference on every one of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from helpers import witnesses
from helpers.random_models import bounded, floor_of, models


@bounded(120)
@given(
    models(), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 2, 5]), st.sampled_from([2, 4, 8]),
    st.sampled_from([1, 1, 1, 2]), st.booleans(), st.integers(0, 2**16),
)  # fmt: skip
def test_the_plain_source_agrees_with_the_reference(
    text: str, batch: int, window: int, lanes: int, threads: int, weighted: bool, seed: int
) -> None:
    trial = witnesses.trial_of(text, batch=batch, samples=7, window=window, seed=seed, weighted=weighted)
    wanted = witnesses.reference_outcome(trial)
    floor = floor_of(wanted)
    kernel = witnesses.kernel_of(text, batch=batch, lanes=lanes, threads=min(threads, batch))
    found = witnesses.kernel_outcome(kernel, witnesses.plain(kernel), trial)
    witnesses.assert_agree(found, wanted, witnesses.TOLERANCE["float64"], text, floor)


@bounded(4)
@given(models(), st.sampled_from([2, 4, 8]), st.booleans())
def test_compiled_kernels_agree_with_the_reference(text: str, lanes: int, weighted: bool) -> None:
    trial = witnesses.trial_of(text, batch=3, samples=7, window=5, weighted=weighted)
    wanted = witnesses.reference_outcome(trial)
    floor = floor_of(wanted)
    kernel = witnesses.kernel_of(text, batch=3, lanes=lanes)
    found = witnesses.kernel_outcome(kernel, witnesses.half_compiled(kernel), trial)
    witnesses.assert_agree(found, wanted, witnesses.TOLERANCE["float64"], text, floor)
