"""Writes a program as lines for people to read: every instruction with its operands, sizes and places.

All that a line says is decoded from the program's words. The plan adds names only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..functions.expressions import Expression
from ..host.frozen import frozen
from ..optimizers import UPDATES
from ..schedule import KernelPlan, Loss, Segment
from . import instructions as i
from .decode import Decoded, Instruction, Piece, Stream, decode
from .names import Meant, Name, Names
from .places import Places, Shares, shares_of
from .program import Program, loss_forms

_NOTE = (
    "v is the value of a node, s the sums of a group of layers and then their values, d and g are gradients of both, c "
    "is a gradient carried back in time. [t-1] is the step before. @40+16t/8 is where rows stand: the first at element "
    "40, 16 elements further with each step, 8 from row to row; * says that one vector is for the whole row. The first "
    "place is the target's."
)


_Told = tuple[str, str, tuple[int, ...]]  # a line's text, its sizes and its nodes


@frozen
class Line:
    """A line of a listing. place: of the instruction's first word in the program, None for what is no instruction.

    operation: the machine's function. text: what it does. detail: sizes and places. nodes: those whose values,
    gradients or parameters it writes, or computes on the way.
    """

    place: int | None
    operation: str
    text: str
    detail: str
    nodes: tuple[int, ...] = ()


@frozen
class Section:
    """Lines that are done together. stage: "inputs", "forward", "loss", "backward", "weight gradient", "update", "time
    shift" or "results"."""

    stage: str
    title: str
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return "\n".join(_text_of(self))


@frozen
class Listing:
    """A program of training or of prediction. ``str`` of it is its text."""

    title: str
    sections: tuple[Section, ...]

    def __str__(self) -> str:
        return "\n".join((self.title, "", *map(str, self.sections)))


def _text_of(section: Section) -> Iterator[str]:
    yield section.title
    for line in section.lines:
        place = "" if line.place is None else str(line.place)
        yield f"{place:>6}  {line.operation:<11} {line.text}"
        yield f"{'':20}{line.detail}"
    yield ""


def note() -> str:
    """What the names and signs of listings mean."""
    return _NOTE


def listing(kernel: KernelPlan, program: Program, *, training: bool, capacity: int, lanes: int) -> Listing:
    """The listing of a program that ``encode`` made of these arguments."""
    shares = shares_of(kernel, training=training, capacity=capacity, lanes=lanes)
    places = Places(kernel, training, shares.capacity, shares.lanes[0])
    return _Lister(Names(places), program, decode(program, training=training), _divided(shares)).all()


def _divided(shares: Shares) -> str:
    """How members divide a window, for the title."""
    members = len(shares.lanes)
    if shares.chunk:
        return f", for rows of windows in chunks{f', by {members} members' * (members > 1)}"
    if members == 1:
        return ""
    return f", the first of {members} members, with {', '.join(map(str, shares.lanes))} lanes"


