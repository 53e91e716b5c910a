"""The places of weights in the flat arrays that kernels read, and the conversion to named arrays and back.

A group of sibling layers owns one matrix with the columns of its members side by side, each member padded to whole
vectors. Its rows are cut into parts, one for each node that the group reads; every part is a panel matrix. The group's
bias follows the parts. The transposes that the backward pass reads are in an array of their own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..host.cached import cached_property
from ..host.frozen import frozen
from .plan import Group, Member, Plan, Vector, padded, vectors_in

_KEPT = 1 << 12  # elements of a parameter whose places are kept


def panel_of(vectors: int, registers: int) -> int:
    """The number of vectors in a panel of a matrix ``vectors`` wide: few enough for the registers, panels of like
    width."""
    if vectors <= 3:
        return vectors
    return 4 if vectors == 4 and registers >= 32 else 2


@frozen
class Layout:
    """The places of a plan's weights. Offsets and sizes are in elements."""

    plan: Plan
    registers: int

    @property
    def lanes(self) -> int:
        """The SIMD width, in elements."""
        return self.plan.lanes

    def panel(self, group: Group) -> int:
        """The number of vectors in a panel of a group's weights."""
        return panel_of(group.columns // self.plan.lanes, self.registers)

    @cached_property
    def _places(self) -> dict[int | str, int]:
        """The offset of each group (by number) and of each parameter vector (by name).

        Parameters that training changes come first; "learning" is the offset after them.
        """
        places: dict[int | str, int] = {}
        here = 0
        for learns in (True, False):
            for group in self.plan.groups:
                if group.learns == learns:
                    places[group.index], here = here, here + group.size
            for vector in self.plan.vectors:
                if vector.learns == learns:
                    places[vector.name], here = here, here + padded(vector.width, self.lanes)
            places["learning" if learns else "all"] = here
        return places

    @property
    def size(self) -> int:
        """The number of elements of all parameters, with padding."""
        return self._places["all"]

    @property
    def learning_size(self) -> int:
        """The number of elements of the parameters that training changes, with padding."""
        return self._places["learning"]

    def vector(self, name: str) -> int:
        """The offset of a parameter vector."""
        return self._places[name]

    def part(self, group: Group, number: int) -> int:
        """The offset of the panels of a part."""
        return self._places[group.index] + group.parts[number].first_row * group.columns

    def bias(self, group: Group) -> int:
        """The offset of a group's bias."""
        return self._places[group.index] + group.fan_in * group.columns

    def transposed_panel(self, group: Group, number: int) -> int:
        """The number of vectors in a panel of a part's transpose."""
        return panel_of(vectors_in(group.parts[number].width, self.lanes), self.registers)

    @cached_property
    def transposed(self) -> dict[tuple[int, int], int]:
        """The offset of each transpose, by the numbers of its group and part."""
        starts, here = {}, 0
        for index, number in self.plan.transposed:
            starts[index, number] = here
            here += self.transposed_elements(index, number)
        return starts

    def transposed_elements(self, index: int, number: int) -> int:
        """Elements of the transpose of a part of a group, padding included."""
        group = self.plan.groups[index]
        part = group.parts[number]
        return part.taps * group.columns * padded(part.width, self.lanes)

    @cached_property
    def transposed_size(self) -> int:
        """Elements of all transposes."""
        return sum(self.transposed_elements(*which) for which in self.plan.transposed)

    @cached_property
    def _members(self) -> dict[int, tuple[Group, Member]]:
        """The group of each layer, and its columns there."""
        return {member.node: (group, member) for group in self.plan.groups for member in group.members}

    @cached_property
    def _vectors(self) -> dict[tuple[int, str], Vector]:
        """The parameter vectors by node and role."""
        return {(vector.node, vector.role): vector for vector in self.plan.vectors}

    def places(self, node: int, role: str) -> NDArray[np.intp]:
        """The offset of each element of a node's parameter: a layer's weight (fan_in, width) or bias (width,), or a
        vector of an elementwise layer. role: which of them.

        Those of small parameters are kept, for searches that set them often, and can't be written to."""
        found = self._kept.get((node, role))
        if found is None:
            found = self._indices(node, role)
            if found.size <= _KEPT:
                found.setflags(write=False)
                self._kept[node, role] = found
        return found

    @cached_property
    def _kept(self) -> dict[tuple[int, str], NDArray[np.intp]]:
        return {}

    def _indices(self, node: int, role: str) -> NDArray[np.intp]:
        if (vector := self._vectors.get((node, role))) is not None:
            return self.vector(vector.name) + np.arange(vector.width)
        group, member = self._members[node]
        columns = member.column + np.arange(member.width)
        if role == "bias":
            return self.bias(group) + columns
        return np.concatenate([self._part_places(group, number, columns) for number in range(len(group.parts))])

    def _part_places(self, group: Group, number: int, columns: NDArray[np.intp]) -> NDArray[np.intp]:
        part, step = group.parts[number], self.panel(group) * self.lanes
        depth = part.width
        panel, inside = np.divmod(columns, step)
        width = np.minimum(step, group.columns - panel * step)
        start = self.part(group, number)
        places: NDArray[np.intp] = start + panel * depth * step + np.arange(depth)[:, None] * width + inside
        return np.concatenate([places + tap * depth * group.columns for tap in range(part.taps)])


@frozen
class Workspace:
    """The places of a plan's buffers in one flat array, for ``capacity`` steps with ``rows`` rows (lanes) each.

    Offsets have the form a × capacity × rows + b × rows, so that one source serves every window length.
    """

    plan: Plan

    @cached_property
    def terms(self) -> dict[str, tuple[int, int]]:
        """The offset (a, b) of each buffer's step 0. The slots for earlier steps come before it."""
        blocks = self._blocks
        places = {buffer.name: blocks[buffer.block] for buffer in self.plan.buffers}
        return places | {"end": blocks["end"]}

    @cached_property
    def _blocks(self) -> dict[str, tuple[int, int]]:
        """The offset (a, b) of each block, by the name of its first buffer, and of the end of all blocks."""
        out, a, b = {}, 0, 0
        for buffer in self.plan.buffers:
            if buffer.block != buffer.name:
                continue
            if buffer.rows == "slots":
                b += buffer.depth * buffer.stride
            out[buffer.name] = (a, b)
            if buffer.rows == "step":
                b += buffer.stride
            else:
                a += buffer.stride
        out["end"] = (a, b)
        return out

    def size(self, capacity: int, rows: int) -> int:
        """The number of elements of the workspace, for windows of at most ``capacity`` steps of ``rows`` lanes."""
        a, b = self.terms["end"]
        return a * capacity * rows + b * rows
