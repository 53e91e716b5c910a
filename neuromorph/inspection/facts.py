"""The plan of a kernel as tables: time loops, groups of siblings, buffers with their bytes."""

from __future__ import annotations

from collections.abc import Sequence

from ..codegen import Kernel, sparse_copies
from ..graph.words import values_of
from ..optimizers import UPDATES
from ..schedule import WINDOW, Buffer, Group, InChunks, Plan, Segment, Sum
from .records import BufferReport, GroupReport, LoopReport

_HOLDS = {
    "v": "value of", "d": "gradient of", "c": "gradient carried back in time to",
    "e": "each row's share of the gradient of parameters of", "m": "numbers of each row for",
    "k": "mask of", "h": "numbers of each row for the gradient of",
}  # fmt: skip


def loops_of(kernel: Kernel, domains: dict[int, int]) -> tuple[LoopReport, ...]:
    """The time loops. domains: the number of the loop that each node runs in."""
    plan = kernel.plan.training
    numbers = sorted({segment.domain for segment in plan.forward} - {WINDOW})
    return tuple(
        LoopReport(
            number,
            tuple(plan.graph.nodes[index].name for index, domain in sorted(domains.items()) if domain == number),
            _operations(plan.forward, number),
            _operations(plan.backward, number),
        )
        for number in numbers
    )


def _operations(segments: Sequence[Segment], domain: int) -> int:
    return sum(len(segment.operations) for segment in segments if segment.domain == domain)


def groups_of(kernel: Kernel) -> tuple[GroupReport, ...]:
    """The sibling groups of training."""
    plan, names = kernel.plan.training, [node.name for node in kernel.plan.training.graph.nodes]
    return tuple(
        GroupReport(
            group.index,
            tuple(names[member.node] for member in group.members),
            tuple(names[part.node] + values_of(part.shift, part.taps, part.dilation) for part in group.parts),
            group.fan_in,
            group.columns,
            None if group.domain == WINDOW else group.domain,
            group.size * kernel.options.size,
        )
        for group in plan.groups
    )


def buffers_of(kernel: Kernel, steps: int) -> tuple[BufferReport, ...]:
    """The workspace's buffers in the order of their names, then the flat arrays, for windows of ``steps`` samples."""
    plan, size, options = kernel.plan.training, kernel.options.size, kernel.options
    copies = kernel.plan.gradient_copies  # of the workspace, where each thread has its own
    division, lanes = options.division, -(-options.batch // copies)
    if isinstance(division, InChunks):
        lanes, steps = 1, division.rows
    found = []
    for buffer in plan.buffers:
        rows = {"window": steps, "slots": steps + buffer.depth, "step": 1}[buffer.rows] * lanes
        count, stride = rows * copies, buffer.stride * size
        own = buffer.block == buffer.name
        holds = _holds(plan, buffer) + ("" if own else f", in the place of {buffer.block}")
        found.append(BufferReport(buffer.name, holds, count, stride, count * stride if own else 0))
    if kernel.plan.apart:
        count, stride = steps * lanes * copies, plan.strides["x"] * size
        found.append(BufferReport("inputs", "inputs of each thread's lanes", count, stride, count * stride))
    flat = [("weights", "weights and biases", 1), ("gradients", "of weights and biases", copies)]
    slots = UPDATES[options.optimizer].slots
    flat += [("memory", f"of the optimizer: {', '.join(slots)}", len(slots))] if slots else []
    found += [BufferReport(name, what, 0, 0, kernel.plan.layout.size * size * many) for name, what, many in flat]
    transposed = kernel.plan.layout.transposed_size * size
    found += (
        [BufferReport("transposed", "transposed weights for the backward pass", 0, 0, transposed)] if transposed else []
    )
    copied = sum(copy.form.elements for copy in sparse_copies(kernel.plan)) * size
    found += [BufferReport("sparse", "sparse copies of frozen weights", 0, 0, copied)] if copied else []
    return tuple(found)


def _holds(plan: Plan, buffer: Buffer) -> str:
    """The content of a buffer, in words."""
    letter, number = buffer.name[0], int(buffer.name[1:])
    if letter == "p":
        return f"each thread's own sums: {_summed(plan, buffer.name)}"
    before = "the step before" if buffer.depth == 1 else f"{buffer.depth:,} steps before"
    state = f", with {before}" if buffer.rows == "slots" else ""
    if letter in _HOLDS:
        return f"{_HOLDS[letter]} {plan.graph.nodes[number].name}{state}"
    group = plan.groups[number]
    what = "gradient of the pre-activations of" if letter == "g" else "pre-activations, then values, of"
    return f"{what} {_members(plan, group)}{state}"


def _summed(plan: Plan, name: str) -> str:
    """The text that names the product whose partial sums are in a buffer."""
    operations = (operation for segment in (*plan.forward, *plan.backward) for operation in segment.operations)
    return next(op.product.note for op in operations if isinstance(op, Sum) and op.partials.buffer == name)


def _members(plan: Plan, group: Group) -> str:
    return ", ".join(plan.graph.nodes[member.node].name for member in group.members)
