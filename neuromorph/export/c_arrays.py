"""Writes arrays of numbers as constants of C."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Node
from .c_layout import Layout, is_narrow
from .c_names import comment_of

_LINE = 116  # characters of a line of numbers


def constant(type_name: str, name: str, values: NDArray[Any]) -> list[str]:
    """The definition of an array of one axis or two."""
    axes = "".join(f"[{length}]" for length in values.shape)
    if values.ndim == 1:
        return [f"static const {type_name} {name}{axes} = {{", *_numbers(values, "    "), "};"]
    rows = [line for row in values for line in ("    {", *_numbers(row, "        "), "    },")]
    return [f"static const {type_name} {name}{axes} = {{", *rows, "};"]


def rows_of(type_name: str, name: str, values: NDArray[Any]) -> list[str]:
    """The definition of a matrix as an array of one axis, row after row."""
    rows, columns = values.shape
    lines = [line for row in values for line in _numbers(row, "    ")]
    return [f"static const {type_name} {name}[{rows} * {columns}] = {{", *lines, "};"]


def _numbers(values: NDArray[Any], margin: str) -> list[str]:
    """Numbers, as many as a line has room for, each the shortest text that is read as the same number."""
    ending = "f" if values.dtype == np.float32 else ""
    lines, line = [], margin
    for text in map(str, values if ending else values.tolist()):
        if len(line) + len(text) + 2 > _LINE:
            lines.append(line.rstrip())
            line = margin
        line += f"{text}{ending}, "
    return [*lines, line.rstrip()]


def parameters(layout: Layout, type_name: str, arrays: dict[str, NDArray[Any]]) -> list[str]:
    """The definitions of all parameters, in text order. arrays: by name, as ``get_parameters`` gives them."""
    lines = []
    for node in (node for node in layout.graph.nodes if node.live and node.initializers):
        own, group, name = [node], layout.groups.get(node.index), layout.fields[node.index].name
        if group is not None:
            own, name = list(group.members), group.name
            if node.index == min(member.index for member in own):
                shown = comment_of(", ".join(f"{member.name} ({member.width:,})" for member in own))
                lines += [f"/* Columns: {shown}. */", *_layer(own, name, type_name, arrays)]
        elif node.kind == "layer":
            lines += _layer(own, name, type_name, arrays)
        for role, _ in node.initializers:
            if node.kind != "layer" or role not in ("weight", "bias"):
                lines += constant(type_name, f"{layout.fields[node.index].name}_{role}", arrays[f"{node.name}.{role}"])
    return lines


def _layer(members: list[Node], name: str, type_name: str, arrays: dict[str, NDArray[Any]]) -> list[str]:
    """The definitions of weight and bias of a layer, or of several that are computed together."""
    weight = np.concatenate([arrays[f"{node.name}.weight"] for node in members], axis=1)
    bias = np.concatenate([arrays[f"{node.name}.bias"] for node in members])
    taps, (rows, width) = members[0].taps, weight.shape
    if is_narrow(width, rows // taps):
        weight = weight.reshape(taps, rows // taps, width).transpose(0, 2, 1).reshape(taps * width, rows // taps)
    return [*rows_of(type_name, f"{name}_weight", weight), *constant(type_name, f"{name}_bias", bias)]
