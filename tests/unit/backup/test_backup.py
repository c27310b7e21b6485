"""A backup has all of one moment, and becomes that server again; whatever is wrong with it, nothing is touched."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitship import __version__, config
from gitship.appsettings import VOLUME
from gitship.backup import archive_format
from gitship.backup import restore as restoring
from gitship.backup.archive_format import IncompleteBackup
from gitship.backup.create import LAST, Backups
from gitship.backup.encryption import server_key
from gitship.config import Settings
from gitship.containers.attach_client import ClientLeft
from gitship.engine.interface import Volumes
from gitship.errors import Conflict, GitshipError
from gitship.git.repository import Repositories, Repository
from gitship.init import initialise
from gitship.logs import directories
from gitship.model import DeployKind
from gitship.restore_command import restore as command
from gitship.store import Store, data_directory_lock
from gitship.volumes.lifecycle import VolumeLifecycle
from tests.e2e.apps import git
from tests.unit.memory.engine import MemoryEngine
from tests.unit.memory.volumes import MemoryVolumes

pytestmark = pytest.mark.clients


class Here:
    """A server's data without the server: an app with two commits, a volume, hooks, certificates, logs."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.path = base / "etc" / "gitship.toml"
        initialise(self.path, None, [f"data_dir={base / 'data'}", "domain=apps.example.com"])
        self.settings = config.load(self.path)
        self.store = Store(self.settings.database)
        self.repositories = Repositories(self.settings.repositories, self.settings.hooks_dir / "post-receive")
        self.machine = MemoryEngine()
        self.keeper = VolumeLifecycle(self.store, self.machine, self.store.server_id())
        self.app = self.store.create_app("shop")
        self.repository = self.repositories.create("shop")
        self.commits = [self.commit("one"), self.commit("two")]
        self.store.set_deploy_branch(self.app.id, "main")
        self.store.replace_config(self.app.id, {"SECRET": "ü"})
        (self.settings.hooks_dir / "before-build").mkdir(exist_ok=True)
        hook = self.settings.hooks_dir / "before-build" / "10-say"
        hook.write_text("#!/bin/sh\n")
        hook.chmod(0o755)
        for directory in (self.settings.certificates, self.settings.acme_accounts):
            directory.mkdir(mode=0o700, exist_ok=True)
            (directory / "a.pem").write_text("key")
            (directory / "a.pem").chmod(0o600)
        self.log = directories.directory(self.settings.logs, self.app.id) / "1.log"
        self.log.parent.mkdir(parents=True)
        self.log.write_text("built\n")

    @property
    def backups(self) -> Backups:
        return Backups(self.settings, self.path, self.store, self.repositories, self.machine.volumes, self.keeper)

    def commit(self, message: str) -> str:
        tree = git(self.repository.path, "hash-object", "-t", "tree", "-w", "/dev/null")
        parent = self.repository.ref("refs/heads/main")
        sha = git(self.repository.path, "commit-tree", tree, "-m", message, *(["-p", parent] if parent else []))
        assert self.repository.compare_and_set("refs/heads/main", parent, sha)
        return sha

    def take(self, **what: bool) -> bytes:
        sink = io.BytesIO()
        self.backups.write(sink.write, threading.Event(), **what)
        return sink.getvalue()

    def lose(self) -> None:
        """The machine burns."""
        self.store.close()
        shutil.rmtree(self.settings.data_dir)
        shutil.rmtree(self.path.parent)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path)
    yield made
    made.store.close()


def no_volumes(settings: Settings) -> Volumes:
    raise AssertionError("this backup has no volumes")


def restore(
    here: Here, data: bytes, *, force: bool = False, volumes: MemoryVolumes | None = None
) -> restoring.Restored:
    return restoring.restore(
        io.BytesIO(data), here.path, force=force, volumes_of=(lambda s: volumes) if volumes else no_volumes
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != data_directory_lock.NAME
    }


