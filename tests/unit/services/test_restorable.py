"""Times as people type them, names of WAL, and which times an archive can be restored to."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gitship.errors import NotFound, UsageError
from gitship.model.backups import BackupState, BackupSubject, RowCounts, StoredBackup, SubjectKind, WalArchive
from gitship.services import wal_names
from gitship.services.restorable import range_of, ranges, typed_time, written

BERLIN = "Europe/Berlin"
NOW = datetime(2026, 12, 1, 15, 30, tzinfo=ZoneInfo(BERLIN)).timestamp()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("14:02", "2026-12-01 14:02:00 CET"),
        ("9:05:30", "2026-12-01 09:05:30 CET"),
        ("23:00", "2026-11-30 23:00:00 CET"),  # it has not come yet today
        ("14:02 UTC", "2026-12-01 14:02:00 UTC"),
        ("2026-11-28 14:02", "2026-11-28 14:02:00 CET"),
        ("2026-11-28T14:02:05Z", "2026-11-28 14:02:05 UTC"),
        ("2026-11-28 14:02 America/New_York", "2026-11-28 14:02:00 EST"),
        ("2026-07-01 14:02", "2026-07-01 14:02:00 CEST"),
        ("2026-11-28 14:02+05:30", "2026-11-28 14:02:00 UTC+05:30"),
        ("now", "2026-12-01 15:30:00 CET"),
    ],
)
def test_a_time_is_in_the_servers_zone_unless_it_names_another(text: str, shown: str) -> None:
    assert written(*typed_time(text, BERLIN, NOW)) == shown


@pytest.mark.parametrize(
    "text", ["", "2pm", "25:00", "14:61", "2026-13-01", "14:02 Mars", "tomorrow", "2027-01-01 10:00"]
)
def test_what_is_no_time_or_is_to_come_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        typed_time(text, BERLIN, NOW)


def test_segments_follow_each_other_over_the_ends_of_their_numbers() -> None:
    assert wal_names.following("0000000100000000000000FE") == "0000000100000000000000FF"
    assert wal_names.following("0000000100000000000000FF") == "000000010000000100000000"
    assert wal_names.following("00000002000000FF000000FF") == "000000020000010000000000"
    found = list(wal_names.before("0000000100000000000000FE", "000000010000000100000001"))
    assert [name[-10:] for name in found] == ["00000000FE", "00000000FF", "0100000000"]
    assert list(wal_names.before("", "000000010000000100000001")) == []


def archive(number: int, last_at: float | None, closed_at: float | None = None) -> WalArchive:
    segments = ("0" * 24, "0" * 24)
    return WalArchive(
        number, 1, "db", "db", 1, 1, "disk", "v", 1 << 30, f"s/wal/db-{number}", 0.0, last_at, *segments, last_at,
        closed_at, "", "", None,
    )  # fmt: skip


def base(number: int, archive_id: int, as_of: float, *, stored: bool = True) -> StoredBackup:
    return StoredBackup(
        number, BackupSubject(SubjectKind.SERVICE, 1, name="db"), number, "postgres", "17", 1, "disk", f"k{number}",
        encrypted=True, bytes=1,
        sha256="a" if stored else "", state=BackupState.VERIFIED, counts=RowCounts(), by="gitship", schedule=1,
        started_at=as_of - 5, archive_id=archive_id, as_of=as_of,
    )  # fmt: skip


def test_a_time_is_possible_from_the_first_base_of_an_archive_to_its_last_segment() -> None:
    archives = [archive(1, 500.0, closed_at=510.0), archive(2, 900.0), archive(3, None)]
    backups = [base(4, 2, 700.0), base(3, 2, 600.0), base(2, 1, 300.0), base(1, 1, 100.0, stored=False)]
    found = ranges(archives, backups)
    assert [(one.since, one.until) for one in found] == [(300.0, 500.0), (600.0, 900.0)]
    assert [range_of(found, at, "db", UTC).base(at).number for at in (300, 500, 600, 699.9, 700, 900)] == [
        2, 2, 3, 3, 4, 4,
    ]  # fmt: skip
    backups[0] = dataclasses.replace(backups[0], state=BackupState.FAILED)
    assert ranges(archives, backups)[1].base(900).number == 3  # the newest is not proved
    for at in (0, 299, 501, 599, 901):
        with pytest.raises(NotFound) as refused:
            range_of(found, at, "db", UTC)
        assert "00:05:00 UTC to 1970-01-01 00:08:20 UTC; 1970-01-01 00:10:00 UTC to" in refused.value.hint
    with pytest.raises(NotFound, match="db cannot be restored"):
        range_of([], 1.0, "db", UTC)
