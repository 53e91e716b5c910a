"""What users hand over: converted without needless copies, or refused in their own terms."""

import datetime
import doctest
import signal
import timeit
import tracemalloc
import warnings
from collections import UserDict, UserList, UserString, deque
from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.likes import LIKES, Array, Items
from neuromorph.data import arrays
from neuromorph.data.arrays import as_broadcast, as_tensor, batches, prediction_data, training_data
from neuromorph.errors import DataError

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
SHAPE = (("samples", None), ("batch", 2), ("width", 2))
WANTED = "(samples, batch = 2, width = 2)"
GOOD = [[[1, 2], [3, 4]]]


@pytest.fixture(autouse=True)
def _no_warnings():
    """No message of NumPy's own may reach a user, however the user has set NumPy's errors."""
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


def tensor(value, *, dtype=F32, shape=SHAPE, **options):
    return as_tensor("inputs", value, dtype=dtype, shape=shape, **options)


def message(call, *arguments, **options):
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    return str(caught.value)


class Foreign:
    """Like a tensor of another library: NumPy reads it, and it is neither list nor array."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


class Refusing:
    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


class Unprintable:
    def __repr__(self):
        raise KeyError("no text")


# Conversion


@pytest.mark.parametrize("dtype", [F32, F64])
def test_a_right_array_comes_back_itself(dtype):
    array = np.arange(8, dtype=dtype).reshape(2, 2, 2)
    assert tensor(array, dtype=dtype) is array


def test_a_read_only_array_comes_back_itself():
    array = np.ones((3, 2, 2), np.float32)
    array.flags.writeable = False
    assert tensor(array) is array


def test_a_memory_map_becomes_a_plain_array_on_the_same_memory(tmp_path):
    np.save(tmp_path / "x.npy", np.full((3, 2, 2), 7, np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    array = tensor(mapped)
    assert type(array) is np.ndarray
    assert np.shares_memory(array, mapped)


def test_a_foreign_tensor_shares_its_memory():
    array = np.ones((1, 2, 2), np.float32)
    assert tensor(Foreign(array)) is array


def unaligned(array):
    raw = bytearray(array.nbytes + 1)
    raw[1:] = array.tobytes()
    return np.frombuffer(raw, array.dtype, offset=1).reshape(array.shape)


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda a: a.astype(">f4"),
        lambda a: a.astype(np.float16),
        lambda a: a.astype(np.longdouble),
        lambda a: a.astype(np.uint8),
        lambda a: np.repeat(a, 2, axis=0)[::2],
        unaligned,
        lambda a: np.ma.array(a),
        lambda a: a.astype(object),
        lambda a: memoryview(a),
        lambda a: a.tolist(),
        lambda a: tuple(map(tuple, a.tolist())),
        lambda a: list(a),
        lambda a: [[Foreign(lane) for lane in sample] for sample in a],
        lambda a: [[[Fraction(int(x)) for x in lane] for lane in sample] for sample in a],
    ],
)
def test_all_else_is_cast_once(change):
    array = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    made = tensor(change(array))
    assert type(made) is np.ndarray
    assert made.dtype == F32
    assert made.dtype.isnative
    assert made.flags.c_contiguous
    assert made.flags.aligned
    np.testing.assert_array_equal(made, array)


@pytest.mark.parametrize("like", LIKES)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_whatever_makes_an_array_is_read(like, kind):
    array = np.arange(8, dtype=kind).reshape(2, 2, 2)
    made = tensor(LIKES[like](array))
    assert type(made) is np.ndarray
    np.testing.assert_array_equal(made, array)


@pytest.mark.parametrize("like", ["once", "list of once"])
@pytest.mark.parametrize("bad", [np.nan, 1e39])
def test_a_wrong_number_is_named_without_reading_again(like, bad):
    array = np.arange(8.0).reshape(2, 2, 2)
    array[0, 1, 1] = bad
    assert message(tensor, LIKES[like](array)).startswith(f"inputs[0, 1, 1] is {bad}, ")
    assert message(tensor, LIKES[like](array[0])) == f"inputs has shape (2, 2), but needs shape {WANTED}"


def test_numbers_of_every_real_kind_are_fine():
    values = [[[True, np.bool_(False)], [2**70, Fraction(1, 2)]], [[np.int8(3), range(4)[1]], [2**64 - 1, 0.5]]]
    assert tensor(values)[0].tolist() == [[1, 0], [2.0**70, 0.5]]


def test_an_argument_without_axes_is_a_number():
    assert tensor(1.5, shape=()).tolist() == 1.5
    assert message(tensor, float("nan"), shape=()) == "inputs is nan, but must be finite"


def test_nothing_is_written_to_what_the_user_owns():
    given_list, array = [[[1.0, 2.0], [3.0, 4.0]]], np.array(GOOD, np.float64)
    tensor(given_list)
    tensor(array)[:] = 0
    assert given_list == [[[1.0, 2.0], [3.0, 4.0]]]
    assert array.tolist() == GOOD


def test_a_small_right_array_costs_next_to_nothing():
    array = np.ones((4, 2, 2), np.float32)
    best = min(timeit.repeat(lambda: tensor(array), number=1000, repeat=15)) / 1000
    assert best < 20e-6  # about 2 µs on an idle core, with room for a busy one


def peak_bytes(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("fill", [1.0, 3e38])
def test_checking_a_large_array_needs_no_memory(fill):
    array = np.full((50_000, 2, 10), fill, np.float32)
    array[0, 0] = 0
    shape = (("samples", None), ("batch", 2), ("width", 10))
    assert tensor(array, shape=shape) is array
    assert peak_bytes(lambda: tensor(array, shape=shape)) < array.nbytes / 10


# Values that are not finite


@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 3e38), (np.float64, 1.7e308)])
def test_a_sum_may_overflow_although_every_number_is_finite(dtype, most):
    for samples in (4, 4000):
        array = np.full((samples, 2, 2), most, dtype)
        assert tensor(array, dtype=dtype) is array


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([[[1, 2], [float("nan"), 4]]], "inputs[0, 1, 0] is nan, but must be finite"),
        (np.array([[[1, 2], [3, -np.inf]]], np.float32), "inputs[0, 1, 1] is -inf, but must be finite"),
        ([[[np.inf, -np.inf], [3, 4]]], "inputs[0, 0, 0] is inf, but must be finite"),
        (np.full((1, 2, 2), np.inf, np.longdouble), "inputs[0, 0, 0] is inf, but must be finite"),
        (np.array([[[1, 2], [3, np.inf]]], object), "inputs[0, 1, 1] is inf, but must be finite"),
        ([[[1, 2], [-1e39, 4]]], "inputs[0, 1, 0] is -1e+39, too large for float32"),
        (np.array([[[1, 2], [3, 1e39]]]), "inputs[0, 1, 1] is 1e+39, too large for float32"),
        ([[[10**400, 2], [3, 4]]], f"inputs[0, 0, 0] is 1{'0' * 39}…, too large for float32"),
        ([[[-(10**400), 2], [3, 4]]], f"inputs[0, 0, 0] is -1{'0' * 38}…, too large for float32"),
        ([[[10**5000, 2], [3, 4]]], "inputs[0, 0, 0] is a value of type int, too large for float32"),
    ],
)
def test_numbers_that_are_not_finite(value, text):
    assert message(tensor, value) == text


@pytest.mark.parametrize("at", [(0, 0, 0), (49_999, 1, 6), (31_111, 0, 3)])
def test_the_first_wrong_number_of_a_large_array_is_found(at):
    array = np.ones((50_000, 2, 7), np.float32)
    array[-1, -1, -1] = np.inf
    array[at] = np.nan
    text = message(tensor, array, shape=(("samples", None), ("batch", 2), ("width", 7)))
    assert text == f"inputs[{at[0]}, {at[1]}, {at[2]}] is nan, but must be finite"


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("at", [(0, 0, 0), (49_999, 1, 6), (31_111, 0, 3)])
def test_one_wrong_number_in_a_large_array_is_found(value, at):
    array = np.ones((50_000, 2, 7), np.float32)
    array[at] = value
    text = message(tensor, array, shape=(("samples", None), ("batch", 2), ("width", 7)))
    assert text == f"inputs[{at[0]}, {at[1]}, {at[2]}] is {value}, but must be finite"


def test_float64_has_its_own_range():
    assert tensor([[[1e300, 2], [3, 4]]], dtype=F64)[0, 0, 0] == 1e300
    text = message(tensor, [[[10**400, 2], [3, 4]]], dtype=F64)
    assert text.endswith("…, too large for float64")


def test_the_check_for_finiteness_can_be_left_out():
    made = tensor([[[1, 1e39], [float("nan"), 4]]], check_finite=False)
    np.testing.assert_array_equal(made, np.array([[[1, np.inf], [np.nan, 4]]], np.float32))
    assert tensor([[[10**400, -(10**400)], [3, 4]]], check_finite=False)[0, 0].tolist() == [np.inf, -np.inf]


# Shapes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], f"inputs is empty, of shape (0,), but needs shape {WANTED}"),
        ([[], []], f"inputs is empty, of shape (2, 0), but needs shape {WANTED}"),
        (3.0, f"inputs is a single number, but needs shape {WANTED}"),
        ([[1, 2]], f"inputs has shape (1, 2), but needs shape {WANTED}"),
        (np.ones((1, 1, 2, 2)), f"inputs has shape (1, 1, 2, 2), but needs shape {WANTED}"),
        (
            np.ones((0, 2, 2)),
            f"inputs has 0 on axis 0 (samples), but needs at least 1: its shape is (0, 2, 2), and must be {WANTED}",
        ),
        (
            [[[], []]],
            f"inputs has 0 on axis 2 (width), but needs 2: its shape is (1, 2, 0), and must be {WANTED}",
        ),
        (
            np.ones((3, 5, 2)),
            f"inputs has 5 on axis 1 (batch), but needs 2: its shape is (3, 5, 2), and must be {WANTED}",
        ),
        (
            np.ones((3, 2, 1), np.float32),
            f"inputs has 1 on axis 2 (width), but needs 2: its shape is (3, 2, 1), and must be {WANTED}",
        ),
    ],
)
def test_shapes_that_do_not_fit(value, text):
    assert message(tensor, value) == text


def object_array(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([[[1, 2], [3, 4]], [[1, 2], [3]]], "inputs[1][1] has 1 number, but inputs[0][0] has 2"),
        ([[[1, 2], [3, 4]], [[1, 2]]], "inputs[1] has 1 item, but inputs[0] has 2"),
        ([[[1, 2, 3], [3, 4]]], "inputs[0][1] has 2 numbers, but inputs[0][0] has 3"),
        ([[[1, 2], []]], "inputs[0][1] has 0 numbers, but inputs[0][0] has 2"),
        ([[[], [1]]], "inputs[0][1] has 1 item, but inputs[0][0] has 0"),
        ([[[1, 2], [3, 4]], 5.0], "inputs[1] is 5.0, but inputs[0] has 2 items"),
        ([5, [1]], "inputs[1] has 1 item, but inputs[0] is 5"),
        ([[[1, 2], [3, [4]]]], "inputs[0][1][1] has 1 item, but inputs[0][0][0] is 1"),
        ([[[1, 2], "ab"]], "inputs[0][1] is 'ab' (str), but inputs[0][0] has 2 numbers"),
        ([[[1, 2], None]], "inputs[0][1] is None (NoneType), but inputs[0][0] has 2 numbers"),
        ([np.ones((2, 2)), np.ones((2, 3))], "inputs[1][0] has 3 numbers, but inputs[0][0] has 2"),
        ([np.ones((2, 2)), np.ones((1, 2))], "inputs[1] has 1 item, but inputs[0] has 2"),
        ([np.ones((2, 2)), np.ones(2)], "inputs[1][0] is 1.0, but inputs[0][0] has 2 numbers"),
        ([[range(2), range(3)]], "inputs[0][1] has 3 numbers, but inputs[0][0] has 2"),
        ([[Foreign(np.ones(2)), Foreign(np.ones(3))]], "inputs[0][1] has 3 numbers, but inputs[0][0] has 2"),
        (object_array([1, 2], [3]), "inputs[1] has 1 number, but inputs[0] has 2"),
    ],
)
def test_ragged_lists_name_the_first_odd_one(value, text):
    assert message(tensor, value) == text


@given(st.integers(0, 5), st.integers(0, 3), st.integers(0, 5).filter(lambda n: n != 3))
@settings(max_examples=60, deadline=None)
def test_the_odd_list_is_found_wherever_it_is(sample, lane, numbers):
    value = [[[0.0] * 3 for _ in range(4)] for _ in range(6)]
    value[sample][lane] = [0.0] * numbers
    text = message(tensor, value, shape=(("samples", None), ("batch", 4), ("width", 3)))
    noun = "number" if numbers == 1 else "numbers"
    if (sample, lane) == (0, 0):
        noun = "number" if numbers else "item"
        assert text == f"inputs[0][1] has 3 {noun}s, but inputs[0][0] has {numbers}"
    else:
        assert text == f"inputs[{sample}][{lane}] has {numbers} {noun}, but inputs[0][0] has 3"


# What is no number


def tree(levels):
    value = 1.0
    for _ in range(levels):
        value = [value]
    return value


def own_tail():
    value = []
    value += [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "inputs is None (NoneType), but must be real numbers"),
        ("abc", "inputs is 'abc' (str_), but must be real numbers"),
        ({"a": 1}, "inputs is {'a': 1} (dict), but must be real numbers"),
        ({1, 2}, "inputs is {1, 2} (set), but must be real numbers"),
        (float, "inputs is <class 'float'> (type), but must be real numbers"),
        ([[[1, 2], [3, None]]], "inputs[0][1][1] is None (NoneType), but must be a real number"),
        ([[[1, 2], ["4", 4]]], "inputs[0][1][0] is '4' (str), but must be a real number"),
        ([[[1, 2], [3, b"x"]]], "inputs[0][1][1] is b'x' (bytes), but must be a real number"),
        ([[[1, 2], [3, 4j]]], "inputs[0][1][1] is 4j (complex), but must be a real number"),
        ([[[1, {}], [3, 4]]], "inputs[0][0][1] is {} (dict), but must be a real number"),
        ([[[Decimal(1), 2]]], "inputs[0][0][0] is Decimal('1') (Decimal), but must be a real number"),
        (
            [[[1, datetime.date(2020, 1, 2)]]],
            "inputs[0][0][1] is datetime.date(2020, 1, 2) (date), but must be a real number",
        ),
        ([[[1.5, Unprintable()]]], "inputs[0][0][1] is a value of type Unprintable, but must be a real number"),
        ([[["x" * 100, 1]]], f"inputs[0][0][0] is '{'x' * 39}… (str), but must be a real number"),
        (np.array(GOOD).astype(str), "inputs[0][0][0] is '1' (str_), but must be a real number"),
        (np.array(GOOD) * 1j, "inputs[0][0][0] is 1j (complex128), but must be a real number"),
        (
            np.array([["2020-01-02"]], "M8[D]"),
            "inputs[0][0] is 2020-01-02 (datetime64), but must be a real number",
        ),
        (np.ones((1, 2), "m8[s]"), "inputs[0][0] is 1 seconds (timedelta64), but must be a real number"),
        (
            [[np.timedelta64(1, "D"), 2]],
            "inputs[0][0] is 1 days (timedelta64), but must be a real number",
        ),
        (np.zeros((1, 2), [("a", "f4")]), "inputs[0][0] is (0.0,) (void), but must be a real number"),
        ((x for x in GOOD), "inputs is a generator, which can be read only once: make it a list"),
        (map(int, [1]), "inputs is a map, which can be read only once: make it a list"),
        ([(x for x in [1, 2])], "inputs[0] is a generator, which can be read only once: make it a list"),
        (
            np.ma.array(GOOD, mask=[[[0, 1], [0, 0]]]),
            "inputs has masked values, which are no numbers: fill them",
        ),
        (tree(9), "inputs is nested more than 8 lists deep"),
        (tree(8), f"inputs has shape (1, 1, 1, 1, 1, 1, 1, 1), but needs shape {WANTED}"),
        (own_tail(), "inputs is nested more than 8 lists deep"),
        (
            Refusing(RuntimeError("the tensor requires grad")),
            "inputs can't be read as numbers: RuntimeError: the tensor requires grad",
        ),
        ([[Refusing(TypeError("on a GPU"))]], "inputs can't be read as numbers: TypeError: on a GPU"),
        (Refusing(ValueError("no")), "inputs can't be read as numbers: ValueError: no"),
    ],
)
def test_what_is_no_number(value, text):
    assert message(tensor, value) == text


class Faulty:
    """A sequence of the user's own that raises, wherever it is asked."""

    def __init__(self, error, *faults):
        self.error, self.faults = error, faults

    def _ask(self, name, answer):
        if name in self.faults:
            raise self.error
        return answer

    def __len__(self):
        return self._ask("__len__", 2)

    def __getitem__(self, index):
        return self._ask("__getitem__", [1.0, 2.0][index])

    def __getattr__(self, name):
        if name in ("__array__", "__array_interface__", "__array_struct__", "ndim", "shape", "dtype"):
            self._ask(name, None)
        raise AttributeError(name)


