"""Reads data whose first axis counts sequences or single vectors, and packs them into the lanes of a model.

- ``layout="NSW"``: N sequences of S steps, (N, S, W), or a list of N arrays (S_n, W). What is expected has one vector
for each step, (N, S, W_out), or one for each sequence, (N, W_out), which is that of its last step.
- ``layout="NW"``: N single vectors (N, W), with (N, W_out).

The axis of W_out is missing for class labels, and may be missing where the output has width 1. Packed arguments know
where each of their numbers was (``Given.place``), so that messages name the place that the user knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .arrays import PredictionData, Shape, cast_finite, check_agree, check_shape
from .labels import Needs, checked_lengths
from .packing import Lengths, Packing, Reading, even_lanes
from .reading import Given, Place, indexed, read, shown

Array = NDArray[Any]
LAYOUTS = ("NSW", "NW")


@dataclass(frozen=True, eq=False)
class Arranged:
    """Arguments of training, packed: (G, S, B, …) or (G, B, …). ``expected`` and ``weights`` may be None.

    weights: those of the answers. of_steps: those of all steps, if they were asked for and differ from ``weights``.
    """

    inputs: Given
    expected: Given | None
    weights: Given | None
    reading: Reading
    of_steps: Given | None = None


@dataclass(frozen=True, eq=False)
class _Rows:
    """The inputs of a call as they were read: one array (N, …), or a list of arrays (S_n, W)."""

    items: Given | list[Given]
    packing: Packing

    @property
    def packed(self) -> Given:
        """The packed inputs."""
        return _packed("inputs", self.items, self.packing)


def checked_layout(layout: Any, recurrent: bool) -> str | None:
    """The layout, or None for "by the number of axes". DataError for any other value, and for single vectors where a
    model has links back in time."""
    if layout is not None and not (isinstance(layout, str) and layout in LAYOUTS):
        raise DataError(f"layout is {shown(layout)}, but must be None, 'NSW' or 'NW'")
    if layout == "NW" and recurrent:
        raise DataError(
            "layout='NW' is for single vectors, and this model has links back in time, which need sequences: give "
            "layout='NSW', or cut one long series by windows()"
        )
    return layout


def arranged(
    layout: str,
    needs: Needs,
    inputs: Any,
    expected: Any,
    sample_weight: Any = None,
    lengths: Any = None,
    *,
    of_steps: bool = False,
) -> Arranged:
    """The arguments of training in a layout, packed into lanes. What is not there gets weight 0.

    of_steps: whether the weights of all steps are asked for, also of those before a sequence's only answer.

    Raises DataError where shapes do not fit the model or one another, and where lengths are wrong. Values are checked
    later.
    """
    rows = _rows(layout, needs.width_in, lambda _: needs.batch, inputs)
    last = _last_steps(rows.packing, lengths)
    answers, once = (None, False) if expected is None else _answers(needs, rows, last, expected)
    weights = _weights(rows.packing, last, once, sample_weight)
    steps = None
    if of_steps and once:
        steps = _weights(rows.packing, last, False, sample_weight) or _ones(rows.packing)
    return Arranged(rows.packed, answers, weights, Reading(layout, once), steps)


def arranged_inputs(layout: str, inputs: Any, *, width: int, dtype: np.dtype[Any], lanes: int) -> PredictionData:
    """The inputs of prediction in a layout, packed evenly into at most ``lanes`` lanes, and checked."""
    rows = _rows(layout, width, lambda count: even_lanes(count, lanes), inputs)
    return PredictionData(
        cast_finite(rows.packed, dtype), squeeze=False, sequences=layout == "NSW", packing=rows.packing
    )


def is_list(value: Any) -> bool:
    """Whether a value is a list of sequences and not one array."""
    return isinstance(value, list | tuple) or (
        isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1
    )


# Inputs ---------------------------------------------------------------------------------------------------------------


def _rows(layout: str, width: int, lanes_for: Callable[[int], int], inputs: Any) -> _Rows:
    """The inputs, with their shapes checked. lanes_for: the lanes for a number of sequences or vectors."""
    if layout == "NSW" and is_list(inputs):
        return _list_rows(width, lanes_for, inputs)
    given = read("inputs", inputs)
    shape: Shape = (("sequences", None), ("steps", None), ("width", width))
    if layout == "NW":
        shape = (("vectors", None), ("width", width))
    check_shape(given, (shape,), f", for layout={layout!r}")
    count, *steps, _ = given.numbers.shape
    return _Rows(given, Packing(count, lanes_for(count), *steps))


def _list_rows(width: int, lanes_for: Callable[[int], int], inputs: Any) -> _Rows:
    """Sequences of different lengths."""
    if not len(inputs):
        raise DataError("inputs is an empty list, but needs at least 1 sequence")
    items = [read(f"inputs[{number}]", item) for number, item in enumerate(inputs)]
    for item in items:
        check_shape(item, ((("steps", None), ("width", width)),), ", as inputs is a list of sequences")
    lengths = np.array([len(item.numbers) for item in items], np.intp)
    return _Rows(items, Packing(len(items), lanes_for(len(items)), int(lengths.max()), lengths))


def _packed(name: str, items: Given | list[Given], packing: Packing) -> Given:
    """Rows in lanes."""
    if isinstance(items, list):
        array = packing.pack_list([item.numbers for item in items])
        return Given(name, array, array, lambda index: _of_list(name, packing.number(index)))
    array = packing.pack(items.numbers)
    return Given(name, array, array, lambda index: indexed(name, packing.number(index)))


def _of_list(name: str, index: Place) -> str:
    """What messages call a number of a list of sequences, such as ``inputs[3][0, 1]``."""
    return indexed(f"{name}[{index[0]}]", index[1:])


# What is expected -----------------------------------------------------------------------------------------------------


def _answers(needs: Needs, rows: _Rows, last: Lengths | None, expected: Any) -> tuple[Given, bool]:
    """What is expected, in lanes, and whether it is one answer for each sequence."""
    packing = rows.packing
    given = _read_rows("expected", expected, packing, [(needs.width_out,), *([()] if needs.short else [])])
    if isinstance(given, list) and packing.lengths is not None:
        _check_each(needs, packing.lengths, given)
        return _packed_answers(needs, given, packing), False
    assert isinstance(given, Given)
    if given.numbers.ndim == 0:
        raise DataError(f"expected is a single number, but needs {_needed(needs, packing)}")
    check_agree("expected", given.numbers.shape, "inputs", (packing.count,), (_counted(packing),))
    kind = _kind(needs, packing, given)
    if kind == "once" and last is not None:
        return _once(needs, packing, given, last), True
    return _packed_answers(needs, given, packing), False


def _read_rows(name: str, value: Any, packing: Packing, once: Collection[tuple[int, ...]]) -> Given | list[Given]:
    """An argument that has a row for each step or for each sequence.

    once: the shapes of the row of a sequence. Where inputs is a list and the argument has other items, they are the
    rows of its steps, and the result is a list.
    """
    if packing.lengths is None or not is_list(value):
        return read(name, value)
    items = [read(f"{name}[{number}]", item) for number, item in enumerate(value)]
    check_agree(name, (len(items),), "inputs", (packing.count,), ("sequences",))
    shapes = {item.numbers.shape for item in items}
    if len(shapes) > 1 or not shapes <= set(once):
        return items
    rows = np.stack([item.numbers for item in items])
    return Given(name, rows, rows)


def _check_each(needs: Needs, lengths: Lengths, items: list[Given]) -> None:
    """Raise DataError if the answers to a list of sequences have not one vector, or one label, for each step."""
    dims = items[0].numbers.ndim
    for item, length in zip(items, lengths, strict=True):
        shapes = [(int(length), needs.width_out), *([(int(length),)] if needs.short else [])]
        if item.numbers.shape not in shapes or item.numbers.ndim != dims:
            needed = " or ".join(map(str, shapes))
            raise DataError(f"{item.name} has shape {item.numbers.shape}, but needs {needed}, as all others")


def _kind(needs: Needs, packing: Packing, given: Given) -> str:
    """Whether an array (N, …) has an answer for each step ("each") or for each sequence ("once").

    Of single vectors, each is a step. DataError for any other shape.
    """
    tail, wide, short = given.numbers.shape[1:], needs.width_out, needs.short
    steps = () if packing.steps is None else (packing.steps,)
    if tail == (*steps, wide) or (short and tail == steps and tail != (wide,)):
        return "each"
    if steps and (tail == (wide,) or (short and prod(tail) == 1) or (len(tail) == 2 and prod(tail) == wide)):
        if short and tail == steps == (wide,) and wide > 1:
            _check_vectors(given)
        return "once"
    raise DataError(f"expected has shape {given.numbers.shape}, but needs {_needed(needs, packing)}")


def _check_vectors(given: Given) -> None:
    """Raise DataError if rows may be labels of as many steps as there are classes, and not vectors."""
    sums = given.numbers.sum(axis=1, dtype=np.float64)
    if not np.allclose(sums, 1.0, atol=1e-3):
        raise DataError(
            f"expected of shape {given.numbers.shape} may be a label for each step, or a vector for each sequence: "
            "there are as many steps as classes; give vectors (sequences, steps, width) with a single 1"
        )


def _needed(needs: Needs, packing: Packing) -> str:
    """The shapes that expected values may have, for a message."""
    count, wide, short = packing.count, needs.width_out, needs.short
    what = " of labels" if needs.takes_labels else ""
    if packing.steps is None:
        return f"({count}, {wide})" + (f", or ({count},){what}" if short else "")
    each, once = (count, packing.steps), (count,)
    more = f" (or {each} and {once}{what})" if short else ""
    return f"({count}, {packing.steps}, {wide}), or ({count}, {wide}) for the last step alone{more}"


def _packed_answers(needs: Needs, items: Given | list[Given], packing: Packing) -> Given:
    """An answer for each step, in lanes; with the axis of W_out, unless these are labels."""
    given = _packed("expected", items, packing)
    if needs.takes_labels or given.numbers.ndim > len(packing.leading):
        return given
    at: Callable[[Place], str] = given.at
    wide = given.numbers[..., np.newaxis]
    return Given("expected", wide, wide, lambda index: at(index[:-1]))


def _once(needs: Needs, packing: Packing, given: Given, last: Lengths) -> Given:
    """One answer for each sequence, in lanes, at its last step."""
    tail = given.numbers.shape[1:]
    labels = needs.takes_labels and prod(tail) == 1
    rows = given.numbers.reshape(packing.count, *([] if labels else [needs.width_out]))
    array = packing.pack_once(rows, last)

    def place(index: Place) -> str:
        number, _, *rest = packing.number(index)
        component = np.unravel_index(rest[0] if rest else 0, tail) if tail else ()
        return indexed("expected", (number, *map(int, component)))

    return Given("expected", array, array, place)


# Weights --------------------------------------------------------------------------------------------------------------


def _counted(packing: Packing) -> str:
    """What the first axis counts."""
    return "vectors" if packing.steps is None else "sequences"


def _last_steps(packing: Packing, lengths: Any) -> Lengths | None:
    """The last step of each sequence, -1 for one of length 0; None for single vectors."""
    if packing.steps is None:
        if lengths is not None:
            raise DataError("lengths are for sequences, and layout='NW' has single vectors")
        return None
    if lengths is None:
        return np.full(packing.count, packing.steps) - 1 if packing.lengths is None else packing.lengths - 1
    if packing.lengths is not None:
        raise DataError("lengths are those of the list's items where inputs is a list: leave lengths= out")
    found = checked_lengths(read("lengths", lengths), (("sequences", packing.count),), packing.steps)
    return found.astype(np.intp) - 1


def _weights(packing: Packing, last: Lengths | None, once: bool, sample_weight: Any) -> Given | None:
    """The weights of all vectors, in lanes; None if each is 1."""
    counts = _counting(packing, last, once)
    if sample_weight is None:
        array = packing.pack(counts)
        return None if array.all() else Given("sample_weight", array, array)
    given = _weights_of_rows(packing, sample_weight)
    if isinstance(given, list):
        weights = _packed("sample_weight", given, packing)
    elif packing.steps is not None and given.numbers.ndim == 1:
        weights = _of_sequences(packing, given)
    else:
        weights = _packed("sample_weight", given, packing)
    array = np.where(packing.pack(counts), weights.numbers, 0)
    return Given("sample_weight", array, array, weights.place)


def _ones(packing: Packing) -> Given:
    """Weights of 1."""
    array = np.broadcast_to(np.ones(1), packing.leading)
    return Given("sample_weight", array, array)


def _counting(packing: Packing, last: Lengths | None, once: bool) -> NDArray[np.bool_]:
    """Whether each vector counts, (N, S) or (N,): those up to the last step of a sequence, or that step alone."""
    if packing.steps is None or last is None:
        return np.ones(packing.count, np.bool_)
    steps, ends = np.arange(packing.steps), last[:, np.newaxis]
    found: NDArray[np.bool_] = steps == ends if once else steps <= ends
    return found


def _weights_of_rows(packing: Packing, sample_weight: Any) -> Given | list[Given]:
    """The weights as they were read, with their shapes checked."""
    given = _read_rows("sample_weight", sample_weight, packing, [()])
    if isinstance(given, list):
        for item, length in zip(given, packing.lengths if packing.lengths is not None else (), strict=True):
            check_shape(item, ((("steps", int(length)),),))
        return given
    one: Shape = ((_counted(packing), packing.count),)
    check_shape(given, (one,) if packing.steps is None else (one, (*one, ("steps", packing.steps))))
    return given


def _of_sequences(packing: Packing, given: Given) -> Given:
    """Weights (N,) of sequences, for each of their steps."""
    array = packing.pack(np.broadcast_to(given.numbers[:, np.newaxis], (packing.count, packing.steps or 0)))
    return Given("sample_weight", array, array, lambda index: indexed("sample_weight", packing.number(index)[:1]))
