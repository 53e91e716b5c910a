"""Emits element-by-element operations: blocks, numbers of rows, and masks of dropouts, each a loop over rows."""

from __future__ import annotations

from ..functions.dropout import threshold
from ..functions.expressions import Expression
from ..schedule import Access, Block, Map, Mask, Place, Reduce
from .frame import Frame, before

_BEFORE = "before"  # in an expression, what its value is added to


def emit_block(frame: Frame, block: Block) -> None:
    """A fused block: one loop over rows, one over vectors for each pass over a row, every value read once a pass.

    Numbers of the row stay in registers from pass to pass. They are stored last: nothing is stored then while the row
    is read again, and LLVM keeps a row of few vectors in registers.
    """
    made = [statement for statement in block.maps if isinstance(statement, Reduce)]
    with frame.each_row():
        numbers = _emit_numbers(frame, block)
        for statements in block.passes:
            _emit_pass(frame, statements, numbers)
        for number in made:
            if number.store:
                where = f"{frame.array(number.target.buffer)}, {frame.at(number.target, 0, '0')}"
                frame.writer.line(f"store({where}, {_register(number.target)})")


def _emit_numbers(frame: Frame, block: Block) -> dict[tuple[Place, int], str]:
    """The variables of the numbers of a row that fill a vector. Those that a block only reads are loaded."""
    own = {statement.target for statement in block.maps}
    operands = (access for statement in block.maps for _, access in statement.operands if access.broadcast)
    read = (access for access in operands if access.place.width == frame.lanes and access.place not in own)
    numbers: dict[tuple[Place, int], str] = {}
    for access in read:
        key, name = (access.place, access.shift), _register(access.place, access.shift)
        if key not in numbers:
            frame.writer.line(f"{name} = {frame.load(access, 0, '0')}")
            numbers[key] = name
    return numbers


def _emit_pass(frame: Frame, statements: tuple[Map | Reduce, ...], numbers: dict[tuple[Place, int], str]) -> None:
    """One pass over a row, and the numbers that it makes."""
    writer, made = frame.writer, [statement for statement in statements if isinstance(statement, Reduce)]
    for number in made:
        writer.line(f"{_register(number.target)} = splat(0.0)")
    with frame.each_vector(statements[0].width) as column:
        read = [(access.place, access.shift) for statement in statements for _, access in statement.operands]
        registers = {key: numbers[key] for key in read if key in numbers}  # not all: a block may have thousands
        for statement in statements:
            if isinstance(statement, Reduce):
                _emit_term(frame, statement, column, registers)
            else:
                _emit_map(frame, statement, column, registers)
    for number in made:
        name = numbers[number.target, 0] = _register(number.target)
        writer.line(f"{name} = splat(total({name}))")
        if number.finish:
            mean = f"({1.0 / number.width!r} * {name})"
            writer.line(f"{name} = {substitute(number.finish, {'mean': mean})}")


def _emit_term(frame: Frame, number: Reduce, column: str, registers: dict[tuple[Place, int], str]) -> None:
    """What a vector adds to a number of the row."""
    names = {name: _operand(frame, number, access, column, registers) for name, access in number.operands}
    term, name = f"({substitute(number.expression, names)})", _register(number.target)
    if frame.ragged(number.width, number.width):
        term = f"head({term}, splat(0.0), {frame.left(number.width, column)})"
    frame.writer.line(f"{name} = {name} + {term}")


def _emit_map(frame: Frame, statement: Map, column: str, registers: dict[tuple[Place, int], str]) -> None:
    """Emits one statement: load the values that are not in registers yet, compute, and store the result if needed."""
    writer = frame.writer
    names = {}
    for name, access in statement.operands:
        names[name] = _operand(frame, statement, access, column, registers)
    for name, text in statement.let:
        fresh = f"{name}_{len(registers)}"
        writer.line(f"{fresh} = {substitute(text, names)}")
        names[name] = fresh
    if statement.accumulate:
        names[_BEFORE] = _operand(frame, statement, Access(statement.target, statement.shift), column, registers)
    register = _register(statement.target, statement.shift)
    writer.line(f"{register} = {_value(frame, statement, column, names)}")
    registers[statement.target, statement.shift] = register
    if statement.store:
        _store(frame, statement, column, register)


def _value(frame: Frame, statement: Map, column: str, names: dict[str, str]) -> str:
    """What a statement stores, as source."""
    if statement.accumulate and not _is_cut(frame, statement):
        return str(Expression(statement.expression).added_to(_BEFORE).renamed(names))
    value = substitute(statement.expression, names)
    if statement.keep is not None:
        value = f"head({value}, {names[statement.rest]}, {frame.left(statement.keep, column)})"
    if statement.zero is not None and frame.ragged(statement.zero, statement.width):
        value = f"head({value}, splat(0.0), {frame.left(statement.zero, column)})"
    if statement.accumulate:
        value = f"{names[_BEFORE]} + {value if value.isidentifier() else f'({value})'}"
    return value


