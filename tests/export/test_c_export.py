"""``to_c``: what it writes, what it refuses, and that texts, which are not trusted, do no harm in C."""

from __future__ import annotations

import doctest
import os
import re
from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.c_programs import figure
from neuromorph.export import c_export, c_expressions, c_names, c_source, to_c

TEXT = "/xavier,zero/ (input, 3) (a, 4, <tanh>) {m, b, concatenate} (b, 9, <sigmoid>) (output, 2, <linear>, <mse>)"


@pytest.fixture
def model(interpreted: None) -> nm.Model:
    nm.seed(1)
    return nm.build(nm.compile(TEXT, 1, 0.1))


def test_two_files_are_written(model: nm.Model, tmp_path: Path) -> None:
    to_c(model, tmp_path / "net.c")
    assert sorted(os.listdir(tmp_path)) == ["net.c", "net.h"]
    source, header = ((tmp_path / name).read_text(encoding="ascii") for name in ("net.c", "net.h"))
    assert "void net_init(struct net *s);" in header
    assert "void net_step(struct net *s, const float x[NET_IN], float y[NET_OUT]);" in header
    for block in ("/* a: tanh of input, 4 wide */", "/* m: concatenate of a and b, 1 step back, 13 wide */"):
        assert block in source
    before = source, header
    to_c(model, str(tmp_path / "net.c"))
    assert tuple((tmp_path / name).read_text(encoding="ascii") for name in ("net.c", "net.h")) == before


def test_the_head_comment_has_the_figures(model: nm.Model, tmp_path: Path) -> None:
    to_c(model, tmp_path / "net.c")
    source = (tmp_path / "net.c").read_text(encoding="ascii")
    assert figure(tmp_path / "net.c", "RAM") == 4 * (3 + 4 + 13 + 9 + 2)
    assert figure(tmp_path / "net.c", "flash") == 4 * model.parameter_count
    assert figure(tmp_path / "net.c", "a step") == 3 * 4 + 13 * 9 + 9 * 2
    assert "multiplications, 13 calls of exp, tanh and the like" in source
    for line in model.text.splitlines():
        assert f" *     {line}".rstrip() in source


def test_the_fingerprint_is_that_of_text_type_and_parameters(model: nm.Model, tmp_path: Path) -> None:
    def fingerprint(changed: nm.Model) -> str:
        to_c(changed, tmp_path / "net.c")
        found = re.search(r"[0-9a-f]{64}", (tmp_path / "net.c").read_text(encoding="ascii"))
        assert found is not None
        return found[0]

    first = fingerprint(model)
    assert fingerprint(model) == first
    model.set_parameters({"a.bias": 0.5})
    assert fingerprint(model) != first


def test_numbers_are_read_as_they_were(model: nm.Model, tmp_path: Path) -> None:
    to_c(model, tmp_path / "net.c")
    source = (tmp_path / "net.c").read_text(encoding="ascii")
    found = re.search(r"a_weight\[3 \* 4\] = \{(.*?)\n\};", source, re.DOTALL)
    assert found is not None
    numbers = [np.float32(number) for number in re.findall(r"-?\d[\d.e+-]*(?=f)", found[1])]
    np.testing.assert_array_equal(np.reshape(numbers, (3, 4)), model.get_parameters()["a.weight"])


@pytest.mark.parametrize(
    ("node", "products", "calls"),
    [
        ("(g, <norm>)", 3 * 3, 0),
        ("(g, <dropout>)", 0, 0),
        ("(g, <softmax>)", 0, 3),
        ("(g, <swish>)", 2 * 3, 3),
        ("{g, input, dot}", 3, 0),
        ("{g, input, additive}", 0, 0),
    ],
)
def test_work_is_counted(node: str, products: int, calls: int) -> None:
    graph = nm.compile(f"/xavier,zero/ (input, 3) {node} (output, 1, <linear>, <mse>)", 1, 0.1).graph
    assert c_source.work_of(graph) == (products + graph.fan_in(graph.output), calls)


