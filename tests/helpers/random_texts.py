"""Random model texts by Hypothesis, with delays, cells, convolutions and elementwise layers.

Every node is written on a line of its own and has a plain alternative that is legal in its place. A line that is
refused is replaced by its alternative, so that nearly every text describes a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import assume
from hypothesis import strategies as st

from helpers import witnesses
from helpers.random_models import WIDTHS
from neuromorph.errors import MDLError
from neuromorph.functions import ACTIVATIONS, LOSSES, MERGES
from neuromorph.language import library

HEADERS = ["/uniform -0.6 0.6,const_uneven 0.1 0.3/", "/orthogonal 0.8,spaced -0.3 0.4/", "/xavier,zero/"]
# Functions that grow without bound, or are infinite for common numbers. A function of TAMED before them bounds them.
WILD = {"exp", "square", "reciprocal", "log"}
TAMED = {"exp": "<tanh>", "square": "<softsign>", "log": "<softplus>", "reciprocal": "<softplus>"}
# Losses that are steep near an end of their range, where float32 is inexact, and activations that avoid this end.
TAME_ENDS = {"poisson": ["<softplus>"], "binary_cross_entropy": ["<sigmoid>", "<hard_sigmoid>", "<softsign>"]}
FUNCTIONS = sorted(ACTIVATIONS.keys() - WILD)
NUMBERS = {"spike": ("2", "25"), "times": ("-0.7", "0.9"), "plus": ("-0.4", "0.3")}
ELEMENTWISE = [
    "gain", "gain, 0.6", "shift", "shift, -0.3", "prelu", "prelu, -0.4", "norm, 0.2", "rms_norm, 0.1", "standardize",
    "dropout", "dropout, 0.3", "dropout, 0",
]  # fmt: skip
TAKES_ANY = ["gain", "shift", "prelu", "dropout"]  # elementwise layers whose number can be that of a parameter here
LOCALS = [
    "/,spaced -0.5 0.5/", "/orthogonal,zero/", "/normal 0 0.4,/", "/spectral 0.8 0.5,const_flat 0.1/",
    "/identity 0.7,/", "/lecun,chrono 6/",
]  # fmt: skip
STEPS = ["", "", "", ", 0", ", 1", ", 1", ", 2", ", 3", ", 5"]
OPERATIONS = [*sorted(MERGES.keys() - {"divisive", "scale", "dot"}), "concatenate", "additive", "take"]
LIBRARY = library()
DEPTH = 2  # the deepest nesting of splits
KINDS = [
    "layer", "layer", "activation", "merge", "merge", "merge", "split", "conv", "elementwise", "elementwise", "learned",
    "scale", "dot", "tamed", "divisive", "cell", "own",
]  # fmt: skip


@dataclass
class Scope:
    """A model, or the body of a cell, in which nodes are written.

    prefix: the start of the nodes' names. widths: the words that may stand for a width. numbers, steps: the parameters
    that may stand for a number, and for a number of steps. names: of the nodes so far. size: the number of nodes so
    far.
    """

    prefix: str
    widths: list[str]
    numbers: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    size: int = 0


@dataclass
class Line:
    """A node as it was drawn, and its plain alternative. ``@n@`` refers to a name in ``scope``."""

    drawn: str
    plain: str
    scope: Scope

    def text(self) -> str:
        """The line, with a node's name in the place of ``@n@``."""
        before, mark, behind = self.drawn.partition("@")
        if not mark:
            return self.drawn
        number, _, rest = behind.partition("@")
        return f"{before}{self.scope.names[int(number) % len(self.scope.names)]}{rest}"


