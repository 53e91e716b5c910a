"""Hands copies of a model's weights to its streams.

A stream reads weights that are never written again. While a stream lives, its model gives it a copy of the weights
after each update or run of updates. So a stream never sees half of an update, and neither side waits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import ref

from numpy.typing import NDArray

from ..host.forks import new_lock
from .memory import aligned_copy

if TYPE_CHECKING:
    from .kernels import Kernels

Floats = NDArray[Any]
_lock = new_lock()


class Feed:
    """The weights that the streams of a model read: None before the first ones and after the model's release.

    They are None too when the model has other kernels by now; ``next`` is then the feed that goes on, and the kernels.
    """

    __slots__ = ("__weakref__", "next", "released", "weights")

    def __init__(self) -> None:
        self.weights: Floats | None = None
        self.released = False
        self.next: tuple[Feed, Kernels] | None = None


class Feeds:
    """The model's side of its streams: it hands copies of the weights to the feed. Without streams it does nothing."""

    def __init__(self) -> None:
        self._feed: ref[Feed] | None = None
        self._published = 0.0

    def publish(self, weights: Floats, *, since: float = 0.0) -> None:
        """Hand the streams a copy of the weights after a whole update, if the last copy is ``since`` seconds old.

        The caller holds the model's lock.
        """
        feed = None if self._feed is None else self._feed()
        if feed is None:
            return
        now = time.perf_counter()
        if now - self._published >= since:
            feed.weights, self._published = aligned_copy(weights), now

    def move(self, kernels: Kernels, weights: Floats) -> None:
        """Have the streams go on with other kernels, and a copy of these weights. The caller holds the model's lock."""
        feed = None if self._feed is None else self._feed()
        if feed is not None:
            fresh = Feed()
            fresh.weights, self._published = aligned_copy(weights), time.perf_counter()
            feed.next = fresh, kernels
            self._feed = ref(fresh)
            feed.weights = None

    def release(self) -> None:
        """End the streams of a model that is released."""
        feed = None if self._feed is None else self._feed()
        if feed is not None:
            feed.weights, feed.released = None, True

    def open(self) -> Feed:
        """The feed that all streams of the model share; made for the first one."""
        with _lock:
            feed = None if self._feed is None else self._feed()
            if feed is None:
                feed = Feed()
                self._feed = ref(feed)
            return feed