FAULTS = ["__len__", "__getitem__", "__array__", "__array_interface__", "__array_struct__"]
ERRORS = [RuntimeError("no"), OSError(5, "no"), KeyError("no"), IndexError("no"), RecursionError("no"), Exception()]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("around", [lambda x: x, lambda x: [[x]], lambda x: UserList([x, x])])
def test_whatever_an_object_of_the_users_raises_is_wrong_data(fault, error, around):
    if (fault, type(error)) != ("__getitem__", IndexError):  # which ends a sequence
        said = f"{type(error).__name__}: {error}"
        assert message(tensor, around(Faulty(error, fault))) == f"inputs can't be read as numbers: {said}"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_no_matter_of_data_goes_on(fault, error):
    with pytest.raises(error):
        tensor([Faulty(error(), fault)])


def test_what_it_says_of_itself_besides_is_not_asked():
    assert tensor(Faulty(RuntimeError(), "ndim", "shape", "dtype"), shape=(("width", 2),)).tolist() == [1, 2]


class MumblingError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def test_an_error_that_can_not_be_read_is_named():
    assert message(tensor, Refusing(MumblingError())) == "inputs can't be read as numbers: MumblingError"
    text = message(tensor, Refusing(RuntimeError("x" * 5000)))
    assert text.startswith("inputs can't be read as numbers: RuntimeError: xxx")
    assert len(text) < 300


