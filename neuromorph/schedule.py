"""Graph to plan: what runs once a window, what runs in the time loop, and where every number lives.

A plan is a list of segments. A *window* segment runs over all samples × lanes of a window at once; a *loop* segment runs
step by step, because a link back in time needs it. Inside a segment stand operations over named buffers:

- ``Product``: a matrix product of sibling layers, forward, back to the incoming vector, or for the weight gradient;
- ``Block``: element-by-element statements (``Map``), fused so that values pass in registers;
- ``Rows``: softmax forward or backward over rows longer than a vector, and ``Loss``.

The passes, in order: ``segments_of`` (where a loop is needed), ``sibling_groups`` (layers that read one vector),
``_Forward`` and ``_Backward`` (operations in order), ``fuse`` (maps to blocks), ``drop_dead_stores``, ``buffers_of``.
Names: ``v3`` value of node 3, ``s0`` pre-activations of group 0, ``d3`` gradient of node 3, ``g0`` gradient of the
pre-activations of group 0, ``c3`` gradient carried back through time to node 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from .graph import Graph, Node

EXTERNAL = {"x", "y"}  # the caller's arrays of inputs and, in prediction, of results: rows without padding
WINDOW = -1  # the domain of operations that run over a whole window at once; loops count from 0


def padded(width: int, lanes: int) -> int:
    """``width`` rounded up to whole vectors."""
    return -(-width // lanes) * lanes


# What a plan is made of ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Columns of a buffer that hold one vector a row."""

    buffer: str
    column: int
    width: int

    def overlaps(self, other: Place, lanes: int) -> bool:
        """Whether the two share columns, padding included."""
        return (
            self.buffer == other.buffer
            and self.column < other.column + padded(other.width, lanes)
            and other.column < self.column + padded(self.width, lanes)
        )


@dataclass(frozen=True)
class Access:
    """A read of a place: in this step (shift 0) or the one before (-1); components from ``limit`` on read as zero."""

    place: Place
    shift: int = 0
    limit: int | None = None


@dataclass(frozen=True)
class Map:
    """One element-by-element statement: target = expression(operands), added to what is there if ``accumulate``."""

    target: Place
    expression: str
    operands: tuple[tuple[str, Access], ...]
    width: int
    note: str
    let: tuple[tuple[str, str], ...] = ()
    accumulate: bool = False
    exact: bool = False  # write only the target's own components, for neighbours stand in its padding
    keep: int | None = None  # components from here on are the operand ``rest`` unchanged
    store: bool = True


@dataclass(frozen=True)
class Block:
    """Maps of one padded width, done row by row, vector by vector, with values passing in registers."""

    maps: tuple[Map, ...]


@dataclass(frozen=True)
class Rows:
    """Softmax of rows ("softmax": source to target) or its gradient ("softmax_gradient": y and g to target)."""

    kind: str
    target: Place
    operands: tuple[Place, ...]
    accumulate: bool
    note: str


@dataclass(frozen=True)
class Loss:
    """The loss of every row and its gradient, stored to ``target`` (None where only the value is wanted)."""

    result: Place
    logits: Place | None
    target: Place | None
    note: str


@dataclass(frozen=True)
class Product:
    """A matrix product of a group's part. kind: "forward" (left X, out pre-activations), "backward" (left gradient of
    the pre-activations, out gradient of X), "weight" (left X, right gradient of the pre-activations)."""

    kind: str
    group: int
    part: int
    source: Access
    target: Place | None
    start: str
    note: str


@dataclass(frozen=True)
class Bias:
    """The bias gradient of a group: the column sums of the gradient of its pre-activations."""

    group: int
    note: str


Operation = Map | Block | Rows | Loss | Product | Bias


@dataclass(frozen=True)
class Segment:
    """Operations that run together, over the window at once (WINDOW) or step by step in the loop of that number."""

    domain: int
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Part:
    """Some rows of a group's weight: those that one node's value is multiplied with."""

    node: int
    shift: int
    width: int
    first_row: int


@dataclass(frozen=True)
class Member:
    """One layer of a group and where its columns begin."""

    node: int
    column: int
    width: int


