"""Lists what the operations of a plan read and write."""

from collections.abc import Iterator

from neuromorph.schedule import Access, Block, Loss, Operation, Place, Plan, Product, Rows


def all_operations(found: Plan) -> list[Operation]:
    return [op for segment in (*found.forward, *found.backward) for op in segment.operations]


def read(operation: Operation) -> Iterator[Access]:
    """The accesses by which an operation reads memory, without registers of its own block."""
    if isinstance(operation, Block):
        made: set[Place] = set()
        for m in operation.maps:
            for access in [a for _, a in m.operands] + [Access(m.target)] * m.accumulate:
                if access.shift or access.place not in made:
                    yield access
            made.add(m.target)
    elif isinstance(operation, Rows):
        yield from map(Access, (*operation.operands, *[operation.target] * operation.accumulate))
    elif isinstance(operation, Loss):
        yield from (Access(place) for place in (operation.result, operation.logits) if place is not None)
    elif isinstance(operation, Product):
        yield operation.source
        if operation.target is not None and operation.start == "add":
            yield Access(operation.target)
        if operation.epilogue is not None and operation.epilogue.beside is not None:
            yield Access(operation.epilogue.beside)


def written(operation: Operation) -> Iterator[Place]:
    """The places that an operation writes in memory."""
    if isinstance(operation, Block):
        yield from (m.target for m in operation.maps if m.store)
    elif isinstance(operation, Rows | Loss | Product) and operation.target is not None:
        yield operation.target
