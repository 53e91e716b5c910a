"""Writes the sparse copies of frozen matrices, which stand behind the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..abi.sparse import write_sparse
from ..codegen import SparseCopy
from ..schedule import Layout
from .memory import aligned_zeros

Floats = NDArray[Any]


def write_copies(layout: Layout, copies: Iterable[SparseCopy], weights: Floats) -> None:
    """Write the copies of the matrices in ``weights``. They are out of date after each change of a frozen parameter."""
    for (number, part), some in groupby(copies, key=lambda copy: (copy.group, copy.part)):
        group, mine = layout.plan.groups[number], list(some)
        flat = weights[layout.part(group, part) :][: mine[0].form.inner * group.columns]
        matrix = _matrix(flat, group.columns, layout.panel(group) * layout.lanes)
        for copy in mine:
            write_sparse(copy.form, matrix, weights[copy.place : copy.end])


def with_copies(layout: Layout, copies: Sequence[SparseCopy], weights: Floats) -> Floats:
    """Parameters without copies, with these copies behind them; the same array if there are none."""
    if not copies:
        return weights
    made = aligned_zeros(copies[-1].end, str(weights.dtype))
    made[: len(weights)] = weights
    write_copies(layout, copies, made)
    return made


def _matrix(flat: Floats, columns: int, panel: int) -> Floats:
    """The matrix that a flat array holds in panels. columns, panel: elements of a row, and of a panel's."""
    depth, whole = len(flat) // columns, columns // panel
    first = flat[: depth * whole * panel].reshape(whole, depth, panel).swapaxes(0, 1).reshape(depth, -1)
    return np.hstack([first, flat[depth * whole * panel :].reshape(depth, -1)])
