"""Names for what a program works on: the buffers of its plan, and the nodes that these belong to, by their places.

A place in the workspace may belong to several buffers, at different times. Then the plan's operations tell which one is
meant: the next of them that touches this very place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..host.cached import cached_property
from ..host.frozen import frozen
from ..schedule import (
    Access,
    Bias,
    Buffer,
    Columns,
    Group,
    Loss,
    Map,
    Mask,
    Operation,
    Place,
    Product,
    Reduce,
    Rows,
    Segment,
    is_vector,
    padded,
)
from . import instructions as i
from .decode import Instruction, Stream
from .places import ROOMS, Places
from .templates import map_of, sum_of

_KINDS = {i.FORWARD: "forward", i.BACKWARD: "backward", i.WEIGHT: "weight"}
_ROWS = {i.SOFTMAX: "softmax", i.SOFTMAX_GRADIENT: "softmax_gradient"}


@frozen
class Name:
    """What stands at a place: a text, and the nodes that it is of."""

    text: str
    nodes: tuple[int, ...] = ()


@frozen
class _Parameters:
    """Parameters: what they are, the nodes that they are of, and for weights what they are multiplied with."""

    what: str
    nodes: tuple[int, ...]
    source: str = ""


@frozen
class _Touched:
    """The buffers that an operation reads and writes, by the offset of their first row."""

    reads: dict[int, str]
    writes: dict[int, str]


class Meant:
    """The operations of a segment, in which a listing goes forward as its instructions do."""

    def __init__(self, places: Places, segment: Segment) -> None:
        self._places, self._domain = places, segment.domain
        self._operations = segment.operations
        self._touched = [self._look(operation) for operation in segment.operations]
        self._rooms = {places.extra[f"room{number}"] for number in range(ROOMS)}
        self._here = self._next = 0

    def go_to(self, instruction: Instruction) -> None:
        """Go to the operation that an instruction does, if there is one."""
        for number in range(self._next, len(self._operations)):
            if self._fits(number, instruction):
                self._here = number
                self._next = number + self._ends(instruction)
                return
        self._here = self._next

    @property
    def inner(self) -> tuple[int, ...]:
        """Nodes whose values the present operation computes on the way, and does not store."""
        operation = self._operations[self._here] if self._operations else None
        return operation.inner if isinstance(operation, Map | Product) else ()

    def buffer(self, offset: int, *, written: bool) -> str | None:
        """The buffer whose row begins at a place: of the next operation that touches it, this one first."""
        for touched in self._touched[self._here :]:
            found = (touched.writes if written else touched.reads).get(offset)
            if found is not None:
                return found
        return None

    def _ends(self, instruction: Instruction) -> bool:
        """Whether an instruction surely ends its operation."""
        target = instruction.streams.get("target")
        return instruction.number not in _KINDS and target is not None and target.offset not in self._rooms

    def _fits(self, number: int, instruction: Instruction) -> bool:
        operation, touched = self._operations[number], self._touched[number]
        if not _is_done_by(operation, instruction.number):
            return False
        known = touched.reads.keys() | self._rooms
        return all(
            stream.offset in (touched.writes.keys() | self._rooms if name == "target" else known)
            for name, stream in streams_of(instruction).items()
        )

    def _look(self, operation: Operation) -> _Touched:
        """What an operation touches."""
        reads, writes = _accesses(operation)
        return _Touched(
            {self._offset(access): access.place.buffer for access in reads},
            {self._offset(access): access.place.buffer for access in writes},
        )

    def _offset(self, access: Access) -> int:
        return self._places.stream(access.place, access.shift, self._domain)[0]


def streams_of(instruction: Instruction) -> dict[str, Stream]:
    """The rows of the workspace that an instruction reads and writes, those of instructions of a window too."""
    found, fields = dict(instruction.streams), instruction.fields
    for name in ("source", "right", "target", "room"):
        if name in fields:
            found[name] = Stream(fields[name], 0, fields.get(f"{name}_row", 0))
    return found


def _is_done_by(operation: Operation, number: int) -> bool:
    """Whether an instruction of a number can be a part of an operation."""
    if isinstance(operation, Map):
        if number < i.SUM:
            return operation.store and map_of(operation.expression, operation.let)[0] == number
        return number in (i.SPREAD, i.CUT, i.FINISH)
    if isinstance(operation, Reduce):
        return number in (i.SPREAD, i.CUT, i.SUM + sum_of(operation.expression, operation.finish)[0])
    if isinstance(operation, Product):
        return _KINDS.get(number) == operation.kind
    if isinstance(operation, Rows):
        return _ROWS.get(number) == operation.kind
    return number == (i.MASK if isinstance(operation, Mask) else i.COLUMNS)


def _accesses(operation: Operation) -> tuple[list[Access], list[Access]]:
    """What an operation reads and what it writes, for each tap of a product."""
    if isinstance(operation, Map | Reduce):
        return [access for _, access in operation.operands], [Access(operation.target, operation.shift)]
    if isinstance(operation, Product):
        return _of_product(operation)
    if isinstance(operation, Rows):
        return [Access(place) for place in operation.operands], [Access(operation.target)]
    if isinstance(operation, Mask):
        return [], [Access(operation.target)]
    if isinstance(operation, Bias):
        return [Access(Place(f"g{operation.group}", 0, 0))], []
    if isinstance(operation, Loss):
        read = (operation.result, operation.logits)
        return [Access(place) for place in read if place is not None], [Access(operation.target or operation.result)]
    return ([Access(operation.source)] if isinstance(operation, Columns) else []), []


def _of_product(product: Product) -> tuple[list[Access], list[Access]]:
    reads, writes = [], []
    for tap in range(product.taps):
        later = tap * product.dilation
        moved = later if product.kind != "backward" else 0
        reads.append(Access(product.source.place, product.source.shift + moved))
        if product.target is not None:
            writes.append(Access(product.target, product.shift + (later if product.kind == "backward" else 0)))
    if product.kind == "weight":
        reads.append(Access(Place(f"g{product.group}", 0, 0)))
    return reads, writes


class Names:
    """The names of places in the workspace and among the parameters."""

    def __init__(self, places: Places) -> None:
        self.places, self.plan = places, places.plan
        self._names = [node.name for node in places.plan.graph.nodes]

    # Rows of the workspace -------------------------------------------------------------------------------------------

    def rows(self, stream: Stream, wide: int, meant: Meant | None, *, loop: bool, written: bool = False) -> Name:
        """The name of rows of ``wide`` elements, which may belong to several buffers side by side."""
        found, offset = [], stream.offset
        while wide > 0:
            begins = self._buffers_at(offset)
            if not begins:
                return Name(f"work[{stream.offset}]")
            known = meant.buffer(offset, written=written) if meant is not None else None
            chosen = [known] if known in begins else begins
            stride = self._stride(chosen[0]) or wide
            part = min(wide, stride - (offset - self._start(chosen[0])) % stride)
            found.append([self._row(buffer, offset, part, loop) for buffer in chosen])
            offset, wide = offset + part, wide - part
            if wide < self.places.vector:  # the last vector reaches behind a row whose columns are no whole vectors
                break
        nodes = dict.fromkeys(node for names in found for name in names for node in name.nodes)
        return Name(" and ".join(" or ".join(name.text for name in names) for names in found), tuple(nodes))

    def buffer(self, offset: int) -> Name:
        """The name of the buffers that have rows at a place, without a step."""
        found = self._buffers_at(offset)
        names = [self._whole(buffer) for buffer in found]
        nodes = dict.fromkeys(node for name in names for node in name.nodes)
        return Name(" or ".join(name.text for name in names) or f"work[{offset}]", tuple(nodes))

    def _whole(self, buffer: str) -> Name:
        """The name of all of a buffer."""
        if buffer.startswith("room"):
            return Name(buffer)
        nodes, _ = self._owners(buffer, 0, self._stride(buffer) or 1)
        return Name(f"{self._joined(nodes)}.{buffer.partition('_')[2] or buffer}", tuple(nodes))

    def _row(self, buffer: str, offset: int, wide: int, loop: bool) -> Name:
        """The name of rows, or a part of them, of one buffer."""
        if buffer.startswith("room"):
            return Name(buffer)
        place, step = offset - self._start(buffer), self._step(buffer)
        shift, column = divmod(place, step) if step else (0, place)
        end = column + wide
        nodes, whole = self._owners(buffer, column, end)
        when = f"t{shift:+}" if shift else "t" if loop else ":"
        inside = [when] if whole else [when, f"{column}:{end}"]
        index = "" if inside == [":"] or is_vector(buffer) else f"[{', '.join(inside)}]"
        return Name(f"{self._joined(nodes)}.{buffer.partition('_')[2] or buffer}{index}", tuple(nodes))

    def _owners(self, buffer: str, column: int, end: int) -> tuple[list[int], bool]:
        """The nodes of some columns of a buffer, and whether these are all of the nodes' columns."""
        vector, graph = self.places.vector, self.plan.graph
        if buffer[0] in "sg":
            members = self.plan.groups[int(buffer[1:])].members
            ends = [(m.node, m.column, m.column + padded(m.width, vector)) for m in members]
            inside = [(node, first, last) for node, first, last in ends if first < end and column < last]
            whole = bool(inside) and (inside[0][1], inside[-1][2]) == (column, padded(end, vector))
            return [node for node, _, _ in inside], whole
        if buffer in ("x", "y"):
            node = graph.input if buffer == "x" else graph.output
        else:
            node = int(buffer[1:].partition("_")[0])
        width = graph.nodes[node].width
        one = buffer[0] in "mh" and self._stride(buffer) == vector  # one number of each row
        return [node], column == 0 and (one or padded(end, vector) == padded(width, vector))

    def _joined(self, nodes: Sequence[int]) -> str:
        names = ",".join(self._names[node] for node in nodes)
        return f"({names})" if len(nodes) > 1 else names

    def _start(self, buffer: str) -> int:
        return self.places.start(buffer)

    def _stride(self, buffer: str) -> int:
        return 0 if is_vector(buffer) or buffer.startswith("room") else self.places.stride(buffer)

    def _step(self, buffer: str) -> int:
        return self.places.lanes * self._stride(buffer)

    def _buffers_at(self, offset: int) -> list[str]:
        """The buffers that have rows at a place."""
        return [name for name, first, last in self._ranges if first <= offset < last]

    @cached_property
    def _ranges(self) -> list[tuple[str, int, int]]:
        """The first element of each buffer, and the one behind its last."""
        return [*map(self._range, self.plan.buffers), *self._extra_ranges()]

    def _range(self, buffer: Buffer) -> tuple[str, int, int]:
        start, step = self._start(buffer.name), self._step(buffer.name)
        before = buffer.depth if buffer.rows == "slots" else 0
        steps = 1 if buffer.rows == "step" else self.places.capacity
        return buffer.name, start - before * step, start + steps * step

    def _extra_ranges(self) -> Iterator[tuple[str, int, int]]:
        for (name, start), (_, end) in pairwise(self.places.extra.items()):
            yield name, start, end

    # Parameters ------------------------------------------------------------------------------------------------------

    def weights(self, offset: int, beside: Name | None = None) -> Name:
        """The name of the parameters that begin at a place. beside: a name that
        tells whose they are, if it is of the same nodes."""
        found = self._weights.get(offset)
        return Name(f"weights[{offset}]") if found is None else self._told(found, beside)

    def transposed(self, offset: int, beside: Name | None = None) -> Name:
        """The name of the transposed weights that begin at a place."""
        found = self._transposed.get(offset)
        return Name(f"transposed[{offset}]") if found is None else self._told(found, beside, "transposed ")

    def node(self, index: int) -> Name:
        """The name of a node by its number."""
        return Name(self._names[index], (index,))

    def _told(self, found: _Parameters, beside: Name | None, how: str = "") -> Name:
        whose = "" if beside is not None and beside.nodes == found.nodes else f" of {self._joined(found.nodes)}"
        return Name(f"{how}{found.what}{whose}{found.source}", found.nodes)

    @cached_property
    def _weights(self) -> dict[int, _Parameters]:
        layout, found = self.places.kernel.layout, {}
        for group in self.plan.groups:
            for number, part in enumerate(group.parts):
                for tap in range(part.taps):
                    place = layout.part(group, number) + tap * part.width * group.columns
                    found[place] = self._part(group, number, tap)
            found[layout.bias(group)] = _Parameters("biases", tuple(member.node for member in group.members))
        for vector in self.plan.vectors:
            found[layout.vector(vector.name)] = _Parameters(vector.name.partition("_")[2], (vector.node,))
        return found

    @cached_property
    def _transposed(self) -> dict[int, _Parameters]:
        layout, found = self.places.kernel.layout, {}
        for (index, number), start in layout.transposed.items():
            group = self.plan.groups[index]
            part = group.parts[number]
            each = padded(part.width, self.places.vector) * group.columns
            for tap in range(part.taps):
                found[start + tap * each] = self._part(group, number, tap)
        return found

    def _part(self, group: Group, number: int, tap: int) -> _Parameters:
        """The weights of a tap of a part of a group."""
        part = group.parts[number]
        shift = part.shift + tap * part.dilation
        source = self._names[part.node] + (f"[t{shift:+}]" if shift else "")
        return _Parameters("weights", tuple(member.node for member in group.members), f" from {source}")
