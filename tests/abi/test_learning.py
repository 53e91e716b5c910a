"""The control words of a learner, and records of arguments."""

from __future__ import annotations

import ctypes
import struct

import numpy as np

from neuromorph.abi.arguments import CALL_NUMBERS, TrainCall
from neuromorph.abi.learning import CALL, COUNTERS, PLACE, RINGS, PlainCall, address_of, bits_of, record_of


def call() -> TrainCall:
    numbers = {"sample": 3, "stop": 5, "samples": 7, "capacity": 4, "mode": 2, "row_step": 6, "rate": 0.25, "clip": 1.5}
    assert numbers.keys() == set(CALL_NUMBERS)
    arrays = {name: np.arange(n + 2.0) for n, name in enumerate(TrainCall._fields) if name not in numbers}
    return TrainCall(**numbers, **arrays)  # type: ignore[arg-type]


def test_the_record_of_a_call_has_each_argument_at_its_place() -> None:
    arguments, record = call(), record_of(call())
    record = record_of(arguments)
    for name, value in arguments._asdict().items():
        place = CALL[name]
        if isinstance(value, np.ndarray):
            assert record[place : place + 2] == [value.ctypes.data, len(value)]
        elif isinstance(value, float):
            assert struct.unpack("d", struct.pack("q", record[place])) == (value,)
        else:
            assert record[place] == value
    assert len(record) == CALL["clip"] + 1


def test_words_that_a_copy_takes_over_come_first_and_sizes_behind_addresses() -> None:
    assert list(PLACE)[: len(COUNTERS)] == list(COUNTERS)
    assert len(set(PLACE.values())) == len(PLACE)
    for number, ring in enumerate(RINGS):
        assert PLACE[ring] == PLACE["inputs"] + 2 * number
        assert PLACE[f"{ring}_size"] == PLACE[ring] + 1


def test_numbers_keep_their_bits() -> None:
    for number in (0.0, -0.0, 0.1, 1e300):
        assert ctypes.c_double.from_buffer(ctypes.c_int64(bits_of(number))).value == number


def test_a_plain_function_is_called_by_a_record() -> None:
    found = []

    def function(count: int, array: np.ndarray, rate: float) -> None:
        found.append((count, array.tolist(), rate))
        array[0] = 9.0

    array = np.array([1, 2, 3], np.float32)
    plain = PlainCall(function, (1, array, 0.5))
    words = np.array([7, *record_of((4, array[1:], 0.125))], np.int64)
    assert plain(words, 1) == 0
    assert found == [(4, [2.0, 3.0], 0.125)]
    assert array.tolist() == [1, 9, 3]
    assert address_of(array[1:]) == address_of(array) + 4
