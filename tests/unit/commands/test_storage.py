"""storage: what it takes, refuses, stores, shows, exports and restores."""

from __future__ import annotations

import dataclasses
import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gitship.appsettings import DISCARDED, PENDING
from gitship.model import GITSHIP, DeployKind, DeployState, Outcome, Role
from tests.tars import tar_of
from tests.unit.commands.world import Client, World


def shown(world: World, app: str = "shop") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.ok("storage:list", app, "--format", "json").json
    return found


def deploys(world: World) -> int:
    return len(world.store.deploys(world.store.app("shop").id))


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [name.removeprefix("./") for name in opened.getnames()]


def exported(world: World, *options: str) -> bytes:
    return bytes(world.ok("storage:export", "shop", "data", *options).stdout.data)


def volumes(world: World) -> set[str]:
    return set(world.memory.engine.volumes.content)


def test_a_volume_is_made_mounted_by_a_deploy_and_shown(shop: World) -> None:
    assert shown(shop) == []
    assert "nothing is mounted" in shop.ok("storage:list", "shop").err
    assert shop.ok("storage:mount", "shop", "data:/data").out.startswith(
        "changing mount /data for shop\n-----> Deploy 2"
    )
    [row] = shown(shop)
    assert row == {
        "name": "data", "kind": "volume", "path": "/data", "read_only": False, "processes": None, "size_bytes": 1024,
        "mounted": True, "source": next(iter(volumes(shop))),
    }  # fmt: skip
    assert "no change" in shop.ok("storage:mount", "shop", "data:/data/").err and deploys(shop) == 2
    assert shop.ok("releases:info", "shop", "--format", "json").json["mounts"] == ["data:/data"]


def test_mounts_can_be_for_some_processes_and_read_only(shop: World) -> None:
    shop.ok("storage:mount", "shop", "data:/data", "--process", "worker", "--process", "web", "--read-only")
    [row] = shown(shop)
    assert (row["processes"], row["read_only"]) == (["worker", "web"], True)
    shop.ok("storage:mount", "shop", "data:/data", "--process", "worker")
    release = shop.store.release(shop.store.app("shop").live_release or 0)
    assert [(p.type, [m.path for m in p.mounts]) for p in release.processes] == [("web", []), ("worker", ["/data"])]


def test_what_waits_for_a_restart_says_so(shop: World) -> None:
    assert "the next deploy uses it" in shop.ok("storage:mount", "shop", "data:/data", "--no-restart").err
    client = shop.ok("storage:list", "shop", "--format", "json")
    assert client.json[0]["mounted"] is False and "ps:restart shop" in client.err and deploys(shop) == 1


def test_an_unmounted_volume_keeps_its_data_until_it_is_destroyed_by_name(shop: World) -> None:
    shop.ok("storage:mount", "shop", "data:/data")
    assert "is mounted" in shop.run("storage:destroy", "shop", "data", "--force").err
    shop.ok("storage:unmount", "shop", "data")
    [row] = shown(shop)
    assert (row["name"], row["path"], row["mounted"]) == ("data", None, False)
    assert "add --force" in shop.run("storage:destroy", "shop", "data").err
    wrong = shop.run("storage:destroy", "shop", "data", pty=True, stdin=b"shop\r")
    assert wrong.code == 1 and "the name does not match" in wrong.err and volumes(shop)
    assert shop.run("storage:destroy", "shop", "data", pty=True, stdin=b"data\r").code == 0
    assert shown(shop) == [] and volumes(shop) == set()


def test_a_volume_of_a_live_release_is_not_destroyed_though_it_is_unmounted_for_the_next(shop: World) -> None:
    shop.ok("storage:mount", "shop", "data:/data")
    shop.ok("storage:unmount", "shop", "data", "--no-restart")
    assert "the live release of shop still has 'data'" in shop.run("storage:destroy", "shop", "data", "--force").err
    assert volumes(shop)


@pytest.mark.parametrize("word", ["data", "/a", "data:/a"])
def test_a_mount_is_named_by_source_path_or_both(shop: World, word: str) -> None:
    shop.ok("storage:mount", "shop", "data:/a", "--no-restart")
    shop.ok("storage:mount", "shop", "other:/b", "--no-restart")
    shop.ok("storage:unmount", "shop", word, "--no-restart")
    assert [row["path"] for row in shown(shop)] == ["/b", None]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data",), "not SOURCE:PATH"), (("data:/",), "cannot mount at /"),
        (("data:/proc",), "system directory"), (("data:x",), "not an absolute path"),
        (("da/ta:/x",), "neither a volume's name"), (("data:/x:ro",), "--read-only"),
        (("data:/x", "--process", "ghost"), "no process type 'ghost'"),
        (("data:/x", "--process", "a b"), "not a process"),
        (("other:/data",), "data is mounted at /data of shop already"),
        (("/srv:/x",), "cannot be mounted on this server"),
    ],
)  # fmt: skip
def test_what_cannot_be_mounted_is_refused_and_nothing_changes(shop: World, words: tuple[str, ...], said: str) -> None:
    shop.ok("storage:mount", "shop", "data:/data")
    before = (shop.store.app_settings(shop.store.app("shop").id), volumes(shop), deploys(shop))
    client = shop.run("storage:mount", "shop", *words)
    assert client.code in (1, 2) and said in client.err and "hint: " in client.err, client.err
    assert (shop.store.app_settings(shop.store.app("shop").id), volumes(shop), deploys(shop)) == before


