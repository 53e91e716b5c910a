"""The backward pass: operations in reverse order, and the weight gradients at the end."""

from __future__ import annotations

from ..graph import Node
from ..graph.recurrence import WINDOW, computing, inputs_of
from .forward import Forward, gives_from_zeros, names_in, note_of, with_parameter
from .plan import Access, Bias, Group, Map, Note, Operation, Place, Product, Rows, Segment, padded


class Backward(Forward):
    """Backward operations, in the reverse order of the forward ones; and the weight gradients at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.written: set[Place] = set()
        self.carries: dict[str, None] = {}  # in the order in which they were first asked for
        self.turned: list[tuple[int, int]] = []
        self.learns = self.trainable()

    def trainable(self) -> set[int]:
        """Nodes whose value depends on a parameter, through time too."""
        readers: dict[int, list[int]] = {}
        for index in computing(self.graph):
            for other, _ in inputs_of(self.graph, self.graph.nodes[index]):
                readers.setdefault(other, []).append(index)
        found = [index for index in computing(self.graph) if self.graph.nodes[index].kind == "layer"]
        learns = set(found)
        while found:
            fresh = set(readers.get(found.pop(), [])) - learns
            learns |= fresh
            found.extend(fresh)
        return learns

    def carry(self, index: int) -> Place:
        """Where the gradient that flows to a node of the step before is kept."""
        name = f"c{index}"
        self.carries.setdefault(name)
        return Place(name, 0, self.graph.nodes[index].width)

    def destination(self, index: int, late: bool) -> Place:
        return self.carry(index) if late else self.gradient(index)

    def adds(self, place: Place) -> bool:
        """Whether a place already holds part of its gradient; marks it as begun."""
        known = place in self.written
        self.written.add(place)
        return known

    def back(self) -> list[Segment]:
        """The backward segments; the loss has begun the gradient of the output."""
        self.written.add(self.loss_target())
        out: list[Segment] = []
        for number, (domain, nodes) in reversed(list(enumerate(self.runs))):
            out.extend(self.back_run(domain, nodes, self.groups_of(number)))
        out.append(Segment(WINDOW, tuple(op for g in self.groups for op in self.weight_gradients(g))))
        return out

    def back_run(self, domain: int, nodes: list[int], groups: list[Group]) -> list[Segment]:
        """One run backwards: nodes in reverse, each group's product once all its members are done.

        What goes to the step before is made last, when what came from the step after is read. Products that are
        taken out of the loop come behind all that the loop adds to the same gradients, in the plan as when it runs.
        """
        order = [index for index in nodes if self.graph.nodes[index].kind != "input"]
        if domain != WINDOW:
            for index in nodes:  # what is carried back in time has an address before it is first read
                if index in self.late and index in self.learns:
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
        for group in groups:
            out.extend(self.group_back(group, loop=True, late=True))
        hoisted = [operation for group in done for operation in self.group_back(group, loop=False)]
        segments = [Segment(domain, tuple(out))]
        return [*segments, Segment(WINDOW, tuple(hoisted))] if hoisted else segments

    def node_back(self, index: int) -> list[Operation]:
        node = self.graph.nodes[index]
        out: list[Operation] = []
        grad = self.gradient(index)
        if index in self.late:
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
        if node.kind == "merge":
            return out + (self.merge_back(node) if has_gradient else [])
        return out + self.activation_back(node, has_gradient)

    def activation_back(self, node: Node, has_gradient: bool) -> list[Operation]:
        """From the gradient of the result to the gradient of what the activation read."""
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
        if self.wide(node):
            return Rows("softmax_gradient", target, (result, grad), adds, note)
        operands = {"g": Access(grad), "y": Access(result)}
        if function.couples:
            return Map(target, "y * (g - total(y * g))", tuple(operands.items()), node.width, note, accumulate=adds)
        source = self.pre_activation(node.index) if node.kind == "layer" else self.place(self.source(node))
        operands["x"] = Access(source)
        let = tuple((name, with_parameter(text, node.parameter)) for name, text in function.let)
        text = with_parameter(function.derivative, node.parameter)
        used = names_in(text, *(t for _, t in let))
        chosen = tuple((name, access) for name, access in operands.items() if name == "g" or name in used)
        whole = "g" if text.strip() == "1.0" else f"g * ({text})"
        return Map(
            target,
            whole,
            chosen,
            node.width,
            note,
            let=let if used & {n for n, _ in let} else (),
            accumulate=adds,
        )

    def merge_back(self, node: Node) -> list[Operation]:
        assert node.merge is not None
        left, right = self.source(node), self.other(node)
        if node.merge.concatenates:
            return [] if node.index in self.virtual else self.concatenate_back(node, left, right)
        out: list[Operation] = []
        if left in self.learns:
            out.append(self.merge_gradient(node, left=True))
        if right in self.learns:
            out.append(self.merge_gradient(node, left=False))
        return out

    def merge_gradient(self, node: Node, *, left: bool) -> Map:
        """The gradient of one of a merge's operands, in that operand's own width."""
        assert node.merge is not None
        source, other = self.source(node), self.other(node)
        own, wide = node.width, self.graph.nodes[other].width
        common = None if own == wide else min(own, wide)
        limit = None if left else common
        operands = (
            ("g", Access(self.gradient(node.index), 0, limit)),
            ("x", self.access(source, limit=limit)),
            ("o", self.access(other, late=node.delayed, limit=common)),
        )
        target_width = own if left else wide
        shared = min(own, wide)
        lifts = padded(target_width, self.lanes) > shared and gives_from_zeros(node.merge.gradient, 3)
        text = node.merge.d_x if left else node.merge.d_o
        used = names_in(text) | {"g"}
        target = self.gradient(source) if left else self.destination(other, node.delayed)
        return Map(
            target,
            text,
            tuple((name, access) for name, access in operands if name in used),
            target_width,
            note_of(node, "back through ", f" to {self.graph.nodes[source if left else other].name}"),
            accumulate=self.adds(target),
            keep=shared if (left and wide < own) or lifts else None,
        )

    def concatenate_back(self, node: Node, left: int, right: int) -> list[Operation]:
        out: list[Operation] = []
        buffer, column = self.gradient(node.index).buffer, 0
        for index, late in ((left, False), (right, node.delayed)):
            width = self.graph.nodes[index].width
            if index in self.learns:
                target, note = self.destination(index, late), note_of(node, "back through ")
                adds = self.adds(target)
                read = Access(Place(buffer, column, width), 0, width)
                out.append(Map(target, "g", (("g", read),), width, note, accumulate=adds))
            column += width
        return out

    def group_back(self, group: Group, *, loop: bool, late: bool = False) -> list[Operation]:
        """The gradients of the vectors that a group read, in this step or (late) in the one before."""
        out: list[Operation] = []
        for number, part in enumerate(group.parts):
            if part.node not in self.learns or self.in_loop(group, part) != loop or bool(part.shift) != late:
                continue
            target = self.destination(part.node, late)
            start = "add" if self.adds(target) else "zero"
            self.turned.append((group.index, number))
            source = Access(Place(f"g{group.index}", 0, group.columns))
            note = f"back to {self.graph.nodes[part.node].name}"
            out.append(Product("backward", group.index, number, source, target, start, note))
        return out

    def weight_gradients(self, group: Group) -> list[Operation]:
        names = self.names_of(group)
        out: list[Operation] = []
        for number, part in enumerate(group.parts):
            source = self.access(part.node, late=bool(part.shift))
            out.append(Product("weight", group.index, number, source, None, "keep", f"weights of {names}"))
        out.append(Bias(group.index, f"biases of {names}"))
        return out
