"""What was learnt of a table as plain JSON: nothing that a file says of it is trusted."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.data.schema import (
    BOOLEAN,
    CATEGORY,
    CLASS,
    DATE,
    LEFT_OUT,
    NUMBER,
    Column,
    Schema,
    checked_classes,
)  # fmt: skip
from neuromorph.storage import header

TEXT = "/xavier,zero/ (in, 5) (out, 2, <softmax>, <cross_entropy>)"
SCHEMA = Schema(
    (
        Column("age", NUMBER, means=(47.5,)), Column("city", CATEGORY, ("Oslo", "Rome"), (0.25, 0.75)),
        Column("member", BOOLEAN, ("no", "yes"), (0.5,)), Column("day", DATE, (), (3.5,), "year-month-day", 19000.0),
        Column("note", LEFT_OUT, style="ignored"), Column("kind", CLASS), Column("who", LEFT_OUT, style="group"),
    ),
    True, (0, 1, 2, 3), (5,), group=6, missing="mean",
)  # fmt: skip


def model() -> nm.Model:
    made = nm.compile(TEXT, 2, 0.1)
    made.table, made.classes = SCHEMA, ("good", "bad")
    return made


def test_files_pickles_and_copies_keep_it(tmp_path: Path) -> None:
    made, path = model(), tmp_path / "net.safetensors"
    made.save(path)
    made.prepare()
    made.save(tmp_path / "use.safetensors", training=False)
    others = (
        nm.load(path), nm.load(tmp_path / "use.safetensors"), pickle.loads(pickle.dumps(made)), copy.deepcopy(made),
        copy.copy(made),
    )  # fmt: skip
    for other in others:
        assert other.table == SCHEMA
        assert other.classes == ("good", "bad")
    assert nm.compile(TEXT, 2, 0.1).classes is None
    assert SCHEMA.width == 5
    assert Schema.from_record(json.loads(json.dumps(SCHEMA.record()))) == SCHEMA


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("ab", "classes must be the names of classes in the order of their numbers, or None"),
        (["a"], "classes has 1 names, and an output of width 2 has 2 classes"),
        (["a", "a"], "classes has a name twice"),
        (["a", None], r"classes\[1\] must be a text, a finite number or a boolean"),
        (["a", float("nan")], r"classes\[1\] must be a text, a finite number or a boolean"),
        ([[1], [2]], r"classes\[0\] must be a text, a finite number or a boolean"),
        ([1, 1.0], "classes has a name twice"),
    ],
)
def test_classes_are_checked(value: Any, said: str) -> None:
    made = model()
    with pytest.raises(ValueError, match=f"^{said}$"):
        made.classes = value
    assert made.classes == ("good", "bad")


def test_classes_may_be_of_numpy_or_truths() -> None:
    assert checked_classes(np.array([3, 5]), 2) == (3, 5)
    assert checked_classes([False, True], 1) == (False, True)
    assert checked_classes([True, 1], 2) == (True, 1)
    assert checked_classes(None, 7) is None


def changed(**changes: Any) -> dict[str, Any]:
    record = json.loads(json.dumps(SCHEMA.record()))
    return {name: value for name, value in {**record, **changes}.items() if value is not ...}


COLUMN = {"name": "x", "kind": "number"}


@pytest.mark.parametrize(
    "record",
    [
        None, [], "x",
        {}, changed(columns=[]), changed(columns={}), changed(columns=[COLUMN, COLUMN]), changed(header=1),
        changed(inputs=[]), changed(inputs=[0, 0]), changed(inputs=[7]), changed(inputs=[-1]), changed(inputs=["0"]),
        changed(inputs=[4]), changed(inputs=[True]), changed(targets=[4]), changed(missing="skip"),
        changed(missing=None),
        changed(group=7), changed(group="who"), changed(time=1.5), changed(window=0), changed(window=-1),
        changed(horizon=2**40), changed(more=1), changed(header=...), changed(inputs=[{}]),
        *(
            changed(columns=[{**COLUMN, **bad}], inputs=[0], targets=[], group=...)
            for bad in (
                {"kind": "text"}, {"name": 3}, {"name": "x" * 20_000}, {"kind": []}, {"values": ["a"]},
                    {"values": "ab"},
                {"kind": "category"}, {"kind": "category", "values": ["a", "a"]}, {"kind": "category",
                    "values": [1, 2]},
                {"kind": "boolean", "values": ["a"]}, {"means": [1.0, 2.0]}, {"means": ["1"]}, {"means": [1e309]},
                {"kind": "category", "values": ["a", "b"], "means": [1.0]}, {"style": 3}, {"style": "x" * 200},
                {"origin": "1970"}, {"origin": True}, {"more": 1}, {"values": {}},
            )
        ),
    ],
)  # fmt: skip
def test_records_of_files_are_checked(record: Any) -> None:
    with pytest.raises(nm.StorageError, match=r"^corrupt: "):
        Schema.from_record(record)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": {**SCHEMA.record(), "inputs": [0]}}, "a row of its table becomes 1 numbers, and its text takes 5"),
        ({"classes": ["a"]}, "classes has 1 names, and an output of width 2 has 2 classes"),
        ({"classes": "ab"}, "its classes is 'ab'"),
        ({"classes": None}, "its classes is None"),
        ({"classes": ...}, "its table has classes without names"),
    ],
)
def test_files_with_a_table_that_does_not_fit_are_refused(
    change: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    model().save(path)
    read = header._json

    def changed_json(text: str, what: str) -> dict[str, Any]:
        record = read(text, what)
        return {n: v for n, v in {**record, **change}.items() if v is not ...} if what == "metadata" else record

    monkeypatch.setattr(header, "_json", changed_json)
    with pytest.raises(nm.StorageError, match=rf"corrupt: {said}$"):
        nm.load(path)