def test_unknown_names_are_answered_with_the_nearest(shop: World) -> None:
    shop.ok("storage:mount", "shop", "uploads:/data")
    for command in (("storage:unmount", "shop", "upload"), ("storage:destroy", "shop", "upload", "--force"),
                    ("storage:export", "shop", "upload"), ("storage:import", "shop", "upload")):  # fmt: skip
        client = shop.run(*command)
        assert client.code == (3 if command[0] in ("storage:unmount", "storage:destroy") else 1)
        assert "did you mean 'uploads'?" in client.err, client.err
    assert "see `storage:list shop`" in shop.run("storage:export", "shop", "x").err


def test_a_locked_app_gets_no_volume(shop: World) -> None:
    shop.ok("storage:mount", "shop", "old:/old")
    shop.ok("apps:lock", "shop", "sale")
    for command in (("storage:mount", "shop", "data:/data"), ("storage:unmount", "shop", "old"),
                    ("storage:import", "shop", "old", "--replace")):  # fmt: skip
        client = shop.run(*command, stdin=tar_of(a=b"1"))
        assert client.code == 1 and "sale" in client.err
    assert [row["name"] for row in shown(shop)] == ["old"] and len(volumes(shop)) == 1


def test_directories_of_the_host_are_for_admins_whatever_exists(
    shop: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    srv = tmp_path_factory.mktemp("srv")
    (srv / "photos").mkdir()
    shop.memory.engine.volumes.host_paths = [srv]
    spec = f"{srv}/photos/:/photos"
    there = shop.run("storage:mount", "shop", spec, role=Role.DEPLOYER)
    missing = shop.run("storage:mount", "absent", "/nowhere:/photos", role=Role.DEPLOYER)
    assert (there.code, there.err) == (missing.code, missing.err) and "needs the role admin" in there.err
    assert shop.store.audit(limit=1)[0].outcome is Outcome.REFUSED
    shop.ok("storage:mount", "shop", spec, "--read-only")
    [row] = shown(shop)
    assert (row["name"], row["kind"], row["source"], row["size_bytes"]) == (None, "host", f"{srv}/photos", None)
    assert "not below" in shop.run("storage:mount", "shop", f"{srv}-other:/x").err


@pytest.mark.parametrize("source", [".", "logs", ".."])
def test_gitships_own_data_are_nobodys(shop: World, tmp_path: Path, source: str) -> None:
    (tmp_path / "logs").mkdir(exist_ok=True)
    shop.memory.engine.volumes.host_paths = [tmp_path.parent]
    path = (tmp_path / source).resolve()
    assert "gitship's own data" in shop.run("storage:mount", "shop", f"{path}:/x").err


def test_an_archive_goes_out_and_its_copy_in(shop: World) -> None:
    shop.ok("storage:mount", "shop", "data:/data")
    client = shop.run("storage:import", "shop", "data", stdin=tar_of(a=b"1", b=b"2"))
    assert (client.code, "imported 10 kB into data of shop" in client.out) == (0, True), client.err
    assert client.out.startswith("-----> Deploy 3") and len(volumes(shop)) == 1
    whole = exported(shop)
    assert names(whole) == ["a", "b"] and gzip.decompress(exported(shop, "--gzip")) == whole
    assert "exported data of shop" in shop.ok("storage:export", "shop", "data").err
    assert shop.store.audit(limit=1)[0].detail.startswith("volume data, ")

    refused = shop.run("storage:import", "shop", "data", stdin=tar_of(c=b"3"))
    assert refused.code == 1 and "not empty" in refused.err and "--replace" in refused.err
    shop.run("storage:import", "shop", "data", "--replace", stdin=gzip.compress(tar_of(c=b"3")))
    assert names(exported(shop)) == ["c"] and len(volumes(shop)) == 1


@pytest.mark.parametrize(
    "stdin",
    [b"", tar_of(a=b"1")[:512], tar_of(a=b"1")[:1024], b"junk" * 999, gzip.compress(tar_of(a=b"1"))[:-9]],
    ids=["nothing", "header", "no end", "junk", "cut gzip"],  # the bytes have the time in them
)
def test_a_broken_archive_leaves_the_old_content(shop: World, stdin: bytes) -> None:
    _with_content(shop)
    client = shop.run("storage:import", "shop", "data", "--replace", stdin=stdin)
    assert client.code == 1 and client.err.startswith(("error: the archive ends early", "error: this is not a tar"))
    _is_as_before(shop)


def test_an_entry_that_would_lie_outside_leaves_the_old_content(shop: World) -> None:
    _with_content(shop)
    client = shop.run("storage:import", "shop", "data", "--replace", stdin=tar_of(**{"a": b"1", "../b": b"2"}))
    assert client.code == 1 and "outside the volume" in client.err
    _is_as_before(shop)


def test_a_full_disk_leaves_the_old_content(shop: World) -> None:
    _with_content(shop)
    shop.memory.engine.volumes.broken = True
    assert "no space left" in shop.run("storage:import", "shop", "data", "--replace", stdin=tar_of(a=b"1")).err
    _is_as_before(shop)


def test_a_client_that_leaves_changes_nothing(shop: World) -> None:
    _with_content(shop)
    client = shop.client("storage:import", "shop", "data", "--replace", stdin=tar_of(a=b"1"))
    client.closed.set()
    assert shop.go(client).code == 130
    client = shop.client("storage:export", "shop", "data")
    client.stdout.broken = True
    assert shop.go(client).code == 130
    _is_as_before(shop)


def test_an_export_that_is_not_whole_fails(shop: World) -> None:
    _with_content(shop)
    [volume] = volumes(shop)
    memory = shop.memory.engine.volumes
    memory.content[volume] = memory.content[volume].rstrip(b"\0").ljust(1024, b"\0")[:1024]  # a file that has shrunk
    client = shop.run("storage:export", "shop", "data")
    assert client.code == 1 and "the archive is incomplete" in client.err and "ps:stop shop" in client.err


def test_an_import_before_the_first_push_or_while_stopped_needs_no_deploy(world: World) -> None:
    world.ok("apps:create", "shop")
    world.ok("storage:mount", "shop", "data:/data")
    assert world.run("storage:import", "shop", "data", stdin=tar_of(a=b"1")).out == "imported 10 kB into data of shop\n"
    world.memory.push("shop")
    world.ok("ps:stop", "shop")
    stop = world.store.deploys(world.store.app("shop").id)[0]
    world.store.update_deploy(dataclasses.replace(stop, state=DeployState.DRAINING))  # for as long as a request lasts
    before = deploys(world)
    assert world.run("storage:import", "shop", "data", "--replace", stdin=tar_of(b=b"1")).code == 0
    assert deploys(world) == before and names(exported(world)) == ["b"]
    assert world.store.setting(world.store.app("shop").id, PENDING)  # so that ps:start makes a release of it


def test_an_import_into_a_volume_that_nothing_mounts_needs_no_deploy(shop: World) -> None:
    shop.ok("storage:mount", "shop", "data:/data", "--no-restart")
    assert shop.run("storage:import", "shop", "data", stdin=tar_of(a=b"1")).code == 0
    assert deploys(shop) == 1 and names(exported(shop)) == ["a"]


def test_an_import_waits_for_the_first_deploy(world: World) -> None:
    app = world.operations.apps.create("shop", GITSHIP)
    world.ok("storage:mount", "shop", "data:/data")
    world.store.create_deploy(app.id, DeployKind.PUSH, "ada")
    client = world.run("storage:import", "shop", "data", stdin=tar_of(a=b"1"))
    assert client.code == 1 and "a deploy of shop is in progress" in client.err
    assert names(exported(world)) == []


@pytest.mark.parametrize("name", ["export", "import"])
def test_progress_is_for_terminals_and_stderr_alone(shop: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitship.console.progress.PROGRESS_EVERY_S", 0.0)
    _with_content(shop)
    shop.ok("storage:unmount", "shop", "data")
    more = {"stdin": tar_of(a=b"1" * 100_000)} if name == "import" else {}
    options = ("--replace",) if name == "import" else ()
    plain = shop.run(f"storage:{name}", "shop", "data", *options, **more)  # type: ignore[arg-type]
    terminal: Client = shop.run(f"storage:{name}", "shop", "data", *options, pty=True, **more)  # type: ignore[arg-type]
    assert f"\r{name}ing data: " in terminal.err and "\r" not in plain.err
    if name == "export":
        assert terminal.stdout.data == plain.stdout.data


def test_ctrl_c_at_an_import_from_a_terminal_ends_it(shop: World) -> None:
    _with_content(shop)
    assert shop.run("storage:import", "shop", "data", "--replace", pty=True, stdin=b"\x03").code == 130
    _is_as_before(shop)


def _with_content(world: World) -> None:
    world.ok("storage:mount", "shop", "data:/data")
    assert world.run("storage:import", "shop", "data", stdin=tar_of(mine=b"1")).code == 0


def _is_as_before(world: World) -> None:
    assert names(exported(world)) == ["mine"]
    assert len(volumes(world)) == 1 and deploys(world) == 3
    assert world.store.app_settings(world.store.app("shop").id).all(DISCARDED) == {}
