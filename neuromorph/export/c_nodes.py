"""Writes the statements of a step in C, a block for each node."""

from __future__ import annotations

from ..graph import Node
from .c_expressions import Mathematics
from .c_layout import Field, Group, Layout, is_narrow
from .c_names import comment_of


class Blocks:
    """Writes blocks of statements. The variable ``s`` points to the struct."""

    def __init__(self, layout: Layout, mathematics: Mathematics) -> None:
        self.layout, self.graph, self.mathematics = layout, layout.graph, mathematics
        self.type = "float" if mathematics.dtype == "float32" else "double"
        self.zero = mathematics.literal(0.0)

    def block(self, index: int) -> list[str]:
        """The block of one node, with a comment that says what it is."""
        node, field = self.graph.nodes[index], self.layout.fields[index]
        lines = [f"/* {comment_of(self.described(node))} */"]
        if node.kind == "input":
            return lines + self.loop(field.width, f"s->{field.name}[j] = x[j];")
        if node.kind == "layer":
            return lines + self.layer(node, field)
        if node.kind == "activation":
            return lines + self.activation(node, field, f"s->{self.source(node).name}[j]")
        if node.kind == "elementwise":
            return lines + self.elementwise(node, field)
        return lines + self.merge(node, field)

    def before(self, index: int) -> list[str]:
        """The statements that keep a node's value of the step before."""
        field = self.layout.fields[index]
        return self.loop(field.width, f"s->{field.name}_before[j] = s->{field.name}[j];")

    def kept(self, index: int) -> list[str]:
        """The statements that put a node's value into its ring."""
        field = self.layout.fields[index]
        row = f"s->{field.name}_past[s->{field.name}_at]"
        at = f"s->{field.name}_at"
        return [
            *self.loop(field.width, f"{row}[j] = s->{field.name}[j];"),
            f"{at} = {at} + 1 < {field.steps} ? {at} + 1 : 0;",
        ]

    # Parts of blocks

    def described(self, node: Node) -> str:
        """What a node is, in a few words."""
        reads = "" if node.source is None else self.graph.nodes[node.source].name
        function = node.elementwise or node.function
        called = "" if function is None else f" {function.name}"
        first = node.elementwise is not None and any(role.first is None for role in node.elementwise.roles)
        number = "" if node.parameter is None or first else f" {node.parameter:g}"  # not that of first values
        if node.kind == "input":
            return f"{node.name}: the input, {node.width:,} wide"
        if node.taps > 1:
            steps = f"{node.taps} steps of {reads}, dilation {node.dilation}"
            return f"{node.name}: convolution of {steps}, {node.width:,} wide"
        if node.kind == "merge":
            assert node.merge is not None
            assert node.other is not None
            back = f", {node.steps} step{'s' * (node.steps > 1)} back" if node.steps else ""
            both = " and ".join([*([reads] if reads else []), f"{self.graph.nodes[node.other].name}{back}"])
            return f"{node.name}: {node.merge.name} of {both}, {node.width:,} wide"
        return f"{node.name}:{called}{number} of {reads or 'nothing'}, {node.width:,} wide"

    def source(self, node: Node) -> Field:
        assert node.source is not None
        return self.layout.field(node.source)

    def loop(self, count: int, *body: str, first: int = 0, step: int = 1, name: str = "j") -> list[str]:
        """A loop over some numbers; nothing if there are none."""
        if first >= count:
            return []
        advance = f"{name}++" if step == 1 else f"{name} += {step}"
        return [f"for (int {name} = {first}; {name} < {count}; {advance}) {{", *_indented(body), "}"]

    # Layers

    def layer(self, node: Node, field: Field) -> list[str]:
        group = self.layout.groups.get(node.index)
        if group is None:
            lines, x = self.sums(node, field.name, field.width), f"s->{field.name}[j]"
        else:
            first = group.first(node.index)
            lines, x = [], f"s->{group.name}[{f'{first} + ' if first else ''}j]"
        assert node.function is not None
        if group is not None or node.function.name != "linear":
            lines += self.activation(node, field, x)
        if node.elementwise is None:
            return lines
        names = {"x": f"s->{field.name}[j]", **self.vectors(node, field)}
        value = self.mathematics.text(node.elementwise.forward, names)
        return lines + self.loop(field.width, f"s->{field.name}[j] = {value};")

    def group(self, group: Group) -> list[str]:
        """The block that computes what the activations of a group of layers are applied to."""
        names = ", ".join(node.name for node in group.members)
        return [f"/* {comment_of(names)}: the products */", *self.sums(group.members[0], group.name, group.width)]

    def sums(self, node: Node, name: str, width: int) -> list[str]:
        """The statements that compute the sums of a layer, or of several that read what it reads. name: of the sums."""
        source, weight = self.source(node), f"{name}_weight"
        lines = self.loop(width, f"s->{name}[j] = {name}_bias[j];")
        few = "_few" * is_narrow(width, source.width)
        call = f"{self.mathematics.own(f'multiply{few}')}({source.width}, {width}"
        if node.taps > 1:
            size, steps = source.width * width, f"{node.reach} - i" + f" * {node.dilation}" * (node.dilation > 1)
            row = f"const int row = {self.mathematics.prefix}_back(s->{source.name}_at, {steps}, {source.steps});"
            earlier = f"{call}, s->{source.name}_past[row], {weight} + i * {size}, s->{name});"
            lines += self.loop(node.taps - 1, row, earlier, name="i")
            weight = f"{weight} + {(node.taps - 1) * size}"
        return [*lines, f"{call}, s->{source.name}, {weight}, s->{name});"]

    # Functions

    def activation(self, node: Node, field: Field, x: str) -> list[str]:
        """The statements that apply a node's activation to values; x: one of them, at ``j``."""
        assert node.function is not None
        if node.function.couples:
            return self.softmax(field, x)
        if node.function.forward == "x":
            return self.loop(field.width, f"s->{field.name}[j] = {x};")
        names = {"x": "v", **self.number(node)}
        value = self.mathematics.text(node.function.forward, names)
        return self.loop(field.width, f"const {self.type} v = {x};", f"s->{field.name}[j] = {value};")

    def softmax(self, field: Field, x: str) -> list[str]:
        total, exp, biggest = f"s->{field.name}[j]", self.mathematics.call("exp"), self.mathematics.call("maximum")
        first = x.removesuffix("j]") + "0]"
        return [
            "{",
            *_indented(
                [
                    f"{self.type} top = {first}, sum = {self.zero};",
                    *self.loop(field.width, f"top = {biggest}({x}, top);", first=1),
                    *self.loop(field.width, f"{total} = {exp}({x} - top);"),
                    *self.loop(field.width, f"sum += {total};"),
                    *self.loop(field.width, f"{total} /= sum;"),
                ]
            ),
            "}",
        ]

    def number(self, node: Node) -> dict[str, str]:
        """The number of a node's function, as the expressions name it."""
        return {} if node.parameter is None else {"p": self.mathematics.literal(node.parameter)}

    def vectors(self, node: Node, field: Field) -> dict[str, str]:
        """The parameters of an elementwise layer at ``j``, by their names in expressions."""
        assert node.elementwise is not None
        return {role.variable: f"{field.name}_{role.name}[j]" for role in node.elementwise.roles}

    def elementwise(self, node: Node, field: Field) -> list[str]:
        layer = node.elementwise
        assert layer is not None
        x = f"s->{self.source(node).name}[j]" if layer.reads_x else ""
        if layer.drops:
            return self.loop(field.width, f"s->{field.name}[j] = {x};")
        names = {"x": x, **self.number(node), **self.vectors(node, field)}
        body = []
        for statistic in layer.statistics:
            names[statistic.variable] = statistic.variable
            body += self.statistic(field, statistic.variable, self.mathematics.text(statistic.expression, names))
            finished = self.mathematics.text(statistic.finish, {"mean": statistic.variable, **self.number(node)})
            body += [f"{statistic.variable} = {finished};"] if statistic.finish != "mean" else []
        declared = ", ".join(f"{one.variable} = {self.zero}" for one in layer.statistics)
        value = self.loop(field.width, f"s->{field.name}[j] = {self.mathematics.text(layer.forward, names)};")
        return ["{", *_indented([f"{self.type} {declared};", *body, *value]), "}"] if declared else value

    def statistic(self, field: Field, variable: str, expression: str) -> list[str]:
        """The statements that make a variable the mean of an expression over the components."""
        share = self.mathematics.literal(1.0 / field.width)
        return [*self.loop(field.width, f"{variable} += {expression};"), f"{variable} *= {share};"]

    # Merges

    def merge(self, node: Node, field: Field) -> list[str]:
        merge, other = node.merge, node.other
        assert merge is not None
        assert other is not None
        lines, o = self.read(node)
        target, wide = f"s->{field.name}", self.layout.field(other).width
        x = "" if node.source is None else f"s->{self.source(node).name}[j]"
        if merge.concatenates:
            own = self.source(node).width
            lines += self.loop(own, f"{target}[j] = {x};")
            return self.scoped(lines + self.loop(wide, f"{target}[{own} + j] = {o}[j];"))
        value = self.mathematics.text(
            merge.forward, {"x": x, "o": f"{o}[{'0' if merge.other_width == 'one' else 'j'}]"}
        )
        if merge.result == "one":
            lines += [f"{self.type} sum = {self.zero};", *self.loop(self.source(node).width, f"sum += {value};")]
            return ["{", *_indented([*lines, f"{target}[0] = sum;"]), "}"]
        any_width = merge.result == "x" and merge.other_width == "any"
        shared = min(wide, field.width) if any_width else field.width
        lines += self.loop(shared, f"{target}[j] = {value};")
        return self.scoped(lines + self.loop(field.width, f"{target}[j] = {x};", first=shared))

    def scoped(self, lines: list[str]) -> list[str]:
        """The lines in braces, if they begin with a declaration."""
        return ["{", *_indented(lines), "}"] if lines[0].startswith("const ") else lines

    def read(self, node: Node) -> tuple[list[str], str]:
        """A declaration that is needed to read the other vector of a merge, and the vector's name."""
        assert node.other is not None
        field = self.layout.field(node.other)
        if not node.steps:
            return [], f"s->{field.name}"
        if not field.steps:
            return [], f"s->{field.name}{'_before' * field.before}"
        row = f"{self.mathematics.prefix}_back(s->{field.name}_at, {node.steps}, {field.steps})"
        return [f"const {self.type} *past = s->{field.name}_past[{row}];"], "past"


def _indented(lines: list[str] | tuple[str, ...]) -> list[str]:
    return [f"    {line}" for line in lines]
