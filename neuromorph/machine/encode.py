"""Encodes a plan as a program: its operations, with the places of everything, as whole numbers.

A program is made for so many lanes and a capacity of so many steps, which say where buffers stand. It serves windows of
fewer steps too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ..abi.summation import DEEPEST, ranges_of
from ..functions.dropout import threshold
from ..optimizers import UPDATES
from ..schedule import (
    WINDOW,
    Access,
    Bias,
    ByRows,
    Columns,
    KernelPlan,
    Loss,
    Map,
    Mask,
    Operation,
    Product,
    Reduce,
    Rows,
    Segment,
    padded,
)
from . import instructions as i
from .places import Places, Shares, Words, shares_of
from .program import Program, loss_forms
from .templates import map_of, sum_of


def encode(kernel: KernelPlan, *, training: bool, capacity: int, lanes: int) -> Program:
    """The program of a kernel's training or prediction. Raises NotInMachineError where an operation has no
    instruction.

    Where threads that train would each take lanes or chunks of rows, so do the machine's members. If their numbers of
    lanes differ, there is a program for each number, the second one behind the first.
    """
    shares = shares_of(kernel, training=training, capacity=capacity, lanes=lanes)
    made = {
        count: _Encoder(kernel, training, shares.capacity, count, shares).program()
        for count in dict.fromkeys(shares.lanes)
    }
    places = dict(zip(made, accumulate((len(one.words) for one in made.values()), initial=0), strict=False))
    first = made[shares.lanes[0]]
    here = int(first.words[i.WORD["members"]]) + 1
    first.words[here : here + len(shares.lanes)] = [places[count] for count in shares.lanes]
    words = np.concatenate([one.words for one in made.values()])
    return Program(words, first.numbers, max(one.space for one in made.values()))


def space_of(kernel: KernelPlan, *, training: bool, capacity: int, lanes: int) -> int:
    """Elements of the workspace that the program of these arguments needs, of one for each member."""
    shares = shares_of(kernel, training=training, capacity=capacity, lanes=lanes)
    return Places(kernel, training, shares.capacity, max(shares.lanes)).elements


_ALL = [i.NO_LIMIT] * 2  # components that a map keeps, and that it writes


@dataclass
class _Last:
    """The map that was encoded last: its instruction's number, its statement, the numbers in its slots, where the
    instruction stands, the elements of its rows and its streams."""

    number: int
    statement: Map
    slots: tuple[float, ...]
    place: int
    wide: int
    streams: Words

    def end(self, words: Words) -> int:
        """Where the instruction ends."""
        return self.place + words[self.place + 1]


@dataclass
class _Encoder(Places):
    shares: Shares
    words: Words = field(default_factory=lambda: [0] * len(i.HEAD))
    numbers: list[float] = field(default_factory=list)
    rooms: int = 0
    last: _Last | None = None

    # The program -----------------------------------------------------------------------------------------------------

    def program(self) -> Program:
        head = self.head()
        if self.training:
            forward = [s for s in self.plan.forward if not any(isinstance(op, Loss) for op in s.operations)]
            head["forward"] = self.segments(forward)
            head["backward"] = self.segments(self.plan.backward[:-1])
            head["gradients"] = self.segments(self.plan.backward[-1:])
            head |= self.loss()
            head["transposes"] = self.transposes(once=False)
            head["transposed_once"] = self.transposes(once=True)
        else:
            head["forward"] = self.segments(self.plan.forward)
        head |= {"vectors": self.vectors(), "zeros": self.zeros(), "state": self.state()}
        head |= {"members": self.place_of_list((0,) for _ in self.shares.lanes), "sums": self.sums()}
        for name, value in head.items():
            self.words[i.WORD[name]] = value
        return Program(np.array(self.words, np.int64), np.array([*self.numbers, 0.0], np.float64), self.elements)

    def head(self) -> dict[str, int]:
        graph, layout = self.plan.graph, self.kernel.layout
        optimizer = self.kernel.options.optimizer
        update = UPDATES[optimizer]
        return {
            "lanes": self.lanes, "batch": self.shares.batch, "apart": self.shares.apart, "chunk": self.shares.chunk,
            "width": graph.nodes[graph.input].width, "wide": graph.nodes[graph.output].width,
            "x": self.extra["x"], "x_row": self.stride("x"), "y": self.extra["y"], "y_row": self.stride("y"),
            "size": layout.size, "learning": layout.learning_size, "optimizer": list(UPDATES).index(optimizer),
            "drops": int(self.kernel.training.drops), "drop_key": len(update.constants) + len(update.counts),
        }  # fmt: skip

    def place_of_list(self, entries: Iterable[Iterable[int]]) -> int:
        """A list in the program: the number of its entries, and their words; where it stands."""
        place, listed = len(self.words), [list(entry) for entry in entries]
        self.words.append(len(listed))
        for entry in listed:
            self.words.extend(entry)
        return place

    def segments(self, segments: Iterable[Segment]) -> int:
        """A list of segments: of each, whether it is a loop over steps, and where its instructions begin and end."""
        found = []
        for segment in segments:
            begin, self.last = len(self.words), None
            for operation in segment.operations:
                self.operation(operation, segment.domain)
            found.append((int(segment.domain != WINDOW), begin, len(self.words)))
        return self.place_of_list(found)

    def vectors(self) -> int:
        """Parameter vectors: where each stands among the weights and in the workspace, and its elements."""
        layout = self.kernel.layout
        return self.place_of_list(
            (layout.vector(v.name), self.extra[v.name], padded(v.width, self.vector)) for v in self.plan.vectors
        )

    def sums(self) -> int:
        """The ranges of parameters whose squares are added up on their own, by the threads that own them."""
        if not self.training:
            return self.place_of_list(())
        owned = self.kernel.ownership.ranges
        return self.place_of_list((int(not n), *one) for ranges in owned for n, one in enumerate(ranges))

    def zeros(self) -> int:
        """What is zero before the backward pass: where it begins, and its elements, so many and so many a step."""
        entries = [(self.start(name), self.step(name), 0) for name in self.plan.carries]
        for name in self.plan.cleared:
            depth, step = self.plan.buffers_by_name[name].depth, self.step(name)
            entries.append((self.start(name) - depth * step, depth * step, step))
        return self.place_of_list(entries)

    def state(self) -> int:
        """Values that are read back in time: where step 0 stands, elements of a step, and the steps that are kept."""
        entries = []
        for _, name in self.plan.state:
            entries.append((self.start(name), self.step(name), self.plan.buffers_by_name[name].depth))
        return self.place_of_list(entries)

    def transposes(self, *, once: bool) -> int:
        """Matrices to be transposed, after each update or once a call.

        Of each its rows, columns and panel (in vectors), where it stands, and the panel and the place of its transpose.
        """
        layout = self.kernel.layout
        entries: list[Iterable[int]] = []
        for (index, number), place in layout.transposed.items():
            if ((index, number) in self.plan.transposed_once) != once:
                continue
            group = self.plan.groups[index]
            part = group.parts[number]
            entries.extend(
                (
                    part.width, group.columns // self.vector, layout.panel(group),
                    layout.part(group, number) + tap * part.width * group.columns,
                    layout.transposed_panel(group, number),
                    place + tap * padded(part.width, self.vector) * group.columns,
                )
                for tap in range(part.taps)
            )  # fmt: skip
        return self.place_of_list(entries)

    def loss(self) -> dict[str, int]:
        """The words of the head that say how the loss is computed."""
        (operation,) = [op for s in self.plan.forward for op in s.operations if isinstance(op, Loss)]
        graph, function = self.plan.graph, self.plan.graph.nodes[self.plan.graph.output].function
        activation = function.name if operation.logits is not None and function is not None else None
        parameter = graph.loss_parameter
        found = {
            "loss": loss_forms().index((graph.loss.name, activation)), "mean": int(graph.loss.mean),
            "skips": int(self.kernel.options.skips), "units": int(operation.units is not None),
        }  # fmt: skip
        self.numbers.insert(0, 0.0 if parameter is None else parameter)
        if operation.units is not None:
            found |= {"unit_mean": self.extra[operation.units[0]], "unit_scale": self.extra[operation.units[1]]}
        for name, place in (("result", operation.result), ("logit", operation.logits), ("target", operation.target)):
            offset, _, row = self.stream(place or operation.result, 0, WINDOW)
            found |= {name: offset, f"{name}_row": row}
        return found

    # Operations ------------------------------------------------------------------------------------------------------

    def instruction(self, number: int, words: Iterable[int]) -> None:
        """One instruction: its number, its length and what it needs."""
        here = len(self.words)
        self.words += [number, 0, *words]
        self.words[here + 1] = len(self.words) - here

    def keep_numbers(self, numbers: Iterable[float]) -> int:
        """Numbers beside the program; where the first stands. The first of all is the loss's."""
        place = len(self.numbers) + int(self.training)
        self.numbers.extend(numbers)
        return place

    def operation(self, operation: Operation, domain: int) -> None:
        encoded = _ENCODED.get(type(operation))
        if encoded is None:
            raise TypeError(f"the machine has no instruction for {type(operation).__name__}")
        encoded(self, operation, domain)

    def room(self) -> int:
        """A room that the statement at hand does not use yet."""
        self.rooms += 1
        return self.extra[f"room{self.rooms - 1}"]

    def operand(self, access: Access, domain: int, width: int) -> Words:
        """A stream of what a statement reads. It is made in a room first if one number stands for a vector, or if only
        some components count."""
        place, shift, limit, broadcast = access
        stream = self.stream(place, shift, domain)
        if broadcast and place.width == self.vector:
            return [*stream, 0]
        if broadcast:
            room = self.room()
            self.instruction(i.SPREAD, [room, self.vector, *stream])
            return [room, 0, self.vector, 0]
        if limit is None or limit >= (wide := padded(width, self.vector)):
            return [*stream, 1]
        room = self.room()
        self.instruction(i.CUT, [room, wide, *stream, limit])
        return [room, 0, wide, 1]

    def operands(self, statement: Map | Reduce, variables: Iterable[str], domain: int) -> Words:
        """The streams of a statement's operands."""
        accesses, self.rooms = dict(statement.operands), 0
        return [word for name in variables for word in self.operand(accesses[name], domain, statement.width)]

    def map(self, statement: Map, domain: int) -> None:
        """An element-by-element statement: one instruction, or two where its value is stored in part."""
        if not statement.store:
            return
        template, variables, slots = map_of(statement.expression, statement.let)
        streams = self.operands(statement, variables, domain)
        wide, width, number = padded(statement.width, self.vector), statement.width, i.MAP + template
        target = self.stream(statement.target, statement.shift, domain)
        ragged = width < wide
        zero = statement.zero if statement.zero is not None and statement.zero < wide else i.NO_LIMIT
        exact = width if statement.exact and ragged else i.NO_LIMIT
        limits = [i.NO_LIMIT if statement.keep is None else statement.keep, zero]
        is_whole, adds = limits == _ALL, i.ADDS * statement.accumulate
        if exact == i.NO_LIMIT and (is_whole or self.is_in_place(statement)):
            if not (is_whole and self.widened(number, statement, slots, target, streams)):
                whole = [*target, 1, *streams]
                self.last = _Last(number, statement, slots, len(self.words), wide, whole) if is_whole else None
                self.map_words(number, slots, wide, adds if is_whole else i.CAREFUL, limits, whole)
            return
        room = [self.room(), 0, wide, 1]
        self.map_words(number, slots, wide, 0, _ALL, [*room, *streams])
        rest = room
        if statement.keep is not None:
            rest = self.operand(dict(statement.operands)[statement.rest], domain, width)
        self.instruction(i.FINISH, [wide, room[0], wide, *target, adds, limits[0], zero, exact, *rest])

    def is_in_place(self, statement: Map) -> bool:
        """Whether what a map keeps is what its target holds, to which it does not add."""
        if statement.accumulate or statement.keep is None:
            return not statement.accumulate
        rest = dict(statement.operands)[statement.rest]
        is_target = (rest.place, rest.shift) == (statement.target, statement.shift)
        return is_target and rest.limit is None and not rest.broadcast

    def map_words(
        self, number: int, slots: Sequence[float], wide: int, flags: int, limits: list[int], streams: Words
    ) -> None:
        """The instruction of a map, whose first stream is its target."""
        flags, words = self.in_vectors(wide, flags, streams)
        self.instruction(number, [wide // self.vector, self.keep_numbers(slots), flags, *limits, *words])

    def in_vectors(self, wide: int, flags: int, streams: Words) -> tuple[int, Words]:
        """The flags of a map, and its streams: elements from vector to vector, and those that the end of a row adds.

        Rows of one vector each, or without gaps, are one row.
        """
        if wide == self.vector:
            words = streams.copy()
            words[3::4] = [0] * (len(streams) // 4)
            return flags + i.ONE_ROW, words
        rows, moves = streams[2::4], streams[3::4]
        no_gaps = {*rows} == {wide} and all(moves) and flags != i.CAREFUL
        words = []
        for offset, step, row, moving in zip(streams[::4], streams[1::4], rows, moves, strict=True):
            words += [offset, step, moving * self.vector, 0 if no_gaps else row - moving * wide]
        return flags + i.ONE_ROW * no_gaps, words

    def widened(self, number: int, statement: Map, slots: tuple[float, ...], target: Words, streams: Words) -> bool:
        """Whether the instruction before, of the same template for the columns just before these, does this one too.

        It becomes that much wider. No statement may read what the other one writes, except in place.
        """
        last = self.last
        if last is None or last.end(self.words) != len(self.words) or last.slots != slots:
            return False
        if (number, statement.accumulate) != (last.number, last.statement.accumulate):
            return False
        wide = last.wide
        before, read = last.streams[:4], last.streams[4:]
        if target != [before[0] + wide, *before[1:3]] or not all(streams[3::4]):
            return False
        if any(x != y + (0 if k % 4 else wide) for k, (x, y) in enumerate(zip(streams, read, strict=True))):
            return False
        written = {last.statement.target.buffer, statement.target.buffer}
        for own in (last.statement, statement):
            if any(
                a.place.buffer in written and (a.place, a.shift) != (own.target, own.shift) for _, a in own.operands
            ):
                return False
        last.wide = wide + padded(statement.width, self.vector)
        here = last.place
        flags, words = self.in_vectors(last.wide, i.ADDS * statement.accumulate, last.streams)
        self.words[here + 2], self.words[here + 4] = last.wide // self.vector, flags
        self.words[here + 7 : last.end(self.words)] = words
        last.statement = statement
        return True

    def reduce(self, statement: Reduce, domain: int) -> None:
        number, variables, slots = sum_of(statement.expression, statement.finish)
        streams = self.operands(statement, variables, domain)
        words = [padded(statement.width, self.vector), self.keep_numbers([1.0 / statement.width, *slots])]
        words += self.stream(statement.target, statement.shift, domain)
        words += [int(statement.accumulate), statement.width, int(statement.spread), *streams]
        self.instruction(i.SUM + number, words)

    def product(self, product: Product, domain: int) -> None:
        """One instruction for each tap."""
        for tap in range(product.taps):
            getattr(self, f"{product.kind}_product")(product, domain, tap)

    def order(self, domain: int, columns: int, inner: int) -> int:
        """The order of a product's sums. In loops of training, the rows are literal unless members' lanes differ."""
        if self.training and domain != WINDOW and len(set(self.shares.lanes)) == 1:
            return i.ONE_CHAIN if inner <= DEEPEST else i.CHAINED
        ranges = ranges_of(columns, inner)
        return ranges if ranges > 1 else i.ONE_CHAIN

    def forward_product(self, product: Product, domain: int, tap: int) -> None:
        group, layout = self.plan.groups[product.group], self.kernel.layout
        part = group.parts[product.part]
        assert product.target is not None
        start = i.START_BIAS if product.start == "bias" and not tap else i.START_ADD
        shift = product.source.shift + tap * product.dilation
        self.instruction(i.FORWARD, [
            *self.stream(product.source.place, shift, domain),
            layout.part(group, product.part) + tap * part.width * group.columns,
            *self.stream(product.target, 0, domain),
            part.width, group.columns // self.vector, layout.panel(group), start, layout.bias(group),
            self.order(domain, group.columns // self.vector, part.width),
        ])  # fmt: skip

    def backward_product(self, product: Product, domain: int, tap: int) -> None:
        group, layout = self.plan.groups[product.group], self.kernel.layout
        assert product.target is not None
        width = padded(group.parts[product.part].width, self.vector)
        self.instruction(i.BACKWARD, [
            *self.stream(product.source.place, product.source.shift, domain),
            layout.transposed[product.group, product.part] + tap * width * group.columns,
            *self.stream(product.target, product.shift + tap * product.dilation, domain),
            group.columns, width // self.vector, layout.transposed_panel(group, product.part),
            i.START_ADD if product.start == "add" else i.START_ZERO, 0,
            self.order(domain, width // self.vector, group.columns),
        ])  # fmt: skip

    def weight_product(self, product: Product, domain: int, tap: int) -> None:
        group, layout = self.plan.groups[product.group], self.kernel.layout
        part, source = group.parts[product.part], product.source
        offset, _, row = self.stream(source.place, source.shift + tap * product.dilation, domain)
        right = f"g{group.index}"
        self.instruction(i.WEIGHT, [
            offset, row, self.start(right), self.stride(right),
            layout.part(group, product.part) + tap * part.width * group.columns,
            part.width, group.columns // self.vector, layout.panel(group),
        ])  # fmt: skip

    def rows(self, rows: Rows, domain: int) -> None:
        places = [word for place in (*rows.operands, rows.target) for word in self.stream(place, 0, domain)]
        if rows.kind == "softmax":
            self.instruction(i.SOFTMAX, [*places, rows.target.width])
        else:
            self.instruction(i.SOFTMAX_GRADIENT, [*places, rows.target.width, int(rows.accumulate)])

    def mask(self, mask: Mask, domain: int) -> None:
        offset, _, row = self.stream(mask.target, 0, domain)
        wide = padded(mask.target.width, self.vector)
        scale = self.keep_numbers([1.0 / (1.0 - mask.rate)])
        rows = [self.lanes, self.shares.apart]
        self.instruction(i.MASK, [offset, row, wide, mask.node, threshold(mask.rate), scale, *rows])

    def columns(self, operation: Bias | Columns, domain: int) -> None:
        if isinstance(operation, Bias):
            group = self.plan.groups[operation.group]
            name, place, columns = f"g{group.index}", self.kernel.layout.bias(group), group.columns
        else:
            name, place = operation.source.buffer, self.kernel.layout.vector(operation.vector)
            columns = padded(operation.source.width, self.vector)
        for begin, end in self.cuts(place, columns // self.vector):
            first = begin * self.vector
            self.instruction(i.COLUMNS, [self.start(name) + first, self.stride(name), place + first, end - begin])

    def cuts(self, place: int, vectors: int) -> list[tuple[int, int]]:
        """The ranges of columns that are summed on their own, by the threads that own them: each range begins anew with
        as many columns side by side as there may be, which decides the order of their sums."""
        if not isinstance(self.kernel.options.division, ByRows):
            return [(0, vectors)]
        bounds = self.kernel.ownership.cuts_by_place[place]
        return [(begin, end) for begin, end in pairwise(bounds) if begin < end]


_ENCODED: dict[type, Callable[[_Encoder, Any, int], None]] = {
    Map: _Encoder.map,
    Reduce: _Encoder.reduce,
    Product: _Encoder.product,
    Rows: _Encoder.rows,
    Mask: _Encoder.mask,
    Bias: _Encoder.columns,
    Columns: _Encoder.columns,
}