def endless():
    value = UserList()
    value.append(value)
    value.append(value)
    return value


def late_endless():
    value = UserList([[1.0, 2.0]])
    value.extend([value] * 50)
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (UserList([[[1, 2], [3, None]]]), "inputs[0][1][1] is None (NoneType), but must be a real number"),
        (deque([[[1, 2], ["4", 4]]]), "inputs[0][1][0] is '4' (str), but must be a real number"),
        ([Items([[1, 2], [3, 4j]])], "inputs[0][1][1] is 4j (complex), but must be a real number"),
        (UserList([[1, 2], [3]]), "inputs[1] has 1 number, but inputs[0] has 2"),
        ([[1, 2], UserList([3])], "inputs[1] has 1 number, but inputs[0] has 2"),
        ([[1, 2], Array([3.0])], "inputs[1] has 1 number, but inputs[0] has 2"),
        (UserDict({0: 1.0, 1: 2.0}), "inputs is {0: 1.0, 1: 2.0} (UserDict), but must be real numbers"),
        ([UserDict({0: 1.0})], "inputs[0] is {0: 1.0} (UserDict), but must be a real number"),
        (UserList([iter([1.0])]), "inputs[0] is a list_iterator, which can be read only once: make it a list"),
        (UserString("12"), "inputs is nested more than 8 lists deep"),
        (endless(), "inputs is nested more than 8 lists deep"),
        (late_endless(), "inputs is nested more than 8 lists deep"),
    ],
)
def test_what_is_no_number_in_what_is_like_a_list(value, text):
    assert message(tensor, value) == text


