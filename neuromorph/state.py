"""Recurrent state by name: where it stands in a workspace, and numbers of the user's put there.

The state that a step starts from is that of the nodes which links in time read, (lanes, width) each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

if TYPE_CHECKING:
    from .codegen.layout import Workspace

Floats = NDArray[Any]


def state_views(workspace: Workspace, space: Floats, capacity: int, lanes: int) -> dict[str, Floats]:
    """Views (lanes, width) of the state in a workspace for windows of ``capacity`` steps, by the name that a link in
    time reads."""
    plan, pieces, views = workspace.plan, state_pieces(workspace, space, capacity, lanes), {}
    buffers = dict(plan.state)
    for _, other in plan.graph.delayed_links:
        node = plan.graph.nodes[plan.graph.resolve(other)]
        stride = plan.strides[buffers[node.index]]
        views[plan.graph.nodes[other].name] = pieces[node.index].reshape(lanes, stride)[:, : node.width]
    return views


def state_pieces(workspace: Workspace, space: Floats, capacity: int, lanes: int) -> dict[int, Floats]:
    """Views of all of the state, (lanes * stride,) with the padding of its rows, by the node that holds it."""
    plan, pieces = workspace.plan, {}
    for index, name in plan.state:
        stride, (a, b) = plan.strides[name], workspace.terms[name]
        start = a * capacity * lanes + (b - stride) * lanes
        pieces[index] = space[start : start + stride * lanes]
    return pieces


def set_state(views: Mapping[str, Floats], values: Any) -> None:
    """Put numbers, broadcast to its shape, into some or all of the state.

    Raises TypeError for what is no dict, DataError for an unknown name, a shape that does not broadcast, or numbers
    that are not finite; then nothing is changed.
    """
    check_mapping("state", values)
    fresh = {}
    for name, value in dict(values).items():
        if name not in views:
            known = ", ".join(views) or "none"
            raise DataError(f"the model keeps no state named {name!r}; it keeps: {known}")
        fresh[name] = fitting(name, value, views[name].shape, views[name].dtype)
    for name, value in fresh.items():
        views[name][:] = value


def check_mapping(name: str, value: Any) -> None:
    """TypeError, naming the argument, for what is no dict."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of names and numbers, not {type(value).__name__}")


def fitting(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    """``value`` broadcast to a shape, every number finite."""
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(value, dtype=np.float64).astype(dtype)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be numbers: {error}") from None
    try:
        full = np.broadcast_to(array, shape)
    except ValueError:
        raise DataError(f"{name} has shape {array.shape}, and the model needs {shape}") from None
    if not np.isfinite(full).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(full))[0])
        raise DataError(f"{name}{list(place)} is {full[place]}, and parameters and state are finite numbers")
    return full