@dataclass(frozen=True)
class Group:
    """Sibling layers: they read the same vector, so they are one product with their columns side by side."""

    index: int
    domain: int
    parts: tuple[Part, ...]
    members: tuple[Member, ...]
    columns: int  # padded, of all members together

    @property
    def fan_in(self) -> int:
        """Rows of the weight."""
        return sum(part.width for part in self.parts)


@dataclass(frozen=True)
class Buffer:
    """A block of the workspace. rows: "window" (steps × lanes), "slots" (one step more: the first holds the state that
    the window starts from) or "step" (lanes)."""

    name: str
    stride: int
    rows: str


@dataclass(frozen=True)
class Plan:
    """Everything that the code generator needs to know."""

    graph: Graph
    lanes: int
    groups: tuple[Group, ...]
    forward: tuple[Segment, ...]
    backward: tuple[Segment, ...]
    buffers: tuple[Buffer, ...]
    state: tuple[tuple[int, str], ...]  # (node read back in time, its buffer)
    turned: tuple[tuple[int, int], ...]  # (group, part) whose transposed weights the backward pass reads
    output: Place
    carries: tuple[str, ...] = ()
    strides: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def has_loop(self) -> bool:
        """Whether anything has to run step by step."""
        return any(segment.domain != WINDOW for segment in self.forward)


# Where time needs a loop ---------------------------------------------------------------------------------------------


def _inputs_of(graph: Graph, node: Node) -> Iterator[tuple[int, bool]]:
    """The computing nodes a node reads, and whether from the step before."""
    if node.source is not None:
        yield graph.resolve(node.source), False
    if node.other is not None:
        yield graph.resolve(node.other), node.delayed


def _computing(graph: Graph) -> list[int]:
    """The live nodes that compute something, in an order in which one step can be evaluated."""
    return [index for index in graph.order if graph.nodes[index].kind != "split"]


