"""When a service has had no verified backup for too long."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitship.model.backups import WHOLE_SERVER, BackupSchedule, BackupState, BackupSubject, RowCounts, SubjectKind
from gitship.services.overdue import interval_s, overdue
from gitship.store import Store

DAY_S = 86_400.0
MONDAY = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
DB = BackupSubject(SubjectKind.SERVICE, 1, name="db")
SCHEDULE = BackupSchedule(1, DB, 1, "offsite", "0 3 * * *", "7d", "ada", MONDAY - 30 * DAY_S, MONDAY)


@pytest.mark.parametrize(
    ("schedule", "days"),
    [("@hourly", 1 / 24), ("0 3 * * *", 1), ("0 3 * * 1-5", 3), ("0 3 * * 0", 7), ("0 3,5 * * *", 22 / 24)],
)
def test_the_interval_is_the_longest_that_is_to_come(schedule: str, days: float) -> None:
    assert interval_s(schedule, "UTC", MONDAY) == pytest.approx(days * DAY_S)


@pytest.mark.parametrize(("days_ago", "target_id", "late"), [(1.9, 1, False), (2.1, 1, True), (0.1, 2, True)])
def test_only_one_at_that_target_counts(days_ago: float, target_id: int, late: bool) -> None:
    verified = {target_id: MONDAY - days_ago * DAY_S}
    assert (overdue(SCHEDULE, verified, "UTC", MONDAY) is not None) == late


def test_only_verified_ones_count_and_the_newest_of_each_target(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "gitship.db")) as store:
        one, two = (store.add_backup_target(name, "directory", f"/{name}", {}, "", "ada") for name in ("a", "b"))
        for target, state, at in (
            (one, BackupState.VERIFIED, 1.0), (one, BackupState.VERIFIED, 3.0), (one, BackupState.LISTED, 4.0),
            (two, BackupState.VERIFIED, 2.0), (two, BackupState.FAILED, 5.0),
        ):  # fmt: skip
            made = store.begin_backup(DB, target, "ada", engine="", version="", schedule=None, encrypted=True)
            store.change_backup(made.id, state=state, started_at=at)
        assert store.verified_backups(DB) == {one.id: 3.0, two.id: 2.0}
        assert store.verified_backups(WHOLE_SERVER) == {}


def test_a_new_schedule_has_two_intervals_to_prove_itself() -> None:
    new = replace(SCHEDULE, created_at=MONDAY - 1.9 * DAY_S)
    assert overdue(new, {}, "UTC", MONDAY) is None
    found = overdue(replace(new, created_at=MONDAY - 2.1 * DAY_S), {}, "UTC", MONDAY)
    assert found is not None and "no backup was ever verified" in found.text(MONDAY)


def test_no_weekend_is_taken_for_a_failure() -> None:
    friday_night, sunday = MONDAY - 3.4 * DAY_S, MONDAY - 0.5 * DAY_S
    workdays = replace(SCHEDULE, schedule="0 3 * * 1-5")
    assert overdue(workdays, {1: friday_night}, "UTC", sunday) is None


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
