"""Runs a model one time step a call, as a stream that keeps the state, also while the model is training.

A stream reads weights that are never written again. While it exists, its model gives it a copy of the weights after
each update or series of updates (``publish``). So a stream never sees half of an update, and neither side waits.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import Shape, as_tensor
from ..data.reading import read
from ..errors import ModelStateError
from ..options import whole_number
from ..runtime.feeds import Feed
from ..runtime.kernels import Kernels
from ..runtime.memory import aligned_copy
from ..runtime.network import Network
from ..runtime.state import state_views
from .compiled_step import CompiledStep
from .inputs import checked_out, converted
from .states import Stateful

Floats = NDArray[Any]
WAIT = 0.005  # seconds between two polls for the weights of a model that is training


def stream(model: Network, lanes: int = 1) -> Stream:
    """A stream of a model, in zero state; see ``neuromorph.stream``."""
    count = whole_number("lanes", lanes)
    model.memory()
    model.look_for_kernels(predicts=True)
    kernels, feed = model.kernels, model.open_feed()
    kernels.step  # noqa: B018 - compiles, or is found in the cache
    while feed.weights is None and feed.next is None:  # the first stream: the model may train in another thread
        if model.lock.acquire(timeout=WAIT):
            try:
                model.publish()
            finally:
                model.lock.release()
    return Stream(kernels, feed, count)


class Stream(Stateful):
    """A model that runs step by step: ``y = stream(x)``. ``neuromorph.stream`` makes it.

    Each stream has a state of its own and may be used by one thread at a time. Several streams of one model may run in
    several threads, also while the model trains. A stream still works when its model is deleted, but not when it is
    released.
    """

    __slots__ = ("_dtype", "_feed", "_kernels", "_lanes", "_single", "_space", "_state", "_step", "_taken", "_wide")

    def __init__(self, kernels: Kernels, feed: Feed, lanes: int) -> None:
        graph, plan = kernels.graph, kernels.plan
        self._kernels, self._feed, self._lanes, self._single = kernels, feed, lanes, lanes == 1
        self._step, self._dtype = kernels.step, np.dtype(kernels.options.dtype)
        widths = graph.nodes[graph.input].width, graph.nodes[graph.output].width
        self._taken, self._wide = ((lanes, width) for width in widths)
        self._space = kernels.step_space(lanes)
        self._state = state_views(plan.prediction_space, self._space, 1, lanes)

    def __repr__(self) -> str:
        (lanes, taken), (_, wide) = self._taken, self._wide
        return f"<neuromorph.Stream {taken} -> {wide}, {lanes} lane{'s' * (lanes != 1)}, {self._dtype}>"

    def __call__(self, x: Any, out: Floats | None = None) -> Floats:
        """Run one time step. x: (lanes, W_in), or (W_in,) for one lane; the result has W_out in place of W_in.

        out: a C-contiguous array of the model's type and the result's shape, to which the result is written and which
        is returned; it may be x itself if the widths are equal. With ``out``, and x an array of the model's type, a
        call allocates nothing. Raises DataError for arrays that do not fit or are not finite, ModelStateError if the
        model is released; the state does not change then.
        """
        given = x if self._plain(x) else converted(x, self._dtype)
        if given is not None and (out is None or (self._plain(out) and out.flags.writeable)):
            try:
                if self._single and given.ndim == 1:
                    y = np.empty(self._wide[1], self._dtype) if out is None else out
                    if y.ndim == 1 and self._step(1, self._space, self._feed.weights, given, y) == 0:
                        return y
                elif given.shape == self._taken:
                    y = np.empty(self._wide, self._dtype) if out is None else out
                    if y.shape == self._wide and (
                        self._step(self._lanes, self._space, self._feed.weights, given.reshape(-1), y.reshape(-1)) == 0
                    ):
                        return y
            except (TypeError, AttributeError):  # raised by the kernel if there are no weights any more
                pass
        return self._carefully(x, out)

    def _plain(self, array: Any) -> bool:
        """Whether the compiled function can be called with an array.

        A trial call would not do. Numba then looks for another version of the function, which takes as long as fifty
        steps. And once it has seen an array that is not aligned, it accepts wrong arrays.
        """
        if type(array) is not np.ndarray or array.dtype is not self._dtype:
            return False
        flags = array.flags
        return flags.c_contiguous and flags.aligned

    def _carefully(self, x: Any, out: Any) -> Floats:
        """Run a step with any objects that users give, or raise an error that says what does not fit."""
        given = read("x", x)
        flat = self._single and given.numbers.ndim == 1
        taken, wide = (self._taken[1:], self._wide[1:]) if flat else (self._taken, self._wide)
        names = ("width",) if flat else ("lanes", "width")
        shape: Shape = tuple(zip(names, taken, strict=True))
        array = as_tensor("x", given, dtype=self._dtype, shape=shape)
        y = np.empty(wide, self._dtype) if out is None else checked_out(out, wide, self._dtype)
        weights = self._weights()
        done = self._step(self._lanes, self._space, weights, array.reshape(-1), y.reshape(-1))
        assert done == 0, "the input was checked"
        return y

    def _weights(self) -> Floats:
        """The model's weights, also where the model has other kernels since the last step."""
        while (weights := self._feed.weights) is None:
            if self._feed.next is None:
                raise ModelStateError("the model of this stream was released; compile its text again")
            self._move(*self._feed.next)
        return weights

    def _move(self, feed: Feed, kernels: Kernels) -> None:
        """Go on with other kernels of the same model, in the same state."""
        other = Stream(kernels, feed, self.lanes)
        other.set_state(self.get_state())
        for name in ("_kernels", "_space", "_state", "_step", "_feed"):
            setattr(self, name, getattr(other, name))

    # State -----------------------------------------------------------------------------------------------------------

    def _all_state(self) -> dict[str, Floats]:
        return self._state

    def copy(self) -> Stream:
        """A second stream of the same model in the same state; from now on their states are independent."""
        other = Stream(self._kernels, self._feed, self._lanes)
        other._space[:] = self._space
        return other

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        return self.copy()

    def compiled_step(self) -> CompiledStep:
        """The stream's step as a function for users' compiled code, such as a simulation that Numba compiles.

        It begins with copies of the stream's state and of the model's parameters; after an update, ask for another one.
        Raises ModelStateError if the model is released.
        """
        weights = self._weights()
        return CompiledStep(self._kernels, aligned_copy(weights), aligned_copy(self._space), self._lanes)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Stream can't be pickled: pickle or save its model, and its state")
