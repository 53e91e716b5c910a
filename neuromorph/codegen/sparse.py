"""Chooses the frozen matrices that have sparse copies, and their places behind the parameters.

A copy pays in the loop of a model of one lane: there each step reads all weights and does little with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..abi.sparse import HEAD, SparseForm
from ..abi.summation import CHAINS, DEEPEST
from ..host.frozen import frozen
from ..schedule import WINDOW, Alone, ByColumns, KernelPlan, Product, padded

LARGE = 1 << 17  # bytes of a matrix at least: a smaller one stays in the processor's cache, where zeros cost little
MOST_SUMS = 1 << 17  # bytes of all sums at most: they are on the stack


Cuts = tuple[int, ...] | None  # the bounds of panels by thread


@frozen
class SparseCopy:
    """A sparse copy of the matrix of a group's part, or of one thread's columns of it, for training or for prediction.
    place: its offset in the array of parameters."""

    group: int
    part: int
    predicts: bool
    form: SparseForm
    place: int

    @property
    def end(self) -> int:
        """The offset after the copy."""
        return self.place + self.form.elements


def sparse_copies(plan: KernelPlan) -> tuple[SparseCopy, ...]:
    """The sparse copies that the kernels of a plan read. A plan for the machine has none."""
    place, found = padded(plan.layout.size, HEAD), []
    for product, cuts in _candidates(plan) if plan.fused else ():
        forms = list(_forms_of_threads(plan, product, cuts)) if _trains_one_lane(plan) else []
        for form in (*forms, _form(plan, product, chained=False)):
            found.append(SparseCopy(product.group, product.part, not form.chained, form, place))
            place = found[-1].end
    return tuple(found)


def _trains_one_lane(plan: KernelPlan) -> bool:
    return plan.options.batch == 1 and isinstance(plan.options.division, Alone | ByColumns)


def _candidates(plan: KernelPlan) -> Iterator[tuple[Product, Cuts]]:
    """The products with large frozen matrices in loops over time, and the bounds of their panels by thread."""
    for segment in plan.training.forward:
        shares = segment.shares or (None,) * len(segment.operations)
        for product, share in zip(segment.operations, shares, strict=True) if segment.domain != WINDOW else ():
            if not isinstance(product, Product) or plan.training.groups[product.group].learns or product.taps > 1:
                continue
            if _pays(_form(plan, product, chained=True)):
                yield product, None if share is None else share.cuts


def _forms_of_threads(plan: KernelPlan, product: Product, cuts: Cuts) -> Iterator[SparseForm]:
    """The form of each thread's copy for training; that of the whole matrix if it is not divided."""
    whole = _form(plan, product, chained=True)
    yield from [whole] if cuts is None else (whole.of_panels(*panels) for panels in pairwise(cuts))


def _pays(form: SparseForm) -> bool:
    """Whether a matrix is large enough for a copy, and not so large that its sums would need much of a stack."""
    row = form.simd_width * form.size
    large = form.inner > DEEPEST and form.columns >= CHAINS and form.inner * form.columns * row >= LARGE
    return large and form.sums_of_block * row <= MOST_SUMS


def _form(plan: KernelPlan, product: Product, *, chained: bool) -> SparseForm:
    group, options = plan.training.groups[product.group], plan.options
    columns, panel = group.columns // options.lanes, plan.layout.panel(group)
    return SparseForm(options.size, options.lanes, group.parts[product.part].width, columns, panel, chained)
