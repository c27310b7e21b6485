"""Disks that fill up: pushes are refused with the way out, a rollback works without a free byte, nothing is damaged."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]  # many deploys, on a machine that may be busy

SIZE = "200m"  # Varnish's own log takes 80 of it


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of its own; its memory is given back at the end."""
    place.mkdir(parents=True, mode=0o755)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "gitship-test", place], check=True, timeout=10
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True, timeout=30)


def fill(directory: Path) -> Path:
    """To the last byte, even if something is given up meanwhile."""
    filler = directory / "filler"
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(handle, os.fstat(handle).st_size, size)
    finally:
        os.close(handle)
    return filler


def free(directory: Path) -> int:
    facts = os.statvfs(directory)
    return facts.f_bavail * facts.f_frsize


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str) -> Iterator[Server]:
    with running(module_base / "server", docker_host, lambda: False, deploy={"keep_releases": 2}) as started:
        yield started


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_refuses_pushes_and_lets_rollbacks_through(
    base: Path, docker_host: str, tiny_app: Callable[..., Path]
) -> None:
    disk, data = base / "disk", base / "server" / "data"
    data.parent.mkdir()
    data.symlink_to(disk)  # beside the server's directory, which must have no mount left when it ends
    with (
        small_disk(disk),
        running(
            base / "server", docker_host, lambda: False, disk={"min_free": "16m"}, varnish={"memory": "8m"}
        ) as server,
    ):
        shop = tiny_app("shop")
        server.push_ok(shop, "shop")
        apps.commit(shop, "Second", {"Dockerfile": apps.tiny_dockerfile("v2")})
        server.push_ok(shop, "shop")
        wait_until((data / "reserve").exists, 30, "the reserve is there")

        filler = fill(data)
        assert free(data) < 8192
        apps.commit(shop, "Third", {"Dockerfile": apps.tiny_dockerfile("v3")})
        refused = server.push(shop, "shop")
        assert refused.returncode != 0
        assert "is nearly full: " in refused.stderr and "(disk.min_free)" in refused.stderr, refused.stderr
        assert "server:cleanup" in refused.stderr and "Traceback" not in refused.stderr
        assert "v2" in server.get("shop").body

        back = server.ssh("releases:rollback", "shop")
        assert back.returncode == 0, f"{back.stdout}{back.stderr}\n{server.logs[-3000:]}"
        assert "v1" in server.get("shop").body
        assert server.ssh("ps:restart", "shop").returncode == 0
        assert "the reserve is given up" in server.logs
        findings = json.loads(server.gitship("doctor", "--format", "json").stdout)
        assert any(f["level"] == "fail" and "rollbacks work" in f["text"] for f in findings), findings

        fill(data)  # what the reserve has set free as well: now nothing can be written
        said = server.ssh("config:set", "shop", "A=b")
        assert said.returncode != 0 and "Traceback" not in said.stderr, said.stderr
        assert "v1" in server.get("shop").body, "visitors notice nothing"
        filler.unlink()
        server.push_ok(shop, "shop")
        assert "v3" in server.get("shop").body, "all is well once there is room"
        with contextlib.closing(sqlite3.connect(f"file:{data}/gitship.db?mode=ro", uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        server.restart()
        assert "v3" in server.get("shop").body


def settled_images(docker_host: str, label: str) -> set[str]:
    """Old images go after the drain, in gitship's own time: what is there when nothing has changed for two seconds."""
    seen: list[set[str]] = []

    def settled() -> bool:
        seen.append(set(docker_cli.names(docker_host, "image", label)))
        return len(seen) > 4 and all(images == seen[-1] for images in seen[-5:])

    wait_until(settled, 30, "the images stay what they are", every_s=0.5)
    return seen[-1]


def test_cleanup_shows_and_frees_what_is_gitships_alone(
    server: Server, docker_host: str, tiny_app: Callable[..., Path]
) -> None:
    shop = tiny_app("shop")
    server.push_ok(shop, "shop")
    label = f"gitship.server={server.server_id()}"
    foreign = f"gitship-test-foreign:{server.server_id()}"
    docker_cli.docker(
        docker_host, "build", "-q", "--label", "gitship.test=cleanup", "-t", foreign, "-",
        stdin=b"FROM scratch\nLABEL of=somebody-else\n",
    )  # fmt: skip
    try:
        for number in range(3):
            apps.commit(shop, f"{number}", {"Dockerfile": apps.tiny_dockerfile(f"n{number}")})
            if number == 1:
                apps.commit(shop, "broken", {"Dockerfile": apps.tiny_dockerfile("bad", cmd='["/nothing"]')})
                assert server.push(shop, "shop").returncode != 0
            else:
                server.push_ok(shop, "shop")
        wait_until(lambda: len(server.containers()) == 1, 30, "all is drained")
        before = settled_images(docker_host, label)
        looked = server.ssh("server:cleanup", "--dry-run", "--format", "json")
        assert looked.returncode == 0, looked.stderr
        shown = [row for row in json.loads(looked.stdout) if row["kind"] == "image"]
        assert set(docker_cli.names(docker_host, "image", label)) == before, "looking takes nothing"
        freed = server.ssh("server:cleanup", "--format", "json")
        assert freed.returncode == 0, freed.stderr
        assert [row["name"] for row in json.loads(freed.stdout) if row["kind"] == "image"] == [r["name"] for r in shown]
        after = set(docker_cli.names(docker_host, "image", label))
        assert len(after) == len(before) - len(shown) == 2, (before, after, shown)
        assert docker_cli.docker(docker_host, "images", "-q", foreign), "what is somebody else's stays"
        assert json.loads(server.ssh("server:cleanup", "--dry-run", "--format", "json").stdout) == []
        assert server.ssh("releases:rollback", "shop").returncode == 0
        assert server.get("shop").status == 200
    finally:
        docker_cli.docker(docker_host, "rmi", "-f", foreign, check=False)
