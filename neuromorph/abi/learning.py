"""The layout of a learner's control words, and of the signals that a model gives it.

A learner takes a step by one call of a compiled function, ``advance``. All that the function works on stands in the
control words, an int64 array: numbers, addresses, tables, and the arguments of the kernels that it calls.

Some arguments of a kernel form a *record*: a whole number is one word, a floating-point number one word with its bits,
an array two words, its address and its length. Each entry function of a bundle can be called by the address of its
record.

A model's *signals* are 8 words too. MOVED counts how often the model has got other arrays or kernels. WRITING is 1
while a learner's function writes to the weights. STREAMED is 1 if there were streams, which want each update. RATE and
CLIP hold the bits of the learning rate and of the clip norm, 0.0 for none.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from .arguments import CALL_NUMBERS, TrainCall

MOVED, WRITING, STREAMED, RATE, CLIP, SIGNALS = 0, 1, 2, 3, 4, 8
# What ``advance`` says of a call. Nothing has changed after ODD, where the arrays need a closer look, and STALE.
DONE, UPDATED, MEMBERS, DIVERGED, ODD, STALE = range(6)
ABSENT, UNUSABLE = -1, -2  # the form of None, and of an object that is no array for compiled functions

# Words that make up a learner's situation, which a copy takes over.
COUNTERS = (
    "form",  # lanes of x, or 0 where it has one axis
    "row",  # steps in the rings; the next one goes there
    "count",  # steps since the state was set
    "since",  # steps since the last update
    "end",  # where the last window ended, if the training workspace has the state behind it; else -1
    "weighted",  # where the last step that has other weights than ones ends
    "unknown",  # where the last step ends of which some expected components are not known
    "counts",  # where the last step with a weight above 0 ends
    "updates",  # so far
    "last",  # steps of the last window that made an update
    "last_weighted",  # whether it had weights
)
# Words about the arrays of the present step, set before a call whose arrays were checked and back to 0 by it.
NEXT = ("checked", "partly", "empty")  # whether they were; whether there is NaN in what is expected; weights all 0
# Words that the last window leaves for those who finish an update.
WINDOW = ("begin", "steps_taken", "is_weighted", "skips")
# Words that stay as they are.
FIXED = (
    "seen", "signals", "lanes", "steps", "every", "overlap", "rows", "x_count", "y_count", "picky", "runs_empty",
    "by_members",
    "inputs", "inputs_size", "expected", "expected_size", "weights", "weights_size", "states", "states_size",
    "ones", "zeros", "losses", "kept_losses", "kept_weights",
    "pieces", "piece_table", "parts", "part_table",
    "step_function", "step_record", "step_x", "step_y",
    "train_function", "train_record", "train_call", "skip_function", "skip_record", "skip_call",
)  # fmt: skip
PLACE = {name: place for place, name in enumerate((*COUNTERS, *NEXT, *WINDOW, *FIXED))}
RINGS = ("inputs", "expected", "weights", "states")  # each has an address, and behind it the bytes of a step
PIECE, PART = 2, 6  # words of a table's entry


def record_of(arguments: Iterable[Any]) -> list[int]:
    """The record of some arguments."""
    words: list[int] = []
    for given in arguments:
        if isinstance(given, np.ndarray):
            words += [address_of(given), len(given)]
        else:
            words.append(bits_of(given) if isinstance(given, float) else int(given))
    return words


def address_of(array: NDArray[Any]) -> int:
    """The address of an array's first element."""
    return int(array.__array_interface__["data"][0])


def bits_of(number: float) -> int:
    """The bits of a floating-point number, as a whole number."""
    return int(struct.unpack("q", struct.pack("d", number))[0])


def _places() -> dict[str, int]:
    places, place = {}, 0
    for name in TrainCall._fields:
        places[name] = place
        place += 1 + (name not in CALL_NUMBERS)
    return places


CALL = _places()  # where the arguments of a ``TrainCall`` stand in its record


# With JIT off ---------------------------------------------------------------------------------------------------------


class PlainCall:
    """A function that runs as plain Python, to be called by a record. It has a number in place of an address."""

    def __init__(self, function: Callable[..., Any], examples: Sequence[Any]) -> None:
        self._function, self._examples = function, examples
        self.number = id(self)
        plain_calls[self.number] = self

    def __call__(self, words: NDArray[np.int64], place: int) -> int:
        """The function's result for the record that begins at a place."""
        arguments: list[Any] = []
        for example in self._examples:
            arguments.append(_argument(example, words, place))
            place += 1 + isinstance(example, np.ndarray)
        return int(self._function(*arguments) or 0)


plain_calls: WeakValueDictionary[int, PlainCall] = WeakValueDictionary()


def _argument(example: Any, words: NDArray[np.int64], place: int) -> Any:
    """An argument in a record, of the kind of an example."""
    word = int(words[place])
    if isinstance(example, np.ndarray):
        size = int(words[place + 1]) * example.itemsize
        return np.frombuffer(memoryview((ctypes.c_char * size).from_address(word)), example.dtype)
    return float(words[place : place + 1].view(np.float64)[0]) if isinstance(example, float) else word
