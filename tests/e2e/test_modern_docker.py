"""Docker 28: taken up while gitship runs, with images in containerd's store, on containerd's own disk.

Its programs are those of Debian forky (see ``forky``), whatever GITSHIP_TEST_ENGINE says.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitship.disk.reserve import DiskReserve
from gitship.engine.docker import DockerEngine
from gitship.engine.types import BuildOptions
from tests.e2e import apps, docker_cli
from tests.e2e.dockerd import OwnEngine, own_engine
from tests.e2e.engine.context import BASE, big_context, context
from tests.e2e.harness import Server, running
from tests.e2e.test_docker_disk import small_disk
from tests.tars import tar_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
MB = 1 << 20
SLACK = 8 * MB  # what else is written meanwhile


@pytest.fixture
def docker(request: pytest.FixtureRequest) -> Iterator[OwnEngine]:
    """Of the kind that the test asks for; its containers end with it, as by an upgrade of most machines."""
    with own_engine(beside_another=True, live_restore=False, docker=request.param) as own:
        yield own


def becomes(own: OwnEngine, kind: str, **environment: str) -> None:
    own.stop()
    own.docker, own.environment = kind, environment
    own.start()


@pytest.mark.parametrize("docker", [""], indirect=True)
def test_an_upgrade_of_docker_under_a_running_gitship_is_taken_up(
    docker: OwnEngine, base: Path, tiny_app: Callable[..., Path]
) -> None:
    kept = DockerEngine(docker.host, timeout_s=30)  # has no stream of events that would end
    with running(base / "server", docker.host, lambda: False) as server:
        shop = tiny_app("shop")
        server.push_ok(shop, "shop")
        old = kept.ping()
        becomes(docker, "forky-overlay2", DOCKER_MIN_API_VERSION="1.44")
        wait_until(lambda: server.get("shop").body == "v1\n", 60, "the app is up again")
        apps.commit(shop, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
        server.push_ok(shop, "shop")
        assert server.get("shop").body == "v2\n"
        assert server.ssh("logs", "shop").returncode == 0
        assert kept.ping() != old and kept.list({})
        kept.images.build(context(BASE), BuildOptions("upgraded:1"), print, threading.Event())
        docker_cli.docker(docker.host, "kill", "shop.web.1.v2")
        docker_cli.docker(docker.host, "start", "shop.web.1.v2")
        wait_until(lambda: json.loads(server.ssh("ps:events", "shop", "--format", "json").stdout), 60, "events come")


@pytest.fixture(scope="module")
def split(module_base: Path) -> Iterator[tuple[DockerEngine, Path]]:
    """An engine whose images are on a small disk of containerd's, and that disk."""
    disk = module_base / "images"
    with (
        small_disk(disk, module_base / "disk.img"),
        own_engine(beside_another=True, docker="forky", images=disk / "containerd") as own,
    ):
        yield DockerEngine(own.host, timeout_s=60, owner="me"), disk


def test_free_space_is_that_of_containerds_disk(split: tuple[DockerEngine, Path]) -> None:
    engine, disk = split
    assert engine.image_root() == disk / "containerd"
    assert engine.free_bytes() == pytest.approx(shutil.disk_usage(disk).free, abs=SLACK)
    assert "containerd" in engine.images.store()


def test_an_image_is_as_large_as_what_is_in_it(split: tuple[DockerEngine, Path]) -> None:
    """Zeros: they are packed to a thousandth, which is what the engine itself says."""
    engine, _ = split
    sent = big_context("FROM scratch\nCOPY big /big\n", 50 * MB)
    built = engine.images.build(sent, BuildOptions("zeros:1"), print, threading.Event())
    assert 50 * MB <= built.size_bytes < 51 * MB
    docker_cli.docker(engine.host, "load", stdin=without_history("flat:1", 30 * MB))
    assert 30 * MB <= engine.images.inspect("flat:1").size_bytes < 31 * MB
    for name in ("zeros:1", "flat:1"):
        engine.images.untag(name)
    engine.images.prune_cache(0)


def without_history(tag: str, size: int) -> bytes:
    """An archive of an image that does not say how it came to be, as several tools write them."""
    layer = tar_of(big=bytes(size))
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/big"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "image.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    files = {
        "layer.tar": layer,
        "image.json": json.dumps(image).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    return tar_of(**files)


def test_the_reserve_is_made_where_three_times_its_size_is_free_and_given_up(
    split: tuple[DockerEngine, Path],
) -> None:
    engine, disk = split
    ballast = engine.images.ballast
    before = shutil.disk_usage(disk).free
    ballast.make(20 * MB)
    assert ballast.there()
    assert before - shutil.disk_usage(disk).free == pytest.approx(ballast.takes(20 * MB), abs=SLACK)
    ballast.drop()
    assert not ballast.there()
    wait_until(lambda: shutil.disk_usage(disk).free > before - SLACK, 30, "containerd has cleared it away")
    reserve = DiskReserve(disk, ballast)
    reserve.restock()
    assert ballast.there() and reserve.give_up() and not ballast.there()


def test_the_cache_is_told_while_containers_come_and_go(split: tuple[DockerEngine, Path]) -> None:
    engine, _ = split
    built = engine.images.build(context(BASE + 'CMD ["/bin/sh"]\n'), BuildOptions("come:1"), print, threading.Event())
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            docker_cli.docker(engine.host, "rm", "-f", docker_cli.docker(engine.host, "create", built.id))

    thread = threading.Thread(target=come_and_go, name="containers that come and go")
    thread.start()
    try:
        until = time.monotonic() + 5
        asked = 0
        while time.monotonic() < until:
            assert engine.images.cache_bytes() > 0
            asked += 1
    finally:
        over.set()
        thread.join(60)
    assert asked


def images_line(server: Server) -> str:
    lines = server.gitship("doctor").stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if " images " in line)
    return "\n".join(lines[at : at + 2])


@pytest.mark.parametrize("docker", ["forky-overlay2"], indirect=True)
def test_a_server_that_is_moved_to_the_other_store_says_what_it_has_lost(
    docker: OwnEngine, base: Path, tiny_app: Callable[..., Path]
) -> None:
    with running(base / "server", docker.host, lambda: False) as server:
        shop = tiny_app("shop")
        server.push_ok(shop, "shop")
        apps.commit(shop, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
        server.push_ok(shop, "shop")
        assert images_line(server).startswith("ok")
        wait_until(lambda: len(server.containers("gitship.app=shop")) == 1, 30, "the first release has ended")

        becomes(docker, "forky")
        said = images_line(server)
        assert said.startswith("fail") and "the images of shop v2, shop v1 are not there" in said, said
        assert "containerd's store (overlayfs)" in said and "its own store (overlay2)" in said
        assert "ps:rebuild APP" in said and "containerd-snapshotter" in said
        server.restart()
        wait_until(lambda: "those of shop v2 are not there" in server.logs, 60, "the log says so")
        refused = server.ssh("releases:rollback", "shop")
        assert refused.returncode != 0 and "the image of v1 no longer exists" in refused.stdout + refused.stderr

        assert server.ssh("ps:rebuild", "shop").returncode == 0
        assert server.get("shop").body == "v2\n"
        said = images_line(server)
        assert said.startswith("warn") and "shop v" in said and "rollbacks" in said, said

        becomes(docker, "forky-overlay2")
        wait_until(lambda: "shop v1" not in images_line(server), 60, "what was there is there again")
