"""Tells whether data of ``train_many`` and ``fit_many`` are for all models, or a list with those of each.

Inputs are one for each model if they are a list or tuple each of whose items could be the inputs of a single call, by
the number of its axes. Then there must be as many as models. The other data are one for each if they are a list or
tuple of as many items as models, and each item fits the inputs of its model. Where both may be meant, a list of inputs
for each decides; without one, it is an error. What is no list or tuple is for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from ..data.reading import extents, with_shapes
from ..errors import DataError

Sizes = tuple[Any, ...]
_AXES = {None: (3, 4), "NSW": (3,), "NW": (2,)}  # of the inputs of a single call, by layout


def data_of_each(count: int, layout: Any, *data: Any) -> list[tuple[Any, ...]]:
    """The data of each model, in the order of ``data``: inputs, expected values, sample weights, lengths.

    Raises DataError if a list has data of more or fewer models, and if it may be meant in two ways.
    """
    inputs, *others = map(with_shapes, data)
    own = _are_of_each(count, layout, inputs)
    each = [list(inputs) if own else [inputs] * count]
    sizes = [extents(item) for item in inputs] if own else [extents(inputs)] * count
    for name, given in zip(_FITS, others, strict=False):
        argument = _Argument(name, layout, sizes)
        each.append(list(given) if argument.is_of_each(given, own=own) else [given] * count)
    return list(zip(*each, strict=True))


def validation_of_each(count: int, layout: Any, validation: Any) -> list[Any]:
    """The validation of each model: one for all, a list of tuples or fractions, or one whose parts are lists."""
    validation = with_shapes(validation, depth=4)
    if not isinstance(validation, list | tuple):
        return [validation] * count
    has_parts = len(validation) in (2, 3, 4)
    whole = bool(validation) and all(_is_validation(layout, item) for item in validation)
    if whole and has_parts and _are_complete(layout, validation[0], count):
        whole = isinstance(validation, list) and not any(isinstance(item, list) for item in validation)
        has_lists = isinstance(validation, tuple) and all(isinstance(item, list) for item in validation)
        if not whole and not has_lists and len(validation) == count:
            raise DataError(
                f"validation has {count} lists of data, which may be those of each model, or the inputs and the "
                "expected values of all: if it has those of each model, give a list of tuples"
            )
    if whole:
        _check_count("validation", validation, count)
        return list(validation)
    if not has_parts:
        return [validation] * count  # each model says what is wrong
    try:
        return list(data_of_each(count, layout, *validation))
    except DataError as error:
        raise DataError(f"validation: {error}") from error


def batches_of_each(count: int, batches: Any) -> list[Any]:
    """The batches of each model: a list of functions, loaders or lists of tuples, one for each, or batches for all."""
    if not (isinstance(batches, list | tuple) and batches and all(map(_are_batches, batches))):
        return [batches] * count
    _check_count("inputs", batches, count)
    return list(batches)


def _check_count(name: str, given: Sequence[Any], count: int) -> None:
    """Raise DataError if a list has not one item for each model."""
    if len(given) != count:
        raise DataError(
            f"{name} is a list of {len(given)} items, each of which could be that of a model, but there are "
            f"{count} models: give one for each, or one for all that is no list"
        )


# Inputs ---------------------------------------------------------------------------------------------------------------


def _are_of_each(count: int, layout: Any, inputs: Any) -> bool:
    """Whether inputs are one for each model. An item that fits no model is then the error of its model alone."""
    if not isinstance(inputs, list | tuple):
        return False
    complete = [_is_complete(layout, item) for item in inputs]
    if complete and all(complete):
        _check_count("inputs", inputs, count)
    return len(inputs) == count and any(complete)


def _are_complete(layout: Any, items: Any, count: int) -> bool:
    """Whether items are as many inputs as there are models."""
    return isinstance(items, list | tuple) and len(items) == count and all(_is_complete(layout, one) for one in items)


def _is_complete(layout: Any, item: Any) -> bool:
    """Whether an item has as many axes as the inputs of a single call."""
    return len(extents(item)) in _axes(layout)


def _axes(layout: Any) -> tuple[int, ...]:
    """How many axes the inputs of a single call have; none for what is no layout."""
    return _AXES.get(layout, ()) if layout is None or isinstance(layout, str) else ()


# What goes with inputs ------------------------------------------------------------------------------------------------


class _Argument:
    """An argument that goes with inputs. sizes: those of the inputs of each model."""

    def __init__(self, name: str, layout: Any, sizes: list[Sizes]) -> None:
        self.name, self.layout, self.sizes = name, layout, sizes

    def is_of_each(self, given: Any, *, own: bool) -> bool:
        """Whether the argument is one for each model. own: whether inputs are."""
        if not isinstance(given, list | tuple) or not given:
            return False
        items, count = [None if item is None else extents(item) for item in given], len(self.sizes)
        whole = None not in items and all(self._fits(extents(given), of) for of in self._kinds)
        if len(given) != count:
            if not whole and all(any(self._fits(item, of) for of in self._kinds) for item in items):
                _check_count(self.name, given, count)
            return False
        fit = all(self._fits(item, of) for item, of in zip(items, self.sizes, strict=True))
        if fit and whole and not own:
            raise DataError(
                f"{self.name} is a list of {count} items, which may be one for each of the {count} models, or the rows "
                "of one for all: give an array if it is for all, or a list of inputs too if it has one for each"
            )
        return fit or (own and not whole and all(item is None or item for item in items))

    @property
    def _kinds(self) -> dict[Sizes, None]:
        return dict.fromkeys(self.sizes)

    def _fits(self, sizes: Sizes | None, of: Sizes) -> bool:
        """Whether an item of some sizes goes with inputs of the sizes ``of``. sizes: None where the item is None."""
        if sizes is None:
            return self.name != "expected"
        return len(of) in _axes(self.layout) and _FITS[self.name](self.layout, sizes, of)


def _expected_fits(layout: str | None, sizes: Sizes, of: Sizes) -> bool:
    """A vector or a label for each vector of the inputs, or with "NSW" for each sequence."""
    if layout is None:
        leading = of[:-1]
        return sizes[: len(leading)] == leading and len(sizes) <= len(of)
    return sizes[:1] == of[:1] and len(sizes) <= len(of)


def _weights_fit(layout: str | None, sizes: Sizes, of: Sizes) -> bool:
    """A number for each vector of the inputs, or with "NSW" for each sequence."""
    if layout is None:
        return sizes == of[:-1]
    return sizes[:1] == of[:1] and len(sizes) < len(of)


def _lengths_fit(layout: str | None, sizes: Sizes, of: Sizes) -> bool:
    """(B,) for one sequence, (N,) or (N, B) for several, (N,) with "NSW"."""
    if layout is None:
        return sizes == of[1:2] if len(of) == 3 else sizes in (of[:1], (of[0], of[2]))
    return sizes == of[:1]


_FITS: dict[str, Callable[[str | None, Sizes, Sizes], bool]] = {
    "expected": _expected_fits,
    "sample_weight": _weights_fit,
    "lengths": _lengths_fit,
}


# Validation and batches -----------------------------------------------------------------------------------------------


def _is_validation(layout: Any, item: Any) -> bool:
    """Whether an item could be the validation of a single call: None, a fraction, or data."""
    if isinstance(item, list | tuple):
        return len(item) in (2, 3, 4) and _is_complete(layout, item[0])
    return item is None or (isinstance(item, Real) and not isinstance(item, bool))


def _are_batches(item: Any) -> bool:
    """Whether an item could be the batches of a single call and is no batch: it is no list, or a list of tuples."""
    if not isinstance(item, list | tuple):
        return True
    return bool(item) and all(isinstance(batch, tuple) for batch in item)
