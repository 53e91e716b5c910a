"""Emits the operations of a plan as lines of source. ``Frame`` gives the names of rows, ranges and offsets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from ..functions.expressions import Expression
from ..schedule import (
    EXTERNAL,
    WINDOW,
    Access,
    Bias,
    Block,
    Columns,
    Mask,
    Operation,
    Partials,
    Product,
    Reduce,
    Rows,
    Sum,
    padded,
)
from .elements import emit_block, emit_mask, emit_reduce, substitute
from .frame import Frame
from .sparse import SparseCopy

# Rows ----------------------------------------------------------------------------------------------------------------


def emit_rows(frame: Frame, rows: Rows) -> None:
    """Emits the softmax of rows longer than a vector, or its gradient."""
    places = (*rows.operands, rows.target)
    fields = {"width": rows.target.width, "strides": tuple(frame.stride(place.buffer) for place in places)}
    if any(place.buffer in EXTERNAL for place in rows.operands):
        fields["exact"] = True
    pattern = "(simd.RowShape({kind}, {fields})" + (")" if rows.kind == "softmax" else f", adds={rows.accumulate})")
    name = frame.source.routine(rows.kind, f"{rows.kind}_of{pattern}", fields)
    operands = ", ".join(_from(frame, Access(place)) for place in places)
    frame.writer.line(f"{name}({operands}, {frame.count()})")


# Products ------------------------------------------------------------------------------------------------------------


def emit_product(frame: Frame, product: Product) -> None:
    """Emits the matrix product of one part of a group."""
    if product.partials is not None:
        _emit_partial(frame, product)
    else:
        {"forward": _emit_forward, "backward": _emit_backward, "weight": _emit_weight}[product.kind](frame, product)


def _literal_rows(frame: Frame) -> int | None:
    return frame.rows_of_step if frame.domain != WINDOW else None


def _from(frame: Frame, access: Access) -> str:
    """The array and the offset of the first of the thread's rows, as arguments."""
    place, first = access.place, frame.first_row
    skipped = "" if first == "0" else f" + {first} * {frame.stride(place.buffer)}"
    return f"{frame.array(place.buffer)}, {frame.base(place, access.shift)}{skipped}"


def _epilogue(frame: Frame, product: Product) -> tuple[dict[str, object], str]:
    """The fields of a product's shape that describe its epilogue, and the arguments that the epilogue needs."""
    epilogue = product.epilogue
    if epilogue is None or epilogue.expression == "x":
        return {}, ""
    joined = str(Expression(epilogue.expression).joined)
    if epilogue.beside is None:
        return {"epilogue": joined}, ""
    beside = Access(epilogue.beside)
    fields = {"epilogue": joined, "beside_row": frame.stride(epilogue.beside.buffer)}
    return fields, f"{_from(frame, beside)}, "


def _emit_forward(frame: Frame, product: Product) -> None:
    """Emits the product of each tap. The first product starts from the bias, and the others add to it."""
    if product.taps == 1:
        _emit_forward_tap(frame, product)
        return
    if product.start == "bias":
        _emit_forward_tap(frame, product)
    with frame.writer.block(f"for tap in span({int(product.start == 'bias')}, {product.taps}):"):
        _emit_forward_tap(frame, replace(product, start="add"), "tap")


def _later(frame: Frame, product: Product, name: str, tap: str) -> str:
    """The distance from the rows of the first tap to those of ``tap`` in a buffer, in elements, as source."""
    return f" + {tap} * {frame.steps(name, product.dilation)}" if tap else ""


def _further(elements: int, tap: str) -> str:
    """The distance from the matrix of the first tap to that of ``tap``, in elements, as source."""
    return f" + {tap} * {elements}" if tap else ""


