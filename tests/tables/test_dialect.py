"""What separates cells, and whether the first line has names."""

from __future__ import annotations

import pytest

from neuromorph.tables.dialect import dialect_of


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("1,2\n3,4\n", ","), ("1,5;2\n3,5;4\n", ";"), ("a\tb\n1\t2\n", "\t"), ("a|b\n1|2\n", "|"),
        ("x;y,1,2\nz;w,3,4\n", ","), ('"a;b","c"\n1,2\n', ","), ("1\n2\n", ","), ("1,2,0\n3,4\n", ","),
    ],
)  # fmt: skip
def test_separators(text: str, separator: str) -> None:
    found = dialect_of(text, whole=True)
    assert found is not None
    assert found.separator == separator


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n", True), ("1,2\n3,4\n", False), ("t,y\n1,2\n", True), ("No,on\n1,2\n", True), ("y\n3\n4\n", True),
        (",a,b\n0,1.5,2\n1,2.5,3\n", True), ("city,size\nOslo,1\nRome,2\n", True), ("1,,3\n4,5,6\n", False),
        ("NA,2\n3,4\n", False), ("name,kind\nOslo,x\nRome,y\n", True), ("x,y\nx,z\n", False), ("a,b,c\n", True),
        ("1,5;2\n2,5;3\n", False), ("True,False\nTrue,True\n", False), ("id,True\n1,2\n", True), ("5,1,5\n", False),
        ("0,1,2\n0.5,1.5,2\n", None), ("1990,1991,1992\n1,2,3\n", None), ("city,1990,1991\nOslo,1,2\n", None),
        ("True,False\n1,2\n", None), ("1,2,3\n", None), ("0,1\n4,5\n", None), ("Oslo,1,2\nRome,1,2\nOslo,3,4\n", False),
    ],
)  # fmt: skip
def test_headers(text: str, header: bool | None) -> None:
    found = dialect_of(text, whole=True)
    assert found is not None
    assert found.header is header


def test_nothing() -> None:
    assert dialect_of("\n \n", whole=True) is None