HIDDEN = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[0, 1], [0, 0]])


@pytest.mark.parametrize(
    "value",
    [
        HIDDEN,
        HIDDEN.astype(object),
        [HIDDEN],
        [HIDDEN.data, HIDDEN],
        [[[1.0, 2.0], HIDDEN[0]]],
        [[[1.0, np.ma.masked], [3.0, 4.0]]],
        UserList([HIDDEN]),
        object_array(HIDDEN, HIDDEN),
        type("Masking", (), {"__array__": lambda self, dtype=None, copy=None: HIDDEN})(),
    ],
)
def test_hidden_numbers_do_not_go_in(value):
    text = "inputs has masked values, which are no numbers: fill them"
    assert message(tensor, value) == text
    assert message(as_broadcast, "inputs", value, dtype=F32, shape=(2, 2)) == text


def test_lists_are_not_followed_further_than_their_first_items():
    """NumPy neither does that: a list that holds itself, but not at its beginning, would take for ever."""
    value = [[[[1.0]]]]
    value += [value] * 30
    signal.alarm(20)
    try:
        assert message(tensor, value) == "inputs[1] has 31 items, but inputs[0] has 1"
    finally:
        signal.alarm(0)


def test_memory_that_runs_out_is_not_called_wrong_data():
    with pytest.raises(MemoryError):
        tensor(Refusing(MemoryError()))


