"""Dates in several forms, and those that follow."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from neuromorph.tables.dates import FORMS, days_of, following, forms_of, text_of


def days(*when: int) -> float:
    return (datetime(*when, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() / 86_400  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "form", "moment"),
    [
        ("2024-01-31", "year-month-day", (2024, 1, 31)),
        ("2024-01-31T12:30:15", "year-month-day", (2024, 1, 31, 12, 30, 15)),
        ("2024-01-31 12:30Z", "year-month-day", (2024, 1, 31, 12, 30)),
        ("2024-01-31 12:30+02:00", "year-month-day", (2024, 1, 31, 10, 30)),
        ("2024-01-31 12:30-0330", "year-month-day", (2024, 1, 31, 16, 0)),
        ("2024/1/31", "year/month/day", (2024, 1, 31)),
        ("31.1.2024 08:00", "day.month.year", (2024, 1, 31, 8)),
        ("31/01/2024", "day/month/year", (2024, 1, 31)),
        ("01/31/2024", "month/day/year", (2024, 1, 31)),
        ("31 January 2024", "day month year", (2024, 1, 31)),
        ("Jan 31, 2024", "month day, year", (2024, 1, 31)),
        ("1969-07", "year-month", (1969, 7, 1)),
    ],
)
def test_forms(text: str, form: str, moment: tuple[int, ...]) -> None:
    assert forms_of(text) == {form}
    assert days_of(text, form) == pytest.approx(days(*moment), abs=1e-9)


def test_what_may_be_two_dates_or_none() -> None:
    assert forms_of("01/02/2024") == {"day/month/year", "month/day/year"}
    for text in (
        "31.02.2024",
        "2024-13-01",
        "12:30",
        "20240131",
        "2024",
        "1.5.2",
        "",
        "2024-01-31 25:00",
        "31 Foo 2024",
    ):
        assert forms_of(text) == set(), text


def test_what_follows() -> None:
    assert following([1.0, 3.0, 5.0], 2) == [7.0, 9.0]
    months = [days(2023, month, 15) for month in (10, 11, 12)]
    assert following(months, 3) == [days(2024, 1, 15), days(2024, 2, 15), days(2024, 3, 15)]
    assert following([days(2020, 1, 1), days(2021, 1, 1), days(2022, 1, 1)], 1) == [days(2023, 1, 1)]
    assert following([0.0, 1.0, 5.0], 2) is None
    assert following([days(2024, 1, 31), days(2024, 3, 31), days(2024, 5, 31)], 1) is None
    assert text_of(days(2024, 2, 29, 12, 30), times=True) == "2024-02-29T12:30:00"
    assert text_of(-1.0, times=False) == "1969-12-31"


@pytest.mark.parametrize("form", FORMS)
def test_a_date_is_written_in_its_form(form: str) -> None:
    first, moment = days(2024, 3, 1), days(2024, 3, 9, 12, 30)
    assert text_of(first, times=False, form=form) in (
        "2024-03", "2024-03-01", "2024/03/01", "01.03.2024", "01/03/2024", "03/01/2024", "01-03-2024"
    )  # fmt: skip
    for day, times in ((first, False), (first, True), (moment, True)):
        text = text_of(day, times=times, form=form)
        assert days_of(text, form if form in forms_of(text) else "year-month-day") == day
