"""Makes the operations of the backward pass, in reverse order, with the weight gradients at the end."""

from __future__ import annotations

from ..graph import Node
from ..graph.recurrence import WINDOW
from ..host.cached import cached_property
from .forward import Forward, gives_from_zeros, names_in, note_of, used, with_parameter
from .plan import Access, Bias, Columns, Group, Map, Note, Operation, Place, Product, Reduce, Rows, Segment, padded


class Backward(Forward):
    """Makes the backward operations of a graph. Weight gradients come at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.written: set[Place] = set()
        self.carries: dict[str, None] = {}  # the names of buffers, in the order of first use
        self.transposed: list[tuple[int, int]] = []
        self.learns = self.trainable()
        self.pushed = self._pushed()
        self.written.update(self.gradient(index) for index in self.pushed)

    def _pushed(self) -> dict[int, int]:
        """The nodes to whose gradient later steps add, and how many steps later at most.

        Nodes that a loop reads one step back are left out: the loop carries their gradients.
        """
        found: dict[int, int] = {}
        for index in self.graph.computing if self.training else ():
            for read, steps in self.graph.inputs[index]:
                if steps and read in self.learns and not self.is_carried(read, steps, index):
                    found[read] = max(steps, found.get(read, 0))
        return found

    def is_carried(self, read: int, steps: int, reader: int) -> bool:
        """Whether a loop carries a gradient to the step before: the node ``read`` and its reader, one step later, are
        both in the loop."""
        domain = self.domain[reader]
        conv = self.graph.nodes[reader].taps > 1
        return steps == 1 and domain != WINDOW and domain == self.domain[read] and not conv

    def trainable(self) -> set[int]:
        """The nodes whose value depends on a parameter that learns, also through links in time."""
        readers: dict[int, list[int]] = {}
        for index in self.graph.computing:
            for other, _ in self.graph.inputs[index]:
                readers.setdefault(other, []).append(index)
        live = set(self.graph.computing)
        found = list(dict.fromkeys(array.node for array in self.graph.arrays if array.learns and array.node in live))
        learns = set(found)
        while found:
            fresh = set(readers.get(found.pop(), [])) - learns
            learns |= fresh
            found.extend(fresh)
        return learns

    def carry(self, index: int) -> Place:
        """The place for the gradient that is carried to a node of the step before."""
        name = f"c{index}"
        self.carries.setdefault(name)
        return Place(name, 0, self.graph.nodes[index].width)

    def destination(self, index: int, steps: int, reader: int) -> tuple[Place, int]:
        """The place for the gradient of a value that was read ``steps`` steps back, and the shift of its rows."""
        if steps and self.is_carried(index, steps, reader):
            return self.carry(index), 0
        return self.gradient(index), -steps

    @cached_property
    def carried(self) -> set[int]:
        """The nodes whose gradient a loop carries from step to step."""
        return {
            read for index in self.graph.computing for read, steps in self.graph.inputs[index]
            if steps and self.is_carried(read, steps, index)
        }  # fmt: skip

    def adds(self, place: Place) -> bool:
        """Whether a place holds a part of its gradient already, so that more must be added. Marks it as holding one."""
        known = place in self.written
        self.written.add(place)
        return known

    def back(self) -> list[Segment]:
        """The backward segments. The loss has already written the gradient of the output."""
        self.written.add(self.loss_target())
        out: list[Segment] = []
        for number, (domain, nodes) in reversed(list(enumerate(self.runs))):
            out.extend(self.back_run(domain, nodes, self.groups_of(number)))
        weights = [operation for group in self.groups if group.learns for operation in self.weight_gradients(group)]
        out.append(Segment(WINDOW, (*weights, *self.vector_gradients())))
        return out

    def back_run(self, domain: int, nodes: list[int], groups: list[Group]) -> list[Segment]:
        """The segments of one run backwards: nodes in reverse, and each group's product when all its members are done.

        Gradients that go to the step before are made last, when those from the step after have been read. Products that
        are moved out of the loop come after it, because the loop adds to the same gradients.
        """
        order = [index for index in nodes if self.graph.nodes[index].kind != "input"]
        if domain != WINDOW:
            for index in nodes:  # a carried gradient needs a buffer before it is first read
                if index in self.carried and index in self.learns:
                    self.carry(index)
        out: list[Operation] = []
        done: list[Group] = []
        open_groups = {g.index: len(g.members) for g in groups}
        for index in reversed(order):
            if index not in self.learns:
                continue
            out.extend(self.node_back(index))
            if index in self.group_of:
                group, _ = self.group_of[index]
                open_groups[group.index] -= 1
                if not open_groups[group.index]:
                    out.extend(self.group_back(group, loop=domain != WINDOW))
                    done.append(group)
        if domain == WINDOW:
            return [Segment(domain, tuple(out))]
        out.extend(self.late_back(order))
        for group in groups:
            out.extend(self.group_back(group, loop=True, late=True))
        hoisted = [operation for group in done for operation in self.group_back(group, loop=False)]
        segments = [Segment(domain, tuple(out))]
        return [*segments, Segment(WINDOW, tuple(hoisted))] if hoisted else segments

    def node_back(self, index: int) -> list[Operation]:
        node = self.graph.nodes[index]
        out: list[Operation] = []
        grad = self.gradient(index)
        if index in self.carried:
            adds, text = self.adds(grad), f"{node.name} from the next step"
            out.append(
                Map(
                    grad,
                    "g",
                    (("g", Access(self.carry(index))),),
                    node.width,
                    Note(index, text, text),
                    accumulate=adds,
                )
            )
        has_gradient = grad in self.written
        if node.kind == "elementwise":
            return out + (self.elementwise_back(node) if has_gradient else [])
        if node.kind == "merge":
            return out + (self.merge_back(node) if has_gradient else [])
        return out + self.activation_back(node, has_gradient)

    def activation_back(self, node: Node, has_gradient: bool) -> list[Operation]:
        """The operations from the gradient of an activation's result to the gradient of its operand."""
        index = node.index
        layer = node.kind == "layer"
        if not layer and self.source(node) not in self.learns:
            return []
        target = self.pre_gradient(index) if layer else self.gradient(self.source(node))
        note = note_of(node, "back through ")
        if not has_gradient:
            if target in self.written:
                return []
            self.adds(target)
            return [Map(target, "zero", (), node.width, note)]
        adds = self.adds(target)
        return [self.activation_gradient(node, target, adds, note)]

    def activation_gradient(self, node: Node, target: Place, adds: bool, note: Note) -> Operation:
        function = node.function
        assert function is not None
        grad, result = self.gradient(node.index), self.place(node.index)
        if node.elementwise is not None:
            known = {"g": Access(grad), **self.parameter_operands(node)}
            text = node.elementwise.derivative
            return Map(target, text, used(known, text), node.width, note, accumulate=adds)
        if self.wide(node):
            return Rows("softmax_gradient", target, (result, grad), adds, note)
        operands = {"g": Access(grad), "y": Access(result)}
        if function.couples:
            return Map(target, "y * (g - total(y * g))", tuple(operands.items()), node.width, note, accumulate=adds)
        source = self.pre_activation(node.index) if node.kind == "layer" else self.place(self.source(node))
        operands["x"] = Access(source)
        let = tuple((name, with_parameter(text, node.parameter)) for name, text in function.let)
        text = with_parameter(function.derivative, node.parameter)
        named = names_in(text, *(t for _, t in let))
        chosen = tuple((name, access) for name, access in operands.items() if name == "g" or name in named)
        whole = "g" if text.strip() == "1.0" else f"g * ({text})"
        return Map(
            target,
            whole,
            chosen,
            node.width,
            note,
            let=let if named & {n for n, _ in let} else (),
            accumulate=adds,
        )

    def elementwise_back(self, node: Node) -> list[Operation]:
        """The operations from the gradient of an elementwise layer's values to that of its source.

        They also make the terms whose sums are the gradients of the layer's parameters.
        """
        layer, note = node.elementwise, note_of(node, "back through ")
        assert layer is not None
        known = {"g": Access(self.gradient(node.index)), **self.parameter_operands(node)}
        if node.source is not None:
            known["x"] = self.access(self.source(node))
        known |= self.statistic_operands(node, backward=True)
        if layer.drops:
            known["k"] = Access(self.mask(node))
        target = self.gradient(self.source(node)) if node.source is not None else None
        wanted = target is not None and self.source(node) in self.learns
        out: list[Operation] = [self.statistic(node, one, known) for one in layer.backward_statistics if wanted]
        for role in layer.roles:
            if role.gradient not in ("", "g") and node.index not in self.graph.frozen:
                place = Place(f"e{node.index}", 0, node.width)
                rows = note_of(node, f"gradient of the {role.name} of ")
                out.append(Map(place, role.gradient, used(known, role.gradient), node.width, rows, zero=node.width))
        if wanted:
            assert target is not None
            text = with_parameter(layer.derivative, node.parameter)
            adds = self.adds(target)
            out.append(Map(target, text, used(known, text), node.width, note, accumulate=adds, zero=node.width))
        return out

    def vector_gradients(self) -> list[Operation]:
        """The operations that make the gradients of parameter vectors: sums over all rows."""
        out: list[Operation] = []
        for vector in self.vectors:
            node = self.graph.nodes[vector.node]
            assert node.elementwise is not None
            role = next(one for one in node.elementwise.roles if one.name == vector.role)
            if vector.learns:
                rows = self.gradient(node.index) if role.gradient == "g" else Place(f"e{node.index}", 0, node.width)
                out.append(Columns(vector.name, rows, f"{vector.role} of {node.name}"))
        return out

    def merge_back(self, node: Node) -> list[Operation]:
        """The operations for the gradients of a merge's operands, without one that is made late."""
        if node.index in self.virtual:
            return []
        sides = (True,) if self.is_late(node) else (True, False)
        return [operation for left in sides for operation in self.operand_back(node, left=left)]

    def is_late(self, node: Node) -> bool:
        """Whether the gradient of a merge's second operand must be made late.

        It is carried to the step before, and the operand stands before the merge in the run. The backward pass reads
        the gradient from the step after at the operand, after it has passed the merge. Until then it must be kept.
        """
        if node.merge is None or not node.steps:
            return False
        other = self.other(node)
        return self.rank[other] < self.rank[node.index] and self.is_carried(other, node.steps, node.index)

    @cached_property
    def rank(self) -> dict[int, int]:
        """The position of each node in the order of all runs."""
        return {index: rank for rank, index in enumerate(index for _, nodes in self.runs for index in nodes)}

    def late_back(self, nodes: list[int]) -> list[Operation]:
        """The operations for those gradients of merges that must be made late."""
        merges = (self.graph.nodes[index] for index in reversed(nodes) if index not in self.virtual)
        late = [node for node in merges if self.gradient(node.index) in self.written and self.is_late(node)]
        return [operation for node in late for operation in self.operand_back(node, left=False)]

    def operand_back(self, node: Node, *, left: bool) -> list[Operation]:
        """The operation for the gradient of one of a merge's operands; none if no parameter depends on it."""
        merge = node.merge
        assert merge is not None
        if (left and not merge.reads_x) or (self.source(node) if left else self.other(node)) not in self.learns:
            return []
        if not merge.reads_x:
            return [self.taken_back(node)]
        return [self.piece_back(node, left=left) if merge.concatenates else self.merge_gradient(node, left=left)]

    def taken_back(self, node: Node) -> Operation:
        """The operation for the gradient of the value that a merge takes from another node."""
        assert node.merge is not None
        other = self.other(node)
        target, shift = self.destination(other, node.steps, node.index)
        operands = (("g", Access(self.gradient(node.index))),)
        note, adds = note_of(node, "back through "), self.adds(target)
        return Map(target, node.merge.d_o, operands, node.width, note, accumulate=adds, shift=shift)

    def merge_gradient(self, node: Node, *, left: bool) -> Operation:
        """The operation for the gradient of one of a merge's operands, in the operand's own width."""
        assert node.merge is not None
        if node.merge.other_width != "any":
            return self.number_gradient(node, left=left)
        source, other = self.source(node), self.other(node)
        own, wide = node.width, self.graph.nodes[other].width
        common = None if own == wide else min(own, wide)
        limit = None if left else common
        operands = (
            ("g", Access(self.gradient(node.index), 0, limit)),
            ("x", self.access(source, limit=limit)),
            ("o", self.access(other, steps=node.steps, limit=common)),
        )
        target_width = own if left else wide
        shared = min(own, wide)
        lifts = padded(target_width, self.lanes) > shared and gives_from_zeros(node.merge.gradient, 3)
        text = node.merge.d_x if left else node.merge.d_o
        named = names_in(text) | {"g"}
        target, shift = (self.gradient(source), 0) if left else self.destination(other, node.steps, node.index)
        return Map(
            target,
            text,
            tuple((name, access) for name, access in operands if name in named),
            target_width,
            note_of(node, "back through ", f" to {self.graph.nodes[source if left else other].name}"),
            accumulate=self.adds(target),
            keep=shared if (left and wide < own) or lifts else None,
            rest="g",
            shift=shift,
        )

    def number_gradient(self, node: Node, *, left: bool) -> Operation:
        """The operation for the gradient of a merge's operand, if an operand or the result is a single number."""
        merge, source, other = node.merge, self.source(node), self.other(node)
        assert merge is not None
        width, one = self.graph.nodes[source].width, merge.result == "one"
        known = {
            "g": Access(self.gradient(node.index), broadcast=one),
            "x": self.access(source, limit=width),
            "o": self.access(other, steps=node.steps, limit=width if one else None)._replace(broadcast=not one),
        }
        text = merge.d_x if left else merge.d_o
        target, shift = (self.gradient(source), 0) if left else self.destination(other, node.steps, node.index)
        reached = self.graph.nodes[source if left else other]
        note, adds = note_of(node, "back through ", f" to {reached.name}"), self.adds(target)
        if left or one:
            return Map(target, text, used(known, text), width, note, accumulate=adds, shift=shift)
        return Reduce(target, text, used(known, text), width, note, accumulate=adds, shift=shift)

    def piece_back(self, node: Node, *, left: bool) -> Operation:
        """The operation for the gradient of one of the two pieces of a concatenation."""
        index, steps = (self.source(node), 0) if left else (self.other(node), node.steps)
        width, column = self.graph.nodes[index].width, 0 if left else self.graph.nodes[self.source(node)].width
        (target, shift), note = self.destination(index, steps, node.index), note_of(node, "back through ")
        read = Access(Place(self.gradient(node.index).buffer, column, width), 0, width)
        return Map(target, "g", (("g", read),), width, note, accumulate=self.adds(target), shift=shift)

    def group_back(self, group: Group, *, loop: bool, late: bool = False) -> list[Operation]:
        """The products for the gradients of the vectors that a group reads.

        late: for those that are carried to the step before, else for all others.
        """
        out: list[Operation] = []
        for number, part in enumerate(group.parts):
            if part.node not in self.learns or self.in_loop(group, part) != loop:
                continue
            reader = group.members[0].node
            if (part.shift < 0 and self.is_carried(part.node, -part.shift, reader)) != late:
                continue
            target, shift = self.destination(part.node, -part.shift, reader)
            start = "add" if self.adds(target) else "zero"
            self.transposed.append((group.index, number))
            source = Access(Place(f"g{group.index}", 0, group.columns))
            note = f"back to {self.graph.nodes[part.node].name}"
            out.append(
                Product(
                    "backward", group.index, number, source, target, start, note,
                    shift=shift, taps=part.taps, dilation=part.dilation,
                )
            )  # fmt: skip
        return out

    def weight_gradients(self, group: Group) -> list[Operation]:
        names = self.names_of(group)
        out: list[Operation] = []
        for number, part in enumerate(group.parts):
            source, note = self.access(part.node, steps=-part.shift), f"weights of {names}"
            out.append(
                Product(
                    "weight", group.index, number, source, None, "keep", note, taps=part.taps, dilation=part.dilation
                )
            )
        out.append(Bias(group.index, f"biases of {names}"))
        return out