# Parameters and state


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1, [[1, 1]] * 2), ([1, 2], [[1, 2]] * 2), ([[1], [2]], [[1, 1], [2, 2]]), (UserList([True, 0]), [[1, 0]] * 2)],
)
def test_numbers_are_broadcast(value, wanted):
    made = as_broadcast("a.weight", value, dtype=F32, shape=(2, 2))
    assert (made.tolist(), made.dtype) == (wanted, F32)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "a.weight is None (NoneType), but must be real numbers"),
        ("1", "a.weight is '1' (str_), but must be real numbers"),
        (b"1", "a.weight is b'1' (bytes_), but must be real numbers"),
        (["1", 2], "a.weight[0] is '1' (str), but must be a real number"),
        (1 + 0j, "a.weight is (1+0j) (complex128), but must be real numbers"),
        (np.ones(2, complex), "a.weight[0] is (1+0j) (complex128), but must be a real number"),
        (np.datetime64("2020-01-02"), "a.weight is 2020-01-02 (datetime64), but must be real numbers"),
        (np.timedelta64(3, "D"), "a.weight is 3 days (timedelta64), but must be real numbers"),
        (Decimal(1), "a.weight is Decimal('1') (Decimal), but must be real numbers"),
        (10**400, f"a.weight is 1{'0' * 39}…, too large for float32"),
        ([-(10**5000)], "a.weight[0] is a value of type int, too large for float32"),
        ([1.0, 10**400], f"a.weight[1] is 1{'0' * 39}…, too large for float32"),
        (1e39, "a.weight is 1e+39, too large for float32"),
        ([[1.0], [np.nan]], "a.weight[1, 0] is nan, but must be finite"),
        ([[1, 2], [3]], "a.weight[1] has 1 number, but a.weight[0] has 2"),
        ([1, 2, 3], "a.weight has shape (3,), and the model needs (2, 2)"),
        ([[[1]]], "a.weight has shape (1, 1, 1), and the model needs (2, 2)"),
        (np.ones((0, 2)), "a.weight has shape (0, 2), and the model needs (2, 2)"),
        ([], "a.weight has shape (0,), and the model needs (2, 2)"),
        (
            Refusing(RuntimeError("it requires grad")),
            "a.weight can't be read as numbers: RuntimeError: it requires grad",
        ),
    ],
)
def test_what_is_not_broadcast(value, text):
    assert message(as_broadcast, "a.weight", value, dtype=F32, shape=(2, 2)) == text


