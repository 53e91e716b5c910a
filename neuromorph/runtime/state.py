"""Reads and sets the recurrent state in a workspace, by the names of nodes.

The state holds the values that links in time read at the next step. The shape of each is (lanes, width), or (K, lanes,
width), the oldest step first, if it is read up to K > 1 steps back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..data.arrays import as_broadcast
from ..errors import DataError, brief, said

if TYPE_CHECKING:
    from ..schedule import Workspace

Floats = NDArray[Any]


def state_views(workspace: Workspace, space: Floats, capacity: int, lanes: int) -> dict[str, Floats]:
    """Views (lanes, width) or (K, lanes, width) of the state, by the name that a link in time reads.

    space: the workspace. capacity: the steps of its windows.
    """
    plan, pieces, views = workspace.plan, state_pieces(workspace, space, capacity, lanes), {}
    buffers = dict(plan.state)
    for other, steps in plan.graph.history.items():
        node = plan.graph.nodes[plan.graph.resolve(other)]
        whole = pieces[node.index].reshape(-1, lanes, plan.strides[buffers[node.index]])[-steps:, :, : node.width]
        views[plan.graph.nodes[other].name] = whole[0] if steps == 1 else whole
    return views


def state_pieces(workspace: Workspace, space: Floats, capacity: int, lanes: int) -> dict[int, Floats]:
    """Views (steps * lanes * stride,) of the whole state, with the padding of its rows, by the node that holds it."""
    plan, pieces = workspace.plan, {}
    for index, name in plan.state:
        before, (a, b) = plan.strides[name] * plan.buffers_by_name[name].depth, workspace.terms[name]
        start = a * capacity * lanes + (b - before) * lanes
        pieces[index] = space[start : start + before * lanes]
    return pieces


def state_rows(workspace: Workspace, space: Floats, capacity: int, lanes: int) -> dict[int, Floats]:
    """Views (steps, lanes, stride) of the whole state, with the padding of its rows, by the node that holds it."""
    plan = workspace.plan
    strides = {index: plan.strides[name] for index, name in plan.state}
    pieces = state_pieces(workspace, space, capacity, lanes)
    return {index: piece.reshape(-1, lanes, strides[index]) for index, piece in pieces.items()}


def set_state(views: Mapping[str, Floats], values: Any) -> tuple[str, ...]:
    """Set some or all of the state; the names that were set. Each value is broadcast to its view's shape.

    Raises the errors of ``checked_state``; then nothing is changed.
    """
    fresh = checked_state(views, values)
    for name, value in fresh.items():
        views[name][:] = value
    return tuple(fresh)


def checked_state(views: Mapping[str, Floats], values: Any) -> dict[str, Floats]:
    """Some or all of a state, each value broadcast to the shape of its view.

    Raises TypeError if ``values`` is no dict, DataError for an unknown name, a shape that does not broadcast, or a
    value that is no finite real number.
    """
    fresh = {}
    for name, value in as_dict("state", values).items():
        if name not in views:
            known = ", ".join(views) or "none"
            raise DataError(f"the model keeps no state named {brief(name)}; it keeps: {known}")
        fresh[name] = as_broadcast(name, value, shape=views[name].shape, dtype=views[name].dtype)
    return fresh


def as_dict(name: str, value: Any) -> dict[Any, Any]:
    """A new dict with the contents of a mapping. name: the argument, for messages.

    Raises TypeError if the value is no mapping, DataError if it can't be read.
    """
    try:
        if isinstance(value, Mapping):
            return dict(value)
    except Exception as error:  # the user's own class may raise anything
        raise DataError(f"{name} can't be read: {said(error)}") from error
    raise TypeError(f"{name} must be a dict of names and numbers, not {type(value).__name__}")
