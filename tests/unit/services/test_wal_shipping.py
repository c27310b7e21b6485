"""WAL from a spool to a directory: in order, whole, again after a kill, and no further than the first hole.

The service is this module's: a spool in memory behind the actions of its engine.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gitship.backup.targets import WAL
from gitship.config import Settings
from gitship.errors import EngineError, GitshipError, NotFound, ServiceError
from gitship.model.backups import BackupState, WalArchive
from gitship.model.services import Service
from gitship.services import wal_names
from gitship.services.backup_objects import BackupObjects
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.service_container import ServiceContainers
from gitship.services.wal_archiver import WalArchiver
from gitship.services.wal_replay import ReplayGoal, WalReplay
from gitship.services.wal_shipping import WalShipping
from gitship.store import Store
from tests.waiting import wait_until

MB = 1 << 20


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{0:08X}{number:08X}"


class Spool(ServiceContainers):
    """``files`` by name; ``cut`` is how many bytes of one come. ``fails`` is the action at which Docker is away."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.gap = False
        self.cut: int | None = None
        self.fails = ""
        self.done: list[str] = []
        self.actions: Any = self

    def action(self, service: Service, name: str, so: str = "") -> Any:
        return name

    def values(self, service: Service, login: Any = None) -> dict[str, str]:
        return {}

    def running(self, service: Service) -> str:
        return "container"

    def output(self, container: str, name: str, values: Mapping[str, str], timeout_s: float) -> str:
        self._meet(name)
        if name == "wal_start":
            self.files, self.gap = {}, False
        if name == "wal_list":
            lines = [f"{file}\t{len(content)}\t{1000 + n}" for n, (file, content) in enumerate(self.files.items())]
            return "\n".join(lines + ["gap"] * self.gap)
        if name == "wal_remove":
            del self.files[values["segment"]]
        return ""

    @contextmanager
    def read(
        self, container: str, name: str, values: Mapping[str, str], gone: threading.Event
    ) -> Iterator[Iterator[bytes]]:
        self._meet(name)
        content = self.files[values["segment"]]
        yield iter([content[: self.cut]])

    def write(
        self, container: str, name: str, values: Mapping[str, str], chunks: Iterable[bytes], gone: threading.Event
    ) -> None:
        assert name == "base_give" and all(chunks)

    def _meet(self, name: str) -> None:
        self.done.append(name)
        if name == self.fails:
            raise EngineError("Docker is away")


class Archived:
    """A service `db` whose WAL goes to a directory."""

    def __init__(self, base: Path, store: Store) -> None:
        self.store, self.spool = store, Spool()
        self.objects = BackupObjects(store, Settings(data_dir=base / "data"))
        self.shipping = WalShipping(store, self.objects, self.spool)
        self.target = store.add_backup_target("disk", "directory", str(base / "disk"), {}, "", "ada")
        self.place = self.objects.at(self.target)
        self.place.check()
        made = store.create_service("db", "postgres", "17", "postgres:17", 1 << 29, "db", "x", None)
        store.change_service(made.id, volume="first", state="ready")
        self.service = store.service(made.id)
        self.schedule = store.add_backup_schedule(self.service.subject, self.target, "0 3 * * *", "2", "ada", 64 * MB)

    def ship(self) -> WalArchive:
        archive = self.store.open_archive(self.service, self.schedule)
        return self.shipping.ship(archive, threading.Event())

    def write(self, *numbers: int) -> None:
        self.spool.files |= {segment(n): n.to_bytes(1, "big") * 3 * MB for n in numbers}

    def there(self, archive: WalArchive) -> list[int]:
        """Numbers of the segments at the target, each of which is read whole."""
        found = [stored.key.rpartition("/")[2].removesuffix(WAL) for stored in self.place.listed("")]
        for name in found:
            with self.shipping.read(archive.folder, self.place, name) as chunks:
                assert b"".join(chunks) == int(name[-2:], 16).to_bytes(1, "big") * 3 * MB
        return [int(name[8:], 16) for name in found]

    def based(self, archive: WalArchive, start: int, as_of: float) -> int:
        """The id of a base that needs WAL from ``start`` on."""
        made = self.store.begin_backup(
            self.service.subject, self.target, "gitship", engine="postgres", version="17", schedule=self.schedule.id,
            encrypted=True, archive_id=archive.id,
        )  # fmt: skip
        self.store.change_backup(made.id, wal_start=segment(start), as_of=as_of, sha256="a", state=BackupState.VERIFIED)
        return made.id


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Archived]:
    with closing(Store(tmp_path / "gitship.db")) as store:
        yield Archived(tmp_path, store)