class _Lister:
    def __init__(self, names: Names, program: Program, decoded: Decoded, divided: str) -> None:
        self.names, self.program, self.divided = names, program, divided
        self.head, self.lists, self.pieces = decoded.head, decoded.lists, decoded.pieces
        self.places = names.places
        self.vector, self.plan = self.places.vector, self.places.plan
        self.meant: Meant | None = None

    def all(self) -> Listing:
        places, program = self.places, self.program
        what = "training" if places.training else "prediction"
        title = (
            f"Program of {what}: {_count(places.capacity, 'step')} of {_count(places.lanes, 'lane')}{self.divided}, "
            f"vectors of {self.vector}; {len(program.words):,} words, {_count(len(program.numbers), 'number')} beside "
            f"them, {program.space:,} elements of workspace"
        )
        return Listing(title, tuple(section for section in self.sections() if section.lines))

    def sections(self) -> Iterator[Section]:
        yield Section("inputs", "inputs of a window, in rows of whole vectors", tuple(self.inputs()))
        segments = iter(self.segments())
        for piece in self.pieces:
            if piece.part == "backward" and self.of_part("backward")[0] is piece:
                yield from self.between()
            yield self.section(piece, next(segments))
        if self.places.training:
            yield Section("update", "update", tuple(self.update()))
        else:
            yield Section("results", "results of a window", (self.results(),))
        yield Section("time shift", "time shift: the last steps become those before the next window", (*self.state(),))

    def of_part(self, part: str) -> list[Piece]:
        return [piece for piece in self.pieces if piece.part == part]

    def segments(self) -> list[Segment]:
        """The segments of the plan that the pieces are made of, in order."""
        forward = [s for s in self.plan.forward if not any(isinstance(op, Loss) for op in s.operations)]
        return [*forward, *self.plan.backward]

    def section(self, piece: Piece, segment: Segment) -> Section:
        self.meant = Meant(self.places, segment)
        stage = "weight gradient" if piece.part == "gradients" else piece.part
        part = "gradients of parameters" if piece.part == "gradients" else piece.part
        backwards = ", from the last step to the first" * (piece.part == "backward")
        how = f"step by step{backwards}" if piece.loop else "over the window"
        lines = []
        for instruction in piece.instructions:
            self.meant.go_to(instruction)
            lines.append(self.line(instruction))
        return Section(stage, f"{part}, {how}: {_count(self.count(piece.loop), 'row')}", tuple(lines))

    def count(self, loop: bool) -> int:
        """Rows of an instruction."""
        return self.places.lanes if loop else self.places.lanes * self.places.capacity

    # What is no instruction ------------------------------------------------------------------------------------------

    def inputs(self) -> Iterator[Line]:
        width, stream = self.head["width"], Stream(self.head["x"], 0, self.head["x_row"])
        name = self.rows(stream, width, loop=False)
        yield Line(None, "take", f"{name.text} = inputs", f"{_count(width, 'number')} a row; {_at(stream)}", name.nodes)
        for entry in self.lists["vectors"]:
            name = self.names.weights(entry["source"])
            detail = f"{_count(entry['count'], 'element')}; @{entry['target']} = weights[{entry['source']}]"
            yield Line(None, "vectors_in", f"{name.text}, where operations read it", detail, name.nodes)
        for entry in self.lists.get("transposed_once", ()):
            yield self.transpose(entry, ", once a call")

    def results(self) -> Line:
        width, stream = self.head["wide"], Stream(self.head["y"], 0, self.head["y_row"])
        name = self.rows(stream, width, loop=False)
        detail = f"{_count(width, 'number')} a row; {_at(stream)}"
        return Line(None, "give", f"results = {name.text}", detail, name.nodes)

    def between(self) -> Iterator[Section]:
        """What is done between the forward and the backward pass."""
        yield Section("loss", f"loss: {_count(self.count(False), 'row')}", (self.loss(),))
        yield Section("backward", "zeros before the backward pass", tuple(self.zeros()))

    def loss(self) -> Line:
        head = self.head
        name, activation = loss_forms()[head["loss"]]
        segment = next(s for s in self.plan.forward if any(isinstance(op, Loss) for op in s.operations))
        self.meant = Meant(self.places, segment)
        streams = {key: Stream(head[key], 0, head[f"{key}_row"]) for key in ("result", "logit", "target")}
        result, logit = (self.rows(streams[key], head["wide"], loop=False) for key in ("result", "logit"))
        target = self.rows(streams["target"], head["wide"], loop=False, written=True)
        of = result.text + (f" through {activation} of {logit.text}" if activation is not None else "")
        number = float(self.program.numbers[0])
        kinds = ["mean of the components"] * head["mean"] + ["components that are NaN left out"] * head["skips"]
        kinds += ["expected values standardised"] * head["units"] + [f"number {number!r}"] * (number != 0.0)
        detail = "; ".join(
            (f"{_count(head['wide'], 'number')} a row", *kinds, ", ".join(map(_at, _target_first(streams))))
        )
        return Line(None, "measure", f"{target.text} = gradient of {name} of {of}", detail, target.nodes)

    def zeros(self) -> Iterator[Line]:
        for entry in self.lists["zeros"]:
            name = self.names.buffer(entry["begin"])
            count = entry["fixed"] + self.places.capacity * entry["moving"]
            yield Line(None, "zero", f"{name.text} = 0.0", f"{_count(count, 'element')}; @{entry['begin']}", name.nodes)

    def update(self) -> Iterator[Line]:
        head, optimizer = self.head, list(UPDATES)[self.head["optimizer"]]
        learns = tuple(group.members[0].node for group in self.plan.groups if group.learns)
        what = f"{optimizer}: weights[0:{head['learning']}] by gradients[0:{head['learning']}]"
        detail = f"of {head['size']:,} parameters with padding" + "; dropout masks change" * head["drops"]
        yield Line(None, "update", what, detail, learns)
        for entry in self.lists["transposes"]:
            yield self.transpose(entry, "")

    def transpose(self, entry: Mapping[str, int], when: str) -> Line:
        name = self.names.weights(entry["source"])
        sizes = f"{entry['rows']} × {entry['columns'] * self.vector}, panels of {entry['panel']} and {entry['other']}"
        detail = f"{sizes} vectors; transposed[{entry['target']}] = weights[{entry['source']}]"
        return Line(None, "transposes", f"transposed {name.text}{when}", detail, name.nodes)

    def state(self) -> Iterator[Line]:
        for entry in self.lists["state"]:
            name, depth, start = self.names.buffer(entry["start"]), entry["depth"], entry["start"]
            last = start + (self.places.capacity - depth) * entry["step"]
            detail = f"{_count(depth * entry['step'], 'element')}; @{start - depth * entry['step']} = @{last}"
            steps = "the last step" if depth == 1 else f"the last {depth} steps"
            yield Line(None, "time_shift", f"{name.text}, {steps}", detail, name.nodes)

    # Instructions ----------------------------------------------------------------------------------------------------

    def rows(self, stream: Stream, wide: int, *, loop: bool, written: bool = False) -> Name:
        return self.names.rows(stream, wide, self.meant, loop=loop, written=written)

    def named(self, instruction: Instruction, wide: int) -> dict[str, Name]:
        """The names of an instruction's streams, which are ``wide`` elements wide."""
        return {
            name: self.rows(stream, wide if stream.moves else self.vector, loop=instruction.loop,
                            written=name == "target")
            for name, stream in instruction.streams.items()
        }  # fmt: skip

    def line(self, instruction: Instruction) -> Line:
        """The line of an instruction."""
        number = instruction.number
        if number < i.SPREAD:
            text, sizes, nodes = self.elements(instruction) if number < i.SUM else self.sum(instruction)
        else:
            text, sizes, nodes = getattr(self, instruction.name)(instruction)
        places = ", ".join(map(_at, _target_first(instruction.streams)))
        detail = "; ".join(filter(None, (f"{_count(self.count(instruction.loop), 'row')}{sizes}", places)))
        inner = self.meant.inner if self.meant is not None else ()
        return Line(instruction.place, instruction.name, text, detail, tuple(dict.fromkeys((*nodes, *inner))))

    def elements(self, instruction: Instruction) -> _Told:
        fields, vectors = instruction.fields, instruction.fields["vectors"]
        names = self.named(instruction, vectors * self.vector)
        limits = fields["flags"] & i.CAREFUL
        text = _assigned(names, fields["flags"] & i.ADDS, instruction.expression)
        text += _limited(fields, "as it was") if limits else ""
        return text, f" of {_count(vectors, 'vector')}", names["target"].nodes

    def sum(self, instruction: Instruction) -> _Told:
        fields = instruction.fields
        names = self.named(instruction, fields["wide"])
        names["target"] = self.rows(instruction.streams["target"], self.vector, loop=instruction.loop, written=True)
        text = _assigned(names, fields["adds"], instruction.expression)
        text += ", in every element" if fields["spreads"] else ", in the first element"
        return text, f", {fields['width']} components of {fields['wide']}", names["target"].nodes

    def spread(self, instruction: Instruction) -> _Told:
        source = self.rows(instruction.streams["source"], 1, loop=instruction.loop)
        room = self.names.buffer(instruction.fields["room"])
        return f"{room.text} = {source.text}, its first component in every element", "", source.nodes

    def cut(self, instruction: Instruction) -> _Told:
        fields = instruction.fields
        wide = min(fields["wide"], fields["limit"])
        source = self.rows(instruction.streams["source"], wide, loop=instruction.loop)
        room = self.names.buffer(fields["room"])
        return f"{room.text} = {source.text}, zero from component {fields['limit']} on", "", source.nodes

    def finish(self, instruction: Instruction) -> _Told:
        fields, room = instruction.fields, self.names.buffer(instruction.fields["room"])
        names = self.named(instruction, min(fields["wide"], fields["exact"]))
        text = f"{names['target'].text} {'+=' if fields['adds'] else '='} {room.text}"
        text += _limited(fields, names["rest"].text)
        text += f", {fields['exact']} components only" if fields["exact"] < i.NO_LIMIT else ""
        return text, f" of {_count(fields['wide'] // self.vector, 'vector')}", names["target"].nodes

    def forward(self, instruction: Instruction) -> _Told:
        fields = instruction.fields
        target = self.target(instruction)
        bias = f"{self.names.weights(fields['bias'], target).text} + " if fields["start"] == i.START_BIAS else ""
        matrix = self.names.weights(fields["matrix"], target)
        return self.product(instruction, bias, matrix, f"weights[{fields['matrix']}]")

    def backward(self, instruction: Instruction) -> _Told:
        place = instruction.fields["matrix"]
        matrix = self.names.transposed(place, self.source(instruction))
        return self.product(instruction, "", matrix, f"transposed[{place}]")

    def source(self, instruction: Instruction) -> Name:
        """What a product reads."""
        return self.rows(instruction.streams["source"], instruction.fields["inner"], loop=instruction.loop)

    def target(self, instruction: Instruction) -> Name:
        """What a product writes."""
        width = instruction.fields["columns"] * self.vector
        return self.rows(instruction.streams["target"], width, loop=instruction.loop, written=True)

    def product(self, instruction: Instruction, bias: str, matrix: Name, where: str) -> _Told:
        fields, width = instruction.fields, instruction.fields["columns"] * self.vector
        source, target = self.source(instruction), self.target(instruction)
        equals = "+=" if fields["start"] == i.START_ADD else "="
        sizes = f", {fields['inner']} × {width}, panels of {_count(fields['panel'], 'vector')}"
        sizes += f", {_order(fields['order'])}"
        text = f"{target.text} {equals} {bias}{source.text} × {matrix.text}"
        return text, f"{sizes}; {where}", tuple(dict.fromkeys((*target.nodes, *matrix.nodes)))

    def weigh(self, instruction: Instruction) -> _Told:
        fields, width = instruction.fields, instruction.fields["columns"] * self.vector
        left, right = Stream(fields["source"], 0, fields["source_row"]), Stream(fields["right"], 0, fields["right_row"])
        source, other = self.rows(left, fields["inner"], loop=False), self.rows(right, width, loop=False)
        matrix = self.names.weights(fields["matrix"], other)
        sizes = f", {fields['inner']} × {width}, panels of {_count(fields['panel'], 'vector')}"
        text = f"gradient of {matrix.text} = transposed {source.text} × {other.text}"
        return text, f"{sizes}; gradients[{fields['matrix']}]; {_at(left)}, {_at(right)}", matrix.nodes

    def columns(self, instruction: Instruction) -> _Told:
        fields = instruction.fields
        stream = Stream(fields["source"], 0, fields["source_row"])
        source = self.rows(stream, fields["columns"] * self.vector, loop=False)
        matrix = self.names.weights(fields["matrix"], source)
        sizes = f" of {_count(fields['columns'], 'vector')}; gradients[{fields['matrix']}]; {_at(stream)}"
        return f"gradient of {matrix.text} = sums of the columns of {source.text}", sizes, matrix.nodes

    def softmax_of_rows(self, instruction: Instruction) -> _Told:
        width = instruction.fields["width"]
        names = self.named(instruction, width)
        text = f"{names['target'].text} = softmax({names['source'].text})"
        return text, f" of {_count(width, 'number')}", names["target"].nodes

    def gradient_of_softmax(self, instruction: Instruction) -> _Told:
        width = instruction.fields["width"]
        names = self.named(instruction, width)
        y, g = names["result"].text, names["source"].text
        equals = "+=" if instruction.fields["adds"] else "="
        text = f"{names['target'].text} {equals} {y} * ({g} - sum({y} * {g}))"
        return text, f" of {_count(width, 'number')}", names["target"].nodes

    def mask(self, instruction: Instruction) -> _Told:
        fields = instruction.fields
        stream = Stream(fields["target"], 0, fields["target_row"])
        target = self.rows(stream, fields["wide"], loop=instruction.loop, written=True)
        scale = float(self.program.numbers[fields["scale"]])
        noise = f"noise of {self.names.node(fields['node']).text}"
        text = f"{target.text} = {scale!r} where {noise} is at least {fields['threshold']:,}, else 0.0"
        return text, f" of {_count(fields['wide'] // self.vector, 'vector')}; {_at(stream)}", target.nodes


def _assigned(names: Mapping[str, Name], adds: int, expression: str) -> str:
    texts = {letter: name.text for letter, name in names.items() if letter != "target"}
    value = Expression(expression).renamed(texts).replace("splat(0.0)", "0.0")
    return f"{names['target'].text} {'+=' if adds else '='} {value}"


def _limited(fields: Mapping[str, int], rest: str) -> str:
    """What is said of the components that are not those of the expression."""
    kept = f", from component {fields['keep']} on {rest}" if fields["keep"] < i.NO_LIMIT else ""
    return kept + (f", zero from component {fields['zero']} on" if fields["zero"] < i.NO_LIMIT else "")


def _order(order: int) -> str:
    """In which order the terms of each sum are added."""
    known = {i.ONE_CHAIN: "each sum one chain", i.CHAINED: "each sum in chains"}
    return known.get(order, f"each sum in {order} ranges")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _at(stream: Stream) -> str:
    step = f"{stream.step:+}t" if stream.step else ""
    return f"@{stream.offset}{step}/{stream.row}{'*' * (not stream.moves)}"


def _target_first(streams: Mapping[str, Stream]) -> list[Stream]:
    return [streams[name] for name in sorted(streams, key=lambda name: name != "target")]