def _components(nodes: list[int], edges: dict[int, list[int]]) -> list[list[int]]:
    """Strongly connected components (Tarjan, iterative), each after those it reads."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for root in nodes:
        if root in number:
            continue
        work = [(root, iter(edges[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            for reached in following:
                if reached not in number:
                    number[reached] = low[reached] = len(number)
                    stack.append(reached)
                    on_stack.add(reached)
                    work.append((reached, iter(edges[reached])))
                    break
                if reached in on_stack:
                    low[node] = min(low[node], number[reached])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    found.append(component)
    return found


def domains_of(graph: Graph) -> dict[int, int]:
    """For each computing node the loop it belongs to, or WINDOW."""
    nodes = _computing(graph)
    reads = {index: list(_inputs_of(graph, graph.nodes[index])) for index in nodes}
    components = _components(nodes, {index: [other for other, _ in reads[index]] for index in nodes})
    domains: dict[int, int] = {}
    loops = 0
    for component in components:
        inside = set(component)
        looped = any(other in inside and late for index in component for other, late in reads[index])
        domains.update(dict.fromkeys(component, loops if looped else WINDOW))
        loops += looped
    return domains


def segments_of(graph: Graph) -> list[tuple[int, list[int]]]:
    """Runs of nodes of one domain, each after all it reads; nodes of a loop stand together.

    A window node goes into the earliest run in which all it reads is done; runs of loops keep their own order.
    """
    domains = domains_of(graph)
    position = {index: place for place, index in enumerate(_computing(graph))}
    level: dict[int, int] = {}  # window nodes: even; loop number k of its chain: odd
    loop_level: dict[int, int] = {}
    loop_nodes: dict[int, list[int]] = {}
    for index in position:
        if domains[index] != WINDOW:
            loop_nodes.setdefault(domains[index], []).append(index)
    reads = {index: [other for other, _ in _inputs_of(graph, graph.nodes[index])] for index in position}
    pending = sorted(position, key=position.__getitem__)
    while pending:
        waiting = []
        for index in pending:
            if index in level:
                continue
            domain = domains[index]
            mates = [index] if domain == WINDOW else loop_nodes[domain]
            inside = set(mates)
            needs = {other for mate in mates for other in reads[mate]} - inside
            if not needs <= level.keys():
                waiting.append(index)
                continue
            before = max((level[other] for other in needs), default=0)
            if domain == WINDOW:
                level[index] = before + before % 2
            else:
                loop_level[domain] = before + 1 - before % 2 if before % 2 == 0 else before + 2
                level.update(dict.fromkeys(mates, loop_level[domain]))
        assert len(waiting) < len(pending), "the graph of one step has a cycle"
        pending = waiting
    return _runs(domains, level, position)


def _runs(domains: dict[int, int], level: dict[int, int], position: dict[int, int]) -> list[tuple[int, list[int]]]:
    """Nodes by level; loops of one level one after the other."""
    runs: dict[tuple[int, int], list[int]] = {}
    for index in sorted(position, key=position.__getitem__):
        runs.setdefault((level[index], domains[index]), []).append(index)
    return [(domain, runs[level_, domain]) for level_, domain in sorted(runs)]


# Layers that read one vector -----------------------------------------------------------------------------------------


def virtual_concatenations(graph: Graph) -> set[int]:
    """Concatenations that only layers (and other such concatenations) read in the same step: never built in memory."""
    readers: dict[int, list[tuple[int, bool]]] = {}
    for index in _computing(graph):
        for other, late in _inputs_of(graph, graph.nodes[index]):
            readers.setdefault(other, []).append((index, late))
    virtual: set[int] = set()
    for index in reversed(_computing(graph)):
        node = graph.nodes[index]
        if node.merge is None or not node.merge.concatenates:
            continue
        if all(
            not late and (graph.nodes[reader].kind == "layer" or reader in virtual)
            for reader, late in readers.get(index, [])
        ):
            virtual.add(index)
    return virtual


def parts_of(graph: Graph, virtual: set[int], source: int) -> tuple[Part, ...]:
    """What a layer's incoming vector is put together from."""
    parts: list[Part] = []
    row = 0
    stack = [(source, 0)]
    while stack:
        index, shift = stack.pop()
        node = graph.nodes[index]
        if index in virtual:
            assert node.source is not None
            assert node.other is not None
            stack.append((graph.resolve(node.other), -1 if node.delayed else 0))
            stack.append((graph.resolve(node.source), 0))
        else:
            parts.append(Part(index, shift, node.width, row))
            row += node.width
    return tuple(parts)


def sibling_groups(graph: Graph, lanes: int, runs: list[tuple[int, list[int]]], virtual: set[int]) -> tuple[Group, ...]:
    """Layers of one run that read the same vector, as groups."""
    found: dict[tuple[int, tuple[Part, ...]], list[int]] = {}
    domain_of_run: dict[int, int] = {}
    for number, (domain, nodes) in enumerate(runs):
        domain_of_run[number] = domain
        for index in nodes:
            node = graph.nodes[index]
            if node.kind == "layer":
                assert node.source is not None
                parts = parts_of(graph, virtual, graph.resolve(node.source))
                found.setdefault((number, parts), []).append(index)
    groups = []
    for (number, parts), layers in found.items():
        members, column = [], 0
        for index in layers:
            members.append(Member(index, column, graph.nodes[index].width))
            column += padded(graph.nodes[index].width, lanes)
        groups.append(Group(len(groups), domain_of_run[number], parts, tuple(members), column))
    return tuple(groups)


# Operations in order -------------------------------------------------------------------------------------------------


def _names_in(*texts: str) -> set[str]:
    """The identifiers that occur in expressions."""
    return set(re.findall(r"[a-z_]+[a-z0-9_]*", " ".join(texts)))