def _emit_forward_tap(frame: Frame, product: Product, tap: str = "") -> None:
    plan, layout = frame.plan, frame.layout
    group = plan.groups[product.group]
    part = group.parts[product.part]
    assert product.target is not None
    columns = group.columns // frame.lanes
    ending, beside = _epilogue(frame, product)
    fields: dict[str, object] = {
        "rows": _literal_rows(frame), "inner": part.width, "columns": columns, "panel": layout.panel(group),
        "a_row": frame.stride(product.source.place.buffer), "a_inner": 1, "b_row": None,
        "c_row": frame.stride(product.target.buffer), "start": product.start, **ending,
    }  # fmt: skip
    bias = f"weights, {layout.bias(group)}, " if product.start == "bias" else ""
    given = (
        f"{_from(frame, product.source)}{_later(frame, product, product.source.place.buffer, tap)}, "
        f"weights, {layout.part(group, product.part)}{_further(part.width * group.columns, tap)}, "
        f"{_from(frame, Access(product.target))}, {frame.count()}, {part.width}, {bias}{beside}"
    )
    copies = frame.source.sparse.get((product.group, product.part, frame.predicts), [])
    panels = frame.panels_of(-(-columns // layout.panel(group)))
    if not copies:
        frame.writer.line(f"{frame.product(**fields)}({given}{panels})")
    elif frame.cuts is None:
        frame.writer.line(f"{frame.sparse_product(None, **fields)}({given}len(weights), {copies[0].place}, {panels})")
    else:
        _emit_sparse_of_members(frame, copies, fields, given)


def _emit_sparse_of_members(frame: Frame, copies: list[SparseCopy], fields: dict[str, object], given: str) -> None:
    """Emits a product whose columns threads divide: each member reads the sparse copy of its own columns."""
    assert frame.cuts is not None
    with frame.each_member():
        for member, (copy, panels) in enumerate(zip(copies, pairwise(frame.cuts), strict=True)):
            with frame.writer.block(f"{'elif' if member else 'if'} member == {member}:"):
                first, last = panels
                name = frame.sparse_product(panels, **fields) if first < last else ""
                frame.writer.line(f"{name}({given}len(weights), {copy.place}, {first}, {last})" if name else "pass")


def _emit_backward(frame: Frame, product: Product) -> None:
    if product.taps == 1:
        _emit_backward_tap(frame, product)
        return
    with frame.writer.block(f"for tap in span(0, {product.taps}):"):
        _emit_backward_tap(frame, product, "tap")


def _emit_backward_tap(frame: Frame, product: Product, tap: str = "") -> None:
    plan, layout = frame.plan, frame.layout
    group, target = plan.groups[product.group], product.target
    assert target is not None
    columns = padded(group.parts[product.part].width, frame.lanes) // frame.lanes
    panel = layout.transposed_panel(group, product.part)
    ending, beside = _epilogue(frame, product)
    name = frame.product(
        rows=_literal_rows(frame), inner=group.columns, columns=columns, panel=panel,
        a_row=frame.stride(product.source.place.buffer), a_inner=1, b_row=None,
        c_row=frame.stride(target.buffer), start=product.start, **ending,
    )  # fmt: skip
    panels = -(-columns // panel)
    matrix = f"{layout.transposed[product.group, product.part]}"
    frame.writer.line(
        f"{name}({_from(frame, product.source)}, "
        f"transposed, {matrix}{_further(group.columns * columns * frame.lanes, tap)}, "
        f"{_from(frame, Access(target, product.shift))}{_later(frame, product, target.buffer, tap)}, "
        f"{frame.count()}, {group.columns}, {beside}"
        f"{frame.panels_of(panels)})"
    )


def _emit_partial(frame: Frame, product: Product) -> None:
    """Emits each member's partial sums: over its own columns of the source and its own rows of the weights."""
    plan, layout, sums = frame.plan, frame.layout, product.partials
    group, source = plan.groups[product.group], product.source.place
    assert sums is not None
    if product.kind == "forward":
        columns, array, place = group.columns, "weights", layout.part(group, product.part)
    else:
        columns = padded(group.parts[product.part].width, frame.lanes)
        array, place = "transposed", layout.transposed[product.group, product.part]
    cuts = frame.ownership.summed_cuts(source.width)
    mine = f"{cuts[:-1]}[member]"

    def line(inner: int) -> str:
        name = frame.product(
            rows=None, inner=inner, columns=columns // frame.lanes, panel=columns // frame.lanes,
            a_row=frame.stride(source.buffer), a_inner=1, b_row=None, c_row=sums.width, start="zero",
        )  # fmt: skip
        return (
            f"{name}({_from(frame, product.source)} + {mine}, {array}, {place} + {columns} * {mine}, "
            f"work, {_partials(frame, sums, 'member')}, {frame.count()}, {inner}, 0, 1)"
        )

    with frame.each_member():
        _emit_by_count(frame, cuts, line)


def _partials(frame: Frame, sums: Partials, member: str) -> str:
    """The offset of a member's partial sums, as source."""
    return f"{frame.start(sums.buffer)} + {member} * capacity * {int(frame.batch) * sums.width}"


def _emit_by_count(frame: Frame, cuts: tuple[int, ...], line: Callable[[int], str]) -> None:
    """Emits a line for each number of elements that a member's part has, with ``if`` where these differ.

    cuts: the bounds of the members' parts. line: makes the line for a number of elements.
    """
    counts = tuple(end - begin for begin, end in pairwise(cuts))
    different = sorted({*counts} - {0})
    if {*counts} == {*different} and len(different) == 1:
        frame.writer.line(line(different[0]))
        return
    for number, count in enumerate(different):
        with frame.writer.block(f"{'elif' if number else 'if'} {counts}[member] == {count}:"):
            frame.writer.line(line(count))


def emit_sum(frame: Frame, operation: Sum) -> None:
    """Emits the sum of all members' partial sums for the rows of one member, and the product's epilogue."""
    writer, product, sums = frame.writer, operation.product, operation.partials
    group, target, epilogue = frame.plan.groups[product.group], product.target, product.epilogue
    assert target is not None
    cuts = frame.ownership.summed_cuts(product.source.place.width)
    members = [member for member, (begin, end) in enumerate(pairwise(cuts)) if begin < end]
    with frame.each_row(), frame.each_vector(target.width) as column:
        terms = {
            "bias": [f"load(weights, {frame.layout.bias(group)} + {column})"],
            "add": [f"load(work, {frame.at(target, 0, column)})"],
        }.get(product.start, [])
        terms += [
            f"load(work, {_partials(frame, sums, str(member))} + r * {sums.width} + {column})" for member in members
        ]
        writer.line(f"sums = {terms[0]}")
        writer.lines(*(f"sums = sums + {term}" for term in terms[1:]))
        names = {"x": "sums"}
        if epilogue is not None and epilogue.beside is not None:
            writer.line(f"beside = load(work, {frame.at(epilogue.beside, 0, column)})")
            names["y"] = "beside"
        value = substitute(epilogue.expression, names) if epilogue is not None else "sums"
        writer.line(f"store(work, {frame.at(target, 0, column)}, {value})")


def _own(frame: Frame, place: int) -> str:
    """The offset of a place in the gradients, as source: in the thread's own gradients if it has its own."""
    return f"own + {place}" if frame.private else str(place)


def _pieces(frame: Frame, operation: Product | Bias | Columns) -> tuple[int, ...]:
    """The bounds, by thread, of the pieces of one gradient. A thread with its own gradients has all pieces."""
    if isinstance(operation, Product) and operation.taps > 1:
        group = frame.plan.groups[operation.group]
        return 0, -(-group.columns // frame.lanes // frame.layout.panel(group))
    task = frame.ownership.task_of(operation)
    return frame.ownership.cuts_by_place[task.place] if frame.shares_rows else (0, task.pieces)


def _emit_weight(frame: Frame, product: Product) -> None:
    if product.taps == 1:
        _emit_weight_tap(frame, product)
        return
    with frame.writer.block(f"for tap in span(0, {product.taps}):"):
        _emit_weight_tap(frame, product, "tap")


def _emit_weight_tap(frame: Frame, product: Product, tap: str = "") -> None:
    plan, layout = frame.plan, frame.layout
    group = plan.groups[product.group]
    part = group.parts[product.part]
    source, cuts = product.source.place, _pieces(frame, product)
    right = frame.start(f"g{group.index}")
    left = f"{frame.array(source.buffer)}, {frame.base(source, product.source.shift)}"
    left += _later(frame, product, source.buffer, tap)
    place = _own(frame, layout.part(group, product.part)) + _further(part.width * group.columns, tap)

    def line(count: int, skipped: str, skipped_weights: str, panels: str) -> str:
        name = frame.product(
            rows=count, inner=None, columns=group.columns // frame.lanes, panel=layout.panel(group), a_row=1,
            a_inner=frame.stride(source.buffer), b_row=frame.stride(right), c_row=None, start=product.start,
        )  # fmt: skip
        return (
            f"{name}({left}{skipped}, work, {right}, gradients, {place}{skipped_weights}, "
            f"{count}, {frame.use('rows')}, keep, {panels})"
        )

    if goes_by_member(frame, product):
        mine = f"{cuts[:-1]}[member]"
        _emit_by_count(frame, cuts, lambda count: line(count, f" + {mine}", f" + {group.columns} * {mine}", "0, 1"))
    else:
        frame.writer.line(line(part.width, "", "", frame.bounds(cuts)))


def emit_bias(frame: Frame, bias: Bias) -> None:
    """Emits the bias gradient of a group: the sums of its columns, or of a member's columns if they are divided."""
    name, cuts = f"g{bias.group}", _pieces(frame, bias)
    place = _own(frame, frame.layout.bias(frame.plan.groups[bias.group]))
    bounds = f"{cuts}[member], {cuts}[member + 1]" if frame.shares_rows else frame.bounds(cuts)
    given = f"work, {frame.start(name)}, {frame.use('rows')}, gradients, {place}, keep, {bounds}"
    frame.writer.line(f"{frame.column_sums(name)}({given})")


def emit_columns(frame: Frame, columns: Columns) -> None:
    """Emits the gradient of a parameter vector, or of a member's part of it if the vector is divided."""
    name, cuts = columns.source.buffer, _pieces(frame, columns)
    place = _own(frame, frame.layout.vector(columns.vector))
    bounds = f"{cuts}[member], {cuts}[member + 1]" if frame.shares_rows else frame.bounds(cuts)
    given = f"work, {frame.start(name)}, {frame.use('rows')}, gradients, {place}, keep, {bounds}"
    frame.writer.line(f"{frame.column_sums(name)}({given})")


def goes_by_member(frame: Frame, operation: Operation) -> bool:
    """Whether a gradient is computed member by member, and not for all members of the calling thread at once.

    This is needed where the order of additions depends on the number of columns, and where the products of members have
    different shapes.
    """
    if isinstance(operation, Bias | Columns):
        return frame.shares_rows
    return isinstance(operation, Product) and (operation.group, operation.part) in frame.plan.inner


def emit_operation(frame: Frame, operation: Operation) -> None:
    """Emits any operation but the loss."""
    if isinstance(operation, Block):
        emit_block(frame, operation)
    elif isinstance(operation, Reduce):
        emit_reduce(frame, operation)
    elif isinstance(operation, Mask):
        emit_mask(frame, operation)
    elif isinstance(operation, Columns):
        emit_columns(frame, operation)
    elif isinstance(operation, Rows):
        emit_rows(frame, operation)
    elif isinstance(operation, Product):
        emit_product(frame, operation)
    elif isinstance(operation, Sum):
        emit_sum(frame, operation)
    else:
        assert isinstance(operation, Bias)
        emit_bias(frame, operation)