def test_a_lost_server_is_back(here: Here) -> None:
    (here.settings.hooks_dir / "linked").symlink_to("/opt/hooks")
    keys = here.settings.host_key.read_bytes(), here.settings.local_key.read_bytes()
    backup_key = server_key(here.settings.backup_key)
    data, server = here.take(), here.store.server_id()
    here.lose()
    done = restore(here, data)
    assert (done.config_kept, done.aside, done.volumes, done.about.apps) == (False, None, 0, 1)
    assert config.load(here.path).domain == "apps.example.com"
    assert (here.settings.host_key.read_bytes(), here.settings.local_key.read_bytes()) == keys
    assert here.settings.backup_key.exists() and server_key(here.settings.backup_key) == backup_key
    store = Store(here.settings.database)
    assert store.server_id() == server and store.config(here.app.id) == {"SECRET": "ü"}
    assert store.server_setting(restoring.RESTORED) is not None
    store.close()
    repository = Repositories(here.settings.repositories, None).open("shop")
    assert repository.refs() == {"refs/heads/main": here.commits[1]} and repository.head() == "refs/heads/main"
    assert git(repository.path, "fsck", "--full", "--strict") == ""
    assert git(repository.path, "log", "--format=%s", "main") == "two\none"
    hooks = here.settings.hooks_dir
    assert os.access(hooks / "before-build" / "10-say", os.X_OK) and (hooks / "linked").readlink() == Path("/opt/hooks")
    assert (here.settings.certificates / "a.pem").read_text() == "key"
    assert not here.settings.logs.exists()


def test_an_app_whose_repository_is_off_the_disk_is_told_and_all_else_of_it_is_there(here: Here) -> None:
    here.keeper.ensure(here.app, "data")
    shutil.rmtree(here.repository.path)
    sink = io.BytesIO()
    made = here.backups.write(sink.write, threading.Event(), volumes=True)
    assert (made.apps, made.without) == (1, ("shop",))
    here.lose()
    there = MemoryVolumes()
    assert restore(here, sink.getvalue(), volumes=there).volumes == 1
    repository = Repositories(here.settings.repositories, None).open("shop")
    assert (repository.refs(), repository.head()) == ({}, "refs/heads/main")


