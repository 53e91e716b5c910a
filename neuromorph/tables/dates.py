"""Reads dates and times, in days since 1970-01-01, in the forms that tables have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

_TIME = r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d{1,9})?))?\s?(Z|UTC|[+-]\d{2}:?\d{2})?)?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = "(?P<month>(?i:" + "|".join(_MONTHS) + r"))[a-zA-Z]*\.?"
_DAY, _NUMBER, _YEAR = r"(?P<day>\d{1,2})", r"(?P<month>\d{1,2})", r"(?P<year>\d{4})"
_FORMS = {
    "year-month-day": rf"{_YEAR}-{_NUMBER}-{_DAY}",
    "year/month/day": rf"{_YEAR}/{_NUMBER}/{_DAY}",
    "day.month.year": rf"{_DAY}\.{_NUMBER}\.{_YEAR}",
    "day/month/year": rf"{_DAY}/{_NUMBER}/{_YEAR}",
    "month/day/year": rf"{_NUMBER}/{_DAY}/{_YEAR}",
    "day-month-year": rf"{_DAY}-{_NUMBER}-{_YEAR}",
    "day month year": rf"{_DAY}[ -]{_MONTH}[ -]{_YEAR}",
    "month day, year": rf"{_MONTH} {_DAY},? {_YEAR}",
    "year-month": rf"{_YEAR}-{_NUMBER}",
}
_PATTERNS = {name: re.compile(form + _TIME, re.ASCII) for name, form in _FORMS.items()}
FORMS = tuple(_FORMS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def days_of(text: str, form: str) -> float | None:
    """A date and perhaps a time, in days since 1970-01-01; in UTC where it has a zone. None if it is no date."""
    found = _PATTERNS[form].fullmatch(text)
    if found is None:
        return None
    parts = found.groupdict()
    month = parts["month"].lower()[:3]
    number = _MONTHS.index(month) + 1 if month in _MONTHS else int(month)
    hour, minute, second, zone = found.groups()[-4:]
    try:
        date = datetime(
            int(parts["year"]), number, int(parts.get("day", 1)), int(hour or 0), int(minute or 0), tzinfo=UTC
        )
    except ValueError:
        return None
    seconds = (date - _EPOCH).total_seconds() + float((second or "0").replace(",", ".")) - 60.0 * _minutes(zone)
    return seconds / 86_400.0


def _minutes(zone: str | None) -> int:
    """How far a zone is before UTC, in minutes."""
    if zone is None or zone in ("Z", "UTC"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    return (60 * hours + minutes) * (-1 if zone[0] == "-" else 1)


def forms_of(text: str) -> set[str]:
    """The forms in which a text can be read as a date."""
    return {form for form in FORMS if days_of(text, form) is not None}


def text_of(days: float, *, times: bool, form: str = "year-month-day") -> str:
    """A date in a form; in that of ISO 8601 where the form has the names of months, or no place for the day.

    times: whether with the time of the day, to the second.
    """
    moment = datetime.fromtimestamp(round(days * 86_400.0), UTC)
    numbers = {"year": f"{moment.year:04}", "month": f"{moment.month:02}", "day": f"{moment.day:02}"}
    if " " in form or (form == "year-month" and (times or moment.day > 1)):
        form = "year-month-day"
    date = re.sub("[a-z]+", lambda part: numbers[part[0]], form)
    return date + moment.strftime("T%H:%M:%S") * times


def following(days: Sequence[float], count: int) -> list[float] | None:
    """The dates that follow some in equal steps, or on the same day of each month; None if these have no such order."""
    steps = {round(after - before, 9) for before, after in pairwise(days)}
    if len(steps) == 1:
        step = steps.pop()
        return [days[-1] + step * number for number in range(1, count + 1)]
    moments = [datetime.fromtimestamp(day * 86_400.0, UTC) for day in days]
    months = [12 * moment.year + moment.month - 1 for moment in moments]
    strides = {after - before for before, after in pairwise(months)}
    same = len({(moment.day, moment.time()) for moment in moments}) == 1
    if len(strides) != 1 or not same or moments[-1].day > 28:
        return None
    stride, found = strides.pop(), []
    for number in range(1, count + 1):
        year, month = divmod(months[-1] + stride * number, 12)
        found.append((moments[-1].replace(year=year, month=month + 1) - _EPOCH).total_seconds() / 86_400.0)
    return found