def test_segments_come_to_the_target_compressed_and_encrypted_and_leave_the_spool(db: Archived) -> None:
    assert db.ship().seen_at is not None
    assert db.spool.done[0] == "wal_start"
    db.write(1, 2)
    archive = db.ship()
    assert (archive.first_segment, archive.last_segment, archive.last_at) == (segment(1), segment(2), 1001.0)
    assert db.spool.files == {} and db.there(archive) == [1, 2]
    assert all(stored.bytes < MB for stored in db.place.listed(""))
    db.write(3)
    assert db.there(db.ship()) == [1, 2, 3] and db.spool.done.count("wal_start") == 1


@pytest.mark.parametrize("when", ["wal_list", "wal_read", "wal_remove"])
def test_what_was_half_done_is_done_again_and_nothing_is_lost_or_twice(db: Archived, when: str) -> None:
    db.ship()
    db.write(1, 2)
    db.spool.fails = when
    with pytest.raises(EngineError):
        db.ship()
    assert db.store.open_wal_archive(db.service.id).reason == "Docker is away"  # type: ignore[union-attr]
    db.spool.fails = ""
    archive = db.ship()
    assert (archive.reason, archive.last_segment) == ("", segment(2))
    assert db.spool.files == {} and db.there(archive) == [1, 2]


