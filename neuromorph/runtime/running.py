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
_POLL = 0.01  # seconds between two looks for compiled kernels of somebody who waits for them


class Running(Contents):
    """The kernels of a network, the request for others, and the memory that they work on."""

    def _start_running(self) -> None:
        self._kernels: Kernels | None = None
        self._request: Request | None = None  # for kernels of the model's own, while the machine runs it
        self._failed: dict[str, Request] = {}  # requests that are not made again, by their entries in the cache
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
                asked = self._ask(self.kernels.own)
                self._request = None if asked is self._failed.get(asked.entry) else asked

    def _ask(self, needed: Kernels) -> Request:
        """The request for kernels of the model's own. If it has failed once, it is not made again."""
        return self._failed.get(last_entry(needed)) or request_for(self._text, needed)

    def tell(self, write: Callable[[str], object]) -> None:
        """Write a line if what runs the model has changed and nobody was told."""
        news, self._news = self._news, None
        if news is not None:
            write(news)

    def take_over(self, *, skips: bool = False, predicts: bool = False) -> None:
        """Run the model by kernels of its own from now on, if it waits for them and they are in the cache by now.

        skips: whether a call needs kernels that skip what is not known. predicts: whether it needs those of prediction.
        While these are not in the cache, the machine runs the model. Numbers and state stay as they are. The caller
        holds ``lock``, and no window is under way.
        """
        request, self.ran = self._request, None
        if request is None:
            if skips and self._skipping is not self._kernels:
                self._skipping = self._waiting_for(self.kernels.skipping)
            if predicts and self._predicting is not self._kernels:
                self._predicting = self._waiting_for(self.kernels, predicts=True)
            return
        if not request.poll():
            return
        own, following = self.kernels.own, None
        try:
            is_there = own.load()
            if request.reason is not None and not request.unstored:  # a cache may take them another time
                self._failed[request.entry] = request
            if not is_there or (request.reason is not None and not bundles.is_there(request.entry)):
                background.warn_once(request.reason or _LOST, of_cache=request.unstored)
            if is_there and skips and not own.skipping.are_there():
                following = self._ask(own.skipping)
            elif is_there and self._begin_with(own):
                self._news = _TAKEN_OVER
        except KeyboardInterrupt:
            following = request
            raise
        finally:
            self._request = following  # last, for those who look without the lock

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

    def _waiting_for(self, needed: Kernels, *, predicts: bool = False) -> Kernels | None:
        """Have the machine run the model until other kernels are compiled too, if they would be waited for. Returns
        the kernels that run the model now."""
        steps = None if self._memory is None else self._memory.capacity
        instant = meanwhile(self.kernels, needed, steps, predicts=predicts)
        if instant is not None and self._begin_with(instant):
            self._request, self._news = self._ask(needed), _WAITS
        return self._kernels

    def _begin_with(self, kernels: Kernels) -> bool:
        """Run the model by other kernels from now on. If memory is too short for them, everything stays as it is.
        Returns whether it runs by them."""
        try:
            if self._memory is not None:
                kernels.check_size(self._memory.capacity)
            self._begin(kernels)
        except MemoryError as error:
            background.warn_once(str(error) or "memory is short")
            return False
        return True

    def _begin(self, kernels: Kernels) -> None:
        """Run the model by other kernels from now on. They are compiled if they are not in the cache."""
        kernels.build()
        with self.changing, held():
            self._hand_over(kernels)

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
                self._begin(own)
            except BaseException:  # such as Ctrl-C while it is compiled here
                self._request = self._ask(own) if asked else None
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
