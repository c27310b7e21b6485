"""A damaged database is noticed before it is used, and there is an automatic copy to bring back."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from gitship.errors import GitshipError
from gitship.store import Store, database, database_copies
from gitship.store.database_copies import DatabaseCopies
from gitship.store.migrations import MIGRATIONS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with some apps, closed as a clean stop does."""
    file = tmp_path / "gitship.db"
    store = Store(file)
    for number in range(300):
        store.create_app(f"app{number}")
    store.close()
    return file


def damage(path: Path) -> None:
    """Overwrites a page in the middle, as a failing disk does."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(os.urandom(4096))


def test_a_damaged_page_is_refused_with_the_way_out(path: Path) -> None:
    DatabaseCopies(path).make(database_copies.DAILY)
    damage(path)
    with pytest.raises(GitshipError, match="is damaged") as refused:
        Store(path)
    assert "gitship restore --newest-copy" in refused.value.hint


def test_without_a_copy_the_way_out_is_a_backup(path: Path) -> None:
    damage(path)
    with pytest.raises(GitshipError) as refused:
        Store(path)
    assert "gitship restore FILE" in refused.value.hint and "--newest-copy" not in refused.value.hint


def test_a_file_that_is_no_database_is_refused_alike(path: Path) -> None:
    path.write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(GitshipError, match="is damaged"):
        Store(path)


def test_a_row_that_refers_to_nothing_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO config VALUES (9999, 'A', 'b')")
    with pytest.raises(GitshipError, match="a row of config refers to one of apps that is not there"):
        Store(path)


def test_the_newest_whole_copy_comes_back_and_the_damaged_one_is_kept(path: Path) -> None:
    kept = DatabaseCopies(path)
    kept.make(database_copies.DAILY)
    newer = kept.make("schema-1")
    assert newer is not None
    damage(newer)
    damage(path)
    copy, aside = DatabaseCopies(path).bring_back()
    assert copy.why == database_copies.DAILY and aside is not None and aside.exists()
    store = Store(path)
    assert len(store.apps()) == 300
    store.close()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_database_that_is_not_there_is_not_made_anew_while_there_is_a_copy(path: Path, how: str) -> None:
    DatabaseCopies(path).make(database_copies.DAILY)
    path.unlink()
    if how == "empty":
        path.touch()
    with pytest.raises(GitshipError, match=f"is {how}$") as refused:
        Store(path)
    assert "gitship restore --newest-copy" in refused.value.hint
    assert path.exists() == (how == "empty")
    _, aside = DatabaseCopies(path).bring_back()
    assert (aside is None) == (how == "gone")
    store = Store(path)
    assert len(store.apps()) == 300
    store.close()


def test_with_no_whole_copy_nothing_is_touched(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(GitshipError, match="no intact copy"):
        DatabaseCopies(path).bring_back()
    assert path.read_bytes() == before


def test_a_change_of_the_schema_copies_the_old_one_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE newer (x)"))
    store = Store(path)
    store.close()
    [copy] = DatabaseCopies(path).all()
    assert copy.why == f"schema-{len(MIGRATIONS)}"
    with closing(sqlite3.connect(copy.path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert copy.path.stat().st_mode & 0o777 == 0o600 and copy.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_schema_that_cannot_be_copied_is_not_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE newer (x)"))
    (path.parent / database_copies.DIRECTORY).write_text("in the way")
    with pytest.raises(GitshipError, match="could not be copied"):
        Store(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


def test_so_many_of_each_kind_are_kept(path: Path) -> None:
    kept = DatabaseCopies(path, keep=2)
    for why in ("daily", "schema-1", "daily", "daily", "schema-2", "schema-3"):
        kept.make(why)
    assert sorted(copy.kind for copy in kept.all()) == ["daily"] * 2 + ["schema"] * 2
    assert {copy.why for copy in kept.all()} == {"daily", "schema-2", "schema-3"}
    assert DatabaseCopies(path, keep=0).make(database_copies.DAILY) is None


def test_a_daily_copy_is_due_a_day_after_the_last(path: Path) -> None:
    kept = DatabaseCopies(path)
    assert kept.daily_is_due()
    made = kept.make(database_copies.DAILY)
    assert made is not None and not kept.daily_is_due()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - database_copies.DAY_S - 60))
    made.rename(made.with_name(f"gitship-{stamp}-daily.db"))
    assert kept.daily_is_due()


def test_a_copy_is_one_state_whatever_is_written_meanwhile(path: Path) -> None:
    store, stop = Store(path), threading.Event()

    def write() -> None:
        while not stop.is_set():
            with store.transaction() as db:  # two tables that always agree
                db.execute("INSERT INTO global_config SELECT 'n' || (SELECT count(*) FROM global_config), ''")
                db.execute("INSERT INTO server_settings SELECT 'n' || (SELECT count(*) FROM server_settings), ''")

    writer = threading.Thread(target=write, name="writer")
    writer.start()
    try:
        made = [store.copies.make(database_copies.DAILY) for _ in range(3)]
    finally:
        stop.set()
        writer.join(30)
        store.close()
    for copy in made:
        assert copy is not None
        with closing(sqlite3.connect(copy)) as db:
            counts = [db.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("global_config", "server_settings")]
        assert counts[0] == counts[1]


def test_a_full_disk_fails_the_statement_and_leaves_the_store_usable(path: Path) -> None:
    store = Store(path)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to be out of room
    with pytest.raises(GitshipError, match="disk of gitship's own data is full") as full:
        for number in range(5000):
            with store.transaction():
                store.create_app(f"more{number}")
    assert "server:cleanup" in full.value.hint
    store._db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    made = store.create_app("after")  # no transaction was left open
    store.close()
    again = Store(path)
    assert again.app("after") == made
    again.close()
