from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gitship.appsettings import MAINTENANCE, PORT
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.front.gate import Maintenance
from gitship.model import (
    Check,
    Container,
    CronEntry,
    CronOutcome,
    DeployKind,
    DeployState,
    Mount,
    Overlap,
    Process,
    Release,
    Role,
    StageTime,
)
from gitship.store import Store, cron_runs, database
from gitship.store.migrations import MIGRATIONS
from tests.unit.memory.databases import QuickDatabases


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "gitship.db")
    yield opened
    opened.close()


def release(store: Store, app_id: int, image: str = "sha256:1") -> Release:
    checks = (Check(path="/up", headers={"A": "b"}), Check(kind="command", command=("a", "b")))
    mounts = (Mount("data", "/data", volume="gitship-s-1-data-1a"), Mount("/srv/photos", "/photos", True))
    processes = (Process("web", ("run", "it"), 80, checks, mounts=mounts), Process("worker"))
    return store.create_release(
        app_id, commit="c" * 40, image_id=image, image_bytes=7, config={"K": "ü $x\n"}, processes=processes,
        cause="push", created_by="me", cache={"ttl_s": 60, "warm": ["/"]},
    )  # fmt: skip


def test_a_new_database_is_for_its_owner_alone_and_waits_for_the_disk(
    quick_databases: QuickDatabases, tmp_path: Path
) -> None:
    path = tmp_path / "gitship.db"
    with quick_databases.unused(), closing(Store(path)) as made:
        assert path.stat().st_mode & 0o777 == 0o600
        assert made._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert made._db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_a_release_comes_back_as_it_was_made(store: Store, tmp_path: Path) -> None:
    made = release(store, store.create_app("shop").id)
    again = Store(tmp_path / "gitship.db")
    assert again.release(made.id) == made
    assert [m.volume for m in again.release(made.id).mounts] == ["gitship-s-1-data-1a", ""]  # not part of equality
    again.close()


def test_a_release_from_before_there_were_mounts_has_none(store: Store) -> None:
    made = release(store, store.create_app("shop").id)
    with store.transaction() as db:
        db.execute(
            "INSERT INTO releases (app_id, number, commit_sha, image_id, image_bytes, config, processes, cause,"
            " created_by, created_at) SELECT app_id, 2, commit_sha, image_id, image_bytes, config,"
            " json_remove(processes, '$[0].mounts', '$[1].mounts'), cause, created_by, created_at FROM releases"
        )
    old = store.release_number(made.app_id, 2)
    assert old.mounts == () and old.process("web") == dataclasses.replace(made.processes[0], mounts=())


def test_a_release_keeps_what_it_was_made_from_when_its_repository_does_not(store: Store) -> None:
    app = store.create_app("shop")
    plain = release(store, app.id)
    kept = {"context": None, "files": {"Procfile": "web: \udcff"}}
    made = store.create_release(
        app.id, commit=None, image_id="sha256:1", image_bytes=7, config={}, processes=(), cause="image",
        created_by="me", manifest=kept,
    )  # fmt: skip
    assert store.release_manifest(plain.id) is None and store.release_manifest(made.id) == kept


def test_a_release_cannot_be_changed(store: Store, tmp_path: Path) -> None:
    made = release(store, store.create_app("shop").id)
    with sqlite3.connect(tmp_path / "gitship.db") as db, pytest.raises(sqlite3.IntegrityError, match="immutable"):
        db.execute("UPDATE releases SET image_id = 'other' WHERE id = ?", (made.id,))
    assert store.release(made.id) == made


def test_release_numbers_count_per_app_and_are_never_used_again(store: Store) -> None:
    shop, blog = store.create_app("shop").id, store.create_app("blog").id
    assert [release(store, shop).number for _ in range(3)] == [1, 2, 3]
    assert release(store, blog).number == 1


def test_going_live_is_all_or_nothing(store: Store) -> None:
    app = store.create_app("shop")
    made = release(store, app.id)
    live = [Container("id1", "shop.web.1.v1", app.id, made.id, "web", 1, "10.0.0.2", 80)]
    store.set_live(app.id, made.id, live)
    doubled = [*live, *live]
    with pytest.raises(sqlite3.IntegrityError):
        store.set_live(app.id, made.id + 1, doubled)
    assert store.containers(app.id) == live
    assert store.app("shop").live_release == made.id


def test_good_releases_are_those_that_were_live(store: Store) -> None:
    app = store.create_app("shop")
    first, second = release(store, app.id), release(store, app.id)
    for made, state in ((first, DeployState.LIVE), (second, DeployState.FAILED)):
        deploy = store.create_deploy(app.id, DeployKind.PUSH, "me")
        store.update_deploy(dataclasses.replace(deploy, state=state, release_id=made.id))
    assert store.good_releases(app.id) == [first]


