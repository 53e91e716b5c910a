"""One case: a model as a text, and the shape of its data. Peers' processes read it without neuromorph."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import neuromorph as nm


@dataclass(frozen=True)
class Case:
    """One model with its data's shape. ``target``: how many times faster than the best peer it has to be.

    ``frozen``: a pattern of the nodes whose parameters never learn. ``module``: the class of ``torch.nn`` that computes
    the same, "LSTM", "GRU" or "RNN", where there is one, and ``cells``: what the names of the parameters of each of its
    layers begin with.
    """

    name: str
    text: str
    batch: int
    window: int
    samples: int
    rate: float
    target: float | None = None
    frozen: str = ""
    module: str | None = None
    cells: tuple[str, ...] = ("",)

    @property
    def windows(self) -> int:
        """Windows, and updates, of a run."""
        return self.samples // self.window

    def model(self, threads: int | None = None) -> nm.Model:
        """The compiled, not yet built model; its warnings are known and left aside."""
        import neuromorph as nm

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", nm.MDLWarning)
            return nm.compile(
                self.text, self.batch, self.rate, bptt_steps=self.window, threads=threads, frozen=self.frozen or ()
            )

    def shortened(self, divisor: int, least: int = 16) -> Case:
        """The same with a part of the samples, of whole windows, and at least ``least`` windows where it has them."""
        windows = max(self.windows // divisor, min(least, self.windows))
        return replace(self, samples=windows * self.window)
