"""Runs a model one time step a call and lets it learn on line, by updates through the last steps.

A step is one call of a compiled function, which checks the arrays, remembers them, predicts, and makes the update that
is due (``runtime/learning.py``). All that it does not take, such as lists and labels, is read here and given to it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from sys import getrefcount
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy import empty
from numpy.typing import ArrayLike, NDArray

from ..abi.learning import DIVERGED, DONE, MEMBERS, ODD, STALE, UPDATED
from ..data.missing import MISSING
from ..errors import DataError, TrainingDivergedError
from ..options import one_of, whole_number
from ..runtime.learning import Track
from ..runtime.network import Network
from ..training.means import weighted_mean
from .inputs import checked_out, converted
from .states import Stateful
from .targets import checked_input, checked_target

Floats = NDArray[Any]
NOTHING: Mapping[str, int] = MappingProxyType({})
# References that Python counts to a result that nobody but the learner has: an attribute, a variable and, before 3.14,
# the argument of the function that counts. Where a debugger adds one, results are not used again.
UNUSED = 2 if sys.version_info >= (3, 14) else 3


def learner(model: Network, steps: int | None = None, every: int = 1, missing: str = "error") -> Learner:
    """A learner of a model, in zero state; see ``neuromorph.learner``."""
    count = model.bptt_steps if steps is None else whole_number("steps", steps)
    period, rule = whole_number("every", every), one_of("missing", missing, MISSING)
    with model.lock:
        model.memory()
        model.look_for_kernels(predicts=True)
        return Learner(Track(model, count, period), rule)


class Learner(Stateful):
    """A model that runs step by step and learns on line: ``y = learner(x, target)``. ``neuromorph.learner`` makes it.

    A call predicts from the state, remembers the step, and makes the update that is due: one for each ``every`` calls,
    from the mean loss of the last ``steps`` steps, or of as many as there are since the state was set. A window begins
    where the one before ended, from the state in which that one ended; any other window begins from the state that the
    network had before its first step, as it was computed then. (They differ in models with dropout only.)

    Parameters and optimizer are those of the model: a call uses the present ones, whoever has changed them, and the
    learning rate of the moment. The state is the learner's own: ``model.state``, ``losses`` and ``history`` are neither
    read nor changed. Streams of the model get the new weights after each update.

    A learner may be used by one thread at a time. Its calls take turns with other calls of its model, so one waits for
    a ``train`` in another thread.
    """

    __slots__ = (
        "_acquire", "_advance", "_control", "_dtype", "_lanes", "_last", "_missing", "_model", "_older", "_release",
        "_shape", "_track", "_unused", "_waits",
    )  # fmt: skip

    def __init__(self, track: Track, missing: str) -> None:
        self._track, self._model, self._missing = track, track.network, missing
        self._lanes, self._dtype = track.lanes, track.network.dtype
        self._take_functions()
        self._take_form()

    def _take_functions(self) -> None:
        self._advance, self._control, self._waits = self._track.advance, self._track.control, self._model.waits
        self._take_lock()

    def _take_lock(self) -> None:
        self._acquire, self._release = self._model.lock.acquire, self._model.lock.release

    def _take_form(self) -> None:
        lanes, wide = self._track["form"], self._model.output_width
        self._shape = (lanes, wide) if lanes else (wide,)
        self._last, self._older = empty(self._shape, self._dtype), empty(self._shape, self._dtype)
        self._unused = min(self._references(), UNUSED)

    def _references(self) -> int:
        """The references to the older result that ``__call__`` counts where nobody else has one."""
        y = self._older
        self._older = self._last
        self._last = y
        return getrefcount(y)

    def __repr__(self) -> str:
        model, lanes, steps, every = self._model, self._lanes, self.steps, self.every
        return (
            f"<neuromorph.Learner {model.input_width} -> {model.output_width}, {lanes} lane{'s' * (lanes != 1)}, "
            f"{self._dtype}, looks back {steps} step{'s' * (steps != 1)} every {every}>"
        )

    @property
    def model(self) -> Any:
        """The model that learns."""
        return self._model

    @property
    def steps(self) -> int:
        """The most steps that an update goes through."""
        return self._track.steps

    @property
    def every(self) -> int:
        """The steps from one update to the next."""
        return self._track.every

    @property
    def updates(self) -> int:
        """The number of updates so far."""
        return self._track["updates"]

    @property
    def loss(self) -> float:
        """The mean loss of the last update's window, measured before the update; NaN before the first one."""
        track = self._track
        with self._model.lock:
            steps = track["last"]
            if not steps:
                return math.nan
            weights = track.kept_weights[:steps] if track["last_weighted"] else None
            return weighted_mean(track.kept_losses[:steps], weights)

    # Steps -----------------------------------------------------------------------------------------------------------

    def __call__(
        self, x: ArrayLike, target: ArrayLike | None = None, out: Floats | None = None, *,
        sample_weight: ArrayLike | None = None,
    ) -> Floats:  # fmt: skip
        """Take one time step: the prediction for x, made before the model learns from the step.

        x: (lanes, W_in), or (W_in,) for one lane; the result has W_out in place of W_in. target: what was expected, in
        the shape of the result; of an output of width 1 it may lack the last axis, and so do class labels with a
        cross_entropy loss. None: the step is remembered with weight 0. sample_weight: of the target, a number or one
        for each lane, finite and >= 0. out: an array for the result, as in ``Stream``; without it, the result is a new
        array, or one of an earlier call that nobody has any more (weak references do not keep it, and it can't be
        resized). With ``missing="skip"``, NaN in the target is not known.

        Every ``every`` steps, one update follows from the mean loss of the last ``steps`` steps, as ``train`` makes it
        for one window; if all weights in it are 0, none is made. The window begins from the state that the network had
        before its first step.

        Raises DataError for arrays that do not fit or are not finite; ModelStateError if the model is released: then
        nothing changes. Raises TrainingDivergedError where a loss or a gradient of the update is not finite: the model
        then has the parameters from before the update; the learner has taken the step, and forgets the steps that it
        remembered.
        """
        if sample_weight is None and not self._waits:
            if out is None:  # results that nobody has any more are used again
                y = self._older
                self._older = self._last
                self._last = y
                if getrefcount(y) != self._unused:
                    self._last = y = empty(self._shape, self._dtype)
            else:
                y = out
            release: Any = self._release
            try:  # a with statement would take twice as long
                if self._acquire(False):
                    code = self._advance(self._control, x, target, None, y)
                    if code == DONE:
                        return y
                    if code < ODD:
                        self._end(code)
                        return y
                else:
                    release = None
            finally:
                if release is not None:
                    try:  # noqa: SIM105 - a suppress would take time
                        release()
                    except RuntimeError:  # an interrupt came right after another thread was found to have the lock
                        pass
        return self._otherwise(x, target, out, sample_weight)

    def update(self) -> bool:
        """Make the next update now, through the steps since the last one and those before them in its window; whether
        there was one to make. The next one is then due after ``every`` further steps.

        So a learner can learn from the rest of a sequence before ``reset``. Raises the errors of a step.
        """
        before = self.updates
        self._run(None, None, None, None)
        return self.updates > before

    def _otherwise(self, x: Any, target: Any, out: Any, sample_weight: Any) -> Floats:
        """Take a step with arrays that need a cast or a check, or after the model has changed."""
        if self._waits:
            self._model.look_for_kernels(skips=self._track.skips)
            self._waits = self._model.waits
        given, wanted = (None if each is None else converted(each, self._dtype) for each in (x, target))
        if sample_weight is None and given is not None and (wanted is not None or target is None):
            y: Floats = self._result(given, out)
            if self._run(given, wanted, None, y):
                return y
        return self._carefully(x, target, out, sample_weight)

    def _carefully(self, x: Any, target: Any, out: Any, sample_weight: Any) -> Floats:
        """Take a step with any objects that users give, or raise an error that says what does not fit."""
        model, track = self._model, self._track
        array = checked_input(model.needs, x)
        y: Floats = self._result(array, None)
        if out is not None:
            y = checked_out(out, y.shape, self._dtype)
        if target is None:
            if sample_weight is not None:
                raise DataError("sample_weight is given without a target, to which it belongs")
            done = self._run(array, None, None, y)
        else:
            data = checked_target(model, array, target, sample_weight, self._missing)
            weights = None if data.weights is None else data.weights.reshape(-1)
            if data.unknown:
                with model.lock:
                    track.expect_unknown()
                    self._take_functions()
            empty = weights is not None and not (weights > 0.0).any()
            flags = {"checked": 1, "partly": data.unknown, "empty": empty}
            done = self._run(array, data.expected.reshape(y.shape), weights, y, flags)
        assert done, "the arrays were checked"
        return y

    def _result(self, x: Floats, out: Any) -> Any:
        """``out``, or else a new array for the result of a step; from now on, x may have as many axes as this one."""
        form = 0 if self._lanes == 1 and x.ndim == 1 else self._lanes
        if form != self._track["form"]:
            self._track["form"] = form
            self._take_form()
        if out is None:
            self._last = out = empty(self._shape, self._dtype)  # the one that was there may be of no use
        return out

    def _run(self, x: Any, target: Any, weights: Any, y: Any, flags: Mapping[str, int] = NOTHING) -> bool:
        """Call ``advance``, and end the call; False if the arrays do not fit. flags: words about the arrays."""
        track = self._track
        with self._model.lock:
            self._take_lock()  # another one since a fork in which a thread of the parent held it
            while True:
                for name, word in flags.items():
                    track[name] = word
                code = self._advance(self._control, x, target, weights, y)
                if code != STALE:
                    break
                track.move()
                self._take_functions()
            if code < ODD:
                self._end(code)
            return bool(code < ODD)

    def _end(self, code: int) -> None:
        """Do what ``advance`` has left to be done. The lock is held."""
        if code == MEMBERS:
            code = self._track.learn_by_members()
        if code == UPDATED:
            self._model.publish()
        elif code == DIVERGED:
            raise self._diverged()

    def _diverged(self) -> TrainingDivergedError:
        """The error for a window that is not finite."""
        track = self._track
        steps = track["steps_taken"]
        losses = track.losses[:steps]
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            ago, loss = steps - 1 - int(bad[0]), losses[bad[0]]
            step = "the last step" if not ago else f"the step {ago} before the last"
            what = f"the loss of {step} is {loss}"
        else:
            span = "of the last step" if steps == 1 else f"over the last {steps} steps"
            what = f"a gradient {span} is not a finite number, or its square is not"
        return TrainingDivergedError(
            f"training diverged: {what}; the parameters are those before this update, and the learner has forgotten "
            "the steps that it remembered (a smaller learning_rate, or clip_norm, may help)"
        )

    # State -----------------------------------------------------------------------------------------------------------

    def _all_state(self) -> dict[str, Floats]:
        return self._track.state

    def set_state(self, values: Any, lane: int | None = None) -> None:
        """Set some or all of the state, of all lanes or of one, and forget the steps so far: windows begin here.

        Each value is broadcast to its shape. Raises DataError for unknown names, shapes that do not fit and numbers
        that are not finite; then nothing is changed.
        """
        with self._model.lock:
            super().set_state(values, lane)
            self._track.forget()

    def reset(self, lane: int | None = None) -> None:
        """Set the state to zeros, of all lanes or of one, and forget the steps so far: windows begin here.

        Steps that no update has gone through yet are lost for learning, unless ``update`` is called before.
        """
        with self._model.lock:
            super().reset(lane)
            self._track.forget()

    def copy(self) -> Learner:
        """A second learner of the same model, in the same state and with the same steps behind it.

        Both change the one model; all else is independent from now on.
        """
        return Learner(self._track.copy(), self._missing)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Learner:
        return self.copy()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Learner can't be pickled: pickle or save its model, and its state")