def test_a_deploy_record_keeps_its_stage_times(store: Store) -> None:
    deploy = store.create_deploy(store.create_app("shop").id, DeployKind.PUSH, "me", commit="c", ref="r", old="o")
    times = (StageTime(DeployState.BUILDING, 1.5, 0.25), StageTime(DeployState.RELEASING, 1.75, 2.0))
    changed = dataclasses.replace(deploy, stages=times, failed_stage=DeployState.BUILDING, reason="no")
    store.update_deploy(changed)
    assert store.deploy(deploy.id) == changed
    assert store.unfinished_deploys() == [changed]


def test_names_are_taken_once(store: Store) -> None:
    shop, blog = store.create_app("shop"), store.create_app("blog")
    store.add_domain(shop.id, "a.example")
    store.add_key("me", "SHA256:1", "ssh-ed25519 A", Role.ADMIN)
    with pytest.raises(Conflict):
        store.create_app("shop")
    with pytest.raises(Conflict):
        store.add_domain(blog.id, "a.example")
    with pytest.raises(Conflict, match="named 'me'"):
        store.add_key("me", "SHA256:2", "ssh-ed25519 B", Role.ADMIN)
    with pytest.raises(Conflict, match="SHA256:1"):
        store.add_key("you", "SHA256:1", "ssh-ed25519 A", Role.ADMIN)


def test_what_is_not_there_is_not_found(store: Store) -> None:
    app = store.create_app("shop")
    for look in (lambda: store.app("x"), lambda: store.release(9), lambda: store.release_number(app.id, 9)):
        with pytest.raises(NotFound):
            look()


def test_an_address_rests_before_it_is_given_again(store: Store) -> None:
    app = store.create_app("shop")
    pool = ["10.0.0.2", "10.0.0.3"]
    assert store.take_address(app.id, pool, "a", 60) == "10.0.0.2"
    assert store.take_address(app.id, pool, "b", 60) == "10.0.0.3"
    store.release_address(app.id, "a")
    assert store.take_address(app.id, pool, "c", 60) is None
    assert store.take_address(app.id, pool, "c", 0) == "10.0.0.2"


def test_destroying_an_app_takes_all_that_is_its(store: Store) -> None:
    app = store.create_app("shop")
    release(store, app.id)
    store.replace_config(app.id, {"A": "b"})
    store.add_domain(app.id, "a.example")
    store.delete_app(app.id)
    new = store.create_app("shop")
    assert new.id != app.id
    assert store.releases(new.id) == [] and store.config(new.id) == {} and store.domains() == []


