"""Which backups are kept."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.backup.retention import MadeBackup, Retention
from gitship.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400

retentions = st.builds(
    Retention, *[st.integers(0, 12)] * 5
).filter(lambda rule: any((rule.last, rule.days, rule.weeks, rule.months, rule.years)))  # fmt: skip
backups = st.lists(
    st.tuples(st.floats(NOW - 900 * DAY_S, NOW + 2 * DAY_S), st.booleans()), max_size=60
).map(lambda made: [MadeBackup(number, at, verified) for number, (at, verified) in enumerate(made)])  # fmt: skip


def daily(days: int, hour: int = 3) -> list[MadeBackup[int]]:
    """Id n is of n days ago."""
    first = datetime(2026, 12, 1, hour, tzinfo=BERLIN)
    return [MadeBackup(n, (first - timedelta(days=n)).timestamp(), True) for n in range(days)]


def kept(rule: str, made: list[MadeBackup[int]]) -> list[int]:
    return sorted({backup.id for backup in made} - Retention.parse(rule).expired(made, NOW, BERLIN))


def test_keeps_days_weeks_and_months() -> None:
    """2026-12-01 is a Tuesday: weeks end on Sundays, 2, 9 and 16 days ago."""
    assert kept("7d,4w,6m", daily(400)) == [0, 1, 2, 3, 4, 5, 6, 9, 16, 31, 62, 92, 123]


def test_keeps_the_last() -> None:
    assert kept("3", daily(10)) == [0, 1, 2]
    assert kept("3", daily(2)) == [0, 1]


def test_days_are_those_of_the_zone() -> None:
    late = datetime(2026, 11, 29, 23, 30, tzinfo=UTC).timestamp()  # the 30th in Berlin
    made = [MadeBackup(1, late, True), MadeBackup(2, late + 3600, True), MadeBackup(3, NOW, True)]
    assert Retention.parse("9d").expired(made, NOW, BERLIN) == {1}
    assert Retention.parse("9d").expired(made, NOW, UTC) == set()


def test_days_without_a_backup_do_not_count() -> None:
    """A server that was off for a month does not lose its backups on its return."""
    assert kept("3d", [backup for backup in daily(60) if backup.id == 0 or backup.id > 30]) == [0, 31, 32]


def test_a_verified_backup_is_kept_for_its_day() -> None:
    made = [MadeBackup(1, NOW - DAY_S, True), MadeBackup(2, NOW - DAY_S + 3600), MadeBackup(3, NOW)]
    assert Retention.parse("2d").expired(made, NOW, BERLIN) == {2}


def test_the_newest_verified_backup_is_kept_however_old_it_is() -> None:
    """What comes after it may be broken: it is the one that is known to restore."""
    made = [MadeBackup(1, NOW - 500 * DAY_S, True), MadeBackup(2, NOW - 400 * DAY_S, True)]
    made += [MadeBackup(3 + n, NOW - (9 - n) * DAY_S) for n in range(9)]
    assert Retention.parse("2,1d").expired(made, NOW, BERLIN) == {1, *range(3, 10)}


@pytest.mark.parametrize("text", ["7d,4w,6m", "10", "1y", "3,7d,2y"])
def test_is_written_as_it_is_read(text: str) -> None:
    assert Retention.parse(text).written() == text


@pytest.mark.parametrize("text", ["", "0", "0d", "-1d", "7x", "d", "7d,7d", "7d 4w", "99999d", "١d", "1.5d"])
def test_refuses_what_is_no_retention(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        Retention.parse(text)
    assert raised.value.hint


@given(retentions)
def test_reads_what_it_writes(rule: Retention) -> None:
    assert Retention.parse(rule.written()) == rule


@given(retentions, backups)
def test_the_newest_and_the_newest_verified_stay(rule: Retention, made: list[MadeBackup[int]]) -> None:
    expired = rule.expired(made, NOW, BERLIN)
    past = [backup for backup in made if backup.made_at <= NOW]
    for among in (past, [backup for backup in past if backup.verified]):
        if among:
            newest = max(backup.made_at for backup in among)
            assert [backup for backup in among if backup.made_at == newest and backup.id not in expired]


@given(retentions, backups)
def test_what_is_from_the_future_stays(rule: Retention, made: list[MadeBackup[int]]) -> None:
    expired = rule.expired(made, NOW, BERLIN)
    assert not [backup for backup in made if backup.made_at > NOW and backup.id in expired]


@given(retentions, backups)
def test_a_second_look_removes_nothing_more(rule: Retention, made: list[MadeBackup[int]]) -> None:
    expired = rule.expired(made, NOW, BERLIN)
    left = [backup for backup in made if backup.id not in expired]
    assert rule.expired(left, NOW, BERLIN) == set()


@given(retentions, backups, st.randoms())
def test_the_order_is_all_one(rule: Retention, made: list[MadeBackup[int]], random: object) -> None:
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rule.expired(shuffled, NOW, BERLIN) == rule.expired(made, NOW, BERLIN)


@given(retentions, retentions, backups)
def test_a_longer_rule_keeps_at_least_as_much(one: Retention, more: Retention, made: list[MadeBackup[int]]) -> None:
    both = Retention(
        one.last + more.last, one.days + more.days, one.weeks + more.weeks, one.months + more.months,
        one.years + more.years,
    )  # fmt: skip
    assert both.expired(made, NOW, BERLIN) <= one.expired(made, NOW, BERLIN)


@given(st.integers(1, 12), backups)
def test_keeps_a_day_for_each_of_its_days(days: int, made: list[MadeBackup[int]]) -> None:
    by_day: dict[object, set[int]] = defaultdict(set)
    for backup in made:
        if backup.made_at <= NOW:
            by_day[datetime.fromtimestamp(backup.made_at, BERLIN).date()].add(backup.id)
    expired = Retention(days=days).expired(made, NOW, BERLIN)
    left = [day for day, ids in by_day.items() if ids - expired]
    assert set(sorted(by_day, reverse=True)[:days]) <= set(left)  # type: ignore[type-var]
    assert len(left) <= days + 1  # and the day of the newest verified