def test_a_kill_between_the_target_and_the_record_sends_the_segment_again(
    db: Archived, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.ship()
    db.write(1)
    with monkeypatch.context() as patch:
        patch.setattr(db.store, "change_wal_archive", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            db.ship()
    assert list(db.spool.files) == [segment(1)]
    assert db.there(db.ship()) == [1] and db.spool.files == {}


def test_half_a_segment_is_none(db: Archived) -> None:
    db.ship()
    db.write(1)
    db.spool.cut = 2 * MB
    with pytest.raises(ServiceError, match="came with"):
        db.ship()
    archive = db.store.open_wal_archive(db.service.id)
    assert archive is not None and archive.last_segment == "" and db.there(archive) == []
    assert list(db.spool.files) == [segment(1)]


def test_a_target_that_is_away_leaves_all_in_the_spool(db: Archived, tmp_path: Path) -> None:
    db.ship()
    db.write(1, 2)
    marker = tmp_path / "disk" / ".gitship-target"
    marker.rename(tmp_path / "aside")
    with pytest.raises(GitshipError, match="is not the directory"):
        db.ship()
    assert list(db.spool.files) == [segment(1), segment(2)]
    (tmp_path / "aside").rename(marker)
    assert db.there(db.ship()) == [1, 2]


def test_what_was_written_before_the_spool_was_full_is_kept_and_a_new_archive_begins(db: Archived) -> None:
    db.ship()
    db.write(1, 2)
    db.spool.gap = True
    ended = db.ship()
    assert ended.closed_at is not None and ended.reason == "the spool of 64 MB was full" and ended.hint
    assert ended.last_segment == segment(2) and db.there(ended) == [1, 2]
    following = db.ship()
    assert following.id != ended.id and following.folder != ended.folder and following.last_segment == ""
    assert db.spool.done.count("wal_start") == 2


@pytest.mark.parametrize("numbers", [(1, 3), (1, 2, 4)])
def test_nothing_after_a_missing_segment_is_in_the_same_archive(db: Archived, numbers: tuple[int, ...]) -> None:
    db.ship()
    db.write(*numbers)
    ended = db.ship()
    assert f"{segment(numbers[-1] - 1)} is missing" in ended.reason
    assert db.there(ended) == list(numbers[:-1])


def test_other_data_end_the_archive_and_so_does_the_end_of_the_schedule(db: Archived) -> None:
    first = db.ship()
    db.store.change_service(db.service.id, volume="second")
    assert db.shipping.ship(first, threading.Event()).reason == "its data were replaced"
    db.service = db.store.service(db.service.id)
    second = db.ship()
    assert second.id != first.id and second.closed_at is None
    db.store.remove_backup_schedule(db.schedule.id)
    assert db.shipping.ship(second, threading.Event()).reason == "it was switched off"
    assert db.spool.done[-1] == "wal_stop"


def test_a_spool_whose_words_make_no_sense_ships_nothing(db: Archived) -> None:
    db.ship()
    db.spool.files = {"../../etc/passwd": b"x"}
    with pytest.raises(ServiceError, match="in place of a file"):
        db.ship()


def test_wal_goes_once_no_base_needs_it_and_an_archive_with_its_last_base(db: Archived) -> None:
    db.ship()
    db.write(*range(1, 7))
    archive = db.ship()
    db.shipping.prune(db.service.subject)
    assert db.there(archive) == [1, 2, 3, 4, 5, 6]  # its first base may be under way
    first, second = db.based(archive, 2, 100.0), db.based(archive, 5, 200.0)
    db.shipping.prune(db.service.subject)
    assert db.there(archive) == [2, 3, 4, 5, 6]
    db.store.forget_backup(first)
    db.shipping.prune(db.service.subject)
    assert db.there(archive) == [5, 6]
    db.store.change_service(db.service.id, volume="second")
    db.shipping.ship(archive, threading.Event())
    db.shipping.prune(db.service.subject)
    assert db.there(archive) == [5, 6]
    db.store.forget_backup(second)
    db.shipping.prune(db.service.subject)
    assert db.there(archive) == []
    with pytest.raises(NotFound):
        db.store.wal_archive(archive.id)


def test_a_segment_that_the_target_has_lost_is_not_the_end_of_wal(db: Archived) -> None:
    """The server would stop before it, and its rows would pass for those of the time that was asked for."""
    db.ship()
    db.write(1, 2, 3)
    archive = db.ship()
    db.place.remove(wal_names.key(archive.folder, segment(2)))
    replay, goal = WalReplay(db.spool, db.shipping), ReplayGoal(archive.folder, "db", 0.0, 1, archive.last_segment)
    asked = [segment(1), segment(2), segment(3), segment(4), "00000002.history"]
    given: dict[str, object] = {}
    for name in asked:
        try:
            given[name] = replay._give(db.service, "c", db.place, goal, name, journal=_Journal())  # type: ignore[arg-type]
        except ServiceError as error:
            given[name] = error.message
    assert list(given.values()) == [True, f"the target has lost the WAL segment {segment(2)}", True, False, False]


class _Journal:
    gone = threading.Event()


def test_the_spool_is_made_once_whatever_fails_after_it(db: Archived) -> None:
    db.spool.fails = "wal_list"
    with pytest.raises(EngineError):
        db.ship()
    db.write(1)
    db.spool.fails = ""
    assert db.ship().last_segment == segment(1)


def test_what_is_late_is_told_once_and_a_gap_once(db: Archived, tmp_path: Path) -> None:
    hook = db.store.add_webhook(
        "ops", "https://hooks.example.com/x", format="json", events=("backup.failed",), secret="", apps=None,
        anywhere=False, created_by="ada",
    )  # fmt: skip
    ahead = 0.0
    archiver = WalArchiver(db.store, db.shipping, lambda: time.time() + ahead)

    def told() -> list[str]:
        for _ in range(2):  # what the first look begins is told by the second
            archiver.tick()
            wait_until(lambda: not any(thread.is_alive() for thread in archiver._under_way.values()))
        return [delivery.text for delivery in db.store.deliveries(hook.id)]

    assert told() == []
    archive = db.store.open_wal_archive(db.service.id)
    assert archive is not None and archive.seen_at is not None
    marker = tmp_path / "disk" / ".gitship-target"
    marker.rename(tmp_path / "aside")
    db.write(1)
    assert told() == []
    ahead = 700.0
    assert len(told()) == 1 and "db: point in time: WAL has not come to disk for 12 min: " in told()[0]
    (tmp_path / "aside").rename(marker)
    ahead, db.spool.gap = 0.0, True
    found = told()
    assert len(found) == 2 and any("there is a gap: the spool of 64 MB was full while " in text for text in found)
    assert len(told()) == 2
    archiver.stop()


def test_a_target_that_hangs_holds_up_no_other_service(db: Archived) -> None:
    hangs, asked = threading.Event(), threading.Event()
    other = db.store.create_service("other", "postgres", "17", "postgres:17", 1 << 29, "other", "x", None)
    db.store.change_service(other.id, volume="v", state="ready")
    db.store.add_backup_schedule(other.subject, db.target, "0 3 * * *", "2", "ada", 64 * MB)
    put = db.shipping._ship_file

    def slow(service: Service, *rest: Any) -> WalArchive:
        if service.name == "db":
            asked.set()
            assert hangs.wait(30)
        return put(service, *rest)

    db.shipping._ship_file = slow  # type: ignore[method-assign,assignment]
    db.ship()
    db.write(1)
    archiver = WalArchiver(db.store, db.shipping)
    archiver.tick()
    assert asked.wait(30)
    archiver.tick()
    wait_until(lambda: (found := db.store.open_wal_archive(other.id)) is not None and found.seen_at is not None)
    assert db.store.open_wal_archive(db.service.id).last_segment == ""  # type: ignore[union-attr]
    with pytest.raises(ServiceError, match="takes too long"):
        db.shipping.ship(db.store.open_archive(db.service, db.schedule), threading.Event(), 0.0)
    hangs.set()
    archiver.stop()


def test_only_an_engine_that_can_has_a_point_in_time_and_only_at_a_target_that_can(db: Archived) -> None:
    containers = ServiceContainers(db.store, None, None, lambda: EngineCatalog.load(None), "s")  # type: ignore[arg-type]
    shipping = WalShipping(db.store, db.objects, containers)
    shipping.ensure_possible(db.service, db.place)
    cache = db.store.create_service("cache", "valkey", "9", "valkey:9", 1 << 27, "cache", "x", None)
    with pytest.raises(NotFound, match="Valkey has no base: it has no point in time"):
        shipping.ensure_possible(cache)
    restic = db.store.add_backup_target("restic", "restic", "/srv/restic", {}, "password", "ada")
    with pytest.raises(ServiceError, match="restic"):
        shipping.ensure_possible(db.service, db.objects.at(restic))


@pytest.mark.clients
def test_the_servers_own_command_caps_the_spool_and_always_succeeds(tmp_path: Path) -> None:
    """`archive_command` of PostgreSQL's file, in a shell, as the server runs it."""
    [words] = [word for word in EngineCatalog.load(None).engines["postgres"].arguments if word.startswith("archive_c")]
    wal, spool = tmp_path / "pg_wal", tmp_path / "pg_wal" / "gitship"
    wal.mkdir()

    def archive(name: str) -> list[str]:
        (wal / name).write_bytes(b"x" * 400_000)
        command = words.partition("=")[2].replace("%p", f"pg_wal/{name}").replace("%f", name)
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=60)
        return sorted(path.name for path in spool.glob("*"))

    assert archive(segment(1)) == []  # nobody wants it
    spool.mkdir()
    (spool / "limit").write_text("1000\n")
    assert archive(segment(2)) == [segment(2), "limit"]
    assert archive(segment(2)) == [segment(2), "limit"]  # again, after a crash of the server
    assert archive(f"{segment(2)}.00000028.backup") == [segment(2), "limit"]
    assert archive(segment(3)) == [segment(2), segment(3), "limit"]
    assert archive(segment(4)) == [segment(2), segment(3), segment(4), "limit"]
    full = [segment(2), segment(3), segment(4), "gap", "limit"]
    assert archive(segment(5)) == full
    (spool / segment(2)).unlink()
    assert archive(segment(6)) == full[1:]  # what comes after a gap is of no use
    assert (spool / segment(3)).read_bytes() == b"x" * 400_000