@dataclass
class _Builder:
    """What both passes know of a model."""

    graph: Graph
    lanes: int
    runs: list[tuple[int, list[int]]]
    virtual: set[int]
    groups: tuple[Group, ...]
    training: bool

    def __post_init__(self) -> None:
        self.domain = {index: domain for domain, nodes in self.runs for index in nodes}
        self.run_of = {index: number for number, (_, nodes) in enumerate(self.runs) for index in nodes}
        self.group_of = {m.node: (g, m) for g in self.groups for m in g.members}
        late = {self.graph.resolve(node.other) for node in self._merges() if node.delayed and node.other is not None}
        self.late = {index for index in late if index not in self.virtual}

    def _merges(self) -> Iterator[Node]:
        return (self.graph.nodes[i] for i in _computing(self.graph) if self.graph.nodes[i].kind == "merge")

    def couples(self, node: Node) -> bool:
        return node.function is not None and node.function.couples

    def wide(self, node: Node) -> bool:
        """Whether a softmax is longer than one vector."""
        return self.couples(node) and node.width > self.lanes

    def logits(self) -> bool:
        """Whether the loss is computed from the output's pre-activation."""
        function = self.graph.nodes[self.graph.output].function
        return function is not None and any(form.activation == function.name for form in self.graph.loss.logits)

    def keeps_input(self, node: Node) -> bool:
        """Whether the activation's derivative needs the pre-activation."""
        function = node.function
        assert function is not None
        if node.index == self.graph.output and self.training and self.logits():
            return True
        texts = [function.derivative, *(text for _, text in function.let)]
        return self.training and "x" in _names_in(*texts)

    def place(self, index: int) -> Place:
        """Where a node's value lives."""
        node = self.graph.nodes[index]
        if node.kind == "input":
            return Place("x", 0, node.width)
        in_place = index in self.group_of and index not in self.late and not self.keeps_input(node)
        return self.pre_activation(index) if in_place else Place(f"v{index}", 0, node.width)

    def pre_activation(self, index: int) -> Place:
        group, member = self.group_of[index]
        return Place(f"s{group.index}", member.column, member.width)

    def source(self, node: Node) -> int:
        assert node.source is not None
        return self.graph.resolve(node.source)

    def other(self, node: Node) -> int:
        assert node.other is not None
        return self.graph.resolve(node.other)

    def access(self, index: int, *, late: bool = False, limit: int | None = None) -> Access:
        return Access(self.place(index), -1 if late else 0, limit)


