"""Docker's data on a disk of their own that fills up: pushes are refused, sites serve, rollbacks find the reserve."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.dockerd import OwnEngine, own_engine
from tests.e2e.harness import running
from tests.e2e.test_disk import fill, free
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]
SIZE_BYTES = 300 << 20


@contextlib.contextmanager
def small_disk(place: Path, image: Path, size_bytes: int = SIZE_BYTES) -> Iterator[None]:
    """A file system of its own in a file: ext4, as most servers have it, without blocks that only root gets."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, timeout=60)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", image, place], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True, timeout=30)


@pytest.fixture
def engine(base: Path) -> Iterator[OwnEngine]:
    disk = base / "docker"
    with small_disk(disk, base / "disk.img"), own_engine(beside_another=True, data=disk) as made:
        yield made


def reserves(engine: OwnEngine) -> list[str]:
    return docker_cli.names(engine.host, "image", "gitship.reserve")


def test_dockers_full_disk_refuses_pushes_and_lets_rollbacks_through(
    base: Path, engine: OwnEngine, tiny_app: Callable[..., Path]
) -> None:
    with running(base / "server", engine.host, lambda: False, docker={"min_free": "48m"}) as server:
        shop = tiny_app("shop")
        server.push_ok(shop, "shop")
        apps.commit(shop, "Second", {"Dockerfile": apps.tiny_dockerfile("v2")})
        server.push_ok(shop, "shop")
        wait_until(lambda: reserves(engine), 30, "the reserve is there")
        assert server.ssh("server:cleanup", "--format", "json").stdout.strip() == "[]"
        assert reserves(engine), "cleaning up leaves it"

        filler = fill(engine.data)
        assert free(engine.data) < 8192
        apps.commit(shop, "Third", {"Dockerfile": apps.tiny_dockerfile("v3")})
        refused = server.push(shop, "shop")
        assert refused.returncode != 0
        assert "0 MB are free where Docker keeps its images" in refused.stderr, refused.stderr
        assert "server:cleanup --build-cache" in refused.stderr and "Traceback" not in refused.stderr
        assert "v2" in server.get("shop").body, "visitors notice nothing"

        back = server.ssh("releases:rollback", "shop")
        assert back.returncode == 0, f"{back.stdout}{back.stderr}\n{server.logs[-3000:]}"
        assert "v1" in server.get("shop").body
        assert server.ssh("ps:restart", "shop").returncode == 0
        assert "the reserve is given up" in server.logs and not reserves(engine)

        wait_until(lambda: len(server.containers("gitship.app=shop")) == 1, 30, "what it replaced is gone")
        fill(engine.data)  # what the reserve has set free as well
        said = server.ssh("ps:restart", "shop")
        assert said.returncode != 0 and "its disk is full" in said.stdout, said.stdout
        assert "server:cleanup --build-cache" in said.stdout and "Traceback" not in said.stdout + said.stderr
        assert "v1" in server.get("shop").body, "visitors notice nothing"

        filler.unlink()
        assert server.ssh("server:cleanup", "--build-cache").returncode == 0
        server.push_ok(shop, "shop")
        assert "v3" in server.get("shop").body, "all is well once there is room"
        wait_until(lambda: reserves(engine), 60, "the reserve is back")
