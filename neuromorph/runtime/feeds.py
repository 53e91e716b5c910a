"""Hands copies of a model's weights to its streams.

A stream reads weights that are never written again. While a stream lives, its model gives it a copy of the weights
after each update or run of updates. So a stream never sees half of an update, and neither side waits.
"""

from __future__ import annotations

import time
from typing import Any
from weakref import ref

from numpy.typing import NDArray

from ..host.forks import new_lock
from .memory import aligned_copy

Floats = NDArray[Any]
_lock = new_lock()


class Feed:
    """Where the streams of a model find its weights; None before the first ones, and once the model is released."""

    __slots__ = ("__weakref__", "released", "weights")

    def __init__(self) -> None:
        self.weights: Floats | None = None
        self.released = False


class Feeds:
    """A model's end of its streams: costs nothing where there are none."""

    def __init__(self) -> None:
        self._feed: ref[Feed] | None = None
        self._published = 0.0

    def publish(self, weights: Floats, *, since: float = 0.0) -> None:
        """Hand the streams a copy of weights that belong to a whole update, if the last copy is so many seconds old.

        The caller holds the model's lock.
        """
        feed = None if self._feed is None else self._feed()
        if feed is None:
            return
        now = time.perf_counter()
        if now - self._published >= since:
            feed.weights, self._published = aligned_copy(weights), now

    def release(self) -> None:
        """End the streams."""
        feed = None if self._feed is None else self._feed()
        if feed is not None:
            feed.weights, feed.released = None, True

    def open(self) -> Feed:
        """The feed that all streams of the model share."""
        with _lock:
            feed = None if self._feed is None else self._feed()
            if feed is None:
                feed = Feed()
                self._feed = ref(feed)
            return feed
