"""Data files of commands: what their headers claim is checked before anything is read, and takes no memory."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import neuromorph as nm
from neuromorph.cli import data, layout, main
from neuromorph.cli.data import Source
from neuromorph.host import cgroups
from neuromorph.tables import records
from neuromorph.tables.files import has_polars

CLASSIFIER = "/xavier,zero/ (input, 2) (output, 3, <softmax>, <cross_entropy>)"
RECURRENT = "/xavier,zero/ (bit, 2) {both, h, concatenate} (h, 3, <tanh>) (output, 3, <softmax>, <cross_entropy>)"
ROWS = 1 << 22  # of two numbers: 64 MiB
LITTLE = 4 << 20  # bytes
POINTS, LABELS = np.arange(20.0).reshape(10, 2), np.arange(10) % 3


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def classifier() -> nm.Model:
    return nm.compile(CLASSIFIER, 4, 0.1)


def npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version, allow_pickle=True)
    return file.getvalue()


def header(shape: Any, descr: str = "<f8", *, fortran: bool = False) -> bytes:
    """What begins a file of an array that is described so."""
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive(name: str, **members: bytes) -> None:
    """An NPZ file of members as they are given."""
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for member, content in members.items():
            file.writestr(f"{member}.npy", content)


@pytest.fixture(scope="module")
def zeros() -> bytes:
    return npy(np.zeros((ROWS, 2)))


def refused(source: Source, model: nm.Model, *, answers: bool = True) -> str:
    """What is said of a source, and that no large part of it was read."""
    tracemalloc.start()
    try:
        with pytest.raises(click.ClickException) as caught:
            layout.arrays_of(source, model, answers=answers)
        assert tracemalloc.get_traced_memory()[1] < LITTLE
    finally:
        tracemalloc.stop()
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 1000
    return caught.value.message


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({}, "it has neither expected nor labels, and one of them is needed"),
        ({"expected": npy(LABELS), "labels": npy(LABELS)}, "it has both expected and labels, and one .* needed"),
        ({"labels": npy(LABELS)}, rf"labels has shape \(10,\), and needs \({ROWS},\) for inputs of \({ROWS}, 2\)"),
        ({"labels": npy(LABELS.astype(str))}, "labels has the type <U21, and needs real numbers"),
        ({"expected": npy(POINTS)}, rf"expected has shape \(10, 2\), and needs \({ROWS}, 3\), or as .*"),
        (
            {"labels": header((ROWS,), "|i1") + bytes(ROWS), "sample_weight": npy(LABELS)},
            rf"sample_weight has shape \(10,\), and needs \({ROWS},\)",
        ),
        (
            {"expected": header((ROWS, 1), "|i1") + bytes(ROWS), "lengths": npy(LABELS)},
            "lengths are for sequences, and inputs are vectors",
        ),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named_before_anything_large_is_read(
    others: dict[str, bytes], said: str, zeros: bytes, classifier: nm.Model
) -> None:
    archive("d.npz", inputs=zeros, **others)
    assert re.fullmatch(f"d.npz: {said}", refused(Source(data="d.npz"), classifier))


def test_large_arrays_of_another_width_are_not_read(zeros: bytes) -> None:
    model = nm.compile("/xavier,zero/ (input, 3) (output, 1, <linear>, <mse>)", 4, 0.1)
    archive("d.npz", inputs=zeros, expected=zeros)
    Path("x.npy").write_bytes(zeros)
    Path("y.npy").write_bytes(npy(LABELS))
    said = f"inputs has shape ({ROWS}, 2), and the model takes vectors of width 3"
    assert refused(Source(data="d.npz"), model) == f"d.npz: {said}"
    assert refused(Source(data="d.npz"), model, answers=False) == f"d.npz: {said}"
    assert refused(Source(data="x.npy"), model, answers=False) == f"x.npy: {said}"
    assert refused(Source(inputs="x.npy", expected="y.npy"), model) == f"x.npy: {said}"
    said = f"inputs has shape ({ROWS}, 2), and needs (sequences, steps, width)"
    assert refused(Source(data="d.npz", sequences=True), model) == f"d.npz: {said}"


def test_commands_read_nothing_in_vain(zeros: bytes, classifier: nm.Model, capsys: pytest.CaptureFixture[str]) -> None:
    classifier.prepare()
    classifier.save("net.safetensors")
    Path("net.mdl").write_text(CLASSIFIER)
    archive("d.npz", inputs=zeros)
    archive("wide.npz", inputs=header((ROWS // 4, 8)) + zeros[-ROWS * 16 :])
    for said, *command in (
        ("d.npz: it has neither", "train", "net.mdl", "--data", "d.npz", "--save", "new.safetensors", "--epochs", "1"),
        ("d.npz: it has neither", "evaluate", "net.safetensors", "--data", "d.npz"),
        ("wide.npz: inputs has shape", "predict", "net.safetensors", "--data", "wide.npz"),
    ):
        tracemalloc.start()
        try:
            assert main(command) == 1
            assert tracemalloc.get_traced_memory()[1] < LITTLE
        finally:
            tracemalloc.stop()
        assert capsys.readouterr().err.startswith(f"error: {said}")


def test_what_is_expected_in_a_file_of_its_own_is_looked_at_first(zeros: bytes, classifier: nm.Model) -> None:
    Path("x.npy").write_bytes(zeros)
    Path("y.npy").write_bytes(npy(LABELS.astype("S")))
    pair = Source(inputs="x.npy", expected="y.npy")
    assert refused(pair, classifier) == "y.npy: expected has the type |S21, and needs real numbers"
    Path("y.npy").write_bytes(npy(LABELS))
    assert refused(pair, classifier).startswith(f"y.npy: expected has shape (10,), and needs ({ROWS}, 3), or as labels")


CLAIMS = [
    (header((1 << 40, 2)), r"inputs of shape \(1099511627776, 2\) needs 17,592,186,044,416 bytes, and 0 are there"),
    (header((1 << 28,), "|i1") + b"12", r"inputs of shape \(268435456,\) needs 268,435,456 bytes, and 2 are there"),
    (header((1 << 62, 1 << 62)), r"inputs of shape \(.*\) needs [\d,]+ bytes, and 0 are there"),
    (npy(POINTS)[:-1], r"inputs of shape \(10, 2\) needs 160 bytes, and 159 are there"),
    (header((-1, 2)), r"not a sound NP. file: the shape of inputs is \(-1, 2\)"),
    (header((1.5, 2)), "not a sound NP. file: .*shape.*"),
    (header([10, 2]), "not a sound NP. file: .*shape.*"),
    (header((0, 1 << 62, 1 << 62)), "not a sound NP. file: .*"),
    (header((1,) * 99), r"inputs of shape \(1, 1, .*… needs 8 bytes, and 0 are there"),
    (header((1,) * 99) + bytes(8), "not a sound NP. file: .*"),
    (header((1, 2), "<f99"), "not a sound NP. file: .*"),
    (header((1, 2), "O"), "it holds Python objects, and only numbers are read"),
    (npy(np.array([{}], object)), "it holds Python objects, and only numbers are read"),
    (header((1,), "<U500000000"), "inputs has the type <U500000000, and needs real numbers"),
    (header((2,), "<c16") + bytes(32), "inputs has the type complex128, and needs real numbers"),
    (npy(np.zeros(2, [("a" * 900, "f8")])), r"inputs has the type \[\('a{90,100}…, and needs real numbers"),
    (npy(np.zeros(2, [("𝕏", "f8")]), (3, 0)), "not a sound NP. file: inputs is in version 3.0 of the format, .*"),
    (b"\x93NUMPY\x09\x00" + bytes(99), "not a sound NP. file: .*"),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 99, "not a sound NP. file: .*"),
    (b"\x93NUMPY\x02\x00\xff\xff\x00\x00" + b" " * 65535, "not a sound NP. file: .*"),
    (b"\x93NUMPY", "not a sound NP. file: .*"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), CLAIMS, ids=[f"claim{n}" for n in range(len(CLAIMS))])
def test_what_a_header_claims_is_checked(content: bytes, said: str, classifier: nm.Model) -> None:
    archive("d.npz", inputs=content, labels=npy(LABELS))
    assert re.fullmatch(f"d.npz: {said}", found := refused(Source(data="d.npz"), classifier)), found
    Path("x.npy").write_bytes(content)
    assert re.fullmatch(f"x.npy: {said}", found := refused(Source(data="x.npy"), classifier, answers=False)), found


def test_a_member_that_is_no_array(classifier: nm.Model) -> None:
    archive("d.npz", inputs=b"some text", labels=npy(LABELS))
    assert refused(Source(data="d.npz"), classifier) == "d.npz: its inputs is no array"


def test_a_directory_of_an_archive_may_lie_too(classifier: nm.Model) -> None:
    """It claims a gigabyte for what has twenty bytes; the header agrees with it."""
    archive("d.npz", inputs=header((1 << 26, 2)) + bytes(20), labels=header((1 << 26,), "|i1") + bytes(20))
    raw = bytearray(Path("d.npz").read_bytes())
    place = -1
    while (place := raw.find(b"PK\x01\x02", place + 1)) >= 0:
        struct.pack_into("<I", raw, place + 24, 2**31 - 1)
    Path("d.npz").write_bytes(raw)
    with pytest.raises(click.ClickException, match=r"^d\.npz: not a sound NPZ file: "):
        layout.arrays_of(Source(data="d.npz"), classifier)


def test_memory_that_is_not_there_is_named(classifier: nm.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("d.npz", inputs=POINTS, labels=LABELS)
    np.save("x.npy", POINTS)
    monkeypatch.setattr(cgroups, "physical_memory", lambda: 239)
    said = "d.npz: its arrays need 240 bytes (0.0 GiB), and this machine has 239 (0.0 GiB)"
    assert refused(Source(data="d.npz"), classifier) == said
    assert layout.arrays_of(Source(data="x.npy"), classifier, answers=False).inputs.shape == (10, 2)
    monkeypatch.setattr(cgroups, "allowed_memory", lambda: 159)
    said = "x.npy: its arrays need 160 bytes (0.0 GiB), and this process is allowed 159 (0.0 GiB)"
    assert refused(Source(data="x.npy"), classifier, answers=False) == said


def test_a_file_that_changes_while_it_is_read(classifier: nm.Model) -> None:
    def changed(write: Callable[[], None]) -> str:
        np.savez("d.npz", inputs=POINTS, labels=LABELS)
        with pytest.raises(click.ClickException) as caught:
            data.read(Source(data="d.npz"), classifier, check=lambda arrays: write())
        return caught.value.message

    said = changed(lambda: np.savez("d.npz", inputs=POINTS[:9], labels=LABELS))
    assert said == "d.npz: not a sound NPZ file: it changed while it was read"
    said = changed(lambda: np.savez("d.npz", inputs=POINTS.astype(np.float32), labels=LABELS))
    assert said == "d.npz: not a sound NPZ file: it changed while it was read"
    assert changed(lambda: np.savez("d.npz", labels=LABELS)).startswith("d.npz: not a sound NPZ file: ")


def test_of_many_names_some_are_listed(classifier: nm.Model) -> None:
    archive("d.npz", **{f"x{n}" + "y" * 100 * n: npy(n) for n in range(12)})
    said = refused(Source(data="d.npz"), classifier)
    assert said.startswith(f"d.npz: it has no array named inputs, but x0, x1{'y' * 98}…, x2")
    assert said.endswith("…, 4 more")


@pytest.mark.parametrize(
    "change",
    [
        lambda x: npy(x),
        lambda x: npy(x, (2, 0)),
        lambda x: npy(np.asfortranarray(x)),
        lambda x: npy(x.astype(">f4")),
        lambda x: npy(x.astype(np.float16)),
        lambda x: npy(x.astype(np.uint8)),
        lambda x: npy(x) + b"more",
    ],
)
@pytest.mark.parametrize("model", [CLASSIFIER, RECURRENT])
def test_arrays_are_read_as_numpy_reads_them(change: Callable[[np.ndarray], bytes], model: str) -> None:
    archive("d.npz", inputs=change(POINTS), expected=change(LABELS[:, None]))
    Path("x.npy").write_bytes(change(POINTS))
    Path("y.npy").write_bytes(change(LABELS[:, None]))
    kind = nm.compile(model, 1, 0.1)
    for source in (Source(data="d.npz"), Source(inputs="x.npy", expected="y.npy")):
        found = layout.arrays_of(source, kind)
        for array, wanted in ((found.inputs, POINTS), (found.expected, LABELS[:, None])):
            assert array is not None
            np.testing.assert_array_equal(array, wanted)
            assert array.flags.writeable
        made = layout.prepared(kind, found, sequences=False)
        np.testing.assert_array_equal(made.inputs.reshape(10, 2), POINTS)


def test_a_table_without_lines_is_not_read_to_its_end(classifier: nm.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONGEST_RECORD", 1000)
    has_polars()  # whose import takes memory
    Path("d.csv").write_text("1,2,0\n" + "1," * (LITTLE // 2))
    assert refused(Source(data="d.csv"), classifier) == "d.csv: not a CSV file: a line has more than 1,000 characters"
    Path("d.csv").write_text("1," * (LITTLE // 2))
    assert refused(Source(data="d.csv"), classifier) == "d.csv: not a CSV file: a line has more than 1,000 characters"


def test_arrays_are_mapped_unless_they_are_compressed(classifier: nm.Model) -> None:
    """Of a large array, only the parts that are used are read; what is written to it does not reach the file."""
    large = np.zeros((ROWS // 8, 2))
    large[-1] = 1.0
    np.save("x.npy", large)
    np.savez("d.npz", inputs=large, labels=np.zeros(len(large), np.int8))
    for name, answers in (("x.npy", False), ("d.npz", True)):
        tracemalloc.start()
        found = layout.arrays_of(Source(data=name), classifier, answers=answers)
        assert tracemalloc.get_traced_memory()[1] < LITTLE
        tracemalloc.stop()
        np.testing.assert_array_equal(found.inputs[-2:], [[0, 0], [1, 1]])
        found.inputs[0] = 7.0
        again = layout.arrays_of(Source(data=name), classifier, answers=answers)
        assert again.inputs[0, 0] == 0.0
    np.savez_compressed("c.npz", inputs=large, labels=np.zeros(len(large), np.int8))
    np.testing.assert_array_equal(layout.arrays_of(Source(data="c.npz"), classifier).inputs, large)
    np.save("f.npy", np.asfortranarray(POINTS))
    np.testing.assert_array_equal(layout.arrays_of(Source(data="f.npy"), classifier, answers=False).inputs, POINTS)


def test_what_is_expected_in_numpy_files_may_be_missing(classifier: nm.Model) -> None:
    labels = LABELS.astype(float)
    labels[3] = np.nan
    np.savez("d.npz", inputs=POINTS, labels=labels)
    found = layout.arrays_of(Source(data="d.npz", missing="skip"), classifier)
    assert layout.prepared(classifier, found, sequences=False).options["missing"] == "skip"
    with pytest.raises(click.ClickException, match=r"labels\[3\] is nan, and must be a whole number from 0 to 2"):
        layout.prepared(classifier, layout.arrays_of(Source(data="d.npz"), classifier), sequences=False)
    with pytest.raises(click.UsageError, match="--missing mean is for tables; NPY and NPZ files take error or skip"):
        layout.arrays_of(Source(data="d.npz", missing="mean"), classifier)
