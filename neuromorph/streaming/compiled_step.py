"""A stream's step for users' own compiled code: a simulation that Numba compiles, or C."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.arrays import as_tensor
from ..runtime.contents import learning_places
from ..runtime.fixed_call import FixedCall
from ..runtime.kernels import Kernels
from ..runtime.state import state_views
from .states import Stateful

Floats = NDArray[Any]


class CompiledStep(Stateful):
    """One time step of a model as a function for compiled code. ``Stream.compiled_step`` makes it.

    Write the input to ``x``, call the function, read the result from ``y``. In Numba, pass ``function``, ``argument``,
    ``x`` and ``y`` to your function, and call ``function(argument)`` there; the same compiled code then runs any model.
    In C, the function at ``address`` is ``int64_t step(int64_t argument)``. It returns 0; or 2 if x has a number that
    is not finite, and then neither y nor the state has changed. From Python, call the object itself.

    It has copies of its own: of the parameters that the model had when it was made, and of the stream's state. So it
    still works when the model learns, is released or deleted. Keep the object, or ``function``, as long as compiled
    code may call it, which can't know whether it is there. One thread at a time may use it.
    """

    __slots__ = ("_call", "_lanes", "_places", "_state", "_weights", "_x", "_y")

    def __init__(self, kernels: Kernels, weights: Floats, space: Floats, lanes: int) -> None:
        """weights: in the kernels' layout. space: a workspace of the step. Both are its own from now on."""
        graph, dtype = kernels.graph, kernels.options.dtype
        widths = graph.nodes[graph.input].width, graph.nodes[graph.output].width
        self._x, self._y = (np.zeros(width if lanes == 1 else (lanes, width), dtype) for width in widths)
        function, leading = kernels.entry("step", 1, lanes)
        given = (*leading, lanes, space, weights, self._x.reshape(-1), self._y.reshape(-1))
        self._call = FixedCall(function, given)
        self._weights, self._places = weights, learning_places(graph, kernels.plan.layout)
        self._lanes, self._state = lanes, state_views(kernels.plan.prediction_space, space, 1, lanes)

    def __repr__(self) -> str:
        wide, lanes = f"{self.x.shape[-1]} -> {self.y.shape[-1]}", self._lanes
        return f"<neuromorph.CompiledStep {wide}, {lanes} lane{'s' * (lanes != 1)}, {self.x.dtype}>"

    @property
    def x(self) -> Floats:
        """The input of the next step, to be written to, ``step.x[:] = …``: (lanes, W_in), or (W_in,) for one lane."""
        return self._x

    @property
    def y(self) -> Floats:
        """The result of the last step, which the next one overwrites: (lanes, W_out), or (W_out,) for one lane."""
        return self._y

    @property
    def function(self) -> Any:
        """The function as Numba takes it as an argument: of type ``int64(int64)``. It keeps all that it needs."""
        return self._call.for_numba()

    @property
    def argument(self) -> int:
        """What the function has to be called with."""
        return self._call.argument

    @property
    def address(self) -> int:
        """The address of the function for C; 0 with JIT off."""
        return self._call.address

    def __call__(self) -> int:
        """Run one step from Python; 0, or 2 if x has a number that is not finite."""
        return self._call()

    def get_vector(self) -> Floats:
        """The parameters that learn as one vector: each flattened by rows, one after the other in text order."""
        return self._weights[self._places]

    def set_vector(self, numbers: ArrayLike) -> None:
        """Set the parameters that learn, from a vector in the order of ``get_vector``; the model's stay as they are.

        So a search can try parameters at little cost. The state does not change. Raises DataError for another shape,
        and for numbers that are not finite; then nothing is changed.
        """
        shape = (("parameters", len(self._places)),)
        self._weights[self._places] = as_tensor("numbers", numbers, dtype=self.x.dtype, shape=shape)

    def _all_state(self) -> dict[str, Floats]:
        return self._state

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CompiledStep can't be pickled: pickle or save its model, and its state")
