"""When a service has had no verified backup for too long."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gitship.model.backups import BackupSchedule, BackupState, BackupSubject, RowCounts, StoredBackup, SubjectKind
from gitship.services.overdue import interval_s, newest_verified, overdue

DAY_S = 86_400.0
MONDAY = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
DB = BackupSubject(SubjectKind.SERVICE, 1, name="db")
SCHEDULE = BackupSchedule(1, DB, 1, "offsite", "0 3 * * *", "7d", "ada", MONDAY - 30 * DAY_S, MONDAY)


def backup(days_ago: float, state: BackupState = BackupState.VERIFIED, target_id: int = 1) -> StoredBackup:
    return StoredBackup(
        int(days_ago * 100), DB, 1, "postgres", "17", target_id, "offsite", "k", True, 1, "a" * 64, state,
        RowCounts(), "ada", None, MONDAY - days_ago * DAY_S,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "days"),
    [("@hourly", 1 / 24), ("0 3 * * *", 1), ("0 3 * * 1-5", 3), ("0 3 * * 0", 7), ("0 3,5 * * *", 22 / 24)],
)
def test_the_interval_is_the_longest_that_is_to_come(schedule: str, days: float) -> None:
    assert interval_s(schedule, "UTC", MONDAY) == pytest.approx(days * DAY_S)


@pytest.mark.parametrize(
    ("backups", "late"),
    [
        ([backup(1.9)], False),
        ([backup(2.1)], True),
        ([backup(2.1), backup(0.1, BackupState.LISTED)], True),
        ([backup(2.1), backup(0.1, BackupState.FAILED)], True),
        ([backup(0.1, target_id=2)], True),
        ([], True),
    ],
)
def test_only_a_verified_one_at_that_target_counts(backups: list[StoredBackup], late: bool) -> None:
    assert (overdue(SCHEDULE, backups, "UTC", MONDAY) is not None) == late


def test_a_new_schedule_has_two_intervals_to_prove_itself() -> None:
    new = replace(SCHEDULE, created_at=MONDAY - 1.9 * DAY_S)
    assert overdue(new, [], "UTC", MONDAY) is None
    found = overdue(replace(new, created_at=MONDAY - 2.1 * DAY_S), [], "UTC", MONDAY)
    assert found is not None and "no backup was ever verified" in found.text(MONDAY)


def test_no_weekend_is_taken_for_a_failure() -> None:
    friday_night, sunday = MONDAY - 3.4 * DAY_S, MONDAY - 0.5 * DAY_S
    workdays = replace(SCHEDULE, schedule="0 3 * * 1-5")
    made = replace(backup(0), started_at=friday_night)
    assert overdue(workdays, [made], "UTC", sunday) is None


def test_the_newest_is_the_one_that_was_begun_last() -> None:
    newest = newest_verified([backup(3), backup(1), backup(0.5, BackupState.LISTED)])
    assert newest is not None and newest.started_at == MONDAY - DAY_S


@pytest.mark.parametrize(
    ("before", "after", "restored", "wrong"),
    [
        ({"a": 1}, {"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 3}, {"a": 2}, []),
        ({"a": 3}, {"a": 1}, {"a": 2}, []),
        ({"a": 1}, {"a": 3}, {"a": 4}, ["a"]),
        ({"a": 1}, {"a": 1}, {}, ["a"]),
        ({"a": 0}, {"a": 0}, {}, ["a"]),
        ({}, {"new": 5}, {}, []),
        ({}, {"new": 5}, {"new": 6}, ["new"]),
        ({"old": 5}, {}, {"old": 5}, []),
        ({}, {}, {"strange": 1}, ["strange"]),
    ],
)
def test_rows_must_be_those_of_before_or_after_or_between(
    before: dict[str, int], after: dict[str, int], restored: dict[str, int], wrong: list[str]
) -> None:
    assert RowCounts(before, after).differing(restored) == wrong