def test_what_is_secret_is_for_its_owner_alone(here: Here) -> None:
    data = here.take()
    here.lose()
    restore(here, data)
    settings = here.settings
    for path in (settings.database, settings.host_key, settings.local_key, settings.certificates / "a.pem", here.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert stat.S_IMODE(archive.getmember("data/gitship.db").mode) == 0o600


def test_logs_are_in_it_when_asked_for(here: Here) -> None:
    data = here.take(logs=True)
    here.lose()
    restore(here, data)
    assert here.log.read_text() == "built\n"


def test_a_push_meanwhile_is_in_it_wholly_or_not_at_all(here: Here) -> None:
    """The moment is that of the database: a ref that moves later is not in the backup, its objects do no harm."""
    sink = io.BytesIO()
    moved: list[str] = []

    def write(piece: bytes) -> None:
        if not moved:
            moved.append(here.commit("three"))
            here.store.replace_config(here.app.id, {"SECRET": "later"})
        sink.write(piece)

    here.backups.write(write, threading.Event())
    here.lose()
    restore(here, sink.getvalue())
    store = Store(here.settings.database)
    assert store.config(here.app.id) == {"SECRET": "ü"}
    store.close()
    repository = Repositories(here.settings.repositories, None).open("shop")
    assert repository.ref("refs/heads/main") == here.commits[1]


def test_no_deploy_begins_and_ends_between_the_database_and_the_refs(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ref would be in the backup and its record not: the same push would find nothing to do after a restore."""
    opened, deployer = here.repositories.open, threading.Thread()

    def deploy() -> None:
        here.store.create_deploy(here.app.id, DeployKind.PUSH, "ada", ref="refs/heads/main")
        here.commit("three")

    def open_(name: str) -> Repository:
        nonlocal deployer
        if deployer.ident is None:
            deployer = threading.Thread(target=deploy, name="deployer")
            deployer.start()
            deployer.join(0.5)  # it waits for the store until both have been looked at
        return opened(name)

    monkeypatch.setattr(here.repositories, "open", open_)
    sink = io.BytesIO()
    here.backups.write(sink.write, threading.Event())
    deployer.join(20)
    assert here.repository.ref("refs/heads/main") not in here.commits, "afterwards it went on"
    here.lose()
    restore(here, sink.getvalue())
    assert Repositories(here.settings.repositories, None).open("shop").ref("refs/heads/main") == here.commits[1]


def test_a_deploy_that_is_under_way_is_settled_as_after_a_crash(here: Here) -> None:
    deploy = here.store.create_deploy(
        here.app.id, DeployKind.PUSH, "ada", commit=here.commits[1], ref="refs/heads/main", old=here.commits[0]
    )
    data = here.take()
    here.lose()
    restore(here, data)
    store = Store(here.settings.database)
    assert [d.id for d in store.unfinished_deploys()] == [deploy.id]
    store.close()


def test_volumes_come_back_under_new_names(here: Here) -> None:
    volumes = here.machine.volumes
    here.keeper.ensure(here.app, "data")
    [old] = here.keeper.of(here.app).values()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        info = tarfile.TarInfo("./big")
        info.size = archive_format.PIECE_BYTES + 100_000  # two pieces
        archive.addfile(info, io.BytesIO(b"\7" * info.size))
    volumes.write(old, [content.getvalue()], {}, threading.Event())
    data, fresh = here.take(volumes=True), MemoryVolumes()
    here.lose()
    assert restore(here, data, volumes=fresh).volumes == 1
    store = Store(here.settings.database)
    name = store.app_settings(here.app.id).all(VOLUME)["data"]
    store.close()
    assert name != old and list(fresh.content) == [name]
    with tarfile.open(fileobj=io.BytesIO(fresh.content[name])) as archive:
        member = archive.extractfile("./big")
        assert member is not None and member.read() == b"\7" * (archive_format.PIECE_BYTES + 100_000)


def test_volumes_that_were_filled_go_when_the_rest_is_cut_off(here: Here) -> None:
    here.keeper.ensure(here.app, "data")
    data, fresh = here.take(volumes=True), MemoryVolumes()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        manifest = archive.getmember(archive_format.MANIFEST)
    made: list[str] = []
    make = fresh.make

    def noted(name: str, labels: Any) -> None:
        make(name, labels)
        made.append(name)

    fresh.make = noted  # type: ignore[method-assign]
    with pytest.raises(IncompleteBackup):
        restore(here, data[: manifest.offset], force=True, volumes=fresh)
    assert len(made) == 1 and not fresh.content


def test_data_that_are_there_are_refused_and_with_force_kept_aside(here: Here) -> None:
    data = here.take()
    here.store.close()
    before = contents(here.settings.data_dir)
    with pytest.raises(Conflict, match="already contains data") as refused:
        restore(here, data)
    assert "--force" in refused.value.hint and contents(here.settings.data_dir) == before
    done = restore(here, data, force=True)
    assert done.config_kept and done.aside is not None
    assert contents(done.aside) == before


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_an_archive_that_is_cut_off_changes_nothing(here: Here, share: float) -> None:
    data = here.take()
    here.store.close()
    before = contents(here.settings.data_dir)
    with pytest.raises(IncompleteBackup):
        restore(here, data[: int((len(data) - 2048) * share)], force=True)
    assert contents(here.settings.data_dir) == before
    assert not (here.settings.data_dir / restoring.STAGING).exists()


def test_an_archive_that_ends_between_two_entries_is_refused(here: Here) -> None:
    """tar itself takes it for a whole one."""
    data = here.take()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        manifest = archive.getmember(archive_format.MANIFEST)
    with pytest.raises(IncompleteBackup, match="ends before its manifest"):
        restoring.check(io.BytesIO(data[: manifest.offset]))
    with pytest.raises(IncompleteBackup, match="ends before its manifest"):
        restoring.check(io.BytesIO(data[: manifest.offset] + bytes(1024)))


def test_a_flipped_bit_is_found(here: Here) -> None:
    data = bytearray(here.take())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        place = archive.getmember("data/gitship.db").offset_data + 5000
    data[place] ^= 1
    with pytest.raises(IncompleteBackup, match=r"'data/gitship\.db' differs from what was backed up"):
        restoring.check(io.BytesIO(bytes(data)))


def changed(data: bytes, name: str, content: bytes | None, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The archive with an entry more, or (None) less."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            if member.name == archive_format.MANIFEST and content is not None:
                extra = tarfile.TarInfo(name)
                extra.size, extra.type, extra.linkname = len(content), kind, "/etc/passwd"
                new.addfile(extra, io.BytesIO(content))
            if member.name != name:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    return out.getvalue()


def test_an_entry_that_is_missing_or_was_put_in_is_found(here: Here) -> None:
    data = here.take()
    assert restoring.check(io.BytesIO(changed(data, "nothing", None)))
    for wrong in (changed(data, "data/gitship.db", None), changed(data, "data/hooks/evil", b"#!/bin/sh\n")):
        with pytest.raises(IncompleteBackup):
            restoring.check(io.BytesIO(wrong))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "data/../../evil", "evil"])
def test_no_entry_leaves_the_data_directory(here: Here, name: str) -> None:
    data = changed(here.take(), name, b"x")
    before = contents(here.base)
    with pytest.raises(IncompleteBackup):
        restore(here, data, force=True)
    after = contents(here.base)
    assert after.keys() - before.keys() <= {"data/gitship.db-wal"} and "evil" not in str(after.keys())


def test_no_entry_is_written_through_a_link(here: Here) -> None:
    data = changed(here.take(), "data/linked", b"", tarfile.SYMTYPE)
    data = changed(data, "data/linked/evil", b"x")
    with pytest.raises(IncompleteBackup, match="goes through a link"):
        restore(here, data, force=True)


def test_a_backup_of_a_newer_gitship_is_refused_with_its_version(here: Here) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(archive_format.HEADER)
        text = b'{"format": 2, "gitship": "9.9", "something": "new"}'
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    with pytest.raises(GitshipError, match=r"made by gitship 9\.9, in a newer format"):
        restoring.check(io.BytesIO(out.getvalue()))


@pytest.mark.parametrize("data", [b"", b"no archive" * 1000, b"\0" * 10240])
def test_what_is_no_backup_is_told_so(here: Here, data: bytes) -> None:
    with pytest.raises(IncompleteBackup):
        restoring.check(io.BytesIO(data))


def test_not_under_a_server_that_runs(here: Here) -> None:
    data = here.take()
    here.store.close()
    said = f"gitship is already running on {here.settings.data_dir}"
    with data_directory_lock.claimed(here.settings.data_dir), pytest.raises(Conflict, match=said):
        restore(here, data, force=True)


def test_a_restore_that_was_cut_short_keeps_the_server_from_starting(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = here.take()
    here.store.close()
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name == "repos":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(here, data, force=True)
    with pytest.raises(GitshipError, match="cut short"):
        restoring.ensure_not_cut_short(here.settings.data_dir)
    restore(here, data, force=True)
    restoring.ensure_not_cut_short(here.settings.data_dir)
    assert Repositories(here.settings.repositories, None).open("shop").ref("refs/heads/main") == here.commits[1]


def test_a_client_that_leaves_ends_it_and_it_does_not_count(here: Here) -> None:
    def broken(piece: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(ClientLeft):
        here.backups.write(broken, threading.Event())
    gone = threading.Event()
    gone.set()
    with pytest.raises(ClientLeft):
        here.backups.write(lambda piece: None, gone)
    assert here.store.server_setting(LAST) is None
    assert not list(here.settings.data_dir.glob(".backup-*"))
    assert len(here.take()) > 10_000 and (here.store.server_setting(LAST) or {})["apps"] == 1


def test_one_at_a_time(here: Here) -> None:
    backups = here.backups

    def again(piece: bytes) -> None:
        with pytest.raises(Conflict, match="another backup"):
            backups.write(lambda piece: None, threading.Event())

    backups.write(again, threading.Event())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_restores_belongs_to_the_services_user(here: Here) -> None:
    file = here.base / "gitship.tar"
    file.write_bytes(here.take())
    here.lose()
    here.settings.data_dir.mkdir()
    os.chown(here.settings.data_dir, 4321, 4322)
    said = command(here.path, str(file), "text", force=False, check=False, copy=False)
    assert any(line.startswith("next") for line in said)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in here.settings.data_dir.rglob("*")}
    assert owners == {(4321, 4322)} and (here.settings.data_dir / data_directory_lock.NAME).exists()
    assert (here.path.stat().st_gid, stat.S_IMODE(here.path.stat().st_mode)) == (4322, 0o640)


def test_the_command_says_what_it_needs(here: Here) -> None:
    for file, copy in ((None, False), ("x.tar", True)):
        with pytest.raises(GitshipError, match="nothing to restore"):
            command(here.path, file, "text", force=False, check=False, copy=copy)
    with pytest.raises(GitshipError, match="cannot read /nowhere"):
        command(here.path, "/nowhere", "text", force=False, check=True, copy=False)
    archive = here.base / "gitship.tar"
    archive.write_bytes(here.take(logs=True))
    [document] = command(here.path, str(archive), "json", force=False, check=True, copy=False)
    assert {**json.loads(document), "created": ""} == {
        "created": "", "gitship": __version__, "apps": 1, "with": "logs", "bytes": json.loads(document)["bytes"],
        "state": "whole",
    }  # fmt: skip
