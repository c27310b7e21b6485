"""Schedules against a slow reference that looks at every minute, and what is said of a wrong one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.appfiles import cron_schedule
from gitship.schema import zone
from tests.examples import examples

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
MINUTE = timedelta(minutes=1)


def numbers(field: str, low: int, high: int, names: list[str], first: int) -> set[int]:
    """What a field matches, by crontab(5)'s words."""
    found: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        begin, dash, end = span.partition("-")
        if begin == "*":
            begin, end = str(low), str(high)
        elif not dash:
            end = str(high) if step else begin
        ends = [names.index(x) + first if x in names else int(x) for x in (begin, end)]
        found |= set(range(ends[0], ends[1] + 1, int(step or 1)))
    return found


class Reference:
    """Every minute of the zone's wall clock is asked whether it matches."""

    def __init__(self, text: str, zone: str) -> None:
        minute, hour, day, month, weekday = text.split()
        self.minutes = numbers(minute, 0, 59, [], 0)
        self.hours = numbers(hour, 0, 23, [], 0)
        self.days = numbers(day, 1, 31, [], 0)
        self.months = numbers(month, 1, 12, MONTHS, 1)
        self.weekdays = {n % 7 for n in numbers(weekday, 0, 7, DAYS, 0)}
        self.either = not day.startswith("*") and not weekday.startswith("*")
        self.by_the_clock = not minute.startswith("*") and not hour.startswith("*")
        self.zone = ZoneInfo(zone)

    def matches(self, local: datetime) -> bool:
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        on_the_day = (day or weekday) if self.either else (day and weekday)
        return local.minute in self.minutes and local.hour in self.hours and local.month in self.months and on_the_day

    def between(self, after: datetime, until: datetime) -> list[datetime]:
        """All times in (after, until], both UTC and whole minutes."""
        found = []
        at = after + MINUTE
        while at <= until:
            local = at.astimezone(self.zone)
            now = self.matches(local) and not (self.by_the_clock and local.fold)
            if now or (self.by_the_clock and any(map(self.matches, self.skipped_before(at)))):
                found.append(at)
            at += MINUTE
        return found

    def skipped_before(self, at: datetime) -> list[datetime]:
        """The minutes that the wall clock left out right before ``at``."""
        now = at.astimezone(self.zone).replace(tzinfo=None)
        before = (at - MINUTE).astimezone(self.zone).replace(tzinfo=None)
        return [before + n * MINUTE for n in range(1, max(1, (now - before) // MINUTE))]


def field(low: int, high: int, names: list[str], first: int) -> st.SearchStrategy[str]:
    one = st.integers(low, high).map(str)
    if names:
        one |= st.sampled_from(names)

    def value(text: str) -> int:
        return names.index(text) + first if text in names else int(text)

    span = st.tuples(one, one).map(lambda ends: "-".join(sorted(ends, key=value)))
    step = st.tuples(st.just("*") | span, st.integers(1, high)).map(lambda p: f"{p[0]}/{p[1]}")
    listed = st.lists(one | span, min_size=1, max_size=3).map(",".join)
    return st.just("*") | listed | step


SCHEDULES = st.tuples(
    field(0, 59, [], 0), field(0, 23, [], 0), field(1, 31, [], 0), field(1, 12, MONTHS, 1), field(0, 7, DAYS, 0)
).map(" ".join)
DAYS_OF_CHANGE = [datetime(2025, 3, 29, 22, tzinfo=UTC), datetime(2025, 10, 25, 22, tzinfo=UTC),
                  datetime(2025, 3, 9, 4, tzinfo=UTC), datetime(2025, 11, 2, 4, tzinfo=UTC)]  # fmt: skip
MOMENTS = st.sampled_from(DAYS_OF_CHANGE) | st.datetimes(datetime(2023, 1, 1), datetime(2029, 1, 1)).map(
    lambda at: at.replace(second=0, microsecond=0, tzinfo=UTC)
)


def all_between(text: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    due = cron_schedule.following(text, zone, after.timestamp())
    while due is not None and due <= until.timestamp():
        found.append(datetime.fromtimestamp(due, UTC))
        due = cron_schedule.following(text, zone, due)
    return found


@examples(100)
@given(SCHEDULES, st.sampled_from(ZONES), MOMENTS, st.integers(1, 300))
def test_it_is_due_when_a_look_at_every_minute_says_so(text: str, zone: str, after: datetime, minutes: int) -> None:
    try:
        cron_schedule.parse(text)
    except ValueError as error:
        assert "names a day that does not exist" in str(error)
        return
    until = after + minutes * MINUTE
    assert all_between(text, zone, after, until) == Reference(text, zone).between(after, until)


@examples(60)
@given(st.text(st.sampled_from("0123456789*/,-@LW#? abcjn²\0"), max_size=40) | st.text(max_size=20))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        parsed = cron_schedule.parse(text)
    except ValueError as error:
        assert str(error)
        return
    assert parsed == cron_schedule.parse(parsed)
    assert cron_schedule.following(parsed, "UTC", 1_700_000_000.0) is not None


def at(zone: str, *when: int, fold: int = 0) -> float:
    return datetime(*when, tzinfo=ZoneInfo(zone), fold=fold).timestamp()  # type: ignore[arg-type, misc]


def test_what_lies_in_the_hour_that_is_skipped_runs_once_when_it_is_over() -> None:
    before = at("Europe/Berlin", 2025, 3, 30, 1, 59)
    due = cron_schedule.following("30 2 * * *", "Europe/Berlin", before)
    assert due == at("Europe/Berlin", 2025, 3, 30, 3, 0)
    assert cron_schedule.following("30 2 * * *", "Europe/Berlin", due) == at("Europe/Berlin", 2025, 3, 31, 2, 30)


@pytest.mark.parametrize("minute", [0, 29, 30, 31, 59])
@pytest.mark.parametrize("fold", [0, 1])
def test_what_lies_in_the_hour_that_comes_twice_runs_once_wherever_the_search_begins(minute: int, fold: int) -> None:
    now = at("Europe/Berlin", 2025, 10, 26, 2, minute, fold=fold)
    first, next_day = at("Europe/Berlin", 2025, 10, 26, 2, 30), at("Europe/Berlin", 2025, 10, 27, 2, 30)
    due = cron_schedule.following("30 2 * * *", "Europe/Berlin", now)
    assert due == (first if now < first else next_day)


def test_the_last_of_several_is_the_one_that_counts() -> None:
    noon = at("UTC", 2025, 5, 1, 12)
    assert cron_schedule.latest("* * * * *", "UTC", noon, noon + 270) == noon + 240
    assert cron_schedule.latest("* * * * *", "UTC", noon, noon + 59) is None
    assert cron_schedule.latest("0 13 * * *", "UTC", noon, noon + 300) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("60 * * * *", "invalid minute '60': 0 to 59"),
        ("0 24 * * *", "invalid hour '24'"),
        ("0 0 0 * *", "invalid day-of-month '0'"),
        ("0 0 1 foo *", "invalid month 'foo'"),
        ("0 0 * * fri-mon", "invalid day-of-week 'fri-mon'"),
        ("*/0 * * * *", "invalid minute '*/0'"),
        ("0 0 30 2 *", "names a day that does not exist"),
        ("0 0 31 4,6 *", "names a day that does not exist"),
        ("0 0 * *", "five fields (minute, hour, day-of-month, month, day-of-week), not 4 fields"),
        ("0 0 0 * * *", "not 6 fields"),
        ("", "not 0 fields"),
        ("@reboot", "must be one of @hourly"),
        ("9" * 5000, "longer than"),
    ],
)
def test_a_wrong_one_names_its_field(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        cron_schedule.parse(text)


@pytest.mark.parametrize("word", cron_schedule.WORDS)
def test_words_are_five_fields(word: str) -> None:
    assert cron_schedule.parse(f" {word} ") == word
    noon = at("UTC", 2025, 5, 1, 12)
    assert cron_schedule.following(word, "UTC", noon) == cron_schedule.following(cron_schedule.WORDS[word], "UTC", noon)


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../../etc/passwd", "/etc/passwd", "Europe", "x" * 5000, "\0"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a known time zone"):
        zone(name)
