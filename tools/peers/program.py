"""A model's graph as straight-line code for another library: one text, bound to JAX's or PyTorch's functions.

The text defines ``window(p, s, x, e) -> (loss, s)`` over packed parameters that learn, the state (B, width) or, of what
is read further back than one step, (steps, B, width), inputs and expectations of shape (U, B, W), or (U * B, W) where
the model has no links in time. Parameters that never learn are names beside the function, ``f0`` and so on:

    def window(p, s, x, e):
        (w0, w1, w2, w3) = p
        (s3,) = s
        z1 = linear(x, w0, w1)
        def step1(s, t):
            (s3,) = s
            (z1,) = t
            ...
            return (v3,), (v3,)
        (c3,), (v3,) = scan(step1, (s3,), (z1,))
        ...
        return mse(v4, e), (c3,)

``writer.program`` writes it. Peers' processes read it without neuromorph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = tuple[int | None, int | None]


@dataclass(frozen=True)
class Columns:
    """Some rows of one array of parameters: ranges of them, one after the other."""

    name: str
    rows: tuple[Rows, ...] = ((None, None),)

    def of(self, parameters: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The rows, from parameters by name."""
        array = parameters[self.name]
        return np.concatenate([array[start:stop] for start, stop in self.rows])


@dataclass(frozen=True)
class Packed:
    """One array of a program's parameters: several layers' columns side by side. ``learns``: all of them, or none."""

    variable: str
    columns: tuple[Columns, ...]
    learns: bool

    def of(self, parameters: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The array, from parameters by name."""
        return np.concatenate([columns.of(parameters) for columns in self.columns], axis=-1)


@dataclass(frozen=True)
class Program:
    """The text, how its parameters are packed, and the shape of each part of its state, (width,) or (steps, width).

    ``timed``: whether arrays have an axis of time. ``loops``: how many loops over time there are.
    """

    source: str
    packed: tuple[Packed, ...]
    state: tuple[tuple[int, ...], ...]
    timed: bool
    loops: int

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Program:
        """What ``dataclasses.asdict`` and JSON made of one."""
        packed = tuple(
            Packed(
                one["variable"],
                tuple(Columns(each["name"], tuple(map(tuple, each["rows"]))) for each in one["columns"]),
                one["learns"],
            )
            for one in fields["packed"]
        )
        return cls(fields["source"], packed, tuple(map(tuple, fields["state"])), fields["timed"], fields["loops"])

    def start(self, lanes: int) -> list[tuple[int, ...]]:
        """The shapes of the state for so many lanes."""
        return [(*shape[:-1], lanes, shape[-1]) for shape in self.state]

    def pack(self, parameters: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Named parameters as the text's ``p``: those that learn."""
        return [packed.of(parameters) for packed in self.packed if packed.learns]

    def constants(self, parameters: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Named parameters that never learn, by the text's names for them."""
        return {packed.variable: packed.of(parameters) for packed in self.packed if not packed.learns}

    def bind(self, functions: Mapping[str, Any], constants: Mapping[str, Any]) -> Callable[..., Any]:
        """``window`` over a library's functions and the constants as its arrays. The functions: activations, losses and
        coupling elementwise layers by their MDL names, ``linear(x, w, b)``, ``product(x, w)``,
        ``add_product(u, x, w)``, ``concatenate(...)``, ``history(s, v)``, ``convolution(h, w, b, taps, dilation)``,
        ``where``, ``dot``, ``spread(b, x)``, ``scan(step, state, over)`` and ``linear_scan(a, b, s)``."""
        namespace = {**functions, **constants}
        exec(compile(self.source, "<program>", "exec"), namespace)
        window: Callable[..., Any] = namespace["window"]
        return window