class _Forward(_Builder):
    """Forward operations, run by run."""

    def segments(self) -> list[Segment]:
        out = []
        for number, (domain, nodes) in enumerate(self.runs):
            groups = self.groups_of(number)
            hoisted = [op for g in groups for op in self.products(g, loop=False)] if domain != WINDOW else []
            if hoisted:
                out.append(Segment(WINDOW, tuple(hoisted)))
            operations = self.schedule(nodes, groups, domain)
            if not self.training and self.graph.output in nodes:
                operations.append(self.result())
            out.append(Segment(domain, tuple(operations)))
        if self.training:
            out.append(Segment(WINDOW, (self.loss(),)))
        return out

    def result(self) -> Map:
        """In prediction: the output's values go to the caller's array."""
        node = self.graph.nodes[self.graph.output]
        target = Place("y", 0, node.width)
        return Map(target, "x", (("x", self.access(node.index)),), node.width, f"result: {node.name}", exact=True)

    def loss(self) -> Loss:
        output = self.graph.output
        logits = self.pre_activation(output) if self.logits() else None
        return Loss(self.place(output), logits, self.loss_target(), f"loss: {self.graph.loss.name}")

    def loss_target(self) -> Place:
        """Where the loss writes its gradient: behind the activation where a logits form serves, else before it."""
        output = self.graph.output
        return self.pre_gradient(output) if self.logits() else self.gradient(output)

    def gradient(self, index: int) -> Place:
        return Place(f"d{index}", 0, self.graph.nodes[index].width)

    def pre_gradient(self, index: int) -> Place:
        group, member = self.group_of[index]
        return Place(f"g{group.index}", member.column, member.width)

    def groups_of(self, run: int) -> list[Group]:
        return [g for g in self.groups if self.run_of[g.members[0].node] == run]

    def in_loop(self, group: Group, part: Part) -> bool:
        """Whether a part changes from step to step inside the group's own loop."""
        return group.domain != WINDOW and self.domain[part.node] == group.domain

    def products(self, group: Group, *, loop: bool) -> list[Product]:
        """The products of the parts that are (not) known before the loop; the first starts from the bias."""
        chosen = [n for n, p in enumerate(group.parts) if self.in_loop(group, p) == loop]
        begun = loop and len(chosen) < len(group.parts)
        names = ", ".join(self.graph.nodes[m.node].name for m in group.members)
        out = []
        for count, number in enumerate(chosen):
            part = group.parts[number]
            start = "add" if begun or count else "bias"
            target = Place(f"s{group.index}", 0, group.columns)
            note = f"{names} from {self.graph.nodes[part.node].name}" + (" a step before" if part.shift else "")
            out.append(Product("forward", group.index, number, self.access(part.node, late=bool(part.shift)), target, start, note))
        return out

    def schedule(self, nodes: list[int], groups: list[Group], domain: int) -> list[Operation]:
        """List scheduling: element-by-element work as long as some is ready, then the products that are ready."""
        inside = {index for index in nodes if self.graph.nodes[index].kind != "input"}
        needs: dict[tuple[str, int], set[int]] = {("group", g.index): self.waits(g, inside) for g in groups}
        for index in inside - self.group_of.keys():
            reads = _inputs_of(self.graph, self.graph.nodes[index])
            needs["node", index] = {other for other, late in reads if not late and other in inside}
        users: dict[int, list[tuple[str, int]]] = {}
        for task, waits in needs.items():
            for index in waits:
                users.setdefault(index, []).append(task)
        ready = sorted(task[1] for task, waits in needs.items() if task[0] == "node" and not waits)
        able = sorted(task[1] for task, waits in needs.items() if task[0] == "group" and not waits)
        out: list[Operation] = []
        width = 0
        while ready or able:
            if not ready:
                for group in (self.groups[number] for number in able):
                    out.extend(self.products(group, loop=domain != WINDOW))
                    ready.extend(m.node for m in group.members)
                able.clear()
                ready.sort()
            index = next((i for i in ready if self.block_width(i) == width), ready[0])
            ready.remove(index)
            width = self.block_width(index)
            out.extend(self.statements(index))
            for task in users.get(index, []):
                needs[task].discard(index)
                if not needs[task]:
                    (ready if task[0] == "node" else able).append(task[1])
        return out

    def waits(self, group: Group, inside: set[int]) -> set[int]:
        """The nodes of the same step that a group's product has to wait for."""
        return {part.node for part in group.parts if not part.shift and part.node in inside}

    def block_width(self, index: int) -> int:
        return padded(self.graph.nodes[index].width, self.lanes)

    def statements(self, index: int) -> list[Operation]:
        """The element-by-element work of one node."""
        node = self.graph.nodes[index]
        if node.kind == "merge":
            return self.merge(node)
        source = self.pre_activation(index) if node.kind == "layer" else self.place(self.source(node))
        return self.activation(node, source)

    def activation(self, node: Node, source: Place) -> list[Operation]:
        function, target = node.function, self.place(node.index)
        assert function is not None
        note = _describe(node)
        if self.wide(node):
            return [Rows("softmax", target, (source,), False, note)]
        if function.couples:
            return [Map(target, f"softmax(x, {node.width})", (("x", Access(source)),), node.width, note)]
        text = _with_parameter(function.forward, node.parameter)
        return [Map(target, text, (("x", Access(source)),), node.width, note)]

    def merge(self, node: Node) -> list[Operation]:
        assert node.merge is not None
        left, right = self.source(node), self.other(node)
        if node.merge.concatenates:
            return [] if node.index in self.virtual else self.concatenate(node, left, right)
        wide = self.graph.nodes[right].width
        limit = None if wide == node.width else min(wide, node.width)
        operands = [("x", self.access(left)), ("o", self.access(right, late=node.delayed, limit=limit))]
        keep = wide if wide < node.width else None
        return [Map(self.place(node.index), node.merge.forward, tuple(operands), node.width, _describe(node), keep=keep)]

    def concatenate(self, node: Node, left: int, right: int) -> list[Operation]:
        place, first = self.place(node.index), self.graph.nodes[left].width
        second = self.graph.nodes[right].width
        note = _describe(node)
        return [
            Map(Place(place.buffer, 0, first), "x", (("x", self.access(left)),), first, note, exact=True),
            Map(
                Place(place.buffer, first, second), "x", (("x", self.access(right, late=node.delayed)),), second, note,
                exact=True,
            ),
        ]  # fmt: skip


