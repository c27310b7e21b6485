"""A server that has lost everything is back with two commands; a damaged database comes back from its own copy."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.apps import clean_env
from tests.e2e.commands import ok
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]  # many deploys, on a machine that may be busy

BACK_S = 60.0


def take(server: Server, file: Path, *options: str) -> str:
    """`gitship server:backup > file`, as on the server's own machine; what it said beside."""
    command = [sys.executable, "-m", "gitship.cli", "--config", str(server.config), "server:backup", *options]
    with file.open("wb") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, timeout=120, env=clean_env(),
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


def lose_everything(server: Server) -> None:
    """Process, front, containers, images, volumes, networks, data and settings; what is left is the admin's own key."""
    label = f"gitship.server={server.server_id()}"
    server.kill9()
    assert server.gitship("stop-front").returncode == 0
    docker_cli.remove_labelled(server.docker_host, label)
    assert docker_cli.left(server.docker_host, label) == []
    shutil.rmtree(server.data_dir)
    server.config.unlink()


def test_everything_is_lost_and_back(own_server: Server, base: Path, tiny_app: Callable[..., Path]) -> None:
    server, archive = own_server, base / "gitship.tar"
    shop, idle = tiny_app("shop"), tiny_app("idle")
    server.push_ok(shop, "shop")
    apps.commit(shop, "Second", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(shop, "shop")
    live = apps.git(shop, "rev-parse", "HEAD")
    ok(server, "config:set", "shop", "MOTTO=kept")
    ok(server, "domains:add", "shop", "shop.example.com")
    ok(server, "storage:mount", "shop", "data:/data")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as volume:
        info = tarfile.TarInfo("./photo")
        info.size = 5
        volume.addfile(info, io.BytesIO(b"photo"))
    filled = subprocess.run(
        [*server.ssh_command(), "deploy@127.0.0.1", "storage:import", "shop", "data"], input=content.getvalue(),
        capture_output=True, timeout=60, env=clean_env(), check=False,
    )  # fmt: skip
    assert filled.returncode == 0, filled.stderr
    ok(server, "apps:lock", "shop", "no changes today")
    server.push_ok(idle, "idle")
    ok(server, "ps:stop", "idle")

    meanwhile = server.start_push(tiny_app("late"), "late")  # whole in the backup or not in it at all
    said = take(server, archive, "--volumes", "--logs")
    assert "2 apps" in said or "3 apps" in said, said
    meanwhile.communicate(timeout=120)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    findings = json.loads(server.gitship("doctor", "--format", "json").stdout)
    assert [f["level"] for f in findings if f["subject"] == "backup"] == ["ok"], findings

    lose_everything(server)
    checked = server.gitship("restore", str(archive), "--check")
    assert checked.returncode == 0 and "whole" in checked.stdout, checked.stderr
    half = base / "half.tar"
    half.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused = server.gitship("restore", str(half))
    assert refused.returncode == 1 and "cut off" in refused.stderr and not server.config.exists()
    assert not (server.data_dir / "gitship.db").exists()

    restored = server.gitship("restore", str(archive))
    assert restored.returncode == 0, restored.stderr
    server.start()
    back = wait_until(lambda: (a := server.get("shop")).status == 200 and a, BACK_S, "shop answers again")
    assert "v2" in back.body
    assert server.request("shop.example.com").status == 200
    assert server.get("shop", "/env?MOTTO").body == "kept"
    exported = subprocess.run(
        [*server.ssh_command(), "deploy@127.0.0.1", "storage:export", "shop", "data"], capture_output=True, timeout=60,
        env=clean_env(), check=False,
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as volume:
        member = volume.extractfile("./photo")
        assert member is not None and member.read() == b"photo"
    assert server.server_ref("shop") == live
    assert server.deploys("shop")[-1][2] == live, "built from its commit"
    assert "no changes today" in server.ssh("ps:restart", "shop").stderr, "the lock is as it was"

    ok(server, "apps:unlock", "shop")
    apps.commit(shop, "Third", {"Dockerfile": apps.tiny_dockerfile("v3")})
    server.push_ok(shop, "shop")
    assert "v3" in server.get("shop").body
    wait_until(lambda: not server.database("SELECT 1 FROM server_settings WHERE name = 'restored'"), 30, "all is done")
    assert server.containers("gitship.app=idle") == [], "what was stopped stays stopped"
    ok(server, "ps:rebuild", "idle")
    assert server.get("idle").status == 200
    refused = server.gitship("restore", str(archive), "--force")
    assert refused.returncode == 1 and "gitship is already running on" in refused.stderr


def test_a_damaged_database_is_refused_and_brought_back(own_server: Server, tiny_app: Callable[..., Path]) -> None:
    server, shop = own_server, tiny_app("shop")
    server.push_ok(shop, "shop")
    live = apps.git(shop, "rev-parse", "HEAD")
    server.restart()
    copies = server.data_dir / "copies"
    wait_until(lambda: list(copies.glob("*-daily.db")), 30, "the daily copy of the first start")
    for old in copies.iterdir():
        old.unlink()  # it is from before the push
    server.restart()
    wait_until(lambda: list(copies.glob("*-daily.db")), 30, "a copy is made")
    apps.commit(shop, "Second", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(shop, "shop")  # which the copy knows nothing of

    assert server.stop() == 0
    database = server.data_dir / "gitship.db"
    with database.open("r+b") as file:
        for page in range(2, database.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(64))
    refused = server.gitship("serve")
    assert refused.returncode == 1, refused.stderr
    assert "is damaged" in refused.stderr and "gitship restore --newest-copy" in refused.stderr
    assert "v2" in server.get("shop").body, "visitors notice nothing"

    done = server.gitship("restore", "--newest-copy")
    assert done.returncode == 0, done.stderr
    server.start()
    wait_until(lambda: "v1" in server.get("shop").body, BACK_S, "the release that the copy knows is live")
    assert server.server_ref("shop") == live, "so that the same push deploys again"
    server.push_ok(shop, "shop")
    assert "v2" in server.get("shop").body