# Training


def trained(inputs, expected, weight=None, *, batch=5):
    return training_data(inputs, expected, weight, batch=batch, width_in=4, width_out=2, dtype=F32)


X, Y, W = np.ones((3, 5, 4), np.float32), np.ones((3, 5, 2), np.float32), np.ones((3, 5), np.float32)


def changed(array, at, value):
    copied = array.copy()
    copied[at] = value
    return copied


def test_right_training_data_is_not_copied():
    made = trained(X, Y, W)
    assert made.inputs is X
    assert made.expected is Y
    assert made.weights is W
    assert made.sequences is False
    assert trained(X, Y).weights is None


def test_four_axes_are_sequences():
    made = trained(X[None].tolist(), Y[None].tolist(), W[None].tolist())
    assert made.sequences is True
    assert (made.inputs.shape, made.expected.shape) == ((1, 3, 5, 4), (1, 3, 5, 2))
    assert made.weights.shape == (1, 3, 5)
    assert {array.dtype for array in (made.inputs, made.expected, made.weights)} == {F32}


def test_any_batch_is_taken_where_none_is_named():
    assert trained(X[:, :3], Y[:, :3], batch=None).inputs.shape == (3, 3, 4)


def test_training_data_are_immutable():
    with pytest.raises(FrozenInstanceError):
        trained(X, Y).inputs = Y


def test_what_is_expected_with_weight_0_may_be_anything():
    weight, expected = changed(W, (1, 2), 0), changed(Y, (1, 2), np.nan)
    expected[1, 2, 1] = -np.inf
    made = trained(X, expected, weight)
    assert made.expected is expected
    assert trained(X[None], expected[None], weight[None]).weights.shape == (1, 3, 5)


def test_a_weight_of_0_needs_no_search_of_memory():
    inputs, expected = np.ones((20_000, 5, 4), np.float32), np.ones((20_000, 5, 2), np.float32)
    weight = np.ones((20_000, 5), np.float32)
    expected[7], weight[7] = np.nan, 0
    assert trained(inputs, expected, weight).expected is expected
    expected[19_999, 4, 1] = np.nan
    text = message(trained, inputs, expected, weight)
    assert text == "expected[19999, 4, 1] is nan, but must be finite"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            (X[0], Y),
            "inputs has shape (5, 4), but needs shape (samples, batch = 5, width = 4) or "
            "(sequences, samples, batch = 5, width = 4); for single vectors (vectors, width) give layout='NW'",
        ),
        (
            (X[0, 0], Y),
            "inputs has shape (4,), but needs shape (samples, batch = 5, width = 4) or "
            "(sequences, samples, batch = 5, width = 4)",
        ),
        (
            (Y, Y),
            "inputs has 2 on axis 2 (width), but needs 4: "
            "its shape is (3, 5, 2), and must be (samples, batch = 5, width = 4)",
        ),
        ((X, Y[0]), "expected has shape (5, 2), but needs shape (samples, batch = 5, width = 2)"),
        (
            (X[None], Y),
            "expected has shape (3, 5, 2), but needs shape (sequences, samples, batch = 5, width = 2), "
            "as inputs has 4 axes",
        ),
        (
            (X, Y[None]),
            "expected has shape (1, 3, 5, 2), but needs shape (samples, batch = 5, width = 2), as inputs has 3 axes",
        ),
        ((X, Y[:2]), "expected has 2 on axis 0 (samples), but inputs has 3: both must be the same"),
        (
            (X, Y[:, :2]),
            "expected has 2 on axis 1 (batch), but needs 5: "
            "its shape is (3, 2, 2), and must be (samples, batch = 5, width = 2)",
        ),
        (
            (np.stack([X, X]), Y[None]),
            "expected has 1 on axis 0 (sequences), but inputs has 2: both must be the same",
        ),
        ((X, Y, W[:2]), "sample_weight has 2 on axis 0 (samples), but inputs has 3: both must be the same"),
        ((X, Y, W[:, :2]), "sample_weight has 2 on axis 1 (batch), but inputs has 5: both must be the same"),
        ((X[None], Y[None], W), "sample_weight has shape (3, 5), but needs shape (sequences, samples, batch)"),
        ((X, Y, 1.0), "sample_weight is a single number, but needs shape (samples, batch)"),
        ((X, Y, [[1, 2], [3]]), "sample_weight[1] has 1 number, but sample_weight[0] has 2"),
        (
            (X, Y, changed(W, (1, 2), -0.5)),
            "sample_weight[1, 2] is -0.5, but a weight must be 0 or more",
        ),
        ((X, Y, changed(W, (1, 2), np.nan)), "sample_weight[1, 2] is nan, but must be finite"),
        ((X, Y, changed(W, (2, 0), np.inf)), "sample_weight[2, 0] is inf, but must be finite"),
        ((X, changed(Y, (1, 2, 1), np.nan)), "expected[1, 2, 1] is nan, but must be finite"),
        (
            (X, changed(changed(Y, (1, 2, 1), np.nan), (2, 2, 0), np.inf), changed(W, (1, 2), 0)),
            "expected[2, 2, 0] is inf, but must be finite",
        ),
        (
            (X, changed(Y.astype(float), (0, 0, 1), 1e39), W),
            "expected[0, 0, 1] is 1e+39, too large for float32",
        ),
        (
            (changed(X, (1, 2, 0), np.nan), Y, changed(W, (1, 2), 0)),
            "inputs[1, 2, 0] is nan, but must be finite",
        ),
    ],
)
def test_training_data_that_do_not_fit(arguments, text):
    assert message(trained, *arguments) == text