# Wrong arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("net.cpp", "a C file ends in .c"),
        ("net", "a C file ends in .c"),
        ("my-net.c", "'my-net': it is no C identifier"),
        ("1st.c", "'1st': it is no C identifier"),
        ("n\N{LATIN SMALL LETTER E WITH ACUTE}t.c", "it is no C identifier"),
        ("a__b.c", "a C identifier has no __ and at most 63"),
        ("n" * 64 + ".c", "a C identifier has no __ and at most 63"),
        ("double.c", "'double': C or C++ has this word for itself"),
        ("class.c", "'class': C or C++ has this word for itself"),
        ("math.c", "the C library has a header of this name"),
        ("NAN.c", "'NAN': headers of the C library may have this name"),
        ("size_t.c", "'size_t': headers of the C library may have this name"),
        ("M_PI.c", "'M_PI': headers of the C library may have this name"),
    ],
)
def test_a_name_that_is_no_identifier_is_refused(model: nm.Model, tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        to_c(model, tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_models_without_parameters_are_refused(model: nm.Model, tmp_path: Path) -> None:
    with pytest.raises(nm.ModelStateError, match=r"not built yet; call build\(model\) first"):
        to_c(nm.compile(TEXT, 1, 0.1), tmp_path / "net.c")
    model.release()
    with pytest.raises(nm.ModelStateError, match="the model was released"):
        to_c(model, tmp_path / "net.c")
    with pytest.raises(TypeError, match="model must be a neuromorph Model, not str"):
        to_c(TEXT, tmp_path / "net.c")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_numbers_that_are_not_finite_are_refused(model: nm.Model, tmp_path: Path) -> None:
    model.memory().weights[:] = np.nan
    with pytest.raises(ValueError, match=r"the model can't be exported: a\.weight has numbers that are not finite"):
        to_c(model, tmp_path / "net.c")
    assert os.listdir(tmp_path) == []


def test_a_model_that_needs_too_much_is_refused(model: nm.Model, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="the model needs 648 bytes of flash for its parameters, and most_bytes allows 500"
    ):
        to_c(model, tmp_path / "net.c", most_bytes=500)
    delayed = nm.compile("/xavier,zero/ (input, 9) {m, input, take, 4096} (output, 1, <linear>, <mse>)", 1, 0.1)
    with pytest.raises(
        ValueError, match=r"the model needs 147,\d+ bytes of RAM for its struct, and most_bytes allows 99,999"
    ):
        to_c(delayed, tmp_path / "net.c", most_bytes=99_999)
    huge = nm.compile("/xavier,zero/ (input, 9999) (output, 9999, <linear>, <mse>)", 1, 0.1)
    with pytest.raises(ValueError, match=r"needs 399,960,000 bytes of flash .* allows 16,777,216"):
        to_c(huge, tmp_path / "net.c")
    for wrong in ("many", -1, True, 1e6):
        with pytest.raises(ValueError, match=f"most_bytes must be None or a whole number of bytes, not {wrong!r}"):
            to_c(model, tmp_path / "net.c", most_bytes=wrong)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("interpreted")
def test_a_model_may_need_any_number_of_bytes(tmp_path: Path) -> None:
    large = nm.build(nm.compile("/xavier,zero/ (input, 1100) {m, input, take, 4096} (y, 1, <relu>, <mse>)", 1, 0.1))
    with pytest.raises(ValueError, match=r"bytes of RAM for its struct, and most_bytes allows 16,777,216"):
        to_c(large, tmp_path / "net.c")
    to_c(large, tmp_path / "net.c", most_bytes=None)
    assert sorted(os.listdir(tmp_path)) == ["net.c", "net.h"]


def test_paths_that_cant_be_written_are_refused(
    model: nm.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"exported C needs a folder that exists: 'missing/net\.c'"):
        to_c(model, "missing/net.c")
    (tmp_path / "net.h").mkdir()
    with pytest.raises(IsADirectoryError, match="exported C needs a file, but this is a folder"):
        to_c(model, tmp_path / "net.c")
    assert os.listdir(tmp_path) == ["net.h"]


@pytest.mark.parametrize("old", [None, b"old"])
def test_neither_file_changes_where_the_second_cant_be_written(
    model: nm.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None
) -> None:
    if old is not None:
        (tmp_path / "net.h").write_bytes(old)
    real = c_export.replace_file

    def full(target: str, data: bytes) -> None:
        if target.endswith(".c"):
            raise OSError(28, "No space left on device", "temporary")
        real(target, data)

    monkeypatch.setattr(c_export, "replace_file", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*net\.c'"):
        to_c(model, tmp_path / "net.c")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({} if old is None else {"net.h": old})


# Names and comments ---------------------------------------------------------------------------------------------------


def test_names_of_nodes_are_told_apart_and_are_no_words_of_c() -> None:
    names = c_names.Names("net")
    given = ["h.x", "h-x", "h_x", "int", "class", "linux", "NAN", "I", "_x", "__", "_-", "net", "a" * 255, "a" * 254]
    found = [names.new(name, "_weight") for name in given]
    assert len({*found, *(f"{name}_weight" for name in found)}) == 2 * len(given)
    for name in found:
        assert re.fullmatch(r"[a-zA-Z]+(_[a-zA-Z0-9]+)*_?", name)
        assert name not in c_names.RESERVED
        assert name.endswith("_") or not name.isupper()


def test_names_with_endings_never_meet_other_names() -> None:
    names = c_names.Names()
    assert names.new("a_weight", "_weight") == "a_weight"
    assert names.new("a", "_weight") == "a_2"


@pytest.mark.parametrize(
    "text",
    [
        "*/ int x; /*",
        "\\\n",
        "??/",
        "???/",
        "*\\",
        "/\\*",
        "\\*/*",
        "\u0101\u0101\u0101/",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "a\rb\x00\x1b[31m",
    ],
)
def test_comments_stay_comments(text: str) -> None:
    shown = c_names.comment_of(text)
    assert shown.isascii()
    assert not any(part in shown for part in ("*/", "/*", "\\", "??", "\x00", "\x1b", "\r"))


@pytest.mark.parametrize("module", [c_expressions, c_names])
def test_examples_in_docstrings(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert (found.failed, found.attempted > 0) == (0, True)
