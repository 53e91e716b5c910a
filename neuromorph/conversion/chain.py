"""Writes a network of another library as a text, layer by layer, with the parameters of its nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError, MDLError
from ..interface import Model, build, compile, expand

Array = NDArray[Any]
_USUAL: Mapping[str, str] = {"sigmoid": "sigmoid", "tanh": "tanh"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
# Functions that take several nodes. n: the name of the last one. p, q, …: numbers.
_COMPOSED = {
    "hard_swish": "[{n}.x, ({n}.gate, <hard_sigmoid>)] {{{n}, {n}.gate, multiplicative}}",
    "log_sigmoid": "({n}.minus, <times, -1>) ({n}.soft, <softplus>) ({n}, <times, -1>)",
    "tanh_shrink": "[{n}.x, ({n}.tanh, <tanh>)] {{{n}, {n}.tanh, subtractive}}",
    "softmin": "({n}.minus, <times, -1>) ({n}, <softmax>)",
    "softplus": "({n}.steep, <times, {p}>) ({n}.soft, <softplus>) ({n}, <times, {q}>)",
    "celu": "({n}.steep, <times, {p}>) ({n}.elu, <elu>) ({n}, <times, {q}>)",
    "steep_celu": (  # below 0 it is q (exp(p x) - 1) with p < 0
        "[{n}.x, ({n}.steep, <times, {p}>) ({n}.below, <relu>) ({n}.exp, <exp>) ({n}.less, <plus, -1>) "
        "({n}.part, <times, {q}>)] ({n}.above, <relu>) {{{n}, {n}.part, additive}}"
    ),
    "between": "({n}.centred, <plus, {p}>) ({n}.clipped, <clip, {q}>) ({n}, <plus, {r}>)",
    "prelu": (
        "[{n}.x, ({n}.slope, 1, <learned, 0>) | ({n}.minus, <times, -1>) ({n}.below, <relu>) "
        "{{{n}.part, {n}.slope, scale}}] ({n}.above, <relu>) {{{n}, {n}.part, subtractive}}"
    ),
    "affine": "({n}.scaled, <times, {p}>) ({n}, <plus, {q}>)",
}


@dataclass
class _Layer:
    """A layer with weights and a bias."""

    name: str
    width: int
    function: str

    def text(self, loss: str = "") -> str:
        return f"({self.name}, {self.width}, <{self.function}>{loss})"


class Chain:
    """Layers one after the other.

    ``where`` is the layer that is being taken over, in words for messages; ``name`` the name of its last node.
    ``parameters`` are those of the nodes so far, ``frozen`` the nodes whose parameters have to stay as they are.
    """

    def __init__(self) -> None:
        self.inputs: int | None = None
        self.width: int | None = None
        self.nodes: list[str | _Layer] = []
        self.origins: list[str] = []  # of each node, the layer that it comes from
        self.parameters: dict[str, Array] = {}
        self.frozen: list[str] = []
        self.names = {"input"}
        self.owned: set[int] = set()
        self.where, self.name = "", ""

    def begin(self, kind: str, key: str, weights: Iterable[object] = ()) -> None:
        """Begin a layer of a kind. key: its name in the other library, which becomes the node's if it can.

        weights: the objects that hold its weights, of which no other layer may have any.
        """
        self.where = f"layer {key!r} ({kind})"
        name = key if _NAME.match(key) else re.sub(r"[^A-Za-z0-9]+", "_", f"{kind.lower()}_{key}")
        tries = (name, *(f"{name}_{number}" for number in range(1, len(self.names) + 1)))
        self.name = next(one for one in tries if one not in self.names)
        self.names.add(self.name)
        mine = {id(weight) for weight in weights}
        if mine & self.owned:
            reason = "it shares weights with an earlier layer, and nodes share none"
            raise self.refuse(reason, "a layer of its own, which begins with the same numbers")
        self.owned |= mine

    def refuse(self, reason: str, nearest: str) -> ConversionError:
        """The error for a layer that can't be taken over. nearest: the nearest that a text can say."""
        return ConversionError(f"{self.where}: {reason}; the nearest text is {nearest}")

    def expect(self, width: int) -> None:
        """Check that vectors of a width come in. The first layer that says it sets the width of the input."""
        if self.inputs is None:
            self.inputs = self.width = width
        if self.width != width:
            raise ConversionError(f"{self.where} takes {width} components, and {self.width} come in")

    def add(self, node: str | _Layer) -> None:
        """Add a node, or several as one text."""
        self.nodes.append(node)
        self.origins.append(self.where)

    # Layers ----------------------------------------------------------------------------------------------------------

    def layer(self, weight: Array, bias: Array | None, taps: int = 1, dilation: int = 1) -> None:
        """A layer without an activation; with several taps, a causal convolution. weight: as ours, (fan_in, width)."""
        fan_in, width = weight.shape
        self.expect(fan_in // taps)
        self.add(_Layer(self.name, width, "linear" if taps == 1 else f"conv, {taps}, {dilation}"))
        self.hold({f"{self.name}.weight": weight, f"{self.name}.bias": np.zeros(width) if bias is None else bias})
        self.width = width

    def apply(self, function: str) -> None:
        """An activation. It joins a layer before it that has none."""
        last = self.nodes[-1] if self.nodes else None
        if isinstance(last, _Layer) and last.function == "linear":
            last.function, self.origins[-1] = function, self.where
        elif function != "linear":
            self.add(f"({self.name}, <{function}>)")

    def compose(self, function: str, **numbers: float) -> None:
        """A function that takes several nodes."""
        self.add(_COMPOSED[function].format(n=self.name, **numbers))

    def vectors(self, function: str, parameters: Mapping[str, Array], part: str = "") -> None:
        """An elementwise layer. parameters: by role. part: what the node's name has behind that of the layer."""
        name = f"{self.name}{part}"
        self.add(f"({name}, <{function}>)")
        self.hold({f"{name}.{role}": value for role, value in parameters.items()})

    def cell(
        self, cell: str, width: int, gates: Mapping[str, tuple[Array, Array]], functions: Mapping[str, str] = _USUAL
    ) -> None:
        """A cell of the library. gates: weight and bias by the names behind that of the cell, such as ".in_gate".

        functions: those that stand for the cell's own sigmoid and tanh. If these are others, its nodes are written out.
        """
        text = f"({self.name}, {width}, <{cell}>)"
        if functions != _USUAL:
            whole = expand(f"/xavier,zero/ (input, 1) {text} ({self.name}.end, 1, <linear>, <mse>)")
            lines = whole.strip().split("\n")[2:-1]
            text = re.sub("<(sigmoid|tanh)>", lambda found: f"<{functions[found[1]]}>", "\n".join(lines))
        self.add(text)
        for gate, (weight, bias) in gates.items():
            self.hold({f"{self.name}{gate}.weight": weight, f"{self.name}{gate}.bias": bias})
        self.width = width

    def hold(self, parameters: Mapping[str, Array]) -> None:
        """Keep parameters of nodes."""
        self.parameters |= parameters

    # The whole -------------------------------------------------------------------------------------------------------

    def text(self, loss: str) -> str:
        """The text of the layers so far, which must end in a layer with weights."""
        *before, last = self.nodes
        assert isinstance(last, _Layer)
        written = [node if isinstance(node, str) else node.text() for node in before]
        return "\n".join(["/xavier,zero/", f"(input, {self.inputs})", *written, last.text(f", <{loss}>")])

    def end(self) -> None:
        """End in a layer that can be an output; where none stands there, in one that hands on what comes in."""
        if self.inputs is None or self.width is None:
            raise ConversionError("the network has no layer that says how wide its input is: a layer with weights")
        if not self.nodes or not isinstance(self.nodes[-1], _Layer):
            self.begin("Linear", "output")
            self.layer(np.eye(self.width), None)
            self.frozen.append(self.name)

    def model(self, loss: str, batch_size: int, learning_rate: float, **options: Any) -> Model:
        """The built model with the parameters. options: those of ``compile``."""
        self.end()
        given = options.pop("frozen", ())
        frozen = [*([given] if isinstance(given, str) else given), *self.frozen]
        try:
            compiled = compile(self.text(loss), batch_size, learning_rate, frozen=frozen, **options)
        except MDLError as error:
            raise self._at_layer(error) from error
        made = build(compiled)
        made.set_parameters(self.parameters)
        return made

    def _at_layer(self, error: MDLError) -> Exception:
        """An error of the text as one that names the layer, unless it is in the line of the output and its loss."""
        line = 2
        for node, origin in zip(self.nodes[:-1], self.origins, strict=False):
            text = node if isinstance(node, str) else node.text()
            line += text.count("\n") + 1
            if 2 < error.line <= line:
                return ConversionError(f"{origin}: {error.reason}; the nearest text is {text} with other numbers")
        return error
