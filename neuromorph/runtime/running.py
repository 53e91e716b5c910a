"""What runs a network: kernels of its own, or the machine until they are there. It changes between two windows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..abi.learning import MOVED, WRITING
from ..errors import ModelStateError
from ..host.interrupts import held
from ..jit import bundles
from ..options import finite_number
from ..schedule import padded
from . import background
from .background import Request
from .contents import Contents, Floats
from .kernels import Kernels, ModelTooLargeError
from .memory import Memory, aligned_zeros
from .sparse import with_copies
from .tiers import can_wait, first_kernels, kernels_of, last_entry, meanwhile, request_for, say, tier_of

_WAITS = "the machine runs the model while kernels that it needs now are compiled in the background"
_TAKEN_OVER = "the model's own kernels are compiled, and run it now"
_LOST = "the cache has lost what was compiled"
_BETWEEN = 1.0  # seconds between two looks into the cache for kernels for which there is no request
_POLL = 0.01  # seconds between two looks for compiled kernels of somebody who waits for them


class Running(Contents):
    """The kernels of a network, the request for others, and the memory that they work on."""

    def _start_running(self) -> None:
        self._kernels: Kernels | None = None
        self._request: Request | None = None  # for kernels of the model's own, while the machine runs it
        self._failed: set[str] = set()  # what is not asked for again: keys of the cache
        self._stand_in: Kernels | None = None  # the machine, if it has stood in for kernels of the model's own
        self._stays = False  # whether memory was too short for kernels of the model's own
        self._refused = False  # whether the cache did not take kernels of the model's own
        self._looked = time.monotonic()  # when the cache was looked into last for kernels without a request
        self._decided = False  # what runs the model at first
        self._skipping: Kernels | None = None  # the kernels whose ones that skip need not be waited for
        self._predicting: Kernels | None = None  # those that need not be waited for in order to predict
        self._talks = False  # whether a change of what runs the model is printed where no call shows its progress
        self._news: str | None = None  # the last such change, if nobody was told
        self.ran: str | None = None  # the tier of the last call, if kernels of another network ran
        self._memory: Memory | None = None
        self._released = False

    def _check_alive(self) -> None:
        if self._released:
            raise ModelStateError("the model was released; compile its text again")

    @property
    def kernels(self) -> Kernels:
        """The generated and compiled kernels; made at first use."""
        self._check_alive()
        if self._kernels is None:
            with self.lock:
                self._kernels = self._kernels or kernels_of(self._graph, self._options)
        return self._kernels

    @property
    def waits(self) -> bool:
        """Whether kernels of the model's own are being compiled, which may take over."""
        return self._request is not None

    def _decide(self) -> None:
        """Decide what runs the model at first, once."""
        if not self._decided:
            self._kernels, self._request = first_kernels(self._text, self._graph, self._options)
            self._decided = True

    def begin_without_compiling(self) -> None:
        """Decide what runs the model at first, and have no kernels compiled for it in the background until
        ``compile_meanwhile`` asks for that."""
        with self.lock:
            if not self._decided:
                self._kernels, _ = first_kernels(self._text, self._graph, self._options, asks=False)
                self._decided = True

    def compile_meanwhile(self) -> None:
        """Have kernels of the model's own compiled in the background, if the machine runs it and the tier is "auto"."""
        with self.lock:
            if self._request is None and self.kernels.tier == "instant" and tier_of(self._options) == "auto":
                self._request = self._ask(self.kernels.own)

    def _ask(self, needed: Kernels) -> Request | None:
        """A request for kernels of the model's own, or None if one for them has failed, or fails at once."""
        if last_entry(needed) in self._failed:
            return None
        asked = request_for(self._text, needed)
        return None if asked.reason is not None else asked

    def tell(self, write: Callable[[str], object]) -> None:
        """Write a line if what runs the model has changed and nobody was told."""
        news, self._news = self._news, None
        if news is not None:
            write(news)

    def take_over(self, *, skips: bool = False, predicts: bool = False) -> None:
        """Choose what runs the next call: the model's own kernels where all that it needs are there, else the machine,
        while the others are compiled. Nothing is compiled here, unless the machine can't stand in.

        skips: whether a call needs kernels that skip what is not known. predicts: whether it needs those of prediction.
        Numbers and state stay as they are. The caller holds ``lock``, and no window is under way.
        """
        request, self.ran = self._request, None
        if request is not None:
            if not request.poll():
                return
            self._hear_of(request)
        own = self.kernels.own
        if self._kernels is own:
            self._request = None
            if skips and self._skipping is not own:
                self._skipping = self._stand_in_for(own.skipping)
            if predicts and self._predicting is not self._kernels:
                self._predicting = self._stand_in_for(own, predicts=True)
        elif request is not None or self._may_find(own):
            lacking = _lacking(own, skips=skips, predicts=predicts)
            if lacking is None:
                self._go_over(own)
            else:
                self._request = self._ask(lacking) if request is not None or self._refused else None

    def _may_find(self, own: Kernels) -> bool:
        """Whether to look for kernels for which there is no request: others may have compiled them. What is not loaded
        is looked for once a second."""
        if self._stays or tier_of(self._options) != "auto":
            return False
        now = time.monotonic()
        if own.is_loaded or now - self._looked < _BETWEEN:
            return own.is_loaded
        self._looked = now
        return True

    def _hear_of(self, request: Request) -> None:
        """Warn if a request has ended and what it asked for is not there. Then it is not asked for again, unless the
        cache did not take it, which it may do another time."""
        if not bundles.is_there(request.entry):
            if request.unstored:
                self._refused = True
            else:
                self._failed.add(request.entry)
            background.warn_once(request.reason or _LOST, of_cache=request.unstored)

    def _go_over(self, own: Kernels) -> None:
        """Run the model by its own kernels, which are loaded."""
        try:
            if self._begin_with(own):
                self._news = _TAKEN_OVER
            else:
                self._stays = True
        finally:  # last, for those who look without the lock; after an interrupt, the next call tries again
            if self._kernels is own or self._stays:
                self._request = None

    def look_for_kernels(self, *, skips: bool = False, predicts: bool = False) -> None:
        """Like ``take_over``, unless a call of this model is under way, in this thread or another one."""
        self.ran = None
        asks = skips or self._request is not None or (predicts and self._predicting is not self._kernels)
        if asks and self.lock.acquire(blocking=False):
            try:
                if self.changing.depth == 0:
                    self.take_over(skips=skips, predicts=predicts)
            finally:
                self.lock.release()
        self._say()

    def _say(self) -> None:
        """Print what runs the model, if that has changed and ``build`` was asked to say it."""
        if self._talks:
            self.tell(say)

    def _stand_in_for(self, needed: Kernels, *, predicts: bool = False) -> Kernels | None:
        """Have the machine run the model until other kernels are compiled too, if they would be waited for. Returns
        the kernels that run the model now."""
        own, steps = self.kernels, None if self._memory is None else self._memory.capacity
        instant = meanwhile(own, needed, steps, self._stand_in, predicts=predicts)
        if instant is not None:
            own.load()  # so that they are kept, whatever happens to the cache
            self._stand_in, self._request = instant, self._ask(needed)
            if not self._begin_with(instant):
                self._request = None
            elif self._request is not None:
                self._news = _WAITS
        return self._kernels

    def _begin_with(self, kernels: Kernels) -> bool:
        """Run the model by the machine, or by own kernels that are loaded. If memory is too short for them, everything
        stays as it is. Returns whether it runs by them."""
        try:
            if kernels.tier == "instant":
                kernels.build()
            if self._memory is not None:
                kernels.check_size(self._memory.capacity)
            with self.changing, held():
                self._hand_over(kernels)
        except MemoryError as error:
            background.warn_once(str(error) or "memory is short")
            return False
        return True

    def check_window(self, steps: int, *, argument: str = "bptt_steps") -> None:
        """Raise ModelTooLargeError if memory is too short for windows of so many steps.

        If only the machine does not fit, the model waits for its own kernels, unless it must not have any. The caller
        holds ``lock``. argument: the one that sets the steps.
        """
        try:
            self.kernels.check_size(steps, argument=argument)
        except ModelTooLargeError:
            if not can_wait(self.kernels):
                raise
            own = self.kernels.own
            own.check_size(steps, argument=argument)
            asked, self._request = self._request is not None, None
            background.drop_unneeded()
            try:
                own.build()
                with self.changing, held():
                    self._hand_over(own)
            except BaseException:  # such as Ctrl-C while they are compiled here
                if asked and self._kernels is not own:
                    self._request = self._ask(own)
                raise
            self._news = _TAKEN_OVER

    def _hand_over(self, own: Kernels) -> None:
        """Hand the memory over to other kernels. Weights have the same places there; workspaces differ."""
        before = self._kernels, self._memory
        old = self._memory
        self._moved()
        if old is None:
            self._kernels = own
            return
        try:
            state, self._kernels = self.state, own
            weights = with_copies(own.plan.layout, own.sparse, old.weights)
            self._memory = self.scratch(old.capacity, weights, old.optimizer, old.constants)
            self.state = state
            self.feeds.move(own, weights)
        except BaseException:
            self._kernels, self._memory = before
            raise

    def wait_compiled(self, timeout: float | None = None) -> bool:
        """Wait until the model runs by kernels of its own; whether it does."""
        end = math.inf if timeout is None else time.monotonic() + finite_number("timeout", timeout)
        while True:
            if self.lock.acquire(timeout=max(0.0, min(_POLL, end - time.monotonic()))):
                try:
                    self.memory()
                    self._looked = -math.inf
                    self.take_over()
                    self._say()
                finally:
                    self.lock.release()
            if self._request is None and self._memory is not None:  # also where another thread trains, and takes over
                self.ran = None
                return self.kernels.tier == "compiled"
            left = min(_POLL, end - time.monotonic())
            if left <= 0.0:
                return False
            time.sleep(left)

    def scratch(self, capacity: int, weights: Floats, remembered: Floats, constants: NDArray[np.float64]) -> Memory:
        """Memory for windows of at most ``capacity`` samples, with these weights, optimizer slots and constants."""
        plan, dtype = self.kernels.plan, self._options.dtype
        copies = plan.gradient_copies
        return Memory(
            weights,
            aligned_zeros(max(1, plan.layout.transposed_size), dtype),
            aligned_zeros(copies * plan.layout.size, dtype),
            remembered,
            constants,
            aligned_zeros(copies * padded(self.kernels.training_elements(capacity) + 16, 16), dtype),
            copies,
            aligned_zeros(capacity * self.batch_size, dtype),
            capacity,
        )

    def _moved(self) -> None:
        """Tell learners that the arrays of the memory, or the kernels, are others from now on."""
        self.signals[MOVED] += 1
        self.signals[WRITING] = 0


def _lacking(own: Kernels, *, skips: bool, predicts: bool) -> Kernels | None:
    """The kernels that a call needs and that are neither loaded nor in the cache; those that are there get loaded."""
    if not own.load() or (predicts and not own.load(predicts=True)):
        return own
    return own.skipping if skips and not own.skipping.load() else None