class Author:
    """Writes one model, line by line. The nodes that merges read are chosen once all names are known."""

    def __init__(self, draw: st.DrawFn, widths: st.SearchStrategy[int]) -> None:
        self.draw, self.lines = draw, list[Line]()
        self.widths = widths
        self.definitions: list[tuple[str, list[str], list[str]]] = []  # name, arguments, names of its nodes

    def one_of(self, choices: list[str]) -> str:
        return self.draw(st.sampled_from(choices))

    def name(self, scope: Scope) -> str:
        scope.size += 1
        scope.names.append(f"{scope.prefix}{scope.size}")
        return scope.names[-1]

    def add(self, scope: Scope, drawn: str, plain: str = "") -> None:
        self.lines.append(Line(drawn, plain or drawn, scope))

    def width(self, scope: Scope) -> str:
        return self.one_of([*scope.widths, str(self.draw(self.widths))])

    def function(self, scope: Scope) -> str:
        name = self.one_of(FUNCTIONS)
        if ACTIVATIONS[name].parameter is None or self.draw(st.booleans()):
            return f"<{name}>"
        numbers = list(NUMBERS.get(name, ("0.4", "1.3"))) + (scope.numbers if name != "spike" else [])
        return f"<{name}, {self.one_of(numbers)}>"

    def other(self) -> str:
        return f"@{self.draw(st.integers(0, 40))}@"

    def steps(self, scope: Scope) -> str:
        return self.one_of([*STEPS, *(f", {name}" for name in scope.steps)])

    # Nodes, each kind a method

    def nodes(self, scope: Scope, depth: int, least: int, most: int = 4) -> None:
        for _ in range(self.draw(st.integers(least, most - depth))):
            kind = self.one_of(KINDS)
            getattr(self, f"_{kind if kind != 'split' or depth < DEPTH else 'layer'}")(scope, depth)

    def _layer(self, scope: Scope, depth: int) -> None:
        name, width, function = self.name(scope), self.width(scope), self.function(scope)
        local = f", {self.one_of(LOCALS)}" if self.draw(st.integers(0, 3)) == 3 else ""
        self.add(scope, f"({name}, {width}, {function}{local})", f"({name}, {width}, {function})")

    def _activation(self, scope: Scope, depth: int) -> None:
        self.add(scope, f"({self.name(scope)}, {self.function(scope)})")

    def _tamed(self, scope: Scope, depth: int) -> None:
        name = self.one_of(sorted(TAMED))
        self.add(scope, f"({self.name(scope)}, {TAMED[name]})")
        if name == "reciprocal":
            self.add(scope, f"({self.name(scope)}, <plus, 0.5>)")
        self.add(scope, f"({self.name(scope)}, <{name}>)")

    def _merge(self, scope: Scope, depth: int) -> None:
        name, other, steps = self.name(scope), self.other(), self.steps(scope)
        self.add(scope, f"{{{name}, {other}, {self.one_of(OPERATIONS)}{steps}}}", f"{{{name}, {other}, additive, 1}}")

    def _split(self, scope: Scope, depth: int) -> None:
        self.add(scope, f"[{self.name(scope)},")
        self.nodes(scope, depth + 1, 0)
        if self.draw(st.booleans()):
            self.add(scope, "|")
            self.nodes(scope, depth + 1, 0)
        self.add(scope, "]")

    def _conv(self, scope: Scope, depth: int) -> None:
        name, width = self.name(scope), self.width(scope)
        taps, dilation = self.draw(st.integers(1, 4)), self.draw(st.integers(1, 3))
        said = self.one_of([f"{taps}", f"{taps}, {dilation}", *scope.steps])
        local = f", {self.one_of(LOCALS)}" if self.draw(st.integers(0, 3)) == 3 else ""
        self.add(scope, f"({name}, {width}, <conv, {said}>{local})", f"({name}, {width}, <conv, {taps}>)")

    def _elementwise(self, scope: Scope, depth: int) -> None:
        own = [f"{name}, {number}" for name in TAKES_ANY for number in scope.numbers]
        self.add(scope, f"({self.name(scope)}, <{self.one_of([*ELEMENTWISE, *own])}>)")

    def _learned(self, scope: Scope, depth: int) -> None:
        split, name, width = self.name(scope), self.name(scope), self.width(scope)
        self.add(scope, f"[{split},")
        self.add(scope, f"({name}, {width}, <learned{self.one_of(['', ', 0.4'])}>)")
        self.add(scope, "]")
        self._read(scope, name, self.one_of(["additive", "multiplicative", "concatenate", "maximum"]))

    def _scale(self, scope: Scope, depth: int) -> None:
        split, name = self.name(scope), self.name(scope)
        self.add(scope, f"[{split},")
        self.add(scope, f"({name}, 1, <{self.one_of(['sigmoid', 'tanh', 'softplus'])}>)")
        self.add(scope, "]")
        self._read(scope, name, "scale")

    def _dot(self, scope: Scope, depth: int) -> None:
        before, split, name = self.name(scope), self.name(scope), self.name(scope)
        width = self.width(scope)
        self.add(scope, f"({before}, {width}, {self.function(scope)})")
        self.add(scope, f"[{split},")
        self.add(scope, f"({name}, {width}, <tanh>)")
        self.add(scope, "]")
        self._read(scope, self.one_of([name, before]), "dot")

    def _divisive(self, scope: Scope, depth: int) -> None:
        split, name = self.name(scope), self.name(scope)
        self.add(scope, f"[{split},")
        self.add(scope, f"({self.name(scope)}, {self.width(scope)}, <sigmoid>)")
        self.add(scope, f"({name}, <plus, 0.4>)")
        self.add(scope, "]")
        self.add(scope, f"{{{self.name(scope)}, {name}, divisive}}")

    def _read(self, scope: Scope, other: str, operation: str) -> None:
        name = self.name(scope)
        self.add(scope, f"{{{name}, {other}, {operation}{self.steps(scope)}}}", f"{{{name}, {other}, additive, 1}}")

    def _cell(self, scope: Scope, depth: int) -> None:
        cell = self.draw(st.sampled_from(LIBRARY))
        number = ", 0.7" if cell.parameters and self.draw(st.booleans()) else ""
        self._use(scope, f"<{cell.name}{number}>", [node.name for node in cell.nodes])

    def _own(self, scope: Scope, depth: int) -> None:
        if not self.definitions:
            return self._layer(scope, depth)
        cell, numbers, names = self.draw(st.sampled_from(self.definitions))
        given = numbers[: self.draw(st.integers(0, len(numbers)))]
        self._use(scope, f"<{', '.join([cell, *given])}>", names)
        return None

    def _use(self, scope: Scope, function: str, names: list[str]) -> None:
        name, width = self.name(scope), self.width(scope)
        local = f", {self.one_of(LOCALS[:3])}" if self.draw(st.integers(0, 4)) == 4 else ""
        width = f"{width}, " if self.draw(st.integers(0, 4)) else ""
        self.add(scope, f"({name}, {width}{function}{local})", f"({name}, 3, <rnn>)")
        inner = self.one_of(names[:-1]) if names[:-1] else ""
        if inner and self.draw(st.booleans()):
            self._read(scope, f"{name}.{inner}", self.one_of(OPERATIONS))

    def _definition(self) -> None:
        """Write a cell of the text's own. Its last node has the width of the use."""
        cell = f"cell{len(self.definitions)}"
        scope = Scope("c", ["width", "width", "width"])
        head, given = [cell], []
        for parameter, value in [("rate", "0.6"), ("far", "2")][: self.draw(st.integers(0, 2))]:
            head.append(f"{parameter} {value}")
            given.append("0.8" if parameter == "rate" else "3")
            (scope.numbers if parameter == "rate" else scope.steps).append(parameter)
        self.add(scope, f"<{', '.join(head)}>[")
        self.nodes(scope, 1, 0)
        last = self.name(scope)
        self.add(scope, f"({last}, width, {self.function(scope)})")
        for _ in range(self.draw(st.integers(0, 2))):
            last = self.name(scope)
            drawn = f"{{{last}, {self.other()}, {self.one_of(['additive', 'multiplicative', 'average'])}"
            self.add(scope, f"{drawn}{self.steps(scope)}}}", f"{{{last}, {last}, average, 1}}")
        self.add(scope, "]")
        self.definitions.append((cell, given, list(scope.names)))

    def _output(self, scope: Scope) -> None:
        scope.names.append("out")
        width, kind = self.draw(self.widths), self.draw(st.sampled_from(["plain", "plain", "conv", "restore"]))
        fitting = {"plain": set(LOSSES), "conv": LOSSES.keys() - TAME_ENDS.keys()}
        losses = sorted(fitting.get(kind, {name for name, loss in LOSSES.items() if loss.compares_units}))
        loss = self.one_of(losses)
        function = {"conv": "<conv, 2, 2>", "restore": "<restore>", "plain": self.function(scope)}[kind]
        if loss in TAME_ENDS and kind == "plain":
            function = self.one_of(TAME_ENDS[loss])
        self.add(scope, f"(out, {width}, {function}, <{loss}>)")

    def text(self) -> str:
        """The whole model, with every refused line replaced by its plain alternative."""
        self.add(Scope("", []), self.one_of(HEADERS))
        for _ in range(self.draw(st.integers(0, 2))):
            self._definition()
        scope = Scope("n", [])
        self.add(scope, f"({self.name(scope)}, {self.draw(self.widths)})")
        self.nodes(scope, 0, 1, 6)
        for _ in self.definitions:
            self._own(scope, 0)
        self.nodes(scope, 0, 0, 2)
        self._output(scope)
        return self._mended()

    def _mended(self) -> str:
        for _ in self.lines:
            text = "\n".join(line.text() for line in self.lines)
            try:
                witnesses.graph_of(text)
            except MDLError as error:
                line = self.lines[error.line - 1]
                assume(line.drawn != line.plain)
                line.drawn = line.plain
            else:
                return text
        assume(False)
        raise AssertionError


@st.composite
def texts(draw: st.DrawFn, widths: st.SearchStrategy[int] = WIDTHS) -> str:
    """An MDL text that describes a model."""
    return Author(draw, widths).text()
