"""The error tree, the place that a message shows, and the nearest name."""

import copy
import pickle
import time
from dataclasses import FrozenInstanceError

import pytest

from neuromorph import errors
from neuromorph.errors import Location, MDLError, MDLSemanticError, MDLSyntaxError, nearest


def error_at(source, line, column, **arguments):
    return MDLSyntaxError("it is wrong", source=source, location=Location(line, column), **arguments)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("MDLError", ValueError),
        ("MDLSyntaxError", ValueError),
        ("MDLSemanticError", ValueError),
        ("DataError", ValueError),
        ("ModelStateError", RuntimeError),
        ("TrainingDivergedError", ArithmeticError),
        ("GradientError", AssertionError),
        ("StorageError", ValueError),
        ("ConversionError", ValueError),
    ],
)
def test_every_error_is_ours_and_also_a_built_in_one(name, builtin):
    kind = getattr(errors, name)
    assert issubclass(kind, errors.NeuromorphError)
    assert issubclass(kind, builtin)


def test_the_two_kinds_of_wrong_text_are_told_apart():
    assert issubclass(MDLSyntaxError, MDLError)
    assert issubclass(MDLSemanticError, MDLError)
    assert not issubclass(MDLSemanticError, MDLSyntaxError)


def test_warnings_are_user_warnings():
    assert issubclass(errors.MDLWarning, UserWarning)
    assert issubclass(errors.CacheWarning, UserWarning)


def test_a_location_is_immutable():
    with pytest.raises(FrozenInstanceError):
        Location(1, 2).line = 3


def test_the_message_has_place_reason_line_and_caret():
    error = error_at("first\nsecond line\nthird", 2, 8, filename="net.mdl")
    assert str(error) == "net.mdl:2:8: it is wrong\n  second line\n         ^"
    assert (error.line, error.column, error.filename, error.reason) == (2, 8, "net.mdl", "it is wrong")


def test_without_a_file_the_place_is_told_in_words():
    assert str(error_at("abc", 1, 4)) == "line 1, column 4: it is wrong\n  abc\n     ^"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_each_kind_of_line_end_ends_one_line(end):
    assert str(error_at(f"one{end}{end}three{end}", 3, 1)).splitlines()[1] == "  three"
    assert str(error_at(f"one{end}{end}three{end}", 4, 1)).splitlines()[1:] == ["  ", "  ^"]


def test_a_place_outside_the_text_shows_no_line():
    for line in (0, -1, 3):
        assert str(error_at("one\ntwo", line, 1)) == f"line {line}, column 1: it is wrong"


def test_a_column_beyond_the_line_puts_the_caret_at_its_end():
    assert str(error_at("one", 1, 99)).splitlines()[2] == "     ^"


def test_tabs_are_kept_so_that_the_caret_lines_up():
    shown, caret = str(error_at("\ta\tb", 1, 4)).splitlines()[1:]
    assert shown == "  \ta\tb"
    assert caret == "  \t \t^"


def test_wide_and_combining_characters_keep_the_caret_in_place():
    assert str(error_at("日本x", 1, 3)).splitlines()[2] == "      ^"
    assert str(error_at("e\u0301x", 1, 3)).splitlines()[2] == "   ^"


@pytest.mark.parametrize("hidden", ["\x00", "\x1b", "\x0c", "\u202e", "\u2028", "\ud800"])
def test_characters_that_would_garble_a_terminal_are_replaced(hidden):
    error = error_at(f"a{hidden}b", 1, 3, filename=f"x{hidden}y")
    assert str(error) == "x�y:1:3: it is wrong\n  a�b\n    ^"


@pytest.mark.parametrize("column", [1, 49, 50, 51, 52, 500, 949, 950, 951, 1000, 1001])
def test_a_long_line_is_cut_to_a_window_and_the_caret_points_at_the_same_character(column):
    line = "".join(chr(0x4E00 + index % 5000) if index % 7 == 0 else "x" for index in range(1000))
    line = line.replace("x", "-")
    marked = line[: column - 1] + "@" + line[column:]
    shown, caret = str(error_at(marked, 1, column)).splitlines()[1:]
    assert len(shown) <= 2 + 100 + 2
    assert shown.startswith("  …") == (column > 51)
    widths = [2 if character >= "\u4e00" else 1 for character in shown]
    assert sum(widths[: shown.index("@")]) == len(caret) - 1


@pytest.mark.parametrize("kind", [MDLError, MDLSyntaxError, MDLSemanticError])
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying(kind, again):
    error = kind("wrong", source="/a,b/\n(c", location=Location(2, 3), filename="x.mdl")
    error.add_note("a note")
    back = again(error)
    assert type(back) is kind
    assert str(back) == str(error)
    assert (back.line, back.column, back.filename, back.reason) == (2, 3, "x.mdl", "wrong")
    assert back.__notes__ == ["a note"]


def test_an_error_does_not_carry_a_long_text_around():
    assert len(pickle.dumps(error_at("x" * 100_000, 1, 5))) < 2_000


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("sigmiod", "sigmoid"),
        ("Relu", "relu"),
        ("RELU_LEAKY", "relu_leaky"),
        ("tan", "tanh"),
        ("relu", "relu"),
        ("quaternion", None),
        ("", None),
    ],
)
def test_the_nearest_name(word, found):
    assert nearest(word, ["relu", "relu_leaky", "sigmoid", "tanh", "linear"]) == found


def test_of_names_that_differ_in_case_the_given_one_wins():
    assert nearest("B", ["a", "b", "B"]) == "B"
    assert nearest("b", {"a", "b", "B"}) == "b"


def test_nothing_is_near_where_there_is_nothing():
    assert nearest("relu", []) is None


def test_among_many_alike_names_the_nearest_is_found():
    names = [f"layer_{index:05}" for index in range(10_000)]
    assert nearest("layer-04998", names) == "layer_04998"
    assert nearest("layr_07777", names) == "layer_07777"


def test_many_long_names_do_not_make_it_slow():
    names = ["ab" * 95 + f"{index:09}" for index in range(10_000)]
    start = time.process_time()
    assert nearest("ba" * 95 + "0" * 9, names) is not None
    assert time.process_time() - start < 3