def test_lanes_must_agree_where_any_number_is_taken():
    text = message(trained, X, Y[:, :2], batch=None)
    assert text == "expected has 2 on axis 1 (batch), but inputs has 5: both must be the same"


# Prediction


def predicted(inputs):
    return prediction_data(inputs, width=4, dtype=F32)


def test_prediction_takes_any_batch():
    made = predicted(X)
    assert made.inputs is X
    assert (made.squeeze, made.sequences) == (False, False)
    assert made.restore(Y) is Y


def test_two_axes_are_one_lane_that_is_taken_away_again():
    lane = np.arange(12, dtype=np.float32).reshape(3, 4)
    made = predicted(lane)
    assert made.inputs.shape == (3, 1, 4)
    assert made.inputs.flags.c_contiguous
    assert np.shares_memory(made.inputs, lane)
    assert (made.squeeze, made.sequences) == (True, False)
    np.testing.assert_array_equal(made.restore(Y[:, :1]), Y[:, 0])


def test_prediction_of_sequences():
    array = X[None].copy()
    made = predicted(array)
    assert made.inputs is array
    assert (made.squeeze, made.sequences) == (False, True)
    assert made.restore(Y[None]).shape == (1, 3, 5, 2)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            [1, 2, 3, 4],
            "inputs has shape (4,), but needs shape (samples, batch, width = 4) or "
            "(sequences, samples, batch, width = 4) or (samples, width = 4)",
        ),
        (
            Y[0],
            "inputs has 2 on axis 1 (width), but needs 4: its shape is (5, 2), and must be (samples, width = 4)",
        ),
        (
            X[:0],
            "inputs has 0 on axis 0 (samples), but needs at least 1: "
            "its shape is (0, 5, 4), and must be (samples, batch, width = 4)",
        ),
        (changed(X[0], (2, 1), np.nan), "inputs[2, 1] is nan, but must be finite"),
    ],
)
def test_inputs_of_prediction_that_do_not_fit(inputs, text):
    assert message(predicted, inputs) == text


# Batches