def _with_parameter(text: str, parameter: float | None) -> str:
    """An expression with its parameter p as a literal number."""
    if parameter is None:
        return text
    return re.sub(r"\bp\b", _literal(parameter), text)


def _literal(number: float) -> str:
    """A finite number as source text."""
    assert number == number and abs(number) != float("inf"), "numbers in generated source are finite"
    text = repr(float(number))
    return f"({text})" if number < 0 else text


def _describe(node: Node) -> str:
    """One line about a node, for a comment."""
    what = node.function.name if node.function is not None else node.merge.name if node.merge is not None else ""
    return f"{node.name}: {node.kind} {node.width} {what}".rstrip()


class _Backward(_Forward):
    """Backward operations, in the reverse order of the forward ones; and the weight gradients at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.written: set[Place] = set()
        self.carries: list[str] = []
        self.turned: list[tuple[int, int]] = []
        self.learns = self.trainable()

    def trainable(self) -> set[int]:
        """Nodes whose value depends on a parameter, through time too."""
        learns: set[int] = set()
        nodes = _computing(self.graph)
        grew = True
        while grew:
            grew = False
            for index in nodes:
                node = self.graph.nodes[index]
                if index not in learns and (
                    node.kind == "layer" or any(other in learns for other, _ in _inputs_of(self.graph, node))
                ):
                    learns.add(index)
                    grew = True
        return learns

    def carry(self, index: int) -> Place:
        """Where the gradient that flows to a node of the step before is kept."""
        name = f"c{index}"
        if name not in self.carries:
            self.carries.append(name)
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
        """One run backwards: nodes in reverse, each group's product once all its members are done."""
        order = [index for index in nodes if self.graph.nodes[index].kind != "input"]
        if domain != WINDOW:
            for index in nodes:  # what is carried back in time has an address before it is first read
                if index in self.late and index in self.learns:
                    self.carry(index)
        out: list[Operation] = []
        hoisted: list[Operation] = []
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
                    hoisted.extend(self.group_back(group, loop=False) if domain != WINDOW else [])
        segments = [Segment(domain, tuple(out))]
        return [*segments, Segment(WINDOW, tuple(hoisted))] if hoisted else segments

    def node_back(self, index: int) -> list[Operation]:
        node = self.graph.nodes[index]
        out: list[Operation] = []
        grad = self.gradient(index)
        if index in self.late:
            adds = self.adds(grad)
            out.append(
                Map(grad, "g", (("g", Access(self.carry(index))),), node.width, f"{node.name} from the next step", accumulate=adds)
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
        note = f"back through {_describe(node)}"
        if not has_gradient:
            if target in self.written:
                return []
            self.adds(target)
            return [Map(target, "zero", (), node.width, note)]
        adds = self.adds(target)
        return [self.activation_gradient(node, target, adds, note)]

    def activation_gradient(self, node: Node, target: Place, adds: bool, note: str) -> Operation:
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
        let = tuple((name, _with_parameter(text, node.parameter)) for name, text in function.let)
        text = _with_parameter(function.derivative, node.parameter)
        used = _names_in(text, *(t for _, t in let))
        chosen = tuple((name, access) for name, access in operands.items() if name == "g" or name in used)
        whole = "g" if text.strip() == "1.0" else f"g * ({text})"
        return Map(target, whole, chosen, node.width, note, let=let if used & {n for n, _ in let} else (), accumulate=adds)

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
        text = node.merge.d_x if left else node.merge.d_o
        used = _names_in(text) | {"g"}
        target = self.gradient(source) if left else self.destination(other, node.delayed)
        return Map(
            target,
            text,
            tuple((name, access) for name, access in operands if name in used),
            own if left else wide,
            f"back through {_describe(node)} to {self.graph.nodes[source if left else other].name}",
            accumulate=self.adds(target),
            keep=wide if left and wide < own else None,
        )

    def concatenate_back(self, node: Node, left: int, right: int) -> list[Operation]:
        out: list[Operation] = []
        buffer, column = self.gradient(node.index).buffer, 0
        for index, late in ((left, False), (right, node.delayed)):
            width = self.graph.nodes[index].width
            if index in self.learns:
                target = self.destination(index, late)
                adds = self.adds(target)
                read = Access(Place(buffer, column, width), 0, width)
                out.append(Map(target, "g", (("g", read),), width, f"back through {_describe(node)}", accumulate=adds))
            column += width
        return out

    def group_back(self, group: Group, *, loop: bool) -> list[Operation]:
        """The gradients of the vectors that a group read."""
        out: list[Operation] = []
        for number, part in enumerate(group.parts):
            if part.node not in self.learns or self.in_loop(group, part) != loop:
                continue
            target = self.destination(part.node, bool(part.shift))
            start = "add" if self.adds(target) else "zero"
            self.turned.append((group.index, number))
            source = Access(Place(f"g{group.index}", 0, group.columns))
            note = f"back to {self.graph.nodes[part.node].name}"
            out.append(Product("backward", group.index, number, source, target, start, note))
        return out

    def weight_gradients(self, group: Group) -> list[Operation]:
        names = ", ".join(self.graph.nodes[m.node].name for m in group.members)
        out: list[Operation] = []
        for number, part in enumerate(group.parts):
            source = self.access(part.node, late=bool(part.shift))
            out.append(Product("weight", group.index, number, source, None, "keep", f"weights of {names}"))
        out.append(Bias(group.index, f"biases of {names}"))
        return out


# Fusion --------------------------------------------------------------------------------------------------------------


def _clashes(block: list[Map], new: Map, lanes: int) -> bool:
    """Whether a map touches, under other columns, what the block writes, or writes what the block touches."""
    mine = [new.target, *(access.place for _, access in new.operands)]
    for old in block:
        theirs = [old.target, *(access.place for _, access in old.operands)]
        if any(p != old.target and p.overlaps(old.target, lanes) for p in mine):
            return True
        if any(p != new.target and p.overlaps(new.target, lanes) for p in theirs):
            return True
    return False


def fuse(operations: Iterable[Operation], lanes: int) -> tuple[Operation, ...]:
    """Consecutive maps of one padded width as blocks."""
    out: list[Operation] = []
    block: list[Map] = []

    def close() -> None:
        if block:
            out.append(Block(tuple(block)))
            block.clear()

    for operation in operations:
        if not isinstance(operation, Map):
            close()
            out.append(operation)
            continue
        if block and (padded(block[-1].width, lanes) != padded(operation.width, lanes) or _clashes(block, operation, lanes)):
            close()
        block.append(operation)
    close()
    return tuple(out)


def _reads(operation: Operation) -> list[Access]:
    """What an operation reads, the target of an accumulation included."""
    if isinstance(operation, Block):
        return [access for m in operation.maps for access in _map_reads(m)]
    if isinstance(operation, Rows):
        return [Access(place) for place in (*operation.operands, *([operation.target] if operation.accumulate else []))]
    if isinstance(operation, Loss):
        return [Access(place) for place in (operation.result, operation.logits) if place is not None]
    if isinstance(operation, Product):
        own = [Access(operation.target)] if operation.target is not None and operation.start == "add" else []
        weight = [Access(Place(f"g{operation.group}", 0, 1 << 60))] if operation.kind == "weight" else []
        return [operation.source, *own, *weight]
    if isinstance(operation, Bias):
        return [Access(Place(f"g{operation.group}", 0, 1 << 60))]
    return _map_reads(operation)


def _map_reads(statement: Map) -> list[Access]:
    return [access for _, access in statement.operands] + ([Access(statement.target)] if statement.accumulate else [])


def drop_dead_stores(segments: list[Segment], lanes: int, kept: set[str]) -> list[Segment]:
    """Marks the maps whose result only later maps of their own block read: it never leaves the registers."""
    everywhere = [(id(op), access) for s in segments for op in s.operations for access in _reads(op)]
    by_buffer: dict[str, list[tuple[int, Access]]] = {}
    for owner, access in everywhere:
        by_buffer.setdefault(access.place.buffer, []).append((owner, access))

    def needed(block: Block, number: int) -> bool:
        target = block.maps[number].target
        if target.buffer in kept:
            return True
        for owner, access in by_buffer.get(target.buffer, []):
            if access.place.overlaps(target, lanes) and (owner != id(block) or access.shift or access.place != target):
                return True
        return False

    out = []
    for segment in segments:
        operations: list[Operation] = []
        for operation in segment.operations:
            if isinstance(operation, Block):
                stores = [needed(operation, n) for n in range(len(operation.maps))]
                last = {m.target: n for n, m in enumerate(operation.maps)}
                operation = Block(
                    tuple(replace(m, store=stores[n] and last[m.target] == n) for n, m in enumerate(operation.maps))
                )
            operations.append(operation)
        out.append(Segment(segment.domain, tuple(operations)))
    return out


# Buffers -------------------------------------------------------------------------------------------------------------


def _writes(operation: Operation) -> list[Place]:
    if isinstance(operation, Block):
        return [m.target for m in operation.maps if m.store]
    target = getattr(operation, "target", None)
    return [target] if target is not None else []


def buffers_of(segments: list[Segment], strides: dict[str, int], slots: set[str], carries: set[str]) -> tuple[Buffer, ...]:
    """The buffers that something is stored in, with as many rows as their use needs."""
    used: dict[str, set[int]] = {}
    for number, segment in enumerate(segments):
        for operation in segment.operations:
            for place in [*_writes(operation), *(access.place for access in _reads(operation))]:
                used.setdefault(place.buffer, set()).add(number)
    stored = {place.buffer for s in segments for op in s.operations for place in _writes(op)} | slots | carries
    out = []
    for name in sorted(stored - EXTERNAL, key=lambda n: (n[0], int(n[1:]))):
        where = used.get(name, set())
        if name in slots:
            rows = "slots"
        elif name in carries or (len(where) == 1 and segments[min(where)].domain != WINDOW):
            rows = "step"
        else:
            rows = "window"
        out.append(Buffer(name, strides[name], rows))
    return tuple(out)


def _stride(width: int, lanes: int, size: int) -> int:
    """A row's stride: whole vectors, and never a multiple of a kibibyte, where cache sets would collide."""
    stride = padded(width, lanes)
    return stride + lanes if stride * size % 1024 == 0 else stride


def strides_of(builder: _Builder, size: int) -> dict[str, int]:
    """The row stride of every buffer a plan may name."""
    strides = {"x": builder.graph.nodes[builder.graph.input].width}
    for group in builder.groups:
        strides[f"s{group.index}"] = strides[f"g{group.index}"] = _stride(group.columns, builder.lanes, size)
    for node in builder.graph.nodes:
        for letter in "vdc":
            strides[f"{letter}{node.index}"] = _stride(node.width, builder.lanes, size)
    strides["y"] = builder.graph.nodes[builder.graph.output].width
    return strides


# The whole -----------------------------------------------------------------------------------------------------------


def plan(graph: Graph, lanes: int, *, training: bool, size: int = 4) -> Plan:
    """The plan of a graph for vectors of ``lanes`` elements of ``size`` bytes; with or without the backward pass."""
    runs = segments_of(graph)
    virtual = virtual_concatenations(graph)
    groups = sibling_groups(graph, lanes, runs, virtual)
    builder = _Backward(graph, lanes, runs, virtual, groups, training)
    forward = [s for s in builder.segments() if s.operations]
    backward = [s for s in builder.back() if s.operations] if training else []
    fused = [Segment(s.domain, fuse(s.operations, lanes)) for s in [*forward, *backward]]
    slots = {builder.place(index).buffer for index in builder.late}
    final = drop_dead_stores(fused, lanes, slots | set(builder.carries) | EXTERNAL)
    strides = strides_of(builder, size)
    return Plan(
        graph,
        lanes,
        groups,
        tuple(final[: len(forward)]),
        tuple(final[len(forward) :]),
        buffers_of(final, strides, slots, set(builder.carries)),
        tuple((index, builder.place(index).buffer) for index in sorted(builder.late)),
        tuple(dict.fromkeys(builder.turned)),
        builder.place(graph.output),
        tuple(builder.carries),
        strides,
    )
