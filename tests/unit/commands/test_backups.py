"""backups: of a volume and of the whole server, at a directory: proved, restored into something new, scheduled."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gitship.appsettings import VOLUME
from gitship.backup.encryption import decrypted
from gitship.backup.restore import check
from gitship.model import GITSHIP, Identity, Role
from gitship.model.backups import WHOLE_SERVER
from tests.tars import tar_of
from tests.unit.commands.world import World
from tests.unit.memory.services import running_service

FILES = {"notes/a.txt": b"first" * 100, "b.bin": bytes(range(256))}


@pytest.fixture
def kept(shop: World, tmp_path: Path) -> World:
    """The app `shop` with a volume `data` that has files, and a directory as the target `disk`."""
    shop.ok("backups:target:add", "disk", str(tmp_path / "disk"))
    shop.ok("storage:mount", "shop", "data:/data")
    fill(shop, "data", tar_of(**FILES))
    return shop


def docker_name(world: World, name: str) -> str:
    return world.store.app_settings(world.store.app("shop").id).all(VOLUME)[name]


def fill(world: World, name: str, archive: bytes) -> None:
    volumes = world.memory.engine.volumes
    volumes.write(docker_name(world, name), [archive], {}, threading.Event())


def files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = [(member, opened.extractfile(member)) for member in opened if member.isfile()]
        return {member.name.removeprefix("./"): file.read() for member, file in found if file}


def backups(world: World, name: str) -> list[dict[str, Any]]:
    return list(world.ok("backups:list", name, "--format", "json").json)


def objects(tmp_path: Path) -> list[str]:
    place = tmp_path / "disk"
    return sorted(str(path.relative_to(place)) for path in place.rglob("*.age"))


def test_a_volume_is_verified_and_restored_into_a_new_one(kept: World, tmp_path: Path) -> None:
    said = kept.ok("backups:run", "shop/data").out
    assert "2 files with 0.0 MB are equal" in said and "backup 1 of shop/data is verified" in said
    [row] = backups(kept, "shop/data")
    told = (row["kind"], row["state"], row["files"], row["rows"], row["engine"])
    assert told == ("volume", "verified", 2, None, "")
    [key] = objects(tmp_path)
    assert key == row["key"] and "/shop/data/" in key and key.endswith(".volume.tar.age")
    assert "notes" not in (tmp_path / "disk" / f"{key}.json").read_text()
    plain = bytes(kept.ok("backups:download", "shop/data", "--decrypted").stdout.data)
    assert files(plain) == FILES
    fill(kept, "data", tar_of(gone=b"x"))
    said = kept.ok("backups:restore", "shop/data", "--as", "data2").out
    assert "storage:unmount shop data --no-restart\n       storage:mount shop data2:/data" in said
    assert files(kept.memory.engine.volumes.content[docker_name(kept, "data2")]) == FILES
    assert "has a volume 'data2' already" in kept.run("backups:restore", "shop/data", "--as", "data2").err
    found = kept.run("backups:restore", "--from", "disk", key, "--as", "data3")
    assert "--as APP/data3" in found.err
    kept.ok("backups:restore", "--from", "disk", key, "--as", "shop/data3")
    assert len(kept.memory.engine.volumes.content) == 3  # none that a proof was made in


def test_what_comes_back_otherwise_is_not_verified(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = kept.memory.engine.volumes
    whole = type(volumes).write

    def one_byte_less(name: str, chunks: Iterable[bytes], labels: Mapping[str, str], gone: threading.Event) -> None:
        assert files(b"".join(chunks)) == FILES
        whole(volumes, name, [tar_of(**FILES | {"b.bin": bytes(256)})], labels, gone)

    monkeypatch.setattr(volumes, "write", one_byte_less)
    done = kept.run("backups:run", "shop/data")
    assert done.code == 1 and "or other ones" in done.err
    [row] = backups(kept, "shop/data")
    assert (row["state"], row["bytes"] > 0) == ("failed", True)
    monkeypatch.undo()
    kept.ok("backups:verify", "shop/data")
    assert backups(kept, "shop/data")[0]["state"] == "verified"


def test_a_full_disk_says_nothing_about_a_backup(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept.memory.engine, "free_bytes", lambda: kept.settings.docker.min_free + 755)
    assert "a copy of the volume needs" in kept.run("backups:run", "shop/data").err  # 756 bytes
    [row] = backups(kept, "shop/data")
    assert row["state"] == "listed" and "not verified: only" in row["reason"]


def test_a_file_that_shrinks_while_it_is_read_leaves_no_backup(kept: World, tmp_path: Path) -> None:
    name = docker_name(kept, "data")
    kept.memory.engine.volumes.content[name] = kept.memory.engine.volumes.content[name][:1000]  # as Docker stops then
    done = kept.run("backups:run", "shop/data")
    assert "a file of shop/data became shorter while it was read" in done.err and "ps:stop shop" in done.err
    assert objects(tmp_path) == [] and backups(kept, "shop/data")[0]["state"] == "failed"


def test_the_whole_server_is_verified_and_restorable(kept: World, tmp_path: Path) -> None:
    said = kept.ok("backups:run", "server").out
    assert "the database of 1 apps, 0 dumps of services, 1 volumes" in said and "backup 1 of server is verified" in said
    [key] = objects(tmp_path)
    assert key.split("/")[1] == "server" and key.endswith(".gitship.tar.age")
    identity = kept.operations.service_backups._objects.identity()
    plain = b"".join(decrypted([(tmp_path / "disk" / key).read_bytes()], identity))
    about, _ = check(io.BytesIO(plain))
    assert (about.apps, about.volumes) == (1, True)
    assert "gitship restore" in kept.run("backups:restore", "server", "--as", "x").err
    for command in ("backups:run", "backups:verify", "backups:download"):
        assert kept.run(command, "server", role=Role.DEPLOYER).code != 0
    assert not list(kept.settings.data_dir.glob(".backup-*"))


def test_a_server_whose_service_cannot_be_dumped_is_backed_up_and_not_verified(kept: World, tmp_path: Path) -> None:
    running_service(kept.store, "db")
    done = kept.run("backups:run", "server")
    assert done.code == 1 and "not in it: db" in done.out and "has no data of db" in done.err
    [row] = backups(kept, "server")
    assert row["state"] == "failed" and objects(tmp_path) == [row["key"]]


def test_schedules_end_with_their_volume_and_their_app(kept: World) -> None:
    for name in ("shop/data", "server"):
        kept.ok("backups:schedule", name, "@daily", "--keep", "3")
    kept.ok("storage:unmount", "shop", "data")
    kept.ok("backups:restore", "--from", "disk", run(kept, "shop/data"), "--as", "shop/more")
    kept.ok("backups:schedule", "shop/more", "@daily")
    rows = kept.ok("backups:schedules", "--format", "json").json
    assert [(row["name"], row["kind"]) for row in rows] == [
        ("shop/data", "volume"), ("server", "server"), ("shop/more", "volume"),
    ]  # fmt: skip
    kept.ok("storage:destroy", "shop", "data", "--force")
    assert [one.subject.name for one in kept.store.backup_schedules()] == ["server", "shop/more"]
    kept.store.delete_app(kept.store.app("shop").id)
    assert [one.subject for one in kept.store.backup_schedules()] == [WHOLE_SERVER]
    assert backups(kept, "shop/data")[0]["state"] == "verified"  # it can be restored yet


def run(world: World, name: str) -> str:
    world.ok("backups:run", name)
    return str(backups(world, name)[0]["key"])


def test_a_limited_key_has_the_volumes_of_its_apps(kept: World) -> None:
    shop, other = kept.store.app("shop"), kept.operations.apps.create("other", GITSHIP)
    run(kept, "shop/data")
    run(kept, "server")
    assert [entry.app for entry in kept.store.audit() if entry.action == "backups:run"] == ["", "shop"]
    operations = kept.operations.service_backups
    seen = [operations.visible(Identity("ci", Role.DEPLOYER, apps=frozenset({app.id}))) for app in (shop, other)]
    assert [[backup.subject.name for backup in found] for found in seen] == [["shop/data"], []]


def test_names_that_mean_something_else(kept: World) -> None:
    assert "a volume of the app is named shop/VOLUME" in kept.run("backups:run", "shop").err
    assert "did you mean 'data'?" in kept.run("backups:run", "shop/date").err
    assert "that is the whole server" in kept.run("services:create", "server", "postgres").err