@given(st.integers(1, 20), st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_each_vector_sits_at_its_place_and_the_rest_is_zero(vectors, lanes):
    inputs = np.arange(1.0, 1 + 3 * vectors).reshape(vectors, 3)
    padded, expected, weight = batches(inputs, -inputs[:, :2], lanes)
    steps = -(-vectors // lanes)
    assert (padded.shape, expected.shape, weight.shape) == ((steps, lanes, 3), (steps, lanes, 2), (steps, lanes))
    assert {padded.dtype, expected.dtype, weight.dtype} == {F32}
    for n in range(steps * lanes):
        at = n // lanes, n % lanes
        assert weight[at] == (n < vectors)
        assert padded[at].tolist() == (inputs[n].tolist() if n < vectors else [0, 0, 0])
        assert expected[at].tolist() == ((-inputs[n, :2]).tolist() if n < vectors else [0, 0])


@pytest.mark.parametrize(
    "labels", [[0, 2, 1], np.array([0, 2, 1], np.uint8), [0.0, 2.0, 1.0], np.array([0, 2, 1], object)]
)
def test_labels_become_rows_with_a_single_1(labels):
    _, expected, _ = batches(np.ones((3, 1)), labels, 3, classes=3)
    assert expected.tolist() == [[[1, 0, 0], [0, 0, 1], [0, 1, 0]]]


def test_batches_are_new_arrays_that_training_takes():
    inputs, expected = np.ones((10, 4), np.float32), np.ones((10, 2), np.float32)
    padded = batches(inputs, expected, np.int64(5))
    assert not np.shares_memory(padded[0], inputs)
    made = trained(*padded)
    assert (made.inputs is padded[0], made.expected is padded[1], made.weights is padded[2]) == (True,) * 3


THREE = [[0.5], [1.5], [2.5]]


@pytest.mark.parametrize(
    ("arguments", "classes", "text"),
    [
        (
            (THREE, [0, 2, 1], 2),
            None,
            "expected has shape (3,), but needs shape (vectors, width); for labels pass classes=, "
            "the number of classes, and for single numbers give shape (N, 1)",
        ),
        ((THREE, [0, 3, 1], 2), 3, "expected[1] is 3, but a label must be a whole number from 0 to 2"),
        ((THREE, [0, 1, -1], 2), 3, "expected[2] is -1, but a label must be a whole number from 0 to 2"),
        ((THREE, [1.5, 2, 1], 2), 3, "expected[0] is 1.5, but a label must be a whole number from 0 to 2"),
        ((THREE, [0, np.nan, 1], 2), 3, "expected[1] is nan, but a label must be a whole number from 0 to 2"),
        ((THREE, [0, np.inf, 1], 2), 3, "expected[1] is inf, but a label must be a whole number from 0 to 2"),
        ((THREE, ["a", "b", "c"], 2), 3, "expected[0] is 'a' (str), but must be a real number"),
        (
            (THREE, [[0], [1], [2]], 2),
            3,
            "expected has shape (3, 1), but needs shape (vectors,); classes= is for labels",
        ),
        ((THREE, 1, 2), 3, "expected is a single number, but needs shape (vectors,)"),
        ((THREE, [0, 1], 2), 3, "expected has 2 on axis 0 (vectors), but inputs has 3: both must be the same"),
        (
            (THREE, [[0], [1]], 2),
            None,
            "expected has 2 on axis 0 (vectors), but inputs has 3: both must be the same",
        ),
        (([0.5, 1.5], [0, 1], 2), 2, "inputs has shape (2,), but needs shape (vectors, width)"),
        ((np.ones((2, 3, 3)), [0, 1], 2), 2, "inputs has shape (2, 3, 3), but needs shape (vectors, width)"),
        (([], [], 2), 2, "inputs is empty, of shape (0,), but needs shape (vectors, width)"),
        (
            ([[1]], [], 2),
            2,
            "expected has 0 on axis 0 (vectors), but needs at least 1: its shape is (0,), and must be (vectors,)",
        ),
        (([[np.nan]], [0], 2), 2, "inputs[0, 0] is nan, but must be finite"),
        (([[1]], [[1e39]], 2), None, "expected[0, 0] is 1e+39, too large for float32"),
        ((THREE, [0, 1, 2], 2), 0, "classes is 0, but must be a whole number from 1 to 2147483647"),
        ((THREE, [0, 1, 2], 2), 3.0, "classes is 3.0, but must be a whole number from 1 to 2147483647"),
    ],
)
def test_batches_that_can_not_be_made(arguments, classes, text):
    assert message(batches, *arguments, classes=classes) == text


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0"),
        (-3, "-3"),
        (2.0, "2.0"),
        (True, "True"),
        ("2", "'2' (str)"),
        (None, "None (NoneType)"),
        (2**31, "2147483648"),
    ],
)
def test_a_batch_size_is_a_whole_number(size, shown):
    text = message(batches, THREE, THREE, size)
    assert text == f"batch_size is {shown}, but must be a whole number from 1 to 2147483647"


def test_the_example_of_the_docstring():
    outcome = doctest.testmod(arrays)
    assert outcome.attempted >= 3
    assert outcome.failed == 0


def test_what_does_not_broadcast_is_not_read_first() -> None:
    """A view may claim more numbers than there is memory for."""
    huge = np.broadcast_to(1.0, (10**6, 10**6, 10**3))
    text = "a.weight has shape (1000000, 1000000, 1000), and the model needs (2, 2)"
    assert message(as_broadcast, "a.weight", huge, dtype=F32, shape=(2, 2)) == text
