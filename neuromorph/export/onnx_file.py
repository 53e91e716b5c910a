"""Writes a model as an ONNX file: one time step, or whole sequences."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import brief
from ..graph import Graph
from ..host.atomic_write import check_place, replace_file
from ..interface import Model
from ..version import __version__
from .onnx_nodes import Nodes
from .onnx_step import Step

FORMS = ("step", "sequence")
_OPSET, _IR_VERSION = 17, 8  # ONNX 1.12; newer runtimes read it
_MOST = 2**31 - 2**20  # bytes of parameters; a file of protocol buffers has less than 2 GiB
_LANES, _STEPS = "lanes", "steps"  # the names of the axes whose length is open
_OUTSIDE = "sequence/"  # what tensors outside the loop over time belong to; no node has such a name


def to_onnx(model: Model, path: str | os.PathLike[str], form: str = "step") -> None:
    """Write a built model to an ONNX file.

    form "step": one time step. Inputs are ``x`` (lanes, W_in) and ``state/NAME`` for every NAME in ``Model.state``,
    with the same shapes; outputs are ``y`` (lanes, W_out) and ``next/NAME``, in the same order. Zeros begin a sequence.

    form "sequence": ``x`` (steps, lanes, W_in) gives ``y`` (steps, lanes, W_out), from zero state, as ``predict`` does.

    Both take any number of lanes. Weights are named as in ``get_parameters``. The metadata have the model's text as
    ``mdl``. Needs the package onnx. Raises ModelStateError before ``build``, ValueError for another form or for a model
    that is too large for such a file, OSError if the file can't be written; then no file is written.
    """
    if form not in FORMS:
        raise ValueError(f"form must be {' or '.join(map(repr, FORMS))}, not {brief(form)}")
    if not isinstance(model, Model):
        raise TypeError(f"model must be a neuromorph Model, not {type(model).__name__}")
    _check_onnx()
    parameters, target = model.get_parameters(), os.fsdecode(path)
    size = sum(array.nbytes for array in parameters.values())
    if size > _MOST:
        raise ValueError(f"the model has {size:,} bytes of parameters: an ONNX file has at most {_MOST:,}")
    check_place(target, "the ONNX file")
    write = _step if form == "step" else _sequence
    data = _file(write(model.graph, Nodes(model.dtype, dict(parameters))), model.text)
    try:
        replace_file(os.path.realpath(target), data)
    except OSError as error:  # it names the temporary file, or none
        raise OSError(error.errno, error.strerror, target) from error


def _check_onnx() -> None:
    """Raise ImportError, with the way to install it, if the package onnx is missing."""
    try:
        import_module("onnx")
    except ImportError:
        raise ImportError("to_onnx needs onnx: pip install 'neuromorph[onnx]'") from None


def _step(graph: Graph, nodes: Nodes) -> Any:
    """The ONNX graph of one time step."""
    inputs, outputs = _add_step(graph, nodes, "x", "y")
    return _graph("step", nodes, inputs, outputs, nodes.constants)


def _sequence(graph: Graph, nodes: Nodes) -> Any:
    """The ONNX graph of a sequence: a loop over steps, or one step of all at once where nothing reads back in time."""
    ends = [_tensor(nodes, name, (_STEPS, _LANES, graph.nodes[index].width)) for name, index in _ends(graph)]
    if graph.has_time_links:
        body = Nodes(nodes.dtype, nodes.constants)
        (x, *before), (y, *after) = _add_step(graph, body, "x/step", "y/step")
        loop = _graph("step", body, [*before, x], [*after, y], {})
        last = [f"last/{graph.nodes[index].name}" for index in graph.history]
        nodes.give("Scan", *_zeros(graph, nodes), "x", results=(*last, "y"), num_scan_inputs=1, body=loop)
    else:
        nodes.give("Identity", Step(graph, nodes, "x", {}).result, results=("y",))
    return _graph("sequence", nodes, ends[:1], ends[1:], nodes.constants)


def _ends(graph: Graph) -> list[tuple[str, int]]:
    """The names of input and output, and their nodes."""
    return [("x", graph.input), ("y", graph.output)]


def _add_step(graph: Graph, nodes: Nodes, x: str, y: str) -> tuple[list[Any], list[Any]]:
    """Add the nodes of one time step. Returns descriptions of its inputs and outputs: x and y first, then the state."""
    named = {index: graph.nodes[index].name for index in graph.history}
    step = Step(graph, nodes, x, {index: f"state/{name}" for index, name in named.items()})
    nodes.give("Identity", step.result, results=(y,))
    for index, name in named.items():
        nodes.give("Identity", step.following(index), results=(f"next/{name}",))
    shapes = {name: _shape(graph, index) for index, name in named.items()}
    widths = zip((x, y), (graph.nodes[index].width for _, index in _ends(graph)), strict=True)
    ends = [_tensor(nodes, name, (_LANES, width)) for name, width in widths]
    before, after = (
        [_tensor(nodes, f"{when}/{name}", shape) for name, shape in shapes.items()] for when in ("state", "next")
    )
    return [ends[0], *before], [ends[1], *after]


def _shape(graph: Graph, index: int) -> tuple[int | str, ...]:
    """The shape of a node's state, for any number of lanes."""
    *steps, _, width = graph.state_shape(index, 0)
    return (*steps, _LANES, width)


def _zeros(graph: Graph, nodes: Nodes) -> list[str]:
    """The tensors of the state before the first step."""
    from onnx import numpy_helper

    zero = numpy_helper.from_array(np.zeros(1, nodes.dtype))
    lanes = nodes.part(nodes.add("Shape", "x", at=_OUTSIDE), 1, 2, 0, at=_OUTSIDE)
    found = []
    for index in graph.history:
        *steps, _, width = graph.state_shape(index, 0)
        parts = [*map(nodes.whole, steps), lanes, nodes.whole(width)]
        shape = nodes.add("Concat", *parts, at=_OUTSIDE, axis=0)
        nodes.give("ConstantOfShape", shape, results=(f"zeros/{graph.nodes[index].name}",), value=zero)
        found.append(f"zeros/{graph.nodes[index].name}")
    return found


def _tensor(nodes: Nodes, name: str, shape: tuple[int | str, ...]) -> Any:
    """The description of a tensor of the model's type."""
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(nodes.dtype), shape)


def _graph(
    name: str, nodes: Nodes, inputs: list[Any], outputs: list[Any], constants: Mapping[str, NDArray[Any]]
) -> Any:
    from onnx import helper, numpy_helper

    held = [numpy_helper.from_array(value, constant) for constant, value in constants.items()]
    made = [
        helper.make_node(one.operator, one.inputs, one.results, name=one.results[0], **one.attributes)
        for one in nodes.made
    ]
    return helper.make_graph(made, name, inputs, outputs, held)


def _file(graph: Any, text: str) -> bytes:
    """The bytes of a file with a graph and a text in its metadata."""
    from onnx import helper

    opset = [helper.make_opsetid("", _OPSET)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION, producer_name="neuromorph")
    made.producer_version = __version__
    helper.set_model_props(made, {"mdl": text})
    data: bytes = made.SerializeToString()
    return data