def _is_cut(frame: Frame, statement: Map) -> bool:
    """Whether only some components of a statement's value are stored."""
    limits = [statement.zero, statement.width if statement.exact else None]
    ragged = any(limit is not None and frame.ragged(limit, statement.width) for limit in limits)
    return statement.keep is not None or ragged


def emit_mask(frame: Frame, operation: Mask) -> None:
    """Emits the mask of a dropout, row by row. Its random bits depend on counters only."""
    writer, rate = frame.writer, operation.rate
    writer.line(f"threshold, scale = {threshold(rate)}, {1.0 / (1.0 - rate)!r}")
    with writer.block("if noise < 0:"):
        writer.line("threshold, scale = 0, 1.0")
    if frame.by_batch:
        writer.line(f"ahead = {frame.all_lanes} * member // {frame.threads}")
    row = f"ahead + r // {frame.batch} * {frame.all_lanes} + r % {frame.batch}" if frame.by_batch else "noise_row + r"
    with frame.each_row():
        writer.line(f"a, b = row_noise(noise, {operation.node}, {row})")
        with frame.each_vector(operation.target.width) as column:
            where = f"work, {frame.at(operation.target, 0, column)}"
            writer.line(f"store({where}, scale * kept(a, b, {column}, threshold))")


def emit_reduce(frame: Frame, operation: Reduce) -> None:
    """Emits a number for each row, the sum over the row's components, as the first component of a vector."""
    writer, width = frame.writer, operation.width
    with frame.each_row():
        writer.line("sums = splat(0.0)")
        with frame.each_vector(width) as column:
            names = {}
            for name, access in operation.operands:
                names[name] = f"{name}_"
                writer.line(f"{name}_ = {frame.load(access, width, column)}")
            term = f"({substitute(operation.expression, names)})"
            if frame.ragged(width, width):
                term = f"head({term}, splat(0.0), {frame.left(width, column)})"
            writer.line(f"sums = sums + {term}")
        writer.line("sums = splat(total(sums))")
        if frame.lanes > 1:
            writer.line("sums = head(sums, splat(0.0), 1)")
        where = f"{frame.array(operation.target.buffer)}, {frame.at(operation.target, operation.shift, '0')}"
        writer.line(f"store({where}, {f'load({where}) + sums' if operation.accumulate else 'sums'})")


def _register(place: Place, shift: int = 0) -> str:
    """The name of the variable that holds a vector of a place."""
    text = f"{place.buffer}_{place.column}" if place.column else f"{place.buffer}_"
    return text + before(shift, "before")


def _operand(
    frame: Frame, statement: Map | Reduce, access: Access, column: str, registers: dict[tuple[Place, int], str]
) -> str:
    """The variable with what an access reads."""
    writer, key = frame.writer, (access.place, access.shift)
    if access.broadcast:
        return _broadcast(frame, access, column, registers)
    cut = access.limit is not None and frame.ragged(access.limit, statement.width)
    if key in registers:
        if not cut:
            return registers[key]
        assert access.limit is not None
        return f"head({registers[key]}, splat(0.0), {frame.left(access.limit, column)})"
    if cut:
        name = f"{_register(access.place, access.shift)}cut"
        writer.line(f"{name} = {frame.load(access, statement.width, column)}")
        return name
    registers[key] = _register(access.place, access.shift)
    writer.line(f"{registers[key]} = {frame.load(access, statement.width, column)}")
    return registers[key]


def _broadcast(frame: Frame, access: Access, column: str, registers: dict[tuple[Place, int], str]) -> str:
    """The variable with a number in all components of a vector."""
    key, name = (access.place, access.shift), f"{_register(access.place, access.shift)}first"
    if access.place.width == frame.lanes and key in registers:
        return registers[key]
    known = key in registers
    first = f"splat(total(head({registers[key]}, splat(0.0), 1)))" if known else frame.load(access, 0, column)
    frame.writer.line(f"{name} = {first}")
    return name


def _store(frame: Frame, statement: Map, column: str, register: str) -> None:
    place = statement.target
    array, where = frame.array(place.buffer), frame.at(place, statement.shift, column)
    if statement.exact and frame.ragged(statement.width, statement.width):
        frame.writer.line(f"store_head({array}, {where}, {register}, {frame.left(statement.width, column)})")
    else:
        frame.writer.line(f"store({array}, {where}, {register})")


def substitute(text: str, names: dict[str, str]) -> str:
    """An expression, its products and sums joined, with its variables renamed."""
    return Expression("splat(0.0)" if text == "zero" else text).joined.renamed(names)