def test_threads_never_lose_a_write(store: Store) -> None:
    app = store.create_app("shop")

    def make() -> None:
        for _ in range(20):
            release(store, app.id)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.number for r in store.releases(app.id)] == list(range(80, 0, -1))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gitship.db"
    path.write_text("not a database at all, " * 100)
    with pytest.raises(GitshipError, match=r"gitship\.db"):
        Store(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gitship.db"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(GitshipError, match="newer"):
        Store(path)


def test_settings_of_an_app_go_with_it(store: Store) -> None:
    app = store.create_app("shop")
    store.set_setting(app.id, MAINTENANCE, Maintenance(allow=("10.0.0.0/8",)))
    store.set_setting(app.id, PORT, 3000)
    store.set_setting(app.id, PORT, None)
    assert store.app_settings(app.id).values == {"maintenance": '{"page": null, "allow": ["10.0.0.0/8"]}'}
    store.delete_app(app.id)
    assert store.app_settings(app.id).values == {}


def test_a_database_of_the_first_schema_is_carried_forward(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.executescript(f"BEGIN; {MIGRATIONS[0]}; PRAGMA user_version = 1; COMMIT;")
        db.execute("INSERT INTO keys VALUES (1, 'me', 'SHA256:1', 'ssh-ed25519 A', 'admin', 1.0)")
    opened = Store(path)
    assert [key.name for key in opened.keys()] == ["me"]  # noqa: SIM118
    opened.close()


def test_a_schema_is_carried_forward_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gitship.db"
    Store(path).close()
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE newer (x)", "not SQL"))
    with pytest.raises(GitshipError, match="cannot use the database"):
        Store(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'newer'").fetchone() == (0,)


def test_backups_of_services_of_before_others_had_any_are_carried_forward(tmp_path: Path) -> None:
    path, before = tmp_path / "old.db", next(n for n, m in enumerate(MIGRATIONS) if "schedules_of_services" in m)
    with sqlite3.connect(path) as db:
        db.executescript(f"BEGIN; {';'.join(MIGRATIONS[:before])}; PRAGMA user_version = {before}; COMMIT;")
        db.execute(
            "INSERT INTO services VALUES (7, 'db', 'postgres', '17', 'i', '', 'ready', 1, 'db', 'x', '', '', NULL,"
            " NULL, 1.0, NULL, '', '')"
        )
        db.execute("INSERT INTO backup_targets VALUES (2, 'disk', 'directory', '/mnt', '{}', '', 'ada', 1.0)")
        db.execute("INSERT INTO backup_schedules VALUES (3, 7, 2, '@daily', '7d', 'ada', 1.0, 2.0, NULL)")
        db.execute(
            "INSERT INTO service_backups (id, service_id, service, number, engine, version, target_id, encrypted,"
            " state, by, schedule, started_at)"
            " VALUES (9, 7, 'db', 4, 'postgres', '17', 2, 1, 'verified', 'ada', 3, 5.0),"
            " (10, 8, 'gone', 1, 'postgres', '17', 2, 1, 'verified', 'ada', 8, 5.0)"
        )
        db.execute(
            "INSERT INTO service_tasks (id, service_id, service, kind, by, state, started_at) VALUES"
            " (11, 7, 'db', 'backup', 'ada', 'done', 5.0)"
        )
    with closing(Store(path)) as store:
        service = store.service(7)
        [schedule], [backup], [task] = store.backup_schedules(), store.backups(service.subject), store.service_tasks(7)
        assert {one.subject for one in (schedule, backup, task)} == {service.subject}
        assert (schedule.id, schedule.target, schedule.subject.name, schedule.keep) == (3, "disk", "db", "7d")
        assert (backup.id, backup.number, backup.label, backup.schedule) == (9, 4, "backup 4 of db", 3)
        assert (task.id, task.kind, store.last_verified(service.subject)) == (11, "backup", backup)
        target = store.backup_target(2)
        assert store.add_backup_schedule(service.subject, target, "@hourly", "7d", "ada").id > 8  # which has made some
        store.delete_service(7)
        assert store.backup_schedules() == [] and store.backups(service.subject) == [backup]


def test_certificates_of_before_the_status_page_had_any_are_carried_forward(tmp_path: Path) -> None:
    path, before = tmp_path / "old.db", next(n for n, m in enumerate(MIGRATIONS) if "certificates_of_apps" in m)
    with sqlite3.connect(path) as db:
        db.executescript(f"BEGIN; {';'.join(MIGRATIONS[:before])}; PRAGMA user_version = {before}; COMMIT;")
        db.execute("INSERT INTO apps (id, name, created_at) VALUES (7, 'shop', 1.0)")
        db.execute("INSERT INTO certificates VALUES (3, 7, 'own', '[\"a.net\"]', 'CA', 1.0, 2.0, 'PEM', 1.5, 1)")
        db.execute("INSERT INTO certificate_attempts VALUES (7, 2, 9.0, '[\"a.net\"]', 'no', 'try')")
    opened = Store(path)
    [kept] = opened.certificates(7)
    assert (kept.id, kept.domains, kept.pem, kept.suggested_at, kept.warned) == (3, ("a.net",), "PEM", 1.5, True)
    attempt = opened.certificate_attempt(7)
    assert attempt is not None and (attempt.failures, attempt.next_at, attempt.reason) == (2, 9.0, "no")
    opened.delete_app(7)
    assert opened.certificates() == [] and opened.certificate_attempt(7) is None
    opened.close()


def test_a_release_keeps_its_cron_entries(store: Store) -> None:
    app = store.create_app("shop")
    entries = (
        CronEntry("nightly", "0 3 * * *", ("./x", "a b"), "gitship.toml", "Europe/Berlin", Overlap.QUEUE, 60.0, True),
        CronEntry("sync", "@hourly", ("./sync",), "app.json"),
    )
    made = store.create_release(
        app.id, commit=None, image_id="x", image_bytes=1, config={}, processes=(), cause="push", created_by="me",
        cron=entries,
    )  # fmt: skip
    assert store.release(made.id).cron == entries
    assert release(store, app.id).cron == ()


def test_a_minute_is_given_to_one_run_and_the_first_end_counts(store: Store) -> None:
    app = store.create_app("shop")
    run = store.add_cron_run(app.id, "nightly", CronOutcome.RUNNING, due_at=60.0)
    assert run is not None and run.number == 1
    assert store.add_cron_run(app.id, "nightly", CronOutcome.RUNNING, due_at=60.0) is None
    other = store.add_cron_run(app.id, "other", CronOutcome.RUNNING, due_at=60.0)
    asked = [store.add_cron_run(app.id, "nightly", CronOutcome.RUNNING, by="me") for _ in range(2)]
    assert other is not None and all(asked)  # what somebody asks for is for no minute
    assert store.end_cron_run(run, CronOutcome.REPLACED) is not None
    assert store.end_cron_run(run, CronOutcome.FAILED, exit_code=143) is None
    assert store.begin_cron_run(run, "c") is None
    assert store.cron_run(run.id).outcome is CronOutcome.REPLACED


def test_runs_are_kept_by_entry_and_those_that_run_always(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cron_runs, "KEPT_PER_ENTRY", 2)
    app = store.create_app("shop")
    store.add_cron_run(app.id, "often", CronOutcome.RUNNING)
    store.add_cron_run(app.id, "rare", CronOutcome.SKIPPED)
    for _ in range(5):
        store.add_cron_run(app.id, "often", CronOutcome.SKIPPED)
    assert [run.number for run in store.cron_runs(app.id, "often")] == [7, 6, 1]
    assert [run.number for run in store.cron_runs(app.id, "rare")] == [2]
    store.delete_app(app.id)
    assert store.open_cron_runs() == []
